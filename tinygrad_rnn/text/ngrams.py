"""N-gram models, the baseline for a net."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .vocabulary import as_ids


class NGram:
    """Predict the next id from the ``order - 1`` ids before it, by counting.

        p(w | h) = (count(h w) + d(h) p(w | h')) / (count(h) + d(h))

    where d(h) is the number of different ids that followed the history h, and h' is h without its
    oldest id. This is Witten and Bell's smoothing, interpolated down to 1 / V. So an id that never
    followed h in training has a probability above 0, and a larger one if many different ids
    followed h. For a history that never occurred, or at the start of a text, p(w | h) = p(w | h').

    Args:
        ids: (L,) integers, the training text.
        size: V, the size of the vocabulary.
        order: 1 for unigrams, p(next); 2 for bigrams, p(next | previous); and so on.

    Raises:
        TypeError: the ids are not integers.
        ValueError: there are no ids, an id is out of range, or the order is below 1.

    Source: Witten and Bell, "The zero-frequency problem", IEEE Transactions on Information Theory
    37 (1991), method C; interpolated as in Chen and Goodman, arXiv:cmp-lg/9606011, sec. 2.3.

    >>> import numpy as np
    >>> bigram = NGram([0, 1, 0, 1, 0, 1], size=2, order=2)
    >>> bigram.probabilities([0, 1]).round(3)
    array([0.5  , 0.875])
    """

    def __init__(self, ids: Any, size: int, order: int):
        if order < 1:
            raise ValueError(f"NGram: order must be at least 1, got {order}")
        self.size, self.order = size, order
        ids = self._checked(ids)
        if not ids.size:
            raise ValueError("NGram: expected a training text, got no ids")
        # One table for each length of history, from 0 on. The number of a history is the place of
        # its n-gram in the sorted table before, so the codes stay below len(ids) * size.
        self._tables: list[tuple[ndarray, ndarray, ndarray, ndarray]] = []
        histories = np.zeros(len(ids), np.int64)
        for _ in range(order):
            known = histories >= 0
            codes = histories * size + ids
            grams, counts = np.unique(codes[known], return_counts=True)
            distinct = np.bincount(grams // size)
            totals = np.bincount(grams // size, counts)
            self._tables.append((grams, counts, totals, distinct))
            histories = _one_later(np.where(known, np.searchsorted(grams, codes), -1))

    def probabilities(self, ids: Any) -> ndarray:
        """p(id | the ids before it) for every id of a text, (L,)."""
        ids = self._checked(ids)
        p = np.full(len(ids), 1 / self.size)
        histories = np.zeros(len(ids), np.int64)
        for grams, counts, totals, distinct in self._tables:
            # The history at the very end of the training text has no id after it.
            known = (histories >= 0) & (histories < len(totals))
            known[known] = totals[histories[known]] > 0
            h = histories[known]
            codes = h * self.size + ids[known]
            places = np.minimum(np.searchsorted(grams, codes), len(grams) - 1)
            seen = grams[places] == codes
            count = np.where(seen, counts[places], 0)
            p[known] = (count + distinct[h] * p[known]) / (totals[h] + distinct[h])
            following = np.full(len(ids), -1)
            following[known] = np.where(seen, places, -1)
            histories = _one_later(following)
        return p

    def bits_per_character(self, ids: Any) -> float:
        """The mean of ``-log2 p(id)`` over a text (L,): its cross-entropy under the model.

        Raises:
            ValueError: there are no ids.
        """
        p = self.probabilities(ids)
        if not p.size:
            raise ValueError("bits_per_character: expected a text, got no ids")
        return float(-np.log2(p).mean())

    def _checked(self, ids: Any) -> ndarray:
        array = as_ids("NGram", ids).astype(np.int64, copy=False)
        if array.ndim != 1 or (array.size and not 0 <= array.min() <= array.max() < self.size):
            raise ValueError(f"NGram: expected (L,) ids from 0 to {self.size - 1}")
        return array


def _one_later(histories: ndarray) -> ndarray:
    """Shift by one: the n-gram that ends at t is the history of t + 1. The first id has none."""
    return np.concatenate([[-1], histories])[: len(histories)]
