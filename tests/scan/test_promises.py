"""What a scan promises beside its numbers: what it reads, refuses, keeps and frees."""

from __future__ import annotations

import copy
import gc
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn.scan import lookup_plan
from tinygrad_rnn.scan.plan import Plan

rng = np.random.default_rng(0)
N, D, H = 3, 2, 4
W = tg.Tensor(rng.normal(size=(H, D)), requires_grad=True)
U = tg.Tensor(rng.normal(size=(H, H)) / 2, requires_grad=True)
b = tg.Tensor(rng.normal(size=H), requires_grad=True)
h0 = tg.Tensor(np.zeros((N, H)))


def sequence(T: int = 5, requires_grad: bool = False) -> tg.Tensor:
    return tg.Tensor(rng.normal(size=(T, N, D)), requires_grad=requires_grad)


def elman(h: Any, x: Any) -> Any:
    h = tg.tanh(tg.linear(x, W, b) + tg.linear(h, U))
    return h, h


def assert_equals_the_loop(cell: Any, carry: Any, xs: Any, inputs: Any, **options: Any) -> None:
    found = []
    for unroll in (True, False):
        outputs = flat(tg.scan(cell, carry, xs, unroll=unroll, **options))
        loss = sum((tg.sin(y).sum() for y in outputs if y.requires_grad), tg.Tensor(0.0))
        gradients = tg.grad(loss, inputs) if inputs else ()
        found.append([y.numpy() for y in (*outputs, *gradients)])
    for scanned, looped in zip(*found[::-1], strict=True):
        assert_allclose(scanned, looped, rtol=1e-10, atol=1e-10)


def flat(tree: Any) -> list[Any]:
    if tree is None:
        return []
    return [leaf for part in tree for leaf in flat(part)] if isinstance(tree, tuple) else [tree]


# ── what it reads ────────────────────────────────────────────────────────────────────────


def test_closed_over_tensors_are_read_at_each_call() -> None:
    V = tg.Tensor(np.eye(H), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.linear(x, W) + h @ V)
        return h, h

    xs = sequence()
    first = tg.scan(cell, h0, xs)[1].numpy()
    V.data = 2 * np.eye(H)
    assert not np.allclose(first, tg.scan(cell, h0, xs)[1].numpy())
    assert_equals_the_loop(cell, h0, xs, [V, W])


def test_a_pending_backward_keeps_the_tensors_it_read() -> None:
    V = tg.Tensor(np.eye(H) / 2, requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.linear(x, W) + h @ V)
        return h, h

    xs = sequence()
    expected = tg.grad(tg.scan(cell, h0, xs)[1].sum(), V, create_graph=True)
    ys = tg.scan(cell, h0, xs)[1]
    V.data = np.zeros((H, H))
    for create_graph in (False, True):  # the loop's own backward, and that of the unrolled graph
        found = tg.grad(ys.sum(), V, create_graph=create_graph)
        assert_allclose(found.numpy(), expected.numpy(), atol=1e-12)


def test_closures_over_computed_tensors_and_views_made_in_the_step() -> None:
    scale = tg.exp(b)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(x @ W.T * scale + h @ tg.transpose(U) + np.ones(H))
        return h, h[:, :2]

    assert_equals_the_loop(cell, h0, sequence(requires_grad=True), [W, U, b])


def test_switches_and_python_numbers_are_seen() -> None:
    mode = {"train": True, "factor": 0.5}

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.linear(x, W) + h * mode["factor"])
        return h, -h if mode["train"] else h

    xs = sequence()
    trained = tg.scan(cell, h0, xs)[1].numpy()
    mode["train"] = False
    assert_allclose(tg.scan(cell, h0, xs)[1].numpy(), -trained)
    mode["factor"] = -0.0
    assert_equals_the_loop(cell, h0, xs, [W])


