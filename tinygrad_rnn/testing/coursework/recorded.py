"""A recorded reference whose backward can be run with a mistake in it, on purpose.

The reference is recorded once, step by step. Its operations are grouped into *sites*: a site is
one operation of one line, at every time step. A student's mistake in a line of the backward is a
change at one site, the same at all steps. :meth:`Recorded.gradients` runs the reverse sweep with
such a change, and returns the gradients that the student would get.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ...backprop import expanded
from ...graph import Node, Value, ancestors, attach, leaf, pick

#: Changes the gradient that an operation sends to one of its inputs:
#: (use, cotangent, right contribution) -> contribution.
Change = Callable[["Use", Any, Any], Any]


class Site(NamedTuple):
    """An operation of the reference, the same at every time step."""

    outside: bool  #: whether it belongs to no time step
    number: int  #: its number among the operations of its time step


class Use(NamedTuple):
    """An operation and one of its inputs."""

    node: Node
    input: int


class Recorded:
    """The reference, run on given arrays.

    Attributes:
        names: the names of the differentiable inputs.
        leaves: their nodes in the graph.
        outputs: the nodes of the outputs.
        nodes: every operation, oldest first.
        sites: the operations of each site, by time step.
        steps: the number of time steps; 1 if there are none.
    """

    def __init__(
        self,
        reference: Callable[..., Any],
        names: Sequence[str],
        arrays: Sequence[ndarray],
        differentiable: Sequence[bool],
    ):
        values = [
            attach(x, leaf(x, name) if live else None)
            for name, x, live in zip(names, arrays, differentiable, strict=True)
        ]
        for name, x in zip(names, values, strict=True):
            x._label = name if x.node is None else None
        result = reference(*values)
        outputs = [result] if isinstance(result, Value) else list(result)
        nodes = [y.node for y in outputs if y.node is not None]
        if len(nodes) < len(outputs):
            raise ValueError("check_bptt: an output of the reference depends on no input")
        self.outputs = expanded(nodes)
        self.leaves = [x.node for x in values if x.node is not None]
        self.names = [n for n, live in zip(names, differentiable, strict=True) if live]
        self.nodes = [node for node in reversed(ancestors(self.outputs)) if node.primitive]
        self.steps = 1 + max((step_of(n) for n in self.nodes if step_of(n) >= 0), default=0)
        self.sites, self.site = _sites(self.nodes)

    @property
    def values(self) -> list[ndarray]:
        """The outputs' arrays."""
        return [node.output for node in self.outputs]

    def gradients(
        self, cotangents: Sequence[ndarray], change: Change | None = None
    ) -> dict[str, ndarray]:
        """The gradient of every differentiable input, by name; with a change, a wrong one.

        Args:
            cotangents: the cotangents of the outputs.
            change: called for every operation and each of its inputs that gets a gradient.
        """
        return self.by_step(cotangents, change).totals()

    def by_step(
        self,
        cotangents: Sequence[ndarray],
        change: Change | None = None,
        through: Mapping[Use, Node] | None = None,
    ) -> Contributions:
        """The same, with the contribution of every time step.

        Args:
            cotangents, change: as for :meth:`gradients`.
            through: inputs that get a gradient although the reference has a constant there.
        """
        pending: dict[Node, Any] = {}
        for node, g in zip(self.outputs, cotangents, strict=True):
            pending[node] = pending[node] + g if node in pending else g
        contributions = Contributions(self)
        for node in reversed(self.nodes):
            g = pending.pop(node, None)
            if g is None:
                continue
            if not isinstance(g, list):
                contributions.cotangents[node] = g
            for i, parent in enumerate(node.parents):
                if through is not None and Use(node, i) in through:
                    parent = through[Use(node, i)]
                if not isinstance(parent, Node):
                    continue
                contribution = contribution_of(node, i, g)
                if change is not None:
                    contribution = change(Use(node, i), g, contribution)
                if contribution is None:
                    continue
                if node.primitive is pick:
                    slots = pending.setdefault(parent, [None] * len(parent.output))
                    k = node.keywords["index"]
                    slots[k] = contribution if slots[k] is None else slots[k] + contribution
                elif parent.primitive is None:
                    contributions.add(parent, step_of(node), contribution)
                else:
                    before = pending.get(parent)
                    pending[parent] = contribution if before is None else before + contribution
        return contributions

    def rerun(self, replace: Callable[[Node, list[Any]], Any | None]) -> list[ndarray]:
        """The outputs if some operations compute something else.

        Args:
            replace: returns an operation's output, given the operation and its inputs; None
                leaves the operation as it is.
        """
        values: dict[Node, Any] = {x: x.output for x in self.leaves}
        for node in self.nodes:
            inputs = [
                values[parent] if isinstance(parent, Node) else x
                for parent, x in zip(node.parents, node.arrays, strict=True)
            ]
            y = replace(node, inputs)
            if y is None:
                assert node.primitive is not None
                if node.primitive is pick:
                    y = inputs[0][node.keywords["index"]]
                else:
                    y = node.primitive.forward(*inputs, **node.keywords)
            values[node] = y if isinstance(y, tuple) else np.asarray(y)
        return [values[node] for node in self.outputs]

    def cuts(self) -> dict[Use, Node]:
        """The uses where an earlier operation's array enters a step as a constant (detach())."""
        node_of = {id(node.output): node for node in self.nodes if isinstance(node.output, ndarray)}
        return {
            Use(node, i): node_of[id(x)]
            for node in self.nodes
            for i, (parent, x) in enumerate(zip(node.parents, node.arrays, strict=True))
            if not isinstance(parent, Node) and id(x) in node_of
        }

    def crossings(self) -> dict[Site, list[Use]]:
        """The states, which one time step hands to another: for each site, its uses there."""
        uses: dict[Site, list[Use]] = defaultdict(list)
        for node in self.nodes:
            for i, parent in enumerate(node.parents):
                if (
                    isinstance(parent, Node)
                    and parent.primitive is not None
                    and -1 < step_of(parent) != step_of(node) > -1
                ):
                    uses[self.site[parent]].append(Use(node, i))
        return uses


