"""Optimisers: from gradients to better parameters, by PyTorch's formulas.

An optimiser is one formula. ``_new_value(x, g, state, group)`` computes the next value of a
parameter from its value, its gradient, the optimiser's state for it, and the settings of its group.
``step`` rebinds ``.data`` to this value and never writes into the old array. A graph may still hold
the old array, so a step between a forward pass and its backward pass changes no gradient.

Settings are attributes. A learning rate schedule is a plain function of the step, your own or one
of ``schedules``:

    for k in range(steps):
        optimizer.lr = cosine(k, 0.01, steps, warmup=100)
        ...

``optimizer`` has what all share: the groups, ``step``, the state. ``sgd``, ``adaptive``, ``adam``
and ``lbfgs`` have the formulas. ``clipping`` limits large gradients.
"""

from .adam import Adam, AdamW, NAdam
from .adaptive import Adagrad, RMSprop
from .clipping import clip_grad_norm_, clip_grad_value_
from .lbfgs import LBFGS
from .optimizer import Optimizer
from .schedules import (
    constant_lr,
    cosine,
    cosine_lr,
    linear_lr,
    one_cycle,
    reduce_on_plateau,
    warmup,
)
from .sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm_",
    "clip_grad_value_",
    "constant_lr",
    "cosine",
    "cosine_lr",
    "linear_lr",
    "one_cycle",
    "reduce_on_plateau",
    "warmup",
]
