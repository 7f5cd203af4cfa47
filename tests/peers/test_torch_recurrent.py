"""RNN, LSTM and GRU beside torch.nn's, in float64: 150 random configurations.

Outputs, final states and the gradients of every parameter, of x and of the initial states, to a
relative 1e-9, unrolled and not; sequences of several lengths against PyTorch's packed ones.
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

CONFIGURATIONS = 150


def configuration(seed):
    """A kind of layer, its arguments, and the sizes of what it is run on."""
    rng = np.random.default_rng(seed)
    kind = ("RNN", "LSTM", "GRU")[seed % 3]
    sizes = [int(n) for n in rng.integers(1, 6, 2)]
    layers = int(rng.integers(1, 4))
    keywords = {
        "num_layers": layers,
        "bias": bool(rng.integers(4)),
        "batch_first": bool(rng.integers(2)),
        "bidirectional": bool(rng.integers(2)),
        # Their random numbers are not ours: only what dropout does without any can be compared.
        "dropout": float(rng.choice([0.0, 0.5, 1.0])) if layers > 1 else 0.0,
    }
    if kind == "RNN":
        keywords["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    if kind == "LSTM" and sizes[1] > 1 and rng.integers(2):
        keywords["proj_size"] = int(rng.integers(1, sizes[1]))
    training = keywords["dropout"] != 0.5
    T = int(rng.integers(1, 8))
    N = int(rng.integers(1, 5)) if rng.integers(4) else None
    lengths = rng.integers(1, T + 1, N) if N and rng.integers(3) else None
    return kind, sizes, keywords, training, T, N, lengths, bool(rng.integers(3)), rng


def twins(kind, sizes, keywords, training, seed):
    ours = getattr(nn, kind)(*sizes, **keywords, dtype=np.float64, rng=seed).train(training)
    theirs = getattr(torch.nn, kind)(*sizes, **keywords, dtype=torch.float64).train(training)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return ours, theirs


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def same(ours, theirs, what):
    theirs = np.zeros(np.shape(ours)) if theirs is None else theirs.detach().numpy()
    np.testing.assert_allclose(
        ours, theirs, rtol=1e-9, atol=1e-12 * abs(theirs).max(initial=1e-3), err_msg=what
    )


def run_theirs(layer, x, state, lengths, T):
    """PyTorch's packed sequences do what ``lengths`` does."""
    state = (state if len(state) > 1 else state[0]) if state else None
    if lengths is None:
        return layer(x, state)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        x, torch.tensor(lengths), batch_first=layer.batch_first, enforce_sorted=False
    )
    y, state = layer(packed, state)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=layer.batch_first, total_length=T)
    return y, state


@pytest.mark.parametrize("seed", range(CONFIGURATIONS))
def test_a_random_configuration(seed):
    kind, sizes, keywords, training, T, N, lengths, with_state, rng = configuration(seed)
    ours, theirs = twins(kind, sizes, keywords, training, seed)
    batch = () if N is None else (N,)
    x = rng.standard_normal((T, *batch, sizes[0]))
    if keywords["batch_first"] and N is not None:
        x = np.ascontiguousarray(x.swapaxes(0, 1))
    count = keywords["num_layers"] * (1 + keywords["bidirectional"])
    lengths_of_states = [keywords.get("proj_size") or sizes[1], sizes[1]][: 1 + (kind == "LSTM")]
    states = [rng.standard_normal((count, *batch, n)) for n in lengths_of_states]
    arrays = [x, *states] if with_state else [x]

    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    their_y, their_state = run_theirs(theirs, others[0], tuple(others[1:]), lengths, T)
    weights = [rng.standard_normal(tuple(y.shape)) for y in (their_y, *as_tuple(their_state))]
    sum(
        (y * torch.tensor(w)).sum()
        for y, w in zip((their_y, *as_tuple(their_state)), weights, strict=True)
    ).backward()

    for unroll in (False, True):
        ours.zero_grad()
        mine = [tg.Tensor(a, requires_grad=True) for a in arrays]
        given = None if not with_state else tuple(mine[1:]) if kind == "LSTM" else mine[1]
        y, state = ours(mine[0], given, lengths=lengths, unroll=unroll)
        same(y.numpy(), their_y, "y")
        for a, b in zip(as_tuple(state), as_tuple(their_state), strict=True):
            same(a.numpy(), b, "final state")
        sum(
            ((out * w).sum() for out, w in zip((y, *as_tuple(state)), weights, strict=True)),
            tg.Tensor(0.0),
        ).backward()
        for name, parameter in theirs.named_parameters():
            same(dict(ours.named_parameters())[name].grad, parameter.grad, name)
        for name, a, b in zip(("x", "h_0", "c_0"), mine, others, strict=False):
            same(a.grad, b.grad, name)


def test_the_configurations_cover_every_option():
    drawn = [configuration(seed) for seed in range(CONFIGURATIONS)]
    for kind in ("RNN", "LSTM", "GRU"):
        some = [d for d in drawn if d[0] == kind]
        for option in ("bias", "batch_first", "bidirectional"):
            assert {d[2][option] for d in some} == {True, False}
        assert {d[2]["num_layers"] for d in some} == {1, 2, 3}
        assert {d[5] is None for d in some} == {True, False}
        assert sum(d[6] is not None for d in some) > 10
    assert sum("proj_size" in d[2] for d in drawn) > 10


def test_gru_cells_over_several_steps():
    for bias in (True, False):
        ours = nn.GRUCell(3, 4, bias, dtype=np.float64, rng=0)
        theirs = torch.nn.GRUCell(3, 4, bias, dtype=torch.float64)
        theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
        xs = np.random.default_rng(0).standard_normal((5, 2, 3))
        h, g = None, None
        for x in xs:
            h, g = ours(x, h), theirs(torch.tensor(x), g)
        same(h.numpy(), g, "h")
        (h * h).sum().backward()
        (g * g).sum().backward()
        for name, parameter in theirs.named_parameters():
            same(dict(ours.named_parameters())[name].grad, parameter.grad, name)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_first_values_have_their_distribution(kind):
    torch.manual_seed(0)
    ours = getattr(nn, kind)(30, 40, 2, bidirectional=True, rng=0).state_dict()
    theirs = getattr(torch.nn, kind)(30, 40, 2, bidirectional=True).state_dict()
    bound = 1 / np.sqrt(40)
    for name, array in ours.items():
        assert array.shape == tuple(theirs[name].shape)
        assert array.dtype == np.float32
        for numbers in (array, theirs[name].numpy()):
            assert 0.8 * bound < abs(numbers).max() <= bound
            assert abs(numbers.mean()) < 0.3 * bound


def test_a_single_layer_with_dropout_warns_in_both():
    with pytest.warns(UserWarning, match="only one"):
        nn.GRU(2, 3, dropout=0.5)
    with pytest.warns(UserWarning, match="dropout"):
        torch.nn.GRU(2, 3, dropout=0.5)
