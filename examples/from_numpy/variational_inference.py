"""A Gaussian laid over a funnel: inference by the gradient of a noisy bound.

The density p(m, r) = N(r; 0, 1.35) N(m; 0, e^r) is approximated by q = N(mean, diag(e^(2 s))). With
samples z = mean + e^s noise the lower bound

    E_q log p(z) + entropy of q,    entropy = sum s + const

has a gradient for mean and s that needs no more than that of log p.

Source: Kucukelbir, Tran, Ranganath, Gelman and Blei, "Automatic Differentiation Variational
Inference" (2017); Ranganath, Gerrish and Blei, "Black Box Variational Inference" (2014).
"""

import numpy as np
from descent import adam

from tinygrad_rnn import grad


def log_normal(x, mean, deviation):
    return -(((x - mean) / deviation) ** 2) / 2 - np.log(deviation) - np.log(2 * np.pi) / 2


def log_density(z):
    m, r = z[:, 0], z[:, 1]
    return log_normal(r, 0, 1.35) + log_normal(m, 0, np.exp(r))


def negative_bound(q, noise):
    z = q["mean"] + np.exp(q["log_deviation"]) * noise
    D = z.shape[1]
    entropy = np.sum(q["log_deviation"]) + D * (1 + np.log(2 * np.pi)) / 2
    return -(np.mean(log_density(z)) + entropy)


def problem():
    """The loss, and where to start."""
    noise = np.random.default_rng(1).normal(size=(2000, 2))

    def loss(q):
        return negative_bound(q, noise)

    return loss, {"mean": np.array([-1.0, -1.0]), "log_deviation": np.array([-2.0, -2.0])}


def train(steps):
    """On new noise in every step; the losses are those of one sample, kept for the purpose."""
    loss, q = problem()
    gradient, rng = grad(negative_bound), np.random.default_rng(0)

    def step(q):
        return loss(q), gradient(q, rng.normal(size=(200, 2)))

    return adam(step, q, steps, rate=0.05)


def main(steps=300):
    q, losses = train(steps)
    m, r = np.round(q["mean"], 2)
    wide, high = np.round(np.exp(q["log_deviation"]), 2)
    print(f"  q: m = {m:.2f} +- {wide:.2f}, r = {r:.2f} +- {high:.2f}")
    print(f"variational inference: bound {-losses[0]:.2f}, after {steps} steps {-losses[-1]:.2f}")
    return losses


if __name__ == "__main__":
    main()
