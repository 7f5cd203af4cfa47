"""The native back end: a program as machine code, compiled in memory by llvmlite.

The files, in reading order:

1. ``passes``: moves nearly everything into the step; only large products stay outside.
   ``indices``: indexing by arrays of integers.
2. ``groups``: decides which operations share a loop nest.
3. ``memory``: where values and views of them lie. ``rows``: whether threads can share the steps.
4. ``lower``: cuts the program into batches and gives every value its memory. ``stages``: writes the
   functions that run them.
5. The text of a batch: ``batch``, with ``places`` for addresses, ``nests`` for loop nests,
   ``multiply`` for matrix products and ``copies``. ``products``: the kernels that multiply.
   ``functions``: elementwise operations, such as exp and tanh.
   ``text``: functions and instructions in LLVM IR.
6. ``engine``: compiles the text. ``constants``: remembers results that depend on constants alone.
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
from .passes import run_passes
from .stages import write_program

#: Allocate the memory that the code writes to, and lay out the arrays that it reads. Tests replace
#: both, to put protected pages around every array.
empty, contiguous = np.empty, np.ascontiguousarray
byte = np.dtype(np.uint8)

#: The least number of multiplications for which a second thread pays: 0.2 ms of work (measured).
ENOUGH = 8_000_000

#: The least number of sequences for each thread: a product with fewer rows takes as long.
ROWS = 4

_arguments = [ctypes.c_void_p, word, word, word, word]


class NativeLoop:
    """A program that can run. Several threads can run it at the same time.

    Calling it: ``loop(T, reverse, constants, sequences, carries) -> (new carries, stacked, totals,
    kept)``, T >= 1. It is compiled at the first call, or by :meth:`compile`. Results that depend on
    the constants alone are computed once, and kept while these live, if they are read-only arrays.
    For other arrays they are computed at every call.

    Args:
        program: the program, simplified.
        given: the names that values have in another program.
        start: the last number used for names there.

    Attributes:
        program: the program after all passes.
        names: the names of its values.
        source: its LLVM IR.

    Raises:
        Unavailable: llvmlite is missing, or cannot compile for this processor.
        Unsupported: an operation of the program has no lowering.
    """

    backend = "native"

    def __init__(self, program: Program, given: Mapping[Value, str], start: int = 0):
        target()
        if any(0 in v.shape for v in reached(program.results)):
            raise Unsupported("arrays without elements")
        self.program = run_passes(program)
        self.names = Names(self.program, given, start=start)
        lowering, stages = write_program(self.program, self.names)
        self.source = str(lowering.module)
        self._imported, self._stages = lowering.imported, stages
        self._functions: dict[str, Any] = {}
        self._run: Any = None
        self._work = max((stage.work for stage in stages), default=0)
        self._shared: dict[int, SharedSteps] = {}
        self._lock = threading.Lock()
        self._rows = lowering.rows
        # 64 bytes more than needed, since the code starts at the first multiple of 64.
        self._block_bytes = sum(lowering.block_bytes) + 64
        self._fixed = lowering.fixed
        self._scratch_bytes = lowering.scratch_bytes
        self._constant_bytes = lowering.constant
        self._once = [(x.shape, x.dtype) for x in lowering.once]
        # All that a call needs from the lowering is copied here, so that the lowering can be freed.
        #: The arrays that a call allocates: shape, dtype, and how many slots more than T; None for
        #: a single slot.
        more = {"one": None, "T": 0, "T + 1": 1}
        self._allocated = [(x.shape, x.dtype, more[x.slots]) for x in lowering.allocated]
        self._sized = Sized(self, 1)
        #: The index of each result among all arrays: allocated, once, constants, sequences.
        first = {"allocated": 0, "once": len(lowering.allocated)}
        first["given"] = first["once"] + len(lowering.once)
        lists = (lowering.new_carries, lowering.stacked, lowering.totals, lowering.kept)
        self._results = [[first[x.source] + x.number for x in results] for results in lists]
        self._parts = [
            (n, i, x.part)
            for n, results in enumerate(lists)
            for i, x in enumerate(results)
            if x.part
        ]
        # A result that is the same at every step is one array, which each call repeats T times.
        self._repeated = [i for i, x in enumerate(lowering.stacked) if x.slots == "one"]
        self._lent = [i for i, x in enumerate(lowering.totals) if x.source != "allocated"]
        self._checks = None if lowering.flag is None else (program, dict(given), start)
        self._remembered = Remembered()
        lowering.forget()

    def compile(self) -> None:
        """Compile the machine code, if that is not done yet.

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
        # One LSTM step of 1 x 32 takes 5.8 us, of which Python takes 4.5 (measured). So all that
        # does not depend on T was prepared by ``__init__``.
        prepared = self._remembered.of(constants) or self._prepared(constants)
        sized = self._sized
        # Read once: another thread may replace it for another T.
        if steps != sized.steps:
            sized = self._sized = Sized(self, steps)
        allocated = list(itertools.starmap(empty, sized.allocated))
        if self._checks is not None:
            allocated[-1][0] = 0
        # Below that, waking another thread costs more than it saves.
        if steps * self._work >= ENOUGH and get_num_threads() > 1:
            self._on_threads(
                steps, reverse, prepared.with_(constants), sequences, carries, allocated
            )
        else:
            arrays = (
                empty(sized.scratch, byte),
                empty(self._block_bytes, byte),
                *prepared.with_(constants),
                *map(contiguous, sequences),
                *map(contiguous, carries),
                *allocated,
            )
            # ``arrays`` holds every array until the code returns. The code sees addresses only.
            self._run(address_of(arrays), steps, reverse, 0, 1)
        if self._checks is not None and allocated[-1][0]:
            return self._by_numpy(steps, reverse, constants, sequences, carries)
        # Everything that a result can be; ``_results`` has the numbers.
        every = (*allocated, *prepared.once, *constants, *sequences)
        found = [[every[i] for i in numbers] for numbers in self._results]
        for results, i, part in self._parts:
            # The T + 1 carries of all steps: the T that the steps read, or the T that they wrote.
            block = found[results][i]
            found[results][i] = block[1:] if (part == "new") != reverse else block[:-1]
        for i in self._repeated:
            x = found[1][i]
            found[1][i] = np.broadcast_to(x, (steps, *x.shape)).copy()
        for i in self._lent:
            found[2][i] = found[2][i].copy()
        return found

    def _by_numpy(self, *args: Any) -> Any:
        """Run a call again that set the flag for a wrong number: NumPy raises the error."""
        assert self._checks is not None
        program, given, start = self._checks
        return NumpyLoop(program, given, start)(*args)

    def _prepared(self, constants: Sequence[ndarray]) -> Prepared:
        """Compute what depends on the constants alone."""
        # This function reads neither scratch memory nor blocks, so any array will do in their
        # place.
        memory = empty(self._constant_bytes + 64, byte)
        once = [empty(shape, dtype) for shape, dtype in self._once]
        laid_out = [contiguous(x) for x in constants]
        prepared = Prepared(memory, constants, laid_out, self._fixed, once)
        arrays = (memory, memory, *prepared.with_(constants))  # the tuple must live during the call
        self._functions["constants"](address_of(arrays), 1, False, 0, 1)
        if all(map(is_read_only, constants)):
            # These arrays are returned by every call from now on.
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
        allocated: Sequence[ndarray],
    ) -> None:
        """Run the stages one after the other, each on several threads if it is large enough."""
        threads = get_num_threads()
        shared = None
        # With few sequences fewer threads share the steps; other stages may still use all of them.
        few = min(threads, self._rows // ROWS)
        scratch_bytes = self._scratch_bytes
        if few > 1 and any(s.steps and steps * s.work >= ENOUGH for s in self._stages):
            shared = self._shared_by(few)
            # It reserves what the other stages use first, and then more, so their offsets stay the
            # same.
            scratch_bytes = shared.scratch_bytes
        arrays = (
            empty(scratch_bytes(steps), byte),
            # Each thread packs blocks of its own.
            empty(threads * self._block_bytes, byte),
            *head,
            *map(contiguous, sequences),
            *map(contiguous, carries),
            *allocated,
        )
        for stage in self._stages:
            # A stage begins when all threads have finished the one before.
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
        """The steps for this many threads; compiled at the first use."""
        with self._lock:
            found = self._shared.get(parts)
            if found is None:
                found = self._shared[parts] = SharedSteps(self.program, self.names, parts)
            return found


class SharedSteps:
    """The stage of the steps for several threads. Each thread computes some rows of the batch.

    Attributes:
        function: the compiled function of the stage.
        scratch_bytes: the bytes of scratch memory that a call needs, as a function of T.
    """

    def __init__(self, program: Program, names: Names, parts: int):
        lowering, (stage,) = write_program(program, names, parts)
        self._compiled = Compiled(str(lowering.module), [stage.name], lowering.imported)
        self.function = self._compiled.function(stage.name, _arguments)
        self.scratch_bytes = lowering.scratch_bytes
        lowering.forget()


class Sized:
    """The sizes that depend on the number of steps.

    Attributes:
        steps: the number of steps.
        allocated: the shape and dtype of each array that a call allocates.
        scratch: the bytes of scratch memory.
    """

    def __init__(self, loop: NativeLoop, steps: int):
        self.steps = steps
        self.allocated = [
            (shape if more is None else (steps + more, *shape), dtype)
            for shape, dtype, more in loop._allocated
        ]
        self.scratch = loop._scratch_bytes(steps)


__all__ = ["NativeLoop", "Unavailable", "Unsupported", "target"]
