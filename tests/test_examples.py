"""The quick run of every example reaches what the example claims; examples use public names.

The default test run takes the three fastest; ``pytest -m examples`` takes all of them.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tinygrad_rnn as tg
from examples.__main__ import README, load, names
from examples.targets import TARGETS

FASTEST = {"e01_scalar_rnn", "e03_hello", "e04_goodbye_hello"}


ROOT = Path(__file__).parents[1]


def marked(name: str) -> object:
    marks = [pytest.mark.examples] if name in FASTEST else [pytest.mark.examples, pytest.mark.more]
    return pytest.param(name, marks=marks, id=name)


@pytest.mark.parametrize("name", [marked(name) for name in names()])
def test_quick_run_reaches_what_it_claims(name: str, tmp_path: Path) -> None:
    result = load(name).main(["--quick", "--out", str(tmp_path)])
    assert result.checks, "an example has to claim something"
    assert not result.failed, result.measured
    picture = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    assert "<svg" in picture


@pytest.mark.examples
@pytest.mark.parametrize("name", names())
def test_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = load(name)
    assert TARGETS[name]
    source = Path(module.__file__ or "").read_text(encoding="utf-8")
    assert not re.search(r"\bSeeds? 00\d|\b00[0-4] (says|writes|shows)", source), (
        "a text nobody has"
    )
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out


@pytest.mark.examples
@pytest.mark.parametrize("name", names())
def test_table_of_contents_leads_to_it(name: str) -> None:
    assert f"[{name}]({name}.py)" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [marked(name) for name in names()])
def test_it_runs_as_a_script(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--quick", "--out", "here"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    assert (tmp_path / "here" / f"{name}.svg").exists()


# ── public names alone ───────────────────────────────────────────────────────────────────

SOURCES = sorted((ROOT / "examples").rglob("*.py"))


def is_public(module: ModuleType, name: str) -> bool:
    """Whether users may count on a name of a module of the library.

    A module without ``__all__`` promises its own functions and classes without an underscore.
    """
    if module is tg:
        return name in {*tg.__all__, *tg._rooms, *tg._elsewhere}
    if hasattr(module, "__all__"):
        return name in module.__all__
    defined_in = getattr(getattr(module, name), "__module__", None)
    return not name.startswith("_") and defined_in == module.__name__


def is_public_room(module: str) -> bool:
    """Whether a module can be reached from ``tinygrad_rnn`` through public names."""
    package, *rooms = module.split(".")
    room = importlib.import_module(package)
    for name in rooms:
        if not is_public(room, name):
            return False
        room = getattr(room, name)
        if not isinstance(room, ModuleType):
            return False
    return True


def private_names(source: str) -> list[str]:
    """The names of the library that a file uses although they are not public."""
    tree = ast.parse(source)
    modules: dict[str, ModuleType] = {}  # by the name that the file has for them
    private = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "tinygrad_rnn":
                    if is_public_room(alias.name):
                        modules[alias.asname or "tinygrad_rnn"] = importlib.import_module(
                            alias.name if alias.asname else "tinygrad_rnn"
                        )
                    else:
                        private.append(alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level or (node.module or "").split(".")[0] != "tinygrad_rnn":
                continue
            for alias in node.names:
                room = importlib.import_module(node.module)
                if not (is_public_room(node.module) and is_public(room, alias.name)):
                    private.append(f"{node.module}.{alias.name}")
                elif isinstance(getattr(room, alias.name), ModuleType):
                    modules[alias.asname or alias.name] = getattr(room, alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            *rooms, name = ast.unparse(node).split(".")
            if all(map(str.isidentifier, rooms)) and rooms[0] in modules:
                room = modules[rooms[0]]
                for inner in rooms[1:]:
                    room = getattr(room, inner, None)
                if isinstance(room, ModuleType) and not is_public(room, name):
                    private.append(f"{room.__name__}.{name}")
    return private


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_use_public_names_alone(path: Path) -> None:
    assert not private_names(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "from tinygrad_rnn.graph import ancestors",
        "from tinygrad_rnn.viz.curve import curves",
        "from tinygrad_rnn.text.model import total_nats",
        "from tinygrad_rnn.text import model",
        "from tinygrad_rnn import ops",
        "import tinygrad_rnn.app.progress",
        "import tinygrad_rnn.scan.plan as plan",
        "import tinygrad_rnn as tg\ntg.backprop.expanded([])",
        "import tinygrad_rnn as tg\ntg.viz.style.INK",
        "import tinygrad_rnn as tg\ntg.nn.recurrent.RNN(2, 3)",
        "from tinygrad_rnn import nn\nnn.cells.RNNCell",
        "import tinygrad_rnn\ntinygrad_rnn.graph.Node",
    ],
)
def test_private_names_are_found(source: str) -> None:
    assert private_names(source)


@pytest.mark.parametrize(
    "source",
    [
        "from tinygrad_rnn.text import sample",
        "from tinygrad_rnn import nn\nnn.RNN(2, 3).weight_hh_l0.data",
        "import tinygrad_rnn as tg\ntg.draw, tg.nn.init.orthogonal, tg.text.words, tg.viz.curves",
        "from graph import Node",
    ],
)
def test_public_names_are_not_found(source: str) -> None:
    assert not private_names(source)
