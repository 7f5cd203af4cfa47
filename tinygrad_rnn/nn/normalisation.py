"""Normalisation and noise: LayerNorm, BatchNorm1d, Dropout."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy import ndarray

from .. import graph, ops
from ..tensor import Tensor
from . import init
from .checks import as_input, float_dtype, require_bools, require_sizes
from .module import Module, Parameter

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_T = TypeVar("_T", Tensor, ndarray)


class LayerNorm(Module):
    """Normalise the last axes to mean 0 and variance 1, then scale and shift by learned numbers.

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    The mean and the biased variance are over the last axes, whose lengths are
    ``normalized_shape``. Each time step of each sequence is normalised alone, so training and eval
    mode compute the same.

    Args:
        normalized_shape: the lengths of the last axes; an integer means one axis.
        eps: keeps the divisor away from 0.
        elementwise_affine: False leaves weight and bias out.
        bias: False leaves only the bias out.
        dtype: of the parameters.

    Attributes:
        weight: of normalized_shape, initially 1; None if left out.
        bias: of normalized_shape, initially 0; None if left out.

    Calling it: ``y = layer(x)`` with x and y (..., *normalized_shape).

    Raises:
        TypeError: x is a Tensor of another dtype than the layer's.
        ValueError: the last axes of x are not normalized_shape.

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
            require_sizes("LayerNorm", normalized_shape=length)
        if not eps >= 0:
            raise ValueError(f"LayerNorm: eps must be at least 0, got {eps!r}")
        self.normalized_shape = tuple(map(operator.index, lengths))
        self.eps = float(eps)
        self.dtype = float_dtype("LayerNorm", dtype)
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


class BatchNorm1d(Module):
    """Normalise each feature over the batch, then scale and shift by learned numbers.

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    The mean and the biased variance are over the batch, and over the length if there is one. In
    eval mode, running means of both are used instead. Training updates them:

        running_mean = (1 - momentum) running_mean + momentum mean
        running_var = (1 - momentum) running_var + momentum (unbiased variance)

    Args:
        num_features: C.
        eps: keeps the divisor away from 0.
        momentum: how fast the running means change; None makes them plain means of all batches.
        affine: False leaves weight and bias out.
        track_running_stats: False keeps no running means; then eval mode uses the batch too.
        dtype: of the parameters.

    Attributes:
        weight: (C,), initially 1; None if left out.
        bias: (C,), initially 0; None if left out.
        running_mean, running_var: (C,) buffers, initially 0 and 1; None if not tracked.
        num_batches_tracked: a buffer of one integer; None if not tracked.

    Calling it: ``y = layer(x)`` with x and y (N, C) or (N, C, L).

    Raises:
        TypeError: x is a Tensor of another dtype than the layer's; or the layer trains in a step
            that ``scan`` traces, where all time steps would share one running mean.
        ValueError: x has another shape; or, in training, only one number for each feature.

    Source: Ioffe and Szegedy, "Batch Normalization", arXiv:1502.03167, alg. 1;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html

    >>> import numpy as np
    >>> from tinygrad_rnn import nn
    >>> layer = nn.BatchNorm1d(2, eps=0.0)
    >>> layer([[1.0, 3.0], [3.0, 7.0]]).data
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean.data, layer.running_var.data
    (array([0.2, 0.5], dtype=float32), array([1.1, 1.7], dtype=float32))
    """

    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float32,
    ):
        require_sizes("BatchNorm1d", num_features=num_features)
        require_bools("BatchNorm1d", affine=affine, track_running_stats=track_running_stats)
        if not eps >= 0:
            raise ValueError(f"BatchNorm1d: eps must be at least 0, got {eps!r}")
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm1d: momentum must be from 0 to 1, got {momentum!r}")
        self.num_features, self.eps, self.momentum = num_features, float(eps), momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.dtype = float_dtype("BatchNorm1d", dtype)
        ones, zeros = np.ones(num_features, self.dtype), np.zeros(num_features, self.dtype)
        self.weight = Parameter(ones) if affine else None
        self.bias = Parameter(zeros) if affine else None
        for name, first in (
            ("running_mean", zeros),
            ("running_var", ones),
            ("num_batches_tracked", np.array(0)),
        ):
            self.register_buffer(name, first if track_running_stats else None)

    def forward(self, x: Tensor | ArrayLike) -> Tensor:
        x = as_input("BatchNorm1d", "x", x, self.dtype)
        C = self.num_features
        if x.ndim not in (2, 3) or x.shape[1] != C:
            raise ValueError(
                f"BatchNorm1d: expected x (N, {C}) or (N, {C}, L), got {x.shape}"
                f"{graph.current().scope}"
            )
        axes = (0, 2)[: x.ndim - 1]
        count = x.size // C
        if self.training or not self.track_running_stats:
            if self.training and count == 1:
                raise ValueError(
                    f"BatchNorm1d: a variance needs more than one number for each feature, got x "
                    f"{x.shape}{graph.current().scope}"
                )
            mean = ops.mean(x, axes, True)
            centred = ops.subtract(x, mean)
            variance = ops.mean(ops.square(centred), axes, True)
            if self.training and self.track_running_stats:
                self._track(mean, variance, count)
        else:
            shape = (C,) if x.ndim == 2 else (C, 1)
            centred = ops.subtract(x, ops.reshape(self.running_mean, shape))
            variance = ops.reshape(self.running_var, shape)
        y = ops.divide(centred, ops.sqrt(ops.add(variance, self.eps)))
        if self.weight is None or self.bias is None:
            return y
        along = (C,) if x.ndim == 2 else (C, 1)
        y = ops.multiply(y, ops.reshape(self.weight, along))
        return ops.add(y, ops.reshape(self.bias, along))

    def _track(self, mean: Any, variance: Any, count: int) -> None:
        """Update the running means with this batch."""
        if graph.current().tracing is not None:
            raise TypeError(
                "BatchNorm1d: in a step that scan traces, all time steps would share one running "
                "mean; pass unroll=True to scan, or call eval()"
            )
        tracked = int(self.num_batches_tracked.item()) + 1
        share = 1 / tracked if self.momentum is None else self.momentum
        of_batch = {
            "running_mean": mean.numpy().reshape(-1),
            "running_var": variance.numpy().reshape(-1) * (count / (count - 1)),
        }
        for name, statistic in of_batch.items():
            running = getattr(self, name)
            running.data = ((1 - share) * running.data + share * statistic).astype(running.dtype)
        self.num_batches_tracked.data = np.array(tracked, self.num_batches_tracked.dtype)

    def extra_repr(self) -> str:
        defaults = {"momentum": 0.1, "affine": True, "track_running_stats": True}
        others = "".join(
            f", {name}={getattr(self, name)}"
            for name, value in defaults.items()
            if getattr(self, name) != value
        )
        return f"{self.num_features}, eps={self.eps}{others}"


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1 / (1 - p).

        y = x m / (1 - p),   m ~ Bernoulli(1 - p),   so the mean of y is x

    In eval mode y = x. The layer has its own generator, so a seed always gives the same masks. A
    copy of the layer (``copy.deepcopy``, pickle) draws the same next masks as the layer itself.

    Args:
        p: the probability, from 0 to 1.
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
        return ops.dropout(x, self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        return f"p={self.p}"
