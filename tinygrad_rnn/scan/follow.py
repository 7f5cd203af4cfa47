"""Following: every call of a scan runs its step anew, nearly always to find that nothing changed.

A :class:`Follower` is a trace that only looks whether the step does what an earlier trace wrote
down, which takes a third of the time of writing it all down again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph import Primitive, Value, attach, current, python_scalars, record
from .trace import (
    Literal,
    Symbol,
    Trace,
    any_traced,
    frozen,
    refuse,
)


class Expected(NamedTuple):
    """An operation that a step is likely to do next."""

    primitive: Primitive
    operands: tuple[int | Literal, ...]
    through: tuple[bool, ...]
    keywords: dict[str, Any]
    recorded: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    aval: int


def expected(trace: Trace) -> tuple[Expected, ...]:
    """What a trace did, for a :class:`Follower`."""
    made = []
    for step in trace.instructions:
        output = trace.symbols[step.slot]
        made.append(
            Expected(
                step.primitive,
                step.operands,
                step.through,
                step.keywords,
                step.node is not None,
                output.shape,
                output.dtype,
                output.aval,
            )
        )
    return tuple(made)


class Follower(Trace):
    """A trace that expects to do what an earlier one did, and only looks whether it does.

    Every call of a scan runs its step anew, nearly always to find that nothing has changed.
    Comparing takes a third of the time of writing it all down.

    Attributes:
        same: whether everything so far was as expected. Once it was not, this trace is of no use.
    """

    def __init__(self, expected: Sequence[Expected], symbols: Sequence[Symbol]):
        super().__init__()
        self.same = True
        self._expected = expected
        self._expected_symbols = symbols
        self._position = 0

    @property
    def finished(self) -> bool:
        """Whether the step did all that was expected, and nothing else."""
        if not self.same or self._position != len(self._expected):
            return False
        if len(self.symbols) != len(self._expected_symbols):
            return False  # it returns what was not met before
        for source in self.sources:
            array, expected = source.array, self._expected_symbols[source.slot]
            if array.shape != expected.shape or array.dtype != expected.dtype:
                return False
        return True

    def apply(self, primitive: Primitive, inputs: Sequence[Any], keywords: dict[str, Any]) -> Any:
        made = self._followed(primitive, inputs, keywords)
        if made is None:
            if not any_traced(inputs):
                return self.apply_outside(primitive, inputs, keywords)
            self.same = False
            return super().apply(primitive, inputs, keywords)
        return made

    def _followed(
        self, primitive: Primitive, inputs: Sequence[Any], keywords: dict[str, Any]
    ) -> Value | None:
        """The value of an operation, if it is the one that was expected."""
        if not self.same or self._position == len(self._expected):
            return None
        expected = self._expected[self._position]
        operands = expected.operands
        if primitive is not expected.primitive or len(inputs) != len(operands):
            return None
        if not any_traced(inputs):
            return None
        parents: list[Any] = []
        arrays: list[Any] = []
        for x, operand, live in zip(inputs, operands, expected.through, strict=True):
            if type(operand) is Literal:
                value = operand.value
                if x is not value and (type(x) is not type(value) or repr(x) != operand.text):
                    return None
                arrays.append(x)
                parents.append(None)
            else:
                if isinstance(x, Value) and type(x._array) is Symbol:  # type: ignore[comparison-overlap]
                    symbol, node = x._array, x.node
                    if symbol.owner is not self.owner:
                        refuse()
                elif x is None or type(x) in python_scalars:
                    return None
                else:
                    symbol, node = self.constant(x)
                if symbol.slot != operand or (node is not None) is not live:
                    return None
                if symbol.aval != self._expected_symbols[operand].aval:
                    return None
                arrays.append(symbol)
                parents.append(node)
        if (keywords or expected.keywords) and not _alike(keywords, expected.keywords):
            return None
        self._position += 1
        slot = len(self.symbols)
        made = Symbol(expected.shape, expected.dtype, slot, self.owner, expected.aval)
        self.symbols.append(made)
        if not expected.recorded:
            return attach(made, None)
        scope = current().scope
        node = record(primitive, tuple(parents), tuple(arrays), made, expected.keywords, scope)
        return attach(made, node)


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

__all__ = ["Expected", "Follower", "expected"]
