"""Joining, repeating, turning and cutting arrays: NumPy's functions that only move elements.

All are written in the operations of ``shaping`` and ``indexing``, and so have no rules of their
own: every element that is moved takes its gradient along.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..graph import Array, Value, composed
from .arrays import (
    Axes,
    alike,
    as_value,
    dtype_of,
    float_dtype_of,
    normal_axes,
    normal_axis,
    plain,
    shape_of,
)
from .elementwise import positive, where
from .indexing import getitem, place, take
from .reductions import cumprod, cumsum, in_dtype
from .reductions import sum as sum_
from .shaping import (
    astype,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    moveaxis,
    reshape,
    split,
    stack,
    swapaxes,
    transpose,
)

__all__ = [
    "append",
    "array",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block",
    "broadcast_arrays",
    "column_stack",
    "copy",
    "cumulative_prod",
    "cumulative_sum",
    "delete",
    "diag",
    "diagflat",
    "diagonal",
    "diff",
    "dsplit",
    "dstack",
    "ediff1d",
    "fliplr",
    "flipud",
    "gradient",
    "hsplit",
    "hstack",
    "insert",
    "matrix_transpose",
    "meshgrid",
    "permute_dims",
    "ravel",
    "repeat",
    "resize",
    "roll",
    "rollaxis",
    "rot90",
    "tile",
    "trace",
    "tril",
    "trim_zeros",
    "triu",
    "unstack",
    "unwrap",
    "vsplit",
    "vstack",
]

# ── nested lists ─────────────────────────────────────────────────────────────────────────


def array(data: Any, *, dtype: Any = None) -> Array:
    """Nested lists of Tensors, arrays and numbers as one array that keeps the graph.

    ``np.array`` of Tensors that require grad raises, since it would drop their gradients.

    Args:
        data: nested lists or tuples; what they hold has one shape.
        dtype: convert to it.

    Returns:
        A Tensor, or an ndarray where no Tensor is in it.

    Raises:
        ValueError: the lists are ragged, or what they hold differs in shape.

    >>> import tinygrad_rnn as tg
    >>> a = tg.Tensor(2.0, requires_grad=True)
    >>> m = array([[a, 0.0], [1.0, a * a]])
    >>> m
    Tensor([[2., 0.],
            [1., 4.]], requires_grad=True)
    """
    leaves = list(_leaves(data))
    if not any(isinstance(leaf, Value) for leaf in leaves):
        return np.array(data, dtype)
    return in_dtype(_nested(data, iter(alike(*leaves))), dtype)


def _leaves(data: Any) -> Iterator[Any]:
    """What nested lists hold, from left to right."""
    if isinstance(data, (list, tuple)):
        for part in data:
            yield from _leaves(part)
    else:
        yield data


def _nested(data: Any, leaves: Iterator[Array]) -> Array:
    """The leaves stacked as the lists are nested."""
    if not isinstance(data, (list, tuple)):
        return next(leaves)
    parts = [_nested(part, leaves) for part in data]
    shapes = {shape_of(part) for part in parts}
    if len(shapes) > 1:
        raise ValueError(f"array: the parts of a list differ in shape: {sorted(shapes)}")
    return stack(parts)


def _arrays(arrays: Any) -> list[Array]:
    """A sequence of arrays, or an array along its first axis, as a list."""
    if isinstance(arrays, (Value, np.ndarray)):
        return list(unstack(arrays))
    return list(alike(*arrays))


@composed
def copy(x: Array) -> Array:
    """The same numbers in an array of their own; the gradient passes.

    >>> copy([1.0, 2.0])
    array([1., 2.])
    """
    x = as_value(x)
    return astype(x, bool) if x.dtype.kind == "b" else positive(x)


# ── dimensions ───────────────────────────────────────────────────────────────────────────


def _at_least(name: str, arrays: tuple[Array, ...], raised: Any) -> Any:
    results = tuple(raised(as_value(x)) for x in arrays)
    return results[0] if len(results) == 1 else results


@composed
def atleast_1d(*arrays: Array) -> Any:
    """Arrays of one dimension or more; a tuple of them for several.

    >>> atleast_1d(3.0)
    array([3.])
    """
    return _at_least("atleast_1d", arrays, lambda x: x if x.ndim else reshape(x, (1,)))


@composed
def atleast_2d(*arrays: Array) -> Any:
    """Arrays of two dimensions or more: a vector becomes a row.

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
    """Arrays of three dimensions or more: (n,) becomes (1, n, 1), and (m, n) becomes (m, n, 1).

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
    """All elements along one axis; with ``order="F"`` the first axis runs fastest.

    >>> ravel([[1.0, 2.0], [3.0, 4.0]])
    array([1., 2., 3., 4.])
    """
    return reshape(x, (-1,), order=order)


@composed
def matrix_transpose(x: Array) -> Array:
    """The last two axes exchanged: each matrix of a stack transposed.

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
    """An axis moved back to before place ``start``.

    >>> rollaxis(np.ones((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    n = len(shape_of(x))
    axis = normal_axis(axis, n)
    if not -n <= start <= n:
        raise np.exceptions.AxisError(start, n + 1)
    start = start + n if start < 0 else start
    return moveaxis(x, axis, start - 1 if axis < start else start)


@composed
def broadcast_arrays(*arrays: Array) -> tuple[Array, ...]:
    """Arrays broadcast to the shape of all of them together.

    >>> broadcast_arrays([1.0, 2.0], [[3.0]])[1]
    array([[3., 3.]])
    """
    shape = np.broadcast_shapes(*(shape_of(x) for x in arrays))
    return tuple(broadcast_to(x, shape) for x in arrays)


@composed
def meshgrid(
    *arrays: Array, indexing: str = "xy", sparse: bool = False, copy: bool = True
) -> tuple[Array, ...]:
    """Coordinate matrices of vectors: each repeated along the axes of all the others.

    Args:
        *arrays: vectors.
        indexing: "xy" makes the first vector run along axis 1, "ij" along axis 0.
        sparse: leave the repeated axes at length 1.
        copy: has no meaning here.

    >>> meshgrid([1.0, 2.0], [3.0])[0]
    array([[1., 2.]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: expected 'xy' or 'ij' as indexing, got {indexing!r}")
    n = len(arrays)
    grids = []
    for i, x in enumerate(arrays):
        along = 1 - i if indexing == "xy" and i < 2 <= n else i
        grids.append(reshape(as_value(x), tuple(-1 if a == along else 1 for a in range(n))))
    return tuple(grids) if sparse else broadcast_arrays(*grids)


# ── joining ──────────────────────────────────────────────────────────────────────────────


@composed
def vstack(arrays: Sequence[Array]) -> Array:
    """Arrays one below the other: joined along axis 0, vectors as rows.

    >>> vstack([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 2.],
           [3., 4.]])
    """
    return concatenate([atleast_2d(x) for x in _arrays(arrays)])


@composed
def hstack(arrays: Sequence[Array]) -> Array:
    """Arrays side by side: joined along axis 1, vectors along their only axis.

    >>> hstack([[1.0, 2.0], [3.0]])
    array([1., 2., 3.])
    """
    raised = [atleast_1d(x) for x in _arrays(arrays)]
    return concatenate(raised, 0 if raised and raised[0].ndim == 1 else 1)


@composed
def dstack(arrays: Sequence[Array]) -> Array:
    """Arrays one behind the other: joined along axis 2.

    >>> dstack([[1.0, 2.0], [3.0, 4.0]])
    array([[[1., 3.],
            [2., 4.]]])
    """
    return concatenate([atleast_3d(x) for x in _arrays(arrays)], 2)


@composed
def column_stack(arrays: Sequence[Array]) -> Array:
    """Vectors as the columns of a matrix; matrices side by side.

    >>> column_stack([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 3.],
           [2., 4.]])
    """
    columns = [reshape(x, (-1, 1)) if len(shape_of(x)) < 2 else x for x in _arrays(arrays)]
    return concatenate(columns, 1)


@composed
def append(x: Array, values: Array, axis: int | None = None) -> Array:
    """Values joined behind x along an axis; None joins both flattened.

    >>> append([1.0, 2.0], 3.0)
    array([1., 2., 3.])
    """
    x, values = alike(x, values)
    if axis is None:
        x, values = reshape(x, (-1,)), reshape(values, (-1,))
    return concatenate([x, values], 0 if axis is None else axis)


@composed
def block(arrays: Any) -> Array:
    """Nested lists of arrays as blocks: the innermost lists joined along the last axis.

    >>> block([[np.eye(2), np.ones((2, 1))]])
    array([[1., 0., 1.],
           [0., 1., 1.]])
    """

    def depth(part: Any) -> int:
        return 1 + max(map(depth, part), default=0) if isinstance(part, list) else 0

    found = alike(*_leaves(arrays))
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
    """Values inserted before the given indices along an axis; None flattens x.

    >>> insert([1.0, 2.0], 1, 9.0)
    array([1., 9., 2.])
    """
    # NumPy inserts labels of the elements, and these say which element goes where.
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
    """x without what the index names along an axis; None flattens x.

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


# ── repeating ────────────────────────────────────────────────────────────────────────────


@composed
def repeat(x: Array, repeats: Any, axis: int | None = None) -> Array:
    """Each element, or slice along an axis, several times one after the other.

    Args:
        x: any shape.
        repeats: one integer, or one for each place along the axis.
        axis: None repeats the elements of the flattened x.

    >>> repeat([1.0, 2.0], 2)
    array([1., 1., 2., 2.])
    """
    x, axis = _flat(x, axis)
    n, repeats = x.shape[axis], np.asarray(plain(repeats))
    if repeats.size != 1:
        return take(x, np.repeat(np.arange(n), repeats), axis)
    times = operator.index(repeats.item())
    if times < 0:
        raise ValueError(f"repeat: expected a number of at least 0, got {times}")
    before, behind = x.shape[:axis], x.shape[axis + 1 :]
    spread = broadcast_to(expand_dims(x, axis + 1), (*before, n, times, *behind))
    return reshape(spread, (*before, n * times, *behind))


@composed
def tile(x: Array, reps: Any) -> Array:
    """x side by side with itself, ``reps`` times along each axis.

    >>> tile([1.0, 2.0], 2)
    array([1., 2., 1., 2.])
    """
    x = as_value(x)
    times = tuple(operator.index(n) for n in np.ravel(plain(reps)))
    n = max(x.ndim, len(times))
    shape, times = (1,) * (n - x.ndim) + x.shape, (1,) * (n - len(times)) + times
    spread = broadcast_to(
        reshape(x, tuple(m for size in shape for m in (1, size))),
        tuple(m for size, k in zip(shape, times, strict=True) for m in (k, size)),
    )
    return reshape(spread, tuple(size * k for size, k in zip(shape, times, strict=True)))


@composed
def resize(x: Array, new_shape: Any) -> Array:
    """The elements of x in a new shape, over and over where that is larger.

    >>> resize([1.0, 2.0], (3,))
    array([1., 2., 1.])
    """
    x = as_value(x)
    shape = tuple(operator.index(n) for n in np.ravel(new_shape))
    if not math.prod(x.shape):
        return np.zeros(shape, dtype_of(x)) if not isinstance(x, Value) else reshape(x, shape)
    return reshape(take(x, np.arange(math.prod(shape)) % math.prod(x.shape)), shape)


# ── turning ──────────────────────────────────────────────────────────────────────────────


@composed
def roll(x: Array, shift: Any, axis: Axes = None) -> Array:
    """Elements moved along axes; those that leave at the end come in at the start.

    Args:
        x: any shape.
        shift: by how much, for each axis or for all.
        axis: None moves through the flattened x.

    >>> roll([1.0, 2.0, 3.0], 1)
    array([3., 1., 2.])
    """
    x = as_value(x)
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, 0), x.shape)
    pairs = np.broadcast(plain(shift), axis)
    for by, a in pairs:
        along = normal_axis(a, x.ndim)
        n = x.shape[along]
        by = int(by) % n if n else 0
        if by:
            lead = (slice(None),) * along
            x = concatenate(
                [getitem(x, (*lead, slice(n - by, n))), getitem(x, (*lead, slice(0, n - by)))],
                along,
            )
    return x


@composed
def fliplr(x: Array) -> Array:
    """The columns in reverse order.

    >>> fliplr([[1.0, 2.0]])
    array([[2., 1.]])
    """
    return flip(x, 1)


@composed
def flipud(x: Array) -> Array:
    """The rows in reverse order.

    >>> flipud([1.0, 2.0])
    array([2., 1.])
    """
    return flip(x, 0)


@composed
def rot90(x: Array, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """x turned by k right angles, from the first of two axes towards the second.

    >>> rot90([[1.0, 2.0]])
    array([[2.],
           [1.]])
    """
    first, second = (normal_axis(a, len(shape_of(x))) for a in axes)
    if first == second:
        raise ValueError(f"rot90: expected two different axes, got {axes}")
    k %= 4
    if k == 0:
        return as_value(x)
    if k == 2:
        return flip(x, (first, second))
    if k == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second)


# ── cutting ──────────────────────────────────────────────────────────────────────────────


@composed
def array_split(x: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """x cut along an axis as by :func:`split`, into parts that may differ in length by one.

    >>> array_split([1.0, 2.0, 3.0], 2)
    [array([1., 2.]), array([3.])]
    """
    if np.ndim(indices_or_sections):
        return split(x, indices_or_sections, axis)
    sections = operator.index(indices_or_sections)
    if sections < 1:
        raise ValueError(f"array_split: expected at least 1 section, got {sections}")
    n = shape_of(x)[normal_axis(axis, len(shape_of(x)))]
    sizes = [n // sections + (i < n % sections) for i in range(sections)]
    return split(x, np.cumsum(sizes)[:-1], axis)


@composed
def hsplit(x: Array, indices_or_sections: Any) -> list[Array]:
    """x cut along axis 1, a vector along its only axis; see :func:`split`.

    >>> hsplit([1.0, 2.0], 2)
    [array([1.]), array([2.])]
    """
    return split(x, indices_or_sections, 1 if len(shape_of(x)) > 1 else 0)


@composed
def vsplit(x: Array, indices_or_sections: Any) -> list[Array]:
    """x, of two dimensions or more, cut along axis 0; see :func:`split`.

    >>> vsplit([[1.0], [2.0]], 2)
    [array([[1.]]), array([[2.]])]
    """
    if len(shape_of(x)) < 2:
        raise ValueError(f"vsplit: expected two dimensions or more, got shape {shape_of(x)}")
    return split(x, indices_or_sections, 0)


@composed
def dsplit(x: Array, indices_or_sections: Any) -> list[Array]:
    """x, of three dimensions or more, cut along axis 2; see :func:`split`.

    >>> dsplit([[[1.0, 2.0]]], 2)
    [array([[[1.]]]), array([[[2.]]])]
    """
    if len(shape_of(x)) < 3:
        raise ValueError(f"dsplit: expected three dimensions or more, got shape {shape_of(x)}")
    return split(x, indices_or_sections, 2)


@composed
def unstack(x: Array, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices along an axis, as a tuple: the opposite of :func:`stack`.

    >>> unstack([[1.0, 2.0], [3.0, 4.0]])
    (array([1., 2.]), array([3., 4.]))
    """
    x = as_value(x)
    lead = (slice(None),) * normal_axis(axis, x.ndim)
    return tuple(getitem(x, (*lead, i)) for i in range(x.shape[axis]))


@composed
def trim_zeros(x: Array, trim: str = "fb") -> Array:
    """A vector without the zeros before ("f") and behind ("b") the first and last other element.

    >>> trim_zeros([0.0, 1.0, 0.0])
    array([1.])
    """
    x = as_value(x)
    (found,) = np.nonzero(plain(x))
    if not found.size:
        return x[:0]
    start = found[0] if "f" in trim.lower() else 0
    return x[start : found[-1] + 1 if "b" in trim.lower() else len(x)]


# ── diagonals and triangles ──────────────────────────────────────────────────────────────


def _diagonal_of(shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    """Rows and columns of a diagonal."""
    rows, columns = shape[axis1], shape[axis2]
    n = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    i = np.arange(n)
    return (i, i + offset) if offset >= 0 else (i - offset, i)


@composed
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements ``x_{i, i + offset}`` along a last axis.

    Args:
        x: two dimensions or more.
        offset: above (positive) or below the main diagonal.
        axis1, axis2: the axes of rows and columns.

    Raises:
        ValueError: x has fewer dimensions, or the two axes are one.

    >>> diagonal([[1.0, 2.0], [3.0, 4.0]])
    array([1., 4.])
    """
    x = as_value(x)
    if x.ndim < 2:
        raise ValueError(f"diagonal: expected two dimensions or more, got shape {x.shape}")
    first, second = normal_axes((axis1, axis2), x.ndim)
    i, j = _diagonal_of(x.shape, offset, first, second)
    return getitem(moveaxis(x, (first, second), (-2, -1)), (..., i, j))


@composed
def trace(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1, *, dtype: Any = None) -> Array:
    """The sum of a diagonal, see :func:`diagonal`.

    >>> trace([[1.0, 2.0], [3.0, 4.0]])
    array(5.)
    """
    return sum_(diagonal(x, offset, axis1, axis2), -1, dtype=dtype)


@composed
def diag(v: Array, k: int = 0) -> Array:
    """A matrix with v on its k-th diagonal; of a matrix, its k-th diagonal.

    >>> diag([1.0, 2.0])
    array([[1., 0.],
           [0., 2.]])
    """
    v = as_value(v)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(f"diag: expected one or two dimensions, got shape {v.shape}")
    n = v.shape[0] + abs(k)
    return place(v, _diagonal_of((n, n), k, 0, 1), (n, n))


@composed
def diagflat(v: Array, k: int = 0) -> Array:
    """A matrix with the elements of v, flattened, on its k-th diagonal.

    >>> diagflat([[1.0, 2.0]])
    array([[1., 0.],
           [0., 2.]])
    """
    return diag(reshape(as_value(v), (-1,)), k)


def _below(x: Array, k: int) -> Any:
    """True at and below the k-th diagonal."""
    return np.tri(x.shape[-2:][0], x.shape[-1], k, dtype=bool)


@composed
def tril(x: Array, k: int = 0) -> Array:
    """Zeros above the k-th diagonal of each matrix; a vector is every row of one.

    >>> tril([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 0.],
           [3., 4.]])
    """
    x = as_value(x)
    return where(_below(x, k), x, 0)


@composed
def triu(x: Array, k: int = 0) -> Array:
    """Zeros below the k-th diagonal of each matrix; a vector is every row of one.

    >>> triu([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 2.],
           [0., 4.]])
    """
    x = as_value(x)
    return where(_below(x, k - 1), 0, x)


# ── differences of neighbours ────────────────────────────────────────────────────────────


@composed
def diff(
    x: Array, n: int = 1, axis: int = -1, prepend: Array = None, append: Array = None
) -> Array:
    """``y_i = x_{i+1} - x_i`` along an axis, n times over.

    Args:
        x: one dimension or more.
        n: how often.
        axis: along which.
        prepend, append: values joined before and behind x first.

    >>> diff([1.0, 3.0, 6.0])
    array([2., 3.])
    """
    x = as_value(x)
    if n < 0:
        raise ValueError(f"diff: expected n of at least 0, got {n}")
    if n == 0:
        return x
    along = normal_axis(axis, x.ndim)
    edges = []
    for values in (prepend, append):
        if values is not None:
            _, values = alike(x, values)
        if values is not None and not values.shape:
            values = broadcast_to(values, (*x.shape[:along], 1, *x.shape[along + 1 :]))
        edges.append([] if values is None else [values])
    if prepend is not None or append is not None:
        x = concatenate([*edges[0], x, *edges[1]], along)
    lead = (slice(None),) * along
    for _ in range(n):
        later, earlier = getitem(x, (*lead, slice(1, None))), getitem(x, (*lead, slice(None, -1)))
        x = later != earlier if dtype_of(x).kind == "b" else later - earlier
    return x


@composed
def ediff1d(x: Array, to_end: Array = None, to_begin: Array = None) -> Array:
    """The differences of neighbours in the flattened x, between what is joined at both ends.

    >>> ediff1d([1.0, 3.0, 6.0], to_begin=0.0)
    array([0., 2., 3.])
    """
    parts = [diff(reshape(as_value(x), (-1,)))]
    if to_begin is not None:
        parts.insert(0, reshape(alike(x, to_begin)[1], (-1,)))
    if to_end is not None:
        parts.append(reshape(alike(x, to_end)[1], (-1,)))
    return concatenate(parts) if len(parts) > 1 else parts[0]


@composed
def gradient(x: Array, *spacing: Any, axis: Axes = None, edge_order: int = 1) -> Any:
    """Slopes of x along its axes by differences: central ones inside, one-sided at the edges.

    Args:
        x: two elements or more along each axis (three for ``edge_order=2``).
        *spacing: none (1), one number for all axes, or for each axis a number or the coordinates.
        axis: an axis, several, or None for all.
        edge_order: 1 or 2, the order of the differences at the edges.

    Returns:
        x's shape; a tuple of these for several axes.

    Source: Quarteroni, Sacco and Saleri, "Numerical Mathematics" (2007), section 10.10.

    >>> gradient([1.0, 2.0, 4.0])
    array([1. , 1.5, 2. ])
    """
    x = as_value(x)
    if x.dtype.kind in "iub":
        x = in_dtype(x, np.float64)
    axes = normal_axes(axis, x.ndim)
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: expected an edge_order of 1 or 2, got {edge_order}")
    if len(spacing) not in (0, 1, len(axes)) or (
        len(spacing) == 1 and len(axes) > 1 and np.ndim(plain(spacing[0]))
    ):
        raise TypeError(f"gradient: expected none, one or {len(axes)} spacings")
    spacing = spacing or (1.0,)
    each = spacing * len(axes) if len(spacing) == 1 else spacing
    slopes = tuple(_slope(x, a, h, edge_order) for a, h in zip(axes, each, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(x: Array, axis: int, spacing: Any, edge_order: int) -> Array:
    x = moveaxis(x, axis, -1)
    n = x.shape[-1]
    if n < edge_order + 1:
        raise ValueError(f"gradient: axis {axis} of length {n} is too short for its differences")
    if shape_of(spacing):
        if shape_of(spacing) != (n,):
            raise ValueError(f"gradient: expected {n} coordinates, got {shape_of(spacing)}")
        h = as_value(spacing)
        h = h[1:] - h[:-1]
        uniform = False
    else:
        h, uniform = broadcast_to(astype(spacing, float_dtype_of(x)), (n - 1,)), True
    steps = x[..., 1:] - x[..., :-1]
    left, right = h[:-1], h[1:]
    if uniform:
        inside = (x[..., 2:] - x[..., :-2]) / (2.0 * left)
    else:
        inside = (left / right * steps[..., 1:] + right / left * steps[..., :-1]) / (left + right)
    first, last = steps[..., :1] / h[:1], steps[..., -1:] / h[-1:]
    if edge_order == 2:
        first = first + (first - steps[..., 1:2] / h[1:2]) * (h[:1] / (h[:1] + h[1:2]))
        last = last + (last - steps[..., -2:-1] / h[-2:-1]) * (h[-1:] / (h[-1:] + h[-2:-1]))
    return moveaxis(concatenate([first, inside, last], -1), -1, axis)


@composed
def unwrap(
    x: Array, discont: float | None = None, axis: int = -1, *, period: float = 2 * np.pi
) -> Array:
    """x plus multiples of the period, so that neighbours differ by half of it at most.

    >>> unwrap([0.0, 6.0]).round(2)
    array([ 0.  , -0.28])
    """
    x = as_value(x)
    array = plain(x)
    return x + (np.unwrap(array, discont, axis, period=period) - array).astype(dtype_of(x))


# ── running sums with a start ────────────────────────────────────────────────────────────


def _cumulative(
    accumulate: Any, start: float, x: Array, axis: int | None, dtype: Any, include_initial: bool
) -> Array:
    x = as_value(x)
    if axis is None:
        if x.ndim > 1:
            raise ValueError(f"a cumulative sum or product of shape {x.shape} needs an axis")
        x, axis = reshape(x, (-1,)), 0
    axis = normal_axis(axis, x.ndim)
    y = accumulate(x, axis, dtype=dtype)
    if not include_initial:
        return y
    first = np.full((*y.shape[:axis], 1, *y.shape[axis + 1 :]), start, float_dtype_of(y))
    first = first if dtype_of(y).kind not in "iub" else first.astype(y.dtype)
    return concatenate([first, y], axis)


@composed
def cumulative_sum(
    x: Array, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """:func:`cumsum`, with a 0 before it if asked for.

    >>> cumulative_sum([1.0, 2.0], include_initial=True)
    array([0., 1., 3.])
    """
    return _cumulative(cumsum, 0, x, axis, dtype, include_initial)


@composed
def cumulative_prod(
    x: Array, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """:func:`cumprod`, with a 1 before it if asked for.

    >>> cumulative_prod([2.0, 3.0], include_initial=True)
    array([1., 2., 6.])
    """
    return _cumulative(cumprod, 1, x, axis, dtype, include_initial)
