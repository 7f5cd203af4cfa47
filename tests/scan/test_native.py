"""The native back end: accurate, within its memory, and the same on every thread."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.scan import backends, lookup_plan
from tinygrad_rnn.scan.cache import Cache

from .fuzz.check import check
from .fuzz.draw import draw
from .guards import Guarded
from .test_compiler import gru, lstm, normalised, peephole
from .test_passes import assert_passes_hold, programs_of, takes_any_numbers
from .test_scan import assert_same

pytest.importorskip("llvmlite")

from tinygrad_rnn.scan.backends import native
from tinygrad_rnn.scan.backends.native import constants, engine, functions, products
from tinygrad_rnn.scan.backends.native.text import Lanes, Module
from tinygrad_rnn.scan.ir import Program
from tinygrad_rnn.scan.plan import Plan


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lookup_plan, "cache", Cache())
    with tg.backend("native"):
        yield


def weights(D: int, H: int, dtype: Any = np.float64) -> dict[str, tg.Tensor]:
    rng = np.random.default_rng(0)
    shapes = {
        "ih": (4 * H, D),
        "hh": (4 * H, H),
        "b": (4 * H,),
        "c": (4 * H,),
        "p": (H,),
        "q": (H,),
    }
    return {
        name: tg.Tensor((rng.normal(size=shape) / np.sqrt(H)).astype(dtype), requires_grad=True)
        for name, shape in shapes.items()
    }


def training_step(
    cell: Any, T: int, N: int, D: int, H: int, dtype: Any = np.float64, reverse: bool = False
) -> Callable[[], list[np.ndarray]]:
    w = weights(D, H, dtype)
    rng = np.random.default_rng(1)
    xs = tg.Tensor(rng.normal(size=(T, N, D)).astype(dtype), requires_grad=True)
    carry = (tg.Tensor(np.zeros((N, H), dtype)),) * 2

    def step() -> list[np.ndarray]:
        _, ys = tg.scan(lambda c, x: cell(w, c, x), carry, xs, reverse=reverse)
        y = ys[0] if isinstance(ys, tuple) else ys
        used = [xs, w["ih"], w["hh"], w["c"]]
        return [y.numpy(), *(g.numpy() for g in tg.grad((y * y).sum(), used))]

    return step


# ── single functions ─────────────────────────────────────────────────────────────────────


def applied(name: str, x: np.ndarray, width: int) -> np.ndarray:
    """An instruction on all elements of an array."""
    kind = {"f": "float", "d": "double"}[x.dtype.char]
    module = Module(engine.target().attributes)
    f = module.function("f", ["ptr %x", "ptr %y", "i64 %n"])
    v = Lanes(f, width)
    with f.loop(0, "%n", width) as loop:
        mask = v.mask(loop.i, "%n")
        value = v.load(kind, f.pointer(kind, "%x", loop.i), 1, mask)
        made = functions.INSTRUCTIONS[name](v, kind, value)
        v.store(kind, made, f.pointer(kind, "%y", loop.i), 1, mask)
    compiled = engine.Compiled(str(module), ["f"])
    y = np.empty_like(x)
    run = compiled.function("f", [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64])
    run(x.ctypes.data, y.ctypes.data, x.size)
    return y


def numbers(dtype: Any) -> np.ndarray:
    """The whole range: ordinary and extreme numbers, denormals, Inf and NaN."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    special = [0, -0.0, np.inf, -np.inf, np.nan, info.tiny, info.smallest_subnormal, info.max]
    special += [-x for x in special] + [1, -1, 1 + info.eps, 88.7228, 88.723, -87.4, -103.9, -104.2]
    special += [709.78, 709.79, -708.4, -745.1, -745.2, 9.02, 19.1]
    drawn = [
        rng.uniform(-20, 20, 20_000),
        rng.uniform(-1, 1, 20_000),
        rng.normal(size=20_000) * 300,
        np.exp2(rng.uniform(-info.maxexp - 20, info.maxexp, 20_000)) * rng.choice([-1, 1], 20_000),
        1 + rng.normal(size=5_000) * 1e-3,
    ]
    with np.errstate(over="ignore"):
        return np.concatenate([np.array(special), *drawn]).astype(dtype)


