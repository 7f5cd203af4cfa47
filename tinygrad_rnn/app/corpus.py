"""A text as ids, split into a training part and a held-out part."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from ..text import Streams, Vocabulary
from ..text import words as words_of
from .arguments import STANDARD, Unusable, shown
from .settings import MOST_HELD_OUT, UNKNOWN


class Corpus:
    """A text as ids, split into a training part and a held-out part.

    Args:
        text: the text.
        path: the file that it came from, for messages.
        settings: ``words``, ``vocabulary``, ``held_out``, ``batch`` and ``bptt``.

    Attributes:
        vocabulary: all characters of the text, or the most frequent words of the training part.
        training: the Streams of the training part.
        test: the Streams of the held-out part, or None if nothing is held out.
        digest: a hash of the text.

    Raises:
        Unusable: the text is too short for the settings.
    """

    def __init__(self, text: str, path: Path, settings: dict[str, Any]):
        self.name = shown(path) if path == STANDARD else path.name
        self.words = bool(settings["words"])
        self.unit = "word" if self.words else "character"
        self.digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        symbols = words_of(text) if self.words else text
        self.size = len(symbols)
        held_out = min(math.ceil(self.size * settings["held_out"]), MOST_HELD_OUT)
        cut = self.size - held_out
        least = settings["batch"] + 1
        if cut < least or 0 < held_out < 2:
            raise Unusable(
                f"{shown(path)} has {_count(self.size, self.unit)}, {cut:,} of them to train on; "
                f"--batch {settings['batch']} takes at least {least:,}"
                + (", and two more to be held out" if held_out else "")
            )
        if self.words:
            size = settings["vocabulary"]
            self.vocabulary = Vocabulary(symbols[:cut], words=True, unknown=UNKNOWN, size=size)
        else:
            self.vocabulary = Vocabulary(text)
        ids = self.vocabulary.encode(symbols)
        self.training = Streams(ids[:cut], settings["batch"], settings["bptt"])
        self.test = (
            Streams(ids[cut:], min(settings["batch"], held_out - 1), settings["bptt"])
            if held_out
            else None
        )

    def __str__(self) -> str:
        different = f"{len(self.vocabulary):,} {'of them kept' if self.words else 'different'}"
        held_out = "" if self.test is None else ", the end held out"
        return f"{_count(self.size, self.unit)}, {different}{held_out}"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'s' * (number != 1)}"
