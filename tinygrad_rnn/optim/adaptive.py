"""Adagrad and RMSprop, which divide each step by the size of past gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .optimizer import Optimizer, Params, running_mean, with_l2_penalty


class Adagrad(Optimizer):
    """Divide each step by the root of the sum of all squared gradients so far.

        g = dL/dx + weight_decay x
        s = s + g^2                             (initially s = initial_accumulator_value)
        x = x - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)         at step t = 1, 2, ...

    Args:
        params: the Tensors to optimise, or groups of them.
        lr: the learning rate.
        lr_decay: how fast the learning rate falls.
        weight_decay: L2 penalty.
        initial_accumulator_value: the initial value of s.
        eps: keeps the divisor away from 0.
        maximize: maximise the loss instead of minimising it.
        eps_in_root: divide by sqrt(s + eps), as min-char-rnn does (with eps = 1e-8).

    Raises:
        ValueError: a negative setting.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods", JMLR 12 (2011);
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.Adagrad([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.data
    array([0.5, 1.5])
    """

    lr: float
    lr_decay: float
    weight_decay: float
    initial_accumulator_value: float
    eps: float
    maximize: bool
    eps_in_root: bool

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        eps_in_root: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            maximize=bool(maximize),
            eps_in_root=bool(eps_in_root),
        )

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        g = with_l2_penalty(g, x, group.weight_decay)
        t: int = state.get("step", 0) + 1
        state["step"] = t
        s = state["sum"] = state.get("sum", group.initial_accumulator_value) + g * g
        divisor = np.sqrt(s + group.eps) if group.eps_in_root else np.sqrt(s) + group.eps
        new: ndarray = x - group.lr / (1 + (t - 1) * group.lr_decay) * g / divisor
        return new


class RMSprop(Optimizer):
    """Divide each step by the root of a running mean of squared gradients.

        g = dL/dx + weight_decay x
        s = alpha s + (1 - alpha) g^2
        m = alpha m + (1 - alpha) g             (only if centered; else m = 0)
        d = g / (sqrt(s - m^2) + eps)
        b = momentum b + d
        x = x - lr b

    Args:
        params: the Tensors to optimise, or groups of them.
        lr: the learning rate.
        alpha: the decay rate of the running mean.
        eps: keeps the divisor away from 0.
        weight_decay: L2 penalty.
        momentum: how much of the last step is kept.
        centered: divide by the standard deviation instead.
        maximize: maximise the loss instead of minimising it.

    Raises:
        ValueError: a setting out of its range.

    Source: Hinton, "Neural Networks for Machine Learning", lecture 6e (2012); centered: Graves,
    arXiv:1308.0850, eq. 38-45; https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.RMSprop([x], lr=0.05)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.data.round(6)
    array([0.5, 1.5])
    """

    lr: float
    alpha: float
    eps: float
    weight_decay: float
    momentum: float
    centered: bool
    maximize: bool

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=bool(centered),
            maximize=bool(maximize),
        )

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        g = with_l2_penalty(g, x, group.weight_decay)
        variance = state["square_avg"] = running_mean(state.get("square_avg"), g * g, group.alpha)
        if group.centered:
            mean = state["grad_avg"] = running_mean(state.get("grad_avg"), g, group.alpha)
            variance = np.maximum(variance - mean * mean, 0)  # rounding can make it negative
        d: ndarray = g / (np.sqrt(variance) + group.eps)
        if group.momentum:
            d = state["momentum_buffer"] = group.momentum * state.get("momentum_buffer", 0.0) + d
        new: ndarray = x - group.lr * d
        return new
