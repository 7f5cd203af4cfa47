"""The function of one batch: its loop over time, its carries and its items."""

from __future__ import annotations

from collections.abc import Iterable

from ...ir import Value
from ...passes.buffers import part_indices
from .functions import Unsupported
from .groups import Item, Nest, Product
from .indices import added_at
from .lower import PARAMETERS, TOTALS, fills, made_by
from .memory import Place, part
from .multiply import Products
from .nests import NestWriter


class BatchWriter(Products):
    """Writes the function of a batch."""

    # ── the whole function ───────────────────────────────────────────────────────────────

    def write(self) -> None:
        """Write the function of the batch, by its kind."""
        kind, lowering = self.batch.kind, self.lowering
        if kind == "product":
            (item,) = self.items
            assert isinstance(item, Product)
            self.large(item)
        elif kind in ("constants", "once"):
            self.run(self.items)
        else:
            carries = self.program.carries if kind == "steps" else ()
            copies = any(at == self.number for at in lowering.copied_in.values())
            self.empty = not self.items and not carries and not copies
            if not self.empty:
                # A batch of views alone has nothing to do: their readers compute the addresses.
                self.over_time()

    def write_shared(self, parts: int) -> None:
        """Write the steps for threads: each part computes nearly the same number of rows.

        One function is written for each number of rows, and one that chooses among them.
        """
        # 10 rows and 3 parts: 3, 3, 4, reversed to 4, 3, 3. The number of rows is a constant of the
        # code, so that axes can be merged and vectors chosen. So there is a function for 4 and one
        # for 3 rows.
        sizes = [(i + self.lowering.rows) // parts for i in range(parts)][::-1]
        names = {size: f"{self.name}_of_{size}_rows" for size in sizes}
        for size, name in names.items():
            self._begin(name, (*PARAMETERS, "i64 %row"))
            # Copies that another function made are out of reach here.
            self.copied, self.window = {}, (size, "%row")
            self.over_time()
        f = self.lowering.module.function(self.name, PARAMETERS)
        parameters = ", ".join(PARAMETERS)
        for i, size in enumerate(sizes):
            with f.unless(f.let(f"icmp ne i64 %part, {i}")):
                f.write(f"call void @{names[size]}({parameters}, i64 {sum(sizes[:i])})")

    def over_time(self) -> None:
        """Write the loop over time.

        t runs from 0 up, or from T - 1 down if %reverse is 1: t = first + turn * direction.
        """
        f = self.f
        for v in self.batch.values:
            # Sums over time are added up in memory, so they start as zeros.
            if v.op in TOTALS:
                self.clear(self.lowering.homes[v][0])
        self.forwards = f.let("sub i64 1, %reverse", "forwards")
        last = f.let("sub i64 %T, 1")
        # No branch on the direction is needed:
        #
        #     %reverse = 0   first = 0       direction = 1
        #     %reverse = 1   first = T - 1   direction = -1
        first = f.let(f"mul i64 {last}, %reverse")
        twice = f.let("mul i64 %reverse, -2")
        self.direction = f.let(f"add i64 {twice}, 1", "direction")
        if self.batch.kind == "steps":
            self.first_carries()
        with f.loop(0, "%T", stem="step") as loop:
            assert isinstance(loop.i, str)
            self.turn = loop.i
            shift = f.times(loop.i, self.direction)
            self.t = str(f.add(first, shift))
            # Code that is written later can still add addresses here, at the top of the step.
            self.step_top = []
            f.lines.append(self.step_top)
            self.run(self.items)
            if self.batch.kind == "steps":
                self.hand_on()
        self.step_top = None
        if self.batch.kind == "steps":
            self.last_carries()

    def run(self, items: Iterable[Item]) -> None:
        """Write the items of the batch, and the copies of results that are views."""
        for item in items:
            self.comment(item)
            if isinstance(item, Nest):
                space = self.shown(item.space)
                # Its elements are added to what is there, and most places get none.
                if item.members[0].op is added_at:
                    self.fill(self.homes(item.members[0])[0])
                NestWriter(self, item, space).write()
                self.copy_sums(item)
            elif isinstance(item, Product):
                self.product(item)
            else:
                self.assemble(item.result)
        lowering = self.lowering
        for v, place in lowering.copies:
            if lowering.copied_in[v] == self.number:
                self.copy(self.read(v), place)

    def copy_sums(self, item: Nest) -> None:
        """Copy sums from their first home, where they are added up, to the others."""
        for v in item.members:
            if v.op is added_at:
                first, *others = self.homes(v)
                for other in others:
                    self.copy(first, other)

    def homes(self, v: Value) -> list[Place]:
        return self.lowering.homes.get(v, [])

    def comment(self, item: Item) -> None:
        names = self.lowering.names
        made = made_by(item)
        self.f.comment(f"{', '.join(names[v] for v in made)}: {made[-1].shape}")

    # ── carries ──────────────────────────────────────────────────────────────────────────

    def _end_slot(self, place: Place, ends: str) -> str:
        """The address of the slot that the first step reads, or that the last step wrote."""
        memory, f = place.memory, self.f
        if memory.slots == "two":
            # After T iterations the last write went to slot T mod 2.
            slot = 0 if ends == "first" else f.let("and i64 %T, 1")
        else:
            # With T + 1 slots: first 0 and last T forwards, first T and last 0 in reverse.
            backwards = f.times("%T", "%reverse")
            slot = backwards if ends == "first" else f.let(f"sub i64 %T, {backwards}")
        return f.pointer(memory.kind, self.base(memory), f.times(slot, memory.slot))

    def first_carries(self) -> None:
        """Copy the first carries of the call into their slots."""
        for v, place in zip(self.program.carries, self.lowering.carried, strict=True):
            source = self.base(self.lowering.input_places[v].memory)
            self.move(self._end_slot(place, "first"), source, place.memory)

    def hand_on(self) -> None:
        """Copy new carries that were not written to their slots already."""
        # The new slot is not the one that this step reads, so carries that trade places can be
        # copied in any order.
        lowering = self.lowering
        for place, new in zip(lowering.carried, self.program.new_carries, strict=True):
            to = place._replace(when="new")
            if to not in lowering.homes.get(new, ()):
                self.copy(self.read(new), to)

    def last_carries(self) -> None:
        """Copy the last carries to the arrays that the call returns."""
        for place, end in zip(self.lowering.carried, self.lowering.ends, strict=True):
            self.move(self.base(end), self._end_slot(place, "last"), place.memory)

    # ── assemblies ───────────────────────────────────────────────────────────────────────

    def assemble(self, v: Value) -> None:
        """Write the parts of a value that are not in their place already."""
        place, *others = self.lowering.homes[v]
        indices = part_indices(v)
        assert indices is not None
        if not fills(v):
            self.fill(place)
        for x, index in zip(v.inputs, indices, strict=True):
            to = part(place, index)
            if to is None:
                raise Unsupported(f"{v.op} at {index}")
            if to in self.lowering.homes.get(x, ()):
                # Its nest or product wrote it there.
                continue
            source = self.read(x)
            if to.shape != source.shape:  # broadcast, as NumPy does in an assignment
                source = source._replace(strides=source.along(to.shape), shape=to.shape)
            self.copy(source, to)
        for other in others:
            self.copy(place, other)


__all__ = ["BatchWriter"]
