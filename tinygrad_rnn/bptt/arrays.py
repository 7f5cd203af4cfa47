"""Arrays over time that users ask for: the gradients of a weight by step; gates and states."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Node, Value
from ..ops import primitives
from .loops import Columns, cotangents_of, norm, quiet, shares
from .steps import Loop, scalar_node, single_operations
from .structure import Structure, stem

_sigmoid = primitives.sigmoid


@quiet
def grads_by_step(loss: Value, W: Value) -> ndarray:
    """The contribution of each time step to the gradient of a weight.

        sum_t grads_by_step(loss, W)[t] = dL/dW

    Backpropagation through time adds up one gradient for each use of a shared weight; these are
    the summands. Each path from the loss back to W is counted at the last time step on it. For a
    ``linear`` on stacked states, after the loop, each row counts at the step that it came from.

    Args:
        loss: a scalar Tensor. No ``.grad`` changes.
        W: a leaf in the loss's graph.

    Returns:
        (T, \\*W.shape), in W's dtype. T counts up to the last step that the loss depends on. If
        loops follow each other (an encoder, a decoder), their steps come one after the other.

    Raises:
        TypeError: the loss or W is not a Tensor.
        ValueError: the loss is not a scalar, has no graph, or was computed without time steps; or
            W is not a leaf that requires grad, or part of its gradient belongs to no step.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> cell = tg.nn.RNNCell(3, 4, dtype=np.float64, rng=0)
    >>> h = None
    >>> for t, x_t in tg.steps(np.ones((5, 2, 3))):
    ...     h = cell(x_t, h)
    >>> loss = tg.sum(h)
    >>> by_step = tg.grads_by_step(loss, cell.weight_hh)
    >>> by_step.shape
    (5, 4, 4)
    >>> bool(np.allclose(by_step.sum(axis=0), tg.grad(loss, cell.weight_hh).data))
    True
    """
    node = leaf_of(W)
    output = scalar_node(loss, "grads_by_step")
    try:
        structure = Structure(output)
    except ValueError as error:
        raise ValueError(f"grads_by_step: {error}") from error
    return by_step(structure, Columns(structure), cotangents_of(structure), node)


def leaf_of(W: Any) -> Node:
    """The node of a weight."""
    if not isinstance(W, Value):
        raise TypeError(f"grads_by_step: expected W as a Tensor, got {type(W).__name__}")
    if W.node is None or not W.node.is_leaf:
        raise ValueError("grads_by_step: expected W as a leaf that requires grad")
    return W.node


def by_step(
    structure: Structure, columns: Columns, cotangents: dict[Node, Any], W: Node
) -> ndarray:
    """The contributions of all columns to the gradient of a weight."""
    result = np.zeros((columns.T, *W.output.shape), W.output.dtype)
    for column, by_leaf in shares(structure, columns, cotangents, {W}):
        if column is not None:
            result[column] += by_leaf[W]
        elif by_leaf[W].any():
            raise ValueError(
                f"grads_by_step: {W.name or 'W'} also has a gradient of norm "
                f"{norm([by_leaf[W]]):.3g} that belongs to no time step: it is used outside the "
                "loop, in an operation that mixes the steps"
            )
    return result


# ── gates and states ─────────────────────────────────────────────────────────────────────


def activations(output: Value) -> dict[str, ndarray]:
    """Every gate, candidate and state in the graph of an output, over all time steps.

    The names are the cell's own: i, f, g, o, c and h for an LSTM; r, z, n and h for a GRU. With
    several layers, directions or loops, a prefix tells them apart (``lstm.l0.f``). In your own
    cell, a state is called h or c, or by its name. A gate is called by its name
    (``f.name = "f_t"``); the sigmoids without a name are ``gate 1``, ``gate 2``, in order.

    Args:
        output: a layer's output, a state, or a loss.

    Returns:
        A dict of arrays (T, N, H), or (T, H) if unbatched, by the loop's own time steps. They are
        NaN past a sequence's end (``lengths``), and at steps that are not in the output's graph.

    Raises:
        TypeError: the output is not a Tensor.
        ValueError: it has no graph, or was computed without time steps.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> gru = tg.nn.GRU(3, 4, rng=0)
    >>> y, h = gru(np.ones((5, 2, 3)))
    >>> found = tg.activations(y)
    >>> list(found), found["z"].shape
    (['r', 'z', 'n', 'h'], (5, 2, 4))
    >>> bool(np.allclose(found["h"], y.data))
    True
    """
    if not isinstance(output, Value):
        raise TypeError(f"activations: expected a Tensor, got {type(output).__name__}")
    if output.node is None:
        raise ValueError(
            "activations: this tensor has no graph; compute it outside no_grad() from a tensor "
            "with requires_grad=True"
        )
    try:
        structure = Structure(single_operations(output.node))
    except ValueError as error:
        raise ValueError(f"activations: {error}") from error
    return collected(structure)


def collected(structure: Structure) -> dict[str, ndarray]:
    """Every gate, candidate and state of a graph, see :func:`activations`."""
    nodes_of: dict[tuple[Loop, str], dict[int, Node]] = defaultdict(dict)
    for time_step, members in structure.members.items():
        gates = 0
        for node in members:
            trajectory = structure.holds.get(node)
            if trajectory is not None:
                if trajectory.nodes.get(time_step.t) is node:
                    nodes_of[time_step.loop, trajectory.plain][time_step.t] = node
                continue
            if node.primitive is _sigmoid:
                gates += 1
            if node in structure.reads or not node.output.ndim:
                continue
            if node.name:
                nodes_of[time_step.loop, stem(node.name)].setdefault(time_step.t, node)
            elif node.primitive is _sigmoid:
                nodes_of[time_step.loop, f"gate {gates}"][time_step.t] = node
    alike = Counter(name for _, name in nodes_of)
    loops = Counter(loop.name for loop in structure.loops)
    result: dict[str, ndarray] = {}
    for (loop, name), nodes in nodes_of.items():
        if alike[name] > 1:
            where = (
                loop.name if loops[loop.name] == 1 else f"loop {structure.loops.index(loop) + 1}"
            )
            name = f"{where}.{name}"
        stacked = _stacked(structure, loop, nodes)
        if stacked is not None:
            result[name] = stacked
    return result


def _stacked(structure: Structure, loop: Loop, nodes: dict[int, Node]) -> ndarray | None:
    """The arrays of one value at all steps, stacked; None if its shape changes."""
    shapes = {node.output.shape for node in nodes.values()}
    if len(shapes) > 1:
        return None
    (shape,) = shapes
    T = 1 + max(time_step.t for time_step in loop.time_steps)
    dtype: Any = np.result_type(next(iter(nodes.values())).output.dtype, np.float32)
    result = np.full((T, *shape), np.nan, dtype)
    for t, node in nodes.items():
        result[t] = node.output
        masks = structure.masks_at.get(structure.time_step[node])
        if masks and masks[0].ndim == len(shape):
            result[t] = np.where(masks[0], node.output, np.nan)
    return result
