"""Moving elements: NumPy's results, and their errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


X = np.random.default_rng(0).random((2, 3, 4))

# Every one is linear, so that its gradient is told by <g, f(v)> = <f'(g), v>.
CASES = {
    "reshape": ((tg.reshape, np.reshape), [((6, 4),), (-1,), ((4, -1),), (24,), ([2, 12],)]),
    "transpose": ((tg.transpose, np.transpose), [(), (None,), ((1, 0, 2),), ([-1, 0, 1],)]),
    "swapaxes": ((tg.swapaxes, np.swapaxes), [(0, 1), (-1, 0), (1, 1)]),
    "moveaxis": ((tg.moveaxis, np.moveaxis), [(0, -1), ((0, 1), (2, 0)), ([-1], [0])]),
    "expand_dims": ((tg.expand_dims, np.expand_dims), [(0,), (-1,), ((0, 2),), ((-1, 1),)]),
    "flip": ((tg.flip, np.flip), [(), (0,), (-1,), ((0, 2),)]),
    "broadcast_to": (
        (tg.broadcast_to, np.broadcast_to),
        [((2, 3, 4),), ((5, 2, 3, 4),), ((0, 2, 3, 4),)],
    ),
    "pad": (
        (tg.pad, np.pad),
        [(1,), ((1, 2),), (((1, 0), (0, 2), (3, 3)),), (0,), (((1,), (0,), (2,)),)],
    ),
}


@pytest.mark.parametrize(
    ("ours", "numpys", "arguments"),
    [(*functions, a) for functions, cases in CASES.values() for a in cases],
    ids=[f"{name}{a}" for name, (_, cases) in CASES.items() for a in cases],
)
def test_results_are_numpys_and_gradients_their_transposes(ours, numpys, arguments):
    x = live(X)
    y, expected = ours(x, *arguments), numpys(X, *arguments)
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(ours(X, *arguments), expected)
    rng = np.random.default_rng(1)
    g, v = rng.random(y.shape), rng.random(X.shape)
    y.backward(g)
    np.testing.assert_allclose((x.grad * v).sum(), (g * numpys(v, *arguments)).sum())


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-1,)])
def test_squeeze(axis):
    x = live(X[:1, :, :1])
    y = tg.squeeze(x, axis)
    np.testing.assert_array_equal(y.numpy(), np.squeeze(X[:1, :, :1], axis))
    y.backward(2 * np.ones(y.shape))
    assert (x.grad == 2).all()


@given(st.data())
def test_sum_to_undoes_any_broadcast(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0))
    shape, result = shapes.input_shapes[0], shapes.result_shape
    x = np.random.default_rng(0).random(result)
    y = tg.sum_to(live(x), shape)
    assert y.shape == shape
    v = np.random.default_rng(1).random(shape)
    np.testing.assert_allclose((y.numpy() * v).sum(), (x * np.broadcast_to(v, result)).sum())
    if result == shape:
        np.testing.assert_array_equal(y.numpy(), x)


def test_sum_to_refuses_what_was_no_broadcast():
    for shape in ((2,), (3, 4), (4, 4)):
        with pytest.raises(ValueError, match="does not broadcast to"):
            tg.sum_to(np.ones((3, 3)), shape)


def test_shape_of_anything():
    for x in (X, tg.Tensor(X), live(X), X.tolist()):
        assert tg.shape_of(x) == (2, 3, 4)
    assert tg.shape_of(1.0) == ()


# ── astype ───────────────────────────────────────────────────────────────────────────────


def test_astype_between_floats_passes_the_gradient_in_the_old_dtype():
    x = live(np.ones(2, np.float32))
    y = x.astype(np.float64)
    assert y.dtype == np.float64
    (y * 3).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [3.0, 3.0]
    same = x.astype(np.float32)
    assert not np.shares_memory(same.data, x.data)


def test_astype_to_integers_is_a_constant():
    for dtype in (int, bool, np.uint8):
        y = live([1.5, 0.0]).astype(dtype)
        assert not y.requires_grad
        assert y.numpy().tolist() == np.array([1.5, 0.0]).astype(dtype).tolist()
    assert tg.astype([1.7], int).tolist() == [1]
    assert tg.astype(1.5, np.float32).dtype == np.float32


def test_astype_to_what_is_no_number():
    for dtype in (complex, object, "U3"):
        with pytest.raises(TypeError, match="astype: a Tensor holds real numbers, not"):
            live([1.0]).astype(dtype)


# ── joining and cutting ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_concatenate(axis):
    parts = [X, X[:, :, :] * 2, np.zeros((2, 3, 4))]
    if axis == 1:
        parts[1] = parts[1][:, :1]
    if axis is None:
        parts[1] = parts[1][0]
    xs = [live(part) for part in parts]
    y = tg.concatenate([xs[0], parts[1], xs[2], xs[0]], axis)
    expected = np.concatenate([parts[0], parts[1], parts[2], parts[0]], axis)
    np.testing.assert_array_equal(y.numpy(), expected)
    g = np.random.default_rng(0).random(y.shape)
    y.backward(g)
    along = 0 if axis is None else axis
    sizes = [p.size if axis is None else p.shape[axis] for p in (*parts, parts[0])]
    pieces = np.split(g, np.cumsum(sizes)[:-1], along)
    np.testing.assert_allclose(xs[0].grad, (pieces[0] + pieces[3]).reshape(X.shape))
    np.testing.assert_array_equal(xs[2].grad, pieces[2].reshape(X.shape))


@pytest.mark.parametrize("axis", [0, 1, -1, -4, 3])
def test_stack(axis):
    x, y = live(X), live(2 * X)
    z = tg.stack((x, X, y), axis=axis)
    np.testing.assert_array_equal(z.numpy(), np.stack([X, X, 2 * X], axis))
    g = np.random.default_rng(0).random(z.shape)
    z.backward(g)
    np.testing.assert_array_equal(x.grad, np.take(g, 0, axis))
    np.testing.assert_array_equal(y.grad, np.take(g, 2, axis))


def test_rows_of_a_tensor_can_be_joined():
    x = live([[1.0, 2.0], [3.0, 4.0]])
    assert tg.concatenate(x).numpy().tolist() == [1.0, 2.0, 3.0, 4.0]
    assert tg.stack(x, axis=1).numpy().tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert tg.concatenate(row for row in x).shape == (4,)


def test_dtypes_of_what_is_joined():
    x, y = live(np.ones(2, np.float32)), live(np.ones(2))
    z = tg.concatenate([x, y])
    assert z.dtype == np.float64
    z.sum().backward()
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("join", [tg.concatenate, tg.stack])
def test_nothing_to_join(join):
    with pytest.raises(ValueError, match="need at least one array"):
        join([])


@pytest.mark.parametrize("parts", [1, 2, 4, [1], [1, 3], [], [0, 0, 4], [3, 1], [-1], [9], (2, 2)])
@pytest.mark.parametrize("axis", [2, -1])
def test_split(parts, axis):
    x = live(X)
    pieces, expected = tg.split(x, parts, axis), np.split(X, parts, axis)
    assert [p.shape for p in pieces] == [p.shape for p in expected]
    for piece, other in zip(pieces, expected, strict=True):
        np.testing.assert_array_equal(piece.numpy(), other)
    total = sum((tg.sum(piece) * (i + 1.0) for i, piece in enumerate(pieces)), live(0.0))
    total.backward()
    expected = np.zeros(X.shape)
    for i, part in enumerate(np.split(np.arange(X.size).reshape(X.shape), parts, axis)):
        np.add.at(expected.ravel(), part.ravel(), i + 1.0)
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize(
    ("parts", "axis", "kind", "message"),
    [
        (3, -1, ValueError, "split: axis 2 of length 4 cannot be cut into 3 equal parts"),
        (0, 0, ValueError, "cannot be cut into 0 equal parts"),
        (-1, 0, ValueError, "cannot be cut into -1 equal parts"),
        (1, 3, ValueError, r"split: axis 3 is out of range for shape \(2, 3, 4\)"),
        (1.5, 0, TypeError, "integer"),
        ([0.5], 0, TypeError, "integer"),
    ],
)
def test_split_errors(parts, axis, kind, message):
    with pytest.raises(kind, match=message):
        tg.split(live(X), parts, axis)


def test_pad_values_and_errors():
    np.testing.assert_array_equal(
        tg.pad(live(X), 1, constant_values=-np.inf).numpy(), np.pad(X, 1, constant_values=-np.inf)
    )
    assert tg.pad(live(np.zeros((0, 2))), ((1, 1), (0, 0))).shape == (2, 2)
    for width, kind in (
        (-1, ValueError),
        (1.5, TypeError),
        (((1, 1),) * 2, ValueError),
        ("a", TypeError),
    ):
        with pytest.raises(kind):
            tg.pad(live(X), width)
    with pytest.raises(ValueError, match=r"pad: expected one of constant, .*, got 'reflected'"):
        tg.pad(live(X), 1, "reflected")


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.reshape(x, (5,)),
        lambda x: tg.reshape(x, (-1, -1)),
        lambda x: tg.transpose(x, (0, 1)),
        lambda x: tg.transpose(x, (0, 0, 1)),
        lambda x: tg.broadcast_to(x, (2, 3)),
        lambda x: tg.moveaxis(x, (0, 1), 0),
        lambda x: tg.squeeze(x, 1),
        lambda x: tg.concatenate([x, x[0]]),
        lambda x: tg.stack([x, x[0]]),
    ],
)
def test_shapes_that_do_not_fit(call):
    for x in (X, live(X)):
        with pytest.raises(ValueError):  # noqa: PT011 (NumPy's own words)
            call(x)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.swapaxes(x, 0, 3),
        lambda x: tg.expand_dims(x, 5),
        lambda x: tg.flip(x, 3),
        lambda x: tg.moveaxis(x, 0, 3),
        lambda x: tg.concatenate([x, x], 3),
        lambda x: tg.stack([x, x], 4),
    ],
)
def test_axes_out_of_range(call):
    with pytest.raises((IndexError, ValueError), match="out of bounds"):
        call(live(X))
