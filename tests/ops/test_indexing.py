"""Reading parts and adding them back: indices of every kind NumPy knows."""

import collections
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_rnn as tg


def live(data=1.0, **options):
    return tg.Tensor(data, requires_grad=True, **options)


def check(x, index, plain=None):
    """x[index] and its gradient against NumPy's own indexing and np.add.at."""
    plain = index if plain is None else plain
    t = live(x)
    y = t[index]
    np.testing.assert_array_equal(y.numpy(), x[plain])
    g = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(g)
    expected = np.zeros(x.shape)
    np.add.at(expected, plain, g)
    np.testing.assert_allclose(t.grad, expected, rtol=1e-12, atol=1e-15)
    assert t.grad.dtype == x.dtype
    # the rule itself, which a recorded sweep runs, and its own transpose
    recorded = tg.grad(t[index], t, g, create_graph=True)
    np.testing.assert_allclose(recorded.numpy(), expected, rtol=1e-12, atol=1e-15)
    u = live(g)
    placed = tg.place(u, index, x.shape)
    v = np.random.default_rng(1).standard_normal(x.shape)
    np.testing.assert_array_equal(tg.grad(placed, u, v).numpy(), v[plain])


@given(st.data())
def test_any_basic_index(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    check(np.random.default_rng(0).random(shape), index)


@given(st.data())
def test_any_array_of_integers(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    index = data.draw(
        hnp.integer_array_indices(
            shape,
            result_shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
            dtype=data.draw(st.sampled_from([np.dtype(c) for c in "bBhilq"])),
        )
    )
    # some axes keep a slice
    kept = data.draw(st.integers(0, len(index) - 1))
    index = (*index[:kept], slice(None, None, data.draw(st.sampled_from([1, -1, 2]))))
    check(np.random.default_rng(0).random(shape), index)
    if len(index) > 1:
        check(np.random.default_rng(0).random(shape), index[0])


@given(st.data())
def test_any_mask(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    depth = data.draw(st.integers(0, len(shape)))
    mask = data.draw(hnp.arrays(bool, shape[:depth]))
    check(np.random.default_rng(0).random(shape), mask)
    check(np.random.default_rng(0).random(shape), (mask, ..., None))


X = np.arange(24.0).reshape(4, 3, 2)
Where = collections.namedtuple("Where", "row column")


@pytest.mark.parametrize(
    ("index", "plain"),
    [
        (np.int8(2), None),
        (np.array(2), None),
        (np.bool_(True), None),
        (True, None),
        (False, None),
        ([0, 0, -1], None),
        ([], None),
        (([], [0, 1][:0]), None),
        ([[0, 1], [1, 1]], None),
        ([True, False, True, True], None),
        (range(2), [0, 1]),
        ((range(2), 0), ([0, 1], 0)),
        (((0, 0), 1), None),
        (Where([0, 0], [1, 1]), ([0, 0], [1, 1])),
        (array("l", [1, 1]), [1, 1]),
        (memoryview(np.array([3, 3])), [3, 3]),
        (tg.Tensor([1, 1]), [1, 1]),
        (tg.Tensor(2), 2),
        ((tg.Tensor([1, 1]), slice(None), tg.Tensor([0, 0])), ([1, 1], slice(None), [0, 0])),
        ([tg.Tensor(1), 1], [1, 1]),
        (tg.Tensor(X[:, 0, 0]) > 6, X[:, 0, 0] > 6),
        (slice(tg.Tensor(1), np.array(3), np.int64(1)), slice(1, 3)),
        (np.ix_([0, 0], [1, 2], [0]), None),
        (np.nonzero(X > 20), None),
        (np.s_[::-1, ..., ::-2], None),
        (np.array([0, 3, 3], np.uint8), None),
        ((np.array([[True, False, True]] * 4), 1), None),
        ((0, [1, 1], 0), None),
        ((slice(None), [1, 1], None, [0, 0]), None),
        ((), None),
        (None, None),
        (..., None),
    ],
    ids=lambda part: "memory" if isinstance(part, memoryview) else str(part),
)
def test_indices_of_every_kind(index, plain):
    check(X, index, plain)


def test_small_integers_index_long_axes():
    for dtype in (np.int8, np.uint8, np.int16):
        check(np.ones((300, 2)), np.array([0, 7, 7], dtype))
    W = live(np.ones((256, 2)))
    tg.embedding(np.frombuffer(b"\x00\xff\xff", np.uint8), W).sum().backward()
    assert W.grad[[0, 1, 255], 0].tolist() == [1.0, 0.0, 2.0]


@pytest.mark.parametrize("shape", [(3, 0), (3, 2, 0), (0, 2)])
def test_rows_of_nothing(shape):
    check(np.ones(shape), np.array([], int))
    if shape[0]:
        check(np.ones(shape), np.array([0, 0]))


@pytest.mark.parametrize("bad", [4, -5, [0, 4], (0, 3), "a", 1.0, [0.5], (0, 0, 0, 0), [True] * 3])
def test_a_bad_index_is_an_index_error_that_names_the_place(bad):
    with (
        tg.scope("reader"),
        pytest.raises(IndexError, match=r"getitem: .*\[operands: float64 \(4, 3, 2\)\] in reader"),
    ):
        live(X)[bad]


@pytest.mark.parametrize("bad", [1.5, tg.Tensor(1.5), tg.Tensor([1, 2]), "a"], ids=str)
def test_a_bound_that_is_no_integer(bad):
    for index in (slice(bad), slice(bad, None), (0, slice(None, None, bad))):
        with pytest.raises(TypeError):
            live(X)[index]


def test_gradients_of_overlapping_reads_add_up():
    x = live(np.zeros(4))
    y = x[1:] + x[:-1] + x[[0, 0, 0]] + x[-1]
    (y.sum() + x.sum() + x[2]).backward()
    assert x.grad.tolist() == [5.0, 3.0, 4.0, 5.0]


def test_gradients_of_reads_do_not_write_into_others():
    x, w = live(np.zeros(3)), live(np.zeros(3))
    s = x + w  # both get the same array
    (s.sum() + x[0] + x[0]).backward()
    assert x.grad.tolist() == [3.0, 1.0, 1.0]
    assert w.grad.tolist() == [1.0, 1.0, 1.0]


# ── take, place, embedding ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("indices", [0, -1, [0, 0], [[1], [-2]], [], [True, False], np.uint8(1)])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, -3])
def test_take_is_numpys(indices, axis):
    plain = np.asarray(indices, dtype=int)
    for x in (X, tg.Tensor(X), live(X)):
        y = tg.take(x, indices, axis)
        np.testing.assert_array_equal(np.asarray(y if x is X else y.data), np.take(X, plain, axis))
    g = np.random.default_rng(0).random(y.shape)
    y.backward(g)
    step = np.random.default_rng(1).random(X.shape)
    np.testing.assert_allclose((x.grad * step).sum(), (np.take(step, plain, axis) * g).sum())


def test_take_errors():
    for indices, axis in ([4], 0), ([24], None), ([0], 3), ([0], -4), ([0.5], 0):
        with pytest.raises(IndexError, match=r"take|getitem"):
            tg.take(live(X), indices, axis)


def test_place_adds_and_lists_count():
    assert tg.place([1.0, 2.0], [1, 1], (3,)).tolist() == [0.0, 3.0, 0.0]
    y = tg.place(live([1.0, 2.0]), slice(0, 2), [2])
    assert y.numpy().tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match=r"^place: "):
        tg.place(live([1.0, 2.0]), slice(0, 3), (3,))


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_embedding_is_the_product_with_one_hot_vectors(shape, dtype):
    rng = np.random.default_rng(0)
    ids, W = rng.integers(0, 5, shape).astype(dtype), rng.random((5, 3))
    t, one_hot = live(W), np.eye(5)[ids]
    y = tg.embedding(ids, t)
    np.testing.assert_array_equal(y.numpy(), one_hot @ W)
    g = rng.random(y.shape)
    y.backward(g)
    np.testing.assert_allclose(t.grad, one_hot.reshape(-1, 5).T @ g.reshape(-1, 3))
    np.testing.assert_array_equal(tg.embedding(tg.Tensor(ids), W).numpy(), W[ids])


@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        ([5], IndexError, "expected ids from 0 to 4, got 5"),
        ([0, -1], IndexError, "expected ids from 0 to 4, got -1"),
        ([0.0], TypeError, "expected integer ids, got float64"),
        ([True], TypeError, "expected integer ids, got bool"),
    ],
)
def test_ids_out_of_range_or_kind(ids, kind, message):
    with pytest.raises(kind, match=message):
        tg.embedding(ids, live(np.ones((5, 3))))
    with pytest.raises(kind, match=message):
        tg.embedding(ids, np.ones((5, 3)))


def test_a_table_has_two_axes():
    with pytest.raises(ValueError, match=r"expected a table of shape \(V, D\), got \(5,\)"):
        tg.embedding([0], np.ones(5))
