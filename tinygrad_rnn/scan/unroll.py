"""A scan step by step: one step, and the plain loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .. import graph, ops
from ..graph import Value, attach, current
from .arguments import Call, as_value, describe_structure, flatten, unflatten, valid_steps


def run_unrolled(call: Call) -> tuple[Any, Any]:
    """The plain loop over time, with every operation recorded."""
    carries = call.carries
    outputs: list[list[Any]] = []
    structure: Any = None
    valid_at = valid_steps(call.ends, call.steps)
    for t in time_steps(call.steps, call.reverse):
        # While all sequences still run, no operation is needed for the mask.
        masked = valid_at is not None and not valid_at[t].all()
        inputs = [element(x, call.ends if masked else None, t) for x in call.inputs]
        valid = attach(valid_at[t], None) if masked else None
        carries, ys, structure = one_step(call, carries, inputs, valid)
        outputs.append(ys)
    if call.reverse:
        outputs.reverse()
    stacked = [ops.stack(ys) for ys in zip(*outputs, strict=True)]
    return (
        unflatten(call.carry_structure, iter(carries)),
        unflatten(structure, iter(stacked)),
    )


def time_steps(steps: int, reverse: bool) -> Iterator[int]:
    """The time steps in order. What is computed in a step is tagged with it."""
    for t, _ in graph.steps(range(steps), reverse=reverse):
        yield t


def element(x: Value, ends: ndarray | None, t: int) -> Any:
    """x_t. A sequence that has ended repeats its last x_t, on which the step is known to work."""
    if ends is None:
        x_t = ops.getitem(x, t)
    else:
        x_t = ops.getitem(x, (np.minimum(t, ends), np.arange(len(ends))))
    name = x._label if x.node is None else x.node.name
    if name is not None:
        if x_t.node is None:
            x_t._label = f"{name}[{t}]"
        else:
            x_t.node.name = f"{name}[{t}]"
    return x_t


def one_step(
    call: Call, carries: list[Value], inputs: list[Value], valid: Value | None
) -> tuple[list[Any], list[Any], Any]:
    """Run the cell; returns the new carries, the outputs and the structure of the outputs."""
    return check_result(call, run_cell(call, carries, inputs), carries, valid)


def run_cell(call: Call, carries: Sequence[Value], inputs: Sequence[Value]) -> Any:
    """Call the cell; returns what it returns."""
    return call.cell(
        unflatten(call.carry_structure, iter(carries)),
        unflatten(call.input_structure, iter(inputs)),
    )


def check_result(
    call: Call, result: Any, carries: Sequence[Value], valid: Value | None
) -> tuple[list[Any], list[Any], Any]:
    """Check what the cell returned; returns the new carries, the outputs and their structure.

    With lengths, a sequence that has ended keeps its carry, and its outputs are 0.

    Args:
        call: the arguments of the scan.
        result: what the cell returned.
        carries: the old carries.
        valid: (N,) booleans, True for sequences that have this step; None without lengths.

    Raises:
        TypeError, ValueError: as ``scan`` does.
    """
    if not isinstance(result, tuple) or len(result) != 2:
        many = f" of {len(result)}" if isinstance(result, tuple) else ""
        raise ValueError(
            f"scan: expected the cell to return (carry, y_t), got {type(result).__name__}{many}"
            f"{current().scope}"
        )
    new: list[Any] = []
    if flatten(result[0], new) != call.carry_structure:
        for x in new:
            as_value(x, "scan: carry")  # a list of Tensors is refused: it should be a tuple
        raise ValueError(
            "scan: the cell must return a carry of the same structure as its argument: expected "
            f"{describe_structure(call.carry_structure)}, "
            f"got {describe_structure(flatten(result[0], []))}"
            f"{current().scope}"
        )
    outputs: list[Any] = []
    structure = flatten(result[1], outputs)
    new = [as_value(x, "scan: carry") for x in new]
    outputs = [as_value(y, "scan: y_t") for y in outputs]
    for i, (before, after) in enumerate(zip(carries, new, strict=True)):
        if before._array.shape != after._array.shape or before._array.dtype != after._array.dtype:
            kind = ValueError if before._array.shape != after._array.shape else TypeError
            raise kind(
                f"scan: the cell turned part {i} of the carry from {_aval(before)} into "
                f"{_aval(after)}; it must keep shape and dtype{current().scope}"
            )
    if valid is not None:
        N = len(valid._array)
        for i, y in enumerate(outputs):
            if y._array.ndim == 0 or len(y._array) != N:
                raise ValueError(
                    f"scan: with lengths ({N},), axis 0 of every y_t must be the batch; part {i} "
                    f"of it is {_aval(y)}{current().scope}"
                )
        # ``where`` and not a product with the mask: 0 times NaN would be NaN.
        new = [ops.where(_over(valid, x), x, h) for x, h in zip(new, carries, strict=True)]
        outputs = [
            ops.where(_over(valid, y), y, False if y._array.dtype == np.bool_ else 0)
            for y in outputs
        ]
    return new, outputs, structure


def _aval(x: Value) -> str:
    return f"{x._array.dtype} {x._array.shape}"


def _over(valid: Value, x: Value) -> Value:
    """The mask (N,) in a shape that broadcasts against x (N, ...)."""
    return ops.reshape(valid, (len(valid._array),) + (1,) * (x._array.ndim - 1))


__all__ = ["check_result", "element", "one_step", "run_cell", "run_unrolled", "time_steps"]
