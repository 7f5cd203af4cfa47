"""A loss curve as SVG, written directly: two lines need no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .style import BOXES, FAINT, FONT, INK

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 62, 118, 48, 48  # the margins; names of the lines stand at the right
POINTS = 240  # of the training curve, each the mean of what lies between
DOTS = 60  # so many measurements are shown as dots, too

_training, _held_out = BOXES["weight"]["color"], BOXES["state"]["color"]

Curve = Sequence[tuple[float, float]]


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
    curves = [
        ("training", _training, _thinned(training), False),
        ("held out", _held_out, list(held_out), len(held_out) <= DOTS),
    ]
    curves = [curve for curve in curves if curve[2]]
    points = [point for _, _, curve, _ in curves for point in curve]
    if not points or not all(math.isfinite(loss) for _, loss in points):
        raise ValueError("loss_curve: expected finite losses of at least one step")
    steps = _ticks(0, max(1.0, *(step for step, _ in points)))
    losses = _ticks(min(loss for _, loss in points), max(loss for _, loss in points))

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / steps[-1]

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
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" '
            f'stroke="{FAINT}" stroke-width="{1 if loss == losses[0] else 0.4}"/>'
        )
        parts.append(_text(LEFT - 8, y(loss) + 4, _number(loss, losses), "end"))
    parts.extend(_text(x(step), HEIGHT - BOTTOM + 18, _number(step, steps)) for step in steps)
    for _, color, curve, dots in curves:
        path = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in curve)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6" '
            'stroke-linejoin="round"/>'
        )
        if dots:
            parts.extend(
                f'<circle cx="{x(step):.1f}" cy="{y(loss):.1f}" r="2.6" fill="{color}"/>'
                for step, loss in curve
            )
    parts.extend(
        _text(x(curve[-1][0]) + 9, height, f"{name} {curve[-1][1]:.2f}", "start", f'fill="{color}"')
        for (name, color, curve, _), height in zip(
            curves, _apart([y(curve[-1][1]) + 4 for _, _, curve, _ in curves]), strict=True
        )
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


def _apart(heights: list[float]) -> list[float]:
    """The heights of two labels, moved so that they do not overlap."""
    if len(heights) < 2 or abs(heights[0] - heights[1]) >= 14:
        return heights
    middle = sum(heights) / 2
    up = 7 if heights[0] > heights[1] else -7
    return [middle + up, middle - up]


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    more = f" {more}" if more else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'
