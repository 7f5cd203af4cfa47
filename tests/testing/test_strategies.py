"""The strategies draw what they say, and their cells and programs are what they print."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

import tinygrad_rnn as tg
from tinygrad_rnn.testing import gradcheck, strategies

few = settings(max_examples=40)


def leaves(structure):
    if isinstance(structure, tuple):
        return [leaf for part in structure for leaf in leaves(part)]
    return [structure]


def run(cell, carry, xs):
    """The plain loop that a cell is meant for."""
    ys = []
    for x_t in xs:
        carry, y_t = cell(carry, x_t)
        ys.append(y_t)
    return carry, ys


def has(strategy, condition):
    try:
        find(strategy, condition, settings=settings(max_examples=500, database=None))
    except NoSuchExample:
        return False
    return True


# ── arrays ───────────────────────────────────────────────────────────────────────────────


@given(strategies.shapes(1, 3, 1, 2))
@few
def test_shapes_keep_their_limits(shape):
    assert 1 <= len(shape) <= 3
    assert all(1 <= side <= 2 for side in shape)


@pytest.mark.parametrize("wanted", [(), (0,), (1, 3)])
def test_shapes_reach_the_corners(wanted):
    assert has(strategies.shapes(), lambda shape: shape == wanted)


@given(strategies.arrays((2, 3), np.float32, low=-1.0, high=0.5, away=(0.0,), distinct=True))
@few
def test_arrays_keep_their_limits(x):
    assert x.shape == (2, 3)
    assert x.dtype == np.float32
    assert x.min() >= -1
    assert x.max() <= 0.5
    assert (x != 0).all()
    assert len(np.unique(x)) == 6
    gaps = np.diff(np.sort(x.ravel()))
    assert gaps.min() >= 1 / 64


@given(strategies.arrays())
@few
def test_arrays_of_any_shape(x):
    assert x.dtype == np.float64
    assert np.array_equal(x.astype(np.float32), x)


@given(st.data())
@few
def test_the_shape_may_be_drawn(data):
    x = data.draw(strategies.arrays(strategies.shapes(2, 2)))
    assert x.ndim == 2


def test_an_interval_that_is_too_narrow():
    for narrow in (
        strategies.arrays((5,), low=0.0, high=0.05, distinct=True),
        strategies.arrays((1,), low=0.3, high=0.301),
    ):
        with pytest.raises(ValueError, match="too few multiples of 1/64"):
            has(narrow, lambda x: True)


@given(strategies.tensors((3,), np.float32, low=0.5), strategies.tensors((), requires_grad=False))
@few
def test_tensors(live, constant):
    assert live.requires_grad
    assert live.dtype == np.float32
    assert (live.data >= 0.5).all()
    assert not constant.requires_grad
    assert constant.shape == ()


# ── sequences ────────────────────────────────────────────────────────────────────────────


@given(strategies.sequences(3, batched=True))
@few
def test_batched_sequences(xs):
    assert xs.ndim == 3
    assert xs.shape[2] == 3
    assert 1 <= xs.shape[0] <= 6


@given(strategies.sequences(batched=False, min_steps=0, max_steps=2, dtype=np.float32))
@few
def test_unbatched_sequences(xs):
    assert xs.ndim == 2
    assert xs.dtype == np.float32
    assert xs.shape[0] <= 2


@given(strategies.sequences(lengths=True))
@few
def test_sequences_with_lengths_are_nan_behind_their_ends(drawn):
    xs, lengths = drawn
    T, N, _ = xs.shape
    assert lengths.shape == (N,)
    assert lengths.dtype.kind == "i"
    assert ((lengths >= 1) & (lengths <= T)).all()
    for n, length in enumerate(lengths):
        assert np.isfinite(xs[:length, n]).all()
        assert np.isnan(xs[length:, n]).all()


@pytest.mark.parametrize("arguments", [{"batched": False}, {"min_steps": 0}])
def test_lengths_need_a_batch_and_a_step(arguments):
    with pytest.raises(ValueError, match="lengths go with"):
        has(strategies.sequences(lengths=True, **arguments), lambda _: True)


# ── cells ────────────────────────────────────────────────────────────────────────────────


@given(strategies.cells())
@few
def test_a_cell_keeps_its_carry_and_its_numbers(drawn):
    cell, carry, xs = drawn
    new, ys = run(cell, carry, xs)
    assert [h.shape for h in leaves(new)] == [h.shape for h in leaves(carry)]
    assert all(h.requires_grad for h in leaves(carry))
    assert xs.requires_grad
    for y in [*leaves(new), *(part for y_t in ys for part in leaves(y_t))]:
        assert np.isfinite(y.data).all()
        assert np.abs(y.data).max(initial=0) < 1e3
    # One call with the same arguments gives the same bits.
    again, _ = run(cell, carry, xs)
    for a, b in zip(leaves(new), leaves(again), strict=True):
        assert np.array_equal(a.data, b.data)


@given(strategies.cells(batched=True))
@few
def test_every_row_of_a_batch_is_computed_by_itself(drawn):
    cell, carry, xs = drawn

    def row(structure, n):
        if isinstance(structure, tuple):
            return tuple(row(part, n) for part in structure)
        return structure[n : n + 1]

    together, _ = run(cell, carry, xs)
    for n in range(xs.shape[1]):
        alone, _ = run(cell, row(carry, n), xs[:, n : n + 1])
        for a, b in zip(leaves(together), leaves(alone), strict=True):
            assert np.allclose(a.data[n : n + 1], b.data, rtol=1e-12, atol=1e-14)


@given(strategies.cells(max_steps=2))
@settings(max_examples=15)
def test_the_gradient_of_a_cell_is_right(drawn):
    cell, carry, xs = drawn

    def f(xs):
        # A weight for every element: the plain sum of a layer_norm is 0 but for rounding.
        rng = np.random.default_rng(0)
        new, ys = run(cell, carry, xs)
        parts = [*leaves(new), *(part for y_t in ys for part in leaves(y_t))]
        return sum((tg.sum(part * rng.normal(size=part.shape)) for part in parts), tg.sum(xs) * 0)

    try:
        gradcheck(f, xs)
    except AssertionError as error:
        if "a kink" not in str(error):
            raise


@given(strategies.cells(batched=False, dtype=np.float32, min_steps=0))
@few
def test_cells_of_float32(drawn):
    cell, carry, xs = drawn
    new, _ = run(cell, carry, xs)
    assert xs.dtype == np.float32
    assert xs.ndim == 2
    assert all(h.dtype == np.float32 for h in leaves(new))
    assert all(p.dtype == np.float32 for p in cell.parameters)


@pytest.mark.parametrize(
    "condition",
    [
        lambda drawn: isinstance(drawn[1], tuple) and isinstance(drawn[1][0], tuple),
        lambda drawn: isinstance(drawn[1], tg.Tensor),
        lambda drawn: isinstance(drawn[0](drawn[1], drawn[2][0])[1], tuple),
        lambda drawn: len(drawn[0].parameters) > 2,
        lambda drawn: "concatenate" in repr(drawn[0]),
    ],
)
def test_cells_are_of_every_kind(condition):
    assert has(strategies.cells(), condition)


@given(strategies.cells())
@few
def test_a_cell_prints_as_its_lines(drawn):
    """What is printed, run as Python, computes the same."""
    cell, carry, xs = drawn
    lines = repr(cell).splitlines()
    definition = "\n".join(line for line in lines if line[:3] == "def" or line[:4] == "    ")
    start = next(i for i, line in enumerate(lines) if line.startswith("    return")) + 1
    definition = "\n".join(lines[:start])
    n = len(leaves(carry))
    names = iter(f"v{i}" for i in range(n))

    def pattern(structure):
        if isinstance(structure, tuple):
            return f"({''.join(pattern(part) + ', ' for part in structure)})"
        return next(names)

    head, *body = definition.splitlines()
    assert head.startswith("def cell(")
    source = "\n".join(
        ["def cell(carry, x_t):", f"    v{n} = x_t", f"    {pattern(carry)} = carry"]
    )
    scope = {name: getattr(tg, name) for name in tg.ops.__all__}
    scope |= cell.named_parameters | {"H": leaves(carry)[0].shape[-1]}
    exec("\n".join([source, *body]), scope)
    expected, actual = cell(carry, xs[0]), scope["cell"](carry, xs[0])
    for a, b in zip(leaves(expected), leaves(actual), strict=True):
        assert np.array_equal(a.data, b.data)


def test_hypothesis_is_needed_here_only():
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import numpy as np, tinygrad_rnn as tg\n"
        "assert tg.testing.gradcheck(tg.tanh, np.ones(2))\n"
        "assert tg.testing.check_op(tg.tanh, np.ones(2))\n"
        "try: tg.testing.strategies\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs hypothesis: pip install 'tinygrad_rnn[test]'" in done.stdout


def test_the_room_lists_what_is_in_it():
    assert {"gradcheck", "gradgradcheck", "check_op", "strategies"} <= set(dir(tg.testing))
    assert tg.testing.strategies is strategies
    with pytest.raises(AttributeError, match="nothing"):
        _ = tg.testing.nothing
