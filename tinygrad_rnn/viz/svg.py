"""Writing SVG: shapes, text and its width, numbers, ticks; the colours of norms, and themes.

The fills are pale, so that text stays readable. Nothing depends on hue alone: kinds also differ in
shape, and the gradient's colours run from light to dark as well as from orange to blue.
"""

from __future__ import annotations

import functools
import html
import itertools
import math
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

THEMES = ("light", "dark", "auto")

FONT = "Helvetica,Arial,sans-serif"
MONO = "ui-monospace,Menlo,Consolas,monospace"


# ── the document ─────────────────────────────────────────────────────────────────────────


class Canvas:
    """SVG parts, in the order in which they are drawn."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def add(self, part: str) -> None:
        self.parts.append(part)

    def path(self, d: str, kind: str, more: str = "") -> None:
        self.parts.append(f'<path class="{kind}" d="{d}"{more}/>')

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, more: str = ""
    ) -> None:
        self.parts.append(
            f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}"{more}/>'
        )

    def text(
        self, x: float, y: float, words: str, kind: str = "", at: str = "start", more: str = ""
    ) -> None:
        """Add a text on the base line y: it starts at x (at="start"), is centred, or ends there."""
        named = f' class="{kind}"' if kind else ""
        anchor = f' text-anchor="{at}"' if at != "start" else ""
        self.parts.append(
            f'<text{named} x="{number(x)}" y="{number(y)}"{anchor}{more}>{escaped(words)}</text>'
        )


def document(
    width: float, height: float, words: str, body: str, *, theme: str = "light", widest: float = 4
) -> str:
    """A picture: its parts on a background.

    Args:
        width, height: the size of the picture.
        words: a description for screen readers.
        body: the parts; their classes are described at ``rule``.
        theme: "light", "dark" or "auto", which follows the viewer's system.
        widest: the width of the line of the largest norm.

    Raises:
        ValueError: the theme is unknown.
    """
    checked_theme(theme)
    names = sorted(
        {name for found in re.findall(r' class="([^"]*)"', body) for name in found.split()}
    )
    names = ["text", "bg", *names]

    def rules(scope: str, dark: bool) -> str:
        looks = ((name, rule(name, dark, widest)) for name in names)
        return "".join(
            f"{scope} {name if name == 'text' else f'.{name}'}{{{look}}}"
            for name, look in looks
            if look
        )

    # A notebook puts all pictures into one page, where a style applies to all of them. So each
    # picture has a class of its own.
    scope = f"v{zlib.crc32((rules('', dark=False) + theme).encode()):08x}"
    css = rules(f".{scope}", dark=False)
    if theme == "dark":
        css += rules(f".{scope}", dark=True)
    elif theme == "auto":
        css += f"@media (prefers-color-scheme:dark){{{rules(f'.{scope}', dark=True)}}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" role="img" class="{scope}" '
        f'aria-label="{escaped(words)}"><style>{css}</style>'
        f'<rect class="bg" width="100%" height="100%"/>{body}</svg>'
    )


def checked_theme(theme: str) -> str:
    if theme not in THEMES:
        raise ValueError(f"expected theme 'light', 'dark' or 'auto', got {theme!r}")
    return theme


# ── text ─────────────────────────────────────────────────────────────────────────────────


def visible(text: str) -> str:
    """The text, with visible symbols for characters that cannot be shown or that XML forbids."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if unicodedata.category(character) in {"Zl", "Zp"}:  # line and paragraph separators
        return "\u2424"
    # Controls, surrogates and the like cannot be shown. A joiner within an emoji stays.
    if unicodedata.category(character) in {"Cc", "Cs", "Cn"} or code & 0xFFFE == 0xFFFE:
        return "\ufffd"
    return "\ufffd" if unicodedata.bidirectional(character) in _turning else character


#: Characters that change the direction of all text after them.
_turning = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def escaped(text: str) -> str:
    """The text as it is written into SVG and HTML."""
    return html.escape(visible(text))


