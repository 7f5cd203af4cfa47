"""Matrix decompositions: Cholesky, eigenvalues of symmetric matrices, singular values, QR.

A decomposition is one primitive with its parts below each other in one array. The functions that
users call cut this array. A symmetric argument gets a symmetric gradient, the gradient of the
function of ``(x + x') / 2``: a change of one triangle alone would make the matrix unsymmetric.

Equal singular values or eigenvalues have vectors that may rotate within the space that they span.
So these vectors have no derivative: a loss that uses them has the gradient NaN. The gradient is
right for a loss that uses only the values, or the vectors of other values.

Source of the rules, if a function names no other: Giles, "An extended collection of matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..graph import Array, composed, differentiable, nondifferentiable
from .arrays import as_value
from .blocks import stacked
from .cutting import tril
from .elementwise import abs, where
from .inverses import _T, _on_diagonal, _symmetric, solve
from .logic import equal, less_equal, sign
from .reductions import max
from .shaping import broadcast_to, concatenate, expand_dims
from .sorting import _argsort, _take_along

__all__ = [
    "cholesky",
    "eigh",
    "eigvalsh",
    "qr",
    "svd",
    "svdvals",
]


def _cholesky_rule(g: Array, y: Array, x: Array) -> Array:
    # Murray's operator Phi: the lower triangle with half of the diagonal.
    half = np.tri(x.shape[-1], dtype=x.dtype) - 0.5 * np.eye(x.shape[-1], dtype=x.dtype)
    inner = half * (_T(y) @ g)
    # y^-T inner y^-1, by two solves: no inverse is computed.
    return _symmetric(solve(_T(y), _T(solve(_T(y), _T(inner)))))


@differentiable(_cholesky_rule, batch=stacked)
def _cholesky(x: Array) -> Array:
    return np.linalg.cholesky(x)


@composed
def cholesky(x: Array, *, upper: bool = False) -> Array:
    """The lower triangular y with ``y y' = x``, or the upper one with ``y' y = x``.

    Args:
        x: (..., n, n), symmetric and positive definite; only one triangle is read.
        upper: return the upper triangular factor, and read x's upper triangle.

    Raises:
        LinAlgError: a matrix is not positive definite, or not square.

    Source of the rule: Murray, "Differentiation of the Cholesky decomposition" (2016), eq. 10.

    >>> cholesky([[4.0, 2.0], [2.0, 5.0]])
    array([[2., 0.],
           [1., 2.]])
    """
    x = as_value(x)
    return _T(_cholesky(_T(x))) if upper else _cholesky(x)


def _is_rounding(x: Array, of: Array) -> Array:
    """True where x (..., m, n) is 0 up to the rounding of the largest number of its matrix."""
    tolerance = 8 * x.shape[-1] * float(np.finfo(x.dtype).eps)
    return less_equal(abs(x), max(abs(of), (-2, -1), True, initial=0) * tolerance)


def _per(x: Array, c: Array, asked: Array, w: Array) -> Array:
    """``c / x``; where x is 0: 0 if its cotangent is 0 (the vectors are not used), else NaN.

    Args:
        x: (..., m, n), sums or differences of w.
        c: the numerator.
        asked: the cotangents from which c is computed, arranged so that element (i, j) belongs to
            x_ij.
        w: (..., n), the singular values or eigenvalues.
    """
    # Both divisions take place for all elements, so 0 is replaced before it divides, not
    # afterwards: 0 * (1 / 0) in the backward pass would be NaN.
    zero = _is_rounding(x, expand_dims(w, -2))
    return where(
        zero, where(_is_rounding(asked, asked), 0, np.nan), where(zero, 0, c) / where(zero, 1, x)
    )


def _differences(w: Array) -> Array:
    """``w_j - w_i``."""
    return expand_dims(w, -2) - expand_dims(w, -1)


def _off_diagonal(x: Array) -> Array:
    return x * (1 - np.eye(x.shape[-1], dtype=x.dtype))


def _eigh_rule(g: Array, y: Array, x: Array, UPLO: Any) -> Array:
    w, v = y[..., 0, :], y[..., 1:, :]
    # dx changes v_j by sum_i v_i (v_i' dx v_j) / (w_j - w_i), and w_j by v_j' dx v_j. The rule is
    # the transpose: g_w on the diagonal, the rotations beside it. v_j keeps its length, so the
    # diagonal of v' g_v has no effect.
    turns = _off_diagonal(_T(v) @ g[..., 1:, :])
    inner = _on_diagonal(g[..., 0, :]) + _per(_differences(w), turns, turns, w)
    return _symmetric(v @ inner @ _T(v))


@differentiable(_eigh_rule, batch=stacked)
def _eigh(x: Array, UPLO: Any) -> Array:
    # Vectors as columns below the values, so that one cut by rows gives both.
    w, v = np.linalg.eigh(x, UPLO)
    return np.concatenate([w[..., np.newaxis, :], v], -2)


class EighResult(NamedTuple):
    """``x v_i = w_i v_i``."""

    eigenvalues: Array
    eigenvectors: Array


def _triangle(UPLO: Any) -> str:
    if UPLO not in ("L", "U", "l", "u"):
        raise ValueError(f"expected UPLO 'L' or 'U', got {UPLO!r}")
    return str(UPLO)


@composed
def eigh(x: Array, UPLO: str = "L") -> EighResult:
    """Eigenvalues w in ascending order, and eigenvectors v of length 1, of a symmetric x.

        x v = v diag(w)

    Args:
        x: (..., n, n), symmetric; only one triangle is read.
        UPLO: the triangle to read, "L" or "U".

    Returns:
        ``(w, v)``: (..., n) and (..., n, n), with a vector in each column. The sign of each vector
        is arbitrary. The vectors of equal eigenvalues have no derivative: their gradient is NaN.

    Raises:
        LinAlgError: a matrix is not square.

    >>> eigh([[2.0, 0.0], [0.0, 1.0]]).eigenvalues
    array([1., 2.])
    """
    y = _eigh(as_value(x), _triangle(UPLO))
    return EighResult(y[..., 0, :], y[..., 1:, :])


@composed
def eigvalsh(x: Array, UPLO: str = "L") -> Array:
    """The eigenvalues of a symmetric x in ascending order, see :func:`eigh`; dw_i/dx = v_i v_i'.

    >>> eigvalsh([[2.0, 0.0], [0.0, 1.0]])
    array([1., 2.])
    """
    return _eigh(as_value(x), _triangle(UPLO))[..., 0, :]


def _svd_parts(y: Array, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """The parts u (..., m, k), s (..., k) and v (..., n, k), which y holds below each other."""
    m = shape[-2]
    return y[..., :m, :], y[..., m, :], y[..., m + 1 :, :]


def _svd_rule(g: Array, y: Array, x: Array) -> Array:
    """With a = u'g_u - g_u'u and b = v'g_v - g_v'v the rule for the square part is

        u [diag(g_s) + ((a + b) / (s_j - s_i) + (a - b) / (s_j + s_i)) / 2] v'

    where the term with a + b belongs to rotations of u and v together.
    """
    u, s, v = _svd_parts(y, x.shape)
    g_u, g_s, g_v = _svd_parts(g, x.shape)
    turns_u, turns_v = _off_diagonal(_T(u) @ g_u), _off_diagonal(_T(v) @ g_v)
    a, b = turns_u - _T(turns_u), turns_v - _T(turns_v)
    # A rotation within equal values matters only if g_u or g_v asks for it.
    asked = abs(turns_u) + abs(turns_v)
    together = _per(_differences(s), a + b, asked, s)
    apart = _per(expand_dims(s, -2) + expand_dims(s, -1), a - b, asked, s)
    inner = _on_diagonal(g_s) + (together + apart) * 0.5
    # The part outside the space of the vectors: (1 - u u') g_u / s, and likewise for v.
    out_u, out_v = (_out_of(u, g_u, s), _out_of(v, g_v, s))
    return (u @ inner + out_u) @ _T(v) + u @ _T(out_v)


def _out_of(u: Array, g: Array, s: Array) -> Array:
    out = g - u @ (_T(u) @ g)
    out = where(_is_rounding(out, g), 0, out)
    return _per(broadcast_to(expand_dims(s, -2), out.shape), out, out, s)


@differentiable(_svd_rule, batch=stacked)
def _svd(x: Array) -> Array:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([u, s[..., np.newaxis, :], np.swapaxes(vh, -1, -2)], -2)


@nondifferentiable(batch=stacked)
def _svd_rest(x: Array, *, left: bool) -> Array:
    # The columns that complete u to a basis are arbitrary. They are a constant here;
    # ``_complement`` gives them their gradient.
    u, s, vh = np.linalg.svd(x, full_matrices=True)
    k = s.shape[-1]
    return u[..., k:] if left else np.swapaxes(vh, -1, -2)[..., k:]


def _complement(u: Array, rest: Array) -> Array:
    """The columns ``rest``, which complete u to a basis, as a function of u.

    We project them away from u and make them orthonormal again, so they follow every rotation of u.
    """
    # The inverse of a Cholesky factor makes columns orthonormal: with a'a = c c', the columns of a
    # c^-T are.
    apart = rest - u @ (_T(u) @ rest)
    return _T(solve(_cholesky(_T(apart) @ apart), _T(apart)))


class SVDResult(NamedTuple):
    """``x = U diag(S) Vh``."""

    U: Array
    S: Array
    Vh: Array


@composed
def svd(
    x: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """The singular value decomposition, ``x = U diag(S) Vh``.

    Args:
        x: (..., m, n); k = min(m, n).
        full_matrices: whether to complete U and Vh to square matrices.
        compute_uv: False returns only S.
        hermitian: whether x is symmetric; if so its eigenvalues give the result.

    Returns:
        ``(U, S, Vh)``: (..., m, k or m), (..., k) in descending order, (..., k or n, n); or S.
        The common sign of a column of U and its row of Vh is arbitrary. The vectors of equal
        singular values, or of 0, have no derivative: their gradient is NaN.

    >>> svd([[0.0, 3.0], [2.0, 0.0]]).S
    array([3., 2.])
    """
    x = as_value(x)
    if hermitian:
        u, s, v = _hermitian_svd(x)
    else:
        u, s, v = _svd_parts(_svd(x), x.shape)
    if not compute_uv:
        return s
    m, n = x.shape[-2:]
    if full_matrices and m > n:
        u = concatenate([u, _complement(u, _svd_rest(x, left=True))], -1)
    if full_matrices and n > m:
        v = concatenate([v, _complement(v, _svd_rest(x, left=False))], -1)
    return SVDResult(u, s, _T(v))


def _hermitian_svd(x: Array) -> tuple[Array, Array, Array]:
    w, v = eigh(x)
    # x = v diag(w) v' = (v diag(sign w)) diag(|w|) v', where |w| are the singular values.
    order = _argsort(-abs(w), axis=w.ndim - 1, stable=True)
    w = _take_along(w, order, w.ndim - 1)
    v = _take_along(v, expand_dims(order, -2), v.ndim - 1)
    # The sign of 0 would remove a vector.
    signs = where(equal(w, 0), 1, sign(w))
    return v * expand_dims(signs, -2), w * signs, v


@composed
def svdvals(x: Array) -> Array:
    """The singular values in descending order, see :func:`svd`; dS_i/dx = u_i v_i'.

    >>> svdvals([[0.0, 3.0], [2.0, 0.0]])
    array([3., 2.])
    """
    x = as_value(x)
    return _svd_parts(_svd(x), x.shape)[1]


def _qr_rule(g: Array, y: Array, x: Array) -> Array:
    m = x.shape[-2]
    q, r, g_q, g_r = y[..., :m, :], y[..., m:, :], g[..., :m, :], g[..., m:, :]
    # With m = r g_r' - g_q' q, and m's lower triangle mirrored into the upper one, the rule is (g_q
    # + q mirrored) r^-T. Seeger et al., "Auto-Differentiating Linear Algebra" (2017), have it for x
    # = L Q.
    inner = r @ _T(g_r) - _T(g_q) @ q
    mirrored = tril(inner) + _T(tril(inner, -1))
    return _T(solve(r, _T(g_q + q @ mirrored)))


@differentiable(_qr_rule, batch=stacked)
def _qr(x: Array) -> Array:
    """q and r of a matrix (m, n) with m >= n, below each other."""
    q, r = np.linalg.qr(x)
    return np.concatenate([q, r], -2)


@nondifferentiable(batch=stacked)
def _qr_rest(x: Array) -> Array:
    return np.linalg.qr(x, "complete")[0][..., x.shape[-1] :]


class QRResult(NamedTuple):
    """``x = Q R``."""

    Q: Array
    R: Array


@composed
def qr(x: Array, mode: str = "reduced") -> Any:
    """``x = Q R`` with orthonormal columns in Q and an upper triangular R.

    Args:
        x: (..., m, n); k = min(m, n). A gradient needs independent first k columns.
        mode: "reduced"; "complete" for a square Q; "r" for R alone.

    Returns:
        ``(Q, R)``: (..., m, k) and (..., k, n), or with "complete" (..., m, m) and (..., m, n).

    Raises:
        LinAlgError: in backward, if the columns depend on each other.
        ValueError: the mode is unknown.

    >>> np.abs(qr([[0.0, 2.0], [3.0, 0.0]], "r").round(9))
    array([[3., 0.],
           [0., 2.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: expected 'reduced', 'complete' or 'r' as mode, got {mode!r}")
    x = as_value(x)
    if x.ndim < 2:
        raise np.linalg.LinAlgError(f"qr: expected at least two-dimensional arrays, got {x.shape}")
    m, n = x.shape[-2:]
    if m >= n:
        y = _qr(x)
        q, r = y[..., :m, :], y[..., m:, :]
    else:  # the other columns of x are Q times the rest of R
        y = _qr(x[..., :m])
        q = y[..., :m, :]
        r = concatenate([y[..., m:, :], _T(q) @ x[..., m:]], -1)
    if mode == "r":
        return r
    if mode == "complete" and m > n:
        q = concatenate([q, _complement(q, _qr_rest(x))], -1)
        r = concatenate([r, np.zeros((*x.shape[:-2], m - n, n), x.dtype)], -2)
    return QRResult(q, r)
