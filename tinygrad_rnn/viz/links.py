"""The lines between loops that follow each other: a state handed over, a value that is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..bptt.flow import State
from ..bptt.loops import Link
from ..bptt.steps import Loop
from ..bptt.structure import Trajectory
from .svg import number

if TYPE_CHECKING:
    from .lattice import Drawer


def draw_handed(
    sheet: Drawer, link: Link, k: int, y: float, names: dict[Trajectory, State]
) -> None:
    """Draw a state handed over: from a loop's last value to the first one of another loop."""
    assert link.loop is not None
    target = names.get(link.target) if link.target is not None else None
    if target is None or link.at is None or not len(target.steps):
        return
    c0 = sheet.column(link.trajectory.loop, link.t)
    c1 = sheet.column(link.loop, target.trajectory.steps[0])
    if not (sheet.on(c0) and sheet.on(c1)):
        for c, other, at in ((c0, c1, y), (c1, c0, sheet.row_of[target].y)):
            if sheet.on(c):  # the other end is in another line
                _curve(sheet, link, k, sheet.x(c), at, sheet.edge(other), at, c1 > c0)
        return
    _curve(sheet, link, k, sheet.x(c0), y, sheet.x(c1), sheet.row_of[target].y, forward=True)


def draw_read(
    sheet: Drawer, link: Link, k: int, y: float, lowest: dict[tuple[Loop, int], float]
) -> None:
    """Draw a value that a step of a later loop reads: a line, as wide as its gradient."""
    assert link.loop is not None
    assert link.at is not None
    c0 = sheet.column(link.trajectory.loop, link.t)
    c1 = sheet.column(link.loop, link.at)
    goal = lowest.get((link.loop, link.at))
    if goal is not None and sheet.on(c0) and sheet.on(c1):
        _line(sheet, link, k, sheet.x(c0), y, sheet.x(c1), goal)


def _line(sheet: Drawer, link: Link, k: int, x0: float, y0: float, x1: float, y1: float) -> None:
    assert link.loop is not None
    assert link.at is not None
    length = math.hypot(x1 - x0, y1 - y0) or 1
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    r = sheet.radius + 1
    a, b = (x0 + ux * r, y0 + uy * r), (x1 - ux * r, y1 - uy * r)
    forth, back = sheet.forth[link.loop, link.at], sheet.back[link.loop, link.at]
    key = f"r{k}.{link.t}"
    ends = f"{number(a[0])} {number(a[1])}L{number(b[0])} {number(b[1])}"
    sheet.path(f"M{ends}", "fwd", sheet.tags(forth, key) + ' opacity="0.35"')
    shown = sheet.shade(link.norm)
    more = sheet.tags(back, key) + ' opacity="0.75"'
    sheet.path(f"M{ends}", f"back m{shown}", more)


def _curve(
    sheet: Drawer, link: Link, k: int, x0: float, y0: float, x1: float, y1: float, forward: bool
) -> None:
    """Draw a curve from one circle's side to another's."""
    assert link.loop is not None
    assert link.at is not None
    way = 1 if x1 > x0 else -1
    a, b = x0 + way * (sheet.radius + 1), x1 - way * (sheet.radius + 1)
    if abs(y1 - y0) < 1 and (b - a) * way < 4:
        return
    bend = max(abs(b - a) * 0.5, 12) * way
    forth, back = sheet.forth[link.loop, link.at], sheet.back[link.loop, link.at]
    key, shown = f"o{k}.{link.t}", sheet.shade(link.norm)
    for kind, lane, frame in (
        ("fwd", -sheet.lane, forth),
        (f"back {'l' if abs(y1 - y0) < 1 else 'm'}{shown}", sheet.lane, back),
    ):
        d = (
            f"M{number(a)} {number(y0 + lane)}C{number(a + bend)} {number(y0 + lane)} "
            f"{number(b - bend)} {number(y1 + lane)} {number(b)} {number(y1 + lane)}"
        )
        if shown != "n" or kind == "fwd":
            sheet.path(d, kind, sheet.tags(frame, key))
    if sheet.roomy and forward:
        sheet.arrow_head(b - way * 6, y1 - sheet.lane, b, y1 - sheet.lane, forth)
