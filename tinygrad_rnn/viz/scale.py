"""The scale of gradient norms: which colour and which height each one has.

What has vanished and what has exploded is not a matter of the picture but of the written rule,
``bptt.flow``. The colours run logarithmically over what is neither. What exploded has colours of
its own, so that one exploding net leaves the others theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from . import style

LEAST_DECADES = 4  # so that a gradient that stays looks so
EXPLODING = len(style.EXPLODING)


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of norms, to be shown logarithmically.

    Attributes:
        low, high: the ends of the colours.
        most: the largest finite norm; above ``high`` where some exploded.
        regimes: what the written rule says of some norm.
    """

    low: float
    high: float
    most: float
    regimes: frozenset[str] = frozenset()

    @classmethod
    def over(cls, sizes: Iterable[tuple[float, str]]) -> Scale:
        """The scale of norms, each with what the rule says of it."""
        sizes = list(sizes)
        shown = [size for size, regime in sizes if regime == "" and size > 0]
        exploded = [size for size, regime in sizes if regime == "exploded"]
        high = max(shown, default=min(exploded, default=1.0))
        high = max(high, 1e-290)  # smaller ones are as good as vanished
        decades = math.ceil(math.log10(high) - math.log10(min(shown, default=high)) - 1e-9)
        low = high * 10.0 ** -max(decades, LEAST_DECADES)
        most = max([high, *exploded])
        return cls(max(low, 1e-300), high, most, frozenset(regime for _, regime in sizes))

    def fraction(self, norm: float) -> float:
        """Where among the colours a norm stands: 0 at their low end, 1 at their high end."""
        return _between(norm, self.low, self.high)

    @property
    def knee(self) -> float:
        """Where on an axis over all that is finite the colours end: from 0 to 1.

        What exploded gets no more than a third of the axis, so that the rest stays readable.
        """
        decades = math.log10(self.high) - math.log10(self.low)
        return max(decades / (math.log10(self.most) - math.log10(self.low)), 2 / 3)

    def height(self, norm: float) -> float:
        """Where on that axis a norm stands."""
        knee = self.knee
        below = knee * _between(norm, self.low, self.high)
        return below + (1 - knee) * _between(norm, self.high, self.most)

    @property
    def is_bent(self) -> bool:
        """Whether decades are narrower above the knee."""
        return self.knee > _between(self.high, self.low, self.most) + 1e-9

    def shade(self, norm: float, regime: str) -> str:
        """The name of a norm's colour: ``0`` to ``15``, ``e0`` to ``e3`` for exploded ones, ``z``
        for vanished ones, ``n`` where there is no gradient at all, ``x`` for NaN and Inf."""
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
