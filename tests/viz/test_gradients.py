"""The gradient that flows along the edges of a picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.backprop import contributions, expanded, sweep
from tinygrad_rnn.bptt.loops import norm as together
from tinygrad_rnn.graph import Node, ancestors
from tinygrad_rnn.viz.boxes import build
from tinygrad_rnn.viz.gradients import measure
from tinygrad_rnn.viz.picture import Picture, Range

from .nets import lstm, rnn


def measured(output: Any, detail: str = "op", **keywords: Any) -> Picture:
    outputs = expanded([y.node for y in (output if isinstance(output, list) else [output])])
    picture = build(outputs, detail, **keywords)
    measure(picture, outputs)
    return picture


def norms(picture: Picture) -> dict[tuple[str, str], float | None]:
    return {(edge.tail.title, edge.head.title): edge.norm for edge in picture.edges if edge.inputs}


def everything(x: Any) -> Any:
    """A scalar by way of rules of every sort: broadcasting, indexing, joining, several at once."""
    y = tg.concatenate([x * 2.0, x[[0, 0]], tg.checkpoint(tg.tanh, x)])
    cell = tg.nn.LSTMCell(3, 2, dtype=np.float64, rng=0)
    h, c = cell(y * x[0])
    return tg.einsum("ij,ij->", h, c) + tg.astype(tg.sum(x * x), np.float32)


def every_rule() -> Any:
    return everything(tg.Tensor(np.linspace(-1, 1, 9).reshape(3, 3), requires_grad=True))


@pytest.mark.parametrize("net", [lambda: lstm(3), lambda: rnn(3), every_rule])
def test_contributions_add_up_to_the_cotangents(net: Any) -> None:
    loss = net()
    (output,) = expanded([loss.node])
    nodes = ancestors([output])
    cotangents = sweep({output: np.ones_like(output.output)}, set(nodes))
    sums: dict[Node, Any] = {}
    for node in nodes:
        live = [i for i, parent in enumerate(node.parents) if isinstance(parent, Node)]
        for i, contribution in contributions(node, cotangents[node], live).items():
            parent = node.parents[i]
            assert isinstance(parent, Node)
            assert contribution.shape == node.arrays[i].shape
            sums[parent] = sums.get(parent, 0) + contribution
    assert sums.keys() == set(nodes) - {output}
    for node, total in sums.items():
        np.testing.assert_allclose(total, cotangents[node], rtol=1e-9, atol=1e-15)


def test_every_edge_of_the_graph_has_the_norm_of_its_contribution() -> None:
    x = tg.Tensor([3.0, 4.0], requires_grad=True, name="x")
    y = x * tg.Tensor([2.0, 1.0], name="y")
    assert norms(measured(tg.sum(y))) == {
        ("x", "×"): math.sqrt(5),
        ("y", "×"): None,  # a constant: no gradient flows
        ("×", "Σ"): math.sqrt(2),
    }


def test_a_value_used_twice_has_a_norm_for_each_use() -> None:
    x = tg.Tensor(3.0, requires_grad=True)
    picture = measured(tg.power(x, x))
    by_index = {edge.inputs[0][1]: edge.norm for edge in picture.edges}
    assert by_index == pytest.approx({0: 27.0, 1: 27 * math.log(3)})


def test_an_edge_between_steps_carries_the_sum_over_its_uses() -> None:
    # Two uses whose gradients cancel: nothing flows from the second step to the first.
    h: Any = tg.Tensor([1.0, 2.0], requires_grad=True, name="h")
    for t, _ in tg.steps(range(2)):
        h = tg.exp(h) if t == 0 else h * 2.0 - h * 2.0
    assert norms(measured(h.sum(), "cell"))["t = 0", "t = 1"] == 0
    at_op_detail = norms(measured(h.sum()))
    assert at_op_detail["exp", "× 2.0"] == pytest.approx(math.sqrt(8))


def test_several_states_are_taken_together() -> None:
    a: Any = tg.Tensor(1.0, requires_grad=True)
    b: Any = tg.Tensor(1.0, requires_grad=True)
    for _ in tg.steps(range(2)):
        a, b = a * 3.0, b * 4.0
    assert norms(measured(a + b, "cell"))["t = 0", "t = 1"] == 5.0
    assert norms(measured(a + b, "layer"))["loop", "2 × scalar"] == 5.0


def test_a_shared_weight_has_at_every_tap_that_steps_share_of_its_gradient() -> None:
    w = tg.Tensor(2.0, requires_grad=True, name="w")
    h: Any = tg.Tensor(1.0, requires_grad=True)
    for _ in tg.steps(range(3)):
        h = h * w
    picture = measured(h)
    taps = [edge for edge in picture.edges if edge.kind == "weight" and edge.head.place]
    shares = [edge.norm for edge in taps if edge.tail.kind == "weight tap"]
    assert shares == [4.0, 4.0, 4.0]
    (weight,) = [edge.tail for edge in picture.edges if edge.tail.title == "w"]
    assert weight.lines[-1] == "|grad| = 12"


def test_what_is_left_out_still_lets_the_gradient_through() -> None:
    whole, part = norms(measured(rnn(9))), norms(measured(rnn(9), max_steps=3))
    assert part["h_t", "square"] == whole["h_t", "square"]
    (gap,) = {head for _, head in part if head.startswith("...")}
    flowing = part["h_t", gap]
    assert flowing is not None
    assert flowing > 0


def test_norms_are_written_into_boxes_and_on_named_edges() -> None:
    cells = measured(lstm(3), "cell")
    (edge,) = [e for e in cells.edges if e.kind == "state" and e.head.title == "cell: t = 2"]
    assert edge.lines == ["h_t, c_t", f"|grad| = {edge.norm:.3g}"]
    lines = {box.title: box.lines for e in cells.edges for box in (e.tail, e.head)}
    assert lines["mean"][-1] == "|grad| = 1"
    assert lines["V"][-1].startswith("|grad|")
    assert lines["cell: t = 1"] == []
    assert lines["x_1"] == ["(2, 3)"]


def test_several_outputs_are_added_up() -> None:
    x = tg.Tensor(3.0, requires_grad=True, name="x")
    picture = measured([x * 2.0, x * 5.0])
    (weight,) = {edge.tail for edge in picture.edges if edge.tail.title == "x"}
    assert weight.lines[-1] == "|grad| = 7"


def test_every_grad_is_left_alone() -> None:
    loss = lstm(2)
    loss.backward()
    nodes = ancestors([loss.node])
    before = {node: None if node.grad is None else node.grad.copy() for node in nodes}
    tg.draw(loss, grads=True)
    for node in nodes:
        np.testing.assert_equal(node.grad, before[node])


def test_norms_neither_overflow_nor_underflow() -> None:
    assert together([np.array([3e-200, 4e-200])]) == pytest.approx(5e-200, rel=1e-12)
    assert together([np.array([3e200]), np.array([4e200])]) == pytest.approx(5e200)
    assert together([np.array([3e20, 4e20], np.float32)]) == pytest.approx(5e20, rel=1e-6)
    assert together([np.zeros((2, 0))]) == 0
    assert math.isnan(together([np.array([1.0, np.nan])]))
    assert together([np.array([1.0, -np.inf])]) == math.inf


def test_scale() -> None:
    scale = Range.over([1e-6, 1.0, 1e-3])
    assert (scale.low, scale.high, scale.zero, scale.broken) == (1e-6, 1.0, False, False)
    assert [scale.fraction(norm) for norm in (1e-9, 1e-6, 1e-3, 1.0)] == pytest.approx(
        [0, 0, 0.5, 1]
    )
    assert scale.marks() == pytest.approx([1, 10**-1.5, 1e-3, 10**-4.5, 1e-6])
    close = Range.over([1.0, 0.9])
    assert (close.low, close.high) == (0.1, 1.0)
    wide = Range.over([1.0, 1e-300, 0.0, math.nan, math.inf])
    assert (wide.low, wide.high, wide.zero, wide.broken) == (1e-20, 1.0, True, True)
    nothing = Range.over([0.0])
    assert (nothing.low, nothing.high, nothing.zero) == (0.1, 1.0, True)