def test_a_mask_may_change_between_calls() -> None:
    masks = [rng.integers(0, 2, (N, H)).astype(float) for _ in range(3)]
    xs = sequence()
    for mask in masks:

        def cell(h: Any, x: Any, mask: Any = mask) -> Any:
            h = tg.tanh(tg.linear(x, W) + tg.linear(h, U)) * mask
            return h, h

        assert_equals_the_loop(cell, h0, xs, [W, U])


class State(NamedTuple):
    h: Any
    count: Any


def test_nested_structures_integers_and_things_left_alone() -> None:
    initial = (State(tg.Tensor(np.ones((N, H)), requires_grad=True), np.zeros(N, int)), h0)
    xs = (sequence(4), (np.arange(4), tg.Tensor(rng.normal(size=(4, N, H)), requires_grad=True)))

    def cell(carry: Any, x: Any) -> Any:
        state, unchanged = carry
        x_t, (step, extra) = x
        h = tg.tanh(tg.linear(x_t, W) * state.h + extra + step * 0.1)
        return (State(h, state.count + 1), unchanged), (h, None, tg.Tensor(np.ones(2)), x_t, state)

    (state, unchanged), ys = tg.scan(cell, initial, xs)
    assert isinstance(state, State)
    assert isinstance(ys[4], State)
    assert ys[1] is None
    assert (state.count.numpy() == 4).all()
    assert_allclose(unchanged.numpy(), h0.numpy())
    assert ys[2].shape == (4, 2)
    assert_equals_the_loop(cell, initial, xs, [W, initial[0].h, xs[1][1]])
    assert_equals_the_loop(cell, initial, xs, [W, initial[0].h], reverse=True)


def test_carries_may_change_places() -> None:
    a, c = (tg.Tensor(rng.normal(size=(N, H)), requires_grad=True) for _ in range(2))

    def cell(carry: Any, x: Any) -> Any:
        first, second, third = carry
        return (second, tg.tanh(first + third), first), first

    assert_equals_the_loop(cell, (a, c, a * c), sequence(), [a, c])


