"""Pack: run equal operations that do not depend on each other in one call.

The gates of a cell are an example: four products with h, four sums, three exponentials. In a small
net most of the time goes into calls, and four rows of numbers take hardly longer than one.

A *pack* is one value (k, ...) instead of k values, which become its parts ``pack[i]``. Each operand
of a pack is a pack too, or one value that all members share, or values known before the loop,
which are stacked there.

Two gates of H units for one row h (1, H), where a_t and b_t are known before the loop:

    every step, before               every step, after
    v1 = h @ W                       v1 = h @ [W | V]          (1, 2 H)
    v2 = h @ V                       v2 = v1 as (2, 1, H)      a view: v2[0] is h @ W
    v3 = v1 + a_t                    v3 = v2 + [a_t; b_t]      (2, 1, H)
    v4 = v2 + b_t                    v4 = exp(v3)              (2, 1, H)
    r = exp(v3)                      r = v4[0]                 a view
    z = exp(v4)                      z = v4[1]                 a view

``[W | V]`` and ``[a_t; b_t]`` are put together before the loop. Views of buffers are made there
too, once for all steps. So six calls a step become three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...ops import primitives
from ..ir import CONSTANT, LOOP, Builder, Program, Value, join, parts_of
from ..trace import frozen
from .simplify import is_ufunc

_matmul = primitives.matmul

#: The largest values, in elements, that packing gains anything for (measured).
LARGEST = 1024
#: The largest that are worth a copy to bring them together.
LARGEST_COPIED = 256


class _Pack:
    """Values to compute in one call.

    Attributes:
        members: the values, in the order in which they lie in the pack.
    """

    def __init__(self, members: list[Value]):
        self.members = members

    @property
    def leader(self) -> Value:
        return self.members[0]

    @property
    def is_product(self) -> bool:
        return self.leader.op is _matmul

    def operands(self, j: int) -> list[Any]:
        return [v.args[j] for v in self.members]

    def shares(self, j: int) -> bool:
        """Whether operand j is the same for all members."""
        operands = self.operands(j)
        return all(x is operands[0] or type(x) is not Value for x in operands)

    @property
    def broadcasts(self) -> bool:
        """Whether a shared value of the step is broadcast against operands that differ."""
        shared = [self.shares(j) for j in range(len(self.leader.args))]
        return (
            not self.is_product
            and not all(shared)
            and any(
                # A shared value that is known before the loop is broadcast there, once.
                same and type(x) is Value and x.level == LOOP
                for x, same in zip(self.leader.args, shared, strict=True)
            )
        )


def pack(program: Program) -> Program:
    """A scheduled program with equal operations of the step packed; not scheduled."""
    packs = _find_packs(program)
    if not packs:
        return program
    return _Rebuilder(program, packs).program


# ── finding packs ────────────────────────────────────────────────────────────────────────


def _find_packs(program: Program) -> dict[Value, _Pack]:
    """The packs of a program, by their members.

    Members that cannot be packed are banned and the search starts again: without a pack, others
    that read it may no longer fit.
    """
    # A new carry is written straight to where the next step reads it. As a member it would be a
    # part of the pack, and would have to be copied there.
    columns = _columns_of_joins(program.step)
    handed_on = {v for v in program.new_carries if v.level == LOOP}
    banned = set(handed_on)
    depths = _depths(program.step)
    while True:
        packs = _group(program.step, depths, banned, columns)
        _sort_members(packs, columns)
        wrong = [a_pack for a_pack in _distinct(packs) if not _fits(a_pack, packs, columns)]
        if not wrong:
            return packs
        # One pack at a time: others may fit once this one is gone.
        banned.update(wrong[0].members)


def _columns_of_joins(step: Sequence[Value]) -> dict[Value, tuple[Value, int]]:
    """For each part of a join of one row: the join, and the part's first column."""
    columns: dict[Value, tuple[Value, int]] = {}
    for v in step:
        # In a single row, neighbouring columns are neighbours in memory, so a pack can lie within
        # the row. With several rows the parts alternate row by row.
        if v.op is not join or math.prod(v.shape) != v.shape[-1]:
            continue
        for part, index in zip(v.args, v.keywords["indices"], strict=True):
            last = parts_of(index)[-1]
            if type(last) is slice and part.shape[:-1] == v.shape[:-1] and part not in columns:
                where = range(*last.indices(v.shape[-1]))
                if where.step == 1 and len(where) == part.shape[-1]:
                    columns[part] = (v, where.start)
    return columns


