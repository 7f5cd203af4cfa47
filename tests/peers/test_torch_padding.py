"""Padding and packing beside PyTorch's, and recurrent layers that read packed batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import nn

torch = pytest.importorskip("torch")
theirs = torch.nn.utils.rnn
pytestmark = pytest.mark.peers

lengths = st.lists(st.integers(1, 5), min_size=1, max_size=5)


def both(sizes, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((size, 2)) for size in sizes]
    return arrays, [torch.tensor(a) for a in arrays]


def same_packed(ours, other):
    np.testing.assert_array_equal(np.asarray(ours.data), other.data.numpy())
    np.testing.assert_array_equal(ours.batch_sizes, other.batch_sizes.numpy())


@given(lengths, st.booleans(), st.sampled_from(["left", "right"]))
def test_padding(sizes, batch_first, side):
    arrays, tensors = both(sizes)
    ours = nn.pad_sequence(arrays, batch_first, 0.5, side)
    other = theirs.pad_sequence(tensors, batch_first, 0.5, side)
    np.testing.assert_array_equal(ours, other.numpy())
    if side == "right":
        back = theirs.unpad_sequence(other, torch.tensor(sizes), batch_first)
        for x, y in zip(nn.unpad_sequence(ours, sizes, batch_first), back, strict=True):
            np.testing.assert_array_equal(x, y.numpy())


@given(lengths, st.booleans(), st.integers(0, 2))
def test_packing(sizes, batch_first, more):
    arrays, tensors = both(sorted(sizes, reverse=True))
    same_packed(nn.pack_sequence(arrays), theirs.pack_sequence(tensors))
    arrays, tensors = both(sizes)
    padded = nn.pad_sequence(arrays, batch_first)
    ours = nn.pack_padded_sequence(padded, sizes, batch_first, enforce_sorted=False)
    other = theirs.pack_padded_sequence(
        torch.tensor(padded), torch.tensor(sizes), batch_first, enforce_sorted=False
    )
    if len(set(sizes)) == len(sizes):  # equal lengths may be sorted either way
        same_packed(ours, other)
    total = max(sizes) + more
    mine, back = nn.pad_packed_sequence(ours, batch_first, -1.0, total)
    reference, sizes_back = theirs.pad_packed_sequence(other, batch_first, -1.0, total)
    np.testing.assert_array_equal(mine, reference.numpy())
    np.testing.assert_array_equal(back, sizes_back.numpy())


@given(lengths, st.sampled_from(["RNN", "LSTM", "GRU"]), st.booleans(), st.booleans())
def test_layers_read_packed_batches(sizes, kind, bidirectional, batch_first):
    keywords = {"bidirectional": bidirectional, "batch_first": batch_first, "num_layers": 2}
    ours = getattr(nn, kind)(2, 3, dtype=np.float64, rng=0, **keywords)
    other = getattr(torch.nn, kind)(2, 3, dtype=torch.float64, **keywords)
    other.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    arrays, tensors = both(sizes)
    rows = 4 if bidirectional else 2
    h = np.random.default_rng(1).standard_normal((rows, len(sizes), 3))
    state = (h, h / 2) if kind == "LSTM" else h
    reference_state = (torch.tensor(h), torch.tensor(h / 2)) if kind == "LSTM" else torch.tensor(h)
    y, last = ours(nn.pack_sequence(arrays, enforce_sorted=False), state)
    z, end = other(theirs.pack_sequence(tensors, enforce_sorted=False), reference_state)
    for x, reference in zip(nn.unpack_sequence(y), theirs.unpack_sequence(z), strict=True):
        np.testing.assert_allclose(x.data, reference.detach().numpy(), rtol=1e-9, atol=1e-12)
    pairs = zip(last, end, strict=True) if kind == "LSTM" else [(last, end)]
    for x, reference in pairs:
        np.testing.assert_allclose(x.data, reference.detach().numpy(), rtol=1e-9, atol=1e-12)
    y.data.sum().backward()
    z.data.sum().backward()
    for p, q in zip(ours.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-8, atol=1e-10)
