"""Heat maps: the colours, the places, the words beneath, and wrong input."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tests.viz.checks import SVG, read
from tests.viz.test_lattice import parsed
from tinygrad_rnn.viz.svg import DIVERGING


def cells(svg: str) -> list[tuple[int, float, float, float]]:
    """Every run of a colour: its shade, where it begins, its height on the page, its width."""
    found = []
    for path in parsed(svg).iter(f"{SVG}path"):
        shade = re.fullmatch(r"d(\d+) cell", path.get("class", ""))
        if shade:
            runs = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)", path.get("d", ""))
            found += [(int(shade[1]), *map(float, run)) for run in runs]
    return found


def test_every_number_has_the_colour_of_its_size_and_sign() -> None:
    values = np.array([[1.0, -1.0, 0.0], [0.5, -0.5, np.nan]])
    found = cells(tg.heat_map(values).svg())
    middle, last = (DIVERGING - 1) // 2, DIVERGING - 1
    by_row = {y: sorted(run for run in found if run[2] == y) for y in {run[2] for run in found}}
    first, second, third = (by_row[y] for y in sorted(by_row))
    assert [run[0] for run in sorted(first, key=lambda run: run[1])] == [last, last * 3 // 4]
    assert [run[0] for run in sorted(second, key=lambda run: run[1])] == [0, last // 4]
    assert [run[0] for run in third] == [middle]  # NaN stays empty


def test_what_the_full_colour_is_can_be_said() -> None:
    values = np.array([[1.0], [4.0]])
    assert [run[0] for run in cells(tg.heat_map(values, scale=1.0).svg())] == [DIVERGING - 1]
    words = [text.words for text in read(tg.heat_map(values, scale=8.0).svg()).texts]
    assert "±8" in words
    assert "±4" in [text.words for text in read(tg.heat_map(values).svg()).texts]


def test_a_sequence_and_units_are_chosen() -> None:
    values = np.zeros((3, 2, 4))
    values[:, 1, 2] = [1, -1, 1]
    heat = tg.heat_map({"c": values}, sequence=1, units=[2, 0])
    np.testing.assert_array_equal(heat.values["c"], [[1, 0], [-1, 0], [1, 0]])
    assert tg.heat_map({"c": values}, sequence=-1).values["c"].shape == (3, 4)
    assert repr(heat) == "<HeatMap of c over 3 steps>"
    assert heat._repr_svg_() == heat.svg()


def test_text_stands_under_its_step() -> None:
    svg = tg.heat_map(np.eye(4), text=["a", " ", "<", "\u202e"], title="<i>").svg()
    drawn = read(svg)
    places = {text.words: (text.box[0] + text.box[2]) / 2 for text in drawn.texts}
    assert "<i>" in places
    assert places["<"] == pytest.approx(places["2"])
    assert places["a"] == pytest.approx(places["0"])
    assert "\u202e" not in svg  # it would turn what follows around


@pytest.mark.parametrize("T", [1, 2, 16, 64, 200, 1000])
@pytest.mark.parametrize("units", [1, 3, 64, 600])
def test_all_shapes(T: int, units: int) -> None:
    if T * units > 13_000:
        return
    values = np.random.default_rng(0).standard_normal((T, units))
    for fit in (None, 420):
        heat = tg.heat_map({"h": values, "long name " * 9: -values}, text=["ab"] * T)
        svg = heat.svg(fit=fit, theme="auto")
        drawn = read(svg)
        assert drawn.width <= (fit or 1120) + 1
        steps = Counter(text.words for text in drawn.texts)
        assert steps["step"] >= 1
        covered = sum(run[3] for run in cells(svg))
        pitch = min(run[3] for run in cells(svg))
        assert covered == pytest.approx(2 * T * units * pitch, rel=0.05)


@given(
    st.lists(st.text(max_size=4), min_size=3, max_size=3), st.text(max_size=30), st.text(max_size=9)
)
@settings(max_examples=60)
def test_any_words(text: list[str], title: str, name: str) -> None:
    tg.heat_map({name: np.eye(3)}, text=text, title=title).svg()


def test_a_page_and_a_dark_one() -> None:
    heat = tg.heat_map(np.eye(3), title="gates")
    assert heat.html().startswith("<!DOCTYPE html>")
    assert "<script" not in heat.html()
    assert "<title>gates</title>" in heat.html()
    assert heat.svg(theme="dark") != heat.svg() == heat.svg(theme="light")


@pytest.mark.parametrize(
    ("values", "keywords", "error", "message"),
    [
        ({}, {}, ValueError, "at least one array, got none"),
        (["a"], {}, TypeError, "expected real numbers"),
        ([1j], {}, TypeError, "expected real numbers"),
        (1.0, {}, ValueError, r"expected \(T, H\), \(T, N, H\) or \(T,\), got \(\)"),
        (np.ones((2, 0)), {}, ValueError, r"got \(2, 0\)"),
        (np.ones((2, 2, 2, 2)), {}, ValueError, r"got \(2, 2, 2, 2\)"),
        ({"a": np.ones(2), "b": np.ones(3)}, {}, ValueError, "same number of steps"),
        (np.ones(3), {"text": "ab"}, ValueError, "one string for each of the 3 steps, got 2"),
        (np.ones(2), {"text": [1, 2]}, ValueError, "one string for each of the 2 steps"),
        ({"c": np.ones((2, 3, 1))}, {"sequence": 3}, ValueError, "'c': there is no sequence 3"),
        (np.ones((2, 3)), {"units": [3]}, ValueError, r"there are 3 units, got \[3\]"),
        (np.ones((2, 3)), {"units": []}, ValueError, "units as a list of numbers"),
        (np.ones((2, 601)), {}, ValueError, "at most 600 units.*units="),
        (np.ones(2), {"scale": -1.0}, ValueError, "scale as a number above 0, or 0, got -1.0"),
        (np.ones(2), {"scale": np.inf}, ValueError, "scale as a number"),
    ],
)
def test_wrong_input(values: Any, keywords: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"heat_map: .*{message}"):
        tg.heat_map(values, **keywords)


def test_tensors_booleans_and_integers() -> None:
    heat = tg.heat_map({"t": tg.Tensor([[1.0], [2.0]]), "b": [True, False], "i": [3, -3]})
    assert [x.shape for x in heat.values.values()] == [(2, 1)] * 3
