"""The intermediate representation of scan: a step as a program of values.

A :class:`Value` is computed once and never changes (static single assignment). It is either an
input of the program or the result of one operation on other values. A :class:`Program` says when
each value is computed:

    before   once, or for all steps at once
    step     in the loop, step after step: the only section that depends on the carry
    after    once, or for all steps at once

A compiler pass takes a program and returns one that computes the same. :func:`verify` checks that
a program is valid; the tests run it after every pass.

The *level* of a value says when it can be computed:

    CONSTANT   before the loop; the same at every step
    SEQUENCE   before the loop; another value at every step
    LOOP       within the loop, since it depends on the carry

A value that varies from step to step is a block (T, ...) of all its arrays outside of the loop.
Within the loop, it is the array of the present step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ..graph import Operand, Primitive
from ..ops import primitives
from .trace import frozen, output_on

CONSTANT, SEQUENCE, LOOP = 0, 1, 2

Range: TypeAlias = tuple[float, float]


class Value:
    """One value of a step, and the operation that computes it.

    Attributes:
        number: unique. The inputs of an operation have smaller numbers than its result.
        op: the operation; None for an input of the program.
        args: the operands: values, Python numbers and None.
        keywords: the other arguments of the operation.
        shape, dtype: those of one step's array.
        level: CONSTANT, SEQUENCE or LOOP: when it can be computed.
        name: its name in the listing; None if it has no name of its own.
        range: a lower and an upper bound of its elements; None if nothing is known.
    """

    __slots__ = ("args", "dtype", "keywords", "level", "name", "number", "op", "range", "shape")

    def __init__(
        self,
        number: int,
        op: Primitive | None,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        level: int,
        name: str | None = None,
        range: Range | None = None,
    ):
        self.number = number
        self.op = op
        self.args = args
        self.keywords = keywords
        self.shape = shape
        self.dtype = dtype
        self.level = level
        self.name = name
        self.range = range

    @property
    def inputs(self) -> list[Value]:
        """The values among the arguments."""
        return [x for x in self.args if type(x) is Value]

    @property
    def varies(self) -> bool:
        """Whether it can differ from step to step."""
        return self.level > CONSTANT

    def __repr__(self) -> str:
        operation = "input" if self.op is None else self.op.name
        return f"<Value {self.number} {operation} {self.dtype} {self.shape} level {self.level}>"


# ── operations that only the compiler uses ───────────────────────────────────────────────


class OverTime(Primitive):
    """An operation on blocks with one result for all steps: a sum over time.

    ``forward(T, *arrays, **keywords)``: an operand that varies is passed as its block. An operand
    that does not vary is passed as it is, and counts T times.

    Attributes:
        formula: how the listing shows it, with ``{0}`` and ``{1}`` for the operands.
    """

    __slots__ = ("formula",)

    def __init__(self, name: str, formula: str, forward: Callable[..., Any]):
        super().__init__(name, forward, None, view=False)
        self.formula = formula


def _einsum_over_time(xs: Sequence[Any], operands: Sequence[str], result: str) -> Any:
    """An einsum summed over time: time becomes one more letter, which the result does not have."""
    used = set(result).union(*operands)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    # The letters of an operand number its axes. Time is a new first letter of every operand.
    time = next(letter for letter in letters if letter not in used)
    terms = ",".join(time + names for names in operands)
    return np.einsum(f"{terms}->{result}", *xs, optimize=len(xs) > 1)


def _join(*parts: Any, indices: Sequence[Any], shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, parts[0].dtype)
    for part, index in zip(parts, indices, strict=True):
        out[index] = part
    return out


def _join_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    indices = [(slice(None), *parts_of(index)) for index in keywords["indices"]]
    # Some parts may be the same at every step. The assignment in _join broadcasts them over time.
    first = next(i for i, x in enumerate(operands) if x.over_time)

    def call(*parts: Any) -> Any:
        T = len(parts[first])
        return _join(*parts, indices=indices, shape=(T, *keywords["shape"]))

    return call


#: Parts written into zeros at indices that do not overlap, instead of a sum of ``place``.
join = Primitive("join", _join, None, view=False, batch=_join_blocks)

#: An array filled with one number.
filled = Primitive("filled", np.full, None, view=False)

#: The same array, contiguous: BLAS and NumPy's loops are fastest on it.
contiguous = Primitive(
    "contiguous",
    # ascontiguousarray makes an array () one of shape (1,).
    lambda x: np.ascontiguousarray(x).reshape(x.shape),
    None,
    batch=lambda keywords, operands: {},
    view="maybe",
)

#: sum_t x_t.
total = OverTime("total", "sum over t of {0}", lambda T, x: np.add.reduce(x, 0))

#: T x, for an x that is the same at every step.
times_steps = OverTime(
    "times_steps", "T * {0}", lambda T, x: np.asarray(x * np.asarray(T, x.dtype))
)

#: sum_t x_t y_t for matrices x_t (k, n) and y_t (n, m): one product whose inner axis is time and n.
#: For dW = sum_t h_t' dz_t, x is the transposed view (T, D, N) of the block h (T, N, D). If the
#: blocks are contiguous, both reshapes are views of matrices of T N rows, and nothing is copied.
total_matmul = OverTime(
    "total_matmul",
    "sum over t of {0} @ {1}",
    lambda T, x, y: np.matmul(
        x.swapaxes(0, 1).reshape(x.shape[1], T * x.shape[2]), y.reshape(T * y.shape[1], y.shape[2])
    ),
)

#: The sum of x_t y_t over t and over all axes but ``kept``, for x_t and y_t of one shape.
#: einsum numbers the axes of the blocks: 0 is time, so axis k of one step is axis k + 1.
total_product = OverTime(
    "total_product",
    "sum over t and all axes but {kept} of {0} * {1}",
    lambda T, x, y, kept: np.einsum(
        x, [*range(x.ndim)], y, [*range(y.ndim)], [k + 1 for k in kept]
    ),
)

#: The sum of x_t over t and over all axes but ``kept``. Axis i of a block is axis i - 1 of a step.
total_sum = OverTime(
    "total_sum",
    "sum over t and all axes but {kept} of {0}",
    lambda T, x, kept: np.add.reduce(x, tuple(i for i in range(x.ndim) if i - 1 not in kept)),
)

#: The sum of an einsum over t.
total_einsum = OverTime(
    "total_einsum",
    "sum over t of einsum({0}, {1})",
    lambda T, *xs, **keywords: _einsum_over_time(xs, **keywords),
)

#: The sum over t of an operation that adds rows up: it takes blocks like longer arrays.
total_applied = OverTime(
    "total_applied",
    "sum over t of {op}({0}, {1})",
    lambda T, *xs, op, keywords: op.forward(*xs, **keywords),
)


# ── making values ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Operation:
    """An operation before it becomes a value, and the shape and dtype of its result."""

    op: Primitive
    args: tuple[Any, ...]
    keywords: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


#: ``rule(builder, operation) -> value``, or None if the rule does not apply.
Rewrite: TypeAlias = "Callable[[Builder, Operation], Value | None]"


class Builder:
    """Makes values. Equal operations on the same operands become one value.

    Compilers call this value numbering. It finds common subexpressions as they are made: the
    operands of two equal operations are the same objects already, so comparing keys is enough.

    Args:
        rules: rewrite rules, tried in this order before an operation becomes a value. A rule that
            applies returns an equal value.
        start: values are numbered from ``start`` + 1.

    Attributes:
        shared: values that several operations read. A rule must not take them apart, because then
            they would be computed twice.
    """

    def __init__(self, rules: Iterable[Rewrite] = (), start: int = 0):
        self.shared: set[Value] = set()
        self._rules = tuple(rules)
        self._count = start
        self._known: dict[Any, Value] = {}

    @property
    def last(self) -> int:
        """The number of the latest value."""
        return self._count

    @classmethod
    def of(cls, values: Iterable[Value], given: Iterable[Value]) -> Builder:
        """A builder that knows these values already."""
        values = list(values)
        # New values get larger numbers than all of these, so they may read any of them.
        numbers = [v.number for v in (*values, *given)]
        builder = cls(start=max(numbers, default=0))
        for v in values:
            assert v.op is not None
            builder._known[_key(v.op, v.args, v.keywords)] = v
        return builder

    def new_input(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], level: int, name: str | None = None
    ) -> Value:
        """A new input of the program."""
        self._count += 1
        return Value(self._count, None, (), {}, shape, dtype, level, name)

    def make(
        self,
        op: Primitive,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> Value:
        """``op(*args, **keywords)``, rewritten by the first rule that applies."""
        # The operands are rewritten already. A rule makes its result with this method too, so the
        # result is rewritten in turn, and one pass over a program is enough.
        operation = Operation(op, args, keywords, shape, dtype)
        for rule in self._rules:
            rewritten = rule(self, operation)
            if rewritten is not None:
                assert (rewritten.shape, rewritten.dtype) == (shape, dtype), (
                    rule,
                    operation,
                    rewritten,
                )
                return rewritten
        return self.plain(op, args, keywords, shape, dtype)

    def plain(
        self,
        op: Primitive,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> Value:
        """``op(*args, **keywords)``, without rules."""
        key = _key(op, args, keywords)
        known = self._known.get(key)
        if known is None:
            # A value can be computed as soon as all its operands are known.
            level = max((x.level for x in args if type(x) is Value), default=CONSTANT)
            # The operand of a sum over time varies, but the sum is one result for all steps.
            if isinstance(op, OverTime):
                level = CONSTANT
            self._count += 1
            known = Value(self._count, op, args, keywords, shape, dtype, level)
            known.range = _range_of(op, args, keywords)
            self._known[key] = known
        return known

    # ── shortcuts for rules ──────────────────────────────────────────────────────────────

    def elementwise(self, op: Primitive, *args: Any) -> Value:
        """``op(*args)`` for an elementwise operation; operands broadcast."""
        shapes = [x.shape for x in args if type(x) is Value]
        return self.make(op, args, {}, np.broadcast_shapes(*shapes), _dtype_of(op, args))

    def matmul(self, x: Value, y: Value) -> Value:
        """``x @ y`` for x (..., n, k) or (k,) and a matrix y."""
        return self.make(primitives.matmul, (x, y), {}, (*x.shape[:-1], y.shape[-1]), x.dtype)

    def transpose(self, x: Value) -> Value:
        return self.make(primitives.transpose, (x,), {"axes": None}, x.shape[::-1], x.dtype)

    def reshape(self, x: Value, shape: tuple[int, ...]) -> Value:
        if x.shape == shape:
            return x
        return self.make(primitives.reshape, (x,), {"shape": shape}, shape, x.dtype)

    def getitem(self, x: Value, index: Any) -> Value:
        # NumPy itself says which shape an index gives.
        shape = np.empty(x.shape, np.bool_)[index].shape
        return self.make(primitives.getitem, (x,), {"index": index}, shape, x.dtype)

    def stack(self, xs: Sequence[Value]) -> Value:
        """Values of one shape side by side along a new first axis."""
        shape = (len(xs), *xs[0].shape)
        return self.make(primitives.stack, tuple(xs), {"axis": 0}, shape, xs[0].dtype)

    def concatenate(self, xs: Sequence[Value]) -> Value:
        """Values joined along their last axis."""
        width = sum(x.shape[-1] for x in xs)
        shape = (*xs[0].shape[:-1], width)
        axis = len(shape) - 1
        return self.make(primitives.concatenate, tuple(xs), {"axis": axis}, shape, xs[0].dtype)


def _key(op: Primitive, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Operations with equal keys have the same result."""
    # Python numbers are compared by type and text. 1, 1.0 and True are equal, and so are 0.0 and
    # -0.0, but operations on them compute different results.
    operands = tuple(x.number if type(x) is Value else (type(x), repr(x)) for x in args)
    return op, operands, frozen(keywords)


