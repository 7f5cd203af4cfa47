"""A scalar RNN: one neuron that remembers, and its backpropagation through time by hand.

    z_t = u x_t + w h_{t-1},   h_t = phi(z_t),   r_t = v h_t,   y_t = phi(r_t)

Two nets are worked out by hand first. The first computes a running sum with linear neurons. The
second says which of two inputs has the larger total so far.

The backward pass runs from t = T to 1. With phi = tanh:

    dL/dr_t = dL/dy_t phi'(r_t)
    dL/dh_t = dL/dr_t v + dL/dz_{t+1} w          two paths: the output, and the next time step
    dL/dz_t = dL/dh_t phi'(z_t)

u, v and w are the same at every step, so their gradients are sums over time:

    dL/du = sum_{t=1}^T dL/dz_t x_t
    dL/dv = sum_{t=1}^T dL/dr_t h_t
    dL/dw = sum_{t=1}^{T-1} dL/dz_{t+1} h_t

We compare the RNN with an MLP that reads one step and has no h_{t-1} (a "Markov" model). On the
task of example 2 the MLP can only guess from the current inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments

# ── the worked examples ──────────────────────────────────────────────────────────────────


def linear_neuron(xs: Sequence[float]) -> tuple[list[float], list[float]]:
    """Example 1: a running sum. h_t = x_t + h_{t-1}, y_t = h_t."""
    h, hs = 0.0, []
    for x in xs:
        h = 1 * x + 1 * h
        hs.append(h)
    return hs, [1 * h for h in hs]


def which_is_ahead(xs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Example 2: is the total of the first input larger? y_t = sigmoid(5 h_t)."""
    h, hs = 0.0, []
    for first, second in xs:
        h = 1 * first - 1 * second + 1 * h
        hs.append(h)
    return hs, tg.sigmoid(5 * np.array(hs)).tolist()


# ── the gradient, by the engine and by hand ──────────────────────────────────────────────


def unrolled(
    u: tg.Tensor, w: tg.Tensor, v: tg.Tensor, xs: tg.Tensor, targets: np.ndarray
) -> tg.Tensor:
    """Compute L = 1/2 sum_t (y_t - target_t)^2, recorded step by step."""
    h, ys = None, []
    for _, x_t in tg.steps(xs):
        z = u * x_t if h is None else u * x_t + w * h  # h_0 = 0, so w is used T - 1 times
        h = tg.tanh(z)
        h.name = "h_t"
        y = tg.tanh(v * h)
        y.name = "y_t"
        ys.append(y)
    L = 0.5 * tg.sum(tg.square(tg.stack(ys) - targets))
    L.name = "L"
    return L


