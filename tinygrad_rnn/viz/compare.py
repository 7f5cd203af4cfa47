"""Several gradient flows side by side: on one axis, and as heat maps of their Jacobians."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from ..bptt.flow import EXPLODED, VANISHED, Flow, regime
from ..bptt.loops import quiet
from ..bptt.table import aligned
from .export import Shown
from .flow import GradientFlow
from .page import still_page
from .svg import (
    EXPLODING,
    HUES,
    Canvas,
    Scale,
    document,
    figure,
    fitted,
    log_ticks,
    number,
    step_ticks,
    visible,
)

_left, _width, _tall = 64.0, 560.0, 220.0
_largest_map, _smallest_map, _gap = 210.0, 150.0, 44.0
_dashes = ("", "7 3", "2 3", "9 3 2 3")


class Comparison(Shown):
    """Several gradient flows in one picture; made by :func:`compare`.

    A notebook shows the picture, ``print`` shows a table, and :meth:`save` writes a file.

    Attributes:
        flows: the flows by name.
        jacobians: ``(steps, norms)`` by name, see :meth:`GradientFlow.jacobian_norms`; no entry
            for a flow without states.
    """

    def __init__(self, flows: Mapping[str, Flow]):
        self.flows = dict(flows)
        self.jacobians = {
            name: flow.jacobian_norms()
            for name, flow in self.flows.items()
            if any(state.kind == "state" for state in flow.states.values())
        }

    def __str__(self) -> str:
        """A table with a row for each flow: its states' gradient at the first and the last step."""
        rows = [["", "steps", "|dL/ds| first", "last", "first / last"]]
        for name, flow in self.flows.items():
            first, last = _ends(flow)
            ratio = f"{first / last:.2e}" if last > 0 and math.isfinite(first) else "–"
            rows.append([visible(name), str(flow.T), f"{first:.2e}", f"{last:.2e}", ratio])
        return aligned(rows, left=1)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.flows)}>"

    def svg(self, *, theme: str = "light") -> str:
        """The picture, as SVG text."""
        return _Drawer(self).svg(theme)

    def html(self, *, theme: str = "auto") -> str:
        """A page that shows the picture, as HTML text."""
        return still_page("Gradient flows compared", self.svg(theme=theme), theme)


