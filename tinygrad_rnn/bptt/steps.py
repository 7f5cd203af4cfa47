"""The time steps of a graph, and the values that go from one to another."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, TypeAlias

from ..graph import Node, Primitive, ancestors
from ..ops import primitives
from .time_steps import Loop, TimeStep, places

_add = primitives.add

#: The role of an operation in its step: a number for (modules, operation, which of several).
Role: TypeAlias = int

#: One use of a value: the operation, and the number of its input.
Use: TypeAlias = tuple[Node, int]


class Steps:
    """The time steps in the graph of an output.

    Attributes:
        output: the output's node.
        nodes: all nodes, oldest first.
        users: the uses of each node.
        place: for each operation, the time steps that it ran in, from the outermost loop.
        depth: for each loop, the number of loops around it.
        time_step: for each operation, the time step of the innermost loop around it that carries
            values from step to step. A recorded backward has none.
        members: the operations of each time step.
        loops: the loops in the order in which they ran, each with its time steps.
        role: the role of each operation in its step. Operations that do the same in different
            steps have the same role. ``at`` maps a time step and a role to the operation.
        crossing: the values that go into other steps of their loop.
        leaving: the values that are used outside their loop.
    """

    def __init__(self, output: Node):
        self.output = output
        self.nodes = ancestors([output])[::-1]
        self.users: dict[Node, list[Use]] = defaultdict(list)
        for node in self.nodes:
            for i, parent in enumerate(node.parents):
                if isinstance(parent, Node):
                    self.users[parent].append((node, i))
        self.place = places([node for node in self.nodes if not node.is_leaf])
        self.time_step = self._time_steps()
        # A loss that is summed in a loop is not a state. If an outer loop carries only such a sum,
        # the inner loop is the recurrence.
        while (aside := self._accumulators()) and len(aside) < len(self.time_step):
            self.place = {n: place for n, place in self.place.items() if n not in aside}
            self.time_step = self._time_steps()
        if not self.time_step:
            raise ValueError(
                "this output was computed without time steps; loop with "
                "`for t, x_t in tg.steps(xs)`, or pass unroll=True to the layer"
            )
        self.depth = {t.loop: d for place in self.place.values() for d, t in enumerate(place)}
        self._sort_time_steps()
        self.role: dict[Node, Role] = {}
        self.at: dict[TimeStep, dict[Role, Node]] = {}
        self._roles: dict[Any, Role] = {}
        for time_step, members in self.members.items():
            self._give_roles(time_step, members)
        self.crossing: list[Node] = []
        self.leaving: list[Node] = []
        self._find_crossing_and_leaving()

    def _time_steps(self) -> dict[Node, TimeStep]:
        """The time step to show for each operation: of its innermost loop that carries values."""
        crossed: set[Loop] = set()
        for node, place in self.place.items():
            for parent in node.parents:
                before = self.place.get(parent, place) if isinstance(parent, Node) else place
                if before is not place:
                    for a, b in zip(before, place, strict=False):
                        if a is not b:
                            if a.loop is b.loop:
                                crossed.add(a.loop)
                            break
        # A loop inside every time step of another loop: if one of its runs carries values, treat
        # all its runs so.
        kinds = {(loop.path, _depth_of(loop)) for loop in crossed}
        shown = {}
        for place in set(self.place.values()):
            inside = [t for t in place if (t.loop.path, _depth_of(t.loop)) in kinds]
            if place:
                shown[place] = (inside or place)[-1]
        return {
            node: shown[place]
            for node, place in self.place.items()
            if place and node.scope.sweep == 0
        }

    def _accumulators(self) -> set[Node]:
        """The additions ``loss = loss + loss_t`` in a loop."""
        aside: set[Node] = set()
        for node in reversed(self.nodes):
            time_step = self.time_step.get(node)
            if time_step is None or node.primitive is not _add or node.output.size != 1:
                continue
            inside = [user for user, _ in self.users[node] if user in self.time_step]
            adds_up = any(user in aside for user in inside) or any(
                isinstance(p, Node) and p in self.time_step and self.time_step[p] is not time_step
                for p in node.parents
            )
            if adds_up and all(user in aside for user in inside):
                aside.add(node)
        return aside

    def _sort_time_steps(self) -> None:
        """Sort the loops, and the time steps of each, in the order in which they ran.

        We sort by the last operation of a step. In a fused loop that was expanded, operations that
        do not depend on the state may have been recorded in any order.
        """
        self.members: dict[TimeStep, list[Node]] = defaultdict(list)
        for node, time_step in self.time_step.items():
            self.members[time_step].append(node)
        last = {time_step: members[-1].number for time_step, members in self.members.items()}
        by_loop: dict[Loop, list[TimeStep]] = defaultdict(list)
        for time_step in sorted(last, key=last.__getitem__):
            by_loop[time_step.loop].append(time_step)
        for loop, time_steps in by_loop.items():
            loop.time_steps = time_steps
        self.loops = sorted(by_loop, key=lambda loop: last[loop.time_steps[-1]])

    def _give_roles(self, time_step: TimeStep, members: list[Node]) -> None:
        count: Counter[tuple[tuple[str, ...], Primitive | None]] = Counter()
        at = self.at[time_step] = {}
        for node in members:
            kind = (node.scope.path, node.primitive)
            role = self._roles.setdefault((kind, count[kind]), len(self._roles))
            self.role[node] = role
            count[kind] += 1
            at[role] = node

    def goes(self, time_step: TimeStep, user: Node) -> str:
        """Whether a value of a time step is used in its own "step", in the "next", or "outside"."""
        place, depth = self.place.get(user, ()), self.depth[time_step.loop]
        if len(place) <= depth or place[depth].loop is not time_step.loop:
            return "outside"
        return "step" if place[depth] is time_step else "next"

    def _find_crossing_and_leaving(self) -> None:
        place = self.place
        for node, time_step in self.time_step.items():
            own = place[node]
            to = {self.goes(time_step, n) for n, _ in self.users[node] if place.get(n) is not own}
            if "next" in to:
                self.crossing.append(node)
            if "outside" in to or node is self.output:
                self.leaving.append(node)


def _depth_of(loop: Loop) -> int:
    depth = 0
    while loop.outer is not None:
        loop, depth = loop.outer.loop, depth + 1
    return depth
