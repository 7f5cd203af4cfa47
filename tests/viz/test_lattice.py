"""The picture of a gradient flow: nothing overlaps, any name is shown literally, small and fast."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.bptt.test_columns import seq2seq
from tests.viz import nets
from tests.viz.checks import SVG, problems, read
from tests.viz.nets import LAYERS, layer_loss
from tinygrad_rnn.viz.flow import draw_lattice
from tinygrad_rnn.viz.svg import (
    LEAST_DECADES,
    Scale,
    columns,
    escaped,
    figure,
    fitted,
    joined,
    log_ticks,
    shortened,
    step_ticks,
    visible,
    width_of,
)


def parsed(svg: str) -> Any:
    return ElementTree.fromstring(svg)


def classes(svg: str) -> Counter[str]:
    elements = parsed(svg).iter()
    return Counter(name for e in elements for name in e.get("class", "").split())


def text_boxes(svg: str) -> list[tuple[float, float, float, float, str]]:
    """Every text's box, and its words."""
    return [(*text.box, text.words) for text in read(svg).texts]


# ── what is where ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("T", [1, 2, 3, 4, 8, 16, 28, 29, 64, 101, 102, 200])
@pytest.mark.parametrize("kind", LAYERS)
def test_no_text_overlaps_another_and_none_leaves_the_picture(kind: str, T: int) -> None:
    for options in ({}, {"num_layers": 2, "bidirectional": True}):
        loss, _ = layer_loss(kind, T, **options)
        flow = tg.gradient_flow(loss, text=["word "] * T)
        for fit in (None, 500, 1300) if T in (3, 64) else (None,):
            assert problems(flow.svg(fit=fit)) == []


@pytest.mark.parametrize("T", [2, 16, 64])
def test_every_step_has_its_state_and_every_weight_its_rail(T: int) -> None:
    svg = tg.gradient_flow(nets.lstm(T)).svg()
    circles = [e for e in parsed(svg).iter(f"{SVG}circle") if e.get("class") != "node"]
    assert len(circles) == 2 * T
    by_row: dict[str, list[float]] = {}
    for circle in circles:
        by_row.setdefault(circle.get("cy", ""), []).append(float(circle.get("cx", 0)))
    assert all(sorted(xs) == xs and len(xs) == T for xs in by_row.values())  # time goes right
    words = [box[4] for box in text_boxes(svg)]
    assert words.index("c") < words.index("h")  # c is above h
    assert {"weight_ih", "weight_hh", "bias", "V"} <= set(words)


def test_a_vanishing_gradient_is_seen() -> None:
    """The widths of the arrows back fall from step to step, and those that vanished are grey."""
    loss, _ = layer_loss("rnn", 16, last=True)
    svg = tg.gradient_flow(loss).svg()
    lines = [e.get("class", "") for e in parsed(svg).iter(f"{SVG}path")]
    backs = [int(c.split("back l")[1]) for c in lines if c.startswith("back l") and c[6:] != "lz"]
    assert backs == sorted(backs)
    assert backs[0] < 4 < 12 < backs[-1]
    loss, _ = layer_loss("rnn", 200, last=True)
    counted = classes(tg.gradient_flow(loss).svg())
    assert counted["fz"] > 100


def test_it_is_said_where_the_gradient_has_vanished() -> None:
    flow = tg.gradient_flow(layer_loss("rnn", 64, last=True)[0])
    words = [box[4] for box in text_boxes(flow.svg())]
    state = flow.states["h"]
    gone = np.flatnonzero(state.norms < 1e-8 * flow.sent_by_loss)
    assert 10 < len(gone) < 54
    assert f"vanished: 0 to {gone[-1]}" in words
    assert any(text.startswith("vanished: below 1e-8 R = ") for text in words)
    short = tg.gradient_flow(layer_loss("rnn", 16, last=True)[0]).svg()
    assert "vanished" not in short


def test_the_way_from_the_loss_carries_what_goes_down_from_it() -> None:
    """Three losses of gradients 1, 100 and 1: darker behind the second one, seen from the left."""
    h: Any = tg.Tensor(1.0)
    w = tg.Tensor(0.9, requires_grad=True, name="w")
    hs = []
    for _, x_t in tg.steps(np.ones(3)):
        h = w * h + x_t
        hs.append(h)
    svg = tg.gradient_flow(hs[0] + 100.0 * hs[1] + hs[2]).svg()
    ways = [e for e in parsed(svg).iter(f"{SVG}path") if e.get("stroke-linecap") == "square"]
    shades = [int((e.get("class") or "").split("back m")[1]) for e in ways]
    assert len(shades) == 2
    assert shades[0] < shades[1] == 15


