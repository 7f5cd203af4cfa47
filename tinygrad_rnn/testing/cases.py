"""One row for each operation: where it is defined, where it bends, and on what it is tried.

A row gives the operation's domain and several calls; :meth:`Row.cases` fills their shapes with
random numbers of the domain. A primitive without a row fails the suite.

    Row("log", [call((3, 3)), call(())], domain=(0.3, 2))
    Row("maximum", [call((3, 3), (3,))], distinct=True, points=[...])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..ops import indexing, special

Shape = tuple[int, ...]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Case:
    """An operation at a point: what the laws are about.

    Attributes:
        name: for reports, the operation and how it is called.
        f: a function of the differentiable arrays only; constants are bound in it.
        arrays: the point, float64.
        analytic: whether f and its rules may be given complex numbers, and are then the same
            functions: they are differentiated by a complex step, else by central differences.
        polymorphic: whether f takes ndarrays and then gives an ndarray, as every primitive does.
        keeps_dtype: whether float32 in gives float32 out.
        takes_numbers: whether a Python number may stand for a 0-d input.
        second_order: whether the gradient is to be differentiated again.
        magnitude: how large numbers inside f are at least, where f or a gradient cancel to less.
    """

    name: str
    f: Callable[..., Any]
    arrays: tuple[ndarray, ...]
    analytic: bool = True
    polymorphic: bool = True
    keeps_dtype: bool = True
    takes_numbers: bool = True
    second_order: bool = True
    magnitude: float = 0.0


@dataclass(frozen=True)
class Call:
    """One way to call an operation: the shapes of its arrays, and its keywords."""

    shapes: tuple[Shape, ...]
    f: Callable[..., Any] | None
    label: str
    at: tuple[Any, ...] | None
    keywords: dict[str, Any]


def call(
    *shapes: Shape,
    f: Callable[..., Any] | None = None,
    label: str = "",
    at: tuple[Any, ...] | None = None,
    **keywords: Any,
) -> Call:
    """A call of the row's function, or of f, on random arrays of these shapes, or at a point."""
    return Call(shapes, f, label or (f"at {at}" if at else ""), at, keywords)


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

    @property
    def function(self) -> Callable[..., Any]:
        found: Callable[..., Any] = self.f or getattr(ops, self.name)
        return found

    def cases(self, rng: np.random.Generator) -> Iterator[Case]:
        """The row's calls, filled with random numbers."""
        for one in self.calls:
            f = one.f or self.function
            shapes = " ".join(map(str, one.shapes))
            keywords = "".join(f" {k}={_short(v)}" for k, v in one.keywords.items())
            yield Case(
                name=f"{self.name} {one.label or shapes}{keywords}",
                f=_bound(f, one.keywords),
                arrays=self._sample(one.shapes, rng)
                if one.at is None
                else tuple(np.array(x, np.float64) for x in one.at),
                analytic=self.analytic,
                keeps_dtype=self.keeps_dtype,
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


def _short(value: Any) -> str:
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
repeated = np.array([0, 2, 2, 1])
grid = np.array([[0, 2], [2, -1]])


def _at(*shape: int, index: Any) -> Call:
    return call(shape, f=lambda x: ops.getitem(x, index), label=f"{shape}[{_short(index)}]")


def _put(*given: int, index: Any, shape: Shape) -> Call:
    return call(
        given,
        f=lambda x: ops.place(x, index, shape),
        label=f"{given} into {shape} at [{_short(index)}]",
    )


indices: list[tuple[Shape, Any]] = [
    ((3, 3), (slice(None), 1)),
    ((4, 3), repeated),
    ((4, 3), 1),
    ((4, 3), -1),
    ((4, 3), slice(None, None, -2)),
    ((4, 3), (Ellipsis, None, slice(1, None))),
    ((4, 3), grid),
    ((4, 3), (repeated, slice(1, 3))),
    ((4, 3), (1, (1, 1))),
    ((4, 3), ([0, 0, 3], [1, 1, 2])),
    ((4, 3), (slice(None), [2, 2])),
    ((2, 3, 4), ([1, 1], slice(None), [0, 0])),
    ((4, 3), np.array([True, False, True, True])),
    ((2, 2), np.array([[True, False], [True, True]])),
    ((4,), np.uint8(2)),
    ((4,), np.array([3, 3], np.uint8)),
    ((4, 3), np.array(2)),
    ((4, 3), np.zeros(0, int)),
    ((4, 0), repeated),
    ((3,), []),
    ((), ()),
    ((), None),
    ((), Ellipsis),
    ((3,), slice(0, 0)),
]


def _place_shape(shape: Shape, index: Any) -> Shape:
    """Of ``zeros(shape)[index]``."""
    return ops.getitem(np.zeros(shape), index).shape  # type: ignore[no-any-return]


def _einsum(subscripts: str, *shapes: Shape) -> Call:
    return call(*shapes, f=lambda *xs: ops.einsum(subscripts, *xs), label=f"{subscripts} {shapes}")


def _list_of(f: Callable[..., Any], **keywords: Any) -> Callable[..., Any]:
    return lambda *xs: f(xs, **keywords)


def _split(x: Any, sections: Any, axis: int) -> Any:
    """The parts with a different weight each, so that mixing them up shows."""
    parts = ops.split(x, sections, axis)
    return ops.concatenate([part * (i + 1.0) for i, part in enumerate(parts)][::-1], axis)


_mask = np.array([[True, False, True], [False, False, True], [True, True, False]])
_one = np.ones(1, np.float32)
_ids = np.array([[1, 0, 1], [3, 1, 1]])

_P = indexing.PLACE


def _gathered(shape: Shape, pattern: Any, *ids: Any) -> Call:
    return call(
        shape, f=lambda x: indexing._gather((x, *ids), pattern=pattern), label=f"{shape} {pattern}"
    )


def _scattered(shape: Shape, pattern: Any, *ids: Any) -> Call:
    small = indexing._gather((np.zeros(shape), *ids), pattern=pattern).shape
    return call(
        small,
        f=lambda x: indexing._scatter((x, *ids), pattern=pattern, shape=shape),
        label=f"into {shape} {pattern}",
    )


# ── the rows ─────────────────────────────────────────────────────────────────────────────

_rows = [
    # arithmetic
    Row("add", binary),
    Row("subtract", binary),
    Row("multiply", binary),
    Row("divide", binary, domain=((-2, 2), (0.5, 2))),
    Row(
        "power",
        [
            *binary,
            call((3,), f=lambda x: ops.power(x, 3), label="x ** 3"),
            call((3,), f=lambda x: ops.power(x, -0.5), label="x ** -0.5"),
            call((3,), f=lambda x: ops.power(x, 1), label="x ** 1"),
            call((3,), f=lambda x: ops.power(x, 0), label="x ** 0"),
            call((3,), f=lambda x: ops.power(-x, 3), label="(-x) ** 3"),
            call(
                (3,),
                f=lambda x: ops.power(-x, np.array([2, 0, -1], np.int8)),
                label="(-x) ** integers",
            ),
            call((3,), f=lambda y: ops.power(2.0, y), label="2 ** y"),
            # x^0 is 1 for every x, but how its slope changes with the exponent is not 0.
            call(at=([0.5, 2.0, 1.5], [0.0, 1.0, 2.0])),
        ],
        domain=((0.3, 2), (-2, 2)),
        points=[
            Point(([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]), ([0.0, 1.0, 0.0], [0.0, 0.0, 0.0])),
            Point(([0.0], [-1.0]), ([-np.inf], [-np.inf])),
            Point(([0.0, -2.0],), ([0.0, 12.0],), f=lambda x: ops.power(x, 3)),
            Point(([0.0],), ([0.0],), f=lambda x: ops.power(x, 0)),
        ],
    ),
    Row("positive", unary),
    Row("negative", unary),
    Row("abs", unary, away=(0.0,), points=[Point(([0.0, -1.0],), ([0.0, -1.0],))], analytic=False),
    # exponentials, roots and circular functions
    Row("exp", unary),
    Row("log", unary, domain=(0.3, 2)),
    Row("log1p", unary, domain=(-0.7, 2), points=[Point(([1e-18],), ([1.0],))]),
    Row("sqrt", unary, domain=(0.3, 2)),
    Row("square", unary),
    Row("sin", unary),
    Row("cos", unary),
    # what networks squash with
    Row("tanh", unary, points=[Point(([1000.0, -1000.0],), ([0.0, 0.0],))]),
    Row("sigmoid", unary, points=[Point(([1000.0, -1000.0, 0.0],), ([0.0, 0.0, 0.25],))]),
    Row("relu", unary, away=(0.0,), points=[Point(([0.0, 1.0, -1.0],), ([0.0, 1.0, 0.0],))]),
    Row("softplus", unary, points=[Point(([1000.0, -1000.0, 0.0],), ([1.0, 0.0, 0.5],))]),
    Row("erf", unary, points=[Point(([0.0, 30.0, -30.0],), ([2 / np.sqrt(np.pi), 0.0, 0.0],))]),
    Row(
        "_binary_cross_entropy",
        binary,
        f=special._binary_cross_entropy,
        domain=((0.1, 0.9), (0.0, 1.0)),
        points=[
            # At the ends, where the logarithm is infinite, the bounds that PyTorch has.
            Point(
                ([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]),
                ([0.0, -1e12, 1e12, 0.0], [100.0, 100.0, -100.0, -100.0]),
            )
        ],
    ),
    # choices
    Row(
        "maximum",
        binary,
        distinct=True,
        points=[Point(([1.0, 1.0, 2.0], [1.0, 3.0, 1.0]), ([0.5, 0.0, 1.0], [0.5, 1.0, 0.0]))],
    ),
    Row(
        "minimum",
        binary,
        distinct=True,
        points=[Point(([1.0, 1.0, 2.0], [1.0, 3.0, 1.0]), ([0.5, 1.0, 0.0], [0.5, 0.0, 1.0]))],
    ),
    Row(
        "clip",
        [
            *(call(*c.shapes, a_min=-0.5, a_max=1.0) for c in unary),
            call((3,), a_min=-0.5),
            call((3,), a_max=1.0),
            call((3,)),
            call((3,), a_min=np.array([[-0.5], [1.0]], np.float32)),
        ],
        away=(-0.5, 1.0),
        points=[
            Point(
                ([-1.0, -0.5, 0.0, 1.0, 2.0],),
                ([0.0, 1.0, 1.0, 1.0, 0.0],),
                f=lambda x: ops.clip(x, -0.5, 1.0),
            )
        ],
    ),
    Row(
        "where",
        [
            call((3, 3), (3, 3), f=lambda x, y: ops.where(_mask, x, y), label="mask"),
            call((3, 1), (3,), f=lambda x, y: ops.where(_mask, x, y), label="mask, broadcast"),
            call((), (3, 3), f=lambda x, y: ops.where(_mask, x, y), label="mask, 0-d"),
            call((3,), (), f=lambda x, y: ops.where(_mask, x, y), label="mask, 0-d at the end"),
            call((3,), f=lambda x: ops.where(_mask, x, 2.0), label="mask, x, 2.0"),
            call((), (), f=lambda x, y: ops.where(False, x, y), label="0-d"),
            call((2,), (2,), f=lambda x, y: ops.where(True, x, y), label="True"),
            call((0,), (0,), f=lambda x, y: ops.where(True, x, y), label="empty"),
        ],
    ),
    # indexing
    Row("_getitem", [_at(*shape, index=index) for shape, index in indices], f=ops.getitem),
    Row(
        "_place",
        [_put(*_place_shape(s, index), index=index, shape=s) for s, index in indices],
        f=ops.place,
    ),
    Row(
        "_gather",
        [
            _gathered((4, 3), (_P,), _ids),
            _gathered((4, 3), (slice(None), _P), _ids % 3),
            _gathered((4, 3), (_P, 1), np.array([0, 0, 2])),
            _gathered((2, 3, 4), (_P, slice(None), _P), np.array([1, 1]), np.array([0, 3])),
            _gathered((4, 3), (Ellipsis, _P), np.array(2)),
            _gathered((3,), (_P,), np.zeros((0, 2), int)),
        ],
        f=indexing._gather,
    ),
    Row(
        "_scatter",
        [
            _scattered((4, 3), (_P,), _ids),
            _scattered((4, 3), (slice(None), _P), _ids % 3),
            _scattered((4, 3), (_P, 1), np.array([0, 0, 2])),
            _scattered((2, 3, 4), (_P, slice(None), _P), np.array([1, 1]), np.array([0, 3])),
            _scattered((4, 3), (Ellipsis, _P), np.array(2)),
            _scattered((3,), (_P,), np.zeros((0, 2), int)),
        ],
        f=indexing._scatter,
    ),
    Row(
        "_rows_added",
        [
            call((2, 3, 2), f=lambda x: indexing._rows_added(x, _ids, (4, 2)), label="ids (2, 3)"),
            call((3,), f=lambda x: indexing._rows_added(x, np.array(1), (2, 3)), label="one id"),
            call((0, 2), f=lambda x: indexing._rows_added(x, _ids[:0, 0], (4, 2)), label="no ids"),
        ],
        f=indexing._rows_added,
    ),
    Row(
        "embedding",
        [
            call((4, 2), f=lambda W: ops.embedding(_ids, W), label="ids (2, 3)"),
            call((2, 2), f=lambda W: ops.embedding(np.array([1, 0]), W), label="each id once"),
            call((4, 2), f=lambda W: ops.embedding(2, W), label="one id"),
            call((4, 2), f=lambda W: ops.embedding(np.zeros(0, int), W), label="no ids"),
            call((4, 0), f=lambda W: ops.embedding(_ids, W), label="no features"),
            call((4, 2), f=lambda W: ops.embedding(_ids.astype(np.uint8), W), label="uint8"),
        ],
    ),
    # shaping
    Row(
        "reshape",
        [
            call((3, 3), shape=(9,)),
            call((2, 3), shape=(3, 2)),
            call((2, 3), shape=(-1,)),
            call((2, 3), shape=6),
            call((2, 3, 4), shape=(4, -1)),
            call((), shape=(1, 1)),
            call((1,), shape=()),
            call((0, 3), shape=(3, 0)),
        ],
    ),
    Row(
        "transpose",
        [
            call((3, 3)),
            call((2, 3, 4)),
            call((2, 3, 4), axes=(1, 2, 0)),
            call((2, 3, 4), axes=(-1, 0, -2)),
            call((4,)),
            call(()),
            call((0, 2)),
        ],
    ),
    Row(
        "swapaxes",
        [
            call((3, 3), axis1=0, axis2=1),
            call((2, 3, 4), axis1=-1, axis2=0),
            call((2, 3, 4), axis1=1, axis2=1),
            call((2, 0, 1), axis1=0, axis2=1),
        ],
    ),
    Row(
        "moveaxis",
        [
            call((3, 3), source=0, destination=1),
            call((2, 3, 4), source=0, destination=-1),
            call((3, 3, 3), source=(0, 1), destination=(-1, 0)),
            call((3, 3, 3), source=0, destination=2),
            call((2, 0, 4), source=0, destination=1),
        ],
    ),
    Row(
        "squeeze",
        [
            call((3, 1, 3)),
            call((1, 2, 1), axis=0),
            call((1, 2, 1), axis=(0, -1)),
            call((1, 1)),
            call(()),
            call((1, 0)),
        ],
    ),
    Row(
        "expand_dims",
        [
            call((3, 3), axis=0),
            call((2, 3), axis=-1),
            call((2, 3), axis=(0, 2)),
            call((), axis=0),
            call((0,), axis=1),
        ],
    ),
    Row(
        "flip",
        [
            call((3, 3)),
            call((2, 3), axis=1),
            call((2, 3), axis=-2),
            call((2, 3, 4), axis=(0, -1)),
            call(()),
            call((0, 2), axis=1),
        ],
    ),
    Row(
        "_astype",
        [
            call((3, 3), dtype=np.float64),
            call((2,), dtype=np.longdouble),
            call((), dtype=np.float64),
            call((0,), dtype=np.longdouble),
        ],
        f=ops.astype,
        points=[Point(([1.5, 2.0],), ([1.0, 1.0],), f=lambda x: ops.astype(x, np.float32))],
        analytic=False,
        keeps_dtype=False,
    ),
    Row(
        "broadcast_to",
        [
            call((3, 3), shape=(2, 3, 3)),
            call((3, 1), shape=(3, 3)),
            call((1, 3), shape=(2, 2, 3)),
            call((3,), shape=(3,)),
            call((), shape=(2, 3)),
            call((1, 2), shape=(0, 2)),
            call((0,), shape=(2, 0)),
        ],
    ),
    Row(
        "sum_to",
        [
            call((3, 3), shape=(3,)),
            call((3, 3), shape=(3, 1)),
            call((2, 3, 4), shape=(3, 1)),
            call((2, 3), shape=(2, 3)),
            call((2, 3), shape=()),
            call((0, 3), shape=(1, 3)),
            call((), shape=()),
        ],
    ),
    Row(
        "_concatenate",
        [
            call((3, 3), (3, 3), f=_list_of(ops.concatenate), label="axis 0"),
            call((2, 3), (1, 3), (2, 3), f=_list_of(ops.concatenate), label="three"),
            call((2, 3), (2, 1), f=_list_of(ops.concatenate, axis=1), label="axis 1"),
            call((2, 3, 1), (2, 2, 1), f=_list_of(ops.concatenate, axis=-2), label="axis -2"),
            call((2, 3), (2,), f=_list_of(ops.concatenate, axis=None), label="axis None"),
            call((3,), (0,), f=_list_of(ops.concatenate), label="one empty"),
            call((3,), f=_list_of(ops.concatenate), label="one"),
            call((2,), f=lambda x: ops.concatenate([x, _one, x]), label="a constant between"),
        ],
    ),
    Row(
        "_stack",
        [
            call((3, 3), (3, 3), f=_list_of(ops.stack), label="axis 0"),
            call((2, 3), (2, 3), (2, 3), f=_list_of(ops.stack, axis=1), label="axis 1"),
            call((2, 3), (2, 3), f=_list_of(ops.stack, axis=-1), label="axis -1"),
            call((2, 3), (2, 3), f=_list_of(ops.stack, axis=-2), label="axis -2"),
            call((), (), f=_list_of(ops.stack), label="0-d"),
            call((0,), (0,), f=_list_of(ops.stack), label="empty"),
        ],
    ),
    Row(
        "split",
        [
            call((4, 3), f=lambda x: _split(x, 2, 0), label="2 parts"),
            call((2, 6), f=lambda x: _split(x, 3, -1), label="3 parts, axis -1"),
            call((5, 2), f=lambda x: _split(x, [1, 3], 0), label="at 1 and 3"),
            call((3,), f=lambda x: _split(x, [0, 1], 0), label="an empty part"),
            call((0, 2), f=lambda x: _split(x, 2, 0), label="empty"),
        ],
    ),
    Row(
        "_pad",
        [
            call((3, 3), pad_width=1),
            call((2, 3), pad_width=((1, 0), (0, 2)), constant_values=3.0),
            call((2,), pad_width=(2, 1)),
            call((0,), pad_width=1),
        ],
        f=ops.pad,
    ),
    # reductions
    Row("sum", [*reduction, call((0,)), call((2, 0), axis=0)]),
    Row("mean", reduction),
    Row(
        "max",
        reduction,
        distinct=True,
        points=[
            Point(([[1.0, 3.0], [3.0, 3.0]],), ([[0.0, 1.0], [0.0, 0.0]],)),
            Point(
                ([[1.0, 3.0, 3.0], [2.0, 2.0, 1.0]],),
                ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],),
                f=lambda x: ops.max(x, 1),
            ),
        ],
    ),
    Row(
        "min",
        reduction,
        distinct=True,
        points=[
            Point(([[3.0, 1.0], [1.0, 1.0]],), ([[0.0, 1.0], [0.0, 0.0]],)),
            Point(
                ([[3.0, 1.0, 1.0], [2.0, 2.0, 3.0]],),
                ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],),
                f=lambda x: ops.min(x, -1),
            ),
        ],
    ),
    Row(
        "cumsum",
        [
            call((3, 3)),
            call((3, 3), axis=0),
            call((2, 3, 4), axis=1),
            call((2, 3), axis=-1),
            call(()),
            call((0, 2), axis=1),
        ],
    ),
    Row(
        "logsumexp",
        [*reduction, call((2, 0), axis=0)],
        points=[
            Point(([1000.0, 1000.0],), ([0.5, 0.5],)),
            Point(([-1000.0, -1000.0],), ([0.5, 0.5],)),
            Point(([0.0, -np.inf],), ([1.0, 0.0],)),
        ],
    ),
    Row(
        "softmax",
        normalising,
        points=[
            Point(([1000.0, -1000.0],), ([0.0, 0.0],), f=lambda x: ops.softmax(x)[0]),
            Point(([0.0, -np.inf],), ([0.0, 0.0],)),
        ],
    ),
    Row(
        "log_softmax",
        normalising,
        points=[Point(([1000.0, -1000.0],), ([-1.0, 1.0],), f=lambda x: ops.log_softmax(x)[1])],
    ),
    # products
    Row(
        "matmul",
        [
            call((3, 3), (3, 3)),
            call((2, 3), (3, 4)),
            call((3,), (3,)),
            call((3,), (3, 2)),
            call((2, 3), (3,)),
            call((3,), (2, 3, 4)),
            call((2, 3, 4), (4,)),
            call((2, 3, 4), (4, 2)),
            call((2, 3), (2, 3, 4)),
            call((2, 3, 4), (2, 4, 2)),
            call((2, 1, 3, 4), (3, 4, 2)),
            call((1, 3, 4), (2, 4, 2)),
            call((2, 0), (0, 3)),
            call((0, 2), (2, 3)),
            call((2, 3, 0), (0, 4)),
            call((0, 3, 2), (2, 4)),
        ],
    ),
    Row(
        "linear",
        [
            call((3, 3), (3, 3), (3,)),
            call((2, 4), (3, 4), (3,)),
            call((2, 3, 4), (2, 4), (2,)),
            call((4,), (3, 4), (3,)),
            call((2, 4), (3, 4)),
            call((4,), (3, 4)),
            call((0, 4), (3, 4), (3,)),
            call((2, 3, 0), (2, 0), (2,)),
            call((2, 0, 4), (3, 4), (3,)),
        ],
    ),
    Row(
        "einsum",
        [
            _einsum("ij,jk->ik", (3, 3), (3, 3)),
            _einsum("ij,jk", (2, 3), (3, 4)),
            _einsum("ij,ij->", (2, 3), (2, 3)),
            _einsum("ji", (2, 3)),
            _einsum("ij->", (2, 3)),
            _einsum("ij->j", (2, 3)),
            _einsum("ii->i", (3, 3)),
            _einsum("ii", (3, 3)),
            _einsum("iij,i->j", (2, 2, 3), (2,)),
            _einsum("iii->i", (2, 2, 2)),
            _einsum("iji,k->jk", (2, 3, 2), (2,)),
            _einsum("i,j,k->kj", (2,), (3,), (2,)),
            _einsum("...i,ij->...j", (2, 4, 3), (3, 2)),
            _einsum("...ij,...jk", (2, 1, 2, 3), (4, 3, 2)),
            _einsum("i...,...->i...", (2, 3), (3,)),
            _einsum("ij,ij->ij", (1, 3), (2, 3)),
            _einsum("...,...", (1, 3), (2, 1)),
            _einsum(",ij->ij", (), (2, 3)),
            _einsum("->", ()),
            _einsum("i->", (0,)),
            _einsum("ij,jk->ik", (2, 0), (0, 3)),
            _einsum("i,i->i", (1,), (0,)),
            _einsum("ab , bc -> ac", (2, 3), (3, 2)),
        ],
    ),
    # networks
    Row(
        "windows",
        [
            call((3, 3), kernel=(2, 2)),
            call((2, 5, 6), kernel=(3, 2), stride=(2, 1)),
            call((1, 5, 7), kernel=(2, 3), stride=(1, 2), dilation=(2, 2)),
            call((3, 4), kernel=(3, 4)),
            call((0, 3, 3), kernel=(2, 1)),
        ],
    ),
    Row(
        "unwindow",
        [
            call((2, 2, 2, 2), shape=(3, 3), kernel=(2, 2), stride=(1, 1), dilation=(1, 1)),
            call((2, 2, 5, 3, 2), shape=(2, 5, 6), kernel=(3, 2), stride=(2, 1), dilation=(1, 1)),
            call((3, 2, 2, 3), shape=(5, 7), kernel=(2, 3), stride=(1, 2), dilation=(2, 2)),
            call((0, 2, 3, 2, 1), shape=(0, 3, 3), kernel=(2, 1), stride=(1, 1), dilation=(1, 1)),
        ],
    ),
    # compositions that stand in no table, but in the API
    Row(
        "take",
        [
            call((4, 3), indices=[2, 2, -1], axis=0),
            call((4, 3), indices=grid, axis=1),
            call((2, 4, 3), indices=[1, 1], axis=-2),
            call((4, 3), indices=[11, 0, 0]),
            call((4, 3), indices=1, axis=-1),
            call((4,), indices=[]),
        ],
    ),
    Row(
        "conv2d",
        [
            call((2, 2, 4, 4), (3, 2, 3, 3), (3,)),
            call((1, 4, 5, 4), (4, 2, 2, 3), (4,), groups=2, padding=(1, 0)),
            call((2, 6, 6), (2, 2, 2, 2), stride=(2, 1), dilation=2, padding=1),
            call((1, 2, 3, 3), (2, 1, 1, 1), groups=2),
            call((0, 2, 4, 4), (3, 2, 3, 3), (3,)),
        ],
    ),
    Row(
        "max_pool2d",
        [
            call((2, 2, 4, 4), kernel_size=2),
            call((2, 5, 5), kernel_size=(2, 3), stride=(2, 1)),
            call((1, 1, 4, 4), kernel_size=3, stride=2, padding=1),
            call((0, 1, 4, 4), kernel_size=2),
        ],
        distinct=True,
        points=[
            Point(
                ([[[1.0, 1.0], [0.0, 1.0]]],),
                ([[[1.0, 0.0], [0.0, 0.0]]],),
                f=lambda x: ops.max_pool2d(x, 2),
            )
        ],
    ),
    Row(
        "dropout",
        [
            call((3, 3), p=0.4, rng=1),
            call((2, 3), p=0.0),
            call((2, 3), p=1.0, rng=1),
            call((2, 3), training=False),
            call((0,), rng=1),
        ],
    ),
    Row(
        "layer_norm",
        [
            call((3, 3), normalized_shape=3),
            call((2, 3, 4), (3, 4), (3, 4), f=lambda x, w, b: ops.layer_norm(x, (3, 4), w, b)),
            call((2, 4), (4,), f=lambda x, w: ops.layer_norm(x, 4, w)),
            call((2, 4), (4,), f=lambda x, b: ops.layer_norm(x, 4, None, b, eps=0.1)),
            call((0, 4), (4,), f=lambda x, w: ops.layer_norm(x, 4, w)),
        ],
    ),
]

#: Every row by name: the primitives of ``graph.table``, then the compositions.
rows: dict[str, Row] = {row.name: row for row in _rows}

#: Operations of the API that are written in others and so have no rule of their own.
compositions = ("split", "take", "conv2d", "max_pool2d", "dropout", "layer_norm")
