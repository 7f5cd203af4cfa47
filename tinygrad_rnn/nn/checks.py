"""How layers check their arguments: sizes, switches, dtypes, lengths and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .. import graph
from ..graph import Value, attach, describe, numeric
from ..tensor import Tensor


def require_sizes(where: str, **sizes: int) -> None:
    """Refuse a size that is not a positive integer.

    >>> require_sizes("Linear", in_features=0)
    Traceback (most recent call last):
    ...
    ValueError: Linear: in_features must be at least 1, got 0
    """
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise TypeError(f"{where}: {name} must be an integer, got {size!r}")
        if size < 1:
            raise ValueError(f"{where}: {name} must be at least 1, got {size}")


def require_bools(where: str, **values: bool) -> None:
    """Refuse an option that is not True or False: positional arguments are easily off by one."""
    for name, value in values.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{where}: {name} must be a bool, got {value!r}")


def float_dtype(where: str, dtype: Any) -> np.dtype[Any]:
    """The dtype of a layer's parameters, which must be a float."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"{where}: dtype must be a float type, got {kind}")
    return kind


def is_exported_input(x: Any) -> bool:
    """Whether x is an input of a model that is being exported. Such an input has no numbers yet."""
    exporting = getattr(graph.current().tracing, "record_scan", None) is not None
    return exporting and isinstance(x, Value) and not isinstance(x._array, ndarray)


def checked_lengths(
    where: str,
    lengths: Any,
    batch: tuple[int, ...],
    T: int | None,
    *,
    least: int = 1,
    name: str = "lengths",
) -> Any:
    """The lengths of the sequences of a batch, checked: integers (N,).

    Args:
        where: who asks, for the message.
        lengths: an array or a Tensor.
        batch: the batch axes of the sequences, (N,); () if they have none.
        T: the largest length allowed; None for any.
        least: the smallest length allowed.
        name: of the argument.

    Returns:
        An array of our own; or, while a model is exported, the input, whose numbers are not known.

    Raises:
        ValueError: the shape is not ``batch``, there is no batch, or a length is out of range.
        TypeError: the lengths are not integers.

    >>> checked_lengths("LSTM", [3, 9], (2,), 5)
    Traceback (most recent call last):
    ...
    ValueError: LSTM: expected lengths from 1 to T = 5, got 9 for sequence 1
    """
    exported = is_exported_input(lengths)
    array = lengths if exported else graph.numbers(lengths, f"{where}: {name}")
    where, scope = f"{where}: expected {name}", graph.current().scope
    if not batch:
        raise ValueError(f"{where} only for batched input; this one has no batch axis{scope}")
    if array.shape != batch:
        raise ValueError(f"{where} of shape {batch}, got {array.shape}{scope}")
    if array.dtype.kind not in "iu" and array.size:  # [] has a float dtype
        raise TypeError(f"{where} that are integers, got {array.dtype}{scope}")
    if exported:
        return array
    wrong = np.flatnonzero((array < least) | (array > (np.inf if T is None else T)))
    if wrong.size:
        n = wrong[0]
        bounds = f"of at least {least}" if T is None else f"from {least} to T = {T}"
        raise ValueError(f"{where} {bounds}, got {array[n]} for sequence {n}{scope}")
    return array.astype(np.intp)


def as_constant(x: Any) -> Tensor:
    """A mask as a Tensor. An input of a model that is being exported is returned unchanged."""
    return x if isinstance(x, Value) else attach(x, None)  # type: ignore[return-value]


def as_input(where: str, name: str, x: Any, dtype: np.dtype[Any]) -> Tensor:
    """An argument of a layer as a Tensor. Arrays are cast to the layer's dtype, Tensors are not.

    Raises:
        TypeError: x is a Tensor of another dtype, or does not hold real numbers.
    """
    if isinstance(x, Value):
        if x._array.dtype is not dtype and x._array.dtype != dtype:
            raise TypeError(
                f"{where}: expected {name} of dtype {dtype}, got a Tensor {describe(x)}; "
                f"use astype{graph.current().scope}"
            )
        return x  # type: ignore[return-value]
    array = numeric(x, f"{where}: {name}").astype(dtype)
    return attach(array, None)  # type: ignore[return-value]
