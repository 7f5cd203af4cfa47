"""A recurrent language model, one step of its training, and how well it predicts a text."""

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
    """A recurrent net that predicts the next id of every stream from those before it.

        x_t = embedding[id_t],   y_t, state_t = recurrent(x_t, state_{t-1}),   logits_t = W y_t + b

    Args:
        vocabulary_size: V.
        embedding_dim: D.
        hidden_size: H.
        num_layers: L, how many recurrent layers lie upon each other.
        cell: "lstm", "gru" or "rnn".
        dropout: a probability, between layers while training.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Calling it: ``logits, state = model(ids, state)`` with integers ids (T, N); logits (T, N, V);
    the state is h (L, N, H), for an LSTM the pair (h, c), zeros where it is None.
    ``unroll=True`` records every step op by op, for pictures.

    Raises:
        ValueError: there is no such cell; a size or the dropout is out of range; ids of another
            shape.

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
    """How well a model predicts a text: the mean of ``-log2 p(next id)``, state carried along.

    Shapes: x and y (T, N).

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        windows: pairs (x, y) in order, as :class:`Streams` gives them.

    Raises:
        ValueError: there are no windows.
    """
    nats, count = total_nats(model, windows)
    if not count:
        raise ValueError("bits_per_character: expected a text, got no windows")
    return nats / count / math.log(2)


def total_nats(model: Any, windows: Iterable[tuple[ndarray, ndarray]]) -> tuple[float, int]:
    """The sum of ``-ln p(next id)`` over a text, and how many ids that are.

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        windows: pairs (x, y) of integers (T, N) in order, as :class:`Streams` gives them.
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
    """One step of truncated BPTT: the state goes on from window to window, the gradient does not.

        L = -mean over t, n of log p(y[t, n] | x[..t, n], state[n])

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        optimizer: of the model's parameters; makes one step.
        window: (x, y), ids (T, N) and those that follow them.
        state: what the step before returned; None at the beginning of the text.
        max_norm: the norm that gradients are clipped to.
        teacher_forcing: the probability with which the input at a step is the text's own id. The
            others are drawn from what the model predicted at the step before, so that it learns
            to go on from its own mistakes.
        rng: a generator, or a seed for one, for those draws.
        share: what the gradient is multiplied by: the window's part of a step that several windows
            make together.
        start: whether it is the first of these windows, so that older gradients are forgotten.
        update: whether it is the last, so that the optimiser steps.

    Returns:
        The loss, in nats, and the state after the window, as constants. Where the loss is not a
        finite number the parameters stay as they are.

    Raises:
        ValueError: ``teacher_forcing`` is not from 0 to 1.

    Source: Williams and Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", Neural Computation 2 (1990); own inputs ("scheduled
    sampling"): Bengio et al., arXiv:1506.03099.

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
        logits, state = _partly_forced(model, x, state, teacher_forcing, np.random.default_rng(rng))
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


def _partly_forced(
    model: Any, x: ndarray, state: Any, teacher_forcing: float, rng: np.random.Generator
) -> tuple[Tensor, Any]:
    outputs: list[Tensor] = []
    ids = x[0]
    for t in range(len(x)):
        if t:
            # The largest logit with Gumbel noise is a draw from their softmax.
            predicted = outputs[-1].numpy()[0]
            own = np.argmax(predicted + rng.gumbel(size=predicted.shape), -1)
            ids = np.where(rng.random(own.shape) < teacher_forcing, x[t], own)
        logits, state = model(ids[None], state)
        outputs.append(logits)
    return ops.concatenate(outputs), state


def detached(state: Any) -> Any:
    """A recurrent state, Tensors in nested tuples, as constants: no gradient passes."""
    if isinstance(state, (tuple, list)):
        return tuple(detached(member) for member in state)
    return state.detach() if isinstance(state, Tensor) else state
