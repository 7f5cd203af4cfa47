"""The passes of the native back end: move nearly all operations into the step.

Operations of the step cost no calls here, and their operands are in the L1 cache. So everything
except large products runs at every step, even if it could run for all steps at once:

    late      values that only the step reads are computed in the step
    sinks     values that only the outputs or the sums over time read are computed in the step too
    products  of all steps with one matrix stay outside: they become one large product
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ....graph import Primitive
from ....ops import primitives
from ....ops.indexing import is_basic
from ....ops.reductions import _first_place as first_place
from ...ir import (
    CONSTANT,
    Builder,
    Operation,
    OverTime,
    Program,
    Value,
    in_order,
    join,
    rewrite,
    total,
    total_matmul,
)
from ...passes.columns import sum_of_parts
from ...passes.expand import inlined
from ...passes.schedule import schedule
from ...passes.simplify import RULES
from .groups import root
from .indices import added_at, checked_argument, indexed, known, total_added_at
from .rows import Rows, batch_of

_add, _multiply = primitives.add, primitives.multiply
_matmul, _sum = primitives.matmul, primitives.sum
_transpose = primitives.transpose


def run_passes(program: Program) -> Program:
    """A simplified program after all passes of this back end."""
    for one_pass in passes():
        program = one_pass(program)
    return program


def passes() -> tuple[Callable[[Program], Program], ...]:
    """The passes of this back end, in their order."""
    # expanded    softmax, einsum, indexing, ... become operations that have instructions
    # scheduled   sections for the new values
    # totals      sum_t x_t' g_t becomes one product of all steps
    # scheduled   again, since these sums need other operands
    return expanded, scheduled, totals, scheduled


def expanded(program: Program) -> Program:
    """The program, rewritten into operations that this back end can lower."""
    return rewrite(
        program,
        (
            *RULES,
            written_out,
            thin_product,
            sums_of_products,
            sum_of_parts,
            indexed,
            checked_argument,
            first_largest,
            one_by_one,
            placed,
        ),
    )


_first_place = first_place.primitive  # type: ignore[attr-defined]
_max, _min, _where = primitives.max, primitives.min, primitives.where
_einsum, _pad, _place = primitives.einsum, primitives.pad, primitives.place
_equal, _not_equal = primitives.equal, primitives.not_equal
_or = Primitive("or", np.logical_or, None, elementwise=True, scalar="logical_or")

#: Cumulative operations, and the operation that combines two elements.
_so_far = {primitives.cumsum: _add, primitives.cumprod: _multiply}

#: The longest axis along which cumulative sums are written out.
LONGEST = 32


def first_largest(build: Builder, call: Operation) -> Value | None:
    """The first position of the largest element: the smallest index of an element equal to it."""
    if call.op is not _first_place:
        return None
    (x,), axis = call.args, call.keywords["axis"]
    extreme = _max if call.keywords["largest"] else _min
    axes = tuple(range(len(x.shape))) if axis is None else tuple(np.ravel(axis).tolist())
    if x.dtype.char not in "fdl":
        return None
    # For x = [3, 7, 7]:
    #
    #     best    = max(x)                            7
    #     chosen  = x == best                         [False, True, True]
    #     index   = where(chosen, [0, 1, 2], large)   [large, 1, 2]
    #     result  = index == min(index)               [False, True, False]
    axes = tuple(a % len(x.shape) for a in axes) if x.shape else ()
    narrow = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    wide = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
    keywords = {"axis": axes, "keepdims": True}
    best = build.make(extreme, (x,), keywords, narrow, x.dtype)
    # The maximum of an array with NaN is NaN, which equals nothing, so NaN is looked for by itself.
    chosen = build.elementwise(_equal, x, best)
    if x.dtype.kind == "f":  # NaN counts as the largest and as the smallest
        chosen = build.elementwise(_or, chosen, build.elementwise(_not_equal, x, x))
    index = known(build, np.arange(math.prod(wide)).reshape(wide))
    index = build.elementwise(_where, chosen, index, 1 << 60)
    first = build.make(_min, (index,), keywords, narrow, index.dtype)
    return build.elementwise(_equal, index, first)


def sums_of_products(build: Builder, call: Operation) -> Value | None:
    """einsum, and stacked matrix products -> elementwise products, then sums."""
    if call.dtype.char not in "fd" or any(
        type(x) is not Value or x.dtype != call.dtype for x in call.args
    ):
        return None
    if call.op is _einsum:
        names, result = call.keywords["operands"], call.keywords["result"]
        # A single operand whose letters are only reordered is a view.
        if len(call.args) == 1 and set(names[0]) == set(result):
            return None
    elif call.op is _matmul and len(call.args[1].shape) > 2:
        names, result = _letters(*(len(x.shape) for x in call.args))
    else:
        return None
    # A letter that is twice in one operand is a diagonal.
    if any(len(set(letters)) != len(letters) for letters in names):
        return None
    # "nk,km->nm" of x (N, K) and y (K, M), in the order n, m, k:
    #
    #     x -> (N, 1, K),  y transposed -> (1, M, K),  product (N, M, K),  sum over axis 2
    #
    # The transposes and reshapes are views, and one loop nest computes the product and the sum. So
    # the array (N, M, K) is never stored.
    summed = "".join(sorted(set("".join(names)) - set(result)))
    order = result + summed
    sizes: dict[str, int] = {}
    factors = []
    for x, letters in zip(call.args, names, strict=True):
        for letter, n in zip(letters, x.shape, strict=True):
            sizes[letter] = max(n, sizes.get(letter, 1))
        axes = tuple(letters.index(c) for c in order if c in letters)
        shape = tuple(x.shape[i] for i in axes)
        turned = build.make(_transpose, (x,), {"axes": axes}, shape, x.dtype)
        known = iter(shape)
        full = tuple(next(known) if c in letters else 1 for c in order)
        factors.append(build.reshape(turned, full))
    space = tuple(sizes[c] for c in order)
    product = functools.reduce(lambda x, y: build.elementwise(_multiply, x, y), factors)
    if product.shape != space:
        return None
    if not summed:
        return product
    keywords = {"axis": tuple(range(len(result), len(order))), "keepdims": False}
    return build.make(_sum, (product,), keywords, space[: len(result)], call.dtype)


def _letters(x_rank: int, y_rank: int) -> tuple[tuple[str, str], str]:
    """The einsum subscripts of matmul. A vector on the left has no rows."""
    # (A, N, K) @ (A, K, M) is "ank,akm->anm".
    leading = "abcdefgh"[: max(x_rank, y_rank) - 2]
    rows = "n" if x_rank > 1 else ""
    left = leading[len(leading) - max(x_rank - 2, 0) :] + rows + "k"
    right = leading[len(leading) - (y_rank - 2) :] + "km"
    return (left, right), leading + rows + "m"


def one_by_one(build: Builder, call: Operation) -> Value | None:
    """cumsum and cumprod along a short axis, written out element by element."""
    # Each element needs the one before it, so no loop nest can compute them at once.
    combine = _so_far.get(call.op)
    if combine is None or call.dtype.char not in "fdl":
        return None
    (x,), axis = call.args, call.keywords["axis"]
    if type(x) is not Value or x.dtype != call.dtype:
        return None
    if axis is None or not x.shape:
        x, axis = build.reshape(x, (math.prod(x.shape),)), 0
    axis %= len(x.shape)
    if not 1 <= x.shape[axis] <= LONGEST:
        return None
    before = (slice(None),) * axis
    parts = [build.getitem(x, (*before, slice(i, i + 1))) for i in range(x.shape[axis])]
    sums = [parts[0]]
    for part in parts[1:]:
        sums.append(build.elementwise(combine, sums[-1], part))
    indices = tuple((*before, slice(i, i + 1)) for i in range(len(sums)))
    keywords = {"indices": indices, "shape": x.shape}
    return build.make(join, tuple(sums), keywords, x.shape, x.dtype)


def placed(build: Builder, call: Operation) -> Value | None:
    """``place``, and ``pad`` with zeros -> a join of one part."""
    if call.op is _place and is_basic(call.keywords["index"]):
        index, shape = call.keywords["index"], call.keywords["shape"]
    elif call.op is _pad and not np.any(call.keywords["constant_values"]):
        widths, shape = call.keywords["pad_width"], call.shape
        (x,) = call.args
        index = tuple(
            slice(int(before), int(before) + n)
            for (before, _), n in zip(widths, x.shape, strict=True)
        )
    else:
        return None
    (x,) = call.args
    if type(x) is not Value or x.dtype != call.dtype:
        return None
    keywords = {"indices": (index,), "shape": tuple(shape)}
    return build.make(join, (x,), keywords, call.shape, call.dtype)


def written_out(build: Builder, call: Operation) -> Value | None:
    """softmax(x), mean(x) and the like, in operations that have instructions."""
    if call.op.written_out is None or call.op.scalar is not None or call.dtype.char not in "fd":
        return None
    inputs = [x for x in call.args if type(x) is Value]
    if any(x.dtype != call.dtype for x in inputs):
        return None
    return inlined(build, call)


def thin_product(build: Builder, call: Operation) -> Value | None:
    """x @ y for a single column y -> sums of elementwise products."""
    # The kernels compute columns side by side. For a single one most lanes would be idle.
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
    return build.reshape(build.make(_sum, (products,), keywords, x.shape[:-1], x.dtype), shape)


def is_large(v: Value) -> bool:
    """Whether a value is a product of every step with the same matrix."""
    if v.op is not _matmul:
        return False
    x, y = v.args
    return x.varies and y.level == CONSTANT and len(y.shape) == 2


def scheduled(program: Program) -> Program:
    """Schedule everything in the step, except large products, their operands and their readers.

    If the sequences of a batch are independent, values that mix them stay outside too, so that
    threads can share the steps.
    """
    # First everything moves into the step that the step alone reads.
    program = schedule(program, late=lambda v: not is_large(v))
    rows = Rows(batch_of(program), program.carries)
    apart = bool(rows.rows) and all(map(rows.add, program.step))
    here = {*program.inputs, *program.before, *program.step}
    # Then also what only results and sums read, if all its operands are at hand in the step.
    # Written here, it costs no loop of its own, and its operands need not be stored for all steps.
    sinks: list[Value] = []
    for v in program.after:
        if v.varies and not is_large(v) and all(x in here for x in v.inputs):
            if apart and not rows.add(v):
                continue
            sinks.append(v)
            here.add(v)
    if apart:
        here -= _read_late(program, sinks)
    # What depends on constants alone runs once per set of constants, although only sums read it.
    constant = _constant(program)
    return replace(
        program,
        before=in_order([*program.before, *constant]),
        step=in_order([*program.step, *(v for v in sinks if v in here)]),
        after=tuple(v for v in program.after if v not in here and v not in constant),
    )


def _read_late(program: Program, sinks: list[Value]) -> set[Value]:
    """The sinks that are better computed after the step, because only loops after it read them.

    A sink is moved only if it reads a single value of the step: then one block is stored in either
    case.
    """
    readers: dict[Value, list[Value]] = {}
    for v in program.computed:
        for x in v.inputs:
            readers.setdefault(x, []).append(v)
    late: set[Value] = set()
    results, after = set(program.results), {*program.after} - {*sinks}
    for v in reversed(sinks):
        if v in results or v not in readers:
            continue
        if all(x in late or (x in after and _is_loop(x)) for x in readers[v]):
            moving = {root(x) for x in v.inputs if x in program.step or x in program.carries}
            if len(moving) <= 1:
                late.add(v)
    return late


def _is_loop(v: Value) -> bool:
    return v.op is not total_matmul and not is_large(v)


def _constant(program: Program) -> set[Value]:
    """The values scheduled after the steps that depend on constants alone."""
    known = {*program.constants, *program.before}
    found: set[Value] = set()
    for v in program.after:
        if not v.varies and not isinstance(v.op, OverTime) and known.issuperset(v.inputs):
            known.add(v)
            found.add(v)
    return found


def totals(program: Program) -> Program:
    """Sums over time of matrix products -> one product; of joins -> joins of sums."""
    if not any(v.op is total for v in program.totals):
        return program
    builder = Builder.of(program.computed, program.inputs)
    known = {v: _total_of(builder, v.args[0]) for v in program.totals if v.op is total}
    for old, new in known.items():
        if new.name is None:
            new.name = old.name
    return program.with_results(lambda v: known.get(v, v))


def _total_of(build: Builder, x: Value) -> Value:
    """sum_t x_t."""
    if x.op is _matmul and x.dtype.char in "fd":
        # The product of all steps adds up while it multiplies: T products are not stored.
        both = all(type(y) is Value and y.varies and len(y.shape) == 2 for y in x.args)
        if both:
            return build.plain(total_matmul, x.args, {}, x.shape, x.dtype)
    if x.op is added_at and x.varies:
        keywords = {**x.keywords, "vary": tuple(y.varies for y in x.inputs)}
        return build.plain(total_added_at, x.args, keywords, x.shape, x.dtype)
    # The sum of a join is the join of the sums, so that each part can be one product.
    if x.op is join and x.varies:
        parts = tuple(_total_of(build, y) for y in x.inputs)
        return build.plain(join, parts, x.keywords, x.shape, x.dtype)
    if x.op is _transpose and x.varies:
        turned = (_total_of(build, x.args[0]),)
        return build.plain(_transpose, turned, x.keywords, x.shape, x.dtype)
    return build.plain(total, (x,), {}, x.shape, x.dtype)


__all__ = ["is_large", "passes", "run_passes", "scheduled"]
