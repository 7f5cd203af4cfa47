"""Loop nests as text: a group of operations in one loop over their index space.

The last axis is read a vector at a time; masked loads and stores read the end of a row. Axes that
are contiguous in all accesses are merged into one. A reduction keeps its sums in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....ops import primitives
from ...ir import Value, filled, times_steps, total
from .engine import target
from .functions import INSTRUCTIONS, LONG, PREDICATES, Unsupported, call_shared, converted
from .groups import ALONE, SUMS, Nest, kept_axes, reduced_axes
from .indices import confirmed, numbers, picked
from .memory import Place, plain
from .text import Lanes, is_float, kind_of

if TYPE_CHECKING:
    from .batch import BatchWriter

_max, _min, _prod = primitives.max, primitives.min, primitives.prod


@dataclass
class Access:
    """Memory that a nest reads or writes: an address, and a stride for each axis of its space."""

    kind: str
    address: str
    strides: tuple[int, ...]


@dataclass
class Axis:
    """An axis of a nest's space."""

    size: int
    reduced: bool  #: whether the reductions of the nest run along it
    strides: list[int]  #: the stride of every access


def merge_axes(
    space: tuple[int, ...], reduced: tuple[int, ...], accesses: list[Access]
) -> list[Axis]:
    """The axes of a space, merged into as few as possible.

    Two neighbouring axes become one if, in every access, the outer stride is the inner stride times
    the inner length.
    """
    # One axis of N H is one loop instead of two, and a vector may run across the end of a row:
    #
    #     h + c        strides (H, 1) and (H, 1): one axis
    #     h + b        b (H,) is read with strides (0, 1), and 0 is not 1 H: two axes
    axes: list[Axis] = []
    for i, n in enumerate(space):
        if n == 1:
            continue
        axis = Axis(n, i in reduced, [a.strides[i] for a in accesses])
        if axes and axes[-1].reduced == axis.reduced:
            outer = axes[-1]
            if all(a == b * n for a, b in zip(outer.strides, axis.strides, strict=True)):
                outer.size *= n
                outer.strides = axis.strides
                continue
        axes.append(axis)
    return axes


