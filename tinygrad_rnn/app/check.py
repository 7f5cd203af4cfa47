"""``python -m tinygrad_rnn check``: every law on every operation, or on those of a user's file.

A file of operations holds, at module level, what ``tg.primitive`` returned; it may say on what to
try them:

    sinh = tg.primitive(np.sinh, lambda g, y, x: g * tg.sqrt(1 + y * y), name="sinh")

    EXAMPLES = {"sinh": [(np.array([-1.0, 0.5]),), (np.ones((2, 3)),)]}

Each example is a tuple of the operation's inputs, with a dict of its keywords at the end if it
takes any. Without examples inputs are found by trial. The file may also hold tests, functions
``test_...()`` that raise AssertionError.

All laws must hold on all examples. Then each rule is broken on purpose, one mistake at a time, and
the laws on the examples, or else a test, must notice the mistake.

Without a file the library's own operations are checked, on the cases in ``tests/cases`` of the
source tree. Where the package is installed without its source tree, inputs are found by trial.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..testing import mutants
from ..testing.cases import Case, Subject
from ..testing.inputs import Advice, Advisor, Example
from ..testing.laws import broken_law, laws
from ..testing.operations import name_of, report
from .arguments import Unusable, whole
from .checked_operations import OperationsFile, own_operations, own_table
from .progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command, for ``main``."""
    parser.add_argument(
        "file",
        nargs="?",
        metavar="my_ops.py",
        help="a Python file with operations made by tg.primitive at module level, and optionally "
        "EXAMPLES = {'name': [(array, ...), ...]} and functions test_...(); without a file the "
        "library's own operations are checked",
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
    """Run the laws and print a verdict for each operation; then break the rules on purpose.

    Returns:
        0 if all laws hold and every mutant is noticed, 1 if not, 2 if there is nothing to check:
        no such file, no such operation.
    """
    try:
        file = None if args.file is None else OperationsFile.read(args.file, args.seed)
        subjects = own_operations(args.seed) if file is None else file.subjects()
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
    if file is None:
        return 0 if _print_tally(subjects, args.seed) and passed else 1
    passed &= _print_failed_tests(file)
    if passed:
        passed = _print_mutants(file, subjects, args.seed)
    else:
        print("the rules were not broken on purpose, as not everything above is right")
    return 0 if passed else 1


def _chosen(subjects: list[Subject], names: Sequence[str] | None) -> list[Subject]:
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


@dataclass(frozen=True)
class _Verdict:
    name: str
    cases: int
    laws: int
    method: str
    seconds: float
    problem: str | None


def _verdict(subject: Subject, seed: int) -> _Verdict:
    start = time.perf_counter()
    problem = None
    cases: Sequence[Case] = []
    broken: set[str] = set()
    try:
        cases = list(subject.cases(np.random.default_rng(seed)))
    except (TypeError, ValueError) as error:
        problem = str(error)
    for case in cases:
        for law in laws:
            found = broken_law(case, seed, [law])
            if found is not None:
                broken.add(law.__name__)
                problem = problem or report(case, *found)
    failed = subject.broken_test()
    if failed is not None:
        problem = problem or f"{subject.name}: {failed}"
    methods = {"complex step" if case.analytic else "central differences" for case in cases}
    return _Verdict(
        subject.name,
        len(cases) + len(subject.tests),
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


def _print_failed_tests(file: OperationsFile) -> bool:
    """Run the tests of a file as they are."""
    failed = False
    for name, test in file.tests.items():
        try:
            test()
        except Exception as error:
            print(f"FAILED: {name} in {file.path}: {type(error).__name__}: {error}")
            failed = True
    return not failed


# ── rules broken on purpose ──────────────────────────────────────────────────────────────


def _print_tally(subjects: Sequence[Subject], seed: int) -> bool:
    """Break the library's rules and print how many of the mutants the laws noticed."""
    own = own_table()
    subjects = [subject for subject in subjects if subject.primitive is not None]
    if not subjects or own is None:
        return True
    with Progress(len(subjects), "mutants") as progress:

        def update(done: int, tally: mutants.Tally) -> None:
            progress.update(done, mutants=str(tally.mutants), survivors=str(len(tally.survivors)))

        try:
            tally = mutants.run(subjects, equivalent=own.equivalent, seed=seed, report=update)
        except AssertionError:  # the verdicts say which
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


def _print_mutants(file: OperationsFile, subjects: Sequence[Subject], seed: int) -> bool:
    """Break the rules of a file and print, for each operation, which mistakes nothing noticed."""
    # An operation need not say in which of its arguments it is linear.
    unsaid = {
        (s.primitive, "linear", "claimed in all arguments")
        for s in subjects
        if s.primitive is not None and s.primitive.linear == ()
    }
    tests = tuple(file.tests.values())
    lines: list[str] = []
    reports: list[str] = []
    width = max(len("operation"), *(len(subject.name) for subject in subjects))
    with Progress(len(subjects), "mutants") as progress:
        for done, subject in enumerate(subjects, 1):
            tally = mutants.run([replace(subject, tests=tests)], equivalent=unsaid, seed=seed)
            advisor = Advisor(file.operations[subject.name], file.examples[subject.name], seed)
            advice = [(mutant, advisor.advice(mutant)) for mutant in tally.survivors]
            # One that gives the rule's own gradients everywhere is no mistake.
            missed = [(m, a) for m, a in advice if a.example is not None or not a.tried]
            reports += _not_noticed(file, subject.name, missed)
            same = len(advice) - len(missed)
            made = tally.mutants - same
            lines.append(f"{subject.name:{width}}  {made - len(missed)} of {made}")
            if same:
                lines[-1] += f"   (not counted: {same} that change no gradient on any input tried)"
            progress.update(done, op=subject.name)
    print()
    print(
        "Each rule was broken on purpose, one mistake at a time. The laws on your examples, or "
        "one\nof your tests, must notice the mistake."
    )
    print()
    print(f"{'operation':{width}}  mistakes noticed")
    print("\n".join(lines))
    for text in reports:
        print()
        print(text)
    return not reports


def _not_noticed(
    file: OperationsFile, name: str, missed: Sequence[tuple[mutants.Mutant, Advice]]
) -> list[str]:
    """Which mistakes nothing noticed; below those with one remedy, what to add to the file."""
    together: dict[str, Counter[str]] = {}
    for mutant, advice in missed:
        remedy = "\n".join(_remedy(file, name, advice))
        together.setdefault(remedy, Counter())[_mistake(file, mutant)] += 1
    return [
        "\n".join(
            [
                f"NOT NOTICED in {name}:",
                # x * x loses either x: two mistakes that read alike
                *(text + f"   ({n} times)" * (n > 1) for text, n in mistakes.items()),
                remedy,
            ]
        )
        for remedy, mistakes in together.items()
    ]


def _mistake(file: OperationsFile, mutant: mutants.Mutant) -> str:
    """What was changed in which rule."""
    rule = mutant.primitive.vjps[mutant.rule] if isinstance(mutant.rule, int) else None
    written = mutants.written(rule)
    place = f" ({Path(file.path).name}, line {written.line})" if written is not None else ""
    lines = [f"  {mutant.rule if rule is None else f'rule {mutant.rule}'}{place}"]
    if mutant.lines is not None:
        right, wrong = mutant.lines
        lines += [f"    right    {right}", f"    mistake  {wrong}"]
    else:
        if written is not None:
            lines.append(f"    right    {written.text}")
        lines.append(f"    mistake  {mutant.how}")
    return "\n".join(lines)


def _remedy(file: OperationsFile, name: str, advice: Advice) -> list[str]:
    """What to add to the file so that a mistake is noticed."""
    example = advice.example
    if example is None:
        return ["  No other inputs were found by trial. Add examples with other numbers or shapes."]
    if advice.gradients is None:
        key = name if name in file.given else name_of(file.operations[name])
        add = f"EXAMPLES[{key!r}].append({example})"
        first = f"EXAMPLES = {{{key!r}: [{example}]}}"
        return [
            "  On these inputs the laws notice. Add them to the file:",
            f"    {add if key in file.given else first}",
        ]
    right, wrong = advice.gradients
    return [
        f"  It shows only where the function bends: at {example}",
        f"  the gradients of the sum are {right}, with the mistake {wrong}.",
        "  No law can tell which of the two you mean. Add a test to the file that says so:",
        *_test_of(file, name, example, right),
    ]


def _test_of(file: OperationsFile, name: str, example: Example, gradients: Any) -> list[str]:
    """A test that requires these gradients of the sum of the output, as lines of Python."""
    op = file.operations[name]
    makers: list[str] = []
    arguments: list[str] = []
    asserted: list[str] = []
    for i, (text, value) in enumerate(zip(example.expressions, example.values, strict=True)):
        if isinstance(value, dict):
            arguments.append(f"**{text}")
        elif op.primitive.vjps[i] is not None and np.asarray(value).dtype.kind == "f":  # type: ignore[attr-defined]
            makers.append(f"x{i} = tg.Tensor({text}, requires_grad=True)")
            arguments.append(f"x{i}")
            asserted.append(f"assert x{i}.grad.tolist() == {gradients[len(asserted)]}")
        else:
            arguments.append(text)
    body = [*makers, f"{name}({', '.join(arguments)}).sum().backward()", *asserted]
    return [f"    def test_where_{name}_bends():", *(f"        {line}" for line in body)]


__all__ = ["add_arguments", "main"]