class Contributions:
    """The contribution of every time step to the gradients of the inputs.

    Attributes:
        cotangents: the cotangent of every operation's output.
    """

    def __init__(self, recorded: Recorded):
        self._recorded = recorded
        self._found: dict[Node, dict[int, Any]] = {x: {} for x in recorded.leaves}
        self.cotangents: dict[Node, Any] = {}

    def add(self, leaf: Node, step: int, contribution: Any) -> None:
        by_step = self._found[leaf]
        by_step[step] = by_step[step] + contribution if step in by_step else contribution

    def totals(self) -> dict[str, ndarray]:
        return {name: self.over(name, None) for name in self._recorded.names}

    def over(self, name: str, steps: Sequence[int] | None) -> ndarray:
        """The contributions of some time steps, or of all, added up."""
        place = self._recorded.leaves[self._recorded.names.index(name)]
        chosen = [g for t, g in self._found[place].items() if steps is None or t in steps]
        total: ndarray = np.zeros(place.output.shape)
        for g in chosen:
            total = total + g
        return total

    def steps_of(self, name: str) -> list[int]:
        """The time steps that contribute to an input's gradient."""
        place = self._recorded.leaves[self._recorded.names.index(name)]
        return sorted(t for t in self._found[place] if t >= 0)


def step_of(node: Node) -> int:
    """The time step of an operation; -1 outside the loop."""
    step = node.scope.step
    return -1 if step is None else step


def contribution_of(
    node: Node, index: int, g: Any, arrays: Sequence[Any] | None = None
) -> ndarray | Any:
    """The gradient that an operation sends to one of its inputs, by its own rule.

    Args:
        node: the operation.
        index: the number of the input.
        g: the gradient of its output.
        arrays: other values to use instead of its inputs.
    """
    primitive = node.primitive
    assert primitive is not None
    if primitive is pick:
        return g
    arrays = node.arrays if arrays is None else arrays
    contribution = primitive.vjps[index](g, node.output, *arrays, **node.keywords)
    return fitted(contribution, node, node.arrays[index])


def fitted(contribution: Any, node: Node, x: ndarray) -> ndarray:
    """A contribution in its input's shape: the sum over the axes that were broadcast."""
    array = (
        np.broadcast_to(contribution, node.output.shape)
        if np.ndim(contribution) == 0
        else np.asarray(contribution)
    )
    if array.shape != x.shape:
        if array.shape != node.output.shape:
            array = np.broadcast_to(array, node.output.shape)
        array = array.sum(tuple(range(array.ndim - x.ndim)))
        axes = tuple(k for k, n in enumerate(x.shape) if n == 1 != array.shape[k])
        array = array.sum(axes, keepdims=True)
    return array


def _sites(nodes: Sequence[Node]) -> tuple[dict[Site, dict[int, Node]], dict[Node, Site]]:
    """Group the operations: a site has the same place in the order of every time step."""
    sites: dict[Site, dict[int, Node]] = defaultdict(dict)
    site: dict[Node, Site] = {}
    count: dict[int, int] = defaultdict(int)
    for node in nodes:
        t = step_of(node)
        # Outside the loop every operation is a site of its own.
        place = Site(t < 0, count[t])
        count[t] += 1
        sites[place][t] = node
        site[node] = place
    return dict(sites), site


__all__ = [
    "Change",
    "Contributions",
    "Recorded",
    "Site",
    "Use",
    "contribution_of",
    "fitted",
    "step_of",
]
