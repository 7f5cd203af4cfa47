"""Find the plan for a call of scan, or build it.

1. A step of this library says what it depends on: the key of its dependencies leads to the plan.
2. A user's step runs again, and is compared with the trace of the most likely plan.
3. If it does something else, it is traced, and the key of the trace leads to the plan.
4. A trace without a plan is compiled into a new one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..graph import Node, current, next_number, traced
from .arguments import Call, Dependencies
from .backends import wanted_backend
from .cache import Cache
from .check_trace import TraceChecker
from .inner_derivatives import check_inner_derivatives
from .plan import Plan, Step
from .trace import Trace
from .unroll import check_result, one_step, run_cell
from .variables import with_names

cache = Cache()  # plans are immutable, so all threads share it


def _trace_cell(call: Call, recording: bool) -> tuple[Step, Any]:
    """Trace the cell: run it once on values without numbers. Also returns y_t's structure."""
    trace = Trace()
    with traced(trace, recording=recording):
        carries = []
        for x in call.carries:
            floats = recording and x._array.dtype.kind == "f"
            live = recording and x.node is not None
            # Whether a carry needs a gradient is known only when the whole step is traced: it may
            # get one through another carry. So all floats count as live here; ``find_live``
            # corrects it.
            carries.append(trace.new_input(x._array.shape, x._array.dtype, floats, live))
        inputs = []
        for x in call.inputs:
            live = recording and x.node is not None
            inputs.append(trace.new_input(x._array.shape[1:], x._array.dtype, live, live))
        valid = None
        if call.ends is not None:
            # The mask of the steps that a sequence has is an input like x_t.
            valid = trace.new_input((len(call.ends),), np.dtype(np.bool_), False)
        new, outputs, structure = one_step(call, carries, inputs, valid)
        new, outputs = [trace.value(x) for x in new], [trace.value(y) for y in outputs]
        if trace.asked:
            check_inner_derivatives(trace, call, carries, inputs, new)
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
    # The key so far lists what is read and computed. What is returned belongs to it too.
    trace.key.append(
        (
            structure,
            tuple(x._array.slot for x in (*new, *outputs)),
            tuple(x.node is not None for x in (*new, *outputs)),
            recording,
            wanted_backend(),
        )
    )
    return step, structure


class BoundPlan(NamedTuple):
    """A plan, and the closed-over values that this call runs it with.

    Attributes:
        plan: the compiled step.
        constants: the arrays that the step closes over.
        parents: the node or the name of each of these.
        structure: the structure of y_t.
    """

    plan: Plan
    constants: list[ndarray]
    parents: list[Node | str | None]
    structure: Any


def find_plan(call: Call, recording: bool) -> BoundPlan:
    """The plan of a call; built if there is none yet."""
    dependencies: Dependencies | None = getattr(call.cell, "scan_dependencies", None)
    key = _call_key(call, dependencies, recording)
    likely, order = cache.likely(key)
    plan = likely
    # 1. A step of this library with a plan: nothing runs.
    if plan is not None and dependencies is not None and order is not None:
        values = [dependencies.values[i] for i in order]
        parents = [x.node or x._label for x in values]
        return BoundPlan(plan, [x._array for x in values], parents, plan.structure)
    since = next_number()
    # A step that calls ``tg.grad`` is traced anew at every call.
    if plan is not None and not plan.can_be_checked:
        plan = None
    # 2. The likely plan: run the step and compare.
    trace: Trace | TraceChecker
    if plan is not None:
        checked = _check_cell(call, recording, plan)
        if checked is None:
            plan = None
        else:
            trace = checked
            if not plan.outside_reads.covers(trace, since):
                # Something new is read: run the step twice, to see that the numbers are the same.
                repeated = _check_cell(call, recording, plan)
                _require_same(trace, repeated or trace, repeated is not None)
                plan.outside_reads.remember(trace)
    # 3. and 4. Trace the step, and look for a plan with that trace, or build one.
    if plan is None:
        step, _ = _trace_cell(call, recording)
        trace = step.trace
        # The variables of the cell name its values only when it is traced for a new plan. Until
        # then the cell's code stands for these names.
        trace_key = (_plan_key(step), _code(call.cell))
        plan = cache.find(trace_key)
        if plan is None or not plan.outside_reads.covers(trace, since):
            again = trace_twice(call, recording)
            plan_key = _plan_key(again)
            plan = plan or cache.find(plan_key) or cache.add(plan_key, Plan(again, recording))
            plan.outside_reads.remember(trace)
            cache.add_alias(trace_key, plan_key)
    # The plan holds no arrays: those of this call come from the step that has just run.
    sources = trace.sources
    if plan is not likely or dependencies is not None:
        cache.expect(key, plan, None if dependencies is None else dependencies.order_of(sources))
    parents = [source.node or source.label for source in sources]
    return BoundPlan(plan, [source.array for source in sources], parents, plan.structure)