def test_numbers_as_carries() -> None:
    w = tg.Tensor(0.7, requires_grad=True)
    xs = tg.Tensor(rng.normal(size=6), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.sigmoid(h * w + x) * tg.relu(h + 0.3)
        return h, (h, x * w)

    for reverse in (False, True):
        assert_equals_the_loop(
            cell, tg.Tensor(0.2, requires_grad=True), xs, [w, xs], reverse=reverse
        )


def test_cells_of_nn_are_steps() -> None:
    lstm = tg.nn.LSTMCell(D, H, dtype=np.float64, rng=0)

    def cell(state: Any, x: Any) -> Any:
        h, c = lstm(x, state)
        return (h, c), h

    assert_equals_the_loop(cell, (h0, h0), sequence(requires_grad=True), list(lstm.parameters()))


def test_operations_of_a_users_own() -> None:
    calls = []

    def forward(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        return np.sinh(x)

    sinh = tg.primitive(forward, lambda g, out, x: g * tg.sqrt(1 + out * out))
    mine = tg.primitive(lambda x: x[::-1], lambda g, out, x: g[::-1])  # gives a view

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(sinh(tg.linear(x, W)) + mine(tg.linear(h, U) + b))
        return h, sinh(h)

    assert_equals_the_loop(cell, h0, sequence(), [W, U, b])
    assert set(calls) == {(N, H)}  # never with a time axis, which it may not know


def test_rare_operations_within_the_loop() -> None:
    kernel = tg.Tensor(rng.normal(size=(1, 1, 1, 2)), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        image = tg.reshape(h, (1, 1, N, H))
        h = tg.tanh(tg.pad(tg.conv2d(image, kernel), ((0, 0), (0, 0), (0, 0), (0, 1)))[0, 0])
        h = h + tg.einsum("ij,kj,lk->il", x, W, U) + tg.softmax(h) + tg.cumsum(x[:, :1], 1)
        h = tg.where(h > 0.5, h * 0.1, tg.max(h, 1, keepdims=True)) + tg.flip(h, 1)
        return tg.tanh(h), tg.logsumexp(tg.stack([h, h[:, [0, 0, 2, 1]]]), 0)

    assert_equals_the_loop(cell, h0, sequence(requires_grad=True), [W, U, kernel])


def test_embedding_of_integer_inputs() -> None:
    table = tg.Tensor(rng.normal(size=(5, H)), requires_grad=True)

    def cell(h: Any, ids: Any) -> Any:
        h = tg.tanh(tg.embedding(ids, table) + tg.linear(h, U))
        return h, h

    assert_equals_the_loop(cell, h0, rng.integers(0, 5, (6, N)), [table, U])


# ── what it refuses ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "look",
    [
        lambda h: bool((h > 0)[0, 0]),
        lambda h: float(h[0, 0]),
        lambda h: int(h[0, 0]),
        lambda h: h[0, 0].item(),
        lambda h: h.numpy(),
        lambda h: h.data,
        lambda h: np.asarray(h),
        lambda h: np.asarray(h.detach()),
        lambda h: np.flatnonzero(h),
        lambda h: b[(h[0] > 0)],
        lambda h: [0, 1][(h[0, 0] * 0).astype(int)],
        lambda h: f"{h[0, 0]:.2f}",
        lambda h: 1.0 in h,
    ],
)
def test_looking_at_a_value_is_refused(look: Callable[[Any], Any]) -> None:
    def cell(h: Any, x: Any) -> Any:
        look(h)
        return elman(h, x)

    with pytest.raises(TypeError, match="unroll=True"):
        tg.scan(cell, h0, sequence())
    with tg.no_grad():
        tg.scan(cell, h0, sequence(), unroll=True)
    with tg.no_grad(), pytest.raises(TypeError, match="unroll=True"):
        tg.scan(cell, h0, sequence())


def write_data(h: Any) -> None:
    tg.Tensor(np.zeros((N, H))).data = h


def write_grad(h: Any) -> None:
    tg.Tensor(np.zeros((N, H)), requires_grad=True).grad = h


whole_numbers = lambda h: (h * 3).astype(int)  # noqa: E731
gru = tg.nn.GRU(H, H, dtype=np.float64, rng=0)
lstm = tg.nn.LSTM(H, H, batch_first=True, dtype=np.float64, rng=0)
attention = tg.nn.Attention(H, dtype=np.float64)
memory = tg.Tensor(rng.normal(size=(N, H, H)))


@pytest.mark.parametrize(
    ("where", "look"),
    [
        ("Tensor", lambda h: tg.Tensor(h)),
        ("Tensor", lambda h: tg.Tensor(h, requires_grad=True)),
        ("Tensor", lambda h: tg.nn.Parameter(h)),
        ("data", write_data),
        ("grad", write_grad),
        ("scan: lengths", lambda h: tg.scan(elman, h, sequence(), lengths=whole_numbers(h)[:, 0])),
        ("GRU: lengths", lambda h: gru(h[None], lengths=whole_numbers(h)[:, 0])),
        ("LSTM: lengths", lambda h: lstm(h[:, None], lengths=whole_numbers(h)[:, 0])),
        ("Attention: mask", lambda h: attention(h, memory, mask=h > 0)),
        ("Attention: lengths", lambda h: attention(h, memory, lengths=whole_numbers(h)[:, 0])),
        ("", lambda h: b[h[0] > 0]),
        ("backward", lambda h: tg.sum(h).backward()),
        ("backward", lambda h: tg.sum(U).backward()),
        ("", lambda h: np.array([h, h])),
        ("", lambda h: np.testing.assert_allclose(h, 1)),
        ("", lambda h: copy.deepcopy(h.detach())),
        ("", lambda h: h.detach().data),
        ("", lambda h: range(h[0, 0])),
        ("", lambda h: [0, 1][whole_numbers(h)[0, 0]]),
        ("", lambda h: np.zeros(3)[whole_numbers(h)]),
        ("", lambda h: repr(h)),
        ("", lambda h: h[0, 0] == 0 or None),
        ("grad: within a step", lambda h: tg.grad(tg.sum(h * U[:N]), U)),
    ],
)
def test_every_way_to_numbers_is_refused_by_name(where: str, look: Callable[[Any], Any]) -> None:
    def cell(h: Any, x: Any) -> Any:
        look(h)
        return elman(h, x)

    start = tg.Tensor(np.zeros((N, H)), requires_grad=True)
    for _ in range(2):
        with pytest.raises(TypeError, match=f"{where}.*unroll=True"):
            tg.scan(cell, start, sequence())


def test_layers_within_a_step_take_what_is_known() -> None:
    def cell(h: Any, x: Any) -> Any:
        _, h_n = gru(h[None], lengths=[1, 1, 1])
        y, _ = lstm(h[:, None])
        context, weights = attention(h, memory, mask=np.ones((N, H), bool))
        return tg.tanh(h_n[0] + y[:, 0] + context), weights

    parameters = [*gru.parameters(), *lstm.parameters()]
    assert_equals_the_loop(cell, h0, sequence(), parameters)


@pytest.mark.parametrize("kind", ["dropout", "array", "scalar", "tensor", "weights", "counter"])
def test_what_changes_between_steps_is_refused(kind: str) -> None:
    generator = np.random.default_rng(0)
    count = []

    def cell(h: Any, x: Any) -> Any:
        h, _ = elman(h, x)
        count.append(1)
        if kind == "dropout":
            h = tg.dropout(h, 0.5, rng=generator)
        elif kind == "array":
            h = h * generator.normal(size=H)
        elif kind == "scalar":
            h = h * generator.normal()
        elif kind == "tensor":
            h = h * tg.Tensor(generator.normal(size=H))
        elif kind == "weights":
            h = h @ (U * generator.normal())
        else:
            h = h * len(count)
        return h, h

    for _ in range(2):
        with pytest.raises(TypeError, match="unroll=True"):
            tg.scan(cell, h0, sequence())


def test_random_numbers_are_noticed_where_they_once_were_the_same() -> None:
    generator = np.random.default_rng(0)
    noise = [0.0]

    def cell(h: Any, x: Any) -> Any:
        h, _ = elman(h, x)
        h = h + noise[0] * np.abs(generator.normal(size=H))
        return h, h

    tg.scan(cell, h0, sequence())  # no noise yet: the same at every step
    noise[0] = 0.1
    with pytest.raises(TypeError, match="unroll=True"):
        tg.scan(cell, h0, sequence())


def test_a_step_that_derives_what_it_reads_is_run_once_a_call() -> None:
    runs = []
    share = tg.Tensor(0.3, requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        runs.append(1)
        h = share * h + (1 - share) * elman(h, x)[0] @ tg.transpose(tg.transpose(U))
        return h, h

    for _ in range(3):
        tg.scan(cell, h0, sequence())
    before = len(runs)
    tg.scan(cell, h0, sequence())
    assert len(runs) == before + 1


@pytest.mark.parametrize("kind", ["number", "array", "keyword", "primitive"])
def test_what_is_derived_may_change_later(kind: str) -> None:
    generator = np.random.default_rng(0)
    noise = [False]

    def draw() -> float:
        return generator.normal() if noise[0] else 1.0

    ones = np.ones((H, H))
    noisy = tg.primitive(lambda x: x * draw(), lambda g, out, x: g, name="noisy")

    def cell(h: Any, x: Any) -> Any:
        h, _ = elman(h, x)
        if kind == "number":
            weight = U * draw()
        elif kind == "array":
            weight = U * (generator.normal(size=(H, H)) if noise[0] else ones)
        elif kind == "keyword":
            weight = tg.clip(U, -abs(draw()), 1)
        else:
            weight = noisy(U)
        h = h @ weight
        return h, h

    for _ in range(3):
        tg.scan(cell, h0, sequence())
    noise[0] = True
    for _ in range(2):
        with pytest.raises(TypeError, match="unroll=True"):
            tg.scan(cell, h0, sequence())


def test_a_traced_value_is_of_no_use_afterwards() -> None:
    leaked = []

    def cell(h: Any, x: Any) -> Any:
        leaked.extend([h, h.sum()])
        return elman(h, x)

    tg.scan(cell, h0, sequence())
    for use in (lambda: leaked[0] + 1, lambda: tg.grad(leaked[1], U), leaked[1].backward):
        with pytest.raises(TypeError, match="unroll=True"):
            use()


def test_a_loop_without_steps_runs_a_cell_that_looks_at_numbers() -> None:
    def cell(h: Any, x: Any) -> Any:
        h = h / x.item() if x.item() < 1 else -h
        return h, (h, x.item())

    carry, (ys, numbers) = tg.scan(cell, np.ones(3), np.ones(0), unroll=True)
    assert carry.numpy().tolist() == [1, 1, 1]
    assert (ys.shape, numbers.shape) == ((0, 3), (0,))


def bad(**changes: Any) -> dict[str, Any]:
    return {"cell": elman, "carry": h0, "xs": np.zeros((5, N, D)), **changes}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (bad(cell=3), TypeError, "expected a function as cell, got int"),
        (bad(xs=()), ValueError, "expected xs"),
        (bad(xs=1.0), ValueError, r"expected xs \(T, ...\), got float64 \(\)"),
        (bad(xs=(np.zeros((5, 2)), np.zeros((4, 2)))), ValueError, "the same number of steps"),
        (bad(cell=lambda h, x: h), ValueError, r"return \(carry, y_t\), got Tensor"),
        (bad(cell=lambda h, x: (h, h, h)), ValueError, r"return \(carry, y_t\), got tuple of 3"),
        (
            bad(cell=lambda h, x: ((h, h), h)),
            ValueError,
            r"expected Tensor, got \(Tensor, Tensor\)",
        ),
        (
            bad(cell=lambda h, x: (h[:1], h)),
            ValueError,
            r"from float64 \(3, 4\) into float64 \(1, 4\)",
        ),
        (bad(cell=lambda h, x: (h.astype(np.float32), h)), TypeError, "into float32"),
        (bad(cell=lambda h, x: (tg.linear(h, W), h)), ValueError, "linear: expected x"),
        (bad(lengths=[1.0, 2.0, 3.0]), TypeError, "expected lengths that are integers"),
        (bad(lengths=[[1, 2, 3]]), ValueError, r"expected lengths \(N,\)"),
        (bad(lengths=[1, 2, 6]), ValueError, "from 1 to T = 5, got 6"),
        (bad(lengths=[0, 2, 3]), ValueError, "got 0"),
        (bad(lengths=[1, 2]), ValueError, "axis 0 of every carry must be the batch"),
        (
            bad(cell=lambda h, x: (h, h.sum()), lengths=[1, 2, 3]),
            ValueError,
            "axis 0 of every y_t must be the batch",
        ),
        (bad(xs=np.zeros((5, N, D), complex)), TypeError, "real numbers"),
        (bad(carry=[h0, h0]), TypeError, "scan: carry: .*got a list; write it as a tuple"),
        (bad(carry=[np.zeros(2), np.zeros(3)]), TypeError, "carry: .*write it as a tuple"),
        (bad(carry={"h": h0}), TypeError, "scan: carry: .*got a dict; write it as a tuple"),
        (bad(xs=[h0, h0]), TypeError, "scan: xs: .*got a list; write it as a tuple"),
        (bad(cell=lambda h, x: ([h], h)), TypeError, "carry: .*got a list; write it as a tuple"),
        (bad(cell=lambda h, x: (h, [h, x])), TypeError, "y_t: .*got a list; write it as a tuple"),
        (
            bad(cell=lambda h, x: ([h[0], x], x), carry=(h0, np.zeros((N, D)))),
            TypeError,
            "carry: .*got a list; write it as a tuple",
        ),
        (bad(lengths=[]), ValueError, "axis 0 of every carry must be the batch"),
    ],
)
@pytest.mark.parametrize("unroll", [False, True])
def test_errors_say_what_was_expected(
    arguments: Any, error: type[Exception], message: str, unroll: bool
) -> None:
    with pytest.raises(error, match=message):
        tg.scan(**arguments, unroll=unroll)


# ── what it keeps and frees ──────────────────────────────────────────────────────────────


def test_a_scan_is_one_node() -> None:
    h, ys = tg.scan(elman, h0, sequence())
    (node,) = ys.node.parents
    assert node.primitive.name == "scan"
    assert h.node.parents == (node,)
    assert set(node.parents) >= {W.node, U.node, b.node}


def test_any_number_of_forward_passes_at_a_time() -> None:
    xs = [sequence() for _ in range(3)]
    losses = [tg.sin(tg.scan(elman, h0, x)[1]).sum() for x in xs]
    together = tg.grad(losses[0] * losses[1] + losses[2], [W, U])
    looped = [tg.sin(tg.scan(elman, h0, x, unroll=True)[1]).sum() for x in xs]
    expected = tg.grad(looped[0] * looped[1] + looped[2], [W, U])
    for mine, reference in zip(together, expected, strict=True):
        assert_allclose(mine.numpy(), reference.numpy(), atol=1e-12)


def test_backward_twice_adds_twice() -> None:
    U.grad = None
    loss = tg.scan(elman, h0, sequence())[1].sum()
    loss.backward()
    once = U.grad.copy()
    loss.backward()
    assert_allclose(U.grad, 2 * once)
    U.grad = None


def test_threads_share_plans() -> None:
    xs = [sequence(20) for _ in range(8)]
    expected = [tg.grad(tg.scan(elman, h0, x, unroll=True)[1].sum(), U).numpy() for x in xs]
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(10):
            found[i] = tg.grad(tg.scan(elman, h0, xs[i])[1].sum(), U).numpy()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, reference in enumerate(expected):
        assert_allclose(found[i], reference, atol=1e-12)


def test_plans_are_found_again_and_bounded_in_number() -> None:
    xs = sequence()
    tg.scan(elman, h0, xs)
    before = len(lookup_plan.cache.plans)
    tg.scan(elman, h0, sequence(17))  # of another length: the same plan
    tg.scan(lambda h, x: elman(h, x), h0, xs)  # another function that does the same
    assert len(lookup_plan.cache.plans) == before
    for i in range(200):
        tg.scan(lambda h, x, i=i: (h * i, h), h0, xs)
    assert len(lookup_plan.cache.plans) == 128


def test_cells_of_one_code_take_turns_without_new_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(Plan):
        def __init__(self, *args: Any):
            made.append(self)
            super().__init__(*args)

    def layer(activation: Any) -> Any:
        def cell(h: tg.Tensor, x_t: tg.Tensor) -> Any:
            a = tg.linear(x_t, W, b) + tg.linear(h, U)
            h = activation(a)
            return h, h

        return cell

    monkeypatch.setattr(lookup_plan, "Plan", Counted)
    xs = sequence()
    cells = [layer(f) for f in (tg.tanh, tg.sin, tg.tanh, tg.relu)]
    for _ in range(3):
        for cell in cells:
            tg.scan(cell, h0, xs)
    assert len(made) == 3
    assert "a_t" in str(made[0])


def test_reference_counting_frees_it_all() -> None:
    xs = sequence()
    tg.grad(tg.scan(elman, h0, xs)[1].sum(), U)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            tg.grad(tg.scan(elman, h0, xs)[1].sum(), U)
            with tg.no_grad():
                tg.scan(elman, h0, xs)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_without_gradients_memory_does_not_grow_with_the_steps() -> None:
    big = tg.Tensor(rng.normal(size=(512, 1)).astype(np.float32), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(x @ big.T + tg.sigmoid(h) * h)
        return h, h[:, :1]

    def peak(T: int) -> int:
        xs = np.zeros((T, 4, 1), np.float32)
        start = tg.Tensor(np.zeros((4, 512), np.float32))
        with tg.no_grad():
            tg.scan(cell, start, xs)
            tracemalloc.start()
            tg.scan(cell, start, xs)
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    assert peak(2000) < peak(200) + 2000 * 4 * 4 * 4


def test_no_steps() -> None:
    h, ys = tg.scan(elman, h0, np.zeros((0, N, D)))
    assert_allclose(h.numpy(), h0.numpy())
    assert ys.shape == (0, N, H)
    assert ys.dtype == np.float64


def test_anomalies_are_named_with_their_step() -> None:
    def cell(h: Any, x: Any) -> Any:
        h = tg.log(x) + h * 0.5
        return h, h

    xs = np.ones((5, 2))
    xs[3] = -1
    start = tg.Tensor(np.zeros(2), requires_grad=True)
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=r"log.*at time step 3"):
        tg.scan(cell, start, xs)


def test_anomalies_of_backward_are_named_with_their_step() -> None:
    def cell(h: Any, x: Any) -> Any:
        h = tg.sqrt(h * x)
        return h, h

    xs = np.ones((5, 2))
    xs[2] = 0
    start = tg.Tensor(np.ones(2), requires_grad=True)
    loss = tg.scan(cell, start, xs)[1].sum()
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=r"sqrt.*at time step"):
        loss.backward()


