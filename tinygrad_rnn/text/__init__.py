"""Language models on characters or words: vocabulary, streams, training, sampling, n-grams.

In reading order: ``vocabulary``, ``streams``, ``model``, ``ngrams``, ``writing``, ``scores``.

A :class:`Vocabulary` turns text into ids. :class:`Streams` cuts the ids into parallel streams and
reads them window by window. A :class:`LanguageModel` learns to predict every next id, with
:func:`bptt_step`. Its score is in bits per character, and :class:`NGram` models give a baseline.
:func:`sample` and :func:`beam_search` write text; :func:`perplexity` and :func:`bleu` score it.
"""

from .model import LanguageModel, bits_per_character, bptt_step, detached
from .ngrams import NGram
from .scores import bleu, perplexity
from .streams import Streams
from .vocabulary import Vocabulary, read_text, words
from .writing import beam_search, generate, sample

__all__ = [
    "LanguageModel",
    "NGram",
    "Streams",
    "Vocabulary",
    "beam_search",
    "bits_per_character",
    "bleu",
    "bptt_step",
    "detached",
    "generate",
    "perplexity",
    "read_text",
    "sample",
    "words",
]
