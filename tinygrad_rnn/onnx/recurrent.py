"""Loops over time: recurrent layers as RNN, LSTM and GRU, and any other cell as Scan.

ONNX has the gates in its own order, i, o, f, c for an LSTM and z, r, h for a GRU, and an axis for
the direction before all others. A weight goes into the model in this order, under its own name.

Source: https://onnx.ai/onnx/operators/onnx__LSTM.html (and __RNN, __GRU, __Scan)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from .. import nn, ops
from ..graph import Primitive, Value, attach

if TYPE_CHECKING:
    from .build import Builder, Wire

#: For each gate of ONNX its number among ours.
GATES = {"RNN": (0,), "LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


def in_order(array: ndarray, order: Sequence[int]) -> ndarray:
    """The gates of a weight (G H, ...) in another order."""
    parts = np.split(array, len(order))
    return np.concatenate([parts[k] for k in order])


def _gates(b: Builder, x: Wire, kind: str, direction: bool = False) -> Wire:
    """A weight in ONNX's order of gates, with an axis for the direction if asked."""
    order = GATES[kind]
    if x.weight is not None:
        array = in_order(x.value, order)
        return b.initializer(array[np.newaxis] if direction else array, x.weight)
    if len(order) > 1:
        parts = b.nodes("Split", x, dtypes=[None] * len(order), axis=0, num_outputs=len(order))
        x = b.node("Concat", *[parts[k] for k in order], axis=0)
    return b.node("Unsqueeze", x, b.ints([0])) if direction else x


def _is_zero(x: Wire) -> bool:
    value = getattr(x.value, "value", x.value)  # of an array of unknown size its only number
    return value is not None and not np.any(value)


def _recurrent(
    b: Builder,
    x: Wire,
    lengths: Any,
    *others: Wire,
    kind: str,
    names: Sequence[str],
    reverse: bool,
    states: int,
    nonlinearity: str | None = None,
    reset_after: bool | None = None,
) -> list[Wire]:
    first, weights = list(others[:states]), dict(zip(names, others[states:], strict=True))
    batched = x.ndim == 3
    if not batched:
        x = b.node("Unsqueeze", x, b.ints([1]))
        first = [b.node("Unsqueeze", h, b.ints([0]))._replace(value=h.value) for h in first]
    bias = None
    if "bias_ih" in weights:
        both = [_gates(b, weights[name], kind) for name in ("bias_ih", "bias_hh")]
        bias = b.node("Unsqueeze", b.node("Concat", *both, axis=0), b.ints([0]))
    initial: list[Any] = [None] * states
    if not all(map(_is_zero, first)):
        initial = [b.node("Unsqueeze", h, b.ints([0])) for h in first]
    peepholes = None
    if "weight_pi" in weights:
        joined = b.node("Concat", *[weights[f"weight_p{gate}"] for gate in "iof"], axis=0)
        peepholes = b.node("Unsqueeze", joined, b.ints([0]))
    ys, *final = b.nodes(
        kind,
        x,
        _gates(b, weights["weight_ih"], kind, True),
        _gates(b, weights["weight_hh"], kind, True),
        bias,
        None if lengths is None else b.cast(lengths, np.int32),
        *initial,
        peepholes,
        dtypes=[x.dtype] * (1 + states),
        hidden_size=b.outs[0][0][-1],
        direction="reverse" if reverse else "forward",
        activations=["Relu"] if nonlinearity == "relu" else None,
        linear_before_reset=None if reset_after is None else int(reset_after),
    )
    axes = [0] if batched else [0, 1]
    final = [b.node("Squeeze", h, b.ints(axes)) for h in final]
    return [*final, b.node("Squeeze", ys, b.ints([1] if batched else [1, 2]))]


def _loop(b: Builder, *inputs: Wire, body: Any, reverse: bool, states: int) -> list[Wire]:
    outs = b.outs
    graph, level = b.loop(body, "cell")
    sequences, outputs = len(inputs) - states, len(outs) - states
    way = int(reverse)
    return b.nodes(
        "Scan",
        *inputs,
        dtypes=[dtype for _, dtype in outs],
        level=level,
        body=graph,
        num_scan_inputs=sequences,
        scan_input_directions=[way] * sequences,
        scan_output_directions=[way] * outputs if outputs else None,
    )


