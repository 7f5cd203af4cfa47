"""Operations that reduce along axes, and the softmax family built on them.

``axis`` is an int, a tuple of ints or None (all axes), and ``keepdims`` keeps the reduced axes
with length 1, as in NumPy. A reduction's rule spreads the cotangent back over the reduced axes.

The other arguments of NumPy's reductions are keywords here:

    dtype       the elements are converted to it first
    initial     a number that counts as one more element
    where       booleans that broadcast with x; only elements where they are True count
"""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import OUT, Argument, Array, Operand, differentiable, nondifferentiable
from .arrays import Axes, as_value, float_dtype_of, shape_of
from .blocks import alone, along_axes
from .elementwise import abs as abs_
from .elementwise import exp, log, maximum, minimum
from .elementwise import where as where_
from .logic import less
from .shaping import astype, broadcast_to, concatenate, flip, reshape, swapaxes, transpose

__all__ = [
    "amax",
    "amin",
    "cumprod",
    "cumsum",
    "log_softmax",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "softmax",
    "sum",
]


def _axes(ndim: int, axis: Axes) -> tuple[int, ...]:
    if axis is None or ndim == 0:  # NumPy ignores axis 0 and -1 of a 0-d array
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(g: Array, x: Array, axis: Axes) -> Array:
    """g with the reduced axes as length 1, so that it broadcasts against x."""
    axes = _axes(x.ndim, axis)
    return g.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


# ── what NumPy's reductions take by name ─────────────────────────────────────────────────


def in_dtype(x: Array, dtype: Any) -> Array:
    """x, converted if a dtype is given."""
    return as_value(x) if dtype is None else astype(x, dtype)


def chosen(x: Array, where: Any, instead: float) -> Array:
    """x, with a number instead of the elements that do not count."""
    return x if where is None else where_(where, x, instead)


def count(x: Array, axis: Axes, keepdims: bool = False, where: Any = None) -> Any:
    """The number of elements that count in each reduced part of x: a number, or an array."""
    shape = shape_of(x)
    if where is None:
        return math.prod(shape[a] for a in _axes(len(shape), axis))
    counts = sum(broadcast_to(where, shape), axis, keepdims)
    return astype(counts, float_dtype_of(x))


