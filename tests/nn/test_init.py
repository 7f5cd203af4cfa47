"""How parameters start: distributions, orthogonality, blocks for gates, seeds, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import nn
from tinygrad_rnn.nn import init

DRAWN = [
    lambda **kw: init.uniform((6, 4), 0.5, **kw),
    lambda **kw: init.normal((6, 4), **kw),
    lambda **kw: init.xavier((6, 4), **kw),
    lambda **kw: init.orthogonal((6, 4), **kw),
]


@pytest.mark.parametrize("draw", DRAWN)
def test_seeds_and_dtypes(draw):
    assert draw(rng=0).dtype == np.float32
    wide = draw(rng=0, dtype=np.float64)
    np.testing.assert_array_equal(wide.astype(np.float32), draw(rng=0))
    np.testing.assert_array_equal(draw(rng=np.random.default_rng(0)), draw(rng=0))
    assert (draw(rng=1) != draw(rng=0)).any()
    generator = np.random.default_rng(0)
    assert (draw(rng=generator) != draw(rng=generator)).any()  # it goes on


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.floats(0.1, 3), st.integers(0, 9)
)
def test_orthogonal_by_gate(rows, columns, gates, gain, seed):
    W = init.orthogonal((gates * rows, columns), gain, gates=gates, dtype=np.float64, rng=seed)
    assert W.shape == (gates * rows, columns)
    for part in np.split(W, gates):
        singular = np.linalg.svd(part, compute_uv=False)
        np.testing.assert_allclose(singular, gain, rtol=1e-12)


def test_orthogonal_has_no_preferred_direction():
    """Uniform over the orthogonal group: no element is biased, where plain QR's diagonal is."""
    rng = np.random.default_rng(0)
    draws = np.array([init.orthogonal((3, 3), dtype=np.float64, rng=rng) for _ in range(4000)])
    assert abs(draws.mean(0)).max() < 5 / np.sqrt(3 * 4000)
    assert abs(np.linalg.det(draws).mean()) < 5 / np.sqrt(4000)  # rotations and reflections
    kernel = init.orthogonal((2, 3, 1, 2), dtype=np.float64, rng=0).reshape(2, 6)
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "gates", "fans"), [((60, 30), 1, 90), ((60, 30), 3, 50), ((20, 30, 2, 2), 1, 200)]
)
def test_xavier_takes_the_fans_of_one_gate(shape, gates, fans):
    for gain in (1.0, 2.0):
        W = init.xavier(shape, gain, gates=gates, dtype=np.float64, rng=0)
        bound = gain * np.sqrt(6 / fans)
        assert 0.98 * bound < abs(W).max() <= bound
        assert np.isclose(W.var(), 2 * gain**2 / fans, rtol=0.1)


def test_identity():
    np.testing.assert_array_equal(init.identity((3, 3)), np.eye(3))
    np.testing.assert_array_equal(init.identity((2, 3), 0.5), 0.5 * np.eye(2, 3))
    np.testing.assert_array_equal(init.identity((6, 3), gates=2), np.vstack([np.eye(3)] * 2))
    assert init.identity((3, 3), dtype=np.float64).dtype == np.float64


def test_an_irnn_begins_by_adding_up_what_it_sees():
    rnn = nn.RNN(1, 3, nonlinearity="relu", dtype=np.float64, rng=0)
    rnn.weight_hh_l0.data = init.identity((3, 3), dtype=np.float64)
    rnn.weight_ih_l0.data = np.ones((3, 1))
    rnn.bias_ih_l0.data = rnn.bias_hh_l0.data = np.zeros(3)
    x = np.random.default_rng(0).uniform(0, 1, (6, 2, 1))
    y, _ = rnn(x)
    np.testing.assert_allclose(y.numpy(), np.broadcast_to(x.cumsum(0), (6, 2, 3)))


def test_what_passes_through_an_orthogonal_matrix_many_times_keeps_its_norm():
    Q = init.orthogonal((8, 8), dtype=np.float64, rng=0)
    h = np.random.default_rng(0).standard_normal(8)
    many = np.linalg.matrix_power(Q, 1000) @ h
    np.testing.assert_allclose(np.linalg.norm(many), np.linalg.norm(h))


def test_the_forget_gate_and_no_other():
    lstm = nn.LSTM(2, 3, rng=0)
    lstm.bias_ih_l0.data = init.forget_bias(lstm.bias_ih_l0.shape, 2.0)
    np.testing.assert_array_equal(lstm.bias_ih_l0.data, np.repeat([0, 2, 0, 0], 3))
    assert init.forget_bias(4, dtype=np.float64).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.orthogonal((3,)), r"orthogonal: expected a shape of two axes or more"),
        (lambda: init.orthogonal((4, 3), gates=3), "4 rows do not divide into 3 gates"),
        (lambda: init.xavier((4, 3), gates=0), "xavier: 4 rows do not divide into 0 gates"),
        (lambda: init.xavier(()), r"got \(\)"),
        (lambda: init.identity((3, 3, 3)), r"identity: expected a shape \(rows, columns\)"),
        (lambda: init.forget_bias(6), r"forget_bias: expected a shape \(4H,\), got \(6,\)"),
        (lambda: init.forget_bias((4, 4)), r"got \(4, 4\)"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
