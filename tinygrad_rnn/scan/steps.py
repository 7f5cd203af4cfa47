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
from ..ops.elementwise import _exp_limit
from .blas import cut, pieces
from .packing import Pack, packed
from .values import CONSTANT, LOOP, Var, dense, is_elementwise, join, parts_of

if TYPE_CHECKING:
    from .loop import Writer


def once(v: Var) -> Any:
    """The operation of v on arrays of one step."""
    assert v.op is not None
    forward, keywords = v.op.forward, v.keywords
    if not keywords:
        return forward
    return lambda *xs: np.asarray(forward(*xs, **keywords))


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
        self.epilogue: list[str] = []
        self.targets: list[str] = ["t"]
        self.sources: list[str] = ["range(T)"]
        self.final: list[str] = []
        self.name: dict[Var, str] = {}  # what holds a value within a step
        self.out: dict[Var, str] = {}  # where it has to be written
        self.kept = writer.kept
        self.carries = list(zip(outline.carries, outline.new_carries, strict=True))
        self.free: dict[Any, list[str]] = {}  # buffers that nobody reads any more
        self.buffer: dict[Var, str] = {}
        self.buffers = 0
        self.fixed: set[str] = set()  # names that stand for the same memory at every step
        self.noted: dict[Var, str] = {}  # single numbers, copied to the block that keeps them
        self.packs: dict[Var, Pack] = {}
        self.pack_name: dict[Pack, str] = {}  # what holds a pack within a step
        self.zeroed: set[Var] = set()  # joins whose block is 0 where none of their parts lies

    def write(self) -> None:
        writer = self.writer
        if not writer.outline.carries:
            return
        self._place_carries()
        self._find_parts()
        places = self._places()
        elsewhere = [part for part in self.parts if part not in places]
        self.packs = packed(self.vars, [*self.out, *elsewhere], places)
        self._place_kept()
        units = self._units()
        last = self._last_uses(units)
        for position, unit in enumerate(units):
            if isinstance(unit, Pack):
                self._write_pack(unit, position, last)
            else:
                self._write(unit, position, last)
        self._hand_on()

    def _units(self) -> list[Var | Pack]:
        """What is computed one after the other, each after what it reads."""
        if not self.packs:
            return list(self.vars)
        units: list[Var | Pack] = []
        waiting: dict[Any, int] = {}
        readers: dict[Any, list[Any]] = {}
        unit_of = {v: self.packs.get(v, v) for v in self.vars}
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

    def _iterate(self, name: str, source: str) -> str:
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
                self._iterate(f"h{i}_t", f"b{i}_old")
                self._iterate(f"h{i}_next", f"b{i}_new")
                self.name[old] = f"h{i}_t"
                self.writer.place[old, "block"] = f"b{i}_old"
                self.final.append(f"b{i}[0 if reverse else T].copy()")
                target = f"h{i}_next"
                if direct and new in self.kept:
                    self.writer.place[new, "block"] = f"b{i}_new"
            elif shape == ():
                if old in self.kept:
                    self.prologue.append(f"b{i} = empty(T, {dtype})")
                    self.body.append(f"b{i}[t] = h{i}")
                    self.writer.place[old, "block"] = f"b{i}"
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
        self.direct = claimed

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
            if v not in self.kept or (v, "block") in writer.place or v in parts:
                continue
            name = f"b{v.number}_all"
            dtype = writer.constant(v.dtype, "dtype_")
            if v in self.packs:
                self._place_kept_pack(self.packs[v])
                continue
            make = "empty" if v.op is not join or _covers(v) else "zeros"
            if make == "zeros":
                self.zeroed.add(v)
            self.prologue.append(f"{name} = {make}((T, *{v.shape}), {dtype})")
            writer.place[v, "block"] = name
            if v.shape != () and v not in self.out:
                if math.prod(v.shape) == 1 and v.op is not join:
                    self.noted[v] = name
                else:
                    self.out[v] = self._iterate(f"v{v.number}", name)
        for part, (v, index) in parts.items():
            name = f"b{part.number}_all"
            at = writer.constant((slice(None), *parts_of(index)), "part_")
            self.prologue.append(f"{name} = {writer.place[v, 'block']}[{at}]")
            writer.place[part, "block"] = name
            if part not in self.packs:
                self.out[part] = self._iterate(f"v{part.number}", name)

    def _root(self, v: Var) -> Var:
        while v.is_view and v.level == LOOP and v.op is not None and v.inputs:
            v = v.inputs[0]
        return self.packs[v].leader if v in self.packs else v

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
        if x in self.packs:
            return self._member(x)
        writer = self.writer
        if x.level == CONSTANT:
            name = writer.block(x, writer.before, "before")
            if v.op is _matmul:
                return writer.in_order(x)
            return self._of_full_shape(x, v, name)
        name = writer.block(x, writer.before, "before")
        if is_elementwise(v) and x.shape not in ((), v.shape) and math.prod(v.shape) <= SMALL:
            made = f"{name}_as_{'_'.join(map(str, v.shape))}"
            line = f"{made} = spread({name}, {v.shape})"
            if line not in writer.before:
                writer.before.append(line)
                self._iterate(f"{made}_t", made)
            return f"{made}_t"
        self.name[x] = self._iterate(f"{name}_t", name)
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

    def _buffer(self, v: Var, count: int = 0) -> str:
        shape = (count, *v.shape) if count else v.shape
        free = self.free.setdefault((shape, v.dtype), [])
        if free:
            name = free.pop()
        else:
            name = f"buffer{self.buffers}"
            self.buffers += 1
            dtype = self.writer.constant(v.dtype, "dtype_")
            self.prologue.append(f"{name} = empty({shape}, {dtype})")
            self.fixed.add(name)
        self.buffer[v] = name
        return name

    def _release(self, position: int, inputs: Iterable[Var], last: dict[Var, int]) -> None:
        for x in dict.fromkeys(self._root(x) for x in inputs):
            if last.get(x) == position and x in self.buffer:
                self._give_back(x)

    def _give_back(self, x: Var) -> None:
        shape = (len(self.packs[x].members), *x.shape) if x in self.packs else x.shape
        self.free[shape, x.dtype].append(self.buffer.pop(x))

    def _write(self, v: Var, position: int, last: dict[Var, int]) -> None:
        op = v.op
        assert op is not None
        writer = self.writer
        arguments = [self.read(x, v) for x in v.args]
        made = f"v{v.number}"
        if v.is_view:
            # A buffer stays where it is, and so does what one sees of it.
            stays = arguments[0] in self.fixed
            (self.prologue if stays else self.body).append(
                f"{made} = {self._view(v, arguments[0])}"
            )
            if stays:
                self.fixed.add(made)
            self.name[v] = made
        elif v.shape == () or _into(v) is None:
            f = writer.constant(once(v), f"{op.name.strip('_')}_")
            self.body.append(f"{made}_new = {f}({', '.join(arguments)})")
            self.name[v] = f"{made}_new"
            if (v, "block") in writer.place and v.shape == ():
                self.body.append(f"{writer.place[v, 'block']}[t] = {made}_new")
            elif v in self.noted:
                self.body.append(f"{self.noted[v]}[t] = {made}_new")
            elif v in self.out:
                self.body.append(f"copyto({self.out[v]}, {made}_new)")
            # What came out may be a view of what went in: those buffers are not used again.
            for x in v.inputs:
                self.buffer.pop(self._root(x), None)
        else:
            into = _into(v)
            assert into is not None
            # Over one number NumPy takes care that no operand is overwritten too early.
            in_place = is_elementwise(v) and math.prod(v.shape) > 1
            if in_place and v not in self.out:
                self._release(position, v.inputs, last)
            out = self.out.get(v) or self._buffer(v)
            self.body += into(self, v, arguments, out)
            self.name[v] = out
            if v in self.noted:
                self.body.append(f"{self.noted[v]}[t] = {out}")
            if not (in_place and v not in self.out):
                self._release(position, v.inputs, last)
        if last.get(v) is None and v in self.buffer:
            self._give_back(v)
        writer.listing.add("step", [v])

    # ── packs ────────────────────────────────────────────────────────────────────────────

    def _place_kept_pack(self, pack: Pack) -> None:
        """One block for all members: each lies in it as if it had a block to itself."""
        leader, writer = pack.leader, self.writer
        name, dtype = f"p{leader.number}_all", writer.constant(leader.dtype, "dtype_")
        count, shape = len(pack.members), leader.shape
        make = f"{name} = empty((T, {count}, *{shape}), {dtype})"
        if math.prod(shape[:-1]) > 1 and pack.broadcasts:
            # NumPy goes through them one by one anyway; apart, BLAS reads each of them as it is.
            make = f"{name} = empty(({count}, T, *{shape}), {dtype}).swapaxes(0, 1)"
        self.prologue.append(make)
        for i, v in enumerate(pack.members):
            writer.place[v, "block"] = f"b{v.number}_all"
            self.prologue.append(f"b{v.number}_all = {name}[:, {i}]")
        self.pack_name[pack] = self._iterate(f"p{leader.number}", name)

    def _place_joined_pack(self, pack: Pack) -> None:
        """The step's part of a block of several columns, (..., k n), as (k, ..., n)."""
        leader, count = pack.leader, len(pack.members)
        width, rank = leader.shape[-1], len(leader.shape)
        whole, index = self.parts[leader]
        start = parts_of(index)[-1].indices(whole.shape[-1])[0]
        block = f"{self.writer.place[whole, 'block']}[..., {start}:{start + count * width}]"
        axes = (0, rank, *range(1, rank), rank + 1)
        source = f"{block}.reshape(T, *{(*leader.shape[:-1], count, width)}).transpose{axes}"
        self.pack_name[pack] = self._iterate(f"p{leader.number}", source)

    def _member(self, v: Var) -> str:
        """The name of a member of a pack within a step."""
        pack = self.packs[v]
        at = pack.members.index(v)
        held = self.pack_name[pack]
        if (v, "block") in self.writer.place:
            self.name[v] = self._iterate(f"v{v.number}", self.writer.place[v, "block"])
        else:
            self.name[v] = f"v{v.number}"
            self.prologue.append(f"v{v.number} = {held}[{at}]")
            self.fixed.add(f"v{v.number}")
        return self.name[v]

    def _operand(self, pack: Pack, j: int) -> str:
        """The name of what all members read in this place."""
        leader = pack.leader
        operands = [v.args[j] for v in pack.members]
        x = operands[0]
        if pack.shared[j]:
            return self.read(x, leader)
        if x.level == CONSTANT:
            names = [self.read(y, leader) for y in operands]
            made = f"{'_'.join(names)}_beside"
            shape = (len(names), *leader.shape)
            line = f"{made} = concatenate([{', '.join(names)}]).reshape({shape})"
            if line not in self.writer.before:
                self.writer.before.append(line)
            return made
        if x not in self.packs:
            block = self.writer.beside(operands)
            if f"{block}_t" not in self.targets:
                self._iterate(f"{block}_t", block)
            return f"{block}_t"
        source = self.packs[x]
        held, first = self.pack_name[source], source.members.index(x)
        if len(operands) == len(source.members):
            return held
        name = f"{held}_{first}_{len(operands)}"
        part = f"[{first}:{first + len(operands)}]"
        if held in self.fixed:
            if name not in self.fixed:
                self.prologue.append(f"{name} = {held}{part}")
                self.fixed.add(name)
        elif name not in self.targets:
            whole = self.sources[self.targets.index(held)]
            self._iterate(name, f"{whole}[:, {first}:{first + len(operands)}]")
        return name

    def _write_pack(self, pack: Pack, position: int, last: dict[Var, int]) -> None:
        leader, writer, count = pack.leader, self.writer, len(pack.members)
        op = leader.op
        assert op is not None
        if leader in self.parts:
            self._place_joined_pack(pack)
        if pack.is_product:
            self._write_products(pack)
        else:
            arguments = [self._operand(pack, j) for j in range(len(leader.args))]
            if pack not in self.pack_name:
                self.pack_name[pack] = self._buffer(leader, count)
            out = self.pack_name[pack]
            self.body += _into(leader)(self, leader, arguments, out)
        writer.listing.add("step", pack.members)
        inputs = [x for v in pack.members for x in v.inputs]
        self._release(position, inputs, last)
        if last.get(leader) is None and leader in self.buffer:
            self._give_back(leader)

    def _write_products(self, pack: Pack) -> None:
        """Products of the same rows with several matrices; of one row with all of them at once."""
        leader, writer, count = pack.leader, self.writer, len(pack.members)
        rows, matrices = self.read(leader.args[0], leader), [v.args[1] for v in pack.members]
        kept = pack in self.pack_name
        if not kept:
            self.pack_name[pack] = self._buffer(leader, count)
        held = self.pack_name[pack]
        if math.prod(leader.shape[:-1]) == 1 and held in self.fixed:
            names = [writer.in_order(y) for y in matrices]
            made, flat = f"{'_'.join(names)}_in_a_row", f"{held}_flat"
            line = f"{made} = concatenate([{', '.join(names)}], 1)"
            if line not in writer.before:
                writer.before.append(line)
            if flat not in self.fixed:
                shape = (*leader.shape[:-1], count * leader.shape[-1])
                self.prologue.append(f"{flat} = {held}.reshape({shape})")
                self.fixed.add(flat)
            self.body.append(f"{rows}.dot({made}, {flat})")
            return
        for v, y in zip(pack.members, matrices, strict=True):
            self.body.append(self.product(v, rows, self.read(y, leader), self._member(v)))

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
        assert v.op is not None
        name, keywords = v.op.name, v.keywords
        if name == "_getitem":
            return f"{x}[{self.writer.constant(keywords['index'])}]"
        if name == "transpose" and keywords["axes"] is None:
            return f"{x}.T"
        if name in ("reshape", "squeeze", "expand_dims"):
            return f"{x}.reshape({v.shape})"
        return f"{self.writer.constant(once(v), f'{name}_')}({x})"

    def _hand_on(self) -> None:
        """The new carries where the next step looks for the old ones."""
        late = []
        for i, (old, new) in enumerate(self.carries):
            if old.shape == ():
                value = self.read(new, new)
                late.append((f"h{i}", value))
            elif self.out.get(new) != f"h{i}_next":
                self.body.append(f"copyto(h{i}_next, {self.read(new, new)})")
        if late:
            names, values = zip(*late, strict=True)
            self.body.append(f"{', '.join(names)} = {', '.join(values)}")
        self.body += self.handing


