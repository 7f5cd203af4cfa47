"""The strips below the lattice: time steps, shared weights, norms as bars, and shaded text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..bptt.flow import State
from .scale import Scale
from .sheet import LEFT, Row, Sheet
from .style import HUES
from .svg import columns, escaped, figure, fitted, joined, number, step_ticks, visible, width_of


def times(sheet: Sheet) -> None:
    """Write the numbers of the steps, the names of their loops, and the text."""
    y, steps = sheet.y, sheet.flow.columns.steps
    most = max(steps) + 1
    shown = set(step_ticks(most, sheet.pitch))
    for c in range(sheet.first, sheet.stop):
        if steps[c] in shown:
            sheet.text(sheet.x(c), y, str(steps[c]), "small", "middle")
    sheet.text(LEFT - 14, y, "time step", "small", "end")
    sheet.y += 14
    stages = [stage for stage in sheet.flow.columns.stages if stage.name]
    if len(sheet.flow.columns.stages) > 1 and stages:
        for stage in stages:
            first, stop = max(stage.first, sheet.first), min(stage.stop, sheet.stop)
            room = (stop - first) * sheet.pitch - 8
            if stop > first and room > 14:
                middle = (sheet.x(first) + sheet.x(stop - 1)) / 2
                words = fitted(stage.name, room, 9.5)
                if width_of(words, 9.5) <= room:
                    sheet.text(middle, sheet.y, words, "small", "middle")
        sheet.y += 14
    parts = [fitted(part, sheet.pitch - 3) for part in sheet.flow.text or ()]
    if sheet.lined and set(parts) - {"…"}:
        sheet.y += 4
        sheet.label(sheet.y - 4, "text")
        for c in range(sheet.first, sheet.stop):
            sheet.text(sheet.x(c), sheet.y, parts[c], at="middle")
        sheet.y += 16


def weights(sheet: Sheet) -> None:
    """Draw a rail for each weight, with a tap at each step, and on it the step's share of dL/dW."""
    weights = list(sheet.flow.weights.values())
    if not weights:
        return
    later = sheet.tags(sheet.loss_frame + 1)
    words = "bars: the part of each step in dL/dW (together 100 %), each weight on its own scale"
    sheet.text(16, sheet.y + 8, "shared weights")
    sheet.text(28 + width_of("shared weights", 11), sheet.y + 8, words, "small", more=later)
    sheet.y += 22
    tall = 22.0
    wide = max(min(sheet.pitch * 0.5, 26), sheet.pitch * 0.8 if not sheet.lined else 0)
    last: dict[int, int] = {}
    for loop, t in sheet.order:
        c = sheet.column(loop, t)
        last[c] = max(sheet.back[loop, t], last.get(c, 0))
    for n, weight in enumerate(weights):
        parts = [float(p) for p in weight.parts if math.isfinite(p)]
        largest = max(map(abs, parts), default=0.0)
        unit = tall / largest if largest > 0 else 0.0
        y = sheet.y + tall
        hue = HUES[n % len(HUES)]
        words = f"|dL/dW| = {figure(weight.norm)}"
        if largest:
            words += f", tallest {100 * largest:.0f} %"
        outside = f"outside the steps {100 * weight.outside:.0f} %" if weight.outside else ""
        sheet.label(y - 9, weight.name)
        for k, line in enumerate(filter(None, (words, outside))):
            words = fitted(line, LEFT - 22, 9.5)
            sheet.text(LEFT - 14, y + 6 + 11 * k, words, "small", "end", later)
        stroke = f' stroke="{hue}" stroke-width="2"'
        sheet.path(f"M{LEFT} {number(y)}H{number(sheet.right)}", "back", stroke)
        used = [c for c in weight.steps.tolist() if sheet.on(c)]
        if sheet.lined and used:
            taps = "".join(f"M{number(sheet.x(c))} {number(y - 3.5)}v7" for c in used)
            sheet.path(taps, "back", stroke)
        for c in used:
            part = float(weight.parts[c])
            height = abs(part) * unit if math.isfinite(part) else 0
            if height < 0.25 and not sheet.playable:
                continue
            top = y - height if part > 0 else y
            fade = "" if part > 0 else ' opacity="0.55"'
            tags = sheet.tags(last.get(c), f"w{n}.{c}")
            sheet.rect(
                sheet.x(c) - wide / 2, top, wide, height, "bar", f' fill="{hue}"{fade}{tags}'
            )
        sunk = max((-p for p in parts), default=0) * unit
        sheet.y = y + max(sunk, 8 + 11 * bool(outside)) + 6