class NestWriter:
    """Writes one nest.

    Args:
        batch: the batch, which knows where values lie.
        space: the nest's space, or the part of it with the rows that the function computes.
    """

    def __init__(self, batch: BatchWriter, nest: Nest, space: tuple[int, ...]):
        self.f, self.nest = batch.f, nest
        # Values that the nest computes and reads again, in registers. A reduction is not among
        # them: it is complete only after the loops.
        self.here = {v for v in nest.members if reduced_axes(v) is None and v.op not in SUMS}

        def access(x: Value, place: Place, strides: tuple[int, ...]) -> Access:
            return Access(_kind(x), batch.address(place, strides[0] if strides else 0), strides)

        self.loads: dict[Value, Access] = {}
        self.stores: dict[Value, list[Access]] = {}
        #: For operations with computed indices: the address of the first element, and the strides.
        #: The loops do not step through the table, since indices may point anywhere.
        self.indexed: dict[Value, tuple[str, tuple[int, ...]]] = {}
        self.flag = ""
        for v in nest.members:
            inputs, places = v.inputs, batch.homes(v)
            if v.op is picked or v.op in ALONE:
                place = batch.read(v.args[0]) if v.op is picked else places[0]
                self.indexed[v] = batch.address(place), place.strides
                # The nest loops over the indices, not over the table.
                inputs = inputs[1:] if v.op is picked else inputs
            if v.op is confirmed:
                assert batch.lowering.flag is not None
                self.flag = batch.address(plain(batch.lowering.flag, (1,)))
            for x in inputs:
                if x not in self.here and x not in self.loads:
                    place = batch.read(x)
                    self.loads[x] = access(x, place, place.along(nest.space))
            self.stores[v] = []
            if v.op not in ALONE:
                self.stores[v] = [access(v, p, self._strides(v, p)) for p in places]
        self.accesses = [*self.loads.values(), *(a for s in self.stores.values() for a in s)]
        self.axes = merge_axes(space, nest.reduced or (), self.accesses)
        self.reductions = [v for v in nest.members if reduced_axes(v) is not None]
        self.width = self._width()
        self.one, self.v = Lanes(self.f, 1), Lanes(self.f, self.width)
        self.values: dict[Value, str] = {}

    def _strides(self, v: Value, place: Place) -> tuple[int, ...]:
        if reduced_axes(v) is None:
            return place.along(self.nest.space)
        strides = [0] * len(self.nest.space)
        for axis, stride in zip(kept_axes(v), place.strides, strict=True):
            if axis >= 0:
                # The stride along a reduced axis stays 0, as every turn writes the same element.
                strides[axis] = stride
        return tuple(strides)

    def _width(self) -> int:
        """The lanes of a vector: no more than the last axis needs."""
        if not self.axes or self.nest.members[0].op in ALONE:
            return 1
        # The number of lanes fits the smallest kind. A double then fills two registers.
        kinds = {_kind(v) for v in (*self.nest.members, *self.loads)}
        lanes = target().lanes("float" if "float" in kinds else "double")
        while lanes > 1 and lanes // 2 >= self.axes[-1].size:
            lanes //= 2
        return lanes

    # ── loops ────────────────────────────────────────────────────────────────────────────

    def write(self) -> None:
        """Write the loops.

        Axes that are kept are outside and reduced axes inside, so that sums stay in registers. The
        vector axis is last among its kind.
        """
        # The order of the loops, with the vector axis in brackets:
        #
        #     sum over axis 1 of (N, H)   n, [h]   lanes add up parts of a row, combined at its end
        #     sum over axis 0 of (N, H)   [h], n   each lane holds the sum of one column
        #
        # Either way the sums are carried from turn to turn and not stored.
        self.pointers = [a.address for a in self.accesses]
        axes = list(range(len(self.axes)))
        vector = axes.pop() if axes else None
        kept = [i for i in axes if not self.axes[i].reduced]
        inner = [i for i in axes if self.axes[i].reduced]
        if vector is None:
            order: list[int] = []
        elif self.axes[vector].reduced:
            order = [*kept, *inner, vector]
        else:
            order = [*kept, vector, *inner]
        self.order, self.vector = order, vector
        self.mask: str | None = None
        # The depth of the innermost loop that moves each access: it is loaded there.
        # So a bias is loaded once for all rows, if the rows are the inner loop.
        self.depth = [
            max((d for d, i in enumerate(order) if self.axes[i].strides[n]), default=-1)
            for n in range(len(self.accesses))
        ]
        self._load_at(-1)
        self._level(0, None)

    def _level(self, depth: int, sums: list[str] | None) -> list[str] | None:
        """Write the loops from this depth inwards; returns the values of the reductions so far."""
        if depth == len(self.order):
            return self._body(sums)
        number = self.order[depth]
        axis = self.axes[number]
        # The outermost reduced loop: sums start before it and are stored after it.
        if axis.reduced and sums is None:
            found = self._level(depth, [self._start_of(v) for v in self.reductions])
            assert found is not None
            self._store_reductions(found)
            return None
        is_vector = number == self.vector
        if not (is_vector and self.width > 1):
            return self._loop(depth, 0, axis.size, 1, sums)
        # Without cheap masks: whole vectors first, and one masked turn for the rest.
        whole = axis.size // self.width * self.width
        if target().masks or not whole or whole == axis.size:
            return self._loop(depth, 0, axis.size, self.width, sums)
        sums = self._loop(depth, 0, whole, self.width, sums)
        return self._loop(depth, whole, axis.size, self.width, sums)

    def _loop(
        self, depth: int, start: int, stop: int, step: int, sums: list[str] | None
    ) -> list[str] | None:
        """Write one loop. The reductions so far are its carried values; returns the last ones."""
        number = self.order[depth]
        axis, before = self.axes[number], list(self.pointers)
        carried = [
            (self.v.type(_kind(v)), first)
            for v, first in zip(self.reductions, sums or [], strict=False)
        ]
        with self.f.loop(start, stop, step, carried) as loop:
            if number == self.vector and self.width > 1:
                # All lanes are inside in every turn, or this loop needs a mask.
                full = (stop - start) % step == 0
                self.mask = None if full else self.v.mask(loop.i, axis.size)
            for n, stride in enumerate(axis.strides):
                if stride:
                    self.pointers[n] = self.f.pointer(
                        self.accesses[n].kind, self.pointers[n], self.f.times(loop.i, stride)
                    )
            self._load_at(depth)
            within = None if sums is None else loop.values
            loop.next = self._level(depth + 1, within) or []
        # The pointers of the next loop begin where those of this one began.
        self.pointers = before
        return None if sums is None else loop.values

    def _load_at(self, depth: int) -> None:
        """Load the accesses that no deeper loop moves."""
        for n, (x, access) in enumerate(self.loads.items()):
            if self.depth[n] == depth:
                self.values[x] = self._load(n, access)

    def _load(self, n: int, access: Access) -> str:
        stride = 0 if self.vector is None else self.axes[self.vector].strides[n]
        if stride == 0 and self.width > 1:
            # One load for all lanes: cheaper than a gather of the same element.
            one = self.one.load(access.kind, self.pointers[n], 1, None)
            return self.v.spread(one, access.kind)
        return self.v.load(access.kind, self.pointers[n], stride, self.mask)

    # ── the body ─────────────────────────────────────────────────────────────────────────

    def _body(self, sums: list[str] | None) -> list[str] | None:
        """Write the operations of the nest at one point; returns the reductions so far."""
        n = len(self.loads)
        for v in self.nest.members:
            # The accesses are numbered like ``self.accesses``: loads, then the stores of each
            # member.
            stores = self.stores[v]
            if reduced_axes(v) is None:
                if v.op is total:
                    self._accumulate(v, n)
                elif v.op in ALONE:
                    self._add_at(v)
                else:
                    self.values[v] = self._elementwise(v)
                    for i, access in enumerate(stores):
                        self._store(self.values[v], access, n + i)
            n += len(stores)
        if not self.reductions:
            return None
        start = sums or [self._start_of(v) for v in self.reductions]
        found = [self._reduce(v, x) for v, x in zip(self.reductions, start, strict=True)]
        if sums is None:  # all reduced axes have length 1
            self._store_reductions(found)
            return None
        return found

    def _store(self, x: str, access: Access, n: int) -> None:
        stride = 1 if self.vector is None else self.axes[self.vector].strides[n]
        self.v.store(access.kind, x, self.pointers[n], stride, self.mask)

    def _accumulate(self, v: Value, n: int) -> None:
        """Add this step's value to a sum over time in memory."""
        (x,), kind = v.inputs, _kind(v)
        (access,) = self.stores[v]
        stride = 1 if self.vector is None else self.axes[self.vector].strides[n]
        before = self.v.load(kind, self.pointers[n], stride, self.mask)
        self._store(self.v.do(_plus(kind), kind, before, self.values[x]), access, n)

    # ── indices ──────────────────────────────────────────────────────────────────────────

    def _offset(self, v: Value) -> str:
        """The offset, in elements, that the indices point to."""
        # As in NumPy: i stride_0 + j stride_1 + ...
        _, strides = self.indexed[v]
        offset = self.v.all(0, "i64")
        for x, stride in zip(v.inputs[1:], strides, strict=True):
            steps = self.v.do("mul", "i64", self._operand(x, "i64"), self.v.all(stride, "i64"))
            offset = self.v.do("add", "i64", offset, steps)
        return offset

    def _pick(self, v: Value) -> str:
        kind, (address, _), offset = _kind(v), self.indexed[v], self._offset(v)
        if self.width > 1 and not self._is_run(v):
            return self.v.load_each(kind, address, offset, self.mask)
        # A run: the first lane's address is that of the whole vector.
        if self.width > 1:
            offset = self.f.let(f"extractelement {self.v.type('i64')} {offset}, i32 0")
        at = self.f.pointer(kind, address, offset)
        return self.v.load(kind, at, 1, self.mask)

    def _is_run(self, v: Value) -> bool:
        """Whether the lanes read consecutive elements, as in a row of a table."""
        # For E[ids] of an embedding E (V, D): the row index is the same in all lanes, the column
        # index is 0, 1, 2, ... So a row is copied by plain loads, without gathers.
        assert self.vector is not None
        axis, loads = self.axes[self.vector], list(self.loads)
        _, strides = self.indexed[v]
        moving = []
        for x, stride in zip(v.inputs[1:], strides, strict=True):
            if x not in self.loads:
                return False
            if axis.strides[loads.index(x)]:
                moving.append((x, stride))
        if len(moving) != 1:
            return False
        ((x, stride),) = moving
        if x.op is not numbers or stride != 1:
            return False
        steps = np.diff(x.keywords["array"], axis=-1)
        return steps.shape[-1] + 1 == axis.size and bool((steps == 1).all())

    def _add_at(self, v: Value) -> None:
        """Add one number at its indices."""
        # One number after the other: two lanes with the same index would overwrite each other's
        # sum.
        kind, (address, _) = _kind(v), self.indexed[v]
        at = self.f.pointer(kind, address, self._offset(v))
        before = self.one.load(kind, at, 1, None)
        after = self.one.do(_plus(kind), kind, before, self.values[v.inputs[0]])
        self.one.store(kind, after, at, 1, None)

    def _confirm(self, v: Value) -> str:
        """Set the flag if a number is wrong."""
        x, right = v.args
        wrong = self.v.do("xor", "i1", self._operand(right, "i1"), self.v.all(True, "i1"))
        if self.width > 1:
            if self.mask is not None:
                # Lanes beyond the end hold zeros, which may look wrong.
                wrong = self.v.do("and", "i1", wrong, self.mask)
            masks, name = self.v.type("i1"), f"llvm.vector.reduce.or.v{self.width}i1"
            self.f.module.declare(name, "i1", [masks])
            wrong = self.f.let(f"call i1 @{name}({masks} {wrong})")
        before = self.one.load("i64", self.flag, 1, None)
        after = self.one.do("or", "i64", before, self.one.convert("zext", wrong, "i1", "i64"))
        self.one.store("i64", after, self.flag, 1, None)
        return self._operand(x, _kind(v))

    # ── operations ───────────────────────────────────────────────────────────────────────

    def _elementwise(self, v: Value) -> str:
        """Write an elementwise operation."""
        op, kind = v.op, _kind(v)
        assert op is not None
        if op is picked:
            return self._pick(v)
        if op is confirmed:
            return self._confirm(v)
        if op is filled:
            return self.v.all(v.keywords["fill_value"], kind)
        if op is times_steps:
            steps = self.f.let(f"sitofp i64 %T to {kind}")
            return self.v.do(
                "fmul", kind, self._operand(v.args[0], kind), self.v.spread(steps, kind)
            )
        # ``_operand`` converts it.
        if op.scalar is None:  # a conversion
            return self._operand(v.args[0], kind)
        if op.scalar == "where":
            condition, x, y = v.args
            mask = self._operand(condition, "i1")
            return self.v.select(mask, kind, self._operand(x, kind), self._operand(y, kind))
        within = kind
        # x < y gives a boolean, but is computed in the kind of x and y.
        if op.scalar in PREDICATES:
            within = _common_kind(v)
        if op.scalar in LONG and self.f.module.many and is_float(kind):
            return call_shared(self.v, op.scalar, kind, self._operand(v.args[0], kind))
        return INSTRUCTIONS[op.scalar](self.v, within, *(self._operand(x, within) for x in v.args))

    def _operand(self, x: Any, kind: str) -> str:
        if type(x) is not Value:
            if type(x) not in (bool, int, float):
                raise Unsupported(f"an operand {x!r}")
            return self.v.all(x, kind)
        return converted(self.v, self.values[x], _kind(x), kind)

    # ── reductions ───────────────────────────────────────────────────────────────────────

    def _start_of(self, v: Value) -> str:
        kind = _kind(v)
        return self.v.all(_identity(v, kind), kind)

    def _reduce(self, v: Value, so_far: str) -> str:
        """A reduction so far, combined with the present lanes."""
        kind = _kind(v)
        x = self._operand(v.args[0], kind)
        # Masked lanes were loaded as 0. For a product or a maximum that would be wrong, and so for
        # exp(0) in a sum: so they take the value that changes nothing.
        if self.vector is not None and self.axes[self.vector].reduced and self.mask is not None:
            x = self.v.select(self.mask, kind, x, self._start_of(v))
        return _combine(self.v, v, kind, so_far, x)

    def _store_reductions(self, found: list[str]) -> None:
        """Store the results of the reductions; lanes along a reduced axis are combined first."""
        # If the vector axis is kept, each lane is a result of its own, and the vector is stored as
        # it is.
        across = self.vector is not None and self.axes[self.vector].reduced and self.width > 1
        n = len(self.loads)
        for v in self.nest.members:
            for i, access in enumerate(self.stores[v]):
                if v in self.reductions:
                    x = found[self.reductions.index(v)]
                    if across:
                        x = _across(self.v, v, access.kind, x)
                        self.one.store(access.kind, x, self.pointers[n + i], 1, None)
                    else:
                        self._store(x, access, n + i)
            n += len(self.stores[v])


