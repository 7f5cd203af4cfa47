"""Reading the checkpoints of ``train``, and the trained model in a checkpoint."""

from __future__ import annotations

import io as standard_io
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import io
from ..text import LanguageModel, Vocabulary
from .arguments import STANDARD, Unusable, shown, standard_input

KIND = "tinygrad_rnn language model"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ``train``; ``-`` reads standard input.

    Raises:
        OSError: the file cannot be read.
        Unusable: the file is not a checkpoint, or damaged.
    """
    try:
        if path == STANDARD:
            checkpoint = io.load(standard_io.BytesIO(standard_input()))
        else:
            checkpoint = io.load(path)
    except ValueError as error:
        raise Unusable(str(error)) from None
    if checkpoint.get("kind") != KIND:
        raise Unusable(
            f"{shown(path)}: expected a checkpoint of 'train', got a file with "
            f"{', '.join(map(repr, list(checkpoint)[:4])) or 'nothing'}"
        )
    return checkpoint


def load_model(checkpoint: str | os.PathLike[str]) -> tuple[LanguageModel, Vocabulary]:
    """Load the model and the vocabulary from a checkpoint of ``train``.

    Args:
        checkpoint: the path of the ``.npz`` file.

    Returns:
        The model, in training mode like every new module, and the vocabulary.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not a checkpoint, is damaged, or has a parameter that is not finite.

    >>> import os, tempfile
    >>> import tinygrad_rnn as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text, out = (os.path.join(folder, name) for name in ("text.txt", "model.npz"))
    ...     with open(text, "w") as file:
    ...         _ = file.write("to be or not to be, " * 20)
    ...     history = tg.train(text, out, hidden=8, batch=4, bptt=8, steps=3)
    ...     model, vocabulary = tg.load_model(out)
    >>> logits, state = model(vocabulary.encode("to be")[:, None])
    >>> logits.shape == (5, 1, len(vocabulary))
    True
    """
    path = Path(checkpoint)
    content = read_checkpoint(path)
    with blamed_on(path):
        vocabulary = Vocabulary(**content["vocabulary"])
        model = LanguageModel(len(vocabulary), **content["model"]["settings"], rng=0)
        model.load_state_dict(content["model"]["parameters"])
    for name, parameter in model.named_parameters():
        if not np.isfinite(parameter.data).all():
            raise Unusable(f"{shown(path)}: its parameter {name} is not finite")
    return model, vocabulary


@contextmanager
def blamed_on(path: Path) -> Iterator[None]:
    """Turn errors from the contents of a checkpoint into an error that names the checkpoint."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Unusable(f"{shown(path)}: not a checkpoint of this version: {error}") from error


def known(name: str, text: str, vocabulary: Vocabulary) -> str:
    """Return a text in a form whose symbols the model knows.

    A letter with an accent may be one code point or several. A file from macOS may have the one
    form, and a keyboard the other. So this tries the text as it is and both normal forms.

    Args:
        name: the option that the text comes from.
        text: the text.
        vocabulary: the vocabulary of the model.

    Raises:
        Unusable: the text is empty, or the model does not know some of its symbols; the message
            lists them.
    """
    if not text:
        raise Unusable(f"{name}: expected some text, got an empty one")
    for candidate in dict.fromkeys(
        [text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))]
    ):
        if vocabulary.words and not vocabulary.missing(f" {candidate}"):
            return f" {candidate}"  # most words of the vocabulary begin with a space
        if not vocabulary.missing(candidate):
            return candidate
    missing = vocabulary.missing(text)
    kind = "words" if vocabulary.words else "characters"
    listed = ", ".join(map(repr, missing[:10])) + (", ..." if len(missing) > 10 else "")
    raise Unusable(f"{name} has {kind} that the model's text has not: {listed}")
