"""One step of an LSTM: the equations, and a hand-written version of one node.

Of a step of an LSTM the matrix products cannot be made cheaper here. The rest is some twenty
operations on small arrays, and recording them takes longer than computing them: that is the
measurement which pays for writing this one cell's backward by hand. ``tests/nn/test_lstm_step.py``
ties it to the equations, and whoever asks for the inside of the node (a picture, a second
derivative, ``detect_anomaly``) gets the equations.

A Python loop over ``LSTMCell`` takes, as a ratio to PyTorch's same loop and without and with it,
0.92 -> 0.47 at (N, D, H) = (1, 32, 32), 0.93 -> 0.69 at (16, 64, 128), 0.91 -> 0.81 at (32, 128, 256).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..backprop import Later, fuse
from ..graph import Array
from ..tensor import Tensor


def named(name: str, x: Array) -> Array:
    """x, called so in pictures where it was recorded."""
    if isinstance(x, Tensor) and x.node is not None:
        x.node.name = name
    return x


def equations(
    x: Array,
    h: Array,
    c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array = None,
    bias_hh: Array = None,
) -> tuple[Array, Array]:
    """One step of a long short-term memory: the (h, c) that follows.

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t =    tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t c_{t-1} + i_t g_t
        h_t = o_t tanh(c_t)

    Args:
        x: x_t, (N, D) or (D,).
        h, c: h_{t-1} and c_{t-1}, (N, H) or (H,).
        weight_ih: (4H, D), the rows of W_ii, W_if, W_ig and W_io in this order.
        weight_hh: (4H, H), likewise.
        bias_ih, bias_hh: (4H,), likewise, or None.

    Returns:
        (h_t, c_t), of h's shape.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997),
    with the forget gate of Gers, Schmidhuber and Cummins, Neural Computation 12 (2000).
    """
    from_x = ops.linear(x, weight_ih, bias_ih)
    from_h = ops.linear(h, weight_hh, bias_hh)
    i, f, g, o = ops.split(ops.add(from_x, from_h), 4, -1)
    i = named("i_t", ops.sigmoid(i))
    f = named("f_t", ops.sigmoid(f))
    g = named("g_t", ops.tanh(g))
    o = named("o_t", ops.sigmoid(o))
    c = named("c_t", ops.add(ops.multiply(f, c), ops.multiply(i, g)))
    h = named("h_t", ops.multiply(o, ops.tanh(c)))
    return h, c


_half = {np.dtype(t): np.array(0.5, t) for t in "efdg"}
_one = {np.dtype(t): np.array(1, t) for t in "efdg"}


def _by_gate(z: ndarray) -> ndarray:
    """(..., 4H) as a view (4, ..., H)."""
    return z.reshape(*z.shape[:-1], 4, z.shape[-1] // 4).swapaxes(0, -2)


def _forward(
    x: ndarray,
    h: ndarray,
    c: ndarray,
    weight_ih: ndarray,
    weight_hh: ndarray,
    bias_ih: ndarray | None,
    bias_hh: ndarray | None,
) -> tuple[tuple[ndarray, ...], Any]:
    from_x, from_h = np.matmul(x, weight_ih.T), np.matmul(h, weight_hh.T)
    bias = bias_ih if bias_hh is None else bias_hh
    if bias_ih is not None and bias_hh is not None:
        bias = np.add(bias_ih, bias_hh)
    if bias is not None:
        np.add(from_h, bias, out=from_h)
    # A slice of every row is strided, which makes small operations three times slower: each gate
    # gets a block of its own.
    gates = np.empty((4, *c.shape), c.dtype)
    np.add(_by_gate(from_x), _by_gate(from_h), out=gates)
    candidate = np.tanh(gates[2])
    if gates.dtype.char == "f":  # sigmoid by way of tanh: cheaper and, at 7 digits, as good
        half = _half[gates.dtype]
        np.multiply(gates, half, out=gates)
        np.tanh(gates, out=gates)
        np.multiply(gates, half, out=gates)
        np.add(gates, half, out=gates)
    else:
        gates = ops.sigmoid(gates)
    gates[2] = candidate
    i, f, _, o = gates
    c_t = np.multiply(f, c)
    h_t = np.multiply(i, candidate)
    np.add(c_t, h_t, out=c_t)
    tanh_c = np.tanh(c_t)
    np.multiply(o, tanh_c, out=h_t)
    return (h_t, c_t), (gates, tanh_c)


def _backward(
    gs: list[Any],
    saved: Any,
    live: list[bool],
    x: ndarray,
    h: ndarray,
    c: ndarray,
    weight_ih: ndarray,
    weight_hh: ndarray,
    bias_ih: ndarray | None,
    bias_hh: ndarray | None,
) -> list[Any]:
    gates, tanh_c = saved
    g_h, g_c = gs
    i, f, g, o = gates
    one = _one[c.dtype]
    slope = np.subtract(one, gates)  # of each gate at its value: y (1 - y), and 1 - y^2 for g
    np.multiply(slope, gates, out=slope)
    np.multiply(g, g, out=slope[2])
    np.subtract(one, slope[2], out=slope[2])
    by_gate = np.empty_like(gates)
    if g_h is None:
        g_c_t = g_c
        by_gate[3] = 0
    else:
        np.multiply(g_h, tanh_c, out=by_gate[3])
        g_c_t = np.multiply(tanh_c, tanh_c)
        np.subtract(one, g_c_t, out=g_c_t)
        np.multiply(g_c_t, o, out=g_c_t)
        np.multiply(g_c_t, g_h, out=g_c_t)
        if g_c is not None:
            np.add(g_c_t, g_c, out=g_c_t)
    np.multiply(g_c_t, g, out=by_gate[0])
    np.multiply(g_c_t, c, out=by_gate[1])
    np.multiply(g_c_t, i, out=by_gate[2])
    g_gates = np.empty((*c.shape[:-1], len(weight_ih)), c.dtype)  # in rows again
    np.multiply(by_gate, slope, out=_by_gate(g_gates))
    _, to_weight, to_bias = ops.linear.primitive.vjps  # type: ignore[attr-defined]
    return [
        np.matmul(g_gates, weight_ih) if live[0] else None,
        np.matmul(g_gates, weight_hh) if live[1] else None,
        np.multiply(g_c_t, f) if live[2] else None,
        Later(to_weight, g_gates, x, (weight_ih, bias_ih)),
        Later(to_weight, g_gates, h, (weight_hh, bias_hh)),
        Later(to_bias, g_gates, x, (weight_ih, bias_ih)),
        Later(to_bias, g_gates, h, (weight_hh, bias_hh)),
    ]


lstm_step = fuse(equations, _forward, _backward)
