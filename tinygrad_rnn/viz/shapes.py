"""Convert our SVGs, and Graphviz's, into plain shapes, for programs that do not read SVG.

It reads only the SVG in these pictures: rectangles, circles, ellipses, polygons, paths of lines
and curves, and text; styles from attributes and from the classes of one style sheet.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

_NAME = "{http://www.w3.org/2000/svg}"
_bend = 0.5522847498  # the control points' distance for a quarter circle of radius 1

Point = tuple[float, float]


@dataclass(slots=True)
class Shape:
    """A path, or a text.

    Attributes:
        kind: "path" or "text".
        parts: the parts of a path. Each is a list: the first point, and then for every segment
            one point (a line) or three (a curve).
        closed: whether the parts are closed.
        words, at, anchor, size, bold, mono: the text, its position and its font.
        fill, stroke: colours as "#rrggbb", or None.
        width: the width of the stroke.
        dashed, opacity: the style of the stroke, and the opacity of all.
    """

    kind: str
    fill: str | None
    stroke: str | None
    width: float = 1.0
    dashed: bool = False
    opacity: float = 1.0
    parts: list[list[Point | tuple[Point, Point, Point]]] = field(default_factory=list)
    closed: bool = False
    words: str = ""
    at: Point = (0.0, 0.0)
    anchor: str = "start"
    size: float = 11.0
    bold: bool = False
    mono: bool = False


def shapes_of(svg: str) -> tuple[float, float, list[Shape]]:
    """The width and the height of a picture, and its shapes from the back to the front."""
    root = ElementTree.fromstring(svg)
    box = [float(x) for x in root.get("viewBox", "0 0 0 0").split()]
    rules = _rules("".join(style.text or "" for style in root.iter(f"{_NAME}style")))
    inherited = {
        key: root.get(key, "") for key in ("font-family", "font-size", "fill") if root.get(key)
    }
    shapes = list(_walk(root, inherited, rules, (0.0, 0.0), (box[2], box[3])))
    return box[2], box[3], shapes


def _rules(css: str) -> dict[str, dict[str, str]]:
    """The styles by class, or by element, without media queries (dark systems)."""
    css = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\}", "", css)
    css = re.sub(r"@keyframes[^{]*\{(?:[^{}]*\{[^{}]*\})*\}", "", css)
    rules: dict[str, dict[str, str]] = {}
    for selectors, look in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        pairs = dict(pair.split(":", 1) for pair in look.split(";") if ":" in pair)
        for selector in selectors.split(","):
            rules.setdefault(selector.split()[-1].lstrip("."), {}).update(pairs)
    return rules


_ATTRIBUTES = (
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "opacity",
    "font-size",
    "font-family",
    "font-weight",
    "text-anchor",
)


def _walk(
    element: Any,
    inherited: dict[str, str],
    rules: dict[str, dict[str, str]],
    shift: Point,
    size: Point,
) -> Iterator[Shape]:
    tag = element.tag.removeprefix(_NAME)
    if tag in ("title", "style", "desc"):
        return
    look = dict(inherited)
    look.update({key: element.get(key) for key in _ATTRIBUTES if element.get(key)})
    look.update(rules.get(tag, {}))
    for name in element.get("class", "").split():
        look.update(rules.get(name, {}))
    moved = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", element.get("transform", ""))
    if moved:
        shift = (shift[0] + float(moved[1]), shift[1] + float(moved[2]))
    shape = _shape(element, tag, look, size)
    if shape is not None:
        yield _shifted(shape, shift)
    below = {key: look[key] for key in look if key.startswith(("font", "text", "fill", "stroke"))}
    below["opacity"] = look.get("opacity", "1")
    for child in element:
        yield from _walk(child, below, rules, shift, size)


def _shape(element: Any, tag: str, look: dict[str, str], size: Point) -> Shape | None:
    fill = look.get("fill", "#000000")
    stroke = look.get("stroke", "none")
    shape = Shape(
        "path",
        None if fill in ("none", "transparent") else _colour(fill),
        None if stroke in ("none", "transparent") else _colour(stroke),
        float(look.get("stroke-width", "1")),
        bool(look.get("stroke-dasharray")),
        float(look.get("opacity", "1")),
    )

    def value(name: str, whole: float = 0.0) -> float:
        text = element.get(name, "0")
        return whole * float(text[:-1]) / 100 if text.endswith("%") else float(text)

    if tag == "rect":
        x, y, w, h = value("x"), value("y"), value("width", size[0]), value("height", size[1])
        shape.parts, shape.closed = [[(x, y), (x + w, y), (x + w, y + h), (x, y + h)]], True
    elif tag in ("circle", "ellipse"):
        rx, ry = value("r") or value("rx"), value("r") or value("ry")
        shape.parts, shape.closed = [_ellipse(value("cx"), value("cy"), rx, ry)], True
    elif tag in ("polygon", "polyline"):
        numbers = [float(x) for x in re.split(r"[ ,]+", element.get("points", "").strip())]
        shape.parts = [list(zip(numbers[::2], numbers[1::2], strict=True))]
        shape.closed = tag == "polygon"
    elif tag == "path":
        shape.parts, shape.closed = _path(element.get("d", ""))
    elif tag == "text":
        shape.kind, shape.at = "text", (value("x"), value("y"))
        shape.words = "".join(
            [element.text or "", *((child.tail or "") for child in element)]
        ).replace("\u00a0", " ")
        shape.anchor = look.get("text-anchor", "start")
        shape.size = float(look.get("font-size", "11").removesuffix("px"))
        shape.bold = look.get("font-weight") == "bold"
        shape.mono = "mono" in look.get("font-family", "")
    else:
        return None
    return shape


_names = {"black": "#000000", "white": "#ffffff", "transparent": "#ffffff"}


def _colour(text: str) -> str:
    text = _names.get(text, text)
    return "#" + "".join(c * 2 for c in text[1:4]) if len(text) == 4 else text[:7]


def _ellipse(x: float, y: float, rx: float, ry: float) -> list[Any]:
    kx, ky = rx * _bend, ry * _bend
    return [
        (x + rx, y),
        ((x + rx, y + ky), (x + kx, y + ry), (x, y + ry)),
        ((x - kx, y + ry), (x - rx, y + ky), (x - rx, y)),
        ((x - rx, y - ky), (x - kx, y - ry), (x, y - ry)),
        ((x + kx, y - ry), (x + rx, y - ky), (x + rx, y)),
    ]


def _path(d: str) -> tuple[list[list[Any]], bool]:
    """The parts of a path: M L H V C, absolute or relative, and z."""
    parts: list[list[Any]] = []
    closed = False
    x = y = 0.0
    for command, text in re.findall(r"([MLHVCZmlhvcz])([^MLHVCZmlhvcz]*)", d):
        numbers = [float(n) for n in re.findall(r"-?\d*\.?\d+(?:e-?\d+)?", text)]
        kind, relative = command.upper(), command.islower()
        if kind == "Z":
            closed = True
            continue
        width = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6}[kind]
        for k in range(0, len(numbers), width):
            n = numbers[k : k + width]
            ox, oy = (x, y) if relative else (0.0, 0.0)
            if kind == "H":
                x = ox + n[0]
            elif kind == "V":
                y = oy + n[0]
            else:
                x, y = ox + n[-2], oy + n[-1]
            if kind == "M" and k == 0:
                parts.append([(x, y)])
            elif kind == "C":
                parts[-1].append(((ox + n[0], oy + n[1]), (ox + n[2], oy + n[3]), (x, y)))
            else:
                parts[-1].append((x, y))
    return parts, closed


def segments_of(d: str) -> Iterator[tuple[float, float, float, float]]:
    """The segments of a path, with curves as short lines."""
    for part in _path(d)[0]:
        points = _flattened(part)
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            yield x0, y0, x1, y1


def _shifted(shape: Shape, by: Point) -> Shape:
    if by == (0.0, 0.0):
        return shape

    def moved(p: Any) -> Any:
        if isinstance(p[0], tuple):
            return tuple(moved(q) for q in p)
        return (p[0] + by[0], p[1] + by[1])

    shape.parts = [[moved(p) for p in part] for part in shape.parts]
    shape.at = moved(shape.at)
    return shape


# ── for Graphviz ─────────────────────────────────────────────────────────────────────────


def xdot(width: float, height: float, shapes: list[Shape]) -> str:
    """DOT text of an empty graph with the shapes as its background.

    The shapes are written in xdot, https://graphviz.org/docs/outputs/canon/#xdot.
    """
    # Graphviz reads no string longer than 16 kB, but it joins several.
    pieces = [""]
    for shape in shapes:
        words = _xdot_shape(shape, height).replace("\\", "\\\\").replace('"', '\\"')
        if len(pieces[-1].encode()) + len(words.encode()) > 8000:
            pieces.append("")
        pieces[-1] += f"{words} "
    background = " + ".join(f'"{piece}"' for piece in pieces)
    inches = f'width="{width / 72:.3f}", height="{height / 72:.3f}"'
    return (
        f'graph {{ graph [bb="0,0,{width:.1f},{height:.1f}", pad="0", _background={background}]\n'
        f'n [shape=box, style=invis, label="", fixedsize=true, {inches}, '
        f'pos="{width / 2:.1f},{height / 2:.1f}!"] }}\n'
    )


def _xdot_shape(shape: Shape, height: float) -> str:
    def point(p: Point) -> str:
        return f"{p[0]:.2f} {height - p[1]:.2f}"

    alpha = f"{round(255 * shape.opacity):02x}" if shape.opacity < 1 else ""

    def colour(kind: str, name: str) -> str:
        text = f"{name}{alpha}"
        return f"{kind} {len(text)} -{text}"

    if shape.kind == "text":
        if not shape.words.strip() or shape.fill is None:
            return ""
        # For Helvetica Graphviz may use any font; for Arial it uses one of Helvetica's widths.
        family = "Courier New" if shape.mono else "Arial Bold" if shape.bold else "Arial"
        side = {"start": -1, "middle": 0, "end": 1}[shape.anchor]
        text = shape.words.encode()
        return (
            f"{colour('c', shape.fill)} F {shape.size:g} {len(family)} -{family} "
            f"T {point(shape.at)} {side} 0 {len(text)} -{shape.words}"
        )
    style = f"setlinewidth({shape.width:g})"
    ops = [
        f"S {len(style)} -{style}",
        f"S {6 if shape.dashed else 5} -{'dashed' if shape.dashed else 'solid'}",
    ]
    ops.append(colour("c", shape.stroke or shape.fill or "#000000"))
    if shape.fill is not None:
        ops.append(colour("C", shape.fill))
    for part in shape.parts:
        curved = any(isinstance(p[0], tuple) for p in part)
        if shape.closed or (shape.fill is not None and shape.stroke is None):
            points = _flattened(part) if curved else part
            kind = "P" if shape.fill is not None else "p"
            if kind == "P" and shape.stroke is None:
                ops.append("S 15 -setlinewidth(0)")
            ops.append(f"{kind} {len(points)} {' '.join(map(point, points))}")  # type: ignore[arg-type]
        elif shape.stroke is not None:
            points = _flattened(part) if curved else part
            ops.append(f"L {len(points)} {' '.join(map(point, points))}")  # type: ignore[arg-type]
    return " ".join(ops)


def _flattened(part: list[Any], steps: int = 12) -> list[Point]:
    """Replace the curves of a path by short lines."""
    points = [part[0]]
    for segment in part[1:]:
        if not isinstance(segment[0], tuple):
            points.append(segment)
            continue
        a, (b, c, d) = points[-1], segment
        for k in range(1, steps + 1):
            t = k / steps
            u = 1 - t
            weights = (u**3, 3 * u * u * t, 3 * u * t * t, t**3)
            points.append(
                tuple(
                    math.fsum(w * p[i] for w, p in zip(weights, (a, b, c, d), strict=True))
                    for i in (0, 1)
                )
            )
    return points
