"""A minimal character model: a vanilla RNN reads the Python manual, one character at a time.

    x_t = one-hot of character t
    h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)
    p_t = softmax(W_hy h_t + b_y)                       of the next character
    L   = - sum over 25 steps of log p_t(character t + 1)

We train by truncated backpropagation through time on one stream. Read 25 characters, send the
gradient of their loss back through the 25 steps, clip each element to [-5, 5], and update the
weights. Then go on with the last h_t as a constant. The update is Adagrad's:

    s = s + g^2,   w = w - eta g / sqrt(s)              elementwise, eta = 0.1

The first update is eta sign(g): every weight moves by 0.1, however small its gradient. A 100 x 100
matrix of signs can have a singular value of 100. After ten updates the largest singular value of
W_hh is about 10, and h_t saturates at +-1. Such a net can predict well while it keeps its state. It
predicts badly from h_0 = 0, and that is where tests and sampling start. So eta rises from 0 during
the first thousand steps, while s grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

import tinygrad_rnn as tg
from common import CharacterRNN, Result, arguments, characters, stacked
from tinygrad_rnn.text import NGram, Streams, bits_per_character, sample
from tinygrad_rnn.viz import curves

HIDDEN, T = 100, 25
RATE, WARMUP, MAX_VALUE = 0.1, 1000, 5.0

# ── the model ────────────────────────────────────────────────────────────────────────────


def small(size: int, rng: np.random.Generator) -> CharacterRNN:
    """Return the model with weights from N(0, 0.01^2) and biases of 0."""
    model = CharacterRNN(size, HIDDEN, rng)
    for parameter in model.parameters():
        spread = np.float32(0.01 if parameter.ndim == 2 else 0)
        parameter.data = spread * tg.nn.init.normal(parameter.shape, rng=rng)
    return model


def read(
    model: CharacterRNN,
    windows: Streams,
    steps: int,
    warmup: int,
    after_step: Callable[[int], None] = lambda done: None,
) -> list[float]:
    """Train on one window after another, with the state carried from window to window.

    Returns:
        The loss of every step, in bits per character.
    """
    optimizer = tg.optim.Adagrad(model.parameters(), lr=RATE)
    state: tg.Tensor | None = None
    bits = []
    for k in range(steps):
        optimizer.lr = tg.optim.constant_lr(k, RATE, warmup)
        x, y = windows[k % len(windows)]
        if k % len(windows) == 0:
            state = None  # the text starts again
        scores, state = model(x, state)
        state = state.detach()  # no gradient goes back into the window before
        loss = tg.nn.cross_entropy(scores[:, 0], y[:, 0], reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_value_(model.parameters(), MAX_VALUE)
        optimizer.step()
        bits.append(loss.item() / (T * math.log(2)))
        after_step(k + 1)
    return bits


# ── measured ─────────────────────────────────────────────────────────────────────────────


def largest_after(model: CharacterRNN, windows: Streams, warmup: int) -> float:
    """Return the largest singular value of W_hh after ten steps."""
    read(model, windows, 10, warmup)
    return float(np.linalg.norm(model.rnn.weight_hh_l0.data, 2))


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps, every = (4000, 1000) if args.quick else (60_000, 5000)
    vocabulary, training, held_out = characters()
    size = len(vocabulary)
    windows, test = Streams(training, 1, T), Streams(held_out, 1, 1000)
    ngrams = {
        name: NGram(training, size, order).bits_per_character(held_out)
        for order, name in enumerate(("unigram", "bigram", "trigram"), 1)
    }
    print(f"{len(training):,} characters to read, {len(held_out):,} held out, {size} different;")
    print("bits per character: " + ", ".join(f"{n} model {b:.2f}" for n, b in ngrams.items()))

    weights, draws, other = np.random.default_rng(args.seed).spawn(3)
    at_once, rising = (largest_after(small(size, other), windows, w) for w in (0, WARMUP))
    print(f"\nlargest singular value of W_hh after ten steps: with eta = {RATE:g} {at_once:.2f},")
    print(f"with eta rising for {WARMUP:,} steps {rising:.2f}")

    model = small(size, weights)
    bits: dict[int, float] = {}

    def measure(done: int) -> None:
        if done % every == 0:
            bits[done] = bits_per_character(model, test)
            prompt = vocabulary.encode("The ")
            text = vocabulary.decode([*prompt, *sample(model, prompt, 140, rng=draws)])
            print(f"\n{done:,} steps, {bits[done]:.2f} bits held out\n{text}", flush=True)

    losses = read(model, windows, steps, WARMUP, measure)
    block = every // 10
    means = np.array(losses).reshape(-1, block).mean(1).tolist()
    lines = {name: [(0, b), (steps, b)] for name, b in ngrams.items() if name != "unigram"}
    lines["training"] = [((k + 1) * block, b) for k, b in enumerate(means)]
    lines["held out"] = list(bits.items())
    stacked(
        args.out / "e05_minimal_characters.svg",
        [curves("A vanilla RNN reads the Python manual", "bits per character", lines)],
    )
    checks = {"ten steps at the full rate raise a singular value of W_hh above 5": at_once > 5}
    if args.quick:
        checks["one bit below the unigram model"] = bits[steps] < ngrams["unigram"] - 1
        return Result(f"{bits[steps]:.2f} bits after {steps:,} steps", checks).report()
    checks["at most 3.0 bits after 20,000 steps"] = bits[20_000] <= 3.0
    checks["at most 2.6 bits at the end"] = bits[steps] <= 2.6
    return Result(
        f"{bits[20_000]:.2f} bits after 20,000 steps, {bits[steps]:.2f} after {steps:,}; bigram "
        f"{ngrams['bigram']:.2f}, trigram {ngrams['trigram']:.2f}; largest singular value of W_hh "
        f"after ten steps {rising:.1f}, without the warm-up {at_once:.1f}",
        checks,
    ).report()


if __name__ == "__main__":
    main()
