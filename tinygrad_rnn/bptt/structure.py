"""The states, outputs, inputs and shared weights along the time steps of a graph.

A *state* is a value that crosses from one time step into another. An *output* is a value that
leaves its loop. We find them in the graph, so users need not name them. A *trajectory* is one of
them at all its time steps.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Node
from ..ops import primitives
from .masks import find_masks
from .steps import Loop, Role, Steps, TimeStep, Use, common, equal

getitem = primitives.getitem
_add, _subtract = primitives.add, primitives.subtract
_multiply, _where = primitives.multiply, primitives.where


#: Operations that pass an input on unchanged (sums, masks): (primitive, number of the input).
_passes = {(_add, 0), (_add, 1), (_subtract, 0), (_where, 1), (_where, 2)}
_WIDEST = 32  # characters of a name in one line


@dataclass(eq=False, slots=True)
class Trajectory:
    """One value at every time step of a loop.

    Attributes:
        loop: the loop.
        kind: "state" or "output".
        nodes: the value's node at each time step on which the output depends.
        plain, name: its short name, and a unique name among the trajectories of the graph.
        masks: for each time step, the sequences of a batch that have it, as booleans that
            broadcast to the value. No entry if all sequences have it.
        holders: the nodes that hold the value, each with the time step that it comes from: a
            number, or an array if sequences end at different steps (-1: from before the loop).
        gates: for a state that is multiplied on its way from the step before, the gate at each
            time step, such as an LSTM's forget gate for c.
        cuts: the time steps at which a constant replaces the state: the end of truncated BPTT, or
            a state that was detached or set within the loop.
    """

    loop: Loop
    kind: str
    nodes: dict[int, Node]
    plain: str = ""
    name: str = ""
    masks: dict[int, ndarray] = field(default_factory=dict)
    holders: dict[Node, int | ndarray] = field(default_factory=dict)
    gates: dict[int, Node] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        """Its time steps, in the order in which the loop runs."""
        return [time_step.t for time_step in self.loop.time_steps if time_step.t in self.nodes]

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = next(iter(self.nodes.values())).output.shape
        return shape


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


class Structure(Steps):
    """The structure in time of the graph of an output.

    An *input* enters a step and differs from step to step. A *weight* is a leaf.

    Attributes:
        states, outputs: trajectories, in the order in which a step computes them. But a gated
            state (c) comes after the state that is computed from it (h).
        holds: for each node that holds a value of a trajectory, the trajectory.
        entries: for each use of a state of the step before, or of its initial value, the
            trajectory.
        free: the nodes that depend on no step.
        reads: the operations of a step that only move elements from outside its loop (xs[t]).
        inputs: the inputs of each time step; ``input_at`` has them by their uses.
        weights: the leaves that are not inputs, by unique names.
    """

    def __init__(self, output: Node):
        super().__init__(output)
        if self.may_mask:
            find_masks(self)
        self.holds: dict[Node, Trajectory] = {}
        self.entries: dict[Use, Trajectory] = {}
        self.states = self._trajectories("state", map(self.core, self.crossing))
        self._find_holders()
        for state in self.states:
            self._find_entries(state)
        self._put_gated_above()
        self.outputs = self._trajectories("output", map(self.core, self.leaving))
        self._find_holders()
        for node, mask in self.output_masks.items():
            value = self.core(node)
            if value in self.holds and node not in self.holds:
                self.holds[node] = self.holds[value]
                self.holds[node].holders[node] = np.where(mask, self.time_step[value].t, -1)
        self.free = self._free()
        self.reads = self._reads()
        self.inputs: dict[TimeStep, list[Input]] = defaultdict(list)
        self.input_at: dict[Use, Input] = {}
        self.weights: dict[str, Node] = {}
        self._find_inputs()
        self._name_trajectories()

    # ── states and outputs ───────────────────────────────────────────────────────────────

    @property
    def trajectories(self) -> list[Trajectory]:
        return [*self.states, *self.outputs]

    def _trajectories(self, kind: str, values: Iterable[Node]) -> list[Trajectory]:
        """The trajectories of some values of one kind, "state" or "output"."""
        by_role: dict[tuple[Loop, Role], Trajectory] = {}
        for node in dict.fromkeys(values):
            if node in self.holds or node not in self.time_step:
                continue
            time_step = self.time_step[node]
            key = (time_step.loop, self.role[node])
            if key not in by_role:
                by_role[key] = Trajectory(time_step.loop, kind, {})
            by_role[key].nodes[time_step.t] = node
        trajectories = self._merged(list(by_role.values()))
        for trajectory in trajectories:
            self._complete(trajectory)
            for t, node in trajectory.nodes.items():
                self.holds[node] = trajectory
                trajectory.holders[node] = t
        last = {t: max(node.number for node in t.nodes.values()) for t in trajectories}
        trajectories.sort(key=lambda t: (self.loops.index(t.loop), last[t]))
        return trajectories

    def _merged(self, parts: list[Trajectory]) -> list[Trajectory]:
        """Merge trajectories that belong together and never have the same step.

        A step may compute its state in another way than the step before, such as the first step,
        or the first masked step. Names, gates and masked updates, and the uses in the step after
        show which parts belong together. The pair with the most evidence is merged first.
        """
        while True:
            pairs = [
                (self._evidence(a, b), -k - n, a, b)
                for k, a in enumerate(parts)
                for n, b in enumerate(parts[:k])
                if a.loop is b.loop and a.shape == b.shape and not a.nodes.keys() & b.nodes.keys()
            ]
            pairs = [pair for pair in pairs if pair[0] >= 0]
            if not pairs:
                return parts
            _, _, a, b = max(pairs, key=lambda pair: pair[:2])
            b.nodes |= a.nodes
            parts.remove(a)

    def _evidence(self, a: Trajectory, b: Trajectory) -> int:
        """The evidence that two trajectories are parts of one; -1 if they cannot be."""
        names = [{stem(node.name) for node in part.nodes.values() if node.name} for part in (a, b)]
        if names[0] and names[1] and not names[0] & names[1]:
            return -1
        evidence = 4 * bool(names[0] & names[1])
        steps = [time_step.t for time_step in a.loop.time_steps]
        for before, after in itertools.pairwise(steps):
            for earlier, later in ((a, b), (b, a)):
                if before in earlier.nodes and after in later.nodes:
                    value, following = earlier.nodes[before], later.nodes[after]
                    evidence += 2 * bool(self._gated_paths(value, following))
                    evidence += len(self._takers(value) & self._takers(following))
        return evidence

    def _takers(self, value: Node) -> set[tuple[Role, int]]:
        """The roles of the operations that use the value in the next step."""
        time_step = self.time_step[value]
        return {
            (self.role[user], i)
            for node in (value, *self.carriers[value])
            for user, i in self.users[node]
            if user in self.role and self.goes(time_step, user) == "next"
        }

    def _complete(self, state: Trajectory) -> None:
        """Add the state at steps whose value no later step uses, such as the last step."""
        for time_steps in (state.loop.time_steps, state.loop.time_steps[::-1]):
            known: Node | None = None  # at the nearest step that has the state
            for time_step in time_steps:
                if time_step.t not in state.nodes and known is not None:
                    same: list[Any] = []
                    if state.kind == "state":
                        same.append(self.at[time_step].get(self.role[known]))
                    if known.name:
                        called = stem(known.name)
                        same += [
                            n for n in self.members[time_step] if n.name and stem(n.name) == called
                        ]
                    for other in same:
                        if other and other.output.shape == state.shape and other not in self.holds:
                            state.nodes[time_step.t] = other
                            break
                known = state.nodes.get(time_step.t, known)

    def _find_holders(self) -> None:
        """Find the nodes that carry states on, and the time step that their values come from."""
        for node in sorted(self.updates, key=lambda node: node.number):
            if node in self.holds:
                continue
            mask, core = self.updates[node].mask, self.core(node)
            taker, i = self.updates[node].old
            state = self.holds.get(core) or self.holds.get(taker.parents[i])  # type: ignore[arg-type]
            if state is None:
                continue
            self.entries[taker, i] = state
            t = self.time_step[core].t if core in self.time_step else -1
            old = state.holders.get(taker.parents[i], -1)  # type: ignore[arg-type]
            state.holders[node] = np.where(mask, state.holders.get(self.updates[node].new, t), old)
            self.holds[node] = state
        for state in self.states:
            for t, node in state.nodes.items():
                masks = [self.updates[carrier].mask for carrier in self.carriers[node]]
                masks = masks or self.masks_at.get(self.time_step[node], [])[:1]
                if masks and masks[0].ndim == node.output.ndim:
                    state.masks[t] = np.logical_and.reduce(np.broadcast_arrays(*masks))

    def leave_out_ended(self, cotangents: dict[Node, Any]) -> None:
        """Remove from the states the steps after all sequences' end that get no gradient."""
        for state in self.states:
            for t in [t for t, mask in state.masks.items() if not mask.any()]:
                if not np.any(cotangents[state.nodes[t]]):
                    node = state.nodes.pop(t)
                    del state.masks[t], state.holders[node]

    # ── how a state gets from one step into the next ─────────────────────────────────────

    def uses(self, trajectory: Trajectory) -> Iterator[tuple[int | ndarray, Node, int]]:
        """The uses of a trajectory's values: (the value's time step, the operation, its input).

        Masked updates do not count: they only carry the value on.
        """
        for node, step in trajectory.holders.items():
            for user, i in self.users[node]:
                if user not in self.helpers and user not in self.over:
                    yield step, user, i

    def _find_entries(self, state: Trajectory) -> None:
        """Find the uses of a state in the next step, its gates, and its cuts."""
        takers: set[tuple[Role, int]] = set()
        entered: set[int] = set()
        for node in state.holders:
            if node not in self.time_step:
                continue
            time_step = self.time_step[node]
            for user, i in self.users[node]:
                if user not in self.time_step or self.goes(time_step, user) != "next":
                    continue
                other = self.time_step[user]
                if other.loop is not state.loop:
                    continue
                self.entries[user, i] = state
                takers.add((self.role[user], i))
                entered.add(other.t)
        steps = state.steps
        for before, after in itertools.pairwise(steps):
            paths = self._gated_paths(state.nodes[before], state.nodes[after])
            if len(paths) == 1 and paths[0] is not None:
                state.gates[after] = paths[0]
        for time_step in state.loop.time_steps:
            for role, i in takers:
                taker = self.at[time_step].get(role)
                if taker is None or i >= len(taker.parents) or (taker, i) in self.entries:
                    continue
                parent, x = taker.parents[i], taker.arrays[i]
                if isinstance(parent, Node) and self.time_step.get(parent) is time_step:
                    continue
                self.entries[taker, i] = state
                constant = not isinstance(parent, Node) and isinstance(x, ndarray)
                first = time_step is state.loop.time_steps[0]
                if (
                    constant
                    and not first
                    and time_step.t not in entered
                    and time_step.t not in state.cuts
                ):
                    state.cuts.append(time_step.t)

    def _gated_paths(self, value: Node, following: Node) -> list[Node | None]:
        """The paths from one value to the next with only sums, masks and at most one gate.

        Returns:
            For each path its gate (the other factor of a product), or None if it has no gate.
        """
        time_step = self.time_step[following]
        uses = [use for node in (value, *self.carriers[value]) for use in self.users[node]]
        paths = [
            self._gated_path(*use, following)
            for use in uses
            if self.time_step.get(use[0]) is time_step
        ]
        return [path[0] for path in paths if path]

    def _gated_path(self, node: Node, i: int, target: Node) -> tuple[Node | None] | None:
        gate: Node | None = None
        for _ in range(8):
            if node.primitive is _multiply:
                other = node.parents[1 - i]
                if gate is not None or not isinstance(other, Node) or other not in self.time_step:
                    return None
                gate = other
            elif (node.primitive, i) not in _passes:
                return None
            if node is target:
                return (gate,)
            time_step = self.time_step.get(node)
            following = [use for use in self.users[node] if self.time_step.get(use[0]) is time_step]
            if time_step is None or len(following) != 1:
                return None
            [(node, i)] = following
        return None

    def _put_gated_above(self) -> None:
        """Move a gated state after the state computed from it: an LSTM's c after its h."""
        states = self.states
        for k in range(len(states) - 1):
            lower, upper = states[k], states[k + 1]
            if lower.loop is upper.loop and lower.gates and not upper.gates:
                states[k], states[k + 1] = upper, lower

    # ── inputs and weights ───────────────────────────────────────────────────────────────

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

    # ── names ────────────────────────────────────────────────────────────────────────────

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


def stem(name: str | None) -> str:
    """The stem of a name: ``h`` for ``h_t``, ``h[3]`` and ``h_3``."""
    return (name or "").removesuffix("_t").rstrip("0123456789_[]( )")


def in_one_line(text: str) -> str:
    """A name that can be printed, shortened to one line of a table."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST // 2]}…{text[-_WIDEST // 2 + 1 :]}"
