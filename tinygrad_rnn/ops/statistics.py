"""Statistics: variance, averages and order statistics, written with other operations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Array, composed, current
from .arrays import Axes, as_value, dtype_of, float_dtype_of, normal_axes, plain, shape_of
from .elementwise import maximum, multiply, sqrt, square
from .elementwise import where as where_
from .logic import equal, not_equal
from .reductions import chosen, count, in_dtype, max, mean, min
from .reductions import sum as sum_
from .shaping import astype, broadcast_to, concatenate, moveaxis, reshape, squeeze, stack
from .sorting import sort, take_along_axis

__all__ = [
    "average",
    "corrcoef",
    "cov",
    "median",
    "percentile",
    "ptp",
    "quantile",
    "std",
    "var",
]


def root(x: Array) -> Array:
    """sqrt(x), but with the gradient 0 at x = 0, for the root of a sum of squares."""
    # 0 is replaced before the root, not after it: the slope of sqrt at 0 is Inf, and 0 * Inf is
    # NaN.
    zero = equal(x, 0)
    return where_(zero, 0, sqrt(where_(zero, 1, x)))


# ── variance ──────────────────────────────────────────────────────────────────────────────────────


@composed
def var(
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
    """``y = sum_i (x_i - m)^2 / (n - ddof)`` with the mean m of n elements.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.
        ddof, correction: the number subtracted from n; two names of one argument.
        dtype: the elements are converted to it first.
        where: booleans; only the elements where they are True count.
        mean: the mean with ``keepdims=True``, if it is known. It gets a gradient too.

    Returns:
        x's shape without the reduced axes; NaN or Inf if n <= ddof, as in NumPy.

    Raises:
        ValueError: both ``ddof`` and ``correction`` are given.

    >>> var([1.0, 3.0], ddof=1)
    array(2.)
    """
    if correction is not None:
        if ddof:
            raise ValueError("var: expected ddof or correction, which are one argument; got both")
        ddof = correction
    x = in_dtype(x, dtype)
    if mean is None:
        mean = _mean(x, axis, True, where=where)
    n = maximum(count(x, axis, keepdims, where) - ddof, 0.0)
    squares = sum_(chosen(square(x - mean), where, 0), axis, keepdims)
    return squares / astype(n, float_dtype_of(squares))


_mean = mean


@composed
def std(
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
    """The square root of :func:`var`; if the variance is 0, the gradient is 0.

    Args:
        x: any shape.
        axis, keepdims, ddof, dtype, where, mean, correction: as for :func:`var`.

    >>> std([1.0, 3.0])
    array(1.)
    """
    named = {"ddof": ddof, "dtype": dtype, "where": where, "mean": mean, "correction": correction}
    return root(var(x, axis, keepdims, **named))


@composed
def average(
    x: Array,
    axis: Axes = None,
    weights: Array = None,
    returned: bool = False,
    *,
    keepdims: bool = False,
) -> Array:
    """``y = sum_i w_i x_i / sum_i w_i``; gradients flow to x and to the weights.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        weights: x's shape, or one for each element along the axis; None for :func:`mean`.
        returned: whether to return ``(y, sum of the weights)``.
        keepdims: keep the reduced axes, with length 1.

    Raises:
        ValueError: the weights have another shape.
        ZeroDivisionError: the weights add up to 0.

    >>> average([1.0, 4.0], weights=[2.0, 1.0])
    array(2.)
    """
    x = as_value(x)
    if weights is None:
        y = mean(x, axis, keepdims)
        total: Array = np.full(shape_of(y), count(x, axis), dtype_of(y))
        return (y, total) if returned else y
    weights, shape = as_value(weights), shape_of(x)
    if shape_of(weights) != shape:
        axes = normal_axes(axis, len(shape))
        expected = tuple(shape[a] for a in axes)
        if axis is None or shape_of(weights) != expected:
            raise ValueError(
                f"average: expected weights of shape {shape}, or of the reduced axes, got "
                f"{shape_of(weights)}"
            )
        # The weights' axes are in the order of ``axis``; x's are in ascending order.
        order = sorted(range(len(axes)), key=axes.__getitem__)
        weights = reshape(
            moveaxis(weights, order, range(len(axes))),
            tuple(n if a in axes else 1 for a, n in enumerate(shape)),
        )
        weights = broadcast_to(weights, shape)
    total = sum_(weights, axis, keepdims)
    if current().tracing is None and np.any(plain(total) == 0):
        raise ZeroDivisionError("average: the weights add up to 0")
    y = sum_(multiply(x, weights), axis, keepdims) / total
    return (y, total) if returned else y


@composed
def cov(
    x: Array,
    y: Array = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: float | None = None,
    fweights: Any = None,
    aweights: Any = None,
) -> Array:
    """The covariance matrix of variables, ``C_ij = sum_t w_t d_it d_jt / n`` with d = x - mean.

    Args:
        x: (V, T), with a variable in each row, or (T,).
        y: more variables with the same T; or None.
        rowvar: False if each column is a variable.
        bias: divide by T instead of T - 1.
        ddof: the number subtracted from T; it overrides ``bias``.
        fweights: (T,) integers, how often each observation counts.
        aweights: (T,), the weight of each observation.

    Returns:
        (V, V), or 0-d for one variable.

    >>> cov([[1.0, 3.0], [3.0, 1.0]])
    array([[ 2., -2.],
           [-2.,  2.]])
    """
    rows = _observations(x, rowvar)
    if y is not None:
        rows = concatenate([rows, _observations(y, rowvar)])
    factor = int(not bias) if ddof is None else ddof
    weights: Any = None
    if fweights is not None:
        weights = np.asarray(plain(fweights), np.float64)
    if aweights is not None:
        weights = np.asarray(plain(aweights), np.float64) * (1 if weights is None else weights)
    if weights is None:
        total: Any = rows.shape[1]
        n = total - factor
        centre = mean(rows, 1, True)
    else:
        total = weights.sum()
        n = total - factor
        if aweights is not None and factor:
            # As in NumPy. For equal weights a it is T a - factor a, the usual T - factor in units
            # of a.
            n = total - factor * np.sum(weights * np.asarray(plain(aweights))) / total
        weights = weights.astype(float_dtype_of(rows))
        centre = sum_(rows * weights, 1, True) / float(total)
    centred = rows - centre
    weighted = centred if weights is None else centred * weights
    return squeeze((weighted @ centred.T) / float(np.maximum(n, 0)))


def _observations(x: Array, rowvar: bool) -> Array:
    x = as_value(x)
    if x.ndim > 2:
        raise ValueError(f"cov: expected at most 2 dimensions, got shape {x.shape}")
    rows = x if x.ndim == 2 else reshape(x, (1, -1))
    rows = rows if rowvar or x.ndim < 2 else rows.T
    return in_dtype(rows, np.float64) if rows.dtype.kind in "iub" else rows


@composed
def corrcoef(x: Array, y: Array = None, rowvar: bool = True) -> Array:
    """Correlation coefficients, ``R_ij = C_ij / sqrt(C_ii C_jj)`` with the covariances C.

    Args:
        x, y, rowvar: as for :func:`cov`.

    >>> corrcoef([1.0, 2.0, 4.0], [2.0, 4.0, 8.0])[0, 1].round(9)
    np.float64(1.0)
    """
    c = cov(x, y, rowvar)
    if c.ndim == 0:
        return c / c
    n = np.arange(c.shape[0])
    deviation = sqrt(c[n, n])
    return c / deviation[:, np.newaxis] / deviation


# ── order statistics ──────────────────────────────────────────────────────────────────────────────


@composed
def ptp(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The largest minus the smallest element; if several are equal, the first gets the gradient.

    Shapes: x of any shape -> this shape without the axes, or with length 1 for ``keepdims``.

    >>> ptp([3.0, 1.0, 4.0])
    array(3.)
    """
    return max(x, axis, keepdims) - min(x, axis, keepdims)


