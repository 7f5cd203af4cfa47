"""From the values of a step to a loop over the steps: a flat list of NumPy calls.

A :class:`Loop` is a function written for one step: what does not depend on the carry is computed
before the steps, for all of them at once; then, per step, only what the next carry needs; after
the steps, again at once, everything else. A step's results go straight into blocks that hold
those of all steps (time first), or into buffers that every step uses again.

The backward pass of a scan is such a loop too, in the other direction: its carry is the cotangent
of the carry, its inputs are what the forward pass kept, and the cotangents of the weights are sums
over the steps, taken after it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from .blocks import by_step, of_all_steps, once, product_over_time, spread, sum_of_rows
from .listing import Listing, Names
from .memory import freed, in_place
from .steps import Steps
from .totals import Totals
from .values import CONSTANT, LOOP, SEQUENCE, Var, is_elementwise


class Outline(NamedTuple):
    """What a loop takes and gives, as values of one step."""

    constants: list[Var]
    sequences: list[Var]
    carries: list[Var]
    new_carries: list[Var]  #: of the carries' shapes and dtypes
    stacked: list[Var]  #: wanted of every step, as blocks
    summed: list[Var]  #: wanted summed over the steps
    kept: list[Var]  #: wanted by a later loop: blocks, or what is the same at every step


def _reached(values: Iterable[Var], passes: Callable[[Var], bool]) -> set[Var]:
    """Those of the values, and of what they are computed from, that pass."""
    found: set[Var] = set()
    stack = list(values)
    while stack:
        v = stack.pop()
        if v not in found and passes(v):
            found.add(v)
            stack += v.inputs
    return found


#: From this size on, in elements, blocks of all steps are too large for a cache (measured).
LATE = 1024


class Loop:
    """A compiled loop; immutable, and runs in any number of threads at a time.

    Calling it: ``loop(T, reverse, constants, sequences, carries) -> (carries, stacked, summed,
    kept)``, T >= 1.

    Attributes:
        source: the Python function that runs.
        listing: the same for people.
    """

    def __init__(self, outline: Outline, names: Names):
        writer = Writer(outline, names)
        self.source = writer.source()
        self.listing = writer.listing
        self.listing.end(outline.carries, outline.new_carries, outline.stacked)
        code = compile(self.source, "<scan>", "exec")
        exec(code, writer.names)
        # Out of its own globals: they and the function would hold each other.
        self._run = writer.names.pop("run")

    def __call__(
        self,
        steps: int,
        reverse: bool,
        constants: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
    ) -> Any:
        return self._run(steps, reverse, constants, sequences, carries)


class Writer:
    """Writes the function of one loop."""

    def __init__(self, outline: Outline, names: Names):
        self.outline = outline
        self.listing = Listing(names)
        self.names: dict[str, Any] = {
            "empty": np.empty,
            "zeros": np.zeros,
            "copyto": np.copyto,
            "asarray": np.asarray,
            "add_reduce": np.add.reduce,
            "concatenate": np.concatenate,
            "contiguous": np.ascontiguousarray,
            "broadcast_to": np.broadcast_to,
            "by_step": by_step,
            "spread": spread,
            "sum_of_rows": sum_of_rows,
            "product_over_time": product_over_time,
        }
        self.before: list[str] = []
        self.after: list[str] = []
        self.place: dict[Var, str] = {}  # the name of what holds a value before or after the steps
        self.loop_vars = self._needed_in_loop()
        self.kept: dict[Var, None] = {}
        self._calls: dict[str, Var] = {}  # lines that compute blocks, which nothing else is part of

    # ── what has to be computed within the loop ──────────────────────────────────────────

    def _needed_in_loop(self) -> list[Var]:
        found = _reached(self.outline.new_carries, lambda v: v.level == LOOP)
        found |= self._late(found)
        return sorted((v for v in found if v.op is not None), key=lambda v: v.number)

    def _late(self, loop: set[Var]) -> set[Var]:
        """Large elementwise values that only the steps read: while the operands are in the cache.

        For small ones a call for all steps is the cheaper way; blocks of large ones would have to
        be fetched from memory again.
        """
        outline = self.outline
        wanted = [*outline.stacked, *outline.summed, *outline.kept]
        blocks = _reached(wanted, lambda v: v not in loop)
        late: set[Var] = set()
        for v in sorted(loop, key=lambda v: -v.number):
            late |= _reached(
                v.inputs,
                lambda x: (
                    x.level == SEQUENCE
                    and x not in blocks
                    and is_elementwise(x)
                    and math.prod(x.shape) >= LATE
                ),
            )
        return late

    # ── names ────────────────────────────────────────────────────────────────────────────

    def constant(self, value: Any, stem: str = "k") -> str:
        """A new name for an array or a function, which begins with the stem where that is ASCII."""
        name = re.sub(r"^(?=\d)|\W", "_", f"{stem}{len(self.names)}", flags=re.ASCII)
        self.names[name] = value
        return name

    # ── values that are known before the loop, or after it ───────────────────────────────

    def block(self, v: Var, section: str) -> str:
        """The name of the array that holds v: of every step, or the same for all.

        Args:
            v: any value but those of the loop that nobody keeps.
            section: where it is computed if it is not there yet: "before" or "after" the steps.
        """
        # No recursion: a step may be thousands of operations long.
        stack = [v]
        while stack:
            w = stack[-1]
            missing = [] if w in self.place else [x for x in w.inputs if x not in self.place]
            if w.level == LOOP and w in self.in_loop and w not in self.place:
                raise AssertionError(f"{w} was not kept")
            if missing:
                stack += missing
                continue
            stack.pop()
            if w not in self.place:
                self._write_block(w, section)
        return self.place[v]

    def _write_block(self, v: Var, section: str) -> None:
        assert v.op is not None, v
        over_time = v.level > CONSTANT
        arguments = []
        for x in v.args:
            if type(x) is Var:
                arguments.append(self.place[x])
            else:
                arguments.append(self.constant(x) if type(x) is float else repr(x))
        name = f"v{v.number}"
        function = of_all_steps(v) if over_time else once(v)
        f = self.constant(function, f"{v.op.name.strip('_')}_")
        line = f"{name} = {f}({', '.join(arguments)})"
        if isinstance(function, np.ufunc) and over_time:
            self._calls[line] = v
        (self.before if section == "before" else self.after).append(line)
        self.place[v] = name
        self.listing.add(section, [v], over_time)

    def in_order(self, v: Var) -> str:
        """The name of a constant matrix whose rows lie one behind the other, as BLAS likes it."""
        name = self.block(v, "before")
        if v.op is None:
            return name
        line = f"{name}_in_order = contiguous({name})"
        if line not in self.before:
            self.before.append(line)
        return f"{name}_in_order"

    # ── the loop ─────────────────────────────────────────────────────────────────────────

    def source(self) -> str:
        outline = self.outline
        self.in_loop = set(self.loop_vars) | set(outline.carries)
        for i, v in enumerate(outline.constants):
            self.place[v] = f"c{i}"
        for i, v in enumerate(outline.sequences):
            self.place[v] = f"x{i}"
        wanted = [*outline.stacked, *outline.summed, *outline.kept]
        self.kept = self._to_keep(wanted)
        loop = Steps(self)
        loop.write()
        stacked = [self._stacked(v) for v in outline.stacked]
        totals = Totals(self)
        summed = [totals.of(v) for v in outline.summed]
        kept = [self.block(v, "after") for v in outline.kept]
        lines = ["def run(T, reverse, constants, sequences, carries):"]
        body = []
        for names, source in (
            ([f"c{i}" for i in range(len(outline.constants))], "constants"),
            ([f"x{i}" for i in range(len(outline.sequences))], "sequences"),
            ([f"h{i}" for i in range(len(outline.carries))], "carries"),
        ):
            if names:
                body.append(f"{', '.join(names)}, = {source}")
        body += self.before + loop.prologue
        if loop.body:
            body.append(
                f"for {', '.join(loop.targets)}, in by_step(reverse, {', '.join(loop.sources)}):"
            )
            body += [f"    {line}" for line in loop.body]
            body.append(f"del {', '.join(loop.targets)}")  # parts of blocks
        body += self.after
        body.append(
            f"return [{', '.join(loop.final)}], [{', '.join(stacked)}], "
            f"[{', '.join(summed)}], [{', '.join(kept)}]"
        )
        body = freed(in_place(body, self._calls))
        return "\n".join(lines + [f"    {line}" for line in body]) + "\n"

    def _to_keep(self, wanted: list[Var]) -> dict[Var, None]:
        """The values of the loop that are read after it: of every step."""
        kept: dict[Var, None] = {}
        seen: set[Var] = set()
        stack = list(wanted)
        while stack:
            v = stack.pop()
            if v in seen or v.level < LOOP:
                continue
            seen.add(v)
            if v in self.in_loop and not (v.is_view and v.inputs):
                kept[v] = None
            else:
                self.in_loop.discard(v)  # a view is made again from what it is a view of
                stack += v.inputs
        return kept

    def _stacked(self, v: Var) -> str:
        name = self.block(v, "after")
        if v.level == CONSTANT:
            made = f"v{v.number}_of_every_step"
            self.after.append(f"{made} = broadcast_to({name}, (T, *{name}.shape)).copy()")
            return made
        return name


__all__ = ["Loop", "Outline"]