def _distinct(packs: Mapping[Value, _Pack]) -> list[_Pack]:
    return list(dict.fromkeys(packs.values()))


def _depths(step: Sequence[Value]) -> dict[Value, int]:
    """The depth of each operation in the step. Operations of equal depth are independent."""
    depths: dict[Value, int] = {}
    for v in step:
        # An operand always has a smaller depth than the operations that read it.
        depths[v] = 1 + max((depths.get(x, 0) for x in v.inputs), default=0)
    return depths


def _group(
    step: Sequence[Value],
    depths: Mapping[Value, int],
    banned: set[Value],
    columns: Mapping[Value, tuple[Value, int]],
) -> dict[Value, _Pack]:
    """Group equal operations of equal depth into packs, from the first operations to the last.

    Operands are compared by :func:`_operand_key`: different members of one pack count as equal.
    """
    packs: dict[Value, _Pack] = {}
    # By depth, so that the packs of the operands are known before those of their readers.
    for depth in sorted(set(depths.values())):
        alike: dict[Any, list[Value]] = {}
        for v in step:
            if depths[v] == depth and v not in banned and _packable(v):
                # Parts of different joins cannot lie side by side, so they go into different packs.
                whole = columns[v][0] if v in columns else None
                kinds = [_operand_key(x, v, packs, depths) for x in v.args]
                key = (v.op, frozen(v.keywords), v.shape, v.dtype, whole, *kinds)
                alike.setdefault(key, []).append(v)
        for members in alike.values():
            if len(members) > 1:
                candidate = _Pack(members)
                # Broadcasting costs as much as two more calls.
                if len(members) > 2 or not candidate.broadcasts:
                    packs.update(dict.fromkeys(members, candidate))
    return packs


def _packable(v: Value) -> bool:
    """Whether an operation can be a member of a pack: small, and a product or elementwise."""
    if v.op is None or not v.shape or math.prod(v.shape) > LARGEST or v.dtype.char not in "fd":
        return False
    if v.op is _matmul:
        x, y = v.args
        return (
            type(x) is Value
            and type(y) is Value
            and x.level == LOOP
            and y.level == CONSTANT
            and len(x.shape) <= 2
            and len(y.shape) == 2
            and x.dtype == y.dtype == v.dtype
        )
    if not is_ufunc(v.op):
        return False
    return all(x.dtype == v.dtype and len(x.shape) <= len(v.shape) for x in v.inputs)


def _operand_key(
    x: Any, v: Value, packs: Mapping[Value, _Pack], depths: Mapping[Value, int]
) -> Any:
    """The key of an operand x of v: operands with equal keys can be one operand of a pack."""
    if type(x) is not Value:
        return frozen(x)
    # Computed before the loop: it can be stacked with others there, so only its shape matters.
    if x.level < LOOP and x not in depths:
        given = x.op is None and x.level > CONSTANT  # it is an input, so stacking it means a copy
        if given and math.prod(x.shape) > LARGEST_COPIED:
            return x
        return (x.level, x.shape, x.dtype)
    # Packed products multiply the same rows by several matrices, so the rows must be one value.
    # A pack is an operand only if its members have v's shape. The pack (2, H) against (2, N, H)
    # would be broadcast as (1, 2, H): its members would meet the rows and not the members of v.
    # With N = 2 this would raise no error.
    return packs[x] if x in packs and x.shape == v.shape and v.op is not _matmul else x


