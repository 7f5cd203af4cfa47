"""pad, with all of NumPy's modes: numbers, repeated edges, mirror images, ramps, statistics."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..graph import Array, composed
from .arrays import as_value, plain
from .indexing import getitem, take
from .reductions import max, mean, min
from .rounding import floor, rint
from .shaping import _pad, astype, concatenate
from .statistics import median

__all__ = [
    "pad",
]

#: Modes that add copies of elements of x. We pad the elements' numbers with NumPy to find which.
_copies = ("edge", "reflect", "symmetric", "wrap")
_statistics: dict[str, Any] = {"maximum": max, "minimum": min, "mean": mean, "median": median}


def _pairs(value: Any, axes: int, name: str) -> Any:
    """``n``, ``(before, after)`` or one such pair for each axis, as (axes, 2)."""
    try:
        return np.broadcast_to(np.asarray(value), (axes, 2))
    except ValueError:
        raise ValueError(
            f"pad: expected n, (before, after) or {axes} such pairs as {name}, got {value!r}"
        ) from None


@composed
def pad(
    x: Array,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    stat_length: Any = None,
    end_values: Any = 0,
    reflect_type: str = "even",
) -> Array:
    """x with elements added on all sides, like ``np.pad``.

    Args:
        x: any shape.
        pad_width: ``n``, ``(before, after)``, or such a pair for each axis; or a dict from axes to
            these.
        mode: "constant" adds ``constant_values``. "edge" repeats the outermost elements. "reflect"
            and "symmetric" mirror x, without or with its outermost elements. "wrap" continues
            with the other end. "linear_ramp" goes linearly to ``end_values``. "maximum",
            "minimum", "mean" and "median" use the outermost ``stat_length`` elements. "empty"
            adds zeros.
        constant_values, end_values: numbers, for all sides or in pairs.
        stat_length: the number of elements for a statistic; None for all.
        reflect_type: "odd" also negates the mirror image, around the outermost element.

    Returns:
        The padded array. An added element passes its gradient to the elements it comes from.

    Raises:
        ValueError: the mode is unknown, a width is negative, or ``pad_width`` does not fit x.
        TypeError: ``pad_width`` does not hold integers, or the mode is a function.

    >>> pad([1.0, 2.0], (1, 2))
    array([0., 1., 2., 0., 0.])
    >>> pad([1.0, 2.0], (1, 2), "edge")
    array([1., 1., 2., 2., 2.])
    """
    if callable(mode):
        raise TypeError("pad: a function as mode writes into its array; use one of the named modes")
    x = as_value(x)
    axes = x.ndim
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(a, pad_width.get(a - axes, 0)) for a in range(axes)]
        pad_width = [(w, w) if np.ndim(w) == 0 else w for w in pad_width]
    if np.asarray(pad_width).dtype.kind not in "iu":
        raise TypeError(f"pad: expected integers as pad_width, got {pad_width!r}")
    widths = _pairs(pad_width, axes, "pad_width")
    if (widths < 0).any():
        raise ValueError(f"pad: expected widths of at least 0, got {pad_width!r}")
    if mode in ("constant", "empty"):
        numbers = constant_values if mode == "constant" else 0
        return _pad(x, widths, _pairs(plain(numbers), axes, "constant_values"))
    if mode in _copies:
        return _with_copies(x, widths, mode, reflect_type)
    if mode == "linear_ramp":
        return _with_ramps(x, widths, _pairs(end_values, axes, "end_values"))
    if mode in _statistics:
        lengths = None if stat_length is None else _pairs(stat_length, axes, "stat_length")
        return _with_statistics(x, widths, _statistics[mode], lengths)
    known = ", ".join(["constant", "empty", *_copies, "linear_ramp", *_statistics])
    raise ValueError(f"pad: expected one of {known} as mode, got {mode!r}")


def _with_copies(x: Array, widths: Any, mode: str, reflect_type: str) -> Array:
    if reflect_type not in ("even", "odd"):
        raise ValueError(f"pad: expected 'even' or 'odd' as reflect_type, got {reflect_type!r}")
    for axis, (before, after) in enumerate(widths.tolist()):
        n = x.shape[axis]
        if not before and not after:
            continue
        if not n:
            raise ValueError(f"pad: axis {axis} is empty: there is nothing to copy")
        if reflect_type == "odd" and mode in ("reflect", "symmetric"):
            x = _with_odd_copies(x, axis, before, after, skip=int(mode == "reflect" and n > 1))
        else:
            # NumPy pads the indices: they say which element each new one copies, and ``take`` has a
            # gradient.
            order = np.pad(np.arange(n), (before, after), mode=mode)  # type: ignore[call-overload]
            x = take(x, order, axis)
    return x


def _with_odd_copies(x: Array, axis: int, before: int, after: int, skip: int) -> Array:
    """Negated mirror images, ``2 edge - x_i``, repeated until the widths are filled.

    ``skip`` is 1 if the outermost element itself is not mirrored.
    """
    lead = (slice(None),) * axis
    while before or after:
        size = x.shape[axis]
        parts = [x]
        take_before = builtins.min(before, size - skip)
        if take_before:
            image = getitem(x, (*lead, slice(skip, skip + take_before)))
            image = getitem(image, (*lead, slice(None, None, -1)))
            parts.insert(0, 2 * getitem(x, (*lead, slice(0, 1))) - image)
        take_after = builtins.min(after, size - skip)
        if take_after:
            image = getitem(x, (*lead, slice(size - skip - take_after, size - skip)))
            image = getitem(image, (*lead, slice(None, None, -1)))
            parts.append(2 * getitem(x, (*lead, slice(size - 1, size))) - image)
        x = concatenate(parts, axis)
        before, after = before - take_before, after - take_after
    return x


def _with_ramps(x: Array, widths: Any, ends: Any) -> Array:
    dtype = x.dtype if x.dtype.kind == "f" else np.float64
    for axis, (before, after) in enumerate(widths.tolist()):
        lead = (slice(None),) * axis
        column = (-1, *(1,) * (x.ndim - axis - 1))
        first = getitem(x, (*lead, slice(0, 1)))
        last = getitem(x, (*lead, slice(x.shape[axis] - 1, x.shape[axis])))
        parts = [x]
        if before:
            share = (np.arange(before) / before).reshape(column).astype(dtype)
            parts.insert(0, _as_part(first * share + ends[axis, 0].item() * (1 - share), x, floor))
        if after:
            share = (np.arange(after)[::-1] / after).reshape(column).astype(dtype)
            parts.append(_as_part(last * share + ends[axis, 1].item() * (1 - share), x, floor))
        x = concatenate(parts, axis) if len(parts) > 1 else x
    return x


def _with_statistics(x: Array, widths: Any, statistic: Any, lengths: Any) -> Array:
    for axis, (before, after) in enumerate(widths.tolist()):
        n = x.shape[axis]
        lead = (slice(None),) * axis
        first, last = (n, n) if lengths is None else np.minimum(lengths[axis], n).tolist()
        if first < 1 or last < 1:
            raise ValueError("pad: stat_length must be at least 1")
        parts = [x]
        if before:
            value = statistic(getitem(x, (*lead, slice(0, first))), axis, True)
            parts.insert(0, take(_as_part(value, x, rint), np.zeros(before, int), axis))
        if after:
            value = statistic(getitem(x, (*lead, slice(n - last, n))), axis, True)
            parts.append(take(_as_part(value, x, rint), np.zeros(after, int), axis))
        x = concatenate(parts, axis) if len(parts) > 1 else x
    return x


def _as_part(value: Array, x: Array, rounded: Any) -> Array:
    """A value in x's dtype, rounded if this is an integer dtype."""
    return value if x.dtype.kind == "f" else astype(rounded(value), x.dtype)
