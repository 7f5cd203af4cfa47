"""A warning in backward: a state was carried into the next training step and not detached.

In truncated BPTT the last state of one window starts the next window, as a constant. If it is not
detached, each backward also runs through the windows before. No error shows it. The gradients of
the old windows are added again, for weights that have changed since. Every training step takes
longer than the one before.
"""

from __future__ import annotations

import warnings

from ..graph import Node
from .regions import expanded


def warn_of_earlier_graph(order: list[Node], border: int) -> bool:
    """Warn of a backward that goes on into the graph of an earlier one, if that is a mistake.

    Only a parameter that has changed since the earlier backward makes it one: to call ``backward``
    twice for one forward pass is allowed.

    Args:
        order: the graph that a backward has just gone through, newest first.
        border: the number of the newest node of the earlier graph.

    Returns:
        Whether it warned.
    """
    changed = _changed(order)
    if changed:
        _warn(order, border, changed)
    return bool(changed)


def _changed(order: list[Node]) -> list[Node]:
    """The leaves with other numbers now than in an operation of the earlier graph."""
    found: dict[Node, None] = {}
    for node in order:
        for parent, array in zip(node.parents, node.arrays, strict=True):
            # Assigning ``.data`` gives a leaf a new output, while an operation keeps the array that
            # it read.
            if not isinstance(parent, Node) or parent.reached is None or parent.output is array:
                continue
            first, last = parent.reached
            # The operation that read the old array belongs to the graph of the earlier backward.
            if first <= node.number <= last:
                found[parent] = None
    return list(found)


def _warn(order: list[Node], border: int, changed: list[Node]) -> None:
    states: dict[Node, None] = {}
    for node in order:
        # Newest first: from here on all nodes are older than the earlier backward.
        if node.number <= border:
            break
        states.update(
            (parent, None)
            for parent in node.parents
            if isinstance(parent, Node) and parent.primitive is not None and parent.number <= border
        )
    names = " and ".join(_shown(state) for state in list(states)[:2])
    weights = ", ".join(leaf.name or f"a leaf {leaf.output.shape}" for leaf in changed[:3])
    warnings.warn(
        f"backward: the gradient goes on through {names} into a graph that an earlier backward() "
        f"went through, and {weights}{' and others' if len(changed) > 3 else ''} changed after "
        "that. So the gradients of the earlier graph are added again, and every training step "
        "takes longer than the one before. Cut the graph where the state is carried over: "
        "h = h.detach(), or state = tg.text.detached(state) for tuples too",
        stacklevel=5,  # the line that calls loss.backward()
    )


def _shown(state: Node) -> str:
    """A state as a reader knows it: its name and its time step."""
    [node] = expanded([state])
    while not node.scope.steps:  # a layer's last state is a view of the last step's h_t
        behind = next((p for p in node.parents if isinstance(p, Node) and p.primitive), None)
        if behind is None:
            break
        node = behind
    return f"{node.name or f'the output of {node.primitive}'}{node.scope}"
