"""Which time steps the elements of an array came from, and so which loops wait for others.

Only graphs of several loops need this, and weights that are used after the loop on all steps at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Node
from ..ops import primitives
from .steps import Loop, Place, TimeStep, Use
from .structure import Structure

#: Each element's first and last time step; (NEVER, -1) if it depends on none.
Span = tuple[ndarray, ndarray]
NEVER = np.iinfo(np.int32).max

_astype = primitives.astype


class Spans:
    """The spans of the nodes outside the loops, as far as they can be determined.

    Args:
        structure: the structure of the graph.
        number: the number of the time step of an operation in a loop.
    """

    def __init__(self, structure: Structure, number: Callable[[Node], int]):
        self.structure, self.number = structure, number
        self.known: dict[Node, Span | None] = {}

    def of(self, node: Node) -> Span | None:
        """The first and the last time step of each element; None if they are not known.

        An operation inside a step that only moves elements from outside (``xs[t]``) keeps their
        spans.
        """
        waiting = [node]
        while waiting:
            here = waiting[-1]
            missing = [
                parent
                for parent in here.parents
                if isinstance(parent, Node) and parent not in self.known and self._outside(parent)
            ]
            if missing:
                waiting += missing
            else:
                waiting.pop()
                self.known[here] = self._span(here)
        return self.known[node]

    def _outside(self, node: Node) -> bool:
        return node not in self.structure.time_step or node in self.structure.reads

    def _span(self, node: Node) -> Span | None:
        primitive = node.primitive
        if primitive is None or node in self.structure.over:
            return _filled(node.output.shape, NEVER, -1)
        inputs = []
        for parent, x in zip(node.parents, node.arrays, strict=True):
            if not isinstance(parent, Node):
                inputs.append(_filled(np.shape(x), NEVER, -1))
            elif self._outside(parent):
                span = self.known[parent]
                if span is None:
                    return None
                inputs.append(span)
            else:
                step = self.number(parent)
                inputs.append(_filled(np.shape(x), step, step))
        if primitive.moves:
            moved = [
                primitive.forward(*side, **node.keywords) for side in zip(*inputs, strict=True)
            ]
            return moved[0], moved[1]
        if primitive is _astype:
            return inputs[0]
        if primitive.elementwise:
            sides = [np.broadcast_arrays(*side) for side in zip(*inputs, strict=True)]
            return np.minimum.reduce(sides[0]), np.maximum.reduce(sides[1])
        rows = primitive.rowwise and inputs[1][0].ndim == 2
        if rows and inputs[0][0].ndim and all((last < 0).all() for _, last in inputs[1:]):
            first, last = inputs[0]
            shape = node.output.shape
            first = np.broadcast_to(first.min(-1, keepdims=True, initial=NEVER), shape)
            return first, np.broadcast_to(last.max(-1, keepdims=True, initial=-1), shape)
        return None


def _filled(shape: tuple[int, ...], first: int, last: int) -> Span:
    return np.full(shape, first, np.int32), np.full(shape, last, np.int32)


# ── which loops use values of which others ───────────────────────────────────────────────


class Relations(NamedTuple):
    """The pairs (A, B) of loops where B uses values of A.

    B follows A if it uses values of other time steps, or starts from a state of A: then A has to
    end first.

    Attributes:
        together: the pairs where B uses values of the same time step.
        follows: the pairs where B follows A.
        other_steps: the uses in a loop of values that another loop computed at another time step.
    """

    together: set[tuple[Loop, Loop]]
    follows: set[tuple[Loop, Loop]]
    other_steps: set[Use]


def relations(
    structure: Structure, siblings: Sequence[Loop], nodes: Iterable[Node], depth: int
) -> Relations:
    """The relations between some loops.

    Args:
        structure: the structure of the graph.
        siblings: the loops: those within one time step of another loop, or the outermost ones.
        nodes: the nodes that may connect them, oldest first.
        depth: the number of loops around them.
    """
    among = set(siblings)

    def step_of(node: Node) -> TimeStep | None:
        place: Place = structure.place.get(node, ())
        time_step = place[depth] if len(place) > depth and node not in structure.reads else None
        return time_step if time_step is not None and time_step.loop in among else None

    spans = Spans(structure, lambda node: structure.place[node][depth].t)
    reach: dict[Node, set[Loop]] = {}
    together: set[tuple[Loop, Loop]] = set()
    follows: set[tuple[Loop, Loop]] = set()
    other_steps: set[Use] = set()
    for node in nodes:
        if node in structure.over and node not in structure.updates:
            continue
        time_step = step_of(node)
        for i, parent in enumerate(node.parents):
            if not isinstance(parent, Node):
                continue
            before = step_of(parent)
            sources = {before.loop} if before is not None else reach.get(parent, set())
            if time_step is None:
                if sources:
                    reach[node] = reach.get(node, set()) | sources
                continue
            sources = sources - {time_step.loop}
            if not sources:
                continue
            if (node, i) in structure.entries:
                same = False
            elif before is not None:
                same = before.t == time_step.t
            else:
                span = spans.of(parent)
                same = span is not None and _is_at(
                    time_step, span, structure.masks_at.get(time_step)
                )
            if not same and (node, i) not in structure.entries:
                other_steps.add((node, i))
            (together if same else follows).update((source, time_step.loop) for source in sources)
    return Relations(together, follows, other_steps)


def _is_at(time_step: TimeStep, span: Span, masks: list[ndarray] | None) -> bool:
    """Whether all elements come from this time step; sequences that have ended do not count."""
    wrong = (span[0] != time_step.t) | (span[1] != time_step.t)
    if masks and wrong.ndim and len(wrong) in (1, len(masks[0])):
        wrong = wrong[masks[0].reshape(len(masks[0]), -1)[:, 0]]
    return not wrong.any()
