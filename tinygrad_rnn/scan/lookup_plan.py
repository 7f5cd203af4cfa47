"""Find the plan for a call of scan, or build it.

1. A step of this library says what it depends on: the key of its dependencies leads to the plan.
2. A user's step runs again, and is compared with the trace of the most likely plan.
3. If it does something else, it is traced, and the key of the trace leads to the plan.
4. A trace without a plan is compiled into a new one.

A step that changes its state in Python then runs as often as a loop would run it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy import ndarray

from ..graph import Node, current, next_number, traced
from .arguments import Call, Dependencies
from .backends import wanted_backend
from .cache import Cache
from .check_trace import TraceChecker
from .inner_derivatives import check_inner_derivatives
from .plan import Plan, Step
from .python_state import PythonState
from .trace import Source, Trace, numbers_key
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
        new, outputs, structure = _run_refusing(trace, one_step, call, carries, inputs, valid)
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


_unknown: Any = object()


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
    # 1. A step of this library with a plan: nothing runs.
    if likely is not None and dependencies is not None and order is not None:
        values = [dependencies.values[i] for i in order]
        parents = [x.node or x._label for x in values]
        return BoundPlan(likely, [x._array for x in values], parents, likely.structure)
    since = next_number()
    # Of a step that can change its state in Python: the state after the last call, or None.
    before = cache.states.get(_code(call.cell), _unknown)
    state = None if before is _unknown else PythonState(call.cell)
    settled = state is None or (before is not None and state.is_as(before))
    found = None
    # A step that calls ``tg.grad``, or whose state changes, is traced anew at every call.
    if likely is not None and likely.can_be_checked and settled:
        found = _checked(call, recording, likely, state, since)
    if found is None:
        state = PythonState(call.cell) if state is None else state
        found = _traced(call, recording, likely, state, since)
    if state is not None:
        _run_like_a_loop(call, recording, found, state, since)
    # The plan holds no arrays: those of this call come from the step that has just run.
    plan, sources = found.plan, found.trace.sources
    if plan is not likely or dependencies is not None:
        cache.expect(key, plan, None if dependencies is None else dependencies.order_of(sources))
    parents = [source.node or source.label for source in sources]
    return BoundPlan(plan, [source.array for source in sources], parents, plan.structure)


class _Found(NamedTuple):
    """A plan, the run of the step that led to it, and how often the step has run in this call."""

    plan: Plan
    trace: Trace | TraceChecker
    runs: int


def _checked(
    call: Call, recording: bool, plan: Plan, state: PythonState | None, since: int
) -> _Found | None:
    """Step 2: run the step and compare it with a plan; None if it does something else."""
    before = plan.outside_reads.before()
    trace = _check_cell(call, recording, plan)
    if trace is None:
        if state is not None and not PythonState(call.cell).is_as(state):
            # What this run did is lost, and the next one may do something else.
            cache.keep_state(_code(call.cell), None)
            _refuse_changes()
        return None
    if not plan.outside_reads.covers(trace, since, before):
        # Something new is read: run the step twice, to see that the numbers are the same. A single
        # step reads them only once.
        if call.steps > 1:
            _run_again(call, recording, _Found(plan, trace, 1), since)
        plan.outside_reads.remember(trace)
        return _Found(plan, trace, 2)
    return _Found(plan, trace, 1)


def _traced(
    call: Call, recording: bool, likely: Plan | None, state: PythonState, since: int
) -> _Found:
    """Steps 3 and 4: trace the step, and look for a plan with that trace, or build one."""
    step, _ = _trace_cell(call, recording)
    # The variables of the cell name its values only when it is traced for a new plan. Until then
    # the cell's code stands for these names.
    code, runs = _code(call.cell), 1
    trace_key = (_plan_key(step), code)
    plan = cache.find(trace_key)
    # A number may have changed since the last call: then one plan serves all of its values.
    only_numbers_differ = (
        plan is None
        and likely is not None
        and likely.can_be_checked
        and numbers_key(step.trace) == numbers_key(likely.expected.trace)
    )
    if only_numbers_differ:
        step = _with_numbers(step)
        trace_key = (_plan_key(step), code)
        plan = cache.find(trace_key)
    if plan is None or not plan.outside_reads.covers(step.trace, since, None):
        again = _repeated(call, recording, step, state, since)
        runs = 2
        plan_key = _plan_key(again)
        plan = plan or cache.find(plan_key) or cache.add(plan_key, Plan(again, recording))
        plan.outside_reads.remember(step.trace)
        cache.add_alias(trace_key, plan_key)
    return _Found(plan, step.trace, runs)


def _repeated(call: Call, recording: bool, step: Step, state: PythonState, since: int) -> Step:
    """Trace a step for a second time, and refuse it if the traces differ."""
    # A single step has run as often as in a loop. If its state has changed, another run could show
    # other numbers, which that loop would not see.
    if call.steps == 1 and not PythonState(call.cell).is_as(state):
        return step._replace(trace=copy.copy(step.trace))  # the plan will forget its numbers
    # Only the second run names its values: a trace that leads to a known plan needs no names.
    again, _ = _trace_cell(call._replace(cell=with_names(call.cell)), recording)
    if step.trace.numbers is not None:
        again = _with_numbers(again)
    _require_same(step.trace, again.trace, step.trace.key == again.trace.key, since)
    return again


def _run_again(call: Call, recording: bool, found: _Found, since: int) -> None:
    """Run a step again, and refuse it if it does something else than before."""
    plan, trace, _ = found
    repeated: Trace | TraceChecker | None
    if plan.can_be_checked:
        repeated = _check_cell(call, recording, plan)
        same = repeated is not None
    else:
        step, _ = _trace_cell(call, recording)
        repeated = step.trace
        same = isinstance(trace, Trace) and trace.key == step.trace.key
    _require_same(trace, repeated or trace, same, since)


def _run_like_a_loop(
    call: Call, recording: bool, found: _Found, state: PythonState, since: int
) -> None:
    """Run a step whose state has changed as often as a loop would, and refuse it if that matters.

    Args:
        state: what it was before the first run.
    """
    now = PythonState(call.cell)
    changed = not now.is_as(state)
    if changed or now.can_change:
        cache.keep_state(_code(call.cell), None if changed else now)
    if now.random != state.random and now.decides and call.steps > 1:
        raise TypeError(
            "scan: the step draws random numbers, but it is traced once for all time steps; pass "
            f"unroll=True, or draw random numbers outside of the step{current().scope}"
        )
    if changed:
        for _ in range(found.runs, call.steps):
            _run_again(call, recording, found, since)


def _check_cell(call: Call, recording: bool, plan: Plan) -> TraceChecker | None:
    """Run the cell and compare it with the plan's trace; None if it does something else."""
    checker = TraceChecker(plan.expected)
    given = checker.inputs
    n = len(call.carries)
    m = n + len(call.inputs)
    with traced(checker, recording=recording):
        result = _run_refusing(checker, run_cell, call, given[:n], given[n:m])
        same = call.ends is None and checker.is_result(result, call.carry_structure)
        if not same:
            valid = None if call.ends is None else given[m]
            new, outputs, structure = check_result(call, result, given[:n], valid)
            values = map(checker.value, (*new, *outputs))
            same = checker.are_results(list(values), structure)
    return checker if same and checker.finished else None


