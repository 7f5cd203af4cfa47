"""Many cells, one after the other: what came of them, and the small cells that fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .cell import Cell
from .check import check
from .draw import draw
from .run import Verdict
from .shrink import shrink


class Found(NamedTuple):
    """A cell that fails: its number in the hunt, and the smallest one that it led to."""

    number: int
    verdict: Verdict
    cell: Cell

    def __str__(self) -> str:
        head = f"# cell {self.number}: {self.verdict.kind} in {self.verdict.where}"
        detail = "\n".join(f"#   {line}" for line in self.verdict.detail.splitlines())
        return f"{head}\n{detail}\n{self.cell}"


class Hunt:
    """A hunt through the cells that a seed leads to.

    Attributes:
        counts: of cells by kind of verdict.
        refusals: their messages.
        found: the cells that fail.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.invalid: Counter[str] = Counter()
        self.found: list[Found] = []

    def run(self, cells: int, most: int = 10, told: Callable[[int], None] | None = None) -> None:
        """Check this many cells; stop when ``most`` of them have failed."""
        for number in range(cells):
            # Each from a seed of its own, so that one can be drawn again without the others.
            cell = draw(np.random.default_rng([self.seed, number]))
            verdict = check(cell)
            self.counts[verdict.kind] += 1
            if verdict.kind == "refused":
                self.refusals[verdict.detail.splitlines()[0][:100]] += 1
            elif verdict.kind == "invalid":
                self.invalid[verdict.detail.splitlines()[0][:100]] += 1
            elif verdict.failed:
                small = shrink(cell, lambda candidate: check(candidate).failed)
                self.found.append(Found(number, check(small), small))
                if len(self.found) == most:
                    return
            if told is not None:
                told(number + 1)

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {kind}" for kind, n in self.counts.most_common())
        lines = [f"seed {self.seed}: {counts}"]
        for title, messages in (("refused", self.refusals), ("invalid", self.invalid)):
            lines += [f"  {title} {n}: {message}" for message, n in messages.most_common(8)]
        return "\n".join([*lines, *map(str, self.found)])


__all__ = ["Found", "Hunt"]
