"""Derivatives that a step asks for with ``tg.grad``.

``tg.grad(y, x)`` follows the graph from y back to x, whatever way it takes. In a loop the graph
goes on through the carry into earlier steps; a step that is traced by itself ends at its carry. The
two agree only where no way leads around the step: else the step is refused. Functions that
differentiate a function (``value_and_grad``, ``jvp``, ...) do so at a variable of their own, which
no earlier step knows of.
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
    """Check that what a step asked for is what the loop would find.

    Args:
        trace: of the step, which has run.
        call: what the scan was called with.
        carries, inputs, new: the traced values that the step was given, and its new carries.

    Raises:
        TypeError: it is not.
    """
    entries = dict(_entries(trace))
    for output, wanted in trace.asked:
        reached = set(ancestors([output], trace.since))
        parts = [i for i, x in enumerate(carries) if x.node in wanted]
        outside = {node for node in wanted if node.number < trace.since}
        for i, x in enumerate(carries):
            if x.node not in reached or x.node in wanted:
                continue
            if outside:
                _refuse("a Tensor from outside of the step", "the carry", "its earlier steps")
            if any(_depends_on(new[i].node, new[j].node) for j in parts) or any(
                _depends_on(call.carries[i].node, call.carries[j].node) for j in parts
            ):
                _refuse("one part of the carry", "another part of it", "the step before")
        given = [y for x, y in zip(inputs, call.inputs, strict=True) if x.node in reached]
        origins = [y.node for y in given] + [entries[p] for p in reached if p in entries]
        for node in origins:
            if any(_depends_on(node, call.carries[j].node) for j in parts):
                _refuse("the carry", "an input or a closed-over Tensor", "the first carry")
        if any(_depends_on(y.node, node) for y in given for node in outside):
            _refuse("a Tensor from outside of the step", "an input", "it")


def _entries(trace: Trace) -> Any:
    """The places within the step of what it closes over, with those outside."""
    for source in trace.sources:
        if source.node is not None:
            yield trace.leaves[source.slot], source.node


def _depends_on(node: Node | None, to: Node | None) -> bool:
    """Whether one node was computed from the other."""
    return node is not None and to is not None and to in ancestors([node])


def _refuse(at: str, through: str, of: str) -> None:
    raise TypeError(
        f"grad: within a step that scan traces, the derivative at {at} of what depends on "
        f"{through}, computed from {of}, would leave out a part; use tg.value_and_grad, whose "
        f"function has a variable of its own, or pass unroll=True to scan{current().scope}"
    )


__all__ = ["check_inner_derivatives"]
