"""Reading a model: a Module that runs an ONNX graph, with the graph's weights as Parameters.

Every node becomes a call of one of our operations. So a model that was trained elsewhere can be
differentiated, drawn and trained further here.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy import ndarray
from onnx import helper, numpy_helper

from .. import ops
from ..graph import Value, attach, numeric, scope
from ..nn.module import Module, Parameter
from ..ops import sorting
from ..scan import scan
from .running import run_recurrent

OLDEST = 13  #: since this opset the operators have their current meaning


class Node(NamedTuple):
    """A node of a graph: its operator, name, inputs, outputs and attributes."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.operator})"


class Graph(NamedTuple):
    """A graph: the names of its inputs and outputs, and its nodes in the order of execution."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]


class Weights(Module):
    """A holder of weights whose names begin with the same part before a dot."""


class Loaded(Module):
    """An ONNX model as a Module, from :func:`load`.

    Call it with ``outputs = model(*inputs)`` in the order of ``input_names``, or with these names
    as keywords. A single output is a Tensor; several are a tuple in the order of ``output_names``.

    Attributes:
        input_names, output_names: the names in the model.
        weight_names: for each initializer of floats, the attribute that has its Parameter.
    """

    def __init__(self, model: onnx.ModelProto):
        self._graph = _graph(model.graph)
        self.weight_names: dict[str, str] = {}
        self._constants: dict[str, Any] = {}
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype.kind == "f":
                self.weight_names[tensor.name] = self._hold(tensor.name, Parameter(array))
            else:
                self._constants[tensor.name] = array
        known = {*self.weight_names, *self._constants}
        self.input_names = tuple(n for n in self._graph.inputs if n not in known)
        self.output_names = self._graph.outputs
        for value in model.graph.input:
            if not value.type.HasField("tensor_type"):
                raise ValueError(f"onnx.load: the input {value.name!r} is no tensor")
        self._dtypes = {
            value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            for value in model.graph.input
        }

    def _hold(self, name: str, parameter: Parameter) -> str:
        """Set a weight as an attribute with its name; dots make nested modules."""
        parts = [re.sub(r"\W", "_", part) or "_" for part in name.split(".")]
        parts = [f"_{part}" if part[0].isdigit() and len(parts) == 1 else part for part in parts]
        holder: Any = self
        for part in parts[:-1]:
            if not isinstance(vars(holder).get(part), Module):
                setattr(holder, part, Weights())
            holder = getattr(holder, part)
        last = parts[-1]
        while hasattr(holder, last):
            last += "_"
        setattr(holder, last, parameter)
        return ".".join([*parts[:-1], last])

    def forward(self, *inputs: Any, **named: Any) -> Any:
        names = self.input_names
        if len(inputs) > len(names):
            raise TypeError(f"expected {len(names)} inputs ({', '.join(names)}), got {len(inputs)}")
        given = dict(zip(names, inputs, strict=False))
        for name, x in named.items():
            if name not in names or name in given:
                why = "is given twice" if name in given else f"is none of {', '.join(names)}"
                raise TypeError(f"the input {name!r} {why}")
            given[name] = x
        missing = [name for name in names if name not in given]
        if missing:
            raise TypeError(f"the input {missing[0]!r} is missing")
        values: dict[str, Any] = dict(self._constants)
        for name, x in given.items():
            values[name] = _as_input(x, self._dtypes[name], name)
        for name, attribute in self.weight_names.items():
            holder: Any = self
            for part in attribute.split("."):
                holder = getattr(holder, part)
            values[name] = holder
        outputs = tuple(_tensor(y) for y in _run(self._graph, values))
        return outputs[0] if len(outputs) == 1 else outputs

    def extra_repr(self) -> str:
        return f"{', '.join(self.input_names)} -> {', '.join(self.output_names)}"


def load(path: str | os.PathLike[str] | onnx.ModelProto) -> Loaded:
    """Load an ONNX model as a Module, with its weights as Parameters.

    All operators that :func:`export` writes are supported, and more: RNN, LSTM and GRU, Scan, Gemm
    and MatMul, elementwise operators, reductions, and operators that move elements. Initializers of
    floats become Parameters with the same names. Those of RNN, LSTM and GRU keep ONNX's layout.

    Args:
        path: the file, or a model in memory.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not an ONNX model, an operator or an attribute is not supported (the
            message names it and its node), or the opset is older than 13.

    Source: https://onnx.ai/onnx/operators/

    >>> import numpy as np, tinygrad_rnn as tg
    >>> linear = tg.nn.Linear(3, 2, rng=0)
    >>> loaded = tg.onnx.load(tg.onnx.export(linear, np.ones((1, 3))))
    >>> [name for name, _ in loaded.named_parameters()]
    ['weight', 'bias']
    >>> x = np.ones((1, 3), np.float32)
    >>> bool(np.allclose(loaded(x).data, linear(x).data))
    True
    """
    model = path if isinstance(path, onnx.ModelProto) else _read(path)
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < OLDEST:
            raise ValueError(
                f"onnx.load: expected opset {OLDEST} or later, got {opset.version}; "
                "onnx.version_converter converts it"
            )
    return Loaded(model)


def _read(path: str | os.PathLike[str]) -> onnx.ModelProto:
    with open(path, "rb") as file:
        content = file.read()
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker have other classes in each version
        raise ValueError(f"{os.fspath(path)}: not an ONNX model: {error}") from error
    return model


# ── the graph ────────────────────────────────────────────────────────────────────────────


def _graph(proto: onnx.GraphProto) -> Graph:
    if proto.sparse_initializer:
        raise ValueError("onnx.load: sparse initializers are not supported")
    nodes = tuple(_node(node) for node in proto.node)
    return Graph(tuple(x.name for x in proto.input), tuple(y.name for y in proto.output), nodes)


def _node(proto: onnx.NodeProto) -> Node:
    attributes = {}
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, list) and value and isinstance(value[0], bytes):
            value = [part.decode() for part in value]
        elif isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        elif isinstance(value, onnx.GraphProto):
            value = _graph(value)
        attributes[attribute.name] = value
    name = proto.name or (proto.output[0] if proto.output else "")
    node = Node(proto.op_type, name, tuple(proto.input), tuple(proto.output), attributes)
    if proto.domain not in ("", "ai.onnx") or proto.op_type not in _operators:
        domain = f" of {proto.domain}" if proto.domain else ""
        raise ValueError(f"onnx.load: {node}: the operator{domain} is not supported")
    return node


def _run(graph: Graph, values: dict[str, Any]) -> list[Any]:
    """Run the nodes. ``values`` has the inputs by name, and gets all results."""
    for node in graph.nodes:
        inputs = [values[name] if name else None for name in node.inputs]
        made = _called(node, inputs, values)
        values.update(zip(node.outputs, made, strict=False))
    return [values[name] for name in graph.outputs]


def _called(node: Node, inputs: list[Any], values: dict[str, Any]) -> Sequence[Any]:
    try:
        with scope(node.name):
            if node.operator == "Scan":
                return _scan(node, inputs, values)
            attributes = node.attributes
            if node.operator == "Split" and len(inputs) == 1:
                attributes = {"num_outputs": len(node.outputs), **attributes}
            made = _operators[node.operator](*inputs, **attributes)
    except (TypeError, ValueError, IndexError) as error:
        raise type(error)(f"onnx: {node}: {error}") from error
    results = made if isinstance(made, (tuple, list)) else (made,)
    lacking = [name for name in node.outputs[len(results) :] if name]
    if lacking:
        raise ValueError(f"onnx: {node}: its output {lacking[0]!r} is not supported")
    return results


def _as_input(x: Any, dtype: np.dtype[Any], name: str) -> Value:
    if isinstance(x, Value):
        if x._array.dtype != dtype:
            raise TypeError(f"expected {name} of dtype {dtype}, got a Tensor of {x._array.dtype}")
        return x
    return attach(numeric(x, name).astype(dtype), None)


def _tensor(y: Any) -> Value:
    return y if isinstance(y, Value) else attach(np.asarray(y), None)


def _numbers(x: Any) -> list[int]:
    """Return an array of integers, such as axes or a shape, as a list."""
    array = x._array if isinstance(x, Value) else np.asarray(x)
    return [int(n) for n in array.ravel()]


# ── operators ────────────────────────────────────────────────────────────────────────────

_operators: dict[str, Callable[..., Any]] = {
    "Add": ops.add,
    "Sub": ops.subtract,
    "Mul": ops.multiply,
    "Neg": ops.negative,
    "Abs": ops.abs,
    "Exp": ops.exp,
    "Log": ops.log,
    "Sqrt": ops.sqrt,
    "Reciprocal": ops.reciprocal,
    "Sin": ops.sin,
    "Cos": ops.cos,
    "Tan": ops.tan,
    "Asin": ops.arcsin,
    "Acos": ops.arccos,
    "Atan": ops.arctan,
    "Sinh": ops.sinh,
    "Cosh": ops.cosh,
    "Asinh": ops.arcsinh,
    "Acosh": ops.arccosh,
    "Atanh": ops.arctanh,
    "Tanh": ops.tanh,
    "Sigmoid": ops.sigmoid,
    "Relu": ops.relu,
    "Softplus": ops.softplus,
    "Erf": ops.erf,
    "Floor": ops.floor,
    "Ceil": ops.ceil,
    "Round": ops.rint,
    "Sign": ops.sign,
    "IsNaN": ops.isnan,
    "Where": ops.where,
    "Equal": ops.equal,
    "Less": ops.less,
    "LessOrEqual": ops.less_equal,
    "Greater": ops.greater,
    "GreaterOrEqual": ops.greater_equal,
    "And": ops.logical_and,
    "Or": ops.logical_or,
    "Xor": ops.logical_xor,
    "Not": ops.logical_not,
    "BitwiseAnd": ops.bitwise_and,
    "BitwiseOr": ops.bitwise_or,
    "BitwiseXor": ops.bitwise_xor,
    "BitwiseNot": ops.invert,
    "MatMul": ops.matmul,
    "Max": lambda *xs: functools.reduce(ops.maximum, xs),
    "Min": lambda *xs: functools.reduce(ops.minimum, xs),
    "Sum": lambda *xs: functools.reduce(ops.add, xs),
    "Identity": lambda x: x,
    "Constant": lambda value=None, **others: _constant(value, **others),
    "Shape": lambda x, start=0, end=None: np.array(x.shape[start:end], np.int64),
    "Size": lambda x: np.array(x.size, np.int64),
    "Det": lambda x: ops.linalg.det(x),
    "Scan": lambda *_: None,
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: ops.clip(x * alpha + beta, 0, 1),
    "LeakyRelu": lambda x, alpha=0.01: ops.where(ops.less(x, 0), x * alpha, x),
    "Elu": lambda x, alpha=1.0: ops.where(
        ops.less(x, 0), (ops.exp(ops.minimum(x, 0)) - 1) * alpha, x
    ),
}


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function for the operator of the same name."""
    name = function.__name__.strip("_").title().replace("_", "")
    _operators[name] = function
    return function


