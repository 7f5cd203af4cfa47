"""DOT text: what it says, that it is stable, and that Graphviz takes any name in it."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.viz import style
from tinygrad_rnn.viz.dot import label
from tinygrad_rnn.viz.svg import GRADIENT

from .nets import lstm, rnn


def texts(svg: bytes) -> list[str]:
    """What is written in a picture."""
    root = ET.fromstring(svg)
    found = ("".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text"))
    return [text.replace("\xa0", " ") for text in found]


# ── what it says ─────────────────────────────────────────────────────────────────────────


def test_boxes_clusters_and_edges() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    h: Any = x
    for _, x_t in tg.steps([2.0]):
        h = h * x_t
    lines = tg.draw(h).source.splitlines()
    assert lines[0] == "digraph {"
    assert any("rankdir=LR" in line for line in lines)
    start = next(i for i, line in enumerate(lines) if "subgraph" in line)
    assert lines[start].strip() == "subgraph cluster_0 {"
    assert 'label="t = 0"' in lines[start + 1]
    assert lines[start + 2].strip().startswith(r'n0 [label="× 2.0\n(2,)"')
    assert lines[start + 3].strip().startswith(r'n1 [label="x\n(2,)"')
    assert sum(" -> " in line for line in lines) == 1


def test_every_kind_of_box_and_edge_has_a_look() -> None:
    kinds = {"data", "data rail", "state", "spine", "branch"}
    kinds |= {"weight", "weight rail", "constant", "constant rail"}
    kinds |= {"kept"}  # of a plan
    assert kinds | {"before", "after"} == style.EDGES.keys()
    for detail in ("op", "cell", "layer"):
        for output in (lstm(3), rnn(4)):
            assert tg.draw(output, detail=detail, max_steps=2, grads=True).source


def test_gradients_colour_and_widen_the_edges() -> None:
    x = tg.Tensor(1.0, requires_grad=True)
    source = tg.draw(tg.square(tg.exp(x * 1e-3)) * 1e-3, grads=True).source
    flows = [line for line in source.splitlines() if "tooltip" in line]
    assert len(flows) == 4
    widths = [float(re.search(r'penwidth="([\d.]+)"', line)[1]) for line in flows]  # type: ignore[index]
    assert min(widths) == style.NARROWEST
    assert max(widths) == style.WIDEST
    assert 'label="norm of the gradient"' in source
    assert GRADIENT[0] in source
    assert GRADIENT[-1] in source


def test_vanished_and_broken_gradients_have_looks_of_their_own() -> None:
    x = tg.Tensor([-1.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"):
        source = tg.draw(tg.sum(tg.relu(x * 0.0) + tg.sqrt(x)), grads=True).source
    assert 'label="0"' in source
    assert 'label="NaN or Inf"' in source
    assert style.VANISHED["color"] in source
    assert style.BROKEN["color"] in source


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.5, 0.99, 1.0])
def test_colours_run_through_the_stops(fraction: float) -> None:
    look = style.gradient(fraction)
    assert re.fullmatch("#[0-9a-f]{6}", look["color"])
    stop = fraction * (len(GRADIENT) - 1)
    if stop == int(stop):
        assert look["color"] == GRADIENT[int(stop)]


def test_the_larger_the_gradient_the_darker() -> None:
    def luminance(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    shades = [luminance(style.gradient(i / 20)["color"]) for i in range(21)]
    assert shades == sorted(shades, reverse=True)


# ── stable ───────────────────────────────────────────────────────────────────────────────


def test_the_same_program_gives_the_same_text() -> None:
    for detail in ("op", "cell", "layer"):
        once, twice = (
            tg.draw(lstm(4), detail=detail, grads=True, values=True).source for _ in range(2)
        )
        assert once == twice


def test_the_text_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "import sys; sys.path.insert(0, '.')\n"
        "import tinygrad_rnn as tg\n"
        "from tests.viz.nets import lstm\n"
        "print(tg.draw(lstm(3), grads=True, max_steps=2).source)"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            cwd=str(__file__).rsplit("/tests/", 1)[0],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


# ── any text ─────────────────────────────────────────────────────────────────────────────


def shown(text: str) -> str:
    """What should be seen of a text: itself, with control characters as Python writes them."""
    unseen = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
    return re.sub(unseen, lambda c: c[0].encode("unicode_escape").decode(), text).replace(
        "\xa0", " "
    )


awkward = st.sampled_from(
    [
        *('"', "\\", "\\n", "\\N", "<b>", "</text>", "|{}", "&", "&lt;", "&#65;", "]]>", "<!--"),
        *("\n", "\r", "\t", "\x00", "\x07", "\x1b", "\x85", "\u2028", "\u202e", "\ud800", "\ufffe"),
        *("😀", "한글", "é", "  ", "%", "->", "}", "[label=x]", "\ufeff", "'"),
    ]
)
names = st.lists(awkward | st.characters(), min_size=1, max_size=8).map("".join)


@settings(max_examples=25)
@given(st.lists(names, min_size=1, max_size=40))
@example(['"\\', "a\\", '\\"', "<b>bold</b>", "&lt;&amp;", "{a|b}", "\ud83d", "T\x00", " x  y "])
def test_any_name_is_shown_as_it_is(names: list[str]) -> None:
    x: Any = tg.Tensor(0.0)
    for i, name in enumerate(names):
        leaf = tg.Tensor(np.float64(i), requires_grad=True, name=name)
        with tg.scope(name):
            x = tg.tanh(x * leaf)
        x.name = name
    written = texts(tg.draw(x).pipe("svg"))
    for name in names:
        # The leaf and the operation; and the module, a frame around its two operations.
        assert written.count(shown(name)) >= 3


@given(st.text())
def test_a_label_is_one_quoted_string(text: str) -> None:
    quoted = label([text])
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', quoted)
    quoted.encode("utf-8")
