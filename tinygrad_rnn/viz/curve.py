"""Curves over the steps of a run as SVG, written directly: lines need no plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from .style import BOXES, FAINT, FONT, INK
from .svg import HUES

WIDTH, HEIGHT = 760, 420
LEFT, TOP, BOTTOM = 62, 48, 48  # margins; at the right stand the names of the lines
POINTS = 240  # of the training curve, each the mean of what lies between
DOTS = 60  # so many measurements are shown as dots, too
LINE = 14  # the height of a name

_training, _held_out = BOXES["weight"]["color"], BOXES["state"]["color"]

Curve = Sequence[tuple[float, float]]


class _Line(NamedTuple):
    name: str
    color: str
    points: Curve
    dots: bool


def loss_curve(title: str, unit: str, training: Sequence[float], held_out: Curve) -> str:
    """Training and held-out loss over the steps of a run, as an SVG file's text.

    Args:
        title: what stands above it.
        unit: of the losses.
        training: the loss of step 1, 2, ...; shown as means of neighbouring steps.
        held_out: pairs of step and loss.

    Raises:
        ValueError: there is nothing to show, or a loss is not a finite number.

    >>> svg = loss_curve("a run", "bits", [3.0, 2.5, 2.0], [(0, 3.1), (3, 2.2)])
    >>> svg.startswith("<svg") and "held out 2.20" in svg
    True
    """
    lines = [
        _Line("training", _training, _thinned(training), False),
        _Line("held out", _held_out, held_out, len(held_out) <= DOTS),
    ]
    return _drawn("loss_curve", title, unit, [line for line in lines if line.points])


def curves(title: str, unit: str, lines: Mapping[str, Curve]) -> str:
    """What several runs measured over their steps, as an SVG file's text.

    Args:
        title: what stands above it.
        unit: of what was measured.
        lines: by the name of a run: pairs of step and number.

    Raises:
        ValueError: there is no line, a line without points, or a number that is not finite.

    >>> bits = {"RNN": [(0, 3.0), (9, 2.5)], "LSTM": [(0, 3.0), (9, 2.1)]}
    >>> svg = curves("two runs", "bits", bits)
    >>> svg.startswith("<svg") and "LSTM 2.10" in svg
    True
    """
    return _drawn(
        "curves",
        title,
        unit,
        [
            _Line(name, HUES[k % len(HUES)], points, len(points) <= DOTS)
            for k, (name, points) in enumerate(lines.items())
        ],
    )


def _drawn(where: str, title: str, unit: str, lines: Sequence[_Line]) -> str:
    points = [point for line in lines for point in line.points]
    whole = bool(lines) and all(line.points for line in lines)
    if not whole or not all(math.isfinite(number) for point in points for number in point):
        raise ValueError(f"{where}: expected finite numbers of at least one step")
    steps = _ticks(0, max(1.0, *(step for step, _ in points)))
    losses = _ticks(min(loss for _, loss in points), max(loss for _, loss in points))
    labels = [f"{line.name} {line.points[-1][1]:.2f}" for line in lines]
    right = max(118, 20 + 7 * max(map(len, labels)))

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - right) * step / steps[-1]

    def y(loss: float) -> float:
        return (
            HEIGHT
            - BOTTOM
            - (HEIGHT - TOP - BOTTOM) * (loss - losses[0]) / (losses[-1] - losses[0])
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{FONT}" font-size="12" fill="{INK}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, title, "start", 'font-size="14"'),
        _text(LEFT, 40, unit, "start", 'fill="#555555"'),
        _text(x(steps[-1]), HEIGHT - 10, "steps", "end", 'fill="#555555"'),
    ]
    for loss in losses:
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - right}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" '
            f'stroke="{FAINT}" stroke-width="{1 if loss == losses[0] else 0.4}"/>'
        )
        parts.append(_text(LEFT - 8, y(loss) + 4, _number(loss, losses), "end"))
    parts.extend(_text(x(step), HEIGHT - BOTTOM + 18, _number(step, steps)) for step in steps)
    for line in lines:
        path = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in line.points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="1.6" '
            'stroke-linejoin="round"/>'
        )
        if line.dots:
            parts.extend(
                f'<circle cx="{x(step):.1f}" cy="{y(loss):.1f}" r="2.6" fill="{line.color}"/>'
                for step, loss in line.points
            )
    heights = _apart([y(line.points[-1][1]) + 4 for line in lines])
    parts.extend(  # all at the edge: beside a line that ends early, others may go on
        _text(WIDTH - right + 9, height, label, "start", f'fill="{line.color}"')
        for line, label, height in zip(lines, labels, heights, strict=True)
    )
    return "\n".join([*parts, "</svg>", ""])


def _thinned(losses: Sequence[float]) -> list[tuple[float, float]]:
    """Means over stretches of equal length, each at its middle; the last one at its end."""
    size = max(1, -(-len(losses) // POINTS))
    curve = []
    for start in range(0, len(losses), size):
        part = losses[start : start + size]
        curve.append((start + (len(part) + 1) / 2, math.fsum(part) / len(part)))
    if curve:
        curve[-1] = (len(losses), curve[-1][1])
    return curve


def _ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers, evenly spaced, that enclose what lies from low to high."""
    span = max(high - low, 1e-3 * max(abs(low), abs(high), 1e-3))
    power = 10.0 ** math.floor(math.log10(span / 4))
    spacing = next(power * f for f in (1, 2, 2.5, 5, 10) if span / (power * f) <= 6)
    first, last = math.floor(low / spacing), math.ceil(high / spacing)
    return [i * spacing for i in range(first, max(last, first + 1) + 1)]


def _number(tick: float, ticks: Sequence[float]) -> str:
    digits = max(0, 1 - math.floor(math.log10(ticks[1] - ticks[0])))
    return f"{tick:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{tick:,.0f}"


def _apart(heights: Sequence[float]) -> list[float]:
    """The heights of labels, moved as little as keeps them apart and above the axis."""
    groups: list[tuple[float, list[int]]] = []  # labels that touch: their middle, who they are
    for i in sorted(range(len(heights)), key=heights.__getitem__):
        middle, members = heights[i], [i]
        while True:
            half = LINE * len(members) / 2
            middle = min(middle, HEIGHT - BOTTOM + 4 + LINE / 2 - half)
            if not groups or middle - groups[-1][0] >= LINE * len(groups[-1][1]) / 2 + half:
                break
            members = groups.pop()[1] + members
            middle = math.fsum(heights[k] for k in members) / len(members)
        groups.append((middle, members))
    moved = {
        member: middle + LINE * (place - (len(members) - 1) / 2)
        for middle, members in groups
        for place, member in enumerate(members)
    }
    return [moved[i] for i in range(len(heights))]


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    more = f" {more}" if more else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
