"""Elementwise operations: NumPy's values, and gradients where a rule has to choose."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


def gradients(f, *arrays):
    xs = [live(a) for a in arrays]
    y = f(*xs)
    y.backward(np.ones(y.shape))
    return [x.grad.tolist() for x in xs]


UNARY = {
    "negative": np.negative,
    "positive": np.positive,
    "abs": np.abs,
    "exp": np.exp,
    "log": lambda x: np.log(np.abs(x)),
    "log1p": lambda x: np.log1p(np.abs(x)),
    "sqrt": lambda x: np.sqrt(np.abs(x)),
    "square": np.square,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.logaddexp(x, 0),
    "sign": np.sign,
}
ON_POSITIVE = {"log", "log1p", "sqrt"}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 3)])
def test_values_of_one_argument(name, dtype, shape):
    x = np.random.default_rng(0).uniform(-3, 3, shape).astype(dtype)
    if name in ON_POSITIVE:
        x = np.abs(x)
    for given_, kind in ((x, np.ndarray), (tg.Tensor(x), tg.Tensor), (live(x), tg.Tensor)):
        y = getattr(tg, name)(given_)
        assert type(y) is kind
        assert y.dtype == dtype
        assert y.shape == shape
        array = y if kind is np.ndarray else y.data
        np.testing.assert_allclose(array, UNARY[name](x), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", BINARY)
@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([np.float32, np.float64, np.int64, bool]),
)
def test_values_of_two_arguments(name, shapes, first, second):
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, shapes.input_shapes[0]).astype(first)
    y = (rng.integers(0, 3, shapes.input_shapes[1]) + (name == "divide")).astype(second)
    expected = np.asarray(BINARY[name](x, y))
    for z in (getattr(tg, name)(live(x), y), getattr(tg, name)(x, y)):
        array = z.numpy() if isinstance(z, tg.Tensor) else z
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("name", sorted(UNARY.keys() - {"sign", "relu", "abs"}))
def test_analytic_functions_take_a_complex_step(name):
    x = np.array([0.3, 1.7, 2.5])
    op = getattr(tg, name).primitive
    derivative = op.forward(x + 1e-30j).imag / 1e-30
    (dx,) = gradients(getattr(tg, name), x)
    np.testing.assert_allclose(dx, derivative, rtol=1e-13)


@pytest.mark.parametrize("name", sorted(UNARY))
def test_integers_and_lists_as_numpy_takes_them(name):
    y = getattr(tg, name)([1, 2])
    np.testing.assert_allclose(y, UNARY[name](np.array([1, 2])))
    assert getattr(tg, name)(2).shape == ()


# ── where a rule has to choose ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("f", "x", "dx"),
    [
        (tg.abs, [-2.0, 0.0, -0.0, 3.0], [-1.0, 0.0, 0.0, 1.0]),
        (tg.relu, [-2.0, 0.0, 3.0], [0.0, 0.0, 1.0]),
        (lambda x: tg.clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
        (lambda x: tg.clip(x, 1, -1), [-2.0, 0.0, 2.0], [0.0, 0.0, 0.0]),
        (lambda x: tg.clip(x, 0.0), [-1.0, 0.0, 1.0], [0.0, 1.0, 1.0]),
        (lambda x: tg.clip(x, None, 0.0), [-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]),
        (lambda x: tg.clip(x), [-1.0, 1.0], [1.0, 1.0]),
        (lambda x: tg.maximum(x, 1.0), [0.0, 1.0, 2.0], [0.0, 0.5, 1.0]),
        (lambda x: tg.minimum(1.0, x), [0.0, 1.0, 2.0], [1.0, 0.5, 0.0]),
        (lambda x: tg.maximum(x, x), [1.0], [1.0]),
        (lambda x: x**0, [0.0, 2.0], [0.0, 0.0]),
        (lambda x: x**1, [0.0, 2.0], [1.0, 1.0]),
        (lambda x: x**2, [0.0, -3.0], [0.0, -6.0]),
        (lambda x: x ** np.array([0.0, 1.0, 2.0]), [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
        (lambda x: 0.0**x, [1.0, 2.0], [0.0, 0.0]),
        (lambda x: tg.where([True, False], x, 5.0), [1.0, 2.0], [1.0, 0.0]),
    ],
)
def test_derivatives_at_kinks_and_ties(f, x, dx):
    assert gradients(f, x) == [dx]
    recorded = tg.grad(f(t := live(x)), t, np.ones(len(x)), create_graph=True)
    assert recorded.numpy().tolist() == dx


def test_ties_of_two_inputs_are_halved():
    assert gradients(tg.maximum, [1.0, 2.0], [1.0, 1.0]) == [[0.5, 1.0], [0.5, 0.0]]
    assert gradients(tg.minimum, [1.0, 2.0], [1.0, 1.0]) == [[0.5, 0.0], [0.5, 1.0]]


def test_higher_derivatives_of_whole_powers_at_zero():
    for n in range(5):
        x = live(0.0)
        y = x**n
        for order in range(n + 2):
            assert y.item() == (math.factorial(n) if order == n else 0.0)
            y = tg.grad(y, x, create_graph=True)
            if y.node is None:
                assert y.item() in (0.0, math.factorial(n))
                break


def test_mixed_derivatives_of_a_power():
    for base, exponent in ((2.0, 0.0), (2.0, 1.5), (0.5, -2.0), (3.0, 1.0)):
        x, y = live(base), live(exponent)
        dx, dy = tg.grad(x**y, [x, y], create_graph=True)
        mixed = base ** (exponent - 1) * (1 + exponent * math.log(base))
        np.testing.assert_allclose(tg.grad(dx, y).item(), mixed)
        np.testing.assert_allclose(tg.grad(dy, x).item(), mixed)


def test_the_exponent_of_zero():
    x, y = live([0.0, 0.0, 2.0]), live([0.0, 2.0, 3.0])
    (x**y).sum().backward()
    np.testing.assert_allclose(y.grad, [0.0, 0.0, 8 * np.log(2)])
    np.testing.assert_allclose(x.grad, [0.0, 0.0, 12.0])


def test_clip_takes_bounds_that_broadcast():
    x = np.array([[0.0], [5.0]])
    low = np.array([1.0, -1.0])
    np.testing.assert_array_equal(tg.clip(x, low, 2.0), np.clip(x, low, 2.0))
    # each of the two outputs of an element has its own say
    assert gradients(lambda x: tg.clip(x, low, 2.0), x) == [[[1.0], [0.0]]]
    assert tg.clip(x) is not x


def test_where_broadcasts_and_conditions_may_be_numbers():
    x, y = live([[1.0], [2.0]]), live(5.0)
    z = tg.where(np.array([1, 0, 1]), x, y)
    assert z.numpy().tolist() == [[1.0, 5.0, 1.0], [2.0, 5.0, 2.0]]
    z.sum().backward()
    assert x.grad.tolist() == [[2.0], [2.0]]
    assert y.grad == 2.0
    # what is not chosen may be anything
    x = live([0.0, 4.0])
    with np.errstate(divide="ignore"):
        tg.where(x > 0, tg.log(tg.where(x > 0, x, 1.0)), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_comparisons_and_sign_carry_no_gradient():
    x = live([1.0, -2.0])
    for y in (tg.sign(x), tg.greater(x, 0.0), tg.equal(x, x), tg.less_equal(0.0, x)):
        assert not y.requires_grad
    assert gradients(lambda x: x * tg.sign(x), [1.0, -2.0]) == [[1.0, -1.0]]


# ── far out ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_nothing_overflows(dtype):
    far = np.array([-np.inf, -60000.0, -1000.0, 0.0, 1000.0, 60000.0, np.inf], dtype)
    np.testing.assert_allclose(tg.sigmoid(far), np.array([0, 0, 0, 0.5, 1, 1, 1], dtype), atol=2e-5)
    np.testing.assert_allclose(
        tg.softplus(far),
        np.array([0, 0, 0, np.log(dtype(2)), 1000, 60000, np.inf], dtype),
        rtol=2 * np.finfo(dtype).eps,
        atol=np.finfo(np.float64).tiny,
    )
    for f in (tg.sigmoid, tg.softplus, tg.tanh):
        assert f(far).dtype == dtype
        assert np.isnan(f(dtype(np.nan)))
        (dx,) = gradients(f, far[1:-1])
        assert np.isfinite(dx).all()


@given(st.floats(-700, 700))
def test_sigmoid_is_accurate_on_both_tails(x):
    exact = math.exp(x) / (1 + math.exp(x)) if x < 0 else 1 / (1 + math.exp(-x))
    assert math.isclose(tg.sigmoid(x), exact, rel_tol=5e-16)


@given(st.floats(-1e6, 1e6))
def test_softplus_is_accurate(x):
    exact = max(x, 0) + math.log1p(math.exp(-abs(x)))
    assert math.isclose(tg.softplus(x), exact, rel_tol=5e-16)


@np.errstate(all="ignore")
def test_the_derivative_of_i0_at_any_number():
    x = tg.Tensor([1.0, -700.0, 1e7, -1e300, np.inf, -np.inf, np.nan], requires_grad=True)
    gradient = tg.grad(tg.i0(x).sum(), x).numpy()
    # I_1(1), and the asymptotic series of I_1 (Abramowitz and Stegun, 9.7.1).
    np.testing.assert_allclose(gradient[0], 0.5651591039924850, rtol=1e-12)
    asymptotic = np.exp(700 - np.log(2 * np.pi * 700) / 2) * (1 - 3 / 5600 - 15 / 2 / 5600**2)
    np.testing.assert_allclose(gradient[1], -asymptotic, rtol=1e-8)
    assert gradient[2:6].tolist() == [np.inf, -np.inf, np.inf, -np.inf]
    assert np.isnan(gradient[6])


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "exp", "multiply"])
def test_arrays_in_foreign_byte_order(name):
    x = np.array([0.5, 1.0], ">f8")
    op = getattr(tg, name)
    y = op(x) if name != "multiply" else op(x, x)
    np.testing.assert_array_equal(
        y, op(x.astype(float)) if name != "multiply" else x.astype(float) ** 2
    )


@pytest.mark.parametrize("name", ["add", "where", "maximum", "power"])
def test_shapes_that_do_not_broadcast(name):
    condition = (True,) if name == "where" else ()
    with pytest.raises(ValueError, match=rf"{name}: .*\(2,\).*\(3,\)"):
        getattr(tg, name)(*condition, live(np.ones(2)), np.ones(3))
