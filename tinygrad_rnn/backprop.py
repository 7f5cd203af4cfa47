"""Differentiation: the reverse sweep, and the functions that are made of it.

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
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from . import graph, ops
from .graph import (
    Array,
    Node,
    Primitive,
    Rule,
    Scope,
    Value,
    ancestors,
    attach,
    check_finite,
    current,
    describe,
    enable_grad,
    in_scope,
    leaf,
    numeric,
    pick,
    record,
    same,
)

# ── the sweep ────────────────────────────────────────────────────────────────────────────


def sweep(
    seeds: dict[Node, Any],
    wanted: set[Node] | None = None,
    *,
    differentiable: bool = False,
    since: int = 0,
) -> dict[Node, Any]:
    """Send cotangents from the seeded nodes back through the graph.

    Args:
        seeds: the cotangent of each node to start from (ndarrays, or Tensors where
            ``differentiable``); a node with several outputs has a list, None where missing.
        wanted: the nodes whose cotangents to return, and the only ones that are worked
            towards; None for every leaf.
        differentiable: run the rules on Tensors, recording what they do.
        since: nodes with a smaller creation number are not passed.

    Returns:
        The cotangent of every wanted node that was reached. Treat the arrays as read-only: one
        may be shared with another cotangent or with the graph.

    Raises:
        ValueError: a rule returned a cotangent of the wrong shape; the message names it.
        TypeError: a rule returned something that is not real numbers.
        FloatingPointError: inside ``detect_anomaly``, the first NaN or Inf.
    """
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
                _add_into(pending, owned, needed, node, g)
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
                    parent, x = parents[i], arrays[i]
                    if type(contribution) is Later:
                        weights.put_off(parent, contribution, i, node)
                        continue
                    if contribution.shape != x.shape or contribution.dtype is not x.dtype:
                        contribution = _fitted(contribution, i, node)
                    if anomaly:
                        _check_cotangent(contribution, g, node)
                        _check_sum(pending.get(parent), contribution, node)
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
            if rule is same:
                contribution = g
            elif arity == 1:
                contribution = rule(g, output, x)
            elif arity == 2:
                contribution = rule(g, output, arrays[0], arrays[1])
            else:
                contribution = rule(g, output, *arrays, **node.keywords)
            try:
                if contribution.shape != x.shape or contribution.dtype is not x.dtype:
                    contribution = _fitted(contribution, i, node)
            except AttributeError:
                contribution = _fitted(contribution, i, node)
            if anomaly:
                _check_cotangent(contribution, g, node)
                _check_sum(pending.get(parent), contribution, node)
            if parent not in pending:
                pending[parent] = contribution
            elif parent in owned:
                held = pending[parent]
                held += contribution
            else:
                pending[parent] = total = pending[parent] + contribution
                if type(total) is ndarray:  # neither a Tensor nor the scalar of 0-d arrays
                    owned.add(parent)
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
        for rule in dict.fromkeys(later.rule for later, _, _ in waiting):
            alike = [entry for entry in waiting if entry[0].rule is rule]
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


def _prepared(node: Node, level: int) -> tuple[Any, Any, tuple[Any, ...]]:
    """The rules, the output and the inputs of a node, for a sweep that is recorded itself."""
    primitive = node.primitive
    assert primitive is not None
    place = Scope(node.scope.path, node.scope.steps, level)
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
        attach(x, parent if isinstance(parent, Node) else None) if isinstance(x, ndarray) else x
        for x, parent in zip(node.arrays, node.parents, strict=True)
    )


def _all_at_once(node: Node, g: Any, live: list[bool], differentiable: bool) -> Sequence[Any]:
    """The cotangents of all inputs of a node that stands for a function of several operations."""
    primitive = node.primitive
    assert primitive is not None
    assert primitive.expand is not None
    if primitive.vjps is not None and not differentiable:
        contributions: Sequence[Any] = primitive.vjps(node, g, live)
        return contributions
    since = graph.next_number()
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
    pending: dict[Node, Any], owned: set[Node], needed: set[Node] | None, node: Node, g: Any
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
            primitive.add_into(pending[parent], g, *node.arrays, **node.keywords)


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
    where = f"{primitive.name}: its rule for argument {index}"
    if not isinstance(contribution, Value):
        array = np.asarray(contribution)
        # Complex numbers are in a graph only where a derivative is measured by a complex step.
        if array.dtype.kind not in ("fiubc" if x.dtype.kind == "c" else "fiub"):
            raise TypeError(
                f"{where} returned {describe(contribution)}, expected real numbers{node.scope}"
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
            f"{where} returned a cotangent of shape {shape}, expected its input's shape "
            f"{x.shape}{node.scope}"
        )
    return contribution if contribution.dtype == x.dtype else ops.astype(contribution, x.dtype)


def _check_cotangent(contribution: Any, g: Any, node: Node) -> None:
    assert node.primitive is not None
    array, incoming = (v._data if isinstance(v, Value) else v for v in (contribution, g))
    inputs: list[Any] = [incoming] if isinstance(incoming, ndarray) else []
    inputs += [x for x in node.arrays if isinstance(x, (ndarray, int, float))]
    check_finite(array, inputs, node.primitive, node.scope, "in its backward")


def _check_sum(held: Any, contribution: Any, node: Node) -> None:
    """Two finite cotangents may overflow where they meet."""
    assert node.primitive is not None
    if held is not None:
        summands = [v._data if isinstance(v, Value) else v for v in (held, contribution)]
        total = np.asarray(summands[0] + summands[1])
        check_finite(total, summands, node.primitive, node.scope, "where its backward adds up")


# ── backward and grad ────────────────────────────────────────────────────────────────────


def _seed(output: Value, grad: Any, where: str, example: str) -> Any:
    """The cotangent to start from: 1 for a scalar, else what the caller gave."""
    data = output._data
    if grad is None:
        if data.size != 1:
            raise ValueError(
                f"{where}: expected a scalar, got shape {data.shape}; sum it up, or pass the "
                f"gradient with respect to it: {example}"
            )
        return np.ones(data.shape, data.dtype)
    if isinstance(grad, Value):
        shape, seed = grad._data.shape, grad._data
    else:
        seed = numeric(grad, where)
        shape = seed.shape
    if shape != data.shape:
        raise ValueError(
            f"{where}: expected a gradient of the output's shape {data.shape}, got {shape}"
        )
    return seed.astype(data.dtype)


def backward(output: Value, grad: Any = None, *, retain_grads: bool = False) -> None:
    """Add dL/dx to ``x.grad`` of every leaf x that the output was computed from.

    See :meth:`tinygrad_rnn.Tensor.backward`.
    """
    if output.node is None:
        raise ValueError(
            "backward: nothing to differentiate; no tensor that this output was computed from has "
            "requires_grad=True (or it was computed under no_grad)"
        )
    seed = _seed(output, grad, "backward", "y.backward(grad)")
    wanted = set(ancestors([output.node])) if retain_grads else None
    for node, cotangent in sweep({output.node: seed}, wanted).items():
        if isinstance(cotangent, list):  # a node with several outputs: its picks have them
            continue
        before = node.grad
        node.grad = np.array(cotangent if before is None else before + cotangent)


def grad(
    output: Value,
    inputs: Value | Sequence[Value],
    grad_output: Any = None,
    create_graph: bool = False,
) -> Any:
    """The gradient of an output with respect to the given tensors; no ``.grad`` is touched.

        dL/dx for each x in inputs,   L = sum(output * grad_output)

    Args:
        output: a scalar, or any shape together with ``grad_output``.
        inputs: one Tensor or a sequence of them, leaves or intermediates, requiring grad.
        grad_output: the cotangent of the output, of its shape; 1 for a scalar.
        create_graph: record the sweep, so that the result can be differentiated again.

    Returns:
        A tuple of Tensors for a sequence, one Tensor for one; zeros where the output does not
        depend on the input.

    Raises:
        ValueError: the output is not a scalar and there is no ``grad_output``, or its shape is
            wrong, or an input does not require grad.
        TypeError: the output or an input is not a Tensor.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> dx = tg.grad(x ** 3, x, create_graph=True)
    >>> dx.item(), tg.grad(dx, x).item()
    (27.0, 18.0)
    """
    if not isinstance(output, Value):
        raise TypeError(f"grad: expected an output Tensor, got {type(output).__name__}")
    single = isinstance(inputs, Value)
    sources: Sequence[Value] = (inputs,) if isinstance(inputs, Value) else tuple(inputs)
    for i, x in enumerate(sources):
        if not isinstance(x, Value):
            raise TypeError(f"grad: expected Tensors as inputs, input {i} is {type(x).__name__}")
        if x.node is None:
            raise ValueError(f"grad: input {i} ({describe(x)}) does not require grad")
    seed = _seed(output, grad_output, "grad", "grad(y, x, grad_output)")
    found: dict[Node, Any] = {}
    if output.node is not None:
        if create_graph:
            given = isinstance(grad_output, Value)
            seed = ops.astype(grad_output, seed.dtype) if given else attach(seed, None)
        nodes = {x.node for x in sources if x.node is not None}
        found = sweep({output.node: seed}, nodes, differentiable=create_graph)
    gradients = tuple(_as_result(found.get(x.node) if x.node else None, x) for x in sources)
    return gradients[0] if single else gradients


def _as_result(cotangent: Any, x: Value) -> Value:
    if cotangent is None:
        return attach(np.zeros_like(x._data), None)
    return cotangent if isinstance(cotangent, Value) else attach(np.array(cotangent), None)


# ── derivatives of functions ─────────────────────────────────────────────────────────────


def _variable(x: Any, where: str) -> Value:
    """A place in the graph for x that is this function's own: a leaf, or a copy of a live x."""
    if isinstance(x, Value) and x.node is not None:
        with enable_grad():  # what is computed here is differentiated even under no_grad
            copy: Value = ops.positive(x)
        return copy
    array = x._data if isinstance(x, Value) else np.array(numeric(x, where))
    if array.dtype.kind != "f":
        raise TypeError(f"{where}: only floats have a derivative, got {array.dtype}")
    return attach(array, leaf(array))


