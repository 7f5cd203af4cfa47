"""Join arrays, and add the dimensions for it: NumPy's functions of lists of arrays.

All are written with the operations of ``shaping`` and ``indexing``, so they need no rules. An
element keeps its gradient wherever it moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Array, Value, composed, located
from .arrays import alike, as_value, holds_tensor, leaves_of, normal_axis, plain, shape_of, stacked
from .cutting import unstack
from .elementwise import positive
from .indexing import take
from .reductions import in_dtype
from .shaping import astype, concatenate, expand_dims, moveaxis, reshape, swapaxes, transpose

__all__ = [
    "append",
    "array",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block",
    "column_stack",
    "copy",
    "delete",
    "dstack",
    "hstack",
    "insert",
    "matrix_transpose",
    "permute_dims",
    "ravel",
    "rollaxis",
    "vstack",
]

# ── nested lists ──────────────────────────────────────────────────────────────────────────────────


@located
def array(data: Any, *, dtype: Any = None) -> Array:
    """Nested lists of Tensors, arrays and numbers as one array that keeps the graph.

    ``np.array`` of Tensors that require grad raises, since it would drop their gradients.

    Args:
        data: nested lists or tuples; their elements have one shape.
        dtype: the dtype of the result.

    Returns:
        A Tensor, or an ndarray if no element is a Tensor.

    Raises:
        ValueError: the lists are ragged, or their elements differ in shape.

    >>> import tinygrad_rnn as tg
    >>> a = tg.Tensor(2.0, requires_grad=True)
    >>> m = array([[a, 0.0], [1.0, a * a]])
    >>> m
    Tensor([[2., 0.],
            [1., 4.]], requires_grad=True)
    """
    return in_dtype(stacked(data), dtype) if holds_tensor(data) else np.array(data, dtype)


def _arrays(arrays: Any) -> list[Array]:
    """A sequence of arrays, or an array along its first axis, as a list."""
    if isinstance(arrays, (Value, np.ndarray)):
        return list(unstack(arrays))
    return list(alike(*arrays))


@composed
def copy(x: Array) -> Array:
    """A copy of x; the gradient passes.

    Shapes: x of any shape -> the same shape.

    >>> copy([1.0, 2.0])
    array([1., 2.])
    """
    x = as_value(x)
    return astype(x, bool) if x.dtype.kind == "b" else positive(x)


# ── dimensions ────────────────────────────────────────────────────────────────────────────────────


def _at_least(name: str, arrays: tuple[Array, ...], raised: Any) -> Any:
    results = tuple(raised(as_value(x)) for x in arrays)
    return results[0] if len(results) == 1 else results


@composed
def atleast_1d(*arrays: Array) -> Any:
    """Each array with at least one dimension; a tuple for several arrays.

    Shapes: () -> (1,); others stay.

    >>> atleast_1d(3.0)
    array([3.])
    """
    return _at_least("atleast_1d", arrays, lambda x: x if x.ndim else reshape(x, (1,)))


@composed
def atleast_2d(*arrays: Array) -> Any:
    """Each array with at least two dimensions: a vector becomes a row.

    Shapes: () -> (1, 1); (N,) -> (1, N); others stay.

    >>> atleast_2d([1.0, 2.0])
    array([[1., 2.]])
    """
    return _at_least(
        "atleast_2d",
        arrays,
        lambda x: x if x.ndim > 1 else reshape(x, (1, x.size if x.ndim else 1)),
    )


@composed
def atleast_3d(*arrays: Array) -> Any:
    """Each array with at least three dimensions: (n,) -> (1, n, 1), and (m, n) -> (m, n, 1).

    >>> atleast_3d([1.0, 2.0]).shape
    (1, 2, 1)
    """

    def raised(x: Array) -> Array:
        if x.ndim > 2:
            return x
        return expand_dims(x, -1) if x.ndim == 2 else reshape(x, (1, math.prod(x.shape), 1))

    return _at_least("atleast_3d", arrays, raised)


@composed
def ravel(x: Array, order: str = "C") -> Array:
    """All elements as a vector; with ``order="F"`` the first axis runs fastest.

    Shapes: x of any shape -> (size,).

    >>> ravel([[1.0, 2.0], [3.0, 4.0]])
    array([1., 2., 3., 4.])
    """
    return reshape(x, (-1,), order=order)


@composed
def matrix_transpose(x: Array) -> Array:
    """Transpose each matrix of a stack: exchange the last two axes.

    Shapes: x (..., M, N) -> (..., N, M).

    >>> matrix_transpose([[1.0, 2.0]])
    array([[1.],
           [2.]])
    """
    if len(shape_of(x)) < 2:
        raise ValueError(f"matrix_transpose: expected two axes or more, got shape {shape_of(x)}")
    return swapaxes(x, -1, -2)


permute_dims = transpose


@composed
def rollaxis(x: Array, axis: int, start: int = 0) -> Array:
    """Move an axis to the position before axis ``start``.

    Shapes: x (A, B, C) with axis 2 moved before 0 -> (C, A, B).

    >>> rollaxis(np.ones((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    n = len(shape_of(x))
    axis = normal_axis(axis, n)
    if not -n <= start <= n:
        raise np.exceptions.AxisError(start, n + 1)
    start = start + n if start < 0 else start
    return moveaxis(x, axis, start - 1 if axis < start else start)


# ── joining ───────────────────────────────────────────────────────────────────────────────────────


@composed
def vstack(arrays: Sequence[Array]) -> Array:
    """Join arrays along axis 0, one below the other; vectors are rows.

    Shapes: arrays (n_i, ...) -> (sum of n_i, ...); (N,) counts as (1, N).

    >>> vstack([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 2.],
           [3., 4.]])
    """
    return concatenate([atleast_2d(x) for x in _arrays(arrays)])


@composed
def hstack(arrays: Sequence[Array]) -> Array:
    """Join arrays along axis 1, side by side; vectors along their only axis.

    Shapes: arrays (A, n_i, ...) -> (A, sum of n_i, ...); (n_i,) -> (sum of n_i,).

    >>> hstack([[1.0, 2.0], [3.0]])
    array([1., 2., 3.])
    """
    raised = [atleast_1d(x) for x in _arrays(arrays)]
    return concatenate(raised, 0 if raised and raised[0].ndim == 1 else 1)


@composed
def dstack(arrays: Sequence[Array]) -> Array:
    """Join arrays along axis 2, one after the other.

    Shapes: arrays (A, B, n_i) -> (A, B, sum of n_i); (A, B) counts as (A, B, 1) and (N,) as
    (1, N, 1).

    >>> dstack([[1.0, 2.0], [3.0, 4.0]])
    array([[[1., 3.],
            [2., 4.]]])
    """
    return concatenate([atleast_3d(x) for x in _arrays(arrays)], 2)


@composed
def column_stack(arrays: Sequence[Array]) -> Array:
    """Join vectors as the columns of a matrix; join matrices side by side.

    Shapes: k arrays (N,) -> (N, k); matrices (N, m_i) -> (N, sum of m_i).

    >>> column_stack([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 3.],
           [2., 4.]])
    """
    columns = [reshape(x, (-1, 1)) if len(shape_of(x)) < 2 else x for x in _arrays(arrays)]
    return concatenate(columns, 1)


@composed
def append(x: Array, values: Array, axis: int | None = None) -> Array:
    """Join values after x along an axis; None flattens both first.

    Shapes: x (..., n, ...), values (..., m, ...) -> (..., n + m, ...).

    >>> append([1.0, 2.0], 3.0)
    array([1., 2., 3.])
    """
    x, values = alike(x, values)
    if axis is None:
        x, values = reshape(x, (-1,)), reshape(values, (-1,))
    return concatenate([x, values], 0 if axis is None else axis)


@composed
def block(arrays: Any) -> Array:
    """Join nested lists of arrays as blocks: the innermost lists along the last axis.

    >>> block([[np.eye(2), np.ones((2, 1))]])
    array([[1., 0., 1.],
           [0., 1., 1.]])
    """

    def depth(part: Any) -> int:
        return 1 + max(map(depth, part), default=0) if isinstance(part, list) else 0

    found = alike(*leaves_of(arrays))
    levels = depth(arrays)
    ndim = max([levels, *(x.ndim for x in found)])
    leaves = iter(found)

    def joined(part: Any, level: int) -> Array:
        if isinstance(part, list):
            return concatenate([joined(inner, level + 1) for inner in part], level - levels)
        x = next(leaves)
        return reshape(x, (1,) * (ndim - x.ndim) + x.shape)

    return joined(arrays, 0)


@composed
def insert(x: Array, index: Any, values: Array, axis: int | None = None) -> Array:
    """Insert values before the given indices along an axis; None flattens x.

    Shapes: x (..., n, ...) with k values -> (..., n + k, ...).

    >>> insert([1.0, 2.0], 1, 9.0)
    array([1., 9., 2.])
    """
    # Let NumPy insert into an array of labels: the result shows which element goes where.
    x, values = as_value(x), as_value(values)
    labels = np.arange(x.size + values.size)
    order = np.insert(
        labels[: x.size].reshape(x.shape),
        plain(index),
        labels[x.size :].reshape(values.shape),
        axis,
    )
    if values.dtype != x.dtype:
        values = astype(values, x.dtype)
    return take(concatenate([reshape(x, (-1,)), reshape(values, (-1,))]), order)


@composed
def delete(x: Array, index: Any, axis: int | None = None) -> Array:
    """x without the elements that the index names along an axis; None flattens x.

    Shapes: x (..., n, ...) without k indices -> (..., n - k, ...).

    >>> delete([1.0, 2.0, 3.0], 1)
    array([1., 3.])
    """
    x, axis = _flat(x, axis)
    return take(x, np.delete(np.arange(x.shape[axis]), plain(index)), axis)


def _flat(x: Array, axis: int | None) -> tuple[Array, int]:
    x = as_value(x)
    if axis is None:
        return reshape(x, (-1,)), 0
    return x, normal_axis(axis, x.ndim)