def _range_of(op: Primitive, args: Sequence[Any], keywords: dict[str, Any]) -> Range | None:
    """Bounds of an operation's result; None if they are not known.

    This is interval arithmetic: if z is in [0, 1], so is 1 - z. ``common_factor`` needs the bounds.
    """
    if op.range is not None:
        return op.range
    known: list[Range] = []
    for x in args:
        between = x.range if type(x) is Value else (x, x) if type(x) in (int, float) else None
        if between is None:
            return None
        known.append(between)
    if not known:
        return None
    (low, high), *others = known
    # A view has no other elements than its operand.
    if op.is_view(keywords) in (True, "maybe"):
        return low, high
    if op is primitives.negative:
        return -high, -low
    if op is primitives.square:
        return 0.0, max(low * low, high * high)
    if op is primitives.subtract:
        return low - others[0][1], high - others[0][0]
    if op is primitives.multiply:
        # The extremes of a product lie at the corners of the rectangle of its operands.
        corners = [a * b for a in (low, high) for b in others[0]]
        return min(corners), max(corners)
    return None


def _dtype_of(op: Primitive, args: Sequence[Any]) -> np.dtype[Any]:
    """The dtype of an elementwise operation's result, by NumPy's promotion rules."""
    # The type stands beside the number, since 1 and 1.0 would be the same key of the cache.
    kinds = tuple((x.dtype if type(x) is Value else (type(x), x)) for x in args)
    return _promoted(op, kinds)


