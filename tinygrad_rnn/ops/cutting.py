"""Cut arrays into parts; take diagonals and triangles.

All are written with the operations of ``shaping`` and ``indexing``, so they need no rules.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..graph import Array, composed
from .arrays import as_value, normal_axes, normal_axis, plain, shape_of
from .elementwise import where
from .indexing import getitem, place
from .reductions import sum as sum_
from .shaping import moveaxis, reshape, split

__all__ = [
    "array_split",
    "diag",
    "diagflat",
    "diagonal",
    "dsplit",
    "hsplit",
    "trace",
    "tril",
    "trim_zeros",
    "triu",
    "unstack",
    "vsplit",
]

# ── parts ─────────────────────────────────────────────────────────────────────────────────────────


@composed
def array_split(x: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Cut x along an axis, like :func:`split`, into parts that may differ in length by one.

    Shapes: x (..., n, ...) -> parts (..., n_i, ...) with sum of n_i = n.

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
    """Cut x along axis 1, or a vector along its only axis; see :func:`split`.

    Shapes: x (A, n, ...) in k equal parts -> k of (A, n / k, ...).

    >>> hsplit([1.0, 2.0], 2)
    [array([1.]), array([2.])]
    """
    return split(x, indices_or_sections, 1 if len(shape_of(x)) > 1 else 0)


@composed
def vsplit(x: Array, indices_or_sections: Any) -> list[Array]:
    """Cut x, of two dimensions or more, along axis 0; see :func:`split`.

    Shapes: x (n, A, ...) in k equal parts -> k of (n / k, A, ...).

    >>> vsplit([[1.0], [2.0]], 2)
    [array([[1.]]), array([[2.]])]
    """
    if len(shape_of(x)) < 2:
        raise ValueError(f"vsplit: expected two dimensions or more, got shape {shape_of(x)}")
    return split(x, indices_or_sections, 0)


@composed
def dsplit(x: Array, indices_or_sections: Any) -> list[Array]:
    """Cut x, of three dimensions or more, along axis 2; see :func:`split`.

    Shapes: x (A, B, n, ...) in k equal parts -> k of (A, B, n / k, ...).

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
    """A vector without the zeros at its front ("f") and its back ("b").

    Shapes: x (N,) -> (N - number of zeros at its ends,).

    >>> trim_zeros([0.0, 1.0, 0.0])
    array([1.])
    """
    x, sides = as_value(x), str(trim).lower()
    if sides not in ("f", "b", "fb", "bf"):
        raise ValueError(f"trim_zeros: expected 'f', 'b' or 'fb', got {trim!r}")
    (found,) = np.nonzero(plain(x))
    if not found.size:
        return x[:0]
    return x[found[0] if "f" in sides else 0 : found[-1] + 1 if "b" in sides else len(x)]


# ── diagonals and triangles ───────────────────────────────────────────────────────────────────────


def _diagonal_of(shape: tuple[int, ...], offset: int, axis1: int, axis2: int) -> Any:
    """The row and column indices of a diagonal."""
    rows, columns = shape[axis1], shape[axis2]
    n = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    i = np.arange(n)
    return (i, i + offset) if offset >= 0 else (i - offset, i)


@composed
def diagonal(x: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The elements ``x_{i, i + offset}``, along the last axis of the result.

    Shapes: x (M, N, ...) -> (..., length of the diagonal).

    Args:
        x: two dimensions or more.
        offset: the distance above the main diagonal; negative for below it.
        axis1, axis2: the axes of rows and columns.

    Raises:
        ValueError: x has fewer dimensions, or the two axes are equal.

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

    Shapes: x (M, N, ...) -> (...).

    >>> trace([[1.0, 2.0], [3.0, 4.0]])
    array(5.)
    """
    return sum_(diagonal(x, offset, axis1, axis2), -1, dtype=dtype)


@composed
def diag(v: Array, k: int = 0) -> Array:
    """A matrix with v on its k-th diagonal; for a matrix v, its k-th diagonal.

    Shapes: v (N,) -> (N + |k|, N + |k|); v (M, N) -> the length of its diagonal.

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

    Shapes: v of any shape -> (size + |k|, size + |k|).

    >>> diagflat([[1.0, 2.0]])
    array([[1., 0.],
           [0., 2.]])
    """
    return diag(reshape(as_value(v), (-1,)), k)


def _below(x: Array, k: int) -> Any:
    """True at and below the k-th diagonal."""
    if x.ndim == 0:
        raise ValueError("expected one dimension or more, got none")
    return np.tri(x.shape[-2:][0], x.shape[-1], k, dtype=bool)


@composed
def tril(x: Array, k: int = 0) -> Array:
    """Each matrix with zeros above its k-th diagonal; a vector counts as every row of a matrix.

    Shapes: x (..., M, N) -> the same shape; (N,) -> (N, N).

    >>> tril([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 0.],
           [3., 4.]])
    """
    x = as_value(x)
    return where(_below(x, k), x, 0)


@composed
def triu(x: Array, k: int = 0) -> Array:
    """Each matrix with zeros below its k-th diagonal; a vector counts as every row of a matrix.

    Shapes: x (..., M, N) -> the same shape; (N,) -> (N, N).

    >>> triu([[1.0, 2.0], [3.0, 4.0]])
    array([[1., 2.],
           [0., 4.]])
    """
    x = as_value(x)
    return where(_below(x, k - 1), 0, x)
