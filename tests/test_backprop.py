"""The reverse sweep and what is made of it: grad, jvp, jacobian, hessian, hvp, checkpoint."""

import collections
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import backprop, graph
from tinygrad_rnn.graph import ancestors


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


def equal(x, expected, rtol=1e-12):
    array = x.numpy() if isinstance(x, tg.Tensor) else x
    np.testing.assert_allclose(array, expected, rtol=rtol, atol=1e-14)


# ── backward ─────────────────────────────────────────────────────────────────────────────


def test_backward_adds_into_the_leaves():
    x, w = live([1.0, 2.0]), live([3.0, 4.0])
    y = (x * w).sum()
    y.backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert w.grad.tolist() == [1.0, 2.0]
    y.backward()
    assert x.grad.tolist() == [6.0, 8.0]
    (x * 10).sum().backward()
    assert x.grad.tolist() == [16.0, 18.0]
    assert w.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_the_gradient_is_an_array_however_small(shape):
    x = live(np.full(shape, 2.0))
    for times in (1, 2, 3):
        (x * x + x).backward()
        assert type(x.grad) is np.ndarray
        assert x.grad.shape == shape
        assert x.grad.dtype == x.dtype
        assert x.grad.item() == 5.0 * times


def test_the_gradient_is_the_leafs_own():
    x, w = live([1.0, 2.0]), live([1.0, 2.0])
    seed = np.array([1.0, 1.0])
    (x + w).backward(seed)
    assert not np.shares_memory(x.grad, w.grad)
    x.grad += 5
    assert w.grad.tolist() == [1.0, 1.0]
    assert seed.tolist() == [1.0, 1.0]
    # and a view of nobody's array: broadcasting and slicing give views
    for f in (lambda x: tg.broadcast_to(x, (3, 2)), lambda x: x[::-1], lambda x: x.reshape(1, 2)):
        x.grad = None
        y = f(x)
        g = np.ones(y.shape)
        y.backward(g)
        assert x.grad.flags.writeable
        assert not np.shares_memory(x.grad, g)


