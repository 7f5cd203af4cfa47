"""Orders and indices: what NumPy gives; integers of a traced step; ties; bad arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

x = np.random.default_rng(0).normal(size=(3, 4))
grid = np.array([-1.0, 0.0, 0.5, 2.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda xp, x: xp.argmax(x),
        lambda xp, x: xp.argmax(x, 0),
        lambda xp, x: xp.argmin(x, -1, keepdims=True),
        lambda xp, x: xp.argsort(x),
        lambda xp, x: xp.argsort(x, axis=0, kind="stable"),
        lambda xp, x: xp.argsort(x, axis=None, stable=True),
        lambda xp, x: xp.argpartition(x, 1),
        lambda xp, x: xp.argpartition(x, 1, None),
        lambda xp, x: xp.searchsorted(grid, x, "right"),
        lambda xp, x: xp.searchsorted(grid[::-1], x, sorter=[3, 2, 1, 0]),
    ],
)
def test_integers_are_numpys(f: Any) -> None:
    expected = f(np, x)
    for given, namespace in ((x, tg), (tg.Tensor(x, requires_grad=True), tg), (tg.Tensor(x), np)):
        found = f(namespace, given)
        assert type(found) is type(expected)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "f",
    [
        lambda h, W: W[tg.argmax(h, -1)],
        lambda h, W: tg.embedding(np.argmax(h, -1), W),
        lambda h, W: tg.take_along_axis(h, np.argmin(h, -1, keepdims=True), -1) * W[0],
        lambda h, W: tg.take(W, np.argsort(h, 0)[:, 0], 0) + h,
        lambda h, W: W[np.searchsorted(grid, h[:, 0])] * h,
        lambda h, W: tg.interp(h, grid, W[0]),
        lambda h, W: tg.interp(h, grid, W[0], period=1.5),
        lambda h, W: tg.frexp(h)[0] * W[0],
        lambda h, W: tg.sort(h) * W[1],
    ],
)
def test_a_step_may_index_by_them(f: Any) -> None:
    """What scan computes in one trace is what the loop computes."""
    rng = np.random.default_rng(1)
    W, h = tg.Tensor(rng.normal(size=(5, 4)), requires_grad=True), rng.normal(size=(2, 4))
    xs = rng.normal(size=(6, 2, 4))

    def cell(h: Any, x_t: Any) -> Any:
        h = tg.tanh(f(h, W) + x_t)
        return h, h

    found = {}
    for unroll in (False, True):
        hs = tg.scan(cell, tg.Tensor(h, requires_grad=True), xs, unroll=unroll)[1]
        found[unroll] = [hs.data, tg.grad((hs * hs).sum(), W).data]
    for by_scan, by_loop in zip(*found.values(), strict=True):
        np.testing.assert_allclose(by_scan, by_loop, rtol=1e-12)


def test_equal_elements_keep_their_order() -> None:
    t = tg.Tensor([2.0, 1.0, 2.0, 1.0], requires_grad=True)
    (tg.sort(t) * [1, 2, 3, 4]).sum().backward()
    np.testing.assert_array_equal(t.grad, [3, 1, 4, 2])


def test_of_equal_elements_unique_takes_the_first() -> None:
    t = tg.Tensor([3.0, 1.0, 3.0], requires_grad=True)
    y, first, inverse, counts = tg.unique(t, True, True, True)
    y.sum().backward()
    np.testing.assert_array_equal(t.grad, [1, 1, 0])
    np.testing.assert_array_equal(first, [1, 0])
    np.testing.assert_array_equal(inverse, [1, 0, 1])
    np.testing.assert_array_equal(counts, [1, 2])


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda t: tg.sort(t, 2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda t: tg.argsort(t, -3), np.exceptions.AxisError, "axis -3 is out of bounds"),
        (lambda t: tg.partition(t, 9), ValueError, "kth"),
        (lambda t: tg.take_along_axis(t, [0], 0), ValueError, "indices of 2 dimensions"),
        (lambda t: tg.take_along_axis(t, [[9]], 1), IndexError, "index 9 is out of bounds"),
        (lambda t: tg.take_along_axis(t, [[0.5]], 1), IndexError, "integer"),
        (lambda t: tg.compress([[True]], t), ValueError, "one dimension"),
        (lambda t: tg.select([t > 0], []), ValueError, "1 conditions and 0 choices"),
        (lambda t: tg.choose([0, 2], [t[0, 0], t[0, 1]]), ValueError, "indices from 0 to 1"),
        (lambda t: tg.choose([0], [t], mode="up"), ValueError, "'up'"),
        (lambda t: tg.searchsorted(grid, t, "middle"), ValueError, "middle"),
        (lambda t: tg.interp(t, [], []), ValueError, "two vectors"),
        (lambda t: tg.interp(t, grid, [1.0]), ValueError, "two vectors"),
        (lambda t: tg.interp(t, grid, grid, period=0), ValueError, "period"),
    ],
)
def test_bad_arguments(f: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        f(tg.Tensor(x, requires_grad=True))
