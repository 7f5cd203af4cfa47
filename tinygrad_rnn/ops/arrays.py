"""Helpers for the arguments of operations: Tensors, arrays, nested lists and numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..graph import Array, Value

Axes = int | tuple[int, ...] | None


def as_value(x: Array) -> Array:
    """A Tensor unchanged, nested lists of Tensors as one Tensor, anything else as an ndarray."""
    if isinstance(x, Value):
        return x
    return stacked(x) if holds_tensor(x) else np.asarray(x)


def holds_tensor(x: Any) -> bool:
    """Whether x is a Tensor, or nested lists that contain a Tensor."""
    if isinstance(x, (list, tuple)):
        return any(map(holds_tensor, x))
    return isinstance(x, Value)


def stacked(data: Any) -> Array:
    """Nested lists that contain Tensors as one Tensor.

    Raises:
        ValueError: the lists are ragged, or their elements differ in shape.
    """
    return _stacked(data, iter(alike(*leaves_of(data))))


def leaves_of(data: Any) -> Iterator[Any]:
    """The elements of nested lists, from left to right."""
    if isinstance(data, (list, tuple)):
        for part in data:
            yield from leaves_of(part)
    else:
        yield data


def _stacked(data: Any, parts: Iterator[Array]) -> Array:
    if not isinstance(data, (list, tuple)):
        return next(parts)
    made = [_stacked(part, parts) for part in data]
    shapes = {shape_of(part) for part in made}
    if len(shapes) > 1:
        raise ValueError(f"array: the parts of a list differ in shape: {sorted(shapes)}")
    return np.stack(made)  # for Tensors NumPy calls our stack, whose file imports this one


def plain(x: Array) -> Any:
    """The array of a Tensor, without its node; anything else unchanged."""
    return x._array if isinstance(x, Value) else x


def shape_of(x: Array) -> tuple[int, ...]:
    """The shape of a Tensor, an array or anything ``np.asarray`` takes."""
    return x._array.shape if isinstance(x, Value) else np.shape(x)


def dtype_of(x: Array) -> np.dtype[Any]:
    """The dtype of a Tensor, an array or anything ``np.asarray`` takes."""
    dtype: np.dtype[Any] = x._array.dtype if isinstance(x, Value) else np.asarray(x).dtype
    return dtype


def float_dtype_of(x: Array) -> np.dtype[Any]:
    """The dtype of real numbers computed from x: float64 for integers."""
    dtype = dtype_of(x)
    # A complex step makes real arrays complex.
    return np.dtype(np.float64) if dtype.kind in "iub" else np.finfo(dtype).dtype


def alike(*xs: Array) -> tuple[Array, ...]:
    """The values; Python numbers become arrays of the others' dtype, which they never change."""
    if not any(type(x) in (bool, int, float) for x in xs):
        return tuple(map(as_value, xs))
    kinds = [x if type(x) in (bool, int, float) else dtype_of(x) for x in xs]
    dtype = np.result_type(*kinds)
    dtype = np.finfo(dtype).dtype if dtype.kind == "c" else dtype
    return tuple(np.asarray(x, dtype) if type(x) in (bool, int, float) else as_value(x) for x in xs)


def normal_axis(axis: Any, ndim: int) -> int:
    """An axis from 0 to ndim - 1.

    Raises:
        AxisError: there is no such axis.
        TypeError: it is not an integer.
    """
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return int(axis % ndim)


def normal_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """An axis, several, or (None) all, each from 0 to ndim - 1.

    Raises:
        AxisError: there is no such axis.
        ValueError: one is named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, Iterable) else (axis,)
    found = tuple(normal_axis(a, ndim) for a in axes)
    if len(set(found)) < len(found):
        raise ValueError(f"an axis is named twice: {axis}")
    return found
