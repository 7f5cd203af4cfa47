"""What has to hold of every SVG picture: no text over text, no line through text, all of it inside.

An own small reader of SVG, apart from the package's: of text it takes the width of Helvetica, of
lines every segment, curves in small pieces.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from tinygrad_rnn.viz.svg import columns, width_of

SVG = "{http://www.w3.org/2000/svg}"

_LINES = ("path", "polyline", "line", "rect", "polygon")

Box = tuple[float, float, float, float]  # left, top, right, bottom
Segment = tuple[float, float, float, float]


@dataclass(frozen=True)
class Text:
    words: str
    box: Box


@dataclass
class Drawn:
    """A picture: its size, its texts, and its lines, as segments with their widths."""

    width: float
    height: float
    texts: list[Text]
    lines: list[tuple[Segment, float]]


def read(svg: str) -> Drawn:
    root = ElementTree.fromstring(svg)
    rules = dict(_rules("".join(style.text or "" for style in root.iter(f"{SVG}style"))))
    box = [float(x) for x in root.get("viewBox", "").split()]
    drawn = Drawn(box[2], box[3], [], [])
    _walk(root, {}, rules, (0.0, 0.0), drawn)
    return drawn


def problems(svg: str, *, lines: bool = True) -> list[str]:
    """What is wrong with a picture."""
    drawn = read(svg)
    found = []
    for text in drawn.texts:
        left, top, right, bottom = text.box
        if left < -1 or top < -1 or right > drawn.width + 1 or bottom > drawn.height + 1:
            found.append(f"{text.words!r} leaves the picture")
    texts = sorted(drawn.texts, key=lambda text: text.box[1])
    for k, a in enumerate(texts):
        for b in itertools.islice(texts, k + 1, None):
            if b.box[1] >= a.box[3]:
                break
            if a.box[0] < b.box[2] and b.box[0] < a.box[2]:
                found.append(f"{a.words!r} over {b.words!r}")
    if lines and drawn.lines:
        ends = np.array([segment for segment, _ in drawn.lines])
        widths = np.array([width for _, width in drawn.lines])
        low = np.minimum(ends[:, :2], ends[:, 2:]) - widths[:, None] / 2
        high = np.maximum(ends[:, :2], ends[:, 2:]) + widths[:, None] / 2
        band = 50.0
        for n, members in itertools.groupby(texts, key=lambda text: text.box[1] // band):
            here = np.flatnonzero((low[:, 1] < (n + 2) * band) & (high[:, 1] > n * band))
            for text in members:
                left, top, right, bottom = text.box
                inner = (left + 1.5, top + 1.5, right - 1.5, bottom - 1.5)
                near = (low[here] < inner[2:]).all(1) & (high[here] > inner[:2]).all(1)
                if any(_meets(tuple(ends[k]), inner, widths[k] / 2) for k in here[near]):
                    found.append(f"a line through {text.words!r}")
    return found


def _meets(segment: Segment, box: Box, margin: float) -> bool:
    """Whether a segment passes through a box (Liang and Barsky's clipping)."""
    x0, y0, x1, y1 = segment
    left, top, right, bottom = box
    across = 0.0 if y0 == y1 else margin  # a line does not reach beyond its ends
    along = 0.0 if x0 == x1 else margin
    left, top, right, bottom = left - across, top - along, right + across, bottom + along
    if right <= left or bottom <= top:
        return False
    near, far = 0.0, 1.0
    for delta, start, low, high in ((x1 - x0, x0, left, right), (y1 - y0, y0, top, bottom)):
        if abs(delta) < 1e-12:
            if not low < start < high:
                return False
            continue
        a, b = sorted(((low - start) / delta, (high - start) / delta))
        near, far = max(near, a), min(far, b)
    return near < far


# ── greys ────────────────────────────────────────────────────────────────────────────────


def wrong_colours(flow: Any, svg: str) -> list[str]:
    """Where the colour of a state or a way in a playable picture is not by the written rule.

    The rule, again: below 1e-8 R a gradient has vanished, above 100 R it has exploded.
    """
    R = flow.sent_by_loss
    states = list(flow.states.values())
    found = []
    for element in ElementTree.fromstring(svg).iter():
        key, classes = element.get("data-k", ""), element.get("class", "").split()
        shades = [name[1:] for name in classes if re.fullmatch(r"[flm](\d+|e\d|[znx])", name)]
        match = re.fullmatch(r"([sei])(\d+)\.(\d+)", key)
        if match is None or not shades:
            continue
        state, t = states[int(match[2])], int(match[3])
        where = {"e": "next", "i": "step"}.get(match[1])
        norm = float(state.norms[t] if where is None else state.sent[where][t])
        kind = shades[0][:1] if not shades[0].isdigit() else "shade"
        if not math.isfinite(norm):
            expected = {"x"}
        elif norm == 0:
            expected = {"n", "z"}
        elif norm < 1e-8 * R:
            expected = {"z"}
        elif R > 0 and norm > 100 * R:
            expected = {"e"}
        else:
            expected = {"shade"}
        if kind not in expected:
            found.append(f"{state.name} at {t}: norm {norm:.3g}, R {R:.3g}, drawn as {shades[0]}")
    return found


# ── reading ──────────────────────────────────────────────────────────────────────────────


def _rules(css: str) -> Iterator[tuple[str, dict[str, str]]]:
    css = re.sub(r"@(?:media|keyframes)[^{]*\{(?:[^{}]*\{[^{}]*\})*\}", "", css)
    for selectors, look in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
        for selector in selectors.split(","):
            pairs = (pair.split(":", 1) for pair in look.split(";") if ":" in pair)
            yield selector.split()[-1], dict(pairs)  # type: ignore[arg-type]


def _walk(
    element: Any,
    inherited: dict[str, str],
    rules: dict[str, dict[str, str]],
    shift: tuple[float, float],
    drawn: Drawn,
) -> None:
    tag = element.tag.removeprefix(SVG)
    if tag in ("title", "style", "defs"):
        return
    look = {**inherited}
    for key in ("stroke", "stroke-width", "font-size", "text-anchor", "font-family"):
        if element.get(key):
            look[key] = element.get(key)
    look.update(rules.get(tag, {}))
    for name in element.get("class", "").split():
        look.update(rules.get(f".{name}", {}))
    moved = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", element.get("transform", ""))
    if moved:
        shift = (shift[0] + float(moved[1]), shift[1] + float(moved[2]))
    dx, dy = shift
    if tag == "text":
        drawn.texts += _text(element, look, shift)
    stroke = look.get("stroke", "none")
    if stroke not in ("none", "transparent") and tag in (
        "path",
        "polyline",
        "line",
        "rect",
        "polygon",
    ):
        width = float(look.get("stroke-width", "1"))
        for part in _parts(element, tag):
            for (x0, y0), (x1, y1) in itertools.pairwise(part):
                drawn.lines.append(((x0 + dx, y0 + dy, x1 + dx, y1 + dy), width))
    for child in element:
        _walk(child, look, rules, shift, drawn)


def _text(element: Any, look: dict[str, str], shift: tuple[float, float]) -> Iterator[Text]:
    words = "".join([element.text or "", *((child.tail or "") for child in element)]).strip(" ")
    if not words.strip():
        return
    size = float(look.get("font-size", "11").removesuffix("px"))
    mono = "mono" in look.get("font-family", "") or "Courier" in look.get("font-family", "")
    width = columns(words) * 0.6 * size if mono else width_of(words, size)
    x, y = float(element.get("x", 0)) + shift[0], float(element.get("y", 0)) + shift[1]
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[look.get("text-anchor", "start")] * width
    unseen = width * (1 - len(words.lstrip()) / len(words))  # spaces that do not break
    yield Text(words, (left + unseen, y - 0.72 * size, left + width, y + 0.2 * size))


def _parts(element: Any, tag: str) -> list[list[tuple[float, float]]]:
    def value(name: str) -> float:
        text = element.get(name, "0")
        return 0.0 if text.endswith("%") else float(text)

    if tag == "rect":
        x, y, w, h = (value(name) for name in ("x", "y", "width", "height"))
        return [[(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)]] if w and h else []
    if tag == "line":
        return [[(value("x1"), value("y1")), (value("x2"), value("y2"))]]
    if tag in ("polygon", "polyline"):
        n = [float(x) for x in re.split(r"[ ,]+", element.get("points", "").strip()) if x]
        points = list(zip(n[::2], n[1::2], strict=True))
        return [points + points[:1] * (tag == "polygon")]
    return _path(element.get("d", ""))


def _path(d: str) -> list[list[tuple[float, float]]]:
    parts: list[list[tuple[float, float]]] = []
    x = y = 0.0
    for command, text in re.findall(r"([MLHVCZmlhvcz])([^MLHVCZmlhvcz]*)", d):
        n = [float(k) for k in re.findall(r"-?\d*\.?\d+(?:e-?\d+)?", text)]
        kind, relative = command.upper(), command.islower()
        if kind == "Z":
            parts[-1].append(parts[-1][0])
            x, y = parts[-1][0]
            continue
        size = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6}[kind]
        for k in range(0, len(n), size):
            ox, oy = (x, y) if relative else (0.0, 0.0)
            m = n[k : k + size]
            if kind == "C":
                ends = [(x, y)] + [(ox + m[i], oy + m[i + 1]) for i in (0, 2, 4)]
                for step in range(1, 17):
                    t = step / 16
                    w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                    parts[-1].append(
                        (
                            math.fsum(a * e[0] for a, e in zip(w, ends, strict=True)),
                            math.fsum(a * e[1] for a, e in zip(w, ends, strict=True)),
                        )
                    )
                x, y = ends[-1]
                continue
            x = ox + m[0] if kind != "V" else x
            y = oy + m[-1] if kind != "H" else y
            if kind == "M" and k == 0:
                parts.append([(x, y)])
            else:
                parts[-1].append((x, y))
    return parts
