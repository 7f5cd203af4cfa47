"""A bidirectional RNN: a tag that needs the past and the future.

    forward     h_t  = tanh(W x_t + U h_{t-1} + b)
    backward    h'_t = tanh(W' x_t + U' h'_{t+1} + b')
    answer      y_t  = V [h_t, h'_t] + c

Each x_t is a random digit. The tag of step t is [x_{t-2} + x_{t+3} >= 10], so it needs one digit of
the past and one of the future. A net that has read up to x_t knows only the first one. Given
x_{t-2} = a, the tag is 1 with probability a / 10. The best answer is [a >= 5], which is right in

    (1 + 0.9 + 0.8 + 0.7 + 0.6 + 0.5 + 0.6 + 0.7 + 0.8 + 0.9) / 10 = 75 %

of all cases. No net that only reads forward can do better, however large it is. With both
directions the same number of units gets all tags right.

We measure the exact chance of the forward net, so that 75 % is a theorem and not an average. Every
test sequence occurs ten times, with 0 to 9 added to each digit (modulo 10), so every x_{t-2} is
equally frequent. We compare the answer of the forward net with all ten values that x_{t+3} can
have. Steps whose x_{t-2} or x_{t+3} lies outside the sequence have no tag (ignore_index).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, heat_map

UNITS, T, BATCH = 64, 40, 64
BEFORE, AFTER = 2, 3
NONE = -100  # cross_entropy leaves these steps out

# ── the model ────────────────────────────────────────────────────────────────────────────


class Tagger(tg.nn.Module):
    """Embedding -> RNN -> two logits per step. UNITS counts the units of both directions."""

    def __init__(self, bidirectional: bool, rng: np.random.Generator):
        units = UNITS // 2 if bidirectional else UNITS
        self.digits = tg.nn.Embedding(10, 8, rng=rng)
        self.rnn = tg.nn.RNN(8, units, bidirectional=bidirectional, rng=rng)
        self.out = tg.nn.Linear(UNITS, 2, rng=rng)

    def forward(self, x: np.ndarray) -> tg.Tensor:
        y, _ = self.rnn(self.digits(x))
        return self.out(y)


def tags(x: np.ndarray) -> np.ndarray:
    """Return the tag of every step (T, N), or NONE if it needs a digit outside the sequence."""
    y = np.full(x.shape, NONE)
    y[BEFORE:-AFTER] = x[: -BEFORE - AFTER] + x[BEFORE + AFTER :] >= 10
    return y


def train(model: Tagger, rng: np.random.Generator, steps: int) -> None:
    optimizer = tg.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, 0.005, steps)  # falls along half a cosine
        x = rng.integers(10, size=(T, BATCH))
        loss = tg.nn.cross_entropy(model(x).reshape(-1, 2), tags(x).reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


# ── scores ───────────────────────────────────────────────────────────────────────────────


def answers(model: Tagger, x: np.ndarray) -> np.ndarray:
    with tg.no_grad():
        return model(x).data.argmax(axis=-1)[BEFORE:-AFTER]


def accuracy(model: Tagger, x: np.ndarray) -> float:
    return float((answers(model, x) == tags(x)[BEFORE:-AFTER]).mean())


def chance_of_forward(model: Tagger, x: np.ndarray) -> float:
    """Return how often the answers are right, averaged over all ten values of x_{t+3}."""
    past = x[: -BEFORE - AFTER]  # the tag is 1 for ``past`` of the ten values
    return float(np.where(answers(model, x) == 1, past, 10 - past).mean() / 10)


def table(model: Tagger, x: np.ndarray) -> np.ndarray:
    """Return how often the answer is 1 (10, 10), by x_{t-2} (rows) and x_{t+3} (columns)."""
    y, past, future = answers(model, x), x[: -BEFORE - AFTER], x[BEFORE + AFTER :]
    return np.array([[y[(past == a) & (future == b)].mean() for b in range(10)] for a in range(10)])


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps = 250 if args.quick else 1500
    weights, training, test = np.random.default_rng(args.seed).spawn(3)
    digits = test.integers(10, size=(T, 200))
    x = np.concatenate([(digits + k) % 10 for k in range(10)], axis=1)

    forward, both = Tagger(False, weights), Tagger(True, weights)
    sizes = [sum(p.size for p in model.parameters()) for model in (forward, both)]
    for model in (forward, both):
        train(model, training, steps)
    alone, together = chance_of_forward(forward, x), accuracy(both, x)
    print(f"forward alone     {UNITS} units, {sizes[0]:,} parameters: {alone:.2%}")
    print(f"both directions   2 x {UNITS // 2} units, {sizes[1]:,} parameters: {together:.2%}")

    names = [str(digit) for digit in range(10)]
    panels = {"forward alone": forward, "both directions": both}
    heat_map(
        args.out / "e21_bidirectional.svg",
        "How often the tag is 1, by x(t-2) (down) and x(t+3) (across)",
        {name: (names, names, table(model, x)) for name, model in panels.items()},
    )
    least = 0.9 if args.quick else 0.995
    return Result(
        measured=f"forward alone {alone:.2%}, both directions {together:.2%}, {UNITS} units each",
        checks={
            "forward alone: at most 75 %": alone <= 0.75 + 1e-12,
            "forward alone comes close to that: above 72 %": alone > 0.72,
            f"both directions: at least {least:.1%}": together >= least,
        },
    ).report()


if __name__ == "__main__":
    main()
