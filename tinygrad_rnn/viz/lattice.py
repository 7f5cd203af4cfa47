"""The picture of a gradient flow: columns are time steps, rows are what runs along them.

From the top: the loss, the states of every loop (an LSTM's c above its h), the inputs; a rail for
every shared weight with a tap at each step; and the norms of the gradients as bars. Where values
run forward, a thin arrow does; beside it the gradient comes back, and its logarithm is the width
and the colour. The layout is known beforehand, so the SVG is written directly. With many steps the
columns become narrow: arrows lose their heads, labels are thinned out, and at last every row is a
strip of colours.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from . import strips
from .flow import GradientFlow, State
from .sheet import LEFT, RIGHT, TOP, Sheet
from .svg import document, escaped, figure, number, shade, shortened
from .turns import Loop


@dataclass(slots=True)
class Lattice:
    """The picture.

    Attributes:
        svg: the SVG text.
        pitch: the width of a time step's column.
        turns: for each frame of the two sweeps the loop and the time step; None for the loss.
    """

    svg: str
    pitch: float
    turns: list[tuple[Loop, int] | None]


def draw_lattice(flow: GradientFlow, playable: bool = False) -> Lattice:
    """Draw it.

    Args:
        flow: the numbers.
        playable: give each part the frames in which it appears (``data-f``) and the key of what
            is to be told about it (``data-k``).
    """
    return _Drawer(flow, playable).lattice()


class _Drawer(Sheet):
    def __init__(self, flow: GradientFlow, playable: bool):
        super().__init__(flow, playable)
        self.radius = 9.5 if self.roomy else min(self.pitch * 0.3, 6)
        self.square = 12 if self.roomy else min(self.pitch * 0.6, 9)
        self.rows: dict[State, float] = {}

    # ── all of it ────────────────────────────────────────────────────────────────────────

    def lattice(self) -> Lattice:
        self._place_rows()
        self._guides()
        if self.lined:
            self._verticals()
        for state in self.rows:
            self._row(state)
        self._input_row()
        strips.times(self)
        strips.weights(self)
        strips.bars(self, list(self.rows))
        if self.flow.text is not None:
            strips.text(self, self.flow.text)
        if self.playable:
            self.add(
                f'<rect id="now" x="{LEFT}" y="{TOP}" width="{number(self.pitch)}" '
                f'height="{number(self.y - TOP)}"/>'
            )
        width = max(self.right + RIGHT, 720)
        height = self.y + 14
        head = self._head(width)
        words = f"gradient flow through {self.flow.T} time steps"
        widest = 9 if self.roomy else self.pitch * 0.4
        svg = document(width, height, words, widest, head + "".join(self.parts))
        turns = [*self.order, None, *self.order[::-1]]
        return Lattice(svg, self.pitch, list(turns))

    # ── the head ─────────────────────────────────────────────────────────────────────────

    def _head(self, width: float) -> str:
        flow = self.flow
        name = self.rails.output.name
        named = f"{escaped(shortened(name, 40))} = " if name and name != "loss" else ""
        title = f"The gradient on its way back through {flow.T} step{'s' * (flow.T != 1)}"
        left, top, cell = width - 26 - 13 * 16, 18, 13
        cells = "".join(
            f'<rect class="f{k}" x="{number(left + cell * k)}" y="{top}" width="{cell}" '
            f'height="{number(2 + k * 0.5)}"/>'
            for k in range(16)
        )
        marks = "".join(
            f'<text class="small" x="{number(left + at * cell * 16)}" y="{top + 22}" '
            f'text-anchor="{anchor}">{figure(norm)}</text>'
            for at, norm, anchor in (
                (0, self.scale.low, "start"),
                (0.5, math.sqrt(self.scale.low) * math.sqrt(self.scale.high), "middle"),
                (1, self.scale.high, "end"),
            )
        )
        caption = f'<text class="small" x="{number(left)}" y="12">norm of the gradient</text>'
        norms = [norm for state in flow.states.values() for norm in state.norms[state.steps]]
        shades = {shade(self.scale, float(norm)) for norm in norms}
        known = (("z", "vanished"), ("x", "NaN or Inf"))
        for k, (kind, words) in enumerate((kind, words) for kind, words in known if kind in shades):
            at = left - 66 - 84 * k
            cells += (
                f'<rect class="f{kind}" x="{number(at)}" y="{top}" width="{cell}" height="10"/>'
                f'<text class="small" x="{number(at + 17)}" y="{top + 8}">{words}</text>'
            )
        if any(len(state.cuts) for state in flow.states.values()):
            cells += (
                f'<path class="cut" d="M{number(left - 59)} 32l4 3.5l-4 3.5l4 3.5"/>'
                f'<text class="small" x="{number(left - 49)}" y="40">cut off</text>'
            )
        return (
            f'<text class="title" x="16" y="24">{title}</text>'
            f'<text class="small" x="16" y="40">L = {named}{flow.loss:.5g}; thin: forward, '
            f"coloured: back</text>{caption}{cells}{marks}"
        )

    # ── rows ─────────────────────────────────────────────────────────────────────────────

    def _place_rows(self) -> None:
        """From the loss down to the inputs: the last loop on top."""
        gap = 46 if self.roomy else 30 if self.lined else 22
        self.loss_y = self.y + 14
        self.y = self.loss_y + gap - 4
        for loop in reversed(self.rails.loops):
            mine = [s for s in self.flow.states.values() if s.rail.loop is loop]
            for kind in ("output", "state"):
                for state in reversed([s for s in mine if s.kind == kind]):
                    self.rows[state] = self.y
                    self.y += gap
            self.y += 4
        self.input_y = self.y
        self.y += 26

    def _guides(self) -> None:
        if self.lined:
            top, bottom = self.loss_y, self.input_y + 12
            path = "".join(
                f"M{number(self.x(t))} {number(top)}V{number(bottom)}" for t in range(self.flow.T)
            )
            self.add(f'<path class="guide" d="{path}"/>')

    def _row(self, state: State) -> None:
        y = self.rows[state]
        title = {"state": "state", "output": "output"}[state.kind]
        node = next(iter(state.rail.nodes.values()))
        small = f"{title} {node.output.shape}" if self.lined else ""
        self.label(y - 2 * self.lined, state.name, small, state.name)
        k = list(self.flow.states).index(state.name)
        loop = state.rail.loop
        turns = [turn.t for turn in loop.turns if turn.t in state.rail.nodes]
        if self.lined:
            if state.kind == "state":
                for before, after in itertools.pairwise(turns):
                    self._corridor(state, k, before, after, y)
                self._ends(state, turns, y)
            for t in turns:
                self._circle(state, k, t, y)
        else:
            self._strip(state, k, y)
        for t in state.cuts:
            x = self._entrance(t, turns)
            self.add(
                f'<path class="cut" d="M{number(x - 2)} {number(y - 11)}l5 5.5l-5 5.5l5 5.5l-5 5.5"'
                f"{self.tags(None, f'c{k}.{t}')}><title>t = {t}: a constant enters "
                f"{escaped(state.name)} here; the gradient goes no further</title></path>"
            )

    def _entrance(self, t: int, turns: list[int]) -> float:
        """Where a state comes into a time step: to the left, or in a reversed loop to the right."""
        back = len(turns) > 1 and turns[0] > turns[-1]
        return self.x(t) + self.pitch * (0.5 if back else -0.5)

    def _corridor(self, state: State, k: int, before: int, after: int, y: float) -> None:
        """From one time step to the next, and back."""
        loop = state.rail.loop
        norm = float(state.sent["next"][before])
        lane = 5.0 if self.roomy else 0.0
        way = 1 if after > before else -1
        x0 = self.x(before) + way * (self.radius + 1)
        x1 = self.x(after) - way * (self.radius + 1)
        forth, back = self.forth[loop, after], self.back[loop, after]
        if after in state.cuts:
            return
        key = f"e{k}.{before}"
        self._arrow(x0, y - lane, x1, y - lane, forth, key)
        shown = shade(self.scale, norm)
        if shown == "z" and not norm:
            return
        tip = x0 + way * (7 if self.roomy else 0)
        d = f"M{number(x1)} {number(y + lane)}H{number(tip)}"
        self.add(f'<path class="back l{shown}" d="{d}"{self.tags(back, key)}/>')
        if self.roomy:
            half = 3 + 3.4 * (self.scale.fraction(norm) if shown.isdigit() else 0)
            self.add(
                f'<path class="f{shown}" d="M{number(x0)} {number(y + lane)}l{number(way * 9)} '
                f'{number(-half)}v{number(2 * half)}z"{self.tags(back, key)}/>'
            )
            gate = state.gates is not None and not math.isnan(state.gates[after])
            if gate and state.gates is not None and self.pitch >= 60:
                middle = self.x(min(before, after)) + 0.62 * self.pitch  # beside the ways out
                self.add(
                    f'<text class="small" x="{number(middle)}" y="{number(y - 10)}" '
                    f'text-anchor="middle"{self.tags(forth)}>×{state.gates[after]:.2f}</text>'
                )

    def _arrow(self, x0: float, y0: float, x1: float, y1: float, frame: int, key: str) -> None:
        """A thin arrow forward, with a head where there is room."""
        self.add(
            f'<path class="fwd" d="M{number(x0)} {number(y0)}L{number(x1)} {number(y1)}"'
            f"{self.tags(frame, key)}/>"
        )
        if self.roomy:
            length = math.hypot(x1 - x0, y1 - y0) or 1
            ux, uy = (x1 - x0) / length, (y1 - y0) / length
            points = [(x1, y1)]
            points += [(x1 - 6 * ux - s * 2.6 * uy, y1 - 6 * uy + s * 2.6 * ux) for s in (1, -1)]
            d = "L".join(f"{number(a)} {number(b)}" for a, b in points)
            self.add(f'<path class="head" d="M{d}z"{self.tags(frame)}/>')

    def _ends(self, state: State, turns: list[int], y: float) -> None:
        """The first state comes from before."""
        if turns and turns[0] not in state.cuts and state.rail.loop.turns[0].t == turns[0]:
            way = -1 if len(turns) > 1 and turns[0] > turns[-1] else 1
            x = self.x(turns[0])
            stop = x - way * (self.radius + 1)
            lane = 5.0 if self.roomy else 0.0
            start = x - way * self.pitch * 0.46
            frame = self.forth[state.rail.loop, turns[0]]
            self._arrow(start, y - lane, stop, y - lane, frame, "")

    def _circle(self, state: State, k: int, t: int, y: float) -> None:
        loop, norm = state.rail.loop, float(state.norms[t])
        at = f'cx="{number(self.x(t))}" cy="{number(y)}" r="{number(self.radius)}"'
        key = f"s{k}.{t}"
        self.add(f'<circle class="node" {at}{self.tags(self.forth[loop, t], key)}/>')
        title = ""
        if not self.playable:
            title = f"<title>{escaped(f'd L / d {state.name}, t = {t}')}: {norm:.3g}</title>"
        self.add(
            f'<circle class="f{shade(self.scale, norm)}" {at}'
            f"{self.tags(self.back[loop, t], key)}>{title}</circle>"
        )

    def _strip(self, state: State, k: int, y: float) -> None:
        width = number(max(self.pitch + 0.15, 1))
        self.add(
            f'<rect class="node" x="{LEFT}" y="{number(y - 8)}" '
            f'width="{number(self.pitch * self.flow.T)}" height="16"/>'
        )
        for t in state.steps.tolist():
            tags = self.tags(self.back[state.rail.loop, t], f"s{k}.{t}")
            self.add(
                f'<rect class="f{shade(self.scale, float(state.norms[t]))}" '
                f'x="{number(self.x(t) - self.pitch / 2)}" y="{number(y - 8)}" width="{width}" '
                f'height="16"{tags}/>'
            )

    # ── between the rows ─────────────────────────────────────────────────────────────────

    def _verticals(self) -> None:
        """Inputs into the loops, states into states, outputs into the loops above and the loss."""
        rows = self.rows
        lowest: dict[Loop, float] = {}
        present: set[tuple[Loop, int]] = set()  # where the lowest row has a circle
        for state, y in rows.items():  # from the top down
            loop = state.rail.loop
            lowest[loop] = y
            present = {key for key in present if key[0] is not loop}
            present |= {(loop, t) for t in state.rail.nodes}
        leaving: list[tuple[float, float]] = []
        for n, loop in enumerate(self.rails.loops):
            goals = [
                lowest[other]
                for other in self.rails.loops
                if other in lowest and loop in self.rails.fed.get(other, [])
            ]
            if loop in self.rails.fed[None]:
                goals.append(self.loss_y)
            shift = self.pitch * (0.24 + 0.07 * (n % 3))
            for k, state in enumerate(self.flow.states.values()):
                if state.rail.loop is loop:
                    self._ways_out(state, k, goals, shift)
                    if loop in self.rails.fed[None]:
                        sent = state.sent["outside"]
                        out = np.flatnonzero(sent).tolist()
                        leaving += [(self.x(t) + shift, float(sent[t])) for t in out]
        self._inward(lowest, present)
        self._into_loss(sorted(leaving))

    def _into_loss(self, leaving: list[tuple[float, float]]) -> None:
        """The line that everything is gathered on, and the loss at its end."""
        end, lane = self.right + 12, 5 * self.roomy
        ends = [x for x, _ in leaving[1:]] + [end]
        norms = itertools.accumulate((norm for _, norm in leaving), math.hypot)
        if leaving:
            d = f"M{number(leaving[0][0])} {number(self.loss_y - lane)}H{number(end)}"
            self.add(f'<path class="fwd" d="{d}"{self.tags(self.loss_frame)}/>')
        parts = [(shade(self.scale, norm), x) for norm, (x, _) in zip(norms, leaving, strict=True)]
        for shown, part in itertools.groupby(zip(parts, ends, strict=True), lambda p: p[0][0]):
            (first, stop), *others = part
            stop = others[-1][1] if others else stop
            d = f"M{number(first[1])} {number(self.loss_y)}H{number(stop)}"
            tags = self.tags(self.loss_frame + 1, "L")
            self.add(f'<path class="back m{shown}" stroke-linecap="square" d="{d}"{tags}/>')
        self._loss_box()

    def _ways_out(self, state: State, k: int, goals: list[float], shift: float) -> None:
        y = self.rows[state]
        loop = state.rail.loop
        for t in state.steps.tolist():
            x, forth, back = self.x(t), self.forth[loop, t], self.back[loop, t]
            norm = float(state.sent["step"][t])
            if norm > 0 and state.kind == "state":
                self._inside(state, k, t, norm)
            norm = float(state.sent["outside"][t])
            if norm > 0 and goals:
                side = x + shift
                out = x + self.radius * 0.7
                key = f"o{k}.{t}"
                shown = shade(self.scale, norm)
                for line, lane, frame in (("fwd", 4.5, forth), (f"back m{shown}", 0.0, back)):
                    lane *= self.roomy
                    d = (
                        f"M{number(out)} {number(y - self.radius * 0.7 + lane)}"
                        f"L{number(side + lane)} {number(y - self.radius - 7 + lane / 2)}"
                        f"V{number(min(goals))}"
                    )
                    self.add(f'<path class="{line}" d="{d}"{self.tags(frame, key)}/>')
                for goal in goals:
                    if goal != self.loss_y:
                        self._arrow(side, goal + 14, x + self.radius * 0.8, goal + 5, forth, key)

    def _inside(self, state: State, k: int, t: int, norm: float) -> None:
        """Between two states of the same step, as from c to h: only where they are neighbours."""
        y, loop = self.rows[state], state.rail.loop
        others = [
            row
            for s, row in self.rows.items()
            if s.rail.loop is loop
            and s is not state
            and t in s.rail.nodes
            and self._feeds(state, s, t)
        ]
        if not others:
            return
        other = min(others, key=lambda row: abs(row - y))
        way = 1 if other > y else -1
        x, lane = self.x(t), 4.0 if self.roomy else 0.0
        y0, y1 = y + way * (self.radius + 1), other - way * (self.radius + 1)
        forth, back, key = self.forth[loop, t], self.back[loop, t], f"i{k}.{t}"
        shown = shade(self.scale, norm)
        self._arrow(x - lane, y0, x - lane, y1, forth, key)
        d = f"M{number(x + lane)} {number(y1)}V{number(y0)}"
        self.add(f'<path class="back m{shown}" d="{d}"{self.tags(back, key)}/>')

    def _feeds(self, state: State, other: State, t: int) -> bool:
        """Whether, in a step, one state is computed from the other (the earlier one)."""
        return state.rail.nodes[t].number < other.rail.nodes[t].number

    def _inward(self, lowest: dict[Loop, float], present: set[tuple[Loop, int]]) -> None:
        """The inputs' ways up, to all loops that take them."""
        for turn, given in self.rails.inputs.items():
            if not given or (turn.loop, turn.t) not in present or self.rails.fed.get(turn.loop):
                continue
            x, y = self.x(turn.t), lowest[turn.loop]
            direct = y == max(lowest.values())  # else they come from the input's side
            forth, back = self.forth[turn.loop, turn.t], self.back[turn.loop, turn.t]
            side = x if direct else x - self.pitch * 0.3
            norm = float(self.flow.inputs[turn.t])
            end = y + self.radius + 1 if direct else y + 4
            key = f"x{turn.t}"
            if norm > 0:
                lane = 5 * self.roomy
                d = f"M{number(side + lane)} {number(end)}V{number(self.input_y - 6)}"
                if not direct:
                    d = (
                        f"M{number(side + lane)} {number(end)}V{number(self.input_y + 2)}"
                        f"H{number(x - self.square / 2)}"
                    )
                shown = shade(self.scale, norm)
                self.add(f'<path class="back m{shown}" d="{d}"{self.tags(back, key)}/>')
            if direct:
                self._arrow(side, self.input_y - 6, side, end, forth, key)
            else:
                d = (
                    f"M{number(x - self.square / 2)} {number(self.input_y - 2)}H{number(side)}"
                    f"V{number(end + 6)}"
                )
                self.add(f'<path class="fwd" d="{d}"{self.tags(forth, key)}/>')
                self._arrow(side, end + 6, x - self.radius * 0.8, end + 1, forth, key)

    def _loss_box(self) -> None:
        x, y = self.right + 12, self.loss_y
        word = "loss" if self.rails.output.name in (None, "loss") else "L"
        self.add(
            f'<rect class="node" x="{number(x)}" y="{number(y - 10)}" width="46" height="20" '
            f'rx="4"{self.tags(self.loss_frame, "L")}/>'
            f'<text x="{number(x + 23)}" y="{number(y + 4)}" text-anchor="middle"'
            f"{self.tags(self.loss_frame, 'L')}>{word}</text>"
        )

    # ── inputs, times, weights, bars ─────────────────────────────────────────────────────

    def _input_row(self) -> None:
        loops_at = defaultdict(list)
        for turn in self.rails.inputs:
            loops_at[turn.t].append(turn.loop)
        given = {turn.t for turn, inputs in self.rails.inputs.items() if inputs}
        if not given:
            return
        self.label(self.input_y - 2, "input", self._input_names())
        if not self.lined:
            self.add(
                f'<rect class="node" x="{LEFT}" y="{number(self.input_y - 6)}" '
                f'width="{number(self.pitch * self.flow.T)}" height="12"/>'
            )
        side = number(self.square)
        size = f'width="{side}" height="{side}"'
        y = number(self.input_y - self.square / 2)
        for t in sorted(given):
            x = number(self.x(t) - self.square / 2)
            if not self.lined:
                x, y = number(self.x(t) - self.pitch / 2), number(self.input_y - 5.5)
                size = f'width="{self.pitch:.2f}" height="11"'
            forth = min(self.forth[loop, t] for loop in loops_at[t])
            norm = float(self.flow.inputs[t])
            if self.lined:
                tags = self.tags(forth, f"x{t}")
                self.add(f'<rect class="node" x="{x}" y="{y}" {size}{tags}/>')
            elif math.isnan(norm):
                # A constant: no gradient comes here, which is not to look like a vanished one.
                self.add(f'<rect class="bg" x="{x}" y="{y}" {size}{self.tags(forth, f"x{t}")}/>')
            if not math.isnan(norm):
                back = max(self.back[loop, t] for loop in loops_at[t])
                shown = shade(self.scale, norm)
                self.add(
                    f'<rect class="f{shown}" x="{x}" y="{y}" {size}{self.tags(back, f"x{t}")}/>'
                )

    def _input_names(self) -> str:
        names = [given.name for inputs in self.rails.inputs.values() for given in inputs]
        stems = dict.fromkeys(name.rstrip("0123456789]").rstrip("[_") for name in names if name)
        return ", ".join(stem for stem in stems if stem)
