"""Check that several functions agree, time them in turns, and compare them round by round.

Machines are shared and noisy: an absolute time says little, and two functions timed one after the
other see two different machines. Here every round calls each function once, and what is reported
is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


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


def agree(functions: Mapping[str, Callable[[], Sequence[Any]]], tolerance: float = 2e-4) -> None:
    """Check that all functions return the same arrays as the first of them.

    Args:
        functions: by their names; each returns several arrays.
        tolerance: how far an element may be off, as a part of the array's largest (of 1, if that
            is smaller).

    Raises:
        AssertionError: two differ; it names them and the array.
    """
    (first, reference), *others = ((name, f()) for name, f in functions.items())
    for name, results in others:
        assert len(results) == len(reference), (
            f"{name} returned {len(results)} arrays, {first} {len(reference)}"
        )
        for i, (mine, expected) in enumerate(zip(results, reference, strict=True)):
            expected = np.asarray(expected)
            np.testing.assert_allclose(
                np.asarray(mine),
                expected,
                rtol=0,
                atol=tolerance * max(1.0, float(np.abs(expected).max(initial=0.0))),
                err_msg=f"array {i} of {name} is not that of {first}",
            )


def interleave(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float = 0.05,
    threads: int = 1,
) -> Rounds:
    """Call each function in turn, ``rounds`` times, repeated so that a turn takes ``seconds``.

    The collector is off within a turn, as in ``timeit``: it would charge one function for the
    objects of another.

    Raises:
        RuntimeError: a function kept more than so many processors busy.
    """
    repeats = {}
    for name, function in functions.items():
        function()  # warm up: caches, lazy imports
        start = time.perf_counter()
        function()
        repeats[name] = max(1, round(seconds / max(time.perf_counter() - start, 1e-9)))
    result: dict[str, list[float]] = {name: [] for name in functions}
    busy = dict.fromkeys(functions, 0.0)
    was_enabled = gc.isenabled()
    try:
        for _ in range(rounds):
            for name, function in functions.items():
                gc.collect(0)
                gc.disable()
                count = repeats[name]
                start, busy_before = time.perf_counter(), time.process_time()
                for _ in range(count):
                    function()
                result[name].append((time.perf_counter() - start) / count)
                busy[name] += (time.process_time() - busy_before) / count
                if was_enabled:
                    gc.enable()
    finally:
        if was_enabled:
            gc.enable()
    for name, cpu in busy.items():
        if cpu > 1.25 * threads * sum(result[name]):
            raise RuntimeError(
                f"{name} kept {cpu / sum(result[name]):.1f} processors busy; the comparison is "
                f"of {threads} thread{'s' * (threads > 1)}"
            )
    return Rounds(result)
