"""PyTorch's time_sequence_prediction: two LSTM cells learn sine waves and continue them.

The original: https://github.com/pytorch/examples/tree/main/time_sequence_prediction. The waves
have one frequency and random phases. L-BFGS trains on all of them at once. Then the net predicts
new steps, each from its own last prediction.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn


class Sequence2(nn.Module):
    """Two LSTM cells on top of each other, and a linear output.

    Args:
        hidden: the hidden size of both cells.
    """

    def __init__(self, hidden: int = 51, *, rng: Any = None):
        rng = np.random.default_rng(rng)
        self.lstm1 = nn.LSTMCell(1, hidden, dtype=np.float64, rng=rng)
        self.lstm2 = nn.LSTMCell(hidden, hidden, dtype=np.float64, rng=rng)
        self.linear = nn.Linear(hidden, 1, dtype=np.float64, rng=rng)
        self.hidden = hidden

    def step(self, carry: Any, x_t: tg.Tensor) -> tuple[Any, tg.Tensor]:
        """One step of all waves: x_t (N, 1) -> the prediction of x_{t+1}."""
        first, second = carry
        first = self.lstm1(x_t, first)
        second = self.lstm2(first[0], second)
        return (first, second), self.linear(second[0])

    def forward(self, waves: Any, future: int = 0) -> tg.Tensor:
        """waves (N, T) -> predictions (N, T + future)."""
        waves = np.asarray(waves)
        zeros = np.zeros((len(waves), self.hidden))
        carry = ((zeros, zeros), (zeros, zeros))
        # tg.scan compiles the step, so this loop is as fast as a built-in layer.
        carry, ys = tg.scan(self.step, carry, waves.T[:, :, np.newaxis])
        outputs = [ys]
        for _ in range(future):
            carry, y = self.step(carry, outputs[-1][-1])
            outputs.append(tg.expand_dims(y, 0))
        return tg.concatenate(outputs)[:, :, 0].T


def waves(count: int, length: int, period: int = 20, *, seed: int = 2) -> np.ndarray:
    """Sine waves (count, length) with random phases."""
    phases = np.random.default_rng(seed).integers(-4 * period, 4 * period, (count, 1))
    return np.sin((np.arange(length) + phases) / period)


def train(model: Sequence2, data: np.ndarray, steps: int, **settings: Any) -> list[float]:
    """Train by L-BFGS on the mean squared error; return the loss of every evaluation."""
    x, y = data[:, :-1], data[:, 1:]
    optimizer = tg.optim.LBFGS(model.parameters(), lr=0.8, **settings)
    losses: list[float] = []

    def closure() -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.mse_loss(model(x), y)
        losses.append(loss.item())
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return losses


def main(argv: Sequence[str] | None = None) -> list[float]:
    """Train, measure predictions of later steps, and return the losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds of training")
    args = parser.parse_args(argv)
    count, length, steps = (12, 100, 4) if args.quick else (100, 1000, 10)
    data = waves(count, length)
    model = Sequence2(20 if args.quick else 51, rng=0)
    losses = train(model, data[3:], steps)
    print(f"training loss {losses[0]:.2e} -> {losses[-1]:.2e} in {len(losses)} evaluations")
    ahead = 10 if args.quick else 100
    with tg.no_grad():
        predicted = model(data[:3, :-ahead], future=ahead).numpy()
    error = np.sqrt(np.mean((predicted[:, -ahead - 1 : -1] - data[:3, -ahead:]) ** 2))
    print(f"{ahead} steps ahead on three unseen waves: root mean square error {error:.3f}")
    return losses


if __name__ == "__main__":
    main()
