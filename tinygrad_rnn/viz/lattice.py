"""The lattice of a gradient flow: columns are time steps, rows are states.

Thin arrows show values that run forward. Beside them run the gradients; the logarithm of the norm
gives the width and the colour. Loops that follow each other stand side by side. Lines between them
show the state handed over, and the encoder steps that a decoder reads.

With many steps the columns become narrow: first arrows lose their heads, then labels are omitted,
and at last every row is a strip of colours.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field

from ..bptt.flow import Flow, State
from ..bptt.loops import Link
from ..bptt.steps import Loop
from .links import draw_handed, draw_read
from .svg import Canvas, Scale, escaped, figure, fitted, line_width, number

LEFT, RIGHT = 178, 76
WIDTH = 1120  # the default width of all columns
#: The smallest widths of a column for arrows with heads, and for any arrows.
ROOMY, LINED = 40, 11
WIDEST = 96
MOST_READS = 600  # the largest number of attention lines in one picture
WORDS = 464.0  # the smallest width of a picture: the width of its longest text


@dataclass(eq=False, slots=True)
class Row:
    """The states in one row: one state, or the same state of loops that follow each other.

    Attributes:
        states: the states from left to right.
        label, small: the text before the row.
        y: its height on the sheet.
    """

    states: list[State]
    label: str
    small: str
    y: float = 0.0
    keys: list[int] = field(default_factory=list)  # the states' numbers in the flow


class Sheet(Canvas):
    """SVG parts, written from top to bottom.

    Attributes:
        flow: the flow to draw.
        playable: whether each part has its frame and the key of its tip.
        pitch: the width of a column.
        lines: the columns of each line, as (first, stop).
        first, stop: the columns of the current line.
        roomy, lined: whether there is room for heads on the arrows, and for any arrows.
        scale: the scale of the norms.
        y: the lower end of the parts so far.
        order: the loop and the number of every time step, in the order in which they ran.
        forth, back: the frames in which the sweeps reach a time step.
        loss_frame: the frame in which they reach the loss.
    """

    def __init__(self, flow: Flow, playable: bool = False, fit: float | None = None):
        super().__init__()
        self.flow, self.playable = flow, playable
        room = WIDTH if fit is None else fit - LEFT - RIGHT
        if fit is not None and not room >= 120:
            raise ValueError(f"expected fit of at least {LEFT + RIGHT + 120} pixels, got {fit}")
        if fit is None or room >= flow.T * LINED:
            self.pitch = max(min(float(WIDEST), room / flow.T), 1.6)
            each = flow.T
        else:  # broken into lines, like a text
            each = max(int(room / 26), 1)
            self.pitch = room / each
        self.lines = [(start, min(start + each, flow.T)) for start in range(0, flow.T, each)]
        self.first, self.stop = self.lines[0]
        self.right = LEFT + self.pitch * (self.stop - self.first)
        self.roomy, self.lined = self.pitch >= ROOMY, self.pitch >= LINED
        inputs = [(float(n), flow.regime(float(n))) for n in flow.inputs if n == n]
        self.scale = Scale.over([*flow.sizes(), *inputs])
        self.y = 0.0
        self._number_frames()
        numbers = {state: k for k, state in enumerate(flow.states.values())}
        self.rows = [
            Row(
                states,
                flow.common_name(states),
                f"{states[0].kind} {states[0].trajectory.shape}",
                keys=[numbers[state] for state in states],
            )
            for states in flow.rows()
        ]

    def _number_frames(self) -> None:
        """Number the frames: the steps in the order in which they ran, the loss, then back."""
        last: dict[tuple[Loop, int], int] = {}
        for time_step, members in self.flow.structure.members.items():
            last[time_step.loop, time_step.t] = members[-1].number
        self.order = sorted(last, key=last.__getitem__)
        self.forth = {key: 1 + k for k, key in enumerate(self.order)}
        self.loss_frame = len(self.order) + 1
        self.back = {key: 2 * self.loss_frame - k for key, k in self.forth.items()}

    # ── where things are ─────────────────────────────────────────────────────────────────

    def x(self, column: int) -> float:
        return LEFT + self.pitch * (column - self.first + 0.5)

    def on(self, column: int) -> bool:
        """Whether a column is in the current line."""
        return self.first <= column < self.stop

    def column(self, loop: Loop, t: int) -> int:
        columns = self.flow.columns.of
        return next(columns[time_step] for time_step in loop.time_steps if time_step.t == t)

    # ── parts ────────────────────────────────────────────────────────────────────────────

    def tags(self, frame: int | None, key: str = "") -> str:
        if not self.playable:
            return ""
        tip = f' data-k="{key}"' if key else ""
        return tip if frame is None else f'{tip} data-f="{frame}"'

    def label(self, y: float, text: str, *small: str, more: str = "") -> None:
        """Write the name of a row to its left, and small lines below it."""
        at = y + (4 if not small else 0)
        short = fitted(text, LEFT - 22)
        title = f"<title>{escaped(text)}</title>" if short != text else ""
        self.add(
            f'<text x="{LEFT - 14}" y="{number(at)}" text-anchor="end"{more}>{title}'
            f"{escaped(short)}</text>"
        )
        for k, line in enumerate(filter(None, small)):
            words = fitted(line, LEFT - 22, 9.5)
            self.text(LEFT - 14, y + 11 * (k + 1), words, "small", "end", more)


class Drawer(Sheet):
    """A sheet with the lattice: the states of all loops, and the lines between them.

    Attributes:
        radius, square: the radius of a state's circle, the side of an input's square.
        widest: the width of the widest line.
        lane: half the distance of forward and backward lines.
        width: the width of the picture.
        row_of: the row of each state.
        loss_y, input_y: the heights of the loss and of the inputs in the current line.
    """

    def __init__(self, flow: Flow, playable: bool, fit: float | None):
        super().__init__(flow, playable, fit)
        self.radius = 9.5 if self.roomy else min(self.pitch * 0.3, 6)
        self.square = 12 if self.roomy else min(self.pitch * 0.6, 9)
        self.widest = 9 if self.roomy else max(self.pitch * 0.4, 1)
        self.lane = 5.0 if self.roomy else 0.0
        wide = LEFT + self.pitch * max(b - a for a, b in self.lines) + RIGHT
        self.width = max(wide, 720 if fit is None else min(max(fit, WORDS), 720))
        self.row_of = {state: row for row in self.rows for state in row.states}
        reads = sorted((link.norm for link in flow.links if self._is_line(link)), reverse=True)
        #: The smallest norm that is drawn if there are too many lines.
        self.least = reads[MOST_READS - 1] if len(reads) > MOST_READS else 0.0

    def lattice(self, first: int, stop: int) -> list[Row]:
        """Draw the columns of one line of the picture, and return its rows."""
        self.first, self.stop = first, stop
        self.right = LEFT + self.pitch * (stop - first)
        rows = [row for row in self.rows if any(map(self.on, self._columns(row)))]
        self._place(rows)
        self._guides()
        if self.lined:
            self._verticals(rows)
        for row in rows:
            self._row(row)
        return rows

    def _columns(self, row: Row) -> list[int]:
        return [c for state in row.states for c in state.columns.tolist()]

    # ── rows ─────────────────────────────────────────────────────────────────────────────

    def _place(self, rows: list[Row]) -> None:
        gap = 46 if self.roomy else 30 if self.lined else 22
        self.loss_y = self.y + 14
        self.y = self.loss_y + gap - 4
        before: Loop | None = None
        for row in rows:
            loop = row.states[0].trajectory.loop
            self.y += 4 * (before is not None and loop is not before)
            row.y, before = self.y, loop
            self.y += gap
        self.input_y = self.y + 4
        self.y += 30

    def _guides(self) -> None:
        if self.lined:
            top, bottom = self.loss_y, self.input_y + 12
            self.path(
                "".join(
                    f"M{number(self.x(c))} {number(top)}V{number(bottom)}"
                    for c in range(self.first, self.stop)
                ),
                "guide",
            )
        for stage in self.flow.columns.stages[1:]:
            if self.on(stage.first) and stage.first > self.first:
                x = number(self.x(stage.first) - self.pitch / 2)
                self.path(f"M{x} {number(self.loss_y)}V{number(self.input_y + 12)}", "axis")

    def _row(self, row: Row) -> None:
        self.label(row.y - 2 * self.lined, row.label, row.small if self.lined else "")
        for k, state in zip(row.keys, row.states, strict=True):
            if self.lined:
                if state.kind == "state":
                    steps = state.trajectory.steps
                    for before, after in itertools.pairwise(steps):
                        self._corridor(state, k, before, after, row.y)
                    self._entrance(state, steps, row.y)
                for t, c in self._places(state):
                    if self.on(c):
                        self._circle(state, k, t, c, row.y)
            else:
                self._strip(state, k, row.y)
            for t in state.cuts.tolist():
                self._cut(state, k, t, row.y)

    def _places(self, state: State) -> list[tuple[int, int]]:
        return list(zip(state.steps.tolist(), state.columns.tolist(), strict=True))

    def _cut(self, state: State, k: int, t: int, y: float) -> None:
        c = self.column(state.trajectory.loop, t)
        if not self.on(c):
            return
        steps = state.trajectory.steps
        back = len(steps) > 1 and steps[0] > steps[-1]
        x = self.x(c) + self.pitch * (0.5 if back else -0.5)
        tip = f"t = {t}: a constant enters {state.name} here; the gradient goes no further"
        self.add(
            f'<path class="cut" d="M{number(x - 2)} {number(y - 11)}l5 5.5l-5 5.5l5 5.5l-5 5.5"'
            f"{self.tags(None, f'c{k}.{t}')}><title>{escaped(tip)}</title></path>"
        )

    def _corridor(self, state: State, k: int, before: int, after: int, y: float) -> None:
        """Draw the lines from one time step to the next, and back."""
        loop = state.trajectory.loop
        c0, c1 = self.column(loop, before), self.column(loop, after)
        if not (self.on(c0) or self.on(c1)) or after in state.cuts:
            return
        way = 1 if c1 > c0 else -1
        x0 = self.x(c0) + way * (self.radius + 1) if self.on(c0) else self.edge(c0)
        x1 = self.x(c1) - way * (self.radius + 1) if self.on(c1) else self.edge(c1)
        forth, back = self.forth[loop, after], self.back[loop, after]
        norm, key = float(state.sent["next"][before]), f"e{k}.{before}"
        self._arrow(x0, y - self.lane, x1, y - self.lane, forth, key, head=self.on(c1))
        shown = self.shade(norm)
        if shown == "n":
            return
        tip = x0 + way * (7 if self.roomy and self.on(c0) else 0)
        line = f"M{number(x1)} {number(y + self.lane)}H{number(tip)}"
        self.path(line, f"back l{shown}", self.tags(back, key))
        if self.roomy and self.on(c0):
            half = 2.6 + line_width(shown, self.widest) / 2
            self.path(
                f"M{number(x0)} {number(y + self.lane)}l{number(way * 9)} {number(-half)}"
                f"v{number(2 * half)}z",
                f"f{shown}",
                self.tags(back, key),
            )

    def edge(self, column: int) -> float:
        """The end of this line, where edges to a column of another line leave it."""
        return LEFT + 1.0 if column < self.first else self.right - 1.0

    def shade(self, norm: float) -> str:
        """The name of a norm's colour, see :meth:`Scale.shade`."""
        return self.scale.shade(norm, self.flow.regime(norm))

    def _arrow(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        frame: int,
        key: str,
        head: bool = True,
    ) -> None:
        """Draw a thin arrow forward, with a head if there is room."""
        d = f"M{number(x0)} {number(y0)}L{number(x1)} {number(y1)}"
        self.path(d, "fwd", self.tags(frame, key))
        if self.roomy and head:
            self.arrow_head(x0, y0, x1, y1, frame)

    def arrow_head(self, x0: float, y0: float, x1: float, y1: float, frame: int) -> None:
        """Draw the head of an arrow at its end (x1, y1)."""
        length = math.hypot(x1 - x0, y1 - y0) or 1
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        points = [(x1, y1)]
        points += [(x1 - 6 * ux - s * 2.6 * uy, y1 - 6 * uy + s * 2.6 * ux) for s in (1, -1)]
        d = "L".join(f"{number(a)} {number(b)}" for a, b in points)
        self.path(f"M{d}z", "head", self.tags(frame))

    def _entrance(self, state: State, steps: list[int], y: float) -> None:
        """Draw the arrow into the first state, if no loop hands it over."""
        trajectory = state.trajectory
        if not steps or steps[0] in state.cuts or trajectory.loop.time_steps[0].t != steps[0]:
            return
        c = self.column(trajectory.loop, steps[0])
        handed = any(link.target is trajectory for link in self.flow.links)
        if not self.on(c) or handed:
            return
        way = -1 if len(steps) > 1 and steps[0] > steps[-1] else 1
        x = self.x(c)
        frame = self.forth[trajectory.loop, steps[0]]
        start, stop = x - way * self.pitch * 0.46, x - way * (self.radius + 1)
        self._arrow(start, y - self.lane, stop, y - self.lane, frame, "")

    def _circle(self, state: State, k: int, t: int, c: int, y: float) -> None:
        loop, norm = state.trajectory.loop, float(state.norms[t])
        at = f'cx="{number(self.x(c))}" cy="{number(y)}" r="{number(self.radius)}"'
        key = f"s{k}.{t}"
        self.add(f'<circle class="node" {at}{self.tags(self.forth[loop, t], key)}/>')
        title = ""
        if not self.playable:
            regime = state.regimes[t] if state.regimes[t] in ("vanished", "exploded") else ""
            words = f"d L / d {state.name}, t = {t}: {_norm(norm)}{regime and f' ({regime})'}"
            title = f"<title>{escaped(words)}</title>"
        shown = self.scale.shade(norm, state.regimes[t])
        tags = self.tags(self.back[loop, t], key)
        self.add(f'<circle class="f{shown}" {at}{tags}>{title}</circle>')

    def _strip(self, state: State, k: int, y: float) -> None:
        wide = max(self.pitch + 0.15, 1)
        places = [(t, c) for t, c in self._places(state) if self.on(c)]
        if not places:
            return
        left = min(self.x(c) for _, c in places) - self.pitch / 2
        right = max(self.x(c) for _, c in places) + self.pitch / 2
        self.rect(left, y - 8, right - left, 16, "node")
        for t, c in places:
            shown = self.scale.shade(float(state.norms[t]), state.regimes[t])
            tags = self.tags(self.back[state.trajectory.loop, t], f"s{k}.{t}")
            self.rect(self.x(c) - self.pitch / 2, y - 8, wide, 16, f"f{shown}", tags)

    # ── between the rows ─────────────────────────────────────────────────────────────────

    def _verticals(self, rows: list[Row]) -> None:
        """Draw inputs into the loops, states into states, and links between loops and the loss."""
        lowest: dict[tuple[Loop, int], float] = {}  # the lowest circle of each loop and step
        for row in rows:  # from top to bottom
            for state in row.states:
                for t in state.steps.tolist():
                    lowest[state.trajectory.loop, t] = row.y
        names = {state.trajectory: state for state in self.flow.states.values()}
        leaving: list[tuple[float, float]] = []
        above: dict[tuple[State, int], set[float]] = defaultdict(set)
        numbers = {state: k for k, state in enumerate(self.flow.states.values())}
        for link in self.flow.links:
            state = names[link.trajectory]
            row, k = self.row_of[state], numbers[state]
            if row not in rows:
                continue
            c = self.column(link.trajectory.loop, link.t)
            if link.kind == "loss" and self.on(c):
                shift = self._shift(state)
                leaving.append((self.x(c) + shift, link.norm))
                self._up(state, k, link.t, link.norm, [self.loss_y], shift)
            elif link.kind == "step" and not self._is_line(link) and self.on(c):
                goal = lowest.get((link.loop, link.t)) if link.loop is not None else None
                if goal is not None and goal < row.y:
                    above[state, link.t].add(goal)
            elif link.kind == "state":
                draw_handed(self, link, k, row.y, names)
            elif self._is_line(link) and not link.norm < self.least:
                draw_read(self, link, k, row.y, lowest)
        for (state, t), goals in above.items():
            shift = self._shift(state) - self.pitch * 0.1
            norm = float(state.sent["above"][t])
            self._up(state, numbers[state], t, norm, sorted(goals), shift)
        for row in rows:
            for k, state in zip(row.keys, row.states, strict=True):
                if state.kind == "state":
                    for t, c in self._places(state):
                        if self.on(c) and state.sent["step"][t] > 0:
                            self._inside(state, k, t, c, float(state.sent["step"][t]), rows)
        self._inward(lowest)
        self._into_loss(sorted(leaving))

    def _is_line(self, link: Link) -> bool:
        """Whether a link is drawn as a line from column to column."""
        if link.kind == "read":
            return True
        if link.kind != "step" or link.loop is None or link.at is None:
            return False
        return self.column(link.loop, link.at) != self.column(link.trajectory.loop, link.t)

    def _shift(self, state: State) -> float:
        """The distance from a state's circle to its line upwards."""
        n = self.flow.structure.loops.index(state.trajectory.loop)
        return self.pitch * (0.24 + 0.07 * (n % 3))

    def _up(
        self, state: State, k: int, t: int, norm: float, goals: list[float], shift: float
    ) -> None:
        """Draw the lines from a circle up to the row of the loss, or to the loops above."""
        loop, y, r = state.trajectory.loop, self.row_of[state].y, self.radius
        x = self.x(self.column(loop, t))
        forth, back = self.forth[loop, t], self.back[loop, t]
        key, side, out = f"o{k}.{t}", x + shift, x + r * 0.7
        stop = goals[0] + (0 if goals[0] == self.loss_y else 14)
        for line, lane, frame in (("fwd", 4.5, forth), (f"back m{self.shade(norm)}", 0.0, back)):
            lane *= self.roomy
            d = (
                f"M{number(out)} {number(y - r * 0.7 + lane)}"
                f"L{number(side + lane)} {number(y - r - 7 + lane / 2)}V{number(stop)}"
            )
            self.path(d, line, self.tags(frame, key))
        for goal in goals:
            if goal != self.loss_y:
                self._arrow(side, goal + 14, x + r * 0.8, goal + 5, forth, key)

    def _inside(self, state: State, k: int, t: int, c: int, norm: float, rows: list[Row]) -> None:
        """Draw the lines between two neighbouring states of the same step, as from c to h."""
        loop, node = state.trajectory.loop, state.trajectory.nodes[t]
        y = self.row_of[state].y
        others = [
            row.y
            for row in rows
            for other in row.states
            if other.trajectory.loop is loop
            and other is not state
            and t in other.trajectory.nodes
            and node.number < other.trajectory.nodes[t].number  # computed from this one
        ]
        if not others:
            return
        other = min(others, key=lambda row: abs(row - y))
        way = 1 if other > y else -1
        x, lane = self.x(c), self.lane * 0.8
        y0, y1 = y + way * (self.radius + 1), other - way * (self.radius + 1)
        forth, back, key = self.forth[loop, t], self.back[loop, t], f"i{k}.{t}"
        self._arrow(x - lane, y0, x - lane, y1, forth, key)
        line = f"M{number(x + lane)} {number(y1)}V{number(y0)}"
        self.path(line, f"back m{self.shade(norm)}", self.tags(back, key))

    def _inward(self, lowest: dict[tuple[Loop, int], float]) -> None:
        """Draw the lines from the inputs up to all loops that use them."""
        below: dict[int, float] = defaultdict(float)  # the lowest circle of each column
        for (loop, t), y in lowest.items():
            c = self.column(loop, t)
            below[c] = max(below[c], y)
        for time_step, inputs in self.flow.structure.inputs.items():
            c = self.flow.columns.of[time_step]
            if not inputs or (time_step.loop, time_step.t) not in lowest or not self.on(c):
                continue
            y = lowest[time_step.loop, time_step.t]
            x, direct = self.x(c), y == below[c]  # otherwise the lines start at the input's side
            forth, back = (
                self.forth[time_step.loop, time_step.t],
                self.back[time_step.loop, time_step.t],
            )
            norm, key = float(self.flow.inputs[c]), f"x{c}"
            end = y + self.radius + 1
            if direct:
                if norm == norm and norm != 0:
                    d = f"M{number(x + self.lane)} {number(end)}V{number(self.input_y - 6)}"
                    self.path(d, f"back m{self.shade(norm)}", self.tags(back, key))
                self._arrow(x, self.input_y - 6, x, end, forth, key)
                continue
            side, edge = x - self.pitch * 0.3, x - self.square / 2
            if norm == norm and norm != 0:
                d = (
                    f"M{number(side + self.lane)} {number(y + 4)}V{number(self.input_y + 2)}"
                    f"H{number(edge)}"
                )
                self.path(d, f"back m{self.shade(norm)}", self.tags(back, key))
            d = f"M{number(edge)} {number(self.input_y - 2)}H{number(side)}V{number(y + 10)}"
            self.path(d, "fwd", self.tags(forth, key))
            self._arrow(side, y + 10, x - self.radius * 0.8, y + 5, forth, key)

    def _into_loss(self, leaving: list[tuple[float, float]]) -> None:
        """Draw the line that collects all links to the loss, and the loss at its end."""
        last = self.stop == self.flow.T
        end = self.right + (12 if last else -1)
        ends = [x for x, _ in leaving[1:]] + [end] * bool(leaving)
        norms = itertools.accumulate((norm for _, norm in leaving), math.hypot)
        if leaving:
            d = f"M{number(leaving[0][0])} {number(self.loss_y - self.lane)}H{number(end)}"
            self.path(d, "fwd", self.tags(self.loss_frame))
        parts = [(self.shade(norm), x) for norm, (x, _) in zip(norms, leaving, strict=True)]
        for shown, part in itertools.groupby(zip(parts, ends, strict=True), lambda p: p[0][0]):
            (first, stop), *others = part
            stop = others[-1][1] if others else stop
            d = f"M{number(first[1])} {number(self.loss_y)}H{number(stop)}"
            more = ' stroke-linecap="square"' + self.tags(self.loss_frame + 1, "L")
            self.path(d, f"back m{shown}", more)
        if last:
            word = "loss" if self.flow.structure.output.name in (None, "loss") else "L"
            tags = self.tags(self.loss_frame, "L")
            self.rect(end, self.loss_y - 10, 46, 20, "node", f' rx="4"{tags}')
            self.text(end + 23, self.loss_y + 4, word, at="middle", more=tags)


@dataclass(slots=True)
class Lattice:
    """The picture.

    Attributes:
        svg: the SVG text.
        sheet: the positions of everything.
        time_steps: the loop and the time step of each frame of the two sweeps; None for the loss.
    """

    svg: str
    sheet: Sheet
    time_steps: list[tuple[Loop, int] | None]


def _norm(norm: float) -> str:
    return f"{norm:.3g}" if math.isfinite(norm) else figure(norm)
