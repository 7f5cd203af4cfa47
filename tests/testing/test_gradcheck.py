"""gradcheck and gradgradcheck: what passes, what fails, and what a failure says."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.testing import gradcheck, gradgradcheck


def op(forward, *rules, **settings):
    return tg.primitive(forward, *rules, name="op", **settings)


def failure(f, inputs, check=gradcheck, **settings):
    with pytest.raises(AssertionError) as caught:
        check(f, inputs, **settings)
    return str(caught.value)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


rng = np.random.default_rng(0)
x33, x23, x4 = rng.normal(size=(3, 3)), rng.normal(size=(2, 3)), rng.normal(size=4)


# ── what is right passes ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (tg.tanh, x23),
        (lambda x: x @ x.T, x23),
        (lambda x, y: x * y, (x23, x33[0])),
        (lambda x, y: x * y, [x23, x33[0]]),
        (lambda x: tg.sum(tg.softmax(x)), x4),  # constant: every derivative is 0
        (lambda x: x - x, x4),
        (lambda x: tg.relu(x) + 5, np.array([-1e-4, 1e-4, 2.0])),  # a kink not far away
        (lambda x: tg.log(x), np.array([1e-3, 1.0, 1e6])),
        (lambda x: tg.exp(x), np.array([-30.0, 0.0, 300.0])),
        (lambda x: tg.sin(100 * x), x4),
        (lambda x: x * 0.0, x4),
        (lambda x: x * 2, 3.0),
        (lambda x: x * 2, np.zeros((0, 3))),
        (lambda x: (x[0], (x[1:] * 2, tg.tanh(x))), x4),
        (lambda x, ids: tg.embedding(ids, x), (x33, np.array([0, 2, 2]))),
        (lambda x, mask: tg.where(mask, x, 0.0), (x4, np.array([True, False, True, True]))),
    ],
)
def test_right_gradients_pass(f, inputs):
    assert gradcheck(f, inputs) is True
    assert gradgradcheck(f, inputs) is True


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7])
def test_a_flat_point_passes(n):
    """x^n at 0: every difference there is tiny, and none of them is a derivative."""
    assert gradcheck(lambda x: x**n, np.zeros(2))


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e-7, 1.0, 1e7, 1e100])
def test_the_tolerance_scales_with_magnitude(scale):
    x = np.array([0.5, -2.0])
    assert gradcheck(lambda x: scale * x * x, x)
    for wrong in (0.0, 0.99, 1.01, -1.0, 2.0):
        f = op(lambda x: scale * x * x, lambda g, y, x, wrong=wrong: g * 2 * scale * x * wrong)
        assert "input 0" in failure(f, x)


def test_a_small_output_beside_a_large_one_is_checked_too():
    f = op(lambda x: np.array([1e8, 1e-7]) * x, lambda g, y, x: g * np.array([1e8, 0.0]))
    assert "element (1,)" in failure(f, np.array([1.0, 1.0]))


@pytest.mark.parametrize("offset", [1.0, 1e6, 1e8])
def test_a_large_constant_hides_no_wrong_gradient(offset):
    x = np.array([1.0, -2.0])
    assert gradcheck(lambda x: offset + 1e-3 * x, x)
    zero = op(lambda x: offset + 1e-3 * x, lambda g, y, x: 0.0 * g)
    assert "zero" in failure(zero, x)
    assert "constant ratio of 2" in failure(
        op(lambda x: offset + 1e-3 * x, lambda g, y, x: 2e-3 * g), x
    )


def test_rounding_of_a_large_constant_is_no_failure():
    # The cube is flat here and everything that differences see is rounding.
    assert gradcheck(lambda x: 1.0 + 1e-4 * x * x * x, np.zeros(1))
    assert gradcheck(lambda x: 1e8 + x * x * x, np.zeros(1))


def test_tolerances_are_the_callers():
    f = op(np.tanh, lambda g, y, x: g * (1 - y * y) * 1.0005)
    assert gradcheck(f, x4)
    assert "ratio" in failure(f, x4, rtol=1e-6, atol=1e-6)
    assert gradcheck(op(np.tanh, lambda g, y, x: g * (1 - y * y) * 1.05), x4, rtol=0.1)


# ── which inputs are checked ─────────────────────────────────────────────────────────────

half = op(
    np.multiply, lambda g, z, x, y: g * y, lambda g, z, x, y: g * x * 0.5, elementwise=True
)  # right for its first argument only


def test_arrays_are_checked():
    assert "for input 1 (float64 (2, 3))" in failure(half, (x23, x23))


def test_a_tensor_that_does_not_require_grad_is_a_constant():
    assert gradcheck(half, (x23, tg.Tensor(x23)))
    assert gradcheck(half, (tg.Tensor(x23, requires_grad=True), tg.Tensor(x23)))
    assert "input 1" in failure(half, (tg.Tensor(x23), tg.Tensor(x23, requires_grad=True)))


def test_unless_nothing_else_could_be_meant():
    assert "input 1" in failure(half, (tg.Tensor(x23), tg.Tensor(x23)))


def test_no_grad_is_touched_and_no_tensor_changed():
    x = tg.Tensor(x23, requires_grad=True)
    before = x.numpy()
    gradcheck(tg.tanh, x)
    gradgradcheck(tg.tanh, x)
    assert x.grad is None
    assert np.array_equal(x.data, before)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize(
    ("f", "inputs", "error", "message"),
    [
        (tg.tanh, np.float32([1.0]), TypeError, "input 0 is float32"),
        (
            tg.add,
            (x4, tg.Tensor([1.0], dtype=np.float32, requires_grad=True)),
            TypeError,
            "input 1",
        ),
        (tg.tanh, np.array(["a"]), TypeError, "expected real numbers"),
        (tg.tanh, np.array([1, 2]), ValueError, "at least one input of float64"),
        (tg.tanh, (), ValueError, "at least one input of float64"),
        (lambda x: x.numpy(), x4, TypeError, "to return a Tensor"),
        (lambda x: None, x4, TypeError, "to return a Tensor"),
        (lambda x: (), x4, TypeError, "to return a Tensor"),
        (lambda x: x.astype(np.float32), x4, TypeError, "to return float64"),
        (lambda x: x > 0, x4, TypeError, "to return float64"),
    ],
)
def test_bad_arguments(check, f, inputs, error, message):
    with pytest.raises(error, match=message):
        check(f, inputs)


def test_a_step_must_be_positive():
    with pytest.raises(ValueError, match="positive eps"):
        gradcheck(tg.tanh, x4, eps=0.0)


# ── what else is noticed ─────────────────────────────────────────────────────────────────


def test_a_function_that_is_not_deterministic():
    noise = np.random.default_rng(0)
    message = failure(lambda x: tg.dropout(x, 0.5, rng=noise), np.ones(20))
    assert "not deterministic" in message
    assert "seed" in message


def test_a_function_that_writes_into_its_inputs():
    def f(x, y):
        y._array[0] += 1
        return x * y

    assert "writes into its input 1" in failure(f, (x4, x4))

    def rebinds(x):
        x.data = x.data * 2
        return x * 1.0

    assert "writes into its input 0" in failure(rebinds, x4)


@pytest.mark.parametrize("cut", [lambda x: x.detach() * 2, lambda x: tg.Tensor(x.data) * 2])
def test_a_graph_that_was_cut(cut):
    message = failure(cut, x4)
    assert "no gradient" in message
    assert "detach" in message
    assert "no gradient" in failure(lambda x: tg.no_grad()(tg.tanh)(x), x4)


def test_a_gradient_that_is_lost_for_one_input_only():
    message = failure(lambda x, y: x * y.detach(), (x4, x4))
    assert "for input 1" in message
    assert "zero everywhere" in message


def test_one_of_several_outputs():
    message = failure(lambda x: (x * 2, half(x, x)), x4)
    assert "2 outputs, joined, of shape (4,), (4,)" in message


# ── what a failure says ──────────────────────────────────────────────────────────────────


def test_it_names_the_worst_element_and_both_values():
    def rule(g, y, x):
        mask = np.ones((2, 3))
        mask[1, 2] = 3.0
        return g * 2 * x * mask

    x = np.ones((2, 3))
    message = failure(op(np.square, rule), x)
    assert message.startswith("gradcheck: the gradient for input 0 (float64 (2, 3)) is wrong")
    assert "element (1, 2) of the input, seen from element (1, 2) of the output" in message
    assert "analytic  6" in message
    assert "numeric   2" in message
    assert "ratio     3 " in message
    assert "1 of 36 derivatives differ" in message


@pytest.mark.parametrize(
    ("f", "inputs", "hint"),
    [
        (op(np.tanh, lambda g, y, x: 2 * g * (1 - y * y)), x23, "ratio of 2: added twice"),
        (op(np.tanh, lambda g, y, x: -g * (1 - y * y)), x23, "ratio of -1: a sign is wrong"),
        (op(np.tanh, lambda g, y, x: 0.25 * g * (1 - y * y)), x23, "ratio of 0.25: is a factor"),
        (op(np.tanh, lambda g, y, x: 0.0 * g), x23, "zero everywhere"),
        (op(np.tanh, lambda g, y, x: g * np.nan), x23, "not finite"),
        (op(np.tanh, lambda g, y, x: g.T * (1 - y * y).T), x33, "transposed"),
        (op(lambda x: x @ x33, lambda g, y, x: g @ x33), x33[:, 0], "transposed"),
        (
            op(lambda x: np.tile(x, (5, 1)), lambda g, y, x: g.mean(0)),
            x4,
            "1/5, and this input is repeated 5 times: a mean instead of a sum",
        ),
        (
            op(lambda x: np.tile(x, (5, 1)), lambda g, y, x: g[0]),
            x4,
            "is the sum over a broadcast axis missing",
        ),
        (
            op(np.tanh, lambda g, y, x: g * (1 - y * y) * np.array([1.0, 0.0, 1.0, 1.0])),
            x4,
            "part of the gradient is lost",
        ),
        (op(np.ones_like, lambda g, y, x: g), x4, "does not depend on this input"),
        (op(np.abs, lambda g, y, x: 2.0 * g), np.array([1e-9]), "a kink or a jump nearby"),
        (
            op(np.tanh, lambda g, y, x: g, elementwise=True),
            np.array([0.3, -1.0, 13.0]),  # saturated there: nothing can be measured
            "the derivative of tanh, 1 - y^2, is missing",
        ),
        (op(sigmoid, lambda g, y, x: g, elementwise=True), x4, "of sigmoid, y (1 - y), is missing"),
        (
            op(lambda x: np.where(x > 0, 1.0, 0.0) + x, lambda g, y, x: g),
            np.array([0.0]),
            "a kink or a jump nearby",
        ),
        (tg.sqrt, np.array([0.0]), "edge of its domain"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hints(f, inputs, hint):
    assert hint in failure(f, inputs)


def test_no_hint_where_the_numbers_fit_no_mistake():
    f = op(np.tanh, lambda g, y, x: g * np.cos(x))
    assert "hint" not in failure(f, x4)


# ── the second derivative ────────────────────────────────────────────────────────────────


def test_a_rule_that_is_right_once_only():
    f = op(np.sin, lambda g, y, x: g * np.cos(getattr(x, "data", x)))
    assert gradcheck(f, x4)
    message = failure(f, x4, gradgradcheck)
    assert "gradient of the gradient for input 0" in message
    assert "zero everywhere" in message


def test_the_cotangents_are_checked_too():
    f = op(np.sin, lambda g, y, x: getattr(g, "data", g) * tg.cos(x))
    assert gradcheck(f, x4)
    assert "for input 1" in failure(f, x4, gradgradcheck)


def test_grad_outputs_are_the_callers():
    u = np.array([1.0, 0.0, 0.0, 0.0])
    assert gradgradcheck(tg.sin, x4, u)
    assert gradgradcheck(lambda x: (tg.sin(x), x * x), x4, (u, tg.Tensor(u)))
    with pytest.raises(ValueError, match=r"grad_outputs of shape \(4,\), got \(3,\)"):
        gradgradcheck(tg.sin, x4, u[:3])
    with pytest.raises(TypeError, match="float32"):
        gradgradcheck(tg.sin, x4, u.astype(np.float32))


# ── at kinks: right, wrong, or a right subgradient ───────────────────────────────────────

KINKS = {
    "relu": (tg.relu, [np.array([0.0, 1.0, -1.0])], [(0.0, 0.0, 1.0)]),
    "max": (tg.max, [np.array([1.0, 1.0, 0.0])], [(1.0, 0.0, 1.0), (0.0, 0.0, 1.0)]),
    "min": (tg.min, [np.array([1.0, 1.0, 2.0])], [(1.0, 1.0, 0.0), (0.0, 1.0, 0.0)]),
    "clip": (
        lambda x: tg.clip(x, 0.0, 1.0),
        [np.array([0.0, 0.5, 1.0])],
        [(1.0, 0.0, 1.0), (1.0, 1.0, 0.0)],
    ),
    "sum of relu": (lambda x: tg.sum(tg.relu(x)), [np.zeros(40)], [(0.0, 0.0, 1.0)] * 40),
    "saddle": (
        lambda x, y: tg.sum(tg.relu(x)) - tg.sum(tg.relu(y)),
        [np.zeros(2), np.zeros(2)],
        [(0.0, 0.0, 1.0)] * 2 + [(0.0, 0.0, -1.0)] * 2,
    ),
    "on a large constant": (lambda x: 1e3 + tg.relu(x), [np.array([0.0])], [(0.0, 0.0, 1.0)]),
}


@pytest.mark.parametrize("kind", KINKS)
def test_a_right_subgradient_at_a_kink_is_right(kind):
    f, inputs, expected = KINKS[kind]
    verdict = gradcheck(f, inputs)
    assert verdict == True  # noqa: E712 (it is equal to True, and is not True)
    assert verdict is not True
    found = [(k.analytic, k.behind, k.ahead) for k in verdict.kinks]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert "a right subgradient" in str(verdict)
    k = verdict.kinks[0]
    assert f"the slope is {k.behind:.6g} behind and {k.ahead:.6g} ahead" in str(verdict)


def test_max_pool_at_ties_is_right():
    assert len(gradcheck(lambda x: tg.max_pool2d(x, 2), np.ones((1, 1, 4, 4))).kinks) == 16


@pytest.mark.parametrize("x", [np.array([1.0]), np.array([-1.0, 2.0]), np.array([13.0])])
def test_away_from_kinks_the_verdict_is_plain(x):
    for f in (tg.relu, tg.tanh, tg.sigmoid, tg.exp):
        assert gradcheck(f, x) is True


@pytest.mark.parametrize("slope", [-0.5, 1.5, 7.0])
def test_a_number_beyond_the_slopes_is_no_subgradient(slope):
    wrong = op(
        lambda x: np.maximum(x, 0),
        lambda g, y, x: g * np.where(x == 0, slope, x > 0),
        elementwise=True,
    )
    message = failure(wrong, np.array([0.0, 1.0]))
    assert "the slope is 0 behind and 1 ahead; the gradient has to lie between" in message
    assert "1 of 4 derivatives differ" in message


@pytest.mark.parametrize("slope", [0.0, 0.25, 1.0])
def test_a_number_between_the_slopes_is_one(slope):
    chosen = op(
        lambda x: np.maximum(x, 0),
        lambda g, y, x: g * np.where(x == 0, slope, x > 0),
        elementwise=True,
    )
    assert gradcheck(chosen, np.array([0.0, 1.0]))


def test_slopes_that_fit_one_by_one_may_not_fit_together():
    """The maximum of two equal numbers grows by 1 where both do, not by 2."""
    both = op(np.maximum, lambda g, y, a, b: g, lambda g, y, a, b: g, elementwise=True)
    assert "a kink" in failure(both, (np.array([1.0]), np.array([1.0])))
    first = op(
        np.maximum,
        lambda g, y, a, b: g * (a >= b),
        lambda g, y, a, b: g * (b > a),
        elementwise=True,
    )
    assert gradcheck(first, (np.array([1.0]), np.array([1.0])))


def test_a_wrong_derivative_beside_a_kink_is_wrong():
    wrong = op(lambda x: np.maximum(x, 0), lambda g, y, x: 2 * g * (x > 0), elementwise=True)
    message = failure(wrong, np.array([0.0, 1.0]))
    assert "worst at element (1,)" in message
    assert "1 of 4 derivatives differ" in message


def test_a_jump_is_no_kink():
    jump = op(lambda x: np.where(x >= 0, 1.0, 0.0) + x, lambda g, y, x: g)
    assert "a kink or a jump nearby" in failure(jump, np.array([0.0]))


def test_a_gradient_that_bends_has_subgradients_too():
    verdict = gradgradcheck(lambda x: tg.relu(x) * tg.relu(x), np.array([0.0]))
    assert verdict == True  # noqa: E712


# ── along time ───────────────────────────────────────────────────────────────────────────

cell = tg.nn.RNNCell(2, 3, dtype=np.float64, rng=0)
xs = rng.normal(size=(6, 1, 2))


def cut_at(cuts):
    def f(x):
        h = None
        for t, x_t in tg.steps(x):
            h = cell(x_t, h.detach() if t in cuts else h)
        return tg.sum(h)

    return f


def test_a_graph_that_is_cut_is_told_by_its_time_step():
    message = failure(cut_at({3}), xs)
    assert "right at time steps 3 to 5 and zero at time steps 0 to 2" in message
    assert "no gradient goes back from time step 3" in message
    assert "detach()" in message
    message = failure(cut_at({5}), xs)
    assert "right at time step 5 and zero at time steps 0 to 4" in message


def test_a_cut_is_told_for_a_weight_too():
    def f(w):
        h = tg.Tensor(np.full(3, 0.1))
        for t, x_t in tg.steps(np.full((6, 3), 0.3)):
            h = tg.tanh(w @ (h.detach() if t == 4 else h) + x_t)
        return tg.sum(h)

    assert "no gradient goes back from time step 4" in failure(f, x33)


def test_a_wrong_factor_within_each_step_is_told():
    wrong = op(np.tanh, lambda g, y, x: g, elementwise=True)

    def f(x):
        h = tg.Tensor(np.full(3, 0.1))
        for _, x_t in tg.steps(x):
            h = wrong(0.9 * h + x_t)
        return tg.sum(h)

    message = failure(f, np.full((6, 3), 0.3))
    assert "with every step back: a factor within each step is wrong" in message


def test_a_gradient_that_is_lost_between_steps():
    lossy = op(lambda h: h * 0.9, lambda g, y, h: 0.0 * g, elementwise=True)

    def f(x):
        h, total = tg.Tensor(np.full(3, 0.1)), 0.0
        for _, x_t in tg.steps(x):
            h = tg.tanh(lossy(h) + x_t)
            total = total + tg.sum(h)
        return total

    message = failure(f, np.full((4, 3), 0.3))
    assert "right at time step 3 and wrong at time steps 0 to 2" in message
    assert "from the step after is lost or wrong" in message


def test_without_time_steps_nothing_is_told_of_them():
    wrong = op(np.tanh, lambda g, y, x: 0.5 * g, elementwise=True)
    assert "in time" not in failure(wrong, x23)
