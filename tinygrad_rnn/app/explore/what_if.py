"""What if: nets with other sizes, weights and inputs, and where their gradient goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy import ndarray

from ... import backprop, ops, viz
from ...tensor import Tensor
from . import charts
from .nets import Choice

#: The gates and states to show for each kind.
MAPS = {"RNN": ("h",), "LSTM": ("f", "c", "h"), "GRU": ("z", "h")}


def what_if(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pictures for the values of the controls.

    Returns:
        ``nets``: for each kind its ``kind``, ``flow`` and ``maps`` as SVG, ``reason`` and ``loss``.
        ``curves``, ``singular``: charts of all nets. ``code``: Python code that does the same.

    Raises:
        Unusable: a control is out of bounds.
    """
    choice = Choice.of(given)
    x = choice.x()
    nets: list[dict[str, Any]] = []
    norms: dict[str, ndarray] = {}
    values: dict[str, ndarray] = {}
    for kind in choice.kinds:
        net = choice.net(kind)
        with np.errstate(all="ignore"):
            y, _ = net(x, unroll=True)
            loss = choice.loss_of(y)
            flow = viz.gradient_flow(loss)
            activations = flow.activations()
            maps = {name: activations[name] for name in MAPS[kind]}
            norms[kind] = flow.norms
            values[kind] = singular_values(net, kind, activations, x)
        nets.append(
            {
                "kind": kind,
                "loss": flow.loss,
                "reason": flow.reason,
                "flow": flow.svg(theme="auto"),
                "maps": viz.heat_map(maps, title=f"{kind}: gates and states").svg(theme="auto"),
            }
        )
    return {
        "nets": nets,
        "curves": charts.log_lines("norm of the gradient in every step", norms),
        "singular": charts.log_lines(
            "Jacobian of each step: largest, middle and smallest singular value", values, level=1.0
        ),
        "code": choice.code(),
    }


def singular_values(net: Any, kind: str, activations: Mapping[str, ndarray], x: ndarray) -> ndarray:
    """Return the largest, middle and smallest singular value of each ds_t/ds_{t-1}.

    s is the whole state of the layer: h, or h and c. All steps form one batch, in which every step
    occurs once for each element of the state. So one backward pass gives all rows of all Jacobians.

    Returns:
        (T, 3), with NaN at step 0, which has no step before it.
    """
    names = ("h", "c") if kind == "LSTM" else ("h",)
    T, H = x.shape[0], net.hidden_size
    size = H * len(names)
    before = [np.repeat(activations[name][:-1, 0], size, axis=0) for name in names]
    inputs = np.repeat(x[1:, 0], size, axis=0)
    state = [Tensor(h, requires_grad=True) for h in before]
    given = tuple(s.reshape(1, -1, H) for s in state)
    _, after = net(inputs[None], given if kind == "LSTM" else given[0], unroll=True)
    parts: tuple[Tensor, ...] = after if kind == "LSTM" else (after,)
    eye = np.tile(np.eye(size), (T - 1, 1))
    seeds = [eye[:, H * k : H * (k + 1)] for k in range(len(names))]
    total = ops.sum(parts[0] * seeds[0])
    for part, seed in zip(parts[1:], seeds[1:], strict=True):
        total = total + ops.sum(part * seed)
    rows = backprop.grad(total, state)
    jacobians = np.concatenate([r.data for r in rows], axis=1).reshape(T - 1, size, size)
    result = np.full((T, 3), np.nan)
    finite = np.isfinite(jacobians).all((1, 2))
    if finite.any():
        values = np.linalg.svd(jacobians[finite], compute_uv=False)
        result[1:][finite] = values[:, [0, (size - 1) // 2, -1]]
    return result
