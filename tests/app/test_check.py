"""``python -m tinygrad_rnn check``: verdicts, exit codes, messages."""

import argparse

import pytest

from tinygrad_rnn import graph
from tinygrad_rnn.app import check
from tinygrad_rnn.testing.cases import Row, call, compositions, rows
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


def test_the_whole_table_passes(run):
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
    assert "no input of floats" in out


def test_a_neighbour_may_be_imported_and_an_operation_has_two_names(run, ops_file):
    ops_file(sinh, "neighbour_of_my_ops.py")
    path = ops_file("from neighbour_of_my_ops import sinh\nalias = sinh\ntanh = tg.tanh\n")
    code, out, _ = run(path)
    assert code == 0
    assert "1 of 1 operation passed" in out


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
