"""``python -m tinygrad_rnn check``: verdicts, exit codes, messages."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_rnn as tg
from tests.cases import Row, call, compositions, rows
from tinygrad_rnn import graph
from tinygrad_rnn.app import check
from tinygrad_rnn.testing import mutants
from tinygrad_rnn.testing.laws import laws


@pytest.fixture
def run(capsys):
    def run(*argv):
        parser = argparse.ArgumentParser()
        check.add_arguments(parser)
        code = check.main(parser.parse_args([str(a) for a in argv]))
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ops_file(tmp_path):
    def write(text, name="my_ops.py"):
        path = tmp_path / name
        path.write_text("import numpy as np\nimport tinygrad_rnn as tg\n" + text)
        return path

    return write


sinh = "sinh = tg.primitive(np.sinh, lambda g, y, x: g * tg.sqrt(1 + y * y))\n"
wrong = "wrong = tg.primitive(np.sinh, lambda g, y, x: 2 * g * tg.sqrt(1 + y * y), name='wrong')\n"


def test_the_whole_table_passes(run, monkeypatch):
    """Of the mutants only a few here: tests/testing/test_mutants.py runs them all."""
    run_all = mutants.run

    def run_few(subjects, **settings):
        return run_all(subjects[:5], **settings)

    monkeypatch.setattr(mutants, "run", run_few)
    code, out, err = run("--seed", "3")
    assert code == 0
    assert err == ""
    total = len(graph.table) + len(compositions)
    assert f"{total} of {total} operations passed" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line.endswith("ok")}
    assert set(lines) == set(rows)
    assert "complex step" in lines["tanh"]
    assert "central differences" in lines["abs"]
    assert f"{len(laws)} / {len(laws)}" in lines["matmul"]
    assert "rules: " in out
    assert "(100 %)" in out


def test_some_operations_only(run):
    code, out, _ = run("--op", "tanh", "getitem", "--op", "conv2d")
    assert code == 0
    assert "3 of 3 operations passed" in out
    assert "rules: 3" in out  # tanh's, getitem's and its add_into
    code, out, _ = run("--op", "conv2d")
    assert code == 0
    assert "rules" not in out  # conv2d has none of its own


def test_a_broken_rule_of_the_library(run, monkeypatch):
    monkeypatch.setattr(graph.table["tanh"], "vjps", (lambda g, y, x: 2 * g * (1 - y * y),))
    code, out, _ = run("--op", "tanh", "exp")
    assert code == 1
    assert "tanh breaks the law 'adjoint'" in out
    assert "1 of 2 operations passed; FAILED: tanh" in out
    assert "broken already" in out


def test_a_broken_convention_of_the_library(run, monkeypatch):
    relu = graph.table["relu"]
    from tinygrad_rnn import greater_equal

    monkeypatch.setattr(relu, "vjps", (lambda g, y, x: g * greater_equal(x, 0),))
    code, out, _ = run("--op", "relu")
    assert code == 1
    assert "relu: at ([0.0, 1.0, -1.0],) the gradient" in out


def test_a_mutant_that_survives(run, monkeypatch):
    monkeypatch.setitem(rows, "exp", Row("exp", [call((0,))]))
    code, out, _ = run("--op", "exp")
    assert code == 1
    assert "NOT NOTICED: exp[0]: negated" in out


# ── a user's file ────────────────────────────────────────────────────────────────────────


def test_a_file_that_is_right(run, ops_file):
    code, out, err = run(ops_file(sinh))
    assert (code, err) == (0, "")
    assert "1 of 1 operation passed" in out
    assert "complex step" in out
    assert "rules" not in out


def test_a_file_with_a_mistake(run, ops_file):
    code, out, _ = run(ops_file(sinh + wrong))
    assert code == 1
    assert "wrong breaks the law 'adjoint' on float64 (3, 3)" in out
    assert "ratio     2 (analytic / numeric)" in out
    assert "1 of 2 operations passed; FAILED: wrong" in out
    code, out, _ = run(ops_file(sinh + wrong), "--op", "sinh")
    assert code == 0


def test_examples_are_tried(run, ops_file):
    picky = """
def forward(x, *, axis=0):
    if x.shape != (2, 5):
        raise ValueError("only (2, 5)")
    return x.sum(axis, keepdims=True)