def _kind(x: Value) -> str:
    kind = kind_of(x.dtype)
    assert kind is not None
    return kind


def _common_kind(v: Value) -> str:
    assert v.op is not None
    if v.op.scalar is not None and v.op.scalar.startswith("logical"):
        return "i1"
    dtype = np.result_type(*(x.dtype if type(x) is Value else x for x in v.args))
    kind = kind_of(dtype)
    if kind is None:
        raise Unsupported(f"{v.op}: {dtype}")
    return kind


def _plus(kind: str) -> str:
    return "fadd" if is_float(kind) else "or" if kind == "i1" else "add"


def _identity(v: Value, kind: str) -> Any:
    if v.op in (_max, _min):
        # The maximum starts from the smallest number of its kind.
        sign = -1 if v.op is _max else 1
        if is_float(kind):
            return sign * np.inf
        bits = 64 if kind == "i64" else 32
        return -(2 ** (bits - 1)) if v.op is _max else 2 ** (bits - 1) - 1
    return 1 if v.op is _prod else 0


def _combine(lanes: Lanes, v: Value, kind: str, x: str, y: str) -> str:
    if v.op is _max:
        return INSTRUCTIONS["maximum"](lanes, kind, x, y)
    if v.op is _min:
        return INSTRUCTIONS["minimum"](lanes, kind, x, y)
    if v.op is _prod:
        return INSTRUCTIONS["multiply"](lanes, kind, x, y)
    return lanes.do(_plus(kind), kind, x, y)


def _across(lanes: Lanes, v: Value, kind: str, x: str) -> str:
    """Combine all lanes into one number, half with half: always in the same order."""
    # For 4 lanes: (x0 + x2) + (x1 + x3). LLVM's own reduction of floats would go lane by lane.
    f, width = lanes.function, lanes.width
    while width > 1:
        half = width // 2
        one = f"<{width} x {kind}>"
        low, high = (", ".join(f"i32 {i}" for i in r) for r in (range(half), range(half, width)))
        parts = [
            f.let(f"shufflevector {one} {x}, {one} poison, <{half} x i32> <{lanes_}>")
            for lanes_ in (low, high)
        ]
        narrow = Lanes(f, half)
        if half == 1:
            parts = [f.let(f"extractelement <1 x {kind}> {p}, i32 0") for p in parts]
        x = _combine(narrow, v, kind, *parts)
        width = half
    return x


__all__ = ["NestWriter"]
