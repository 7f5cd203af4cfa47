"""PyTorch's word_language_model: predict the next word, with the state carried from batch to batch.

The original: https://github.com/pytorch/examples/tree/main/word_language_model. An embedding, one
or two recurrent layers with dropout around them, and an output layer whose weight may be the
embedding's ("tied"). Training is plain gradient descent with clipped gradients. The learning rate
starts at 20. It is divided by 4 whenever the validation loss has not fallen.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.data import python_manual
from tinygrad_rnn.text import Streams, Vocabulary, detached


class RNNModel(nn.Module):
    """Encoder, recurrent layers, decoder.

    Args:
        kind: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU".
        ntoken: the number of words.
        ninp: the length of a word's vector.
        nhid: the hidden size.
        nlayers: the number of recurrent layers.
        dropout: a probability.
        tie_weights: whether the decoder's weight is the encoder's.
    """

    def __init__(
        self,
        kind: str,
        ntoken: int,
        ninp: int,
        nhid: int,
        nlayers: int,
        dropout: float = 0.5,
        tie_weights: bool = False,
        *,
        dtype: Any = np.float32,
        rng: Any = None,
    ):
        rng = np.random.default_rng(rng)
        settings = {"dropout": dropout if nlayers > 1 else 0.0, "dtype": dtype, "rng": rng}
        self.drop = nn.Dropout(dropout, rng=rng)
        self.encoder = nn.Embedding(ntoken, ninp, dtype=dtype, rng=rng)
        if kind in ("LSTM", "GRU"):
            self.rnn = getattr(nn, kind)(ninp, nhid, nlayers, **settings)
        else:
            nonlinearity = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}[kind]
            self.rnn = nn.RNN(ninp, nhid, nlayers, nonlinearity, **settings)
        self.decoder = nn.Linear(nhid, ntoken, dtype=dtype, rng=rng)
        for weight in (self.encoder.weight, self.decoder.weight):
            weight.data = rng.uniform(-0.1, 0.1, weight.shape).astype(dtype)
        self.decoder.bias.data = np.zeros(ntoken, dtype)
        if tie_weights:
            if nhid != ninp:
                raise ValueError(f"tied weights need nhid = ninp, got {nhid} and {ninp}")
            self.decoder.weight = self.encoder.weight

    def forward(self, ids: Any, hidden: Any = None) -> tuple[tg.Tensor, Any]:
        """ids (T, N) -> log probabilities (T N, words), and the state."""
        output, hidden = self.rnn(self.drop(self.encoder(ids)), hidden)
        decoded = self.decoder(self.drop(output))
        return tg.log_softmax(decoded.reshape(-1, decoded.shape[-1])), hidden


def train_epoch(model: RNNModel, batches: Iterable[Any], lr: float, clip: float) -> list[float]:
    """One pass through the text; returns the loss of every batch."""
    losses, hidden = [], None
    optimizer = tg.optim.SGD(model.parameters(), lr)
    for data, targets in batches:
        hidden = detached(hidden)
        optimizer.zero_grad()
        output, hidden = model(data, hidden)
        loss = nn.nll_loss(output, targets.reshape(-1))
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def evaluate(model: RNNModel, batches: Iterable[Any]) -> float:
    """The mean loss of a word, in nats."""
    model.eval()
    total, count, hidden = 0.0, 0, None
    with tg.no_grad():
        for data, targets in batches:
            output, hidden = model(data, hidden)
            total += nn.nll_loss(output, targets.reshape(-1), reduction="sum").item()
            count += targets.size
    model.train()
    return total / count


def main(argv: Sequence[str] | None = None) -> list[float]:
    """Train on Python's manual; returns the validation losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="LSTM", help="RNN_TANH, RNN_RELU, LSTM or GRU")
    parser.add_argument("--tied", action="store_true")
    parser.add_argument("--quick", action="store_true", help="a few seconds of training")
    args = parser.parse_args(argv)
    text = python_manual()[: 60_000 if args.quick else 400_000]
    words = tg.text.words(text)
    vocabulary = Vocabulary(words, words=True, unknown="<unk>", size=1000 if args.quick else 4000)
    ids = vocabulary.encode(words)
    cut = len(ids) * 9 // 10
    training, validation = Streams(ids[:cut], 20, 35), Streams(ids[cut:], 10, 35)
    size = 64 if args.quick else 200
    model = RNNModel(args.kind, len(vocabulary), size, size, 2, 0.2, args.tied, rng=0)
    lr, best, history = 20.0, math.inf, []
    for epoch in range(1, 3 if args.quick else 7):
        train_epoch(model, training, lr, clip=0.25)
        history.append(evaluate(model, validation))
        print(f"epoch {epoch}: lr {lr:g}, validation perplexity {math.exp(history[-1]):.1f}")
        if history[-1] < best:
            best = history[-1]
        else:
            lr /= 4
    return history


if __name__ == "__main__":
    main()
