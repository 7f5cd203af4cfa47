"""A recurrent language model, one step of its training, and its score on a text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import ndarray

from .. import nn, ops, optim
from ..graph import no_grad
from ..tensor import Tensor

_layers: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class LanguageModel(nn.Module):
    """A recurrent net that predicts the next id of every stream from the earlier ids.

        x_t = embedding[id_t],   y_t, state_t = recurrent(x_t, state_{t-1}),   logits_t = W y_t + b

    Args:
        vocabulary_size: V.
        embedding_dim: D.
        hidden_size: H.
        num_layers: L, the number of stacked recurrent layers.
        cell: "lstm", "gru" or "rnn".
        dropout: the probability of dropout between layers in training.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Calling it: ``logits, state = model(ids, state)`` with integers ids (T, N) and logits (T, N, V).
    The state is h (L, N, H), for an LSTM the pair (h, c); None means zeros. ``unroll=True`` records
    every time step op by op, for pictures.

    Raises:
        ValueError: the cell is unknown, a size or the dropout is out of its range, or the ids have
            another shape.

    Source: Sutskever, Martens and Hinton, "Generating Text with Recurrent Neural Networks",
    ICML 2011; with LSTMs and dropout between them: Zaremba, Sutskever and Vinyals, "Recurrent
    Neural Network Regularization", arXiv:1409.2329.

    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> logits, (h, c) = model([[0, 1], [2, 3], [4, 0]])
    >>> logits.shape, h.shape
    ((3, 2, 5), (1, 2, 4))
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        cell: str = "lstm",
        dropout: float = 0.0,
        dtype: Any = np.float32,
        rng: nn.init.Seed = None,
    ):
        if cell not in _layers:
            raise ValueError(
                f"LanguageModel: expected cell {' or '.join(map(repr, _layers))}, got {cell!r}"
            )
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim, dtype=dtype, rng=rng)
        self.recurrent = _layers[cell](
            embedding_dim, hidden_size, num_layers, dropout=dropout, dtype=dtype, rng=rng
        )
        self.output = nn.Linear(hidden_size, vocabulary_size, dtype=dtype, rng=rng)

    def forward(self, ids: Any, state: Any = None, *, unroll: bool = False) -> tuple[Tensor, Any]:
        shape = np.shape(ids)
        if len(shape) != 2 or not shape[0]:
            raise ValueError(f"LanguageModel: expected ids (T, N) with T at least 1, got {shape}")
        y, state = self.recurrent(self.embedding(ids), state, unroll=unroll)
        return self.output(y), state


def bits_per_character(model: Any, windows: Iterable[tuple[ndarray, ndarray]]) -> float:
    """The mean of ``-log2 p(next id)`` over a text, with the state carried between windows.

    Shapes: x and y (T, N).

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        windows: pairs (x, y) in order, such as :class:`Streams`.

    Raises:
        ValueError: there are no windows.
    """
    nats, count = total_nats(model, windows)
    if not count:
        raise ValueError("bits_per_character: expected a text, got no windows")
    return nats / count / math.log(2)


def total_nats(model: Any, windows: Iterable[tuple[ndarray, ndarray]]) -> tuple[float, int]:
    """The sum of ``-ln p(next id)`` over a text, and the number of ids.

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        windows: pairs (x, y) of integers (T, N) in order, such as :class:`Streams`.
    """
    state, nats, count = None, 0.0, 0
    with no_grad():
        for x, y in windows:
            logits, state = model(x, state)
            rows = ops.reshape(logits, (y.size, -1))
            nats += nn.cross_entropy(rows, y.reshape(-1), reduction="sum").item()
            count += y.size
    return nats, count


def bptt_step(
    model: Any,
    optimizer: optim.Optimizer,
    window: tuple[ndarray, ndarray],
    state: Any = None,
    *,
    max_norm: float = math.inf,
    teacher_forcing: float = 1.0,
    rng: nn.init.Seed = None,
    share: float = 1.0,
    start: bool = True,
    update: bool = True,
) -> tuple[float, Any]:
    """One step of truncated BPTT: the state is carried between windows, the gradient is not.

        L = -mean over t, n of log p(y[t, n] | x[..t, n], state[n])

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        optimizer: has the model's parameters; makes one step.
        window: (x, y), ids (T, N) and the ids that follow them.
        state: the state that the last call returned; None at the start of the text.
        max_norm: the norm to which gradients are clipped.
        teacher_forcing: the probability that the input at a time step is the id of the text. Other
            inputs are drawn from the prediction of the step before, so the model learns to continue
            from its own mistakes.
        rng: a generator, or a seed for one, for these draws.
        share: a factor for the gradient. If several windows share one optimiser step, this is the
            window's part of it.
        start: whether this is the first of these windows; it clears the old gradients.
        update: whether this is the last of these windows; then the optimiser steps.

    Returns:
        The loss in nats, and the state after the window, without its graph. If the loss is not
        finite, the parameters do not change.

    Raises:
        ValueError: ``teacher_forcing`` is not from 0 to 1.

    Source: Williams and Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", Neural Computation 2 (1990); inputs drawn from predictions
    ("scheduled sampling"): Bengio et al., arXiv:1506.03099.

    >>> import numpy as np
    >>> from tinygrad_rnn import optim
    >>> from tinygrad_rnn.text import Streams
    >>> model = LanguageModel(vocabulary_size=4, embedding_dim=3, hidden_size=8, rng=0)
    >>> optimizer = optim.Adam(model.parameters(), lr=0.1)
    >>> state = None
    >>> for window in Streams(np.arange(200) % 4, batch_size=2, length=5):
    ...     loss, state = bptt_step(model, optimizer, window, state)
    >>> loss < 0.1
    True
    """
    if not 0 <= teacher_forcing <= 1:
        raise ValueError(f"bptt_step: teacher_forcing must be from 0 to 1, got {teacher_forcing}")
    x, y = window
    if teacher_forcing == 1:
        logits, state = model(x, state)
    else:
        logits, state = _scheduled_sampling(
            model, x, state, teacher_forcing, np.random.default_rng(rng)
        )
    loss = nn.cross_entropy(ops.reshape(logits, (y.size, -1)), y.reshape(-1))
    value = float(loss.item())
    if math.isfinite(value):
        if start:
            optimizer.zero_grad()
        loss.backward(share)
        if update:
            optim.clip_grad_norm_(optimizer.params, max_norm)
            optimizer.step()
    return value, detached(state)


def _scheduled_sampling(
    model: Any, x: ndarray, state: Any, teacher_forcing: float, rng: np.random.Generator
) -> tuple[Tensor, Any]:
    outputs: list[Tensor] = []
    ids = x[0]
    for t in range(len(x)):
        if t:
            # The place of the largest logit + Gumbel noise is a draw from the softmax.
            predicted = outputs[-1].numpy()[0]
            drawn = np.argmax(predicted + rng.gumbel(size=predicted.shape), -1)
            ids = np.where(rng.random(drawn.shape) < teacher_forcing, x[t], drawn)
        logits, state = model(ids[None], state)
        outputs.append(logits)
    return ops.concatenate(outputs), state


def detached(state: Any) -> Any:
    """A recurrent state, Tensors of any shapes in nested tuples, without its graph."""
    if isinstance(state, (tuple, list)):
        return tuple(detached(member) for member in state)
    return state.detach() if isinstance(state, Tensor) else state
