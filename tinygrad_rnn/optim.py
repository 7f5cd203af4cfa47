"""Optimisers: from gradients to better parameters, by PyTorch's formulas.

An optimiser is one formula: ``_new_value(x, g, state)`` gives a parameter's next value from its
value, its gradient and what the optimiser remembers of it. ``step`` rebinds ``.data`` to that
value and never writes into the old array, which a graph may still hold: stepping between a forward
pass and its backward changes no gradient.

Settings are attributes, and a learning rate schedule is a plain function of the step, your own
or one of ``constant_lr``, ``linear_lr`` and ``cosine_lr``:

    for k in range(steps):
        optimizer.lr = cosine_lr(k, 0.01, steps, warmup=100)
        ...

It has no state, so a run that is resumed at step k goes on with the right rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .graph import Value
from .tensor import Tensor

# ── what all optimisers share ────────────────────────────────────────────────────────────


class Optimizer:
    """What all optimisers share; a subclass defines ``_new_value``.

    Args:
        params: the Tensors to optimise, as ``module.parameters()`` gives them.
        **settings: non-negative numbers, kept as attributes.

    Attributes:
        params: the list of parameters.
        state: for each parameter a dict of arrays and numbers, empty before its first step.

    Raises:
        TypeError: ``params`` is one Tensor, or holds something else than Tensors.
        ValueError: there are no parameters, one comes twice or was computed, or a setting is out
            of its range.
    """

    def __init__(self, params: Iterable[Tensor], **settings: Any):
        self.params = _leaves(type(self).__name__, params)
        self.state: list[dict[str, Any]] = [{} for _ in self.params]
        self._settings = tuple(settings)
        for name, value in settings.items():
            setattr(self, name, _setting(type(self).__name__, name, value))

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any]) -> ndarray:
        """The next value of a parameter x with gradient g; ``state`` may be updated."""
        raise NotImplementedError(f"{type(self).__name__} does not define _new_value()")

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for parameter, state in zip(self.params, self.state, strict=True):
            g = parameter.grad
            if g is not None:
                x = parameter.data
                parameter.data = self._new_value(x, g, state).astype(x.dtype, copy=False)

    def zero_grad(self) -> None:
        """Forget the gradients: ``.grad`` of every parameter becomes None."""
        for parameter in self.params:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on, apart from parameters and gradients.

        Returns:
            ``{"settings": {name: value}, "state": {"0": {name: array or number}, ...}}`` with an
            entry for each parameter, by its position; all arrays are copies.
        """
        settings = {name: getattr(self, name) for name in self._settings}
        state = {str(i): _copied(memory) for i, memory in enumerate(self.state)}
        return {"settings": settings, "state": state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from where a :meth:`state_dict` was taken.

        Raises:
            KeyError: it is not the state of such an optimiser.
            ValueError: it belongs to other parameters: their number or a shape differs.
        """
        name = type(self).__name__
        if set(state_dict) != {"settings", "state"}:
            raise KeyError(f"{name}: expected keys 'settings' and 'state', got {[*state_dict]}")
        settings, state = state_dict["settings"], state_dict["state"]
        if set(settings) != set(self._settings):
            raise KeyError(f"{name}: expected settings {[*self._settings]}, got {[*settings]}")
        if set(state) != {str(i) for i in range(len(self.params))}:
            raise ValueError(
                f"{name}: expected the state of {len(self.params)} parameters, got {[*state]}"
            )
        for i, parameter in enumerate(self.params):
            for key, value in state[str(i)].items():
                if np.ndim(value) and np.shape(value) != parameter.shape:
                    raise ValueError(
                        f"{name}: parameter {i} has shape {parameter.shape}, "
                        f"its {key} {np.shape(value)}"
                    )
        checked = {key: _setting(name, key, value) for key, value in settings.items()}
        for key, value in checked.items():
            setattr(self, key, value)
        self.state = [_copied(state[str(i)]) for i in range(len(self.params))]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in self._settings)
        return f"{type(self).__name__}({len(self.params)} parameters, {settings})"


def _leaves(where: str, params: Any) -> list[Tensor]:
    if isinstance(params, Value):
        raise TypeError(f"{where}: expected a list of parameters, got a single Tensor")
    leaves = list(params)
    if not leaves:
        raise ValueError(f"{where}: got no parameters")
    for i, parameter in enumerate(leaves):
        if not isinstance(parameter, Tensor):
            raise TypeError(
                f"{where}: expected Tensors, parameter {i} is {type(parameter).__name__}"
            )
        if parameter.node is not None and not parameter.node.is_leaf:
            raise ValueError(f"{where}: parameter {i} was computed from other tensors")
    if len({id(parameter) for parameter in leaves}) < len(leaves):
        raise ValueError(f"{where}: a parameter comes twice")
    return leaves


def _setting(where: str, name: str, value: Any) -> Any:
    """A setting within its range: switches, decay rates below 1, and non-negative numbers."""
    if name == "betas":
        if len(value) != 2:
            raise ValueError(f"{where}: betas must be two numbers, got {value!r}")
        return tuple(_setting(where, "beta", beta) for beta in value)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    below = 1 if name in ("beta", "alpha") else math.inf
    if not 0 <= value < below:
        bound = "" if below == math.inf else f" and below {below}"
        raise ValueError(f"{where}: {name} must be at least 0{bound}, got {value!r}")
    return float(value)


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value.copy() if isinstance(value, ndarray) and value.ndim else value
        for key, value in state.items()
    }


# ── the optimisers ───────────────────────────────────────────────────────────────────────


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

        g = dL/dx + weight_decay x
        b = momentum b + g                      (b = g at the first step)
        x = x - lr b                            (Nesterov: x - lr (g + momentum b))

    Args:
        params: the Tensors to optimise.
        lr: the learning rate.
        momentum: how much of the last step is kept, mostly 0 or 0.9.
        nesterov: look ahead along the momentum.
        weight_decay: L2 penalty.

    Raises:
        ValueError: Nesterov without momentum, or a negative setting.

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

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        super().__init__(
            params, lr=lr, momentum=momentum, nesterov=bool(nesterov), weight_decay=weight_decay
        )

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any]) -> ndarray:
        g = _decayed(g, x, self.weight_decay)
        if self.momentum:
            before = state.get("momentum_buffer")
            b = state["momentum_buffer"] = (
                np.array(g) if before is None else self.momentum * before + g
            )
            g = g + self.momentum * b if self.nesterov else b
        return x - self.lr * g


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

        g = dL/dx + weight_decay x
        s = s + g^2                             (s = initial_accumulator_value at first)
        x = x - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)         at step t = 1, 2, ...

    Args:
        params: the Tensors to optimise.
        lr: the learning rate.
        lr_decay: how fast it falls.
        weight_decay: L2 penalty.
        initial_accumulator_value: where s starts.
        eps: keeps the divisor away from 0.

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

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ):
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
        )

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any]) -> ndarray:
        g = _decayed(g, x, self.weight_decay)
        t: int = state.get("step", 0) + 1
        state["step"] = t
        s = state["sum"] = state.get("sum", self.initial_accumulator_value) + g * g
        new: ndarray = x - self.lr / (1 + (t - 1) * self.lr_decay) * g / (np.sqrt(s) + self.eps)
        return new


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of squared gradients.

        g = dL/dx + weight_decay x
        s = alpha s + (1 - alpha) g^2
        m = alpha m + (1 - alpha) g             (only where centered; else m = 0)
        d = g / (sqrt(s - m^2) + eps)
        b = momentum b + d
        x = x - lr b

    Args:
        params: the Tensors to optimise.
        lr: the learning rate.
        alpha: how slowly the running mean moves.
        eps: keeps the divisor away from 0.
        weight_decay: L2 penalty.
        momentum: how much of the last step is kept.
        centered: divide by the standard deviation instead.

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

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=bool(centered),
        )

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any]) -> ndarray:
        g = _decayed(g, x, self.weight_decay)
        variance = state["square_avg"] = _moved(state.get("square_avg"), g * g, self.alpha)
        if self.centered:
            mean = state["grad_avg"] = _moved(state.get("grad_avg"), g, self.alpha)
            variance = np.maximum(variance - mean * mean, 0)  # below 0 by rounding only
        d: ndarray = g / (np.sqrt(variance) + self.eps)
        if self.momentum:
            d = state["momentum_buffer"] = self.momentum * state.get("momentum_buffer", 0.0) + d
        return x - self.lr * d


class Adam(Optimizer):
    """Steps of about lr: a running mean of gradients over the root of that of their squares.

        g = dL/dx + weight_decay x
        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        x = x - lr m' / (sqrt(v') + eps),   m' = m / (1 - beta_1^t),   v' = v / (1 - beta_2^t)

    m' and v' correct for m and v having started from 0; t = 1, 2, ... counts the steps.

    Args:
        params: the Tensors to optimise.
        lr: the learning rate.
        betas: beta_1 and beta_2, how slowly the running means move.
        eps: keeps the divisor away from 0.
        weight_decay: L2 penalty.

    Raises:
        ValueError: a setting out of its range.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, alg. 1;
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

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any]) -> ndarray:
        return self._moments_step(x, _decayed(g, x, self.weight_decay), state)

    def _moments_step(self, x: ndarray, g: ndarray, state: dict[str, Any]) -> ndarray:
        beta_1, beta_2 = self.betas
        t: int = state.get("step", 0) + 1
        state["step"] = t
        m: ndarray = _moved(state.get("exp_avg"), g, beta_1)
        v: ndarray = _moved(state.get("exp_avg_sq"), g * g, beta_2)
        state["exp_avg"], state["exp_avg_sq"] = m, v
        divisor = np.sqrt(v) / math.sqrt(1 - beta_2**t) + self.eps
        new: ndarray = x - self.lr / (1 - beta_1**t) * m / divisor
        return new


