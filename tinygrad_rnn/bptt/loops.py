"""All loops of a graph: their places on one time axis, and the gradients that leave their steps.

``Columns``: loops that use each other's values step by step (the layers of a stack, both directions
of one) share their columns. If one loop must end before another begins (an encoder and a decoder),
they stand side by side. A loop inside a time step of another loop comes before that step's own
column.

``Links``: a value that leaves its loop goes through operations outside all loops to the loss, or to
the steps of other loops. Each of these sends its own part of the gradient back. To separate the
parts, we sweep the operations between the loops once for every sender.

``shares``: each path from the loss back to a weight has a last time step. After it, the path passes
only through operations that belong to no step, such as an embedding lookup for all steps at once.
So the cotangents that a step's operations send out of the step, carried on to the weight, are the
step's share. The shares of all steps sum to dL/dW. An operation after the loop may work on all
steps at once, such as ``linear(stack(hs), W)``. There each row counts for the step that it came
from.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from ..backprop import contributions, sweep
from ..graph import Node, leaf, record
from .spans import Spans, relations
from .steps import Loop, TimeStep, Use
from .structure import Structure, Trajectory

#: A value: a trajectory, and a time step of its loop.
Held: TypeAlias = tuple[Trajectory, int]

#: Users look at overflows here, so they appear as Inf or NaN, without a warning.
quiet = np.errstate(over="ignore", invalid="ignore")

_Sender: TypeAlias = tuple[Loop, str, int | None, Trajectory | None]


# ── sums and norms of gradients ──────────────────────────────────────────────────────────


def add_to(totals: dict[Any, ndarray], key: Any, array: ndarray) -> None:
    """``totals[key] += array``, but never in place, because the array may be shared."""
    totals[key] = totals[key] + array if key in totals else array


def norm(arrays: Iterable[Any]) -> float:
    """The Euclidean norm of all elements of some arrays. Elements of 1e-200 do not underflow."""
    norms = []
    for array in arrays:
        flat = array.astype(np.float64, copy=False).ravel()
        with np.errstate(over="ignore"):
            square = float(flat @ flat)
        if 1e-250 < square < 1e250:
            norms.append(math.sqrt(square))
            continue
        largest = float(np.abs(flat).max(initial=0.0))
        if largest and math.isfinite(largest):
            largest *= float(np.linalg.norm(flat / largest))
        norms.append(largest)
    return math.hypot(*norms)


def spread(array: Any, step: int | ndarray) -> Iterator[tuple[int, Any]]:
    """Split a gradient by the time steps that the elements of its value come from."""
    if isinstance(step, int):
        yield step, array
        return
    for t in np.unique(step).tolist():
        if t >= 0:
            part = np.where(step == t, array, np.zeros_like(array))
            if part.any():
                yield t, part


def cotangents_of(structure: Structure) -> dict[Node, Any]:
    """The cotangents of all nodes, in one sweep."""
    return sweep({structure.output: np.ones_like(structure.output.output)}, set(structure.nodes))


# ── one time axis for all loops ──────────────────────────────────────────────────────────


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
        nodes = self.structure.nodes if outer is None else self._within[outer]
        together, follows, other_steps = relations(self.structure, siblings, nodes, depth)
        self.other_steps |= other_steps
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


def _name(loops: list[Loop]) -> str:
    """The common part of the modules of some loops; else their names."""
    if len(loops) == 1:
        return loops[0].name
    paths = [loop.path for loop in loops]
    shared = [
        part for parts in zip(*paths, strict=False) for part in [parts[0]] if len(set(parts)) == 1
    ]
    return ".".join(shared)


# ── what the loss and later loops send to a step ─────────────────────────────────────────


@dataclass(frozen=True, eq=False, slots=True)
class Link:
    """The gradient that one sender outside a loop sends back to a value of this loop.

    Attributes:
        trajectory, t: the value.
        kind: the sender. "loss", or a later loop: "state" if it starts from the value, "step" if
            it uses the value at the same time step, "read" if at another one.
        loop, at: the sending loop, and its time step; None for the loss.
        target: for a "state", the trajectory that starts from the value.
        norm: the norm of this part of the gradient.
    """

    trajectory: Trajectory
    t: int
    kind: str
    loop: Loop | None
    at: int | None
    norm: float
    target: Trajectory | None = None


class Links:
    """All links of a graph.

    Attributes:
        all: the links.
        outside: for each value, the sum of the gradients from outside its loop.
        stepwise: for each value, the sum of the gradients from the same step of later loops.
        from_loss: for each node, the gradient that the loss sent through no step of a loop.
    """

    def __init__(self, structure: Structure, columns: Columns, cotangents: dict[Node, Any]):
        self.structure, self.columns, self.cotangents = structure, columns, cotangents
        self._between: dict[Node, None] = {}
        self._border: dict[Node, int] = {}
        self._find_between()
        self._ends = set(self._border)
        self.all: list[Link] = []
        self.outside: dict[Held, ndarray] = {}
        self.stepwise: dict[Held, ndarray] = {}
        output = structure.output
        ones = np.ones_like(output.output)
        if output in structure.time_step:
            self.from_loss = {output: ones}
        else:
            self.from_loss = self._swept({output: ones})
        self._add(self.from_loss, "loss", None, None, None)
        for (loop, kind, at, target), seeds in self._sent().items():
            self._add(self._swept(seeds), kind, loop, at, target)

    def _find_between(self) -> None:
        """Find the operations that depend on loops but are outside all loops.

        The border is the loops' values that they use, numbered in the order of their first use.
        """
        structure = self.structure
        for node in structure.nodes:
            inside = node in structure.time_step and node not in structure.reads
            if inside or node in structure.free or node in structure.over or node.is_leaf:
                continue
            for parent in node.parents:
                if not isinstance(parent, Node) or parent in structure.free:
                    continue
                held = parent in structure.time_step or parent in structure.over
                if parent in self._between:
                    self._between[node] = None
                elif held and parent not in structure.reads:
                    self._border.setdefault(parent, len(self._border))
                    self._between[node] = None

    def _swept(self, seeds: dict[Node, Any]) -> dict[Node, ndarray]:
        """The gradients that reach the loops' values from some cotangents outside the loops."""
        cotangents = {node: g for node, g in seeds.items() if node not in self._between}
        outside = {node: g for node, g in seeds.items() if node in self._between}
        reached = sweep(outside, self._ends, ends=True)
        for node in sorted(reached, key=self._border.__getitem__, reverse=True):
            add_to(cotangents, node, reached[node])
        return cotangents

    def _sent(self) -> dict[_Sender, dict[Node, Any]]:
        """The gradients that steps of loops send outside: by loop and kind, for reads by step."""
        structure, other = self.structure, self.columns.other_steps
        taken: dict[Node, list[int]] = defaultdict(list)  # inputs from outside a node's loop
        for value in (*self._between, *structure.holds):
            own = structure.holds[value].loop if value not in self._between else None
            for user, i in structure.users[value]:
                if user not in self._between and self._loop_of(user) not in (None, own):
                    taken[user].append(i)
        groups: dict[_Sender, dict[Node, Any]] = defaultdict(dict)
        for user, live in taken.items():
            loop = self._loop_of(user)
            assert loop is not None
            sent = contributions(user, self.cotangents[user], live)
            for i in live:
                parent = user.parents[i]
                there = structure.time_step.get(parent)  # type: ignore[arg-type]
                target = structure.entries.get((user, i))
                if target is not None:
                    kind, at = "state", loop.time_steps[0].t
                elif (user, i) in other:
                    kind, at = "read", structure.time_step[user].t
                elif there is not None and there.loop.outer is not loop.outer:
                    kind, at = "step", structure.time_step[user].t  # an inner loop
                else:
                    kind, at = "step", None
                add_to(groups[loop, kind, at, target], parent, sent[i])
        return groups

    def _loop_of(self, node: Node) -> Loop | None:
        """The loop of an operation; after the end of all sequences, only if it holds a state."""
        time_step = self.structure.time_step.get(node)
        if time_step is not None:
            return time_step.loop
        held = self.structure.holds.get(node) if node in self.structure.over else None
        return None if held is None else held.loop

    def _add(
        self,
        cotangents: dict[Node, ndarray],
        kind: str,
        loop: Loop | None,
        at: int | None,
        target: Trajectory | None,
    ) -> None:
        sums: dict[Held, ndarray] = {}
        for node, g in cotangents.items():
            trajectory = self.structure.holds.get(node)
            if trajectory is not None:
                for t, part in spread(g, trajectory.holders[node]):
                    add_to(sums, (trajectory, t), part)
        for (trajectory, t), total in sums.items():
            add_to(self.outside, (trajectory, t), total)
            if kind == "step" and at is None:
                add_to(self.stepwise, (trajectory, t), total)
            size = norm([total])
            if size != 0:
                sender = t if kind == "step" and at is None else at
                self.all.append(Link(trajectory, t, kind, loop, sender, size, target))

    def sent_by_loss(self) -> float:
        """R: the gradient that the loss sends to a loop's states, not through other steps of it."""
        structure = self.structure
        direct: dict[Node, Any] = {}
        if any(
            node in structure.holds and structure.holds[node].kind == "output"
            for node in self.from_loss
        ):
            direct = self._within_steps(self.from_loss)
        else:
            for node, g in self.from_loss.items():
                add_to(direct, node, g)
        by_step: dict[tuple[Loop, int], list[Any]] = defaultdict(list)
        for node, g in direct.items():
            trajectory = structure.holds.get(node)
            if trajectory is not None and (trajectory.kind == "state" or not structure.states):
                for t, part in spread(g, trajectory.holders[node]):
                    by_step[trajectory.loop, t].append(part)
        totals: dict[Loop, float] = defaultdict(float)
        for (loop, _), parts in by_step.items():
            totals[loop] += norm(parts)
        return max(totals.values(), default=0.0)

    def _within_steps(self, seeds: dict[Node, Any]) -> dict[Node, Any]:
        """The gradients that reach the states of a step from seeds in the same step.

        We copy the graph with every step cut off from the others, and sweep the copy.
        """
        structure = self.structure
        copy: dict[Node, Node] = {}
        for node, time_step in structure.time_step.items():
            parents = tuple(
                copy[parent]
                if isinstance(parent, Node) and structure.time_step.get(parent) is time_step
                else None
                for parent in node.parents
            )
            held = node in structure.holds
            if held or any(parents):
                copied = record(
                    node.primitive, parents, node.arrays, node.output, node.keywords, node.scope
                )
            else:
                copied = leaf(node.output)
            copy[node] = copied
        values = {
            copy[node]: node
            for trajectory in structure.states
            for node in trajectory.nodes.values()
        }
        cotangents = {copy[node]: g for node, g in seeds.items() if node in copy}
        return {values[copied]: g for copied, g in sweep(cotangents, set(values)).items()}