def _sum_of(x: Array, axis: Axes, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Array:
    y = sum(chosen(in_dtype(x, dtype), where, 0), axis, keepdims)
    return y if initial is None else y + initial


def _product_of(
    x: Array, axis: Axes, keepdims: bool, dtype: Any, initial: Any, where: Any
) -> Array:
    y = prod(chosen(in_dtype(x, dtype), where, 1), axis, keepdims)
    return y if initial is None else y * initial


def _mean_of(x: Array, axis: Axes, keepdims: bool, dtype: Any, where: Any) -> Array:
    x = in_dtype(x, dtype)
    if where is None:
        return mean(x, axis, keepdims)
    return _sum_of(x, axis, keepdims, None, None, where) / count(x, axis, keepdims, where)


def _largest_of(x: Array, axis: Axes, keepdims: bool, initial: Any, where: Any) -> Array:
    return _extreme_of(max, maximum, x, axis, keepdims, initial, where)


def _smallest_of(x: Array, axis: Axes, keepdims: bool, initial: Any, where: Any) -> Array:
    return _extreme_of(min, minimum, x, axis, keepdims, initial, where)


def _extreme_of(
    reduce: Any, among: Any, x: Array, axis: Axes, keepdims: bool, initial: Any, where: Any
) -> Array:
    if initial is None:
        raise ValueError(
            f"{reduce.__name__}: where= leaves parts without a value; pass initial= for them"
        )
    x = chosen(as_value(x), where, initial)
    if count(x, axis) == 0:
        return sum(x, axis, keepdims) + initial
    return among(reduce(x, axis, keepdims), initial)


# ── sums, means and products ─────────────────────────────────────────────────────────────


@differentiable(
    lambda g, y, x, axis, keepdims: np.broadcast_to(_kept(g, x, axis), x.shape),
    batch=along_axes,
    linear="all",
    sign="Σ",
    options=_sum_of,
    emit=lambda constants: [
        (np.add.reduce, Argument(0), constants["axis"], None, OUT, constants["keepdims"])
    ],
)
def sum(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """``y = sum_i x_i``; every element gets the gradient of its sum.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.
        dtype, initial, where: as in NumPy.

    Returns:
        x's shape without the reduced axes, in x's dtype (integers and booleans as integers).

    >>> sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.])
    >>> sum([1.0, 2.0, 3.0], initial=10, where=[True, False, True])
    array(14.)
    """
    return np.add.reduce(x, axis, keepdims=keepdims)  # type: ignore[call-overload]


@differentiable(
    lambda g, y, x, axis, keepdims: np.broadcast_to(
        _kept(g, x, axis) * (1 / (count(x, axis) or 1)), x.shape
    ),
    batch=along_axes,
    linear="all",
    options=_mean_of,
    written_out=lambda x, axis, keepdims: sum(x, axis, keepdims) / float(count(x, axis)),
)
def mean(
    x: Array, axis: Axes = None, keepdims: bool = False, *, dtype: Any = None, where: Any = None
) -> Array:
    """``y = (1/n) sum_i x_i``; every element gets 1/n of the gradient of its mean.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.
        dtype, where: as in NumPy.

    Returns:
        x's shape without the reduced axes, in x's dtype (float64 for integers); NaN if n = 0, as
        in NumPy.

    >>> mean([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([2., 3.])
    """
    x = np.asarray(x)
    n = count(x, axis)
    # np.mean adds float16 in float32 and integers in float64; np.add.reduce does not.
    if n == 0 or x.dtype not in _summed_as_they_are:
        return np.mean(x, axis, keepdims=keepdims)
    # Equal to np.mean, in half the time.
    return np.add.reduce(x, axis, keepdims=keepdims) / n  # type: ignore[call-overload]


_summed_as_they_are = frozenset(np.dtype(t) for t in "fdgFDG")


def _products_of_others(x: Array) -> Array:
    """For each element the product of all others along the last axis, without a division.

    Multiplying one half of the elements with the other gives the same problem of half the size:

        prod_{j != i} x_j = x_{i + n/2} prod_{k != i} (x_k x_{k + n/2})
    """
    # For x = [a, b, c, d]: the halves multiplied are [a c, b d], whose others are [b d, a c]. So
    #
    #     others * second = [b d c, a c d]    the others of a and of b
    #     others * first  = [b d a, a c b]    the others of c and of d
    #
    # y / x_i would be 0 / 0 for an element 0.
    n = x.shape[-1]
    if n < 2:
        return np.ones(x.shape, x.dtype)
    if n % 2:
        x = concatenate([x, np.ones((*x.shape[:-1], 1), x.dtype)], -1)
    first, second = x[..., : (n + 1) // 2], x[..., (n + 1) // 2 :]
    others = _products_of_others(first * second)
    return concatenate([others * second, others * first], -1)[..., :n]


def _prod_rule(g: Array, y: Array, x: Array, axis: Axes, keepdims: bool) -> Array:
    axes = _axes(x.ndim, axis)
    # Bring the reduced axes to the end and join them, then undo both.
    order = (*(i for i in range(x.ndim) if i not in axes), *axes)
    moved = tuple(x.shape[i] for i in order)
    rows = reshape(transpose(x, order), (*moved[: x.ndim - len(axes)], count(x, axis)))
    others = transpose(reshape(_products_of_others(rows), moved), np.argsort(order).tolist())
    return _kept(g, x, axis) * others


@differentiable(_prod_rule, batch=along_axes, options=_product_of)
def prod(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    dtype: Any = None,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """``y = prod_i x_i``; dy/dx_i is the product of the others, also right if some are 0.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.
        dtype, initial, where: as in NumPy.

    Returns:
        x's shape without the reduced axes, in x's dtype; 1 for an empty product.

    >>> prod([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([3., 8.])
    """
    return np.multiply.reduce(x, axis, keepdims=keepdims)  # type: ignore[call-overload]


# ── extremes ─────────────────────────────────────────────────────────────────────────────


@nondifferentiable(batch=along_axes)
def _first_place(x: ndarray, *, axis: Axes, largest: bool) -> ndarray:
    """True at the first of the largest (smallest) elements of each reduced part of x."""
    axes = _axes(x.ndim, axis)
    moved = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], count(x, axis))
    found = np.argmax(rows, -1) if largest else np.argmin(rows, -1)
    mask = np.zeros(rows.shape, bool)
    np.put_along_axis(mask, np.expand_dims(found, -1), True, -1)
    return np.moveaxis(mask.reshape(moved.shape), range(x.ndim - len(axes), x.ndim), axes)


def _extreme_rule(largest: bool) -> Any:
    def rule(g: Array, y: Array, x: Array, axis: Axes, keepdims: bool) -> Array:
        return _kept(g, x, axis) * _first_place(x, axis=axis, largest=largest)

    return rule


@differentiable(_extreme_rule(largest=True), batch=along_axes, options=_largest_of)
def max(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """The largest element. It gets the whole gradient; if several are equal, the first one does.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.
        initial, where: as in NumPy. If ``initial`` is equally large, x gets half the gradient.

    Returns:
        x's shape without the reduced axes, in x's dtype.

    Raises:
        ValueError: there are no elements.

    >>> max([[1.0, 5.0], [3.0, 4.0]], axis=0)
    array([3., 5.])
    """
    return np.maximum.reduce(x, axis, keepdims=keepdims)  # type: ignore[call-overload]


@differentiable(_extreme_rule(largest=False), batch=along_axes, options=_smallest_of)
def min(
    x: Array,
    axis: Axes = None,
    keepdims: bool = False,
    *,
    initial: float | None = None,
    where: Any = None,
) -> Array:
    """The smallest element. It gets the whole gradient; if several are equal, the first one does.

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.
        initial, where: as in NumPy. If ``initial`` is equally small, x gets half the gradient.

    Returns:
        x's shape without the reduced axes, in x's dtype.

    Raises:
        ValueError: there are no elements.

    >>> min([[1.0, 5.0], [3.0, 4.0]], axis=0)
    array([1., 4.])
    """
    return np.minimum.reduce(x, axis, keepdims=keepdims)  # type: ignore[call-overload]


amax, amin = max, min

# ── running sums and products ────────────────────────────────────────────────────────────


def _cumsum_rule(g: Array, y: Array, x: Array, axis: int | None) -> Array:
    # x_j is in all y_i with i >= j: a running sum from the back.
    along = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(g, along), along), along), x.shape)