def test_within_checkpoint_and_within_another_scan() -> None:
    xs = sequence(6)
    expected = tg.grad(tg.scan(elman, h0, xs)[1].sum(), U)
    ys = tg.checkpoint(lambda x: tg.scan(elman, h0, x)[1], xs)
    assert_allclose(tg.grad(ys.sum(), U).numpy(), expected.numpy(), atol=1e-12)

    def cell(h: Any, x: Any) -> Any:
        h, inner = tg.scan(elman, h, x)
        return h, tg.checkpoint(tg.tanh, inner[-1])

    nested = tg.Tensor(xs.numpy().reshape(2, 3, N, D), requires_grad=True)
    assert_equals_the_loop(cell, h0, nested, [W, U, b, nested])


def test_a_picture_shows_every_step() -> None:
    _, ys = tg.scan(elman, h0, sequence(3))
    source = tg.draw(ys).source
    assert source.count("cluster") >= 3


@pytest.mark.parametrize("name", ["linear", "positive", "relu", "sum", "add", "2x", "ﬁ", "x²"])
def test_an_operation_of_ones_own_may_have_any_name(name: str) -> None:
    """Also that of one of the library's, which the compiler knows more of."""
    cube = tg.primitive(lambda x: x**3, lambda g, y, x: g * 3 * x**2, name=name)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.linear(x, W) + tg.linear(cube(h), U))
        return h, cube(h)

    xs, found = sequence(), []
    for unroll in (False, True):
        h, ys = tg.scan(cell, h0, xs, unroll=unroll)
        found.append([ys.numpy(), tg.grad((h * ys).sum(), U)])
    for compiled, looped in zip(*found, strict=True):
        assert_allclose(compiled, looped, atol=1e-12)


