"""The lengths of the sequences of a batch, and their checks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .errors import numbers
from .scopes import current


def checked_lengths(
    where: str,
    lengths: Any,
    batch: tuple[int, ...] | None,
    T: int | None,
    *,
    least: int = 1,
    name: str = "lengths",
) -> ndarray:
    """The lengths of the sequences of a batch, checked: integers (N,).

    Args:
        where: who asks, for the message.
        lengths: an array or a Tensor.
        batch: the batch axes of the sequences, (N,); () if they have none; None for any N.
        T: the largest length allowed; None for any.
        least: the smallest length allowed.
        name: of the argument.

    Returns:
        An array of our own.

    Raises:
        ValueError: the shape is not ``batch``, there is no batch, or a length is out of range.
        TypeError: the lengths are not integers.

    >>> checked_lengths("LSTM", [3, 9], (2,), 5)
    Traceback (most recent call last):
    ...
    ValueError: LSTM: expected lengths from 1 to T = 5, got 9 for sequence 1
    """
    array = numbers(lengths, f"{where}: {name}")
    check_form_of_lengths(where, array, batch, name)
    wrong = np.flatnonzero((array < least) | (array > (np.inf if T is None else T)))
    if wrong.size:
        n = wrong[0]
        bounds = f"of at least {least}" if T is None else f"from {least} to T = {T}"
        raise ValueError(
            f"{where}: expected {name} {bounds}, got {array[n]} for sequence {n}{current().scope}"
        )
    return array.astype(np.intp)


def check_form_of_lengths(
    where: str, lengths: Any, batch: tuple[int, ...] | None, name: str = "lengths"
) -> None:
    """Check shape and dtype of lengths, whose numbers need not be known.

    Raises:
        ValueError: the shape is not ``batch``, or there is no batch.
        TypeError: the lengths are not integers.
    """
    where, scope = f"{where}: expected {name}", current().scope
    if batch == ():
        raise ValueError(f"{where} only for batched input; this one has no batch axis{scope}")
    if batch is None and len(lengths.shape) != 1:
        raise ValueError(f"{where} (N,), got shape {lengths.shape}{scope}")
    if batch is not None and lengths.shape != batch:
        raise ValueError(f"{where} of shape {batch}, got {lengths.shape}{scope}")
    if lengths.dtype.kind not in "iu" and lengths.size:  # [] has a float dtype
        raise TypeError(f"{where} that are integers, got {lengths.dtype}{scope}")


__all__ = ["check_form_of_lengths", "checked_lengths"]
