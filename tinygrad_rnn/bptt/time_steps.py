"""The loop and the time step that every operation of a graph ran in.

A loop passes through each of its time steps once. A recorded backward (``create_graph=True``) is a
loop of its own: it passes through the same steps once more, from the last to the first. Each pass
has its own :class:`TimeStep`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ..graph import Node

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Loop:
    """One loop over time: the forward pass, or the pass of a recorded backward.

    Attributes:
        number: identifies the loop; its backward has the same number.
        path: the modules around all its operations.
        sweep: 0 for the loop itself, 1 for its backward, 2 for the backward of that.
        outer: the time step of another loop around it, or None.
        time_steps: its time steps in the order in which they ran.
        name: a unique name among the loops of the graph; "" if it is the only one.
    """

    number: int
    path: tuple[str, ...]
    sweep: int
    outer: TimeStep | None = None
    time_steps: list[TimeStep] = field(default_factory=list)
    name: str = ""


@dataclass(eq=False, slots=True)
class TimeStep:
    """One pass of a loop through the time step ``t``."""

    loop: Loop
    t: int

    @property
    def title(self) -> str:
        name = f"{self.loop.name}: " if self.loop.name else ""
        return f"{name}t = {self.t}{backward(self.loop.sweep)}"


#: The time steps that an operation ran in, from the outermost loop to the innermost.
Place = tuple[TimeStep, ...]


def places(operations: Iterable[Node]) -> dict[Node, Place]:
    """The place in time of each operation; pass the operations oldest first."""
    loops: dict[tuple[int, int], Loop] = {}
    time_steps: dict[tuple[int, int, int], TimeStep] = {}
    known: dict[tuple[tuple[tuple[int, int], ...], int], Place] = {}
    result: dict[Node, Place] = {}
    for node in operations:
        scope = node.scope
        sweep = scope.sweep
        outer: TimeStep | None = None
        for number, t in scope.steps:
            loop = loops.get((number, sweep))
            if loop is None:
                loop = loops[number, sweep] = Loop(number, scope.path, sweep, outer)
            elif scope.path[: len(loop.path)] != loop.path:
                loop.path = common([loop.path, scope.path])
            time_step = time_steps.get((number, sweep, t))
            if time_step is None:
                time_step = time_steps[number, sweep, t] = TimeStep(loop, t)
                loop.time_steps.append(time_step)
            outer = time_step
        key = (scope.steps, sweep)
        place = known.get(key)
        if place is None:
            place = known[key] = tuple(time_steps[number, sweep, t] for number, t in scope.steps)
        result[node] = place
    _name(known.values())
    return result


def _name(places: Iterable[Place]) -> None:
    """Name each loop by its modules, without those of the loop around it, and a number."""
    names: dict[Loop, tuple[str, int]] = {}
    for place in places:
        for depth, time_step in enumerate(place):
            outer = place[depth - 1].loop.path if depth else ()
            known = common([outer, time_step.loop.path])
            names.setdefault(
                time_step.loop, (".".join(time_step.loop.path[len(known) :]), time_step.loop.sweep)
            )
    alike = Counter((loop.outer, *key) for loop, key in names.items())
    numbers: Counter[tuple[TimeStep | None, str, int]] = Counter()
    for loop, (name, sweep) in names.items():
        key = (loop.outer, name, sweep)
        loop.name = name
        if alike[key] > 1:
            numbers[key] += 1
            loop.name = f"{name or 'loop'} {numbers[key]}"


def crosses(before: Place, after: Place) -> bool:
    """Whether a value computed at one place and used at another crosses from step to step."""
    for a, b in zip(before, after, strict=False):
        if a is not b:
            return a.loop is b.loop
    return False


def common(tuples: Sequence[tuple[T, ...]]) -> tuple[T, ...]:
    """The longest common beginning of some tuples."""
    first = tuples[0]
    for other in tuples[1:]:
        n = 0
        for x, y in zip(first, other, strict=False):
            if x != y:
                break
            n += 1
        first = first[:n]
    return first


def backward(sweep: int) -> str:
    """The part of a title that names a backward, or the backward of a backward."""
    return {0: "", 1: ", backward"}.get(sweep, f", backward {sweep}")
