"""SVG text: escaping, the width of words, and colours for light and for dark backgrounds."""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Mapping, Sequence

from . import style
from .picture import Scale

#: How many shades of the gradient there are: each is a class, which light and dark colour.
SHADES = 16

#: For weights and compared nets: Okabe and Ito's colours, which the colour-blind tell apart, in
#: shades that stand out from white and from black.
HUES = ("#d07a00", "#3f9fd8", "#009e73", "#c96a9b", "#3b6fc9", "#c4551a", "#938000", "#7d6bb8")

#: On a dark background what is large is light.
_dark = ("#4d3a86", "#7a3aa8", "#b03f92", "#e06468", "#f9a242", "#f6ec6a")


def shade(scale: Scale, norm: float) -> str:
    """The name of a norm's shade: ``0`` to ``15``, ``z`` for a vanished one, ``x`` for NaN."""
    if not math.isfinite(norm):
        return "x"
    if norm < scale.low * (1 - 1e-9):
        return "z"
    return str(round(scale.fraction(norm) * (SHADES - 1)))


def document(width: float, height: float, words: str, widest: float, body: str) -> str:
    """A picture: its parts on a background.

    Args:
        width, height: of the picture.
        words: that tell what it shows.
        widest: the width of the line of the largest norm.
        body: the parts. ``f7`` fills with a shade, ``l7`` is a line of its colour and width, ``m7``
            one of half the width.
    """
    # A notebook puts all pictures into one page, where a style is everybody's.
    scope = f"flow{widest * 10:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" role="img" class="{scope}" '
        f'aria-label="{escaped(words)}"><style>{_stylesheet(f".{scope}", widest)}</style>'
        f'<rect class="bg" width="100%" height="100%"/>{body}</svg>'
    )


def _stylesheet(scope: str, widest: float) -> str:
    narrow = min(0.8, widest)
    widths = {
        f".{line}{k}": f"stroke-width:{narrow + (most - narrow) * k / (SHADES - 1):.2f}"
        for line, most in (("l", widest), ("m", max(widest / 2, narrow)))
        for k in range(SHADES)
    }
    light = {**_light, **_shades(style.GRADIENT), **widths}
    dark = {**_darker, **_shades(_dark)}
    return f"{_rules(scope, light)}@media (prefers-color-scheme:dark){{{_rules(scope, dark)}}}"


_light = {
    "text": f"font-family:{style.FONT};font-size:11px;fill:#333",
    ".bg": "fill:#fff",
    ".title": "font-size:14px;font-weight:bold",
    ".small": "font-size:9.5px;fill:#666",
    ".mono": "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:18px",
    ".guide": "stroke:#eceef1",
    ".axis": "stroke:#c3c8ce;fill:none",
    ".fwd": "stroke:#6d7680;fill:none",
    ".head": "fill:#6d7680",
    ".node": "fill:#fff;stroke:#6d7680",
    ".cut": "stroke:#d00000;stroke-width:2.5;fill:none",
    ".line": "stroke-width:1.8;fill:none",
    ".gate": "stroke:#333;stroke-dasharray:4 3",
    ".back": "fill:none",
    ".cell": "shape-rendering:crispEdges",
    ".fz": "fill:#d5d9de",
    ".lz,.mz": "stroke:#b9bfc6;stroke-dasharray:2 3",
    ".fx": "fill:#d00000",
    ".lx,.mx": "stroke:#d00000;stroke-width:3;stroke-dasharray:5 3",
}
_darker = {
    "text": "fill:#d8dce2",
    ".bg": "fill:#15181c",
    ".small": "fill:#9aa3ad",
    ".guide": "stroke:#23282e",
    ".axis": "stroke:#4a525b",
    ".fwd": "stroke:#8b96a2",
    ".head": "fill:#8b96a2",
    ".node": "fill:#15181c;stroke:#8b96a2",
    ".gate": "stroke:#e3e6ea",
    ".cut": "stroke:#ff5f5f",
    ".fz": "fill:#353c44",
    ".lz,.mz": "stroke:#59626c",
}


def _shades(ramp: Sequence[str]) -> dict[str, str]:
    colours = [style.mixed(ramp, k / (SHADES - 1)) for k in range(SHADES)]
    return {f".f{k}": f"fill:{c}" for k, c in enumerate(colours)} | {
        f".l{k},.m{k}": f"stroke:{c}" for k, c in enumerate(colours)
    }


def _rules(scope: str, rules: Mapping[str, str]) -> str:
    return "".join(
        f"{','.join(f'{scope} {part}' for part in selector.split(','))}{{{look}}}"
        for selector, look in rules.items()
    )


# ── text ─────────────────────────────────────────────────────────────────────────────────


def visible(text: str) -> str:
    """The text with what cannot be shown, or is no character of XML, as a picture of itself."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    # Not controls, surrogates and the like; but a joiner within an emoji stays.
    if unicodedata.category(character) in {"Cc", "Cs", "Cn"} or code & 0xFFFE == 0xFFFE:
        return "\ufffd"
    return "\ufffd" if unicodedata.bidirectional(character) in _turning else character


#: Characters that turn the direction of all the text that follows.
_turning = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def escaped(text: str) -> str:
    """The text as it is written into SVG and HTML."""
    return html.escape(visible(text))


def columns(text: str) -> int:
    """How many columns the text takes in a font of one width; Hangul takes two each."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def shortened(text: str, most: int) -> str:
    """The beginning and the end of a text that takes more than so many columns."""
    text = visible(text)
    if columns(text) <= most:
        return text
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    while columns(head) + columns(tail) >= most:
        if columns(head) > columns(tail):
            head = head[:-1]
        else:
            tail = tail[1:]
    return f"{head}…{tail}"


def figure(x: float) -> str:
    """A norm in two digits: ``1.6``, ``3.2e-5``."""
    return f"{x:.2g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def number(x: float) -> str:
    """A coordinate: as short as a tenth of a pixel allows."""
    text = f"{x:.1f}"
    return text[:-2] if text.endswith(".0") else text
