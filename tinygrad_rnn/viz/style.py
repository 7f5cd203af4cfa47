"""The style of graphs, drawn by Graphviz: colours, shapes and fonts."""

from __future__ import annotations

from .svg import GRADIENT, GRADIENT_DARK, mixed

INK = "#222222"

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

# ── the gradients along the edges ────────────────────────────────────────────────────────

NARROWEST, WIDEST = 0.7, 5.0
VANISHED = {"color": "#c8c8c8", "penwidth": "1", "style": "dashed"}
BROKEN = {"color": "#d00000", "penwidth": "5", "style": "dashed"}


def gradient(fraction: float, dark: bool = False) -> dict[str, str]:
    """Colour and width of a norm: fraction 0 is the smallest norm, 1 the largest."""
    width = NARROWEST + (WIDEST - NARROWEST) * fraction
    ramp = GRADIENT_DARK if dark else GRADIENT
    return {"color": mixed(ramp, fraction), "penwidth": f"{width:.2f}"}
