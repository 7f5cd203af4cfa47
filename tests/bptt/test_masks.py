"""Sequences of several lengths in one batch, and what only looks like that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


def layer_flow(kind: str, lengths: list[int], T: int, *, unroll: bool, **options: Any) -> Any:
    net = {"rnn": tg.nn.RNN, "lstm": tg.nn.LSTM, "gru": tg.nn.GRU}[kind](
        3, 2, rng=0, dtype=np.float64, **options
    )
    x = np.random.default_rng(1).normal(size=(T, len(lengths), 3))
    y, _ = net(x, lengths=lengths, unroll=unroll)
    return tg.gradient_flow(tg.sum(y * y))


@pytest.mark.parametrize("unroll", [True, False])
def test_lengths_change_neither_names_nor_places_of_states(unroll: bool) -> None:
    flow = layer_flow("lstm", [5, 2, 1], 5, unroll=unroll)
    assert list(flow.states) == ["h", "c"]
    assert all(np.isfinite(state.norms).all() for state in flow.states.values())
    assert flow.states["c"].gates is not None
    assert "where" not in str(flow)
    # And with padding behind the longest one.
    padded = layer_flow("lstm", [5, 2, 1], 8, unroll=unroll)
    assert padded.T == 5


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 3}, {"bidirectional": True}])
def test_a_batch_is_what_its_sequences_are_alone(kind: str, options: Any) -> None:
    lengths, T = [5, 2, 1], 6
    net = {"rnn": tg.nn.RNN, "lstm": tg.nn.LSTM, "gru": tg.nn.GRU}[kind](
        3, 2, rng=0, dtype=np.float64, **options
    )
    x = np.random.default_rng(1).normal(size=(T, 3, 3))
    for unroll in (True, False):
        y, _ = net(x, lengths=lengths, unroll=unroll)
        flow = tg.gradient_flow(tg.sum(y * y))
        alone = []
        for n, length in enumerate(lengths):
            y, _ = net(x[:length, n : n + 1], unroll=unroll)
            alone.append(tg.gradient_flow(tg.sum(y * y)))
        for name, state in flow.states.items():
            total = np.zeros(5)
            for other in alone:
                # A single step has an output in the state's place, and no c that crosses.
                of_one = other.states.get(name)
                if of_one is not None:
                    total[: len(of_one.norms)] += np.nan_to_num(of_one.norms) ** 2
            several = slice(1, None) if name.endswith("c") else slice(None)
            np.testing.assert_allclose(state.norms[several], np.sqrt(total)[several], rtol=1e-9)


def own_loop(start: int, form: str) -> Any:
    rng = np.random.default_rng(0)
    W = tg.Tensor(rng.normal(size=(4, 4)) / 2, requires_grad=True, name="W")
    x = rng.normal(size=(5, 3, 4))
    lengths = np.array([5, 3, 2])
    h: Any = tg.Tensor(np.zeros((3, 4)))
    c: Any = tg.Tensor(np.zeros((3, 4)))
    for t, x_t in tg.steps(x):
        f = tg.sigmoid(x_t + h @ W)
        new_c = f * c + x_t
        new_h = tg.tanh(new_c)
        mask = (t < lengths)[:, None]
        if t < start:
            h, c = new_h, new_c
        elif form == "where":
            h, c = tg.where(mask, new_h, h), tg.where(mask, new_c, c)
        elif form == "turned round":
            h, c = tg.where(~mask, h, new_h), tg.where(~mask, c, new_c)
        else:
            m = mask * 1.0
            h, c = m * new_h + (1 - m) * h, (1 - m) * c + m * new_c
    return tg.gradient_flow(tg.sum(h * h))


@pytest.mark.parametrize("form", ["where", "turned round", "product"])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_a_loop_of_ones_own_that_masks(start: int, form: str) -> None:
    """Also one that begins to mask later: h and c keep their places."""
    flow, first = own_loop(start, form), own_loop(0, "where")
    assert list(flow.states) == ["h", "c"]
    assert flow.states["h"].gates is None
    for name in ("h", "c"):
        np.testing.assert_allclose(flow.states[name].norms, first.states[name].norms, rtol=1e-12)
        np.testing.assert_allclose(
            flow.states[name].sent["outside"], first.states[name].sent["outside"], rtol=1e-12
        )
    np.testing.assert_allclose(flow.states["c"].gates, first.states["c"].gates, rtol=1e-12)
    np.testing.assert_allclose(flow.states["c"].carried, first.states["c"].carried, rtol=1e-12)


def test_a_mask_of_units_is_none_of_sequences() -> None:
    """Zoneout: a unit that stands still belongs to the state all the same."""
    rng = np.random.default_rng(0)
    W = tg.Tensor(rng.normal(size=(4, 4)) / 2, requires_grad=True, name="W")
    keep = rng.random(size=(6, 2, 4)) < 0.5
    h: Any = tg.Tensor(np.zeros((2, 4)))
    hs = []
    for t, x_t in tg.steps(rng.normal(size=(6, 2, 4))):
        h = tg.where(keep[t], tg.tanh(x_t + h @ W), h)
        hs.append(h)
    loss = tg.sum(h * h)
    (state,) = tg.gradient_flow(loss).states.values()
    for t, h_t in enumerate(hs):
        assert state.trajectory.nodes[t].output is h_t.node.output
    assert not state.trajectory.masks


def test_an_output_that_relu_makes_zero_is_no_end_of_a_sequence() -> None:
    w = tg.Tensor(np.full((1, 1), -0.9), requires_grad=True, name="w")
    h: Any = tg.Tensor(np.ones((1, 1)))
    total: Any = 0.0
    for _, x_t in tg.steps(np.full((5, 1, 1), 0.1)):
        h = h @ w + x_t  # its sign changes from step to step
        total = total + tg.sum(tg.where(h.data > 0, h, 0.0))
    flow = tg.gradient_flow(total)
    assert flow.T == 5
    assert flow.states["h"].steps.tolist() == [0, 1, 2, 3, 4]


def test_jacobians_know_the_ends_of_sequences() -> None:
    """dh_t/dh_s of a batch is block by block that of its sequences; 0 where one is over."""
    flow = layer_flow("rnn", [4, 2], 4, unroll=True)
    matrix = flow.jacobian(3, 0).matrix
    assert matrix[:2, :2].any()
    assert not matrix[2:].any()
    assert not matrix[:, 2:].any()
    assert flow.jacobian(1, 0).matrix[2:, 2:].any()
