"""Rows: whether each sequence of a batch can be computed without the others.

It can if axis 0 of every carry is the batch, and row n of each value depends on row n of its
operands only. Then each thread computes some of the rows, for all steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from ....ops import primitives
from ...ir import CONSTANT, Program, Value
from ...passes.buffers import part_indices
from .groups import is_elementwise, kept_axes, reduced_axes, root
from .indices import added_at, numbers, picked
from .memory import Memory, Place, is_view, part, plain, view

_matmul = primitives.matmul
_nowhere = Memory("", "float", 0)


def batch_of(program: Program) -> int:
    """The length of axis 0 of all carries, if it may be a batch; else 0."""
    lengths = {v.shape[0] if v.shape else 0 for v in program.carries}
    # One sequence cannot be shared.
    return lengths.pop() if len(lengths) == 1 and 1 not in lengths else 0


class Rows:
    """Finds the values whose row n depends only on row n of their operands.

    Args:
        rows: the number of sequences in the batch.
        carries: the carries of the step.
        made: the values that the step computes, operands first.

    Attributes:
        own: the values found.
    """

    def __init__(self, rows: int, carries: Iterable[Value], made: Iterable[Value] = ()):
        self.rows = rows
        self.own = set(carries)
        self._moving = set(carries)
        for v in made:
            self.add(v)

    def add(self, v: Value) -> bool:
        """Add a value of the step; returns whether its rows are independent."""
        self._moving.add(v)
        if not self._is_own(v):
            return False
        self.own.add(v)
        return True

    def _is_own(self, v: Value) -> bool:
        """Whether row n of v depends only on row n of its operands; False if it is not known."""
        if v.shape[:1] != (self.rows,):
            return False
        if is_view(v):
            return self.reads_its_row(v, v)
        if v.op is picked or v.op is added_at:
            # E[ids]           (N,) ids of a table that all rows share: row n reads ids[n]
            # x[arange, ids]   the first index counts the rows: row n reads row n of x
            table, *ids = v.inputs
            space = v if v.op is picked else table
            if not all(self.reads_its_row(x, space) for x in ids):
                return False
            if v.op is picked and root(table) not in self._moving:
                return True
            return self._counts_rows(ids[0], space) and self.reads_its_row(table, table)
        if is_elementwise(v):
            return all(self.reads_its_row(x, v) for x in v.inputs)
        if v.op is _matmul:
            x, y = v.args
            # Row n of x @ W reads row n of x and all of W. So W may not be made in the step: its
            # rows could be the sequences.
            alone = y.level == CONSTANT and root(y) not in self._moving
            # h @ W of one vector h (H,): each number of the result is made of all numbers of h.
            rows = len(x.shape) == len(v.shape) > 1  # a vector is one row
            return alone and rows and self.reads_its_row(x, v)
        axes = reduced_axes(v)
        if axes is not None:
            (x,) = v.inputs
            # A sum over axis 0 mixes the sequences.
            return 0 not in axes and kept_axes(v)[0] == 0 and self.reads_its_row(x, x)
        indices = part_indices(v)
        if indices is None:
            return False
        whole = plain(_nowhere, v.shape)
        # concatenate((a, b), axis=1)   each part lies within its row
        # concatenate((a, b), axis=0)   row n of b becomes another row
        places = [part(whole, index) for index in indices]
        return all(
            place is not None and self._within_rows(place, whole) and self.reads_its_row(x, place)
            for x, place in zip(v.inputs, places, strict=True)
        )

    def _counts_rows(self, ids: Value, space: Value) -> bool:
        """Whether the first index is the row number 0, 1, 2, ..."""
        # Along axis 0, and not along the columns: the index (1, N) 0, 1, 2, ... makes each row read
        # all rows.
        if ids.op is not numbers or ids.shape[:1] != (self.rows,):
            return False
        if len(ids.shape) != len(space.shape):
            return False
        found = ids.keywords["array"].ravel().tolist()
        return bool(found == list(range(self.rows)))

    def reads_its_row(self, x: Value, reader: Value | Place) -> bool:
        """Whether row n of the reader reads only row n of x. Axis 0 of the reader is the batch."""
        source = root(x)
        if source not in self._moving:
            # Given arrays are complete before the steps. A view that NumPy would copy is refused,
            # though: a thread copies only its rows of axis 0, and axis 0 of a sequence need not be
            # the batch.
            return not x.varies or _seen_from(plain(_nowhere, source.shape), x) is not None
        if source not in self.own or len(x.shape) != len(reader.shape):
            return False
        whole = plain(_nowhere, source.shape)
        place = _seen_from(whole, x, lambda place: self._within_rows(place, whole))
        return place is not None and self._within_rows(place, whole)

    def _within_rows(self, place: Place, whole: Place) -> bool:
        """Whether row n of a place lies within row n of the whole."""
        # Row n of the whole has the elements n w to n w + w - 1, where w is the width of a row. So
        # axis 0 must step by w, and all other axes together must stay within the row.
        width = math.prod(whole.shape[1:])
        if place.shape[:1] != (self.rows,) or place.strides[0] != width:
            return False
        reach = [(n - 1) * s for n, s in zip(place.shape[1:], place.strides[1:], strict=True)]
        low = place.offset + sum(r for r in reach if r < 0)
        high = place.offset + sum(r for r in reach if r > 0)
        return low >= 0 and high < width


def _seen_from(
    place: Place, x: Value, copied: Callable[[Place], bool] = lambda place: False
) -> Place | None:
    """The place of a view; None if NumPy would copy.

    Args:
        place: the place of the value that x is a view of.
        x: the view, possibly of other views.
        copied: whether an intermediate place may be copied.
    """
    views = []
    while is_view(x):
        views.append(x)
        (x,) = x.inputs
    for y in reversed(views):
        made = view(place, y)
        if made is None and copied(place):
            # The copy has the same rows, at other strides.
            made = view(plain(_nowhere, place.shape), y)
        if made is None:
            return None
        place = made
    return place


__all__ = ["Rows", "batch_of"]