class _Parts(NamedTuple):
    """The reduced parts of an array, sorted along the last axis, NaN last.

    Attributes:
        rows: (..., n), the parts.
        kept: the shape of the result with ``keepdims``.
        shape: the shape of the result without the reduced axes.
    """

    rows: Array
    kept: tuple[int, ...]
    shape: tuple[int, ...]


def _sorted_parts(x: Array, axis: Axes) -> _Parts:
    x = as_value(x)
    if x.dtype.kind in "iub":
        x = in_dtype(x, np.float64)
    axes = normal_axes(axis, x.ndim)
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    moved = moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    return _Parts(sort(reshape(moved, (*shape, count(x, axis))), -1), kept, shape)


#: The parameters (alpha, beta) of Hyndman and Fan: they place a quantile between its neighbours.
_continuous = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_discontinuous = (
    "lower",
    "higher",
    "midpoint",
    "nearest",
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
)


def _places(q: ndarray, n: ndarray, method: str) -> tuple[ndarray, ndarray]:
    """The index of the lower neighbour of each quantile, and the fraction of the way to the next.

    Source: Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American
    Statistician 50 (1996).
    """
    if method in _continuous:
        # Hyndman and Fan count from 1, so 1 is subtracted.
        alpha, beta = _continuous[method]
        place = n * q + (alpha + q * (1 - alpha - beta)) - 1
    elif method in ("lower", "higher", "midpoint", "nearest"):
        place = (n - 1) * q
    elif method == "inverted_cdf":
        place = np.ceil(n * q) - 1
    elif method == "averaged_inverted_cdf":
        place = np.where(n * q % 1 == 0, n * q - 0.5, np.ceil(n * q) - 1)
    elif method == "closest_observation":
        place = n * q - 1 - 0.5
        odd = (np.floor(place) % 2 == 1) & (place % 1 == 0)
        place = np.where(odd, np.floor(place), np.floor(place) + 1)
    else:
        known = ", ".join([*_continuous, *_discontinuous])
        raise ValueError(f"quantile: expected one of {known} as method, got {method!r}")
    place = np.clip(place, 0, np.maximum(n - 1, 0))
    lower = np.floor(place)
    part = place - lower
    if method == "lower":
        part = np.zeros_like(part)
    elif method == "higher":
        part = np.ceil(part)
    elif method == "midpoint":
        part = np.where(part > 0, 0.5, 0.0)
    elif method == "nearest":
        part = np.rint(place) - lower
    return lower.astype(np.intp), part


