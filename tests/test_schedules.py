"""Learning rates as functions of the step."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import nn, optim
from tinygrad_rnn.optim import constant_lr, cosine_lr, linear_lr

DECAYS = [linear_lr, cosine_lr]
rates = st.floats(0, 10)
warmups = st.integers(0, 20)


@given(st.sampled_from(DECAYS), rates, st.integers(1, 50), warmups, rates)
def test_up_along_a_line_then_down_to_the_final_rate(decay, lr, decaying, warmup, final):
    steps = warmup + decaying
    values = [decay(k, lr, steps, warmup, final) for k in range(steps + 3)]
    for k in range(warmup):
        assert values[k] == pytest.approx(lr * (k + 1) / warmup)
        assert values[k] == constant_lr(k, lr, warmup)
    assert values[warmup] == lr
    assert values[steps:] == [final] * 3
    way = values[warmup : steps + 1]
    sign = 1 if final >= lr else -1
    assert all(sign * (b - a) >= -1e-12 for a, b in itertools.pairwise(way))
    middle = decay(warmup + decaying, lr, warmup + 2 * decaying, warmup, final)
    assert middle == pytest.approx((lr + final) / 2, abs=1e-12)


@given(rates, warmups, st.integers(0, 100))
def test_constant(lr, warmup, step):
    assert constant_lr(step + warmup, lr, warmup) == lr


def test_the_cosine_starts_and_ends_gently():
    line, wave = ([decay(k, 1.0, 100) for k in range(101)] for decay in (linear_lr, cosine_lr))
    assert all(w > straight for straight, w in zip(line[1:50], wave[1:50], strict=True))
    assert all(w < straight for straight, w in zip(line[51:100], wave[51:100], strict=True))
    assert wave[25] == pytest.approx((1 + math.sqrt(0.5)) / 2)


def test_it_is_what_the_optimiser_uses():
    p = nn.Parameter([0.0])
    optimizer = optim.SGD([p], lr=1.0)
    for k in range(4):
        p.grad = [-1.0]
        optimizer.lr = linear_lr(k, 1.0, steps=4)
        optimizer.step()
    assert p.item() == 1.0 + 0.75 + 0.5 + 0.25


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constant_lr(-1, 1.0), "constant_lr: step must be at least 0, got -1"),
        (lambda: constant_lr(0, -1.0), "lr must be"),
        (lambda: constant_lr(0, 1.0, -1), "warmup must be"),
        *[
            (lambda decay=decay, arguments=arguments: decay(*arguments), message)
            for decay in DECAYS
            for arguments, message in (
                ((-1, 1.0, 10), f"{decay.__name__}: step must be"),
                ((0, math.nan, 10), "lr must be at least 0, got nan"),
                ((0, 1.0, 10, -1), "warmup must be"),
                ((0, 1.0, 10, 0, -0.1), "final_lr must be"),
                ((0, 1.0, 0), "steps above the 0 of the warm-up, got 0"),
                ((0, 1.0, 10, 10), "steps above the 10 of the warm-up, got 10"),
            )
        ],
    ],
)
def test_schedules_that_are_none(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.peers
@pytest.mark.parametrize("warmup", [0, 1, 7])
def test_they_are_pytorchs(warmup):
    torch = pytest.importorskip("torch")
    schedulers = torch.optim.lr_scheduler
    lr, steps, final = 0.3, 30, 0.01
    after = {
        linear_lr: lambda o: schedulers.LinearLR(o, 1.0, final / lr, steps - warmup),
        cosine_lr: lambda o: schedulers.CosineAnnealingLR(o, steps - warmup, final),
    }
    for ours, theirs in after.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
        scheduler = theirs(optimizer)
        if warmup:
            rising = schedulers.LinearLR(optimizer, 1 / warmup, 1.0, max(warmup - 1, 1))
            scheduler = schedulers.SequentialLR(optimizer, [rising, theirs(optimizer)], [warmup])
        for k in range(steps):
            expected = optimizer.param_groups[0]["lr"]
            assert ours(k, lr, steps, warmup, final) == pytest.approx(expected, rel=1e-12)
            optimizer.step()
            scheduler.step()