def run_recurrent(
    kind: str,
    x: Any,
    W: Any,
    R: Any,
    B: Any = None,
    lengths: Any = None,
    initial_h: Any = None,
    *others: Any,
    hidden_size: int | None = None,
    direction: str = "forward",
    activations: Sequence[str] | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    **unknown: Any,
) -> tuple[Any, ...]:
    """What an RNN, LSTM or GRU node computes: Y, Y_h and, of an LSTM, Y_c.

    Raises:
        ValueError: an attribute is not known here.
    """
    ways = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[direction]
    usual = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
    names = list(activations or usual[kind] * len(ways))
    relu = kind == "RNN" and names == ["Relu"] * len(ways)
    if not relu and names != usual[kind] * len(ways):
        raise ValueError(f"the activations {', '.join(names)} are not known here")
    for name, value in unknown.items():
        if value:
            raise ValueError(f"the attribute {name} = {value} is not known here")
    initial_c, peepholes = (*others, None, None)[:2] if kind == "LSTM" else (None, None)
    given = (x, W, R, B, initial_h, initial_c, peepholes)
    x, W, R, B, initial_h, initial_c, peepholes = map(_value, given)
    if layout:
        x = ops.swapaxes(x, 0, 1)
    steps, N, D = x.shape
    H = R.shape[-1]
    dtype = x.dtype
    states = 2 if kind == "LSTM" else 1
    options: dict[str, Any] = {}
    if kind == "RNN":
        options["nonlinearity"] = "relu" if relu else "tanh"
    if kind == "GRU":
        options["reset_after"] = bool(linear_before_reset)
    # A layer knows its step; its own weights are not used.
    layer: Any = getattr(nn, kind)(D, H, dtype=dtype, rng=0, **options)
    if isinstance(lengths, Value) and isinstance(lengths._array, ndarray):
        lengths = lengths._array
    if lengths is not None:  # what is past the end of a sequence may be NaN
        within = ops.less(np.arange(steps)[:, np.newaxis], lengths)[..., np.newaxis]
        x = ops.where(within, x, 0)
    ys: list[Any] = []
    finals: list[list[Any]] = [[] for _ in range(states)]
    for way, reverse in enumerate(ways):
        weights = {"weight_ih": _ours(W[way], kind), "weight_hh": _ours(R[way], kind)}
        if B is not None:
            of_x, of_h = ops.split(B[way], 2)
            weights |= {"bias_ih": _ours(of_x, kind), "bias_hh": _ours(of_h, kind)}
        if peepholes is not None:
            parts = ops.split(peepholes[way], 3)
            weights |= {f"weight_p{gate}": p for gate, p in zip("iof", parts, strict=True)}
        first = []
        for state in (initial_h, initial_c)[:states]:
            if state is None:
                first.append(attach(np.zeros((N, H), dtype), None))
            else:
                first.append(state[:, way] if layout else state[way])
        last, y = layer._sequence(
            weights, tuple(first), x, reverse=reverse, lengths=lengths, unroll=False
        )
        ys.append(y)
        for final, state in zip(finals, last, strict=True):
            final.append(state)
    axis = 2 if layout else 1
    y = ops.stack([ops.swapaxes(y, 0, 1) for y in ys] if layout else ys, axis)
    return (y, *[ops.stack(final, 1 if layout else 0) for final in finals])


def _value(x: Any) -> Any:
    """A Tensor, of an array a constant one; None stays None."""
    return x if x is None or isinstance(x, Value) else attach(np.asarray(x), None)


def _ours(x: Any, kind: str) -> Any:
    """A weight (G H, ...) with the gates in our order."""
    order = GATES[kind]
    if len(order) == 1:
        return x
    parts = ops.split(x, len(order))
    return ops.concatenate([parts[order.index(k)] for k in range(len(order))])


#: A recurrent layer in one direction: of x, lengths, the first states and the weights.
RECURRENT = Primitive("recurrent", lambda *_: None, None, onnx=_recurrent)

#: ``tg.scan``: of the first carries and the xs.
LOOP = Primitive("scan", lambda *_: None, None, onnx=_loop)

__all__ = ["GATES", "LOOP", "RECURRENT", "in_order", "run_recurrent"]
