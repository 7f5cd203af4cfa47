"""Whatever the output's encoding, and whatever a file is called, there is no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import __main__ as command_line

HANGUL = "나랏말이 중국과 달라 문자와 서로 통하지 아니하여,\n어리석은 백성이 é œ “—” ß\n" * 20
TINY = ["--hidden", "8", "--embedding", "4", "--batch", "4", "--bptt", "6", "--steps", "2"]


def run(*argv: object) -> int:
    return command_line.main([str(a) for a in argv])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("encodings")
    (folder / "한글 é.txt").write_text(HANGUL, encoding="utf-8")
    assert run("train", folder / "한글 é.txt", *TINY, "--out", folder / "모델.npz") == 0
    return folder


def call(folder: Path, *argv: object, stdin: bytes = b"", **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "tinygrad_rnn", *map(str, argv)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "commands"),
    [
        ({"PYTHONIOENCODING": "cp949"}, {"train", "sample", "draw", "demo", "check"}),
        ({"PYTHONIOENCODING": "cp1252"}, {"train", "sample"}),
        ({"PYTHONIOENCODING": "ascii"}, {"train", "draw"}),
        ({"PYTHONIOENCODING": "utf-16"}, {"sample"}),
        (
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"train", "sample", "draw"},
        ),
        ({"LC_ALL": "C"}, {"train"}),
    ],
    ids=lambda part: str(sorted(part)),
)
def test_every_command_writes_in_every_encoding(
    folder: Path, environment: dict[str, str], commands: set[str]
) -> None:
    for argv in (
        ["train", "한글 é.txt", *TINY, "--out", "다른.npz", "--overwrite"],
        ["train", "한글 é.txt", "--out", "다른.npz", "--resume", "--steps", "3"],
        ["sample", "모델.npz", "--prompt", "백성이", "--length", "40"],
        ["sample", "모델.npz", "--prompt", "백성이", "--beam", "2", "--length", "10"],
        ["draw", "모델.npz", "--text", "백성이", "--target", "é"],
        ["draw", "모델.npz", "--text", "백성이", "-o", "그림.html"],
        ["demo", "--steps", "1"],
        ["check", "--op", "tanh"],
    ):
        if argv[0] not in commands:
            continue
        answer = call(folder, *argv, **environment)
        assert answer.returncode == 0, answer.stderr.decode("utf-8", "replace")
        assert answer.stderr == b"" or "--beam" in argv
    for argv in (
        ["train", "없는.txt"],
        ["sample", "모델.npz", "--prompt", "訓民正音"],
        ["draw", "모델.npz"],
        ["check", "없는.py"],
        ["dance 춤"],
    ):
        if argv[0] not in {*commands, "dance 춤"}:
            continue
        answer = call(folder, *argv, **environment)
        assert answer.returncode == 2
        assert b"Traceback" not in answer.stderr
    # What was written into files is UTF-8, whatever the terminal speaks.
    if "train" in commands:
        assert "한글 é.txt: " in (folder / "다른.svg").read_text("utf-8")
    if "draw" in commands:
        assert "백" in (folder / "그림.html").read_text("utf-8")


def test_what_the_encoding_has_is_written_as_it_is(folder: Path) -> None:
    argv = ["sample", "모델.npz", "--prompt", "백성이", "--length", "40"]
    korean = call(folder, *argv, PYTHONIOENCODING="cp949").stdout.decode("cp949")
    utf8 = call(folder, *argv, PYTHONIOENCODING="utf-8").stdout.decode("utf-8")
    assert korean.startswith("백성이")
    assert [a for a, b in zip(korean, utf8, strict=True) if a not in (b, "?")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_file_names_that_are_not_utf8(folder: Path) -> None:
    text, out = b"caf\xe9.txt", b"mod\xe8le.npz"
    (folder / os.fsdecode(text)).write_text(HANGUL, encoding="utf-8")
    for environment in ({}, {"PYTHONIOENCODING": "ascii"}):
        for argv in (
            ["train", text, *TINY, "--out", out, "--overwrite", "--log-json", b"l\xf6g.jsonl"],
            ["sample", out, "--prompt", "백성이", "--length", "5"],
            ["draw", out, "--text", "백성이"],
            ["draw", out, "--text", "백", "-o", b"fl\xf6w.html"],
        ):
            answer = subprocess.run(
                [sys.executable, "-m", "tinygrad_rnn", *argv],
                cwd=folder,
                capture_output=True,
                env={**os.environ, **environment},
                check=False,
            )
            assert answer.returncode == 0, answer.stderr
        missing = subprocess.run(
            [sys.executable, "-m", "tinygrad_rnn", "train", b"no\xff.txt"],
            cwd=folder,
            capture_output=True,
            env={**os.environ, **environment},
            check=False,
        )
        assert missing.returncode == 2
        assert b"No such file" in missing.stderr
    for name in (b"mod\xe8le.svg", b"mod\xe8le-graph.svg"):
        assert (folder / os.fsdecode(name)).exists()


# ── what is read ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp949", "utf-8"])
def test_a_text_in_any_encoding_is_the_same_text(folder: Path, capsys: Any, encoding: str) -> None:
    text = "나랏말이 중국과 달라\n" * 60
    path, out = folder / f"{encoding}.txt", folder / f"{encoding}.npz"
    path.write_bytes(text.encode(encoding))
    if encoding != "utf-8":
        assert run("train", path, *TINY, "--out", out, "--overwrite") == 2
        assert "expected UTF-8 text" in capsys.readouterr().err
    assert run("train", path, *TINY, "--out", out, "--overwrite", "--encoding", encoding) == 0
    from hashlib import sha256

    assert tg.load(out)["training"]["text"] == sha256(text.encode()).hexdigest()


def test_encodings_that_are_none(capsys: Any) -> None:
    for name in ("nonsense", "base64", "rot13"):
        with pytest.raises(SystemExit):
            run("train", "x", "--encoding", name)
        assert f"there is no text encoding '{name}'" in capsys.readouterr().err


def test_standard_input(folder: Path) -> None:
    text = HANGUL.encode("cp949", "replace")
    trained = call(folder, "train", "-", *TINY, "--encoding", "cp949", "--out", "s.npz", stdin=text)
    assert trained.returncode == 0, trained.stderr
    assert b"text      standard input: " in trained.stdout
    assert "standard input: 1 x 8" in (folder / "s.svg").read_text("utf-8")
    sample = ["sample", "모델.npz", "--length", "9"]
    expected = call(folder, *sample, "--prompt", "백성이", PYTHONIOENCODING="utf-8").stdout
    for stdin, more in (("백성이\n".encode(), []), ("백성이".encode("cp949"), ["cp949"])):
        encoding = ["--encoding", *more] if more else []
        answer = call(
            folder, *sample, "--prompt", "-", *encoding, stdin=stdin, PYTHONIOENCODING="utf-8"
        )
        assert answer.stdout == expected
    model = (folder / "모델.npz").read_bytes()
    answer = call(
        folder,
        *["sample", "-", "--length", "9", "--prompt", "백성이"],
        stdin=model,
        PYTHONIOENCODING="utf-8",
    )
    assert answer.stdout == expected
    both = call(folder, "sample", "-", "--prompt", "-", stdin=model)
    assert b"cannot both be standard input" in both.stderr
    unused = call(folder, *sample, "--prompt", "백", "--encoding", "cp949")
    assert b"--encoding is that of standard input" in unused.stderr
    assert b"not a complete .npz" in call(folder, "sample", "-", stdin=b"no").stderr


def test_standard_output(folder: Path) -> None:
    draw = ["draw", "모델.npz", "--text", "-", "-o", "-"]
    answer = call(folder, *draw, stdin="백성\n".encode(), PYTHONIOENCODING="utf-8")
    assert b"</svg>" in answer.stdout
    assert "the gradient of the logit of" in answer.stderr.decode()
    dot = call(folder, "draw", "-o", "-", "--format", "dot")
    assert dot.stdout.startswith(b"digraph")
    page = call(folder, "draw", "-o", "-", "--format", ".html", PYTHONIOENCODING="ascii")
    assert page.stdout.startswith(b"<!DOCTYPE html>")
    wrong = call(folder, "draw", "-o", "a.svg", "--format", "dot")
    assert b"--format is that of standard output" in wrong.stderr


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("words", [[], ["--words"]])
def test_prompts_with_accents_composed_otherwise(
    tmp_path: Path, capsys: Any, form: str, words: list[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(unicodedata.normalize(form, "한글 été déjà\n" * 60), encoding="utf-8")
    out = tmp_path / "m.npz"
    assert run("train", text, *TINY, "--out", out, *words) == 0
    for other in ("NFC", "NFD"):
        prompt = unicodedata.normalize(other, "déjà")
        capsys.readouterr()
        assert run("sample", out, "--prompt", prompt, "--length", 3) == 0
        assert capsys.readouterr().out.startswith(unicodedata.normalize(form, "déjà"))
        assert run("draw", out, "--text", prompt, "-o", tmp_path / "x.dot") == 0
