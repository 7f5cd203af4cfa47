"""The engine beside PyTorch: the fuzzer's cells as loops, values and first gradients.

A cell's lines are text in NumPy's names. The same text runs in both, with PyTorch's functions under
these names (``numpy_torch``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

from ..scan.fuzz import lines, run
from ..scan.fuzz.cell import Cell, Given
from ..scan.fuzz.compare import compare
from ..scan.fuzz.draw import draw
from ..scan.fuzz.run import LoopFailed, Results, Setting

torch = pytest.importorskip("torch")
from .numpy_torch import Array, torch_as_tg  # noqa: E402 (it needs torch)

pytestmark = pytest.mark.peers

CELLS = 1000


def array(x: Any, given: Given) -> Any:
    """A value of ours as one of theirs."""
    if given.dtype == "number":
        return x
    numbers = np.array(x.numpy() if isinstance(x, tg.Tensor) else x, order="C")
    live = isinstance(x, tg.Tensor) and x.requires_grad
    return Array(torch.tensor(numbers, requires_grad=live))


def in_torch(cell: Cell, setting: Setting) -> Results:
    scope: dict[str, Any] = {"tg": torch_as_tg, "np": np}
    scope |= {"cube": lambda x: x**3, "mirror": lambda x: x[::-1]}
    scope |= {"stop": False, "quiet": lambda stop, f, x: f(x)}
    for given in cell.given:
        scope[given.name] = array(setting.scope[given.name], given)
    exec(cell.code, scope)
    for line in cell.outside:
        scope[line.names[0]] = eval(line.expression(), scope)
    carry, xs = cell.carry_of(scope), cell.inputs_of(scope)
    outputs = list(run.leaves(torch_as_tg.scan(scope["cell"], carry, xs, cell.reverse)))
    outputs = [y.tensor if isinstance(y, Array) else torch.tensor(y) for y in outputs]
    total = torch.tensor(0.0, dtype=torch.float64)
    for y, cotangent in zip(outputs, run.cotangents(outputs, cell.seed), strict=True):
        if cotangent is not None and y.requires_grad:
            total = total + (y * torch.tensor(cotangent)).sum()
    results = {f"output {i}": y.detach().numpy() for i, y in enumerate(outputs)}
    leaves = [scope[name].tensor for name in setting.inputs]
    if leaves and total.requires_grad:
        found = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    else:
        found = [torch.zeros_like(x) for x in leaves]
    return results | {f"d {k}": g.numpy() for k, g in zip(setting.inputs, found, strict=True)}


def in_ours(cell: Cell, setting: Setting) -> Results:
    outputs = setting.forward(unroll=True)
    total = run.loss(outputs, cell.seed)
    return run.values(outputs) | run.gradients(total, setting.inputs, False)


@pytest.fixture
def double() -> Iterator[None]:
    """Integers become float64 where PyTorch needs floats, as they do in NumPy."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.usefixtures("double")
def test_the_engine_and_torch_agree_on_the_fuzzers_cells() -> None:
    compared, absent = 0, Counter[str]()
    for number in range(CELLS):
        cell = draw(np.random.default_rng([77, number]), lines.KINDS)
        single = any("float32" in str(x) for x in (*cell.given, *cell.lines))
        if single or cell.lengths or not 0 < cell.steps < 6:
            continue
        setting = Setting(cell)
        setting.fill(0)
        try:
            with np.errstate(all="ignore"):
                ours = in_ours(cell, setting)
        except (ValueError, TypeError, IndexError):
            continue
        try:
            theirs = in_torch(cell, setting)
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            absent[str(error)] += 1  # what PyTorch has not, or refuses
            continue
        if not all(np.isfinite(y).all() for y in theirs.values()):
            continue  # the ways to infinity differ
        try:
            verdict = compare(cell, 0, theirs, ours, "as a loop")
        except LoopFailed:
            continue
        assert not verdict.failed, f"\n{verdict.where}: {verdict.detail}\n{cell}"
        compared += 1
    assert compared > CELLS / 2
    assert absent.total() < CELLS / 50, absent