def _covers(v: Var) -> bool:
    used = np.zeros(v.shape, np.bool_)
    for index in v.keywords["indices"]:
        used[index] = True
    return bool(used.all())


def _all_float(v: Var) -> bool:
    return all(x.dtype == v.dtype for x in v.inputs)


# ── operations that write into a given array ─────────────────────────────────────────────

_matmul = table["matmul"]


def _into(v: Var) -> Any:
    """How v is written into an array: ``(steps, v, arguments, out) -> lines``; None if it can't."""
    op = v.op
    assert op is not None
    if op is _matmul:
        return _into_ufunc
    if isinstance(op.forward, np.ufunc) and table.get(op.name) is op:
        return _into_ufunc
    if op is join:
        return _into_join
    same_dtype = all(x.dtype == v.dtype for x in v.inputs)
    if op.name in ("relu", "sigmoid") and same_dtype and v.dtype.name in dense:
        return {"relu": _into_relu, "sigmoid": _into_sigmoid}[op.name]
    if op is table["where"] and type(v.args[0]) is Var and v.args[0].dtype == np.bool_:
        return _into_where
    if op.name in ("sum", "mean") and same_dtype and v.dtype.name in dense and op in table.values():
        return _into_sum
    if op.name == "_concatenate" and same_dtype:
        return _into_concatenate
    return None


