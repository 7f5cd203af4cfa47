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
from tests.bptt.test_columns import seq2seq
from tests.viz import nets
from tests.viz.nets import layer_loss
from tests.viz.test_lattice import names
from tinygrad_rnn.viz.equations import equations
from tinygrad_rnn.viz.svg import visible

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM = CHROMIUM or shutil.which("google-chrome")


def recurrence(scale: float, T: int) -> Any:
    w = tg.Tensor(np.eye(3) * scale, requires_grad=True, name="W")
    h: Any = tg.Tensor(np.ones(3))
    for _, x_t in tg.steps(np.ones((T, 3))):
        h = w @ h + x_t
    return tg.sum(h)


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


@np.errstate(over="ignore", invalid="ignore")
def test_infinite_gradients_have_something_to_tell_too() -> None:
    flow = tg.gradient_flow(recurrence(1e200, 6))
    page = flow.html()
    keys = {attrs["data-k"] for _, attrs in Reader(page).tags if "data-k" in attrs}
    lines = told(page)
    assert keys <= set(lines)
    assert {"e0.0", "e0.4", "s0.0"} <= keys
    for key, words in (("e0.2", "norm (NaN|Inf)"), ("s0.0", r"\|dL/d h\| = (NaN|Inf)")):
        assert any(re.search(words, line) for line in lines[key]), lines[key]


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

ANSWER = """
<script>
"use strict";
function answer(result) {
  const out = document.createElement("pre");
  out.id = "result";
  out.textContent = JSON.stringify(result);
  document.body.append(out);
}
</script>
"""

DRIVER = """
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
  result.requests = performance.getEntriesByType("resource").map(e => e.name);
  result.errors = errors;
  answer(result);
});
"""


def browsed(page: str, driver: str, folder: Path, size: str = "1200,900") -> Any:
    """What a script finds out about a page in a browser; it calls ``answer``."""
    path = folder / "flow.html"
    path.write_text(
        page.replace("</body>", f"{ANSWER}<script>{driver}</script></body>"), encoding="utf-8"
    )
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
            f"--window-size={size}",
            f"--user-data-dir={folder / 'profile'}",
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
    return json.loads(html.unescape(found[1]))


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@needs_browser
def test_a_browser_plays_it(tmp_path: Path) -> None:
    flow = tg.gradient_flow(
        layer_loss("lstm", T=4, last=True)[0], text=["<b>", "</script>", "안", "🙂"]
    )
    keys = ["s0.2", "s1.3", "e0.1", "o0.3", "x1", "w0.3", "L"]
    result = browsed(flow.html(), DRIVER.replace("KEYS", json.dumps(keys)), tmp_path)
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


SEEN = """
addEventListener("load", () => {
  const slider = document.getElementById("frame");
  const seen = [];
  for (let n = 0; n <= +slider.max; n++) {
    slider.value = n;
    slider.dispatchEvent(new Event("input"));
    const visible = [...document.querySelectorAll(".picture svg *")].filter(
      part => getComputedStyle(part).visibility === "visible");
    const classes = visible.flatMap(part => [...part.classList]);
    seen.push([
      classes.filter(name => /^[flm](\\d+|e\\d|[zx])$/.test(name)).length,
      visible.filter(part => part.tagName === "text").map(part => part.textContent),
    ]);
  }
  answer(seen);
});
"""


@needs_browser
def test_what_belongs_to_the_backward_sweep_is_not_there_before_it(tmp_path: Path) -> None:
    for loss in (nets.lstm(3), recurrence(1e3, 4), seq2seq(T=2, decoder=2)):
        seen = browsed(tg.gradient_flow(loss).html(), SEEN, tmp_path)
        half = len(seen) // 2  # here the loss is computed
        assert [coloured for coloured, _ in seen[: half + 1]] == [0] * (half + 1)
        assert seen[half + 1][0] > 0
        words = "norm of the gradient"
        before = [words for coloured, texts in seen[: half + 1] for words in texts]
        assert not [text for text in before if "dL" in text or words in text or " R" in text]
        assert words in seen[half + 1][1]
        assert "loss" in seen[half][1]


FINGER = """
addEventListener("load", () => {
  const byId = id => document.getElementById(id);
  const slider = byId("frame"), picture = document.querySelector(".picture");
  const touch = (type, key) => document.querySelector(`[data-k="${key}"]`).dispatchEvent(
    new PointerEvent(type, {bubbles: true, clientX: 60, clientY: 60, pointerType: "touch"}));
  const result = {inside: []};
  touch("pointerdown", "s0.2");
  result.touched = byId("tip").hidden ? null : byId("tip").textContent;
  touch("pointermove", "s0.3");
  result.moved = byId("tip").textContent;
  // A browser that draws no frames (a busy machine, virtual time) tells nobody that it scrolled.
  picture.scrollLeft += 40;
  picture.dispatchEvent(new Event("scroll"));
  result.scrolled = byId("tip").hidden;
  touch("pointerdown", "s0.2");
  document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape", bubbles: true}));
  result.escaped = byId("tip").hidden;
  for (const n of [1, 8, 16, 20, 32, 33]) {
    slider.value = n;
    slider.dispatchEvent(new Event("input"));
    const box = byId("now").getBoundingClientRect(), frame = picture.getBoundingClientRect();
    result.inside.push(box.width > 0 && box.left >= frame.left - 1 && box.right <= frame.right + 1);
  }
  result.overflow = picture.scrollWidth > picture.clientWidth;
  answer(result);
});
"""


@needs_browser
def test_a_finger_and_a_narrow_window(tmp_path: Path) -> None:
    result = browsed(tg.gradient_flow(nets.lstm(16)).html(), FINGER, tmp_path, size="520,900")
    assert result["touched"].startswith("h, t = 2")
    assert result["moved"] == result["touched"]  # a finger that scrolls points at nothing
    assert result["scrolled"] is True
    assert result["escaped"] is True
    assert result["overflow"] is True
    assert result["inside"] == [True] * 6
