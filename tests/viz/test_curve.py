"""Curves of several runs in one picture; those of one training run are in test_train.py."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from tinygrad_rnn.viz.curve import Curve, curves

Lines = dict[str, Curve]


def drawn(lines: Lines) -> ElementTree.Element:
    return ElementTree.fromstring(curves("<runs> & more", "bits", lines))


def label_heights(svg: ElementTree.Element, lines: Lines) -> dict[str, float]:
    """By the name of a line: where its label stands."""
    texts = {text.text or "": text for text in svg.findall("{*}text")}
    return {
        name: float(texts[f"{name} {points[-1][1]:.2f}"].get("y", "nan"))
        for name, points in lines.items()
    }


def test_each_line_goes_through_its_points_in_a_colour_of_its_own() -> None:
    lines = {name: [(0, k + 1.0), (50, k + 0.5), (100, 0.1 * k)] for k, name in enumerate("abc")}
    found = drawn(lines).findall("{*}polyline")
    assert len({line.get("stroke") for line in found}) == 3
    paths = np.array(
        [[point.split(",") for point in line.get("points", "").split()] for line in found], float
    )
    # One map for all: x grows with the step, y falls with the number, both linearly.
    given = np.array(list(lines.values()))
    for axis, sign in ((0, 1), (1, -1)):
        slope, offset = np.polyfit(given[..., axis].ravel(), paths[..., axis].ravel(), 1)
        assert sign * slope > 0
        np.testing.assert_allclose(paths[..., axis], slope * given[..., axis] + offset, atol=0.06)


def test_labels_of_lines_that_end_together_stand_apart_around_where_they_end() -> None:
    ends = {"one": 1.0, "two": 1.001, "three": 0.999, "four": 1.0, "far": 5.0}
    lines: Lines = {name: [(0, 9.0), (10, end)] for name, end in ends.items()}
    svg = drawn(lines)
    heights = label_heights(svg, lines)
    paths = [line.get("points", "").split() for line in svg.findall("{*}polyline")]
    last = dict(zip(lines, (float(path[-1].split(",")[1]) for path in paths), strict=True))
    assert abs(heights["far"] - last["far"]) < 5, "nothing to avoid: at the end of its line"
    near = ["two", "one", "four", "three"]  # from the highest to the lowest
    assert min(heights[b] - heights[a] for a, b in pairwise(near)) > 13
    assert abs(sum(heights[name] - last[name] for name in near)) < 5 * len(near)


def test_no_label_runs_into_the_numbers_of_the_axis() -> None:
    lines: Lines = {"top": [(0, 1.0)], **{name: [(0, 1.0), (9, 0.0)] for name in "abcd"}}
    svg = drawn(lines)
    below = [text for text in svg.findall("{*}text") if text.text == "10"]
    assert max(label_heights(svg, lines).values()) < float(below[0].get("y", "nan")) - 12


def test_labels_fit_beside_the_lines() -> None:
    name = "a name that is longer than most"
    svg = drawn({name: [(0, 2.0), (10, 1.0)]})
    [label] = [text for text in svg.findall("{*}text") if text.text == f"{name} 1.00"]
    room = float(svg.get("width", "nan")) - float(label.get("x", "nan"))
    assert room >= 6.2 * len(f"{name} 1.00")


@pytest.mark.parametrize("lines", [{}, {"a": []}, {"a": [(0, 1.0)], "b": [(0, float("nan"))]}])
def test_no_picture_of_nothing_or_of_what_is_no_number(lines: Lines) -> None:
    with pytest.raises(ValueError, match="curves: expected finite numbers"):
        curves("t", "bits", lines)