def _into_ufunc(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    assert v.op is not None
    name = "matmul" if v.op is _matmul else v.op.name
    if v.op is _matmul and v not in steps.parts and _is_plain_product(v):
        return [steps.product(v, arguments[0], arguments[1], out)]
    steps.writer.names[name] = np.matmul if v.op is _matmul else v.op.forward
    # NumPy wants the keyword of these two, which costs 30 ns more.
    out = f"out={out}" if name in ("maximum", "minimum") else out
    return [f"{name}({', '.join(arguments)}, {out})"]


def _is_plain_product(v: Var) -> bool:
    """Whether v is a product of two matrices of one dtype, or of a vector and a matrix."""
    x, y = v.args
    return (
        type(x) is Var
        and type(y) is Var
        and len(x.shape) <= 2
        and len(y.shape) == 2
        and x.dtype == y.dtype == v.dtype
        and v.dtype.name in dense
    )


def _into_relu(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    steps.writer.names["maximum"] = np.maximum
    zero = steps.writer.constant(np.array(0, v.dtype))
    return [f"maximum({arguments[0]}, {zero}, out={out})"]


def _into_sigmoid(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    names = steps.writer.names
    names |= {"negative": np.negative, "minimum": np.minimum, "exp": np.exp, "add": np.add}
    names |= {"reciprocal": np.reciprocal, "multiply": np.multiply, "tanh": np.tanh}
    if v.dtype == np.float32:
        # By way of tanh: two to three times faster and, at 7 digits, as good.
        half = steps.writer.constant(np.array(0.5, v.dtype))
        return [
            f"multiply({arguments[0]}, {half}, {out})",
            f"tanh({out}, {out})",
            f"multiply({out}, {half}, {out})",
            f"add({out}, {half}, {out})",
        ]
    limit = steps.writer.constant(_exp_limit[v.dtype])
    one = steps.writer.constant(np.array(1, v.dtype))
    return [
        f"negative({arguments[0]}, {out})",
        f"minimum({out}, {limit}, out={out})",
        f"exp({out}, {out})",
        f"add({out}, {one}, {out})",
        f"reciprocal({out}, {out})",
    ]


def _into_where(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    condition, x, y = arguments
    return [f"copyto({out}, {y})", f"copyto({out}, {x}, where={condition})"]


def _into_sum(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    assert v.op is not None
    axis, keepdims = v.keywords["axis"], v.keywords["keepdims"]
    lines = [f"add_reduce({arguments[0]}, {axis}, None, {out}, {keepdims})"]
    if v.op.name == "mean":
        steps.writer.names["divide"] = np.divide
        count = math.prod(v.inputs[0].shape) / max(math.prod(v.shape), 1)
        number = steps.writer.constant(np.array(count, v.dtype))
        lines.append(f"divide({out}, {number}, {out})")
    return lines


def _into_concatenate(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    return [f"concatenate(({', '.join(arguments)},), {v.keywords['axis']}, {out})"]


def _into_join(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    lines = []
    for x, name, index in zip(v.args, arguments, v.keywords["indices"], strict=True):
        if steps.parts.get(x, (None,))[0] is not v:
            lines.append(f"{out}[{steps.writer.constant(index)}] = {name}")
    if v not in steps.zeroed and not _covers(v):
        lines.insert(0, f"{out}.fill(0)")
    return lines


__all__ = ["Steps", "once"]
