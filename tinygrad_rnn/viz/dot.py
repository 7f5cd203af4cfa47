"""From a picture to DOT text, the language of Graphviz.

The text depends on the picture alone: boxes are numbered as they are written, so that two runs
of one program give the same text.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from . import labels, style
from .picture import Box, Cluster, Edge, Picture, Scale, single
from .render import Drawing
from .svg import figure


def to_dot(picture: Picture) -> Drawing:
    """The picture as a ``graphviz.Digraph``."""
    ids: dict[Box, str] = {}
    lines = [
        *_parts(picture.root, ids, itertools.count(), "\t"),
        *(_beside(box, ids) for box in ids if box.beside is not None),
        *(_edge(edge, ids, picture.scale) for edge in picture.edges),
    ]
    if picture.scale is not None:
        lines += _legend(picture.scale)
    graph = {**style.GRAPH, **_effort(ids)}
    if picture.downwards:
        graph["rankdir"] = "TB"
    return Drawing(graph_attr=graph, node_attr=style.NODE, edge_attr=style.EDGE, body=lines)


def _effort(boxes: Collection[Box]) -> Mapping[str, str]:
    """How long Graphviz may look for the best places, in passes over the boxes.

    Of a bidirectional GRU of 32 steps it looked for 17 s, and found none that look better than
    what it had after half a second.
    """
    if sum(box.kind in single for box in boxes) <= 200 and len(boxes) <= 1500:
        return {}
    return {"nslimit": f"{min(0.3, 450 / len(boxes)):.2g}"}


def _parts(
    cluster: Cluster, ids: dict[Box, str], numbers: Iterator[int], indent: str
) -> Iterator[str]:
    """The boxes and clusters in a cluster, numbering the boxes on the way."""
    for part in cluster.parts:
        if isinstance(part, Box):
            ids[part] = f"n{len(ids)}"
            text = {"label": label([part.title, *part.lines], left=part.kind == "listing")}
            yield f"{indent}{ids[part]}{_attributes({**text, **style.BOXES[part.kind]})}\n"
        else:
            yield f"{indent}subgraph cluster_{next(numbers)} {{\n"
            look = {"label": label([part.title]), **style.CLUSTERS[part.kind]}
            yield f"{indent}\tgraph{_attributes(look)}\n"
            yield from _parts(part, ids, numbers, indent + "\t")
            yield f"{indent}}}\n"


def _beside(box: Box, ids: Mapping[Box, str]) -> str:
    assert box.beside is not None
    return f"\t{{ rank=same; {ids[box.beside]}; {ids[box]} }}\n"


def _edge(edge: Edge, ids: Mapping[Box, str], scale: Scale | None) -> str:
    look = style.EDGES[edge.kind]
    if edge.lines:
        # Below the words, which stand above the edge, room for half of its width.
        room = [" "] if edge.norm is not None else []
        look = {"label": label([*edge.lines, *room]), **look}
    if scale is not None and edge.norm is not None:
        look = {**look, **_flow(edge.norm, scale), "tooltip": label([labels.norm(edge.norm)])}
    tail, head = ids[edge.tail], ids[edge.head]
    if edge.tail.beside is edge.head:
        # In one column Graphviz draws the tail above; an input stands below what it goes into.
        return f"\t{head} -> {tail}{_attributes({**look, 'dir': 'back'})}\n"
    return f"\t{tail} -> {head}{_attributes(look)}\n"


# ── gradients ────────────────────────────────────────────────────────────────────────────


def _flow(norm: float, scale: Scale) -> Mapping[str, str]:
    if not math.isfinite(norm):
        return style.BROKEN
    return style.gradient(scale.fraction(norm)) if norm else style.VANISHED


def _legend(scale: Scale) -> Iterator[str]:
    """Some norms, each above a line in its look."""
    looks = {figure(norm): _flow(norm, scale) for norm in scale.marks()}
    if scale.vanished:
        looks["0"] = style.VANISHED
    if scale.broken:
        looks["NaN or Inf"] = style.BROKEN
    title = label(["norm of the gradient"])
    yield "\tsubgraph cluster_legend {\n"
    yield f"\t\tgraph{_attributes({'label': title, **style.CLUSTERS['legend']})}\n"
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
    r"""A quoted label of these lines that shows every character as it is.

    The lines are centred, or begin at the left.

    What cannot be shown stands there as in Python source: a newline inside a line as ``\n``.

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
