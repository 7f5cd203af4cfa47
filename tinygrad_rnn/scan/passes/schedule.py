"""Schedule: decide what runs before the steps, at every step, and after them.

Only operations between the old and the new carry must run within the loop. What does not depend on
the carry is computed before it, for all steps at once. What only the outputs or the sums over time
need is computed after it. (A compiler's word for this is loop-invariant code motion.)

The forward pass of a layer with an output, ``h = tanh(x_t W + h U); y_t = h V``:

    before   x_t W          one product of (T N, D) by (D, H) instead of T small ones
    step     h U, the sum and tanh
    after    h V            one product again; so every h is kept in a block
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..ir import LOOP, SEQUENCE, OverTime, Program, Value, in_order, reached


def schedule(program: Program, late: Callable[[Value], bool] = lambda v: False) -> Program:
    """Put every value of a program into a section.

    Args:
        program: the program; its present sections are ignored.
        late: whether a value that could be computed before the loop should be computed at every
            step, if only the step reads it. Its operands and readers are then in the cache.
    """
    # 1. What the new carries are computed from, as far as it depends on the old ones.
    step = reached(program.new_carries, lambda v: v.level == LOOP and v.op is not None)
    # 2. Values that could be computed before, but are better computed late. Readers come first
    # here, so a late value may have late operands.
    readers: dict[Value, list[Value]] = {}
    for v in reached(program.results):
        for x in v.inputs:
            readers.setdefault(x, []).append(v)
    for v in reversed(in_order(readers)):
        early = v.level == SEQUENCE and v.op is not None and v not in program.results
        if early and late(v) and all(reader in step for reader in readers[v]):
            step[v] = None
    # 3. What the step reads, and new carries that do not depend on the old ones. A sum over time is
    # never part of it: it needs all steps.
    before = reached(
        [*program.new_carries, *(x for v in step for x in v.inputs)],
        lambda v: v.level < LOOP and v not in step and not isinstance(v.op, OverTime),
    )
    # 4. The rest.
    after = reached(program.results, lambda v: v not in step and v not in before)
    return replace(
        program,
        before=in_order(v for v in before if v.op is not None),
        step=in_order(step),
        after=in_order(v for v in after if v.op is not None),
    )


def kept_of_every_step(program: Program) -> dict[Value, None]:
    """The values of the step and the carries that are read after the loop, for every step."""
    in_loop = {*program.step, *program.carries}
    kept = [x for v in program.after for x in v.inputs if x in in_loop]
    kept += [v for v in (*program.stacked, *program.totals, *program.kept) if v in in_loop]
    return dict.fromkeys(kept)


__all__ = ["kept_of_every_step", "schedule"]