class AdamW(Adam):
    """Adam whose weight decay is a step of its own, not part of the gradient.

        x = x - lr weight_decay x
        x = x - lr m' / (sqrt(v') + eps)        with Adam's m' and v' of g = dL/dx

    Args:
        params: the Tensors to optimise.
        lr: the learning rate.
        betas: beta_1 and beta_2, how slowly the running means move.
        eps: keeps the divisor away from 0.
        weight_decay: the part of x that each step takes off, times lr.

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
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)

    def _new_value(self, x: ndarray, g: ndarray, state: dict[str, Any]) -> ndarray:
        return self._moments_step(x * (1 - self.lr * self.weight_decay), g, state)


def _decayed(g: ndarray, x: ndarray, weight_decay: float) -> ndarray:
    return g + weight_decay * x if weight_decay else g


def _moved(mean: ndarray | None, x: ndarray, slowness: float) -> ndarray:
    """A running mean that started from 0, moved towards x."""
    step = (1 - slowness) * x
    return step if mean is None else slowness * mean + step


# ── clipping ─────────────────────────────────────────────────────────────────────────────


def clip_grad_norm_(params: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their norm is at most ``max_norm``.

        n = sqrt(sum of all squared gradients),    g = g min(1, max_norm / (n + 1e-6))

    The direction stays. It keeps one steep step from throwing a recurrent net far away.

    Args:
        params: Tensors; those without a gradient do not count.
        max_norm: the bound.

    Returns:
        n, the norm before. Where it is infinite, Inf becomes NaN and the rest 0; NaN makes all NaN.

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
    # In float64: the squares of float32 overflow from 2e19 on.
    norm = math.sqrt(sum(float(np.sum(np.square(g, dtype=np.float64))) for _, g in live))
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:
        for p, g in live:
            with np.errstate(invalid="ignore"):
                p.grad = g * factor
    return norm


def clip_grad_value_(params: Tensor | Iterable[Tensor], value: float) -> None:
    """Limit every element of every gradient to ``-value ... value``.

    Args:
        params: Tensors; those without a gradient do not count.
        value: the bound.

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
    given = [params] if isinstance(params, Tensor) else params
    return [(p, p.grad) for p in given if p.grad is not None]


