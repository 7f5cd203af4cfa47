"""cross_entropy: against its definition, one target at a time, and what it refuses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.nn import cross_entropy

reductions = st.sampled_from(["none", "sum", "mean"])
batches = st.lists(st.integers(1, 3), max_size=3).map(tuple)
smoothings = st.sampled_from([0.0, 0.1, 1.0])


def log_softmax(row):
    return row - row.max() - math.log(np.exp(row - row.max()).sum())


def logits_of(rng, batch, classes):
    shape = (*batch[:1], classes, *batch[1:])
    return rng.standard_normal(shape) * 3


def at(logits, place):
    """The logits of one target: the class axis is the second, or the only one."""
    return logits[(*place[:1], slice(None), *place[1:])]


def reduced(losses, reduction, divisor):
    return losses if reduction == "none" else losses.sum() / (divisor if reduction == "mean" else 1)


@given(batches, st.integers(1, 5), reductions, st.booleans(), smoothings, st.integers(0, 99))
def test_class_indices(batch, classes, reduction, weighted, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits = logits_of(rng, batch, classes)
    target = rng.integers(0, classes, batch)
    weight = rng.uniform(0.5, 2, classes) if weighted else None
    w = np.ones(classes) if weight is None else weight
    losses = np.empty(batch)
    for place in np.ndindex(batch):
        p = (1 - smoothing) * np.eye(classes)[target[place]] + smoothing / classes
        losses[place] = -(w * p * log_softmax(at(logits, place))).sum()
    result = cross_entropy(logits, target, weight, -100, reduction, smoothing)
    expected = reduced(losses, reduction, w[target].sum())
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    assert np.shape(result) == np.shape(expected)


@given(batches, st.integers(1, 5), reductions, st.booleans(), smoothings, st.integers(0, 99))
def test_class_probabilities(batch, classes, reduction, weighted, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits = logits_of(rng, batch, classes)
    target = tg.softmax(logits_of(rng, batch, classes), axis=1 if batch else 0)
    weight = rng.uniform(0.5, 2, classes) if weighted else None
    w = np.ones(classes) if weight is None else weight
    losses = np.empty(batch)
    for place in np.ndindex(batch):
        p = (1 - smoothing) * at(target, place) + smoothing / classes
        losses[place] = -(w * p * log_softmax(at(logits, place))).sum()
    result = cross_entropy(logits, target, weight, reduction=reduction, label_smoothing=smoothing)
    expected = reduced(losses, reduction, max(losses.size, 1))
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@given(st.integers(2, 4), smoothings, st.integers(0, 99))
def test_one_hot_probabilities_are_class_indices(classes, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits, ids = rng.standard_normal((5, classes)), rng.integers(0, classes, 5)
    by_index = cross_entropy(logits, ids, label_smoothing=smoothing)
    by_row = cross_entropy(logits, np.eye(classes)[ids], label_smoothing=smoothing)
    np.testing.assert_allclose(by_index, by_row, rtol=1e-12)


@given(reductions, st.sampled_from([-100, -1, 0, 2]), smoothings, st.integers(0, 99))
def test_ignored_targets_count_for_nothing(reduction, ignored, smoothing, seed):
    """Neither a value nor a gradient, even where the logits there are NaN."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, 6)
    target[[1, 4]] = ignored
    kept = target != ignored
    data = rng.standard_normal((6, 3))
    data[~kept] = np.nan
    weight = rng.uniform(0.5, 2, 3)
    logits = tg.Tensor(data, requires_grad=True)
    loss = cross_entropy(logits, target, weight, ignored, reduction, smoothing)
    loss.sum().backward()
    alone = tg.Tensor(data[kept], requires_grad=True)
    expected = cross_entropy(alone, target[kept], weight, -100, reduction, smoothing)
    if kept.any():
        expected.sum().backward()
        np.testing.assert_allclose(logits.grad[kept], alone.grad, rtol=1e-12)
    np.testing.assert_array_equal(logits.grad[~kept], 0)
    if reduction == "none":
        np.testing.assert_array_equal(loss.data[~kept], 0)
        np.testing.assert_allclose(loss.data[kept], expected.data)
    else:
        np.testing.assert_allclose(loss.data, expected.data)


