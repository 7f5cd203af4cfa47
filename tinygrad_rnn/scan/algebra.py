"""The values of a step, brought into a form that is good to plan.

:class:`Builder` makes the values of a step from its instructions, each only once, and rewrites a
few on the way:

    linear(x, W, b)         ->  x W' + b
    -(h s)                  ->  h (-s)

Every rewrite gives the same numbers, whatever finite numbers go in: sums and products are never
regrouped, since that may overflow, underflow or cancel where the step as it is written does not.

A rule is ``rule(build, call) -> value``, or None where it does not apply. The tables at the end
say which rules there are for an operation, in the order in which they are tried; the rules for
columns are in ``columns``. What a rule makes is itself regrouped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Primitive, table
from . import columns
from .trace import Instruction, Literal, frozen
from .values import CONSTANT, LOOP, Var, by_level, is_float, level

_add, _multiply, _negative = table["add"], table["multiply"], table["negative"]
_subtract, _matmul, _transpose = table["subtract"], table["matmul"], table["transpose"]
_broadcast_to = table["broadcast_to"]


class Operation(NamedTuple):
    """An operation that a value is to be made of, and the shape and dtype of the value."""

    op: Primitive
    args: tuple[Any, ...]
    keywords: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Builder:
    """Makes values, each only once."""

    def __init__(self) -> None:
        self.shared: set[Var] = set()  # what several operations read
        self._count = 0
        self._known: dict[Any, Var] = {}

    def given(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        level: int,
        label: str | Var | None = None,
    ) -> Var:
        """An input of the loop."""
        made = self._new(None, (), {}, shape, dtype, level)
        made.label = label
        return made

    def _new(self, *parts: Any) -> Var:
        self._count += 1
        return Var(self._count, *parts)

    def make(
        self,
        op: Primitive,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> Var:
        """``op(*args, **keywords)``, regrouped where that brings work out of the loop."""
        found = self._regrouped(Operation(op, args, keywords, shape, dtype))
        if found is not None and found.shape == shape and found.dtype == dtype:
            return found
        operands = tuple(x.number if type(x) is Var else (type(x), repr(x)) for x in args)
        key = (op, operands, frozen(keywords))
        known = self._known.get(key)
        if known is None:
            highest = max(map(level, args), default=CONSTANT)
            known = self._known[key] = self._new(op, args, keywords, shape, dtype, highest)
        return known

    def _regrouped(self, call: Operation) -> Var | None:
        """What the first rule that applies makes of an operation."""
        for rule in _rules_for(call):
            found = rule(self, call)
            if found is not None:
                return found
        return None

    def elementwise(self, op: Primitive, *args: Any) -> Var:
        """``op(*args)``, of broadcast operands."""
        shapes = [x.shape for x in args if type(x) is Var]
        kinds = [np.empty(0, x.dtype) if type(x) is Var else x for x in args]
        dtype = op.forward(*kinds).dtype
        return self.make(op, args, {}, np.broadcast_shapes(*shapes), dtype)

    def sum(self, x: Any, y: Any) -> Var:
        return self.elementwise(_add, x, y)

    def product(self, x: Any, y: Any) -> Var:
        return self.elementwise(_multiply, x, y)

    def negated(self, x: Any) -> Any:
        return self.elementwise(_negative, x) if type(x) is Var else -x


# ── for every dtype ──────────────────────────────────────────────────────────────────────


def _written_out(build: Builder, call: Operation) -> Var | None:
    """linear(x, W, b) -> x W' + b."""
    x, W, b = call.args
    if type(x) is not Var or type(W) is not Var:
        return None
    WT = build.make(_transpose, (W,), {"axes": None}, W.shape[::-1], W.dtype)
    z = build.make(_matmul, (x, WT), {}, (*x.shape[:-1], W.shape[0]), call.dtype)
    return build.sum(z, b) if type(b) is Var else z


def _unchanged(build: Builder, call: Operation) -> Var | None:
    """x, where only its shape or its dtype could have become another."""
    (x,) = call.args
    return x if type(x) is Var and (x.shape, x.dtype) == (call.shape, call.dtype) else None


