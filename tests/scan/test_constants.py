"""What is remembered of constants is never stale, and goes when they go."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.scan import backends, lookup_plan
from tinygrad_rnn.scan.cache import Cache

from .test_scan import assert_same

rng = np.random.default_rng(5)


@pytest.fixture(autouse=True, params=["numpy", "native"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "native":
        pytest.importorskip("llvmlite")
    monkeypatch.setattr(lookup_plan, "cache", Cache())
    with tg.backend(request.param):
        yield request.param


def remembered() -> list[int]:
    """How many sets of constants each native program knows."""
    plans = list(lookup_plan.cache.plans.values())
    loops = [plan.forward for plan in plans]
    loops += [x.loop for plan in plans for x in plan._backward.values()]
    return [len(loop._remembered._prepared) for loop in loops if loop.backend == "native"]


def looped(W: Any, V: Any, outside: bool = True) -> Callable[[], list[np.ndarray]]:
    """A scan with products before and within the steps, unrolled or not; and its gradients.

    Args:
        outside: whether the step computes something from W and V alone: that is a new constant
            at each call.
    """
    xs = tg.Tensor(rng.normal(size=(6, 5, 7)), requires_grad=True)
    h0 = tg.Tensor(rng.normal(size=(5, 9)), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(x @ V + h @ W + (V[0] * (W[1] - 1) if outside else 0.0))
        return h, h

    def run(unroll: bool = False) -> list[np.ndarray]:
        h, ys = tg.scan(cell, h0, xs, unroll=unroll)
        return [ys.numpy(), *(g.numpy() for g in tg.grad((ys * ys).sum() + h.sum(), [xs, h0]))]

    def check() -> list[np.ndarray]:
        found, expected = run(), run(unroll=True)
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)
        return found

    return check


class Lender:
    """Hands over its memory as another library does."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array


def matrices() -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(9, 9)) / 3, rng.normal(size=(7, 9)) / 3


def differ(x: list[np.ndarray], y: list[np.ndarray]) -> bool:
    return all(not np.allclose(a, b) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("outside", [True, False])
def test_an_array_of_the_users_is_read_at_each_call(outside: bool) -> None:
    W, V = matrices()
    check = looped(W, V, outside)
    first = check()
    W *= -0.5
    second = check()
    V[:, 3] = 0.25
    third = check()
    assert differ(first, second)
    assert differ(second, third)
    assert max(remembered(), default=0) == 0


@pytest.mark.parametrize("outside", [True, False])
def test_so_is_one_that_its_user_calls_read_only_for_a_while(outside: bool) -> None:
    W, V = matrices()
    check = looped(W, V, outside)
    W.flags.writeable = V.flags.writeable = False
    first = check()
    W.flags.writeable = True
    W *= -0.5
    W.flags.writeable = False
    assert differ(first, check())


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("lend", [np.asarray, Lender, lambda x: x.T.copy().T, lambda x: x[:]])
def test_a_tensor_does_not_share_the_users_memory(lend: Any, outside: bool) -> None:
    W, V = matrices()
    check = looped(tg.Tensor(lend(W)), tg.Tensor(lend(V)), outside)
    first = check()
    W *= -0.5
    V *= 2
    for x, y in zip(first, check(), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("outside", [True, False])
def test_what_a_tensor_shows_cannot_be_written_into(outside: bool) -> None:
    W, V = (tg.Tensor(x) for x in matrices())
    check = looped(W, V, outside)
    first = check()
    for shown in (W.data, np.asarray(W), W.data.base, W.data[:1], W.detach().data):
        with pytest.raises(ValueError, match="read-only"):
            shown[...] = 0
        with pytest.raises(ValueError, match="read-only"):
            np.multiply(shown, 2, out=shown)
    with pytest.raises(ValueError, match="WRITEABLE"):
        W.data.flags.writeable = True
    owner = W.data.base
    owner.flags.writeable = True  # whoever insists is seen
    owner *= -0.5
    assert differ(first, check())


@pytest.mark.parametrize("outside", [True, False])
def test_an_operation_may_hand_over_the_users_memory(outside: bool) -> None:
    W, V = matrices()
    lent = tg.primitive(lambda x: W, lambda g, y, x: g, name="lent")
    w = tg.Tensor(np.zeros((9, 9)), requires_grad=True)
    made = lent(w)
    check = looped(made, tg.Tensor(V), outside)
    first = check()
    W *= -0.5
    assert differ(first, check())
    assert max(remembered(), default=0) == 0


@pytest.mark.parametrize("outside", [True, False])
def test_rebinding_is_seen(backend: str, outside: bool) -> None:
    W, V = (tg.Tensor(x, requires_grad=True) for x in matrices())
    check = looped(W, V, outside)
    first = check()
    again = check()
    for x, y in zip(first, again, strict=True):
        np.testing.assert_array_equal(x, y)
    if not outside:
        assert max(remembered(), default=0) == (1 if backend == "native" else 0)
    W.data = W.data * -0.5
    second = check()
    assert differ(first, second)
    V.requires_grad = False
    V.data = V.data * 2
    assert differ(second, check())


def test_views_of_a_parameter_are_known_by_what_they_show(backend: str) -> None:
    W = tg.Tensor(rng.normal(size=(8, 4, 4)) / 2)
    xs, h0 = rng.normal(size=(5, 3, 4)), np.zeros((3, 4))
    slices = [lambda W, i=i: W[i] for i in range(3)]
    turned = [lambda W, i=i: W[i].T for i in range(3)]
    others = [lambda W: W[3, ::-1], lambda W: W[3, :, ::-1], lambda W: W[2:6, 0], lambda W: W[0, :]]

    def check(view: Any, W: tg.Tensor) -> None:
        cell = lambda h, x: ((h := tg.tanh(h @ view(W) + x)), h)  # noqa: E731
        found, expected = (tg.scan(cell, h0, xs, unroll=how)[1] for how in (False, True))
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-12)

    for view in (*slices, *turned) * 2:
        check(view, W)
    assert max(remembered(), default=0) == (6 if backend == "native" else 0)
    for view in (*slices, *turned, *others) * 2:
        check(view, W)
    W.data = W.data * 2
    for view in (*slices, *turned, *others):
        check(view, W)
    del W
    gc.collect()
    assert max(remembered(), default=0) == 0


@pytest.mark.parametrize(
    "optimizer", [tg.optim.SGD, tg.optim.Adam, tg.optim.RMSprop, tg.optim.Adagrad, tg.optim.LBFGS]
)
def test_training_sees_every_step(optimizer: Any) -> None:
    """The same losses as op by op: with an optimiser, a state loaded, and another dtype."""
    xs = rng.normal(size=(5, 3, 4))

    def losses(scanned: bool) -> list[float]:
        model = nn.LSTM(4, 6, rng=0, dtype=np.float64)
        cell = nn.GRUCell(6, 6, rng=1, dtype=np.float64)
        parameters = [*model.parameters(), *cell.parameters()]
        steps = optimizer(parameters, lr=0.05)
        start = model.state_dict()
        found = []

        def loss() -> Any:
            y = model(xs)[0]
            h = None
            for y_t in y:
                h = cell(y_t, h)
            return tg.square(h).sum() + y.sum()

        def closure() -> Any:
            for p in parameters:
                p.grad = None
            value = loss()
            value.backward()
            found.append(value.item())
            return value

        with tg.backend(backends.wanted_backend() if scanned else "numpy"):
            for i in range(4):
                if optimizer is tg.optim.LBFGS:
                    steps.step(closure)
                else:
                    closure()
                    steps.step()
                if i == 2:
                    model.load_state_dict(start)
            found.append(loss().item())
            model.astype(np.float32)
            found.append(model(xs.astype(np.float32))[0].sum().item())
        return found

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-5)


