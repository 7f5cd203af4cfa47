"""How the edges run along the steps: rails, straight ways, and the order of time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.viz.picture import Box, Picture

from .nets import lstm, rnn
from .test_boxes import boxes, clusters, picture, titles
from .test_gradients import measured

T = 5


def gathered(*, reverse: bool = False, last: bool = False) -> Any:
    """h_t = h_{t-1} / 2 + x_t for x_t = w_t; all h_t, or the last one, in one stack."""
    w = tg.Tensor(np.arange(1.0, T + 1), requires_grad=True, name="w")
    doubled = w * 2.0
    h: Any = tg.Tensor(0.0, name="h_0")
    hs = []
    for t, _ in tg.steps(range(T), reverse=reverse):
        h = 0.5 * h + doubled[t]
        h.name = "h_t"
        hs.append(h)
    if reverse:
        hs.reverse()
    y = tg.stack(hs)
    return tg.sum(y[-1] if last else y)


def stops(shown: Picture, taps: list[Box]) -> list[int]:
    """The time steps that have edges from or to these taps."""
    ends = [
        (set(edge.tail.place) | set(edge.head.place))
        for tap in taps
        for edge in shown.edges
        if edge.kind == "branch" and tap in (edge.tail, edge.head)
    ]
    return [time_step.t for (time_step,) in ends]


# ── rails ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("reverse", [False, True])
def test_what_all_steps_give_to_one_box_is_gathered_along_them(reverse: bool) -> None:
    """And a reversed loop runs from its own first step to its last one."""
    shown = picture(gathered(reverse=reverse))
    (into_stack,) = [edge for edge in shown.edges if edge.head.title == "stack axis=0"]
    assert into_stack.kind == "data"
    before = {edge.head: edge.tail for edge in shown.edges if edge.kind == "data rail"}
    taps = [into_stack.tail]
    while taps[-1] in before:
        taps.append(before[taps[-1]])
    assert stops(shown, taps[::-1]) == list(range(T))[:: -1 if reverse else 1]


def test_what_all_steps_take_runs_along_them() -> None:
    shown = picture(gathered(last=True))
    following = {edge.tail: edge.head for edge in shown.edges if edge.kind == "data rail"}
    (start,) = [box for box in following if box.title == "× 2.0"]
    taps = []
    while start in following:
        start = following[start]
        taps.append(start)
    assert stops(shown, taps) == list(range(T))


def test_the_rails_carry_the_gradients_of_all_that_they_lead_to() -> None:
    """Backward along the first rail, forward along the second, dL/d(2w) and dL/dy."""
    shown = measured(gathered())
    (into_stack,) = [edge for edge in shown.edges if edge.head.title == "stack axis=0"]
    assert into_stack.norm == pytest.approx(math.sqrt(T))  # T ones
    (start,) = [e for e in shown.edges if e.kind == "data rail" and e.tail.title == "× 2.0"]
    own = [2 - 0.5 ** (T - 1 - t) for t in range(T)]  # dL/dx_t = 1 + 1/2 + ...
    assert start.norm == pytest.approx(np.linalg.norm(own))
    parts, edge = [], start
    while edge is not None:
        parts.append(edge.norm)
        edge = next((e for e in edge.carries if e.kind == "data rail"), None)
    assert parts == pytest.approx([np.linalg.norm(own[t:]) for t in range(T)])


def test_a_rail_that_nothing_comes_back_along_says_so() -> None:
    shown = measured(gathered(last=True))
    (into_stack,) = [edge for edge in shown.edges if edge.head.title == "stack axis=0"]
    assert into_stack.norm == 1
    (before,) = [edge for edge in into_stack.carries if edge.kind == "data rail"]
    assert before.norm == 0


def test_the_same_value_gathered_twice_is_added_up() -> None:
    x = tg.Tensor([3.0, 4.0], requires_grad=True, name="x")
    doubled = x * 2.0
    ys = [tg.exp(0.0 * doubled) for _ in tg.steps(range(2))]
    loss = tg.sum(ys[0] * doubled) - tg.sum(ys[1] * doubled)
    shown = measured(loss)
    (rail,) = [e for e in shown.edges if e.kind == "data rail" and e.tail.title == "× 2.0"]
    assert rail.norm == 0  # the factor 0 lets nothing through


def test_steps_left_out_have_one_tap() -> None:
    shown = picture(gathered(), max_steps=2)
    (gap,) = boxes(shown, "gap")
    (out,) = [edge for edge in shown.edges if edge.kind == "branch" and edge.tail is gap]
    assert out.lines == ["3 × h_t"]
    assert len(boxes(shown, "data tap")) == 2 * 3


def test_each_loop_has_a_rail_of_its_own() -> None:
    """So that two directions stand below each other, not behind each other."""
    x = tg.exp(tg.Tensor(np.ones((3, 2)), requires_grad=True))
    total: Any = 0.0
    for reverse in (False, True):
        h: Any = 0.0
        for t, _ in tg.steps(range(3), reverse=reverse):
            h = tg.tanh(h + x[t])
        total = total + h
    shown = picture(tg.sum(total))
    starts = [e for e in shown.edges if e.kind == "data rail" and e.tail.title == "exp"]
    assert len(starts) == 2


def test_states_that_skip_a_step_have_no_rail() -> None:
    h: Any = tg.Tensor(np.ones(2), requires_grad=True)
    before = h
    for _ in tg.steps(range(4)):
        h, before = tg.tanh(h + before), h
    assert not boxes(picture(tg.sum(h)), "data tap")


def test_layers_have_no_rails() -> None:
    assert not boxes(picture(gathered(), "layer"), "data tap")


# ── straight ways ────────────────────────────────────────────────────────────────────────


def spine(shown: Picture, t: int) -> list[tuple[str, str]]:
    return [
        (edge.tail.title, edge.head.title)
        for edge in shown.edges
        if edge.kind == "spine" and edge.tail.place[0].t == t
    ]


def test_a_state_runs_straight_through_a_step() -> None:
    assert spine(picture(rnn(4)), 1) == [("linear", "+"), ("+", "h_t")]
    assert not spine(picture(rnn(4)), 0)  # nothing comes from before
    last = picture(tg.stack([rnn(4), rnn(3)]))
    assert spine(last, 2)


def test_an_lstm_has_two_straight_ways() -> None:
    """c through its gate, and h by the shortest way that is left."""
    ways = spine(picture(lstm(4)), 2)
    assert ("×", "c_t") in ways
    assert [head for _, head in ways].count("h_t") == 1
    assert ways[0][0] == "linear"


# ── frames ───────────────────────────────────────────────────────────────────────────────


def test_a_module_behind_its_loop_has_a_frame_of_its_own() -> None:
    """Not one around the loop, where only its ends belong to it."""
    x: Any = tg.Tensor(np.ones(2), requires_grad=True)
    with tg.scope("net"):
        x = tg.exp(tg.tanh(x))
        for _ in tg.steps(range(2)):
            x = tg.tanh(x)
        x = tg.square(tg.exp(x))
    shown = clusters(picture(x).root)
    assert [title for title, *_ in shown] == ["net", "net: t = 0", "net: t = 1", "net"]
    assert titles(picture(x), "output") == ["square"]
