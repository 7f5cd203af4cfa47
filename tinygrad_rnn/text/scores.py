"""How good a text is: the perplexity of a model, and the overlap of a translation with others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Value


def perplexity(nats: Any) -> float:
    """Among how many equally likely symbols a model is undecided, in the mean.

        perplexity = exp(cross-entropy in nats)

    Args:
        nats: the mean cross-entropy, as of ``tg.nn.cross_entropy``: a number, or an array or
            Tensor of losses, whose mean is taken.

    Returns:
        From 1 for a model that is always right; inf where it is too large for a float.

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
    """The BLEU score of a corpus: how many n-grams of the translations are in their references.

        BLEU = 100 min(1, exp(1 - r/c)) (p_1 p_2 p_3 p_4)^(1/4)

    p_n is the part of the n-grams of all hypotheses that a reference has, each no more often than
    there; c the length of all hypotheses, r that of the references closest to them in length.

    Args:
        hypotheses: one for each sentence, as tokens: lists of words.
        references: for each sentence one or several right translations, each as tokens.
        max_order: the longest n-grams, 4.
        smooth: where no n-gram of an order is right, count a half, a quarter, ... of one, as
            sacrebleu does by default ("exp"); False gives 0 then.

    Returns:
        From 0 to 100, as sacrebleu has it with ``tokenize="none"``.

    Raises:
        ValueError: the numbers of hypotheses and references differ, or a sentence has none.
        TypeError: a sentence is a string: split it into words.

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
    for hypothesis, known in zip(hypotheses, references, strict=True):
        if (
            isinstance(hypothesis, str)
            or isinstance(known, str)
            or any(isinstance(one, str) for one in known)
        ):
            raise TypeError(
                "bleu: expected sentences as lists of words, and lists of references for each; "
                "split strings"
            )
        if not known:
            raise ValueError("bleu: expected at least one reference for each sentence")
        length += len(hypothesis)
        closest += min((abs(len(one) - len(hypothesis)), len(one)) for one in known)[1]
        for n in range(1, max_order + 1):
            counts = _ngrams(hypothesis, n)
            most: Counter[tuple[str, ...]] = Counter()
            for one in known:
                most |= _ngrams(one, n)
            right[n - 1] += sum((counts & most).values())
            total[n - 1] += sum(counts.values())
    if not length or not any(right):
        return 0.0
    halves, logs = 1.0, 0.0
    for found, of in zip(right, total, strict=True):
        if not of:
            return 0.0
        if not found:
            if not smooth:
                return 0.0
            halves *= 2
        logs += math.log((found or 1 / halves) / of)
    brevity = min(0.0, 1 - closest / length)
    return 100 * math.exp(brevity + logs / max_order)


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
