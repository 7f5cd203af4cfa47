"""The page: one HTML file that plays the forward and the backward sweep step by step.

The picture is complete: each part has the frame in which it appears, and the key of its tip. So
the page needs only a slider, a button and a short script. It needs no other file and no network;
its own content policy forbids both.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from ..bptt.flow import Flow, State
from . import labels
from .equations import equations
from .lattice import LEFT
from .svg import checked_theme, escaped, figure, visible

if TYPE_CHECKING:
    from .lattice import Lattice


def page(flow: Flow, lattice: Lattice, theme: str) -> str:
    """The page of a gradient flow, from its playable picture, as HTML text."""
    data = {**_tips(flow), **_frames(flow, lattice)}
    title = f"Gradient flow through {flow.T} time steps"
    return _document(title, lattice.svg, _controls(len(lattice.time_steps)), data, theme)


def still_page(title: str, svg: str, theme: str = "auto") -> str:
    """A page that only shows a picture."""
    return _document(title, svg, "", None, theme)


def _frames(flow: Flow, lattice: Lattice) -> dict[str, object]:
    """For every frame its words, its column, and the keys of the tips below the picture."""
    sheet = lattice.sheet
    numbers = {state.trajectory: k for k, state in enumerate(flow.states.values())}
    by_time_step: dict[object, list[str]] = {}
    for trajectory, k in numbers.items():
        for t in trajectory.nodes:
            by_time_step.setdefault((trajectory.loop, t), []).append(f"s{k}.{t}")
    frames: list[list[object]] = [["nothing is computed yet", None, []]]
    half = len(lattice.time_steps) // 2
    for n, time_step in enumerate(lattice.time_steps):
        way = "forward" if n < half else "backward"
        if time_step is None:
            frames.append([f"the loss, L = {flow.loss:.5g}", None, []])
            continue
        loop, t = time_step
        where = f"{visible(loop.name)}, " if loop.name else ""
        c = sheet.column(loop, t)
        frames.append([f"{way}: {where}t = {t}", c, [*by_time_step.get(time_step, []), f"x{c}"]])
    at = [LEFT, sheet.pitch, sheet.lines[0][1] - sheet.lines[0][0]]
    return {"frames": frames, "at": at}


# ── the tips ─────────────────────────────────────────────────────────────────────────────


def _tips(flow: Flow) -> dict[str, object]:
    tips = _Tips()
    for k, state in enumerate(flow.states.values()):
        _add_state_tips(tips, flow, state, k)
    _add_input_tips(tips, flow)
    for n, weight in enumerate(flow.weights.values()):
        for c in weight.steps.tolist():
            part = weight.parts[c]
            percent = "" if math.isnan(part) else f"{100 * part:.3g} % of it: "
            tips.add(
                f"w{n}.{c}",
                f"the share of step {flow.columns.steps[c]} in dL/d {weight.name}",
                f"{percent}|G_t| = {figure(weight.norms[c])}, |dL/dW| = {figure(weight.norm)}",
                f"shape {weight.node.output.shape}",
            )
    tips.add("L", "the loss", f"L = {flow.loss:.6g}", "dL/dL = 1: here the backward sweep starts")
    return {"lines": tips.lines, "told": tips.by_key}


class _Tips:
    """The tips of all parts. A line that several tips share is stored once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.by_key: dict[str, list[int]] = {}
        self._known: dict[str, int] = {}

    def add(self, key: str, *lines: str) -> None:
        indices = self.by_key.setdefault(key, [])
        for line in map(visible, filter(None, lines)):
            if line not in self._known:
                self._known[line] = len(self.lines)
                self.lines.append(line)
            indices.append(self._known[line])


