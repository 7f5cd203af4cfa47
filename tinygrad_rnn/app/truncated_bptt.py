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
    """Train on one window after another, with the state carried from window to window.

    After the last window the text starts again, with a state of zeros.

    Args:
        model: trained in place.
        optimizer: the optimiser of its parameters.
        windows: the text, in order.
        steps: the number of steps of the whole training.
        rate: gives the learning rate of a step.
        first: the number of steps that are already done.
        state: the recurrent state after them.
        accumulate: the number of windows in a step. Their gradients are averaged over all symbols.
        max_norm: gradients are clipped to this norm.
        exchange: for several processes. It gets the loss of this process's streams, replaces the
            gradients by those of all streams, and returns the loss of all streams.
        **options: for :func:`bptt_step`: ``teacher_forcing``, ``rng``.

    Yields:
        The loss in nats and the recurrent state, after each step. A loss that is not finite ends
        the loop before it changes any parameter.
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
        # The other processes wait for this call, so make it even if the loss is not finite.
        if exchange is not None:
            loss = exchange(loss)
            if math.isfinite(loss):
                optim.clip_grad_norm_(optimizer.params, max_norm)
                optimizer.step()
        yield loss, state
        if not math.isfinite(loss):
            return
