"""The arguments of one call of scan: checked, and flattened into lists of Tensors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Value, attach, checked_lengths, current, describe
from .trace import Source, copied


class Call(NamedTuple):
    """The checked arguments of one scan."""

    cell: Callable[[Any, Any], Any]
    carries: list[Value]
    carry_structure: Any
    inputs: list[Value]
    input_structure: Any
    steps: int
    reverse: bool
    ends: ndarray | None  #: the last step of each sequence; None if all have T steps


class Dependencies(NamedTuple):
    """Everything that a step of this library depends on, besides its arguments.

    A user's step is traced again at every call, since it may have changed. A step whose attribute
    ``scan_dependencies`` is one of these is not traced again, which saves a third of a short scan.

    Attributes:
        name: the step's code and options.
        values: all Tensors that the step reads.
    """

    name: Hashable
    values: tuple[Value, ...]

    def key(self) -> Hashable:
        """Steps with equal keys have the same plan."""
        # Two weights may be the same Tensor: then the trace has one source for both.
        places = [(id(x._array), id(x.node)) for x in self.values]
        # The index of the first equal one: (W, U, W) gives (0, 1, 0), whichever Tensors these are.
        alike = None if len(set(places)) == len(places) else tuple(map(places.index, places))
        avals: list[Any] = []
        for x in self.values:
            avals += (x._array.shape, x._array.dtype, x.node is None)
        return self.name, tuple(avals), alike

    def order_of(self, sources: Sequence[Source]) -> tuple[int, ...] | None:
        """The index in ``values`` of each source of a trace; None if a source is not in it."""
        order = []
        for source in sources:
            matches = [
                i
                for i, x in enumerate(self.values)
                if x._array is source.original and x.node is source.node
            ]
            if not matches:
                return None
            order.append(matches[0])
        return tuple(order)


def check_arguments(
    cell: Callable[[Any, Any], Any], carry: Any, xs: Any, reverse: bool, lengths: Any
) -> Call:
    """Check the arguments of ``scan`` and flatten them.

    Raises:
        TypeError, ValueError: as ``scan`` does.
    """
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
    """The last step of each sequence; None if all sequences have T steps."""
    array = checked_lengths("scan", lengths, None, T)
    N = len(array)
    for name, values, axis in (("carry", carries, 0), ("xs", inputs, 1)):
        for x in values:
            if x._array.ndim <= axis or x._array.shape[axis] != N:
                raise ValueError(
                    f"scan: with lengths ({N},), axis {axis} of every {name} must be the batch; "
                    f"got {describe(x)}"
                )
    # Then no masks are needed, and the plan without lengths serves.
    return None if bool((array == T).all()) else array - 1


def valid_steps(ends: ndarray | None, steps: int) -> Any:
    """(T, N) booleans: whether step t is within sequence n."""
    return None if ends is None else np.arange(steps)[:, np.newaxis] <= ends


# ── nested tuples ────────────────────────────────────────────────────────────────────────


_leaf = "leaf"


def flatten(tree: Any, leaves: list[Any]) -> Any:
    """Append the leaves of nested tuples to ``leaves``; returns the structure."""
    if isinstance(tree, tuple):
        return (type(tree), *[flatten(part, leaves) for part in tree])
    if tree is None:
        return None
    leaves.append(tree)
    return _leaf


def unflatten(structure: Any, leaves: Iterator[Any]) -> Any:
    """The nested tuples of this structure, filled with the leaves in order."""
    if structure is _leaf:
        return next(leaves)
    if structure is None:
        return None
    parts = [unflatten(part, leaves) for part in structure[1:]]
    # A named tuple takes its fields one by one; ``_make`` takes a list.
    return getattr(structure[0], "_make", structure[0])(parts)


def as_value(x: Any, where: str) -> Value:
    """A Tensor as it is; an array or number as a Tensor with a copy of its numbers."""
    if isinstance(x, Value):
        return x
    # NumPy would stack a list of arrays into one: probably a mistake, so refuse it.
    if isinstance(x, (list, dict)) and any(isinstance(p, (Value, ndarray)) for p in _parts(x)):
        raise TypeError(
            f"{where}: expected a Tensor or nested tuples of Tensors, got a {type(x).__name__}; "
            f"write it as a tuple{current().scope}"
        )
    return attach(copied(x, where), None)


def _parts(tree: Any) -> Iterator[Any]:
    """The leaves of nested lists, tuples and dicts."""
    if isinstance(tree, (list, tuple, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _parts(part)
    else:
        yield tree


def describe_structure(structure: Any) -> str:
    """A structure for an error message: ``(Tensor, (Tensor, None))``."""
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