@functools.lru_cache(1024)
def _promoted(op: Primitive, kinds: tuple[Any, ...]) -> np.dtype[Any]:
    # Python numbers stay Python numbers here: they take the dtype of the arrays, as in the step.
    stand_ins = [np.ones(1, k) if isinstance(k, np.dtype) else k[1] for k in kinds]
    with np.errstate(all="ignore"):
        return np.asarray(op.forward(*stand_ins)).dtype


# ── programs ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Program:
    """A step, and when each of its values is computed.

    Attributes:
        constants: inputs that are the same at every step.
        sequences: inputs that vary from step to step.
        carries: inputs that the step before returned.
        new_carries: results that the next step reads, in the shapes and dtypes of ``carries``.
        stacked: results of every step.
        totals: results for all steps together: sums over time.
        kept: results for a later program (the backward), of every step if they vary.
        before, step, after: the values that are computed in each section, operands first. All three
            are empty until the program is scheduled.
    """

    constants: tuple[Value, ...]
    sequences: tuple[Value, ...]
    carries: tuple[Value, ...]
    new_carries: tuple[Value, ...]
    stacked: tuple[Value, ...] = ()
    totals: tuple[Value, ...] = ()
    kept: tuple[Value, ...] = ()
    before: tuple[Value, ...] = ()
    step: tuple[Value, ...] = ()
    after: tuple[Value, ...] = ()

    @property
    def inputs(self) -> tuple[Value, ...]:
        return (*self.constants, *self.sequences, *self.carries)

    @property
    def results(self) -> tuple[Value, ...]:
        return (*self.new_carries, *self.stacked, *self.totals, *self.kept)

    @property
    def computed(self) -> tuple[Value, ...]:
        return (*self.before, *self.step, *self.after)

    def with_results(self, find: Callable[[Value], Value]) -> Program:
        """The same program with each result replaced by ``find(result)``; not scheduled."""
        return replace(
            self,
            new_carries=tuple(map(find, self.new_carries)),
            stacked=tuple(map(find, self.stacked)),
            totals=tuple(map(find, self.totals)),
            kept=tuple(map(find, self.kept)),
            before=(),
            step=(),
            after=(),
        )


