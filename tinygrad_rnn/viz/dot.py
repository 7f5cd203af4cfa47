"""From a picture to DOT text, the language of Graphviz.

The text depends on the picture alone: boxes get numbers in the order of the text, so two runs of
one program give the same text. The label of an edge is a node in its middle, so that Graphviz
leads other edges around it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from . import labels, style
from .picture import Box, Cluster, Edge, Picture, Range, boxes_in, single
from .render import Drawing
from .svg import checked_theme, figure


def to_dot(picture: Picture, theme: str = "light") -> Drawing:
    """The picture as a ``graphviz.Digraph``."""
    writer = _Writer(picture, checked_theme(theme) == "dark")
    graph = {**style.GRAPH, **_effort(boxes_in(picture.root))}
    if picture.downwards:
        graph["rankdir"] = "TB"
    looks = (writer.look(look) for look in (graph, style.NODE, style.EDGE))
    graph_attr, node_attr, edge_attr = looks
    drawing = Drawing(
        graph_attr=graph_attr, node_attr=node_attr, edge_attr=edge_attr, body=list(writer.lines())
    )
    drawing.theme = theme
    return drawing


def _effort(boxes: Collection[Box]) -> Mapping[str, str]:
    """A limit on Graphviz's search for the best layout, in passes over the boxes.

    For a bidirectional GRU of 32 steps it searched for 17 s, and the result looked no better than
    the layout after half a second.
    """
    if sum(box.kind in single for box in boxes) <= 200 and len(boxes) <= 1500:
        return {}
    return {"nslimit": f"{min(0.3, 450 / len(boxes)):.2g}"}


class _Writer:
    def __init__(self, picture: Picture, dark: bool):
        self.picture, self.dark = picture, dark
        self.ids: dict[Box, str] = {}
        self.numbers = itertools.count()
        self.words = itertools.count()

    def lines(self) -> Iterator[str]:
        yield from self.parts(self.picture.root, "\t")
        yield from (self.beside(box) for box in self.ids if box.beside is not None)
        for edge in self.picture.edges:
            yield from self.edge(edge)
        if self.picture.norms is not None:
            yield from self.legend(self.picture.norms)

    def look(self, attributes: Mapping[str, str]) -> dict[str, str]:
        """The attributes with the colours of the theme."""
        if not self.dark:
            return dict(attributes)
        return {key: style.DARKER.get(value, value) for key, value in attributes.items()}

    def parts(self, cluster: Cluster, indent: str) -> Iterator[str]:
        """Write the boxes and clusters in a cluster, and number the boxes."""
        for part in cluster.parts:
            if isinstance(part, Box):
                self.ids[part] = f"n{len(self.ids)}"
                text = {"label": label([part.title, *part.lines], left=part.kind == "listing")}
                look = self.look(style.BOXES[part.kind])
                yield f"{indent}{self.ids[part]}{_attributes({**text, **look})}\n"
            else:
                yield f"{indent}subgraph cluster_{next(self.numbers)} {{\n"
                look = self.look(style.CLUSTERS[part.kind])
                yield f"{indent}\tgraph{_attributes({'label': label([part.title]), **look})}\n"
                yield from self.parts(part, indent + "\t")
                yield f"{indent}}}\n"

    def beside(self, box: Box) -> str:
        assert box.beside is not None
        return f"\t{{ rank=same; {self.ids[box.beside]}; {self.ids[box]} }}\n"

    def edge(self, edge: Edge) -> Iterator[str]:
        look = self.look(style.EDGES[edge.kind])
        norms = self.picture.norms
        if norms is not None and edge.norm is not None:
            look |= self.flow(edge.norm, norms) | {"tooltip": label([labels.norm(edge.norm)])}
        tail, head = self.ids[edge.tail], self.ids[edge.head]
        if edge.head.kind == "on":
            look["arrowhead"] = "none"
        if edge.tail.beside is edge.head:
            # In a column Graphviz puts the tail on top, but an input belongs below its operation.
            yield f"\t{head} -> {tail}{_attributes({**look, 'dir': 'back'})}\n"
        elif edge.lines and edge.tail is not edge.head:
            words = f"w{next(self.words)}"
            text = {"label": label(edge.lines), **self.look(style.BOXES["words"])}
            yield f"\t{words}{_attributes(text)}\n"
            yield f"\t{tail} -> {words}{_attributes({**look, 'arrowhead': 'none'})}\n"
            yield f"\t{words} -> {head}{_attributes(look)}\n"
        else:
            text = {"label": label(edge.lines)} if edge.lines else {}
            yield f"\t{tail} -> {head}{_attributes({**text, **look})}\n"

    # ── gradients ────────────────────────────────────────────────────────────────────────

    def flow(self, norm: float, norms: Range) -> dict[str, str]:
        if not math.isfinite(norm):
            return self.look(style.BROKEN)
        if norm == 0:
            return self.look(style.VANISHED)
        return style.gradient(round(norms.fraction(norm), 2), self.dark)

    def legend(self, norms: Range) -> Iterator[str]:
        """Write some norms, each above a line with its colour and width."""
        looks = {figure(norm): self.flow(norm, norms) for norm in norms.marks()}
        if norms.zero:
            looks["0"] = self.flow(0.0, norms)
        if norms.broken:
            looks["NaN or Inf"] = self.flow(math.nan, norms)
        title = label(["norm of the gradient"])
        frame = self.look(style.CLUSTERS["legend"])
        yield "\tsubgraph cluster_legend {\n"
        yield f"\t\tgraph{_attributes({'label': title, **frame})}\n"
        for i, (words, look) in enumerate(looks.items()):
            text = {"label": label([words])}
            yield f"\t\tl{i}{_attributes({**text, **style.BOXES['legend'], **look})}\n"
        yield "\t}\n"


# ── text ─────────────────────────────────────────────────────────────────────────────────

#: Characters that XML forbids, or that would break or reorder the text around them.
_unprintable = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_special = str.maketrans({"\\": "\\\\", '"': '\\"', "&": "&amp;"})


def label(lines: Iterable[str], left: bool = False) -> str:
    r"""A quoted label of these lines that shows every character unchanged.

    The lines are centred, or aligned left.

    A character that cannot be shown appears as in Python source: a newline as ``\n``.

    >>> print(label(['a "name"', "<b> & |{}"]))
    "a \"name\"\n<b> &amp; |{}"
    """
    shown = (_unprintable.sub(lambda found: repr(found[0])[1:-1], line) for line in lines)
    lines = [line.translate(_special) for line in shown]
    text = "".join(rf"{line}\l" for line in lines) if left else r"\n".join(lines)
    return f'"{text}"'


def _attributes(attributes: Mapping[str, str]) -> str:
    """`` [key="value" ...]``, or nothing."""
    if not attributes:
        return ""
    pairs = (
        f"{key}={value}" if key in ("label", "tooltip") else f'{key}="{value}"'
        for key, value in attributes.items()
    )
    return f" [{' '.join(pairs)}]"
