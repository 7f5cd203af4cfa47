"""How fast pictures of an unrolled ``nn.LSTM`` are there, and how large they are."""

from __future__ import annotations

import gc
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.graph import ancestors

from .table import Figure, Table


def lstm(T: int) -> tg.Tensor:
    """A loss at the end of T steps."""
    layer = tg.nn.LSTM(4, 8, rng=0)
    x = np.random.default_rng(1).standard_normal((T, 1, 4), dtype=np.float32)
    y, _ = layer(tg.Tensor(x, name="x"), unroll=True)
    return tg.sum(tg.square(y[-1]))


def text(loss: tg.Tensor) -> str:
    return tg.draw(loss).source


def flow(loss: tg.Tensor) -> str:
    return tg.gradient_flow(loss).svg()


def best(rounds: int, function: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    """The least processor time of some calls, in seconds, and what the last of them returned.

    As ``timeit`` does, without the garbage collector: how often it walks through the whole graph
    depends on what else there is in memory.
    """
    least, made = math.inf, None
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            start = _processor_time()
            made = function(*args)
            least = min(least, _processor_time() - start)
    finally:
        if collects:
            gc.enable()
    return least, made


def _processor_time() -> float:
    """Of this process and of the programs that it has run: ``dot`` is one."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def pictures(rounds: int) -> Iterator[Figure]:
    """Text, layout and SVG of graphs; gradient flows, with the numbers that they show."""

    def figure(row: str, value: float, unit: str, target: float) -> Figure:
        if unit == "s" and target < 0.1:
            value, unit, target = 1000 * value, "ms", 1000 * target
        return Figure(Table.PICTURES, row, value, unit, target)

    seconds = {}
    for T, target in ((64, 0.05), (1000, 1.0)):
        loss = lstm(T)
        nodes = len(ancestors([loss.node]))
        seconds[T], _ = best(rounds, text, loss)
        yield figure(f"graph as DOT text, T = {T} ({nodes:,} nodes)", seconds[T], "s", target)
    half, _ = best(rounds, text, lstm(500))
    yield figure("the same, T = 1000 over T = 500", seconds[1000] / half, "", 2.5)
    if shutil.which("dot"):
        for T, detail, target in ((31, "op", 1.0), (62, "op", 2.0), (200, "cell", 2.0)):
            loss = lstm(T)
            what = f"{len(ancestors([loss.node])):,} nodes" if detail == "op" else "a box a step"
            drawing = tg.draw(loss, detail=detail)
            taken, _ = best(rounds, drawing.pipe)
            yield figure(f"layout and SVG by dot, T = {T} ({what})", taken, "s", target)
    for T, target in ((64, 0.05), (1000, 0.5)):
        loss = lstm(T)
        taken, svg = best(rounds, flow, loss)
        yield figure(f"gradient flow, numbers and SVG, T = {T}", taken, "s", target)
        if T == 64:
            yield figure("size of that SVG", len(svg.encode()) / 1000, "kB", 150)
    page = tg.gradient_flow(lstm(32)).html()
    yield figure("size of the page, T = 32", len(page.encode()) / 1000, "kB", 300)