picky = tg.primitive(forward, lambda g, y, x, *, axis=0: tg.broadcast_to(g, x.shape), name="picky")
"""
    code, out, _ = run(ops_file(picky))
    assert code == 1
    assert "say on what to try it: EXAMPLES = {'picky': [(array, ...)]}" in out
    code, out, _ = run(
        ops_file(
            picky + "EXAMPLES = {'picky': [(np.ones((2, 5)),), (np.ones((2, 5)), {'axis': 1})]}\n"
        )
    )
    assert code == 0, out
    code, out, _ = run(ops_file(picky + "EXAMPLES = {'picky': [(np.ones((2, 5), int),)]}\n"))
    assert code == 1
    assert "no float input" in out


def test_a_neighbour_may_be_imported_and_an_operation_has_two_names(run, ops_file):
    ops_file(sinh, "neighbour_of_my_ops.py")
    path = ops_file("from neighbour_of_my_ops import sinh\nalias = sinh\ntanh = tg.tanh\n")
    code, out, _ = run(path)
    assert code == 0
    assert "1 of 1 operation passed" in out


# ── a user's rules, broken on purpose ────────────────────────────────────────────────────

cube = "cube = tg.primitive(lambda x: x**3, lambda g, y, x: g * 3 * x * x, name='cube')\n"
leaky = """leaky = tg.primitive(
    lambda x: np.where(x > 0, x, 0.5 * x),
    lambda g, y, x: g * tg.where(x > 0, 1.0, 0.5),
    name="leaky",
)
"""


def added(out):
    """The lines that the command says to add to the file."""
    lines, adding = [], False
    for line in out.splitlines():
        if adding and line.startswith("    "):
            lines.append(line[4:])
        else:
            adding = "Add them to the file:" in line or "Add a test to the file" in line
    return "\n".join(lines) + "\n"


def test_good_examples_notice_every_mistake(run, ops_file):
    code, out, _ = run(ops_file(cube + "EXAMPLES = {'cube': [(np.array([0.5, -1.5, 2.0]),)]}\n"))
    assert code == 0, out
    noticed = next(line for line in out.splitlines() if line.startswith("cube") and " of " in line)
    _, count, _, total = noticed.split()
    assert count == total
    assert int(total) > 15
    assert "NOT NOTICED" not in out


def test_weak_examples_are_told_what_they_miss(run, ops_file):
    """At 1 nobody sees whether x is squared."""
    path = ops_file(cube + "EXAMPLES = {'cube': [(np.array([1.0]),)]}\n")
    code, out, _ = run(path)
    assert code == 1
    assert "1 of 1 operation passed" in out
    assert "NOT NOTICED in cube:\n  rule 0 (my_ops.py, line 3)" in out
    assert "    right    lambda g, y, x: g * 3 * x * x\n" in out
    assert "    mistake  lambda g, y, x: g * 3 * x   (2 times)\n" in out
    line = "EXAMPLES['cube'].append((np.random.default_rng(0).uniform(-2, 2, (1,)),))\n"
    assert added(out) == line
    path = ops_file(path.read_text().replace("import numpy", "\nimport numpy") + line, "more.py")
    code, out, _ = run(path)
    assert code == 0, out


def test_the_readme_shows_what_is_printed(run, ops_file):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    text, shown = re.search(
        r"```python\n(cube = .*?)```\n\n```\n(.*?)```", readme, re.DOTALL
    ).groups()
    _, out, _ = run(ops_file("\n" + text))
    assert out.endswith(shown)


def test_examples_with_keywords_and_constants(run, ops_file):
    text = """
def d_x(g, y, x, ids, *, scale):
    weighted = g * scale
    return tg.place(weighted, ids, x.shape)
rows = tg.primitive(lambda x, ids, *, scale: x[ids] * scale, d_x, None, name="rows")
EXAMPLES = {"rows": [(np.ones((3, 2)), np.array([0, 2]), {"scale": 1.0})]}
"""
    code, out, _ = run(ops_file(text))
    assert code == 1
    assert "    right    weighted = g * scale\n    mistake  weighted = g\n" in out
    assert "{'scale': 1.75}))" in out
    code, out, _ = run(ops_file(text + added(out), "other.py"))
    assert code == 0, out
    empty = text.replace("np.ones((3, 2))", "np.ones((3, 0))")
    code, out, _ = run(ops_file(empty, "empty.py"))
    assert code == 1
    assert "EXAMPLES['rows'].append(" in out
    code, out, _ = run(ops_file(empty + added(out), "again.py"))
    assert code == 0, out


def test_constants_that_cannot_be_written_down(run, ops_file):
    """No expression makes them, so that the user has to think of an example."""
    text = """
def forward(x, ids, *, f):
    if len(ids) != 40:
        raise ValueError("expected 40 ids")
    return f(x)[ids]
def rule(g, y, x, ids, *, f):
    return tg.place(g * 2, ids, x.shape)
picked = tg.primitive(forward, rule, None, name="picked")
EXAMPLES = {"picked": [(np.ones((3, 0)), np.arange(40) % 3, {"f": lambda x: 2 * x})]}
"""
    code, out, _ = run(ops_file(text))
    assert code == 1
    assert "No other inputs were found by trial. Add examples with other numbers" in out
    code, out, _ = run(ops_file(text.replace("(3, 0)", "(3, 2)"), "more.py"))
    assert code == 0, out


def test_examples_may_be_tensors_and_numbers(run, ops_file):
    text = """
