"""What ``check`` checks: the library's own operations, or those of a user's file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import ops
from ..graph import Primitive, table
from ..testing.cases import Case, Subject
from ..testing.inputs import found_examples
from ..testing.operations import case_of, name_of
from .arguments import Unusable

# ── the library's own operations ─────────────────────────────────────────────────────────


def own_table() -> ModuleType | None:
    """The library's table of cases; None where the package is installed without its tests."""
    root = Path(__file__).parents[2]
    if not all((root / part).is_file() for part in ("pyproject.toml", "tests/cases/__init__.py")):
        return None
    sys.path.insert(0, str(root))
    try:
        return importlib.import_module("tests.cases")
    finally:
        sys.path.remove(str(root))


def own_operations(seed: int) -> list[Subject]:
    """The library's operations with their cases, or those for which inputs are found by trial."""
    own = own_table()
    if own is not None:
        return [own.rows[name].subject for name in (*table, *own.compositions)]
    functions = [
        *(getattr(ops, name) for name in ops.__all__),
        *(getattr(ops.linalg, name) for name in ops.linalg.__all__),
    ]
    public = {
        op.primitive: op
        for op in functions
        if isinstance(getattr(getattr(op, "primitive", None), "vjps", None), tuple)
    }
    found = [(op, _found(op, seed)) for op in public.values()]
    subjects = [_subject(name_of(op), op, examples) for op, examples in found if examples]
    print("The cases of the library's own operations are in its source tree, in tests/cases.")
    print(f"Without them {len(subjects)} operations are checked, on inputs found by trial.\n")
    return subjects


# ── the operations of a file ─────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class OperationsFile:
    """A file of operations.

    Attributes:
        path: as it was given.
        operations: what ``tg.primitive`` returned, by the names in the file.
        examples: of each operation, those in the file or else those that are found by trial.
        given: the names in EXAMPLES.
        tests: the functions ``test_...()`` by their names.
    """

    path: str
    operations: dict[str, Callable[..., Any]]
    examples: dict[str, Sequence[tuple[Any, ...]]]
    given: Container[str]
    tests: dict[str, Callable[[], object]]

    @staticmethod
    def read(path: str, seed: int) -> OperationsFile:
        """Import the file.

        Raises:
            Unusable: there is no such file, or nothing to check in it.
        """
        module = _imported(Path(path))
        given = getattr(module, "EXAMPLES", {})
        if not isinstance(given, dict):
            raise Unusable(f"{path}: expected EXAMPLES to be a dict, got {type(given).__name__}")
        own = {id(primitive) for primitive in table.values()}
        found: dict[str, Callable[..., Any]] = {}
        for name, value in vars(module).items():
            primitive = getattr(value, "primitive", None)
            if isinstance(primitive, Primitive) and id(primitive) not in own:
                own.add(id(primitive))  # another name of it is not another operation
                found[name] = value
        if not found:
            raise Unusable(f"{path}: found nothing made by tg.primitive at module level")
        known = {*found, *map(name_of, found.values())}
        for name, examples in given.items():
            if name not in known:
                raise Unusable(f"{path}: EXAMPLES names {name!r}; there is {', '.join(found)}")
            if not isinstance(examples, (list, tuple)) or not all(
                isinstance(example, tuple) for example in examples
            ):
                raise Unusable(
                    f"{path}: expected EXAMPLES[{name!r}] to be a list of tuples, one tuple of "
                    "inputs for each example"
                )
        chosen: dict[str, Sequence[tuple[Any, ...]]] = {}
        for name, op in found.items():
            examples = given.get(name, given.get(name_of(op)))
            chosen[name] = _found(op, seed) if examples is None else examples
        return OperationsFile(path, found, chosen, set(given), dict(_tests_of(module)))

    def subjects(self) -> list[Subject]:
        return [_subject(name, op, self.examples[name]) for name, op in self.operations.items()]


def _found(op: Callable[..., Any], seed: int) -> list[tuple[Any, ...]]:
    arity = len(op.primitive.vjps)  # type: ignore[attr-defined]
    return [example.values for example in found_examples(op, arity, seed)]


def _tests_of(module: ModuleType) -> Iterator[tuple[str, Callable[[], object]]]:
    """The tests that can be called as they are: without fixtures of pytest's."""
    for name, value in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(value):
            parameters = inspect.signature(value).parameters.values()
            if all(p.default is not p.empty for p in parameters):
                yield name, value


def _subject(name: str, op: Callable[..., Any], examples: Sequence[tuple[Any, ...]]) -> Subject:
    def cases(rng: np.random.Generator) -> Sequence[Case]:
        if not examples:
            raise ValueError(
                "found no inputs that it accepts; say on what to try it: "
                f"EXAMPLES = {{{name_of(op)!r}: [(array, ...)]}}"
            )
        return [case_of(op, example) for example in examples]

    return Subject(name, cases, primitive=op.primitive)  # type: ignore[attr-defined]


def _imported(path: Path) -> ModuleType:
    if not path.is_file():
        raise Unusable(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise Unusable(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # as if the file were run: its neighbours can be imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Unusable(f"{path}: importing it raised {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


__all__ = ["OperationsFile", "own_operations", "own_table"]
