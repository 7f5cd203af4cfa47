"""Small recurrent nets, spelled out, whose graphs the tests of this room draw."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg

LAYERS = {"rnn": tg.nn.RNN, "lstm": tg.nn.LSTM, "gru": tg.nn.GRU}


def layer_loss(kind: str, T: int = 6, *, last: bool = False, **options: Any) -> tuple[Any, Any]:
    """A loss of a layer's outputs, and the layer, in float64."""
    layer = LAYERS[kind](3, 4, dtype=np.float64, rng=0, **options)
    y, _ = layer(np.random.default_rng(1).normal(size=(T, 2, 3)), unroll=True)
    return tg.sum(tg.square(y[-1] if last else y)), layer


def weights(hidden: int, size: int, gates: int) -> tuple[tg.Tensor, tg.Tensor, tg.Tensor]:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (gates * hidden, size), "weight_hh": (gates * hidden, hidden)}
    shapes["bias"] = (gates * hidden,)
    return tuple(
        tg.Tensor(rng.normal(size=shape) / 2, requires_grad=True, name=name)
        for name, shape in shapes.items()
    )


def inputs(T: int) -> list[tg.Tensor]:
    rng = np.random.default_rng(1)
    return [tg.Tensor(rng.normal(size=(2, 3)), name=f"x_{t}") for t in range(T)]


def rnn(T: int, *, tagged: bool = True) -> Any:
    """A scalar, from an RNN of T steps: 4 operations each, and 2 after them."""
    weight_ih, weight_hh, bias = weights(4, 3, 1)
    h: Any = tg.Tensor(np.zeros((2, 4)), name="h_0")
    for _, x_t in tg.steps(inputs(T)) if tagged else enumerate(inputs(T)):
        with tg.scope("cell"):
            h = tg.tanh(tg.linear(x_t, weight_ih, bias) + tg.linear(h, weight_hh))
            h.name = "h_t"
    return tg.mean(tg.square(h))


def lstm(T: int) -> Any:
    """A scalar, from an LSTM of T steps: 16 operations each, and 4 after them."""
    weight_ih, weight_hh, bias = weights(4, 3, 4)
    readout = tg.Tensor(np.ones((2, 4)), requires_grad=True, name="V")
    h: Any = tg.Tensor(np.zeros((2, 4)), name="h_0")
    c: Any = tg.Tensor(np.zeros((2, 4)), name="c_0")
    for _, x_t in tg.steps(inputs(T)):
        with tg.scope("cell"):
            z = tg.linear(x_t, weight_ih, bias) + tg.linear(h, weight_hh)
            i, f, g, o = tg.split(z, 4, -1)
            c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
            h = tg.sigmoid(o) * tg.tanh(c)
            h.name, c.name = "h_t", "c_t"
    with tg.scope("readout"):
        y = tg.linear(h, readout)
    return tg.mean(tg.square(y - 1.0))
