"""The rooms: each imports only from those before it, and a bare import stays cheap."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinygrad_rnn as tg

PACKAGE = Path(tg.__file__).parent
ROOMS = ["graph", "ops", "backprop", "tensor", "scan", "nn", "optim", "data", "files", "io", "text"]
ROOMS += ["distributed", "bptt", "viz", "testing", "onnx", "app", "__main__"]
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def for_types_only(statement: ast.AST) -> bool:
    """``if TYPE_CHECKING:``, below which nothing is imported when the program runs."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


def imported_rooms(module: Path) -> Iterator[str]:
    """The rooms that a module names in its imports, those inside functions included."""
    package = ["tinygrad_rnn", *module.relative_to(PACKAGE).parts[:-1]]
    tree = ast.parse(module.read_text(encoding="utf-8"))
    typing = {part for s in ast.walk(tree) if for_types_only(s) for part in ast.walk(s)}
    for statement in ast.walk(tree):
        if statement in typing:
            continue
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.name.split(".")
                if name[0] == "tinygrad_rnn":
                    yield name[1] if len(name) > 1 else "__init__"
        elif isinstance(statement, ast.ImportFrom):
            base = package[: len(package) - statement.level + 1] if statement.level else []
            name = [*base, *(statement.module or "").split(".")]
            name = [part for part in name if part]
            if name[:1] != ["tinygrad_rnn"]:
                continue
            if len(name) > 1:
                yield name[1]
            else:
                for alias in statement.names:
                    yield alias.name if alias.name in ROOMS else "__init__"


def test_every_module_is_in_a_room() -> None:
    assert {room_of(module) for module in MODULES} <= {"__init__", *ROOMS}


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_go_one_way(module: Path) -> None:
    room = room_of(module)
    if room == "__init__":
        return
    # The package itself, imported by name, brings every room up to Tensor.
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    if "tensor" in allowed - {room}:
        allowed.add("__init__")
    assert set(imported_rooms(module)) <= allowed


def imported_modules(program: str) -> set[str]:
    answer = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(answer.stdout.split())


def test_a_bare_import_brings_numpy_and_the_engine_alone() -> None:
    new = imported_modules("import tinygrad_rnn") - imported_modules("import numpy")
    ours = {name for name in new if name.split(".")[0] == "tinygrad_rnn"}
    assert {name.split(".")[1] for name in ours if "." in name} == {
        "graph",
        "ops",
        "backprop",
        "tensor",
        "scan",
    }
    # What else comes is a handful of small modules of the standard library.
    others = {name.split(".")[0] for name in new - ours}
    assert others <= sys.stdlib_module_names


def test_the_other_rooms_come_when_they_are_asked_for() -> None:
    program = "import tinygrad_rnn as tg\nassert callable(tg.nn.Linear)"
    assert "tinygrad_rnn.nn" in imported_modules(program)
    assert "graphviz" not in imported_modules(program)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'tinygrad_rnn' has no attribute 'autograd'"):
        _ = tg.autograd


def test_type_checkers_are_told_what_is_loaded_lazily() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (told,) = [s for s in tree.body if for_types_only(s)]
    names = {
        alias.name for s in ast.walk(told) if isinstance(s, ast.ImportFrom) for alias in s.names
    }
    assert names == tg._rooms | set(tg._elsewhere)


def test_dir_lists_what_is_loaded_lazily_too() -> None:
    assert {"nn", "optim", "testing", "draw", "Tensor", "tanh"} <= set(dir(tg))


def test_every_public_name_exists() -> None:
    assert [name for name in tg.__all__ if not hasattr(tg, name)] == []
    assert len(set(tg.__all__)) == len(tg.__all__)
