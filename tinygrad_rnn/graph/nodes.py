"""Nodes, where each was made, and the values that stand at them: the graph itself."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from .primitives import Primitive

next_number = itertools.count().__next__
_number = operator.attrgetter("number")


class Scope:
    """Where in the program an operation ran: its modules, its time step, its gate.

    ``path`` names the modules from the outermost to the innermost, ``steps`` holds one pair
    ``(loop, t)`` for every loop over time that was open, outermost first. ``sweep`` counts the
    derivatives: 0 in the forward pass, 1 for the operations that a backward with
    ``create_graph=True`` records, 2 for those of the backward of that graph.
    """

    __slots__ = ("path", "steps", "sweep")

    def __init__(
        self,
        path: tuple[str, ...] = (),
        steps: tuple[tuple[int, int], ...] = (),
        sweep: int = 0,
    ):
        self.path = path
        self.steps = steps
        self.sweep = sweep

    @property
    def step(self) -> int | None:
        """The time step of the innermost loop, from 0; None outside every loop."""
        return self.steps[-1][1] if self.steps else None

    def __str__(self) -> str:
        """For error messages: ``" in encoder.cell at time step 3"``, or nothing at the top."""
        module = f" in {'.'.join(self.path)}" if self.path else ""
        step = f" at time step {self.step}" if self.steps else ""
        return module + step

    def __repr__(self) -> str:
        return f"Scope(path={self.path!r}, steps={self.steps!r}, sweep={self.sweep})"


class Node:
    """One place in the graph: a leaf that wants a gradient, or one recorded operation.

    Attributes:
        primitive: the operation; None for a leaf.
        parents: for each input the node that computed it. For a constant: its name, or None.
        arrays: for each input the array (or Python scalar) that it held when the operation ran.
            If a tensor's ``.data`` is rebound later, the gradient is still that of this array.
        output: the array that came out (for a leaf: the data it was made with).
        keywords: the operation's other arguments.
        scope: module path and time step, see :class:`Scope`.
        number: creation number. A node's inputs have smaller numbers than the node.
        name: what pictures call it, or None.
        grad: the accumulated gradient of a leaf (of any node after ``retain_grads``), or None.
        reached: of a leaf, a note of the last backward that reached it: the numbers of the oldest
            and the newest operation in the graph of that backward. None before the first one.
    """

    __slots__ = (
        "arrays",
        "grad",
        "keywords",
        "name",
        "number",
        "output",
        "parents",
        "primitive",
        "reached",
        "scope",
    )

    primitive: Primitive | None
    parents: tuple[Node | str | None, ...]
    arrays: tuple[Any, ...]
    output: Any
    keywords: dict[str, Any]
    scope: Scope
    number: int
    name: str | None
    grad: ndarray | None
    reached: tuple[int, int] | None

    @property
    def is_leaf(self) -> bool:
        return self.primitive is None

    def __repr__(self) -> str:
        kind = "leaf" if self.primitive is None else self.primitive.name
        name = f" {self.name!r}" if self.name else ""
        return f"<Node {self.number} {kind}{name} {np.shape(self.output)}{self.scope}>"


class Value:
    """An array and its place in the graph: everything that the engine knows about a Tensor.

    ``tensor.Tensor`` adds the operators. ``node`` is None where no gradient flows; a constant
    keeps its name in ``_label`` so that pictures can show it.
    """

    __slots__ = ("__weakref__", "_array", "_label", "node")

    _array: ndarray
    _label: str | None
    node: Node | None


def ancestors(nodes: Iterable[Node], since: int = 0, until: Collection[Node] = ()) -> list[Node]:
    """The given nodes and all nodes that they were computed from, newest first.

    Creation numbers only grow, so every node stands before its parents. This list is the order of
    the backward sweep and, reversed, of the forward pass. There is no recursion, so Python's stack
    does not limit the depth of a graph. O(n log n) in the number of nodes.

    Args:
        nodes: where to start.
        since: a node with a smaller creation number is listed, but its parents are not.
        until: nodes that are listed, but not their parents.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
    >>> [n.name or n.primitive.name for n in ancestors([(tg.exp(x) * x).node])]
    ['multiply', 'exp', 'x']
    """
    found = list(dict.fromkeys(nodes))
    # A parent is None or a name if it is a constant. Names enter ``seen`` too, but are not listed:
    # one look-up skips constants and known nodes alike.
    seen: set[Any] = {None, *found}
    add, push = seen.add, found.append
    for node in found:  # grows while it is walked
        if node.number < since or node in until:
            continue
        for parent in node.parents:
            if parent not in seen:
                add(parent)
                if type(parent) is Node:
                    push(parent)
    found.sort(key=_number, reverse=True)
    return found
