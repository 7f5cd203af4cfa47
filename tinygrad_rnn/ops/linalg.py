"""Linear algebra on stacks of matrices: ``np.linalg``'s functions with their derivatives.

``tg.linalg.solve(a, b)`` and ``np.linalg.solve(a, t)`` are the same. The last two axes of an
argument are a matrix, and all axes before them a stack of these.

A decomposition is one primitive whose parts lie below each other in one array; the functions that
users call cut it. What is documented as symmetric gets a symmetric gradient: that of the function
of ``(a + a') / 2``, since a change of one triangle alone leads out of the symmetric matrices.

Where singular values or eigenvalues are equal, their vectors may be turned within the space that
they span, and have no derivative. Their part is left out: the gradient of whatever does not depend
on that turn (a projection, a matrix function, a sum of all such vectors' outer products) is right.

Source of the rules: Giles, "An extended collection of matrix derivative results for forward and
reverse mode algorithmic differentiation" (2008), where none other is named.
"""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Array, Blocks, Operand, composed, differentiable, nondifferentiable
from .arrays import Axes, as_value, dtype_of, normal_axes, plain, shape_of
from .assembling import diagonal as diagonal_
from .assembling import matrix_transpose, tril
from .assembling import trace as trace_
from .blocks import matrices, stacked
from .contractions import cross as cross_
from .contractions import outer as outer_
from .contractions import tensordot, vecdot
from .elementwise import abs, equal, less_equal, power, sign, square, where
from .products import matmul
from .reductions import max, min, prod, sum
from .shaping import concatenate, expand_dims, moveaxis, reshape, sum_to, swapaxes
from .sorting import _argsort, _take_along
from .statistics import root

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]


def _T(x: Array) -> Array:
    return swapaxes(x, -1, -2)


def _symmetric(x: Array) -> Array:
    return (x + _T(x)) * 0.5


def _on_diagonal(v: Array) -> Array:
    """Matrices with the vectors v (..., n) on their diagonals."""
    return expand_dims(v, -1) * np.eye(v.shape[-1], dtype=v.dtype)


# ── inverses and systems of equations ────────────────────────────────────────────────────


