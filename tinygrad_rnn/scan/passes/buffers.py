"""Buffers: choose the memory of every value of the step, for the NumPy back end.

A value that is read after the loop is written straight into its block, which holds all time steps.
A new carry is written where the next step reads it. A part of a larger value is written into that
value. All others lie in buffers, which every step uses again.

All memory that the steps write to is allocated here, so its strides are known. To find out whether
an operation returns a view or a copy, it is run on an array with the same strides. A buffer is used
again as soon as nothing reads it any more, directly or through a view. (For registers instead of
buffers, compilers call this linear-scan allocation: Poletto and Sarkar, 1999.)

For the step ``a = h @ W; b = a + x_t; new h = tanh(b)``, whose new h is an output too:

    a    buffer 0
    b    buffer 0    in place: a is read here for the last time
    h    next        row t + 1 of the block of h, where the next step reads it
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from ...ops import primitives
from ..blas import product_in_pieces
from ..ir import LOOP, Program, Value, join
from .schedule import kept_of_every_step
from .simplify import is_ufunc

_matmul, _stack, _concatenate = primitives.matmul, primitives.stack, primitives.concatenate
_reshape = primitives.reshape


@dataclass(frozen=True)
class Place:
    """Where a value of the step lies.

    Attributes:
        kind: one of

            * ``"block"``: row t of the value's own block
            * ``"next"``: where the next step reads the carry ``index``
            * ``"buffer"``: the buffer ``index``
            * ``"part"``: the elements ``index`` of ``whole``, in the value's shape
            * ``"view"``: a view of its input
            * ``"fresh"``: a new array that NumPy allocates
    """

    kind: str
    index: Any = None
    whole: Value | None = None


@dataclass(frozen=True)
class Memory:
    """The memory of a step.

    Attributes:
        places: the place of every value of the step.
        buffers: the shape and dtype of each buffer.
        kept: the carries and values that are read after the loop and have a block.
        views: the values that are read after the loop, but are views: after the loop they are made
            again from the block of their input.
        zeroed: joins whose blocks start as zeros, so gaps need no clearing.
        scattered: values that are not contiguous.
    """

    places: dict[Value, Place]
    buffers: list[tuple[tuple[int, ...], np.dtype[Any]]]
    kept: dict[Value, None]
    views: dict[Value, None]
    zeroed: set[Value]
    scattered: set[Value]


def buffers(program: Program) -> Memory:
    """Plan the memory of the step of a scheduled program."""
    return _Planner(program).memory()


def may_be_view(v: Value) -> bool:
    """Whether v may share memory with its first operand."""
    return v.op is not None and v.op.is_view(v.keywords) is not False


def is_opaque(v: Value) -> bool:
    """Whether it is unknown if v's operation returns a view of an operand."""
    return v.op is not None and v.op.is_view(v.keywords) == "unknown"


def covers(v: Value) -> bool:
    """Whether the parts of a join leave no gap."""
    used = np.zeros(v.shape, np.bool_)
    for index in v.keywords["indices"]:
        used[index] = True
    return bool(used.all())


def part_indices(v: Value) -> list[Any] | None:
    """The index of each operand in v, if v only puts them side by side; else None."""
    if v.op is join:
        return list(v.keywords["indices"])
    # A part of another dtype would have to be converted on its way into v.
    if any(type(x) is not Value or x.dtype != v.dtype for x in v.args):
        return None
    if v.op is _stack:
        before = (slice(None),) * (v.keywords["axis"] % len(v.shape))
        return [(*before, i) for i in range(len(v.args))]
    if v.op is _concatenate:
        axis = v.keywords["axis"] % len(v.shape)
        starts = np.cumsum([0, *(x.shape[axis] for x in v.args)]).tolist()
        before = (slice(None),) * axis
        return [(*before, slice(a, b)) for a, b in itertools.pairwise(starts)]
    return None


def writes_into(v: Value) -> bool:
    """Whether v's operation can write its result into memory of v's shape and dtype."""
    op = v.op
    assert op is not None
    if op is _matmul or is_ufunc(op):
        return v.dtype.kind in "fiub"
    if op is product_in_pieces or part_indices(v) is not None:
        return True
    # Booleans may be conditions, as in ``where``. Other dtypes would need a conversion first.
    alike = all(x.dtype == v.dtype or x.dtype.kind == "b" for x in v.inputs)
    return op.emit is not None and alike


