"""Whole modules from PyTorch and to it: the same outputs and gradients, both ways."""

import copy

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers
T = torch.nn
rng = np.random.default_rng(0)

X = rng.standard_normal((5, 2, 3))  # (T, N, D)
FLAT = rng.standard_normal((6, 3))
IMAGE = rng.standard_normal((2, 2, 6, 5))
IDS = rng.integers(0, 7, (4, 2))

LAYERS = [
    (lambda: T.Linear(3, 4), FLAT),
    (lambda: T.Linear(3, 4, bias=False), FLAT),
    (lambda: T.Embedding(7, 3), IDS),
    (lambda: T.Embedding(7, 3, padding_idx=2), IDS),
    (lambda: T.Conv2d(2, 4, (3, 2), stride=2, padding=(1, 0), dilation=(1, 2), groups=2), IMAGE),
    (lambda: T.Conv2d(2, 4, 3, bias=False), IMAGE),
    (lambda: T.LayerNorm(3), FLAT),
    (lambda: T.LayerNorm((2, 3), eps=1e-3, bias=False), X),
    (lambda: T.Sequential(T.LayerNorm(3, elementwise_affine=False), T.Linear(3, 2)), FLAT),
    (lambda: T.BatchNorm1d(3, momentum=0.3), FLAT),
    (
        lambda: T.Sequential(
            T.BatchNorm1d(3, affine=False, track_running_stats=False), T.Linear(3, 2)
        ),
        FLAT,
    ),
    (lambda: T.Tanh(), FLAT),
    (lambda: T.ReLU(), FLAT),
    (lambda: T.Sigmoid(), FLAT),
    (lambda: T.GELU(), FLAT),
    (lambda: T.GELU("tanh"), FLAT),
    (lambda: T.Flatten(), X),
    (lambda: T.Dropout(0.3).eval(), FLAT),
    (lambda: T.RNNCell(3, 4, nonlinearity="relu"), FLAT),
    (lambda: T.LSTMCell(3, 4), FLAT),
    (lambda: T.GRUCell(3, 4, bias=False), FLAT),
    (lambda: T.RNN(3, 4, 2, nonlinearity="relu", bidirectional=True), X),
    (lambda: T.LSTM(3, 4, 2, batch_first=True, proj_size=2), X),
    (lambda: T.LSTM(3, 4, bias=False), X),
    (lambda: T.GRU(3, 4, 2, bidirectional=True), X),
    (
        lambda: T.Sequential(
            T.Linear(3, 5), T.Tanh(), T.Sequential(T.LayerNorm(5), T.Dropout(0.2)), T.Linear(5, 2)
        ).eval(),
        FLAT,
    ),
]


def outputs(y):
    return [part for each in y for part in outputs(each)] if isinstance(y, tuple) else [y]


def same(ours, theirs, x):
    a, b = (
        (x, torch.tensor(x))
        if x.dtype == int
        else (
            tg.Tensor(x, requires_grad=True),
            torch.tensor(x, requires_grad=True),
        )
    )
    mine, other = outputs(ours(a)), outputs(theirs(b))
    assert len(mine) == len(other)
    for y, z in zip(mine, other, strict=True):
        np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-9, atol=1e-11)
    total = sum(((y * y).sum() for y in mine), tg.Tensor(0.0))
    reference = sum((z * z).sum() for z in other)
    for p in theirs.parameters():
        p.grad = None
    ours.zero_grad()
    total.backward()
    reference.backward()
    grads = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad, grads[name].grad.numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "x"), LAYERS, ids=lambda case: str(case())[:40] if callable(case) else ""
)
def test_there_and_back(make, x):
    theirs = make().to(torch.float64)
    ours = tg.from_torch(theirs)
    assert type(ours).__name__ == type(theirs).__name__
    assert ours.training == theirs.training
    if list(theirs.parameters()):
        assert next(ours.parameters()).dtype == np.float64
    same(ours, copy.deepcopy(theirs), x)
    back = tg.to_torch(tg.from_torch(theirs))
    assert str(back) == str(theirs)
    assert list(back.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], value)
        assert back.state_dict()[name].dtype == value.dtype


def test_what_is_shared_frozen_or_used_stays_so():
    theirs = T.Sequential(T.Linear(3, 3), T.Linear(3, 3), T.BatchNorm1d(3))
    theirs[1].weight = theirs[0].weight
    theirs[0].bias.requires_grad_(False)
    theirs[2].eval()
    theirs(torch.randn(5, 3))
    ours = tg.from_torch(theirs)
    assert ours[1].weight is ours[0].weight
    assert [name for name, p in ours.named_parameters() if not p.requires_grad] == ["0.bias"]
    assert (ours.training, ours[2].training) == (True, False)
    again = tg.to_torch(ours)
    assert again[1].weight is again[0].weight
    assert not again[0].bias.requires_grad
    assert (again.training, again[2].training) == (True, False)
    one = T.Tanh()
    twice = tg.from_torch(T.Sequential(one, T.Linear(2, 2), one))
    assert twice[0] is twice[2]


def test_lists_dicts_and_functions():
    theirs = T.ModuleDict({"a": T.ModuleList([T.Linear(2, 2), T.Linear(2, 3)]), "b": T.ReLU()})
    ours = tg.from_torch(theirs)
    assert isinstance(ours, nn.ModuleDict)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert str(tg.to_torch(ours)) == str(theirs)
    chain = nn.Sequential(nn.Linear(3, 2, rng=0), tg.tanh, tg.sigmoid, tg.relu)
    x = FLAT.astype(np.float32)
    np.testing.assert_allclose(
        tg.to_torch(chain)(torch.tensor(x)).detach().numpy(), chain(x).data, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_half_precision_becomes_float32(dtype):
    theirs = T.Linear(3, 2).to(getattr(torch, dtype))
    ours = tg.from_torch(theirs)
    assert ours.weight.dtype == np.float32
    np.testing.assert_array_equal(ours.weight.data, theirs.weight.float().detach().numpy())


class Custom(T.Module):
    pass


class OurCustom(nn.Module):
    pass


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: tg.from_torch(T.Sequential(T.Linear(2, 2), T.Softplus())),
            TypeError,
            r"from_torch: this library has no Softplus \(at 1\)",
        ),
        (lambda: tg.from_torch(Custom()), TypeError, "this library has no Custom"),
        (
            lambda: tg.from_torch(T.Conv2d(1, 1, 2, padding_mode="circular")),
            ValueError,
            "padding_mode='circular' does not exist in this library",
        ),
        (lambda: tg.from_torch(T.Embedding(3, 2, max_norm=1.0)), ValueError, "max_norm=1.0"),
        (lambda: tg.to_torch(OurCustom()), TypeError, "PyTorch has no OurCustom"),
        (lambda: tg.to_torch(nn.Sequential(nn.Tanh(), tg.exp)), TypeError, r"\(at 1\)"),
        (lambda: tg.to_torch(nn.LSTM(2, 2, peepholes=True)), ValueError, "peepholes=True"),
        (lambda: tg.to_torch(nn.GRU(2, 2, reset_after=False)), ValueError, "reset_after=False"),
        (lambda: tg.to_torch(nn.Attention(2)), TypeError, "PyTorch has no Attention"),
    ],
)
def test_what_the_other_does_not_have(call, error, message):
    with pytest.raises(error, match=message):
        call()
