"""Layers, cells and cross_entropy beside PyTorch's: values and gradients, in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

sizes = st.integers(1, 5)
seeds = st.integers(0, 999)


def twins(kind, *sizes, seed, **keywords):
    """A module of ours and PyTorch's with the weights that ours started with."""
    ours = getattr(nn, kind)(*sizes, dtype=np.float64, rng=seed, **keywords)
    theirs = getattr(torch.nn, kind)(*sizes, dtype=torch.float64, **keywords)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    return ours, theirs


def same(ours, theirs):
    theirs = theirs.detach().numpy() if theirs is not None else None
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def same_gradients(ours, theirs):
    mine, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(mine) == list(others)
    for name, parameter in mine.items():
        same(parameter.grad, others[name].grad)


def test_a_state_dict_of_theirs_loads_unchanged():
    for kind, sizes in (("Linear", (3, 2)), ("Embedding", (3, 2)), ("LSTMCell", (3, 2))):
        ours, theirs = twins(kind, *sizes, seed=0)
        fresh = getattr(torch.nn, kind)(*sizes)
        ours.load_state_dict({name: tensor.numpy() for name, tensor in fresh.state_dict().items()})
        ours.load_state_dict(theirs.state_dict())
        same(next(ours.parameters()).data, next(theirs.parameters()))


@given(sizes, sizes, st.sampled_from([(), (0,), (3,)]), st.booleans(), seeds)
def test_cells_over_several_steps(D, H, batch, bias, seed):
    rng = np.random.default_rng(seed)
    xs = rng.standard_normal((4, *batch, D))
    for kind, keywords in (
        ("LSTMCell", {}),
        ("RNNCell", {}),
        ("RNNCell", {"nonlinearity": "relu"}),
    ):
        ours, theirs = twins(kind, D, H, seed=seed, bias=bias, **keywords)
        lstm = kind == "LSTMCell"
        first = [rng.standard_normal((*batch, H)) for _ in range(1 + lstm)]
        mine = [tg.Tensor(a, requires_grad=True) for a in (xs, *first)]
        others = [torch.tensor(a, requires_grad=True) for a in (xs, *first)]
        ends = []
        for cell, (x, *state) in ((ours, mine), (theirs, others)):
            state = tuple(state) if lstm else state[0]
            for t in range(4):
                state = cell(x[t], state)
            ends.append(state if lstm else (state,))
            sum((y * y * (k + 1)).sum() for k, y in enumerate(ends[-1])).backward()
        for a, b in zip(*ends, strict=True):
            same(a.numpy(), b)
        same_gradients(ours, theirs)
        for a, b in zip(mine, others, strict=True):
            same(a.grad, b.grad)


@given(
    st.lists(st.integers(1, 3), max_size=3).map(tuple),
    st.integers(1, 5),
    st.sampled_from(["none", "sum", "mean"]),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from(["indices", "probabilities"]),
    st.sampled_from([1.0, 1000.0]),
    seeds,
)
def test_cross_entropy(batch, classes, reduction, weighted, smoothing, kind, scale, seed):
    rng = np.random.default_rng(seed)
    shape = (*batch[:1], classes, *batch[1:])
    logits = rng.standard_normal(shape) * scale
    weight = rng.uniform(0.5, 2, classes) if weighted else None
    if kind == "indices":
        target = rng.integers(0, classes, batch)
        target = np.where(rng.random(batch) < 0.2, -100, target)
    else:
        target = rng.uniform(0, 1, shape)
    x, y = tg.Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    settings = {"reduction": reduction, "label_smoothing": smoothing}
    ours = nn.cross_entropy(x, target, weight, **settings)
    theirs = torch.nn.functional.cross_entropy(
        y, torch.tensor(target), None if weight is None else torch.tensor(weight), **settings
    )
    same(ours.numpy(), theirs)
    ours.sum().backward()
    theirs.sum().backward()
    if np.isfinite(theirs.detach().numpy()).all():  # the mean of nothing is NaN in both
        np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=1e-9, atol=1e-12 * scale)
