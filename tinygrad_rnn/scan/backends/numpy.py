"""The NumPy back end: a program as flat Python, one call for each operation.

Outside of the loop an operation runs on blocks, once for all steps. Within the loop every call
writes into memory that ``passes.buffers`` chose.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ...graph import ALL, OUT, Argument, Operand
from ...ops import primitives
from ..batching import each
from ..blas import pieces, product_in_pieces
from ..ir import OverTime, Program, Value, in_order, parts_of, rewrite, total, total_sum
from ..names import Names, identifier
from ..passes.buffers import Memory, buffers, covers, may_be_view, part_indices
from ..passes.columns import RULES as COLUMNS
from ..passes.expand import negative_inwards, written_out
from ..passes.operands import operands
from ..passes.pack import pack
from ..passes.schedule import schedule
from ..passes.simplify import RULES, is_ufunc
from ..passes.totals import totals

_matmul, _transpose, _getitem = primitives.matmul, primitives.transpose, primitives.getitem
_reshape = primitives.reshape

#: Allocates the memory that steps write to. A test replaces it and fills the memory with NaN.
empty = np.empty

#: From this many elements per step on, blocks of all steps do not fit in a cache (measured).
LATE = 1024


def late(v: Value) -> bool:
    """Whether to compute a value at every step, in the cache, instead of before the loop."""
    return v.op is not None and is_ufunc(v.op) and int(np.prod(v.shape)) >= LATE


def run_passes(program: Program) -> Program:
    """A simplified program after all passes of this back end."""
    for one_pass in passes():
        program = one_pass(program)
    return program


def passes() -> Sequence[Any]:
    """The passes of this back end, in their order."""

    def regrouped(program: Program) -> Program:
        return rewrite(program, (*RULES, written_out, negative_inwards, *COLUMNS))

    def scheduled(program: Program) -> Program:
        return schedule(program, late)

    # The gates have to be written out before ``pack`` can compare them one by one. ``operands``
    # comes after it, since packs have operands of their own. Each pass adds values without a
    # section, so each is followed by a schedule.
    return (
        regrouped,
        scheduled,
        pack,
        scheduled,
        operands,
        scheduled,
        totals,
        scheduled,
    )


class NumpyLoop:
    """A program that can run. It is immutable, so several threads can run it at the same time.

    Calling it: ``loop(T, reverse, constants, sequences, carries) -> (new carries, stacked, totals,
    kept)``, T >= 1.

    Args:
        program: the program, simplified.
        given: the names that values have in another program.
        start: the last number used for names there.

    Attributes:
        program: the program after all passes.
        names: the names of its values.
        source: the generated Python function.
    """

    backend = "numpy"

    def __init__(self, program: Program, given: Mapping[Value, str], start: int = 0):
        self.program = run_passes(program)
        writer = _Writer(self.program, buffers(self.program), given, start)
        self.source = writer.source()
        self.names = writer.names
        # Popped from its globals: the function and its globals would hold each other.
        exec(compile(self.source, "<scan>", "exec"), writer.globals)
        self._run = writer.globals.pop("run")

    def __call__(
        self,
        steps: int,
        reverse: bool,
        constants: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
    ) -> Any:
        with np.errstate(over="ignore"):  # sigmoid is written out, and e^-x may be Inf
            return self._run(steps, reverse, constants, sequences, carries)


# ── functions that the generated code calls ──────────────────────────────────────────────


def by_step(reverse: bool, *blocks: Any) -> Any:
    """For each step, in the order in which they run, the step's array of each block."""
    return zip(*[block[::-1] for block in blocks] if reverse else blocks, strict=True)


def single(block: ndarray) -> list[ndarray]:
    """The 0-d arrays of a block (T,): plain indexing would return NumPy scalars."""
    return [block[t, ...] for t in range(len(block))]


def of_every_step(x: ndarray, T: int) -> ndarray:
    """A block with the same array T times."""
    return np.broadcast_to(x, (T, *x.shape)).copy()


