"""What the compiler decides by size it decides for speed: every decision computes the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.scan import blas, lookup_plan
from tinygrad_rnn.scan.backends import numpy as numpy_backend
from tinygrad_rnn.scan.cache import Cache
from tinygrad_rnn.scan.passes import operands, pack
from tinygrad_rnn.testing import strategies

from .fuzz.check import check
from .fuzz.draw import draw
from .test_scan import assert_same


@pytest.fixture(autouse=True)
def _numpy() -> Iterator[None]:
    with tg.backend("numpy"):
        yield


NEVER, ALWAYS = 0, 1 << 40


@contextmanager
def sizes(late: int, packed: int, copied: int, small: int) -> Iterator[None]:
    """Compile as if values of these sizes were large, or small."""
    chosen = {
        (numpy_backend, "LATE"): late,
        (pack, "LARGEST"): packed,
        (pack, "LARGEST_COPIED"): copied,
        (operands, "SMALL"): small,
        (lookup_plan, "cache"): Cache(),
    }
    before = {(module, name): getattr(module, name) for module, name in chosen}
    try:
        for (module, name), value in chosen.items():
            vars(module)[name] = value
        yield
    finally:
        for (module, name), value in before.items():
            vars(module)[name] = value


decisions = {
    "as for small values": (ALWAYS, ALWAYS, ALWAYS, ALWAYS),
    "as for large values": (NEVER, NEVER, NEVER, NEVER),
    "packed, and late": (NEVER, ALWAYS, ALWAYS, NEVER),
    "packed where nothing is copied": (ALWAYS, ALWAYS, NEVER, NEVER),
}


def lstm(w: Any, carry: Any, x: Any) -> Any:
    h, c = carry
    i, f, g, o = tg.split(tg.linear(x, w["ih"], w["b"]) + tg.linear(h, w["hh"], w["c"]), 4, -1)
    c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
    h = tg.sigmoid(o) * tg.tanh(c)
    return (h, c), h


def peephole(w: Any, carry: Any, x: Any) -> Any:
    h, c = carry
    i, f, g, o = tg.split(tg.linear(x, w["ih"], w["b"]) + tg.linear(h, w["hh"], w["c"]), 4, -1)
    c = tg.sigmoid(f + w["p"] * c) * c + tg.sigmoid(i + w["q"] * c) * tg.tanh(g)
    h = tg.sigmoid(o + w["p"] * c) * tg.tanh(c)
    return (h, c), (h, c)


def gru(w: Any, carry: Any, x: Any) -> Any:
    h, c = carry
    r_x, z_x, n_x, _ = tg.split(tg.linear(x, w["ih"], w["b"]), 4, -1)
    r_h, z_h, n_h, _ = tg.split(tg.linear(h, w["hh"], w["c"]), 4, -1)
    r, z = tg.sigmoid(r_x + r_h), tg.sigmoid(z_x + z_h)
    n = tg.tanh(n_x + r * n_h)
    return ((1 - z) * n + z * h, c), r


def normalised(w: Any, carry: Any, x: Any) -> Any:
    h, c = carry
    size = h.shape[-1]
    z = tg.linear(x, w["ih"][:size]) + tg.linear(h, w["hh"][:size], w["c"][:size])
    h = tg.tanh(tg.layer_norm(z, size, w["p"], w["q"]) / tg.sqrt(tg.mean(z * z) + 1))
    return (h, c * tg.sum(h, -1, keepdims=True)), tg.softmax(h)


def gated_twice(w: Any, carry: Any, x: Any) -> Any:
    """Values read more than once, products of other rows, columns that do not fit together."""
    h, c = carry
    z = tg.linear(h, w["hh"]) + tg.linear(x, w["ih"])
    size = h.shape[-1]
    a, b = z[..., : size + 1], z[..., size + 1 :]
    gate = tg.sigmoid(z)
    h = tg.tanh(tg.concatenate([a, b], -1) * gate)[..., :size]
    c = c - tg.linear(tg.sigmoid(c), w["hh"][:size]) / (1 + tg.square(w["p"]))
    return (h, c), a / tg.mean(gate, -1, keepdims=True)


@pytest.mark.parametrize("cell", [lstm, peephole, gru, normalised, gated_twice])
@pytest.mark.parametrize("batch", [(), (1,), (2,), (5,)], ids=str)
@pytest.mark.parametrize("decision", decisions)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cells_equal_their_loops(cell: Any, batch: Any, decision: str, dtype: Any) -> None:
    D, H, T = 2, 3, 4
    rng = np.random.default_rng(0)

    def some(*shape: int) -> tg.Tensor:
        return tg.Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True)

    w = {"ih": some(4 * H, D), "hh": some(4 * H, H), "b": some(4 * H), "c": some(4 * H)}
    w |= {"p": some(H), "q": some(H)}
    carry, xs = (some(*batch, H), some(*batch, H)), some(T, *batch, D)
    atol = 1e-10 if dtype == np.float64 else 1e-4
    with sizes(*decisions[decision]):
        for reverse in (False, True):
            step = lambda carry, x: cell(w, carry, x)  # noqa: E731
            used = [v for v in w.values() if not (cell is normalised and v is w["b"])]
            assert_same(step, carry, xs, used, atol, reverse=reverse)


@settings(max_examples=50)
@given(strategies.cells(), st.sampled_from(list(decisions)), st.booleans())
def test_any_cell_equals_its_loop(drawn: Any, decision: str, reverse: bool) -> None:
    cell, carry, xs = drawn
    with sizes(*decisions[decision]):
        assert_same(cell, carry, xs, cell.parameters, 1e-10, reverse=reverse)


def test_gates_are_one_call() -> None:
    rng = np.random.default_rng(0)
    w = {
        k: tg.Tensor(rng.normal(size=s), requires_grad=True)
        for k, s in {"ih": (12, 2), "hh": (12, 3), "b": (12,), "c": (12,)}.items()
    }
    step = lambda carry, x: lstm(w, carry, x)  # noqa: E731
    zeros = tg.Tensor(np.zeros((1, 3)))
    with sizes(*decisions["as for small values"]):
        tg.scan(step, (zeros, zeros), np.ones((4, 1, 2)))
        (plan,) = lookup_plan.cache.plans.values()
    lines = [str(line) for line in plan.listings["forward"] if line.section == "step"]
    assert sum("@" in line for line in lines) == 1
    assert sum("tanh" in line or "exp" in line for line in lines) <= 3


def poisoned(shape: Any, dtype: Any) -> np.ndarray:
    """Memory in which whatever nobody wrote is seen."""
    made = np.empty(shape, dtype)
    made.fill(np.nan if made.dtype.kind == "f" else True if made.dtype.kind == "b" else 99)
    return made


def test_nothing_is_read_that_nobody_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_backend, "empty", poisoned)
    monkeypatch.setattr(lookup_plan, "cache", Cache())
    verdicts = [check(draw(np.random.default_rng([7, number]))) for number in range(150)]
    assert sum(verdict.kind == "same" for verdict in verdicts) > 100
    assert [str(verdict) for verdict in verdicts if verdict.failed] == []


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_that_are_cut_into_pieces(dtype: Any) -> None:
    N, H = 16, 256
    assert blas.cut(N, H, H) != (1, 1)
    rng = np.random.default_rng(0)
    W = tg.Tensor((rng.normal(size=(H, H)) / 16).astype(dtype), requires_grad=True)
    h = tg.Tensor(rng.normal(size=(N, H)).astype(dtype), requires_grad=True)
    xs = tg.Tensor(rng.normal(size=(2, N, H)).astype(dtype), requires_grad=True)

    def cell(h: Any, x: Any) -> Any:
        h = tg.tanh(tg.linear(h, W) + x)
        return h, h

    assert_same(cell, h, xs, [W], 1e-10 if dtype == np.float64 else 1e-4)


@given(st.integers(1, 80), st.integers(1, 300), st.integers(1, 300))
def test_pieces_cover_the_product(rows: int, inner: int, columns: int) -> None:
    p, q = blas.cut(rows, inner, columns)
    assert rows % p == columns % q == 0
    x, y = np.ones((rows, inner)), np.ones((inner, columns))
    out = np.zeros((rows, columns))
    np.matmul(blas.pieces(x, p, 1), blas.pieces(y, 1, q), blas.pieces(out, p, q))
    assert (out == inner).all()
    assert (blas.product_of_rows(x[np.newaxis], y) == inner).all()
    assert (blas.product(x, y) == inner).all()
    assert (blas.product(x[0], y) == inner).all()
