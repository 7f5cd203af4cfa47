"""Replay: run and record the operations of a traced step one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import graph
from ..graph import Scope, Value, attach, current, in_scope
from .plan import Plan
from .trace import Literal


def replay(plan: Plan, slots: dict[int, Value]) -> tuple[list[Value], list[Value]]:
    """Run the operations of a plan's step; returns its new carries and its outputs.

    NumPy's warnings are off here: the forward pass has already given them for the same numbers.

    Args:
        plan: the plan of the step.
        slots: the carries, inputs and closed-over values by slot. The other values are added.
    """
    step, now = plan.step, current().scope
    for instruction in plan.instructions:
        # An operand through which no gradient flowed in the step, a detached one say, is a constant
        # here too, although its value may have a node.
        operands = [
            operand.value
            if isinstance(operand, Literal)
            else slots[operand]
            if through or slots[operand].node is None
            else attach(slots[operand]._array, None)
            for operand, through in zip(instruction.operands, instruction.parents, strict=True)
        ]
        inner = instruction.node
        scope = now
        if inner is not None:
            # The scope of the trace began where the plan was made. Put its inner part at the
            # present place.
            path = (*now.path, *inner.scope.path[plan.depth[0] :])
            scope = Scope(path, (*now.steps, *inner.scope.steps[plan.depth[1] :]), now.sweep)
        with in_scope(scope), np.errstate(all="ignore"):
            result = graph.apply(instruction.primitive, operands, instruction.keywords)
        if inner is not None and inner.name is not None and result.node is not None:
            result.node.name = inner.name
        slots[instruction.slot] = result
    return [_at(slots, x) for x in step.new_carries], [_at(slots, y) for y in step.outputs]


def _at(slots: dict[int, Value], x: Any) -> Value:
    """The value at x's slot; without a node if x has none."""
    value = slots[x._array.slot]
    return value if x.node is not None or value.node is None else attach(value._array, None)


__all__ = ["replay"]
