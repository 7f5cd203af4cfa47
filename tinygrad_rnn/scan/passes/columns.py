"""Columns: split a product whose operands are joined before it, or whose result is cut after it.

For the NumPy back end. NumPy reads the columns of a matrix row by row, so contiguous parts are
faster, and one product with many columns is not faster than several with few. Only the order of
sums within a matrix product changes, and BLAS chooses that order anyway.
"""

from __future__ import annotations

import functools

import numpy as np

from ...ops import primitives
from ..ir import CONSTANT, LOOP, Builder, Operation, Value, filled, join, parts_of

_multiply = primitives.multiply
_add, _matmul, _transpose = primitives.add, primitives.matmul, primitives.transpose
_sum, _mean, _sum_to = primitives.sum, primitives.mean, primitives.sum_to
_getitem = primitives.getitem


def cut(build: Builder, call: Operation) -> Value | None:
    """(h W' + b)[:, i:j] -> h W'[:, i:j] + b[i:j], so that the loop reads contiguous arrays."""
    if call.op is not _getitem:
        return None
    x, parts = call.args[0], parts_of(call.keywords["index"])
    # What is the same at every step is cut once, so nothing is gained.
    if type(x) is not Value or x.level == CONSTANT or not 1 <= len(x.shape) <= 2:
        return None
    if any(type(part) not in (slice, type(Ellipsis)) for part in parts):
        return None
    # All rows, and a slice of columns.
    *leading, last = parts
    leads = leading in ([Ellipsis], [slice(None)] * (len(x.shape) - 1))
    if not leads or type(last) is not slice or not _has_columns(x):
        return None
    return _columns(build, x, last)


#: A sum of more terms than this is not cut. ``y = y + y`` fifty times is a sum of 2^50 terms, and
#: :func:`_columns` calls itself for every addition.
MOST = 64


def terms_of(x: Value) -> list[Value]:
    """The terms of a sum. The search stops after ``MOST`` + 1 terms."""
    terms: list[Value] = []
    waiting = [x]
    while waiting and len(terms) <= MOST:
        y = waiting.pop()
        if y.op is _add and y.varies and all(type(part) is Value for part in y.args):
            waiting += y.inputs
        else:
            terms.append(y)
    return terms


def _has_columns(x: Value) -> bool:
    """Whether x is a sum of biases and of products with a matrix that is the same at every step.

    All terms must have x's dtype and number of columns: a term that is broadcast has none to cut.
    """
    terms = terms_of(x)
    return len(terms) <= MOST and all(
        term.shape
        and term.shape[-1] == x.shape[-1]
        and term.dtype == x.dtype
        and (not term.varies or _is_product(term))
        for term in terms
    )


def _is_product(x: Value) -> bool:
    """Whether x is a product with a matrix that is the same at every step."""
    if x.op is not _matmul or any(type(y) is not Value or y.dtype != x.dtype for y in x.args):
        return False
    matrix = x.inputs[1]
    return not matrix.varies and len(matrix.shape) == 2


def _columns(build: Builder, x: Value, columns: slice) -> Value:
    """Columns of a value that :func:`_has_columns` accepts."""
    if x.op is _add and x.level > CONSTANT:
        # The slice goes down to the weights and biases, which are cut before the loop.
        left, right = (_columns(build, part, columns) for part in x.args)
        return build.elementwise(_add, left, right)
    if x.op is _matmul and x.level > CONSTANT:
        rows, matrix = x.args
        return build.matmul(rows, _columns(build, matrix, columns))
    return build.getitem(x, (Ellipsis, columns))


def product_of_parts(build: Builder, call: Operation) -> Value | None:
    """[a b c] W -> a W_a + b W_b + c W_c, and [a b c]' y -> [a'y; b'y; c'y]."""
    if call.op is not _matmul:
        return None
    x, y = call.args
    if type(x) is not Value or type(y) is not Value or not len(call.shape) == len(y.shape) == 2:
        return None
    if x.op is join and x.shape[0] > 1 and y.level < LOOP:
        columns = _side_by_side(x)
        if columns is None:
            return None
        # [a b] is a copy at every step. Without it, W is cut into rows once, before the loop.
        terms = [build.matmul(part, build.getitem(y, at)) for part, at in columns]
        return functools.reduce(lambda a, b: build.elementwise(_add, a, b), terms)
    if x.op is _transpose and x.shape[1] > 1:
        (before,) = x.inputs
        columns = _side_by_side(before)
        if columns is None:
            return None
        # dW = dz' h with dz = [di df dg do] in an LSTM: the rows of dW that belong to one gate are
        # a product of their own, so dz is never put together for it.
        parts = tuple(build.matmul(build.transpose(part), y) for part, _ in columns)
        keywords = {"indices": tuple(at for _, at in columns), "shape": call.shape}
        return build.make(join, parts, keywords, call.shape, call.dtype)
    return None


