"""Expand: write operations out in simpler ones, each of which is one call or one instruction.

Each primitive says how it is written out (``Primitive.written_out``). The simpler operations can
be packed with others, and can reuse each other's memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...graph import traced
from ...ops import primitives
from ...tensor import Tensor
from ..derive import translate
from ..ir import CONSTANT, LOOP, Builder, Operation, Value
from ..trace import Trace
from .columns import MOST, terms_of

_add, _multiply, _negative = primitives.add, primitives.multiply, primitives.negative
_matmul, _mean = primitives.matmul, primitives.mean


def written_out(build: Builder, call: Operation) -> Value | None:
    """sigmoid(x) -> 1 / (1 + exp(-x)), and the like, for values within the loop."""
    # The softmax family stays one call for NumPy: written out, it could give new warnings.
    simple = call.op.elementwise or call.op is _mean
    if call.op.written_out is None or not simple or call.dtype.char not in "fd":
        return None
    inputs = [x for x in call.args if type(x) is Value]
    # Outside of the loop it is one call for all steps already.
    if max((x.level for x in inputs), default=CONSTANT) < LOOP:
        return None
    if any(x.dtype != call.dtype for x in inputs):
        return None
    return inlined(build, call)


def inlined(build: Builder, call: Operation) -> Value | None:
    """The value of an operation, computed by the operations that it is written out in."""
    assert call.op.written_out is not None
    value = inlined_of(build, call, call.op.written_out)
    if value is None:
        return None
    # Of 1 / (1 + exp(-x)) no bounds are known, but of sigmoid they are.
    value.range = value.range or call.op.range
    return value if (value.shape, value.dtype) == (call.shape, call.dtype) else None


def inlined_of(build: Builder, call: Operation, function: Callable[..., Any]) -> Value | None:
    """The value of a function of ``tg`` operations, called with an operation's arguments."""
    trace = Trace()
    values: dict[int, Value] = {}
    arguments: list[Any] = []
    with traced(trace, recording=False):
        # Run the function on traced values that stand for the operands.
        for x in call.args:
            if type(x) is Value:
                given = trace.new_input(x.shape, x.dtype, False)
                values[given._array.slot] = x  # type: ignore[attr-defined]
                arguments.append(given)
            else:
                arguments.append(x)
        result = function(*arguments, **call.keywords)
    if not isinstance(result, Tensor) or trace.sources:
        return None  # the function uses arrays of its own
    translate(build, trace.instructions, trace.symbols, values)
    return values[result._array.slot]  # type: ignore[attr-defined]


def negative_inwards(build: Builder, call: Operation) -> Value | None:
    """-(h W + x_t V) -> h (-W) + (-x_t V): exactly the same number, one operation less a step."""
    if call.op is not _negative or call.dtype.kind != "f":
        return None
    (x,) = call.args
    if type(x) is not Value or x.level < LOOP or x.op is not _add or len(terms_of(x)) > MOST:
        return None
    # First look at all terms, so that nothing is made for a sum that cannot take the sign.
    return _negated(build, x) if _takes_sign(build, x, call.dtype) else None


def _takes_sign(build: Builder, x: Any, dtype: np.dtype[Any]) -> bool:
    """Whether the sign can move into values that are known before the loop."""
    if type(x) is not Value or x.dtype != dtype:
        return False
    if x.level < LOOP:
        return True
    # It would be computed twice, once with each sign.
    if x in build.shared:
        return False
    if x.op is _add:
        return all(_takes_sign(build, part, dtype) for part in x.args)
    if x.op is _matmul:
        rows, matrix = x.args
        return bool(matrix.level == CONSTANT and rows.dtype == matrix.dtype == dtype)
    if x.op is not _multiply or any(type(y) is not Value or y.dtype != dtype for y in x.args):
        return False
    return any(y.level < LOOP for y in x.args)


def _negated(build: Builder, x: Value) -> Value:
    """-x, for an x that :func:`_takes_sign` accepts."""
    if x.level < LOOP:
        return build.elementwise(_negative, x)
    if x.op is _add:
        left, right = (_negated(build, part) for part in x.args)
        return build.elementwise(_add, left, right)
    if x.op is _matmul:
        rows, matrix = x.args
        return build.make(_matmul, (rows, _negated(build, matrix)), {}, x.shape, x.dtype)
    left, right = x.args
    if right.level < LOOP:
        return build.elementwise(_multiply, left, _negated(build, right))
    return build.elementwise(_multiply, _negated(build, left), right)


__all__ = ["inlined", "inlined_of", "negative_inwards", "written_out"]
