"""The sheet that a gradient flow is drawn on: columns, rows, frames of the sweeps, labels."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..bptt.flow import Flow, State
from ..bptt.turns import Loop
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
        order: loop and time step of every turn, as they ran.
        forth, back: the frames in which the sweeps come to a turn.
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
        self.rows = self._rows()

    def _number_frames(self) -> None:
        """The steps in the order in which they ran, then the loss, then backwards."""
        last: dict[tuple[Loop, int], int] = {}
        for turn, members in self.flow.structure.members.items():
            last[turn.loop, turn.t] = members[-1].number
        self.order = sorted(last, key=last.__getitem__)
        self.forth = {key: 1 + k for k, key in enumerate(self.order)}
        self.loss_frame = len(self.order) + 1
        self.back = {key: 2 * self.loss_frame - k for key, k in self.forth.items()}

    def _rows(self) -> list[Row]:
        """From the top down: the last loop first, and in it the outputs before the states."""
        reads = {
            frozenset((link.trajectory.loop, link.loop))
            for link in self.flow.links
            if link.kind == "read"
        }
        rows: dict[object, list[Row]] = {}
        found: list[Row] = []
        numbers = {state: k for k, state in enumerate(self.flow.states.values())}
        for loop in reversed(self.flow.structure.loops):
            mine = [s for s in self.flow.states.values() if s.trajectory.loop is loop]
            for state in sorted(mine, key=lambda state: state.kind == "output")[::-1]:
                kind = (loop.path, state.kind, state.trajectory.plain, state.trajectory.shape)
                for row in rows.get(kind, []):
                    others = [other.trajectory.loop for other in row.states]
                    apart = all(
                        not set(other.columns.tolist()) & set(state.columns.tolist())
                        and frozenset((other.trajectory.loop, loop)) not in reads
                        for other in row.states
                    )
                    if apart and loop not in others:
                        row.states.insert(0, state)
                        row.keys.insert(0, numbers[state])
                        row.label = _common_label(row.states)
                        break
                else:
                    small = f"{state.kind} {state.trajectory.shape}"
                    row = Row([state], state.name, small, keys=[numbers[state]])
                    rows.setdefault(kind, []).append(row)
                    found.append(row)
        return found

    # ── where things are ─────────────────────────────────────────────────────────────────

    def x(self, column: int) -> float:
        return LEFT + self.pitch * (column - self.first + 0.5)

    def on(self, column: int) -> bool:
        """Whether a column is in the line that is being drawn."""
        return self.first <= column < self.stop

    def column(self, loop: Loop, t: int) -> int:
        columns = self.flow.columns.of
        return next(columns[turn] for turn in loop.turns if turn.t == t)

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


def _common_label(states: list[State]) -> str:
    names = {state.name.rstrip("0123456789 ") for state in states}
    return names.pop() if len(names) == 1 else states[0].trajectory.plain
