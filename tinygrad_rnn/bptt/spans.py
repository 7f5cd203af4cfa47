"""Find the time step that every element of an array came from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from ..graph import Node
from ..ops import primitives
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