def bars(sheet: Sheet, rows: Sequence[Row]) -> None:
    """Draw the norms of the states' gradients on a logarithmic axis."""
    if not rows:
        return
    later = sheet.tags(sheet.loss_frame + 1)
    sheet.y += 6
    words = "norm of the gradient in every step, logarithmic"
    if sheet.scale.is_bent:
        words += ", exploded norms narrower"
    sheet.text(16, sheet.y + 8, words, more=later)
    sheet.y += 20
    tall = 46.0
    scale = sheet.scale
    for row in rows:
        bottom = sheet.y + tall
        gated = any(state.carried is not None for state in row.states)
        notes = ["dashed: by its gates alone"] if gated else []
        notes += _notes(row.states)
        sheet.label(bottom - 26 - 5 * len(notes), f"|dL/d {row.label}|", *notes, more=later)
        sheet.path(
            f"M{LEFT} {number(sheet.y)}V{number(bottom)}H{number(sheet.right)}", "axis", later
        )
        for at, norm in ((sheet.y + 4, scale.most), (bottom, scale.low)):
            sheet.text(sheet.right + 5, at, figure(norm), "small", more=later)
        level = bottom - tall * scale.height(sheet.flow.sent_by_loss)
        if "exploded" in scale.regimes:
            sheet.path(f"M{LEFT} {number(level)}H{number(sheet.right)}", "level", later)
            if sheet.y + 16 < level < bottom - 12:
                sheet.text(sheet.right + 5, level + 3, "R", "small", more=later)
        for k, state in zip(row.keys, row.states, strict=True):
            _bars_of(sheet, state, k, bottom, tall)
            if state.carried is not None:
                _gate_line(sheet, state, bottom, tall)
        sheet.y = bottom + 14
        if gated and sheet.pitch >= 22:
            _gates(sheet, row)


def _gates(sheet: Sheet, row: Row) -> None:
    """Write the mean of the gate that multiplies the state of the step before."""
    sheet.text(LEFT - 14, sheet.y - 2, "times its gate, on average", "small", "end")
    for state in row.states:
        for t, c in zip(state.steps.tolist(), state.columns.tolist(), strict=True):
            if state.gates is not None and sheet.on(c) and not math.isnan(state.gates[t]):
                tags = sheet.tags(sheet.forth[state.trajectory.loop, t])
                words = f"{state.gates[t]:.2f}"
                sheet.text(sheet.x(c), sheet.y - 2, words, "small", "middle", tags)
    sheet.y += 14


def _notes(states: Sequence[State]) -> list[str]:
    """The steps in which the gradient vanished or exploded."""
    notes = []
    for regime in ("vanished", "exploded"):
        steps = [t for state in states for t, verdict in state.regimes.items() if verdict == regime]
        if steps:
            notes.append(f"{regime}: {joined(dict.fromkeys(steps))}")
    return notes


