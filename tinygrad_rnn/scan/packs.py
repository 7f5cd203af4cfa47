"""Writes the packs of a step: where they lie, and the one call that computes each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import table
from .into import into
from .packing import Pack
from .values import CONSTANT, SEQUENCE, Var, is_elementwise, parts_of

if TYPE_CHECKING:
    from .loop import Writer
    from .steps import Steps

_add, _matmul = table["add"], table["matmul"]


class Packs:
    """Writes the packs of a step.

    Attributes:
        of: the pack of each value that is in one.
    """

    def __init__(self, writer: Writer):
        self.of: dict[Var, Pack] = {}
        self._writer = writer
        self._name: dict[Pack, str] = {}  # what holds a pack within a step
        self._numbered: dict[tuple[str, tuple[Any, ...]], str] = {}

    def _number(self, stem: str, *parts: Any) -> tuple[str, bool]:
        """A short name for what is put together of parts, and whether it is new."""
        known = self._numbered.get((stem, parts))
        name = self._numbered.setdefault((stem, parts), f"{stem}{len(self._numbered)}")
        return name, known is None

    # ── where they lie ───────────────────────────────────────────────────────────────────

    def place_kept(self, steps: Steps, pack: Pack) -> None:
        """One block for all members: each lies in it as if it had a block to itself."""
        leader, writer, prologue = pack.leader, self._writer, steps.prologue
        name, dtype = f"p{leader.number}_all", writer.constant(leader.dtype, "dtype_")
        count, shape = len(pack.members), leader.shape
        make = f"{name} = empty((T, {count}, *{shape}), {dtype})"
        if math.prod(shape[:-1]) > 1 and pack.broadcasts:
            # NumPy goes through them one by one anyway; apart, BLAS reads each of them as it is.
            make = f"{name} = empty(({count}, T, *{shape}), {dtype}).swapaxes(0, 1)"
        prologue.append(make)
        for i, v in enumerate(pack.members):
            writer.place[v] = f"b{v.number}_all"
            prologue.append(f"b{v.number}_all = {name}[:, {i}]")
        self._name[pack] = steps.iterate(f"p{leader.number}", name)

    def _place_joined(self, steps: Steps, pack: Pack) -> None:
        """The step's part of a block of several columns, (..., k n), as (k, ..., n)."""
        leader, count = pack.leader, len(pack.members)
        width, rank = leader.shape[-1], len(leader.shape)
        whole, index = steps.parts[leader]
        start = parts_of(index)[-1].indices(whole.shape[-1])[0]
        block = f"{self._writer.place[whole]}[..., {start}:{start + count * width}]"
        axes = (0, rank, *range(1, rank), rank + 1)
        source = f"{block}.reshape(T, *{(*leader.shape[:-1], count, width)}).transpose{axes}"
        self._name[pack] = steps.iterate(f"p{leader.number}", source)

    def member(self, steps: Steps, v: Var) -> str:
        """The name of a member of a pack within a step."""
        pack = self.of[v]
        at = pack.members.index(v)
        name = steps.name[v] = f"v{v.number}"
        if v in self._writer.place:
            return steps.iterate(name, self._writer.place[v])
        steps.prologue.append(f"{name} = {self._name[pack]}[{at}]")
        steps.fixed.add(name)
        return name

    # ── what they read ───────────────────────────────────────────────────────────────────

    def _operand(self, steps: Steps, pack: Pack, j: int) -> str:
        """The name of what all members read in this place."""
        leader = pack.leader
        operands = [v.args[j] for v in pack.members]
        x = operands[0]
        if pack.shared[j]:
            return steps.read(x, leader)
        if x.level == CONSTANT:
            names = [steps.read(y, leader) for y in operands]
            shape = (len(names), *leader.shape)
            if x.shape == ():
                names = [f"{name}.reshape(1)" for name in names]
                shape = (len(names), *(1,) * len(leader.shape))
            made, is_new = self._number("constants", *names, shape)
            if is_new:
                line = f"{made} = concatenate([{', '.join(names)}]).reshape({shape})"
                self._writer.before.append(line)
            return made
        if x not in self.of:
            block = self._blocks_beside(operands)
            # Axes are matched from the last one: shorter operands get theirs behind the pack's.
            missing = len(leader.shape) - len(x.shape)
            made = f"{block}_{missing}_t" if missing else f"{block}_t"
            if made not in steps.targets:
                aligned = f".reshape(T, {len(operands)}, *{(1,) * missing + x.shape})"
                steps.iterate(made, block + aligned if missing else block)
            return made
        source = self.of[x]
        held, first = self._name[source], source.members.index(x)
        if len(operands) == len(source.members):
            return held
        name = f"{held}_{first}_{len(operands)}"
        part = f"{first}:{first + len(operands)}"
        if held in steps.fixed:
            if name not in steps.fixed:
                steps.prologue.append(f"{name} = {held}[{part}]")
                steps.fixed.add(name)
        elif name not in steps.targets:
            whole = steps.sources[steps.targets.index(held)]
            steps.iterate(name, f"{whole}[:, {part}]")
        return name

    def _blocks_beside(self, values: Sequence[Var]) -> str:
        """The name of an array (T, k, ...) in which the blocks of k values lie side by side."""
        name, is_new = self._number("beside", *values)
        if not is_new:
            return name
        writer, leader = self._writer, values[0]
        before = writer.before
        if not self._product_beside(values, name):
            dtype = writer.constant(leader.dtype, "dtype_")
            lines = [f"{name} = empty((T, {len(values)}, *{leader.shape}), {dtype})"]
            for i, v in enumerate(values):
                lines.append(self._written_into(v, f"{name}[:, {i}]"))
            before += lines
        for i, v in enumerate(values):
            if v not in writer.place:
                before.append(f"v{v.number} = {name}[:, {i}]")
                writer.place[v] = f"v{v.number}"
                writer.listing.add("before", [v], over_time=True)
        return name

    def _written_into(self, v: Var, part: str) -> str:
        """The line that writes the block of v into an array."""
        writer = self._writer
        if v in writer.place or not _is_plain(v):
            return f"{part} = {writer.block(v, 'before')}"
        assert v.op is not None
        names = [
            writer.block(x, "before") if type(x) is Var else writer.constant(x) for x in v.args
        ]
        f = writer.constant(v.op.forward, f"{v.op.name}_")
        return f"{f}({', '.join(names)}, out={part})"

    def _product_beside(self, values: Sequence[Var], name: str) -> bool:
        """Write :meth:`_blocks_beside` as one product of x_t with all matrices, if x_t is a row."""
        writer, leader, count = self._writer, values[0], len(values)
        products, summands = [], []
        for v in values:
            product = next((x for x in v.inputs if _is_product(x)), v) if v.op is _add else v
            if v in writer.place or product in writer.place or not _is_product(product):
                return False
            products.append(product)
            summands += [x for x in v.args if x is not product and product is not v]
        shapes = {x.shape if type(x) is Var and x.level == CONSTANT else None for x in summands}
        xs = {v.inputs[0] for v in products}
        if math.prod(leader.shape[:-1]) != 1 or len(xs) > 1 or len(summands) not in (0, count):
            return False
        if any(v.shape != leader.shape for v in products) or shapes - {leader.shape[-1:]}:
            return False
        before = writer.before
        x = writer.block(xs.pop(), "before")
        matrices = [writer.block(v.inputs[1], "before") for v in products]
        flat = f"{name}_flat"
        writer.listing.add("before", products, over_time=True)
        before.append(f"{flat} = {x}.reshape(T, -1) @ concatenate([{', '.join(matrices)}], 1)")
        if summands:
            names = [writer.block(c, "before") for c in summands]
            writer.names["add"] = np.add
            before.append(f"add({flat}, concatenate([{', '.join(names)}]), {flat})")
        before.append(f"{name} = {flat}.reshape(T, {count}, *{leader.shape})")
        return True

    # ── the calls ────────────────────────────────────────────────────────────────────────

    def write(self, steps: Steps, pack: Pack) -> None:
        """Write the lines that compute a pack."""
        leader = pack.leader
        if leader in steps.parts:
            self._place_joined(steps, pack)
        if pack.is_product:
            self._write_products(steps, pack)
            return
        arguments = [self._operand(steps, pack, j) for j in range(len(leader.args))]
        if pack not in self._name:
            self._name[pack] = steps.take_buffer(leader, len(pack.members))
        steps.body += into(leader)(steps, leader, arguments, self._name[pack])

    def _write_products(self, steps: Steps, pack: Pack) -> None:
        """Products of the same rows with several matrices; of one row with all of them at once."""
        leader, writer = pack.leader, self._writer
        rows, matrices = steps.read(leader.args[0], leader), [v.args[1] for v in pack.members]
        if pack not in self._name:
            self._name[pack] = steps.take_buffer(leader, len(pack.members))
        held = self._name[pack]
        if math.prod(leader.shape[:-1]) == 1 and held in steps.fixed:
            names = [writer.in_order(y) for y in matrices]
            made, is_new = self._number("matrices", *names)
            flat = f"{held}_flat"
            if is_new:
                writer.before.append(f"{made} = concatenate([{', '.join(names)}], 1)")
            if flat not in steps.fixed:
                shape = (*leader.shape[:-1], len(matrices) * leader.shape[-1])
                steps.prologue.append(f"{flat} = {held}.reshape({shape})")
                steps.fixed.add(flat)
            steps.body.append(f"{rows}.dot({made}, {flat})")
            return
        for v, y in zip(pack.members, matrices, strict=True):
            steps.body.append(steps.product(v, rows, steps.read(y, leader), self.member(steps, v)))


def _is_product(v: Any) -> bool:
    """Whether v is x_t W, the same matrix at every step."""
    if type(v) is not Var or v.op is not _matmul or len(v.inputs) != 2:
        return False
    x, y = v.inputs
    return x.level == SEQUENCE and y.level == CONSTANT and len(y.shape) == 2 and len(x.shape) <= 2


def _is_plain(v: Var) -> bool:
    """Whether v is an elementwise operation of values of its own shape, or of constants."""
    if not is_elementwise(v):
        return False
    return all(x.level == CONSTANT or x.shape == v.shape for x in v.inputs)


__all__ = ["Packs"]
