"""The picture of a scan's plan."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_rnn as tg
from tinygrad_rnn.viz.picture import Box, Picture, boxes_in
from tinygrad_rnn.viz.plans import build_plan

from .test_boxes import edge
from .test_dot import names, shown, texts


@pytest.fixture(autouse=True)
def numpy() -> Iterator[None]:
    """What the pictures of these plans are to show is how NumPy's program is arranged."""
    with tg.backend("numpy"):
        yield


def test_a_native_plan_has_a_picture_too() -> None:
    pytest.importorskip("llvmlite")
    with tg.backend("native"):
        plan = rnn()
    assert plan.backend == "native"
    boxes = parts(build_plan(plan))
    assert "x_t @ W_x" in boxes["forward, before the steps:"].lines[0]
    assert "h @ W_h" in boxes["forward, at every step:"].lines[0]


def rnn(name: str = "W_h") -> Any:
    """h_t = tanh(x_t W_x + h_{t-1} W_h): the plan, its outputs h_t and e^h_t."""
    W_x = tg.Tensor(np.ones((3, 4)), requires_grad=True, name="W_x")
    W_h = tg.Tensor(np.eye(4), requires_grad=True, name=name)

    def cell(h: Any, x_t: Any) -> Any:
        h = tg.tanh(x_t @ W_x + h @ W_h)
        return h, (h, tg.exp(h))

    return tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 3)))


def parts(picture: Picture) -> dict[str, Box]:
    return {box.title: box for box in boxes_in(picture.root) if box.kind == "listing"}


def test_each_direction_has_three_boxes_that_list_what_print_does() -> None:
    plan = rnn()
    boxes = parts(build_plan(plan))
    assert list(boxes) == [
        f"{direction}, {when}:"
        for direction in ("forward", "backward")
        for when in ("before the steps", "at every step", "after the steps")
    ]
    printed = {re.sub(r"\s+", " ", line.strip()) for line in str(plan).splitlines()}
    for direction, listing in plan.listings.items():
        for line in listing:
            assert f"{line} {line.shape}" in printed
            found = [
                box for title, box in boxes.items() if any(str(line) in text for text in box.lines)
            ]
            assert [box.title.startswith(direction) for box in found] == [True]


def test_the_steps_products_with_the_inputs_come_before_them() -> None:
    """And the weights' gradients after them: why a scan is fast, to be seen."""
    boxes = parts(build_plan(rnn()))
    assert "x_t @ W_x" in boxes["forward, before the steps:"].lines[0]
    assert "h @ W_h" in boxes["forward, at every step:"].lines[0]
    assert "exp(" in boxes["forward, after the steps:"].lines[0]
    assert {line.split()[0] for line in boxes["backward, after the steps:"].lines} >= {
        "dW_x",
        "dW_h",
    }


def test_it_says_what_goes_on_and_what_goes_out() -> None:
    boxes = parts(build_plan(rnn()))
    step, after = boxes["forward, at every step:"].lines, boxes["forward, after the steps:"].lines
    h = step[-2].removeprefix("next h = ")
    assert step[-1] == f"given out: {h}"
    assert after[-1] == f"given out: {after[0].split()[0]}"
    assert boxes["backward, at every step:"].lines[-1].startswith("next dh = ")


def test_values_flow_from_part_to_part() -> None:
    picture = build_plan(rnn())
    into = edge(picture, "forward, before the steps:", "forward, at every step:")
    assert (into.kind, len(into.lines)) == ("data", 1)
    kept = edge(picture, "forward, at every step:", "backward, after the steps:")
    assert (kept.kind, kept.lines) == ("kept", ["  h"])
    carried = [e for e in picture.edges if e.tail is e.head]
    assert [(e.tail.title, e.kind, e.lines) for e in carried] == [
        ("forward, at every step:", "state", ["  h"]),
        ("backward, at every step:", "state", ["  dh"]),
    ]
    given = {box.title: box.kind for box in boxes_in(picture.root) if box.kind != "listing"}
    assert given == {
        "x_t": "constant",
        "W_x": "weight",
        "W_h": "weight",
        "dy0_t": "constant",
        "dy1_t": "constant",
    }


def test_many_values_are_counted() -> None:
    cell = tg.nn.LSTMCell(3, 4, rng=0)

    def step(state: Any, x_t: Any) -> Any:
        state = cell(x_t, state)
        return state, state[0]

    plan = tg.scan_plan(step, (np.zeros((2, 4), "f"),) * 2, np.ones((5, 2, 3), "f"))
    words = [line for e in build_plan(plan).edges for line in e.lines]
    assert any(re.fullmatch(r"\(\d+ values\)", line) for line in words)
    assert any("… " in line for line in words)
    weights = {box.title for box in boxes_in(build_plan(plan).root) if box.kind == "weight"}
    assert weights == {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}


def test_a_plan_without_gradients_has_no_way_back() -> None:
    with tg.no_grad():
        boxes = parts(build_plan(rnn()))
    assert len(boxes) == 3
    assert boxes["forward, after the steps:"].lines


@pytest.mark.parametrize(
    "cell",
    [
        lambda h, x_t: (h, x_t),
        lambda h, x_t: (x_t, h),
        lambda h, x_t: (h, 1.0),
        lambda h, x_t: (2.0 * x_t, x_t),
        lambda h, x_t: ((h * 0.5) + 0.0 * x_t, None),
    ],
)
def test_steps_that_do_next_to_nothing(cell: Any) -> None:
    h = tg.Tensor(np.ones(2), requires_grad=True, name="h_0")
    for x in (np.ones((3, 2)), tg.Tensor(np.ones((3, 2)), requires_grad=True)):
        plan = tg.scan_plan(cell, h, x)
        assert str(plan)
        boxes = parts(build_plan(plan))
        assert any(line.startswith("next h = ") for line in boxes["forward, at every step:"].lines)
        assert tg.draw(plan).source


def test_other_dtypes_are_told() -> None:
    def cell(h: Any, x_t: Any) -> Any:
        h = tg.tanh(h + x_t)
        return h, tg.astype(h, "float32")

    boxes = parts(build_plan(tg.scan_plan(cell, np.zeros(2), np.ones((3, 2)))))
    assert any("float32" in line for box in boxes.values() for line in box.lines[-2:])
    assert "forward, before the steps:" not in boxes  # nothing happens there


def test_it_is_drawn() -> None:
    plan = rnn()
    drawing = tg.draw(plan)
    assert "rankdir=TB" in drawing.source
    assert drawing.source == tg.draw(plan).source
    assert "forward, at every step:" in texts(drawing.pipe("svg"))
    for keywords in ({"detail": "cell"}, {"grads": True}, {"values": True}, {"max_steps": 3}):
        with pytest.raises(ValueError, match=r"a plan has one picture .*unroll=True"):
            tg.draw(plan, **keywords)


@settings(max_examples=25)
@given(names)
def test_any_name_is_shown_as_it_is(name: str) -> None:
    svg = tg.draw(rnn(name)).pipe("svg")
    ET.fromstring(svg)
    assert shown(name) in texts(svg)
