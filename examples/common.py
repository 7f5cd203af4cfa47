"""What the examples share: arguments, results, training, a text, a character RNN, pictures.

An example is a module ``examples/eNN_name.py`` with

    a docstring         the equations, and what it shows
    main(argv) -> Result

It takes ``--seed``, ``--quick`` and ``--out`` (:func:`arguments`), prints what it measures, and
writes its picture as ``eNN_name.svg``. ``python -m examples`` finds it by its name, and
in ``bars.py`` what its full run has to reach.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from svg import colours, inset, page, text
from tinygrad_rnn.app.arguments import whole
from tinygrad_rnn.app.demo import manual
from tinygrad_rnn.app.progress import Progress
from tinygrad_rnn.text import Streams, Vocabulary, bits_per_character, bptt_step
from tinygrad_rnn.viz.curve import HEIGHT, WIDTH


@dataclass(frozen=True)
class Result:
    """What a run measured, and what it claims.

    Args:
        measured: the result in one line, for the table.
        checks: each claim and whether it held: in a full run those of the bar, in a quick run what
            so few steps can show. Never empty.
    """

    measured: str
    checks: dict[str, bool]

    @property
    def failed(self) -> list[str]:
        return [claim for claim, held in self.checks.items() if not held]

    def report(self) -> Result:
        """Print the result; returns it, so that a ``main`` can end with it."""
        print(f"\nmeasured  {self.measured}")
        for claim, held in self.checks.items():
            print(f"  {'yes' if held else 'NO ':<4}{claim}")
        return self


def arguments(argv: Sequence[str] | None, doc: str | None) -> argparse.Namespace:
    """The arguments of every example: ``seed``, ``quick`` and ``out``, a folder, made if need be.

    Args:
        argv: the arguments; None for those of the command line.
        doc: its docstring, shown by ``--help``.
    """
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="of all random numbers (default: %(default)s)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few seconds, as in the tests, in place of the full run",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to write the picture (default: here)",
    )
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    return args


def descend(
    model: tg.nn.Module,
    loss: Callable[[], tg.Tensor],
    steps: int,
    lr: float,
    measure: Callable[[], float] | None = None,
    every: int = 1,
) -> list[tuple[int, float]]:
    """Train with Adam: the rate falls along half a cosine, gradients are clipped to a norm of 1.

    Args:
        model: of the parameters.
        loss: of a step.
        steps: how many.
        lr: the rate at first.
        measure: of the model as it is, for the curve.
        every: after how many steps each it is asked.

    Returns:
        Pairs of how many steps were made, and what ``measure`` said then.

    Raises:
        FloatingPointError: a loss is not a finite number.
    """
    optimizer = tg.optim.Adam(model.parameters(), lr=lr)
    measured = []
    with Progress(steps, "training") as progress:
        for k in range(steps):
            optimizer.lr = tg.optim.cosine_lr(k, lr, steps)
            L = loss()
            if not math.isfinite(L.item()):
                raise FloatingPointError(f"the loss is {L.item()} at step {k}")
            optimizer.zero_grad()
            L.backward()
            tg.optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            progress.update(k + 1, loss=L.item())
            if measure is not None and (k + 1) % every == 0:
                measured.append((k + 1, measure()))
    return measured


def characters() -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """Real text, the Python manual: its characters, the ids of nine tenths, and the rest held out.

    Nothing is lower-cased or left out. Trained on is the first part, scored the last one.
    """
    text = manual()
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    cut = len(ids) * 9 // 10
    return vocabulary, ids[:cut], ids[cut:]


def learn(
    model: tg.nn.Module,
    windows: Streams,
    steps: int,
    lr: float,
    test: Streams,
    every: int,
) -> list[tuple[int, float]]:
    """Truncated BPTT over window after window, the state carried along, again and again.

    Adam, with a rate that falls along half a cosine; gradients are clipped to a norm of 1. The
    model is left as it is used, without dropout.

    Args:
        model: ``model(ids, state) -> (logits, state)``.
        windows: of the text to learn.
        steps: how many, one a window.
        lr: the rate at first.
        test: another text.
        every: after how many steps each it is measured.

    Returns:
        Pairs of how many steps were made, and the bits per id of ``test`` then.
    """
    optimizer = tg.optim.Adam(model.parameters(), lr=lr)
    state, measured = None, []
    with Progress(steps, "training") as progress:
        for k in range(steps):
            optimizer.lr = tg.optim.cosine_lr(k, lr, steps)
            before = state if k % len(windows) else None
            model.train()
            loss, state = bptt_step(model, optimizer, windows[k % len(windows)], before, max_norm=1)
            progress.update(k + 1, bits=loss / math.log(2))
            model.eval()
            if (k + 1) % every == 0:
                measured.append((k + 1, bits_per_character(model, test)))
    return measured


class CharacterRNN(tg.nn.Module):
    """A vanilla RNN on one-hot characters, for ``tg.text.sample`` and ``bits_per_character``.

        x_t = one-hot of id_t
        h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)
        y_t = W_hy h_t + b_y                            the scores of the next character

    Calling it: ids (T, N) and a state or None give y (T, N, V) and the state after.

    Args:
        size: V, how many characters there are.
        hidden: the length of h_t.
        rng: a generator.
    """

    def __init__(self, size: int, hidden: int, rng: np.random.Generator):
        self.size = size
        self.rnn = tg.nn.RNN(size, hidden, rng=rng)
        self.out = tg.nn.Linear(hidden, size, rng=rng)

    def states(
        self, ids: np.ndarray, state: tg.Tensor | None = None
    ) -> tuple[tg.Tensor, tg.Tensor]:
        """The h_t of all steps (T, N, H), and the last one as a state."""
        return self.rnn(np.eye(self.size, dtype=np.float32)[ids], state)

    def __call__(
        self, ids: np.ndarray, state: tg.Tensor | None = None
    ) -> tuple[tg.Tensor, tg.Tensor]:
        hs, state = self.states(ids, state)
        return self.out(hs), state


def heat_map(
    path: Path, title: str, panels: dict[str, tuple[Sequence[str], Sequence[str], np.ndarray]]
) -> None:
    """Numbers as colours: blue below 0, white at 0, red above; each panel to its own largest.

    Args:
        path: the SVG file to write.
        title: what stands above.
        panels: by their name: the names of the rows (may be empty strings), those of the columns,
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
    """Charts of ``tinygrad_rnn.viz.curve``, one below the other in one SVG file."""
    parts = [inset(chart, HEIGHT * k) for k, chart in enumerate(charts)]
    height = HEIGHT * len(charts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">\n' + "".join(parts) + "</svg>\n",
        encoding="utf-8",
    )
    print(f"wrote     {path}")


def _colour(fraction: float) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in colours(np.array(fraction)).tolist())
