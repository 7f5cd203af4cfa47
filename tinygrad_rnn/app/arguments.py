"""What the commands share: kinds of arguments, standard input, and the error of a bad request."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What stands for standard input or output in the place of a file's name.
STANDARD = Path("-")


class Unusable(ValueError):
    """A request cannot be carried out; the message tells the user why. Exit code 2."""


# ── numbers ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Number:
    """The type of an argument that is a number within bounds.

    Called with text, it gives the number, as argparse wants it; :meth:`check` looks at a number
    that a program has passed.

    Args:
        least: the least.
        most: the largest; inf for no bound.
        above: whether ``least`` itself is too small.
        integer: whether it has to be whole.
        infinite: whether infinity is one.
    """

    least: float
    most: float = math.inf
    above: bool = False
    integer: bool = False
    infinite: bool = False

    def __call__(self, text: str) -> Any:
        try:
            value = int(text) if self.integer else float(text)
        except ValueError:
            value = math.nan
        if not self._holds(value):
            raise argparse.ArgumentTypeError(f"expected {self}, got {text!r}")
        return value

    def check(self, name: str, value: Any) -> None:
        """Refuse a number out of bounds.

        Raises:
            TypeError: it is no number, or not a whole one where it has to be.
            ValueError: it is out of bounds.
        """
        kinds: Any = int if self.integer else (int, float)
        # NumPy's numbers are accepted by what they convert to.
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, bool) or not isinstance(plain, kinds):
            raise TypeError(f"{name}: expected {self}, got {value!r}")
        if not self._holds(plain):
            raise ValueError(f"{name}: expected {self}, got {value!r}")

    def _holds(self, value: float) -> bool:
        enough = value > self.least if self.above else value >= self.least
        return enough and value <= self.most and (self.infinite or value < math.inf)

    def __str__(self) -> str:
        kind = "a whole number" if self.integer else "a number"
        upper = "" if self.most == math.inf else f" and at most {self.most:g}"
        return f"{kind} {'above' if self.above else 'of at least'} {self.least:g}{upper}"


def whole(least: int) -> Number:
    """The type of an argument that is a whole number of at least ``least``."""
    return Number(least, integer=True)


def number(
    least: float, most: float = math.inf, *, above: bool = False, infinite: bool = False
) -> Number:
    """The type of an argument that is a number from ``least`` to ``most``."""
    return Number(least, most, above, infinite=infinite)


# ── text ─────────────────────────────────────────────────────────────────────────────────


def words_given(text: str) -> str:
    """The type of an argument that is text: UTF-8, whatever the system takes arguments to be."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        try:
            return os.fsencode(text).decode("utf-8")
        except UnicodeDecodeError:
            raise argparse.ArgumentTypeError(f"expected UTF-8 text, got {text!r}") from None
    return text


def _encoding(name: str) -> str:
    try:
        "a".encode(name)
    except (LookupError, UnicodeError):
        raise argparse.ArgumentTypeError(f"there is no text encoding {name!r}") from None
    return name


def add_encoding(parser: Any) -> None:
    """The option ``--encoding`` of every command that reads text."""
    parser.add_argument(
        "--encoding",
        type=_encoding,
        metavar="NAME",
        help="of the text that is read, such as utf-16 or cp949 (default: utf-8)",
    )


def read_input(path: Path, encoding: str | None) -> str:
    """The text of a file, or of standard input for ``-``.

    Raises:
        OSError: it cannot be read.
        Unusable: it is not text in this encoding.
    """
    from ..text.vocabulary import decoded

    content = standard_input() if path == STANDARD else path.read_bytes()
    try:
        return decoded(content, shown(path), encoding)
    except ValueError as error:
        raise Unusable(str(error)) from None


def text_option(given: str | None, encoding: str | None) -> str | None:
    """The text of an option: what was given, or standard input for ``-``, less its last newline.

    Raises:
        Unusable: there is an encoding, and no standard input to be in it.
    """
    if given == str(STANDARD):
        return read_input(STANDARD, encoding).removesuffix("\n")
    if encoding is not None:
        raise Unusable("--encoding is that of standard input, and nothing is read from there")
    return given


def standard_input() -> bytes:
    """Everything on standard input.

    Raises:
        Unusable: it is closed.
    """
    if sys.stdin is None:
        raise Unusable("standard input is closed")
    content = getattr(sys.stdin, "buffer", sys.stdin).read()
    return content if isinstance(content, bytes) else content.encode()


def shown(path: Path) -> str:
    """How messages name a file."""
    return "standard input" if path == STANDARD else str(path)


def give_up(stream: Any) -> None:
    """Send what is still to be written to a stream, at Python's exit for one, to nowhere.

    For a terminal that is gone, a pipe that nobody reads, a disk that is full: without it, Python
    would try again when it exits, and fail.
    """
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


# ── requests that make no sense ──────────────────────────────────────────────────────────


def option(name: str) -> str:
    """An option as it is typed: ``--top-k`` for ``top_k``."""
    return f"--{name.replace('_', '-')}"


def refuse_given(args: argparse.Namespace, names: Iterable[str], reason: str) -> None:
    """Refuse options that would have no effect.

    Args:
        args: options that were not given are None, False or missing.
        names: the options.
        reason: why they have no effect.

    Raises:
        Unusable: one of them was given.
    """
    values = {name: getattr(args, name, None) for name in names}
    given = [option(name) for name, x in values.items() if x is not None and x is not False]
    if given:
        have = "has" if len(given) == 1 else "have"
        raise Unusable(f"{', '.join(given)} {have} no effect {reason}")


def refuse_if_too_large(size: int, what: str) -> None:
    """Refuse what cannot fit into this machine's memory.

    Allocating it may well succeed, and the system then kills the process when it is used.

    Args:
        size: in bytes, at least.
        what: what takes so much.

    Raises:
        Unusable: it is more than the machine has.
    """
    available = _memory()
    if size > available:
        raise Unusable(
            f"{what} would take at least {size / 2**30:,.1f} GiB of memory, and this machine has "
            f"{available / 2**30:,.1f} GiB"
        )


def _memory() -> int:
    """This machine's memory in bytes; where it cannot be told, what a pointer can address."""
    sizes = [2**47]
    with suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):  # a container may have less
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(size for size in sizes if size > 0)
