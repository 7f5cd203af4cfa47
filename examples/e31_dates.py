"""Dates as people write them, and as a machine wants them: what attention adds.

    "Friday, March 27, 1998"  ->  "1998-03-27"

Without attention the decoder gets the last state of the encoder and nothing else: all that it will
need of a date has to be in there at once. With attention (``Seq2seq`` in seq2seq.py) it can look,
before each character it writes, at the states of all that were read, and it learns where to look:
at the year, wherever that stands, for the first four, at the month for the next two, at the day for
the last two. Nobody tells it so.

Both nets have the same first weights as far as both have them, and get the same dates in the same
order, at the same rates. What is lost without attention is time: a date can be kept in a state, it
only takes longer to learn. The third curve shows that: no attention, but four times the steps. Nor
is it the rate: at twice the rate, and with seed 100, 82 % are right after 250 steps without.

The dates are any days of the years 1000 to 9999, so that all four digits have to be read. With
slashes the month comes first, with dots the day. Held out are whole days: one that is scored was
trained on in none of the formats. An answer counts where all of its ten characters are right.

Source: Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine
Translation", arXiv:1508.04025.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from common import Result, arguments
from seq2seq import Batch, Seq2seq, columns, exact, train
from svg import border, image, inset, page, text
from tinygrad_rnn.text import Vocabulary
from tinygrad_rnn.viz.curve import HEIGHT, WIDTH, Curve, curves

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
    """Days (N,) in formats (N,): x (T, N), short ones filled up behind, lengths and answers."""
    dates = [date.fromordinal(day) for day in days.tolist()]
    texts = [FORMATS[k].format(day) for k, day in zip(formats, dates, strict=True)]
    lengths = np.array([len(words) for words in texts])
    x = columns(READ, [words.ljust(lengths.max()) for words in texts])
    return x, lengths, columns(WRITTEN, [day.isoformat() for day in dates])


def each(days: np.ndarray) -> Batch:
    """Days (N,), each in all formats, one after the other: 6 N questions."""
    return questions(days.repeat(len(FORMATS)), np.tile(np.arange(len(FORMATS)), len(days)))


# ── measured ─────────────────────────────────────────────────────────────────────────────


def learn(attention: bool, seed: int, steps: int, every: int) -> tuple[Seq2seq, Curve, Batch]:
    """A net, the percentage of the test it had right over the steps, and the test."""
    weights, held_out, draws = np.random.default_rng(seed).spawn(3)
    model = Seq2seq(len(READ), len(WRITTEN), ANSWER, HIDDEN, attention, weights)
    unseen = held_out.choice(len(DAYS), 300, replace=False)
    test, training = each(DAYS[unseen]), np.delete(DAYS, unseen)

    def batch() -> Batch:
        return questions(draws.choice(training, BATCH), draws.integers(len(FORMATS), size=BATCH))

    return model, train(model, batch, steps, RATE, test, every), test


def alignment(x: float, y: float, read: str, wrote: str, a: np.ndarray) -> list[str]:
    """Where it looked, as a map of greys with its upper left corner at (x, y).

    Args:
        x, y: where; what was read stands above, what was written at the left.
        read, wrote: T and L characters.
        a: (L, T) the weights of each look, the larger the darker.
    """
    cell = 12
    parts = [image(x, y, cell, 1 - a), border(x, y, cell * len(read), cell * len(wrote))]
    parts += [text(x + cell * (t + 0.5), y - 5, symbol) for t, symbol in enumerate(read)]
    parts += [text(x - 8, y + cell * (k + 1) - 2, symbol) for k, symbol in enumerate(wrote)]
    return parts


def picture(path: Path, measured: dict[str, Curve], model: Seq2seq, test: Batch) -> None:
    """The curves of all runs, and where the model looked at the first day of the test."""
    chart = curves("Days never seen: all ten characters right", "% of the answers", measured)
    parts = [inset(chart, 40)]
    parts.append(
        text(16, 60 + HEIGHT, "Where it looks (across) for what it writes (down)", "start")
    )
    x, lengths, _ = (part[..., : len(FORMATS)] for part in test)
    y, a = model.answer(x, lengths)
    high = 168
    for n, length in enumerate(lengths):
        read, wrote = READ.decode(x[:length, n]), WRITTEN.decode(y[:, n])
        left, top = 26 + WIDTH / 2 * (n % 2), HEIGHT + 94 + high * (n // 2)
        parts += alignment(left, top, read, wrote, a[:, n, :length])
    height = HEIGHT + 70 + high * len(FORMATS) / 2
    page(path, WIDTH, height, "Dates in six formats, with attention and without", parts)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps, longer, every = (120, 240, 40) if args.quick else (250, 1000, 25)
    model, looking, test = learn(True, args.seed, steps, every)
    without, blind, _ = learn(False, args.seed, steps, every)
    _, patient, _ = learn(False, args.seed, longer, every)

    day = date(1998, 3, 27)
    print(f"{'right':<32}{'attention':>10}{'none':>10}")
    by_format = [exact(net, test).reshape(-1, len(FORMATS)).mean(0) for net in (model, without)]
    for k, written in enumerate(FORMATS):
        print(f"{written.format(day):<32}" + "".join(f"{right[k]:10.1%}" for right in by_format))

    measured = {"attention": looking, "none": blind, f"none, {longer:,} steps": patient}
    picture(args.out / "e31_dates.svg", measured, model, test)
    attention, none, late = (line[-1][1] for line in measured.values())
    none = max(none, dict(patient)[steps])  # its rate is still high then
    least, ahead = (50, 20) if args.quick else (99.5, 8)
    return Result(
        measured=f"after {steps:,} steps attention {attention:.1f}%, none at most {none:.1f}%; "
        f"none after {longer:,} steps {late:.1f}%",
        checks={
            f"attention: at least {least} % of unseen days exact": attention >= least,
            f"at least {ahead} points over both nets without, at equal steps": attention
            >= none + ahead,
            "none goes on learning: more with more steps": late > none,
        },
    ).report()


if __name__ == "__main__":
    main()
