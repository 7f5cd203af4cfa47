"""Helpers of all commands: types of arguments, standard input, and the error for a bad request."""

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

#: Stands for standard input or output instead of a file's name.
STANDARD = Path("-")


class Unusable(ValueError):
    """A request cannot be carried out; the message tells the user why. Exit code 2."""


# ── numbers ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Number:
    """The type of an argument that is a number within bounds.

    A call converts text to the number, as argparse needs it. :meth:`check` checks a number that a
    program has passed.

    Args:
        least: the smallest value.
        most: the largest value; inf for no bound.
        above: whether ``least`` itself is too small.
        integer: whether it has to be a whole number.
        infinite: whether infinity is allowed.
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
            TypeError: the value is not a number, or not a whole number if it has to be one.
            ValueError: the value is out of bounds.
        """
        kinds: Any = int if self.integer else (int, float)
        # NumPy's numbers count as the Python numbers that they convert to.
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
    """The type of an argument that is text. It is read as UTF-8, whatever the system's encoding."""
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
    """Add the option ``--encoding``, which every command that reads text has."""
    parser.add_argument(
        "--encoding",
        type=_encoding,
        metavar="NAME",
        help="encoding of the text, such as utf-16 or cp949 (default: utf-8)",
    )


def read_input(path: Path, encoding: str | None) -> str:
    """Read the text of a file, or of standard input for ``-``.

    Raises:
        OSError: the file cannot be read.
        Unusable: the content is not text in this encoding.
    """
    from ..text.vocabulary import decoded

    content = standard_input() if path == STANDARD else path.read_bytes()
    try:
        return decoded(content, shown(path), encoding)
    except ValueError as error:
        raise Unusable(str(error)) from None


def text_option(value: str | None, encoding: str | None) -> str | None:
    """Return the text of an option; ``-`` reads standard input, without its last newline.

    Raises:
        Unusable: an encoding was passed, but nothing is read from standard input.
    """
    if value == str(STANDARD):
        return read_input(STANDARD, encoding).removesuffix("\n")
    if encoding is not None:
        raise Unusable("--encoding is that of standard input, and nothing is read from there")
    return value


def standard_input() -> bytes:
    """Read everything from standard input.

    Raises:
        Unusable: standard input is closed.
    """
    if sys.stdin is None:
        raise Unusable("standard input is closed")
    content = getattr(sys.stdin, "buffer", sys.stdin).read()
    return content if isinstance(content, bytes) else content.encode()


def shown(path: Path) -> str:
    """Return the name of a file for messages."""
    return "standard input" if path == STANDARD else str(path)


def give_up(stream: Any) -> None:
    """Discard everything that is still to be written to a stream.

    This is for a closed terminal, a pipe without a reader, or a full disk. Otherwise Python would
    try to write again when it exits, and fail.
    """
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


# ── refused requests ─────────────────────────────────────────────────────────────────────


def option(name: str) -> str:
    """Return an option as users type it: ``--top-k`` for ``top_k``."""
    return f"--{name.replace('_', '-')}"


def refuse_given(args: argparse.Namespace, names: Iterable[str], reason: str) -> None:
    """Refuse options that would have no effect.

    Args:
        args: the parsed arguments. An option that was not passed is None, False or missing.
        names: the options.
        reason: why they have no effect.

    Raises:
        Unusable: one of the options was passed.
    """
    values = {name: getattr(args, name, None) for name in names}
    passed = [option(name) for name, x in values.items() if x is not None and x is not False]
    if passed:
        have = "has" if len(passed) == 1 else "have"
        raise Unusable(f"{', '.join(passed)} {have} no effect {reason}")


def refuse_if_too_large(size: int, what: str) -> None:
    """Refuse a request that needs more memory than this machine has.

    The allocation itself often succeeds; the system kills the process later, when it uses the
    memory.

    Args:
        size: a lower bound of the memory in bytes.
        what: the thing that needs it, for the message.

    Raises:
        Unusable: the machine has less memory.
    """
    available = _memory()
    if size > available:
        raise Unusable(
            f"{what} would take at least {size / 2**30:,.1f} GiB of memory, and this machine has "
            f"{available / 2**30:,.1f} GiB"
        )


def _memory() -> int:
    """Return this machine's memory in bytes, or 2^47 (the address space) if it is unknown."""
    sizes = [2**47]
    with suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):  # a container may have less
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(size for size in sizes if size > 0)
