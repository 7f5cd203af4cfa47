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

import functools
import math
import operator
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import (
    Node,
    Rule,
    Scope,
    Value,
    ancestors,
    attach,
    check_finite,
    current,
    describe,
    enable_grad,
    explained,
    in_scope,
    next_number,
    pick,
    python_scalars,
    same,
)


def sweep(
    seeds: dict[Node, Any],
    wanted: set[Node] | None = None,
    *,
    differentiable: bool = False,
    since: int = 0,
    order: list[Node] | None = None,
) -> dict[Node, Any]:
    """Send cotangents from the seeded nodes back through the graph.

    Args:
        seeds: the cotangent of each node to start from (ndarrays, or Tensors where
            ``differentiable``); a node with several outputs has a list, None where missing.
        wanted: the nodes whose cotangents to return, and the only ones that are worked
            towards; None for every leaf.
        differentiable: run the rules on Tensors, recording what they do.
        since: nodes with a smaller creation number are not passed.
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
        order = ancestors(seeds, since)
    level = 1 + max(node.scope.sweep for node in order) if differentiable else 0
    needed = None if wanted is None else _leading_to(wanted, order)
    anomaly = current().anomaly
    pending = dict(seeds)
    owned: set[Node] = set()  # nodes whose pending cotangent is a buffer made here
    weights = _Weights()
    waiting = weights.waiting
    found: dict[Node, Any] = {}
    for node in order:
        if waiting and node in waiting:
            weights.settle(node, pending, owned)
        g = pending.pop(node, None)
        if g is None:
            continue
        if differentiable:
            _name_cotangent(g, node, level)
        primitive = node.primitive
        if wanted is None:
            if primitive is None:
                found[node] = g
                continue
        elif node in wanted:
            found[node] = g
        if primitive is None or node.number < since:
            continue
        output, arrays, parents = node.output, node.arrays, node.parents
        rules, arity = primitive.vjps, primitive.arity
        if arity == 0 or differentiable:
            if primitive is pick:
                _add_to_slot(pending, node, g)
                continue
            if primitive.add_into is not None and not differentiable:
                _add_into(pending, owned, needed, node, g, anomaly)
                continue
            if primitive.expand is not None:
                live = [
                    type(parent) is Node and (needed is None or parent in needed)
                    for parent in parents
                ]
                i = -1
                for contribution in _all_at_once(node, g, live, differentiable):
                    i += 1
                    if contribution is None or not live[i]:
                        continue
                    x = arrays[i]
                    parent: Any = parents[i]
                    if type(contribution) is Later:
                        weights.put_off(parent, contribution, i, node)
                        continue
                    if contribution.shape != x.shape or contribution.dtype is not x.dtype:
                        contribution = _fitted(contribution, i, node)
                    if anomaly:
                        _check_cotangent(contribution, g, node, i)
                        _check_sum(pending.get(parent), contribution, node)
                    with in_scope(_place(parent, level)) if differentiable else nullcontext():
                        _accumulate(pending, owned, parent, contribution)
                continue
            if differentiable:
                rules, output, arrays = _prepared(node, level)
            elif primitive.rowwise and not anomaly and weights.add(node, g, needed):
                parents = parents[:1]
        i = -1
        for parent in parents:
            i += 1
            if type(parent) is not Node or (needed is not None and parent not in needed):
                continue
            x = arrays[i]
            rule = rules[i]
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
                where = f"{primitive}, backward for its argument {i}"
                raise explained(error, where, node.arrays, node.scope) from error
            try:
                if contribution.shape != x.shape or contribution.dtype is not x.dtype:
                    contribution = _fitted(contribution, i, node)
            except AttributeError:
                contribution = _fitted(contribution, i, node)
            if anomaly:
                _check_cotangent(contribution, g, node, i)
                _check_sum(pending.get(parent), contribution, node)
            if parent not in pending:
                pending[parent] = contribution
            elif parent in owned:
                held = pending[parent]
                held += contribution
            elif differentiable:
                with in_scope(_place(parent, level)):
                    pending[parent] = pending[parent] + contribution
            else:
                pending[parent] = total = pending[parent] + contribution
                if type(total) is ndarray:  # neither a Tensor nor the scalar of 0-d arrays
                    owned.add(parent)
    return found


def _name_cotangent(g: Any, node: Node, level: int) -> None:
    """Call the recorded cotangent of h ``dh``, and that of a tanh ``d tanh``: pictures show it."""
    made = g.node if isinstance(g, Value) else None
    if made is None or made.scope.sweep != level or current().tracing is not None:
        return
    if node.name is not None:
        if made.name is None or made.name.startswith("d "):
            made.name = f"d{node.name}"
    elif made.name is None and node.primitive is not None:
        made.name = f"d {node.primitive}"


def contributions(node: Node, g: Any, live: Sequence[int]) -> dict[int, ndarray]:
    """What one operation contributes to the cotangents of some of its inputs, by their index.

    A value that is used twice has two contributions.

    Args:
        node: the operation, one that hides no others.
        g: its cotangent.
        live: which inputs.
    """
    primitive, arrays = node.primitive, node.arrays
    found: dict[int, ndarray] = {}
    for i in live:
        assert primitive is not None
        x = arrays[i]
        if primitive.add_into is not None:
            found[i] = np.zeros(x.shape, x.dtype)
            primitive.add_into(found[i], g, *arrays, **node.keywords)
            continue
        rule = primitive.vjps[i]
        contribution = g if rule is same else rule(g, node.output, *arrays, **node.keywords)
        fits = type(contribution) is ndarray and contribution.shape == x.shape
        if not fits or contribution.dtype != x.dtype:
            contribution = _fitted(contribution, i, node)
        found[i] = contribution
    return found


class Later(NamedTuple):
    """The cotangent of a weight, put off until those of all its uses can be computed at once.

    ``y_t = x_t W'`` in each of T steps has ``dL/dW = sum_t g_t' x_t``: T small products, each added
    to a whole matrix. The same sum is one large product of stacked rows,
    ``[g_1; ...; g_T]' [x_1; ...; x_T]``, and the weight's own rule computes it.
    """

    rule: Rule
    g: ndarray
    x: ndarray
    others: tuple[Any, ...]


class _Weights:
    """The cotangents that one sweep has put off."""

    def __init__(self) -> None:
        self.waiting: dict[Node, list[tuple[Later, int, Node]]] = {}
        self.stacked: list[tuple[list[ndarray], ndarray]] = []

    def add(self, node: Node, g: ndarray, needed: set[Node] | None) -> bool:
        """Put off all but the first of the node's cotangents, if its arguments are such."""
        x, *others = node.arrays
        if others[0].ndim != 2 or x.ndim == 0:
            return False
        assert node.primitive is not None
        rules = node.primitive.vjps
        for i, parent in enumerate(node.parents):
            if i > 0 and type(parent) is Node and (needed is None or parent in needed):
                self.put_off(parent, Later(rules[i], g, x, tuple(others)), i, node)
        return True

    def put_off(self, parent: Node, later: Later, index: int, node: Node) -> None:
        """``node`` would have had this cotangent for its argument ``index``."""
        if parent in self.waiting:
            self.waiting[parent].append((later, index, node))
        else:
            self.waiting[parent] = [(later, index, node)]

    def settle(self, parent: Node, pending: dict[Node, Any], owned: set[Node]) -> None:
        """Add what was put off to the pending cotangent."""
        waiting = self.waiting.pop(parent)
        later, index, node = waiting[0]
        if len(waiting) == 1 and later.x.ndim == 2:  # there is nothing to stack
            contribution = later.rule(later.g, None, later.x, *later.others)
            weight = node.arrays[index]
            if contribution.shape != weight.shape or contribution.dtype is not weight.dtype:
                contribution = _fitted(contribution, index, node)
            _accumulate(pending, owned, parent, contribution)
            return
        groups: dict[Any, list[tuple[Later, int, Node]]] = {}
        for entry in waiting:  # a bias may be shared by products of other widths
            rule, x = entry[0].rule, entry[0].x
            groups.setdefault((rule, x.shape[-1]), []).append(entry)
        for (rule, _), alike in groups.items():
            later, index, node = alike[0]
            g = self._rows([later.g for later, _, _ in alike])
            x = self._rows([later.x for later, _, _ in alike])
            contribution = _fitted(rule(g, None, x, *later.others), index, node)
            _accumulate(pending, owned, parent, contribution)

    def _rows(self, arrays: list[ndarray]) -> ndarray:
        """The rows of all arrays (..., n) as one matrix; two weights may want the same."""
        for known, rows in self.stacked:
            if len(known) == len(arrays) and all(map(operator.is_, known, arrays)):
                return rows
        flat = [array.reshape(math.prod(array.shape[:-1]), array.shape[-1]) for array in arrays]
        rows = flat[0] if len(flat) == 1 else np.concatenate(flat)
        self.stacked.append((arrays, rows))
        return rows


