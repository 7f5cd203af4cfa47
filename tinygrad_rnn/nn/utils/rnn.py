"""Sequences of different lengths in one array: padded at the end, or packed without padding.

A padded batch is (T, N, ...), with padding after the end of each sequence. A packed batch has the
same numbers without padding: first step 0 of every sequence, then step 1 of every sequence that has
one, and so on. The longest sequence comes first. Recurrent layers take both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ... import ops
from ...graph import Array, Value
from ..checks import checked_lengths


class PackedSequence(NamedTuple):
    """A batch of sequences without padding.

    Attributes:
        data: (sum of all lengths, ...), step by step.
        batch_sizes: (T,) integers, the number of sequences that have a step t.
        sorted_indices: (N,), the sequences of the batch in the order of ``data``; None if the
            batch is already in this order.
        unsorted_indices: (N,), the place of each sequence of the batch in the order of ``data``;
            None if the batch is already in this order.
    """

    data: Array
    batch_sizes: ndarray
    sorted_indices: ndarray | None = None
    unsorted_indices: ndarray | None = None

    @property
    def lengths(self) -> ndarray:
        """(N,), the length of each sequence of the batch."""
        in_order = np.zeros(self.batch_sizes[0], np.intp)
        for size in self.batch_sizes:
            in_order[:size] += 1
        return in_order if self.unsorted_indices is None else in_order[self.unsorted_indices]


# ── padding ──────────────────────────────────────────────────────────────────────────────


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Array:
    """Pad sequences of different lengths to one array.

    Args:
        sequences: N arrays or Tensors (L_n, ...), which differ only in their lengths.
        batch_first: whether the batch is the first axis.
        padding_value: the value of the padding.
        padding_side: "right" pads after the end, "left" before the start.

    Returns:
        (T, N, ...), or (N, T, ...) with ``batch_first``; T is the largest length.

    Raises:
        ValueError: there are no sequences, or they differ in more than their lengths.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_sequence.html

    >>> pad_sequence([[1, 2, 3], [4]], batch_first=True, padding_value=-1)
    array([[ 1,  2,  3],
           [ 4, -1, -1]])
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: expected 'right' or 'left', got {padding_side!r}")
    arrays = checked_sequences("pad_sequence", sequences)
    T = max(len(x) for x in arrays)
    padded = []
    for x in arrays:
        missing = T - len(x)
        before_after = (0, missing) if padding_side == "right" else (missing, 0)
        widths = (before_after, *((0, 0),) * (x.ndim - 1))
        padded.append(ops.pad(x, widths, constant_values=padding_value) if missing else x)
    return ops.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded: Array, lengths: Any, batch_first: bool = False) -> list[Array]:
    """Take the sequences out of a padded batch: the inverse of :func:`pad_sequence`.

    Args:
        padded: (T, N, ...) or, with ``batch_first``, (N, T, ...).
        lengths: (N,) integers from 0 to T.
        batch_first: whether the batch is the first axis.

    Returns:
        N arrays or Tensors (L_n, ...).

    Raises:
        ValueError: the lengths do not fit.
        TypeError: the lengths are not integers.

    >>> [x.tolist() for x in unpad_sequence(np.array([[1, 4], [2, 0]]), [2, 1])]
    [[1, 2], [4]]
    """
    x: Any = padded if isinstance(padded, Value) else np.asarray(padded)
    x = x if batch_first else ops.swapaxes(x, 0, 1)
    N, T = x.shape[:2]
    sizes = checked_lengths("unpad_sequence", lengths, (N,), T, least=0)
    return [x[n, :size] for n, size in enumerate(sizes.tolist())]


# ── packing ──────────────────────────────────────────────────────────────────────────────


