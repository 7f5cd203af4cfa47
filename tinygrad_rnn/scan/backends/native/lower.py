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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from ....graph import table
from ...ir import CONSTANT, OverTime, Program, Value, total, total_matmul
from ...names import Names
from ...passes.buffers import covers, part_indices
from . import products
from .engine import target
from .functions import Unsupported
from .groups import Assembly, Item, Nest, Product, grouped, require, root
from .memory import Memory, Place, is_view, padded, part, plain, view
from .nests import Access, Axis, NestWriter, merged
from .passes import is_large, positions
from .products import ROWS, Kernel, Large
from .text import SIZES, Function, Lanes, Lines, Module, in_memory, kind_of

#: Where in NumPy's array object the address of its elements stands.
DATA = object.__basicsize__

#: The numbers of the first two arrays of a call: what it works in, and what each part of it does.
SCRATCH, BLOCKS = -2, -1

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
        for i in range(len(self.batches)):
            _BatchWriter(self, i).write()
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
                memory = Memory(self._free(v), _kind(v), math.prod(v.shape), slots, number)
                self.given[v] = plain(memory, v.shape, when)
                number += 1
        for v in program.made:
            if v.op is positions:
                self.fixed.append(v.op.forward(**v.keywords))
                memory = Memory(self._free(v), _kind(v), math.prod(v.shape), "one", number)
                self.given[v] = plain(memory, v.shape)
                number += 1
        self.arguments = number

    def _free(self, v: Value) -> str:
        return self.names[v]

    def array(self, v: Value, slots: str) -> tuple[Memory, Result]:
        """An array that the caller makes."""
        result = Result(self.arguments, v.shape, v.dtype, slots)
        memory = Memory(self._free(v), _kind(v), math.prod(v.shape), slots, self.arguments)
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

    def read_elsewhere(self, v: Value) -> bool:
        """Whether a value of the steps, or a carry, is read after them."""
        return v in self._elsewhere

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
                memory, result = self.array(v, "T + 1")
            elif v in self._elsewhere:
                memory, result = self.scratch_memory(self._free(v), _kind(v), _size(v), "T + 1"), None
            else:
                memory, result = self.scratch_memory(self._free(v), _kind(v), _size(v), "two"), None
            self.carried.append(plain(memory, v.shape, "old"))
            if memory.slots == "T + 1" and self.batch_of.get(new) == self.steps and not is_view(new):
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
            here = {v: item for item in items for v in _made_by(item)}
            needed = self._needed(i, items, here)
            for v in sorted(here, key=lambda v: -v.number):
                if v in self._elsewhere and v.varies and not self._has_block(v):
                    size, strides = padded(v.shape, _kind(v))
                    memory = self.scratch_memory(self._free(v), _kind(v), size, "T")
                    self.homes.setdefault(v, []).append(Place(memory, 0, strides, v.shape, "t"))
                if v in needed and not self.homes.get(v):
                    size, strides = _size(v), plain(_nowhere, v.shape).strides
                    memory = self.scratch_memory(self._free(v), _kind(v), size)
                    self.homes[v] = [Place(memory, 0, strides, v.shape)]
                item = here[v]
                if isinstance(item, Assembly) and _fills(v):
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
            for v in _made_by(item):
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
                needed |= {v for v in item.members if _is_reduction(v)}
        return needed


_nowhere = Memory("", "float", 0)


def _direct(v: Value, x: Value) -> Value | None:
    """x, if v reads it itself and not only views of it."""
    views = any(y is not x and root(y) is x for y in v.inputs)
    return None if views else x


def _is_reduction(v: Value) -> bool:
    from .groups import reduced_axes

    return reduced_axes(v) is not None


def _fills(v: Value) -> bool:
    return "indices" not in v.keywords or covers(v)


def _made_by(item: Item) -> list[Value]:
    if isinstance(item, Nest):
        return item.members
    return [item.made]


def _size(v: Value) -> int:
    return math.prod(v.shape)


def _kind(v: Value) -> str:
    kind = kind_of(v.dtype)
    assert kind is not None
    return kind


