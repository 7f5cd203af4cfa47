"""Layers without a state, with PyTorch's names, shapes and first values.

Linear and Embedding, Conv2d, LayerNorm, Dropout, and Sequential, which chains them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import graph, ops
from ..ops.network import pair
from ..tensor import Tensor
from . import init
from .module import Module, Parameter, as_input, floating, sized

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_T = TypeVar("_T")

# ── affine maps ──────────────────────────────────────────────────────────────────────────


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

    def forward(self, ids: Tensor | ArrayLike) -> Tensor:
        return ops.embedding(ids, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Conv2d(Module):
    """Convolve images with a bank of kernels (cross-correlation, as networks mean it).

        y[n, o, i, j] = bias[o] + sum_{c, u, v} weight[o, c, u, v] x[n, c, i s + u d, j s + v d]

    with stride s and dilation d; with groups, c runs over the channels of o's group only.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: one integer or two, (kh, kw).
        stride, padding, dilation: one integer or two; padding is with zeros, on both sides.
        groups: the channels are cut into this many groups, each with its own kernels.
        bias: False leaves the bias out.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Attributes:
        weight: (O, C / groups, kh, kw), from U(-1/sqrt(n), 1/sqrt(n)) with
            n = C / groups * kh * kw, the number of elements that a sum runs over.
        bias: (O,), from the same; None without.

    Calling it: ``y = layer(x)`` with x (N, C, H, W), y (N, O, H', W'), or both without N, where
    H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, and W' likewise.

    Raises:
        TypeError: x is a Tensor of another dtype than the layer's.
        ValueError: x has other channels, or is smaller than the kernel; or, when it is made, the
            groups do not divide the channels.

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
        sized("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: {groups} groups do not divide {in_channels} channels into "
                f"{out_channels} evenly"
            )
        dtype = floating("Conv2d", dtype)
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
        how = self.stride, self.padding, self.dilation, self.groups
        return ops.conv2d(x, self.weight, self.bias, *how)

    def extra_repr(self) -> str:
        usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        others = "".join(
            f", {name}={getattr(self, name)}"
            for name, value in usual.items()
            if getattr(self, name) != value
        )
        bias = "" if self.bias is not None else ", bias=False"
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        return sizes + others + bias


# ── normalisation and noise ──────────────────────────────────────────────────────────────


