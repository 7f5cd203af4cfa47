"""Why a gradient vanishes or explodes: the factors of the Jacobian dh_t/dh_{t-1}, step by step.

Each step has three kinds of factors: the weights that multiply the state, with their singular
values; the nonlinearities, with their slopes; and the gates. One sentence sums them up for the
stretch of steps that loses or gains most.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from ..graph import Node, Primitive
from ..ops import primitives
from .loops import norm
from .structure import Trajectory, in_one_line, stem

if TYPE_CHECKING:
    from .flow import Flow, State

_linear, _matmul = primitives.linear, primitives.matmul
_multiply, _sigmoid = primitives.multiply, primitives.sigmoid

#: A unit is saturated where its slope is below this part of the function's largest slope.
SATURATED = 0.1
#: A step that changes the gradient by less than this factor loses or gains little.
_MUCH = 1.1


@dataclass(frozen=True)
class Slope:
    """The effect of a nonlinearity on the gradient in one step.

    Attributes:
        name: the function's name; ``sigmoid (f)`` for a gate or candidate with its own name.
        mean: the mean of |phi'| over units and batch.
        saturated: the number of saturated units, averaged over the batch. In a saturated unit
            |phi'| is below a tenth of the function's largest slope.
        units: the number of units.
        passed: |phi' g| / |g| for the loss's gradient g at its output; NaN if g is 0.
    """

    name: str
    mean: float
    saturated: float
    units: int
    passed: float


@dataclass(frozen=True)
class JacobianParts:
    """The factors of dh_t/dh_{t-1}.

    Attributes:
        t: the time step.
        passed: the norm of the gradient that went through it to h_{t-1}, divided by |dL/dh_t|.
        weights: for each matrix that multiplies h_{t-1}, by name, its singular values, the
            largest first: (min(M, N),) for a matrix (M, N).
        slopes: the nonlinearities on the path from h_{t-1} to h_t, in order.
        gates: the mean of each gate of the step, by name. The state's own gate, which multiplies
            h_{t-1}, comes first.
    """

    t: int
    passed: float
    weights: dict[str, ndarray] = field(default_factory=dict)
    slopes: list[Slope] = field(default_factory=list)
    gates: dict[str, float] = field(default_factory=dict)


def jacobian_parts(
    flow: Flow, state: State, wanted: Collection[int] | None = None
) -> list[JacobianParts]:
    """The factors of every step except the first, or of some steps, in the loop's order."""
    trajectory = state.trajectory
    values: dict[Node, ndarray] = {}
    result = []
    for after, passed in _passed(state).items():
        if wanted is not None and after not in wanted:
            continue
        parts = JacobianParts(after, passed)
        path = _path(flow, trajectory, after)
        members = flow.structure.members[flow.structure.time_step[trajectory.nodes[after]]]
        _add_gates(parts, flow, trajectory, members)
        for node in path:
            weight = _weight(node, path)
            if weight is not None:
                if weight not in values:
                    values[weight] = _singular_values(weight.output)
                parts.weights[_name(flow, weight)] = values[weight]
            slope = _slope(flow, node)
            if slope is not None:
                parts.slopes.append(slope)
        result.append(parts)
    return result


def _passed(state: State) -> dict[int, float]:
    """For each step the part of the gradient that passes through it to the step before."""
    parts = {}
    for before, after in itertools.pairwise(state.trajectory.steps):
        size = float(state.norms[after])
        parts[after] = float(state.sent["next"][before]) / size if size > 0 else math.nan
    return parts


def _path(flow: Flow, trajectory: Trajectory, t: int) -> dict[Node, None]:
    """The operations of step t between the states of steps t - 1 and t."""
    structure, end = flow.structure, trajectory.nodes[t]
    members = structure.members[structure.time_step[end]]
    after: set[Node] = set()
    for node in members:
        if any(
            structure.entries.get((node, i)) is trajectory for i in range(len(node.parents))
        ) or any(parent in after for parent in node.parents):
            after.add(node)
    before = {end}
    for node in reversed(members):
        if node in before:
            before |= {x for x in node.parents if isinstance(x, Node) and x in after}
    return dict.fromkeys(node for node in members if node in after and node in before)


