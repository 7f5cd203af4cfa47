"""Operands: before the loop, bring the operands of the step into the form that NumPy reads fastest.

NumPy broadcasts slowly: a call that repeats a row takes four times as long as one on two arrays of
one shape. So operands are broadcast before the loop, and matrices are cut into pieces that BLAS
multiplies fastest (see ``blas``).
"""

from __future__ import annotations

import math
from typing import Any

from ...ops import primitives
from ..blas import cut, in_pieces, product_in_pieces
from ..ir import CONSTANT, Builder, Program, Value, contiguous, rebuilt
from .schedule import kept_of_every_step
from .simplify import is_ufunc

_matmul, _broadcast_to = primitives.matmul, primitives.broadcast_to

#: The largest values, in elements, that are worth broadcasting for all steps before the loop.
SMALL = 1024


def operands(program: Program) -> Program:
    """A scheduled program with its step's operands prepared before the loop; not scheduled."""
    step = set(program.step)
    kept = kept_of_every_step(program)

    def changed(build: Builder, v: Value, args: tuple[Any, ...]) -> Value | None:
        """A value of the step on operands that are prepared before the loop."""
        if v not in step or v.op is None:
            return None
        if v.op is _matmul and is_matrix_product(v):
            return _product(build, v, args)
        if not is_ufunc(v.op):
            return None
        # A ufunc: bring every operand that is known before the loop to v's shape.
        wide = []
        for old, x in zip(v.args, args, strict=True):
            if type(old) is Value and old not in step and old not in program.carries:
                x = _broadcast(build, x, v)
            elif type(old) is Value and old in step and old not in kept and _is_single(old, v):
                x = build.reshape(x, ())
            wide.append(x)
        return build.plain(v.op, tuple(wide), v.keywords, v.shape, v.dtype)

    return rebuilt(program, changed)


def _broadcast(build: Builder, x: Value, v: Value) -> Value:
    """An operand of v, broadcast to v's shape before the loop if that is small enough."""
    if x.shape in ((), v.shape):
        return x
    size = math.prod(v.shape)
    # It would be broadcast for every step: T arrays of v's size. A constant is broadcast once,
    # whatever its size.
    if x.varies and size > SMALL:
        return x
    # Only axes of length 1 are missing, so nothing has to be copied.
    if math.prod(x.shape) == size:
        return build.reshape(x, v.shape)
    # A broadcast alone repeats elements by strides of 0. The copy makes them contiguous.
    wide = build.make(_broadcast_to, (x,), {"shape": v.shape}, v.shape, x.dtype)
    return build.make(contiguous, (wide,), {}, v.shape, x.dtype)


def _is_single(x: Value, v: Value) -> bool:
    """Whether x holds one number that v broadcasts: NumPy is fastest if it is 0-d."""
    return math.prod(x.shape) == 1 and x.shape not in ((), v.shape) and x.dtype == v.dtype


def is_matrix_product(v: Value) -> bool:
    """Whether v is a product of one or more rows with a matrix, all float32 or all float64."""
    x, y = v.args
    return (
        type(x) is Value
        and type(y) is Value
        and 1 <= len(x.shape) <= 2
        and len(y.shape) == 2
        and x.dtype == y.dtype == v.dtype
        and v.dtype.char in "fd"
    )


def _product(build: Builder, v: Value, args: tuple[Any, ...]) -> Value | None:
    """A matrix product with its matrix in pieces, or contiguous, before the loop."""
    x, y = args
    if y.level != CONSTANT:
        return None
    # A vector (k,) is one row.
    n, k = v.args[0].shape if len(v.shape) == 2 else (1, v.args[0].shape[0])
    p, q = cut(n, k, v.shape[-1])
    if len(v.shape) == 2 and (p, q) != (1, 1):
        shape = (1, q, k, v.shape[-1] // q)
        pieces = build.make(in_pieces, (y,), {"q": q}, shape, y.dtype)
        return build.make(product_in_pieces, (x, pieces), {"p": p}, v.shape, v.dtype)
    if y.op is None:
        return None
    y = build.make(contiguous, (y,), {}, y.shape, y.dtype)
    return build.make(_matmul, (x, y), {}, v.shape, v.dtype)


__all__ = ["SMALL", "is_matrix_product", "operands"]
