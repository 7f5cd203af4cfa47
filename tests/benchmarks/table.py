"""What a benchmark measures, as lines on a terminal and as tables in README.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tinygrad_rnn.io import replacing

README = Path(__file__).parents[2] / "README.md"
PAGE = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- figures: python -m tests.benchmarks --readme -->", "<!-- end of figures -->"
PICTURES = (
    "<!-- figures: python -m tests.benchmarks pictures --readme -->",
    "<!-- end of pictures -->",
)
MISSED = "✗"


class Table(Enum):
    """The tables of the page, in their order, by what stands above them."""

    PEERS = (
        "Time of a training step on the NumPy back end, ours / theirs, at sizes T,N,D,H (compiling "
        "not counted; in the last column T is drawn anew at each call):"
    )
    NATIVE = "The same on the native back end (`[native]`), from the same rounds:"
    CELLS = (
        "A loop of one's own over T = 50 steps with the built-in cells, native, ours / PyTorch's, "
        "at N,D,H:"
    )
    THREADS = "Two threads, native, (T,N,D,H):"
    RECURRENCES = (
        "Other recurrences than networks, forward and gradient in float64, native / "
        "jax.jit(lax.scan):"
    )
    BLAS = "Of our time, the share that the bare matrix products would take alone:"
    PLANS = "A cell that is new (T,N,D,H = 100,16,64,128), and a length that is (20 to 60):"
    MEMORY = "Memory of a training step at T,N,D,H = 100,64,256,512, the growth of the process:"
    CHECKPOINT = (
        "A long sequence in sqrt(T) chunks, each within `tg.checkpoint` (nn.LSTM, "
        "N,D,H = 32,64,64):"
    )
    GROWTH = (
        "By what each doubling of T, N or H multiplies a training step (from T,N,D,H = "
        "100,16,64,64, the mean of three doublings):"
    )
    ENGINE = "The engine:"
    PICTURES = (
        "Pictures of an unrolled LSTM (processor time without garbage collection, the least of "
        "the rounds):"
    )


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        table: where it stands on the page.
        row: what is measured.
        value: how much of it.
        unit: of the value; empty for a ratio.
        target: what it may be at most; None where nothing is asked.
        column: its place in the row; empty where a row has one figure, which then shows its target
            in a column.
    """

    table: Table
    row: str
    value: float
    unit: str = ""
    target: float | None = None
    column: str = ""

    @property
    def missed(self) -> bool:
        return self.target is not None and not self.value <= self.target

    @property
    def measured(self) -> str:
        digits = 0 if self.unit in ("%", "objects", "MB") or self.value >= 100 else 2
        return f"{self.value:.{digits}f}{self._unit}"

    @property
    def allowed(self) -> str:
        return "" if self.target is None else f"{self.target:g}{self._unit}"

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def __str__(self) -> str:
        verdict = "" if self.target is None else f"target {self.allowed}{'  MISSED' * self.missed}"
        return f"{self.row:<66} {self.column:>25} {self.measured:>10}  {verdict}".rstrip()


def markdown(figures: Iterable[Figure]) -> str:
    """The figures of one table: a grid, or a list where they have no columns."""
    figures = list(figures)
    columns = list(dict.fromkeys(figure.column for figure in figures))
    rows: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        rows.setdefault(figure.row, {})[figure.column] = figure
    if columns == [""]:
        lines = ["| what | measured | target |", "|---|---:|---:|"]
        for row, cells in rows.items():
            mark = f" {MISSED}" if cells[""].missed else ""
            lines.append(f"| {row} | {cells[''].measured} | {cells[''].allowed}{mark} |")
    else:
        lines = [f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
        for row, cells in rows.items():
            shown = [_cell(cells[column]) if column in cells else "" for column in columns]
            lines.append(f"| {row} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _cell(figure: Figure) -> str:
    if figure.target is None:
        return figure.measured
    return f"{figure.measured} ({figure.target:g}){f' {MISSED}' if figure.missed else ''}"


def write(path: Path, body: str, place: tuple[str, str] = (BEGIN, END)) -> None:
    """Put the body in the place of what stands between two markers; at once, or not at all.

    Raises:
        ValueError: the file has not each marker once, in their order.
    """
    opening, closing = place
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(opening)
    _, end, tail = rest.partition(closing)
    if not (begin and end) or text.count(opening) + text.count(closing) != 2:
        raise ValueError(f"{path}: expected one line {opening!r}, and one {closing!r} after it")
    with replacing(path) as file:
        file.write(f"{head}{opening}\n\n{body.strip()}\n\n{closing}{tail}".encode())


__all__ = [
    "BEGIN",
    "END",
    "MISSED",
    "PAGE",
    "PICTURES",
    "README",
    "Figure",
    "Table",
    "markdown",
    "write",
]
