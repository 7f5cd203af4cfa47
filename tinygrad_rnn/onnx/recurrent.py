"""Loops over time: recurrent layers as RNN, LSTM and GRU, and any other cell as Scan.

ONNX has its own order of gates: i, o, f, c for an LSTM and z, r, h for a GRU. The first axis of
its weights is the direction. A weight goes into the model in this order, under its own name.

Source: https://onnx.ai/onnx/operators/onnx__LSTM.html (and __RNN, __GRU, __Scan)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from ..graph import Primitive

if TYPE_CHECKING:
    from .build import Builder, Wire

#: The index in our order for each gate of ONNX.
GATES = {"RNN": (0,), "LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


def in_order(array: ndarray, order: Sequence[int]) -> ndarray:
    """Return a weight (G H, ...) with its gates in another order."""
    parts = np.split(array, len(order))
    return np.concatenate([parts[k] for k in order])


def _gates(b: Builder, x: Wire, kind: str, direction: bool = False) -> Wire:
    """Return a weight in ONNX's order of gates, and add an axis for the direction if asked."""
    order = GATES[kind]
    if x.weight is not None:
        array = in_order(x.value, order)
        return b.initializer(array[np.newaxis] if direction else array, x.weight)
    if len(order) > 1:
        parts = b.nodes("Split", x, dtypes=[None] * len(order), axis=0, num_outputs=len(order))
        x = b.node("Concat", *[parts[k] for k in order], axis=0)
    return b.node("Unsqueeze", x, b.ints([0])) if direction else x


def _is_zero(x: Wire) -> bool:
    value = getattr(x.value, "value", x.value)  # an array of unknown size has a single number
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
    direction = int(reverse)
    return b.nodes(
        "Scan",
        *inputs,
        dtypes=[dtype for _, dtype in outs],
        level=level,
        body=graph,
        num_scan_inputs=sequences,
        scan_input_directions=[direction] * sequences,
        scan_output_directions=[direction] * outputs if outputs else None,
    )


#: A recurrent layer in one direction. Its inputs are x, lengths, the first states and the weights.
RECURRENT = Primitive("recurrent", lambda *_: None, None, onnx=_recurrent)

#: ``tg.scan``. Its inputs are the first carries and the xs.
LOOP = Primitive("scan", lambda *_: None, None, onnx=_loop)

__all__ = ["GATES", "LOOP", "RECURRENT", "in_order"]
