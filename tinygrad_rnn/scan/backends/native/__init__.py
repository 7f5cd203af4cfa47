"""The native back end: a program as machine code, compiled in memory by llvmlite.

The files, in the order in which to read them:

1. ``passes``: nearly everything within the step; only large products stay outside. ``indices``:
   what indexing by arrays of integers becomes.
2. ``groups``: which operations share a loop nest.
3. ``memory``: where values lie, and views of them; ``rows``: whether threads can share the steps.
4. ``lower``: the whole program as text; ``nests``: loop nests; ``products``: products of matrices;
   ``functions``: elementwise operations; ``text``: functions and instructions as LLVM reads them.
5. ``engine``: text becomes code; ``constants``: what is made once for given constants.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ...ir import Program, Value, reached
from ...names import Names
from ...threads import get_num_threads, in_parts
from ..numpy import NumpyLoop
from .constants import Prepared, Remembered, is_read_only
from .engine import Compiled, Unavailable, address_of, target, word
from .functions import Unsupported
from .passes import lowered
from .stages import written

#: What makes the memory that the code writes to, and lays out what it reads. Tests put pages that
#: cannot be touched around both.
empty, contiguous = np.empty, np.ascontiguousarray
byte = np.dtype(np.uint8)

#: The least number of multiplications that a second thread is worth: 0.2 ms of work (measured).
ENOUGH = 8_000_000

#: The least number of sequences for each thread: a product of fewer rows takes as long.
ROWS = 4

_arguments = [ctypes.c_void_p, word, word, word, word]


class NativeLoop:
    """A program that runs; any number of threads may run it at a time.

    Calling it: ``loop(T, reverse, constants, sequences, carries) -> (new carries, stacked, totals,
    kept)``, T >= 1. What depends on the constants alone is done once for read-only arrays, as long
    as these live; for others at every call.

    Args:
        program: simplified.
        given: the names that values have in another program.
        start: the number that was given last there.

    Raises:
        Unavailable: there is no llvmlite, or it cannot compile for this processor.
        Unsupported: an operation of the program has no lowering.

    It is compiled when it is first run, or by :meth:`compile`.

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
        lowering, stages = written(self.program, self.names)
        self.source = str(lowering.module)
        self._imported, self._stages = lowering.imported, stages
        self._functions: dict[str, Any] = {}
        self._run: Any = None
        self._work = max((stage.work for stage in stages), default=0)
        self._shared: dict[int, SharedSteps] = {}
        self._lock = threading.Lock()
        self._rows = lowering.rows
        self._block_bytes = sum(lowering.block_bytes) + 64
        self._fixed = lowering.fixed
        self._scratch_bytes = lowering.scratch_bytes
        self._constant_bytes = lowering.constant
        self._once = [(x.shape, x.dtype) for x in lowering.once]
        #: The arrays to make: shape and dtype, and how many more than T slots; None for one slot.
        more = {"one": None, "T": 0, "T + 1": 1}
        self._made = [(x.shape, x.dtype, more[x.slots]) for x in lowering.made]
        self._sized = Sized(self, 1)
        #: The places of results among all arrays: made, once, the constants and the sequences.
        first = {"made": 0, "once": len(lowering.made)}
        first["given"] = first["once"] + len(lowering.once)
        lists = (lowering.new_carries, lowering.stacked, lowering.totals, lowering.kept)
        self._results = [[first[x.source] + x.number for x in results] for results in lists]
        self._parts = [
            (n, i, x.part)
            for n, results in enumerate(lists)
            for i, x in enumerate(results)
            if x.part
        ]
        self._repeated = [i for i, x in enumerate(lowering.stacked) if x.slots == "one"]
        self._lent = [i for i, x in enumerate(lowering.totals) if x.source != "made"]
        self._checks = None if lowering.flag is None else (program, dict(given), start)
        self._remembered = Remembered()
        lowering.forget()

    def compile(self) -> None:
        """Make the machine code, if that is not done yet.

        Raises:
            Unavailable: LLVM cannot compile it.
        """
        with self._lock:
            if self._run is None:
                names = ["constants", "run", *[stage.name for stage in self._stages]]
                self._compiled = Compiled(self.source, names, self._imported)
                for name in names:
                    self._functions[name] = self._compiled.function(name, _arguments)
                self._run = self._functions["run"]

    def __call__(
        self,
        steps: int,
        reverse: bool,
        constants: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
    ) -> Any:
        if self._run is None:
            self.compile()
        prepared = self._remembered.of(constants) or self._prepared(constants)
        sized = self._sized
        if steps != sized.steps:
            sized = self._sized = Sized(self, steps)
        made = list(itertools.starmap(empty, sized.made))
        if self._checks is not None:
            made[-1][0] = 0
        if steps * self._work >= ENOUGH and get_num_threads() > 1:
            self._on_threads(steps, reverse, prepared.with_(constants), sequences, carries, made)
        else:
            arrays = (
                empty(sized.scratch, byte),
                empty(self._block_bytes, byte),
                *prepared.with_(constants),
                *map(contiguous, sequences),
                *map(contiguous, carries),
                *made,
            )
            self._run(address_of(arrays), steps, reverse, 0, 1)
        if self._checks is not None and made[-1][0]:
            return self._by_numpy(steps, reverse, constants, sequences, carries)
        every = (*made, *prepared.once, *constants, *sequences)
        found = [[every[i] for i in numbers] for numbers in self._results]
        for results, i, part in self._parts:
            # Carries of T + 1 steps: those that the steps read, or those that they hand on.
            block = found[results][i]
            found[results][i] = block[1:] if (part == "new") != reverse else block[:-1]
        for i in self._repeated:
            x = found[1][i]
            found[1][i] = np.broadcast_to(x, (steps, *x.shape)).copy()
        for i in self._lent:
            found[2][i] = found[2][i].copy()
        return found

    def _by_numpy(self, *args: Any) -> Any:
        """Run a call again in which a number was wrong: NumPy raises the error."""
        assert self._checks is not None
        program, given, start = self._checks
        return NumpyLoop(program, given, start)(*args)

    def _prepared(self, constants: Sequence[ndarray]) -> Prepared:
        """What depends on the constants alone, made now."""
        memory = empty(self._constant_bytes + 64, byte)
        once = [empty(shape, dtype) for shape, dtype in self._once]
        laid_out = [contiguous(x) for x in constants]
        prepared = Prepared(memory, constants, laid_out, self._fixed, once)
        arrays = (memory, memory, *prepared.with_(constants))  # has to live during the call
        self._functions["constants"](address_of(arrays), 1, False, 0, 1)
        if all(map(is_read_only, constants)):
            for x in once:
                x.flags.writeable = False
            self._remembered.add(prepared, constants)
        return prepared

    def _on_threads(
        self,
        steps: int,
        reverse: bool,
        head: Sequence[ndarray],
        sequences: Sequence[ndarray],
        carries: Sequence[ndarray],
        made: Sequence[ndarray],
    ) -> None:
        """Run stage by stage, each of them in parts."""
        threads = get_num_threads()
        shared = None
        few = min(threads, self._rows // ROWS)
        scratch_bytes = self._scratch_bytes
        if few > 1 and any(s.steps and steps * s.work >= ENOUGH for s in self._stages):
            shared = self._shared_by(few)
            scratch_bytes = shared.scratch_bytes
        arrays = (
            empty(scratch_bytes(steps), byte),
            empty(threads * self._block_bytes, byte),
            *head,
            *map(contiguous, sequences),
            *map(contiguous, carries),
            *made,
        )
        for stage in self._stages:
            function = self._functions[stage.name]
            parts = threads if steps * stage.work >= ENOUGH else 1
            if stage.steps and shared is not None:
                parts, function = few, shared.function
            run = functools.partial(function, address_of(arrays), steps, reverse)
            if parts == 1:
                run(0, 1)
            else:
                in_parts(run, parts)

    def _shared_by(self, parts: int) -> SharedSteps:
        """The steps for so many threads; compiled when they are first run."""
        with self._lock:
            found = self._shared.get(parts)
            if found is None:
                found = self._shared[parts] = SharedSteps(self.program, self.names, parts)
            return found


class SharedSteps:
    """The stage of the steps, for a number of threads that do some rows of the batch each.

    Attributes:
        function: it.
        scratch_bytes: the scratch memory of a call, given T.
    """

    def __init__(self, program: Program, names: Names, parts: int):
        lowering, (stage,) = written(program, names, parts)
        self._compiled = Compiled(str(lowering.module), [stage.name], lowering.imported)
        self.function = self._compiled.function(stage.name, _arguments)
        self.scratch_bytes = lowering.scratch_bytes
        lowering.forget()


class Sized:
    """What depends on the number of steps.

    Attributes:
        steps: how many.
        made: the shape and dtype of each array that a call makes.
        scratch: bytes.
    """

    def __init__(self, loop: NativeLoop, steps: int):
        self.steps = steps
        self.made = [
            (shape if more is None else (steps + more, *shape), dtype)
            for shape, dtype, more in loop._made
        ]
        self.scratch = loop._scratch_bytes(steps)


__all__ = ["NativeLoop", "Unavailable", "Unsupported", "target"]
