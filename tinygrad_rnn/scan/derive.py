"""Derive: turn a traced step into its forward program and its backward program.

Nobody writes the backward of a step. The engine's own sweep runs the rules of the step's operations
on traced values, which records a second list of operations. That list reads values of the forward
pass, so the forward program has to keep them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..backprop import sweep
from ..graph import Node, read_only, refuse_without_rule, traced
from .ir import CONSTANT, LOOP, SEQUENCE, Builder, Program, Value, total
from .trace import Instruction, Literal, Source, Trace


class Step(NamedTuple):
    """A traced step: the slots of its carries and inputs, and the values that it returns."""

    trace: Any  #: the Trace
    carries: tuple[int, ...]
    inputs: tuple[int, ...]
    new_carries: tuple[Any, ...]  #: Tensors of the trace
    outputs: tuple[Any, ...]  #: Tensors of the trace


class Live(NamedTuple):
    """Which values of a step have a gradient."""

    carries: tuple[bool, ...]  #: the carries through which a gradient flows from step to step
    inputs: tuple[bool, ...]  #: the carries, inputs and sources that need one outside of the scan
    outputs: tuple[bool, ...]  #: the new carries and outputs that a gradient can come from

    @property
    def any(self) -> bool:
        return any(self.inputs) and any(self.outputs)


def nothing_live(step: Step) -> Live:
    """For a step that is not differentiated."""
    n = len(step.carries)
    return Live(
        (False,) * n,
        (False,) * (n + len(step.inputs) + len(step.trace.sources)),
        (False,) * (n + len(step.outputs)),
    )


def find_live(step: Step) -> Live:
    """Find which values really need a gradient; the trace assumed that all float carries do."""
    trace = step.trace
    inputs = [trace.outside[slot] for slot in (*step.carries, *step.inputs)]
    inputs += [source.node is not None for source in trace.sources]
    slots = (*step.carries, *step.inputs, *[source.slot for source in trace.sources])
    live = {slot for slot, is_live in zip(slots, inputs, strict=True) if is_live}
    # Repeat until nothing is added: a carry may become live through another carry, a step later.
    while True:
        # One pass takes liveness from operands to results, since operations come in order. The loop
        # over the carries takes it to the next step. ``live`` only grows, so this ends.
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
    for instruction in trace.instructions:
        if instruction.node is not None:
            _require_rules(instruction, live)
    outputs = [
        y.node is not None and y._array.slot in live for y in (*step.new_carries, *step.outputs)
    ]
    return Live(tuple(slot in live for slot in step.carries), tuple(inputs), tuple(outputs))


def _require_rules(x: Instruction, live: set[int]) -> None:
    """Raise TypeError if a gradient flows to an operand that has no rule."""
    for i, (slot, through) in enumerate(zip(x.operands, x.parents, strict=True)):
        if through and slot in live and x.primitive.vjps[i] is None:
            refuse_without_rule(x.primitive, i, x.node.scope)  # type: ignore[union-attr]


class Forward:
    """A traced step as values of the intermediate representation.

    Attributes:
        values: the value of each slot of the trace.
        builder: the builder that made them.
        inputs: the values of the carries, the inputs and the sources, in this order.
    """

    def __init__(self, step: Step):
        trace = step.trace
        self.step = step
        self.builder = Builder()
        self.values: dict[int, Value] = {}
        sources = tuple(source.slot for source in trace.sources)
        for slots, level, names in (
            (step.carries, LOOP, _carry_names(step, "")),
            (step.inputs, SEQUENCE, numbered("x", "_t", len(step.inputs))),
            (sources, CONSTANT, _names(trace.sources)),
        ):
            for slot, name in zip(slots, names, strict=True):
                symbol = trace.symbols[slot]
                value = self.builder.new_input(symbol.shape, symbol.dtype, level, name)
                self.values[slot] = value
        translate(self.builder, trace.instructions, trace.symbols, self.values)
        self.inputs = [self.values[slot] for slot in (*step.carries, *step.inputs, *sources)]

    def program(self, kept: Sequence[Value]) -> Program:
        """The forward program, which keeps these values for the backward program."""
        n, m = len(self.step.carries), len(self.step.inputs)
        return Program(
            constants=tuple(self.inputs[n + m :]),
            sequences=tuple(self.inputs[n : n + m]),
            carries=tuple(self.inputs[:n]),
            new_carries=self._of(self.step.new_carries),
            stacked=self._of(self.step.outputs),
            kept=tuple(kept),
        )

    def _of(self, tensors: Iterable[Any]) -> tuple[Value, ...]:
        return tuple(self.values[x._array.slot] for x in tensors)


def translate(
    builder: Builder,
    instructions: Iterable[Instruction],
    symbols: Sequence[Any],
    values: dict[int, Any],
) -> None:
    """Make the value of each instruction and add it to ``values``, which maps slots to values."""
    for instruction in instructions:
        symbol = symbols[instruction.slot]
        args = tuple(x.value if isinstance(x, Literal) else values[x] for x in instruction.operands)
        value = builder.make(
            instruction.primitive, args, instruction.keywords, symbol.shape, symbol.dtype
        )
        if instruction.node is not None and value.name is None:
            name = instruction.node.name
            # A value that is the same at every step needs no time in its name: W_t is W.
            value.name = name if value.varies or name is None else name.removesuffix("_t")
        values[instruction.slot] = value


class Backward:
    """The backward of a step: the program of a loop from the last step to the first.

    Its carry is the cotangent of the forward carry. Carries, inputs, sources and outputs are
    numbered as in ``forward.inputs`` and in ``step.outputs``.

    Args:
        forward: the forward step.
        live: which values have a gradient.
        seeded: which new carries and outputs have a cotangent, from outside or from the step after.
        wanted: which carries, inputs and sources need a cotangent.
        kept: the values that the forward pass keeps; None if it will keep whatever is read here.

    Attributes:
        saved: the values of the forward pass that the backward reads.
        input_for: the input of ``program`` for each of them.
        arrays: the arrays that the rules themselves use. They are the program's first constants;
            the values of ``saved`` that do not vary follow them.
        outputs: the numbers of the outputs whose cotangents are the program's first sequences; the
            values of ``saved`` that vary follow them.
        carries: the numbers of the carries whose cotangents the loop carries.
        inputs: the numbers of the inputs whose cotangents are ``program.stacked``.
        sources: the numbers of the sources whose cotangents are ``program.totals``.
        program: the backward program, not simplified yet.
    """

    def __init__(
        self,
        forward: Forward,
        live: Live,
        seeded: tuple[bool, ...],
        wanted: tuple[bool, ...],
        kept: Sequence[Value] | None = None,
    ):
        step = forward.step
        self._kept = kept
        n, m = len(step.carries), len(step.inputs)
        # The slots of this trace go on after those of the step, so the sweep can read values of the
        # step. Each of these will have to be kept by the forward pass.
        trace = Trace(step.trace)
        seeds, cotangents, named = _sweep_symbols(trace, step, live, seeded, wanted)
        self._forward = forward
        self._builder = Builder(start=forward.builder.last)
        self._values: dict[int, Any] = {}
        self._saved: dict[Value, Value] = {}
        make, symbols = self._builder.new_input, trace.symbols

        def seed(slot: int | None, level: int, name: str) -> Value:
            assert slot is not None
            value = make(symbols[slot].shape, symbols[slot].dtype, level, name)
            self._values[slot] = value
            return value

        # 1. Inputs for what the sweep reads: the arrays of the rules (as constants), the cotangents
        # of outputs (as sequences), and those of carries (as carries).
        self.arrays: list[ndarray] = []
        constants = []
        # A result has to be a value, so a cotangent that is one constant number stays an array.
        results = {g._array.slot for g in cotangents if g is not None}
        numbers = _python_numbers(trace, results)
        self._values.update(numbers)
        for source in trace.sources:
            if source.slot not in numbers:
                array = source.array
                self._values[source.slot] = make(array.shape, array.dtype, CONSTANT)
                constants.append(self._values[source.slot])
                self.arrays.append(read_only(array.copy()))
        self.outputs = [i for i in range(len(seeds) - n) if seeds[n + i] is not None]
        names = numbered("dy", "_t", len(seeds) - n)
        sequences = [seed(seeds[n + i], SEQUENCE, names[i]) for i in self.outputs]
        # A carry that the new carry does not depend on has a cotangent too, from this step alone.
        self.carries = [i for i in range(n) if seeds[i] is not None or cotangents[i] is not None]
        stems, names = state_stems(step), _carry_names(step, "d")
        carries = []
        for i in self.carries:
            if seeds[i] is None:
                old = symbols[step.carries[i]]
                carries.append(make(old.shape, old.dtype, LOOP, names[i]))
            else:
                carries.append(seed(seeds[i], LOOP, names[i]))
        # 2. The operations of the sweep. A value of the forward pass that one of them reads becomes
        # an input too, and is saved.
        for instruction in trace.instructions:
            for slot in instruction.operands:
                if type(slot) is int:
                    self._read(slot)
        translate(self._builder, trace.instructions, symbols, self._values)
        for slot, name in named.items():
            self._set_name(self._values.get(slot), name)
        # 3. What the program returns: the cotangents for the step before, and those of the inputs
        # (one for each step) and of the sources (summed over the steps).
        new_carries = []
        for i, carry in zip(self.carries, carries, strict=True):
            cotangent = cotangents[i]
            if cotangent is not None:
                new_carries.append(self._read(cotangent._array.slot))
                if stems[i]:
                    # The backward of step t ends with the cotangent of the state of step t - 1.
                    self._set_name(new_carries[-1], f"d{stems[i]}_tm1")
            else:  # no gradient flows to the step before: its cotangent there is 0
                new_carries.append(make(carry.shape, carry.dtype, CONSTANT, "0"))
                constants.append(new_carries[-1])
                self.arrays.append(read_only(np.zeros(carry.shape, carry.dtype)))
        self.inputs = [i for i in range(n, n + m) if cotangents[i] is not None]
        self.sources = [i for i in range(n + m, len(cotangents)) if cotangents[i] is not None]

        def values_of(numbers: list[int]) -> list[Value]:
            return [self._read(g._array.slot) for i in numbers if (g := cotangents[i]) is not None]

        stacked, summed = values_of(self.inputs), values_of(self.sources)
        totals = [self._builder.plain(total, (v,), {}, v.shape, v.dtype) for v in summed]
        for i, v in zip((*self.inputs, *self.sources), (*stacked, *totals), strict=True):
            read = forward.inputs[i]
            if read.name is not None:
                self._set_name(v, f"d{read.name}")
        self.saved = list(self._saved)
        self.input_for = self._saved
        fixed = [made for v, made in self._saved.items() if not v.varies]
        moving = [made for v, made in self._saved.items() if v.varies]
        self.program = Program(
            constants=(*constants, *fixed),
            sequences=(*sequences, *moving),
            carries=tuple(carries),
            new_carries=tuple(new_carries),
            stacked=tuple(stacked),
            totals=tuple(totals),
        )

    def _set_name(self, v: Any, name: str) -> None:
        """Name a value that this program computes, if it has no name yet."""
        if type(v) is Value and v.op is not None and v.name is None:
            v.name = name if v.varies else name.removesuffix("_t")

    def _read(self, slot: int) -> Value:
        """The value of a slot; a value of the forward pass becomes an input of this program."""
        if slot not in self._values and slot in self._forward.values:
            self._values[slot] = self._from_forward(self._forward.values[slot])
        return self._values.get(slot)  # type: ignore[return-value]

    def _from_forward(self, v: Value) -> Value:
        """An input for a value of the forward pass, or a view of such an input.

        The root of a chain of views is saved if it is an input of the forward program, if it is
        saved already, or if it is no larger than the view. Else the view itself is saved: the rest
        of the root may not be needed at all.
        """
        chain: list[Value] = []
        root = v
        # A view can be made again from its root without a copy: one block serves all its views.
        while root.op is not None and root.op.is_view(root.keywords) in (True, "maybe"):
            chain.append(root)
            (root,) = root.inputs
        # Without ``kept`` the forward pass will keep what this backward asks for. A backward for
        # fewer cotangents comes later. It must make do with what is kept already: the view or its
        # root.
        if self._kept is None:
            by_root = root in self._saved or math.prod(root.shape) <= math.prod(v.shape)
        else:
            by_root = v not in self._kept
        if root.op is None or by_root:
            v = root
        else:
            chain = []
        if v not in self._saved:
            level = SEQUENCE if v.varies else CONSTANT
            self._saved[v] = self._builder.new_input(v.shape, v.dtype, level, v.name)
            # The bounds of z allow ``common_factor`` in the backward too.
            self._saved[v].range = v.range
        value = self._saved[v]
        for view in reversed(chain):
            assert view.op is not None
            args = tuple(value if type(x) is Value else x for x in view.args)
            value = self._builder.make(view.op, args, view.keywords, view.shape, view.dtype)
        return value


def _sweep_symbols(
    trace: Trace, step: Step, live: Live, seeded: tuple[bool, ...], wanted: tuple[bool, ...]
) -> tuple[list[int | None], list[Any | None], dict[int, str]]:
    """Run the backward sweep on traced values.

    Returns:
        The slots of the seeds (the cotangents that the sweep starts with), the cotangents that it
        computes, and the names of cotangents by slot, for values that have names.
    """
    outputs = [*step.new_carries, *step.outputs]
    n = len(step.carries)
    leaves = [
        step.trace.leaves.get(slot)
        for slot in (*step.carries, *step.inputs, *[s.slot for s in step.trace.sources])
    ]
    seeds: dict[Node, Any] = {}
    slots: list[int | None] = []
    # Record the operations of the sweep, but no graph: the backward is not differentiated here.
    with traced(trace, recording=False):
        for y, has_cotangent in zip(outputs, seeded, strict=True):
            if y.node is None or not has_cotangent:
                slots.append(None)
                continue
            g = trace.new_input(y._array.shape, y._array.dtype, False)
            slots.append(g._array.slot)  # type: ignore[attr-defined]
            # In ``return h, h`` one node is new carry and output: its cotangents add up.
            seeds[y.node] = seeds[y.node] + g if y.node in seeds else g
        # A carry gets a cotangent whether or not it is wanted outside: it hands the gradient on
        # through time. An input or a source gets one only if it is wanted.
        reached = [
            leaf
            if leaf is not None and ((i < n and live.carries[i]) or (i >= n and wanted[i]))
            else None
            for i, leaf in enumerate(leaves)
        ]
        targets = {leaf for leaf in reached if leaf is not None}
        between = _named_between(step.trace, targets)
        # The sweep returns the named nodes in between too, only to name their cotangents.
        wanted_nodes = targets.union(between)
        swept = sweep(seeds, wanted_nodes, differentiable=True) if seeds and targets else {}
        cotangents = [
            trace.value(swept[leaf]) if leaf is not None and leaf in swept else None
            for leaf in reached
        ]
        named = {
            trace.value(swept[node])._array.slot: f"d{node.name}"  # type: ignore[attr-defined]
            for node in between
            if node in swept
        }
    return slots, cotangents, named


def _named_between(trace: Trace, targets: set[Node]) -> list[Node]:
    """The nodes with a name that depend on a node that needs a cotangent."""
    depending: set[Any] = set(targets)
    for instruction in trace.instructions:
        node = instruction.node
        if node is not None and not depending.isdisjoint(node.parents):
            depending.add(node)
    return [x.node for x in trace.instructions if x.node in depending and x.node and x.node.name]


def state_stems(step: Step) -> list[str | None]:
    """The name of each carry without the time: ``c`` if the step returns ``c_t``."""
    names = [x.node.name if x.node is not None else None for x in step.new_carries]
    stems = [name.removesuffix("_t") if name and name.endswith("_t") else None for name in names]
    # Two carries of one name would be told apart by nothing, so then none is named.
    return stems if len(set(stems)) == len(stems) else [None] * len(stems)


def _python_numbers(trace: Trace, results: set[int]) -> dict[int, float]:
    """The 0-d arrays that the rules use and that can be Python numbers, as numbers.

    A Python number computes the same in elementwise operations on arrays of the same dtype.
    """
    sources = [s for s in trace.sources if s.array.ndim == 0 and s.slot not in results]
    found = {s.slot: s.array for s in sources}
    for instruction in trace.instructions:
        slots = [x for x in instruction.operands if type(x) is int]
        # A number computes the same only beside arrays of its own dtype. The rest stay arrays.
        for slot in slots:
            if slot in found:
                dtype = found[slot].dtype
                others = [trace.symbols[x].dtype for x in slots if x not in found]
                alike = others and all(other == dtype for other in others)
                if dtype.char not in "fd" or not alike or not instruction.primitive.elementwise:
                    del found[slot]
    return {slot: float(array) for slot, array in found.items()}


def _carry_names(step: Step, before: str) -> list[str]:
    """The names of the carries with a prefix: their own names, or h, or h0, h1, ..."""
    usual = numbered(f"{before}h", "", len(step.carries))
    return [f"{before}{s}" if s else h for s, h in zip(state_stems(step), usual, strict=True)]


def numbered(stem: str, end: str, count: int) -> list[str]:
    """``x_t``, or ``x0_t``, ``x1_t``, ... if there are several."""
    return [f"{stem}{i if count > 1 else ''}{end}" for i in range(count)]


def _names(sources: Sequence[Source]) -> list[str | None]:
    return [source.label if source.node is None else source.node.name for source in sources]


__all__ = [
    "Backward",
    "Forward",
    "Live",
    "Step",
    "find_live",
    "nothing_live",
    "numbered",
    "state_stems",
]
