"""scan computes what the loop computes: values and all gradients, whatever the cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import tinygrad_rnn as tg
from tinygrad_rnn.testing import strategies


def leaves(tree: Any) -> list[Any]:
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def gradients(cell: Any, carry: Any, xs: Any, closed: Any, **options: Any) -> list[np.ndarray]:
    """The outputs of a scan, and the gradients of a function of all of them."""
    final, ys = tg.scan(cell, carry, xs, **options)
    outputs = [*leaves(final), *leaves(ys)]
    loss = sum((tg.sin(y * (i + 1)).sum() for i, y in enumerate(outputs)), tg.Tensor(0.0))
    inputs = [*leaves(carry), *leaves(xs), *closed]
    found = tg.grad(loss, inputs) if loss.requires_grad else []
    return [y.numpy() for y in (*outputs, *found)]


def assert_same(cell: Any, carry: Any, xs: Any, closed: Any, atol: float, **options: Any) -> None:
    looped = gradients(cell, carry, xs, closed, unroll=True, **options)
    scanned = gradients(cell, carry, xs, closed, **options)
    for mine, reference in zip(scanned, looped, strict=True):
        assert mine.dtype == reference.dtype
        scale = max(1.0, float(np.abs(reference).max(initial=0)))
        assert_allclose(mine, reference, rtol=0, atol=atol * scale)


@given(strategies.cells(), st.booleans())
def test_equals_the_loop(drawn: Any, reverse: bool) -> None:
    cell, carry, xs = drawn
    assert_same(cell, carry, xs, cell.parameters, 1e-10, reverse=reverse)


@settings(max_examples=50)
@given(strategies.cells(dtype=np.float32), st.booleans())
def test_equals_the_loop_in_float32(drawn: Any, reverse: bool) -> None:
    cell, carry, xs = drawn
    assert_same(cell, carry, xs, cell.parameters, 1e-4, reverse=reverse)


@given(strategies.cells(batched=True), st.booleans(), st.data())
def test_equals_the_loop_with_lengths(drawn: Any, reverse: bool, data: Any) -> None:
    cell, carry, xs = drawn
    T, N = xs.shape[:2]
    lengths = data.draw(st.lists(st.integers(1, T), min_size=N, max_size=N))
    padded = xs.numpy()
    padded[np.arange(T)[:, None] >= np.array(lengths)] = np.nan
    xs = tg.Tensor(padded, requires_grad=True)
    assert_same(cell, carry, xs, cell.parameters, 1e-10, reverse=reverse, lengths=lengths)
    looped = gradients(cell, carry, xs, cell.parameters, lengths=lengths)
    assert all(np.isfinite(array).all() for array in looped)


@settings(max_examples=30)
@given(strategies.cells(min_steps=0, max_steps=2))
def test_short_and_empty_sequences(drawn: Any) -> None:
    cell, carry, xs = drawn
    final, ys = tg.scan(cell, carry, xs)
    assert all(y.shape[0] == len(xs) for y in leaves(ys))
    if len(xs):
        assert_same(cell, carry, xs, cell.parameters, 1e-10)
    else:
        for before, after in zip(leaves(carry), leaves(final), strict=True):
            assert_allclose(before.numpy(), after.numpy())


@settings(max_examples=30)
@given(strategies.cells(max_steps=3), st.booleans())
def test_second_derivatives_equal_the_loops(drawn: Any, reverse: bool) -> None:
    cell, carry, xs = drawn

    def twice(unroll: bool) -> list[np.ndarray]:
        final, ys = tg.scan(cell, carry, xs, reverse=reverse, unroll=unroll)
        loss = sum((tg.sin(y).sum() for y in (*leaves(final), *leaves(ys))), tg.Tensor(0.0))
        inputs = [*leaves(carry), xs, *cell.parameters]
        first = tg.grad(loss, inputs, create_graph=True)
        total = sum((tg.sin(g).sum() for g in first), tg.Tensor(0.0))
        second = tg.grad(total, inputs) if total.requires_grad else []
        return [g.numpy() for g in (*first, *second)]

    for mine, reference in zip(twice(False), twice(True), strict=True):
        scale = max(1.0, float(np.abs(reference).max(initial=0)))
        assert_allclose(mine, reference, rtol=0, atol=1e-9 * scale)


@settings(max_examples=30)
@given(strategies.cells(max_steps=5), st.booleans())
def test_no_grad_gives_the_same_values(drawn: Any, reverse: bool) -> None:
    cell, carry, xs = drawn
    recorded = tg.scan(cell, carry, xs, reverse=reverse)
    with tg.no_grad():
        plain = tg.scan(cell, carry, xs, reverse=reverse)
    for a, b in zip(leaves(recorded), leaves(plain), strict=True):
        assert not b.requires_grad
        assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-12)


@settings(max_examples=30)
@given(strategies.cells(), st.data())
def test_any_subset_of_the_outputs_and_inputs(drawn: Any, data: Any) -> None:
    cell, carry, xs = drawn

    def some(unroll: bool) -> list[np.ndarray]:
        outputs = leaves(tg.scan(cell, carry, xs, unroll=unroll))
        chosen = [y for y, take in zip(outputs, taken, strict=True) if take and y.requires_grad]
        loss = sum((tg.sin(y).sum() for y in chosen), tg.Tensor(0.0))
        every = [*leaves(carry), xs, *cell.parameters]
        wanted = [x for x, take in zip(every, asked, strict=True) if take]
        return [g.numpy() for g in tg.grad(loss, wanted)] if wanted else []

    count = len(leaves(tg.scan(cell, carry, xs)))
    flags = st.booleans()
    taken = data.draw(st.lists(flags, min_size=count, max_size=count))
    n = len(leaves(carry)) + 1 + len(cell.parameters)
    asked = data.draw(st.lists(flags, min_size=n, max_size=n))
    for mine, reference in zip(some(False), some(True), strict=True):
        scale = max(1.0, float(np.abs(reference).max(initial=0)))
        assert_allclose(mine, reference, rtol=0, atol=1e-10 * scale)


pytestmark = pytest.mark.filterwarnings("error")
