"""Language models: an RNN and an LSTM, one to three layers deep, that read the words of a manual.

    x_t  = embedding of word t
    h1_t = cell(x_t,  h1_{t-1})                     the first layer
    h2_t = cell(h1_t, h2_{t-1})                     the second reads the states of the first; ...
    p_t  = softmax(W hL_t + b)                      of word t + 1, from the last layer

    perplexity = (p_1 p_2 ... p_n)^(-1/n) = 2^(bits a word)         on n held-out words

A model that is as unsure as if it had k equally likely words to choose from has perplexity k. The
text is the Python manual, its words in small letters and five punctuation marks; all but the 999
most frequent count as one, "?". It is cut into 8 streams that are read side by side, 35 words at a
time (truncated BPTT): gradients go back to the beginning of a window, the state comes from the
window before.

Beside the nets stand models that count: the unigram model knows no word before the next one, the
bigram model one, the trigram model two. All nets make the same number of steps, and by then a
second or third layer has not paid: the deeper a net, the more slowly it learns.

What the state is worth shows when it is taken away: set to 0 after every k words, it knows k of
them at most. (With k = 1 such a net is a bigram model, and worse than the one that counts: it has
hardly ever begun from 0 in its training.) The same with an LSTM that reads characters.

The last tenth of the text is held out. Sizes and rates were chosen by the tenth before it, with
other seeds.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, characters, learn, stacked
from tinygrad_rnn.app.demo import manual
from tinygrad_rnn.text import (
    LanguageModel,
    NGram,
    Streams,
    Vocabulary,
    bits_per_character,
    sample,
)
from tinygrad_rnn.viz.curve import curves

WORDS, UNITS = 1000, 128
DROPOUT = 0.6  # in all: L layers have L + 1 places for it
RATE = {"RNN": 0.005, "LSTM": 0.01}  # of one layer; of L layers 1 / sqrt(L) of it
REACHES = (1, 2, 5, 10, 35)

# ── the model ────────────────────────────────────────────────────────────────────────────


class WordModel(LanguageModel):
    """Embedding, layers and scores of the next word, with dropout before and after each layer.

    The h_t of an LSTM, o_t tanh(c_t), is about a quarter as large as what it reads: so that a third
    layer hears something, those above the first begin with four times the weights for their input.
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
    """The words of the manual in small letters, and its punctuation marks."""
    return re.findall(r"[a-z]+|[.,;:!]", manual().lower())


# ── measured ─────────────────────────────────────────────────────────────────────────────


def counted(training: np.ndarray, held_out: np.ndarray, size: int) -> dict[str, float]:
    """The bits per id of models that count."""
    return {
        name: NGram(training, size, order).bits_per_character(held_out)
        for order, name in enumerate(("unigram", "bigram", "trigram"), 1)
    }


def forgetful(model: LanguageModel, ids: np.ndarray) -> list[float]:
    """The bits per id where the state is set to 0 after every 1, 2, 5, ... ids."""
    return [bits_per_character(lambda x, _: model(x), Streams(ids, 64, k)) for k in REACHES]


def level(value: float, steps: int) -> list[tuple[int, float]]:
    return [(0, value), (steps, value)]


def across(name: str, numbers: Sequence[float], digits: int) -> None:
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
    found = {name: 2**bits for name, bits in counted(training, held_out, WORDS).items()}
    across(", ".join(found), list(found.values()), 1)
    lines = {name: level(found[name], steps) for name in ("bigram", "trigram")}
    models = {}
    for layers in depths:
        for kind, rate in RATE.items():
            name = f"{kind}, {layers} layer{'s' * (layers > 1)}"
            models[name] = WordModel(kind, layers, weights.pop())
            bits = learn(
                models[name],
                windows=Streams(training, 8, 35),
                steps=steps,
                lr=rate / layers**0.5,
                test=Streams(held_out, 1, 500),
                every=every,
            )
            lines[name] = [(k, 2**b) for k, b in bits]
            found[name] = lines[name][-1][1]
            across(name, [found[name]], 1)

    signs, read, unread = characters()
    print(f"\n{len(read):,} characters to read, {len(unread):,} held out; bits a character")
    known = counted(read, unread, len(signs))
    across(", ".join(known), list(known.values()), 2)
    speller = LanguageModel(len(signs), 32, UNITS, rng=spelling)
    spelled = learn(
        speller,
        windows=Streams(read, 16, 50),
        steps=steps,
        lr=RATE["LSTM"],
        test=Streams(unread, 16, 500),
        every=every,
    )
    known["LSTM"] = spelled[-1][1]
    across("LSTM, 1 layer", [known["LSTM"]], 2)

    reader = models["LSTM, 1 layer"]
    short = [2**bits for bits in forgetful(reader, held_out)] + [found["LSTM, 1 layer"]]
    shorter = [*forgetful(speller, unread), known["LSTM"]]
    print("\nthe state of the two LSTMs with one layer, set to 0 after every")
    print(" " * 28 + "".join(f"{k:>8}" for k in (*REACHES, "(never)")))
    across("words; perplexity", short, 1)
    across("characters; bits", shorter, 2)

    prompt = vocabulary.encode(["the"])
    drawn = sample(reader, prompt, 60, exclude=vocabulary.encode("?"), rng=draws)
    sentence = " ".join(vocabulary.symbols[i] for i in [*prompt, *drawn])
    prompt = signs.encode("The ")
    print("\n" + textwrap.fill(re.sub(r" ([.,;:!])", r"\1", sentence), 100))
    print("\n" + signs.decode([*prompt, *sample(speller, prompt, 280, rng=draws)]))

    n_grams = {name: level(known[name], steps) for name in ("bigram", "trigram")}
    stacked(
        args.out / "e06_language_model.svg",
        [
            curves("Words of the Python manual", "perplexity of held-out words", lines),
            curves(
                "Its characters",
                "bits per held-out character",
                {**n_grams, "LSTM, 1 layer": spelled},
            ),
        ],
    )
    rnn, lstm = ([found[n] for n in models if n.startswith(kind)] for kind in RATE)
    checks = {
        "words and characters: the longer the state is kept, the better": all(
            before > after for row in (short, shorter) for before, after in pairwise(row)
        )
    }
    if args.quick:
        checks["both nets below 0.85 of the unigram model's perplexity"] = (
            max(*rnn, *lstm) < 0.85 * found["unigram"]
        )
        checks["a bit and a half below the unigram model of characters"] = (
            known["LSTM"] < known["unigram"] - 1.5
        )
    else:
        checks["one layer: RNN < bigram model"] = rnn[0] < found["bigram"]
        checks["one layer: LSTM < trigram model"] = lstm[0] < found["trigram"]
        checks["LSTM < RNN with one layer"] = lstm[0] < rnn[0]
        checks["LSTM < RNN with two layers"] = lstm[1] < rnn[1]
        checks["a character LSTM <= 2.1 bits"] = known["LSTM"] <= 2.1
    return Result(
        f"layers {', '.join(map(str, depths))}: RNN {', '.join(f'{p:.1f}' for p in rnn)}, "
        f"LSTM {', '.join(f'{p:.1f}' for p in lstm)}; bigram {found['bigram']:.1f}, trigram "
        f"{found['trigram']:.1f}; LSTM with its state for {REACHES[2]} words {short[2]:.1f}, for "
        f"{REACHES[-1]} {short[-2]:.1f}; character LSTM {known['LSTM']:.2f} bits, trigram "
        f"{known['trigram']:.2f}",
        checks,
    ).report()


if __name__ == "__main__":
    main()