def _value(y: Any) -> Value:
    return y if isinstance(y, Value) else attach(np.asarray(y), None)


def _settled(result: Value, own: set[Node | None]) -> Value:
    """Without a graph, if all it could lead back to are the variables made here."""
    node = result.node
    if node is None:
        return result
    leads_elsewhere = any(n.is_leaf and n not in own for n in ancestors([node]))
    return result if leads_elsewhere and current().recording else attach(result._data, None)


def value_and_grad(f: Callable[..., Value]) -> Callable[..., tuple[Value, Value]]:
    """Turn f into a function that returns f's value and its gradient for the first argument.

    Args:
        f: a function that returns a scalar Tensor.

    Returns:
        ``h(x, *args, **kw) -> (f(x, *args, **kw), df/dx)``, two Tensors.

    Raises:
        ValueError: f returned something that is not a scalar.
        TypeError: the first argument does not hold floats.

    >>> import tinygrad_rnn as tg
    >>> value, gradient = tg.value_and_grad(lambda x: tg.sum(x * x))([1.0, 2.0])
    >>> value.item(), gradient.numpy()
    (5.0, array([2., 4.]))
    """

    @functools.wraps(f)
    def with_gradient(*args: Any, **keywords: Any) -> tuple[Value, Value]:
        if not args:
            raise TypeError("value_and_grad: expected an argument to differentiate for, got none")
        x = _variable(args[0], "value_and_grad")
        nested = isinstance(args[0], Value) and args[0].node is not None
        with enable_grad():
            value = _value(f(x, *args[1:], **keywords))
            gradient = grad(value, x, create_graph=nested)
        return _settled(value, {x.node}), _settled(gradient, {x.node})

    return with_gradient


