"""The ONNX form of operations that are more than one operator.

Each function stands on its Primitive as the trait ``onnx``. It is given the builder, the inputs of
the operation as wires (Python numbers and None as they are) and its keywords, and returns the
output. Those with ``Instead`` are written in other operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import Primitive
from ..ops import determinants, indexing, reductions, repeating, rounding, shaping, sorting, special
from ..ops import transcendental as functions
from ..ops.indexing import PLACE
from ..scan import scan
from .build import Builder, Wire
from .record import Instead
from .sizes import Counted, Filled, Size

Rule = Callable[..., Any]


def _of(*operations: Any) -> Callable[[Rule], Rule]:
    """Register a function as the ONNX form of these operations."""

    def set_trait(rule: Rule) -> Rule:
        for operation in operations:
            primitive: Primitive = getattr(operation, "primitive", operation)
            primitive.onnx = rule
        return rule

    return set_trait


def _instead(operation: Any, function: Rule, operator: str | None = None) -> None:
    operation.primitive.onnx = Instead(function, operator)


# ── elementwise, by other operations ─────────────────────────────────────────────────────

# onnxruntime has these operators only for float32.
_instead(ops.tan, lambda x: ops.sin(x) / ops.cos(x), "Tan")
_instead(ops.sinh, lambda x: (ops.exp(x) - ops.exp(-x)) / 2, "Sinh")
_instead(ops.cosh, lambda x: (ops.exp(x) + ops.exp(-x)) / 2, "Cosh")
_instead(
    ops.arcsinh,
    lambda x: ops.sign(x) * ops.log(ops.abs(x) + ops.sqrt(ops.square(x) + 1)),
    "Asinh",
)
_instead(ops.arccosh, lambda x: ops.log(x + ops.sqrt(ops.square(x) - 1)), "Acosh")
_instead(ops.arctanh, lambda x: ops.log((1 + x) / (1 - x)) / 2, "Atanh")


def _erf(x: Any) -> Any:
    size = ops.minimum(ops.abs(x), 6.0)
    far = 1 - ops.exp(-size * size) * special._ratio(special._ABOVE, size)
    near = size * special._ratio(special._BELOW, size * size)
    return ops.sign(x) * ops.where(ops.less(size, 0.46875), near, far)


_instead(ops.erf, _erf, "Erf")

_instead(ops.square, lambda x: ops.multiply(x, x))
_instead(ops.log1p, lambda x: ops.log(1 + x))
_instead(ops.expm1, lambda x: ops.exp(x) - 1)
_instead(ops.exp2, lambda x: ops.exp(x * math.log(2)))
_instead(ops.log2, lambda x: ops.log(x) / math.log(2))
_instead(ops.log10, lambda x: ops.log(x) / math.log(10))
_instead(ops.cbrt, lambda x: ops.sign(x) * ops.power(ops.abs(x), 1 / 3))
_instead(ops.reciprocal, lambda x: 1 / x)
_instead(ops.hypot, lambda x, y: ops.sqrt(ops.square(x) + ops.square(y)))
_instead(ops.deg2rad, lambda x: x * (math.pi / 180))
_instead(ops.rad2deg, lambda x: x * (180 / math.pi))
_instead(ops.trunc, lambda x: ops.sign(x) * ops.floor(ops.abs(x)))
_instead(rounding._fraction, lambda x: x - ops.trunc(x))
_instead(rounding._step, lambda x: ops.astype(ops.greater(x, 0), x.dtype))
_instead(ops.not_equal, lambda x, y: ops.logical_not(ops.equal(x, y)))
_instead(ops.isfinite, lambda x: ops.less(ops.abs(x), math.inf))
_instead(ops.signbit, lambda x: ops.logical_or(ops.less(x, 0), ops.less(1 / x, 0)))
_instead(ops.fmax, lambda x, y: _one_of(x, y, ops.maximum))
_instead(ops.fmin, lambda x, y: _one_of(x, y, ops.minimum))
_instead(
    ops.logaddexp,
    lambda x, y: ops.maximum(x, y) + ops.log(1 + ops.exp(-ops.abs(functions._difference(x, y)))),
)
_instead(
    ops.logaddexp2,
    lambda x, y: ops.logaddexp(x * math.log(2), y * math.log(2)) / math.log(2),
)


def _one_of(x: Any, y: Any, chosen: Rule) -> Any:
    """Return the larger or smaller one; if one is NaN, the other one."""
    return ops.where(ops.isnan(x), y, ops.where(ops.isnan(y), x, chosen(x, y)))


def _rounded(x: Any, decimals: int) -> Any:
    return ops.rint(x) if decimals == 0 else ops.rint(x * 10.0**decimals) / 10.0**decimals


_instead(ops.round, _rounded)


def _arctan2(y: Any, x: Any) -> Any:
    safe = ops.where(ops.equal(x, 0), 1, x)
    upright = ops.sign(y) * (math.pi / 2)
    slope = ops.arctan(y / safe)
    turned = ops.where(ops.less(y, 0), slope - math.pi, slope + math.pi)
    angle = ops.where(ops.less(x, 0), turned, slope)
    return ops.where(ops.equal(x, 0), upright, angle)


_instead(ops.arctan2, _arctan2)


def _sinc(x: Any, order: int) -> Any:
    if order:
        raise TypeError("onnx.export: a derivative of sinc has no ONNX operator")
    z = math.pi * ops.where(ops.equal(x, 0), 1e-20, x)
    return ops.sin(z) / z


functions._sinc.primitive.onnx = Instead(_sinc)  # type: ignore[attr-defined]


def _binary_cross_entropy(x: Any, y: Any) -> Any:
    logs = special._log_from_minus_100
    return -(y * logs(x) + ops.subtract(1, y) * logs(ops.subtract(1, x)))


_instead(special._binary_cross_entropy, _binary_cross_entropy)

# ── elementwise, by nodes ────────────────────────────────────────────────────────────────


@_of(ops.fmod)
def _fmod(b: Builder, x: Any, y: Any) -> Wire:
    common = b.out[1]
    return b.node("Mod", _in(b, x, common), _in(b, y, common), fmod=1)


@_of(ops.remainder)
def _remainder(b: Builder, x: Any, y: Any) -> Wire:
    """Compute the remainder with the sign of y, which ONNX has only for integers."""
    common = b.out[1]
    x, y = _in(b, x, common), _in(b, y, common)
    if common.kind != "f":
        return b.node("Mod", x, y)
    rest, zero = b.node("Mod", x, y, fmod=1), b.constant(0, common)
    signs = [b.node("Less", z, zero, dtype=bool) for z in (rest, y)]
    wrong = b.node("Xor", *signs)
    is_zero = b.node("Equal", rest, zero, dtype=bool)
    wrong = b.node("And", wrong, b.node("Not", is_zero))
    return b.node("Where", wrong, b.node("Add", rest, y), rest, dtype=common)


@_of(ops.floor_divide)
def _floor_divide(b: Builder, x: Any, y: Any) -> Wire:
    common = b.out[1]
    x, y = _in(b, x, common), _in(b, y, common)
    if common.kind == "f":
        return b.node("Floor", b.node("Div", x, y))
    return b.node("Div", b.node("Sub", x, b.node("Mod", x, y)), y)


@_of(ops.where)
def _where(b: Builder, condition: Any, x: Any, y: Any) -> Wire:
    common = b.out[1]
    return b.node(
        "Where",
        _in(b, condition, np.dtype(bool)),
        _in(b, x, common),
        _in(b, y, common),
        dtype=common,
    )


def _in(b: Builder, x: Any, dtype: np.dtype[Any]) -> Wire:
    return b.cast(x, dtype) if isinstance(x, Wire) else b.constant(x, dtype)


def _logical(op: str) -> Rule:
    def rule(b: Builder, *inputs: Any) -> Wire:
        return b.node(op, *[_in(b, x, np.dtype(bool)) for x in inputs])

    return rule


def _bitwise(op: str) -> Rule:
    def rule(b: Builder, *inputs: Any) -> Wire:
        boolean = b.out[1].kind == "b"
        return b.node(op if boolean else f"Bitwise{op}", *[_in(b, x, b.out[1]) for x in inputs])

    return rule


_of(ops.logical_and)(_logical("And"))
_of(ops.logical_or)(_logical("Or"))
_of(ops.logical_xor)(_logical("Xor"))
_of(ops.logical_not)(_logical("Not"))
_of(ops.bitwise_and)(_bitwise("And"))
_of(ops.bitwise_or)(_bitwise("Or"))
_of(ops.bitwise_xor)(_bitwise("Xor"))
_of(ops.invert)(_bitwise("Not"))


@_of(shaping._astype, shaping._as_constant)
def _astype(b: Builder, x: Wire, dtype: Any) -> Wire:
    return b.cast(x, dtype)


# ── shapes ───────────────────────────────────────────────────────────────────────────────


@_of(ops.reshape, ops.squeeze, ops.expand_dims)
def _reshape(b: Builder, x: Wire, **_: Any) -> Wire:
    return b.reshape(x, b.out[0])


@_of(ops.transpose)
def _transpose(b: Builder, x: Wire, axes: Any) -> Wire:
    n = x.ndim
    return b.transpose(x, range(n)[::-1] if axes is None else [a % n for a in axes])


@_of(ops.swapaxes)
def _swapaxes(b: Builder, x: Wire, axis1: int, axis2: int) -> Wire:
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return b.transpose(x, order)


@_of(ops.moveaxis)
def _moveaxis(b: Builder, x: Wire, source: Any, destination: Any) -> Wire:
    lengths = range(1, x.ndim + 1)  # every axis gets another length, which identifies it
    moved = np.moveaxis(np.empty(lengths, np.bool_), source, destination).shape
    return b.transpose(x, [n - 1 for n in moved])


@_of(ops.broadcast_to)
def _broadcast_to(b: Builder, x: Wire, shape: Any) -> Wire:
    return b.node("Expand", x, b.ints(b.out[0]))


@_of(ops.sum_to)
def _sum_to(b: Builder, x: Wire, shape: Any) -> Wire:
    assert x.shape is not None
    extra = x.ndim - len(shape)
    axes = [
        *range(extra),
        *[extra + i for i, n in enumerate(shape) if n == 1 and x.shape[extra + i] != 1],
    ]
    y = b.node("ReduceSum", x, b.ints(axes), keepdims=1) if axes else x
    return b.reshape(y, shape)


@_of(ops.flip)
def _flip(b: Builder, x: Wire, axis: Any) -> Wire:
    return _backwards(b, x, _axes(x.ndim, axis))


def _backwards(b: Builder, x: Wire, axes: Sequence[int]) -> Wire:
    n = len(axes)
    first = b.ints([-1] * n)
    return b.node("Slice", x, first, b.ints([_LEAST] * n), b.ints(axes), first) if n else x


def _axes(ndim: int, axis: Any) -> tuple[int, ...]:
    return reductions._axes(ndim, axis)


@_of(shaping._concatenate)
def _concatenate(b: Builder, *xs: Any, axis: int) -> Wire:
    wires = [_in(b, x, b.out[1]) for x in xs]
    return b.node("Concat", *wires, axis=axis)


@_of(shaping._stack)
def _stack(b: Builder, *xs: Any, axis: int) -> Wire:
    axis %= len(b.out[0])
    place = b.ints([axis])
    wires = [b.node("Unsqueeze", _in(b, x, b.out[1]), place) for x in xs]
    return b.node("Concat", *wires, axis=axis)


@_of(shaping._pad)
def _pad(b: Builder, x: Wire, pad_width: ndarray, constant_values: ndarray) -> Wire:
    if isinstance(pad_width, ndarray) and np.all(constant_values == constant_values.flat[0]):
        return _padded(b, x, pad_width, constant_values.flat[0])
    for axis in range(x.ndim):  # every side has a number of its own, so pad them one by one
        for side in range(2):
            widths = np.zeros((x.ndim, 2), np.int64)
            widths[axis, side] = pad_width[axis, side]
            x = _padded(b, x, widths, constant_values[axis, side])._replace(shape=x.shape)
    return x


def _padded(b: Builder, x: Wire, widths: ndarray, value: Any) -> Wire:
    return b.node("Pad", x, b.ints(widths.T.ravel().tolist()), b.constant(value, x.dtype))


@_of(repeating._roll)
def _roll(b: Builder, x: Wire, shift: int, axis: int) -> Wire:
    assert x.shape is not None
    n = x.shape[axis]
    shift = shift % n if not isinstance(n, Size) else shift
    if shift == 0:
        return x
    along, cut = b.ints([axis % x.ndim]), b.ints([-shift])
    behind = b.node("Slice", x, cut, b.ints([_MOST]), along)
    before = b.node("Slice", x, b.ints([0]), cut, along)
    return b.node("Concat", behind, before, axis=axis)


# ── parts ────────────────────────────────────────────────────────────────────────────────

_MOST, _LEAST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@_of(indexing._getitem)
def _getitem(b: Builder, x: Wire, index: Any) -> Wire:
    return _indexed(b, x, index if isinstance(index, tuple) else (index,))


@_of(indexing._gather)
def _gather(b: Builder, x: Wire, *ids: Wire, pattern: tuple[Any, ...]) -> Wire:
    rest = iter(ids)
    return _indexed(b, x, tuple(next(rest) if part is PLACE else part for part in pattern))


def _indexed(b: Builder, x: Wire, parts: tuple[Any, ...]) -> Wire:
    """Index x as NumPy does: first the slices, then the arrays, then new axes."""
    shape, dtype = b.out
    places = [places for part in parts for places in _as_places(part)]
    arrays = [p for p in places if isinstance(p, (Wire, ndarray, Filled, Counted))]
    consumed = sum(p is not None and p is not Ellipsis for p in places)
    full: list[Any] = []
    for part in places:
        if part is Ellipsis:
            full += [slice(None)] * (x.ndim - consumed)
        else:
            full.append(part)
    full += [slice(None)] * (x.ndim - sum(p is not None for p in full))

    of_axes = [p for p in full if p is not None]
    x = _sliced(b, x, of_axes, single=not arrays)
    if not arrays:  # integers and new axes: the same elements in another shape
        return b.reshape(x, shape)._replace(dtype=dtype)
    return _at_places(b, x, full, shape)


def _as_places(part: Any) -> list[Any]:
    """Return a part of an index; a mask becomes the places where it is True."""
    if isinstance(part, (bool, np.bool_)):
        raise TypeError("an index of one boolean")
    if isinstance(part, ndarray) and part.dtype.kind == "b":
        return list(np.nonzero(part))
    if isinstance(part, np.integer):
        return [int(part)]
    return [part]


def _sliced(b: Builder, x: Wire, of_axes: Sequence[Any], single: bool) -> Wire:
    """Apply the slices of an index; with ``single`` also its integers, as slices of one element."""
    starts, stops, axes, steps = [], [], [], []
    for axis, part in enumerate(of_axes):
        if isinstance(part, slice):
            step = 1 if part.step is None else part.step
            if (part.start, part.stop, step) == (None, None, 1):
                continue
            start = (0 if step > 0 else -1) if part.start is None else part.start
            stop = (_MOST if step > 0 else _LEAST) if part.stop is None else part.stop
        elif single:
            start, stop, step = part, _after(part), 1
        else:
            continue
        starts.append(start)
        stops.append(stop)
        axes.append(axis)
        steps.append(step)
    if not axes:
        return x
    return b.node("Slice", x, b.ints(starts), b.ints(stops), b.ints(axes), b.ints(steps))


def _after(place: Any) -> Any:
    """Return the end of a slice of one element."""
    if isinstance(place, Size):
        return Size(place.names, place.factor, place.offset + 1)
    return _MOST if place == -1 else place + 1


def _at_places(b: Builder, x: Wire, full: Sequence[Any], shape: tuple[Any, ...]) -> Wire:
    """Take elements by arrays of integers. Beside an array, an integer counts as an array."""
    is_place = [p is not None and not isinstance(p, slice) for p in full]
    numbers = [i for i, yes in enumerate(is_place) if yes]
    together = numbers[-1] - numbers[0] + 1 == len(numbers)
    of_axes = [(p, yes) for p, yes in zip(full, is_place, strict=True) if p is not None]
    axes = [axis for axis, (_, yes) in enumerate(of_axes) if yes]
    indices = [_as_index(b, part) for part, yes in of_axes if yes]
    if len(axes) == 1:
        axis = axes[0]
        x = b.node("Gather", x, indices[0], axis=axis)
        return b.reshape(x, shape) if any(p is None for p in full) else x
    # Several arrays broadcast, and index the first axes together.
    rest = [axis for axis in range(len(of_axes)) if axis not in axes]
    x = b.node("Transpose", x, perm=[*axes, *rest])
    common = indices[0]
    for index in indices[1:]:
        common = b.node("Add", common, index)  # only its shape counts
    target = b.node("Shape", common, dtype=np.int64)
    last = b.ints([-1])
    columns = [b.node("Unsqueeze", b.node("Expand", i, target), last) for i in indices]
    taken = b.node("GatherND", x, b.node("Concat", *columns, axis=-1), dtype=x.dtype)
    rank = max(i.ndim for i in indices)
    before = sum(1 for axis in rest if axis < axes[0]) if together else 0
    order = [*range(rank, rank + before), *range(rank), *range(rank + before, rank + len(rest))]
    return b.reshape(b.transpose(taken, order), shape)


def _as_index(b: Builder, part: Any) -> Wire:
    if isinstance(part, Size):
        return b.reshape(b.ints([part]), ())
    return b.cast(part if isinstance(part, Wire) else b.constant(part), np.int64)


@_of(ops.embedding)
def _embedding(b: Builder, ids: Any, W: Wire) -> Wire:
    return b.node("Gather", W, _in(b, ids, np.dtype(np.int64)), dtype=W.dtype)


@_of(indexing._rows_added)
def _rows_added(b: Builder, x: Wire, ids: Wire, shape: Any) -> Wire:
    places = b.node("Unsqueeze", b.cast(ids, np.int64), b.ints([-1]))
    zeros = b.constant(Filled(0, tuple(shape), x.dtype))
    return b.node("ScatterND", zeros, places, x, reduction="add")


@_of(sorting._take_along)
def _take_along(b: Builder, x: Wire, indices: Wire, axis: int) -> Wire:
    assert x.shape is not None
    assert indices.shape is not None
    axis %= x.ndim
    common = [n if m == 1 else m for n, m in zip(x.shape, indices.shape, strict=True)]
    wide = (*common[:axis], x.shape[axis], *common[axis + 1 :])
    target = (*common[:axis], indices.shape[axis], *common[axis + 1 :])
    x = x if wide == x.shape else b.node("Expand", x, b.ints(wide))
    index = indices if target == indices.shape else b.node("Expand", indices, b.ints(target))
    return b.node("GatherElements", x, b.cast(index, np.int64), axis=axis)


@_of(indexing._place)
def _place(b: Builder, x: Wire, index: Any, shape: tuple[int, ...]) -> Wire:
    if not all(isinstance(n, int) for n in shape):
        raise TypeError("it needs an array of a size that only the running model knows")
    places = np.arange(math.prod(shape)).reshape(shape)[index]
    zeros = b.constant(np.zeros(math.prod(shape), x.dtype))
    flat = b.reshape(x, (places.size,))
    added = b.node(
        "ScatterElements", zeros, b.constant(places.ravel()), flat, axis=0, reduction="add"
    )
    return b.reshape(added, shape)


# ── sums and the like ────────────────────────────────────────────────────────────────────


def _reduce(op: str) -> Rule:
    def rule(b: Builder, x: Wire, axis: Any, keepdims: bool) -> Wire:
        x = b.cast(x, b.out[1])
        axes = _axes(x.ndim, axis)
        return b.node(op, x, b.ints(axes), keepdims=int(keepdims)) if axes else x

    return rule


_of(ops.sum)(_reduce("ReduceSum"))
_of(ops.mean)(_reduce("ReduceMean"))
_of(ops.prod)(_reduce("ReduceProd"))
_of(ops.max)(_reduce("ReduceMax"))
_of(ops.min)(_reduce("ReduceMin"))


@_of(ops.cumsum)
def _cumsum(b: Builder, x: Wire, axis: int | None) -> Wire:
    x = b.cast(x, b.out[1])
    if axis is None or x.ndim == 0:
        x, axis = b.reshape(x, b.out[0]), 0
    return b.node("CumSum", x, b.constant(axis, np.int64))


def _cumprod(x: Any, axis: int | None) -> Any:
    x = ops.reshape(x, (-1,)) if axis is None else ops.moveaxis(x, axis, 0)

    def step(product: Any, x_t: Any) -> Any:
        product = product * x_t
        return product, product

    _, y = scan(step, np.ones(x.shape[1:], x.dtype), x)
    return y if axis is None else ops.moveaxis(y, 0, axis)


_instead(ops.cumprod, _cumprod)


@_of(ops.softmax)
def _softmax(b: Builder, x: Wire, axis: Any) -> Wire:
    x = b.cast(x, b.out[1])
    if isinstance(axis, int) and x.ndim:
        return b.node("Softmax", x, axis=axis)
    e = b.node("Exp", _less_largest(b, x, axis))
    return b.node("Div", e, _kept_sum(b, e, axis))


@_of(ops.log_softmax)
def _log_softmax(b: Builder, x: Wire, axis: Any) -> Wire:
    x = b.cast(x, b.out[1])
    if isinstance(axis, int) and x.ndim:
        return b.node("LogSoftmax", x, axis=axis)
    z = _less_largest(b, x, axis)
    return b.node("Sub", z, b.node("Log", _kept_sum(b, b.node("Exp", z), axis)))


def _less_largest(b: Builder, x: Wire, axis: Any) -> Wire:
    largest = b.node("ReduceMax", x, b.ints(_axes(x.ndim, axis)), keepdims=1) if x.ndim else x
    return b.node("Sub", x, largest)._replace(shape=x.shape)


def _kept_sum(b: Builder, e: Wire, axis: Any) -> Wire:
    rank = len(b.out[0])
    return b.node("ReduceSum", e, b.ints(_axes(rank, axis)), keepdims=1) if rank else e


@_of(sorting._argmax)
def _argmax(b: Builder, x: Wire, axis: int | None, keepdims: bool) -> Wire:
    return _extreme_place(b, x, "ArgMax", axis, keepdims)


@_of(sorting._argmin)
def _argmin(b: Builder, x: Wire, axis: int | None, keepdims: bool) -> Wire:
    return _extreme_place(b, x, "ArgMin", axis, keepdims)


def _extreme_place(b: Builder, x: Wire, op: str, axis: int | None, keepdims: bool) -> Wire:
    if axis is None:
        flat = b.node("Reshape", x, b.ints([-1]))
        return b.reshape(b.node(op, flat, dtype=np.int64, axis=0, keepdims=0), b.out[0])
    return b.node(op, x, dtype=np.int64, axis=axis, keepdims=int(keepdims))


@_of(sorting._argsort)
def _argsort(b: Builder, x: Wire, axis: int, stable: bool) -> Wire:
    assert x.shape is not None
    k = b.ints([x.shape[axis]])
    _, order = b.nodes("TopK", x, k, dtypes=[x.dtype, np.int64], axis=axis, largest=0, sorted=1)
    return order


# ── products ─────────────────────────────────────────────────────────────────────────────


@_of(ops.linear)
def _linear(b: Builder, x: Wire, W: Wire, bias: Any) -> Wire:
    if x.ndim == 2 and W.dtype == x.dtype and (bias is None or bias.dtype == x.dtype):
        return b.node("Gemm", x, W, bias, transB=1)
    common = b.out[1]
    y = b.node("MatMul", b.cast(x, common), b.transpose(b.cast(W, common), (1, 0)))
    return y if bias is None else b.node("Add", y, b.cast(bias, common))


@_of(ops.products._einsum)
def _einsum(b: Builder, *xs: Any, operands: Sequence[str], result: str) -> Wire:
    wires = [_in(b, x, b.out[1]) for x in xs]
    return b.node("Einsum", *wires, equation=f"{','.join(operands)}->{result}")


@_of(determinants.det)
def _det(b: Builder, x: Wire) -> Wire:
    return b.node("Det", x)


@_of(ops.windows)
def _windows(b: Builder, x: Wire, kernel: Any, stride: Any, dilation: Any) -> Wire:
    rows, columns = (
        np.arange(n)[:, np.newaxis] * s + np.arange(k) * d
        for n, k, s, d in zip(b.out[0][-4:-2], kernel, stride, dilation, strict=True)
    )
    n = x.ndim - 2
    x = b.node("Gather", b.node("Gather", x, rows, axis=n), columns, axis=n + 2)
    return b.transpose(x, [*range(n), n, n + 2, n + 1, n + 3])
