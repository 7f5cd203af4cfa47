"""What all losses share: two arrays that are compared, and one number made of many losses."""

from __future__ import annotations

import math

from ... import ops
from ...graph import Array, Value, describe, numeric


def compared(x: Array, y: Array, where: str) -> tuple[Array, Array]:
    """A prediction and its target, of one shape and dtype."""
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


def known(reduction: str, where: str) -> None:
    """Refuse a reduction that is none."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{where}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")


def reduced(losses: Array, reduction: str, batch: tuple[int, ...], divisor: float) -> Array:
    """One number made of the losses; or, for "none", the losses in the shape of the targets."""
    if reduction == "none":
        return ops.reshape(losses, batch)
    total = ops.sum(losses)
    if reduction == "sum":
        return total
    return ops.multiply(total, 1 / divisor if divisor else math.nan)
