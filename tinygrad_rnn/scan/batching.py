"""Operations on blocks (T, ...), which hold the arrays of all time steps: many steps in one call.

An operation outside of the loop runs on blocks. Its primitive has a rule for that; without a rule,
the operation is called once per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Blocks, Operand, Primitive
from ..ops.products import subscripts_over_time as with_time


def each(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks:
    """A function on blocks that calls the operation once per step and fills a block."""
    over_time = [i for i, x in enumerate(operands) if x.over_time]

    def call(*xs: Any) -> ndarray:
        """Run the operation on each step."""
        out: ndarray | None = None
        arguments = list(xs)
        steps = len(xs[over_time[0]])
        for t in range(steps):
            for i in over_time:
                arguments[i] = xs[i][t]
            y = np.asarray(op.forward(*arguments, **keywords))
            # The first result says which shape and dtype the block has.
            if out is None:
                out = np.empty((steps, *y.shape), y.dtype)
            out[t] = y
        assert out is not None
        return out

    return call


def batched(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks | None:
    """The operation on blocks, if there is a rule for it."""
    return op.batch(keywords, operands)


__all__ = ["Blocks", "Operand", "batched", "each", "with_time"]
