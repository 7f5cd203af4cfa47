"""Addresses: where in memory the function of a batch finds values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

from ...ir import Value
from .copies import write_simple
from .engine import DATA, ITEMS
from .functions import Unsupported
from .lower import CONSTANTS, PARAMETERS, SCRATCH, Lowering
from .memory import Memory, Place, is_view, kind_of_value, plain, view
from .nests import Access
from .text import Lines


class Places:
    """The function of a batch, and the addresses of the values that it reads and writes.

    Attributes:
        name: the name of the function.
        f: the function that is being written.
        preamble: lines that run once, at the beginning.
        step_top: lines that run at the beginning of every step; None outside of the loop.
        window: the rows of the batch that the function computes: their number, and the name of the
            first; None for all rows.
        empty: whether there is nothing to do.
    """

    def __init__(self, lowering: Lowering, number: int):
        self.lowering, self.number = lowering, number
        self.batch, self.items = lowering.batches[number], lowering.items[number]
        self.program = lowering.program
        # The number makes the name unique: several batches may be of one kind.
        self.name = self.batch.kind if number == 0 else f"batch{number}_{self.batch.kind}"
        self.copied: dict[Value, Place] = {}
        self.window: tuple[int, str] | None = None
        self.empty = False
        self._begin(self.name, PARAMETERS)

    def _begin(self, name: str, parameters: Sequence[str]) -> None:
        """Begin a function."""
        self.f = f = self.lowering.module.function(name, parameters)
        # Addresses are written to one of three places, by how often they change:
        #
        #     entry      where a piece of memory begins
        #     preamble   addresses that are the same at every step
        #     step_top   addresses that move with the step
        #
        # An address is written once, above all code that may read it. At its first use it might
        # stand in an inner loop, where LLVM does not let later code read it.
        self.bases: dict[Memory, str] = {}
        self.addresses: dict[tuple[Place, int], str] = {}
        self.preamble: Lines = []
        f.lines.append(self.preamble)
        self.step_top: Lines | None = None
        self._scratch: dict[int, str] = {}
        self._offsets: list[str | int] = []
        # Names within the loop over time: the number of the iteration, the time step t, 1 if t goes
        # up (else 0), and the change of t (1 or -1).
        self.turn = self.t = self.forwards = self.direction = ""

    # ── addresses ────────────────────────────────────────────────────────────────────────

    def base(self, memory: Memory) -> str:
        found = self.bases.get(memory)
        if found is None:
            with self.f.at(self.f.entry):
                found = self.bases[memory] = self._base(memory)
        return found

    def _object(self, number: int) -> str:
        """The address of the elements of an array of the call."""
        # arrays -> item n of the tuple -> the array object -> its elements
        at = self.f.let(f"getelementptr i8, ptr %arrays, i64 {ITEMS + 8 * number}")
        array = self.f.let(f"load ptr, ptr {at}")
        field_ = self.f.let(f"getelementptr i8, ptr {array}, i64 {DATA}")
        return self.f.let(f"load ptr, ptr {field_}")

    def _aligned(self, number: int) -> str:
        """The first address in an array that is a multiple of 64 bytes."""
        f = self.f
        found = self._scratch.get(number)
        if found is None:
            at = f.let(f"ptrtoint ptr {self._object(number)} to i64")
            # Scratch memory has 64 bytes to spare, so the first multiple of 64 lies in it.
            at = f.let(f"add i64 {at}, 63")
            at = f.let(f"and i64 {at}, -64")
            found = self._scratch[number] = f.let(f"inttoptr i64 {at} to ptr")
        return found

    def _base(self, memory: Memory) -> str:
        """Write the code that computes the first address of a piece of memory."""
        f, lowering = self.f, self.lowering
        if memory.argument is not None:
            return self._object(lowering.position(memory))
        place = lowering.scratch[memory]
        if memory.constant:
            return f.pointer("i8", self._aligned(CONSTANTS), place)
        base = self._aligned(SCRATCH)
        if not self._offsets:
            self._offsets = self._find_offsets()
        if memory.slots in ("T", "T + 1"):
            # Scratch memory: block 0, block 1, ..., then all pieces with a fixed size.
            return f.pointer("i8", base, self._offsets[place])
        return f.pointer("i8", base, self._offsets[-1], place)

    def _find_offsets(self) -> list[str | int]:
        """The offsets of the blocks in scratch memory, which are multiples of 64 bytes.

        The last offset is that of the memory with a single slot.
        """
        f = self.f
        offsets: list[str | int] = [0]
        steps = f.let("add i64 %T, 1")
        for size in self.lowering.moving:
            bytes_ = f.let(f"add i64 {f.times(steps, size)}, 63")
            offsets.append(f.add(offsets[-1], f.let(f"and i64 {bytes_}, -64")))
        return offsets

    def address(self, place: Place, row: int = 0) -> str:
        """The address of a place, at the present step if it varies.

        Args:
            place: the place.
            row: the stride of the rows of the batch; 0 for a value that all rows share.
        """
        row = row if self.window else 0
        found = self.addresses.get((place, row))
        if found is None:
            # Outside of the loop over time, or for a value with one slot, the address is the same
            # at all steps.
            lines = self.step_top if self.step_top is not None else self.preamble
            if not place.when or self.step_top is None:
                lines = self.preamble
            with self.f.at(lines):
                found = self.addresses[place, row] = self._address(place, row)
        return found

    def shown(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape, with axis 0 reduced to the rows that the function computes."""
        return shape if self.window is None else (self.window[0], *shape[1:])

    def _address(self, place: Place, row: int) -> str:
        """Write the code that computes the address of a place: slot, offset and first row."""
        memory, f = place.memory, self.f
        base = self.base(memory)
        first = 0 if self.window is None else f.times(self.window[1], row)
        if not place.when:
            return f.pointer(memory.kind, base, place.offset, first)
        if self.step_top is None:
            raise Unsupported("all steps of a view that has to be copied")
        slot: str | int
        if memory.slots == "two":
            # Iterations 0, 1, 2, ... read slot 0, 1, 0, ... and write the other one, in both
            # directions of time.
            slot = f.let(f"and i64 {self.turn}, 1")
            if place.when == "new":
                slot = f.let(f"xor i64 {slot}, 1")
        elif place.when == "t":
            slot = self.t
        else:
            # T + 1 slots, as in the NumPy back end: forwards, step t reads slot t and writes slot t
            # + 1. In reverse it reads slot t + 1 and writes slot t.
            shift = "%reverse" if place.when == "old" else self.forwards
            slot = f.add(self.t, shift)
        return f.pointer(memory.kind, base, f.times(slot, memory.slot), place.offset, first)

    def block(self, place: Place) -> str:
        """The address of a block: that of time step 0."""
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
        """The place where a value is read; a view that NumPy would copy is copied first."""
        lowering = self.lowering
        if x in self.copied:
            # A copy that was made for an earlier reader serves all later ones.
            return self.copied[x]
        if x in self.program.carries:
            return lowering.carried[self.program.carries.index(x)]
        if x in lowering.input_places:
            return lowering.input_places[x]
        if is_view(x):
            found = view(self.read(x.inputs[0]), x)
            if found is not None:
                return found
            writer = self._writer_of(x)
            if x not in writer.copied:
                writer.copied[x] = writer._copy_of(x)
            return writer.copied[x]
        # The first home is the one that holds every step, if there is one.
        return lowering.homes[x][0]

    def _writer_of(self, x: Value) -> Self:
        """The writer that copies or packs a value: a constant is done once, by the first batch."""
        writers = self.lowering.writers
        return writers[0] if self.lowering.is_constant(x) else self

    def spare(self, name: str, kind: str, size: int) -> Memory:
        """Memory for a copy."""
        return self.lowering.scratch_memory(
            self.f.fresh(name), kind, size, constant=self.number == 0
        )

    def _copy_of(self, x: Value) -> Place:
        """A view that NumPy would copy: its operand is copied to contiguous memory and viewed."""
        source = self.read(x.inputs[0])
        memory = self.spare("copy", kind_of_value(x), math.prod(source.shape))
        # NumPy copies in ``W.T.reshape(-1)``, since no strides describe the result. The same
        # reshape of a contiguous copy of W.T is a view.
        place = plain(memory, source.shape)
        self.copy(source, place)
        found = view(place, x)
        if found is None:
            raise Unsupported(f"{x.op} of {source.shape}")
        return found

    def copied_to(self, source: Place, shape: tuple[int, ...]) -> Place:
        """Copy a place into contiguous memory."""
        to = plain(self.spare("copy", source.memory.kind, math.prod(shape)), shape)
        self.copy(source, to)
        return to

    def copy(self, source: Place, to: Place) -> None:
        """Copy one place to another of the same shape, or of one that it broadcasts to."""
        along = source.along(to.shape)
        kind = source.memory.kind
        # The stride of axis 0 finds the first row of a thread's window. For a broadcast axis it is
        # 0.
        first = [s[0] if s else 0 for s in (along, to.strides)]
        accesses = [
            Access(kind, self.address(source, first[0]), along),
            Access(kind, self.address(to, first[1]), to.strides),
        ]
        write_simple(self.f, kind, self.shown(to.shape), accesses)

    def fill(self, to: Place) -> None:
        """Write zeros."""
        kind = to.memory.kind
        at = self.address(to, to.strides[0] if to.strides else 0)
        write_simple(self.f, kind, self.shown(to.shape), [Access(kind, at, to.strides)])

    def move(self, to: str, source: str, memory: Memory) -> None:
        """Copy a slot from one piece of memory to another: the rows of the window."""
        # Slots of carries are contiguous, so no loop over axes is needed.
        name, first, size = "llvm.memcpy.p0.p0.i64", *self._bytes(memory)
        self.lowering.module.declare(name, "void", ["ptr", "ptr", "i64", "i1"])
        to, source = (self.f.pointer("i8", at, first) for at in (to, source))
        self.f.write(f"call void @{name}(ptr {to}, ptr {source}, i64 {size}, i1 false)")

    def clear(self, place: Place) -> None:
        """Write zeros to the memory of a place: to the rows of the window."""
        name, first, size = "llvm.memset.p0.i64", *self._bytes(place.memory)
        self.lowering.module.declare(name, "void", ["ptr", "i8", "i64", "i1"])
        at = self.f.pointer("i8", self.base(place.memory), first)
        self.f.write(f"call void @{name}(ptr {at}, i8 0, i64 {size}, i1 false)")

    def _bytes(self, memory: Memory) -> tuple[str | int, int]:
        """The offset of the window's rows in a slot, and their size, in bytes."""
        if self.window is None:
            return 0, memory.size
        # Only if threads share the rows: then axis 0 of every carry and sum is the batch.
        row = memory.size // self.lowering.rows
        return self.f.times(self.window[1], row), self.window[0] * row


__all__ = ["Places"]
