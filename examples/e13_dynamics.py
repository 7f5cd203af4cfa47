"""A recurrent net as a dynamical system: sinks, sources, basins, and where its gradient goes.

A net without input applies one function again and again: h_t = f(h_{t-1}). Its gradient is the
slope of the iterated function f^n = f(f(...f(x))):

    (f^n)'(x) = f'(x_{n-1}) ... f'(x_1) f'(x_0)

1. f(x) = 3.5 x (1 - x) becomes steeper with every application. The largest slope of f^n in [0, 1]
   is 3.5^n. But at most x the slope becomes tiny, because almost every x goes to the same four
   values.
2. f(x) = x^2 + 0.15 has two fixed points x = f(x). A fixed point with |f'| < 1 is a sink (an
   attractor): nearby points come closer. One with |f'| > 1 is a source: nearby points move away.
   The sink is 0.184 and the source is 0.816.
3. h_t = tanh(W h_{t-1} + b) with two units has several sinks. The basin of a sink is the set of
   starts that end in it. Inside a basin the end does not depend on the start, and dh_n/dh_0 goes to
   0. On the border between two basins a tiny push decides the end, and dh_n/dh_0 explodes.

So an RNN that remembers one of several things for a long time keeps it as one of its sinks. A
gradient from the distant past reaches it only where the state is near a border.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from svg import FONT, INK, png, text

Function = Callable[[Any], Any]

#: Colours of lines and basins that colour-blind people can tell apart, and a ramp for gradients
#: that begins with white, for a gradient that has vanished.
HUES = ("#d07a00", "#3f9fd8", "#009e73", "#c96a9b", "#3b6fc9", "#c4551a", "#938000", "#7d6bb8")
RAMP = ("#ffffff", "#f6ab4d", "#ec7754", "#cc4778", "#9c179e", "#5601a4", "#0d0887")

# ── the systems ──────────────────────────────────────────────────────────────────────────


def logistic(x: Any) -> Any:
    return 3.5 * x * (1 - x)


def parabola(x: Any) -> Any:
    return x * x + 0.15


def small_rnn(rng: np.random.Generator) -> Function:
    """Return a step of two units. Each keeps its own sign, and pulls at the other unit."""
    W = np.array([[2.2, -0.5], [0.5, 2.2]]) + 0.05 * rng.normal(size=(2, 2))
    b = 0.05 * rng.normal(size=2)
    return lambda h: tg.tanh(h @ W.T + b)


def iterated(f: Function, x: Any, n: int) -> Any:
    for _ in range(n):
        x = f(x)
    return x


def jacobian_norms(f: Function, starts: np.ndarray, n: int) -> np.ndarray:
    """Return the Frobenius norm |dh_n/dh_0| for many starts (N, D), one sweep for each unit."""
    h_0 = tg.Tensor(starts, requires_grad=True)
    h_n = iterated(f, h_0, n)
    rows = [tg.grad(tg.sum(h_n[:, k]), h_0).data for k in range(starts.shape[1])]
    return np.linalg.norm(np.stack(rows, axis=1), axis=(1, 2))


def fixed_point(f: Function, x: float) -> tuple[float, float]:
    """Find an x = f(x) by Newton's method, starting from ``x``; return it and the slope f'(x)."""
    for _ in range(20):
        y, slope = tg.value_and_grad(f)(tg.Tensor(x))
        x -= (y.item() - x) / (slope.item() - 1)
    return x, slope.item()


def basins(f: Function, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sinks (K, D), and for each start the number of the sink it ends in (N,)."""
    ends = iterated(f, starts, 2000).round(4) + 0.0  # turns -0.0 into 0.0, to count one sink
    sinks, which = np.unique(ends, axis=0, return_inverse=True)
    return sinks, which.reshape(-1)


