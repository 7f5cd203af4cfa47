"""The loop over time that serves every recurrent layer; a cell is only its step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import attach, steps
from ..tensor import Tensor

#: What goes from one step to the next: (h,) or (h, c).
Carry: TypeAlias = tuple[Tensor, ...]
Step: TypeAlias = Callable[[Carry, Tensor], tuple[Carry, Tensor]]


def loop(
    step: Step,
    carry: Carry,
    xs: Tensor,
    *,
    reverse: bool = False,
    within: ndarray | None = None,
) -> tuple[Carry, list[Tensor]]:
    """Run a step over a sequence; what it computes is tagged with its time step.

    Args:
        step: ``step(carry, x_t) -> (carry, y_t)``, a function of Tensors.
        carry: the initial one.
        xs: (T, ...), read along its first axis.
        reverse: from the last step to the first.
        within: (T, N) booleans, for carries (N, H): sequence n of the batch has a step t only
            where ``within[t, n]``. Elsewhere its carry stands still, so that a reverse loop starts
            at its last step; y_t means nothing there, and x_t has to be finite.

    Returns:
        The last carry, and y_0, ..., y_{T-1}.
    """
    ys = []
    for t, x_t in steps(xs, reverse=reverse):
        after, y_t = step(carry, x_t)
        if within is not None and not within[t].all():
            here = attach(within[t][:, np.newaxis], None)
            pairs = zip(after, carry, strict=True)
            after = tuple([ops.where(here, new, old) for new, old in pairs])
        carry = after
        ys.append(y_t)
    return carry, ys[::-1] if reverse else ys