class LayerNorm(Module):
    """Shift and scale the last axes to mean 0 and variance 1, then by learned numbers.

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    with the mean and the biased variance over the last axes, those of ``normalized_shape``: each
    step of each sequence is normalised by itself, so that it does the same in training and in use.

    Args:
        normalized_shape: the lengths of the last axes; an integer means one axis.
        eps: keeps the root away from 0.
        elementwise_affine: False leaves weight and bias out.
        bias: False leaves only the bias out.
        dtype: of the parameters.

    Attributes:
        weight: of normalized_shape, all 1 at first; None without.
        bias: of normalized_shape, all 0 at first; None without.

    Calling it: ``y = layer(x)`` with x and y (..., *normalized_shape).

    Raises:
        TypeError: x is a Tensor of another dtype than the layer's.
        ValueError: x does not end in normalized_shape.

    Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, eq. 3-4;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html

    >>> from tinygrad_rnn import nn
    >>> nn.LayerNorm(2, eps=0.0)([[1.0, 3.0], [10.0, 0.0]]).data
    array([[-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...] | list[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        several = isinstance(normalized_shape, (tuple, list))
        lengths: list[Any] = [*normalized_shape] if several else [normalized_shape]  # type: ignore[misc]
        if not lengths:
            raise ValueError("LayerNorm: normalized_shape must name at least one axis, got none")
        for length in lengths:
            sized("LayerNorm", normalized_shape=length)
        if not eps >= 0:
            raise ValueError(f"LayerNorm: eps must be at least 0, got {eps!r}")
        self.normalized_shape = tuple(map(operator.index, lengths))
        self.eps = float(eps)
        self.dtype = floating("LayerNorm", dtype)
        shape = self.normalized_shape
        self.weight = Parameter(np.ones(shape, self.dtype)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(shape, self.dtype)) if elementwise_affine and bias else None

    def forward(self, x: Tensor | ArrayLike) -> Tensor:
        x = as_input("LayerNorm", "x", x, self.dtype)
        if x.shape[-len(self.normalized_shape) :] != self.normalized_shape:
            expected = ", ".join(map(str, self.normalized_shape))
            raise ValueError(
                f"LayerNorm: expected x (..., {expected}), got {x.shape}{graph.current().scope}"
            )
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = "" if self.weight is not None else ", elementwise_affine=False"
        bias = "" if self.bias is not None or self.weight is None else ", bias=False"
        return f"{self.normalized_shape}, eps={self.eps}{affine}{bias}"


class Dropout(Module):
    """While training, zero each element with probability p and scale the rest by 1 / (1 - p).

        y = x m / (1 - p),   m ~ Bernoulli(1 - p),   so that the mean of y is x

    In eval mode y = x. The layer has a generator of its own, so that a seed gives the same masks
    again whatever else draws random numbers. A copy of the layer (``copy.deepcopy``, pickle) goes
    on with the same masks as the layer itself.

    Args:
        p: from 0 to 1.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    Attributes:
        rng: the generator.

    Calling it: ``y = layer(x)`` with x and y of any shape and dtype of floats.

    Raises:
        TypeError: p is not a number.
        ValueError: p is not a probability.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014);
    https://docs.pytorch.org/docs/stable/generated/torch.nn.Dropout.html

    >>> import numpy as np
    >>> from tinygrad_rnn import nn
    >>> layer = nn.Dropout(0.5, rng=0)
    >>> layer(np.ones(4)), layer.eval()(np.ones(4))
    (array([2., 0., 0., 0.]), array([1., 1., 1., 1.]))
    """

    def __init__(self, p: float = 0.5, *, rng: init.Seed = None):
        if not isinstance(p, (int, float, np.integer, np.floating)):
            raise TypeError(f"Dropout: expected a probability p, got {p!r}")
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: expected a probability p from 0 to 1, got {p}")
        self.p = float(p)
        self.rng = np.random.default_rng(rng)

    def forward(self, x: _T) -> _T:
        y: _T = ops.dropout(x, self.p, self.training, self.rng)  # type: ignore[call-overload]
        return y

    def extra_repr(self) -> str:
        return f"p={self.p}"


# ── one after the other ──────────────────────────────────────────────────────────────────


class Sequential(Module):
    """Modules and functions, each applied to what the one before gave.

        y = f_{n-1}(... f_1(f_0(x)))

    Parameters are named by position: ``0.weight``, ``2.bias``. ``len``, iteration and indexing
    are a list's; a slice is a Sequential of the same modules, which keep their names.

    Args:
        *modules: Modules, and functions such as ``tg.relu``.

    Calling it: ``y = model(x)``; without any modules y is x.

    Raises:
        TypeError: one of them cannot be called.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.Sequential.html

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> model = tg.nn.Sequential(tg.nn.Linear(3, 8), tg.relu, tg.nn.Linear(8, 2))
    >>> model(np.ones((5, 3))).shape, [name for name, _ in model.named_parameters()]
    ((5, 2), ['0.weight', '0.bias', '2.weight', '2.bias'])
    >>> model
    Sequential(
      (0): Linear(3, 8)
      (1): relu
      (2): Linear(8, 2)
    )
    """

    def __init__(self, *modules: Module | Callable[[Any], Any]):
        for i, module in enumerate(modules):
            if not callable(module):
                raise TypeError(
                    f"Sequential: expected Modules or functions, {i} is {type(module).__name__}"
                )
            setattr(self, str(i), module)

    def _chain(self) -> dict[str, Callable[[Any], Any]]:
        """The attributes that have a number for a name."""
        return {name: member for name, member in vars(self).items() if name.isdecimal()}

    def forward(self, x: Tensor | ArrayLike) -> Tensor:
        y: Any = x
        for module in self:
            y = module(y)
        result: Tensor = y
        return result

    def __len__(self) -> int:
        return len(self._chain())

    def __iter__(self) -> Iterator[Callable[[Any], Any]]:
        return iter(self._chain().values())

    def __getitem__(self, index: int | slice) -> Any:
        chain = self._chain()
        if isinstance(index, slice):
            part = Sequential()
            vars(part).update(dict(list(chain.items())[index]), training=self.training)
            return part
        place = operator.index(index)
        if not -len(chain) <= place < len(chain):
            raise IndexError(f"Sequential: index {place} of {len(chain)} modules")
        return list(chain.values())[place]

    def __repr__(self) -> str:
        lines = [
            f"\n({name}): {_shown(member)}".replace("\n", "\n  ")
            for name, member in self._chain().items()
        ]
        return f"Sequential({''.join(lines)}\n)" if lines else "Sequential()"


def _shown(member: Callable[[Any], Any]) -> str:
    return repr(member) if isinstance(member, Module) else getattr(member, "__name__", repr(member))
