"""Language models on characters or words: vocabulary, streams, training, sampling, n-grams.

Text becomes ids (:class:`Vocabulary`), ids become parallel streams that are read window by window
(:class:`Streams`), a :class:`LanguageModel` learns to predict every next id (:func:`bptt_step`),
and how well it does it is measured in bits per character, beside the :class:`NGram` models of the
same text. :func:`sample` and :func:`beam_search` let it write.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from . import nn, ops, optim
from .graph import no_grad
from .tensor import Tensor

# ── characters, words and ids ────────────────────────────────────────────────────────────


def read_text(path: str | os.PathLike[str]) -> str:
    """The text in a UTF-8 file, with lines that end in ``\\n`` and without a byte order mark.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8; the message says from which byte on.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{os.fspath(path)}: expected UTF-8 text, got byte 0x{content[error.start]:02x} at "
            f"offset {error.start:,} ({error.reason})"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def words(text: str) -> list[str]:
    """A text cut into words, losing nothing: joined together they are the text.

    A word is a run of letters and digits of any script, with apostrophes and combining marks
    inside it; any other visible sign is a word of its own. One space before a word belongs to it;
    further spaces, line ends and tabs stand alone. Scripts that are written without spaces,
    Chinese for one, are better read by character.

    >>> words("Don't go, 안녕!\\n")
    ["Don't", ' go', ',', ' 안녕', '!', '\\n']
    """
    # `re` has no name for combining marks, but those that occur can be listed.
    marks = {c for c in set(text) if unicodedata.category(c)[0] == "M" or c in "\u200c\u200d"}
    inner = rf"[\w{re.escape(''.join(marks))}]"
    return re.findall(rf" ?\w{inner}*(?:['’]{inner}+)*| ?[^\w\s]|\s", text)


class Vocabulary:
    """The different characters or words of a text, sorted by code points; id = place in it.

    Args:
        text: a string; or any iterable of symbols, that is of characters or words.
        words: cut strings into :func:`words` instead of characters.
        unknown: the symbol that stands for every other one, added to the vocabulary; None if
            others are errors.
        size: how many symbols to keep at most, the most frequent ones and ``unknown``; None keeps
            all.

    Attributes:
        symbols: a tuple of strings; the place of each is its id.

    Raises:
        ValueError: there are no symbols; or a ``size`` below 2 or without ``unknown``.

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
                "Vocabulary: a size needs a symbol for what is unknown and must be at least 2, "
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
        """The ids of a text's symbols; where there is one, unknown ones get that of ``unknown``.

        Raises:
            KeyError: a symbol that is not in the vocabulary, which has no ``unknown``.
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
            IndexError: an id is negative or not below the vocabulary's size.
        """
        places = np.asarray(ids, np.intp).reshape(-1).tolist()
        if places and not 0 <= min(places) <= max(places) < len(self):
            raise IndexError(
                f"decode: expected ids from 0 to {len(self) - 1}, "
                f"got {min(places)} to {max(places)}"
            )
        return "".join(self.symbols[i] for i in places)

    def state_dict(self) -> dict[str, Any]:
        """What ``Vocabulary(**state)`` makes the same vocabulary of."""
        return {"text": list(self.symbols), "words": self.words, "unknown": self.unknown}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._ids

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self._kind}s)"


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

_layers: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class LanguageModel(nn.Module):
    """A recurrent net that predicts the next id of every stream from those before it.

        x_t = embedding[id_t],   y_t, state_t = recurrent(x_t, state_{t-1}),   logits_t = W y_t + b

    Args:
        vocabulary_size: V.
        embedding_dim: D.
        hidden_size: H.
        num_layers: L, how many recurrent layers lie upon each other.
        cell: "lstm", "gru" or "rnn".
        dropout: a probability, between layers while training.
        dtype: of the parameters.
        rng: a generator, or a seed for one.

    Calling it: ``logits, state = model(ids, state)`` with integers ids (T, N); logits (T, N, V);
    the state is h (L, N, H), for an LSTM the pair (h, c), zeros where it is None.
    ``unroll=True`` records every step op by op, for pictures.

    Raises:
        ValueError: there is no such cell; a size or the dropout is out of range; ids of another
            shape.

    Source: Sutskever, Martens and Hinton, "Generating Text with Recurrent Neural Networks",
    ICML 2011; with LSTMs and dropout between them: Zaremba, Sutskever and Vinyals, "Recurrent
    Neural Network Regularization", arXiv:1409.2329.

    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> logits, (h, c) = model([[0, 1], [2, 3], [4, 0]])
    >>> logits.shape, h.shape
    ((3, 2, 5), (1, 2, 4))
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        cell: str = "lstm",
        dropout: float = 0.0,
        dtype: Any = np.float32,
        rng: nn.init.Seed = None,
    ):
        if cell not in _layers:
            raise ValueError(
                f"LanguageModel: expected cell {' or '.join(map(repr, _layers))}, got {cell!r}"
            )
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim, dtype=dtype, rng=rng)
        self.recurrent = _layers[cell](
            embedding_dim, hidden_size, num_layers, dropout=dropout, dtype=dtype, rng=rng
        )
        self.output = nn.Linear(hidden_size, vocabulary_size, dtype=dtype, rng=rng)

    def forward(self, ids: Any, state: Any = None, *, unroll: bool = False) -> tuple[Tensor, Any]:
        shape = np.shape(ids)
        if len(shape) != 2 or not shape[0]:
            raise ValueError(f"LanguageModel: expected ids (T, N) with T at least 1, got {shape}")
        y, state = self.recurrent(self.embedding(ids), state, unroll=unroll)
        return self.output(y), state


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


