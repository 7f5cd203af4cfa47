"""``tg.draw``: its arguments, and what it says to wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

from .nets import rnn


def test_details_are_different_pictures() -> None:
    loss = rnn(3)
    assert len({tg.draw(loss, detail=detail).source for detail in ("op", "cell", "layer")}) == 3
    assert tg.draw(loss).source == tg.draw([loss], detail="op").source


def test_several_outputs() -> None:
    x = tg.Tensor(1.0, requires_grad=True)
    source = tg.draw((x * 2.0, x * 3.0)).source
    assert "× 2.0" in source
    assert "× 3.0" in source


def test_a_module_is_drawn_op_by_op() -> None:
    cell = tg.nn.LSTMCell(3, 4, rng=0)
    state: Any = None
    for _, x_t in tg.steps(np.ones((2, 1, 3))):
        state = cell(x_t, state)
    source = tg.draw(state[0].sum(), grads=True, values=True).source
    for name in ("i_t", "f_t", "g_t", "o_t", "c_t", "h_t", "weight_ih", "weight_hh", "bias_hh"):
        assert f'"{name}\\n' in source
    assert source.count('"weight_ih\\n') == 1


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"detail": "gate"}, ValueError, "detail 'op', 'cell' or 'layer', got 'gate'"),
        ({"max_steps": 1}, ValueError, "max_steps of at least 2, got 1"),
        ({"max_steps": 2.0}, TypeError, "max_steps as an int or None, got 2.0"),
        ({"max_steps": True}, TypeError, "max_steps as an int or None, got True"),
    ],
)
def test_wrong_arguments(keywords: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tg.draw(rnn(2), **keywords)


def test_outputs_that_cannot_be_drawn() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="expected Tensors, output 1 is ndarray"):
        tg.draw([x, np.ones(2)])
    with pytest.raises(TypeError, match="expected a Tensor or a sequence of them, got int"):
        tg.draw(3)
    with pytest.raises(ValueError, match="at least one output, got none"):
        tg.draw([])
    with pytest.raises(ValueError, match=r"the output has no graph.*no_grad\(\).*requires_grad"):
        tg.draw(tg.Tensor(1.0) * 2.0)
    with pytest.raises(ValueError, match=r"grads=True needs a scalar.*shape \(2,\).*sum\(\)"):
        tg.draw(x * 2.0, grads=True)
    with pytest.raises(ValueError, match="output 1 has shape"):
        tg.draw([x.sum(), x * 2.0], grads=True)


def test_a_chain_of_checkpoints_is_opened_in_order():
    w = tg.Tensor(np.eye(2), requires_grad=True, name="w")
    h = tg.Tensor(np.ones((1, 2)), name="h_0")
    for _, x_t in tg.steps(np.ones((12, 1, 2))):
        h = tg.checkpoint(lambda h, x_t: tg.tanh(h @ w + x_t), h, x_t)
    source = tg.draw(h.sum()).source
    places = [source.index(f"t = {t}") for t in range(12)]
    assert places == sorted(places)
    assert "checkpoint" not in source


def test_gradients_too_small_for_a_tenth_of_them_have_a_scale():
    x = tg.Tensor(1.0, requires_grad=True, name="x")
    assert "norm of the gradient" in tg.draw(x * 5e-324, grads=True).source
