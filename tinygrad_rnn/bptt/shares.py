"""What every time step contributes to the gradient of a weight.

Every path from the loss to a weight passes last through some time step, and from there on only
through what belongs to none: the weight itself, or a table of embeddings that was looked up for
all steps at once. So the cotangents that a step's operations send out of it, carried on to the
weight, are that step's share, and the shares of all steps sum to dL/dW.

What is computed behind the loop for all steps at once, as ``linear(stack(hs), W)``, is told apart
by where each of its rows came from.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from ..backprop import contributions, sweep
from ..graph import Node, record
from .columns import Columns
from .spans import Spans
from .structure import Structure
from .sums import add_to, norm


def shares(
    structure: Structure, columns: Columns, cotangents: dict[Node, Any], leaves: set[Node]
) -> Iterator[tuple[int | None, dict[Node, ndarray]]]:
    """The shares of dL/dW for some leaves W, step by step.

    Args:
        structure, columns: of the graph.
        cotangents: of all its nodes.
        leaves: the W.

    Yields:
        ``(column, share by leaf)``; None for what belongs to no step.
    """
    needed: set[Any] = set()
    for node in structure.nodes:
        if node in structure.free and (node in leaves or not needed.isdisjoint(node.parents)):
            needed.add(node)
    spans = Spans(structure, lambda node: columns.of[structure.time_step[node]])
    seeds: dict[int | None, dict[Node, Any]] = defaultdict(dict)
    for node in structure.nodes:
        if node in structure.free or node in structure.over or node not in cotangents:
            continue
        live = [i for i, parent in enumerate(node.parents) if parent in needed]
        if live:
            time_step = structure.time_step.get(node)
            if time_step is not None:
                at: int | None = columns.of[time_step]
                parts = [(at, contributions(node, cotangents[node], live))]
            else:
                parts = list(_split(spans, node, cotangents[node], live))
            for column, part in parts:
                for i, contribution in part.items():
                    add_to(seeds[column], node.parents[i], contribution)
    for at in sorted(seeds, key=lambda column: -1 if column is None else column):
        found = seeds.pop(at)
        if not found.keys() <= leaves:
            found = sweep(found, leaves)
        yield at, found


def _split(
    spans: Spans, node: Node, g: ndarray, live: list[int]
) -> Iterator[tuple[int | None, dict[int, ndarray]]]:
    """What a node outside of the loops contributes to some of its inputs, step by step."""
    span = spans.of(node)
    if span is None or (span[0] != span[1]).any():
        yield None, contributions(node, g, live)
        return
    steps = span[0]
    if node.primitive is not None and node.primitive.rowwise and live[0] > 0:
        # Each row by itself: no need to go through all of them for every step.
        x, *others = node.arrays
        rows = steps.reshape(-1, steps.shape[-1])[:, 0]
        x, y = x.reshape(-1, x.shape[-1]), node.output.reshape(len(rows), -1)
        g = g.reshape(len(rows), -1)
        for t in np.unique(rows).tolist():
            mine = rows == t
            arrays = (x[mine], *others)
            part = record(node.primitive, node.parents, arrays, y[mine], node.keywords, node.scope)
            yield t, contributions(part, g[mine], live)
        return
    for t in np.unique(steps).tolist():
        yield t, contributions(node, np.where(steps == t, g, np.zeros_like(g)), live)


class Shares:
    """Each time step's share of the gradient of a weight, ``dL/dW = sum_t G_t + G_outside``.

    The part of a step is its share's projection on the whole gradient, <G_t, G> / <G, G>: the
    parts sum to 1, and one is negative where a step pulls the other way.

    Attributes:
        name: tells the weight from the others.
        node: its place in the graph.
        norm: |dL/dW|.
        steps: the columns in which the weight has a part.
        norms: (T,) the |G_t|.
        parts: (T,) the parts; NaN where dL/dW is 0 or not finite.
        outside: the part of what belongs to no time step.
    """

    def __init__(self, name: str, node: Node, total: ndarray, T: int):
        self.name, self.node = name, node
        self.total = total.astype(np.float64)
        self.norm = norm([self.total])
        self.norms, self.parts = np.zeros(T), np.zeros(T)
        self.outside = 0.0
        self._found: set[int] = set()
        self._square = float(np.vdot(self.total, self.total))
        self._sum = np.zeros(total.shape)
        self._size = 0.0

    @property
    def steps(self) -> ndarray:
        return np.array(sorted(self._found), int)

    def add(self, column: int | None, share: ndarray) -> None:
        """Take in the share of a step, or (None) what belongs to none."""
        part = math.nan
        if 0 < self._square < math.inf:
            part = float(np.vdot(share.astype(np.float64), self.total)) / self._square
        if column is None:
            self.outside = part
        else:
            self._found.add(column)
            self.norms[column], self.parts[column] = norm([share]), part
        self._sum += share
        self._size += float(np.abs(share).max(initial=0.0))

    def check(self, precision: np.dtype[Any]) -> None:
        """The shares have to sum to the whole, up to rounding.

        Raises:
            ValueError: they do not, because a rule is not linear in its cotangent.
        """
        tolerance = self._size * len(self.norms) ** 0.5 * 100 * float(np.finfo(precision).eps)
        wrong = np.abs(self._sum - self.total) > tolerance
        if math.isfinite(self._size) and wrong.any():
            raise ValueError(
                f"the shares of the time steps do not sum to dL/d{self.name}: some rule is not "
                "linear in its cotangent; tg.testing.check_op finds it"
            )

    def __repr__(self) -> str:
        return f"<shares of dL/d{self.name}: {len(self.norms)} steps>"
