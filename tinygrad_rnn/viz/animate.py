"""The two sweeps as moving pictures: an SVG that runs automatically, and single frames."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from .lattice import Lattice

_SVG = "http://www.w3.org/2000/svg"
SECONDS = 0.4  # for one frame
MOST = 24.0  # seconds for the whole run
MOST_FRAMES = 120  # in a GIF


def animated(lattice: Lattice) -> str:
    """The picture with a loop of the forward and the backward sweep.

    Each frame is a class, which is invisible until its turn.
    """
    last = len(lattice.time_steps)
    run = min(SECONDS * last, MOST)
    whole = run + 2.5  # a pause at the end
    used = sorted({int(n) for n in re.findall(r'data-f="(\d+)"', lattice.svg)})
    rules = [f".t{{animation-duration:{whole:.2f}s;animation-iteration-count:infinite}}"]
    for n in used:
        at = 100 * run * (n - 1) / last / whole
        rules.append(
            f"@keyframes t{n}{{0%,{at:.3f}%{{visibility:hidden}}"
            f"{at + 0.001:.3f}%,100%{{visibility:visible}}}}.t{n}{{animation-name:t{n}}}"
        )
    still = "@media (prefers-reduced-motion:reduce){.t{animation:none}}"
    svg = re.sub(r'<rect class="now"[^>]*/>', "", lattice.svg)
    svg = re.sub(r' data-k="[^"]*"', "", svg)

    def classed(match: re.Match[str]) -> str:
        tag, before, n, after = match.groups()
        inside = f"{before}{after}"
        if ' class="' in inside:
            return "<" + tag + inside.replace(' class="', f' class="t t{n} ', 1)
        return f'<{tag} class="t t{n}"{inside}'

    svg = re.sub(r'<(\w+)((?:(?! data-f)[^<>])*) data-f="(\d+)"([^<>]*)', classed, svg)
    return svg.replace("</style>", "".join([*rules, still]) + "</style>", 1)


def frames(lattice: Lattice) -> list[str]:
    """The pictures of the frames, from before the first step to after the last one."""
    ElementTree.register_namespace("", _SVG)
    pictures = []
    last = len(lattice.time_steps)
    every = -(-last // MOST_FRAMES)
    for n in [*range(0, last, every), last]:
        root = ElementTree.fromstring(lattice.svg)
        _drop(root, n)
        pictures.append(ElementTree.tostring(root, encoding="unicode"))
    return pictures


def _drop(element: ElementTree.Element, frame: int) -> None:
    """Remove the parts that appear in later frames."""
    for child in list(element):
        if int(child.get("data-f", "0")) > frame or child.get("id") == "now":
            element.remove(child)
        else:
            _drop(child, frame)
