"""Peepholes and projection of LSTMCell, against the equations in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.nn.lstm_step import lstm_equations, lstm_step

batches = st.sampled_from([(), (0,), (1,), (3,)])


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def reference(cell, x, h, c):
    p = {name: parameter.data for name, parameter in cell.named_parameters()}
    z = x @ p["weight_ih"].T + h @ p["weight_hh"].T
    if "bias_ih" in p:
        z = z + p["bias_ih"] + p["bias_hh"]
    i, f, g, o = np.split(z, 4, -1)
    old = c
    if cell.peepholes:
        i, f = i + p["weight_pi"] * old, f + p["weight_pf"] * old
    c = sigmoid(f) * old + sigmoid(i) * np.tanh(g)
    if cell.peepholes:
        o = o + p["weight_po"] * c
    h = sigmoid(o) * np.tanh(c)
    return (h @ p["weight_hr"].T if cell.proj_size else h), c


@given(
    st.integers(1, 4),
    st.integers(2, 4),
    batches,
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 99),
)
def test_the_cell_follows_its_equations(D, H, batch, bias, peepholes, proj_size, seed):
    proj_size = min(proj_size, H - 1)
    sizes = {"proj_size": proj_size, "peepholes": peepholes}
    cell = nn.LSTMCell(D, H, bias, **sizes, dtype=np.float64, rng=seed)
    rng = np.random.default_rng(seed)
    x, h = rng.standard_normal((*batch, D)), rng.standard_normal((*batch, proj_size or H))
    c = rng.standard_normal((*batch, H))
    for state, same_as in (((h, c), (h, c)), (None, (0 * h, 0 * c))):
        for ours, expected in zip(cell(x, state), reference(cell, x, *same_as), strict=True):
            np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-11, atol=1e-13)


@given(st.integers(0, 99), batches, st.booleans(), st.booleans())
def test_the_fast_step_is_the_equations_with_a_projection_and_with_peepholes(
    seed, batch, project, peepholes
):
    D, H, P = 2, 4, 3
    rng = np.random.default_rng(seed)
    width = P if project else H
    shapes = [(*batch, D), (*batch, width), (*batch, H), (4 * H, D), (4 * H, width), 4 * H, 4 * H]
    arrays = [rng.standard_normal(shape) for shape in shapes]
    arrays.append(rng.standard_normal((P, H)) if project else None)
    arrays += [rng.standard_normal(H) if peepholes else None for _ in range(3)]
    results = []
    for step in (lstm_step, lstm_equations):
        leaves = [None if a is None else tg.Tensor(a, requires_grad=True) for a in arrays]
        h, c = step(*leaves)
        ((h * h).sum() + (c * 3).sum()).backward()
        results.append([h.data, c.data, *(leaf.grad for leaf in leaves if leaf is not None)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    plain = [a.data if isinstance(a, tg.Tensor) else a for a in arrays]
    for a, b in zip(lstm_step(*plain), results[0], strict=False):
        assert type(a) is np.ndarray
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_the_output_gate_sees_the_new_cell_and_the_others_the_old_one():
    """Weights of zero, peepholes one gate at a time: each moves just what it should."""

    def run(**peepholes):
        cell = nn.LSTMCell(1, 1, peepholes=True, dtype=np.float64, rng=0)
        state = {name: np.zeros(array.shape) for name, array in cell.state_dict().items()}
        state["bias_ih"] = np.array([0.0, 0.0, 100.0, 0.0])  # the candidate is 1
        state |= {f"weight_p{gate}": np.array([w]) for gate, w in peepholes.items()}
        cell.load_state_dict(state)
        h, c = cell(np.zeros(1), (np.zeros(1), np.array([2.0])))
        return h.item(), c.item()

    usual = 0.5 * 2 + 0.5
    assert run() == pytest.approx((0.5 * np.tanh(usual), usual))
    assert run(i=1.0)[1] == pytest.approx(0.5 * 2 + sigmoid(2.0))
    assert run(f=1.0)[1] == pytest.approx(sigmoid(2.0) * 2 + 0.5)
    assert run(o=1.0) == pytest.approx((sigmoid(usual) * np.tanh(usual), usual))


def test_a_projected_state_has_its_own_size():
    cell = nn.LSTMCell(2, 4, proj_size=3)
    h, c = cell(np.ones((5, 2)))
    assert (h.shape, c.shape) == ((5, 3), (5, 4))
    with pytest.raises(ValueError, match=r"LSTMCell: expected h \(5, 3\)"):
        cell(np.ones((5, 2)), (np.ones((5, 4)), np.ones((5, 4))))
    with pytest.raises(ValueError, match=r"LSTMCell: expected c \(5, 4\)"):
        cell(np.ones((5, 2)), (np.ones((5, 3)), np.ones((5, 3))))
