"""Between the loops: the gradients that the loss and the steps of later loops send to a step.

A value that leaves its loop goes through operations outside all loops to the loss, or to the steps
of other loops. Each of these sends its own part of the gradient back. To separate the parts, we
record the operations between the loops again, with leaves instead of the loops' values, and sweep
once for every sender.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from ..backprop import contributions, sweep
from ..graph import Node, leaf, record
from .columns import Columns
from .structure import Structure
from .sums import add_to, norm
from .time_steps import Loop
from .trajectories import Trajectory

#: A value: a trajectory, and a time step of its loop.
Value: TypeAlias = tuple[Trajectory, int]

_Sender: TypeAlias = tuple[Loop, str, int | None, Trajectory | None]


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
        self.copy: dict[Node, Node] = {}
        self.place: dict[Node, Node] = {}  # from the leaf to the loop's value that it replaces
        self._record_between()
        self.all: list[Link] = []
        self.outside: dict[Value, ndarray] = {}
        self.stepwise: dict[Value, ndarray] = {}
        output = structure.output
        ones = np.ones_like(output.output)
        if output in structure.time_step:
            self.from_loss = {output: ones}
        else:
            self.from_loss = self._swept({output: ones})
        self._add(self.from_loss, "loss", None, None, None)
        for (loop, kind, at, target), seeds in self._sent().items():
            self._add(self._swept(seeds), kind, loop, at, target)

    def _record_between(self) -> None:
        """Record the operations that depend on loops but are outside all loops.

        Leaves replace the loops' values.
        """
        structure = self.structure
        leaves: dict[Node, Node] = {}
        for node in structure.nodes:
            inside = node in structure.time_step and node not in structure.reads
            if inside or node in structure.free or node in structure.over or node.is_leaf:
                continue
            parents: list[Node | None] = []
            for parent in node.parents:
                new = None
                if isinstance(parent, Node) and parent not in structure.free:
                    new = self.copy.get(parent) or leaves.get(parent)
                    held = parent in structure.time_step or parent in structure.over
                    if new is None and held and parent not in structure.reads:
                        new = leaves[parent] = leaf(parent.output)
                parents.append(new)
            if any(parents):
                self.copy[node] = record(
                    node.primitive,
                    tuple(parents),
                    node.arrays,
                    node.output,
                    node.keywords,
                    node.scope,
                )
        self.place = {copy: node for node, copy in leaves.items()}

    def _swept(self, seeds: dict[Node, Any]) -> dict[Node, ndarray]:
        """The gradients that reach the loops' values from some cotangents outside the loops."""
        cotangents = {node: g for node, g in seeds.items() if node not in self.copy}
        inside = {self.copy[node]: g for node, g in seeds.items() if node in self.copy}
        if inside:
            for copy, g in sweep(inside, set(self.place)).items():
                add_to(cotangents, self.place[copy], g)
        return cotangents

    def _sent(self) -> dict[_Sender, dict[Node, Any]]:
        """The gradients that steps of loops send outside: by loop and kind, for reads by step."""
        structure, other = self.structure, self.columns.other_steps
        taken: dict[Node, list[int]] = defaultdict(list)  # inputs from outside a node's loop
        for value in (*self.copy, *structure.holds):
            own = structure.holds[value].loop if value not in self.copy else None
            for user, i in structure.users[value]:
                if user not in self.copy and self._loop_of(user) not in (None, own):
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
        sums: dict[Value, ndarray] = {}
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
