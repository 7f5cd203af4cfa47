"""Padding and packing: nothing is lost, gradients pass, and layers take either."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn

lengths = st.lists(st.integers(1, 5), min_size=1, max_size=5)
features = st.sampled_from([(), (2,), (2, 3)])


def sequences(sizes, shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((size, *shape)) for size in sizes]


@given(lengths, features, st.booleans())
def test_padding_and_back(sizes, shape, batch_first):
    given_ = sequences(sizes, shape)
    padded = nn.pad_sequence(given_, batch_first, padding_value=-9.0)
    T, N = max(sizes), len(sizes)
    assert padded.shape == ((N, T, *shape) if batch_first else (T, N, *shape))
    assert (padded == -9).sum() == (T * N - sum(sizes)) * int(np.prod(shape))
    for x, y in zip(given_, nn.unpad_sequence(padded, sizes, batch_first), strict=True):
        np.testing.assert_array_equal(x, y)


@given(lengths, features, st.booleans())
def test_packing_and_back(sizes, shape, batch_first):
    given_ = sequences(sizes, shape)
    packed = nn.pack_sequence(given_, enforce_sorted=False)
    assert packed.data.shape == (sum(sizes), *shape)
    np.testing.assert_array_equal(packed.lengths, sizes)
    for x, y in zip(given_, nn.unpack_sequence(packed), strict=True):
        np.testing.assert_array_equal(x, y)
    padded, back = nn.pad_packed_sequence(packed, batch_first, -1.0, total_length=6)
    np.testing.assert_array_equal(back, sizes)
    assert padded.shape[batch_first] == 6
    again = nn.pack_padded_sequence(padded, back, batch_first, enforce_sorted=False)
    np.testing.assert_array_equal(again.data, packed.data)
    np.testing.assert_array_equal(again.batch_sizes, packed.batch_sizes)


def test_gradients_pass():
    def f(*xs):
        packed = nn.pack_sequence(xs, enforce_sorted=False)
        padded, _ = nn.pad_packed_sequence(packed._replace(data=packed.data * packed.data))
        return tg.concatenate(nn.unpad_sequence(padded, [2, 3, 1])) * 2

    assert tg.testing.gradcheck(f, sequences([2, 3, 1], (2,)))


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_layer_reads_a_packed_batch_as_it_reads_a_padded_one(kind, batch_first, unroll):
    layer = kind(2, 3, 2, bidirectional=True, batch_first=batch_first, dtype=np.float64, rng=0)
    sizes = [2, 5, 1, 5]
    xs = sequences(sizes, (2,))
    packed = nn.pack_sequence([tg.Tensor(x) for x in xs], enforce_sorted=False)
    y, state = layer(packed, unroll=unroll)
    assert isinstance(y, nn.PackedSequence)
    expected, last = layer(nn.pad_sequence(xs, batch_first), lengths=sizes, unroll=unroll)
    padded, back = nn.pad_packed_sequence(y, batch_first)
    np.testing.assert_array_equal(back, sizes)
    np.testing.assert_array_equal(padded.data, expected.data)
    states = zip(*((s if isinstance(s, tuple) else (s,)) for s in (state, last)), strict=True)
    for ours, theirs in states:
        np.testing.assert_array_equal(ours.data, theirs.data)
    with pytest.raises(ValueError, match="a packed batch has its own lengths"):
        layer(packed, lengths=sizes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.pad_sequence([]), "at least one sequence"),
        (lambda: nn.pad_sequence([[1], [[2]]]), r"as sequence 1, \(1, 1\)"),
        (lambda: nn.pad_sequence([1.0]), r"got \(\)"),
        (lambda: nn.pad_sequence([[1]], padding_side="top"), "'right' or 'left'"),
        (lambda: nn.pack_sequence([[1], [2, 3]]), r"descending order, got \[1, 2\]"),
        (lambda: nn.pack_padded_sequence(np.ones((3, 2)), [3, 0]), "from 1 to T = 3, got 0"),
        (lambda: nn.pack_padded_sequence(np.ones((3, 2)), [4, 1]), "from 1 to T = 3, got 4"),
        (lambda: nn.pack_padded_sequence(np.ones((3, 2)), [3]), r"shape \(2,\), got \(1,\)"),
        (lambda: nn.unpad_sequence(np.ones((3, 1)), [4]), "from 0 to T = 3"),
        (
            lambda: nn.pad_packed_sequence(nn.pack_sequence([[1, 2]]), total_length=1),
            "total_length of at least 2, got 1",
        ),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_lengths_that_are_not_integers():
    with pytest.raises(TypeError, match="lengths that are integers, got float64"):
        nn.pack_padded_sequence(np.ones((3, 1)), [2.0])
    with pytest.raises(TypeError, match="lengths that are integers, got bool"):
        nn.unpad_sequence(np.ones((3, 1)), [True])


def test_padding_on_the_left():
    padded = nn.pad_sequence([[1, 2], [3]], batch_first=True, padding_side="left")
    np.testing.assert_array_equal(padded, [[1, 2], [0, 3]])
