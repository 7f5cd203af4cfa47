"""What runs along the time steps of a graph: states, outputs, inputs and shared weights.

Nothing has to be named. A *state* is a value that crosses from one time step into another, an
*output* one that leaves its loop, an *input* what enters and differs from step to step, a *weight*
a leaf. One value in all its time steps is a *trajectory*.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from ..graph import Node, Primitive, ancestors
from ..ops import add, indexing, multiply, subtract, where
from .masks import Update, by_sequence, ends_or_begins, update_at, zeroed_at
from .turns import Loop, Turn, common, places

_add, _subtract, _multiply, _where = (
    op.primitive  # type: ignore[attr-defined]
    for op in (add, subtract, multiply, where)
)
getitem: Primitive = indexing._getitem.primitive  # type: ignore[attr-defined]

#: A place among the operations of a step: a number for (modules, operation, which of several).
Role: TypeAlias = int

#: One use of a value: the operation that takes it, and as which of its inputs.
Use: TypeAlias = tuple[Node, int]

#: The inputs of sums and masks through which a value passes unchanged.
_passes = {(_add, 0), (_add, 1), (_subtract, 0), (_where, 1), (_where, 2)}


@dataclass(eq=False, slots=True)
class Trajectory:
    """One value in every time step of a loop.

    Attributes:
        loop: whose steps.
        kind: "state" or "output".
        nodes: the value by time step; where the output does not depend on it there is none.
        plain, name: what it is called, and what tells it from the other trajectories of the graph.
        masks: by time step the sequences of a batch that have this step, as booleans that
            broadcast to the value; none where all have it.
        holders: the nodes that hold the value, each with the step that it is from: a number, or
            where sequences end at different steps an array (-1: from before the loop).
        gates: of a state that is multiplied on its way from the step before (an LSTM's cell by
            its forget gate), what it is multiplied by, by time step.
        cuts: time steps at which a constant comes in where a state did: the end of truncated
            BPTT, or a state that was detached or set within the loop.
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
        """The time steps that it has, in the order in which the loop runs."""
        return [turn.t for turn in self.loop.turns if turn.t in self.nodes]

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = next(iter(self.nodes.values())).output.shape
        return shape


@dataclass(eq=False, slots=True)
class Input:
    """What one time step takes from outside, and other steps take otherwise.

    Attributes:
        name: as the program has it, or empty.
        array: its value.
        node: its place in the graph, None for a constant.
        source: tells it from other inputs of this step; two reads of the same are one input.
    """

    name: str
    array: ndarray
    node: Node | None
    source: Any

    @property
    def is_read(self) -> bool:
        """Whether it is a part of something that is there for all steps."""
        return isinstance(self.source, tuple)