def _readers(program: Program) -> dict[Value, int]:
    counts: dict[Value, int] = {}
    for v in program.made:
        for x in v.inputs:
            counts[x] = counts.get(x, 0) + 1
    for v in program.results:
        counts[v] = counts.get(v, 0) + 1
    return counts


# ── one batch ────────────────────────────────────────────────────────────────────────────


class _BatchWriter:
    """Writes the function of a batch."""

    def __init__(self, lowering: Lowering, number: int):
        self.lowering, self.number = lowering, number
        self.batch, self.items = lowering.batches[number], lowering.items[number]
        self.program = lowering.program
        self.f = f = lowering.module.function(f"batch{number}_{self.batch.kind}", PARAMETERS)
        lowering.functions.append(f"batch{number}_{self.batch.kind}")
        self.bases: dict[Memory, str] = {}
        self.addresses: dict[Place, str] = {}
        self.copied: dict[Value, Place] = {}
        self.preamble: Lines = []
        f.lines.append(self.preamble)
        self.step_top: Lines | None = None

    # ── addresses ────────────────────────────────────────────────────────────────────────

    def base(self, memory: Memory) -> str:
        found = self.bases.get(memory)
        if found is None:
            with self.f.at(self.f.entry):
                found = self.bases[memory] = self._base(memory)
        return found

    def _object(self, number: int) -> str:
        """The address of the elements of an array."""
        at = self.f.pointer("i64", "%arrays", number + 2)
        array = self.f.let(f"load ptr, ptr {at}")
        field_ = self.f.let(f"getelementptr i8, ptr {array}, i64 {DATA}")
        return self.f.let(f"load ptr, ptr {field_}")

    def _aligned(self, address: str) -> str:
        """The first address from here that is a multiple of 64."""
        f = self.f
        number = f.let(f"ptrtoint ptr {address} to i64")
        number = f.let(f"add i64 {number}, 63")
        number = f.let(f"and i64 {number}, -64")
        return f.let(f"inttoptr i64 {number} to ptr")

    def _base(self, memory: Memory) -> str:
        f, lowering = self.f, self.lowering
        if memory.argument is not None:
            return self._object(memory.argument)
        if not hasattr(self, "_scratch"):
            self._scratch = self._aligned(self._object(SCRATCH))
        if not hasattr(self, "_offsets"):
            self._offsets = self._find_offsets()
        place = lowering.scratch[memory]
        if memory.slots in ("T", "T + 1"):
            return f.pointer("i8", self._scratch, self._offsets[place])
        return f.pointer("i8", self._scratch, self._offsets[-1], place)

    def _find_offsets(self) -> list[str | int]:
        """Where the blocks of all steps lie: one behind the other, each from a multiple of 64.

        After them comes what is needed once.
        """
        f, at = self.f, 0
        offsets: list[str | int] = [at]
        steps = f.let("add i64 %T, 1")
        for size in self.lowering.moving:
            bytes_ = f.let(f"add i64 {f.times(steps, size)}, 63")
            offsets.append(f.add(offsets[-1], f.let(f"and i64 {bytes_}, -64")))
        return offsets

    def address(self, place: Place) -> str:
        found = self.addresses.get(place)
        if found is None:
            lines = self.step_top if self.step_top is not None else self.preamble
            if not place.when or self.step_top is None:
                lines = self.preamble
            with self.f.at(lines):
                found = self.addresses[place] = self._address(place)
        return found

    def _address(self, place: Place) -> str:
        memory, f = place.memory, self.f
        base = self.base(memory)
        if not place.when:
            return f.pointer(memory.kind, base, place.offset)
        if self.step_top is None:
            raise Unsupported("all steps of a view that has to be copied")
        slot: str | int
        if memory.slots == "two":
            slot = f.let(f"and i64 {self.turn}, 1")
            if place.when == "new":
                slot = f.let(f"xor i64 {slot}, 1")
        elif place.when == "t":
            slot = self.t
        else:
            shift = "%reverse" if place.when == "old" else self.forwards
            slot = f.add(self.t, shift)
        return f.pointer(memory.kind, base, f.times(slot, memory.slot), place.offset)

    def block(self, place: Place) -> str:
        """The address of the first of all steps."""
        shift: str | int = 0
        if place.when == "old":
            shift = "%reverse"
        elif place.when == "new":
            shift = self.f.let("sub i64 1, %reverse")
        memory = place.memory
        return self.f.pointer(
            memory.kind, self.base(memory), self.f.times(shift, memory.slot), place.offset
        )

    # ── places ───────────────────────────────────────────────────────────────────────────

    def read(self, x: Value) -> Place:
        lowering = self.lowering
        if x in self.copied:
            return self.copied[x]
        if x in self.program.carries:
            return lowering.carried[self.program.carries.index(x)]
        if x in lowering.given:
            return lowering.given[x]
        if is_view(x):
            source = self.read(x.inputs[0])
            return view(source, x) or self.copy_of(x, source)
        return lowering.homes[x][0]

    def copy_of(self, x: Value, source: Place) -> Place:
        """A view that NumPy would copy: its source one behind the other, and viewed then."""
        (whole,) = x.inputs
        memory = self.lowering.scratch_memory(
            self.f.fresh("copy"), _kind(whole), math.prod(source.shape)
        )
        place = plain(memory, source.shape)
        self.copy(source, place)
        found = view(place, x)
        if found is None:
            raise Unsupported(f"{x.op} of {source.shape}")
        self.copied[x] = found
        return found

    def copy(self, source: Place, to: Place) -> None:
        """Write the elements of one place to another one of the same shape."""
        write_copy(self.f, source, to, self.address)

    # ── the whole ────────────────────────────────────────────────────────────────────────

    def write(self) -> None:
        kind = self.batch.kind
        if kind == "product":
            self.large(self.items[0])
        elif kind == "once":
            self.run(self.items)
        else:
            self.over_time()

    def over_time(self) -> None:
        f = self.f
        for v in self.batch.values:
            if v.op is total:
                self.clear(self.lowering.homes[v][0])
        self.forwards = f.let("sub i64 1, %reverse", "forwards")
        last = f.let("sub i64 %T, 1")
        self.first = f.let(f"mul i64 {last}, %reverse")
        twice = f.let("mul i64 %reverse, -2")
        self.direction = f.let(f"add i64 {twice}, 1", "direction")
        if self.batch.kind == "steps":
            self.first_carries()
        packs: Lines = []
        f.lines.append(packs)
        self.packs = packs
        with f.loop(0, "%T", stem="step") as loop:
            assert isinstance(loop.i, str)
            self.turn = loop.i
            shift = f.times(loop.i, self.direction)
            self.t = str(f.add(self.first, shift))
            self.step_top = []
            f.lines.append(self.step_top)
            self.run(self.items)
            if self.batch.kind == "steps":
                self.hand_on()
        self.step_top = None
        if self.batch.kind == "steps":
            self.last_carries()

    def run(self, items: Iterable[Item]) -> None:
        for item in items:
            self.comment(item)
            if isinstance(item, Nest):
                homes = self.lowering.homes
                NestWriter(
                    self.f, item, self.read, lambda v: homes.get(v, []), self.address
                ).write()
            elif isinstance(item, Product):
                self.product(item)
            else:
                self.assemble(item.made)
        lowering = self.lowering
        for v, place in lowering.copies:
            if lowering.copied_in[v] == self.number:
                self.copy(self.read(v), place)

    def comment(self, item: Item) -> None:
        names = self.lowering.names
        made = _made_by(item)
        self.f.comment(f"{', '.join(names[v] for v in made)}: {made[-1].shape}")

    # ── carries ──────────────────────────────────────────────────────────────────────────

    def _end_slot(self, place: Place, ends: str) -> str:
        """The address of the slot that the first step reads, or the last one has written."""
        memory, f = place.memory, self.f
        if memory.slots == "two":
            slot = 0 if ends == "first" else f.let("and i64 %T, 1")
        else:
            backwards = f.times("%T", "%reverse")
            slot = backwards if ends == "first" else f.let(f"sub i64 %T, {backwards}")
        return f.pointer(memory.kind, self.base(memory), f.times(slot, memory.slot))

    def first_carries(self) -> None:
        for v, place in zip(self.program.carries, self.lowering.carried, strict=True):
            source = self.base(self.lowering.given[v].memory)
            self.move(self._end_slot(place, "first"), source, place.memory.size)

    def hand_on(self) -> None:
        lowering = self.lowering
        for place, new in zip(lowering.carried, self.program.new_carries, strict=True):
            to = place._replace(when="new")
            if to not in lowering.homes.get(new, ()):
                self.copy(self.read(new), to)

    def last_carries(self) -> None:
        for place, end in zip(self.lowering.carried, self.lowering.ends, strict=True):
            self.move(self.base(end), self._end_slot(place, "last"), place.memory.size)

    def move(self, to: str, source: str, size: int) -> None:
        name = "llvm.memcpy.p0.p0.i64"
        self.lowering.module.declare(name, "void", ["ptr", "ptr", "i64", "i1"])
        self.f.write(f"call void @{name}(ptr {to}, ptr {source}, i64 {size}, i1 false)")

    def clear(self, place: Place) -> None:
        name = "llvm.memset.p0.i64"
        self.lowering.module.declare(name, "void", ["ptr", "i8", "i64", "i1"])
        base = self.base(place.memory)
        self.f.write(f"call void @{name}(ptr {base}, i8 0, i64 {place.memory.size}, i1 false)")

    # ── what is put together ─────────────────────────────────────────────────────────────

    def assemble(self, v: Value) -> None:
        place, *others = self.lowering.homes[v]
        indices = part_indices(v)
        assert indices is not None
        if not _fills(v):
            write_fill(self.f, place, self.address)
        for x, index in zip(v.inputs, indices, strict=True):
            to = part(place, index)
            if to is None:
                raise Unsupported(f"{v.op} at {index}")
            if to in self.lowering.homes.get(x, ()):
                continue
            source = self.read(x)
            if to.shape != source.shape:  # as NumPy broadcasts what is assigned
                source = source._replace(strides=source.along(to.shape), shape=to.shape)
            self.copy(source, to)
        for other in others:
            self.copy(place, other)

    # ── products ─────────────────────────────────────────────────────────────────────────

    def product(self, item: Product) -> None:
        """A product within a step: its matrix packed, then tile by tile."""
        f, v = self.f, item.made
        x, y = item.product.inputs if len(item.product.inputs) == 2 else item.product.args
        kind, columns, inner = _kind(v), y.shape[1], y.shape[0]
        rows = math.prod(v.shape[:-1])
        vectors, lanes = products.panel(kind, rows, columns)
        packed = self.pack(y, kind, vectors, lanes)
        a, a_row, a_column = self.rows_of(x, rows)
        start, start_row = "null", 0
        if item.start is not None:
            start, start_row = self.start(item.start, v, rows)
        homes = self.lowering.homes[v]
        home = next((h for h in homes if _row_stride(h, rows) is not None), None)
        if home is None:
            home = plain(self.lowering.scratch_memory(f.fresh("c"), kind, _size(v)), v.shape)
        c, c_row = self.address(home), _row_stride(home, rows)
        assert c_row is not None
        pieces = _runs(products.cut(rows, products.most_rows(vectors)))
        with f.loop(0, columns, vectors * lanes, stem="column") as j:
            left = columns - j.i if isinstance(j.i, int) else f.let(f"sub i64 {columns}, {j.i}")
            panel = f.pointer(kind, packed, f.times(j.i, inner))
            to = f.pointer(kind, c, j.i)
            begin = start if start == "null" else f.pointer(kind, start, j.i)
            for first, stop, size in pieces:
                kernel = Kernel(kind, size, vectors, lanes)
                self.use(kernel)
                with f.loop(first, stop, size, stem="row") as i:
                    from_ = (
                        begin
                        if begin == "null"
                        else f.pointer(kind, begin, f.times(i.i, start_row))
                    )
                    f.write(
                        "  ".strip()
                        + products.call(
                            kernel,
                            inner,
                            (f.pointer(kind, a, f.times(i.i, a_row)), a_row, a_column),
                            panel,
                            (from_, start_row),
                            (f.pointer(kind, to, f.times(i.i, c_row)), c_row),
                            left,
                        )
                    )
        for other in homes:
            if other is not home:
                self.copy(home, other)

    def use(self, kernel: Kernel) -> None:
        products.declare(self.lowering.module, kernel)
        self.lowering.imported[kernel.name] = products.address(kernel)

    def pack(self, y: Value, kind: str, vectors: int, lanes: int) -> str:
        """The matrix in panels: once, or at each step where it varies."""
        lowering, f = self.lowering, self.f
        inner, columns = y.shape
        name = products.pack_name(kind, vectors, lanes)
        lowering.module.declare(
            name, "void", [p.split(" %")[0] for p in products.PACK_PARAMETERS]
        )
        lowering.imported[name] = products.pack_address(kind, vectors, lanes)
        size = products.packed_size(inner, columns, vectors, lanes)
        key = (self.number, y, vectors, lanes)
        once = not y.varies and self.step_top is not None
        if key in lowering.packed and once:
            return self.base(lowering.packed[key])
        memory = lowering.packed[key] = lowering.scratch_memory(
            f"{lowering.names[y]}_packed", kind, size
        )
        base = self.base(memory)
        source = self.read(y)
        call = (
            f"call void @{name}(i64 {inner}, i64 {columns}, ptr {{}}, i64 {source.strides[0]}, "
            f"i64 {source.strides[1]}, ptr {base})"
        )
        address = self.address(source)
        if once and not source.when and not is_copied(self, y):
            with f.at(self.packs):
                f.write(call.format(address))
        else:
            f.write(call.format(address))
        return base

    def rows_of(self, x: Value, rows: int) -> tuple[str, int, int]:
        """The address of a value as rows, and the strides of its rows and columns."""
        place = self.read(x)
        row = _row_stride(place, rows, any_column=True)
        if row is None:
            to = plain(
                self.lowering.scratch_memory(self.f.fresh("copy"), _kind(x), _size(x)), x.shape
            )
            self.copy(place, to)
            place, row = to, x.shape[-1]
        return self.address(place), row, place.strides[-1]

    def start(self, x: Value, v: Value, rows: int) -> tuple[str, int]:
        place = self.read(x)
        wide = place._replace(strides=place.along(v.shape), shape=v.shape)
        row = _row_stride(wide, rows)
        if row is None:
            memory = self.lowering.scratch_memory(self.f.fresh("start"), _kind(v), _size(v))
            to = plain(memory, v.shape)
            self.copy(wide, to)
            wide, row = to, v.shape[-1]
        return self.address(wide), row

    def large(self, item: Item) -> None:
        """A product of all steps: by blocks of both matrices."""
        assert isinstance(item, Product)
        f, v, lowering = self.f, item.made, self.lowering
        x, y = item.product.inputs if len(item.product.inputs) == 2 else item.product.args
        kind = _kind(v)
        summed = item.product.op is total_matmul
        columns, rows = v.shape[-1], math.prod(v.shape[:-1])
        large, _ = large_of(item)
        lowering.module.declare(
            large.name, "void", [p.split(" %")[0] for p in products.LARGE_PARAMETERS]
        )
        lowering.imported[large.name] = products.large_address(large)
        with f.at(f.entry):
            blocks = self._aligned(self._object(BLOCKS))
        mine = f.pointer("i8", blocks, f.times("%part", sum(lowering.block_bytes)))
        scratch = f"ptr {mine}, ptr {f.pointer('i8', mine, lowering.block_bytes[0])}"
        a, b, c = self.read(x), self.read(y), lowering.homes[v][0]
        start, start_row = "null", 0
        if item.start is not None:
            place = self.read(item.start)
            if place.strides[-1] != 1:
                memory = lowering.scratch_memory(f.fresh("start"), kind, columns)
                to = plain(memory, place.shape)
                self.copy(place, to)
                place = to
            start = self.block(place)
        if summed:
            inner = y.shape[0]
            whole = _merges(a, 1, inner) and _merges(b, 0, inner)
            a_row, a_column, b_row = a.strides[0], a.strides[1], b.strides[0]
            c_row = c.strides[0]
            if inner == 1:
                a_column, b_row = a.memory.slot, b.memory.slot
            if whole:
                self.call_large(
                    large, rows, f.times("%T", inner), columns, (self.block(a), a_row, a_column),
                    (self.block(b), b_row, b.strides[1]), ("null", 0), (self.block(c), c_row),
                    scratch, cut=True,
                )  # fmt: skip
                return
            lowering.uncut.add(v)
            self.clear(c)
            to = self.block(c)
            first_a, first_b = self.block(a), self.block(b)
            with f.loop(0, "%T", stem="t") as t:
                at = f.pointer(kind, first_a, f.times(t.i, a.memory.slot))
                bt = f.pointer(kind, first_b, f.times(t.i, b.memory.slot))
                self.call_large(
                    large, rows, inner, columns, (at, a_row, a.strides[1]),
                    (bt, b.strides[0], b.strides[1]), (to, c_row), (to, c_row), scratch,
                )  # fmt: skip
            return
        inner = y.shape[0]
        a_row, c_row = _row_stride(a, rows, any_column=True), _row_stride(c, rows)
        if a_row is None or c_row is None:
            raise Unsupported("rows of a large product that do not lie in a row")
        if rows == 1:
            a_row, c_row = a.memory.slot, c.memory.slot
        second = (self.block(b), b.strides[0], b.strides[1])
        if a_row * rows == a.memory.slot and c_row * rows == c.memory.slot:
            self.call_large(
                large, f.times("%T", rows), inner, columns,
                (self.block(a), a_row, a.strides[-1]), second, (start, start_row),
                (self.block(c), c_row), scratch, cut=True,
            )  # fmt: skip
            return
        lowering.uncut.add(v)
        first_a, first_c = self.block(a), self.block(c)
        with f.loop(0, "%T", stem="t") as t:
            at = f.pointer(kind, first_a, f.times(t.i, a.memory.slot))
            ct = f.pointer(kind, first_c, f.times(t.i, c.memory.slot))
            self.call_large(
                large, rows, inner, columns, (at, a_row, a.strides[-1]), second,
                (start, start_row), (ct, c_row), scratch,
            )  # fmt: skip

    def call_large(
        self,
        large: Large,
        rows: str | int,
        inner: str | int,
        columns: int,
        a: tuple[str, int, int],
        b: tuple[str, int, int],
        start: tuple[str, int],
        c: tuple[str, int],
        scratch: str,
        cut: bool = False,
    ) -> None:
        f, kind = self.f, large.kind
        if cut:  # whole kernels to each part
            share = f.let(f"sdiv i64 {rows}, %parts")
            share = f.let(f"sdiv i64 {share}, {ROWS}")
            share = f.times(f.let(f"add i64 {share}, 1"), ROWS)
            first = f.times("%part", share)
            left = f.let(f"sub i64 {rows}, {first}")
            rows = f.least(left, share)
            a = (f.pointer(kind, a[0], f.times(first, a[1])), a[1], a[2])
            c = (f.pointer(kind, c[0], f.times(first, c[1])), c[1])
            if start[1]:
                start = (f.pointer(kind, start[0], f.times(first, start[1])), start[1])
        self.f.write(
            f"call void @{large.name}(i64 {rows}, i64 {inner}, i64 {columns}, "
            f"ptr {a[0]}, i64 {a[1]}, i64 {a[2]}, ptr {b[0]}, i64 {b[1]}, i64 {b[2]}, "
            f"ptr {start[0]}, i64 {start[1]}, ptr {c[0]}, i64 {c[1]}, {scratch})"
        )


