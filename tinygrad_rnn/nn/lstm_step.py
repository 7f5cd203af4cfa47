"""One time step of an LSTM: the equations, and a hand-written version that is one node.

Besides its matrix products, a step has about twenty operations on small arrays. Recording them
takes longer than computing them. This measurement pays for a hand-written backward pass of this
one cell. ``tests/nn/test_lstm_step.py`` compares it with the equations. A picture, a second
derivative or ``detect_anomaly`` opens the node and uses the equations.

Time of a Python loop over ``LSTMCell``, relative to the same loop in PyTorch:

    (N, D, H)        equations    by hand
    (1, 32, 32)      0.92         0.44
    (16, 64, 128)    0.93         0.68
    (32, 128, 256)   0.91         0.80
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


def with_name(name: str, x: Array) -> Array:
    """Give the node of x the name that pictures show; returns x."""
    if isinstance(x, Tensor) and x.node is not None:
        x.node.name = name
    return x


def lstm_equations(
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
    """One time step of :class:`LSTM`, from (h_{t-1}, c_{t-1}) to (h_t, c_t).

    Args:
        x: x_t, (N, D) or (D,).
        h: h_{t-1}, (N, H) or (H,); with a projection, P in place of H.
        c: c_{t-1}, (N, H) or (H,).
        weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, weight_pi, weight_pf, weight_po: the
            weights of :class:`LSTMCell`. The last three are all given or all None.
    """
    from_x = ops.linear(x, weight_ih, bias_ih)
    from_h = ops.linear(h, weight_hh, bias_hh)
    i, f, g, o = ops.split(ops.add(from_x, from_h), 4, -1)
    if weight_pi is not None:
        i = ops.add(i, ops.multiply(weight_pi, c))
        f = ops.add(f, ops.multiply(weight_pf, c))
    i = with_name("i_t", ops.sigmoid(i))
    f = with_name("f_t", ops.sigmoid(f))
    g = with_name("g_t", ops.tanh(g))
    c = with_name("c_t", ops.add(ops.multiply(f, c), ops.multiply(i, g)))
    if weight_po is not None:
        o = ops.add(o, ops.multiply(weight_po, c))
    o = with_name("o_t", ops.sigmoid(o))
    h = ops.multiply(o, ops.tanh(c))
    if weight_hr is not None:
        h = ops.linear(h, weight_hr)
    return with_name("h_t", h), c


_half = {np.dtype(t): np.array(0.5, t) for t in "efdg"}
_one = {np.dtype(t): np.array(1, t) for t in "efdg"}


def _by_gate(z: ndarray) -> ndarray:
    """(..., 4H) as a view (4, ..., H)."""
    return z.reshape(*z.shape[:-1], 4, z.shape[-1] // 4).swapaxes(0, -2)


def _per_gate(weight: ndarray) -> ndarray:
    """(4H, D) as a view (4, D, H): one matrix per gate, to multiply x with."""
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
    # One product per gate, (4, ..., H), so that each gate is contiguous. Slices of (..., 4H) are
    # strided, and small operations on them take three times as long.
    gates = np.matmul(x, _per_gate(weight_ih))
    np.add(gates, np.matmul(h, _per_gate(weight_hh)), out=gates)
    bias = bias_ih if bias_hh is None else bias_hh
    if bias_ih is not None and bias_hh is not None:
        bias = np.add(bias_ih, bias_hh)
    if bias is not None:
        np.add(gates, bias.reshape(4, *(1,) * (c.ndim - 1), -1), out=gates)
    candidate = np.tanh(gates[2])
    if gates.dtype.char == "f":  # sigmoid(z) = tanh(z/2)/2 + 1/2: faster, and exact to 7 digits
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
    slope = np.subtract(one, gates)  # the derivative of each gate: y (1 - y), for g 1 - y^2
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
    g_gates = np.empty((*c.shape[:-1], len(weight_ih)), c.dtype)  # (..., 4H), as the weights
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


_fused = fuse(lstm_equations, _forward, _backward)


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
    """The same step as :func:`lstm_equations`, recorded as one node unless there are peepholes."""
    if weight_pi is not None:
        peepholes = weight_pi, weight_pf, weight_po
        return lstm_equations(
            x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, *peepholes
        )
    h, c = _fused(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh)
    return (h if weight_hr is None else with_name("h_t", ops.linear(h, weight_hr))), c
