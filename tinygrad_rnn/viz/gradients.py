"""The gradient that flowed along every edge of a picture.

An edge of the graph carries the contribution of one operation to the cotangent of one of its
inputs: the product of the operation's cotangent with its Jacobian. The cotangent of a node is the
sum over its edges. So we compute the cotangents in one sweep, and then run every operation's rules
once more, separately. No ``.grad`` changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from ..backprop import contributions, sweep
from ..bptt.loops import norm as together
from ..graph import Node, ancestors
from . import labels
from .picture import Box, Edge, Picture, Range, boxes_in

#: The gradient that flowed to each value of an edge.
_Total: TypeAlias = dict[Node, ndarray]


def measure(picture: Picture, outputs: Sequence[Node]) -> None:
    """Set the norm of every edge that carries a gradient, and write the norms into the labels.

    An edge for several values gets their joint norm. If several operations in one box contribute to
    one value, their contributions are added first, as backward does.
    """
    seeds = {node: np.ones_like(node.output) for node in outputs}
    cotangents = sweep(seeds, wanted=set(ancestors(outputs)))
    carriers = {use: edge for edge in picture.edges for use in edge.inputs}
    kept: dict[Edge, _Total] = {}  # the edges that join a rail
    for box in boxes_in(picture.root):
        flows = _measure_into(box, carriers, cotangents)
        kept.update((edge, total) for edge, total in flows if edge.kind == "branch")
        if box.nodes and box.kind not in ("step", "module", "gap"):
            box.lines.append(labels.norm(together(cotangents[node] for node in box.nodes)))
    _measure_rails(picture, kept)
    for edge in picture.edges:
        lines = edge.head.lines if edge.head.kind == "next" else edge.lines
        if lines and edge.norm is not None:
            lines.append(labels.norm(edge.norm))
    picture.norms = Range.over(edge.norm for edge in picture.edges if edge.norm is not None)


def _measure_into(
    box: Box, carriers: dict[tuple[Node, int], Edge], cotangents: dict[Node, Any]
) -> Iterable[tuple[Edge, _Total]]:
    """Measure the edges that lead into a box, and return the gradients along each."""
    sums: dict[Edge, _Total] = {}
    for node in box.nodes:
        live = [i for i, parent in enumerate(node.parents) if isinstance(parent, Node)]
        if not any((node, i) in carriers for i in live):
            continue
        for i, contribution in contributions(node, cotangents[node], live).items():
            edge, parent = carriers.get((node, i)), node.parents[i]
            if edge is not None and isinstance(parent, Node):
                _add(sums.setdefault(edge, {}), parent, contribution)
    for edge, total in sums.items():
        edge.norm = together(total.values())
    return sums.items()


def _measure_rails(picture: Picture, kept: dict[Edge, _Total]) -> None:
    """Measure the rails. In the list of edges, each part of a rail follows the edges it carries."""
    for edge in picture.edges:
        carried = [(part, kept.pop(part)) for part in edge.carries if part in kept]
        if not carried:
            continue
        (first, total), *others = carried
        norm = first.norm or 0.0
        for part, more in others:
            if total.keys().isdisjoint(more):
                total.update(more)
                norm = math.hypot(norm, part.norm or 0.0)
            else:
                for node, contribution in more.items():
                    _add(total, node, contribution)
                norm = together(total.values())
        edge.norm = norm
        kept[edge] = total


def _add(total: _Total, node: Node, contribution: ndarray) -> None:
    total[node] = total[node] + contribution if node in total else contribution
