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

#: What makes the memory that the code writes to, and lays out what it reads. Tests put pages that
#: cannot be touched around both.
empty, contiguous = np.empty, np.ascontiguousarray


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
        lowering = Lowering(self.program, self.names)
        self.source = str(lowering.module)
        self._compiled = Compiled(self.source, ["run"], lowering.imported)
        word = ctypes.c_int64
        self._run = self._compiled.function("run", [ctypes.c_void_p, word, word])
        self._addresses = word * (1 + lowering.arguments)
        self._fixed = lowering.fixed
        self._scratch_bytes = lowering.scratch_bytes
        #: The arrays to make: shape and dtype, and how many more than T slots; None for one slot.
        more = {"one": None, "T": 0, "T + 1": 1}
        self._made = [(x.shape, x.dtype, more[x.slots]) for x in lowering.made]
        self._results = [
            [(x.argument + 1, x.part) for x in results]
            for results in (
                lowering.new_carries,
                lowering.stacked,
                lowering.totals,
                lowering.kept,
            )
        ]
        self._given = {x.argument + 1 for results in self._all(lowering) for x in results if x.given}
        self._repeated = [i for i, x in enumerate(lowering.stacked) if x.slots == "one"]

    @staticmethod
    def _all(lowering: Lowering) -> list[list[Result]]:
        return [lowering.new_carries, lowering.stacked, lowering.totals, lowering.kept]

    def __call__(
        self,
        steps: int,
        reverse: bool,
        constants: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
    ) -> Any:
        given = (*constants, *sequences, *carries, *self._fixed)
        arrays = [empty(self._scratch_bytes(steps), np.uint8), *map(contiguous, given)]
        for shape, dtype, more in self._made:
            arrays.append(empty(shape if more is None else (steps + more, *shape), dtype))
        self._run(self._addresses(*map(id, arrays)), steps, reverse)
        for i in self._given:
            arrays[i] = given[i - 1]
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


__all__ = ["NativeLoop", "Unavailable", "Unsupported"]
