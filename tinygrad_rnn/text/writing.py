"""Write text with a language model: draw each next id, or search for the most probable text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .. import nn, ops
from ..graph import no_grad
from .vocabulary import as_ids


def sample(
    model: Any,
    prompt: Any,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    exclude: Sequence[int] = (),
    end: int | None = None,
    state: Any = None,
    rng: nn.init.Seed = None,
) -> ndarray:
    """Draw a text: each next id is drawn from the prediction, and is the next input.

        p(id) ~ exp(logit_id / temperature)

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`.
        prompt: the ids to continue, at least one.
        length: the number of ids to draw.
        temperature: below 1, probable ids become more probable; above 1, less. 0 always takes the
            most probable id ("greedy").
        top_k: draw only among the k most probable ids; None means all.
        exclude: ids that are never drawn, such as that of unknown symbols.
        end: the id that ends the text; None if no id does.
        state: the state before the prompt, for a batch of one, such as that of an encoder or of
            earlier text; None means the initial state.
        rng: a generator, or a seed for one.

    Returns:
        (length,) ids, without the prompt. Fewer if ``end`` was drawn; it is then the last id.

    Raises:
        ValueError: an empty prompt, a negative or infinite temperature, a negative length, a
            ``top_k`` below 1, or every id is excluded.
        TypeError: the prompt, ``exclude`` or ``end`` is not integers.
        IndexError: ``exclude`` or ``end`` is an id that the model does not have.
        FloatingPointError: the model predicts NaN or +Inf.

    >>> from tinygrad_rnn.text import LanguageModel
    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> sample(model, [0, 1], 4, temperature=0).shape
    (4,)
    """
    if length < 0:
        raise ValueError(f"sample: expected length of at least 0, got {length}")
    drawn = generate(
        model,
        prompt,
        temperature=temperature,
        top_k=top_k,
        exclude=exclude,
        end=end,
        state=state,
        rng=rng,
    )
    return np.fromiter(itertools.islice(drawn, length), np.intp)


def generate(
    model: Any,
    prompt: Any,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    exclude: Sequence[int] = (),
    end: int | None = None,
    state: Any = None,
    rng: nn.init.Seed = None,
) -> Iterator[int]:
    """Yield the ids that :func:`sample` draws, one by one, until ``end`` or forever.

    Arguments and errors are those of :func:`sample`. A wrong argument raises at the call, not at
    the first id.

    >>> import itertools
    >>> from tinygrad_rnn.text import LanguageModel
    >>> model = LanguageModel(vocabulary_size=5, embedding_dim=3, hidden_size=4, rng=0)
    >>> len(list(itertools.islice(generate(model, [0, 1], rng=0), 7)))
    7
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"sample: expected a temperature of at least 0 and finite, got {temperature}"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"sample: expected top_k of at least 1, got {top_k}")
    ids = _prompt("sample", prompt)
    excluded = as_ids("sample: exclude", list(exclude))
    ends = as_ids("sample: end", [] if end is None else [end])
    rng = np.random.default_rng(rng)
    return _generated(model, ids, state, temperature, top_k, excluded, ends, rng)


def _generated(
    model: Any,
    ids: ndarray,
    state: Any,
    temperature: float,
    top_k: int | None,
    excluded: ndarray,
    ends: ndarray,
    rng: np.random.Generator,
) -> Iterator[int]:
    while True:
        with no_grad():  # not around the yield, which would switch recording off for the caller
            logits, state = model(ids.reshape(-1, 1), state)
        scores = _scores("sample", logits.numpy()[-1, 0])
        scores[_checked_ids("sample: exclude", excluded, len(scores))] = -np.inf
        drawn = _draw(scores, temperature, top_k, rng)
        yield drawn
        if drawn in _checked_ids("sample: end", ends, len(scores)):
            return
        ids = np.array([drawn], np.intp)


def _prompt(where: str, prompt: Any) -> ndarray:
    ids = np.asarray(prompt)
    if ids.ndim != 1 or not ids.size:
        raise ValueError(f"{where}: expected a prompt of at least one id, got shape {ids.shape}")
    return as_ids(f"{where}: prompt", ids)


def _scores(where: str, logits: ndarray) -> ndarray:
    """Logits in float64. -Inf is allowed: such an id has probability 0."""
    scores = logits.astype(np.float64)
    if not (scores < np.inf).all():
        raise FloatingPointError(f"{where}: the model predicts NaN or Inf")
    return scores


def _checked_ids(where: str, ids: ndarray, size: int) -> ndarray:
    bad = ids[(ids < 0) | (ids >= size)]
    if bad.size:
        raise IndexError(f"{where}: expected ids from 0 to {size - 1}, got {bad[0]}")
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
    with np.errstate(over="ignore"):  # with a tiny temperature, exp(-Inf) = 0 is right
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
    """The most probable continuations: keep only the best few sequences at every step.

        log p(y_1 ... y_T | prompt) = sum over t of log p(y_t | prompt, y_1 ... y_{t-1})

    One beam is greedy search. With as many beams as there are sequences, the result is the most
    probable one.

    Args:
        model: ``model(ids, state) -> (logits, state)`` as :class:`LanguageModel`. Its state is an
            array, or nested tuples of arrays. The second last axis of each is the batch.
        prompt: the ids to continue, at least one.
        length: T, the number of ids to add.
        beam_size: the number of sequences to keep.
        end: the id that ends a sequence; None if no id does.
        exclude: ids that no sequence may have, such as that of unknown symbols.

    Returns:
        At most ``beam_size`` pairs, the most probable first: the ids (T,) without the prompt, and
        their log probability in nats. A sequence that ended has ``end`` as its last id.

    Raises:
        ValueError: an empty prompt, a negative length, or a ``beam_size`` below 1.
        TypeError: the prompt, ``end`` or ``exclude`` is not integers.
        IndexError: ``end`` or ``exclude`` is an id that the model does not have.
        FloatingPointError: the model predicts NaN or +Inf.

    Source: Graves, "Sequence Transduction with Recurrent Neural Networks", arXiv:1211.3711,
    sec. 3; Sutskever, Vinyals and Le, arXiv:1409.3215, sec. 3.2.

    >>> from tinygrad_rnn.text import LanguageModel
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
    excluded = as_ids("beam_search: exclude", list(exclude))
    ends = as_ids("beam_search: end", [] if end is None else [end])
    beams = np.empty((1, 0), np.intp)
    log_p, ended, state = np.zeros(1), np.zeros(1, bool), None
    with no_grad():
        for _ in range(length):
            if ended.all():
                break
            logits, state = model(ids, state)
            following = ops.log_softmax(_scores("beam_search", logits.numpy()[-1]))
            size = following.shape[-1]
            following[:, _checked_ids("beam_search: exclude", excluded, size)] = -np.inf
            # A sequence that has ended continues with ``end`` at log probability 0, so its score
            # stays the same.
            following[ended] = -np.inf
            following[np.ix_(ended, _checked_ids("beam_search: end", ends, size))] = 0
            total = log_p[:, None] + following
            best = np.argsort(-total, axis=None, kind="stable")[:beam_size]
            best = best[total.flat[best] > -np.inf]
            rows, added = np.unravel_index(best, total.shape)
            beams = np.concatenate([beams[rows], added[:, None]], axis=1)
            log_p, ended, state = total[rows, added], added == end, _rows(state, rows)
            ids = added[None]
    results = []
    for beam, score in zip(beams, log_p.tolist(), strict=True):
        places = np.flatnonzero(beam == end)
        results.append((beam[: places[0] + 1] if places.size else beam, score))
    return results


def _rows(state: Any, rows: ndarray) -> Any:
    """Take these rows of the batch of a recurrent state."""
    if isinstance(state, (tuple, list)):
        return tuple(_rows(member, rows) for member in state)
    return ops.take(state, rows, axis=-2)
