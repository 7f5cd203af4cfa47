"""You say goodbye and I say hello: the words before "say" decide what comes next.

    x_t = W_e[word_t]                               embedding
    h_t = tanh(W_x x_t + W_h h_{t-1} + b)           h_say depends on "You say" or on "... I say"
    p(next word) = softmax(W_y h_t + b_y)
    L = -1/T sum_t log p(word_{t+1})                cross-entropy

The sentence has seven words and a full stop, so there are seven next words to predict. "say" occurs
twice, with a different next word each time. A model that sees one word at a time gets at most six
of seven right; the best it can do for "say" is p = 1/2 for each. The same net with its state gets
all seven right. W_x, W_h and b are the same at all steps, so their gradients are sums over the
steps.

The picture shows h_t word by word. It also shows how much the last state, h_hello, depends on each
word: the norm of dh_hello/dx_t. It is above 0 for every word, so h_hello depends on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, heat_map
from tinygrad_rnn.text import LanguageModel, Vocabulary

SENTENCE = "You say goodbye and I say hello ."


def trained(ids: np.ndarray, targets: np.ndarray, seed: int, steps: int) -> LanguageModel:
    """Train embedding -> RNN -> softmax on sequences ids (T, N) and their next words."""
    model = LanguageModel(6 + 1, embedding_dim=4, hidden_size=8, cell="rnn", rng=seed)

    optimizer = tg.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        logits, _ = model(ids)
        loss = tg.nn.cross_entropy(logits.reshape(7, -1), targets.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def probabilities(model: LanguageModel, ids: np.ndarray) -> np.ndarray:
    """Return p(next word) after each of the seven words, (7, V)."""
    with tg.no_grad():
        logits, _ = model(ids)
    return tg.softmax(logits.numpy().reshape(7, -1))


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    words = SENTENCE.split()
    vocabulary = Vocabulary(words)
    ids = vocabulary.encode(words)
    inputs, targets = ids[:-1], ids[1:]
    steps = 300

    # The same words as one sequence of seven, and as seven sequences of one word.
    sentence, alone = inputs[:, None], inputs[None, :]
    model = trained(sentence, targets, args.seed, steps)
    p = probabilities(model, sentence)
    q = probabilities(trained(alone, targets, args.seed, steps), alone)

    print(f"  {'word':<10}{'next':<10}{'p, RNN':>8}{'p, one word':>13}")
    for t, (word, following) in enumerate(pairwise(words)):
        print(f"  {word:<10}{following:<10}{p[t, targets[t]]:8.3f}{q[t, targets[t]]:13.3f}")
    right, right_alone = ((r.argmax(-1) == targets).sum() for r in (p, q))
    least = p[range(7), targets].min()

    # h_t, and how much the last h_t depends on each word
    xs = model.embedding(sentence).detach()
    hs, _ = model.recurrent(xs)
    reach = tg.jacobian(lambda x: model.recurrent(x)[0][-1], xs).numpy()  # (1, H, T, 1, D)
    reach = np.sqrt((reach**2).sum(axis=(0, 1, 3, 4)))
    columns = words[:-1]
    heat_map(
        args.out / "e04_goodbye_hello.svg",
        "The two h_say differ, and h_hello depends on every word",
        {
            "h_t": ([f"unit {i}" for i in range(8)], columns, hs.numpy()[:, 0].T),
            "norm of dh_hello/dx_t": ([""], [f"{r:.0e}" for r in reach], reach[None]),
            "p(next word)": (vocabulary.symbols, columns, p.T),
        },
    )
    print(
        f"dh_hello/dx_t: {', '.join(f'{w} {r:.2g}' for w, r in zip(columns, reach, strict=True))}"
    )
    return Result(
        f"{right} of 7, each with p >= {least:.3f}; one word at a time {right_alone} of 7",
        {
            "7 of 7": right == 7,
            "each with p > 0.9": least > 0.9,
            "one word at a time gets 6 at most": right_alone <= 6,
            "h_hello changes with every word before it": bool((reach > 0).all()),
        },
    ).report()


if __name__ == "__main__":
    main()
