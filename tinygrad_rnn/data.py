"""Batches of a data set that fits into memory, shuffled and padded; and a text to train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .nn.init import Seed
from .nn.utils.rnn import alike, pad_sequence


class DataLoader:
    """The examples of some arrays, batch after batch; iterating again is another epoch.

    A data set is one or several members, with example i of each belonging together:

        an array            (N, ...): numbers of one shape for each example
        a list of arrays    N sequences (L_i, ...), which are padded to the batch's longest
        with ``lengths``    the arrays named by ``padded`` are sequences that are padded already,
                            (N, T, ...): batches are cut to their longest

    Args:
        *members: the data.
        batch_size: N of a batch; the last one is smaller, where it does not divide the data.
        shuffle: draw a new order for every epoch.
        lengths: (N,) integers, the lengths of padded sequences.
        padded: which members they are the lengths of.
        bucket: how many batches to sort by length together, so that a batch needs little padding;
            0 sorts nothing, a large number everything. The batches are then shuffled, if
            ``shuffle`` is on.
        drop_last: leave out a smaller last batch.
        batch_first: give sequences as (N, T, ...); else (T, N, ...), as recurrent layers take
            them.
        padding_value: what shorter sequences are filled up with.
        rng: a generator, or a seed for one, for the order. The same seed gives the same batches.

    Iterating gives tuples: a batch of each member, and at the end the lengths (N,) where there are
    sequences. ``len`` is the number of batches.

    Raises:
        ValueError: there are no members or they have different numbers of examples; lengths that
            do not fit; sequences of different lengths in one example; a batch size below 1.
        TypeError: lengths that are not integers.

    Source: sorting within pools: Khomenko et al., "Accelerating recurrent neural network training
    using sequence bucketing and multi-GPU data parallelization", arXiv:1708.05604.

    >>> import numpy as np
    >>> sequences = [np.arange(3.0), np.arange(5.0), np.arange(4.0)]
    >>> loader = DataLoader(sequences, np.array([0, 1, 0]), batch_size=2)
    >>> for x, y, lengths in loader:
    ...     print(x.shape, y, lengths)
    (5, 2) [0 1] [3 5]
    (4, 1) [0] [4]
    """

    def __init__(
        self,
        *members: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        lengths: Any = None,
        padded: Sequence[int] = (0,),
        bucket: int = 0,
        drop_last: bool = False,
        batch_first: bool = False,
        padding_value: float = 0.0,
        rng: Seed = None,
    ):
        if not members:
            raise ValueError("DataLoader: expected data, got none")
        if batch_size < 1 or bucket < 0:
            raise ValueError(
                f"DataLoader: expected batch_size of at least 1 and bucket of at least 0, got "
                f"{batch_size} and {bucket}"
            )
        self._members = [_member(i, member) for i, member in enumerate(members)]
        self._size = len(self._members[0])
        for i, member in enumerate(self._members):
            if len(member) != self._size:
                raise ValueError(
                    f"DataLoader: member 0 has {self._size} examples, member {i} {len(member)}"
                )
        self._padded = () if lengths is None else tuple(padded)
        self._lengths = self._all_lengths(lengths)
        if bucket and self._lengths is None:
            raise ValueError("DataLoader: bucket sorts by length, and there are no sequences")
        self.batch_size, self.shuffle, self.bucket = batch_size, bool(shuffle), bucket
        self.drop_last, self.batch_first = bool(drop_last), bool(batch_first)
        self.padding_value = padding_value
        self.rng = np.random.default_rng(rng)

    def __len__(self) -> int:
        full, rest = divmod(self._size, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self._batch(examples) for examples in self._batches())

    def _batches(self) -> list[ndarray]:
        """The examples of every batch, in the order of this epoch."""
        N = self.batch_size
        order = self.rng.permutation(self._size) if self.shuffle else np.arange(self._size)
        if self.bucket and self._lengths is not None:
            pool = N * self.bucket
            for start in range(0, self._size, pool):
                part = order[start : start + pool]
                order[start : start + pool] = part[np.argsort(self._lengths[part], kind="stable")]
        batches = [order[start : start + N] for start in range(0, self._size, N)][: len(self)]
        if self.bucket and self.shuffle:
            batches = [batches[k] for k in self.rng.permutation(len(batches))]
        return batches

    def _batch(self, examples: ndarray) -> tuple[Any, ...]:
        parts: list[Any] = []
        lengths = None if self._lengths is None else self._lengths[examples]
        for i, member in enumerate(self._members):
            if isinstance(member, list):
                chosen = [member[k] for k in examples]
                parts.append(pad_sequence(chosen, self.batch_first, self.padding_value))
            elif i in self._padded and lengths is not None:
                T = int(lengths.max(initial=0))
                part = member[examples, :T]
                parts.append(part if self.batch_first else part.swapaxes(0, 1))
            else:
                parts.append(member[examples])
        return tuple(parts) if lengths is None else (*parts, lengths)

    def _all_lengths(self, given: Any) -> ndarray | None:
        """(N,), from what was given and from the lists; None without sequences."""
        found: list[ndarray] = []
        if given is not None:
            lengths = np.asarray(given)
            if lengths.dtype.kind not in "iu":
                raise TypeError(f"DataLoader: expected integers as lengths, got {lengths.dtype}")
            for i in self._padded:
                member = self._members[i]
                T = 0 if isinstance(member, list) or member.ndim < 2 else member.shape[1]
                if (
                    lengths.shape != (self._size,)
                    or lengths.min(initial=1) < 1
                    or (lengths.max(initial=0) > T)
                ):
                    raise ValueError(
                        f"DataLoader: expected {self._size} lengths from 1 to {T}, the second "
                        f"axis of member {i}; got {lengths.shape} from {lengths.min(initial=1)} "
                        f"to {lengths.max(initial=0)}"
                    )
            found.append(lengths.astype(np.intp))
        ragged = [member for member in self._members if isinstance(member, list)]
        found += [np.array([len(x) for x in member], np.intp) for member in ragged]
        for other in found[1:]:
            wrong = np.flatnonzero(other != found[0])
            if wrong.size:
                raise ValueError(
                    f"DataLoader: example {wrong[0]} has sequences of {found[0][wrong[0]]} and of "
                    f"{other[wrong[0]]} steps"
                )
        return found[0] if found else None


def _member(place: int, given: Any) -> Any:
    """An array, or a list of arrays that are alike but for their lengths."""
    if isinstance(given, (list, tuple)) and given and np.ndim(given[0]) > 0:
        return alike(f"DataLoader: member {place}", given)
    array = np.asarray(given)
    if array.ndim < 1:
        raise ValueError(f"DataLoader: member {place} has no axis of examples")
    return array


def python_manual() -> str:
    """Return the reference texts of Python's ``help("topics")``: about half a million characters.

    The text is English with code. It comes with CPython, so nothing is downloaded. Each version of
    Python has its own text.

    Raises:
        FileNotFoundError: this Python comes without the texts.

    Source: https://docs.python.org/3/reference, as the module ``pydoc_data.topics``.

    >>> text = python_manual()
    >>> "assert" in text, len(text) > 100_000
    (True, True)
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise FileNotFoundError(
            "python_manual reads pydoc_data/topics.py, which ships with CPython; this Python has "
            "none (some distributions put it into a package of its own, such as "
            "libpython3-stdlib)"
        ) from None
    return "\n".join(topics.values())


__all__ = ["DataLoader", "python_manual"]
