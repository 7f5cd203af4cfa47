"""Gradient flows beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings

import tinygrad_rnn as tg
from tests.viz import nets
from tests.viz.checks import SVG, problems
from tests.viz.nets import LAYERS, layer_loss
from tests.viz.test_lattice import names, parsed, text_boxes
from tinygrad_rnn.viz.svg import fitted


def recurrence(scale: float, T: int = 12) -> Any:
    """h_t = scale h_{t-1} + x_t: the gradient vanishes, stays or explodes."""
    w = tg.Tensor(np.eye(3) * scale, requires_grad=True, name="W")
    h: Any = tg.Tensor(np.ones(3))
    for _, x_t in tg.steps(np.ones((T, 3))):
        h = w @ h + x_t
    return tg.gradient_flow(tg.sum(h))


def test_the_three_regimes_stand_in_the_table() -> None:
    comparison = tg.compare({f"{s}": recurrence(s) for s in (0.5, 1.0, 1.5)})
    rows = [line.split() for line in str(comparison).splitlines()[1:]]
    assert [float(row[-1]) for row in rows] == [
        pytest.approx(s**11, rel=1e-2) for s in (0.5, 1.0, 1.5)
    ]
    assert "0.5, 1.0, 1.5" in repr(comparison)
    for s, (steps, norms) in zip((0.5, 1, 1.5), comparison.jacobians.values(), strict=True):
        assert steps.tolist() == list(range(12))
        assert norms[11, 4] == pytest.approx(np.sqrt(3) * s**7)
        assert np.isnan(norms[4, 5])


@pytest.mark.parametrize("T", [1, 2, 16, 64, 200])
def test_no_text_overlaps_another(T: int) -> None:
    flows = {k: tg.gradient_flow(layer_loss(k, T, last=True)[0]) for k in LAYERS}
    flows["한글" * 30] = tg.gradient_flow(nets.lstm(max(T // 2, 1)))
    assert problems(tg.compare(flows).svg()) == []


def test_curves_tell_who_forgets() -> None:
    """On one axis: the higher the curve at the first step, the more gradient is left there."""
    svg = tg.compare({f"{s}": recurrence(s) for s in (0.5, 1.0, 1.5)}).svg()
    curves = [
        path.get("d") for path in parsed(svg).iter(f"{SVG}path") if path.get("stroke-width") == "2"
    ]
    heights = [float(d.split("L")[0].split()[1]) for d in curves]
    assert heights[0] > heights[1] > heights[2]  # y runs downwards


def test_vanished_and_infinite_gradients_are_drawn() -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        flows = {"gone": recurrence(0.0), "exploded": recurrence(1e200)}
    comparison = tg.compare(flows)
    parsed(comparison.svg())
    assert "–" not in str(comparison).splitlines()[1]


def test_flows_without_states_have_no_map() -> None:
    comparison = tg.compare({"one step": tg.gradient_flow(layer_loss("rnn", 1)[0])})
    assert not comparison.jacobians
    assert "depends" not in comparison.svg()


@given(name=names)
@example(name="\u2028")
@settings(max_examples=25)
def test_any_name_is_shown_literally(name: str) -> None:
    svg = tg.compare({name: recurrence(0.5, 3)}).svg()
    words = {box[4].strip() for box in text_boxes(svg)}
    assert fitted(name, 150).strip() in words


def test_saving(tmp_path: Path) -> None:
    comparison = tg.compare({"a": recurrence(0.5)})
    comparison.save(tmp_path / "c.svg")
    comparison.save(tmp_path / "c.html")
    assert (tmp_path / "c.svg").read_text(encoding="utf-8") == comparison._repr_svg_()
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "<script" not in page
    with pytest.raises(ValueError, match=r"a file named \.svg, \.html, .*got '.*c\.bmp'"):
        comparison.save(tmp_path / "c.bmp")


def test_bad_input_is_named() -> None:
    with pytest.raises(TypeError, match="expected a dict of flows by name, got list"):
        tg.compare([recurrence(0.5)])
    with pytest.raises(ValueError, match="at least one flow"):
        tg.compare({})
    with pytest.raises(TypeError, match="'RNN': Tensor"):
        tg.compare({"RNN": tg.Tensor(1.0)})
