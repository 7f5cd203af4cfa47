"""Check that a step does what an earlier trace of it did.

Every call of scan runs its step again, and nearly always nothing has changed. A
:class:`TraceChecker` is used instead of a new trace. It passes the step the Tensors of the earlier
trace and compares each operation. That takes a sixth of the time of tracing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..graph import Node, Primitive, Value, attach, current, python_scalars
from .arguments import flatten
from .trace import (
    Derived,
    Instruction,
    Literal,
    Source,
    Symbol,
    Trace,
    any_traced,
    apply_outside,
    copied,
    frozen,
    holds,
    refuse_rebinding,
)

if TYPE_CHECKING:
    from .derive import Step


class ExpectedOperation(NamedTuple):
    """The operation that the step did next in the earlier trace, and its result.

    Attributes:
        inputs: the number of inputs.
        computed: the inputs that the step computed, or was given: position and slot.
        others: closed-over values and numbers: position and operand. They are compared last. The
            comparison binds a closed-over value to its slot, and stops at the first difference. In
            this order a step that does something else is noticed before a value is bound to a wrong
            slot.
        recorded: whether it was recorded; None if no gradient could flow.
        slot, symbol, node: those of the result.
    """

    primitive: Primitive | None
    inputs: int
    computed: tuple[tuple[int, int], ...]
    others: tuple[tuple[int, int | Literal], ...]
    keywords: dict[str, Any]
    recorded: bool | None
    slot: int
    symbol: Any
    node: Node | None


#: The end of the list: no further operation is expected.
_end = ExpectedOperation(None, 0, (), (), {}, None, -1, None, None)

#: In the place of a value that the step has not computed yet.
_nothing: Any = object()
#: The slot of a value that is never found: its place always holds ``_nothing``.
_no_slot = -1


class ExpectedTrace:
    """What a step did in an earlier trace.

    Attributes:
        operations: in the order in which they ran.
        values: the Tensor of each slot.
        inputs: the traced carries and inputs, which are passed to the step again.
        sources: the slots of the closed-over values, in the order in which the step read them.
    """

    def __init__(self, step: Step, structure: Any):
        trace = step.trace
        self.trace = trace
        self.values = trace.values
        self.structure = structure
        self.results = tuple([self._slot(x) for x in (*step.new_carries, *step.outputs)])
        self.inputs = tuple([trace.values[slot] for slot in trace.outside])
        self.sources = tuple([source.slot for source in trace.sources])
        self.operations = (*map(self._expected, trace.instructions), _end)

    def _slot(self, x: Value) -> int:
        slot: int = x._array.slot  # type: ignore[attr-defined]
        return slot if (x.node is None) is (self.values[slot].node is None) else _no_slot

    def _expected(self, x: Instruction) -> ExpectedOperation:
        computed: list[tuple[int, int]] = []
        others: list[tuple[int, int | Literal]] = []
        for i, operand in enumerate(x.operands):
            if isinstance(operand, Literal) or operand in self.sources:
                others.append((i, operand))
                continue
            # A detached value is another Tensor at every call: no slot holds it.
            detached = (self.values[operand].node is None) is x.through[i]
            computed.append((i, _no_slot if detached else operand))
        flows = x.primitive.vjps is not None and any(x.through)
        recorded = x.node is not None if flows else None
        value = self.values[x.slot]
        return ExpectedOperation(
            x.primitive,
            len(x.operands),
            tuple(computed),
            tuple(others),
            x.keywords,
            recorded,
            x.slot,
            value._array,
            value.node,
        )


class TraceChecker:
    """Compares a step that runs with an earlier trace of it.

    Attributes:
        sources: the closed-over values that the step has read so far.
        derived: the operations on closed-over values alone.
        diverged: None while the step does what is expected. Afterwards, a trace that takes the
            remaining operations, so that the step can finish.
        inputs: the traced carries and inputs to pass to the step.
        refused: see :class:`Trace`.
    """

    refuse_rebinding = staticmethod(refuse_rebinding)

    def __init__(self, expectation: ExpectedTrace):
        self.sources: list[Source] = []
        self.derived: list[Derived] = []
        self.diverged: Trace | None = None
        self.asked: list[tuple[Node, set[Node]]] = []
        self._expected = expectation
        self._operations = expectation.operations
        self._position = 0
        self._bound: dict[int, Source] = {}
        self.refused: str | None = None
        # The values that the step has computed so far, by slot. They are new Tensors at every call:
        # one that the step has kept from an earlier call is not taken for one of this call.
        self._values: list[Any] = [_nothing] * (len(expectation.values) + 1)
        for x in expectation.inputs:
            self._values[x._array.slot] = attach(x._array, x.node)
        self.inputs = [self._values[x._array.slot] for x in expectation.inputs]

    @property
    def finished(self) -> bool:
        """Whether the step did everything that was expected, and nothing else."""
        expected = self._expected
        return (
            self.diverged is None
            and not self.asked
            and expected.operations[self._position] is _end
            and len(self.sources) == len(expected.sources)
        )

    def __call__(self, primitive: Primitive, inputs: Sequence[Any], keywords: Any) -> Any:
        if self.diverged is None:
            # Unpacked, which is faster than reading nine attributes.
            expected, count, computed, others, constants, recorded, slot, symbol, node = (
                self._operations[self._position]
            )
            if primitive is expected and len(inputs) == count:
                values = self._values
                for i, place in computed:
                    # A value that the step computed itself is the very Tensor that it was given.
                    if inputs[i] is not values[place]:
                        break
                else:
                    if (
                        (not others or self._reads(others, inputs))
                        and (recorded is None or recorded is current().recording)
                        and ((not keywords and not constants) or _alike(keywords, constants))
                    ):
                        self._position += 1
                        value = values[slot] = attach(symbol, node)
                        return value
            if not any_traced(inputs):
                return apply_outside(primitive, inputs, keywords, self.derived)
            # From here on an ordinary trace takes over. It knows the values so far, so that the
            # step can finish and its errors are the usual ones. What it recorded is not used.
            self.diverged = Trace(self._expected.trace)
        return self.diverged.apply(primitive, inputs, keywords)

    def _reads(
        self, expected: tuple[tuple[int, int | Literal], ...], inputs: Sequence[Any]
    ) -> bool:
        """Whether an operation reads the expected closed-over values and numbers."""
        for i, operand in expected:
            x = inputs[i]
            if type(operand) is int:
                if not self._is_source(operand, x):
                    return False
            else:
                literal: Any = operand
                value = literal.value
                if x is not value and not (type(x) is type(value) and repr(x) == literal.text):
                    return False
        return True

    def _is_source(self, slot: int, x: Any) -> bool:
        """Whether x can be the closed-over value of this slot. If so, binds it to the slot."""
        bound = self._bound.get(slot)
        if bound is not None:
            if isinstance(x, Value):
                return x._array is bound.original and x.node is bound.node
            return x is bound.original and holds(bound.array, x)
        # A plan numbers closed-over values in the order of their first reading. The next new one
        # must therefore be the next of the plan.
        place = len(self.sources)
        sources = self._expected.sources
        if place == len(sources) or sources[place] != slot:
            return False  # the earlier trace read another closed-over value first
        symbol, known = self._expected.trace.symbols[slot], self._expected.values[slot]
        if type(x) is float and slot in (self._expected.trace.numbers or ()):
            source: Source | None = Source(slot, np.array(x, symbol.dtype), None, None, x)
        else:
            source = _as_source(slot, x)
        if source is None or (source.node is None) is not (known.node is None):
            return False
        array = source.array
        if array.shape != symbol.shape or array.dtype != symbol.dtype:
            return False
        self._bound[slot] = source
        self.sources.append(source)
        if self._values[slot] is _nothing:
            self._values[slot] = known
        return True

    def is_result(self, result: Any, carry_structure: Any) -> bool:
        """Whether the step returned the values that it returned in the earlier trace.

        The quick way: if these are Tensors that it computed, then structure and shapes are right.
        """
        if not isinstance(result, tuple) or len(result) != 2:
            return False
        values: list[Any] = []
        return flatten(result[0], values) == carry_structure and self.are_results(
            values, flatten(result[1], values)
        )

    def are_results(self, values: list[Any], structure: Any) -> bool:
        """Whether these are the expected new carries and outputs, in the expected structure."""
        expected = self._expected
        if structure != expected.structure or len(values) != len(expected.results):
            return False
        for x, slot in zip(values, expected.results, strict=True):
            if x is not self._values[slot]:
                return False
        return True

    def value(self, x: Any) -> Value:
        """The Tensor for something that the step returned."""
        if self.diverged is None:
            if isinstance(x, Value) and type(x._array) is Symbol:  # type: ignore[comparison-overlap]
                slot = x._array.slot
                if slot < len(self._values) and self._values[slot] is x:
                    return x
            else:
                # A closed-over value that is returned: one that the step has read, or the next one.
                slots = [*self._bound, *self._expected.sources[len(self.sources) :][:1]]
                for slot in slots:
                    if self._is_source(slot, x):
                        value: Value = self._values[slot]
                        return value
            self.diverged = Trace(self._expected.trace)
        result: Value = self.diverged.value(x)
        return result


def _as_source(slot: int, x: Any) -> Source | None:
    """x as a closed-over value; None if x is a Python number or a traced value."""
    if isinstance(x, Value):
        if type(x._array) is Symbol:  # type: ignore[comparison-overlap]
            return None
        return Source(slot, x._array, x.node, x._label if x.node is None else None, x._array)
    if x is None or type(x) in python_scalars:
        return None
    return Source(slot, copied(x, "scan"), None, None, x)


def _alike(constants: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether two dicts of keyword arguments make an operation do the same."""
    if len(constants) != len(others):
        return False
    for name, constant in constants.items():
        if name not in others or not _same_constant(constant, others[name]):
            return False
    return True


def _same_constant(x: Any, y: Any) -> bool:
    """Whether two constant arguments compute the same."""
    # The usual case: constants such as an axis are the same object at each call.
    if x is y:
        return True
    kind = type(x)
    if kind is not type(y):
        return False
    if kind is tuple:
        return len(x) == len(y) and all(map(_same_constant, x, y))
    if kind in _plain:
        return bool(x == y)
    return bool(frozen(x) == frozen(y))


_plain = frozenset({int, bool, str, slice, type(None), type(Ellipsis)})

__all__ = ["ExpectedTrace", "TraceChecker"]
