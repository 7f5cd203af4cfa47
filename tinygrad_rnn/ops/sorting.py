"""Sorting, choosing and searching. Values decide the order, and the order has no gradient.

Taking and adding along an axis are a linear pair, like indexing and placing. One takes the elements
that indices name along an axis; the other adds values to zeros there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import (
    Array,
    Operand,
    composed,
    current,
    differentiable,
    located,
    nondifferentiable,
)
from .arrays import as_value, normal_axis, plain, shape_of
from .blocks import alone
from .elementwise import where
from .indexing import take
from .shaping import broadcast_to, reshape

__all__ = [
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "bincount",
    "choose",
    "compress",
    "extract",
    "partition",
    "searchsorted",
    "select",
    "sort",
    "take_along_axis",
    "unique",
]

# ── indices along one axis ───────────────────────────────────────────────────────────────


def _along_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    axis = operands[0].axis(keywords["axis"])
    others = {key: value for key, value in keywords.items() if key != "axis"}
    forward = (_add_along if others else _take_along).primitive.forward  # type: ignore[attr-defined]

    def call(*xs: ndarray) -> Any:
        full = [x if o.over_time else x[np.newaxis] for x, o in zip(xs, operands, strict=True)]
        return forward(*full, axis=axis, **others)

    return call


def _places_along(indices: ndarray, axis: int, shape: Sequence[int]) -> tuple[Any, ...]:
    """The index, into an array of a shape, of the elements that ``indices`` name along an axis."""
    # For axis 1 of (A, B): (arange(A) as a column, indices), which names x[a, indices[a, k]].
    places: list[Any] = []
    for i, n in enumerate(shape):
        one = [1] * len(shape)
        one[i] = n
        places.append(indices if i == axis else np.arange(n).reshape(one))
    return tuple(places)


def _add_along_into(buffer: ndarray, g: Any, x: Any, indices: ndarray, axis: int) -> None:
    np.add.at(buffer, _places_along(indices, axis % buffer.ndim, buffer.shape), g)


@differentiable(
    lambda g, y, x, indices, axis: _add_along(g, indices, axis, x.shape[axis]),
    None,
    add_into=_add_along_into,
    batch=_along_blocks,
    linear=((0,),),
)
def _take_along(x: Array, indices: Array, axis: int) -> Array:
    return np.take_along_axis(x, indices, axis)


@differentiable(
    lambda g, y, x, indices, axis, n: _take_along(g, indices, axis),
    None,
    batch=_along_blocks,
    linear=((0,),),
)
def _add_along(x: Array, indices: Array, axis: int, n: int) -> Array:
    shape = list(np.broadcast_shapes(x.shape, indices.shape))
    shape[axis] = n
    y = np.zeros(shape, x.dtype)
    _add_along_into(y, x, None, indices, axis)
    return y


@composed
def take_along_axis(x: Array, indices: Array, axis: int | None = -1) -> Array:
    """``y[..., k, ...] = x[..., indices[..., k, ...], ...]`` along one axis.

    Args:
        x: any shape.
        indices: integers, with as many dimensions as x; the other axes broadcast.
        axis: the axis of the indices; None for the flattened x.

    Raises:
        IndexError: an index is out of range, or not an integer.
        ValueError: the numbers of dimensions differ.

    >>> take_along_axis([[3.0, 1.0, 2.0]], [[2, 0]], 1)
    array([[2., 3.]])
    """
    x, indices = as_value(x), as_value(indices)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = normal_axis(axis, x.ndim)
    if indices.ndim != x.ndim:
        raise ValueError(
            f"take_along_axis: expected indices of {x.ndim} dimensions, got shape {indices.shape}"
        )
    shape = list(np.broadcast_shapes(_without(x.shape, axis), _without(indices.shape, axis)))
    shape.insert(axis, x.shape[axis])
    return _take_along(x if x.shape == tuple(shape) else broadcast_to(x, shape), indices, axis)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


# ── orders ───────────────────────────────────────────────────────────────────────────────


@nondifferentiable(batch=alone(lambda x, axis, **others: {"axis": x.axis(axis), **others}))
def _argsort(x: Array, *, axis: int, stable: bool) -> Array:
    return np.argsort(x, axis, kind="stable" if stable else None)


@nondifferentiable(batch=alone(lambda x, axis, **others: {"axis": x.axis(axis), **others}))
def _argpartition(x: Array, *, axis: int, kth: Any) -> Array:
    return np.argpartition(x, kth, axis)


def _in_order(x: Array, axis: int | None, order: Any, **keywords: Any) -> Array:
    x = as_value(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), -1
    axis = normal_axis(axis, x.ndim)
    return _take_along(x, order(x, axis=axis, **keywords), axis)


@composed
def sort(
    x: Array, axis: int | None = -1, *, kind: str | None = None, stable: bool | None = None
) -> Array:
    """x in ascending order along an axis, NaN last; each element keeps its gradient.

    Args:
        x: any shape.
        axis: the axis to sort along; None sorts the flattened x.
        kind, stable: as in NumPy. Equal elements always keep their order.

    >>> sort([3.0, 1.0, 2.0])
    array([1., 2., 3.])
    """
    return _in_order(x, axis, _argsort, stable=True)


@composed
def partition(x: Array, kth: Any, axis: int | None = -1) -> Array:
    """Order x along an axis so that the k-th smallest element is at index k, after smaller ones.

    Shapes: x of any shape -> the same shape.

    >>> partition([3.0, 1.0, 2.0], 0)[0]
    np.float64(1.0)
    """
    return _in_order(x, axis, _argpartition, kth=plain(kth))


def _integers(y: Array) -> Any:
    """The integer result of an operation as an array; as a Tensor while ``scan`` traces a step."""
    return y if current().tracing is not None else plain(y)[()]


@located
def argsort(
    x: Array, axis: int | None = -1, *, kind: str | None = None, stable: bool | None = None
) -> Any:
    """The indices that sort x, as an ndarray of integers; see :func:`sort`.

    >>> argsort([3.0, 1.0, 2.0])
    array([1, 2, 0])
    """
    x = reshape(x, (-1,)) if axis is None else as_value(x)
    axis = normal_axis(-1 if axis is None else axis, x.ndim)
    return _integers(_argsort(x, axis=axis, stable=stable or kind in ("stable", "mergesort")))


@located
def argpartition(x: Array, kth: Any, axis: int | None = -1) -> Any:
    """The indices that partition x, as an ndarray of integers; see :func:`partition`.

    >>> argpartition([3.0, 1.0, 2.0], 0)[0]
    np.int64(1)
    """
    x = reshape(x, (-1,)) if axis is None else as_value(x)
    axis = normal_axis(-1 if axis is None else axis, x.ndim)
    return _integers(_argpartition(x, axis=axis, kth=plain(kth)))


def _place_blocks(x: Operand, axis: int | None, **others: Any) -> Any:
    return {"axis": x.axis(axis), **others} if axis is not None else None


@nondifferentiable(batch=alone(_place_blocks))
def _argmax(x: Array, *, axis: int | None, keepdims: bool) -> Any:
    return np.argmax(x, axis, keepdims=keepdims)


@nondifferentiable(batch=alone(_place_blocks))
def _argmin(x: Array, *, axis: int | None, keepdims: bool) -> Any:
    return np.argmin(x, axis, keepdims=keepdims)


@located
def argmax(x: Array, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the first of the largest elements, as integers.

    Shapes: x (..., n, ...) -> (...) for an axis, () without one.

    >>> argmax([3.0, 1.0, 3.0])
    np.int64(0)
    """
    return _integers(_argmax(as_value(x), axis=axis, keepdims=keepdims))