def _sort_members(found: Mapping[Value, _Pack], columns: Mapping[Value, tuple[Value, int]]) -> None:
    """Sort the members of each pack into the order in which later packs read them."""
    # Backwards: the order of the readers must be known before that of their operands.
    packs = _distinct(found)
    number = {a_pack: i for i, a_pack in enumerate(packs)}
    rank: dict[Value, tuple[Any, ...]] = {}
    for a_pack in reversed(packs):
        if a_pack.leader in columns:
            a_pack.members.sort(key=lambda v: columns[v][1])
        else:
            # Members that no pack reads come last.
            last = (len(packs),)
            a_pack.members.sort(key=lambda v: rank.get(v, last))
        for position, v in enumerate(a_pack.members):
            for x in v.inputs:
                if x in found and found[x] is not a_pack:
                    # The order in the earliest reading pack counts. If another pack wants another
                    # order, ``_fits`` refuses it.
                    rank[x] = min(rank.get(x, (len(packs),)), (number[a_pack], position))


def _fits(
    a_pack: _Pack, packs: Mapping[Value, _Pack], columns: Mapping[Value, tuple[Value, int]]
) -> bool:
    """Whether the pack reads and writes its members at consecutive places."""
    if a_pack.leader in columns:
        start, width = columns[a_pack.leader][1], a_pack.leader.shape[-1]
        if any(columns[v][1] != start + i * width for i, v in enumerate(a_pack.members)):
            return False
    for j in range(len(a_pack.leader.args)):
        operands = a_pack.operands(j)
        if a_pack.shares(j) or operands[0] not in packs:
            continue
        # Consecutive members are a slice of the pack, which is a view. Others would be copied.
        source = packs[operands[0]].members
        first = source.index(operands[0])
        if operands != source[first : first + len(operands)]:
            return False
    return True


# ── the program with packs ───────────────────────────────────────────────────────────────


