"""A program as LLVM IR: batches of loops and products, and the memory that they work in.

A *batch* is what runs together:

    once      values that are the same at every step
    each      for every step, in any order
    steps     for every step in its turn, with the carry
    product   one large product of all steps with a matrix, or a sum over all steps of products

Each batch is one function of the module. All take the same arguments: the arrays of a call (as the
addresses of NumPy's objects, whose first field is the address of their elements), T, whether time
runs backwards, and which part of how many: a large product is cut into parts by its rows, of which
each may run on a thread of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from ....graph import table
from ...ir import Program, Value, total, total_matmul
from ...names import Names
from ...passes.buffers import covers, part_indices
from . import products
from .engine import target
from .functions import LONG, Unsupported
from .groups import Assembly, Item, Nest, Product, grouped, reduced_axes, require, root
from .memory import Memory, Place, is_view, kind_of_value, padded, part, plain
from .passes import is_large, positions
from .products import Large
from .text import SIZES, Module, kind_of

#: Where in NumPy's array object the address of its elements stands.
DATA = object.__basicsize__

#: The numbers of the first two arrays of a call: what it works in, and what each part of it does.
SCRATCH, BLOCKS = -2, -1

#: From so many long functions on they are called, which is sooner compiled.
MANY = 12

PARAMETERS = ("ptr %arrays", "i64 %T", "i64 %reverse", "i64 %part", "i64 %parts")


@dataclass(eq=False)
class Batch:
    kind: str
    values: list[Value] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """How an array that a call returns comes about.

    Attributes:
        argument: its number among the arrays of the call; that of what it is a part of.
        shape, dtype: of one slot.
        slots: "one", "T", or "T + 1" of which it is the first T ("old") or the last ("new").
        part: "old", "new", or "" for the whole array.
        given: whether the caller brought it.
    """

    argument: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slots: str
    part: str = ""
    given: bool = False


class Lowering:
    """The text of a program, and what its caller has to bring.

    Attributes:
        module: the text.
        functions: the names of its functions, in the order in which they run.
        imported: addresses of the functions of other modules that it calls.
        fixed: arrays that it reads: after the constants, the sequences and the carries of a call.
        made: the arrays that the caller makes: after those.
        new_carries, stacked, totals, kept: what a call returns.
        static, moving: bytes of scratch memory that a call needs once, and for each of T + 1 steps.
    """

    def __init__(self, program: Program, names: Names):
        self.program, self.names = program, names
        for v in program.made:
            if v.op is not positions:
                require(v)
        for v in program.given:
            if kind_of(v.dtype) is None or math.prod(v.shape) == 0:
                raise Unsupported(f"{names[v]}: {v.dtype} {v.shape}")
        self.module = Module(target().attributes)
        long = sum(v.op is not None and v.op.scalar in LONG for v in program.made)
        self.module.many = long > MANY
        self.functions: list[str] = []
        self.imported: dict[str, int] = {}
        self.fixed: list[ndarray] = []
        self.made: list[Result] = []
        self.static = 0
        self.moving: list[int] = []
        self.scratch: dict[Memory, int] = {}
        self.batch_of: dict[Value, int] = {}
        self.batches: list[Batch] = []
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
        self.items = [self._items(i) for i in range(len(self.batches))]
        self._place_made()
        self.block_bytes = self.blocks()
        from .batch import BatchWriter

        for i in range(len(self.batches)):
            BatchWriter(self, i).write()
        run = self.module.function("run", PARAMETERS)
        for name in self.functions:
            run.write(f"call void @{name}({', '.join(PARAMETERS)})")
        #: For each batch the multiplications of a step, if it may be cut into parts; else 0.
        self.work = [self._work(items) for items in self.items]

    def _work(self, items: Sequence[Item]) -> int:
        if len(items) != 1 or not isinstance(items[0], Product):
            return 0
        v, y = items[0].made, items[0].product.args[1]
        return math.prod(v.shape) * int(y.shape[0]) if self._is_product(items[0]) else 0

    def _is_product(self, item: Product) -> bool:
        at = self.batch_of[item.product]
        return self.batches[at].kind == "product" and item.made not in self.uncut

    def scratch_bytes(self, steps: int) -> int:
        """The scratch memory of a call."""
        moving = sum(((steps + 1) * size + 63) // 64 * 64 for size in self.moving)
        return 64 + moving + self.static

    # ── batches ──────────────────────────────────────────────────────────────────────────

    def _assign_batches(self) -> None:
        program = self.program
        for v in program.before:
            self._assign(v)
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
        if at is None and v.varies:
            return self.steps
        if at is None or self.batches[at].kind == "product":
            self.batches.append(Batch("each" if v.varies else "once"))
            return len(self.batches) - 1
        return at

    def _assign(self, v: Value) -> None:
        if is_view(v) or v.op is positions:
            return  # it is made wherever it is read
        kind = "each" if v.varies else "once"
        if is_large(v) or v.op is total_matmul:
            kind = "product"
        elif v.op is total:
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
            if v.op is total and same in ("steps", "each"):
                least = max(least, at)
                if same == "steps":
                    kind = "steps"
                continue
            together = same == kind and kind != "product" and x.op is not total
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
        if v.op is not table["add"]:
            return False
        for x, y in (v.args, v.args[::-1]):
            if type(x) is not Value or type(y) is not Value or not is_large(x):
                continue
            at = self.batch_of.get(x)
            if at is None or len(self.batches[at].values) != 1 or self.readers[x] != 1:
                continue
            if (x.shape, x.dtype) != (v.shape, v.dtype) or y.dtype != v.dtype:
                continue
            if y.varies or math.prod(y.shape) != y.shape[-1] or y.shape[-1] != v.shape[-1]:
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
        program, number = self.program, 0
        for values, slots, when in (
            (program.constants, "one", ""),
            (program.sequences, "T", "t"),
            (program.carries, "one", ""),
        ):
            for v in values:
                memory = Memory(self.names[v], kind_of_value(v), math.prod(v.shape), slots, number)
                self.given[v] = plain(memory, v.shape, when)
                number += 1
        for v in program.made:
            if v.op is positions:
                self.fixed.append(v.op.forward(**v.keywords))
                memory = Memory(self.names[v], kind_of_value(v), math.prod(v.shape), "one", number)
                self.given[v] = plain(memory, v.shape)
                number += 1
        self.arguments = number

    def array(self, v: Value, slots: str) -> tuple[Memory, Result]:
        """An array that the caller makes."""
        result = Result(self.arguments, v.shape, v.dtype, slots)
        memory = Memory(self.names[v], kind_of_value(v), math.prod(v.shape), slots, self.arguments)
        self.made.append(result)
        self.arguments += 1
        return memory, result

    def scratch_memory(self, name: str, kind: str, slot: int, slots: str = "one") -> Memory:
        memory = Memory(name, kind, slot, slots)
        if slots in ("T", "T + 1"):
            self.scratch[memory] = len(self.moving)
            self.moving.append(memory.size)
        else:
            self.scratch[memory] = self.static
            self.static += -(-memory.size * (2 if slots == "two" else 1) // 64) * 64
        return memory

    def blocks(self) -> list[int]:
        """Bytes that one large product after the other works in, for blocks of B and of A."""
        most = [0, 0]
        for batch, items in zip(self.batches, self.items, strict=True):
            if batch.kind == "product":
                (item,) = items
                assert isinstance(item, Product)
                large, inner = large_of(item)
                sizes = large.scratch(inner, item.made.shape[-1])
                most = [max(a, b * SIZES[large.kind]) for a, b in zip(most, sizes, strict=True)]
        return [-(-n // 64) * 64 for n in most]

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
            end, given = self.array(v, "one")
            self.ends.append(end)
            self.new_carries.append(given)
        self.results: dict[Value, Result] = {}
        self.copies: list[tuple[Value, Place]] = []
        for v in (*program.stacked, *program.kept, *program.totals):
            if v not in self.results:
                self.results[v] = self._result(v)
        self.stacked = [self.results[v] for v in program.stacked]
        self.totals = [self.results[v] for v in program.totals]
        self.kept = [self.results[v] for v in program.kept]

    def _result(self, v: Value) -> Result:
        if v in self.given and v not in self.program.carries:
            memory = self.given[v].memory
            assert memory.argument is not None
            return Result(memory.argument, v.shape, v.dtype, memory.slots, given=True)
        if v in self.program.carries:
            memory = self.carried[self.program.carries.index(v)].memory
            assert memory.argument is not None
            return Result(memory.argument, v.shape, v.dtype, "T + 1", "old")
        for home in self.homes.get(v, ()):
            if home.memory.argument is not None:
                return Result(home.memory.argument, v.shape, v.dtype, "T + 1", "new")
        memory, result = self.array(v, "T" if v.varies else "one")
        place = plain(memory, v.shape, "t" if v.varies else "")
        if is_view(v):
            self.copies.append((v, place))
        else:
            self.homes.setdefault(v, []).append(place)
        return result

    def _place_made(self) -> None:
        """Where each value lies that anything but its own nest reads."""
        for i, items in enumerate(self.items):
            here = {v: item for item in items for v in made_by(item)}
            needed = self._needed(i, items, here)
            for v in sorted(here, key=lambda v: -v.number):
                if v in self._elsewhere and v.varies and not self._has_block(v):
                    size, strides = padded(v.shape, kind_of_value(v))
                    memory = self.scratch_memory(self.names[v], kind_of_value(v), size, "T")
                    self.homes.setdefault(v, []).append(Place(memory, 0, strides, v.shape, "t"))
                if v in needed and not self.homes.get(v):
                    size, strides = size_of(v), plain(_nowhere, v.shape).strides
                    memory = self.scratch_memory(self.names[v], kind_of_value(v), size)
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
                if isinstance(item, (Assembly, Product)) or v.op is total:
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


def large_of(item: Product) -> tuple[Large, int | None]:
    """The kernel of a large product, and the length of its inner axis where that is known."""
    v, y = item.made, item.product.args[1]
    kind, rows = kind_of_value(v), math.prod(v.shape[:-1])
    vectors, lanes = products.panel(kind, max(rows, 8), v.shape[-1])
    sizes = products.cut(rows, products.most_rows(vectors))
    kernel = sizes[0] if len(sizes) > 1 or rows >= 6 else min(8, products.most_rows(vectors))
    inner = None if item.product.op is total_matmul else y.shape[0]
    return Large(kind, kernel, vectors, lanes), inner


__all__ = [
    "BLOCKS",
    "DATA",
    "PARAMETERS",
    "SCRATCH",
    "Lowering",
    "Result",
    "fills",
    "large_of",
    "made_by",
    "size_of",
]
