"""What all losses share: the checks of prediction and target, and the reduction."""

from __future__ import annotations

import math

from ... import ops
from ...graph import Array, Value, describe, numeric


def checked_pair(x: Array, y: Array, where: str) -> tuple[Array, Array]:
    """Check a prediction and its target, and give them one dtype.

    Raises:
        TypeError: x is not floats.
        ValueError: the shapes differ.
    """
    x, y = (
        a if isinstance(a, Value) else numeric(a, f"{where}: {name}")
        for name, a in (("x", x), ("y", y))
    )
    if x.dtype.kind != "f":
        raise TypeError(f"{where}: expected x of floats, got {describe(x)}")
    if x.shape != y.shape:
        raise ValueError(
            f"{where}: expected x and y of one shape, got {describe(x)} and {describe(y)}"
        )
    return x, (y if y.dtype == x.dtype else ops.astype(y, x.dtype))


def require_reduction(reduction: str, where: str) -> None:
    """Refuse an unknown reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{where}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")


def reduce_losses(losses: Array, reduction: str, batch: tuple[int, ...], divisor: float) -> Array:
    """Reduce the losses to their mean or sum; for "none", give them the shape of the targets."""
    if reduction == "none":
        return ops.reshape(losses, batch)
    total = ops.sum(losses)
    if reduction == "sum":
        return total
    return ops.multiply(total, 1 / divisor if divisor else math.nan)
