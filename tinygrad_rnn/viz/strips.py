"""The strips beneath the lattice: time steps, shared weights, norms as bars, and shaded text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from .flow import State
from .picture import Scale
from .sheet import LEFT, RIGHT, Sheet, scale_of, ticks
from .svg import HUES, columns, escaped, figure, number, shade, shortened, visible


def times(sheet: Sheet) -> None:
    """The numbers of the steps."""
    y = sheet.y
    for t in ticks(sheet.flow.T, sheet.pitch):
        sheet.add(
            f'<text class="small" x="{number(sheet.x(t))}" y="{number(y)}" '
            f'text-anchor="middle">{t}</text>'
        )
    sheet.add(
        f'<text class="small" x="{LEFT - 14}" y="{number(y)}" text-anchor="end">time step</text>'
    )
    sheet.y += 14
    if sheet.flow.text is not None and sheet.lined:
        sheet.y += 4
        sheet.label(sheet.y - 4, "text")
        for t, part in enumerate(sheet.flow.text):
            words = escaped(shortened(part, max(int(sheet.pitch / 7.5), 1)))
            sheet.add(
                f'<text x="{number(sheet.x(t))}" y="{number(sheet.y)}" '
                f'text-anchor="middle">{words}</text>'
            )
        sheet.y += 16


def weights(sheet: Sheet) -> None:
    """A rail for each weight, a tap at each step, and on it the step's share of dL/dW."""
    weights = list(sheet.flow.weights.values())
    if not weights:
        return
    sheet.add(
        f'<text x="16" y="{number(sheet.y + 8)}">shared weights, and the part of each step '
        "in dL/dW (together 100 %)</text>"
    )
    sheet.y += 22
    largest = max((abs(p) for w in weights for p in w.parts if math.isfinite(p)), default=1.0)
    tall = 22.0
    unit = tall / max(largest, 1e-12)
    wide = max(min(sheet.pitch * 0.5, 26), sheet.pitch * 0.8 if not sheet.lined else 0)
    last: dict[int, int] = {}
    for loop, t in sheet.order:
        last[t] = max(sheet.back[loop, t], last.get(t, 0))
    for n, weight in enumerate(weights):
        low = [p for p in weight.parts if math.isfinite(p)]
        y = sheet.y + tall
        hue = HUES[n % len(HUES)]
        outside = f", outside {100 * weight.outside:.0f} %" if weight.outside else ""
        sheet.label(y - 9, weight.name, f"|dL/dW| = {figure(weight.norm)}{outside}", weight.name)
        sheet.add(
            f'<path d="M{LEFT} {number(y)}H{number(sheet.right)}" stroke="{hue}" '
            'stroke-width="2" fill="none"/>'
        )
        used = weight.steps.tolist()
        if sheet.lined:
            taps = "".join(f"M{number(sheet.x(t))} {number(y - 3.5)}v7" for t in used)
            sheet.add(f'<path d="{taps}" stroke="{hue}" stroke-width="2" fill="none"/>')
        for t in used:
            part = float(weight.parts[t])
            height = abs(part) * unit if math.isfinite(part) else 0
            if height < 0.25 and not sheet.playable:
                continue
            key = f"w{n}.{t}"
            top = y - height if part > 0 else y
            fade = "" if part > 0 else ' opacity="0.55"'
            sheet.add(
                f'<rect x="{number(sheet.x(t) - wide / 2)}" y="{number(top)}" '
                f'width="{number(wide)}" height="{number(height)}" fill="{hue}"{fade}'
                f"{sheet.tags(last[t], key)}/>"
            )
        sunk = max((-p for p in low), default=0) * unit
        sheet.y = y + max(sunk, 4) + 8


def bars(sheet: Sheet, states: Sequence[State]) -> None:
    """The norms of the states' gradients on a logarithmic axis."""
    if not states:
        return
    sheet.y += 6
    sheet.add(
        f'<text x="16" y="{number(sheet.y + 8)}">norm of the gradient in every step, '
        "logarithmic</text>"
    )
    sheet.y += 20
    tall = 46.0
    wide = sheet.pitch * 0.7 if sheet.pitch > 3 else sheet.pitch + 0.1
    for state in states:
        k = list(sheet.flow.states).index(state.name)
        bottom = sheet.y + tall
        gated = state.carried is not None
        sheet.label(
            bottom - 26, f"|dL/d {state.name}|", "dashed: by its gates alone" if gated else ""
        )
        sheet.add(
            f'<path class="axis" d="M{LEFT} {number(sheet.y)}V{number(bottom)}'
            f'H{number(sheet.right)}"/>'
        )
        for at, norm in ((sheet.y + 4, sheet.scale.high), (bottom, sheet.scale.low)):
            sheet.add(
                f'<text class="small" x="{number(sheet.right + 5)}" y="{number(at)}">'
                f"{figure(norm)}</text>"
            )
        for t in state.steps.tolist():
            norm = float(state.norms[t])
            shown = shade(sheet.scale, norm)
            height = tall
            if shown.isdigit():
                height = max(tall * sheet.scale.fraction(norm), 1)
            elif shown == "z":
                height = 1.5
            tags = sheet.tags(sheet.back[state.rail.loop, t], f"s{k}.{t}")
            sheet.add(
                f'<rect class="f{shown}" x="{number(sheet.x(t) - wide / 2)}" '
                f'y="{number(bottom - height)}" width="{number(wide)}" '
                f'height="{number(height)}"{tags}/>'
            )
        _vanished(sheet, state, bottom)
        if gated:
            _gate_line(sheet, state, bottom, tall)
        sheet.y = bottom + 14