def _turned_back(build: Builder, call: Operation) -> Var | None:
    """(x')' -> x."""
    (x,) = call.args
    if type(x) is not Var or x.op is not _transpose or call.keywords != x.keywords:
        return None
    return x.inputs[0] if call.keywords["axes"] is None or len(x.shape) == 2 else None


# ── elementwise ──────────────────────────────────────────────────────────────────────────


def _narrow(build: Builder, call: Operation) -> Var | None:
    """An operand that was broadcast, as it was before, if the operation broadcasts it anyway."""
    if not any(_is_spread(y) for y in call.args):
        return None
    narrow = tuple(y.args[0] if _is_spread(y) else y for y in call.args)
    shapes = [y.shape for y in narrow if type(y) is Var]
    if call.shape not in shapes or np.broadcast_shapes(*shapes) != call.shape:
        return None
    return build.make(call.op, narrow, call.keywords, call.shape, call.dtype)


def _is_spread(x: Any) -> bool:
    return type(x) is Var and x.op is _broadcast_to and x.level == LOOP


def _negative_factor(build: Builder, call: Operation) -> Var | None:
    """-(l s) -> l (-s), where only l depends on the carry."""
    (x,) = call.args
    if level(x) < LOOP or x.op is not _multiply:
        return None
    left, right = by_level(*x.args)
    if level(right) == LOOP or not is_float(right):
        return None
    return build.product(left, build.negated(right))


def _negative_matrix(build: Builder, call: Operation) -> Var | None:
    """(-x) W -> x (-W), the same matrix at every step."""
    x, y = call.args
    if type(x) is not Var or x.op is not _negative or type(y) is not Var or y.level > CONSTANT:
        return None
    return build.make(_matmul, (x.args[0], build.negated(y)), {}, call.shape, call.dtype)


def _difference(build: Builder, call: Operation) -> Var | None:
    """x + (-y) -> x - y."""
    x, y = call.args
    for first, second in ((x, y), (y, x)):
        if type(second) is Var and second.op is _negative and second not in build.shared:
            return build.elementwise(_subtract, first, second.args[0])
    return None


# ── the tables ───────────────────────────────────────────────────────────────────────────

Rule = Callable[[Builder, Operation], Var | None]

#: For every dtype.
_general: dict[Primitive, Rule] = {
    table["linear"]: _written_out,
    table["transpose"]: _turned_back,
    table["reshape"]: _unchanged,
    table["broadcast_to"]: _unchanged,
    table["sum_to"]: _unchanged,
    table["positive"]: _unchanged,
    table["_astype"]: _unchanged,
}

#: For real numbers of one dtype; before them :func:`_narrow`, for every elementwise function of
#: NumPy.
_of_floats: dict[Primitive, tuple[Rule, ...]] = {
    table["negative"]: (_negative_factor,),
    table["add"]: (columns.joined, _difference),
    table["matmul"]: (_negative_matrix, columns.product_of_parts),
    table["_getitem"]: (columns.cut,),
    table["sum"]: (columns.sum_of_parts, columns.sum_of_columns),
    table["mean"]: (columns.sum_of_columns,),
    table["sum_to"]: (columns.sum_of_columns,),
}


def _rules_for(call: Operation) -> Iterable[Rule]:
    op = call.op
    if op in _general:
        yield _general[op]
    if call.dtype.kind == "f" and all(x.dtype == call.dtype for x in call.args if type(x) is Var):
        if isinstance(op.forward, np.ufunc) and op.forward.signature is None:
            yield _narrow
        yield from _of_floats.get(op, ())


def translate(
    builder: Builder,
    instructions: Iterable[Instruction],
    symbols: Sequence[Any],
    known: dict[Any, Var],
) -> None:
    """Make the values of all instructions; ``known`` maps slots to values and is added to."""
    instructions = list(instructions)
    reads = Counter(x for step in instructions for x in step.operands if type(x) is not Literal)
    for step in instructions:
        made = symbols[step.slot]
        args = tuple(x.value if type(x) is Literal else known[x] for x in step.operands)
        value = builder.make(step.primitive, args, step.keywords, made.shape, made.dtype)
        if reads[step.slot] > 1:
            builder.shared.add(value)
        if step.node is not None and step.node.name is not None and value.label is None:
            value.label = step.node.name
        known[step.slot] = value


__all__ = ["Builder", "Operation", "translate"]
