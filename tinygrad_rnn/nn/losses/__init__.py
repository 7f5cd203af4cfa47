"""Losses: how far a prediction is from its target, as functions and as modules.

``numbers`` (``mse_loss`` and others), ``binary``, ``classes`` and ``ctc`` have the functions, by
the kind of target. ``modules`` has the modules. ``reduction`` has the checks and the mean.
"""

from .binary import binary_cross_entropy, binary_cross_entropy_with_logits
from .classes import cross_entropy, nll_loss
from .ctc import ctc_loss
from .modules import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
)
from .numbers import huber_loss, l1_loss, mse_loss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "ctc_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "nll_loss",
]
