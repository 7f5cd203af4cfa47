"""Nothing is looked up by an operation's name: a user's own may be called "multiply" too.

What is known about an operation stands on its Primitive; which one it is, ``is`` says. This file
reads the package's source and finds the places where a name would be asked instead.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.ops import primitives

PACKAGE = Path(tg.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Where operations enter the table, under their names.
REGISTRIES = {PACKAGE / "graph/decorators.py", PACKAGE / "ops/products.py"}
#: What variables and attributes that hold a primitive are called.
HOLDERS = {"primitive", "op", "operation"}
#: What asks for the items of a dict by their keys.
METHODS = {"get", "pop", "setdefault", "__getitem__"}


def imports_the_table(tree: ast.AST) -> bool:
    return any(
        alias.name == "table" and "graph" in (node.module or "").split(".")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


def is_table(node: ast.AST, imported: bool) -> bool:
    """``table``, as imported from graph, or ``graph.table``."""
    if isinstance(node, ast.Name):
        return imported and node.id == "table"
    return isinstance(node, ast.Attribute) and ast.unparse(node).endswith("graph.table")


def is_name_of_an_operation(node: ast.AST) -> bool:
    """``op.name``, ``node.primitive.name``, ``str(op)``, ``op.forward.__name__``."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("str", "repr") and node.args:
        return holds(node.args[0])
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("name", "__name__")
        and any(holds(part) for part in ast.walk(node.value))
    )


def holds(node: ast.AST) -> bool:
    """Whether an expression is a primitive, by what it is called."""
    called = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
    return called in HOLDERS


def has_text(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in ast.walk(node))


def names_asked(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of an expression that are an operation's name, methods of the text included."""
    return (part for part in ast.walk(node) if is_name_of_an_operation(part))


def lookups(source: str) -> list[str]:
    """The expressions that look an operation up by its name."""
    tree = ast.parse(source)
    imported = imports_the_table(tree)
    found = []
    for node in ast.walk(tree):
        asked = False
        if isinstance(node, ast.Subscript):
            asked = is_table(node.value, imported) or any(names_asked(node.slice))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            by_key = node.func.attr in METHODS
            asked = by_key and (
                is_table(node.func.value, imported) or any(any(names_asked(a)) for a in node.args)
            )
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            # In a set or a dict, or against a text: "in names" is a lookup too.
            member = any(isinstance(o, (ast.In, ast.NotIn)) for o in node.ops)
            asked = any(any(names_asked(side)) for side in sides) and (
                member or any(has_text(side) for side in sides)
            )
        elif isinstance(node, ast.Match):
            asked = any(names_asked(node.subject))
        if asked:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_no_operation_is_looked_up_by_its_name(module: Path) -> None:
    if module not in REGISTRIES:
        assert lookups(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        'from ..graph import table\n_matmul = table["matmul"]',
        'from ..graph import table\n_sums = [table[name] for name in ("add", "sum")]',
        'from ..graph import table\nfound = table.get("add")',
        'from .. import graph\n_add = graph.table["add"]',
        'if node.primitive.name == "sum":\n    pass',
        'if str(node.primitive) == "sum":\n    pass',
        'if "sum" == op.name.strip("_"):\n    pass',
        'linear = op.name in ("add", "sum")',
        "linear = op.name in LINEAR",
        "sign = SIGNS[op.name]",
        "sign = SIGNS.get(primitive.name)",
        "sign = SIGNS.get(str(v.op))",
        'match op.name:\n    case "add":\n        pass',
        'tanh = node.primitive.forward.__name__ == "tanh"',
    ],
)
def test_a_lookup_is_found(line: str) -> None:
    assert lookups(line)


@pytest.mark.parametrize(
    "line",
    [
        "if node.primitive is primitives.matmul:\n    pass",
        "text = f'{op.name}: {op}'",
        "words = table['matmul']",  # another table
        "if op in (primitives.add, primitives.sum):\n    pass",
        "if node.name == 'loss':\n    pass",
        "sign = SIGNS.get(node.primitive)",
    ],
)
def test_what_is_no_lookup_is_not_found(line: str) -> None:
    assert lookups(line) == []


def test_the_listed_primitives_are_the_librarys_own() -> None:
    """Each under the name of its operation."""
    listed = {
        name: value
        for name, value in vars(primitives).items()
        if isinstance(value, primitives.Primitive)
    }
    assert listed
    assert {name: value.name.lstrip("_") for name, value in listed.items()} == {
        name: name for name in listed
    }


def test_an_operation_of_ones_own_is_not_taken_for_the_librarys() -> None:
    """It is drawn under its name, not as a product."""
    multiply = tg.primitive(
        lambda x, y: x + y, lambda g, z, x, y: g, lambda g, z, x, y: g, name="multiply"
    )
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    y = tg.Tensor([1.0, 2.0], requires_grad=True, name="y")
    assert "multiply" in tg.draw(multiply(x, y)).source
    assert "×" not in tg.draw(multiply(x, y)).source
    assert "×" in tg.draw(x * y).source
