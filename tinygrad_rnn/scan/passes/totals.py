"""Totals: compute sums over time as early and in as few passes over memory as possible.

The cotangent of a weight is a sum over the steps. T parts need not be computed and then added: one
matrix product over all steps adds up while it multiplies, and a linear operation runs once, on the
sum.

    sum_t A_t B_t          ->  [A_1 ... A_T] [B_1; ...; B_T]
    sum_t f(x_t), f linear ->  f(sum_t x_t)

For the weight of a layer, with x_t (N, D) and the cotangents g_t (N, H):

    before this pass                         after it
    v1 = g_t.T             (T, H, N)         v1 = g_t.T                     (T, H, N)
    v2 = v1 @ x_t          (T, H, D)         dW = sum over t of v1 @ x_t    (H, D)
    dW = sum over t of v2  (H, D)

The block v2 of T matrices is never made. The sum is one product, of (H, T N) by (T N, D).

A product of two values that both vary is not linear in them: ``sum_t x_t y_t`` is not
``(sum_t x_t) (sum_t y_t)``. Each primitive says in which arguments it is linear.
"""

from __future__ import annotations

import numpy as np

from ...ops import primitives
from ...ops.indexing import takes_rows
from ..ir import (
    Builder,
    Program,
    Value,
    join,
    reached,
    times_steps,
    total,
    total_applied,
    total_einsum,
    total_matmul,
    total_product,
    total_sum,
)

_multiply, _matmul, _einsum = primitives.multiply, primitives.matmul, primitives.einsum
_sum, _sum_to = primitives.sum, primitives.sum_to
_rows_added, _scatter = primitives.rows_added, primitives.scatter


def totals(program: Program) -> Program:
    """A scheduled program with its sums over time rewritten; not scheduled."""
    if not any(v.op is total for v in program.totals):
        return program
    builder = Builder.of(program.computed, program.inputs)
    blocks = {*program.inputs, *program.before, *program.step}
    blocks |= set(reached([*program.stacked, *program.kept]))
    writer = _Totals(builder, blocks)
    known = {v: writer.of(v.args[0]) for v in program.totals if v.op is total}
    for old, new in known.items():
        # Two totals may be one value: it keeps its first name.
        if new.name is None:
            new.name = old.name
    return program.with_results(lambda v: known.get(v, v))


