"""Apply the user's functions to parts of an array; make ranges of numbers between two values.

All are written with other operations, so they need no rules of their own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph import Array, composed, raise_as
from .arrays import alike, as_value, float_dtype_of, normal_axes, normal_axis, plain, shape_of
from .elementwise import abs, exp, log, power, where
from .joining import array
from .logic import sign
from .reductions import in_dtype
from .shaping import broadcast_to, expand_dims, moveaxis, reshape

__all__ = [
    "apply_along_axis",
    "apply_over_axes",
    "geomspace",
    "linspace",
    "logspace",
    "piecewise",
]


def _in_user_code(func: Callable[..., Array]) -> Callable[..., Array]:
    """The same function, but an error in it names the function."""

    def call(*args: Any, **keywords: Any) -> Array:
        try:
            return func(*args, **keywords)
        except (ValueError, TypeError, IndexError) as error:
            raise_as(f"in {getattr(func, '__name__', func)}", error, over=False)

    return call


@composed
def apply_along_axis(
    func1d: Callable[..., Array], axis: int, x: Array, *args: Any, **keywords: Any
) -> Array:
    """Apply a function of vectors to every vector along an axis; its results replace the axis.

    Shapes: x (..., n, ...), a function (n,) -> (m,) -> (..., m, ...).

    >>> apply_along_axis(lambda v: v[0] * v, 1, [[2.0, 3.0]])
    array([[4., 6.]])
    """
    x, func1d = as_value(x), _in_user_code(func1d)
    axis = normal_axis(axis, x.ndim)
    rows = moveaxis(x, axis, -1)
    others = rows.shape[:-1]
    flat = reshape(rows, (math.prod(others), rows.shape[-1]))
    found = [func1d(flat[i], *args, **keywords) for i in range(math.prod(others))]
    if not found:
        raise ValueError(f"apply_along_axis: there is no vector in an array of shape {x.shape}")
    results = array(found)
    inner = results.shape[1:]
    results = reshape(results, (*others, *inner))
    n = len(others)
    return moveaxis(results, range(n, n + len(inner)), range(axis, axis + len(inner)))


@composed
def apply_over_axes(func: Callable[[Array, int], Array], x: Array, axes: Any) -> Array:
    """Apply ``func(x, axis)`` for one axis after the other; a reduced axis is kept with length 1.

    Shapes: x of any shape -> that shape with 1 at the axes.

    >>> apply_over_axes(np.sum, [[1.0, 2.0], [3.0, 4.0]], [0, 1])
    array([[10.]])
    """
    x, func = as_value(x), _in_user_code(func)
    for axis in normal_axes(axes, x.ndim):
        y = func(x, axis)
        x = y if len(shape_of(y)) == x.ndim else expand_dims(y, axis)
    return x


@composed
def piecewise(
    x: Array, condlist: Any, funclist: Sequence[Any], *args: Any, **keywords: Any
) -> Array:
    """The function (or number) of the last condition that is True for each element.

    Args:
        x: any shape.
        condlist: booleans of x's shape, one array or a list of arrays.
        funclist: a function or number for each condition. One more is for the rest, which else
            is 0.

    Raises:
        ValueError: the number of functions does not fit.

    >>> piecewise([-1.0, 2.0], [[True, False]], [lambda v: -v, lambda v: v * v])
    array([1., 4.])
    """
    x = as_value(x)
    first = shape_of(condlist[0] if isinstance(condlist, (list, tuple)) else condlist)
    single = not isinstance(condlist, (list, tuple)) or (first == () and x.ndim > 0)
    conditions = [np.asarray(plain(c)) for c in ([condlist] if single else condlist)]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: expected {len(conditions)} functions, or one more, got {len(funclist)}"
        )
    if len(funclist) > len(conditions):
        conditions.append(~np.any(conditions, axis=0))
    y = x * 0
    for condition, func in zip(conditions, funclist, strict=False):
        if not callable(func):
            y = where(condition, func, y)
            continue
        # The function gets its own elements only: the others may be outside of its domain.
        inside = x[condition]
        value = _in_user_code(func)(inside, *args, **keywords)
        y = _replaced(y, condition, value)
    return y


def _replaced(y: Array, condition: Any, values: Array) -> Array:
    """y with new values where the condition is True."""
    from .indexing import place

    values = broadcast_to(as_value(values), (int(condition.sum()),))
    return where(condition, place(values, condition, y.shape), y)


# ── ranges ───────────────────────────────────────────────────────────────────────────────


@composed
def linspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """``y_i = start + i (stop - start) / (num - 1)``: evenly spaced numbers.

    Args:
        start, stop: any shapes that broadcast; both get gradients.
        num: how many numbers.
        endpoint: False excludes stop: the step is (stop - start) / num.
        retstep: return ``(y, step)``.
        dtype: the dtype of the result.
        axis: the axis of the numbers in the result.

    >>> linspace(0.0, 1.0, 3)
    array([0. , 0.5, 1. ])
    """
    start, stop, num = *alike(start, stop), operator.index(num)
    if num < 0:
        raise ValueError(f"linspace: expected a number of at least 0, got {num}")
    start, stop = (v if v.dtype.kind == "f" else v * 1.0 for v in (start, stop))
    parts = num - 1 if endpoint else num
    share = (np.arange(num) / max(parts, 1)).astype(float_dtype_of(start))
    share = share.reshape(num, *(1,) * max(start.ndim, stop.ndim))
    # Not start + i step: this form is exact at both ends.
    y = start * (1 - share) + stop * share
    y = in_dtype(moveaxis(y, 0, axis), dtype)
    return (y, (stop - start) / float(parts) if parts else stop - start + np.nan) if retstep else y


@composed
def logspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    base: Array = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """``base^y`` for the y of :func:`linspace`.

    >>> logspace(0.0, 2.0, 3)
    array([  1.,  10., 100.])
    """
    y = linspace(start, stop, num, endpoint, axis=axis)
    return in_dtype(power(expand_dims(base, axis) if shape_of(base) else base, y), dtype)


@composed
def geomspace(
    start: Array,
    stop: Array,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """Numbers each a constant factor larger than the one before.

    Shapes: start and stop of shape S -> (num, *S).

    Raises:
        ValueError: start or stop is 0, or their signs differ.

    >>> geomspace(1.0, 100.0, 3)
    array([  1.,  10., 100.])
    """
    start, stop = alike(start, stop)
    if np.any(np.sign(plain(start)) * np.sign(plain(stop)) <= 0):
        raise ValueError("geomspace: start and stop must have the same sign, and not be 0")
    y = exp(linspace(log(abs(start)), log(abs(stop)), num, endpoint, axis=axis))
    return in_dtype(y * expand_dims(sign(start), axis) if start.ndim else y * sign(start), dtype)
