"""Turn the characters or words of a text into ids, and ids into text."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray


def read_text(path: str | os.PathLike[str], encoding: str | None = None) -> str:
    """Read the text in a file. Lines end in ``\\n``, and a byte order mark is removed.

    Args:
        path: the file.
        encoding: a text encoding of Python, such as "utf-16" or "cp949"; None means UTF-8.

    Raises:
        OSError: the file cannot be read.
        ValueError: the text is not in this encoding (the message names the first wrong byte), or
            the encoding is unknown.
    """
    return decoded(Path(path).read_bytes(), os.fspath(path), encoding)


def decoded(content: bytes, name: str, encoding: str | None = None) -> str:
    """Decode bytes as :func:`read_text` does; ``name`` is the file, for messages."""
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        expected = "UTF-8" if encoding is None else encoding
        advice = "" if encoding else _advice(_utf16_or_32(content, b"\0", 1 / 20))
        raise ValueError(
            f"{name}: expected {expected} text, got byte 0x{content[error.start]:02x} at "
            f"offset {error.start:,} ({error.reason}){advice}"
        ) from None
    except LookupError:
        raise ValueError(f"{name}: there is no text encoding {encoding!r}") from None
    if encoding is None and "\0" in text:
        likely = _utf16_or_32(content, _controls, 1 / 2)
        if likely is not None:
            raise ValueError(
                f"{name}: expected UTF-8 text, got {content.count(0):,} NULs{_advice(likely)}"
            )
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _advice(likely: str | None) -> str:
    return f"; it looks like UTF-{likely[4:6]}: --encoding {likely}" if likely else ""


_controls = bytes(set(range(32)) - set(b"\t\n\r"))


def _utf16_or_32(content: bytes, signs: bytes, least: float) -> str | None:
    """Guess from a byte order mark, or from the NULs, whether bytes are UTF-16 or UTF-32.

    UTF-16 writes an ASCII character as one NUL and one other byte. For a Greek or Cyrillic letter,
    another control character replaces the NUL. So every second byte is one of these.

    Args:
        content: the bytes.
        signs: the bytes to look for, NULs or all control characters.
        least: the smallest part of every second byte that must be one of them.
    """
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            return encoding
    halves = content[:10_000:2], content[1:10_000:2]
    even, odd = (1 - len(half.translate(None, signs)) / max(len(half), 1) for half in halves)
    if len(content) % 2 or 0 not in content or max(even, odd) < least:
        return None
    if min(even, odd) > max(even, odd) / 4:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def as_ids(where: str, ids: Any) -> ndarray:
    """Integers of any shape as ids.

    Raises:
        TypeError: they are not integers. Booleans are refused too: they are probably a mask.
    """
    array = np.asarray(ids)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{where}: expected integer ids, got {array.dtype}")
    return array.astype(np.intp, copy=False)


def words(text: str) -> list[str]:
    """Cut a text into words. Nothing is lost: joined, the words are the text again.

    A word is a run of letters and digits of any script, with apostrophes and combining marks
    inside it. Every other visible character is a separate word. One space before a word belongs to
    it. Further spaces, line ends and tabs are separate words. For scripts without spaces, such as
    Chinese, use characters instead.

    >>> words("Don't go, 안녕!\\n")
    ["Don't", ' go', ',', ' 안녕', '!', '\\n']
    """
    # `re` has no class for combining marks, so list those that occur in the text.
    marks = {c for c in set(text) if unicodedata.category(c)[0] == "M" or c in "\u200c\u200d"}
    inner = rf"[\w{re.escape(''.join(marks))}]"
    return re.findall(rf" ?\w{inner}*(?:['’]{inner}+)*| ?[^\w\s]|\s", text)


class Vocabulary:
    """The different characters or words of a text, sorted by code points. An id is a place in it.

    Args:
        text: a string; or an iterable of symbols (characters or words).
        words: cut strings into :func:`words` instead of characters.
        unknown: a symbol that is added and stands for every other symbol; with None, other symbols
            are errors.
        size: the largest number of symbols: the most frequent ones and ``unknown``; None keeps
            all.

    Attributes:
        symbols: a tuple of strings; the place of each is its id.

    Raises:
        ValueError: there are no symbols; or ``size`` is below 2, or comes without ``unknown``.

    >>> vocabulary = Vocabulary("안녕, hello")
    >>> vocabulary.encode("hell")
    array([3, 2, 4, 4])
    >>> vocabulary.decode([7, 6])
    '안녕'
    >>> vocabulary = Vocabulary("We want to be, to be!", words=True, unknown="?", size=3)
    >>> vocabulary.symbols
    (' be', ' to', '?')
    >>> vocabulary.decode(vocabulary.encode("not to be"))
    '? to be'
    """

    def __init__(
        self,
        text: Iterable[str],
        *,
        words: bool = False,
        unknown: str | None = None,
        size: int | None = None,
    ):
        if size is not None and (unknown is None or size < 2):
            raise ValueError(
                "Vocabulary: size must be at least 2 and needs a symbol for unknown ones, "
                f"got unknown={unknown!r} and size={size}"
            )
        self.words, self.unknown = bool(words), unknown
        symbols = self._cut(text)
        if size is not None:
            counts = Counter(symbols)
            del counts[unknown]
            symbols = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[: size - 1]
        kept = {*symbols}
        if not kept:
            raise ValueError(f"Vocabulary: expected a text with at least one {self._kind}")
        if unknown is not None:
            kept.add(unknown)
        self.symbols = tuple(sorted(kept))
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}

    @property
    def _kind(self) -> str:
        return "word" if self.words else "character"

    def _cut(self, text: Iterable[str]) -> Iterable[str]:
        return words(text) if self.words and isinstance(text, str) else text

    def encode(self, text: Iterable[str]) -> ndarray:
        """The ids of the symbols of a text, (L,). Unknown symbols get the id of ``unknown``.

        Raises:
            KeyError: a symbol is not in the vocabulary, and there is no ``unknown``.
        """
        symbols = self._cut(text)
        if self.unknown is not None:
            other = self._ids[self.unknown]
            return np.array([self._ids.get(symbol, other) for symbol in symbols], np.intp)
        try:
            return np.array([self._ids[symbol] for symbol in symbols], np.intp)
        except KeyError as missing:
            raise KeyError(
                f"{self._kind} {missing} is not one of the {len(self)} in the vocabulary"
            ) from None

    def missing(self, text: Iterable[str]) -> list[str]:
        """The different symbols of a text that the vocabulary does not have, in order."""
        return list(dict.fromkeys(symbol for symbol in self._cut(text) if symbol not in self))

    def decode(self, ids: Any) -> str:
        """The text of a sequence of ids.

        Raises:
            TypeError: the ids are not integers.
            IndexError: an id is negative or not below the vocabulary's size.
        """
        places = as_ids("decode", ids).reshape(-1).tolist()
        if places and not 0 <= min(places) <= max(places) < len(self):
            raise IndexError(
                f"decode: expected ids from 0 to {len(self) - 1}, "
                f"got {min(places)} to {max(places)}"
            )
        return "".join(self.symbols[i] for i in places)

    def state_dict(self) -> dict[str, Any]:
        """The arguments that make this vocabulary again: ``Vocabulary(**state)``."""
        return {"text": list(self.symbols), "words": self.words, "unknown": self.unknown}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self._kind}s)"
