"""How a node's cotangent goes to its inputs where that is more than a call of its rules.

:func:`pull_back` serves the nodes that the loop of :func:`~.reverse.sweep` does not: one output of
several, an index, a function of several operations; and every node of a sweep that is recorded
itself or looks for NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from ..graph import (
    Node,
    Value,
    attach,
    current,
    enable_grad,
    in_scope,
    next_number,
    pick,
    python_scalars,
    same,
)
from .cotangents import Cotangents, place, rule_failed
from .deferred import Deferred, DeferredWeights

Sweep = Callable[..., dict[Node, Any]]


def pull_back(
    node: Node, g: Any, cotangents: Cotangents, deferred: DeferredWeights, sweep: Sweep
) -> None:
    """Send the cotangent ``g`` of a node to its inputs, whatever kind of node it is."""
    primitive = node.primitive
    assert primitive is not None
    if primitive is pick:
        cotangents.add_to_output(node, g)
    elif primitive.add_into is not None and not cotangents.level:
        cotangents.add_into(node, g)
    else:
        run = _by_rules if primitive.expand is None else _by_function
        for index, contribution in run(node, g, cotangents, sweep):
            if type(contribution) is Deferred:
                parent: Any = node.parents[index]
                deferred.defer(parent, contribution, index, node)
            else:
                cotangents.receive(node, index, contribution, g)


def _by_rules(
    node: Node, g: Any, cotangents: Cotangents, sweep: Sweep
) -> Iterator[tuple[int, Any]]:
    """The contribution of each rule, on Tensors and in the node's scope if it is recorded."""
    assert node.primitive is not None
    rules, level = node.primitive.vjps, cotangents.level
    output, inputs = node.output, node.arrays
    if level:
        # The rule reads Tensors at their places in the graph. So its result depends on them, and
        # can be differentiated again.
        output, inputs = attach(output, node), inputs_of(node)
    for i, parent in enumerate(node.parents):
        if not cotangents.wants(parent):
            continue
        contribution = g
        if rules[i] is not same:
            try:
                with in_scope(place(node, level)) if level else nullcontext():
                    contribution = rules[i](g, output, *inputs, **node.keywords)
            except (ValueError, TypeError, IndexError) as error:
                raise rule_failed(error, i, node) from error
        yield i, _constant(contribution) if level else contribution


def _constant(contribution: Any) -> Any:
    """What a recorded rule returned, as a Tensor if it is numbers."""
    if isinstance(contribution, Value):
        return contribution
    array = np.asarray(contribution)
    return attach(array, None) if array.dtype.kind in "fiub" else contribution


def _by_function(
    node: Node, g: Any, cotangents: Cotangents, sweep: Sweep
) -> Iterator[tuple[int, Any]]:
    """The contributions of a function of several operations: by its one rule, or op by op."""
    primitive = node.primitive
    assert primitive is not None
    assert primitive.expand is not None
    # The one rule computes on arrays. A recorded sweep needs the single operations, and so does a
    # search for the operation that made a NaN.
    if primitive.vjps is not None and not cotangents.level and not cotangents.anomaly:
        live = [cotangents.wants(parent) for parent in node.parents]
        for i, contribution in enumerate(primitive.vjps(node, g, live)):
            if contribution is not None and live[i]:
                yield i, contribution
        return
    # Run the function again, recorded on the node's own parents; then sweep through what it
    # recorded, down to these parents.
    since = next_number()
    with enable_grad(), in_scope(node.scope):
        outputs = primitive.expand(node)
    seeds: dict[Node, Any] = {}
    for y, cotangent in zip(outputs, g if isinstance(g, list) else [g], strict=True):
        if y.node is not None and cotangent is not None:
            seeds[y.node] = seeds[y.node] + cotangent if y.node in seeds else cotangent
    border = {parent for parent in node.parents if isinstance(parent, Node)}
    found = sweep(seeds, border, differentiable=cotangents.level > 0, since=since)
    for i, parent in enumerate(node.parents):
        # If a parent is an input twice, the sweep has already added up both: count it once.
        if isinstance(parent, Node) and parent in found:
            contribution = found.pop(parent)
            if cotangents.wants(parent):
                yield i, contribution


def name_cotangent(g: Any, node: Node, level: int) -> None:
    """Call the recorded cotangent of h ``dh``, and that of a tanh ``d tanh``: pictures show it."""
    made = g.node if isinstance(g, Value) else None
    if made is None or made.scope.sweep != level or current().tracing is not None:
        return
    if node.name is not None:
        if made.name is None or made.name.startswith("d "):
            made.name = f"d{node.name}"
    elif made.name is None and node.primitive is not None:
        made.name = f"d {node.primitive}"


def inputs_of(node: Node) -> tuple[Any, ...]:
    """A node's saved inputs, the arrays as Tensors at their places in the graph."""
    return tuple(
        x
        if x is None or type(x) in python_scalars
        else attach(x, parent if isinstance(parent, Node) else None)
        for x, parent in zip(node.arrays, node.parents, strict=True)
    )
