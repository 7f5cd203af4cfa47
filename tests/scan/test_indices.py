"""Indexing by arrays of integers in a step, as machine code: values, gradients, and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.scan import lookup_plan
from tinygrad_rnn.scan.backends import native
from tinygrad_rnn.scan.cache import Cache

from .guards import Guarded

N, V, D = 3, 7, 5


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lookup_plan, "cache", Cache())
    with tg.backend("native"):
        yield


rng = np.random.default_rng(3)
ids = rng.integers(0, V, (4, N))
W = tg.Tensor(rng.normal(size=(V, D)), requires_grad=True)
U = tg.Tensor(rng.normal(size=(D, V, 2)), requires_grad=True)

#: What a step makes of its carry h (N, D) and of the integers i (N,) of this step.
STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "embedding": lambda h, i: tg.embedding(i, W),
    "rows": lambda h, i: W[i],
    "take": lambda h, i: tg.take(W, i, axis=0),
    "take of all": lambda h, i: tg.take(W, i),
    "middle axis": lambda h, i: U[:, i],
    "last axes": lambda h, i: U[2, i, i % 2],
    "apart": lambda h, i: U[i % 3, :, i % 2],
    "a part and rows": lambda h, i: U[1:4, i, ::-1],
    "from behind": lambda h, i: W[i - V],
    "of the carry": lambda h, i: h[:, i % D],
    "one of each row": lambda h, i: h[np.arange(N), i % D],
    "dots": lambda h, i: U[..., i % 2],
    "matrices of ids": lambda h, i: W[i[:, None] * np.ones(2, np.int64)],
    "fixed": lambda h, i: h[[0, 2, 2]],
    "fixed, no order": lambda h, i: h[:, [4, 0, 4]],
    "fixed mask": lambda h, i: h[:, np.array([True, False, True, True, False])],
    "fixed pairs": lambda h, i: h[np.array([[0, 1], [2, 2]]), np.array([3, -1])],
    "fixed, turned": lambda h, i: h.T[[4, 1], ::2],
    "fixed, one": lambda h, i: tg.take(h, 2, axis=1),
    "along an axis": lambda h, i: tg.take_along_axis(h, (i % N)[:, None] * np.ones(1, int), 1),
    "along rows": lambda h, i: tg.take_along_axis(h, (i % N)[:, None], 0),
    "rolled": lambda h, i: tg.roll(h, 2, 1),
    "rolled whole": lambda h, i: tg.roll(h, 4),
    "repeated": lambda h, i: tg.repeat(h, [2, 0, 1], 0),
    "tiled": lambda h, i: tg.tile(h, (2, 1)) * np.heaviside(tg.tile(h, (2, 1)), 0),
    "products": lambda h, i: tg.cumprod(h, 1) * tg.prod(h, 1, keepdims=True) + tg.prod(h),
    "in integers": lambda h, i: W[(i * 2) % V] * i[:, None],
    "float32": lambda h, i: tg.embedding(i, tg.astype(W, np.float32)),
    "int32": lambda h, i: W[tg.astype(i, np.int32)],
    "of booleans": lambda h, i: tg.where((W > 0)[i], W[i], 0.5),
    "flipped mask": lambda h, i: tg.where((h > 0)[:, i % D], 1.0, 2.0),
}


def step_of(name: str) -> Any:
    def step(h: Any, i: Any) -> Any:
        y = STEPS[name](h, i)
        if y.shape == h.shape:
            return tg.tanh(h * 0.5 + y), y
        return tg.tanh(h * 0.5 + y.sum()), y

    return step


def assert_same(step: Any, i: Any, used: list[Any], atol: float = 1e-10) -> None:
    """Values and gradients with respect to the first carry and what is used: as op by op."""
    h0 = start()
    found = []
    for unroll in (False, True):
        h, y = tg.scan(step, h0, i, unroll=unroll)
        gs = tg.grad((h * h).sum() + (y * y).sum(), [h0, *used])
        found.append([x.numpy() for x in (h, y, *gs)])
    for x, expected in zip(*found, strict=True):
        assert (x.dtype, x.shape) == (expected.dtype, expected.shape)
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(x, expected, rtol=0, atol=atol * scale)
    assert {plan.backend for plan in lookup_plan.cache.plans.values()} == {"native"}


def start() -> Any:
    return tg.Tensor(np.random.default_rng(1).normal(size=(N, D)), requires_grad=True)


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("name", STEPS)
def test_values_and_gradients(name: str, at_end: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(at_end)
    monkeypatch.setattr(native, "empty", guarded.empty)
    monkeypatch.setattr(native, "contiguous", guarded.contiguous)
    used = [x for x, letter in ((W, "W"), (U, "U")) if reads(name, letter)]
    assert_same(step_of(name), ids, used, 1e-5 if name == "float32" else 1e-10)


def reads(name: str, letter: str) -> bool:
    return letter in STEPS[name].__code__.co_names


@pytest.mark.parametrize("name", ["embedding", "rows", "one of each row", "fixed, no order"])
def test_bits_do_not_depend_on_the_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "ENOUGH", 0)
    rows = 16
    i = tg.Tensor(rng.integers(0, D, (9, rows)))
    h0 = tg.Tensor(rng.normal(size=(rows, D)), requires_grad=True)
    A = tg.Tensor(rng.normal(size=(D, D)), requires_grad=True)

    def step(h: Any, i: Any) -> Any:
        y = h[np.arange(rows), i] if name == "one of each row" else STEPS[name](h, i)
        return tg.tanh(h @ A + y.reshape(rows, -1)[:, :1]), y

    before, found = tg.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            tg.set_num_threads(threads)
            h, y = tg.scan(step, h0, i)
            gs = tg.grad((h * h).sum() + (y * y).sum(), [h0, A])
            found.append([x.numpy().tobytes() for x in (h, y, *gs)])
    finally:
        tg.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    if name != "fixed, no order":  # the others find their rows by their numbers
        (plan,) = lookup_plan.cache.plans.values()
        assert sorted(plan.forward._shared) == [2, 3]
        assert {tuple(x.loop._shared) for x in plan._backward.values()} >= {(2, 3)}


def test_columns_that_count_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the first index is 0, 1, 2, ... along the columns: each row reads all rows."""
    monkeypatch.setattr(native, "ENOUGH", 0)
    monkeypatch.setattr(native, "ROWS", 1)
    count = np.arange(N)

    def step(h: Any, i: Any) -> Any:
        y = h[count[np.newaxis, :], (i % D)[:, np.newaxis]]
        return h * 0.9 + y.sum(1, keepdims=True), y

    before = tg.get_num_threads()
    try:
        tg.set_num_threads(2)
        assert_same(step, ids, [])
    finally:
        tg.set_num_threads(before)
    assert not any(plan.forward._shared for plan in lookup_plan.cache.plans.values())


