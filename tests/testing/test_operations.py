"""check_op: all laws on a user's own operation, and what a failure says."""

import numpy as np
import pytest
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.testing import check_op, inputs, operations, strategies


def op(forward, *rules, name="op", **settings):
    return tg.primitive(forward, *rules, name=name, **settings)


def failure(*args, **settings):
    with pytest.raises(AssertionError) as caught:
        check_op(*args, **settings)
    return str(caught.value)


x = np.random.default_rng(0).uniform(-1, 1, (2, 3))
sinh = op(np.sinh, lambda g, y, x: g * tg.sqrt(1 + y * y), name="sinh")
product = op(
    np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x, name="product",
    elementwise=True,
)  # fmt: skip
huber = op(
    lambda x: np.where(np.abs(x) < 1, x * x / 2, np.abs(x) - 0.5),
    lambda g, y, x: g * tg.clip(x, -1, 1),
    name="huber",
)
scaled = op(lambda x, *, by=2.0: x * by, lambda g, y, x, *, by=2.0: g * by, name="scaled")


# ── what it takes ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("f", "given"),
    [
        (sinh, [x]),
        (sinh, [tg.Tensor(x)]),
        (sinh, [0.5]),
        (sinh, [x.astype(np.float32)]),
        (sinh, [(x,), (x[0],), (np.zeros((0, 2)),)]),
        (product, [x, x[0]]),
        (product, [x, 2.0]),
        (product, [(x, x), (x, tg.Tensor(x[0]))]),
        (scaled, [(x,), (x, {"by": 3.0})]),
        (huber, [3 * x]),
        (sinh, [strategies.arrays()]),
        (product, [strategies.arrays((2, 3)), strategies.tensors((3,))]),
        (product, [strategies.arrays((2, 3)), x]),
        (product, [st.integers(1, 3).map(lambda n: (np.ones((n, 2)), np.ones((n, 1))))]),
        (tg.matmul, [x, x.T]),
        (lambda x: (x @ x.T).tanh(), [x]),  # any function of Tensors
        (lambda x, W: tg.softmax(tg.linear(x, W)), [strategies.arrays((2, 3)), np.eye(3)]),
        (tg.take, [x, np.array([1, 1])]),
    ],
)
def test_right_operations_pass(f, given):
    assert check_op(f, *given, max_examples=10) is True


def test_kinks_that_a_strategy_draws_are_skipped():
    """Zero is the first thing that hypothesis tries."""
    assert check_op(tg.relu, strategies.arrays((3,)))
    assert check_op(tg.maximum, strategies.arrays((2,)), strategies.arrays((2,)))
    assert "a kink" in failure(tg.relu, np.array([1.0, 0.0]))


def test_an_argument_without_a_rule_is_a_constant():
    pick = op(lambda x, mask: x * mask, lambda g, y, x, mask: g * mask, None, name="pick")
    assert check_op(pick, x, (x > 0).astype(float))
    assert check_op(pick, x, x > 0)
    assert check_op(pick, x, (x > 0).astype(int))


def test_the_method_is_found_out():
    assert operations.case_of(sinh, (x,)).analytic
    # np.abs drops the imaginary part, np.interp refuses complex numbers.
    assert not operations.case_of(tg.abs, (x,)).analytic
    interpolated = op(
        lambda x: np.interp(x, [-2, 0, 2], [0, 1, 3]).astype(x.dtype),
        lambda g, y, x: g * tg.where(x > 0, 1.0, 0.5),
    )
    assert not operations.case_of(interpolated, (x,)).analytic
    assert check_op(interpolated, x)


def test_an_operation_that_is_differentiated_once():
    once = op(np.sinh, lambda g, y, x: g * np.cosh(np.asarray(x)), name="once")
    assert "breaks the law 'second_order'" in failure(once, x)
    assert check_op(once, x, second_order=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "at least one example"),
        ((np.array([1, 2]),), "no float input"),
        ((np.array(["a"]),), "expected real numbers"),
    ],
)
def test_nothing_to_check(given, message):
    with pytest.raises(TypeError, match=message):
        check_op(sinh, *given)


