"""Operations on blocks of all time steps: batch rules, views, and where operations are linear."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.graph import Operand, table

x = np.arange(24.0).reshape(4, 3, 2)  # four time steps of (3, 2)


def test_a_batch_rule_gives_a_function_keywords_or_nothing():
    forward = lambda x, axis: np.flip(x, axis)  # noqa: E731
    rule = lambda g, y, x, axis: np.flip(g, axis)  # noqa: E731
    operands = [Operand((3, 2), True)]
    for batch in (
        lambda keywords, operands: lambda block: block[:, ::-1],
        lambda keywords, operands: {"axis": operands[0].axis(keywords["axis"])},
    ):
        op = tg.primitive(forward, rule, batch=batch).primitive
        on_blocks = op.batch({"axis": -2}, operands)
        assert np.array_equal(on_blocks(x), x[:, ::-1])
    assert tg.primitive(forward, rule, batch=lambda *_: None).primitive.batch({}, operands) is None
    assert tg.primitive(forward, rule).primitive.batch({}, operands) is None


def test_elementwise_operations_align_axes_behind_the_time_axis():
    y = np.arange(8.0).reshape(4, 2)
    expected = np.stack([a + b for a, b in zip(x, y, strict=True)])
    on_blocks = table["add"].batch({}, [Operand((3, 2), True), Operand((2,), True)])
    assert np.array_equal(on_blocks(x, y), expected)
    on_blocks = table["add"].batch({}, [Operand((3, 2), True), Operand((), False)])
    assert np.array_equal(on_blocks(x, 1.0), x + 1)
    # A bound of more axes than a step has would meet the time axis.
    bound = np.zeros((2, 1, 1))
    assert table["_clip"].batch({"a_min": bound, "a_max": None}, [Operand((3,), True)]) is None


def test_axes_of_a_step_as_axes_of_a_block():
    operand = Operand((3, 2), True)
    assert [operand.axis(a) for a in (0, 1, -1, -2)] == [1, 2, 2, 1]
    assert operand.axes(None) == (1, 2)
    assert operand.axes(-1) == (2,)
    assert operand.axes([0, -1]) == (1, 2)
    assert Operand((), True).axes(0) == ()


@pytest.mark.parametrize("elementwise", [False, True])
def test_scan_calls_a_users_operation_once_for_all_steps(elementwise):
    calls = []

    def forward(x):
        calls.append(x.shape)
        return np.sinh(x)

    said = {"elementwise": True} if elementwise else {"batch": lambda keywords, operands: {}}
    sinh = tg.primitive(forward, lambda g, y, x: g * tg.sqrt(1 + y * y), **said)

    def cell(h, x_t):
        h = tg.tanh(h + tg.sum(sinh(x_t)))
        return h, h

    xs = tg.Tensor(x[:, 0] / 10, requires_grad=True)
    tg.scan(cell, tg.Tensor(0.5), xs)[0].backward()
    assert calls.count((4, 2)) == 1
    fast, xs.grad = xs.grad, None
    tg.scan(cell, tg.Tensor(0.5), xs, unroll=True)[0].backward()
    np.testing.assert_allclose(fast, xs.grad, rtol=1e-12)


def test_views():
    assert table["transpose"].is_view({"axes": None}) is True
    assert table["exp"].is_view({}) is False
    assert table["reshape"].is_view({"shape": (2,)}) == "maybe"
    assert table["_getitem"].is_view({"index": (slice(1), 2)}) is True
    assert table["_getitem"].is_view({"index": np.array([0])}) is False
    assert tg.primitive(np.transpose, lambda g, y, x: g.T).primitive.is_view({}) == "unknown"


def test_where_an_operation_is_linear():
    def linear(name, *arguments, given=(0, 1), **keywords):
        return table[name].is_linear_in(arguments, keywords, given)

    assert linear("add", 0, 1)
    assert not linear("add", 0)  # with what stays it is not
    assert linear("multiply", 0)
    assert linear("multiply", 1)
    assert not linear("multiply", 0, 1)
    assert linear("divide", 0)
    assert not linear("divide", 1)
    assert linear("linear", 0, given=(0, 1))  # without a bias
    assert not linear("linear", 0, given=(0, 1, 2))
    assert linear("linear", 1, 2, given=(0, 1, 2))
    assert linear("where", 1, 2, given=(0, 1, 2))
    assert linear("_pad", 0, given=(0,), pad_width=1, constant_values=0)
    assert not linear("_pad", 0, given=(0,), pad_width=1, constant_values=1.0)
    assert not linear("exp", 0, given=(0,))


def test_a_batch_rule_has_to_be_a_function():
    with pytest.raises(TypeError, match="batch must be callable or None, got 1"):
        tg.primitive(np.sinh, lambda g, y, x: g, batch=1)
