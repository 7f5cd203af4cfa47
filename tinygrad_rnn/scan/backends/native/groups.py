"""Fusion: which operations share a loop nest.

A *nest* runs once through an index space, such as all rows and columns of a step's gates, and does
all operations of that shape whose operands are there: what only they read stays in registers.
Products of matrices stand between the nests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ....ops import primitives
from ....ops.shaping import _as_constant as as_constant
from ...ir import Value, filled, times_steps, total, total_matmul
from ...passes.buffers import part_indices
from .functions import INSTRUCTIONS, Unsupported
from .indices import added_at, confirmed, picked, total_added_at
from .memory import is_view
from .text import kind_of

_matmul, _sum, _sum_to = primitives.matmul, primitives.sum, primitives.sum_to
_max, _min, _prod = primitives.max, primitives.min, primitives.prod
#: What has a nest by itself, one number after the other.
ALONE = (added_at, total_added_at)
#: What a nest adds to memory: it holds nothing of it in registers.
SUMS = (total, *ALONE)
_casts = (primitives.astype, as_constant.primitive)  # type: ignore[attr-defined]

Space: TypeAlias = tuple[int, ...]


@dataclass(eq=False)
class Nest:
    """Operations in one loop nest.

    Attributes:
        space: the shape that it runs through.
        members: what it makes, each after its operands.
        reduced: along which axes it reduces, if it does.
    """

    space: Space
    members: list[Value] = field(default_factory=list)
    reduced: tuple[int, ...] | None = None


@dataclass(eq=False)
class Product:
    """A product of matrices, and what its sums start from.

    Attributes:
        made: the value that it makes: the product, or its sum with ``start``.
        product: the matmul itself.
    """

    made: Value
    product: Value
    start: Value | None


@dataclass(eq=False)
class Assembly:
    """A value put together of parts."""

    made: Value


Item: TypeAlias = Nest | Product | Assembly


# ── what an operation is ─────────────────────────────────────────────────────────────────


def is_elementwise(v: Value) -> bool:
    assert v.op is not None
    if v.op in (filled, times_steps, picked, confirmed, *_casts):
        return True
    return v.op.scalar is not None and not v.keywords


def reduced_axes(v: Value) -> tuple[int, ...] | None:
    """The axes that a reduction runs along; None for another operation."""
    if v.op in (_sum, _prod, _max, _min):
        rank = len(v.inputs[0].shape)
        axis = v.keywords["axis"]
        if axis is None or rank == 0:
            return tuple(range(rank))
        return tuple(sorted({a % rank for a in np.ravel(axis).tolist()}))
    if v.op is _sum_to:
        (x,) = v.inputs
        extra = len(x.shape) - len(v.shape)
        return tuple(i for i, n in enumerate(x.shape) if i < extra or v.shape[i - extra] != n)
    return None


def kept_axes(v: Value) -> list[int]:
    """Of a reduction: which axes of its operand the axes of its result are; -1 for new ones."""
    axes = reduced_axes(v)
    assert axes is not None
    (x,) = v.inputs
    kept = [i for i in range(len(x.shape)) if i not in axes]
    if v.op is _sum_to:
        extra = len(x.shape) - len(v.shape)
        return [i + extra if i + extra not in axes else -1 for i in range(len(v.shape))]
    if v.keywords["keepdims"]:
        return [-1 if i in axes else i for i in range(len(x.shape))]
    return kept


def require(v: Value) -> None:
    """Raise Unsupported for an operation that has no lowering."""
    op = v.op
    assert op is not None
    where = f"{op} of {', '.join(str(x.dtype) for x in v.inputs)}"
    for x in (v, *v.inputs):
        if kind_of(x.dtype) is None:
            raise Unsupported(f"{op}: {x.dtype}")
        if math.prod(x.shape) == 0:
            raise Unsupported(f"{op}: an array without elements")
    if is_view(v):
        return
    if is_elementwise(v):
        if op.scalar is not None and op.scalar not in INSTRUCTIONS and op.scalar != "where":
            raise Unsupported(where)
        return
    if op is _matmul or op is total_matmul:
        alike = v.dtype.char in "fd" and all(
            type(x) is Value and x.dtype == v.dtype for x in v.args
        )
        if alike and len(v.args[1].shape) == 2 and len(v.shape) >= 1:
            return
        raise Unsupported(where + f" {[x.shape for x in v.inputs]}")
    if op in (total, added_at, total_added_at):
        if v.dtype.kind == "b":
            raise Unsupported(where)
        return
    if reduced_axes(v) is not None:
        if op in (_max, _min) and v.dtype.kind == "b":
            raise Unsupported(where)
        return
    if part_indices(v) is not None:
        return
    raise Unsupported(where)


def root(x: Value) -> Value:
    """What a value is a view of."""
    while is_view(x):
        (x,) = x.inputs
    return x


# ── grouping ─────────────────────────────────────────────────────────────────────────────


def grouped(
    values: Sequence[Value],
    done: Iterable[Value],
    readers: dict[Value, int],
    leaf: Callable[[Value], bool],
) -> list[Item]:
    """Values, each after its operands, as items in an order in which they can run.

    Args:
        values: what is to be made.
        done: what is there already.
        readers: how often each value is read, as an operand or a result.
        leaf: whether a value lies in memory before any of these is made.
    """
    pending = [v for v in values if not is_view(v)]
    ready = set(done)
    items: list[Item] = []
    while pending:
        v = pending[0]
        item: Item
        if v.op is _matmul or v.op is total_matmul:
            item = _product(v, pending, readers, leaf)
            made = {item.made, item.product}
        elif part_indices(v) is not None:
            item, made = Assembly(v), {v}
        else:
            item = _nest(v, pending, ready)
            made = set(item.members)
        items.append(item)
        ready |= made
        pending = [x for x in pending if x not in made]
    return items


def _product(
    v: Value, pending: list[Value], readers: dict[Value, int], leaf: Callable[[Value], bool]
) -> Product:
    """A product; with the sum around it, where that is all that reads it."""
    if readers[v] == 1 and v.op is _matmul:
        for x in pending:
            if x.op is primitives.add and v in x.args and (x.shape, x.dtype) == (v.shape, v.dtype):
                other = x.args[1] if x.args[0] is v else x.args[0]
                if type(other) is Value and other.dtype == v.dtype and leaf(root(other)):
                    return Product(x, v, other)
    return Product(v, v, None)


def _space(v: Value) -> Space:
    """The shape that a nest runs through to make v."""
    if v.op in SUMS or reduced_axes(v) is not None:
        return v.inputs[0].shape
    return v.shape


def _nest(first: Value, pending: list[Value], ready: set[Value]) -> Nest:
    nest = Nest(_space(first))
    here: set[Value] = set()
    for v in pending:
        if v.op is _matmul or v.op is total_matmul or part_indices(v) is not None:
            continue
        if _space(v) != nest.space:
            continue
        if not all(_can_read(x, here, ready) for x in v.inputs):
            continue
        if v.op is picked and root(v.args[0]) not in ready:
            continue  # any element may be read
        if nest.members and any(x.op in ALONE for x in (v, nest.members[0])):
            continue
        axes = reduced_axes(v)
        if axes is not None:
            if nest.reduced not in (None, axes):
                continue
            nest.reduced = axes
        elif v.op not in SUMS:
            here.add(v)
        nest.members.append(v)
    assert nest.members, first
    return nest


def _can_read(x: Value, here: set[Value], ready: set[Value]) -> bool:
    if x in here:
        return True
    return root(x) in ready


__all__ = [
    "ALONE",
    "SUMS",
    "Assembly",
    "Item",
    "Nest",
    "Product",
    "grouped",
    "is_elementwise",
    "kept_axes",
    "reduced_axes",
    "require",
    "root",
]
