"""Operations that only move elements: the same numbers in another shape.

All are linear, and the rule is the transpose: summing for broadcasting, slicing for padding,
splitting for joining.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import (
    ALL,
    OUT,
    Array,
    Blocks,
    Operand,
    Value,
    differentiable,
    located,
    nondifferentiable,
    raise_as,
    variadic,
)
from .arrays import Axes, alike, as_value, normal_axis, shape_of
from .blocks import alone, blank, joining, reshaped
from .indexing import getitem

__all__ = [
    "astype",
    "broadcast_to",
    "concatenate",
    "expand_dims",
    "flip",
    "moveaxis",
    "reshape",
    "split",
    "squeeze",
    "stack",
    "sum_to",
    "swapaxes",
    "transpose",
]


def _array(x: Any) -> ndarray:
    """A Python number as an array; NumPy's methods are faster than its functions."""
    return x if type(x) is ndarray else np.asarray(x)


# ── one array in, the same elements out ──────────────────────────────────────────────────


def _reshape_in_order(x: Array, shape: Any, order: str) -> Array:
    if order == "C":
        return reshape(x, shape)
    if order != "F":
        raise ValueError(f"reshape: expected 'C' or 'F' as order, got {order!r}")
    # Order F is order C of the transposed arrays: (2, 3) in order F is the transpose of (3, 2) in
    # C.
    backwards = tuple(np.ravel(shape).tolist())[::-1]
    return transpose(reshape(transpose(as_value(x)), backwards))


@differentiable(
    lambda g, y, x, shape: reshape(g, x.shape),
    batch=alone(lambda x, shape: reshaped(blank(x).reshape(shape).shape)),
    view="maybe",  # a copy, if no strides give the new shape
    linear="all",
    moves=True,
    options=_reshape_in_order,
)
def reshape(x: Array, shape: Any, *, order: str | None = None) -> Array:
    """The elements of x, in order, in another shape.

    Args:
        x: any shape.
        shape: an integer or a tuple with the same number of elements. One -1 is computed.
        order: "C": the last axis runs fastest; "F": the first axis does.

    Raises:
        ValueError: the shape has another number of elements.

    >>> reshape([1.0, 2.0, 3.0, 4.0], (2, -1))
    array([[1., 2.],
           [3., 4.]])
    """
    return _array(x).reshape(shape)


@differentiable(
    lambda g, y, x, axes: transpose(g, None if axes is None else _inverse(axes)),
    batch=alone(
        lambda x, axes: {"axes": (0, *(x.axes(None)[::-1] if axes is None else x.axes(axes)))}
    ),
    view=True,
    linear="all",
    moves=True,
)
def transpose(x: Array, axes: Sequence[int] | None = None) -> Array:
    """Put the axes into another order; by default reverse them, which is x.T for a matrix.

    Args:
        x: any shape.
        axes: a permutation: axis ``axes[i]`` of x becomes axis i.

    Raises:
        ValueError: ``axes`` is not a permutation of x's axes.

    >>> transpose([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 3.],
           [2., 4.]])
    """
    return _array(x).transpose(axes)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    n = len(axes)
    return tuple(int(i) for i in np.argsort([a % n for a in axes]))


@differentiable(
    lambda g, y, x, axis1, axis2: swapaxes(g, axis1, axis2),
    batch=alone(lambda x, axis1, axis2: {"axis1": x.axis(axis1), "axis2": x.axis(axis2)}),
    view=True,
    linear="all",
    moves=True,
)
def swapaxes(x: Array, axis1: int, axis2: int) -> Array:
    """Exchange two axes.

    Shapes: x (A, B, C) with axes 0 and 2 -> (C, B, A).

    >>> swapaxes([[1.0, 2.0]], 0, 1)
    array([[1.],
           [2.]])
    """
    return _array(x).swapaxes(axis1, axis2)


