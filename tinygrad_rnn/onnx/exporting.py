"""Writing a model: the computation of a function or a Module, for another runtime."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy import ndarray
from onnx import helper

from .. import __version__, graph
from ..files import replacing
from ..graph import Value, numeric
from ..nn.module import Module
from ..scan.arguments import flatten, unflatten
from . import operators  # noqa: F401 - sets the ONNX form of operations
from .build import IR_VERSION, OPSET, Builder
from .record import Recorder
from .sizes import Merger, chosen_sizes

_Axes = Mapping[str, Mapping[int, str] | Sequence[int]]


def export(
    f: Callable[..., Any],
    example_inputs: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    names: Any = None,
    dynamic_axes: _Axes | None = None,
) -> onnx.ModelProto:
    """Write the computation of a function or a Module as an ONNX model.

    The function runs on values without numbers; only the shapes and dtypes of the example count.
    Recurrent layers become RNN, LSTM and GRU. In float64 they become Scan, because onnxruntime has
    the three only for float32. ``tg.scan`` of another cell becomes Scan with the cell as its body.
    Other operations become the operators that their Primitives name. The weights of a Module become
    initializers with the same names; weights of RNN, LSTM and GRU have ONNX's order of gates. A
    Module is exported as in ``eval()``. onnxruntime has Asin, Acos, Atan and Det only for float32.

    Args:
        f: a Module, or a function of Tensors that returns a Tensor or nested tuples of Tensors.
        example_inputs: its arguments: an array or Tensor, a tuple of arguments, or a dict of them
            by name. An argument may be None or a nested tuple. Plain arrays of floats take the
            dtype of a Module's parameters.
        path: the file to write; None writes no file.
        names: the names of the inputs, or of the inputs and then the outputs, or a pair of both
            lists (default: the names of the function's parameters, and ``y``).
        dynamic_axes: the axes of inputs that may have another size when the model runs:
            ``{"x": {0: "T", 1: "N"}}`` with a name for each, or ``{"x": [0, 1]}``. Axes with the
            same name have the same size. The sizes of the outputs follow from these.

    Returns:
        The model.

    Raises:
        TypeError: an operation has no ONNX form (the message names it and where it ran), or the
            function looks at numbers (``if x > 0``).
        ValueError: the names or the axes do not fit, the function draws random numbers, or its
            operations depend on a dynamic axis in a way that no model can express, such as a Python
            loop over the axis.
        OSError: the file cannot be written.

    Source: https://onnx.ai/onnx/repo-docs/IR.html

    >>> import numpy as np, tinygrad_rnn as tg
    >>> lstm = tg.nn.LSTM(3, 4, rng=0)
    >>> model = tg.onnx.export(lstm, np.ones((5, 2, 3)), dynamic_axes={"x": {0: "T", 1: "N"}})
    >>> sorted(w.name for w in model.graph.initializer)
    ['bias_hh_l0', 'bias_ih_l0', 'weight_hh_l0', 'weight_ih_l0']
    >>> [node.op_type for node in model.graph.node if node.op_type == "LSTM"]
    ['LSTM']
    """
    if not callable(f):
        raise TypeError(f"onnx.export: expected a Module or a function, got {type(f).__name__}")
    call = _Call(f, example_inputs)
    inputs, outputs = _names(names, call.names)
    axes = _axes(dynamic_axes or {}, inputs, call.values, outputs)
    sizes = chosen_sizes(list(dict.fromkeys(n for by_axis in axes for n in by_axis.values())))
    with _in_eval(f):
        recorders = [call.recorded(axes, chosen) for chosen in sizes]
    record = Merger(sizes).merged(recorders)
    count = len(record.body.outputs)
    if outputs is None:
        outputs = ["y"] if count == 1 else [f"y_{i}" for i in range(count)]
    if len(outputs) != count:
        raise ValueError(f"onnx.export: expected names for {count} outputs, got {len(outputs)}")
    builder = Builder(record)
    given = [
        builder.input(slot, name, 0) for slot, name in zip(record.body.inputs, inputs, strict=True)
    ]
    builder.run(record.body)
    returned = builder.outputs(record.body, outputs, 0)
    name = type(f).__name__ if isinstance(f, Module) else getattr(f, "__name__", "function")
    made = helper.make_graph(builder.top, name, given, returned, builder.initializers)
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tinygrad_rnn",
        producer_version=__version__,
    )
    onnx.checker.check_model(model)
    if path is not None:
        write(model, path)
    return model


def write(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model into a file, atomically."""
    with replacing(path) as file:
        file.write(model.SerializeToString())


class _Call:
    """A function and the arguments of an example.

    Attributes:
        values: the arrays among the arguments, in order.
        names: for each of them the name of its parameter.
    """

    def __init__(self, f: Callable[..., Any], example: Any):
        self.f = f
        keywords = dict(example) if isinstance(example, Mapping) else {}
        if isinstance(example, Mapping):
            arguments: tuple[Any, ...] = ()
        else:
            arguments = tuple(example) if isinstance(example, (tuple, list)) else (example,)
        self._keys = tuple(keywords)
        self._count = len(arguments)
        leaves: list[Any] = []
        parts = (*arguments, *keywords.values())
        counts = []
        structures = []
        for part in parts:
            before = len(leaves)
            structures.append(flatten(part, leaves))
            counts.append(len(leaves) - before)
        self._structure = (tuple, *structures)
        dtype = _float_of(f)
        self.values = [_array(x, dtype) for x in leaves]
        self.names = list(_parameter_names(f, self._count, self._keys, counts))
        self._weights = dict(_weight_names(f))

    def recorded(self, axes: Sequence[Mapping[int, str]], sizes: Mapping[str, int]) -> Recorder:
        """Record the function for some sizes of the dynamic axes."""
        recorder = Recorder(self._weights)
        values = []
        for array, by_axis in zip(self.values, axes, strict=True):
            shape = [sizes[by_axis[i]] if i in by_axis else n for i, n in enumerate(array.shape)]
            values.append(recorder.given(tuple(shape), array.dtype))
        parts = unflatten(self._structure, iter(values))
        arguments, rest = parts[: self._count], parts[self._count :]
        recorder.body.inputs = tuple(map(recorder.slot_of, values))
        try:
            with graph.traced(recorder, recording=False):
                result = self.f(*arguments, **dict(zip(self._keys, rest, strict=True)))
                outputs: list[Any] = []
                flatten(_as_tuples(result), outputs)
                if not outputs:
                    raise TypeError("onnx.export: expected a Tensor from the function, got none")
                slots = tuple(recorder.slot_of(_returned(y)) for y in outputs)
        except (ValueError, IndexError) as error:
            if sizes:
                tried = ", ".join(f"{name} = {n}" for name, n in sizes.items())
                raise type(error)(
                    f"onnx.export: with {tried} for the dynamic axes: {error}"
                ) from error
            raise
        recorder.body.outputs = slots
        return recorder


def _as_tuples(tree: Any) -> Any:
    """Convert nested lists to tuples."""
    if isinstance(tree, list) or type(tree) is tuple:
        return tuple(_as_tuples(part) for part in tree)
    return tree


def _returned(y: Any) -> Any:
    if isinstance(y, (Value, ndarray, float, int, np.generic)):
        return y if isinstance(y, (Value, ndarray)) else np.asarray(y)
    raise TypeError(
        f"onnx.export: expected a Tensor or nested tuples of Tensors from the function, got a "
        f"{type(y).__name__}"
    )


def _array(x: Any, dtype: np.dtype[Any] | None) -> ndarray:
    if isinstance(x, Value):
        return x._array
    array = numeric(x, "onnx.export: an example input")
    return array.astype(dtype) if dtype is not None and array.dtype.kind == "f" else array


def _float_of(f: Any) -> np.dtype[Any] | None:
    """Return the dtype of a Module's parameters, or None if it has none or several."""
    if not isinstance(f, Module):
        return None
    dtypes = {p.dtype for p in f.parameters()}
    return dtypes.pop() if len(dtypes) == 1 else None


def _weight_names(f: Any) -> Iterator[tuple[int, str]]:
    """Yield names of weights: of a Module, or of the Modules and Tensors a function reads."""
    if isinstance(f, Module):
        for name, tensor in (*f.named_buffers(), *f.named_parameters()):
            yield id(tensor._array), name
        return
    bound = getattr(f, "__self__", None)
    if isinstance(bound, Module):
        yield from _weight_names(bound)
    code = getattr(f, "__code__", None)
    if code is None:
        return
    closure = dict(zip(code.co_freevars, f.__closure__ or (), strict=True))
    variables = {name: cell.cell_contents for name, cell in closure.items()}
    variables |= {name: f.__globals__.get(name) for name in code.co_names}
    for name, value in variables.items():
        if isinstance(value, Module):
            yield from ((i, f"{name}.{inner}") for i, inner in _weight_names(value))
        elif isinstance(value, Value) and value.node is not None:
            yield id(value._array), name


def _parameter_names(
    f: Any, count: int, keys: Sequence[str], counts: Sequence[int]
) -> Iterator[str]:
    """Yield a name for each array among the arguments."""
    function = f.forward if isinstance(f, Module) and _is_plain_call(f) else f
    try:
        parameters = inspect.signature(function).parameters.values()
        known = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    except (TypeError, ValueError):
        known = []
    names = [known[i] if i < len(known) else f"input_{i}" for i in range(count)]
    for name, n in zip((*names, *keys), counts, strict=True):
        yield from ([name] if n == 1 else [f"{name}_{i}" for i in range(n)])


def _is_plain_call(f: Module) -> bool:
    return type(f).__call__ is Module.__call__


@contextmanager
def _in_eval(f: Any) -> Iterator[None]:
    """Set a Module to evaluation mode, and restore its modes afterwards."""
    modules = list(f.modules()) if isinstance(f, Module) else []
    before = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training


# ── names and axes ───────────────────────────────────────────────────────────────────────


def _names(names: Any, default: list[str]) -> tuple[list[str], list[str] | None]:
    """Return the names of inputs and outputs; None if the user did not name the outputs."""
    n = len(default)
    if names is None:
        return default, None
    if isinstance(names, str):
        names = [names]
    parts = list(names)
    if len(parts) == 2 and all(isinstance(p, (list, tuple)) for p in parts):
        parts = [*parts[0], *parts[1]]
    inputs, outputs = parts[:n], parts[n:] or None
    for name in (*inputs, *(outputs or ())):
        if not isinstance(name, str) or not name:
            raise TypeError(f"onnx.export: expected names (str), got {name!r}")
    if len(inputs) != n:
        raise ValueError(f"onnx.export: expected names for {n} inputs, got {len(inputs)}")
    every = [*inputs, *(outputs or ())]
    if len(set(every)) < len(every):
        twice = next(name for name in every if every.count(name) > 1)
        raise ValueError(f"onnx.export: the name {twice!r} occurs twice in inputs and outputs")
    return inputs, outputs


def _axes(
    given: _Axes, inputs: Sequence[str], values: Sequence[ndarray], outputs: Iterable[str] | None
) -> list[dict[int, str]]:
    """Return the dynamic axes of each input, with their names."""
    unknown = set(given) - set(inputs) - set(outputs or ())
    if unknown:
        raise ValueError(
            f"onnx.export: dynamic_axes name {sorted(unknown)[0]!r}, which is no input; there are "
            f"{', '.join(inputs)}"
        )
    found = []
    sizes: dict[str, int] = {}
    for name, value in zip(inputs, values, strict=True):
        axes = given.get(name, {})
        if not isinstance(axes, Mapping):
            axes = {axis: f"{name}_{axis}" for axis in axes}
        for axis in axes:
            if not isinstance(axis, int) or not -value.ndim <= axis < value.ndim:
                raise ValueError(
                    f"onnx.export: dynamic_axes say axis {axis!r} of {name}, which has shape "
                    f"{value.shape}"
                )
        for axis, called in axes.items():
            n = value.shape[axis]
            if sizes.setdefault(str(called), n) != n:
                raise ValueError(
                    f"onnx.export: dynamic_axes call axes of the sizes {sizes[str(called)]} and "
                    f"{n} in the example {called!r}; axes of one name have one size"
                )
        found.append({axis % value.ndim: str(called) for axis, called in axes.items()})
    return found


__all__ = ["export", "write"]
