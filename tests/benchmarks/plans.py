"""What it costs to meet a new cell, or a new length: plans are built once, and serve every T."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .cells import Problem
from .peers import library
from .scan import title
from .table import Figure, Table
from .timing import agree, interleave

CELLS = ("GRU", "LSTM", "peephole LSTM", "layer-norm RNN")
LONGEST, SHORTEST = 60, 20  # sequences
DRAWN = 20  # of them at a turn


def _seconds(function: Callable[..., object], *args: object) -> float:
    # Of this process: a difference of single calls would show whatever else the machine does.
    start = time.process_time()
    function(*args)
    return time.process_time() - start


def first_call(name: str, problem: Problem, later: int = 5) -> float:
    """The seconds by which a library's first training step is longer than a later one."""
    step = library(name).training_step(problem)
    first, *others = [_seconds(step) for _ in range(1 + later)]
    return first - statistics.median(others)


def building(rounds: int) -> Iterator[Figure]:
    """A cell that was never seen: a new size of the inputs makes it one."""
    for peer, column, target in (
        ("numpy", "building its plan, NumPy", 20.0),
        ("native", "native", 150.0),
        ("jax", "compiling in jax.jit", None),
    ):
        if not library(peer):
            continue
        first_call(peer, Problem("GRU", (2, 1, 3, 5)))  # what only the first of all costs
        for name in CELLS:
            problems = [Problem(name, (100, 16, 64 + i, 128)) for i in range(3)]
            taken = 1e3 * statistics.median(first_call(peer, problem) for problem in problems)
            yield Figure(Table.PLANS, name, taken, "ms", target, column)


def shorter(rounds: int) -> Iterator[Figure]:
    """Lengths that come up for the first time, after a longer one."""
    for name in CELLS:
        step = library("numpy").training_step(Problem(name, (LONGEST, 16, 64, 128)))
        for _ in range(3):
            step()
        extra = []
        for T in np.random.default_rng(0).permutation(np.arange(SHORTEST, LONGEST)):
            first = _seconds(step, int(T))
            extra.append(first - statistics.median(_seconds(step, int(T)) for _ in range(5)))
        taken = 1e3 * statistics.median(extra)
        yield Figure(Table.PLANS, name, taken, "ms", 0.5, "first call of a shorter T")


def drawing(step: Callable[[int], list[Any]]) -> Callable[[], list[Any]]:
    """Training steps of lengths drawn anew at each call, the same ones for every library."""
    rng = np.random.default_rng(0)
    lengths = np.arange(SHORTEST, LONGEST + 1)
    return lambda: [array for T in rng.choice(lengths, DRAWN) for array in step(int(T))]


def drawn(rounds: int) -> Iterator[Figure]:
    """Hardly two calls in a row have the same T."""
    if not library("torch"):
        return
    for name in ("nn.LSTM", "nn.GRU", "nn.RNN", "peephole LSTM", "layer-norm RNN"):
        problem = Problem(name, (LONGEST, 16, 64, 128))
        names = [x for x in ("numpy", "native", "torch") if library(x)]
        steps = {peer: drawing(library(peer).training_step(problem)) for peer in names}
        agree(steps)
        times = interleave(steps, rounds=rounds, seconds=0.0)
        column = f"{SHORTEST} to {LONGEST},{','.join(map(str, problem.size[1:]))}"
        for backend, table in (("numpy", Table.PEERS), ("native", Table.NATIVE)):
            if backend in names:
                ratio = times.ratio(backend, "torch")
                yield Figure(table, title(problem, "torch"), ratio, "", None, column)


def plans(rounds: int) -> Iterator[Figure]:
    for part in (building, shorter, drawn):
        yield from part(rounds)
