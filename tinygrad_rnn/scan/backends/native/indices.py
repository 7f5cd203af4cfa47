"""Indexing by arrays of integers: read elements at computed indices, or add to them.

    picked(x, i, j)      y[n] = x[i[n], j[n]], with one array of indices for each axis of x
    added_at(x, i, j)    y = 0, then y[i[n], j[n]] += x[n] for each n in order
    confirmed(x, right)  x; sets a flag if ``right`` is false anywhere

The indices are integer Values that broadcast. If a call sets the flag, its results are dropped, and
the NumPy back end runs the call again and raises the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ....graph import Primitive
from ....ops import primitives
from ....ops.indexing import PLACE, is_basic
from ....ops.shaping import _as_constant as as_constant
from ...ir import CONSTANT, Builder, Operation, OverTime, Value, parts_of
from ...passes.expand import inlined_of

_add, _where, _getitem = primitives.add, primitives.where, primitives.getitem
_gather, _scatter, _place = primitives.gather, primitives.scatter, primitives.place
_take_along, _add_along = primitives.take_along, primitives.add_along
_embedding, _rows_added = primitives.embedding, primitives.rows_added
_less, _greater_equal = primitives.less, primitives.greater_equal
_and = primitives.logical_and
_whole = np.dtype(np.int64)


def _inside(places: Sequence[Any], shape: Sequence[int]) -> tuple[ndarray, ...]:
    return tuple(np.asarray(i) % n for i, n in zip(places, shape, strict=True))


def _picked(x: ndarray, *places: Any) -> Any:
    return x[_inside(places, x.shape)]


def _added_at(x: ndarray, *places: Any, shape: tuple[int, ...]) -> ndarray:
    y = np.zeros(shape, x.dtype)
    np.add.at(y, _inside(places, shape), x)
    return y


def _total_added_at(
    T: int, x: ndarray, *places: Any, shape: tuple[int, ...], vary: Sequence[bool]
) -> ndarray:
    varying, *others = vary
    y = np.zeros(shape, x.dtype)
    for t in range(T):
        at = [i[t] if moves else i for i, moves in zip(places, others, strict=True)]
        np.add.at(y, _inside(at, shape), x[t] if varying else x)
    return y


#: An array that is known at compile time.
numbers = Primitive("numbers", lambda array: array, None, view=False)

picked = Primitive("picked", _picked, None, view=False)
added_at = Primitive("added_at", _added_at, None, view=False)
confirmed = Primitive("confirmed", lambda x, right: np.asarray(x), None, view=False)

#: sum_t of ``added_at``, into one array.
total_added_at = OverTime("total_added_at", "sum over t of added_at({0}, {1})", _total_added_at)


def known(build: Builder, array: Any) -> Value:
    """An array of integers as a value."""
    array = np.array(array, _whole, order="C")
    return build.plain(numbers, (), {"array": array}, array.shape, _whole)


def indexed(build: Builder, call: Operation) -> Value | None:
    """Rewrite every kind of indexing by integers, and its transpose."""
    op, keywords = call.op, call.keywords
    lowest = None  # the least valid index; None if negative indices count from the end
    parts: Any
    if op in (_getitem, _place):
        parts = keywords["index"]
        if is_basic(parts):
            return None
        (x,) = call.args
    elif op in (_gather, _scatter):
        x, *ids = call.args
        # The pattern of ``x[ids, 1:]`` is (PLACE, 1:). The ids are operands of their own.
        rest = iter(ids)
        parts = tuple([next(rest) if part is PLACE else part for part in keywords["pattern"]])
    elif op is _embedding:
        parts, x, lowest = call.args[0], call.args[1], 0
    elif op is _rows_added:
        x, parts = call.args
    elif op in (_take_along, _add_along):
        return _along(build, call)
    else:
        return _moved(build, call)
    if type(x) is not Value:
        return None
    back = op in (_scatter, _place, _rows_added)
    shape = tuple(keywords["shape"]) if back else x.shape
    # Indices that are known now are checked now, by NumPy. All others are checked at run time.
    if isinstance(parts, Value) or any(isinstance(part, Value) for part in parts_of(parts)):
        found = _moving_places(build, shape, parts_of(parts), lowest)
    else:
        found = _fixed_places(build, shape, parts)
    return None if found is None else _picked_or_added(build, call, x, found, back)


def _picked_or_added(
    build: Builder, call: Operation, x: Value, places: list[Value], back: bool = False
) -> Value | None:
    """``picked``, or its transpose ``added_at`` if ``back``."""
    # The indices together have the shape of what is read; with ``back``, of what is added.
    space = np.broadcast_shapes(*(i.shape for i in places))
    if not places or space != (x.shape if back else call.shape):
        return None
    if back:
        keywords = {"shape": call.shape}
        return build.plain(added_at, (x, *places), keywords, call.shape, call.dtype)
    return build.plain(picked, (x, *places), {}, call.shape, call.dtype)


def _along(build: Builder, call: Operation) -> Value | None:
    """``take_along_axis``: computed indices along one axis, fixed ones along the others."""
    (x, ids), back = call.args, call.op is _add_along
    if type(x) is not Value or type(ids) is not Value:
        return None
    shape = call.shape if back else x.shape
    axis = call.keywords["axis"] % len(shape)
    within = _in_range(build, ids, -shape[axis], shape[axis])
    if within is None:
        return None
    places = [
        # y[i, j] = x[i, ids[i, j]] for axis 1: the other index counts the rows.
        within if i == axis else known(build, np.arange(n).reshape(-1, *[1] * (len(shape) - i - 1)))
        for i, n in enumerate(shape)
    ]
    return _picked_or_added(build, call, x, places, back)


def _moved(build: Builder, call: Operation) -> Value | None:
    """An operation that only moves elements. Running it on their numbers gives the indices."""
    if (
        not call.op.moves
        or len(call.args) != 1
        or call.op.is_view(call.keywords) in (True, "maybe")
    ):
        return None
    (x,) = call.args
    if type(x) is not Value or not x.shape or x.dtype != call.dtype:
        return None
    # For roll of 3 elements by 1:
    #
    #     labels         [0, 1, 2]
    #     moved          [2, 0, 1]      y[n] = x[moved[n]]
    labels = np.arange(math.prod(x.shape)).reshape(x.shape)
    moved = np.asarray(call.op.forward(labels, **call.keywords))
    if moved.shape != call.shape or not moved.size:
        return None
    return _picked_or_added(
        build, call, x, _shortened(build, list(np.unravel_index(moved, x.shape)))
    )


def _fixed_places(build: Builder, shape: tuple[int, ...], index: Any) -> list[Value] | None:
    """The indices of an index expression without Values: NumPy computes them."""
    found = []
    for axis, n in enumerate(shape):
        # Index the array of coordinates along each axis as x is indexed: the result says where each
        # element of the result comes from.
        along = np.arange(n).reshape(*[n if i == axis else 1 for i in range(len(shape))])
        found.append(np.broadcast_to(along, shape)[index])
    return _shortened(build, found) if found and found[0].size else None


def _shortened(build: Builder, found: list[ndarray]) -> list[Value]:
    """Coordinates, each reduced to length 1 along the axes where it does not change."""
    for axis in range(found[0].ndim):
        # For x[2:4] of x (9, 8): the row index is (2, 1) and the column index (1, 8), not (2, 8)
        # each.
        alike = [bool((x == x.take([0], axis)).all()) for x in found]
        if all(alike):
            # One of them keeps its length, so that together they still have the shape of the
            # result.
            alike[0] = False
        found = [x.take([0], axis) if same else x for x, same in zip(found, alike, strict=True)]
    return [known(build, x) for x in found]


def _moving_places(
    build: Builder, shape: tuple[int, ...], parts: tuple[Any, ...], lowest: int | None
) -> list[Value] | None:
    """The indices of an index expression with Values among integers, arrays and slices."""
    # NumPy's rule: if all indices are neighbours, the axes of the broadcast indices stand in their
    # place. If a slice separates them, these axes come first:
    #
    #     x[:, ids]       (A, B) -> (A, N)
    #     x[ids, :, i]    (A, B, C) -> (N, B)
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    slices = [slice(None)] * (len(shape) - len(parts) + len(dots))
    end = dots[0] if dots else len(parts)
    parts = (*parts[:end], *slices, *parts[end + len(dots) :])
    if len(parts) != len(shape) or any(part is None or part is Ellipsis for part in parts):
        return None
    picks = [i for i, part in enumerate(parts) if not isinstance(part, slice)]
    together = picks == [*range(picks[0], picks[-1] + 1)]
    before = [i for i in range(len(parts)) if i not in picks and together and i < picks[0]]
    after = [i for i in range(len(parts)) if i not in picks and i not in before]
    wide = np.broadcast_shapes(*(np.shape(parts[i]) for i in picks))
    rank = len(before) + len(wide) + len(after)
    found: list[Value] = []
    for axis, (part, n) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, slice):
            place = before.index(axis) if axis in before else rank - len(after) + after.index(axis)
            along = np.arange(n)[part]
            found.append(known(build, along.reshape(-1, *[1] * (rank - place - 1))))
            continue
        # The axes of slices behind the indices; broadcasting adds those before them.
        ones = (1,) * len(after)
        if isinstance(part, Value):
            ids = _in_range(build, part, -n if lowest is None else lowest, n)
            if ids is None:
                return None
            found.append(build.reshape(ids, (*ids.shape, *ones)))
        else:
            array = np.asarray(part)
            if array.dtype.kind not in "iu" or not array.size:
                return None
            if not -n <= array.min() <= array.max() < n:
                return None
            found.append(known(build, np.reshape(array % n, (*array.shape, *ones))))
    return found


def _in_range(build: Builder, ids: Value, lowest: int, n: int) -> Value | None:
    """Indices mapped to 0 ... n - 1. An index out of range sets the flag."""
    # The function that computes constants has no flag to set.
    if ids.level == CONSTANT:
        return None
    if ids.dtype != _whole:
        keywords = {"dtype": _whole}
        ids = build.make(as_constant.primitive, (ids,), keywords, ids.shape, _whole)  # type: ignore[attr-defined]
    right = build.elementwise(
        _and,
        build.elementwise(_greater_equal, ids, lowest),
        build.elementwise(_less, ids, n),
    )
    if lowest < 0:
        below = build.elementwise(_less, ids, 0)
        ids = build.elementwise(_where, below, build.elementwise(_add, ids, n), ids)
    # A wrong index becomes 0, so that nothing outside of the array is read before the flag is seen.
    ids = build.elementwise(_where, right, ids, 0)
    return build.plain(confirmed, (ids, right), {}, ids.shape, _whole)


def checked_argument(build: Builder, call: Operation) -> Value | None:
    """An operation that checks its argument and returns it: set the flag if the check fails."""
    if call.op.right is None:
        return None
    (x,) = call.args
    if type(x) is not Value or x.level == CONSTANT:
        return None
    right = inlined_of(build, call, call.op.right)
    if right is None or (right.shape, right.dtype) != (x.shape, np.dtype(np.bool_)):
        return None
    return build.plain(confirmed, (x, right), {}, x.shape, x.dtype)


__all__ = [
    "added_at",
    "checked_argument",
    "confirmed",
    "indexed",
    "known",
    "numbers",
    "picked",
    "total_added_at",
]
