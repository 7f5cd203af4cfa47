"""What runs at every step: one line of Python for each value, written into given memory.

A kept value goes straight into the block that holds it for all steps, a new carry to where the
next step reads it, everything else into buffers that every step uses again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import table
from .blas import cut, pieces
from .blocks import once
from .into import covers, into
from .packing import Pack, packed
from .packs import Packs
from .values import CONSTANT, LOOP, Var, is_elementwise, join, parts_of

if TYPE_CHECKING:
    from .loop import Writer

_matmul = table["matmul"]

#: The largest values, in elements, that are worth broadcasting for all steps before the loop.
SMALL = 1024


class Steps:
    """Writes what runs at every step."""

    def __init__(self, writer: Writer):
        self.writer = writer
        outline = writer.outline
        self.vars = writer.loop_vars
        self.prologue: list[str] = []
        self.body: list[str] = []
        self.targets: list[str] = ["t"]
        self.sources: list[str] = ["range(T)"]
        self.final: list[str] = []
        self.name: dict[Var, str] = {}  # what holds a value within a step
        self.out: dict[Var, str] = {}  # where it has to be written
        self.kept = writer.kept
        self.carries = list(zip(outline.carries, outline.new_carries, strict=True))
        self._buffers: dict[Var, str] = {}  # where values lie that nobody keeps
        self._free: dict[Any, list[str]] = {}  # buffers that nobody reads any more
        self._made = 0
        self.fixed: set[str] = set()  # names that stand for the same memory at every step
        self.in_order: set[str] = set()  # those of them whose rows lie one behind the other
        self.noted: dict[Var, str] = {}  # single numbers, copied to the block that keeps them
        self.packs = Packs(writer)
        self.zeroed: set[Var] = set()  # joins whose block is 0 where none of their parts lies

    def write(self) -> None:
        writer = self.writer
        if not writer.outline.carries:
            return
        self._place_carries()
        self._find_parts()
        places = self._places()
        elsewhere = [part for part in self.parts if part not in places]
        self.packs.of = packed(self.vars, [*self.out, *elsewhere], places)
        self._place_kept()
        units = self._units()
        last = self._last_uses(units)
        for position, unit in enumerate(units):
            if isinstance(unit, Pack):
                self.packs.write(self, unit)
                writer.listing.add("step", unit.members)
                self._release(position, [x for v in unit.members for x in v.inputs], last)
                if unit.leader not in last:
                    self._give_back(unit.leader)
            else:
                self._write(unit, position, last)
        self._hand_on()

    def _units(self) -> list[Var | Pack]:
        """What is computed one after the other, each after what it reads."""
        if not self.packs.of:
            return list(self.vars)
        units: list[Var | Pack] = []
        waiting: dict[Any, int] = {}
        readers: dict[Any, list[Any]] = {}
        unit_of = {v: self.packs.of.get(v, v) for v in self.vars}
        every = dict.fromkeys(unit_of.values())
        for unit in every:
            members = unit.members if isinstance(unit, Pack) else [unit]
            before = {unit_of[x] for v in members for x in v.inputs if x in unit_of}
            waiting[unit] = len(before)
            for other in before:
                readers.setdefault(other, []).append(unit)
        # Of what can be computed the oldest, as in the step itself: what was just written is
        # likely to be read next.
        ready = [unit for unit in every if not waiting[unit]]
        while ready:
            unit = ready.pop(0)
            units.append(unit)
            for reader in readers.get(unit, ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)
        return units

    # ── where values lie ─────────────────────────────────────────────────────────────────

    def iterate(self, name: str, source: str) -> str:
        self.targets.append(name)
        self.sources.append(source)
        return name

    def _place_carries(self) -> None:
        claimed: set[Var] = set()
        self.handing: list[str] = []
        for i, (old, new) in enumerate(self.carries):
            shape, dtype = old.shape, self.writer.constant(old.dtype, "dtype_")
            direct = (
                new.op is not None
                and new.level == LOOP
                and not new.is_view
                and new not in claimed
                and new.shape != ()
            )
            in_block = (old in self.kept or (direct and new in self.kept)) and shape != ()
            if in_block:
                self.prologue += [
                    f"b{i} = empty((T + 1, *{shape}), {dtype})",
                    f"b{i}_old, b{i}_new = b{i}[:-1], b{i}[1:]",
                    f"if reverse: b{i}_old, b{i}_new = b{i}_new, b{i}_old",
                    f"b{i}[T if reverse else 0] = h{i}",
                ]
                self.iterate(f"h{i}_t", f"b{i}_old")
                self.iterate(f"h{i}_next", f"b{i}_new")
                self.name[old] = f"h{i}_t"
                self.writer.place[old] = f"b{i}_old"
                self.final.append(f"b{i}[0 if reverse else T].copy()")
                target = f"h{i}_next"
                if direct and new in self.kept:
                    self.writer.place[new] = f"b{i}_new"
            elif shape == ():
                if old in self.kept:
                    self.prologue.append(f"b{i} = empty(T, {dtype})")
                    self.body.append(f"b{i}[t] = h{i}")
                    self.writer.place[old] = f"b{i}"
                self.name[old] = f"h{i}"
                self.final.append(f"asarray(h{i})")
                target = ""
            else:
                self.prologue += [
                    f"h{i}, h{i}_next = h{i}.copy(), empty({shape}, {dtype})",
                ]
                self.name[old] = f"h{i}"
                self.final.append(f"h{i}")
                target = f"h{i}_next"
                self.handing.append(f"h{i}, h{i}_next = h{i}_next, h{i}")
            if direct and target:
                claimed.add(new)
                self.out[new] = target

    def _find_parts(self) -> None:
        """Values that are only computed to be joined: they are written where the whole lies."""
        parts: dict[Var, tuple[Var, Any]] = {}
        whole = {v for v in self.vars if v.op is join and v in self.kept}
        for v in whole:
            for part, index in zip(v.args, v.keywords["indices"], strict=True):
                fits = (
                    part.op is not None
                    and part.level == LOOP
                    and part in self.writer.in_loop
                    and not part.is_view
                    and part.op is not join
                    and part not in self.out
                    and part not in parts
                    and part.dtype == v.dtype
                    and part.shape != ()
                    and np.empty(v.shape, np.bool_)[index].shape == part.shape
                )
                if fits:
                    parts[part] = (v, index)
        self.parts = parts

    def _places(self) -> dict[Var, tuple[Any, ...]]:
        """Of parts that are columns of equal width: the whole, and which columns they are."""
        places: dict[Var, tuple[Any, ...]] = {}
        for part, (v, index) in self.parts.items():
            last = parts_of(index)[-1]
            if type(last) is slice and part.shape[:-1] == v.shape[:-1]:
                columns = range(*last.indices(v.shape[-1]))
                if columns.step == 1 and columns.start % len(columns) == 0:
                    places[part] = (v, columns.start)
        return places

    def _place_kept(self) -> None:
        """Blocks for the values of every step, those that are parts of others within them."""
        writer, parts = self.writer, self.parts
        for v in self.vars:
            if v not in self.kept or v in writer.place or v in parts:
                continue
            name = f"b{v.number}_all"
            dtype = writer.constant(v.dtype, "dtype_")
            if v in self.packs.of:
                self.packs.place_kept(self, self.packs.of[v])
                continue
            make = "empty" if v.op is not join or covers(v) else "zeros"
            if make == "zeros":
                self.zeroed.add(v)
            self.prologue.append(f"{name} = {make}((T, *{v.shape}), {dtype})")
            writer.place[v] = name
            if v.shape != () and v not in self.out:
                if math.prod(v.shape) == 1 and v.op is not join:
                    self.noted[v] = name
                else:
                    self.out[v] = self.iterate(f"v{v.number}", name)
        for part, (v, index) in parts.items():
            name = f"b{part.number}_all"
            at = writer.constant((slice(None), *parts_of(index)), "part_")
            self.prologue.append(f"{name} = {writer.place[v]}[{at}]")
            writer.place[part] = name
            if part not in self.packs.of:
                self.out[part] = self.iterate(f"v{part.number}", name)

    def _root(self, v: Var) -> Var:
        while v.is_view and v.level == LOOP and v.op is not None and v.inputs:
            v = v.inputs[0]
        return self.packs.of[v].leader if v in self.packs.of else v

    def _last_uses(self, units: Sequence[Var | Pack]) -> dict[Var, int]:
        last: dict[Var, int] = {}
        for position, unit in enumerate(units):
            for v in unit.members if isinstance(unit, Pack) else [unit]:
                for x in v.inputs:
                    last[self._root(x)] = position
        for _, new in self.carries:
            last[self._root(new)] = len(units)
        return last

    # ── reading and writing ──────────────────────────────────────────────────────────────

    def read(self, x: Any, v: Var) -> str:
        if type(x) is not Var:
            if isinstance(x, (bool, int, float)) and v.dtype.kind == "f" and _all_float(v):
                return self.writer.constant(np.array(x, v.dtype))
            return repr(x) if x is None else self.writer.constant(x)
        if x in self.name:
            return self._of_no_shape(x, v, self.name[x])
        if x in self.packs.of:
            return self.packs.member(self, x)
        writer = self.writer
        if x.level == CONSTANT:
            name = writer.block(x, "before")
            if v.op is _matmul:
                return writer.in_order(x)
            return self._of_full_shape(x, v, name)
        name = writer.block(x, "before")
        if is_elementwise(v) and x.shape not in ((), v.shape) and math.prod(v.shape) <= SMALL:
            made = f"{name}_as_{'_'.join(map(str, v.shape))}"
            line = f"{made} = spread({name}, {v.shape})"
            if line not in writer.before:
                writer.before.append(line)
                self.iterate(f"{made}_t", made)
            return f"{made}_t"
        self.name[x] = self.iterate(f"{name}_t", name)
        return self.name[x]

    # Calls are short where all operands have one shape, or none: NumPy broadcasts slowly.

    def _of_no_shape(self, x: Var, v: Var, name: str) -> str:
        """A single number that v broadcasts."""
        if math.prod(x.shape) != 1 or x.shape in ((), v.shape) or name not in self.fixed:
            return name
        if not is_elementwise(v):
            return name
        if f"{name}_0" not in self.fixed:
            self.prologue.append(f"{name}_0 = {name}.reshape(())")
            self.fixed.add(f"{name}_0")
        return f"{name}_0"

    def _of_full_shape(self, x: Var, v: Var, name: str) -> str:
        """A constant that v broadcasts, already broadcast: the call is then a fourth as long."""
        if not is_elementwise(v) or x.shape in ((), v.shape):
            return name
        made = f"{name}_as_{'_'.join(map(str, v.shape))}"
        line = f"{made} = broadcast_to({name}, {v.shape}).copy()"
        if math.prod(x.shape) == math.prod(v.shape):
            line = f"{made} = {name}.reshape({v.shape})"
        if line not in self.writer.before:
            self.writer.before.append(line)
        return made

    def take_buffer(self, v: Var, count: int = 0) -> str:
        """Memory for v, or for a pack of that many values like v."""
        shape = (count, *v.shape) if count else v.shape
        free = self._free.get((shape, v.dtype))
        if free:
            name = free.pop()
        else:
            name = f"buffer{self._made}"
            self._made += 1
            dtype = self.writer.constant(v.dtype, "dtype_")
            self.prologue.append(f"{name} = empty({shape}, {dtype})")
            self.fixed.add(name)
            self.in_order.add(name)
        self._buffers[v] = name
        return name

    def _release(self, position: int, inputs: Iterable[Var], last: dict[Var, int]) -> None:
        """Give back the buffers that were read for the last time."""
        for x in dict.fromkeys(self._root(x) for x in inputs):
            if last.get(x) == position:
                self._give_back(x)

    def _give_back(self, x: Var) -> None:
        if x in self._buffers:
            pack = self.packs.of.get(x)
            shape = x.shape if pack is None else (len(pack.members), *x.shape)
            self._free.setdefault((shape, x.dtype), []).append(self._buffers.pop(x))

    def _write(self, v: Var, position: int, last: dict[Var, int]) -> None:
        op = v.op
        assert op is not None
        writer = self.writer
        arguments = [self.read(x, v) for x in v.args]
        made = f"v{v.number}"
        if v.is_view:
            # A buffer stays where it is, and so does what one sees of it. But of what does not lie
            # in order reshape makes a copy, and a single element is a number: both are others at
            # every step.
            in_order = op is not table["reshape"] or arguments[0] in self.in_order
            stays = arguments[0] in self.fixed and in_order and v.shape != ()
            if stays and op in (table["reshape"], table["squeeze"], table["expand_dims"]):
                self.in_order |= {made} if arguments[0] in self.in_order else set()
            (self.prologue if stays else self.body).append(
                f"{made} = {self._view(v, arguments[0])}"
            )
            if stays:
                self.fixed.add(made)
            self.name[v] = made
        elif v.shape == () or into(v) is None:
            f = writer.constant(once(v), f"{op.name.strip('_')}_")
            self.body.append(f"{made}_new = {f}({', '.join(arguments)})")
            self.name[v] = f"{made}_new"
            if v in writer.place and v.shape == ():
                self.body.append(f"{writer.place[v]}[t] = {made}_new")
            elif v in self.noted:
                self.body.append(f"{self.noted[v]}[t] = {made}_new")
            elif v in self.out:
                self.body.append(f"copyto({self.out[v]}, {made}_new)")
            # What came out may be a view of what went in: those buffers are not used again.
            for x in v.inputs:
                self._buffers.pop(self._root(x), None)
        else:
            # Over one number NumPy takes care that no operand is overwritten too early.
            in_place = is_elementwise(v) and math.prod(v.shape) > 1
            if in_place and v not in self.out:
                self._release(position, v.inputs, last)
            out = self.out.get(v) or self.take_buffer(v)
            self.body += into(v)(self, v, arguments, out)
            self.name[v] = out
            if v in self.noted:
                self.body.append(f"{self.noted[v]}[t] = {out}")
            if not (in_place and v not in self.out):
                self._release(position, v.inputs, last)
        if v not in last:
            self._give_back(v)
        writer.listing.add("step", [v])

    def product(self, v: Var, x: str, y: str, out: str) -> str:
        """The line that multiplies two matrices."""
        n, k = v.args[0].shape[-2:] if len(v.shape) == 2 else (1, v.args[0].shape[0])
        m = v.shape[-1]
        p, q = cut(n, k, m)
        if p == q == 1 or v.args[1].level > CONSTANT:
            # The same BLAS call as matmul's, but 0.6 us less on the way: 0.3 us for a row of 32.
            return f"{x}.dot({y}, {out})"
        names, before = self.writer.names, self.writer.before
        names |= {"matmul": np.matmul, "pieces": pieces}
        line = f"{y}_in_{q} = contiguous(pieces({y}, 1, {q}))"
        if line not in before:
            before.append(line)
        return f"matmul(pieces({x}, {p}, 1), {y}_in_{q}, pieces({out}, {p}, {q}))"

    def _view(self, v: Var, x: str) -> str:
        op, keywords = v.op, v.keywords
        assert op is not None
        if op is table["_getitem"]:
            return f"{x}[{self.writer.constant(keywords['index'])}]"
        if op is table["transpose"] and keywords["axes"] is None:
            return f"{x}.T"
        if op in (table["reshape"], table["squeeze"], table["expand_dims"]):
            return f"{x}.reshape({v.shape})"
        return f"{self.writer.constant(once(v), f'{op.name}_')}({x})"

    def _hand_on(self) -> None:
        """The new carries where the next step looks for the old ones."""
        late = []
        for i, (old, new) in enumerate(self.carries):
            if old.shape == ():
                value = self.read(new, new)
                # A 0-d view is of memory that the next step writes into: its number is what stays.
                late.append((f"h{i}", value if is_elementwise(new) else f"{value}[()]"))
            elif self.out.get(new) != f"h{i}_next":
                self.body.append(f"copyto(h{i}_next, {self.read(new, new)})")
        if late:
            names, values = zip(*late, strict=True)
            self.body.append(f"{', '.join(names)} = {', '.join(values)}")
        self.body += self.handing


def _all_float(v: Var) -> bool:
    return all(x.dtype == v.dtype for x in v.inputs)


__all__ = ["Steps"]