for _name in ("RNN", "LSTM", "GRU"):
    _operators[_name] = lambda *inputs, kind=_name, **attributes: run_recurrent(
        kind, *inputs, **attributes
    )


def _constant(value: Any = None, **others: Any) -> ndarray:
    if value is not None:
        return np.asarray(value)
    ((key, number),) = others.items()
    return np.asarray(number, np.int64 if key.startswith("value_int") else np.float32)


@_operator
def _div(x: Any, y: Any) -> Any:
    quotient = ops.divide(x, y)
    dtype = np.result_type(*(a.dtype for a in (x, y)))
    return quotient if dtype.kind == "f" else ops.astype(ops.trunc(quotient), dtype)


@_operator
def _pow(x: Any, y: Any) -> Any:
    return _in_dtype_of(x, ops.power(x, y))


def _in_dtype_of(x: Any, y: Any) -> Any:
    """Convert y to x's dtype, because NumPy gives wider integers than ONNX."""
    return y if y.dtype == x.dtype else ops.astype(y, x.dtype)


@_operator
def _dropout(x: Any, ratio: Any = None, training: Any = None, seed: int | None = None) -> Any:
    if training is not None and _plain(training).any():
        raise ValueError("dropout in training mode is not supported; export in eval mode")
    return x


@_operator
def _mod(x: Any, y: Any, fmod: int = 0) -> Any:
    return ops.fmod(x, y) if fmod else ops.remainder(x, y)


