"""Adam and its variants AdamW and NAdam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from .optimizer import Optimizer, Params, running_mean, with_l2_penalty


class Adam(Optimizer):
    """Divide a running mean of the gradients by the root of a running mean of their squares.

        g = dL/dx + weight_decay x
        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        x = x - lr m' / (sqrt(v') + eps),   m' = m / (1 - beta_1^t),   v' = v / (1 - beta_2^t)

    Each step changes an element by about lr. t = 1, 2, ... counts the steps. m and v start from 0;
    m' and v' correct for that. With ``amsgrad``, v' uses the largest v so far.

    Args:
        params: the Tensors to optimise, or groups of them.
        lr: the learning rate.
        betas: beta_1 and beta_2, the decay rates of the running means.
        eps: keeps the divisor away from 0.
        weight_decay: L2 penalty.
        amsgrad: divide by the largest v so far.
        maximize: maximise the loss instead of minimising it.
        epsilon_hat: add eps before the correction of v,
            x = x - lr m' / ((sqrt(v) + eps) / sqrt(1 - beta_2^t)). This is section 2 of the paper,
            and what Keras, TensorFlow and "Deep Learning from Scratch" do (with eps = 1e-7).

    Raises:
        ValueError: a setting out of its range.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, alg. 1;
    amsgrad: Reddi, Kale and Kumar, "On the Convergence of Adam and Beyond", arXiv:1904.09237;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.Adam([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.data.round(6)
    array([0.5, 1.5])
    """

    lr: float
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    amsgrad: bool
    maximize: bool
    epsilon_hat: bool

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        epsilon_hat: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=bool(amsgrad),
            maximize=bool(maximize),
            epsilon_hat=bool(epsilon_hat),
        )

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        return self._moments_step(x, with_l2_penalty(g, x, group.weight_decay), state, group)

    def _moments_step(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        beta_1, beta_2 = group.betas
        t: int = state.get("step", 0) + 1
        state["step"] = t
        m: ndarray = running_mean(state.get("exp_avg"), g, beta_1)
        v: ndarray = running_mean(state.get("exp_avg_sq"), g * g, beta_2)
        state["exp_avg"], state["exp_avg_sq"] = m, v
        if group.amsgrad:
            largest = state.get("max_exp_avg_sq")
            v = state["max_exp_avg_sq"] = v if largest is None else np.maximum(largest, v)
        correction = math.sqrt(1 - beta_2**t)
        if group.epsilon_hat:
            divisor = (np.sqrt(v) + group.eps) / correction
        else:
            divisor = np.sqrt(v) / correction + group.eps
        new: ndarray = x - group.lr / (1 - beta_1**t) * m / divisor
        return new


class AdamW(Adam):
    """Adam with weight decay as a separate step instead of a part of the gradient.

        x = x - lr weight_decay x
        x = x - lr m' / (sqrt(v') + eps)        with Adam's m' and v' of g = dL/dx

    Args:
        params: the Tensors to optimise, or groups of them.
        lr: the learning rate.
        betas: beta_1 and beta_2, the decay rates of the running means.
        eps: keeps the divisor away from 0.
        weight_decay: each step subtracts lr weight_decay x from x.
        amsgrad: divide by the largest v so far.
        maximize: maximise the loss instead of minimising it.

    Raises:
        ValueError: a setting out of its range.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv:1711.05101,
    alg. 2; https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.AdamW([x], lr=0.5, weight_decay=0.2)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x.data.round(6)
    array([0.4, 1.3])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        return self._moments_step(x * (1 - group.lr * group.weight_decay), g, state, group)


class NAdam(Optimizer):
    """Adam with Nesterov momentum, which uses m one step ahead.

        g   = dL/dx + weight_decay x
        m   = beta_1 m + (1 - beta_1) g
        v   = beta_2 v + (1 - beta_2) g^2
        u_t = beta_1 (1 - 0.96^(t momentum_decay) / 2),   P_t = u_1 u_2 ... u_t
        m'  = (1 - u_t) g / (1 - P_t) + u_{t+1} m / (1 - P_{t+1})
        x   = x - lr m' / (sqrt(v / (1 - beta_2^t)) + eps)

    Args:
        params: the Tensors to optimise, or groups of them.
        lr: the learning rate.
        betas: beta_1 and beta_2, the decay rates of the running means.
        eps: keeps the divisor away from 0.
        weight_decay: L2 penalty.
        momentum_decay: how fast u_t rises to beta_1.
        decoupled_weight_decay: subtract lr weight_decay x from x instead, as AdamW does.
        maximize: maximise the loss instead of minimising it.

    Raises:
        ValueError: a setting out of its range.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.NAdam([x], lr=0.1)
    >>> for _ in range(60):
    ...     optimizer.zero_grad()
    ...     (x * x).sum().backward()
    ...     optimizer.step()
    >>> bool((abs(x.data) < 0.1).all())
    True
    """

    betas: tuple[float, float]
    eps: float
    weight_decay: float
    momentum_decay: float
    decoupled_weight_decay: bool
    maximize: bool

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=bool(decoupled_weight_decay),
            maximize=bool(maximize),
        )

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any], group: Any) -> ndarray:
        if group.decoupled_weight_decay:
            x = x * (1 - group.lr * group.weight_decay)
        else:
            g = with_l2_penalty(g, x, group.weight_decay)
        beta_1, beta_2 = group.betas
        t: int = state.get("step", 0) + 1
        u, after = (beta_1 * (1 - 0.5 * 0.96 ** (k * group.momentum_decay)) for k in (t, t + 1))
        product: float = state.get("mu_product", 1.0) * u
        state["step"], state["mu_product"] = t, product
        m = state["exp_avg"] = running_mean(state.get("exp_avg"), g, beta_1)
        v = state["exp_avg_sq"] = running_mean(state.get("exp_avg_sq"), g * g, beta_2)
        divisor = np.sqrt(v / (1 - beta_2**t)) + group.eps
        m_ahead = (1 - u) / (1 - product) * g + after / (1 - product * after) * m
        new: ndarray = x - group.lr * m_ahead / divisor
        return new
