"""What a step reads from outside: is it what an earlier call read, or was it made in the step?

A step may draw random numbers, or count its calls, and use them as a closed-over value; then it
does not do the same at every time step, and must be refused. So a step that reads something new is
run twice, and the numbers are compared. Most steps need not be: what they read was in the graph
before, or it is the very array of an earlier call, or an operation of the library's own gave it, on
such values and with the same Python numbers.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from ..graph import Primitive, Value, python_scalars, table
from .trace import Source, frozen

if TYPE_CHECKING:
    from .follow import Follower
    from .trace import Trace


class Seen:
    """What two runs of a step have read from outside, with the same numbers."""

    def __init__(self) -> None:
        self._known: tuple[Any, ...] = ()

    def remember(self, trace: Trace | Follower) -> None:
        """Two runs have read this. No array is held."""
        self._known = tuple(map(_known, _read(trace)))

    def covers(self, trace: Trace | Follower, since: int) -> bool:
        """Whether nothing that a step reads can be another when the step runs again.

        Args:
            trace: of the step.
            since: nodes with a smaller number were in the graph before.
        """
        read = _read(trace)
        made = {id(x.array) for x in trace.derived}
        return len(read) == len(self._known) and all(
            _is_settled(x, known, made, since) for x, known in zip(read, self._known, strict=True)
        )


def _read(trace: Trace | Follower) -> list[Any]:
    """What a step reads from outside, and what it does with that alone."""
    read: list[Any] = []
    for x in trace.derived:
        read += [x.primitive, *x.inputs, *x.keywords.items()]
    return [*read, *trace.sources]


def _is_settled(x: Any, known: Any, made: set[int], since: int) -> bool:
    if isinstance(x, Primitive):
        return x is known and table.get(x.name) is x  # a user's may draw random numbers
    array = _array(x)
    if array is None:
        return bool(known == _known(x))
    if id(array) in made:
        return True
    node = None if isinstance(x, ndarray) else x.node
    if node is not None and node.number < since:
        return True
    return type(known) is weakref.ref and known() is array


def _array(x: Any) -> Any:
    if isinstance(x, Source):
        x = x.original
    elif isinstance(x, Value):
        x = x._array
    return x if isinstance(x, ndarray) else None


def _known(x: Any) -> Any:
    """What stands for something that was read, for :func:`_is_settled` to compare."""
    if isinstance(x, Primitive):
        return x
    array = _array(x)
    if array is not None:
        return weakref.ref(array)
    if x is None or type(x) in python_scalars or type(x) is tuple:  # a constant and its name
        return frozen(x)
    return object()  # a list, say: equal to nothing


__all__ = ["Seen"]
