"""The numbers of a gradient flow: states, norms, shares, Jacobians, the table, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.viz import nets
from tests.viz.nets import LAYERS, layer_loss
from tinygrad_rnn.backprop import sweep
from tinygrad_rnn.bptt.flow import Shares
from tinygrad_rnn.viz import GradientFlow


def total(loss: Any, W: Any) -> Any:
    return tg.grad(loss, W).data


# ── shares ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_shares_of_the_steps_sum_to_the_gradient(kind: str, options: Any) -> None:
    loss, layer = layer_loss(kind, **options)
    flow = tg.gradient_flow(loss)
    assert len(flow.weights) == len(list(layer.parameters()))
    for name, W in layer.named_parameters():
        by_step = tg.grads_by_step(loss, W)
        assert by_step.shape == (6, *W.shape)
        assert by_step.dtype == W.dtype
        np.testing.assert_allclose(by_step.sum(0), total(loss, W), rtol=1e-10, atol=1e-14)
        shares = flow.weights[name]
        np.testing.assert_allclose(shares.norms, np.linalg.norm(by_step.reshape(6, -1), axis=1))
        assert shares.parts.sum() == pytest.approx(1)
        assert shares.outside == 0


@given(
    T=st.integers(1, 6),
    kind=st.sampled_from(sorted(LAYERS)),
    lengths=st.lists(st.integers(1, 6), min_size=2, max_size=2),
    data=st.data(),
)
def test_the_shares_sum_to_the_gradient_of_any_net(
    T: int, kind: str, lengths: list[int], data: Any
) -> None:
    options = {"bidirectional": data.draw(st.booleans()), "bias": data.draw(st.booleans())}
    layer = LAYERS[kind](2, 3, data.draw(st.integers(1, 2)), dtype=np.float64, rng=T, **options)
    x = np.random.default_rng(T).normal(size=(T, 2, 2))
    y, _ = layer(x, lengths=[min(n, T) for n in lengths], unroll=True)
    loss = tg.sum(y * np.random.default_rng(0).normal(size=y.shape))
    flow = tg.gradient_flow(loss)
    for _, W in layer.named_parameters():
        by_step = tg.grads_by_step(loss, W)
        np.testing.assert_allclose(by_step.sum(0), total(loss, W), rtol=1e-9, atol=1e-13)
    assert flow.T <= T
    for state in flow.states.values():
        assert (state.norms[state.steps] >= 0).all()


def test_a_step_has_the_share_of_its_own_use_alone() -> None:
    """Each use of the weight is a leaf of its own: what PyTorch users do by hand."""
    xs = np.random.default_rng(0).normal(size=(4, 3))
    copies = [tg.Tensor(np.full((2, 3), 0.3), requires_grad=True) for _ in range(4)]
    shared = tg.Tensor(np.full((2, 3), 0.3), requires_grad=True, name="W")

    def loss(weights: Any) -> Any:
        h: Any = tg.Tensor(np.zeros(2))
        for t, x_t in tg.steps(xs):
            h = tg.tanh(weights[t] @ x_t + 0.5 * h)
        return tg.sum(h)

    alone = [g.data for g in tg.grad(loss(copies), copies)]
    np.testing.assert_allclose(tg.grads_by_step(loss([shared] * 4), shared), alone, rtol=1e-12)


def test_weights_outside_of_the_loop_are_told_apart_by_step() -> None:
    """An embedding for all steps before the loop, a readout of all states behind it."""
    model = tg.text.LanguageModel(7, 3, 4, dtype=np.float64, rng=0)
    ids = np.array([[0, 1], [2, 3], [4, 5], [6, 0]])

    def loss(steps: Any = slice(None)) -> Any:
        logits, _ = model(ids, unroll=True)
        return tg.nn.cross_entropy(
            logits[steps].reshape(-1, 7), ids[::-1][steps].reshape(-1), reduction="sum"
        )

    for W in model.parameters():
        by_step = tg.grads_by_step(loss(), W)
        np.testing.assert_allclose(by_step.sum(0), total(loss(), W), rtol=1e-9, atol=1e-13)
    # The readout of step t sees the loss of step t alone, and each step looked up its own rows.
    for t in range(4):
        one = total(loss(slice(t, t + 1)), model.output.weight)
        np.testing.assert_allclose(tg.grads_by_step(loss(), model.output.weight)[t], one, rtol=1e-9)
        rows = np.flatnonzero(tg.grads_by_step(loss(), model.embedding.weight)[t].any(1))
        assert set(rows) == set(ids[t])
    flow = tg.gradient_flow(loss())
    assert all(w.outside == 0 for w in flow.weights.values())


def test_a_readout_may_have_more_behind_it() -> None:
    """Stacked, moved, two layers with relu between them, tied to each other by a transpose."""
    loss_inside, cell = nets_with_readout(outside=False)
    loss_outside, again = nets_with_readout(outside=True)
    for inside, outside in zip(cell, again, strict=True):
        np.testing.assert_allclose(
            tg.grads_by_step(loss_outside, outside),
            tg.grads_by_step(loss_inside, inside),
            rtol=1e-9,
            atol=1e-13,
        )


def nets_with_readout(*, outside: bool) -> tuple[Any, list[Any]]:
    rng = np.random.default_rng(3)
    W, V = (tg.Tensor(rng.normal(size=(4, 4)), requires_grad=True) for _ in range(2))
    h: Any = tg.Tensor(rng.normal(size=(2, 4)))
    hs, ys = [], []
    for _, x_t in tg.steps(rng.normal(size=(5, 2, 4))):
        h = tg.tanh(x_t + tg.linear(h, W))
        hs.append(h)
        if not outside:
            y = tg.relu(h @ V)
            ys.append(tg.linear(y, V))
    if outside:
        y = tg.relu(tg.moveaxis(tg.stack(hs), 0, 1) @ V)
        ys = [tg.linear(y, tg.transpose(tg.transpose(V)))]
    return sum(tg.sum(tg.square(y)) for y in ys), [W, V]


def test_what_belongs_to_no_step_is_told() -> None:
    h, W = nets_state()
    loss = tg.sum(h) + 0.1 * tg.sum(tg.square(W))
    flow = tg.gradient_flow(loss)
    shares = flow.weights["W"]
    assert shares.parts.sum() + shares.outside == pytest.approx(1)
    assert shares.outside != 0
    assert "outside" in str(flow)
    with pytest.raises(ValueError, match=r"grads_by_step: W also has a gradient .* no time"):
        tg.grads_by_step(loss, W)


def nets_state(T: int = 4) -> tuple[Any, Any]:
    W = tg.Tensor(np.full((2, 2), 0.4), requires_grad=True, name="W")
    h: Any = tg.Tensor(np.ones(2))
    for _, x_t in tg.steps(np.ones((T, 2))):
        h = tg.tanh(W @ h + x_t)
    return h, W


def test_a_sequence_that_requires_grad_is_an_input() -> None:
    x = tg.Tensor(np.ones((5, 2)), requires_grad=True, name="x")
    h: Any = tg.Tensor(np.zeros(2))
    for _, x_t in tg.steps(x):
        h = 0.5 * h + x_t
    loss = tg.sum(h)
    flow = tg.gradient_flow(loss)
    np.testing.assert_allclose(flow.inputs, np.sqrt(2) * 0.5 ** np.arange(4, -1, -1))
    assert not flow.weights
    by_step = tg.grads_by_step(loss, x)
    assert by_step.shape == (5, 5, 2)
    np.testing.assert_allclose(by_step.sum(0), total(loss, x))
    assert all(set(np.flatnonzero(by_step[t].any(1))) == {t} for t in range(5))


def test_a_leaf_for_each_step_is_an_input() -> None:
    xs = [tg.Tensor(np.ones(2), requires_grad=True, name=f"x_{t}") for t in range(3)]
    h: Any = tg.Tensor(np.zeros(2))
    for _, x_t in tg.steps(xs):
        h = 0.5 * h + x_t
    flow = tg.gradient_flow(tg.sum(h))
    np.testing.assert_allclose(flow.inputs, np.sqrt(2) * np.array([0.25, 0.5, 1]))
    assert "|dL/dx|" in str(flow)
    assert not flow.weights


def test_checkpointed_steps_are_opened() -> None:
    """What one node hides is shown; a recomputation that differs is an error."""

    def run(cell: Any) -> Any:
        h = tg.Tensor(np.zeros((1, 4)), dtype="float32")
        for _, x_t in tg.steps(np.ones((5, 1, 3))):
            h = tg.checkpoint(cell, x_t, h)
        return tg.sum(h)

    cell = tg.nn.RNNCell(3, 4, rng=0)
    h = None
    for _, x_t in tg.steps(np.ones((5, 1, 3))):
        h = cell(x_t, h)
    flow, plain = tg.gradient_flow(run(cell)), tg.gradient_flow(tg.sum(h))
    np.testing.assert_allclose(flow.norms, plain.norms, rtol=1e-6)
    noise = np.random.default_rng(0)
    loss = run(lambda x_t, h: cell(x_t, h) * noise.normal())
    with pytest.raises(ValueError, match="gradient_flow: checkpoint: the function computed some"):
        tg.gradient_flow(loss)


def test_shares_that_do_not_sum_up_are_an_error() -> None:
    bent = tg.primitive(
        np.positive, lambda g, out, x: tg.tanh(3 * g), name="bent", elementwise=True
    )
    w = tg.Tensor(0.5, requires_grad=True, name="w")
    table = tg.exp(w) * np.ones(3)
    before = bent(table)
    h: Any = tg.Tensor(1.0)
    for t, _ in tg.steps(range(3)):
        h = h * tg.sum(before * (t + 1.0))
    with pytest.raises(ValueError, match="do not sum to dL/dw: some rule is not linear"):
        tg.gradient_flow(h)


def test_a_gradient_of_zero_has_no_parts() -> None:
    w = tg.Tensor(np.zeros(3), requires_grad=True)
    shares = Shares("w", w.node, np.zeros(3), 2)  # type: ignore[arg-type]
    shares.add(0, np.array([1.0, 0, 0]))
    shares.add(1, np.array([-1.0, 0, 0]))
    shares.check(np.dtype(np.float64))
    assert np.isnan(shares.parts).all()
    assert shares.norms.tolist() == [1, 1]


# ── states ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("make", [nets.rnn, nets.lstm])
def test_norms_are_those_of_the_cotangents(make: Any) -> None:
    loss = make(5)
    flow = tg.gradient_flow(loss)
    for state in flow.states.values():
        for t, node in state.trajectory.nodes.items():
            found = sweep({loss.node: np.ones(())}, {node})
            assert state.norms[t] == pytest.approx(np.linalg.norm(found[node]))


def test_a_loop_of_ones_own_needs_no_names() -> None:
    W = tg.Tensor(np.eye(3) * 0.5, requires_grad=True)
    c: Any = tg.Tensor(np.zeros(3))
    h: Any = tg.Tensor(np.zeros(3))
    for _, x_t in tg.steps(np.ones((4, 3))):
        f = tg.sigmoid(W @ h)
        c = f * c + (1 - f) * x_t
        h = tg.tanh(c)
    flow = tg.gradient_flow(tg.sum(h))
    assert list(flow.states) == ["h", "c"]
    assert flow.states["c"].gates is not None
    assert flow.states["h"].gates is None


def test_the_product_of_gates_is_all_there_is_where_nothing_else_is() -> None:
    """c_t = f_t c_{t-1} + x_t with gates that do not see c: dL/dc_t is the product itself."""
    gates = tg.Tensor(np.linspace(0.2, 0.9, 5), requires_grad=True, name="f")
    c: Any = tg.Tensor(np.zeros(3))
    for t, x_t in tg.steps(np.ones((5, 3))):
        c = tg.sigmoid(gates[t]) * c + x_t
    state = tg.gradient_flow(tg.sum(c)).states["h"]
    assert state.gates is not None
    f = 1 / (1 + np.exp(-np.linspace(0.2, 0.9, 5)))
    np.testing.assert_allclose(state.gates[1:], f[1:])
    expected = [np.sqrt(3) * f[t + 1 :].prod() for t in range(5)]
    np.testing.assert_allclose(state.carried, expected)
    np.testing.assert_allclose(state.norms, expected)


def test_a_gru_has_a_gate_and_an_rnn_none() -> None:
    (h,) = tg.gradient_flow(layer_loss("gru")[0]).states.values()
    assert h.gates is not None
    assert ((h.gates[1:] > 0) & (h.gates[1:] < 1)).all()
    assert np.isnan(h.gates[0])
    (h,) = tg.gradient_flow(layer_loss("rnn")[0]).states.values()
    assert h.gates is None


def test_what_came_back_adds_up_to_the_whole() -> None:
    flow = tg.gradient_flow(layer_loss("lstm", last=True)[0])
    for state in flow.states.values():
        ways = sum(state.sent.values())
        assert (state.norms <= ways + 1e-12).all()
    h, c = flow.states["h"], flow.states["c"]
    assert h.sent["outside"][:-1].tolist() == [0] * 5  # the loss sees the last step alone
    assert h.sent["outside"][-1] == pytest.approx(h.norms[-1])
    assert (c.sent["step"] > 0).all()
    assert c.sent["next"][-1] == 0


def test_an_lstm_has_its_c_above_its_h_in_every_layer() -> None:
    flow = tg.gradient_flow(layer_loss("lstm", num_layers=2)[0])
    assert [name[-1] for name in flow.states] == ["h", "c", "h", "c"]
    first, second = flow.structure.loops
    links = {(link.trajectory.loop, link.kind, link.loop) for link in flow.links}
    assert links == {(first, "step", second), (second, "loss", None)}


def test_a_reversed_loop_runs_from_the_last_step() -> None:
    flow = tg.gradient_flow(layer_loss("rnn", bidirectional=True)[0])
    forth, back = flow.structure.loops
    assert [time_step.t for time_step in back.time_steps] == [5, 4, 3, 2, 1, 0]
    assert {(link.trajectory.loop, link.kind) for link in flow.links} == {
        (forth, "loss"),
        (back, "loss"),
    }
    assert flow.T == 6  # in the same columns


def test_nested_loops_show_the_one_that_a_state_runs_along() -> None:
    w = tg.Tensor(0.5, requires_grad=True)
    total: Any = 0.0
    for _, sentence in tg.steps(np.ones((2, 3))):  # nothing crosses from sentence to sentence
        h: Any = tg.Tensor(1.0)
        for _, x_t in tg.steps(sentence):
            h = tg.tanh(w * h + x_t)
        total = total + h
    flow = tg.gradient_flow(total)
    assert [len(s.steps) for s in flow.states.values() if s.kind == "state"] == [3, 3]
    h = tg.Tensor(1.0)
    for _, sentence in tg.steps(np.ones((2, 3))):  # here the state does
        for _, x_t in tg.steps(sentence):
            h = tg.tanh(w * h + x_t)
    flow = tg.gradient_flow(h)
    assert flow.T == 6
    assert flow.columns.steps == [0, 1, 2, 0, 1, 2]
    handed = [link for link in flow.links if link.kind == "state"]
    assert [(link.t, link.at) for link in handed] == [(2, 0)]
    assert handed[0].norm == pytest.approx(flow.norms[2])


def test_a_sum_of_losses_in_the_loop_is_no_state() -> None:
    cell, readout = tg.nn.RNNCell(3, 4, rng=0), tg.nn.Linear(4, 5, rng=1)
    for start in (0.0, tg.Tensor(0.0, requires_grad=True)):
        h, loss = None, start
        for _, x_t in tg.steps(np.ones((4, 2, 3))):
            h = cell(x_t, h)
            loss = loss + tg.nn.cross_entropy(readout(h), [1, 2])
        flow = tg.gradient_flow(loss)
        assert [(s.name, s.kind) for s in flow.states.values()] == [
            ("h", "state"),
            ("loss", "output"),
        ]
        assert flow.states["loss"].norms.tolist() == [1] * 4


def test_truncation_leaves_a_mark() -> None:
    cell = tg.nn.RNNCell(3, 4, rng=0)
    h: Any = tg.Tensor(np.full((2, 4), 0.1), dtype="float32")  # begins with what is not 0: no cut
    losses = []
    for t, x_t in tg.steps(np.ones((6, 2, 3))):
        h = cell(x_t, h)
        losses.append(tg.sum(h))
        if t == 2:
            h = h.detach()
    assert tg.gradient_flow(sum(losses)).states["h"].cuts.tolist() == [3]
    assert tg.gradient_flow(layer_loss("lstm")[0]).states["h"].cuts.tolist() == []


def test_a_learned_initial_state_is_none() -> None:
    h_0 = tg.Tensor(np.full((2, 4), 0.1), requires_grad=True, name="h_0", dtype="float32")
    cell, h = tg.nn.RNNCell(3, 4, rng=0), h_0
    for _, x_t in tg.steps(np.ones((3, 2, 3))):
        h = cell(x_t, h)
    flow = tg.gradient_flow(tg.sum(h))
    assert flow.states["h"].cuts.tolist() == []
    assert flow.weights["h_0"].steps.tolist() == [0]


def test_a_first_step_of_its_own_kind_is_the_same_state() -> None:
    W = tg.Tensor(np.eye(2) * 0.5, requires_grad=True, name="W")
    h: Any = None
    for t, x_t in tg.steps(np.ones((4, 2))):
        h = tg.relu(W @ x_t) if t == 0 else tg.tanh(W @ h + x_t)
        h.name = f"h[{t}]"
    flow = tg.gradient_flow(tg.sum(h))
    assert flow.states["h"].steps.tolist() == [0, 1, 2, 3]


def test_one_step_has_an_output_and_no_state() -> None:
    flow = tg.gradient_flow(layer_loss("lstm", T=1)[0])
    assert [(s.kind, len(s.steps)) for s in flow.states.values()] == [("output", 1)]
    assert flow.norms.tolist() == [pytest.approx(flow.states["h"].norms[0])]


def test_a_recorded_backward_is_not_shown_in_steps() -> None:
    """A penalty on the gradient: the loss contains a backward pass."""
    h, W = nets_state()
    g = tg.grad(tg.sum(h), W, create_graph=True)
    flow = tg.gradient_flow(tg.sum(h) + tg.sum(tg.square(g)))
    assert flow.T == 4
    assert flow.states["h"].steps.tolist() == [0, 1, 2, 3]


def test_no_grad_is_touched() -> None:
    loss, layer = layer_loss("lstm")
    loss.backward()
    before = [p.grad.copy() for p in layer.parameters()]
    flow = tg.gradient_flow(loss)
    tg.grads_by_step(loss, layer.weight_hh_l0)
    flow.jacobian(3, 1)
    flow.svg()
    for p, grad in zip(layer.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad, grad)


# ── Jacobians ────────────────────────────────────────────────────────────────────────────


def test_jacobian_of_an_rnn_is_the_product_of_its_steps() -> None:
    """dh_t/dh_{t-1} = diag(1 - h_t^2) W."""
    h, W = nets_state()
    flow = tg.gradient_flow(tg.sum(h))
    nodes = flow.states["h"].trajectory.nodes
    expected = np.eye(2)
    for t in (2, 3):
        expected = np.diag(1 - nodes[t].output ** 2) @ W.data @ expected
    matrix, singular = flow.jacobian(3, 1)
    np.testing.assert_allclose(matrix, expected, rtol=1e-12)
    np.testing.assert_allclose(singular, np.linalg.svd(expected)[1], atol=1e-15)
    np.testing.assert_array_equal(flow.jacobian(2, 2).matrix, np.eye(2))
    np.testing.assert_array_equal(flow.jacobian(1, 2).matrix, np.zeros((2, 2)))


def test_jacobian_of_an_lstm_is_that_of_the_function() -> None:
    """Against tg.jacobian of the cell run for two steps."""
    cell = tg.nn.LSTMCell(3, 4, dtype=np.float64, rng=0)
    xs = np.random.default_rng(1).normal(size=(4, 3))
    state: Any = None
    states = []
    for _, x_t in tg.steps(xs):
        state = cell(x_t, state)
        states.append(state)
    flow = tg.gradient_flow(tg.sum(state[0]))

    def two_steps(c: Any) -> Any:
        h = tg.sigmoid(o_1) * tg.tanh(c)
        for x_t in xs[2:]:
            h, c = cell(x_t, (h, c))
        return c

    z = xs[1] @ cell.weight_ih.data.T + cell.bias_ih.data + cell.bias_hh.data
    o_1 = (z + states[0][0].data @ cell.weight_hh.data.T)[12:]
    expected = tg.jacobian(two_steps, states[1][1].data).data
    np.testing.assert_allclose(flow.jacobian(3, 1, "c").matrix, expected, rtol=1e-9, atol=1e-14)


def test_a_map_of_jacobians_holds_their_norms() -> None:
    flow = tg.gradient_flow(layer_loss("rnn", T=5, last=True, bidirectional=True)[0])
    for name, state in flow.states.items():
        steps, norms = flow.jacobian_norms(name)
        assert sorted(steps) == sorted(state.steps)
        for row, t in zip(norms, steps.tolist(), strict=True):
            for s in state.steps.tolist():
                if not np.isnan(row[s]):
                    exact = np.linalg.norm(flow.jacobian(t, s, name).matrix)
                    assert row[s] == pytest.approx(exact)


def test_a_map_of_large_states_is_an_estimate() -> None:
    layer = tg.nn.RNN(2, 48, dtype=np.float64, rng=0)
    y, _ = layer(np.ones((40, 1, 2)), unroll=True)
    flow = tg.gradient_flow(tg.sum(y[-1]))
    steps, norms = flow.jacobian_norms()
    assert len(steps) == 32
    assert steps[-1] == 39
    for s in (39, 38, 36, 33):
        exact = np.linalg.norm(flow.jacobian(39, s).matrix)
        assert norms[-1, s] == pytest.approx(exact, rel=0.5)
    assert norms[-1, 39] == pytest.approx(np.sqrt(48))  # the identity's is exact


# ── shown ────────────────────────────────────────────────────────────────────────────────


def test_the_table_has_a_row_a_step_and_leaves_the_middle_out() -> None:
    flow = tg.gradient_flow(nets.lstm(5), text="hello")
    lines = str(flow).splitlines()
    assert len(lines) == 2 + 5 + 1
    assert lines[-1].startswith("From step 4 back")
    assert lines[1].split()[:4] == ["t", "text", "|dL/dc|", "gate"]
    assert "'h'" in lines[2]
    lines = str(tg.gradient_flow(nets.rnn(100))).splitlines()
    assert len(lines) == 2 + 24 + 2
    assert lines[-2].split()[0] == "99"
    assert "…" in lines[14]
    assert "5 steps" in repr(flow)
    assert "5 steps" in repr(flow.states["h"])
    assert "weight_hh" in repr(flow.weights["weight_hh"])


def test_arrays_by_name() -> None:
    loss, layer = layer_loss("gru")
    flow = tg.gradient_flow(loss)
    expected = tg.grads_by_step(loss, layer.weight_hh_l0)
    np.testing.assert_array_equal(flow.grads_by_step("weight_hh_l0"), expected)
    np.testing.assert_array_equal(flow.grads_by_step(layer.weight_hh_l0), expected)


def test_vanished_and_broken_gradients_are_numbers_too() -> None:
    w = tg.Tensor(1e-200, requires_grad=True, name="w")
    h: Any = tg.Tensor(1.0)
    for _, x_t in tg.steps(np.ones(5)):
        h = w * h + x_t
    flow = tg.gradient_flow(h)
    assert flow.states["h"].norms[0] == 0
    assert flow.states["h"].norms[3] == pytest.approx(1e-200)
    assert "svg" in flow.svg()
    w = tg.Tensor(1e200, requires_grad=True, name="w")
    h = tg.Tensor(1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        for _, x_t in tg.steps(np.ones(5)):
            h = w * h + x_t
    flow = tg.gradient_flow(h)
    assert np.isinf(flow.states["h"].norms[0])
    assert np.isnan(flow.jacobian(4, 0).singular_values).all()
    assert "NaN or Inf" in flow.svg()
    assert "svg" in flow.html()


# ── bad input ────────────────────────────────────────────────────────────────────────────


def test_bad_losses_are_named() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="gradient_flow: expected a Tensor, got float"):
        tg.gradient_flow(1.0)
    with pytest.raises(ValueError, match="gradient_flow: this tensor has no graph"):
        tg.gradient_flow(tg.Tensor(1.0))
    with pytest.raises(ValueError, match=r"gradient_flow: expected a scalar .*\(2,\)"):
        tg.gradient_flow(w * 2)
    with pytest.raises(ValueError, match=r"without time steps.*tg\.steps.*unroll=True"):
        tg.gradient_flow(tg.sum(w))
    with pytest.raises(ValueError, match=r"grads_by_step: .*tg\.steps.*unroll=True"):
        tg.grads_by_step(tg.sum(w), w)


def test_bad_weights_and_texts_are_named() -> None:
    h, W = nets_state()
    loss = tg.sum(h)
    with pytest.raises(TypeError, match="expected W as a Tensor, got ndarray"):
        tg.grads_by_step(loss, W.data)
    with pytest.raises(ValueError, match="expected W as a leaf"):
        tg.grads_by_step(loss, h)
    other = tg.Tensor(np.ones(3), requires_grad=True)
    assert not tg.grads_by_step(loss, other).any()
    with pytest.raises(ValueError, match=r"text as one string for each of the 4 .* got 2"):
        tg.gradient_flow(loss, text="ab")
    with pytest.raises(ValueError, match="text as one string for each"):
        tg.gradient_flow(loss, text=[1, 2, 3, 4])  # type: ignore[list-item]


def test_bad_names_and_steps_are_named() -> None:
    flow = tg.gradient_flow(tg.sum(nets_state()[0]))
    assert isinstance(flow, GradientFlow)
    with pytest.raises(KeyError, match="expected one of h, got 'c'"):
        flow.jacobian(1, 0, "c")
    with pytest.raises(IndexError, match="at the time steps 0 to 3, not at 4"):
        flow.jacobian(4, 0)
    with pytest.raises(KeyError, match="expected one of W, got 'V'"):
        flow.grads_by_step("V")


def test_an_op_that_is_not_understood_is_not_guessed() -> None:
    """cumsum mixes the steps: what a weight behind it gets belongs to none of them."""
    rng = np.random.default_rng(0)
    V = tg.Tensor(rng.normal(size=(2, 2)), requires_grad=True, name="V")
    hs = []
    h, W = tg.Tensor(np.ones(2)), tg.Tensor(np.eye(2) * 0.5, requires_grad=True, name="W")
    for _, x_t in tg.steps(np.ones((3, 2))):
        h = tg.tanh(W @ h + x_t)
        hs.append(h)
    loss = tg.sum(tg.linear(tg.cumsum(tg.stack(hs), 0), V))
    flow = tg.gradient_flow(loss)
    assert flow.weights["V"].outside == pytest.approx(1)
    assert flow.weights["W"].outside == 0
    assert flow.weights["V"].norms.tolist() == [0, 0, 0]
