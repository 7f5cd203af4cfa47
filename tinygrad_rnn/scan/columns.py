"""The algebra of columns: of matrices that are cut, or put together of parts.

A matrix that is only put together to be multiplied need not be put together: writing its columns
goes row by row, and one product of many columns is not faster than several.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import table
from .values import CONSTANT, LOOP, Var, dense, filled, is_basic, join, level, parts_of

if TYPE_CHECKING:
    from .algebra import Builder, Operation

_add, _matmul, _transpose = table["add"], table["matmul"], table["transpose"]
_sum, _mean, _sum_to, _reshape = table["sum"], table["mean"], table["sum_to"], table["reshape"]
_place, _getitem = table["_place"], table["_getitem"]


def cut(build: Builder, call: Operation) -> Var | None:
    """(h W' + b)[:, a:b] -> h W'[:, a:b] + b[a:b]: what the loop works on is contiguous.

    NumPy runs through columns of a matrix row by row.
    """
    x, parts = call.args[0], parts_of(call.keywords["index"])
    if type(x) is not Var or x.level == CONSTANT or not 1 <= len(x.shape) <= 2:
        return None
    if any(type(part) not in (slice, type(Ellipsis)) for part in parts):
        return None
    *leading, last = parts
    leads = leading in ([Ellipsis], [slice(None)] * (len(x.shape) - 1))
    if not leads or type(last) is not slice:
        return None
    return _columns(build, x, last) if _has_columns(x, x.shape[-1]) else None


def _has_columns(x: Any, count: int) -> bool:
    """Whether x is a sum of products with the same matrix at every step, and of biases, each of
    that many columns."""
    if type(x) is not Var or x.shape[-1:] != (count,):
        return False
    if x.level == CONSTANT:
        return True
    if x.op is _add:
        return all(_has_columns(part, count) for part in x.args)
    if x.op is not _matmul or type(x.args[1]) is not Var:
        return False
    return x.args[1].level == CONSTANT and len(x.args[1].shape) == 2


def _columns(build: Builder, x: Var, columns: slice) -> Var:
    if x.op is _add and x.level > CONSTANT:
        left, right = (_columns(build, part, columns) for part in x.args)
        return build.elementwise(_add, left, right)
    if x.op is _matmul and x.level > CONSTANT:
        rows, matrix = x.args
        part = _columns(build, matrix, columns)
        return build.make(_matmul, (rows, part), {}, (*x.shape[:-1], part.shape[-1]), x.dtype)
    width = len(range(*columns.indices(x.shape[-1])))
    index = {"index": (Ellipsis, columns)}
    return build.make(_getitem, (x,), index, (*x.shape[:-1], width), x.dtype)


def joined(build: Builder, call: Operation) -> Var | None:
    """A sum of parts that lie in different places."""
    x, y = call.args
    parts: list[Any] = []
    indices: list[Any] = []
    for term in (x, y):
        if type(term) is not Var or term.op not in (_place, join):
            return None
        if term.op is join:
            parts += term.args
            indices += term.keywords["indices"]
        else:
            parts.append(term.args[0])
            indices.append(term.keywords["index"])
    if not all(type(part) is Var for part in parts) or not all(map(is_basic, indices)):
        return None
    if math.prod(x.shape) > 1 << 22:
        return None
    used = np.zeros(x.shape, np.uint8)
    for index in indices:
        used[index] += 1
    if used.size and used.max() > 1:
        return None
    keywords = {"indices": tuple(indices), "shape": x.shape}
    return build.make(join, tuple(parts), keywords, x.shape, x.dtype)


def product_of_parts(build: Builder, call: Operation) -> Var | None:
    """[a b c] W -> a W_a + b W_b + c W_c, and [a b c]' y -> [a'y; b'y; c'y]."""
    (x, y), shape = call.args, call.shape
    if type(x) is not Var or type(y) is not Var or len(shape) != 2 or len(y.shape) != 2:
        return None
    if x.op is join and x.shape[0] > 1:
        columns = _side_by_side(x)
        if columns is None or y.level == LOOP:
            return None
        terms = []
        for part, at in columns:
            rows = (len(range(*at.indices(y.shape[0]))), y.shape[1])
            matrix = build.make(_getitem, (y,), {"index": at}, rows, y.dtype)
            terms.append(build.make(_matmul, (part, matrix), {}, shape, x.dtype))
        return functools.reduce(lambda a, b: build.elementwise(_add, a, b), terms)
    if x.op is _transpose and x.shape[1] > 1:
        (before,) = x.inputs
        columns = _side_by_side(before)
        if columns is None:
            return None
        parts = []
        for part, _ in columns:
            turned = build.make(_transpose, (part,), {"axes": None}, part.shape[::-1], x.dtype)
            size = (part.shape[1], shape[1])
            parts.append(build.make(_matmul, (turned, y), {}, size, x.dtype))
        keywords = {"indices": tuple(at for _, at in columns), "shape": shape}
        return build.make(join, tuple(parts), keywords, shape, x.dtype)
    return None


def sum_of_parts(build: Builder, call: Operation) -> Var | None:
    """The sum of the rows of [a b c]: the sums of the rows of a, b and c."""
    (x,), keywords, shape = call.args, call.keywords, call.shape
    if type(x) is not Var or keywords["axis"] not in (0, (0,)):
        return None
    columns = _side_by_side(x)
    if columns is None or keywords["keepdims"] or x.shape[0] < 2:
        return None
    parts = [build.make(_sum, (part,), keywords, part.shape[1:], x.dtype) for part, _ in columns]
    joined = {"indices": tuple(at for _, at in columns), "shape": shape}
    return build.make(join, tuple(parts), joined, shape, x.dtype)


def _side_by_side(x: Var) -> list[tuple[Var, slice]] | None:
    """The parts of a join of columns, each with its columns; None if it is anything else."""
    if x.op is not join:
        return None
    columns = []
    for part, index in zip(x.args, x.keywords["indices"], strict=True):
        parts = parts_of(index)
        if len(parts) != 2 or len(x.shape) != 2 or type(parts[1]) is not slice:
            return None
        if parts[0] not in (slice(None), Ellipsis) or parts[1].step not in (None, 1):
            return None
        if part.dtype != x.dtype or part.shape[0] != x.shape[0]:
            return None
        columns.append((part, slice(*parts[1].indices(x.shape[1])[:2])))
    return sorted(columns, key=lambda column: column[1].start)


def sum_of_columns(build: Builder, call: Operation) -> Var | None:
    """The sum of each row, as a product with a column of ones: BLAS is there sooner."""
    (x,), shape = call.args, call.shape
    if level(x) < LOOP or not 1 <= len(x.shape) <= 2:
        return None
    rank, dtype = len(x.shape), x.dtype
    row_sums = (*x.shape[:-1], 1)
    if x.shape[-1] < 2 or dtype.name not in dense:
        return None
    if call.op is _sum_to:
        if shape != row_sums:
            return None
    else:
        axis = call.keywords["axis"]
        axes = range(rank) if axis is None else np.ravel(axis).tolist()
        if {a % rank for a in axes} != {rank - 1}:
            return None
    one = 1 / x.shape[-1] if call.op is _mean else 1.0
    column = {"shape": (x.shape[-1], 1), "fill_value": one, "dtype": dtype}
    ones = build.make(filled, (), column, (x.shape[-1], 1), dtype)
    made = build.make(_matmul, (x, ones), {}, row_sums, dtype)
    if shape == row_sums:
        return made
    return build.make(_reshape, (made,), {"shape": shape}, shape, dtype)


__all__ = ["cut", "joined", "product_of_parts", "sum_of_columns", "sum_of_parts"]
