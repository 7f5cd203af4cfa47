"""The native back end for processors with shorter vectors and fewer registers.

This one runs the code all the same: LLVM makes of a vector what there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinygrad_rnn as tg
from tinygrad_rnn.scan import lookup_plan
from tinygrad_rnn.scan.backends import native
from tinygrad_rnn.scan.backends.native import engine, products
from tinygrad_rnn.scan.cache import Cache

from . import test_native as core
from .fuzz.check import check
from .fuzz.draw import draw
from .guards import Guarded
from .test_compiler import gru, lstm, normalised, peephole
from .test_scan import assert_same

TARGETS = {
    "avx2": engine.Target(32, 16, masks=False),
    "sse": engine.Target(16, 16, masks=False),
    "neon": engine.Target(16, 32, masks=False),
}


@pytest.fixture(autouse=True, params=TARGETS)
def simulated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine, "simulated", TARGETS[request.param])
    monkeypatch.setattr(products, "_compiled", {})
    monkeypatch.setattr(lookup_plan, "cache", Cache())
    with tg.backend("native"):
        yield


@pytest.mark.parametrize("name", core.EXACT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions(name: str, dtype: Any) -> None:
    core.test_functions_are_accurate_over_the_whole_range(name, dtype)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products(transposed: bool, dtype: Any) -> None:
    for shape in ((1, 1, 1), (7, 300, 17), (33, 15, 600), (100, 257, 31)):
        core.test_large_products(*shape, transposed, dtype)


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("cell", [lstm, peephole, gru, normalised])
def test_odd_shapes_stay_within_their_memory(
    cell: Any, at_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded(at_end)
    monkeypatch.setattr(native, "empty", guarded.empty)
    monkeypatch.setattr(native, "contiguous", guarded.contiguous)
    for N, D, H, dtype in ((1, 33, 7, "f4"), (7, 1, 15, "f8"), (3, 2, 17, "f4"), (9, 5, 33, "f8")):
        w = core.weights(D, H, dtype)
        rng = np.random.default_rng(2)
        carry = tuple(
            tg.Tensor(rng.normal(size=(N, H)).astype(dtype), requires_grad=True) for _ in range(2)
        )
        xs = tg.Tensor(rng.normal(size=(3, N, D)).astype(dtype), requires_grad=True)
        used = [v for k, v in w.items() if not (cell is normalised and k == "b")]
        step = lambda c, x, w=w: cell(w, c, x)  # noqa: E731
        assert_same(step, carry, xs, used, 1e-10 if dtype == "f8" else 1e-4, reverse=True)
    plans = list(lookup_plan.cache.plans.values())
    assert {plan.backend for plan in plans} == {"native"}
    assert not any("<16 x float>" in plan.source for plan in plans)


def test_cells_of_the_fuzzer(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(True)
    monkeypatch.setattr(native, "empty", guarded.empty)
    monkeypatch.setattr(native, "contiguous", guarded.contiguous)
    with tg.backend("auto"):
        verdicts = [check(draw(np.random.default_rng([10, n]))) for n in range(20)]
    assert [str(verdict) for verdict in verdicts if verdict.failed] == []


@pytest.mark.parametrize("cell", [lstm, gru])
def test_threads(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    core.test_bits_do_not_depend_on_the_threads(cell, False, monkeypatch)