def test_a_scalar_or_a_gradient_is_needed():
    x = live([1.0, 2.0])
    with pytest.raises(ValueError, match=r"backward: expected a scalar, got shape \(2,\); sum it"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"output's shape \(2,\), got \(3,\)"):
        (x * 2).backward([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"output's shape \(2,\), got \(\)"):
        (x * 2).backward(1.0)
    with pytest.raises(TypeError, match="backward: expected real numbers"):
        (x * 2).backward(["a", "b"])
    for seed in ([1.0, 10.0], (1, 10), np.array([1.0, 10.0]), tg.Tensor([1.0, 10.0])):
        x.grad = None
        (x * 2).backward(seed)
        assert x.grad.tolist() == [2.0, 20.0]


@pytest.mark.parametrize(
    "y",
    [
        tg.Tensor(1.0),
        tg.Tensor(1.0) * 2,
        live(1.0) > 0,
        live(1.0).detach(),
        live(1.5).astype(int),
    ],
)
def test_without_a_graph_there_is_nothing_to_differentiate(y):
    with pytest.raises(ValueError, match="backward: nothing to differentiate"):
        y.backward()


def test_under_no_grad_there_is_nothing_to_differentiate():
    with tg.no_grad():
        y = live(1.0) * 2
    with pytest.raises(ValueError, match="or it was computed under no_grad"):
        y.backward()


def test_backward_works_under_no_grad():
    x = live(3.0)
    y = x * x
    with tg.no_grad():
        y.backward()
    assert x.grad == 6.0


def test_a_leafs_own_backward():
    x = live(3.0)
    x.backward()
    assert x.grad == 1.0


def test_retain_grads_fills_the_intermediates():
    x = live([1.0, 2.0])
    y = x * x
    z = tg.sum(y)
    unused = y + 1
    z.backward(retain_grads=True)
    assert z.grad == 1.0
    assert y.grad.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [2.0, 4.0]
    assert unused.grad is None
    z.backward(retain_grads=True)
    assert y.grad.tolist() == [2.0, 2.0]
    (y * 1.0).sum().backward()
    assert y.grad.tolist() == [2.0, 2.0]  # without retain_grads only leaves


def test_retain_grads_across_several_outputs():
    x = live([1.0, 2.0])
    a, b = tg.checkpoint(lambda x: (x * 2, x * 3), x)
    (a * b).sum().backward(retain_grads=True)
    assert a.grad.tolist() == [3.0, 6.0]
    assert b.grad.tolist() == [2.0, 4.0]
    assert x.grad.tolist() == [12.0, 24.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_a_gradient_has_its_inputs_dtype(dtype):
    x = live([0.5, 1.5], dtype=dtype)
    W = live(np.ones((2, 2)), dtype=np.float64)
    h = tg.sigmoid(x) + tg.tanh(x) * 2 - x**2 / 3 + tg.maximum(x, 1.0) + tg.softplus(x)
    h = tg.softmax(h) + tg.layer_norm(h, 2) + tg.clip(h, 0, 1) + tg.dropout(h, 0.1, rng=0)
    assert h.dtype == dtype
    y = (h @ W).sum() + h.mean() + tg.logsumexp(h)
    y.backward()
    assert x.grad.dtype == dtype
    assert W.grad.dtype == np.float64
    assert np.isfinite(x.grad).all()


def test_a_cotangent_is_cast_where_dtypes_meet():
    x, y = live(np.float32(1.5)), live(2.0)
    z = x * y
    assert z.dtype == np.float64
    z.backward()
    assert x.grad.dtype == np.float32
    assert y.grad.dtype == np.float64


def test_shared_cotangents_are_not_written_into():
    # add hands both parents the same array; later sums must not change it
    x, w = live([1.0, 2.0]), live([1.0, 2.0])
    s = x + w
    y = (s + x + x + w).sum()
    y.backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert w.grad.tolist() == [2.0, 2.0]


def test_the_saved_arrays_are_not_written_into():
    # the cotangent of x is the array of w itself times 1: accumulating must not touch w
    x, w = live([1.0, 2.0]), live([5.0, 7.0])
    op = tg.primitive(lambda x, w: x * w, lambda g, y, x, w: w, lambda g, y, x, w: x)
    (op(x, w) + op(x, w) + op(x, w)).sum().backward()
    assert x.grad.tolist() == [15.0, 21.0]
    assert w.numpy().tolist() == [5.0, 7.0]


@pytest.mark.parametrize("apart", [False, True])
def test_a_weight_that_is_used_often_gets_the_sum(apart):
    """Weight gradients of many products are computed as one, whatever the shapes."""
    rng = np.random.default_rng(0)
    W, b, c = live(rng.standard_normal((3, 3))), live(np.zeros(3)), live(np.zeros(3))
    inputs = [live(rng.standard_normal(shape)) for shape in ((3,), (2, 3), (4, 2, 3), (0, 3))]

    def loss(W, b, c, *inputs):
        total = tg.sum(W @ W)
        for x in inputs:
            for y in (x @ W, tg.linear(x, W), tg.linear(x, W, b), tg.linear(x, W, c)):
                total = total + tg.sum(tg.square(y))
        return total + tg.sum(tg.linear(inputs[1] @ W, W, W[0])) + tg.sum(W @ inputs[0])

    variables = [W, b, c, *inputs]
    if apart:  # detect_anomaly computes each product by itself
        with tg.detect_anomaly():
            together = tg.grad(loss(*variables), variables)
    else:
        together = tg.grad(loss(*variables), variables)
    recorded = tg.grad(loss(*variables), variables, create_graph=True)
    for g, expected in zip(together, recorded, strict=True):
        equal(g, expected.numpy())
    for i in range(len(variables)):  # any one of them alone
        equal(tg.grad(loss(*variables), variables[i]), together[i].numpy())


def test_a_weight_that_is_computed_gets_the_sum_too():
    v = live(np.ones((2, 2)))
    W = v * 2
    x = np.ones((3, 2))
    y = (tg.Tensor(x) @ W).sum() + (tg.Tensor(x) @ W.T).sum() + W.sum()
    y.backward()
    equal(v.grad, np.full((2, 2), 2 * (3 + 3 + 1)))


# ── grad ─────────────────────────────────────────────────────────────────────────────────


def test_grad_gives_a_tuple_for_a_sequence_and_a_tensor_for_a_tensor():
    x, w = live(2.0), live(3.0)
    y = x * x * w
    assert isinstance(tg.grad(y, x), tg.Tensor)
    for sequence in ([x, w], (x, w), iter([x, w])):
        answer = tg.grad(y, sequence)
        assert type(answer) is tuple
        assert [g.item() for g in answer] == [12.0, 4.0]
    assert tg.grad(y, []) == ()
    assert [g.item() for g in tg.grad(y, [x, x])] == [12.0, 12.0]
    assert x.grad is None


def test_grad_is_zeros_where_unused():
    x, unused = live([1.0, 2.0]), live(np.ones((2, 3), np.float32))
    dx, zeros = tg.grad(x.sum(), [x, unused])
    assert dx.numpy().tolist() == [1.0, 1.0]
    assert zeros.numpy().tolist() == np.zeros((2, 3)).tolist()
    assert zeros.dtype == np.float32
    assert tg.grad(tg.Tensor(1.0), x).numpy().tolist() == [0.0, 0.0]
    assert tg.grad(x.sum(), unused, create_graph=True).numpy().sum() == 0


def test_grad_for_intermediates_and_for_the_output_itself():
    x = live(2.0)
    y = x * x
    z = y * y
    dz, dy, dx = tg.grad(z, [z, y, x])
    assert [g.item() for g in (dz, dy, dx)] == [1.0, 8.0, 32.0]
    assert not dx.requires_grad


def test_grad_works_only_towards_what_is_asked_for():
    called = []
    noisy = tg.primitive(lambda x: x, lambda g, y, x: called.append(1) or g, name="noisy")
    x, w = live(2.0), live(3.0)
    assert tg.grad(noisy(w) * x, x).item() == 3.0
    assert called == []


def test_grad_output_and_its_errors():
    x = live([1.0, 2.0])
    y = x * x
    assert tg.grad(y, x, [1.0, 10.0]).numpy().tolist() == [2.0, 40.0]
    assert tg.grad(y, x, grad_output=np.array([1, 10])).numpy().tolist() == [2.0, 40.0]
    with pytest.raises(ValueError, match=r"grad: expected a scalar, got shape \(2,\)"):
        tg.grad(y, x)
    with pytest.raises(ValueError, match=r"grad: expected a gradient of the output's shape"):
        tg.grad(y, x, [1.0])
    with pytest.raises(TypeError, match="grad: expected an output Tensor, got float"):
        tg.grad(3.0, x)
    with pytest.raises(TypeError, match="expected Tensors as inputs, input 1 is ndarray"):
        tg.grad(y.sum(), [x, np.ones(2)])
    with pytest.raises(ValueError, match=r"grad: input 0 \(float64 \(2,\)\) does not require grad"):
        tg.grad(y.sum(), x.detach())


def test_grad_leaves_the_given_gradient_alone():
    x = live([1.0, 2.0])
    seed = np.array([1.0, 1.0])
    (x + x).backward(seed)
    g = tg.grad(x * 1.0, x, seed)
    seed[:] = 100
    assert g.numpy().tolist() == [1.0, 1.0]
    # recorded: the seed is a constant that may be written into
    g = tg.grad(x * x, x, seed, create_graph=True)
    seed[:] = 0
    assert tg.grad(g.sum(), x).numpy().tolist() == [200.0, 200.0]


def test_create_graph_differentiates_to_any_order():
    x = live(0.7)
    y = tg.sin(x)
    for expected in (np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin) * 2:
        y = tg.grad(y, x, create_graph=True)
        equal(y, expected(0.7))


def test_create_graph_reaches_the_given_gradient():
    x, u = live([1.0, 2.0]), live([3.0, 4.0])
    (dx,) = tg.grad(x * x, [x], u, create_graph=True)
    assert tg.grad(dx.sum(), u).numpy().tolist() == [2.0, 4.0]
    # without it the seed's own graph is left out
    (dx,) = tg.grad(x * x, [x], u)
    assert not dx.requires_grad
    # another dtype is cast, with its gradient
    u = live(np.array([3.0, 4.0], np.float32))
    (dx,) = tg.grad(x * x, [x], u, create_graph=True)
    assert tg.grad(dx.sum(), u).dtype == np.float32


def test_create_graph_of_a_linear_function_is_a_constant():
    x = live([1.0, 2.0])
    dx = tg.grad((x * 3).sum(), x, create_graph=True)
    assert dx.numpy().tolist() == [3.0, 3.0]
    assert tg.grad(dx.sum() + x.sum() * 0, x).numpy().tolist() == [0.0, 0.0]


def test_a_gradient_penalty_trains():
    W, x = live([[1.0, 2.0], [3.0, 4.0]]), live([0.5, -0.5])
    y = tg.sum(tg.tanh(x @ W))
    dx = tg.grad(y, x, create_graph=True)
    (y + tg.sum(dx * dx)).backward()

    def f(W):
        h = np.tanh(np.array([0.5, -0.5]) @ W)
        return h.sum() + ((W @ (1 - h * h)) ** 2).sum()

    numeric = np.zeros((2, 2))
    for i in np.ndindex(2, 2):
        step = np.zeros((2, 2), complex)
        step[i] = 1e-20j
        numeric[i] = f(np.array([[1.0, 2.0], [3.0, 4.0]]) + step).imag / 1e-20
    equal(W.grad, numeric, rtol=1e-10)


def test_indexing_in_a_recorded_sweep():
    x = live([1.0, 2.0, 3.0])
    y = x[[0, 0, 2]] * x[1] + x[1:][0]
    dx = tg.grad((y * y).sum(), x, create_graph=True)
    H = np.array([tg.grad(dx[i], x).numpy() for i in range(3)])
    equal(H, H.T)

    def f(x):
        return ((x[[0, 0, 2]] * x[1] + x[1]) ** 2).sum()

    np.testing.assert_allclose(
        dx.numpy(),
        [f(np.array([1.0, 2.0, 3.0]) + 1e-20j * np.eye(3)[i]).imag / 1e-20 for i in range(3)],
    )


# ── value_and_grad, jvp, jacobian, hessian, hvp ──────────────────────────────────────────

A = np.array([[1.0, 2.0], [3.0, 4.0]])
X = np.array([0.3, -0.8])


def test_value_and_grad_differentiates_for_the_first_argument():
    def f(x, scale, *, shift=0.0):
        """Documented."""
        return tg.sum(tg.square(x) * scale) + shift

    g = tg.value_and_grad(f)
    value, gradient = g([1.0, 2.0], 3.0, shift=1.0)
    assert (value.item(), gradient.numpy().tolist()) == (16.0, [6.0, 12.0])
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert g.__name__ == "f"
    assert g.__doc__ == "Documented."


class Pair(NamedTuple):
    a: Any
    b: Any


def test_the_first_argument_may_be_arrays_in_dicts_lists_and_tuples():
    def f(p, scale):
        first, (second, third) = p["x"]
        return tg.sum(first * second) * scale + tg.sum(third.a * third.b)

    p = {"x": [A, (tg.Tensor([1.0, 10.0]), Pair(2.0, [3.0]))]}
    value, gradient = tg.value_and_grad(f)(p, 2.0)
    assert value.item() == 2 * 64 + 6
    first, (second, third) = gradient["x"]
    equal(first, [[2.0, 20.0], [2.0, 20.0]])
    equal(second, [8.0, 12.0])
    assert isinstance(third, Pair)
    equal(third.a, 3.0)
    equal(third.b, [2.0])
    assert not first.requires_grad
    again = tg.grad(f)(gradient, 1.0)  # a structure of Tensors is one, too
    equal(again["x"][1][1].a, 2.0)
    value, gradient = tg.value_and_grad(lambda p: tg.Tensor(2.0))({})
    assert (value.item(), gradient) == (2.0, {})


def test_a_structure_of_live_tensors_gives_gradients_that_can_be_differentiated():
    w = live(3.0)
    cube = tg.grad(lambda p: p["w"] ** 3 * w)  # which leads to w by another way, too
    gradient = cube({"w": w})["w"]
    equal(gradient, 81.0)
    equal(tg.grad(gradient, w), 6 * 9 + 27.0)
    inner = tg.grad(lambda p: tg.grad(lambda q: q["w"] ** 3)(p)["w"])
    equal(inner({"w": 3.0})["w"], 18.0)


def test_what_has_no_derivative_in_a_structure_is_named_by_its_place():
    with pytest.raises(TypeError, match=r"argument 0\['W'\]\[1\]: only floats .* got int64"):
        tg.value_and_grad(lambda p: p["W"][0])({"W": (A, np.array(3))})
    with pytest.raises(TypeError, match="value_and_grad: only floats"):
        tg.value_and_grad(tg.sum)([1, 2])


def test_grad_of_a_function_is_its_gradient_for_the_first_argument():
    def f(x, scale, *, power=1):
        """Documented."""
        return tg.sum(x**power * scale)

    g = tg.grad(f)
    equal(g([1.0, 2.0], 3.0, power=2), [6.0, 12.0])
    assert g.__doc__ == "Documented."
    equal(tg.grad(lambda x: tg.sum(tg.grad(f)(x, 1.0, power=3)))(np.array([2.0])), [12.0])
    for no_function in (live(1.0) * 2, 3.0):
        with pytest.raises(TypeError, match="grad: expected the tensors to differentiate for"):
            tg.grad(no_function)


@pytest.mark.parametrize("at", ["array", "constant", "live"])
def test_an_outer_derivative_through_a_function_that_closes_over_live_tensors(at):
    """d/dW of the derivative of x^3 W^4 for x, at x = 2, W = 2: 12 W^3 4 = 384; and so on."""
    W = live(2.0)
    x = {"array": np.array(2.0), "constant": tg.Tensor(2.0), "live": live(2.0)}[at]

    def f(x):
        return x**3 * W**4

    value, gradient = tg.value_and_grad(f)(x)
    equal(value, 128.0)
    equal(gradient, 192.0)
    equal(tg.grad(value, W), 256.0)
    equal(tg.grad(gradient, W, create_graph=True), 384.0)
    equal(tg.grad(tg.jvp(f, x, 1.0), W), 384.0)
    equal(tg.grad(tg.jacobian(f, x), W), 384.0)
    equal(tg.grad(tg.hessian(f, x), W), 384.0)
    equal(tg.grad(tg.hvp(f, x, 1.0), W), 384.0)
    inner = tg.grad(gradient, W, create_graph=True)
    equal(tg.grad(inner, W), 576.0)
    if at == "live":
        equal(tg.grad(gradient, x), 192.0)

    # Gradients of gradients of a function of its own variable.
    def outer(w):
        return tg.value_and_grad(lambda x: x**3 * w**4)(x)[1]

    equal(tg.value_and_grad(outer)(W)[1], 384.0)
    equal(tg.jvp(outer, W, 1.0), 384.0)


def test_an_outer_derivative_may_be_taken_of_a_gradient_within_a_scan():
    W = live(0.5)

    def cell(x, _):
        _, g = tg.value_and_grad(lambda x: x**2 * W)(x)
        return x - 0.1 * g, g

    for unroll in (False, True):
        x, gs = tg.scan(cell, tg.Tensor(1.0), np.zeros(2), unroll=unroll)
        # x_t = (1 - 0.2 W) x_{t-1}
        equal(x, 0.81)
        equal(tg.grad(x, W), -2 * 0.9 * 0.2)
        equal(tg.grad(gs.sum(), W), 2 * (1 + 0.9 - 0.5 * 0.2))


def test_value_and_grad_keeps_what_leads_elsewhere():
    w, x = live(2.0), live(3.0)
    value, gradient = tg.value_and_grad(lambda x: x * x * w)(x)
    assert (value.item(), gradient.item()) == (18.0, 12.0)
    assert tg.grad(gradient, w).item() == 6.0
    assert tg.grad(gradient, x).item() == 4.0
    value, gradient = tg.value_and_grad(lambda x: x * x * w)(3.0)
    assert tg.grad(value, w).item() == 9.0
    assert x.grad is None


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: tg.value_and_grad(tg.tanh)([1.0, 2.0]), ValueError, "expected a scalar"),
        (lambda: tg.value_and_grad(tg.sum)([1, 2]), TypeError, "only floats have a derivative"),
        (lambda: tg.value_and_grad(tg.sum)(), TypeError, "expected an argument"),
        (lambda: tg.value_and_grad(tg.sum)(["a"]), TypeError, "expected real numbers"),
        (lambda: tg.jvp(tg.tanh, [1, 2], [1, 2]), TypeError, "jvp: only floats"),
        (lambda: tg.jvp(tg.tanh, X, [1.0]), ValueError, r"jvp: expected a direction of shape \(2,"),
        (lambda: tg.hvp(tg.sum, X, [1.0]), ValueError, r"hvp: expected a direction of shape \(2,"),
        (lambda: tg.hvp(tg.tanh, X, X), ValueError, "expected a scalar"),
        (lambda: tg.hessian(tg.tanh, X), ValueError, "expected a scalar"),
        (lambda: tg.jacobian(tg.tanh, [1]), TypeError, "jacobian: only floats"),
    ],
)
def test_derivatives_of_functions_say_what_they_expect(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def nonlinear(x):
    return tg.tanh(tg.Tensor(A) @ x) * x[0]


def by_complex_step(f, x):
    return np.stack([f(x + 1e-20j * e).imag / 1e-20 for e in np.eye(len(x))], -1)


def nonlinear_array(x):
    return np.tanh(A @ x) * x[0]


def test_jacobian_and_jvp_agree_with_the_complex_step():
    J = by_complex_step(nonlinear_array, X)
    equal(tg.jacobian(nonlinear, X), J)
    v = np.array([0.4, 2.0])
    equal(tg.jvp(nonlinear, X, v), J @ v)
    equal(tg.jvp(nonlinear, tg.Tensor(X), tg.Tensor(v)), J @ v)
    equal(tg.jvp(nonlinear, list(X), [1, 0]), J[:, 0])


def test_shapes_of_jacobians():
    x = np.ones((2, 3))
    assert tg.jacobian(lambda x: tg.sum(x, 0), x).shape == (3, 2, 3)
    assert tg.jacobian(tg.sum, x).shape == (2, 3)
    assert tg.jacobian(lambda x: x[0, :0], x).shape == (0, 2, 3)
    assert tg.hessian(tg.sum, x).shape == (2, 3, 2, 3)
    assert tg.jacobian(lambda x: tg.Tensor([1.0, 2.0]), x).numpy().tolist() == (
        np.zeros((2, 2, 3)).tolist()
    )
    assert tg.jacobian(lambda x: 5.0, np.array(2.0)).numpy() == 0.0
    assert tg.jvp(lambda x: 5.0, 2.0, 1.0).numpy() == 0.0


def test_hessian_hvp_and_higher():
    def f(x):
        return tg.sum(tg.exp(x[0] * x[1]) + x**3)

    def gradient(x):
        e = np.exp(x[0] * x[1])
        return np.array([2 * x[1] * e + 3 * x[0] ** 2, 2 * x[0] * e + 3 * x[1] ** 2])

    H = by_complex_step(gradient, X)
    equal(tg.hessian(f, X), H)
    v = np.array([1.5, -1.0])
    equal(tg.hvp(f, X, v), H @ v)
    equal(tg.jacobian(lambda x: tg.jacobian(f, x), X), H)
    equal(tg.jvp(lambda x: tg.jacobian(f, x), X, v), H @ v)
    equal(tg.jacobian(lambda x: tg.jvp(f, x, v), X), H @ v)
    third = tg.jacobian(lambda x: tg.hessian(f, x), X).numpy()
    equal(tg.jvp(lambda x: tg.hessian(f, x), X, v), third @ v)
    equal(tg.jacobian(lambda x: tg.hvp(f, x, v), X), third @ v)
    equal(tg.hessian(lambda x: tg.sum(tg.jvp(f, x, v)), X).numpy().ndim, 2)
    # the third derivatives are symmetric in every pair
    for axes in ((1, 0, 2), (0, 2, 1), (2, 1, 0)):
        equal(third.transpose(axes), third)


def test_grad_of_an_hvp_and_for_its_direction():
    x, v = live(X), live([1.0, 2.0])
    y = tg.hvp(lambda x: tg.sum(x**3), x, v)
    equal(y, 6 * X * [1.0, 2.0])
    dx, dv = tg.grad(y.sum(), [x, v])
    equal(dx, [6.0, 12.0])
    equal(dv, 6 * X)


def test_derivatives_of_live_tensors_stay_in_the_graph():
    x, w = live(X), live(2.0)
    J = tg.jacobian(lambda x: x * x * w, x)
    assert tg.grad(J.sum(), w).item() == pytest.approx(2 * X.sum())
    equal(tg.grad(J.sum(), x), [4.0, 4.0])
    p = tg.jvp(lambda x: x * x * w, x, [1.0, 1.0])
    equal(tg.grad(p.sum(), [x, w])[0], [4.0, 4.0])
    assert x.grad is None
    assert w.grad is None


def test_derivatives_of_constants_have_no_graph():
    w = live(2.0)
    for y in (
        tg.jacobian(lambda x: x * x, X),
        tg.jvp(lambda x: x * x, X, X),
        tg.hessian(lambda x: tg.sum(x**3), X),
        tg.hvp(lambda x: tg.sum(x**3), X, X),
    ):
        assert y.node is None
    # a closure over a live parameter has one
    assert tg.jacobian(lambda x: x * w, X).requires_grad


def test_under_no_grad_derivatives_are_computed_and_not_recorded():
    w = live(2.0)
    with tg.no_grad():
        value, gradient = tg.value_and_grad(lambda x: x * x * w)(3.0)
        J = tg.jacobian(lambda x: x * w, X)
        p = tg.jvp(lambda x: x * x * w, live(X), X)
        h = tg.hvp(lambda x: tg.sum(x**3) * w, X, X)
    equal(gradient, 12.0)
    equal(J, 2 * np.eye(2))
    equal(p, 4 * X * X)
    equal(h, 12 * X * X)
    for y in (value, gradient, J, p, h):
        assert not y.requires_grad


def test_jvp_of_a_checkpoint_and_of_a_jacobian_inside():
    v = np.array([0.4, 2.0])
    J = by_complex_step(nonlinear_array, X)
    equal(tg.jvp(lambda x: tg.checkpoint(nonlinear, x), X, v), J @ v)
    equal(tg.jacobian(lambda x: tg.checkpoint(nonlinear, x), X), J)

    def f(x):
        return tg.sum(tg.jacobian(nonlinear, x))

    equal(
        tg.hessian(lambda x: tg.sum(tg.checkpoint(nonlinear, x)), X),
        tg.jacobian(lambda x: tg.grad(tg.sum(nonlinear(x)), x, create_graph=True), X).numpy(),
    )
    equal(tg.jvp(f, X, v), tg.jacobian(f, X).numpy() @ v)
    equal(tg.jvp(lambda x: tg.checkpoint(f, x), X, v), tg.jacobian(f, X).numpy() @ v)


# ── checkpoint ───────────────────────────────────────────────────────────────────────────


def test_checkpoint_gives_the_same_values_and_gradients():
    x, w = live(X), live(2.0)

    def f(x):
        return tg.tanh(x * w) * x + w

    def losses(call):
        y = call(x)
        return y, *tg.grad((y * y).sum(), [x, w])

    for plain, again in zip(losses(f), losses(lambda x: tg.checkpoint(f, x)), strict=True):
        assert plain.numpy().tobytes() == again.numpy().tobytes()


def test_checkpoint_stores_one_node():
    x = live(X)
    y = tg.checkpoint(lambda x: tg.exp(tg.sin(tg.cos(x))), x)
    assert [n.primitive.name for n in ancestors([y.node]) if n.primitive] == ["checkpoint"]


def test_checkpoint_twice_backward_and_create_graph():
    x = live(0.5)
    y = tg.checkpoint(lambda x: x**3, x)
    y.backward()
    y.backward()
    assert x.grad == 1.5
    dx = tg.grad(y, x, create_graph=True)
    ddx = tg.grad(dx, x, create_graph=True)
    assert (dx.item(), ddx.item(), tg.grad(ddx, x).item()) == (0.75, 3.0, 6.0)


@pytest.mark.parametrize("kind", [tuple, list, collections.namedtuple("State", "h c")._make])
def test_checkpoint_with_several_outputs(kind):
    x, w = live(2.0), live(3.0)
    outputs = tg.checkpoint(lambda x: kind([x * w, x * x]), x)
    assert type(outputs) is type(kind([x, w]))
    h, c = outputs
    assert [g.item() for g in tg.grad(h, [x, w])] == [3.0, 2.0]
    assert [g.item() for g in tg.grad(c, [x, w])] == [4.0, 0.0]
    assert [g.item() for g in tg.grad(h * c, [x, w])] == [36.0, 8.0]
    assert tg.grad(tg.grad(h * c, x, create_graph=True), x).item() == 36.0


def test_outputs_that_are_inputs_constants_or_twice_the_same():
    x = live(2.0)
    same, constant, y, y_again = tg.checkpoint(lambda x: (x, tg.Tensor(5.0), *([x * x] * 2)), x)
    assert not constant.requires_grad
    assert tg.grad(same + y + y_again + constant, x).item() == 1 + 4 + 4
    assert tg.grad(tg.checkpoint(lambda x: x, x) * x, x).item() == 4.0
    # nothing to differentiate: no node at all
    assert tg.checkpoint(lambda x: x * 2, tg.Tensor(1.0)).node is None


def test_a_parent_of_only_an_unused_output_is_harmless():
    x, w = live(2.0), live(1.0)
    used = [tg.checkpoint(lambda x: (x * w * w, x * x), x)[1] for _ in range(2)]
    y = used[0] + used[1] + w * w
    dx, dw = tg.grad(y, [x, w], create_graph=True)
    assert (dx.item(), dw.item()) == (8.0, 2.0)
    assert tg.grad(dw, w).item() == 2.0


def test_checkpoints_nest():
    x = live(0.5)

    def inner(x):
        return tg.checkpoint(tg.sin, x) * x

    y = tg.checkpoint(lambda x: tg.checkpoint(inner, x) + tg.checkpoint(inner, x * 2), x)
    equal(tg.grad(y, x), np.sin(0.5) + 0.5 * np.cos(0.5) + 2 * np.sin(1) + 2 * np.cos(1))
    equal(
        tg.hessian(lambda x: tg.checkpoint(inner, x), 0.5),
        2 * np.cos(0.5) - 0.5 * np.sin(0.5),
    )


def test_checkpoint_in_a_loop_keeps_one_piece_at_a_time():
    W, x = live(np.eye(2) * 0.5), live(X)
    counts = []

    def step(h):
        counts.append(1)
        return tg.tanh(h @ W)

    h = x
    for _ in range(5):
        h = tg.checkpoint(step, h)
    loss = h.sum()
    assert len(counts) == 5
    loss.backward()
    assert len(counts) == 10
    h = x
    for _ in range(5):
        h = tg.tanh(h @ W)
    expected = tg.grad(h.sum(), [W, x])
    equal(W.grad, expected[0].numpy())
    equal(x.grad, expected[1].numpy())


def test_checkpoint_takes_arrays_and_other_constants():
    x, c, state = live(X), np.array([1.0, 2.0]), {"k": 3.0}
    y = tg.checkpoint(lambda x, c, state, n: x * c * state["k"] * n, x, c, state, 2)
    c[:] = 100
    y.sum().backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_arguments_may_be_rebound_closures_may_not():
    x, w = live(2.0), live(3.0)
    y = tg.checkpoint(lambda x: x * x, x)
    x.data = np.array(100.0)
    y.backward()
    assert x.grad == 4.0
    y = tg.checkpoint(lambda x: x * w, x)
    w.data = np.array(5.0)
    with pytest.raises(ValueError, match="checkpoint: the function computed something else"):
        y.backward()


def test_unseeded_random_numbers_are_noticed_and_seeded_ones_are_fine():
    x = live(np.ones(100))
    y = tg.checkpoint(lambda x: tg.dropout(x, 0.5), x)
    with pytest.raises(ValueError, match="seed its random numbers inside"):
        y.sum().backward()
    rng = np.random.default_rng(0)
    y = tg.checkpoint(lambda x: tg.dropout(x, 0.5, rng=rng), x)
    with pytest.raises(ValueError, match="checkpoint"):
        y.sum().backward()
    y = tg.checkpoint(lambda x: tg.dropout(x, 0.5, rng=7), x)
    y.sum().backward()
    assert x.grad.tolist() == y.numpy().tolist()


@pytest.mark.parametrize(
    "second", [lambda x: (x * 2, x), lambda x: x[:1] * 2, lambda x: x.astype(np.float32) * 2]
)
def test_another_recomputation_is_noticed(second):
    calls = []

    def f(x):
        calls.append(1)
        return (x * 2, x * 3) if len(calls) == 1 else second(x)

    x = live([1.0, 2.0])
    y, z = tg.checkpoint(f, x)
    with pytest.raises(ValueError, match="checkpoint: the function computed something else"):
        (y + z).sum().backward()


def test_a_bit_is_enough_and_nan_is_equal_to_itself():
    values = iter([1.0, 1.0 + 2**-52])
    x = live(1.0)
    y = tg.checkpoint(lambda x: x * next(values), x)
    with pytest.raises(ValueError, match="checkpoint"):
        y.backward()
    y = tg.checkpoint(lambda x: x * np.nan, x)
    y.backward()
    assert np.isnan(x.grad)


def test_another_parameter_with_the_same_value_is_noticed():
    parameters = iter([live(2.0), live(2.0)])
    x = live(1.0)
    y = tg.checkpoint(lambda x: x * next(parameters), x)
    with pytest.raises(ValueError, match="checkpoint"):
        y.backward()


@pytest.mark.parametrize("result", [3.0, None, (1.0,), {"a": 1}, np.ones(2)])
def test_checkpoint_wants_tensors(result):
    with pytest.raises(TypeError, match="checkpoint: expected a function that returns a Tensor"):
        tg.checkpoint(lambda x: result, live())


def test_checkpoint_under_no_grad_is_the_function():
    with tg.no_grad():
        y = tg.checkpoint(lambda x: x * 2, live(1.0))
    assert not y.requires_grad
    x = live(3.0)
    y = tg.checkpoint(lambda x: x * x, x)
    with tg.no_grad():
        y.backward()
    assert x.grad == 6.0


# ── threads ──────────────────────────────────────────────────────────────────────────────


def test_threads_that_share_parameters_get_the_right_gradients():
    W = live(np.random.default_rng(0).standard_normal((4, 4)) / 2)

    def f(W, x):
        h = tg.Tensor(x)
        for _, k in tg.steps(range(5)):
            inner = tg.grad(tg.sum(tg.sin(h @ W)), W, create_graph=True)  # a sweep in the forward
            h = tg.tanh(h @ W) + tg.sum(inner) * (0.01 * k)
        return tg.sum(tg.checkpoint(lambda h: tg.square(h @ W), h))

    inputs = [np.random.default_rng(i).standard_normal((3, 4)) for i in range(6)]
    expected = [tg.grad(f(W, x), W).numpy() for x in inputs]
    answers = [None] * len(inputs)
    start = threading.Barrier(len(inputs))

    def run(i):
        start.wait()
        for _ in range(3):
            answers[i] = tg.grad(f(W, inputs[i]), W).numpy()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer, right in zip(answers, expected, strict=True):
        assert answer.tobytes() == right.tobytes()


# ── functions that are one node ──────────────────────────────────────────────────────────


def equations(x, w, b):
    """sin(x w) + b and x + w, in operations."""
    y = tg.sin(tg.multiply(x, w))
    return y if b is None else tg.add(y, b), tg.add(x, w)


def _forward(x, w, b):
    y = np.sin(x * w)
    return (y if b is None else y + b, x + w), np.cos(x * w)


def _vjps(gs, saved, live, x, w, b):
    g, s = (np.zeros_like(x) if part is None else part for part in gs)
    return [
        g * saved * w + s if live[0] else None,
        g * saved * x + s if live[1] else None,
        g if live[2] else None,
    ]


fused = backprop.fuse(equations, _forward, _vjps)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("used", [(0,), (1,), (0, 1)])
def test_a_fused_function_is_its_reference_in_one_node(bias, used):
    inputs = [live([0.3, 0.5]), live([2.0, -1.0]), live([0.1, 0.2]) if bias else None]
    variables = [x for x in inputs if x is not None]

    def answers(f):
        outputs = f(*inputs)
        y = tg.Tensor([1.0, 2.0])
        for i in used:
            y = y * outputs[i]
        y = y.sum()
        first = tg.grad(y, variables)
        recorded = tg.grad(y, variables, create_graph=True)
        total = recorded[0].sum() + recorded[1].sum()
        return [*outputs, *first, *recorded, *tg.grad(total, variables)]

    for mine, right in zip(answers(fused), answers(equations), strict=True):
        equal(mine, right.numpy())
    y, z = fused(*inputs)
    assert [n.primitive.name for n in ancestors([y.node]) if n.primitive] == ["pick", "equations"]
    assert fused.__name__ == "equations"
    assert z.requires_grad


def test_a_fused_function_elsewhere_is_its_reference():
    x, w, b = np.array([0.3, 0.5]), np.array([2.0, -1.0]), np.zeros(2)
    assert all(type(y) is np.ndarray for y in fused(x, w, b))
    y, _ = fused(live(x), w, b)  # arrays among tensors
    assert y.node.primitive.name == "add"
    with tg.detect_anomaly():
        y, _ = fused(live(x), tg.Tensor(w), None)
        assert y.node.primitive.name == "sin"
    with tg.no_grad():
        y, _ = fused(live(x), live(w), None)
    assert y.node is None
    y, _ = fused(tg.Tensor(x), tg.Tensor(w), tg.Tensor(b))
    assert y.node is None
    equal(y, np.sin(x * w))
    w = tg.Tensor(w, name="w")
    y, _ = fused(live(x), w, None)
    assert y.node.parents[0].parents[1:] == ("w", None)
    # recorded outside, swept with checks: the same numbers
    x = live(x)
    y, z = fused(x, w, None)
    with tg.detect_anomaly():
        checked = tg.grad((y * z).sum(), x)
    equal(checked, tg.grad((y * z).sum(), x).numpy())


def test_a_graph_can_be_expanded_into_its_operations():
    x, w = live([0.3, 0.5], name="x"), live([2.0, -1.0])
    a, b = fused(x, w, None)
    c = tg.checkpoint(lambda a: tg.checkpoint(tg.tanh, a) * a, a)
    d, e = tg.checkpoint(lambda c: (c * w, tg.exp(c)), c)
    y = (d * e + b).sum()
    y.node.name = "loss"
    unchanged = (x * 2).sum()
    (place, same) = backprop.expanded([y.node, unchanged.node])
    assert same is unchanged.node
    names = [node.primitive.name for node in ancestors([place]) if node.primitive]
    assert not {"checkpoint", "equations", "pick"} & set(names)
    assert {"sin", "tanh", "exp"} <= set(names)
    assert place.name == "loss"
    inner = tg.grad(graph.attach(y.numpy(), place), [x, w])
    for mine, right in zip(inner, tg.grad(y, [x, w]), strict=True):
        equal(mine, right.numpy())


# ── random graphs ────────────────────────────────────────────────────────────────────────


@given(st.data())
def test_random_expressions_agree_with_the_complex_step(data):
    """Sums, products and functions of three variables, with fan-out and dead branches."""
    operations = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "multiply", "sin", "tanh", "subtract", "checkpoint"]),
                st.integers(0, 20),
                st.integers(0, 20),
            ),
            min_size=1,
            max_size=12,
        )
    )
    x = np.array([0.3, -0.7, 1.1])

    def run(f, xs, checkpoint):
        values = list(xs)
        for name, i, j in operations:
            a, b = values[i % len(values)], values[j % len(values)]
            if name == "checkpoint":
                values.append(checkpoint(a, b))
            elif name in ("sin", "tanh"):
                values.append(getattr(f, name)(a))
            else:
                values.append(getattr(f, name)(a, b))
        return values[-1]

    expected = [run(np, x + 1e-20j * e, lambda a, b: np.sin(a) * b).imag / 1e-20 for e in np.eye(3)]
    xs = [live(value) for value in x]
    y = run(tg, xs, lambda a, b: tg.checkpoint(lambda a, b: tg.sin(a) * b, a, b))
    for create_graph in (False, True):
        gradients = tg.grad(y, xs, create_graph=create_graph)
        np.testing.assert_allclose([g.item() for g in gradients], expected, rtol=1e-9, atol=1e-12)