@located
def argmin(x: Array, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """The index of the first of the smallest elements, as integers.

    Shapes: x (..., n, ...) -> (...) for an axis, () without one.

    >>> argmin([3.0, 1.0, 3.0])
    np.int64(1)
    """
    return _integers(_argmin(as_value(x), axis=axis, keepdims=keepdims))


def _search_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    return None if operands[0].over_time else keywords


@nondifferentiable(batch=_search_blocks)
def _searchsorted(x: Array, v: Array, *, side: Any) -> Any:
    return np.searchsorted(x, v, side)


@located
def searchsorted(x: Array, v: Array, side: str = "left", sorter: Any = None) -> Any:
    """The indices at which to insert v into the sorted x to keep the order.

    Shapes: x (N,), v of any shape -> the shape of v.

    >>> searchsorted([1.0, 2.0, 3.0], 2.5)
    np.int64(2)
    """
    x = as_value(x) if sorter is None else take(x, sorter)
    return _integers(_searchsorted(x, as_value(v), side=side))


@composed
def unique(
    x: Array,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """The distinct elements of x, sorted; the first of equal ones gets the gradient.

    Args:
        x: any shape.
        return_index, return_inverse, return_counts: whether to return these integers too.
        axis: compare the slices along this axis; None compares elements.
        equal_nan: whether all NaN count as one.

    >>> unique([3.0, 1.0, 3.0])
    array([1., 3.])
    """
    x = as_value(x)
    _, first, inverse, counts = np.unique(
        plain(x), True, True, True, axis=axis, equal_nan=equal_nan
    )
    # The gradient goes where the values were read.
    y = take(x, first, axis)
    asked = [(return_index, first), (return_inverse, inverse), (return_counts, counts)]
    others = [array for wanted, array in asked if wanted]
    return (y, *others) if others else y


# ── choices ──────────────────────────────────────────────────────────────────────────────


@composed
def compress(condition: Any, x: Array, axis: int | None = None) -> Array:
    """The elements, or slices along an axis, where the condition (n,) is True.

    Shapes: condition (N,), x (..., n, ...) -> (..., number of True, ...).

    >>> compress([True, False, True], [1.0, 2.0, 3.0])
    array([1., 3.])
    """
    mask = np.asarray(plain(condition))
    if mask.ndim != 1:
        raise ValueError(f"compress: expected a condition of one dimension, got {mask.shape}")
    return take(x, np.flatnonzero(mask), axis)


@composed
def extract(condition: Any, x: Array) -> Array:
    """The elements where the condition, of x's shape, is True.

    >>> extract([[True, False]], [[1.0, 2.0]])
    array([1.])
    """
    return take(x, np.flatnonzero(plain(condition)))


@composed
def select(condlist: Sequence[Any], choicelist: Sequence[Array], default: Array = 0) -> Array:
    """For each element the choice of the first condition that is True, else the default.

    Shapes: conditions, choices and default of any shapes that broadcast -> the broadcast
    shape.

    Raises:
        ValueError: there are no conditions, or another number of choices.

    >>> select([[True, False], [True, True]], [[1.0, 2.0], [3.0, 4.0]])
    array([1., 4.])
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: expected a choice for each condition, got {len(condlist)} conditions "
            f"and {len(choicelist)} choices"
        )
    y: Array = default
    # The last condition first, so that the first one that is True wins.
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = where(condition, choice, y)
    return y


@composed
def choose(a: Any, choices: Sequence[Array], *, mode: str = "raise") -> Array:
    """``y_i = choices[a_i]_i``; each choice gets the gradient of its own elements in y.

    Args:
        a: integers.
        choices: arrays that broadcast with a and each other.
        mode: what to do with indices out of range: "raise", "wrap" or "clip".

    Raises:
        ValueError: an index is out of range.

    >>> choose([0, 1], [[1.0, 2.0], [3.0, 4.0]])
    array([1., 4.])
    """
    index, n = np.asarray(plain(a)), len(choices)
    if mode == "wrap":
        index = index % n
    elif mode == "clip":
        index = np.clip(index, 0, n - 1)
    elif mode != "raise":
        raise ValueError(f"choose: expected 'raise', 'wrap' or 'clip' as mode, got {mode!r}")
    elif index.size and (index.min() < 0 or index.max() >= n):
        raise ValueError(f"choose: expected indices from 0 to {n - 1}, got {index}")
    shape = np.broadcast_shapes(index.shape, *(shape_of(x) for x in choices))
    y = choices[0]
    for k in range(1, n):
        y = where(index == k, choices[k], y)
    return broadcast_to(y, shape)


@composed
def bincount(x: Any, weights: Array = None, minlength: int = 0) -> Array:
    """``y_k`` = the sum of the weights w_i with x_i = k, or the number of these i.

    Shapes: x (N,), weights (N,) -> (max x + 1,), or (minlength,) if that is longer.

    Args:
        x: (n,) integers, none negative.
        weights: (n,) or None.
        minlength: the least length of the result.

    >>> bincount([0, 2, 2], [1.0, 2.0, 3.0])
    array([1., 0., 5.])
    """
    ids = np.asarray(plain(x))
    if weights is None:
        return np.bincount(ids, minlength=minlength)
    from .indexing import place

    size = len(np.bincount(ids, minlength=minlength))
    return place(as_value(weights), ids, (size,))
