"""Read parts of an array, and the transpose: add into parts of zeros.

Taking and placing are a linear pair. Each is the rule of the other:

    y = x[index]                 dL/dx = place(dL/dy, index, shape of x)
    x = place(y, index, shape)   dL/dy = dL/dx[index]

The gradient of ``x[t]`` touches one row of x. Backward adds it straight into a buffer of x's
shape (``add_into``); making an array of zeros for each step of a loop would cost O(T^2).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import (
    Array,
    Blocks,
    Operand,
    Value,
    differentiable,
    located,
    numbers,
    python_scalars,
    raise_as,
    variadic,
)
from .blocks import alone

__all__ = [
    "embedding",
    "getitem",
    "one_hot",
    "place",
    "take",
]

_basic = frozenset({int, type(None), type(Ellipsis)})


def _constant(index: Any) -> Any:
    """A copy of the index that nobody else can change: numbers, and arrays of our own."""
    # The rule reads the index in backward, long after the caller may have changed its array.
    if _is_constant(index):
        return index
    if isinstance(index, tuple):
        if type(index) is tuple and all(map(_is_constant, index)):
            return index
        return tuple([_constant_part(part) for part in index])
    return _constant_part(index)


def _is_constant(part: Any) -> bool:
    kind = type(part)
    return kind in _basic or (
        kind is slice
        and type(part.start) in _basic
        and type(part.stop) in _basic
        and type(part.step) in _basic
    )


def _constant_part(part: Any) -> Any:
    if _is_constant(part) or isinstance(part, (int, np.generic)):
        return part
    if isinstance(part, Value):
        return part._array
    if isinstance(part, slice):
        ends = (part.start, part.stop, part.step)
        return slice(*[None if end is None else operator.index(end) for end in ends])
    # Inside a tuple, another tuple means the same as a list: the elements at these positions.
    array = np.array(part)
    return array.astype(np.intp) if array.size == 0 and array.dtype.kind == "f" else array


def _repeats(index: Any) -> bool:
    """Whether the index may name an element twice; only arrays of integers can."""
    parts = index if type(index) is tuple else (index,)
    return any(isinstance(part, ndarray) and part.dtype.kind in "iu" for part in parts)


def is_basic(index: Any) -> bool:
    """Whether indexing gives a view: the index has no arrays, nor values that act as arrays."""
    kinds = (int, np.integer, slice, type(None), type(Ellipsis))
    return all(
        isinstance(part, kinds) and not isinstance(part, (bool, np.bool_))
        for part in parts_of(index)
    )


def parts_of(index: Any) -> tuple[Any, ...]:
    """The parts of an index, one for each axis."""
    return index if isinstance(index, tuple) else (index,)


class _BlockIndex(NamedTuple):
    """An index of one time step as an index of a block.

    Attributes:
        at: the index, with a full slice for the time axis before it.
        time: the position of the time axis in the result.
    """

    at: tuple[Any, ...]
    time: int


def _index_of_blocks(index: Any) -> _BlockIndex | None:
    parts = parts_of(index)
    if any(isinstance(part, (bool, np.bool_)) for part in parts):
        return None
    at = (slice(None), *parts)
    arrays = [np.asarray(part) for part in parts if isinstance(part, ndarray)]
    if not arrays:
        return _BlockIndex(at, 0)
    # Beside an array, an integer counts as an array. If the arrays are not adjacent, their axes
    # come first in the result, before the time axis.
    places = [i for i, p in enumerate(parts) if isinstance(p, (ndarray, int, np.integer))]
    if places[-1] - places[0] + 1 == len(places):
        return _BlockIndex(at, 0)
    ranks = [1 if array.dtype.kind == "b" else array.ndim for array in arrays]
    return _BlockIndex(at, max(ranks))


def _getitem_blocks(x: Operand, index: Any) -> Blocks | None:
    found = _index_of_blocks(index)
    if found is None:
        return None
    at, time = found
    return (lambda block: np.moveaxis(block[at], time, 0)) if time else lambda block: block[at]


def _place_blocks(x: Operand, index: Any, shape: tuple[int, ...]) -> Blocks | None:
    found = _index_of_blocks(index)
    if found is None:
        return None

    def call(block: ndarray) -> ndarray:
        y = np.zeros((len(block), *shape), block.dtype)
        add_at(y, np.moveaxis(block, 0, found.time), found.at)
        return y

    return call


def add_at(buffer: ndarray, g: Any, index: Any) -> None:
    """``buffer[index] += g``; an element that the index names twice gets both contributions."""
    if not _repeats(index):
        buffer[index] += g
    elif isinstance(index, ndarray) and index.size and buffer.ndim > 1 and buffer.size:
        # Rows, as in an embedding's gradient: sort them and sum in runs, which is several times
        # faster than np.add.at.
        # Negative indices count from the end: without the remainder -1 and n - 1 would be two rows.
        # The sort is stable, so that the order of a sum is that of the indices.
        rows = index.ravel().astype(np.intp) % len(buffer)
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
        g_rows = np.broadcast_to(g, index.shape + buffer.shape[1:])
        g_rows = g_rows.reshape(index.size, *buffer.shape[1:])
        # rows = [2, 0, 2] sorts to [0, 2, 2] with runs at 0 and 1: the sums go to rows 0 and 2.
        buffer[rows[starts]] += np.add.reduceat(g_rows[order], starts, axis=0)
    else:
        np.add.at(buffer, index, g)


@differentiable(
    lambda g, y, x, index: place(g, index, x.shape),
    add_into=lambda buffer, g, x, index: add_at(buffer, g, index),
    batch=alone(_getitem_blocks),
    view=lambda keywords: is_basic(keywords["index"]),
    linear="all",
    moves=True,
)
def _getitem(x: Array, index: Any) -> Array:
    return np.asarray(x)[index]


# ── at places that a traced step computes ────────────────────────────────────────────────


class _Place:
    """A placeholder in an index for one of the operands. There is one, and no copy of it."""

    def __deepcopy__(self, _: Any) -> _Place:
        return self

    def __repr__(self) -> str:
        return "_"


PLACE = _Place()


def takes_rows(pattern: tuple[Any, ...]) -> bool:
    """Whether a pattern is that of ``x[ids]``."""
    # Not by ==: a pattern such as that of x[np.arange(3), ids] holds an array.
    return len(pattern) == 1 and pattern[0] is PLACE


def _filled(pattern: tuple[Any, ...], arrays: Sequence[Any]) -> Any:
    """The index, with the arrays instead of the placeholders."""
    rest = iter(arrays)
    index = tuple([next(rest) if part is PLACE else part for part in pattern])
    return index[0] if len(index) == 1 else index


def _gather_rule(i: int, g: Array, y: Array, x: Array, *ids: Array, pattern: Any) -> Array:
    assert i == 0, "the other arguments are integers"
    return _scatter((g, *ids), pattern=pattern, shape=x.shape)


def _scatter_rule(i: int, g: Array, y: Array, x: Array, *ids: Any, **at: Any) -> Array:
    assert i == 0, "the other arguments are integers"
    return _gather((g, *ids), pattern=at["pattern"])


def _gather_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks | None:
    """The batch rule of ``_gather``: rows of one table, at the positions of every step."""
    x, *ids = operands
    if x.over_time or not takes_rows(keywords["pattern"]) or not ids[0].over_time:
        return None
    return lambda table, places: table[places]


@variadic(_gather_rule, batch=_gather_blocks, linear=((0,),))
def _gather(x: Array, *ids: Array, pattern: tuple[Any, ...]) -> Array:
    """``x[index]`` like ``getitem``, but the integers in the index are operands.

    While a step is traced, its integers have no values to put into an index.
    """
    return np.asarray(x)[_filled(pattern, ids)]


@variadic(_scatter_rule, linear=((0,),))
def _scatter(x: Array, *ids: Array, pattern: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """Zeros of a shape with x added at an index: the transpose of ``_gather``."""
    y = np.zeros(shape, x.dtype)
    add_at(y, x, _filled(pattern, ids))
    return y


def _is_traced(part: Any) -> bool:
    """Whether a part of an index is a traced Tensor of integers, which has no values yet."""
    return (
        isinstance(part, Value)
        and not isinstance(part._array, ndarray)
        and part._array.dtype.kind in "iu"
    )


def getitem(x: Array, index: Any) -> Array:
    """``y = x[index]``, basic or advanced; an element taken twice gets both gradients.

    Args:
        x: any shape.
        index: any index of NumPy: integers, slices, None, Ellipsis, arrays or Tensors of integers
            or booleans, and tuples of these.

    Raises:
        IndexError: an index is out of range or not an integer.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> x[[0, 2, 2]].sum().backward()
    >>> x.grad
    array([1., 0., 2.])
    """
    try:
        parts = index if type(index) is tuple else (index,)
        if any(map(_is_traced, parts)):
            pattern = tuple([PLACE if _is_traced(part) else _constant_part(part) for part in parts])
            return _gather((x, *filter(_is_traced, parts)), pattern=pattern)
        return _getitem(x, index=_constant(index))
    except (ValueError, TypeError, IndexError) as error:  # like `located`, but no call
        raise_as("getitem", error)


@differentiable(
    lambda g, y, x, index, shape: getitem(g, index), batch=alone(_place_blocks), linear="all"
)
def _place(x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    y = np.zeros(shape, x.dtype)
    add_at(y, x, index)
    return y


def place(x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape with x added at an index: the transpose of :func:`getitem`.

    Args:
        x: an array with the shape of ``zeros(shape)[index]``.
        index: as for :func:`getitem`; if it names an element twice, both values are added.
        shape: the shape of the result.

    >>> place([1.0, 2.0], [0, 2], (4,))
    array([1., 0., 2., 0.])
    """
    try:
        x = np.asarray(x) if x is None or type(x) in python_scalars else x
        return _place(x, index=_constant(index), shape=tuple(shape))
    except (ValueError, TypeError, IndexError) as error:  # like `located`, but no call
        raise_as("place", error)


