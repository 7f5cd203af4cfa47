"""Sequence to sequence: addition as translation, and why it pays to read the question backwards.

    plain       " 345+678"  ->  "1023"
    reversed    " 876+543"  ->  "1023"

An encoder reads the question character by character, and a decoder goes on from its last state and
writes the sum: many to one, then one to many (``Seq2seq`` in seq2seq.py, without attention). Read
backwards, the question ends with its first digits, and those decide what the answer begins with.
The mean distance from question to answer stays the same, but the decoder has something near to
begin with, and what comes later builds on it.

Both nets are alike in all else: the same first weights, the same questions in the same order, and
short ones filled up in front, however they are read. They are trained on numbers of one, two and
three digits, equally many of each; scored are sums of two numbers of three digits, none of which
was in the training, in neither order.

Seeds: 002 Input Reversal; 001 Sequence to Sequence, Many-to-one + One-to-many.
Source: Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks",
arXiv:1409.3215, sec. 3.3; for sums: Zaremba and Sutskever, "Learning to Execute", arXiv:1410.4615.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.text import Vocabulary
from tinygrad_rnn.viz.curve import curves

from .common import Result, arguments, stacked
from .seq2seq import Batch, Seq2seq, exact, train

SEED = "002 Input Reversal; 001 Sequence to Sequence: Many-to-one + One-to-many"
BAR = (
    "three-digit sums, unseen: reversed >= 90 % exact, >= 15 points over plain, same padding side"
)
SYMBOLS = Vocabulary("0123456789+ ")
QUESTION, ANSWER = len("999+999"), len("1998")
HIDDEN, BATCH, RATE = 128, 64, 0.003

# ── questions and answers ────────────────────────────────────────────────────────────────


def sums(pairs: np.ndarray, backwards: bool) -> Batch:
    """Pairs (N, 2) of numbers as questions (T, N) and answers (L, N)."""
    questions = [f"{a}+{b}"[:: -1 if backwards else 1].rjust(QUESTION) for a, b in pairs.tolist()]
    answers = [str(a + b).ljust(ANSWER) for a, b in pairs.tolist()]
    x, y = (
        SYMBOLS.encode("".join(texts)).reshape(len(pairs), -1).T for texts in (questions, answers)
    )
    return x, None, y


class Pairs:
    """Pairs of numbers below 1000: those to be scored, and for training any others."""

    def __init__(self, rng: np.random.Generator, count: int):
        self.test = rng.integers(100, 1000, size=(count, 2))
        self.seen = np.ones((1000, 1000), bool)
        self.seen[self.test[:, 0], self.test[:, 1]] = False
        self.seen &= self.seen.T

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        pairs = rng.integers(10 ** rng.integers(1, 4, size=(BATCH, 2)))
        return pairs[self.seen[pairs[:, 0], pairs[:, 1]]]


# ── measured ─────────────────────────────────────────────────────────────────────────────


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __spec__.name, __doc__)
    steps, hidden, every = (600, 64, 100) if args.quick else (8000, HIDDEN, 400)
    measured, right = {}, {}
    for name in ("plain", "reversed"):
        weights, held_out, data = np.random.default_rng(args.seed).spawn(3)
        model = Seq2seq(len(SYMBOLS), len(SYMBOLS), ANSWER, hidden, False, weights)
        pairs = Pairs(held_out, 2000)
        backwards = name == "reversed"
        test = sums(pairs.test, backwards)
        measured[name] = train(
            model, lambda: sums(pairs.draw(data), backwards), steps, RATE, test, every
        )
        right[name] = measured[name][-1][1]
        x, lengths, y = test
        places = (model.answer(x, lengths)[0] == y).mean(1)
        print(
            f"{name:<10}{right[name]:6.2f} % of {len(pairs.test):,} sums exact; place by place "
            + ", ".join(f"{100 * place:.1f}" for place in places)
        )
    return None


if __name__ == "__main__":
    main()
