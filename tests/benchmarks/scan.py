"""tg.nn's layers and tg.scan against their peers: forward + full backward in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .cells import Problem, Size
from .peers import library
from .table import Figure, Table
from .timing import Rounds, agree, interleave

SIZES: list[Size] = [
    (32, 1, 32, 32),
    (50, 16, 64, 128),
    (35, 20, 100, 100),
    (64, 32, 128, 256),
    (1000, 8, 64, 64),
    (100, 64, 256, 512),
]
Targets = dict[str, dict[str, Sequence[float]]]
#: What ours may take, as a part of the peer's time; each is timed where there is a target.
TARGETS: Targets = {
    "nn.LSTM": {"torch": (0.75, 1.2, 1.0, 1.4, 1.8, 1.1)},
    "nn.GRU": {"torch": (0.12, 0.5, 0.5, 0.8, 0.25, 1.0)},
    "nn.RNN": {"torch": (0.12, 0.42, 0.38, 0.9, 0.25, 1.0)},
    "peephole LSTM": {
        "torch": (0.1, 0.5, 0.5, 0.85, 0.25),
        "jax": (2.0, 1.2, 1.2, 1.3, 1.4),
    },
    "layer-norm RNN": {
        "torch": (0.2, 0.6, 0.55, 0.95, 0.35),
        "jax": (2.8, 1.5, 1.3, 1.15, 1.4),
    },
}
NATIVE_TARGETS: Targets = {
    "nn.LSTM": {"torch": (0.25, 0.8, 0.85, 0.95, 0.8, 1.0)},
    "nn.GRU": {"torch": (0.05, 0.3, 0.3, 0.65, 0.12, 0.85)},
    "nn.RNN": {"torch": (0.08, 0.25, 0.25, 0.65, 0.1, 0.85)},
    "peephole LSTM": {
        "torch": (0.05, 0.28, 0.3, 0.6, 0.12),
        "jax": (0.6, 0.6, 0.75, 0.7, 0.6),
    },
    "layer-norm RNN": {
        "torch": (0.08, 0.35, 0.35, 0.75, 0.15),
        "jax": (0.8, 0.8, 0.8, 0.85, 0.7),
    },
}
#: Slow ones without a target are timed at the first sizes only.
SLOW, SLOW_SIZES = ("autograd", "mygrad"), 3
PEERS = {
    "torch": "the loop in torch",
    "jax": "jax.jit(lax.scan)",
    "autograd": "the loop in HIPS autograd",
    "mygrad": "the loop in MyGrad",
}


def title(problem: Problem, peer: str) -> str:
    """What stands in the README's table, ours / theirs."""
    if problem.kind.cell is None:
        return f"{problem.name} / torch.{problem.name}"
    return f"scan, {problem.name} of one's own / {PEERS[peer]}"


def products(problem: Problem) -> Callable[[], None]:
    """The bare matrix products of a training step, in a fast form: what BLAS alone takes."""
    T, N, D, H = problem.size
    count = problem.kind.gates
    rng = np.random.default_rng(0)
    shapes = [(T * N, D), (T, N, H), (T, N, count * H), (count * H, D), (count * H, H)]
    x, h, gates, weight_ih, weight_hh = (rng.standard_normal(s, np.float32) for s in shapes)
    # One product a gate: 1.5 -> 1.0 ms for all steps at T,N,D,H = 50,16,64,128, of four gates.
    each_hh = np.ascontiguousarray(weight_hh.reshape(count, H, H).swapaxes(1, 2))
    ih = weight_ih.T.copy()
    from_x, from_h = np.empty((T * N, count * H), np.float32), np.empty((count, N, H), np.float32)
    for_ih, for_hh, for_x = np.empty_like(weight_ih), np.empty_like(weight_hh), np.empty_like(x)
    for_h = np.empty_like(h[0])
    h_by_step, gates_by_step = list(h), list(gates)
    all_h, all_gates = h.reshape(T * N, H), gates.reshape(T * N, count * H)

    def run() -> None:
        np.matmul(x, ih, out=from_x)
        for h_t in h_by_step:
            np.matmul(h_t, each_hh, out=from_h)
        for gates_t in gates_by_step:
            np.matmul(gates_t, weight_hh, out=for_h)
        np.matmul(all_gates.T, x, out=for_ih)
        np.matmul(all_gates.T, all_h, out=for_hh)
        np.matmul(all_gates, weight_ih, out=for_x)

    return run


def contest(problem: Problem, names: Sequence[str], rounds: int) -> Rounds:
    """Training steps of several libraries, and the bare products; those not installed are absent.

    Raises:
        AssertionError: their values or gradients differ.
    """
    steps = {name: library(name).training_step(problem) for name in names if library(name)}

    def results(name: str) -> Callable[[], Any]:
        return lambda: library(name).comparable(steps[name]())

    agree({name: results(name) for name in steps})
    return interleave({**steps, "products": products(problem)}, rounds=rounds)


def against_peers(rounds: int) -> Iterator[Figure]:
    """Every net at every size against every peer, and its share of BLAS."""
    later, shares = [], []
    for name, targets in TARGETS.items():
        for place, size in enumerate(SIZES):
            problem = Problem(name, size)
            peers: dict[str, float | None] = {
                peer: row[place] for peer, row in targets.items() if place < len(row)
            }
            if problem.kind.cell and place < SLOW_SIZES:
                peers |= dict.fromkeys(SLOW, None)
            if not peers:
                continue
            times = contest(problem, ["numpy", "native", *peers], rounds)
            column = ",".join(map(str, size))
            for peer, target in peers.items():
                if library(peer):
                    ratio = times.ratio("numpy", peer)
                    yield Figure(Table.PEERS, title(problem, peer), ratio, "", target, column)
                if library(peer) and library("native") and target is not None:
                    ratio, target = times.ratio("native", peer), NATIVE_TARGETS[name][peer][place]
                    later.append(
                        Figure(Table.NATIVE, title(problem, peer), ratio, "", target, column)
                    )
            share = 100 * times.ratio("products", "numpy")
            shares.append(Figure(Table.BLAS, name, share, "%", None, column))
    yield from later
    yield from shares
