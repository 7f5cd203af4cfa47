"""Replay: the operations of a traced step, run and recorded once more, one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import graph
from ..graph import Scope, Value, attach, current, in_scope
from .plan import Plan
from .trace import Literal


def replayed(plan: Plan, slots: dict[int, Value]) -> tuple[list[Value], list[Value]]:
    """Run the operations of a plan's step: its new carry, and its outputs.

    NumPy does not warn of overflow and the like: the same numbers came in the forward pass.

    Args:
        plan: of the step.
        slots: the carries, inputs and closed-over values, by their slots; is added to.
    """
    step, now = plan.step, current().scope
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
        with in_scope(place), np.errstate(all="ignore"):
            made = graph.apply(instruction.primitive, operands, instruction.keywords)
        if inner is not None and inner.name is not None and made.node is not None:
            made.node.name = inner.name
        slots[instruction.slot] = made
    return [_at(slots, x) for x in step.new_carries], [_at(slots, y) for y in step.outputs]


def _at(slots: dict[int, Value], x: Any) -> Value:
    """The value of a step that x stands for; without its place in the graph where x has none."""
    made = slots[x._array.slot]
    return made if x.node is not None or made.node is None else attach(made._array, None)


__all__ = ["replayed"]
