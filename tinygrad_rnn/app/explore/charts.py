"""Small charts of the page: lines over the time steps, one for each net."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from ...viz.svg import HUES, Canvas, document, fitted, log_ticks, number, step_ticks

_LEFT, _TOP, _WIDE, _TALL, _RIGHT = 46.0, 44.0, 470.0, 150.0, 14.0
_DASHES = ("", "6 3", "2 3")
_DEEPEST = 18.0  # decades below the largest number; smaller numbers are drawn at the bottom


def log_lines(title: str, lines: Mapping[str, ndarray], *, level: float | None = None) -> str:
    """Draw positive numbers over the steps on a logarithmic axis, as SVG text.

    Args:
        title: the title.
        lines: by name (T,), or (T, K) for K lines of one colour. NaN is left out.
        level: draw a horizontal line at this number.
    """
    arrays = {name: x.reshape(len(x), -1) for name, x in lines.items()}
    found = np.concatenate([x.ravel() for x in arrays.values()])
    found = found[np.isfinite(found) & (found > 0)]
    high = float(found.max(initial=level or 1.0))
    low = max(float(found.min(initial=high)), high * 10**-_DEEPEST)
    low = min(low, high / 10, level or high)
    top, bottom = math.log10(high), math.log10(low)
    T = max(len(x) for x in arrays.values())
    pitch = _WIDE / T
    canvas = Canvas()
    floor = _TOP + _TALL

    def y(value: float) -> float:
        share = (math.log10(max(value, low)) - bottom) / (top - bottom)
        return floor - _TALL * min(max(share, 0.0), 1.0)

    canvas.text(8, 16, title, "heading")
    x = 8.0
    for k, name in enumerate(arrays):
        colour, dash = HUES[k % len(HUES)], _DASHES[k % len(_DASHES)]
        canvas.path(f"M{number(x)} 30h22", "line", _stroke(colour, dash, 2.0))
        canvas.text(x + 27, 34, fitted(name, 100), "name", more=f' style="fill:{colour}"')
        x += 70 + 6 * len(name)
    for power in log_ticks(low, high, _TALL):
        at = y(10.0**power)
        canvas.path(f"M{_LEFT} {number(at)}h{number(_WIDE)}", "guide")
        canvas.text(_LEFT - 6, at + 3, f"1e{power}" if power else "1", "small", "end")
    if level is not None:
        canvas.path(f"M{_LEFT} {number(y(level))}h{number(_WIDE)}", "level")
    canvas.path(f"M{_LEFT} {_TOP}V{number(floor)}h{number(_WIDE)}", "axis")
    for t in step_ticks(T, pitch):
        canvas.text(_LEFT + pitch * (t + 0.5), floor + 14, str(t), "small", "middle")
    canvas.text(_LEFT - 6, floor + 14, "step", "small", "end")
    for k, values in enumerate(arrays.values()):
        colour, dash = HUES[k % len(HUES)], _DASHES[k % len(_DASHES)]
        for m, column in enumerate(values.T):
            points = [
                f"{number(_LEFT + pitch * (t + 0.5))} {number(y(float(v)))}"
                for t, v in enumerate(column)
                if not math.isnan(v)
            ]
            if points:
                thin = 1.8 if m == 0 else 0.8
                canvas.path(f"M{'L'.join(points)}", "line", _stroke(colour, dash, thin))
    return document(_LEFT + _WIDE + _RIGHT, floor + 24, title, "".join(canvas.parts), theme="auto")


def _stroke(colour: str, dash: str, width: float) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f' stroke="{colour}" stroke-width="{width}" fill="none"{dashed}'