# ── training ─────────────────────────────────────────────────────────────────────────────


def bptt_step(
    model: Any,
    optimizer: optim.Optimizer,
    window: tuple[ndarray, ndarray],
    state: Any = None,
    *,
    max_norm: float = math.inf,
    teacher_forcing: float = 1.0,
    rng: nn.init.Seed = None,
) -> tuple[float, Any]:
    """One step of truncated BPTT: the state goes on from window to window, the gradient does not.

        L = -mean over t, n of log p(y[t, n] | x[..t, n], state[n])

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        optimizer: of the model's parameters; makes one step.
        window: (x, y), ids (T, N) and those that follow them.
        state: what the step before returned; None at the beginning of the text.
        max_norm: the norm that gradients are clipped to.
        teacher_forcing: the probability with which the input at a step is the text's own id. The
            others are drawn from what the model predicted at the step before, so that it learns
            to go on from its own mistakes.
        rng: a generator, or a seed for one, for those draws.

    Returns:
        The loss, in nats, and the state after the window, as constants. Where the loss is not a
        finite number the parameters stay as they are.

    Raises:
        ValueError: ``teacher_forcing`` is not from 0 to 1.

    Source: Williams and Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", Neural Computation 2 (1990); own inputs ("scheduled
    sampling"): Bengio et al., arXiv:1506.03099.

    >>> import numpy as np
    >>> from tinygrad_rnn import optim
    >>> model = LanguageModel(vocabulary_size=4, embedding_dim=3, hidden_size=8, rng=0)
    >>> optimizer = optim.Adam(model.parameters(), lr=0.1)
    >>> state = None
    >>> for window in Streams(np.arange(200) % 4, batch_size=2, length=5):
    ...     loss, state = bptt_step(model, optimizer, window, state)
    >>> loss < 0.1
    True
    """
    if not 0 <= teacher_forcing <= 1:
        raise ValueError(f"bptt_step: teacher_forcing must be from 0 to 1, got {teacher_forcing}")
    x, y = window
    if teacher_forcing == 1:
        logits, state = model(x, state)
    else:
        logits, state = _partly_forced(model, x, state, teacher_forcing, np.random.default_rng(rng))
    loss = nn.cross_entropy(ops.reshape(logits, (y.size, -1)), y.reshape(-1))
    value = float(loss.item())
    if math.isfinite(value):
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(optimizer.params, max_norm)
        optimizer.step()
    return value, detached(state)


def _partly_forced(
    model: Any, x: ndarray, state: Any, teacher_forcing: float, rng: np.random.Generator
) -> tuple[Tensor, Any]:
    outputs: list[Tensor] = []
    ids = x[0]
    for t in range(len(x)):
        if t:
            # The largest logit with Gumbel noise is a draw from their softmax.
            predicted = outputs[-1].numpy()[0]
            own = np.argmax(predicted + rng.gumbel(size=predicted.shape), -1)
            ids = np.where(rng.random(own.shape) < teacher_forcing, x[t], own)
        logits, state = model(ids[None], state)
        outputs.append(logits)
    return ops.concatenate(outputs), state


def detached(state: Any) -> Any:
    """A recurrent state, Tensors in nested tuples, as constants: no gradient passes."""
    if isinstance(state, (tuple, list)):
        return tuple(detached(member) for member in state)
    return state.detach() if isinstance(state, Tensor) else state


# ── writing ──────────────────────────────────────────────────────────────────────────────


