"""What a picture of a graph is made of: boxes, the clusters they lie in, and edges between them.

Nothing here knows about graphs of tensors (``boxes`` does), nor about Graphviz (``dot`` does).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from ..bptt.time_steps import Place, TimeStep
from ..graph import Node

#: The kinds of boxes that stand for one operation.
single = frozenset({"operation", "state", "output"})


@dataclass(eq=False, slots=True)
class Box:
    """One box, and the nodes of the graph that it stands for.

    Attributes:
        kind: one of ``style.BOXES``.
        title, lines: what is written in it.
        place: the time steps of the loops that it lies in.
        path: the modules that it lies in, inside the innermost time step.
        beside: the box that it shares a column with, if it belongs to one.
    """

    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    place: Place = ()
    path: tuple[str, ...] = ()
    beside: Box | None = None
    nodes: list[Node] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Edge:
    """One arrow, and the edges of the graph that it stands for.

    Attributes:
        kind: one of ``style.EDGES``.
        inputs: each as (node, which of its inputs).
        lines: what is written on it.
        carries: of a part of a rail, the edges that it leads to: their gradients flow along it.
        norm: of the gradient that flowed back along it; None where that is not shown.
    """

    tail: Box
    head: Box
    kind: str
    inputs: list[tuple[Node, int]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    carries: list[Edge] = field(default_factory=list)
    norm: float | None = None


@dataclass(eq=False, slots=True)
class Cluster:
    """A frame with a title around boxes and other frames; ``style.CLUSTERS`` has the kinds."""

    kind: str
    title: str
    parts: list[Box | Cluster] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Range:
    """The range of the norms on a graph's edges, to be shown logarithmically.

    Attributes:
        low, high: from the smallest norm above 0 to the largest; at least a decade, so that
            nearly equal norms look alike, and at most twenty, so that the rest can be told apart.
        zero: whether some norm is exactly 0; only such an edge is grey.
        broken: whether some norm is NaN or infinite.
    """

    low: float
    high: float
    zero: bool
    broken: bool

    @classmethod
    def over(cls, norms: Iterable[float]) -> Range:
        norms = list(norms)
        shown = [norm for norm in norms if norm > 0 and math.isfinite(norm)]
        high = max(shown, default=1.0)
        low = min(max(min(shown, default=high), high * 1e-20), high / 10)
        low = max(low, 5e-324)  # norms so small that a tenth of them is 0
        high = max(high, 10 * low)
        return cls(low, high, any(n == 0 for n in norms), any(not math.isfinite(n) for n in norms))

    def fraction(self, norm: float) -> float:
        """Where in the range a finite norm above 0 stands: 0 at its low end, 1 at its high end."""
        at = math.log(norm / self.low) / math.log(self.high / self.low)
        return min(max(at, 0.0), 1.0)

    def marks(self) -> list[float]:
        """Some norms for a legend, the largest first, in equal steps of their logarithms."""
        return [self.high * (self.low / self.high) ** (i / 4) for i in range(5)]


@dataclass(eq=False, slots=True)
class Picture:
    """All there is to see.

    Attributes:
        root: everything, in its clusters.
        edges: between the boxes.
        norms: the range of those that edges carry, if they do.
        downwards: whether it runs from the top to the bottom, not from left to right.
    """

    root: Cluster
    edges: list[Edge]
    norms: Range | None = None
    downwards: bool = False


def arranged(boxes: Iterable[Box]) -> Cluster:
    """The boxes in a cluster for each time step of a loop, and in it one for each module.

    A module that goes on behind a loop has a second cluster there, not one around all of it.
    """
    root = Cluster("root", "")
    clusters: dict[Hashable, Cluster] = {(): root}
    steps: Counter[Hashable] = Counter()  # in each cluster so far
    for box in boxes:
        cluster = root
        key: Hashable = ()
        path: tuple[TimeStep | str, ...] = (*box.place, *box.path)
        for part in path:
            around, key = key, (key, part, steps[key] if isinstance(part, str) else 0)
            if key not in clusters:
                if isinstance(part, str):
                    inner = Cluster("module", part)
                else:
                    inner = Cluster("step", part.title)
                    steps[around] += 1
                cluster.parts.append(inner)
                clusters[key] = inner
            cluster = clusters[key]
        cluster.parts.append(box)
    _unwrap(root)
    return root


def _unwrap(cluster: Cluster) -> None:
    """Take away frames around single boxes: a module of one operation is a line in its box."""
    for i, part in enumerate(cluster.parts):
        if isinstance(part, Cluster):
            _unwrap(part)
            match part:
                case Cluster("module", title, [Box() as only]):
                    only.lines.append(title)
                    cluster.parts[i] = only


def boxes_in(cluster: Cluster) -> list[Box]:
    """All boxes of a cluster, those of the clusters in it included."""
    found: list[Box] = []
    for part in cluster.parts:
        if isinstance(part, Box):
            found.append(part)
        else:
            found += boxes_in(part)
    return found
