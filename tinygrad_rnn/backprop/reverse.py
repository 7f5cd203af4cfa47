"""The reverse sweep: the chain rule, over a whole graph.

The chain rule for a graph reads: the cotangent of a node is the sum, over everything computed
from it, of their cotangents times their local derivatives. :func:`sweep` visits the nodes newest
first, so that a node is reached when all of these have been added up:

    pending[output] = seed
    for node in ancestors(output):
        g = pending.pop(node)
        for each parent:  pending[parent] += vjp(g, node.output, *node.arrays)

The rules are made of the library's own operations. On ndarrays the sweep is a fast backward pass.
On Tensors the same sweep records itself, and its result can be differentiated again, drawn, or
compiled: that is all there is to ``create_graph=True`` and to every higher derivative.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..graph import Node, Value, ancestors, current, numeric, same
from .carried import warn_of_earlier_graph
from .cotangents import Cotangents, fitted, rule_failed
from .deferred import DeferredWeights
from .pullbacks import name_cotangent, pull_back


def backward(output: Value, grad: Any = None, *, retain_grads: bool = False) -> None:
    """Add the gradient of this tensor to ``.grad`` of every leaf it was computed from.

        x.grad += dL/dx,   L = sum(self * grad)

    The graph stays: calling it twice adds twice.

    Args:
        grad: the gradient with respect to this tensor, of its shape; 1 for a scalar.
        retain_grads: fill ``.grad`` of the tensors in between as well.

    Raises:
        ValueError: this tensor is not a scalar and ``grad`` is missing or of another shape, or
            nothing that it was computed from requires grad.
        TypeError: within a step that ``scan`` traces.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * 3).backward([1.0, 10.0])
    >>> x.grad
    array([ 3., 30.])
    """
    if current().tracing is not None:
        raise TypeError(
            "backward: a step that scan traces runs once for all time steps, and would add to "
            f".grad once; use tg.value_and_grad, or pass unroll=True to scan{current().scope}"
        )
    if output.node is None:
        raise ValueError(
            "backward: nothing to differentiate; no tensor that this output was computed from has "
            "requires_grad=True (or it was computed under no_grad)"
        )
    seed = seed_of(output, grad, "backward", "y.backward(grad)").astype(output._array.dtype)
    order = ancestors([output.node])
    found = sweep({output.node: seed}, set(order) if retain_grads else None, order=order)
    _note_graph(order, found)
    for node, cotangent in found.items():
        if isinstance(cotangent, list):  # a node with several outputs: its picks have them
            continue
        before = node.grad
        # A copy: an array of the sweep may be shared with another cotangent or with the graph.
        node.grad = np.array(cotangent if before is None else before + cotangent)


def seed_of(output: Value, grad: Any, where: str, example: str) -> Any:
    """The cotangent to start from: 1 for a scalar, else what the caller gave."""
    data = output._array
    refuse = getattr(data, "refuse", None)
    if refuse is not None and current().tracing is None:  # a value without numbers, of a trace
        refuse("one that another call traced")
    if grad is None:
        if data.size != 1:
            raise ValueError(
                f"{where}: expected a scalar, got shape {data.shape}; sum it up, or pass the "
                f"gradient with respect to it: {example}"
            )
        return np.ones(data.shape, data.dtype)
    seed = grad._array if isinstance(grad, Value) else numeric(grad, where)
    if seed.shape != data.shape:
        raise ValueError(
            f"{where}: expected a gradient of the output's shape {data.shape}, got {seed.shape}"
        )
    return seed


def sweep(
    seeds: dict[Node, Any],
    wanted: set[Node] | None = None,
    *,
    differentiable: bool = False,
    since: int = 0,
    ends: bool = False,
    order: list[Node] | None = None,
) -> dict[Node, Any]:
    """Send cotangents from the seeded nodes back through the graph.

    Args:
        seeds: the cotangent of each node to start from (ndarrays, or Tensors where
            ``differentiable``); a node with several outputs has a list, None where missing.
        wanted: the nodes whose cotangents to return. Only nodes that lead to one of them are
            visited. None for every leaf.
        differentiable: run the rules on Tensors, recording what they do.
        since: the sweep ends at nodes with a smaller creation number.
        ends: the sweep ends at wanted nodes, so no cotangent passes through one to another.
        order: ``ancestors(seeds, since)``, where the caller has it.

    Returns:
        The cotangent of every wanted node that was reached. Treat the arrays as read-only: one
        may be shared with another cotangent or with the graph.

    Raises:
        ValueError: a rule returned a cotangent of the wrong shape; the message names it.
        TypeError: a rule returned something that is not real numbers.
        FloatingPointError: inside ``detect_anomaly``, the first NaN or Inf.
    """
    if not seeds:
        return {}
    if order is None:
        order = ancestors(seeds, since, wanted if ends and wanted else ())
    needed = None if wanted is None else _leading_to(wanted, order)
    # Which derivative this sweep records (1 for a first gradient); 0 if it runs on plain arrays.
    level = 1 + max(node.scope.sweep for node in order) if differentiable else 0
    anomaly = current().anomaly
    pending = Cotangents(needed, level, anomaly)
    pending.update(seeds)
    deferred = DeferredWeights()
    waiting, owned = deferred.waiting, pending.owned
    # The loop below calls the rules itself where nothing else is to be done: that is nearly always,
    # and a call for each node would cost as much as a small rule. ``pull_back`` does the rest.
    careful = bool(level) or anomaly
    found: dict[Node, Any] = {}
    for node in order:
        if waiting and node in waiting and deferred.settle(node, pending, wanted):
            continue
        # All contributions have arrived, since everything computed from this node is newer. Popping
        # frees the array after its last use.
        g = pending.pop(node, None)
        if g is None:
            continue
        if level:
            name_cotangent(g, node, level)
        primitive = node.primitive
        if (primitive is None) if wanted is None else (node in wanted):
            found[node] = g
            if ends:
                continue
        if primitive is None or node.number < since:
            continue
        if careful or not primitive.by_rules:
            pull_back(node, g, pending, deferred, sweep)
            continue
        output, arrays, parents = node.output, node.arrays, node.parents
        rules, arity = primitive.vjps, primitive.arity
        if primitive.rowwise and deferred.defer_weights(node, g, needed):
            parents = parents[:1]  # the weights wait; only the rows are left
        for i, parent in enumerate(parents):
            if type(parent) is not Node or (needed is not None and parent not in needed):
                continue
            x, rule = arrays[i], rules[i]
            try:
                if rule is same:
                    contribution = g
                elif arity == 1:
                    contribution = rule(g, output, x)
                elif arity == 2:
                    contribution = rule(g, output, arrays[0], arrays[1])
                else:
                    contribution = rule(g, output, *arrays, **node.keywords)
            except (ValueError, TypeError, IndexError) as error:  # a singular matrix, say
                raise rule_failed(error, i, node) from error
            try:
                # NumPy has one object for each usual dtype, so ``is`` decides nearly always;
                # ``fitted`` compares the others.
                fits = contribution.shape == x.shape and contribution.dtype is x.dtype
            except AttributeError:  # a number, or something wrong
                fits = False
            if not fits:
                contribution = fitted(contribution, i, node)
            if parent not in pending:
                pending[parent] = contribution
            elif parent in owned:  # as `add` does, without a call
                held = pending[parent]
                held += contribution
            else:
                pending.add(parent, contribution)
    return found


def _leading_to(wanted: set[Node], order: list[Node]) -> set[Node]:
    """The nodes of a graph that were computed from a wanted one, these included."""
    needed: set[Any] = set()
    for node in reversed(order):
        # Oldest first: whether the parents are needed is decided already.
        if node in wanted or not needed.isdisjoint(node.parents):
            needed.add(node)
    return needed


def _note_graph(order: list[Node], reached: Iterable[Node]) -> None:
    """Let every leaf note which graph this backward went through; warn of one within another.

    A leaf notes the numbers of the graph's oldest and newest operation. Later graphs have larger
    numbers. Say the newest operation of an earlier backward has number 40, and this backward went
    from 90 down to 10: then it went on into the earlier graph, and 40 is the *border*.
    """
    oldest = newest = order[0].number
    for node in reversed(order):  # leaves come first: they are made before they are used
        if node.primitive is not None:
            oldest = node.number
            break
    border = -1
    for node in reached:
        noted = node.reached
        if noted is not None and border < noted[1] < newest:
            border = noted[1]
    warned = border >= oldest and warn_of_earlier_graph(order, border)
    note = _warned if warned else (oldest, newest)
    for node in reached:
        if node.primitive is None and node.reached is not _warned:
            node.reached = note


#: What a leaf notes after the warning: an empty range, so that it never comes again.
_warned = 0, -1
