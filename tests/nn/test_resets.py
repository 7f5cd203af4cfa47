"""States that begin anew within a window: as if each episode were run by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_rnn as tg

LAYERS = {
    "RNN": lambda **k: tg.nn.RNN(3, 4, dtype=np.float64, rng=0, **k),
    "LSTM": lambda **k: tg.nn.LSTM(3, 4, dtype=np.float64, rng=0, **k),
    "GRU": lambda **k: tg.nn.GRU(3, 4, dtype=np.float64, rng=0, **k),
}
BACKENDS = ["numpy", pytest.param("native", id="native")]
RESETS = np.array([[0, 1], [0, 0], [1, 0], [0, 0], [1, 1], [0, 0]], bool)


@pytest.fixture(params=BACKENDS, autouse=True)
def _backend(request):
    if request.param == "native":
        pytest.importorskip("llvmlite")
    with tg.backend(request.param):
        yield


def by_itself(layer, x, state, resets):
    """Each episode of each sequence, run alone from zeros; the first one from the given state."""
    rows = []
    for n in range(x.shape[1]):
        borders = [0, *np.flatnonzero(resets[:, n]), len(x)]
        ys = []
        for k, (first, stop) in enumerate(itertools.pairwise(borders)):
            if first == stop:
                continue
            begins = k == 0 and state is not None
            own = None
            if begins:
                own = (
                    tuple(s[:, n : n + 1] for s in state)
                    if isinstance(state, tuple)
                    else (state[:, n : n + 1])
                )
            ys.append(layer(x[first:stop, n : n + 1], own)[0])
        rows.append(tg.concatenate(ys, axis=0))
    return tg.concatenate(rows, axis=1)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}])
def test_as_if_each_episode_were_alone(kind, unroll, options):
    layer = LAYERS[kind](**options)
    x = tg.Tensor(np.random.default_rng(1).normal(size=(6, 2, 3)), requires_grad=True)
    weights = np.random.default_rng(2).normal(size=(6, 2, 4 * (1 + len(options))))
    y, _ = layer(x, resets=RESETS, unroll=unroll)
    expected = by_itself(layer, x, None, RESETS)
    np.testing.assert_allclose(y.data, expected.data, rtol=1e-12, atol=1e-14)
    inputs = [x, *layer.parameters()]
    for ours, theirs in zip(
        tg.grad((y * weights).sum(), inputs),
        tg.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_given_state_goes_on_until_the_first_reset(kind):
    layer = LAYERS[kind]()
    x = np.random.default_rng(1).normal(size=(6, 2, 3))
    h = tg.Tensor(np.random.default_rng(3).normal(size=(1, 2, 4)), requires_grad=True)
    state = (h, h * 2) if kind == "LSTM" else h
    y, _ = layer(x, state, resets=RESETS)
    np.testing.assert_allclose(y.data, by_itself(layer, x, state, RESETS).data, rtol=1e-12)
    g = tg.grad(y.sum(), h).data
    assert g[0, 0].any()
    assert not g[0, 1].any()  # sequence 1 begins anew at step 0


@pytest.mark.parametrize("kind", LAYERS)
def test_batch_first_unbatched_stacked_and_lengths(kind):
    x = np.random.default_rng(1).normal(size=(6, 2, 3))
    plain = LAYERS[kind](num_layers=2)
    turned = LAYERS[kind](num_layers=2, batch_first=True)
    y, _ = plain(x, resets=RESETS)
    z, _ = turned(x.swapaxes(0, 1), resets=RESETS.T)
    np.testing.assert_allclose(z.data.swapaxes(0, 1), y.data, rtol=1e-12)
    alone, _ = plain(x[:, 0], resets=RESETS[:, 0])
    np.testing.assert_allclose(alone.data, y.data[:, 0], rtol=1e-12)
    short, state = plain(x, resets=RESETS, lengths=[6, 3])
    np.testing.assert_allclose(short.data[:3, 1], y.data[:3, 1], rtol=1e-12)
    assert not short.data[3:, 1].any()
    h = state[0] if kind == "LSTM" else state
    np.testing.assert_allclose(h.data[-1, 1], y.data[2, 1], rtol=1e-12)


def test_scan_of_a_step_of_ones_own():
    W = tg.Tensor(0.5 * np.eye(2), requires_grad=True)

    def cell(carry, x_t):
        h, (count,) = carry
        h = tg.tanh(h @ W + x_t)
        return (h, (count + 1,)), (h, count)

    x = np.ones((6, 2, 2))
    start = np.full((2, 2), np.nan), (np.full((2, 1), 10.0),)
    resets = RESETS.copy()
    resets[0] = True
    (_, (count,)), (ys, counts) = tg.scan(cell, start, x, resets=resets)
    assert counts.data[..., 0].T.tolist() == [[0, 1, 0, 1, 0, 1], [0, 1, 2, 3, 0, 1]]
    assert count.data[:, 0].tolist() == [2, 2]
    ys.sum().backward()
    assert np.isfinite(W.grad).all()  # the NaN that was left behind reaches nothing
    loop, _ = tg.scan(cell, start, x, resets=resets, unroll=True)[1]
    assert (loop.data == ys.data).all()
    backwards = tg.scan(cell, start, x, resets=RESETS, reverse=True)[1][1].data[..., 0]
    assert backwards.T.tolist() == [[1, 0, 1, 0, 11, 10], [3, 2, 1, 0, 11, 10]]
    plan = tg.scan(tg.nn.GRUCell(2, 3, rng=0), np.zeros((2, 3), np.float32),
                   x.astype(np.float32), resets=RESETS)  # fmt: skip
    assert plan[1].shape == (6, 2, 3)


def test_what_was_cut_passes_no_gradient():
    layer = LAYERS["LSTM"]()
    x = tg.Tensor(np.random.default_rng(1).normal(size=(6, 2, 3)), requires_grad=True)
    y, _ = layer(x, resets=RESETS)
    g = tg.grad(y[5].sum(), x).data
    assert not g[:4].any()
    assert g[4:].all()


def test_wrong_resets():
    layer, x = LAYERS["GRU"](), np.zeros((6, 2, 3))
    with pytest.raises(TypeError, match="GRU: expected resets as booleans, got int64"):
        layer(x, resets=RESETS.astype(int))
    with pytest.raises(ValueError, match=r"GRU: expected resets of shape \(6, 2\), got \(2, 6\)"):
        layer(x, resets=RESETS.T)
    cell = lambda h, x_t: (h + x_t, h)  # noqa: E731
    with pytest.raises(ValueError, match="same number of steps"):
        tg.scan(cell, np.zeros((2, 3)), x, resets=RESETS[:4])
    with pytest.raises(ValueError, match=r"with resets \(6, 2\) every carry needs"):
        tg.scan(cell, np.zeros(3), x[:, 0], resets=RESETS)
    with pytest.raises(TypeError, match="booleans"):
        tg.scan(cell, np.zeros((2, 3)), x, resets=np.zeros((6, 2)))
    packed = tg.nn.utils.rnn.pack_padded_sequence(x, [6, 6])
    with pytest.raises(ValueError, match="packed"):
        layer(packed, resets=RESETS)
