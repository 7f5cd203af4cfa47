"""Files that commands write. Each gets a mark of its kind, so that no other file is replaced.

A mark is a comment at the end of the file, in the syntax of its format. A command replaces a file
only if the file has the mark of the same kind or is empty, or if the user asks for it.
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

_TAIL = 200  # a mark is searched for in so many bytes at the end


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
        path: the file to write.
        kind: the kind of the new file.
        inputs: the files that the command reads.
        overwrite: whether the user allows replacing any file.
        advice: how the user can allow it, for the message.

    Raises:
        Unusable: the file is one of the inputs, or an existing file of another kind.
        OSError: the file cannot be read.
    """
    for given in inputs:
        if path.exists() and given.exists() and os.path.samefile(path, given):
            raise Unusable(f"{path} would be written over, and is what is read")
    if not overwrite and not is_free(path, kind):
        raise Unusable(f"{path} exists, and was not written by this command as a {kind}: {advice}")


def is_free(path: Path, kind: str) -> bool:
    """Return whether the path is free, or has an older file of the same kind."""
    if not path.is_file():  # a FIFO or a device loses nothing; a folder is refused later
        return True
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL, 0))
        return size == 0 or _mark(kind) in file.read()


def write(path: Path, content: bytes, kind: str) -> None:
    """Write a marked file, atomically."""
    with replacing(path) as file:
        file.write(marked(content, path.suffix.lower(), kind))


def marked(content: bytes, suffix: str, kind: str) -> bytes:
    """Add the mark of its kind to a file's content. Formats without comments get no mark."""
    comment = _comments.get(suffix)
    return content if comment is None else comment(content, _mark(kind))


def _mark(kind: str) -> bytes:
    return f"tinygrad_rnn: {kind}".encode()


def _after(start: bytes, end: bytes = b"") -> Callable[[bytes, bytes], bytes]:
    """Return a function that adds a comment in a line of its own, at the end."""
    return lambda content, mark: content.rstrip(b"\n") + b"\n" + start + mark + end + b"\n"


def _in_png(content: bytes, mark: bytes) -> bytes:
    """Add a text chunk before the last chunk, IEND, which is 12 bytes long."""
    chunk = b"tEXtSoftware\0" + mark
    length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return content[:-12] + length + chunk + check + content[-12:]


def _in_gif(content: bytes, mark: bytes) -> bytes:
    """Add a comment before the last byte, the trailer."""
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
    """Return why ``dot`` made no picture."""
    if isinstance(error, BrokenPipeError):
        return "dot ended before it had read the graph"
    if error.returncode < 0:
        return f"dot was ended by signal {-error.returncode}"
    said = error.stderr.decode("utf-8", "replace") if isinstance(error.stderr, bytes) else ""
    last = said.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
    return f"dot failed: {last[0]}"
