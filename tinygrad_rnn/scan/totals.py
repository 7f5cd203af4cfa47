"""Sums over time: what a loop gives as one array for all its steps.

The cotangent of a weight is such a sum. It is seldom that of blocks: one product whose inner axis
is all steps sums as it multiplies, and what is linear is done once, to the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..graph import table
from ..ops.indexing import PLACE
from .batching import batched, with_time
from .blocks import once, operands, sum_of_each
from .values import CONSTANT, Var, dense, join

if TYPE_CHECKING:
    from .loop import Writer

_add, _multiply, _matmul, _einsum = (
    table[name] for name in ("add", "multiply", "matmul", "einsum")
)
_sum, _sum_to = table["sum"], table["sum_to"]
_rows_added, _scatter = table["_rows_added"], table["_scatter"]


class Totals:
    """Writes sums over time."""

    def __init__(self, writer: Writer):
        self._writer = writer
        self._names: dict[Var, str] = {}

    def of(self, v: Var) -> str:
        """The name of sum_t v_t."""
        known = self._names.get(v)
        if known is not None:
            return known
        writer = self._writer
        made = self._names[v] = f"s{v.number}"
        writer.after.append(f"{made} = {self._formula(v)}")
        if v.op is not None:
            writer.listing.add("after", [v], summed=v.level > CONSTANT)
        return made

    def _formula(self, v: Var) -> str:
        writer, op = self._writer, v.op
        if v.level == CONSTANT:
            return f"T * {self._block(v)}"
        if op is None or v in writer.in_loop:
            return f"add_reduce({self._block(v)}, 0)"
        if op is join:
            names = [self.of(x) for x in v.inputs]
            return f"{writer.constant(once(v), 'join_')}({', '.join(names)})"
        x = v.inputs[0]
        alike = all(y.shape == v.shape and y.dtype == v.dtype for y in v.inputs)
        if op is _add and alike and len(v.inputs) == 2:
            return f"{self.of(x)} + {self.of(v.inputs[1])}"
        if op in (_sum, _sum_to) and x.dtype == v.dtype:
            return self._sum_of_all(v, x)
        if (
            len(v.args) == 1
            and x.level > CONSTANT
            and x.dtype == v.dtype
            and v.dtype.kind == "f"
            and op.is_linear_in({0}, v.keywords, {0})
        ):
            f = writer.constant(once(v), f"{op.name.strip('_')}_")
            return f"{f}({self.of(x)})"
        if op is _matmul and all(type(a) is Var and len(a.shape) == 2 for a in v.args):
            return self._product(*v.inputs)
        rows = op is _rows_added or (op is _scatter and v.keywords["pattern"] == (PLACE,))
        if rows and all(a.level > CONSTANT for a in v.inputs):
            # The rows of all steps at once.
            return f"{writer.constant(once(v), 'rows_added_')}({self._blocks(v)})"
        if op is _einsum:
            product = self._einsum_over_time(v)
            if product is not None:
                return f"{product}({self._blocks(v)})"
        if batched(op, v.keywords, operands(v)) is None:
            f = writer.constant(sum_of_each(v), f"{op.name.strip('_')}_")
            return f"{f}({self._blocks(v)})"
        return f"add_reduce({self._block(v)}, 0)"

    def _block(self, v: Var) -> str:
        return self._writer.block(v, "after")

    def _blocks(self, v: Var) -> str:
        """What v is computed from, of all steps."""
        return ", ".join(
            self._block(x) if type(x) is Var else self._writer.constant(x) for x in v.args
        )

    def _product(self, x: Var, y: Var) -> str:
        """sum_t x_t y_t."""
        if x.level > CONSTANT and y.level > CONSTANT:
            return f"product_over_time({self._block(x)}, {self._block(y)})"
        if x.level > CONSTANT:
            return f"{self.of(x)} @ {self._block(y)}"
        return f"{self._block(x)} @ {self.of(y)}"

    def _sum_of_all(self, v: Var, x: Var) -> str:
        """sum_t of a sum over axes of x_t: one reduction over these and time."""
        writer, rank = self._writer, len(x.shape)
        if v.op is _sum:
            axis = v.keywords["axis"]
            axes = range(rank) if axis is None else np.ravel(axis).tolist()
            reduced = {a % rank for a in axes} if rank else set()
        else:
            padded = (1,) * (rank - len(v.shape)) + v.shape
            reduced = {i for i in range(rank) if padded[i] != x.shape[i] or i < rank - len(v.shape)}
        if (
            x.op is _multiply
            and x.dtype.name in dense
            and x not in writer.place
            and x not in writer.in_loop
            and all(type(a) is Var and a.shape == x.shape and a.dtype == x.dtype for a in x.args)
            and all(a.level > CONSTANT for a in x.inputs)
            and rank < 20
        ):
            # The products need not be stored to be summed.
            letters = "abcdefghijklmnopqrstuvw"[: rank + 1]
            left = "".join(c for i, c in enumerate(letters) if i and i - 1 not in reduced)
            subscripts = f"{letters},{letters}->{left}"
            f = writer.constant(
                lambda a, b: np.einsum(subscripts, a, b).reshape(v.shape), "sum_of_product_"
            )
            return f"{f}({self._blocks(x)})"
        if reduced == set(range(rank - 1)) and x.dtype.name in dense and v.dtype == x.dtype:
            return f"sum_of_rows({self._block(x)}).reshape({v.shape})"
        axes = (0, *(i + 1 for i in sorted(reduced)))
        return f"add_reduce({self._block(x)}, {axes}).reshape({v.shape})"

    def _einsum_over_time(self, v: Var) -> str | None:
        found = with_time(v.keywords, operands(v))
        if found is None or not all(type(a) is Var for a in v.args):
            return None
        terms, _ = found
        subscripts = f"{terms}->{v.keywords['result']}"
        return self._writer.constant(
            lambda *xs: np.einsum(subscripts, *xs, optimize=len(xs) > 1), "einsum_over_time_"
        )


__all__ = ["Totals"]
