"""Polynomials like those of NumPy's older functions: coefficients, the highest power first.

All are written with other operations, so they need no rules of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array, composed
from .arrays import alike, as_value, float_dtype_of, plain, shape_of
from .contractions import convolve
from .elementwise import sqrt
from .joining import atleast_1d
from .norms import lstsq
from .reductions import sum as sum_
from .shaping import concatenate, expand_dims, stack

__all__ = [
    "poly",
    "polyadd",
    "polyder",
    "polydiv",
    "polyfit",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
    "vander",
]


@composed
def polyval(p: Array, x: Array) -> Array:
    """``y = p_0 x^(n-1) + ... + p_(n-1)``.

    Shapes: p (n,), x of any shape -> the shape of x.

    >>> polyval([1.0, 0.0, 2.0], 3.0)
    array(11.)
    """
    p, x = alike(p, x)
    y = x * 0
    # Horner's scheme.
    for k in range(p.shape[0]):
        y = y * x + p[k]
    return y


@composed
def vander(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """The matrix of powers ``y_ij = x_i^(N-1-j)``, or ``x_i^j`` if ``increasing``.

    Shapes: x (M,) -> (M, N).

    >>> vander([2.0, 3.0], 3)
    array([[4., 2., 1.],
           [9., 3., 1.]])
    """
    x = as_value(x)
    n = x.shape[0] if N is None else N
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    if x.dtype.kind not in "iub":
        powers = powers.astype(float_dtype_of(x))
    return expand_dims(x, -1) ** powers


def _same_length(p: Array, q: Array) -> tuple[Array, Array]:
    p, q = (atleast_1d(x) for x in alike(p, q))
    n = max(p.shape[0], q.shape[0])
    return _filled(p, n), _filled(q, n)


def _filled(p: Array, n: int) -> Array:
    missing = n - p.shape[0]
    return concatenate([np.zeros(missing, float_dtype_of(p)), p]) if missing else p


@composed
def polyadd(p: Array, q: Array) -> Array:
    """The sum of two polynomials.

    Shapes: p (N,), q (M,) -> (max(N, M),).

    >>> polyadd([1.0, 2.0], [3.0])
    array([1., 5.])
    """
    p, q = _same_length(p, q)
    return p + q


@composed
def polysub(p: Array, q: Array) -> Array:
    """The difference of two polynomials.

    Shapes: p (N,), q (M,) -> (max(N, M),).

    >>> polysub([1.0, 2.0], [3.0])
    array([ 1., -1.])
    """
    p, q = _same_length(p, q)
    return p - q


@composed
def polymul(p: Array, q: Array) -> Array:
    """The product of two polynomials.

    Shapes: p (N,), q (M,) -> (N + M - 1,).

    >>> polymul([1.0, 1.0], [1.0, -1.0])
    array([ 1.,  0., -1.])
    """
    p, q = alike(p, q)
    return convolve(atleast_1d(p), atleast_1d(q))


@composed
def polydiv(p: Array, q: Array) -> tuple[Array, Array]:
    """Quotient and remainder of two polynomials, by long division.

    Shapes: p (N,), q (M,) -> (N - M + 1,) and at most (M - 1,).

    Leading zeros of the remainder are removed, as in NumPy.

    >>> polydiv([1.0, 0.0, -2.0], [1.0, 1.0])
    (array([ 1., -1.]), array([-1.]))
    """
    p, q = (atleast_1d(x) for x in alike(p, q))
    rest, n = p / 1.0, q.shape[0]
    digits = []
    for k in range(p.shape[0] - n + 1):
        digits.append(rest[k] / q[0])
        taken = [rest[:k], rest[k : k + n] - digits[-1] * q, rest[k + n :]]
        rest = concatenate(taken)
    quotient = stack(digits) if digits else p[:1] * 0.0
    skipped = 0
    while skipped < rest.shape[0] - 1 and np.allclose(plain(rest)[skipped], 0, rtol=1e-14):
        skipped += 1
    return quotient, rest[skipped:]


@composed
def polyder(p: Array, m: int = 1) -> Array:
    """The m-th derivative of a polynomial.

    Shapes: p (N,) -> (N - m,).

    >>> polyder([1.0, 0.0, 2.0])
    array([2., 0.])
    """
    p = as_value(p)
    if m < 0:
        raise ValueError(f"polyder: expected a derivative of order 0 or more, got {m}")
    for _ in range(m):
        powers = np.arange(p.shape[0] - 1, 0, -1, dtype=float_dtype_of(p))
        p = p[:-1] * powers
    return p


@composed
def polyint(p: Array, m: int = 1, k: Any = None) -> Array:
    """The m-th antiderivative of a polynomial. k holds the constants, 0 by default.

    Shapes: p (N,) -> (N + m,).

    >>> polyint([2.0, 0.0])
    array([1., 0., 0.])
    """
    p = as_value(p)
    constants = np.zeros(m) if k is None else np.broadcast_to(np.asarray(plain(k)), (m,))
    for i in range(m):
        powers = np.arange(p.shape[0], 0, -1, dtype=float_dtype_of(p))
        p = concatenate([p / powers, np.asarray([constants[i]], float_dtype_of(p))])
    return p


@composed
def poly(roots: Array) -> Array:
    """The polynomial with the given roots, and 1 for the highest power.

    Shapes: roots (N,) -> (N + 1,).

    >>> poly([1.0, -1.0])
    array([ 1.,  0., -1.])
    """
    roots = atleast_1d(as_value(roots))
    if roots.ndim != 1:
        raise ValueError(f"poly: expected a vector of roots, got shape {roots.shape}")
    one, zero = np.ones(1, float_dtype_of(roots)), np.zeros(1, float_dtype_of(roots))
    p = concatenate([roots[:0], one])
    for i in range(roots.shape[0]):
        p = concatenate([p, zero]) - concatenate([zero, p * roots[i]])
    return p


@composed
def polyfit(x: Array, y: Array, deg: int, rcond: float | None = None, *, w: Array = None) -> Array:
    """The polynomial of a degree with the least ``sum_i w_i^2 (p(x_i) - y_i)^2``.

    Args:
        x: (n,).
        y: (n,) or (n, k).
        deg: the degree.
        rcond: singular values up to this part of the largest one count as 0.
        w: (n,) weights of the points, or None.

    >>> polyfit([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], 1).round(9)
    array([2., 1.])
    """
    x, y = as_value(x), as_value(y)
    if rcond is None:
        rcond = len(shape_of(x)) and x.shape[0] * float(np.finfo(float_dtype_of(x)).eps)
    left = vander(x, deg + 1)
    if w is not None:
        w = as_value(w)
        left = left * expand_dims(w, -1)
        y = y * (w if y.ndim == 1 else expand_dims(w, -1))
    # Powers of x differ by orders of magnitude. Columns of length 1 make the problem better
    # conditioned.
    scale = sqrt(sum_(left * left, 0))
    found = lstsq(left / scale, y, rcond)[0]
    return found / (scale if y.ndim == 1 else expand_dims(scale, -1))
