"""What a program of scan means: every value worked out step by step, in the plainest way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from tinygrad_rnn.scan.ir import OverTime, Program, Value, times_steps


def interpret(
    program: Program,
    T: int,
    reverse: bool,
    constants: Sequence[ndarray],
    sequences: Sequence[ndarray],
    carries: Sequence[ndarray],
) -> tuple[list[ndarray], list[ndarray], list[ndarray], list[ndarray]]:
    """The new carries, what is stacked, the totals and what is kept, as a back end returns them."""
    once: dict[Value, Any] = dict(zip(program.constants, constants, strict=True))
    blocks: dict[Value, list[Any]] = {
        v: list(block) for v, block in zip(program.sequences, sequences, strict=True)
    }
    for v in program.before:
        outside(v, T, once, blocks)
    held = [np.array(h) for h in carries]
    for v in (*program.carries, *program.step):
        blocks[v] = [None] * T
    for t in range(T - 1, -1, -1) if reverse else range(T):
        for v, h in zip(program.carries, held, strict=True):
            blocks[v][t] = h
        for v in program.step:
            blocks[v][t] = computed(v, lambda x: blocks[x][t] if x.varies else once[x])  # noqa: B023
        held = [np.array(blocks[v][t] if v.varies else once[v]) for v in program.new_carries]
    for v in program.after:
        outside(v, T, once, blocks)

    def result(v: Value) -> ndarray:
        return np.stack(blocks[v]) if v.varies else np.asarray(once[v])

    stacked = [result(v) if v.varies else np.stack([once[v]] * T) for v in program.stacked]
    return held, stacked, [result(v) for v in program.totals], [result(v) for v in program.kept]


def computed(v: Value, read: Any) -> ndarray:
    assert v.op is not None
    args = [read(x) if type(x) is Value else x for x in v.args]
    with np.errstate(all="ignore"):
        return np.asarray(v.op.forward(*args, **v.keywords))


def outside(v: Value, T: int, once: dict[Value, Any], blocks: dict[Value, list[Any]]) -> None:
    """A value made before or after the steps."""
    if isinstance(v.op, OverTime):
        args = [
            np.stack(blocks[x]) if x.varies and v.op is not times_steps else once[x]
            for x in v.inputs
        ]
        once[v] = np.asarray(v.op.forward(T, *args, **v.keywords))
    elif v.varies:
        blocks[v] = [
            computed(v, lambda x: blocks[x][t] if x.varies else once[x])  # noqa: B023
            for t in range(T)
        ]
    else:
        once[v] = computed(v, once.__getitem__)