def jvp(f: Callable[[Any], Value], x: Any, v: Any) -> Value:
    """The derivative of f at x in the direction v: the Jacobian-vector product ``J v``.

    Computed with two reverse sweeps: ``u -> J' u`` is linear, and its own transpose is ``J``.

    Args:
        f: a function of one Tensor that returns a Tensor.
        x: where; an array or a Tensor of floats.
        v: the direction, of x's shape.

    Returns:
        A Tensor of f(x)'s shape.

    Raises:
        ValueError: v has another shape than x.
        TypeError: x does not hold floats.

    Source: the trick is J. Townsend's, https://j-towns.github.io/2017/06/12/A-new-trick.html

    >>> import tinygrad_rnn as tg
    >>> tg.jvp(tg.sin, [0.0, 0.0], [1.0, 2.0]).numpy()
    array([1., 2.])
    """
    x = _variable(x, "jvp")
    with enable_grad():
        y = _value(f(x))
        zeros = np.zeros_like(y._data)
        u = attach(zeros, leaf(zeros))
        pulled = grad(y, x, u, create_graph=True)
        pushed = grad(pulled, u, _direction(v, x, "jvp"), create_graph=True)
    return _settled(pushed, {x.node, u.node})


def _direction(v: Any, x: Value, where: str) -> Any:
    shape = ops.shape_of(v)
    if shape != x._data.shape:
        raise ValueError(f"{where}: expected a direction of shape {x._data.shape}, got {shape}")
    return v


