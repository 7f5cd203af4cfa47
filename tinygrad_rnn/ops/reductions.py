"""Operations that sum up along axes, and the softmax family built on them.

``axis`` is an int, a tuple of ints or None (all axes), and ``keepdims`` keeps the reduced axes
with length 1, as in NumPy. A reduction's rule spreads the cotangent back over what was reduced.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import OUT, Argument, Array, Operand, differentiable, nondifferentiable
from .blocks import alone, along_axes
from .elementwise import abs, exp, less, log, where
from .shaping import Axes, broadcast_to, flip, reshape


def _axes(ndim: int, axis: Axes) -> tuple[int, ...]:
    if axis is None or ndim == 0:  # NumPy takes axis 0 and -1 of a 0-d array to mean nothing
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _kept(g: Array, x: Array, axis: Axes) -> Array:
    """g with the reduced axes back in place, as length 1: it broadcasts against x."""
    axes = _axes(x.ndim, axis)
    return reshape(g, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x: Array, axis: Axes) -> int:
    return math.prod(x.shape[a] for a in _axes(x.ndim, axis))


@differentiable(
    lambda g, y, x, axis, keepdims: broadcast_to(_kept(g, x, axis), x.shape),
    batch=along_axes,
    linear="all",
    into=lambda constants: [
        (np.add.reduce, Argument(0), constants["axis"], None, OUT, constants["keepdims"])
    ],
)
def sum(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """``y = sum_i x_i``; every element gets the gradient of its sum.

    Args:
        x: any shape.
        axis: what to reduce: an axis, a tuple of them, or None for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        x's shape without the reduced axes, in x's dtype (integers and booleans as integers).

    >>> sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([4., 6.])
    """
    return np.add.reduce(x, axis, keepdims=keepdims)  # type: ignore[call-overload]


@differentiable(
    lambda g, y, x, axis, keepdims: broadcast_to(
        _kept(g, x, axis) * (1 / (_count(x, axis) or 1)), x.shape
    ),
    batch=along_axes,
    linear="all",
    written_out=lambda x, axis, keepdims: sum(x, axis, keepdims) / float(_count(x, axis)),
)
def mean(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """``y = (1/n) sum_i x_i``; every element gets 1/n of the gradient of its mean.

    Args:
        x: any shape.
        axis: what to reduce: an axis, a tuple of them, or None for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        x's shape without the reduced axes, in x's dtype (float64 for integers); NaN where n = 0,
        as in NumPy.

    >>> mean([[1.0, 2.0], [3.0, 4.0]], axis=0)
    array([2., 3.])
    """
    return np.mean(x, axis, keepdims=keepdims)


@nondifferentiable(batch=along_axes)
def _first_place(x: ndarray, *, axis: Axes, largest: bool) -> ndarray:
    """True at the first of the largest (smallest) elements of each reduced part of x."""
    axes = _axes(x.ndim, axis)
    moved = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], _count(x, axis))
    found = np.argmax(rows, -1) if largest else np.argmin(rows, -1)
    mask = np.zeros(rows.shape, bool)
    np.put_along_axis(mask, np.expand_dims(found, -1), True, -1)
    return np.moveaxis(mask.reshape(moved.shape), range(x.ndim - len(axes), x.ndim), axes)


def _extreme_rule(largest: bool) -> Any:
    def rule(g: Array, y: Array, x: Array, axis: Axes, keepdims: bool) -> Array:
        return _kept(g, x, axis) * _first_place(x, axis=axis, largest=largest)

    return rule


@differentiable(_extreme_rule(largest=True), batch=along_axes)
def max(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The largest element; it gets the whole gradient, the first one where several are equal.

    Args:
        x: any shape.
        axis: what to reduce: an axis, a tuple of them, or None for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        x's shape without the reduced axes, in x's dtype.

    Raises:
        ValueError: there is nothing to take the maximum of.

    >>> max([[1.0, 5.0], [3.0, 4.0]], axis=0)
    array([3., 5.])
    """
    return np.max(x, axis, keepdims=keepdims)


