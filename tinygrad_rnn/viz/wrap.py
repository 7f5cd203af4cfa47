"""Break a long picture into lines, like a text.

The time steps that fit into the width are one line; the next line starts below. An edge from one
line to another ends at a mark with its name, and goes on at a mark with the same name.
"""

from __future__ import annotations

from collections import defaultdict

from .picture import Box, Cluster, Edge, Picture, boxes_in
from .svg import width_of

_POINTS = 0.75  # one pixel in Graphviz's points
_APART = 21.6  # the distance between two columns of boxes


def wrapped(picture: Picture, fit: float) -> Picture:
    """The picture in lines of about this width, in pixels.

    Raises:
        ValueError: the width is below 300 pixels.
    """
    if not fit >= 300:
        raise ValueError(f"draw: expected fit of at least 300 pixels, got {fit}")
    steps = _columns(picture)
    each = max(steps, default=0) + 1  # steps in one line
    broken = picture
    while steps:
        width = max(map(_width, _lines(broken)))
        if width <= fit * _POINTS or each == 1:
            break
        each = max(1, min(each - 1, int(each * fit * _POINTS / width)))
        broken = _Wrapper(
            picture, {b: n // each for n, boxes in steps.items() for b in boxes}
        ).picture()
    return broken


def _lines(picture: Picture) -> list[tuple[list[Box], list[Edge]]]:
    """The boxes and the edges of each line."""
    frames = [p for p in picture.root.parts if isinstance(p, Cluster) and p.kind == "line"]
    lines = []
    for frame in frames or [picture.root]:
        boxes = boxes_in(frame)
        among = set(boxes)
        lines.append((boxes, [e for e in picture.edges if e.tail in among and e.head in among]))
    return lines


def _columns(picture: Picture) -> dict[int, list[Box]]:
    """The boxes of every time step: first the loops, then their backward passes."""
    by_sweep: dict[tuple[int, int], dict[int, list[Box]]] = defaultdict(lambda: defaultdict(list))
    for box in boxes_in(picture.root):
        key = _step_of(box)
        if key is not None:
            by_sweep[key[0]][key[1]].append(box)
    columns: dict[int, list[Box]] = defaultdict(list)
    offset = 0
    for (sweep, _), steps in sorted(by_sweep.items(), key=lambda pair: pair[0]):
        order = sorted(steps, reverse=bool(sweep % 2))
        for n, t in enumerate(order):
            columns[offset + n] += steps[t]
        offset += len(order)
    return columns


def _step_of(box: Box) -> tuple[tuple[int, int], int] | None:
    """The sweep and the time step of a box; None if it belongs to none."""
    if box.place:
        return (box.place[0].loop.sweep, 0), box.place[0].t
    if box.kind == "step" and box.nodes and box.nodes[0].scope.steps:
        scope = box.nodes[0].scope
        return (scope.sweep, 0), scope.steps[0][1]
    return None


def _width(line: tuple[list[Box], list[Edge]]) -> float:
    """An estimate of the width of a line in Graphviz: each column is as wide as its widest box."""
    boxes, edges = line
    following: dict[Box, list[Edge]] = defaultdict(list)
    waiting: dict[Box, int] = dict.fromkeys(boxes, 0)
    for edge in edges:
        if edge.tail is not edge.head and edge.tail.beside is not edge.head:
            following[edge.tail].append(edge)
            waiting[edge.head] += 1
    rank = dict.fromkeys(boxes, 0)
    columns: dict[int, float] = defaultdict(float)
    ready = [box for box in boxes if not waiting[box]]
    for box in ready:
        columns[rank[box]] = max(columns[rank[box]], _box_width(box))
        for edge in following[box]:
            step = 0 if edge.kind == "before" else 1
            if edge.lines:
                words = max(width_of(text, 9) for text in edge.lines) + 8.6
                columns[rank[box] + 1] = max(columns[rank[box] + 1], words)
                step = 2
            rank[edge.head] = max(rank[edge.head], rank[box] + step)
            waiting[edge.head] -= 1
            if not waiting[edge.head]:
                ready.append(edge.head)
    return sum(columns.values()) + _APART * len(columns)


def _box_width(box: Box) -> float:
    if box.kind.endswith("tap") or box.kind == "post":
        return 3.0
    margin = 23.0 if box.kind in ("step", "module") else 10.0
    return max(width_of(text, 10) for text in (box.title, *box.lines)) + margin


class _Wrapper:
    def __init__(self, whole: Picture, line_of: dict[Box, int]):
        self.whole, self.line_of = whole, line_of
        self.fixed = set(line_of)  # the boxes of time steps
        self._find_others()
        self.marks: dict[tuple[Box, int, str], Box] = {}
        self.edges: list[Edge] = []

    def _find_others(self) -> None:
        """Place the boxes of no time step in the line that first uses them, or computes them."""
        lines, edges = self.line_of, self.whole.edges
        users: dict[Box, list[Box]] = defaultdict(list)
        for edge in edges:
            users[edge.tail].append(edge.head)
        taps = [box for box in boxes_in(self.whole.root) if box.kind.endswith("tap")]
        self.fixed |= set(taps)
        for tap in taps:
            feeds = [edge.tail for edge in edges if edge.head is tap and edge.kind == "branch"]
            known = [lines[box] for box in (*users[tap], *feeds) if box in lines]
            lines.setdefault(tap, min(known, default=0))
        changed = True
        while changed:
            changed = False
            for edge in edges:
                if edge.tail not in lines or edge.head in self.fixed:
                    continue
                if lines.get(edge.head, -1) < lines[edge.tail]:
                    lines[edge.head] = lines[edge.tail]
                    changed = True
        for box in boxes_in(self.whole.root):
            if box not in lines:
                lines[box] = min((lines[user] for user in users[box] if user in lines), default=0)

    def picture(self) -> Picture:
        for edge in self.whole.edges:
            self._add(edge)
        for box in self.line_of:  # Graphviz 2.43 fails to draw some edges within a column
            box.beside = None
        count = max(self.line_of.values()) + 1
        frames = [Cluster("line", "") for _ in range(count)]
        for part in self.whole.root.parts:
            boxes = [part] if isinstance(part, Box) else boxes_in(part)
            lines = [self.line_of[box] for box in boxes if box in self.line_of]
            frames[min(lines, default=0)].parts.append(part)
        for mark, line in [(mark, key[1]) for key, mark in self.marks.items()]:
            frames[line].parts.append(mark)
        # Graphviz stacks unconnected parts from bottom to top.
        root = Cluster("root", "", list(frames[::-1]))
        return Picture(root, self.edges, self.whole.norms, self.whole.downwards)

    def _add(self, edge: Edge) -> None:
        tail, head = self.line_of[edge.tail], self.line_of[edge.head]
        if tail == head:
            self.edges.append(edge)
            return
        if edge.kind in ("before", "after"):
            return
        words = edge.lines[0] if edge.lines else self._name(edge)
        out = self._mark(edge, tail, f"{words} →", "out")
        into = self._mark(edge, head, f"→ {words}", "in")
        if not any(e.tail is edge.tail and e.head is out for e in self.edges):
            self.edges.append(Edge(edge.tail, out, edge.kind, norm=edge.norm))
        self.edges.append(Edge(into, edge.head, edge.kind, edge.inputs, norm=edge.norm))

    def _mark(self, edge: Edge, line: int, words: str, way: str) -> Box:
        key = (edge.tail, line, way)
        if key not in self.marks:
            self.marks[key] = Box("on", words)
        return self.marks[key]

    def _name(self, edge: Edge) -> str:
        """The name of the value on an edge; for a rail, of the value at its start."""
        box, seen = edge.tail, {edge.tail}
        while box.kind.endswith("tap"):
            before = [e.tail for e in self.whole.edges if e.head is box and e.tail not in seen]
            if not before:
                break
            box = before[0]
            seen.add(box)
        return box.title