@_operator
def _clip(x: Any, least: Any = None, largest: Any = None) -> Any:
    x = x if least is None else ops.maximum(x, least)
    return x if largest is None else ops.minimum(x, largest)


@_operator
def _gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        inner = ops.tanh((x + x * x * x * 0.044715) * float(np.sqrt(2 / np.pi)))
        return x * (inner + 1) * 0.5
    return x * (ops.erf(x * float(np.sqrt(0.5))) + 1) * 0.5


def _is_inf(x: Any, detect_negative: int = 1, detect_positive: int = 1) -> Any:
    found = ops.isinf(x)
    if not detect_negative:
        found = ops.logical_and(found, ops.greater(x, 0))
    return found if detect_positive else ops.logical_and(found, ops.less(x, 0))


_operators["IsInf"] = _is_inf


@_operator
def _cast(x: Any, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    return ops.astype(x, helper.tensor_dtype_to_np_dtype(to))


@_operator
def _gemm(
    x: Any,
    y: Any,
    c: Any = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    x = ops.transpose(x) if transA else x
    if transB and alpha == beta == 1 and (c is None or len(c.shape) == 1):
        return ops.linear(x, y, c)
    product = ops.matmul(x, ops.transpose(y) if transB else y)
    product = product if alpha == 1 else product * alpha
    if c is None:
        return product
    return product + (c if beta == 1 else c * beta)


@_operator
def _einsum(*xs: Any, equation: str) -> Any:
    return ops.einsum(equation, *xs)


# ── shapes ───────────────────────────────────────────────────────────────────────────────


@_operator
def _reshape(x: Any, shape: Any, allowzero: int = 0) -> Any:
    numbers = _numbers(shape)
    if not allowzero:
        numbers = [x.shape[i] if n == 0 else n for i, n in enumerate(numbers)]
    return ops.reshape(x, tuple(numbers))


@_operator
def _transpose(x: Any, perm: Sequence[int] | None = None) -> Any:
    return ops.transpose(x, perm)


@_operator
def _squeeze(x: Any, axes: Any = None) -> Any:
    return ops.squeeze(x, None if axes is None else tuple(_numbers(axes)))


@_operator
def _unsqueeze(x: Any, axes: Any) -> Any:
    return ops.expand_dims(x, tuple(_numbers(axes)))


@_operator
def _flatten(x: Any, axis: int = 1) -> Any:
    axis += len(x.shape) if axis < 0 else 0
    rows = int(np.prod(x.shape[:axis], dtype=np.int64))
    return ops.reshape(x, (rows, -1) if x.size else (rows, 0))


@_operator
def _expand(x: Any, shape: Any) -> Any:
    return ops.broadcast_to(x, np.broadcast_shapes(tuple(x.shape), tuple(_numbers(shape))))


@_operator
def _concat(*xs: Any, axis: int) -> Any:
    return ops.concatenate(xs, axis)


@_operator
def _split(
    x: Any, sizes: Any = None, axis: int = 0, num_outputs: int | None = None
) -> Sequence[Any]:
    n = x.shape[axis]
    if sizes is not None:
        lengths = _numbers(sizes)
    else:
        assert num_outputs is not None
        most = -(-n // num_outputs)
        lengths = [min(most, n - i * most) for i in range(num_outputs)]
    return ops.split(x, np.cumsum(lengths)[:-1].tolist(), axis)


@_operator
def _slice(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    first, last = _numbers(starts), _numbers(ends)
    along = list(range(len(first))) if axes is None else _numbers(axes)
    by = [1] * len(first) if steps is None else _numbers(steps)
    index: list[Any] = [slice(None)] * len(x.shape)
    for start, stop, axis, step in zip(first, last, along, by, strict=True):
        # NumPy has no number for the place before the first element, only None.
        end = None if step < 0 and stop < -x.shape[axis] else stop
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _constant_of_shape(shape: Any, value: Any = None) -> ndarray:
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full(tuple(_numbers(shape)), fill.ravel()[0], fill.dtype)


_operators["ConstantOfShape"] = _constant_of_shape


@_operator
def _range(start: Any, limit: Any, delta: Any) -> ndarray:
    return np.arange(*(_plain(x).item() for x in (start, limit, delta)), dtype=_plain(start).dtype)


def _plain(x: Any) -> ndarray:
    return x._array if isinstance(x, Value) else np.asarray(x)


@_operator
def _pad(x: Any, pads: Any, value: Any = None, axes: Any = None, mode: str = "constant") -> Any:
    numbers = _numbers(pads)
    n = len(numbers) // 2
    along = range(n) if axes is None else _numbers(axes)
    widths = [(0, 0)] * len(x.shape)
    for axis, before, after in zip(along, numbers[:n], numbers[n:], strict=True):
        widths[axis] = (before, after)
    if mode != "constant":
        if mode not in ("reflect", "edge", "wrap"):
            raise ValueError(f"the mode {mode!r} is not supported")
        return ops.pad(x, tuple(widths), mode)
    fill = 0 if value is None else _plain(value).item()
    return ops.pad(x, tuple(widths), constant_values=fill)


# ── parts, sums and the like ─────────────────────────────────────────────────────────────


@_operator
def _gather(x: Any, indices: Any, axis: int = 0) -> Any:
    return ops.take(x, indices, axis)


def _gather_elements(x: Any, indices: Any, axis: int = 0) -> Any:
    return ops.take_along_axis(_cut(x, indices.shape, axis), indices, axis)


def _cut(x: Any, shape: Sequence[int], axis: int) -> Any:
    """Cut x along the other axes to the size of the indices."""
    axis %= len(shape)
    return x[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(shape))]


_operators["GatherElements"] = _gather_elements


def _gather_nd(x: Any, indices: Any, batch_dims: int = 0) -> Any:
    if batch_dims:
        raise ValueError("batch_dims are not supported")
    return x[tuple(indices[..., i] for i in range(indices.shape[-1]))]


_operators["GatherND"] = _gather_nd


def _scatter_elements(
    x: Any, indices: Any, updates: Any, axis: int = 0, reduction: str = "none"
) -> Any:
    _require_add(reduction)
    return x + sorting._add_along(updates, indices, axis % len(x.shape), x.shape[axis])


def _scatter_nd(x: Any, indices: Any, updates: Any, reduction: str = "none") -> Any:
    _require_add(reduction)
    places = tuple(_plain(indices)[..., i] for i in range(indices.shape[-1]))
    return x + ops.place(updates, places, tuple(x.shape))


def _require_add(reduction: str) -> None:
    if reduction != "add":
        raise ValueError(f"the reduction {reduction!r} is not supported, only 'add'")


_operators["ScatterElements"] = _scatter_elements
_operators["ScatterND"] = _scatter_nd


def _reducer(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def call(x: Any, axes: Any = None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Any:
        numbers = [] if axes is None else _numbers(axes)
        if not numbers and noop_with_empty_axes:
            return x
        return _in_dtype_of(x, reduce(x, tuple(numbers) if numbers else None, bool(keepdims)))

    return call


_reductions: dict[str, Callable[..., Any]] = {
    "Sum": ops.sum,
    "Mean": ops.mean,
    "Prod": ops.prod,
    "Max": ops.max,
    "Min": ops.min,
    "LogSumExp": ops.logsumexp,
    "SumSquare": lambda x, axis, keepdims: ops.sum(ops.square(x), axis, keepdims),
    "L2": lambda x, axis, keepdims: ops.sqrt(ops.sum(ops.square(x), axis, keepdims)),
    "L1": lambda x, axis, keepdims: ops.sum(ops.abs(x), axis, keepdims),
}
for _name, _reduce in _reductions.items():
    _operators[f"Reduce{_name}"] = _reducer(_reduce)


def _place_of(reduce: Callable[..., Any], turned: bool = False) -> Callable[..., Any]:
    def call(x: Any, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Any:
        if select_last_index:
            raise ValueError("select_last_index is not supported")
        return ops.astype(reduce(x, axis, keepdims=bool(keepdims)), np.int64)

    return call


_operators["ArgMax"] = _place_of(ops.argmax)
_operators["ArgMin"] = _place_of(ops.argmin)


@_operator
def _softmax(x: Any, axis: int = -1) -> Any:
    return ops.softmax(x, axis)


_operators["LogSoftmax"] = lambda x, axis=-1: ops.log_softmax(x, axis)


def _cum_sum(x: Any, axis: Any, exclusive: int = 0, reverse: int = 0) -> Any:
    if exclusive or reverse:
        raise ValueError("exclusive and reverse are not supported")
    return _in_dtype_of(x, ops.cumsum(x, _plain(axis).item()))


_operators["CumSum"] = _cum_sum


def _top_k(x: Any, k: Any, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Any, Any]:
    if largest:  # sort a flipped x, so that equal elements keep their order
        turned = ops.argsort(ops.flip(x, axis), axis, stable=True)
        order = ops.flip(ops.subtract(x.shape[axis] - 1, turned), axis)
    else:
        order = ops.argsort(x, axis, stable=True)
    lead = (slice(None),) * (axis % len(x.shape))
    order = order[(*lead, slice(_numbers(k)[0]))]
    return ops.take_along_axis(x, order, axis), order


_operators["TopK"] = _top_k


def _layer_normalization(
    x: Any, scale: Any, bias: Any = None, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    return ops.layer_norm(x, tuple(x.shape[axis:]), scale, bias, epsilon)


_operators["LayerNormalization"] = _layer_normalization


def _conv(
    x: Any,
    W: Any,
    bias: Any = None,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (1, 1),
    group: int = 1,
    kernel_shape: Any = None,
    pads: Sequence[int] = (0, 0, 0, 0),
    strides: Sequence[int] = (1, 1),
) -> Any:
    if len(x.shape) != 4 or auto_pad not in ("NOTSET", "VALID"):
        raise ValueError(f"expected images (N, C, H, W) with explicit pads, got {x.shape}")
    top, left, bottom, right = pads
    x = ops.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right))) if any(pads) else x
    return ops.conv2d(x, W, bias, tuple(strides), 0, tuple(dilations), group)


_operators["Conv"] = _conv


# ── loops ────────────────────────────────────────────────────────────────────────────────


def _scan(node: Node, inputs: list[Any], values: Mapping[str, Any]) -> Sequence[Any]:
    attributes = node.attributes
    body: Graph = attributes["body"]
    count = attributes["num_scan_inputs"]
    states, sequences = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
    outputs = len(body.outputs) - len(states)
    directions = [*attributes.get("scan_input_directions", [0] * count)]
    directions += attributes.get("scan_output_directions", [0] * outputs)
    axes = [*attributes.get("scan_input_axes", []), *attributes.get("scan_output_axes", [])]
    if any(axes) or len(set(directions)) > 1:
        raise ValueError("axes other than 0, and both directions at once, are not supported")

    def cell(carry: Any, xs: Any) -> Any:
        within = dict(values)
        within.update(zip(body.inputs, (*carry, *xs), strict=True))
        made = [_tensor(y) for y in _run(body, within)]
        return tuple(made[: len(states)]), tuple(made[len(states) :])

    first = tuple(_tensor(x) for x in states)
    xs = tuple(_tensor(x) for x in sequences)
    last, ys = scan(cell, first, xs, reverse=bool(directions[0]) if directions else False)
    return (*last, *ys)


__all__ = ["Loaded", "load"]
