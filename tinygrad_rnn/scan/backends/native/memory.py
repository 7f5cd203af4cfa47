"""Where values lie in memory, and how views of them lie there.

A *place* is a piece of memory as NumPy knows it: an offset and a stride for each axis. So a view is
what NumPy makes of an array of the same strides, and needs no rules of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ....ops import primitives
from ...ir import Value, parts_of
from .text import SIZES, in_memory, kind_of


def kind_of_value(v: Value) -> str:
    """LLVM's name for the numbers of a value."""
    kind = kind_of(v.dtype)
    assert kind is not None
    return kind


@dataclass(eq=False)
class Memory:
    """A piece of memory that generated code reads or writes.

    Attributes:
        name: in the text.
        kind: of its elements.
        slot: how many elements it has, for each step where it is a block.
        slots: "one"; "T" or "T + 1" for a block of all steps; "two" that steps use in turns.
        argument: its number among the arrays of a call, or among those that are the same at many
            calls where it is ``constant``; None where it is a part of a larger piece.
        constant: whether it holds what depends on the constants alone.
    """

    name: str
    kind: str
    slot: int
    slots: str = "one"
    argument: int | None = None
    constant: bool = False

    @property
    def size(self) -> int:
        """Bytes of a slot."""
        return self.slot * SIZES[in_memory(self.kind)]


class Place(NamedTuple):
    """Where a value lies.

    Attributes:
        memory: in which piece.
        offset: of its first element from the beginning of a slot.
        strides: in elements.
        shape: its own.
        when: which slot: "" (the only one), "t" (that of the step); of a carry "old" and "new".
    """

    memory: Memory
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]
    when: str = ""

    def along(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The strides with which it is read in the place of an array of a larger shape."""
        missing = len(shape) - len(self.shape)
        strides = [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return (0,) * missing + tuple(strides)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def plain(memory: Memory, shape: tuple[int, ...], when: str = "") -> Place:
    return Place(memory, 0, contiguous_strides(shape), shape, when)


def padded(shape: tuple[int, ...], kind: str) -> tuple[int, tuple[int, ...]]:
    """The size and the strides of rows that do not all lie in the same places of a cache."""
    if len(shape) != 2 or shape[0] == 1:
        return math.prod(shape), contiguous_strides(shape)
    size = SIZES[in_memory(kind)]
    row = shape[1] + (64 // size if shape[1] * size % 1024 == 0 else 0)
    return row * shape[0], (row, 1)


_getitem, _einsum = primitives.getitem, primitives.einsum


def view(place: Place, v: Value) -> Place | None:
    """Where a view lies of what lies at a place; None where NumPy would copy."""
    assert v.op is not None
    if v.op is _getitem:
        return part(place, v.keywords["index"])
    x, memory = _stand_in(place)
    try:
        made = v.op.forward(x, **v.keywords)
    except (ValueError, TypeError, IndexError):
        return None
    return _as_place(place, x, made, memory)


def part(place: Place, index: Any) -> Place | None:
    """Where a part lies of what lies at a place."""
    x, memory = _stand_in(place)
    parts = parts_of(index)
    # With an Ellipsis NumPy makes an array () of a single element, not a number.
    dots = () if any(p is Ellipsis for p in parts) else (Ellipsis,)
    return _as_place(place, x, x[(*parts, *dots)], memory)


def _stand_in(place: Place) -> tuple[ndarray, ndarray]:
    """An array of bytes with a place's strides, and the memory that it lies in."""
    reach = [(n - 1) * s for n, s in zip(place.shape, place.strides, strict=True)]
    low = sum(r for r in reach if r < 0)
    memory = np.empty(sum(map(abs, reach)) + 1, np.int8)
    return np.ndarray(place.shape, np.int8, memory, -low, place.strides), memory


def _as_place(place: Place, x: ndarray, made: Any, memory: ndarray) -> Place | None:
    address, start, first = (a.__array_interface__["data"][0] for a in (made, x, memory))
    if not first <= address < first + len(memory):
        return None
    return Place(place.memory, place.offset + address - start, made.strides, made.shape, place.when)


def is_view(v: Value) -> bool:
    """Whether an operation only names elements of its operand in another order."""
    if v.op is None or v.op.is_view(v.keywords) not in (True, "maybe") or len(v.inputs) != 1:
        return False
    (x,) = v.inputs
    if v.op is _einsum and set(v.keywords["operands"][0]) != set(v.keywords["result"]):
        return False  # it sums
    return kind_of(x.dtype) is not None


__all__ = [
    "Memory",
    "Place",
    "contiguous_strides",
    "is_view",
    "kind_of_value",
    "padded",
    "part",
    "plain",
    "view",
]
