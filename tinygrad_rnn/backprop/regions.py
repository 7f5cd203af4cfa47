"""Functions of several operations that are one node of the graph.

``checkpoint`` keeps no intermediates and computes them again in backward; ``fuse`` has a backward
written by hand. Both nodes can be *expanded*: their operations are recorded instead of the node,
to be differentiated or drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from numpy import ndarray

from ..graph import (
    Node,
    Primitive,
    Value,
    ancestors,
    attach,
    current,
    enable_grad,
    in_scope,
    next_number,
    pick,
    record,
)
from .pullbacks import inputs_of

_R = TypeVar("_R")


def checkpoint(f: Callable[..., _R], *args: Any) -> _R:
    """Compute f(*args) without keeping its intermediates; backward computes them again.

    Trades time for memory: with a checkpoint around each of sqrt(T) pieces of a sequence, the
    graph of only one piece is in memory at a time.

    Args:
        f: a function that returns a Tensor or a tuple of Tensors. It runs again in backward and
            must compute the same: seeded random numbers, no tensors rebound in between.
        *args: the arguments of f. Tensors in f's closure get their gradients too.

    Returns:
        The result of f.

    Raises:
        TypeError: f returned anything but Tensors.
        ValueError: (in backward) the recomputed output differs in any bit from the first one.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> tg.checkpoint(lambda x: tg.tanh(x) * x, x).sum().backward()
    >>> bool(np.allclose(x.grad, np.tanh([1, 2]) + [1, 2] * (1 - np.tanh([1, 2]) ** 2)))
    True

    A long sequence in pieces. The result of f stays in memory, so f returns its part of the loss
    and no outputs. xs is a Tensor: its pieces are views. (Arrays would be copied.)

    >>> lstm, xs = tg.nn.LSTM(1, 4, rng=0), tg.Tensor(np.ones((9, 2, 1), np.float32))
    >>> def piece(h, c, x):
    ...     y, (h, c) = lstm(x, (h, c))
    ...     return h, c, tg.square(y).sum()
    >>> h = c = np.zeros((1, 2, 4))
    >>> loss = 0.0
    >>> for start in range(0, 9, 3):
    ...     h, c, part = tg.checkpoint(piece, h, c, xs[start : start + 3])
    ...     loss = loss + part
    >>> loss.backward()
    """
    if not current().recording or current().tracing is not None:
        return f(*args)
    # The arguments for the second run: arrays that nobody else can write into, and their nodes.
    kept = tuple(
        attach(a._array, a.node)
        if isinstance(a, Value)
        else a.copy()
        if isinstance(a, ndarray)
        else a
        for a in args
    )
    results: Any
    # The graph inside is dropped when ``outputs`` is. Only the nodes at its border stay, as the
    # parents of the new node.
    results, outputs, border = _run(f, kept)
    if not border:
        return results  # type: ignore[no-any-return]
    saved = tuple(y._array for y in outputs)

    def again(node: Node) -> list[Value]:
        # ``expanded`` records this node again, on expanded inputs. Then f has to be computed from
        # those, not from the nodes that it saw at first.
        place = dict(zip(border, node.parents, strict=True))
        args = tuple(
            attach(a._array, place.get(a.node, a.node)) if isinstance(a, Value) else a  # type: ignore[arg-type]
            for a in kept
        )
        _, outputs_again, border_again = _run(f, args)
        _require_same(saved, outputs_again, set(node.parents), set(border_again))
        return outputs_again

    # Each call has a primitive of its own, since ``again`` holds the arguments of this call.
    made = Primitive("checkpoint", f, None, expand=again)
    arrays = tuple(node.output for node in border)
    if isinstance(results, Value):
        node = record(made, tuple(border), arrays, saved[0], {}, current().scope)
        return attach(saved[0], node)  # type: ignore[return-value]
    node = record(made, tuple(border), arrays, saved, {}, current().scope)
    picked = [picked_from(node, i) if y.node is not None else y for i, y in enumerate(outputs)]
    together: _R = getattr(type(results), "_make", type(results))(picked)  # of a named tuple
    return together


def picked_from(node: Node, index: int) -> Value:
    """One output of a node that has several, as a Tensor."""
    output = node.output[index]
    return attach(output, record(pick, (node,), (None,), output, {"index": index}, node.scope))


def _run(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, list[Value], list[Node]]:
    """f's result, its tensors in order, and the outside nodes that they depend on."""
    since = next_number()
    results = f(*args)
    outputs = [results] if isinstance(results, Value) else results
    if not isinstance(outputs, (tuple, list)) or not all(isinstance(y, Value) for y in outputs):
        raise TypeError(
            f"checkpoint: expected a function that returns a Tensor or a tuple of Tensors, "
            f"got {type(results).__name__}"
        )
    reached = ancestors([y.node for y in outputs if y.node is not None], since)
    # ``ancestors`` lists older nodes, but does not go on from them: these are the border.
    return results, list(outputs), [node for node in reached if node.number < since]


