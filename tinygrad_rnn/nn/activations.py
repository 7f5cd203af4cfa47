"""Activations and Flatten as modules, for Sequential, with PyTorch's names."""

from __future__ import annotations

import math
from typing import TypeVar

from numpy import ndarray

from .. import graph, ops
from ..tensor import Tensor
from .module import Module

_T = TypeVar("_T", Tensor, ndarray)


class Tanh(Module):
    """``y = tanh x``, see :func:`tg.tanh`.

    Calling it: ``y = layer(x)`` with x and y of any shape and dtype of floats.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Tanh.html

    >>> Tanh()([0.0, 20.0])
    array([0., 1.])
    """

    def forward(self, x: _T) -> _T:
        return ops.tanh(x)


class ReLU(Module):
    """``y = max(x, 0)``, see :func:`tg.relu`.

    Calling it: ``y = layer(x)`` with x and y of any shape and dtype.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.ReLU.html

    >>> ReLU()([-1.0, 2.0])
    array([0., 2.])
    """

    def forward(self, x: _T) -> _T:
        return ops.relu(x)


class Sigmoid(Module):
    """``y = 1 / (1 + e^-x)``, see :func:`tg.sigmoid`.

    Calling it: ``y = layer(x)`` with x and y of any shape and dtype of floats.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html

    >>> Sigmoid()([0.0, 1000.0])
    array([0.5, 1. ])
    """

    def forward(self, x: _T) -> _T:
        return ops.sigmoid(x)


class GELU(Module):
    """x times the probability that a standard normal number is below x.

        y = x (1 + erf(x / sqrt(2))) / 2                                        "none"
        y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2                   "tanh"

    Args:
        approximate: "none" or "tanh".

    Calling it: ``y = layer(x)`` with x and y of any shape and dtype of floats.

    Raises:
        ValueError: the approximation is neither.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv:1606.08415;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.GELU.html

    >>> GELU()([-1.0, 0.0, 1.0]).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """

    def __init__(self, approximate: str = "none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: expected approximate 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: _T) -> _T:
        if self.approximate == "none":
            twice_p = ops.add(1, ops.erf(ops.multiply(x, 1 / math.sqrt(2))))
        else:
            cubic = ops.multiply(ops.power(x, 3), 0.044715)
            twice_p = ops.add(1, ops.tanh(ops.multiply(ops.add(x, cubic), math.sqrt(2 / math.pi))))
        return ops.multiply(ops.multiply(x, 0.5), twice_p)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Flatten(Module):
    """Merge several axes into one.

    Args:
        start_dim: the first axis to merge; 1 keeps the batch axis.
        end_dim: the last axis to merge.

    Calling it: ``y = layer(x)`` with x (d_0, ..., d_k). In y, one axis replaces the axes from
    start_dim to end_dim.

    Raises:
        IndexError: x has no such axes.
        ValueError: end_dim is before start_dim.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Flatten.html

    >>> import numpy as np
    >>> Flatten()(np.ones((5, 2, 3))).shape
    (5, 6)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: _T) -> _T:
        return ops.reshape(x, self._flat_shape(ops.shape_of(x)))

    def _flat_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        ndim = max(len(shape), 1)  # as in PyTorch, a scalar gets one axis
        for dim in (self.start_dim, self.end_dim):
            if not -ndim <= dim < ndim:
                raise IndexError(
                    f"Flatten: axis {dim} is out of range for x {shape}{graph.current().scope}"
                )
        start, end = self.start_dim % ndim, self.end_dim % ndim
        if end < start:
            raise ValueError(
                f"Flatten: end_dim {self.end_dim} is before start_dim {self.start_dim} of x {shape}"
            )
        merged = math.prod(shape[start : end + 1])
        return (*shape[:start], merged, *shape[end + 1 :])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
