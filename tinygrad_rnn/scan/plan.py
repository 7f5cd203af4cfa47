"""Plans: a traced step, compiled forward and backward."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..graph import ancestors, current
from ..ops import primitives
from .backends import Loop, compile_simplified, wanted_backend
from .check_trace import ExpectedTrace
from .derive import Backward, Forward, Step, find_live, nothing_live
from .ir import Program, Value
from .latex import Equations, aligned
from .listing import Listing
from .outside_reads import OutsideReads
from .passes.simplify import simplify
from .trace import Instruction, Symbol


class Plan:
    """How to run a step over a sequence, forward and backward.

    ``print(plan)`` lists what runs once before the steps, at every step and once after them, in
    both directions, with the shapes. A plan never changes, except that its backward loops are
    compiled when they are first needed.
    """

    def __init__(self, step: Step, recording: bool):
        trace = step.trace
        #: Whether a later call may run on this trace's Tensors. Not if the step calls ``tg.grad``,
        #: which walks the graph: :meth:`Trace.close` cuts it.
        self.can_be_checked = not trace.asked
        trace.close()
        self.step = step
        # What the trace knows, without its numbers: see ``trace.forget`` below.
        self.instructions: tuple[Instruction, ...] = tuple(trace.instructions)
        self.sources: tuple[int, ...] = tuple(source.slot for source in trace.sources)
        self.symbols: tuple[Symbol, ...] = tuple(trace.symbols)
        self.structure = trace.key[-1][0]
        self.expected = ExpectedTrace(step, self.structure)
        scope = current().scope
        self.depth = len(scope.path), len(scope.steps)
        self.outside_reads = OutsideReads()
        self.output_names = tuple([None if y.node is None else y.node.name for y in step.outputs])
        self.output_avals = tuple((y._array.shape, y._array.dtype) for y in step.outputs)
        self._wanted = wanted_backend()
        self._lock = threading.Lock()
        self._backward: dict[Any, BackwardLoop] = {}
        self._reached: dict[tuple[bool, ...], tuple[bool, ...]] = {}
        self.live = find_live(step) if recording else nothing_live(step)
        self._forward = Forward(step)
        self._kept: list[Value] = []
        # The backward comes first: it says which values the forward pass has to keep.
        whole = None
        every = (True,) * (len(step.new_carries) + len(step.outputs))
        # Derive it as if every output had a cotangent and every input wanted one. A backward for
        # fewer of them reads nothing else, so one forward program serves all.
        if self.live.any:
            whole = Backward(self._forward, self.live, every, self.live.inputs)
            self._kept = whole.saved
        program = self._forward.program(self._kept)
        self.forward, self.reason = compile_program(program, {}, self._wanted)
        if whole is not None:
            backward = BackwardLoop(whole, self)
            if self.backend == "native":
                reason = backward.loop_and_reason[1]
                if reason:  # forward and backward of a plan run on the same back end
                    self.forward, _ = compile_program(program, {}, "numpy")
                    self.reason = reason
                    backward = BackwardLoop(whole, self)
            self._backward[every, self.live.inputs, False] = backward
        trace.forget()

    def backward(
        self, given: tuple[bool, ...], wanted: tuple[bool, ...], exactly: bool = False
    ) -> BackwardLoop:
        """The backward loop.

        Args:
            given: which new carries and outputs have a cotangent from outside.
            wanted: which carries, inputs and sources need a cotangent.
            exactly: at every step, only the values in ``given`` have a cotangent. Else a carry
                may also get one from the step after it; at the last step that is zeros.
        """
        return self._backward_loop(given, wanted, exactly)

    def backward_of_one_step(
        self, given: tuple[bool, ...], wanted: tuple[bool, ...]
    ) -> BackwardLoop:
        """The backward of a single step. The cotangents of its matrices are deferred."""
        return self._backward_loop(given, wanted, None)

    def _backward_loop(
        self, given: tuple[bool, ...], wanted: tuple[bool, ...], exactly: bool | None
    ) -> BackwardLoop:
        """A cached backward loop; ``exactly`` is None for the backward of a single step."""
        # Look without the lock first, and again with it: another thread may have built the loop.
        key = given, wanted, exactly
        known = self._backward.get(key)
        if known is not None:
            return known
        with self._lock:
            loop = self._backward.get(key)
            if loop is None:
                if len(self._backward) >= 64:  # a bound, since every pattern needs a loop
                    self._backward.clear()
                # A loop has one program for all steps, so a carry that has a cotangent at some step
                # gets one at every step.
                seeded = self._seeded(given) if exactly is False else given
                derived = Backward(self._forward, self.live, seeded, wanted, self._kept or None)
                loop = self._backward[key] = BackwardLoop(derived, self, defer=exactly is None)
            return loop

    def reached(self, given: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which carries get a cotangent if these new carries and outputs have one."""
        carries = self._reached.get(given)
        if carries is None:
            outputs = (*self.step.new_carries, *self.step.outputs)
            nodes = [y.node for y, has in zip(outputs, given, strict=True) if has and y.node]
            before = set(ancestors(nodes))
            leaves = [self.step.trace.leaves.get(slot) for slot in self.step.carries]
            pairs = zip(self.live.carries, leaves, strict=True)
            carries = self._reached[given] = tuple(live and leaf in before for live, leaf in pairs)
        return carries

    def _seeded(self, given: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which new carries and outputs have a cotangent at some step."""
        n = len(self.step.carries)
        while True:
            # ``reached`` are the cotangents one step earlier. There they are given, and may reach
            # others. The set only grows, so this ends.
            pairs = zip(given[:n], self.reached(given), strict=True)
            seeded = (*[a or b for a, b in pairs], *given[n:])
            if seeded == given:
                return given
            given = seeded

    @property
    def kept_names(self) -> list[str]:
        """The names of the values that the forward pass keeps."""
        return [self.forward.names[v] for v in self.forward.program.kept]

    # ── for people ───────────────────────────────────────────────────────────────────────

    @property
    def loops(self) -> dict[str, Loop]:
        """The loop that runs "forward" and, if there is a gradient to compute, "backward"."""
        loops = {"forward": self.forward}
        with self._lock:
            for backward in list(self._backward.values())[:1]:
                loops["backward"] = backward.loop
        return loops

    @property
    def listings(self) -> dict[str, Listing]:
        """The programs that run, forward and backward, line by line."""
        return {name: Listing(loop.program, loop.names) for name, loop in self.loops.items()}

    def latex(self) -> str:
        r"""The step and its backward as aligned equations, as a textbook derives them.

        ``dz`` stands for dL/dz, the cotangent of z, and ``dh^+`` for the part of dh that comes
        from the step after. These are the equations before the compiler rearranges them. Rows are
        the batch, so a layer is ``x W``.

        Returns:
            LaTeX for math mode, with amsmath. In a notebook, ``IPython.display.Math`` sets it.

        Example:
            >>> import numpy as np, tinygrad_rnn as tg
            >>> W = tg.Tensor(np.eye(2), requires_grad=True, name="W")
            >>> def cell(h, x_t):
            ...     h = tg.tanh(x_t + h @ W)
            ...     return h, h
            >>> plan = tg.scan_plan(cell, np.zeros((1, 2)), np.ones((3, 1, 2)))
            >>> print(plan.latex())
            \begin{aligned}
            &\text{forward, for } t = 0, \ldots, T-1 \\
            h_{t} &= \tanh\left(x_{t} + h_{t-1} \, W\right) \\
            &\text{backward, for } t = T-1, \ldots, 0 \\
            \mathrm{d}h_{t} &= \mathrm{d}h_{t}^{+} + \mathrm{d}y_{t} \\
            v_{1,t} &= \mathrm{d}h_{t} \odot \left(1 - h_{t}^{2}\right) \\
            \mathrm{d}h_{t-1}^{+} &= v_{1,t} \, W^{\top} \\
            \mathrm{d}W &= \sum_{t} h_{t-1}^{\top} \, v_{1,t}
            \end{aligned}
        """
        # The forward equations are made first. The backward writes the values that it reads as the
        # forward wrote them: not as an input v3 but as 1 - z.
        program = simplify(self._forward.program(self._kept))
        forward = Equations(program, {}, False)
        parts = [(r"forward, for } t = 0, \ldots, T-1", forward.lines)]
        with self._lock:
            backward_loops = list(self._backward.values())[:1]
        for loop in backward_loops:
            # How the forward equations write each kept value, for the inputs of the backward.
            of_kept = dict(zip(self._kept, map(forward.written, program.kept), strict=True))
            given = {x: of_kept[v] for v, x in loop.input_for.items() if v in of_kept}
            names = [self._forward.inputs[i].name for i in loop.sources]
            totals = [name and f"d{name}" for name in names]
            backward = Equations(loop.simplified, given, True, forward.count, totals)
            parts.append((r"backward, for } t = T-1, \ldots, 0", backward.lines))
        return aligned(parts)

    @property
    def source(self) -> str:
        """The code that runs, forward and backward."""
        return "\n\n".join(loop.source for loop in self.loops.values())

    @property
    def backend(self) -> str:
        """The back end that runs this plan: "numpy" or "native"."""
        return self.forward.backend

    @property
    def differentiated(self) -> set[str]:
        """The names of the carries, inputs and closed-over values that get a gradient."""
        given = zip(self._forward.inputs, self.live.inputs, strict=True)
        return {self.forward.names[v] for v, is_live in given if is_live}

    def __str__(self) -> str:
        head = [f"{self.backend} back end{': ' if self.reason else ''}{self.reason}"]
        return "\n".join(
            head
            + [
                line if line.startswith(" ") else f"{direction}, {line}"
                for direction, listing in self.listings.items()
                for line in str(listing).splitlines()
            ]
        )

    __repr__ = __str__


def compile_program(
    program: Program,
    given: Mapping[Value, str],
    backend: str,
    start: int = 0,
    lazy: bool = False,
) -> tuple[Loop, str]:
    """Simplify and compile a program. Also returns why it is not native; "" if it is."""
    return compile_simplified(simplify(program), given, start, backend, lazy)


class BackwardLoop:
    """The backward of a step, as a loop from the last step to the first.

    Args:
        derived: the derived backward.
        plan: the plan of the step.
        defer: return the factors of products instead of the products.

    Attributes:
        arrays, outputs, carries, inputs, sources: as in :class:`Backward`.
        fixed: the indices, in the values that the forward pass keeps, of the saved values that
            follow the first constants.
        moving: the same for the saved values that follow the first sequences.
        deferred: the cotangents of sources that are deferred: the source's number, and the indices
            of the two factors of its product in ``stacked``.
    """

    def __init__(self, derived: Backward, plan: Plan, defer: bool = False):
        self.arrays = derived.arrays
        self.outputs, self.carries = derived.outputs, derived.carries
        self.inputs, self.sources = derived.inputs, derived.sources
        kept = plan._kept or derived.saved
        # The forward pass returns what it keeps as one list; this loop reads a part of it.
        self.fixed = [kept.index(v) for v in derived.saved if not v.varies]
        self.moving = [kept.index(v) for v in derived.saved if v.varies]
        self._program = derived.program
        self.deferred: list[tuple[int, int, int]] = []
        if defer:
            self._program, self.sources, self.deferred = defer_products(
                derived.program, derived.sources
            )
        self.input_for = derived.input_for
        names = dict(zip(kept, plan.kept_names, strict=True))
        # Two values of the step may turn out to be equal. Each name must stand for one value here.
        by_name = {names[v]: x for v, x in derived.input_for.items()}
        self._names = {x: name for name, x in by_name.items()}
        self._start = plan.forward.names.count
        # All backward loops of a plan run where its forward runs.
        self._wanted = "numpy" if plan.backend == "numpy" else plan._wanted

    @property
    def simplified(self) -> Program:
        """Its program, simplified but not scheduled."""
        return simplify(self._program)

    @functools.cached_property
    def loop_and_reason(self) -> tuple[Loop, str]:
        """The loop, and why it is not native. Machine code is compiled at the first run."""
        return compile_program(self._program, self._names, self._wanted, self._start, lazy=True)

    @property
    def loop(self) -> Loop:
        return self.loop_and_reason[0]


def defer_products(
    program: Program, sources: Sequence[int]
) -> tuple[Program, list[int], list[tuple[int, int, int]]]:
    """A backward program that returns the factors of products instead of the products.

    Returns:
        The program; the numbers of the sources whose cotangents are still in its ``totals``; and
        for each other source its number and the indices of its two factors in ``stacked``.
    """
    stacked, totals, rest, deferred = list(program.stacked), [], [], []

    def place(v: Value) -> int:
        # W and b of a layer read the same factor: stack it once. The stacked results of the program
        # itself come first and keep their places, since their order says whose cotangents they are.
        if v not in stacked[len(program.stacked) :]:
            stacked.append(v)
        return stacked.index(v, len(program.stacked))

    for i, v in zip(sources, program.totals, strict=True):
        factors = _factors(v.args[0])
        if factors is None:
            totals.append(v)
            rest.append(i)
        else:
            left, right = factors
            deferred.append((i, place(left), place(right)))
    changed = replace(program, stacked=tuple(stacked), totals=tuple(totals))
    return changed, rest, deferred


def _factors(v: Value) -> tuple[Value, Value] | None:
    """g and x, if v is the product g' x of rows g and x (or of two single rows) that vary."""
    if v.op is not primitives.matmul:
        return None
    x, y = v.args
    # g' x for a batch (N, H) and (N, D); below, for vectors (H,) and (D,), the column g times the
    # row x.
    if x.op is primitives.transpose and len(x.shape) == len(y.shape) == 2:
        (x,) = x.inputs
    elif x.op is y.op is primitives.expand_dims and (x.shape[1], y.shape[0]) == (1, 1):
        (x,), (y,) = x.inputs, y.inputs
    else:
        return None
    return (x, y) if x.varies and y.varies else None


__all__ = ["BackwardLoop", "Plan", "Step", "compile_program"]
