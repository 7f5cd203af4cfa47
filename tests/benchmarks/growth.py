"""How time and memory of a training step grow with T, N and H."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .cells import Problem, Size
from .memory import fresh, measurable, step_memory
from .peers import library
from .table import Figure, Table
from .timing import interleave

BASE: Size = (100, 16, 64, 64)
DOUBLINGS = 3
AXES = {"T": 0, "N": 1, "H": 3}


def growth(rounds: int) -> Iterator[Figure]:
    """The factor by which a doubling multiplies them, the mean of several doublings."""
    for name in ("nn.LSTM", "peephole LSTM"):
        for axis, place in AXES.items():
            grown: Any = list(BASE)
            grown[place] <<= DOUBLINGS
            problems = Problem(name, BASE), Problem(name, tuple(grown))
            column = f"{axis} from {BASE[place]} to {grown[place]}"
            small, large = (library("ours").training_step(problem) for problem in problems)
            ratio = interleave({"small": small, "large": large}, rounds=rounds).ratio(
                "large", "small"
            )
            yield Figure(Table.GROWTH, f"{name}: time", ratio ** (1 / DOUBLINGS), "", None, column)
            if measurable:
                before, after = (fresh(step_memory, "ours", name, p.size) for p in problems)
                factor = (after / before) ** (1 / DOUBLINGS)
                yield Figure(Table.GROWTH, f"{name}: memory", factor, "", None, column)
