"""What changes between two calls of scan, or within one: it is noticed, or refused."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import struct
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn.scan import lookup_plan
from tinygrad_rnn.scan.cache import Cache

AGAIN = "the step does something else when it is run again.*unroll=True"
NUMBERS = "looked at the numbers of a traced value .*unroll=True"

xs = np.linspace(0.1, 0.9, 12).reshape(6, 2)


def both(cell: Any, closed: list[Any], steps: int = 6) -> tuple[list[Any], list[Any]]:
    """The ys and the gradients of a loop, and of a scan."""
    found = []
    for unroll in (True, False):
        h0 = tg.Tensor(np.ones(2), requires_grad=True)
        carry, ys = tg.scan(cell, h0, xs[:steps], unroll=unroll)
        loss = (carry * carry).sum() + tg.sin(ys).sum()
        gradients = tg.grad(loss, [h0, *closed]) if loss.requires_grad else ()
        found.append([carry.numpy(), ys.numpy(), *[g.numpy() for g in gradients]])
    return found[0], found[1]


def assert_alike(cell: Any, closed: list[Any]) -> None:
    for looped, scanned in zip(*both(cell, closed), strict=True):
        assert_allclose(scanned, looped, rtol=1e-12, atol=1e-12)


# ── what the same operations mean ────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", [(True, False, True), (False, True, False)])
@pytest.mark.parametrize("how", ["no_grad", "detach", "detach a carry"])
def test_a_stop_of_gradients_may_be_switched(how: str, order: tuple[bool, ...]) -> None:
    W = tg.Tensor([0.5, -0.3], requires_grad=True)
    stop = True

    def cell(h: Any, x: Any) -> Any:
        quiet = stop and how == "no_grad"
        with tg.no_grad() if quiet else contextlib.nullcontext():
            gate = tg.sigmoid(h * W)
        if stop and how == "detach":
            gate = gate.detach()
        h = tg.tanh(gate * (h.detach() if stop and how == "detach a carry" else h) + x)
        return h, gate

    step = tg.fused(lambda h, x: cell(h, x)[0])
    h0 = tg.Tensor([1.0, 2.0], requires_grad=True)
    for stop in order:  # noqa: B007 - the cell reads it
        assert_alike(cell, [W])
        ours, plain = (tg.grad(f(h0, xs[0]).sum(), W) for f in (step, lambda *x: cell(*x)[0]))
        assert_allclose(ours.numpy(), plain.numpy(), rtol=1e-12)


def test_two_cells_of_one_code_that_stop_gradients_differently() -> None:
    W = tg.Tensor([0.5, -0.3], requires_grad=True)

    def make(target: bool) -> Any:
        def cell(h: Any, x: Any) -> Any:
            a = h * W
            h = tg.tanh((a.detach() if target else a) + x)
            return h, h

        return cell

    for _ in range(2):
        for target in (True, False):
            assert_alike(make(target), [W])


# ── what a step writes ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("buffer", [np.zeros(2), [0.0, 0.0]], ids=["array", "list"])
def test_a_buffer_that_the_step_fills_twice(buffer: Any) -> None:
    def fill(value: float) -> Any:
        buffer[:] = [value, 2 * value]
        return buffer

    def cell(h: Any, x: Any) -> Any:
        a = h * fill(1.0)
        return tg.tanh(a + x * fill(2.0)), a

    for _ in range(2):
        assert_alike(cell, [])


@pytest.mark.parametrize("kind", ["noise", "counter", "of a weight"])
def test_a_buffer_that_differs_from_step_to_step(kind: str) -> None:
    W = tg.Tensor([0.5, -0.3], requires_grad=True)
    generator, buffer, on = np.random.default_rng(0), np.zeros(2), False

    def cell(h: Any, x: Any) -> Any:
        if on:
            buffer[:] = generator.normal(size=2) if kind == "noise" else buffer + 1
        h = h + (W * buffer if kind == "of a weight" else buffer)
        return h, h

    for on in (False, False, True, True):
        refused = pytest.raises(TypeError, match=r"random numbers.*unroll=True")
        with refused if on else contextlib.nullcontext():
            tg.scan(cell, np.zeros(2), xs)


def test_a_step_may_not_give_a_tensor_other_numbers() -> None:
    W = tg.Tensor([0.5, -0.3], requires_grad=True)
    which = ""

    def cell(h: Any, x: Any) -> Any:
        if which == "weight":
            W.data = W.data * 0.5
        if which == "carry":
            h.data = np.zeros(2)
        y = tg.tanh(h * W + x)
        if which == "result":
            y.data = np.zeros(2)
        return y, y

    for which in ("weight", "carry", "result", "", "weight", "carry", "result"):
        refused = pytest.raises(TypeError, match=r"gave a Tensor other numbers.*unroll=True")
        with refused if which else contextlib.nullcontext():
            tg.scan(cell, np.zeros(2), xs)
    assert W.numpy().tolist() == [0.5, -0.3]


# ── what a step counts, keeps and draws ──────────────────────────────────────────────────


def by_turns() -> Any:
    biases = [tg.Tensor(np.zeros(2), requires_grad=True) for _ in range(2)]
    count = [0]

    def cell(h: Any, x: Any) -> Any:
        count[0] += 1
        h = tg.tanh(h + x + biases[count[0] % 2])
        return h, h

    return cell


def every_fourth() -> Any:
    count = 0

    def cell(h: Any, x: Any) -> Any:
        nonlocal count
        count += 1
        h = h * 0 if count % 4 == 0 else tg.tanh(h + x)
        return h, h

    return cell


def three_steps_back() -> Any:
    past: list[Any] = []

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(h + x + (past[-3] if len(past) >= 3 else 0))
        past.append(h)
        return h, h

    return cell


def warm_up() -> Any:
    class Cell:
        def __init__(self) -> None:
            self.runs = 0

        def __call__(self, h: Any, x: Any) -> Any:
            self.runs += 1
            h = tg.tanh(h + x) if self.runs <= 3 else h * 0.5
            return h, h

    return Cell()


def a_counter_in_a_module() -> Any:
    class Cell(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.runs = 0

        def forward(self, h: Any, x: Any) -> Any:
            self.runs += 1
            h = tg.tanh(h + x) if self.runs % 4 else h * 0.5
            return h, h

    return Cell()


class Schedule:
    def __init__(self) -> None:
        self.runs = 0

    def is_due(self) -> bool:
        self.runs += 1
        return self.runs % 4 == 0

    @property
    def now(self) -> bool:
        return self.is_due()


def a_counter_in_a_method() -> Any:
    schedule = Schedule()

    def cell(h: Any, x: Any) -> Any:
        h = h * 0.5 if schedule.is_due() else tg.tanh(h + x)
        return h, h

    return cell


def a_counter_in_a_property() -> Any:
    class Cell(Schedule):
        def __call__(self, h: Any, x: Any) -> Any:
            h = h * 0.5 if self.now else tg.tanh(h + x)
            return h, h

    return Cell()


def a_counter_of_its_class() -> Any:
    class Cell:
        runs = 0

        def __call__(self, h: Any, x: Any) -> Any:
            type(self).runs += 1
            h = tg.tanh(h + x) if self.runs % 4 else h * 0.5
            return h, h

    return Cell()


def a_counter_in_a_slot() -> Any:
    @dataclass(slots=True)
    class Clock:
        time: int = 0

    clock = Clock()

    def cell(h: Any, x: Any) -> Any:
        clock.time += 1
        h = tg.tanh(h + x) if clock.time % 4 else h * 0.5
        return h, h

    return cell


def a_counter_in_an_array() -> Any:
    time = np.zeros(1, int)

    def cell(h: Any, x: Any) -> Any:
        time[0] += 1
        h = tg.tanh(h + x) if time[0] % 4 else h * 0.5
        return h, h

    return cell


def an_iterator() -> Any:
    numbers = itertools.count(1)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(h + x) if next(numbers) % 4 else h * 0.5
        return h, h

    return cell


def by_chance(generator: Any) -> Callable[[], Any]:
    def make() -> Any:
        def draw() -> Any:
            return generator.random()

        def cell(h: Any, x: Any) -> Any:
            if draw() < 0.9:
                h = h + x
            return h, h

        return cell

    return make


@pytest.mark.parametrize(
    "make",
    [
        by_turns,
        every_fourth,
        three_steps_back,
        warm_up,
        a_counter_in_a_module,
        a_counter_in_a_method,
        a_counter_in_a_property,
        a_counter_of_its_class,
        a_counter_in_a_slot,
        a_counter_in_an_array,
        an_iterator,
        by_chance(np.random.default_rng(0)),
        by_chance(np.random.RandomState(0)),
        by_chance(random.Random(0)),
        by_chance(random),
        by_chance(np.random),
    ],
)
def test_what_a_step_counts_keeps_or_draws_is_noticed(make: Callable[[], Any]) -> None:
    for _ in range(3):
        with pytest.raises(TypeError, match="unroll=True"):
            tg.scan(make(), np.zeros(2), xs)


def test_random_decisions_that_begin_later_are_noticed() -> None:
    generator, training = np.random.default_rng(0), False

    def cell(h: Any, x: Any) -> Any:
        if not training or generator.random() < 0.9:
            h = h + x
        return h, h

    for training in (False, False, True, True):
        refused = pytest.raises(TypeError, match=r"draws random numbers.*unroll=True")
        with refused if training else contextlib.nullcontext():
            tg.scan(cell, np.zeros(2), xs)


def test_a_counter_that_changes_nothing_is_allowed() -> None:
    """Where it could, the step runs as often as in a loop, so it counts what a loop counts."""
    log: list[Any] = []

    class Cell:
        runs = 0

        def __call__(self, h: Any, x: Any) -> Any:
            self.runs += 1
            h = h * 0 if self.runs > 100 else tg.tanh(h + x)
            log.append(h)
            return h, h

    cell = Cell()
    for call in (1, 2, 3):
        tg.scan(cell, np.zeros(2), xs)
        assert cell.runs == call * len(xs)
    with pytest.raises(TypeError, match=AGAIN):
        tg.scan(cell, np.zeros(2), np.ones((100, 2)))

    runs = 0

    def looks_on(h: Any, x: Any) -> Any:
        nonlocal runs
        runs += 1
        return tg.tanh(h + x), h

    tg.scan(looks_on, np.zeros(2), xs)
    before = runs
    tg.scan(looks_on, np.zeros(2), xs)
    assert runs == before + 1


class Hostile:
    """What programs hold beside their weights: it must not be asked for anything."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        return 0


