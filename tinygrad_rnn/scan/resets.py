"""Reset the carry within a sequence, where a new episode begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import numbers
from .arguments import Dependencies, flatten, unflatten

Cell = Callable[[Any, Any], Any]


def with_resets(
    cell: Cell, carry: Any, xs: Any, resets: Any, reverse: bool
) -> tuple[Cell, tuple[Any, ndarray]]:
    """A step that sets the carry to zeros where an episode begins, and the xs for it.

    Args:
        cell, carry, xs, reverse: as for ``scan``.
        resets: (T, ...) booleans. The axes after time are the first axes of every carry.

    Raises:
        TypeError: ``resets`` are not booleans.
        ValueError: their axes are not the first axes of every carry.
    """
    begins = numbers(resets, "scan: resets")
    if begins.dtype.kind != "b":
        raise TypeError(f"scan: expected booleans as resets, got {begins.dtype}")
    if not begins.ndim:
        raise ValueError("scan: expected resets (T, N), got one boolean")
    parts: list[Any] = []
    flatten(carry, parts)
    batch = begins.shape[1:]
    for part in parts:
        if np.shape(part)[: len(batch)] != batch:
            raise ValueError(
                f"scan: with resets {begins.shape} every carry needs the first axes {batch}, got "
                f"a carry of shape {np.shape(part)}"
            )
    if reverse:  # the loop leaves an episode after its first step t, so reset before step t - 1
        begins = np.concatenate([begins[1:], np.zeros((1, *batch), bool)])

    def step(carry: Any, given: Any) -> Any:
        x_t, begins_here = given
        old: list[Any] = []
        structure = flatten(carry, old)
        new = [_anew(h, begins_here) for h in old]
        return cell(unflatten(structure, iter(new)), x_t)

    known = getattr(cell, "scan_dependencies", None)
    # A reset cell of the library needs no new trace either: only its name changes.
    if known is not None:
        step.scan_dependencies = Dependencies(("resets", known.name), known.values)  # type: ignore[attr-defined]
    return step, (xs, begins)


def _anew(h: Any, begins: Any) -> Any:
    """h, with zeros where an episode begins."""
    ndim = len(begins.shape)
    mask = ops.reshape(begins, (*begins.shape, *(1,) * (len(h.shape) - ndim)))
    # Not h * mask: a NaN or Inf of the last episode would stay, since 0 times NaN is NaN.
    reset = ops.where(mask, 0, h)
    # A carry of booleans or integers keeps its dtype.
    return reset if reset.dtype == h.dtype else ops.astype(reset, h.dtype)


__all__ = ["with_resets"]
