"""Nodes, and the values that stand at them: the graph itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from .recording import Primitive
    from .scopes import Scope

# A freed graph leaves the top of the heap empty, and glibc hands an empty top of more than 128 kB
# back to the system: the next forward pass then pays a page fault for every 4 kB. Having freed one
# large block raises that limit to twice the block (mallopt(3), M_MMAP_THRESHOLD). The block is
# never touched, so it costs nothing; a loop over 50 LSTM steps gains 20-25 %.
np.empty(30 << 20, np.uint8)

next_number = itertools.count().__next__


class Node:
    """One place in the graph: a leaf that wants a gradient, or one recorded operation.

    Attributes:
        primitive: the operation; None for a leaf.
        parents: for each input the node it came from. A constant has none: its name stands
            there, or None.
        arrays: for each input the array (or Python scalar) it held when the operation ran.
            Rebinding a tensor's ``.data`` later does not change what is differentiated.
        output: the array that came out (for a leaf: the data it was made with).
        keywords: the operation's other arguments.
        scope: module path and time step, see :class:`Scope`.
        number: creation number. Inputs are always older than what is computed from them.
        name: what pictures call it, or None.
        grad: the accumulated gradient of a leaf (of any node after ``retain_grads``), or None.
        reached: of a leaf, the numbers of the oldest and the newest operation in the graph of the
            last backward that reached it; None before the first.
    """

    __slots__ = (
        "_grad",
        "_name",
        "_reached",
        "arrays",
        "keywords",
        "number",
        "output",
        "parents",
        "primitive",
        "scope",
    )

    primitive: Primitive | None
    parents: tuple[Node | str | None, ...]
    arrays: tuple[Any, ...]
    output: Any
    keywords: dict[str, Any]
    scope: Scope
    number: int

    # Recording sets seven slots for every operation; those that most nodes never use stay unset.
    @property
    def name(self) -> str | None:
        return getattr(self, "_name", None)

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name

    @property
    def grad(self) -> ndarray | None:
        return getattr(self, "_grad", None)

    @grad.setter
    def grad(self, grad: ndarray | None) -> None:
        self._grad = grad

    @property
    def reached(self) -> tuple[int, int] | None:
        return getattr(self, "_reached", None)

    @reached.setter
    def reached(self, numbers: tuple[int, int] | None) -> None:
        self._reached = numbers

    @property
    def is_leaf(self) -> bool:
        return self.primitive is None

    def __repr__(self) -> str:
        kind = "leaf" if self.primitive is None else self.primitive.name
        name = f" {self.name!r}" if self.name else ""
        return f"<Node {self.number} {kind}{name} {np.shape(self.output)}{self.scope}>"


class Value:
    """An array and its place in the graph: all that the engine knows of a Tensor.

    ``tensor.Tensor`` adds the operators. ``node`` is None where no gradient flows; a constant
    keeps its name in ``_label`` so that pictures can show it.
    """

    __slots__ = ("__weakref__", "_array", "_label", "node")

    _array: ndarray
    _label: str | None
    node: Node | None


def ancestors(nodes: Iterable[Node], since: int = 0) -> list[Node]:
    """The given nodes and all they were computed from, newest first.

    Every node stands before its parents (creation numbers only grow), so this one list is the
    order of the backward sweep and, reversed, of the forward pass. No recursion: the depth of
    a graph is not limited by Python's stack. O(n log n) in the number of nodes.

    Args:
        nodes: where to start.
        since: nodes with a smaller creation number are listed, but not what lies behind them.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
    >>> [n.name or n.primitive.name for n in ancestors([(tg.exp(x) * x).node])]
    ['multiply', 'exp', 'x']
    """
    found = list(dict.fromkeys(nodes))
    seen: set[Any] = {None, *found}
    add, push = seen.add, found.append
    for node in found:  # grows while it is walked
        if node.number < since:
            continue
        for parent in node.parents:
            if parent not in seen:
                add(parent)
                if type(parent) is Node:
                    push(parent)
    found.sort(key=_by_number, reverse=True)
    return found


def _by_number(node: Node) -> int:
    return node.number