def test_the_sweep_stops_where_it_is_told():
    x = live(2.0)
    y = x * x
    since = graph.next_number()
    z = y * 3
    found = backprop.sweep({z.node: np.array(1.0)}, since=since, wanted={x.node, y.node})
    assert set(found) == {y.node}


def test_the_sweep_may_end_at_wanted_values():
    x = live(2.0)
    y = x * x
    z = y * 3 + x * 5
    wanted, seeds = {x.node, y.node}, {z.node: np.array(1.0)}
    through = backprop.sweep(seeds, wanted)
    direct = backprop.sweep(seeds, wanted, ends=True)
    assert (through[y.node], through[x.node]) == (3.0, 17.0)
    assert (direct[y.node], direct[x.node]) == (3.0, 5.0)


# ── weights transposed anew at every step of a loop ──────────────────────────────────────

WAYS = {
    "T": lambda W: W.T,
    "transpose": lambda W: tg.transpose(W, (1, 0)),
    "swapaxes": lambda W: tg.swapaxes(W, 0, 1),
    "twice": lambda W: tg.transpose(W.T.T),
    "part": lambda W: W[:3].T,
    "changed": lambda W: (W * 2).T,
}


def turned(ways, wanted=False):
    """A loop that transposes U and W in these ways in turn; and what it transposed, if wanted."""
    rng = np.random.default_rng(0)
    U, W = live(rng.normal(size=(3, 3)) / 2), live(rng.normal(size=(3, 2)))
    h = tg.Tensor(np.zeros((4, 3)))
    made = []
    for i, x_t in enumerate(rng.normal(size=(6, 4, 2))):
        way = ways[i % len(ways)]
        made.append((WAYS[way](U), WAYS[way](W)))
        h = tg.tanh(x_t @ made[-1][1] + h @ made[-1][0])
    loss = (h * h).sum() + (U * U.T).sum()
    return (loss, U, W, made) if wanted else (loss, U, W)


