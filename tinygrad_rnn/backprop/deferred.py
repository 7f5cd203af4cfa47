"""Weight gradients that are put off until one product computes them for all time steps.

``y_t = x_t W'`` in each of T steps has ``dL/dW = sum_t g_t' x_t``: T small products, each added to
a whole matrix. The same sum is one large product of stacked rows, ``[g_1; ...; g_T]' [x_1; ...;
x_T]``, and the weight's own rule computes it. The sweep puts a weight's contributions off, and
settles them when it reaches the weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Node, Rule
from .cotangents import Cotangents, contributions, fitted


class Deferred(NamedTuple):
    """A contribution to a weight's cotangent, not computed yet: ``rule(g, None, x, *others)``.

    Attributes:
        rule: of the operation, for the weight.
        g, x: the cotangent and the first argument, which differ between the uses of the weight.
        others: the other arguments, which are the same at every use.
        transposed: the node between the weight and its use, if the loop transposes the weight anew
            at every time step; else None.
    """

    rule: Rule
    g: ndarray
    x: ndarray
    others: tuple[Any, ...]
    transposed: Node | None = None


@dataclass(slots=True, eq=False)
class DeferredWeights:
    """What one sweep has put off.

    Attributes:
        waiting: for each weight its contributions, each with the input that it is for, and of
            which node.
    """

    waiting: dict[Node, list[tuple[Deferred, int, Node]]] = field(default_factory=dict)
    # By the ids of the arrays. It holds the arrays too, so that no id is used again.
    _stacked: dict[tuple[int, ...], tuple[list[ndarray], ndarray]] = field(default_factory=dict)

    def defer_weights(self, node: Node, g: ndarray, needed: set[Node] | None) -> bool:
        """Put off all contributions of a ``rowwise`` node but the first; False if it cannot be."""
        x, *others = node.arrays
        # Rows can be stacked if all meet the same matrix. In a stack of matrices (k, n, m) they do
        # not.
        if others[0].ndim != 2 or x.ndim == 0:
            return False
        assert node.primitive is not None
        rules = node.primitive.vjps
        for i, parent in enumerate(node.parents):
            if i > 0 and type(parent) is Node and (needed is None or parent in needed):
                self.defer(parent, Deferred(rules[i], g, x, tuple(others)), i, node)
        return True

    def defer(self, parent: Node, deferred: Deferred, index: int, node: Node) -> None:
        """Put off what ``node`` contributes to its input ``index``."""
        self.waiting.setdefault(parent, []).append((deferred, index, node))

    def settle(self, node: Node, cotangents: Cotangents, wanted: set[Node] | None) -> bool:
        """Compute what was put off for a node; True if all of it waits for another node now."""
        # If the node also has a cotangent of another kind, the sweep has to visit it anyway.
        if node not in cotangents and self._pass_on(node, wanted, cotangents.needed):
            return True
        self._compute(node, cotangents)
        return False

    def _pass_on(self, node: Node, wanted: set[Node] | None, needed: set[Node] | None) -> bool:
        """Let contributions that wait for a transpose wait for the weight itself; False if not."""
        primitive, parents = node.primitive, node.parents
        if primitive is None or primitive.add_into is not None or len(parents) != 1:
            return False
        # In ``h @ W.T`` the product reads a new node W.T at every step. An operation that only
        # moves elements is linear, so the sum over the steps can be taken at W instead.
        if not primitive.moves or primitive.linear != "all" or not primitive.is_view(node.keywords):
            return False
        (weight,) = parents
        if type(weight) is not Node or (needed is not None and weight not in needed):
            return False
        entries = self.waiting[node]
        # Somebody asked for the cotangent of the transpose itself; or it is the transpose of a
        # transpose: an entry remembers only one.
        if (wanted is not None and node in wanted) or any(d.transposed for d, _, _ in entries):
            return False
        for deferred, index, user in self.waiting.pop(node):
            self.defer(weight, deferred._replace(transposed=node), index, user)
        return True

    def _compute(self, parent: Node, cotangents: Cotangents) -> None:
        """Compute what was put off for a weight, and add it to its cotangent."""
        # Rows can be stacked if they have one width and one rule. (A bias may be shared by products
        # with inputs of different widths.) A transpose is made anew at every time step: these nodes
        # are alike if operation, arguments and array are the same.
        groups: dict[Any, list[tuple[Deferred, int, Node]]] = {}
        for entry in self.waiting.pop(parent):
            deferred, via = entry[0], entry[0].transposed
            view = via and (via.primitive, repr(via.keywords), id(via.arrays[0]))
            groups.setdefault((deferred.rule, deferred.x.shape[-1], view), []).append(entry)
        for alike in groups.values():
            deferred, index, node = alike[0]
            g = self._rows([deferred.g for deferred, _, _ in alike])
            x = self._rows([deferred.x for deferred, _, _ in alike])
            # The rule of a weight does not read the output, so the outputs need not be stacked.
            contribution = deferred.rule(g, None, x, *deferred.others)
            weight = node.arrays[index]
            if contribution.shape != weight.shape or contribution.dtype != weight.dtype:
                contribution = fitted(contribution, index, node)
            # From the cotangent of W.T to that of W, by the rule of the transpose.
            if deferred.transposed is not None:
                contribution = contributions(deferred.transposed, contribution, [0])[0]
            if parent in cotangents:
                cotangents.add(parent, contribution)
            else:
                cotangents[parent] = contribution

    def _rows(self, arrays: list[ndarray]) -> ndarray:
        """The rows of all arrays (..., n) as one matrix.

        The result is kept, because W and b of a linear layer ask for the same rows.
        """
        if len(arrays) == 1 and arrays[0].ndim == 2:
            return arrays[0]
        key = tuple(map(id, arrays))
        if key in self._stacked:
            return self._stacked[key][1]
        flat = [array.reshape(math.prod(array.shape[:-1]), array.shape[-1]) for array in arrays]
        rows = np.concatenate(flat)
        self._stacked[key] = arrays, rows
        return rows
