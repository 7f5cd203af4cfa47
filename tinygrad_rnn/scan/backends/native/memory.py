"""Where values lie in memory, and where views of them lie.

A *place* describes memory as NumPy does: an offset, and a stride for each axis. To find the place
of a view, NumPy makes that view of an array with the same strides. So views need no rules here.
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
    """LLVM's name for the dtype of a value."""
    kind = kind_of(v.dtype)
    assert kind is not None
    return kind


@dataclass(eq=False)
class Memory:
    """A piece of memory that generated code reads or writes.

    Attributes:
        name: its name in the text.
        kind: the kind of its elements.
        slot: the elements of a slot. A block has a slot for each step.
        slots: the number of slots: "one"; "T" or "T + 1" for a block; "two", used alternately.
        argument: its number among the arrays of a call, or among the constant arrays if it is
            ``constant``; None if it is part of the scratch or constant memory.
        constant: whether its contents depend on the constants alone.
    """

    name: str
    kind: str
    slot: int
    slots: str = "one"
    argument: int | None = None
    constant: bool = False

    @property
    def size(self) -> int:
        """The bytes of a slot."""
        return self.slot * SIZES[in_memory(self.kind)]


class Place(NamedTuple):
    """Where a value lies.

    Attributes:
        memory: the piece of memory.
        offset: the offset of its first element in a slot.
        strides: the strides in elements.
        shape: the shape of the value.
        when: which slot: "" for the only one, "t" for the present step's; for a carry, "old" for
            the one that the step reads and "new" for the one that it writes.
    """

    memory: Memory
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]
    when: str = ""

    def along(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The strides to read it as if broadcast to a shape."""
        missing = len(shape) - len(self.shape)
        strides = [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return (0,) * missing + tuple(strides)


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def plain(memory: Memory, shape: tuple[int, ...], when: str = "") -> Place:
    return Place(memory, 0, contiguous_strides(shape), shape, when)


def padded(shape: tuple[int, ...], kind: str) -> tuple[int, tuple[int, ...]]:
    """The size and strides of a matrix whose rows are padded if their length is a multiple of 1024
    bytes: such rows would compete for the same cache lines.
    """
    if len(shape) != 2 or shape[0] == 1:
        return math.prod(shape), contiguous_strides(shape)
    size = SIZES[in_memory(kind)]
    # For rows of 256 floats: 256 + 16, one cache line more. A cache finds the set of a line by the
    # low bits of its address, and rows 1024 bytes apart share few sets.
    row = shape[1] + (64 // size if shape[1] * size % 1024 == 0 else 0)
    return row * shape[0], (row, 1)


_getitem, _einsum = primitives.getitem, primitives.einsum


def view(place: Place, v: Value) -> Place | None:
    """The place of a view of a value at a place; None if NumPy would copy."""
    assert v.op is not None
    # For W (3, 4) at strides (4, 1):
    #
    #     W.T            NumPy makes a view: strides (1, 4)
    #     W[1:]          offset 4, strides (4, 1)
    #     W.T.reshape    no strides describe it, so NumPy copies: None
    if v.op is _getitem:
        return part(place, v.keywords["index"])
    x, memory = _stand_in(place)
    try:
        made = v.op.forward(x, **v.keywords)
    except (ValueError, TypeError, IndexError):
        return None
    return _as_place(place, x, made, memory)


def part(place: Place, index: Any) -> Place | None:
    """The place of the elements ``index`` of a value at a place; None if NumPy would copy."""
    x, memory = _stand_in(place)
    parts = parts_of(index)
    # With an Ellipsis NumPy returns a single element as a 0-d array, not as a scalar.
    dots = () if any(p is Ellipsis for p in parts) else (Ellipsis,)
    return _as_place(place, x, x[(*parts, *dots)], memory)


def _stand_in(place: Place) -> tuple[ndarray, ndarray]:
    """A byte array with a place's shape and strides, and the array that owns its memory."""
    reach = [(n - 1) * s for n, s in zip(place.shape, place.strides, strict=True)]
    # With elements of one byte, strides in bytes are strides in elements. A negative stride reaches
    # memory before the first element, so the array begins that much later.
    low = sum(r for r in reach if r < 0)
    memory = np.empty(sum(map(abs, reach)) + 1, np.int8)
    return np.ndarray(place.shape, np.int8, memory, -low, place.strides), memory


def _as_place(place: Place, x: ndarray, made: Any, memory: ndarray) -> Place | None:
    address, start, first = (a.__array_interface__["data"][0] for a in (made, x, memory))
    # An address outside of the memory belongs to a copy.
    if not first <= address < first + len(memory):
        return None
    return Place(place.memory, place.offset + address - start, made.strides, made.shape, place.when)


def is_view(v: Value) -> bool:
    """Whether an operation only reads elements of its operand in another order."""
    if v.op is None or v.op.is_view(v.keywords) not in (True, "maybe") or len(v.inputs) != 1:
        return False
    (x,) = v.inputs
    if v.op is _einsum and set(v.keywords["operands"][0]) != set(v.keywords["result"]):
        return False  # it sums over an index
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
