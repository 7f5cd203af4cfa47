"""The gates of an LSTM as one node: hand-written NumPy, because the measurement pays for it.

Of a step of an LSTM the two matrix products cannot be made cheaper here. The rest is some fifteen
operations on small arrays, and recording them takes longer than computing them. ``lstm_gates``
records them as one node; ``tests/nn/test_gates.py`` ties it to the operations it stands for.

A Python loop over ``LSTMCell`` takes, with and without it, as a ratio to PyTorch's same loop:
0.92 -> 0.44 at (N, D, H) = (1, 32, 32), 0.93 -> 0.66 at (16, 64, 128).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..backprop import fuse
from ..graph import Array
from ..tensor import Tensor


def named(name: str, x: Array) -> Array:
    """x, called so in pictures where it was recorded."""
    if isinstance(x, Tensor) and x.node is not None:
        x.node.name = name
    return x


def _gates(from_x: Array, from_h: Array, c: Array) -> tuple[Array, Array]:
    """The (h, c) that an LSTM's gates make of what the weights make of x and h.

        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of the quarters of from_x + from_h
        c_t = f c + i g
        h_t = o tanh(c_t)

    Args:
        from_x: W_ih x_t + b_ih, (N, 4H) or (4H,).
        from_h: W_hh h_{t-1} + b_hh, likewise.
        c: c_{t-1}, (N, H) or (H,).

    Returns:
        (h_t, c_t), of c's shape.
    """
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


def _forward(from_x: ndarray, from_h: ndarray, c: ndarray) -> tuple[tuple[ndarray, ...], Any]:
    size = c.shape[-1]
    gates = np.add(from_x, from_h)  # becomes i, f, g, o in place
    g = gates[..., 2 * size : 3 * size]
    candidate = np.tanh(g)
    _sigmoid(gates)
    g[...] = candidate
    i, f, o = gates[..., :size], gates[..., size : 2 * size], gates[..., 3 * size :]
    c_t = np.multiply(f, c)
    h_t = np.multiply(i, candidate)
    np.add(c_t, h_t, out=c_t)
    tanh_c = np.tanh(c_t)
    np.multiply(o, tanh_c, out=h_t)
    return (h_t, c_t), (gates, tanh_c)


def _sigmoid(z: ndarray) -> None:
    """Sigmoid in place. In float32 by way of tanh, which is cheaper and, at 7 digits, as good."""
    half, one = _half[z.dtype], _one[z.dtype]
    if z.dtype.char == "f":
        np.multiply(z, half, out=z)
        np.tanh(z, out=z)
        np.multiply(z, half, out=z)
        np.add(z, half, out=z)
    else:
        z[...] = ops.sigmoid(z)


def _backward(
    gs: list[Any], saved: Any, from_x: ndarray, from_h: ndarray, c: ndarray
) -> tuple[ndarray, ndarray, ndarray]:
    gates, tanh_c = saved
    g_h, g_c = gs
    size = c.shape[-1]
    one = _one[c.dtype]
    i, f = gates[..., :size], gates[..., size : 2 * size]
    g, o = gates[..., 2 * size : 3 * size], gates[..., 3 * size :]
    total = np.empty_like(gates)  # dL/d(from_x + from_h)
    slope = np.subtract(one, gates)  # of each gate at its value: y (1 - y), and 1 - y^2 for g
    np.multiply(slope, gates, out=slope)
    slope_g = slope[..., 2 * size : 3 * size]
    np.multiply(g, g, out=slope_g)
    np.subtract(one, slope_g, out=slope_g)
    if g_h is None:
        g_c_t = g_c
        total[..., 3 * size :] = 0
    else:
        np.multiply(g_h, tanh_c, out=total[..., 3 * size :])
        g_c_t = np.multiply(tanh_c, tanh_c)
        np.subtract(one, g_c_t, out=g_c_t)
        np.multiply(g_c_t, o, out=g_c_t)
        np.multiply(g_c_t, g_h, out=g_c_t)
        if g_c is not None:
            np.add(g_c_t, g_c, out=g_c_t)
    np.multiply(g_c_t, g, out=total[..., :size])
    np.multiply(g_c_t, c, out=total[..., size : 2 * size])
    np.multiply(g_c_t, i, out=total[..., 2 * size : 3 * size])
    np.multiply(total, slope, out=total)
    return total, total, np.multiply(g_c_t, f)


lstm_gates = fuse(_gates, _forward, _backward)