def gradients_of_turned(ways):
    def loss(numbers):
        U, W = numbers[:9].reshape(3, 3), numbers[9:].reshape(3, 2)
        h = np.zeros((4, 3))
        for i, x_t in enumerate(xs):
            factor = 2 if ways[i % len(ways)] == "changed" else 1
            h = np.tanh(factor * (x_t @ W.T + h @ U.T))
        return (h * h).sum() + (U * U.T).sum()

    rng = np.random.default_rng(0)
    U, W, xs = rng.normal(size=(3, 3)) / 2, rng.normal(size=(3, 2)), rng.normal(size=(6, 4, 2))
    gradient = by_complex_step(loss, np.concatenate([U.ravel(), W.ravel()]))
    return gradient[:9].reshape(3, 3), gradient[9:].reshape(3, 2)


@pytest.mark.parametrize("ways", [[way] for way in WAYS] + [list(WAYS), ["T", "part", "T"]])
def test_a_weight_may_be_transposed_anew_at_every_step(ways):
    expected = gradients_of_turned(ways)
    loss, U, W = turned(ways)
    loss.backward()
    for x, gradient in zip((U, W), expected, strict=True):
        np.testing.assert_allclose(x.grad, gradient, rtol=1e-10, atol=1e-12)
    for create_graph in (False, True):
        loss, U, W = turned(ways)
        for x, g in zip((U, W), tg.grad(loss, (U, W), create_graph=create_graph), strict=True):
            i = 0 if x is U else 1
            np.testing.assert_allclose(g.numpy(), expected[i], rtol=1e-10, atol=1e-12)