# ── what every step sends to a weight ────────────────────────────────────────────────────


def shares(
    structure: Structure, columns: Columns, cotangents: dict[Node, Any], leaves: set[Node]
) -> Iterator[tuple[int | None, dict[Node, ndarray]]]:
    """The shares of dL/dW for some leaves W, step by step.

    Args:
        structure, columns: the structure of the graph, and its columns.
        cotangents: the cotangents of all its nodes.
        leaves: the weights W.

    Yields:
        ``(column, share by leaf)``; the column is None for the part that belongs to no step.
    """
    needed: set[Any] = set()
    for node in structure.nodes:
        if node in structure.free and (node in leaves or not needed.isdisjoint(node.parents)):
            needed.add(node)
    spans: Spans | None = None
    seeds: dict[int | None, dict[Node, Any]] = defaultdict(dict)
    for node in structure.nodes:
        if node in structure.free or node in structure.over or node not in cotangents:
            continue
        live = [i for i, parent in enumerate(node.parents) if parent in needed]
        if live:
            time_step = structure.time_step.get(node)
            if time_step is not None:
                at: int | None = columns.of[time_step]
                parts = [(at, contributions(node, cotangents[node], live))]
            else:
                if spans is None:
                    spans = Spans(structure, lambda node: columns.of[structure.time_step[node]])
                parts = list(_split(spans, node, cotangents[node], live))
            for column, part in parts:
                for i, contribution in part.items():
                    add_to(seeds[column], node.parents[i], contribution)
    for at in sorted(seeds, key=lambda column: -1 if column is None else column):
        by_leaf = seeds.pop(at)
        if not by_leaf.keys() <= leaves:
            by_leaf = sweep(by_leaf, leaves)
        yield at, by_leaf


def _split(
    spans: Spans, node: Node, g: ndarray, live: list[int]
) -> Iterator[tuple[int | None, dict[int, ndarray]]]:
    """The contribution of a node outside the loops to some of its inputs, step by step."""
    span = spans.of(node)
    if span is None or (span[0] != span[1]).any():
        yield None, contributions(node, g, live)
        return
    steps = span[0]
    if node.primitive is not None and node.primitive.rowwise and live[0] > 0:
        # Each row depends on one step alone, so run the rule only on the rows of the step.
        x, *others = node.arrays
        rows = steps.reshape(-1, steps.shape[-1])[:, 0]
        x, y = x.reshape(-1, x.shape[-1]), node.output.reshape(len(rows), -1)
        g = g.reshape(len(rows), -1)
        for t in np.unique(rows).tolist():
            mine = rows == t
            arrays = (x[mine], *others)
            part = record(node.primitive, node.parents, arrays, y[mine], node.keywords, node.scope)
            yield t, contributions(part, g[mine], live)
        return
    for t in np.unique(steps).tolist():
        yield t, contributions(node, np.where(steps == t, g, np.zeros_like(g)), live)
