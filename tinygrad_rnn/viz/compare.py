"""Several gradient flows side by side: on one axis, and as heat maps of their Jacobians."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping

import numpy as np

from .flow import GradientFlow, write
from .picture import Scale
from .sheet import scale_of, ticks
from .svg import HUES, document, escaped, figure, number, shade, shortened

_left, _width, _tall = 64.0, 560.0, 220.0
_largest_map, _smallest_map, _gap = 210.0, 150.0, 44.0
_dashes = ("", "7 3", "2 3", "9 3 2 3")


class Comparison:
    """Gradient flows beside each other; :func:`compare` makes it.

    A notebook shows the picture; printed, it is a table; :meth:`save` writes it.

    Attributes:
        flows: by name.
        jacobians: by name ``(steps, norms)``, see :meth:`GradientFlow.jacobian_norms`; none for a
            flow without states.
    """

    def __init__(self, flows: Mapping[str, GradientFlow]):
        self.flows = dict(flows)
        self.jacobians = {
            name: flow.jacobian_norms()
            for name, flow in self.flows.items()
            if any(state.kind == "state" for state in flow.states.values())
        }

    def __str__(self) -> str:
        """A row a flow: the gradient of its states at the first and at the last step."""
        rows = [["", "steps", "|dL/ds| first", "last", "first / last"]]
        for name, flow in self.flows.items():
            first, last = _ends(flow)
            ratio = f"{first / last:.2e}" if last > 0 else "–"
            rows.append([name, str(flow.T), f"{first:.2e}", f"{last:.2e}", ratio])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        return "\n".join(
            "  ".join(
                [row[0].ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
            )
            for row in rows
        )

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.flows)}>"

    def svg(self) -> str:
        """The picture, as SVG text."""
        return _Drawer(self).svg()

    def html(self) -> str:
        """A page that shows the picture, as HTML text."""
        from .page import still_page

        return still_page("Gradient flows compared", self.svg())

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture (``.svg``) or a page that shows it (``.html``).

        Raises:
            ValueError: another suffix.
            OSError: the file cannot be written.
        """
        write(path, {".svg": self.svg, ".html": self.html})


def compare(flows: Mapping[str, GradientFlow]) -> Comparison:
    """Show how gradients flow in several nets: who forgets, who remembers, who explodes.

    Above, on one logarithmic axis, the norm of the gradient of all states of a step, |dL/ds_t|.
    Below, for each net, the heat map of |dh_t/dh_s|: how strongly the state at step t (a row)
    depends on that at step s (a column); on the diagonal it is that of the identity. Of states
    larger than 16 these norms are estimates, and of more than 32 steps some rows are left out.

    Args:
        flows: a :class:`GradientFlow` for each name.

    Returns:
        A :class:`Comparison`; a notebook shows it, ``.save("flows.svg")`` writes it.

    Raises:
        ValueError: there are no flows.
        TypeError: something among them is no GradientFlow, or a name no string.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> x = np.ones((8, 1, 2))
    >>> nets = {"RNN": tg.nn.RNN(2, 4, rng=0), "LSTM": tg.nn.LSTM(2, 4, rng=0)}
    >>> flows = {name: tg.gradient_flow(tg.sum(net(x, unroll=True)[0][-1]))
    ...          for name, net in nets.items()}
    >>> comparison = tg.compare(flows)
    >>> print(str(comparison).split("first")[0].split())
    ['steps', '|dL/ds|']
    """
    if not isinstance(flows, Mapping):
        raise TypeError(f"compare: expected a dict of flows by name, got {type(flows).__name__}")
    if not flows:
        raise ValueError("compare: expected at least one flow, got none")
    for name, flow in flows.items():
        if not isinstance(name, str) or not isinstance(flow, GradientFlow):
            raise TypeError(
                f"compare: expected a GradientFlow by a name, got {name!r}: {type(flow).__name__}"
            )
    return Comparison(flows)


def _ends(flow: GradientFlow) -> tuple[float, float]:
    norms = flow.norms[~np.isnan(flow.norms)]
    return float(norms[0]), float(norms[-1])


