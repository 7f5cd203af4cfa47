"""Following: every call of a scan runs its step anew, nearly always to find that nothing changed.

A :class:`Follower` takes the place of a trace. It gives the step the very values that an earlier
trace made, and only looks whether the step does with them what it did then. That takes a sixth of
the time of writing it all down again.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..graph import Node, Primitive, Value, numeric, python_scalars
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
    frozen,
)

if TYPE_CHECKING:
    from .derive import Step


class ExpectedOperation(NamedTuple):
    """An operation that a step is likely to do next, and what it gave.

    Attributes:
        inputs: how many it has.
        operands: for each of them its place, the very object that may stand there, and the operand.
            What the step itself computes comes first, so that an operation on closed-over values
            alone is told apart before any of these is taken for another.
        value: what it gave.
    """

    primitive: Primitive | None
    inputs: int
    operands: tuple[tuple[int, Any, int | Literal], ...]
    keywords: dict[str, Any]
    value: Value | None


#: Nothing: the step has done all that was expected.
_end = ExpectedOperation(None, 0, (), {}, None)


class ExpectedTrace:
    """What an earlier trace of a step did.

    Attributes:
        operations: in the order in which they ran.
        values: the Tensor of each slot.
        given: the Tensors that the step was given.
        sources: the slots of what it closes over, in the order in which they were met.
    """

    def __init__(self, step: Step, structure: Any):
        trace = step.trace
        self._results = (*step.new_carries, *step.outputs)
        self._structure = structure
        self.trace = trace
        self.values = trace.values
        self.given = tuple([trace.values[slot] for slot in trace.outside])
        self.sources = tuple([source.slot for source in trace.sources])
        self.operations = (*map(self._expected, trace.instructions), _end)

    def is_result(self, result: Any, carry_structure: Any) -> bool:
        """Whether a cell returned the very values that it returned then."""
        if not isinstance(result, tuple) or len(result) != 2:
            return False
        values: list[Any] = []
        return flatten(result[0], values) == carry_structure and self.are_results(
            values, flatten(result[1], values)
        )

    def are_results(self, values: list[Any], structure: Any) -> bool:
        """Whether these are the new carries and outputs, and this the structure of the latter."""
        return (
            structure == self._structure
            and len(values) == len(self._results)
            and all(map(operator.is_, values, self._results))
        )

    def _expected(self, x: Instruction) -> ExpectedOperation:
        operands: list[tuple[int, Any, int | Literal]] = []
        for i, operand in enumerate(x.operands):
            known = operand.value if isinstance(operand, Literal) else self.values[operand]
            operands.append((i, known, operand))
        operands.sort(key=lambda each: isinstance(each[2], Literal) or each[2] in self.sources)
        kept = tuple(operands)
        return ExpectedOperation(x.primitive, len(kept), kept, x.keywords, self.values[x.slot])


class TraceChecker:
    """Looks whether a step does what an earlier trace of it did.

    Attributes:
        sources: what the step closes over at this call.
        derived: the operations on such values alone.
        lost: a trace that goes on where the step did something else; None so far.
    """

    def __init__(self, expectation: ExpectedTrace):
        self.sources: list[Source] = []
        self.derived: list[Derived] = []
        self.diverged: Trace | None = None
        self.asked: list[tuple[Node, set[Node]]] = []
        self._expected = expectation
        self._position = 0
        self._bound: dict[int, Source] = {}

    @property
    def finished(self) -> bool:
        """Whether the step did all that was expected, and nothing else."""
        expected = self._expected
        return (
            self.diverged is None
            and not self.asked
            and expected.operations[self._position] is _end
            and len(self.sources) == len(expected.sources)
        )

    def __call__(self, primitive: Primitive, inputs: Sequence[Any], keywords: Any) -> Any:
        if self.diverged is None:
            expected = self._expected.operations[self._position]
            if primitive is expected.primitive and len(inputs) == expected.inputs:
                for i, known, operand in expected.operands:
                    x = inputs[i]
                    if x is not known and not self._matches(operand, x):
                        break
                else:
                    if (not keywords and not expected.keywords) or _alike(
                        keywords, expected.keywords
                    ):
                        self._position += 1
                        return expected.value
            if not any_traced(inputs):
                return apply_outside(primitive, inputs, keywords, self.derived)
            self.diverged = Trace(self._expected.trace)
        return self.diverged.apply(primitive, inputs, keywords)

    def _matches(self, operand: int | Literal, x: Any) -> bool:
        """Whether x may be this operand, though it is not the very object."""
        if type(operand) is int:
            return self._is_source(operand, x)
        return type(x) is type(operand.value) and repr(x) == operand.text  # type: ignore[union-attr]

    def _is_source(self, slot: int, x: Any) -> bool:
        """Whether x may be what the step closes over at this slot."""
        bound = self._bound.get(slot)
        if bound is not None:
            if isinstance(x, Value):
                return x._array is bound.original and x.node is bound.node
            return x is bound.original
        place = len(self.sources)
        sources = self._expected.sources
        if place == len(sources) or sources[place] != slot:
            return False  # another one is met first
        source = _as_source(slot, x)
        symbol, known = self._expected.trace.symbols[slot], self._expected.values[slot]
        if source is None or (source.node is None) is not (known.node is None):
            return False
        array = source.array
        if array.shape != symbol.shape or array.dtype != symbol.dtype:
            return False
        self._bound[slot] = source
        self.sources.append(source)
        return True

    def value(self, x: Any) -> Value:
        """Anything that a step returned, as one of its values."""
        values = self._expected.values
        if self.diverged is None:
            if isinstance(x, Value) and type(x._array) is Symbol:  # type: ignore[comparison-overlap]
                slot = x._array.slot
                if slot < len(values) and values[slot] is x:
                    return x
            else:
                slots = [*self._bound, *self._expected.sources[len(self.sources) :][:1]]
                for slot in slots:
                    if self._is_source(slot, x):
                        found: Value = values[slot]
                        return found
            self.diverged = Trace(self._expected.trace)
        returned: Value = self.diverged.value(x)
        return returned


def _as_source(slot: int, x: Any) -> Source | None:
    """What a step closes over; None for a number, and for a value of a step."""
    if isinstance(x, Value):
        if type(x._array) is Symbol:  # type: ignore[comparison-overlap]
            return None
        return Source(slot, x._array, x.node, x._label if x.node is None else None, x._array)
    if x is None or type(x) in python_scalars:
        return None
    # The caller may write into his array before backward.
    return Source(slot, numeric(x, "scan").copy(), None, None, x)


def _alike(constants: dict[str, Any], others: dict[str, Any]) -> bool:
    """Whether an operation does the same with these constants as with the others."""
    if len(constants) != len(others):
        return False
    for name, constant in constants.items():
        if name not in others or not _same_constant(constant, others[name]):
            return False
    return True


def _same_constant(x: Any, y: Any) -> bool:
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