def test_a_gradient_that_stays_looks_so() -> None:
    w = tg.Tensor(0.9, requires_grad=True, name="w")
    h: Any = tg.Tensor(1.0)
    for _, x_t in tg.steps(np.ones(16)):
        h = w * h + x_t
    counted = classes(tg.gradient_flow(h).svg())
    assert not any(counted[f"l{k}"] or counted["lz"] for k in range(8))


def test_the_cut_of_truncated_bptt_is_marked() -> None:
    cell, losses = tg.nn.RNNCell(3, 4, rng=0), []
    h: Any = tg.Tensor(np.full((2, 4), 0.5, np.float32))  # begins with what is not 0: no cut
    for t, x_t in tg.steps(np.ones((6, 2, 3))):
        h = cell(x_t, h)
        losses.append(tg.sum(h))
        h = h.detach() if t == 2 else h
    svg = tg.gradient_flow(sum(losses)).svg()
    assert classes(svg)["cut"] == 2  # and the legend's
    assert "t = 3: a constant enters h here" in svg
    assert "t = 0: a constant" not in svg
    assert "cut off" in {box[4] for box in text_boxes(svg)}


def test_the_text_is_shaded_by_what_mattered() -> None:
    x = tg.Tensor(np.ones((3, 1)), requires_grad=True, name="x")
    h: Any = tg.Tensor([0.0])
    for t, x_t in tg.steps(x):
        h = h + x_t * [1.0, 1e-5, 10.0][t]
    svg = tg.gradient_flow(tg.sum(h), text="a b").svg()
    groups = list(parsed(svg).iter(f"{SVG}g"))
    shades = [g[0].get("class") for g in groups]
    assert shades[1] == "mono"  # nothing behind it
    assert shades[2] == "f15"
    assert shades[0] not in ("mono", "f15")
    assert [g[-1].text for g in groups] == ["a", "\u00a0", "b"]


# ── loops beside each other ──────────────────────────────────────────────────────────────


def circles(svg: str) -> dict[str, list[float]]:
    """By row (its height) where its circles stand."""
    found: dict[str, list[float]] = {}
    for circle in parsed(svg).iter(f"{SVG}circle"):
        if circle.get("class") != "node":
            found.setdefault(circle.get("cy", ""), []).append(float(circle.get("cx", 0)))
    return found


def test_a_decoder_is_drawn_behind_its_encoder() -> None:
    flow = tg.gradient_flow(seq2seq(T=5, decoder=3))
    svg = flow.svg()
    rows = [xs for _, xs in sorted(circles(svg).items(), key=lambda row: float(row[0]))]
    assert [len(xs) for xs in rows] == [3, 3, 3, 5, 5]  # loss, c, h of the decoder; the encoder's
    assert min(min(xs) for xs in rows[:3]) > max(max(xs) for xs in rows[3:])
    words = [box[4] for box in text_boxes(svg)]
    assert {"encoder.lstm.l0", "decoder"} <= set(words)
    (y,) = [box[1] for box in text_boxes(svg) if box[4] == "time step"]
    axis = [box[4] for box in text_boxes(svg) if box[1] == y and box[4] != "time step"]
    assert axis == list("01234012")


def test_what_is_handed_over_and_read_is_drawn() -> None:
    """Curves for the two states, and from each decoder step a line to each encoder step."""
    flow = tg.gradient_flow(seq2seq(T=5, decoder=3))
    lattice = draw_lattice(flow, playable=True)
    paths = list(parsed(lattice.svg).iter(f"{SVG}path"))
    curves = [p for p in paths if "C" in p.get("d", "") and "back" in p.get("class", "")]
    assert len(curves) == 2
    lines = [p for p in paths if p.get("opacity") == "0.75"]
    assert len(lines) == 3 * 5
    # The wider, the larger its part of the gradient.
    shades = sorted(int(p.get("class", "").split("back m")[1]) for p in lines)
    norms = sorted(link.norm for link in flow.links if link.kind == "read")
    expected = [round(lattice.sheet.scale.fraction(norm) * 15) for norm in norms]
    assert shades == expected
    assert len(set(shades)) > 1


def test_too_many_lines_are_left_out_and_it_is_said() -> None:
    flow = tg.gradient_flow(seq2seq(T=28, decoder=28, kind="GRU"))
    svg = flow.svg()
    lines = [p for p in parsed(svg).iter(f"{SVG}path") if p.get("opacity") == "0.75"]
    assert len(lines) == 600
    assert any(box[4].startswith("lines below ") for box in text_boxes(svg))


