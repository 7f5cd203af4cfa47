"""Layers without a state: Linear and Embedding, with PyTorch's names, shapes and first values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import graph, ops
from . import init
from .module import Module, Parameter, as_input, floating, sized


class Linear(Module):
    """An affine map of the last axis.

        y = x weight^T + bias

    Args:
        in_features: D, the length of x's last axis.
        out_features: H, the length of y's last axis.
        bias: False leaves the bias out.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight: (H, D), from U(-1/sqrt(D), 1/sqrt(D)).
        bias: (H,), from the same; None without.

    Calling it: ``y = layer(x)`` with x (..., D), y (..., H).

    Raises:
        TypeError: x is a Tensor of another dtype than the layer's.
        ValueError: x's last axis is not D long.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html

    >>> import numpy as np
    >>> from tinygrad_rnn import nn
    >>> nn.Linear(3, 2, rng=0)(np.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        sized("Linear", in_features=in_features, out_features=out_features)
        dtype = floating("Linear", dtype)
        rng = np.random.default_rng(rng)
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(
            init.uniform((out_features, in_features), bound, dtype=dtype, rng=rng)
        )
        self.bias = (
            Parameter(init.uniform(out_features, bound, dtype=dtype, rng=rng)) if bias else None
        )

    def forward(self, x: Any) -> Any:
        x = as_input("Linear", "x", x, self.weight.dtype)
        if x.ndim < 1 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"Linear: expected x (..., {self.in_features}), got {x.shape}"
                f"{graph.current().scope}"
            )
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}"


class Embedding(Module):
    """A table with one row of numbers for each id.

        y = weight[ids]

    Args:
        num_embeddings: V, how many ids there are.
        embedding_dim: D, the length of a row.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight: (V, D), from N(0, 1).

    Calling it: ``y = layer(ids)`` with integers ids (...) from 0 to V - 1, y (..., D).

    Raises:
        TypeError: the ids are not integers.
        IndexError: an id is negative or not below V.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html

    >>> from tinygrad_rnn import nn
    >>> nn.Embedding(10, 4, rng=0)([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        sized("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(
            init.normal(
                (num_embeddings, embedding_dim), dtype=floating("Embedding", dtype), rng=rng
            )
        )

    def forward(self, ids: Any) -> Any:
        return ops.embedding(ids, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
