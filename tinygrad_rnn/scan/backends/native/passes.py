"""The passes of the native back end: few operations, and as many as possible within the step.

A step's operations cost no calls here, and what they read lies in the first cache. So everything
that is not a large product is done at each step, even what could be done for all of them at once:

    late      what only the steps read is made in the step
    sinks     what only the outputs or the sums over time read is made in the step too
    products  of all steps with one matrix stay outside: they are one large product
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ....graph import table
from ...ir import (
    CONSTANT,
    LOOP,
    Builder,
    Operation,
    OverTime,
    Program,
    Value,
    join,
    rewrite,
    total,
    total_matmul,
)
from ...passes.columns import sum_of_parts
from ...passes.expand import inlined
from ...passes.schedule import schedule
from ...passes.simplify import RULES

_matmul, _multiply, _sum = table["matmul"], table["multiply"], table["sum"]
_transpose = table["transpose"]


def lowered(program: Program) -> Program:
    """The passes of this back end, over a simplified program."""
    for one_pass in passes():
        program = one_pass(program)
    return program


def passes() -> tuple[Callable[[Program], Program], ...]:
    return expanded, scheduled, totals, scheduled


def expanded(program: Program) -> Program:
    return rewrite(program, (*RULES, written_out, thin_product, sum_of_parts))


def written_out(build: Builder, call: Operation) -> Value | None:
    """softmax(x), mean(x) and the like in operations that have an instruction."""
    if call.op.written_out is None or call.op.scalar is not None or call.dtype.char not in "fd":
        return None
    inputs = [x for x in call.args if type(x) is Value]
    if any(x.dtype != call.dtype for x in inputs):
        return None
    return inlined(build, call)


def thin_product(build: Builder, call: Operation) -> Value | None:
    """x @ y of one column: sums of products of elements."""
    if call.op is not _matmul or call.dtype.char not in "fd":
        return None
    x, y = call.args
    if type(x) is not Value or type(y) is not Value or x.dtype != y.dtype:
        return None
    if len(y.shape) == 1:
        return _row_sums(build, x, y, call.shape)
    if len(y.shape) == 2 and y.shape[1] == 1:
        return _row_sums(build, x, build.reshape(y, (y.shape[0],)), call.shape)
    return None


def _row_sums(build: Builder, x: Value, y: Value, shape: tuple[int, ...]) -> Value:
    products = build.elementwise(_multiply, x, y)
    keywords = {"axis": (len(x.shape) - 1,), "keepdims": False}
    return build.reshape(
        build.make(_sum, (products,), keywords, x.shape[:-1], x.dtype), shape
    )


def is_large(v: Value) -> bool:
    """Whether a value is a product of all steps with the same matrix."""
    if v.op is not _matmul:
        return False
    x, y = v.args
    return x.varies and y.level == CONSTANT and len(y.shape) == 2


def scheduled(program: Program) -> Program:
    """Everything in the step, but large products, what they are made of and what is made of them."""
    program = schedule(program, late=lambda v: not is_large(v))
    here = {*program.given, *program.before, *program.step}
    sinks = []
    for v in program.after:
        if v.varies and not is_large(v) and all(x in here for x in v.inputs):
            sinks.append(v)
            here.add(v)
    step = sorted((*program.step, *sinks), key=lambda v: v.number)
    after = tuple(v for v in program.after if v not in here)
    return replace(program, step=tuple(step), after=after)


def totals(program: Program) -> Program:
    """Sums over time of products of matrices as one product; sums of parts as parts of sums."""
    if not any(v.op is total for v in program.totals):
        return program
    builder = Builder.of(program.made, program.given)

    def of(x: Value) -> Value:
        if x.op is _matmul and x.varies and x.dtype.char in "fd":
            if all(type(y) is Value and y.varies and len(y.shape) == 2 for y in x.args):
                return builder.plain(total_matmul, x.args, {}, x.shape, x.dtype)
        if x.op is join and x.varies:
            parts = tuple(of(y) for y in x.inputs)
            return builder.plain(join, parts, x.keywords, x.shape, x.dtype)
        if x.op is _transpose and x.varies:
            return builder.plain(_transpose, (of(x.args[0]),), x.keywords, x.shape, x.dtype)
        return builder.plain(total, (x,), {}, x.shape, x.dtype)

    known = {v: of(v.args[0]) for v in program.totals if v.op is total}
    for old, new in known.items():
        if new.name is None:
            new.name = old.name
    return program.with_results(lambda v: known.get(v, v))


__all__ = ["is_large", "lowered", "passes", "scheduled"]
