"""makemore's recurrent nets: they learn names and write new ones.

The original: https://github.com/karpathy/makemore. This is a character-level model. The RNN's cell
is one linear map of the input and the state together; the GRU's cell has three. Targets of -1 are
ignored. The optimiser is AdamW.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

from .char_rnn_classification import NAMES


class RNNCell(nn.Module):
    """``h_t = tanh(W [x_t, h_{t-1}] + b)``."""

    def __init__(self, n_embd: int, n_hidden: int, *, dtype: Any = np.float32, rng: Any):
        self.xh_to_h = nn.Linear(n_embd + n_hidden, n_hidden, dtype=dtype, rng=rng)

    def forward(self, x: tg.Tensor, h: tg.Tensor) -> tg.Tensor:
        return tg.tanh(self.xh_to_h(tg.concatenate([x, h], 1)))


class GRUCell(nn.Module):
    """A GRU with the reset before the product, and ``h_t = (1 - z) h_{t-1} + z hbar``."""

    def __init__(self, n_embd: int, n_hidden: int, *, dtype: Any = np.float32, rng: Any):
        self.xh_to_z, self.xh_to_r, self.xh_to_hbar = (
            nn.Linear(n_embd + n_hidden, n_hidden, dtype=dtype, rng=rng) for _ in range(3)
        )

    def forward(self, x: tg.Tensor, h: tg.Tensor) -> tg.Tensor:
        xh = tg.concatenate([x, h], 1)
        r = tg.sigmoid(self.xh_to_r(xh))
        hbar = tg.tanh(self.xh_to_hbar(tg.concatenate([x, r * h], 1)))
        z = tg.sigmoid(self.xh_to_z(xh))
        return (1 - z) * h + z * hbar


class RNN(nn.Module):
    """Embedding, a cell over time from a learned first state, and logits of the next character.

    Args:
        cell_type: "rnn" or "gru".
        vocabulary: the number of characters.
        n_embd: the length of a character's vector.
        n_hidden: the hidden size.
    """

    def __init__(
        self,
        cell_type: str,
        vocabulary: int,
        n_embd: int = 64,
        n_hidden: int = 64,
        *,
        dtype: Any = np.float32,
        rng: Any = None,
    ):
        rng = np.random.default_rng(rng)
        self.start = nn.Parameter(np.zeros((1, n_hidden), dtype))
        self.wte = nn.Embedding(vocabulary, n_embd, dtype=dtype, rng=rng)
        cell = {"rnn": RNNCell, "gru": GRUCell}[cell_type]
        self.cell = cell(n_embd, n_hidden, dtype=dtype, rng=rng)
        self.lm_head = nn.Linear(n_hidden, vocabulary, dtype=dtype, rng=rng)

    def forward(self, ids: Any) -> tg.Tensor:
        """ids (N, T) -> logits (N, T, vocabulary)."""
        x = self.wte(ids).swapaxes(0, 1)
        h = tg.broadcast_to(self.start, (x.shape[1], self.start.shape[1]))

        def step(h: tg.Tensor, x_t: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
            h = self.cell(x_t, h)
            return h, h

        _, hs = tg.scan(step, h, x)
        return self.lm_head(hs.swapaxes(0, 1))


def loss_of(model: RNN, ids: Any, targets: Any) -> tg.Tensor:
    """Return the cross-entropy over all targets but -1."""
    logits = model(ids)
    return nn.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), np.reshape(targets, -1), ignore_index=-1
    )


def encoded(words: Sequence[str], characters: str) -> tuple[np.ndarray, np.ndarray]:
    """Encode inputs and targets (words, longest + 1).

    0 begins and ends a word; -1 pads the targets.
    """
    length = max(map(len, words)) + 1
    x, y = np.zeros((len(words), length), int), np.full((len(words), length), -1)
    for i, word in enumerate(words):
        ids = [characters.index(c) + 1 for c in word]
        x[i, 1 : len(ids) + 1], y[i, : len(ids)] = ids, ids
        y[i, len(ids)] = 0
    return x, y


def adamw(model: RNN) -> tg.optim.AdamW:
    """Return makemore's optimiser."""
    return tg.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.01, betas=(0.9, 0.99))


def train_step(model: RNN, optimizer: tg.optim.Optimizer, x: Any, y: Any) -> float:
    loss = loss_of(model, x, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.item())


def sample(model: RNN, characters: str, length: int, rng: np.random.Generator) -> str:
    """Write a new word, character by character."""
    ids = [0]
    with tg.no_grad():
        for _ in range(length):
            p = tg.softmax(model(np.array([ids])).numpy()[0, -1].astype(np.float64))
            ids.append(int(rng.choice(len(p), p=p)))
            if not ids[-1]:
                break
    return "".join(characters[i - 1] for i in ids[1:] if i)


def main(argv: Sequence[str] | None = None) -> list[float]:
    """Train on surnames of five languages and write new ones; return the losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", default="gru", help="rnn or gru")
    parser.add_argument("--quick", action="store_true", help="a few seconds of training")
    args = parser.parse_args(argv)
    words = " ".join(NAMES.values()).lower().split()
    characters = "".join(sorted(set("".join(words))))
    x, y = encoded(words, characters)
    model = RNN(args.type, len(characters) + 1, rng=0)
    optimizer = adamw(model)
    rng = np.random.default_rng(0)
    losses = []
    steps = 150 if args.quick else 3000
    for step in range(1, steps + 1):
        batch = rng.integers(0, len(words), 32)
        losses.append(train_step(model, optimizer, x[batch], y[batch]))
        if step % (steps // 3) == 0:
            print(f"step {step}: loss {np.mean(losses[-50:]):.3f}")
    print("new names:", ", ".join(sample(model, characters, 14, rng) for _ in range(8)))
    return losses


if __name__ == "__main__":
    main()