@differentiable(_extreme_rule(largest=False), batch=along_axes)
def min(x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
    """The smallest element; it gets the whole gradient, the first one where several are equal.

    Args:
        x: any shape.
        axis: what to reduce: an axis, a tuple of them, or None for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        x's shape without the reduced axes, in x's dtype.

    Raises:
        ValueError: there is nothing to take the minimum of.

    >>> min([[1.0, 5.0], [3.0, 4.0]], axis=0)
    array([1., 4.])
    """
    return np.min(x, axis, keepdims=keepdims)


def _cumsum_rule(g: Array, y: Array, x: Array, axis: int | None) -> Array:
    along = 0 if axis is None else axis
    return reshape(flip(cumsum(flip(g, along), along), along), x.shape)


def _cumsum_blocks(x: Operand, axis: int | None) -> Any:
    if axis is None or not x.shape:
        return lambda block: np.cumsum(block.reshape(len(block), math.prod(x.shape)), 1)
    return {"axis": x.axis(axis)}


@differentiable(_cumsum_rule, batch=alone(_cumsum_blocks), linear="all")
def cumsum(x: Array, axis: int | None = None) -> Array:
    """``y_i = sum_{j <= i} x_j``; x_j gets the gradients of all y_i with i >= j.

    Args:
        x: any shape.
        axis: along which to add up; None counts through the flattened x.

    Returns:
        x's shape, or (x.size,) for ``axis=None``.

    >>> cumsum([1.0, 2.0, 3.0])
    array([1., 3., 6.])
    """
    return np.cumsum(x, axis)


# ── the softmax family: everything is computed relative to the largest element ───────────


def _largest(x: ndarray, axis: Axes) -> ndarray:
    """The maximum along an axis, kept; -Inf where there is nothing."""
    real = np.asarray(np.real(x))
    real = real if real.dtype.kind == "f" else real.astype(np.float64)
    return np.max(real, axis, keepdims=True, initial=-np.inf)  # type: ignore[no-any-return]


def _unwarned() -> np.errstate:
    """Differences of huge numbers overflow to -Inf, whose exponential is 0 as it should be; those
    of infinite ones are NaN, which is said to come of them."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _less_largest(x: Array, axis: Axes) -> tuple[Array, Array]:
    """x relative to its largest element along an axis, and that; in simple operations."""
    largest = max(x, axis, True)
    largest = where(less(abs(largest), np.inf), largest, 0.0)
    return x - largest, largest


def _logsumexp_written_out(x: Array, axis: Axes, keepdims: bool) -> Array:
    z, largest = _less_largest(x, axis)
    y = log(sum(exp(z), axis, True)) + largest
    axes = _axes(x.ndim, axis)
    return y if keepdims else reshape(y, [n for i, n in enumerate(x.shape) if i not in axes])


def _softmax_written_out(x: Array, axis: Axes) -> Array:
    e = exp(_less_largest(x, axis)[0])
    return e / sum(e, axis, True)


def _log_softmax_written_out(x: Array, axis: Axes) -> Array:
    z, _ = _less_largest(x, axis)
    return z - log(sum(exp(z), axis, True))


# e^(x - y) would do too, but loses in float32 what y rounds off: 3e-5 at y = 1000.
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
        axis: what to reduce: an axis, a tuple of them, or None for all.
        keepdims: keep the reduced axes, with length 1.

    Returns:
        x's shape without the reduced axes, in x's dtype; -Inf for an empty sum and where all x_i
        are -Inf, Inf where one is Inf. There the gradient is NaN.

    Source: Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax
    functions", IMA Journal of Numerical Analysis 41 (2021).

    >>> bool(logsumexp([1000.0, 1000.0]) == 1000 + np.log(2))
    True
    """
    largest = _largest(x, axis)
    largest = np.where(np.isfinite(largest), largest, 0).astype(largest.dtype)  # no Inf - Inf
    with _unwarned():  # ln 0 = -Inf is the right answer for an empty sum
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
        axis: along which the result sums to 1; a tuple or None for several or all.

    Returns:
        x's shape and dtype (float64 for integers): 0 where x_i is -Inf. Where all of them are -Inf,
        or one is Inf, there are no such probabilities, and all are NaN.

    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    """
    with _unwarned():
        e = np.exp(x - _largest(x, axis))
        return e / np.sum(e, axis, keepdims=True)


@differentiable(
    lambda g, y, x, axis: g - exp(y) * sum(g, axis, True),
    batch=along_axes,
    written_out=_log_softmax_written_out,
)
def log_softmax(x: Array, axis: Axes = -1) -> Array:
    """``y_i = x_i - ln sum_j e^{x_j}``; dL/dx_i = g_i - softmax(x)_i sum_j g_j.

    Accurate where softmax(x)_i underflows and its logarithm would be -Inf.

    Args:
        x: any shape.
        axis: along which ``e^y`` sums to 1; a tuple or None for several or all.

    Returns:
        x's shape and dtype (float64 for integers): -Inf where x_i is -Inf. Where all of them are
        -Inf, or one is Inf, all are NaN.

    >>> bool(np.allclose(log_softmax([0.0, 0.0]), -np.log(2)))
    True
    """
    with _unwarned():  # no element reads the ln 0 of an empty sum
        z = x - _largest(x, axis)
        return z - np.log(np.sum(np.exp(z), axis, keepdims=True))
