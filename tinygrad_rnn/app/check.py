"""``python -m tinygrad_rnn check``: every law on every operation, or on those of a user's file.

A file of operations holds, at module level, what ``tg.primitive`` returned; it may say on what to
try them:

    sinh = tg.primitive(np.sinh, lambda g, y, x: g * tg.sqrt(1 + y * y), name="sinh")

    EXAMPLES = {"sinh": [(np.array([-1.0, 0.5]),), (np.ones((2, 3)),)]}

Each example is a tuple of the operation's inputs, with a dict of its keywords at the end if it
takes any. Without examples inputs are found by trial.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..graph import Primitive, table
from ..testing import mutants
from ..testing.cases import Case, compositions, rows
from ..testing.laws import broken_law, broken_point, laws
from ..testing.operations import case_of, found_examples, name_of, report
from .arguments import Unusable, whole
from .progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command, for ``main``."""
    parser.add_argument(
        "file",
        nargs="?",
        metavar="my_ops.py",
        help="a Python file with operations made by tg.primitive at module level, and optionally "
        "EXAMPLES = {'name': [(array, ...), ...]}; without it the library's own are checked",
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="of the random inputs and directions (default 0)"
    )
    parser.add_argument(
        "--op",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="check these operations only (after the file, if there is one)",
    )


def main(args: argparse.Namespace) -> int:
    """Run the laws and print a verdict for each operation.

    Returns:
        0 if all hold, 1 if one is broken or a mutant survives, 2 if there is nothing to check:
        no such file, no such operation.
    """
    try:
        subjects = _own_operations() if args.file is None else _operations_of(args.file, args.seed)
        subjects = _chosen(subjects, args.op)
    except Unusable as error:
        print(f"check: {error}", file=sys.stderr)
        return 2
    verdicts = []
    with Progress(len(subjects), "laws") as progress:
        for done, subject in enumerate(subjects, 1):
            verdicts.append(_verdict(subject, args.seed))
            progress.update(done, op=subject.name)
    passed = _print_verdicts(verdicts)
    if args.file is None:
        passed &= _print_mutants([s.name for s in subjects if s.name in table], args.seed)
    return 0 if passed else 1


# ── what is checked ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Subject:
    """An operation under its name, and where its cases come from."""

    name: str
    cases: Callable[[np.random.Generator], Sequence[Case]]
    broken_point: Callable[[], Exception | None] = lambda: None
    points: int = 0


@dataclass(frozen=True)
class _Verdict:
    name: str
    cases: int
    laws: int
    method: str
    seconds: float
    problem: str | None


def _own_operations() -> list[_Subject]:
    return [
        _Subject(
            name,
            lambda rng, name=name: list(rows[name].cases(rng)),  # type: ignore[misc]
            lambda name=name: broken_point(rows[name]),  # type: ignore[misc]
            len(rows[name].points),
        )
        for name in (*table, *compositions)
    ]


def _operations_of(path: str, seed: int) -> list[_Subject]:
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
                f"{path}: expected EXAMPLES[{name!r}] to be a list of tuples, one tuple of inputs "
                "for each example"
            )
    return [
        _Subject(name, _cases_of(op, given.get(name, given.get(name_of(op))), seed))
        for name, op in found.items()
    ]


def _cases_of(
    op: Callable[..., Any], examples: Sequence[tuple[Any, ...]] | None, seed: int
) -> Callable[[np.random.Generator], Sequence[Case]]:
    def cases(rng: np.random.Generator) -> Sequence[Case]:
        arity = len(op.primitive.vjps)  # type: ignore[attr-defined]
        chosen = list(found_examples(op, arity, seed) if examples is None else examples)
        if not chosen:
            raise ValueError(
                "found no inputs that it accepts; say on what to try it: "
                f"EXAMPLES = {{{name_of(op)!r}: [(array, ...)]}}"
            )
        return [case_of(op, example) for example in chosen]

    return cases


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


def _chosen(subjects: list[_Subject], names: Sequence[str] | None) -> list[_Subject]:
    if names is None:
        return subjects
    by_name = {subject.name: subject for subject in subjects}
    # ``tg.getitem`` is what a user knows; the primitive behind it is ``_getitem``.
    wanted = [f"_{name}" if f"_{name}" in by_name else name for name in names]
    for name in wanted:
        if name not in by_name:
            raise Unusable(f"no operation {name!r}; there is {', '.join(by_name)}")
    return [by_name[name] for name in dict.fromkeys(wanted)]


# ── the verdicts ─────────────────────────────────────────────────────────────────────────


def _verdict(subject: _Subject, seed: int) -> _Verdict:
    start = time.perf_counter()
    problem = None
    cases: Sequence[Case] = []
    broken: set[str] = set()
    try:
        cases = subject.cases(np.random.default_rng(seed))
    except (TypeError, ValueError) as error:
        problem = str(error)
    for case in cases:
        for law in laws:
            found = broken_law(case, seed, [law])
            if found is not None:
                broken.add(law.__name__)
                problem = problem or report(case, *found)
    at_point = subject.broken_point()
    if at_point is not None:
        problem = problem or f"{subject.name}: {at_point}"
    methods = {"complex step" if case.analytic else "central differences" for case in cases}
    return _Verdict(
        subject.name,
        len(cases) + subject.points,
        len(laws) - len(broken) if cases else 0,
        " and ".join(sorted(methods, reverse=True)) or "-",
        time.perf_counter() - start,
        problem,
    )


def _print_verdicts(verdicts: Sequence[_Verdict]) -> bool:
    width = max(len("operation"), *(len(v.name) for v in verdicts))
    how = max(len("derivatives by"), *(len(v.method) for v in verdicts))
    print(f"{'operation':{width}}  cases    laws  {'derivatives by':{how}}     time  verdict")
    for v in verdicts:
        print(
            f"{v.name:{width}}  {v.cases:5}  {v.laws:2} / {len(laws):2}  {v.method:{how}}  "
            f"{1000 * v.seconds:4.0f} ms  {'ok' if v.problem is None else 'FAILED'}"
        )
    failed = [v for v in verdicts if v.problem is not None]
    for v in failed:
        print()
        print(v.problem)
    print()
    total = len(verdicts)
    print(
        f"{total - len(failed)} of {total} operation{'s' * (total != 1)} passed"
        + (f"; FAILED: {', '.join(v.name for v in failed)}" if failed else "")
    )
    return not failed


def _print_mutants(names: Sequence[str], seed: int) -> bool:
    """Break the rules on purpose and print how many of the mutants the laws noticed."""
    if not names:
        return True
    with Progress(len(names), "mutants") as progress:

        def update(done: int, tally: mutants.Tally) -> None:
            progress.update(done, mutants=str(tally.mutants), survivors=str(len(tally.survivors)))

        try:
            tally = mutants.run(names, seed=seed, report=update)
        except AssertionError:  # the verdicts have told which
            tally = None
    if tally is None:
        print("the rules were not broken on purpose, as some are broken already")
        return False
    print(tally)
    for law, count in sorted(tally.killed.items(), key=lambda entry: -entry[1]):
        print(f"  first noticed by {law}: {count}")
    for mutant in tally.survivors:
        print(f"  NOT NOTICED: {mutant}")
    return not tally.survivors


__all__ = ["add_arguments", "main"]