def _quantiles(parts: _Parts, q: ndarray, n: Any, method: str) -> Array:
    """(Q, ...) quantiles of sorted parts; the first n elements of each part count."""
    n = np.broadcast_to(n, parts.shape)
    places, weights = _places(q.reshape(q.size, *(1,) * n.ndim), n[np.newaxis], method)
    found = []
    for lower, weight in zip(places, weights, strict=True):
        # At the last element the upper neighbour is the element itself.
        upper = np.minimum(lower + 1, np.maximum(n - 1, 0))
        below = take_along_axis(parts.rows, lower[..., np.newaxis], -1)[..., 0]
        above = take_along_axis(parts.rows, upper[..., np.newaxis], -1)[..., 0]
        weight = weight.astype(float_dtype_of(below))
        # If the weight is 0, `above` does not count and may be infinite; 0 * Inf would be NaN.
        found.append(below + where_(weight == 0, 0, above - below) * weight)
    return stack(found)


def as_share(q: Any) -> Any:
    """Percentages divided by 100.

    Raises:
        ValueError: a percentage is not from 0 to 100.
    """
    q = np.asarray(plain(q), np.float64)
    if not np.all((q >= 0) & (q <= 100)):
        raise ValueError(f"expected q from 0 to 100, got {q}")
    return np.true_divide(q, 100)


def _reduced(x: Array, q: Any, axis: Axes, keepdims: bool, method: str, skip_nan: bool) -> Array:
    q = np.asarray(plain(q), np.float64)
    if not np.all((q >= 0) & (q <= 1)):
        raise ValueError(f"expected q from 0 to 1, got {q}")
    parts = _sorted_parts(x, axis)
    n = parts.rows.shape[-1]
    if n == 0:
        raise ValueError("there is nothing to take a quantile of")
    if skip_nan:
        n = np.sum(~np.isnan(plain(parts.rows)), -1)
    y = _quantiles(parts, q, n, method)
    if not skip_nan:  # NaN is sorted to the end; one NaN makes the result NaN
        last = parts.rows[..., -1]
        y = where_(not_equal(last, last), last, y)
    return reshape(y, (*q.shape, *(parts.kept if keepdims else parts.shape)))


@composed
def quantile(
    x: Array, q: Any, axis: Axes = None, *, method: str = "linear", keepdims: bool = False
) -> Array:
    """The value below which a fraction q of the elements lies, interpolated between two elements.

    These two elements share the gradient in proportion to their weights.

    Args:
        x: any shape.
        q: numbers from 0 to 1, any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        method: one of NumPy's thirteen methods.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        q's shape, then x's without the reduced axes; NaN for a part that contains NaN.

    Raises:
        ValueError: q is not from 0 to 1, the method is unknown, or x is empty.

    >>> quantile([1.0, 2.0, 4.0], 0.75)
    array(3.)
    """
    return _reduced(x, q, axis, keepdims, method, skip_nan=False)


@composed
def percentile(
    x: Array, q: Any, axis: Axes = None, *, method: str = "linear", keepdims: bool = False
) -> Array:
    """``quantile(x, q / 100)``, see :func:`quantile`.

    >>> percentile([1.0, 2.0, 4.0], 75)
    array(3.)
    """
    return quantile(x, as_share(q), axis, method=method, keepdims=keepdims)


@composed
def median(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The middle element, or the mean of the two middle ones, which share the gradient.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        x's shape without the reduced axes; NaN for a part that contains NaN.

    >>> median([1.0, 9.0, 2.0, 3.0])
    array(2.5)
    """
    return _reduced(x, 0.5, axis, keepdims, "linear", skip_nan=False)
