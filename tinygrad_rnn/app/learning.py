"""The loop of truncated BPTT that ``demo`` and ``train`` share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .. import optim
from ..text import Streams, bptt_step


def learn(
    model: Any,
    optimizer: optim.Adam,
    windows: Streams,
    steps: int,
    rate: Callable[[int], float],
    *,
    first: int = 0,
    state: Any = None,
    accumulate: int = 1,
    max_norm: float = math.inf,
    exchange: Callable[[float], float] | None = None,
    **options: Any,
) -> Iterator[tuple[float, Any]]:
    """Train, window after window; after the last window of the text the state starts from zero.

    Args:
        model: its parameters are trained in place.
        optimizer: of its parameters.
        windows: the text, in order.
        steps: how many steps to make in all.
        rate: the learning rate at a step.
        first: how many of the steps were made before.
        state: the recurrent state after them.
        accumulate: how many windows a step reads; their gradients are averaged over all symbols.
        max_norm: the norm that gradients are clipped to.
        exchange: of several processes: called with the loss of this one's streams, it replaces the
            gradients by those of all streams, and returns the loss of all.
        **options: of :func:`bptt_step`: ``teacher_forcing``, ``rng``.

    Yields:
        After each step its loss, in nats, and the recurrent state. A loss that is not finite has
        changed nothing, and ends the loop.
    """
    for step in range(first, steps):
        optimizer.lr = rate(step)
        places = [(step * accumulate + i) % len(windows) for i in range(accumulate)]
        sizes = [windows[place][1].size for place in places]
        loss = 0.0
        for i, place in enumerate(places):
            part, state = bptt_step(
                model,
                optimizer,
                windows[place],
                state if place else None,
                share=sizes[i] / sum(sizes),
                start=i == 0,
                update=exchange is None and i == accumulate - 1,
                max_norm=max_norm,
                **options,
            )
            loss += part * (sizes[i] / sum(sizes))
            if not math.isfinite(part):
                break
        if exchange is not None:  # also where the loss is not finite: the others wait for it
            loss = exchange(loss)
            if math.isfinite(loss):
                optim.clip_grad_norm_(optimizer.params, max_norm)
                optimizer.step()
        yield loss, state
        if not math.isfinite(loss):
            return