def _add_state_tips(tips: _Tips, flow: Flow, state: State, k: int) -> None:
    name, trajectory = state.name, state.trajectory
    for t, node in trajectory.nodes.items():
        gate = carried = ended = ""
        if state.gates is not None and not np.isnan(state.gates[t]):
            gate = f"gate on the way from the step before: {state.gates[t]:.3f} on average"
        if state.carried is not None:
            carried = f"the gradient through the gates alone: {figure(state.carried[t])}"
        if t in trajectory.masks:
            mask = trajectory.masks[t]
            ended = f"{int(mask.sum())} of {mask.size} sequences have this step" * (mask.size > 1)
        regime = state.regimes[t]
        tips.add(
            f"s{k}.{t}",
            f"{name}, t = {t}",
            *equations(flow.structure, node),
            f"shape {node.output.shape}",
            _values(node.output),
            f"|dL/d {name}| = {figure(state.norms[t])}{_in_words(regime)}",
            gate,
            carried,
            ended,
        )
        senders = (("e", "next", "the steps after"), ("i", "step", "its own step"))
        for letter, where, words in (*senders, ("o", "outside", "outside the loop")):
            sent = float(state.sent[where][t])
            if sent != 0:
                tips.add(
                    f"{letter}{k}.{t}",
                    f"{name}, t = {t}, to {words} and back",
                    f"shape {node.output.shape}",
                    _values(node.output),
                    f"the gradient that came back: norm {figure(sent)}",
                )
    for t in state.cuts.tolist():
        tips.add(f"c{k}.{t}", f"t = {t}: a constant enters {name}; the gradient goes no further")
    for link in flow.links:
        if link.trajectory is trajectory and link.loop is not None and link.kind != "state":
            where = f"{link.loop.name or 'a later loop'}, t = {link.at}"
            tips.add(
                f"r{k}.{link.t}", f"{name}, t = {link.t}, read by {where}: {figure(link.norm)}"
            )


def _in_words(regime: str) -> str:
    words = {
        "vanished": " (vanished)",
        "exploded": " (exploded)",
        "none": " (the loss does not depend on it)",
    }
    return words.get(regime, "")


def _add_input_tips(tips: _Tips, flow: Flow) -> None:
    for time_step, inputs in flow.structure.inputs.items():
        c = flow.columns.of[time_step]
        norm = flow.inputs[c]
        lines = [f"input, t = {time_step.t}"]
        if flow.text is not None:
            lines.append(repr(flow.text[c]))
        for x in inputs:
            lines += [f"{x.name or 'x'}: shape {x.array.shape}", _values(x.array)]
        constant = all(x.node is None for x in inputs)
        gradient = "a constant" if constant else f"|dL/dx| = {figure(norm)}"
        if f"x{c}" not in tips.by_key:
            tips.add(f"x{c}", *lines, gradient)


def _values(array: ndarray) -> str:
    """The elements of a small array in one line."""
    text = " ".join(" ".join(labels.values(array)).split())
    return text if len(text) <= 120 else ""


# ── HTML ─────────────────────────────────────────────────────────────────────────────────


def _controls(frames: int) -> str:
    return (
        '<div class="controls"><button id="play" type="button">Play</button>'
        f'<input id="frame" type="range" min="0" max="{frames}" value="{frames}" step="1" '
        'aria-label="step of the sweeps"><output id="where" for="frame"></output></div>'
        '<p class="keys">Space plays, the arrow keys go from step to step, Home and End to the '
        "ends; point at anything, or touch it, to see its equation, value and gradient.</p>"
    )


def _document(title: str, svg: str, controls: str, data: object, theme: str) -> str:
    script = ""
    if data is not None:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # In a script element "<" could end it.
        text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028")
        script = (
            '<section id="told" aria-live="polite"></section><div id="tip" hidden></div>'
            f'<script type="application/json" id="data">{text}</script><script>{_script}</script>'
        )
    dark = {"dark": _dark, "auto": f"@media (prefers-color-scheme:dark){{{_dark}}}"}
    style = _style + dark.get(checked_theme(theme), "")
    scheme = {"auto": "light dark"}.get(theme, theme)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="{scheme}">'
        f"<title>{escaped(title)}</title><style>{style}</style></head><body>"
        f'{controls}<div class="picture">{svg}</div>{script}</body></html>\n'
    )


