"""The function of a batch, and where in memory it finds things."""

from __future__ import annotations

import math

from ...ir import Value
from .copies import write_copy
from .functions import Unsupported
from .lower import DATA, PARAMETERS, SCRATCH, Lowering
from .memory import Memory, Place, is_view, kind_of_value, plain, view
from .text import Lines


class Places:
    """The function of a batch, and where in memory it finds things.

    Attributes:
        function: what is written.
        preamble: lines that run once, first; ``step_top``: first at every step; ``packs``: once,
            before the steps.
    """

    def __init__(self, lowering: Lowering, number: int):
        self.lowering, self.number = lowering, number
        self.batch, self.items = lowering.batches[number], lowering.items[number]
        self.program = lowering.program
        name = f"batch{number}_{self.batch.kind}"
        self.f = f = lowering.module.function(name, PARAMETERS)
        lowering.functions.append(name)
        self.bases: dict[Memory, str] = {}
        self.addresses: dict[Place, str] = {}
        self.copied: dict[Value, Place] = {}
        self.preamble: Lines = []
        f.lines.append(self.preamble)
        self.packs: Lines = []
        self.step_top: Lines | None = None
        self._scratch: str | None = None
        self._offsets: list[str | int] = []
        # Within the loop over time: the turn, the time step, and what becomes of it.
        self.turn = self.t = self.forwards = self.direction = ""

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
        if self._scratch is None:
            self._scratch = self._aligned(self._object(SCRATCH))
        if not self._offsets:
            self._offsets = self._find_offsets()
        place = lowering.scratch[memory]
        if memory.slots in ("T", "T + 1"):
            return f.pointer("i8", self._scratch, self._offsets[place])
        return f.pointer("i8", self._scratch, self._offsets[-1], place)

    def _find_offsets(self) -> list[str | int]:
        """Where the blocks of all steps lie: one behind the other, each from a multiple of 64.

        After them comes what is needed once.
        """
        f = self.f
        offsets: list[str | int] = [0]
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
            self.f.fresh("copy"), kind_of_value(whole), math.prod(source.shape)
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

    def move(self, to: str, source: str, size: int) -> None:
        name = "llvm.memcpy.p0.p0.i64"
        self.lowering.module.declare(name, "void", ["ptr", "ptr", "i64", "i1"])
        self.f.write(f"call void @{name}(ptr {to}, ptr {source}, i64 {size}, i1 false)")

    def clear(self, place: Place) -> None:
        name = "llvm.memset.p0.i64"
        self.lowering.module.declare(name, "void", ["ptr", "i8", "i64", "i1"])
        base = self.base(place.memory)
        self.f.write(f"call void @{name}(ptr {base}, i8 0, i64 {place.memory.size}, i1 false)")


__all__ = ["Places"]
