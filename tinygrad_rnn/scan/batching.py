"""How a primitive takes a leading time axis: many steps of it in one call.

An operation that no step depends on need not wait for the steps: it runs on blocks (T, ...) that
hold its operand of every time step. Each rule here says how for one primitive; what has none,
a user's own included, is called once per step.

A rule is ``rule(op, keywords, operands) -> function of blocks``, or None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Primitive, table
from ..ops import elementwise, indexing, reductions
from .blas import product_of_rows
from .values import parts_of

Blocks = Callable[..., ndarray]


class Operand(NamedTuple):
    """What a rule knows of an operand: of one time step, and whether it has a time axis."""

    shape: tuple[int, ...]
    over_time: bool


Rule = Callable[[Primitive, dict[str, Any], Sequence[Operand]], "Blocks | None"]


def _of(function: Any) -> Primitive:
    return function.primitive  # type: ignore[no-any-return]


# ── elementwise ──────────────────────────────────────────────────────────────────────────


def _elementwise(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    """Axes are matched from the last one: shorter operands get theirs behind the time axis."""
    rank = max(len(x.shape) for x in operands)
    if any(np.ndim(bound) > rank for bound in keywords.values()):
        return None
    short = {
        i: (1,) * (rank - len(x.shape)) + x.shape
        for i, x in enumerate(operands)
        if x.over_time and len(x.shape) < rank
    }
    if not short and not keywords:
        return op.forward

    def call(*xs: Any) -> ndarray:
        aligned = [x.reshape(x.shape[:1] + short[i]) if i in short else x for i, x in enumerate(xs)]
        return op.forward(*aligned, **keywords)  # type: ignore[no-any-return]

    return call


# ── one array in, its trailing axes rearranged ───────────────────────────────────────────


def _alone(make: Callable[..., Blocks | None]) -> Rule:
    """A rule for a primitive of one array: ``make(keywords, shape) -> function of a block``."""

    def rule(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
        return make(operands[0].shape, **keywords)

    return rule


def _after_time(axis: int, rank: int) -> int:
    return axis % rank + 1


def _axes_after_time(axis: Any, rank: int) -> tuple[int, ...]:
    if axis is None or rank == 0:
        return tuple(range(1, rank + 1))
    return tuple(a % rank + 1 for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))


def _reshape(shape_before: tuple[int, ...], shape: Any) -> Blocks:
    target = np.empty(shape_before, np.bool_).reshape(shape).shape
    return lambda x: x.reshape(x.shape[:1] + target)


def _transpose(shape: tuple[int, ...], axes: Any) -> Blocks:
    rank = len(shape)
    order = range(rank - 1, -1, -1) if axes is None else axes
    return lambda x: x.transpose(0, *(_after_time(a, rank) for a in order))


def _swapaxes(shape: tuple[int, ...], axis1: int, axis2: int) -> Blocks:
    first, second = _after_time(axis1, len(shape)), _after_time(axis2, len(shape))
    return lambda x: x.swapaxes(first, second)


def _moveaxis(shape: tuple[int, ...], source: Any, destination: Any) -> Blocks:
    sources = _axes_after_time(source, len(shape))
    destinations = _axes_after_time(destination, len(shape))
    return lambda x: np.moveaxis(x, sources, destinations)


def _squeeze(shape: tuple[int, ...], axis: Any) -> Blocks:
    return _reshape(shape, np.empty(shape, np.bool_).squeeze(axis).shape)


def _expand_dims(shape: tuple[int, ...], axis: Any) -> Blocks:
    return _reshape(shape, np.expand_dims(np.empty(shape, np.bool_), axis).shape)


def _flip(shape: tuple[int, ...], axis: Any) -> Blocks:
    axes = _axes_after_time(axis, len(shape))
    return lambda x: np.flip(x, axes)


def _broadcast_to(shape_before: tuple[int, ...], shape: Any) -> Blocks:
    target = tuple(np.ravel(shape).tolist())
    padded = (1,) * (len(target) - len(shape_before)) + shape_before
    return lambda x: np.broadcast_to(x.reshape(x.shape[:1] + padded), x.shape[:1] + target)


def _sum_to(shape_before: tuple[int, ...], shape: Any) -> Blocks:
    target = tuple(shape)
    padded = (1,) * (len(shape_before) - len(target)) + target
    axes = tuple(i + 1 for i, (n, m) in enumerate(zip(padded, shape_before, strict=True)) if n != m)
    return lambda x: np.add.reduce(x, axes).reshape(x.shape[:1] + target)


def _reduction(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    others = dict(keywords)
    axes = _axes_after_time(others.pop("axis"), len(operands[0].shape))
    return lambda x: op.forward(x, axis=axes, **others)


def _cumsum(shape: tuple[int, ...], axis: int | None) -> Blocks:
    if axis is None:
        return lambda x: np.cumsum(x.reshape(x.shape[0], -1), 1)
    along = _after_time(axis, len(shape))
    return lambda x: np.cumsum(x, along)


def _astype(shape: tuple[int, ...], dtype: Any) -> Blocks:
    return lambda x: x.astype(dtype)


def _pad(shape: tuple[int, ...], pad_width: ndarray, constant_values: float) -> Blocks:
    widths = [(0, 0), *pad_width.tolist()]
    return lambda x: np.pad(x, widths, constant_values=constant_values)


# ── indexing ─────────────────────────────────────────────────────────────────────────────


def _index(index: Any) -> tuple[Any, ...] | None:
    """The index with a full slice for the time axis before it, where that means the same."""
    parts = parts_of(index)
    arrays = sum(isinstance(part, ndarray) for part in parts)
    # Beside an array an integer counts as one; two apart would bring their axis to the front.
    if arrays > 1 or (arrays and any(isinstance(p, (int, np.integer)) or p is None for p in parts)):
        return None
    return (slice(None), *parts)


def _getitem(shape: tuple[int, ...], index: Any) -> Blocks | None:
    at = _index(index)
    return None if at is None else lambda x: x[at]


def _place(shape_before: tuple[int, ...], index: Any, shape: tuple[int, ...]) -> Blocks | None:
    at = _index(index)
    if at is None:
        return None

    def call(x: ndarray) -> ndarray:
        y = np.zeros(x.shape[:1] + tuple(shape), x.dtype)
        indexing.add_at(y, x, at)
        return y

    return call


def _embedding(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    return None if operands[1].over_time else op.forward


def _gather(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    """Rows of one table, at places of every step."""
    x, *ids = operands
    if x.over_time or keywords["pattern"] != (indexing.PLACE,) or not ids[0].over_time:
        return None
    return lambda table, places: table[places]


# ── products ─────────────────────────────────────────────────────────────────────────────


def _matmul(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    x, y = operands
    if x.over_time and not y.over_time and len(y.shape) <= 2:
        if len(x.shape) == len(y.shape) == 2:
            return product_of_rows
        return np.matmul
    rank = max(len(x.shape), len(y.shape))

    def call(x_block: ndarray, y_block: ndarray) -> Any:
        # A vector gets the axis that it lacks, and loses it again behind the time axis.
        left = x_block[..., np.newaxis, :] if len(x.shape) == 1 else x_block
        right = y_block[..., np.newaxis] if len(y.shape) == 1 else y_block
        left, right = _aligned(left, x, rank), _aligned(right, y, rank)
        z = np.matmul(left, right)
        if len(y.shape) == 1:
            z = z[..., 0]
        if len(x.shape) == 1:
            z = z[..., 0] if len(y.shape) == 1 else z[..., 0, :]
        return z

    return call


def _aligned(block: ndarray, operand: Operand, rank: int) -> ndarray:
    """Leading axes of a stack of matrices behind the time axis, as many as the other has."""
    if not operand.over_time:
        return block
    missing = max(rank, 2) + 1 - block.ndim
    return block.reshape(block.shape[:1] + (1,) * missing + block.shape[1:])


def with_time(keywords: dict[str, Any], operands: Sequence[Operand]) -> tuple[str, str] | None:
    """The subscripts of an einsum's operands with an axis for time, and what that is called."""
    names = keywords["operands"]
    used = set(keywords["result"]).union(*names)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    time = next((letter for letter in letters if letter not in used), None)
    if time is None:
        return None
    terms = [time + name if x.over_time else name for name, x in zip(names, operands, strict=True)]
    return ",".join(terms), time


