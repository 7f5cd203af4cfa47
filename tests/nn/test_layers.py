"""Linear and Embedding: values, first values, and what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn

sizes = st.integers(1, 6)
leading = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@given(sizes, sizes, leading, st.booleans(), st.integers(0, 99))
def test_linear_is_an_affine_map_of_the_last_axis(D, H, lead, bias, seed):
    layer = nn.Linear(D, H, bias, dtype=np.float64, rng=seed)
    x = np.random.default_rng(seed).standard_normal((*lead, D))
    expected = np.einsum("...d,hd->...h", x, layer.weight.data)
    if bias:
        expected = expected + layer.bias.data
    y = layer(x)
    assert y.shape == (*lead, H)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert (layer.bias is not None) is bias


@given(sizes, sizes, leading, st.integers(0, 99))
def test_embedding_is_a_product_with_one_hot_rows(V, D, lead, seed):
    layer = nn.Embedding(V, D, dtype=np.float64, rng=seed)
    ids = np.random.default_rng(seed).integers(0, V, lead)
    one_hot = np.eye(V)[ids]
    y = layer(ids)
    np.testing.assert_array_equal(y.numpy(), one_hot @ layer.weight.data)
    g = np.random.default_rng(seed + 1).standard_normal(y.shape)
    y.backward(g)
    expected = one_hot.reshape(-1, V).T @ g.reshape(-1, D)
    np.testing.assert_allclose(layer.weight.grad, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_linear():
    layer = nn.Linear(3, 2, dtype=np.float64, rng=0)
    rng = np.random.default_rng(0)

    def f(x, weight, bias):
        return tg.tanh(tg.linear(x, weight, bias))

    inputs = [rng.standard_normal((4, 3)), layer.weight, layer.bias]
    assert tg.testing.gradcheck(f, inputs)
    x = tg.Tensor(inputs[0], requires_grad=True)
    direct = tg.grad(tg.tanh(layer(x)).sum(), [x, layer.weight, layer.bias])
    plain = tg.grad(f(x, layer.weight, layer.bias).sum(), [x, layer.weight, layer.bias])
    for a, b in zip(direct, plain, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    "make",
    [
        lambda **kw: nn.Linear(30, 20, **kw),
        lambda **kw: nn.Embedding(30, 20, **kw),
        lambda **kw: nn.RNNCell(30, 20, **kw),
        lambda **kw: nn.LSTMCell(30, 20, **kw),
    ],
)
def test_first_values(make):
    """The same seed gives the same bits, another seed others, and float32 is float64 rounded."""
    a, b, other = make(rng=3), make(rng=np.random.default_rng(3)), make(rng=4)
    double = make(rng=3, dtype=np.float64)
    for name, p in a.named_parameters():
        q = dict(b.named_parameters())[name]
        assert p.dtype == np.float32
        np.testing.assert_array_equal(p.data, q.data)
        assert not np.array_equal(p.data, dict(other.named_parameters())[name].data)
        wide = dict(double.named_parameters())[name]
        assert wide.dtype == np.float64
        np.testing.assert_array_equal(wide.data.astype(np.float32), p.data)
    unseeded = [next(make().parameters()).data for _ in range(2)]
    assert not np.array_equal(*unseeded)
    arrays = [p.data.ravel() for p in a.parameters()]
    assert len({array.tobytes() for array in arrays}) == len(arrays)  # none repeats another


def test_linear_starts_uniform_within_its_bound_and_embedding_normal():
    weight = nn.Linear(100, 400, rng=0).weight.data
    assert abs(weight).max() <= 0.1
    assert weight.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.02)
    table = nn.Embedding(400, 100, rng=0).weight.data
    assert table.mean() == pytest.approx(0, abs=0.02)
    assert table.std() == pytest.approx(1, rel=0.02)


def test_arrays_are_cast_and_tensors_are_not():
    layer = nn.Linear(3, 2, rng=0)
    for x in ([1, 2, 3], np.arange(3), np.ones(3, np.float64), tg.Tensor(np.ones(3, np.float32))):
        assert layer(x).dtype == np.float32
    for dtype in (np.float64, np.int64):
        with pytest.raises(TypeError, match=r"expected x of dtype float32.*Tensor"):
            layer(tg.Tensor(np.ones(3), dtype=dtype))
    with pytest.raises(TypeError, match="Linear: x: expected real numbers"):
        layer(np.array([object()] * 3))


def test_a_constant_that_is_cast_is_copied():
    x = np.ones((1, 3), np.float32)
    layer = nn.Linear(3, 2, rng=0)
    y = layer(x)
    x[:] = 7
    y.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad, np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_linear_refuses_other_sizes_and_says_where(shape):
    with pytest.raises(ValueError, match=r"expected x \(\.\.\., 3\), got .* in linear"):
        nn.Linear(3, 2)(np.ones(shape))


def test_embedding_refuses_what_is_no_id():
    layer = nn.Embedding(4, 2)
    for ids in ([4], [-1], [[0, 1], [2, 9]]):
        with pytest.raises(IndexError, match="from 0 to 3"):
            layer(ids)
    for ids in ([0.5], [True]):
        with pytest.raises(TypeError, match="integer"):
            layer(ids)


@pytest.mark.parametrize("layer", [nn.Linear, nn.Embedding, nn.RNNCell, nn.LSTMCell])
def test_sizes_and_dtypes_that_are_none(layer):
    for bad, error in ((0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=layer.__name__):
            layer(bad, 2)
        with pytest.raises(error, match=layer.__name__):
            layer(2, bad)
    with pytest.raises(TypeError, match="float type"):
        layer(2, 2, dtype=np.int64)
    layer(np.int64(2), np.int32(2))
