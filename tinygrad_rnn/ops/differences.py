"""Differences and sums of neighbours: slopes, integrals, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array, composed
from .arrays import (
    Axes,
    alike,
    as_value,
    dtype_of,
    float_dtype_of,
    normal_axes,
    normal_axis,
    plain,
    shape_of,
)
from .indexing import getitem
from .reductions import cumprod, cumsum, in_dtype
from .reductions import sum as sum_
from .shaping import astype, broadcast_to, concatenate, moveaxis, reshape

__all__ = [
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "ediff1d",
    "gradient",
    "trapezoid",
    "unwrap",
]

# ── differences of neighbours ─────────────────────────────────────────────────────────────────────


@composed
def diff(
    x: Array, n: int = 1, axis: int = -1, prepend: Array = None, append: Array = None
) -> Array:
    """``y_i = x_{i+1} - x_i`` along an axis, applied n times.

    Shapes: x (..., N, ...) -> (..., N - n, ...).

    Args:
        x: one dimension or more.
        n: how many times.
        axis: the axis.
        prepend, append: values to join before and after x first.

    >>> diff([1.0, 3.0, 6.0])
    array([2., 3.])
    """
    x = as_value(x)
    if n < 0:
        raise ValueError(f"diff: expected n of at least 0, got {n}")
    if n == 0:
        return x
    along = normal_axis(axis, x.ndim)
    edges = []
    for values in (prepend, append):
        if values is not None:
            _, values = alike(x, values)
        if values is not None and not values.shape:
            values = broadcast_to(values, (*x.shape[:along], 1, *x.shape[along + 1 :]))
        edges.append([] if values is None else [values])
    if prepend is not None or append is not None:
        x = concatenate([*edges[0], x, *edges[1]], along)
    lead = (slice(None),) * along
    for _ in range(n):
        later, earlier = getitem(x, (*lead, slice(1, None))), getitem(x, (*lead, slice(None, -1)))
        x = later != earlier if dtype_of(x).kind == "b" else later - earlier
    return x


@composed
def ediff1d(x: Array, to_end: Array = None, to_begin: Array = None) -> Array:
    """The differences of neighbours in the flattened x, with values joined at both ends.

    Shapes: x of any shape -> (size - 1,), and longer by to_begin and to_end.

    >>> ediff1d([1.0, 3.0, 6.0], to_begin=0.0)
    array([0., 2., 3.])
    """
    parts = [diff(reshape(as_value(x), (-1,)))]
    if to_begin is not None:
        parts.insert(0, reshape(alike(x, to_begin)[1], (-1,)))
    if to_end is not None:
        parts.append(reshape(alike(x, to_end)[1], (-1,)))
    return concatenate(parts) if len(parts) > 1 else parts[0]


@composed
def gradient(x: Array, *spacing: Any, axis: Axes = None, edge_order: int = 1) -> Any:
    """Slopes of x along its axes: central differences inside, one-sided ones at the edges.

    Args:
        x: two elements or more along each axis (three for ``edge_order=2``).
        *spacing: nothing (1), one number for all axes, or a number or coordinates for each axis.
        axis: an axis, several, or None for all.
        edge_order: 1 or 2, the order of the differences at the edges.

    Returns:
        An array of x's shape; for several axes a tuple of arrays.

    Source: Quarteroni, Sacco and Saleri, "Numerical Mathematics" (2007), section 10.10.

    >>> gradient([1.0, 2.0, 4.0])
    array([1. , 1.5, 2. ])
    """
    x = as_value(x)
    if x.dtype.kind in "iub":
        x = in_dtype(x, np.float64)
    axes = normal_axes(axis, x.ndim)
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: expected an edge_order of 1 or 2, got {edge_order}")
    if len(spacing) not in (0, 1, len(axes)) or (
        len(spacing) == 1 and len(axes) > 1 and np.ndim(plain(spacing[0]))
    ):
        raise TypeError(f"gradient: expected none, one or {len(axes)} spacings")
    spacing = spacing or (1.0,)
    each = spacing * len(axes) if len(spacing) == 1 else spacing
    slopes = tuple(_slope(x, a, h, edge_order) for a, h in zip(axes, each, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(x: Array, axis: int, spacing: Any, edge_order: int) -> Array:
    x = moveaxis(x, axis, -1)
    n = x.shape[-1]
    if n < edge_order + 1:
        raise ValueError(f"gradient: axis {axis} of length {n} is too short for its differences")
    if shape_of(spacing):
        if shape_of(spacing) != (n,):
            raise ValueError(f"gradient: expected {n} coordinates, got {shape_of(spacing)}")
        h = as_value(spacing)
        h = h[1:] - h[:-1]
        uniform = False
    else:
        h, uniform = broadcast_to(astype(spacing, float_dtype_of(x)), (n - 1,)), True
    steps = x[..., 1:] - x[..., :-1]
    left, right = h[:-1], h[1:]
    if uniform:
        inside = (x[..., 2:] - x[..., :-2]) / (2.0 * left)
    else:
        inside = (left / right * steps[..., 1:] + right / left * steps[..., :-1]) / (left + right)
    first, last = steps[..., :1] / h[:1], steps[..., -1:] / h[-1:]
    if edge_order == 2:
        first = first + (first - steps[..., 1:2] / h[1:2]) * (h[:1] / (h[:1] + h[1:2]))
        last = last + (last - steps[..., -2:-1] / h[-2:-1]) * (h[-1:] / (h[-1:] + h[-2:-1]))
    return moveaxis(concatenate([first, inside, last], -1), -1, axis)


@composed
def unwrap(
    x: Array, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi
) -> Array:
    """x plus multiples of the period, so that neighbours differ by at most half a period.

    Shapes: x of any shape -> the same shape.

    >>> unwrap([0.0, 6.0]).round(2)
    array([ 0.  , -0.28])
    """
    x = as_value(x)
    array = plain(x)
    return x + (np.unwrap(array, discont, axis, period=period) - array).astype(dtype_of(x))


# ── running sums with a start ─────────────────────────────────────────────────────────────────────


def _cumulative(
    accumulate: Any, start: float, x: Array, axis: int | None, dtype: Any, include_initial: bool
) -> Array:
    x = as_value(x)
    if axis is None:
        if x.ndim > 1:
            raise ValueError(f"a cumulative sum or product of shape {x.shape} needs an axis")
        x, axis = reshape(x, (-1,)), 0
    axis = normal_axis(axis, x.ndim)
    y = accumulate(x, axis, dtype=dtype)
    if not include_initial:
        return y
    first = np.full((*y.shape[:axis], 1, *y.shape[axis + 1 :]), start, float_dtype_of(y))
    first = first if dtype_of(y).kind not in "iub" else first.astype(y.dtype)
    return concatenate([first, y], axis)


@composed
def cumulative_sum(
    x: Array, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """:func:`cumsum`, with a 0 before it if ``include_initial``.

    >>> cumulative_sum([1.0, 2.0], include_initial=True)
    array([0., 1., 3.])
    """
    return _cumulative(cumsum, 0, x, axis, dtype, include_initial)


@composed
def cumulative_prod(
    x: Array, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """:func:`cumprod`, with a 1 before it if ``include_initial``.

    >>> cumulative_prod([2.0, 3.0], include_initial=True)
    array([1., 2., 6.])
    """
    return _cumulative(cumprod, 1, x, axis, dtype, include_initial)


# ── integrals ─────────────────────────────────────────────────────────────────────────────────────


@composed
def trapezoid(y: Array, x: Array = None, dx: float = 1.0, axis: int = -1) -> Array:
    """The integral of y by the trapezoidal rule: ``sum_i (x_{i+1} - x_i) (y_i + y_{i+1}) / 2``.

    Args:
        y: any shape.
        x: the coordinates of y: of y's shape, or (n,) along the axis; None for steps of dx.
        dx: the step.
        axis: the axis of the integral.

    >>> trapezoid([1.0, 2.0, 3.0])
    array(4.)
    """
    y = moveaxis(as_value(y), axis, -1)
    width: Array = dx
    if x is not None:
        x = as_value(x)
        x = x if x.ndim == 1 else moveaxis(x, axis, -1)
        width = x[..., 1:] - x[..., :-1]
    return sum_(width * (y[..., 1:] + y[..., :-1]) / 2.0, -1)
