"""Save pictures as files: SVG, HTML, PNG, PDF, GIF, and TikZ for papers.

Graphviz's ``dot`` draws PNG and PDF, because it accepts any shapes as its ``_background``. Without
``dot``, CairoSVG draws them. Pillow joins the frames of a GIF. CairoSVG and Pillow come with
``pip install 'tinygrad_rnn[pictures]'``.
"""

from __future__ import annotations

import inspect
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import replacing
from . import tikz
from .shapes import shapes_of, xdot

#: The suffixes of the files that a picture can be saved as.
FORMATS = ("svg", "html", "png", "pdf", "gif", "tex", "tikz")


class Shown:
    """A picture that a notebook shows and ``save`` writes; ``svg`` and ``html`` make it."""

    svg: Callable[..., str]
    html: Callable[..., str]

    def frames(self, **options: Any) -> list[str]:
        """The pictures of a GIF; a single one if nothing moves."""
        return [self.svg(**options)]

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Write a file; its suffix is the format.

        ``.svg``: the picture. ``.html``: a page in one file, which needs no network. The page of a
        gradient flow plays the forward and the backward sweep; a notebook shows it with
        ``IPython.display.IFrame("flow.html", 1200, 800)``. ``.png``, ``.pdf``: drawn by ``dot``,
        or by CairoSVG. ``.gif``: the sweeps step by step, made by Pillow. ``.tex``: TikZ as a
        document. ``.tikz``: TikZ for ``\\input`` in a paper.

        Args:
            path: the file.
            **options: the options of ``svg``. ``theme``: "light", "dark" or "auto", which follows
                the viewer's system in .svg and .html. ``fit``: a width in pixels; longer sequences
                are broken into lines. ``animate=True``, for a gradient flow: an .svg that plays
                the sweeps.

        Raises:
            ValueError: the suffix is unknown, or an option is wrong.
            TypeError: an option is unknown.
            RuntimeError: the program for this format is not installed.
            OSError: the file cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower().removeprefix(".")
        if suffix not in FORMATS:
            names = ", ".join(f".{name}" for name in FORMATS)
            raise ValueError(f"save: expected a file named {names}, got {str(path)!r}")
        content = self.content(suffix, **options)
        with replacing(path) as file:
            file.write(content)

    def content(self, format: str, **options: Any) -> bytes:
        """The bytes that :meth:`save` writes into a file of a format: ``"svg"``, ``"png"``, ...

        Raises:
            ValueError: the format is unknown, or an option is wrong.
            TypeError: an option is unknown.
            RuntimeError: the program for this format is not installed.
        """
        if format not in FORMATS:
            names = ", ".join(FORMATS)
            raise ValueError(f"expected one of {names}, got {format!r}")
        known = inspect.signature(self.svg).parameters
        for name in options:
            if name not in known:
                raise TypeError(f"save: unknown option {name!r}; there are {', '.join(known)}")
        if options.get("animate") and format != "svg":
            raise ValueError("save: animate=True is for .svg only; a .gif always moves")
        if format == "html":
            return self.html(**options).encode()
        if format == "gif":
            return gif([rendered(frame, "png") for frame in self.frames(**options)])
        svg = self.svg(**options)
        if format == "svg":
            return svg.encode()
        if format in ("tex", "tikz"):
            return tikz.written(svg, whole=format == "tex").encode()
        return rendered(svg, format)


def rendered(svg: str, format: str) -> bytes:
    """One of our SVGs as PNG or PDF.

    Raises:
        RuntimeError: there is neither ``dot`` nor CairoSVG.
    """
    program = shutil.which("neato") or shutil.which("dot")
    if program is not None:
        command = [program, "-Kneato", "-n2", f"-T{format}"]
        answer = subprocess.run(
            command, input=xdot(*shapes_of(svg)).encode(), capture_output=True, check=False
        )
        if answer.returncode == 0 and answer.stdout:
            return answer.stdout
    try:
        import cairosvg

        draw = cairosvg.svg2png if format == "png" else cairosvg.svg2pdf
    except (ImportError, OSError):  # OSError: the cairo library itself is missing
        raise RuntimeError(
            f"to write .{format} install Graphviz's `dot` program "
            "(https://graphviz.org/download) or pip install 'tinygrad_rnn[pictures]'"
        ) from None
    content: bytes = draw(bytestring=svg.encode())
    return content


def gif(frames: list[bytes], seconds: float = 0.4) -> bytes:
    """PNGs as one animated GIF. The last frame stays for two seconds.

    Raises:
        RuntimeError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise RuntimeError("to write .gif pip install 'tinygrad_rnn[pictures]'") from None
    images = [Image.open(io.BytesIO(frame)).convert("RGB") for frame in frames]
    # Use one palette for all frames: with one for each, colours would flicker.
    palette = images[-1].quantize(255)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [round(1000 * seconds)] * (len(images) - 1) + [2000]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return file.getvalue()