def columns(text: str) -> int:
    """The number of columns of a text in a monospaced font. A Hangul syllable takes two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


#: The widths of the characters from space to ~ in Helvetica, in thousandths of its size.
_helvetica = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 "
    "556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 "
    "260 334 584"
)
_widths = {chr(32 + k): int(width) / 1000 for k, width in enumerate(_helvetica.split())}


def width_of(text: str, size: float = 11, bold: bool = False) -> float:
    """The width of a text in Helvetica of this size."""
    wide = sum(_widths[c] if c in _widths else 0.6 * columns(c) for c in text)
    return wide * size * (1.07 if bold else 1)


def shortened(text: str, most: int) -> str:
    """The text, without its middle if it takes more than ``most`` columns."""
    return _cut(visible(text), most, columns)


def fitted(text: str, room: float, size: float = 11) -> str:
    """The text, shortened to a width of at most ``room``."""
    return _cut(visible(text), room / size, lambda c: width_of(c, 1))


def _cut(text: str, room: float, width: Callable[[str], float]) -> str:
    """The text, without its middle if it has no room; at least "…"."""
    if width(text) <= room:
        return text
    head, tail = list(text[: len(text) // 2]), list(text[: len(text) // 2 - 1 : -1])
    left, right = width("".join(head)), width("".join(tail))
    while (head or tail) and left + right + width("…") > room + 1e-9:
        if left > right or not tail:
            left -= width(head.pop())
        else:
            right -= width(tail.pop())
    return f"{''.join(head)}…{''.join(reversed(tail))}"


# ── numbers and ticks ────────────────────────────────────────────────────────────────────


def figure(x: float) -> str:
    """A norm with two digits: ``1.6``, ``3.2e-5``, ``NaN``."""
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "Inf"
    return f"{x:.2g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def number(x: float) -> str:
    """A coordinate, rounded to a tenth of a pixel."""
    text = f"{x:.1f}"
    return text[:-2] if text.endswith(".0") else text


def step_ticks(count: int, pitch: float) -> list[int]:
    """The steps with room for a label."""
    room = 7 * len(str(count - 1)) + 8
    stride = next(
        base * 10**power
        for power in itertools.count()
        for base in (1, 2, 5)
        if base * 10**power * pitch >= room
    )
    return list(range(0, count, stride))


def log_ticks(low: float, high: float, tall: float) -> list[int]:
    """The powers of ten from low to high with room for a label on an axis of this height."""
    first = math.ceil(math.log10(low) - 1e-9)
    last = math.floor(math.log10(high) + 1e-9)
    decades = max(math.log10(high) - math.log10(low), 1e-9)
    stride = next(
        n
        for base in itertools.count()
        for n in (10**base, 2 * 10**base, 5 * 10**base)
        if n * tall / decades >= 12
    )
    return list(range(-(-first // stride) * stride, last + 1, stride))


def round_ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers, evenly spaced, that enclose the range from low to high."""
    span = max(high - low, 1e-3 * max(abs(low), abs(high))) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    spacing = next(power * f for f in (1, 2, 2.5, 5, 10) if span / (power * f) <= 6)
    first, last = math.floor(low / spacing), math.ceil(high / spacing)
    return [i * spacing for i in range(first, max(last, first + 1) + 1)]


def tick_label(tick: float, ticks: list[float]) -> str:
    """A number of ``round_ticks`` with enough digits to differ from the others."""
    digits = max(0, 1 - math.floor(math.log10(ticks[1] - ticks[0])))
    return f"{tick:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{tick:,.0f}"


