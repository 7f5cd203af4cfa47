"""Loops beside each other in time: which share their columns, and what they send each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

rng = np.random.default_rng(0)


def stages(flow: Any) -> list[tuple[int, int, str]]:
    return [(stage.first, stage.stop, stage.name) for stage in flow.columns.stages]


def seq2seq(
    *, T: int = 5, decoder: int = 4, attention: bool = True, kind: str = "LSTM", unroll: bool = True
) -> Any:
    """An encoder and a decoder; the loss is that of the decoder's steps."""
    H = 4
    rng = np.random.default_rng(0)
    encoder = getattr(tg.nn, kind)(3, H, rng=rng, dtype=np.float64)
    size = 3 + H * attention
    cell = getattr(tg.nn, f"{kind}Cell")(size, H, rng=rng, dtype=np.float64)
    readout = tg.nn.Linear(H, 5, rng=rng, dtype=np.float64)
    with tg.scope("encoder"):
        ys, state = encoder(rng.normal(size=(T, 2, 3)), unroll=unroll)
    look = tg.nn.Attention(H, dtype=np.float64).over(tg.swapaxes(ys, 0, 1))
    state = tuple(part[0] for part in state) if kind == "LSTM" else state[0]
    total: Any = 0.0
    with tg.scope("decoder"):
        for _, x_t in tg.steps(rng.normal(size=(decoder, 2, 3))):
            h = state[0] if kind == "LSTM" else state
            if attention:
                x_t = tg.concatenate([x_t, look(h)[0]], -1)
            state = cell(x_t, state)
            h = state[0] if kind == "LSTM" else state
            total = total + tg.nn.cross_entropy(readout(h), [1, 2])
    return total


@pytest.mark.parametrize("unroll", [True, False])
def test_a_decoder_stands_behind_its_encoder(unroll: bool) -> None:
    flow = tg.gradient_flow(seq2seq(unroll=unroll))
    assert flow.T == 9
    assert stages(flow) == [(0, 5, "encoder.lstm.l0"), (5, 9, "decoder")]
    assert flow.columns.steps == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert flow.states["encoder.lstm.l0.h"].columns.tolist() == [0, 1, 2, 3, 4]
    assert flow.states["decoder.h"].columns.tolist() == [5, 6, 7, 8]
    assert flow.states["decoder.h"].norms.shape == (4,)
    kinds = {link.kind for link in flow.links}
    assert kinds == {"loss", "state", "read"}
    handed = {
        (link.trajectory.name, link.t, link.at, link.target.name)
        for link in flow.links
        if link.kind == "state" and link.target
    }
    assert handed == {
        ("encoder.lstm.l0.h", 4, 0, "decoder.h"),
        ("encoder.lstm.l0.c", 4, 0, "decoder.c"),
    }
    reads = {(link.at, link.t) for link in flow.links if link.kind == "read"}
    assert reads == {(t, s) for t in range(4) for s in range(5)}
    # What came from outside is all of this together.
    for state in flow.states.values():
        for t in state.steps.tolist():
            norms = [n.norm for n in flow.links if n.trajectory is state.trajectory and n.t == t]
            assert state.sent["outside"][t] <= sum(norms) + 1e-12
    table = str(flow).splitlines()
    assert table[1].split()[:2] == ["loop", "t"]
    assert len(table) == 2 + 9 + 1
    assert table[-1].startswith("From step ")


def test_shares_belong_to_columns() -> None:
    loss = seq2seq()
    flow = tg.gradient_flow(loss)
    for name, weight in flow.weights.items():
        later = name.startswith("decoder") or name in ("weight_ih", "weight_hh", "bias")
        if "attention" not in name and later:
            assert not weight.norms[:5].any(), name
        if name.endswith("_l0"):
            assert not weight.norms[5:].any(), name


def test_an_encoder_of_one_step() -> None:
    flow = tg.gradient_flow(seq2seq(T=1, attention=False, kind="GRU"))
    assert [(a, b) for a, b, _ in stages(flow)] == [(0, 1), (1, 5)]


def test_layers_and_directions_share_columns() -> None:
    for kind in (tg.nn.RNN, tg.nn.LSTM):
        for unroll in (True, False):
            net = kind(3, 2, 3, bidirectional=True, rng=0)
            y, _ = net(np.ones((4, 2, 3)), lengths=[4, 2], unroll=unroll)
            flow = tg.gradient_flow(tg.sum(y * y))
            assert flow.T == 4
            assert len(flow.columns.stages) == 1
            assert {link.kind for link in flow.links} == {"loss", "step"}


