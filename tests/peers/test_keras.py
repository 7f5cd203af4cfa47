"""Layers beside Keras's with exchanged weights: outputs equal to 1e-5, both ways.

Keras runs on its NumPy back end, which needs nothing else.
"""

import os
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import nn

os.environ.setdefault("KERAS_BACKEND", "numpy")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")
pytestmark = [
    pytest.mark.peers,
    # Variables of Keras have an __array__ from before NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
]
L = keras.layers

sizes = st.integers(1, 5)


def close(ours, theirs):
    theirs = keras.ops.convert_to_numpy(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-5, atol=1e-5)


def random_weights(layer, seed):
    """Weights and biases that are not 0."""
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.standard_normal(w.shape) * 0.5 for w in layer.get_weights()])


KINDS = {
    "SimpleRNN": (nn.RNN, {}, {}),
    "SimpleRNN relu": (nn.RNN, {"nonlinearity": "relu"}, {"activation": "relu"}),
    "LSTM": (nn.LSTM, {}, {}),
    "GRU": (nn.GRU, {}, {}),
    "GRU before": (nn.GRU, {"reset_after": False}, {"reset_after": False}),
}


@given(
    st.sampled_from(sorted(KINDS)),
    sizes,
    sizes,
    sizes,
    sizes,
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_recurrent_layers(name, N, T, D, H, bias, bidirectional, seed):
    kind, mine, others = KINDS[name]
    theirs = getattr(L, name.split()[0])(H, return_sequences=True, use_bias=bias, **others)
    if bidirectional:
        theirs = L.Bidirectional(theirs)
    ours = kind(D, H, bias=bias, bidirectional=bidirectional, batch_first=True, rng=seed, **mine)
    x = np.random.default_rng(seed).standard_normal((N, T, D)).astype(np.float32)
    theirs.build(x.shape)
    random_weights(theirs, seed)
    for given_ in (theirs, theirs.get_weights()):
        nn.load_keras(ours, given_)
        close(ours(x)[0].data, theirs(x))
    fresh = kind(D, H, bias=bias, bidirectional=bidirectional, batch_first=True, rng=1, **mine)
    theirs.set_weights(nn.to_keras(fresh))
    close(fresh(x)[0].data, theirs(x))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_cells(name):
    kind, mine, others = KINDS[name]
    theirs = getattr(L, f"{name.split()[0]}Cell")(4, **others)
    theirs.build((2, 3))
    random_weights(theirs, 0)
    ours = getattr(nn, f"{kind.__name__}Cell")(3, 4, **mine)
    nn.load_keras(ours, theirs)
    rng = np.random.default_rng(0)
    x, h, c = (rng.standard_normal((2, n)).astype(np.float32) for n in (3, 4, 4))
    state = (h, c) if kind is nn.LSTM else h
    y, _ = theirs(x, [h, c] if kind is nn.LSTM else [h])
    new = ours(x, state)
    close((new[0] if kind is nn.LSTM else new).data, y)


def test_layers_without_a_state():
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    ids = np.array([[0, 6], [3, 3]])
    for theirs, ours, given_ in (
        (L.Dense(4), nn.Linear(3, 4), x),
        (L.Dense(4, use_bias=False), nn.Linear(3, 4, bias=False), x),
        (L.Embedding(7, 3), nn.Embedding(7, 3), ids),
        (L.LayerNormalization(epsilon=1e-5), nn.LayerNorm(3), x),
        (L.BatchNormalization(epsilon=1e-5), nn.BatchNorm1d(3).eval(), x),
    ):
        theirs.build(given_.shape)
        theirs.set_weights([np.abs(w) + 0.3 for w in map(np.asarray, theirs.get_weights())])
        nn.load_keras(ours, theirs)
        close(ours(given_).data, theirs(given_))
        for a, b in zip(nn.to_keras(ours), theirs.get_weights(), strict=True):
            close(a, b)


def model_of_keras():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Embedding(7, 3),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.GRU(5, return_sequences=True, name="upper"),
            L.Dense(2),
        ]
    )
    random_weights(model, 0)
    return model


class Model(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(7, 3)
        self.lstm = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(8, 5, batch_first=True)
        self.out = nn.Linear(5, 2)

    def forward(self, ids):
        y, _ = self.lstm(self.embedding(ids))
        return self.out(self.gru(y)[0])


@pytest.mark.parametrize("suffix", [None, ".keras", ".h5"])
def test_a_whole_model_in_memory_and_from_a_file(tmp_path, suffix):
    theirs = model_of_keras()
    ids = np.random.default_rng(0).integers(0, 7, (2, 6))
    source = theirs
    if suffix:
        source = tmp_path / f"model{suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # .h5 is "legacy"
            theirs.save(source)
    ours = Model()
    nn.load_keras(ours, source)
    close(ours(ids).data, theirs(ids))
    gru = nn.GRU(8, 5)
    nn.load_keras(gru, source, "upper")
    np.testing.assert_array_equal(gru.weight_ih_l0.data, ours.gru.weight_ih_l0.data)
    back = model_of_keras()
    back.set_weights(nn.to_keras(Model()))


def test_a_stack_is_several_layers_of_keras():
    theirs = keras.Sequential([keras.Input((5, 3))])
    for _ in range(2):
        theirs.add(L.Bidirectional(L.GRU(4, return_sequences=True)))
    random_weights(theirs, 1)
    ours = nn.GRU(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    nn.load_keras(ours, theirs)
    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    close(ours(x)[0].data, theirs(x))


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (lambda: L.LSTM(2, activation="relu"), nn.LSTM(3, 2), "activation='relu'.*has 'tanh'"),
        (lambda: L.LSTM(2, recurrent_activation="hard_sigmoid"), nn.LSTM(3, 2), "hard_sigmoid"),
        (
            lambda: L.GRU(2, reset_after=False, use_bias=False),
            nn.GRU(3, 2, bias=False),
            "reset_after=False, our GRU has True",
        ),
        (lambda: L.SimpleRNN(2), nn.RNN(3, 2, nonlinearity="relu"), "activation='tanh'"),
        (
            lambda: L.Bidirectional(L.LSTM(2, activation="relu")),
            nn.LSTM(3, 2, bidirectional=True),
            "activation='relu'",
        ),
    ],
)
def test_layers_that_compute_something_else(theirs, ours, message):
    layer = theirs()
    layer.build((1, 4, 3))
    with pytest.raises(ValueError, match=message):
        nn.load_keras(ours, layer)
