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
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1, "amsgrad": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    *[
        (name, {"lr": 0.1, "weight_decay": 0.1, "maximize": True})
        for name in ("SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "NAdam")
    ],
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


@pytest.fixture(autouse=True)
def doubles():
    """PyTorch keeps NAdam's product of momenta in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


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


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "NAdam"])
def test_groups_with_settings_of_their_own(name):
    ours, theirs = both()
    mine, reference = (
        getattr(module, name)(
            [
                {"params": params[:1], "lr": 0.03, "weight_decay": 0.0},
                {"params": params[1:2]},
                {"params": params[2:], "weight_decay": 0.2},
            ],
            lr=0.01,
            weight_decay=0.1,
        )
        for module, params in ((optim, ours), (torch.optim, theirs))
    )
    rng = np.random.default_rng(1)
    for k in range(30):
        set_gradients(ours, theirs, rng)
        for optimizer in (mine, reference):
            optimizer.param_groups[1]["lr"] = 0.05 / (k + 1)
            optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12, atol=1e-12)


def rosenbrock(x, zero):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() + zero


def convex(x, zero):
    return ((x - 1) ** 4).sum() + 3 * (x[0] * x[1]) ** 2 + (x * x).sum() + zero


def wavy(x, zero):
    return ((x * x - 2) ** 2).sum() + (x[0] - x[1]) ** 2 * x[2] ** 2 + zero


@pytest.mark.parametrize("f", [rosenbrock, convex, wavy])
@pytest.mark.parametrize(
    "settings",
    [
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "lr": 0.8, "max_iter": 7},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "lr": 3.0},
        {"line_search_fn": "strong_wolfe", "max_eval": 5},
        {"lr": 0.01},
        {"lr": 0.002, "history_size": 3, "max_iter": 9},
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_lbfgs_takes_the_same_steps(f, settings, seed):
    """Every evaluation is at the same place: values, gradients, and how many there are."""
    start = np.random.default_rng(seed).normal(size=4)
    x, unused = nn.Parameter(start), nn.Parameter(np.zeros(()))
    y = torch.tensor(start, requires_grad=True)
    other = torch.zeros((), dtype=torch.float64, requires_grad=True)
    mine, reference = (
        optim.LBFGS([x, unused], **settings),
        torch.optim.LBFGS([y, other], **settings),
    )
    seen = [], []

    def closure(k, optimizer, x, zero):
        def call():
            optimizer.zero_grad()
            loss = f(x, zero * 0)
            loss.backward()
            seen[k].append([*(x.data if k == 0 else x.detach().numpy()), loss.item()])
            return loss

        return call

    ours, theirs = closure(0, mine, x, unused), closure(1, reference, y, other)
    for _ in range(4):
        mine.step(ours)
        reference.step(theirs)
        if f is convex:
            assert len(seen[0]) == len(seen[1])
    # Rounding grows from step to step where the loss is curved: tight at first, then loose.
    np.testing.assert_allclose(seen[0][:8], seen[1][:8], rtol=1e-11, atol=1e-12)
    if f is convex:
        np.testing.assert_allclose(seen[0], seen[1], rtol=1e-6, atol=1e-8)
    if settings == {"line_search_fn": "strong_wolfe"}:
        assert seen[0][-1][-1] == pytest.approx(seen[1][-1][-1], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal", ["cos", "linear"])
@pytest.mark.parametrize("steps", [10, 37])
@pytest.mark.parametrize("pct_start", [0.3, 0.45])
def test_one_cycle(three_phase, anneal, steps, pct_start):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=0.7,
        total_steps=steps,
        pct_start=pct_start,
        anneal_strategy=anneal,
        three_phase=three_phase,
        cycle_momentum=False,
        div_factor=20.0,
        final_div_factor=300.0,
    )
    for k in range(steps):
        ours = optim.one_cycle(k, 0.7, steps, pct_start, anneal, 20.0, 300.0, three_phase)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        if k < steps - 1:
            scheduler.step()
    assert optim.one_cycle(steps + 5, 0.7, steps, pct_start, anneal, 20.0, 300.0) == pytest.approx(
        0.7 / 20 / 300
    )


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("seed", range(5))
def test_reduce_on_plateau(mode, threshold_mode, seed):
    rng = np.random.default_rng(seed)
    settings = {
        "factor": 0.3,
        "patience": int(rng.integers(0, 4)),
        "threshold": 0.05,
        "cooldown": int(rng.integers(0, 3)),
        "min_lr": 1e-3,
        "mode": mode,
        "threshold_mode": threshold_mode,
    }
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
    measured = []
    for value in rng.normal(size=60).cumsum().tolist():
        measured.append(value)
        scheduler.step(value)
        expected = optimizer.param_groups[0]["lr"]
        assert optim.reduce_on_plateau(measured, 0.5, **settings) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [1, 5])
def test_warmup(steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / steps, 1.0, max(steps - 1, 1))
    for k in range(9):
        assert optim.warmup(k, 0.5, steps) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
