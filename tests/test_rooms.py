"""The rooms: each imports only from those before it, and a bare import stays cheap."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


def imports_of(module: Path) -> Iterator[tuple[str, ...]]:
    """What a module imports of the package, as dotted names, inside functions included.

    ``from .nodes import Node`` gives both ``graph.nodes`` and ``graph.nodes.Node``: which of them
    is a module is the caller's question.
    """
    package = ["tinygrad_rnn", *module.relative_to(PACKAGE).parts[:-1]]
    tree = ast.parse(module.read_text(encoding="utf-8"))
    typing = {part for s in ast.walk(tree) if for_types_only(s) for part in ast.walk(s)}
    for statement in ast.walk(tree):
        if statement in typing:
            continue
        if isinstance(statement, ast.Import):
            names = [alias.name.split(".") for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            base = package[: len(package) - statement.level + 1] if statement.level else []
            base = [part for part in [*base, *(statement.module or "").split(".")] if part]
            names = [[*base, alias.name] for alias in statement.names]
        else:
            continue
        for name in names:
            if name[0] == "tinygrad_rnn":
                yield tuple(name[1:])


def imported_rooms(module: Path) -> Iterator[str]:
    """The rooms that a module names in its imports, those inside functions included."""
    for name in imports_of(module):
        yield name[0] if name and name[0] in ROOMS else "__init__"


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


FOLDERS = [
    module for module in MODULES if module.name == "__init__.py" and module.parent != PACKAGE
]


@pytest.mark.parametrize("init", FOLDERS, ids=lambda m: str(m.parent.relative_to(PACKAGE)))
def test_a_folder_says_what_each_of_its_files_does(init: Path) -> None:
    said = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
    files = {m.stem for m in init.parent.glob("*.py")} | {
        m.parent.name for m in init.parent.glob("*/__init__.py")
    }
    missing = {
        name for name in files - {"__init__"} if not re.search(rf"(``|^ +){name}\b", said, re.M)
    }
    assert not missing, f"{init}: name {missing} in its docstring, for those who look for a fact"


def test_the_lists_of_rooms_name_every_room_in_order() -> None:
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    listed = readme[readme.index("1. `graph`") : readme.index("`app`: the command line")]
    for text, mark in ((tg.__doc__ or "", "``"), (listed + "`app`", "`")):
        names = [name for name in ROOMS if name != "__main__"]
        places = [text.find(f"{mark}{name}{mark}") for name in names]
        assert -1 not in places
        assert places == sorted(places)


@pytest.mark.parametrize("guide", [".github/CONTRIBUTING.md", ".github/ARCHITECTURE.md"])
def test_the_files_that_a_guide_names_exist(guide: str) -> None:
    root = PACKAGE.parent
    named = set(re.findall(r"`([\w./]+\.py)`", (root / guide).read_text(encoding="utf-8")))
    found = [
        name
        for name in named
        if any((folder / name).is_file() for folder in (root, PACKAGE, PACKAGE / "ops"))
    ]
    assert named
    assert set(found) == named


def dotted(module: Path) -> tuple[str, ...]:
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def circle(edges: dict[tuple[str, ...], set[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """A way along the edges that ends where it began; nothing where there is none."""
    done: set[tuple[str, ...]] = set()

    def search(node: tuple[str, ...], path: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        if node in path:
            return path[path.index(node) :]
        if node not in done:
            for other in sorted(edges.get(node, ())):
                found = search(other, [*path, node])
                if found:
                    return found
            done.add(node)
        return []

    return next(filter(None, (search(node, []) for node in sorted(edges))), [])


def test_no_room_has_a_circle_of_imports() -> None:
    modules = {dotted(module): module for module in MODULES}
    edges = {
        name: {part for n in imports_of(module) for part in (n, n[:-1]) if part in modules}
        for name, module in modules.items()
        if module.name != "__init__.py"  # it gathers what its folder holds
    }
    for name, others in edges.items():
        others -= {name, name[:-1]}
    assert circle(edges) == []


def test_a_circle_is_found() -> None:
    a, b, c = ("a",), ("b",), ("c",)
    assert circle({a: {b}, b: {c}, c: {b}}) == [b, c]
    assert circle({a: {b, c}, b: {c}, c: set()}) == []


def visited(program: Callable[[], object]) -> list[str]:
    """The files of the package that a program's calls go through, in order, each visit once."""
    files: list[str] = []

    def called(frame: Any, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(PACKAGE):
            name = str(file.relative_to(PACKAGE))
            if files[-1:] != [name]:
                files.append(name)

    sys.settrace(called)
    try:
        program()
    finally:
        sys.settrace(None)
    return files


def test_a_reader_follows_a_product_to_its_gradient_without_jumping() -> None:
    x = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    W = tg.Tensor([[3.0], [4.0]], requires_grad=True)
    before = sys.gettrace()
    files = visited(lambda: (x @ W).sum().backward())
    sys.settrace(before)  # coverage measures by it
    assert set(files) == {
        "graph/nodes.py",
        "graph/recording.py",
        "ops/products.py",
        "ops/reductions.py",
        "backprop/reverse.py",
        "backprop/deferred.py",
    }
    assert len(files) - 1 <= 12


def test_a_reader_follows_a_loss_to_the_picture_of_its_gradient() -> None:
    U = tg.Tensor([[0.5, 0.1], [0.2, 0.4]], requires_grad=True)
    h = tg.Tensor([[0.0, 0.0]])
    for _, x_t in tg.steps([[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]]):
        h = tg.tanh(h @ U + x_t)
    loss = tg.sum(h * h)
    gradient_flow = tg.gradient_flow
    before = sys.gettrace()
    files = visited(lambda: gradient_flow(loss).svg())
    sys.settrace(before)
    assert set(files) == {
        # The sweep, with the rules of the loop's operations.
        "graph/nodes.py",
        "ops/elementwise.py",
        "ops/products.py",
        "ops/reductions.py",
        "backprop/reverse.py",
        "backprop/cotangents.py",
        "backprop/deferred.py",
        # The numbers: nothing about masks, several loops, or arrays that were not asked for.
        "bptt/steps.py",
        "bptt/structure.py",
        "bptt/loops.py",
        "bptt/flow.py",
        "bptt/reasons.py",
        # The picture.
        "viz/flow.py",
        "viz/lattice.py",
        "viz/svg.py",
    }


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
