"""Simplify: compute the same values with fewer operations.

A rewrite must be right for every finite number, and for infinities and NaN as well: a scan
computes what its loop computes, to rounding. So neither products nor sums are regrouped.
``(h * a) * b`` and ``h * (a * b)`` overflow and underflow at different numbers, and
``(h + 2**52) - 2**52`` rounds h to an integer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ops import primitives
from ..ir import LOOP, Builder, Operation, Program, Value, join, parts_of, rewrite

_add, _negative, _subtract = primitives.add, primitives.negative, primitives.subtract
_multiply = primitives.multiply
_matmul, _linear, _transpose = primitives.matmul, primitives.linear, primitives.transpose
_broadcast_to, _place = primitives.broadcast_to, primitives.place

#: Operations that return their operand if neither its shape nor its dtype changes.
_identities = frozenset(
    {
        primitives.reshape,
        primitives.broadcast_to,
        primitives.sum_to,
        primitives.positive,
        primitives.astype,
    }
)


def linear_written_out(build: Builder, call: Operation) -> Value | None:
    """linear(x, W, b) -> x W' + b."""
    if call.op is not _linear:
        return None
    x, W, b = call.args
    if type(x) is not Value or type(W) is not Value:
        return None
    z = build.make(_matmul, (x, build.transpose(W)), {}, (*x.shape[:-1], W.shape[0]), call.dtype)
    return build.elementwise(_add, z, b) if type(b) is Value else z


def unchanged(build: Builder, call: Operation) -> Value | None:
    """An operation that changes only shape or dtype, where both are right already: its operand."""
    if call.op not in _identities:
        return None
    x = call.args[0]
    return x if type(x) is Value and (x.shape, x.dtype) == (call.shape, call.dtype) else None


def transposed_twice(build: Builder, call: Operation) -> Value | None:
    """(x')' -> x."""
    x = call.args[0] if call.args else None
    if call.op is not _transpose or type(x) is not Value or x.op is not _transpose:
        return None
    if call.keywords["axes"] is None and x.keywords["axes"] is None:
        return x.inputs[0]
    return None


def broadcast_by_the_operation(build: Builder, call: Operation) -> Value | None:
    """f(broadcast(x), y) -> f(x, y), if f broadcasts x anyway."""
    if not is_ufunc(call.op) or not any(_is_broadcast(x) for x in call.args):
        return None
    narrow = tuple(x.args[0] if _is_broadcast(x) else x for x in call.args)
    shapes = [x.shape for x in narrow if type(x) is Value]
    # If all operands were broadcast, only the broadcasts give the result its shape.
    if call.shape not in shapes or np.broadcast_shapes(*shapes) != call.shape:
        return None
    return build.make(call.op, narrow, call.keywords, call.shape, call.dtype)


def is_ufunc(op: Any) -> bool:
    """Whether an operation is an elementwise NumPy function."""
    return isinstance(op.forward, np.ufunc) and op.forward.signature is None


def _is_broadcast(x: Any) -> bool:
    # Before the loop a broadcast costs once. There the pass ``operands`` even adds some.
    return type(x) is Value and x.op is _broadcast_to and x.level == LOOP


def plus_negative(build: Builder, call: Operation) -> Value | None:
    """x + (-y) -> x - y, exactly the same number."""
    if call.op is not _add or call.dtype.kind != "f":
        return None
    x, y = call.args
    for first, second in ((x, y), (y, x)):
        # A -y that another operation reads is computed anyway, so nothing would be gained.
        if type(second) is Value and second.op is _negative and second not in build.shared:
            return build.elementwise(_subtract, first, second.args[0])
    return None


def common_factor(build: Builder, call: Operation) -> Value | None:
    """a s - a r -> a (s - r), where only a depends on the carry, and r or s is between -1 and 1.

    Then s - r cannot overflow, so the result stays right for all finite numbers.
    """
    if call.op not in (_add, _subtract) or call.dtype.kind != "f":
        return None
    x, y = call.args
    if not all(_is_product_of_two(z, call) and z not in build.shared for z in (x, y)):
        return None
    # The four ways to choose a factor of x and a factor of y as the common one.
    for a, s in (x.args, x.args[::-1]):
        for b, r in (y.args, y.args[::-1]):
            # s - r is computed before the loop, so the step has one product instead of two and a
            # difference.
            early = s.level < LOOP and r.level < LOOP
            if a is b and a.level == LOOP and early and (_is_small(s) or _is_small(r)):
                return build.elementwise(_multiply, a, build.elementwise(call.op, s, r))
    return None


def _is_product_of_two(x: Any, call: Operation) -> bool:
    return (
        type(x) is Value
        and x.op is _multiply
        and all(type(y) is Value and y.dtype == call.dtype for y in x.args)
        and x.shape == call.shape
        and all(y.shape == call.shape for y in x.inputs)
    )


def _is_small(x: Value) -> bool:
    # Counterexample without a bound: for a = 1e-300, s = 1e308 and r = -1e308 the result is 2e8,
    # but s - r is Inf.
    return x.range is not None and x.range[0] >= -1 and x.range[1] <= 1


def parts_joined(build: Builder, call: Operation) -> Value | None:
    """A sum of ``place`` operations that do not overlap -> one join of their parts."""
    if call.op is not _add:
        return None
    parts: list[Any] = []
    indices: list[Any] = []
    for x in call.args:
        if type(x) is not Value or x.op not in (_place, join) or x.shape != call.shape:
            return None
        if x.op is join:
            # In a sum of several, the first two are a join already.
            parts += x.args
            indices += x.keywords["indices"]
        else:
            parts.append(x.args[0])
            indices.append(x.keywords["index"])
    if not all(type(x) is Value and x.dtype == call.dtype for x in parts):
        return None
    # Where parts overlap they add up, and a join would keep only the last one.
    if not all(map(_is_slices, indices)) or _overlap(call.shape, indices):
        return None
    keywords = {"indices": tuple(indices), "shape": call.shape}
    return build.make(join, tuple(parts), keywords, call.shape, call.dtype)


def _is_slices(index: Any) -> bool:
    """Whether an index consists of integers and slices, so that it selects a view."""
    # An array of integers may name an element twice.
    kinds = (int, np.integer, slice, type(None), type(Ellipsis))
    return all(
        isinstance(part, kinds) and not isinstance(part, (bool, np.bool_))
        for part in parts_of(index)
    )


def _overlap(shape: tuple[int, ...], indices: Sequence[Any]) -> bool:
    """Whether two indices select the same element; True if the array is too large to check."""
    if math.prod(shape) > 1 << 22:
        return True
    used = np.zeros(shape, np.uint8)
    for index in indices:
        used[index] += 1
    return bool(used.size) and int(used.max()) > 1


#: The rules for every back end, in the order in which they are tried.
RULES = (
    linear_written_out,
    unchanged,
    transposed_twice,
    broadcast_by_the_operation,
    parts_joined,
    plus_negative,
    common_factor,
)


def simplify(program: Program) -> Program:
    """The program with fewer operations; not scheduled."""
    return rewrite(program, RULES)


__all__ = ["RULES", "is_ufunc", "simplify"]
