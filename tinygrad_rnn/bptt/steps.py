"""From a loss to the time steps of its graph, and the values that go from one to another.

A loop passes through each of its time steps once. A recorded backward (``create_graph=True``) is a
loop of its own: it passes through the same steps once more, from the last to the first. Each pass
has its own :class:`TimeStep`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy import ndarray

from ..backprop import expanded
from ..graph import Node, Primitive, Value, ancestors
from ..ops import primitives

_add, _multiply, _where = primitives.add, primitives.multiply, primitives.where

T = TypeVar("T")

#: The role of an operation in its step: a number for (modules, operation, which of several).
Role: TypeAlias = int

#: One use of a value: the operation, and the number of its input.
Use: TypeAlias = tuple[Node, int]


def scalar_node(loss: Any, where: str) -> Node:
    """The node of a loss, in a graph where every fused node is expanded to its operations.

    Raises:
        TypeError: it is not a Tensor.
        ValueError: it has no graph, or is no scalar.
    """
    if not isinstance(loss, Value):
        raise TypeError(f"{where}: expected a Tensor, got {type(loss).__name__}")
    if loss.node is None:
        raise ValueError(
            f"{where}: this tensor has no graph; compute it outside no_grad() from a tensor "
            "with requires_grad=True"
        )
    if loss._array.size != 1:
        raise ValueError(
            f"{where}: expected a scalar to differentiate, got shape {loss._array.shape}; use a "
            "loss, or one element"
        )
    try:
        return single_operations(loss.node)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def single_operations(node: Node) -> Node:
    """The same value in a graph where every node is a single operation."""
    fused = (n.primitive is not None and n.primitive.expand for n in ancestors([node]))
    return expanded([node])[0] if any(fused) else node


# ── loops and their time steps ───────────────────────────────────────────────────────────


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


# ── the operations of each step ──────────────────────────────────────────────────────────


class Update(NamedTuple):
    """A value that is the new one where the mask is True, and the old one elsewhere.

    Attributes:
        node: the value.
        new: the new value.
        old: the use of the old value: the operation, and the number of its input.
        mask: booleans; an axis along which they do not change has length 1.
        helpers: the operations that compute the update.
    """

    node: Node
    new: Node
    old: tuple[Node, int]
    mask: ndarray
    helpers: tuple[Node, ...]


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

    ``masks`` fills the rest in, if some operation may be a mask:

    Attributes:
        updates: the operations that only keep the old state for some sequences.
        masks_at: the masks of a time step: which sequences have this step.
        output_masks: the masks of outputs that are 0 after a sequence's end.
        helpers: all operations that only mask.
        unmasked: for each masked value, the value inside the mask.
        carriers: for each value, the masked updates with it as the new value, from inside out.
        over: the operations of steps after the end of all sequences. No gradient reaches them,
            and they are in no time step any more.
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
        self.updates: dict[Node, Update] = {}
        self.masks_at: dict[TimeStep, list[ndarray]] = {}
        self.output_masks: dict[Node, ndarray] = {}
        self.helpers: set[Node] = set()
        self.unmasked: dict[Node, Node] = {}
        self.carriers: dict[Node, list[Node]] = defaultdict(list)
        self.over: set[Node] = set()

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

    def core(self, node: Node) -> Node:
        """The value that a step computes, without the masks around it."""
        while node in self.unmasked:
            node = self.unmasked[node]
        return node

    @property
    def may_mask(self) -> bool:
        """Whether some operation may be a mask; ``masks`` finds those that are."""
        return any(map(_may_mask, self.time_step))


def _depth_of(loop: Loop) -> int:
    depth = 0
    while loop.outer is not None:
        loop, depth = loop.outer.loop, depth + 1
    return depth


def _may_mask(node: Node) -> bool:
    """Whether an operation may be ``where(mask, ...)``, or a sum with ``mask * value``."""
    if node.primitive is not _add:
        return node.primitive is _where
    return any(
        isinstance(factor, Node)
        and factor.primitive is _multiply
        and any(
            not isinstance(parent, Node) and np.ndim(x)
            for parent, x in zip(factor.parents, factor.arrays, strict=True)
        )
        for factor in node.parents
    )


def equal(x: ndarray, y: ndarray) -> bool:
    """Whether two arrays are equal, bit by bit."""
    return x is y or (x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes())
