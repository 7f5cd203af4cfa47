"""A sequence in, another one out: encoder, decoder and, if wanted, attention between them.

What e30_addition and e31_dates share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from common import descend
from tinygrad_rnn.text import Vocabulary

Batch = tuple[np.ndarray, np.ndarray, np.ndarray | None]


class Seq2seq(tg.nn.Module):
    """Read a sequence of symbols, then write one of L symbols.

        encoder     h_t, c_t = LSTM(E x_t, h_{t-1}, c_{t-1})        t = 1..T
        decoder     s_k, d_k = LSTM(D y_{k-1}, s_{k-1}, d_{k-1})    k = 1..L; s_0, d_0 = h_T, c_T
        y_k         ~ softmax(V s_k)

    All that the decoder knows of the input is what h_T and c_T hold. With attention it looks at all
    h_t again before each symbol:

        e_kt        = s_k . W h_t / sqrt(hidden)
        a_kt        = exp(e_kt) / sum_r exp(e_kr)
        y_k         ~ softmax(V tanh(U [s_k, sum_t a_kt h_t]))

    E and D embed each symbol in 32 numbers. Both LSTMs begin with a forget bias of 1.

    Args:
        inputs: how many symbols there are to read.
        outputs: how many to write.
        length: L.
        hidden: the length of h_t and s_k.
        attention: whether it looks at the h_t again.
        rng: a generator.

    Source: Sutskever, Vinyals and Le, arXiv:1409.3215; attention: Luong, Pham and Manning,
    arXiv:1508.04025, eq. 5 to 8; divided by sqrt(hidden): Vaswani et al., arXiv:1706.03762, eq. 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        length: int,
        hidden: int,
        attention: bool,
        rng: np.random.Generator,
    ):
        self.length, self.start = length, outputs  # before y_1 stands a symbol of its own
        self.read = tg.nn.Embedding(inputs, 32, rng=rng)
        self.write = tg.nn.Embedding(outputs + 1, 32, rng=rng)
        self.encoder, self.decoder = (tg.nn.LSTM(32, hidden, rng=rng) for _ in range(2))
        for lstm in (self.encoder, self.decoder):
            lstm.bias_ih_l0.data = tg.nn.init.forget_bias(4 * hidden)
        self.out = tg.nn.Linear(hidden, outputs, rng=rng)
        self.attention = None
        if attention:  # drawn last: all before is the same with and without
            self.join = tg.nn.Linear(2 * hidden, hidden, rng=rng)
            self.attention = tg.nn.Attention(hidden, kind="general", scaled=True, rng=rng)

    def forward(self, x: np.ndarray, lengths: Any, y: np.ndarray) -> tg.Tensor:
        """Teacher forcing: the scores (L, N, outputs) of every y_k, given the true ones before it.

        Args:
            x: (T, N) ids.
            lengths: (N,), how many of them to read; None for all.
            y: (L, N) ids.
        """
        memory, state = self.encoder(self.read(x), lengths=lengths)
        before = np.concatenate([np.full_like(y[:1], self.start), y[:-1]])
        scores, _, _ = self.decoded(before, state, memory, lengths)
        return scores

    def answer(self, x: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Its own y (L, N), at each step the likeliest; and a (L, N, T), None without attention."""
        with tg.no_grad():
            memory, state = self.encoder(self.read(x), lengths=lengths)
            y, looks = np.full((1, x.shape[1]), self.start), []
            answer = []
            for _ in range(self.length):
                scores, a, state = self.decoded(y, state, memory, lengths)
                y = scores.data.argmax(-1)
                answer.append(y)
                looks += [] if a is None else [a.data]
        return np.concatenate(answer), np.concatenate(looks) if self.attention else None

    def decoded(
        self, before: np.ndarray, state: Any, memory: tg.Tensor, lengths: Any
    ) -> tuple[tg.Tensor, Any, Any]:
        """The scores after some symbols (K, N), where it looked (K, N, T), and the state then."""
        s, state = self.decoder(self.write(before), state)
        if self.attention is None:
            return self.out(s), None, state
        queries, keys = (tg.swapaxes(h, 0, 1) for h in (s, memory))  # (N, K, H), (N, T, H)
        context, a = self.attention(queries, keys, lengths=lengths)
        s = tg.tanh(self.join(tg.concatenate([s, tg.swapaxes(context, 0, 1)], -1)))
        return self.out(s), tg.swapaxes(a, 0, 1), state


def train(
    model: Seq2seq,
    batch: Callable[[], Batch],
    steps: int,
    lr: float,
    test: Batch,
    every: int,
) -> list[tuple[int, float]]:
    """Adam with a rate that falls along half a cosine, gradients clipped to a norm of 1.

    Args:
        model: of the parameters.
        batch: gives inputs (T, N), their lengths (N,) or None, and answers (L, N).
        steps: how many.
        lr: the rate at first.
        test: another batch.
        every: after how many steps each it is answered.

    Returns:
        Pairs of how many steps were made, and the percentage of ``test`` that is exact then.
    """

    def loss() -> tg.Tensor:
        x, lengths, y = batch()
        scores = model(x, lengths, y)
        return tg.nn.cross_entropy(scores.reshape(-1, scores.shape[-1]), y.reshape(-1))

    return descend(model, loss, steps, lr, lambda: 100 * float(exact(model, test).mean()), every)


def columns(symbols: Vocabulary, texts: Sequence[str]) -> np.ndarray:
    """Texts of equal length as ids (T, N), one to a column."""
    return symbols.encode("".join(texts)).reshape(len(texts), -1).T


def exact(model: Seq2seq, test: Batch) -> np.ndarray:
    """Which of the answers (N,) are right in every symbol."""
    x, lengths, y = test
    right: np.ndarray = (model.answer(x, lengths)[0] == y).all(0)
    return right
