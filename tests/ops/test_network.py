"""Convolution, pooling, dropout and normalisation, each against its definition."""

import numpy as np
import pytest

import tinygrad_rnn as tg


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


def pair(value):
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def convolve(x, W, b=None, stride=1, padding=0, dilation=1, groups=1):
    """The sum of the docstring, loop by loop."""
    (s1, s2), (p1, p2), (d1, d2) = pair(stride), pair(padding), pair(dilation)
    x = np.pad(x, ((0, 0), (0, 0), (p1, p1), (p2, p2)))
    N, _, H, width = x.shape
    outputs, channels, kh, kw = W.shape
    rows = (H - d1 * (kh - 1) - 1) // s1 + 1
    columns = (width - d2 * (kw - 1) - 1) // s2 + 1
    y = np.zeros((N, outputs, rows, columns), x.dtype)
    for o in range(outputs):
        first = o // (outputs // groups) * channels
        for i in range(rows):
            for j in range(columns):
                window = x[
                    :,
                    first : first + channels,
                    i * s1 : i * s1 + d1 * (kh - 1) + 1 : d1,
                    j * s2 : j * s2 + d2 * (kw - 1) + 1 : d2,
                ]
                y[:, o, i, j] = (window * W[o]).sum((1, 2, 3)) + (0 if b is None else b[o])
    return y


CONVOLUTIONS = [
    ((1, 1, 3, 3), (1, 1, 2, 2), {}),
    ((2, 3, 5, 4), (4, 3, 2, 3), {"stride": 2}),
    ((2, 3, 5, 4), (4, 3, 3, 3), {"padding": 1}),
    ((1, 2, 5, 6), (2, 2, 3, 2), {"padding": (1, 2), "stride": (2, 1)}),
    ((1, 2, 6, 6), (2, 2, 2, 2), {"dilation": (2, 3)}),
    ((1, 4, 4, 4), (6, 2, 2, 2), {"groups": 2}),
    ((2, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": 1, "stride": np.int64(2)}),
    ((2, 1, 3, 3), (2, 1, 1, 1), {"stride": [2, 3]}),
    ((0, 1, 3, 3), (2, 1, 2, 2), {}),
]


@pytest.mark.parametrize(("x", "W", "options"), CONVOLUTIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_conv2d_is_its_sum(x, W, options, bias):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(x), rng.standard_normal(W)]
    arrays += [rng.standard_normal(W[0])] if bias else []
    expected = convolve(*arrays, **options)
    np.testing.assert_allclose(tg.conv2d(*arrays, **options), expected, atol=1e-13)
    variables = [live(a) for a in arrays]
    y = tg.conv2d(*variables, **options)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-13)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    for i, t in enumerate(variables):  # linear in each of them
        v = rng.standard_normal(t.shape)
        others = [0 * a if i == 2 or (j == 2 and i != 2) else a for j, a in enumerate(arrays)]
        others[i] = v
        np.testing.assert_allclose(
            (t.grad * v).sum(), (g * convolve(*others, **options)).sum(), atol=1e-11
        )


def test_conv2d_of_one_image_and_dtypes():
    rng = np.random.default_rng(0)
    x, W = rng.random((3, 5, 4)), rng.random((2, 3, 2, 2))
    np.testing.assert_allclose(tg.conv2d(x, W), convolve(x[None], W)[0])
    y = tg.conv2d(live(x.astype(np.float32)), live(W.astype(np.float32)), padding=1)
    assert y.dtype == np.float32
    assert y.shape == (2, 6, 5)


@pytest.mark.parametrize(
    ("x", "W", "b", "options", "message"),
    [
        ((3, 3), (1, 1, 2, 2), None, {}, r"expected x \(N, C, H, W\) and W .*got \(3, 3\)"),
        ((1, 1, 3, 3), (1, 2, 2), None, {}, r"expected x .* and \(1, 2, 2\)"),
        ((1, 2, 3, 3), (1, 1, 2, 2), None, {}, "x has 2 channels, but W .* expects 1 in each of 1"),
        ((1, 2, 3, 3), (3, 1, 2, 2), None, {"groups": 2}, "in each of 2 groups"),
        ((1, 1, 3, 3), (1, 1, 2, 2), None, {"groups": 0}, "0 groups"),
        ((1, 1, 3, 3), (2, 1, 2, 2), (1,), {}, r"expected b of shape \(2,\), got \(1,\)"),
        ((1, 1, 3, 3), (1, 1, 4, 4), None, {}, r"\(4, 4\) kernel does not fit .* of \(3, 3\)"),
        ((1, 1, 3, 3), (1, 1, 2, 2), None, {"stride": 0}, "stride must be .* at least 1; got 0"),
        ((1, 1, 3, 3), (1, 1, 2, 2), None, {"stride": 1.0}, "stride must be"),
        ((1, 1, 3, 3), (1, 1, 2, 2), None, {"padding": -1}, "padding must be .* at least 0"),
        ((1, 1, 3, 3), (1, 1, 2, 2), None, {"dilation": (1, 2, 3)}, "dilation must be"),
        ((1, 1, 3, 3), (1, 1, 2, 2), None, {"dilation": "ab"}, "dilation must be"),
    ],
)
def test_conv2d_errors(x, W, b, options, message):
    with pytest.raises(ValueError, match=f"conv2d.*{message}"):
        tg.conv2d(live(np.ones(x)), np.ones(W), None if b is None else np.ones(b), **options)


# ── max_pool2d ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(2, None, 0), (3, 1, 1), ((1, 2), (2, 1), 0), ((2, 3), None, (1, 0)), (np.int64(2), 2, 0)],
)
def test_max_pool2d_is_the_largest_of_each_window(kernel, stride, padding):
    x = np.random.default_rng(0).permutation(60.0 + np.arange(60)).reshape(1, 2, 5, 6)
    (kh, kw), (s1, s2), (p1, p2) = pair(kernel), pair(stride or kernel), pair(padding)
    padded = np.pad(x, ((0, 0), (0, 0), (p1, p1), (p2, p2)), constant_values=-np.inf)
    rows, columns = (padded.shape[2] - kh) // s1 + 1, (padded.shape[3] - kw) // s2 + 1
    expected, gradient = np.zeros((1, 2, rows, columns)), np.zeros(padded.shape)
    for c, i, j in np.ndindex(2, rows, columns):
        window = padded[0, c, i * s1 : i * s1 + kh, j * s2 : j * s2 + kw]
        expected[0, c, i, j] = window.max()
        at = np.unravel_index(window.argmax(), window.shape)
        gradient[0, c, i * s1 + at[0], j * s2 + at[1]] += 1
    t = live(x)
    y = tg.max_pool2d(t, kernel, stride, padding)
    np.testing.assert_array_equal(y.numpy(), expected)
    y.sum().backward()
    np.testing.assert_array_equal(t.grad, gradient[:, :, p1 : p1 + 5, p2 : p2 + 6])
    np.testing.assert_array_equal(tg.max_pool2d(x[0], kernel, stride, padding), expected[0])


