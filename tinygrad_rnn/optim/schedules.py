"""Learning rates as plain functions of the step.

They have no state, so a run that is resumed at step k continues with the right rate. If parameter
groups have different rates, schedule each group separately:

    for group, lr in zip(optimizer.param_groups, rates):
        group["lr"] = cosine(k, lr, steps)
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def constant_lr(step: int, lr: float, warmup: int = 0) -> float:
    """The learning rate at a step: lr, after a warm-up.

        lr_k = lr (k + 1) / warmup              for k < warmup
        lr_k = lr                               after

    Args:
        step: k, from 0.
        lr: the learning rate.
        warmup: the number of warm-up steps.

    Raises:
        ValueError: a negative argument.

    >>> [constant_lr(k, 1.0, warmup=4) for k in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    _not_negative("constant_lr", step=step, lr=lr, warmup=warmup)
    return lr * (step + 1) / warmup if step < warmup else lr


def linear_lr(step: int, lr: float, steps: int, warmup: int = 0, final_lr: float = 0.0) -> float:
    """The learning rate at a step: a warm-up, then a straight line down to ``final_lr``.

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
    """The learning rate at a step: a warm-up, then half a cosine down to ``final_lr``.

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
    """The learning rate at a step: a straight line up to lr, then lr.

        lr_k = lr (k + 1) / steps               for k < steps
        lr_k = lr                               after

    Args:
        step: k, from 0.
        lr: the learning rate.
        steps: the number of warm-up steps.

    Raises:
        ValueError: a negative argument.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv:1706.02677, sec. 2.2.

    >>> [warmup(k, 1.0, steps=4) for k in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return constant_lr(step, lr, warmup=steps)


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
    """The learning rate after some measurements: reduced each time they stop improving.

    A measurement is better if it is below ``best (1 - threshold)``, or with "max" above
    ``best (1 + threshold)``. After more than ``patience`` measurements in a row that are not
    better, the rate is multiplied by ``factor``.

    Args:
        measured: the measurements so far, such as held-out losses, oldest first.
        lr: the initial learning rate.
        factor: of each reduction, below 1.
        patience: how many measurements in a row may fail to be better.
        threshold: how much better a measurement must be.
        cooldown: how many measurements after a reduction are not counted.
        min_lr: the lowest rate.
        mode: "min" if low is good, "max" if high is good.
        threshold_mode: "rel", or "abs" for ``best - threshold``.
        eps: a reduction by no more than eps is skipped.

    Raises:
        ValueError: a number is out of its range, or a mode is unknown.

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
        bound = best * (1 - sign * threshold) if threshold_mode == "rel" else best - threshold
        if value < bound:
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


#: Another name of :func:`cosine_lr`.
cosine = cosine_lr


def one_cycle(
    step: int,
    lr: float,
    steps: int,
    pct_start: float = 0.3,
    anneal: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> float:
    """The learning rate at a step: up to lr, then down to almost 0.

        from lr / div_factor up to lr                                   for pct_start of the steps
        from lr down to lr / (div_factor final_div_factor)              after

    With ``three_phase`` it first goes down to ``lr / div_factor``, for another pct_start of the
    steps, and then to the end. From ``k = steps - 1`` on it stays at the lowest rate. PyTorch's
    OneCycleLR also changes the momentum by default; this function does not.

    Args:
        step: k, from 0.
        lr: the highest learning rate.
        steps: of the whole training.
        pct_start: the part of the steps that go up, from 0 to 1.
        anneal: "cos" for half a cosine each way, "linear" for straight lines.
        div_factor: lr divided by the initial rate.
        final_div_factor: the initial rate divided by the final one.
        three_phase: whether the way down has two parts.

    Raises:
        ValueError: a negative argument, ``steps`` below 1, or an unknown ``anneal``.

    Source: Smith and Topin, "Super-Convergence", arXiv:1708.07120;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html

    >>> [round(one_cycle(k, 1.0, steps=11, pct_start=0.4), 3) for k in (0, 3, 10)]
    [0.04, 0.968, 0.0]
    """
    where = "one_cycle"
    _not_negative(where, step=step, lr=lr, div_factor=div_factor, final_div_factor=final_div_factor)
    if not (steps >= 1 and div_factor > 0 and final_div_factor > 0 and 0 <= pct_start <= 1):
        raise ValueError(
            f"{where}: expected at least 1 step, factors above 0 and pct_start from 0 to 1, got "
            f"{steps}, {div_factor}, {final_div_factor} and {pct_start}"
        )
    if anneal not in ("cos", "linear"):
        raise ValueError(f"{where}: expected anneal 'cos' or 'linear', got {anneal!r}")
    low = lr / div_factor
    up = pct_start * steps - 1
    phases = [(up, low, lr)]
    if three_phase:
        phases.append((2 * up, lr, low))
    phases.append((steps - 1, lr if len(phases) == 1 else low, low / final_div_factor))
    start = 0.0
    for end, before, after in phases:
        if step <= end or end == steps - 1:
            # A phase of length 0 is already over.
            p = min((step - start) / (end - start), 1.0) if end > start else 1.0
            share = (1 + math.cos(math.pi * p)) / 2 if anneal == "cos" else 1 - p
            return share * before + (1 - share) * after
        start = end
    raise AssertionError("the last phase has no end")


def _progress(where: str, step: int, lr: float, steps: int, warmup: int, final_lr: float) -> float:
    """The part of the decay that is over, from 0 to 1; below 0 during the warm-up."""
    _not_negative(where, step=step, lr=lr, warmup=warmup, final_lr=final_lr)
    if not steps > warmup:
        raise ValueError(f"{where}: expected steps above the {warmup} of the warm-up, got {steps}")
    return min((step - warmup) / (steps - warmup), 1.0)


def _not_negative(where: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if not number >= 0:
            raise ValueError(f"{where}: {name} must be at least 0, got {number!r}")
