"""Hints about a wrong gradient along time, in the words of BPTT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from ..graph import Node, Value, ancestors


def hint_in_time(
    outputs: Sequence[Value],
    analytic: ndarray,
    numeric: ndarray,
    wrong: ndarray,
    shape: tuple[int, ...],
) -> str | None:
    """Which time steps of an input are wrong, and where the graph is cut; None without time steps.

    Args:
        outputs: the function's outputs; their graph has the time steps.
        analytic, numeric: (m, n), the gradient from the rules, and from differences.
        wrong: (m, n), the derivatives that are wrong.
        shape: the input's shape. If its first axis is as long as the loop, it is the time axis.
    """
    nodes = ancestors([y.node for y in outputs if y.node is not None])
    steps = sorted({node.scope.step for node in nodes if node.scope.step is not None})
    if not steps:
        return None
    hints = []
    T = steps[-1] + 1
    if len(shape) > 1 and shape[0] == T and T > 1:
        # (m, n) -> (m, T, n / T): is any derivative of time step t wrong?
        by_step: ndarray = np.any(wrong.reshape(len(wrong), T, -1), axis=(0, 2))
        zero = np.all(analytic.reshape(len(analytic), T, -1) == 0, axis=(0, 2))
        right = np.flatnonzero(~by_step)
        if right.size and by_step.any():
            what = "zero" if zero[by_step].all() else "wrong"
            hints.append(
                f"the gradient is right at {_listed(right)} and {what} at "
                f"{_listed(np.flatnonzero(by_step))}"
            )
    cut = _cuts(nodes, steps)
    if cut:
        hints.append(
            f"no gradient goes back from time step {cut[0]} to the step before it: the state "
            "enters there as a constant (detach(), .data, .numpy() or no_grad() in the loop?)"
        )
    elif hints:
        hints.append("the gradient that comes back from the step after is lost or wrong")
    elif len(shape) > 1 and shape[0] == T and T > 2:
        ratios = _ratios(analytic, numeric, T)
        if ratios is not None:
            hints.append(ratios)
    return "; ".join(hints) or None


def _cuts(nodes: Sequence[Node], steps: Sequence[int]) -> list[int]:
    """The time steps that are not connected to the step before, although there is one."""
    # A step is connected if a node of it has a parent in another step.
    entered: set[int] = set()
    for node in nodes:
        step = node.scope.step
        if step is None:
            continue
        for parent in node.parents:
            if isinstance(parent, Node) and parent.scope.step not in (None, step):
                entered.add(step)
    # No step is connected to another: a loop without a state looks like one that is cut everywhere.
    if not entered and len(steps) > 1:
        return []
    first = steps[0]
    return [t for t in steps if t > first and t not in entered] or ([first] if first > 0 else [])


def _ratios(analytic: ndarray, numeric: ndarray, T: int) -> str | None:
    """The ratio at the last time step, and the factor by which each step back changes it."""
    a, n = (x.reshape(len(x), T, -1) for x in (analytic, numeric))
    with np.errstate(all="ignore"):
        # For each step the factor that fits best (least squares), and how it changes from step to
        # step. A mistake within each step acts once more with every step back, so this change is
        # constant.
        ratios = np.sum(a * n, axis=(0, 2)) / np.sum(n * n, axis=(0, 2))
        factors = np.log(ratios[:-1] / ratios[1:])
    if not np.isfinite(factors).all() or np.abs(factors).mean() < 0.05:
        return None
    if np.ptp(factors) > 2 * np.abs(factors.mean()):
        return None
    return (
        f"the ratio is {ratios[-1]:.3g} at the last time step, and changes by a factor of about "
        f"{np.exp(factors.mean()):.3g} with every step back: a factor within each step is wrong"
    )


def _listed(steps: ndarray) -> str:
    """``time step 3``, ``time steps 0 to 4``, ``time steps 0, 2 and 5``."""
    listed = [int(t) for t in steps]
    if len(listed) == 1:
        return f"time step {listed[0]}"
    if listed == list(range(listed[0], listed[-1] + 1)):
        return f"time steps {listed[0]} to {listed[-1]}"
    return f"time steps {', '.join(map(str, listed[:-1]))} and {listed[-1]}"


__all__ = ["hint_in_time"]
