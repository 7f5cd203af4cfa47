"""An LSTM over a whole sequence: the equations in a loop, and a hand-written version of one node.

``scan`` runs any cell, this one too, in 1.4 to 2 times the time of PyTorch's own LSTM, and an LSTM
is what most people run. So its backward is written by hand a second time, now through time.
``tests/nn/test_lstm_sequence.py`` ties it to the equations, and whoever asks for the inside of the
node (a picture, a second derivative, ``detect_anomaly``) gets the equations.

What it gains by:

* W_ih x_t of many steps is one product, before their loop; so are the gradients of x and of all
  weights, after it.
* The backward loop only multiplies and adds: every factor that does not depend on the incoming
  gradient is worked out before it, for many steps at a time (as many as stay in the cache).
* The gates lie on an axis of their own, (4, N, H), so that operations run through memory in order,
  and sigmoid(z) = tanh(z/2)/2 + 1/2 makes one call of all four (in float32, at whose 7 digits it is
  as good).
* Products are cut into pieces that BLAS multiplies without copying them first, see :func:`_cut`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..backprop import fuse
from ..graph import Array, attach
from ..ops.elementwise import exp_limit
from ..scan import scan
from ..tensor import Tensor
from .lstm_step import equations

# Where a weight has the rows of o, i, f and g. In this order sigmoid acts on a block of three, and
# with c behind g, (i, f) * (g, c) is one product.
_rows = (3, 0, 1, 2)
_half = np.array(0.5, np.float32)
_many = 1 << 14  # elements of h in as many steps as are worked on at a time


class _Saved(NamedTuple):
    """What the backward reads, in the order of time."""

    blocks: ndarray  #: (T, 5, N, H): o_t, i_t, f_t, g_t, and the c before
    hs: ndarray  #: (T + 1, N, H): every h, the first one included
    c_n: ndarray  #: (N, H): the last c
    ended: ndarray | None  #: (T, N): where a sequence is over; None if none ever is


# ── products ─────────────────────────────────────────────────────────────────────────────


@functools.lru_cache(1024)
def _cut(rows: int, inner: int, columns: int) -> tuple[int, int]:
    """Into how many pieces of its rows and of its columns to cut a product of two matrices.

    OpenBLAS multiplies small matrices, of up to 10^6 multiplications, as they lie in memory. It
    first copies larger ones into an order that suits it, which a few rows do not pay back:
    (32, 256) by (256, 1024) takes 1.6 times as long whole as in 16 pieces.
    """
    limit = 1_000_000
    if rows * inner * columns <= limit:
        return 1, 1
    choices = [
        (p * q, -min(8 * (rows // p), columns // q), q, p)
        for p in range(1, rows // 8 + 1)
        for q in range(1, columns // 32 + 1)
        if rows % p == columns % q == 0 and (rows // p) * inner * (columns // q) <= limit
    ]
    if not choices:
        return 1, 1
    *_, q, p = min(choices)
    return p, q


def _pieces(x: ndarray, p: int, q: int) -> ndarray:
    """(..., n, k) as a view (..., p, q, n/p, k/q)."""
    *axes, n, k = x.shape
    return x.reshape(*axes, p, n // p, q, k // q).swapaxes(-3, -2)


def _per_gate(weight: ndarray, q: int) -> ndarray:
    """(4H, K) as (4, 1, q, K, H/q): what (n, K) is multiplied with for each gate, in q pieces."""
    K, width = weight.shape[1], len(weight) // 4 // q
    made = np.empty((4, 1, q, K, width), weight.dtype)
    pieces = weight.reshape(4, q, width, K)
    for gate, row in enumerate(_rows):
        for piece in range(q):
            made[gate, 0, piece] = pieces[row, piece].T
    if made.dtype == np.float32:
        np.multiply(made[:3], _half, made[:3])
    return made


def _bias(bias_ih: ndarray | None, bias_hh: ndarray | None) -> ndarray | None:
    """The sum of the two, (4, 1, H), to go with :func:`_per_gate`."""
    if bias_ih is None or bias_hh is None:
        bias = bias_hh if bias_ih is None else bias_ih
    else:
        bias = np.add(bias_ih, bias_hh)
    return None if bias is None else _per_gate(bias[:, np.newaxis], 1)[:, 0, 0]


def _sigmoid(z: ndarray) -> None:
    np.negative(z, z)
    np.minimum(z, exp_limit[z.dtype], out=z)
    np.exp(z, z)
    np.add(z, 1, z)
    np.reciprocal(z, z)


# ── forward ──────────────────────────────────────────────────────────────────────────────

# The gates of a sequence that is over: c_t = 1 c_{t-1} + 0 * 0, and no gradient passes them.
_standing = np.array([1, 0, 1, 0], np.float32).reshape(4, 1, 1)


def _forward(
    x: ndarray,
    h: ndarray,
    c: ndarray,
    lengths: ndarray | None,
    weight_ih: ndarray,
    weight_hh: ndarray,
    bias_ih: ndarray | None,
    bias_hh: ndarray | None,
    *,
    reverse: bool,
    keep: bool = True,
) -> tuple[tuple[ndarray, ...], Any]:
    """``(ys, h_n, c_n)``, and what the backward reads unless it is not to be kept."""
    if x.ndim == 2:
        batch = x[:, np.newaxis], h[np.newaxis], c[np.newaxis]
        weights: tuple[Any, ...] = weight_ih, weight_hh, bias_ih, bias_hh
        (ys, h, c), saved = _forward(*batch, None, *weights, reverse=reverse, keep=keep)
        return (ys[:, 0], h[0], c[0]), saved
    T, N, D = x.shape
    H, dtype = h.shape[-1], x.dtype
    single = dtype == np.float32
    in_order = slice(None, None, -1 if reverse else 1)
    ended = None if lengths is None else np.arange(T)[:, np.newaxis] >= lengths
    many = max(1, min(T, _many // (N * H)))
    blocks = np.empty((T if keep else many, 5, N, H), dtype)
    hs = np.empty((T + 1, N, H), dtype)
    h_in_order = hs[in_order]
    h_in_order[0] = h
    c_n = c.copy()
    bias = _bias(bias_ih, bias_hh)

    from_h = np.empty((4, N, H), dtype)
    product: Callable[..., Any]
    if N == 1:
        p, q = 1, 1
        product = np.dot  # costs half of matmul
        weight = np.ascontiguousarray(_per_gate(weight_hh, 1)[:, 0, 0].swapaxes(0, 1))
        weight, h_pieces, target = weight.reshape(H, -1), h_in_order, from_h.reshape(1, -1)
    else:
        p, q = _cut(N, H, H)
        product, weight = np.matmul, _per_gate(weight_hh, q)
        h_pieces, target = _pieces(h_in_order, p, 1), _pieces(from_h, p, q)
        p, q = _cut(N, D, H)
    weight_x, x_in_order = _per_gate(weight_ih, q), x[in_order]

    add, multiply, tanh = np.add, np.multiply, np.tanh
    products = np.empty((2, N, H), dtype)
    i_g, f_c = products
    tanh_c = np.empty((N, H), dtype)
    for start in range(0, T, many):
        here = slice(start, start + many)
        x_block = x_in_order[here]
        block = blocks[in_order][here] if keep else blocks[: len(x_block)]
        gates = block[:, :4]
        if N == 1:  # the steps are the rows
            np.matmul(x_block[:, 0], weight_x[:, 0, 0], gates[:, :, 0].swapaxes(0, 1))
        else:
            np.matmul(_pieces(x_block, p, 1)[:, np.newaxis], weight_x, _pieces(gates, p, q))
        if bias is not None:
            add(gates, bias, gates)
        block[0, 4] = c_n
        for z, oif, i_f, g_c, o, c_t, h_before, h_t, over in zip(
            gates,
            block[:, :3],
            block[:, 1:3],
            block[:, 3:],
            block[:, 0],
            [*block[1:, 4], c_n],
            h_pieces[here],
            h_in_order[start + 1 :],
            _over(ended, in_order, here),
            strict=False,
        ):
            product(h_before, weight, target)
            add(z, from_h, z)
            if single:
                tanh(z, z)
                multiply(oif, _half, oif)
                add(oif, _half, oif)
            else:
                _sigmoid(oif)
                tanh(g_c[0], g_c[0])
            if over is not None:
                np.copyto(z, _standing, where=over)
            multiply(i_f, g_c, products)
            add(i_g, f_c, c_t)
            tanh(c_t, tanh_c)
            multiply(o, tanh_c, h_t)
            if over is not None:
                np.copyto(h_t, h_before.reshape(N, H), where=over)
    ys = hs[:-1] if reverse else hs[1:]
    if ended is not None:
        ys = np.where(ended[:, :, np.newaxis], np.zeros((), dtype), ys)
    outputs = ys, h_in_order[T].copy(), c_n
    return outputs, _Saved(blocks, hs, c_n, ended) if keep else None


def _over(ended: ndarray | None, in_order: slice, here: slice) -> list[ndarray | None]:
    """For each of these steps which sequences are over, (N, 1); None where none is."""
    if ended is None:
        return [None] * (here.stop - here.start)
    return [over[:, np.newaxis] if over.any() else None for over in ended[in_order][here]]


# ── backward ─────────────────────────────────────────────────────────────────────────────


def _vjps(
    gs: list[Any],
    saved: _Saved,
    live: list[bool],
    x: ndarray,
    h: ndarray,
    c: ndarray,
    lengths: ndarray | None,
    weight_ih: ndarray,
    weight_hh: ndarray,
    bias_ih: ndarray | None,
    bias_hh: ndarray | None,
    *,
    reverse: bool,
) -> list[Any]:
    """The cotangents of all inputs."""
    if x.ndim == 2:
        weights: tuple[Any, ...] = weight_ih, weight_hh, bias_ih, bias_hh
        batched = [None if g is None else np.expand_dims(g, np.ndim(g) - 1) for g in gs]
        batch = x[:, np.newaxis], h[np.newaxis], c[np.newaxis]
        g_x, g_h, g_c, *others = _vjps(
            batched, saved, live, *batch, None, *weights, reverse=reverse
        )
        first = (None if g is None else g.squeeze(-2) for g in (g_x, g_h, g_c))
        return [*first, *others]
    T, N, D = x.shape
    H, dtype = h.shape[-1], x.dtype
    in_order = slice(None, None, -1 if reverse else 1)
    g_z = np.empty((T, N, 4 * H), dtype)
    g_bias = np.zeros(4 * H, dtype) if live[6] or live[7] else None
    g_h, g_c = _through_time(gs, saved, g_z, g_bias, weight_hh, in_order)
    rows = g_z.reshape(T * N, 4 * H)
    g_x = None
    if live[0]:
        g_x = np.empty((T, N, D), dtype)
        # A single sequence has its steps as rows.
        rows_in, rows_out = (g_z, g_x) if N > 1 else (g_z.swapaxes(0, 1), g_x.swapaxes(0, 1))
        p, q = _cut(rows_in.shape[1], 4 * H, D)
        np.matmul(_pieces(rows_in, p, 1), _columns(weight_ih, q), _pieces(rows_out, p, q))
    before = saved.hs[1:] if reverse else saved.hs[:-1]
    return [
        g_x,
        g_h,
        g_c,
        None,
        np.matmul(rows.T, x.reshape(T * N, D)) if live[4] else None,
        np.matmul(rows.T, before.reshape(T * N, H)) if live[5] else None,
        g_bias,
        g_bias,
    ]


def _columns(weight: ndarray, q: int) -> ndarray:
    """(K, n) as (1, q, K, n/q), each piece in order where it is narrow."""
    pieces = _pieces(weight, 1, q)
    return np.ascontiguousarray(pieces) if pieces.shape[-1] < 64 else pieces


def _through_time(
    gs: list[Any],
    saved: _Saved,
    g_z: ndarray,
    g_bias: ndarray | None,
    weight_hh: ndarray,
    in_order: slice,
) -> tuple[ndarray, ndarray]:
    """Fill in the cotangents of the gates; returns those of the first h and c.

        g_c = g_c + g_h o (1 - tanh(c)^2),      then  g_c f  is that of the c before
        z_o: g_h o (1 - o) tanh(c)    z_i: g_c i (1 - i) g    z_f: g_c f (1 - f) c_before
        z_g: g_c i (1 - g^2)

    What is multiplied with g_h or g_c is made of h = o tanh(c), i g and f c_before.
    """
    blocks, hs, c_n, ended = saved
    T, _, N, H = blocks.shape
    dtype = blocks.dtype
    g_ys, *last = gs
    g_h, g_c = (np.zeros((N, H), dtype) if g is None else np.array(g) for g in last)
    if g_ys is not None and ended is not None:
        g_ys = np.where(ended[:, :, np.newaxis], np.zeros((), dtype), g_ys)
    none = np.zeros((N, H), dtype)
    in_rows = g_z[in_order]
    product: Callable[..., Any]
    p, q = _cut(N, 4 * H, H)
    if p == q == 1:
        product, z_pieces, weight, target = np.dot, in_rows, weight_hh, g_h
    else:
        product, z_pieces = np.matmul, _pieces(in_rows, p, 1)
        weight, target = _columns(weight_hh, q), _pieces(g_h, p, q)
    blocks, hs = blocks[in_order], hs[in_order]

    add, multiply, subtract, tanh = np.add, np.multiply, np.subtract, np.tanh
    many = max(1, min(T, _many // (N * H)))
    factors = np.empty((5, many, N, H), dtype)
    shared = np.empty((2, many, N, H), dtype)
    g_h_t, g_tanh = np.empty((2, N, H), dtype)
    for start in range((T - 1) // many * many, -1, -many):
        stop = min(start + many, T)
        here, count = slice(start, stop), stop - start
        o, i, f, g, c_before = (blocks[here, k] for k in range(5))
        h = hs[start + 1 : stop + 1]
        from_o, from_tanh, from_i, from_f, from_g = factors[:, :count]
        tanh_c, i_g = shared[:, :count]
        tanh(blocks[start + 1 : stop, 4], tanh_c[:-1])
        tanh(blocks[stop, 4] if stop < T else c_n, tanh_c[-1])
        multiply(h, o, from_o)
        subtract(h, from_o, from_o)
        multiply(h, tanh_c, from_tanh)
        subtract(o, from_tanh, from_tanh)
        multiply(i, g, i_g)
        multiply(i_g, i, from_i)
        subtract(i_g, from_i, from_i)
        multiply(i_g, g, from_g)
        subtract(i, from_g, from_g)
        f_c = multiply(f, c_before, tanh_c)
        multiply(f_c, f, from_f)
        subtract(f_c, from_f, from_f)
        if ended is not None:
            from_tanh[ended[in_order][here]] = 0
        by_gate = in_rows[here].reshape(count, N, 4, H)
        for g_y, o_t, tanh_t, ifg_t, f_t, z_o, z_ifg, z, over in zip(
            itertools.repeat(none) if g_ys is None else g_ys[in_order][here][::-1],
            from_o[::-1],
            from_tanh[::-1],
            factors[2:, :count].swapaxes(0, 1)[::-1],
            f[::-1],
            by_gate[::-1, :, 3],
            by_gate[::-1, :, :3].swapaxes(1, 2),
            z_pieces[here][::-1],
            _over(ended, in_order, slice(start, stop))[::-1],
            strict=False,
        ):
            add(g_h, g_y, g_h_t)
            multiply(g_h_t, o_t, z_o)
            multiply(g_h_t, tanh_t, g_tanh)
            add(g_c, g_tanh, g_c)
            multiply(ifg_t, g_c, z_ifg)
            multiply(g_c, f_t, g_c)
            product(z, weight, target)
            if over is not None:
                np.copyto(g_h, g_h_t, where=over)
        if g_bias is not None:
            add(g_bias, add.reduce(in_rows[here], (0, 1)), g_bias)
    return g_h, g_c


# ── the node ─────────────────────────────────────────────────────────────────────────────


def _in_direction(reverse: bool) -> Callable[..., Any]:
    def lstm_sequence(
        x: Array,
        h: Array,
        c: Array,
        lengths: Array,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array = None,
        bias_hh: Array = None,
    ) -> Sequence[Any]:
        def step(carry: tuple[Array, Array], x_t: Array) -> tuple[tuple[Array, Array], Array]:
            h, c = equations(x_t, *carry, weight_ih, weight_hh, bias_ih, bias_hh)
            return (h, c), h

        (h, c), ys = scan(step, (h, c), x, reverse=reverse, lengths=lengths, unroll=True)
        return ys, h, c

    return fuse(
        lstm_sequence,
        functools.partial(_forward, reverse=reverse),
        functools.partial(_vjps, reverse=reverse),
        without_graph=functools.partial(_forward, reverse=reverse, keep=False),
    )


_directions = _in_direction(False), _in_direction(True)
_names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def lstm_sequence(
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: dict[str, Tensor],
    *,
    reverse: bool = False,
    lengths: ndarray | None = None,
) -> tuple[tuple[Tensor, Tensor], Tensor] | None:
    """What ``scan`` computes of the equations, as one node; None where it is not written for that.

    Args:
        x: (T, N, D), or (T, D) unbatched.
        state: h and c, (N, H), or (H,).
        weights: by their names in the equations.
        reverse: from the last step to the first.
        lengths: (N,) integers from 1 to T; what x holds past them has to be finite.

    Returns:
        ``((h, c), ys)``, or None: for peepholes, projections, nothing to compute, and dtypes that
        are not all float32 or all float64.
    """
    dtypes = {array.dtype.char for array in (x, *state, *weights.values())}
    if not set(weights) <= set(_names) or 0 in x.shape or dtypes not in ({"f"}, {"d"}):
        return None
    ends = None if lengths is None else attach(lengths, None)
    parameters = (weights.get(name) for name in _names)
    ys, h, c = _directions[reverse](x, *state, ends, *parameters)
    return (h, c), ys
