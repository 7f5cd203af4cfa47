"""A progress bar: one line on a terminal, nothing in a pipe or a file."""

from __future__ import annotations

import errno
import shutil
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from .arguments import give_up

_cells = 24


class Progress:
    """One line that redraws itself: bar, percent, rate, numbers, time left.

        training  ████████████░░░░░░░░░░░░  50 %  31.2/s  loss 2.310  16 s left

    If the stream is not a terminal, nothing is written, so that a pipe gets only the results.

    Args:
        total: the amount of work.
        label: the text before the bar.
        stream: where to write (default: standard error).
        done: the part of ``total`` that was done earlier. It does not count for the rate.
        visible: False writes nothing, not even on a terminal.

    Raises:
        ValueError: ``total`` is below 1.

    >>> with Progress(3, "counting") as progress:
    ...     for i in range(3):
    ...         progress.update(i + 1, loss=0.5)
    """

    def __init__(
        self,
        total: int,
        label: str = "",
        stream: TextIO | None = None,
        *,
        done: float = 0.0,
        visible: bool = True,
    ):
        if total < 1:
            raise ValueError(f"Progress: total must be at least 1, got {total}")
        self.total, self.label = total, label
        self._stream = sys.stderr if stream is None else stream
        self._visible = visible and self._stream is not None and self._stream.isatty()
        self._full, self._empty = _blocks(self._stream)
        self._start, self._before = time.monotonic(), done
        self._last = -1.0  # time of the last redraw
        self._open = False  # whether the cursor is at the end of a drawn line

    def update(self, done: float, **figures: float | str) -> None:
        """Redraw the line, at most ten times a second and always at the end.

        Args:
            done: the part of ``total`` that is done.
            **figures: other numbers to show, by name.
        """
        now = time.monotonic()
        if not self._visible or (self._open and now - self._last < 0.1 and done < self.total):
            return
        self._last = now
        line = self._line(done, now - self._start, figures)
        columns = shutil.get_terminal_size().columns
        self._write("\r" + line[: columns - 1].ljust(columns - 1))
        self._open = True

    def _line(self, done: float, seconds: float, figures: dict[str, float | str]) -> str:
        share = min(max(done / self.total, 0.0), 1.0)
        full = round(share * _cells)
        rate = (done - self._before) / seconds if seconds > 0 else 0.0
        parts = [
            *([self.label] if self.label else []),
            self._full * full + self._empty * (_cells - full),
            f"{100 * share:3.0f} %",
            f"{rate:.3g}/s",
            *(
                f"{name.replace('_', ' ')} {x if isinstance(x, str) else f'{x:.3f}'}"
                for name, x in figures.items()
            ),
        ]
        if done >= self.total:
            parts.append(f"{duration(seconds)} in all")
        elif rate > 0:
            parts.append(f"{duration((self.total - done) / rate)} left")
        return "  ".join(parts)

    def _write(self, text: str) -> None:
        """Write on the terminal. If it was closed in the meantime, the work goes on."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._visible = False
            give_up(self._stream)

    def print(self, text: str) -> None:
        """Print a line on standard output, without the bar in its way."""
        if self._open:
            self._write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._open = False
        try:
            print(text, flush=True)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            give_up(sys.stdout)  # the terminal was closed; the work goes on

    def close(self) -> None:
        """End the line, so that the next output starts on a new one."""
        if self._open:
            self._write("\n")
            self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _blocks(stream: TextIO | None) -> tuple[str, str]:
    """Return the two characters of the bar: blocks, or ASCII if the encoding has no blocks."""
    try:
        "█░".encode(getattr(stream, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return "#", "."
    return "█", "░"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 05 s`` or ``2 h 05 min``.

    >>> duration(42.4), duration(185), duration(7500)
    ('42 s', '3 min 05 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
