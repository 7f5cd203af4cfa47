"""Plans: what a trace is compiled to, forward and backward.

The backward of a step is derived by the engine: a ``create_graph`` sweep over the traced nodes
runs the rules of every operation on traced values and so writes down a second list of
instructions. It reads values of the forward pass, which tells that pass what to keep.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..backprop import sweep
from ..graph import Node, ancestors, current, traced
from .algebra import Builder, translate
from .follow import expected
from .listing import Listing, Names
from .loop import Loop, Outline
from .trace import Instruction, Source, Symbol, Trace
from .values import CONSTANT, LOOP, SEQUENCE, Var


class Step(NamedTuple):
    """A traced step: the slots of what it takes and gives."""

    trace: Trace
    carries: tuple[int, ...]
    inputs: tuple[int, ...]
    new_carries: tuple[Any, ...]  #: Values
    outputs: tuple[Any, ...]  #: Values


class Plan:
    """How to run a step over a sequence, and back.

    ``print(plan)`` lists what runs once before the steps, at every step and once after them, in
    both directions, with the shapes. Immutable but for its backward loops, which are compiled when
    they are first asked for.
    """

    def __init__(self, step: Step, recording: bool):
        trace = step.trace
        trace.close()
        self.step = step
        self.instructions: tuple[Instruction, ...] = tuple(trace.instructions)
        self.sources: tuple[int, ...] = tuple(source.slot for source in trace.sources)
        self.symbols: tuple[Symbol, ...] = tuple(trace.symbols)
        self.expected = expected(trace)
        self.ending = trace.key[-1]
        scope = current().scope
        self.depth = len(scope.path), len(scope.steps)
        self._seen: tuple[Any, ...] = ()
        self.output_avals = tuple((y._array.shape, y._array.dtype) for y in step.outputs)
        self._lock = threading.Lock()
        self._backward: dict[Any, _Backward] = {}
        self._reached: dict[tuple[bool, ...], tuple[bool, ...]] = {}
        self.live = _live(step) if recording else _nothing_live(step)
        self._values: dict[int, Var] = {}
        self._builder = Builder()
        self.names = Names()
        symbols = self.symbols
        for slots, level, labels in (
            (step.carries, LOOP, _numbered("h", "", len(step.carries))),
            (step.inputs, SEQUENCE, _numbered("x", "_t", len(step.inputs))),
            (self.sources, CONSTANT, _labels(trace.sources)),
        ):
            for slot, label in zip(slots, labels, strict=True):
                symbol = symbols[slot]
                self._values[slot] = self._builder.given(symbol.shape, symbol.dtype, level, label)
        translate(self._builder, self.instructions, symbols, self._values)
        every = [True] * (len(step.new_carries) + len(step.outputs))
        self.kept: list[Var] = []
        if self.live.any:
            whole = self._derived(tuple(every), self.live.inputs)
            self.kept = whole.saved
            self._backward[tuple(every), self.live.inputs, False] = whole
        self.forward = self._forward_loop(self.kept)
        trace.forget()

    def _slots(self, values: Sequence[Any]) -> list[int]:
        return [y._array.slot for y in values]

    def _forward_loop(self, kept: list[Var]) -> Loop:
        step, values = self.step, self._values
        return Loop(
            Outline(
                constants=[values[slot] for slot in self.sources],
                sequences=[values[slot] for slot in step.inputs],
                carries=[values[slot] for slot in step.carries],
                new_carries=[values[slot] for slot in self._slots(step.new_carries)],
                stacked=[values[slot] for slot in self._slots(step.outputs)],
                summed=[],
                kept=kept,
            ),
            self.names,
        )

    def backward(
        self, given: tuple[bool, ...], wanted: tuple[bool, ...], exactly: bool = False
    ) -> _Backward:
        """The backward loop for these cotangents of the outputs and of these inputs.

        A carry may get a cotangent from the steps behind though none is given from outside: at the
        last step zeros then stand in its place. With ``exactly`` none does: only what is given
        has a cotangent at any step.
        """
        key = given, wanted, exactly
        with self._lock:
            found = self._backward.get(key)
            if found is None:
                if len(self._backward) >= 64:
                    self._backward.clear()
                seeded = given if exactly else self._seeded(given)
                found = self._backward[key] = self._derived(seeded, wanted)
            return found

    def reached(self, given: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which carries have a cotangent if these new carries and outputs have one."""
        found = self._reached.get(given)
        if found is None:
            outputs = (*self.step.new_carries, *self.step.outputs)
            nodes = [y.node for y, has in zip(outputs, given, strict=True) if has and y.node]
            behind = set(ancestors(nodes))
            leaves = self._leaves()[: len(self.step.carries)]
            pairs = zip(self.live.carries, leaves, strict=True)
            found = self._reached[given] = tuple(live and leaf in behind for live, leaf in pairs)
        return found

    def _seeded(self, given: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which new carries and outputs have a cotangent at some step."""
        n = len(self.step.carries)
        while True:
            pairs = zip(given[:n], self.reached(given), strict=True)
            seeded = (*[a or b for a, b in pairs], *given[n:])
            if seeded == given:
                return given
            given = seeded

    def _derived(self, seeded: tuple[bool, ...], wanted: tuple[bool, ...]) -> _Backward:
        """Run the rules on traced values, and plan what they do."""
        step = self.step
        trace = Trace(step.trace)
        outputs = [*step.new_carries, *step.outputs]
        n = len(step.carries)
        seeds: dict[Node, Any] = {}
        slots: list[int | None] = []
        leaves = self._leaves()
        carry_live = self.live.carries
        with traced(trace, recording=False):
            for i, y in enumerate(outputs):
                if y.node is None or not seeded[i]:
                    slots.append(None)
                    continue
                g = trace.given(y._array.shape, y._array.dtype, False)
                slots.append(g._array.slot)  # type: ignore[attr-defined]
                seeds[y.node] = seeds[y.node] + g if y.node in seeds else g
            reached = [
                leaf
                if leaf is not None and ((i < n and carry_live[i]) or (i >= n and wanted[i]))
                else None
                for i, leaf in enumerate(leaves)
            ]
            targets = {leaf for leaf in reached if leaf is not None}
            found = sweep(seeds, targets, differentiable=True) if seeds and targets else {}
            cotangents = [
                trace.value(found[leaf]) if leaf is not None and leaf in found else None
                for leaf in reached
            ]
        return _Backward(self, trace, slots, cotangents)

    # A value that comes from outside may have been made within the step, of random numbers say,
    # unless it was in the graph before, or it is the very array of an earlier call.

    def seen_before(self, sources: Sequence[Source], since: int) -> bool:
        """Whether nothing that the step reads from outside can have been made by the step."""
        return len(self._seen) == len(sources) and all(
            (source.node is not None and source.node.number < since)
            or (array is not None and array() is source.original)
            for source, array in zip(sources, self._seen, strict=True)
        )

    def remember(self, sources: Sequence[Source]) -> None:
        """For :meth:`seen_before`: two traces have read these."""
        self._seen = tuple(
            weakref.ref(source.original) if isinstance(source.original, ndarray) else None
            for source in sources
        )

    def _leaves(self) -> list[Node | None]:
        """For each carry, input and source its leaf in the traced graph."""
        leaves = self.step.trace.leaves
        slots = (*self.step.carries, *self.step.inputs, *self.sources)
        return [leaves.get(slot) for slot in slots]

    @property
    def listings(self) -> dict[str, Listing]:
        """What runs "forward" and, if there is a gradient to compute, "backward"."""
        found = {"forward": self.forward.listing}
        with self._lock:
            for backward in list(self._backward.values())[:1]:
                found["backward"] = backward.loop.listing
        return found

    @property
    def differentiated(self) -> set[str]:
        """The names of the carries, inputs and closed-over values that get a gradient."""
        slots = (*self.step.carries, *self.step.inputs, *self.sources)
        return {
            self.names(self._values[slot])
            for slot, is_live in zip(slots, self.live.inputs, strict=True)
            if is_live
        }

    def __str__(self) -> str:
        return "\n".join(
            line if line.startswith(" ") else f"{direction}, {line}"
            for direction, listing in self.listings.items()
            for line in str(listing).splitlines()
        )

    __repr__ = __str__


def _numbered(stem: str, end: str, count: int) -> list[str]:
    """``x_t``, or ``x0_t``, ``x1_t``, ... if there are several."""
    return [f"{stem}{i if count > 1 else ''}{end}" for i in range(count)]


def _labels(sources: Sequence[Source]) -> list[str | None]:
    return [source.label if source.node is None else source.node.name for source in sources]


class _Live(NamedTuple):
    carries: tuple[bool, ...]  #: through which carries a gradient flows
    inputs: tuple[bool, ...]  #: through which carries, inputs and sources it arrives outside
    outputs: tuple[bool, ...]  #: which new carries and outputs it comes from

    @property
    def any(self) -> bool:
        return any(self.inputs) and any(self.outputs)


def _nothing_live(step: Step) -> _Live:
    n = len(step.carries)
    return _Live(
        (False,) * n,
        (False,) * (n + len(step.inputs) + len(step.trace.sources)),
        (False,) * (n + len(step.outputs)),
    )


def _live(step: Step) -> _Live:
    """Where gradients really flow; the trace took every carry of floats to be live."""
    trace = step.trace
    inputs = [trace.outside[slot] for slot in (*step.carries, *step.inputs)]
    inputs += [source.node is not None for source in trace.sources]
    slots = (*step.carries, *step.inputs, *[source.slot for source in trace.sources])
    live = {slot for slot, is_live in zip(slots, inputs, strict=True) if is_live}
    while True:
        before = len(live)
        for instruction in trace.instructions:
            if any(
                through and slot in live
                for slot, through in zip(instruction.operands, instruction.parents, strict=True)
            ):
                live.add(instruction.slot)
        for old, new in zip(step.carries, step.new_carries, strict=True):
            if new.node is not None and new._array.slot in live:
                live.add(old)
        if len(live) == before:
            break
    outputs = [
        y.node is not None and y._array.slot in live for y in (*step.new_carries, *step.outputs)
    ]
    return _Live(tuple(slot in live for slot in step.carries), tuple(inputs), tuple(outputs))


class _Backward:
    """The backward of a step as a loop from the last step to the first."""

    def __init__(
        self, plan: Plan, trace: Trace, seeds: list[int | None], cotangents: list[Any | None]
    ):
        step, forward = plan.step, plan._values
        self._names = plan.names
        n, m = len(step.carries), len(step.inputs)
        builder = Builder()
        given = builder.given
        symbols = trace.symbols
        values: dict[int, Var] = {}
        self.saved: list[Var] = []  # values of the forward loop that this one reads
        saved: dict[Var, Var] = {}
        constants: list[Var] = []
        self.constants: list[ndarray] = []  # arrays that the rules themselves brought
        sequences: list[Var] = []
        for source in trace.sources:
            array = source.array
            number = f"{array.item():.6g}" if array.size == 1 else None
            values[source.slot] = given(array.shape, array.dtype, CONSTANT, number)
            constants.append(values[source.slot])
            self.constants.append(source.array)
        self.outputs = [i for i in range(len(seeds) - n) if seeds[n + i] is not None]
        labels = _numbered("dy", "_t", len(seeds) - n)
        for i in self.outputs:
            slot = seeds[n + i]
            assert slot is not None
            values[slot] = given(symbols[slot].shape, symbols[slot].dtype, SEQUENCE, labels[i])
            sequences.append(values[slot])
        # A carry may have a cotangent though the new carry, a constant say, has none to pass on.
        found = [cotangents[i] is not None for i in range(n)]
        self.carries = [i for i in range(n) if seeds[i] is not None or found[i]]
        carries = []
        labels = _numbered("dh", "", n)
        for i in self.carries:
            slot, symbol = seeds[i], symbols[step.carries[i]]
            carries.append(given(symbol.shape, symbol.dtype, LOOP, labels[i]))
            if slot is not None:
                values[slot] = carries[-1]
        self._read_forward(forward, builder, saved, trace, values)
        translate(builder, trace.instructions, symbols, values)

        def value(cotangent: Any) -> Var:
            self._read(cotangent._array.slot, forward, builder, saved, values)
            return values[cotangent._array.slot]

        new_carries = []
        for i, carry in zip(self.carries, carries, strict=True):
            if cotangents[i] is not None:
                new_carries.append(value(cotangents[i]))
            else:
                new_carries.append(given(carry.shape, carry.dtype, CONSTANT))
                constants.append(new_carries[-1])
                self.constants.append(np.zeros(carry.shape, carry.dtype))
        self.inputs = [i for i in range(n, n + m) if cotangents[i] is not None]
        self.sources = [i for i in range(n + m, len(cotangents)) if cotangents[i] is not None]
        stacked = [value(cotangents[i]) for i in self.inputs]
        summed = [value(cotangents[i]) for i in self.sources]
        read = [forward[slot] for slot in (*step.inputs, *plan.sources)]
        for i, v in zip((*self.inputs, *self.sources), (*stacked, *summed), strict=True):
            if v.label is None and type(read[i - n].label) is str:
                v.label = f"d{read[i - n].label}"
        self.saved = list(saved)
        fixed = [v for v in saved if v.level == CONSTANT]
        moving = [v for v in saved if v.level > CONSTANT]
        kept = plan.kept or self.saved  # of all that is kept, where this loop's part lies
        self.fixed = [kept.index(v) for v in fixed]
        self.moving = [kept.index(v) for v in moving]
        self._outline = Outline(
            constants=[*constants, *[saved[v] for v in fixed]],
            sequences=[*sequences, *[saved[v] for v in moving]],
            carries=carries,
            new_carries=new_carries,
            stacked=stacked,
            summed=summed,
            kept=[],
        )

    @functools.cached_property
    def loop(self) -> Loop:
        """Compiled when it is first run."""
        return Loop(self._outline, Names(self._names))

    def _read_forward(
        self,
        forward: dict[int, Var],
        builder: Builder,
        saved: dict[Var, Var],
        trace: Trace,
        values: dict[int, Var],
    ) -> None:
        for instruction in trace.instructions:
            for slot in instruction.operands:
                if isinstance(slot, int):
                    self._read(slot, forward, builder, saved, values)

    def _read(
        self,
        slot: int,
        forward: dict[int, Var],
        builder: Builder,
        saved: dict[Var, Var],
        values: dict[int, Var],
    ) -> None:
        """Make a value of the forward pass one of the backward's, if the slot is such."""
        if slot in values or slot not in forward:
            return
        values[slot] = self._again(forward[slot], builder, saved)

    def _again(self, v: Var, builder: Builder, saved: dict[Var, Var]) -> Var:
        """A value of the forward pass: kept by it, or a view of what it kept."""
        chain = []
        while v.is_view and len(v.inputs) == 1:
            chain.append(v)
            (v,) = v.inputs
        if v not in saved:
            level = CONSTANT if v.level == CONSTANT else SEQUENCE
            saved[v] = builder.given(v.shape, v.dtype, level, v)
        made = saved[v]
        for view in reversed(chain):
            assert view.op is not None
            args = tuple(made if type(x) is Var else x for x in view.args)
            made = builder.make(view.op, args, view.keywords, view.shape, view.dtype)
        return made


__all__ = ["Plan", "Step"]
