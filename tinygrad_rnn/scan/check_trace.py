"""Check that a step does what an earlier trace of it did.

Every call of scan runs its step again, and nearly always nothing has changed. A
:class:`TraceChecker` is used instead of a new trace. It passes the step the Tensors of the earlier
trace and compares each operation. That takes a sixth of the time of tracing again.
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
    """The operation that the step did next in the earlier trace, and its result.

    Attributes:
        inputs: the number of inputs.
        operands: for each input its position, the object expected there, and the operand. Values
            computed in the step come first, closed-over values last. The comparison binds a
            closed-over value to its slot, and stops at the first difference. In this order a step
            that does something else is noticed before a value is bound to a wrong slot.
        value: the Tensor that it returned.
    """

    primitive: Primitive | None
    inputs: int
    operands: tuple[tuple[int, Any, int | Literal], ...]
    keywords: dict[str, Any]
    value: Value | None


#: The end of the list: no further operation is expected.
_end = ExpectedOperation(None, 0, (), {}, None)


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
        self._results = (*step.new_carries, *step.outputs)
        self._structure = structure
        self.trace = trace
        self.values = trace.values
        self.inputs = tuple([trace.values[slot] for slot in trace.outside])
        self.sources = tuple([source.slot for source in trace.sources])
        self.operations = (*map(self._expected, trace.instructions), _end)

    def is_result(self, result: Any, carry_structure: Any) -> bool:
        """Whether the cell returned the same Tensors as in the earlier trace."""
        if not isinstance(result, tuple) or len(result) != 2:
            return False
        values: list[Any] = []
        return flatten(result[0], values) == carry_structure and self.are_results(
            values, flatten(result[1], values)
        )

    def are_results(self, values: list[Any], structure: Any) -> bool:
        """Whether these are the expected new carries and outputs, in the expected structure."""
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
    """Compares a step that runs with an earlier trace of it.

    Attributes:
        sources: the closed-over values that the step has read so far.
        derived: the operations on closed-over values alone.
        diverged: None while the step does what is expected. Afterwards, a trace that takes the
            remaining operations, so that the step can finish.
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
            expected = self._expected.operations[self._position]
            if primitive is expected.primitive and len(inputs) == expected.inputs:
                for i, known, operand in expected.operands:
                    x = inputs[i]
                    # The step works on the Tensors of the earlier trace, so a value that it
                    # computed itself is the same object. Only closed-over values and numbers need a
                    # closer look.
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
            # From here on an ordinary trace takes over. It knows the values so far, so that the
            # step can finish and its errors are the usual ones. What it recorded is not used.
            self.diverged = Trace(self._expected.trace)
        return self.diverged.apply(primitive, inputs, keywords)

    def _matches(self, operand: int | Literal, x: Any) -> bool:
        """Whether x can be this operand, although it is another object than before."""
        if type(operand) is int:
            return self._is_source(operand, x)
        return type(x) is type(operand.value) and repr(x) == operand.text  # type: ignore[union-attr]

    def _is_source(self, slot: int, x: Any) -> bool:
        """Whether x can be the closed-over value of this slot. If so, binds it to the slot."""
        bound = self._bound.get(slot)
        if bound is not None:
            if isinstance(x, Value):
                return x._array is bound.original and x.node is bound.node
            return x is bound.original
        # A plan numbers closed-over values in the order of their first reading. The next new one
        # must therefore be the next of the plan.
        place = len(self.sources)
        sources = self._expected.sources
        if place == len(sources) or sources[place] != slot:
            return False  # the earlier trace read another closed-over value first
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
        """The Tensor for something that the step returned."""
        values = self._expected.values
        if self.diverged is None:
            if isinstance(x, Value) and type(x._array) is Symbol:  # type: ignore[comparison-overlap]
                slot = x._array.slot
                if slot < len(values) and values[slot] is x:
                    return x
            else:
                # A closed-over value that is returned: one that the step has read, or the next one.
                slots = [*self._bound, *self._expected.sources[len(self.sources) :][:1]]
                for slot in slots:
                    if self._is_source(slot, x):
                        value: Value = values[slot]
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
    # Copied, because the caller may write into the array before backward.
    return Source(slot, numeric(x, "scan").copy(), None, None, x)


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
