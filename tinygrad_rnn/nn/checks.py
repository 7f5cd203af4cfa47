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
    where: str, lengths: Any, batch: tuple[int, ...], T: int | None, *, least: int = 1
) -> Any:
    """:func:`graph.checked_lengths`, also while a model is exported.

    An input of such a model has no numbers yet: it is returned unchanged.
    """
    if is_exported_input(lengths):
        graph.check_form_of_lengths(where, lengths, batch)
        return lengths
    return graph.checked_lengths(where, lengths, batch, T, least=least)


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
