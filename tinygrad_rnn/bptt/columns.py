"""Place the time steps of all loops on one time axis, in columns.

Loops that use each other's values step by step (the layers of a stack, both directions of one)
share their columns. If one loop must end before another begins (an encoder and a decoder), they
stand side by side. A loop inside a time step of another loop comes before that step's own column.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from numpy import ndarray

from ..graph import Node
from .spans import Span, Spans
from .steps import Use
from .structure import Structure
from .time_steps import Loop, Place, TimeStep


@dataclass(eq=False, slots=True)
class Stage:
    """Neighbouring columns of loops that share them.

    Attributes:
        first, stop: the first column, and the one after the last.
        loops: the loops that share the columns.
        name: the part of their names that the loops have in common.
    """

    first: int
    stop: int
    loops: list[Loop]
    name: str


class Columns:
    """The columns of all time steps.

    Attributes:
        of: the column of each time step.
        T: the number of columns.
        stages: the stages from left to right.
        steps: the time step of each column, by its own loops' numbers.
        other_steps: the uses in a loop of values that another loop computed at another time step.
    """

    def __init__(self, structure: Structure):
        self.structure = structure
        self.of: dict[TimeStep, int] = {}
        self.T = 0
        self.stages: list[Stage] = []
        self.steps: list[int] = []
        self.other_steps: set[Use] = set()
        self._own = {
            time_step
            for trajectory in structure.trajectories
            for time_step in trajectory.loop.time_steps
            if time_step.t in trajectory.nodes
        }
        self._inner: dict[TimeStep | None, list[Loop]] = defaultdict(list)
        for loop in structure.loops:
            inner = loop
            while inner not in self._inner[inner.outer]:
                self._inner[inner.outer].append(inner)
                if inner.outer is None:
                    break
                inner = inner.outer.loop
        self._within: dict[TimeStep, list[Node]] = defaultdict(list)
        if len(self._inner) > 1:
            for node, place in structure.place.items():
                for time_step in place[:-1] or place:
                    self._within[time_step].append(node)
        self._place(None, 0)
        for time_step in structure.members:  # a step with loops inside may have no own column
            self.of.setdefault(time_step, max(self.T - 1, 0))

    def _place(self, outer: TimeStep | None, depth: int) -> None:
        """Give columns to the loops within a time step (None: to the outermost loops)."""
        siblings = self._inner[outer]
        level = [0] * len(siblings)
        if len(siblings) > 1:
            level = self._levels(siblings, outer, depth)
        for k in sorted(set(level)):
            self._place_stage([s for s, n in zip(siblings, level, strict=True) if n == k], depth)

    def _place_stage(self, loops: list[Loop], depth: int) -> None:
        time_steps: dict[int, list[TimeStep]] = defaultdict(list)
        for loop in loops:
            for time_step in loop.time_steps:
                time_steps[time_step.t].append(time_step)
        has_inner = any(time_step in self._inner for at in time_steps.values() for time_step in at)
        for t in range(max(time_steps, default=-1) + 1):
            for time_step in time_steps[t]:
                if time_step in self._inner:
                    self._place(time_step, depth + 1)
            if not has_inner or any(time_step in self._own for time_step in time_steps[t]):
                self._add_column(loops, t)
            for time_step in time_steps[t]:
                self.of[time_step] = max(self.T - 1, 0)

    def _add_column(self, loops: list[Loop], t: int) -> None:
        if not self.stages or self.stages[-1].loops != loops:
            self.stages.append(Stage(self.T, self.T, loops, _name(loops)))
        self.stages[-1].stop += 1
        self.steps.append(t)
        self.T += 1

    # ── which loops share their columns ──────────────────────────────────────────────────

    def _levels(self, siblings: list[Loop], outer: TimeStep | None, depth: int) -> list[int]:
        """For each loop the number of other loops, one after another, that end before it begins."""
        together, follows = self._relations(siblings, outer, depth)
        level: dict[Loop, int] = {}
        for n, loop in enumerate(siblings):
            level[loop] = 0
            for other in siblings[:n]:
                again = loop.path == other.path and bool(loop.path)
                if (other, loop) in together and (other, loop) not in follows:
                    level[loop] = max(level[loop], level[other])
                elif (other, loop) in follows or again:
                    level[loop] = max(level[loop], level[other] + 1)
        return [level[loop] for loop in siblings]

    def _relations(
        self, siblings: list[Loop], outer: TimeStep | None, depth: int
    ) -> tuple[set[tuple[Loop, Loop]], set[tuple[Loop, Loop]]]:
        """The pairs (A, B) where B uses values of A: at the same time step, and at others.

        B follows A if it uses values of other time steps, or starts from a state of A: then A has
        to end first.
        """
        structure = self.structure
        among = set(siblings)

        def step_of(node: Node) -> TimeStep | None:
            place: Place = structure.place.get(node, ())
            time_step = place[depth] if len(place) > depth and node not in structure.reads else None
            return time_step if time_step is not None and time_step.loop in among else None

        spans = Spans(structure, lambda node: structure.place[node][depth].t)
        reach: dict[Node, set[Loop]] = {}
        together: set[tuple[Loop, Loop]] = set()
        follows: set[tuple[Loop, Loop]] = set()
        for node in structure.nodes if outer is None else self._within[outer]:
            if node in structure.over and node not in structure.updates:
                continue
            time_step = step_of(node)
            for i, parent in enumerate(node.parents):
                if not isinstance(parent, Node):
                    continue
                before = step_of(parent)
                sources = {before.loop} if before is not None else reach.get(parent, set())
                if time_step is None:
                    if sources:
                        reach[node] = reach.get(node, set()) | sources
                    continue
                sources = sources - {time_step.loop}
                if not sources:
                    continue
                if (node, i) in structure.entries:
                    same = False
                elif before is not None:
                    same = before.t == time_step.t
                else:
                    span = spans.of(parent)
                    same = span is not None and _is_at(
                        time_step, span, structure.masks_at.get(time_step)
                    )
                if not same and (node, i) not in structure.entries:
                    self.other_steps.add((node, i))
                (together if same else follows).update(
                    (source, time_step.loop) for source in sources
                )
        return together, follows


def _is_at(time_step: TimeStep, span: Span, masks: list[ndarray] | None) -> bool:
    """Whether all elements come from this time step; sequences that have ended do not count."""
    wrong = (span[0] != time_step.t) | (span[1] != time_step.t)
    if masks and wrong.ndim and len(wrong) in (1, len(masks[0])):
        wrong = wrong[masks[0].reshape(len(masks[0]), -1)[:, 0]]
    return not wrong.any()


def _name(loops: list[Loop]) -> str:
    """The common part of the modules of some loops; else their names."""
    if len(loops) == 1:
        return loops[0].name
    paths = [loop.path for loop in loops]
    shared = [
        part for parts in zip(*paths, strict=False) for part in [parts[0]] if len(set(parts)) == 1
    ]
    return ".".join(shared)
