"""The model of e30_addition and e31_dates: encoder, decoder and, as an option, attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.text import Vocabulary

#: Inputs (T, N), their lengths (N,) or None, and answers (L, N).
Batch = tuple[np.ndarray, np.ndarray | None, np.ndarray]
#: Pairs of a training step and the percentage of exact answers.
Curve = list[tuple[int, float]]


class Seq2seq(tg.nn.Module):
    """Read a sequence of symbols, then write L symbols.

        encoder     h_t, c_t = LSTM(E x_t, h_{t-1}, c_{t-1})        t = 1..T
        decoder     s_k, d_k = LSTM(D y_{k-1}, s_{k-1}, d_{k-1})    k = 1..L; s_0, d_0 = h_T, c_T
        y_k         ~ softmax(V s_k)

    Without attention the decoder gets only h_T and c_T. With attention it also reads all h_t before
    it writes a symbol:

        e_kt        = s_k . W h_t / sqrt(hidden)
        a_kt        = exp(e_kt) / sum_r exp(e_kr)
        y_k         ~ softmax(V tanh(U [s_k, sum_t a_kt h_t]))

    E and D embed each symbol in 32 numbers. The forget bias of both LSTMs starts at 1.

    Args:
        inputs: the number of input symbols.
        outputs: the number of output symbols.
        length: L.
        hidden: the hidden size of both LSTMs.
        attention: whether the decoder has attention.
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
        self.length, self.start = length, outputs  # the symbol before y_1 has an id of its own
        self.read = tg.nn.Embedding(inputs, 32, rng=rng)
        self.write = tg.nn.Embedding(outputs + 1, 32, rng=rng)
        self.encoder, self.decoder = (tg.nn.LSTM(32, hidden, rng=rng) for _ in range(2))
        for lstm in (self.encoder, self.decoder):
            lstm.bias_ih_l0.data = tg.nn.init.forget_bias(4 * hidden)
        self.out = tg.nn.Linear(hidden, outputs, rng=rng)
        self.attention = None
        # Drawn last, so that all other weights are the same with and without attention.
        if attention:
            self.join = tg.nn.Linear(2 * hidden, hidden, rng=rng)
            self.attention = tg.nn.Attention(hidden, kind="general", scaled=True, rng=rng)

    def forward(self, x: np.ndarray, lengths: Any, y: np.ndarray) -> tg.Tensor:
        """Return the scores (L, N, outputs) of every y_k, given the true y before it.

        Feeding the true symbols is called teacher forcing.

        Args:
            x: (T, N) ids.
            lengths: (N,), the number of ids to read; None for all.
            y: (L, N) ids.
        """
        memory, state = self.encoder(self.read(x), lengths=lengths)
        before = np.concatenate([np.full_like(y[:1], self.start), y[:-1]])
        scores, _, _ = self.decoded(before, state, memory, lengths)
        return scores

    def answer(self, x: np.ndarray, lengths: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Write the likeliest symbol at each step, and feed it back.

        Returns:
            The ids (L, N), and the attention weights a (L, N, T) or None.
        """
        with tg.no_grad():
            memory, state = self.encoder(self.read(x), lengths=lengths)
            y, weights = np.full((1, x.shape[1]), self.start), []
            answer = []
            for _ in range(self.length):
                scores, a, state = self.decoded(y, state, memory, lengths)
                y = scores.data.argmax(-1)
                answer.append(y)
                weights += [] if a is None else [a.data]
        return np.concatenate(answer), np.concatenate(weights) if self.attention else None

    def decoded(
        self, before: np.ndarray, state: Any, memory: tg.Tensor, lengths: Any
    ) -> tuple[tg.Tensor, Any, Any]:
        """Run the decoder over the symbols y_{k-1} (K, N).

        Returns:
            The scores of y_k, the attention weights (K, N, T) or None, and the new state.
        """
        s, state = self.decoder(self.write(before), state)
        if self.attention is None:
            return self.out(s), None, state
        queries, keys = (tg.swapaxes(h, 0, 1) for h in (s, memory))  # (N, K, H), (N, T, H)
        context, a = self.attention(queries, keys, lengths=lengths)
        s = tg.tanh(self.join(tg.concatenate([s, tg.swapaxes(context, 0, 1)], -1)))
        return self.out(s), tg.swapaxes(a, 0, 1), state


def columns(symbols: Vocabulary, texts: Sequence[str]) -> np.ndarray:
    """Encode texts of equal length as ids (T, N), one text in each column."""
    return symbols.encode("".join(texts)).reshape(len(texts), -1).T


def exact(model: Seq2seq, test: Batch) -> np.ndarray:
    """Return for each answer (N,) whether every symbol is right."""
    x, lengths, y = test
    right: np.ndarray = (model.answer(x, lengths)[0] == y).all(0)
    return right
