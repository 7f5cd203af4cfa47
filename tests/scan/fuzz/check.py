"""Checks one cell in all its modes."""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg

from .cell import Cell
from .compare import compare
from .flags import products_judged
from .run import Both, Failed, LoopFailed, Setting, Verdict, values


def check(cell: Cell) -> Verdict:
    """Run a cell as a loop and as a scan; the first thing that is wrong, or "same"."""
    verdict = _verdict(cell)
    if verdict.warned:
        with products_judged():
            return _verdict(cell)
    return verdict


def _verdict(cell: Cell) -> Verdict:
    try:
        return _checked(cell)
    except Failed as failure:
        return failure.verdict
    except LoopFailed as failure:
        return Verdict("invalid", "", str(failure))


def _checked(cell: Cell) -> Verdict:
    verdicts = [Verdict("same")]
    setting = Setting(cell)
    both = Both(setting)
    second = "second" in cell.modes
    calls = 3 if "closure" in cell.modes else 2
    passes, kept = [], []
    for call in range(calls):
        setting.fill(call)
        where = f"call {call}"
        before = _bytes(setting)
        looped, scanned = both.forward(where)
        if _bytes(setting) != before:
            return Verdict("wrong", where, "an input was written into")
        passes.append((where, looped, scanned, dict(setting.inputs)))
        # Now: a loop may return what it was given, which is bound to other numbers later.
        verdicts.append(compare(cell, call, values(looped), values(scanned), where))
        kept.append([y.numpy().tobytes() for y in scanned])
        if call == 0:
            verdicts.append(_without_graph(cell, both))
    for call, (where, looped, scanned, inputs) in enumerate(passes):
        if cell.steps and [y.numpy().tobytes() for y in scanned] != kept[call]:
            return Verdict("wrong", where, "a later call wrote into an output")
        gradients = both.gradients(looped, scanned, inputs, cell.seed + call, where, second)
        verdicts.append(compare(cell, call, *gradients, where))
    for kind in ("wrong", "error", "refused", "rounding"):
        for verdict in verdicts:
            if verdict.kind == kind:
                return verdict
    return verdicts[0]


def _bytes(setting: Setting) -> list[bytes]:
    arrays = [setting.scope[x.name] for x in setting.cell.given]
    return [
        x.numpy().tobytes() if isinstance(x, tg.Tensor) else np.asarray(x).tobytes() for x in arrays
    ]


def _without_graph(cell: Cell, both: Both) -> Verdict:
    with tg.no_grad():
        try:
            looped, scanned = both.forward("no_grad")
        except LoopFailed:  # tg.grad(y, h) finds no graph here
            return Verdict("same")
    return compare(cell, 0, values(looped), values(scanned), "no_grad")
