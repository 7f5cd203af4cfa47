"""Time: which time step of which loop an operation belongs to."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.steps import Place, common, crosses, places
from tinygrad_rnn.graph import Node, ancestors


def places_of(output: Any) -> dict[Node, Place]:
    nodes = ancestors([output.node])[::-1]
    return places([node for node in nodes if not node.is_leaf])


def titles(output: Any) -> list[list[str]]:
    """The time steps that operations ran in, in the order in which they began."""
    places = dict.fromkeys(places_of(output).values())
    return [[time_step.title for time_step in place] for place in places]


def chain(xs: Any, h: Any) -> Any:
    for _, x_t in tg.steps(xs):
        h = h * x_t
    return h


def leaf() -> tg.Tensor:
    return tg.Tensor(1.0, requires_grad=True)


def test_each_step_is_a_turn() -> None:
    assert titles(tg.exp(chain([1.0, 2.0, 3.0], leaf()))) == [["t = 0"], ["t = 1"], ["t = 2"], []]


def test_an_operation_outside_the_loop_has_no_place() -> None:
    assert titles(leaf() * 2.0) == [[]]


def test_two_loops_are_told_apart() -> None:
    h = chain([1.0], chain([1.0], leaf()))
    assert titles(h) == [["loop 1: t = 0"], ["loop 2: t = 0"]]


def test_loops_are_called_by_their_modules() -> None:
    with tg.scope("encoder"):
        h = chain([1.0], leaf())
    with tg.scope("decoder"):
        h = chain([1.0], h)
    assert titles(h) == [["encoder: t = 0"], ["decoder: t = 0"]]


def test_loops_in_one_module_are_numbered() -> None:
    with tg.scope("net"):
        h = chain([1.0], chain([1.0], leaf()))
    assert titles(h) == [["net 1: t = 0"], ["net 2: t = 0"]]


def test_a_loop_has_the_modules_that_all_of_it_ran_in() -> None:
    h: Any = leaf()
    for _, x_t in tg.steps([1.0, 2.0]):
        with tg.scope("net"):
            with tg.scope("a"):
                h = h * x_t
            with tg.scope("b"):
                h = tg.exp(h)
    (loop,) = {time_step.loop for place in places_of(h).values() for time_step in place}
    assert loop.path == ("net",)
    assert [time_step.t for time_step in loop.time_steps] == [0, 1]


def test_nested_loops() -> None:
    h: Any = leaf()
    for _, x in tg.steps([1.0, 2.0]):
        with tg.scope("word"):
            h = chain([x, x], h)
    assert titles(h)[:3] == [
        ["word: t = 0", "t = 0"],
        ["word: t = 0", "t = 1"],
        ["word: t = 1", "t = 0"],
    ]


def test_a_recorded_backward_has_turns_of_its_own_from_the_last_step_to_the_first() -> None:
    # The loss is computed inside the last step: nothing but the sweep itself ends the forward.
    w = leaf()
    h: Any = w
    loss: Any = 0.0
    for _, x_t in tg.steps([1.0, 2.0]):
        h = tg.tanh(h * w + x_t)
        loss = loss + h * h
    g = tg.grad(loss, w, create_graph=True)
    forward = [["t = 0"], ["t = 1"]]
    backward = [["t = 1, backward"], ["t = 0, backward"]]
    assert [title for title in titles(g) if title] == forward + backward
    again = tg.grad(g, w, create_graph=True)
    seen = {title for path in titles(again) for title in path}
    assert seen == {
        f"t = {t}{which}" for t in (0, 1) for which in ("", ", backward", ", backward 2")
    }


def test_a_state_is_what_crosses_from_step_to_step_of_one_loop() -> None:
    h: Any = leaf() * 1.0
    for _, x_t in tg.steps([1.0, 2.0]):
        h = tg.exp(h * x_t)
    out = chain([1.0], h)
    found = list(places_of(out).values())
    before, product, value, product_1, value_1, other = found
    assert crosses(value, product_1)
    assert crosses(product, value_1)
    assert not crosses(product, value)
    assert not crosses(before, product)
    assert not crosses(value_1, other)  # another loop


def test_a_state_of_the_outer_loop() -> None:
    h: Any = np.ones(1) * leaf()
    for _, x in tg.steps([1.0, 2.0]):
        h = chain([x], h)
    first, second = (place for place in places_of(h).values() if place)
    assert crosses(first, second)


def test_common() -> None:
    assert common([(1, 2, 3), (1, 2, 4)]) == (1, 2)
    assert common([(1, 2), (1, 2, 4), (1,)]) == (1,)
    assert common([(1,), (2,)]) == ()
    assert common([(1, 2)]) == (1, 2)
