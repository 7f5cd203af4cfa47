"""Linear, Embedding and Conv2d, with PyTorch's initial values."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import graph, ops
from ..ops.network import pair
from ..tensor import Tensor
from . import init
from .checks import as_input, float_dtype, require_sizes
from .module import Module, Parameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


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
        bias: (H,), from the same distribution; None without a bias.

    Calling it: ``y = layer(x)`` with x (..., D), y (..., H).

    Raises:
        TypeError: x is a Tensor of another dtype than the layer's.
        ValueError: the last axis of x does not have length D.

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
        require_sizes("Linear", in_features=in_features, out_features=out_features)
        dtype = float_dtype("Linear", dtype)
        rng = np.random.default_rng(rng)
        self.in_features, self.out_features = in_features, out_features
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(
            init.uniform((out_features, in_features), bound, dtype=dtype, rng=rng)
        )
        self.bias = (
            Parameter(init.uniform(out_features, bound, dtype=dtype, rng=rng)) if bias else None
        )

    def forward(self, x: Tensor | ArrayLike) -> Tensor:
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
    """A table with one row for each id.

        y = weight[ids]

    Args:
        num_embeddings: V, the number of ids.
        embedding_dim: D, the length of a row.
        padding_idx: the id of the padding. Its row starts as 0 and gets no gradient. A negative
            number counts from the end.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight: (V, D), from N(0, 1).

    Calling it: ``y = layer(ids)`` with ids (...), integers from 0 to V - 1, and y (..., D).

    Raises:
        TypeError: the ids are not integers.
        IndexError: an id is negative or not below V.
        ValueError: padding_idx is not an id, when the layer is made.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html

    >>> from tinygrad_rnn import nn
    >>> nn.Embedding(10, 4, rng=0)([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        require_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= operator.index(padding_idx) < num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx {padding_idx} is not one of {num_embeddings} ids"
                )
            padding_idx = operator.index(padding_idx) % num_embeddings
        self.padding_idx = padding_idx
        numbers = init.normal(
            (num_embeddings, embedding_dim), dtype=float_dtype("Embedding", dtype), rng=rng
        )
        if padding_idx is not None:
            numbers[padding_idx] = 0
        self.weight = Parameter(numbers)

    def forward(self, ids: Tensor | ArrayLike) -> Tensor:
        y = ops.embedding(ids, self.weight)
        if self.padding_idx is None:
            return y
        # At the padding, take the row as a constant, so that no gradient reaches it.
        padding = ops.expand_dims(ops.equal(ids, self.padding_idx), -1)
        return ops.where(padding, self.weight.detach()[self.padding_idx], y)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Conv2d(Module):
    """Convolve images with a bank of kernels (a cross-correlation, as usual in networks).

        y[n, o, i, j] = bias[o] + sum_{c, u, v} weight[o, c, u, v] x[n, c, i s + u d, j s + v d]

    with stride s and dilation d. With groups, c runs only over the channels of the group of o.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: one integer or two, (kh, kw).
        stride, padding, dilation: one integer or two; zeros are padded on both sides.
        groups: split the channels into this many groups, each with its own kernels.
        bias: False leaves the bias out.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight: (O, C / groups, kh, kw), from U(-1/sqrt(n), 1/sqrt(n)) with
            n = C / groups * kh * kw, the number of products in each sum.
        bias: (O,), from the same distribution; None without a bias.

    Calling it: ``y = layer(x)`` with x (N, C, H, W), y (N, O, H', W'), or both without N.
    H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, and W' likewise.

    Raises:
        TypeError: x is a Tensor of another dtype than the layer's.
        ValueError: x has another number of channels or is smaller than the kernel; or, when the
            layer is made, the groups do not divide the channels.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings
    of the IEEE 86 (1998), sec. II;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html

    >>> import numpy as np
    >>> from tinygrad_rnn import nn
    >>> nn.Conv2d(3, 8, 3, padding=1, rng=0)(np.ones((2, 3, 5, 5))).shape
    (2, 8, 5, 5)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
        rng: init.Seed = None,
    ):
        require_sizes("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: {groups} groups do not divide {in_channels} channels into "
                f"{out_channels} evenly"
            )
        dtype = float_dtype("Conv2d", dtype)
        rng = np.random.default_rng(rng)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(kernel_size, "Conv2d: kernel_size", 1)
        self.stride = pair(stride, "Conv2d: stride", 1)
        self.padding = pair(padding, "Conv2d: padding", 0)
        self.dilation = pair(dilation, "Conv2d: dilation", 1)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = Parameter(init.uniform(shape, bound, dtype=dtype, rng=rng))
        self.bias = (
            Parameter(init.uniform(out_channels, bound, dtype=dtype, rng=rng)) if bias else None
        )

    def forward(self, x: Tensor | ArrayLike) -> Tensor:
        x = as_input("Conv2d", "x", x, self.weight.dtype)
        if x.ndim not in (3, 4) or x.shape[-3] != self.in_channels:
            channels = self.in_channels
            raise ValueError(
                f"Conv2d: expected x (N, {channels}, H, W) or ({channels}, H, W), got {x.shape}"
                f"{graph.current().scope}"
            )
        settings = self.stride, self.padding, self.dilation, self.groups
        return ops.conv2d(x, self.weight, self.bias, *settings)

    def extra_repr(self) -> str:
        defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        others = "".join(
            f", {name}={getattr(self, name)}"
            for name, value in defaults.items()
            if getattr(self, name) != value
        )
        bias = "" if self.bias is not None else ", bias=False"
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        return sizes + others + bias
