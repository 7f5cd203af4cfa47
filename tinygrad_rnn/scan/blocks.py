"""The NumPy functions that a loop calls: on blocks, which hold a value of every step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from .batching import Operand, batched, each
from .values import CONSTANT, Var, join, level, parts_of


def operands(v: Var) -> list[Operand]:
    """What v is computed from, for the rules of ``batching``."""
    return [Operand(x.shape if type(x) is Var else (), level(x) > CONSTANT) for x in v.args]


def once(v: Var) -> Any:
    """The operation of v on arrays of one step."""
    assert v.op is not None
    forward, keywords = v.op.forward, v.keywords
    if not keywords:
        return forward
    return lambda *xs: np.asarray(forward(*xs, **keywords))


def of_all_steps(v: Var) -> Any:
    """The operation of v on blocks."""
    assert v.op is not None
    if v.op is join:
        return _joined_over_time(v)
    known = operands(v)
    return batched(v.op, v.keywords, known) or each(v.op, v.keywords, known)


def by_step(reverse: bool, *blocks: Any) -> Any:
    """The blocks' parts of each step, in the order of the steps."""
    return zip(*[block[::-1] for block in blocks] if reverse else blocks, strict=True)


def sum_of_rows(x: ndarray) -> Any:
    """The sum over all but the last axis, as a product with ones: BLAS is there sooner."""
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return np.ones(len(rows), x.dtype).dot(rows)


def spread(x: ndarray, shape: tuple[int, ...]) -> ndarray:
    """Each x_t broadcast to a shape."""
    aligned = x.reshape(len(x), *(1,) * (len(shape) - x.ndim + 1), *x.shape[1:])
    return np.broadcast_to(aligned, (len(x), *shape)).copy()


def product_over_time(x: ndarray, y: ndarray) -> Any:
    """sum_t x_t y_t of matrices: one product whose inner axis is all steps."""
    steps, n, k = x.shape
    columns = x.swapaxes(0, 1).reshape(n, steps * k)
    return np.matmul(columns, y.reshape(steps * k, y.shape[2]))


def sum_of_each(v: Var) -> Any:
    """sum_t of an operation that takes no time axis, without holding all its results."""
    assert v.op is not None
    forward, keywords = v.op.forward, v.keywords
    over_time = [i for i, x in enumerate(v.args) if level(x) > CONSTANT]

    def call(*xs: Any) -> ndarray:
        total = np.zeros(v.shape, v.dtype)
        arguments = list(xs)
        for t in range(len(xs[over_time[0]])):
            for i in over_time:
                arguments[i] = xs[i][t]
            total += forward(*arguments, **keywords)
        return total

    return call


def _joined_over_time(v: Var) -> Any:
    """A join of blocks."""
    indices = [(slice(None), *parts_of(index)) for index in v.keywords["indices"]]
    over_time = [x.level > CONSTANT for x in v.args]

    def call(*parts: ndarray) -> ndarray:
        steps = next(len(part) for part, moves in zip(parts, over_time, strict=True) if moves)
        out = np.zeros((steps, *v.shape), v.dtype)
        for part, index in zip(parts, indices, strict=True):
            out[index] = part
        return out

    return call


__all__ = [
    "by_step",
    "of_all_steps",
    "once",
    "operands",
    "product_over_time",
    "spread",
    "sum_of_each",
    "sum_of_rows",
]
