"""PyTorch's tutorial "Translation with a sequence to sequence network and attention".

The original: https://docs.pytorch.org/tutorials/intermediate/seq2seq_translation_tutorial.html.
A GRU reads a sentence. Another GRU writes the translation, and reads the states of the first one by
Bahdanau's attention before each word. A small grammar makes the sentences. In French the adjective
comes after the noun.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.data import DataLoader

SOS, EOS = 0, 1
MAX_LENGTH = 8
NOUNS = {"cat": "chat", "dog": "chien", "bird": "oiseau", "house": "logis", "book": "livre"}
ADJECTIVES = {"black": "noir", "small": "menu", "green": "vert", "slow": "lent"}
VERBS = {"sees": "voit", "finds": "trouve", "wants": "veut", "loves": "aime"}


def sentences() -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Return all pairs as ids (pairs, MAX_LENGTH), padded with EOS, and the words of both."""
    english = ["SOS", "EOS", "the", *NOUNS, *ADJECTIVES, *VERBS]
    french = ["SOS", "EOS", "le", *NOUNS.values(), *ADJECTIVES.values(), *VERBS.values()]
    source, target = [], []
    for subject in NOUNS:
        for adjective in ADJECTIVES:
            for verb in VERBS:
                for thing in NOUNS:
                    source.append(f"the {adjective} {subject} {verb} the {thing}")
                    target.append(
                        f"le {NOUNS[subject]} {ADJECTIVES[adjective]} {VERBS[verb]} le "
                        f"{NOUNS[thing]}"
                    )

    def ids(lines: list[str], words: list[str]) -> np.ndarray:
        table = np.full((len(lines), MAX_LENGTH), EOS)
        for i, line in enumerate(lines):
            known = [words.index(word) for word in line.split()]
            table[i, : len(known)] = known
        return table

    return ids(source, english), ids(target, french), english, french


class EncoderRNN(nn.Module):
    """Embedding, dropout and a GRU: ids (N, T) -> outputs (N, T, H) and the state (1, N, H)."""

    def __init__(
        self, words: int, hidden: int, dropout: float = 0.1, *, dtype: Any = np.float32, rng: Any
    ):
        self.embedding = nn.Embedding(words, hidden, dtype=dtype, rng=rng)
        self.gru = nn.GRU(hidden, hidden, batch_first=True, dtype=dtype, rng=rng)
        self.dropout = nn.Dropout(dropout, rng=rng)

    def forward(self, ids: Any) -> tuple[tg.Tensor, tg.Tensor]:
        return self.gru(self.dropout(self.embedding(ids)))


class BahdanauAttention(nn.Module):
    """Scores ``v tanh(Wa query + Ua key)``: query (N, 1, H), keys (N, T, H) -> context, weights."""

    def __init__(self, hidden: int, *, dtype: Any = np.float32, rng: Any):
        self.Wa = nn.Linear(hidden, hidden, dtype=dtype, rng=rng)
        self.Ua = nn.Linear(hidden, hidden, dtype=dtype, rng=rng)
        self.Va = nn.Linear(hidden, 1, dtype=dtype, rng=rng)

    def forward(self, query: tg.Tensor, keys: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        scores = self.Va(tg.tanh(self.Wa(query) + self.Ua(keys)))
        weights = tg.softmax(scores.swapaxes(1, 2))
        return weights @ keys, weights


class AttnDecoderRNN(nn.Module):
    """Embedding, attention, a GRU over both, and log probabilities of the next word."""

    def __init__(
        self, words: int, hidden: int, dropout: float = 0.1, *, dtype: Any = np.float32, rng: Any
    ):
        self.embedding = nn.Embedding(words, hidden, dtype=dtype, rng=rng)
        self.attention = BahdanauAttention(hidden, dtype=dtype, rng=rng)
        self.gru = nn.GRU(2 * hidden, hidden, batch_first=True, dtype=dtype, rng=rng)
        self.out = nn.Linear(hidden, words, dtype=dtype, rng=rng)
        self.dropout = nn.Dropout(dropout, rng=rng)

    def forward(
        self, outputs: tg.Tensor, hidden: tg.Tensor, target: Any = None
    ) -> tuple[tg.Tensor, tg.Tensor]:
        """Return log probabilities (N, MAX_LENGTH, words), and the last state.

        With a target, the inputs are its words (teacher forcing), otherwise the net's own.
        """
        word = np.full((outputs.shape[0], 1), SOS)
        steps = []
        for t in range(MAX_LENGTH):
            scores, hidden = self.step(word, hidden, outputs)
            steps.append(scores)
            word = scores.data.argmax(-1) if target is None else target[:, t : t + 1]
        return tg.log_softmax(tg.concatenate(steps, 1)), hidden

    def step(self, word: Any, hidden: tg.Tensor, outputs: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        embedded = self.dropout(self.embedding(word))
        context, _ = self.attention(hidden.swapaxes(0, 1), outputs)
        output, hidden = self.gru(tg.concatenate([embedded, context], 2), hidden)
        return self.out(output), hidden


def train_step(
    encoder: EncoderRNN,
    decoder: AttnDecoderRNN,
    optimizers: Sequence[tg.optim.Optimizer],
    source: Any,
    target: Any,
) -> float:
    """Train both nets for one step with teacher forcing, and return the loss."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    outputs, hidden = encoder(source)
    log_p, _ = decoder(outputs, hidden, target)
    loss = nn.nll_loss(log_p.reshape(-1, log_p.shape[-1]), target.reshape(-1))
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    return float(loss.item())


def main(argv: Sequence[str] | None = None) -> float:
    """Train on most sentences; return the share of the others translated without a mistake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds of training")
    args = parser.parse_args(argv)
    source, target, english, french = sentences()
    order = np.random.default_rng(0).permutation(len(source))
    test, training = order[:50], order[50:]
    hidden = 32 if args.quick else 128
    rng = np.random.default_rng(0)
    encoder = EncoderRNN(len(english), hidden, rng=rng)
    decoder = AttnDecoderRNN(len(french), hidden, rng=rng)
    optimizers = [tg.optim.Adam(net.parameters(), 1e-2) for net in (encoder, decoder)]
    loader = DataLoader(source[training], target[training], batch_size=32, shuffle=True, rng=0)
    for epoch in range(1, 9 if args.quick else 31):
        losses = [train_step(encoder, decoder, optimizers, *batch) for batch in loader]
        if epoch % 4 == 0:
            print(f"epoch {epoch}: loss {np.mean(losses):.4f}")
    encoder.eval()
    decoder.eval()
    with tg.no_grad():
        log_p, _ = decoder(*encoder(source[test]))
    written = log_p.data.argmax(-1)
    right = float((written == target[test]).all(1).mean())
    line = " ".join(french[i] for i in written[0] if i != EOS)
    print(f"{' '.join(english[i] for i in source[test[0]] if i != EOS)} -> {line}")
    print(f"unseen sentences: {right:.0%} without a mistake")
    return right


if __name__ == "__main__":
    main()
