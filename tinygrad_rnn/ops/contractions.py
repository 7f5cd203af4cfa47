"""NumPy's other products: dot, inner, outer, tensordot, kron, cross, convolve and related ones.

All are written with matmul, einsum, or products of elements, so they need no rules of their own.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..graph import Array, composed
from .arrays import alike, as_value, dtype_of, normal_axes, shape_of
from .elementwise import maximum, minimum, multiply
from .elementwise import where as where_
from .indexing import take
from .logic import greater, greater_equal, less
from .network import windows
from .padding import pad
from .products import matmul
from .rounding import remainder
from .shaping import concatenate, expand_dims, flip, moveaxis, reshape, stack, transpose
from .sorting import argsort, searchsorted

__all__ = [
    "convolve",
    "correlate",
    "cross",
    "dot",
    "inner",
    "interp",
    "kron",
    "matvec",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]

# ── sums of products ─────────────────────────────────────────────────────────────────────


@composed
def dot(x: Array, y: Array) -> Array:
    """``z = sum_k x_{..k} y_{..k.}``: over the last axis of x and the second last axis of y.

    Args:
        x, y: any shapes; for numbers (0-d) the result is their product.

    Returns:
        x's shape without its last axis, then y's without its second last (or only) axis.

    Raises:
        ValueError: the lengths of the summed axes differ.

    >>> dot([1.0, 2.0], [3.0, 4.0])
    array(11.)
    """
    shape, other = shape_of(x), shape_of(y)
    if not shape or not other:
        return multiply(x, y)
    if len(shape) == 1 and len(other) > 2:
        return matmul(expand_dims(x, 0), y)[..., 0, :]
    if len(other) <= 2:
        return matmul(x, y)
    # dot multiplies every row of x with every matrix of y; matmul would pair the matrices.
    columns = other[:-2] + other[-1:]
    y = reshape(moveaxis(y, -2, 0), (other[-2], math.prod(columns)))
    return reshape(matmul(x, y), shape[:-1] + columns)


@composed
def inner(x: Array, y: Array) -> Array:
    """``z = sum_k x_{..k} y_{..k}``: over the last axes of both, for all pairs of the others.

    Shapes: x (A, K), y (B, K) -> (A, B).

    >>> inner([1.0, 2.0], [3.0, 4.0])
    array(11.)
    """
    if not shape_of(x) or not shape_of(y):
        return multiply(x, y)
    return tensordot(x, y, (-1, -1))


@composed
def vdot(x: Array, y: Array) -> Array:
    """``z = sum_i x_i y_i`` over all elements of x and y, of any shapes with as many elements.

    >>> vdot([[1.0, 2.0]], [[3.0], [4.0]])
    array(11.)
    """
    return matmul(reshape(as_value(x), (-1,)), reshape(as_value(y), (-1,)))


@composed
def vecdot(x: Array, y: Array, axis: int = -1) -> Array:
    """``z = sum_k x_k y_k`` along one axis; the others broadcast.

    >>> vecdot([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    array([3., 7.])
    """
    x, y = as_value(x), as_value(y)
    if x.shape[axis] != y.shape[axis]:
        raise ValueError(f"vecdot: axis {axis} differs in length: shapes {x.shape} and {y.shape}")
    x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
    return matmul(expand_dims(x, -2), expand_dims(y, -1))[..., 0, 0]


@composed
def matvec(x: Array, y: Array) -> Array:
    """``z_i = sum_k x_ik y_k``: stacks of matrices times stacks of vectors.

    Shapes: x (..., M, N), y (..., N) -> (..., M).

    >>> matvec([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    array([3., 7.])
    """
    return matmul(x, expand_dims(y, -1))[..., 0]


@composed
def vecmat(x: Array, y: Array) -> Array:
    """``z_k = sum_i x_i y_ik``: stacks of vectors times stacks of matrices.

    Shapes: x (..., M), y (..., M, N) -> (..., N).

    >>> vecmat([1.0, 1.0], [[1.0, 2.0], [3.0, 4.0]])
    array([4., 6.])
    """
    return matmul(expand_dims(x, -2), y)[..., 0, :]


@composed
def outer(x: Array, y: Array) -> Array:
    """``z_ij = x_i y_j`` of the flattened x and y.

    Shapes: x and y of any shapes -> (size of x, size of y).

    >>> outer([1.0, 2.0], [3.0, 4.0])
    array([[3., 4.],
           [6., 8.]])
    """
    x, y = alike(x, y)
    return reshape(x, (-1, 1)) * reshape(y, (-1,))


@composed
def tensordot(x: Array, y: Array, axes: Any = 2) -> Array:
    """Sums of products over paired axes of x and y; the other axes remain, x's first.

    Args:
        x, y: any shapes.
        axes: two sequences of axes, of x and of y, paired in order; or a number n: the last n
            axes of x and the first n axes of y.

    Raises:
        ValueError: paired axes differ in length.

    >>> tensordot([[1.0, 2.0]], [[3.0], [4.0]], 1)
    array([[11.]])
    """
    x, y = as_value(x), as_value(y)
    if np.ndim(axes) == 0:
        n = operator.index(axes)
        axes = range(x.ndim - n, x.ndim), range(n)
    of_x, of_y = (normal_axes(a, v.ndim) for a, v in zip(axes, (x, y), strict=True))
    if [x.shape[a] for a in of_x] != [y.shape[a] for a in of_y]:
        raise ValueError(
            f"tensordot: axes {of_x} of {x.shape} and {of_y} of {y.shape} differ in length"
        )
    # One matrix product: x with the summed axes last, y with them first.
    rest_x = [a for a in range(x.ndim) if a not in of_x]
    rest_y = [a for a in range(y.ndim) if a not in of_y]
    shape = [x.shape[a] for a in rest_x] + [y.shape[a] for a in rest_y]
    n = math.prod(x.shape[a] for a in of_x)
    rows = math.prod(x.shape[a] for a in rest_x)
    columns = math.prod(y.shape[a] for a in rest_y)
    left = reshape(transpose(x, (*rest_x, *of_x)), (rows, n))
    right = reshape(transpose(y, (*of_y, *rest_y)), (n, columns))
    return reshape(matmul(left, right), tuple(shape))


# ── products of all pairs ────────────────────────────────────────────────────────────────


@composed
def kron(x: Array, y: Array) -> Array:
    """The Kronecker product: a block ``x_i y`` for each element x_i of x.

    Shapes: x (A, B), y (C, D) -> (A C, B D).

    >>> kron([1.0, 10.0], [1.0, 2.0])
    array([ 1.,  2., 10., 20.])
    """
    x, y = alike(x, y)
    n = max(x.ndim, y.ndim)
    a = (1,) * (n - x.ndim) + x.shape
    b = (1,) * (n - y.ndim) + y.shape
    # (A, B) and (C, D) -> (A, 1, B, 1) and (1, C, 1, D): the product (A, C, B, D) is (A C, B D).
    left = reshape(x, tuple(m for size in a for m in (size, 1)))
    right = reshape(y, tuple(m for size in b for m in (1, size)))
    return reshape(left * right, tuple(p * q for p, q in zip(a, b, strict=True)))


@composed
def cross(
    x: Array,
    y: Array,
    axisa: int = -1,
    axisb: int = -1,
    axisc: int = -1,
    axis: int | None = None,
) -> Array:
    """The cross product of vectors of length 3 (or 2, whose third element is 0).

    Args:
        x, y: any shapes that broadcast, apart from the vectors' axes.
        axisa, axisb, axisc: the vectors' axes in x, in y and in the result.
        axis: one value for all three.

    Returns:
        Vectors; for two vectors of length 2 only the third element.

    Raises:
        ValueError: a vector has another length.

    >>> cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    array([0., 0., 1.])
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(as_value(x), axisa, -1), moveaxis(as_value(y), axisb, -1)
    if x.shape[-1] not in (2, 3) or y.shape[-1] not in (2, 3):
        raise ValueError(f"cross: expected vectors of length 2 or 3, got {x.shape} and {y.shape}")
    a = [x[..., i] for i in range(x.shape[-1])]
    b = [y[..., i] for i in range(y.shape[-1])]
    third = a[0] * b[1] - a[1] * b[0]
    if len(a) == len(b) == 2:
        return third
    a2b1 = a[2] * b[1] if len(a) == 3 else 0
    a2b0 = a[2] * b[0] if len(a) == 3 else 0
    first = (a[1] * b[2] if len(b) == 3 else 0) - a2b1
    second = a2b0 - (a[0] * b[2] if len(b) == 3 else 0)
    return moveaxis(stack([first, second, third], -1), -1, axisc)


# ── convolution and interpolation ────────────────────────────────────────────────────────


def _slid(x: Array, y: Array, mode: str, name: str) -> Array:
    """``z_k = sum_i x_{k + i} y_i`` for every position at which the shorter y overlaps x."""
    x, y = as_value(x), as_value(y)
    if x.ndim != 1 or y.ndim != 1 or not x.size or not y.size:
        raise ValueError(f"{name}: expected two vectors, got shapes {x.shape} and {y.shape}")
    m = y.size
    if mode == "full":
        x = pad(x, (m - 1, m - 1))
    elif mode == "same":
        x = pad(x, (m // 2, m - 1 - m // 2))
    elif mode != "valid":
        raise ValueError(f"{name}: expected 'full', 'same' or 'valid' as mode, got {mode!r}")
    return matmul(windows(expand_dims(x, 0), (1, m))[0, :, 0, :], y)


@composed
def convolve(x: Array, y: Array, mode: str = "full") -> Array:
    """``z_k = sum_i x_i y_{k - i}``.

    Shapes: x (N,), y (M,) -> (N + M - 1,) with ``mode="full"``.

    Args:
        x, y: (n,) and (m,).
        mode: "full" (n + m - 1 positions), "same" (the middle max(n, m) positions), or "valid"
            (the positions of complete overlap).

    Raises:
        ValueError: x or y is not a vector, or is empty; or the mode is unknown.

    >>> convolve([1.0, 2.0, 3.0], [0.0, 1.0])
    array([0., 1., 2., 3.])
    """
    x, y = as_value(x), as_value(y)
    if x.ndim == y.ndim == 1 and y.size > x.size:
        x, y = y, x
    return _slid(x, flip(y) if y.ndim else y, mode, "convolve")


@composed
def correlate(x: Array, y: Array, mode: str = "valid") -> Array:
    """``z_k = sum_i x_{i + k} y_i``.

    Shapes: x (N,), y (M,) -> (N - M + 1,) with ``mode="valid"``, for N >= M.

    Args:
        x, y: (n,) and (m,).
        mode: as for :func:`convolve`.

    >>> correlate([1.0, 2.0, 3.0], [0.0, 1.0])
    array([2., 3.])
    """
    x, y = as_value(x), as_value(y)
    if x.ndim == y.ndim == 1 and y.size > x.size:
        # Exchanging x and y turns z_k into z_{-k}, so the positions come in reverse.
        return flip(correlate(y, x, mode))
    return _slid(x, y, mode, "correlate")


@composed
def interp(
    x: Array,
    xp: Array,
    fp: Array,
    left: Array = None,
    right: Array = None,
    period: float | None = None,
) -> Array:
    """The piecewise linear function through the points (xp, fp), at x.

    Gradients flow to x, xp and fp. At a point the slope is the slope on its right; outside it is 0.

    Args:
        x: any shape.
        xp: (n,) in ascending order (in any order if there is a period).
        fp: (n,).
        left, right: the values before the first point and after the last one. The defaults are
            the values at these points.
        period: the period of the function; with a period, left and right have no effect.

    Raises:
        ValueError: xp and fp are not vectors of one length, or are empty; or the period is 0.

    >>> interp([0.5, 3.0], [0.0, 1.0, 2.0], [10.0, 20.0, 0.0])
    array([15.,  0.])
    """
    x, xp, fp = as_value(x), as_value(xp), as_value(fp)
    if xp.ndim != 1 or fp.shape != xp.shape or not xp.size:
        raise ValueError(f"interp: expected two vectors, got shapes {xp.shape} and {fp.shape}")
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    if period is not None:
        if period == 0:
            raise ValueError("interp: the period must not be 0")
        period = abs(period)
        x, xp = remainder(x, period), remainder(xp, period)
        order = argsort(xp)
        order = concatenate([order[-1:], order, order[:1]])
        # The last point once more before the first, and the first once more after the last.
        turn = np.array([-period, *[0] * xp.size, period], dtype_of(xp))
        xp, fp = take(xp, order) + turn, take(fp, order)
        left = right = None
    last = xp.size - 1
    # Point i is the last one at or before x, and j the next one. Outside of the points, the first
    # or the last two.
    i = minimum(maximum(searchsorted(xp, x, "right") - 1, 0), max(last - 1, 0))
    j = minimum(i + 1, last)
    width = take(xp, j) - take(xp, i)
    width = where_(width == 0, 1, width) if last == 0 else width
    below = take(fp, i)
    y = below + (take(fp, j) - below) / width * (x - take(xp, i))
    y = where_(less(x, xp[0]), fp[0] if left is None else left, y)
    y = where_(greater_equal(x, xp[-1]), fp[-1], y)
    return y if right is None else where_(greater(x, xp[-1]), right, y)