def test_arrays_between_forward_and_backward() -> None:
    """The gradient is that of the values that the forward pass read."""
    W, V = matrices()
    w = tg.Tensor(V, requires_grad=True)
    xs = tg.Tensor(rng.normal(size=(6, 5, 7)), requires_grad=True)

    def gradients(disturb: bool) -> list[np.ndarray]:
        mine = W.copy()
        _, ys = tg.scan(lambda h, x: ((h := tg.tanh(x @ w + h @ mine)), h), np.zeros((5, 9)), xs)
        if disturb:
            mine[...] = 7
            w.data = w.data * 3
        found = [g.numpy() for g in tg.grad((ys * ys).sum(), [xs, w])]
        w.data = V
        return found

    for x, y in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_array_equal(x, y)


def test_results_that_depend_on_constants_alone() -> None:
    W = tg.Tensor(np.eye(4) / 2, requires_grad=True)
    h0 = tg.Tensor(np.ones((2, 4)), requires_grad=True)
    xs = tg.Tensor(np.ones((3, 2, 4)), requires_grad=True)
    cell = lambda h, x: (tg.tanh(h @ W.T + x), (tg.exp(W), tg.exp(W) @ W * h[0, 0]))  # noqa: E731
    for _ in range(3):
        assert_same(cell, h0, xs, [W], 1e-10)


@pytest.mark.parametrize("outside", [True, False])
def test_what_is_remembered_goes_with_the_parameters(backend: str, outside: bool) -> None:
    W, V = (tg.Tensor(x, requires_grad=True) for x in matrices())
    check = looped(W, V, outside)
    check()
    if backend == "native" and not outside:
        assert max(remembered()) == 1
        plan = next(iter(lookup_plan.cache.plans.values()))
        memory = weakref.ref(plan.forward._remembered._prepared[0]._memory)
    del W, V, check
    gc.collect()
    assert max(remembered(), default=0) == 0
    if backend == "native" and not outside:
        assert memory() is None


def test_no_more_than_a_few_sets_are_remembered() -> None:
    model = [nn.LSTM(3, 4, rng=i) for i in range(20)]
    x = np.ones((5, 2, 3), np.float32)
    expected = [layer(x)[0].numpy() for layer in model]
    assert max(remembered(), default=0) <= 8
    for layer, y in zip(model, expected, strict=True):
        np.testing.assert_array_equal(layer(x)[0].numpy(), y)


def test_threads_rebind_and_read_at_once(backend: str) -> None:
    xs = rng.normal(size=(5, 3, 4))
    Ws = [rng.normal(size=(4, 4)) for _ in range(12)]
    failed: list[Any] = []

    def cell(W: Any) -> Any:
        return lambda h, x: ((h := tg.tanh(h @ W + x)), h)

    with tg.backend("numpy"):
        expected = [tg.scan(cell(W), np.zeros((3, 4)), xs)[1].numpy() for W in Ws]

    def run(seed: int) -> None:
        order = np.random.default_rng(seed).integers(0, len(Ws), 60)
        with tg.backend(backend):
            for i in order:
                y = tg.scan(cell(tg.Tensor(Ws[i])), np.zeros((3, 4)), xs)[1].numpy()
                if not np.allclose(y, expected[i], rtol=1e-12, atol=1e-12):
                    failed.append(i)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    gc.collect()
    assert max(remembered(), default=0) == 0
