"""RNN, LSTM and GRU: their cells in a loop, whichever way that loop is taken."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn

KINDS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"peepholes": True}),
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"proj_size": 1, "peepholes": True}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
]
every_kind = pytest.mark.parametrize(
    ("kind", "keywords"), KINDS, ids=[k + "".join(kw) for k, kw in KINDS]
)


def build(kind, keywords, *sizes, dtype=np.float64, rng=0, **more):
    return getattr(nn, kind)(*sizes, dtype=dtype, rng=rng, **keywords, **more)


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def first_state(layer, batch, rng):
    """A random initial state, as a tuple of arrays."""
    count = layer.num_layers * (1 + layer.bidirectional)
    h = rng.standard_normal((count, *batch, layer.proj_size or layer.hidden_size))
    if not isinstance(layer, nn.LSTM):
        return (h,)
    return h, rng.standard_normal((count, *batch, layer.hidden_size))


def run(layer, x, state=None, **keywords):
    """(y, h_n) or (y, h_n, c_n), given the state as a tuple."""
    if state is not None and not isinstance(layer, nn.LSTM):
        (state,) = state
    y, state = layer(x, state, **keywords)
    return (y, *as_tuple(state))


def gradients(layer, outputs, leaves, seed=0):
    """Of a random linear function of the outputs: for every parameter, then for the leaves."""
    layer.zero_grad()
    for leaf in leaves:
        leaf.grad = None
    rng = np.random.default_rng(seed)
    terms = [(y * rng.standard_normal(y.shape)).sum() for y in outputs]
    sum(terms[1:], terms[0]).backward()
    return [p.grad for p in (*layer.parameters(), *leaves)]


def same(ours, expected, rtol=1e-9):
    for a, b in zip(ours, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            a, b = (v.numpy() if isinstance(v, tg.Tensor) else v for v in (a, b))
            scale = abs(b).max(initial=1e-3)
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-3 * rtol * scale)


@st.composite
def runs(draw, batched=None, bidirectional=None, max_layers=2):
    """A layer of any kind, x (T, N, D) or (T, D), a state, and a generator."""
    kind, keywords = draw(st.sampled_from(KINDS))
    D, H = draw(st.integers(1, 3)), draw(st.integers(3, 4))
    layers, T = draw(st.integers(1, max_layers)), draw(st.integers(1, 5))
    seed = draw(st.integers(0, 999))
    both = draw(st.booleans()) if bidirectional is None else bidirectional
    options = {"bias": draw(st.booleans()), "bidirectional": both}
    is_batched = draw(st.booleans()) if batched is None else batched
    batch = (draw(st.integers(1, 3)),) if is_batched else ()
    layer = build(kind, keywords, D, H, layers, rng=seed, **options)
    rng = np.random.default_rng(seed)
    return layer, rng.standard_normal((T, *batch, D)), first_state(layer, batch, rng), rng


# ── what is computed ─────────────────────────────────────────────────────────────────────


def cell_of(layer, suffix, D):
    """The cell with the weights of one layer and direction."""
    options = {"nonlinearity", "proj_size", "peepholes", "reset_after"} & set(vars(layer))
    options = {name: getattr(layer, name) for name in options}
    if not isinstance(layer, nn.LSTM):
        options.pop("proj_size")
    cell_class = getattr(nn, f"{type(layer).__name__}Cell")
    cell = cell_class(D, layer.hidden_size, layer.bias, dtype=layer.dtype, **options)
    state = {
        name.removesuffix(suffix): array
        for name, array in layer.state_dict().items()
        if name.endswith(suffix)
    }
    cell.load_state_dict(state)
    return cell


@given(runs())
def test_a_layer_is_its_cells_in_loops(drawn):
    layer, x, first, _ = drawn
    ys, ends = x, []
    for k in range(layer.num_layers):
        both = []
        for suffix in ["", "_reverse"][: 1 + layer.bidirectional]:
            cell = cell_of(layer, f"_l{k}{suffix}", ys.shape[-1])
            state = tuple(s[len(ends)] for s in first)
            found = []
            for x_t in ys[::-1] if suffix else ys:
                state = cell(x_t, state if len(state) > 1 else state[0])
                state = tuple(s.numpy() for s in as_tuple(state))
                found.append(state[0])
            both.append(np.stack(found[::-1] if suffix else found))
            ends.append(state)
        ys = np.concatenate(both, -1)
    expected = [ys, *(np.stack(part) for part in zip(*ends, strict=True))]
    same(run(layer, x, first), expected, rtol=1e-10)


@given(runs())
def test_unrolled_and_not_are_the_same(drawn):
    layer, x, first, _ = drawn
    results = []
    for unroll in (False, True):
        leaves = [tg.Tensor(a, requires_grad=True) for a in (x, *first)]
        outputs = run(layer, leaves[0], leaves[1:], unroll=unroll)
        results.append([*outputs, *gradients(layer, outputs, leaves)])
    same(*results)


@given(runs(batched=True))
def test_no_state_is_a_state_of_zeros(drawn):
    layer, x, first, _ = drawn
    same(run(layer, x), run(layer, x, tuple(0 * s for s in first)))


@given(runs(batched=True, bidirectional=False), st.integers(0, 5))
def test_a_sequence_may_be_run_in_pieces(drawn, cut):
    layer, x, first, _ = drawn
    y, *state = run(layer, x, first)
    one, *between = run(layer, x[:cut], first)
    two, *after = run(layer, x[cut:], tuple(between))
    same([tg.concatenate([one, two]), *after], [y, *state])


@given(runs(bidirectional=True, max_layers=1))
def test_a_second_direction_is_the_first_one_of_the_flipped_sequence(drawn):
    layer, x, first, _ = drawn
    y, *state = run(layer, x, first)
    half = y.shape[-1] // 2
    single = copy.deepcopy(layer)
    single.bidirectional, single._directions = False, ("",)
    forward = run(single, x, tuple(s[:1] for s in first))
    weights = layer.state_dict()
    single.load_state_dict(
        {k: weights[f"{k}_reverse"] for k in weights if not k.endswith("_reverse")}, strict=False
    )
    back, *ends = run(single, x[::-1], tuple(s[1:] for s in first))
    same([y[..., :half], *(s[:1] for s in state)], forward)
    same([y[..., half:], *(s[1:] for s in state)], [back[::-1], *ends])


@given(runs(batched=False))
def test_unbatched_is_a_batch_of_one(drawn):
    layer, x, first, _ = drawn
    leaves = [tg.Tensor(a, requires_grad=True) for a in (x, *first)]
    outputs = run(layer, leaves[0], leaves[1:])
    wide = [tg.Tensor(np.expand_dims(leaf.data, 1), requires_grad=True) for leaf in leaves]
    expected = [tg.squeeze(y, 1) for y in run(layer, wide[0], wide[1:])]
    same(outputs, expected)
    ours, theirs = gradients(layer, outputs, leaves), gradients(layer, expected, wide)
    count = len(ours) - len(leaves)
    same(ours[:count], theirs[:count])
    same(ours[count:], [g[:, 0] for g in theirs[count:]])


@given(runs(batched=True), st.booleans())
def test_batch_first_exchanges_two_axes_of_x_and_y(drawn, with_lengths):
    layer, x, first, rng = drawn
    lengths = rng.integers(1, len(x) + 1, x.shape[1]) if with_lengths else None
    y, *state = run(layer, x, first, lengths=lengths)
    layer.batch_first = True
    turned, *state_too = run(layer, x.swapaxes(0, 1), first, lengths=lengths)
    same([turned.swapaxes(0, 1), *state_too], [y, *state])


@every_kind
def test_batch_first_leaves_unbatched_input_alone(kind, keywords):
    x = np.random.default_rng(0).standard_normal((5, 2))
    y, _ = build(kind, keywords, 2, 3)(x)
    turned, _ = build(kind, keywords, 2, 3, batch_first=True)(x)
    same([turned], [y])


@every_kind
@pytest.mark.parametrize("batch", [(), (0,), (2,)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_no_steps_give_the_state_back(kind, keywords, batch, bidirectional):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=bidirectional)
    first = first_state(layer, batch, np.random.default_rng(0))
    leaves = [tg.Tensor(a, requires_grad=True) for a in first]
    y, *state = run(layer, np.zeros((0, *batch, 2)), leaves)
    assert y.shape == (0, *batch, (layer.proj_size or 3) * (1 + bidirectional))
    assert y.dtype == np.float64
    same(state, first)
    state[0].sum().backward()
    np.testing.assert_array_equal(leaves[0].grad, np.ones_like(first[0]))


@every_kind
def test_no_sequences(kind, keywords):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=True)
    for lengths in (None, [], np.zeros(0, int)):
        y, *state = run(layer, np.zeros((4, 0, 2)), lengths=lengths)
        assert y.shape == (4, 0, 2 * (layer.proj_size or 3))
        assert [s.shape[:2] for s in state] == [(4, 0)] * len(state)
        assert all(g is None or not g.any() for g in gradients(layer, [y], []))


@every_kind
def test_gradients_of_first_and_second_order(kind, keywords):
    """Of a sequence of several lengths and of two cells' weights, both directions'."""
    layer = build(kind, keywords, 1, 3, bidirectional=True)
    state = layer.state_dict()
    rng = np.random.default_rng(0)
    first = first_state(layer, (2,), rng)
    weights = [name for name in state if "bias_ih" not in name and "weight_ih" not in name]

    def f(x, *given):
        for name, parameter in zip(weights, given[len(first) :], strict=False):
            vars(layer)[name] = parameter
        outputs = run(layer, x, given[: len(first)], lengths=[3, 2])
        return tg.concatenate([y.reshape(-1) for y in outputs])

    inputs = [rng.standard_normal((3, 2, 1)), *first]
    assert tg.testing.gradcheck(f, [*inputs, *(state[name] for name in weights)])
    assert tg.testing.gradgradcheck(f, inputs)


# ── sequences of several lengths ─────────────────────────────────────────────────────────


@given(runs(batched=True), st.booleans(), st.booleans())
def test_with_lengths_every_sequence_is_as_if_alone(drawn, unroll, batch_first):
    layer, x, first, rng = drawn
    T, N = x.shape[:2]
    lengths = rng.integers(1, T + 1, N)
    padded = x.copy()
    for n, length in enumerate(lengths):
        padded[length:, n] = np.nan
    layer.batch_first = batch_first
    given_x = padded.swapaxes(0, 1) if batch_first else padded
    leaves = [tg.Tensor(a, requires_grad=True) for a in (given_x, *first)]
    outputs = run(layer, leaves[0], leaves[1:], lengths=lengths, unroll=unroll)
    y = outputs[0].numpy().swapaxes(0, 1) if batch_first else outputs[0].numpy()
    seeds = [rng.standard_normal(v.shape) for v in (y, *outputs[1:])]
    found = layer_gradients(layer, outputs, seeds, leaves, batch_first)

    layer.batch_first = False
    total = [np.zeros(p.shape) for p in layer.parameters()]
    for n, length in enumerate(lengths):
        alone = [
            tg.Tensor(a, requires_grad=True)
            for a in (x[:length, n : n + 1], *(s[:, n : n + 1] for s in first))
        ]
        expected = run(layer, alone[0], alone[1:])
        own = [seeds[0][:length, n : n + 1], *(s[:, n : n + 1] for s in seeds[1:])]
        each = layer_gradients(layer, expected, own, alone, False)
        same([y[:length, n : n + 1]], expected[:1])
        same([s[:, n : n + 1] for s in outputs[1:]], expected[1:])
        assert not y[length:, n].any()
        for sum_, part in zip(total, each, strict=False):
            sum_ += 0 if part is None else part
        dx = found[len(total)]
        same([dx[:length, n : n + 1]], each[len(total) : len(total) + 1])
        assert not dx[length:, n].any()
        same([g[:, n : n + 1] for g in found[len(total) + 1 :]], each[len(total) + 1 :])
    same([np.zeros(1) if g is None else g for g in found[: len(total)]], total)


def layer_gradients(layer, outputs, seeds, leaves, batch_first):
    layer.zero_grad()
    y = outputs[0].swapaxes(0, 1) if batch_first else outputs[0]
    terms = [(v * w).sum() for v, w in zip((y, *outputs[1:]), seeds, strict=True)]
    sum(terms[1:], terms[0]).backward()
    x_grad = leaves[0].grad.swapaxes(0, 1) if batch_first else leaves[0].grad
    return [*(p.grad for p in layer.parameters()), x_grad, *(s.grad for s in leaves[1:])]


@every_kind
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e300])
def test_padding_reaches_nothing_even_while_anomalies_are_looked_for(
    kind, keywords, batch_first, poison
):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=True, batch_first=batch_first)
    x = np.random.default_rng(0).standard_normal((2, 4, 2))
    x[1, 2:] = poison
    x = x if batch_first else x.swapaxes(0, 1)
    leaf = tg.Tensor(x, requires_grad=True)
    with tg.detect_anomaly():
        outputs = run(layer, leaf, lengths=[4, 2])
        found = gradients(layer, outputs, [leaf])
    assert all(np.isfinite(v.numpy()).all() for v in outputs)
    assert all(np.isfinite(g).all() for g in found)


def test_lengths_of_any_integer_kind_and_full_ones():
    layer, x = build("GRU", {}, 2, 3), np.random.default_rng(0).standard_normal((4, 3, 2))
    expected = run(layer, x, lengths=[4, 2, 1])
    for lengths in (np.array([4, 2, 1], np.uint8), (4, 2, 1), tg.Tensor([4, 2, 1])):
        same(run(layer, x, lengths=lengths), expected)
    same(run(layer, x, lengths=[4, 4, 4]), run(layer, x))


def test_float32_stays_float32_with_lengths_too():
    x = np.random.default_rng(0).standard_normal((4, 2, 2))
    for kind, keywords in KINDS:
        for lengths in (None, [4, 1]):
            layer = build(kind, keywords, 2, 3, 2, dtype=np.float32)
            wide = build(kind, keywords, 2, 3, 2)
            outputs = run(layer, x, lengths=lengths)
            assert {v.dtype for v in outputs} == {np.dtype(np.float32)}
            assert all(g.dtype == np.float32 for g in gradients(layer, outputs, []))
            for a, b in zip(outputs, run(wide, x, lengths=lengths), strict=True):
                np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)


# ── dropout ──────────────────────────────────────────────────────────────────────────────


@every_kind
@pytest.mark.parametrize("unroll", [False, True])
def test_dropout_is_seeded_and_goes_on(kind, keywords, unroll):
    x = np.random.default_rng(0).standard_normal((5, 2, 2))
    one, two = (build(kind, keywords, 2, 3, 2, dropout=0.5, rng=7) for _ in range(2))
    first = one(x, unroll=unroll)[0].numpy()
    np.testing.assert_array_equal(first, two(x, unroll=unroll)[0].numpy())
    assert (first != one(x, unroll=unroll)[0].numpy()).any()  # the next numbers


def test_dropout_is_between_layers_and_only_in_training():
    x = np.random.default_rng(0).standard_normal((5, 2, 2))
    layer = build("RNN", {}, 2, 3, 2, dropout=1.0)
    plain = build("RNN", {}, 2, 3, 2)
    y, h = layer(x)
    # All that layer 1 sees are zeros; what it gives is not dropped.
    top = build("RNN", {}, 3, 3)
    state = {k.replace("_l1", "_l0"): v for k, v in layer.state_dict().items() if "_l1" in k}
    top.load_state_dict(state)
    same([y, h[1:]], top(np.zeros((5, 2, 3))))
    same([h[:1]], [plain(x)[1][:1]])
    same(layer.eval()(x), plain(x))


def test_dropout_scales_what_it_keeps():
    x = np.random.default_rng(0).standard_normal((50, 40, 2))
    layer = build("RNN", {}, 2, 30, 2, dropout=0.25)
    seen = []
    keep = nn.layered.scan

    def watched(step, carry, xs, **more):
        seen.append(xs.numpy())
        return keep(step, carry, xs, **more)

    nn.layered.scan = watched
    try:
        layer(x)
        layer.eval()(x)
    finally:
        nn.layered.scan = keep
    _, dropped, _, whole = seen
    kept = dropped != 0
    assert abs(kept.mean() - 0.75) < 0.01
    np.testing.assert_allclose(dropped[kept], whole[kept] / 0.75)


def test_dropout_of_a_single_layer_does_nothing_and_says_so():
    with pytest.warns(UserWarning, match=r"LSTM: dropout=0\.5 acts between layers"):
        layer = nn.LSTM(2, 3, dropout=0.5, rng=0)
    x = np.ones((3, 1, 2))
    same(run(layer, x), run(nn.LSTM(2, 3, rng=0), x), rtol=1e-6)


# ── parameters ───────────────────────────────────────────────────────────────────────────


def test_names_shapes_and_order():
    layer = nn.LSTM(3, 5, 2, bidirectional=True, proj_size=2, peepholes=True)
    own = {"weight_ih": (20, 3), "weight_hh": (20, 2), "bias_ih": (20,), "bias_hh": (20,)}
    own |= {"weight_hr": (2, 5), "weight_pi": (5,), "weight_pf": (5,), "weight_po": (5,)}
    expected = {}
    for k, D in enumerate((3, 4)):
        for suffix in (f"_l{k}", f"_l{k}_reverse"):
            expected |= {name + suffix: shape for name, shape in own.items()}
            expected[f"weight_ih{suffix}"] = (20, D)
    found = {name: array.shape for name, array in layer.state_dict().items()}
    assert list(found.items()) == list(expected.items())
    assert [p.name for p in layer.parameters()] == list(expected)
    assert list(nn.GRU(3, 5, bias=False).state_dict()) == ["weight_ih_l0", "weight_hh_l0"]


@every_kind
def test_seeds(kind, keywords):
    one, two = (build(kind, keywords, 2, 3, 2, bidirectional=True, rng=3) for _ in range(2))
    other = build(kind, keywords, 2, 3, 2, bidirectional=True, rng=4)
    given_generator = build(
        kind, keywords, 2, 3, 2, bidirectional=True, rng=np.random.default_rng(3)
    )
    for a, b, c, d in zip(
        *(m.parameters() for m in (one, two, other, given_generator)), strict=True
    ):
        np.testing.assert_array_equal(a.data, b.data)
        np.testing.assert_array_equal(a.data, d.data)
        assert (a.data != c.data).all()
        assert (abs(a.data) <= 1 / np.sqrt(3)).all()


@every_kind
def test_a_layer_of_one_starts_as_its_cell_does(kind, keywords):
    layer = build(kind, keywords, 2, 3, rng=5)
    cell = getattr(nn, f"{kind}Cell")(2, 3, dtype=np.float64, rng=5, **keywords)
    assert [f"{name}_l0" for name in cell.state_dict()] == list(layer.state_dict())
    for a, b in zip(cell.parameters(), layer.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@every_kind
def test_copies(kind, keywords):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=True, dropout=0.5)
    x = np.random.default_rng(0).standard_normal((4, 2, 2))
    layer(x)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    expected = [y.numpy() for y in run(layer, x)]
    for other in copies:  # dropout's random numbers go on where the original's were
        for a, b in zip(run(other, x), expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
        assert repr(other) == repr(layer)
        next(other.parameters()).data = np.zeros(next(other.parameters()).shape)
        assert next(layer.parameters()).data.any()


def test_only_what_is_asked_for_gets_a_gradient():
    layer = build("LSTM", {}, 2, 3, 2)
    layer.weight_hh_l0.requires_grad = False
    y, _ = layer(np.ones((3, 2, 2)))
    y.sum().backward()
    assert layer.weight_hh_l0.grad is None
    assert layer.weight_ih_l0.grad.any()
    with tg.no_grad():
        assert not layer(np.ones((3, 2, 2)))[0].requires_grad


def test_weights_loaded_or_stepped_later_are_seen():
    layer, x = build("GRU", {}, 2, 3), np.ones((3, 2, 2))
    before = layer(x)[0].numpy()
    layer.load_state_dict({k: 2 * v for k, v in layer.state_dict().items()})
    assert (layer(x)[0].numpy() != before).any()


# ── pictures and messages ────────────────────────────────────────────────────────────────


@every_kind
@pytest.mark.parametrize("unroll", [False, True])
def test_every_step_is_tagged(kind, keywords, unroll):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=True)
    y, _ = layer(np.ones((4, 1, 2)), unroll=unroll)
    nodes = tg.graph.ancestors(tg.backprop.expanded([y.node]))
    path = kind.lower()
    for place in ("l0", "l0_reverse", "l1", "l1_reverse"):
        found = [n for n in nodes if n.scope.path == (path, place) and not n.is_leaf]
        states = [n for n in found if n.name == "h_t"]
        assert {n.scope.step for n in states} == {0, 1, 2, 3}
        order = [n.scope.step for n in sorted(states, key=lambda n: n.number)]
        backwards = place.endswith("reverse")
        if unroll:  # without, they were recorded when they were asked for
            assert list(dict.fromkeys(order)) == ([3, 2, 1, 0] if backwards else [0, 1, 2, 3])


@every_kind
def test_a_picture_of_the_fast_path_opens_it(kind, keywords):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=True)
    x = tg.Tensor(np.random.default_rng(0).standard_normal((4, 2, 2)), requires_grad=True)
    flows, boxes, shares = [], [], []
    for unroll in (False, True):
        loss = (layer(x, unroll=unroll)[0] ** 2).sum()
        flows.append(tg.gradient_flow(loss))
        boxes.append(tg.draw(loss, detail="cell").source.count(": t = "))
        shares.append(tg.grads_by_step(loss, layer.weight_hh_l1_reverse))
    assert boxes[0] == boxes[1] > 0
    same(*[[flow.norms] for flow in flows])
    same(*[[share] for share in shares])


def test_unrolled_steps_are_recorded_op_by_op():
    x = np.ones((4, 1, 2))
    counts = {}
    for unroll in (False, True):
        nodes = tg.graph.ancestors([build("LSTM", {}, 2, 3)(x, unroll=unroll)[0].node])
        assert {n.primitive.name for n in nodes if n.primitive} >= (
            {"tanh", "sigmoid"} if unroll else set()
        )
        counts[unroll] = sum(not n.is_leaf for n in nodes)
    assert counts[True] > 4 * counts[False]


@every_kind
def test_unrolled_every_use_of_a_weight_belongs_to_a_step(kind, keywords):
    """Which is what the gradient of a single step is made of."""
    layer = build(kind, keywords, 2, 3, bidirectional=True)
    nodes = tg.graph.ancestors([layer(np.ones((4, 1, 2)), unroll=True)[0].node])
    for parameter in layer.parameters():
        uses = [n for n in nodes if parameter.node in n.parents]
        assert {n.scope.step for n in uses} == {0, 1, 2, 3}


@every_kind
def test_layers_can_be_drawn(kind, keywords):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=True)
    y, _ = layer(np.ones((3, 1, 2)), unroll=True)
    for detail in ("op", "cell", "layer"):
        picture = tg.draw(y.sum(), detail=detail)
        if detail != "layer":
            for t in range(3):
                assert f"{kind.lower()}.l1_reverse: t = {t}" in picture.source
    assert "x[2]" in tg.draw(y.sum()).source
    assert "weight_hh_l1_reverse" in tg.draw(y.sum()).source


@every_kind
@pytest.mark.parametrize("unroll", [False, True])
def test_an_anomaly_is_located(kind, keywords, unroll):
    layer = build(kind, keywords, 2, 3, 2, bidirectional=True)
    x = np.ones((4, 1, 2))
    x[2] = np.nan
    with (
        tg.detect_anomaly(),
        pytest.raises(FloatingPointError, match=rf"in {kind.lower()}\.l0 at time step 2"),
    ):
        layer(x, unroll=unroll)


def test_steps_backwards():
    x = tg.Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True, name="x")
    seen = []
    for t, x_t in tg.steps(x, reverse=True):
        seen.append((t, x_t.numpy().tolist(), x_t.name, (x_t * 2).node.scope.step))
    assert seen == [
        (2, [4.0, 5.0], "x[2]", 2),
        (1, [2.0, 3.0], "x[1]", 1),
        (0, [0.0, 1.0], "x[0]", 0),
    ]
    assert (x * 2).node.scope.step is None
    assert list(tg.steps([], reverse=True)) == []
    assert list(tg.steps([7, 8], reverse=True)) == [(1, 8), (0, 7)]
    with pytest.raises(TypeError):
        list(tg.steps(iter([1, 2]), reverse=True))


def test_repr():
    layer = nn.LSTM(3, 5, 2, bias=False, bidirectional=True, proj_size=2, peepholes=True)
    assert repr(layer) == (
        "LSTM(3, 5, num_layers=2, bias=False, bidirectional=True, proj_size=2, peepholes=True)"
    )
    assert repr(nn.RNN(3, 5, nonlinearity="relu")) == "RNN(3, 5, nonlinearity='relu')"
    assert repr(nn.GRU(3, 5, 2, dropout=0.5, reset_after=False)) == (
        "GRU(3, 5, num_layers=2, dropout=0.5, reset_after=False)"
    )
    assert repr(nn.LSTMCell(2, 3, proj_size=1, peepholes=True)) == (
        "LSTMCell(2, 3, proj_size=1, peepholes=True)"
    )


# ── what is refused ──────────────────────────────────────────────────────────────────────

LAYERS = ["RNN", "LSTM", "GRU"]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("sizes", "keywords", "error", "message"),
    [
        ((0, 3), {}, ValueError, "input_size must be at least 1, got 0"),
        ((2, 3, 0), {}, ValueError, "num_layers must be at least 1, got 0"),
        ((2, 3, 1.5), {}, TypeError, "num_layers must be an integer, got 1.5"),
        ((2, 3), {"dropout": 1.5, "num_layers": 2}, ValueError, "probability from 0 to 1, got 1.5"),
        ((2, 3), {"dropout": "x", "num_layers": 2}, TypeError, "dropout must be a number, got 'x'"),
        ((2, 3), {"bidirectional": 0.5}, TypeError, "bidirectional must be a bool, got 0.5"),
        ((2, 3), {"bias": "no"}, TypeError, "bias must be a bool, got 'no'"),
        ((2, 3), {"dtype": int}, TypeError, "dtype must be a float type, got int64"),
    ],
)
def test_bad_arguments(kind, sizes, keywords, error, message):
    with pytest.raises(error, match=f"{kind}: .*{message}"):
        getattr(nn, kind)(*sizes, **keywords)


def test_bad_arguments_of_one_kind():
    with pytest.raises(ValueError, match="RNN: expected nonlinearity 'tanh' or 'relu', got 'gelu'"):
        nn.RNN(2, 3, 1, "gelu")
    for make in (nn.LSTM, nn.LSTMCell):
        for size in (3, 4, -1):
            with pytest.raises(ValueError, match=f"proj_size must be from 0 .* got {size}"):
                make(2, 3, proj_size=size)
        with pytest.raises(TypeError, match=r"proj_size must be an integer, got 1\.0"):
            make(2, 3, proj_size=1.0)
        with pytest.raises(TypeError, match="peepholes must be a bool, got 1"):
            make(2, 3, peepholes=1)
    for make in (nn.GRU, nn.GRUCell):
        with pytest.raises(TypeError, match="reset_after must be a bool, got None"):
            make(2, 3, reset_after=None)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("shape", [(), (2,), (5, 1, 3), (5, 3), (1, 5, 1, 2)])
def test_x_of_a_wrong_size(kind, shape):
    layer = getattr(nn, kind)(2, 3)
    with pytest.raises(
        ValueError, match=rf"{kind}: expected x \(T, N, 2\) or .* in {kind.lower()}"
    ):
        layer(np.ones(shape))
    first = getattr(nn, kind)(2, 3, batch_first=True)
    with pytest.raises(ValueError, match=rf"{kind}: expected x \(N, T, 2\)"):
        first(np.ones(shape))


@pytest.mark.parametrize("shape", [(4, 5), (2, 4, 3), (4, 4, 3), (2, 5, 2), (2, 3), (2, 1, 5, 3)])
def test_a_state_of_a_wrong_size_is_named(shape):
    x, good, bad = np.ones((4, 5, 2)), np.ones((2, 5, 3)), np.ones(shape)
    for kind in ("RNN", "GRU"):
        layer = getattr(nn, kind)(2, 3, bidirectional=True)
        with pytest.raises(
            ValueError, match=rf"{kind}: expected h \(2, 5, 3\) .* got \({shape[0]}"
        ):
            layer(x, bad)
    lstm = nn.LSTM(2, 3, bidirectional=True)
    with pytest.raises(ValueError, match=r"LSTM: expected h \(2, 5, 3\)"):
        lstm(x, (bad, good))
    with pytest.raises(ValueError, match=r"LSTM: expected c \(2, 5, 3\)"):
        lstm(x, (good, bad))


def test_states_of_a_wrong_kind():
    x, h = np.ones((4, 5, 2)), np.ones((1, 5, 3))
    for state in (h, (h,), (h, h, h), {"h": h}):
        with pytest.raises(TypeError, match=r"LSTM: expected the state as a pair \(h, c\)"):
            nn.LSTM(2, 3)(x, state)
    for kind in ("RNN", "GRU"):
        with pytest.raises(
            TypeError, match=f"{kind}: expected h as one Tensor or array, got a tup"
        ):
            getattr(nn, kind)(2, 3)(x, (h, h))


@pytest.mark.parametrize("kind", LAYERS)
def test_other_dtypes(kind):
    layer = getattr(nn, kind)(2, 3)
    assert layer(np.ones((4, 1, 2), int))[0].dtype == np.float32
    with pytest.raises(
        TypeError, match=f"{kind}: expected x of dtype float32, got a Tensor float64"
    ):
        layer(tg.Tensor(np.ones((4, 1, 2))))
    state = tg.Tensor(np.ones((1, 1, 3)))
    with pytest.raises(TypeError, match=f"{kind}: expected h of dtype float32"):
        layer(np.ones((4, 1, 2)), (state, state) if kind == "LSTM" else state)
    with pytest.raises(TypeError, match="real numbers"):
        layer(np.ones((4, 1, 2), complex))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([4, 0, 1], ValueError, "from 1 to T = 4, got 0 for sequence 1"),
        ([4, 1, 5], ValueError, "from 1 to T = 4, got 5 for sequence 2"),
        ([-1, 1, 1], ValueError, "from 1 to T = 4, got -1 for sequence 0"),
        ([4, 1], ValueError, r"of shape \(3,\), got \(2,\)"),
        (4, ValueError, r"of shape \(3,\), got \(\)"),
        ([[4, 1, 1]], ValueError, r"of shape \(3,\), got \(1, 3\)"),
        ([4.0, 1.0, 1.0], TypeError, "that are integers, got float64"),
        ([True, True, True], TypeError, "that are integers, got bool"),
    ],
)
def test_bad_lengths(kind, lengths, error, message):
    with pytest.raises(error, match=f"{kind}: expected lengths {message}"):
        getattr(nn, kind)(2, 3)(np.ones((4, 3, 2)), lengths=lengths)


def test_lengths_that_cannot_be():
    with pytest.raises(ValueError, match="only for batched input"):
        nn.GRU(2, 3)(np.ones((4, 2)), lengths=[4])
    with pytest.raises(ValueError, match="from 1 to T = 0, got 1 for sequence 0"):
        nn.GRU(2, 3)(np.ones((0, 1, 2)), lengths=[1])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "GRU before", "LSTM peepholes"])
def test_a_layer_known_again_sees_what_has_changed(kind):
    """Steps of layers are not traced anew at every call; whatever may differ has to be seen."""
    name, *options = kind.split()
    switches = {"before": {"reset_after": False}, "peepholes": {"peepholes": True}}
    keywords = switches[options[0]] if options else {}
    layer = getattr(tg.nn, name)(3, 3, dtype=np.float64, rng=0, **keywords)
    x = tg.Tensor(np.random.default_rng(1).normal(size=(4, 2, 3)), requires_grad=True)

    def outcome(unroll, **given):
        layer.zero_grad()
        x.grad = None
        y, _ = layer(x, unroll=unroll, **given)
        tg.sum(tg.sin(y)).backward()
        return [y.numpy(), x.grad, *(p.grad for p in layer.parameters())]

    def same(**given):
        for mine, reference in zip(outcome(False, **given), outcome(True, **given), strict=True):
            assert (mine is None) == (reference is None)
            if mine is not None:
                np.testing.assert_allclose(mine, reference, rtol=0, atol=1e-12)

    same()
    for parameter in layer.parameters():
        parameter.data = parameter.data * 1.5
    same()
    same(lengths=[4, 2])
    tied = layer.weight_hh_l0
    layer.weight_ih_l0 = tied  # one matrix in two places, then two again
    same()
    layer.weight_ih_l0 = tg.nn.Parameter(tied.data * 0.5)
    same()
    vars(layer)["bias_hh_l0"] = tg.Tensor(layer.bias_hh_l0.data)  # frozen, past the check
    same()
    vars(layer)["bias_ih_l0"] = layer.bias_hh_l0
    same()
    with tg.no_grad():
        np.testing.assert_allclose(
            layer(x)[0].data, layer(x, unroll=True)[0].data, rtol=0, atol=1e-12
        )
    with tg.detect_anomaly():
        same()


@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_hh_l0"])
@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_bias_may_be_taken_away(layer, name, backend):
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    without, zero = layer(3, 4, rng=0), layer(3, 4, rng=0)
    setattr(without, name, None)
    bias = getattr(zero, name)
    bias.data = np.zeros_like(bias.data)
    found = []
    with tg.backend(backend):
        for net in (without, zero):
            y, _ = net(x)
            found.append([y.numpy(), tg.grad(y.sum(), net.weight_hh_l0).numpy()])
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-6)
