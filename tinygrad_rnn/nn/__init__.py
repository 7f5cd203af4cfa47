"""Neural networks: modules, layers, recurrent cells and losses, with PyTorch's names and meaning.

>>> import numpy as np
>>> import tinygrad_rnn as tg
>>> cell, out = tg.nn.LSTMCell(3, 4, rng=0), tg.nn.Linear(4, 2, rng=1)
>>> h, c = cell(np.ones((5, 3)))
>>> loss = tg.nn.cross_entropy(out(h), [0, 1, 0, 1, 0])
>>> loss.backward()
>>> cell.weight_hh.grad.shape
(16, 4)

The files, in reading order:

1. ``module``: Module and Parameter (``hooks`` and ``summary`` help it). ``containers``: modules of
   modules. ``init``: first values. ``checks``: the checks of arguments, ``lengths`` among them.
2. ``layers``, ``activations``, ``normalisation``, ``attention``, ``losses``.
3. ``lstm_step``: the equations of an LSTM. ``cells``: those of RNN and GRU, and all three as
   modules of one time step.
4. ``layered``: what recurrent layers share. ``recurrent``: RNN, LSTM and GRU over a sequence.
   ``lstm_sequence``: a faster LSTM for the NumPy back end. ``utils.rnn``: padding and packing.
5. ``pytorch`` and ``keras``: layers and weights from elsewhere, and back.
"""

from . import init, losses, utils
from .activations import GELU, Flatten, ReLU, Sigmoid, Tanh
from .attention import Attention
from .cells import GRUCell, LSTMCell, RNNCell
from .containers import ModuleDict, ModuleList, Sequential
from .keras import load_keras, to_keras
from .layers import Conv2d, Embedding, Linear
from .losses import *  # noqa: F403
from .module import Module, Parameter
from .normalisation import BatchNorm1d, Dropout, LayerNorm
from .recurrent import GRU, LSTM, RNN
from .utils.rnn import *  # noqa: F403

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "BatchNorm1d",
    "Conv2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "RNNCell",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "init",
    "load_keras",
    "to_keras",
    "utils",
    *losses.__all__,
    *utils.rnn.__all__,
]
