"""The values that the lines of a cell under way may read, and where decisions come from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

import tinygrad_rnn as tg

from .cell import HELPERS, Given, Line

T = TypeVar("T")

MOST_ELEMENTS, MOST_AXES, LARGEST = 96, 4, 1e4
LARGE = 100  # from this length of an axis on values may be larger


class Choices:
    """Decisions from a random generator."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._numbers: list[float] = []

    def _next(self) -> float:
        if not self._numbers:
            self._numbers = self._rng.random(256).tolist()
        return self._numbers.pop()

    def below(self, n: int) -> int:
        """An integer from 0 to n - 1."""
        return int(self._next() * n)

    def chance(self, probability: float) -> bool:
        return self._next() < probability

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def weighted(self, options: Sequence[tuple[float, T]]) -> T:
        at = self._next() * sum(weight for weight, _ in options)
        for weight, option in options:
            at -= weight
            if at < 0:
                return option
        return options[-1][1]


class Pool(Choices):
    """Values by name, each with an example of what it is at the first step.

    Attributes:
        values: the examples.
        computed: the names that lines of the step compute.
        lines: those lines.
        given: what the step is given and closes over.
    """

    def __init__(self, rng: np.random.Generator, sizes: dict[str, int], dtype: str):
        super().__init__(rng)
        self.sizes = sizes
        self.most = 4000 if max(sizes.values()) >= LARGE else MOST_ELEMENTS
        self.dtype = dtype
        self.values: dict[str, Any] = {}
        self.computed: list[str] = []
        self.lines: list[Line] = []
        self.carries: list[Given] = []
        self.inputs: list[Given] = []
        self.closed: list[Given] = []
        self.scope: dict[str, Any] = {"tg": tg, "np": np, **HELPERS}
        self._seeds = 0

    # ── what there is ────────────────────────────────────────────────────────────────────

    def add(self, given: Given, shape: tuple[int, ...]) -> str:
        self.values[given.name] = self.scope[given.name] = given.make(shape, 0)
        return given.name

    def seed(self) -> int:
        self._seeds += 1
        return self._seeds

    def shape(self, name: str) -> tuple[int, ...]:
        return np.shape(self.values[name]) if self.kind(name) == "n" else self.values[name].shape

    def kind(self, name: str) -> str:
        """ "f", "i" or "b" for arrays, "n" for a Python number."""
        value = self.values[name]
        return "n" if isinstance(value, float) else str(value.dtype.kind)

    def some(self, kinds: str = "f", fits: Callable[[str], bool] | None = None) -> str | None:
        """A value of these kinds that fits, the latest ones first in line."""
        groups = [
            (4.0, self.computed[-4:]),
            (2.0, self.computed),
            (2.0, [x.name for x in self.carries]),
            (1.5, [x.name for x in self.inputs]),
            (1.5, [x.name for x in self.closed]),
        ]
        found = [
            (weight, names)
            for weight, group in groups
            if (names := [x for x in group if self.kind(x) in kinds and (fits is None or fits(x))])
        ]
        return self.one_of(self.weighted(found)) if found else None

    def beside(self, first: str | None) -> str | None:
        """A value that broadcasts with the first."""
        if first is None:
            return None
        shape = self.shape(first)

        def fits(name: str) -> bool:
            pairs = zip(shape[::-1], self.shape(name)[::-1], strict=False)
            return all(n == m or 1 in (n, m) for n, m in pairs)

        return self.some("fn" if self.chance(0.9) else "ib", fits)

    def expression_of(self, n: int) -> str:
        """A size of this length by its name, so that it can be made smaller later."""
        names = [name for name, size in self.sizes.items() if size == n and name != "T"]
        names += [f"2 * {name}" for name, size in self.sizes.items() if 2 * size == n > 2]
        names += [f"3 * {name}" for name, size in self.sizes.items() if 3 * size == n > 3]
        return self.one_of(names) if names else str(n)

    def weight(self, *sides: int, most: int = 5) -> str | None:
        """The name of a closed-over Tensor of this shape, an old or a new one."""
        names = [x.name for x in self.closed if self.shape(x.name) == sides and self._is_float(x)]
        full = len(self.closed) >= most
        if names and (full or self.chance(0.4)):
            return self.one_of(names)
        if full:
            return None
        return self.close_over(sides)

    def _is_float(self, x: Given) -> bool:
        return x.dtype.startswith("float")

    def close_over(self, sides: tuple[int, ...], dtype: str = "") -> str:
        """A new closed-over value of this shape."""
        layouts = [(5.0, "C")]
        if sides:
            layouts += [(1.0, "flipped"), (0.5, "every second"), (0.5, "part")]
        if len(sides) > 1:
            layouts += [(1.0, "F"), (1.0, "turned")]
        live = self.chance(0.85)
        given = Given(
            f"w{len(self.closed)}",
            tuple(self.expression_of(n) for n in sides),
            dtype or self.dtype,
            live and dtype != "int64" and dtype != "bool" and dtype != "number",
            self.seed(),
            self.weighted(layouts),
            plain=not live and self.chance(0.5),
        )
        self.closed.append(given)
        return self.add(given, sides)

    # ── adding lines ─────────────────────────────────────────────────────────────────────

    def line(self, text: str, *reads: str | None, count: int = 1) -> list[str] | None:
        """Add a line, if what it computes can be used; returns the names of its values."""
        if any(name is None for name in reads):
            return None
        names = tuple(f"v{len(self.computed) + i}" for i in range(count))
        line = Line(names, text, reads)  # type: ignore[arg-type]
        made = self.evaluated(line)
        if made is None or len(made) != count or not all(usable(x, self.most) for x in made):
            return None
        if 0 in [x.size for x in made] and 0 not in self.sizes.values():
            return None  # of empty arrays there is little to see
        for name, value in zip(names, made, strict=True):
            self.values[name] = self.scope[name] = value
        self.computed += names
        self.lines.append(line)
        return list(names)

    def evaluated(self, line: Line) -> list[Any] | None:
        """What the line computes at the first step; None where it fails."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                made = eval(line.expression(), self.scope)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, ZeroDivisionError):
            return None
        return list(made) if isinstance(made, (list, tuple)) else [made]


def usable(value: Any, most: int) -> bool:
    """Whether a value is an array of ordinary numbers, and of no more than ``most``."""
    if not isinstance(value, (tg.Tensor, np.ndarray)):
        return False
    array = value.numpy() if isinstance(value, tg.Tensor) else value
    if array.dtype.name not in ("float64", "float32", "int64", "bool"):
        return False
    if array.size > most or array.ndim > MOST_AXES:
        return False
    return bool((np.abs(array.astype(float)) < LARGEST).all())  # neither NaN nor Inf
