"""RNNCell and LSTMCell against the equations written down once more, in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn

CELLS = [nn.RNNCell, nn.LSTMCell]
sizes = st.integers(1, 5)
batches = st.sampled_from([(), (0,), (1,), (3,)])
seeds = st.integers(0, 999)


def sigmoid(z):
    return np.where(z > 0, 1, np.exp(np.minimum(z, 0))) / (1 + np.exp(-abs(z)))


def summed(cell, x, h):
    z = x @ cell.weight_ih.data.T + h @ cell.weight_hh.data.T
    return z + cell.bias_ih.data + cell.bias_hh.data if cell.bias_ih is not None else z


def rnn_reference(cell, x, h):
    z = summed(cell, x, h)
    return np.tanh(z) if cell.nonlinearity == "tanh" else np.where(z > 0, z, 0)


def lstm_reference(cell, x, h, c):
    H = cell.hidden_size
    z = summed(cell, x, h)
    i, f, g, o = (z[..., k * H : (k + 1) * H] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


# ── values ───────────────────────────────────────────────────────────────────────────────


@given(sizes, sizes, batches, st.booleans(), st.sampled_from(["tanh", "relu"]), seeds)
def test_rnn_cell_follows_its_equation(D, H, batch, bias, nonlinearity, seed):
    cell = nn.RNNCell(D, H, bias, nonlinearity, dtype=np.float64, rng=seed)
    rng = np.random.default_rng(seed)
    x, h = rng.standard_normal((*batch, D)), rng.standard_normal((*batch, H))
    np.testing.assert_allclose(cell(x, h).numpy(), rnn_reference(cell, x, h), atol=1e-12)
    np.testing.assert_allclose(cell(x).numpy(), rnn_reference(cell, x, h * 0), atol=1e-12)


@given(sizes, sizes, batches, st.booleans(), seeds, st.sampled_from([1.0, 30.0]))
def test_lstm_cell_follows_its_equations(D, H, batch, bias, seed, scale):
    cell = nn.LSTMCell(D, H, bias, dtype=np.float64, rng=seed)
    rng = np.random.default_rng(seed)
    x = scale * rng.standard_normal((*batch, D))
    h, c = rng.standard_normal((2, *batch, H))
    for state, reference in (((h, c), (h, c)), ([h, c], (h, c)), (None, (h * 0, c * 0))):
        for ours, expected in zip(cell(x, state), lstm_reference(cell, x, *reference), strict=True):
            np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell_class", CELLS)
def test_float32_stays_float32_and_is_close(cell_class):
    cell, double = (cell_class(4, 5, dtype=t, rng=0) for t in (np.float32, np.float64))
    double.load_state_dict(cell.state_dict())
    x = np.random.default_rng(0).standard_normal((3, 4))
    single, wide = (c(x) if cell_class is nn.RNNCell else c(x)[0] for c in (cell, double))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single.numpy(), wide.numpy(), rtol=1e-5, atol=1e-6)
    with tg.no_grad():
        out = cell(x)
    assert not (out if cell_class is nn.RNNCell else out[0]).requires_grad


@pytest.mark.parametrize("cell_class", CELLS)
def test_a_batch_is_its_rows_one_by_one(cell_class):
    cell = cell_class(3, 4, dtype=np.float64, rng=0)
    x = np.random.default_rng(0).standard_normal((5, 3))
    whole = cell(x)
    for n in range(5):
        single = cell(x[n])
        pairs = zip(whole, single, strict=True) if cell_class is nn.LSTMCell else [(whole, single)]
        for a, b in pairs:
            np.testing.assert_allclose(a.numpy()[n], b.numpy(), rtol=1e-12)


def test_what_a_gate_does():
    """With its gate forced open or shut, each part of the LSTM does the one thing it is for."""
    rng = np.random.default_rng(0)
    x, h, c = rng.standard_normal((2, 3)), rng.standard_normal((2, 4)), rng.standard_normal((2, 4))

    def forced(**gates):
        cell = nn.LSTMCell(3, 4, dtype=np.float64, rng=0)
        bias = cell.bias_ih.numpy()
        for gate, value in gates.items():
            k = "ifgo".index(gate)
            bias[4 * k : 4 * k + 4] = value
        cell.bias_ih.data = bias
        return cell(x, (h, c))

    np.testing.assert_allclose(forced(i=-1e4, f=1e4)[1].numpy(), c)  # remembers
    np.testing.assert_allclose(forced(i=-1e4, f=-1e4)[1].numpy(), 0, atol=1e-300)  # forgets
    np.testing.assert_allclose(forced(i=1e4, f=-1e4, g=1e4)[1].numpy(), 1)  # takes the new
    np.testing.assert_allclose(forced(o=-1e4)[0].numpy(), 0, atol=1e-300)  # keeps quiet


# ── gradients ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("cell_class", CELLS)
def test_gradients_of_every_parameter_and_input_through_three_steps(cell_class, batch, bias):
    cell = cell_class(2, 3, bias, dtype=np.float64, rng=1)
    names = [name for name, _ in cell.named_parameters()]
    rng = np.random.default_rng(2)
    xs = rng.standard_normal((3, *batch, 2))
    states = [rng.standard_normal((*batch, 3)) for _ in range(1 + (cell_class is nn.LSTMCell))]

    def f(xs, *rest):
        own = dict(zip(names, rest[: len(names)], strict=True))
        for name, tensor in own.items():
            vars(cell)[name] = tensor
        state = rest[len(names) :]
        state = state if cell_class is nn.LSTMCell else state[0]
        for t in range(3):
            state = cell(xs[t], state)
        return state

    inputs = [xs, *cell.state_dict().values(), *states]
    assert tg.testing.gradcheck(f, inputs)
    assert tg.testing.gradgradcheck(f, inputs)


@pytest.mark.parametrize("cell_class", CELLS)
def test_only_what_is_asked_for_gets_a_gradient(cell_class):
    cell = cell_class(2, 3, rng=0)
    cell.weight_hh.requires_grad = False
    x = tg.Tensor(np.ones((4, 2), np.float32), requires_grad=True)
    out = cell(x)
    (out if cell_class is nn.RNNCell else out[1]).sum().backward()
    assert cell.weight_hh.grad is None
    assert x.grad.shape == (4, 2)
    assert cell.weight_ih.grad.shape == cell.weight_ih.shape


def test_pictures_find_the_names_of_gates_and_states():
    cell = nn.LSTMCell(2, 3, rng=0)
    h, c = cell(np.ones((1, 2)))
    nodes = tg.graph.ancestors(tg.backprop.expanded([h.node, c.node]))
    names = {node.name for node in nodes}
    assert {"i_t", "f_t", "g_t", "o_t", "c_t", "h_t", "weight_ih", "bias_hh"} <= names
    assert nn.RNNCell(2, 3)(np.ones((1, 2))).node.name == "h_t"


# ── what is refused ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cell_class", CELLS)
@pytest.mark.parametrize("shape", [(), (3,), (4, 3), (4, 2, 2)])
def test_x_of_a_wrong_size(cell_class, shape):
    with pytest.raises(ValueError, match=rf"{cell_class.__name__}: expected x \(N, 2\) or \(2,\)"):
        cell_class(2, 3)(np.ones(shape))


@pytest.mark.parametrize("shape", [(), (3,), (4, 2), (5, 3), (1, 3), (4, 3, 1)])
def test_a_state_of_a_wrong_size_is_named(shape):
    x, good, bad = np.ones((4, 2)), np.ones((4, 3)), np.ones(shape)
    with pytest.raises(ValueError, match=r"RNNCell: expected h \(4, 3\) to go with x \(4, 2\)"):
        nn.RNNCell(2, 3)(x, bad)
    with pytest.raises(ValueError, match=r"LSTMCell: expected h \(4, 3\)"):
        nn.LSTMCell(2, 3)(x, (bad, good))
    with pytest.raises(ValueError, match=r"LSTMCell: expected c \(4, 3\)"):
        nn.LSTMCell(2, 3)(x, (good, bad))


def test_errors_say_where_in_the_model_and_at_which_step():
    cell = nn.LSTMCell(2, 3)

    def run():
        for _, x_t in tg.steps([np.ones((1, 2)), np.ones((1, 7))]):
            cell(x_t)

    with tg.scope("encoder"), pytest.raises(ValueError, match=r"encoder\.lstmcell at time step 1"):
        run()


@pytest.mark.parametrize("cell_class", CELLS)
def test_other_dtypes(cell_class):
    cell = cell_class(2, 3)
    wrong = tg.Tensor(np.ones((1, 2)))
    with pytest.raises(TypeError, match="expected x of dtype float32, got a Tensor float64"):
        cell(wrong)
    state = tg.Tensor(np.ones((1, 3)))
    with pytest.raises(TypeError, match="expected h of dtype float32"):
        cell(np.ones((1, 2)), state if cell_class is nn.RNNCell else (state, state))
    with pytest.raises(TypeError, match="real numbers"):
        cell(np.array([[object(), object()]]))


def test_the_state_of_an_lstm_is_a_pair():
    cell, x, h = nn.LSTMCell(2, 3), np.ones((1, 2)), np.ones((1, 3))
    for state in (h, (h,), (h, h, h), {"h": h}):
        with pytest.raises(TypeError, match=r"a pair \(h, c\)"):
            cell(x, state)


def test_an_unknown_nonlinearity():
    with pytest.raises(ValueError, match="'tanh' or 'relu', got 'gelu'"):
        nn.RNNCell(2, 3, nonlinearity="gelu")


def test_repr():
    assert repr(nn.LSTMCell(2, 3)) == "LSTMCell(2, 3)"
    relu = nn.RNNCell(2, 3, bias=False, nonlinearity="relu")
    assert repr(relu) == "RNNCell(2, 3, bias=False, nonlinearity='relu')"
