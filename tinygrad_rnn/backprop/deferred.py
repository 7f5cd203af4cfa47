"""Weight gradients that are put off until one product computes them for all time steps.

``y_t = x_t W'`` in each of T steps has ``dL/dW = sum_t g_t' x_t``: T small products, each added to
a whole matrix. The same sum is one large product of stacked rows, ``[g_1; ...; g_T]' [x_1; ...;
x_T]``, and the weight's own rule computes it. The sweep puts a weight's contributions off, and
settles them when it reaches the weight.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Node, Rule
from .cotangents import Cotangents, fitted


class Deferred(NamedTuple):
    """A contribution to a weight's cotangent, not computed yet: ``rule(g, None, x, *others)``."""

    rule: Rule
    g: ndarray
    x: ndarray
    others: tuple[Any, ...]


class DeferredWeights:
    """What one sweep has put off: for each weight its contributions, and whose they are."""

    def __init__(self) -> None:
        self.waiting: dict[Node, list[tuple[Deferred, int, Node]]] = {}
        self._stacked: list[tuple[list[ndarray], ndarray]] = []

    def defer_weights(self, node: Node, g: ndarray, cotangents: Cotangents) -> bool:
        """Put off all contributions of a ``rowwise`` node but the first; False if it cannot be."""
        x, *others = node.arrays
        if others[0].ndim != 2 or x.ndim == 0:
            return False
        assert node.primitive is not None
        rules = node.primitive.vjps
        needed = cotangents.needed
        for i, parent in enumerate(node.parents):
            if i > 0 and type(parent) is Node and (needed is None or parent in needed):
                self.defer(parent, Deferred(rules[i], g, x, tuple(others)), i, node)
        return True

    def defer(self, parent: Node, deferred: Deferred, index: int, node: Node) -> None:
        """Put off what ``node`` contributes to its input ``index``."""
        self.waiting.setdefault(parent, []).append((deferred, index, node))

    def settle(self, parent: Node, cotangents: Cotangents) -> None:
        """Compute what was put off for a weight, and add it to its cotangent."""
        groups: dict[Any, list[tuple[Deferred, int, Node]]] = {}
        for entry in self.waiting.pop(parent):  # a bias may be shared by products of other widths
            rule, x = entry[0].rule, entry[0].x
            groups.setdefault((rule, x.shape[-1]), []).append(entry)
        for (rule, _), alike in groups.items():
            deferred, index, node = alike[0]
            g = self._rows([deferred.g for deferred, _, _ in alike])
            x = self._rows([deferred.x for deferred, _, _ in alike])
            contribution = rule(g, None, x, *deferred.others)
            weight = node.arrays[index]
            if contribution.shape != weight.shape or contribution.dtype != weight.dtype:
                contribution = fitted(contribution, index, node)
            if parent in cotangents:
                cotangents.add(parent, contribution)
            else:
                cotangents[parent] = contribution

    def _rows(self, arrays: list[ndarray]) -> ndarray:
        """The rows of all arrays (..., n) as one matrix; two weights may want the same."""
        for known, rows in self._stacked:
            if len(known) == len(arrays) and all(map(operator.is_, known, arrays)):
                return rows
        flat = [array.reshape(math.prod(array.shape[:-1]), array.shape[-1]) for array in arrays]
        rows = flat[0] if len(flat) == 1 else np.concatenate(flat)
        self._stacked.append((arrays, rows))
        return rows
