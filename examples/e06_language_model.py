"""Language models of words: an RNN and an LSTM with one to three layers read the Python manual.

    x_t  = embedding of word t
    h1_t = cell(x_t,  h1_{t-1})                     the first layer
    h2_t = cell(h1_t, h2_{t-1})                     the second layer reads the first; ...
    p_t  = softmax(W hL_t + b)                      of word t + 1, from the last layer

    perplexity = (p_1 p_2 ... p_n)^(-1/n) = 2^(bits a word)         on n held-out words

A model with perplexity k is as unsure as if it chose among k equally likely words. The text is the
Python manual: words in small letters, and five punctuation marks. All words but the 999 most
frequent become "?". The text is cut into 8 streams that are read side by side, 35 words at a time
(truncated BPTT). The gradient stops at the beginning of a window; the state is carried on from the
window before.

We compare the nets with models that count. The unigram model knows no earlier word, the bigram
model knows one, and the trigram model knows two. All nets make the same number of steps. In so few
steps a second or third layer does not help, because a deeper net learns more slowly.

How much is the state worth? We set it to 0 after every k words, so that it knows at most k words.
(With k = 1 the net is a bigram model. It is worse than the counting one, because it almost never
started from 0 in training.) We do the same with an LSTM that reads characters.

The last tenth of the text is held out. Sizes and learning rates were chosen on the tenth before it,
with other seeds.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, characters, stacked
from tinygrad_rnn.data import python_manual
from tinygrad_rnn.text import (
    LanguageModel,
    NGram,
    Streams,
    Vocabulary,
    bits_per_character,
    detached,
    sample,
)
from tinygrad_rnn.viz import curves

WORDS, UNITS = 1000, 128
DROPOUT = 0.6  # the sum over all places: L layers have L + 1 places for dropout
RATE = {"RNN": 0.005, "LSTM": 0.01}  # for one layer; for L layers it is divided by sqrt(L)
RESETS = (1, 2, 5, 10, 35)  # the state is set to 0 after so many ids

# ── the model ────────────────────────────────────────────────────────────────────────────


class WordModel(LanguageModel):
    """Embedding, layers and scores of the next word, with dropout before and after each layer.

    The output of an LSTM, o_t tanh(c_t), is about a quarter as large as its input. So that the
    signal reaches a third layer, the input weights of all layers above the first start four times
    as large.
    """

    def __init__(self, kind: str, layers: int, rng: np.random.Generator):
        p = DROPOUT / (layers + 1)
        between = p if layers > 1 else 0.0
        super().__init__(WORDS, UNITS, UNITS, layers, cell=kind.lower(), dropout=between, rng=rng)
        self.ends = tg.nn.Dropout(p, rng=rng)
        gates = self.recurrent.gates
        for name, weight in self.recurrent.named_parameters():
            if name.startswith("weight_hh"):
                weight.data = tg.nn.init.orthogonal(weight.shape, gates=gates, rng=rng)
            elif name.startswith("weight_ih"):
                gain = 4.0 if kind == "LSTM" and name != "weight_ih_l0" else 1.0
                weight.data = tg.nn.init.xavier(weight.shape, gain, gates=gates, rng=rng)

    def forward(
        self, ids: Any, state: Any = None, *, unroll: bool = False
    ) -> tuple[tg.Tensor, Any]:
        y, state = self.recurrent(self.ends(self.embedding(ids)), state, unroll=unroll)
        return self.output(self.ends(y)), state


def words() -> list[str]:
    """Return the words of the manual in small letters, and its punctuation marks."""
    return re.findall(r"[a-z]+|[.,;:!]", python_manual().lower())


# ── training ─────────────────────────────────────────────────────────────────────────────


def train(
    model: LanguageModel, windows: Streams, steps: int, lr: float, test: Streams, every: int
) -> list[tuple[int, float]]:
    """Train by truncated BPTT: the state is carried from window to window, the gradient is not.

    Args:
        model: trained in place.
        windows: pairs (x, y) of ids (T, N) and the ids that follow them.
        steps: the number of steps, one window each.
        lr: the first learning rate; it falls along half a cosine.
        test: windows of the held-out text.
        every: how often, in steps, to measure on ``test``.

    Returns:
        Pairs of a step and the bits per id of ``test`` after it.
    """
    optimizer = tg.optim.Adam(model.parameters(), lr=lr)
    state, measured = None, []
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, lr, steps)
        x, y = windows[k % len(windows)]
        if k % len(windows) == 0:
            state = None  # the text starts again
        logits, state = model(x, state)
        state = detached(state)  # no gradient goes back into the window before
        loss = tg.nn.cross_entropy(logits.reshape(y.size, -1), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (k + 1) % every == 0:
            model.eval()  # without dropout
            measured.append((k + 1, bits_per_character(model, test)))
            model.train()
    model.eval()
    return measured


# ── results ──────────────────────────────────────────────────────────────────────────────


def n_gram_bits(training: np.ndarray, held_out: np.ndarray, size: int) -> dict[str, float]:
    """Return the bits per id of the models that count."""
    return {
        name: NGram(training, size, order).bits_per_character(held_out)
        for order, name in enumerate(("unigram", "bigram", "trigram"), 1)
    }


def bits_with_resets(model: LanguageModel, ids: np.ndarray) -> list[float]:
    """Return the bits per id if the state is set to 0 after every 1, 2, 5, ... ids."""
    return [bits_per_character(lambda x, _: model(x), Streams(ids, 64, k)) for k in RESETS]


def level(value: float, steps: int) -> list[tuple[int, float]]:
    """Return a horizontal line for the chart."""
    return [(0, value), (steps, value)]


def print_row(name: str, numbers: Sequence[float], digits: int) -> None:
    print(f"  {name:<26}" + "".join(f"{number:8.{digits}f}" for number in numbers), flush=True)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    depths, steps, every = ((1,), 160, 80) if args.quick else ((1, 2, 3), 1200, 150)
    spelling, draws, *weights = np.random.default_rng(args.seed).spawn(8)

    text = words()
    cut = len(text) * 9 // 10
    vocabulary = Vocabulary(text[:cut], unknown="?", size=WORDS)
    training, held_out = vocabulary.encode(text[:cut]), vocabulary.encode(text[cut:])
    print(f"{len(training):,} words to read, {len(held_out):,} held out; perplexity")
    perplexity = {name: 2**b for name, b in n_gram_bits(training, held_out, WORDS).items()}
    print_row(", ".join(perplexity), list(perplexity.values()), 1)
    lines = {name: level(perplexity[name], steps) for name in ("bigram", "trigram")}
    models = {}
    for layers in depths:
        for kind, rate in RATE.items():
            name = f"{kind}, {layers} layer{'s' * (layers > 1)}"
            models[name] = WordModel(kind, layers, weights.pop())
            bits = train(
                models[name],
                windows=Streams(training, 8, 35),
                steps=steps,
                lr=rate / layers**0.5,
                test=Streams(held_out, 1, 500),
                every=every,
            )
            lines[name] = [(k, 2**b) for k, b in bits]
            perplexity[name] = lines[name][-1][1]
            print_row(name, [perplexity[name]], 1)

    alphabet, spelled, unseen = characters()
    print(f"\n{len(spelled):,} characters to read, {len(unseen):,} held out; bits per character")
    bits_of = n_gram_bits(spelled, unseen, len(alphabet))
    print_row(", ".join(bits_of), list(bits_of.values()), 2)
    speller = LanguageModel(len(alphabet), 32, UNITS, rng=spelling)
    speller_curve = train(
        speller,
        windows=Streams(spelled, 16, 50),
        steps=steps,
        lr=RATE["LSTM"],
        test=Streams(unseen, 16, 500),
        every=every,
    )
    bits_of["LSTM"] = speller_curve[-1][1]
    print_row("LSTM, 1 layer", [bits_of["LSTM"]], 2)

    reader = models["LSTM, 1 layer"]
    word_resets = [2**b for b in bits_with_resets(reader, held_out)] + [perplexity["LSTM, 1 layer"]]
    character_resets = [*bits_with_resets(speller, unseen), bits_of["LSTM"]]
    print("\nthe two LSTMs with one layer, their state set to 0 after every")
    print(" " * 28 + "".join(f"{k:>8}" for k in (*RESETS, "(never)")))
    print_row("words; perplexity", word_resets, 1)
    print_row("characters; bits", character_resets, 2)

    prompt = vocabulary.encode(["the"])
    drawn = sample(reader, prompt, 60, exclude=vocabulary.encode("?"), rng=draws)
    sentence = " ".join(vocabulary.symbols[i] for i in [*prompt, *drawn])
    prompt = alphabet.encode("The ")
    print("\n" + textwrap.fill(re.sub(r" ([.,;:!])", r"\1", sentence), 100))
    print("\n" + alphabet.decode([*prompt, *sample(speller, prompt, 280, rng=draws)]))

    n_grams = {name: level(bits_of[name], steps) for name in ("bigram", "trigram")}
    stacked(
        args.out / "e06_language_model.svg",
        [
            curves("Words of the Python manual", "perplexity of held-out words", lines),
            curves(
                "Characters of the Python manual",
                "bits per held-out character",
                {**n_grams, "LSTM, 1 layer": speller_curve},
            ),
        ],
    )
    rnn, lstm = ([perplexity[n] for n in models if n.startswith(kind)] for kind in RATE)
    checks = {
        "words and characters: the longer the state is kept, the better": all(
            shorter > longer
            for row in (word_resets, character_resets)
            for shorter, longer in pairwise(row)
        )
    }
    if args.quick:
        checks["both nets below 0.85 of the unigram model's perplexity"] = (
            max(*rnn, *lstm) < 0.85 * perplexity["unigram"]
        )
        checks["characters: 1.5 bits below the unigram model"] = (
            bits_of["LSTM"] < bits_of["unigram"] - 1.5
        )
    else:
        checks["one layer: RNN < bigram model"] = rnn[0] < perplexity["bigram"]
        checks["one layer: LSTM < trigram model"] = lstm[0] < perplexity["trigram"]
        checks["LSTM < RNN with one layer"] = lstm[0] < rnn[0]
        checks["LSTM < RNN with two layers"] = lstm[1] < rnn[1]
        checks["a character LSTM <= 2.1 bits"] = bits_of["LSTM"] <= 2.1
    return Result(
        f"layers {', '.join(map(str, depths))}: RNN {', '.join(f'{p:.1f}' for p in rnn)}, "
        f"LSTM {', '.join(f'{p:.1f}' for p in lstm)}; bigram {perplexity['bigram']:.1f}, trigram "
        f"{perplexity['trigram']:.1f}; LSTM with its state for {RESETS[2]} words "
        f"{word_resets[2]:.1f}, for {RESETS[-1]} {word_resets[-2]:.1f}; character LSTM "
        f"{bits_of['LSTM']:.2f} bits, trigram {bits_of['trigram']:.2f}",
        checks,
    ).report()


if __name__ == "__main__":
    main()