def test_the_entry_of_a_first_state_is_an_arrow_unless_it_is_handed_over() -> None:
    net = tg.nn.GRU(3, 2, rng=0)
    y, state = net(np.ones((3, 1, 3)), unroll=True)
    y2, _ = net(np.ones((3, 1, 3)), state, unroll=True)
    svg = tg.gradient_flow(tg.sum(y2)).svg()
    assert len(circles(svg)) == 1  # both calls in one row
    backs = [e for e in parsed(svg).iter(f"{SVG}path") if "back l" in e.get("class", "")]
    assert len(backs) == 5  # from every step to the one before it
    assert y.shape == (3, 1, 2)


def test_every_weight_has_its_own_scale() -> None:
    """One whose steps share evenly has bars too; the largest of each is as tall as any."""
    flow = tg.gradient_flow(layer_loss("lstm", 16, last=True)[0])
    svg = flow.svg()
    tallest: dict[str, float] = {}
    for bar in parsed(svg).iter(f"{SVG}rect"):
        if bar.get("class") == "bar":
            hue = bar.get("fill", "")
            tallest[hue] = max(tallest.get(hue, 0), float(bar.get("height", 0)))
    assert len(tallest) == 4
    assert set(tallest.values()) == {22.0}
    words = [box[4] for box in text_boxes(svg)]
    for weight in flow.weights.values():
        largest = np.abs(weight.parts).max()
        assert any(word.endswith(f"tallest {100 * largest:.0f} %") for word in words)


def test_a_picture_in_lines_shows_every_step_once() -> None:
    flow = tg.gradient_flow(layer_loss("lstm", 50)[0])
    svg = flow.svg(fit=600)
    root = parsed(svg)
    assert float(root.get("width")) <= 720
    assert sum(len(xs) for xs in circles(svg).values()) == 2 * 50
    assert max(len(xs) for xs in circles(svg).values()) < 20
    with pytest.raises(ValueError, match="expected fit of at least 374 pixels, got 100"):
        flow.svg(fit=100)


# ── small, and always the same ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(("T", "size"), [(64, 150_000), (1000, 1_000_000)])
def test_the_svg_is_small(T: int, size: int) -> None:
    assert len(tg.gradient_flow(nets.lstm(T)).svg().encode()) < size


def test_the_same_graph_gives_the_same_picture() -> None:
    assert tg.gradient_flow(nets.lstm(7)).svg() == tg.gradient_flow(nets.lstm(7)).svg()


def test_its_style_is_its_own() -> None:
    """A notebook puts many pictures into one page: each rule is for this picture alone."""
    flows = (tg.gradient_flow(nets.rnn(3)), tg.gradient_flow(nets.rnn(90)))
    for svg in [flow.svg(theme=theme) for flow in flows for theme in ("light", "auto")]:
        scope = parsed(svg).get("class")
        rules = re.sub(r"@media \([^)]*\)\{", "", parsed(svg).find(f"{SVG}style").text)
        selectors = [part for rule in re.findall(r"([^{}]+)\{", rules) for part in rule.split(",")]
        assert len(selectors) > 20
        assert all(selector.startswith(f".{scope} ") for selector in selectors)
    assert scope != parsed(flows[0].svg()).get("class")  # other widths


def test_a_picture_is_light_unless_it_is_asked_to_be_dark() -> None:
    flow = tg.gradient_flow(nets.rnn(3))
    light, dark, auto = (flow.svg(theme=theme) for theme in ("light", "dark", "auto"))
    assert flow.svg() == light == flow._repr_svg_()
    assert "prefers-color-scheme" not in light + dark
    assert "#15181c" not in light
    assert "#15181c" in dark
    assert "prefers-color-scheme" in auto
    with pytest.raises(ValueError, match="expected theme 'light', 'dark' or 'auto', got 'pink'"):
        flow.svg(theme="pink")


# ── any text ─────────────────────────────────────────────────────────────────────────────

names = st.one_of(
    st.text(min_size=1),
    st.text("<>&\"'\\|{}\n\r\t\x00\x1b\x7f\x85\u2028\u202e\ud800\ufffe안녕🙂e\u0301 ", min_size=1),
)