def pack_padded_sequence(
    input: Array, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch: remove its padding.

    Args:
        input: (T, N, ...) or, with ``batch_first``, (N, T, ...).
        lengths: (N,) integers from 1 to T.
        batch_first: whether the batch is the first axis.
        enforce_sorted: refuse lengths that are not in descending order; False sorts them.

    Raises:
        ValueError: the lengths do not fit, or are not sorted.
        TypeError: the lengths are not integers.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html

    >>> packed = pack_padded_sequence(np.array([[1, 4], [2, 0], [3, 0]]), [3, 1])
    >>> packed.data, packed.batch_sizes
    (array([1, 4, 2, 3]), array([2, 1, 1]))
    """
    where = "pack_padded_sequence"
    x: Any = input if isinstance(input, Value) else np.asarray(input)
    x = ops.swapaxes(x, 0, 1) if batch_first else x
    T, N = x.shape[:2]
    sizes = checked_lengths(where, lengths, (N,), T)
    order = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
    elif (np.diff(sizes) > 0).any():
        raise ValueError(
            f"{where}: expected lengths in descending order, got {sizes.tolist()}; "
            "enforce_sorted=False sorts them"
        )
    in_order = sizes if order is None else sizes[order]
    batch_sizes = (np.arange(sizes.max())[:, np.newaxis] < in_order).sum(1)
    data = _gathered(x, batch_sizes, order)
    return PackedSequence(data, batch_sizes, order, None if order is None else np.argsort(order))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Array, ndarray]:
    """Pad a packed batch: the inverse of :func:`pack_padded_sequence`.

    Args:
        sequence: a packed batch.
        batch_first: whether the batch becomes the first axis.
        padding_value: the value of the padding.
        total_length: T; None means the largest length.

    Returns:
        The padded batch, (T, N, ...) or (N, T, ...), and the lengths (N,). Both are in the original
        order of the batch.

    Raises:
        ValueError: ``total_length`` is below the largest length.

    >>> padded, lengths = pad_packed_sequence(pack_sequence([[1.0, 2.0], [3.0]]))
    >>> padded.tolist(), lengths.tolist()
    ([[1.0, 3.0], [2.0, 0.0]], [2, 1])
    """
    batch_sizes, unsorted = sequence.batch_sizes, sequence.unsorted_indices
    data: Any = sequence.data if isinstance(sequence.data, Value) else np.asarray(sequence.data)
    longest, N = len(batch_sizes), int(batch_sizes[0])
    T = longest if total_length is None else total_length
    if longest > T:
        raise ValueError(
            f"pad_packed_sequence: expected total_length of at least {longest}, got {T}"
        )
    places = np.full((T, N), -1, np.intp)  # of each step in the packed data; -1 is padding
    starts = np.cumsum(batch_sizes) - batch_sizes
    for t, (start, size) in enumerate(zip(starts.tolist(), batch_sizes.tolist(), strict=True)):
        places[t, :size] = start + np.arange(size)
    if unsorted is not None:
        places = places[:, unsorted]
    real = (places >= 0).reshape(T, N, *(1,) * (data.ndim - 1))
    padded = ops.getitem(data, np.maximum(places, 0))
    if not real.all():
        padded = ops.where(real, padded, np.asarray(padding_value, data.dtype))
    return (ops.swapaxes(padded, 0, 1) if batch_first else padded), sequence.lengths


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of different lengths.

    Args:
        sequences: N arrays or Tensors (L_n, ...), which differ only in their lengths.
        enforce_sorted: refuse lengths that are not in descending order; False sorts them.

    Raises:
        ValueError: there are no sequences, they differ in more than their lengths, or are not
            sorted.

    >>> pack_sequence([[1, 2, 3], [4]]).data
    array([1, 4, 2, 3])
    """
    arrays = checked_sequences("pack_sequence", sequences)
    lengths = [len(x) for x in arrays]
    return pack_padded_sequence(pad_sequence(arrays), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Array]:
    """Take the sequences out of a packed batch: the inverse of :func:`pack_sequence`.

    >>> [x.tolist() for x in unpack_sequence(pack_sequence([[1, 2, 3], [4]]))]
    [[1, 2, 3], [4]]
    """
    padded, lengths = pad_packed_sequence(packed_sequences)
    return unpad_sequence(padded, lengths)


def packed_like(packed: PackedSequence, padded: Array) -> PackedSequence:
    """Pack a padded batch (T, N, ...) in the same way as a packed batch of the same lengths."""
    data = _gathered(padded, packed.batch_sizes, packed.sorted_indices)
    return packed._replace(data=data)


def _gathered(x: Array, batch_sizes: ndarray, order: ndarray | None) -> Array:
    """The steps (t, n) that exist, in the order of packed data."""
    t = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    n = np.concatenate([np.arange(size) for size in batch_sizes.tolist()])
    return ops.getitem(x, (t, n if order is None else order[n]))


def checked_sequences(where: str, sequences: Sequence[Any]) -> list[Array]:
    """The sequences as arrays or Tensors. They may differ only in the length of axis 0."""
    arrays: list[Any] = [x if isinstance(x, Value) else np.asarray(x) for x in sequences]
    if not arrays:
        raise ValueError(f"{where}: expected at least one sequence, got none")
    for n, x in enumerate(arrays):
        if x.ndim < 1 or x.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"{where}: expected sequences (L, ...) that differ only in L, got "
                f"{arrays[0].shape} and, as sequence {n}, {x.shape}"
            )
    return arrays


__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
