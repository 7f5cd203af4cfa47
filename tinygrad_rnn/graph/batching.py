"""How an operation runs for all time steps in one call.

A *block* (T, ...) holds the values of all time steps. If an operation does not depend on the carry,
one call on blocks replaces T calls. Its *batch rule* says how. It stands beside the operation, like
its derivative:

    @differentiable(rule, batch=lambda keywords, operands: {"axis": operands[0].axes(...)})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

#: A function of blocks, and of values that all steps share, that returns a block.
Blocks: TypeAlias = Callable[..., Any]
#: ``rule(keywords, operands)``: see ``Primitive.batch``.
BatchRule: TypeAlias = (
    "Callable[[dict[str, Any], Sequence[Operand]], Blocks | dict[str, Any] | None]"
)


class Operand(NamedTuple):
    """What a batch rule knows about an operand.

    Attributes:
        shape: at one time step.
        over_time: whether it is a block, (T, *shape); if not, all steps share it.
    """

    shape: tuple[int, ...]
    over_time: bool

    def axis(self, axis: int) -> int:
        """Where an axis of one time step lies in the block."""
        return axis % len(self.shape) + 1

    def axes(self, axis: Any) -> tuple[int, ...]:
        """Where an axis, a tuple of axes or (None) all axes of one time step lie in the block."""
        rank = len(self.shape)
        if axis is None or rank == 0:  # NumPy takes axis 0 of a 0-d array to mean nothing
            return tuple(range(1, rank + 1))
        return tuple(a % rank + 1 for a in (axis if np.iterable(axis) else (axis,)))


def batch_elementwise(
    forward: Callable[..., Any], keywords: dict[str, Any], operands: Sequence[Operand]
) -> Blocks | None:
    """The batch rule of every operation that broadcasts.

    NumPy matches axes from the last one, so operands with fewer axes get axes of length 1 after T.
    """
    rank = max(len(x.shape) for x in operands)
    # A constant with more axes than the operands would meet the time axis.
    if any(np.ndim(constant) > rank for constant in keywords.values()):
        return None
    short = {
        i: (1,) * (rank - len(x.shape)) + x.shape
        for i, x in enumerate(operands)
        if x.over_time and len(x.shape) < rank
    }
    if not short and not keywords:
        return forward

    def call(*xs: Any) -> Any:
        aligned = [x.reshape(x.shape[:1] + short[i]) if i in short else x for i, x in enumerate(xs)]
        return forward(*aligned, **keywords)

    return call
