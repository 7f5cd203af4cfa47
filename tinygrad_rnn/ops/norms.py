"""Norms, powers, chains of products and least squares, written with other operations."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Array, composed, located
from .arrays import Axes, as_value, dtype_of, normal_axes, plain
from .decompositions import svdvals
from .elementwise import abs, power, square, where
from .inverses import _pinv, inv
from .logic import equal
from .reductions import max, min, sum
from .shaping import expand_dims, moveaxis, reshape
from .statistics import root

__all__ = [
    "cond",
    "lstsq",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "vector_norm",
]

# ── norms ─────────────────────────────────────────────────────────────────────────────────────────


@composed
def norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """The norm of vectors or matrices. If a 2-norm is 0, its gradient is 0.

    Args:
        x: any shape.
        ord: for vectors p in ``(sum |x_i|^p)^(1/p)``, by default 2; or inf, -inf, or 0 (the number
            of elements that are not 0). For matrices "fro" (the default), "nuc", 1, -1, 2, -2,
            inf, -inf.
        axis: one axis for vectors, two axes for matrices; None for all of x.
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
    """``(sum_i |x_i|^p)^(1/p)`` along some axes, by default all; see :func:`norm`.

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
    # At x_i = 0 the gradient is 0, also if |x_i|^p is not smooth there.
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
    """The condition number ``|x| |x^-1|`` with a norm, by default the 2-norm; see :func:`norm`.

    >>> cond([[2.0, 0.0], [0.0, 1.0]])
    array(2.)
    """
    x = as_value(x)
    if p in (None, 2, -2):
        s = svdvals(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return norm(x, p, (-2, -1)) * norm(inv(x), p, (-2, -1))


# ── powers and chains of products ─────────────────────────────────────────────────────────────────


@composed
def matrix_power(x: Array, n: int) -> Array:
    """``x x ... x`` with n factors, by repeated squaring; for negative n with the inverse of x.

    Args:
        x: (..., m, m).
        n: an integer.

    Raises:
        LinAlgError: a matrix is not square, or n < 0 and a matrix is singular.
        TypeError: n is not an integer.

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
        # Not the identity alone: so the result is connected to x, with the gradient 0.
        return x * 0 + np.eye(x.shape[-1], dtype=x.dtype)
    result = None
    # x^13 = x^8 x^4 x: the binary digits of n choose among the squares x, x^2, x^4, ...
    while n:
        if n % 2:
            result = x if result is None else result @ x
        n //= 2
        x = x @ x if n else x
    return result


@composed
def multi_dot(arrays: Sequence[Array]) -> Array:
    """The product of a chain of matrices, in the order with the fewest multiplications.

    Shapes: arrays (A, B), (B, C), ..., (Y, Z) -> (A, Z).

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
        """The fewest multiplications for the product i ... j, and the factor to cut after."""
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


# ── least squares and rank ────────────────────────────────────────────────────────────────────────
@composed
def lstsq(a: Array, b: Array, rcond: float | None = None) -> tuple[Array, Array, Any, Array]:
    """The z with the least ``|a z - b|``; if there are several, the shortest: ``z = pinv(a) b``.

    Shapes: a (M, N), b (M,) or (M, K) -> (N,) or (N, K), and the residuals (K,).

    Args:
        a: (m, n).
        b: (m,) or (m, k).
        rcond: singular values up to this part of the largest one count as 0. The default is the
            rounding error times max(m, n).

    Returns:
        z; the sums of squares of ``b - a z`` (empty if the rank is below n, or m <= n); the rank of
        a; and its singular values.

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
    # As in NumPy, residuals exist only for full rank and more equations than unknowns.
    rank = int(np.sum(sizes > rcond * sizes[:1])) if sizes.size else 0
    if rank < n or m <= n:
        return z, np.zeros(0, dtype_of(z)), rank, values
    return z, sum(square(b - a @ z), 0, b.ndim == 1), rank, values


@located
def matrix_rank(x: Array, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """The rank, as an integer; see NumPy.

    Shapes: x (..., M, N) -> (...).

    >>> matrix_rank([[1.0, 1.0], [1.0, 1.0]])
    np.int64(1)
    """
    named = {} if rtol is None else {"rtol": plain(rtol)}
    return np.linalg.matrix_rank(plain(x), plain(tol), hermitian, **named)
