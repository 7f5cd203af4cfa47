"""XOR in time: is the number of ones so far odd? First with weights set by hand, then trained.

    input   0 1 0 1 1 0 1 0 1 1
    parity  0 1 1 0 1 1 0 0 1 0          p_t = p_{t-1} XOR x_t

XOR needs a hidden layer. With step(z) = 1 if z > 0, else 0:

    or_t  = step(x_t + p_{t-1} - 0.5)        at least one of the two
    and_t = step(x_t + p_{t-1} - 1.5)        both of them
    p_t   = step(or_t - and_t - 0.5)         one, but not both

Since p_{t-1} = or_{t-1} - and_{t-1}, the state only has to hold h_t = (or_t, and_t):

    h_t = step(W_x x_t + W_h h_{t-1} + b)
    p_t = step((1, -1) h_t - 0.5)
    W_x = (1, 1)^T,   W_h = ((1, -1), (1, -1)),   b = (-0.5, -1.5)

The derivative of step is 0, so it cannot be trained by gradients. A tanh net of 8 units can. We
train it on strings of 10 and 40 bits, with the parity of every time step as its target. Each step
then only has to learn one XOR, of x_t and the parity in the state. The units saturate, so small
errors shrink from step to step instead of growing. That is why longer strings work as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, heat_map

WORKED = [0, 1, 0, 1, 1, 0, 1, 0, 1, 1], [0, 1, 1, 0, 1, 1, 0, 0, 1, 0]


def by_hand(bits: np.ndarray) -> np.ndarray:
    """Compute the parity at every step of strings (T, N), with a net of step functions."""
    W_x, W_h, b = (
        np.array([[1.0, 1.0]]),
        np.array([[1.0, 1.0], [-1.0, -1.0]]),
        np.array([-0.5, -1.5]),
    )
    h, parities = np.zeros((bits.shape[1], 2)), []
    for x_t in bits:
        h = np.heaviside(x_t[:, None] @ W_x + h @ W_h + b, 0.0)
        parities.append(np.heaviside(h @ [1.0, -1.0] - 0.5, 0.0))
    return np.array(parities)


class Parity(tg.nn.Module):
    """logit_t = W h_t + b, with h_t = tanh(W_ih x_t + W_hh h_{t-1} + ...)."""

    def __init__(self, rng: np.random.Generator):
        self.rnn = tg.nn.RNN(1, 8, rng=rng)
        self.out = tg.nn.Linear(8, 1, rng=rng)

    def __call__(self, bits: np.ndarray) -> tuple[tg.Tensor, tg.Tensor]:
        hs, _ = self.rnn(bits[..., None].astype(np.float32))
        return self.out(hs)[..., 0], hs


def parity(bits: np.ndarray) -> np.ndarray:
    return np.cumsum(bits, axis=0) % 2


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    strings = (np.arange(2**12) >> np.arange(12)[:, None]) & 1
    inputs, answers = map(np.array, WORKED)
    exact = (by_hand(strings) == parity(strings)).all() and (
        by_hand(inputs[:, None])[:, 0] == answers
    ).all()
    print(f"by hand: all {strings.shape[1]:,} strings of 12 {'right' if exact else 'NOT right'}")

    weights, data, test = np.random.default_rng(args.seed).spawn(3)
    model = Parity(weights)

    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    for k in range(STEPS):
        bits = data.integers(0, 2, size=(10 + 30 * (k % 2), 64))
        logits, _ = model(bits)
        loss = tg.nn.binary_cross_entropy_with_logits(logits, parity(bits).astype(np.float32))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    right = {}
    with tg.no_grad():
        for T in (10, 40, 200):
            bits = test.integers(0, 2, size=(T, 500))
            right[T] = float(((model(bits)[0].numpy() > 0) == parity(bits)).mean())
            print(f"tanh RNN, length {T:>3}: {right[T]:.2%} of the steps of 500 new strings right")
        logits, hs = model(inputs[:, None])
    steps = [str(bit) for bit in inputs]
    heat_map(
        args.out / "e02_parity.svg",
        "A tanh RNN that has learned parity, on the string above",
        {
            "parity of the ones so far": ([""], steps, answers[None] * 1.0),
            "what the net says (sigmoid)": ([""], steps, tg.sigmoid(logits).numpy().T),
            "h_t, eight units": ([f"unit {i}" for i in range(8)], steps, hs.numpy()[:, 0].T),
        },
    )
    return Result(
        "by hand 4,096 of 4,096; tanh RNN "
        + ", ".join(f"{r:.2%} at {T}" for T, r in right.items()),
        {
            "by hand: the string above and all strings of 12 right": bool(exact),
            "100 % at length 10": right[10] == 1,
            "100 % at length 40": right[40] == 1,
            ">= 99 % at length 200": right[200] >= 0.99,
        },
    ).report()


STEPS = 1000  # a second or two: the quick run is the full one

if __name__ == "__main__":
    main()
