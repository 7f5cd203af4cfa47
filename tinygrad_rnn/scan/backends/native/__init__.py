"""The native back end: a program as machine code, compiled in memory by llvmlite.

The files, in the order in which to read them:

1. ``passes``: nearly everything within the step; only large products stay outside.
2. ``groups``: which operations share a loop nest.
3. ``memory``: where values lie, and views of them.
4. ``lower``: the whole program as text; ``nests``: loop nests; ``products``: products of matrices;
   ``functions``: elementwise operations; ``text``: functions and instructions as LLVM reads them.
5. ``engine``: text becomes code.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ...ir import Program, Value, reached
from ...names import Names
from ...threads import get_num_threads, in_parts
from .engine import Compiled, Unavailable, target, word, words
from .functions import Unsupported
from .lower import Lowering, Result
from .passes import lowered

#: What makes the memory that the code writes to, and lays out what it reads. Tests put pages that
#: cannot be touched around both.
empty, contiguous = np.empty, np.ascontiguousarray


#: So many multiplications are worth a second thread: 0.2 ms or more of work (measured).
ENOUGH = 8_000_000


class NativeLoop:
    """A program that runs; immutable, and any number of threads may run it at a time.

    Calling it: ``loop(T, reverse, constants, sequences, carries) -> (new carries, stacked, totals,
    kept)``, T >= 1.

    Args:
        program: simplified.
        given: the names that values have in another program.
        start: the number that was given last there.

    Raises:
        Unavailable: there is no llvmlite, or it cannot compile for this processor.
        Unsupported: an operation of the program has no lowering.

    Attributes:
        program: what runs, after all passes.
        names: the names of its values.
        source: its LLVM IR.
    """

    backend = "native"

    def __init__(self, program: Program, given: Mapping[Value, str], start: int = 0):
        target()
        if any(0 in v.shape for v in reached(program.results)):
            raise Unsupported("arrays without elements")
        self.program = lowered(program)
        self.names = Names(self.program, given, start=start)
        lowering = Lowering(self.program, self.names)
        self.source = str(lowering.module)
        lowering.module.functions.clear()  # they and the module would hold each other
        self._compiled = Compiled(self.source, ["run", *lowering.functions], lowering.imported)
        types = [ctypes.c_void_p, word, word, word, word]
        self._run = self._compiled.function("run", types)
        #: Each batch by itself, and the multiplications of a step that its parts share.
        self._batches = [
            (self._compiled.function(name, types), work)
            for name, work in zip(lowering.functions, lowering.work, strict=True)
        ]
        self._work = max(lowering.work, default=0)
        self._addresses = words(2 + lowering.arguments)
        self._block_bytes = sum(lowering.block_bytes)
        self._fixed = lowering.fixed
        self._scratch_bytes = lowering.scratch_bytes
        #: The arrays to make: shape and dtype, and how many more than T slots; None for one slot.
        more = {"one": None, "T": 0, "T + 1": 1}
        self._made = [(x.shape, x.dtype, more[x.slots]) for x in lowering.made]
        self._results = [
            [(x.argument + 2, x.part) for x in results] for results in _results(lowering)
        ]
        self._given = {x.argument + 2 for results in _results(lowering) for x in results if x.given}
        self._repeated = [i for i, x in enumerate(lowering.stacked) if x.slots == "one"]

    def __call__(
        self,
        steps: int,
        reverse: bool,
        constants: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
    ) -> Any:
        given = (*constants, *sequences, *carries, *self._fixed)
        threads = 1
        if steps * self._work >= ENOUGH:
            threads = get_num_threads()
        arrays = [
            empty(self._scratch_bytes(steps), np.uint8),
            empty(threads * self._block_bytes + 64, np.uint8),
            *map(contiguous, given),
        ]
        for shape, dtype, more in self._made:
            arrays.append(empty(shape if more is None else (steps + more, *shape), dtype))
        addresses = self._addresses(*map(id, arrays))
        if threads == 1:
            self._run(addresses, steps, reverse, 0, 1)
        else:
            for function, work in self._batches:
                parts = threads if work and steps * work >= ENOUGH else 1
                call = functools.partial(function, addresses, steps, reverse)
                in_parts(call, parts)
        for i in self._given:
            arrays[i] = given[i - 2]
        found = [
            [
                arrays[i]
                if not part
                else arrays[i][1:]
                if (part == "new") != reverse
                else arrays[i][:-1]
                for i, part in results
            ]
            for results in self._results
        ]
        for i in self._repeated:
            x = found[1][i]
            found[1][i] = np.broadcast_to(x, (steps, *x.shape)).copy()
        return found


def _results(lowering: Lowering) -> list[list[Result]]:
    return [lowering.new_carries, lowering.stacked, lowering.totals, lowering.kept]


__all__ = ["NativeLoop", "Unavailable", "Unsupported", "target"]
