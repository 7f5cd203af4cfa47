"""Reductions that skip NaN, written with the ones that do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array, composed
from .arrays import Axes, as_value
from .elementwise import multiply
from .elementwise import where as where_
from .logic import equal
from .reductions import chosen, cumprod, cumsum, in_dtype, max, mean, min, prod
from .reductions import sum as sum_
from .statistics import _reduced, as_share, root, var

__all__ = [
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanpercentile",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
]


def _numbers(x: Array, where: Any) -> Array:
    """True where x is not NaN and ``where`` is True."""
    # NaN is the only number that is not equal to itself.
    mask = equal(x, x)
    return mask if where is None else multiply(mask, where)


@composed
def nansum(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """:func:`sum` of the elements that are not NaN; 0 if all are NaN.

    >>> nansum([1.0, np.nan])
    array(1.)
    """
    x = in_dtype(x, dtype)
    return sum_(x, axis, keepdims, initial=initial, where=_numbers(x, where))


@composed
def nanprod(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """:func:`prod` of the elements that are not NaN; 1 if all are NaN.

    >>> nanprod([2.0, np.nan])
    array(2.)
    """
    x = in_dtype(x, dtype)
    return prod(x, axis, keepdims, initial=initial, where=_numbers(x, where))


@composed
def nanmean(
    x: Array, axis: Axes = None, keepdims: bool = False, *, dtype: Any = None, where: Any = None
) -> Array:
    """:func:`mean` of the elements that are not NaN; NaN if all are NaN.

    >>> nanmean([1.0, np.nan, 3.0])
    array(2.)
    """
    x = in_dtype(x, dtype)
    return mean(x, axis, keepdims, where=_numbers(x, where))


@composed
def nanvar(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    ddof: float = 0,
    dtype: Any = None,
    where: Any = None,
    mean: Array = None,
    correction: float | None = None,
) -> Array:
    """:func:`var` of the elements that are not NaN.

    >>> nanvar([1.0, np.nan, 3.0])
    array(1.)
    """
    x = in_dtype(x, dtype)
    mask = _numbers(x, where)
    x = chosen(x, mask, 0)
    return var(x, axis, keepdims, ddof=ddof, where=mask, mean=mean, correction=correction)


@composed
def nanstd(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    ddof: float = 0,
    dtype: Any = None,
    where: Any = None,
    mean: Array = None,
    correction: float | None = None,
) -> Array:
    """:func:`std` of the elements that are not NaN.

    >>> nanstd([1.0, np.nan, 3.0])
    array(1.)
    """
    named = {"ddof": ddof, "dtype": dtype, "where": where, "mean": mean, "correction": correction}
    return root(nanvar(x, axis, keepdims, **named))


def _extreme_number(
    reduce: Any, x: Array, axis: Axes, keepdims: bool, initial: Any, where: Any
) -> Array:
    x = as_value(x)
    if x.dtype.kind != "f":
        return reduce(x, axis, keepdims, initial=initial, where=where)
    if initial is None and where is not None:
        raise ValueError("where= leaves parts without a value; pass initial= for them")
    # A part of NaN alone gives this number, which is replaced by NaN below.
    never = -np.inf if reduce is max else np.inf
    mask = _numbers(x, where)
    y = reduce(chosen(x, mask, never), axis, keepdims, initial=initial)
    if initial is not None:
        return y
    return where_(equal(sum_(mask, axis, keepdims), 0), np.nan, y)


@composed
def nanmax(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """:func:`max` of the elements that are not NaN; NaN if all are NaN.

    >>> nanmax([1.0, np.nan])
    array(1.)
    """
    return _extreme_number(max, x, axis, keepdims, initial, where)


@composed
def nanmin(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """:func:`min` of the elements that are not NaN; NaN if all are NaN.

    >>> nanmin([1.0, np.nan])
    array(1.)
    """
    return _extreme_number(min, x, axis, keepdims, initial, where)


@composed
def nancumsum(x: Array, axis: int | None = None, *, dtype: Any = None) -> Array:
    """:func:`cumsum` with 0 instead of NaN.

    >>> nancumsum([1.0, np.nan, 2.0])
    array([1., 1., 3.])
    """
    return cumsum(chosen(in_dtype(x, dtype), _numbers(as_value(x), None), 0), axis)


@composed
def nancumprod(x: Array, axis: int | None = None, *, dtype: Any = None) -> Array:
    """:func:`cumprod` with 1 instead of NaN.

    >>> nancumprod([2.0, np.nan, 3.0])
    array([2., 2., 6.])
    """
    return cumprod(chosen(in_dtype(x, dtype), _numbers(as_value(x), None), 1), axis)


@composed
def nanquantile(
    x: Array, q: Any, axis: Axes = None, *, method: str = "linear", keepdims: bool = False
) -> Array:
    """:func:`quantile` of the elements that are not NaN; NaN if all are NaN.

    >>> nanquantile([1.0, np.nan, 3.0], 0.5)
    array(2.)
    """
    return _reduced(x, q, axis, keepdims, method, skip_nan=True)


@composed
def nanpercentile(
    x: Array, q: Any, axis: Axes = None, *, method: str = "linear", keepdims: bool = False
) -> Array:
    """:func:`percentile` of the elements that are not NaN; NaN if all are NaN.

    >>> nanpercentile([1.0, np.nan, 3.0], 50)
    array(2.)
    """
    return nanquantile(x, as_share(q), axis, method=method, keepdims=keepdims)


@composed
def nanmedian(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """:func:`median` of the elements that are not NaN; NaN if all are NaN.

    >>> nanmedian([1.0, np.nan, 3.0])
    array(2.)
    """
    return _reduced(x, 0.5, axis, keepdims, "linear", skip_nan=True)
