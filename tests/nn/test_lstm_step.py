"""The hand-written step of an LSTM is the equations: values, every gradient, any subset live."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.nn.lstm_step import lstm_equations, lstm_step


def arrays(D, H, batch, biases, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    shapes = [(*batch, D), (*batch, H), (*batch, H), (4 * H, D), (4 * H, H)]
    found = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    return found + [rng.standard_normal(4 * H).astype(dtype) if bias else None for bias in biases]


biases = st.tuples(st.booleans(), st.booleans())
sizes = st.integers(1, 4)
batches = st.sampled_from([(), (0,), (1,), (3,)])
subsets = st.sets(st.integers(0, 6), min_size=1)
cotangents = st.tuples(st.booleans(), st.booleans()).filter(any)


def run(step, inputs, live, through):
    """The outputs, and the gradients of <u, h> + <v, c>, or of only one of them."""
    tensors = [
        None if x is None else tg.Tensor(x, requires_grad=i in live) for i, x in enumerate(inputs)
    ]
    outputs = step(*tensors)
    rng = np.random.default_rng(0)
    terms = [
        (y * tg.Tensor(rng.standard_normal(y.shape), dtype=y.dtype)).sum()
        for y, wanted in zip(outputs, through, strict=True)
        if wanted
    ]
    sum(terms[1:], terms[0]).backward()
    return outputs, [None if x is None else x.grad for x in tensors]


@given(sizes, sizes, batches, biases, st.integers(0, 99), subsets, cotangents)
def test_values_and_gradients_are_those_of_the_equations(D, H, batch, bias, seed, live, through):
    inputs = arrays(D, H, batch, bias, seed)
    live = {i for i in live if inputs[i] is not None} or {0}
    through = (True, through[1])  # o_t reaches h only: without h some gradients are absent
    ours, gradients = run(lstm_step, inputs, live, through)
    expected, references = run(lstm_equations, inputs, live, through)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-14)
    for a, b in zip(gradients, references, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@given(sizes, sizes, batches, biases, st.integers(0, 99))
def test_the_gradient_through_c_alone(D, H, batch, bias, seed):
    inputs = arrays(D, H, batch, bias, seed)
    live = {i for i, x in enumerate(inputs) if x is not None}
    _, gradients = run(lstm_step, inputs, live, (False, True))
    _, references = run(lstm_equations, inputs, live, (False, True))
    for a, b in zip(gradients, references, strict=True):
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_arrays_give_arrays():
    inputs = arrays(2, 3, (4,), (True, True), 0)
    for a, b in zip(lstm_step(*inputs), lstm_equations(*inputs), strict=True):
        assert type(a) is np.ndarray
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
def test_float32_is_as_accurate_as_float32_is(size):
    single = arrays(4, 5, (6,), (True, True), 0, np.float32)
    single[0] *= np.float32(size)
    double = [x.astype(np.float64) for x in single]
    live = set(range(7))
    ours, gradients = run(lstm_step, single, live, (True, True))
    expected, references = run(lstm_equations, double, live, (True, True))
    for a, b in zip(ours, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6 * max(size, 1))
    for a, b in zip(gradients, references, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * abs(b).max())


def test_a_loop_over_steps_adds_up_the_weight_gradients():
    inputs = arrays(2, 3, (4,), (True, True), 0)
    xs = np.random.default_rng(1).standard_normal((5, 4, 2))
    results = []
    for step in (lstm_step, lstm_equations):
        _, h, c, *weights = (tg.Tensor(x, requires_grad=True) for x in inputs)
        state = h, c
        for x_t in xs:
            state = step(tg.Tensor(x_t), *state, *weights)
        (state[0].sum() + (state[1] * 2).sum()).backward()
        results.append([x.grad for x in (h, c, *weights)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
