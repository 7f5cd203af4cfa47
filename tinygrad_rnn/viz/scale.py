"""The scale of gradient norms: the colour and the height of each norm.

The written rule in ``bptt.flow`` decides what has vanished or exploded; the picture does not. The
colours run logarithmically over the other norms. Exploded norms have their own colours, so that
one exploding net does not take the colours of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from . import style

LEAST_DECADES = 4  # so that a nearly constant gradient has nearly one colour
EXPLODING = len(style.EXPLODING)


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of norms, for a logarithmic scale.

    Attributes:
        low, high: the norms at the ends of the colours.
        most: the largest finite norm; above ``high`` if some norm exploded.
        regimes: the verdicts of the written rule that occur.
    """

    low: float
    high: float
    most: float
    regimes: frozenset[str] = frozenset()

    @classmethod
    def over(cls, sizes: Iterable[tuple[float, str]]) -> Scale:
        """The scale for some norms, each with the verdict of the rule."""
        sizes = list(sizes)
        shown = [size for size, regime in sizes if regime == "" and size > 0]
        exploded = [size for size, regime in sizes if regime == "exploded"]
        high = max(shown, default=min(exploded, default=1.0))
        high = max(high, 1e-290)  # keeps the low end above 0
        decades = math.ceil(math.log10(high) - math.log10(min(shown, default=high)) - 1e-9)
        low = high * 10.0 ** -max(decades, LEAST_DECADES)
        most = max([high, *exploded])
        return cls(max(low, 1e-300), high, most, frozenset(regime for _, regime in sizes))

    def fraction(self, norm: float) -> float:
        """The place of a norm among the colours: 0 at the low end, 1 at the high end."""
        return _between(norm, self.low, self.high)

    @property
    def knee(self) -> float:
        """The place from 0 to 1 where the colours end, on an axis of all finite norms.

        Exploded norms get at most a third of the axis, so that the rest stays readable.
        """
        decades = math.log10(self.high) - math.log10(self.low)
        return max(decades / (math.log10(self.most) - math.log10(self.low)), 2 / 3)

    def height(self, norm: float) -> float:
        """The place of a norm on this axis."""
        knee = self.knee
        below = knee * _between(norm, self.low, self.high)
        return below + (1 - knee) * _between(norm, self.high, self.most)

    @property
    def is_bent(self) -> bool:
        """Whether decades are narrower above the knee."""
        return self.knee > _between(self.high, self.low, self.most) + 1e-9

    def shade(self, norm: float, regime: str) -> str:
        """The name of a norm's colour.

        ``0`` to ``15``; ``e0`` to ``e3`` for exploded norms; ``z`` for vanished ones; ``n`` for no
        gradient at all; ``x`` for NaN and Inf.
        """
        kind = {"vanished": "z", "none": "n", "0": "n", "NaN": "x"}.get(regime)
        if kind is not None:
            return kind
        if regime == "exploded":
            at = _between(norm, self.high, self.most) if self.most > self.high else 1.0
            return f"e{min(int(at * EXPLODING), EXPLODING - 1)}"
        return str(round(self.fraction(norm) * (style.SHADES - 1)))


def _between(norm: float, low: float, high: float) -> float:
    if not high > low or not norm > low:
        return 0.0
    if norm >= high:
        return 1.0
    return (math.log10(norm) - math.log10(low)) / (math.log10(high) - math.log10(low))
