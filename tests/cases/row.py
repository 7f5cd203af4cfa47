"""What a row of the table of cases is: an operation, its domain, and calls of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from tinygrad_rnn import grad, ops
from tinygrad_rnn.graph import table
from tinygrad_rnn.testing.cases import Case, Subject
from tinygrad_rnn.testing.differences import live

Shape = tuple[int, ...]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Call:
    """One way to call an operation: the shapes of its arrays, and its keywords.

    ``written(xp, *arrays)`` calls it in the namespace ``xp``: the library's operations, or NumPy,
    which has to give the same values.
    """

    shapes: tuple[Shape, ...]
    f: Callable[..., Any] | None
    label: str
    at: tuple[Any, ...] | None
    keywords: dict[str, Any]
    written: Callable[..., Any] | None = None


def call(
    *shapes: Shape,
    f: Callable[..., Any] | None = None,
    label: str = "",
    at: tuple[Any, ...] | None = None,
    **keywords: Any,
) -> Call:
    """A call of the row's function, or of f, on random arrays of these shapes, or at a point."""
    return Call(shapes, f, label or (f"at {at}" if at else ""), at, keywords)


def of(f: Callable[..., Any], *shapes: Shape, label: str = "") -> Call:
    """A call written for any namespace: ``of(lambda xp, x: xp.sum(x), (2, 3))``."""
    return Call(shapes, functools.partial(f, ops), label, None, {}, f)


@dataclass(frozen=True)
class Point:
    """A place where the derivative is agreed upon, or delicate: kinks, ties, overflow.

    Attributes:
        inputs: the arrays there.
        gradients: of the sum of the output, for each input.
        f: what is differentiated, where it is not the row's function.
    """

    inputs: tuple[Any, ...]
    gradients: tuple[Any, ...]
    f: Callable[..., Any] | None = None

    def check(self, function: Callable[..., Any]) -> None:
        """Require that the gradient of ``function`` is the one that is agreed upon."""
        inputs = [live(np.array(x, np.float64)) for x in self.inputs]
        with np.errstate(all="ignore"):
            y = (self.f or function)(*inputs)
            found = grad(y, inputs, np.full(y.shape, 3.0))
        for i, (g, expected) in enumerate(zip(found, self.gradients, strict=True)):
            right = 3 * np.array(expected)
            if not np.allclose(g.data, right, rtol=1e-12, atol=1e-300, equal_nan=True):
                raise AssertionError(
                    f"at {self.inputs} the gradient of 3 x the sum for input {i} should "
                    f"be 3 x {expected}, is {g.data.tolist()}"
                )
            if g.dtype != np.float64:
                raise AssertionError(f"at {self.inputs} the gradient is {g.dtype}")


@dataclass(frozen=True)
class Row:
    """Everything the suite has to know of one operation.

    Attributes:
        name: its name in ``graph.table``, or of a composite operation.
        calls: how it is called.
        f: the function; by default the one of that name in ``ops``.
        domain: from where to where its inputs are drawn, one interval for all or one for each.
        away: values that no element comes close to, because the function bends there.
        distinct: no two elements of all inputs are close to each other (it bends at ties).
        points: where the derivative is fixed by agreement.
        analytic: see :class:`Case`.
        keeps_dtype: see :class:`Case`.
        second_order: see :class:`Case`.
    """

    name: str
    calls: Sequence[Call]
    f: Callable[..., Any] | None = None
    domain: Interval | tuple[Interval, ...] = (-2.0, 2.0)
    away: tuple[float, ...] = ()
    distinct: bool = False
    points: Sequence[Point] = field(default=())
    analytic: bool = True
    keeps_dtype: bool = True
    second_order: bool = True

    @property
    def function(self) -> Callable[..., Any]:
        found: Callable[..., Any] = self.f or getattr(ops, self.name)
        return found

    @property
    def subject(self) -> Subject:
        """What the laws and the mutants are run on."""
        return Subject(
            self.name,
            self.cases,
            [functools.partial(point.check, self.function) for point in self.points],
            table.get(self.name),
        )

    def cases(self, rng: np.random.Generator) -> Iterator[Case]:
        """The row's calls, filled with random numbers."""
        for one in self.calls:
            yield self.case(one, rng)

    def case(self, one: Call, rng: np.random.Generator) -> Case:
        """A call, filled with random numbers."""
        f = one.f or self.function
        shapes = " ".join(map(str, one.shapes))
        keywords = "".join(f" {k}={short(v)}" for k, v in one.keywords.items())
        return Case(
            name=f"{self.name} {one.label or shapes}{keywords}",
            f=_bound(f, one.keywords),
            arrays=self._sample(one.shapes, rng)
            if one.at is None
            else tuple(np.array(x, np.float64) for x in one.at),
            analytic=self.analytic,
            keeps_dtype=self.keeps_dtype,
            second_order=self.second_order,
            magnitude=float(np.max(np.abs(self.domain))),
        )

    def _sample(self, shapes: Sequence[Shape], rng: np.random.Generator) -> tuple[ndarray, ...]:
        intervals = self.domain if isinstance(self.domain[0], tuple) else (self.domain,)
        sizes = [int(np.prod(shape)) for shape in shapes]
        total = sum(sizes)
        # One jittered grid for all inputs keeps their elements apart; a shuffle hides the grid.
        unit = (np.arange(total) + rng.uniform(0.3, 0.7, total)) / max(1, total)
        unit = rng.permutation(unit) if self.distinct else rng.random(total)
        arrays, start = [], 0
        for i, (shape, size) in enumerate(zip(shapes, sizes, strict=True)):
            low, high = intervals[min(i, len(intervals) - 1)]
            x = low + (high - low) * unit[start : start + size]
            for kink in self.away:
                close = np.abs(x - kink) < 0.1
                x = np.where(close, kink + np.where(x < kink, -0.1, 0.1) + (x - kink), x)
            arrays.append(x.reshape(shape))
            start += size
        return tuple(arrays)


def _bound(f: Callable[..., Any], keywords: dict[str, Any]) -> Callable[..., Any]:
    return (lambda *xs: f(*xs, **keywords)) if keywords else f


def short(value: Any) -> str:
    return " ".join(repr(value).split())


# ── the calls that many operations share ─────────────────────────────────────────────────

unary = [
    call((3, 3)),
    call((2, 3)),
    call(()),
    call((4,)),
    call((2, 1, 3)),
    call((0,)),
    call((2, 0)),
]
binary = [
    call((3, 3), (3, 3)),
    call((2, 3), (3,)),
    call((3,), (2, 3)),
    call((2, 1), (1, 3)),
    call((2, 3), ()),
    call((), (2, 3)),
    call((), ()),
    call((2, 1, 2), (3, 1)),
    call((0,), (0,)),
    call((2, 0), (1,)),
    call((1,), (2, 0)),
]
reduction = [
    call((3, 3), axis=0),
    call((3, 3)),
    call((2, 3, 4), axis=1),
    call((2, 3, 4), axis=-1),
    call((2, 3, 4), axis=(0, 2)),
    call((2, 3, 4), axis=(-1, 0), keepdims=True),
    call((2, 3), axis=0, keepdims=True),
    call((2, 3), keepdims=True),
    call((2, 3), axis=()),
    call(()),
    call((0, 3), axis=1),
]
normalising = [
    call((3, 3)),
    call((2, 3, 4), axis=1),
    call((2, 3, 4), axis=(0, -1)),
    call((2, 3), axis=None),
    call((3,), axis=0),
    call((0, 3)),
]
