"""The share of every time step in the gradient of a weight.

Each path from the loss back to a weight has a last time step. After it, the path passes only
through operations that belong to no step, such as an embedding lookup for all steps at once. So
the cotangents that a step's operations send out of the step, carried on to the weight, are the
step's share. The shares of all steps sum to dL/dW.

An operation after the loop may work on all steps at once, such as ``linear(stack(hs), W)``. There
each row counts for the step that it came from.
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
        structure, columns: the structure of the graph, and its columns.
        cotangents: the cotangents of all its nodes.
        leaves: the weights W.

    Yields:
        ``(column, share by leaf)``; the column is None for the part that belongs to no step.
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
        by_leaf = seeds.pop(at)
        if not by_leaf.keys() <= leaves:
            by_leaf = sweep(by_leaf, leaves)
        yield at, by_leaf


def _split(
    spans: Spans, node: Node, g: ndarray, live: list[int]
) -> Iterator[tuple[int | None, dict[int, ndarray]]]:
    """The contribution of a node outside the loops to some of its inputs, step by step."""
    span = spans.of(node)
    if span is None or (span[0] != span[1]).any():
        yield None, contributions(node, g, live)
        return
    steps = span[0]
    if node.primitive is not None and node.primitive.rowwise and live[0] > 0:
        # Each row depends on one step alone, so run the rule only on the rows of the step.
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

    The part of a step is the projection of its share on the whole gradient, <G_t, G> / <G, G>. The
    parts sum to 1. A part is negative if the step pulls the other way.

    Attributes:
        name: a unique name among the weights.
        node: the weight's node.
        norm: |dL/dW|.
        steps: the columns in which the weight has a share.
        norms: (T,) the |G_t|.
        parts: (T,) the parts; NaN if dL/dW is 0 or not finite.
        outside: the part of G_outside, which belongs to no time step.
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
        """Add the share of a step, or (None) of no step."""
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
        """Check that the shares sum to the whole gradient, up to rounding.

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