def _weight(node: Node, path: dict[Node, None]) -> Node | None:
    """The matrix, or the number, by which an operation multiplies the state."""
    if node.primitive not in (_linear, _matmul, _multiply):
        return None
    for parent in node.parents[:2]:
        if not isinstance(parent, Node) or parent in path:
            continue
        while len(parent.parents) == 1 and isinstance(parent.parents[0], Node):  # W.T
            parent = parent.parents[0]
        number = parent.output.size == 1
        if parent.is_leaf and (
            number or (node.primitive is not _multiply and parent.output.ndim == 2)
        ):
            return parent
    return None


def _name(flow: Flow, leaf: Node) -> str:
    names = (name for name, node in flow.structure.weights.items() if node is leaf)
    return next(names, leaf.name or "a weight")


def _singular_values(matrix: ndarray) -> ndarray:
    if matrix.size == 1:
        return abs(matrix.reshape(1))
    if not np.isfinite(matrix).all():
        return np.full(min(matrix.shape), math.nan)
    values: ndarray = np.linalg.svd(matrix, compute_uv=False)
    return values


def _slope(flow: Flow, node: Node) -> Slope | None:
    """The slope of a nonlinearity: a curved elementwise function. None for any other node."""
    op = node.primitive
    if op is None or not _is_curved(op) or len(node.parents) != 1 or not node.output.ndim:
        return None
    y, x = node.output, node.arrays[0]
    with np.errstate(all="ignore"):
        slope = np.abs(np.asarray(op.vjps[0](np.ones_like(y), y, x, **node.keywords)))
    units = y.shape[-1]
    g = flow.cotangents.get(node)
    size = norm([g]) if g is not None else 0.0
    name = op.name if node.name is None else f"{op.name} ({stem(node.name)})"
    return Slope(
        name,
        float(slope.mean()) if slope.size else math.nan,
        float((slope < SATURATED * _steepest(op)).mean() * units) if slope.size else 0.0,
        units,
        norm([g * slope]) / size if g is not None and size > 0 else math.nan,
    )


def _is_curved(op: Primitive) -> bool:
    return op.elementwise and len(op.vjps) == 1 and op.vjps[0] is not None and op.linear == ()


@functools.lru_cache(256)
def _steepest(op: Primitive) -> float:
    """The largest slope of a function, between -8 and 8."""
    x = np.linspace(-8, 8, 1601)
    with np.errstate(all="ignore"):
        y = op.forward(x)
        slope = np.abs(np.asarray(op.vjps[0](np.ones_like(y), y, x)))
    return float(slope[np.isfinite(slope)].max(initial=0.0))


def _add_gates(
    parts: JacobianParts, flow: Flow, trajectory: Trajectory, members: Sequence[Node]
) -> None:
    own = trajectory.gates.get(parts.t)
    if own is not None:
        parts.gates[_gate_name(own)] = float(own.output.mean())
    gates = 0
    for node in members:
        if node.primitive is _sigmoid:
            gates += 1
            if node is not own and any(
                n.primitive is _multiply for n, _ in flow.structure.users[node]
            ):
                name = stem(node.name) if node.name else f"gate {gates}"
                parts.gates.setdefault(name, float(node.output.mean()))


def _gate_name(node: Node) -> str:
    return in_one_line(stem(node.name)) if node.name else "its gate"


# ── one sentence ─────────────────────────────────────────────────────────────────────────


def reason(flow: Flow) -> str:
    """One sentence: what makes the gradient smaller or larger on its way back; "" without states.

    It is about the state whose gradient changes most, and about the stretch of steps in which it
    does.
    """
    best: tuple[float, State, dict[int, float]] | None = None
    for state in _candidates(flow):
        passed = {
            t: x for t, x in _passed(state).items() if math.isfinite(x) and t not in state.cuts
        }
        if passed:
            change = abs(sum(map(_log, passed.values())))
            if best is None or change > best[0]:
                best = change, state, passed
    if best is None:
        return ""
    _, state, passed = best
    return _sentence(flow, state, _stretch(passed))


def _candidates(flow: Flow) -> list[State]:
    """The states of each loop that have a gate; all its states if none has one."""
    states = [state for state in flow.states.values() if state.kind == "state"]
    gated = {state.trajectory.loop for state in states if state.gates is not None}
    return [s for s in states if s.gates is not None or s.trajectory.loop not in gated]


