"""A corpus as parallel streams, read window by window, as truncated BPTT needs it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .vocabulary import as_ids


class Streams(Sequence[tuple[ndarray, ndarray]]):
    """A corpus as N parallel streams, read in windows of T steps.

    The corpus is cut into N contiguous pieces of equal length L, one for each column. Window k has
    T time steps of every stream, from kT on, and the id after each of them:

        x[t, n] = ids[n L + k T + t],    y[t, n] = ids[n L + k T + t + 1]

    So a recurrent state can be carried from each window to the next: column n continues where it
    stopped. The last window is shorter if T does not divide L. Up to N ids at the end of the corpus
    are left out.

    Args:
        ids: (M,) integers.
        batch_size: N, the number of streams.
        length: T, the number of time steps in a window.

    Raises:
        TypeError: the ids are not integers.
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
                f"Streams: {batch_size} streams need at least {batch_size + 1} ids in one axis "
                f"(M,), got shape {ids.shape}"
            )
        as_ids("Streams", ids)
        steps_each = (len(ids) - 1) // batch_size
        used = steps_each * batch_size
        self.batch_size, self.length = batch_size, length
        self._inputs = ids[:used].reshape(batch_size, steps_each).T
        self._targets = ids[1 : used + 1].reshape(batch_size, steps_each).T

    def part(self, columns: slice) -> Streams:
        """Some of the streams, such as the share of one of several processes.

        Args:
            columns: a slice of the N streams.

        Raises:
            ValueError: the slice is empty.

        >>> Streams(np.arange(7), batch_size=2, length=2).part(slice(1, 2))[0][0]
        array([[3],
               [4]])
        """
        part = copy.copy(self)
        part._inputs, part._targets = self._inputs[:, columns], self._targets[:, columns]
        part.batch_size = part._inputs.shape[1]
        if not part.batch_size:
            raise ValueError(f"Streams: there is no stream in {columns} of {self.batch_size}")
        return part

    def __len__(self) -> int:
        return -(-len(self._inputs) // self.length)

    def __getitem__(self, k: Any) -> Any:
        if not -len(self) <= k < len(self):
            raise IndexError(f"Streams: window {k} of {len(self)}")
        start = k % len(self) * self.length
        part = slice(start, start + self.length)
        return self._inputs[part], self._targets[part]
