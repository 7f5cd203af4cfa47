"""Operations that are alike and do not wait for each other, found so that one call does them all.

The gates of a cell are such: four products with h, four sums, four tanh. For a small net the calls
are most of the time, and four rows of numbers take hardly longer than one. A :class:`Pack` is some
values of a step that lie one behind the other in one array, (k, ...), and are computed as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..graph import table
from .trace import frozen
from .values import CONSTANT, LOOP, Var, dense

_matmul = table["matmul"]

#: The largest values, in elements, that packing gains anything for (measured).
LARGEST = 1024
#: The largest that are worth a copy to bring them together.
LARGEST_COPIED = 256


class Pack:
    """Values computed in one call.

    Attributes:
        members: in the order in which they lie.
        shared: for each operand whether it is the same for all members; else it is a part of
            another pack, or known before the loop.
    """

    __slots__ = ("members", "shared")

    def __init__(self, members: list[Var]):
        self.members = members
        pairs = zip(*(v.args for v in members), strict=True)
        self.shared = [all(x is xs[0] or type(x) is not Var for x in xs) for xs in pairs]

    @property
    def leader(self) -> Var:
        return self.members[0]

    @property
    def broadcasts(self) -> bool:
        """Whether a value of the step meets what differs from member to member."""
        operands = zip(self.leader.args, self.shared, strict=True)
        return (
            not self.is_product
            and not all(self.shared)
            and any(shared and type(x) is Var and x.level == LOOP for x, shared in operands)
        )

    @property
    def is_product(self) -> bool:
        return self.leader.op is _matmul


def packed(
    vars: Sequence[Var], excluded: Iterable[Var], places: Mapping[Var, tuple[Any, ...]]
) -> dict[Var, Pack]:
    """The packs of a loop, by their members.

    Args:
        vars: the values of the loop, each after what it is computed from.
        excluded: those that have to lie somewhere else.
        places: those that have to lie in this order among each other.
    """
    banned = set(excluded)
    depths = _depths(vars)
    while True:
        found = _grouped(vars, depths, banned, places)
        _order(found, places)
        wrong = [pack for pack in _each(found) if not _fits(pack, found, places)]
        if not wrong:
            return found
        banned.update(wrong[0].members)


def _each(found: Mapping[Var, Pack]) -> list[Pack]:
    return list(dict.fromkeys(found.values()))


def _depths(vars: Sequence[Var]) -> dict[Var, int]:
    """How many operations of the loop come before each: those of one depth are independent."""
    depths: dict[Var, int] = {}
    for v in vars:
        depths[v] = 1 + max((depths.get(x, 0) for x in v.inputs), default=0)
    return depths


def _grouped(
    vars: Sequence[Var],
    depths: Mapping[Var, int],
    banned: set[Var],
    places: Mapping[Var, tuple[Any, ...]],
) -> dict[Var, Pack]:
    found: dict[Var, Pack] = {}
    inside = set(vars)
    for v_depth in sorted(set(depths.values())):
        alike: dict[Any, list[Var]] = {}
        for v in vars:
            if depths[v] == v_depth and v not in banned and _packable(v):
                whole = places[v][0] if v in places else None
                key = (v.op, v.shape, v.dtype, whole, *[_kind(x, v, found, inside) for x in v.args])
                alike.setdefault(key, []).append(v)
        for members in alike.values():
            if len(members) > 1:
                pack = Pack(members)
                # Broadcasting costs as much as two calls more.
                if len(members) > 2 or not pack.broadcasts:
                    found.update(dict.fromkeys(members, pack))
    return found


def _packable(v: Var) -> bool:
    if v.op is None or v.shape == () or math.prod(v.shape) > LARGEST or v.dtype.name not in dense:
        return False
    if v.op is _matmul:
        x, y = v.args
        return (
            type(x) is Var
            and type(y) is Var
            and x.level == LOOP
            and y.level == CONSTANT
            and len(x.shape) <= 2
            and len(y.shape) == 2
            and x.dtype == y.dtype == v.dtype
        )
    alone = v.op in (table["sigmoid"], table["relu"])
    if not alone and not (isinstance(v.op.forward, np.ufunc) and table.get(v.op.name) is v.op):
        return False
    return all(x.dtype == v.dtype and len(x.shape) <= len(v.shape) for x in v.inputs)


def _kind(x: Any, v: Var, found: Mapping[Var, Pack], inside: set[Var]) -> Any:
    """What two operands have in common that can be one operand of a pack."""
    if type(x) is not Var:
        return frozen(x)
    if x.level < LOOP and x not in inside:
        given = x.op is None and x.level > CONSTANT  # it lies somewhere already
        if given and math.prod(x.shape) > LARGEST_COPIED:
            return x
        return (x.level, x.shape)
    # Products are of the same rows with several matrices.
    return found[x] if x in found and x.shape == v.shape and v.op is not _matmul else x


def _order(found: Mapping[Var, Pack], places: Mapping[Var, tuple[Any, ...]]) -> None:
    """Bring the members of each pack into the order in which later packs read them."""
    packs = _each(found)
    number = {pack: i for i, pack in enumerate(packs)}
    rank: dict[Var, tuple[Any, ...]] = {}
    for pack in reversed(packs):
        if pack.leader in places:
            pack.members.sort(key=lambda v: places[v][1:])
        else:
            last = (len(packs),)
            pack.members.sort(key=lambda v: rank.get(v, last))
        for position, v in enumerate(pack.members):
            for x in v.inputs:
                if x in found and found[x] is not pack:
                    rank[x] = min(rank.get(x, (len(packs),)), (number[pack], position))


def _fits(pack: Pack, found: Mapping[Var, Pack], places: Mapping[Var, tuple[Any, ...]]) -> bool:
    """Whether what is read and written lies one behind the other."""
    if pack.leader in places:
        start, width = places[pack.leader][1], pack.leader.shape[-1]
        if any(places[v][1] != start + i * width for i, v in enumerate(pack.members)):
            return False
    for j, shared in enumerate(pack.shared):
        operands = [v.args[j] for v in pack.members]
        if shared or operands[0] not in found:
            continue
        source = found[operands[0]].members
        first = source.index(operands[0])
        if operands != source[first : first + len(operands)]:
            return False
    return True


__all__ = ["LARGEST", "Pack", "packed"]
