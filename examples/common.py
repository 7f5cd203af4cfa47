"""Helpers that several examples share: arguments, results, a text, a character RNN, pictures.

An example is a module ``examples/eNN_name.py`` with

    a docstring         the equations, and what the example shows
    main(argv) -> Result

It takes ``--seed``, ``--quick`` and ``--out`` (:func:`arguments`), prints what it measures, and
writes its picture as ``eNN_name.svg``. ``python -m examples`` finds it by its name. The targets of
its full run stand in ``targets.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from svg import colours, inset, page, size_of, text
from tinygrad_rnn.data import python_manual
from tinygrad_rnn.text import Vocabulary


@dataclass(frozen=True)
class Result:
    """What a run measured, and what it claims.

    Args:
        measured: the result in one line, for the table.
        checks: each claim, and whether it held. A full run claims its targets, a quick run what so
            few steps can show. Never empty.
    """

    measured: str
    checks: dict[str, bool]

    @property
    def failed(self) -> list[str]:
        return [claim for claim, held in self.checks.items() if not held]

    def report(self) -> Result:
        """Print the result and return it, so that a ``main`` can end with it."""
        print(f"\nmeasured  {self.measured}")
        for claim, held in self.checks.items():
            print(f"  {'yes' if held else 'NO ':<4}{claim}")
        return self


def natural(text: str) -> int:
    """Convert an argument to an integer of at least 0, for argparse.

    >>> natural("3")
    3
    """
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def arguments(argv: Sequence[str] | None, doc: str | None) -> argparse.Namespace:
    """Parse the arguments of every example: ``seed``, ``quick`` and ``out``.

    ``out`` is a folder; it is made if there is none.

    Args:
        argv: the arguments; None for those of the command line.
        doc: the example's docstring, shown by ``--help``.
    """
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=natural, default=0, help="for all random numbers (default: %(default)s)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="run a few seconds, as in the tests, instead of the full run",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to write the picture (default: the current folder)",
    )
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def characters() -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """Return the Python manual as characters: vocabulary, training ids, held-out ids.

    The first nine tenths are for training, the last tenth is held out. Capital letters and all
    signs stay as they are.
    """
    text = python_manual()
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    cut = len(ids) * 9 // 10
    return vocabulary, ids[:cut], ids[cut:]


class CharacterRNN(tg.nn.Module):
    """A vanilla RNN on one-hot characters, for ``tg.text.sample`` and ``bits_per_character``.

        x_t = one-hot of id_t
        h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)
        y_t = W_hy h_t + b_y                            the scores of the next character

    A call takes ids (T, N) and a state or None. It gives y (T, N, V) and the new state.

    Args:
        size: V, the number of characters.
        hidden: the hidden size.
        rng: a generator.
    """

    def __init__(self, size: int, hidden: int, rng: np.random.Generator):
        self.size = size
        self.rnn = tg.nn.RNN(size, hidden, rng=rng)
        self.out = tg.nn.Linear(hidden, size, rng=rng)

    def states(
        self, ids: np.ndarray, state: tg.Tensor | None = None
    ) -> tuple[tg.Tensor, tg.Tensor]:
        """Return the h_t of all steps (T, N, H), and the last one as the new state."""
        return self.rnn(np.eye(self.size, dtype=np.float32)[ids], state)

    def __call__(
        self, ids: np.ndarray, state: tg.Tensor | None = None
    ) -> tuple[tg.Tensor, tg.Tensor]:
        hs, state = self.states(ids, state)
        return self.out(hs), state


def heat_map(
    path: Path, title: str, panels: dict[str, tuple[Sequence[str], Sequence[str], np.ndarray]]
) -> None:
    """Draw numbers as colours: blue below 0, white at 0, red above 0.

    Each panel has a scale of its own, up to its largest number.

    Args:
        path: the SVG file to write.
        title: the title of the picture.
        panels: by name: the labels of the rows (may be empty strings), the labels of the columns,
            and the numbers (rows, columns).
    """
    high, left, top, between = 30, 130, 70, 58
    most = max(len(columns) for _, columns, _ in panels.values())
    longest = max(len(c) for _, columns, _ in panels.values() for c in columns)
    wide = max(14, 8 * longest, min(high, 900 // most))
    width = left + wide * most + 30
    parts, y = [], top
    for name, (rows, columns, values) in panels.items():
        largest = float(np.abs(values).max()) or 1.0
        scale = f"white 0, red {largest:.2f}" + (
            "" if values.min() >= 0 else f", blue {-largest:.2f}"
        )
        parts.append(text(left, y - 26, f"{name} ({scale})", "start"))
        parts += [text(left + wide * (j + 0.5), y - 7, c) for j, c in enumerate(columns)]
        for i, row in enumerate(rows):
            parts.append(text(left - 8, y + high * (i + 0.5) + 4, row, "end"))
            for j, value in enumerate(values[i].tolist()):
                parts.append(
                    f'<rect x="{left + wide * j}" y="{y + high * i}" width="{wide}" '
                    f'height="{high}" fill="{_colour(value / largest)}" stroke="#dddddd">'
                    f"<title>{value:.3f}</title></rect>"
                )
        y += high * len(rows) + between
    page(path, width, y - between + 20, title, parts)


def stacked(path: Path, charts: Sequence[str]) -> None:
    """Write charts of ``tg.viz.curves``, one below the other, into one SVG file."""
    width, high = size_of(charts[0])
    parts = [inset(chart, high * k) for k, chart in enumerate(charts)]
    height = high * len(charts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}">\n' + "".join(parts) + "</svg>\n",
        encoding="utf-8",
    )
    print(f"wrote     {path}")


def _colour(fraction: float) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in colours(np.array(fraction)).tolist())
