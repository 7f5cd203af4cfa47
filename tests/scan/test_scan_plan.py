"""``tg.scan_plan``: how a step is run, without running it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


def rnn(rng: int = 0) -> tuple[Any, tg.Tensor]:
    W = tg.Tensor(np.random.default_rng(rng).normal(size=(4, 4)), requires_grad=True, name="W")

    def cell(h: Any, x_t: Any) -> Any:
        h = tg.tanh(x_t + h @ W)
        return h, h

    return cell, W


def test_it_lists_both_directions() -> None:
    cell, _ = rnn()
    plan = tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    assert list(plan.listings) == ["forward", "backward"]
    text = str(plan)
    assert text.count("at every step:") == 2
    assert "dW = sum over t of" in text
    with tg.no_grad():
        plan = tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    assert list(plan.listings) == ["forward"]


def test_a_listing_says_what_becomes_of_the_results() -> None:
    cell, _ = rnn()
    x = tg.Tensor(np.ones((5, 2, 4)), requires_grad=True)
    plan = tg.scan_plan(cell, np.zeros((2, 4)), x)
    forward, backward = plan.listings.values()
    ((old, new),) = forward.carried
    assert (old, new) == ("h", forward[-1].result)
    assert forward.stacked == [new]
    ((old, new),) = backward.carried
    assert old == "dh"
    assert any(new == line.result and line.section == "step" for line in backward)
    assert len(backward.stacked) == 1  # dL/dx_t


def test_it_names_what_gets_a_gradient() -> None:
    cell, _ = rnn()
    h, x = np.zeros((2, 4)), tg.Tensor(np.ones((5, 2, 4)), requires_grad=True)
    assert tg.scan_plan(cell, h, x.data).differentiated == {"W"}
    assert tg.scan_plan(cell, h, x).differentiated == {"W", "x_t"}
    with tg.no_grad():
        assert tg.scan_plan(cell, h, x).differentiated == set()


def test_it_is_the_plan_that_scan_replays() -> None:
    cell, W = rnn()
    arguments = (cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    h, _ = tg.scan(*arguments)
    assert str(tg.scan_plan(*arguments)) == str(h.node.parents[0].keywords["plan"])
    assert str(tg.scan_plan(*arguments, reverse=True)) == str(tg.scan_plan(*arguments))
    assert str(tg.scan_plan(*arguments, lengths=[5, 2])) != str(tg.scan_plan(*arguments))
    assert W.grad is None


def test_a_step_that_does_the_same_to_other_values_has_their_names() -> None:
    """Though scan runs both by one plan."""
    h, x = np.zeros((2, 4)), np.ones((5, 2, 4))
    cell, _ = rnn()
    assert "dW = " in str(tg.scan_plan(cell, h, x))
    cell, V = rnn(1)
    V.name = "V"
    tg.scan(cell, h, x)
    assert "dV = " in str(tg.scan_plan(cell, h, x))


def test_wrong_arguments_are_those_of_scan() -> None:
    cell, _ = rnn()
    with pytest.raises(TypeError, match="scan: expected a function as cell, got int"):
        tg.scan_plan(3, np.zeros((2, 4)), np.ones((5, 2, 4)))  # type: ignore[arg-type]
    noise = np.random.default_rng(0)
    with pytest.raises(TypeError, match="does something else when it is run again"):
        tg.scan_plan(lambda h, x: (h + noise.normal(size=4), h), np.zeros(4), np.ones((5, 4)))
    with pytest.raises(ValueError, match="same number of steps"):
        tg.scan_plan(cell, np.zeros((2, 4)), (np.ones((5, 2, 4)), np.ones((4, 2, 4))))


# ── names, as a textbook derives it ──────────────────────────────────────────────────────


def gru() -> Any:
    rng = np.random.default_rng(0)
    W, U = (
        tg.Tensor(rng.normal(size=(12, n)), requires_grad=True, name=name)
        for n, name in ((3, "W"), (4, "U"))
    )

    def gate(a: Any) -> Any:
        return tg.sigmoid(a)

    def cell(h: Any, x_t: Any) -> Any:
        a_r, a_z, a_n = tg.split(tg.linear(x_t, W), 3, -1)
        b_r, b_z, b_n = tg.split(tg.linear(h, U), 3, -1)
        r = gate(a_r + b_r)
        z = gate(a_z + b_z)
        n = tg.tanh(a_n + r * b_n)
        h = (1 - z) * n + z * h
        return h, h

    return cell


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_values_are_called_as_the_steps_own_variables(backend: str) -> None:
    if backend == "native":
        pytest.importorskip("llvmlite")
    with tg.backend(backend):
        plan = tg.scan_plan(gru(), np.zeros((2, 4)), np.ones((5, 2, 3)))
    results = {way: {line.result for line in plan.listings[way]} for way in plan.listings}
    assert {"r_t", "z_t", "n_t", "h_t"} <= results["forward"]
    assert {"dh_t", "dh_tm1", "dW", "dU"} <= results["backward"]
    if backend == "native":  # NumPy's program computes gates that are alike in one call
        assert {"dz_t", "dn_t"} <= results["backward"]
    text = str(plan)
    assert "dh_{t-1} = " in text
    assert "dW = sum over t of" in text or "dW = [" in text
    assert "y_t =" not in text  # the inner function's name for a gate
    assert "dh_t = dh + dy_t" in text or "dh_t = dy_t + dh" in text


def test_an_rnn_reads_as_its_derivation() -> None:
    rng = np.random.default_rng(0)
    Wx, Wh, b = (
        tg.Tensor(rng.normal(size=shape), requires_grad=True, name=name)
        for name, shape in (("Wx", (3, 4)), ("Wh", (4, 4)), ("b", (4,)))
    )

    def cell(h: Any, x_t: Any) -> Any:
        a = x_t @ Wx + h @ Wh + b
        h = tg.tanh(a)
        return h, h

    with tg.backend("numpy"):
        plan = tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 3)))
    lines = {line.result: line.text for line in plan.listings["backward"]}
    assert lines["dh_t"] == "dh_t = dh + dy_t"
    assert lines["da_t"].startswith("da_t = dh_t * ")
    assert lines["dh_tm1"].startswith("dh_{t-1} = da_t @ ")
    assert lines["dWh"].startswith("dWh = sum over t of ")
    assert lines["db"].endswith(" of da_t")


def test_cells_of_the_library_have_their_equations_names() -> None:
    with tg.backend("numpy"):
        plan = tg.scan_plan(tg.nn.LSTMCell(3, 4, rng=0), None, np.ones((5, 2, 3)))
    forward, backward = plan.listings.values()
    assert [old for old, _ in forward.carried] == ["h", "c"]
    assert [old for old, _ in backward.carried] == ["dh", "dc"]
    assert {"i_t", "f_t", "g_t", "o_t", "c_t", "h_t"} <= {line.result for line in forward}
    assert {"dc_t", "dh_t", "do_t", "dc_tm1", "dh_tm1"} <= {line.result for line in backward}


def test_a_profiler_is_left_alone() -> None:
    import sys

    seen = []
    cell, _ = rnn()

    def profiler(frame: Any, event: str, arg: Any) -> None:
        seen.append(event)

    sys.setprofile(profiler)
    try:
        tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert seen
    tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    assert sys.getprofile() is None


def test_a_step_that_raises_leaves_no_profiler() -> None:
    import sys

    def cell(h: Any, x_t: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    assert sys.getprofile() is None


# ── equations ────────────────────────────────────────────────────────────────────────────


def odd(h: Any, x_t: Any) -> Any:
    """Every form that an equation has."""
    w = tg.Tensor(np.arange(1.0, 5.0), requires_grad=True, name="weight#1_α")
    β = abs(x_t) ** 0.5 + 1e-9
    a, b, _ = tg.split(tg.concatenate([h, β, h / (2 - x_t)], -1), 3, -1)
    q = tg.where(a > 0, tg.square(-a), tg.sqrt(β)) * tg.maximum(b, 1.5) - tg.exp(-(h + w))
    return q, (q.sum(), tg.softmax(q, axis=-1), tg.clip(q, -1, float("inf")))


DERIVED = {
    "rnn": lambda: (rnn()[0], np.zeros((2, 4)), np.ones((5, 2, 4))),
    "gru": lambda: (gru(), np.zeros((2, 4)), np.ones((5, 2, 3))),
    "LSTMCell": lambda: (tg.nn.LSTMCell(3, 4, rng=0), None, np.ones((5, 2, 3), np.float32)),
    "GRUCell": lambda: (tg.nn.GRUCell(3, 4, rng=0), None, np.ones((5, 2, 3), np.float32)),
    "odd": lambda: (odd, np.zeros((2, 4)), np.ones((5, 2, 4))),
    "no gradient": lambda: (lambda h, x: (tg.tanh(h + x), h), np.zeros(4), np.ones((5, 4))),
}


@pytest.mark.parametrize("name", DERIVED)
def test_equations_can_be_typeset(name: str) -> None:
    text = tg.scan_plan(*DERIVED[name]()).latex()
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == (r"\begin{aligned}", r"\end{aligned}")
    equations = [line.removesuffix(r" \\") for line in lines[1:-1]]
    for line in equations:
        assert line.count("{") == line.count("}")
        assert line.count(r"\left") == line.count(r"\right")
        assert line.count("&") == 1
        assert line.isascii()
    mathtext = pytest.importorskip("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    for line in equations:
        parser.parse(f"${line.replace('&', '', 1)}$")


def test_equations_are_those_of_a_textbook() -> None:
    lines = tg.scan_plan(*DERIVED["LSTMCell"]()).latex().replace(r" \\", "").splitlines()
    assert r"c_{t} &= f_{t} \odot c_{t-1} + i_{t} \odot g_{t}" in lines
    assert r"h_{t} &= o_{t} \odot \tanh\left(c_{t}\right)" in lines
    assert r"\mathrm{d}c_{t-1}^{+} &= \mathrm{d}c_{t} \odot f_{t}" in lines
    assert r"\mathrm{d}f_{t} &= \mathrm{d}c_{t} \odot c_{t-1}" in lines
    assert r"\mathrm{d}b_{\mathrm{hh}} &= \mathrm{d}b_{\mathrm{ih}}" in lines
    joined = next(line for line in lines if r"\;|\;" in line)
    order = [joined.index(rf"\mathrm{{d}}{gate}_{{t}}") for gate in "ifgo"]
    assert order == sorted(order)


def test_a_join_is_listed_in_the_order_in_which_it_lies() -> None:
    with tg.backend("numpy"):
        plan = tg.scan_plan(gru(), np.zeros((2, 4)), np.ones((5, 2, 3)))
    formulas = [line.formula for line in plan.listings["backward"] if " | " in line.formula]
    assert formulas
    assert all(f.index("a_t_2") < f.index("a_t ") for f in formulas if "a_t_2" in f)


def test_a_plans_code_is_the_same_in_every_process() -> None:
    """Sets of names have another order in each process, unless PYTHONHASHSEED is set."""
    program = (
        "import numpy as np, tinygrad_rnn as tg\n"
        "cell = tg.nn.LSTMCell(3, 4, rng=0)\n"
        "zeros = np.zeros((2, 4), np.float32)\n"
        "with tg.backend('numpy'):\n"
        "    plan = tg.scan_plan(cell, (zeros, zeros), np.ones((5, 2, 3), np.float32))\n"
        "    print(plan, plan.source)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
