"""Attention: a net translates dates as people write them into the ISO format.

    "Friday, March 27, 1998"  ->  "1998-03-27"

Without attention the decoder gets only the last state of the encoder, so that state has to hold the
whole date. With attention (``Seq2seq`` in seq2seq.py) the decoder reads the states of all
characters before it writes the next one. It learns where to look: at the year for the first four
characters, at the month for the next two, at the day for the last two. The training data never show
where to look.

Both nets have the same first weights where both have them. They get the same dates in the same
order, at the same learning rates. Without attention the training takes longer: a state can hold a
date, but that is harder to learn. The third curve shows a net without attention after four times
the steps. A higher rate does not help: at twice the rate, with seed 100, a net without attention
gets 82 % right after 250 steps.

The dates are any days of the years 1000 to 9999, so the net has to read all four digits. With
slashes the month comes first, with dots the day. We hold out whole days: no format of a test day
appears in training. An answer is right if all ten characters are.

Source: Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine
Translation", arXiv:1508.04025.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from seq2seq import Batch, Curve, Seq2seq, columns, exact
from svg import border, image, inset, page, size_of, text
from tinygrad_rnn.text import Vocabulary
from tinygrad_rnn.viz import curves

FORMATS = (  # as str.format reads them
    "{0.day} {0:%B %Y}",
    "{0:%b} {0.day}, {0:%Y}",
    "{0:%A}, {0:%B} {0.day}, {0:%Y}",
    "{0:%a %d %b %Y}",
    "{0:%m/%d/%Y}",
    "{0:%d.%m.%Y}",
)
DAYS = np.arange(date(1000, 1, 1).toordinal(), date.max.toordinal() + 1)
READ = Vocabulary(string.ascii_letters + string.digits + " ,./")
WRITTEN = Vocabulary(string.digits + "-")
ANSWER = len("1998-03-27")
HIDDEN, BATCH, RATE = 64, 64, 0.01

# ── questions and answers ────────────────────────────────────────────────────────────────


def questions(days: np.ndarray, formats: np.ndarray) -> Batch:
    """Encode days (N,) in formats (N,): x (T, N), padded at the end, lengths and answers."""
    dates = [date.fromordinal(day) for day in days.tolist()]
    texts = [FORMATS[k].format(day) for k, day in zip(formats, dates, strict=True)]
    lengths = np.array([len(words) for words in texts])
    x = columns(READ, [words.ljust(lengths.max()) for words in texts])
    return x, lengths, columns(WRITTEN, [day.isoformat() for day in dates])


def each(days: np.ndarray) -> Batch:
    """Encode days (N,), each in all formats, one after the other: 6 N questions."""
    return questions(days.repeat(len(FORMATS)), np.tile(np.arange(len(FORMATS)), len(days)))


# ── training ─────────────────────────────────────────────────────────────────────────────


def train(attention: bool, seed: int, steps: int, every: int) -> tuple[Seq2seq, Curve, Batch]:
    """Train a net to translate dates.

    Returns:
        The net, pairs of a step and the percentage of exact test answers after it, and the test.
    """
    weights, held_out, draws = np.random.default_rng(seed).spawn(3)
    model = Seq2seq(len(READ), len(WRITTEN), ANSWER, HIDDEN, attention, weights)
    unseen = held_out.choice(len(DAYS), 300, replace=False)
    test, training = each(DAYS[unseen]), np.delete(DAYS, unseen)

    optimizer = tg.optim.Adam(model.parameters(), lr=RATE)
    measured: Curve = []
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, RATE, steps)  # falls along half a cosine
        days = draws.choice(training, BATCH)
        x, lengths, y = questions(days, draws.integers(len(FORMATS), size=BATCH))
        scores = model(x, lengths, y)
        loss = tg.nn.cross_entropy(scores.reshape(y.size, -1), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (k + 1) % every == 0:
            measured.append((k + 1, 100 * float(exact(model, test).mean())))
    return model, measured, test


# ── the picture ──────────────────────────────────────────────────────────────────────────


def alignment(x: float, y: float, read: str, wrote: str, a: np.ndarray) -> list[str]:
    """Draw the attention weights as a map of greys: darker is larger.

    Args:
        x, y: the upper left corner of the map.
        read: T characters, shown above the map.
        wrote: L characters, shown at its left.
        a: (L, T), the attention weights.
    """
    cell = 12
    parts = [image(x, y, cell, 1 - a), border(x, y, cell * len(read), cell * len(wrote))]
    parts += [text(x + cell * (t + 0.5), y - 5, symbol) for t, symbol in enumerate(read)]
    parts += [text(x - 8, y + cell * (k + 1) - 2, symbol) for k, symbol in enumerate(wrote)]
    return parts


def picture(path: Path, measured: dict[str, Curve], model: Seq2seq, test: Batch) -> None:
    """Draw the learning curves, and the attention weights for the first day of the test."""
    chart = curves("Unseen days: all ten characters right", "% of the answers", measured)
    chart_width, chart_height = size_of(chart)
    parts = [inset(chart, 40)]
    parts.append(
        text(
            16,
            60 + chart_height,
            "Attention: characters read (across), characters written (down)",
            "start",
        )
    )
    x, lengths, _ = (part[..., : len(FORMATS)] for part in test)
    y, a = model.answer(x, lengths)
    high = 168
    for n, length in enumerate(lengths):
        read, wrote = READ.decode(x[:length, n]), WRITTEN.decode(y[:, n])
        left, top = 26 + chart_width / 2 * (n % 2), chart_height + 94 + high * (n // 2)
        parts += alignment(left, top, read, wrote, a[:, n, :length])
    height = chart_height + 70 + high * len(FORMATS) / 2
    page(path, chart_width, height, "Dates in six formats, with attention and without", parts)


# ── results ──────────────────────────────────────────────────────────────────────────────


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps, longer, every = (120, 240, 40) if args.quick else (250, 1000, 25)
    model, attention_curve, test = train(True, args.seed, steps, every)
    without, none_curve, _ = train(False, args.seed, steps, every)
    _, longer_curve, _ = train(False, args.seed, longer, every)

    day = date(1998, 3, 27)
    print(f"{'right':<32}{'attention':>10}{'none':>10}")
    by_format = [exact(net, test).reshape(-1, len(FORMATS)).mean(0) for net in (model, without)]
    for k, written in enumerate(FORMATS):
        print(f"{written.format(day):<32}" + "".join(f"{right[k]:10.1%}" for right in by_format))

    measured = {
        "attention": attention_curve,
        "none": none_curve,
        f"none, {longer:,} steps": longer_curve,
    }
    picture(args.out / "e31_dates.svg", measured, model, test)
    attention, none, late = (line[-1][1] for line in measured.values())
    # The long run is measured at the same step, too: its learning rate is still high there.
    none = max(none, dict(longer_curve)[steps])
    least, ahead = (50, 20) if args.quick else (99.5, 8)
    return Result(
        measured=f"after {steps:,} steps attention {attention:.1f}%, none at most {none:.1f}%; "
        f"none after {longer:,} steps {late:.1f}%",
        checks={
            f"attention: at least {least} % of unseen days exact": attention >= least,
            f"at least {ahead} points over both nets without attention, at equal steps": attention
            >= none + ahead,
            "without attention: better with more steps": late > none,
        },
    ).report()


if __name__ == "__main__":
    main()
