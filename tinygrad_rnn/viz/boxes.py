"""From a graph to a picture: the box of every node, and the edges between the boxes.

The nodes are the ones that backward visits, oldest first. ``detail`` says how many of them share a
box. A value that goes from one box into another is an edge. It is a *state* if it crosses from one
time step into a later one, whatever its name.

A graph has no cycles, and neither has its picture: if a box would depend on itself through another
box, we begin a second box.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..bptt.steps import Loop, Place, TimeStep, backward, common, crosses, places
from ..graph import Node, ancestors
from . import labels, routing
from .picture import Box, Edge, Picture, arranged, single


def build(
    outputs: Sequence[Node], detail: str, values: bool = False, max_steps: int | None = None
) -> Picture:
    """The picture of the graph of some outputs.

    Raises:
        ValueError: the detail is "cell", and there are no time steps.
    """
    return details[detail](outputs, values, max_steps).picture()


@dataclass(eq=False, slots=True)
class _Source:
    """A leaf or a constant."""

    node: Node | None  # a constant has none
    name: str
    array: Any
    inputs: list[tuple[Node, int]] = field(default_factory=list)

    full_name: str = ""  # with its modules, if another source has the same name

    @property
    def kind(self) -> str:
        return "weight" if self.node else "constant"


class _Builder:
    """The common part of all details."""

    def __init__(self, outputs: Sequence[Node], values: bool, max_steps: int | None):
        nodes = ancestors(outputs)[::-1]
        self.operations = [node for node in nodes if not node.is_leaf]
        self.outputs = dict.fromkeys(outputs)
        used = {parent for node in nodes for parent in node.parents}
        # A loss that nothing else depends on gets its own box at the end.
        self.ends = {node for node in outputs if node not in used and node.output.size == 1}
        self.values = values
        self.places = places(self.operations)
        self.loops = list(dict.fromkeys(t.loop for place in self.places.values() for t in place))
        self.gaps = _gaps(self.loops, max_steps)
        self.dtype = Counter(node.output.dtype for node in nodes).most_common(1)[0][0]
        self.boxes: dict[Hashable, Box] = {}
        self.box_of: dict[Node, Box] = {}
        self.edges: dict[Hashable, Edge] = {}

    def picture(self) -> Picture:
        sources: dict[Hashable, _Source] = {
            node: _Source(node, node.name or "", node.output)
            for node in self.outputs
            if node.is_leaf
        }
        for node in self.operations:
            box = self.box_of[node] = self.gap(node) or self.box(node)
            box.nodes.append(node)
            for i, parent in enumerate(node.parents):
                x = node.arrays[i]
                if isinstance(parent, Node):
                    if not parent.is_leaf:
                        self.connect(parent, node, i)
                        continue
                    source = sources.get(parent)
                    if source is None:
                        # The array that the operation used: the leaf's data may have changed.
                        source = sources[parent] = _Source(parent, parent.name or "", x)
                elif labels.has_box(x, parent):
                    # Constants have no node: the same array is the same constant.
                    source = sources.setdefault(id(x), _Source(None, parent or "", x))
                else:
                    continue
                source.inputs.append((node, i))
        self.add_sources(list(sources.values()))
        self.finish()
        return Picture(arranged(self.boxes.values()), list(self.edges.values()))

    # ── what a detail decides ────────────────────────────────────────────────────────────

    def box(self, node: Node) -> Box:
        """The box of an operation."""
        raise NotImplementedError

    def finish(self) -> None:
        """Work that needs all boxes and edges."""

    # ── boxes of operations ──────────────────────────────────────────────────────────────

    def gap(self, node: Node) -> Box | None:
        """The box for the omitted steps, if the node ran in one of them."""
        place = self.places[node]
        for depth, time_step in enumerate(place):
            gap = self.gaps.get(time_step)
            if gap is not None:
                gap.place = place[:depth]
                return self.boxes.setdefault(gap, gap)
        return None

    def operation(self, node: Node) -> Box:
        """A box for this operation alone."""
        title = labels.operation(node)
        lines = [labels.shape(node.output, self.dtype)]
        if node.name:
            title, lines = labels.name(node.name), [title, *lines]
        if self.values:
            lines += labels.values(node.output)
        kind = "output" if node in self.outputs else "operation"
        box = Box(kind, title, lines, self.places[node], self.modules(node))
        self.boxes[node] = box
        return box

    def modules(self, node: Node) -> tuple[str, ...]:
        """The modules that a node ran in; in a loop only those inside the innermost loop."""
        place = self.places[node]
        path = tuple(map(labels.name, node.scope.path))
        if place:
            return path[len(place[-1].loop.path) :]
        return (path[0] + backward(node.scope.sweep), *path[1:]) if path else ()

    # ── leaves and constants ─────────────────────────────────────────────────────────────

    def add_sources(self, sources: list[_Source]) -> None:
        alike = Counter(source.name for source in sources if source.node)
        for source in sources:
            users = list(dict.fromkeys(self.box_of[node] for node, _ in source.inputs))
            if users and all(user.kind == "gap" for user in users):
                continue
            source.full_name = labels.name(source.name)
            if source.name and source.inputs and alike[source.name] > 1:
                where = common([node.scope.path for node, _ in source.inputs])
                source.full_name = labels.name(".".join((*where, source.name)))
            self.add_source(source, users)

    def add_source(self, source: _Source, users: list[Box]) -> Box:
        """Add a box for a source, and its edges."""
        shape = labels.shape(source.array, self.dtype)
        name = source.full_name
        box = Box(source.kind, name or shape, [shape] if name else [])
        if self.values:
            box.lines += labels.values(source.array)
        box.place = common([user.place for user in users]) if users else ()
        if source.node is not None:
            box.nodes.append(source.node)
        self.boxes[box] = box
        self.feed(box, source.inputs)
        return box

    def feed(self, box: Box, inputs: list[tuple[Node, int]]) -> None:
        """Add the edges from a leaf or a constant to the operations that use it."""
        for node, i in inputs:
            self.edge(box, box.kind, node, i)

    # ── edges ────────────────────────────────────────────────────────────────────────────

    def connect(self, parent: Node, node: Node, i: int) -> None:
        """Add the edge for a value that another operation computed."""
        tail = self.box_of[parent]
        if tail is not self.box_of[node]:
            self.edge(tail, self.kind_between(parent, node), node, i)

    def kind_between(self, parent: Node, node: Node) -> str:
        return "state" if crosses(self.places[parent], self.places[node]) else "data"

    def edge(self, tail: Box, kind: str, node: Node, i: int) -> None:
        """Add a value to the edge between two boxes.

        Each input of a box with one operation has its own edge, except from omitted steps.
        """
        head = self.box_of[node]
        key = (tail, head, kind, i if head.kind in single and tail.kind != "gap" else None)
        edge = self.edges.get(key)
        if edge is None:
            edge = self.edges[key] = Edge(tail, head, kind)
        edge.inputs.append((node, i))

    def name_edges(self, kinds: Iterable[str]) -> None:
        """Label the edges that come from boxes of these kinds with their values."""
        for edge in self.edges.values():
            if edge.inputs and edge.tail.kind in kinds:
                # An edge for several steps shows the value of the last step.
                last = self.places[edge.inputs[-1][0]]
                parents = [node.parents[i] for node, i in edge.inputs if self.places[node] == last]
                edge.lines = [labels.crossing(dict.fromkeys(parents), self.dtype)]


class _ByOperation(_Builder):
    """A box for every operation."""

    def box(self, node: Node) -> Box:
        return self.operation(node)

    def finish(self) -> None:
        for edge in self.edges.values():
            if edge.kind == "state" and edge.tail.kind == "operation":
                edge.tail.kind = "state"
        self.name_edges({"gap"})
        routing.route(self.boxes, self.edges, self.places, self.loops, self.gaps)


class _Grouping(_Builder):
    """Boxes of several operations, grouped without cycles between the boxes.

    Each box has a bit, and ``before`` holds for each box the bits of all boxes that it depends on.
    An operation may join a box if none of its other inputs depends on this box.
    """

    def __init__(self, outputs: Sequence[Node], values: bool, max_steps: int | None):
        super().__init__(outputs, values, max_steps)
        self.groups: dict[Hashable, list[Box]] = defaultdict(list)
        self.bit: dict[Box, int] = {}
        self.before: dict[Box, int] = {}
        self.is_used: set[Box] = set()
        self.alike: Counter[Hashable] = Counter()
        self.loop_of: dict[Box, Loop] = {}

    def group(self, node: Node, key: Hashable, make: Callable[[], Box]) -> Box:
        """The first box with this key that the node may join, or a new one.

        Two loops (two calls of a layer) do not share a box.
        """
        place = self.places[node]
        loop = place[0].loop if place else None
        parents = {self.box_of[p] for p in self.feeding(node)}
        for box in self.groups[key]:
            if loop is not None and self.loop_of.setdefault(box, loop) is not loop:
                continue
            others = self.needed(parents - {box})
            if not others & self.bit[box]:
                self.depend(box, others, parents)
                return box
        box = make()
        if loop is not None:
            self.loop_of[box] = loop
        self.groups[key].append(box)
        same = key if box.kind == "step" else box.title
        self.alike[same] += 1
        if self.alike[same] > 1:
            box.title += f" ({self.alike[same]})"
        self.boxes[box] = box
        self.register(box, self.needed(parents), parents)
        return box

    def alone(self, node: Node) -> Box:
        """A box for this operation only."""
        parents = {self.box_of[p] for p in self.feeding(node)}
        box = self.operation(node)
        self.register(box, self.needed(parents), parents)
        return box

    def gap(self, node: Node) -> Box | None:
        box = super().gap(node)
        if box is not None:
            parents = {self.box_of[p] for p in self.feeding(node)} - {box}
            if box in self.bit:
                self.depend(box, self.needed(parents), parents)
            else:
                self.register(box, self.needed(parents), parents)
        return box

    def feeding(self, node: Node) -> list[Node]:
        """The inputs of an operation that decide on the order of boxes."""
        return [p for p in node.parents if isinstance(p, Node) and not p.is_leaf]

    def needed(self, parents: Iterable[Box]) -> int:
        """The bits of some boxes, and of all boxes that they depend on."""
        bits = 0
        for parent in parents:
            bits |= self.before[parent] | self.bit[parent]
        return bits

    def register(self, box: Box, needed: int, parents: set[Box]) -> None:
        """Give a new box its bit and its dependencies."""
        self.bit[box] = 1 << len(self.bit)
        self.before[box] = needed
        self.is_used |= parents

    def depend(self, box: Box, needed: int, parents: set[Box]) -> None:
        """Add dependencies to a box, and to all boxes that depend on it."""
        self.is_used |= parents - {box}
        if needed & ~self.before[box]:
            self.before[box] |= needed
            if box in self.is_used:
                for other, before in self.before.items():
                    if before & self.bit[box]:
                        self.before[other] |= needed

    def module(self, node: Node) -> Box:
        """A box for all operations of this node's module."""
        scope = node.scope
        title = labels.name(".".join(scope.path)) + backward(scope.sweep)
        return self.group(node, (scope.path, scope.sweep), lambda: Box("module", title))


