"""How pictures look: every colour, shape and font of them.

The fills are pale, so that text stays readable; kinds also differ in shape, and the gradient's
colours run from light to dark besides from orange to blue, so that nothing rests on hue alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

FONT = "Helvetica,Arial,sans-serif"
INK = "#222222"
FAINT = "#b5b5b5"

GRAPH = {
    "rankdir": "LR",
    "newrank": "true",
    "bgcolor": "white",
    "fontname": FONT,
    "fontsize": "11",
    "fontcolor": "#555555",
    "nodesep": "0.14",
    "ranksep": "0.3",
    "labelloc": "t",
    "labeljust": "l",
}
NODE = {
    "fontname": FONT,
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
    "fontname": FONT,
    "fontsize": "9",
    "fontcolor": "#555555",
    "color": "#666666",
    "arrowsize": "0.5",
}

#: What a box stands for, and what sets it apart from NODE.
BOXES: dict[str, dict[str, str]] = {
    "operation": {},
    "state": {"fillcolor": "#d6e6f7", "color": "#2f6fb2", "penwidth": "1.4"},
    "output": {"fillcolor": "#d9efe6", "color": "#00785a", "penwidth": "1.8"},
    "weight": {"fillcolor": "#fdeac8", "color": "#b97a00", "style": "filled"},
    "constant": {"fillcolor": "#f2f2f2", "color": "#aaaaaa", "style": "filled"},
    "step": {"fillcolor": "#d6e6f7", "color": "#2f6fb2", "margin": "0.16,0.12"},
    "module": {"fillcolor": "#eee8f6", "color": "#7b5aa6", "margin": "0.16,0.12"},
    "gap": {"style": "rounded,dashed"},
    "listing": {
        "fontname": "Courier,monospace",
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

#: What an edge stands for, and what sets it apart from EDGE. The weights are Graphviz's own: the
#: heavier an edge, the shorter and straighter it is drawn.
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
}

# ── the gradient's scale ─────────────────────────────────────────────────────────────────

#: From a vanishing gradient to the largest: the darker, the larger (matplotlib's plasma,
#: backwards and without its yellow end, which would be lost on white).
GRADIENT = ("#f6ab4d", "#ec7754", "#cc4778", "#9c179e", "#5601a4", "#0d0887")
NARROWEST, WIDEST = 0.7, 5.0
VANISHED = {"color": "#c8c8c8", "penwidth": "1", "style": "dashed"}
BROKEN = {"color": "#d00000", "penwidth": "5", "style": "dashed"}


def gradient(fraction: float) -> dict[str, str]:
    """Colour and width at a fraction (0 to 1) of the way from the smallest norm to the largest."""
    width = NARROWEST + (WIDEST - NARROWEST) * fraction
    return {"color": mixed(GRADIENT, fraction), "penwidth": f"{width:.2f}"}


def mixed(ramp: Sequence[str], fraction: float) -> str:
    """The colour at a fraction (0 to 1) of the way along a ramp."""
    at = fraction * (len(ramp) - 1)
    low = min(math.floor(at), len(ramp) - 2)
    ends = [[int(ramp[low + k][i : i + 2], 16) for i in (1, 3, 5)] for k in (0, 1)]
    parts = (round(a + (b - a) * (at - low)) for a, b in zip(*ends, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*parts)