def test_ties_in_a_window_go_to_the_first_place():
    x = live(np.ones((1, 4, 4)))
    tg.max_pool2d(x, 2).sum().backward()
    assert x.grad[0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]] * 2


def test_padding_never_wins():
    x = live(np.full((1, 2, 2), -1e300))
    y = tg.max_pool2d(x, 3, 1, 1)
    assert (y.numpy() == -1e300).all()
    y.sum().backward()
    assert x.grad.sum() == 4
    assert tg.max_pool2d(live(np.zeros((2, 0, 4, 4))), 2).shape == (2, 0, 2, 2)


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((4, 4), (2,), r"expected x \(N, C, H, W\) or \(C, H, W\), got \(4, 4\)"),
        ((1, 4, 4), (5,), r"\(5, 5\) kernel does not fit"),
        ((1, 4, 4), (0,), "kernel_size must be"),
        ((1, 4, 4), (2, 0), "stride must be"),
        ((1, 4, 4), (2, 1, 2), "padding .* is more than half the kernel"),
        ((1, 4, 4), (2, 1, -1), "padding must be"),
    ],
)
def test_max_pool2d_errors(shape, arguments, message):
    with pytest.raises(ValueError, match=f"max_pool2d.*{message}"):
        tg.max_pool2d(live(np.ones(shape)), *arguments)


# ── dropout ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_zeroes_and_scales(dtype):
    x = live(np.full((100, 100), 3.0), dtype=dtype)
    y = tg.dropout(x, 0.25, rng=0)
    assert y.dtype == dtype
    kept = y.numpy() != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(y.numpy()[kept], 4.0, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad, y.numpy() / 3, rtol=1e-6)