def _einsum(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    found = with_time(keywords, operands)
    if found is None:
        return None
    terms, time = found
    subscripts = f"{terms}->{time}{keywords['result']}"
    return lambda *xs: np.einsum(subscripts, *xs, optimize=len(xs) > 1)


# ── joining ──────────────────────────────────────────────────────────────────────────────


def _joining(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Any:
    rank = len(operands[0].shape) + (op is table["_stack"])
    axis = _after_time(keywords["axis"], rank)
    first = next(i for i, x in enumerate(operands) if x.over_time)

    def call(*xs: Any) -> ndarray:
        steps = len(xs[first])
        full = [
            block if x.over_time else np.broadcast_to(block, (steps, *x.shape))
            for block, x in zip(xs, operands, strict=True)
        ]
        return op.forward(*full, axis=axis)  # type: ignore[no-any-return]

    return call


# ── the table ────────────────────────────────────────────────────────────────────────────

_rules: dict[Primitive, Rule] = {
    op: _elementwise for op in table.values() if op.elementwise and op.name in elementwise.__dict__
}
_constants = (
    "equal not_equal less less_equal greater greater_equal sign isnan isinf isfinite floor invert "
    "logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor"
)
for _name in _constants.split():
    _rules[_of(getattr(elementwise, _name))] = _elementwise
_makers: dict[str, Callable[..., Any]] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "swapaxes": _swapaxes,
    "moveaxis": _moveaxis,
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "flip": _flip,
    "broadcast_to": _broadcast_to,
    "sum_to": _sum_to,
    "cumsum": _cumsum,
    "_astype": _astype,
    "_pad": _pad,
    "_getitem": _getitem,
    "_place": _place,
}
for _name, _make in _makers.items():
    _rules[table[_name]] = _alone(_make)
for _name in ("sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax"):
    _rules[table[_name]] = _reduction
_rules[_of(reductions._first_place)] = _reduction
_rules[table["matmul"]] = _matmul
_rules[table["einsum"]] = _einsum
_rules[table["embedding"]] = _embedding
_rules[table["_gather"]] = _gather
_rules[table["_concatenate"]] = _rules[table["_stack"]] = _joining


def each(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks:
    """Called once per step, and its results copied into a block."""
    over_time = [i for i, x in enumerate(operands) if x.over_time]

    def call(*xs: Any) -> ndarray:
        out: ndarray | None = None
        arguments = list(xs)
        steps = len(xs[over_time[0]])
        for t in range(steps):
            for i in over_time:
                arguments[i] = xs[i][t]
            y = np.asarray(op.forward(*arguments, **keywords))
            if out is None:
                out = np.empty((steps, *y.shape), y.dtype)
            out[t] = y
        assert out is not None
        return out

    return call


def batched(op: Primitive, keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks | None:
    """The operation on blocks, if there is a rule for it."""
    rule = _rules.get(op)
    return None if rule is None else rule(op, keywords, operands)


__all__ = ["Blocks", "Operand", "batched", "each", "with_time"]
