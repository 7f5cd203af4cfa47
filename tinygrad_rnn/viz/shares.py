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

from ..backprop import sweep
from ..graph import Node, leaf, record
from .gradients import together
from .rails import Rails

#: Operations that move elements and make none: run on labels, they move the labels.
_moves = frozenset(
    {"reshape", "transpose", "swapaxes", "moveaxis", "squeeze", "expand_dims", "broadcast_to"}
    | {"flip", "positive", "_getitem", "_concatenate", "_stack"}
)

#: Each element's first and last time step; of what depends on none, (never, -1).
_Span = tuple[ndarray, ndarray]
_never = np.iinfo(np.int32).max


def shares(
    rails: Rails, cotangents: dict[Node, Any], leaves: set[Node]
) -> Iterator[tuple[int | None, dict[Node, ndarray]]]:
    """The shares of dL/dW for some leaves W, step by step.

    Args:
        rails: the graph.
        cotangents: of all its nodes.
        leaves: the W.

    Yields:
        ``(t, share by leaf)``; t is None for what belongs to no step.
    """
    free, needed = _free(rails, leaves)
    spans = _Spans(rails)
    seeds: dict[int | None, dict[Node, Any]] = defaultdict(dict)
    for node in rails.nodes:
        if node in free or node not in cotangents:
            continue
        live = [i for i, parent in enumerate(node.parents) if parent in needed]
        if live:
            for t, part in spans.split(node, cotangents[node], live):
                for i, contribution in part.items():
                    _add(seeds[t], node.parents[i], contribution)
    for t in sorted(seeds, key=lambda t: -1 if t is None else t):
        found = seeds.pop(t)
        if not found.keys() <= leaves:
            found = sweep(found, leaves)
        yield t, found


def contribution(node: Node, g: Any, live: list[int]) -> dict[int, ndarray]:
    """What one operation contributes to the cotangents of some of its inputs, by their index."""
    sources = {i: leaf(node.arrays[i]) for i in live}
    parents = tuple([sources.get(i) for i in range(len(node.parents))])
    alone = record(node.primitive, parents, node.arrays, node.output, node.keywords, node.scope)
    found = sweep({alone: g}, set(sources.values()))
    return {i: found[source] for i, source in sources.items()}


def _add(held: dict[Node, Any], node: Any, contribution: ndarray) -> None:
    held[node] = held[node] + contribution if node in held else contribution


def _free(rails: Rails, leaves: set[Node]) -> tuple[set[Node], set[Any]]:
    """The nodes that depend on no step, and those among them that depend on a leaf."""
    free: set[Node] = set()
    needed: set[Any] = set()
    for node in rails.nodes:
        if node not in rails.turn and all(
            parent in free for parent in node.parents if isinstance(parent, Node)
        ):
            free.add(node)
            if node in leaves or not needed.isdisjoint(node.parents):
                needed.add(node)
    return free, needed


class _Spans:
    """From which time step every element behind the loops came, as far as that can be told."""

    def __init__(self, rails: Rails):
        self.rails = rails
        self.known: dict[Node, _Span | None] = {}

    def split(
        self, node: Node, g: ndarray, live: list[int]
    ) -> Iterator[tuple[int | None, dict[int, ndarray]]]:
        """What the node contributes to some of its inputs, step by step."""
        turn = self.rails.turn.get(node)
        if turn is not None:
            yield turn.t, contribution(node, g, live)
            return
        span = self.of(node)
        if span is None or (span[0] != span[1]).any():
            yield None, contribution(node, g, live)
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
                part = record(
                    node.primitive,
                    node.parents,
                    (x[mine], *others),
                    y[mine],
                    node.keywords,
                    node.scope,
                )
                yield t, contribution(part, g[mine], live)
            return
        for t in np.unique(steps).tolist():
            yield t, contribution(node, np.where(steps == t, g, np.zeros_like(g)), live)

    def of(self, node: Node) -> _Span | None:
        """The span of a node outside of the loops; None where that is not known."""
        waiting = [node]
        while waiting:
            here = waiting[-1]
            missing = [
                parent
                for parent in here.parents
                if isinstance(parent, Node)
                and parent not in self.known
                and parent not in self.rails.turn
            ]
            if missing:
                waiting += missing
            else:
                waiting.pop()
                self.known[here] = self._span(here)
        return self.known[node]

    def _span(self, node: Node) -> _Span | None:
        primitive = node.primitive
        if primitive is None:
            return _filled(node.output.shape, _never, -1)
        inputs = []
        for parent, x in zip(node.parents, node.arrays, strict=True):
            turn = self.rails.turn.get(parent) if isinstance(parent, Node) else None
            if turn is not None:
                inputs.append(_filled(np.shape(x), turn.t, turn.t))
            elif isinstance(parent, Node):
                span = self.known[parent]
                if span is None:
                    return None
                inputs.append(span)
            else:
                inputs.append(_filled(np.shape(x), _never, -1))
        if primitive.name in _moves:
            moved = [
                primitive.forward(*side, **node.keywords) for side in zip(*inputs, strict=True)
            ]
            return moved[0], moved[1]
        if primitive.elementwise:
            sides = [np.broadcast_arrays(*side) for side in zip(*inputs, strict=True)]
            return np.minimum.reduce(sides[0]), np.maximum.reduce(sides[1])
        rows = primitive.rowwise or (primitive.name == "matmul" and inputs[1][0].ndim == 2)
        if rows and inputs[0][0].ndim and all((last < 0).all() for _, last in inputs[1:]):
            first, last = inputs[0]
            shape = node.output.shape
            first = np.broadcast_to(first.min(-1, keepdims=True, initial=_never), shape)
            return first, np.broadcast_to(last.max(-1, keepdims=True, initial=-1), shape)
        return None


def _filled(shape: tuple[int, ...], first: int, last: int) -> _Span:
    return np.full(shape, first, np.int32), np.full(shape, last, np.int32)


class Summary:
    """The shares of one leaf, as they come: their norms, and what part of the whole each is.

    The part of a step is its share's projection on the whole gradient, <G_t, G> / <G, G>: the
    parts sum to 1, and one is negative where a step pulls the other way.
    """

    def __init__(self, total: ndarray, T: int):
        self.total = total.astype(np.float64)
        self.steps: set[int] = set()
        self.norms = np.zeros(T)
        self.parts = np.zeros(T)
        self.outside_norm = 0.0
        self.outside_part = 0.0
        self._square = float(np.vdot(self.total, self.total))
        self._sum = np.zeros(total.shape)
        self._size = 0.0

    def add(self, t: int | None, share: ndarray) -> None:
        norm = together([share])
        part = math.nan
        if self._square > 0:
            part = float(np.vdot(share.astype(np.float64), self.total)) / self._square
        if t is None:
            self.outside_norm, self.outside_part = norm, part
        else:
            self.steps.add(t)
            self.norms[t], self.parts[t] = norm, part
        self._sum += share
        self._size += float(np.abs(share).max(initial=0.0))

    def check(self, name: str, precision: np.dtype[Any]) -> None:
        """The shares have to sum to the whole, up to rounding.

        Raises:
            ValueError: they do not, because a rule is not linear in its cotangent.
        """
        tolerance = self._size * len(self.norms) ** 0.5 * 100 * float(np.finfo(precision).eps)
        with np.errstate(invalid="ignore"):
            wrong = np.abs(self._sum - self.total) > tolerance
        if math.isfinite(self._size) and wrong.any():
            raise ValueError(
                f"the shares of the time steps do not sum to dL/d{name}: some rule is not linear "
                "in its cotangent; tg.testing.check_op finds it"
            )
