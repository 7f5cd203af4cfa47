"""What the engine costs: one recorded op, Python loops over an LSTM's steps, depth, the import."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from .peers import library
from .table import Figure, Table
from .timing import agree, interleave

SIZES = [(1, 32, 32), (16, 64, 128), (32, 128, 256)]


# ── one op ───────────────────────────────────────────────────────────────────────────────

LINKS = 30  # turns of y = tanh(y * a + b); three ops each


def overhead(rounds: int) -> Iterator[Figure]:
    """(ours - bare) / (PyTorch eager - bare) per op, on a chain of tanh(y * a + b) of (1, 32)."""
    rng = np.random.default_rng(0)
    start, a, b = (rng.standard_normal((1, 32)).astype(np.float32) for _ in range(3))

    def bare() -> Any:
        y, saved = start, []
        for _ in range(LINKS):
            product = y * a
            out = np.tanh(product + b)
            saved.append((y, out))
            y = out
        g = np.ones_like(y)
        g_a, g_b = np.zeros_like(a), np.zeros_like(b)
        for x, out in reversed(saved):
            g = g * (1 - out * out)
            g_b += g
            g_a += g * x
            g = g * a
        return g, g_a, g_b

    leaves = [tg.Tensor(x, requires_grad=True) for x in (start, a, b)]

    def ours() -> Any:
        for x in leaves:
            x.grad = None
        y, a, b = leaves
        for _ in range(LINKS):
            y = tg.tanh(y * a + b)
        y.backward(np.ones((1, 32), np.float32))
        return [x.grad for x in leaves]

    functions: dict[str, Callable[[], Any]] = {"bare": bare, "ours": ours}
    if library("torch"):
        torch = library("torch").torch
        torch_leaves = [torch.tensor(x, requires_grad=True) for x in (start, a, b)]
        one = torch.ones((1, 32))

        def theirs() -> Any:
            for x in torch_leaves:
                x.grad = None
            y, a, b = torch_leaves
            for _ in range(LINKS):
                y = torch.tanh(y * a + b)
            y.backward(one)
            return [x.grad for x in torch_leaves]

        functions["torch"] = theirs
    agree(functions)
    times = interleave(functions, rounds=2 * rounds)
    ops = 3 * LINKS
    extra = (times.median("ours") - times.median("bare")) / ops * 1e6
    what = "one recorded op, forward + backward, over bare NumPy"
    yield Figure(Table.ENGINE, what, extra, "us", 1.96)
    if "torch" in functions:
        ratio = times.ratio("ours", "torch", minus="bare")
        yield Figure(Table.ENGINE, "the same / PyTorch eager's", ratio, "", 0.4)


# ── loops over an LSTM's steps ───────────────────────────────────────────────────────────


def _parameters(D: int, H: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    bound = 1 / np.sqrt(H)
    shapes = {
        "weight_ih": (4 * H, D),
        "weight_hh": (4 * H, H),
        "bias_ih": (4 * H,),
        "bias_hh": (4 * H,),
    }
    return {k: rng.uniform(-bound, bound, s).astype(np.float32) for k, s in shapes.items()}


def _loop(cell: Callable[..., Any], xs: Any, state: Any, leaves: list[Any]) -> Callable[[], Any]:
    """Forward and backward through T steps; the loss is the sum of the last h."""

    def run() -> Any:
        for x in leaves:
            x.grad = None
        h, c = state
        for x_t in xs:
            h, c = cell(x_t, (h, c))
        h.sum().backward()
        return [x.grad for x in leaves]

    return run


def _primitive_step(linear: Any, sigmoid: Any, tanh: Any, leaves: list[Any], H: int) -> Any:
    """An LSTM step spelled out in the ops that both libraries have."""
    weight_ih, weight_hh, bias_ih, bias_hh = leaves

    def step(x_t: Any, state: Any) -> Any:
        h, c = state
        gates = linear(x_t, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)
        i = sigmoid(gates[:, :H])
        f = sigmoid(gates[:, H : 2 * H])
        g = tanh(gates[:, 2 * H : 3 * H])
        o = sigmoid(gates[:, 3 * H :])
        c = f * c + i * g
        return o * tanh(c), c

    return step


def lstm_loops(rounds: int, T: int = 50) -> Iterator[Figure]:
    """A Python loop over T steps against PyTorch's same loop: the cell, and spelled out in ops."""
    if not library("torch"):
        return
    torch = library("torch").torch
    targets = {"cell": (0.5, 0.7, 0.9), "ops": (0.75, 0.85, 1.0)}
    for kind in ("cell", "ops"):
        for (N, D, H), target in zip(SIZES, targets[kind], strict=True):
            arrays = _parameters(D, H)
            xs = np.random.default_rng(1).standard_normal((T, N, D)).astype(np.float32)
            zeros = np.zeros((N, H), np.float32)
            if kind == "cell":
                mine = tg.nn.LSTMCell(D, H)
                mine.load_state_dict(arrays)
                theirs = torch.nn.LSTMCell(D, H)
                theirs.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()})
                my_leaves, their_leaves = list(mine.parameters()), list(theirs.parameters())
            else:
                my_leaves = [tg.Tensor(v, requires_grad=True) for v in arrays.values()]
                their_leaves = [torch.tensor(v, requires_grad=True) for v in arrays.values()]
                mine = _primitive_step(tg.linear, tg.sigmoid, tg.tanh, my_leaves, H)
                linear = torch.nn.functional.linear
                theirs = _primitive_step(linear, torch.sigmoid, torch.tanh, their_leaves, H)
            ours = _loop(mine, [tg.Tensor(x) for x in xs], (tg.Tensor(zeros),) * 2, my_leaves)
            peer = _loop(theirs, list(torch.tensor(xs)), (torch.tensor(zeros),) * 2, their_leaves)
            functions = {"ours": ours, "torch": peer}
            agree(functions)
            ratio = interleave(functions, rounds=rounds).ratio("ours", "torch")
            what = "nn.LSTMCell" if kind == "cell" else "LSTM in primitive ops"
            row = f"{what} loop, T={T}, N,D,H = {N},{D},{H} / PyTorch"
            yield Figure(Table.ENGINE, row, ratio, "", target)


# ── depth and leaks ──────────────────────────────────────────────────────────────────────


def long_chain(rounds: int, n: int = 1_000_000) -> Iterator[Figure]:
    """Chained adds: forward, backward and freeing, and what is left to the cyclic collector."""
    gc.collect()
    x = tg.Tensor(1.0, requires_grad=True)
    start = time.perf_counter()
    y = x
    for _ in range(n):
        y = y + x
    y.backward()
    assert x.grad == n + 1, x.grad
    del y
    taken = time.perf_counter() - start
    yield Figure(Table.ENGINE, f"{n:,} chained adds: forward, backward, freeing", taken, "s", 20.0)
    left = "objects left to the cyclic collector"
    yield Figure(Table.ENGINE, left, gc.collect(), "objects", 0)


def import_time(rounds: int) -> Iterator[Figure]:
    """A fresh interpreter's `import tinygrad_rnn` against its `import numpy`, from bytecode."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def load(module: str) -> Callable[[], Any]:
        command = [sys.executable, "-c", f"import {module}"]
        return lambda: subprocess.run(command, check=True, env=environment)

    times = interleave(
        {"nothing": load("sys"), "numpy": load("numpy"), "ours": load("tinygrad_rnn")},
        rounds=rounds,
    )
    row = "import tinygrad_rnn / import numpy (interpreter's start taken off both)"
    yield Figure(Table.ENGINE, row, times.ratio("ours", "numpy", minus="nothing"), "", 1.6)