def _running(accumulate: Any) -> Any:
    """The batch rule of a running sum or product."""

    def rule(x: Operand, axis: int | None) -> Any:
        if axis is None or not x.shape:
            return lambda block: accumulate(block.reshape(len(block), math.prod(x.shape)), 1)
        return {"axis": x.axis(axis)}

    return alone(rule)


def _cumsum_in(x: Array, axis: int | None, dtype: Any) -> Array:
    return cumsum(in_dtype(x, dtype), axis)


@differentiable(_cumsum_rule, batch=_running(np.cumsum), linear="all", options=_cumsum_in)
def cumsum(x: Array, axis: int | None = None, *, dtype: Any = None) -> Array:
    """``y_i = sum_{j <= i} x_j``; x_j gets the gradients of all y_i with i >= j.

    Args:
        x: any shape.
        axis: the axis of the sums; None for the flattened x.
        dtype: the elements are converted to it first.

    Returns:
        x's shape, or (x.size,) for ``axis=None``.

    >>> cumsum([1.0, 2.0, 3.0])
    array([1., 3., 6.])
    """
    return np.cumsum(x, axis)


def _shifted(x: Array, by: int, fill: float) -> Array:
    """x_{i + by} along the last axis, with ``fill`` after the end (or before the start)."""
    n = x.shape[-1]
    edge = np.full((*x.shape[:-1], builtins.min(abs(by), n)), fill, x.dtype)
    return concatenate([x[..., by:], edge] if by > 0 else [edge, x[..., :by]], -1)


def _cumprod_rule(g: Array, y: Array, x: Array, axis: int | None) -> Array:
    """dL/dx_i = prod_{j < i} x_j r_i,   r_i = g_i + x_{i+1} r_{i+1}: no division.

    The recurrence takes log2 n passes: in the k-th, r_i holds 2^k terms and a_i their factors.
    """
    if axis is None or x.ndim == 0:
        return reshape(_cumprod_rule(g, y, reshape(x, (-1,)), 0), x.shape)
    # Doubling, as in a parallel prefix sum: r_i = g_i + a_i r_{i+1} with a_i = x_{i+1}. The same
    # equation for r_{i+1} makes it (g_i + a_i g_{i+1}) + (a_i a_{i+1}) r_{i+2}, and so on.
    g, y, x_ = (swapaxes(v, axis, -1) for v in (g, y, x))
    r, a, step = g, _shifted(x_, 1, 0), 1
    while step < x_.shape[-1]:
        r = r + a * _shifted(r, step, 0)
        a = a * _shifted(a, step, 0)
        step *= 2
    return swapaxes(_shifted(y, -1, 1) * r, axis, -1)


def _cumprod_in(x: Array, axis: int | None, dtype: Any) -> Array:
    return cumprod(in_dtype(x, dtype), axis)


@differentiable(_cumprod_rule, batch=_running(np.cumprod), options=_cumprod_in)
def cumprod(x: Array, axis: int | None = None, *, dtype: Any = None) -> Array:
    """``y_i = prod_{j <= i} x_j``; its gradient is also right if some elements are 0.

    Args:
        x: any shape.
        axis: the axis of the products; None for the flattened x.
        dtype: the elements are converted to it first.

    Returns:
        x's shape, or (x.size,) for ``axis=None``.

    >>> cumprod([1.0, 2.0, 3.0])
    array([1., 2., 6.])
    """
    return np.cumprod(x, axis)


# ── the softmax family: everything is computed relative to the largest element ───────────


