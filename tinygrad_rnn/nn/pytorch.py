"""Convert modules from PyTorch and to PyTorch: build the same layers and copy the weights.

The layers here have PyTorch's names and arguments. So one table serves both directions: it lists
the attributes of a layer from which the other library builds the same layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import nn, ops
from .module import Module

_LAYERED = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)

# The arguments of each layer. All but "bias" are attributes of the same name in both libraries.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features", "bias"),
    "Embedding": ("num_embeddings", "embedding_dim", "padding_idx"),
    "Conv2d": (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
    ),
    "LayerNorm": ("normalized_shape", "eps", "elementwise_affine", "bias"),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "Dropout": ("p",),
    "RNNCell": ("input_size", "hidden_size", "bias", "nonlinearity"),
    "LSTMCell": ("input_size", "hidden_size", "bias"),
    "GRUCell": ("input_size", "hidden_size", "bias"),
    "RNN": (*_LAYERED, "nonlinearity"),
    "LSTM": (*_LAYERED, "proj_size"),
    "GRU": _LAYERED,
    "Tanh": (),
    "ReLU": (),
    "Sigmoid": (),
    "GELU": ("approximate",),
    "Flatten": ("start_dim", "end_dim"),
}
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
_WITHOUT_RNG = {"LayerNorm", "BatchNorm1d", "Tanh", "ReLU", "Sigmoid", "GELU", "Flatten"}

_WITH_DTYPE = {"LayerNorm", "BatchNorm1d"}  # they have a dtype even without parameters

# Settings of only one library, and the value with which both libraries compute the same.
_ONLY_TORCH: dict[str, dict[str, Any]] = {
    "Conv2d": {"padding_mode": "zeros"},
    "Embedding": {"max_norm": None, "scale_grad_by_freq": False, "sparse": False},
}
_ONLY_OURS: dict[str, dict[str, Any]] = {
    "LSTM": {"peepholes": False},
    "LSTMCell": {"peepholes": False, "proj_size": 0},
    "GRU": {"reset_after": True},
    "GRUCell": {"reset_after": True},
}
_FUNCTIONS: dict[Any, str] = {ops.tanh: "Tanh", ops.relu: "ReLU", ops.sigmoid: "Sigmoid"}


def from_torch(module: Any) -> Module:
    """Convert a PyTorch module to a module of this library, with the same weights.

    Args:
        module: a layer of ``torch.nn`` that this library also has; or a Sequential, ModuleList or
            ModuleDict of them.

    Returns:
        A Module. Shared parameters stay shared, frozen ones frozen, and eval mode is kept. Half
        precision becomes float32.

    Raises:
        TypeError: this library does not have this kind of module; the message says where it is.
        ValueError: this library does not have a setting.

    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> import tinygrad_rnn as tg
    >>> tg.from_torch(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh()))
    Sequential(
      (0): Linear(3, 8)
      (1): Tanh()
    )
    """
    built: dict[int, Module] = {}

    def build(theirs: Any, where: str) -> Module:
        if id(theirs) not in built:
            built[id(theirs)] = _to_ours(theirs, where, build, default_dtype)
        return built[id(theirs)]

    default_dtype = next((p.dtype for p in module.parameters()), "float32")
    ours = build(module, "")
    state = {name: _numpy(x) for name, x in module.state_dict().items()}
    ours.load_state_dict(state)
    by_id: dict[int, Any] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        owner, attribute = _owner(ours, name)
        shared = by_id.setdefault(id(parameter), getattr(owner, attribute))
        setattr(owner, attribute, shared)
        shared.requires_grad = bool(parameter.requires_grad)
    for theirs, same in ((m, built[id(m)]) for m in module.modules()):
        same.training = bool(theirs.training)
    return ours


def to_torch(module: Module) -> Any:
    """Convert a module to a PyTorch module, with the same weights.

    Args:
        module: a layer of this library that PyTorch also has; or a Sequential, ModuleList or
            ModuleDict of them.

    Returns:
        A ``torch.nn.Module``. Shared parameters stay shared, frozen ones frozen, and eval mode is
        kept.

    Raises:
        TypeError: PyTorch does not have this kind of module; the message says where it is.
        ValueError: the module has peepholes, or is a GRU with ``reset_after=False``.
        ImportError: PyTorch is not installed.

    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> import tinygrad_rnn as tg
    >>> tg.to_torch(tg.nn.LSTM(3, 4, bidirectional=True))
    LSTM(3, 4, bidirectional=True)
    """
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch needs PyTorch: pip install torch") from None
    built: dict[int, Any] = {}

    def build(ours: Any, where: str) -> Any:
        if id(ours) not in built:
            built[id(ours)] = _to_theirs(torch.nn, ours, where, build)
        return built[id(ours)]

    theirs = build(module, "")
    state = {name: torch.tensor(array) for name, array in module.state_dict().items()}
    theirs.load_state_dict(state)
    by_id: dict[int, Any] = {}
    for name, value in module._named_values():
        if isinstance(value, nn.Parameter):
            *path, attribute = name.split(".")
            owner = theirs.get_submodule(".".join(path))
            shared = by_id.setdefault(id(value), getattr(owner, attribute))
            setattr(owner, attribute, shared)
            shared.requires_grad_(value.requires_grad)
    for ours, same in ((m, built[id(m)]) for m in module.modules()):
        same.training = ours.training
    return theirs


# ── one module ───────────────────────────────────────────────────────────────────────────

_Build = Callable[[Any, str], Any]


def _to_ours(theirs: Any, where: str, build: _Build, default_dtype: Any) -> Module:
    """Convert one PyTorch module; layers without parameters get the default dtype."""
    kind = type(theirs).__name__
    known = (type(theirs).__module__ or "").startswith("torch.nn.")
    if known and kind in _CONTAINERS:
        # named_children would leave out a module that comes twice.
        named = theirs.items() if kind == "ModuleDict" else enumerate(theirs)
        children = {str(name): build(m, f"{where}.{name}") for name, m in named}
        if kind == "Sequential":
            return nn.Sequential(*children.values())
        return nn.ModuleList(children.values()) if kind == "ModuleList" else nn.ModuleDict(children)
    if not known or kind not in _ARGUMENTS:
        raise TypeError(f"from_torch: this library has no {kind}{_at(where)}")
    _require_same("from_torch", theirs, where, _ONLY_TORCH.get(kind, {}))
    settings = _settings(kind, theirs)
    own = [p.dtype for p in theirs.parameters()]
    if own or kind in _WITH_DTYPE:
        settings["dtype"] = (
            np.float64 if "float64" in str(own[0] if own else default_dtype) else np.float32
        )
    if kind not in _WITHOUT_RNG:
        settings["rng"] = 0  # the weights drawn with it are replaced
    layer: Module = getattr(nn, kind)(**settings)
    if kind == "Dropout":
        layer.rng = np.random.default_rng()
    return layer


def _to_theirs(torch_nn: Any, ours: Any, where: str, build: _Build) -> Any:
    if not isinstance(ours, Module) and ours in _FUNCTIONS:
        return getattr(torch_nn, _FUNCTIONS[ours])()
    kind = type(ours).__name__
    if isinstance(ours, (nn.Sequential, nn.ModuleList)):
        members = [build(m, f"{where}.{i}") for i, m in enumerate(ours)]
        chain = isinstance(ours, nn.Sequential)
        return torch_nn.Sequential(*members) if chain else torch_nn.ModuleList(members)
    if isinstance(ours, nn.ModuleDict):
        return torch_nn.ModuleDict({k: build(m, f"{where}.{k}") for k, m in ours.items()})
    if kind not in _ARGUMENTS or not type(ours).__module__.startswith(nn.__name__):
        raise TypeError(f"to_torch: PyTorch has no {kind}{_at(where)}")
    _require_same("to_torch", ours, where, _ONLY_OURS.get(kind, {}))
    settings = _settings(kind, ours)
    import torch

    dtypes = {p.dtype for p in ours.parameters()}
    if dtypes:
        settings["dtype"] = torch.float64 if dtypes.pop() == np.float64 else torch.float32
    return getattr(torch_nn, kind)(**settings)


def _settings(kind: str, layer: Any) -> dict[str, Any]:
    settings = {}
    for name in _ARGUMENTS[kind]:
        if name == "elementwise_affine":
            settings[name] = layer.weight is not None
        elif name == "bias":
            bias = getattr(layer, name, None)
            # A flag in recurrent layers, else the parameter. Cells have only bias_ih and bias_hh.
            if kind.endswith("Cell"):
                bias = getattr(layer, "bias_ih", None) is not None
            settings[name] = bias if isinstance(bias, bool) else bias is not None
        else:
            settings[name] = getattr(layer, name)
    if settings.get("elementwise_affine") is False:
        del settings["bias"]
    return settings


def _require_same(function: str, layer: Any, where: str, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        actual = getattr(layer, name, value)
        if actual != value:
            other = "this library" if function == "from_torch" else "PyTorch"
            raise ValueError(
                f"{function}: {type(layer).__name__} with {name}={actual!r} does not exist in "
                f"{other}{_at(where)}"
            )


def _at(where: str) -> str:
    return f" (at {where.lstrip('.')})" if where else ""


def _owner(module: Module, name: str) -> tuple[Any, str]:
    """The module that has the parameter with this dotted name, and the attribute."""
    *path, attribute = name.split(".")
    owner: Any = module
    for part in path:
        owner = vars(owner)[part]
    return owner, attribute


def _numpy(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    half = str(tensor.dtype) in ("torch.float16", "torch.bfloat16")
    return (tensor.float() if half else tensor).numpy()


__all__ = ["from_torch", "to_torch"]
