"""Small tasks for recurrent nets: random batches, and the loss and the accuracy of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from ... import nn, ops
from ...tensor import Tensor
from ...text import Vocabulary

Batch = tuple[ndarray, ndarray]


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        says: the task in one sentence, for people.
        inputs, outputs: the sizes of x_t and of an answer.
        batch: ``batch(rng, T, N)`` gives x (T, N, inputs) and the targets. These are classes
            (T, N), -100 for a step without a question; or numbers (N,) for the last step.
        symbols: gives a text for each step of x, for people.
    """

    says: str
    inputs: int
    outputs: int
    batch: Callable[[np.random.Generator, int, int], Batch]
    symbols: Callable[[ndarray], list[str]]

    def loss(self, logits: Tensor, target: ndarray) -> Tensor:
        """Return the mean loss of answers (T, N, outputs)."""
        if target.dtype.kind == "f":
            error: Tensor = nn.mse_loss(logits[-1, :, 0], target)
            return error
        flat = ops.reshape(logits, (-1, self.outputs))
        loss: Tensor = nn.cross_entropy(flat, target.reshape(-1))
        return loss

    def right(self, logits: ndarray, target: ndarray) -> float:
        """Return the accuracy. A number counts as right if its error is below 0.1."""
        if target.dtype.kind == "f":
            return float((np.abs(logits[-1, :, 0] - target) < 0.1).mean())
        asked = target != -100
        return float((logits.argmax(-1) == target)[asked].mean()) if asked.any() else 0.0


def _one_hot(ids: ndarray, size: int) -> ndarray:
    found: ndarray = np.eye(size, dtype=np.float32)[ids]
    return found


def _nothing_asked(T: int, N: int) -> ndarray:
    return np.full((T, N), -100)


_LETTERS = "abcd?"


def _recall(rng: np.random.Generator, T: int, N: int) -> Batch:
    ids = rng.integers(4, size=(T, N))
    ids[-1] = 4
    target = _nothing_asked(T, N)
    target[-1] = ids[0]
    return _one_hot(ids, 5), target


def _adding(rng: np.random.Generator, T: int, N: int) -> Batch:
    x = np.zeros((T, N, 2), np.float32)
    x[..., 0] = rng.random((T, N))
    first, second = rng.integers(0, T // 2, N), rng.integers(T // 2, T, N)
    each = np.arange(N)
    x[first, each, 1] = x[second, each, 1] = 1
    return x, x[first, each, 0] + x[second, each, 0]


def _parity(rng: np.random.Generator, T: int, N: int) -> Batch:
    bits = rng.integers(2, size=(T, N))
    return bits[..., None].astype(np.float32), np.cumsum(bits, 0) % 2


_DELAY = 5


def _echo(rng: np.random.Generator, T: int, N: int) -> Batch:
    ids = rng.integers(4, size=(T, N))
    target = _nothing_asked(T, N)
    target[_DELAY:] = ids[:-_DELAY] if T > _DELAY else ids[:0]
    return _one_hot(ids, 4), target


_DEEPEST = 4


def _brackets(rng: np.random.Generator, T: int, N: int) -> Batch:
    """Draw brackets; the target is the number of open brackets after each."""
    ids, depth = np.zeros((T, N), int), np.zeros(N, int)
    target = np.zeros((T, N), int)
    for t in range(T):
        opens = rng.random(N) < 0.5
        opens = (opens | (depth == 0)) & (depth < _DEEPEST)
        ids[t] = np.where(opens, 0, 1)
        depth = depth + np.where(opens, 1, -1)
        target[t] = depth
    return _one_hot(ids, 2), target


def _letters(letters: str) -> Callable[[ndarray], list[str]]:
    return lambda x: [letters[k] for k in x.argmax(-1)]


TASKS = {
    "recall": Task(
        "name the first letter when ? comes at the end",
        5,
        4,
        _recall,
        _letters(_LETTERS),
    ),
    "adding": Task(
        "add the two numbers that are marked by *",
        2,
        1,
        _adding,
        lambda x: [f"{a:.1f}{'*' if b else ''}" for a, b in x],
    ),
    "parity": Task(
        "say whether the number of ones so far is odd",
        1,
        2,
        _parity,
        lambda x: [str(int(b)) for b in x[:, 0]],
    ),
    "echo": Task(f"repeat each letter {_DELAY} steps later", 4, 4, _echo, _letters(_LETTERS)),
    "brackets": Task("say how many brackets are open", 2, _DEEPEST + 1, _brackets, _letters("()")),
}


def text_task(text: str) -> Task:
    """Return the task to predict the next character of a text.

    Raises:
        ValueError: the text is shorter than 50 characters.
    """
    if len(text) < 50:
        raise ValueError(f"text: expected at least 50 characters, got {len(text)}")
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    size = len(vocabulary)

    def batch(rng: np.random.Generator, T: int, N: int) -> Batch:
        length = min(T, len(ids) - 1)
        starts = rng.integers(len(ids) - length, size=N)
        windows = ids[starts[None] + np.arange(length + 1)[:, None]]
        return _one_hot(windows[:-1], size), windows[1:]

    return Task(
        "predict the next character of the text",
        size,
        size,
        batch,
        lambda x: [vocabulary.symbols[k] for k in x.argmax(-1)],
    )
