"""Copy from one place to another of the same shape, or write zeros."""

from __future__ import annotations

from .engine import target
from .nests import Access, Axis, merge_axes
from .text import Function, Lanes


def write_simple(f: Function, kind: str, shape: tuple[int, ...], accesses: list[Access]) -> None:
    """Copy the first access to the second; a single access is filled with zeros."""
    axes = merge_axes(shape, (), accesses)
    # As in a nest: merge axes into long rows, and use no more lanes than a row needs.
    lanes = target().lanes(kind) if axes else 1
    while lanes > 1 and lanes // 2 >= axes[-1].size:
        lanes //= 2
    _copy_level(f, Lanes(f, lanes), kind, axes, [a.address for a in accesses], None)


def _copy_level(
    f: Function, v: Lanes, kind: str, axes: list[Axis], pointers: list[str], mask: str | None
) -> None:
    """Write the loops over these axes, and inside of them the copy."""
    axis, *inner = axes or [Axis(1, False, [1] * len(pointers))]
    step = 1 if inner else v.width
    with f.loop(0, axis.size, step) as loop:
        if not inner and axis.size % v.width:
            mask = v.mask(loop.i, axis.size)
        pointers = [
            f.pointer(kind, p, f.times(loop.i, s))
            for p, s in zip(pointers, axis.strides, strict=True)
        ]
        if inner:
            _copy_level(f, v, kind, inner, pointers, mask)
            return
        strides = [1 if v.width == 1 else s for s in axis.strides]
        zero = len(pointers) == 1
        x = v.all(0, kind) if zero else v.load(kind, pointers[0], strides[0], mask)
        v.store(kind, x, pointers[-1], strides[-1], mask)


__all__ = ["write_simple"]