def sum_of_parts(build: Builder, call: Operation) -> Value | None:
    """The sum of the rows of [a b c]: the sums of the rows of a, b and c."""
    if call.op is not _sum:
        return None
    (x,), keywords = call.args, call.keywords
    if type(x) is not Value or keywords["axis"] not in (0, (0,)) or keywords["keepdims"]:
        return None
    columns = _side_by_side(x)
    if columns is None or x.shape[0] < 2:
        return None
    # The same for the gradient of the bias, which is the sum of the rows of dz.
    parts = [build.make(_sum, (part,), keywords, part.shape[1:], x.dtype) for part, _ in columns]
    joined = {"indices": tuple(at for _, at in columns), "shape": call.shape}
    return build.make(join, tuple(parts), joined, call.shape, call.dtype)


def _side_by_side(x: Value) -> list[tuple[Value, slice]] | None:
    """The parts of a join of columns without gaps, each with its columns; None for others."""
    if x.op is not join or len(x.shape) != 2:
        return None
    columns = []
    for part, index in zip(x.args, x.keywords["indices"], strict=True):
        parts = parts_of(index)
        # Only whole columns: all rows, and a range of columns.
        if len(parts) != 2 or type(parts[1]) is not slice:
            return None
        if parts[0] not in (slice(None), Ellipsis) or parts[1].step not in (None, 1):
            return None
        at = slice(*parts[1].indices(x.shape[1])[:2])
        if part.dtype != x.dtype or part.shape != (x.shape[0], at.stop - at.start):
            return None
        columns.append((part, at))
    return sorted(columns, key=lambda column: column[1].start)


def sum_of_columns(build: Builder, call: Operation) -> Value | None:
    """The sum of each row, as a product with a column of ones: BLAS is faster than a sum."""
    if call.op not in (_sum, _mean, _sum_to):
        return None
    (x,), shape = call.args, call.shape
    if type(x) is not Value or x.level < LOOP or not 1 <= len(x.shape) <= 2:
        return None
    rank, dtype = len(x.shape), x.dtype
    row_sums = (*x.shape[:-1], 1)
    if x.shape[-1] < 2 or dtype.char not in "fd":
        return None
    if call.op is _sum_to:
        if shape != row_sums:
            return None
    else:
        axis = call.keywords["axis"]
        axes = range(rank) if axis is None else np.ravel(axis).tolist()
        if {a % rank for a in axes} != {rank - 1}:
            return None
    # A factor of at most 1 may go into the ones. It cannot overflow, and an underflow is near 0.
    one = 1 / x.shape[-1] if call.op is _mean else 1.0
    column = {"shape": (x.shape[-1], 1), "fill_value": one, "dtype": dtype}
    ones = build.make(filled, (), column, (x.shape[-1], 1), dtype)
    # The column of ones is made once, before the loop.
    made = build.make(_matmul, (x, ones), {}, row_sums, dtype)
    return build.reshape(made, shape)


def scaled_sum(build: Builder, call: Operation) -> Value | None:
    """(x 1) c -> x (c 1), where 1 is a column of ones and c a number with |c| <= 1."""
    if call.op is not _multiply or len(call.args) != 2:
        return None
    for x, c in (call.args, call.args[::-1]):
        if type(c) is not float or not 0 < abs(c) <= 1 or type(x) is not Value:
            continue
        # If another operation reads the sum without c, it would be computed twice.
        ones = x.args[1] if x.op is _matmul and x not in build.shared else None
        if type(ones) is Value and ones.op is filled:
            keywords = {**ones.keywords, "fill_value": ones.keywords["fill_value"] * c}
            column = build.make(filled, (), keywords, ones.shape, ones.dtype)
            return build.make(_matmul, (x.args[0], column), {}, call.shape, call.dtype)
    return None


#: The rules, in the order in which they are tried.
RULES = (cut, product_of_parts, sum_of_parts, sum_of_columns, scaled_sum)

__all__ = ["MOST", "RULES", "terms_of"]