def _bars_of(sheet: Sheet, state: State, k: int, bottom: float, tall: float) -> None:
    wide = sheet.pitch * 0.7 if sheet.pitch > 3 else sheet.pitch + 0.1
    for t, c in zip(state.steps.tolist(), state.columns.tolist(), strict=True):
        if not sheet.on(c):
            continue
        norm = float(state.norms[t])
        shown = sheet.scale.shade(norm, state.regimes[t])
        height = {"x": tall, "z": 1.5, "n": 0.0}.get(shown)
        if height is None:
            height = max(tall * sheet.scale.height(norm), 1)
        if shown == "n":
            continue
        tags = sheet.tags(sheet.back[state.trajectory.loop, t], f"s{k}.{t}")
        sheet.rect(sheet.x(c) - wide / 2, bottom - height, wide, height, f"f{shown}", tags)


def _gate_line(sheet: Sheet, state: State, bottom: float, tall: float) -> None:
    """Draw the gradient of the last state after the gates alone."""
    assert state.carried is not None
    places = dict(zip(state.steps.tolist(), state.columns.tolist(), strict=True))
    points: list[str] = []
    for t in state.trajectory.steps:
        norm, c = float(state.carried[t]), places[t]
        if sheet.on(c) and norm >= sheet.scale.low and math.isfinite(norm):
            y = bottom - tall * sheet.scale.height(norm)
            points.append(f"{number(sheet.x(c))} {number(y)}")
    if len(points) > 1:
        sheet.path(f"M{'L'.join(points)}", "line gate", sheet.tags(sheet.loss_frame + 1))


def shaded(sheet: Sheet, text: Sequence[str], width: float) -> None:
    """Write the text, with each character shaded by the gradient that reached it."""
    norms = sheet.flow.inputs
    if np.isnan(norms).all():
        norms = sheet.flow.norms
    later = sheet.tags(sheet.loss_frame + 1)
    sheet.y += 4
    words = "how much each input mattered: the gradient that reached it"
    sheet.text(16, sheet.y + 8, words, more=later)
    sheet.y += 36
    finite = [float(n) for n in norms if math.isfinite(n) and n > 0]
    high = max(finite, default=1.0)
    scale = Scale(high * 1e-3, high, high)  # an input below 1/1000 of the largest did not matter
    x, left, room = 20.0, 20.0, width - 40
    for c, (part, norm) in enumerate(zip(text, norms, strict=True)):
        shown = visible(part).replace(" ", "\u00a0") or "\u00a0"
        wide = 11 * columns(shown) + (4 if len(part) > 1 else 0)
        if x > left and x + wide > left + room:
            x, sheet.y = left, sheet.y + 52
        shade = ""
        if norm >= scale.low and math.isfinite(norm):
            shade = f"f{scale.shade(float(norm), '')}"
        elif not math.isfinite(norm) and norm == norm:
            shade = "fx"
        tall = max(20 * float(norm) / high, 1) if shade.startswith("f") and shade != "fx" else 1
        at = f'x="{number(x)}" width="{number(wide)}"'
        boxes = ""
        if shade:
            boxes = (
                f'<rect class="{shade}" opacity="0.3" {at} y="{number(sheet.y - 18)}" height="24"/>'
                f'<rect class="{shade}" {at} y="{number(sheet.y + 6)}" height="{number(tall)}"/>'
            )
        sheet.add(
            f"<g{sheet.tags(None, f'x{c}')}>{boxes}"
            f'<text class="mono" x="{number(x + wide / 2)}" y="{number(sheet.y)}" '
            f'text-anchor="middle">{escaped(shown)}</text></g>'
        )
        x += wide
    sheet.y += 36


def reason(sheet: Sheet, width: float) -> None:
    """Write the sentence why the gradient vanishes or explodes below the picture."""
    sentence = visible(sheet.flow.reason)
    if not sentence:
        return
    later, line = sheet.tags(sheet.loss_frame + 1), ""
    sheet.y += 8
    for word in [*sentence.split(" "), ""]:
        longer = f"{line} {word}".strip()
        if line and (not word or width_of(longer, 11) > width - 32):
            sheet.text(16, sheet.y + 8, fitted(line, width - 32), more=later)
            sheet.y += 16
            longer = word
        line = longer
