"""Building a model: nodes, weights and constants, and the bodies of loops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy import ndarray
from onnx import helper, numpy_helper

from ..scan.trace import Literal
from .record import Body, Entry, Instead
from .sizes import Counted, Filled, Record, Size

OPSET, IR_VERSION = 18, 8  # of onnx 1.13, December 2022; later runtimes read them


class Wire(NamedTuple):
    """A value of the model.

    Attributes:
        name: its name in the model.
        dtype: NumPy's dtype.
        shape: numbers and sizes, or None if it is not known.
        level: 0 for the model itself, 1 for the body of a loop, 2 for a loop inside it, ...
        value: the numbers of a weight or another constant.
        weight: the name of a weight. It becomes an initializer when a node reads it.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[Any, ...] | None
    level: int
    value: Any = None
    weight: str | None = None

    @property
    def ndim(self) -> int:
        assert self.shape is not None
        return len(self.shape)


class Builder:
    """Adds nodes to a model. The functions in the trait ``onnx`` of operations get a Builder.

    A node goes into the outermost graph that has all of its inputs. So if a cell computes something
    from weights alone, the model computes it once, before the loop.

    Attributes:
        outs: the shapes and dtypes of the current operation's results.
    """

    def __init__(self, record: Record) -> None:
        self.outs: Sequence[tuple[tuple[Any, ...], np.dtype[Any]]] = ()
        self.initializers: list[onnx.TensorProto] = []
        self._record = record
        self._graphs: list[list[onnx.NodeProto]] = [[]]
        self._wires: dict[int, Wire] = {}
        self._names: set[str] = {""}
        self._scope: tuple[str, ...] = ()
        self._sizes: dict[str, tuple[str, int]] = {}
        self._known: dict[Any, Wire] = {}

    # ── for the rules of operations ──────────────────────────────────────────────────────

    @property
    def out(self) -> tuple[tuple[Any, ...], np.dtype[Any]]:
        """The shape and the dtype of the operation's result."""
        return self.outs[0]

    def node(self, op: str, *inputs: Any, dtype: Any = None, **attributes: Any) -> Wire:
        """Add a node with one output.

        Args:
            op: the ONNX operator.
            *inputs: wires or arrays; None for an optional input without a value.
            dtype: the dtype of the output (default: that of the first input).
            **attributes: the attributes of the operator; None omits one.
        """
        (output,) = self.nodes(op, *inputs, dtypes=(dtype,), **attributes)
        return output

    def nodes(
        self, op: str, *inputs: Any, dtypes: Sequence[Any], level: int = 0, **attributes: Any
    ) -> list[Wire]:
        """Add a node with an output for each of the dtypes."""
        wires = [None if x is None else self._in_graph(x) for x in inputs]
        while wires and wires[-1] is None:
            wires.pop()
        level = max([level, *(x.level for x in wires if x is not None)])
        given = next((x.dtype for x in wires if x is not None), None)
        name = self._fresh("/".join((*self._scope, op)))
        outputs = [
            name if len(dtypes) == 1 else self._fresh(f"{name}:{i}") for i in range(len(dtypes))
        ]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        names = ["" if x is None else x.name for x in wires]
        self._graphs[level].append(helper.make_node(op, names, outputs, name=name, **attributes))
        return [
            Wire(output, np.dtype(given if dtype is None else dtype), None, level)
            for output, dtype in zip(outputs, dtypes, strict=True)
        ]

    def _in_graph(self, x: Any) -> Wire:
        """Return a wire that a node can read."""
        if not isinstance(x, Wire):
            return self.constant(x)
        if not x.name and x.weight is not None:
            return self.initializer(x.value, x.weight)
        return x

    def constant(self, x: Any, dtype: Any = None) -> Wire:
        """Add a constant: an array, a Python number, or an array whose size is not known yet."""
        if isinstance(x, Filled):
            fill = numpy_helper.from_array(np.full(1, x.value, x.dtype))
            made = self.node("ConstantOfShape", self.ints(x.shape), dtype=x.dtype, value=fill)
            return made._replace(shape=x.shape, value=x)
        if isinstance(x, Counted):
            count: Any = next((n for n in x.shape if n != 1), 1)
            stop = self.node(
                "Add", self.node("Mul", self.ints([count]), np.array([x.step])), np.array([x.start])
            )
            stop = self.node("Squeeze", stop, self.ints([0]))
            made = self.node("Range", np.array(x.start), stop, np.array(x.step), dtype=np.int64)
            return self.reshape(self.cast(made, x.dtype), x.shape)
        array = np.asarray(x, dtype)
        key = (array.dtype, array.shape, array.tobytes())
        known = self._known.get(key)
        if known is None:
            name = self._fresh("constant")
            value = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
            # A Constant node, because only weights are initializers.
            self._graphs[0].append(helper.make_node("Constant", [], [name], name=name, value=value))
            known = self._known[key] = Wire(name, array.dtype, array.shape, 0, array)
        return known

    def initializer(self, array: ndarray, name: str) -> Wire:
        """Add an initializer. If its name is in use, it gets a number at the end."""
        key = (name, array.dtype, array.shape, array.tobytes())
        known = self._known.get(key)
        if known is None:
            fresh = self._fresh(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), fresh))
            known = self._known[key] = Wire(fresh, array.dtype, array.shape, 0, array)
        return known

    def ints(self, numbers: Iterable[Any]) -> Wire:
        """Add a vector of integers; some of them may be sizes."""
        numbers = list(numbers)
        if not any(isinstance(n, Size) for n in numbers):
            return self.constant(np.array(numbers, np.int64))
        parts = [self._size(n) if isinstance(n, Size) else self.ints([n]) for n in numbers]
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def _size(self, size: Size) -> Wire:
        known = self._known.get(size)
        if known is None:
            factors = [self._axis(name) for name in size.names]
            made = factors[0]
            for factor in factors[1:]:
                made = self.node("Mul", made, factor)
            if size.factor != 1:
                made = self.node("Mul", made, np.array([size.factor]))
            if size.offset:
                made = self.node("Add", made, np.array([size.offset]))
            known = self._known[size] = made
        return known

    def _axis(self, name: str) -> Wire:
        given, axis = self._sizes[name]
        key = ("axis", name)
        if key not in self._known:
            x = Wire(given, np.dtype(np.int64), None, 0)
            self._known[key] = self.node("Shape", x, dtype=np.int64, start=axis, end=axis + 1)
        return self._known[key]

    def cast(self, x: Wire, dtype: Any) -> Wire:
        """Convert to another dtype."""
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if isinstance(x.value, ndarray) and x.ndim == 0:
            return self.constant(x.value.astype(dtype))
        to = helper.np_dtype_to_tensor_dtype(dtype)
        return self.node("Cast", x, dtype=dtype, to=to)._replace(shape=x.shape)

    def reshape(self, x: Wire, shape: Sequence[Any]) -> Wire:
        """Change the shape; the running model computes a single unknown size."""
        numbers: list[Any] = list(shape)
        unknown = [i for i, n in enumerate(numbers) if isinstance(n, Size)]
        if len(unknown) == 1 and 0 not in numbers:
            numbers[unknown[0]] = -1
        allowed = 1 if 0 in numbers else None
        made = self.node("Reshape", x, self.ints(numbers), allowzero=allowed)
        return made._replace(shape=tuple(shape))

    def transpose(self, x: Wire, order: Sequence[int]) -> Wire:
        """Change the order of the axes."""
        order = list(order)
        if order == list(range(len(order))):
            return x
        shape = None if x.shape is None else tuple(x.shape[i] for i in order)
        return self.node("Transpose", x, perm=order)._replace(shape=shape)

    def elementwise(self, op: str, *inputs: Any) -> Wire:
        """Add an operator whose inputs broadcast, after a cast to NumPy's common dtype."""
        _, out = self.out
        kinds = [x.dtype if isinstance(x, Wire) else x for x in inputs]
        common = np.result_type(*kinds)
        if out.kind == "f" and common.kind != "f":
            common = out
        if common.kind == "b":
            op, common = _of_booleans.get(op, (op, common))
        wires = [
            self.cast(x, common) if isinstance(x, Wire) else self.constant(x, common)
            for x in inputs
        ]
        return self.node(op, *wires, dtype=out if out.kind == "b" else common)

    # ── the graph ────────────────────────────────────────────────────────────────────────

    def input(self, slot: int, name: str, level: int) -> onnx.ValueInfoProto:
        """Add an input of the graph."""
        shape, dtype = self._record.avals[slot]
        fresh = self._fresh(name)
        self._wires[slot] = Wire(fresh, dtype, shape, level)
        if level == 0:
            for axis, n in enumerate(shape):
                if isinstance(n, Size) and n == Size(n.names) and len(n.names) == 1:
                    self._sizes.setdefault(n.names[0], (fresh, axis))
        return _info(fresh, shape, dtype)

    def run(self, body: Body) -> None:
        """Add the nodes of a list of operations."""
        for entry in body.entries:
            self._scope = entry.path
            for slot, wire in zip(entry.slots, self._made(entry), strict=True):
                shape, dtype = self._record.avals[slot]
                self._wires[slot] = self.cast(wire, dtype)._replace(shape=shape)

    def _made(self, entry: Entry) -> Sequence[Wire]:
        rule = entry.primitive.onnx
        rule = rule.operator if isinstance(rule, Instead) else rule
        inputs = [x.value if isinstance(x, Literal) else self.wire(x) for x in entry.operands]
        self.outs = [self._record.avals[slot] for slot in entry.slots]
        if all(0 in shape for shape, _ in self.outs):  # nothing to compute
            return [self.constant(Filled(0, shape, dtype)) for shape, dtype in self.outs]
        try:
            if isinstance(rule, str):
                made: Any = self.elementwise(rule, *inputs)
            else:
                assert rule is not None
                made = rule(self, *inputs, **entry.keywords)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"onnx.export: {entry.primitive} cannot be written in ONNX{entry.place}: {error}"
            ) from error
        return (made,) if isinstance(made, Wire) else made

    def wire(self, slot: int) -> Wire:
        """Return the wire of a slot."""
        known = self._wires.get(slot)
        if known is None:
            value, name = self._record.constants[slot], self._record.names[slot]
            if name is not None and isinstance(value, ndarray):
                known = Wire("", value.dtype, value.shape, 0, value, name)
            else:
                known = self.constant(value)
            self._wires[slot] = known
        return known

    def outputs(self, body: Body, names: Sequence[str], level: int) -> list[onnx.ValueInfoProto]:
        """Add the outputs of the graph, each from a node of its own.

        ONNX allows each name only once, and only names of nodes of the same graph.
        """
        infos = []
        graph = self._graphs[level]
        self._scope = ()
        for slot, name in zip(body.outputs, names, strict=True):
            wire = self._in_graph(self.wire(slot))
            fresh = self._fresh(name)
            graph.append(helper.make_node("Identity", [wire.name], [fresh], name=f"{fresh}/out"))
            shape, dtype = self._record.avals[slot]
            infos.append(_info(fresh, shape, dtype))
        return infos

    def loop(self, body: Body, prefix: str) -> tuple[onnx.GraphProto, int]:
        """Return the body of a loop as a graph, and the lowest level for the loop's own node."""
        level = len(self._graphs)
        self._graphs.append([])
        before = self._scope
        inputs = [self.input(slot, f"{prefix}_in", level) for slot in body.inputs]
        self.run(body)
        outputs = self.outputs(body, [f"{prefix}_out"] * len(body.outputs), level)
        nodes = self._graphs.pop()
        self._scope = before
        return helper.make_graph(nodes, prefix, inputs, outputs), level - 1

    @property
    def top(self) -> list[onnx.NodeProto]:
        """The nodes of the model itself."""
        return self._graphs[0]

    def _fresh(self, wanted: str) -> str:
        name, k = wanted, 0
        while name in self._names:
            k += 1
            name = f"{wanted}_{k}"
        self._names.add(name)
        return name


_of_booleans = {
    "Mul": ("And", np.dtype(bool)),
    "Add": ("Or", np.dtype(bool)),
    "Min": ("And", np.dtype(bool)),
    "Max": ("Or", np.dtype(bool)),
    **{op: (op, np.dtype(np.int32)) for op in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual")},
}


def _info(name: str, shape: tuple[Any, ...], dtype: np.dtype[Any]) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    return helper.make_tensor_value_info(
        name, kind, [n if isinstance(n, int) else str(n) for n in shape]
    )


__all__ = ["IR_VERSION", "OPSET", "Builder", "Wire"]