def _require_same(
    saved: Sequence[ndarray], again: Sequence[Value], border: set[Any], border_again: set[Any]
) -> None:
    same = len(saved) == len(again) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(saved, (y._array for y in again), strict=False)
    )
    if not same or border != border_again:
        raise ValueError(
            "checkpoint: the function computed something else when it ran again in backward; "
            "seed its random numbers inside, and rebind no tensor between forward and backward"
        )


# ── functions with a hand-written backward ───────────────────────────────────────────────


def fuse(
    reference: Callable[..., Sequence[Value]],
    forward: Callable[..., tuple[tuple[ndarray, ...], Any]],
    vjps: Callable[..., Sequence[Any]],
    *,
    without_graph: Callable[..., tuple[tuple[ndarray, ...], Any]] | None = None,
) -> Callable[..., Any]:
    """Give a function of several operations a hand-written forward and backward of one node.

    A call then records one node instead of many. The reference itself still runs on ndarrays,
    inside ``detect_anomaly``, and where a second derivative or a picture needs the single
    operations. A property test has to show that both compute the same.

    Args:
        reference: ``reference(*inputs)`` in the library's operations. It takes Tensors, arrays and
            None, and returns a tuple of Tensors or arrays.
        forward: ``forward(*arrays) -> (outputs, saved)`` in plain NumPy.
        vjps: ``vjps(gs, saved, live, *arrays)`` returns the cotangent of each input. ``gs`` lists
            the cotangents of the outputs, None where there is none. The result may be None for an
            input that is not ``live``, and a :class:`Deferred` for a weight.
        without_graph: the same as ``forward``, for calls that record nothing and so have nothing
            to save; None for ``forward`` itself.

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
                arrays.append(x._array)
                parents.append(x.node or x._label)
                recorded = recorded or x.node is not None
            elif x is None:
                arrays.append(None)
                parents.append(None)
            else:
                return reference(*inputs)
        if state.anomaly or state.tracing is not None:
            return reference(*inputs)
        recorded = recorded and state.recording
        outputs, saved = (forward if recorded else without_graph or forward)(*arrays)
        if not recorded:
            return tuple([attach(output, None) for output in outputs])
        node = record(op, tuple(parents), tuple(arrays), outputs, {"saved": saved}, state.scope)
        return tuple([picked_from(node, i) for i in range(len(outputs))])

    call.primitive = op  # type: ignore[attr-defined]
    return call


def expanded(nodes: Sequence[Node]) -> list[Node]:
    """The nodes of the same values in a graph where every node is a single operation.

    The operations of :func:`fuse` and :func:`checkpoint` replace their nodes. All nodes that were
    computed from those are recorded again. Leaves stay the same nodes.
    """
    order = ancestors(nodes)
    # An expanded function may contain others (a checkpoint around a layer), so repeat.
    while any(node.primitive is not None and node.primitive.expand for node in order):
        # From each old node to the new one; to a list of nodes for a function with several outputs,
        # from which ``pick`` takes one.
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
