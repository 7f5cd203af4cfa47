"""Gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .optimizer import Optimizer, Params, with_l2_penalty


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

        g = dL/dx + weight_decay x
        b = momentum b + (1 - dampening) g      (b = g at the first step)
        x = x - lr b                            (Nesterov: x - lr (g + momentum b))

    Args:
        params: the Tensors to optimise, or groups of them.
        lr: the learning rate; every group may have its own.
        momentum: how much of the last step is kept, usually 0 or 0.9.
        nesterov: use the gradient a step ahead, along the momentum.
        weight_decay: L2 penalty.
        dampening: the part of each gradient that does not enter the momentum.
        maximize: maximise the loss instead of minimising it.

    Raises:
        ValueError: Nesterov without momentum or with dampening, or a negative setting.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning",
    ICML 2013; https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.SGD([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.data
    array([0., 0.])
    """

    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    dampening: float
    maximize: bool

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        dampening: float = 0.0,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            nesterov=bool(nesterov),
            weight_decay=weight_decay,
            dampening=dampening,
            maximize=bool(maximize),
        )

    def _check_group(self, group: dict[str, Any]) -> None:
        if group["nesterov"] and not group["momentum"]:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        if group["nesterov"] and group["dampening"]:
            raise ValueError("SGD: nesterov needs a dampening of 0")

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        g = with_l2_penalty(g, x, group.weight_decay)
        if group.momentum:
            before = state.get("momentum_buffer")
            b = state["momentum_buffer"] = (
                np.array(g)
                if before is None
                else group.momentum * before + (1 - group.dampening) * g
            )
            g = g + group.momentum * b if group.nesterov else b
        new: ndarray = x - group.lr * g
        return new
