"""Language models on characters or words: vocabulary, streams, training, sampling, n-grams.

Text becomes ids (:class:`Vocabulary`), ids become parallel streams that are read window by window
(:class:`Streams`), a :class:`LanguageModel` learns to predict every next id (:func:`bptt_step`),
and how well it does it is measured in bits per character, beside the :class:`NGram` models of the
same text. :func:`sample` and :func:`beam_search` let it write; :func:`perplexity` and
:func:`bleu` score it.
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