def jacobian(f: Callable[[Any], Value], x: Any) -> Value:
    """All derivatives of f at x: ``J[i, j] = df_i / dx_j``.

    One reverse sweep for each element of f(x).

    Args:
        f: a function of one Tensor that returns a Tensor.
        x: where; an array or a Tensor of floats.

    Returns:
        A Tensor of shape ``f(x).shape + x.shape``.

    Raises:
        TypeError: x does not hold floats.

    >>> import tinygrad_rnn as tg
    >>> tg.jacobian(lambda x: x * x, [1.0, 2.0]).numpy()
    array([[2., 0.],
           [0., 4.]])
    """
    x = _variable(x, "jacobian")
    with enable_grad():
        y = _value(f(x))
        shape = y._data.shape + x._data.shape
        rows = []
        for i in range(y._data.size):
            one = np.zeros(y._data.size, y._data.dtype)
            one[i] = 1
            rows.append(grad(y, x, one.reshape(y._data.shape), create_graph=True))
        if not rows:
            return attach(np.zeros(shape, x._data.dtype), None)
        result = ops.reshape(ops.stack(rows), shape)
    return _settled(result, {x.node})


def hessian(f: Callable[[Any], Value], x: Any) -> Value:
    """All second derivatives of a scalar function: ``H[i, j] = d^2 f / dx_i dx_j``.

    Args:
        f: a function of one Tensor that returns a scalar Tensor.
        x: where; an array or a Tensor of floats.

    Returns:
        A Tensor of shape ``x.shape + x.shape``.

    Raises:
        ValueError: f(x) is not a scalar.
        TypeError: x does not hold floats.

    >>> import tinygrad_rnn as tg
    >>> tg.hessian(lambda x: tg.sum(x ** 3), [1.0, 2.0]).numpy()
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    return jacobian(lambda x: grad(_value(f(x)), x, create_graph=True), x)


def hvp(f: Callable[[Any], Value], x: Any, v: Any) -> Value:
    """The Hessian of a scalar function times a vector, ``H v``, without building H.

    The gradient of ``v . grad f``: two sweeps, whatever the size of x.

    Args:
        f: a function of one Tensor that returns a scalar Tensor.
        x: where; an array or a Tensor of floats.
        v: the vector, of x's shape.

    Returns:
        A Tensor of x's shape.

    Raises:
        ValueError: f(x) is not a scalar, or v has another shape than x.
        TypeError: x does not hold floats.

    Source: Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation 6 (1994).

    >>> import tinygrad_rnn as tg
    >>> tg.hvp(lambda x: tg.sum(x ** 3), [1.0, 2.0], [1.0, 1.0]).numpy()
    array([ 6., 12.])
    """
    x = _variable(x, "hvp")
    v = _direction(v, x, "hvp")
    with enable_grad():
        gradient = grad(_value(f(x)), x, create_graph=True)
        result = grad(gradient, x, v, create_graph=True)
    return _settled(result, {x.node})


# ── checkpoint ───────────────────────────────────────────────────────────────────────────


def checkpoint(f: Callable[..., Any], *args: Any) -> Any:
    """Compute f(*args) without keeping its intermediates; backward computes them again.

    Trades time for memory: with a checkpoint around each of sqrt(T) pieces of a sequence, the
    graph of only one piece is in memory at a time.

    Args:
        f: a function that returns a Tensor or a tuple of Tensors. It runs again in backward and
            must compute the same: seeded random numbers, no tensors rebound in between.
        *args: what f takes; Tensors that f reaches by closure get their gradients too.

    Returns:
        What f returns.

    Raises:
        TypeError: f returned something else than Tensors.
        ValueError: (in backward) the recomputed output differs in any bit from the first one.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> tg.checkpoint(lambda x: tg.tanh(x) * x, x).sum().backward()
    >>> bool(np.allclose(x.grad, np.tanh([1, 2]) + [1, 2] * (1 - np.tanh([1, 2]) ** 2)))
    True
    """
    if not current().recording:
        return f(*args)
    # What f will be given again: arrays that nobody else can write into, places in the graph.
    kept = tuple(
        attach(a._data, a.node)
        if isinstance(a, Value)
        else a.copy()
        if isinstance(a, ndarray)
        else a
        for a in args
    )
    results, outputs, border = _run(f, kept)
    if not border:
        return results
    saved = tuple(y._data for y in outputs)

    def again(node: Node) -> list[Value]:
        _, outputs_again, border_again = _run(f, kept)
        _require_same(saved, [y._data for y in outputs_again], border, border_again)
        return outputs_again

    made = Primitive("checkpoint", f, None, expand=again)
    arrays = tuple(node.output for node in border)
    if isinstance(results, Value):
        node = record(made, tuple(border), arrays, saved[0], {}, current().scope)
        return attach(saved[0], node)
    node = record(made, tuple(border), arrays, saved, {}, current().scope)
    picked = [picked_from(node, i) if y.node is not None else y for i, y in enumerate(outputs)]
    return getattr(type(results), "_make", type(results))(picked)  # _make: of a named tuple


def picked_from(node: Node, index: int) -> Value:
    """One output of a node that has several, as a Tensor."""
    output = node.output[index]
    return attach(output, record(pick, (node,), (None,), output, {"index": index}, node.scope))


def _run(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, list[Value], list[Node]]:
    """f's result, its tensors in order, and the nodes from outside that they depend on."""
    since = graph.next_number()
    results = f(*args)
    outputs = [results] if isinstance(results, Value) else results
    if not isinstance(outputs, (tuple, list)) or not all(isinstance(y, Value) for y in outputs):
        raise TypeError(
            f"checkpoint: expected a function that returns a Tensor or a tuple of Tensors, "
            f"got {type(results).__name__}"
        )
    reached = ancestors([y.node for y in outputs if y.node is not None], since)
    return results, list(outputs), [node for node in reached if node.number < since]