def _run_refusing(trace: Trace | TraceChecker, run: Callable[..., Any], *args: Any) -> Any:
    """Run a step, and let a refusal be seen, whatever the step makes of it.

    NumPy turns some into errors of its own: ``a[0] = h`` is a ValueError about sequences. A step
    may also catch one, and go on with something else than the number that it asked for.
    """
    try:
        result = run(*args)
    except Exception as error:
        # The message may have come with another prefix than "scan: ".
        if trace.refused is not None and trace.refused.removeprefix("scan: ") not in str(error):
            raise TypeError(trace.refused) from error
        raise
    if trace.refused is not None:
        raise TypeError(trace.refused)
    return result


def _plan_key(step: Step) -> Hashable:
    """Steps with equal keys share one plan: same operations, same names.

    The names matter because pictures show them.
    """
    depth = len(current().scope.path)
    nodes = [step.node for step in step.trace.instructions if step.node is not None]
    # Paths count from the module that calls the scan: the same cell may run in several places.
    return (*step.trace.key, tuple([(node.scope.path[depth:], node.name) for node in nodes]))


def _with_numbers(step: Step) -> Step:
    return step._replace(trace=step.trace.with_numbers())


def trace_twice(call: Call, recording: bool) -> Step:
    """Trace twice and refuse the cell if the traces differ (random numbers, counters)."""
    since, state = next_number(), PythonState(call.cell)
    first, _ = _trace_cell(call, recording)
    return _repeated(call, recording, first, state, since)


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


def _require_same(
    trace: Trace | TraceChecker, again: Trace | TraceChecker, same: bool, since: int
) -> None:
    """Refuse a step that differed, or read something else, when it ran again."""
    if same:
        pairs = zip(trace.sources, again.sources, strict=True)
        same = all(_same_source(first, second, since) for first, second in pairs)
    if not same:
        _refuse_changes()


def _refuse_changes() -> NoReturn:
    raise TypeError(
        "scan: the step does something else when it is run again (random numbers? a counter?), "
        "but it is traced once for all time steps; pass unroll=True, or draw random numbers "
        "outside of the step"
    )


def _same_source(x: Source, y: Source, since: int) -> bool:
    """Whether two runs of a step read the same: the same numbers at the same place of the graph."""
    # What the step itself computed with a closed-over value gets another node in each run.
    if x.node is not y.node and any(s.node is None or s.node.number < since for s in (x, y)):
        return False
    # Bytes and not ==: NaN is not equal to itself.
    return x.array is y.array or x.array.tobytes() == y.array.tobytes()


__all__ = ["cache", "find_plan", "trace_twice"]
