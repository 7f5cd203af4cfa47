"""Running a scan: trace the step, find the plan, replay it, record it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .. import graph, ops
from ..backprop import inputs_of, picked_from
from ..graph import (
    Node,
    Primitive,
    Scope,
    Value,
    attach,
    current,
    in_scope,
    next_number,
    record,
    traced,
)
from .cache import Cache
from .call import Call, Closed, as_value, flatten, looked_at, shown, unflatten, within
from .follow import Follower
from .plan import Plan, Step
from .trace import Literal, Source, Trace, as_source


def run(
    cell: Callable[[Any, Any], Any],
    carry: Any,
    xs: Any,
    reverse: bool,
    lengths: Any,
    unroll: bool,
) -> tuple[Any, Any]:
    call = looked_at(cell, carry, xs, reverse, lengths)
    state = current()
    if (unroll or state.anomaly or state.tracing is not None) and call.steps:
        return _unrolled(call)
    return _replayed(call)


def planned(
    cell: Callable[[Any, Any], Any], carry: Any, xs: Any, reverse: bool, lengths: Any
) -> Plan:
    """The plan that :func:`run` would replay, made anew: in the names of these very values."""
    recording = current().recording
    return Plan(_traced_twice(looked_at(cell, carry, xs, reverse, lengths), recording), recording)


# ── one step ─────────────────────────────────────────────────────────────────────────────


def _one_step(
    call: Call, carries: list[Value], inputs: list[Value], valid: Value | None
) -> tuple[list[Any], list[Any], Any]:
    """Run the cell; returns the new carries, the outputs and the structure of the latter."""
    result = call.cell(
        unflatten(call.carry_structure, iter(carries)),
        unflatten(call.input_structure, iter(inputs)),
    )
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(
            f"scan: expected the cell to return (carry, y_t), got {type(result).__name__}"
            f"{current().scope}"
        )
    new: list[Any] = []
    if flatten(result[0], new) != call.carry_structure:
        raise ValueError(
            "scan: the cell returned a carry of another structure than it was given: expected "
            f"{shown(call.carry_structure)}, got {shown(flatten(result[0], []))}"
            f"{current().scope}"
        )
    outputs: list[Any] = []
    structure = flatten(result[1], outputs)
    new = [as_value(x, "scan: carry") for x in new]
    outputs = [as_value(y, "scan: y_t") for y in outputs]
    for i, (before, after) in enumerate(zip(carries, new, strict=True)):
        if before._array.shape != after._array.shape or before._array.dtype != after._array.dtype:
            kind = ValueError if before._array.shape != after._array.shape else TypeError
            raise kind(
                f"scan: the cell turned part {i} of the carry from {_aval(before)} into "
                f"{_aval(after)}; it must keep shape and dtype{current().scope}"
            )
    if valid is not None:
        N = len(valid._array)
        for i, y in enumerate(outputs):
            if y._array.ndim == 0 or len(y._array) != N:
                raise ValueError(
                    f"scan: with lengths ({N},), axis 0 of every y_t must be the batch; part {i} "
                    f"of it is {_aval(y)}{current().scope}"
                )
        new = [ops.where(_over(valid, x), x, h) for x, h in zip(new, carries, strict=True)]
        outputs = [
            ops.where(_over(valid, y), y, False if y._array.dtype == np.bool_ else 0)
            for y in outputs
        ]
    return new, outputs, structure


def _aval(x: Value) -> str:
    return f"{x._array.dtype} {x._array.shape}"


def _over(valid: Value, x: Value) -> Value:
    """The mask (N,) against x (N, ...)."""
    return ops.reshape(valid, (len(valid._array),) + (1,) * (x._array.ndim - 1))  # type: ignore[no-any-return]


# ── step by step ─────────────────────────────────────────────────────────────────────────


def _unrolled(call: Call) -> tuple[Any, Any]:
    """The loop as it is written, every operation recorded."""
    carries = call.carries
    outputs: list[list[Any]] = []
    structure: Any = None
    valid_at = within(call.ends, call.steps)
    for t in _times(call.steps, call.reverse):
        masked = valid_at is not None and not valid_at[t].all()
        inputs = [_element(x, call.ends if masked else None, t) for x in call.inputs]
        valid = attach(valid_at[t], None) if masked else None
        carries, ys, structure = _one_step(call, carries, inputs, valid)
        outputs.append(ys)
    if call.reverse:
        outputs.reverse()
    stacked = [ops.stack(ys) for ys in zip(*outputs, strict=True)]
    return (
        unflatten(call.carry_structure, iter(carries)),
        unflatten(structure, iter(stacked)),
    )


def _times(steps: int, reverse: bool) -> Iterator[int]:
    """The steps in their order, each of them tagging what is computed in it."""
    for t, _ in graph.steps(range(steps), reverse=reverse):
        yield t


def _element(x: Value, ends: ndarray | None, t: int) -> Any:
    """x_t; of a sequence that is over its last one again, which the step has proved to take."""
    if ends is None:
        x_t = ops.getitem(x, t)
    else:
        x_t = ops.getitem(x, (np.minimum(t, ends), np.arange(len(ends))))
    name = x._label if x.node is None else x.node.name
    if name is not None:
        if x_t.node is None:
            x_t._label = f"{name}[{t}]"
        else:
            x_t.node.name = f"{name}[{t}]"
    return x_t


# ── traced ───────────────────────────────────────────────────────────────────────────────


def _traced(call: Call, recording: bool, trace: Trace) -> tuple[Step, Any]:
    """Run the cell once on values without numbers; also returns the structure of y_t."""
    with traced(trace.apply, recording=recording):
        carries = []
        for x in call.carries:
            floats = recording and x._array.dtype.kind == "f"
            live = recording and x.node is not None
            carries.append(trace.given(x._array.shape, x._array.dtype, floats, live))
        inputs = []
        for x in call.inputs:
            live = recording and x.node is not None
            inputs.append(trace.given(x._array.shape[1:], x._array.dtype, live, live))
        valid = None
        if call.ends is not None:
            valid = trace.given((len(call.ends),), np.dtype(np.bool_), False)
        new, outputs, structure = _one_step(call, carries, inputs, valid)
        new, outputs = [trace.value(x) for x in new], [trace.value(y) for y in outputs]
    slots = [x._array.slot for x in inputs]  # type: ignore[attr-defined]
    if valid is not None:
        slots.append(valid._array.slot)  # type: ignore[attr-defined]
    step = Step(
        trace,
        tuple(x._array.slot for x in carries),  # type: ignore[attr-defined]
        tuple(slots),
        tuple(new),
        tuple(outputs),
    )
    trace.key.append(
        (
            structure,
            tuple(x._array.slot for x in (*new, *outputs)),
            tuple(x.node is not None for x in (*new, *outputs)),
            recording,
        )
    )
    return step, structure


cache = Cache()


def _planned(call: Call, recording: bool) -> tuple[Plan, Sequence[Source], Any]:
    """The plan of a call, built where there is none yet; what it reads from outside; y_t's
    structure."""
    since = next_number()
    kind = _kind(call, recording)
    plan, order = cache.likely(kind)
    closed: Closed | None = getattr(call.cell, "closed", None)
    if plan is not None and closed is not None and order is not None:
        slots = zip(plan.sources, order, strict=True)
        return plan, [as_source(slot, closed.values[i]) for slot, i in slots], plan.ending[0]
    if plan is not None:
        follower = Follower(plan.expected, plan.symbols)
        step, structure = _traced(call, recording, follower)
        if not follower.finished or follower.key[-1] != plan.ending:
            plan = None
    if plan is None:
        step, structure = _traced(call, recording, Trace())
        plan = cache.find(tuple(step.trace.key))
    sources = step.trace.sources
    if plan is None or not plan.seen_before(sources, since):
        again = _traced_twice(call, recording)
        if plan is None:
            plan = cache.add(tuple(again.trace.key), Plan(again, recording))
        plan.remember(sources)
    cache.expect(kind, plan, None if closed is None else closed.order_of(sources))
    return plan, sources, structure


def _traced_twice(call: Call, recording: bool) -> Step:
    """The step; whatever it makes of closed-over values or of nothing has to be the same again."""
    first, _ = _traced(call, recording, Trace())
    again, _ = _traced(call, recording, Trace())
    _require_same(first, again, first.trace.key == again.trace.key)
    return again


def _kind(call: Call, recording: bool) -> Any:
    """What calls have in common that are likely to have one plan."""
    closed: Closed | None = getattr(call.cell, "closed", None)
    code = getattr(call.cell, "__code__", type(call.cell))
    values = (*call.carries, *call.inputs)
    shapes = [x._array.shape for x in call.carries] + [x._array.shape[1:] for x in call.inputs]
    return (
        code if closed is None else closed.kind(),
        call.carry_structure,
        call.input_structure,
        tuple(shapes),
        tuple([(x._array.dtype, x.node is not None) for x in values]),
        call.ends is None,
        recording,
    )


def _require_same(step: Step, again: Step, same: bool) -> None:
    if same:
        for first, second in zip(step.trace.sources, again.trace.sources, strict=True):
            a, b = first.array, second.array
            if a is not b and a.tobytes() != b.tobytes():
                same = False
    if not same:
        raise TypeError(
            "scan: the step does something else when it is run again (random numbers? a counter?), "
            "but it is traced once for all time steps; pass unroll=True, or draw random numbers "
            "outside of the step"
        )


# ── replayed ─────────────────────────────────────────────────────────────────────────────


def _replayed(call: Call) -> tuple[Any, Any]:
    recording = current().recording
    plan, sources, structure = _planned(call, recording)
    if call.steps == 0:
        ys = [attach(np.empty((0, *shape), dtype), None) for shape, dtype in plan.output_avals]
        return (
            unflatten(call.carry_structure, iter(call.carries)),
            unflatten(structure, iter(ys)),
        )
    blocks = [_block(x, call) for x in call.inputs]
    if call.ends is not None:
        blocks.append(within(call.ends, call.steps))
    arrays = [x._array for x in call.carries]
    constants = [source.array for source in sources]
    new, stacked, kept = _forward(plan, call, constants, blocks, arrays)
    outputs: tuple[ndarray, ...] = (*new, *stacked)
    if plan.live.any:
        node = _recorded(plan, call, sources, outputs, blocks, kept)
        values = [
            picked_from(node, i) if live else attach(output, None)
            for i, (output, live) in enumerate(zip(outputs, plan.live.outputs, strict=True))
        ]
    else:
        values = [attach(output, None) for output in outputs]
    n = len(arrays)
    return (
        unflatten(call.carry_structure, iter(values[:n])),
        unflatten(structure, iter(values[n:])),
    )


def _block(x: Value, call: Call) -> ndarray:
    """An input of all steps; past the end of a sequence its last x_t again."""
    if call.ends is None:
        return x._array
    nearest = np.minimum(np.arange(call.steps)[:, np.newaxis], call.ends)
    block: ndarray = x._array[nearest, np.arange(len(call.ends))]
    return block


_chunk = 64  # steps at a time, where nothing is kept of them


def _forward(
    plan: Plan, call: Call, constants: list[ndarray], blocks: list[ndarray], carries: list[ndarray]
) -> tuple[list[ndarray], list[ndarray], list[ndarray]]:
    T, reverse = call.steps, call.reverse
    if plan.live.any or _chunk >= T:
        new, ys, _, kept = plan.forward(T, reverse, constants, blocks, carries)
        return new, ys, kept
    ys = [np.empty((T, *shape), dtype) for shape, dtype in plan.output_avals]
    starts = range(0, T, _chunk)
    for start in reversed(starts) if reverse else starts:
        part = slice(start, start + _chunk)
        cut = [block[part] for block in blocks]
        carries, some, _, _ = plan.forward(len(cut[0]), reverse, constants, cut, carries)
        for y, block in zip(ys, some, strict=True):
            y[part] = block
    return carries, ys, []


def _recorded(
    plan: Plan,
    call: Call,
    sources: Sequence[Source],
    outputs: tuple[ndarray, ...],
    blocks: list[ndarray],
    kept: list[ndarray],
) -> Node:
    values = [*call.carries, *call.inputs]
    parents = [x.node if x.node is not None else x._label for x in values]
    arrays = [x._array for x in values]
    for source in sources:
        parents.append(source.node if source.node is not None else source.label)
        arrays.append(source.array)
    keywords = {
        "plan": plan,
        "kept": kept,
        "steps": call.steps,
        "reverse": call.reverse,
        "ends": call.ends,
    }
    return record(_scan, tuple(parents), tuple(arrays), outputs, keywords, current().scope)


def _vjps(node: Node, gs: list[Any], live: list[bool]) -> list[Any]:
    """The cotangents of carries, inputs and closed-over values."""
    keywords = node.keywords
    plan: Plan = keywords["plan"]
    ends, kept, T = keywords["ends"], keywords["kept"], keywords["steps"]
    n, m = len(plan.step.carries), len(plan.step.inputs)
    wanted = list(live)
    if ends is not None:
        wanted.insert(n + m - 1, False)  # the mask
    backward = plan.backward(tuple(g is not None for g in gs), tuple(wanted))
    constants = [*backward.constants, *[kept[i] for i in backward.fixed]]
    sequences = [np.asarray(gs[n + i]) for i in backward.outputs]
    sequences += [kept[i] for i in backward.moving]
    carries = [
        np.zeros(node.output[i].shape, node.output[i].dtype) if gs[i] is None else np.asarray(gs[i])
        for i in backward.carries
    ]
    first, stacked, summed, _ = backward.loop(
        T, not keywords["reverse"], constants, sequences, carries
    )
    result: list[Any] = [None] * (n + m + len(plan.sources))
    for i, g in zip(backward.carries, first, strict=True):
        result[i] = g
    for i, g in zip(backward.inputs, stacked, strict=True):
        result[i] = g if ends is None else _within_ends(g, ends)
    for i, g in zip(backward.sources, summed, strict=True):
        result[i] = g
    if ends is not None:
        del result[n + m - 1]
    return [g if is_live else None for g, is_live in zip(result, live, strict=True)]


def _within_ends(g: ndarray, ends: ndarray) -> ndarray:
    """What was read in the place of padding gets no gradient."""
    valid = within(ends, len(g))
    return np.where(valid.reshape(valid.shape + (1,) * (g.ndim - 2)), g, np.zeros((), g.dtype))


def _expanded(node: Node) -> list[Value]:
    """The scan again, op by op, at the places of the node's parents."""
    keywords = node.keywords
    plan: Plan = keywords["plan"]
    T, reverse, ends = keywords["steps"], keywords["reverse"], keywords["ends"]
    step = plan.step
    n = len(step.carries)
    m = len(step.inputs) - (ends is not None)
    values = inputs_of(node)
    carries, inputs = list(values[:n]), values[n : n + m]
    known = dict(zip(plan.sources, values[n + m :], strict=True))
    valid_at = within(ends, T)
    ys: list[list[Value]] = []
    for t in _times(T, reverse):
        now = current().scope
        slots = dict(known)
        slots.update(zip(step.carries, carries, strict=True))
        slots.update(zip(step.inputs[:m], (_element(x, ends, t) for x in inputs), strict=True))
        if valid_at is not None:
            slots[step.inputs[m]] = attach(valid_at[t], None)
        for instruction in plan.instructions:
            operands = [
                operand.value
                if isinstance(operand, Literal)
                else slots[operand]
                if through or slots[operand].node is None
                else attach(slots[operand]._array, None)
                for operand, through in zip(instruction.operands, instruction.parents, strict=True)
            ]
            inner = instruction.node
            place = now
            if inner is not None:
                path = (*now.path, *inner.scope.path[plan.depth[0] :])
                place = Scope(path, (*now.steps, *inner.scope.steps[plan.depth[1] :]), now.sweep)
            with in_scope(place):
                made = graph.apply(instruction.primitive, operands, instruction.keywords)
            if inner is not None and inner.name is not None and made.node is not None:
                made.node.name = inner.name
            slots[instruction.slot] = made
        carries = [_at(slots, x) for x in step.new_carries]
        ys.append([_at(slots, y) for y in step.outputs])
    if reverse:
        ys.reverse()
    return [*carries, *[ops.stack(y) for y in zip(*ys, strict=True)]]


def _at(slots: dict[int, Value], x: Any) -> Value:
    """The value of a step that x stands for; without its place in the graph where x has none."""
    made = slots[x._array.slot]
    return made if x.node is not None or made.node is None else attach(made._array, None)


_scan = Primitive("scan", run, _vjps, expand=_expanded)

__all__ = ["planned", "run"]