def _require_same(
    saved: Sequence[ndarray], again: Sequence[ndarray], border: list[Node], border_again: list[Node]
) -> None:
    same = len(saved) == len(again) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(saved, again, strict=False)
    )
    if not same or border != border_again:
        raise ValueError(
            "checkpoint: the function computed something else when it ran again in backward; "
            "seed its random numbers inside, and rebind no tensor between forward and backward"
        )


# ── functions that are one node ──────────────────────────────────────────────────────────


def fuse(
    reference: Callable[..., Sequence[Value]],
    forward: Callable[..., tuple[tuple[ndarray, ...], Any]],
    vjps: Callable[..., Sequence[Any]],
) -> Callable[..., Any]:
    """Give a function of several operations a hand-written forward and backward of one node.

    Recording is then one node instead of many. Everything else stays the reference's: it runs on
    ndarrays, inside ``detect_anomaly`` and wherever the node's inside is asked for (a second
    derivative, a picture). A property test has to tie the two.

    Args:
        reference: ``reference(*inputs)`` in the library's operations: a tuple of Tensors or
            arrays from Tensors, arrays and None.
        forward: ``forward(*arrays) -> (outputs, saved)`` in plain NumPy.
        vjps: ``vjps(gs, saved, live, *arrays)``: the cotangents of all inputs, given the list of
            those of the outputs, None where missing; None where ``live`` says that it is not
            wanted. A weight's may be a :class:`Later`.

    Returns:
        A function with the reference's arguments and results.
    """

    def backward_all(node: Node, gs: list[Any], live: list[bool]) -> Sequence[Any]:
        return vjps(gs, node.keywords["saved"], live, *node.arrays)

    op = Primitive(
        reference.__name__, forward, backward_all, expand=lambda node: reference(*inputs_of(node))
    )

    @functools.wraps(reference)
    def call(*inputs: Any) -> Any:
        state = current()
        arrays: list[Any] = []
        parents: list[Node | str | None] = []
        recorded = False
        for x in inputs:
            if isinstance(x, Value):
                arrays.append(x._data)
                parents.append(x.node or x._label)
                recorded = recorded or x.node is not None
            elif x is None:
                arrays.append(None)
                parents.append(None)
            else:
                return reference(*inputs)
        if state.anomaly:
            return reference(*inputs)
        outputs, saved = forward(*arrays)
        if not (recorded and state.recording):
            return tuple([attach(output, None) for output in outputs])
        node = record(op, tuple(parents), tuple(arrays), outputs, {"saved": saved}, state.scope)
        return tuple([picked_from(node, i) for i in range(len(outputs))])

    call.primitive = op  # type: ignore[attr-defined]
    return call


