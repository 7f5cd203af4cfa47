"""Weights from Keras and to Keras: transposed kernels, another gate order, one bias for two.

Keras stores the weights of a layer as a list of arrays, with kernels for ``x @ kernel``. The gates
of its LSTM are i, f, c, o, the same order as here. The gates of its GRU are z, r, h; here they are
r, z, n. Where two biases would only be added, Keras has one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Value
from .cells import GRUCell, LSTMCell, RNNCell
from .layers import Embedding, Linear
from .module import Module
from .normalisation import BatchNorm1d, LayerNorm
from .recurrent import GRU, LSTM, RNN

#: Keras's gate order, by the number of gates: entry i is our place of Keras's i-th gate.
_ORDERS = {1: (0,), 3: (1, 0, 2), 4: (0, 1, 2, 3)}


def load_keras(layer: Module, weights: Any, name: str | None = None) -> None:
    """Load the weights of a Keras layer or model. If anything is wrong, nothing is loaded.

    ======================  ================================================================
    here                    Keras
    ======================  ================================================================
    RNN, LSTM, GRU          SimpleRNN, LSTM, GRU (with the same ``reset_after``); one Keras
                            layer for each of several layers, in a Bidirectional if there
                            are two directions
    RNNCell, LSTMCell, ...  SimpleRNNCell, LSTMCell, ...
    Linear, Embedding       Dense, Embedding
    LayerNorm, BatchNorm1d  LayerNormalization, BatchNormalization
    ======================  ================================================================

    Args:
        layer: one of these, or a Module that has them in the same order as the Keras model.
        weights: a Keras layer or model; or the list of arrays that its ``get_weights()`` returns;
            or the path of a model saved as .keras or .h5, which needs Keras.
        name: the name of one layer in a Keras model; None means the whole model.

    Raises:
        ValueError: shapes or the number of arrays do not fit; or the Keras layer computes
            something else (another activation, another ``reset_after``).
        TypeError: Keras has no such layer, or the weights are not arrays.
        FileNotFoundError: there is no such file.
        ImportError: ``weights`` is a path, and Keras is not installed.

    Source: https://keras.io/api/layers/recurrent_layers/

    >>> import numpy as np
    >>> from tinygrad_rnn import nn
    >>> kernel, recurrent, bias = np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)
    >>> lstm = nn.LSTM(3, 2)
    >>> nn.load_keras(lstm, [kernel, recurrent, bias])
    >>> lstm.weight_ih_l0.shape, float(lstm.weight_hh_l0.data.sum())
    ((8, 3), 16.0)
    """
    source = _source(weights, name)
    parts = _parts(layer)
    if not isinstance(source, (list, tuple)):
        _check_settings(parts, source)
        source = source.get_weights()
    arrays = [_array(i, value) for i, value in enumerate(source)]
    wanted = sum(len(part.shapes) for part in parts)
    if len(arrays) != wanted:
        raise ValueError(
            f"load_keras: {type(layer).__name__} takes {wanted} arrays, got {len(arrays)}: "
            f"{', '.join(str(a.shape) for a in arrays) or 'none'}"
        )
    states, place = [], 0
    for part in parts:
        members = arrays[place : place + len(part.shapes)]
        for array, shape, what in zip(members, part.shapes, part.names, strict=True):
            if array.shape != shape:
                raise ValueError(
                    f"load_keras: expected array {place} to be the {what} of "
                    f"{part.where or type(layer).__name__}, {shape}; got {array.shape}"
                )
            place += 1
        states.append(part.read(members))
    for part, state in zip(parts, states, strict=True):
        part.module.load_state_dict({**part.module.state_dict(), **state})


def to_keras(layer: Module) -> list[ndarray]:
    """The weights of a layer or model, as a list for ``keras_layer.set_weights``.

    The inverse of :func:`load_keras`. Where Keras has one bias for our two, it gets their sum.

    Args:
        layer: as for :func:`load_keras`.

    Raises:
        TypeError: Keras has no such layer.
        ValueError: the layer has peepholes or a projection, which Keras's LSTM does not have.

    >>> from tinygrad_rnn import nn
    >>> [w.shape for w in nn.to_keras(nn.GRU(3, 2, bidirectional=True))][:3]
    [(3, 6), (2, 6), (2, 6)]
    """
    return [array for part in _parts(layer) for array in part.write()]


# ── a layer's part of the list ───────────────────────────────────────────────────────────


class _Part:
    """The arrays of one Keras layer, and our module that they belong to.

    Args:
        module: our module.
        where: its dotted name in the model.
        names: Keras's names of the arrays.
        shapes: the shapes of the arrays.
        read: makes entries of the module's state from the arrays.
        write: makes the arrays from the module.
    """

    def __init__(
        self,
        module: Module,
        where: str,
        names: Sequence[str],
        shapes: Sequence[tuple[int, ...]],
        read: Callable[[Sequence[ndarray]], dict[str, ndarray]],
        write: Callable[[], list[ndarray]],
    ):
        self.module, self.where, self.names, self.shapes = module, where, names, shapes
        self.read, self.write = read, write


def _parts(layer: Module) -> list[_Part]:
    """The parts of a model in order. A parameter that is in no part is an error."""
    parts = [part for where, module in layer.named_modules() for part in _parts_of(module, where)]
    covered = {id(p) for part in parts for p in part.module.parameters()}
    for where, parameter in layer.named_parameters():
        if id(parameter) not in covered:
            raise TypeError(
                f"load_keras: the parameter {where} belongs to a layer that Keras does not have"
            )
    return parts


def _parts_of(module: Module, where: str) -> Iterator[_Part]:
    """The parts of one module, without those of inner modules."""
    if isinstance(module, (RNN, LSTM, GRU)):
        directions = ("", "_reverse") if module.bidirectional else ("",)
        for layer in range(module.num_layers):
            for direction in directions:
                yield _recurrent(module, where, f"_l{layer}{direction}")
    elif isinstance(module, (RNNCell, LSTMCell, GRUCell)):
        yield _recurrent(module, where, "")
    elif isinstance(module, Linear):
        yield _plain(module, where, {"kernel": "weight", "bias": "bias"}, transposed="kernel")
    elif isinstance(module, Embedding):
        yield _plain(module, where, {"embeddings": "weight"})
    elif isinstance(module, LayerNorm):
        yield _plain(module, where, {"gamma": "weight", "beta": "bias"})
    elif isinstance(module, BatchNorm1d):
        names = {"gamma": "weight", "beta": "bias"}
        running = {"moving_mean": "running_mean", "moving_variance": "running_var"}
        yield _plain(module, where, {**names, **running})


def _plain(module: Module, where: str, names: dict[str, str], transposed: str = "") -> _Part:
    """A layer whose arrays equal its parameters, except one that may be transposed."""
    names = {theirs: ours for theirs, ours in names.items() if getattr(module, ours) is not None}

    def oriented(theirs: str, array: ndarray) -> ndarray:
        return array.T if theirs == transposed else array

    def write() -> list[ndarray]:
        return [oriented(theirs, getattr(module, ours).numpy()) for theirs, ours in names.items()]

    def read(arrays: Sequence[ndarray]) -> dict[str, ndarray]:
        pairs = zip(names.items(), arrays, strict=True)
        return {ours: oriented(theirs, array) for (theirs, ours), array in pairs}

    return _Part(module, where, list(names), [a.shape for a in write()], read, write)


def _recurrent(module: Any, where: str, suffix: str) -> _Part:
    """One layer in one direction, or a cell."""
    if getattr(module, "proj_size", 0) or getattr(module, "peepholes", False):
        raise ValueError(
            "load_keras: Keras's LSTM has no peepholes and no projection, but "
            f"{where or 'the layer'} has"
        )
    ours = {name: f"{name}{suffix}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    biased = getattr(module, ours["bias_ih"], None) is not None
    H = module.hidden_size
    order = _ORDERS[getattr(module, ours["weight_ih"]).shape[0] // H]
    two_biases = isinstance(module, (GRU, GRUCell)) and module.reset_after

    def reordered(array: ndarray, places: Sequence[int]) -> ndarray:
        """Reorder the gates along the first axis."""
        return np.concatenate([array[H * k : H * (k + 1)] for k in places])

    def write() -> list[ndarray]:
        arrays = {
            name: reordered(getattr(module, attribute).numpy(), order)
            for name, attribute in ours.items()
            if biased or name.startswith("weight")
        }
        kernels = [arrays["weight_ih"].T, arrays["weight_hh"].T]
        if not biased:
            return kernels
        biases = [arrays["bias_ih"], arrays["bias_hh"]]
        return [*kernels, np.stack(biases) if two_biases else biases[0] + biases[1]]

    def read(arrays: Sequence[ndarray]) -> dict[str, ndarray]:
        back = np.argsort(order).tolist()
        state = {"weight_ih": arrays[0].T, "weight_hh": arrays[1].T}
        if biased:
            both = arrays[2] if two_biases else (arrays[2], np.zeros_like(arrays[2]))
            state["bias_ih"], state["bias_hh"] = both
        return {ours[name]: reordered(array, back) for name, array in state.items()}

    names = ["kernel", "recurrent kernel", "bias"][: 2 + biased]
    return _Part(module, where, names, [a.shape for a in write()], read, write)


# ── the source of the weights ────────────────────────────────────────────────────────────


def _source(weights: Any, name: str | None) -> Any:
    """A list of arrays, or a Keras layer."""
    if isinstance(weights, (str, os.PathLike)):
        weights = _read_model(Path(weights))
    if isinstance(weights, (list, tuple)):
        if name is not None:
            raise ValueError("load_keras: name needs a Keras model; a list of arrays has no names")
        return weights
    if not hasattr(weights, "get_weights"):
        raise TypeError(
            "load_keras: expected a Keras layer, a list of arrays or a path, got "
            f"{type(weights).__name__}"
        )
    return weights if name is None else weights.get_layer(name)


def _read_model(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"load_keras: there is no file {path}")
    if path.name.endswith(".weights.h5"):
        raise ValueError(
            f"load_keras: {path} holds weights without layers: build the model in Keras, "
            "call its load_weights, and pass the model"
        )
    try:
        import keras
    except ImportError:
        raise ImportError("load_keras: a Keras file needs Keras: pip install keras") from None
    return keras.models.load_model(path, compile=False)


def _array(place: int, value: Any) -> ndarray:
    array = np.asarray(value._array if isinstance(value, Value) else value)
    if array.dtype.kind != "f":
        raise TypeError(
            f"load_keras: expected arrays of floats, got {array.dtype} as array {place}"
        )
    return array


def _check_settings(parts: list[_Part], source: Any) -> None:
    """Refuse Keras layers that would compute something else with the same weights."""
    theirs = _recurrent_layers(source)
    ours = [part.module for part in parts if hasattr(part.module, "hidden_size")]
    for module, layer in zip(ours, theirs, strict=False):
        settings = layer.get_config()
        expected: dict[str, Any] = {"activation": getattr(module, "nonlinearity", "tanh")}
        if not isinstance(module, (RNN, RNNCell)):
            expected["recurrent_activation"] = "sigmoid"
        if isinstance(module, (GRU, GRUCell)):
            expected["reset_after"] = module.reset_after
        for name, value in expected.items():
            if settings.get(name, value) != value:
                raise ValueError(
                    f"load_keras: {layer.name} has {name}={settings[name]!r}, "
                    f"our {type(module).__name__} has {value!r}"
                )


def _recurrent_layers(layer: Any) -> Iterator[Any]:
    """The Keras layers with a recurrent kernel, in order."""
    inner = [
        *getattr(layer, "layers", ()),
        *(
            getattr(layer, side)
            for side in ("forward_layer", "backward_layer")
            if hasattr(layer, side)
        ),
    ]
    if inner:
        for each in inner:
            yield from _recurrent_layers(each)
    elif type(layer).__name__.removesuffix("Cell") in ("SimpleRNN", "LSTM", "GRU"):
        yield layer


__all__ = ["load_keras", "to_keras"]