def _largest(x: ndarray, axis: Axes) -> ndarray:
    """The maximum along an axis, with keepdims; -Inf if there are no elements."""
    # A complex step has tiny imaginary parts, and only real numbers have an order.
    real = np.asarray(np.real(x))
    real = real if real.dtype.kind == "f" else real.astype(np.float64)
    return np.max(real, axis, keepdims=True, initial=-np.inf)  # type: ignore[no-any-return]


def _without_warnings() -> np.errstate:
    """Ignore NumPy's warnings in the softmax family.

    Differences of huge numbers overflow to -Inf, and its exponential is 0, which is right.
    Differences of infinite numbers are NaN, which is documented.
    """
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _logsumexp_written_out(x: Array, axis: Axes, keepdims: bool) -> Array:
    largest = max(x, axis, True)
    largest = where_(less(abs_(largest), np.inf), largest, 0.0)  # no Inf - Inf
    y = log(sum(exp(x - largest), axis, True)) + largest
    axes = _axes(x.ndim, axis)
    return y if keepdims else reshape(y, [n for i, n in enumerate(x.shape) if i not in axes])


def _softmax_written_out(x: Array, axis: Axes) -> Array:
    e = exp(x - max(x, axis, True))
    return e / sum(e, axis, True)


def _log_softmax_written_out(x: Array, axis: Axes) -> Array:
    z = x - max(x, axis, True)
    return z - log(sum(exp(z), axis, True))


# e^(x - y) is equal in exact arithmetic, but in float32 the rounding of y shows: 3e-5 at y = 1000.
@differentiable(
    lambda g, y, x, axis, keepdims: _kept(g, x, axis) * softmax(x, axis),
    batch=along_axes,
    written_out=_logsumexp_written_out,
)
def logsumexp(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """``y = ln sum_i e^{x_i}``, without overflow; dy/dx_i = e^{x_i - y} = softmax(x)_i.

        y = m + ln sum_i e^{x_i - m},   m = max_i x_i

    Args:
        x: any shape.
        axis: an axis to reduce, a tuple of axes, or None for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        x's shape without the reduced axes, in x's dtype. It is -Inf if there are no x_i or all are
        -Inf, and Inf if one is Inf. There the gradient is NaN.

    Source: Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax
    functions", IMA Journal of Numerical Analysis 41 (2021).

    >>> bool(logsumexp([1000.0, 1000.0]) == 1000 + np.log(2))
    True
    """
    largest = _largest(x, axis)
    largest = np.where(np.isfinite(largest), largest, 0).astype(largest.dtype)  # no Inf - Inf
    with _without_warnings():  # ln 0 = -Inf is right for an empty sum
        y = np.log(np.sum(np.exp(x - largest), axis, keepdims=True)) + largest
    return y if keepdims else np.squeeze(y, _axes(np.ndim(x), axis))


@differentiable(
    lambda g, y, x, axis: y * (g - sum(g * y, axis, True)),
    batch=along_axes,
    written_out=_softmax_written_out,
)
def softmax(x: Array, axis: Axes = -1) -> Array:
    """``y_i = e^{x_i} / sum_j e^{x_j}``; dL/dx_i = y_i (g_i - sum_j g_j y_j).

    Computed relative to the largest element, so that nothing overflows.

    Args:
        x: any shape.
        axis: the axis along which the result sums to 1; a tuple for several axes, None for all.

    Returns:
        x's shape and dtype (float64 for integers); 0 where x_i is -Inf. If all x_i are -Inf, or one
        is Inf, the probabilities are undefined, and all are NaN.

    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    with _without_warnings():
        e = np.exp(x - _largest(x, axis))
        return e / np.sum(e, axis, keepdims=True)


@differentiable(
    lambda g, y, x, axis: g - exp(y) * sum(g, axis, True),
    batch=along_axes,
    written_out=_log_softmax_written_out,
)
def log_softmax(x: Array, axis: Axes = -1) -> Array:
    """``y_i = x_i - ln sum_j e^{x_j}``; dL/dx_i = g_i - softmax(x)_i sum_j g_j.

    It is accurate even where softmax(x)_i underflows and its logarithm would be -Inf.

    Args:
        x: any shape.
        axis: the axis along which ``e^y`` sums to 1; a tuple for several axes, None for all.

    Returns:
        x's shape and dtype (float64 for integers); -Inf where x_i is -Inf. If all x_i are -Inf, or
        one is Inf, all are NaN.

    >>> bool(np.allclose(log_softmax([0.0, 0.0]), -np.log(2)))
    True
    """
    with _without_warnings():  # no element reads the ln 0 of an empty sum
        z = x - _largest(x, axis)
        return z - np.log(np.sum(np.exp(z), axis, keepdims=True))