class HostileDict(dict[str, Any]):
    def values(self) -> Any:
        raise RuntimeError


def test_what_a_step_holds_is_not_asked() -> None:
    class Gone:
        pass

    logger = logging.getLogger("tests.scan")
    held = [Hostile(), HostileDict(a=1), random.SystemRandom(), weakref.proxy(Gone()), object()]

    def cell(h: Any, x: Any) -> Any:
        logger.info("a step of %d", len(held))
        return h + x, h

    for _ in range(2):
        logger.handlers.clear()
        assert tg.scan(cell, np.zeros(2), xs)[0].shape == (2,)


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_a_single_step_counts_in_a_number(backend: str) -> None:
    class Cell:
        runs = 0

        def __call__(self, h: Any, x: Any) -> Any:
            self.runs += 1
            h = h + x * (1.0 * self.runs)
            return h, h

    with tg.backend(backend):
        scanned, fused = Cell(), Cell()
        step = tg.fused(lambda h, x: fused(h, x)[0])
        for i in range(1, 7):
            found = tg.scan(scanned, np.zeros(1), np.ones((1, 1)))[0], step(np.zeros(1), np.ones(1))
            assert [y.item() for y in found] == [i, i]


def test_a_first_step_with_another_number_is_noticed() -> None:
    class Cell:
        runs, first = 0, 1.0

        def __call__(self, h: Any, x: Any) -> Any:
            scale = self.first if self.runs == 0 else 1.0
            self.runs += 1
            h = h + x * scale
            return h, h

    cell = Cell()
    tg.scan(cell, np.zeros(2), xs)
    for cell.first in (0.5, 0.25):
        cell.runs = 0
        with pytest.raises(TypeError, match=AGAIN):
            tg.scan(cell, np.zeros(2), xs)


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_a_single_step_may_change_its_state(backend: str) -> None:
    """It runs once a call, as in a loop, so a branch may depend on that."""
    W = tg.Tensor([0.5, -0.3], requires_grad=True)

    class Cell:
        def __init__(self) -> None:
            self.runs = 0

        def __call__(self, h: Any, x: Any) -> Any:
            self.runs += 1
            h = h * W * 0.25 if self.runs % 4 == 0 else tg.tanh(h * W * 0.5 + x)
            return h, h

    with tg.backend(backend):
        scanned, fused, plain = Cell(), Cell(), Cell()
        step = tg.fused(lambda h, x: fused(h, x)[0])
        h = a = b = tg.Tensor([1.0, 2.0])
        for x in xs:
            h = plain(h, x)[0]
            a = tg.scan(scanned, a, x[None])[0]
            b = step(b, x)
            assert_allclose([a.numpy(), b.numpy()], [h.numpy()] * 2, rtol=1e-12)
        gradients = [tg.grad((y * y).sum(), W).numpy() for y in (h, a, b)]
        assert_allclose(gradients[1:], gradients[:1] * 2, rtol=1e-12)