def _sentence(flow: Flow, state: State, stretch: dict[int, float]) -> str:
    passed = _geometric(list(stretch.values()))
    where = _where(state, list(stretch))
    own = _own_gate(state, list(stretch))
    its = f"the gradient of {in_one_line(state.name)}"
    if own is not None:
        gate, mean = own
        does = _does(passed, its)
        return f"{where}, {gate} is {mean:.2g} on average: a step {does}."
    what = its if len(_candidates(flow)) > 1 else "the gradient"
    parts = jacobian_parts(flow, state, stretch)
    of_weights, of_slopes = _of_weights(parts), _of_slopes(parts)
    if not of_weights or not of_slopes:
        why = of_weights or of_slopes
        return f"{where}, {why}{': ' if why else ''}a step {_does(passed, what)}."
    by_slopes = _geometric([_product([s.passed for s in p.slopes]) for p in parts])
    by_weights = passed / by_slopes if by_slopes > 0 else math.nan
    causes = [(by_slopes, of_slopes), (by_weights, of_weights)]
    if (by_weights < by_slopes) == (passed < 1):  # the larger effect comes first
        causes.reverse()
    (most, first), (least, second) = causes
    return f"{where}, {first} and {_does(most, what)} a step; {second} and {_does(least, 'it')}."


def _where(state: State, stretch: list[int]) -> str:
    steps = state.trajectory.steps
    before = steps[steps.index(stretch[0]) - 1]
    direction = "on" if steps[0] > steps[-1] else "back"
    until = "" if before == steps[0] else f" to step {before}"
    return f"From step {stretch[-1]} {direction}{until}"


def _stretch(passed: dict[int, float]) -> dict[int, float]:
    """The stretch of steps that loses or gains most; all steps if no stretch changes much.

    This is the contiguous run with the largest sum of logarithms (Kadane's algorithm), once for
    losses and once for gains. Each step pays log(_MUCH), so that only steps which change more
    than this factor lengthen the stretch.
    """
    best, place = math.log(_MUCH), (0, len(passed))
    for sign in (-1, 1):
        total, start = 0.0, 0
        for k, x in enumerate(passed.values()):
            if total <= 0:
                total, start = 0.0, k
            total += sign * _log(x) - math.log(_MUCH)
            if total > best:
                best, place = total, (start, k + 1)
    return dict(itertools.islice(passed.items(), *place))


def _own_gate(state: State, stretch: list[int]) -> tuple[str, float] | None:
    gates = state.trajectory.gates
    if not all(t in gates for t in stretch):
        return None
    name = _gate_name(gates[stretch[-1]])
    name = f"the gate {name}" if name != "its gate" else f"the gate on {in_one_line(state.name)}"
    return name, float(np.mean([gates[t].output.mean() for t in stretch]))


def _does(passed: float, what: str) -> str:
    """``passes 0.08 of the gradient``, or ``multiplies the gradient by 1.8``."""
    return (
        f"multiplies {what} by {passed:.2g}" if passed > 1.05 else f"passes {passed:.2g} of {what}"
    )


def _of_weights(stretch: list[JacobianParts]) -> str:
    names = list(dict.fromkeys(name for p in stretch for name in p.weights))
    if not names:
        return ""
    values = [values for p in stretch for values in p.weights.values()]
    verb = "has" if len(names) == 1 else "have"
    of = "the size" if max(map(len, values)) == 1 else "singular values up to"
    what = " and ".join(map(in_one_line, names))
    return f"{what} {verb} {of} {max(float(v[0]) for v in values):.2g}"


def _of_slopes(stretch: list[JacobianParts]) -> str:
    slopes = [slope for p in stretch for slope in p.slopes]
    if not slopes:
        return ""
    names = list(dict.fromkeys(slope.name.split(" (")[0] for slope in slopes))
    units = slopes[0].units
    saturated = round(float(np.mean([s.saturated for s in slopes])))
    what = " and ".join(names)
    if len(names) == 1 and saturated:
        return f"{what} is saturated in {saturated} of {units} unit{'s' * (units != 1)}"
    mean = float(np.mean([s.mean for s in slopes]))
    verb = "has" if len(names) == 1 else "have"
    return f"{what} {verb} a mean slope of {mean:.2g}"


def _geometric(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return math.nan
    return math.exp(sum(map(_log, finite)) / len(finite))


def _log(x: float) -> float:
    return math.log(max(x, 1e-300))


def _product(values: Sequence[float]) -> float:
    return math.prod(v for v in values if math.isfinite(v))


__all__ = ["SATURATED", "JacobianParts", "Slope", "jacobian_parts", "reason"]
