"""Time several functions in turns and compare them round by round.

Machines are shared and noisy: an absolute time says little, and two functions timed one after the
other see two different machines. Here every round calls each function once, and what is reported
is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def installed_torch() -> Any:
    """PyTorch on one thread, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    return torch


@dataclass
class Rounds:
    """The seconds that each function took in each round."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str, minus: str | None = None) -> float:
        """The median over rounds of name / to; both less ``minus`` where it is given."""
        bare = self.seconds[minus] if minus else [0.0] * len(self.seconds[name])
        return statistics.median(
            (a - c) / (b - c)
            for a, b, c in zip(self.seconds[name], self.seconds[to], bare, strict=True)
        )


def interleave(
    functions: dict[str, Callable[[], object]], *, rounds: int = 15, seconds: float = 0.05
) -> Rounds:
    """Call each function in turn, ``rounds`` times, repeated so that a turn takes ``seconds``.

    The collector is off within a turn, as in ``timeit``: it would charge one function for the
    objects of another.
    """
    repeats = {}
    for name, function in functions.items():
        function()  # warm up: caches, lazy imports
        start = time.perf_counter()
        function()
        repeats[name] = max(1, round(seconds / max(time.perf_counter() - start, 1e-9)))
    result: dict[str, list[float]] = {name: [] for name in functions}
    was_enabled = gc.isenabled()
    try:
        for _ in range(rounds):
            for name, function in functions.items():
                gc.collect(0)
                gc.disable()
                count = repeats[name]
                start = time.perf_counter()
                for _ in range(count):
                    function()
                result[name].append((time.perf_counter() - start) / count)
                if was_enabled:
                    gc.enable()
    finally:
        if was_enabled:
            gc.enable()
    return Rounds(result)
