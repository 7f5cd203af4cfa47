"""The states, outputs, inputs and shared weights along the time steps of a graph."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy import ndarray

from ..graph import Node
from ..ops import primitives
from .masks import equal
from .steps import Role, Use
from .time_steps import Loop, TimeStep, common
from .trajectories import TrackedSteps, Trajectory

getitem = primitives.getitem


@dataclass(eq=False, slots=True)
class Input:
    """A value from outside that differs from time step to time step, such as x_t.

    Attributes:
        name: the user's name for it, or "".
        array: its value.
        node: its node; None for a constant.
        source: identifies it within the step: two reads of one source are one input.
    """

    name: str
    array: ndarray
    node: Node | None
    source: Any

    @property
    def is_read(self) -> bool:
        """Whether it is read from a value for all steps (``xs[t]``)."""
        return isinstance(self.source, tuple)


class Structure(TrackedSteps):
    """The structure in time of the graph of an output.

    An *input* enters a step and differs from step to step. A *weight* is a leaf.

    Attributes:
        free: the nodes that depend on no step.
        reads: the operations of a step that only move elements from outside its loop (xs[t]).
        inputs: the inputs of each time step; ``input_at`` has them by their uses.
        weights: the leaves that are not inputs, by unique names.
    """

    def __init__(self, output: Node):
        super().__init__(output)
        self.free = self._free()
        self.reads = self._reads()
        self.inputs: dict[TimeStep, list[Input]] = defaultdict(list)
        self.input_at: dict[Use, Input] = {}
        self.weights: dict[str, Node] = {}
        self._find_inputs()
        self._name_trajectories()

    def _free(self) -> set[Node]:
        """The nodes that depend on no step."""
        free: set[Node] = set()
        for node in self.nodes:
            if node in self.time_step or node in self.over:
                continue
            if all(parent in free for parent in node.parents if isinstance(parent, Node)):
                free.add(node)
        return free

    def _reads(self) -> set[Node]:
        reads: set[Node] = set()
        for node, time_step in self.time_step.items():
            parents = [parent for parent in node.parents if isinstance(parent, Node)]
            if node.primitive is None or not node.primitive.moves or node in self.holds:
                continue
            loops = [
                self.time_step[p].loop for p in parents if p in self.time_step and p not in reads
            ]
            if parents and time_step.loop not in loops:
                reads.add(node)
        return reads

    def _find_inputs(self) -> None:
        """Separate the values that differ in every step from the shared ones."""
        taken: dict[tuple[Loop, Role, int], list[tuple[TimeStep, Node]]] = defaultdict(list)
        for node, time_step in self.time_step.items():
            for i, parent in enumerate(node.parents):
                if isinstance(parent, Node):
                    if parent not in self.free:
                        continue
                else:  # a 0-d array without a name is a plain number
                    x = node.arrays[i]
                    if not isinstance(x, ndarray) or not (x.ndim or parent):
                        continue
                if (node, i) not in self.entries and node not in self.helpers:
                    taken[time_step.loop, self.role[node], i].append((time_step, node))
        inputs: set[Node] = set()
        for (loop, _, i), uses in taken.items():
            once = len(loop.time_steps) == 1
            nodes = [node for _, node in uses]
            is_node = isinstance(nodes[0].parents[i], Node)
            if is_node and nodes[0].primitive is getitem:
                indices = {str(node.keywords["index"]) for node in nodes}
                if len(indices) > 1 or once:
                    for time_step, node in uses:
                        parent = node.parents[i]
                        source = (parent, str(node.keywords["index"]))
                        new_input = Input(node.name or "", node.output, node, source)
                        self._add_input(time_step, new_input, [(node, i), *self.users[node]])
                        inputs.add(parent)  # type: ignore[arg-type]
                    continue
            # Constants are the same input if they hold the same array.
            values = {id(node.parents[i] if is_node else node.arrays[i]) for node in nodes}
            if len(values) == 1 and not (once and not is_node):
                continue
            for time_step, node in uses:
                parent, x = node.parents[i], node.arrays[i]
                if isinstance(parent, Node):
                    new_input = Input(parent.name or "", x, parent, parent)
                    inputs.add(parent)
                else:
                    new_input = Input(parent or "", x, None, id(x))
                self._add_input(time_step, new_input, [(node, i)])
        leaves = [node for node in self.nodes if node.is_leaf and node not in inputs]
        self._name_weights(leaves)

    def _add_input(self, time_step: TimeStep, new_input: Input, uses: Iterable[Use]) -> None:
        # A value that is read twice, or recorded as a constant twice, is one input.
        known = [
            other
            for other in self.inputs[time_step]
            if other.source == new_input.source
            or (
                other.node is None
                and new_input.node is None
                and equal(other.array, new_input.array)
            )
        ]
        if not known:
            self.inputs[time_step].append(new_input)
        for use in uses:
            self.input_at[use] = known[0] if known else new_input

    def _name_weights(self, leaves: list[Node]) -> None:
        names = {leaf: leaf.name or f"{leaf.output.shape} leaf" for leaf in leaves}
        alike = Counter(names.values())
        paths = [user.scope.path for leaf in leaves for user, _ in self.users[leaf]]
        outer = common(paths) if paths else ()
        for leaf, name in names.items():
            if alike[name] > 1 and self.users[leaf]:
                path = self.users[leaf][0][0].scope.path[len(outer) :]
                names[leaf] = ".".join((*path, name))
        for leaf, name in zip(names, _unique(names.values()), strict=True):
            self.weights[name] = leaf

    # ── names ──────────────────────────────────────────────────────────────────────────────

    def _name_trajectories(self) -> None:
        plain = [self._plain_name(k, trajectory) for k, trajectory in enumerate(self.trajectories)]
        alike = Counter(plain)
        names = []
        for trajectory, name in zip(self.trajectories, plain, strict=True):
            loop = trajectory.loop
            around = loop.outer.loop.name if loop.outer is not None else ""
            where = ".".join(filter(None, (around, loop.name)))
            names.append(f"{where}.{name}" if alike[name] > 1 and where else name)
        unique = _unique(names)
        for trajectory, short, name in zip(self.trajectories, plain, unique, strict=True):
            trajectory.plain, trajectory.name = short, name

    def _plain_name(self, k: int, trajectory: Trajectory) -> str:
        """``h`` from the name ``h_t``, or ``h_0``, ``h_1``, ...; without a name h, c or y."""
        names = {node.name for node in trajectory.nodes.values() if node.name}
        if names:
            name = "".join(common([tuple(name) for name in sorted(names)]))
            name = name.removesuffix("_t") if len(names) == 1 else name.rstrip("0123456789_[( ")
            if name:
                return name
        if trajectory.kind == "output":
            return "y" if trajectory.shape else "loss"
        below = self.states[k - 1] if k else trajectory
        above = trajectory.gates and below.loop is trajectory.loop and below is not trajectory
        return "c" if above and not below.gates else "h"


def _unique(names: Iterable[str]) -> Sequence[str]:
    """The names; equal names get numbers."""
    names = list(names)
    alike, seen = Counter(names), Counter[str]()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name} {seen[name]}" if alike[name] > 1 else name)
    return result
