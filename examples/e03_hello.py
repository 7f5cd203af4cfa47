"""h, e, l, l -> e, l, l, o: the smallest language model, with every number printed.

    h = (1,0,0,0)  e = (0,1,0,0)  l = (0,0,1,0)  o = (0,0,0,1)      one-hot vectors x_t

    h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)       the state, three units, goes to the next step
    y_t = W_hy h_t + b_y                            the scores, one for each letter
    p_t = softmax(y_t)                              the probabilities of the next letter

After the first l comes l, and after the second l comes o. The input is the same both times, so only
the state can tell the two apart. Before training, o may have the largest score at the first step
instead of e. That is an error.

After training, the net writes: it feeds its own choice back as the next input. Argmax writes the
same word every time. Drawing from p_t gives different words, and more of them at a higher
temperature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from common import CharacterRNN, Result, arguments, heat_map
from tinygrad_rnn.text import sample


def show(
    model: CharacterRNN, ids: np.ndarray, letters: Sequence[str]
) -> tuple[str, np.ndarray, np.ndarray]:
    """Print every step.

    Returns:
        The predicted letters, the states (4, 3) and the probabilities (4, 4).
    """
    with tg.no_grad():
        hs, _ = model.states(ids[:-1, None])
        ys = model.out(hs)
    states, scores = hs.numpy()[:, 0], ys.numpy()[:, 0]
    p = tg.softmax(scores)
    print("  x_t   h_t                      y_t (h, e, l, o)                p(next)")
    for t in range(4):
        chosen, target = letters[scores[t].argmax()], letters[ids[t + 1]]
        verdict = "right" if chosen == target else f"error, says {chosen}"
        h = " ".join(f"{unit:6.2f}" for unit in states[t])
        y = " ".join(f"{score:6.2f}" for score in scores[t])
        right = f"p({target}) = {p[t, ids[t + 1]]:.3f} {verdict}"
        print(f"  {letters[ids[t]]}  {h}   {y}   {right}")
    return "".join(letters[i] for i in scores.argmax(-1)), states, p


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    letters = "helo"
    ids = np.array([letters.index(letter) for letter in "hello"])
    weights, draws = np.random.default_rng(args.seed).spawn(2)
    model = CharacterRNN(4, 3, weights)
    print("before training")
    show(model, ids, letters)

    optimizer = tg.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        scores, _ = model(ids[:-1, None])
        loss = tg.nn.cross_entropy(scores[:, 0], ids[1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("after 200 steps")
    predicted, states, p = show(model, ids, letters)

    print("\nwhat it writes after h, a thousand times")
    written = {}
    for temperature in (0.0, 1.0, 3.0):
        words = Counter(
            "h"
            + "".join(letters[i] for i in sample(model, [0], 4, temperature=temperature, rng=draws))
            for _ in range(100 if args.quick else 1000)
        )
        written[temperature] = words
        common = ", ".join(f"{word} {count}" for word, count in words.most_common(5))
        name = f"temperature {temperature:g}" if temperature else "argmax"
        print(f"  {name:<14} {len(words)} different: {common}")

    columns = [f"{a}→{b}" for a, b in zip("hell", "ello", strict=True)]
    heat_map(
        args.out / "e03_hello.svg",
        "hello: the same input l twice, two states, two predictions",
        {
            "h_t": ([f"unit {i}" for i in range(3)], columns, states.T),
            "p(next letter)": (list(letters), columns, p.T),
        },
    )
    least = min(p[range(4), ids[1:]])
    return Result(
        f"{', '.join(predicted)}, each with p >= {least:.3f}; words drawn: "
        + ", ".join(f"{len(words)} at temperature {T:g}" for T, words in written.items()),
        {
            "predicts e, l, l, o": predicted == "ello",
            "argmax always writes hello": list(written[0.0]) == ["hello"],
            "a higher temperature writes more different words": len(written[0.0])
            <= len(written[1.0])
            < len(written[3.0]),
        },
    ).report()


if __name__ == "__main__":
    main()
