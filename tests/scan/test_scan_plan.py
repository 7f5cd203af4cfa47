"""``tg.scan_plan``: how a step is run, without running it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


def rnn(rng: int = 0) -> tuple[Any, tg.Tensor]:
    W = tg.Tensor(np.random.default_rng(rng).normal(size=(4, 4)), requires_grad=True, name="W")

    def cell(h: Any, x_t: Any) -> Any:
        h = tg.tanh(x_t + h @ W)
        return h, h

    return cell, W


def test_it_lists_both_directions() -> None:
    cell, _ = rnn()
    plan = tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    assert list(plan.listings) == ["forward", "backward"]
    text = str(plan)
    assert text.count("at every step:") == 2
    assert "dW = sum over t of" in text
    with tg.no_grad():
        plan = tg.scan_plan(cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    assert list(plan.listings) == ["forward"]


def test_a_listing_says_what_becomes_of_the_results() -> None:
    cell, _ = rnn()
    x = tg.Tensor(np.ones((5, 2, 4)), requires_grad=True)
    plan = tg.scan_plan(cell, np.zeros((2, 4)), x)
    forward, backward = plan.listings.values()
    ((old, new),) = forward.carried
    assert (old, new) == ("h", forward[-1].result)
    assert forward.stacked == [new]
    ((old, new),) = backward.carried
    assert old == "dh"
    assert any(new == line.result and line.section == "step" for line in backward)
    assert len(backward.stacked) == 1  # dL/dx_t


def test_it_names_what_gets_a_gradient() -> None:
    cell, _ = rnn()
    h, x = np.zeros((2, 4)), tg.Tensor(np.ones((5, 2, 4)), requires_grad=True)
    assert tg.scan_plan(cell, h, x.data).differentiated == {"W"}
    assert tg.scan_plan(cell, h, x).differentiated == {"W", "x_t"}
    with tg.no_grad():
        assert tg.scan_plan(cell, h, x).differentiated == set()


def test_it_is_the_plan_that_scan_replays() -> None:
    cell, W = rnn()
    arguments = (cell, np.zeros((2, 4)), np.ones((5, 2, 4)))
    h, _ = tg.scan(*arguments)
    assert str(tg.scan_plan(*arguments)) == str(h.node.parents[0].keywords["plan"])
    assert str(tg.scan_plan(*arguments, reverse=True)) == str(tg.scan_plan(*arguments))
    assert str(tg.scan_plan(*arguments, lengths=[5, 2])) != str(tg.scan_plan(*arguments))
    assert W.grad is None


def test_a_step_that_does_the_same_to_other_values_has_their_names() -> None:
    """Though scan runs both by one plan."""
    h, x = np.zeros((2, 4)), np.ones((5, 2, 4))
    cell, _ = rnn()
    assert "dW = " in str(tg.scan_plan(cell, h, x))
    cell, V = rnn(1)
    V.name = "V"
    tg.scan(cell, h, x)
    assert "dV = " in str(tg.scan_plan(cell, h, x))


def test_wrong_arguments_are_those_of_scan() -> None:
    cell, _ = rnn()
    with pytest.raises(TypeError, match="scan: expected a function as cell, got int"):
        tg.scan_plan(3, np.zeros((2, 4)), np.ones((5, 2, 4)))  # type: ignore[arg-type]
    noise = np.random.default_rng(0)
    with pytest.raises(TypeError, match="does something else when it is run again"):
        tg.scan_plan(lambda h, x: (h + noise.normal(size=4), h), np.zeros(4), np.ones((5, 4)))
    with pytest.raises(ValueError, match="same number of steps"):
        tg.scan_plan(cell, np.zeros((2, 4)), (np.ones((5, 2, 4)), np.ones((4, 2, 4))))