def expanded(nodes: Sequence[Node]) -> list[Node]:
    """The places of the same values in a graph in which no node hides several operations.

    Nodes made by :func:`fuse` and :func:`checkpoint` are replaced by the operations that they
    stand for, and what was computed from these is recorded anew; leaves stay what they are.
    """
    order = ancestors(nodes)
    while any(node.primitive is not None and node.primitive.expand for node in order):
        place: dict[Any, Any] = {}
        for node in reversed(order):
            parents = tuple(place.get(parent, parent) for parent in node.parents)
            if node.primitive is pick and isinstance(parents[0], list):
                place[node] = parents[0][node.keywords["index"]]
                if node.name is not None:
                    place[node].name = node.name
            elif node.primitive is None or not (node.primitive.expand or parents != node.parents):
                place[node] = node
            else:
                copy = record(
                    node.primitive, parents, node.arrays, node.output, node.keywords, node.scope
                )
                copy.name = node.name
                place[node] = copy
                if node.primitive.expand:
                    with enable_grad(), in_scope(node.scope):
                        outputs = [y.node for y in node.primitive.expand(copy)]
                    place[node] = outputs if isinstance(node.output, tuple) else outputs[0]
        nodes = [place[node] for node in nodes]
        order = ancestors(nodes)
    return list(nodes)


__all__ = [
    "Array",
    "backward",
    "checkpoint",
    "expanded",
    "fuse",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "sweep",
    "value_and_grad",
]
