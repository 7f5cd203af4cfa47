"""``tg.activations``: every gate, candidate and state, against what the formulas say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

rng = np.random.default_rng(0)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(net: Any, x: Any) -> dict[str, Any]:
    wx, wh, bx, bh = (
        getattr(net, name).numpy()
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    )
    H = wh.shape[1]
    h = c = np.zeros((x.shape[1], H))
    found: dict[str, list[Any]] = {name: [] for name in "ifgoch"}
    for x_t in x:
        a = x_t @ wx.T + h @ wh.T + bx + bh
        i, f, g, o = (a[:, k * H : (k + 1) * H] for k in range(4))
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        for name, value in zip("ifgoch", (i, f, g, o, c, h), strict=True):
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.parametrize("unroll", [False, True])
def test_an_lstm(unroll: bool) -> None:
    net = tg.nn.LSTM(3, 4, rng=0, dtype=np.float64)
    x = rng.standard_normal((6, 2, 3))
    y, _ = net(x, unroll=unroll)
    found = tg.activations(y)
    expected = lstm_by_hand(net, x)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(tg.activations(tg.sum(y * y))["c"], expected["c"])


@pytest.mark.parametrize("unroll", [False, True])
def test_nothing_is_shown_past_a_sequences_end(unroll: bool) -> None:
    net = tg.nn.LSTM(3, 4, rng=0, dtype=np.float64)
    x = rng.standard_normal((6, 3, 3))
    y, _ = net(x, lengths=[6, 2, 4], unroll=unroll)
    found = tg.activations(y)
    expected = lstm_by_hand(net, x)
    for name, value in expected.items():
        for n, T in enumerate((6, 2, 4)):
            np.testing.assert_allclose(found[name][:T, n], value[:T, n], atol=1e-12)
            assert np.isnan(found[name][T:, n]).all(), name


def test_layers_and_directions_have_their_names_before_it() -> None:
    net = tg.nn.GRU(3, 4, 2, bidirectional=True, rng=0, dtype=np.float64)
    x = rng.standard_normal((5, 2, 3))
    y, _ = net(x)
    found = tg.activations(y)
    layers = ("gru.l0", "gru.l0_reverse", "gru.l1", "gru.l1_reverse")
    assert set(found) == {f"{layer}.{name}" for layer in layers for name in ("r", "z", "n", "h")}
    both = np.concatenate([found["gru.l1.h"], found["gru.l1_reverse.h"]], axis=-1)
    np.testing.assert_allclose(both, y.numpy())
    for layer in layers:  # h_t = n + z (h_{t-1} - n)
        r, z, n, h = (found[f"{layer}.{name}"] for name in ("r", "z", "n", "h"))
        backwards = layer.endswith("reverse")
        before = np.zeros_like(h)
        if backwards:
            before[:-1] = h[1:]
        else:
            before[1:] = h[:-1]
        np.testing.assert_allclose(n + z * (before - n), h, atol=1e-12)
        assert ((r > 0) & (r < 1)).all()


def test_a_loop_of_cells_and_a_scan_of_ones_own() -> None:
    cell = tg.nn.LSTMCell(3, 4, rng=0, dtype=np.float64)
    x = rng.standard_normal((5, 2, 3))
    state: Any = None
    for _, x_t in tg.steps(x):
        state = cell(x_t, state)
    looped = tg.activations(state[0])
    (h, _), ys = tg.scan(
        lambda s, x_t: (lambda new: (new, new[0]))(cell(x_t, s)),
        (tg.Tensor(np.zeros((2, 4))), tg.Tensor(np.zeros((2, 4)))),
        x,
    )
    scanned = tg.activations(ys)
    assert set(looped) == set(scanned) == set("ifgoch")
    for name, value in looped.items():
        np.testing.assert_allclose(scanned[name], value, atol=1e-12)
    np.testing.assert_allclose(h.numpy(), looped["h"][-1])


def test_gates_without_names_are_numbered() -> None:
    W = tg.Tensor(rng.standard_normal((4, 4)), requires_grad=True, name="W")
    h: Any = tg.Tensor(np.zeros((2, 4)))
    x = rng.standard_normal((3, 2, 4))
    for _, x_t in tg.steps(x):
        f = tg.sigmoid(x_t @ W + h)
        i = tg.sigmoid(x_t - h)
        i.name = "in_t"
        h = f * h + i * tg.tanh(x_t)
    found = tg.activations(h)
    assert set(found) == {"gate 1", "in", "h"}
    np.testing.assert_allclose(found["h"][-1], h.numpy())
    np.testing.assert_allclose(found["gate 1"][0], sigmoid(x[0] @ W.numpy()))


def test_an_encoder_and_a_decoder_are_told_apart() -> None:
    encoder, decoder = tg.nn.GRU(3, 4, rng=0), tg.nn.GRU(3, 4, rng=1)
    with tg.scope("encoder"):
        _, h = encoder(rng.standard_normal((5, 2, 3)))
    with tg.scope("decoder"):
        y, _ = decoder(rng.standard_normal((4, 2, 3)), h)
    found = tg.activations(y)
    assert {name.rsplit(".", 1)[0] for name in found} == {"encoder.gru.l0", "decoder.gru.l0"}
    assert found["encoder.gru.l0.z"].shape == (5, 2, 4)
    assert found["decoder.gru.l0.z"].shape == (4, 2, 4)


def test_sequences_without_a_batch() -> None:
    net = tg.nn.RNN(3, 4, rng=0)
    for unroll in (False, True):
        y, _ = net(rng.standard_normal((5, 3)), unroll=unroll)
        np.testing.assert_allclose(tg.activations(y)["h"], y.numpy(), rtol=1e-5)


def test_steps_that_have_no_such_value_are_empty() -> None:
    w = tg.Tensor([0.5, 2.0], requires_grad=True)
    h: Any = tg.Tensor([1.0, 1.0])
    for t, x_t in tg.steps(np.ones((4, 2))):
        h = w * h + x_t
        if t % 2:
            gate = tg.sigmoid(h)
            gate.name = "gate_t"
            h = h * gate
    found = tg.activations(h)
    assert np.isnan(found["gate"]).all(axis=1).tolist() == [True, False, True, False]
    assert not np.isnan(found["h"]).any()


def test_they_go_into_a_heat_map() -> None:
    net = tg.nn.LSTM(3, 4, rng=0)
    y, _ = net(rng.standard_normal((5, 2, 3)), lengths=[5, 3])
    heat = tg.heat_map(tg.activations(y), text="hello", sequence=1)
    assert np.isnan(heat.values["f"][3:]).all()
    heat.svg()


def test_wrong_input() -> None:
    with pytest.raises(TypeError, match="activations: expected a Tensor, got ndarray"):
        tg.activations(np.ones(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"activations: this tensor has no graph.*no_grad\(\)"):
        tg.activations(tg.Tensor([1.0]))
    x = tg.Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match=r"activations: .*steps"):
        tg.activations(x * 2.0)
