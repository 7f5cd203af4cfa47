"""Gradient flows as pictures, as pages, and as files for slides and papers.

From top to bottom, the picture shows the loss; the states of every loop (an LSTM's c above its h);
the inputs; a rail for every shared weight, with a tap at each step; and the norms of the gradients
as bars. ``lattice`` draws the states and the lines between them, and this file the rest.

The layout is fixed, so we write the SVG directly. No text overlaps a line. With ``fit`` the picture
is broken into lines.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..bptt.flow import EXPLODED, VANISHED, Flow, State
from ..bptt.steps import Loop, scalar_node
from ..graph import Value
from .export import Shown
from .lattice import LEFT, Drawer, Lattice, Row
from .page import page
from .svg import (
    HUES,
    Scale,
    columns,
    document,
    escaped,
    figure,
    fitted,
    joined,
    number,
    step_ticks,
    visible,
    width_of,
)


class GradientFlow(Shown, Flow):
    """The gradient of a loss on its way back through time; made by :func:`gradient_flow`.

    ``print`` shows a table, a notebook shows the picture, and ``save`` writes a file. The numbers
    are described at :class:`tinygrad_rnn.bptt.Flow`: ``states``, ``weights``, ``inputs``,
    ``links``, ``jacobian(t, s)``.
    """

    def svg(self, *, theme: str = "light", fit: float | None = None, animate: bool = False) -> str:
        """The picture as SVG text; see :meth:`save` for the arguments."""
        if animate:
            from .animate import animated

            return animated(draw_lattice(self, playable=True, theme=theme, fit=fit))
        return draw_lattice(self, theme=theme, fit=fit).svg

    def html(self, *, theme: str = "auto", fit: float | None = None) -> str:
        """The page that plays the sweeps step by step, as HTML text."""
        return page(self, draw_lattice(self, playable=True, theme=theme, fit=fit), theme)

    def frames(self, **options: Any) -> list[str]:
        """The pictures of the two sweeps, step by step, as SVG text."""
        from .animate import frames

        return frames(draw_lattice(self, playable=True, **options))


def gradient_flow(loss: Value, *, text: Sequence[str] | None = None) -> GradientFlow:
    """Measure how the gradient of a loss flows back through the time steps of a recurrent net.

    A state is any value that crosses from one time step of ``for t, x_t in tg.steps(xs)`` into the
    next. So your own loop needs nothing more. T counts up to the last step that the loss depends
    on. Loops that follow each other (an encoder, a decoder) stand side by side.

    A batch shows the sum of its sequences, as if each ran alone. With ``lengths``, and in loops
    that mask with ``tg.where(mask, new, old)``, nothing is shown after a sequence's end.

    Args:
        loss: a scalar Tensor. No ``.grad`` changes. To explain one logit, pass this logit.
        text: one character or word for each step. The picture shades each by the gradient that
            reaches it, and so shows which of them mattered.

    Returns:
        A :class:`GradientFlow`. ``print`` shows a table, and a notebook shows the picture.
        ``.save("flow.svg")`` writes the picture, and ``.save("flow.html")`` the page. The numbers
        are in ``.states``, ``.weights`` and ``.jacobian(t, s)``.

    Raises:
        TypeError: the loss is not a Tensor.
        ValueError: the loss is not a scalar, has no graph, or was computed without time steps; or
            ``text`` does not have one string for each step.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(0.5, requires_grad=True, name="w")
    >>> h = tg.Tensor(1.0)
    >>> for t, x_t in tg.steps(np.array([1.0, 2.0, 3.0])):
    ...     h = w * h + x_t
    >>> flow = tg.gradient_flow(h)
    >>> flow.states["h"].norms
    array([0.25, 0.5 , 1.  ])
    >>> print(flow)
    L = 4.375
    t   |dL/dh|       w
    0  2.50e-01   6.7 %
    1  5.00e-01  20.0 %
    2  1.00e+00  73.3 %
    From step 2 back, w has the size 0.5: a step passes 0.5 of the gradient.
    """
    node = scalar_node(loss, "gradient_flow")
    try:
        return GradientFlow(node, text)
    except ValueError as error:
        raise ValueError(f"gradient_flow: {error}") from error


# ── the whole picture ────────────────────────────────────────────────────────────────────


def draw_lattice(
    flow: Flow, *, playable: bool = False, theme: str = "light", fit: float | None = None
) -> Lattice:
    """Draw the picture.

    Args:
        flow: the numbers.
        playable: give each part the frame in which it appears (``data-f``) and the key of its tip
            (``data-k``).
        theme: "light", "dark" or "auto".
        fit: the width of the picture; steps without room go to further lines.
    """
    sheet = Drawer(flow, playable, fit)
    _head(sheet)
    lines = []
    for first, stop in sheet.lines:
        top = sheet.y
        rows = sheet.lattice(first, stop)
        _inputs(sheet)
        _times(sheet)
        _weights(sheet)
        _bars(sheet, rows)
        sheet.y += 10
        lines.append((top, sheet.y - top))
    if flow.text is not None:
        _shaded(sheet, flow.text, sheet.width)
    _reason(sheet, sheet.width)
    if playable:
        tops = " ".join(f"{number(top)},{number(tall)}" for top, tall in lines)
        more = f' id="now" data-lines="{tops}"'
        sheet.rect(LEFT, *lines[0][:1], sheet.pitch, lines[0][1], "now", more)
    words = f"gradient flow through {flow.T} time steps"
    body = "".join(sheet.parts)
    svg = document(sheet.width, sheet.y + 14, words, body, theme=theme, widest=sheet.widest)
    return Lattice(svg, sheet, [*sheet.order, None, *sheet.order[::-1]])


def _head(sheet: Drawer) -> None:
    """Write the title, and the meaning of the colours."""
    flow, scale = sheet.flow, sheet.scale
    name = flow.structure.output.name
    named = f"{fitted(name, 220, 9.5)} = " if name and name != "loss" else ""
    sheet.text(
        16,
        24,
        f"The gradient on its way back through {flow.T} step{'s' * (flow.T != 1)}",
        "title",
    )
    sheet.text(16, 40, f"L = {named}{flow.loss:.5g}; thin: forward, coloured: back", "small")
    # The meaning of the colours, from left to right.
    x, y = 16.0, 58.0
    tags = sheet.tags(sheet.loss_frame + 1)
    ends = (figure(sheet.scale.low), figure(sheet.scale.high))
    ramp = sum(width_of(end, 9.5) for end in ends) + 16 * 7 + 10
    entries: list[tuple[str, str]] = [("", "norm of the gradient")]
    entries.append(("ramp", ""))
    regimes = scale.regimes
    sent = flow.sent_by_loss
    if "exploded" in regimes:
        most = figure(scale.most)
        words = f"exploded: above {EXPLODED:g} R = {figure(EXPLODED * sent)}, to {most}"
        entries.append(("exploded", words))
    if "vanished" in regimes:
        entries.append(("fz", f"vanished: below {figure(VANISHED)} R = {figure(VANISHED * sent)}"))
    if regimes & {"vanished", "exploded"}:
        entries.append(("", f"R = {figure(sent)}: what the loss sends to the states"))
    if "none" in regimes:
        entries.append(("fn", "no gradient: the loss does not depend on it"))
    if "NaN" in regimes:
        entries.append(("fx", "NaN or Inf"))
    if any(len(state.cuts) for state in flow.states.values()):
        entries.append(("cut", "cut off"))
    if sheet.least and sheet.lined:
        entries.append(("", f"lines below {figure(sheet.least)} are left out"))
    for kind, words in entries:
        wide = {"": 0, "ramp": ramp, "exploded": 42}.get(kind, 18) + width_of(words, 9.5)
        if x > 16 and x + wide > sheet.width - 16:
            x, y = 16.0, y + 18
        _swatch(sheet, kind, x, y, tags)
        if words:
            skip = {"": 0, "exploded": 42}.get(kind, 18)
            sheet.text(x + skip, y, words, "small", more=tags)
        x += wide + 20
    sheet.y = y + 24


def _swatch(sheet: Drawer, kind: str, x: float, y: float, tags: str) -> None:
    if kind == "ramp":
        low, high = figure(sheet.scale.low), figure(sheet.scale.high)
        sheet.text(x, y, low, "small", more=tags)
        start = x + width_of(low, 9.5) + 5
        for k in range(16):
            sheet.rect(start + 7 * k, y - 8, 7, 2 + k * 0.5, f"f{k}", tags)
        sheet.text(start + 16 * 7 + 5, y, high, "small", more=tags)
    elif kind == "exploded":
        for k in range(4):
            sheet.rect(x + 9 * k, y - 8, 9, 10, f"fe{k}", tags)
    elif kind == "cut":
        sheet.path(f"M{number(x + 4)} {number(y - 9)}l4 3l-4 3l4 3l-4 3", "cut", tags)
    elif kind:
        sheet.rect(x, y - 8, 13, 10, kind, tags)


def _inputs(sheet: Drawer) -> None:
    """Draw the row of the inputs."""
    loops_at: dict[int, list[tuple[Loop, int]]] = defaultdict(list)
    for time_step, inputs in sheet.flow.structure.inputs.items():
        c = sheet.flow.columns.of[time_step]
        if inputs and sheet.on(c):
            loops_at[c].append((time_step.loop, time_step.t))
    if not loops_at:
        return
    sheet.label(sheet.input_y - 2, "input", _input_names(sheet.flow))
    y, side, tall = sheet.input_y, sheet.square, sheet.square
    if not sheet.lined:
        side, tall = sheet.pitch, 11.0
        left, right = sheet.x(min(loops_at)), sheet.x(max(loops_at))
        sheet.rect(left - side / 2, y - 5.5, right - left + side, 11, "node")
    for c in sorted(loops_at):
        norm = float(sheet.flow.inputs[c])
        forth = min(sheet.forth[key] for key in loops_at[c])
        back = max(sheet.back[key] for key in loops_at[c])
        at = (sheet.x(c) - side / 2, y - tall / 2, side, tall)
        if sheet.lined or sheet.playable:
            kind = "node" if sheet.lined else "bg"
            sheet.rect(*at, kind, sheet.tags(forth, f"x{c}"))
        # A constant has no gradient; it must not look like a vanished one.
        if norm == norm:
            sheet.rect(*at, f"f{sheet.shade(norm)}", sheet.tags(back, f"x{c}"))


def _input_names(flow: Flow) -> str:
    named = [x for inputs in flow.structure.inputs.values() for x in inputs]
    stems = dict.fromkeys(x.name.rstrip("0123456789]").rstrip("[_") for x in named if x.name)
    return ", ".join(stem for stem in stems if stem)


# ── below the lattice ────────────────────────────────────────────────────────────────────


def _times(sheet: Drawer) -> None:
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


def _weights(sheet: Drawer) -> None:
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


def _bars(sheet: Drawer, rows: Sequence[Row]) -> None:
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


def _gates(sheet: Drawer, row: Row) -> None:
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


def _bars_of(sheet: Drawer, state: State, k: int, bottom: float, tall: float) -> None:
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


def _gate_line(sheet: Drawer, state: State, bottom: float, tall: float) -> None:
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


def _shaded(sheet: Drawer, text: Sequence[str], width: float) -> None:
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


def _reason(sheet: Drawer, width: float) -> None:
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