def joined(numbers: Iterable[int]) -> str:
    """Numbers in short form: ``0 to 3, 7``."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)


# ── colours and classes ──────────────────────────────────────────────────────────────────

#: From a small gradient to a large one: a larger gradient is darker. This is matplotlib's plasma,
#: reversed, without its yellow end, which is hard to see on white. On dark a larger one is lighter.
GRADIENT = ("#f6ab4d", "#ec7754", "#cc4778", "#9c179e", "#5601a4", "#0d0887")
GRADIENT_DARK = ("#4d3a86", "#7a3aa8", "#b03f92", "#e06468", "#f9a242", "#f6ec6a")
#: Exploded gradients have their own colours, which go on where the others end.
EXPLODING = ("#7a0a2a", "#b3122e", "#e01f2f", "#ff4a3d")
EXPLODING_DARK = ("#ffb3a0", "#ff8a73", "#ff5f4d", "#ff2f2f")

#: For weights and compared nets: Okabe and Ito's colours, which colour-blind readers can
#: distinguish, in shades that are visible on white and on black.
HUES = ("#d07a00", "#3f9fd8", "#009e73", "#c96a9b", "#3b6fc9", "#c4551a", "#938000", "#7d6bb8")

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


def mixed(ramp: Sequence[str], fraction: float) -> str:
    """The colour at a fraction (0 to 1) of a ramp."""
    at = fraction * (len(ramp) - 1)
    low = min(math.floor(at), len(ramp) - 2)
    ends = [[int(ramp[low + k][i : i + 2], 16) for i in (1, 3, 5)] for k in (0, 1)]
    parts = (round(a + (b - a) * (at - low)) for a, b in zip(*ends, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*parts)


# ── the scale of norms ───────────────────────────────────────────────────────────────────

LEAST_DECADES = 4  # so that a nearly constant gradient has nearly one colour


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of norms, for a logarithmic scale.

    Attributes:
        low, high: the norms at the ends of the colours.
        most: the largest finite norm; above ``high`` if some norm exploded.
        regimes: the verdicts of the written rule that occur.
    """

    low: float
    high: float
    most: float
    regimes: frozenset[str] = frozenset()

    @classmethod
    def over(cls, sizes: Iterable[tuple[float, str]]) -> Scale:
        """The scale for some norms, each with the verdict of the rule."""
        sizes = list(sizes)
        shown = [size for size, regime in sizes if regime == "" and size > 0]
        exploded = [size for size, regime in sizes if regime == "exploded"]
        high = max(shown, default=min(exploded, default=1.0))
        high = max(high, 1e-290)  # keeps the low end above 0
        decades = math.ceil(math.log10(high) - math.log10(min(shown, default=high)) - 1e-9)
        low = high * 10.0 ** -max(decades, LEAST_DECADES)
        most = max([high, *exploded])
        return cls(max(low, 1e-300), high, most, frozenset(regime for _, regime in sizes))

    def fraction(self, norm: float) -> float:
        """The place of a norm among the colours: 0 at the low end, 1 at the high end."""
        return _between(norm, self.low, self.high)

    @property
    def knee(self) -> float:
        """The place from 0 to 1 where the colours end, on an axis of all finite norms.

        Exploded norms get at most a third of the axis, so that the rest stays readable.
        """
        decades = math.log10(self.high) - math.log10(self.low)
        return max(decades / (math.log10(self.most) - math.log10(self.low)), 2 / 3)

    def height(self, norm: float) -> float:
        """The place of a norm on this axis."""
        knee = self.knee
        below = knee * _between(norm, self.low, self.high)
        return below + (1 - knee) * _between(norm, self.high, self.most)

    @property
    def is_bent(self) -> bool:
        """Whether decades are narrower above the knee."""
        return self.knee > _between(self.high, self.low, self.most) + 1e-9

    def shade(self, norm: float, regime: str) -> str:
        """The name of a norm's colour.

        ``0`` to ``15``; ``e0`` to ``e3`` for exploded norms; ``z`` for vanished ones; ``n`` for no
        gradient at all; ``x`` for NaN and Inf.
        """
        kind = {"vanished": "z", "none": "n", "0": "n", "NaN": "x"}.get(regime)
        if kind is not None:
            return kind
        if regime == "exploded":
            at = _between(norm, self.high, self.most) if self.most > self.high else 1.0
            return f"e{min(int(at * len(EXPLODING)), len(EXPLODING) - 1)}"
        return str(round(self.fraction(norm) * (SHADES - 1)))


def _between(norm: float, low: float, high: float) -> float:
    if not high > low or not norm > low:
        return 0.0
    if norm >= high:
        return 1.0
    return (math.log10(norm) - math.log10(low)) / (math.log10(high) - math.log10(low))
