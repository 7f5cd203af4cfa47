"""Batches of a data set in memory: shuffled, padded, and grouped by length; and a sample text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .graph import checked_lengths
from .nn.init import Seed
from .nn.utils.rnn import checked_sequences, pad_sequence


class DataLoader:
    """Iterate over a data set in batches. Each iteration is one epoch.

    A data set has one or several members. Example i of every member belongs together:

        an array            (N, ...): numbers of one shape for each example
        a list of arrays    N sequences (L_i, ...), padded to the longest of the batch
        with ``lengths``    the arrays named by ``padded`` are sequences that are already padded,
                            (N, T, ...); a batch is cut to its longest sequence

    Args:
        *members: the data.
        batch_size: the number of examples in a batch. The last batch may be smaller.
        shuffle: draw a new order for every epoch.
        lengths: (N,) integers, the lengths of padded sequences.
        padded: the positions of the members to which ``lengths`` belongs.
        bucket: the number of batches that are sorted by length together, so that a batch needs
            little padding. 0 sorts nothing, a large number everything. With ``shuffle`` the batches
            are shuffled after that.
        drop_last: leave out a smaller last batch.
        batch_first: return sequences as (N, T, ...) instead of (T, N, ...), the order that
            recurrent layers take by default.
        padding_value: the value of the padding.
        rng: a generator, or a seed for one, for the order. The same seed gives the same batches.

    Iteration yields tuples: a batch of each member, and last, if there are sequences, the lengths
    (N,). ``len`` is the number of batches.

    Raises:
        ValueError: there are no members, or they have different numbers of examples; the lengths
            do not fit; an example has sequences of different lengths; the batch size is below 1.
        TypeError: the lengths are not integers.

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
                    f"DataLoader: member 0 has {self._size} examples, member {i} has {len(member)}"
                )
        self._padded = () if lengths is None else tuple(padded)
        self._lengths = self._all_lengths(lengths)
        if bucket and self._lengths is None:
            raise ValueError("DataLoader: bucket sorts by length, but there are no sequences")
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
        # Sort by length within pools of some batches: neighbours need little padding, and the pools
        # still differ in every epoch.
        if self.bucket and self._lengths is not None:
            pool = N * self.bucket
            for start in range(0, self._size, pool):
                part = order[start : start + pool]
                order[start : start + pool] = part[np.argsort(self._lengths[part], kind="stable")]
        batches = [order[start : start + N] for start in range(0, self._size, N)][: len(self)]
        if self.bucket and self.shuffle:  # or each pool would go from short to long
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

    def _all_lengths(self, lengths: Any) -> ndarray | None:
        """The lengths (N,) of padded members and of lists, which must agree; None without any."""
        every: list[ndarray] = []
        if lengths is not None:
            where, batch = "DataLoader", (self._size,)
            every.append(checked_lengths(where, lengths, batch, None))
            for i in self._padded:
                member = self._members[i]
                T = 0 if isinstance(member, list) or member.ndim < 2 else member.shape[1]
                checked_lengths(f"{where}: member {i}", lengths, batch, T)
        ragged = [member for member in self._members if isinstance(member, list)]
        every += [np.array([len(x) for x in member], np.intp) for member in ragged]
        for other in every[1:]:
            wrong = np.flatnonzero(other != every[0])
            if wrong.size:
                raise ValueError(
                    f"DataLoader: example {wrong[0]} has sequences of {every[0][wrong[0]]} and of "
                    f"{other[wrong[0]]} steps"
                )
        return every[0] if every else None


def _member(place: int, value: Any) -> Any:
    """An array, or a list of arrays that differ only in their lengths."""
    if isinstance(value, (list, tuple)) and value and np.ndim(value[0]) > 0:
        return checked_sequences(f"DataLoader: member {place}", value)
    array = np.asarray(value)
    if array.ndim < 1:
        raise ValueError(f"DataLoader: member {place} has no axis of examples, got shape ()")
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
