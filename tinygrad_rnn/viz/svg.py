"""Writing SVG: shapes, text and its width, numbers, ticks, themes."""

from __future__ import annotations

import html
import itertools
import math
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable

from . import style
from .style import THEMES

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
        body: the parts; their classes are described at ``style.rule``.
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
        looks = ((name, style.rule(name, dark, widest)) for name in names)
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