def test_what_was_transposed_has_its_own_gradient_where_that_is_wanted():
    loss, U, _, made = turned(["T"], wanted=True)
    loss.backward(retain_grads=True)
    own = sum(a.grad.T for a, _ in made) + 2 * U.data.T
    np.testing.assert_allclose(U.grad, own, rtol=1e-10)
    a = made[2][0]
    np.testing.assert_allclose(tg.grad(loss, a).numpy(), a.grad, rtol=1e-10)
    both = tg.grad(loss, (a, U))
    np.testing.assert_allclose(both[0].numpy(), a.grad, rtol=1e-10)
    np.testing.assert_allclose(both[1].numpy(), U.grad, rtol=1e-10)


def test_a_transposed_weight_that_was_rebound_keeps_its_old_numbers():
    W = live(np.ones((2, 2)))
    x = np.array([[1.0, 2.0]])
    y = x @ W.T
    W.data = np.full((2, 2), 3.0)
    loss = (y * (x @ W.T)).sum()
    loss.backward()
    # y = 3, y' = 9: dL/dW = (9 + 3) for every row, times x
    np.testing.assert_allclose(W.grad, [[12.0, 24.0], [12.0, 24.0]])


def test_the_gradient_of_a_transposed_weight_is_one_product():
    rows = []
    matmul = np.matmul

    W = live(np.ones((3, 3)))
    h = tg.Tensor(np.ones((2, 3)))
    for _ in range(50):
        h = tg.tanh(h @ W.T)
    loss = h.sum()

    def counted(x, y, *args, **keywords):
        rows.append(x.shape)
        return matmul(x, y, *args, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "matmul", counted)
        loss.backward()
    assert W.grad is not None
    assert len(rows) <= 51  # one for each h, one for W; it was one more for each step