class _Rebuilder:
    """Rebuilds a program so that each pack is one value."""

    def __init__(self, program: Program, packs: Mapping[Value, _Pack]):
        self.packs = packs
        self.build = Builder(start=max((v.number for v in program.computed), default=0))
        self.new: dict[Value, Value] = {v: v for v in program.inputs}
        self.whole: dict[_Pack, Value] = {}
        # Depth first, without recursion. A pack needs the operands of all its members. All members
        # have one depth, and their operands smaller ones, so no pack can wait for itself.
        waiting = list(reversed(program.results))
        while waiting:
            v = waiting[-1]
            needed = [x for x in self.needed(v) if x not in self.new]
            if v in self.new:
                waiting.pop()
            elif needed:
                waiting += reversed(needed)
            else:
                waiting.pop()
                self.make(v)
        self.program = program.with_results(self.new.__getitem__)

    def needed(self, v: Value) -> list[Value]:
        members = self.packs[v].members if v in self.packs else [v]
        return [x for member in members for x in member.inputs]

    def make(self, v: Value) -> None:
        """Make the value v of the new program, or the pack that v is a member of."""
        a_pack = self.packs.get(v)
        if a_pack is not None:
            self.make_pack(a_pack)
        elif v.op is None:
            self.new[v] = v
        elif v.op is join:
            self.new[v] = self.joined(v)
        else:
            assert v.op is not None
            args = tuple(self.new[x] if type(x) is Value else x for x in v.args)
            self.new[v] = self.build.plain(v.op, args, v.keywords, v.shape, v.dtype)
        for member in [v] if a_pack is None else a_pack.members:
            if member.name is not None and self.new[member].name is None:
                self.new[member].name = member.name

    def make_pack(self, a_pack: _Pack) -> None:
        """Make the value of a pack, and its members as parts of it."""
        leader, build = a_pack.leader, self.build
        assert leader.op is not None
        count = len(a_pack.members)
        shape = (count, *leader.shape)
        if a_pack.is_product:
            rows, matrices = self.new[leader.args[0]], [self.new[y] for y in a_pack.operands(1)]
            # For one row the result (1, k m) is contiguous as (k, 1, m). For N rows it is not: each
            # row holds the columns of all k. Then k products write into the parts of one array.
            if math.prod(leader.shape[:-1]) == 1:  # one row times all matrices side by side
                at_once = build.matmul(rows, build.concatenate(matrices))
                whole = build.reshape(at_once, shape)
            else:
                products = [build.matmul(rows, y) for y in matrices]
                whole = build.stack(products)
                self.new.update(zip(a_pack.members, products, strict=True))
        else:
            args = tuple(self.operand(a_pack, j) for j in range(len(leader.args)))
            whole = build.plain(leader.op, args, leader.keywords, shape, leader.dtype)
        self.whole[a_pack] = whole
        for i, v in enumerate(a_pack.members):
            if v not in self.new:
                self.new[v] = build.getitem(whole, i)

    def operand(self, a_pack: _Pack, j: int) -> Any:
        """Operand j of all members, as one value."""
        operands = a_pack.operands(j)
        x = operands[0]
        if a_pack.shares(j):
            return self.new[x] if type(x) is Value else x
        if x in self.packs:
            source = self.packs[x]
            first = source.members.index(x)
            if len(operands) == len(source.members):
                return self.whole[source]
            return self.build.getitem(self.whole[source], slice(first, first + len(operands)))
        stacked = self.build.stack([self.new[y] for y in operands])
        # Axes of length 1 go after axis 0, so that axis 0 still counts the members: (k, H) becomes
        # (k, 1, H) against (k, N, H).
        missing = len(a_pack.leader.shape) - len(x.shape)
        return self.build.reshape(stacked, (len(operands), *(1,) * missing, *x.shape))

    def joined(self, v: Value) -> Value:
        """A join. The parts of a row that are a pack are contiguous already, so join the pack."""
        parts: list[Value] = []
        indices: list[Any] = []
        seen: set[_Pack] = set()
        for part, index in zip(v.args, v.keywords["indices"], strict=True):
            a_pack = self.packs.get(part)
            if a_pack is None or a_pack.is_product or not self.fills(v, a_pack):
                parts.append(self.new[part])
                indices.append(index)
            # The whole pack takes the place of its first part; the other parts are left out.
            elif a_pack not in seen:
                seen.add(a_pack)
                width = part.shape[-1] * len(a_pack.members)
                start = parts_of(self.index_of(v, a_pack.leader))[-1].indices(v.shape[-1])[0]
                row = (*v.shape[:-1], width)
                parts.append(self.build.reshape(self.whole[a_pack], row))
                indices.append((Ellipsis, slice(start, start + width)))
        keywords = {"indices": tuple(indices), "shape": v.shape}
        return self.build.plain(join, tuple(parts), keywords, v.shape, v.dtype)

    def index_of(self, v: Value, part: Value) -> Any:
        return v.keywords["indices"][v.args.index(part)]

    def fills(self, v: Value, a_pack: _Pack) -> bool:
        """Whether the members of a pack are consecutive columns of the row v."""
        if math.prod(v.shape) != v.shape[-1] or any(v.args.count(x) != 1 for x in a_pack.members):
            return False
        starts = []
        for x in a_pack.members:
            last = parts_of(self.index_of(v, x))[-1]
            if type(last) is not slice or last.indices(v.shape[-1])[2] != 1:
                return False
            starts.append(last.indices(v.shape[-1])[0])
        width = a_pack.leader.shape[-1]
        return all(start == starts[0] + i * width for i, start in enumerate(starts))


__all__ = ["LARGEST", "LARGEST_COPIED", "pack"]