EXACT: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_are_accurate_over_the_whole_range(name: str, dtype: Any) -> None:
    x = numbers(dtype)
    if name in ("sin", "cos"):
        x = x[np.abs(x) < 1e6]
    y = applied(name, x, engine.target().lanes("float" if dtype == np.float32 else "double"))
    assert applied(name, x, 1).tobytes() == y.tobytes()  # one lane or many: the same bits
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(np.longdouble))
        usual = getattr(tg, name)(x)
    if name == "sigmoid":  # e^-x = Inf, in NumPy too
        exact = np.where(usual == 0, 0, exact)
    with np.errstate(over="ignore"):
        nearest = exact.astype(dtype)
    assert (np.isnan(y) == np.isnan(nearest)).all()
    assert (np.isinf(y) == np.isinf(nearest)).all()
    finite = np.isfinite(nearest)
    unit = np.spacing(np.abs(nearest[finite])).astype(np.longdouble)
    with np.errstate(invalid="ignore"):
        errors = np.abs(y[finite].astype(np.longdouble) - exact[finite]) / unit
    most = functions.UNITS.get(name, (0.5, 0.5))[dtype == np.float64]
    assert most <= (4 if dtype == np.float32 else 2)
    assert float(errors.max()) <= most


UNARY = (
    "arccos arccosh arcsin arcsinh arctan arctanh cbrt cosh deg2rad exp2 expm1 log2 log10 rad2deg "
    "reciprocal sinh tan ceil fabs floor rint trunc isnan isinf isfinite signbit logical_not sign "
    "exp log log1p tanh sigmoid sqrt sin cos softplus relu erf abs negative square"
)
BINARY = (
    "arctan2 hypot fmax fmin fmod remainder floor_divide logaddexp logaddexp2 maximum minimum "
    "logical_and logical_or logical_xor equal not_equal less less_equal greater greater_equal "
    "add subtract multiply divide power"
)


