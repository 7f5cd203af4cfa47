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
from .cells import GRUCell, LSTMCell, RNNCell
from .layers import Embedding, Linear
from .losses import cross_entropy
from .module import Module, Parameter
from .recurrent import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "Linear",
    "Module",
    "Parameter",
    "RNNCell",
    "cross_entropy",
    "init",
]
