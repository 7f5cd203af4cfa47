"""Neural networks: modules, layers, recurrent cells and losses, in PyTorch's meaning and names.

>>> import numpy as np
>>> import tinygrad_rnn as tg
>>> cell, out = tg.nn.LSTMCell(3, 4, rng=0), tg.nn.Linear(4, 2, rng=1)
>>> h, c = cell(np.ones((5, 3)))
>>> loss = tg.nn.cross_entropy(out(h), [0, 1, 0, 1, 0])
>>> loss.backward()
>>> cell.weight_hh.grad.shape
(16, 4)
"""

from . import init
from .attention import Attention
from .cells import GRUCell, LSTMCell, RNNCell
from .layers import Conv2d, Dropout, Embedding, LayerNorm, Linear, Sequential
from .losses import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from .module import Module, Parameter
from .recurrent import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "Conv2d",
    "Dropout",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "Module",
    "Parameter",
    "RNNCell",
    "Sequential",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "init",
    "mse_loss",
]
