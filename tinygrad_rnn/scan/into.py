"""Operations that write into a given array, as lines of the code of a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import table
from ..ops.elementwise import exp_limit
from .values import Var, dense, is_elementwise, join

if TYPE_CHECKING:
    from .steps import Steps

_matmul = table["matmul"]
_elementwise = frozenset(table.values())  # users' own may do anything with an array to write into


def into(v: Var) -> Any:
    """How v is written into an array: ``(steps, v, arguments, out) -> lines``; None if it can't."""
    op = v.op
    same_dtype = all(x.dtype == v.dtype for x in v.inputs)
    fast = same_dtype and v.dtype.name in dense
    if op is _matmul or (is_elementwise(v) and op in _elementwise):
        return _into_ufunc
    if op is join:
        return _into_join
    if op is table["relu"] and fast:
        return _into_relu
    if op is table["sigmoid"] and fast:
        return _into_sigmoid
    if op is table["where"] and type(v.args[0]) is Var and v.args[0].dtype == np.bool_:
        return _into_where
    if op in (table["sum"], table["mean"]) and fast:
        return _into_sum
    if op is table["_concatenate"] and same_dtype:
        return _into_concatenate
    return None


def _into_ufunc(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    assert v.op is not None
    name = "matmul" if v.op is _matmul else v.op.name
    if v.op is _matmul and v not in steps.parts and _is_plain_product(v):
        return [steps.product(v, arguments[0], arguments[1], out)]
    steps.writer.names[name] = np.matmul if v.op is _matmul else v.op.forward
    # NumPy wants the keyword of these two, which costs 30 ns more.
    out = f"out={out}" if name in ("maximum", "minimum") else out
    return [f"{name}({', '.join(arguments)}, {out})"]


def _is_plain_product(v: Var) -> bool:
    """Whether v is a product of two matrices of one dtype, or of a vector and a matrix."""
    x, y = v.args
    return (
        type(x) is Var
        and type(y) is Var
        and len(x.shape) <= 2
        and len(y.shape) == 2
        and x.dtype == y.dtype == v.dtype
        and v.dtype.name in dense
    )


def _into_relu(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    steps.writer.names["maximum"] = np.maximum
    zero = steps.writer.constant(np.array(0, v.dtype))
    return [f"maximum({arguments[0]}, {zero}, out={out})"]


def _into_sigmoid(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    names = steps.writer.names
    names |= {"negative": np.negative, "minimum": np.minimum, "exp": np.exp, "add": np.add}
    names |= {"reciprocal": np.reciprocal}
    limit = steps.writer.constant(exp_limit[v.dtype])
    one = steps.writer.constant(np.array(1, v.dtype))
    return [
        f"negative({arguments[0]}, {out})",
        f"minimum({out}, {limit}, out={out})",
        f"exp({out}, {out})",
        f"add({out}, {one}, {out})",
        f"reciprocal({out}, {out})",
    ]


def _into_where(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    condition, x, y = arguments
    return [f"copyto({out}, {y})", f"copyto({out}, {x}, where={condition})"]


def _into_sum(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    assert v.op is not None
    axis, keepdims = v.keywords["axis"], v.keywords["keepdims"]
    lines = [f"add_reduce({arguments[0]}, {axis}, None, {out}, {keepdims})"]
    if v.op is table["mean"]:
        steps.writer.names["divide"] = np.divide
        count = math.prod(v.inputs[0].shape) / max(math.prod(v.shape), 1)
        number = steps.writer.constant(np.array(count, v.dtype))
        lines.append(f"divide({out}, {number}, {out})")
    return lines


def _into_concatenate(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    return [f"concatenate(({', '.join(arguments)},), {v.keywords['axis']}, {out})"]


def _into_join(steps: Steps, v: Var, arguments: list[str], out: str) -> list[str]:
    lines = []
    for x, name, index in zip(v.args, arguments, v.keywords["indices"], strict=True):
        # A part may lie in several places, and is only written where one of them is.
        whole, place = steps.parts.get(x, (None, None))
        if whole is not v or place is not index:
            lines.append(f"{out}[{steps.writer.constant(index)}] = {name}")
    if v not in steps.zeroed and not covers(v):
        lines.insert(0, f"{out}.fill(0)")
    return lines


def covers(v: Var) -> bool:
    """Whether the parts of a join fill it."""
    used = np.zeros(v.shape, np.bool_)
    for index in v.keywords["indices"]:
        used[index] = True
    return bool(used.all())


__all__ = ["covers", "into"]
