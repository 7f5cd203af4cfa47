"""Helpers that write SVG: a page, a text, a border, a small image, a chart inside a page."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

FONT = "Helvetica,Arial,sans-serif"
INK, FAINT, WRONG = "#222222", "#b5b5b5", "#c00000"


def page(path: Path, width: float, height: float, title: str, parts: Sequence[str]) -> None:
    """Write an SVG file, a white page with a title and parts, and print where it is.

    Args:
        path: the file.
        width, height: in pixels; the title takes the top 30.
        title: one line at the top left; a long one makes the page wider.
        parts: SVG elements.
    """
    width = max(width, 9 * len(title))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="{FONT}" font-size="12" fill="{INK}">\n'
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>\n'
        f'<text x="16" y="24" font-size="15">{escape(title)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n",
        encoding="utf-8",
    )
    print(f"wrote     {path}")


def text(x: float, y: float, words: str, anchor: str = "middle", fill: str = INK) -> str:
    """Return text on the base line y. It starts, is centred or ends at x, as ``anchor`` says.

    Args:
        x, y: a point on the base line.
        words: the text.
        anchor: "start", "middle" or "end".
        fill: a colour.
    """
    colour = "" if fill == INK else f' fill="{fill}"'
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{colour}>{escape(words)}</text>'


def border(x: float, y: float, width: float, height: float, colour: str = FAINT) -> str:
    """Return a rectangle without a fill."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="none" '
        f'stroke="{colour}"/>'
    )


def image(x: float, y: float, scale: int, pixels: np.ndarray) -> str:
    """Return a small image whose pixels are drawn as squares.

    Args:
        x, y: the upper left corner.
        scale: the width of a square.
        pixels: (H, W) greys or (H, W, 3) colours, from 0 (black) to 1.
    """
    colours = np.broadcast_to(
        pixels if pixels.ndim == 3 else pixels[..., None], (*pixels.shape[:2], 3)
    )
    levels = np.rint(255 * np.clip(colours, 0, 1)).astype(np.uint8)
    height, width = (scale * n for n in pixels.shape[:2])
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width}" height="{height}" '
        f'href="{png(levels.repeat(scale, 0).repeat(scale, 1))}"/>'
    )


def inset(chart: str, y: float) -> str:
    """Return an SVG picture as a part of another one, moved down to y."""
    return chart.replace("<svg ", f'<svg y="{y:g}" ', 1)


def size_of(chart: str) -> tuple[float, float]:
    """Return the width and the height of an SVG picture, in pixels."""
    _, _, width, height = re.search(r'viewBox="([^"]*)"', chart)[1].split()
    return float(width), float(height)


def colours(values: np.ndarray) -> np.ndarray:
    """Return colours (..., 3), as ``image`` takes them: blue at -1, white at 0, red at 1."""
    ends = np.where(values[..., None] > 0, (178, 24, 43), (33, 102, 172)) / 255
    return 1 + (ends - 1) * np.minimum(1, np.abs(values))[..., None]


def png(levels: np.ndarray) -> str:
    """Return an image (H, W, 3) of bytes as a data URL of a PNG file.

    Source: https://www.w3.org/TR/png, sections 5 (chunks), 9 (filter 0) and 10 (zlib).
    """
    height, width, _ = levels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    )
    return f"data:image/png;base64,{base64.b64encode(file).decode('ascii')}"