class _Drawer:
    def __init__(self, comparison: Comparison):
        self.flows, self.jacobians = comparison.flows, comparison.jacobians
        self.T = max(flow.T for flow in self.flows.values())
        self.parts: list[str] = []
        self.y = 0.0
        self.width = _left + _width + 220
        room = (self.width - 40) / max(len(self.jacobians), 1) - _gap
        self.map = min(max(room, _smallest_map), _largest_map)

    def svg(self) -> str:
        self._curves()
        if self.jacobians:
            self._maps()
        return document(self.width, self.y, "gradient flows compared", 4, "".join(self.parts))

    def words(self, x: float, y: float, text: str, kind: str = "small", at: str = "start") -> None:
        self.parts.append(
            f'<text class="{kind}" x="{number(x)}" y="{number(y)}" text-anchor="{at}">'
            f"{escaped(text)}</text>"
        )

    def _curves(self) -> None:
        """|dL/ds_t| of all on one axis."""
        norms = [
            n for flow in self.flows.values() for n in flow.norms if n > 0 and math.isfinite(n)
        ]
        scale = scale_of(norms)
        low, high = math.log10(scale.low), math.log10(scale.high)
        top, pitch = 58.0, _width / self.T
        bottom = top + _tall
        self.words(16, 24, "The gradient of the state, step by step", "title")
        self.words(16, 42, "|dL/ds_t|, all states of a step together, on a logarithmic axis")
        grid = ""
        for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1):
            y = bottom - _tall * (power - low) / (high - low)
            grid += f"M{number(_left)} {number(y)}h{number(_width)}"
            self.words(_left - 6, y + 3, f"1e{power}" if power else "1", at="end")
        self.parts.append(f'<path class="guide" d="{grid}"/>')
        self.parts.append(
            f'<path class="axis" d="M{number(_left)} {number(top)}V{number(bottom)}'
            f'h{number(_width)}"/>'
        )
        for t in ticks(self.T, pitch):
            self.words(_left + pitch * (t + 0.5), bottom + 14, str(t), at="middle")
        self.words(_left - 6, bottom + 14, "t", at="end")
        for k, (name, flow) in enumerate(self.flows.items()):
            hue, dash = HUES[k % len(HUES)], _dashes[k // 2 % len(_dashes)]
            line, points = "", ""
            pen = "M"
            for t, norm in enumerate(flow.norms):
                if not (math.isfinite(norm) and norm >= scale.low * (1 - 1e-9)):
                    pen = "M"  # where it has vanished there is no line
                    continue
                x = _left + pitch * (t + 0.5)
                y = bottom - _tall * scale.fraction(float(norm))
                line += f"{pen}{number(x)} {number(y)}"
                points += f"M{number(x)} {number(y)}h0" if pitch >= 9 else ""
                pen = "L"
            style = f'fill="none" stroke="{hue}"'
            broken = f' stroke-dasharray="{dash}"' if dash else ""
            self.parts.append(f'<path d="{line or "M0 0"}" {style} stroke-width="2"{broken}/>')
            if points:
                cap = 'stroke-width="5.5" stroke-linecap="round"'
                self.parts.append(f'<path d="{points}" {style} {cap}/>')
            y = top + 10 + 34 * k
            x = _left + _width + 22
            self.parts.append(
                f'<path d="M{number(x)} {number(y - 4)}h26" {style} stroke-width="2.5"{broken}/>'
            )
            first, last = _ends(flow)
            self.words(x + 34, y, shortened(name, 24), "")
            self.words(x + 34, y + 12, f"{figure(first)} first, {figure(last)} last")
        self.y = max(bottom + 40, top + 34 * len(self.flows) + 20)

    def _maps(self) -> None:
        """|dh_t/dh_s| of each, in the same colours."""
        norms = [found[~np.isnan(found)] for _, found in self.jacobians.values()]
        scale = scale_of(float(n) for n in itertools.chain(*norms))
        self.words(
            16, self.y + 8, "How the state at t (down) depends on that at s (across)", "title"
        )
        self.words(16, self.y + 26, "|dh_t/dh_s|, the Frobenius norm")
        cell = 11.0
        for k in range(16):
            self.parts.append(
                f'<rect class="f{k}" x="{number(430 + cell * k)}" y="{number(self.y + 15)}" '
                f'width="{number(cell)}" height="9"/>'
            )
        ends = (scale.low, "start", 0), (scale.high, "end", 16)
        for norm, anchor, place in ends:
            self.words(430 + cell * place, self.y + 35, figure(norm), at=anchor)
        self.parts.append(
            f'<rect class="fz" x="640" y="{number(self.y + 15)}" width="11" height="9"/>'
        )
        self.words(656, self.y + 23, "vanished")
        self.y += 58
        most = max(1, int((self.width - 40) // (self.map + _gap)))
        names = list(self.jacobians)
        for start in range(0, len(names), most):
            for place, name in enumerate(names[start : start + most]):
                self._map(_left - 20 + place * (self.map + _gap), name, scale)
            self.y += self.map + 46
        self.y += 4

    def _map(self, left: float, name: str, scale: Scale) -> None:
        steps, norms = self.jacobians[name]
        top = self.y + 14
        across = self.map / norms.shape[1]
        # A row stands for itself and for the ones left out before it.
        edges = np.concatenate([[0], steps + 1]) * across
        self.words(left, self.y + 6, shortened(name, 30), "")
        self.parts.append(
            f'<rect class="node" x="{number(left)}" y="{number(top)}" width="{number(self.map)}" '
            f'height="{number(self.map)}"/>'
        )
        for r in range(len(steps)):
            s = 0
            for kind, run in itertools.groupby(norms[r].tolist(), lambda n: _shade(scale, n)):
                count = len(list(run))
                if kind:
                    self.parts.append(
                        f'<rect class="f{kind} cell" x="{left + s * across:.2f}" '
                        f'y="{top + edges[r]:.2f}" width="{count * across + 0.1:.2f}" '
                        f'height="{edges[r + 1] - edges[r] + 0.1:.2f}"/>'
                    )
                s += count
        for t in ticks(norms.shape[1], across):
            self.words(left + (t + 0.5) * across, top + self.map + 11, str(t), at="middle")
            if (t + 0.5) * across > 8:
                self.words(left - 4, top + (t + 0.5) * across + 3, str(t), at="end")


def _shade(scale: Scale, norm: float) -> str:
    return "" if math.isnan(norm) else shade(scale, norm)
