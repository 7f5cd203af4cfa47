"""The hand-written LSTM over a sequence is the equations in a loop: values and every gradient."""

import tracemalloc
from collections.abc import Iterator
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.nn import lstm_sequence as module
from tinygrad_rnn.nn.lstm_sequence import lstm_sequence
from tinygrad_rnn.nn.lstm_step import lstm_equations
from tinygrad_rnn.scan.blas import cut


@pytest.fixture(autouse=True)
def _by_hand_where_numpy_runs() -> Iterator[None]:
    with tg.backend("numpy"):
        yield


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def by_hand(x, state, weights, **options):
    return lstm_sequence(x, state, weights, **options)


def in_a_loop(x, state, weights, **options):
    def step(carry, x_t):
        h, c = lstm_equations(x_t, *carry, **weights)
        return (h, c), h

    return tg.scan(step, state, x, unroll=True, **options)


def arrays(T, batch, D, H, biases=(True, True), seed=0, dtype=np.float64):
    """x, h, c and the four weights, None for the biases that there are not."""
    rng = np.random.default_rng(seed)
    shapes = [(T, *batch, D), (*batch, H), (*batch, H), (4 * H, D), (4 * H, H)]
    shapes += [(4 * H,) if bias else None for bias in biases]
    return [None if s is None else rng.standard_normal(s).astype(dtype) for s in shapes]


def run(sequence, inputs, live=range(7), through=(True, True, True), **options):
    """ys, h_n and c_n, and the gradients of a function of some of them."""
    tensors = [
        None if a is None else tg.Tensor(a, requires_grad=i in live) for i, a in enumerate(inputs)
    ]
    x, h, c, *parameters = tensors
    weights = {n: w for n, w in zip(NAMES, parameters, strict=True) if w is not None}
    (h, c), ys = sequence(x, (h, c), weights, **options)
    rng = np.random.default_rng(0)
    weighed = [y * rng.standard_normal(y.shape).astype(y.dtype) for y in (ys, h, c)]
    loss = sum((y.sum() for y, wanted in zip(weighed, through, strict=True) if wanted), 0.0)
    loss.backward()
    return [ys.data, h.data, c.data, *(None if t is None else t.grad for t in tensors)]


def same(ours, expected, tolerance):
    for a, b in zip(ours, expected, strict=True):
        if b is None:
            assert a is None or not a.any()  # no path from the input to what was asked for
        else:
            scale = max(1.0, abs(b).max(initial=0))
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


@st.composite
def problems(draw):
    """Inputs, which of them are live, which outputs count, and the options."""
    T, D, H = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    batch = draw(st.sampled_from([(), (1,), (2,), (5,)]))
    biases = draw(st.tuples(st.booleans(), st.booleans()))
    inputs = arrays(T, batch, D, H, biases, draw(st.integers(0, 99)))
    given_inputs = [i for i, a in enumerate(inputs) if a is not None]
    live = draw(st.sets(st.sampled_from(given_inputs), min_size=1))
    through = draw(st.tuples(*[st.booleans()] * 3).filter(any))
    options = {"reverse": draw(st.booleans())}
    if batch and draw(st.booleans()):
        lengths = draw(st.lists(st.integers(1, T), min_size=batch[0], max_size=batch[0]))
        options["lengths"] = np.array(lengths)
    return inputs, live, through, options


def varied(many, joined):
    """Blocks of that many elements; x and h in one product, or apart."""
    elements = module._joined_elements if joined else 0
    return mock.patch.multiple(module, _block_elements=many, _joined_elements=elements)


@given(problems(), st.integers(1, 40), st.booleans())
def test_values_and_gradients_are_those_of_the_equations(problem, many, joined):
    inputs, live, through, options = problem
    with varied(many, joined):
        found = run(by_hand, inputs, live, through, **options)
    same(found, run(in_a_loop, inputs, live, through, **options), 1e-10)


@given(problems(), st.sampled_from([0.01, 1.0, 30.0]))
def test_float32_is_as_accurate_as_float32_is(problem, size):
    inputs, live, through, options = problem
    inputs[0] *= size
    single = [None if a is None else a.astype(np.float32) for a in inputs]
    double = [None if a is None else a.astype(np.float64) for a in single]
    found = run(by_hand, single, live, through, **options)
    assert all(a is None or a.dtype == np.float32 for a in found)
    same(found, run(in_a_loop, double, live, through, **options), 1e-4)