def _vanished(sheet: Sheet, state: State, bottom: float) -> None:
    """Say where nothing is left of the gradient, if there is room to."""
    gone = [t for t in state.steps.tolist() if shade(sheet.scale, state.norms[t]) == "z"]
    words = f"vanished: below {figure(sheet.scale.low)}"
    # From the first to the last of the longest unbroken row of steps.
    rows = [[*row] for _, row in itertools.groupby(enumerate(gone), lambda pair: pair[1] - pair[0])]
    row = [t for _, t in max(rows, key=len, default=[])]
    if len(row) * sheet.pitch > 6 * len(words):
        middle = (sheet.x(row[0]) + sheet.x(row[-1])) / 2
        tags = sheet.tags(min(sheet.back[state.rail.loop, t] for t in row))
        sheet.add(
            f'<text class="small" x="{number(middle)}" y="{number(bottom - 8)}" '
            f'text-anchor="middle"{tags}>{words}</text>'
        )


def _gate_line(sheet: Sheet, state: State, bottom: float, tall: float) -> None:
    """What the gates alone would let through of the last state's gradient."""
    assert state.carried is not None
    turns = [turn.t for turn in state.rail.loop.turns if turn.t in state.rail.nodes]
    norms = state.carried[turns]
    points = [
        f"{number(sheet.x(t))} {number(bottom - tall * sheet.scale.fraction(norm))}"
        for t, norm in zip(turns, norms, strict=True)
        if norm >= sheet.scale.low and math.isfinite(norm)
    ]
    if len(points) > 1:
        sheet.add(f'<path class="line gate" d="M{"L".join(points)}"/>')


def text(sheet: Sheet, text: Sequence[str]) -> None:
    """Which characters mattered: each shaded by the gradient that reached it."""
    norms = sheet.flow.inputs
    if np.isnan(norms).all():
        norms = sheet.flow.norms
    sheet.y += 4
    sheet.add(
        f'<text x="16" y="{number(sheet.y + 8)}">how much each input mattered: the gradient '
        "that reached it</text>"
    )
    sheet.y += 36
    width = max(sheet.right + RIGHT, 720)
    part, sheet.y = shaded_text(text, norms, 20, sheet.y, width - 40, sheet.tags)
    sheet.add(part)


def shaded_text(
    text: Sequence[str], norms: ndarray, left: float, top: float, width: float, tags: object
) -> tuple[str, float]:
    """Text in lines, each part shaded by a norm: its bar's height is in proportion to that.

    Returns:
        The SVG, and the y below it.
    """
    high = scale_of(norms).high
    scale = Scale(high * 1e-3, high, vanished=False, broken=False)  # what is below did not matter
    x, y = left, top
    parts = []
    for t, (part, norm) in enumerate(zip(text, norms, strict=True)):
        shown = visible(part).replace(" ", "\u00a0") or "\u00a0"
        wide = 11 * columns(shown) + (4 if len(part) > 1 else 0)
        if x > left and x + wide > left + width:
            x, y = left, y + 52
        shown_shade = shade(scale, float(norm)) if not math.isnan(norm) else "z"
        key = tags(None, f"x{t}") if callable(tags) else ""
        tall = max(20 * float(norm) / high, 1) if shown_shade.isdigit() else 1
        parts.append(
            f'<g{key}><rect class="f{shown_shade}" opacity="0.3" x="{number(x)}" '
            f'y="{number(y - 18)}" width="{number(wide)}" height="24"/>'
            f'<rect class="f{shown_shade}" x="{number(x)}" y="{number(y + 6)}" '
            f'width="{number(wide)}" height="{number(tall)}"/>'
            f'<text class="mono" x="{number(x + wide / 2)}" y="{number(y)}" '
            f'text-anchor="middle">{escaped(shown)}</text></g>'
        )
        x += wide
    return "".join(parts), y + 36