# ── learning rates ───────────────────────────────────────────────────────────────────────


def constant_lr(step: int, lr: float, warmup: int = 0) -> float:
    """The learning rate at a step: lr, after a warm-up.

        lr_k = lr (k + 1) / warmup              for k < warmup
        lr_k = lr                               after

    Args:
        step: k, from 0.
        lr: the learning rate.
        warmup: how many steps it takes to get there.

    Raises:
        ValueError: a negative argument.

    >>> [constant_lr(k, 1.0, warmup=4) for k in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    _not_negative("constant_lr", step=step, lr=lr, warmup=warmup)
    return lr * (step + 1) / warmup if step < warmup else lr


def linear_lr(step: int, lr: float, steps: int, warmup: int = 0, final_lr: float = 0.0) -> float:
    """The learning rate at a step: after a warm-up, down to ``final_lr`` along a line.

        lr_k = lr (k + 1) / warmup              for k < warmup
        lr_k = (1 - p) lr + p final_lr          after, p = (k - warmup) / (steps - warmup)

    From ``k = steps`` on it stays ``final_lr``.

    Args:
        step: k, from 0.
        lr: the highest learning rate.
        steps: of the whole training, warm-up included.
        warmup: how many steps it takes to get to lr.
        final_lr: the lowest, at the end.

    Raises:
        ValueError: a negative argument, or a warm-up that is not shorter than ``steps``.

    >>> [linear_lr(k, 1.0, steps=4) for k in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    p = _progress("linear_lr", step, lr, steps, warmup, final_lr)
    return lr * (step + 1) / warmup if p < 0 else (1 - p) * lr + p * final_lr


def cosine_lr(step: int, lr: float, steps: int, warmup: int = 0, final_lr: float = 0.0) -> float:
    """The learning rate at a step: after a warm-up, down to ``final_lr`` along half a cosine.

        lr_k = lr (k + 1) / warmup              for k < warmup
        lr_k = s lr + (1 - s) final_lr          after, s = (1 + cos(pi p)) / 2,
                                                p = (k - warmup) / (steps - warmup)

    From ``k = steps`` on it stays ``final_lr``.

    Args:
        step: k, from 0.
        lr: the highest learning rate.
        steps: of the whole training, warm-up included.
        warmup: how many steps it takes to get to lr.
        final_lr: the lowest, at the end.

    Raises:
        ValueError: a negative argument, or a warm-up that is not shorter than ``steps``.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    arXiv:1608.03983, eq. 5 (without restarts); warm-up: Goyal et al., "Accurate, Large Minibatch
    SGD", arXiv:1706.02677, sec. 2.2.

    >>> [round(cosine_lr(k, 1.0, steps=4), 4) for k in range(6)]
    [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]
    """
    p = _progress("cosine_lr", step, lr, steps, warmup, final_lr)
    if p < 0:
        return lr * (step + 1) / warmup
    s = (1 + math.cos(math.pi * p)) / 2
    return s * lr + (1 - s) * final_lr


def warmup(step: int, lr: float, steps: int) -> float:
    """The learning rate at a step: up to lr along a line, and then lr.

        lr_k = lr (k + 1) / steps               for k < steps
        lr_k = lr                               after

    Args:
        step: k, from 0.
        lr: the learning rate.
        steps: how many it takes to get there.

    Raises:
        ValueError: a negative argument.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv:1706.02677, sec. 2.2.

    >>> [warmup(k, 1.0, steps=4) for k in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    _not_negative("warmup", step=step, lr=lr, steps=steps)
    return lr * (step + 1) / steps if step < steps else lr


def reduce_on_plateau(
    measured: Sequence[float],
    lr: float,
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    cooldown: int = 0,
    min_lr: float = 0.0,
    *,
    mode: str = "min",
    threshold_mode: str = "rel",
    eps: float = 1e-8,
) -> float:
    """The learning rate after some measurements: smaller whenever they are stuck.

    A measurement is better if it is below ``best (1 - threshold)``; after more than ``patience``
    in a row that are not, the rate is multiplied by ``factor``.

    Args:
        measured: what was measured so far, held-out losses for one, oldest first.
        lr: the learning rate at first.
        factor: below 1.
        patience: how many measurements may fail to be better.
        threshold: how much better they have to be.
        cooldown: how many measurements after a reduction do not count.
        min_lr: the lowest rate.
        mode: "min" if low is good, "max" if high is.
        threshold_mode: "rel", or "abs" for ``best - threshold``.
        eps: a reduction by no more than this is not made.

    Raises:
        ValueError: a number out of its range, or an unknown mode.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html

    >>> losses = [3.0, 2.0, 2.0, 2.0, 2.0, 1.0]
    >>> [reduce_on_plateau(losses[:k], 1.0, factor=0.5, patience=1) for k in range(7)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    """
    _not_negative("reduce_on_plateau", lr=lr, patience=patience, cooldown=cooldown, min_lr=min_lr)
    if not 0 <= factor < 1:
        raise ValueError(f"reduce_on_plateau: factor must be at least 0 and below 1, got {factor}")
    if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
        raise ValueError(
            "reduce_on_plateau: expected mode 'min' or 'max' and threshold_mode 'rel' or 'abs', "
            f"got {mode!r} and {threshold_mode!r}"
        )
    sign = 1.0 if mode == "min" else -1.0
    best, bad, cooling = math.inf, 0, 0
    for measurement in measured:
        value = sign * measurement
        margin = abs(best) * threshold if threshold_mode == "rel" else threshold
        # The first one is better than nothing, which has no margin: inf - inf is NaN.
        if value < (best - margin if best < math.inf else best):
            best, bad = value, 0
        else:
            bad += 1
        if cooling:
            cooling, bad = cooling - 1, 0
        if bad > patience:
            lower = max(lr * factor, min_lr)
            lr = lower if lr - lower > eps else lr
            cooling, bad = cooldown, 0
    return lr


def _progress(where: str, step: int, lr: float, steps: int, warmup: int, final_lr: float) -> float:
    """How much of the decay is over: from 0 to 1, below 0 during the warm-up."""
    _not_negative(where, step=step, lr=lr, warmup=warmup, final_lr=final_lr)
    if not steps > warmup:
        raise ValueError(f"{where}: expected more steps than the warm-up's {warmup}, got {steps}")
    return min((step - warmup) / (steps - warmup), 1.0)


def _not_negative(where: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if not number >= 0:
            raise ValueError(f"{where}: {name} must be at least 0, got {number!r}")


__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant_lr",
    "cosine_lr",
    "linear_lr",
    "reduce_on_plateau",
    "warmup",
]
