"""From the plan of a scan to a picture: the calls that run once or at every step, and the values.

Forward and backward each have three boxes: before the steps, at every step, and after the steps.
They list the same calls as ``print(plan)``. The edges carry the values.
"""

from __future__ import annotations

import itertools
from collections import Counter

from ..scan.listing import SECTIONS, Line, Listing, shown
from ..scan.plan import Plan
from .picture import Box, Cluster, Edge, Picture

_most_names = 4  # names on one edge; more are shortened


def build_plan(plan: Plan) -> Picture:
    """The picture of a plan."""
    builder = _Builder(plan)
    for direction, listing in plan.listings.items():
        builder.add(direction, listing)
    return builder.picture()


class _Builder:
    def __init__(self, plan: Plan):
        self.differentiated = plan.differentiated
        listings = plan.listings.values()
        shapes = [line.shape for listing in listings for line in listing]
        shapes += [shape for listing in listings for shape in listing.given.values()]
        self.dtype = Counter(_parted(shape)[0] for shape in shapes).most_common(1)[0][0]
        self.root = Cluster("root", "")
        self.edges: dict[tuple[Box, Box, str], Edge] = {}
        self.source: dict[str, Box] = {}  # the box that makes each value, by the value's name

    def picture(self) -> Picture:
        for edge in self.edges.values():
            names = edge.lines
            if len(names) > _most_names:
                edge.lines = [f"  {names[0]}, {names[1]}, … {names[-1]}", f"({len(names)} values)"]
            elif names:
                edge.lines = [f"  {', '.join(names)}"]  # the spaces keep the text clear of the edge
        return Picture(self.root, list(self.edges.values()), downwards=True)

    def add(self, direction: str, listing: Listing) -> None:
        """Add the boxes of one direction."""
        earlier = set(self.source)
        frame = Cluster("module", "")
        self.root.parts.append(frame)
        boxes = {
            section: Box("listing", f"{direction}, {words}:") for section, words in SECTIONS.items()
        }
        for line in listing:
            self.source[line.result] = boxes[line.section]
        self.source.update((old, boxes["step"]) for old, _ in listing.carried)
        numbers = {name for name, shape in listing.given.items() if _is_number(name, shape)}
        for name, shape in listing.given.items():
            if name not in self.source and name not in numbers:
                self.give(name, listing.own_names.get(name, name), shape)
        for section, box in boxes.items():
            lines = [line for line in listing if line.section == section]
            box.lines = self.written(lines)
            if section == "step":
                box.lines += [shown(f"next {old} = {new}") for old, new in listing.carried]
            if direction == "forward":
                names = [name for name in listing.stacked if self.source[name] is box]
                box.lines += [f"given out: {', '.join(names)}"] if names else []
            if box.lines:
                frame.parts.append(box)
            for name in dict.fromkeys(name for line in lines for name in line.operands):
                if name not in numbers:
                    self.edge(name, box, kept=name in earlier)
        for old, new in listing.carried:
            edge = Edge(self.find(new), boxes["step"], "state")
            self.edges.setdefault((edge.tail, edge.head, edge.kind), edge).lines.append(old)
        for before, after in itertools.pairwise(box for box in boxes.values() if box.lines):
            if (before, after, "data") not in self.edges:
                self.edges[before, after, "after"] = Edge(before, after, "after")  # invisible

    def give(self, name: str, own_name: str, shape: str) -> None:
        """Add a box for a value from outside."""
        box = Box("weight" if name in self.differentiated else "constant", own_name)
        box.lines.append(self.shape(shape))
        self.source[name] = box
        self.root.parts.append(box)

    def edge(self, name: str, head: Box, kept: bool) -> None:
        tail = self.find(name)
        if tail is not head:
            kind = tail.kind if tail.kind != "listing" else "kept" if kept else "data"
            edge = self.edges.setdefault((tail, head, kind), Edge(tail, head, kind))
            if tail.kind == "listing":
                edge.lines.append(name)

    def find(self, name: str) -> Box:
        return self.source.get(name) or self.source[f"sum of {name}"]

    # ── words ────────────────────────────────────────────────────────────────────────────

    def written(self, lines: list[Line]) -> list[str]:
        width = max((len(str(line)) for line in lines), default=0)
        return [f"{line!s:<{width}}  {self.shape(line.shape)}" for line in lines]

    def shape(self, text: str) -> str:
        """``(T, 2, 4)``, with the dtype if it is not the common one."""
        dtype, sizes = _parted(text)
        return sizes if dtype == self.dtype else f"{sizes} {dtype}"


def _parted(shape: str) -> tuple[str, str]:
    dtype, _, sizes = shape.partition(" ")
    return dtype, sizes


def _is_number(name: str, shape: str) -> bool:
    """Whether a value is a plain number, which is its own name."""
    try:
        float(name)
    except ValueError:
        return False
    return shape.endswith("()")
