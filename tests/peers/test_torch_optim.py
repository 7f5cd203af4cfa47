"""Fifty steps of every optimiser, and clipping, beside PyTorch's in float64."""

import numpy as np
import pytest

from tinygrad_rnn import nn, optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adagrad", {}),
    (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5},
    ),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5}),
    ("RMSprop", {"centered": True, "momentum": 0.9}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1}),
]
SHAPES = [(), (3,), (2, 4)]


def both():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in SHAPES]
    return [nn.Parameter(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]


def set_gradients(ours, theirs, rng):
    for p, q in zip(ours, theirs, strict=True):
        # Of many sizes, and sometimes none: what an embedding or an unused branch gives.
        g = rng.standard_normal(p.shape) * 10.0 ** rng.integers(-4, 2)
        missing = rng.random() < 0.1
        p.grad = None if missing else g
        q.grad = None if missing else torch.tensor(g)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_fifty_steps(name, settings):
    ours, theirs = both()
    mine, reference = (
        getattr(module, name)(params, **settings)
        for module, params in ((optim, ours), (torch.optim, theirs))
    )
    rng = np.random.default_rng(1)
    for _ in range(50):
        set_gradients(ours, theirs, rng)
        mine.step()
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("max_norm", [0.0, 0.1, 1e6])
def test_clipping(max_norm):
    ours, theirs = both()
    rng = np.random.default_rng(2)
    for _ in range(10):
        set_gradients(ours, theirs, rng)
        norm = optim.clip_grad_norm_(ours, max_norm)
        expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm).item()
        assert norm == pytest.approx(expected, rel=1e-12)
        optim.clip_grad_value_(ours, 0.05)
        torch.nn.utils.clip_grad_value_(theirs, 0.05)
        for p, q in zip(ours, theirs, strict=True):
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None:
                np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)
