"""The exercises: solutions are right, gaps are told, and mistakes get the hints that help."""

import importlib
import re
from pathlib import Path

import pytest

from examples.exercises.__main__ import HERE, names, with_gaps
from examples.exercises.checking import gaps, run

# exercise: what the solution writes, what a student wrote, what the check has to say.
MISTAKES = [
    (
        "ex1_rnn_step",
        "da = dh * (1 - h**2)",
        "da = dh",
        "the derivative of tanh, 1 - h_t**2, is missing",
    ),
    ("ex1_rnn_step", "db = da.sum(axis=0)", "db = da", "db is not summed over the batch"),
    ("ex2_rnn_over_time", "dWh += h_prev", "dWh = h_prev", "`=` where `+=` is meant"),
    ("ex2_rnn_over_time", "dout[:, t] + dh_next", "dout[:, t]", "(dh_next) is missing"),
    ("ex2_rnn_over_time", "dWh += h_prev", "dWh += h", "dWh uses h_t for h_{t-1}"),
    ("ex3_lstm_step", "dc = dc + dh", "dc = dh", "the gradient of the output c_t"),
    (
        "ex3_lstm_step",
        "[da_i, da_f, da_o, da_g]",
        "[da_i, da_f, da_g, da_o]",
        "gates in another order",
    ),
    ("ex4_lstm_over_time", "dc_next = dc * f", "dc_next = dc", "the forget gate f_t is missing"),
    ("ex4_lstm_over_time", "da_f = dc * c_prev", "da_f = dc * c", "uses c_t for c_{t-1}"),
    ("ex5_gru", "dz = dh * (h_prev - n)", "dz = dh * (n - h_prev)", "has the wrong sign"),
    ("ex5_gru", "+ d_reset * r", "+ d_reset", "the factor the reset gate r_t is missing"),
    (
        "ex6_truncated_bptt",
        "dh_next = np.zeros_like(dh) if is_border else da @ Wh.T",
        "dh_next = da @ Wh.T",
        "goes back through a cut: the reference takes the state as a constant at t = 3, 6",
    ),
    (
        "ex6_truncated_bptt",
        "is_border = t % K == 0 and t > 0",
        "is_border = t % K == 0",
        "dh0 is zero",
    ),
    ("ex7_softmax_loss", "dscores[n, t, y] -= 1", "pass", "the 1 at the target is missing"),
    ("ex7_softmax_loss", "* mask[:, :, None] / N", "/ N", "the factor mask is missing"),
    (
        "ex7_softmax_loss",
        "* mask[:, :, None] / N",
        "* mask[:, :, None]",
        "is 3 times what it should be",
    ),
    (
        "ex8_embedding",
        "dW = one_hot.T @ dy.reshape(-1, D)",
        "dW = np.zeros(shape); dW[ids] += dy",
        "rows that are taken several times get one gradient alone",
    ),
    (
        "ex9_attention",
        "ds = a * (da - (a * da).sum(axis=1, keepdims=True))",
        "ds = a * da",
        "the sum is missing",
    ),
    (
        "ex9_attention",
        "    dhs += ds[:, :, None] * q[:, None, :]",
        "    pass",
        "dhs lacks the part",
    ),
]


def module_of(source: str) -> dict[str, object]:
    space: dict[str, object] = {"__name__": "filled"}
    exec(source, space)
    return space


@pytest.mark.parametrize("name", names())
def test_solutions_are_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    solution = importlib.import_module(f"examples.exercises.solutions.{name}")
    assert solution.check() is True
    assert run(solution.check, str(HERE / "solutions" / f"{name}.py")) == 0
    assert capsys.readouterr().out == f"{name}.py: right\n"


@pytest.mark.parametrize("name", names())
def test_an_exercise_is_its_solution_with_gaps(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = HERE / f"{name}.py"
    source = file.read_text(encoding="utf-8")
    assert source == with_gaps((HERE / "solutions" / f"{name}.py").read_text(encoding="utf-8"))
    assert "# gap" not in source
    assert re.match(r'"""Exercise \d: ', source)
    assert len(gaps(source)) == source.count("= ...  #") > 1
    exercise = importlib.import_module(f"examples.exercises.{name}")
    assert run(exercise.check, str(file)) == 1
    assert f"{name}.py: fill the gaps (...) in the lines" in capsys.readouterr().out


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: f"{row[0]}: {row[2][:40]}")
def test_mistakes_get_hints_that_help(row: tuple[str, str, str, str]) -> None:
    name, right, wrong, hint = row
    source = (HERE / "solutions" / f"{name}.py").read_text(encoding="utf-8")
    assert source.count(right) >= 1, right
    before, _, after = source.rpartition(right)  # the docstring may show it too
    check = module_of(before + wrong + after)["check"]
    assert callable(check)
    with pytest.raises(AssertionError) as told:
        check()
    assert hint in str(told.value), str(told.value)


def test_the_folder_holds_nothing_else() -> None:
    files = {path.stem for path in Path(HERE).glob("ex*.py")}
    assert files == set(names())
    assert len(files) == 9
