"""Sequences of several lengths in one array: padded at their ends, or packed without gaps.

A padded batch is (T, N, ...), filled up behind each sequence's end. A packed one holds the same
numbers without the filling: first step 0 of every sequence, then step 1 of those that have one,
and so on, with the longest sequence first. Recurrent layers take either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ... import ops
from ...graph import Array, Value


class PackedSequence(NamedTuple):
    """A batch of sequences without padding.

    Attributes:
        data: (sum of all lengths, ...), step by step.
        batch_sizes: (T,) integers, how many sequences have a step t.
        sorted_indices: (N,), which sequence of the batch comes first, second, ... in ``data``;
            None if they are in order.
        unsorted_indices: (N,), where in ``data``'s order each sequence of the batch is; None
            likewise.
    """

    data: Array
    batch_sizes: ndarray
    sorted_indices: ndarray | None = None
    unsorted_indices: ndarray | None = None

    @property
    def lengths(self) -> ndarray:
        """(N,), how long each sequence of the batch is."""
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
    """Sequences of several lengths as one array, filled up where they are shorter.

    Args:
        sequences: N arrays or Tensors (L_n, ...), alike but for their lengths.
        batch_first: whether the batch is the first axis.
        padding_value: what to fill up with.
        padding_side: "right" fills up behind the end, "left" before the beginning.

    Returns:
        (T, N, ...) or (N, T, ...), where T is the largest length.

    Raises:
        ValueError: there are no sequences, or they differ otherwise.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_sequence.html

    >>> pad_sequence([[1, 2, 3], [4]], batch_first=True, padding_value=-1)
    array([[ 1,  2,  3],
           [ 4, -1, -1]])
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: expected 'right' or 'left', got {padding_side!r}")
    given = alike("pad_sequence", sequences)
    T = max(len(x) for x in given)
    padded = []
    for x in given:
        missing = T - len(x)
        around = (0, missing) if padding_side == "right" else (missing, 0)
        widths = (around, *((0, 0),) * (x.ndim - 1))
        padded.append(ops.pad(x, widths, constant_values=padding_value) if missing else x)
    return ops.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded: Array, lengths: Any, batch_first: bool = False) -> list[Array]:
    """The sequences in a padded batch: the inverse of :func:`pad_sequence`.

    Args:
        padded: (T, N, ...) or, with ``batch_first``, (N, T, ...).
        lengths: (N,) integers from 0 to T.
        batch_first: whether the batch is the first axis.

    Returns:
        N arrays or Tensors (L_n, ...).

    Raises:
        ValueError: lengths that do not fit.

    >>> [x.tolist() for x in unpad_sequence(np.array([[1, 4], [2, 0]]), [2, 1])]
    [[1, 2], [4]]
    """
    x: Any = padded if isinstance(padded, Value) else np.asarray(padded)
    x = x if batch_first else ops.swapaxes(x, 0, 1)
    sizes = _lengths("unpad_sequence", lengths, x.shape[1], x.shape[0], least=0)
    return [x[n, :size] for n, size in enumerate(sizes.tolist())]


# ── packing ──────────────────────────────────────────────────────────────────────────────


