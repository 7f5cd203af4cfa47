"""Why the gradient vanishes: the parts of the Jacobians, and the sentence."""

import re

import numpy as np
import pytest

import tinygrad_rnn as tg


def flow_of(layer, T=20, inputs=1.0, recurrent=1.0, lengths=None, batch=4):
    for name, p in layer.named_parameters():
        if "weight_hh" in name:
            p.data = (p.data * recurrent).astype(p.data.dtype)
    x = inputs * np.random.default_rng(0).normal(size=(T, batch, layer.input_size))
    y, _ = layer(x, lengths=lengths, unroll=True)
    return tg.gradient_flow((y[-1] ** 2).sum())


def test_the_parts_of_a_tanh_net_are_the_factors_of_its_jacobian():
    layer = tg.nn.RNN(3, 5, dtype=np.float64, rng=0)
    flow = flow_of(layer, T=6, batch=1)
    h, W = flow.structure.states[0].nodes, layer.weight_hh_l0.data
    parts = flow.jacobian_parts()
    assert [p.t for p in parts] == [1, 2, 3, 4, 5]
    for p in parts:
        slope = 1 - h[p.t].output[0] ** 2
        np.testing.assert_allclose(flow.jacobian(p.t, p.t - 1).matrix, slope[:, None] * W)
        [found] = p.slopes
        assert found.name.startswith("tanh")
        assert (found.mean, found.units) == (pytest.approx(slope.mean()), 5)
        assert found.saturated == (slope < 0.1).sum()
        np.testing.assert_allclose(p.weights["weight_hh_l0"], np.linalg.svd(W, compute_uv=False))
        g = flow.cotangents[h[p.t]][0]
        assert found.passed == pytest.approx(np.linalg.norm(g * slope) / np.linalg.norm(g))
        assert p.passed == pytest.approx(np.linalg.norm((g * slope) @ W) / np.linalg.norm(g))


def test_the_gates_of_an_lstm_and_a_gru():
    flow = flow_of(tg.nn.LSTM(3, 4, dtype=np.float64, rng=0), T=5)
    last = flow.jacobian_parts("c")[-1]
    assert next(iter(last.gates)) == "f"
    assert set(last.gates) == {"f", "i", "o"}
    assert not last.weights  # c reaches the next c by its gate alone
    of_h = flow.jacobian_parts("h")[-1]
    assert {slope.name for slope in of_h.slopes} >= {"sigmoid (f)", "tanh (g)"}
    assert list(of_h.weights) == ["weight_hh_l0"]
    gru = flow_of(tg.nn.GRU(3, 4, dtype=np.float64, rng=0), T=5).jacobian_parts()[-1]
    assert list(gru.gates) == ["z", "r"]


SENTENCES = {
    "saturated tanh": (
        lambda: flow_of(tg.nn.RNN(3, 16, rng=0), inputs=30),
        r"From step 19 back, tanh is saturated in 1\d of 16 units and passes 0\.\d+ of the "
        r"gradient a step; weight_hh_l0 has singular values up to 1\.1 and passes 0\.\d+ of it\.",
    ),
    "small weights": (
        lambda: flow_of(tg.nn.RNN(3, 16, bias=False, rng=0), inputs=0.01),
        r"From step 19 back, weight_hh_l0 has singular values up to 1\.1 and passes .* of the "
        r"gradient a step; tanh has a mean slope of 1 and passes 1 of it\.",
    ),
    "explodes": (
        lambda: flow_of(tg.nn.RNN(3, 16, nonlinearity="relu", rng=0), recurrent=4),
        r"From step 19 back, weight_hh_l0 has singular values up to .* and multiplies the gradient "
        r"by 2\.9 a step; relu is saturated in \d of 16 units and passes 0\.9 of it\.",
    ),
    "forget gate": (
        lambda: flow_of(tg.nn.LSTM(3, 16, rng=0)),
        r"From step 19 back, the gate f is 0\.51 on average: a step passes 0\.5\d of the gradient "
        r"of c\.",
    ),
    "update gate": (
        lambda: flow_of(tg.nn.GRU(3, 16, rng=0)),
        r"From step 19 back, the gate z is 0\.\d+ on average: a step passes .* gradient of h\.",
    ),
    "two layers": (
        lambda: flow_of(tg.nn.LSTM(3, 16, 2, rng=0)),
        r"From step 19 back, .* of the gradient of lstm\.l[01]\.c\.",
    ),
    "two directions": (lambda: flow_of(tg.nn.RNN(3, 8, bidirectional=True, rng=0)), r"From step "),
    "lengths": (
        lambda: flow_of(tg.nn.LSTM(3, 8, rng=0), T=9, lengths=[9, 9, 9, 9]),
        r"From step 8 back, the gate f",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_one_sentence_says_why(name):
    make, pattern = SENTENCES[name]
    flow = make()
    assert re.match(pattern, flow.reason), flow.reason
    assert flow.reason.count(".") - len(re.findall(r"\d\.\d|l\d\.|lstm\.|rnn\.", flow.reason)) == 1
    assert str(flow).splitlines()[-1] == flow.reason
    words = re.sub("<[^>]+>", " ", flow.svg())
    assert " ".join(words.split()).count(flow.reason.split(",")[0]) == 1


def test_part_of_the_way():
    """In some steps in the middle the inputs saturate every unit."""
    cell = tg.nn.RNNCell(8, 8, bias=False, dtype=np.float64, rng=0)
    cell.weight_hh.data, cell.weight_ih.data = 0.95 * np.eye(8), np.eye(8)
    x = np.zeros((30, 1, 8))
    x[5:13] = 2
    x[13] = -0.95  # back to 0
    h = None
    for _, x_t in tg.steps(x):
        h = cell(x_t, h)
    flow = tg.gradient_flow(h.sum())
    assert flow.reason == (
        "From step 12 back to step 4, tanh is saturated in 8 of 8 units and passes 0.014 of the "
        "gradient a step; weight_hh has singular values up to 0.95 and passes 0.95 of it."
    )


def test_a_loop_of_ones_own_and_a_kept_gradient():
    a = tg.Tensor(0.999, requires_grad=True, name="a")
    h = tg.Tensor(np.ones(3))
    for _ in range(1):
        for _, x_t in tg.steps(np.ones((8, 3))):
            h = a * h + x_t
    flow = tg.gradient_flow(h.sum())
    assert flow.reason == "From step 7 back, a has the size 1: a step passes 1 of the gradient."


def test_nothing_to_say():
    w = tg.Tensor(np.ones(3), requires_grad=True)
    loss = tg.Tensor(0.0)
    for _, x_t in tg.steps(np.ones((2, 3))):
        loss = (w * x_t).sum()
    assert tg.gradient_flow(loss).reason == ""


def test_what_is_not_finite_is_no_reason():
    cell = tg.nn.RNNCell(2, 3, nonlinearity="relu", dtype=np.float64, rng=0)
    cell.weight_hh.data = np.full((3, 3), 1e200)
    h = None
    with np.errstate(all="ignore"):  # NumPy warns in the forward pass, machine code does not
        for _, x_t in tg.steps(np.ones((5, 1, 2))):
            h = cell(x_t, h)
        flow = tg.gradient_flow(h.sum())
        assert isinstance(str(flow), str)