def _check_cell(call: Call, recording: bool, plan: Plan) -> TraceChecker | None:
    """Run the cell and compare it with the plan's trace; None if it does something else."""
    checker = TraceChecker(plan.expected)
    given = plan.expected.inputs
    n = len(call.carries)
    m = n + len(call.inputs)
    with traced(checker, recording=recording):
        result = run_cell(call, given[:n], given[n:m])
        # The quick way: the very Tensors of the trace came back, so structure and shapes are right.
        same = call.ends is None and plan.expected.is_result(result, call.carry_structure)
        if not same:
            valid = None if call.ends is None else given[m]
            new, outputs, structure = check_result(call, result, given[:n], valid)
            values = map(checker.value, (*new, *outputs))
            same = plan.expected.are_results(list(values), structure)
    return checker if same and checker.finished else None


def _plan_key(step: Step) -> Hashable:
    """Steps with equal keys share one plan: same operations, same names.

    The names matter because pictures show them.
    """
    depth = len(current().scope.path)
    nodes = [step.node for step in step.trace.instructions if step.node is not None]
    # Paths count from the module that calls the scan: the same cell may run in several places.
    return (*step.trace.key, tuple([(node.scope.path[depth:], node.name) for node in nodes]))


def trace_twice(call: Call, recording: bool) -> Step:
    """Trace twice and refuse the cell if the traces differ (random numbers, counters)."""
    first, _ = _trace_cell(call, recording)
    # Only the second run names its values: a trace that leads to a known plan needs no names.
    again, _ = _trace_cell(call._replace(cell=with_names(call.cell)), recording)
    _require_same(first.trace, again.trace, first.trace.key == again.trace.key)
    return again


def _call_key(call: Call, dependencies: Dependencies | None, recording: bool) -> Any:
    """Calls with equal keys are likely to have the same plan."""
    avals: list[Any] = []
    for x in call.carries:
        avals += (x._array.shape, x._array.dtype, x.node is None)
    for x in call.inputs:
        avals += (x._array.shape[1:], x._array.dtype, x.node is None)
    return (
        dependencies.key() if dependencies else _code(call.cell),
        call.carry_structure,
        call.input_structure,
        tuple(avals),
        call.ends is None,
        recording,
        wanted_backend(),
    )


def _code(cell: Any) -> Any:
    return getattr(cell, "__code__", type(cell))


def _require_same(trace: Trace | TraceChecker, again: Trace | TraceChecker, same: bool) -> None:
    """Refuse a step that differed, or read other numbers, when it ran again."""
    if same:
        for first, second in zip(trace.sources, again.sources, strict=True):
            a, b = first.array, second.array
            # Bytes and not ==: NaN is not equal to itself.
            if a is not b and a.tobytes() != b.tobytes():
                same = False
    if not same:
        raise TypeError(
            "scan: the step does something else when it is run again (random numbers? a counter?), "
            "but it is traced once for all time steps; pass unroll=True, or draw random numbers "
            "outside of the step"
        )


__all__ = ["cache", "find_plan", "trace_twice"]
