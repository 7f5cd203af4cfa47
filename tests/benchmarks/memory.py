"""The memory of a training step: how far a fresh process grows while it runs.

Read from /proc/self, so only on Linux. Beside what a step keeps for its backward this counts all
that it holds at its peak, temporaries and a peer's own buffers too.
"""

from __future__ import annotations

import ctypes
import gc
import math
import multiprocessing
import re
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from .cells import Problem, Size
from .peers import library
from .scan import SIZES, title
from .table import Figure, Table
from .timing import agree, interleave

SELF = Path("/proc/self")
measurable = (SELF / "clear_refs").exists()


def grown_by(run: Callable[[], object]) -> float:
    """By how many MB (2**20 bytes) this process is larger at the peak of a call than before it."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim:
        trim(0)  # what is free, but still counted as the process's, would hide what a step takes
    (SELF / "clear_refs").write_text("5")  # the peak is what is used now
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", (SELF / "status").read_text(), re.MULTILINE)
    assert found, f"no {name} in {SELF / 'status'}"
    return int(found[1])


def fresh(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a call in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def step_memory(peer: str, name: str, size: Size) -> float:
    """MB of a library's training step, the first one of its size."""
    library(peer).training_step(Problem(name, (3, 2, 4, 4)))()  # lazy imports
    return grown_by(library(peer).training_step(Problem(name, size)))


def memory(rounds: int) -> Iterator[Figure]:
    """Training steps at the largest size, beside PyTorch's."""
    if not (measurable and library("torch")):
        return
    for name in ("nn.LSTM", "nn.GRU", "nn.RNN", "peephole LSTM", "layer-norm RNN"):
        row = title(Problem(name, SIZES[-1]), "torch")
        ours, theirs = (fresh(step_memory, peer, name, SIZES[-1]) for peer in ("ours", "torch"))
        yield Figure(Table.MEMORY, row, ours, "MB", None, "ours")
        yield Figure(Table.MEMORY, row, theirs, "MB", None, "torch")
        target = 1.5 if name == "nn.LSTM" else None
        yield Figure(Table.MEMORY, row, ours / theirs, "", target, "ratio")


# ── tg.checkpoint over chunks ────────────────────────────────────────────────────────────

N, D, H = 32, 64, 64
LENGTHS = (400, 1600, 6400)


def chunked(T: int, forgetting: bool) -> Callable[[], list[Any]]:
    """A training step on a long sequence in chunks of sqrt(T) steps, the loss a sum over chunks.

    What a chunk returns is kept: the state, and its part of the loss, but no outputs of all steps.
    """
    rng = np.random.default_rng(0)
    layer = tg.nn.LSTM(D, H, rng=0)
    xs = tg.Tensor(rng.standard_normal((T, N, D), np.float32))
    size = math.isqrt(T)

    def chunk(h: Any, c: Any, x: Any) -> Any:
        y, (h, c) = layer(x, (h, c))
        return h, c, tg.square(y).sum()

    def step() -> list[Any]:
        layer.zero_grad()
        h: Any = np.zeros((1, N, H), np.float32)
        c: Any = h
        loss: Any = 0.0
        for start in range(0, T, size):
            x = xs[start : start + size]
            h, c, part = tg.checkpoint(chunk, h, c, x) if forgetting else chunk(h, c, x)
            loss = loss + part / T
        loss.backward()
        return [loss.data, *(p.grad for p in layer.parameters())]

    return step


def chunk_memory(T: int, forgetting: bool) -> float:
    """MB of a training step in chunks."""
    chunked(9, forgetting)()
    return grown_by(chunked(T, forgetting))


def checkpoints(rounds: int) -> Iterator[Figure]:
    """Memory that grows with sqrt(T): four times the length takes twice the memory."""
    before = None
    for T in LENGTHS:
        row = f"T={T}"
        if measurable:
            # How a heap of small pieces lies differs from process to process.
            kept, plain = (
                statistics.median(fresh(chunk_memory, T, forgetting) for _ in range(3))
                for forgetting in (True, False)
            )
            yield Figure(Table.CHECKPOINT, row, plain, "MB", None, "memory without")
            yield Figure(Table.CHECKPOINT, row, kept, "MB", None, "memory with")
            if before is not None:
                yield Figure(
                    Table.CHECKPOINT, row, kept / before, "", 2.5, "memory with, / that of T/4"
                )
            before = kept
        steps = {"with": chunked(T, True), "without": chunked(T, False)}
        agree(steps)
        ratio = interleave(steps, rounds=rounds).ratio("with", "without")
        yield Figure(Table.CHECKPOINT, row, ratio, "", 1.5, "time, with / without")
