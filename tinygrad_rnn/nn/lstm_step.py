"""One step of an LSTM: the equations, and a hand-written version of one node.

Of a step of an LSTM the matrix products cannot be made cheaper here. The rest is some twenty
operations on small arrays, and recording them takes longer than computing them: that is the
measurement which pays for writing this one cell's backward by hand. ``tests/nn/test_lstm_step.py``
ties it to the equations, and whoever asks for the inside of the node (a picture, a second
derivative, ``detect_anomaly``) gets the equations.

A Python loop over ``LSTMCell`` takes, as a ratio to PyTorch's same loop and without and with it,
0.92 -> 0.44 at (N, D, H) = (1, 32, 32), 0.93 -> 0.68 at (16, 64, 128) and 0.91 -> 0.80 at
(32, 128, 256).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..backprop import Deferred, fuse
from ..graph import Array
from ..scan.blas import product
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
    weight_hr: Array = None,
    weight_pi: Array = None,
    weight_pf: Array = None,
    weight_po: Array = None,
) -> tuple[Array, Array]:
    """One step of a long short-term memory: the (h, c) that follows.

        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t =    tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      candidate
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t c_{t-1} + i_t g_t
        h_t = o_t tanh(c_t)

    With peepholes the gates see the cell too: inside their sigmoids i_t and f_t add p_i c_{t-1}
    and p_f c_{t-1}, o_t adds p_o c_t. With a projection h_t = W_hr (o_t tanh(c_t)).

    Args:
        x: x_t, (N, D) or (D,).
        h: h_{t-1}, (N, H) or (H,); P, the rows of weight_hr, in the place of H where there is a
            projection.
        c: c_{t-1}, (N, H) or (H,).
        weight_ih: (4H, D), the rows of W_ii, W_if, W_ig and W_io in this order.
        weight_hh: (4H, H), or (4H, P), likewise.
        bias_ih, bias_hh: (4H,), likewise, or None.
        weight_hr: (P, H), or None.
        weight_pi, weight_pf, weight_po: (H,), all or none.

    Returns:
        (h_t, c_t), of the shapes of h and c.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997),
    with the forget gate of Gers, Schmidhuber and Cummins, Neural Computation 12 (2000), the
    peepholes of Gers, Schraudolph and Schmidhuber, JMLR 3 (2002), and the projection of Sak,
    Senior and Beaufays, arXiv:1402.1128, eq. 5.
    """
    from_x = ops.linear(x, weight_ih, bias_ih)
    from_h = ops.linear(h, weight_hh, bias_hh)
    i, f, g, o = ops.split(ops.add(from_x, from_h), 4, -1)
    if weight_pi is not None:
        i = ops.add(i, ops.multiply(weight_pi, c))
        f = ops.add(f, ops.multiply(weight_pf, c))
    i = named("i_t", ops.sigmoid(i))
    f = named("f_t", ops.sigmoid(f))
    g = named("g_t", ops.tanh(g))
    c = named("c_t", ops.add(ops.multiply(f, c), ops.multiply(i, g)))
    if weight_po is not None:
        o = ops.add(o, ops.multiply(weight_po, c))
    o = named("o_t", ops.sigmoid(o))
    h = ops.multiply(o, ops.tanh(c))
    if weight_hr is not None:
        h = ops.linear(h, weight_hr)
    return named("h_t", h), c


_half = {np.dtype(t): np.array(0.5, t) for t in "efdg"}
_one = {np.dtype(t): np.array(1, t) for t in "efdg"}


def _by_gate(z: ndarray) -> ndarray:
    """(..., 4H) as a view (4, ..., H)."""
    return z.reshape(*z.shape[:-1], 4, z.shape[-1] // 4).swapaxes(0, -2)


def _per_gate(weight: ndarray) -> ndarray:
    """(4H, D) as a view (4, D, H): what x is multiplied with for each gate."""
    return weight.reshape(4, len(weight) // 4, -1).swapaxes(1, 2)


def _forward(
    x: ndarray,
    h: ndarray,
    c: ndarray,
    weight_ih: ndarray,
    weight_hh: ndarray,
    bias_ih: ndarray | None,
    bias_hh: ndarray | None,
) -> tuple[tuple[ndarray, ...], Any]:
    # A product for each gate, (4, ..., H): slices of the rows of (..., 4H) are strided, which makes
    # small operations three times slower.
    gates = np.matmul(x, _per_gate(weight_ih))
    np.add(gates, np.matmul(h, _per_gate(weight_hh)), out=gates)
    bias = bias_ih if bias_hh is None else bias_hh
    if bias_ih is not None and bias_hh is not None:
        bias = np.add(bias_ih, bias_hh)
    if bias is not None:
        np.add(gates, bias.reshape(4, *(1,) * (c.ndim - 1), -1), out=gates)
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
        product(g_gates, weight_ih) if live[0] else None,
        product(g_gates, weight_hh) if live[1] else None,
        np.multiply(g_c_t, f) if live[2] else None,
        Deferred(to_weight, g_gates, x, (weight_ih, bias_ih)),
        Deferred(to_weight, g_gates, h, (weight_hh, bias_hh)),
        Deferred(to_bias, g_gates, x, (weight_ih, bias_ih)),
        Deferred(to_bias, g_gates, h, (weight_hh, bias_hh)),
    ]


_fused = fuse(equations, _forward, _backward)


def lstm_step(
    x: Array,
    h: Array,
    c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array = None,
    bias_hh: Array = None,
    weight_hr: Array = None,
    weight_pi: Array = None,
    weight_pf: Array = None,
    weight_po: Array = None,
) -> tuple[Array, Array]:
    """What :func:`equations` computes, as one node unless there are peepholes."""
    if weight_pi is not None:
        peepholes = weight_pi, weight_pf, weight_po
        return equations(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, *peepholes)
    h, c = _fused(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
    return (h if weight_hr is None else named("h_t", ops.linear(h, weight_hr))), c