def on_the_border(f: Function, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Find a border by bisection between two starts of different basins, to float precision."""
    for _ in range(60):
        middle = (inside + outside) / 2
        _, which = basins(f, np.stack([inside, middle, outside]))
        inside, outside = (middle, outside) if which[1] == which[0] else (inside, middle)
    return (inside + outside) / 2


# ── results ──────────────────────────────────────────────────────────────────────────────


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    side = 60 if args.quick else 240
    checks = {}

    x = np.linspace(0, 1, 1001)
    slopes = {n: jacobian_norms(logistic, x[:, None], n) for n in (1, 2, 3, 4, 8, 16, 32)}
    print("3.5 x (1 - x), n times\n  n   largest |slope|      3.5^n   median |slope|")
    for n, slope in slopes.items():
        print(f"{n:3}   {slope.max():15.4g} {3.5**n:10.4g}   {np.median(slope):14.2g}")
    checks["the largest slope of f^n is 3.5^n"] = all(
        math.isclose(slope.max(), 3.5**n) for n, slope in slopes.items()
    )
    checks["yet the median slope of f^32 is below 1e-6"] = bool(np.median(slopes[32]) < 1e-6)

    (sink, gentle), (source, steep) = fixed_point(parabola, 0.0), fixed_point(parabola, 1.0)
    print(
        f"\nx^2 + 0.15\n  sink {sink:.5f}, slope {gentle:.3f}; "
        f"source {source:.5f}, slope {steep:.3f}"
    )
    below, above = (iterated(parabola, source + d, 20) for d in (-1e-3, 1e-3))
    print(f"  after 20 steps from 0.001 below the source {below:.3f}, from 0.001 above {above:.3g}")
    checks["a sink at 0.184 with |slope| < 1, a source at 0.816 with |slope| > 1"] = (
        f"{sink:.3f} {source:.3f}" == "0.184 0.816" and abs(gentle) < 1 < abs(steep)
    )
    checks["0.001 below the source goes to the sink, 0.001 above runs away"] = bool(
        abs(below - sink) < 1e-2 and above > 10
    )

    f = small_rnn(np.random.default_rng(args.seed))
    places = np.linspace(-1.5, 1.5, side)
    starts = np.stack(np.meshgrid(places, -places), axis=-1).reshape(-1, 2)  # top row first
    sinks, which = basins(f, starts)
    norms = {n: jacobian_norms(f, starts, n) for n in (5, 10, 20, 40)}
    first, other = (starts[np.argmax(which == k)] for k in (0, 1))
    border = on_the_border(f, first, other)
    at_border = {n: jacobian_norms(f, border[None], n)[0] for n in norms}
    at_sink = {n: jacobian_norms(f, sinks, n).max() for n in norms}
    print(f"\ntanh(W h + b)\n  {len(sinks)} sinks: " + ", ".join(str(sink) for sink in sinks))
    print("  n   |dh_n/dh_0| at the sinks   on a border   starts below 0.001")
    for n, norm in norms.items():
        print(f"{n:3}   {at_sink[n]:24.1e} {at_border[n]:13.1e} {np.mean(norm < 1e-3):20.1%}")
    checks["the RNN has several sinks, all fixed points"] = bool(
        len(sinks) > 1 and np.abs(f(sinks) - sinks).max() < 1e-3
    )
    checks["after 20 steps 90 % of the starts have |dh_n/dh_0| < 0.001"] = bool(
        np.mean(norms[20] < 1e-3) > 0.9
    )
    checks["on a border it grows with n, beyond a million at n = 40"] = bool(
        at_border[5] < at_border[10] < at_border[20] < at_border[40] and at_border[40] > 1e6
    )
    near = next_to_a_border(which.reshape(side, side)).reshape(-1)
    largest = np.argsort(norms[20])[-len(starts) // 200 :]
    checks["the 0.5 % of starts with the largest |dh_20/dh_0| lie at borders"] = bool(
        near[largest].mean() > 0.95
    )

    draw(args.out / "e13_dynamics.svg", x, sink, source, places, which, sinks, norms)
    return Result(
        measured=f"largest slope {slopes[8].max():.0f} = 3.5^8 at n = 8; sink {sink:.4f} (slope "
        f"{gentle:.2f}), source {source:.4f} ({steep:.2f}); RNN with {len(sinks)} sinks: after 20 "
        f"steps |dh_n/dh_0| < 0.001 at {np.mean(norms[20] < 1e-3):.0%} of the starts, "
        f"and {at_border[20]:.0e} on a border, after 40 {at_border[40]:.0e}",
        checks=checks,
    ).report()


def next_to_a_border(which: np.ndarray) -> np.ndarray:
    """Return whether another basin lies within two places up, down, left or right."""
    near = np.zeros(which.shape, bool)
    for shift in (-2, -1, 1, 2):
        for axis in (0, 1):
            near |= np.roll(which, shift, axis) != which
    return near


# ── the picture ──────────────────────────────────────────────────────────────────────────

SIZE, GAP = 250, 46


def draw(
    path: Any,
    x: np.ndarray,
    sink: float,
    source: float,
    places: np.ndarray,
    which: np.ndarray,
    sinks: np.ndarray,
    norms: dict[int, np.ndarray],
) -> None:
    """Draw the functions of one number at the top, the RNN's basins and gradients below."""
    curves = {f"n = {n}": (x, iterated(logistic, x, n)) for n in (1, 2, 4)}
    paths = {}
    for start in (0.0, 0.6, source - 0.01, source, source + 0.01, -0.5):
        steps = [iterated(parabola, start, t) for t in range(16)]
        paths[f"{start:.3f}"] = (np.arange(16), np.minimum(steps, 1.2))
    side = len(places)
    colours = [_rgb(HUES[k % len(HUES)]) for k in range(len(sinks))]
    panels = [
        _plot("3.5 x (1 - x), applied n times", curves, (0, 1), (0, 1)),
        _plot(
            f"x² + 0.15 from six starts: sink {sink:.3f}, source {source:.3f}",
            paths,
            (0, 15),
            (-0.5, 1.2),
        ),
        _image("basins, and the sinks in them", np.array(colours)[which].reshape(side, side, 3))
        + "".join(_dot(*h, "white") for h in sinks),
    ]
    for n in (5, 10, 20):
        fraction = np.clip((np.log10(np.maximum(norms[n], 1e-12)) + 4) / 8, 0, 1)
        shades = _ramp(np.arange(256) / 255)
        picture = shades[(255 * fraction).round().astype(int)].reshape(side, side, 3)
        panels.append(_image(f"|dh_n/dh_0| after n = {n} steps", picture))
    parts = [
        f'<g transform="translate({40 + (SIZE + GAP) * (k % 3)} {56 + (SIZE + 70) * (k // 3)})">'
        f"{panel}</g>"
        for k, panel in enumerate(panels)
    ]
    width, height = 40 + 3 * (SIZE + GAP), 2 * (SIZE + 70) + 70
    parts += [  # the legend of the three maps
        f'<rect x="{40 + 2 * k}" y="{height - 34}" width="3" height="10" '
        f'fill="#{bytes(shade).hex()}"/>'
        for k, shade in enumerate(_ramp(np.arange(128) / 127).tolist())
    ]
    parts.append(
        text(40, height - 10, "1e-4 and less", "start") + text(296, height - 10, "1e4", "end")
    )
    parts.append(text(310, height - 25, "the maps: h_0 from -1.5 to 1.5 in both units", "start"))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONT}" font-size="11" fill="{INK}">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        '<text x="16" y="26" font-size="15">Iterated functions and their gradients</text>'
        + "\n".join(parts)
        + "</svg>\n",
        encoding="utf-8",
    )
    print(f"\nwrote     {path}")


