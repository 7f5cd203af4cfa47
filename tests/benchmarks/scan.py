"""scan, and the layers that stand on it, against PyTorch: forward + full backward in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from .timing import installed_torch, interleave

Row = tuple[str, str, float, float]
SIZES = [
    (32, 1, 32, 32),
    (50, 16, 64, 128),
    (35, 20, 100, 100),
    (64, 32, 128, 256),
    (1000, 8, 64, 64),
    (100, 64, 256, 512),
]
BARS = {
    "lstm": (0.75, 1.2, 1.0, 1.4, 1.8, 1.1),
    "gru": (0.12, 0.5, 0.5, 0.8, 0.25, 1.0),
    "rnn": (0.12, 0.42, 0.38, 0.9, 0.25, 1.0),
    "peephole": (0.1, 0.5, 0.5, 0.85, 0.25, float("inf")),
    "layer_norm": (0.2, 0.6, 0.55, 0.95, 0.35, float("inf")),
}


# ── cells ────────────────────────────────────────────────────────────────────────────────
# Written once for both libraries: ``o`` has their linear, sigmoid, tanh and layer_norm.


class _Ours:
    linear, sigmoid, tanh = tg.linear, tg.sigmoid, tg.tanh

    @staticmethod
    def norm(x: Any, weight: Any, bias: Any) -> Any:
        return tg.layer_norm(x, x.shape[-1], weight, bias)

    @staticmethod
    def split(x: Any, parts: int) -> Any:
        return tg.split(x, parts, -1)


def _theirs(torch: Any) -> Any:
    class Theirs:
        linear, sigmoid, tanh = torch.nn.functional.linear, torch.sigmoid, torch.tanh

        @staticmethod
        def norm(x: Any, weight: Any, bias: Any) -> Any:
            return torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias)

        @staticmethod
        def split(x: Any, parts: int) -> Any:
            return torch.chunk(x, parts, -1)

    return Theirs


def lstm_cell(o: Any, w: Any) -> Callable[..., Any]:
    def cell(state: Any, x: Any) -> Any:
        h, c = state
        gates = o.linear(x, w[0], w[2]) + o.linear(h, w[1], w[3])
        i, f, g, out = o.split(gates, 4)
        c = o.sigmoid(f) * c + o.sigmoid(i) * o.tanh(g)
        h = o.sigmoid(out) * o.tanh(c)
        return (h, c), h

    return cell


def peephole_cell(o: Any, w: Any) -> Callable[..., Any]:
    def cell(state: Any, x: Any) -> Any:
        h, c = state
        gates = o.linear(x, w[0], w[2]) + o.linear(h, w[1], w[3])
        i, f, g, out = o.split(gates, 4)
        c = o.sigmoid(f + w[5] * c) * c + o.sigmoid(i + w[4] * c) * o.tanh(g)
        h = o.sigmoid(out + w[6] * c) * o.tanh(c)
        return (h, c), h

    return cell


def gru_cell(o: Any, w: Any) -> Callable[..., Any]:
    def cell(state: Any, x: Any) -> Any:
        (h,) = state
        from_x, from_h = o.linear(x, w[0], w[2]), o.linear(h, w[1], w[3])
        (r, z, n), (r_h, z_h, n_h) = o.split(from_x, 3), o.split(from_h, 3)
        r, z = o.sigmoid(r + r_h), o.sigmoid(z + z_h)
        n = o.tanh(n + r * n_h)
        h = (1 - z) * n + z * h
        return (h,), h

    return cell


def rnn_cell(o: Any, w: Any) -> Callable[..., Any]:
    def cell(state: Any, x: Any) -> Any:
        (h,) = state
        h = o.tanh(o.linear(x, w[0], w[2]) + o.linear(h, w[1], w[3]))
        return (h,), h

    return cell


def layer_norm_cell(o: Any, w: Any) -> Callable[..., Any]:
    def cell(state: Any, x: Any) -> Any:
        (h,) = state
        h = o.tanh(o.norm(o.linear(x, w[0], w[2]) + o.linear(h, w[1], w[3]), w[4], w[5]))
        return (h,), h

    return cell


CELLS: dict[str, tuple[Callable[..., Any], int, int, int]] = {
    # cell, gates, carries, further vectors of length H
    "lstm": (lstm_cell, 4, 2, 0),
    "gru": (gru_cell, 3, 1, 0),
    "rnn": (rnn_cell, 1, 1, 0),
    "peephole": (peephole_cell, 4, 2, 3),
    "layer_norm": (layer_norm_cell, 1, 1, 2),
}


def _weights(kind: str, D: int, H: int) -> list[np.ndarray]:
    _, gates, _, vectors = CELLS[kind]
    rng = np.random.default_rng(0)
    bound = 1 / np.sqrt(H)
    shapes = [(gates * H, D), (gates * H, H), (gates * H,), (gates * H,)] + [(H,)] * vectors
    return [rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes]


def compare(kind: str, size: tuple[int, int, int, int], rounds: int = 11) -> tuple[float, float]:
    """Time of a training step, ours / PyTorch's; and ours in ms."""
    torch = installed_torch()
    T, N, D, H = size
    cell, _, carries, _ = CELLS[kind]
    arrays = _weights(kind, D, H)
    x = np.random.default_rng(1).standard_normal((T, N, D)).astype(np.float32)
    g = np.random.default_rng(2).standard_normal((T, N, H)).astype(np.float32)
    zeros = np.zeros((N, H), np.float32)
    weights = [tg.Tensor(a, requires_grad=True) for a in arrays]
    xs = tg.Tensor(x, requires_grad=True)
    state = (tg.Tensor(zeros),) * carries
    step = cell(_Ours, weights)

    def ours() -> Any:
        for leaf in (*weights, xs):
            leaf.grad = None
        _, ys = tg.scan(step, state, xs)
        ys.backward(g)
        return [ys.data, *(leaf.grad for leaf in (xs, *weights))]

    their_weights = [torch.tensor(a, requires_grad=True) for a in arrays]
    their_xs = torch.tensor(x, requires_grad=True)
    their_g = torch.tensor(g)
    their_zeros = torch.tensor(zeros)
    if kind in ("lstm", "gru", "rnn"):
        layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind](D, H)
        with torch.no_grad():
            for p, a in zip(layer.parameters(), arrays, strict=True):
                p.copy_(torch.tensor(a))
        their_weights = list(layer.parameters())

        def forward() -> Any:
            return layer(their_xs)[0]
    else:
        their_step = cell(_theirs(torch), their_weights)

        def forward() -> Any:
            carry = (their_zeros,) * carries
            ys = []
            for x_t in their_xs:
                carry, y = their_step(carry, x_t)
                ys.append(y)
            return torch.stack(ys)

    def theirs() -> Any:
        for leaf in (*their_weights, their_xs):
            leaf.grad = None
        ys = forward()
        ys.backward(their_g)
        return [ys.detach(), *(leaf.grad for leaf in (their_xs, *their_weights))]

    for mine, reference in zip(ours(), theirs(), strict=True):
        scale = max(1.0, float(reference.abs().max()))
        np.testing.assert_allclose(mine, reference.numpy(), rtol=0, atol=2e-4 * scale)
    times = interleave({"ours": ours, "torch": theirs}, rounds=rounds, seconds=0.1)
    return times.ratio("ours", "torch"), times.median("ours") * 1e3


def scan_against_torch() -> Iterator[Row]:
    """Every cell at every size."""
    if not installed_torch():
        return
    for kind, bars in BARS.items():
        peer = "torch.nn." + kind.upper() if kind in ("lstm", "gru", "rnn") else "the torch loop"
        for size, bar in zip(SIZES, bars, strict=True):
            if np.isfinite(bar):
                ratio, _ = compare(kind, size)
                yield f"scan {kind}, (T, N, D, H) = {size} / {peer}", "ratio", ratio, bar
