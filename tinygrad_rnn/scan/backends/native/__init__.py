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
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ...ir import Program, Value
from ...names import Names
from .engine import Compiled, Unavailable, target
from .functions import Unsupported
from .lower import Lowering, Result
from .passes import lowered

#: What makes the memory that the code writes to. A test fills it with NaN.
empty = np.empty


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
        self.program = lowered(program)
        self.names = Names(self.program, given, start=start)
        self._lowering = lowering = Lowering(self.program, self.names)
        self.source = str(lowering.module)
        self._compiled = Compiled(self.source, ["run"], lowering.imported)
        word = ctypes.c_int64
        self._run = self._compiled.function("run", [ctypes.c_void_p, word, word])
        count = 1 + lowering.arguments
        self._addresses = word * count

    def __call__(
        self,
        steps: int,
        reverse: bool,
        constants: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
    ) -> Any:
        lowering = self._lowering
        given = [*constants, *sequences, *carries]
        arrays = [empty(lowering.scratch_bytes(steps), np.uint8)]
        arrays += [np.ascontiguousarray(x) for x in given]
        for result in lowering.made:
            lead = {"one": (), "T": (steps,), "T + 1": (steps + 1,)}[result.slots]
            arrays.append(empty((*lead, *result.shape), result.dtype))
        self._run(self._addresses(*map(id, arrays)), steps, reverse)

        def result(x: Result) -> ndarray:
            if x.given:
                return given[x.argument]
            found = arrays[x.argument + 1]
            if x.part:
                first = (x.part == "new") != reverse
                found = found[1:] if first else found[:-1]
            return found

        stacked = []
        for x in lowering.stacked:
            found = result(x)
            if x.slots == "one":
                found = np.broadcast_to(found, (steps, *found.shape)).copy()
            stacked.append(found)
        return (
            [result(x) for x in lowering.new_carries],
            stacked,
            [result(x) for x in lowering.totals],
            [result(x) for x in lowering.kept],
        )


__all__ = ["NativeLoop", "Unavailable", "Unsupported"]
