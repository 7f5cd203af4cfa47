"""The page: what it tells, that it needs nothing else, and that a browser plays it."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_rnn as tg
from tests.viz import nets
from tests.viz.nets import layer_loss
from tests.viz.test_lattice import names
from tinygrad_rnn.viz.equations import equations
from tinygrad_rnn.viz.svg import visible

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM = CHROMIUM or shutil.which("google-chrome")


class Reader(html.parser.HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += data


def told(page: str) -> dict[str, list[str]]:
    data = json.loads(Reader(page).scripts[0])
    return {key: [data["lines"][i] for i in lines] for key, lines in data["told"].items()}


# ── what it tells ────────────────────────────────────────────────────────────────────────


def test_every_part_that_can_be_pointed_at_has_something_to_tell() -> None:
    for loss in (nets.lstm(5), layer_loss("gru", num_layers=2, bidirectional=True)[0]):
        page = tg.gradient_flow(loss, text=None).html()
        keys = {attrs["data-k"] for _, attrs in Reader(page).tags if "data-k" in attrs}
        assert keys <= set(told(page))
        assert {key[0] for key in keys} >= {"s", "e", "o", "x", "w", "L"}


def test_a_state_tells_its_equations_value_and_gradient() -> None:
    flow = tg.gradient_flow(nets.lstm(4))
    lines = told(flow.html())["s0.2"]
    assert lines[0] == "h, t = 2"
    assert lines[1].startswith("h_t = σ(")
    assert "tanh(c_t)" in lines[1]
    assert lines[2].startswith("c_t = σ(")
    assert "c_{t-1}" in lines[2]
    assert "shape (2, 4)" in lines
    assert f"|dL/d h| = {flow.states['h'].norms[2]:.2g}" in lines
    assert any(line.startswith("[[") for line in lines)


def test_equations_are_the_cells_own() -> None:
    flow = tg.gradient_flow(layer_loss("gru", T=3)[0])
    lines = equations(flow.structure, flow.states["h"].trajectory.nodes[1])
    assert lines[0] == "h_t = n_t + z_t × (h_{t-1} − n_t)"
    assert lines[1].startswith("n_t = tanh((weight_ih_l0 x_t + bias_ih_l0)[:, 8:12] + r_t × (")
    flow = tg.gradient_flow(layer_loss("rnn", T=3, bidirectional=True)[0])
    (line,) = equations(flow.structure, flow.states["rnn.l0_reverse.h"].trajectory.nodes[1])
    assert "weight_hh_l0_reverse rnn.l0_reverse.h_{t+1}" in line


def test_long_equations_are_cut() -> None:
    w = tg.Tensor([0.5, 0.5], requires_grad=True)
    h: Any = tg.Tensor([1.0, 1.0])
    for _, x_t in tg.steps(np.ones((2, 2))):
        for _ in range(100):
            h = tg.exp(-(w / (h - 2.0)) @ w) * x_t
    flow = tg.gradient_flow(tg.sum(h))
    (line,) = equations(flow.structure, flow.states["h"].trajectory.nodes[1])
    assert "…" in line
    assert len(line) < 500
    assert "÷" in line
    assert "@" in line


@given(name=names)
@settings(max_examples=40)
def test_no_name_becomes_a_part_of_the_page(name: str) -> None:
    W = tg.Tensor(np.eye(2) * 0.5, requires_grad=True, name=name)
    h: Any = tg.Tensor(np.ones(2))
    for _, x_t in tg.steps(np.ones((2, 2))):
        h = tg.tanh(W @ h + x_t)
        h.name = name
    plain = Reader(tg.gradient_flow(tg.sum(h)).html())
    assert [tag for tag, _ in plain.tags].count("script") == 2
    assert not any(key.startswith("on") for _, attrs in plain.tags for key in attrs)
    assert any(visible(name) in line for lines in told_by(plain) for line in lines)


def told_by(reader: Reader) -> list[list[str]]:
    data = json.loads(reader.scripts[0])
    return [data["lines"]]


def test_the_page_is_small_and_names_no_other_file() -> None:
    page = tg.gradient_flow(nets.lstm(32)).html()
    assert len(page.encode()) < 300_000
    links = re.findall(r"(?:https?:)?//[\w.]+", page)
    assert set(links) == {"http://www.w3.org"}  # the name of SVG's language, not a request
    assert not any({"src", "href", "action"} & attrs.keys() for _, attrs in Reader(page).tags)


def test_saving(tmp_path: Path) -> None:
    flow = tg.gradient_flow(nets.rnn(3))
    flow.save(tmp_path / "flow.svg")
    flow.save(str(tmp_path / "flow.HTML"))
    assert (tmp_path / "flow.svg").read_text(encoding="utf-8") == flow.svg() == flow._repr_svg_()
    assert (tmp_path / "flow.HTML").read_text(encoding="utf-8") == flow.html()
    with pytest.raises(ValueError, match=r"a file named \.svg, \.html, .*, got '.*flow\.bmp'"):
        flow.save(tmp_path / "flow.bmp")
    with pytest.raises(FileNotFoundError):
        flow.save(tmp_path / "no" / "flow.svg")


# ── in a browser ─────────────────────────────────────────────────────────────────────────

DRIVER = """
<script>
"use strict";
const errors = [];
addEventListener("error", e => errors.push(String(e.message)));
addEventListener("unhandledrejection", e => errors.push(String(e.reason)));
addEventListener("securitypolicyviolation", e => errors.push(e.violatedDirective));
const wait = ms => new Promise(done => setTimeout(done, ms));
const byId = id => document.getElementById(id);
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const hidden = () => document.querySelectorAll(".off").length;
addEventListener("load", async () => {
  const slider = byId("frame"), result = {};
  const slide = n => { slider.value = n; slider.dispatchEvent(new Event("input")); };
  const point = part => part.dispatchEvent(
    new PointerEvent("pointermove", {bubbles: true, clientX: 60, clientY: 60}));
  result.parts = document.querySelectorAll("[data-f]").length;
  slide(0); result.start = [byId("where").textContent, hidden()];
  slide(slider.max / 2); result.middle = [byId("where").textContent, hidden()];
  slide(slider.max); result.end = [byId("where").textContent, hidden()];
  press("Home"); press("ArrowRight"); result.key = [slider.value, byId("told").textContent];
  press("End"); press("ArrowLeft"); result.back = slider.value;
  press(" "); result.playing = byId("play").textContent;
  await wait(1500); result.played = [byId("play").textContent, slider.value];
  byId("play").click(); result.again = [byId("play").textContent, slider.value];
  byId("play").click(); result.paused = byId("play").textContent;
  const told = {};
  for (const key of KEYS) {
    point(document.querySelector(`[data-k="${key}"]`));
    told[key] = byId("tip").hidden ? null : byId("tip").textContent;
  }
  result.told = told;
  point(document.body); result.away = byId("tip").hidden;
  const box = byId("now").getBoundingClientRect();
  result.requests = performance.getEntriesByType("resource").map(e => e.name);
  result.errors = errors;
  const out = document.createElement("pre");
  out.id = "result";
  out.textContent = JSON.stringify(result);
  document.body.append(out);
});
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_plays_it(tmp_path: Path) -> None:
    flow = tg.gradient_flow(
        layer_loss("lstm", T=4, last=True)[0], text=["<b>", "</script>", "안", "🙂"]
    )
    page = flow.html()
    keys = ["s0.2", "s1.3", "e0.1", "o0.3", "x1", "w0.3", "L"]
    driver = DRIVER.replace("KEYS", json.dumps(keys))
    path = tmp_path / "flow.html"
    path.write_text(page.replace("</body>", driver + "</body>"), encoding="utf-8")
    assert CHROMIUM is not None
    answer = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in answer.stderr
    found = re.search(r'<pre id="result">(.*?)</pre>', answer.stdout, re.DOTALL)
    assert found is not None, answer.stdout[-2000:]
    result = json.loads(html.unescape(found[1]))
    assert result["errors"] == []
    assert result["requests"] == []
    assert result["start"] == ["nothing is computed yet", result["parts"]]
    assert result["middle"][0] == "backward: lstm.l0, t = 3" or "the loss" in result["middle"][0]
    assert 0 < result["middle"][1] < result["parts"]
    assert result["end"] == ["backward: lstm.l0, t = 0", 0]
    assert result["key"][0] == "1"
    assert "h, t = 0" in result["key"][1]
    assert result["back"] == "8"
    assert result["playing"] == "Pause"
    assert result["played"] == ["Play", "9"]
    assert result["again"] == ["Pause", "0"]
    assert result["paused"] == "Play"
    assert result["told"]["s0.2"].startswith("h, t = 2\nh_t = o_t × tanh(c_t)")
    assert "the gradient that came back: norm" in result["told"]["e0.1"]
    assert "'</script>'" in result["told"]["x1"]
    assert "% of it" in result["told"]["w0.3"]
    assert result["told"]["L"].startswith("the loss")
    assert result["away"] is True
