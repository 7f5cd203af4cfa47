"""Scores: the perplexity of a model, and the BLEU score of translations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Value


def perplexity(nats: Any) -> float:
    """The perplexity: the uncertainty of a choice among this many equally likely symbols.

        perplexity = exp(cross-entropy in nats)

    Args:
        nats: the mean cross-entropy, such as ``tg.nn.cross_entropy`` returns: a number, or an array
            or Tensor of losses of any shape, whose mean is taken.

    Returns:
        A number from 1, for a model that is always right; inf if it is too large for a float.

    >>> round(perplexity(math.log(8)), 9)
    8.0
    """
    array = nats._array if isinstance(nats, Value) else np.asarray(nats)
    mean = float(np.mean(array, dtype=np.float64))
    try:
        return math.exp(mean)
    except OverflowError:
        return math.inf


def bleu(
    hypotheses: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    *,
    max_order: int = 4,
    smooth: bool = True,
) -> float:
    """The BLEU score of a corpus: how many n-grams of the translations occur in references.

        BLEU = 100 min(1, exp(1 - r/c)) (p_1 p_2 p_3 p_4)^(1/4)

    p_n is the part of all n-grams of the hypotheses that also occur in a reference. An n-gram
    counts at most as often as in the reference that has it most often. c is the length of all
    hypotheses, and r the length of the references that are closest to them in length.

    Args:
        hypotheses: one for each sentence, as a list of words.
        references: for each sentence one or several right translations, each as a list of words.
        max_order: the length of the longest n-grams.
        smooth: if no n-gram of an order is right, count 1/2, 1/4, ... instead, as sacrebleu does by
            default ("exp"). With False the score is then 0.

    Returns:
        A number from 0 to 100, equal to that of sacrebleu with ``tokenize="none"``.

    Raises:
        ValueError: the numbers of hypotheses and references differ, or a sentence has no reference.
        TypeError: a sentence is a string instead of a list of words.

    Source: Papineni et al., "BLEU", ACL 2002; Post, "A Call for Clarity in Reporting BLEU
    Scores", WMT 2018.

    >>> there = "the cat is on the mat".split()
    >>> round(bleu([there], [[there]]), 6)
    100.0
    """
    if len(hypotheses) != len(references):
        raise ValueError(
            f"bleu: expected as many references as hypotheses, got {len(references)} and "
            f"{len(hypotheses)}"
        )
    right, total = [0] * max_order, [0] * max_order
    length = closest = 0
    for hypothesis, translations in zip(hypotheses, references, strict=True):
        if (
            isinstance(hypothesis, str)
            or isinstance(translations, str)
            or any(isinstance(one, str) for one in translations)
        ):
            raise TypeError(
                "bleu: expected sentences as lists of words, and lists of references for each; "
                "split strings"
            )
        if not translations:
            raise ValueError("bleu: expected at least one reference for each sentence")
        length += len(hypothesis)
        closest += min((abs(len(t) - len(hypothesis)), len(t)) for t in translations)[1]
        for n in range(1, max_order + 1):
            counts = _ngrams(hypothesis, n)
            allowed: Counter[tuple[str, ...]] = Counter()
            for translation in translations:
                allowed |= _ngrams(translation, n)
            right[n - 1] += sum((counts & allowed).values())
            total[n - 1] += sum(counts.values())
    if not length or not any(right):
        return 0.0
    # The mean of the logarithms is the logarithm of the geometric mean.
    power_of_2, logs = 1.0, 0.0
    for matches, count in zip(right, total, strict=True):
        if not count:
            return 0.0
        if not matches:
            if not smooth:
                return 0.0
            power_of_2 *= 2
        logs += math.log((matches or 1 / power_of_2) / count)
    brevity = min(0.0, 1 - closest / length)
    return 100 * math.exp(brevity + logs / max_order)


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