def pack_padded_sequence(
    input: Array, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded batch without its padding.

    Args:
        input: (T, N, ...) or, with ``batch_first``, (N, T, ...).
        lengths: (N,) integers from 1 to T.
        batch_first: whether the batch is the first axis.
        enforce_sorted: refuse lengths that are not in descending order; False sorts them.

    Raises:
        ValueError: lengths that do not fit, or are not sorted.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html

    >>> packed = pack_padded_sequence(np.array([[1, 4], [2, 0], [3, 0]]), [3, 1])
    >>> packed.data, packed.batch_sizes
    (array([1, 4, 2, 3]), array([2, 1, 1]))
    """
    where = "pack_padded_sequence"
    x: Any = input if isinstance(input, Value) else np.asarray(input)
    x = ops.swapaxes(x, 0, 1) if batch_first else x
    sizes = _lengths(where, lengths, x.shape[0], x.shape[1])
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
    """A packed batch as a padded one: the inverse of :func:`pack_padded_sequence`.

    Args:
        sequence: what was packed.
        batch_first: whether the batch is to be the first axis.
        padding_value: what to fill up with.
        total_length: T; None is the largest length.

    Returns:
        (T, N, ...) or (N, T, ...), and the lengths (N,), both in the batch's own order.

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
    places = np.full((T, N), -1, np.intp)
    starts = np.cumsum(batch_sizes) - batch_sizes
    for t, (start, size) in enumerate(zip(starts.tolist(), batch_sizes.tolist(), strict=True)):
        places[t, :size] = start + np.arange(size)
    if unsorted is not None:
        places = places[:, unsorted]
    filled = (places >= 0).reshape(T, N, *(1,) * (data.ndim - 1))
    padded = ops.getitem(data, np.maximum(places, 0))
    if not filled.all():
        padded = ops.where(filled, padded, np.asarray(padding_value, data.dtype))
    return (ops.swapaxes(padded, 0, 1) if batch_first else padded), sequence.lengths


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of several lengths as a packed batch.

    Args:
        sequences: N arrays or Tensors (L_n, ...), alike but for their lengths.
        enforce_sorted: refuse lengths that are not in descending order; False sorts them.

    Raises:
        ValueError: there are no sequences, they differ otherwise, or are not sorted.

    >>> pack_sequence([[1, 2, 3], [4]]).data
    array([1, 4, 2, 3])
    """
    given = alike("pack_sequence", sequences)
    lengths = [len(x) for x in given]
    return pack_padded_sequence(pad_sequence(given), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Array]:
    """The sequences in a packed batch: the inverse of :func:`pack_sequence`.

    >>> [x.tolist() for x in unpack_sequence(pack_sequence([[1, 2, 3], [4]]))]
    [[1, 2, 3], [4]]
    """
    padded, lengths = pad_packed_sequence(packed_sequences)
    return unpad_sequence(padded, lengths)


def packed_like(packed: PackedSequence, padded: Array) -> PackedSequence:
    """A padded batch (T, N, ...) packed as another one of the same lengths is."""
    data = _gathered(padded, packed.batch_sizes, packed.sorted_indices)
    return packed._replace(data=data)


def _gathered(x: Array, batch_sizes: ndarray, order: ndarray | None) -> Array:
    """The steps (t, n) that exist, one after the other."""
    t = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    n = np.concatenate([np.arange(size) for size in batch_sizes.tolist()])
    return ops.getitem(x, (t, n if order is None else order[n]))


def alike(where: str, sequences: Sequence[Any]) -> list[Array]:
    """Arrays or Tensors that differ in nothing but the length of their first axis."""
    given: list[Any] = [x if isinstance(x, Value) else np.asarray(x) for x in sequences]
    if not given:
        raise ValueError(f"{where}: expected at least one sequence, got none")
    for n, x in enumerate(given):
        if x.ndim < 1 or x.shape[1:] != given[0].shape[1:]:
            raise ValueError(
                f"{where}: expected sequences (L, ...) alike but for L, got {given[0].shape} and, "
                f"as sequence {n}, {x.shape}"
            )
    return given


def _lengths(where: str, lengths: Any, T: int, N: int, least: int = 1) -> ndarray:
    sizes = np.asarray(lengths._array if isinstance(lengths, Value) else lengths)
    if sizes.shape != (N,) or (sizes.dtype.kind not in "iu" and N):
        raise ValueError(
            f"{where}: expected {N} integers as lengths, got {sizes.dtype} {sizes.shape}"
        )
    wrong = np.flatnonzero((sizes < least) | (sizes > T))
    if wrong.size:
        raise ValueError(
            f"{where}: expected lengths from {least} to T = {T}, got {sizes[wrong[0]]} for "
            f"sequence {wrong[0]}"
        )
    return sizes.astype(np.intp)


__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
