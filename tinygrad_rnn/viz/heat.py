"""Heat maps of gates and states over time and units, with the text below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Value
from .export import Shown
from .page import still_page
from .svg import DIVERGING, Canvas, document, figure, fitted, number, step_ticks, width_of

_LEFT, _RIGHT, _WIDTH = 120.0, 96.0, 900.0
_TALL = 260.0  # the largest height of one map
_MOST_UNITS = 600
_LINE = 20.0  # the height of a line of text


class HeatMap(Shown):
    """Values over time and units; made by :func:`heat_map`.

    A notebook shows it; :meth:`save` writes it.

    Attributes:
        values: arrays (T, H) by name.
        text: the string under every step, or None.
    """

    def __init__(
        self, values: Mapping[str, ndarray], text: Sequence[str] | None, title: str, scale: float
    ):
        self.values, self.text = dict(values), None if text is None else list(text)
        self.title, self.scale = title, scale
        self.T = len(next(iter(self.values.values())))

    def __repr__(self) -> str:
        return f"<HeatMap of {', '.join(self.values)} over {self.T} steps>"

    def svg(self, *, theme: str = "light", fit: float | None = None) -> str:
        """The picture as SVG text."""
        return _Drawer(self, fit).svg(theme)

    def html(self, *, theme: str = "auto", fit: float | None = None) -> str:
        """A page that shows the picture, as HTML text."""
        return still_page(self.title, self.svg(theme=theme, fit=fit), theme)


def heat_map(
    values: Any,
    text: Sequence[str] | None = None,
    *,
    title: str = "",
    sequence: int = 0,
    units: Sequence[int] | None = None,
    scale: float = 0.0,
) -> HeatMap:
    """Show arrays over time and units: red above 0, blue below, white at 0.

    With ``tg.activations`` it shows the gates and states of a net while it reads a text.

    Args:
        values: an array (T, H), (T, N, H) or (T,), or a dict of arrays by name, all with the same
            T. A dict gives one map below the other. NaN stays empty.
        text: one character or word for each step.
        title: the title above.
        sequence: the number of the sequence to show from a batch.
        units: the numbers of the units to show; None for all.
        scale: the value with the full colour; 0 for the largest value of each map.

    Returns:
        A :class:`HeatMap`. A notebook shows it, and ``.save("gates.svg")`` writes it.

    Raises:
        TypeError: the values are not real numbers.
        ValueError: an array has another shape; the arrays or ``text`` have different lengths; there
            is no such unit or sequence; or there are no values.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> lstm = tg.nn.LSTM(3, 4, rng=0)
    >>> y, _ = lstm(np.ones((5, 1, 3)))
    >>> found = tg.activations(y)
    >>> tg.heat_map({name: found[name] for name in ("f", "c")}, text="hello")
    <HeatMap of f, c over 5 steps>
    """
    arrays = values if isinstance(values, Mapping) else {"": values}
    if not arrays:
        raise ValueError("heat_map: expected at least one array, got none")
    maps = {str(name): _map(str(name), x, sequence, units) for name, x in arrays.items()}
    lengths = {len(x) for x in maps.values()}
    if len(lengths) > 1:
        raise ValueError(f"heat_map: expected arrays with the same number of steps, got {lengths}")
    (T,) = lengths
    if text is not None and (len(text) != T or not all(isinstance(part, str) for part in text)):
        raise ValueError(
            f"heat_map: expected text as one string for each of the {T} steps, got {len(text)}"
        )
    if not (math.isfinite(scale) and scale >= 0):
        raise ValueError(f"heat_map: expected scale as a number above 0, or 0, got {scale}")
    return HeatMap(maps, text, title, scale)


def _map(name: str, values: Any, sequence: int, units: Sequence[int] | None) -> ndarray:
    """One array as (T, H)."""
    which = f"heat_map: {name!r}: " if name else "heat_map: "
    array = np.asarray(values._array if isinstance(values, Value) else values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{which}expected real numbers, got {array.dtype}")
    if array.ndim == 3:
        if not -array.shape[1] <= sequence < array.shape[1]:
            raise ValueError(f"{which}there is no sequence {sequence} in {array.shape}")
        array = array[:, sequence]
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{which}expected (T, H), (T, N, H) or (T,), got {array.shape}")
    if units is not None:
        wanted = np.asarray(units)
        if wanted.dtype.kind not in "iu" or wanted.ndim != 1 or not wanted.size:
            raise ValueError(f"{which}expected units as a list of numbers, got {units!r}")
        if (wanted < -array.shape[1]).any() or (wanted >= array.shape[1]).any():
            raise ValueError(f"{which}there are {array.shape[1]} units, got {units!r}")
        array = array[:, wanted]
    if array.shape[1] > _MOST_UNITS:
        raise ValueError(
            f"{which}expected at most {_MOST_UNITS} units, got {array.shape[1]}; choose some with "
            "units="
        )
    return array.astype(np.float64)


class _Drawer(Canvas):
    def __init__(self, heat: HeatMap, fit: float | None):
        super().__init__()
        self.heat = heat
        width = _WIDTH if fit is None else fit - _LEFT - _RIGHT
        if not width >= 60:
            raise ValueError(f"expected fit of at least {_LEFT + _RIGHT + 60:g}, got {fit}")
        least = 14.0 if heat.text is not None and fit is not None else 0.0
        each = heat.T if fit is None else max(1, min(heat.T, int(width / max(least, 4.0))))
        self.pitch = min(width / each, 22.0)
        self.lines = [(a, min(a + each, heat.T)) for a in range(0, heat.T, each)]
        self.y = 16.0

    def svg(self, theme: str) -> str:
        if self.heat.title:
            self.text(16, 24, fitted(self.heat.title, _LEFT + _WIDTH - 32, 14), "title")
            self.y = 40.0
        for first, stop in self.lines:
            for name, values in self.heat.values.items():
                self.map(name, values, first, stop)
            self.steps(first, stop)
        width = _LEFT + self.pitch * max(b - a for a, b in self.lines) + _RIGHT
        words = f"heat map of {', '.join(filter(None, self.heat.values)) or 'values'}"
        return document(max(width, 240), self.y, words, "".join(self.parts), theme=theme)

    def map(self, name: str, values: ndarray, first: int, stop: int) -> None:
        """Draw one map. Each run of a colour in a unit is a stroke; a path has one colour."""
        units = values.shape[1]
        tall = max(min(14.0, _TALL / units), 2.0)
        right, bottom = _LEFT + self.pitch * (stop - first), self.y + tall * units
        finite = np.abs(values[np.isfinite(values)])
        largest = self.heat.scale or float(finite.max(initial=0.0)) or 1.0
        with np.errstate(invalid="ignore"):
            scaled = np.clip(values[first:stop] / largest, -1, 1)
            level = np.rint((scaled + 1) / 2 * (DIVERGING - 1))
        paths: dict[int, list[str]] = {}
        for unit in range(units):
            y = self.y + tall * (unit + 0.5)
            t = 0
            row = level[:, unit]
            while t < len(row):
                end = t + 1
                while end < len(row) and row[end] == row[t]:
                    end += 1
                if row[t] == row[t]:
                    x = _LEFT + self.pitch * t
                    paths.setdefault(int(row[t]), []).append(
                        f"M{number(x)} {y:.2f}h{number(self.pitch * (end - t))}"
                    )
                t = end
        for shade, runs in sorted(paths.items()):
            self.path("".join(runs), f"d{shade} cell", f' stroke-width="{tall:.2f}" fill="none"')
        self.path(
            f"M{number(_LEFT)} {number(self.y)}H{number(right)}V{number(bottom)}H{number(_LEFT)}z",
            "axis",
        )
        middle = (self.y + bottom) / 2
        if name:
            self.text(_LEFT - 26, middle + 4, fitted(name, _LEFT - 34), "", "end")
        for unit in step_ticks(units, tall) if units > 1 else ():
            self.text(_LEFT - 5, self.y + tall * (unit + 0.5) + 3, str(unit), "small", "end")
        self.text(right + 6, middle + 3, f"±{figure(largest)}", "small")
        self.y = bottom + 10

    def steps(self, first: int, stop: int) -> None:
        """The numbers of the steps, and the text."""
        self.y += 4
        if self.heat.text is not None:
            text = [part.replace(" ", "\u00a0") for part in self.heat.text[first:stop]]
            shown = [fitted(part, self.pitch, 11) for part in text]
            if max(width_of(part, 11) for part in shown) <= self.pitch + 0.5:
                for t, part in enumerate(shown, first):
                    self.text(self.x(t, first), self.y + 4, part, "", "middle")
                self.y += _LINE
        for t in step_ticks(self.heat.T, self.pitch):
            if first <= t < stop:
                self.text(self.x(t, first), self.y + 4, str(t), "small", "middle")
        self.text(_LEFT - 26, self.y + 4, "step", "small", "end")
        self.y += 26

    def x(self, t: int, first: int) -> float:
        return _LEFT + self.pitch * (t - first + 0.5)