@differentiable(lambda g, y, x: -(_T(y) @ g @ _T(y)), batch=stacked)
def inv(x: Array) -> Array:
    """``y = x^-1``; dL/dx = -y' g y'.

    Args:
        x: (..., n, n).

    Raises:
        LinAlgError: a matrix is singular, or not square.

    >>> inv([[2.0, 0.0], [0.0, 4.0]])
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return np.linalg.inv(x)


def _columns(x: Array, b: Array) -> Array:
    """Vectors as matrices of one column, where b is a vector."""
    return expand_dims(x, -1) if b.ndim == 1 else x


def _solve_matrix(g: Array, z: Array, a: Array, b: Array) -> Array:
    h = solve(_T(a), _columns(g, b))
    return sum_to(-(h @ _T(_columns(z, b))), a.shape)


def _solve_right(g: Array, z: Array, a: Array, b: Array) -> Array:
    h = solve(_T(a), _columns(g, b))
    return sum_to(h[..., 0] if b.ndim == 1 else h, b.shape)


def _solve_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks:
    a, b = operands
    vector = len(b.shape) == 1
    rank = builtins.max(len(a.shape), len(b.shape) + vector)

    def call(a_block: ndarray, b_block: ndarray) -> Any:
        columns = matrices(b_block, b, rank, (*b.shape, 1) if vector else b.shape)
        z = np.linalg.solve(matrices(a_block, a, rank), columns)
        return z[..., 0] if vector else z

    return call


@differentiable(_solve_matrix, _solve_right, batch=_solve_blocks, linear=((1,),))
def solve(a: Array, b: Array) -> Array:
    """The z of ``a z = b``; dL/db = h with ``a' h = g``, dL/da = -h z'.

    Args:
        a: (..., n, n).
        b: (n,), or (..., n, m): m right-hand sides.

    Returns:
        (..., n) for a vector b, else (..., n, m).

    Raises:
        LinAlgError: a matrix is singular, or not square.
        ValueError: the shapes do not fit.

    >>> solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    array([1. , 0.5])
    """
    return np.linalg.solve(a, b)


def _pinv_rule(g: Array, p: Array, a: Array, rcond: Any) -> Array:
    g_, p_ = _T(g), _T(p)
    left = (g_ - a @ (p @ g_)) @ (p @ p_)
    right = (p_ @ p) @ (g_ - (g_ @ p) @ a)
    return left + right - p_ @ g @ p_


@differentiable(_pinv_rule, batch=stacked)
def _pinv(x: Array, rcond: Any) -> Array:
    return np.linalg.pinv(x, rcond)


@composed
def pinv(x: Array, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """The pseudo-inverse, whose gradient is that at constant rank.

    Args:
        x: (..., m, n).
        rcond, rtol: two names of one argument: singular values up to this part of the largest one
            count as 0.
        hermitian: has no meaning here: the result is the same.

    Source: Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares
    problems whose variables separate", SIAM Journal on Numerical Analysis 10 (1973), eq. 4.12.

    >>> pinv([[2.0], [0.0]])
    array([[0.5, 0. ]])
    """
    if rcond is not None and rtol is not None:
        raise ValueError("pinv: rcond and rtol are two names of one argument; got both")
    part = rcond if rtol is None else rtol
    if part is None:
        part = 1e-15 if rtol is None else np.finfo(dtype_of(x)).eps
    return _pinv(as_value(x), plain(part))


@composed
def lstsq(a: Array, b: Array, rcond: float | None = None) -> tuple[Array, Array, Any, Array]:
    """The z with the least ``|a z - b|``, and of these the shortest: ``z = pinv(a) b``.

    Args:
        a: (m, n).
        b: (m,) or (m, k).
        rcond: singular values up to this part of the largest one count as 0; by default the
            rounding error times max(m, n).

    Returns:
        z, the sums of squares of ``b - a z`` (empty where the rank is below n or m <= n), the rank
        of a and its singular values.

    >>> lstsq([[1.0], [1.0]], [1.0, 3.0])[0]
    array([2.])
    """
    a, b = as_value(a), as_value(b)
    if a.ndim != 2 or b.ndim not in (1, 2):
        raise np.linalg.LinAlgError(
            f"lstsq: expected a (m, n) and b (m,) or (m, k), got {a.shape} and {b.shape}"
        )
    m, n = a.shape
    if rcond is None:
        rcond = float(np.finfo(a.dtype).eps) * builtins.max(m, n)
    z = _pinv(a, rcond) @ b
    values = svdvals(a)
    sizes = plain(values)
    rank = int(np.sum(sizes > rcond * sizes[:1])) if sizes.size else 0
    if rank < n or m <= n:
        return z, np.zeros(0, dtype_of(z)), rank, values
    return z, sum(square(b - a @ z), 0, b.ndim == 1), rank, values


# ── determinants ─────────────────────────────────────────────────────────────────────────


def _others_product(s: Array) -> Array:
    """For each pair (i, j) the product of all s_k but these two; for (i, i) of all but s_i."""
    k = np.arange(s.shape[-1])
    left_out = (k == k[:, np.newaxis, np.newaxis]) | (k == k[:, np.newaxis])
    return prod(where(left_out, 1, s[..., np.newaxis, np.newaxis, :]), -1)


def _cofactors_rule(g: Array, y: Array, x: Array) -> Array:
    """The second derivative of det, in the bases of the singular vectors (none is divided by).

    det is multilinear: with f = u' g v, a change of x_ij meets f_kk for i = j, and -f_ji else.
    """
    u, s, v = _svd_parts(_svd(x), x.shape)
    f, others = _T(u) @ g @ v, _others_product(s)
    # Both sums take in j = i, where what they add cancels.
    along = sum(expand_dims(diagonal_(f, 0, -2, -1), -2) * others, -1)
    turned = expand_dims(sign(det(u) * det(v)), (-2, -1))
    return turned * (u @ (_on_diagonal(along) - _T(f) * others) @ _T(v))


@differentiable(_cofactors_rule, batch=stacked)
def _cofactors(x: Array) -> Array:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    k = np.arange(s.shape[-1])
    others = np.prod(np.where(k == k[:, np.newaxis], 1, s[..., np.newaxis, :]), -1)
    turned = np.sign(np.linalg.det(u) * np.linalg.det(vh))
    return turned[..., np.newaxis, np.newaxis] * ((u * others[..., np.newaxis, :]) @ vh)


@differentiable(lambda g, y, x: expand_dims(g, (-2, -1)) * _cofactors(x), batch=stacked)
def det(x: Array) -> Array:
    """The determinant; its gradient are the cofactors, ``det(x) x^-T``, of singular x too.

    Args:
        x: (..., n, n).

    Raises:
        LinAlgError: a matrix is not square.

    >>> det([[2.0, 1.0], [0.0, 4.0]])
    array(8.)
    """
    return np.linalg.det(x)


@nondifferentiable(batch=stacked)
def _sign_of_det(x: Array) -> Array:
    return np.linalg.slogdet(x)[0]


@differentiable(lambda g, y, x: expand_dims(g, (-2, -1)) * _T(inv(x)), batch=stacked)
def _logabsdet(x: Array) -> Array:
    return np.linalg.slogdet(x)[1]


class SlogdetResult(NamedTuple):
    """``det(x) = sign e^logabsdet``."""

    sign: Array
    logabsdet: Array


@composed
def slogdet(x: Array) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its size; d logabsdet / dx = x^-T.

    Args:
        x: (..., n, n).

    Returns:
        ``(sign, logabsdet)``, each (...). The sign carries no gradient. A singular matrix has
        (0, -inf), and no gradient: backward raises LinAlgError.

    >>> slogdet([[2.0, 0.0], [0.0, -4.0]]).logabsdet
    array(2.07944154)
    """
    x = as_value(x)
    return SlogdetResult(_sign_of_det(x), _logabsdet(x))


