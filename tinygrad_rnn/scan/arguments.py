"""One call of scan: its arguments, looked at."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Value, attach, current, describe, numbers, numeric
from .trace import Source


class Call(NamedTuple):
    """The arguments of a scan, looked at."""

    cell: Callable[[Any, Any], Any]
    carries: list[Value]
    carry_structure: Any
    inputs: list[Value]
    input_structure: Any
    steps: int
    reverse: bool
    ends: ndarray | None  #: the last step of each sequence


class Dependencies(NamedTuple):
    """All that a step depends on beside its arguments, for steps of the library's own.

    A user's step is run anew at every call, since it may have changed. One that has this as its
    attribute ``closed`` need not be: a third of a short scan is saved.

    Attributes:
        name: what else the step depends on.
        values: all Tensors that it reads.
    """

    name: Hashable
    values: tuple[Value, ...]

    def key(self) -> Hashable:
        """What two steps have in common that have one plan."""
        places = [(id(x._array), id(x.node)) for x in self.values]
        alike = None if len(set(places)) == len(places) else tuple(map(places.index, places))
        avals: list[Any] = []
        for x in self.values:
            avals += (x._array.shape, x._array.dtype, x.node is None)
        return self.name, tuple(avals), alike

    def order_of(self, sources: Sequence[Source]) -> tuple[int, ...] | None:
        """Which of the values each source of a trace is; None if one is none of them."""
        order = []
        for source in sources:
            found = [
                i
                for i, x in enumerate(self.values)
                if x._array is source.original and x.node is source.node
            ]
            if not found:
                return None
            order.append(found[0])
        return tuple(order)


def check_arguments(
    cell: Callable[[Any, Any], Any], carry: Any, xs: Any, reverse: bool, lengths: Any
) -> Call:
    if not callable(cell):
        raise TypeError(f"scan: expected a function as cell, got {type(cell).__name__}")
    carries: list[Any] = []
    carry_structure = flatten(carry, carries)
    inputs: list[Any] = []
    input_structure = flatten(xs, inputs)
    carries = [as_value(x, "scan: carry") for x in carries]
    inputs = [as_value(x, "scan: xs") for x in inputs]
    if not inputs:
        raise ValueError(
            "scan: expected xs (T, ...), which says how many steps there are; got none"
        )
    for x in inputs:
        if x._array.ndim == 0:
            raise ValueError(f"scan: expected xs (T, ...), got {describe(x)}")
    steps = {len(x._array) for x in inputs}
    if len(steps) > 1:
        shapes = ", ".join(str(x._array.shape) for x in inputs)
        raise ValueError(f"scan: all xs must have the same number of steps, got shapes {shapes}")
    (T,) = steps
    ends = None if lengths is None else _ends(lengths, T, carries, inputs)
    return Call(cell, carries, carry_structure, inputs, input_structure, T, bool(reverse), ends)


def _ends(lengths: Any, T: int, carries: list[Any], inputs: list[Any]) -> ndarray | None:
    array = numbers(lengths, "scan: lengths")
    if array.size == 0 and array.dtype.kind == "f":  # [] is of floats
        array = array.astype(np.intp)
    if array.dtype.kind not in "iu":
        raise TypeError(f"scan: expected integers as lengths, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"scan: expected lengths (N,), got shape {array.shape}")
    if array.size and (array.min() < 1 or array.max() > T):
        bad = array.min() if array.min() < 1 else array.max()
        raise ValueError(f"scan: expected lengths from 1 to T = {T}, got {bad}")
    N = len(array)
    for name, values, axis in (("carry", carries, 0), ("xs", inputs, 1)):
        for x in values:
            if x._array.ndim <= axis or x._array.shape[axis] != N:
                raise ValueError(
                    f"scan: with lengths ({N},), axis {axis} of every {name} must be the batch; "
                    f"got {describe(x)}"
                )
    ends: ndarray = array.astype(np.intp) - 1
    return None if bool((array == T).all()) else ends


def valid_steps(ends: ndarray | None, steps: int) -> Any:
    """(T, N): whether a sequence has that step."""
    return None if ends is None else np.arange(steps)[:, np.newaxis] <= ends


# ── nested tuples ────────────────────────────────────────────────────────────────────────


_leaf = "leaf"


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """Put the leaves of nested tuples into a list; returns the structure."""
    if isinstance(tree, tuple):
        return (type(tree), *[flatten(part, leaves) for part in tree])
    if tree is None:
        return None
    leaves.append(tree)
    return _leaf


def unflatten(structure: Any, leaves: Iterator[Any]) -> Any:
    if structure is _leaf:
        return next(leaves)
    if structure is None:
        return None
    parts = [unflatten(part, leaves) for part in structure[1:]]
    return getattr(structure[0], "_make", structure[0])(parts)


def as_value(x: Any, where: str) -> Value:
    if isinstance(x, Value):
        return x
    if isinstance(x, (list, dict)) and any(isinstance(p, (Value, ndarray)) for p in _parts(x)):
        raise TypeError(
            f"{where}: expected a Tensor or nested tuples of Tensors, got a {type(x).__name__}; "
            f"write it as a tuple{current().scope}"
        )
    return attach(numeric(x, where).copy(), None)


def _parts(tree: Any) -> Iterator[Any]:
    """The leaves of nested lists, tuples and dicts."""
    if isinstance(tree, (list, tuple, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _parts(part)
    else:
        yield tree


def describe_structure(structure: Any) -> str:
    if structure is _leaf:
        return "Tensor"
    if structure is None:
        return "None"
    return f"({', '.join(describe_structure(part) for part in structure[1:])})"


__all__ = [
    "Call",
    "Dependencies",
    "as_value",
    "check_arguments",
    "describe_structure",
    "flatten",
    "unflatten",
    "valid_steps",
]