def test_nothing_to_average_is_nan_and_nothing_to_sum_is_zero():
    for logits, target in ((np.ones((2, 3)), [-100, -100]), (np.ones((0, 3)), np.zeros(0, int))):
        assert math.isnan(cross_entropy(logits, target))
        assert cross_entropy(logits, target, reduction="sum") == 0
        assert cross_entropy(logits, target, reduction="none").shape == (len(logits),)
    x = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    cross_entropy(x, [-100, -100]).backward()
    np.testing.assert_array_equal(x.grad, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_and_accurate_at_a_thousand(dtype):
    rows = np.array([[1000, 0, -1000], [-1000, -1000, -1000], [1000, 1000, -1000]], dtype)
    logits = tg.Tensor(rows, requires_grad=True)
    losses = cross_entropy(logits, [2, 0, 1], reduction="none")
    np.testing.assert_allclose(losses.numpy(), [2000, math.log(3), math.log(2)], rtol=1e-6)
    losses.sum().backward()
    expected = [[1, 0, -1], [-2 / 3, 1 / 3, 1 / 3], [0.5, -0.5, 0]]
    np.testing.assert_allclose(logits.grad, expected, atol=1e-6)
    assert losses.dtype == logits.grad.dtype == dtype


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 4, 3)])
def test_gradients(shape, reduction):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(shape)
    batch = (*shape[:1], *shape[2:]) if len(shape) > 1 else ()
    ids = rng.integers(0, 4, batch)
    if batch:
        ids.flat[0] = -100
    weight = rng.uniform(0.5, 2, 4)

    def by_index(x):
        return cross_entropy(x, ids, weight, reduction=reduction, label_smoothing=0.2)

    def by_row(x, p):
        return cross_entropy(x, p, weight, reduction=reduction, label_smoothing=0.2)

    probabilities = tg.softmax(rng.standard_normal(shape), 1 if batch else 0)
    for f, inputs in ((by_index, [logits]), (by_row, [logits, probabilities])):
        assert tg.testing.gradcheck(f, inputs)
        assert tg.testing.gradgradcheck(f, inputs)


def test_its_gradient_is_softmax_minus_one_hot():
    logits = tg.Tensor(np.random.default_rng(0).standard_normal((4, 3)), requires_grad=True)
    cross_entropy(logits, [0, 2, 1, 1], reduction="sum").backward()
    expected = tg.softmax(logits.data) - np.eye(3)[[0, 2, 1, 1]]
    np.testing.assert_allclose(logits.grad, expected, rtol=1e-12)


def test_what_comes_out_is_a_tensor_if_something_that_went_in_was():
    logits = np.zeros((2, 3))
    assert isinstance(cross_entropy(logits, [0, 1]), np.ndarray)
    for result in (
        cross_entropy(tg.Tensor(logits), [0, 1]),
        cross_entropy(logits, tg.Tensor([0, 1])),
        cross_entropy(logits, tg.Tensor(logits + 1 / 3)),
    ):
        assert isinstance(result, tg.Tensor)


def test_targets_written_into_afterwards_change_no_gradient():
    logits = tg.Tensor(np.zeros((2, 3)), requires_grad=True)
    ids = np.array([0, 1])
    loss = cross_entropy(logits, ids, reduction="sum")
    ids[:] = 2
    loss.backward()
    np.testing.assert_allclose(logits.grad[0], [-2 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0.0, 0.0]], [2]), IndexError, "from 0 to 1, or -100"),
        (([[0.0, 0.0]], [-1]), IndexError, "got -1"),
        (([[0.0, 0.0]], [0.0]), TypeError, "probabilities"),
        (([[0.0, 0.0]], [[0.5]]), TypeError, "class indices"),
        (([[0.0, 0.0]], [True]), TypeError, "booleans"),
        (([[0.0, 0.0]], ["a"]), TypeError, "target"),
        (([[0, 0]], [0]), TypeError, "logits"),
        ((0.0, 0), TypeError, "logits"),
        (([[0.0, 0.0]], [0, 1]), ValueError, r"class indices \(1,\)"),
        (([[0.0, 0.0]], 0), ValueError, r"class indices \(1,\)"),
        (([0.0, 0.0], [0]), ValueError, r"class indices \(\)"),
        (([[0.0, 0.0]], [0], [1.0]), ValueError, r"weight \(2,\)"),
        (([[0.0, 0.0]], [0], tg.Tensor([1.0, 1.0], requires_grad=True)), TypeError, "constant"),
        (([[0.0, 0.0]], [0], None, -100, "average"), ValueError, "'mean', 'sum' or 'none'"),
        (([[0.0, 0.0]], [0], None, -100, "mean", 1.5), ValueError, "label_smoothing"),
        (([[0.0, 0.0]], [0], None, -100, "mean", math.nan), ValueError, "label_smoothing"),
        (([[0.0, 0.0]], [[0.5, 0.5]], None, 1), ValueError, "ignore_index"),
    ],
)
def test_refusals(arguments, error, message):
    with pytest.raises(error, match=message):
        cross_entropy(*arguments)


def test_a_constant_tensor_is_a_fine_weight():
    logits, weight = np.array([[0.0, 1.0], [2.0, 0.0]]), [1.0, 3.0]
    expected = cross_entropy(logits, [0, 1], weight)
    np.testing.assert_array_equal(cross_entropy(logits, [0, 1], tg.Tensor(weight)), expected)