# ── decompositions ───────────────────────────────────────────────────────────────────────


def _cholesky_rule(g: Array, y: Array, x: Array) -> Array:
    half = np.tri(x.shape[-1], dtype=x.dtype) - 0.5 * np.eye(x.shape[-1], dtype=x.dtype)
    inner = half * (_T(y) @ g)
    return _symmetric(solve(_T(y), _T(solve(_T(y), _T(inner)))))


@differentiable(_cholesky_rule, batch=stacked)
def _cholesky(x: Array) -> Array:
    return np.linalg.cholesky(x)


@composed
def cholesky(x: Array, *, upper: bool = False) -> Array:
    """The lower triangular y with ``y y' = x``, or the upper one with ``y' y = x``.

    Args:
        x: (..., n, n), symmetric and positive definite; only one triangle is read.
        upper: return the upper one, and read x's upper triangle.

    Raises:
        LinAlgError: a matrix is not positive definite, or not square.

    Source of the rule: Murray, "Differentiation of the Cholesky decomposition" (2016), eq. 10.

    >>> cholesky([[4.0, 2.0], [2.0, 5.0]])
    array([[2., 0.],
           [1., 2.]])
    """
    x = as_value(x)
    return _T(_cholesky(_T(x))) if upper else _cholesky(x)


def _inverse_apart(x: Array, size: Array) -> Array:
    """1 / x, and 0 where x is 0 up to the rounding of numbers of that size."""
    n, eps = x.shape[-1], float(np.finfo(x.dtype).eps)
    near = less_equal(abs(x), expand_dims(max(abs(size), -1, True), -1) * (8 * n * eps))
    return where(near, 0, 1 / where(near, 1, x))


def _gaps(w: Array) -> Array:
    """``1 / (w_j - w_i)``, and 0 where they are equal."""
    return _inverse_apart(expand_dims(w, -2) - expand_dims(w, -1), w)


