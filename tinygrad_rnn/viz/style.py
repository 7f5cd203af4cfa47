"""The style of all pictures: colours, shapes and fonts.

The fills are pale, so that text stays readable. Nothing depends on hue alone: kinds also differ in
shape, and the gradient's colours run from light to dark as well as from orange to blue.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

THEMES = ("light", "dark", "auto")

FONT = "Helvetica,Arial,sans-serif"
MONO = "ui-monospace,Menlo,Consolas,monospace"
INK = "#222222"
FAINT = "#b5b5b5"

# ── graphs, drawn by Graphviz ────────────────────────────────────────────────────────────

# Graphviz knows the widths of these two fonts even if they are not installed.
GRAPH = {
    "rankdir": "LR",
    "newrank": "true",
    "bgcolor": "white",
    "fontname": "Helvetica",
    "fontsize": "11",
    "fontcolor": "#555555",
    "nodesep": "0.14",
    "ranksep": "0.3",
    "labelloc": "t",
    "labeljust": "l",
}
NODE = {
    "fontname": "Helvetica",
    "fontsize": "10",
    "fontcolor": INK,
    "shape": "box",
    "style": "rounded,filled",
    "fillcolor": "white",
    "color": "#777777",
    "margin": "0.07,0.03",
    "width": "0.3",
    "height": "0.26",
}
EDGE = {
    "fontname": "Helvetica",
    "fontsize": "9",
    "fontcolor": "#555555",
    "color": "#666666",
    "arrowsize": "0.5",
}

#: The kinds of boxes, each with the attributes that differ from NODE.
BOXES: dict[str, dict[str, str]] = {
    "operation": {},
    "state": {"fillcolor": "#d6e6f7", "color": "#2f6fb2", "penwidth": "1.4"},
    "output": {"fillcolor": "#d9efe6", "color": "#00785a", "penwidth": "1.8"},
    "weight": {"fillcolor": "#fdeac8", "color": "#b97a00", "style": "filled"},
    "constant": {"fillcolor": "#f2f2f2", "color": "#aaaaaa", "style": "filled"},
    "step": {"fillcolor": "#d6e6f7", "color": "#2f6fb2", "margin": "0.16,0.12"},
    "module": {"fillcolor": "#eee8f6", "color": "#7b5aa6", "margin": "0.16,0.12"},
    "gap": {"style": "rounded,dashed"},
    "next": {
        "style": "rounded,dashed",
        "color": "#2f6fb2",
        "fontcolor": "#2f6fb2",
        "margin": "0.1,0.08",
    },
    "on": {"shape": "plaintext", "style": "", "fontcolor": "#555555", "margin": "0.06,0.02"},
    "words": {
        "shape": "plaintext",
        "style": "",
        "fontcolor": "#555555",
        "fontsize": "9",
        "margin": "0.06,0.03",
    },
    "listing": {
        "fontname": "Courier",
        "fillcolor": "#f7f9fb",
        "color": "#8a9bb0",
        "margin": "0.12,0.08",
    },
    "weight tap": {"shape": "point", "width": "0.03", "fillcolor": "#c9a24a", "color": "#c9a24a"},
    "constant tap": {"shape": "point", "width": "0.03", "color": "#a8a8a8"},
    "data tap": {"shape": "point", "width": "0.03", "color": "#666666"},
    "legend": {"shape": "underline", "style": "", "width": "0.9", "height": "0.2"},
    "post": {"shape": "point", "width": "0.01", "style": "invis"},
}

#: The kinds of edges, each with the attributes that differ from EDGE. The weights are Graphviz's:
#: it draws a heavier edge shorter and straighter.
EDGES: dict[str, dict[str, str]] = {
    "data": {},
    "state": {"color": "#2f6fb2", "penwidth": "1.5", "fontcolor": "#2f6fb2", "weight": "300"},
    "kept": {"color": "#7b5aa6", "fontcolor": "#7b5aa6", "style": "dashed"},
    "spine": {"weight": "300"},
    "branch": {"weight": "14"},
    "data rail": {"arrowhead": "none", "weight": "12"},
    "weight": {"color": "#d3c6ab", "penwidth": "0.7", "arrowsize": "0.35", "weight": "14"},
    "weight rail": {"color": "#c9a24a", "penwidth": "1.1", "arrowhead": "none", "weight": "12"},
    "constant": {"color": "#a8a8a8"},
    "constant rail": {"color": "#a8a8a8", "arrowhead": "none", "weight": "12"},
    "before": {"style": "invis", "weight": "0", "minlen": "0"},
    "after": {"style": "invis", "weight": "0"},
}

CLUSTERS = {
    "step": {
        "style": "rounded,filled",
        "color": "#cfd6dd",
        "fillcolor": "#f7f9fb",
        "labeljust": "r",
    },
    "module": {"style": "rounded,dashed", "color": "#b9a9d2", "fontcolor": "#7b5aa6"},
    "legend": {"style": "rounded", "color": "#dddddd"},
    "line": {"style": "invis"},
}

#: The colours of graphs on a dark background.
DARKER = {
    "white": "#15181c",
    INK: "#e4e7eb",
    "#555555": "#aab2bc",
    "#777777": "#8b96a2",
    "#666666": "#8b96a2",
    "#d6e6f7": "#1d3a57",
    "#2f6fb2": "#6aa9e6",
    "#d9efe6": "#123f33",
    "#00785a": "#3fbf97",
    "#fdeac8": "#4a3812",
    "#b97a00": "#d9a23a",
    "#f2f2f2": "#2a2f35",
    "#aaaaaa": "#5c6670",
    "#a8a8a8": "#5c6670",
    "#eee8f6": "#33284a",
    "#7b5aa6": "#b59add",
    "#b9a9d2": "#5b4a7d",
    "#f7f9fb": "#1b1f24",
    "#8a9bb0": "#5c6670",
    "#cfd6dd": "#3a424b",
    "#dddddd": "#3a424b",
    "#c9a24a": "#a8823a",
    "#d3c6ab": "#6b5c3a",
    "#c8c8c8": "#59626c",
    "#d00000": "#ff6b6b",
}

# ── the gradient's scale ─────────────────────────────────────────────────────────────────

#: From a small gradient to a large one: a larger gradient is darker. This is matplotlib's plasma,
#: reversed, without its yellow end, which is hard to see on white. On dark a larger one is lighter.
GRADIENT = ("#f6ab4d", "#ec7754", "#cc4778", "#9c179e", "#5601a4", "#0d0887")
GRADIENT_DARK = ("#4d3a86", "#7a3aa8", "#b03f92", "#e06468", "#f9a242", "#f6ec6a")
#: Exploded gradients have their own colours, which go on where the others end.
EXPLODING = ("#7a0a2a", "#b3122e", "#e01f2f", "#ff4a3d")
EXPLODING_DARK = ("#ffb3a0", "#ff8a73", "#ff5f4d", "#ff2f2f")
NARROWEST, WIDEST = 0.7, 5.0
VANISHED = {"color": "#c8c8c8", "penwidth": "1", "style": "dashed"}
BROKEN = {"color": "#d00000", "penwidth": "5", "style": "dashed"}

#: For weights and compared nets: Okabe and Ito's colours, which colour-blind readers can
#: distinguish, in shades that are visible on white and on black.
HUES = ("#d07a00", "#3f9fd8", "#009e73", "#c96a9b", "#3b6fc9", "#c4551a", "#938000", "#7d6bb8")


def gradient(fraction: float, dark: bool = False) -> dict[str, str]:
    """Colour and width of a norm: fraction 0 is the smallest norm, 1 the largest."""
    width = NARROWEST + (WIDEST - NARROWEST) * fraction
    ramp = GRADIENT_DARK if dark else GRADIENT
    return {"color": mixed(ramp, fraction), "penwidth": f"{width:.2f}"}


def mixed(ramp: Sequence[str], fraction: float) -> str:
    """The colour at a fraction (0 to 1) of a ramp."""
    at = fraction * (len(ramp) - 1)
    low = min(math.floor(at), len(ramp) - 2)
    ends = [[int(ramp[low + k][i : i + 2], 16) for i in (1, 3, 5)] for k in (0, 1)]
    parts = (round(a + (b - a) * (at - low)) for a, b in zip(*ends, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*parts)


# ── pictures written as SVG ──────────────────────────────────────────────────────────────

SHADES = 16  # the number of colours of gradients
DIVERGING = 33  # the number of colours of activations, from blue through white to red

#: For each class its style in light and in dark. The dark style repeats only what differs.
LIGHT = {
    "text": f"font-family:{FONT};font-size:11px;fill:#333",
    "bg": "fill:#fff",
    "title": "font-size:14px;font-weight:bold",
    "small": "font-size:9.5px;fill:#666",
    "heading": "font-size:14px",
    "side": "font-size:12px;fill:#555",
    "name": "font-size:12px",
    "mono": f"font-family:{MONO};font-size:18px",
    "letter": f"font-family:{MONO};font-size:11px",
    "guide": "stroke:#eceef1;fill:none",
    "axis": "stroke:#c3c8ce;fill:none",
    "level": "stroke:#8a939c;stroke-dasharray:1 3;fill:none",
    "fwd": "stroke:#6d7680;fill:none",
    "head": "fill:#6d7680",
    "node": "fill:#fff;stroke:#6d7680",
    "cut": "stroke:#d00000;stroke-width:2.5;fill:none",
    "line": "stroke-width:1.8;fill:none",
    "gate": "stroke:#333;stroke-dasharray:4 3",
    "back": "fill:none",
    "cell": "shape-rendering:crispEdges",
    "mark": "stroke-width:1.6;fill:none",
    "fz": "fill:#d5d9de",
    "lz": "stroke:#b9bfc6;stroke-dasharray:2 3",
    "fn": "fill:none;stroke:#b9bfc6;stroke-dasharray:2 2",
    "fx": "fill:#000",
    "lx": "stroke:#000;stroke-width:3;stroke-dasharray:5 3",
}
DARK = {
    "text": "fill:#d8dce2",
    "bg": "fill:#15181c",
    "small": "fill:#9aa3ad",
    "side": "fill:#9aa3ad",
    "guide": "stroke:#23282e",
    "axis": "stroke:#4a525b",
    "level": "stroke:#727c86",
    "fwd": "stroke:#8b96a2",
    "head": "fill:#8b96a2",
    "node": "fill:#15181c;stroke:#8b96a2",
    "gate": "stroke:#e3e6ea",
    "cut": "stroke:#ff5f5f",
    "fz": "fill:#353c44",
    "lz": "stroke:#59626c",
    "fn": "stroke:#59626c",
    "fx": "fill:#fff",
    "lx": "stroke:#fff",
}


@functools.lru_cache(2048)
def rule(name: str, dark: bool, widest: float) -> str:
    """The style of a class.

    ``f7`` fills with a shade, ``l7`` is a line of its colour and width, and ``m7`` a line of half
    the width. ``fe2`` and so on are for exploded gradients, ``d20`` for activations.
    """
    kind, number = name[:1], name[1:]
    if kind == "m" and f"l{number}" in LIGHT:
        name = f"l{number}"
    table = DARK if dark else LIGHT
    if name in LIGHT:
        return table.get(name, "")
    digits = number.removeprefix("e")
    if kind == "d" and digits.isdigit():
        return f"stroke:{diverging(int(digits) / (DIVERGING - 1), dark)}"
    if kind not in "flm" or not digits.isdigit():
        return ""
    if digits != number:
        colour = (EXPLODING_DARK if dark else EXPLODING)[int(digits)]
    else:
        colour = mixed(GRADIENT_DARK if dark else GRADIENT, int(digits) / (SHADES - 1))
    if kind == "f":
        return f"fill:{colour}"
    width = line_width(number, widest if kind == "l" else max(widest / 2, 0.8))
    return f"stroke:{colour}" + ("" if dark else f";stroke-width:{width:.2f}")


def line_width(shade: str, widest: float) -> float:
    """The width of a line with this shade; the largest norm has the width ``widest``."""
    digits = shade.removeprefix("e")
    if not digits.isdigit():
        return 1.0
    exploded = digits != shade
    fraction = 1.1 + 0.15 * int(digits) if exploded else int(digits) / (SHADES - 1)
    narrow = min(0.8, widest)
    return narrow + (widest - narrow) * fraction


def diverging(fraction: float, dark: bool = False) -> str:
    """Blue at 0, white (on dark: the background) at 1/2, red at 1."""
    middle = "#15181c" if dark else "#ffffff"
    ends = ("#5aa2e0", middle, "#ff6a5a") if dark else ("#2166ac", middle, "#b2182b")
    return mixed(ends, fraction)
