"""Fusion: decide which operations share a loop nest.

A *nest* loops once over an index space, such as all rows and columns of a step's gates. It computes
all operations of that shape whose operands are ready. Values that only the nest reads stay in
registers. Matrix products run between the nests.
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
#: Operations that need a nest of their own, which runs one number at a time.
ALONE = (added_at, total_added_at)
#: Sums that a nest adds up in memory, not in registers.
SUMS = (total, *ALONE)
_casts = (primitives.astype, as_constant.primitive)  # type: ignore[attr-defined]

Space: TypeAlias = tuple[int, ...]


@dataclass(eq=False)
class Nest:
    """Operations in one loop nest.

    Attributes:
        space: the shape that it loops over.
        members: the values that it computes, operands first.
        reduced: the axes of its reductions; None if it has none. All its reductions share them.
    """

    space: Space
    members: list[Value] = field(default_factory=list)
    reduced: tuple[int, ...] | None = None


@dataclass(eq=False)
class Product:
    """A matrix product, and what its sums start from.

    Attributes:
        result: the value that it computes: the product, or the sum of product and ``start``.
        product: the matmul itself.
        start: the value that the sums start from; None for 0.
    """

    result: Value
    product: Value
    start: Value | None


@dataclass(eq=False)
class Assembly:
    """A value that is assembled from parts."""

    result: Value


Item: TypeAlias = Nest | Product | Assembly


# ── kinds of operations ──────────────────────────────────────────────────────────────────


def is_elementwise(v: Value) -> bool:
    assert v.op is not None
    if v.op in (filled, times_steps, picked, confirmed, *_casts):
        return True
    return v.op.scalar is not None and not v.keywords


def reduced_axes(v: Value) -> tuple[int, ...] | None:
    """The axes of a reduction; None for any other operation."""
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
    """For each axis of a reduction's result, the axis of its operand; -1 for a new axis."""
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
    """Raise Unsupported if an operation has no lowering."""
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
    """The value that x is a view of, or x."""
    while is_view(x):
        (x,) = x.inputs
    return x


# ── grouping ─────────────────────────────────────────────────────────────────────────────


def group(
    values: Sequence[Value],
    done: Iterable[Value],
    readers: dict[Value, int],
    leaf: Callable[[Value], bool],
) -> list[Item]:
    """Group values into items, in an order in which these can run.

    Args:
        values: the values to compute, operands first.
        done: the values that are computed already.
        readers: how often each value is read, as an operand or a result.
        leaf: whether a value lies in memory before any of these is computed.
    """
    # The step of a GRU cell becomes three items:
    #
    #     Nest (N, 3H)   x W' + b
    #     Product        h U' + b
    #     Nest (N, H)    both gates, n and the new h: ten operations in one loop
    #
    # The first value that is left decides which item comes next. A nest then takes every later
    # value that it can compute too.
    pending = [v for v in values if not is_view(v)]
    ready = set(done)
    items: list[Item] = []
    while pending:
        v = pending[0]
        item: Item
        if v.op is _matmul or v.op is total_matmul:
            item = _product(v, pending, readers, leaf)
            computed = {item.result, item.product}
        elif part_indices(v) is not None:
            item, computed = Assembly(v), {v}
        else:
            item = _nest(v, pending, ready)
            computed = set(item.members)
        items.append(item)
        ready |= computed
        pending = [x for x in pending if x not in computed]
    return items


def _product(
    v: Value, pending: list[Value], readers: dict[Value, int], leaf: Callable[[Value], bool]
) -> Product:
    """A product, together with the sum that reads it, if nothing else does."""
    # The sum then costs nothing: the kernel starts from the other operand. That must lie in memory
    # before this batch: the product may run before the item that would compute it.
    if readers[v] == 1 and v.op is _matmul:
        for x in pending:
            if x.op is primitives.add and v in x.args and (x.shape, x.dtype) == (v.shape, v.dtype):
                other = x.args[1] if x.args[0] is v else x.args[0]
                if type(other) is Value and other.dtype == v.dtype and leaf(root(other)):
                    return Product(x, v, other)
    return Product(v, v, None)


def _space(v: Value) -> Space:
    """The shape that a nest loops over to compute v."""
    if v.op in SUMS or reduced_axes(v) is not None:
        return v.inputs[0].shape
    return v.shape


def _nest(first: Value, pending: list[Value], ready: set[Value]) -> Nest:
    """The nest of the first value, with all pending values that can join it."""
    nest = Nest(_space(first))
    here: set[Value] = set()
    for v in pending:
        # Operands come before their readers, so one pass finds all members.
        if v.op is _matmul or v.op is total_matmul or part_indices(v) is not None:
            continue
        if _space(v) != nest.space:
            continue
        # An operand is ready if it lies in memory, or if a member computed it at the same index.
        if not all(_can_read(x, here, ready) for x in v.inputs):
            continue
        if v.op is picked and root(v.args[0]) not in ready:
            continue  # it may read any element, so its table must be complete
        # Their order matters: an element may be added to twice.
        if nest.members and any(x.op in ALONE for x in (v, nest.members[0])):
            continue
        axes = reduced_axes(v)
        if axes is not None:
            if nest.reduced not in (None, axes):
                # All reductions of a nest are inside the same loops.
                continue
            nest.reduced = axes
        elif v.op not in SUMS:
            # Reductions and sums are complete after the nest only, so no member may read them.
            here.add(v)
        nest.members.append(v)
    assert nest.members, first
    return nest


def _can_read(x: Value, here: set[Value], ready: set[Value]) -> bool:
    # A view of a member reads it at another index, where it may not be computed yet. So a view
    # counts only if its root lies in memory.
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
    "group",
    "is_elementwise",
    "kept_axes",
    "reduced_axes",
    "require",
    "root",
]
