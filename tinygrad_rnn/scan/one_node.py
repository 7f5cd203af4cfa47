"""Run a fused step: one program, recorded as one node.

A Python loop records every operation of every step. A fused step is compiled like a scan over one
step, and leaves one node in the graph. That node can still be expanded, to draw it, to
differentiate it twice or to check it for NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backprop import Deferred, inputs_of, picked_from
from ..graph import Node, Primitive, Value, attach, current, python_scalars, record
from .arguments import Call, as_value, flatten, unflatten
from .lookup_plan import find_plan
from .plan import Plan
from .replay import replay


def one_node(step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run a step as one program, and record it as one node."""
    state = current()
    leaves: list[Any] = []
    structure = flatten(args, leaves)
    for x in leaves:
        if type(x) in python_scalars:
            # As an array it would have a dtype, and float32 times it would be float64.
            raise TypeError(
                f"fused: expected Tensors or arrays as arguments, got the number {x!r}; close over "
                f"it, or pass an array of the dtype that it should have{state.scope}"
            )
    # Then every operation has to be seen. Within a traced step they become part of that step.
    if state.anomaly or state.tracing is not None:
        return step(*args)
    values = [as_value(x, "fused: argument") for x in leaves]
    call = _as_call(step, values, structure)
    plan, constants, parents, returned = find_plan(call, state.recording)
    blocks = [x._array for x in call.inputs]
    # One step of a scan that has no carry: every result is a stacked output.
    _, stacked, _, kept = plan.forward(1, False, constants, blocks, [])
    outputs = tuple([block[0, ...] for block in stacked])  # arrays, even without axes
    if not plan.live.any:
        return unflatten(returned, iter([attach(y, None) for y in outputs]))
    all_parents = (*[x.node or x._label for x in values], *parents)
    arrays = (*[x._array for x in values], *constants)
    node = record(_fused, all_parents, arrays, outputs, {"plan": plan, "kept": kept}, state.scope)
    results = []
    for i, name in enumerate(plan.output_names):
        if not plan.live.outputs[i]:
            results.append(attach(outputs[i], None))
            continue
        y = picked_from(node, i)
        if name is not None:
            y.node.name = name  # type: ignore[union-attr]
        results.append(y)
    return unflatten(returned, iter(results))


class _StepAsCell:
    """A fused step as a cell for scan, without a carry."""

    def __init__(self, step: Callable[..., Any]):
        self.step = step
        self.__code__ = getattr(step, "__code__", type(step))
        self.scan_dependencies = getattr(step, "scan_dependencies", None)

    def __call__(self, carry: Any, args: Any) -> tuple[Any, Any]:
        result = self.step(*args)
        if not isinstance(result, Value):
            returned: list[Any] = []
            flatten(result, returned)
            for y in returned:
                if isinstance(y, list) or type(y) in python_scalars:
                    raise TypeError(
                        "fused: expected the step to return a Tensor or a nested tuple of Tensors, "
                        f"got {type(y).__name__}{current().scope}"
                    )
        return (), result


def _as_call(step: Callable[..., Any], values: list[Value], structure: Any) -> Call:
    """The call of scan over one step that runs a fused step."""
    # A time axis of length 1, as a view.
    inputs = [attach(x._array[np.newaxis], x.node) for x in values]
    return Call(_StepAsCell(step), [], (tuple,), inputs, structure, 1, False, None)


def _vjps(node: Node, gs: list[Any], live: list[bool]) -> list[Any]:
    """The cotangents of arguments and closed-over values."""
    plan: Plan = node.keywords["plan"]
    kept = node.keywords["kept"]
    m = len(plan.step.inputs)
    backward = plan.backward_of_one_step(tuple([g is not None for g in gs]), tuple(live))
    constants = [*backward.arrays, *[kept[i] for i in backward.fixed]]
    sequences = [np.asarray(gs[i])[np.newaxis] for i in backward.outputs]
    sequences += [kept[i] for i in backward.moving]
    _, stacked, summed, _ = backward.loop(1, False, constants, sequences, [])
    result: list[Any] = [None] * (m + len(plan.sources))
    # The factors of deferred products follow the cotangents of the inputs in ``stacked``.
    for i, g in zip(backward.inputs, stacked, strict=False):
        result[i] = g[0, ...]
    for i, g in zip(backward.sources, summed, strict=True):
        result[i] = g
    for i, left, right in backward.deferred:
        result[i] = Deferred(_rows_times_rows, stacked[left][0], stacked[right][0], ())
    return result


def _rows_times_rows(g: Any, _: Any, x: Any) -> Any:
    """g' x: the cotangent of a matrix, with the rows g and x of all its uses stacked."""
    return np.matmul(g.T, x)


def _expanded(node: Node) -> list[Value]:
    """Run and record the step again op by op, on the node's parents."""
    plan: Plan = node.keywords["plan"]
    values = inputs_of(node)
    m = len(plan.step.inputs)
    slots = dict(zip(plan.step.inputs, values[:m], strict=True))
    slots.update(zip(plan.sources, values[m:], strict=True))
    return replay(plan, slots)[1]


_fused = Primitive("fused", one_node, _vjps, expand=_expanded)

__all__ = ["one_node"]
