"""Layers, cells and cross_entropy beside PyTorch's: values and gradients, in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

sizes = st.integers(1, 5)
seeds = st.integers(0, 999)


def twins(kind, *sizes, seed, **keywords):
    """A module of ours and PyTorch's with the weights that ours started with."""
    ours = getattr(nn, kind)(*sizes, dtype=np.float64, rng=seed, **keywords)
    theirs = getattr(torch.nn, kind)(*sizes, dtype=torch.float64, **keywords)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    return ours, theirs


def same(ours, theirs):
    theirs = theirs.detach().numpy() if theirs is not None else None
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def same_gradients(ours, theirs):
    mine, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(mine) == list(others)
    for name, parameter in mine.items():
        same(parameter.grad, others[name].grad)


def test_a_state_dict_of_theirs_loads_unchanged():
    for kind, sizes in (("Linear", (3, 2)), ("Embedding", (3, 2)), ("LSTMCell", (3, 2))):
        ours, theirs = twins(kind, *sizes, seed=0)
        fresh = getattr(torch.nn, kind)(*sizes)
        ours.load_state_dict({name: tensor.numpy() for name, tensor in fresh.state_dict().items()})
        ours.load_state_dict(theirs.state_dict())
        same(next(ours.parameters()).data, next(theirs.parameters()))


@given(sizes, sizes, st.sampled_from([(), (0,), (3,)]), st.booleans(), seeds)
def test_cells_over_several_steps(D, H, batch, bias, seed):
    rng = np.random.default_rng(seed)
    xs = rng.standard_normal((4, *batch, D))
    for kind, keywords in (
        ("LSTMCell", {}),
        ("RNNCell", {}),
        ("RNNCell", {"nonlinearity": "relu"}),
    ):
        ours, theirs = twins(kind, D, H, seed=seed, bias=bias, **keywords)
        lstm = kind == "LSTMCell"
        first = [rng.standard_normal((*batch, H)) for _ in range(1 + lstm)]
        mine = [tg.Tensor(a, requires_grad=True) for a in (xs, *first)]
        others = [torch.tensor(a, requires_grad=True) for a in (xs, *first)]
        ends = []
        for cell, (x, *state) in ((ours, mine), (theirs, others)):
            state = tuple(state) if lstm else state[0]
            for t in range(4):
                state = cell(x[t], state)
            ends.append(state if lstm else (state,))
            sum((y * y * (k + 1)).sum() for k, y in enumerate(ends[-1])).backward()
        for a, b in zip(*ends, strict=True):
            same(a.numpy(), b)
        same_gradients(ours, theirs)
        for a, b in zip(mine, others, strict=True):
            same(a.grad, b.grad)


@given(
    st.lists(st.integers(1, 3), max_size=3).map(tuple),
    st.integers(1, 5),
    st.sampled_from(["none", "sum", "mean"]),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from(["indices", "probabilities"]),
    st.sampled_from([1.0, 1000.0]),
    seeds,
)
def test_cross_entropy(batch, classes, reduction, weighted, smoothing, kind, scale, seed):
    rng = np.random.default_rng(seed)
    shape = (*batch[:1], classes, *batch[1:])
    logits = rng.standard_normal(shape) * scale
    weight = rng.uniform(0.5, 2, classes) if weighted else None
    if kind == "indices":
        target = rng.integers(0, classes, batch)
        target = np.where(rng.random(batch) < 0.2, -100, target)
    else:
        target = rng.uniform(0, 1, shape)
    x, y = tg.Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    settings = {"reduction": reduction, "label_smoothing": smoothing}
    ours = nn.cross_entropy(x, target, weight, **settings)
    theirs = torch.nn.functional.cross_entropy(
        y, torch.tensor(target), None if weight is None else torch.tensor(weight), **settings
    )
    same(ours.numpy(), theirs)
    ours.sum().backward()
    theirs.sum().backward()
    if np.isfinite(theirs.detach().numpy()).all():  # the mean of nothing is NaN in both
        np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=1e-9, atol=1e-12 * scale)


