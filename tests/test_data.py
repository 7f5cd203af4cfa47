"""DataLoader: every example once, the same seed the same batches, little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn.data import DataLoader, python_manual

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=30)


def ragged(lengths):
    """Sequence i holds i + 1 at every step."""
    return [np.full(size, i + 1) for i, size in enumerate(lengths)]


@given(sizes, st.integers(1, 7), st.booleans(), st.integers(0, 3), st.booleans(), st.booleans())
def test_every_example_comes_once_with_what_belongs_to_it(
    lengths, N, shuffle, bucket, drop_last, batch_first
):
    xs = ragged(lengths)
    labels = np.arange(len(xs)) + 1
    loader = DataLoader(
        xs,
        labels,
        batch_size=N,
        shuffle=shuffle,
        bucket=bucket,
        drop_last=drop_last,
        batch_first=batch_first,
        padding_value=-1,
        rng=0,
    )
    for _ in range(2):
        seen = []
        batches = list(loader)
        assert len(batches) == len(loader)
        for x, y, sizes in batches:
            x = x if batch_first else x.T
            assert x.shape == (len(y), max(sizes))
            for row, label, size in zip(x, y, sizes, strict=True):
                np.testing.assert_array_equal(row[:size], label)
                assert (row[size:] == -1).all()
                assert lengths[label - 1] == size
            seen += y.tolist()
        assert len(seen) == len(set(seen))
        missing = len(xs) % N if drop_last else 0
        assert len(seen) == len(xs) - missing
        if not shuffle and not bucket:
            assert seen == sorted(seen)
        if not drop_last:
            assert {len(y) for _, y, _ in batches[:-1]} <= {N} or (bucket and shuffle)


def test_padded_arrays_are_cut_to_the_batchs_longest():
    lengths = np.array([2, 3, 1, 5])
    x = np.zeros((4, 6, 2))
    tags = np.zeros((4, 6), int)
    for i, size in enumerate(lengths):
        x[i, :size] = i + 1
        tags[i, :size] = i + 1
    loader = DataLoader(x, tags, np.arange(4), lengths=lengths, padded=(0, 1), batch_size=2)
    shapes = [(a.shape, b.shape, c.tolist(), d.tolist()) for a, b, c, d in loader]
    assert shapes == [
        ((3, 2, 2), (3, 2), [0, 1], [2, 3]),
        ((5, 2, 2), (5, 2), [2, 3], [1, 5]),
    ]


def test_the_same_seed_gives_the_same_batches_and_epochs_differ():
    def epochs(rng):
        loader = DataLoader(np.arange(20), batch_size=3, shuffle=True, rng=rng)
        return [[batch.tolist() for (batch,) in loader] for _ in range(3)]

    first, again, other = epochs(1), epochs(1), epochs(2)
    assert first == again != other
    assert first[0] != first[1]
    # A generator that is saved and put back goes on with the next epoch.
    loader = DataLoader(np.arange(20), batch_size=3, shuffle=True, rng=1)
    list(loader)
    resumed = DataLoader(np.arange(20), batch_size=3, shuffle=True)
    resumed.rng.bit_generator.state = loader.rng.bit_generator.state
    assert [batch.tolist() for (batch,) in resumed] == first[1]


def test_buckets_need_less_padding():
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    xs = ragged(lengths)

    def waste(bucket):
        loader = DataLoader(xs, batch_size=16, shuffle=True, bucket=bucket, rng=0)
        return sum(x.size for x, _ in loader) / lengths.sum() - 1

    assert waste(0) > 0.8
    assert waste(5) < 0.25
    assert waste(100) < 0.05
    firsts = [
        next(iter(DataLoader(xs, batch_size=16, shuffle=True, bucket=5, rng=s)))[1].max()
        for s in range(8)
    ]
    assert len(set(firsts)) > 4  # the short ones do not always come first


def test_examples_without_sequences():
    loader = DataLoader(np.eye(5), [3, 1, 4, 1, 5], batch_size=2, drop_last=True)
    batches = list(loader)
    assert len(batches) == len(loader) == 2
    np.testing.assert_array_equal(batches[1][0], np.eye(5)[2:4])
    np.testing.assert_array_equal(batches[1][1], [4, 1])
    assert list(DataLoader(np.zeros((0, 3)), batch_size=2)) == []


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DataLoader(), ValueError, "expected data"),
        (lambda: DataLoader([1], batch_size=0), ValueError, "batch_size of at least 1"),
        (lambda: DataLoader([1], bucket=2), ValueError, "there are no sequences"),
        (lambda: DataLoader([1, 2], [1]), ValueError, "has 2 examples, member 1 has 1"),
        (lambda: DataLoader(3.0), ValueError, "member 0 has no axis"),
        (lambda: DataLoader([[1], [[2]]]), ValueError, r"as sequence 1, \(1, 1\)"),
        (
            lambda: DataLoader([[1], [2, 3]], [[1], [2]]),
            ValueError,
            "example 1 has sequences of 2 and of 1 steps",
        ),
        (
            lambda: DataLoader(np.ones((2, 3)), lengths=[3, 4]),
            ValueError,
            "member 0: expected lengths from 1 to T = 3, got 4 for sequence 1",
        ),
        (lambda: DataLoader(np.ones((2, 3)), lengths=[0, 1]), ValueError, "of at least 1, got 0"),
        (lambda: DataLoader(np.ones((2, 3)), lengths=[1]), ValueError, r"got \(1,\)"),
        (lambda: DataLoader(np.ones((2, 3)), lengths=[1.0, 2.0]), TypeError, "integers"),
    ],
)
def test_data_that_do_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_manual_is_a_long_text_of_many_lines():
    text = python_manual()
    assert len(text) > 100_000
    assert text.count("\n") > 1000
    assert 'The "assert" statement' in text