def _eigh_rule(g: Array, y: Array, x: Array, UPLO: Any) -> Array:
    w, v = y[..., 0, :], y[..., 1:, :]
    inner = _on_diagonal(g[..., 0, :]) + _gaps(w) * (_T(v) @ g[..., 1:, :])
    return _symmetric(v @ inner @ _T(v))


@differentiable(_eigh_rule, batch=stacked)
def _eigh(x: Array, UPLO: Any) -> Array:
    w, v = np.linalg.eigh(x, UPLO)
    return np.concatenate([w[..., np.newaxis, :], v], -2)


class EighResult(NamedTuple):
    """``x v_i = w_i v_i``."""

    eigenvalues: Array
    eigenvectors: Array


@composed
def eigh(x: Array, UPLO: str = "L") -> EighResult:
    """Eigenvalues w in ascending order, and eigenvectors v of length 1, of a symmetric x.

        x v = v diag(w)

    Args:
        x: (..., n, n), symmetric; only one triangle is read.
        UPLO: which one, "L" or "U".

    Returns:
        ``(w, v)``: (..., n) and (..., n, n), a vector in each column. Each is determined up to its
        sign. Equal eigenvalues: see the top of this module.

    Raises:
        LinAlgError: a matrix is not square.

    >>> eigh([[2.0, 0.0], [0.0, 1.0]]).eigenvalues
    array([1., 2.])
    """
    y = _eigh(as_value(x), UPLO)
    return EighResult(y[..., 0, :], y[..., 1:, :])


@composed
def eigvalsh(x: Array, UPLO: str = "L") -> Array:
    """The eigenvalues of a symmetric x in ascending order, see :func:`eigh`; dw_i/dx = v_i v_i'.

    >>> eigvalsh([[2.0, 0.0], [0.0, 1.0]])
    array([1., 2.])
    """
    return _eigh(as_value(x), UPLO)[..., 0, :]