@located
def take(x: Array, indices: Any, axis: int | None = None) -> Array:
    """The elements, or slices along an axis, at the given indices, as ``np.take``.

    Args:
        x: any shape.
        indices: integers of any shape, from -n to n - 1.
        axis: the axis of the indices; None for the flattened x.

    Raises:
        IndexError: an index is out of range.

    >>> take([[1.0, 2.0], [3.0, 4.0]], [1, 1], axis=0)
    array([[3., 4.],
           [3., 4.]])
    """
    indices = indices if isinstance(indices, Value) else np.asarray(_constant(indices))
    if indices.dtype.kind == "b":  # in take, booleans are the numbers 0 and 1, not a mask
        indices = indices.astype(np.intp)
    if axis is None:
        return getitem(np.reshape(x, -1), indices)
    ndim = np.ndim(x._array if isinstance(x, Value) else x)
    if not -ndim <= axis < ndim:
        raise IndexError(f"take: axis {axis} is out of range for {ndim} dimensions")
    axis %= ndim
    return getitem(x, indices if axis == 0 else (slice(None),) * axis + (indices,))


# No batch rule: a table for every step would take T times the memory of their sum.
@differentiable(lambda g, y, x, ids, shape: embedding(ids, g), None, linear=((0,),))
def _rows_added(x: Array, ids: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of a shape with each row of x added to row ids: the transpose of embedding.

    Unlike the index of ``place``, ids are an operand, so a traced step may compute them.
    """
    y = np.zeros(shape, x.dtype)
    add_at(y, x, ids)
    return y


def _embedding_blocks(
    keywords: dict[str, Any], operands: Sequence[Operand]
) -> dict[str, Any] | None:
    return None if operands[1].over_time else {}


@differentiable(
    None,
    lambda g, y, ids, W: _rows_added(g, ids, W.shape),
    add_into=lambda buffer, g, ids, W: add_at(buffer, g, ids),
    batch=_embedding_blocks,
    linear=((1,),),
)
def embedding(ids: Array, W: Array) -> Array:
    """``y = W[ids]``: a row of the table for each id; a row's gradient sums over its uses.

    It equals ``one_hot(ids) @ W`` without the multiplication by zeros.

    Args:
        ids: (...) integers from 0 to V - 1.
        W: (V, D), the table.

    Returns:
        (..., D), in W's dtype.

    Raises:
        TypeError: ids are not integers.
        IndexError: an id is negative or not below V.
        ValueError: W is not two-dimensional.

    >>> embedding([1, 0], [[1.0, 2.0], [3.0, 4.0]])
    array([[3., 4.],
           [1., 2.]])
    """
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"expected integer ids, got {ids.dtype}")
    if np.ndim(W) != 2:
        raise ValueError(f"expected a table of shape (V, D), got {np.shape(W)}")
    if ids.size and (ids.min() < 0 or ids.max() >= len(W)):
        bad = ids.min() if ids.min() < 0 else ids.max()
        raise IndexError(f"expected ids from 0 to {len(W) - 1}, got {bad}")
    return W[ids]


@located
def one_hot(ids: Any, num_classes: int | None = None, *, dtype: Any = np.float32) -> Array:
    """Vectors of zeros with a 1 at the position of each id.

        y[..., k] = 1 if ids[...] = k else 0

    Args:
        ids: (...) integers from 0 to K - 1.
        num_classes: K; None for the largest id plus 1.
        dtype: the dtype of the result; by default float32, the default of layers.

    Returns:
        (..., K): an array for an array; for a Tensor a Tensor without gradient.

    Raises:
        TypeError: ids are not integers.
        IndexError: an id is negative or not below K.
        ValueError: there are no ids, and num_classes is None.

    >>> one_hot([1, 0], 3)
    array([[0., 1., 0.],
           [1., 0., 0.]], dtype=float32)
    """
    if num_classes is None:
        known = numbers(ids, "one_hot: ids")
        if not known.size:
            raise ValueError("one_hot: expected num_classes, because there are no ids")
        num_classes = int(known.max()) + 1
    return embedding(ids, np.eye(num_classes, dtype=dtype))