def _leading_to(wanted: set[Node], order: list[Node]) -> set[Node]:
    """The nodes of a graph that were computed from a wanted one, these included."""
    needed: set[Any] = set()
    for node in reversed(order):
        if node in wanted or not needed.isdisjoint(node.parents):
            needed.add(node)
    return needed


def _place(node: Node, level: int) -> Scope:
    """Where a recorded sweep that passes a node is at work: where the node is, in reverse."""
    return Scope(node.scope.path, node.scope.steps, level)


def _prepared(node: Node, level: int) -> tuple[Any, Any, tuple[Any, ...]]:
    """The rules, the output and the inputs of a node, for a sweep that is recorded itself."""
    primitive = node.primitive
    assert primitive is not None
    place = _place(node, level)
    rules = [
        functools.partial(_recorded, primitive.vjps[i], place) if isinstance(parent, Node) else None
        for i, parent in enumerate(node.parents)
    ]
    return rules, attach(node.output, node), inputs_of(node)


def _recorded(rule: Any, place: Scope, *args: Any, **keywords: Any) -> Any:
    """Run a rule on Tensors, in the scope of the operation that it differentiates."""
    with in_scope(place):
        contribution = rule(*args, **keywords)
    if isinstance(contribution, Value):
        return contribution
    array = np.asarray(contribution)
    return attach(array, None) if array.dtype.kind in "fiub" else contribution