def reached(
    values: Iterable[Value], passes: Callable[[Value], bool] = lambda v: True
) -> dict[Value, None]:
    """The values and all their direct and indirect operands, as far as ``passes`` is true.

    A value at which ``passes`` is false is left out, and its operands are not visited through it.
    """
    # A dict keeps the order of insertion. The order of a set of objects depends on their addresses,
    # so the generated code would differ from process to process. There is no recursion: a step may
    # be thousands of operations deep.
    collected: dict[Value, None] = {}
    waiting = list(values)
    while waiting:
        v = waiting.pop()
        if v not in collected and passes(v):
            collected[v] = None
            waiting += v.inputs
    return collected


def in_order(values: Iterable[Value]) -> tuple[Value, ...]:
    """The values, operands first."""
    # Operands have smaller numbers than the values that read them.
    return tuple(sorted(values, key=_number))


def _number(v: Value) -> int:
    return v.number


def uses(results: Iterable[Value]) -> dict[Value, int]:
    """How often each value is read, by an operation or as a result."""
    results = list(results)
    counts: dict[Value, int] = {}
    for v in reached(results):
        for x in v.inputs:
            counts[x] = counts.get(x, 0) + 1
    for v in results:
        counts[v] = counts.get(v, 0) + 1
    return counts


def rewrite(program: Program, rules: Iterable[Rewrite]) -> Program:
    """The program, rewritten by rules; not scheduled."""
    counts = uses(program.results)
    values = in_order(counts)
    # The old and the new program share their inputs, so new numbers begin after all old ones.
    builder = Builder(rules, start=values[-1].number if values else 0)
    new: dict[Value, Value] = {v: v for v in program.inputs}
    for v in values:
        if v.op is None:
            new[v] = v
        else:
            args = tuple(new[x] if type(x) is Value else x for x in v.args)
            new[v] = builder.make(v.op, args, v.keywords, v.shape, v.dtype)
        # The readers of v come later in this order, so their rules see this mark.
        if counts[v] > 1:
            builder.shared.add(new[v])
        if v.name is not None and new[v].name is None:
            new[v].name = v.name
    return program.with_results(new.__getitem__)


