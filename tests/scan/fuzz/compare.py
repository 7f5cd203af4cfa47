"""Whether two runs give the same numbers, to rounding.

Most do to a fixed tolerance. Where they do not, it is measured what rounding does to this very
cell: the loop runs again, the last bits of every value changed at random wherever a line computes
or reads it (Monte Carlo arithmetic, Parker 1997), and those of what exp, tanh and the like give, as
far as the native back end says that these may be off. For float32 the reference is a run in
float64, and a scan may be off by a few times what the loop itself is off.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

import tinygrad_rnn as tg
from tinygrad_rnn.graph import Primitive
from tinygrad_rnn.scan.backends.native.functions import UNITS

from .cell import Cell, Given, Line
from .run import LoopFailed, Results, Setting, Verdict, gradients, loss, values

#: The runs with changed bits. After 70 steps of a chaotic cell a gradient is 1e82 in most runs and
#: 1e86 in a few of a hundred. So if the last bits change the first digits, many runs are made.
RUNS, MANY_RUNS = 6, 100
FIRST_DIGITS = 1e-3
STRICT = {"float64": 1e-9, "float32": 1e-5}
SECOND = 100  # second derivatives may be off by as many times more


def compare(cell: Cell, call: int, expected: Results, found: Results, where: str) -> Verdict:
    """Whether a scan found what was expected."""
    assert expected.keys() == found.keys()
    suspects = []
    for name, reference in expected.items():
        mine = found[name]
        if (mine.shape, mine.dtype) != (reference.shape, reference.dtype):
            detail = f"{mine.dtype} {mine.shape}, not {reference.dtype} {reference.shape}"
            return Verdict("wrong", f"{where}: {name}", detail)
        if not _close(name, mine, reference, _strict(name, reference)):
            suspects.append(name)
    if not suspects:
        return Verdict("same")
    wrong = suspects
    for runs in (RUNS, MANY_RUNS):
        allowed = _rounding(cell, call, wrong, expected, runs)
        wrong = [
            name for name in wrong if not _within(name, found[name], expected[name], allowed[name])
        ]
        if not wrong:
            return Verdict("rounding", where, ", ".join(suspects))
        if any(allowed[name] < FIRST_DIGITS * _largest(expected[name]) for name in wrong):
            break
    name = wrong[0]
    detail = f"expected\n{expected[name]}\ngot\n{found[name]}\nto within {allowed[name]:.3g}"
    return Verdict("wrong", f"{where}: {name}", detail)


def _within(name: str, mine: ndarray, reference: ndarray, allowed: float) -> bool:
    if mine.dtype.kind != "f":
        return allowed > 0
    tolerance = _strict(name, reference) if mine.dtype == np.float64 else 0.0
    return _close(name, mine, reference, tolerance + allowed)


def _strict(name: str, reference: ndarray) -> float:
    if reference.dtype.kind != "f":
        return 0.0
    factor = SECOND if name.startswith("d2") else 1
    return factor * STRICT[reference.dtype.name] * _largest(reference)


def _largest(x: ndarray) -> float:
    """The largest finite size of an element."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))


def _close(name: str, mine: ndarray, reference: ndarray, tolerance: float) -> bool:
    if mine.dtype.kind != "f":
        return bool((mine == reference).all())
    finite = np.isfinite(reference)
    if name.startswith("output"):
        # Where the loop has NaN or Inf, so has the scan.
        other = (np.isnan(mine) & np.isnan(reference)) | (mine == reference)
        if not other[~finite].all():
            return False
    with np.errstate(invalid="ignore", over="ignore"):
        return bool((np.abs(mine[finite] - reference[finite]) <= tolerance).all())


def _rounding(
    cell: Cell, call: int, names: list[str], expected: Results, runs: int
) -> dict[str, float]:
    """How far rounding may lead, by the names of results; Inf where it decides everything."""
    single = any(expected[name].dtype == np.float32 for name in names)
    truth = _run(_in_double(cell), call, None) if single else expected
    spread = dict.fromkeys(names, 0.0)
    for seed in range(runs):
        run = _run(cell, call, _Noise(seed))
        for name in names:
            spread[name] = max(spread[name], _distance(run.get(name), truth.get(name)))
    if not single:
        return {name: 100 * far for name, far in spread.items()}
    result = {}
    for name, far in spread.items():
        reference = truth[name]
        least = 1e-6 * _largest(reference)
        # Both the scan and the loop may be off.
        result[name] = 20 * max(far, least, _distance(expected[name], reference))
    return result


def _distance(x: ndarray | None, y: ndarray | None) -> float:
    if x is None or y is None or x.shape != y.shape:
        return np.inf
    if x.dtype.kind != "f":
        return float((x != y).any())
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        far = np.where(same, 0.0, np.abs(x.astype(np.float64) - y))
    return float(np.where(np.isnan(far), np.inf, far).max(initial=0.0))


