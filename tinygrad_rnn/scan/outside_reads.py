"""What a step reads from outside, and whether it could change when the step runs again.

A step may draw random numbers or count its calls, and use them like a closed-over value. Such a
step differs from time step to time step and must be refused. So a step that reads something new
runs twice, and the numbers are compared. Most steps need not run twice. A value is safe if

* its node is older than this call, so it was there before the step ran. A leaf must also be that of
  the last call, since a counter could choose among parameters.
* it is the array of the last call, and the step has not written into it. A new random number would
  be a new array, or the step would write it.
* an operation of this library computed it from safe values and the same Python numbers.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from ..graph import Node, Primitive, Value, python_scalars, table
from .trace import frozen, holds

if TYPE_CHECKING:
    from .check_trace import TraceChecker
    from .trace import Source, Trace


#: Arrays that a step may write into, and copies of them from before it ran.
Before = list[tuple[ndarray, ndarray]]


class OutsideReads:
    """What a step read from outside in two runs, with the same numbers both times.

    It holds weak references, so that a plan keeps no array alive.
    """

    def __init__(self) -> None:
        self._derived: tuple[tuple[Primitive, Any, list[Any]], ...] = ()
        self._sources: list[Any] = []
        self._writable: list[weakref.ref[ndarray]] = []

    def remember(self, trace: Trace | TraceChecker) -> None:
        """Note what was read, after two runs read the same."""
        self._derived = tuple(
            [(x.primitive, frozen(x.keywords), list(map(_known, x.inputs))) for x in trace.derived]
        )
        self._sources = [_known_source(source) for source in trace.sources]
        # Of a Tensor's array the source is the array itself: nobody can write into it.
        read = [source.original for source in trace.sources if source.array is not source.original]
        read += [y for x in trace.derived for y in x.inputs]
        self._writable = [weakref.ref(x) for x in read if isinstance(x, ndarray)]

    def before(self) -> Before:
        """Copies of the arrays that the step is likely to read, before it runs."""
        arrays = [reference() for reference in self._writable]
        return [(x, x.copy()) for x in arrays if x is not None]

    def covers(self, trace: Trace | TraceChecker, since: int, before: Before | None) -> bool:
        """Whether everything that the step reads is safe: it is the same if the step runs again.

        Args:
            trace: the trace of the step.
            since: nodes with a smaller number are older than this call.
            before: what :meth:`before` gave before the step ran, or None.
        """
        if before is None and self._writable:
            return False
        if before and not all(holds(copy, x) for x, copy in before):
            return False
        if len(trace.derived) != len(self._derived) or len(trace.sources) != len(self._sources):
            return False
        # The ids of results that are safe. The trace holds these arrays, so no id is used again.
        made: set[int] = set()
        for x, (primitive, keywords, inputs) in zip(trace.derived, self._derived, strict=True):
            if x.primitive is not primitive or primitive not in _ours:
                return False  # a user's operation may draw random numbers
            # Freezing keywords takes time, and most operations have none.
            if len(x.inputs) != len(inputs) or (
                (x.keywords or keywords != _no_keywords) and frozen(x.keywords) != keywords
            ):
                return False
            for y, known in zip(x.inputs, inputs, strict=True):
                array, node = (y._array, y.node) if isinstance(y, Value) else (y, None)
                if not _is_settled(array, node, known, made, since):
                    return False
            made.add(id(x.array))
        for source, known in zip(trace.sources, self._sources, strict=True):
            if not _is_settled(source.original, source.node, known, made, since):
                return False
        return True


_no_keywords = frozen({})
_ours = frozenset(table.values())  # this library's operations: same input, same output


def _is_settled(x: Any, node: Node | None, known: Any, made: set[int], since: int) -> bool:
    """Whether a value that the step reads is safe."""
    if id(x) in made:
        return True
    if node is not None and node.number < since:
        return node.primitive is not None or known == node.number  # a leaf has no primitive
    if isinstance(x, ndarray):
        return type(known) is weakref.ref and known() is x
    return bool(known == _known(x))


def _known_source(source: Source) -> Any:
    node = source.node
    return node.number if node is not None and node.is_leaf else _known(source.original)


def _known(x: Any) -> Any:
    """A stand-in for an input of an operation, which :func:`_is_settled` compares."""
    if isinstance(x, Value):
        if x.node is not None and x.node.is_leaf:
            return x.node.number
        x = x._array
    if isinstance(x, ndarray):
        return weakref.ref(x)
    if x is None or type(x) in python_scalars:
        return frozen(x)
    return object()  # for example a list: equal to nothing, so never safe


__all__ = ["OutsideReads"]
