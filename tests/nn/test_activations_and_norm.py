"""Activations as modules, BatchNorm1d, Embedding's padding, and the losses that were added."""

import math

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

from .functional import as_function

X = np.random.default_rng(0).standard_normal((4, 3))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Tanh(), np.tanh(X)),
        (nn.ReLU(), np.maximum(X, 0)),
        (nn.Sigmoid(), 1 / (1 + np.exp(-X))),
        (nn.GELU(), [[x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in row] for row in X]),
        (
            nn.GELU("tanh"),
            0.5 * X * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3))),
        ),
        (nn.Flatten(0), X.reshape(-1)),
    ],
    ids=repr,
)
def test_activations(layer, expected):
    y = layer(tg.Tensor(X, requires_grad=True))
    np.testing.assert_allclose(y.data, expected, rtol=1e-13, atol=1e-15)
    assert y.node.scope.path == (type(layer).__name__.lower(),)
    assert tg.testing.gradcheck(layer, [X])
    assert isinstance(layer(X), np.ndarray)
    assert layer(X.astype(np.float32)).dtype == np.float32


def test_erf_is_right_to_the_last_bits():
    x = np.concatenate([np.linspace(-7, 7, 2001), np.geomspace(1e-300, 1, 200)])
    exact = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(tg.erf(x), exact, rtol=7e-16)
    np.testing.assert_allclose(tg.erf(x[:2001].astype(np.float32)), exact[:2001], rtol=3e-7)
    np.testing.assert_array_equal(tg.erf([np.inf, -np.inf, 0]), [1, -1, 0])
    assert np.isnan(tg.erf(np.nan))


def test_flatten():
    x = np.ones((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60)
    assert nn.Flatten(1, 2)(x).shape == (2, 12, 5)
    assert nn.Flatten(-2)(x).shape == (2, 3, 20)
    assert nn.Flatten(0)(np.array(3.0)).shape == (1,)
    with pytest.raises(IndexError, match=r"axis 1 is out of range for x \(3,\)"):
        nn.Flatten()(np.ones(3))
    with pytest.raises(ValueError, match="end_dim 0 is before start_dim 1"):
        nn.Flatten(1, 0)(x)
    with pytest.raises(ValueError, match="'none' or 'tanh', got 'exact'"):
        nn.GELU("exact")


# ── BatchNorm1d ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("settings", [{}, {"affine": False}, {"track_running_stats": False}])
def test_gradients_of_batch_norm(shape, training, settings):
    layer = nn.BatchNorm1d(3, dtype=np.float64, **settings)
    rng = np.random.default_rng(0)
    layer(rng.standard_normal(shape) * 2 + 1)
    if layer.affine:
        layer.weight.data, layer.bias.data = rng.standard_normal((2, 3))
    f, arrays = as_function(layer.train(training), [rng.standard_normal(shape)])
    assert tg.testing.gradcheck(f, arrays)
    assert tg.testing.gradgradcheck(f, arrays)


def test_running_means_follow_the_batches():
    layer = nn.BatchNorm1d(3, momentum=None, dtype=np.float64)
    batches = np.random.default_rng(0).standard_normal((5, 8, 3)) * [1, 2, 3] + [0, 5, -5]
    for batch in batches:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean.data, batches.mean((0, 1)))
    np.testing.assert_allclose(layer.running_var.data, batches.var(1, ddof=1).mean(0), rtol=1e-12)
    assert layer.num_batches_tracked.item() == 5
    layer.eval()
    layer(batches[0])
    assert layer.num_batches_tracked.item() == 5


