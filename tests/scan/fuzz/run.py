"""Runs a cell both ways, ``unroll=True`` and not, in several modes, and says where they differ.

The modes of a cell:

* "grad": two forward passes, of the same plan on other numbers, both live before the backward
  sweeps, some of which are for a part of the inputs; and one forward pass under no_grad;
* "closure": a third forward pass, for which what the step closes over has changed;
* "second": derivatives of the gradients;
* "fused": a loop of fused steps in the place of the scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

import tinygrad_rnn as tg

from .cell import HELPERS, Cell
from .flags import flags

Results = dict[str, ndarray]


class Verdict(NamedTuple):
    """What came of a cell.

    Attributes:
        kind: "same", "wrong" (other numbers), "error" (an error that the loop does not raise),
            "refused" (the documented refusal), "rounding" (other numbers, but the loop itself
            gives others still where the last bits of its values change) or "invalid" (the loop
            fails too).
        where: the mode, and which of the results.
        detail: the numbers or the message.
        warned: whether what failed is a warning of NumPy's that the loop does not give.
    """

    kind: str
    where: str = ""
    detail: str = ""
    warned: bool = False

    @property
    def failed(self) -> bool:
        return self.kind in ("wrong", "error")


class LoopFailed(Exception):
    """The cell cannot run step by step either."""


# ── one run ──────────────────────────────────────────────────────────────────────────────


class Setting:
    """A cell with its numbers: what it is called with, and what it closes over."""

    def __init__(self, cell: Cell, noise: Any = None):
        self.cell = cell
        self.scope: dict[str, Any] = {"tg": tg, "np": np, **HELPERS}
        if noise is not None:
            self.scope.update(noisy=noise, tg=noise.functions)
        self._noisy = noise is not None
        self.inputs: dict[str, Any] = {}
        exec(cell.noisy_code if self._noisy else cell.code, self.scope)

    def fill(self, call: int) -> None:
        """The numbers of this call; what the step closes over is bound anew, or rebound."""
        try:
            self._fill(call)
        except (ValueError, IndexError, TypeError) as error:  # a smaller cell may not fit together
            raise LoopFailed(str(error)) from error

    def _fill(self, call: int) -> None:
        cell = self.cell
        self.scope["stop"] = call == 1
        for given in cell.given:
            made = given.make(cell.shape(given), min(call, 1) if given.dtype == "number" else call)
            old = self.scope.get(given.name)
            rebound = call == 1 and given.seed % 2 and given.layout in "CF" and not given.plain
            if call == 2 and given in cell.closed and given.dtype != "number":
                made = self._changed(given, made)
            if rebound and isinstance(old, tg.Tensor):
                old.data = made.data
            else:
                self.scope[given.name] = made
        for line in cell.outside:
            value = eval(line.expression(), self.scope)
            self.scope[line.names[0]] = self.scope["noisy"](value) if self._noisy else value
        self.inputs = {
            x.name: self.scope[x.name]
            for x in cell.given
            if isinstance(self.scope[x.name], tg.Tensor) and self.scope[x.name].requires_grad
        }

    def _changed(self, given: Any, made: Any) -> Any:
        """Another Tensor, with or without a gradient, or one that is closed over twice."""
        if given.seed % 3 == 0 and isinstance(made, tg.Tensor) and made.dtype.kind == "f":
            return made.detach() if made.requires_grad else tg.Tensor(made, requires_grad=True)
        if given.seed % 3 == 1:
            for other in self.cell.closed:
                before = self.scope.get(other.name)
                if other is given or not isinstance(before, tg.Tensor):
                    continue
                if (before.shape, before.dtype) == (made.shape, made.dtype):
                    return before
        return made

    def forward(self, unroll: bool) -> list[Any]:
        """The last carry and the ys, flat."""
        cell = self.cell
        options: dict[str, Any] = {"reverse": cell.reverse}
        if cell.lengths is not None:
            options["lengths"] = cell.lengths
        if cell.resets:
            options["resets"] = eval(cell.begins_text, {"np": np})
        carry, xs = cell.carry_of(self.scope), cell.inputs_of(self.scope)
        if "fused" in cell.modes and not unroll:
            return list(leaves(self._loop(carry, xs)))
        result = tg.scan(self.scope["cell"], carry, xs, unroll=unroll, **options)
        return list(leaves(result))

    def _loop(self, carry: Any, xs: Any) -> tuple[Any, Any]:
        """What a loop of fused steps computes."""
        step = tg.fused(self.scope["cell"])
        # Tensors, as the cell gets them from scan.
        carry, xs = _mapped(_tensor, carry), _mapped(_tensor, xs)
        steps = range(self.cell.steps)
        ys: list[Any] = []
        for t in reversed(steps) if self.cell.reverse else steps:
            carry, y_t = step(carry, _mapped(lambda x, t=t: x[t], xs))
            ys.append(y_t)
        if self.cell.reverse:
            ys.reverse()
        return carry, tuple(tg.stack(parts) for parts in zip(*map(leaves, ys), strict=True))


def _mapped(f: Any, tree: Any) -> Any:
    return tuple(_mapped(f, part) for part in tree) if isinstance(tree, tuple) else f(tree)


def _tensor(x: Any) -> Any:
    return x if isinstance(x, tg.Tensor) else tg.Tensor(x)


def leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, tuple):
        for part in tree:
            yield from leaves(part)
    elif tree is not None:
        yield tree


def values(outputs: list[Any]) -> Results:
    return {f"output {i}": y.numpy() for i, y in enumerate(outputs)}


def cotangents(outputs: list[Any], seed: int) -> list[ndarray | None]:
    """Random ones for the outputs, of which some are missing."""
    rng = np.random.default_rng(seed)
    every = rng.random() < 0.5
    taken = [every or rng.random() < 0.6 for _ in outputs]
    return [
        np.asarray(rng.normal(size=tuple(y.shape))) if take else None
        for y, take in zip(outputs, taken, strict=True)
    ]


def loss(outputs: list[Any], seed: int) -> Any:
    """The outputs times their cotangents."""
    total = tg.Tensor(0.0)
    for y, cotangent in zip(outputs, cotangents(outputs, seed), strict=True):
        if cotangent is not None and y.requires_grad and y.size:
            total = total + (y * cotangent.astype(y.dtype)).sum()
    return total


def gradients(total: Any, inputs: dict[str, Any], second: bool, seed: int | None = None) -> Results:
    """The gradients of all inputs; before that, as some seeds will, those of a part of them."""
    if not inputs:
        return {}
    results = {}
    part = _part(inputs, seed)
    if part:
        found = tg.grad(total, [inputs[name] for name in part])
        results = {f"d {name} of a part": g.numpy() for name, g in zip(part, found, strict=True)}
    found = tg.grad(total, list(inputs.values()), create_graph=second)
    results |= {f"d {name}": g.numpy() for name, g in zip(inputs, found, strict=True)}
    if second:
        again = tg.Tensor(0.0)
        for g in found:
            again = again + tg.sin(g).sum()
        second_ones = tg.grad(again, list(inputs.values()))
        results |= {f"d2 {name}": g.numpy() for name, g in zip(inputs, second_ones, strict=True)}
    return results


def _part(inputs: dict[str, Any], seed: int | None) -> list[str]:
    if seed is None or seed % 3:
        return []
    rng = np.random.default_rng(seed)
    return [name for name in inputs if rng.random() < 0.4]


# ── both ways ────────────────────────────────────────────────────────────────────────────


class Failed(Exception):
    """The scan is not what the loop is."""

    def __init__(self, verdict: Verdict):
        super().__init__(verdict)
        self.verdict = verdict


class Both:
    """The loop and the scan of a cell on the same Tensors."""

    def __init__(self, setting: Setting):
        self.setting = setting
        self._raised: set[str] = set()  # by the loop so far: second derivatives run it again

    def forward(self, where: str) -> tuple[list[Any], list[Any]]:
        try:
            with flags() as by_loop:
                looped = self.setting.forward(unroll=True)
        except Exception as error:
            raise LoopFailed(str(error)) from error
        try:
            with flags() as by_scan:
                scanned = self.setting.forward(unroll=False)
        except Exception as error:
            raise Failed(_of_error(error, where)) from error
        self._raised |= by_loop
        _same_flags(self._raised, by_scan, values(looped), where)
        if len(looped) != len(scanned):
            raise Failed(Verdict("wrong", where, f"{len(scanned)} outputs, not {len(looped)}"))
        for i, (mine, reference) in enumerate(zip(scanned, looped, strict=True)):
            # Under no_grad a loop may return the very Tensor that it was given.
            if reference.requires_grad and not mine.requires_grad and where != "no_grad":
                raise Failed(Verdict("wrong", where, f"output {i} has no place in the graph"))
        return looped, scanned

    def gradients(
        self,
        looped: list[Any],
        scanned: list[Any],
        inputs: dict[str, Any],
        seed: int,
        where: str,
        second: bool = False,
    ) -> tuple[Results, Results]:
        try:
            with flags() as by_loop:
                expected = gradients(loss(looped, seed), inputs, second, seed)
        except Exception as error:
            raise LoopFailed(str(error)) from error
        try:
            with flags() as by_scan:
                found = gradients(loss(scanned, seed), inputs, second, seed)
        except Exception as error:
            raise Failed(_of_error(error, where)) from error
        self._raised |= by_loop
        _same_flags(self._raised, by_scan, expected, where)
        return expected, found


def _of_error(error: Exception, where: str) -> Verdict:
    message = f"{type(error).__name__}: {error}"
    refused = isinstance(error, TypeError) and "unroll=True" in message
    return Verdict("refused" if refused else "error", where, message)


def _same_flags(by_loop: set[str], by_scan: set[str], results: Results, where: str) -> None:
    """Where all is finite a scan warns of nothing that the loop does not warn of."""
    more = ", ".join(sorted(by_scan - by_loop))
    if more and all(np.isfinite(array).all() for array in results.values()):
        detail = f"warns of {more}, where the loop does not"
        raise Failed(Verdict("error", where, detail, warned=True))
