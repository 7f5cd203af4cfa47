"""The sheet that a gradient flow is drawn on: columns, rows, frames of the sweeps, labels."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..bptt.flow import Flow, State
from ..bptt.steps import Loop
from .scale import Scale
from .svg import Canvas, escaped, fitted, number

LEFT, RIGHT = 178, 76
WIDTH = 1120  # the default width of all columns
#: The smallest widths of a column for arrows with heads, and for any arrows.
ROOMY, LINED = 40, 11
WIDEST = 96


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