# ── what it notices ──────────────────────────────────────────────────────────────────────


def test_it_names_the_operation_the_law_and_the_numbers():
    message = failure(op(np.sinh, lambda g, y, x: 2 * g * tg.sqrt(1 + y * y), name="wrong"), x)
    assert message.startswith("wrong breaks the law 'adjoint' on float64 (2, 3)")
    assert "<u, J v> and <J' u, v> differ" in message
    assert "the gradient for input 0 is wrong: worst at element" in message
    assert "ratio     2 (analytic / numeric)" in message
    assert "hint: a constant ratio of 2" in message


@pytest.mark.parametrize(
    ("wrong", "law", "says"),
    [
        (op(np.sinh, lambda g, y, x: g * y), "adjoint", "worst at"),
        (op(np.sinh, lambda g, y, x: g[0]), "adjoint", "expected its input's shape"),
        (op(np.sinh, lambda g, y, x: None), "adjoint", "TypeError"),
        (op(np.sinh, lambda g, y, x: g * np.cosh(getattr(x, "data", x))), "second_order", "differ"),
        (op(np.square, lambda g, y, x: _write(x, g * 2 * x)), "adjoint", "differ"),
        (
            op(np.square, lambda g, y, x: _write(y, g * 2 * x)),
            "untouched",
            "writes into its output",
        ),
        (op(np.square, lambda g, y, x: 2 * x), "adjoint", "differ"),
        (op(lambda x: x * np.float64(2), lambda g, y, x: 2 * g), "float32", "float64 out"),
        (lambda x: x.detach(), "adjoint", "not connected"),
        (lambda x: x.numpy(), "adjoint", "expected a Tensor"),
    ],
)
def test_wrong_operations_fail(wrong, law, says):
    message = failure(wrong, x)
    assert f"breaks the law {law!r}" in message
    assert says in message


def _write(array, result):
    if isinstance(array, np.ndarray):
        array += 1
    return result


def test_a_broadcast_sum_left_out():
    wrong = op(np.add, lambda g, z, x, y: g, lambda g, z, x, y: g[0], name="wrong")
    assert "is the sum over a broadcast axis missing" in failure(wrong, x, x[0])


def test_a_wrong_operation_fails_on_drawn_examples():
    wrong = op(np.sinh, lambda g, y, x: g * (1 + 0.5 * x * x), name="wrong")  # right to x^3
    assert "breaks the law 'adjoint'" in failure(wrong, strategies.arrays((2,)))


def test_every_example_is_tried():
    only_matrices = op(np.sinh, lambda g, y, x: g * tg.sqrt(1 + y * y) * (2 if x.ndim == 1 else 1))
    assert check_op(only_matrices, (x,))
    assert "float64 (3,)" in failure(only_matrices, (x,), (x[0],))


# ── inputs found by trial ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("f", "arity"),
    [
        (sinh, 1),
        (product, 2),
        (op(np.log, lambda g, y, x: g / x), 1),
        (op(np.arcsin, lambda g, y, x: g / tg.sqrt(1 - x * x)), 1),
        (op(lambda p: np.log(p / (1 - p)), lambda g, y, p: g / (p * (1 - p))), 1),
        (op(np.matmul, lambda g, y, a, b: g, lambda g, y, a, b: g), 2),
        (op(lambda x, W, b: x @ W + b, *[lambda g, y, x, W, b: g] * 3), 3),
        (op(lambda W, ids: W[ids], lambda g, y, W, ids: g, None), 2),
        (op(lambda x, mask: x * ~mask, lambda g, y, x, mask: g, None), 2),
    ],
)
def test_inputs_are_found(f, arity):
    found = list(inputs.found_examples(f, arity, seed=0))
    assert found
    for example in found:
        assert np.isfinite(f(*example.values)).all()
        assert repr(eval(str(example))) == repr(example.values)


def test_no_inputs_are_found_for_an_operation_that_takes_none():
    never = op(lambda x: [][0], lambda g, y, x: g)
    assert list(inputs.found_examples(never, 1, seed=0)) == []