def test_a_counter_of_training_steps_only() -> None:
    class Cell:
        training, batches = False, 0

        def __call__(self, h: Any, x: Any) -> Any:
            if self.training:
                self.batches += 1
                h = h * 0.5
            h = tg.tanh(h + x)
            return h, h

    cell, looped = Cell(), Cell()
    for training in (False, True, True, False, True):
        cell.training = looped.training = training
        found = [
            tg.scan(c, np.zeros(2), xs, unroll=unroll)[1].numpy()
            for c, unroll in ((cell, False), (looped, True))
        ]
        assert_allclose(*found, rtol=1e-12)
        assert cell.batches == looped.batches


def test_a_value_kept_from_an_earlier_call_is_refused() -> None:
    last, lagged = None, False

    def cell(h: Any, x: Any) -> Any:
        nonlocal last
        y = tg.tanh(h + x)
        late = last if lagged else y
        last = y
        return y, late

    for _ in range(3):
        tg.scan(cell, np.zeros(2), xs)
    lagged = True
    with pytest.raises(TypeError, match=r"one that another call traced.*unroll=True"):
        tg.scan(cell, np.zeros(2), xs)


# ── what a step asks ─────────────────────────────────────────────────────────────────────


def test_whether_a_carry_requires_grad_is_not_known_in_a_trace() -> None:
    def cell(h: Any, x: Any) -> Any:
        h = 2 * h + x if h.requires_grad else h + x
        return h, h

    with pytest.raises(TypeError, match=r"\(requires_grad\).*unroll=True"):
        tg.scan(cell, np.zeros(2), xs)


