"""What runs along the time axis of a graph: states, inputs, outputs and shared weights.

Nothing has to be named. A *state* is a value that crosses from one time step into another, an
*output* one that leaves the loop, an *input* what enters and differs from step to step, a *weight*
a leaf. The same value in different steps is the one that stands at the same place among the
operations of its step; together they are a *rail*.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy import ndarray

from ..graph import Node, ancestors
from . import labels
from .turns import Loop, Place, Turn, common, turns

#: A place among the operations of a step: modules, operation, and which of several such.
Role: TypeAlias = tuple[tuple[str, ...], str, int]

#: One use of a value: the operation that takes it, and as which of its inputs.
Use: TypeAlias = tuple[Node, int]


@dataclass(eq=False, slots=True)
class Rail:
    """One value in every time step.

    Attributes:
        loop: whose steps.
        kind: "state" or "output".
        nodes: the value by time step; where the output does not depend on it there is none.
        name: tells it from the other rails of the graph.
        gates: of a state that is multiplied on its way from the step before (an LSTM's cell by
            its forget gate), what it is multiplied by, by time step.
        cuts: time steps at which a constant comes in where a state did or could: the end of
            truncated BPTT, or a state that was detached or reset within the loop.
        starts: time steps at which the state is a leaf, a learned initial state.
    """

    loop: Loop
    kind: str
    nodes: dict[int, Node]
    name: str = ""
    gates: dict[int, Node] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Input:
    """What one time step takes from outside that other steps take otherwise.

    Attributes:
        name: as the program has it, or empty.
        array: its value.
        node: its place in the graph, None for a constant.
    """

    name: str
    array: ndarray
    node: Node | None


class Rails:
    """The structure in time of all that an output was computed from.

    Attributes:
        nodes: all, oldest first.
        turn: of each operation that belongs to a time step of a lattice.
        users: of each node.
        loops: one for each stack of rails, in the order in which they ran.
        states, outputs: the rails, in the order in which a step computes them; a gated state
            stands after the one that is computed from it, so that an LSTM's c is above its h.
        weights: the leaves, inputs and initial states not among them, with unique names.
        inputs: by turn.
        fed: for each loop, and for the output (None), the loops whose values reach it from
            outside of its steps.
    """

    def __init__(self, output: Node):
        self.output = output
        self.nodes = ancestors([output])[::-1]
        self.users: dict[Node, list[Use]] = defaultdict(list)
        for node in self.nodes:
            for i, parent in enumerate(node.parents):
                if isinstance(parent, Node):
                    self.users[parent].append((node, i))
        operations = [node for node in self.nodes if not node.is_leaf]
        places = turns(operations)
        self.turn = self._turns(places)
        # What only crosses a loop because a sum does, is shown in the loop within.
        while aside := self._accumulators():
            places = {node: place for node, place in places.items() if node not in aside}
            self.turn = self._turns(places)
        if not self.turn:
            raise ValueError(
                "this output was computed without time steps; loop with "
                "`for t, x_t in tg.steps(xs)`, or pass unroll=True to the layer"
            )
        self.T = 1 + max(turn.t for turn in self.turn.values())
        self.members: dict[Turn, list[Node]] = defaultdict(list)
        for node, turn in self.turn.items():
            self.members[turn].append(node)
        self.loops = self._in_order()
        self.role: dict[Node, Role] = {}
        self.at: dict[Turn, dict[Role, Node]] = {}
        for turn, members in self.members.items():
            self._give_roles(turn, members)
        self.leaving = {node: kind for node in self.turn if (kind := self._leaves_as(node))}
        self.states = self._order(self._find("state"))
        self.rail_of = {node: rail for rail in self.states for node in rail.nodes.values()}
        for rail in self.states:
            self._find_gates(rail)
        self.states = self._gated_above(self.states)
        self.outputs = self._order(self._find("output"))
        self.rail_of |= {node: rail for rail in self.outputs for node in rail.nodes.values()}
        self.weights: dict[str, Node] = {}
        self.inputs: dict[Turn, list[Input]] = defaultdict(list)
        self._find_inputs()
        self._name_rails()
        self.fed = self._feeding()

    # ── steps ────────────────────────────────────────────────────────────────────────────

    def _turns(self, places: dict[Node, Place]) -> dict[Node, Turn]:
        """The time step that each operation is shown in.

        Where loops are nested it is the outermost one through which a value crosses; a recorded
        backward (``create_graph=True``) is not shown in steps.
        """
        recurrent: set[Loop] = set()
        for node, place in places.items():
            for parent in node.parents:
                before = places.get(parent, place) if isinstance(parent, Node) else place
                if before is not place:
                    for a, b in zip(before, place, strict=False):
                        if a is not b:
                            if a.loop is b.loop:
                                recurrent.add(a.loop)
                            break
        shown = {
            place: ([turn for turn in place if turn.loop in recurrent] or place[-1:])[0]
            for place in set(places.values())
            if place
        }
        return {
            node: shown[place] for node, place in places.items() if place and node.scope.sweep == 0
        }

    def _accumulators(self) -> set[Node]:
        """``loss = loss + loss_t`` in a loop is a sum after it: no state, but the way out."""
        aside: set[Node] = set()
        for node in reversed(self.nodes):
            turn = self.turn.get(node)
            if turn is None or node.primitive is None or node.primitive.name != "add":
                continue
            inside = [user for user, _ in self.users[node] if user in self.turn]
            adds_up = any(user in aside for user in inside) or any(
                isinstance(p, Node) and p in self.turn and self.turn[p] is not turn
                for p in node.parents
            )
            if node.output.size == 1 and adds_up and all(user in aside for user in inside):
                aside.add(node)
        return aside

    def _in_order(self) -> list[Loop]:
        """The loops, and in each its turns, in the order in which they ran.

        It is the last operation of a step that tells: what does not depend on the state, in steps
        that were opened (``expanded``), may have been recorded anew in any order.
        """
        last = {turn: members[-1].number for turn, members in self.members.items()}
        loops: dict[Loop, None] = {}
        for turn in sorted(last, key=lambda turn: last[turn]):
            if turn.loop not in loops:
                turn.loop.turns = []
            turn.loop.turns.append(turn)
            loops[turn.loop] = None
        return sorted(loops, key=lambda loop: last[loop.turns[-1]])

    def _give_roles(self, turn: Turn, members: list[Node]) -> None:
        count: Counter[tuple[tuple[str, ...], str]] = Counter()
        at = self.at[turn] = {}
        for node in members:
            assert node.primitive is not None
            kind = (node.scope.path, node.primitive.name)
            role = self.role[node] = (*kind, count[kind])
            count[kind] += 1
            at[role] = node

    # ── states and outputs ───────────────────────────────────────────────────────────────

    def _leaves_as(self, node: Node) -> str | None:
        """What becomes of a value: "state", "output", or None if it stays in its step."""
        turn = self.turn[node]
        kind = "output" if node is self.output else None
        for user, _ in self.users[node]:
            other = self.turn.get(user)
            if other is not None and _next(turn, other):
                return "state"
            if other is not turn:
                kind = "output"
        return kind

    def _find(self, kind: str) -> list[Rail]:
        """The rails of the values that become this."""
        found: dict[tuple[Loop, Role], Rail] = {}
        for node, leaves_as in self.leaving.items():
            if leaves_as == kind and not (kind == "output" and node in self.rail_of):
                turn = self.turn[node]
                key = (turn.loop, self.role[node])
                if key not in found:
                    found[key] = Rail(turn.loop, kind, {})
                found[key].nodes[turn.t] = node
        rails = self._merged(list(found.values()))
        for rail in rails:
            self._complete(rail)
        return rails

    def _merged(self, rails: list[Rail]) -> list[Rail]:
        """One rail of two whose steps do not meet: the first step may compute h differently."""
        merged: list[Rail] = []
        for rail in rails:
            for other in merged:
                if (
                    other.loop is rail.loop
                    and not other.nodes.keys() & rail.nodes.keys()
                    and _shape(other) == _shape(rail)
                ):
                    other.nodes |= rail.nodes
                    break
            else:
                merged.append(rail)
        return merged

    def _complete(self, rail: Rail) -> None:
        """Add the same value where it goes nowhere else, as the last h of all."""
        if rail.kind == "output":
            return
        before: Node | None = None
        for turn in rail.loop.turns:
            node = rail.nodes.get(turn.t)
            if node is None and before is not None:
                node = self.at.get(turn, {}).get(self.role[before])
                if node is not None and node.output.shape == before.output.shape:
                    rail.nodes[turn.t] = node
            before = rail.nodes.get(turn.t, before)

    def _order(self, rails: list[Rail]) -> list[Rail]:
        last = {rail: max(node.number for node in rail.nodes.values()) for rail in rails}
        rails.sort(key=lambda rail: (self.loops.index(rail.loop), last[rail]))
        return rails

    def _gated_above(self, rails: list[Rail]) -> list[Rail]:
        """An LSTM's c is computed before its h, and stands above it."""
        rails = list(rails)
        for k in range(len(rails) - 1):
            lower, upper = rails[k], rails[k + 1]
            if lower.loop is upper.loop and lower.gates and not upper.gates:
                rails[k], rails[k + 1] = upper, lower
        return rails

    # ── how a state gets from one step into the next ─────────────────────────────────────

    def _find_gates(self, rail: Rail) -> None:
        """Its gates, and where a constant comes in its place."""
        takers: set[tuple[Role, int]] = set()
        entered: set[Turn] = set()
        for node in rail.nodes.values():
            turn = self.turn[node]
            for user, i in self.users[node]:
                other = self.turn.get(user)
                if other is None or not _next(turn, other):
                    continue
                takers.add((self.role[user], i))
                entered.add(other)
                gate = self._gate(user, i, rail.nodes.get(other.t))
                if gate is not None:
                    rail.gates[other.t] = gate
        for turn in rail.loop.turns:
            if turn in entered:
                continue
            for role, i in takers:
                taker = self.at.get(turn, {}).get(role)
                if taker is None or i >= len(taker.parents):
                    continue
                parent, x = taker.parents[i], taker.arrays[i]
                if isinstance(parent, Node):
                    if parent.is_leaf or parent not in self.turn:
                        rail.starts.append(turn.t)
                elif isinstance(x, ndarray) and (turn is not rail.loop.turns[0] or x.any()):
                    rail.cuts.append(turn.t)
                break

    def _gate(self, node: Node, i: int, target: Node | None) -> Node | None:
        """What a state is multiplied by on its way, if that and sums are all that it meets."""
        gate: Node | None = None
        for _ in range(8):
            assert node.primitive is not None
            name = node.primitive.name
            if name == "multiply":
                other = node.parents[1 - i]
                if gate is not None or not isinstance(other, Node) or other not in self.turn:
                    return None
                gate = other
            elif (name, i) not in {("add", 0), ("add", 1), ("subtract", 0), ("where", 1)}:
                return None
            if node is target:
                return gate
            turn = self.turn.get(node)
            following = [use for use in self.users[node] if self.turn.get(use[0]) is turn]
            if turn is None or len(following) != 1:
                return None
            [(node, i)] = following
        return None

    # ── leaves ───────────────────────────────────────────────────────────────────────────

    def _find_inputs(self) -> None:
        """Tell what is another value in every step from what is shared."""
        places: dict[tuple[Loop, Role, int], dict[int, Any]] = defaultdict(dict)
        for node, turn in self.turn.items():
            for i, parent in enumerate(node.parents):
                # The arrays of constants tell them apart; an array of no axes is a bare number.
                x = node.arrays[i]
                if isinstance(parent, Node):
                    if parent not in self.turn:
                        places[turn.loop, self.role[node], i][turn.t] = (node, parent, x)
                elif labels.has_box(x, parent):
                    places[turn.loop, self.role[node], i][turn.t] = (node, parent, x)
        states = {
            (rail.loop, self.role[user], i)
            for rail in self.states
            for node in rail.nodes.values()
            for user, i in self.users[node]
            if user in self.turn and _next(self.turn[node], self.turn[user])
        }
        taken: set[Node] = set()
        for (loop, role, i), by_step in places.items():
            is_state = (loop, role, i) in states
            differ = len({id(p) if isinstance(p, Node) else id(x) for _, p, x in by_step.values()})
            read = role[1] == "_getitem" and isinstance(next(iter(by_step.values()))[1], Node)
            if is_state or (len(by_step) > 1 and differ == 1 and not read):
                continue
            for node, parent, x in by_step.values():
                turn = self.turn[node]
                if read and self._indexes_time(node, by_step):
                    self._add_input(turn, Input(node.name or "", node.output, node))
                    taken.add(parent)
                elif isinstance(parent, Node):
                    if len(by_step) > 1:
                        self._add_input(turn, Input(parent.name or "", x, parent))
                        taken.add(parent)
                elif len(by_step) > 1 or self.T == 1:
                    self._add_input(turn, Input(parent or "", x, None))
        leaves = [node for node in self.nodes if node.is_leaf and node not in taken]
        self._name_weights(leaves)

    def _indexes_time(self, node: Node, by_step: dict[int, Any]) -> bool:
        """Whether ``xs[t]`` reads another part of a sequence in every step."""
        index = str(node.keywords["index"])
        others = [other for other, _, _ in by_step.values() if other is not node]
        return all(str(other.keywords["index"]) != index for other in others)

    def _add_input(self, turn: Turn, given: Input) -> None:
        inputs = self.inputs[turn]
        if all(given.array is not other.array for other in inputs):
            inputs.append(given)

    def _name_weights(self, leaves: list[Node]) -> None:
        names = {}
        for leaf in leaves:
            name = leaf.name or f"{labels.shape(leaf.output, leaf.output.dtype)} leaf"
            names[leaf] = name
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

    def _name_rails(self) -> None:
        rails = [*self.states, *self.outputs]
        plain = [self._plain_name(k, rail) for k, rail in enumerate(rails)]
        alike = Counter(plain)
        for rail, name in zip(rails, plain, strict=True):
            where = rail.loop.name
            rail.name = f"{where}.{name}" if alike[name] > 1 and where else name
        for rail, name in zip(rails, _unique([rail.name for rail in rails]), strict=True):
            rail.name = name

    def _plain_name(self, k: int, rail: Rail) -> str:
        """``h`` of ``h_t``, or of ``h_0``, ``h_1``, ...; else h, c or y by what it does."""
        given = {node.name for node in rail.nodes.values() if node.name}
        if given:
            name = "".join(common([tuple(name) for name in sorted(given)]))
            name = name.removesuffix("_t") if len(given) == 1 else name.rstrip("0123456789_[( ")
            if name:
                return name
        if rail.kind == "output":
            node = next(iter(rail.nodes.values()))
            return "loss" if node.output.size == 1 else labels.operation(node)
        above = rail.gates and k > 0 and self.states[k - 1].loop is rail.loop
        return "c" if above and not self.states[k - 1].gates else "h"

    # ── from loop to loop ────────────────────────────────────────────────────────────────

    def _feeding(self) -> dict[Loop | None, list[Loop]]:
        reach: dict[Any, set[Loop]] = {}
        fed: dict[Loop | None, dict[Loop, None]] = defaultdict(dict)
        for node in self.nodes:
            turn = self.turn.get(node)
            found: set[Loop] = set()
            for parent in node.parents:
                below = self.turn.get(parent) if isinstance(parent, Node) else None
                if below is None:
                    found.update(reach.get(parent, ()))
                elif below is not turn:
                    found.add(below.loop)
            if turn is None:
                reach[node] = found
            elif found:
                fed[turn.loop].update(dict.fromkeys(found - {turn.loop}))
        top = self.turn.get(self.output)
        ends = {top.loop} if top is not None else reach[self.output]
        fed[None].update(dict.fromkeys(ends))
        return {loop: sorted(below, key=self.loops.index) for loop, below in fed.items()}


def _next(turn: Turn, other: Turn) -> bool:
    """Whether a value of one time step that is used in another one crosses from step to step."""
    return other is not turn and other.loop is turn.loop


def _shape(rail: Rail) -> tuple[int, ...]:
    shape: tuple[int, ...] = next(iter(rail.nodes.values())).output.shape
    return shape


def _unique(names: Iterable[str]) -> Sequence[str]:
    """The names, with numbers where they are alike."""
    names = list(names)
    alike, seen = Counter(names), Counter[str]()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name} {seen[name]}" if alike[name] > 1 else name)
    return result
