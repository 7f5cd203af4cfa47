"""A program as LLVM IR: batches of loops and products, and the memory that they work in.

A *batch* is what runs together:

    constants   what depends on the constants alone: once for the arrays that they are
    once        other values that are the same at every step
    each        for every step, in any order
    steps       for every step in its turn, with the carry
    product     one large product of all steps with a matrix, or a sum over all steps of products

Each batch is one function of the module. Batches that do not wait for each other are one *stage*
(see ``stages``), which threads may share: a large product is cut into parts by its rows, the
steps by the sequences of the batch (see ``rows``), and what cannot be cut is done by one of them.

All functions take the same arguments: the arrays of a call, as the address of Python's tuple of
NumPy's objects, each of which holds the address of its elements; T; whether time runs backwards;
and which part of how many they are to do. The arrays are

    scratch memory    what a call works in
    blocks            what each part of a large product works in
    constant memory   what the constants were made into
    the constants, what is fixed, and results that depend on them alone
    the sequences, the carries, and the arrays that a call makes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from ....ops import primitives
from ...ir import Program, Value, total, total_matmul
from ...names import Names
from ...passes.buffers import covers, part_indices
from . import products
from .engine import target
from .functions import LONG, Unsupported
from .groups import SUMS, Assembly, Item, Nest, Product, grouped, reduced_axes, require, root
from .indices import confirmed, numbers, total_added_at
from .memory import Memory, Place, is_view, kind_of_value, padded, part, plain
from .passes import is_large
from .products import Large
from .rows import Rows, batch_of
from .text import SIZES, Module, kind_of

#: The numbers of the first arrays of a call, and of those that follow.
SCRATCH, BLOCKS, CONSTANTS, GIVEN = range(4)

#: From so many long functions on they are called, which is sooner compiled.
MANY = 12

TOTALS = (total, total_added_at)

PARAMETERS = ("ptr %arrays", "i64 %T", "i64 %reverse", "i64 %part", "i64 %parts")


@dataclass(eq=False)
class Batch:
    kind: str
    values: list[Value] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """How an array that a call returns comes about.

    Attributes:
        source: the list that it is in: "given" (the constants, sequences and carries of a call),
            "made" or "once".
        number: its place there; that of what it is a part of.
        shape, dtype: of one slot.
        slots: "one", "T", or "T + 1" of which it is the first T ("old") or the last ("new").
        part: "old", "new", or "" for the whole array.
    """

    source: str
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slots: str
    part: str = ""


class Lowering:
    """Where everything of a program is, and what its caller has to bring; then its text.

    Args:
        program: after all passes.
        names: of its values.

    Attributes:
        module: the text.
        imported: addresses of the functions of other modules that it calls.
        fixed: arrays that it reads: after the constants of a call.
        once: the arrays that the caller makes for given constants: after the fixed ones.
        made: the arrays that the caller makes: after the sequences and carries.
        flag: the last of them, where a number may be wrong: 0 before the call, 1 if one was.
        new_carries, stacked, totals, kept: what a call returns.
        static, moving: bytes of scratch memory that a call needs once, and for each of T + 1 steps.
        constant: bytes of constant memory.
        rows: the sequences of the batch, if threads may share them; else 0.
    """

    def __init__(self, program: Program, names: Names):
        self.program, self.names = program, names
        for v in program.made:
            if v.op is not numbers:
                require(v)
        for v in program.given:
            if kind_of(v.dtype) is None or math.prod(v.shape) == 0:
                raise Unsupported(f"{names[v]}: {v.dtype} {v.shape}")
        self.module = Module(target().attributes)
        long = sum(v.op is not None and v.op.scalar in LONG for v in program.made)
        self.module.many = long > MANY
        self.imported: dict[str, int] = {}
        self.fixed: list[ndarray] = []
        self.once: list[Result] = []
        self.made: list[Result] = []
        self.static = self.constant = 0
        self.moving: list[int] = []
        self.scratch: dict[Memory, int] = {}
        self._row_by_row = self._rows()
        self.rows = 0 if self._row_by_row is None else self._row_by_row.rows
        self.batch_of: dict[Value, int] = {}
        self.batches = [Batch("constants")]
        self.uncut: set[Value] = set()  # large products that go from step to step
        self.steps = -1
        self.readers = _readers(program)
        self._assign_batches()
        self.given: dict[Value, Place] = {}
        self._place_given()
        self.homes: dict[Value, list[Place]] = {}
        self.carried: list[Place] = []
        self._place_results()
        self.packed: dict[Any, Memory] = {}
        self.flag = self._flag()
        self.items = [self._items(i) for i in range(len(self.batches))]
        self._place_made()
        self.block_bytes = self._blocks()
        self.writers: list[Any] = []  # of the batches, once they are written

    def scratch_bytes(self, steps: int) -> int:
        """The scratch memory of a call."""
        moving = sum(((steps + 1) * size + 63) // 64 * 64 for size in self.moving)
        return 64 + moving + self.static

    def forget(self) -> None:
        """Drop the text, whose parts hold each other: nothing but the collector would free it."""
        self.module.functions.clear()
        self.writers.clear()

    # ── rows ─────────────────────────────────────────────────────────────────────────────

    def _rows(self) -> Rows | None:
        """How the steps are made row by row, if all of them are."""
        program = self.program
        length = batch_of(program)
        if not length:
            return None
        rows = Rows(length, program.carries)
        if not all(map(rows.add, program.step)):
            return None
        if not all(rows.reads_its_row(v, v) for v in program.new_carries):
            return None
        return rows

    def is_constant(self, x: Value) -> bool:
        """Whether a value depends on the constants alone, and is known before anything else."""
        x = root(x)
        return (x in self.given and self.given[x].memory.constant) or self.batch_of.get(x) == 0

    # ── batches ──────────────────────────────────────────────────────────────────────────

    def _assign_batches(self) -> None:
        program = self.program
        for v in program.before:
            if v.varies or v.op is numbers or is_view(v):
                self._assign(v)
            else:
                self._put(v, 0)
        first = len(self.batches)
        self.batches.append(Batch("steps", list(program.step)))
        for v in program.step:
            self.batch_of[v] = first
        self.steps = first
        for v in program.after:
            self._assign(v)
        #: Results that are views of something, and the batch that copies each.
        self.copied_in: dict[Value, int] = {}
        for v in (*program.stacked, *program.kept, *program.totals):
            if is_view(v):
                self.copied_in[v] = self._copied_in(v)

    def _copied_in(self, v: Value) -> int:
        at = self.batch_of.get(root(v))
        if root(v) in self.program.carries:
            at = self.steps
        if at is None:  # what is given
            busy = self.program.carries and v.varies and self._row_by_row is None
            return self.steps if busy else self._late_copies(v)
        if self.batches[at].kind == "product" or (at == self.steps and not self._in_steps(v)):
            return self._late_copies(v)
        return at

    def _late_copies(self, v: Value) -> int:
        """A batch that copies what others have made or were given."""
        if not v.varies and root(v) in self.program.constants:
            return 0
        self.batches.append(Batch("each" if v.varies else "once"))
        return len(self.batches) - 1

    def _in_steps(self, v: Value) -> bool:
        """Whether what the steps do to a view or a sum of v they can do row by row, if need be."""
        return self._row_by_row is None or self._row_by_row.reads_its_row(v, v)

    def _assign(self, v: Value) -> None:
        if is_view(v) or v.op is numbers:
            return  # it is made wherever it is read
        kind = "each" if v.varies else "once"
        if is_large(v) or v.op is total_matmul:
            kind = "product"
        elif v.op in TOTALS:
            kind = "each"
        if kind != "product" and self._joins_product(v):
            return
        least = 0
        for x in map(root, v.inputs):
            at = self.batch_of.get(x)
            if x in self.program.carries:
                at = self.steps
            if at is None:
                continue
            same = self.batches[at].kind
            in_step = same == "each" or (same == "steps" and self._in_steps(v.inputs[0]))
            if v.op is total_added_at and same == "steps":  # what has the rows mixes them
                in_step = self._row_by_row is None
            if v.op in TOTALS and in_step:
                least = max(least, at)
                if same == "steps":
                    kind = "steps"
                continue
            together = same == kind and kind != "product" and x.op not in TOTALS
            least = max(least, at if together else at + 1)
        if kind != "product":
            for i in range(least, len(self.batches)):
                if self.batches[i].kind == kind:
                    self._put(v, i)
                    return
        self.batches.append(Batch(kind))
        self._put(v, len(self.batches) - 1)

    def _put(self, v: Value, i: int) -> None:
        self.batches[i].values.append(v)
        self.batch_of[v] = i

    def _joins_product(self, v: Value) -> bool:
        """Let a large product start from what is added to it."""
        if v.op is not primitives.add:
            return False
        for x, y in (v.args, v.args[::-1]):
            if type(x) is not Value or type(y) is not Value or not is_large(x):
                continue
            at = self.batch_of.get(x)
            if at is None or len(self.batches[at].values) != 1 or self.readers[x] != 1:
                continue
            if (x.shape, x.dtype) != (v.shape, v.dtype) or y.dtype != v.dtype:
                continue
            if y.varies or math.prod(y.shape) != v.shape[-1] or y.shape[-1:] != v.shape[-1:]:
                continue
            if self.batch_of.get(root(y), -1) < at:
                self._put(v, at)
                return True
        return False

    def _items(self, i: int) -> list[Item]:
        batch = self.batches[i]
        if batch.kind == "product":
            product, made = batch.values[0], batch.values[-1]
            start = next((x for x in made.inputs if x is not product), None)
            return [Product(made, product, start if made is not product else None)]
        done = {*self.given}
        done |= {v for v, at in self.batch_of.items() if at < i}
        leaves = set(done)
        return grouped(batch.values, done, self.readers, leaves.__contains__)

    # ── memory ───────────────────────────────────────────────────────────────────────────

    def _place_given(self) -> None:
        program = self.program
        for v in program.constants:
            self._give(v, plain(self._argument(v, "one", len(self.given), True), v.shape))
        for v in program.made:
            if v.op is numbers:
                number = len(program.constants) + len(self.fixed)
                self.fixed.append(v.op.forward(**v.keywords))
                self._give(v, plain(self._argument(v, "one", number, True), v.shape))
        self.arguments = 0
        for values, slots, when in ((program.sequences, "T", "t"), (program.carries, "one", "")):
            for v in values:
                self._give(v, plain(self._argument(v, slots, self.arguments), v.shape, when))
                self.arguments += 1

    def _give(self, v: Value, place: Place) -> None:
        self.given[v] = place

    def _argument(self, v: Value, slots: str, number: int, constant: bool = False) -> Memory:
        kind, size = kind_of_value(v), math.prod(v.shape)
        return Memory(self.names[v], kind, size, slots, number, constant)

    def array(self, v: Value, slots: str, constant: bool = False) -> tuple[Memory, Result]:
        """An array that the caller makes."""
        source, made = ("once", self.once) if constant else ("made", self.made)
        result = Result(source, len(made), v.shape, v.dtype, slots)
        before = len(self.program.constants) + len(self.fixed)
        if not constant:
            before = len(self.program.sequences) + len(self.program.carries)
        made.append(result)
        return self._argument(v, slots, before + result.number, constant), result

    def position(self, memory: Memory) -> int:
        """Where an array stands among those of a call."""
        assert memory.argument is not None
        if memory.constant:
            return GIVEN + memory.argument
        constants = len(self.program.constants) + len(self.fixed) + len(self.once)
        return GIVEN + constants + memory.argument

    def scratch_memory(
        self, name: str, kind: str, slot: int, slots: str = "one", constant: bool = False
    ) -> Memory:
        memory = Memory(name, kind, slot, slots, constant=constant)
        if slots in ("T", "T + 1"):
            self.scratch[memory] = len(self.moving)
            self.moving.append(memory.size)
            return memory
        size = -(-memory.size * (2 if slots == "two" else 1) // 64) * 64
        if constant:
            self.scratch[memory] = self.constant
            self.constant += size
        else:
            self.scratch[memory] = self.static
            self.static += size
        return memory

    def _flag(self) -> Memory | None:
        """Where the code says that a number was wrong, if one may be."""
        if not any(v.op is confirmed for v in self.program.made):
            return None
        number = len(self.program.sequences) + len(self.program.carries) + len(self.made)
        self.made.append(Result("made", len(self.made), (1,), np.dtype(np.int64), "one"))
        return Memory("flag", "i64", 1, "one", number)

    def _blocks(self) -> list[int]:
        """Bytes that one large product after the other works in, for blocks of B and of A."""
        most = [0, 0]
        for batch, items in zip(self.batches, self.items, strict=True):
            if batch.kind == "product":
                (item,) = items
                assert isinstance(item, Product)
                large = self.large_of(item)
                y = item.product.args[1]
                inner = None if item.product.op is total_matmul else y.shape[0]
                sizes = large.scratch(inner, item.made.shape[-1])
                most = [max(x, n * SIZES[large.kind]) for x, n in zip(most, sizes, strict=True)]
        return [-(-n // 64) * 64 for n in most]

    def large_of(self, item: Product) -> Large:
        """The kernel of a large product."""
        v, y = item.made, item.product.args[1]
        kind, rows = kind_of_value(v), math.prod(v.shape[:-1])
        vectors, lanes = products.panel(kind, max(rows, 8), v.shape[-1])
        sizes = products.cut(rows, products.most_rows(vectors))
        kernel = sizes[0] if len(sizes) > 1 or rows >= 6 else min(8, products.most_rows(vectors))
        return Large(kind, kernel, vectors, lanes, self.is_constant(y))

    def _place_results(self) -> None:
        program = self.program
        self._elsewhere: set[Value] = set()
        for i, batch in enumerate(self.batches):
            for v in batch.values:
                for x in v.inputs:
                    x = root(x)
                    if x in program.carries and i != self.steps:
                        self._elsewhere.add(x)
                    if x in self.batch_of and self.batch_of[x] != i:
                        self._elsewhere.add(x)
        for v in program.new_carries:
            if self.batch_of.get(root(v)) != self.steps:
                self._elsewhere.add(root(v))
        for v, at in self.copied_in.items():
            if self.batch_of.get(root(v), self.steps) != at:
                self._elsewhere.add(root(v))
        wanted = {*program.stacked, *program.kept}
        self.ends: list[Memory] = []  # where the last carries go
        self.new_carries: list[Result] = []
        for v, new in zip(program.carries, program.new_carries, strict=True):
            if v in wanted:
                memory, _ = self.array(v, "T + 1")
            elif v in self._elsewhere:
                memory = self.scratch_memory(self.names[v], kind_of_value(v), size_of(v), "T + 1")
            else:
                memory = self.scratch_memory(self.names[v], kind_of_value(v), size_of(v), "two")
            self.carried.append(plain(memory, v.shape, "old"))
            if (
                memory.slots == "T + 1"
                and self.batch_of.get(new) == self.steps
                and not is_view(new)
            ):
                self.homes.setdefault(new, []).append(plain(memory, v.shape, "new"))
            end, result = self.array(v, "one")
            self.ends.append(end)
            self.new_carries.append(result)
        self.results: dict[Value, Result] = {}
        self.copies: list[tuple[Value, Place]] = []
        for v in (*program.stacked, *program.kept, *program.totals):
            if v not in self.results:
                self.results[v] = self._result(v)
        self.stacked = [self.results[v] for v in program.stacked]
        self.totals = [self.results[v] for v in program.totals]
        self.kept = [self.results[v] for v in program.kept]

    def _result(self, v: Value) -> Result:
        program = self.program
        if v in program.constants or v in program.sequences:
            number = (*program.constants, *program.sequences).index(v)
            return Result("given", number, v.shape, v.dtype, "T" if v.varies else "one")
        if v in program.carries:
            memory = self.carried[program.carries.index(v)].memory
            return self._part(memory, v, "old")
        for home in self.homes.get(v, ()):
            if home.memory.argument is not None:
                return self._part(home.memory, v, "new")
        constant = 0 in (self.batch_of.get(v), self.copied_in.get(v))
        memory, result = self.array(v, "T" if v.varies else "one", constant)
        place = plain(memory, v.shape, "t" if v.varies else "")
        if is_view(v) or v in self.given:
            self.copies.append((v, place))
        else:
            self.homes.setdefault(v, []).append(place)
        return result

    def _part(self, memory: Memory, v: Value, part: str) -> Result:
        """The first or the last T of the carries of all steps."""
        assert memory.argument is not None
        before = len(self.program.sequences) + len(self.program.carries)
        return Result("made", memory.argument - before, v.shape, v.dtype, "T + 1", part)

    def _place_made(self) -> None:
        """Where each value lies that anything but its own nest reads."""
        for i, items in enumerate(self.items):
            here = {v: item for item in items for v in made_by(item)}
            needed = self._needed(i, items, here)
            for v in sorted(here, key=lambda v: -v.number):
                if v in self._elsewhere and v.varies and not self._has_block(v):
                    size, strides = padded(v.shape, kind_of_value(v))
                    memory = self.scratch_memory(self.names[v], kind_of_value(v), size, "T")
                    # First, since others read the first: a part of another value may be one slot.
                    home = Place(memory, 0, strides, v.shape, "t")
                    self.homes.setdefault(v, []).insert(0, home)
                if v in needed and not self.homes.get(v):
                    size, strides = size_of(v), plain(_nowhere, v.shape).strides
                    memory = self.scratch_memory(
                        self.names[v], kind_of_value(v), size, constant=i == 0
                    )
                    self.homes[v] = [Place(memory, 0, strides, v.shape)]
                item = here[v]
                if isinstance(item, Assembly) and fills(v):
                    self._place_parts(v, here)

    def _has_block(self, v: Value) -> bool:
        return any(home.when for home in self.homes.get(v, ()))

    def _place_parts(self, whole: Value, here: dict[Value, Item]) -> None:
        """Let the parts of a value be written where they belong in it."""
        indices = part_indices(whole)
        assert indices is not None
        for x, index in zip(whole.inputs, indices, strict=True):
            if x in here and not is_view(x):
                place = part(self.homes[whole][0], index)
                if place is not None and place.shape == x.shape:
                    self.homes.setdefault(x, []).append(place)

    def _needed(self, i: int, items: Sequence[Item], here: dict[Value, Item]) -> set[Value]:
        """What has to lie in memory."""
        needed: set[Value] = set()
        for item in items:
            for v in made_by(item):
                if isinstance(item, (Assembly, Product)) or v.op in SUMS:
                    needed.add(v)
                product = item.product.inputs if isinstance(item, Product) else []
                for x in (*v.inputs, *product):
                    x = root(x)
                    if x in here and (here[x] is not item or x is not _direct(v, x)):
                        needed.add(x)
        program = self.program
        for v in (*program.results, *self._elsewhere):
            if root(v) in here:
                needed.add(root(v))
        for item in items:
            if isinstance(item, Nest):
                needed |= {v for v in item.members if reduced_axes(v) is not None}
        return needed


_nowhere = Memory("", "float", 0)


def _direct(v: Value, x: Value) -> Value | None:
    """x, if v reads it itself and not only views of it."""
    views = any(y is not x and root(y) is x for y in v.inputs)
    return None if views else x


def fills(v: Value) -> bool:
    return "indices" not in v.keywords or covers(v)


def made_by(item: Item) -> list[Value]:
    if isinstance(item, Nest):
        return item.members
    return [item.made]


def size_of(v: Value) -> int:
    return math.prod(v.shape)


def _readers(program: Program) -> dict[Value, int]:
    counts: dict[Value, int] = {}
    for v in program.made:
        for x in v.inputs:
            counts[x] = counts.get(x, 0) + 1
    for v in program.results:
        counts[v] = counts.get(v, 0) + 1
    return counts


__all__ = [
    "BLOCKS",
    "CONSTANTS",
    "PARAMETERS",
    "SCRATCH",
    "TOTALS",
    "Lowering",
    "Result",
    "fills",
    "made_by",
    "size_of",
]