def by_hand(u: float, w: float, v: float, xs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return dL/du, dL/dw and dL/dv by the sums over time; phi'(z) = 1 - tanh(z)^2."""
    T = len(xs)
    h, y = np.zeros(T), np.zeros(T)
    for t in range(T):
        h[t] = np.tanh(u * xs[t] + (w * h[t - 1] if t else 0.0))
        y[t] = np.tanh(v * h[t])
    dr = (y - targets) * (1 - y**2)
    dz = np.zeros(T)
    for t in reversed(range(T)):
        dh = dr[t] * v + (dz[t + 1] * w if t + 1 < T else 0.0)
        dz[t] = dh * (1 - h[t] ** 2)
    return {"u": dz @ xs, "w": dz[1:] @ h[:-1], "v": dr @ h}


# ── with memory and without ──────────────────────────────────────────────────────────────


class Ahead(tg.nn.Module):
    """y_t = v h_t, where h_t is one linear neuron with memory or eight tanh neurons without."""

    def __init__(self, memory: bool, rng: np.random.Generator):
        self.memory = memory
        self.hidden = tg.nn.Linear(2, 1 if memory else 8, rng=rng)
        self.w = tg.nn.Parameter(np.array([0.5], np.float32))
        self.out = tg.nn.Linear(1 if memory else 8, 1, rng=rng)

    def __call__(self, x: np.ndarray) -> tg.Tensor:
        z = self.hidden(x)
        if not self.memory:
            return self.out(tg.tanh(z))[..., 0]
        hs = [z[0]]
        for t in range(1, len(x)):
            hs.append(z[t] + self.w * hs[-1])
        return self.out(tg.stack(hs))[..., 0]


def totals(rng: np.random.Generator, batch: int, T: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw inputs (T, batch, 2), and for every step whether the first total is larger."""
    x = rng.normal(size=(T, batch, 2)).astype(np.float32)
    return x, (np.cumsum(x[..., 0] - x[..., 1], axis=0) > 0).astype(np.float32)


def accuracy_of(memory: bool, seed: int, steps: int) -> float:
    """Train on sequences of 10 steps; return the accuracy on 500 new ones."""
    weights, data, test = np.random.default_rng(seed).spawn(3)
    model = Ahead(memory, weights)

    optimizer = tg.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(steps):
        x, y = totals(data, 32, 10)
        loss = tg.nn.binary_cross_entropy_with_logits(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    x, y = totals(test, 500, 10)
    with tg.no_grad():
        return float(((model(x).numpy() > 0) == y).mean())


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)

    hs, ys = linear_neuron([2, -0.5, 1, 1])
    print(f"example 1   h {hs}   y {ys}")
    ahead, probabilities = which_is_ahead([(2, -2), (0, 3.5), (1, 2.2)])
    print(f"example 2   h {np.round(ahead, 4)}   y {np.round(probabilities, 4)}")

    rng = np.random.default_rng(args.seed)
    xs, targets = rng.normal(size=6), rng.uniform(-0.9, 0.9, size=6)
    weights = {name: tg.Tensor(value, requires_grad=True, name=name) for name, value in
               zip("uwv", rng.uniform(0.5, 1.5, size=3).tolist(), strict=True)}  # fmt: skip
    L = unrolled(*weights.values(), tg.Tensor(xs, name="x"), targets)
    L.backward()
    hand = by_hand(*(weight.item() for weight in weights.values()), xs, targets)
    print("\n         by hand              engine               shares of the steps")
    for name, weight in weights.items():
        shares = np.round(tg.grads_by_step(L, weight), 4).tolist()
        print(f"dL/d{name}  {hand[name]:<20.15f} {float(weight.grad):<20.15f} {shares}")
    worst = max(abs(hand[name] - float(weight.grad)) for name, weight in weights.items())
    three = unrolled(*weights.values(), tg.Tensor(xs[:3], name="x"), targets[:3])
    tg.draw(three, grads=True).render(outfile=args.out / "e01_scalar_rnn.svg", cleanup=True)
    print(f"wrote     {args.out / 'e01_scalar_rnn.svg'}")

    steps = 150 if args.quick else 1500
    with_memory, without = (accuracy_of(memory, args.seed, steps) for memory in (True, False))
    print(f"\nwhich total is ahead: one neuron with memory {with_memory:.1%}, MLP {without:.1%}")
    return Result(
        f"BPTT differs by {worst:.0e}; RNN {with_memory:.1%}, one-step MLP {without:.1%}",
        {
            "example 1: h = y = 2, 1.5, 2.5, 3.5": hs == ys == [2, 1.5, 2.5, 3.5],
            "example 2: h = 4, 0.5, -0.7": np.allclose(ahead, [4, 0.5, -0.7]),
            "example 2: y = 1.00, 0.92, 0.03": np.allclose(
                probabilities, [1, 0.92, 0.03], atol=5e-3
            ),
            "gradients by hand equal the engine's to 1e-12": worst < 1e-12,
            "one neuron with memory >= 98 %": with_memory >= (0.9 if args.quick else 0.98),
            "the MLP of one step <= 80 %": without <= 0.8,
        },
    ).report()


if __name__ == "__main__":
    main()