class _ByStep(_Grouping):
    """A box for every time step. Outside the loops a box for every module, or operation."""

    def __init__(self, outputs: Sequence[Node], values: bool, max_steps: int | None):
        super().__init__(outputs, values, max_steps)
        if not self.loops:
            raise ValueError(
                "draw: detail='cell' needs time steps, and this graph has none; loop with "
                "`for t, x_t in tg.steps(xs)`, or pass unroll=True to the layer"
            )
        self.outer = {time_step for place in self.places.values() for time_step in place[:-1]}
        self.rank: dict[Node, int] = {}  # its number among the operations of its time step
        self.members: dict[Place, list[Node]] = defaultdict(list)

    def box(self, node: Node) -> Box:
        place = self.places[node]
        if node in self.ends or (not place and not node.scope.path):
            return self.alone(node)
        if not place:
            return self.module(node)
        self.rank[node] = len(self.members[place])
        self.members[place].append(node)
        # A step with loops inside is a cluster, and its own operations are a box in it.
        around = place if place[-1] in self.outer else place[:-1]
        title = labels.name(place[-1].title)
        box = self.group(node, place, lambda: Box("step", title, place=around))
        inside = ".".join(self.modules(node))
        if inside and inside not in box.lines:
            box.lines.append(inside)
        return box

    def add_source(self, source: _Source, users: list[Box]) -> Box:
        """Put the inputs of a single step beside it, and the first state before it."""
        box = super().add_source(source, users)
        alone = len(users) == 1 and users[0].kind == "step"
        if alone and not any(self.state_follows(node, i) for node, i in source.inputs):
            box.beside = users[0]
        return box

    def state_follows(self, node: Node, i: int) -> bool:
        """Whether the next step has a state where this one has input i of the node."""
        place = self.places[node]
        later = place[-1].loop.time_steps
        n = later.index(place[-1]) + 1
        if n == len(later):
            return False
        members = self.members.get((*place[:-1], later[n]), [])
        rank = self.rank[node]
        if rank >= len(members) or i >= len(members[rank].parents):
            return False
        parent = members[rank].parents[i]
        return parent in self.places and crosses(self.places[parent], self.places[members[rank]])

    def finish(self) -> None:
        self.name_edges({"step", "module", "gap"})
        routing.route(self.boxes, self.edges, self.places, self.loops, self.gaps)