class _Planner:
    """Plans the memory of a step.

    First it finds the values whose place is fixed: in blocks, carries and larger values. Then it
    goes through the operations in order and gives each other value a buffer. A buffer is free again
    after the last operation that reads its value, directly or through a view.
    """

    def __init__(self, program: Program):
        self.program = program
        self.step = program.step
        self.position = {v: i for i, v in enumerate(self.step)}
        self.handed_over = len(self.step)  # the position after the last operation
        self.places: dict[Value, Place] = {}
        self.views: dict[Value, None] = {}
        self.kept = self.to_keep()
        self.next = self.handed_on()
        self.parts = self.found_parts()
        #: An array with the strides of each value's memory; None where they are not known.
        self.layout: dict[Value, ndarray | None] = {}
        self.buffers: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        self.free: dict[Any, list[int]] = {}
        self.held: dict[Value, int] = {}  # the buffer that each value lies in

    def memory(self) -> Memory:
        """Place every value of the step, in order."""
        # Sequences come from the caller, with any strides. The loop allocates the carries itself.
        for v in (*self.program.sequences, *self.program.before):
            self.layout[v] = None
        for v in self.program.carries:
            self.layout[v] = np.empty(v.shape, v.dtype)
        # Last uses come first: places are chosen by them, operation by operation.
        self.last = self.last_uses()
        zeroed = {v for v in self.kept if v.op is join and not covers(v)}
        for i, v in enumerate(self.step):
            self.place(v, i)
        scattered = {
            v
            for v, memory in self.layout.items()
            if memory is not None and not memory.flags.c_contiguous
        }
        return Memory(self.places, self.buffers, self.kept, self.views, zeroed, scattered)

    # ── values whose place is fixed ──────────────────────────────────────────────────────

    def to_keep(self) -> dict[Value, None]:
        """The values with a block: those read after the loop, or those that these are views of."""
        kept: dict[Value, None] = {}
        waiting = list(kept_of_every_step(self.program))
        while waiting:
            v = waiting.pop()
            if v in kept or v in self.views:
                continue
            # A view of values that do not vary has no block to be made of again.
            inputs = [x for x in v.inputs if x.varies]
            if v in self.position and may_be_view(v) and not is_opaque(v) and inputs:
                self.views[v] = None
                # A view needs no block of its own: after the loop it is made again, of the block of
                # its input. So that input is kept instead.
                waiting += [x for x in inputs if x in self.position or x.level == LOOP]
            else:
                kept[v] = None
        return kept

    def handed_on(self) -> dict[Value, int]:
        """The values that are written where the next step reads a carry, and which carry it is."""
        carries: dict[Value, int] = {}
        for i, v in enumerate(self.program.new_carries):
            # A view has no memory of its own. And one value can be written to one place only: if it
            # is the new value of two carries, the second one is a copy.
            if v in self.position and v not in carries and not may_be_view(v) and writes_into(v):
                carries[v] = i
        return carries

    def found_parts(self) -> dict[Value, Place]:
        """Values that are written straight into the larger value that they are part of."""
        parts: dict[Value, Place] = {}
        wholes: set[Value] = set()
        for v in self.step:
            indices = part_indices(v)
            if indices is None or v in parts or not v.shape:
                continue
            if v.op is join and v not in self.kept and not covers(v):
                continue  # its gaps are set to 0 when it is assembled, which would erase parts
            for x, index in zip(v.args, indices, strict=True):
                # h.reshape(2, 4) is written as h, into memory that is seen in h's shape: ``fits``.
                x = self.before_reshape(x)
                size = math.prod(np.empty(v.shape, np.bool_)[index].shape)
                # x is computed in the step, into memory that can be chosen, and is not broadcast.
                # It has no place yet: if it is a part twice, the second one is a copy. If it is
                # read after the loop, it must lie in a block: a buffer is used again at every step.
                if (
                    type(x) is Value
                    and x in self.position
                    and size == math.prod(x.shape)
                    and x.dtype == v.dtype
                    and x not in parts
                    and x not in wholes
                    and x not in self.next
                    and part_indices(x) is None
                    and not may_be_view(x)
                    and writes_into(x)
                    and (x not in self.kept or v in self.kept)
                    and self.fits(v, index, x)
                ):
                    parts[x] = Place("part", index, v)
                    wholes.add(v)
        return parts

    def before_reshape(self, x: Any) -> Any:
        """The value that x is a reshape of, or x."""
        while type(x) is Value and x in self.position and x.op is _reshape:
            (x,) = x.inputs
        return x

    def fits(self, whole: Value, index: Any, x: Value) -> bool:
        """Whether the part of a whole can be seen in x's shape."""
        memory = np.empty(whole.shape, whole.dtype)
        # Reshaping a part copies it where its strides do not allow a view.
        part = memory[index]
        return part.size > 0 and np.may_share_memory(part.reshape(x.shape), memory)

    # ── placing the values in order ──────────────────────────────────────────────────────

    def place(self, v: Value, i: int) -> None:
        """Place one value, and free the buffers that are read here for the last time."""
        if may_be_view(v):
            self.place_view(v)
        elif v in self.parts:
            self.place_part(v)
        elif v in self.next:
            self.settle(v, Place("next", self.next[v]))
        elif v in self.kept and writes_into(v):
            self.settle(v, Place("block"))
        elif writes_into(v) and v not in self.kept:
            if v not in self.places:  # its first part may have placed it already
                in_place = self.in_place(v, i)
                index = self.take(v) if in_place is None else in_place
                self.settle(v, Place("buffer", index))
                self.held[v] = index
        else:
            self.places[v] = Place("fresh")
            self.layout[v] = None
        for x in dict.fromkeys(map(self.owner, (*v.inputs, v))):
            if x in self.held and self.last[x] <= i:
                self.give_back(x)

    def settle(self, v: Value, place: Place) -> None:
        self.places[v] = place
        self.layout[v] = np.empty(v.shape, v.dtype)

    def place_view(self, v: Value) -> None:
        """Place a view, if NumPy returns one for this memory; else a fresh array."""
        assert v.op is not None
        memory = self.layout.get(v.inputs[0]) if v.inputs else None
        self.places[v], self.layout[v] = Place("fresh"), None
        if memory is None or is_opaque(v):
            return
        args = [self.layout[x] if type(x) is Value else x for x in v.args]
        if any(x is None for x in args):
            return
        # The numbers mean nothing here. Only whether NumPy copies is of interest: it reshapes the
        # transpose of a buffer by a copy, for example.
        result = v.op.forward(*args, **v.keywords)
        # A single element comes out as a NumPy scalar, which is a copy.
        if isinstance(result, ndarray) and result.size and np.may_share_memory(result, memory):
            self.places[v], self.layout[v] = Place("view"), result

    def place_part(self, v: Value) -> None:
        """Place a value in the larger value that it is part of, which is placed first."""
        place = self.parts[v]
        whole = place.whole
        assert whole is not None
        # The first part is computed before the whole, so the memory of the whole is taken here.
        if whole not in self.places:
            if whole in self.next:
                self.settle(whole, Place("next", self.next[whole]))
            elif whole in self.kept:
                self.settle(whole, Place("block"))
            else:
                index = self.take(whole)
                self.settle(whole, Place("buffer", index))
                self.held[whole] = index
        memory = self.layout[whole]
        assert memory is not None
        self.places[v] = place
        self.layout[v] = memory[place.index].reshape(v.shape)

    # ── how long memory is in use ────────────────────────────────────────────────────────

    def owner(self, v: Value) -> Value:
        """The value whose memory v may lie in."""
        while True:
            if v in self.parts:
                whole = self.parts[v].whole
                assert whole is not None
                v = whole
            elif v in self.position and may_be_view(v) and v.inputs and not is_opaque(v):
                v = v.inputs[0]
            else:
                return v

    def last_uses(self) -> dict[Value, int]:
        """The last operation that reads each owner's memory, directly or through a view."""
        last: dict[Value, int] = {}
        for i, v in enumerate(self.step):
            for x in (v, *v.inputs):
                # The result of an opaque operation may lie in the memory of any operand.
                at = self.handed_over if is_opaque(v) else i
                x = self.owner(x)
                last[x] = max(last.get(x, -1), at)
        for v in self.program.new_carries:
            # The new carries are copied to their places after the last operation.
            last[self.owner(v)] = self.handed_over
        return last

    def take(self, v: Value) -> int:
        free = self.free.get((v.shape, v.dtype))
        if free:
            return free.pop()
        self.buffers.append((v.shape, v.dtype))
        return len(self.buffers) - 1

    def give_back(self, v: Value) -> None:
        self.free.setdefault((v.shape, v.dtype), []).append(self.held.pop(v))

    def in_place(self, v: Value, i: int) -> int | None:
        """The buffer of an operand that v may overwrite."""
        assert v.op is not None
        # A ufunc reads an element before it writes the same element. A product would overwrite
        # numbers that it still has to read.
        if not is_ufunc(v.op):
            return None
        for x in dict.fromkeys(v.inputs):
            # An operand of another shape is broadcast: its elements are read several times. If the
            # operands overlap in another order, as in x + x.T, NumPy makes a copy itself.
            if x in self.held and self.last[x] == i and (x.shape, x.dtype) == (v.shape, v.dtype):
                return self.held.pop(x)
        return None


__all__ = [
    "Memory",
    "Place",
    "buffers",
    "covers",
    "is_opaque",
    "may_be_view",
    "part_indices",
    "writes_into",
]