class Structure:
    """The structure in time of all that an output was computed from.

    Attributes:
        output: the node.
        nodes: all, oldest first.
        users: of each node, its uses.
        place: of each operation, the turns that it ran in.
        depth: of each loop, how many others it ran in.
        turn: of each operation in a loop that values cross, the turn of the innermost such loop.
            A recorded backward is in none, nor are steps that all sequences of a batch have
            passed: no gradient comes there.
        members: the operations of each turn.
        loops: in the order in which they ran, and in each its turns.
        free: the nodes that depend on no step.
        over: the operations of steps that all sequences of a batch have passed.
        reads: the operations of a step that only move elements from outside of its loop (xs[t]).
        states, outputs: trajectories, in the order in which a step computes them; a state that is
            multiplied by a gate stands after the one that is computed from it.
        holds: of each node that holds a value of a trajectory, the trajectory.
        entries: for each use that takes a state of the step before, or at the first step what
            stands in its place, the trajectory.
        inputs: by turn; ``input_at`` has them by their uses.
        weights: the leaves, inputs not among them, with unique names.
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
        self.turn = self._turns()
        # A loss that is added up in a loop is no state. Without it an inner loop may be the one.
        while (aside := self._accumulators()) and len(aside) < len(self.turn):
            self.place = {n: place for n, place in self.place.items() if n not in aside}
            self.turn = self._turns()
        if not self.turn:
            raise ValueError(
                "this output was computed without time steps; loop with "
                "`for t, x_t in tg.steps(xs)`, or pass unroll=True to the layer"
            )
        self.depth = {t.loop: d for place in self.place.values() for d, t in enumerate(place)}
        self._sort_turns()
        self.role: dict[Node, Role] = {}
        self.at: dict[Turn, dict[Role, Node]] = {}
        self._roles: dict[Any, Role] = {}
        for turn, members in self.members.items():
            self._give_roles(turn, members)

        crossing, leaving = self._leaving()
        self._find_masks(crossing, leaving)
        self._drop_what_is_over(crossing, leaving)
        self.holds: dict[Node, Trajectory] = {}
        self.entries: dict[Use, Trajectory] = {}
        self.states = self._trajectories("state", map(self._core, crossing))
        self._find_holders()
        for state in self.states:
            self._find_entries(state)
        self._put_gated_above()
        self.outputs = self._trajectories("output", map(self._core, leaving))
        self._find_holders()
        for node, mask in self._output_masks.items():
            value = self._core(node)
            if value in self.holds and node not in self.holds:
                self.holds[node] = self.holds[value]
                self.holds[node].holders[node] = np.where(mask, self.turn[value].t, -1)
        self.free = self._free()
        self.reads = self._reads()
        self.inputs: dict[Turn, list[Input]] = defaultdict(list)
        self.input_at: dict[Use, Input] = {}
        self.weights: dict[str, Node] = {}
        self._find_inputs()
        self._name_trajectories()

    @property
    def trajectories(self) -> list[Trajectory]:
        return [*self.states, *self.outputs]

    # ── steps ────────────────────────────────────────────────────────────────────────────

    def _turns(self) -> dict[Node, Turn]:
        """The turn that each operation is shown in: of the innermost loop that values cross."""
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
        # Of a loop in each turn of another one, what is true of one is true of all.
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
        """The additions of ``loss = loss + loss_t`` in a loop."""
        aside: set[Node] = set()
        for node in reversed(self.nodes):
            turn = self.turn.get(node)
            if turn is None or node.primitive is not _add or node.output.size != 1:
                continue
            inside = [user for user, _ in self.users[node] if user in self.turn]
            adds_up = any(user in aside for user in inside) or any(
                isinstance(p, Node) and p in self.turn and self.turn[p] is not turn
                for p in node.parents
            )
            if adds_up and all(user in aside for user in inside):
                aside.add(node)
        return aside

    def _sort_turns(self) -> None:
        """The loops, and in each its turns, in the order in which they ran.

        The last operation of a step tells when it ran. What does not depend on the state, in
        steps that were opened (``expanded``), may have been recorded in any order.
        """
        self.members: dict[Turn, list[Node]] = defaultdict(list)
        for node, turn in self.turn.items():
            self.members[turn].append(node)
        last = {turn: members[-1].number for turn, members in self.members.items()}
        by_loop: dict[Loop, list[Turn]] = defaultdict(list)
        for turn in sorted(last, key=last.__getitem__):
            by_loop[turn.loop].append(turn)
        for loop, turns in by_loop.items():
            loop.turns = turns
        self.loops = sorted(by_loop, key=lambda loop: last[loop.turns[-1]])

    def _give_roles(self, turn: Turn, members: list[Node]) -> None:
        count: Counter[tuple[tuple[str, ...], Primitive | None]] = Counter()
        at = self.at[turn] = {}
        for node in members:
            kind = (node.scope.path, node.primitive)
            role = self._roles.setdefault((kind, count[kind]), len(self._roles))
            self.role[node] = role
            count[kind] += 1
            at[role] = node

    def goes(self, turn: Turn, user: Node) -> str:
        """Where a use of a value of a turn is: in its own "step", in the "next", or "outside"."""
        place, depth = self.place.get(user, ()), self.depth[turn.loop]
        if len(place) <= depth or place[depth].loop is not turn.loop:
            return "outside"
        return "step" if place[depth] is turn else "next"

    def _leaving(self) -> tuple[list[Node], list[Node]]:
        """The values that cross into other steps of their loop, and those that leave it."""
        crossing, leaving = [], []
        place = self.place
        for node, turn in self.turn.items():
            own = place[node]
            to = {self.goes(turn, n) for n, _ in self.users[node] if place.get(n) is not own}
            if "next" in to:
                crossing.append(node)
            if "outside" in to or node is self.output:
                leaving.append(node)
        return crossing, leaving

    # ── masked steps ─────────────────────────────────────────────────────────────────────

    def _find_masks(self, crossing: Sequence[Node], leaving: Sequence[Node]) -> None:
        """The operations that only let a state stand still, or set an output to 0."""
        crosses, exits = set(crossing), {*crossing, *leaving}
        number = {turn: n for loop in self.loops for n, turn in enumerate(loop.turns)}
        updates: dict[Loop, list[tuple[Role, int, Update]]] = defaultdict(list)
        first: list[Update] = []  # of those that begin with a constant
        for node, turn in self.turn.items():
            if node.primitive is _where or node.primitive is _add:
                found = update_at(node, lambda parent, turn=turn: self.turn.get(parent) is turn)
                if found is not None:
                    taker, i = found.old
                    if taker.parents[i] in crosses:
                        updates[turn.loop].append((self.role[node], number[turn], found))
                    elif node in exits:
                        first.append(found)
        for found in first:
            turn, role = self.turn[found.node], self.role[found.node]
            if self._is_first_state(found) or any(role == r for r, *_ in updates[turn.loop]):
                updates[turn.loop].append((role, number[turn], found))
        self.updates: dict[Node, Update] = {}
        for loop, told in updates.items():
            kept = by_sequence(told, len(loop.turns))
            self.updates |= {update.node: update for *_, update in told if update.node in kept}
        self.masks_at: dict[Turn, list[ndarray]] = defaultdict(list)
        for node, update in self.updates.items():
            self.masks_at[self.turn[node]].append(update.mask)

        self._output_masks: dict[Node, ndarray] = {}
        self._new = {node: update.new for node, update in self.updates.items()}
        unknown: dict[Loop, dict[Turn, list[Update]]] = defaultdict(lambda: defaultdict(list))
        states = {self.role[self._core(node)] for node in crossing}
        inner = [
            node
            for node in self.turn
            if node.primitive is _where and self.role.get(node.parents[1]) in states  # type: ignore[arg-type]
        ]
        for node in dict.fromkeys([*leaving, *inner]):
            turn = self.turn[node]
            found = zeroed_at(node, lambda parent, turn=turn: self.turn.get(parent) is turn)
            if found is None or node in self.updates:
                continue
            if turn not in self.masks_at:
                unknown[turn.loop][turn].append(found)
            elif any(_equal(mask.squeeze(), found.mask.squeeze()) for mask in self.masks_at[turn]):
                self._output_masks[node], self._new[node] = found.mask, found.new
        for loop, by_turn in unknown.items():  # only its outputs tell what a step's mask is
            masks = {turn: found[0].mask for turn, found in by_turn.items()} | {
                turn: self.masks_at[turn][0] for turn in loop.turns if turn in self.masks_at
            }
            if ends_or_begins([masks.get(turn) for turn in loop.turns]):
                for turn, found in by_turn.items():
                    self.masks_at[turn].append(masks[turn])
                    for update in found:
                        if _equal(update.mask.squeeze(), masks[turn].squeeze()):
                            self._output_masks[update.node] = update.mask
                            self._new[update.node] = update.new
        self._helpers = {n for update in self.updates.values() for n in update.helpers}
        self._helpers |= self._output_masks.keys()
        self._carriers: dict[Node, list[Node]] = defaultdict(list)
        for node in self.updates:
            self._carriers[self._core(node)].append(node)

    def _is_first_state(self, update: Update) -> bool:
        """Whether what stays, not computed in this loop, is what the step takes as a state."""
        taker, i = update.old
        if update.node.primitive is _add:
            return True
        old, x = taker.parents[i], taker.arrays[i]
        others = (n for n in self.members[self.turn[update.node]] if n not in update.helpers)
        return isinstance(old, Node) or any(x is y for node in others for y in node.arrays)

    def _core(self, node: Node) -> Node:
        """The value that a step computes, without the masks around it."""
        while node in self._new:
            node = self._new[node]
        return node

    def _drop_what_is_over(self, crossing: list[Node], leaving: list[Node]) -> None:
        """Leave out the steps that all sequences have passed: nothing of them gets out."""
        exits: dict[Turn, list[Node]] = defaultdict(list)
        for node in (*crossing, *leaving):
            exits[self.turn[node]].append(node)
        over = {
            turn
            for turn, masks in self.masks_at.items()
            if not any(mask.any() for mask in masks)
            and all(node in self._helpers for node in exits[turn])
        }
        if over == self.members.keys():
            over = set()
        self.over = {node for turn in over for node in self.members.pop(turn)}
        for turn in over:
            turn.loop.turns.remove(turn)
        self.loops = [loop for loop in self.loops if loop.turns]
        self.turn = {node: turn for node, turn in self.turn.items() if turn not in over}
        crossing[:] = [node for node in crossing if node in self.turn]
        leaving[:] = [node for node in leaving if node in self.turn]

    # ── trajectories ─────────────────────────────────────────────────────────────────────

    def _trajectories(self, kind: str, values: Iterable[Node]) -> list[Trajectory]:
        """The trajectories of the values that become this, a state or an output."""
        found: dict[tuple[Loop, Role], Trajectory] = {}
        for node in dict.fromkeys(values):
            if node in self.holds or node not in self.turn:
                continue
            turn = self.turn[node]
            key = (turn.loop, self.role[node])
            if key not in found:
                found[key] = Trajectory(turn.loop, kind, {})
            found[key].nodes[turn.t] = node
        trajectories = self._merged(list(found.values()))
        for trajectory in trajectories:
            self._complete(trajectory)
            for t, node in trajectory.nodes.items():
                self.holds[node] = trajectory
                trajectory.holders[node] = t
        last = {t: max(node.number for node in t.nodes.values()) for t in trajectories}
        trajectories.sort(key=lambda t: (self.loops.index(t.loop), last[t]))
        return trajectories

    def _merged(self, parts: list[Trajectory]) -> list[Trajectory]:
        """One trajectory of several that are never in the same step.

        A step may compute its state otherwise than the step before: the first one, say, or the
        first that is masked. What goes with what is told by names, by masked updates, and by what
        is done with them in the step after.
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
        """How much speaks for it that two trajectories are parts of one; -1 if they cannot be."""
        names = [{stem(node.name) for node in part.nodes.values() if node.name} for part in (a, b)]
        if names[0] and names[1] and not names[0] & names[1]:
            return -1
        found = 4 * bool(names[0] & names[1])
        steps = [turn.t for turn in a.loop.turns]
        for before, after in itertools.pairwise(steps):
            for earlier, later in ((a, b), (b, a)):
                if before in earlier.nodes and after in later.nodes:
                    value, following = earlier.nodes[before], later.nodes[after]
                    found += 2 * bool(self._ways(value, following))
                    found += len(self._takers(value) & self._takers(following))
        return found

    def _takers(self, value: Node) -> set[tuple[Role, int]]:
        """What takes the value in the next step."""
        turn = self.turn[value]
        return {
            (self.role[user], i)
            for node in (value, *self._carriers[value])
            for user, i in self.users[node]
            if user in self.role and self.goes(turn, user) == "next"
        }

    def _complete(self, state: Trajectory) -> None:
        """Add the same value in steps where it goes nowhere else, as the last one."""
        for turns in (state.loop.turns, state.loop.turns[::-1]):
            known: Node | None = None  # of the nearest step
            for turn in turns:
                if turn.t not in state.nodes and known is not None:
                    same = [self.at[turn].get(self.role[known])] if state.kind == "state" else []
                    if known.name:
                        called = stem(known.name)
                        same += [n for n in self.members[turn] if n.name and stem(n.name) == called]
                    for node in same:
                        if node and node.output.shape == state.shape and node not in self.holds:
                            state.nodes[turn.t] = node
                            break
                known = state.nodes.get(turn.t, known)

    def _find_holders(self) -> None:
        """The nodes that carry states on, and from which step the value in them is."""
        for node in sorted(self.updates, key=lambda node: node.number):
            if node in self.holds:
                continue
            mask, core = self.updates[node].mask, self._core(node)
            taker, i = self.updates[node].old
            state = self.holds.get(core) or self.holds.get(taker.parents[i])  # type: ignore[arg-type]
            if state is None:
                continue
            self.entries[taker, i] = state
            t = self.turn[core].t if core in self.turn else -1
            old = state.holders.get(taker.parents[i], -1)  # type: ignore[arg-type]
            state.holders[node] = np.where(mask, state.holders.get(self.updates[node].new, t), old)
            self.holds[node] = state
        for state in self.states:
            for t, node in state.nodes.items():
                masks = [self.updates[carrier].mask for carrier in self._carriers[node]]
                masks = masks or self.masks_at.get(self.turn[node], [])[:1]
                if masks and masks[0].ndim == node.output.ndim:
                    state.masks[t] = np.logical_and.reduce(np.broadcast_arrays(*masks))

    def leave_out_ended(self, cotangents: dict[Node, Any]) -> None:
        """Take from the states the steps that all sequences have passed, if nothing comes there."""
        for state in self.states:
            for t in [t for t, mask in state.masks.items() if not mask.any()]:
                if not np.any(cotangents[state.nodes[t]]):
                    node = state.nodes.pop(t)
                    del state.masks[t], state.holders[node]

    # ── how a state gets from one step into the next ─────────────────────────────────────

    def uses(self, trajectory: Trajectory) -> Iterator[tuple[int | ndarray, Node, int]]:
        """The uses of a trajectory's values: from which step, by which operation, as which input.

        Masked updates are no uses: they only carry the value on.
        """
        for node, step in trajectory.holders.items():
            for user, i in self.users[node]:
                if user not in self._helpers and user not in self.over:
                    yield step, user, i

    def _find_entries(self, state: Trajectory) -> None:
        """What takes the state in the next step: its gates, and where a constant is taken."""
        takers: set[tuple[Role, int]] = set()
        entered: set[int] = set()
        for node in state.holders:
            if node not in self.turn:
                continue
            turn = self.turn[node]
            for user, i in self.users[node]:
                if user not in self.turn or self.goes(turn, user) != "next":
                    continue
                other = self.turn[user]
                self.entries[user, i] = state
                if other.loop is not state.loop:
                    continue
                takers.add((self.role[user], i))
                entered.add(other.t)
        steps = state.steps
        for before, after in itertools.pairwise(steps):
            ways = self._ways(state.nodes[before], state.nodes[after])
            if len(ways) == 1 and ways[0] is not None:
                state.gates[after] = ways[0]
        for turn in state.loop.turns:
            for role, i in takers:
                user = self.at[turn].get(role)
                if user is None or i >= len(user.parents) or (user, i) in self.entries:
                    continue
                parent, x = user.parents[i], user.arrays[i]
                if isinstance(parent, Node) and self.turn.get(parent) is turn:
                    continue
                self.entries[user, i] = state
                constant = not isinstance(parent, Node) and isinstance(x, ndarray)
                first = turn is state.loop.turns[0]
                if constant and not first and turn.t not in entered and turn.t not in state.cuts:
                    state.cuts.append(turn.t)

    def _ways(self, value: Node, following: Node) -> list[Node | None]:
        """The ways from one value to the next on which only sums, masks and one gate lie.

        Returns:
            For each way its gate, the other factor of a product, or None if it has none.
        """
        turn = self.turn[following]
        uses = [use for node in (value, *self._carriers[value]) for use in self.users[node]]
        found = [self._way(*use, following) for use in uses if self.turn.get(use[0]) is turn]
        return [way[0] for way in found if way]

    def _way(self, node: Node, i: int, target: Node) -> tuple[Node | None] | None:
        gate: Node | None = None
        for _ in range(8):
            if node.primitive is _multiply:
                other = node.parents[1 - i]
                if gate is not None or not isinstance(other, Node) or other not in self.turn:
                    return None
                gate = other
            elif (node.primitive, i) not in _passes:
                return None
            if node is target:
                return (gate,)
            turn = self.turn.get(node)
            following = [use for use in self.users[node] if self.turn.get(use[0]) is turn]
            if turn is None or len(following) != 1:
                return None
            [(node, i)] = following
        return None

    def _put_gated_above(self) -> None:
        """An LSTM's c is computed before its h, and stands above it."""
        states = self.states
        for k in range(len(states) - 1):
            lower, upper = states[k], states[k + 1]
            if lower.loop is upper.loop and lower.gates and not upper.gates:
                states[k], states[k + 1] = upper, lower

    # ── leaves ───────────────────────────────────────────────────────────────────────────

    def _free(self) -> set[Node]:
        """The nodes that depend on no step."""
        free: set[Node] = set()
        for node in self.nodes:
            if node in self.turn or node in self.over:
                continue
            if all(parent in free for parent in node.parents if isinstance(parent, Node)):
                free.add(node)
        return free

    def _reads(self) -> set[Node]:
        reads: set[Node] = set()
        for node, turn in self.turn.items():
            parents = [parent for parent in node.parents if isinstance(parent, Node)]
            if node.primitive is None or not node.primitive.moves or node in self.holds:
                continue
            loops = [self.turn[p].loop for p in parents if p in self.turn and p not in reads]
            if parents and turn.loop not in loops:
                reads.add(node)
        return reads

    def _find_inputs(self) -> None:
        """Tell what is another value in every step from what is shared."""
        taken: dict[tuple[Loop, Role, int], list[tuple[Turn, Node]]] = defaultdict(list)
        for node, turn in self.turn.items():
            for i, parent in enumerate(node.parents):
                if isinstance(parent, Node):
                    if parent not in self.free:
                        continue
                else:  # an array of no axes, unless it has a name, is a bare number
                    x = node.arrays[i]
                    if not isinstance(x, ndarray) or not (x.ndim or parent):
                        continue
                if (node, i) not in self.entries and node not in self._helpers:
                    taken[turn.loop, self.role[node], i].append((turn, node))
        inputs: set[Node] = set()
        for (loop, _, i), uses in taken.items():
            once = len(loop.turns) == 1
            nodes = [node for _, node in uses]
            is_node = isinstance(nodes[0].parents[i], Node)
            if is_node and nodes[0].primitive is getitem:
                indices = {str(node.keywords["index"]) for node in nodes}
                if len(indices) > 1 or once:
                    for turn, node in uses:
                        parent = node.parents[i]
                        source = (parent, str(node.keywords["index"]))
                        given = Input(node.name or "", node.output, node, source)
                        self._add_input(turn, given, [(node, i), *self.users[node]])
                        inputs.add(parent)  # type: ignore[arg-type]
                    continue
            # The arrays of constants tell them apart.
            values = {id(node.parents[i] if is_node else node.arrays[i]) for node in nodes}
            if len(values) == 1 and not (once and not is_node):
                continue
            for turn, node in uses:
                parent, x = node.parents[i], node.arrays[i]
                if isinstance(parent, Node):
                    given = Input(parent.name or "", x, parent, parent)
                    inputs.add(parent)
                else:
                    given = Input(parent or "", x, None, id(x))
                self._add_input(turn, given, [(node, i)])
        leaves = [node for node in self.nodes if node.is_leaf and node not in inputs]
        self._name_weights(leaves)

    def _add_input(self, turn: Turn, given: Input, uses: Iterable[Use]) -> None:
        # What is read twice, or copied into the graph twice, is one input.
        known = [
            other
            for other in self.inputs[turn]
            if other.source == given.source
            or (other.node is None and given.node is None and _equal(other.array, given.array))
        ]
        if not known:
            self.inputs[turn].append(given)
        for use in uses:
            self.input_at[use] = known[0] if known else given

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
        plain = [self._plain_name(k, found) for k, found in enumerate(self.trajectories)]
        alike = Counter(plain)
        names = []
        for found, name in zip(self.trajectories, plain, strict=True):
            where = ".".join(
                filter(None, (found.loop.outer and found.loop.outer.loop.name, found.loop.name))
            )
            names.append(f"{where}.{name}" if alike[name] > 1 and where else name)
        unique = _unique(names)
        for found, short, name in zip(self.trajectories, plain, unique, strict=True):
            found.plain, found.name = short, name

    def _plain_name(self, k: int, found: Trajectory) -> str:
        """``h`` of ``h_t``, or of ``h_0``, ``h_1``, ...; else h, c or y by what it does."""
        given = {node.name for node in found.nodes.values() if node.name}
        if given:
            name = "".join(common([tuple(name) for name in sorted(given)]))
            name = name.removesuffix("_t") if len(given) == 1 else name.rstrip("0123456789_[( ")
            if name:
                return name
        if found.kind == "output":
            return "y" if found.shape else "loss"
        below = self.states[k - 1] if k else found
        above = found.gates and below.loop is found.loop and below is not found
        return "c" if above and not below.gates else "h"


def _depth_of(loop: Loop) -> int:
    depth = 0
    while loop.outer is not None:
        loop, depth = loop.outer.loop, depth + 1
    return depth


def _equal(x: ndarray, y: ndarray) -> bool:
    return x is y or (x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes())


def stem(name: str | None) -> str:
    """``h`` of ``h_t``, ``h[3]`` and ``h_3``."""
    return (name or "").removesuffix("_t").rstrip("0123456789_[]( )")


def _unique(names: Iterable[str]) -> Sequence[str]:
    """The names, with numbers where they are alike."""
    names = list(names)
    alike, seen = Counter(names), Counter[str]()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name} {seen[name]}" if alike[name] > 1 else name)
    return result