_style = """
body{margin:12px;font:14px Helvetica,Arial,sans-serif;background:#fff;color:#333}
.controls{display:flex;gap:12px;align-items:center;max-width:1000px;flex-wrap:wrap}
button{font:inherit;min-width:5em;padding:4px 10px}
#frame{flex:1;min-width:8em}#where{min-width:15em}.keys{margin:6px 0;font-size:12px;color:#666}
.picture{overflow-x:auto}.picture svg{max-width:max(100%,900px);height:auto}.off{visibility:hidden}
#now{fill:#888;opacity:.13;visibility:hidden;pointer-events:none}
#tip{position:fixed;z-index:1;max-width:min(46em,90vw);padding:6px 9px;border-radius:4px;
font-size:12px;white-space:pre-wrap;pointer-events:none;background:#222;color:#f4f4f4;
overflow-wrap:anywhere}
#told{display:flex;flex-wrap:wrap;gap:10px;font-size:12px;min-height:9em}
#told div{white-space:pre-wrap;border:1px solid #8886;border-radius:4px;padding:6px 9px;
max-width:46em;overflow-wrap:anywhere}
@page{size:landscape}
@media print{.controls,.keys,#told,#tip,#now{display:none}.off{visibility:visible}
.picture{overflow:visible}svg{width:100%;height:auto}}
"""

_dark = """body{background:#15181c;color:#d8dce2}.keys{color:#9aa3ad}
#tip{background:#e8eaee;color:#111}"""

_script = """
"use strict";
(() => {
const find = id => document.getElementById(id);
const data = JSON.parse(find("data").textContent);
const slider = find("frame"), button = find("play"), tip = find("tip"), now = find("now");
const picture = document.querySelector(".picture");
const parts = [...document.querySelectorAll("[data-f]")].map(p => [p, +p.dataset.f]);
const lines = now.dataset.lines.split(" ").map(pair => pair.split(",").map(Number));
const last = data.frames.length - 1;
const [left, pitch, each] = data.at;
let timer = null;
const tell = key => data.told[key].map(i => data.lines[i]).join("\\n");
function show(n) {
  n = Math.max(0, Math.min(last, n));
  slider.value = n;
  hide();
  for (const [part, frame] of parts) part.classList.toggle("off", frame > n);
  const [text, column, keys] = data.frames[n];
  find("where").textContent = text;
  slider.setAttribute("aria-valuetext", text);
  now.style.visibility = column === null ? "hidden" : "visible";
  const told = find("told");
  told.replaceChildren();
  if (column === null) return;
  const [top, tall] = lines[Math.floor(column / each)];
  now.setAttribute("x", left + (column % each) * pitch);
  now.setAttribute("y", top);
  now.setAttribute("height", tall);
  const box = now.getBoundingClientRect(), frame = picture.getBoundingClientRect();
  if (box.left < frame.left || box.right > frame.right)
    picture.scrollLeft += (box.left + box.right - frame.left - frame.right) / 2;
  for (const key of keys) {
    if (!(key in data.told)) continue;
    const box = document.createElement("div");
    box.textContent = tell(key);
    told.append(box);
  }
}
function pause() {
  clearInterval(timer);
  timer = null;
  button.textContent = "Play";
}
function play() {
  if (timer !== null) return pause();
  if (+slider.value >= last) show(0);
  button.textContent = "Pause";
  timer = setInterval(() => {
    if (+slider.value >= last) return pause();
    show(+slider.value + 1);
  }, Math.max(50, Math.min(600, 16000 / last)));
}
function hide() { tip.hidden = true; }
function point(event) {
  const part = event.target.closest ? event.target.closest("[data-k]") : null;
  tip.hidden = !part || !(part.dataset.k in data.told);
  if (tip.hidden) return;
  tip.textContent = tell(part.dataset.k);
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 6)) + "px";
  const below = event.clientY + 18, above = Math.max(4, event.clientY - box.height - 10);
  tip.style.top = (below + box.height < innerHeight ? below : above) + "px";
}
button.addEventListener("click", play);
slider.addEventListener("input", () => { pause(); show(+slider.value); });
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const n = +slider.value;
  const to = {ArrowRight: n + 1, ArrowLeft: n - 1, Home: 0, End: last}[event.key];
  if (to !== undefined) { pause(); show(to); }
  else if (event.key === " " && event.target !== button) play();
  else if (event.key === "Escape") return hide();
  else return;
  event.preventDefault();
});
// A finger does not hover: show the tip of the touched part until the next touch.
document.addEventListener("pointermove", event => event.pointerType !== "touch" && point(event));
document.addEventListener("pointerdown", point);
document.addEventListener("scroll", hide, {capture: true, passive: true});
addEventListener("resize", hide);
show(last);
})();
"""