buffer = np.zeros(3)
table = np.ones((2, 2))


@pytest.mark.parametrize(
    "look",
    [
        lambda x: buffer.__setitem__(0, x),
        lambda x: buffer.fill(x),
        lambda x: np.fromiter([x], float),
        lambda x: struct.pack("d", x),
        lambda x: f"{x:.3f}",
        lambda x: np.flip(table, x.astype(int)),
        lambda x: np.median(table, x.astype(int)),
        lambda x: np.size(table, x.astype(int)),
        lambda x: np.zeros_like(table, shape=x.astype(int)),
        lambda x: np.linalg.matrix_power(table, x.astype(int)),
        lambda x: "%d" % x.astype(int),  # noqa: UP031
        lambda x: list(np.nditer(x)),
    ],
)
def test_a_refusal_is_seen_whatever_becomes_of_it(look: Callable[[Any], Any]) -> None:
    """NumPy makes another error of it, and the step catches that one."""

    def cell(h: Any, x: Any) -> Any:
        with contextlib.suppress(Exception) if careless else contextlib.nullcontext():
            look(x[0])
        return h + x, h

    for careless in (False, True):  # noqa: B007 - the cell reads it
        with pytest.raises(TypeError, match=NUMBERS):
            tg.scan(cell, np.zeros(2), xs)


# ── numbers ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plans that a test builds."""
    cache = Cache()
    monkeypatch.setattr(lookup_plan, "cache", cache)
    return cache.plans


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_one_plan_serves_all_values_of_a_number(plans: Any, backend: str, dtype: Any) -> None:
    """A temperature that falls, or a step size: only the first two values build a plan."""
    W = tg.Tensor(np.array([0.5, -0.3], dtype), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(h * W / tau + 0.25 * x - tau * tau)
        return h, (h, (x > 0).astype(np.int64) * tau, tau)

    h0, inputs = tg.Tensor(np.ones(2, dtype), requires_grad=True), xs.astype(dtype)
    with tg.backend(backend):
        for i in range(8):
            tau = 2.0 * 0.9**i
            found = []
            for unroll in (True, False):
                h, (ys, counts, taus) = tg.scan(cell, h0, inputs, unroll=unroll)
                assert (ys.dtype, counts.dtype, taus.dtype) == (dtype, np.float64, np.float64)
                gradients = tg.grad((h * h).sum() + tg.sin(ys).sum(), [W, h0])
                found.append([x.numpy() for x in (h, ys, counts, taus, *gradients)])
            for looped, scanned in zip(*found, strict=True):
                assert_allclose(scanned, looped, atol=1e-12 if dtype is np.float64 else 1e-6)
    assert len(plans) == 2


def test_numbers_that_differ_within_a_call_are_noticed(plans: Any) -> None:
    generator, tau = np.random.default_rng(0), 1.0

    def cell(h: Any, x: Any) -> Any:
        h = h + x * (generator.normal() if tau is None else tau)
        return h, h

    for tau in (1.0, 2.0, 3.0):  # noqa: B007 - the cell reads it
        tg.scan(cell, np.zeros(2), xs)
    tau = None
    for _ in range(3):
        with pytest.raises(TypeError, match=r"random numbers.*unroll=True"):
            tg.scan(cell, np.zeros(2), xs)
    assert len(plans) == 2


def test_numbers_of_another_kind_are_parts_of_the_program(plans: Any) -> None:
    """An exponent has a rule of its own, and 1 is not 1.0."""

    def cell(h: Any, x: Any) -> Any:
        h = (h * h + 0.1) ** power + x * scale
        return h, h

    for power, scale in (  # noqa: B007 - the cell reads them
        (0.5, 1),
        (1.5, 1),
        (1.5, 2),
        (1.5, 2.0),
        (1.5, np.float32(2)),
    ):
        assert_alike(cell, [])