def sum_over(x: ndarray, kept: tuple[int, ...]) -> Any:
    """The sum over time and all axes but ``kept``.

    A sum over all axes but the last is a product with ones, which is faster.
    """
    rank = x.ndim - 1
    if kept == (rank - 1,) and rank > 1 and x.dtype.char in "fd":
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return np.ones(len(rows), x.dtype).dot(rows)
    return np.add.reduce(x, tuple(i for i in range(x.ndim) if i - 1 not in kept))


_faster = {total_sum: sum_over}


class _Writer:
    """Writes the function that runs a program."""

    def __init__(self, program: Program, memory: Memory, given: Mapping[Value, str], start: int):
        self.program, self.memory = program, memory
        self.globals: dict[str, Any] = {
            "empty": empty,
            "zeros": np.zeros,
            "copyto": np.copyto,
            "by_step": by_step,
            "single": single,
            "of_every_step": of_every_step,
        }
        taken = frozenset(self.globals) | frozenset(_ufunc_names())
        self.names = Names(program, given, taken, start)
        # Outside of the loop names stand for blocks, within it for the array of the present step. A
        # value that both sides read has two names: ``h_all`` and ``h``.
        self.block: dict[Value, str] = {}  # the name of a value's block outside of the loop
        self.prologue: list[_Line] = []
        self.iterated: set[str] = set()  # the blocks that the loop iterates over
        self.body: list[str] = []
        self.targets, self.sources = ["t"], ["range(T)"]
        self.in_step: dict[Value, str] = {}  # the name of a value within the loop
        self.fixed: set[str] = set()  # names that stand for the same memory at every step
        self.constants: dict[Any, str] = {}

    # ── names for things that are not values ─────────────────────────────────────────────

    def constant(self, value: Any, stem: str) -> str:
        """The global name of a function, an index, a dtype or a number."""
        # ``globals`` holds the object, so no other object can get its id.
        key = (stem, id(value))
        name = self.constants.get(key)
        if name is None:
            name = self.constants[key] = self.names.free(stem)
            self.globals[name] = value
        return name

    def number(self, x: Any, v: Value) -> str:
        """The name of a Python number; as an array, which NumPy need not convert at every call."""
        # A Python number takes the dtype of the arrays beside it, a 0-d array does not: float32 +
        # 0-d float64 is float64. So it becomes an array only where all dtypes agree.
        alike = v.dtype.kind == "f" and all(y.dtype == v.dtype for y in v.inputs)
        if alike and type(x) in (int, float):  # a bool may be a condition, which stays one
            # By repr, since 0.0 == -0.0 and nan != nan.
            key = ("number", type(x), repr(x), v.dtype)
            if key not in self.constants:
                self.constants[key] = self.names.free("number")
                self.globals[self.constants[key]] = np.array(x, v.dtype)
            return self.constants[key]
        return repr(x) if x is None or type(x) in (bool, int) else self.constant(x, "number")

    def dtype(self, dtype: np.dtype[Any]) -> str:
        return self.constant(dtype, dtype.name)

    def function(self, f: Any, name: str) -> str:
        if isinstance(f, np.ufunc) and f.__name__.isidentifier():
            self.globals[f.__name__] = f
            return f.__name__
        return self.constant(f, identifier(name))

    # ── the whole function ───────────────────────────────────────────────────────────────

    def source(self) -> str:
        """The Python code of the whole function."""
        program = self.program
        lines: list[_Line] = []
        for values, source, suffix in (
            (program.constants, "constants", ""),
            (program.sequences, "sequences", "_all"),
            (program.carries, "carries", "_first"),
        ):
            names = [self.names[v] + suffix for v in values]
            if names:
                # A comma behind the last name also unpacks a list of one.
                lines.append(_Line(f"{', '.join(names)}, = {source}", names))
            # ``place_carries`` makes the blocks of carries.
            if source != "carries":
                self.block.update(zip(values, names, strict=True))
        lines += self.outside(program.before)
        # Writing the step fills ``prologue``, with the lines that allocate its memory.
        if program.carries:
            self.write_step()
            lines += self.prologue
        if self.body:
            targets, sources = ", ".join(self.targets), ", ".join(self.sources)
            body = [f"for {targets}, in by_step(reverse, {sources}):"]
            body += [f"    {line}" for line in self.body]
            body.append(f"del {targets}")  # these names would keep blocks alive
            lines.append(_Line("\n    ".join(body), (), frozenset(self.iterated)))
        # Views of values with a block are not stored: they are made from the block, after the loop.
        lines += self.outside(in_order(self.memory.views))
        lines += self.outside(program.after)
        lines.append(self.results())
        text = "\n    ".join(
            ["def run(T, reverse, constants, sequences, carries):", *with_deletions(lines)]
        )
        return text + "\n"

    def results(self) -> _Line:
        """The line that returns the results."""
        program = self.program
        stacked = [
            self.block[v] if v.varies else f"of_every_step({self.block[v]}, T)"
            for v in program.stacked
        ]
        totals = [self.block[v] for v in program.totals]
        kept = [self.block[v] for v in program.kept]
        groups = [self.last(), stacked, totals, kept]
        text = "return " + ", ".join(f"[{', '.join(group)}]" for group in groups)
        return _Line(
            text, (), {*stacked, *totals, *kept, *(self.block[v] for v in program.stacked)}
        )

    # ── before and after the steps ───────────────────────────────────────────────────────

    def outside(self, values: Sequence[Value]) -> list[_Line]:
        """The lines that compute values before or after the loop."""
        lines = []
        reusable = self.overwritten(values)
        for v in values:
            name = self.names[v] + ("_all" if v.varies else "")
            self.block[v] = name
            text = f"{name} = {self.call_outside(v, reusable.get(v))}"
            lines.append(_Line(text, (name,), frozenset(self.block[x] for x in v.inputs)))
        return lines

    def call_outside(self, v: Value, out: Value | None) -> str:
        """The code that computes a value before or after the loop, on blocks."""
        op = v.op
        assert op is not None
        arguments = [self.block[x] if type(x) is Value else self.number(x, v) for x in v.args]
        f: Any
        if isinstance(op, OverTime):
            if op is total:
                self.globals["add_reduce"] = np.add.reduce
                return f"add_reduce({arguments[0]}, 0)"
            if op in _faster:
                f = functools.partial(_faster[op], **v.keywords)
            else:
                f = functools.partial(op.forward, **v.keywords) if v.keywords else op.forward
                # An operand that does not vary counts T times.
                arguments.insert(0, "T")
            name = self.function(f, op.name)
            return f"{name}({', '.join(arguments)})"
        if v.varies:
            known = [
                Operand(x.shape if type(x) is Value else (), type(x) is Value and x.varies)
                for x in v.args
            ]
            # One call on the blocks if the operation has a form for them, else one call for each
            # step.
            f = op.batch(v.keywords, known) or each(op, v.keywords, known)
        elif op is _transpose and v.keywords["axes"] is None:
            return f"{arguments[0]}.T"
        elif op is _getitem:
            return f"{arguments[0]}[{self.index(v.keywords['index'])}]"
        else:
            f = functools.partial(op.forward, **v.keywords) if v.keywords else op.forward
        name = self.function(f, op.name.strip("_"))
        if out is not None:
            arguments.append(f"out={self.block[out]}")
        return f"{name}({', '.join(arguments)})"

    def overwritten(self, values: Sequence[Value]) -> dict[Value, Value]:
        """For a value, the operand whose block it may overwrite, because nothing reads it later.

        Memory that was just used is in the cache. A block is overwritten only if an elementwise
        function computed it and no view of it exists.
        """
        here = set(values)
        last: dict[Value, int] = {}
        # Phase 1: find the blocks that must survive. These are results, inputs, all that another
        # section reads, and all that a view may lie in.
        shared: set[Value] = {*self.program.results, *self.program.step, *self.program.inputs}
        for v in (*self.program.step, *self.program.after):
            if v not in here:
                shared |= set(v.inputs)
        for i, v in enumerate(values):
            for x in v.inputs:
                last[x] = i
                if v.op is not None and v.op.is_view(v.keywords) is not False:
                    shared.add(x)
        # Phase 2: let v overwrite an operand that v is the last to read. A ufunc made that operand,
        # so its block is new memory of this call; a view or a given array could belong to others.
        found: dict[Value, Value] = {}
        for i, v in enumerate(values):
            if not (v.varies and v.op is not None and is_ufunc(v.op)) or not self.is_plain(v):
                continue
            for x in v.inputs:
                if (
                    x in here
                    and x.varies
                    and x not in shared
                    and last[x] == i
                    and x.op is not None
                    and is_ufunc(x.op)
                    and (x.shape, x.dtype) == (v.shape, v.dtype)
                ):
                    found[v] = x
                    break
        return found

    def is_plain(self, v: Value) -> bool:
        """Whether v's ufunc can be called on the blocks of its operands directly."""
        assert v.op is not None
        known = [
            Operand(x.shape if type(x) is Value else (), type(x) is Value and x.varies)
            for x in v.args
        ]
        return v.op.batch(v.keywords, known) is v.op.forward

    def index(self, index: Any) -> str:
        parts = [_part(part) for part in parts_of(index)]
        if all(part is not None for part in parts) and parts:
            return ", ".join(parts)  # type: ignore[arg-type]
        return self.constant(index, "index")

    # ── the step ─────────────────────────────────────────────────────────────────────────

    def write_step(self) -> None:
        """Write the loop over the steps, and before it the lines that allocate its memory."""
        self.place_carries()
        memory, names = self.memory, self.names
        # Memory first: buffers, then blocks, then parts of blocks, which are views of these.
        for i, (shape, dtype) in enumerate(memory.buffers):
            self.prepare(f"buffer{i}", f"empty({shape}, {self.dtype(dtype)})")
            self.fixed.add(f"buffer{i}")
        for v in memory.kept:
            if self.kind(v) in ("block", "fresh"):
                make = "zeros" if v in memory.zeroed else "empty"
                name = self.block[v] = f"{names[v]}_all"
                self.prepare(name, f"{make}((T, *{v.shape}), {self.dtype(v.dtype)})")
        for v in memory.kept:
            if self.kind(v) == "part":
                name = self.block[v] = f"{names[v]}_all"
                self.prepare(name, self.part_over_time(v), reads=self.block[self.whole(v)])
        for v in self.program.step:
            self.write(v)
        self.hand_on()

    def prepare(self, name: str, made: str, reads: str | None = None) -> None:
        """Add a line before the loop."""
        self.prologue.append(
            _Line(f"{name} = {made}", (name,), frozenset() if reads is None else {reads})
        )

    def kind(self, v: Value) -> str | None:
        place = self.memory.places.get(v)
        return None if place is None else place.kind

    def whole(self, v: Value) -> Value:
        whole = self.memory.places[v].whole
        assert whole is not None
        return whole

    def part_over_time(self, v: Value) -> str:
        """The code for the block of a value that is part of another value with a block."""
        index = (slice(None), *parts_of(self.memory.places[v].index))
        shaped = f".reshape(T, *{v.shape})" if self.reshaped(v) else ""
        return f"{self.block[self.whole(v)]}[{self.index(index)}]{shaped}"

    def reshaped(self, v: Value) -> bool:
        index = self.memory.places[v].index
        return bool(np.empty(self.whole(v).shape, np.bool_)[index].shape != v.shape)

    def iterate(self, name: str, block: str, shape: tuple[int, ...], of: str | None = None) -> str:
        """Let the loop iterate over a block, or over an expression of the block ``of``.

        Returns the name of the array of each step.
        """
        # Iterating over a block yields its rows four times as fast as ``block[t]`` does (measured).
        self.iterated.add(of or block)
        self.targets.append(name)
        self.sources.append(block if shape else f"single({block})")
        return name

    def place_carries(self) -> None:
        """Allocate the memory of the carries.

        A carry that is read after the loop has T + 1 rows. Step t reads row t and writes row t + 1
        (the other way round with ``reverse``). Any other carry has two buffers, which are swapped
        after every step.
        """
        memory = self.memory
        self.handing: list[str] = []
        self.last_carry: list[str] = []
        for i, (old, new) in enumerate(
            zip(self.program.carries, self.program.new_carries, strict=True)
        ):
            # For T = 3, `_both` has the rows 0 ... 3:
            #     forwards  step t reads row t, writes row t + 1; _all: rows 0-2, _next_all: 1-3
            #     reverse   step t reads row t + 1, writes row t; _all: rows 1-3, _next_all: 0-2
            # Step t reads _all[t] in both directions, and nothing is copied between steps.
            name, shape, dtype = self.names[old], old.shape, self.dtype(old.dtype)
            direct = self.place_is_next(new, i)
            if old in memory.kept or (direct and new in memory.kept):
                block = f"{name}_both"
                self.prepare(block, f"empty((T + 1, *{shape}), {dtype})")
                both = f"{name}_all", f"{name}_next_all"
                lines = [
                    f"{both[0]}, {both[1]} = {block}[:-1], {block}[1:]",
                    f"if reverse: {both[0]}, {both[1]} = {both[1]}, {both[0]}",
                    f"{block}[T if reverse else 0] = {name}_first",
                ]
                self.prologue += [_Line(line) for line in lines]
                self.iterate(name, f"{name}_all", shape)
                self.iterate(f"{name}_next", f"{name}_next_all", shape)
                self.block[old] = f"{name}_all"
                if direct:
                    self.block[new] = f"{name}_next_all"
                # Copied, since a view would keep the whole block in memory. The Ellipsis gives a
                # 0-d array where ``block[T]`` gives a scalar.
                self.last_carry.append(f"{block}[0 if reverse else T, ...].copy()")
            else:
                # The copy is needed: the second step writes into this buffer, and the first carry
                # is the caller's.
                line = f"{name}, {name}_next = {name}_first.copy(), empty({shape}, {dtype})"
                self.prologue.append(_Line(line))
                self.handing.append(f"{name}, {name}_next = {name}_next, {name}")
                self.last_carry.append(name)
            self.in_step[old] = name

    def place_is_next(self, new: Value, i: int) -> bool:
        place = self.memory.places.get(new)
        return place is not None and place.kind == "next" and place.index == i

    def last(self) -> list[str]:
        return self.last_carry if self.program.carries else []

    def hand_on(self) -> None:
        """Write the new carries where the next step reads them."""
        for i, (old, new) in enumerate(
            zip(self.program.carries, self.program.new_carries, strict=True)
        ):
            if not self.place_is_next(new, i):
                self.body.append(f"copyto({self.names[old]}_next, {self.read(new)})")
        # All copies come before the first swap. With the new carries (b, a) of the carries (a, b),
        # a swap of a would change what the copy for b reads.
        self.body += self.handing

    def read(self, x: Value) -> str:
        """The name of an operand within the step."""
        name = self.in_step.get(x)
        if name is None:
            name = self.block[x]
            if x.varies:
                name = self.iterate(self.names[x], name, x.shape)
            self.in_step[x] = name
        return name

    def write(self, v: Value) -> None:
        """Write the lines that compute v."""
        place = self.memory.places[v]
        name = self.names[v]
        if place.kind == "view":
            source = self.read(v.inputs[0])
            # Three kinds of view, the cheapest first:
            #     of a buffer         the same memory at every step: made once, before the loop
            #     of a value's block  made once of the whole block; the loop iterates over that view
            #     of anything else    made at every step
            if source in self.fixed:
                self.prepare(name, self.view(v, source))
                self.fixed.add(name)
            elif self.kind(v.inputs[0]) in ("block", "part") and v.inputs[0] in self.block:
                block = self.block[v.inputs[0]]
                self.prepare(f"{name}_all", self.view_over_time(v, block), reads=block)
                self.iterate(name, f"{name}_all", v.shape)
            else:
                self.body.append(f"{name} = {self.view(v, source)}")
            self.in_step[v] = name
            return
        arguments = [self.read(x) if type(x) is Value else self.number(x, v) for x in v.args]
        if place.kind == "fresh":
            # The operation allocates its result itself. If it is read after the loop, its numbers
            # are copied to row t of a block.
            assert v.op is not None
            self.body.append(f"{name} = {self.call(v, arguments)}")
            self.in_step[v] = name
            if v in self.memory.kept:
                row = self.iterate(f"{name}_row", self.block[v], v.shape)
                self.body.append(f"copyto({row}, {name})")
            return
        out = self.out(v)
        self.in_step[v] = out
        self.body += self.emitted(v, arguments, out)

    def out(self, v: Value) -> str:
        """The name of the memory that v is written to."""
        # A part asks for its whole first, so a whole may have its name before it is computed.
        if v in self.in_step:
            return self.in_step[v]
        place, name = self.memory.places[v], self.names[v]
        if place.kind == "buffer":
            out = f"buffer{place.index}"
        elif place.kind == "next":
            out = f"{self.names[self.program.carries[place.index]]}_next"
        elif place.kind == "block":
            out = self.iterate(name, self.block[v], v.shape)
        else:
            assert place.whole is not None
            if v in self.memory.kept:
                # ``write_step`` made the block of this part: a view of the whole's block.
                out = self.iterate(name, self.block[v], v.shape)
            else:
                out = self.part(v, place)
        self.in_step[v] = out
        return out

    def part(self, v: Value, place: Any) -> str:
        """The name of a part of a larger value."""
        whole, name = self.out(place.whole), self.names[v]
        shaped = f".reshape({v.shape})" if self.reshaped(v) else ""
        made = f"{whole}[{self.index(place.index)}]{shaped}"
        if whole in self.fixed:
            self.prepare(name, made)
            self.fixed.add(name)
        elif self.kind(place.whole) == "block":
            self.iterate(name, self.part_over_time(v), v.shape, self.block[place.whole])
        else:
            self.body.append(f"{name} = {made}")
        return name

    # ── one operation ────────────────────────────────────────────────────────────────────

    def call(self, v: Value, arguments: Sequence[str]) -> str:
        op = v.op
        assert op is not None
        f = op.forward
        if v.keywords or not isinstance(f, np.ufunc):
            f = functools.partial(_as_array, op.forward, v.keywords)
        return f"{self.function(f, op.name.strip('_'))}({', '.join(arguments)})"

    def view(self, v: Value, source: str) -> str:
        """The code for a view of an array of the step."""
        op, keywords = v.op, v.keywords
        assert op is not None
        if op is _getitem:
            index = self.index(keywords["index"])
            # With an Ellipsis NumPy returns a single element as a 0-d array, not as a scalar.
            dots = "" if v.shape or "..." in index else ", ..."
            return f"{source}[{index}{dots}]"
        if op is _transpose and keywords["axes"] is None:
            return f"{source}.T"
        if op is _reshape:
            return f"{source}.reshape({v.shape})"
        return self.call(v, [source])

    def view_over_time(self, v: Value, block: str) -> str:
        """The code for the same view of a whole block."""
        op = v.op
        assert op is not None
        if op is _getitem:
            return f"{block}[{self.index((slice(None), *parts_of(v.keywords['index'])))}]"
        known = [Operand(v.inputs[0].shape, True)]
        f = op.batch(v.keywords, known)
        return f"{self.function(f, op.name.strip('_'))}({block})"

    def emitted(self, v: Value, arguments: list[str], out: str) -> list[str]:
        """The lines that write v into memory."""
        op = v.op
        assert op is not None
        if op is _matmul:
            return [self.product(v, arguments, out)]
        if op is product_in_pieces:
            self.globals |= {"matmul": np.matmul, "pieces": pieces}
            p, q = v.keywords["p"], v.inputs[1].shape[1]
            # The operation itself would allocate its result. So its product is written here, with
            # ``out``.
            x, y = arguments
            return [f"matmul(pieces({x}, {p}, 1), {y}, pieces({out}, {p}, {q}))"]
        if part_indices(v) is not None:
            return self.put_together(v, arguments, out)
        if is_ufunc(op):
            name = self.function(op.forward, op.name)
            # NumPy requires the keyword for these two; it costs 30 ns.
            given = f"out={out}" if op.forward in (np.maximum, np.minimum) else out
            return [f"{name}({', '.join([*arguments, given])})"]
        assert op.emit is not None
        lines = []
        for f, *places in op.emit(v.keywords):
            name = self.function(f, f.__name__)
            words = [self.word(x, arguments, out) for x in places]
            lines.append(f"{name}({', '.join(words)})")
        return lines

    def word(self, x: Any, arguments: list[str], out: str) -> str:
        if isinstance(x, Argument):
            if x == OUT:
                return out
            return f"({', '.join(arguments)},)" if x == ALL else arguments[x]
        return _written(x)

    def product(self, v: Value, arguments: list[str], out: str) -> str:
        """A matrix product: with dot if possible, which is 0.6 us faster than matmul."""
        x, y = v.inputs
        # ``dot`` raises an error unless ``out`` is contiguous and has the dtype of the product. For
        # stacks of matrices it computes something else than ``matmul``.
        contiguous = v not in self.memory.scattered
        small = len(x.shape) <= 2 and len(y.shape) == 2 and bool(x.shape)
        if contiguous and small and x.dtype == y.dtype == v.dtype and v.dtype.char in "fd":
            return f"{arguments[0]}.dot({arguments[1]}, {out})"
        self.globals["matmul"] = np.matmul
        return f"matmul({arguments[0]}, {arguments[1]}, {out})"

    def put_together(self, v: Value, arguments: list[str], out: str) -> list[str]:
        """Copy the parts that are not already in their place."""
        indices = part_indices(v)
        assert indices is not None
        lines = []
        # Gaps between the parts are 0. A block that starts as zeros keeps its gaps, since each step
        # writes another row; a buffer is filled at every step, because others may have used it.
        if v not in self.memory.zeroed and not self.covered(v):
            lines.append(f"{out}.fill(0)")
        for x, name, index in zip(v.args, arguments, indices, strict=True):
            # Most parts were computed in their place. They are not copied.
            if not self.lies_in(x, v, index):
                lines.append(f"{out}[{self.index(index)}] = {name}")
        return lines

    def covered(self, v: Value) -> bool:
        return "indices" not in v.keywords or covers(v)

    def lies_in(self, x: Value, whole: Value, index: Any) -> bool:
        """Whether x was written straight into its place in a larger value."""
        # The whole may read a reshape of the part. So look through views for the value that was
        # placed.
        while True:
            place = self.memory.places.get(x)
            if place is not None and place.kind == "part":
                return place.whole is whole and place.index == index
            if place is None or place.kind != "view" or not may_be_view(x):
                return False
            (x,) = x.inputs


