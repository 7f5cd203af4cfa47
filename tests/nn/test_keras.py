"""Weights in Keras's order and shape; that Keras computes the same is in tests/peers."""

import sys

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

LAYERS = [
    nn.RNN(3, 4, nonlinearity="relu", rng=0),
    nn.LSTM(3, 4, 2, bidirectional=True, rng=0),
    nn.LSTM(3, 4, bias=False, rng=0),
    nn.GRU(3, 4, 2, rng=0),
    nn.GRU(3, 4, reset_after=False, bidirectional=True, rng=0),
    nn.GRU(3, 4, bias=False, rng=0),
    nn.RNNCell(3, 4, rng=0),
    nn.LSTMCell(3, 4, rng=0),
    nn.GRUCell(3, 4, rng=0),
    nn.Linear(3, 4, rng=0),
    nn.Linear(3, 4, bias=False, rng=0),
    nn.Embedding(5, 3, rng=0),
    nn.LayerNorm(3),
    nn.BatchNorm1d(3),
    nn.Sequential(nn.Embedding(5, 3, rng=0), nn.Dropout(0.1), nn.Linear(3, 2, rng=0)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_there_and_back_computes_the_same(layer):
    arrays = nn.to_keras(layer)
    import copy

    other = copy.deepcopy(layer)
    for p in other.parameters():
        p.data = p.data * 0 + 7
    nn.load_keras(other, arrays)
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    if "Embedding" in repr(layer):
        x = np.array([[0, 4], [2, 2]])
    elif "Cell" in repr(layer) or isinstance(layer, nn.BatchNorm1d):
        x = x[0]
    a, b = layer.eval()(x), other.eval()(x)
    while isinstance(a, tuple):
        a, b = a[0], b[0]
    np.testing.assert_allclose(a.data, b.data, rtol=1e-6, atol=1e-7)
    for first, second in zip(nn.to_keras(other), arrays, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)


def test_the_order_of_the_gates():
    H, D = 2, 1
    gru = nn.GRU(D, H)
    z, r, h = (np.full((D, H), value) for value in (1.0, 2.0, 3.0))
    bias = np.arange(12.0).reshape(2, 6)
    nn.load_keras(gru, [np.hstack([z, r, h]), np.ones((H, 3 * H)), bias])
    np.testing.assert_array_equal(gru.weight_ih_l0.data[:, 0], [2, 2, 1, 1, 3, 3])  # r, z, n
    np.testing.assert_array_equal(gru.bias_ih_l0.data, [2, 3, 0, 1, 4, 5])
    np.testing.assert_array_equal(gru.bias_hh_l0.data, [8, 9, 6, 7, 10, 11])
    lstm = nn.LSTM(D, H)
    kernel = np.arange(8.0).reshape(D, 4 * H)
    nn.load_keras(lstm, [kernel, np.zeros((H, 4 * H)), np.arange(8.0)])
    np.testing.assert_array_equal(lstm.weight_ih_l0.data[:, 0], np.arange(8))  # i, f, c = g, o
    np.testing.assert_array_equal(lstm.bias_ih_l0.data, np.arange(8))
    np.testing.assert_array_equal(lstm.bias_hh_l0.data, 0)


def test_it_takes_tensors_and_is_all_or_nothing():
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(3, 1, rng=0))
    before = model.state_dict()
    good = [tg.Tensor(array) for array in nn.to_keras(model)]
    nn.load_keras(model, good)
    for bad, error, message in (
        (good[:3], ValueError, "takes 4 arrays, got 3"),
        ([*good, np.ones(2)], ValueError, "takes 4 arrays, got 5"),
        (
            [*good[:2], np.ones((1, 3)), good[3]],
            ValueError,
            r"array 2 to be the kernel of 1, \(3, 1\); got \(1, 3\)",
        ),
        ([np.ones((2, 3), int), *good[1:]], TypeError, "arrays of floats, got int64 as array 0"),
        (3, TypeError, "a Keras layer, a list of arrays or a path, got int"),
    ):
        with pytest.raises(error, match=message):
            nn.load_keras(model, bad)
        for name, array in model.state_dict().items():
            np.testing.assert_array_equal(array, before[name])
    with pytest.raises(ValueError, match="a list of arrays has no names"):
        nn.load_keras(model, good, "dense")


def test_what_keras_does_not_have(tmp_path, monkeypatch):
    for layer in (nn.LSTM(2, 2, peepholes=True), nn.LSTM(2, 3, proj_size=2)):
        with pytest.raises(ValueError, match="no peepholes and no projection"):
            nn.to_keras(layer)
    with pytest.raises(TypeError, match=r"the parameter .* belongs to a layer that Keras does not"):
        nn.to_keras(nn.Sequential(nn.Linear(2, 2), nn.Conv2d(1, 1, 2)))
    with pytest.raises(FileNotFoundError, match="there is no file"):
        nn.load_keras(nn.Linear(2, 2), tmp_path / "no.keras")
    (tmp_path / "a.keras").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match="pip install keras"):
        nn.load_keras(nn.Linear(2, 2), tmp_path / "a.keras")
    (tmp_path / "a.weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="weights without layers"):
        nn.load_keras(nn.Linear(2, 2), str(tmp_path / "a.weights.h5"))
