"""Connectionist temporal classification: every path written out, and PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg


def random_case(seed, T=6, N=3, C=4, S=3):
    rng = np.random.default_rng(seed)
    log_probs = tg.log_softmax(rng.normal(size=(T, N, C)), axis=-1)
    sizes = rng.integers(0, S + 1, N)
    targets = rng.integers(1, C, size=(N, S))
    steps = rng.integers(1, T + 1, N)
    return log_probs, targets, steps, sizes


def all_paths(log_probs, target, blank=0):
    """-log of the sum over all paths, each by itself."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        said = [k for k, _ in itertools.groupby(path) if k != blank]
        if said == list(target):
            total += np.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
    return -np.log(total) if total else np.inf


@given(st.integers(0, 10**6))
def test_the_sum_over_all_paths(seed):
    log_probs, targets, steps, sizes = random_case(seed, T=4, N=2, C=3, S=2)
    found = tg.nn.ctc_loss(log_probs, targets, steps, sizes, reduction="none")
    for n in range(2):
        expected = all_paths(log_probs[: steps[n], n], targets[n, : sizes[n]])
        assert found[n] == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(["mean", "sum", "none"]), st.booleans())
def test_as_pytorch(seed, reduction, one_behind_the_other):
    torch = pytest.importorskip("torch")
    log_probs, targets, steps, sizes = random_case(seed, T=8)
    if one_behind_the_other:
        targets = np.concatenate([row[:n] for row, n in zip(targets, sizes, strict=True)])
    t = torch.tensor(log_probs, requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(
        t,
        torch.tensor(targets),
        torch.tensor(steps),
        torch.tensor(sizes),
        reduction=reduction,
        zero_infinity=True,
    )
    x = tg.Tensor(log_probs, requires_grad=True)
    ours = tg.nn.ctc_loss(x, targets, steps, sizes, reduction=reduction, zero_infinity=True)
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)
    infinite = tg.nn.ctc_loss(log_probs, targets, steps, sizes, reduction="none") == np.inf
    # PyTorch's gradient is that for logits before log_softmax; compare it there.
    z = tg.Tensor(np.random.default_rng(seed).normal(size=log_probs.shape), requires_grad=True)
    loss = tg.nn.ctc_loss(tg.log_softmax(z, -1), targets, steps, sizes, zero_infinity=True)
    loss.backward()
    zt = torch.tensor(z.data.copy(), requires_grad=True)
    torch.nn.functional.ctc_loss(
        torch.log_softmax(zt, -1),
        torch.tensor(targets),
        torch.tensor(steps),
        torch.tensor(sizes),
        zero_infinity=True,
    ).backward()
    np.testing.assert_allclose(z.grad, zt.grad.numpy(), rtol=1e-7, atol=1e-10)
    assert np.isfinite(z.grad[:, ~infinite]).all()


def test_its_gradient():
    log_probs, targets, steps, sizes = random_case(3, T=7)
    sizes = np.minimum(sizes, 2)
    steps = np.full(3, 7)
    f = lambda z: tg.nn.ctc_loss(tg.log_softmax(z, -1), targets, steps, sizes)  # noqa: E731
    z = np.random.default_rng(0).normal(size=log_probs.shape)
    assert tg.testing.gradcheck(f, [z])
    assert tg.testing.gradgradcheck(f, [z[:4]]) if (steps <= 4).all() else True


def test_a_target_too_long_costs_infinity_or_nothing():
    log_probs = np.log(np.full((2, 1, 3), 1 / 3))
    assert tg.nn.ctc_loss(log_probs, [[1, 1]], [2], [2]) == np.inf
    assert tg.nn.ctc_loss(log_probs, [[1, 1]], [2], [2], zero_infinity=True) == 0
    x = tg.Tensor(log_probs, requires_grad=True)
    tg.nn.ctc_loss(x, [[1, 1]], [2], [2], zero_infinity=True).backward()
    assert not x.grad.any()


def test_unbatched_and_float32():
    log_probs, targets, _, _ = random_case(5)
    alone = tg.nn.ctc_loss(log_probs[:, 0], targets[0], [6], [3])
    assert alone == pytest.approx(tg.nn.ctc_loss(log_probs[:, :1], targets[:1], [6], [3]))
    single = tg.Tensor(log_probs.astype(np.float32), requires_grad=True)
    loss = tg.nn.ctc_loss(single, targets, [6, 6, 6], [3, 3, 3])
    assert loss.dtype == np.float32
    loss.backward()
    assert single.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("error", "words", "change"),
    [
        (ValueError, r"log_probs \(T, N, C\)", {"log_probs": np.zeros(3)}),
        (TypeError, "of floats", {"log_probs": np.zeros((6, 3, 4), int)}),
        (ValueError, "without the blank 0", {"targets": np.zeros((3, 3), int)}),
        (ValueError, "from 1 to T = 6", {"input_lengths": [6, 7, 6]}),
        (ValueError, r"input_lengths of shape \(3,\), got \(1,\)", {"input_lengths": [6]}),
        (TypeError, "target_lengths that are integers", {"target_lengths": [1.0, 2.0, 3.0]}),
        (ValueError, "at least 9", {"target_lengths": [9, 1, 1]}),
        (ValueError, "blank from 0 to 3", {"blank": 4}),
        (ValueError, "reduction", {"reduction": "max"}),
    ],
)
def test_wrong_arguments(error, words, change):
    log_probs, targets, _, _ = random_case(0)
    arguments = {
        "log_probs": log_probs,
        "targets": targets,
        "input_lengths": [6, 6, 6],
        "target_lengths": [3, 3, 3],
    }
    with pytest.raises(error, match=words):
        tg.nn.ctc_loss(**(arguments | change))