def _run(cell: Cell, call: int, noise: Any) -> Results:
    """The loop's results at this call."""
    setting = Setting(cell, noise)
    try:
        with np.errstate(all="ignore"):
            for i in range(call + 1):
                setting.fill(i)
            outputs = setting.forward(unroll=True)
            seed = cell.seed + call
            total = loss(outputs, seed)
            second = "second" in cell.modes
            return values(outputs) | gradients(total, setting.inputs, second, seed)
    except Exception as error:
        raise LoopFailed(str(error)) from error


#: Gives each zero a sign, as whether a product is added to 0 or not decides it.
_zeros_signed = tg.primitive(
    lambda x, signs: np.where(x == 0, np.copysign(x, signs), x),
    lambda g, y, x, signs: g,
    None,
    name="zeros_signed",
)


class _Noise:
    """Changes the last bits of what a line computes or reads, and the signs of zeros."""

    def __init__(self, seed: int):
        self._rng = np.random.default_rng(seed)
        self.functions = _Inaccurate(seed)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)([self(x) for x in value])
        if not isinstance(value, tg.Tensor) or value.dtype.kind != "f":
            return value
        array = value._array
        if isinstance(array, ndarray) and not array.all():
            signs = self._rng.choice([-1, 1], array.shape).astype(array.dtype)
            value = _zeros_signed(value, signs)
        return value * _factor(self._rng, array, 1)


class _Inaccurate:
    """The library, each of its functions off by as much as it may be.

    What a function gives is changed where the backward pass reads it too.
    """

    def __init__(self, seed: int):
        self._seed = seed

    @property
    def linalg(self) -> Any:
        return _OfMatrices(self._seed)

    def __getattr__(self, name: str) -> Any:
        found = getattr(tg, name)
        primitive = getattr(found, "primitive", None)
        if isinstance(primitive, Primitive) and _units(primitive) is not None:
            return functools.partial(self._called, found, _units(primitive))
        return found

    def _called(self, function: Callable[..., Any], units: Any, *args: Any, **keywords: Any) -> Any:
        y = function(*args, **keywords)
        array = y._array if isinstance(y, tg.Tensor) else None
        if not isinstance(array, ndarray) or array.dtype.kind != "f" or any(y is x for x in args):
            return y  # of a step that is traced, say
        # The same on the same numbers: a checkpoint computes them twice.
        rng = np.random.default_rng([self._seed, zlib.crc32(array.tobytes())])
        array *= _factor(rng, array, units[array.dtype == np.float64])
        return y


class _OfMatrices:
    """``tg.linalg``, which is exact for a matrix near the given one.

    LAPACK promises no more: an element may be off by what is the last bit of the largest one.
    """

    def __init__(self, seed: int):
        self._seed = seed

    def __getattr__(self, name: str) -> Any:
        function = getattr(tg.linalg, name)
        if name == "norm":  # of elements
            return function

        def called(*args: Any, **keywords: Any) -> Any:
            return function(*map(self._near, args), **keywords)

        return called

    def _near(self, x: Any) -> Any:
        array = x._array if isinstance(x, tg.Tensor) else None
        if not isinstance(array, ndarray) or array.dtype.kind != "f" or not array.size:
            return x
        rng = np.random.default_rng([self._seed, zlib.crc32(array.tobytes())])
        last_bit = np.finfo(array.dtype).eps * np.abs(array).max()
        return x + (last_bit * rng.integers(-1, 2, array.shape)).astype(array.dtype)


def _units(primitive: Primitive) -> tuple[float, float] | None:
    """By how much a function may be off in float32 and float64; None where it is exact."""
    if primitive.scalar is not None:
        return UNITS.get(primitive.scalar)
    return (4, 2) if primitive.written_out is not None else None


def _factor(rng: np.random.Generator, x: ndarray, units: float) -> ndarray:
    return (1 + np.finfo(x.dtype).eps * units * rng.integers(-1, 2, x.shape)).astype(x.dtype)


def _in_double(cell: Cell) -> Cell:
    """The same cell in float64."""

    def given(x: Given) -> Given:
        dtype = "float64" if x.dtype == "float32" else x.dtype
        return dataclasses.replace(x, dtype=dtype)

    def line(x: Line) -> Line:
        return dataclasses.replace(x, text=x.text.replace("float32", "float64"))

    return dataclasses.replace(
        cell,
        carries=tuple(map(given, cell.carries)),
        inputs=tuple(map(given, cell.inputs)),
        closed=tuple(map(given, cell.closed)),
        outside=tuple(map(line, cell.outside)),
        lines=tuple(map(line, cell.lines)),
    )