def test_batch_norm_in_a_scan():
    layer = nn.BatchNorm1d(2, dtype=np.float64)
    xs = np.random.default_rng(0).standard_normal((5, 4, 2))

    def cell(h, x):
        h = tg.tanh(layer(x) + h)
        return h, h

    with pytest.raises(TypeError, match="pass unroll=True to scan, or call eval"):
        tg.scan(cell, np.zeros((4, 2)), xs)
    tg.scan(cell, np.zeros((4, 2)), xs, unroll=True)
    assert layer.num_batches_tracked.item() == 5
    layer.eval()
    _, fast = tg.scan(cell, np.zeros((4, 2)), xs)
    _, slow = tg.scan(cell, np.zeros((4, 2)), xs, unroll=True)
    np.testing.assert_allclose(fast.data, slow.data, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm1d(0), ValueError, "num_features must be at least 1"),
        (lambda: nn.BatchNorm1d(3, eps=-1), ValueError, "eps must be"),
        (lambda: nn.BatchNorm1d(3, momentum=2), ValueError, "momentum must be from 0 to 1"),
        (lambda: nn.BatchNorm1d(3, affine=1), TypeError, "affine must be a bool"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 2))), ValueError, r"expected x \(N, 3\)"),
        (lambda: nn.BatchNorm1d(3)(np.ones(3)), ValueError, r"expected x \(N, 3\)"),
        (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), ValueError, "more than one number"),
        (lambda: nn.BatchNorm1d(3)(tg.Tensor(np.ones((2, 3)))), TypeError, "float32"),
    ],
)
def test_batch_norms_that_are_none(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_reprs():
    assert repr(nn.BatchNorm1d(3)) == "BatchNorm1d(3, eps=1e-05)"
    assert repr(nn.BatchNorm1d(3, momentum=None, affine=False)).endswith(
        "momentum=None, affine=False)"
    )
    assert repr(nn.Flatten()) == "Flatten(start_dim=1, end_dim=-1)"
    assert repr(nn.GELU()) == "GELU(approximate='none')"
    assert repr(nn.Embedding(5, 2, padding_idx=-1)) == "Embedding(5, 2, padding_idx=4)"
    assert repr(nn.HuberLoss(delta=2.0)) == "HuberLoss(reduction='mean', delta=2.0)"


# ── padding of embeddings ────────────────────────────────────────────────────────────────


def test_padding_is_zero_and_stays():
    layer = nn.Embedding(5, 2, padding_idx=1, dtype=np.float64, rng=0)
    np.testing.assert_array_equal(layer.weight.data[1], 0)
    assert np.all(layer.weight.data[[0, 2, 3, 4]] != 0)
    ids = np.array([[1, 0], [1, 1], [4, 0]])
    (layer(ids) ** 2 + layer(ids)).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad[1], 0)
    assert np.all(layer.weight.grad[[0, 4]] != 0)
    layer.weight.data = np.ones((5, 2))  # what somebody writes there is used all the same
    np.testing.assert_array_equal(layer(ids).data, np.ones((3, 2, 2)))
    for bad in (5, -6):
        with pytest.raises(ValueError, match=f"padding_idx {bad} is not one of 5 ids"):
            nn.Embedding(5, 2, padding_idx=bad)


def test_padding_within_a_scan():
    layer = nn.Embedding(4, 2, padding_idx=0, dtype=np.float64, rng=0)
    ids = np.array([[1, 2], [0, 3], [0, 0]])

    def cell(h, i):
        h = tg.tanh(h + layer(i))
        return h, h

    grads = []
    for unroll in (False, True):
        layer.zero_grad()
        _, ys = tg.scan(cell, np.zeros((2, 2)), ids, unroll=unroll)
        ys.sum().backward()
        grads.append(layer.weight.grad)
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-12)
    np.testing.assert_array_equal(grads[0][0], 0)


# ── losses ───────────────────────────────────────────────────────────────────────────────

P = np.random.default_rng(1).uniform(0.05, 0.95, (4, 3))
T = np.random.default_rng(2).uniform(0, 1, (4, 3))