def compare(flows: Mapping[str, GradientFlow]) -> Comparison:
    """Show how gradients flow in several nets: which net forgets, remembers, or explodes.

    Above are curves on one logarithmic axis: the norm of the gradient of all states of a step,
    |dL/ds_t|. Below is a heat map of |dh_t/dh_s| for each net: how strongly the state at step t (a
    row) depends on the state at step s (a column). The diagonal is the norm of the identity. For
    states larger than 16 these norms are estimates. For more than 32 steps some rows are omitted.

    The written rule decides for each net separately what has vanished or exploded: see
    ``bptt.flow.VANISHED``. For a Jacobian, R is the norm of the identity.

    Args:
        flows: a :class:`GradientFlow` for each name.

    Returns:
        A :class:`Comparison`. A notebook shows it; ``.save("flows.svg")`` writes it.

    Raises:
        ValueError: there are no flows.
        TypeError: a value is not a GradientFlow, or a name is not a string.

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
        if not isinstance(name, str) or not isinstance(flow, Flow):
            raise TypeError(
                f"compare: expected a GradientFlow by a name, got {name!r}: {type(flow).__name__}"
            )
    return Comparison(flows)


def _ends(flow: Flow) -> tuple[float, float]:
    """The norms at the first and the last step with a state."""
    present = sorted({c for state in flow.states.values() for c in state.columns.tolist()})
    norms = [float(flow.norms[c]) for c in present]
    norms = [n for n in norms if not math.isnan(n)] or [math.nan]
    return norms[0], norms[-1]


class _Drawer(Canvas):
    def __init__(self, comparison: Comparison):
        super().__init__()
        self.flows, self.jacobians = comparison.flows, comparison.jacobians
        self.T = max(flow.T for flow in self.flows.values())
        self.y = 0.0
        self.width = _left + _width + 220
        room = (self.width - 40) / max(len(self.jacobians), 1) - _gap
        self.map = min(max(room, _smallest_map), _largest_map)

    def svg(self, theme: str) -> str:
        self._curves()
        if self.jacobians:
            self._maps()
        return document(
            self.width, self.y, "gradient flows compared", "".join(self.parts), theme=theme
        )

    # ── the norms, step by step ──────────────────────────────────────────────────────────

    @quiet
    def _curves(self) -> None:
        """Draw |dL/ds_t| of all flows on one axis, with marks for norms that are off the axis."""
        regimes = {
            name: [regime(float(norm), flow.sent_by_loss) for norm in flow.norms]
            for name, flow in self.flows.items()
        }
        sizes = [
            (float(norm), kind)
            for name, flow in self.flows.items()
            for norm, kind in zip(flow.norms, regimes[name], strict=True)
        ]
        scale = Scale.over(sizes)
        top, pitch = 58.0, _width / self.T
        bottom = top + _tall
        self.text(16, 24, "The gradient of the state, step by step", "title")
        words = "|dL/ds_t|, all states of a step together, on a logarithmic axis"
        if "vanished" in scale.regimes or any(n == 0 for n, _ in sizes):
            words += "; open triangles: vanished, or 0"
        if "NaN" in scale.regimes:
            words += "; crosses: NaN or Inf"
        if scale.is_bent:
            words += "; narrower above the line: exploded"
        self.text(16, 42, words, "small")

        def height(norm: float) -> float:
            return bottom - _tall * scale.height(norm)

        grid = ""
        knee = scale.knee
        powers = log_ticks(scale.low, scale.high, _tall * knee)
        if scale.most > scale.high:
            above = log_ticks(scale.high, scale.most, _tall * (1 - knee))
            powers += [p for p in above if height(10.0**p) < height(10.0 ** powers[-1]) - 11]
        for power in powers:
            y = height(10.0**power)
            grid += f"M{number(_left)} {number(y)}h{number(_width)}"
            self.text(_left - 6, y + 3, f"1e{power}" if power else "1", "small", "end")
        self.path(grid or "M0 0", "guide")
        self.path(f"M{number(_left)} {number(top)}V{number(bottom)}h{number(_width)}", "axis")
        if scale.is_bent:
            self.path(f"M{number(_left)} {number(height(scale.high))}h{number(_width)}", "level")
        for t in step_ticks(self.T, pitch):
            self.text(_left + pitch * (t + 0.5), bottom + 14, str(t), "small", "middle")
        self.text(_left - 6, bottom + 14, "t", "small", "end")
        for k, (name, flow) in enumerate(self.flows.items()):
            hue, dash = HUES[k % len(HUES)], _dashes[k // 2 % len(_dashes)]
            line = points = marks = ""
            pen = "M"
            present = {c for state in flow.states.values() for c in state.columns.tolist()}
            for t, (norm, kind) in enumerate(zip(flow.norms, regimes[name], strict=True)):
                x = _left + pitch * (t + 0.5)
                if t not in present:
                    pen = "M"
                elif kind in ("vanished", "0"):
                    marks += f"M{number(x - 4)} {number(bottom - 7)}h8l-4 6z"
                    pen = "M"
                elif kind == "NaN":
                    marks += f"M{number(x - 4)} {number(top + 2)}l8 8m-8 0l8 -8"
                    pen = "M"
                else:
                    y = height(float(norm))
                    line += f"{pen}{number(x)} {number(y)}"
                    points += f"M{number(x)} {number(y)}h0" if pitch >= 9 else ""
                    pen = "L"
            style = f' stroke="{hue}"'
            broken = f' stroke-dasharray="{dash}"' if dash else ""
            self.path(line or "M0 0", "back", f'{style} stroke-width="2"{broken}')
            if points:
                cap = ' stroke-width="5.5" stroke-linecap="round"'
                self.path(points, "back", style + cap)
            if marks:
                self.path(marks, "mark", style)
            self._entry(name, flow, top + 10 + 34 * k, f"{style}{broken}")
        self.y = max(bottom + 40, top + 34 * len(self.flows) + 20)

    def _entry(self, name: str, flow: Flow, y: float, style: str) -> None:
        x = _left + _width + 22
        self.path(f"M{number(x)} {number(y - 4)}h26", "back", f'{style} stroke-width="2.5"')
        first, last = _ends(flow)
        self.text(x + 34, y, fitted(name, 150))
        kinds = {regime(float(n), flow.sent_by_loss) for n in (first,)}
        verdict = next((f"; {kind}" for kind in ("exploded", "vanished") if kind in kinds), "")
        words = fitted(f"{figure(first)} first, {figure(last)} last{verdict}", 162, 9.5)
        self.text(x + 34, y + 12, words, "small")

    # ── the Jacobians ────────────────────────────────────────────────────────────────────

    def _maps(self) -> None:
        """Draw |dh_t/dh_s| of each flow, with the same colours."""
        kinds = {name: self._kinds(name) for name in self.jacobians}
        sizes = [
            pair
            for name, (_, norms) in self.jacobians.items()
            for pair in zip(norms.ravel().tolist(), kinds[name].ravel().tolist(), strict=True)
            if pair[1] is not None
        ]
        scale = Scale.over(sizes)
        self.text(
            16, self.y + 8, "How the state at t (down) depends on that at s (across)", "title"
        )
        words = "|dh_t/dh_s|, the Frobenius norm; |I| that of the identity"
        self.text(16, self.y + 26, words, "small")
        y, cell = self.y + 40, 9.0
        x = 16.0
        low, high = figure(scale.low), figure(scale.high)
        self.text(x, y, low, "small")
        x += 46
        for k in range(16):
            self.rect(x + cell * k, y - 8, cell, 9, f"f{k}")
        x += 16 * cell + 6
        self.text(x, y, high, "small")
        x += 52
        regimes = scale.regimes
        if "exploded" in regimes:
            for k in range(len(EXPLODING)):
                self.rect(x + cell * k, y - 8, cell, 9, f"fe{k}")
            words = f"exploded: above {EXPLODED:g} |I|, to {figure(scale.most)}"
            self.text(x + 42, y, words, "small")
            x += 230
        known = (
            ("vanished", "fz", f"vanished: below {figure(VANISHED)} |I|"),
            ("NaN", "fx", "NaN or Inf"),
        )
        for kind, shade, words in known:
            if kind in regimes:
                self.rect(x, y - 8, 11, 9, shade)
                self.text(x + 16, y, words, "small")
                x += 160
        self.y = y + 20
        most = max(1, int((self.width - 40) // (self.map + _gap)))
        names = list(self.jacobians)
        for start in range(0, len(names), most):
            for place, name in enumerate(names[start : start + most]):
                self._map(_left - 20 + place * (self.map + _gap), name, scale, kinds[name])
            self.y += self.map + 46
        self.y += 4

    def _kinds(self, name: str) -> ndarray:
        """The verdict of the written rule for every Jacobian; None if there is no Jacobian."""
        norms = self.jacobians[name][1]
        state = next(iter(self.flows[name].states.values()))
        identity = math.sqrt(math.prod(state.trajectory.shape))
        kinds = [
            None if math.isnan(n) else {"0": "vanished"}.get(r := regime(n, identity), r)
            for n in norms.ravel().tolist()
        ]
        return np.array(kinds, object).reshape(norms.shape)

    def _map(self, left: float, name: str, scale: Scale, kinds: ndarray) -> None:
        steps, norms = self.jacobians[name]
        top = self.y + 14
        across = self.map / norms.shape[1]
        # A row also covers the omitted rows before it.
        edges = np.concatenate([[0], steps + 1]) * across
        self.text(left, self.y + 6, fitted(name, self.map))
        self.rect(left, top, self.map, self.map, "node")
        order = np.argsort(steps)
        edges = np.concatenate([[0], steps[order] + 1]) * across
        for place, r in enumerate(order.tolist()):
            shades = [
                "" if kind is None else scale.shade(norm, kind)
                for norm, kind in zip(norms[r].tolist(), kinds[r].tolist(), strict=True)
            ]
            s = 0
            for shade, run in itertools.groupby(shades):
                count = len(list(run))
                if shade:
                    self.add(
                        f'<rect class="f{shade} cell" x="{left + s * across:.2f}" '
                        f'y="{top + edges[place]:.2f}" width="{count * across + 0.1:.2f}" '
                        f'height="{edges[place + 1] - edges[place] + 0.1:.2f}"/>'
                    )
                s += count
        for t in step_ticks(norms.shape[1], across):
            at = (t + 0.5) * across
            self.text(left + at, top + self.map + 11, str(t), "small", "middle")
            if at > 8:
                self.text(left - 4, top + at + 3, str(t), "small", "end")