def inputs_of(node: Node) -> tuple[Any, ...]:
    """A node's saved inputs, the arrays as Tensors at their places in the graph."""
    return tuple(
        x
        if x is None or type(x) in python_scalars
        else attach(x, parent if isinstance(parent, Node) else None)
        for x, parent in zip(node.arrays, node.parents, strict=True)
    )


def _all_at_once(node: Node, g: Any, live: list[bool], differentiable: bool) -> Sequence[Any]:
    """The cotangents of all inputs of a node that stands for a function of several operations."""
    primitive = node.primitive
    assert primitive is not None
    assert primitive.expand is not None
    if primitive.vjps is not None and not differentiable and not current().anomaly:
        contributions: Sequence[Any] = primitive.vjps(node, g, live)
        return contributions
    since = next_number()
    with enable_grad(), in_scope(node.scope):
        outputs = primitive.expand(node)
    seeds: dict[Node, Any] = {}
    for y, cotangent in zip(outputs, g if isinstance(g, list) else [g], strict=True):
        if y.node is not None and cotangent is not None:
            seeds[y.node] = seeds[y.node] + cotangent if y.node in seeds else cotangent
    border = {parent for parent in node.parents if isinstance(parent, Node)}
    found = sweep(seeds, border, differentiable=differentiable, since=since)
    # What is found is a parent's whole share, even where it is an input twice.
    return [
        found.pop(parent, None) if isinstance(parent, Node) else None for parent in node.parents
    ]


def _accumulate(
    pending: dict[Node, Any], owned: set[Node], parent: Node, contribution: Any
) -> None:
    if parent in owned:
        held = pending[parent]
        held += contribution
    elif parent in pending:
        pending[parent] = pending[parent] + contribution
    else:
        pending[parent] = contribution


