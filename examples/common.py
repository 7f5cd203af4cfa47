"""What the examples share: their arguments, the record of a result, a training loop, a heat map.

An example is a module ``examples/eNN_name.py`` with

    a docstring         the equations, what it shows, and the seed with its Korean term
    SEED, BAR           the seed's number and term, and what the full run has to reach
    main(argv) -> Result

It takes ``--seed``, ``--quick`` and ``--out`` (:func:`arguments`), prints what it measures, and
writes its picture as ``eNN_name.svg``. ``python -m examples`` finds it by its name.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.arguments import whole
from tinygrad_rnn.progress import Progress
from tinygrad_rnn.viz.style import FONT, INK


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


def arguments(
    argv: Sequence[str] | None, module: str | None, doc: str | None
) -> argparse.Namespace:
    """The arguments of every example: ``seed``, ``quick`` and ``out``, a folder, made if need be.

    Args:
        argv: the arguments; None for those of the command line.
        module: ``__spec__.name`` of the example.
        doc: its docstring, shown by ``--help``.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
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


def fit(
    loss: Callable[[int], tg.Tensor],
    optimizer: tg.optim.Optimizer,
    steps: int,
    max_norm: float = math.inf,
) -> list[float]:
    """Minimise: at step k the gradient of ``loss(k)``, clipped to a norm, then the optimiser.

    Returns:
        The losses of all steps, as a curve.

    Raises:
        FloatingPointError: a loss is not a finite number.
    """
    curve = []
    with Progress(steps, "training") as progress:
        for k in range(steps):
            L = loss(k)
            value = float(L.item())
            if not math.isfinite(value):
                raise FloatingPointError(f"the loss is {value} at step {k}")
            optimizer.zero_grad()
            L.backward()
            tg.optim.clip_grad_norm_(optimizer.params, max_norm)
            optimizer.step()
            curve.append(value)
            progress.update(k + 1, loss=value)
    return curve


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
    cell, left, top, between = 30, 130, 70, 58
    most = max(len(columns) for _, columns, _ in panels.values())
    cell = max(14, min(cell, 900 // most))
    width = max(left + cell * most + 30, 9 * len(title))
    parts, y = [], top
    for name, (rows, columns, values) in panels.items():
        largest = float(np.abs(values).max()) or 1.0
        parts.append(
            _text(left, y - 26, f"{name} (red {largest:.2f}, blue {-largest:.2f})", "start")
        )
        parts += [_text(left + cell * (j + 0.5), y - 7, c) for j, c in enumerate(columns)]
        for i, row in enumerate(rows):
            parts.append(_text(left - 8, y + cell * (i + 0.5) + 4, row, "end"))
            for j, value in enumerate(values[i].tolist()):
                parts.append(
                    f'<rect x="{left + cell * j}" y="{y + cell * i}" width="{cell}" '
                    f'height="{cell}" fill="{_colour(value / largest)}" stroke="#dddddd">'
                    f"<title>{value:.3f}</title></rect>"
                )
        y += cell * len(rows) + between
    height = y - between + 20
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONT}" font-size="12" fill="{INK}">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        f'<text x="16" y="24" font-size="15">{escape(title)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n",
        encoding="utf-8",
    )
    print(f"wrote     {path}")


def _colour(fraction: float) -> str:
    end = (178, 24, 43) if fraction > 0 else (33, 102, 172)
    share = min(1.0, abs(fraction))
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in end)


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
