"""The sheet that a gradient flow is drawn on: columns, scales, frames of the sweeps, labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from .flow import GradientFlow
from .picture import Scale
from .svg import escaped, number, shortened
from .turns import Loop

LEFT, RIGHT, TOP = 178, 76, 58
#: From these widths of a column on, arrows have heads, and there are arrows at all.
ROOMY, LINED = 40, 11
LEAST_DECADES, MOST_DECADES = 4, 8


def scale_of(norms: Iterable[float]) -> Scale:
    """A scale of some decades, however small the range: a gradient that stays looks so."""
    norms = [float(norm) for norm in norms if not math.isnan(norm)]
    shown = [norm for norm in norms if norm > 0 and math.isfinite(norm)]
    high = max(max(shown, default=1.0), 1e-290)  # smaller ones are as good as vanished
    decades = math.ceil(math.log10(high) - math.log10(min(shown, default=high)) - 1e-9)
    low = high * 10.0 ** -min(max(decades, LEAST_DECADES), MOST_DECADES)
    return Scale(low, high, 0.0 in norms, any(not math.isfinite(norm) for norm in norms))


def ticks(count: int, pitch: float, first: int = 0) -> list[int]:
    """The steps that have room for a label."""
    room = 7 * len(str(first + count - 1)) + 8
    stride = next(
        base * 10**power
        for power in itertools.count()
        for base in (1, 2, 5)
        if base * 10**power * pitch >= room
    )
    return list(range(0, count, stride))


class Sheet:
    """SVG parts, written from the top down.

    Attributes:
        flow, rails: what is drawn, and its structure.
        playable: whether each part says in which frame it appears, and what is told about it.
        pitch: the width of a column.
        right: where the last column ends.
        roomy, lined: whether there is room for heads on the arrows, and for arrows at all.
        scale: of the norms.
        parts: the SVG so far.
        y: how far down it reaches.
        order: loop and time step of every turn, as they ran.
        forth, back: the frames in which the sweeps come to a turn.
        loss_frame: the one in which they come to the loss.
    """

    def __init__(self, flow: GradientFlow, playable: bool):
        self.flow, self.playable = flow, playable
        self.rails = flow.rails
        self.pitch = max(min(96.0, 1120 / flow.T), 1.6)
        self.right = LEFT + self.pitch * flow.T
        self.roomy, self.lined = self.pitch >= ROOMY, self.pitch >= LINED
        self.scale = scale_of(
            itertools.chain(*(s.norms[s.steps] for s in flow.states.values()), flow.inputs)
        )
        self.parts: list[str] = []
        self.y = float(TOP)
        self._number_frames()

    # ── frames of the sweeps ─────────────────────────────────────────────────────────────

    def _number_frames(self) -> None:
        """The steps in the order in which they ran, then the loss, then backwards."""
        last: dict[tuple[Loop, int], int] = {}
        for turn, members in self.rails.members.items():
            last[turn.loop, turn.t] = members[-1].number
        self.order = sorted(last, key=lambda key: last[key])
        self.forth = {key: 1 + k for k, key in enumerate(self.order)}
        self.loss_frame = len(self.order) + 1
        self.back = {key: 2 * self.loss_frame - k for key, k in self.forth.items()}

    def tags(self, frame: int | None, key: str = "") -> str:
        if not self.playable:
            return ""
        told = f' data-k="{key}"' if key else ""
        return told if frame is None else f'{told} data-f="{frame}"'

    # ── parts ────────────────────────────────────────────────────────────────────────────

    def x(self, t: int) -> float:
        return LEFT + self.pitch * (t + 0.5)

    def add(self, part: str) -> None:
        self.parts.append(part)

    def label(self, y: float, text: str, small: str = "", full: str = "") -> None:
        """The name of a row, to the left of it."""
        title = f"<title>{escaped(full)}</title>" if full else ""
        shown = escaped(shortened(text, 24))
        at = y + 4 if not small else y
        self.add(f'<text x="{LEFT - 14}" y="{number(at)}" text-anchor="end">{title}{shown}</text>')
        if small:
            self.add(
                f'<text class="small" x="{LEFT - 14}" y="{number(y + 11)}" text-anchor="end">'
                f"{escaped(shortened(small, 30))}</text>"
            )