def test_dropout_is_told_by_its_seed():
    x = np.ones(50)
    assert (tg.dropout(x, rng=3) == tg.dropout(x, rng=np.random.default_rng(3))).all()
    rng = np.random.default_rng(3)
    assert (tg.dropout(x, rng=rng) != tg.dropout(x, rng=rng)).any()
    assert (tg.dropout(x) != tg.dropout(x)).any()
    assert (tg.dropout(live(x), rng=3).numpy() == tg.dropout(x, rng=3)).all()


def test_dropout_at_its_ends():
    x = live([1.0, 2.0])
    assert tg.dropout(x, 0.0) is x
    assert tg.dropout(x, 0.9, training=False) is x
    y = tg.dropout(x, 1.0)
    assert y.numpy().tolist() == [0.0, 0.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    assert tg.dropout(live(2.0), 0.5, rng=1).shape == ()
    assert tg.dropout(np.ones(0), 0.5).shape == (0,)
    np.testing.assert_allclose(np.unique(tg.dropout(np.ones(99, int), 0.1, rng=0)), [0, 1 / 0.9])
    for p in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="dropout: expected a probability p from 0 to 1, got"):
            tg.dropout(x, p)


# ── layer_norm ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("normalized", [4, (4,), (3, 4), [3, 4], np.int64(4)])
def test_layer_norm_has_mean_0_and_variance_1(normalized):
    x = np.random.default_rng(0).random((2, 3, 4))
    y = tg.layer_norm(x, normalized, eps=0.0)
    axes = tuple(range(-np.size(normalized), 0))
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axes), 1)


def test_layer_norm_scales_and_shifts():
    rng = np.random.default_rng(0)
    x, w, b = rng.random((2, 3)), rng.random(3), rng.random(3)
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 0.1)
    np.testing.assert_allclose(tg.layer_norm(x, 3, w, b, eps=0.1), expected * w + b)
    np.testing.assert_allclose(tg.layer_norm(x, 3, w, eps=0.1), expected * w)
    np.testing.assert_allclose(tg.layer_norm(x, 3, bias=b, eps=0.1), expected + b)
    assert tg.layer_norm(live(x, dtype=np.float32), 3).dtype == np.float32
    np.testing.assert_array_equal(tg.layer_norm(np.full((2, 3), 7.0), 3), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("normalized", "weight", "bias", "message"),
    [
        (4, None, None, r"expected x \(..., .4,.\), got \(2, 3\)"),
        ((2, 2, 3), None, None, "expected x"),
        ((), None, None, "expected x"),
        (3, 4, None, r"expected weight of shape \(3,\), got \(4,\)"),
        (3, 3, 1, r"expected bias of shape \(3,\), got \(1,\)"),
    ],
)
def test_layer_norm_errors(normalized, weight, bias, message):
    parameters = [None if n is None else np.ones(n) for n in (weight, bias)]
    with pytest.raises(ValueError, match=f"layer_norm: {message}"):
        tg.layer_norm(live(np.ones((2, 3))), normalized, *parameters)


# ── windows ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_windows_and_their_transpose(stride, dilation):
    rng = np.random.default_rng(0)
    x = rng.random((2, 7, 8))
    y = tg.windows(live(x), (2, 3), stride, dilation)
    for i, j in np.ndindex(y.shape[1:3]):
        top, left = i * stride[0], j * stride[1]
        np.testing.assert_array_equal(
            y.numpy()[:, i, j],
            x[:, top : top + dilation[0] + 1 : dilation[0]][
                :, :, left : left + 2 * dilation[1] + 1 : dilation[1]
            ],
        )
    g = rng.random(y.shape)
    back = tg.unwindow(live(g), x.shape, (2, 3), stride, dilation)
    np.testing.assert_allclose((back.numpy() * x).sum(), (g * y.numpy()).sum())
    t = live(x)
    again = tg.grad(tg.windows(t, (2, 3), stride, dilation), t, g)
    np.testing.assert_allclose(again.numpy(), back.numpy())


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_padding_never_wins_among_integers(dtype):
    x = np.array([[[0, 1], [1, 0]]]).astype(dtype)
    for pooled in (tg.max_pool2d(x, 2, 1, 1), tg.max_pool2d(tg.Tensor(x), 2, 1, 1).numpy()):
        assert pooled.dtype == dtype
        np.testing.assert_array_equal(pooled, [[[0, 1, 1], [1, 1, 1], [1, 1, 0]]])