def _add_into(
    pending: dict[Node, Any],
    owned: set[Node],
    needed: set[Node] | None,
    node: Node,
    g: Any,
    anomaly: bool,
) -> None:
    """Add a cotangent straight into its part of the input's: ``x[t]`` costs O(1), not O(T)."""
    primitive = node.primitive
    assert primitive is not None
    assert primitive.add_into is not None
    for parent, x in zip(node.parents, node.arrays, strict=True):
        if isinstance(parent, Node) and (needed is None or parent in needed):
            if parent not in owned:
                held = pending.get(parent)
                pending[parent] = np.zeros(x.shape, x.dtype) if held is None else np.array(held)
                owned.add(parent)
            total = pending[parent]
            before = total.copy() if anomaly else None
            primitive.add_into(total, g, *node.arrays, **node.keywords)
            if anomaly:
                check_finite(total, (before, g), primitive, node.scope, _adding)


def _add_to_slot(pending: dict[Node, Any], node: Node, g: Any) -> None:
    """A cotangent for one output of a node that has several: they wait in a list."""
    (parent,) = node.parents
    assert isinstance(parent, Node)
    slots = pending.setdefault(parent, [None] * len(parent.output))
    index = node.keywords["index"]
    slots[index] = g if slots[index] is None else slots[index] + g


def _fitted(contribution: Any, index: int, node: Node) -> Any:
    """A cotangent in its input's shape and dtype: the one place where they are un-broadcast."""
    primitive, x = node.primitive, node.arrays[index]
    assert primitive is not None
    if not isinstance(contribution, Value):
        array = np.asarray(contribution)
        # Complex numbers are in a graph only where a derivative is measured by a complex step.
        if array.dtype.kind not in ("fiubc" if x.dtype.kind == "c" else "fiub"):
            raise TypeError(
                f"{_rule_of(node, index)} returned {describe(contribution)}"
                f"{_called(node, index)}, expected real numbers{node.scope}"
            )
        contribution = array
    shape = contribution.shape
    if primitive.elementwise and shape != x.shape:
        try:
            # A rule may leave out what it multiplies by 1: first the output's shape, then back.
            if shape != node.output.shape:
                contribution = ops.broadcast_to(contribution, node.output.shape)
            contribution = ops.sum_to(contribution, x.shape)
        except ValueError:
            pass
    if contribution.shape != x.shape:
        raise ValueError(
            f"{_rule_of(node, index)} returned a cotangent of shape {shape}"
            f"{_called(node, index)}, expected its input's shape {x.shape}{node.scope}"
        )
    return contribution if contribution.dtype == x.dtype else ops.astype(contribution, x.dtype)


def _rule_of(node: Node, index: int) -> str:
    return f"{node.primitive}: its rule for argument {index}"


def _called(node: Node, index: int) -> str:
    """`` (dW)``: the cotangent of an operation's input, where that has a name."""
    parent = node.parents[index]
    name = parent.name if isinstance(parent, Node) else None
    return f" (d{name})" if name else ""


def _check_cotangent(contribution: Any, g: Any, node: Node, index: int) -> None:
    assert node.primitive is not None
    array, incoming = (v._array if isinstance(v, Value) else v for v in (contribution, g))
    inputs: list[Any] = [incoming] if isinstance(incoming, ndarray) else []
    inputs += [x for x in node.arrays if isinstance(x, (ndarray, int, float))]
    check_finite(
        array, inputs, node.primitive, node.scope, f"in its backward{_called(node, index)}"
    )


_adding = "where its backward adds up"


def _check_sum(held: Any, contribution: Any, node: Node) -> None:
    """Two finite cotangents may overflow where they meet."""
    assert node.primitive is not None
    if held is not None:
        summands = [v._array if isinstance(v, Value) else v for v in (held, contribution)]
        total = np.asarray(summands[0] + summands[1])
        check_finite(total, summands, node.primitive, node.scope, _adding)