def rebuilt(
    program: Program, operands: Callable[[Builder, Value, tuple[Any, ...]], Value | None]
) -> Program:
    """The program with some of its operations replaced; not scheduled.

    Args:
        program: any program.
        operands: ``operands(builder, v, args)`` returns the value that replaces v, given v's
            arguments in the new program; None keeps v's operation.
    """
    builder = Builder(start=max((v.number for v in program.computed), default=0))
    new: dict[Value, Value] = {v: v for v in program.inputs}
    for v in in_order(reached(program.results)):
        if v.op is None:
            new[v] = v
            continue
        args = tuple(new[x] if type(x) is Value else x for x in v.args)
        value = operands(builder, v, args)
        if value is None:
            value = builder.plain(v.op, args, v.keywords, v.shape, v.dtype)
        if v.name is not None and value.name is None:
            value.name = v.name
        new[v] = value
    return program.with_results(new.__getitem__)


# ── verifying programs ───────────────────────────────────────────────────────────────────


class InvalidProgram(AssertionError):
    """A pass returned an invalid program: a bug in this library."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidProgram(f"scan: {message}")


def verify(program: Program) -> None:
    """Check that a program is valid. The tests call this after every pass.

    Raises:
        InvalidProgram: it names a value and the rule that this value breaks.
    """
    sections = {"before": program.before, "step": program.step, "after": program.after}
    known: set[Value] = {*program.constants, *program.sequences}
    for v in (*program.constants, *program.sequences, *program.carries):
        _require(v.op is None, f"{v!r} is an input, but an operation computes it too")
    read: set[Value] = set(program.results)
    for section, values in sections.items():
        if section == "step":
            # Only from here on may a value read the carries.
            known |= set(program.carries)
        for v in values:
            _require(v.op is not None, f"{v!r} is in {section}, but no operation computes it")
            _require(v not in known, f"{v!r} is computed twice")
            for x in v.inputs:
                _require(x in known, f"{v!r} in {section} reads {x!r}, which is not computed yet")
                _require(x.number < v.number, f"{v!r} has a smaller number than its operand {x!r}")
                read.add(x)
            _require_operation(v, section)
            known.add(v)
    for v in program.computed:
        _require(v in read, f"{v!r} is computed, but nothing reads it")
    for v in program.results:
        _require(v in known, f"{v!r} is a result, but nothing computes it")
    for old, new in zip(program.carries, program.new_carries, strict=True):
        _require(
            (old.shape, old.dtype) == (new.shape, new.dtype),
            f"the carry {old!r} has another shape or dtype after the step: {new!r}",
        )
        # The next step needs it, and ``after`` runs once, when all steps are done.
        _require(new not in program.after, f"{new!r} is a new carry, but computed after the steps")
    for v in program.totals:
        _require(not v.varies, f"the total {v!r} varies from step to step")


def _require_operation(v: Value, section: str) -> None:
    """Check that v has the level, shape and dtype of its operation's result."""
    assert v.op is not None
    highest = max((x.level for x in v.inputs), default=CONSTANT)
    if isinstance(v.op, OverTime):
        _require(section == "after", f"{v!r} is a sum over time, but in {section}")
        _require(v.level == CONSTANT, f"{v!r} is a sum over time, but varies")
        return
    _require(v.level == highest, f"{v!r} should have level {highest}")
    # A value of a lower level than LOOP may be in the step too: see ``late`` in ``schedule``.
    _require(section != "before" or v.level < LOOP, f"{v!r} depends on the carry, but is in before")
    _require(
        section != "step" or v.level > CONSTANT, f"{v!r} is the same at every step, but is in step"
    )
    # Run the operation on stand-ins: NumPy says which shape and dtype it gives.
    arrays = [_stand_in(x) if type(x) is Value else x for x in v.args]
    try:
        result = output_on(v.op, arrays, v.keywords)
    except (ValueError, TypeError, IndexError) as error:
        raise InvalidProgram(f"scan: {v!r} cannot be computed: {error}") from error
    _require(
        (result.shape, result.dtype) == (v.shape, v.dtype),
        f"{v!r} computes {result.dtype} {result.shape}",
    )


