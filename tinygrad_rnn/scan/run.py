"""Run a scan: run its plan, record it as one node, and run its backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from .. import ops
from ..backprop import inputs_of, picked_from
from ..graph import (
    Node,
    Primitive,
    Value,
    attach,
    current,
    record,
)
from .arguments import Call, check_arguments, unflatten, valid_steps
from .lookup_plan import BoundPlan, find_plan, trace_twice
from .plan import Plan
from .replay import replay
from .unroll import element, one_step, run_unrolled, time_steps


def run(
    cell: Callable[[Any, Any], Any],
    carry: Any,
    xs: Any,
    reverse: bool,
    lengths: Any,
    unroll: bool,
) -> tuple[Any, Any]:
    """Run ``scan``, with arguments as described there."""
    state = current()
    record_scan = getattr(state.tracing, "record_scan", None)
    if record_scan is not None and not unroll:  # this tracer (ONNX export) records a scan whole
        return record_scan(cell, carry, xs, reverse, lengths)  # type: ignore[no-any-return]
    call = check_arguments(cell, carry, xs, reverse, lengths)
    # Anomalies are found by looking at each operation's numbers. Within another traced step the
    # loop becomes part of that step.
    if (unroll or state.anomaly or state.tracing is not None) and call.steps:
        return run_unrolled(call)
    if unroll or state.tracing is not None:
        return _without_steps(call)
    return _run_plan(call)


def _without_steps(call: Call) -> tuple[Any, Any]:
    """A loop without steps: run the cell once, on zeros, to learn the shapes of its outputs."""
    blank = [attach(np.zeros(x._array.shape[1:], x._array.dtype), None) for x in call.inputs]
    with np.errstate(all="ignore"):
        _, outputs, structure = one_step(call, call.carries, blank, None)
    ys = [attach(np.empty((0, *y._array.shape), y._array.dtype), None) for y in outputs]
    return (
        unflatten(call.carry_structure, iter(call.carries)),
        unflatten(structure, iter(ys)),
    )


def make_plan(
    cell: Callable[[Any, Any], Any], carry: Any, xs: Any, reverse: bool, lengths: Any
) -> Plan:
    """A new plan like the one that :func:`run` would use, with the names of these values."""
    recording = current().recording
    return Plan(
        trace_twice(check_arguments(cell, carry, xs, reverse, lengths), recording), recording
    )


# ── forward ──────────────────────────────────────────────────────────────────────────────


def _run_plan(call: Call) -> tuple[Any, Any]:
    """Run a scan by its plan, and record it as one node if a gradient can flow."""
    recording = current().recording
    bound = find_plan(call, recording)
    plan, structure = bound.plan, bound.structure
    # The loop needs at least one step. The last carry is then the first one.
    if call.steps == 0:
        ys = [attach(np.empty((0, *shape), dtype), None) for shape, dtype in plan.output_avals]
        return (
            unflatten(call.carry_structure, iter(call.carries)),
            unflatten(structure, iter(ys)),
        )
    blocks = [_block(x, call) for x in call.inputs]
    # The mask is one more input of the plan: its last one.
    if call.ends is not None:
        blocks.append(valid_steps(call.ends, call.steps))
    arrays = [x._array for x in call.carries]
    new, stacked, kept = _forward(plan, call, bound.constants, blocks, arrays)
    outputs: tuple[ndarray, ...] = (*new, *stacked)
    if plan.live.any:
        node = _record(bound, call, outputs, kept)
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
    """An input of all steps. After the end of a sequence its last x_t is repeated."""
    if call.ends is None:
        return x._array
    # The step still runs for sequences that have ended. On repeated numbers it raises no new error,
    # and NaN in the padding is never read.
    nearest = np.minimum(np.arange(call.steps)[:, np.newaxis], call.ends)
    block: ndarray = x._array[nearest, np.arange(len(call.ends))]
    return block


def _chunk(plan: Plan) -> int:
    """How many steps to run at a time if nothing is kept for a backward: at least 64.

    Small steps run more at a time, because each run of the loop has a fixed cost. A step counts
    with its inputs and outputs, and with the values that are computed before or after the loop
    for all of its steps.
    """
    program = plan.forward.program
    values = (*program.sequences, *program.before, *program.after, *program.stacked)
    size = sum(math.prod(x.shape) for x in values)
    return max(64, 2**16 // max(size, 1))


def _forward(
    plan: Plan, call: Call, constants: list[ndarray], blocks: list[ndarray], carries: list[ndarray]
) -> tuple[list[ndarray], list[ndarray], list[ndarray]]:
    """Run the forward loop; returns the last carry, the outputs and the kept values."""
    T, reverse = call.steps, call.reverse
    # A backward needs the kept values of all steps, so there is nothing to save.
    chunk = T if plan.live.any else _chunk(plan)
    if chunk >= T:
        new, ys, _, kept = plan.forward(T, reverse, constants, blocks, carries)
        return new, ys, kept
    ys = [np.empty((T, *shape), dtype) for shape, dtype in plan.output_avals]
    starts = range(0, T, chunk)
    for start in reversed(starts) if reverse else starts:
        part = slice(start, start + chunk)
        cut = [block[part] for block in blocks]
        carries, some, _, _ = plan.forward(len(cut[0]), reverse, constants, cut, carries)
        for y, block in zip(ys, some, strict=True):
            y[part] = block
    return carries, ys, []


def _record(
    bound: BoundPlan, call: Call, outputs: tuple[ndarray, ...], kept: list[ndarray]
) -> Node:
    """Record a scan as one node."""
    values = [*call.carries, *call.inputs]
    parents = (*[x.node or x._label for x in values], *bound.parents)
    arrays = (*[x._array for x in values], *bound.constants)
    keywords = {
        "plan": bound.plan,
        "kept": kept,
        "steps": call.steps,
        "reverse": call.reverse,
        "ends": call.ends,
    }
    return record(_scan, parents, arrays, outputs, keywords, current().scope)


# ── backward ─────────────────────────────────────────────────────────────────────────────


class _Cotangents(NamedTuple):
    """The cotangents from a backward loop, by the number of the carry, input or source."""

    carries: dict[int, ndarray]
    stacked: dict[int, ndarray]
    summed: dict[int, ndarray]


def _vjps(node: Node, gs: list[Any], live: list[bool]) -> list[Any]:
    """The cotangents of carries, inputs and closed-over values."""
    keywords = node.keywords
    plan: Plan = keywords["plan"]
    ends = keywords["ends"]
    n, m = len(plan.step.carries), len(plan.step.inputs)
    wanted = list(live)
    if ends is not None:
        wanted.insert(n + m - 1, False)  # the mask is the plan's last input
    every = slice(0, keywords["steps"])
    given = tuple([g is not None for g in gs])
    # Exact: at the step before, the same carries have a cotangent as at this one. So no step
    # computes with zeros in place of a missing cotangent.
    exact = plan.reached(given) == given[:n]
    if exact and all(live[:n]):
        swept = _sweep(node, gs, tuple(wanted), every)
    else:
        # The loop computes with zeros where there is no cotangent, and computes cotangents of the
        # first carry that nobody needs. The unrolled loop would do neither, so do not warn.
        with np.errstate(all="ignore"):
            swept = _sweep(node, gs, tuple(wanted), every)
        if not exact and _has_nan(swept):  # 0 times Inf is NaN: avoid the zeros
            swept = _sweep_in_parts(node, gs, tuple(wanted))
    # The numbers of carries, inputs and sources do not overlap: they count one list.
    cotangents = {**swept.carries, **swept.stacked, **swept.summed}
    if ends is not None:
        cotangents.update({i: _mask_past_ends(g, ends) for i, g in swept.stacked.items()})
    result = [cotangents.get(i) for i in range(len(wanted))]
    if ends is not None:
        del result[n + m - 1]
    return [g if is_live else None for g, is_live in zip(result, live, strict=True)]


def _has_nan(cotangents: _Cotangents) -> bool:
    """Whether there is a NaN. It makes the sum of squares NaN, and NaN does not equal itself."""
    for part in cotangents:
        for g in part.values():
            total = np.vdot(g, g)
            if total != total:
                return True
    return False


def _sweep(
    node: Node, gs: list[Any], wanted: tuple[bool, ...], steps: slice, exactly: bool = False
) -> _Cotangents:
    """Run the backward loop over some steps."""
    keywords, n = node.keywords, len(node.keywords["plan"].step.carries)
    given = tuple([g is not None for g in gs])
    backward = keywords["plan"].backward(given, wanted, exactly)
    blocks: list[ndarray] = keywords["kept"]
    constants = [*backward.arrays, *[blocks[i] for i in backward.fixed]]
    sequences = [np.asarray(gs[n + i]) for i in backward.outputs]
    sequences += [blocks[i] for i in backward.moving]
    if steps.stop - steps.start < keywords["steps"]:
        sequences = [x[steps] for x in sequences]
    carries = [
        np.zeros(node.output[i].shape, node.output[i].dtype) if gs[i] is None else np.asarray(gs[i])
        for i in backward.carries
    ]
    # The backward runs through time in the other direction.
    first, stacked, summed, _ = backward.loop(
        steps.stop - steps.start, not keywords["reverse"], constants, sequences, carries
    )
    return _Cotangents(
        dict(zip(backward.carries, first, strict=True)),
        dict(zip(backward.inputs, stacked, strict=True)),
        dict(zip(backward.sources, summed, strict=True)),
    )


def _sweep_in_parts(node: Node, gs: list[Any], wanted: tuple[bool, ...]) -> _Cotangents:
    """The same without zeros for missing cotangents.

    It runs step by step until the set of carries with a cotangent stays the same, and then runs
    all remaining steps at once.
    """
    plan: Plan = node.keywords["plan"]
    T, reverse, n = node.keywords["steps"], node.keywords["reverse"], len(plan.step.carries)
    total = _Cotangents({}, {}, {})
    done = 0
    while done < T:
        given = tuple(g is not None for g in gs)
        reached = plan.reached(given)
        # Once the set does not change from one step to the next, it never does.
        count = T - done if reached == given[:n] else 1
        # ``done`` counts from where the forward pass ended: from T down, or from 0 up if it was
        # reversed.
        steps = slice(done, done + count) if reverse else slice(T - done - count, T - done)
        part = _sweep(node, gs, wanted, steps, exactly=True)
        gs = [*[part.carries[i] if has else None for i, has in enumerate(reached)], *gs[n:]]
        for i, g in part.stacked.items():
            # Steps at which this input gets no cotangent keep the zeros.
            blank = np.zeros((T, *g.shape[1:]), g.dtype)
            total.stacked.setdefault(i, blank)[steps] = g
        for i, g in part.summed.items():
            total.summed[i] = total.summed[i] + g if i in total.summed else g
        done += count
    total.carries.update({i: g for i, g in enumerate(gs[:n]) if g is not None})
    return total


def _mask_past_ends(g: ndarray, ends: ndarray) -> ndarray:
    """Add the cotangents after the end of a sequence to that of its last x_t, which was repeated.

    They are 0 unless a step mixes the sequences.
    """
    valid = valid_steps(ends, len(g))
    valid = valid.reshape(valid.shape + (1,) * (g.ndim - 2))
    zero = np.zeros((), g.dtype)
    result = np.where(valid, g, zero)
    # The pairs (end, sequence) are all different, so += counts each of them once.
    result[ends, np.arange(len(ends))] += np.where(valid, zero, g).sum(0)
    return result


# ── the same, op by op ───────────────────────────────────────────────────────────────────


def _expanded(node: Node) -> list[Value]:
    """Run and record the scan again op by op, on the node's parents."""
    keywords = node.keywords
    plan: Plan = keywords["plan"]
    T, reverse, ends = keywords["steps"], keywords["reverse"], keywords["ends"]
    step = plan.step
    n = len(step.carries)
    m = len(step.inputs) - (ends is not None)
    values = inputs_of(node)
    carries, inputs = list(values[:n]), values[n : n + m]
    known = dict(zip(plan.sources, values[n + m :], strict=True))
    valid_at = valid_steps(ends, T)
    ys: list[list[Value]] = []
    for t in time_steps(T, reverse):
        slots = dict(known)
        slots.update(zip(step.carries, carries, strict=True))
        slots.update(zip(step.inputs[:m], (element(x, ends, t) for x in inputs), strict=True))
        if valid_at is not None:
            slots[step.inputs[m]] = attach(valid_at[t], None)
        with np.errstate(all="ignore"):  # the loop gave these warnings in the forward pass
            carries, y_t = replay(plan, slots)
        ys.append(y_t)
    if reverse:
        ys.reverse()
    return [*carries, *[ops.stack(y) for y in zip(*ys, strict=True)]]


_scan = Primitive("scan", run, _vjps, expand=_expanded)

__all__ = ["make_plan", "run"]