def test_wrong_ids_are_numpys_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(True)
    monkeypatch.setattr(native, "empty", guarded.empty)
    monkeypatch.setattr(native, "contiguous", guarded.contiguous)
    for name, wrong, message in (
        ("embedding", V, f"from 0 to {V - 1}, got {V}"),
        ("embedding", -1, "got -1"),
        ("rows", V, "out of bounds"),
        ("rows", -V - 1, "out of bounds"),
        ("rows", 2**40, "out of bounds"),
        ("middle axis", V, "out of bounds"),
    ):
        step = step_of(name)
        right = tg.scan(step, start(), ids)[1].numpy()
        bad = ids.copy()
        bad[2, 1] = wrong
        with pytest.raises(IndexError, match=message):
            tg.scan(step, start(), bad)
        np.testing.assert_array_equal(tg.scan(step, start(), ids)[1].numpy(), right)
    assert {plan.backend for plan in lookup_plan.cache.plans.values()} == {"native"}


def test_losses_in_a_step() -> None:
    targets = tg.Tensor(np.where(ids % D == 0, -100, ids % D))
    logits = tg.Tensor(rng.normal(size=(D, D)), requires_grad=True)

    def cell(h: Any, y: Any) -> Any:
        h = tg.tanh(h @ logits)
        return h, nn.cross_entropy(h, y) + nn.nll_loss(h, y, reduction="sum")

    assert_same(cell, targets, [logits])
    with pytest.raises(IndexError, match="class indices from 0 to 4, or -100"):
        tg.scan(cell, start(), np.full((4, N), D))

    def yes_or_no(h: Any, y: Any) -> Any:
        p = tg.sigmoid(h)
        return h * 0.9, nn.binary_cross_entropy(p, y) + nn.binary_cross_entropy_with_logits(h, y)

    chances = rng.uniform(size=(4, N, D))
    assert_same(yes_or_no, chances, [])
    chances[1, 2, 3] = 1.5
    with pytest.raises(ValueError, match=r"targets from 0 to 1, got 1\.5"):
        tg.scan(yes_or_no, start(), chances)


def test_the_largest_of_one_number() -> None:
    h0 = tg.Tensor(0.5, requires_grad=True)
    for axis in (None, -1, 0):
        h, _ = tg.scan(lambda h, x, axis=axis: (tg.max(h, axis) * x, None), h0, np.array([2.0, 3]))
        assert tg.grad(h, h0).item() == 6


def test_ids_twice_in_a_row_add_up() -> None:
    same = np.full((6, N), 2)
    _, y = tg.scan(lambda h, i: (h, W[i]), np.zeros(1), same)
    (g,) = tg.grad(y.sum(), [W])
    expected = np.zeros((V, D))
    expected[2] = 18
    np.testing.assert_array_equal(g.numpy(), expected)
