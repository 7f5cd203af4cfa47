"""Four shapes of a recurrent net: one to many, many to one, and two kinds of many to many.

    one to many     h_0 = tanh(W v),    h_t = GRU(y_{t-1}, h_{t-1}),    y_t ~ softmax(V h_t)
    many to one                         h_t = GRU(x_t, h_{t-1}),        y = V h_T
    many to many    many to one, then one to many from v = y            y_t after all x_t
    many to many                        h_t = GRU(x_t, h_{t-1}),        y_t = V h_t at once

The loop is the same in all four. They differ in where inputs enter and where outputs leave. The
data decide the number of steps:

    one to many     From the digits of a number to its name: 407, "four hundred seven". Each word
                    that the net writes is its next input. It also writes when to stop: END.
    many to one     From two clauses to "praises" or "blames". "not" reverses an adjective, and only
                    one clause counts: B in "A but B" and "although A , B", A in "A although B".
    many to many    From English to Korean: "four hundred seven", 사 백 칠. The number of words
                    differs, and the net reads all words before it writes the first one.
    many to many    A label for every frame of a film: e08_moving_digits, the next example.

All scores are for numbers and sentences that were not in the training. Sentiment depends on the
order of the words. A model of the bag of words can know only the sentences whose clauses agree: a
quarter of all. In the other three quarters the same bag praises as often as it blames. So it is
right in at most 1/4 + 3/4 1/2 = 62.5 % of all sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from e08_moving_digits import DIRECTIONS, Video
from svg import page, text
from tinygrad_rnn.text import Vocabulary

UNITS = 64
END = 0  # the id that ends a name; it also stands before the first word

# ── the shapes ───────────────────────────────────────────────────────────────────────────


class OneToMany(tg.nn.Module):
    """From a vector v (N, inputs) to the scores (N, words) of each word.

    The input of a step is the word before: in training the true one, ``truth`` (T, N), otherwise
    the likeliest one of the net.
    """

    def __init__(self, inputs: int, words: int, rng: np.random.Generator):
        self.enter = tg.nn.Linear(inputs, UNITS, bias=False, rng=rng)
        self.embedding = tg.nn.Embedding(words, 16, rng=rng)
        self.cell = tg.nn.GRUCell(16, UNITS, bias=False, rng=rng)
        self.out = tg.nn.Linear(UNITS, words, bias=False, rng=rng)

    def forward(self, v: Any, steps: int, truth: np.ndarray | None = None) -> list[tg.Tensor]:
        h, word, y = tg.tanh(self.enter(v)), np.full(len(v), END), []
        for t, _ in tg.steps(range(steps)):
            h = self.cell(self.embedding(word), h)
            y.append(self.out(h))
            word = y[t].data.argmax(-1) if truth is None else truth[t]
        return y


class ManyToOne(tg.nn.Module):
    """From words (T, N) to a vector (N, outputs).

    Short sequences begin with END, which enters as a zero vector. There are no biases, so the state
    stays 0 until the first word.
    """

    def __init__(self, words: int, outputs: int, rng: np.random.Generator):
        self.embedding = tg.nn.Embedding(words, 16, rng=rng)
        self.cell = tg.nn.GRUCell(16, UNITS, bias=False, rng=rng)
        self.out = tg.nn.Linear(UNITS, outputs, bias=False, rng=rng)

    def forward(self, words: Any) -> tg.Tensor:
        h = None
        for _, word in tg.steps(words):
            h = self.cell(self.embedding(word) * (word != END)[:, None], h)
        return self.out(h)


class ManyToMany(tg.nn.Module):
    """From words to words: one net reads, the other writes from the vector of the first."""

    def __init__(self, words: int, outputs: int, rng: np.random.Generator):
        self.read = ManyToOne(words, UNITS, rng)
        self.write = OneToMany(UNITS, outputs, rng)

    def forward(self, words: Any, steps: int, truth: np.ndarray | None = None) -> list[tg.Tensor]:
        return self.write(self.read(words), steps, truth)


class BagOfWords(tg.nn.Module):
    """A model without order, for comparison with many to one: it sums the words."""

    def __init__(self, words: int, outputs: int, rng: np.random.Generator):
        self.embedding = tg.nn.Embedding(words, 16, rng=rng)
        self.hidden = tg.nn.Linear(16, UNITS, rng=rng)
        self.out = tg.nn.Linear(UNITS, outputs, rng=rng)

    def forward(self, words: np.ndarray) -> tg.Tensor:
        return self.out(tg.tanh(self.hidden(self.embedding(words).sum(0))))


# ── the data ─────────────────────────────────────────────────────────────────────────────

NUMBERS = np.arange(1, 1000)
BELOW_20, TENS, NOUNS, PRAISE, BLAME = (
    words.split()
    for words in (
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen",
        "twenty thirty forty fifty sixty seventy eighty ninety",
        "film story acting music ending camera",
        "good great fine lovely clever superb",
        "bad poor dull awful boring weak",
    )
)


def english(number: int) -> list[str]:
    """Return the name of a number from 1 to 999.

    >>> english(407)
    ['four', 'hundred', 'seven']
    """
    hundreds, rest = divmod(number, 100)
    words = [BELOW_20[hundreds - 1], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(TENS[rest // 10 - 2])
        rest %= 10
    return [*words, BELOW_20[rest - 1]] if rest else words


def korean(number: int) -> list[str]:
    """Return the name in Korean, where 100 is 백 and 10 is 십, without a one before them.

    >>> korean(407), korean(117)
    (['사', '백', '칠'], ['백', '십', '칠'])
    """
    words = []
    for power, name in ((100, "백"), (10, "십"), (1, "")):
        digit = number // power % 10
        if digit > 1 or (digit == 1 and not name):
            words.append("일이삼사오육칠팔구"[digit - 1])
        if digit and name:
            words.append(name)
    return words


def clause(rng: np.random.Generator) -> tuple[str, bool]:
    """Draw a clause about one thing, and return whether it praises."""
    good, negated, stressed = rng.random(3) < 0.5
    words = f"the {rng.choice(NOUNS)} was{' not' if negated else ''}{' really' if stressed else ''}"
    return f"{words} {rng.choice(PRAISE if good else BLAME)}", good != negated


def sentence(rng: np.random.Generator) -> tuple[str, bool]:
    """Draw two clauses, and return whether the one that counts praises."""
    (a, a_praises), (b, b_praises) = clause(rng), clause(rng)
    return [
        (f"{a} but {b}", b_praises),
        (f"{a} although {b}", a_praises),
        (f"although {a} , {b}", b_praises),
    ][rng.integers(3)]


def encoded(
    sequences: Sequence[Sequence[str]], end_first: bool = False
) -> tuple[np.ndarray, Vocabulary]:
    """Encode sequences as ids (T, N), padded with END after the words or before them."""
    vocabulary = Vocabulary({"", *(word for words in sequences for word in words)})
    T = max(map(len, sequences)) + 1
    ids = np.full((T, len(sequences)), END)  # "" comes first in the vocabulary
    for n, words in enumerate(sequences):
        place = slice(T - len(words), T) if end_first else slice(len(words))
        ids[place, n] = vocabulary.encode(words)
    return ids, vocabulary


# ── training ─────────────────────────────────────────────────────────────────────────────


def trained_accuracy(
    model: tg.nn.Module,
    net: Callable[..., list[tg.Tensor]],
    x: np.ndarray,
    y: np.ndarray,
    steps: int,
    rng: np.random.Generator,
) -> float:
    """Train on four fifths of the data; return the share of the last fifth that is all right.

    Args:
        model: its parameters are trained.
        net: called with x (..., N), and in training also with y; gives the scores (N, V) of each
            step.
        x: (..., N), the inputs.
        y: (T, N), the targets.
        steps: how many steps, with batches of 64.
        rng: draws the held-out fifth and the batches.
    """
    held_out, training = np.split(rng.permutation(y.shape[1]), [y.shape[1] // 5])

    optimizer = tg.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, 0.005, steps)  # falls along half a cosine
        batch = rng.choice(training, 64)
        truth = y[:, batch]
        loss = tg.nn.cross_entropy(tg.concatenate(net(x[..., batch], truth)), truth.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with tg.no_grad():
        said = np.stack([scores.data.argmax(-1) for scores in net(x[..., held_out])])
    return float((said == y[:, held_out]).all(axis=0).mean())


def name_numbers(steps: int, rng: np.random.Generator) -> tuple[float, list[tg.Tensor]]:
    """Train one to many; return its accuracy, and the graph of 700."""
    digits = np.concatenate([np.eye(10)[NUMBERS // power % 10].T for power in (100, 10, 1)])
    y, vocabulary = encoded([english(n) for n in NUMBERS])
    model = OneToMany(30, len(vocabulary), rng)
    right = trained_accuracy(
        model, lambda x, truth=None: model(x.T, len(y), truth), digits, y, steps, rng
    )
    return right, named(
        model(tg.Tensor(digits.T[699:700], dtype=np.float32, name="700"), 3), vocabulary.symbols
    )


def judge_sentences(steps: int, rng: np.random.Generator) -> tuple[float, float, list[tg.Tensor]]:
    """Train many to one and a bag of words; return both accuracies, and the graph of a clause."""
    sentences = dict(sentence(rng) for _ in range(5000))
    x, vocabulary = encoded([words.split() for words in sentences], end_first=True)
    y = np.array([list(sentences.values())], np.intp)
    model, bag = (kind(len(vocabulary), 2, rng) for kind in (ManyToOne, BagOfWords))
    right = [
        trained_accuracy(net, lambda x, truth=None, net=net: [net(x)], x, y, steps, rng)
        for net in (model, bag)
    ]
    shown = ("the", "film", "was", "not", "good")
    words = [tg.Tensor(vocabulary.encode([word]), name=word) for word in shown]
    return *right, named([model(words)], ["blames", "praises"])


def translate_numbers(steps: int, rng: np.random.Generator) -> tuple[float, list[tg.Tensor]]:
    """Train the first many to many; return its accuracy, and the graph of 700."""
    x, words = encoded([english(n) for n in NUMBERS], end_first=True)
    y, syllables = encoded([korean(n) for n in NUMBERS])
    model = ManyToMany(len(words), len(syllables), rng)
    right = trained_accuracy(model, lambda x, truth=None: model(x, len(y), truth), x, y, steps, rng)
    shown = [tg.Tensor(words.encode([w]), name=w) for w in english(700)]
    return right, named(model(shown, 3), syllables.symbols)


def named(scores: Sequence[tg.Tensor], symbols: Sequence[str]) -> list[tg.Tensor]:
    """Return the probabilities of each step, named after the likeliest symbol."""
    answer = [tg.softmax(y) for y in scores]
    for p in answer:
        p.name = symbols[int(p.data[0].argmax())] or "END"
    return answer


def picture(path: Path, graphs: dict[str, Sequence[tg.Tensor]]) -> None:
    """Draw graphs with one box per time step, in two columns, each with its name above."""
    parts, x, y, widest, high = [], 20.0, 60.0, 0.0, 0.0
    for k, (name, outputs) in enumerate(graphs.items()):
        if k and k % 2 == 0:
            x, y, high = 20.0, y + high + 50, 0.0
        svg = tg.draw(outputs, detail="cell").pipe(format="svg", encoding="utf-8")
        # The page sets the font. Node ids would occur four times in one file, so they are removed.
        svg = re.sub(r' (id|font-family)="[^"]*"|<!--.*?-->|<title>.*?</title>', "", svg)
        *_, width, height = map(float, re.search(r'viewBox="([^"]*)"', svg)[1].split())
        parts += [
            text(x, y - 10, name, "start"),
            f'<svg x="{x}" y="{y}" width="{width}" height="{height}" '
            + svg[svg.index("viewBox") :],
        ]
        x, high = x + width + 40, max(high, height)
        widest = max(widest, x)
    title = "One to many, many to one, many to many: the same loop, other inputs and outputs"
    page(path, widest, y + high + 10, title, parts)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps = 400 if args.quick else 1500
    rng = np.random.default_rng(args.seed)

    names, name = name_numbers(steps, rng)
    print(f"one to many   {names:.1%} of unseen numbers get the right name")
    sentiment, bag, verdict = judge_sentences(steps, rng)
    print(f"many to one   {sentiment:.1%} of unseen sentences, {bag:.1%} without their order")
    translations, translation = translate_numbers(steps, rng)
    print(f"many to many  {translations:.1%} of unseen numbers are translated right")

    _, direction = Video(rng)(np.zeros((3, 1, 1, 8, 12), np.float32))
    picture(
        args.out / "e07_four_shapes.svg",
        {
            "one to many: the name of 700": name,
            "many to one: whether it praises": verdict,
            "many to many: 700 in Korean": translation,
            "many to many: labels of frames": named(direction, len(DIRECTIONS) * ["direction"]),
        },
    )
    least = 0.5 if args.quick else 0.95
    return Result(
        measured=f"unseen numbers: names {names:.1%}, translations {translations:.1%} exact; "
        f"unseen sentences: sentiment {sentiment:.1%}, bag of words {bag:.1%}",
        checks={
            f"names: at least {least:.0%} exact": names >= least,
            f"translations: at least {least:.0%} exact": translations >= least,
            "sentiment: at least 98 %": sentiment >= 0.98,
            "at least 15 points over a bag of words": sentiment >= bag + 0.15,
        },
    ).report()


if __name__ == "__main__":
    main()