def large_of(item: Product) -> tuple[Large, int | None]:
    """The kernel of a large product, and the length of its inner axis where that is known."""
    v, y = item.made, item.product.args[1]
    kind, rows = _kind(v), math.prod(v.shape[:-1])
    vectors, lanes = products.panel(kind, max(rows, 8), v.shape[-1])
    sizes = products.cut(rows, products.most_rows(vectors))
    kernel = sizes[0] if len(sizes) > 1 or rows >= 6 else min(8, products.most_rows(vectors))
    inner = None if item.product.op is total_matmul else y.shape[0]
    return Large(kind, kernel, vectors, lanes), inner


def is_copied(writer: _BatchWriter, y: Value) -> bool:
    return y in writer.copied


def _merges(place: Place, axis: int, n: int) -> bool:
    """Whether an axis of length n goes on from one step to the next."""
    return n == 1 or place.strides[axis] * n == place.memory.slot


def _row_stride(place: Place, rows: int, any_column: bool = False) -> int | None:
    """The stride of the rows (all axes but the last); None where they have no single one."""
    if not place.shape:
        return None
    columns = place.strides[-1]
    if not any_column and columns != 1 and place.shape[-1] != 1:
        return None
    if rows == 1:
        return max(place.shape[-1], 1)
    leading = [(n, s) for n, s in zip(place.shape[:-1], place.strides[:-1], strict=True) if n != 1]
    for (_, outer), (n, inner) in zip(leading, leading[1:], strict=False):
        if outer != n * inner:
            return None
    return leading[-1][1]