def _stand_in(v: Value) -> Any:
    """An array that every operation accepts. Integers may be indices, so they are 0."""
    return (np.ones if v.dtype.kind == "f" else np.zeros)(v.shape, v.dtype)


def parts_of(index: Any) -> tuple[Any, ...]:
    """An index as a tuple, with one part per axis."""
    return index if isinstance(index, tuple) else (index,)


def laid_side_by_side(v: Value) -> list[Value]:
    """The parts of a join, in the order in which they lie in the result."""
    indices = v.keywords["indices"]
    order = sorted(range(len(indices)), key=lambda k: [_start(p) for p in parts_of(indices[k])])
    return [v.args[k] for k in order]


def _start(part: Any) -> int:
    start = part.start if isinstance(part, slice) else part
    return start if isinstance(start, int) else 0


def sections(program: Program) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """The sections in the order in which they run."""
    yield "before", program.before
    yield "step", program.step
    yield "after", program.after


__all__ = [
    "CONSTANT",
    "LOOP",
    "SEQUENCE",
    "Builder",
    "InvalidProgram",
    "Operation",
    "OverTime",
    "Program",
    "Rewrite",
    "Value",
    "contiguous",
    "filled",
    "in_order",
    "join",
    "laid_side_by_side",
    "parts_of",
    "reached",
    "rebuilt",
    "rewrite",
    "sections",
    "times_steps",
    "total",
    "total_applied",
    "total_einsum",
    "total_matmul",
    "total_product",
    "total_sum",
    "uses",
    "verify",
]
