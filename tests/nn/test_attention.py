"""Attention: its definition, masks, gradients, the draws of the hard kind, and what it refuses."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import graph, nn

from .functional import as_function

KINDS = ["dot", "general", "additive"]
each_kind = pytest.mark.parametrize("kind", KINDS)
seeds = st.integers(0, 999)
sizes = st.integers(1, 4)


def make(kind, Q=3, K=2, *, seed=0, **settings):
    K = Q if kind == "dot" else K
    return nn.Attention(Q, K, kind, dtype=np.float64, rng=seed, **settings)


def arguments(layer, seed, N=2, T=4, V=None, L=None):
    """query, keys and values; without a batch where N is None, with one query where L is None."""
    rng = np.random.default_rng(seed)
    batch = () if N is None else (N,)
    queries = batch if L is None else (*batch, L)
    query = rng.standard_normal((*queries, layer.query_size))
    keys = rng.standard_normal((*batch, T, layer.key_size))
    return query, keys, None if V is None else rng.standard_normal((*batch, T, V))


def defined(layer, query, keys, values, readable):
    """The definition, for one query and one memory: context and weights."""
    scores = np.full(len(keys), -np.inf)
    for t in np.flatnonzero(readable):
        if layer.kind == "additive":
            hidden = layer.weight_query.data @ query + layer.weight_key.data @ keys[t]
            scores[t] = layer.weight_score.data @ np.tanh(hidden)
        else:
            key = keys[t] if layer.kind == "dot" else layer.weight.data @ keys[t]
            scores[t] = query @ key / (math.sqrt(layer.query_size) if layer.scaled else 1)
    e = np.exp(scores - scores.max())
    weights = e / e.sum()
    used = np.flatnonzero(weights)
    return sum(weights[t] * values[t] for t in used), weights


# ── soft ─────────────────────────────────────────────────────────────────────────────────


@given(
    st.sampled_from(KINDS),
    st.booleans(),
    st.none() | st.integers(0, 3),
    st.none() | st.integers(0, 3),
    st.none() | sizes,
    st.tuples(sizes, sizes, sizes, sizes),
    st.sampled_from(["nothing", "mask", "lengths", "both"]),
    seeds,
)
def test_it_is_its_definition(kind, scaled, N, L, V, dimensions, masked, seed):
    Q, K, T, A = dimensions
    extra = {"hidden_size": A} if kind == "additive" else {"scaled": scaled}
    layer = make(kind, Q, K, seed=seed, **extra)
    query, keys, values = arguments(layer, seed, N, T, V, L)
    rng = np.random.default_rng(seed)
    readable = np.ones(keys.shape[:-1], bool)
    settings = {}
    if masked in ("mask", "both"):
        readable = rng.random(readable.shape) < 0.6
        readable[..., 0] = True  # within every length
        settings["mask"] = readable
    if masked in ("lengths", "both") and N is not None:
        settings["lengths"] = lengths = rng.integers(1, T + 1, N)
        readable = readable & (np.arange(T) < lengths[:, None])
    context, weights = layer(query, keys, values, **settings)
    values = keys if values is None else values
    assert weights.shape == (*query.shape[:-1], T)
    assert context.shape == (*query.shape[:-1], values.shape[-1])
    for place in np.ndindex(query.shape[:-1]):
        row = place[:1] if N is not None else ()
        expected = defined(layer, query[place], keys[row], values[row], readable[row])
        np.testing.assert_allclose(context.numpy()[place], expected[0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(weights.numpy()[place], expected[1], rtol=1e-12, atol=1e-12)


@each_kind
def test_the_order_of_the_places_does_not_matter(kind):
    layer = make(kind)
    query, keys, values = arguments(layer, 0, T=6, V=3)
    order = np.random.default_rng(0).permutation(6)
    context, weights = layer(query, keys, values)
    moved_context, moved_weights = layer(query, keys[:, order], values[:, order])
    np.testing.assert_allclose(moved_context.numpy(), context.numpy(), rtol=1e-12)
    np.testing.assert_allclose(moved_weights.numpy(), weights.numpy()[:, order], rtol=1e-12)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1, rtol=1e-12)


@each_kind
@pytest.mark.parametrize("L", [None, 2])
def test_gradients(kind, L):
    layer = make(kind, scaled=kind != "additive")
    query, keys, values = arguments(layer, 1, V=2, L=L)
    for inputs, settings in (
        ([query, keys, values], {"lengths": [4, 2]}),
        ([query[0], keys[0]], {}),
    ):
        f, arrays = as_function(Settled(layer, settings), inputs)
        assert tg.testing.gradcheck(f, arrays)
        assert tg.testing.gradgradcheck(f, arrays)


class Settled(nn.Module):
    """An attention with its mask."""

    def __init__(self, attention, settings):
        self.attention, self.settings = attention, settings

    def forward(self, *inputs):
        context, *others = self.attention(*inputs, **self.settings)
        return context, others[-1]


@each_kind
@pytest.mark.parametrize("hard", [False, True])
def test_what_is_masked_reaches_nothing(kind, hard):
    """Not even NaN does: values and gradients are those with other numbers there, to the bit."""
    query, keys, values = arguments(make(kind), 2, N=3, T=5, V=2)
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], bool)
    results = []
    for filling in (np.nan, np.inf, 0.0, 3.0):
        layer = make(kind, hard=hard)
        k = tg.Tensor(np.where(mask[..., None], keys, filling), requires_grad=True)
        v = tg.Tensor(np.where(mask[..., None], values, filling), requires_grad=True)
        q = tg.Tensor(query, requires_grad=True)
        with tg.detect_anomaly():
            context, weights, *log_a = layer(q, k, v, mask)
            scalar = (context * context).sum() + sum((a * a).sum() for a in log_a)
            scalar = scalar if hard else scalar + (weights * weights).sum()
            first = tg.grad(scalar, [q, k, v], create_graph=True)
            second = tg.grad(sum((g * g).sum() for g in first), [q, k, v])
            scalar.backward()
        assert not weights.data[~mask].any()
        for g in (k.grad, v.grad, second[1].data, second[2].data):
            assert not g[~mask].any()
        grads = [p.grad for p in layer.parameters()]
        results.append([context.data, *(g.data for g in second), q.grad, k.grad, v.grad, *grads])
        assert all(np.isfinite(array).all() for array in results[-1])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@each_kind
def test_lengths_cut_the_memory(kind):
    layer = make(kind)
    query, keys, values = arguments(layer, 3, N=3, T=5, V=2)
    lengths = np.array([5, 1, 3])
    context, weights = layer(query, keys, values, lengths=lengths)
    as_mask = layer(query, keys, values, np.arange(5) < lengths[:, None])
    np.testing.assert_array_equal(as_mask[0].data, context.data)
    for n, T in enumerate(lengths):
        alone = layer(query[n], keys[n, :T], values[n, :T])
        np.testing.assert_allclose(context.data[n], alone[0].data, rtol=1e-12)
        np.testing.assert_allclose(weights.data[n, :T], alone[1].data, rtol=1e-12)


def test_a_mask_written_into_afterwards_changes_nothing():
    layer = make("dot")
    query, keys, _ = arguments(layer, 0)
    mask = np.array([[True, True, False, False]] * 2)
    k = tg.Tensor(keys, requires_grad=True)
    look = layer.over(k, mask=mask)
    mask[:] = True
    context, weights = look(query)
    assert not weights.data[:, 2:].any()
    context.sum().backward()
    assert not k.grad[:, 2:].any()


def test_scores_of_any_size():
    layer = make("dot", 1)
    x = tg.Tensor([[1000.0], [-1000.0]], requires_grad=True)
    context, weights = layer([5.0], x)
    np.testing.assert_array_equal(weights.data, [1, 0])
    context.sum().backward()
    np.testing.assert_array_equal(x.grad, [[1], [0]])


# ── one memory, many queries ─────────────────────────────────────────────────────────────


@each_kind
@pytest.mark.parametrize("hard", [False, True])
def test_over_is_the_call_with_the_memory_read_once(kind, hard):
    layer, twin = make(kind, hard=hard), make(kind, hard=hard)
    _, *memory = arguments(layer, 4, V=3)
    k, v = (tg.Tensor(a, requires_grad=True) for a in memory)
    look = layer.over(k, v, lengths=[4, 2])
    nodes = []
    for t in range(3):
        query = arguments(layer, t)[0]
        outputs = look(query)
        for a, b in zip(outputs, twin(query, k, v, lengths=[4, 2]), strict=True):
            np.testing.assert_array_equal(a.data, b.data)
        nodes += [y.node for y in outputs if y.requires_grad]
    made = [n for n in graph.ancestors(nodes) if not n.is_leaf]
    assert {node.scope.path for node in made} == {("attention",)}
    weight = layer.weight if kind == "general" else layer.weight_key
    if weight is not None:
        assert sum(weight.node in node.parents for node in made) == 1


def test_several_queries_are_single_ones_side_by_side():
    layer = make("additive")
    query, keys, values = arguments(layer, 5, L=3, V=2)
    context, weights = layer(query, keys, values)
    for i in range(3):
        alone = layer(query[:, i], keys, values)
        np.testing.assert_allclose(context.data[:, i], alone[0].data, rtol=1e-12)
        np.testing.assert_allclose(weights.data[:, i], alone[1].data, rtol=1e-12)


def test_pictures_know_the_names():
    query, keys, _ = arguments(make("general"), 0)
    context, weights = make("general")(query, keys)
    assert (context.name, weights.name) == ("context", "weights")
    _, _, log_a = make("general", hard=True)(query, keys)
    assert log_a.name == "log_a"
    assert context.node.scope.path == ("attention",)


# ── hard ─────────────────────────────────────────────────────────────────────────────────


@given(st.sampled_from(KINDS), st.none() | st.integers(1, 3), st.none() | sizes, seeds)
def test_a_draw_is_one_place_its_value_and_its_log_probability(kind, N, L, seed):
    layer, soft = make(kind, hard=True), make(kind)
    query, keys, values = arguments(layer, seed, N, 4, 2, L)
    mask = np.random.default_rng(seed).random(keys.shape[:-1]) < 0.5
    mask[..., -1] = True
    context, weights, log_a = layer(query, keys, values, mask)
    _, a = soft(query, keys, values, mask)
    assert not weights.requires_grad
    np.testing.assert_array_equal(np.sort(weights.data, -1)[..., :-1], 0)
    np.testing.assert_array_equal(weights.data.max(-1), 1)
    places = weights.data if L is not None else weights.data[..., None, :]
    np.testing.assert_array_equal(context.data, (places @ values).reshape(context.shape))
    np.testing.assert_allclose(log_a.data, np.log((weights * a).data.sum(-1)), rtol=1e-9)


@each_kind
def test_gradients_of_a_draw(kind):
    layer = make(kind, hard=True)
    inputs = arguments(layer, 1, V=2)
    f, arrays = as_function(Settled(layer, {"lengths": [4, 3]}), inputs)
    assert tg.testing.gradcheck(f, arrays)
    assert tg.testing.gradgradcheck(f, arrays)


def test_places_are_drawn_as_often_as_their_weights_say():
    layer, draws = make("dot", hard=True, seed=3), 20_000
    query, keys, _ = arguments(layer, 0, N=None, T=5)
    mask = [True, True, False, True, True]
    _, a = make("dot")(query, keys, mask=mask)
    _, weights, _ = layer(np.broadcast_to(query, (draws, 3)), keys, mask=mask)
    drawn = weights.data.sum(0)
    spread = np.sqrt(draws * a.data * (1 - a.data))
    assert drawn[2] == 0
    assert (abs(drawn - draws * a.data) <= 4 * spread).all()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_the_same_seed_gives_the_same_draws(again):
    query, keys, _ = arguments(make("additive"), 0, N=None, T=50, L=20)
    a, b = (make("additive", hard=True, seed=s) for s in (1, np.random.default_rng(1)))
    before = a(query, keys)[1].data
    np.testing.assert_array_equal(b(query, keys)[1].data, before)
    twin = again(a)
    after = a(query, keys)[1].data
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(twin(query, keys)[1].data, after)


@each_kind
def test_reinforce_has_the_mean_that_it_should(kind):
    """The mean of the estimates is d E[L] / d query, with and without a baseline."""
    hard, soft, draws = make(kind, hard=True), make(kind), 20_000
    query, keys, values = arguments(hard, 6, N=None, T=4, V=2)

    def loss(context):
        return ((context - 1.5) ** 2).sum(-1)

    q = tg.Tensor(query, requires_grad=True)
    _, a = soft(q, keys, values)
    expected_loss = (a * loss(tg.Tensor(values))).sum()
    exact = tg.grad(expected_loss, q).data
    queries = tg.Tensor(np.broadcast_to(query, (draws, 3)), requires_grad=True)
    context, _, log_a = hard(queries, keys, values)
    losses = loss(context)
    spreads = []
    for baseline in (0.0, expected_loss.item()):
        surrogate = (losses + (losses.detach() - baseline) * log_a).mean()
        estimates = tg.grad(surrogate, queries).data * draws
        spreads.append(estimates.std(0))
        assert (abs(estimates.mean(0) - exact) <= 4 * spreads[-1] / math.sqrt(draws)).all()
    assert (spreads[1] < spreads[0]).all()


def test_reinforce_finds_the_useful_place():
    """Only one of four places holds the answer; a query that is learned ends up choosing it."""
    keys, values = np.eye(4), np.array([[0.0], [0.0], [1.0], [0.0]])
    attention = nn.Attention(4, hard=True, dtype=np.float64, rng=0)
    query = nn.Parameter(np.zeros(4))
    optimizer = tg.optim.Adam([query], 0.1)
    for _ in range(100):
        optimizer.zero_grad()
        context, _, log_a = attention(tg.broadcast_to(query, (16, 4)), keys, values)
        losses = ((context - 1.0) ** 2).sum(-1)
        baseline = losses.detach().mean()
        (losses + (losses.detach() - baseline) * log_a).mean().backward()
        optimizer.step()
    assert nn.Attention(4, dtype=np.float64)(query, keys)[1].data[2] > 0.95


# ── first values, dtypes, refusals ───────────────────────────────────────────────────────


def test_weights_and_their_first_values():
    shapes = {
        "dot": {},
        "general": {"weight": (40, 90)},
        "additive": {"weight_query": (30, 40), "weight_key": (30, 90), "weight_score": (30,)},
    }
    for kind, expected in shapes.items():
        settings = {"hidden_size": 30} if kind == "additive" else {}
        layer = nn.Attention(40, 40 if kind == "dot" else 90, kind, rng=0, **settings)
        assert {name: p.shape for name, p in layer.named_parameters()} == expected
        for p in layer.parameters():
            bound = 1 / math.sqrt(p.shape[-1])
            assert p.dtype == np.float32
            assert bound * 0.8 < abs(p.data).max() <= bound
        again = nn.Attention(40, layer.key_size, kind, rng=0, dtype=np.float64, **settings)
        for p, q in zip(layer.parameters(), again.parameters(), strict=True):
            np.testing.assert_array_equal(p.data, q.data.astype(np.float32))
    assert nn.Attention(3, 2, "additive").weight_query.shape == (3, 3)


@each_kind
@pytest.mark.parametrize("hard", [False, True])
def test_float32_stays(kind, hard):
    layer = nn.Attention(3, kind=kind, hard=hard, rng=0, scaled=kind == "general")
    x = tg.Tensor(np.ones((2, 4, 3), np.float32), requires_grad=True)
    outputs = layer(np.ones((2, 3)), x, lengths=[4, 1])
    assert {y.dtype for y in outputs} == {np.dtype(np.float32)}
    sum(y.sum() for y in outputs).backward()
    assert {p.grad.dtype for p in (x, *layer.parameters())} == {np.dtype(np.float32)}
    for bad in (tg.Tensor(np.ones((2, 4, 3))), tg.Tensor(np.ones((2, 4, 3), np.int64))):
        with pytest.raises(TypeError, match=r"keys of dtype float32.* in attention"):
            layer(np.ones((2, 3)), bad)
        with pytest.raises(TypeError, match="values of dtype"):
            layer(np.ones((2, 3)), x, bad)
        with pytest.raises(TypeError, match="query of dtype"):
            layer(bad[:, 0], x)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"query_size": 0}, ValueError, "query_size"),
        ({"key_size": 2.0}, TypeError, "key_size"),
        ({"kind": "cosine"}, ValueError, "'dot', 'general' or 'additive', got 'cosine'"),
        ({"key_size": 2}, ValueError, "query of 3 has no dot product with keys of 2"),
        ({"kind": "additive", "scaled": True}, ValueError, "scaled"),
        ({"kind": "additive", "hidden_size": 0}, ValueError, "hidden_size"),
        ({"hidden_size": 3}, ValueError, "hidden_size goes with kind 'additive'"),
        ({"dtype": int}, TypeError, "float type"),
    ],
)
def test_attentions_that_are_none(settings, error, message):
    with pytest.raises(error, match=message):
        nn.Attention(**{"query_size": 3, **settings})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"query": np.ones((2, 2))}, ValueError, r"query \(2, 3\) or \(2, L, 3\), got \(2, 2\)"),
        ({"query": np.ones((4, 3))}, ValueError, r"got \(4, 3\) in attention"),
        ({"query": np.ones(3)}, ValueError, "query"),
        ({"query": np.ones((2, 1, 1, 3))}, ValueError, "query"),
        ({"keys": np.ones((2, 4, 2))}, ValueError, r"keys \(N, T, 3\) or \(T, 3\)"),
        ({"keys": np.ones(3)}, ValueError, "keys"),
        ({"keys": np.ones((2, 0, 3))}, ValueError, "at least one place"),
        ({"values": np.ones((2, 3, 3))}, ValueError, r"values \(2, 4, 'V'\) to go with"),
        ({"values": np.ones((2, 4))}, ValueError, "values"),
        ({"mask": np.ones((2, 4))}, TypeError, "mask of booleans, got float64"),
        ({"mask": np.ones((2, 4), int)}, TypeError, "mask of booleans"),
        ({"mask": np.ones((2, 5), bool)}, ValueError, r"mask \(2, 4\), got \(2, 5\)"),
        ({"mask": np.ones(4, bool)}, ValueError, "mask"),
        ({"mask": np.array([[True] * 4, [False] * 4])}, ValueError, "no place to read in row 1"),
        ({"lengths": [4, 5]}, ValueError, "lengths from 1 to T = 4, got 5 for sequence 1"),
        ({"lengths": [0, 4]}, ValueError, "lengths from 1 to T = 4, got 0 for sequence 0"),
        ({"lengths": [4.0, 4.0]}, TypeError, "lengths that are integers"),
        ({"lengths": [4]}, ValueError, r"lengths of shape \(2,\), got \(1,\)"),
        ({"lengths": 4}, ValueError, r"lengths of shape \(2,\), got \(\)"),
        (
            {"lengths": [1, 4], "mask": np.array([[False] + [True] * 3] * 2)},
            ValueError,
            "row 0",
        ),
    ],
)
def test_arguments_that_do_not_fit(change, error, message):
    fitting = {"query": np.ones((2, 3)), "keys": np.ones((2, 4, 3))}
    with pytest.raises(error, match=message):
        nn.Attention(3)(**{**fitting, **change})


def test_one_memory_alone_has_no_lengths_and_needs_a_place():
    layer, memory = nn.Attention(3), np.ones((4, 3))
    with pytest.raises(ValueError, match="lengths only for batched input"):
        layer(np.ones(3), memory, lengths=4)
    with pytest.raises(ValueError, match=r"no place to read$"):
        layer(np.ones(3), memory, mask=[False] * 4)
    _, weights = layer(np.ones(3), memory, mask=tg.Tensor([True, False, False, False]))
    np.testing.assert_array_equal(weights.data, [1, 0, 0, 0])


def test_repr():
    assert repr(nn.Attention(3)) == "Attention(3, 3, kind='dot')"
    assert repr(nn.Attention(3, 2, "general", True, scaled=True)) == (
        "Attention(3, 2, kind='general', hard=True, scaled=True)"
    )
    assert repr(nn.Attention(3, 2, "additive", hidden_size=5)) == (
        "Attention(3, 2, kind='additive', hidden_size=5)"
    )
