"""The sheet that a gradient flow is drawn on: columns, rows, frames of the sweeps, labels."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..bptt.flow import Flow, State
from ..bptt.table import common_name
from ..bptt.time_steps import Loop
from .scale import Scale
from .svg import Canvas, escaped, fitted, number

LEFT, RIGHT = 178, 76
WIDTH = 1120  # of all columns, unless another width is asked for
#: From these widths of a column on, arrows have heads, and there are arrows at all.
ROOMY, LINED = 40, 11
WIDEST = 96


@dataclass(eq=False, slots=True)
class Row:
    """States that stand in one row: one, or the same of loops that follow each other.

    Attributes:
        states: from the left to the right.
        label, small: what is written before it.
        y: where it is drawn.
    """

    states: list[State]
    label: str
    small: str
    y: float = 0.0
    keys: list[int] = field(default_factory=list)  # the states' numbers in the flow


class Sheet(Canvas):
    """SVG parts, written from the top down.

    Attributes:
        flow: what is drawn.
        playable: whether each part says in which frame it appears, and what is told about it.
        pitch: the width of a column.
        lines: the columns of each line, as (first, stop).
        first, stop: those of the line that is being drawn.
        roomy, lined: whether there is room for heads on the arrows, and for arrows at all.
        scale: of the norms.
        y: how far down the parts reach.
        order: the loop and the number of every time step, in the order in which they ran.
        forth, back: the frames in which the sweeps come to a time step.
        loss_frame: the one in which they come to the loss.
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
        else:  # as a text is broken into lines
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
                common_name(states),
                f"{states[0].kind} {states[0].trajectory.shape}",
                keys=[numbers[state] for state in states],
            )
            for states in flow.rows()
        ]

    def _number_frames(self) -> None:
        """The steps in the order in which they ran, then the loss, then backwards."""
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
        """Whether a column is in the line that is being drawn."""
        return self.first <= column < self.stop

    def column(self, loop: Loop, t: int) -> int:
        columns = self.flow.columns.of
        return next(columns[time_step] for time_step in loop.time_steps if time_step.t == t)

    # ── parts ────────────────────────────────────────────────────────────────────────────

    def tags(self, frame: int | None, key: str = "") -> str:
        if not self.playable:
            return ""
        told = f' data-k="{key}"' if key else ""
        return told if frame is None else f'{told} data-f="{frame}"'

    def label(self, y: float, text: str, *small: str, more: str = "") -> None:
        """The name of a row, to the left of it, and small lines beneath."""
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