@pytest.mark.parametrize("name", [*UNARY.split(), *BINARY.split()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_are_those_of_numpy(name: str, dtype: Any) -> None:
    op = getattr(tg, name)
    x = numbers(dtype)
    x = np.concatenate([x[:60], np.array([0.5, 2.5, -1.5], dtype), x[60::50]])
    if name in ("sin", "cos", "tan"):
        x = np.where(np.abs(x) < 1e6, x, 1)
    xs = (x,) if name in UNARY.split() else (x[:, np.newaxis], np.concatenate([x[:80], x[80::9]]))
    with np.errstate(all="ignore"):
        expected = op(*xs)
        steps = tuple(tg.Tensor(a[np.newaxis]) for a in xs)
        cell = lambda c, x_t: (c, op(*x_t))  # noqa: E731
        plan = tg.scan_plan(cell, np.zeros(()), steps)
        _, y = tg.scan(cell, np.zeros(()), steps)
    assert plan.backend == "native"
    found = y.numpy()[0]
    assert found.dtype == expected.dtype
    if found.dtype.kind == "b":
        np.testing.assert_array_equal(found, expected)
        return
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[np.isinf(expected)], expected[np.isinf(expected)])
    x, y = (a[finite].astype(np.longdouble) for a in (found, expected))
    with np.errstate(over="ignore"):
        size = np.abs(expected[finite])
        if name.startswith("logaddexp"):  # its terms may cancel
            largest = np.maximum(*map(np.abs, xs))[finite]
            size = np.where(np.isinf(largest), size, np.maximum(size, largest))
        unit = np.spacing(size).astype(np.longdouble)
    assert (np.abs(x - y) / unit).max() <= 4


@pytest.mark.parametrize("name", ["remainder", "floor_divide"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_quotients_of_integers_are_those_of_numpy(name: str, dtype: Any) -> None:
    info = np.iinfo(dtype)
    x = np.array([0, 1, -1, 2, -2, 7, -7, 10, info.max, info.min, info.min + 1, 12345], dtype)
    op, xs = getattr(tg, name), (x[:, np.newaxis], x)
    steps = tuple(tg.Tensor(a[np.newaxis]) for a in xs)
    with np.errstate(all="ignore"):
        _, y = tg.scan(lambda c, x_t: (c, op(*x_t)), np.zeros(()), steps)
        np.testing.assert_array_equal(y.numpy()[0], op(*xs))


# ── passes ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
def test_passes_over_the_fuzzers_cells(seed: int) -> None:
    import contextlib

    from .fuzz.run import Setting

    checked = 0
    for number in range(20):
        setting = Setting(draw(np.random.default_rng([seed, number])))
        setting.fill(0)

        def run(setting: Setting = setting) -> None:
            with contextlib.suppress(TypeError, ValueError, IndexError), tg.backend("numpy"):
                setting.forward(unroll=False)

        for program in programs_of(run):
            if takes_any_numbers(program):
                assert_passes_hold(program, native.passes.passes())
                checked += 1
    assert checked > 8


@pytest.mark.parametrize("shape", [(), (5,)])
def test_many_scalar_states(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a = [tg.Tensor(x, requires_grad=True) for x in rng.uniform(0.1, 0.9, 20)]

    def cell(carry: Any, x: Any) -> Any:
        new = []
        for a_i, h in zip(a, carry, strict=True):
            x = tg.tanh(a_i * h + 0.5 * x)
            new.append(x)
        return tuple(new), x

    carry = tuple(tg.Tensor(np.zeros(shape), requires_grad=True) for _ in a)
    xs = tg.Tensor(rng.normal(size=(9, *shape)), requires_grad=True)
    assert_same(cell, carry, xs, a, 1e-10)
    (plan, *_) = lookup_plan.cache.plans.values()
    assert plan.source.count("define internal") == 1  # tanh, written once


def test_a_part_that_other_loops_read() -> None:
    """Found by the fuzzer: v3's cotangent is a part of another value, and the steps read it."""
    rng = np.random.default_rng(0)
    h0 = tg.Tensor(rng.normal(size=(1, 3)), requires_grad=True)
    W = tg.Tensor(rng.normal(size=(1, 3)), requires_grad=True)
    xs = tg.Tensor(rng.normal(size=(4, 1, 3)), requires_grad=True)
    assert_same(lambda h, x: (W * x, (W + (h * 2)[None]) * 2), h0, xs, [W], 1e-12)
    assert_same(lambda h, x: (W, (W + (h * x)[None]) * 2), h0, xs, [W], 1e-12)


# ── shapes, and the bounds of memory ─────────────────────────────────────────────────────


@pytest.mark.parametrize("at_end", [True, False])
@pytest.mark.parametrize("cell", [lstm, peephole, gru, normalised])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_odd_shapes_stay_within_their_memory(
    cell: Any, dtype: Any, at_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded(at_end)
    monkeypatch.setattr(native, "empty", guarded.empty)
    monkeypatch.setattr(native, "contiguous", guarded.contiguous)
    atol = 1e-10 if dtype == np.float64 else 1e-4
    for N, D, H in [(1, 1, 1), (1, 33, 7), (7, 1, 15), (15, 17, 1), (17, 15, 33), (3, 2, 17)]:
        w = weights(D, H, dtype)
        rng = np.random.default_rng(2)
        carry = tuple(
            tg.Tensor(rng.normal(size=(N, H)).astype(dtype), requires_grad=True) for _ in range(2)
        )
        xs = tg.Tensor(rng.normal(size=(3, N, D)).astype(dtype), requires_grad=True)
        used = [v for k, v in w.items() if not (cell is normalised and k == "b")]
        for reverse in (False, True):
            step = lambda c, x, w=w: cell(w, c, x)  # noqa: E731
            assert_same(step, carry, xs, used, atol, reverse=reverse)


def test_cells_stay_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = []
    for at_end in (True, False):
        guarded = Guarded(at_end)
        monkeypatch.setattr(native, "empty", guarded.empty)
        monkeypatch.setattr(native, "contiguous", guarded.contiguous)
        with tg.backend("auto"):
            verdicts += [check(draw(np.random.default_rng([9, n]))) for n in range(40)]
    assert [str(verdict) for verdict in verdicts if verdict.failed] == []


def test_most_cells_are_native() -> None:
    found: list[str] = []
    with tg.backend("auto"):
        for number in range(60):
            check(draw(np.random.default_rng([11, number])))
        found = [plan.backend for plan in lookup_plan.cache.plans.values()]
    assert found.count("native") > 0.8 * len(found)


@pytest.mark.parametrize(
    ("rows", "inner", "columns"),
    [(1, 1, 1), (7, 300, 17), (33, 15, 600), (100, 257, 31), (20, 40, 100)],
)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_products(rows: int, inner: int, columns: int, transposed: bool, dtype: Any) -> None:
    kind = "float" if dtype == np.float32 else "double"
    rng, guarded = np.random.default_rng(0), Guarded(True)
    vectors, lanes = products.panel(kind, max(rows, 8), columns)
    large = products.Large(kind, min(8, products.most_rows(vectors)), vectors, lanes)
    if products.unfilled(columns, vectors, lanes):
        large = large._replace(unfilled=True)
    word, pointer = ctypes.c_int64, ctypes.c_void_p
    types = [word] * 3 + [pointer, word, word] * 2 + [pointer, word] * 2 + [pointer] * 2
    run = ctypes.CFUNCTYPE(None, *types)(products.large_address(large))
    a = guarded.contiguous(
        rng.normal(size=(inner, rows) if transposed else (rows, inner)).astype(dtype)
    )
    b = guarded.contiguous(rng.normal(size=(inner, columns)).astype(dtype))
    start = guarded.contiguous(rng.normal(size=columns).astype(dtype))
    c = guarded.empty((rows, columns), dtype)
    blocks = [np.empty(n + 64, dtype) for n in large.scratch(inner, columns)]
    at = [(x.ctypes.data + 63) // 64 * 64 for x in blocks]
    strides = (1, rows) if transposed else (inner, 1)
    run(
        rows, inner, columns, a.ctypes.data, *strides, b.ctypes.data, columns, 1,
        start.ctypes.data, 0, c.ctypes.data, columns, *at,
    )  # fmt: skip
    expected = (a.T if transposed else a).astype(np.float64) @ b + start
    np.testing.assert_allclose(c, expected, atol=1e-10 if dtype == np.float64 else 1e-3)


# ── threads and processes ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cell", [lstm, peephole, gru, normalised])
@pytest.mark.parametrize("reverse", [False, True])
def test_bits_do_not_depend_on_the_threads(
    cell: Any, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "ENOUGH", 0)
    before = tg.get_num_threads()
    found = []
    step = training_step(cell, 70, 13, 17, 33, np.float32, reverse)
    try:
        for threads in (1, 2, 3):
            tg.set_num_threads(threads)
            found.append([x.tobytes() for x in step()])
    finally:
        tg.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    (plan,) = lookup_plan.cache.plans.values()
    shared = [sorted(plan.forward._shared)]
    shared += [sorted(x.loop._shared) for x in plan._backward.values()]
    assert shared.count([2, 3]) == (0 if cell is normalised else 2)  # it mixes the sequences


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads share whatever they can, however small."""
    monkeypatch.setattr(native, "ENOUGH", 0)
    monkeypatch.setattr(native, "ROWS", 1)
    before = tg.get_num_threads()
    tg.set_num_threads(3)
    yield
    tg.set_num_threads(before)


@pytest.mark.usefixtures("shared")
def test_one_vector_is_not_a_batch() -> None:
    """Its numbers are no rows: each of them is made of all."""
    W = tg.Tensor(np.random.default_rng(0).normal(size=(9, 9)) / 3, requires_grad=True)
    h0 = tg.Tensor(np.ones(9), requires_grad=True)
    xs = tg.Tensor(np.random.default_rng(1).normal(size=(5, 9)), requires_grad=True)
    assert_same(lambda h, x: ((h := tg.tanh(h @ W + x)), h), h0, xs, [W], 1e-12)
    (plan, *_) = lookup_plan.cache.plans.values()
    assert not plan.forward._shared


@pytest.mark.usefixtures("shared")
def test_cells_that_threads_share(monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = Guarded(True)
    monkeypatch.setattr(native, "empty", guarded.empty)
    monkeypatch.setattr(native, "contiguous", guarded.contiguous)
    with tg.backend("auto"):
        verdicts = [check(draw(np.random.default_rng([82, n]))) for n in range(60)]
    assert [str(verdict) for verdict in verdicts if verdict.failed] == []
    assert any(
        plan.backend == "native" and plan.forward._shared
        for plan in lookup_plan.cache.plans.values()
    )


def test_several_python_threads_run_one_plan() -> None:
    step = training_step(peephole, 20, 4, 5, 9)
    expected = [x.tobytes() for x in step()]
    found: list[Any] = []

    def run() -> None:
        with tg.backend("native"):
            found.extend([x.tobytes() for x in step()] for _ in range(10))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_goes_on() -> None:
    code = (
        "import os, numpy as np, tinygrad_rnn as tg\n"
        "from tinygrad_rnn.scan.backends import native\n"
        "native.ENOUGH = 0\n"
        "tg.set_num_threads(2)\n"
        "W = tg.Tensor(np.eye(9), requires_grad=True)\n"
        "def go(b):\n"
        "    ys = tg.scan(lambda h, x: ((y := tg.tanh(h @ W + x @ W * b)), y), np.zeros((8, 9)),\n"
        "                 np.ones((30, 8, 9)))[1]\n"
        "    return tg.grad(ys.sum(), W).numpy()\n"
        "a = go(1.0)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if np.array_equal(go(1.0), a) and go(2.0).size else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=100)


def test_numbers_of_threads() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        tg.set_num_threads(0)
    with pytest.raises(TypeError, match="integer"):
        tg.set_num_threads(1.5)  # type: ignore[arg-type]
    assert tg.get_num_threads() >= 1


# ── which back end ───────────────────────────────────────────────────────────────────────


def plan_of(cell: Any) -> Any:
    return tg.scan_plan(cell, np.zeros(2), np.ones((3, 2)))


def test_the_back_end_is_chosen_by_thread_block_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = lambda h, x: (tg.tanh(h + x), h)  # noqa: E731
    assert plan_of(cell).backend == "native"
    assert str(plan_of(cell)).startswith("native back end\n")
    with tg.backend("numpy"):
        assert plan_of(cell).backend == "numpy"
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(plan_of(cell).backend))
        thread.start()
        thread.join()
        assert found == ["native"]
    monkeypatch.setenv("TINYGRAD_RNN_BACKEND", "numpy")
    with tg.backend("auto"):
        assert plan_of(cell).backend == "native"
    with pytest.raises(ValueError, match="gpu"), tg.backend("gpu"):
        pass


def test_an_operation_without_machine_code_is_named() -> None:
    opaque = tg.primitive(np.sinh, lambda g, y, x: g * np.cosh(x), name="my_sinh")
    cell = lambda h, x: (opaque(h) + x, h)  # noqa: E731
    with tg.backend("auto"):
        plan = plan_of(cell)
    assert plan.backend == "numpy"
    assert "my_sinh" in str(plan).splitlines()[0]
    with pytest.raises(RuntimeError, match="my_sinh"):
        plan_of(cell)


def test_forward_and_backward_run_on_the_same_back_end() -> None:
    opaque = tg.primitive(np.cosh, lambda g, y, x: g, name="my_cosh")
    sinh = tg.primitive(
        np.sinh,
        lambda g, y, x: g * opaque(x),
        name="my_sinh",
        elementwise=True,
        written_out=lambda x: (tg.exp(x) - tg.exp(-x)) * 0.5,
    )
    h0 = tg.Tensor([0.5, -0.2], requires_grad=True)
    xs = tg.Tensor(np.ones((3, 2)), requires_grad=True)
    cell = lambda h, x: (sinh(h) * 0.5 + x, h)  # noqa: E731
    with tg.backend("auto"):
        plan = tg.scan_plan(cell, h0, xs)
        assert plan.backend == "numpy"
        assert {loop.backend for loop in plan.loops.values()} == {"numpy"}
        assert "my_cosh" in str(plan).splitlines()[0]
        assert_same(cell, h0, xs, [], 1e-10)
        with tg.no_grad():  # there is no backward
            assert tg.scan_plan(cell, h0, xs).backend == "native"
    with pytest.raises(RuntimeError, match="my_cosh"):  # not as late as in the backward pass
        tg.scan(cell, h0, xs)


def test_an_operation_of_ones_own_that_is_written_out_is_native() -> None:
    sinh = tg.primitive(
        np.sinh,
        lambda g, y, x: g * (tg.exp(x) + tg.exp(-x)) * 0.5,
        name="my_sinh",
        elementwise=True,
        written_out=lambda x: (tg.exp(x) - tg.exp(-x)) * 0.5,
    )
    h0 = tg.Tensor([0.5, -0.2], requires_grad=True)
    cell = lambda h, x: (sinh(h) * 0.5 + x, h)  # noqa: E731
    assert tg.scan_plan(cell, h0, np.ones((3, 2))).backend == "native"
    xs = tg.Tensor(np.ones((3, 2)), requires_grad=True)
    assert_same(cell, h0, xs, [], 1e-10)
    with pytest.raises(TypeError, match="written_out"):
        tg.primitive(np.sinh, lambda g, y, x: g, written_out=3)  # type: ignore[arg-type]


def test_without_llvmlite_it_is_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    monkeypatch.setattr(engine, "_binding", engine._binding.__wrapped__)
    monkeypatch.setattr(engine, "_host", engine._host.__wrapped__)
    cell = lambda h, x: (h - x, h)  # noqa: E731
    with tg.backend("auto"):
        plan = plan_of(cell)
        assert plan.backend == "numpy"
        assert "llvmlite cannot be imported" in str(plan).splitlines()[0]
    with pytest.raises(RuntimeError, match="llvmlite"):
        plan_of(cell)


def test_unknown_objects_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DATA", engine.DATA + 8)
    monkeypatch.setattr(engine, "_host", engine._host.__wrapped__)
    with tg.backend("auto"):
        plan = plan_of(lambda h, x: (h - x, h))
    assert plan.backend == "numpy"
    assert "unknown way" in str(plan).splitlines()[0]


def test_llvmlite_is_imported_by_the_first_native_scan_alone() -> None:
    code = (
        "import sys, numpy as np, tinygrad_rnn as tg\n"
        "assert 'llvmlite' not in sys.modules\n"
        "with tg.backend('numpy'):\n"
        "    tg.scan(lambda h, x: (h + x, h), np.zeros(2), np.ones((3, 2)))\n"
        "assert 'llvmlite' not in sys.modules\n"
        "tg.scan(lambda h, x: (h + x, h), np.zeros(2), np.ones((3, 2)))\n"
        "assert 'llvmlite' in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TINYGRAD_RNN_BACKEND"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=100)


def test_the_source_is_what_runs_in_the_names_of_the_listing() -> None:
    plan = plan_of(lambda h, x: (tg.tanh(h + x), h))
    assert "define void @run" in plan.source
    names = [line.result for line in plan.listings["forward"]]
    assert all(f"; {', '.join(names)}: " in plan.source for names in [names])


# ── memory ───────────────────────────────────────────────────────────────────────────────


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_and_drop(plans: int) -> None:
    W = tg.Tensor(np.eye(3), requires_grad=True)
    for i in range(plans):
        lookup_plan.cache = Cache()
        ys = tg.scan(
            lambda h, x, i=i: (tg.tanh(h @ W * float(i) + x), h),
            np.zeros((2, 3)),
            np.ones((2, 2, 3)),
        )[1]
        tg.grad(ys.sum(), W)


def living() -> Counter[str]:
    """How many plans, programs, compiled modules and parts of these there are."""
    kinds = (Plan, native.NativeLoop, engine.Compiled, constants.Prepared, Program)
    found = Counter(type(x).__name__ for x in gc.get_objects() if issubclass(type(x), kinds))
    found["to be closed"] = len(weakref.finalize._registry)  # type: ignore[attr-defined]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_plans_leave_no_memory_behind() -> None:
    make_and_drop(100)
    gc.collect()
    counts, growth = living(), []
    for _ in range(2):  # a leak shows in both; the heap of other tests may settle in the first
        before = resident()
        make_and_drop(450)
        gc.collect()
        growth.append(resident() - before)
    assert living() == counts
    assert min(growth) / 450 < 2_000  # bytes, of more than 200,000 that a plan needs


def test_a_plan_goes_when_nobody_holds_it() -> None:
    make_and_drop(2)
    gc.collect()
    counts = living()
    gc.disable()
    try:
        make_and_drop(3)
        assert living()["Compiled"] == counts["Compiled"]
    finally:
        gc.enable()


def test_backends_are_compiled_by_name() -> None:
    assert backends.wanted_backend() == "native"


# ── the README ───────────────────────────────────────────────────────────────────────────


def test_the_readme_follows_a_step_to_its_code() -> None:
    """Its listing is the plan's, and its machine code too but for the numbers of registers."""
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    section = text.partition("### From a step to machine code")[2].partition("\n## ")[0]
    step, *listings, code = re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)
    W = tg.Tensor(np.ones((4, 8), np.float32), requires_grad=True, name="W")
    p = tg.Tensor(np.ones(8, np.float32), requires_grad=True, name="p")
    scope: dict[str, Any] = {"__name__": "readme", "tg": tg, "W": W, "p": p}
    exec(step, scope)
    c_0, xs = np.zeros((16, 8), np.float32), np.ones((50, 16, 4), np.float32)
    plan = tg.scan_plan(scope["peephole"], c_0, xs)
    for listing in listings:
        assert listing in f"{plan}\n"
    if engine.target().bytes >= 32:
        found = iter(re.sub(r"\.\d+", "", plan.source).splitlines())
        for line in re.sub(r"\.\d+", "", code).splitlines():
            assert line.strip() == "..." or line in found, line
