"""Any cell: scan computes what the loop computes. And the tests of the fuzzer that says so.

The hypothesis profile says how many cells are tried: about a minute's worth under ``ci``, an
hour's under ``nightly`` (``pytest -m slow --hypothesis-profile=nightly tests/scan/test_fuzz.py``).
The number is fixed, and so is every cell: the same run finds the same.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import tinygrad_rnn as tg
from tinygrad_rnn.graph import ancestors, table
from tinygrad_rnn.scan.backends import chosen_backend

from .fuzz import run
from .fuzz.cell import Cell, Given, Line
from .fuzz.check import check
from .fuzz.draw import draw
from .fuzz.flags import flags, products_judged
from .fuzz.hunt import Hunt
from .fuzz.run import Setting, Verdict
from .fuzz.shrink import shrink, tidy

SEEDS = range(4)
#: By the examples of a profile: "ci" has 50, "nightly" 2000.
CELLS = {50: 900, 2000: 45_000}


@pytest.mark.parametrize("seed", SEEDS)
def test_some_scans_compute_what_the_loop_computes(seed: int) -> None:
    hunt = Hunt(1000 + seed)
    hunt.run(30 if chosen_backend() == "native" else 100, most=3)
    assert not hunt.found, f"\n{hunt}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_scan_computes_what_the_loop_computes(seed: int) -> None:
    hunt = Hunt(seed)
    cells = CELLS.get(settings.default.max_examples, 500)
    if chosen_backend() == "native":  # compiles some programs for each cell
        cells //= 6
    hunt.run(cells, most=3)
    assert not hunt.found, f"\n{hunt}"
    # Few are left out: neither refusals nor rounding hide what is wrong.
    assert hunt.counts["same"] > 0.97 * cells, f"\n{hunt}"


# ── the fuzzer itself ────────────────────────────────────────────────────────────────────


def cells(count: int) -> Iterator[Cell]:
    """The first cells of one stream, each drawn once for all tests."""
    return map(_drawn, range(count))


@functools.cache
def _drawn(number: int) -> Cell:
    return draw(np.random.default_rng([100, number]))


@np.errstate(all="ignore")
def test_a_cell_prints_as_what_it_runs() -> None:
    for cell in cells(60):
        setting = Setting(cell)
        setting.fill(0)
        try:
            expected = run.values(setting.forward(unroll=True))
        except (TypeError, ValueError, IndexError):
            continue
        text = str(cell).replace("tg.scan(cell,", "run_scan(cell,")
        scope: dict[str, Any] = {"tg": tg, "np": np}
        scope["run_scan"] = lambda *args, **options: tg.scan(*args, unroll=True, **options)
        exec(text, scope)
        found = run.values(list(run.leaves((scope["carry"], scope["ys"]))))
        assert found.keys() == expected.keys()
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name])


@np.errstate(all="ignore")
def test_every_primitive_is_drawn() -> None:
    """A new one needs a line in ``lines``."""
    # Those that only rules, or only traced steps, are made of.
    seen = {"_rows_added", "unwindow", "_gather", "_scatter", "_add_along", "_cofactors"}
    for cell in cells(1500):
        if seen >= set(table):
            break
        lines = [name for line in cell.lines for name in line.names]
        setting = Setting(replace(cell, outputs=tuple(lines), lengths=None))
        setting.fill(0)
        try:
            with np.errstate(all="ignore"):
                outputs = setting.forward(unroll=True)
        except (TypeError, ValueError, IndexError):
            continue
        nodes = ancestors([y.node for y in outputs if y.node is not None])
        seen |= {node.primitive.name for node in nodes if node.primitive is not None}
    assert seen >= set(table)


def test_cells_are_of_all_sorts() -> None:
    drawn = list(cells(1500))
    steps = {cell.steps for cell in drawn}
    assert {0, 1, 2, 5, 70} <= steps
    modes = {mode for cell in drawn for mode in cell.modes}
    assert modes == {"grad", "closure", "second", "fused"}
    assert {cell.resets for cell in drawn} == {0, 1, 2}
    assert {x.dtype for cell in drawn for x in cell.carries} == {
        "float64",
        "float32",
        "int64",
        "bool",
    }
    sides = [dict(cell.sizes) for cell in drawn]
    assert sum(len(set(s.values())) == 1 for s in sides) > 100  # all axes of one length
    assert sum(s["N"] != s["H"] != s["D"] != s["N"] for s in sides) > 100
    assert sum(max(s.values()) > 100 for s in sides) > 5
    assert sum(0 in [s["N"], s["H"], s["D"], s["K"]] for s in sides) > 5
    assert sum(cell.lengths is not None for cell in drawn) > 50
    texts = "\n".join(str(line) for cell in drawn for line in cell.lines)
    for part in ("tg.scan(", "tg.checkpoint(", "tg.grad(", "tg.jvp(", "value_and_grad", "split"):
        assert part in texts


def test_what_is_wrong_in_the_last_digits_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = tg.scan

    def slightly_wrong(*args: Any, unroll: bool = False, **options: Any) -> Any:
        carry, ys = scan(*args, unroll=True, **options)
        if unroll or not isinstance(ys, tg.Tensor) or ys.dtype != np.float64:
            return carry, ys
        return carry, ys * (1 + 1e-7)

    monkeypatch.setattr(tg, "scan", slightly_wrong)
    verdicts = [check(cell).kind for cell in cells(40)]
    assert verdicts.count("wrong") > 5


def test_a_lost_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = tg.scan

    def lossy(cell: Any, carry: Any, xs: Any, *, unroll: bool = False, **options: Any) -> Any:
        if not unroll and isinstance(xs, tg.Tensor):
            xs = tg.where(np.arange(len(xs)).reshape(-1, *[1] * (xs.ndim - 1)), xs, xs.detach())
        return scan(cell, carry, xs, unroll=True, **options)

    monkeypatch.setattr(tg, "scan", lossy)
    verdicts = [check(cell).kind for cell in cells(200)]
    assert verdicts.count("wrong") > 5


def test_a_product_of_finite_numbers_does_not_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenBLAS raises the flag at times, for what happens to lie on the stack."""
    product = np.matmul

    def warns(*args: Any, **options: Any) -> np.ndarray:
        np.subtract(np.inf, np.inf)
        return product(*args, **options)

    monkeypatch.setattr(np, "matmul", warns)
    x, h, w = Given("x0", ("N", "D")), Given("h0", ("N", "H")), Given("w0", ("D", "H"))
    lines = (Line(("v0",), "{0} @ {1}", ("x0", "w0")),)
    sizes = (("N", 2), ("D", 5), ("H", 3), ("T", 2))
    with tg.backend("numpy"):
        assert check(Cell(sizes, (h,), (x,), (w,), (), lines, ("v0",), ())).kind == "same"
    for left, right, expected in (
        (3.0, 4.0, set()),
        (np.inf, 0.0, {"invalid value"}),
        (1e300, 1e300, {"invalid value", "overflow"}),
    ):
        with products_judged(), flags() as raised:
            np.matmul([[left]], [[right]])
        assert raised == expected


def test_refusals_are_counted_by_what_they_say() -> None:
    lines = (Line(("v0",), "h0 * float({0}.sum())", ("h0",)),)
    x, h = Given("x0"), Given("h0", ("N",))
    cell = Cell((("N", 2), ("T", 2)), (h,), (x,), (), (), lines, ("v0",), ())
    assert check(cell).kind == "refused"


def test_shrinking_keeps_what_fails_and_little_else() -> None:
    found = 0
    for cell in map(tidy, cells(300)):
        if "tg.tanh({0})" in [line.text for line in cell.lines]:
            small = shrink(cell, lambda c: "tg.tanh({0})" in [line.text for line in c.lines])
            assert len(small.lines) == 1
            assert len(small.carries) == len(small.inputs) == 1
            assert max(n for _, n in small.sizes) == 1
            found += 1
    assert found > 3


def test_only_wrong_numbers_and_errors_are_failures() -> None:
    kinds = ("same", "wrong", "error", "refused", "rounding", "invalid")
    assert [kind for kind in kinds if Verdict(kind).failed] == ["wrong", "error"]
