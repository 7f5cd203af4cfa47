"""Types: what checkers find out about programs, what they reject, and how they find us."""

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

import tinygrad_rnn as tg

TOP = Path(tg.__file__).parent.parent
PROGRAMS = [TOP / "tests" / "types" / name for name in ("accepted.py", "rejected.py")]


def run(*command: str) -> str:
    environment = {**os.environ, "MYPYPATH": str(TOP), "PYTHONPATH": str(TOP)}
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        cwd=TOP / "tests" / "types",
        env=environment,
    ).stdout


def short(kind: str) -> str:
    """``tinygrad_rnn.tensor.tensor.Tensor`` as Tensor, and arrays without shape and dtype."""
    kind = re.sub(r"\b(?:\w+\.)+(\w)", r"\1", kind)
    return re.sub(r"ndarray\[tuple\[[^]]*\], dtype\[[^]]*\]\]", "ndarray", kind)


class Found:
    """What a checker said: the types that it revealed, and the lines that it rejects."""

    def __init__(self):
        self.types: dict[str, dict[int, str]] = defaultdict(dict)
        self.errors: dict[str, set[int]] = defaultdict(set)


@pytest.fixture(scope="module")
def mypy() -> Found:
    pytest.importorskip("mypy")
    found = Found()
    for line in run("mypy", "--strict", *map(str, PROGRAMS)).splitlines():
        match = re.match(r"(.*\.py):(\d+): (error|note): (.*)", line)
        if match:
            name, number, kind, text = Path(match[1]).name, int(match[2]), match[3], match[4]
            if kind == "error":
                found.errors[name].add(number)
            elif text.startswith("Revealed type is"):
                found.types[name][number] = short(text.split('"')[1])
    return found


@pytest.fixture(scope="module")
def pyright() -> Found:
    pytest.importorskip("pyright")
    answer = run("pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, PROGRAMS))
    if not answer.startswith("{"):
        pytest.skip("pyright could not be started: it downloads itself when first called")
    found = Found()
    for said in json.loads(answer)["generalDiagnostics"]:
        name, number = Path(said["file"]).name, said["range"]["start"]["line"] + 1
        if said["severity"] == "error":
            found.errors[name].add(number)
        elif said["severity"] == "information":
            found.types[name][number] = short(said["message"].rpartition(' is "')[2][:-1])
    return found


@pytest.fixture(params=["mypy", "pyright"])
def checker(request) -> Found:
    return request.getfixturevalue(request.param)


def marked(name: str) -> dict[int, str]:
    """The comments behind lines, by line number."""
    lines = (TOP / "tests" / "types" / name).read_text(encoding="utf-8").splitlines()
    return {i: line.split("  # ")[1] for i, line in enumerate(lines, 1) if "  # " in line}


def test_types_are_found_out(checker):
    assert checker.errors["accepted.py"] == set()
    assert checker.types["accepted.py"] == marked("accepted.py")


def test_mistakes_are_rejected(checker):
    assert checker.errors["rejected.py"] == set(marked("rejected.py"))


def test_the_stubs_are_what_their_command_writes():
    pytest.importorskip("ruff")
    from . import stubs

    for path, text in stubs.files().items():
        assert path.read_text(encoding="utf-8") == text, "run python -m tests.stubs"


def test_the_stubs_have_every_operation():
    for module in (tg.ops, tg.linalg):
        text = Path(module.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
        names = set(re.findall(r"^def (\w+)", text, re.MULTILINE)) | {"linalg"}
        assert set(module.__all__) <= names


def test_an_editable_install_is_a_path_that_type_checkers_follow(tmp_path):
    """As ``pip install -e .`` builds it."""
    pytest.importorskip("setuptools", "77")  # as pyproject.toml requires
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((TOP / name).read_bytes())
    (tmp_path / "tinygrad_rnn").mkdir()
    (tmp_path / "tinygrad_rnn" / "__init__.py").write_text('__version__ = "0"\n')
    build = "from setuptools import build_meta; import sys; build_meta.build_editable(sys.argv[1])"
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(
            [sys.executable, "-c", build, out], cwd=tmp_path, check=True, capture_output=True
        )
        (wheel,) = Path(out).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            paths = [name for name in packed.namelist() if name.endswith(".pth")]
            assert len(paths) == 1
            assert Path(packed.read(paths[0]).decode().strip()) == tmp_path
            assert not any("finder" in name for name in packed.namelist())