class _ByModule(_Grouping):
    """A box for every module, with all its time steps.

    A state that a module keeps for its own next step would be a cycle, so it is shown beside it.
    """

    def __init__(self, outputs: Sequence[Node], values: bool, max_steps: int | None):
        super().__init__(outputs, values, max_steps=None)
        self.folded: dict[Hashable, tuple[Box, list[str]]] = {}
        self.counts: dict[Box, dict[Loop, None]] = defaultdict(dict)

    def feeding(self, node: Node) -> list[Node]:
        return [p for p in super().feeding(node) if self.kind_between(p, node) == "data"]

    def box(self, node: Node) -> Box:
        place = self.places[node]
        if node in self.ends or not (place or node.scope.path):
            return self.alone(node)
        if node.scope.path:
            box = self.module(node)
        else:
            loop = place[-1].loop
            title = (loop.name or "loop") + backward(loop.sweep)
            box = self.group(node, loop, lambda: Box("module", title))
        if place:
            self.counts[box][place[-1].loop] = None
        return box

    def connect(self, parent: Node, node: Node, i: int) -> None:
        if self.kind_between(parent, node) == "data":
            super().connect(parent, node, i)
            return
        tail, head = self.box_of[parent], self.box_of[node]
        key = (tail, head, "next")
        if key not in self.edges:
            whose = "its next step" if tail is head else f"the next step of {head.title}"
            stub = self.boxes[key] = Box("next", f"to {whose}", beside=tail)
            self.edges[key] = Edge(tail, stub, "state")
        self.edges[key].inputs.append((node, i))

    def add_source(self, source: _Source, users: list[Box]) -> Box:
        """List a weight in the box that uses it, if it is the only one; join the steps' inputs."""
        if len(users) != 1 or users[0].kind != "module":
            return super().add_source(source, users)
        shape = labels.shape(source.array, self.dtype)
        anew = bool(common([self.places[node] for node, _ in source.inputs]))
        if source.kind == "weight" and not anew:
            users[0].lines.append(f"{labels.name(source.name)} {shape}".strip())
            return users[0]
        key = (users[0], source.kind, anew, shape)
        if key not in self.folded:
            box = super().add_source(source, users)
            self.folded[key] = (box, [source.name])
            return box
        box, names = self.folded[key]
        names.append(source.name)
        if source.node is not None:
            box.nodes.append(source.node)
        self.feed(box, source.inputs)
        between = ", " if len(names) == 2 else " … "
        named = names[0] and names[-1]
        first, last = labels.name(names[0]), labels.name(names[-1])
        box.title = f"{first}{between}{last}" if named else f"{len(names)} × {shape}"
        box.lines = [shape] if named else []
        return box

    def finish(self) -> None:
        self.name_edges({"module"})
        for box, loops in self.counts.items():
            box.lines.insert(0, labels.steps(len(loop.time_steps) for loop in loops))
        for edge in self.edges.values():
            if edge.head.kind == "next":
                edge.head.lines.append(edge.head.title)
                edge.head.title, edge.lines = edge.lines[0] if edge.lines else "state", []


details: dict[str, type[_Builder]] = {"op": _ByOperation, "cell": _ByStep, "layer": _ByModule}


def _gaps(loops: list[Loop], max_steps: int | None) -> dict[TimeStep, Box]:
    """The box that replaces each omitted time step."""
    gaps: dict[TimeStep, Box] = {}
    if max_steps is None:
        return gaps
    last = max_steps // 2
    for loop in loops:
        left_out = loop.time_steps[max_steps - last : len(loop.time_steps) - last]
        if left_out:
            box = Box("gap", labels.left_out(left_out[0].t, left_out[-1].t, len(left_out)))
            gaps.update((time_step, box) for time_step in left_out)
    return gaps
