"""``tg.fused``: a step in a loop of one's own as one node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_rnn as tg
from tinygrad_rnn.graph import ancestors
from tinygrad_rnn.testing import strategies


def live(*shape: int, dtype: Any = np.float64, seed: int = 0) -> tg.Tensor:
    numbers = np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)
    return tg.Tensor(numbers, requires_grad=True)


def run(step: Any, state: Any, xs: Any, leaves: Any) -> list[np.ndarray]:
    """The last state of a loop, and every gradient of a loss that reads all of it."""
    for leaf in leaves:
        leaf.grad = None
    for _, x_t in tg.steps(xs):
        state = step(state, x_t)
    parts = state if isinstance(state, tuple) else (state,)
    loss = sum(((h * h).sum() for h in parts), tg.Tensor(0.0))
    loss.backward()
    return [*[h.numpy() for h in parts], *[leaf.grad for leaf in leaves]]


def assert_same(first: list[Any], second: list[Any], tolerance: float = 1e-10) -> None:
    for a, b in zip(first, second, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(a).max()))


@pytest.mark.parametrize("batch", [(), (1,), (4,)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_loop_computes_the_same(batch: tuple[int, ...], dtype: Any) -> None:
    D, H = 3, 5
    W, U = live(4 * H, D, dtype=dtype), live(4 * H, H, dtype=dtype)
    b, p = live(4 * H, dtype=dtype), live(H, dtype=dtype)

    def step(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = tg.split(tg.linear(x, W, b) + tg.linear(h, U), 4, -1)
        c = tg.sigmoid(f + p * c) * c + tg.sigmoid(i) * tg.tanh(g)
        return tg.sigmoid(o) * tg.tanh(c), c

    xs, h = live(6, *batch, D, dtype=dtype), live(*batch, H, dtype=dtype, seed=1)
    leaves = [W, U, b, p, xs, h]
    expected = run(step, (h, h * 0.5), xs, leaves)
    got = run(tg.fused(step), (h, h * 0.5), xs, leaves)
    assert_same(expected, got, 1e-10 if dtype == np.float64 else 1e-4)


def tensors(tree: Any) -> Iterator[tg.Tensor]:
    """The Tensors of nested tuples."""
    if isinstance(tree, tuple):
        for part in tree:
            yield from tensors(part)
    elif tree is not None:
        yield tree


def at(tree: Any, t: int) -> Any:
    """Nested tuples of sequences at one step."""
    return tuple(at(part, t) for part in tree) if isinstance(tree, tuple) else tree[t]


@settings(max_examples=40)
@given(strategies.cells())
def test_any_cell(drawn: Any) -> None:
    cell, carry, xs = drawn
    leaves = [x for x in (*tensors(carry), *tensors(xs)) if x.requires_grad]
    leaves += list(cell.parameters)

    def sequence(step: Any) -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        state, ys = carry, []
        for t in range(len(next(tensors(xs)))):
            state, y = step(state, at(xs, t))
            ys.append(y)
        loss = sum((tg.sum(y) for y in tensors((state, *ys))), tg.Tensor(0.0))
        if loss.requires_grad:
            loss.backward()
        return [loss.numpy(), *[leaf.grad for leaf in leaves]]

    assert_same(sequence(cell), sequence(tg.fused(cell)))


def test_one_node_a_step() -> None:
    W = live(3, 3)
    step = tg.fused(lambda h, x: tg.tanh(h @ W + x))
    h: Any = np.zeros((2, 3))
    for _, x_t in tg.steps(live(4, 2, 3)):
        h = step(h, x_t)
    names = [node.primitive.name for node in ancestors([h.node]) if node.primitive is not None]
    assert names.count("fused") == 4
    assert "tanh" not in names
    assert h.node.scope.step == 3


def test_what_is_inside_is_seen_by_whoever_asks() -> None:
    W = live(3, 3)
    plain = lambda h, x: tg.tanh(h @ W + x)  # noqa: E731
    for step in (plain, tg.fused(plain)):
        h: Any = tg.Tensor(np.ones((2, 3)))
        for _, x_t in tg.steps(np.ones((3, 2, 3)) / 4):
            h = step(h, x_t)
        loss = (h * h).sum()
        drawn = tg.draw(loss).source
        by_step = tg.grads_by_step(loss, W)
        first = tg.grad(loss, W, create_graph=True)
        second = tg.grad((first * first).sum(), W).numpy()
        if step is plain:
            expected = drawn.count("tanh"), by_step, second
    assert drawn.count("tanh") == expected[0] > 0
    np.testing.assert_allclose(by_step, expected[1], atol=1e-12)
    np.testing.assert_allclose(second, expected[2], atol=1e-10)


def test_anomalies_name_operation_and_step() -> None:
    step = tg.fused(lambda h, x: tg.log(h - x))
    h = live(2)
    xs = [h.data - 2, h.data + 9]

    def loop() -> None:
        state: Any = h
        for _, x_t in tg.steps(xs):
            state = step(state, x_t)

    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=r"log: NaN.*time step 1"):
        loop()


def test_what_it_closes_over_may_change() -> None:
    W = live(2, 2)
    scale = [1.0]
    step = tg.fused(lambda h: tg.tanh(h @ W) * scale[0])
    h = np.ones((1, 2))
    before = step(h).numpy()
    W.data = W.data * 2
    scale[0] = 3.0
    np.testing.assert_allclose(step(h).numpy(), np.tanh(h @ W.numpy()) * 3)
    assert not np.allclose(before, step(h).numpy())


def test_weights_used_elsewhere_too() -> None:
    W = live(3, 3)
    xs = live(5, 2, 3)

    def loss(step: Any) -> tg.Tensor:
        h: Any = tg.Tensor(np.zeros((2, 3)))
        for _, x_t in tg.steps(xs):
            h = step(h, x_t)
        return (h @ W).sum() + (W * W).sum()

    plain = lambda h, x: tg.tanh(tg.linear(h, W) + x)  # noqa: E731
    expected, got = (tg.grad(loss(s), (W, xs)) for s in (plain, tg.fused(plain)))
    assert_same([g.numpy() for g in expected], [g.numpy() for g in got])


def test_without_a_graph() -> None:
    W = live(2, 2)
    step = tg.fused(lambda h: tg.tanh(h @ W))
    with tg.no_grad():
        assert step(np.ones((1, 2))).node is None
    assert step(np.ones((1, 2))).requires_grad
    assert not tg.fused(tg.tanh)(np.ones(3)).requires_grad


def test_within_a_scan_it_is_the_step() -> None:
    W = live(3, 3)
    inner = tg.fused(lambda h, x: tg.tanh(h @ W + x))

    def cell(h: Any, x: Any) -> Any:
        h = inner(h, x)
        return h, h

    h, xs = live(2, 3), live(4, 2, 3)
    results = [tg.scan(cell, h, xs, unroll=unroll)[1].numpy() for unroll in (False, True)]
    np.testing.assert_allclose(*results, atol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_a_generator_that_it_closes_over_draws_anew(backend: str) -> None:
    W = live(2)

    def make(rng: np.random.Generator) -> Any:
        def step(h: Any, x: Any) -> Any:
            noisy = h * W * rng.normal() + rng.normal(size=2)
            return tg.tanh(noisy + x) if rng.random() < 0.5 else noisy

        return step

    plain, fused = make(np.random.default_rng(0)), tg.fused(make(np.random.default_rng(0)))
    with tg.backend(backend):
        h = k = tg.Tensor([1.0, 2.0])
        for _ in range(8):
            h, k = fused(h, np.ones(2)), plain(k, np.ones(2))
            np.testing.assert_allclose(h.numpy(), k.numpy(), atol=1e-12)
        gradients = [tg.grad((y * y).sum(), W).numpy() for y in (h, k)]
    np.testing.assert_allclose(*gradients, atol=1e-12)


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_results_without_axes_are_arrays(backend: str) -> None:
    w = live(3)
    with tg.backend(backend):
        for x in (w, w.detach()):
            total, count = tg.fused(lambda x: (x.sum(), tg.argmax(x)))(x)
            for y in (total, count):
                assert type(y.data) is np.ndarray
                assert type(y.numpy()) is np.ndarray
                assert y.data.shape == ()
        scale = tg.Tensor(2.0, requires_grad=True)
        tg.fused(lambda x, scale: (x * scale).sum())(w, scale).backward()
        assert type(scale.grad) is np.ndarray
        np.testing.assert_allclose(scale.grad, w.numpy().sum())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.fused(3), "fused: expected a function, got int"),
        (lambda: tg.fused(lambda x: x)(x=1.0), "arguments go by position, got x"),
        (lambda: tg.fused(lambda x: x if x > 0 else -x)(live(1)), "looked at the numbers"),
        (lambda: tg.fused(lambda x: "word")(live(1)), "expected real numbers"),
        (lambda: tg.fused(lambda x: x * 2)(0.5), "expected Tensors or arrays.*the number 0.5"),
        (lambda: tg.fused(lambda x: (x, 3))(live(1)), "expected the step to return.*got int"),
        (lambda: tg.fused(lambda x: [x, x])(live(1)), "expected the step to return.*got list"),
        (lambda: tg.fused(lambda x: x)("word"), "expected real numbers"),
    ],
)
def test_wrong_use(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()
