"""Every pass of the compiler: its program is a program, and computes what the one before does."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.graph import table
from tinygrad_rnn.scan import lookup_plan
from tinygrad_rnn.scan.backends import numpy as numpy_backend
from tinygrad_rnn.scan.derive import Backward
from tinygrad_rnn.scan.ir import (
    CONSTANT,
    LOOP,
    SEQUENCE,
    Builder,
    InvalidProgram,
    Program,
    Value,
    verify,
)
from tinygrad_rnn.scan.passes.buffers import Memory, buffers, is_opaque, may_be_view
from tinygrad_rnn.scan.passes.schedule import schedule
from tinygrad_rnn.scan.passes.simplify import simplify
from tinygrad_rnn.testing import strategies

from .fuzz.draw import draw
from .fuzz.run import Setting
from .interpreter import interpret


def programs_of(run: Any) -> Iterator[Program]:
    """The forward and the backward program of every scan that a function calls."""
    found: list[Any] = []

    class Noted(lookup_plan.Plan):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            found.append(self)

    before, lookup_plan.Plan = lookup_plan.Plan, Noted  # type: ignore[misc]
    cache, lookup_plan.cache = lookup_plan.cache, type(lookup_plan.cache)()
    try:
        run()
    finally:
        lookup_plan.Plan, lookup_plan.cache = before, cache  # type: ignore[misc]
    for plan in found:
        yield plan._forward.program(plan._kept)
        if plan.live.any:
            every = (True,) * (len(plan.step.new_carries) + len(plan.step.outputs))
            yield Backward(plan._forward, plan.live, every, plan.live.inputs).program


def numbers_for(program: Program, T: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    def some(v: Value, *lead: int) -> np.ndarray:
        shape = (*lead, *v.shape)
        if v.dtype.kind == "f":
            return rng.uniform(0.25, 0.75, shape).astype(v.dtype)
        return np.zeros(shape, v.dtype)

    return (
        [some(v) for v in program.constants],
        [some(v, T) for v in program.sequences],
        [some(v) for v in program.carries],
    )


def next_numbers(x: np.ndarray) -> np.ndarray:
    return np.nextafter(x, np.inf) if x.dtype.kind == "f" else x


def assert_passes_hold(
    program: Program, passes: Sequence[Any] | None = None, T: int = 3
) -> Program:
    """Each pass computes what the program means; returns what the last of them gives."""
    given_arrays = numbers_for(program, T, np.random.default_rng(0))
    program = schedule(program)
    verify(program)
    expected, nudged = (
        interpret(program, T, False, *given)
        for given in (given_arrays, [list(map(next_numbers, xs)) for xs in given_arrays])
    )
    program = schedule(simplify(program))
    for one_pass in [None, *(numpy_backend.passes() if passes is None else passes)]:
        if one_pass is not None:
            program = one_pass(program)
        scheduled = program if program.computed or one_pass is None else schedule(program)
        verify(scheduled)
        assert_alike(interpret(scheduled, T, False, *given_arrays), expected, nudged, one_pass)
    return program


def takes_any_numbers(program: Program) -> bool:
    """Whether the operations don't refuse what tests draw, as Cholesky's does most matrices."""
    arrays = numbers_for(program, 3, np.random.default_rng(0))
    try:
        interpret(schedule(program), 3, False, *arrays)
    except np.linalg.LinAlgError:
        return False
    return True


def assert_alike(got: Any, expected: Any, nudged: Any, one_pass: Any) -> None:
    """The same numbers, as far as the last bits of what is given determine them."""
    for kind, some, others, again in zip(
        ("carries", "stacked", "totals", "kept"), got, expected, nudged, strict=True
    ):
        for i, (a, b, c) in enumerate(zip(some, others, again, strict=True)):
            assert (a.shape, a.dtype) == (b.shape, b.dtype), (kind, i, one_pass)
            tolerance = 1e-10 if a.dtype == np.float64 else 1e-4
            atol = tolerance
            if b.dtype.kind == "f":
                amplified = 100 * np.abs(b - c).max(initial=0.0) if b.dtype == np.float64 else 0
                atol = max(tolerance * max(1.0, float(np.abs(b).max(initial=0.0))), amplified)
            np.testing.assert_allclose(
                a, b, rtol=0, atol=atol, err_msg=f"{kind} {i} after {one_pass}"
            )


def assert_lifetimes(program: Program, memory: Memory) -> None:
    """Nothing is written over a buffer while something in it is still to be read."""
    position = {v: i for i, v in enumerate(program.step)}

    def home(v: Value) -> Value:
        place = memory.places.get(v)
        if place is None:
            return v
        if place.kind == "part":
            assert place.whole is not None
            return home(place.whole)
        if place.kind == "view" or (place.kind == "fresh" and may_be_view(v) and v.inputs):
            return home(v.inputs[0])
        return v

    spans: dict[Value, list[int]] = {}
    end = len(program.step)
    for v in program.step:
        for x in (v, *v.inputs):
            at = end if is_opaque(v) else position[v]
            spans.setdefault(home(x), []).append(at)
        if memory.places[v].kind == "part":
            spans.setdefault(home(v), []).append(position[v])
    for v in program.new_carries:
        spans.setdefault(home(v), []).append(end)
    by_buffer: dict[int, list[Value]] = {}
    for v in program.step:
        place = memory.places[v]
        if place.kind == "buffer":
            by_buffer.setdefault(place.index, []).append(v)
    for values in by_buffer.values():
        values.sort(key=lambda v: min(spans[v]))
        for first, second in itertools.pairwise(values):
            # The last reader may write over what it reads, if it goes element by element.
            assert max(spans[first]) <= min(spans[second]), (first, second)
            if max(spans[first]) == min(spans[second]):
                assert second.op is not None
                assert second.op.elementwise, (first, second)


@pytest.mark.parametrize("seed", range(12))
def test_passes_over_the_fuzzers_cells(seed: int) -> None:
    checked = 0
    for number in range(25):
        cell = draw(np.random.default_rng([seed, number]))
        setting = Setting(cell)
        setting.fill(0)

        def run(setting: Setting = setting) -> None:
            with contextlib.suppress(TypeError, ValueError, IndexError):
                setting.forward(unroll=False)

        for program in programs_of(run):
            if takes_any_numbers(program):
                assert_lifetimes(final := assert_passes_hold(program), buffers(final))
                checked += 1
    assert checked > 10


@settings(max_examples=30)
@given(strategies.cells(), st.integers(1, 4))
def test_passes_over_any_cell(drawn: Any, T: int) -> None:
    cell, carry, xs = drawn
    for program in programs_of(lambda: tg.scan(cell, carry, xs)):
        assert_lifetimes(final := assert_passes_hold(program, T=T), buffers(final))


# ── the verifier ─────────────────────────────────────────────────────────────────────────


def small() -> tuple[Builder, Program, Value]:
    """h_t = tanh(x_t + h_{t-1}), not scheduled."""
    build = Builder()
    f8 = np.dtype(np.float64)
    x, h = build.new_input((2,), f8, SEQUENCE, "x_t"), build.new_input((2,), f8, LOOP, "h")
    new = build.elementwise(table["tanh"], build.elementwise(table["add"], x, h))
    return build, Program((), (x,), (h,), (new,), stacked=(new,)), new


def test_a_program_is_scheduled() -> None:
    _, program, new = small()
    verify(schedule(program))
    assert schedule(program).step[-1] is new


def test_the_verifier_notices() -> None:
    build, program, new = small()
    f8 = np.dtype(np.float64)
    good = schedule(program)
    from dataclasses import replace

    add = good.step[0]
    strange = build.new_input((2,), f8, CONSTANT, "w")
    wrong_shape = Value(99, table["tanh"], (add,), {}, (3,), f8, LOOP)
    wrong_level = Value(98, table["tanh"], (add,), {}, (2,), f8, SEQUENCE)
    for broken, message in (
        (replace(good, step=good.step[::-1]), "not computed yet"),
        (replace(good, step=(add, add, new)), "computed twice"),
        (replace(good, before=good.step, step=()), "not computed yet"),
        (replace(good, stacked=(strange,)), "nothing computes it"),
        (replace(good, step=(add, wrong_shape, new)), "computes float64"),
        (replace(good, step=(add, wrong_level, new)), "should have level"),
        (replace(good, new_carries=(good.sequences[0],), stacked=()), "nothing reads it"),
        (
            replace(good, new_carries=(wrong_shape,), stacked=(new,)),
            "another shape or dtype|nothing computes",
        ),
    ):
        with pytest.raises(InvalidProgram, match=message):
            verify(broken)
