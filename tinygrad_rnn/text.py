"""Language models on characters: vocabulary, streams for truncated BPTT, n-grams, sampling.

Text becomes ids (:class:`Vocabulary`), ids become parallel streams that are read window by window
(:class:`Streams`), a :class:`LanguageModel` predicts every next id, and how well it does it is
measured in bits per character, beside the :class:`NGram` models of the same text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from . import nn, ops
from .graph import no_grad, steps
from .tensor import Tensor

# ── characters and ids ───────────────────────────────────────────────────────────────────


class Vocabulary:
    """The different characters of a text, in the order of their code points; id = place in it.

    Args:
        text: a string, or any iterable of characters.

    Raises:
        ValueError: there are none.

    >>> vocabulary = Vocabulary("안녕, hello")
    >>> vocabulary.encode("hell")
    array([3, 2, 4, 4])
    >>> vocabulary.decode([7, 6])
    '안녕'
    """

    def __init__(self, text: Iterable[str]):
        self.characters = tuple(sorted(set(text)))
        if not self.characters:
            raise ValueError("Vocabulary: expected a text with at least one character")
        self._ids = {character: i for i, character in enumerate(self.characters)}

    def encode(self, text: Iterable[str]) -> ndarray:
        """The ids of a text's characters.

        Raises:
            KeyError: a character that is not in the vocabulary.
        """
        try:
            return np.array([self._ids[character] for character in text], np.intp)
        except KeyError as unknown:
            raise KeyError(
                f"character {unknown} is not one of the {len(self)} in the vocabulary"
            ) from None

    def decode(self, ids: Any) -> str:
        """The text of a sequence of ids.

        Raises:
            IndexError: an id is negative or not below the vocabulary's size.
        """
        places = np.asarray(ids, np.intp).reshape(-1).tolist()
        if places and not 0 <= min(places) <= max(places) < len(self):
            raise IndexError(
                f"decode: expected ids from 0 to {len(self) - 1}, "
                f"got {min(places)} to {max(places)}"
            )
        return "".join(self.characters[i] for i in places)

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: object) -> bool:
        return character in self._ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} characters)"


# ── streams for truncated BPTT ───────────────────────────────────────────────────────────


class Streams(Sequence[tuple[ndarray, ndarray]]):
    """A corpus as N parallel streams, read in windows of T steps.

    The corpus is cut into N contiguous pieces of equal length L, one to a column. Window k holds
    the steps from kT on of every stream, and the ids that follow each of them:

        x[t, n] = ids[n L + k T + t],    y[t, n] = ids[n L + k T + t + 1]

    So a recurrent state may be carried from each window into the next: column n goes on where it
    stopped. The last window is shorter where T does not divide L; up to N ids at the end of the
    corpus are left out.

    Args:
        ids: (M,) integers.
        batch_size: N, how many streams.
        length: T, how many steps in a window.

    Raises:
        ValueError: there are fewer than N + 1 ids, or N or T is below 1.

    Source: Williams and Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", Neural Computation 2 (1990).

    >>> import numpy as np
    >>> windows = Streams(np.arange(7), batch_size=2, length=2)
    >>> x, y = windows[0]
    >>> x
    array([[0, 3],
           [1, 4]])
    >>> y
    array([[1, 4],
           [2, 5]])
    >>> len(windows), windows[1][0]
    (2, array([[2, 5]]))
    """

    def __init__(self, ids: Any, batch_size: int, length: int):
        ids = np.asarray(ids)
        if batch_size < 1 or length < 1:
            raise ValueError(
                f"Streams: expected batch_size and length of at least 1, got {batch_size} "
                f"and {length}"
            )
        if ids.ndim != 1 or len(ids) <= batch_size:
            raise ValueError(
                f"Streams: {batch_size} streams take at least {batch_size + 1} ids in a row, "
                f"got shape {ids.shape}"
            )
        steps_each = (len(ids) - 1) // batch_size
        used = steps_each * batch_size
        self.batch_size, self.length = batch_size, length
        self._inputs = ids[:used].reshape(batch_size, steps_each).T
        self._targets = ids[1 : used + 1].reshape(batch_size, steps_each).T

    def __len__(self) -> int:
        return -(-len(self._inputs) // self.length)

    def __getitem__(self, k: Any) -> Any:
        if not -len(self) <= k < len(self):
            raise IndexError(f"Streams: window {k} of {len(self)}")
        start = k % len(self) * self.length
        part = slice(start, start + self.length)
        return self._inputs[part], self._targets[part]


# ── a recurrent language model ───────────────────────────────────────────────────────────


class LanguageModel(nn.Module):
    """An LSTM that predicts the next id of every stream from those before it.

        x_t = embedding[id_t],   h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1}),   logits_t = W h_t + b

    Args:
        vocabulary_size: V.
        embedding_dim: D.
        hidden_size: H.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Calling it: ``logits, state = model(ids, state)`` with integers ids (T, N); logits (T, N, V);
    the state is the pair (h, c), each (N, H), zeros where it is None.

    Source: Sutskever, Martens and Hinton, "Generating Text with Recurrent Neural Networks",
    ICML 2011, with the LSTM in the place of their cell.

    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> logits, state = model([[0, 1], [2, 3], [4, 0]])
    >>> logits.shape, state[0].shape
    ((3, 2, 5), (2, 4))
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        hidden_size: int,
        *,
        dtype: Any = np.float32,
        rng: nn.init.Seed = None,
    ):
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim, dtype=dtype, rng=rng)
        self.cell = nn.LSTMCell(embedding_dim, hidden_size, dtype=dtype, rng=rng)
        self.output = nn.Linear(hidden_size, vocabulary_size, dtype=dtype, rng=rng)

    def forward(self, ids: Any, state: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        shape = np.shape(ids)
        if len(shape) != 2 or not shape[0]:
            raise ValueError(f"LanguageModel: expected ids (T, N) with T at least 1, got {shape}")
        # What does not depend on the state is done once for all steps.
        x = self.embedding(ids)
        hs = []
        for _, x_t in steps(x):
            state = self.cell(x_t, state)
            hs.append(state[0])
        return self.output(ops.stack(hs)), state


def bits_per_character(model: Any, windows: Iterable[tuple[ndarray, ndarray]]) -> float:
    """How well a model predicts a text: the mean of ``-log2 p(next id)``, state carried along.

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        windows: pairs (x, y) in order, as :class:`Streams` gives them.

    Raises:
        ValueError: there are no windows.
    """
    state, nats, count = None, 0.0, 0
    with no_grad():
        for x, y in windows:
            logits, state = model(x, state)
            rows = ops.reshape(logits, (y.size, -1))
            nats += nn.cross_entropy(rows, y.reshape(-1), reduction="sum").item()
            count += y.size
    if not count:
        raise ValueError("bits_per_character: expected a text, got no windows")
    return nats / count / math.log(2)


def sample(
    model: Any,
    prompt: Any,
    length: int,
    *,
    temperature: float = 1.0,
    rng: nn.init.Seed = None,
) -> ndarray:
    """Let a model write: each next id is drawn from what it predicts, and fed back to it.

        p(id) ~ exp(logit_id / temperature)

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        prompt: the ids to go on from, at least one.
        length: how many to draw.
        temperature: below 1 plays safe, above 1 dares more; 0 always takes the likeliest.
        rng: a generator, or a seed for one.

    Returns:
        (length,) ids, without the prompt.

    Raises:
        ValueError: an empty prompt, a negative temperature or length.

    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> sample(model, [0, 1], 4, temperature=0).shape
    (4,)
    """
    if not temperature >= 0 or length < 0:
        raise ValueError(
            f"sample: expected temperature and length of at least 0, got {temperature} and {length}"
        )
    ids = np.asarray(prompt)
    if ids.ndim != 1 or not ids.size:
        raise ValueError(f"sample: expected a prompt of at least one id, got shape {ids.shape}")
    rng = np.random.default_rng(rng)
    drawn = np.empty(length, np.intp)
    state = None
    with no_grad():
        for i in range(length):
            logits, state = model(ids.reshape(-1, 1), state)
            drawn[i] = _draw(logits.numpy()[-1, 0].astype(np.float64), temperature, rng)
            ids = drawn[i : i + 1]
    return drawn


def _draw(logits: ndarray, temperature: float, rng: np.random.Generator) -> int:
    if temperature == 0:
        return int(np.argmax(logits))
    p = np.exp((logits - logits.max()) / temperature)
    return int(rng.choice(len(p), p=p / p.sum()))


# ── n-gram models: what a net has to beat ────────────────────────────────────────────────


class NGram:
    """The next id predicted from the ``order - 1`` before it, by counting.

        p(w | h) = (count(h w) + d(h) p(w | h')) / (count(h) + d(h))

    where d(h) is how many different ids followed the history h, and h' is h without its oldest id:
    Witten and Bell's smoothing, interpolated down to 1 / V. An id that never followed h in
    training thus keeps a probability above 0, and the more so the more variety follows h. A
    history that never occurred, or that the text is too short for, leaves the word to h'.

    Args:
        ids: the training text's ids.
        size: V, the size of the vocabulary.
        order: 1 for the unigram model, H(next); 2 for the bigram, H(next | previous); 3 ...

    Raises:
        ValueError: no ids, ids out of range, or an order below 1.

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
        # One table for each length of history, from 0 on. Histories are numbered by the place of
        # their n-gram in the sorted table before, so that the codes never grow large.
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
            # A history at the very end of the training text was never followed by anything.
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
        """The mean of ``-log2 p(id)`` over a text: its cross-entropy under the model.

        Raises:
            ValueError: no ids.
        """
        p = self.probabilities(ids)
        if not p.size:
            raise ValueError("bits_per_character: expected a text, got no ids")
        return float(-np.log2(p).mean())

    def _checked(self, ids: Any) -> ndarray:
        array = np.asarray(ids, np.int64)
        if array.ndim != 1 or (array.size and not 0 <= array.min() <= array.max() < self.size):
            raise ValueError(f"NGram: expected (L,) ids from 0 to {self.size - 1}")
        return array


def _one_later(histories: ndarray) -> ndarray:
    """The n-gram that ends at t is the history of t + 1; the first id has none."""
    return np.concatenate([[-1], histories])[: len(histories)]


__all__ = [
    "LanguageModel",
    "NGram",
    "Streams",
    "Vocabulary",
    "bits_per_character",
    "sample",
]
