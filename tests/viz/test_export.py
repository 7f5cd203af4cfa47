"""Files of pictures: every format, what draws it, and what is said where nothing does."""

from __future__ import annotations

import re
import shutil
import struct
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.viz import nets
from tests.viz.checks import SVG, problems, read
from tinygrad_rnn.viz import export
from tinygrad_rnn.viz.animate import MOST_FRAMES
from tinygrad_rnn.viz.shapes import shapes_of
from tinygrad_rnn.viz.tikz import written

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="there is no dot program")


def shown() -> list[Any]:
    flow = tg.gradient_flow(nets.lstm(3), text=["a&", "\\", "한"])
    heat = tg.heat_map({"f": np.linspace(-1, 1, 12).reshape(4, 3)}, text="a{b}", title="100 %")
    return [flow, tg.compare({"<a> _": flow, "b": flow}), heat]


def size_of_png(content: bytes) -> tuple[int, int]:
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


# ── by programs ──────────────────────────────────────────────────────────────────────────


@needs_dot
def test_png_and_pdf_are_drawn_by_dot(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    for k, picture in enumerate(shown()):
        for theme in ("light", "dark"):
            picture.save(tmp_path / f"{k}.png", theme=theme)
            wide, tall = size_of_png((tmp_path / f"{k}.png").read_bytes())
            drawn = read(picture.svg())
            assert wide / tall == pytest.approx(drawn.width / drawn.height, rel=0.02)
            assert wide >= drawn.width
        picture.save(tmp_path / f"{k}.pdf")
        assert (tmp_path / f"{k}.pdf").read_bytes().startswith(b"%PDF")


@needs_dot
def test_a_large_picture_is_drawn_too() -> None:
    flow = tg.gradient_flow(nets.lstm(200))
    assert size_of_png(flow.content("png"))[0] > 1000
    assert size_of_png(flow.content("png", fit=700))[1] > 2000


def test_without_dot_they_are_drawn_by_cairosvg(monkeypatch: Any) -> None:
    pytest.importorskip("cairosvg")
    monkeypatch.setenv("PATH", "")
    for picture in shown():
        assert size_of_png(picture.content("png"))[0] >= 240
        assert picture.content("pdf").startswith(b"%PDF")


def test_where_nothing_draws_it_is_said_what_to_install(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    for picture in shown():
        with pytest.raises(RuntimeError, match=r"dot.*pip install 'tinygrad_rnn\[pictures\]'"):
            picture.save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


# ── moving ───────────────────────────────────────────────────────────────────────────────


@needs_dot
def test_a_gif_runs_through_both_sweeps(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    flow = tg.gradient_flow(nets.rnn(3))
    flow.save(tmp_path / "flow.gif")
    with Image.open(tmp_path / "flow.gif") as gif:
        assert gif.n_frames == len(flow.frames()) == 8  # before, 3 steps, the loss, 3 steps
        seen = []
        for n in range(gif.n_frames):
            gif.seek(n)
            seen.append(gif.convert("RGB").tobytes())
        assert gif.info["duration"] == 2000
    assert len(set(seen)) == 8
    still = tg.heat_map(np.eye(3))
    still.save(tmp_path / "heat.gif")
    with Image.open(tmp_path / "heat.gif") as gif:
        assert gif.n_frames == 1


def test_a_gif_needs_pillow(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(export, "rendered", lambda svg, format: b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RuntimeError, match=r"\.gif pip install 'tinygrad_rnn\[pictures\]'"):
        tg.gradient_flow(nets.rnn(2)).save(tmp_path / "a.gif")


def test_frames_grow_and_the_last_one_is_the_picture() -> None:
    flow = tg.gradient_flow(nets.lstm(4))
    frames = flow.frames(theme="dark")
    counts = [len(list(ElementTree.fromstring(frame).iter())) for frame in frames]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert all(problems(frame) == [] for frame in frames)
    assert "norm of the gradient" not in frames[5]
    assert "norm of the gradient" in frames[6]
    assert {text.words for text in read(frames[-1]).texts} == {
        text.words for text in read(flow.svg()).texts
    }
    assert len(tg.gradient_flow(nets.rnn(300)).frames()) <= MOST_FRAMES + 1


def test_an_animated_svg_runs_by_itself(tmp_path: Path) -> None:
    flow = tg.gradient_flow(nets.lstm(3))
    flow.save(tmp_path / "flow.svg", animate=True)
    svg = (tmp_path / "flow.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(svg)
    names = {name for part in root.iter() for name in part.get("class", "").split()}
    frames = {name for name in names if re.fullmatch(r"t\d+", name)}
    assert frames == {f"t{n}" for n in range(1, 8)}
    assert all(f"@keyframes {name}{{" in svg for name in frames)
    assert "data-f" not in svg
    assert "script" not in svg
    assert "prefers-reduced-motion" in svg
    words = [text.words for text in read(svg).texts]
    assert sorted(words) == sorted(text.words for text in read(flow.svg()).texts)
    with pytest.raises(ValueError, match=r"animate=True is for \.svg only; a \.gif always moves"):
        flow.save(tmp_path / "flow.gif", animate=True)


# ── TikZ ─────────────────────────────────────────────────────────────────────────────────


def is_balanced(tex: str) -> bool:
    depth = 0
    for c in re.sub(r"\\.", "", tex):
        depth += {"{": 1, "}": -1}.get(c, 0)
        if depth < 0:
            return False
    return depth == 0


def test_tikz_has_every_text_and_is_balanced(tmp_path: Path) -> None:
    for picture in shown():
        tikz = picture.content("tikz").decode()
        assert is_balanced(tikz)
        assert tikz.startswith(r"\begin{tikzpicture}")
        assert tikz.rstrip().endswith(r"\end{tikzpicture}")
        assert tikz.count(r"\node[") == len(read(picture.svg()).texts)
        used = set(re.findall(r"(?:fill|draw|text)=(tgc\d+)", tikz))
        assert used == set(re.findall(r"\\definecolor{(tgc\d+)}", tikz))
        whole = picture.content("tex").decode()
        assert tikz in whole
        assert whole.startswith(r"\documentclass")
        picture.save(tmp_path / "a.tikz")
        assert (tmp_path / "a.tikz").read_bytes() == tikz.encode()


@needs_dot
def test_a_graph_as_tikz(tmp_path: Path) -> None:
    drawing = tg.draw(nets.lstm(2), grads=True)
    tikz = drawing.pipe("tikz").decode()
    assert is_balanced(tikz)
    svg = drawing.pipe("svg", encoding="utf-8")
    assert tikz.count(r"\node[") == len(read(svg).texts)
    assert "$\\sigma$" in tikz
    drawing.render(outfile=str(tmp_path / "a.tex"), cleanup=True)
    assert (tmp_path / "a.tex").read_text(encoding="utf-8").startswith(r"\documentclass")


def test_characters_of_tex_are_written_out() -> None:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
        '<text x="1" y="2">a_b &amp; 100% {x} \\ #$^~ σ×</text></svg>'
    )
    assert r"a\_b \& 100\% \{x\} " in written(svg, whole=False)
    assert r"\#\$\textasciicircum{}\textasciitilde{} $\sigma$$\times$" in written(svg, whole=False)
    assert is_balanced(written(svg))


# ── shapes ───────────────────────────────────────────────────────────────────────────────


def test_shapes_are_where_the_svg_has_them() -> None:
    for picture in shown():
        svg = picture.svg()
        width, height, shapes = shapes_of(svg)
        drawn = read(svg)
        assert (width, height) == (drawn.width, drawn.height)
        texts = [shape.words for shape in shapes if shape.kind == "text"]
        assert texts == [text.words.replace("\u00a0", " ") for text in drawn.texts]
        root = ElementTree.fromstring(svg)
        circles = list(root.iter(f"{SVG}circle"))
        centres = {(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in circles}
        for shape in shapes:
            assert shape.fill is None or re.fullmatch("#[0-9a-f]{6}", shape.fill)
            assert shape.stroke is None or re.fullmatch("#[0-9a-f]{6}", shape.stroke)
        found = {
            (round(s.parts[0][0][0] - r, 2), s.parts[0][0][1])  # type: ignore[operator]
            for s in shapes
            if s.closed and len(s.parts[0]) == 5
            for r in [(s.parts[0][0][0] - s.parts[0][2][2][0]) / 2]  # type: ignore[operator,index]
        }
        assert centres <= found


# ── options ──────────────────────────────────────────────────────────────────────────────


def test_wrong_options_are_named(tmp_path: Path) -> None:
    for picture in shown():
        with pytest.raises(TypeError, match=r"unknown option 'colour'; there are theme"):
            picture.save(tmp_path / "a.svg", colour="red")
        with pytest.raises(ValueError, match=r"theme.*'light', 'dark' or 'auto', got 'black'"):
            picture.save(tmp_path / "a.svg", theme="black")
        with pytest.raises(ValueError, match=r"expected one of svg, html, .*, got 'bmp'"):
            picture.content("bmp")
    flow, comparison, heat = shown()
    for fit in (0, 100, float("nan")):
        with pytest.raises(ValueError, match="expected fit of at least"):
            flow.save(tmp_path / "a.svg", fit=fit)
        with pytest.raises(ValueError, match="expected fit of at least"):
            heat.save(tmp_path / "a.svg", fit=fit)
    with pytest.raises(TypeError, match="unknown option 'fit'"):
        comparison.save(tmp_path / "a.svg", fit=500)
    assert not list(tmp_path.iterdir())


def test_nothing_is_imported_before_it_is_needed() -> None:
    assert not {"cairosvg", "PIL"} & set(vars(export))
