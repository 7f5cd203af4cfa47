"""Limits for large gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy import ndarray

from ..tensor import Tensor


def clip_grad_norm_(params: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their norm is at most ``max_norm``.

        n = sqrt(sum of all squared gradients),    g = g min(1, max_norm / (n + 1e-6))

    The direction does not change. So one exploding gradient cannot move a recurrent net far away.

    Args:
        params: Tensors of any shapes; those without a gradient are skipped.
        max_norm: the largest norm allowed.

    Returns:
        n, the norm before clipping. If n is Inf, infinite elements become NaN and the others 0. If
        n is NaN, all become NaN.

    Raises:
        ValueError: ``max_norm`` is negative or NaN.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    arXiv:1211.5063, alg. 1.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([3.0, 4.0], requires_grad=True)
    >>> x.grad = [3.0, 4.0]
    >>> clip_grad_norm_([x], 1.0)
    5.0
    >>> x.grad.round(3)
    array([0.6, 0.8])
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must be at least 0, got {max_norm!r}")
    live = _with_gradient(params)
    # In float64, since squares in float32 overflow from 2e19 on.
    norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for _, g in live))
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:
        for p, g in live:
            with np.errstate(invalid="ignore"):
                p.grad = g * factor
    return norm


def clip_grad_value_(params: Tensor | Iterable[Tensor], value: float) -> None:
    """Limit every element of every gradient to ``-value ... value``.

    Shapes: params of any shapes; each gradient keeps its own.

    Args:
        params: Tensors; those without a gradient are skipped.
        value: the largest absolute value allowed.

    Raises:
        ValueError: ``value`` is negative or NaN.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([3.0, 4.0], requires_grad=True)
    >>> x.grad = [-0.5, 4.0]
    >>> clip_grad_value_([x], 1.0)
    >>> x.grad
    array([-0.5,  1. ])
    """
    if not value >= 0:
        raise ValueError(f"clip_grad_value_: value must be at least 0, got {value!r}")
    for p, g in _with_gradient(params):
        p.grad = np.clip(g, -value, value)


def _with_gradient(params: Tensor | Iterable[Tensor]) -> list[tuple[Tensor, ndarray]]:
    tensors = [params] if isinstance(params, Tensor) else params
    return [(p, p.grad) for p in tensors if p.grad is not None]