@pytest.mark.parametrize("size", [(3, 16, 8, 128), (2, 32, 70, 256), (2, 24, 400, 128)])
@pytest.mark.parametrize("reverse", [False, True])
def test_products_cut_into_pieces_are_the_same(size, reverse):
    T, N, D, H = size
    inputs = arrays(T, (N,), D, H)
    assert cut(N, 4 * H, H) != (1, 1)
    same(run(by_hand, inputs, reverse=reverse), run(in_a_loop, inputs, reverse=reverse), 1e-10)


@settings(max_examples=30)
@given(problems())
def test_second_derivatives(problem):
    inputs, live, _, options = problem

    def twice(sequence):
        tensors = [None if a is None else tg.Tensor(a, requires_grad=True) for a in inputs]
        x, h, c, *parameters = tensors
        weights = {n: w for n, w in zip(NAMES, parameters, strict=True) if w is not None}
        (h, c), ys = sequence(x, (h, c), weights, **options)
        wanted = [tensors[i] for i in sorted(live)]
        first = tg.grad(tg.sin(ys).sum() + (h * c).sum(), wanted, create_graph=True)
        second = tg.grad(sum((tg.sin(g).sum() for g in first), tg.Tensor(0.0)), wanted)
        return [g.data for g in (*first, *second)]

    same(twice(by_hand), twice(in_a_loop), 1e-9)


@given(problems(), st.integers(1, 40), st.booleans())
def test_without_a_graph_the_values_are_the_same(problem, many, joined):
    inputs, _, _, options = problem
    tensors = [None if a is None else tg.Tensor(a, requires_grad=True) for a in inputs]
    x, h, c, *parameters = tensors
    weights = {n: w for n, w in zip(NAMES, parameters, strict=True) if w is not None}
    (h_n, c_n), ys = by_hand(x, (h, c), weights, **options)
    with tg.no_grad(), varied(many, joined):
        (h_too, c_too), ys_too = by_hand(x, (h, c), weights, **options)
    for a, b in zip((ys, h_n, c_n), (ys_too, h_too, c_too), strict=True):
        assert not b.requires_grad
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=1e-13)


def test_without_a_graph_nothing_is_kept_of_the_steps():
    layer = tg.nn.LSTM(16, 16, rng=0)

    def peak(T):
        x = np.zeros((T, 4, 16), np.float32)
        layer(x)
        with tg.no_grad():
            tracemalloc.start()
            y, _ = layer(tg.Tensor(x))
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return most - y.data.nbytes - x.nbytes

    assert peak(4000) < 1.1 * peak(1000)


@pytest.mark.parametrize("order", ["C", "F"])
def test_cotangents_in_any_order_of_memory(order):
    inputs = arrays(3, (4,), 2, 5)
    results = []
    for sequence in (by_hand, in_a_loop):
        tensors = [tg.Tensor(a, requires_grad=True) for a in inputs]
        x, h, c, *parameters = tensors
        (h, c), _ = sequence(x, (h, c), dict(zip(NAMES, parameters, strict=True)))
        for y in (h, c):
            y.backward(np.asarray(np.arange(20.0).reshape(4, 5), order=order))
        results.append([t.grad for t in tensors])
    same(*results, 1e-10)


def test_backward_leaves_what_it_reads_as_it_was():
    inputs = arrays(5, (3,), 2, 4)
    tensors = [tg.Tensor(a, requires_grad=True) for a in inputs]
    x, h, c, *parameters = tensors
    (h_n, c_n), ys = by_hand(x, (h, c), dict(zip(NAMES, parameters, strict=True)))
    loss = (ys * ys).sum() + (h_n * c_n).sum()
    loss.backward()
    once = [t.grad.copy() for t in tensors]
    loss.backward()
    for t, g in zip(tensors, once, strict=True):
        np.testing.assert_array_equal(t.grad, 2 * g)


def test_what_it_is_not_written_for():
    x, h, c, *parameters = (tg.Tensor(a) for a in arrays(3, (2,), 4, 5))
    weights = dict(zip(NAMES, parameters, strict=True))
    assert lstm_sequence(x, (h, c), weights) is not None
    assert lstm_sequence(x[:0], (h, c), weights) is None
    assert lstm_sequence(x, (h, c), {**weights, "weight_hr": h}) is None
    assert lstm_sequence(x, (tg.astype(h, np.float32), c), weights) is None


def test_it_is_one_node_and_opens_into_steps():
    layer = tg.nn.LSTM(2, 3, rng=0)
    y, _ = layer(np.ones((4, 1, 2)))
    assert [n.primitive.name for n in tg.graph.ancestors([y.node]) if n.primitive] == [
        "pick",
        "lstm_sequence",
    ]
    opened = tg.graph.ancestors(tg.backprop.expanded([y.node]))
    assert {n.scope.step for n in opened if n.name == "c_t"} == {0, 1, 2, 3}
