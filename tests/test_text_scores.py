"""Perplexity and BLEU; ends and states of what a model writes; one-hot ids; chrono biases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn.text import LanguageModel, bleu, generate, perplexity, sample

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat"]), min_size=1, max_size=9)


def test_perplexity():
    assert perplexity(math.log(50)) == pytest.approx(50)
    logits = np.zeros((4, 7))
    assert perplexity(tg.nn.cross_entropy(logits, [0, 1, 2, 3])) == pytest.approx(7)
    assert perplexity(tg.Tensor(np.log([2.0, 8.0]))) == pytest.approx(4)
    assert perplexity(1e4) == math.inf


@given(st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=4))
@pytest.mark.parametrize("smooth", [True, False])
def test_bleu_as_sacrebleu(smooth, pairs):
    sacrebleu = pytest.importorskip("sacrebleu")
    hypotheses, references = (list(part) for part in zip(*pairs, strict=True))
    most = max(map(len, references))
    streams = [[" ".join(r[min(k, len(r) - 1)]) for r in references] for k in range(most)]
    theirs = sacrebleu.corpus_bleu(
        [" ".join(h) for h in hypotheses],
        streams,
        tokenize="none",
        smooth_method="exp" if smooth else "none",
    )
    assert bleu(hypotheses, references, smooth=smooth) == pytest.approx(theirs.score, abs=1e-9)


def test_bleu_by_hand():
    there, reference = (
        ["the", "cat", "sat", "on", "the", "mat"],
        ["the", "cat", "is", "on", "the", "mat"],
    )
    # 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, none of 3: a half.
    expected = 100 * (5 / 6 * 3 / 5 * 1 / 4 * 1 / (2 * 3)) ** 0.25
    assert bleu([there], [[reference]]) == pytest.approx(expected)
    assert bleu([there], [[reference]], smooth=False) == 0
    short = bleu([["the", "cat", "is", "on"]], [[reference]])
    assert short == pytest.approx(100 * math.exp(1 - 6 / 4))
    assert bleu([["x"]], [[reference]]) == 0
    with pytest.raises(TypeError, match="split strings"):
        bleu(["the cat"], [[reference]])
    with pytest.raises(TypeError, match="split strings"):
        bleu([there], ["the cat"])
    with pytest.raises(ValueError, match="as many references"):
        bleu([there], [])
    with pytest.raises(ValueError, match="at least one"):
        bleu([there], [[]])


def test_writing_ends_with_an_id_and_begins_with_a_state():
    model = LanguageModel(5, 3, 4, rng=0).eval()
    long = sample(model, [0], 200, rng=1)
    end = int(long[7])
    first = int(np.flatnonzero(long == end)[0])
    ended = sample(model, [0], 200, rng=1, end=end)
    assert ended.tolist() == long[: first + 1].tolist()
    assert list(generate(model, [0], rng=1, end=end)) == ended.tolist()
    with tg.no_grad():
        _, state = model(np.array([[0], [3], [2]]))
    whole = sample(model, [0, 3, 2, 1], 6, temperature=0)
    assert sample(model, [1], 6, temperature=0, state=state).tolist() == whole.tolist()
    with pytest.raises(IndexError, match="sample: end"):
        sample(model, [0], 3, end=9)
    with pytest.raises(TypeError, match="sample: end"):
        sample(model, [0], 3, end=1.5)


def test_one_hot():
    assert tg.one_hot([[2, 0]]).tolist() == [[[0, 0, 1], [1, 0, 0]]]
    assert tg.one_hot(np.array([1]), 4, dtype=np.float64).dtype == np.float64
    assert isinstance(tg.one_hot(tg.Tensor([1, 0]), 2), tg.Tensor)
    W = tg.Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    ids = np.array([2, 0, 2])
    assert ((tg.one_hot(ids, 3, dtype=np.float64) @ W).data == tg.embedding(ids, W).data).all()
    with pytest.raises(IndexError, match="from 0 to 1"):
        tg.one_hot([2], 2)
    with pytest.raises(TypeError, match="integer"):
        tg.one_hot([0.5], 2)
    with pytest.raises(ValueError, match="num_classes"):
        tg.one_hot(np.zeros(0, int))

    def cell(h, id_t):  # within a scan, too
        h = h + tg.one_hot(id_t, 3, dtype=np.float64) @ W
        return h, h

    h, _ = tg.scan(cell, np.zeros((1, 2)), np.array([[2], [0]]))
    assert h.data.tolist() == (W.data[2] + W.data[0])[None].tolist()


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_chrono(cell, gates):
    H = 5000
    bias = tg.nn.init.chrono(gates * H, 50, cell=cell, rng=0)
    keep = bias[H : 2 * H]
    u = np.exp(keep)
    assert u.min() >= 1 - 1e-5
    assert u.max() <= 49 + 1e-3
    assert u.mean() == pytest.approx(25, rel=0.03)
    if cell == "lstm":
        assert (bias[:H] == -keep).all()
    assert not bias[2 * H :].any()
    for wrong, arguments in (
        ("longest", (gates * 2, 1)),
        ("shape", (gates * 2 + 1, 9)),
    ):
        with pytest.raises(ValueError, match=wrong):
            tg.nn.init.chrono(*arguments, cell=cell)
    with pytest.raises(ValueError, match="'lstm' or 'gru'"):
        tg.nn.init.chrono(8, 9, cell="rnn")