def _plot(
    title: str,
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    across: tuple[float, float],
    up: tuple[float, float],
) -> str:
    parts = [text(0, -8, title, "start"), _frame("none")]
    for k, (name, (xs, ys)) in enumerate(curves.items()):
        points = " ".join(
            f"{SIZE * (x - across[0]) / (across[1] - across[0]):.1f},"
            f"{SIZE * (1 - (y - up[0]) / (up[1] - up[0])):.1f}"
            for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{HUES[k]}" stroke-width="1.5"/>'
            + f'<text x="{42 * k}" y="{SIZE + 28}" fill="{HUES[k]}">{escape(name)}</text>'
        )
    for value, y in ((up[1], 4), (up[0], SIZE)):
        parts.append(text(-5, y, f"{value:g}", "end"))
    parts.append(text(0, SIZE + 13, f"{across[0]:g}") + text(SIZE, SIZE + 13, f"{across[1]:g}"))
    return "".join(parts)


def _image(title: str, rgb: np.ndarray) -> str:
    """Return an array (rows, columns, 3) as a PNG inside the SVG."""
    return (
        text(0, -8, title, "start")
        + f'<image width="{SIZE}" height="{SIZE}" style="image-rendering:pixelated" '
        + f'href="{png(rgb.astype(np.uint8))}"/>'
        + _frame("none")
    )


def _frame(fill: str) -> str:
    return f'<rect width="{SIZE}" height="{SIZE}" fill="{fill}" stroke="#999999"/>'


def _dot(x: float, y: float, colour: str) -> str:
    """Return a mark at a state, in a map from -1.5 to 1.5."""
    place = SIZE * (x + 1.5) / 3, SIZE * (1.5 - y) / 3
    return f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="4" fill="{colour}" stroke="{INK}"/>'


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def _ramp(fractions: np.ndarray) -> np.ndarray:
    """Return the colours (N, 3), from 0 to 255, at fractions (N,) of the way along RAMP."""
    ends = np.array([_rgb(colour) for colour in RAMP])
    places = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(fractions, places, end) for end in ends.T], -1).round().astype(int)


if __name__ == "__main__":
    main()
