"""An LSTM over a whole sequence, written by hand for NumPy as one node.

``scan`` runs any cell, also this one. Most people run an LSTM, so it has a faster version. Time
relative to ``scan`` on NumPy: 0.84 at (T, N, D, H) = (32, 1, 32, 32), 0.93 at (50, 16, 64, 128),
0.92 at (35, 20, 100, 100), 0.80 at (1000, 8, 64, 64). From (64, 32, 128, 256) on, matrix products
take nearly all of the time, and there is no difference. ``tests/nn/test_lstm_sequence.py`` compares
it with the equations. A picture, a second derivative or ``detect_anomaly`` opens the node and uses
the equations.

Why it is faster:

* Each step has one product, [h_{t-1}, 1, x_t] by [W_hh, b, W_ih]. If the weights are large, W_ih
  x_t is one product for many steps, before the loop. The gradient of all weights is one product
  over all steps.
* The backward loop only multiplies and adds. Every factor that does not depend on the incoming
  gradient is computed before the loop, for as many steps as fit into the cache.
* The gates have an axis of their own, (4, N, H), so each gate is contiguous in memory. In float32,
  sigmoid(z) = tanh(z/2)/2 + 1/2 is exact to its 7 digits, so one tanh serves all four gates.
* Products are cut into the pieces that BLAS multiplies fastest.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..backprop import fuse
from ..graph import Array, attach
from ..ops.elementwise import exp_limit
from ..scan import scan
from ..scan.blas import cut, pieces
from ..tensor import Tensor
from .lstm_step import lstm_equations

# The places of o, i, f and g in the gate order of the weights, i, f, g, o. In the new order the
# three sigmoids are one block. With c stored after g, i g and f c are one product (i, f) * (g, c).
_gate_order = (3, 0, 1, 2)
_half = np.array(0.5, np.float32)
_block_elements = 1 << 14  #: the elements of h in one block of time steps: it stays in the cache
_joined_elements = 1 << 18  #: x_t and h_{t-1} share one product if the weights are no larger


class _Saved(NamedTuple):
    """What the backward pass reads, in the order of time."""

    blocks: ndarray  #: (T, 5, N, H): o_t, i_t, f_t, g_t and c_{t-1}
    rows: ndarray  #: (T + 1, N, K): h_{t-1}, then 1 if there are biases, then x_t
    ys: ndarray  #: (T, N, H): h_t, 0 after the end of a sequence
    c_n: ndarray  #: (N, H): the last c
    ended: ndarray | None  #: (T, N): True after the end of a sequence; None if none ends early


# ── products ─────────────────────────────────────────────────────────────────────────────


def _arrange(weight: ndarray, N: int) -> ndarray:
    """Prepare a weight (4H, K) for products with N rows (N, K) that keep each gate contiguous.

    The result is (4, 1, q, K, H/q), q pieces per gate. For a single row it is (K, 4H): there the
    gates follow one another in memory anyway. In float32 the three sigmoid gates are halved, for
    sigmoid(z) = tanh(z/2)/2 + 1/2.
    """
    H, K = len(weight) // 4, weight.shape[1]
    if N == 1:
        by_row = weight.reshape(4, H, K)[list(_gate_order)].reshape(4 * H, K).T.copy()
        halves = by_row[:, : 3 * H]
    else:
        _, q = cut(N, K, H)
        in_pieces = weight.reshape(4, q, H // q, K).swapaxes(2, 3)
        by_row = np.empty((4, 1, q, K, H // q), weight.dtype)
        for gate, row in enumerate(_gate_order):
            for piece in range(q):
                by_row[gate, 0, piece] = in_pieces[row, piece]
        halves = by_row[:3]
    if weight.dtype == np.float32:
        np.multiply(halves, _half, halves)
    return by_row


def _sigmoid(z: ndarray) -> None:
    # In place, in the memory of the gates. The bound keeps e^-z finite, so NumPy gives no warning.
    np.negative(z, z)
    np.minimum(z, exp_limit[z.dtype], out=z)
    np.exp(z, z)
    np.add(z, 1, z)
    np.reciprocal(z, z)


def _ended_masks(ended: ndarray | None, in_order: slice, here: slice) -> Sequence[ndarray | None]:
    """For each of these steps a mask (N, 1) of the sequences that have ended, or None."""
    if ended is None:
        return [None] * (here.stop - here.start)
    return [over[:, np.newaxis] if over.any() else None for over in ended[in_order][here]]


# ── forward ──────────────────────────────────────────────────────────────────────────────

# Gates for a sequence that has ended: c_t = 1 c_{t-1} + 0 * 0, and no gradient passes them.
_gates_after_end = np.array([1, 0, 1, 0], np.float32).reshape(4, 1, 1)


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
    """``(ys, h_n, c_n)``, and with ``keep`` what the backward pass reads."""
    if x.ndim == 2:
        batch = x[:, np.newaxis], h[np.newaxis], c[np.newaxis]
        weights: tuple[Any, ...] = weight_ih, weight_hh, bias_ih, bias_hh
        (ys, h, c), saved = _forward(*batch, None, *weights, reverse=reverse, keep=keep)
        return (ys[:, 0], h[0], c[0]), saved
    T, N, D = x.shape
    H, dtype = h.shape[-1], x.dtype
    # In reverse all arrays are read through ``[::-1]``, so the code below knows one direction only.
    in_order = slice(None, None, -1 if reverse else 1)
    ended = None if lengths is None else np.arange(T)[:, np.newaxis] >= lengths
    block_steps = _steps_per_block(T, N, H)

    # Phase 1: join the weights. Together they are (4H, H + 1 + D), for the rows [h_{t-1}, 1, x_t].
    # If they are large, W_ih is left out, and multiplies the x_t of a whole block at once.
    biases = [bias for bias in (bias_ih, bias_hh) if bias is not None]
    parts = [weight_hh]
    if biases:
        parts.append(sum(biases[1:], biases[0])[:, np.newaxis])
    weight_x = None
    if weight_ih.size + weight_hh.size <= _joined_elements:
        parts.append(weight_ih)
    else:
        weight_x = _arrange(weight_ih, N)
    weight = _arrange(np.concatenate(parts, 1), N)

    # Without a backward pass one block of memory serves all blocks of steps, one after the other.
    kept_steps = T if keep else block_steps
    blocks = np.empty((kept_steps, 5, N, H), dtype)
    rows = np.empty((kept_steps + 1, N, H + len(biases[:1]) + D), dtype)
    rows[:, :, H:-D] = 1  # multiplies the bias; without biases there is no such column
    ys, h_n, c_n = np.empty((T, N, H), dtype), h.copy(), c.copy()
    for start in range(0, T, block_steps):
        # Phase 2: block after block, so that the products with x_t are still in the cache when the
        # steps read them.
        here = slice(start, min(start + block_steps, T))
        count, at = here.stop - start, start if keep else 0
        block, row = blocks[in_order][at : at + count], rows[in_order][at : at + count + 1]
        # A block starts from the last h and c of the block before.
        block[0, 4] = c_n
        row[0, :, :H] = h_n
        row[:-1, :, -D:] = x[in_order][here]
        if weight_x is not None:
            _products(row[:-1, :, -D:], weight_x, block[:, :4])
        joined = row if weight_x is None else row[:, :, :-D]
        masks = _ended_masks(ended, in_order, here)
        _run_block(block, joined, c_n, weight, weight_x is not None, masks)
        h_n[...] = row[-1, :, :H]
        ys[in_order][here] = row[1:, :, :H]
    if ended is not None:
        ys[ended] = 0
    return (ys, h_n, c_n), _Saved(blocks, rows, ys, c_n, ended) if keep else None


def _products(x: ndarray, weight: ndarray, out: ndarray) -> None:
    """Multiply x (T, N, D) by an arranged weight, into (T, 4, N, H)."""
    T, N, D = x.shape
    if N == 1:  # one product whose rows are the time steps
        np.matmul(x[:, 0], weight, out.reshape(T, -1))
    else:
        p, q = cut(N, D, out.shape[-1])
        np.matmul(pieces(x, p, 1)[:, np.newaxis], weight, pieces(out, p, q))


def _run_block(
    block: ndarray,
    row: ndarray,
    c_n: ndarray,
    weight: ndarray,
    adds: bool,
    masks: Sequence[ndarray | None],
) -> None:
    """Run the time steps of one block; fill in its gates, the h in ``row``, and the last c.

    Args:
        block: (steps, 5, N, H), gates and c_{t-1}.
        row: (steps + 1, N, K), what each step multiplies by the weight.
        c_n: (N, H), for the last c.
        weight: arranged.
        adds: whether the gates already hold W_ih x_t, to which the product is added.
        masks: for each step, the sequences that have ended.
    """
    N, K = row.shape[1:]
    H, dtype = block.shape[-1], block.dtype
    gates = block[:, :4]
    # If x_t was multiplied before, the gates hold that product already, and h's goes to ``from_h``.
    from_h = np.empty((4, N, H), dtype)
    product: Callable[..., Any]
    targets: Iterable[ndarray]
    if N == 1:
        product = np.dot  # half the cost of matmul here
        factors = row
        targets = [from_h.reshape(1, 4 * H)] * len(block) if adds else gates.reshape(-1, 1, 4 * H)
    else:
        p, q = cut(N, K, H)
        product, factors = np.matmul, pieces(row, p, 1)
        targets = [pieces(from_h, p, q)] * len(block) if adds else pieces(gates, p, q)
    single = dtype == np.float32
    add, multiply, tanh = np.add, np.multiply, np.tanh
    products = np.empty((2, N, H), dtype)
    i_g, f_c = products
    tanh_c = np.empty((N, H), dtype)
    # Views for each step, made by iterating over arrays (indexing costs four times as much):
    #
    #     z     the gates o, i, f, g (4, N, H)
    #     oif   its three sigmoids
    #     i_f   i and f, and g_c  g and c_{t-1}: (i, f) * (g, c_{t-1}) is one product
    #     c_t   where the next step reads its c_{t-1}, so nothing is copied
    for factor, target, z, oif, i_f, g_c, o, c_t, h_t, mask in zip(
        factors[:-1],
        targets,
        gates,
        block[:, :3],
        block[:, 1:3],
        block[:, 3:],
        block[:, 0],
        [*block[1:, 4], c_n],
        row[1:, :, :H],
        masks,
        strict=True,
    ):
        product(factor, weight, target)
        if adds:
            add(z, from_h, z)
        if single:
            # The weights of o, i and f are halved, so one tanh serves all gates, and sigmoid is
            # tanh / 2 + 1/2.
            tanh(z, z)
            multiply(oif, _half, oif)
            add(oif, _half, oif)
        else:
            _sigmoid(oif)
            tanh(g_c[0], g_c[0])
        if mask is not None:
            np.copyto(z, _gates_after_end, where=mask)
        multiply(i_f, g_c, products)
        add(i_g, f_c, c_t)
        tanh(c_t, tanh_c)
        multiply(o, tanh_c, h_t)
        if mask is not None:  # h stays as it was
            np.copyto(h_t, factor[..., :H].reshape(N, H), where=mask)


def _steps_per_block(T: int, N: int, H: int) -> int:
    """How many time steps one block has."""
    return max(1, min(T, _block_elements // (N * H)))


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
    g_x = np.empty((T, N, D), dtype) if live[0] else None
    g_h, g_c = _through_time(gs, saved, weight_ih, weight_hh, in_order, g_z, g_x)
    g_ih = g_hh = g_bias = None
    if any(live[4:]):
        # Step t multiplied row t by W; in reverse, where the last row comes first, row t + 1.
        rows = saved.rows[1:] if reverse else saved.rows[:-1]
        # One product over all steps and sequences: [dW_hh, db, dW_ih] = sum_t g_z_t' [h_{t-1}, 1,
        # x_t].
        g_weights = np.matmul(g_z.reshape(T * N, -1).T, rows.reshape(T * N, -1))
        g_hh, g_bias, g_ih = g_weights[:, :H], g_weights[:, H], g_weights[:, -D:]
    # The biases are added to each other, so both have the same gradient.
    return [g_x, g_h, g_c, None, g_ih, g_hh, g_bias, g_bias]


def _columns(weight: ndarray, q: int) -> ndarray:
    """(K, n) as (1, q, K, n/q). Narrow pieces are copied, so that each is contiguous for BLAS."""
    in_pieces = pieces(weight, 1, q)
    return np.ascontiguousarray(in_pieces) if in_pieces.shape[-1] < 64 else in_pieces


def _through_time(
    gs: list[Any],
    saved: _Saved,
    weight_ih: ndarray,
    weight_hh: ndarray,
    in_order: slice,
    g_z: ndarray,
    g_x: ndarray | None,
) -> tuple[ndarray, ndarray]:
    """Fill in the cotangents of the gates (before their sigmoid or tanh) and of x.

        g_c = g_c + g_h o (1 - tanh(c)^2),      then  g_c f  is the cotangent of c_{t-1}
        z_o: g_h o (1 - o) tanh(c)    z_i: g_c i (1 - i) g    z_f: g_c f (1 - f) c_{t-1}
        z_g: g_c i (1 - g^2)

    The factors of g_h and g_c are computed before the loop, from h = o tanh(c), i g and f c_{t-1}:
    g_h o (1 - o) tanh(c) = g_h (h - h o), for example.

    Returns:
        The cotangents of the initial h and c.
    """
    # Block after block, from the last to the first. Phase 1 computes the factors that do not depend
    # on the incoming gradient, for all steps of the block at once:
    #
    #     from_o = h - h o            = o (1 - o) tanh(c)
    #     from_tanh = o - h tanh(c)   = o (1 - tanh(c)^2)
    #     from_i = i g - i g i        = i (1 - i) g
    #     from_f = f c - f c f        = f (1 - f) c_{t-1}
    #     from_g = i - i g g          = i (1 - g^2)
    #
    # Phase 2 goes back step by step and only multiplies and adds. Phase 3 is the gradient of x.
    blocks, _, ys, c_n, ended = saved
    T, _, N, H = blocks.shape
    dtype = blocks.dtype
    g_ys, *last = gs
    g_h, g_c = (np.zeros((N, H), dtype) if g is None else np.array(g, order="C") for g in last)
    if g_ys is not None and ended is not None:
        g_ys = np.where(ended[:, :, np.newaxis], np.zeros((), dtype), g_ys)
    none = np.zeros((N, H), dtype)
    in_rows = g_z[in_order]
    product: Callable[..., Any]
    p, q = cut(N, 4 * H, H)
    if p == q == 1:
        product, z_pieces, weight, target = np.dot, in_rows, weight_hh, g_h
    else:
        product, z_pieces = np.matmul, pieces(in_rows, p, 1)
        weight, target = _columns(weight_hh, q), pieces(g_h, p, q)
    p_x, q_x = cut(N, 4 * H, weight_ih.shape[1])
    weight_x = _columns(weight_ih, q_x)
    blocks, ys = blocks[in_order], ys[in_order]

    add, multiply, subtract, tanh = np.add, np.multiply, np.subtract, np.tanh
    block_steps = _steps_per_block(T, N, H)
    factors = np.empty((5, block_steps, N, H), dtype)
    shared = np.empty((2, block_steps, N, H), dtype)
    g_h_t, g_tanh = np.empty((2, N, H), dtype)
    for start in range((T - 1) // block_steps * block_steps, -1, -block_steps):
        stop = min(start + block_steps, T)
        here, count = slice(start, stop), stop - start
        o, i, f, g, c_before = (blocks[here, k] for k in range(5))
        h = ys[here]
        from_o, from_tanh, from_i, from_f, from_g = factors[:, :count]
        tanh_c, i_g = shared[:, :count]
        # c_t is stored as the c_{t-1} of the next step. That of the last step is c_n.
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
        f_c = multiply(f, c_before, tanh_c)  # in the memory of tanh_c, which is not read again
        multiply(f_c, f, from_f)
        subtract(f_c, from_f, from_f)
        if ended is not None:  # after the end h_t does not come from c_t
            from_tanh[ended[in_order][here]] = 0
        by_gate = in_rows[here].reshape(count, N, 4, H)
        for g_y, o_t, tanh_t, ifg_t, f_t, z_o, z_ifg, z, mask in zip(
            itertools.repeat(none) if g_ys is None else g_ys[in_order][here][::-1],
            from_o[::-1],
            from_tanh[::-1],
            factors[2:, :count].swapaxes(0, 1)[::-1],
            f[::-1],
            by_gate[::-1, :, 3],
            by_gate[::-1, :, :3].swapaxes(1, 2),
            z_pieces[here][::-1],
            _ended_masks(ended, in_order, here)[::-1],
            strict=False,
        ):
            # h_t is read by y_t and by the next step.
            add(g_h, g_y, g_h_t)
            multiply(g_h_t, o_t, z_o)
            multiply(g_h_t, tanh_t, g_tanh)
            add(g_c, g_tanh, g_c)
            multiply(ifg_t, g_c, z_ifg)
            multiply(g_c, f_t, g_c)
            # g_h for the step before: g_z_t W_hh.
            product(z, weight, target)
            if mask is not None:  # after the end, h_t is h_{t-1}
                np.copyto(g_h, g_h_t, where=mask)
        if g_x is not None:  # now, while these rows are in the cache
            z, x_rows = in_rows[here], g_x[in_order][here]
            if N == 1:
                np.matmul(z[:, 0], weight_ih, x_rows[:, 0])
            else:
                np.matmul(pieces(z, p_x, 1), weight_x, pieces(x_rows, p_x, q_x))
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
            h, c = lstm_equations(x_t, *carry, weight_ih, weight_hh, bias_ih, bias_hh)
            return (h, c), h

        (h, c), ys = scan(step, (h, c), x, reverse=reverse, lengths=lengths, unroll=True)
        return ys, h, c

    return fuse(
        lstm_sequence,
        functools.partial(_forward, reverse=reverse),
        functools.partial(_vjps, reverse=reverse),
        without_graph=functools.partial(_forward, reverse=reverse, keep=False),
    )


_by_direction = _in_direction(False), _in_direction(True)
_names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def lstm_sequence(
    x: Tensor,
    state: tuple[Tensor, ...],
    weights: dict[str, Tensor],
    *,
    reverse: bool = False,
    lengths: ndarray | None = None,
) -> tuple[tuple[Tensor, Tensor], Tensor] | None:
    """Run an LSTM over a sequence as one node, with the result that ``scan`` would give.

    Args:
        x: (T, N, D), or (T, D) unbatched.
        state: h and c, (N, H) or (H,).
        weights: by name, as :func:`lstm_equations` calls them.
        reverse: run from the last time step to the first.
        lengths: (N,) integers from 1 to T. What x holds after the end must be finite.

    Returns:
        ``((h, c), ys)``. None if this code does not cover the case: peepholes, projections, empty
        arrays, and dtypes that are not all float32 or all float64.
    """
    given = [value for value in (x, *state, *weights.values()) if value is not None]  # a bias
    dtypes = {value._array.dtype.char for value in given}
    plain = all(name in _names for name in weights)
    if not plain or 0 in x._array.shape or dtypes not in ({"f"}, {"d"}):
        return None
    ends = None if lengths is None else attach(lengths.copy(), None)
    parameters = (weights.get(name) for name in _names)
    ys, h, c = _by_direction[reverse](x, *state, ends, *parameters)
    return (h, c), ys
