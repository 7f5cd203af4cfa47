"""Text: ids and back, streams that lose nothing, probabilities that sum to 1, samples."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.text import (
    LanguageModel,
    NGram,
    Streams,
    Vocabulary,
    bits_per_character,
    sample,
)

# ── vocabulary ───────────────────────────────────────────────────────────────────────────


@given(st.text(st.characters(), min_size=1))
def test_decoding_gives_back_any_text(text):
    """Any code point: Hangul, emoji, combining marks, control characters, lone surrogates."""
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode(list(ids)) == text
    assert len(vocabulary) == len(set(text)) == len(np.unique(ids))
    assert ids.min() == 0
    assert ids.max() == len(vocabulary) - 1
    assert all(character in vocabulary for character in text)


@given(st.text(min_size=1), st.randoms())
def test_ids_depend_on_the_characters_only(text, random):
    shuffled = list(text)
    random.shuffle(shuffled)
    assert Vocabulary(shuffled).symbols == Vocabulary(text * 2).symbols


def test_nothing_has_no_vocabulary_but_encodes_and_decodes():
    with pytest.raises(ValueError, match="at least one character"):
        Vocabulary("")
    vocabulary = Vocabulary("ab")
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.encode("").dtype == np.intp
    assert vocabulary.decode([]) == ""
    assert "c" not in vocabulary
    assert repr(vocabulary) == "Vocabulary(2 characters)"


def test_unknown_characters_and_ids():
    vocabulary = Vocabulary("ab")
    with pytest.raises(KeyError, match=r"'ü' is not one of the 2"):
        vocabulary.encode("abü")
    for ids in ([2], [-1], [0, 5]):
        with pytest.raises(IndexError, match="from 0 to 1"):
            vocabulary.decode(ids)


# ── streams ──────────────────────────────────────────────────────────────────────────────


@given(st.integers(2, 60), st.integers(1, 9), st.integers(1, 9))
def test_windows_put_together_are_the_streams(M, N, T):
    if M <= N:
        with pytest.raises(ValueError, match=f"at least {N + 1} ids"):
            Streams(np.arange(M), N, T)
        return
    windows = Streams(np.arange(M) + 100, N, T)
    L = (M - 1) // N
    xs, ys = zip(*windows, strict=True)
    assert len(xs) == len(windows) == math.ceil(L / T)
    assert all(x.shape == (T, N) for x in xs[:-1])
    x, y = np.concatenate(xs), np.concatenate(ys)
    np.testing.assert_array_equal(x, 100 + np.arange(N * L).reshape(N, L).T)
    np.testing.assert_array_equal(y, x + 1)  # the id after it, also where a stream ends
    assert M - 1 - x.size < N


def test_windows_by_number():
    windows = Streams(np.arange(20), 2, 4)
    np.testing.assert_array_equal(windows[-1][0], windows[len(windows) - 1][0])
    for k in (3, -4):
        with pytest.raises(IndexError, match=f"window {k} of 3"):
            windows[k]


@pytest.mark.parametrize(("N", "T"), [(0, 1), (1, 0)])
def test_streams_of_nothing(N, T):
    with pytest.raises(ValueError, match="at least 1"):
        Streams(np.arange(9), N, T)
    with pytest.raises(ValueError, match="in one axis"):
        Streams(np.zeros((3, 3)), 1, 1)


# ── n-grams ──────────────────────────────────────────────────────────────────────────────

texts = st.integers(1, 4).flatmap(
    lambda V: st.tuples(
        st.just(V),
        st.lists(st.integers(0, V - 1), min_size=1, max_size=30),
        st.lists(st.integers(0, V - 1), max_size=6),
    )
)


@given(texts, st.integers(1, 4))
def test_probabilities_sum_to_one_after_any_history(text, order):
    V, training, history = text
    model = NGram(training, V, order)
    p = [model.probabilities([*history, w])[-1] for w in range(V)]
    assert sum(p) == pytest.approx(1)
    assert min(p) > 0


def witten_bell(training, V, history, w):
    """The definition, by counting."""
    if history is None:
        return 1 / V
    n = len(history)
    followers = [
        training[i + n] for i in range(len(training) - n) if training[i : i + n] == history
    ]
    below = witten_bell(training, V, history[1:] if history else None, w)
    if not followers:
        return below
    counts = Counter(followers)
    return (counts[w] + len(counts) * below) / (len(followers) + len(counts))


@given(texts, st.integers(1, 4))
def test_counts_against_the_definition(text, order):
    V, training, held_out = text
    p = NGram(training, V, order).probabilities(held_out)
    expected = [
        witten_bell(training, V, held_out[max(0, t - order + 1) : t], w)
        for t, w in enumerate(held_out)
    ]
    np.testing.assert_allclose(p, expected, rtol=1e-12)


def test_longer_histories_pay_on_text_and_not_on_noise():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 4, 20_000)
    cycle = np.tile([0, 1, 0, 2, 3, 0], 500)
    for order in (1, 2, 3):
        bits = NGram(noise[:18_000], 4, order).bits_per_character(noise[18_000:])
        assert bits == pytest.approx(2, abs=0.02)
    bits = [NGram(cycle[:2000], 4, n).bits_per_character(cycle[2000:]) for n in (1, 2, 3)]
    assert bits[0] > bits[1] + 0.5 > bits[2] + 1
    assert bits[2] < 0.05
    unigram = -sum(p * math.log2(p) for p in (1 / 2, 1 / 6, 1 / 6, 1 / 6))
    assert bits[0] == pytest.approx(unigram, abs=0.01)


def test_ngrams_of_what_is_no_text():
    with pytest.raises(ValueError, match="order must be at least 1"):
        NGram([0], 2, 0)
    with pytest.raises(ValueError, match="no ids"):
        NGram([], 2, 1)
    for ids in ([2], [-1], [[0]]):
        with pytest.raises(ValueError, match="ids from 0 to 1"):
            NGram(ids, 2, 1)
        with pytest.raises(ValueError, match="ids from 0 to 1"):
            NGram([0, 1], 2, 1).probabilities(ids)


# ── the model, measuring and sampling ────────────────────────────────────────────────────


def model_of(seed=0, dtype=np.float64):
    return LanguageModel(5, 3, 4, dtype=dtype, rng=seed)


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_windows_with_the_state_carried_are_the_whole_sequence(T, N, cut):
    ids = np.random.default_rng(cut).integers(0, 5, (T + 1, N))
    model, cut = model_of(), 1 + cut % T
    whole, (h, c) = model(ids)
    first, state = model(ids[:cut])
    second, (h2, c2) = model(ids[cut:], state)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-12)
    np.testing.assert_allclose(h2.data, h.data, rtol=1e-12)
    np.testing.assert_allclose(c2.data, c.data, rtol=1e-12)


def test_the_model_step_by_step():
    model, ids = model_of(), np.array([[0, 1], [4, 2]])
    weights = model.recurrent.state_dict()
    cell = nn.LSTMCell(3, 4, dtype=np.float64)
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in weights.items()})
    for unroll in (False, True):
        logits, state = model(ids, unroll=unroll)
        again = None
        for t in range(2):
            again = cell(model.embedding(ids[t]), again)
            np.testing.assert_allclose(logits.data[t], model.output(again[0]).data, rtol=1e-12)
        np.testing.assert_allclose(state[1].data[0], again[1].data, rtol=1e-12)
    nodes = tg.graph.ancestors([logits.node])  # the unrolled one, which has a box for each step
    assert {0, 1} <= {node.scope.step for node in nodes if "l0" in node.scope.path}


@pytest.mark.parametrize("ids", [0, [0, 1], np.zeros((0, 2), int), [[[0]]]])
def test_ids_of_another_shape(ids):
    with pytest.raises(ValueError, match=r"expected ids \(T, N\)"):
        model_of()(ids)


def test_bits_are_the_mean_over_all_windows():
    ids = np.random.default_rng(0).integers(0, 5, 38)
    model = model_of()
    x, y = Streams(ids, 2, 100)[0]
    whole = nn.cross_entropy(model(x)[0].reshape(-1, 5), y.reshape(-1)).item() / math.log(2)
    for T in (1, 4, 18, 100):  # 4 leaves a shorter last window
        assert bits_per_character(model, Streams(ids, 2, T)) == pytest.approx(whole, rel=1e-12)


def test_an_indifferent_model_takes_log_v_bits():
    model = model_of()
    model.output.weight.data = np.zeros((5, 4))
    model.output.bias.data = np.zeros(5)
    assert bits_per_character(model, Streams(np.arange(20) % 5, 2, 3)) == pytest.approx(
        math.log2(5)
    )


def test_no_text_has_no_bits():
    with pytest.raises(ValueError, match="no windows"):
        bits_per_character(model_of(), [])
    with pytest.raises(ValueError, match="no ids"):
        NGram([0], 1, 1).bits_per_character([])


class Follows(nn.Module):
    """After id i it predicts i + 1 with probability 3/4 and i + 2 with 1/4 (modulo 5)."""

    def forward(self, ids, state=None):
        logits = np.full((*ids.shape, 5), -np.inf)
        for place in np.ndindex(ids.shape):
            logits[place][(ids[place] + 1) % 5] = math.log(3)
            logits[place][(ids[place] + 2) % 5] = 0
        count = ids.size + (state or 0)
        return tg.Tensor(logits), count


def test_samples_follow_the_model():
    drawn = sample(Follows(), [0], 4000, rng=0)
    steps = np.diff([0, *drawn]) % 5
    assert set(steps) == {1, 2}
    assert (steps == 1).mean() == pytest.approx(3 / 4, abs=0.03)
    cold = np.diff([0, *sample(Follows(), [0], 4000, temperature=0.5, rng=0)]) % 5
    assert (cold == 1).mean() == pytest.approx(9 / 10, abs=0.03)
    greedy = sample(Follows(), [3], 7, temperature=0)
    np.testing.assert_array_equal(greedy, [4, 0, 1, 2, 3, 4, 0])


def test_the_same_seed_samples_the_same_and_the_prompt_matters():
    model = model_of()
    prompts = [[0, 1], [4]]
    a, b = (sample(model, prompts[0], 40, rng=7) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, sample(model, prompts[0], 40, rng=8))
    state, logits = None, None
    for i in itertools.chain(prompts[0], sample(model, prompts[0], 5, temperature=0)):
        if logits is not None and i != prompts[0][1]:
            assert i == logits.data[0, 0].argmax()
        logits, state = model([[i]], state)


def test_sampling_records_nothing_and_zero_is_fine():
    assert sample(model_of(), [0], 0).shape == (0,)
    for arguments in (([], 3), ([[0]], 3), ([0], -1)):
        with pytest.raises(ValueError, match="sample: expected"):
            sample(model_of(), *arguments)
    for temperature in (-1, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            sample(model_of(), [0], 3, temperature=temperature)
