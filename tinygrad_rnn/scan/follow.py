"""Following: every call of a scan runs its step anew, nearly always to find that nothing changed.

A :class:`Follower` takes the place of a trace. It gives the step the very values that an earlier
trace made, and only looks whether the step does with them what it did then. That takes a sixth of
the time of writing it all down again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..graph import Node, Primitive, Value, numeric, python_scalars
from .trace import Literal, Source, Symbol, Trace, any_traced, apply_outside, frozen

if TYPE_CHECKING:
    from .derive import Step


class Expected(NamedTuple):
    """An operation that a step is likely to do next, and what it gave."""

    primitive: Primitive
    operands: tuple[int | Literal, ...]
    keywords: dict[str, Any]
    value: Value


class Expectation:
    """What an earlier trace of a step did.

    Attributes:
        operations: in the order in which they ran.
        values: the Tensor of each slot.
        given: the Tensors that the step was given.
        sources: the slots of what it closes over, in the order in which they were met.
    """

    def __init__(self, step: Step):
        trace = step.trace
        self.trace = trace
        self.values = trace.values
        self.given = tuple([trace.values[slot] for slot in trace.outside])
        self.sources = tuple([source.slot for source in trace.sources])
        self.operations = tuple(
            [
                Expected(x.primitive, x.operands, x.keywords, trace.values[x.slot])
                for x in trace.instructions
            ]
        )


class Follower:
    """Looks whether a step does what an earlier trace of it did.

    Attributes:
        sources: what the step closes over at this call.
        lost: a trace that goes on where the step did something else; None so far.
    """

    def __init__(self, expectation: Expectation):
        self.sources: list[Source] = []
        self.lost: Trace | None = None
        self.key: list[Any] = []
        self.asked: list[tuple[Node, set[Node]]] = []
        self._expected = expectation
        self._given = iter(expectation.given)
        self._position = 0
        self._bound: dict[int, Source] = {}

    @property
    def finished(self) -> bool:
        """Whether the step did all that was expected, and nothing else."""
        expected = self._expected
        return (
            self.lost is None
            and not self.asked
            and self._position == len(expected.operations)
            and len(self.sources) == len(expected.sources)
        )

    def given(self, *_: Any) -> Value:
        """What the step was given then: calls of one kind are given the like."""
        value: Value = next(self._given)
        return value

    def __call__(self, primitive: Primitive, inputs: Sequence[Any], keywords: Any) -> Any:
        if self.lost is None:
            i = self._position
            operations = self._expected.operations
            if i < len(operations):
                expected = operations[i]
                if primitive is expected.primitive and self._does(expected, inputs, keywords):
                    self._position = i + 1
                    return expected.value
            if not any_traced(inputs):
                return apply_outside(primitive, inputs, keywords)
            self.lost = Trace(self._expected.trace)
        return self.lost.apply(primitive, inputs, keywords)

    def _does(self, expected: Expected, inputs: Sequence[Any], keywords: dict[str, Any]) -> bool:
        """Whether an operation has the operands that are expected."""
        operands = expected.operands
        if len(inputs) != len(operands):
            return False
        values = self._expected.values
        traced = False
        for x, operand in zip(inputs, operands, strict=True):
            if type(operand) is int:
                if x is values[operand]:
                    traced = True
                elif not self._is_source(operand, x):
                    return False
            elif x is not operand.value and (  # type: ignore[union-attr]
                type(x) is not type(operand.value) or repr(x) != operand.text  # type: ignore[union-attr]
            ):
                return False
        if not traced:
            return False
        if keywords or expected.keywords:
            return _alike(keywords, expected.keywords)
        return True

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
        source = _source(slot, x)
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
        if self.lost is None:
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
            self.lost = Trace(self._expected.trace)
        returned: Value = self.lost.value(x)
        return returned


def _source(slot: int, x: Any) -> Source | None:
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

__all__ = ["Expectation", "Follower"]