# ── cross_entropy's corners ──────────────────────────────────────────────────────────────


@given(
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.integers(1, 5),
    st.sampled_from(["none", "sum", "mean"]),
    st.sampled_from([None, "positive", "some zero"]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([-100, -1, 0, 3]),
    st.sampled_from([0.0, 0.5, 1.0]),
    seeds,
)
def test_cross_entropy_ignores_and_differentiates_twice_alike(
    batch, classes, reduction, weights, smoothing, ignored, share, seed
):
    """Any ignore_index, a class's own too; no target left, no batch; weights of 0; 2nd order."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((*batch[:1], classes, *batch[1:]))
    weight = None if weights is None else rng.uniform(0.5, 2, classes)
    if weights == "some zero":
        weight[rng.random(classes) < 0.5] = 0
    target = np.where(rng.random(batch) < share, ignored, rng.integers(0, classes, batch))
    settings = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignored}
    x, y = tg.Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    ours = nn.cross_entropy(x, target, weight, **settings)
    theirs = torch.nn.functional.cross_entropy(
        y, torch.tensor(target), None if weight is None else torch.tensor(weight), **settings
    )
    same(ours.numpy(), theirs)
    if not np.isfinite(theirs.detach().numpy()).all():  # the mean of nothing is NaN in both
        return
    first = tg.grad((ours * ours).sum(), x, create_graph=True)
    (other,) = torch.autograd.grad((theirs * theirs).sum(), y, create_graph=True)
    same(first.numpy(), other)
    second = tg.grad((first * first).sum(), x)
    (again,) = torch.autograd.grad((other * other).sum(), y)
    same(second.numpy(), again)


@given(
    st.lists(st.integers(1, 3), max_size=3).map(tuple),
    st.integers(1, 4),
    st.sampled_from(["none", "sum", "mean"]),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
    seeds,
)
def test_cross_entropy_differentiates_for_probabilities_too(
    batch, classes, reduction, weighted, smoothing, seed
):
    rng = np.random.default_rng(seed)
    shape = (*batch[:1], classes, *batch[1:])
    arrays = rng.standard_normal(shape), rng.uniform(0, 1, shape)
    weight = rng.uniform(0.5, 2, classes) if weighted else None
    settings = {"reduction": reduction, "label_smoothing": smoothing}
    mine = [tg.Tensor(a, requires_grad=True) for a in arrays]
    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    ours = nn.cross_entropy(*mine, weight, **settings)
    theirs = torch.nn.functional.cross_entropy(
        *others, None if weight is None else torch.tensor(weight), **settings
    )
    same(ours.numpy(), theirs)
    (ours * ours).sum().backward()
    (theirs * theirs).sum().backward()
    for a, b in zip(mine, others, strict=True):
        same(a.grad, b.grad)


# ── the other losses ─────────────────────────────────────────────────────────────────────


@given(
    st.sampled_from(["mse_loss", "binary_cross_entropy_with_logits"]),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.sampled_from(["none", "sum", "mean"]),
    st.sampled_from([1.0, 1000.0]),
    seeds,
)
def test_losses_of_numbers(name, shape, reduction, scale, seed):
    rng = np.random.default_rng(seed)
    target = rng.uniform(0, 1, shape) if rng.random() < 0.5 else rng.integers(0, 2, shape) * 1.0
    arrays = rng.standard_normal(shape) * scale, target
    mine = [tg.Tensor(a, requires_grad=True) for a in arrays]
    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    ours = getattr(nn, name)(*mine, reduction)
    theirs = getattr(torch.nn.functional, name)(*others, reduction=reduction)
    # theirs is a difference of numbers as large as the logits
    np.testing.assert_allclose(ours.numpy(), theirs.detach(), rtol=1e-9, atol=1e-13 * scale)
    if theirs.detach().isfinite().all():
        ours.sum().backward()
        theirs.sum().backward()
        for a, b in zip(mine, others, strict=True):
            np.testing.assert_allclose(a.grad, b.grad, rtol=1e-9, atol=1e-13 * scale)


# ── layers ───────────────────────────────────────────────────────────────────────────────


def same_layer(ours, theirs, x, seed):
    """Values, and the gradients for x and for every parameter, under one random cotangent."""
    a, b = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    same(y.numpy(), z)
    g = np.random.default_rng(seed).standard_normal(y.shape)
    y.backward(g)
    z.backward(torch.tensor(g))
    same(a.grad, b.grad)
    same_gradients(ours, theirs)


two = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2)),
    two,
    st.integers(1, 3) | two,
    st.integers(0, 2) | st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.integers(1, 2) | two,
    st.booleans(),
    st.sampled_from([(), (1,), (3,)]),
    seeds,
)
def test_conv2d(channels, kernel, stride, padding, dilation, bias, batch, seed):
    C, H, groups = channels
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    ours, theirs = twins("Conv2d", C * groups, H * groups, kernel, bias=bias, seed=seed, **how)
    x = np.random.default_rng(seed).standard_normal((*batch, C * groups, 8, 9))
    same_layer(ours, theirs, x, seed)


@given(
    st.lists(st.integers(1, 4), max_size=2),
    st.integers(1, 4) | st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple),
    st.sampled_from([1e-5, 0.1]),
    st.booleans(),
    st.booleans(),
    seeds,
)
def test_layer_norm(lead, shape, eps, affine, bias, seed):
    settings = {"eps": eps, "elementwise_affine": affine, "bias": bias}
    ours = nn.LayerNorm(shape, dtype=np.float64, **settings)
    theirs = torch.nn.LayerNorm(shape, dtype=torch.float64, **settings)
    for name, array in ours.state_dict().items():  # the first values are theirs
        same(array, theirs.state_dict()[name])
    rng = np.random.default_rng(seed)
    state = {name: rng.standard_normal(a.shape) for name, a in ours.state_dict().items()}
    ours.load_state_dict(state)
    theirs.load_state_dict({name: torch.tensor(a) for name, a in state.items()})
    x = rng.standard_normal((*lead, *ours.normalized_shape)) * 3 + 1
    same_layer(ours, theirs, x, seed)


def test_sequential_has_their_names_slices_too():
    def build(library, dtype, **settings):
        kinds = library.Linear, library.LayerNorm, library.Conv2d
        first, norm, conv = (
            kind(*sizes, dtype=dtype, **settings)
            for kind, sizes in zip(kinds, [(4, 5), (5,), (2, 3, 2)], strict=True)
        )
        tanh = tg.tanh if library is nn else torch.nn.Tanh()
        return library.Sequential(library.Sequential(first, tanh, norm), library.Dropout(0.5), conv)

    ours, theirs = build(nn, np.float64), build(torch.nn, torch.float64)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    assert [*ours[1:].state_dict()] == [*theirs[1:].state_dict()]
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    same_layer(ours.eval(), theirs.eval(), x, 0)
    same_layer(ours[:2], theirs[:2], x, 0)


@given(st.sampled_from([0.0, 0.3, 1.0]), st.booleans(), seeds)
def test_dropout(p, training, seed):
    """Their masks come from another generator: ours, applied there, gives the same."""
    x = np.random.default_rng(seed).standard_normal((3, 4))
    layer = nn.Dropout(p, rng=seed).train(training)
    theirs = torch.nn.Dropout(p).train(training)
    a, b = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = layer(a)
    kept = torch.tensor(y.numpy() != 0)
    z = torch.where(kept, b / (1 - p), 0.0) if training and 0 < p < 1 else theirs(b)
    same(y.numpy(), z)
    y.sum().backward()
    z.sum().backward()
    same(a.grad, b.grad)
    scales = {0.0, *theirs(torch.ones(1000)).unique().tolist()}
    assert {float(n) for n in layer(np.ones(1000, np.float32))} <= scales


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("Linear", (50, 300)),
        ("Conv2d", (10, 300, (3, 2))),
        ("Embedding", (100, 300)),
    ],
)
def test_first_values_have_their_distribution(kind, sizes):
    """The same spread and, for uniform ones, the same bound."""
    ours, theirs = getattr(nn, kind)(*sizes, rng=0), getattr(torch.nn, kind)(*sizes)
    for name, parameter in ours.named_parameters():
        a, b = parameter.data, dict(theirs.named_parameters())[name].detach().numpy()
        assert a.shape == b.shape
        # The weights have 15000 elements or more, the biases 300.
        near = 0.05 if a.ndim > 1 else 0.2
        assert a.std() == pytest.approx(b.std(), rel=near)
        assert abs(a).max() == pytest.approx(abs(b).max(), rel=0.5 if kind == "Embedding" else near)


# ── attention ────────────────────────────────────────────────────────────────────────────


@given(
    st.sampled_from(["dot", "general", "additive"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.tuples(*[st.integers(1, 4)] * 6),
    seeds,
)
def test_attention(kind, scaled, batched, masked, dimensions, seed):
    """dot and general are their scaled_dot_product_attention; additive is written out."""
    N, L, T, Q, K, V = dimensions
    K = Q if kind == "dot" else K
    scaled = scaled and kind != "additive"
    rng = np.random.default_rng(seed)
    batch = (N,) if batched else ()
    layer = nn.Attention(Q, K, kind, scaled=scaled, dtype=np.float64, rng=seed)
    shapes = (*batch, L, Q), (*batch, T, K), (*batch, T, V)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    mask = None
    if masked:
        mask = rng.random((*batch, T)) < 0.6
        mask[..., -1] = True
    mine = [tg.Tensor(a, requires_grad=True) for a in arrays]
    others = [torch.tensor(a, requires_grad=True) for a in arrays]
    weights = [torch.tensor(p.numpy(), requires_grad=True) for p in layer.parameters()]
    context, alignment = layer(*mine, mask)

    query, keys, values = others
    allowed = torch.tensor(np.ones((*batch, T), bool) if mask is None else mask).unsqueeze(-2)
    if kind == "additive":
        W_q, W_k, v = weights
        hidden = torch.tanh((query @ W_q.T).unsqueeze(-2) + (keys @ W_k.T).unsqueeze(-3))
        expected_alignment = torch.softmax((hidden @ v).masked_fill(~allowed, -torch.inf), -1)
        expected = expected_alignment @ values
        same(alignment.numpy(), expected_alignment)
    else:
        expected = torch.nn.functional.scaled_dot_product_attention(
            query,
            keys if kind == "dot" else keys @ weights[0].T,
            values,
            attn_mask=allowed.expand(*batch, L, T),
            scale=Q**-0.5 if scaled else 1.0,
        )
    same(context.numpy(), expected)
    g = rng.standard_normal(context.shape)
    context.backward(g)
    expected.backward(torch.tensor(g))
    for a, b in zip([*mine, *layer.parameters()], [*others, *weights], strict=True):
        same(a.grad, b.grad)


# ── activations, batch norm, padding, losses ─────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.Tanh(), torch.nn.Tanh()),
        (nn.ReLU(), torch.nn.ReLU()),
        (nn.Sigmoid(), torch.nn.Sigmoid()),
        (nn.GELU(), torch.nn.GELU()),
        (nn.GELU("tanh"), torch.nn.GELU("tanh")),
        (nn.Flatten(), torch.nn.Flatten()),
        (nn.Flatten(0, 1), torch.nn.Flatten(0, 1)),
    ],
    ids=str,
)
def test_activations(ours, theirs):
    x = np.concatenate([np.random.default_rng(0).standard_normal((6, 4)) * 3, [[0, -9, 9, 40]]])
    same_layer(ours, theirs, x.reshape(7, 2, 2), 0)


@given(
    st.sampled_from([(5, 3), (2, 3), (4, 3, 2), (1, 3, 2)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.1, 0.7, None]),
    seeds,
)
def test_batch_norm(shape, affine, track, momentum, seed):
    settings = {"affine": affine, "track_running_stats": track, "momentum": momentum}
    ours = nn.BatchNorm1d(3, dtype=np.float64, **settings)
    theirs = torch.nn.BatchNorm1d(3, dtype=torch.float64, **settings)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    rng = np.random.default_rng(seed)
    if affine:
        ours.weight.data, ours.bias.data = rng.standard_normal((2, 3))
        theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    for training in (True, True, False, True):
        x = rng.standard_normal(shape) * 3 + 1
        ours.zero_grad()
        theirs.zero_grad()
        same_layer(ours.train(training), theirs.train(training), x, seed)
        for name, array in ours.state_dict().items():
            same(array, theirs.state_dict()[name])


@given(st.sampled_from([None, 0, 3, -1]), seeds)
def test_embedding_with_padding(padding_idx, seed):
    ours, theirs = twins("Embedding", 5, 3, seed=seed, padding_idx=padding_idx)
    assert ours.padding_idx == theirs.padding_idx
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 5, (4, 3))
    y, z = ours(ids), theirs(torch.tensor(ids))
    same(y.data, z)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    z.backward(torch.tensor(g))
    same_gradients(ours, theirs)


LOSSES = {
    "l1_loss": [{}],
    "huber_loss": [{}, {"delta": 0.3}],
    "binary_cross_entropy": [{}],
    "nll_loss": [{}, {"ignore_index": 1}, {"weight": [0.5, 1.0, 2.0]}],
}


@pytest.mark.parametrize(("name", "settings"), [(n, s) for n, each in LOSSES.items() for s in each])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 3, 4), (0, 3)])
def test_more_losses(name, settings, reduction, shape):
    rng = np.random.default_rng(0)
    classes = name == "nll_loss"
    x = rng.uniform(0, 1, shape) if name == "binary_cross_entropy" else rng.standard_normal(shape)
    y = rng.uniform(0, 1, shape)
    if name == "binary_cross_entropy" and x.size:
        x.flat[:2], y.flat[:2] = (0.0, 1.0), (1.0, 0.25)  # certain, and wrong
    if name in ("l1_loss", "huber_loss") and x.size:
        y.flat[0] = x.flat[0]  # the kink
        y.flat[1] = x.flat[1] + 0.3
    if classes:
        y = rng.integers(0, 3, (*shape[:1], *shape[2:]) if len(shape) > 1 else ())
    a, b = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    others = dict(settings)
    if "weight" in others:
        others["weight"] = torch.tensor(others["weight"], dtype=torch.float64)
    target = y if classes else tg.Tensor(y, requires_grad=True)
    other = torch.tensor(y, requires_grad=not classes)
    loss = getattr(nn, name)(a, target, reduction=reduction, **settings)
    reference = getattr(torch.nn.functional, name)(b, other, reduction=reduction, **others)
    same(loss.data, reference)
    g = rng.standard_normal(loss.shape)
    loss.backward(g)
    reference.backward(torch.tensor(g))
    # Their 1e-12, by which a certain prediction's gradient is divided, is a float32.
    np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-8, atol=1e-12)
    if not classes:
        # Where a prediction is certain, theirs for the target is infinite: ours keeps the bound of
        # 100 nats that both losses have.
        finite = np.isfinite(other.grad.numpy())
        assert finite.all() or name == "binary_cross_entropy"
        same(target.grad[finite], other.grad[finite])
