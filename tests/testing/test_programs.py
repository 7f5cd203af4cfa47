"""Random programs: every law, and every way to ask for a derivative, on what nobody wrote."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.testing import laws, operations
from tinygrad_rnn.testing.differences import complex_step, evaluate, pull
from tinygrad_rnn.testing.programs import Program, RandomSource, random_program
from tinygrad_rnn.testing.strategies import programs

seeds = st.integers(0, 2**16)


@given(programs(), seeds)
def test_every_law_holds(program, seed):
    case = program.case(np.random.default_rng(seed))
    if program.instructions:
        broken = laws.broken_law(case, seed)
        assert broken is None, operations.report(case, *broken)


@given(programs(), seeds)
def test_every_way_to_ask_for_a_derivative_agrees(program, seed):
    rng = np.random.default_rng(seed)
    arrays = program.arrays(rng)
    x, *rest = arrays

    def f(x):  # connected to x even where the program does not use it
        return tg.sin(program(x, *rest)) + tg.sum(x) * 0.0

    def scalar(x):
        return tg.sum(f(x))

    def close(a, b):
        return np.allclose(a, b, rtol=1e-9, atol=1e-11)

    y = evaluate(f, [x])
    v = np.asarray(rng.standard_normal(x.shape))
    u = np.asarray(rng.standard_normal(y.shape))
    pushed = complex_step(lambda x: evaluate(f, [x]), [x], [v])
    assert close(tg.jvp(f, x, v).data, pushed)
    J = tg.jacobian(f, x).data
    assert J.shape == y.shape + x.shape
    assert close(np.tensordot(J, v, x.ndim), pushed)
    t = tg.Tensor(x, requires_grad=True)
    gradient = tg.grad(f(t), t, u).data
    assert close(np.tensordot(u, J, y.ndim), gradient)
    value, by_value = tg.value_and_grad(scalar)(x)
    t = tg.Tensor(x, requires_grad=True)
    scalar(t).backward()
    assert close(value.data, y.sum())
    assert close(by_value.data, 0.0 if t.grad is None else t.grad)

    H = tg.hessian(scalar, x).data
    assert H.shape == x.shape * 2
    Hv = tg.hvp(scalar, x, v).data
    assert close(np.tensordot(H, v, x.ndim), Hv)
    flat = H.reshape(x.size, x.size)
    assert close(flat, flat.T)
    # H v is the derivative of the gradient along v: the rules themselves take a complex step.
    moved = complex_step(
        lambda x: pull(f, [x], np.ones(y.shape, np.result_type(x, 1.0)))[1][0], [x], [v]
    )
    assert close(Hv, moved)


@given(programs(), seeds)
def test_a_checkpoint_changes_nothing(program, seed):
    arrays = program.arrays(np.random.default_rng(seed))

    def gradients(f):
        inputs = [tg.Tensor(x, requires_grad=True) for x in arrays]
        y = f(*inputs)
        loss = tg.sum(tg.tanh(y))
        first = tg.grad(loss, inputs, create_graph=True)
        total = sum((tg.sum(g * g) for g in first), start=tg.Tensor(0.0))
        second = tg.grad(total + loss * 0.0, inputs)
        return [g.data for g in (*first, *second)]

    for a, b in zip(
        gradients(program), gradients(lambda *xs: tg.checkpoint(program, *xs)), strict=True
    ):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-14)


@given(programs())
def test_a_program_prints_as_the_lines_it_stands_for(program):
    lines = str(program).splitlines()
    assert lines[0].startswith("def f(v0: ")
    assert len(lines) == len(program.instructions) + 2
    assert lines[-1] == f"    return v{program.result}"


def test_programs_have_fan_out_dead_branches_and_values_used_twice():
    drawn = [random_program(RandomSource(np.random.default_rng(seed))) for seed in range(200)]

    def uses(program: Program) -> list[int]:
        return [i for instruction in program.instructions for i in instruction.arguments]

    assert any(uses(p).count(0) > 2 for p in drawn)
    assert any(len(i.arguments) > len(set(i.arguments)) for p in drawn for i in p.instructions)
    last = [len(p.shapes) + len(p.instructions) - 1 for p in drawn]
    assert any(p.result < n for p, n in zip(drawn, last, strict=True))
    assert len({str(p) for p in drawn}) > 150
    texts = {i.text for p in drawn for i in p.instructions}
    assert len(texts) > 40


def test_a_wrong_rule_is_noticed_in_a_program(monkeypatch):
    """The same laws, on programs, find a rule that forgets its second use."""
    from tinygrad_rnn import graph

    monkeypatch.setattr(
        graph.table["tanh"], "vjps", (lambda g, y, x: g * (1 - y * y) * (1 + 1e-6),)
    )
    found = 0
    for seed in range(40):
        program = random_program(RandomSource(np.random.default_rng(seed)))
        if "tanh" in str(program):
            case = program.case(np.random.default_rng(seed))
            found += laws.broken_law(case, seed, [laws.adjoint]) is not None
    assert found > 5


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_program(seed):
    a, b = (random_program(RandomSource(np.random.default_rng(seed))) for _ in range(2))
    assert str(a) == str(b)
