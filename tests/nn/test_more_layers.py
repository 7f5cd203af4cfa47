"""Conv2d, LayerNorm, Dropout and Sequential: values, gradients, copies, and what they refuse."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn

from .functional import as_function

seeds = st.integers(0, 999)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


# ── Conv2d ───────────────────────────────────────────────────────────────────────────────


def convolved(x, weight, bias, stride, padding, dilation, groups):
    """The definition, one output element at a time."""
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    outputs, per_group, kh, kw = weight.shape
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, (kh, kw), strict=True)]
    rows, columns = ((x.shape[i + 2] - reach[i]) // stride[i] + 1 for i in (0, 1))
    y = np.zeros((len(x), outputs, rows, columns))
    for n, o, i, j in itertools.product(*map(range, y.shape)):
        first = o // (outputs // groups) * per_group
        for c, u, v in itertools.product(range(per_group), range(kh), range(kw)):
            row, column = i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]
            y[n, o, i, j] += weight[o, c, u, v] * x[n, first + c, row, column]
    return y if bias is None else y + bias[:, None, None]


@given(
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 2),
    pairs,
    pairs,
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    pairs,
    st.booleans(),
    seeds,
)
def test_conv2d_is_its_definition(N, C, H, groups, kernel, stride, padding, dilation, bias, seed):
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    layer = nn.Conv2d(C * groups, H * groups, kernel, bias=bias, dtype=np.float64, rng=seed, **how)
    x = numbers(seed, N, C * groups, 5, 6)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(reach[0] <= 5 + 2 * padding[0] and reach[1] <= 6 + 2 * padding[1])
    expected = convolved(x, layer.weight.data, layer.bias.data if bias else None, **how)
    y = layer(x)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)
    if N:
        np.testing.assert_allclose(layer(x[0]).numpy(), expected[0], rtol=1e-12, atol=1e-12)
    assert layer.weight.shape == (H * groups, C, *kernel)
    assert (layer.bias is not None) is bias


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 2, dtype=np.float64, rng=0),
        nn.Conv2d(2, 4, (2, 1), (2, 1), 1, (1, 2), 2, bias=False, dtype=np.float64, rng=0),
    ],
)
def test_gradients_of_conv2d(layer):
    f, arrays = as_function(layer, [numbers(0, 2, 2, 3, 4)])
    assert tg.testing.gradcheck(f, arrays)
    assert tg.testing.gradgradcheck(f, arrays)


def test_conv2d_starts_uniform_within_its_bound():
    layer = nn.Conv2d(8, 100, (3, 5), groups=2, rng=0)
    bound = 1 / math.sqrt(4 * 3 * 5)
    for p in layer.parameters():
        assert p.dtype == np.float32
        assert bound * 0.9 < abs(p.data).max() <= bound
    assert layer.weight.data.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    same = nn.Conv2d(8, 100, (3, 5), groups=2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(layer.weight.data, same.weight.data)
    np.testing.assert_array_equal(layer.bias.data, same.bias.data)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1, 1), ValueError, "in_channels must be at least 1"),
        ((1, 1.5, 1), TypeError, "out_channels must be an integer"),
        ((1, 1, 0), ValueError, "Conv2d: kernel_size"),
        ((1, 1, (1, 2, 3)), ValueError, "kernel_size must be one integer or two"),
        ((1, 1, 1, 0), ValueError, "Conv2d: stride"),
        ((1, 1, 1, 1, -1), ValueError, "Conv2d: padding"),
        ((1, 1, 1, 1, 0, 0), ValueError, "Conv2d: dilation"),
        ((1, 1, 1, 1, 0, 1, 0), ValueError, "groups must be at least 1"),
        ((2, 3, 1, 1, 0, 1, 2), ValueError, "2 groups do not divide"),
        ((3, 2, 1, 1, 0, 1, 2), ValueError, "2 groups do not divide"),
    ],
)
def test_convolutions_that_are_none(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.Conv2d(*arguments)
    with pytest.raises(TypeError, match="float type"):
        nn.Conv2d(1, 1, 1, dtype=int)


def test_images_that_do_not_fit():
    layer = nn.Conv2d(3, 2, 4)
    for shape in ((2, 4, 5, 5), (4, 5, 5), (5, 5), (1, 1, 3, 5, 5)):
        with pytest.raises(ValueError, match=r"x \(N, 3, H, W\) or \(3, H, W\), got .* in conv2d"):
            layer(np.ones(shape))
    with pytest.raises(ValueError, match="does not fit"):
        layer(np.ones((3, 3, 9)))
    with pytest.raises(TypeError, match="expected x of dtype float32"):
        layer(tg.Tensor(np.ones((3, 9, 9))))


# ── LayerNorm ────────────────────────────────────────────────────────────────────────────

affine = st.sampled_from([(True, True), (True, False), (False, True)])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 2), affine, seeds)
def test_layer_norm_gives_mean_0_and_variance_1(shape, extra, parts, seed):
    layer = nn.LayerNorm(shape, 0.0, *parts, dtype=np.float64)
    assert [name for name, _ in layer.named_parameters()] == (
        ["weight", "bias"][: sum(parts)] if parts[0] else []
    )
    x = numbers(seed, *(2,) * extra, *shape) * 3 + 5
    axes = tuple(range(extra, x.ndim))
    assume(x.size == 0 or math.prod(shape) > 1)
    y = layer(x)
    np.testing.assert_allclose(y.numpy().mean(axes), 0, atol=1e-9)
    np.testing.assert_allclose(y.numpy().var(axes), 1, rtol=1e-9)
    # Shifted and scaled inputs give the same, learned numbers come after.
    np.testing.assert_allclose(layer(7 * x - 3).numpy(), y.numpy(), rtol=1e-7, atol=1e-9)
    if parts[0]:
        layer.weight.data = weight = numbers(seed + 1, *shape)
        shift = 0
        if parts[1]:
            layer.bias.data = shift = numbers(seed + 2, *shape)
        np.testing.assert_allclose(layer(x).numpy(), y.numpy() * weight + shift, atol=1e-12)


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("shape", [4, (2, 3)])
def test_gradients_of_layer_norm(parts, shape):
    layer = nn.LayerNorm(shape, 1e-3, *parts, dtype=np.float64)
    rng = np.random.default_rng(0)
    for p in layer.parameters():
        p.data = rng.standard_normal(p.shape)
    f, arrays = as_function(layer, [rng.standard_normal((2, *layer.normalized_shape))])
    assert tg.testing.gradcheck(f, arrays)
    assert tg.testing.gradgradcheck(f, arrays)


def test_eps_keeps_a_constant_input_finite():
    x = tg.Tensor(np.full((2, 3), 7.0), requires_grad=True)
    y = nn.LayerNorm(3, dtype=np.float64)(x)
    y.backward(np.ones((2, 3)))
    np.testing.assert_array_equal(y.numpy(), 0)
    assert np.isfinite(x.grad).all()


def test_layer_norm_refuses_other_sizes():
    layer = nn.LayerNorm((2, 3))
    for shape in ((3,), (3, 2), (2, 3, 1), ()):
        with pytest.raises(ValueError, match=r"expected x \(\.\.\., 2, 3\), got .* in layernorm"):
            layer(np.ones(shape))
    for bad in (0, (2, -1), (), []):
        with pytest.raises(ValueError, match="normalized_shape must"):
            nn.LayerNorm(bad)
    for bad in (2.0, (2, None), "ab", True):
        with pytest.raises(TypeError, match="normalized_shape must be an integer"):
            nn.LayerNorm(bad)
    for eps in (-1e-5, math.nan):
        with pytest.raises(ValueError, match="eps"):
            nn.LayerNorm(3, eps)
    for bare in (nn.LayerNorm(3), nn.LayerNorm(3, elementwise_affine=False)):
        with pytest.raises(TypeError, match="expected x of dtype float32"):
            bare(tg.Tensor(np.ones(3)))
        assert bare(np.ones(3)).dtype == np.float32


# ── Dropout ──────────────────────────────────────────────────────────────────────────────


@given(st.floats(0, 0.95), seeds)
def test_dropout_zeroes_or_scales_and_keeps_the_mean(p, seed):
    layer = nn.Dropout(p, rng=seed)
    x = numbers(seed, 10_000) + 3
    y = layer(x)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - p), rtol=1e-12)
    # Four standard deviations, plus a rare event.
    assert abs(kept.mean() - (1 - p)) <= 5 * math.sqrt(p * (1 - p) / 10_000) + 1e-3
    np.testing.assert_array_equal(layer.eval()(x), x)


def test_dropout_draws_anew_each_time_and_again_the_same_from_its_seed():
    x = np.ones(100)
    a, b, other = nn.Dropout(rng=3), nn.Dropout(rng=np.random.default_rng(3)), nn.Dropout(rng=4)
    first, second = a(x), a(x)
    assert not np.array_equal(first, second)
    np.random.default_rng(0).random(7)  # what others draw does not matter
    np.testing.assert_array_equal(b(x), first)
    b.eval()(x)  # nothing is drawn
    np.testing.assert_array_equal(b.train()(x), second)
    assert not np.array_equal(other(x), first)
    assert not np.array_equal(nn.Dropout()(x), nn.Dropout()(x))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_dropout_goes_on_with_the_same_masks(again):
    x = np.ones(100)
    model = nn.Sequential(nn.Dropout(0.3, rng=0), nn.Dropout(0.3, rng=1))
    model(x)
    twin = again(model)
    for _ in range(3):
        np.testing.assert_array_equal(model(x), twin(x))
    shared = np.random.default_rng(0)
    twin = again(nn.Sequential(nn.Dropout(rng=shared), nn.Dropout(rng=shared)))
    assert twin[0].rng is twin[1].rng


def test_one_mask_serves_the_value_and_the_gradient():
    layer = nn.Dropout(0.5, rng=0)
    x = tg.Tensor(np.arange(1.0, 21.0, dtype=np.float32), requires_grad=True)
    y = layer(x)
    assert y.dtype == np.float32
    y.sum().backward()
    np.testing.assert_array_equal(x.grad * x.data, y.data)
    assert set(x.grad) == {0, 2}
    f, arrays = as_function(layer, [numbers(0, 3, 4)])
    assert tg.testing.gradcheck(f, arrays)
    assert tg.testing.gradgradcheck(f, arrays)


def test_the_ends_of_dropout():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    assert nn.Dropout(0)(x) is x
    assert nn.Dropout(0.5).eval()(x) is x
    y = nn.Dropout(1)(x)
    np.testing.assert_array_equal(y.data, 0)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, 0)
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="probability p from 0 to 1"):
            nn.Dropout(bad)
    for bad in ("0.5", None, [0.5]):
        with pytest.raises(TypeError, match="probability"):
            nn.Dropout(bad)


# ── Sequential ───────────────────────────────────────────────────────────────────────────


def net():
    return nn.Sequential(
        nn.Linear(3, 4, dtype=np.float64, rng=0),
        tg.tanh,
        nn.Sequential(nn.LayerNorm(4, dtype=np.float64), nn.Dropout(0.5, rng=1)),
        nn.Linear(4, 2, dtype=np.float64, rng=2),
    )


NAMES = ["0.weight", "0.bias", "2.0.weight", "2.0.bias", "3.weight", "3.bias"]


def test_sequential_applies_one_after_the_other():
    model, x = net(), numbers(0, 5, 3)
    parts = net()
    expected = parts[3](parts[2][1](parts[2][0](tg.tanh(parts[0](x)))))
    np.testing.assert_array_equal(model(x).numpy(), expected.numpy())
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [p.name for p in model.parameters()] == ["weight", "bias"] * 3
    model.eval()
    assert not model[2][1].training
    np.testing.assert_array_equal(model(x).numpy(), model(x).numpy())


def test_gradients_of_a_sequence_of_layers():
    f, arrays = as_function(net(), [numbers(0, 2, 3)])
    assert tg.testing.gradcheck(f, arrays)
    assert tg.testing.gradgradcheck(f, arrays)


def test_sequential_is_a_list_of_its_modules():
    model = net()
    assert len(model) == 4
    assert list(model) == [model[0], model[1], model[2], model[3]]
    assert model[-1] is model[np.int64(3)]
    assert model[1] is tg.tanh
    for bad in (4, -5):
        with pytest.raises(IndexError, match=f"index {bad} of 4 modules"):
            model[bad]
    with pytest.raises(TypeError):
        model["0"]
    many = nn.Sequential(*[lambda x, i=i: [*x, i] for i in range(12)])
    assert many([]) == list(range(12))  # in order beyond ten, too


def test_a_slice_is_a_sequential_of_the_same_modules():
    model, x = net().eval(), numbers(0, 5, 3)
    head, tail = model[:2], model[2:]
    assert (len(head), len(tail)) == (2, 2)
    assert tail[0] is model[2]
    assert [name for name, _ in tail.named_parameters()] == NAMES[2:]
    np.testing.assert_array_equal(tail(head(x)).numpy(), model(x).numpy())
    assert not tail.training
    assert tail(head(x)).node.scope.path == model(x).node.scope.path == ("sequential", "3")
    assert len(model[::2]) == 2
    assert len(model[4:]) == 0


def test_nothing_does_nothing():
    x = numbers(0, 3)
    assert nn.Sequential()(x) is x
    assert repr(nn.Sequential()) == "Sequential()"


def test_sequential_survives_copies_and_loads_its_state():
    model, x = net().eval(), numbers(0, 5, 3)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin(x).numpy(), model(x).numpy())
        assert next(twin.parameters()) is not next(model.parameters())
    other = net().eval()
    for p in other.parameters():
        p.data = p.numpy() + 1
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), model(x).numpy())


def test_a_module_that_comes_twice_has_its_parameters_once():
    layer = nn.Linear(2, 2, rng=0)
    model = nn.Sequential(layer, tg.relu, layer)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert len(model) == 3


def test_sequential_takes_functions_but_nothing_else():
    with pytest.raises(TypeError, match="1 is int"):
        nn.Sequential(tg.relu, 3)
    with pytest.raises(TypeError, match="0 is list"):
        nn.Sequential([nn.Linear(2, 2)])


# ── how they are shown, and where an error was ───────────────────────────────────────────


@pytest.mark.parametrize(
    ("layer", "shown"),
    [
        (nn.Conv2d(1, 2, 3), "Conv2d(1, 2, kernel_size=(3, 3))"),
        (
            nn.Conv2d(2, 2, (1, 2), 2, 1, 3, 2, False),
            "Conv2d(2, 2, kernel_size=(1, 2), stride=(2, 2), padding=(1, 1), dilation=(3, 3), "
            "groups=2, bias=False)",
        ),
        (nn.LayerNorm(3), "LayerNorm((3,), eps=1e-05)"),
        (nn.LayerNorm((2, 3), bias=False), "LayerNorm((2, 3), eps=1e-05, bias=False)"),
        (nn.LayerNorm(3, 0.1, False), "LayerNorm((3,), eps=0.1, elementwise_affine=False)"),
        (nn.Dropout(0.25), "Dropout(p=0.25)"),
        (
            nn.Sequential(nn.Sequential(tg.relu), nn.Dropout()),
            "Sequential(\n  (0): Sequential(\n    (0): relu\n  )\n  (1): Dropout(p=0.5)\n)",
        ),
    ],
)
def test_repr(layer, shown):
    assert repr(layer) == shown


def test_errors_name_the_place_in_the_sequence():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(5))
    with pytest.raises(ValueError, match=r"got \(2, 4\) in sequential\.1"):
        model(np.ones((2, 3)))
