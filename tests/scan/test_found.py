"""Small cells that scan once computed wrongly, each for its kind: what the fuzzer and users found.

A row builds a cell with what it runs on. Each is run as a loop and as a scan, recorded and under
no_grad, in both directions, twice by the same plan.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tinygrad_rnn as tg

from .fuzz.run import leaves


class Example(NamedTuple):
    """A cell, what it is given, and the other Tensors that want a gradient."""

    cell: Callable[[Any, Any], Any]
    carry: Any
    xs: Any
    closed: tuple[Any, ...] = ()
    lengths: Any = None


EXAMPLES: dict[str, Callable[[], Example]] = {}


def example(build: Callable[[], Example]) -> Callable[[], Example]:
    EXAMPLES[build.__name__] = build
    return build


numbers = itertools.count()


def some(*shape: int, dtype: Any = np.float64, live: bool = True) -> tg.Tensor:
    """Random numbers, others at every call."""
    rng = np.random.default_rng(next(numbers))
    return tg.Tensor(rng.uniform(-1, 1, shape).astype(dtype), requires_grad=live)


def fresh(example: Callable[[], Example], seed: int) -> Example:
    global numbers
    numbers = itertools.count(1000 * seed)
    return example()


# ── gates that are alike, but not quite ──────────────────────────────────────────────────


@example
def two_products_times_a_number_of_the_step() -> Example:
    W, V = some(3, 3), some(3, 3)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh((h @ W) * x + (h @ V) * (1 - x))
        return h, h

    return Example(cell, some(2, 3), some(4), (W, V))


@example
def as_many_products_as_rows() -> Example:
    W, V = some(2, 2), some(2, 2)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh((h @ W) * x + (h @ V) * (1 - x))
        return h, h

    return Example(cell, some(2, 2), some(2), (W, V))


@example
def experts_weighted_by_the_input() -> Example:
    W = [some(2, 2) for _ in range(3)]

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(sum((x[k] * (h @ W[k]) for k in range(3)), tg.Tensor(0.0)))
        return h, h

    return Example(cell, some(2, 2), some(3, 3), tuple(W))


@example
def numbers_of_the_step_as_biases() -> Example:
    W, V = some(3, 3), some(3, 3)

    def cell(h: Any, x: Any) -> Any:
        h = tg.sigmoid(h @ W + x[0]) * tg.sigmoid(h @ V + x[1])
        return h, h

    return Example(cell, some(2, 3), some(4, 2), (W, V))


def separate_gru(N: int) -> Example:
    w = {name: some(3, 3) for name in ("rx", "rh", "zx", "zh", "nx", "nh")}

    def cell(h: Any, x: Any) -> Any:
        r = tg.sigmoid(x @ w["rx"] + h @ w["rh"])
        z = tg.sigmoid(x @ w["zx"] + h @ w["zh"])
        n = tg.tanh(x @ w["nx"] + (r * h) @ w["nh"])
        h = (1 - z) * n + z * h
        return h, h

    return Example(cell, some(N, 3), some(4, 3), tuple(w.values()))


@example
def gru_with_separate_weights_and_one_input_for_the_batch() -> Example:
    return separate_gru(2)


@example
def gru_with_separate_weights_and_as_many_rows_as_gates() -> Example:
    return separate_gru(3)


@example
def lstm_with_separate_weights_and_one_input_for_the_batch() -> Example:
    w = {name: some(2, 2) for name in ("ix", "ih", "fx", "fh", "gx", "gh", "ox", "oh")}

    def cell(state: Any, x: Any) -> Any:
        h, c = state
        i, f, o = (tg.sigmoid(x @ w[k + "x"] + h @ w[k + "h"]) for k in "ifo")
        c = f * c + i * tg.tanh(x @ w["gx"] + h @ w["gh"])
        h = o * tg.tanh(c)
        return (h, c), h

    return Example(cell, (some(4, 2), some(4, 2)), some(3, 2), tuple(w.values()))


@example
def two_gates_with_closed_over_numbers() -> Example:
    W, V, a, b = some(3, 3), some(3, 3), some(), some()

    def cell(h: Any, x: Any) -> Any:
        h = tg.sigmoid(h @ W + a) * tg.sigmoid(h @ V + b) + x
        return h, h

    return Example(cell, some(2, 3), some(4, 2, 3), (W, V, a, b))


# ── one product, in pieces ───────────────────────────────────────────────────────────────


def added_pieces(*batch: int, sliced: bool = False) -> Example:
    P = some(3, 12)

    def cell(h: Any, x: Any) -> Any:
        p = h @ P
        parts = [p[..., 3 * k : 3 * k + 3] for k in range(4)] if sliced else tg.split(p, 4, -1)
        h = tg.tanh(parts[0] + parts[3] + x)
        return h, h

    return Example(cell, some(*batch, 3), some(4, *batch, 3), (P,))


@example
def pieces_added_in_a_batch_of_one() -> Example:
    return added_pieces(1)


@example
def pieces_added_without_a_batch() -> Example:
    return added_pieces()


@example
def slices_added_without_a_batch() -> Example:
    return added_pieces(sliced=True)


# ── views and copies ─────────────────────────────────────────────────────────────────────


@example
def transposed_and_reshaped() -> Example:
    W, V = some(4, 2), some(4, 8)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh((h.reshape(2, 4) @ W).T.reshape(4) @ V + x)
        return h, h

    return Example(cell, some(8), some(3, 8), (W, V))


@example
def flipped_and_reshaped() -> Example:
    W = some(3, 3)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.flip(h @ W, 0).reshape(3, 2).reshape(2, 3) + x)
        return h, h

    return Example(cell, some(2, 3), some(4, 2, 3), (W,))


@example
def heads_split_and_joined() -> Example:
    Q, K, V = some(4, 4), some(4, 4), some(4, 4)

    def heads(x: Any) -> Any:
        return tg.transpose(x.reshape(3, 2, 2), (1, 0, 2))

    def cell(memory: Any, x: Any) -> Any:
        scores = heads(memory @ Q) @ tg.swapaxes(heads(memory @ K), 1, 2)
        read = tg.transpose(tg.softmax(scores) @ heads(memory @ V), (1, 0, 2)).reshape(3, 4)
        memory = tg.tanh(memory + read + x)
        return memory, read

    return Example(cell, some(3, 4), some(3, 3, 4), (Q, K, V))


@example
def channels_shuffled() -> Example:
    W = some(6, 6)

    def cell(h: Any, x: Any) -> Any:
        shuffled = tg.transpose((h @ W).reshape(2, 2, 3), (0, 2, 1)).reshape(2, 6)
        h = tg.tanh(shuffled + h + x)
        return h, shuffled

    return Example(cell, some(2, 6), some(4, 2, 6), (W,))


@example
def a_convolution_of_a_state_that_is_read_later() -> Example:
    K = some(1, 1, 2, 2)

    def cell(h: Any, x: Any) -> Any:
        wide = tg.pad(h, ((0, 1), (0, 1)))
        y = tg.conv2d(wide.reshape(1, 1, 4, 5), K)[0, 0]
        h = tg.tanh(y * h + x)
        return h, y

    return Example(cell, some(3, 4), some(3, 3, 4), (K,))


@example
def a_pooling_of_a_state_that_is_read_later() -> Example:
    W = some(4, 4)

    def cell(h: Any, x: Any) -> Any:
        a = h @ W
        y = tg.max_pool2d(a.reshape(1, 4, 4), 2)[0]
        h = tg.tanh(a + tg.sum(y) + x)
        return h, y

    return Example(cell, some(4, 4), some(3, 4), (W,))


@example
def a_state_that_is_an_element() -> Example:
    W = some(3, 3)

    def cell(state: Any, x: Any) -> Any:
        h, c = state
        h = tg.tanh(h @ W + c * x)
        return (h, h[0]), c

    return Example(cell, (some(3), some()), some(4, 3), (W,))


@example
def an_element_of_what_broadcasts() -> Example:
    w = some(1, 1)
    return Example(lambda h, x: ((h + w)[0, 0] * x, h), some(), some(3), (w,))


@example
def a_carry_that_is_a_reshaped_transpose() -> Example:
    W = some(3, 3)

    def cell(h: Any, x: Any) -> Any:
        a = tg.tanh(h @ W + x)
        return a.T.reshape(2, 3), a

    return Example(cell, some(2, 3), some(4, 2, 3), (W,))


# ── carries that the new carry does not depend on ────────────────────────────────────────


@example
def a_carry_replaced_by_a_constant() -> Example:
    w = some(3)
    return Example(lambda h, x: (np.ones(3), tg.sin(h * w)), some(3), some(4, 3), (w,))


@example
def a_carry_replaced_by_the_input() -> Example:
    return Example(lambda h, x: (x, h * x), some(3), some(4, 3))


@example
def a_carry_detached() -> Example:
    w = some(3)
    return Example(lambda h, x: (tg.tanh(h * w + x).detach(), h * w), some(3), some(4, 3), (w,))


@example
def a_carry_reset_by_a_mask() -> Example:
    w, reset = some(3), np.array([False, True, False, False])

    def cell(h: Any, x: Any) -> Any:
        x, starts = x
        h = tg.where(starts, 0.0, tg.tanh(h * w + x))
        return h, h

    return Example(cell, some(3), (some(4, 3), reset), (w,))


@example
def a_delay_of_one_step() -> Example:
    return Example(lambda h, x: (x, h), some(3), some(1, 3))


@example
def a_delay_of_two_steps() -> Example:
    return Example(lambda c, x: ((x, c[0]), c[1]), (some(2), some(2)), some(3, 2))


@example
def carries_that_change_places_and_decay() -> Example:
    w = some(2)
    return Example(lambda c, x: ((c[1], c[0] * w), x), (some(2), some(2)), some(3, 2), (w,))


# ── derivatives within the step ──────────────────────────────────────────────────────────


@example
def value_and_gradient_at_a_weight() -> Example:
    W = some(3)

    def cell(h: Any, x: Any) -> Any:
        value, g = tg.value_and_grad(lambda w: tg.sum(tg.sin(h * w) * x))(W)
        return tg.tanh(h + g), value

    return Example(cell, some(3), some(3, 3), (W,))


@example
def value_and_gradient_at_the_carry() -> Example:
    W = some(3)

    def cell(h: Any, x: Any) -> Any:
        value, g = tg.value_and_grad(lambda z: tg.sum(tg.sin(z * W) * x))(h)
        return tg.tanh(h - 0.1 * g), value

    return Example(cell, some(3), some(3, 3), (W,))


@example
def a_direction_at_a_weight() -> Example:
    W = some(3)

    def cell(h: Any, x: Any) -> Any:
        moved = tg.jvp(lambda w: tg.tanh(w * h), W, x)
        return tg.tanh(h + moved), moved

    return Example(cell, some(3), some(3, 3), (W,))


@example
def a_hessian_times_a_vector_at_the_carry() -> Example:
    W = some(3)

    def cell(h: Any, x: Any) -> Any:
        moved = tg.hvp(lambda z: tg.sum(tg.sin(z) * W), h, x)
        return tg.tanh(h + moved), moved

    return Example(cell, some(3), some(3, 3), (W,))


@example
def an_inner_gradient_of_what_is_closed_over_alone() -> Example:
    W = some(3)

    def cell(h: Any, x: Any) -> Any:
        _, g = tg.value_and_grad(lambda w: tg.sum(w**3))(W)
        return tg.tanh(h + g * x), g

    return Example(cell, some(3), some(3, 3), (W,))


# ── numbers far from 1 ───────────────────────────────────────────────────────────────────


@example
def the_logarithm_of_a_small_sigmoid() -> Example:
    def cell(h: Any, x: Any) -> Any:
        y = tg.log(tg.sigmoid(h * 20 - 20))
        return h * 0.9, y

    return Example(cell, some(3, dtype=np.float32), some(3, 3, dtype=np.float32))


@example
def tiny_factors_and_large_ones() -> Example:
    tiny, large = tg.Tensor(np.float32(1e-30)), tg.Tensor(np.float32(1e30))

    def cell(h: Any, x: Any) -> Any:
        y = ((h * tiny) * (x * tiny)) * 0 + (h * tiny) * large * x
        return tg.tanh(y), y

    return Example(cell, some(3, dtype=np.float32), some(3, 3, dtype=np.float32))


@example
def divided_by_tiny_inputs() -> Example:
    xs = tg.Tensor(np.float32([[1e-40, 3e-39], [2e-40, 1e-39]]))

    def cell(h: Any, x: Any) -> Any:
        return h, (h * 1e-40) / x

    return Example(cell, some(2, dtype=np.float32), xs)


@example
def rounded_by_a_large_summand() -> Example:
    def cell(h: Any, x: Any) -> Any:
        rounded = (h * 8 + 2.0**52) - 2.0**52
        return tg.tanh(h + x), rounded

    return Example(cell, some(3, live=False), some(3, 3, live=False))


@example
def a_compensated_sum() -> Example:
    def cell(state: Any, x: Any) -> Any:
        total, lost = state
        y = x - lost
        new = total + y
        return (new, (new - total) - y), lost

    return Example(cell, (some(3, live=False) * 1e8, np.zeros(3)), some(5, 3, live=False))


# ── elements at places that the step computes ────────────────────────────────────────────


def lookup(read: Callable[[Any, Any], Any], width: int = 3) -> Example:
    E = some(4, 3)
    ids = np.array([[0, 3], [1, 1], [2, 0]])

    def cell(h: Any, i: Any) -> Any:
        h = tg.tanh(h + read(E, i))
        return h, h

    return Example(cell, some(2, width), ids, (E,))


@example
def taken_rows() -> Example:
    return lookup(lambda E, i: tg.take(E, i, 0))


@example
def taken_columns() -> Example:
    return lookup(lambda E, i: tg.take(E, tg.minimum(i, 2), -1)[2:], 2)


@example
def taken_by_the_method() -> Example:
    return lookup(lambda E, i: E.take(i, axis=0))


@example
def taken_by_numpy() -> Example:
    return lookup(lambda E, i: np.take(E, i, 0))


@example
def taken_from_the_flattened() -> Example:
    return lookup(lambda E, i: tg.take(E, i), 2)


@example
def indexed_rows() -> Example:
    return lookup(lambda E, i: E[i])


@example
def indexed_beside_a_slice() -> Example:
    return lookup(lambda E, i: E[i, 1:], 2)


@example
def indexed_twice() -> Example:
    return lookup(lambda E, i: E[i, i * 0 + 1], 2)


@example
def a_state_indexed_by_the_input() -> Example:
    def cell(h: Any, i: Any) -> Any:
        h = tg.tanh(h[i] * 2)
        return h, h[i[0]]

    return Example(cell, some(3, 2), np.array([[2, 1, 1], [0, 0, 2]]))


# ── losses, booleans, mixed sequences ────────────────────────────────────────────────────


@example
def a_cross_entropy_in_the_step() -> Example:
    W = some(3, 4)
    targets = np.array([[0, 3], [1, -100], [-100, -100], [2, 2]])

    def cell(h: Any, target: Any) -> Any:
        loss = tg.nn.cross_entropy(
            h @ W, target, weight=[1.0, 2.0, 0.5, 1.0], reduction="sum", label_smoothing=0.1
        )
        each = tg.nn.cross_entropy(h @ W, target, reduction="none")
        return tg.tanh(h + 0.1), (loss, each, tg.sum(each))

    return Example(cell, some(2, 3), targets, (W,))


@example
def a_mean_of_cross_entropies_in_the_step() -> Example:
    W = some(3, 4)
    targets = np.array([[0, 3], [1, 7], [2, 2]])

    def cell(h: Any, target: Any) -> Any:
        loss = tg.nn.cross_entropy(
            h @ W, target, weight=[1.0, 2.0, 0.5, 1.0], ignore_index=7, label_smoothing=0.2
        )
        return tg.tanh(h + 0.1), loss

    return Example(cell, some(2, 3), targets, (W,))


@example
def a_binary_cross_entropy_in_the_step() -> Example:
    def cell(h: Any, y: Any) -> Any:
        return tg.tanh(h * 2), tg.nn.binary_cross_entropy_with_logits(h, tg.sigmoid(y))

    return Example(cell, some(3), some(3, 3))


@example
def booleans_of_the_step() -> Example:
    def cell(state: Any, x: Any) -> Any:
        h, seen = state
        large = (h > 0.2) & ~(x > 0.5) | (x < -0.5) ^ (h < 0)
        seen = np.logical_or(seen, large)
        h = tg.where(np.isfinite(h) & seen, tg.tanh(h + x), h * 0.5)
        return (h, seen), (large, np.logical_and(seen, np.isnan(x)))

    return Example(cell, (some(3), np.zeros(3, bool)), some(4, 3))


@example
def each_sequence_reads_a_row_of_its_own() -> Example:
    tables, rows = some(3, 2, 4), some(3, 4)

    def cell(state: Any, i: Any) -> Any:
        place, h = state
        h = tg.tanh(h + tables[np.arange(3), place]) + rows[np.arange(3), i][:, None]
        return ((place + 1) % 2, h), np.sort(h, axis=-1)

    ids = np.array([[0, 1, 2], [2, 2, 0], [3, 0, 1]])
    return Example(cell, (np.zeros(3, int), some(3, 4)), ids, (tables, rows))


@example
def an_axis_that_is_an_integer_of_numpy() -> Example:
    def cell(h: Any, x: Any) -> Any:
        axis = np.int64(0)
        y = tg.sum(h, axis) + np.std(h, np.int64(-1))[0] + tg.softmax(h * x, axis)[0]
        return h + x, (y, tg.sum(h, (np.int64(0), np.int32(1))), np.cumsum(h, axis))

    return Example(cell, some(2, 3), some(4, 2, 3))


@example
def a_nan_that_the_step_makes() -> Example:
    def cell(h: Any, x: Any) -> Any:
        y = tg.where(h > 0, h * x, float("nan"))
        return h + x, tg.where(np.isnan(y), 0.5, y)

    return Example(cell, some(3), some(4, 3))


@example
def questions_about_all_elements() -> Example:
    def cell(h: Any, x: Any) -> Any:
        large = (h > 0.2).any(-1, keepdims=True) & np.all(x < 0.9, axis=-1, keepdims=True)
        h = tg.where(large, tg.tanh(h + x), h * 0.5) * np.any(h > -0.5)
        near = np.isclose(h, x, 0.5), np.isin(np.sign(h), [0, 1]), np.isposinf(h / 0.0)
        counts = np.count_nonzero(h > x, axis=0), np.logical_or.reduce(h > x, axis=1)
        return h, (near, counts, np.full_like(h, 2.5))

    return Example(cell, some(2, 3), some(4, 2, 3))


@example
def numbers_of_another_byte_order() -> Example:
    weights = np.arange(3).astype(">f4")

    def cell(h: Any, x: Any) -> Any:
        h = (h * weights + x).astype(h.dtype)
        return h, weights

    return Example(cell, np.ones(3, ">f4"), np.ones((4, 3), ">f4"))


@example
def an_operation_without_a_rule_for_a_carry_that_needs_none() -> Example:
    gate = tg.primitive(lambda h, x: (h > 0) * x, None, lambda g, y, h, x: g * (h > 0), name="gate")
    W = some(3)
    xs = some(4, 3, live=False)
    return Example(lambda h, x: (h + gate(h, x), gate(h, x * W)), np.ones(3), xs, (W,))


@example
def a_mean_over_sequences_of_several_lengths() -> Example:
    W = some(3, 3)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(h @ W + x + tg.mean(h * x, 0))
        return h, h

    return Example(cell, some(3, 3), some(4, 3, 3), (W,), [2, 4, 1])


@example
def an_empty_batch_of_sequences() -> Example:
    return Example(lambda h, x: (h + x, h), some(0, 3), some(4, 0, 3), (), [])


@example
def a_cotangent_that_is_missing_beside_an_infinite_derivative() -> Example:
    """Of the last state, here the root of 0, nobody asks."""
    xs = tg.Tensor([[1.0, 4.0], [2.0, 1.0], [0.0, 0.0]], requires_grad=True)
    return Example(lambda h, x: (tg.sqrt(h * x), (h * x).detach() + x), tg.Tensor([1.0, 2.0]), xs)


def lstm_of(N: int, H: int, D: int) -> Example:
    W, U = some(4 * H, D), some(4 * H, H)

    def cell(state: Any, x: Any) -> Any:
        h, c = state
        i, f, g, o = tg.split(tg.linear(x, W) + tg.linear(h, U), 4, -1)
        c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
        h = tg.sigmoid(o) * tg.tanh(c)
        return (h, c), (h, tg.sum(h, -1), tg.logsumexp(h, -1))

    return Example(cell, (some(N, H), some(N, H)), some(3, N, D), (W, U))


@example
def an_empty_batch() -> Example:
    return lstm_of(0, 3, 2)


@example
def no_units() -> Example:
    return lstm_of(2, 0, 2)


@example
def inputs_without_elements() -> Example:
    return lstm_of(2, 3, 0)


@example
def no_steps_within_a_step() -> Example:
    W = some(3, 3)

    def cell(h: Any, x: Any) -> Any:
        h, ys = tg.scan(lambda c, z: (tg.tanh(c @ W + z), (c * x, z > 0)), h, x[None][:0])
        return tg.tanh(h @ W + x), (h, *ys)

    return Example(cell, some(3), some(4, 3), (W,))


@example
def a_thousand_sums_in_a_step() -> Example:
    w = some(2)

    def cell(h: Any, x: Any) -> Any:
        for _ in range(1000):
            h = h + w
        return tg.tanh(h + x), h

    return Example(cell, some(2), some(1, 2), (w,))


@example
def a_condition_that_is_a_python_bool() -> Example:
    def cell(h: Any, x: Any) -> Any:
        h = tg.where(True, h + x, 1.5) * True
        return tg.where(False, h, 1.25), tg.where(True, h, 2.5)

    return Example(cell, some(), some(5))


@example
def many_rows_without_elements() -> Example:
    W = some(0, 3)
    return Example(lambda h, x: (tg.tanh(h + x @ W), h), some(1, 3), some(70, 1, 0), (W,))


# ── both ways ────────────────────────────────────────────────────────────────────────────


def results(given: Example, unroll: bool, reverse: bool, grad: bool) -> dict[str, np.ndarray]:
    options = {} if given.lengths is None else {"lengths": given.lengths}
    outputs = list(
        leaves(
            tg.scan(given.cell, given.carry, given.xs, unroll=unroll, reverse=reverse, **options)
        )
    )
    found = {f"output {i}": y.numpy() for i, y in enumerate(outputs)}
    if not grad:
        return found
    every = list(leaves((given.carry, given.xs, given.closed)))
    inputs = [x for x in every if isinstance(x, tg.Tensor) and x.requires_grad]
    for kind, wanted in {"all": outputs, "ys": outputs[len(list(leaves(given.carry))) :]}.items():
        loss = tg.Tensor(0.0)
        for i, y in enumerate(wanted):
            if y.requires_grad:
                loss = loss + (tg.sin(y * (i + 1.0)) * (1 + i)).sum()
        for i, g in enumerate(tg.grad(loss, inputs)):
            found[f"gradient {i} of {kind}"] = g.numpy()
    return found


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("reverse", [False, True])
@np.errstate(all="ignore")
def test_scan_computes_what_the_loop_computes(name: str, reverse: bool) -> None:
    for grad, seed in ((True, 0), (True, 1), (False, 0), (False, 1)):
        given = fresh(EXAMPLES[name], seed)
        if grad:
            looped, scanned = (results(given, u, reverse, True) for u in (True, False))
        else:
            with tg.no_grad():
                looped, scanned = (results(given, u, reverse, False) for u in (True, False))
        assert scanned.keys() == looped.keys()
        for key, reference in looped.items():
            assert (scanned[key].shape, scanned[key].dtype) == (reference.shape, reference.dtype)
            scale = float(np.abs(reference[np.isfinite(reference)]).max(initial=0))
            atol = scale * (1e-5 if reference.dtype == np.float32 else 1e-10)
            finite = np.isfinite(reference)
            assert_allclose(scanned[key][finite], reference[finite], 0, atol, err_msg=key)
