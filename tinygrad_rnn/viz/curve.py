"""Curves over the steps of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .style import BOXES
from .svg import HUES, Canvas, columns, document, fitted, number, round_ticks, tick_label

WIDTH, HEIGHT = 760, 420
LEFT, TOP, BOTTOM = 62, 48, 48  # margins; the right margin holds the names of the lines
POINTS = 240  # in the training curve; each is a mean of neighbouring steps
DOTS = 60  # a line with at most this many measurements also shows dots
LINE = 14  # the height of a name

_training, _held_out = BOXES["weight"]["color"], BOXES["state"]["color"]

Curve = Sequence[tuple[float, float]]


class _Line(NamedTuple):
    name: str
    color: str
    points: Curve
    dots: bool


def loss_curve(
    title: str, unit: str, training: Sequence[float], held_out: Curve, *, theme: str = "light"
) -> str:
    """The training and the held-out loss over the steps of a run, as SVG text.

    Args:
        title: the title above the picture.
        unit: the unit of the losses.
        training: the losses of steps 1, 2, ...; drawn as means of neighbouring steps.
        held_out: pairs of step and loss.
        theme: "light", "dark" or "auto".

    Raises:
        ValueError: there are no losses, or a loss is not a finite number.

    >>> svg = loss_curve("a run", "bits", [3.0, 2.5, 2.0], [(0, 3.1), (3, 2.2)])
    >>> svg.startswith("<svg") and "held out 2.20" in svg
    True
    """
    lines = [
        _Line("training", _training, _thinned(training), False),
        _Line("held out", _held_out, held_out, len(held_out) <= DOTS),
    ]
    return _drawn("loss_curve", title, unit, [line for line in lines if line.points], theme)


def curves(title: str, unit: str, lines: Mapping[str, Curve], *, theme: str = "light") -> str:
    """The measurements of several runs over their steps, as SVG text.

    Args:
        title: the title above the picture.
        unit: the unit of the measurements.
        lines: for each run, by name, pairs of step and number.
        theme: "light", "dark" or "auto".

    Raises:
        ValueError: there is no line, a line has no points, or a number is not finite.

    >>> bits = {"RNN": [(0, 3.0), (9, 2.5)], "LSTM": [(0, 3.0), (9, 2.1)]}
    >>> svg = curves("two runs", "bits", bits)
    >>> svg.startswith("<svg") and "LSTM 2.10" in svg
    True
    """
    drawn = [
        _Line(name, HUES[k % len(HUES)], points, len(points) <= DOTS)
        for k, (name, points) in enumerate(lines.items())
    ]
    return _drawn("curves", title, unit, drawn, theme)


def _drawn(where: str, title: str, unit: str, lines: Sequence[_Line], theme: str) -> str:
    points = [point for line in lines for point in line.points]
    whole = bool(lines) and all(line.points for line in lines)
    if not whole or not all(math.isfinite(x) for point in points for x in point):
        raise ValueError(f"{where}: expected finite numbers of at least one step")
    steps = round_ticks(0, max(1.0, *(step for step, _ in points)))
    losses = round_ticks(min(loss for _, loss in points), max(loss for _, loss in points))
    labels = [f"{fitted(line.name, 240, 12)} {line.points[-1][1]:.2f}" for line in lines]
    right = max(118, 20 + 7 * max(map(columns, labels)))
    edge, floor = WIDTH - right, HEIGHT - BOTTOM
    canvas = Canvas()

    def x(step: float) -> float:
        return LEFT + (edge - LEFT) * step / steps[-1]

    def y(loss: float) -> float:
        return floor - (floor - TOP) * (loss - losses[0]) / (losses[-1] - losses[0])

    canvas.text(LEFT, 22, fitted(title, WIDTH - LEFT - 16, 14), "heading")
    canvas.text(LEFT, 40, fitted(unit, WIDTH - LEFT - 16, 12), "side")
    canvas.text(x(steps[-1]), HEIGHT - 10, "steps", "side", "end")
    for loss in losses:
        kind = "axis" if loss == losses[0] else "guide"
        canvas.path(f"M{LEFT} {number(y(loss))}H{number(edge)}", kind)
        canvas.text(LEFT - 8, y(loss) + 4, tick_label(loss, losses), "side", "end")
    for step in steps:
        canvas.text(x(step), floor + 18, tick_label(step, steps), "side", "middle")
    for line in lines:
        path = " ".join(f"{number(x(step))},{number(y(loss))}" for step, loss in line.points)
        canvas.add(
            f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="1.6" '
            'stroke-linejoin="round"/>'
        )
        if line.dots:
            canvas.parts.extend(
                f'<circle cx="{number(x(step))}" cy="{number(y(loss))}" r="2.6" '
                f'fill="{line.color}"/>'
                for step, loss in line.points
            )
    heights = _apart([y(line.points[-1][1]) + 4 for line in lines])
    for line, label, height in zip(lines, labels, heights, strict=True):
        # All names stand at the right edge: beside the end of a short line, other lines may go on.
        canvas.text(edge + 9, height, label, "name", more=f' style="fill:{line.color}"')
    return document(WIDTH, HEIGHT, title, "".join(canvas.parts), theme=theme)


def _thinned(losses: Sequence[float]) -> list[tuple[float, float]]:
    """Means over stretches of equal length, each at its middle; the last at its end."""
    size = max(1, -(-len(losses) // POINTS))
    curve = []
    for start in range(0, len(losses), size):
        part = losses[start : start + size]
        curve.append((start + (len(part) + 1) / 2, math.fsum(part) / len(part)))
    if curve:
        curve[-1] = (len(losses), curve[-1][1])
    return curve


def _apart(heights: Sequence[float]) -> list[float]:
    """Move the heights of labels as little as possible, so that none overlap or cross the axis."""
    groups: list[tuple[float, list[int]]] = []  # labels that touch: their middle, their numbers
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
