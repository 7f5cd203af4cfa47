"""Makes a cell that fails smaller, as long as it fails: delta debugging.

Tried again and again until nothing helps: fewer modes, steps, outputs, carries, inputs and lines,
smaller axes, plainer arrays. A cell has few parts, so that each is tried by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from .cell import Cell, Given, Line

replace = dataclasses.replace
Fails = Callable[[Cell], bool]
MOST = 1500  # cells to try


def shrink(cell: Cell, fails: Fails) -> Cell:
    """The smallest cell found that still fails."""
    left = MOST
    if fails(tidy(cell)):
        cell = tidy(cell)
    found = True
    while found:
        found = False
        for smaller in _smaller(cell):
            candidate = tidy(smaller)
            if candidate == cell:
                continue
            left -= 1
            if left < 0:
                return cell
            if fails(candidate):
                cell, found = candidate, True
                break
    return cell


def _smaller(cell: Cell) -> Iterator[Cell]:
    """Cells that are simpler in one thing, the greatest steps first."""
    yield from _ways_to_run(cell)
    for i in range(len(cell.outputs)):
        yield replace(cell, outputs=_without(cell.outputs, i))
    if len(cell.carries) > 1:
        for i in range(len(cell.carries)):
            yield _carry_closed_over(cell, i)
    if len(cell.inputs) > 1:
        for i, x in enumerate(cell.inputs):
            inputs = _without(cell.inputs, i)
            yield replace(cell, inputs=inputs, closed=(*cell.closed, x))
    for i in reversed(range(len(cell.lines))):
        yield from _without_line(cell, i)
    for i, x in enumerate(cell.carries):
        # A carry that is handed on as it is.
        if cell.new_carries[i] != x.name:
            yield replace(cell, new_carries=_with(cell.new_carries, i, x.name))
    for i, line in enumerate(cell.lines):
        for text in _simpler_texts(line):
            yield replace(cell, lines=_with(cell.lines, i, replace(line, text=text)))
    yield from _smaller_arrays(cell)


def _ways_to_run(cell: Cell) -> Iterator[Cell]:
    sizes = dict(cell.sizes)
    for mode in cell.modes[1:]:
        yield replace(cell, modes=tuple(m for m in cell.modes if m != mode))
    for steps in (1, 2, 3):
        if steps < sizes["T"]:
            lengths = cell.lengths and tuple(min(n, steps) for n in cell.lengths)
            yield replace(_sized(cell, "T", steps), lengths=lengths)
    if cell.reverse:
        yield replace(cell, reverse=False)
    if cell.nested:
        yield replace(cell, nested=False)
    if cell.lengths:
        yield replace(cell, lengths=None)
    if cell.resets:
        yield replace(cell, resets=0)
    if any(x.dtype == "float32" for x in cell.given):
        yield _each_given(
            cell, lambda x: replace(x, dtype="float64") if x.dtype == "float32" else x
        )


def _carry_closed_over(cell: Cell, i: int) -> Cell:
    return replace(
        cell,
        carries=_without(cell.carries, i),
        new_carries=_without(cell.new_carries, i),
        closed=(*cell.closed, cell.carries[i]),
    )


def _without_line(cell: Cell, i: int) -> Iterator[Cell]:
    """Whoever reads what the line computes reads something earlier of that shape instead."""
    line = cell.lines[i]
    earlier = [x.name for x in cell.given] + [n for other in cell.lines[:i] for n in other.names]
    # Its own operands first.
    for name in dict.fromkeys([*line.reads, *reversed(earlier)]):

        def renamed(names: tuple[str, ...], name: str = name) -> tuple[str, ...]:
            return tuple(name if x in line.names else x for x in names)

        others = _without(cell.lines, i)
        yield replace(
            cell,
            lines=tuple(replace(other, reads=renamed(other.reads)) for other in others),
            new_carries=renamed(cell.new_carries),
            outputs=renamed(cell.outputs),
        )


def _simpler_texts(line: Line) -> list[str]:
    """Shorter expressions of the same operands."""
    texts = {1: ["{0} * 2", "tg.sin({0})"], 2: ["{0} + {1}", "{0} * {1}"], 3: ["{0} + {1} + {2}"]}
    if len(line.names) > 1:
        return []
    found = [text for text in texts.get(len(line.reads), []) if len(text) < len(line.text)]
    if line.text in ("{0} * 2", "tg.sin({0})", "{0} + {1}", "{0} * {1}"):
        return []
    return found


def _smaller_arrays(cell: Cell) -> Iterator[Cell]:
    sizes = dict(cell.sizes)
    for name, size in sizes.items():
        if name != "T":
            for n in range(1, size):
                yield _sized(cell, name, n)
    for x in cell.given:
        if x.layout != "C":
            yield _with_given(cell, x, replace(x, layout="C"))
        if x.exponent:
            yield _with_given(cell, x, replace(x, exponent=0))
        if x.live:
            yield _with_given(cell, x, replace(x, live=False))
        if x.plain:
            yield _with_given(cell, x, replace(x, plain=False))
        for i in range(len(x.shape)):
            yield _with_given(cell, x, replace(x, shape=_without(x.shape, i)))


# ── parts of cells ───────────────────────────────────────────────────────────────────────


def _sized(cell: Cell, name: str, size: int) -> Cell:
    return replace(cell, sizes=tuple((k, size if k == name else n) for k, n in cell.sizes))


def _without(parts: tuple[Any, ...], i: int) -> tuple[Any, ...]:
    return (*parts[:i], *parts[i + 1 :])


def _with(parts: tuple[Any, ...], i: int, part: Any) -> tuple[Any, ...]:
    return (*parts[:i], part, *parts[i + 1 :])


def _each_given(cell: Cell, f: Callable[[Given], Given]) -> Cell:
    return replace(
        cell,
        carries=tuple(map(f, cell.carries)),
        inputs=tuple(map(f, cell.inputs)),
        closed=tuple(map(f, cell.closed)),
    )


def _with_given(cell: Cell, old: Given, new: Given) -> Cell:
    return _each_given(cell, lambda x: new if x is old else x)


def tidy(cell: Cell) -> Cell:
    """Without what nobody reads."""
    read = {*cell.new_carries, *cell.outputs}
    lines = []
    for line in reversed(cell.lines):
        if read.intersection(line.names):
            lines.append(line)
            read.update(line.reads)
    outside = tuple(line for line in cell.outside if line.names[0] in read)
    read.update(x for line in outside for x in line.reads)
    inputs = tuple(x for x in cell.inputs if x.name in read) or cell.inputs[:1]
    return replace(
        cell,
        lines=tuple(reversed(lines)),
        outside=outside,
        inputs=inputs,
        closed=tuple(x for x in cell.closed if x.name in read),
    )


__all__ = ["shrink", "tidy"]