def test_calls_of_one_layer_follow_each_other() -> None:
    net = tg.nn.GRU(3, 2, rng=0, dtype=np.float64)
    state, total, whole = None, 0.0, rng.normal(size=(6, 1, 3))
    for start in (0, 2, 4):
        y, state = net(whole[start : start + 2], state, unroll=True)
        total = total + tg.sum(y * y)
    flow = tg.gradient_flow(total)
    y, _ = net(whole, unroll=True)
    once = tg.gradient_flow(tg.sum(y * y))
    assert flow.T == 6
    assert flow.columns.steps == [0, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(flow.norms, once.norms, rtol=1e-12)
    assert [len(row) for row in flow.rows()] == [3]  # one row for all
    for a, b in zip(flow.weights.values(), once.weights.values(), strict=True):
        np.testing.assert_allclose(a.norms, b.norms, rtol=1e-12)


def test_a_loop_within_a_step_stands_before_the_step() -> None:
    W = tg.Tensor(np.eye(2) / 2, requires_grad=True, name="W")
    s: Any = tg.Tensor(np.zeros(2))
    for _, letters in tg.steps([np.ones((3, 2)), np.ones((2, 2))]):
        with tg.scope("letters"):
            h: Any = tg.Tensor(np.zeros(2))
            for _, x_t in tg.steps(letters):
                h = tg.tanh(W @ h + x_t + 0.1 * s)
        s = tg.tanh(W @ s + h)
        s.name = "s_t"
    flow = tg.gradient_flow(tg.sum(s * s))
    assert stages(flow) == [(0, 3, "letters"), (3, 4, ""), (4, 6, "letters"), (6, 7, "")]
    assert flow.columns.steps == [0, 1, 2, 0, 0, 1, 1]
    assert flow.states["s"].columns.tolist() == [3, 6]
    assert [[s.name for s in row] for row in flow.rows()] == [
        ["s"],
        ["letters.h 1", "letters.h 2"],
    ]
    into_word = {(n.t, n.at) for n in flow.links if n.trajectory.name == "letters.h 1"}
    assert into_word == {(2, 0)}
    into_letters = {(n.t, n.at) for n in flow.links if n.trajectory.name == "s" and n.loop}
    assert into_letters == {(0, 0), (0, 1)}


def test_a_decoder_without_tags_of_modules() -> None:
    W = tg.Tensor(np.eye(2) / 2, requires_grad=True, name="W")
    h: Any = tg.Tensor(np.zeros(2))
    for _, x_t in tg.steps(np.ones((3, 2))):
        h = tg.tanh(W @ h + x_t)
    for _, _ in tg.steps(range(2)):
        h = tg.tanh(W @ h)
    flow = tg.gradient_flow(tg.sum(h))
    assert stages(flow) == [(0, 3, "loop 1"), (3, 5, "loop 2")]
    np.testing.assert_array_less(0, flow.norms)


# ── by identity, not by name ─────────────────────────────────────────────────────────────


def test_an_operation_called_multiply_is_no_gate() -> None:
    mean = tg.primitive(
        lambda x, y: (x + y) / 2,
        lambda g, z, x, y: g / 2,
        lambda g, z, x, y: g / 2,
        name="multiply",
        elementwise=True,
    )
    W = tg.Tensor(np.eye(2) / 2, requires_grad=True, name="W")
    h: Any = tg.Tensor(np.ones(2))
    for _, x_t in tg.steps(np.ones((3, 2))):
        h = mean(tg.sigmoid(W @ x_t), h)
    (state,) = tg.gradient_flow(tg.sum(h)).states.values()
    assert state.gates is None


def test_an_operation_called_flip_moves_nothing() -> None:
    """It scales, step by step; were it taken for NumPy's flip, the shares would be turned round."""
    by_step = tg.primitive(
        lambda x: x * np.arange(1.0, 4.0)[:, None],
        lambda g, y, x: g * np.arange(1.0, 4.0)[:, None],
        name="flip",
        elementwise=True,
    )
    W, V = (tg.Tensor(np.eye(2) / 2, requires_grad=True, name=name) for name in "WV")
    hs, h = [], tg.Tensor(np.ones(2))
    for _, x_t in tg.steps(np.ones((3, 2))):
        h = tg.tanh(W @ h + x_t)
        hs.append(h)
    loss = tg.sum(tg.linear(by_step(tg.stack(hs)), V))
    shares = tg.grads_by_step(loss, V)
    for t, h_t in enumerate(hs):
        np.testing.assert_allclose(shares[t], np.outer(np.ones(2), (t + 1) * h_t.data))
