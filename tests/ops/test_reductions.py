"""Sums, extremes and the softmax family."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


def logsumexp(x, axis, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


NUMPYS = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "logsumexp": logsumexp}


@given(st.data())
@pytest.mark.parametrize("name", NUMPYS)
def test_values_over_any_axes(name, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3))
    axis = data.draw(
        st.none()
        | hnp.valid_tuple_axes(len(shape))
        | (
            st.integers(-len(shape), len(shape) - 1)
            if shape
            else st.sampled_from([None if name == "mean" else 0])
        )
    )
    keepdims = data.draw(st.booleans())
    x = np.random.default_rng(0).standard_normal(shape)
    expected = NUMPYS[name](x, axis=axis, keepdims=keepdims)
    t = live(x)
    y = getattr(tg, name)(t, axis, keepdims)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert y.shape == np.shape(expected)
    np.testing.assert_array_equal(getattr(tg, name)(x, axis, keepdims), y.numpy())
    # a reduction of reductions: d/dx of the sum of all is known
    y.backward(np.ones(y.shape))
    v = np.random.default_rng(1).standard_normal(shape) * 1e-7
    change = NUMPYS[name](x + v, axis=axis) - NUMPYS[name](x - v, axis=axis)
    np.testing.assert_allclose((t.grad * v).sum(), change.sum() / 2, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,), (2, 0, 3)])
def test_nothing_to_reduce(name, shape):
    for axis in (None, *range(len(shape))):
        x = live(np.zeros(shape))
        if name == "mean" and (axis is None or shape[axis] == 0):
            continue  # 0 / 0, as in NumPy
        y = getattr(tg, name)(x, axis)
        with np.errstate(divide="ignore"):
            expected = NUMPYS[name](np.zeros(shape), axis)
        np.testing.assert_array_equal(y.numpy(), expected)
        y.backward(np.ones(y.shape))
        assert x.grad.shape == shape


@pytest.mark.parametrize("op", [tg.max, tg.min])
def test_no_extreme_of_nothing(op):
    for axis in (None, 0):
        with pytest.raises(ValueError, match="zero-size array"):
            op(live(np.zeros((0, 3))), axis)
    x = live(np.zeros((0, 3)))
    y = op(x, 1)
    assert y.shape == (0,)
    y.backward(np.ones(0))
    assert x.grad.shape == (0, 3)


def test_ties_give_the_gradient_to_the_first_place():
    data = [[2.0, 5.0, 5.0], [1.0, 1.0, 5.0]]
    for f, expected in (
        (tg.max, [[0, 1, 0], [0, 0, 0]]),
        (lambda x: tg.max(x, 1), [[0, 1, 0], [0, 0, 1]]),
        (lambda x: tg.max(x, 0), [[1, 1, 1], [0, 0, 0]]),
        (lambda x: tg.max(x, (1, 0)), [[0, 1, 0], [0, 0, 0]]),
        (tg.min, [[0, 0, 0], [1, 0, 0]]),
        (lambda x: tg.min(x, 1, keepdims=True), [[1, 0, 0], [1, 0, 0]]),
        (lambda x: tg.min(x, -2), [[0, 0, 1], [1, 1, 0]]),
    ):
        x = live(data)
        y = f(x)
        y.backward(np.ones(y.shape))
        assert x.grad.tolist() == expected


def test_nan_is_the_extreme_as_in_numpy():
    for op in (tg.max, tg.min):
        x = live([1.0, np.nan, 3.0])
        y = op(x)
        assert np.isnan(y.item())
        y.backward()
        assert x.grad.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_cumsum(axis):
    x = live(np.arange(6.0).reshape(2, 3))
    y = tg.cumsum(x, axis)
    np.testing.assert_array_equal(y.numpy(), np.cumsum(x.numpy(), axis))
    g = np.random.default_rng(0).random(y.shape)
    y.backward(g)
    v = np.random.default_rng(1).random((2, 3))
    np.testing.assert_allclose((x.grad * v).sum(), (np.cumsum(v, axis) * g).sum())


def test_cumsum_of_small_things():
    for data in (np.array(2.0), np.zeros(0), np.zeros((0, 2))):
        x = live(data)
        y = tg.cumsum(x)
        assert y.shape == np.cumsum(data).shape
        y.backward(np.ones(y.shape))
        assert x.grad.shape == data.shape


def test_integers_are_reduced_as_numpy_does():
    t = tg.Tensor([[1, 2], [3, 4]])
    assert t.sum().item() == 10
    assert t.sum().dtype == np.int64
    assert t.mean().item() == 2.5
    assert t.max(0).numpy().tolist() == [3, 4]
    assert tg.Tensor([True, True]).sum().item() == 2
    np.testing.assert_allclose(tg.softmax([1, 2]), tg.softmax([1.0, 2.0]))
    np.testing.assert_allclose(tg.logsumexp(t).item(), logsumexp(np.array([1, 2, 3, 4.0]), None))


# ── the softmax family ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-2, 0)])
def test_softmax_and_its_logarithm(axis):
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    p = tg.softmax(x, axis)
    np.testing.assert_allclose(p.sum(axis), 1.0)
    np.testing.assert_allclose(p, np.exp(x - logsumexp(x, axis, True)))
    np.testing.assert_allclose(tg.log_softmax(x, axis), np.log(p))
    np.testing.assert_allclose(tg.softmax(x + 1e3, axis), p)
    for f in (tg.softmax, tg.log_softmax):
        t = live(x)
        y = f(t, axis)
        g = np.random.default_rng(1).random(x.shape)
        v = np.random.default_rng(2).standard_normal(x.shape)
        y.backward(g)
        derivative = f.primitive.forward(x + 1e-30j * v, axis).imag / 1e-30
        np.testing.assert_allclose((t.grad * v).sum(), (derivative * g).sum(), rtol=1e-11)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_far_out_nothing_overflows_and_the_gradient_is_the_softmax(dtype):
    far = np.array([[1000.0, -1000.0, 1000.0], [-1000.0, -1000.0, -999.0]], dtype)
    x = live(far)
    y = tg.logsumexp(x, 1)
    assert y.dtype == dtype
    np.testing.assert_allclose(
        y.numpy(), [1000 + np.log(2), -999 + np.log1p(2 * np.exp(-1))], rtol=2 * np.finfo(dtype).eps
    )
    y.sum().backward()
    np.testing.assert_allclose(
        x.grad, tg.softmax(far.astype(float), 1), rtol=20 * np.finfo(dtype).eps
    )


def test_infinite_logits():
    x = np.array([[-np.inf, 0.0, 0.0]])
    np.testing.assert_allclose(tg.softmax(x), [[0.0, 0.5, 0.5]])
    np.testing.assert_allclose(tg.logsumexp(x), np.log(2))
    assert tg.log_softmax(x)[0, 0] == -np.inf
    assert tg.logsumexp([-np.inf, -np.inf]) == -np.inf
    assert tg.logsumexp([np.inf, 0.0]) == np.inf
    assert tg.logsumexp(np.zeros(0)) == -np.inf
    for f in (tg.logsumexp, lambda x: tg.softmax(x)[0, 1], lambda x: tg.log_softmax(x)[0, 1]):
        t = live(x)
        f(t).backward()
        assert np.isfinite(t.grad).all()
        assert t.grad[0, 0] == 0


@pytest.mark.parametrize("op", [tg.softmax, tg.log_softmax])
def test_softmax_of_nothing(op):
    for shape in ((0,), (2, 0), (0, 3)):
        x = live(np.zeros(shape))
        y = op(x)
        assert y.shape == shape
        y.backward(np.zeros(shape))
        assert x.grad.shape == shape


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "logsumexp", "softmax", "cumsum"])
def test_axes_out_of_range(name):
    with pytest.raises((IndexError, ValueError), match="out of bounds"):
        getattr(tg, name)(live(np.ones((2, 3))), 2)


nan, inf = np.nan, np.inf
# A row of logits, its softmax and log-softmax, and its logsumexp: documented beside each.
UNUSUAL = [
    ([-inf, -inf], [nan, nan], [nan, nan], -inf),
    ([inf, 1.0], [nan, nan], [nan, nan], inf),
    ([inf, -inf], [nan, nan], [nan, nan], inf),
    ([inf, inf], [nan, nan], [nan, nan], inf),
    ([-inf, 1.0], [0.0, 1.0], [-inf, 0.0], 1.0),
    ([nan, 1.0], [nan, nan], [nan, nan], nan),
    ([3e38, -3e38], [1.0, 0.0], [0.0, -inf], 3e38),
    ([3e38, 3e38], [0.5, 0.5], [-np.log(2), -np.log(2)], 3e38),
    ([-3e38, -3e38], [0.5, 0.5], [-np.log(2), -np.log(2)], -3e38),
]


@pytest.mark.parametrize("row", UNUSUAL, ids=lambda row: str(row[0]))
@pytest.mark.parametrize("way", ["array", "tensor", "loop", "scan", "scan without a carry"])
def test_unusual_logits_are_the_same_in_every_path_and_give_no_warnings(row, way):
    logits, probabilities, logs, total = row
    x = np.array([logits], np.float32)

    def family(x):
        return tg.softmax(x), tg.log_softmax(x), tg.logsumexp(x, -1), tg.nn.cross_entropy(x, [0])

    if way == "array":
        found = family(x)
    elif way == "tensor":
        found = family(live(x))
    else:

        def cell(h, x_t):
            return h, family(x_t if way.endswith("carry") else h)

        _, ys = tg.scan(cell, live(x), x[np.newaxis], unroll=way == "loop")
        found = [y[0] for y in ys]
    found = [y.numpy() if isinstance(y, tg.Tensor) else y for y in found]
    expected = [[probabilities], [logs], [total], -np.float32(logs[0])]
    for y, wanted in zip(found, expected, strict=True):
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, np.float32(wanted), rtol=1e-6)


@pytest.mark.parametrize("unroll", [False, True])
def test_gradients_at_unusual_logits(unroll):
    x = live(np.array([[-inf, 1.0, 0.0], [3e38, -3e38, 0.0]], np.float32))
    _, (loss, soft, total) = tg.scan(
        lambda h, _: (
            h,
            (
                tg.nn.cross_entropy(h, [1, 0], reduction="sum"),
                tg.nn.cross_entropy(h, np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)),
                tg.sum(tg.logsumexp(h, -1)),
            ),
        ),
        x,
        np.zeros(1),
        unroll=unroll,
    )
    p = 1 / (1 + np.exp(-1.0))
    first = [0.0, p, 1 - p]
    for y, expected in (
        (loss, [[0.0, p - 1, 1 - p], [0.0, 0.0, 0.0]]),
        (soft, [[0.0, (p - 1) / 2, (1 - p) / 2], [0.0, 0.0, 0.0]]),
        (total, [first, [1.0, 0.0, 0.0]]),
    ):
        np.testing.assert_allclose(tg.grad(y.sum(), x).numpy(), expected, rtol=1e-6, atol=1e-7)
