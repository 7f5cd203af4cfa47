"""The files that commands write: each is marked as what it is, and nothing else is written over.

A mark is a comment at the end of the file, in the way of its format. A command writes over a file
only if the file carries the mark of the same kind, is empty, or if it was told to.
"""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from ..files import replacing
from .arguments import Unusable

_TAIL = 200  # bytes: where a mark is looked for


def claim(
    path: Path,
    kind: str,
    *,
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
    advice: str = "add --overwrite to replace it",
) -> None:
    """Make sure that writing a file destroys nothing.

    Args:
        path: what is going to be written.
        kind: what it is going to be.
        inputs: what the command reads.
        overwrite: whether the user said that it may be written over.
        advice: how the user says so.

    Raises:
        Unusable: it is one of the inputs, or exists and was not written as the same kind.
        OSError: it cannot be looked at.
    """
    for given in inputs:
        if path.exists() and given.exists() and os.path.samefile(path, given):
            raise Unusable(f"{path} would be written over, and is what is read")
    if not overwrite and not is_free(path, kind):
        raise Unusable(f"{path} exists, and was not written by this command as a {kind}: {advice}")


def is_free(path: Path, kind: str) -> bool:
    """Whether writing a file destroys nothing but an older file of the same kind."""
    if not path.is_file():  # a FIFO or a device loses nothing; a folder is refused later
        return True
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL, 0))
        return size == 0 or _mark(kind) in file.read()


def write(path: Path, content: bytes, kind: str) -> None:
    """Write a marked file, whole or not at all."""
    with replacing(path) as file:
        file.write(marked(content, path.suffix.lower(), kind))


def marked(content: bytes, suffix: str, kind: str) -> bytes:
    """A file's content with the mark of its kind; formats without comments stay as they are."""
    comment = _comments.get(suffix)
    return content if comment is None else comment(content, _mark(kind))


def _mark(kind: str) -> bytes:
    return f"tinygrad_rnn: {kind}".encode()


def _after(start: bytes, end: bytes = b"") -> Callable[[bytes, bytes], bytes]:
    """A comment on a line of its own, at the end."""
    return lambda content, mark: content.rstrip(b"\n") + b"\n" + start + mark + end + b"\n"


def _in_png(content: bytes, mark: bytes) -> bytes:
    """A chunk of text before the last chunk, IEND, which is 12 bytes long."""
    chunk = b"tEXtSoftware\0" + mark
    length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return content[:-12] + length + chunk + check + content[-12:]


def _in_gif(content: bytes, mark: bytes) -> bytes:
    """A comment before the last byte, the trailer."""
    return content[:-1] + b"\x21\xfe" + bytes([len(mark)]) + mark + b"\0" + content[-1:]


_xml, _tex, _dot = _after(b"<!-- ", b" -->"), _after(b"% "), _after(b"// ")
_comments: dict[str, Callable[[bytes, bytes], bytes]] = {
    ".svg": _xml,
    ".html": _xml,
    ".dot": _dot,
    ".gv": _dot,
    ".tex": _tex,
    ".tikz": _tex,
    ".pdf": _tex,
    ".ps": _tex,
    ".eps": _tex,
    ".png": _in_png,
    ".gif": _in_gif,
}


def died(error: subprocess.CalledProcessError | BrokenPipeError) -> str:
    """Why a program that renders, ``dot``, gave no picture."""
    if isinstance(error, BrokenPipeError):
        return "dot ended before it had read the graph"
    if error.returncode < 0:
        return f"dot was ended by signal {-error.returncode}"
    said = error.stderr.decode("utf-8", "replace") if isinstance(error.stderr, bytes) else ""
    last = said.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
    return f"dot failed: {last[0]}"
