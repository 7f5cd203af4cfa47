"""The parts of a picture of a graph: boxes, clusters of boxes, and edges.

Nothing here depends on graphs of tensors (``boxes`` does) or on Graphviz (``dot`` does).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from ..bptt.steps import Place, TimeStep
from ..graph import Node

#: The kinds of boxes that stand for one operation.
single = frozenset({"operation", "state", "output"})


@dataclass(eq=False, slots=True)
class Box:
    """One box, and the nodes of the graph that it stands for.

    Attributes:
        kind: one of ``style.BOXES``.
        title, lines: its text.
        place: the time steps of the loops around it.
        path: the modules around it, inside the innermost time step.
        beside: a box in the same column, such as the step of an input; None if there is none.
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
        inputs: the edges of the graph, each as (node, number of its input).
        lines: its text.
        carries: for a part of a rail, the edges that it leads to. Their gradients flow along it.
        norm: the norm of the gradient that flowed back along it; None if it is not shown.
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
    """The range of the norms on a graph's edges, for a logarithmic scale.

    Attributes:
        low, high: the smallest norm above 0, and the largest. The range is at least one decade,
            so that nearly equal norms look alike, and at most twenty, so that others differ
            visibly.
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
        low = max(low, 5e-324)  # a tenth of a tiny norm rounds to 0
        high = max(high, 10 * low)
        return cls(low, high, any(n == 0 for n in norms), any(not math.isfinite(n) for n in norms))

    def fraction(self, norm: float) -> float:
        """The place of a finite norm above 0 in the range: 0 at the low end, 1 at the high end."""
        at = math.log(norm / self.low) / math.log(self.high / self.low)
        return min(max(at, 0.0), 1.0)

    def marks(self) -> list[float]:
        """Some norms for a legend, the largest first, evenly spaced on the logarithmic scale."""
        return [self.high * (self.low / self.high) ** (i / 4) for i in range(5)]


@dataclass(eq=False, slots=True)
class Picture:
    """A whole picture.

    Attributes:
        root: all boxes, in their clusters.
        edges: the edges between the boxes.
        norms: the range of the edges' norms, if they have norms.
        downwards: whether it runs from top to bottom instead of from left to right.
    """

    root: Cluster
    edges: list[Edge]
    norms: Range | None = None
    downwards: bool = False


def arranged(boxes: Iterable[Box]) -> Cluster:
    """Put the boxes into a cluster for each time step, and inside it a cluster for each module.

    A module that goes on after a loop gets a second cluster there, not one around the loop.
    """
    root = Cluster("root", "")
    clusters: dict[Hashable, Cluster] = {(): root}
    steps: Counter[Hashable] = Counter()  # the number of steps in each cluster so far
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
    """Remove frames around single boxes: a module of one operation becomes a line in its box."""
    for i, part in enumerate(cluster.parts):
        if isinstance(part, Cluster):
            _unwrap(part)
            match part:
                case Cluster("module", title, [Box() as only]):
                    only.lines.append(title)
                    cluster.parts[i] = only


def boxes_in(cluster: Cluster) -> list[Box]:
    """All boxes of a cluster, including those of the clusters inside it."""
    boxes: list[Box] = []
    for part in cluster.parts:
        if isinstance(part, Box):
            boxes.append(part)
        else:
            boxes += boxes_in(part)
    return boxes