def _svd_parts(y: Array, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """u (..., m, k), s (..., k) and v (..., n, k) of what lies below each other in y."""
    m = shape[-2]
    return y[..., :m, :], y[..., m, :], y[..., m + 1 :, :]


def _svd_rule(g: Array, y: Array, x: Array) -> Array:
    """With a = u'g_u - g_u'u and b = v'g_v - g_v'v the rule of the square part is

        u [diag(g_s) + ((a + b) / (s_j - s_i) + (a - b) / (s_j + s_i)) / 2] v'

    whose first part belongs to turns of u and v together, and is left out where s_i = s_j.
    """
    u, s, v = _svd_parts(y, x.shape)
    g_u, g_s, g_v = _svd_parts(g, x.shape)
    a, b = _T(u) @ g_u, _T(v) @ g_v
    a, b = a - _T(a), b - _T(b)
    sums = _inverse_apart(expand_dims(s, -2) + expand_dims(s, -1), s)
    inner = _on_diagonal(g_s) + ((a + b) * _gaps(s) + (a - b) * sums) * 0.5
    # What leads out of the space of the vectors: (1 - u u') g_u / s, and likewise for v.
    inverse = 2 * expand_dims(diagonal_(sums, 0, -2, -1), -2)
    out_u, out_v = (g_u - u @ (_T(u) @ g_u)) * inverse, (g_v - v @ (_T(v) @ g_v)) * inverse
    return (u @ inner + out_u) @ _T(v) + u @ _T(out_v)


@differentiable(_svd_rule, batch=stacked)
def _svd(x: Array) -> Array:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return np.concatenate([u, s[..., np.newaxis, :], np.swapaxes(vh, -1, -2)], -2)


@nondifferentiable(batch=stacked)
def _svd_rest(x: Array, *, left: bool) -> Array:
    u, s, vh = np.linalg.svd(x, full_matrices=True)
    k = s.shape[-1]
    return u[..., k:] if left else np.swapaxes(vh, -1, -2)[..., k:]


def _complement(u: Array, rest: Array) -> Array:
    """The columns ``rest``, which complete u to a basis, as a function of u.

    Projected away from u and made orthonormal again they follow it whichever way it turns.
    """
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
        full_matrices: complete U and Vh to square matrices.
        compute_uv: False returns S only.
        hermitian: x is symmetric: computed from its eigenvalues.

    Returns:
        ``(U, S, Vh)``: (..., m, k or m), (..., k) in descending order, (..., k or n, n); or S.
        Pairs of columns of U and rows of Vh are determined up to their sign. Equal singular
        values, and such that are 0: see the top of this module.

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
    order = _argsort(-abs(w), axis=w.ndim - 1, stable=True)
    w = _take_along(w, order, w.ndim - 1)
    v = _take_along(v, expand_dims(order, -2), v.ndim - 1)
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
        x: (..., m, n); k = min(m, n). Its first k columns have to be independent, for a gradient.
        mode: "reduced"; "complete": a square Q; "r": R alone.

    Returns:
        ``(Q, R)``: (..., m, k) and (..., k, n), or with "complete" (..., m, m) and (..., m, n).

    Raises:
        LinAlgError: in backward, the columns depend on each other.
        ValueError: the mode has another name.

    >>> np.abs(qr([[0.0, 2.0], [3.0, 0.0]], "r").round(9))
    array([[3., 0.],
           [0., 2.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: expected 'reduced', 'complete' or 'r' as mode, got {mode!r}")
    x = as_value(x)
    m, n = x.shape[-2:]
    if m >= n:
        y = _qr(x)
        q, r = y[..., :m, :], y[..., m:, :]
    else:  # the further columns are Q times the rest of R
        y = _qr(x[..., :m])
        q = y[..., :m, :]
        r = concatenate([y[..., m:, :], _T(q) @ x[..., m:]], -1)
    if mode == "r":
        return r
    if mode == "complete" and m > n:
        q = concatenate([q, _complement(q, _qr_rest(x))], -1)
        r = concatenate([r, np.zeros((*x.shape[:-2], m - n, n), x.dtype)], -2)
    return QRResult(q, r)


# ── norms ────────────────────────────────────────────────────────────────────────────────


@composed
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors or matrices; where a 2-norm is 0, its gradient is 0.

    Args:
        x: any shape.
        ord: of vectors, p of ``(sum |x_i|^p)^(1/p)`` (2 by default), inf, -inf, or 0 (how many are
            not 0). Of matrices: "fro" (by default), "nuc", 1, -1, 2, -2, inf, -inf.
        axis: an axis for vectors, two for matrices; None for all of x.
        keepdims: keep the reduced axes, with length 1.

    Raises:
        ValueError: there is no such norm, or x has too many dimensions for it.

    >>> norm([3.0, 4.0])
    array(5.)
    """
    x = as_value(x)
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    if axis is None and ord is None:
        y = root(sum(square(x)))
        return reshape(y, (1,) * x.ndim) if keepdims else y
    axes = normal_axes(axis, x.ndim)
    if len(axes) == 1:
        return vector_norm(x, axis=axes[0], keepdims=keepdims, ord=2 if ord is None else ord)
    if len(axes) != 2:
        raise ValueError(f"norm: expected vectors or matrices, got the axes {axes} of {x.shape}")
    return _matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)


def _matrix_norm(x: Array, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Array:
    rows, columns = axes
    if ord == "fro":
        y = root(sum(square(x), axes, True))
    elif ord in ("nuc", 2, -2):
        values = svdvals(moveaxis(x, axes, (-2, -1)))
        y = {"nuc": sum, 2: max, -2: min}[ord](values, -1)
        y = expand_dims(y, axes)
    elif ord in (1, -1, np.inf, -np.inf):
        added, among = (rows, columns) if ord in (1, -1) else (columns, rows)
        y = (max if ord > 0 else min)(sum(abs(x), added, True), among, True)
    else:
        raise ValueError(f"norm: matrices have no norm of the order {ord!r}")
    return y if keepdims else reshape(y, tuple(n for i, n in enumerate(x.shape) if i not in axes))


@composed
def vector_norm(x: Array, *, axis: Axes = None, keepdims: bool = False, ord: float = 2) -> Array:
    """``(sum_i |x_i|^p)^(1/p)`` along axes, over all by default; see :func:`norm`.

    >>> vector_norm([3.0, 4.0], ord=1)
    array(7.)
    """
    x = as_value(x)
    if not isinstance(ord, (int, float, np.number)):
        raise ValueError(f"norm: vectors have no norm of the order {ord!r}")
    axis = None if axis is None else normal_axes(axis, x.ndim)
    if ord == 2:
        return root(sum(square(x), axis, keepdims))
    if ord == np.inf:
        return max(abs(x), axis, keepdims)
    if ord == -np.inf:
        return min(abs(x), axis, keepdims)
    if ord == 0:
        return sum(equal(x, 0) == 0, axis, keepdims).astype(x.dtype)
    if ord == 1:
        return sum(abs(x), axis, keepdims)
    # Powers of 0 that are not smooth get the gradient 0.
    zero = equal(x, 0)
    powers = power(abs(where(zero, 1, x)), ord)
    total = sum(where(zero, 0.0 if ord > 0 else np.inf, powers), axis, keepdims)
    none = equal(total, 0)
    return where(none, 0, power(where(none, 1, total), 1 / ord))


@composed
def matrix_norm(x: Array, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """The norm of each matrix of a stack, see :func:`norm`.

    >>> matrix_norm([[3.0, 0.0], [0.0, 4.0]])
    array(5.)
    """
    return norm(x, ord, (-2, -1), keepdims)


@composed
def cond(x: Array, p: Any = None) -> Array:
    """The condition number ``|x| |x^-1|`` in a norm, by default the 2-norm; see :func:`norm`.

    >>> cond([[2.0, 0.0], [0.0, 1.0]])
    array(2.)
    """
    x = as_value(x)
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))


# ── powers and chains of products ────────────────────────────────────────────────────────


@composed
def matrix_power(x: Array, n: int) -> Array:
    """``x x ... x``, n factors, by repeated squaring; of the inverse for negative n.

    Args:
        x: (..., m, m).
        n: an integer.

    Raises:
        LinAlgError: a matrix is not square, or singular where n < 0.
        TypeError: n is no integer.

    >>> matrix_power([[1.0, 1.0], [0.0, 1.0]], 3)
    array([[1., 3.],
           [0., 1.]])
    """
    x = as_value(x)
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"matrix_power: expected an integer as exponent, got {n!r}")
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power: expected square matrices, got {x.shape}")
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        return x * 0 + np.eye(x.shape[-1], dtype=x.dtype)
    result = None
    while n:
        if n % 2:
            result = x if result is None else result @ x
        n //= 2
        x = x @ x if n else x
    return result


@composed
def multi_dot(arrays: Sequence[Array]) -> Array:
    """The product of a chain of matrices, in the order that takes the fewest multiplications.

    Args:
        arrays: two or more; the first and the last may be vectors.

    Source: Cormen et al., "Introduction to Algorithms", section 15.2.

    >>> multi_dot([[1.0, 2.0], [[3.0, 4.0], [5.0, 6.0]], [7.0, 8.0]])
    array(219.)
    """
    chain = [as_value(x) for x in arrays]
    if len(chain) < 2:
        raise ValueError(f"multi_dot: expected two arrays or more, got {len(chain)}")
    if chain[0].ndim == 1:
        chain[0] = expand_dims(chain[0], 0)
        return multi_dot(chain)[0]
    if chain[-1].ndim == 1:
        chain[-1] = expand_dims(chain[-1], -1)
        return multi_dot(chain)[..., 0]
    for x in chain:
        if x.ndim != 2:
            raise np.linalg.LinAlgError(f"multi_dot: expected matrices, got shape {x.shape}")
    sizes = [*(x.shape[0] for x in chain), chain[-1].shape[1]]

    @functools.cache
    def cheapest(i: int, j: int) -> tuple[int, int]:
        """The fewest multiplications of the product i ... j, and behind which factor to cut it."""
        if i == j:
            return 0, i
        return builtins.min(
            (cheapest(i, k)[0] + cheapest(k + 1, j)[0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
            for k in range(i, j)
        )

    def product(i: int, j: int) -> Array:
        if i == j:
            return chain[i]
        k = cheapest(i, j)[1]
        return product(i, k) @ product(k + 1, j)

    return product(0, len(chain) - 1)


@composed
def tensorsolve(a: Array, b: Array, axes: Sequence[int] | None = None) -> Array:
    """The z of ``tensordot(a, z, z.ndim) = b``.

    >>> tensorsolve(np.eye(4).reshape(2, 2, 4), np.ones((2, 2)))
    array([1., 1., 1., 1.])
    """
    a, b = as_value(a), as_value(b)
    if axes is not None:
        axes = normal_axes(tuple(axes), a.ndim)
        a = moveaxis(a, axes, range(a.ndim - len(axes), a.ndim))
    shape = a.shape[b.ndim :]
    n = math.prod(b.shape)
    if math.prod(shape) != n:
        raise np.linalg.LinAlgError(
            f"tensorsolve: a of shape {a.shape} is no square matrix for b of shape {b.shape}"
        )
    return reshape(solve(reshape(a, (n, n)), reshape(b, (n,))), shape)


@composed
def tensorinv(a: Array, ind: int = 2) -> Array:
    """The inverse of a as a linear map from its last axes to its first ``ind``.

    >>> tensorinv(np.eye(4).reshape(2, 2, 4)).shape
    (4, 2, 2)
    """
    a = as_value(a)
    if ind < 1:
        raise ValueError(f"tensorinv: expected ind of at least 1, got {ind}")
    n = math.prod(a.shape[ind:])
    return reshape(inv(reshape(a, (-1, n))), a.shape[ind:] + a.shape[:ind])


def matrix_rank(x: Array, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The rank, as an integer; see NumPy.

    >>> matrix_rank([[1.0, 1.0], [1.0, 1.0]])
    np.int64(1)
    """
    named = {} if rtol is None else {"rtol": plain(rtol)}
    return np.linalg.matrix_rank(plain(x), plain(tol), hermitian, **named)


# ── names that np.linalg has too, with other defaults ────────────────────────────────────


@composed
def diagonal(x: Array, *, offset: int = 0) -> Array:
    """The diagonal of each matrix of a stack.

    >>> diagonal([[1.0, 2.0], [3.0, 4.0]])
    array([1., 4.])
    """
    return diagonal_(x, offset, -2, -1)


@composed
def trace(x: Array, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of the diagonal of each matrix of a stack.

    >>> trace([[1.0, 2.0], [3.0, 4.0]])
    array(5.)
    """
    return trace_(x, offset, -2, -1, dtype=dtype)


@composed
def cross(x: Array, y: Array, *, axis: int = -1) -> Array:
    """The cross product of vectors of length 3.

    >>> cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    array([0., 0., 1.])
    """
    if shape_of(x)[axis] != 3 or shape_of(y)[axis] != 3:
        raise ValueError(
            f"cross: expected vectors of length 3, got shapes {shape_of(x)} and {shape_of(y)}"
        )
    return cross_(x, y, axis=axis)


@composed
def outer(x: Array, y: Array) -> Array:
    """``z_ij = x_i y_j`` of two vectors.

    >>> outer([1.0, 2.0], [3.0])
    array([[3.],
           [6.]])
    """
    if len(shape_of(x)) != 1 or len(shape_of(y)) != 1:
        raise ValueError(f"outer: expected two vectors, got {shape_of(x)} and {shape_of(y)}")
    return outer_(x, y)
