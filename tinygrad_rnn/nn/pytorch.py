"""Modules from PyTorch, and to it: made anew of the same kinds, with the same weights.

The layers here have PyTorch's names and arguments, so one table serves both ways: what to ask a
layer for, to build the same one in the other library.
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

# What a layer is built from. All but "bias" are attributes of the same name in both libraries.
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

_WITH_DTYPE = {"LayerNorm", "BatchNorm1d"}  # also without parameters

# Settings that only one of the libraries has, and the value with which both compute the same.
_THEIRS_ALONE: dict[str, dict[str, Any]] = {
    "Conv2d": {"padding_mode": "zeros"},
    "Embedding": {"max_norm": None, "scale_grad_by_freq": False, "sparse": False},
}
_OURS_ALONE: dict[str, dict[str, Any]] = {
    "LSTM": {"peepholes": False},
    "LSTMCell": {"peepholes": False, "proj_size": 0},
    "GRU": {"reset_after": True},
    "GRUCell": {"reset_after": True},
}
_FUNCTIONS: dict[Any, str] = {ops.tanh: "Tanh", ops.relu: "ReLU", ops.sigmoid: "Sigmoid"}


def from_torch(module: Any) -> Module:
    """The same module as one of this library, with the same weights.

    Args:
        module: a layer of ``torch.nn`` that there is here too, or Sequential, ModuleList or
            ModuleDict of them.

    Returns:
        A Module; what is shared, frozen or in eval mode there is so here. Half precision becomes
        float32.

    Raises:
        TypeError: a kind of module that this library does not have; the message says where.
        ValueError: a setting that it does not have.

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
            built[id(theirs)] = _ours(theirs, where, build, usual)
        return built[id(theirs)]

    usual = next((p.dtype for p in module.parameters()), "float32")
    ours = build(module, "")
    state = {name: _numpy(x) for name, x in module.state_dict().items()}
    ours.load_state_dict(state)
    kept: dict[int, Any] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        owner, attribute = _owner(ours, name)
        shared = kept.setdefault(id(parameter), getattr(owner, attribute))
        setattr(owner, attribute, shared)
        shared.requires_grad = bool(parameter.requires_grad)
    for theirs, same in ((m, built[id(m)]) for m in module.modules()):
        same.training = bool(theirs.training)
    return ours


def to_torch(module: Module) -> Any:
    """The same module as one of PyTorch's, with the same weights.

    Args:
        module: a layer of this library that PyTorch has too, or Sequential, ModuleList or
            ModuleDict of them.

    Returns:
        A ``torch.nn.Module``; what is shared, frozen or in eval mode here is so there.

    Raises:
        TypeError: a kind of module that PyTorch does not have; the message says where.
        ValueError: peepholes, or a GRU that resets before the product.
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
            built[id(ours)] = _theirs(torch.nn, ours, where, build)
        return built[id(ours)]

    theirs = build(module, "")
    state = {name: torch.tensor(array) for name, array in module.state_dict().items()}
    theirs.load_state_dict(state)
    kept: dict[int, Any] = {}
    for name, value in module._named_values():
        if isinstance(value, nn.Parameter):
            *path, attribute = name.split(".")
            owner = theirs.get_submodule(".".join(path))
            shared = kept.setdefault(id(value), getattr(owner, attribute))
            setattr(owner, attribute, shared)
            shared.requires_grad_(value.requires_grad)
    for ours, same in ((m, built[id(m)]) for m in module.modules()):
        same.training = ours.training
    return theirs


# ── one module ───────────────────────────────────────────────────────────────────────────

_Build = Callable[[Any, str], Any]


def _ours(theirs: Any, where: str, build: _Build, usual: Any) -> Module:
    """One module; ``usual`` is the dtype of layers without parameters."""
    kind = type(theirs).__name__
    known = (type(theirs).__module__ or "").startswith("torch.nn.")
    if known and kind in _CONTAINERS:
        # Not named_children, which leaves out a module that comes twice.
        named = theirs.items() if kind == "ModuleDict" else enumerate(theirs)
        children = {str(name): build(m, f"{where}.{name}") for name, m in named}
        if kind == "Sequential":
            return nn.Sequential(*children.values())
        return nn.ModuleList(children.values()) if kind == "ModuleList" else nn.ModuleDict(children)
    if not known or kind not in _ARGUMENTS:
        raise TypeError(f"from_torch: there is no {kind} here{_at(where)}")
    _require_same("from_torch", theirs, where, _THEIRS_ALONE.get(kind, {}))
    settings = _settings(kind, theirs)
    own = [p.dtype for p in theirs.parameters()]
    if own or kind in _WITH_DTYPE:
        settings["dtype"] = np.float64 if "float64" in str(own[0] if own else usual) else np.float32
    if kind not in _WITHOUT_RNG:
        settings["rng"] = 0  # what is drawn with it is replaced
    layer: Module = getattr(nn, kind)(**settings)
    if kind == "Dropout":
        layer.rng = np.random.default_rng()
    return layer


def _theirs(torch_nn: Any, ours: Any, where: str, build: _Build) -> Any:
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
    _require_same("to_torch", ours, where, _OURS_ALONE.get(kind, {}))
    settings = _settings(kind, ours)
    import torch

    dtypes = {p.dtype for p in ours.parameters()}
    if dtypes:
        settings["dtype"] = torch.float64 if dtypes.pop() == np.float64 else torch.float32
    return getattr(torch_nn, kind)(**settings)


def _settings(kind: str, layer: Any) -> dict[str, Any]:
    found = {}
    for name in _ARGUMENTS[kind]:
        if name == "elementwise_affine":
            found[name] = layer.weight is not None
        elif name == "bias":
            bias = getattr(layer, name, None)
            # A flag of recurrent layers, else the parameter; cells have neither under this name.
            if kind.endswith("Cell"):
                bias = getattr(layer, "bias_ih", None) is not None
            found[name] = bias if isinstance(bias, bool) else bias is not None
        else:
            found[name] = getattr(layer, name)
    if found.get("elementwise_affine") is False:
        del found["bias"]
    return found


def _require_same(function: str, layer: Any, where: str, expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        given = getattr(layer, name, value)
        if given != value:
            other = "this library" if function == "from_torch" else "PyTorch"
            raise ValueError(
                f"{function}: {type(layer).__name__} with {name}={given!r} is not in {other}"
                f"{_at(where)}"
            )


def _at(where: str) -> str:
    return f" (at {where.lstrip('.')})" if where else ""


def _owner(module: Module, name: str) -> tuple[Any, str]:
    """The module that holds a parameter of this dotted name, and the attribute."""
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