@given(name=names, state=names, text=st.lists(names, min_size=3, max_size=3))
@example("0", '"', ["0", "0", "0"])
@example("<b>&amp;", "</text><script>alert(1)</script>", ["]]>", "</script>", "<!--"])
@settings(max_examples=60)
def test_any_name_is_shown_literally(name: str, state: str, text: list[str]) -> None:
    W = tg.Tensor(np.eye(2) * 0.5, requires_grad=True, name=name)
    h: Any = tg.Tensor(np.ones(2))
    for _, x_t in tg.steps(np.ones((3, 2))):
        h = tg.tanh(W @ h + x_t)
        h.name = state
    loss = tg.sum(h)
    loss.name = name
    flow = tg.gradient_flow(loss, text=text)
    svg = flow.svg()
    root = parsed(svg)
    assert {e.tag for e in root.iter()} <= {
        SVG + tag for tag in ("svg", "style", "rect", "path", "circle", "text", "title", "g")
    }
    words = {box[4] for box in text_boxes(svg)}
    assert fitted(name, 156).strip(" ") in words or not name.strip()
    shown = [e[-1].text for e in root.iter(f"{SVG}g")]
    assert shown == [visible(part).replace(" ", "\u00a0") for part in text]
    str(flow)
    svg.encode()


@given(names)
def test_escaped_text_is_read_back(text: str) -> None:
    assert ElementTree.fromstring(f"<a>{escaped(text)}</a>").text == visible(text)
    assert ElementTree.fromstring(f'<a b="{escaped(text)}"/>').get("b") == visible(text)


@given(st.text(), st.integers(3, 30))
def test_shortened_text_has_room(text: str, most: int) -> None:
    short = shortened(text, most)
    assert columns(short) <= most
    if columns(visible(text)) <= most:
        assert short == visible(text)


@given(st.text(), st.floats(12, 300))
def test_fitted_text_has_room(text: str, room: float) -> None:
    short = fitted(text, room)
    assert width_of(short) <= room + 1e-6 or len(short) <= 1


# ── scales ───────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.floats(0, allow_infinity=False), max_size=20), st.floats(1e-300, 1e300))
def test_a_scale_holds_what_neither_vanished_nor_exploded(norms: list[float], R: float) -> None:
    told = [(n, tg.bptt.regime(n, R)) for n in [*norms, float("nan")]]
    scale = Scale.over(told)
    assert scale.low < scale.high <= scale.most
    assert np.log10(scale.high) - np.log10(scale.low) >= LEAST_DECADES - 1e-6 or scale.low == 1e-300
    for norm, regime in told:
        shade = scale.shade(norm, regime)
        if regime == "":
            assert shade.isdigit()
            assert 0 <= scale.fraction(norm) <= 1
        else:
            wanted = {"NaN": "x", "0": "n", "vanished": "z", "exploded": "e"}[regime]
            assert shade.startswith(wanted)
        assert 0 <= scale.height(norm) <= 1 or norm != norm


@given(st.integers(1, 5000), st.floats(0.2, 96))
def test_labels_of_steps_are_thinned_out(count: int, pitch: float) -> None:
    shown = step_ticks(count, pitch)
    assert shown[0] == 0
    stride = shown[1] - shown[0] if len(shown) > 1 else count
    assert stride * pitch >= 7 * len(str(count - 1)) or len(shown) == 1
    assert stride in (1, count) or str(stride).rstrip("0") in ("1", "2", "5")


@given(st.floats(-290, 290), st.floats(0.1, 300), st.floats(40, 300))
def test_powers_of_ten_have_room(low: float, decades: float, tall: float) -> None:
    high = min(low + decades, 300.0)
    shown = log_ticks(10.0**low, 10.0**high, tall)
    assert all(low - 1e-6 <= power <= high + 1e-6 for power in shown)
    if len(shown) > 1:
        assert (shown[1] - shown[0]) * tall / (high - low) >= 11.9


def test_numbers_in_short() -> None:
    assert joined([3, 1, 2, 7, 9, 10]) == "1 to 3, 7, 9, 10"
    assert joined([]) == ""


def test_figures_are_short() -> None:
    assert [figure(x) for x in (0.0, 1.55, 2e-8, 3e20, 0.04)] == [
        "0",
        "1.6",
        "2e-8",
        "3e20",
        "0.04",
    ]


def test_a_lattice_knows_its_frames() -> None:
    flow = tg.gradient_flow(layer_loss("rnn", 3, bidirectional=True)[0])
    lattice = draw_lattice(flow, playable=True)
    assert [time_step and time_step[1] for time_step in lattice.time_steps] == [
        *(0, 1, 2, 2, 1, 0),  # forward: the first direction, the second
        None,
        *(0, 1, 2, 2, 1, 0),  # and backward
    ]
    frames = {int(e.get("data-f")) for e in parsed(lattice.svg).iter() if e.get("data-f")}
    assert frames == set(range(1, len(lattice.time_steps) + 1))