def _runs(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """Sizes of pieces as (first row, end, size), one for each run of equal ones."""
    runs: list[tuple[int, int, int]] = []
    at = 0
    for size in sizes:
        if runs and runs[-1][2] == size:
            runs[-1] = (runs[-1][0], at + size, size)
        else:
            runs.append((at, at + size, size))
        at += size
    return runs


# ── copies ───────────────────────────────────────────────────────────────────────────────


def write_copy(f: Function, source: Place, to: Place, address: Any) -> None:
    kind = source.memory.kind
    accesses = [
        Access(kind, address(source), source.along(to.shape)),
        Access(kind, address(to), to.strides),
    ]
    _write_simple(f, kind, to.shape, accesses)


def write_fill(f: Function, to: Place, address: Any) -> None:
    _write_simple(f, to.memory.kind, to.shape, [Access(to.memory.kind, address(to), to.strides)])


def _write_simple(f: Function, kind: str, shape: tuple[int, ...], accesses: list[Access]) -> None:
    """Copy one access to another one, or fill it with zeros."""
    axes = merged(shape, (), accesses)
    lanes = target().lanes(kind) if axes else 1
    while lanes > 1 and lanes // 2 >= axes[-1].size:
        lanes //= 2
    _copy_level(f, Lanes(f, lanes), kind, axes, [a.address for a in accesses], None)


def _copy_level(
    f: Function, v: Lanes, kind: str, axes: list[Axis], pointers: list[str], mask: str | None
) -> None:
    """The loops over these axes, and within them the copy."""
    axis, *inner = axes or [Axis(1, False, [1] * len(pointers))]
    step = 1 if inner else v.width
    with f.loop(0, axis.size, step) as loop:
        if not inner and axis.size % v.width:
            mask = v.mask(loop.i, axis.size)
        pointers = [
            f.pointer(kind, p, f.times(loop.i, s))
            for p, s in zip(pointers, axis.strides, strict=True)
        ]
        if inner:
            _copy_level(f, v, kind, inner, pointers, mask)
            return
        strides = [1 if v.width == 1 else s for s in axis.strides]
        if len(pointers) == 1:
            x = v.all(0, kind)
        else:
            x = v.load(kind, pointers[0], strides[0], mask)
        v.store(kind, x, pointers[-1], strides[-1], mask)


__all__ = ["DATA", "Lowering", "Result"]
