"""What layers do with their arguments: sizes, switches, dtypes and inputs are looked at alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from .. import graph
from ..graph import Value, attach, describe, numeric
from ..tensor import Tensor


def sized(where: str, **sizes: int) -> None:
    """Refuse a size that is not a positive integer.

    >>> sized("Linear", in_features=0)
    Traceback (most recent call last):
    ...
    ValueError: Linear: in_features must be at least 1, got 0
    """
    for name, size in sizes.items():
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool):
            raise TypeError(f"{where}: {name} must be an integer, got {size!r}")
        if size < 1:
            raise ValueError(f"{where}: {name} must be at least 1, got {size}")


def flags(where: str, **values: bool) -> None:
    """Refuse an option that is not True or False: in the order of arguments one is easily off."""
    for name, value in values.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{where}: {name} must be a bool, got {value!r}")


def floating(where: str, dtype: Any) -> np.dtype[Any]:
    """The dtype of a layer's parameters: float32, float64 or another float."""
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind != "f":
        raise TypeError(f"{where}: dtype must be a float type, got {kind}")
    return kind


def unknown(x: Any) -> bool:
    """Whether x is an input of a model that is being exported: it has no numbers to look at."""
    exporting = getattr(graph.current().tracing, "record_scan", None) is not None
    return exporting and isinstance(x, Value) and not isinstance(x._array, ndarray)


def as_constant(x: Any) -> Tensor:
    """A mask as a Tensor, from an array or, while a model is exported, as it is."""
    return x if isinstance(x, Value) else attach(x, None)  # type: ignore[return-value]


def as_input(where: str, name: str, x: Any, dtype: np.dtype[Any]) -> Tensor:
    """An argument of a layer as a Tensor: arrays are cast to the layer's dtype, Tensors are not.

    Raises:
        TypeError: a Tensor of another dtype, or something that is not real numbers.
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
