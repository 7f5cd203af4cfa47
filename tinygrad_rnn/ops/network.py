"""Layers' functions with PyTorch's meaning: convolution, pooling, dropout, normalisation.

Apart from ``windows`` and its transpose these are compositions of other operations, which give
their gradients of any order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

from ..graph import Array, Value, current, differentiable, located
from .arrays import shape_of
from .blocks import alone, stacked
from .elementwise import add, multiply, sqrt, square, subtract
from .padding import pad
from .products import matmul
from .reductions import max as max_
from .reductions import mean
from .shaping import expand_dims, reshape, squeeze, swapaxes, transpose

__all__ = [
    "conv2d",
    "dropout",
    "layer_norm",
    "max_pool2d",
    "unwindow",
    "windows",
]

Pair = tuple[int, int]


def pair(value: Any, name: str, least: int) -> Pair:
    """A pair from one integer for both directions of an image, or one for each.

    >>> pair(3, "conv2d: stride", 1)
    (3, 3)
    """
    both = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(both) != 2 or any(not isinstance(n, (int, np.integer)) or n < least for n in both):
        raise ValueError(f"{name} must be one integer or two, at least {least}; got {value!r}")
    return int(both[0]), int(both[1])


# ── windows of an image, and adding them back ────────────────────────────────────────────


def _window_slices(
    shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair, at: Pair
) -> tuple[slice, slice]:
    """The slices of the image that hold element ``at`` of every window."""
    starts = [a * d for a, d in zip(at, dilation, strict=True)]
    counts = _window_counts(shape, kernel, stride, dilation)
    return tuple(  # type: ignore[return-value]
        slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, counts, stride, strict=True)
    )


def _window_counts(shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair) -> Pair:
    return tuple(  # type: ignore[return-value]
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(shape[-2:], kernel, stride, dilation, strict=True)
    )


@differentiable(
    lambda g, y, x, kernel, stride, dilation: unwindow(g, x.shape, kernel, stride, dilation),
    batch=stacked,
    view=True,
    linear="all",
)
def windows(x: Array, kernel: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)) -> Array:
    """All windows of the last two axes, side by side: ``y[..., i, j, u, v]``, without a copy.

        y[..., i, j, u, v] = x[..., i s + u d, j s + v d]

    Args:
        x: (..., H, W), at least as large as the dilated kernel, ``d (k - 1) + 1``.
        kernel, stride, dilation: k, s and d for the two axes.

    Returns:
        (..., H', W', kh, kw), where H' = (H - d (kh - 1) - 1) // s + 1, and W' likewise.

    Raises:
        ValueError: the dilated kernel is larger than the image.

    >>> windows(np.arange(4.0).reshape(1, 4), (1, 2), (1, 2))[0]
    array([[[0., 1.]],
    <BLANKLINE>
           [[2., 3.]]])
    """
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    # A view in which elements overlap: windows read the image itself, and nothing is copied.
    every = sliding_window_view(x, reach, axis=(-2, -1))
    return every[..., :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


@differentiable(
    lambda g, x, y, shape, kernel, stride, dilation: windows(g, kernel, stride, dilation),
    batch=alone(
        lambda y, shape, **others: lambda block: unwindow(block, (len(block), *shape), **others)
    ),
    linear="all",
)
def unwindow(y: Array, shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair) -> Array:
    """Add every window back where :func:`windows` read it; this is the transpose of ``windows``.

    Args:
        y: (..., H', W', kh, kw).
        shape: the shape of the image, (..., H, W).
        kernel, stride, dilation: as for :func:`windows`.

    Returns:
        An array of the given shape; elements in no window are 0.

    >>> unwindow(np.ones((1, 3, 1, 2)), (1, 4), (1, 2), (1, 1), (1, 1))
    array([[1., 2., 2., 1.]])
    """
    x = np.zeros(shape, y.dtype)
    for i in range(kernel[0]):
        # Over the elements of the kernel, which are few, and not over the windows, which are many.
        for j in range(kernel[1]):
            x[(..., *_window_slices(shape, kernel, stride, dilation, (i, j)))] += y[..., i, j]
    return x


@located
def conv2d(
    x: Array,
    W: Array,
    b: Array = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Convolve images with kernels (as everywhere in deep learning, this is a cross-correlation).

        y[n, o, i, j] = b[o] + sum_{c, u, v} W[o, c, u, v] x[n, c, i s + u d, j s + v d]

    Args:
        x: (N, C, H, W) or (C, H, W).
        W: (O, C / groups, kh, kw).
        b: (O,) or None.
        stride, padding, dilation: one integer or two. Padding adds zeros on both sides.
        groups: the number of groups of channels, each with its own kernels.

    Returns:
        (N, O, H', W') or (O, H', W'), where
        H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1, and W' likewise.

    Raises:
        ValueError: the shapes do not fit, or the kernel is larger than the padded image.

    Source: one matrix product of all windows with all kernels: Chellapilla, Puri and Simard,
    "High Performance Convolutional Neural Networks for Document Processing" (2006).

    >>> conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))[0, 0]
    array([[4., 4.],
           [4., 4.]])
    """
    shape, kernels = shape_of(x), shape_of(W)
    if len(shape) == 3:
        return squeeze(conv2d(expand_dims(x, 0), W, b, stride, padding, dilation, groups), 0)
    if len(shape) != 4 or len(kernels) != 4:
        raise ValueError(
            f"conv2d: expected x (N, C, H, W) and W (O, C / groups, kh, kw), "
            f"got {shape} and {kernels}"
        )
    outputs, per_group, *size = kernels
    if groups < 1 or outputs % groups or shape[1] != per_group * groups:
        raise ValueError(
            f"conv2d: x has {shape[1]} channels, but W {kernels} expects {per_group} in each of "
            f"{groups} groups"
        )
    if b is not None and shape_of(b) != (outputs,):
        raise ValueError(f"conv2d: expected b of shape ({outputs},), got {shape_of(b)}")
    kernel = (size[0], size[1])
    stride, dilation = pair(stride, "conv2d: stride", 1), pair(dilation, "conv2d: dilation", 1)
    height, width = pair(padding, "conv2d: padding", 0)
    if height or width:
        x = pad(x, ((0, 0), (0, 0), (height, height), (width, width)))
    _require_room("conv2d", shape_of(x), kernel, stride, dilation)
    # (N, C, H', W', kh, kw) -> (groups, N H' W', C/groups kh kw): a convolution multiplies every
    # window with every kernel.
    rows, columns = _window_counts(shape_of(x), kernel, stride, dilation)
    parts = reshape(
        windows(x, kernel, stride, dilation),
        (shape[0], groups, per_group, rows, columns, *kernel),
    )
    parts = reshape(
        transpose(parts, (1, 0, 3, 4, 2, 5, 6)),
        (groups, shape[0] * rows * columns, per_group * math.prod(kernel)),
    )
    kernels_by_group = reshape(W, (groups, outputs // groups, per_group * math.prod(kernel)))
    y = matmul(parts, swapaxes(kernels_by_group, 1, 2))
    y = reshape(y, (groups, shape[0], rows, columns, outputs // groups))
    y = reshape(transpose(y, (1, 0, 4, 2, 3)), (shape[0], outputs, rows, columns))
    return y if b is None else add(y, reshape(b, (outputs, 1, 1)))


def _require_room(
    name: str, shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair
) -> None:
    if min(_window_counts(shape, kernel, stride, dilation)) < 1:
        raise ValueError(f"{name}: a {kernel} kernel does not fit into an image of {shape[-2:]}")


@located
def max_pool2d(x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Array:
    """The largest element of each window; the first of the largest ones gets the gradient.

    Args:
        x: (N, C, H, W) or (C, H, W).
        kernel_size: one integer or two.
        stride: one integer or two; None for the kernel's size.
        padding: one integer or two, at most half the kernel. Padding is never the largest.

    Returns:
        (..., H', W') with H' = (H + 2 padding - kernel) // stride + 1.

    Raises:
        ValueError: the shapes or sizes do not fit.

    >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 5.,  7.],
            [13., 15.]]])
    """
    shape = shape_of(x)
    if len(shape) not in (3, 4):
        raise ValueError(f"max_pool2d: expected x (N, C, H, W) or (C, H, W), got {shape}")
    kernel = pair(kernel_size, "max_pool2d: kernel_size", 1)
    stride = kernel if stride is None else pair(stride, "max_pool2d: stride", 1)
    height, width = pair(padding, "max_pool2d: padding", 0)
    if 2 * height > kernel[0] or 2 * width > kernel[1]:
        raise ValueError(
            f"max_pool2d: padding {(height, width)} is more than half the kernel {kernel}"
        )
    if height or width:
        around = ((0, 0),) * (len(shape) - 2) + ((height, height), (width, width))
        x = x if isinstance(x, Value) else np.asarray(x)
        x = pad(x, around, constant_values=_least(x.dtype))
    _require_room("max_pool2d", shape_of(x), kernel, stride, (1, 1))
    parts = windows(x, kernel, stride)
    return max_(reshape(parts, (*shape_of(parts)[:-2], math.prod(kernel))), -1)


def _least(dtype: np.dtype[Any]) -> Any:
    """The least number of a dtype; -Inf for floats."""
    if dtype.kind == "b":
        return False
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


# ── dropout and normalisation ────────────────────────────────────────────────────────────


@located
def dropout(
    x: Array, p: float = 0.5, training: bool = True, rng: np.random.Generator | int | None = None
) -> Array:
    """Zero each element with probability p and scale the rest by 1 / (1 - p).

        y = x m / (1 - p),   m ~ Bernoulli(1 - p)

    Args:
        x: any shape.
        p: from 0 to 1.
        training: False returns x unchanged.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    Raises:
        ValueError: p is not a probability.

    Source: Srivastava et al., "Dropout", JMLR 15 (2014).

    >>> dropout(np.ones(4), p=0.5, rng=0)
    array([2., 0., 0., 0.])
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: expected a probability p from 0 to 1, got {p}")
    if not training or p == 0:
        return x if isinstance(x, Value) else np.asarray(x)
    array: ndarray = x._array if isinstance(x, Value) else np.asarray(x)
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
    if current().tracing is not None and not isinstance(rng, (int, np.integer)):
        raise TypeError(
            "dropout: scan traces the step once, so every time step would get the same mask; pass "
            "unroll=True to scan, or draw the mask outside the step (or pass a seed as rng, for "
            "the same mask at every step)"
        )
    kept = np.random.default_rng(rng).random(array.shape) >= p
    # Scaled here, so that the mean of the output is that of x and nothing is scaled in evaluation.
    scale = 0 if p == 1 else 1 / (1 - p)
    return multiply(x, kept.astype(dtype) * dtype.type(scale))


@located
def layer_norm(
    x: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array = None,
    bias: Array = None,
    eps: float = 1e-5,
) -> Array:
    """Shift and scale the last axes to mean 0 and variance 1, then by weight and bias.

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    with the biased variance, over the last ``len(normalized_shape)`` axes.

    Args:
        x: (..., *normalized_shape).
        normalized_shape: an integer or a tuple.
        weight, bias: arrays of that shape, or None.
        eps: keeps the denominator above 0.

    Raises:
        ValueError: x does not end in normalized_shape, or weight or bias have another shape.

    Source: Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450, eq. 3-4.

    >>> layer_norm([1.0, 3.0], 2, eps=0.0)
    array([-1.,  1.])
    """
    normalized = tuple(np.ravel(normalized_shape).tolist())
    shape = shape_of(x)
    if not normalized or shape[-len(normalized) :] != normalized:
        raise ValueError(f"layer_norm: expected x (..., {normalized}), got {shape}")
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and shape_of(parameter) != normalized:
            raise ValueError(
                f"layer_norm: expected {name} of shape {normalized}, got {shape_of(parameter)}"
            )
    axes = tuple(range(-len(normalized), 0))
    centred = subtract(x, mean(x, axes, True))
    y = centred / sqrt(add(mean(square(centred), axes, True), eps))
    if weight is not None:
        y = multiply(y, weight)
    return y if bias is None else add(y, bias)