scaled = tg.primitive(
    np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x, name="scaled",
    elementwise=True,
)
EXAMPLES = {"scaled": [(tg.Tensor([1.0, 1.0], requires_grad=True), 1.0)]}
"""
    code, out, _ = run(ops_file(text))
    assert code == 1
    assert "EXAMPLES['scaled'].append(" in out
    code, out, _ = run(ops_file(text + added(out), "more.py"))
    assert code == 0, out


def test_a_jump_needs_a_test_too(run, ops_file):
    jump = """jump = tg.primitive(
    lambda x: np.where(x.real > 1, 3 * x, x), lambda g, y, x: g * tg.where(x > 1, 3.0, 1.0),
    name="jump",
)
EXAMPLES = {"jump": [(np.array([0.5, 1.5]),)]}
"""
    code, out, _ = run(ops_file(jump))
    assert code == 1
    assert "at (np.full((2,), 1.0),)" in out
    code, out, _ = run(ops_file(jump + added(out), "more.py"))
    assert code == 0, out


def test_where_a_function_bends_a_test_of_the_file_has_to_say_which_gradient_is_meant(
    run, ops_file
):
    code, out, _ = run(ops_file(leaky))
    assert code == 1
    assert "    mistake  lambda g, y, x: g * tg.where(x >= 0, 1.0, 0.5)" in out
    assert "It shows only where the function bends: at (np.full((3, 3), 0.0),)" in out
    code, out, _ = run(ops_file(leaky + added(out), "with_test.py"))
    assert code == 0, out
    assert "NOT NOTICED" not in out


def test_a_test_of_the_file_that_fails(run, ops_file):
    text = sinh + "def test_sinh():\n    assert sinh(np.zeros(2)).tolist() == [1.0, 0.0]\n"
    code, out, _ = run(ops_file(text))
    assert code == 1
    assert "FAILED: test_sinh" in out
    assert "not broken on purpose" in out
    fixture = "def test_sinh(capsys):\n    assert False\n"  # pytest's business
    assert run(ops_file(sinh + fixture, "fixture.py"))[0] == 0


def test_a_wrong_rule_is_not_broken_any_further(run, ops_file):
    code, out, _ = run(ops_file(wrong))
    assert code == 1
    assert "the rules were not broken on purpose, as not everything above is right" in out
    assert "mistakes noticed" not in out


def test_what_changes_no_gradient_is_no_mistake(run, ops_file):
    """A rule that gives 0 may be doubled; two arguments may have equal rules."""
    text = """
floor = tg.primitive(np.floor, lambda g, y, x: g * 0.0, name="floor")
plus = tg.primitive(
    np.add, lambda g, z, x, y: g, lambda g, z, x, y: g, name="plus", elementwise=True
)
"""
    code, out, _ = run(ops_file(text))
    assert code == 0, out
    assert "not counted: 4 that change no gradient" in next(
        line for line in out.splitlines() if line.startswith("plus") and " of " in line
    )


def test_an_operation_that_accepts_one_input_only(run, ops_file):
    text = """
def forward(x):
    if x.shape != (2,) or (x.real != np.ones(2)).any():
        raise ValueError("only ones")
    return x**3
picky = tg.primitive(forward, lambda g, y, x: g * 3 * x * x, name="picky")
EXAMPLES = {"picky": [(np.ones(2),)]}
"""
    code, out, _ = run(ops_file(text))
    assert code == 1  # no difference quotient there
    assert "picky breaks the law" in out


# ── without the source tree ──────────────────────────────────────────────────────────────


def test_an_installed_package_checks_what_it_finds_inputs_for(tmp_path):
    shutil.copytree(Path(tg.__file__).parent, tmp_path / "tinygrad_rnn")
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tinygrad_rnn", "check"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "in its source tree, in tests/cases" in answer.stdout
    passed, total = re.search(r"(\d+) of (\d+) operations passed", answer.stdout).groups()
    assert passed == total
    assert int(total) > 60


# ── files that cannot be used ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "found nothing made by tg.primitive"),
        ("1 / 0\n", "importing it raised ZeroDivisionError"),
        ("def :\n", "importing it raised SyntaxError"),
        (sinh + "EXAMPLES = [1]\n", "expected EXAMPLES to be a dict, got list"),
        (sinh + "EXAMPLES = {'cosh': []}\n", "EXAMPLES names 'cosh'; there is sinh"),
        (sinh + "EXAMPLES = {'sinh': [np.ones(2)]}\n", "to be a list of tuples"),
    ],
)
def test_bad_files(run, ops_file, text, message):
    code, out, err = run(ops_file(text))
    assert code == 2
    assert out == ""
    assert message in err
    assert "my_ops.py" in err


def test_bad_arguments(run, tmp_path, ops_file):
    code, _, err = run(tmp_path / "missing.py")
    assert code == 2
    assert "missing.py: no such file" in err
    code, _, err = run(tmp_path)
    assert code == 2
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    code, _, err = run(other)
    assert code == 2
    assert "not a Python file" in err
    code, _, err = run("--op", "tahn")
    assert code == 2
    assert "no operation 'tahn'" in err
    code, _, err = run(ops_file(sinh), "--op", "tanh")
    assert code == 2
    assert "there is sinh" in err
