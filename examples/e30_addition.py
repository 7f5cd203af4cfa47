"""Addition as translation: why it pays to read the question backwards.

    plain       " 345+678"  ->  "1023"
    reversed    " 876+543"  ->  "1023"

An encoder reads the question character by character. A decoder goes on from its last state and
writes the sum: many to one, then one to many (``Seq2seq`` in seq2seq.py, without attention). If the
question is read backwards, the encoder reads the first digits of the first number last. They are
now close to the answer, and they decide how the answer begins. The mean distance from a digit to
its place in the answer stays the same. But the decoder has something close to begin with, and it
can build on that.

Otherwise both nets are the same. They have the same first weights and the same questions in the
same order, and short questions are padded at the front. The training has equally many numbers below
10, 100 and 1000. The test has sums of two three-digit numbers that the training has in neither
order. The gain is time: with 8,000 steps instead of 6,000, and seed 100, plain reaches 93 % as
well, and reversed 99 %.

A quick run adds numbers of two digits. Which net is better there depends on the seed.

Source: Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks",
arXiv:1409.3215, sec. 3.3; for sums: Zaremba and Sutskever, "Learning to Execute", arXiv:1410.4615.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, stacked
from seq2seq import Batch, Curve, Seq2seq, columns, exact
from tinygrad_rnn.text import Vocabulary
from tinygrad_rnn.viz import curves

SYMBOLS = Vocabulary(string.digits + "+ ")
BATCH = 64

# ── questions and answers ────────────────────────────────────────────────────────────────


def sums(pairs: np.ndarray, digits: int, backwards: bool) -> Batch:
    """Encode pairs of numbers (N, 2) as questions (T, N) and answers (L, N)."""
    questions = [f"{a}+{b}"[:: -1 if backwards else 1] for a, b in pairs.tolist()]
    x = columns(SYMBOLS, [question.rjust(2 * digits + 1) for question in questions])
    y = columns(SYMBOLS, [str(total).ljust(digits + 1) for total in pairs.sum(1).tolist()])
    return x, None, y


class Pairs:
    """Pairs of numbers: a test set with full digits, and training pairs that are not in it."""

    def __init__(self, digits: int, count: int, rng: np.random.Generator):
        self.digits = digits
        self.test = rng.integers(10 ** (digits - 1), 10**digits, size=(count, 2))
        self.free = np.ones((10**digits, 10**digits), bool)
        for a, b in (self.test.T, self.test.T[::-1]):
            self.free[a, b] = False

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        pairs = rng.integers(10 ** rng.integers(1, self.digits + 1, size=(BATCH, 2)))
        return pairs[self.free[pairs[:, 0], pairs[:, 1]]]


# ── training ─────────────────────────────────────────────────────────────────────────────


def train(
    backwards: bool, digits: int, hidden: int, lr: float, steps: int, seed: int
) -> tuple[Curve, np.ndarray]:
    """Train a net to add.

    Returns:
        Pairs of a step and the percentage of exact test answers after it. And the percentage of
        right symbols at each place of the answer (L,), after the training.
    """
    weights, held_out, draws = np.random.default_rng(seed).spawn(3)
    model = Seq2seq(len(SYMBOLS), len(SYMBOLS), digits + 1, hidden, False, weights)
    pairs = Pairs(digits, 2000 if digits == 3 else 500, held_out)
    test = sums(pairs.test, digits, backwards)

    optimizer = tg.optim.Adam(model.parameters(), lr=lr)
    measured: Curve = []
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, lr, steps)  # falls along half a cosine
        x, lengths, y = sums(pairs.draw(draws), digits, backwards)
        scores = model(x, lengths, y)
        loss = tg.nn.cross_entropy(scores.reshape(y.size, -1), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (k + 1) % (steps // 20) == 0:
            measured.append((k + 1, 100 * float(exact(model, test).mean())))
    x, lengths, y = test
    return measured, 100 * (model.answer(x, lengths)[0] == y).mean(1)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    digits, hidden, lr, steps = (2, 64, 0.01, 600) if args.quick else (3, 128, 0.003, 6000)
    measured = {}
    for name in ("plain", "reversed"):
        measured[name], places = train(name == "reversed", digits, hidden, lr, steps, args.seed)
        print(
            f"{name:<10}{measured[name][-1][1]:6.2f} % exact; right at each place: "
            + ", ".join(f"{place:.1f} %" for place in places),
            flush=True,
        )
    chart = curves(f"Unseen sums of {digits}-digit numbers", "% exact", measured)
    stacked(args.out / "e30_addition.svg", [chart])
    plain, backwards = (line[-1][1] for line in measured.values())
    if args.quick:
        checks = {
            f"{name}: at least 10 % of unseen sums exact": line[-1][1] >= 10
            for name, line in measured.items()
        }
    else:
        checks = {
            "reversed: at least 90 % of unseen sums exact": backwards >= 90,
            "reversed: at least 15 points over plain": backwards >= plain + 15,
        }
    return Result(
        measured=f"after {steps:,} steps reversed {backwards:.1f}%, plain {plain:.1f}%",
        checks=checks,
    ).report()


if __name__ == "__main__":
    main()
