"""mse_loss and binary_cross_entropy_with_logits: definitions, extremes, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.nn import binary_cross_entropy_with_logits, cross_entropy, mse_loss

LOSSES = [mse_loss, binary_cross_entropy_with_logits]
each_loss = pytest.mark.parametrize("loss", LOSSES)
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
seeds = st.integers(0, 999)


def pair(seed, shape):
    """A prediction and a target that serves both losses."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) * 3, rng.uniform(0, 1, shape)


@given(st.sampled_from(LOSSES), shapes, seeds)
def test_they_are_their_definitions(loss, shape, seed):
    x, y = pair(seed, shape)
    if loss is mse_loss:
        expected = (x - y) ** 2
    else:
        p = 1 / (1 + np.exp(-x))
        expected = -y * np.log(p) - (1 - y) * np.log(1 - p)
    np.testing.assert_allclose(loss(x, y, "none"), expected, rtol=1e-9)
    assert loss(x, y, "none").shape == shape
    np.testing.assert_allclose(loss(x, y, "sum"), expected.sum(), rtol=1e-9)
    mean = loss(x, y)
    assert mean.shape == ()
    np.testing.assert_allclose(mean, expected.mean() if expected.size else math.nan, rtol=1e-9)


@each_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients(loss, reduction):
    """For the prediction and for the target."""
    inputs = pair(0, (3, 2))

    def f(x, y):
        return loss(x, y, reduction)

    assert tg.testing.gradcheck(f, inputs)
    assert tg.testing.gradgradcheck(f, inputs)


@given(seeds)
def test_two_classes_are_yes_and_no(seed):
    """Logits (0, x) say the same as the logit x."""
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal(7) * 10, rng.integers(0, 2, 7)
    both = cross_entropy(np.stack([np.zeros(7), x], 1), y)
    np.testing.assert_allclose(binary_cross_entropy_with_logits(x, y), both, rtol=1e-12)


def test_yes_and_no_at_logits_of_any_size():
    size = np.array([0.0, 30.0, 300.0, 1e4, 1e300])
    for sign, y in ((1, 1.0), (-1, 0.0)):  # right, and sure of it
        x = tg.Tensor(sign * size, requires_grad=True)
        losses = binary_cross_entropy_with_logits(x, np.full(5, y), "none")
        np.testing.assert_allclose(losses.data, np.log1p(np.exp(-size)), rtol=1e-15)
        losses.sum().backward()
        expected = -sign * np.exp(-size) / (1 + np.exp(-size))
        # sigmoid's smallest number is 1e-308
        np.testing.assert_allclose(x.grad, expected, rtol=1e-13, atol=1e-300)
    for sign, y in ((1, 0.0), (-1, 1.0)):  # wrong
        x = tg.Tensor(sign * size, requires_grad=True)
        losses = binary_cross_entropy_with_logits(x, np.full(5, y), "none")
        np.testing.assert_allclose(losses.data, size + np.log1p(np.exp(-size)), rtol=1e-15)
        losses.sum().backward()
        np.testing.assert_allclose(x.grad, sign / (1 + np.exp(-size)), rtol=1e-15)


@each_loss
def test_the_target_is_cast_to_the_predictions_dtype(loss):
    x = np.array([0.5, -0.5], np.float32)
    for y in ([0, 1], [False, True], np.array([0.0, 1.0]), tg.Tensor([0, 1])):
        live = tg.Tensor(x, requires_grad=True)
        result = loss(live, y)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result.data, loss(x, [0.0, 1.0]))
        result.backward()
        assert live.grad.dtype == np.float32
    y = tg.Tensor([0.25, 1.0], requires_grad=True)
    loss(x, y).backward()
    assert y.grad.dtype == np.float64
    assert isinstance(loss(x, x + 0.5), np.ndarray)
    assert loss(x, x + 0.5).dtype == np.float32


@each_loss
def test_a_target_written_into_afterwards_changes_no_gradient(loss):
    x, y = pair(0, 5)
    a, b = (tg.Tensor(x, requires_grad=True) for _ in range(2))
    loss(a, y).backward()
    later = loss(b, y)
    y[:] = 1
    later.backward()
    np.testing.assert_array_equal(a.grad, b.grad)


@each_loss
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0.0, 1.0], [[0.0, 1.0]]), ValueError, r"one shape, got float64 \(2,\) and .* \(1, 2\)"),
        ((np.ones((3, 1)), np.ones(3)), ValueError, "one shape"),
        (([0.0], 0.0), ValueError, "one shape"),
        (([1], [1.0]), TypeError, "x of floats, got int64"),
        ((tg.Tensor([1]), [1.0]), TypeError, "x of floats"),
        (([1.0], ["a"]), TypeError, "y: expected real numbers"),
        (([1j], [1.0]), TypeError, "x: expected real numbers"),
        (([1.0], [1.0], "average"), ValueError, "'mean', 'sum' or 'none', got 'average'"),
    ],
)
def test_refusals(loss, arguments, error, message):
    with pytest.raises(error, match=f"{loss.__name__}: .*{message}"):
        loss(*arguments)


@pytest.mark.parametrize("bad", [-1.0, 1.001, math.nan, math.inf])
def test_a_probability_is_from_0_to_1(bad):
    for y in ([0.0, bad], tg.Tensor([0.0, bad])):
        with pytest.raises(ValueError, match=f"targets from 0 to 1, got {bad}"):
            binary_cross_entropy_with_logits([0.0, 0.0], y)