def _as_array(forward: Any, keywords: dict[str, Any], *xs: Any) -> ndarray:
    return np.asarray(forward(*xs, **keywords))


def _written(x: Any) -> str:
    """A constant such as an axis as Python text."""
    if isinstance(x, tuple):
        return f"({''.join(f'{_written(part)}, ' for part in x)})"
    return repr(x.item() if isinstance(x, np.generic) else x)  # the code knows no ``np.int64(0)``


def _part(part: Any) -> str | None:
    """The code for a part of an index; None if it is an array."""
    if part is None:
        return "None"
    if part is Ellipsis:
        return "..."
    if type(part) is slice:
        ends = (part.start, part.stop, part.step)
        if all(end is None or type(end) is int for end in ends):
            words = ["" if end is None else str(end) for end in ends]
            return ":".join(words if part.step is not None else words[:2])
        return None
    return str(int(part)) if type(part) is int or isinstance(part, np.integer) else None


def _ufunc_names() -> list[str]:
    return [name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)]


# ── freeing memory ───────────────────────────────────────────────────────────────────────


class _Line(NamedTuple):
    """A line of the function outside of the loop, or the whole loop.

    Attributes:
        text: the code.
        makes: the names that it assigns.
        reads: the blocks that it reads.
    """

    text: str
    makes: Sequence[str] = ()
    reads: Collection[str] = ()


def with_deletions(lines: Sequence[_Line]) -> list[str]:
    """The lines, with every block deleted as soon as nothing reads it any more.

    If all blocks of a long sequence lived to the end, every call would pay for fresh pages from the
    operating system. A deleted block is used again while it is still in the cache.
    """
    # Only blocks of all steps are worth it. Their names end in ``_all``.
    last: dict[str, int] = {}
    for i, line in enumerate(lines):
        last.update(dict.fromkeys((*line.makes, *line.reads), i))
    result = []
    for i, line in enumerate(lines[:-1]):
        done = [
            name
            for name in sorted({*line.makes, *line.reads})  # the same source in every process
            if last[name] == i and name.endswith("_all")
        ]
        result.append(f"{line.text}; del {', '.join(done)}" if done else line.text)
    return [*result, lines[-1].text]


__all__ = ["LATE", "NumpyLoop", "late", "passes", "run_passes"]
