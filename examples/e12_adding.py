"""The adding problem: which remedies let a net add two numbers that are far apart?

    x_t = [u_t, m_t]    u_t from U(0, 1); m_t = 1 at two steps, one in each half, and 0 elsewhere
    y   = the sum of the two marked u_t, after the last step

A net that always answers with the mean, 1, has a squared error of 2/12 = 0.167. To do better, a net
has to keep a number for up to T steps. To learn that, the gradient has to come back just as far:

    tanh RNN    h_t = tanh(W x_t + U h_{t-1} + b)           clipped, so it only vanishes
    IRNN        h_t = relu(W x_t + U h_{t-1} + b)           starts with U = I, b = 0: h_t = h_{t-1}
    LSTM        c_t = f_t c_{t-1} + i_t g_t                 forget bias starts at 1: f_t near 1
    GRU         h_t = (1 - z_t) n_t + z_t h_{t-1}           z_t decides

We train each net until its squared error on validation sequences is below 0.015. The score comes
from other sequences. Clipping stops explosions (see e14). It cannot make a vanished gradient
larger.

Sources: the problem: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9
(1997), sec. 5.4; the IRNN: Le, Jaitly and Hinton, arXiv:1504.00941.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, stacked
from tinygrad_rnn.viz import curves

HIDDEN, BATCH = 64, 32
EVERY, ENOUGH = 50, 0.015  # measure the validation error so often; stop when it is below
HIGHEST = 0.3  # the top of the picture: a ReLU net may jump to hundreds and come back

# ── the nets ─────────────────────────────────────────────────────────────────────────────


class Adder(tg.nn.Module):
    """Map x (T, N, 2) to answers (N,), from the state after the last step."""

    def __init__(self, kind: str, rng: np.random.Generator):
        if kind == "IRNN":
            self.rnn = tg.nn.RNN(2, HIDDEN, nonlinearity="relu", rng=rng)
            self.rnn.weight_hh_l0.data = tg.nn.init.identity((HIDDEN, HIDDEN))
            self.rnn.bias_ih_l0.data = self.rnn.bias_hh_l0.data = np.zeros(HIDDEN, np.float32)
        elif kind == "LSTM":
            self.rnn = tg.nn.LSTM(2, HIDDEN, rng=rng)
            self.rnn.bias_ih_l0.data = tg.nn.init.forget_bias(4 * HIDDEN, 1.0)
        else:
            self.rnn = {"GRU": tg.nn.GRU, "tanh RNN": tg.nn.RNN}[kind](2, HIDDEN, rng=rng)
        self.out = tg.nn.Linear(HIDDEN, 1, rng=rng)

    def forward(self, x: np.ndarray) -> tg.Tensor:
        y, _ = self.rnn(x)
        return self.out(y[-1])[:, 0]


def learning_rate(kind: str, T: int) -> float:
    """Return a good rate. The tanh RNN stays at the mean with 0.0003, 0.002 and 0.005 as well."""
    if kind == "IRNN":
        return 0.0005 if T > 100 else 0.001
    return 0.001 if kind == "tanh RNN" else 0.005


def sums(rng: np.random.Generator, T: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw sequences (T, count, 2), and compute the sum of the two marked numbers of each."""
    numbers, marks = rng.uniform(0, 1, size=(T, count)), np.zeros((T, count))
    each = np.arange(count)
    first, second = rng.integers(T // 2, size=count), rng.integers(T // 2, T, size=count)
    marks[first, each] = marks[second, each] = 1
    return np.stack([numbers, marks], -1).astype(np.float32), (numbers * marks).sum(0)


def error(model: Adder, x: np.ndarray, y: np.ndarray) -> float:
    with tg.no_grad():
        return float(((model(x).data - y) ** 2).mean())


# ── training ─────────────────────────────────────────────────────────────────────────────


def train(
    kind: str, T: int, most: int, seed: int, enough: float = ENOUGH
) -> tuple[list[tuple[int, float]], float]:
    """Train for at most ``most`` steps, until the validation error is below ``enough``.

    Returns:
        Pairs of a step and the validation error after it; and the error on new sums.
    """
    weights, data, validation, test = np.random.default_rng(seed).spawn(4)
    model = Adder(kind, weights)
    validation_set, test_set = sums(validation, T, 500), sums(test, T, 2000)
    curve: list[tuple[int, float]] = []

    optimizer = tg.optim.Adam(model.parameters(), lr=learning_rate(kind, T))
    for step in range(1, most + 1):
        x, y = sums(data, T, BATCH)
        loss = tg.nn.mse_loss(model(x), y.astype(np.float32))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % EVERY == 0:
            curve.append((step, error(model, *validation_set)))
            if curve[-1][1] < enough:
                break
    score = error(model, *test_set)
    print(f"T = {T:<5}{kind:<10}{curve[-1][0]:>6} steps    squared error {score:.4f}", flush=True)
    return curve, score


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    lengths, hard, most = ((20,), 20, 1000) if args.quick else ((50, 100, 200), 100, 8000)
    learning: dict[int, dict[str, list[tuple[int, float]]]] = {}  # by T and net
    scores, checks = {}, {}
    for T in lengths:
        learning[T] = {}
        for kind in ("GRU", "LSTM", "IRNN"):
            learning[T][kind], scores[kind, T] = train(kind, T, most, args.seed)
        worst = max(scores[kind, T] for kind in learning[T])
        checks[f"T = {T}: GRU, LSTM and IRNN < 0.02"] = worst < 0.02
    longer = 3 * learning[hard]["LSTM"][-1][0]
    learning[hard]["tanh RNN"], scores["tanh RNN", hard] = train(
        "tanh RNN", hard, longer, args.seed, enough=0.0
    )
    lowest = min(error for _, error in learning[hard]["tanh RNN"])
    checks[f"T = {hard}: a tanh RNN > 0.1, at every measurement of {longer:,} steps"] = (
        min(lowest, scores["tanh RNN", hard]) > 0.1
    )
    unit = f"squared error (the mean: 0.167), drawn up to {HIGHEST}"
    stacked(
        args.out / "e12_adding.svg",
        [
            curves(
                f"The adding problem, T = {T}",
                unit,
                {kind: [(k, min(e, HIGHEST)) for k, e in line] for kind, line in lines.items()},
            )
            for T, lines in learning.items()
        ],
    )
    steps = "; ".join(
        f"{kind} " + ", ".join(f"{learning[T][kind][-1][0]:,}" for T in lengths)
        for kind in ("GRU", "LSTM", "IRNN")
    )
    worst = max(scores[kind, T] for kind, T in scores if kind != "tanh RNN")
    return Result(
        f"steps at T = {', '.join(map(str, lengths))}: {steps}; largest error {worst:.4f}; tanh "
        f"RNN {scores['tanh RNN', hard]:.3f} after {longer:,} (T = {hard})",
        checks,
    ).report()


if __name__ == "__main__":
    main()