@pytest.mark.parametrize(
    ("f", "inputs"),
    [
        (nn.l1_loss, [X, T]),
        (nn.huber_loss, [2 * X, T]),
        (lambda x, y: nn.huber_loss(x, y, "sum", 0.4), [2 * X, T]),
        (nn.binary_cross_entropy, [P, T]),
        (lambda x: nn.nll_loss(x, [1, 0, 2, 1]), [np.log(P)]),
        (lambda x: nn.nll_loss(x, [1, -100, 2, 1], [0.5, 1.0, 2.0], reduction="none"), [np.log(P)]),
    ],
)
def test_gradients_of_losses(f, inputs):
    assert tg.testing.gradcheck(f, inputs)
    assert tg.testing.gradgradcheck(f, inputs)


def test_a_certain_prediction_costs_a_hundred_nats_at_most():
    x = tg.Tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    loss = nn.binary_cross_entropy(x, [0, 1, 1, 0], reduction="none")
    np.testing.assert_array_equal(loss.data, [0, 0, 100, 100])
    loss.sum().backward()
    np.testing.assert_allclose(x.grad, [0, 0, -1e12, 1e12])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.binary_cross_entropy([1.5], [1]), ValueError, "probabilities from 0 to 1"),
        (lambda: nn.binary_cross_entropy([np.nan], [1]), ValueError, "probabilities from 0 to 1"),
        (lambda: nn.binary_cross_entropy([0.5], [2]), ValueError, "targets from 0 to 1, got 2"),
        (lambda: nn.huber_loss([0.5], [1.0], delta=0), ValueError, "delta above 0"),
        (lambda: nn.huber_loss([0.5], [1.0, 2.0]), ValueError, "of one shape"),
        (lambda: nn.l1_loss([1], [1]), TypeError, "x of floats"),
        (lambda: nn.l1_loss([1.0], [1], "avg"), ValueError, "'mean', 'sum' or 'none'"),
        (lambda: nn.L1Loss(reduction="avg"), ValueError, "L1Loss: expected reduction"),
        (lambda: nn.nll_loss([[0.5]], [0.5]), TypeError, r"class indices \(integers\)"),
        (lambda: nn.nll_loss([[0.5]], [1]), IndexError, "from 0 to 0"),
        (lambda: nn.nll_loss([[0.5]], [True]), TypeError, "got booleans"),
        (lambda: nn.nll_loss([[1]], [0]), TypeError, "of floats"),
        (lambda: nn.nll_loss([[1.0]], [0], [1.0, 2.0]), ValueError, r"nll_loss: expected weight"),
        (lambda: nn.nll_loss([[1.0]], [[0]]), ValueError, "nll_loss: with logits"),
    ],
)
def test_losses_of_nonsense(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_modules_are_the_functions_with_their_settings():
    x, ids = tg.Tensor(X, requires_grad=True), [0, 2, -100, 1]
    weight = [1.0, 2.0, 3.0]
    for module, expected in (
        (
            nn.CrossEntropyLoss(weight, label_smoothing=0.1),
            nn.cross_entropy(x, ids, weight, label_smoothing=0.1),
        ),
        (nn.NLLLoss(reduction="sum"), nn.nll_loss(x, ids, reduction="sum")),
    ):
        np.testing.assert_array_equal(module(x, ids).data, expected.data)
    for module, expected in (
        (nn.MSELoss("sum"), nn.mse_loss(x, T, "sum")),
        (nn.L1Loss(), nn.l1_loss(x, T)),
        (nn.HuberLoss("none", 0.5), nn.huber_loss(x, T, "none", 0.5)),
        (nn.BCEWithLogitsLoss(), nn.binary_cross_entropy_with_logits(x, T)),
        (nn.BCELoss(), nn.binary_cross_entropy(tg.sigmoid(x), T)),
    ):
        given = tg.sigmoid(x) if isinstance(module, nn.BCELoss) else x
        np.testing.assert_array_equal(module(given, T).data, expected.data)
    assert list(nn.MSELoss().parameters()) == []