class _Totals:
    """Writes sums over time.

    Args:
        blocks: the values whose block of all steps exists anyway: sum that block.
    """

    def __init__(self, builder: Builder, blocks: set[Value]):
        self.build = builder
        self.blocks = blocks
        self.known: dict[Value, Value] = {}

    def of(self, v: Value) -> Value:
        """sum_t v_t."""
        waiting = [v]  # no recursion: a step may be thousands of operations long
        while waiting:
            w = waiting[-1]
            missing = [x for x in self.summands(w) if x not in self.known]
            waiting += missing
            if not missing:
                waiting.pop()
                if w not in self.known:
                    self.known[w] = self.written(w)
        return self.known[v]

    def summands(self, v: Value) -> list[Value]:
        """The values whose sums over time are needed for the sum of v."""
        # A block that exists is summed as it is: no sum of its operands is needed.
        if v.op is None or v in self.blocks or not v.varies or v.dtype.kind != "f":
            return []
        if v.op is join:
            return v.inputs
        # These are computed from the blocks of their operands, not from sums of these.
        if v.op in (_sum, _sum_to) or (v.op is _matmul and all(x.varies for x in v.inputs)):
            return []
        return [v.args[i] for i in self.linear_in(v)]

    def written(self, v: Value) -> Value:
        """sum_t v_t, where the sums of its :meth:`summands` are known."""
        if not v.varies:  # the same at every step: T v
            return self.build.plain(times_steps, (v,), {}, v.shape, v.dtype)
        rewritten = None if v in self.blocks else self.rewritten(v)
        return self.plain(v) if rewritten is None else rewritten

    def plain(self, v: Value) -> Value:
        return self.build.plain(total, (v,), {}, v.shape, v.dtype)

    def rewritten(self, v: Value) -> Value | None:
        """sum_t v_t by a rule for v's operation; None if there is none."""
        op = v.op
        assert op is not None
        if v.dtype.kind != "f":
            return None
        if op is join:
            parts = tuple(self.of(x) for x in v.inputs)
            return self.build.make(join, parts, v.keywords, v.shape, v.dtype)
        if op is _matmul:
            x, y = v.args
            if all(type(a) is Value and a.varies and len(a.shape) == 2 for a in v.args):
                return self.build.plain(total_matmul, (x, y), {}, v.shape, v.dtype)
        if op in (_sum, _sum_to):
            return self.sum_of_all(v)
        if op is _einsum and all(type(a) is Value and a.varies for a in v.args):
            return self.build.plain(total_einsum, v.args, v.keywords, v.shape, v.dtype)
        # These add the rows of one step to places of a table, so they add those of all steps just
        # as well: (T, N) rows are T N rows.
        rows = op is _rows_added or (op is _scatter and takes_rows(v.keywords["pattern"]))
        if rows and all(x.varies for x in v.inputs):
            keywords = {"op": op, "keywords": v.keywords}
            return self.build.plain(total_applied, v.args, keywords, v.shape, v.dtype)
        return self.linear(v)

    def linear(self, v: Value) -> Value | None:
        """sum_t f(x_t, c) -> f(sum_t x_t, c), where f is linear in x_t and c does not vary."""
        assert v.op is not None
        varying = self.linear_in(v)
        if not varying:
            return None
        args = tuple(self.of(x) if i in varying else x for i, x in enumerate(v.args))
        return self.build.make(v.op, args, v.keywords, v.shape, v.dtype)

    def linear_in(self, v: Value) -> list[int]:
        """The positions of the arguments that vary, if v is linear in them; else none."""
        assert v.op is not None
        given = [i for i, x in enumerate(v.args) if x is not None]
        varying = [i for i, x in enumerate(v.args) if type(x) is Value and x.varies]
        if not v.op.is_linear_in(varying, v.keywords, given):
            return []
        # A sum that is taken before a conversion would be rounded to the dtype before it.
        return varying if all(v.args[i].dtype == v.dtype for i in varying) else []

    def sum_of_all(self, v: Value) -> Value | None:
        """A sum over axes and over time -> one reduction."""
        (x,) = v.inputs
        if x.dtype != v.dtype:
            return None
        rank = len(x.shape)
        if v.op is _sum:
            axis = v.keywords["axis"]
            axes = range(rank) if axis is None else np.ravel(axis).tolist()
            summed = {a % rank for a in axes} if rank else set()
        else:
            # sum_to: sums over the axes that v does not have, and over those that v has with length
            # 1.
            extra = rank - len(v.shape)
            summed = {i for i in range(rank) if i < extra or v.shape[i - extra] != x.shape[i]}
        kept = tuple(i for i in range(rank) if i not in summed)
        shape = tuple(x.shape[i] for i in kept)
        # If the block of products exists, the sum of it is one reduction.
        factors = x.args if x.op is _multiply and x not in self.blocks else ()
        # The bound on the rank: einsum has 52 labels for axes, and time needs one of them. 20 is on
        # the safe side of that.
        if (
            factors
            and all(
                type(a) is Value and a.varies and (a.shape, a.dtype) == (x.shape, x.dtype)
                for a in factors
            )
            and rank < 20
        ):
            # The products are added up without storing them.
            value = self.build.plain(total_product, tuple(factors), {"kept": kept}, shape, v.dtype)
        else:
            value = self.build.plain(total_sum, (x,), {"kept": kept}, shape, v.dtype)
        # v may keep the summed axes with length 1, as in a bias (1, H).
        return self.build.reshape(value, v.shape)


__all__ = ["totals"]
