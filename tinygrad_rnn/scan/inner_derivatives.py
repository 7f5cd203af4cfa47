"""Derivatives that a step computes with ``tg.grad``.

``tg.grad(y, x)`` sums over all paths in the graph from y back to x. In a loop, paths go on through
the carry into earlier steps. In a step that is traced alone, they end at its carry. So the step is
refused if a path outside of the step could lead to x. Functions that differentiate a function
(``value_and_grad``, ``jvp``, ...) do so at a variable of their own, which no earlier step reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph import Node, ancestors, current
from .arguments import Call
from .trace import Trace


def check_inner_derivatives(
    trace: Trace, call: Call, carries: Sequence[Any], inputs: Sequence[Any], new: Sequence[Any]
) -> None:
    """Check that the derivatives inside a step equal those that the unrolled loop would compute.

    Args:
        trace: the trace of the step, after it has run.
        call: the arguments of the scan.
        carries, inputs, new: the traced carries and inputs of the step, and its new carries.

    Raises:
        TypeError: a derivative would leave out a part.
    """
    entries = dict(_entries(trace))
    for output, wanted in trace.asked:
        # All that y depends on within the step.
        reached = set(ancestors([output], trace.since))
        parts = [i for i, x in enumerate(carries) if x.node in wanted]
        outside = {node for node in wanted if node.number < trace.since}
        for i, x in enumerate(carries):
            # y depends on carry i, which is not itself a variable. In the loop's graph, paths go on
            # through it.
            if x.node not in reached or x.node in wanted:
                continue
            # To a weight, say: the earlier steps read that weight too.
            if outside:
                _refuse("a Tensor from outside of the step", "the carry", "its earlier steps")
            # To carry j: this carry i was computed from it in the step before, or in the first
            # carry.
            if any(_depends_on(new[i].node, new[j].node) for j in parts) or any(
                _depends_on(call.carries[i].node, call.carries[j].node) for j in parts
            ):
                _refuse("one part of the carry", "another part of it", "the step before")
        # To carry j at the first step: an x_t or a weight may have been computed from the first
        # carry.
        given = [y for x, y in zip(inputs, call.inputs, strict=True) if x.node in reached]
        origins = [y.node for y in given] + [entries[p] for p in reached if p in entries]
        for node in origins:
            if any(_depends_on(node, call.carries[j].node) for j in parts):
                _refuse("the carry", "an input or a closed-over Tensor", "the first carry")
        # To a Tensor from outside: x_t was computed from it, and within the step x_t is a leaf.
        if any(_depends_on(y.node, node) for y in given for node in outside):
            _refuse("a Tensor from outside of the step", "an input", "it")


def _entries(trace: Trace) -> Any:
    """Pairs of nodes: a closed-over Tensor within the step, and the same Tensor outside."""
    for source in trace.sources:
        if source.node is not None:
            yield trace.leaves[source.slot], source.node


def _depends_on(node: Node | None, to: Node | None) -> bool:
    """Whether a node was computed from the node ``to``."""
    return node is not None and to is not None and to in ancestors([node])


def _refuse(at: str, through: str, of: str) -> None:
    """Raise the error: y depends on ``through``, which was computed from ``of``."""
    raise TypeError(
        f"grad: within a step that scan traces, the derivative with respect to {at} of a value "
        f"that depends on {through}, computed from {of}, would leave out a part; use "
        f"tg.value_and_grad, whose function has its own variable, or pass unroll=True to scan"
        f"{current().scope}"
    )


__all__ = ["check_inner_derivatives"]