def sample(
    model: Any,
    prompt: Any,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    exclude: Sequence[int] = (),
    rng: nn.init.Seed = None,
) -> ndarray:
    """Let a model write: each next id is drawn from what it predicts, and fed back to it.

        p(id) ~ exp(logit_id / temperature)

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        prompt: the ids to go on from, at least one.
        length: how many to draw.
        temperature: below 1 plays safe, above 1 dares more; 0 always takes the likeliest
            ("greedy").
        top_k: draw among the k likeliest only; None among all.
        exclude: ids that are never drawn, that of unknown symbols for one.
        rng: a generator, or a seed for one.

    Returns:
        (length,) ids, without the prompt.

    Raises:
        ValueError: an empty prompt, a negative temperature or length, a ``top_k`` below 1, or
            nothing left to draw from.

    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> sample(model, [0, 1], 4, temperature=0).shape
    (4,)
    """
    if not temperature >= 0 or length < 0:
        raise ValueError(
            f"sample: expected temperature and length of at least 0, got {temperature} and {length}"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"sample: expected top_k of at least 1, got {top_k}")
    ids = _prompt("sample", prompt)
    rng = np.random.default_rng(rng)
    drawn = np.empty(length, np.intp)
    state = None
    with no_grad():
        for i in range(length):
            logits, state = model(ids.reshape(-1, 1), state)
            scores = logits.numpy()[-1, 0].astype(np.float64)
            scores[list(exclude)] = -np.inf
            drawn[i] = _draw(scores, temperature, top_k, rng)
            ids = drawn[i : i + 1]
    return drawn


def _prompt(where: str, prompt: Any) -> ndarray:
    ids = np.asarray(prompt)
    if ids.ndim != 1 or not ids.size:
        raise ValueError(f"{where}: expected a prompt of at least one id, got shape {ids.shape}")
    return ids


def _draw(logits: ndarray, temperature: float, top_k: int | None, rng: np.random.Generator) -> int:
    best = logits.max()
    if best == -np.inf:
        raise ValueError("sample: every id is excluded")
    if temperature == 0:
        return int(np.argmax(logits))
    if top_k is not None and top_k < len(logits):
        logits = logits.copy()
        logits[np.argsort(-logits, kind="stable")[top_k:]] = -np.inf
    p = np.exp((logits - best) / temperature)
    return int(rng.choice(len(p), p=p / p.sum()))


def beam_search(
    model: Any,
    prompt: Any,
    length: int,
    *,
    beam_size: int = 5,
    end: int | None = None,
    exclude: Sequence[int] = (),
) -> list[tuple[ndarray, float]]:
    """The likeliest continuations, found by keeping the best few at every step.

        log p(y_1 ... y_T | prompt) = sum over t of log p(y_t | prompt, y_1 ... y_{t-1})

    One beam is greedy search; as many as there are sequences finds the likeliest one for certain.

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`; its state is an
            array, or nested tuples of them, whose last axis but one is the batch.
        prompt: the ids to go on from, at least one.
        length: T, how many to add.
        beam_size: how many sequences to keep.
        end: the id that ends a sequence; None if nothing does.
        exclude: ids that no sequence takes, that of unknown symbols for one.

    Returns:
        Pairs of ids, without the prompt, and log probability in nats; at most ``beam_size``, the
        likeliest first. A sequence that ended has ``end`` as its last id.

    Raises:
        ValueError: an empty prompt, a negative length, or a ``beam_size`` below 1.

    Source: Graves, "Sequence Transduction with Recurrent Neural Networks", arXiv:1211.3711,
    sec. 3; Sutskever, Vinyals and Le, arXiv:1409.3215, sec. 3.2.

    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> (best, log_p), (second, lower) = beam_search(model, [0, 1], 4, beam_size=2)
    >>> best.shape, log_p >= lower
    ((4,), True)
    """
    if beam_size < 1 or length < 0:
        raise ValueError(
            f"beam_search: expected beam_size of at least 1 and length of at least 0, "
            f"got {beam_size} and {length}"
        )
    ids = _prompt("beam_search", prompt).reshape(-1, 1)
    beams = np.empty((1, 0), np.intp)
    log_p, ended, state = np.zeros(1), np.zeros(1, bool), None
    with no_grad():
        for _ in range(length):
            if ended.all():
                break
            logits, state = model(ids, state)
            following = ops.log_softmax(logits.numpy()[-1].astype(np.float64))
            following[:, list(exclude)] = -np.inf
            if end is not None:
                # What has ended goes on with more ends, at no cost, and keeps its place.
                following[ended] = -np.inf
                following[ended, end] = 0
            total = log_p[:, None] + following
            best = np.argsort(-total, axis=None, kind="stable")[:beam_size]
            best = best[total.flat[best] > -np.inf]
            rows, added = np.unravel_index(best, total.shape)
            beams = np.concatenate([beams[rows], added[:, None]], axis=1)
            log_p, ended, state = total[rows, added], added == end, _rows(state, rows)
            ids = added[None]
    found = []
    for beam, score in zip(beams, log_p.tolist(), strict=True):
        ends = np.flatnonzero(beam == end)
        found.append((beam[: ends[0] + 1] if ends.size else beam, score))
    return found


def _rows(state: Any, rows: ndarray) -> Any:
    """A recurrent state with these rows of its batch."""
    if isinstance(state, (tuple, list)):
        return tuple(_rows(member, rows) for member in state)
    return ops.take(state, rows, axis=-2)


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
    "beam_search",
    "bits_per_character",
    "bptt_step",
    "detached",
    "read_text",
    "sample",
    "words",
]