@differentiable(
    lambda g, y, x, source, destination: moveaxis(g, destination, source),
    batch=alone(
        lambda x, source, destination: {
            "source": x.axes(source),
            "destination": x.axes(destination),
        }
    ),
    view=True,
    linear="all",
    moves=True,
)
def moveaxis(x: Array, source: Any, destination: Any) -> Array:
    """Move axes to other positions; the other axes keep their order.

    Shapes: x (A, B, C) with 0 moved to -1 -> (B, C, A).

    >>> moveaxis(np.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = _array(x)
    if type(source) is not int or type(destination) is not int:
        return np.moveaxis(x, source, destination)
    order = list(range(x.ndim))
    # np.moveaxis is a Python function; transposing directly is the same view.
    order.insert(normal_axis(destination, x.ndim), order.pop(normal_axis(source, x.ndim)))
    return x.transpose(order)


@differentiable(
    lambda g, y, x, axis: reshape(g, x.shape),
    batch=alone(lambda x, axis: reshaped(blank(x).squeeze(axis).shape)),
    view=True,
    linear="all",
    moves=True,
)
def squeeze(x: Array, axis: Axes = None) -> Array:
    """Remove the given axes of length 1, or all of them.

    Shapes: x (A, 1, B) -> (A, B).

    Raises:
        ValueError: a named axis is longer than 1.

    >>> squeeze([[1.0, 2.0]])
    array([1., 2.])
    """
    return _array(x).squeeze(axis)


@differentiable(
    lambda g, y, x, axis: reshape(g, x.shape),
    batch=alone(lambda x, axis: reshaped(np.expand_dims(blank(x), axis).shape)),
    view=True,
    linear="all",
    moves=True,
)
def expand_dims(x: Array, axis: int | tuple[int, ...]) -> Array:
    """Add axes of length 1 at the given positions of the result.

    Shapes: x (A, B) with axis 0 -> (1, A, B).

    >>> expand_dims([1.0, 2.0], 0)
    array([[1., 2.]])
    """
    x = _array(x)
    if type(axis) is not int:
        return np.expand_dims(x, axis)
    axis = normal_axis(axis, x.ndim + 1)
    return x.reshape((*x.shape[:axis], 1, *x.shape[axis:]))


@differentiable(
    lambda g, y, x, axis: flip(g, axis),
    batch=alone(lambda x, axis: {"axis": x.axes(axis)}),
    view=True,
    linear="all",
    moves=True,
)
def flip(x: Array, axis: Axes = None) -> Array:
    """Reverse the order of elements along the given axes, or along all.

    Shapes: x of any shape -> the same shape.

    >>> flip([1.0, 2.0, 3.0])
    array([3., 2., 1.])
    """
    x = _array(x)
    if type(axis) is not int:
        return np.flip(x, axis)
    return x[(slice(None),) * normal_axis(axis, x.ndim) + (slice(None, None, -1),)]


# Not declared linear: it rounds, so the sum in the old dtype is not the sum in the new one.
@differentiable(
    lambda g, y, x, dtype: _astype(g, x.dtype), batch=alone(lambda x, dtype: {"dtype": dtype})
)
def _astype(x: Array, dtype: Any) -> Array:
    return x.astype(dtype)


@nondifferentiable(batch=alone(lambda x, dtype: {"dtype": dtype}))
def _as_constant(x: Array, *, dtype: Any) -> Array:
    return x.astype(dtype)


@located
def astype(x: Array, dtype: Any) -> Array:
    """Convert x to another dtype; the gradient comes back in the old one.

    Only a conversion from floats to floats has a gradient. Integers and booleans are constants.

    Args:
        x: any shape.
        dtype: anything that ``np.dtype`` accepts; for a Tensor only real numbers.

    Raises:
        TypeError: a Tensor would get complex numbers, strings or objects.

    >>> astype([1.5, 2.0], np.float32)
    array([1.5, 2. ], dtype=float32)
    """
    dtype = np.dtype(dtype)
    if isinstance(x, Value):
        if dtype.kind not in "fiub":
            raise TypeError(f"astype: a Tensor holds real numbers, not {dtype}")
        if dtype.kind != "f":
            return _as_constant(x, dtype=dtype)
    return _astype(as_value(x), dtype)


# ── repeating elements, and summing the repeats back ─────────────────────────────────────


def _repeat_blocks(x: Operand, shape: Any) -> Blocks:
    target = tuple(np.ravel(shape).tolist())
    aligned = (1,) * (len(target) - len(x.shape)) + x.shape
    return lambda block: np.broadcast_to(
        block.reshape(block.shape[:1] + aligned), block.shape[:1] + target
    )


@differentiable(
    lambda g, y, x, shape: sum_to(g, x.shape),
    batch=alone(_repeat_blocks),
    view=True,
    linear="all",
    moves=True,
)
def broadcast_to(x: Array, shape: Any) -> Array:
    """Repeat x to a larger shape, as NumPy broadcasts; the gradient sums over the copies.

    Raises:
        ValueError: x does not broadcast to the shape.

    >>> broadcast_to([1.0, 2.0], (2, 2))
    array([[1., 2.],
           [1., 2.]])
    """
    x = _array(x)
    extra = len(shape) - x.ndim if type(shape) is tuple else -1
    if extra < 0 or 0 in shape or not x.flags.c_contiguous:
        return np.broadcast_to(x, shape)
    # Equal to np.broadcast_to, in a fifth of the time.
    strides = [0] * extra
    for n, m, stride in zip(shape[extra:], x.shape, x.strides, strict=True):
        if n != m != 1:
            return np.broadcast_to(x, shape)  # for its error message
        strides.append(0 if m == 1 else stride)
    y = np.ndarray(shape, x.dtype, x, 0, strides)
    y.flags.writeable = False
    return y


def _sum_blocks(x: Operand, shape: Any) -> Blocks:
    target = tuple(shape)
    aligned = (1,) * (len(x.shape) - len(target)) + target
    axes = tuple(i + 1 for i, (n, m) in enumerate(zip(aligned, x.shape, strict=True)) if n != m)
    return lambda block: np.add.reduce(block, axes).reshape(block.shape[:1] + target)


@differentiable(
    lambda g, y, x, shape: broadcast_to(g, x.shape), batch=alone(_sum_blocks), linear="all"
)
def sum_to(x: Array, shape: Any) -> Array:
    """Sum over the axes along which an array of ``shape`` was broadcast to x's shape.

    This is the transpose of :func:`broadcast_to`, and the only place that un-broadcasts gradients.

    Raises:
        ValueError: ``shape`` does not broadcast to the shape of x.

    >>> sum_to([[1.0, 2.0], [3.0, 4.0]], (2,))
    array([4., 6.])
    """
    extra = x.ndim - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[extra:], strict=True)):
        raise ValueError(f"shape {tuple(shape)} does not broadcast to {x.shape}")
    lead = tuple(range(extra))
    # x (4, 2, 3) to shape (2, 1): axis 0 is new (lead), and axis 2 was 1 (repeated).
    repeated = tuple(
        extra + i for i, (n, m) in enumerate(zip(shape, x.shape[extra:], strict=True)) if n != m
    )
    return np.reshape(np.add.reduce(x, axis=lead + repeated), shape)


# ── joining and cutting ──────────────────────────────────────────────────────────────────


def _concatenate_rule(index: int, g: Array, y: Array, *xs: Array, axis: int) -> Array:
    # The parts lie one after the other, so part k begins where the first k end.
    start = int(np.sum([x.shape[axis] for x in xs[:index]], dtype=int))
    part = slice(start, start + xs[index].shape[axis])
    return getitem(g, (slice(None),) * (axis % g.ndim) + (part,))


@variadic(
    _concatenate_rule,
    batch=joining(np.concatenate),
    linear="all",
    moves=True,
    emit=lambda constants: [(np.concatenate, ALL, constants["axis"], OUT)],
)
def _concatenate(*xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis)


def concatenate(arrays: Sequence[Array], axis: int | None = 0, *, dtype: Any = None) -> Array:
    """Join arrays along an existing axis; each gets its part of the gradient.

    Shapes: arrays (..., n_i, ...), equal in the other axes -> (..., sum of n_i, ...).

    Args:
        arrays: at least one array; all are equal in every other axis.
        axis: the axis; None joins the flattened arrays.
        dtype: the dtype of the result.

    Raises:
        ValueError: there are no arrays, or another axis differs.

    >>> concatenate([[1.0, 2.0], [3.0]])
    array([1., 2., 3.])
    """
    try:
        arrays = [as_value(x) if isinstance(x, (list, tuple)) else x for x in arrays]
        if axis is None:
            arrays, axis = [reshape(x, (-1,)) for x in arrays], 0
        y = _concatenate(arrays, axis=axis)
        return y if dtype is None else astype(y, dtype)
    except (ValueError, TypeError, IndexError) as error:  # as in `located`, which costs a call
        raise_as("concatenate", error)


def _stack_rule(index: int, g: Array, y: Array, *xs: Array, axis: int) -> Array:
    return getitem(g, (slice(None),) * (axis % g.ndim) + (index,))


@variadic(_stack_rule, batch=joining(np.stack, new_axes=1), linear="all", moves=True)
def _stack(*xs: Array, axis: int) -> Array:
    arrays = alike(*xs)
    if len({x.shape for x in arrays}) != 1:
        return np.stack(arrays, axis)  # for its error message
    # np.stack is this: a new axis in each array, then concatenate.
    place = (slice(None),) * normal_axis(axis, arrays[0].ndim + 1) + (np.newaxis,)
    return np.concatenate([x[place] for x in arrays], len(place) - 1)


def stack(arrays: Sequence[Array], axis: int = 0, *, dtype: Any = None) -> Array:
    """Join arrays of one shape along a new axis.

    Raises:
        ValueError: there are no arrays, or their shapes differ.

    >>> stack([[1.0, 2.0], [3.0, 4.0]], axis=1)
    array([[1., 3.],
           [2., 4.]])
    """
    try:
        arrays = [as_value(x) if isinstance(x, (list, tuple)) else x for x in arrays]
        y = _stack(arrays, axis=axis)
        return y if dtype is None else astype(y, dtype)
    except (ValueError, TypeError, IndexError) as error:
        raise_as("stack", error)


@located
def split(x: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Cut x along an axis into equal parts, or before each of the given indices.

    Shapes: x (..., n, ...) in k equal parts -> k of (..., n / k, ...).

    Returns:
        A list. Each part is a slice of x and sends its gradient there.

    Raises:
        ValueError: the axis cannot be cut into that many equal parts.
        TypeError: the number of parts, or an index, is not an integer.

    >>> split([1.0, 2.0, 3.0, 4.0], 2)
    [array([1., 2.]), array([3., 4.])]
    """
    shape = shape_of(x)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"split: axis {axis} is out of range for shape {shape}")
    axis %= len(shape)
    n = shape[axis]
    if type(indices_or_sections) is int or np.ndim(indices_or_sections) == 0:
        sections = operator.index(indices_or_sections)
        if sections < 1 or n % sections:
            raise ValueError(
                f"split: axis {axis} of length {n} cannot be cut into {sections} equal parts"
            )
        bounds = [i * (n // sections) for i in range(1, sections)]
    else:
        bounds = [operator.index(i) for i in indices_or_sections]
    lead = (slice(None),) * axis
    return [
        getitem(x, (*lead, slice(start, stop)))
        for start, stop in zip([0, *bounds], [*bounds, n], strict=True)
    ]


def _pad_rule(g: Array, y: Array, x: Array, pad_width: ndarray, constant_values: Any) -> Array:
    return getitem(
        g,
        tuple(slice(before, before + n) for (before, _), n in zip(pad_width, x.shape, strict=True)),
    )


def _pad_blocks(x: Operand, pad_width: ndarray, constant_values: ndarray) -> dict[str, Any]:
    none = np.zeros((1, 2), int)
    return {
        "pad_width": np.concatenate([none, pad_width]),
        "constant_values": np.concatenate([none, constant_values]),
    }


@differentiable(
    _pad_rule,
    batch=alone(_pad_blocks),
    linear=lambda keywords: () if np.any(keywords["constant_values"]) else "all",
)
def _pad(x: Array, pad_width: ndarray, constant_values: ndarray) -> Array:
    """``pad`` with numbers; widths and numbers are (ndim, 2)."""
    x = _array(x)
    if x.ndim and (constant_values != constant_values[0, 0]).any():
        return np.pad(x, pad_width, constant_values=constant_values)
    # Equal to np.pad, in a tenth of the time.
    around = pad_width.tolist()
    shape = [n + before + after for n, (before, after) in zip(x.shape, around, strict=True)]
    y = np.zeros(shape, x.dtype)
    if x.ndim and constant_values[0, 0]:
        y.fill(constant_values[0, 0])
    inside = [slice(before, before + n) for n, (before, _) in zip(x.shape, around, strict=True)]
    y[tuple(inside)] = x
    return y
