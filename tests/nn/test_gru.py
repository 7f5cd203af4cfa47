"""GRUCell against its equations, and what its gates mean in the two conventions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.backprop import expanded

sizes = st.integers(1, 5)
batches = st.sampled_from([(), (0,), (1,), (3,)])
seeds = st.integers(0, 999)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def parts(cell):
    """W_ir, W_iz, W_in, W_hr, ...: the matrices and biases of each gate."""
    found = []
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        parameter = getattr(cell, name)
        zeros = np.zeros(3 * cell.hidden_size)
        found += np.split(zeros if parameter is None else parameter.numpy(), 3)
    return found


def reference(cell, x, h, takes_the_new=False):
    """h_t in plain NumPy; ``takes_the_new``: with z_t in the other convention."""
    W_ir, W_iz, W_in, W_hr, W_hz, W_hn, b_ir, b_iz, b_in, b_hr, b_hz, b_hn = parts(cell)
    r = sigmoid(x @ W_ir.T + b_ir + h @ W_hr.T + b_hr)
    z = sigmoid(x @ W_iz.T + b_iz + h @ W_hz.T + b_hz)
    if cell.reset_after:
        n = np.tanh(x @ W_in.T + b_in + r * (h @ W_hn.T + b_hn))
    else:
        n = np.tanh(x @ W_in.T + b_in + (r * h) @ W_hn.T + b_hn)
    return z * n + (1 - z) * h if takes_the_new else (1 - z) * n + z * h


@given(sizes, sizes, batches, st.booleans(), st.booleans(), seeds)
def test_the_cell_follows_its_equations(D, H, batch, bias, reset_after, seed):
    cell = nn.GRUCell(D, H, bias, reset_after=reset_after, dtype=np.float64, rng=seed)
    rng = np.random.default_rng(seed)
    x, h = rng.standard_normal((*batch, D)), rng.standard_normal((*batch, H))
    np.testing.assert_allclose(cell(x, h).numpy(), reference(cell, x, h), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(cell(x).numpy(), reference(cell, x, h * 0), rtol=1e-11, atol=1e-13)


def negated(state, H):
    """The weights with those of the update gate negated."""
    for array in state.values():
        array[H : 2 * H] *= -1
    return state


@given(sizes, sizes, st.booleans(), st.booleans(), seeds)
def test_negating_the_update_gate_turns_one_convention_into_the_other(
    D, H, bias, reset_after, seed
):
    """z near 1 keeps the old value here and takes the new one there: 1 - s(a) = s(-a)."""
    cell = nn.GRUCell(D, H, bias, reset_after=reset_after, dtype=np.float64, rng=seed)
    layer = nn.GRU(D, H, bias=bias, reset_after=reset_after, dtype=np.float64)
    rng = np.random.default_rng(seed)
    xs, h = rng.standard_normal((4, 3, D)), rng.standard_normal((3, H))
    layer.load_state_dict({f"{k}_l0": v for k, v in negated(cell.state_dict(), H).items()})
    _, last = layer(xs, h[np.newaxis])
    for x in xs:
        h = reference(cell, x, h, takes_the_new=True)
    np.testing.assert_allclose(last.numpy()[0], h, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reset_after", [True, False])
def test_what_a_gate_does(reset_after):
    """With its gate forced open or shut, each does the one thing it is for."""
    rng = np.random.default_rng(0)
    x, h, other = rng.standard_normal((2, 3)), *rng.standard_normal((2, 2, 4))

    def forced(state, **gates):
        cell = nn.GRUCell(3, 4, reset_after=reset_after, dtype=np.float64, rng=0)
        bias = cell.bias_ih.numpy()
        for gate, value in gates.items():
            k = "rzn".index(gate)
            bias[4 * k : 4 * k + 4] = value
        cell.bias_ih.data = bias
        return cell(x, state).numpy()

    np.testing.assert_allclose(forced(h, z=1e4), h)  # keeps
    np.testing.assert_allclose(forced(h, z=-1e4, n=1e4), 1)  # takes the candidate
    new = forced(h, z=-1e4, r=-1e4)  # the candidate after a reset knows nothing of h
    np.testing.assert_allclose(new, forced(other, z=-1e4, r=-1e4))
    assert (forced(h, z=-1e4) != forced(other, z=-1e4)).all()


def test_where_the_reset_acts_makes_a_difference():
    after, before = (
        nn.GRUCell(3, 4, reset_after=a, dtype=np.float64, rng=0) for a in (True, False)
    )
    x, h = np.ones((2, 3)), np.random.default_rng(0).standard_normal((2, 4))
    assert (abs(after(x, h).numpy() - before(x, h).numpy()) > 1e-6).all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reset_after", [True, False])
def test_gradients_of_first_and_second_order(bias, reset_after):
    cell = nn.GRUCell(2, 3, bias, reset_after=reset_after, dtype=np.float64, rng=0)
    state = cell.state_dict()
    rng = np.random.default_rng(0)

    def f(x, h, *weights):
        for name, weight in zip(state, weights, strict=True):
            vars(cell)[name] = weight
        return cell(x, cell(x, h))

    inputs = [rng.standard_normal((2, 2)), rng.standard_normal((2, 3)), *state.values()]
    assert tg.testing.gradcheck(f, inputs)
    assert tg.testing.gradgradcheck(f, inputs)


def test_pictures_find_the_names_of_gates_and_states():
    for reset_after in (True, False):
        h = nn.GRUCell(2, 3, reset_after=reset_after)(np.ones((1, 2)))
        names = {node.name for node in tg.graph.ancestors(expanded([h.node]))}
        assert {"r_t", "z_t", "n_t", "h_t", "weight_ih", "bias_hh"} <= names


@pytest.mark.parametrize("kind", ["GRU", "GRUCell"])
def test_the_docstrings_state_both_conventions(kind):
    text = " ".join(getattr(nn, kind).__doc__.split())
    assert "z_t near 1 keeps the old value here" in text
    assert "z_t near 1 takes the new value" in text
    assert "PyTorch" in text
    assert "Cho et al." in text


def test_what_is_refused():
    cell = nn.GRUCell(2, 3)
    with pytest.raises(ValueError, match=r"GRUCell: expected x \(N, 2\) or \(2,\), got \(4, 3\)"):
        cell(np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"GRUCell: expected h \(4, 3\) to go with x \(4, 2\)"):
        cell(np.ones((4, 2)), np.ones((4, 2)))
    with pytest.raises(TypeError, match="expected x of dtype float32, got a Tensor float64"):
        cell(tg.Tensor(np.ones((4, 2))))


def test_repr():
    assert repr(nn.GRUCell(2, 3)) == "GRUCell(2, 3)"
    assert repr(nn.GRUCell(2, 3, bias=False, reset_after=False)) == (
        "GRUCell(2, 3, bias=False, reset_after=False)"
    )
