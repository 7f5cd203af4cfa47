"""Lower a program to LLVM IR: cut it into batches, and choose the memory of every value.

A *batch* is a group of operations that run together. Its kind is one of

    constants   values that depend on the constants alone: once per set of constants
    once        other values that are the same at every step
    each        values of every step, computed in any order
    steps       the loop over time with the carry
    product     one large product of all steps with a matrix, or a sum of products over all steps

Each batch is one function of the module. Batches that do not depend on each other form a *stage*
(see ``stages``), which threads can share. A large product is split by its rows, the steps are split
by the sequences of the batch (see ``rows``), and any other batch runs on one thread.

All functions take the same arguments: ``arrays``, the address of a Python tuple of NumPy arrays
(the code reads the addresses of the elements from these objects); T; whether time runs backwards;
and the number of this part and of all parts. The arrays are, in this order,

    scratch memory    for intermediate values of a call
    blocks            for each part of a large product
    constant memory   for values computed from the constants
    the constants, the fixed arrays, and results that depend on these alone
    the sequences, the carries, and the arrays that a call allocates
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
from .groups import SUMS, Assembly, Item, Nest, Product, group, reduced_axes, require, root
from .indices import confirmed, numbers, total_added_at
from .memory import Memory, Place, is_view, kind_of_value, padded, part, plain
from .passes import is_large
from .products import Large
from .rows import Rows, batch_of
from .text import SIZES, Module, kind_of

#: The indices of the first arrays of a call; ``GIVEN`` is that of the first constant.
SCRATCH, BLOCKS, CONSTANTS, GIVEN = range(4)

#: With more long functions than this, they are called instead of inlined, to compile faster.
MANY = 12

TOTALS = (total, total_added_at)

PARAMETERS = ("ptr %arrays", "i64 %T", "i64 %reverse", "i64 %part", "i64 %parts")


@dataclass(eq=False)
class Batch:
    """A group of operations that run together; for the kinds see the head of this file."""

    kind: str
    values: list[Value] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """Where a result of a call is found. A slot holds the array of one time step.

    Attributes:
        source: the list that holds the array: "given" (the constants and sequences of a call),
            "allocated" or "once".
        number: its index in that list.
        shape, dtype: those of one slot.
        slots: the number of slots: "one", "T" or "T + 1".
        part: "old" for the first T of T + 1 slots, "new" for the last T, "" for the whole array.
    """

    source: str
    number: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slots: str
    part: str = ""


class Lowering:
    """A program cut into batches, the memory of its values, and the arrays that a call needs.

    Args:
        program: the program after all passes.
        names: the names of its values.

    Attributes:
        module: the text.
        imported: the addresses of functions in other modules that it calls.
        fixed: arrays of its own that it reads; they follow the constants of a call.
        once: arrays that the caller allocates once per set of constants; they follow the fixed.
        allocated: arrays that the caller allocates for a call; they follow the carries.
        flag: the last of these, if a number can be wrong. It is 0 before the call, and 1 after a
            wrong number.
        new_carries, stacked, totals, kept: the results of a call.
        static: the bytes of scratch memory that a call needs once.
        moving: the sizes of the blocks of scratch memory, in bytes for each of T + 1 steps.
        constant: the bytes of constant memory.
        rows: the number of sequences in the batch, if threads can share them; else 0.
        homes: the places that each computed value is written to. Readers read the first.
    """

    def __init__(self, program: Program, names: Names):
        self.program, self.names = program, names
        for v in program.computed:
            # Refuse before anything is written: a plan runs on one back end as a whole.
            if v.op is not numbers:
                require(v)
        for v in program.inputs:
            if kind_of(v.dtype) is None or math.prod(v.shape) == 0:
                raise Unsupported(f"{names[v]}: {v.dtype} {v.shape}")
        self.module = Module(target().attributes)
        long = sum(v.op is not None and v.op.scalar in LONG for v in program.computed)
        self.module.many = long > MANY
        self.imported: dict[str, int] = {}
        self.fixed: list[ndarray] = []
        self.once: list[Result] = []
        self.allocated: list[Result] = []
        self.static = self.constant = 0
        self.moving: list[int] = []
        self.scratch: dict[Memory, int] = {}
        self._row_by_row = self._rows()
        self.rows = 0 if self._row_by_row is None else self._row_by_row.rows
        self.batch_of: dict[Value, int] = {}
        # Number 0. For h = tanh(x W' + b + h U'), y = h V' the others are
        #
        #     forward   1 product x W'   2 steps           3 product h V'
        #     backward  1 product dy V   2 steps (for dh)  3 each db   4, 5, 6 product dW, dU, dV
        self.batches = [Batch("constants")]
        self.uncut: set[Value] = (
            set()
        )  # large products that run step by step, so threads cannot share them
        self.steps = -1
        self.readers = _readers(program)
        self._assign_batches()
        self.input_places: dict[Value, Place] = {}
        self._place_given()
        self.homes: dict[Value, list[Place]] = {}
        self.carried: list[Place] = []
        self._place_results()
        self.packed: dict[Any, Memory] = {}
        self.flag = self._flag()
        self.items = [self._items(i) for i in range(len(self.batches))]
        self._place_computed()
        self.block_bytes = self._blocks()
        self.writers: list[Any] = []  # the writer of each batch

    def scratch_bytes(self, steps: int) -> int:
        """The bytes of scratch memory that a call needs."""
        moving = sum(((steps + 1) * size + 63) // 64 * 64 for size in self.moving)
        return 64 + moving + self.static

    def forget(self) -> None:
        """Drop the text. Its objects form cycles, which only the garbage collector would free."""
        # Without cycles a plan is freed as soon as nobody holds it.
        self.module.functions.clear()
        self.writers.clear()

    # ── rows ─────────────────────────────────────────────────────────────────────────────

    def _rows(self) -> Rows | None:
        """The analysis of rows, if all values of the step have independent rows; else None."""
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
        """Whether a value depends on the constants alone."""
        x = root(x)
        return (
            x in self.input_places and self.input_places[x].memory.constant
        ) or self.batch_of.get(x) == 0

    # ── batches ──────────────────────────────────────────────────────────────────────────

    def _assign_batches(self) -> None:
        """Put every value of the program into a batch, section by section."""
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
        #: The results that are views, and the number of the batch that copies each of them.
        self.copied_in: dict[Value, int] = {}
        for v in (*program.stacked, *program.kept, *program.totals):
            if is_view(v):
                self.copied_in[v] = self._copied_in(v)

    def _copied_in(self, v: Value) -> int:
        """The batch that copies a result that is a view."""
        at = self.batch_of.get(root(v))
        if root(v) in self.program.carries:
            at = self.steps
        if at is None:  # a view of an input
            # The steps can copy it on their way, unless threads share the rows: these need not be
            # the rows of an input.
            busy = self.program.carries and v.varies and self._row_by_row is None
            return self.steps if busy else self._late_copies(v)
        # A product has no loop that could copy.
        if self.batches[at].kind == "product" or (at == self.steps and not self._in_steps(v)):
            return self._late_copies(v)
        return at

    def _late_copies(self, v: Value) -> int:
        """A batch that copies a view of an input, or of a value of an earlier batch."""
        if not v.varies and root(v) in self.program.constants:
            return 0
        self.batches.append(Batch("each" if v.varies else "once"))
        return len(self.batches) - 1

    def _in_steps(self, v: Value) -> bool:
        """Whether the steps can copy or sum v row by row, if threads share the rows."""
        return self._row_by_row is None or self._row_by_row.reads_its_row(v, v)

    def _assign(self, v: Value) -> None:
        """Put a value into the earliest batch of its kind in which all its operands are ready.

        An elementwise value may be in the batch of its operands. A product, and a reader of a
        product, need a later batch. A sum over time may be computed in the loop of its operand.
        """
        if is_view(v) or v.op is numbers:
            return  # a view is no operation here: its readers compute the addresses
        kind = "each" if v.varies else "once"
        if is_large(v) or v.op is total_matmul:
            kind = "product"
        elif v.op in TOTALS:
            kind = "each"
        if kind != "product" and self._joins_product(v):
            return
        # The earliest batch that may hold v, by the batches of its operands.
        least = 0
        for x in map(root, v.inputs):
            at = self.batch_of.get(x)
            if x in self.program.carries:
                at = self.steps
            if at is None:
                continue
            # A sum over time is added up in the loop that computes its operand, if there is one:
            # then the operand need not be stored for all steps.
            same = self.batches[at].kind
            in_step = same == "each" or (same == "steps" and self._in_steps(v.inputs[0]))
            if (
                v.op is total_added_at and same == "steps"
            ):  # adding at computed places mixes the rows
                in_step = self._row_by_row is None
            if v.op in TOTALS and in_step:
                least = max(least, at)
                if same == "steps":
                    kind = "steps"
                continue
            # A sum over time is complete only after its loop, so its readers need a later batch.
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
        """If v adds a bias to a large product, let the product start from the bias."""
        if v.op is not primitives.add:
            return False
        # A kernel can start its sums from one row instead of 0 (see ``products``). So y must be one
        # row, the same at every step, and known before the product runs. Nothing else may read x,
        # which is never stored.
        for x, y in (v.args, v.args[::-1]):
            if type(x) is not Value or type(y) is not Value or not is_large(x):
                continue
            at = self.batch_of.get(x)
            # Two values: it starts from a bias already.
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
        """The nests, products and assemblies of a batch, in the order in which they run."""
        batch = self.batches[i]
        if batch.kind == "product":
            product, result = batch.values[0], batch.values[-1]
            start = next((x for x in result.inputs if x is not product), None)
            return [Product(result, product, start if result is not product else None)]
        done = {*self.input_places}
        # All that earlier batches computed lies in memory when this batch begins.
        done |= {v for v, at in self.batch_of.items() if at < i}
        leaves = set(done)
        return group(batch.values, done, self.readers, leaves.__contains__)

    # ── memory ───────────────────────────────────────────────────────────────────────────

    def _place_given(self) -> None:
        """Give the constants, the fixed arrays, the sequences and the carries their memory."""
        program = self.program
        for v in program.constants:
            self._give(v, plain(self._argument(v, "one", len(self.input_places), True), v.shape))
        for v in program.computed:
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
        self.input_places[v] = place

    def _argument(self, v: Value, slots: str, number: int, constant: bool = False) -> Memory:
        kind, size = kind_of_value(v), math.prod(v.shape)
        return Memory(self.names[v], kind, size, slots, number, constant)

    def array(self, v: Value, slots: str, constant: bool = False) -> tuple[Memory, Result]:
        """Memory for an array that the caller allocates, and how it is returned."""
        source, arrays = ("once", self.once) if constant else ("allocated", self.allocated)
        result = Result(source, len(arrays), v.shape, v.dtype, slots)
        before = len(self.program.constants) + len(self.fixed)
        if not constant:
            before = len(self.program.sequences) + len(self.program.carries)
        arrays.append(result)
        return self._argument(v, slots, before + result.number, constant), result

    def position(self, memory: Memory) -> int:
        """The index of an array among all arrays of a call."""
        assert memory.argument is not None
        if memory.constant:
            return GIVEN + memory.argument
        constants = len(self.program.constants) + len(self.fixed) + len(self.once)
        return GIVEN + constants + memory.argument

    def scratch_memory(
        self, name: str, kind: str, slot: int, slots: str = "one", constant: bool = False
    ) -> Memory:
        """Reserve scratch memory, or constant memory; the pieces start at multiples of 64."""
        # Where a block of T slots begins depends on T, so the code computes it
        # (``Places._find_offsets``). All other offsets are known now.
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
        """The memory of the flag for wrong numbers, if a number can be wrong."""
        if not any(v.op is confirmed for v in self.program.computed):
            return None
        # The last array, since ``NativeLoop`` clears ``allocated[-1]``.
        number = len(self.program.sequences) + len(self.program.carries) + len(self.allocated)
        self.allocated.append(
            Result("allocated", len(self.allocated), (1,), np.dtype(np.int64), "one")
        )
        return Memory("flag", "i64", 1, "one", number)

    def _blocks(self) -> list[int]:
        """The bytes of working memory for large products: the block of B, and the block of A.

        All products use the same memory, one after the other.
        """
        most = [0, 0]
        for batch, items in zip(self.batches, self.items, strict=True):
            if batch.kind == "product":
                (item,) = items
                assert isinstance(item, Product)
                large = self.large_of(item)
                y = item.product.args[1]
                inner = None if item.product.op is total_matmul else y.shape[0]
                sizes = large.scratch(inner, item.result.shape[-1])
                most = [max(x, n * SIZES[large.kind]) for x, n in zip(most, sizes, strict=True)]
        return [-(-n // 64) * 64 for n in most]

    def large_of(self, item: Product) -> Large:
        """The kernel of a large product."""
        v, y = item.result, item.product.args[1]
        kind, rows = kind_of_value(v), math.prod(v.shape[:-1])
        # All steps are multiplied at once, so there are many rows even if each step has one.
        vectors, lanes = products.panel(kind, max(rows, 8), v.shape[-1])
        sizes = products.cut(rows, products.most_rows(vectors))
        # If the kernel's rows divide those of a step, then they divide those of all steps too.
        kernel = sizes[0] if len(sizes) > 1 or rows >= 6 else min(8, products.most_rows(vectors))
        unfilled = products.unfilled(v.shape[-1], vectors, lanes)
        return Large(kind, kernel, vectors, lanes, self.is_constant(y), unfilled)

    def _place_results(self) -> None:
        """Choose the memory of carries and results.

        A carry that only the steps read has two slots, which take turns. A carry that is a result,
        or that other batches read, has T + 1.
        """
        program = self.program
        # Phase 1: which values do other batches read? These need a slot for each step.
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
        # Phase 2: the carries.
        wanted = {*program.stacked, *program.kept}
        self.ends: list[Memory] = []  # the memory of the last carries
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
            # The caller gets an array of its own for the last carry: scratch memory is freed after
            # the call.
            end, result = self.array(v, "one")
            self.ends.append(end)
            self.new_carries.append(result)
        # Phase 3: all other results, each once, even if it is returned in several places.
        self.results: dict[Value, Result] = {}
        self.copies: list[tuple[Value, Place]] = []
        for v in (*program.stacked, *program.kept, *program.totals):
            if v not in self.results:
                self.results[v] = self._result(v)
        self.stacked = [self.results[v] for v in program.stacked]
        self.totals = [self.results[v] for v in program.totals]
        self.kept = [self.results[v] for v in program.kept]

    def _result(self, v: Value) -> Result:
        """How a result is returned. Memory that holds it already is used if possible."""
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
        if is_view(v) or v in self.input_places:
            # No operation writes a view, so a batch copies it (``copied_in``). All others are
            # written here.
            self.copies.append((v, place))
        else:
            self.homes.setdefault(v, []).append(place)
        return result

    def _part(self, memory: Memory, v: Value, part: str) -> Result:
        """The first T or the last T of the T + 1 slots of a carry."""
        assert memory.argument is not None
        before = len(self.program.sequences) + len(self.program.carries)
        return Result("allocated", memory.argument - before, v.shape, v.dtype, "T + 1", part)

    def _place_computed(self) -> None:
        """Choose the memory of each value that is read outside of its own nest."""
        for i, items in enumerate(self.items):
            here = {v: item for item in items for v in made_by(item)}
            needed = self._needed(i, items, here)
            # A whole has a larger number than its parts. It comes first, so that parts can be
            # placed in it.
            for v in sorted(here, key=lambda v: -v.number):
                if v in self._elsewhere and v.varies and not self._has_block(v):
                    # Another batch reads it at all steps, so it gets a slot for each.
                    size, strides = padded(v.shape, kind_of_value(v))
                    memory = self.scratch_memory(self.names[v], kind_of_value(v), size, "T")
                    # First in the list, since readers use the first home, and the others may be
                    # parts of a value with a single slot.
                    home = Place(memory, 0, strides, v.shape, "t")
                    self.homes.setdefault(v, []).insert(0, home)
                # Used within the batch only: one piece of memory serves all steps.
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
        """Let the parts of a value be written straight into it."""
        indices = part_indices(whole)
        assert indices is not None
        for x, index in zip(whole.inputs, indices, strict=True):
            if x in here and not is_view(x):
                # For h = concatenate(a, b): a and b are written straight into h, and the assembly
                # copies nothing.
                place = part(self.homes[whole][0], index)
                if place is not None and place.shape == x.shape:
                    self.homes.setdefault(x, []).append(place)

    def _needed(self, i: int, items: Sequence[Item], here: dict[Value, Item]) -> set[Value]:
        """The values of a batch that must lie in memory, not only in registers."""
        needed: set[Value] = set()
        for item in items:
            for v in made_by(item):
                # A value may stay in registers if only its own nest reads it, element by element:
                #
                #     y = tanh(x); z = y * y       y stays in a register
                #     z = y * y.T                  y lies in memory: z[i, j] reads y[j, i]
                #     z = y @ W                    y lies in memory: another item reads it
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
    """x, if v reads no view of it; else None."""
    views = any(y is not x and root(y) is x for y in v.inputs)
    return None if views else x


def fills(v: Value) -> bool:
    """Whether the parts of v leave no gap."""
    return "indices" not in v.keywords or covers(v)


def made_by(item: Item) -> list[Value]:
    """The values that an item computes."""
    if isinstance(item, Nest):
        return item.members
    return [item.result]


def size_of(v: Value) -> int:
    return math.prod(v.shape)


def _readers(program: Program) -> dict[Value, int]:
    counts: dict[Value, int] = {}
    for v in program.computed:
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