def test_a_plan_prints_what_it_does_when() -> None:
    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.linear(x, W, b) + tg.linear(h, U))
        return h, h * 3.25

    tg.scan(cell, h0, sequence())[1].sum().backward()
    plan = list(lookup_plan.cache.plans.values())[-1]
    text = str(plan)
    for heading in ("before the steps", "at every step", "after the steps"):
        assert f"forward, {heading}:" in text
        assert f"backward, {heading}:" in text
    before, step = text.split("forward, at every step:")
    assert "(T, 3, 4)" in before  # x_t W' + b of all steps at once
    assert "tanh" in step


def test_a_step_may_begin_to_return_what_it_closes_over() -> None:
    switch = {"on": False}
    extra = tg.Tensor(rng.normal(size=(N, H)), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.linear(x, W) + tg.linear(h, U))
        return h, extra if switch["on"] else h

    xs = sequence()
    for on in (False, True, True, False):
        switch["on"] = on
        assert_equals_the_loop(cell, h0, xs, [W, U, extra])


def test_a_second_derivative_through_a_scan_of_nothing_is_zero() -> None:
    start = tg.Tensor(np.ones((N, H)), requires_grad=True)
    h, ys = tg.scan(lambda h, x: (np.ones((N, H)), x * 2), start, sequence(requires_grad=True))
    for y in (h, ys, h.sum() + ys.sum()):
        g = tg.grad(y.sum(), start, create_graph=True)
        assert (g.numpy() == 0).all()
    loss = (h * start).sum()
    g = tg.grad(loss, start, create_graph=True)
    assert_allclose(g.numpy(), h.numpy())
    assert (tg.grad(g.sum(), start).numpy() == 0).all()


