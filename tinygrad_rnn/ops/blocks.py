"""The common batch rules: how operations run on blocks (T, ...), all time steps at once.

See ``Primitive.batch``. Each rule here serves several operations. A rule for one operation stands
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import BatchRule, Blocks, Operand
from .arrays import alike


def alone(rule: Callable[..., Any]) -> BatchRule:
    """The batch rule of an operation of one array: ``rule(operand, **keywords)``."""
    return lambda keywords, operands: rule(operands[0], **keywords)


def reshaped(shape: tuple[int, ...]) -> Blocks:
    """The function of a block that gives each time step another shape."""
    return lambda block: block.reshape(block.shape[:1] + shape)


def blank(operand: Operand) -> ndarray:
    """An array of the operand's shape, to find with NumPy the shape of a result."""
    return np.broadcast_to(np.zeros((), np.bool_), operand.shape)


def matrices(
    block: ndarray, operand: Operand, rank: int, shape: tuple[int, ...] | None = None
) -> ndarray:
    """A stack of matrices as a block, with as many leading axes as the other operand has.

    Args:
        block: (T, ...), or the operand itself if it is the same at every step.
        operand: the operand at one step.
        rank: the larger number of axes of the two operands, at one step.
        shape: makes the shape of a matrix from the operand, which may be a vector.
    """
    shape = operand.shape if shape is None else shape
    if not operand.over_time:
        return block.reshape(shape)
    return block.reshape(block.shape[:1] + (1,) * (rank - len(shape)) + shape)


#: For operations on stacks of matrices: the time axis makes a larger stack.
stacked = alone(lambda x, **keywords: keywords)

#: For operations that reduce, or normalise, along ``axis``.
along_axes = alone(lambda x, axis, **others: {"axis": x.axes(axis), **others})


def joining(join: Callable[..., Any], new_axes: int = 0) -> BatchRule:
    """The batch rule of an operation that joins arrays along ``axis``.

    Args:
        join: NumPy's function, ``join(arrays, axis)``.
        new_axes: the number of axes that its result has more than the arrays.
    """

    def rule(keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks:
        axis = keywords["axis"] % (len(operands[0].shape) + new_axes) + 1
        first = next(i for i, x in enumerate(operands) if x.over_time)

        def call(*xs: Any) -> Any:
            steps = len(xs[first])
            full = [
                block if x.over_time else np.broadcast_to(block, (steps, *x.shape))
                for block, x in zip(alike(*xs), operands, strict=True)
            ]
            return join(full, axis)

        return call

    return rule
