"""Draws whole cells: what they are given, their lines, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import functions, lines
from .cell import Cell, Given, Line
from .pool import Pool

MODES = [
    (2.0, ("closure",)),  # a third call, of a step that closes over other things
    (1.0, ("second",)),  # second derivatives
    (0.7, ("fused",)),  # a loop of fused steps in the place of the scan
    (0.2, ("fused", "closure")),
    (0.1, ("fused", "second")),
    (5.0, ()),
]

CARRIES = [
    (5.0, ("N", "H")),
    (2.0, ("H",)),
    (1.5, ()),
    (0.7, ("N",)),
    (0.7, ("N", "1")),
    (0.7, ("1", "H")),
    (0.5, ("N", "K", "H")),
    (0.5, ("H", "H")),
    (0.5, ("K", "H")),
]
INPUTS = [
    (4.0, ("N", "D")),
    (2.0, ("D",)),
    (1.5, ()),
    (1.0, ("N", "H")),
    (1.0, ("H",)),
    (0.6, ("N",)),
    (0.6, ("N", "1")),
    (0.4, ("1",)),
    (0.4, ("N", "K", "D")),
]
IDS = [(2.0, ("N",)), (1.0, ()), (0.5, ("N", "1")), (0.5, ("N", "H"))]


KINDS = [*lines.KINDS, *functions.KINDS]


def draw(rng: np.random.Generator, kinds: Sequence[tuple[float, Any]] = KINDS) -> Cell:
    """A cell of these kinds of lines; now and then one that cannot run: the loop says so then."""
    dtype = "float32" if rng.random() < 0.25 else "float64"
    pool = Pool(rng, _sizes(rng), dtype)
    batched = pool.chance(0.12)
    _given(pool, batched)
    outside = _outside(pool)
    most = 1 + pool.below(16)
    for _ in range(most):
        if len(pool.lines) >= most:
            break
        for _ in range(4):  # what does not fit is drawn again
            if pool.weighted(kinds)(pool) is not None:
                break
    if any("tg.grad(" in line.text for line in pool.lines):
        # It runs backward through all steps before, which may double the loop's work at each step.
        pool.sizes["T"] = min(pool.sizes["T"], 5)
    new_carries = tuple(_new_carry(pool, given) for given in pool.carries)
    outputs = _outputs(pool, batched)
    T = pool.sizes["T"]
    lengths = None
    resets = 0
    if pool.chance(0.08):
        resets = 2 if batched else 1
    elif batched and T:
        lengths = tuple(1 + pool.below(T) for _ in range(pool.sizes["N"]))
    return Cell(
        tuple(pool.sizes.items()),
        tuple(pool.carries),
        tuple(pool.inputs),
        tuple(pool.closed),
        outside,
        tuple(pool.lines),
        new_carries,
        outputs,
        pool.chance(0.25),
        lengths,
        pool.chance(0.1),
        pool.below(1000),
        ("grad", *_modes(pool, plain=not T or lengths is not None or resets > 0)),
        resets,
    )


def _modes(pool: Pool, plain: bool) -> tuple[str, ...]:
    modes = pool.weighted(MODES)
    return () if plain and "fused" in modes else modes


def _sizes(rng: np.random.Generator) -> dict[str, int]:
    """The lengths of the axes: all alike, all different, or 1 here and there; seldom 0, and seldom
    large ones, for which the compiler decides otherwise."""
    if rng.random() < 0.01:
        large = int(rng.choice([130, 360]))
        return {"N": int(rng.choice([1, 2, 8])), "H": large, "D": 2, "K": 1, "T": 2}
    if rng.random() < 0.4:
        k = int(rng.integers(1, 4))
        sizes = dict.fromkeys("NHDK", k)
        sizes["T"] = k
    else:
        sizes = dict(zip("NHDK", rng.permutation([1, 2, 3, 4, 5])[:4].tolist(), strict=True))
    for name in sizes:
        if rng.random() < 0.15:
            sizes[name] = 1
        if rng.random() < 0.005:
            sizes[name] = 0
    if "T" not in sizes or rng.random() < 0.7:
        sizes["T"] = int(rng.choice([0, 1, 2, 3, 5, 70], p=[0.02, 0.2, 0.33, 0.1, 0.34, 0.01]))
    return sizes


def _given(pool: Pool, batched: bool) -> None:
    """The carries, the inputs, and some of what the step closes over."""
    for i in range(pool.weighted([(5.0, 1), (4.0, 2), (2.0, 3)])):
        dtype = pool.weighted([(12.0, pool.dtype), (1.0, "int64"), (0.7, "bool")])
        shapes = CARRIES if dtype == pool.dtype else IDS
        _add(pool, pool.carries, f"h{i}", shapes, dtype, batched, live=0.6)
    for i in range(pool.weighted([(5.0, 1), (2.0, 2)])):
        dtype = pool.weighted([(8.0, pool.dtype), (1.0, "int64"), (0.7, "bool")])
        shapes = INPUTS if dtype == pool.dtype else IDS
        _add(pool, pool.inputs, f"x{i}", shapes, dtype, batched, live=0.5)
    for _ in range(pool.below(3)):
        names = [*pool.carries, *pool.inputs]
        sides = pool.shape(pool.one_of(names).name)
        dtype = pool.weighted([(8.0, pool.dtype), (0.5, "int64"), (0.5, "bool"), (0.5, "number")])
        pool.close_over(() if dtype == "number" else sides[pool.below(len(sides) + 1) :], dtype)


def _add(
    pool: Pool,
    among: list[Given],
    name: str,
    shapes: list[tuple[float, tuple[str, ...]]],
    dtype: str,
    batched: bool,
    live: float,
) -> None:
    if batched:
        shapes = [(weight, sides) for weight, sides in shapes if sides[:1] == ("N",)]
    sides = pool.weighted(shapes)
    layouts = [(6.0, "C")]
    # Inputs have time first, so that those of single numbers have a layout too.
    if sides or among is pool.inputs:
        layouts += [(1.0, "flipped"), (0.5, "every second"), (0.5, "part")]
    if len(sides) > 1:
        layouts += [(1.0, "F"), (1.0, "turned")]
    floats = dtype.startswith("float")
    exponent = -100 if floats and pool.chance(0.02) else 0
    is_live = floats and pool.chance(live)
    plain = not is_live and pool.chance(0.4)
    layout = pool.weighted(layouts)
    given = Given(name, sides, dtype, is_live, pool.seed(), layout, exponent, plain)
    among.append(given)
    # The lines see Tensors, whatever the caller gave; an example of one step is in order.
    shape = tuple(pool.sizes.get(side, 1) for side in sides)
    pool.add(Given(name, sides, dtype, False, given.seed, "C", exponent), shape)


def _outside(pool: Pool) -> tuple[Line, ...]:
    """Sometimes a closed-over value is computed from others, with a place in the graph."""
    floats = [x.name for x in pool.closed if pool.kind(x.name) == "f"]
    if not floats or not pool.chance(0.2):
        return ()
    text = pool.one_of(["tg.exp({0})", "{0}.T", "{0} * 2", "{0}[..., ::-1]", "tg.softmax({0})"])
    line = Line(("u0",), text, (pool.one_of(floats),))
    made = pool.evaluated(line)
    if made is None:
        return ()
    pool.values["u0"] = pool.scope["u0"] = made[0]
    pool.computed.append("u0")
    return (line,)


SQUASHED = ["tg.tanh({0})", "tg.sin({0})", "tg.sigmoid({0}) * 2 - 1", "{0} / (1 + abs({0}))"]


def _new_carry(pool: Pool, given: Given) -> str:
    """The name of what takes the place of a carry: of its shape and dtype."""
    shape, dtype = pool.shape(given.name), pool.values[given.name].dtype

    def fits(name: str) -> bool:
        if pool.kind(name) == "n":
            return False
        return pool.shape(name) == shape and pool.values[name].dtype == dtype

    carries = [x.name for x in pool.carries if fits(x.name)]
    inputs = [x.name for x in pool.inputs if fits(x.name)]
    closed = [x.name for x in pool.closed if fits(x.name)]
    choice = pool.below(24)
    if choice == 0:
        return given.name
    if choice < 3:  # delayed or swapped
        return pool.one_of(carries)
    if choice == 3 and inputs:
        return pool.one_of(inputs)
    if choice == 4 and closed:
        return pool.one_of(closed)
    kind = np.dtype(dtype).kind
    if choice == 5:  # replaced by a constant
        text = pool.one_of(["np.zeros({0}.shape, {0}.dtype)", "np.ones({0}.shape, {0}.dtype)"])
        return _one(pool, text, given.name) or given.name
    if kind != "f":
        found = pool.some("i" if kind == "i" else "b", fits)
        return found or given.name
    computed = [name for name in pool.computed if fits(name)]
    found = None
    if computed and (choice < 18 or shape == ()):
        found = pool.one_of(computed[-5:])
    if found is None:
        found = _fitted(pool, given)
    if found is None or not fits(found):
        return given.name
    if pool.chance(0.07):
        found = _one(pool, "{0}.detach()", found) or found
    # A state that only grows would overflow.
    return (_one(pool, pool.one_of(SQUASHED), found) or found) if pool.chance(0.75) else found


def _one(pool: Pool, text: str, *reads: str) -> str | None:
    made = pool.line(text, *reads)
    return None if made is None else made[0]


FITTINGS = [
    "tg.broadcast_to({0}, {1}.shape)",
    "{0} * {1}",
    "{0}.reshape({1}.shape)",
    "{0}.T.reshape({1}.shape)",
    "{0}.reshape(-1)[: {1}.size].reshape({1}.shape)",
    "{0}.reshape(-1)[-{1}.size :].reshape({1}.shape)",
    "{0}.T",
    "{0}[0]",
    "{0}[..., -1]",
    "{0}[0, 0]",
    "{0}.reshape(-1)[0]",
    "tg.mean({0}, 0)",
    "tg.sum({0}, -1)",
    "tg.max({0}) * {1}",
    "tg.sum({0}) + {1} * 0.5",
]


def _fitted(pool: Pool, given: Given) -> str | None:
    """Some value brought into a carry's shape."""
    for _ in range(12):
        text = pool.one_of(FITTINGS)
        source = pool.some("f")
        if source is None:
            return None
        reads = (source, given.name) if "{1}" in text else (source,)
        made = _one(pool, text, *reads)
        if made is None:
            continue
        if pool.shape(made) == pool.shape(given.name) and (
            pool.values[made].dtype == pool.values[given.name].dtype
        ):
            return made
    return None


def _outputs(pool: Pool, batched: bool) -> tuple[str, ...]:
    names: list[str] = []
    N = pool.sizes["N"]
    for _ in range(pool.weighted([(5.0, 1), (4.0, 2), (2.0, 3), (0.4, 0)])):
        kinds = "f" if pool.chance(0.9) else "ib"
        name = pool.some(kinds, lambda x: not batched or pool.shape(x)[:1] == (N,))
        if name is not None:
            names.append(name)
    return tuple(names)