def test_errors_of_losses_in_a_step_are_those_of_the_loop() -> None:
    for unroll in (False, True):
        with pytest.raises(IndexError, match="class indices from 0 to 3"):
            tg.scan(
                lambda h, t: (h, tg.nn.cross_entropy(h, t)),
                h0,
                np.array([[0, 1, 2], [0, 4, 2]]),
                unroll=unroll,
            )
        with pytest.raises(ValueError, match="targets from 0 to 1"):
            tg.scan(
                lambda h, y: (h, tg.nn.binary_cross_entropy_with_logits(h, y)),
                h0,
                np.full((2, N, H), 1.5),
                unroll=unroll,
            )


def test_a_first_state_that_wants_no_gradient_is_not_warned_about() -> None:
    """Its derivative is infinite, and the loop does not compute it."""
    w = tg.Tensor(np.ones(2), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.sqrt(h) * w + x
        return h, h

    assert_equals_the_loop(cell, np.zeros(2), np.ones((3, 2)), [w])


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_a_part_of_the_gradients_reads_what_all_of_them_keep(backend: str) -> None:
    """All of them keep a whole value, and read a part of it; one alone reads only the part."""
    if backend == "native":
        pytest.importorskip("llvmlite")
    rng = np.random.default_rng(0)
    h_0, xs, b = (
        tg.Tensor(rng.normal(size=shape), requires_grad=True) for shape in ((2, 1), (3, 1), (2, 1))
    )

    def cell(h: Any, x_t: Any) -> Any:
        whole = x_t - h
        part = whole[:1]
        return part * part + b, h * whole

    def results(unroll: bool) -> list[tuple[Any, Any]]:
        h, ys = tg.scan(cell, h_0, xs, unroll=unroll)
        return [
            (tg.grad(y.sum(), leaves)[0].numpy(), leaves)
            for y in (h, ys)
            for leaves in ([b], [xs], [h_0], [xs, b], [h_0, xs, b])
        ]

    with tg.backend(backend):
        for (mine, _), (expected, _) in zip(results(False), results(True), strict=True):
            np.testing.assert_allclose(mine, expected, rtol=1e-10)


@pytest.mark.parametrize("rows", [2, 40, 400])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_a_long_sequence_without_a_graph_is_cut_into_pieces(
    rows: int, reverse: bool, ragged: bool
) -> None:
    """So many steps at a time that they fill little memory: all of them, some, or 64."""
    T, rng = 300, np.random.default_rng(0)
    W = tg.Tensor(rng.normal(size=(3, 3)) / 2)
    xs, h = rng.normal(size=(T, rows, 3)), np.zeros((rows, 3))
    lengths = rng.integers(1, T + 1, rows) if ragged else None

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(x + h @ W)
        return h, h[:, :1]

    with tg.no_grad():
        last, ys = tg.scan(cell, h, xs, reverse=reverse, lengths=lengths)
    expected, y = tg.scan(cell, h, xs, reverse=reverse, lengths=lengths, unroll=True)
    np.testing.assert_allclose(last.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ys.numpy(), y.numpy(), rtol=1e-10, atol=1e-12)
