"""Dynamic axes: numbers that a model computes from the sizes of its inputs when it runs.

We record a function several times, each time with other sizes for its dynamic axes. If a number
differs between the records, it has to be such a size, or factor * (product of sizes) + offset. Any
other difference is refused. So a number from the example's shape never ends up in the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..scan.trace import Literal
from .record import Body, Entry, Recorder


class Size:
    """``factor * (product of the named sizes) + offset``: a whole number in the running model."""

    __slots__ = ("factor", "names", "offset")

    def __init__(self, names: tuple[str, ...], factor: int = 1, offset: int = 0):
        self.names = names
        self.factor = factor
        self.offset = offset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)

    @property
    def _parts(self) -> tuple[Any, ...]:
        return self.names, self.factor, self.offset

    def __str__(self) -> str:
        product = " * ".join(([str(self.factor)] if self.factor != 1 else []) + list(self.names))
        return product + (f" {'+-'[self.offset < 0]} {abs(self.offset)}" if self.offset else "")

    __repr__ = __str__

    def __index__(self) -> int:
        raise TypeError(f"it needs a size that only the running model knows ({self})")

    __int__ = __index__


class Filled(NamedTuple):
    """An array filled with one number; only the running model knows its size."""

    value: Any
    shape: tuple[Any, ...]
    dtype: np.dtype[Any]


class Counted(NamedTuple):
    """The numbers ``start``, ``start + step``, ...; only the running model knows how many."""

    start: int
    step: int
    shape: tuple[Any, ...]
    dtype: np.dtype[Any]


class Differs(Exception):
    """Two records differ in something that the sizes do not explain."""


class Record(NamedTuple):
    """The operations of a function, for all sizes of its dynamic axes."""

    body: Body
    avals: list[tuple[tuple[Any, ...], np.dtype[Any]]]
    constants: dict[int, Any]  #: arrays, Filled or Counted
    names: dict[int, str | None]


class Merger:
    """Merges several records into one.

    Args:
        sizes: for each record, the sizes of the dynamic axes by name.
    """

    def __init__(self, sizes: Sequence[dict[str, int]]):
        self.sizes = sizes

    def merged(self, records: Sequence[Recorder]) -> Record:
        """Return the record for all sizes.

        Raises:
            ValueError: the operations depend on the sizes in another way; the message says where.
        """
        first = records[0]
        body = self._body([r.body for r in records])
        avals = [
            (self._part([r.avals[slot][0] for r in records], "a shape"), dtype)
            for slot, (_, dtype) in enumerate(first.avals)
        ]
        constants, names = {}, {}
        for slot, weight in first.constants.items():
            found = [r.constants.get(slot) for r in records]
            names[slot] = weight.name
            try:
                constants[slot] = self._array([w.array for w in found if w is not None])
            except Differs as error:
                self._raise(f"a constant array that it reads differs ({error})", "")
        return Record(body, avals, constants, names)

    def _body(self, bodies: Sequence[Body]) -> Body:
        first = bodies[0]
        columns = itertools.zip_longest(*[body.entries for body in bodies])
        entries = [self._entry(parts) for parts in columns]
        if any((b.inputs, b.outputs) != (first.inputs, first.outputs) for b in bodies):
            self._raise("it returns other values", "")
        return Body(first.inputs, entries, first.outputs)

    def _entry(self, parts: Sequence[Entry | None]) -> Entry:
        met = [part for part in parts if part is not None]
        first = met[0]
        if len(met) < len(parts) or any(
            (p.primitive, p.slots) != (first.primitive, first.slots) for p in met
        ):
            names = sorted({str(p.primitive) for p in met})
            why = "the number of its operations differs" if len(names) == 1 else "it differs"
            self._raise(f"{why} at {' and '.join(names)}", first.place)
        try:
            operands = self._part([p.operands for p in met], "an operand")
            keywords = self._part([p.keywords for p in met], "a constant")
        except Differs as error:
            self._raise(f"{error} of {first.primitive} differs", first.place)
        return first._replace(operands=operands, keywords=keywords)

    def _raise(self, what: str, place: str) -> None:
        if len(self.sizes[0]) == 0:
            raise ValueError(
                f"onnx.export: called twice, the function does not do the same: {what}{place} "
                "(random numbers, as of dropout? a counter?)"
            )
        raise ValueError(
            f"onnx.export: with other sizes of the dynamic axes ({', '.join(self.sizes[0])}) the "
            f"function does not do the same: {what}{place}; a loop over a dynamic axis has to be "
            "tg.scan or a layer, and a number that depends on a size has to be computed by "
            "operations"
        )

    # ── values ───────────────────────────────────────────────────────────────────────────

    def _part(self, values: Sequence[Any], what: str) -> Any:
        first = values[0]
        kind = type(first)
        if any(type(v) is not kind for v in values):
            raise Differs(what)
        if kind is int or isinstance(first, np.integer):
            return self._number([int(v) for v in values], what)
        if kind is Body:
            return self._body(values)
        if isinstance(first, Literal):
            if len({v.text for v in values}) > 1:
                raise Differs(f"a number ({first.text})")
            return first
        if isinstance(first, (tuple, list)):
            if len({len(v) for v in values}) > 1:
                raise Differs(what)
            return kind([self._part(parts, what) for parts in zip(*values, strict=True)])
        if isinstance(first, dict):
            if any(v.keys() != first.keys() for v in values):
                raise Differs(what)
            return {key: self._part([v[key] for v in values], key) for key in first}
        if isinstance(first, slice):
            ends = [
                self._part([getattr(v, end) for v in values], what)
                for end in ("start", "stop", "step")
            ]
            return slice(*ends)
        if isinstance(first, ndarray):
            return self._array(values)
        if any(v is not first and v != first and repr(v) != repr(first) for v in values):
            raise Differs(what)
        return first

    def _number(self, values: Sequence[int], what: str) -> Any:
        """An integer of all records: itself, or factor * (product of axis sizes) + offset."""
        if len(set(values)) == 1:
            return values[0]
        names, fitting = list(self.sizes[0]), []
        for count in range(1, min(3, len(names)) + 1):
            for chosen in itertools.combinations(names, count):
                # Two records determine factor and offset; the others have to agree.
                products = [math.prod(sizes[name] for name in chosen) for sizes in self.sizes]
                factor, rest = divmod(values[1] - values[0], products[1] - products[0])
                offset = values[0] - factor * products[0]
                if rest == 0 and all(
                    value == factor * product + offset
                    for value, product in zip(values, products, strict=True)
                ):
                    fitting.append(Size(chosen, factor, offset))
        if not fitting:
            raise Differs(what)
        return min(fitting, key=lambda s: (s.offset != 0, s.factor != 1, len(s.names)))

    def _array(self, arrays: Sequence[ndarray]) -> Any:
        first = arrays[0]
        if len(arrays) < len(self.sizes) or any(a.dtype != first.dtype for a in arrays):
            raise Differs("its dtype")
        if all(a.shape == first.shape for a in arrays):
            if all(a is first or a.tobytes() == first.tobytes() for a in arrays):
                return first
            raise Differs("its numbers")
        if any(a.ndim != first.ndim for a in arrays):
            raise Differs("its shape")
        shape = tuple(self._part([a.shape for a in arrays], "its shape"))
        if all(a.size and (a == first.flat[0]).all() for a in arrays):
            return Filled(first.flat[0], shape, first.dtype)
        if first.dtype.kind in "iu" and all(_is_counted(a) for a in arrays):
            start, step = int(first.flat[0]), int(first.flat[1]) - int(first.flat[0])
            if all(
                (int(a.flat[0]), int(a.flat[1]) - int(a.flat[0])) == (start, step) for a in arrays
            ):
                return Counted(start, step, shape, first.dtype)
        raise Differs("its shape")


def _is_counted(a: ndarray) -> bool:
    """Return whether an array is a range of numbers along one axis."""
    return a.size > 1 and max(a.shape) == a.size and len(set(np.diff(a.ravel()).tolist())) == 1


def chosen_sizes(names: Sequence[str]) -> list[dict[str, int]]:
    """Choose sizes for the records, so that no two expressions of them give the same numbers."""
    if not names:
        return [{}, {}]
    rng = np.random.default_rng(0)
    n = len(names)
    primes = [p for p in range(5, 200 + 50 * n) if all(p % q for q in range(2, int(p**0.5) + 1))]
    some, more = primes[n + 4 : 3 * n + 8], primes[3 * n + 8 : 5 * n + 12]
    # Small, medium and large sizes, because a function may behave differently above some size.
    while True:
        rows = [primes[:n], *(rng.choice(p, n, replace=False).tolist() for p in (some, more))]
        if _independent(list(zip(*rows, strict=True))):
            return [dict(zip(names, row, strict=True)) for row in rows]


def _independent(sizes: Sequence[tuple[int, ...]]) -> bool:
    """Return whether no size and no product of two is factor * another + offset."""
    products = [
        tuple(x * y for x, y in zip(a, b, strict=True)) for a, b in itertools.combinations(sizes, 2)
    ]
    steps = [(b - a, c - a) for a, b, c in (*sizes, *products)]
    return all(p[0] * q[1] != p[1] * q[0] for p, q in itertools.combinations(steps, 2))


__all__ = ["Counted", "Differs", "Filled", "Merger", "Record", "Size", "chosen_sizes"]
