"""Regression by a Gaussian process: the kernel's scales by the gradient of the evidence.

    k(x, x') = s^2 exp(-(x - x')^2 / (2 l^2)),   K = k(X, X) + e^2 I = L L'

    log p(y) = -|L^-1 (y - m)|^2 / 2 - sum log L_ii - n log(2 pi) / 2

The gradient for m, log s, log l and log e goes through the Cholesky factor. Then the posterior:

    mean f* = m + k(x*, X) K^-1 (y - m),   cov f* = k(x*, x*) - k(x*, X) K^-1 k(X, x*)

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), ch. 2 and 5.
"""

import numpy as np
from descent import adam

from tinygrad_rnn import value_and_grad


def kernel(p, a, b):
    distance = (np.expand_dims(a, 1) - np.expand_dims(b, 0)) / np.exp(p["log_length"])
    return np.exp(2 * p["log_scale"] - distance**2 / 2)


def of_data(p, x):
    """K, with a little more on its diagonal for the sake of rounding."""
    return kernel(p, x, x) + (np.exp(2 * p["log_noise"]) + 1e-6) * np.eye(len(x))


def log_evidence(p, x, y):
    L = np.linalg.cholesky(of_data(p, x))
    z = np.linalg.solve(L, y - p["mean"])
    constant = len(y) * np.log(2 * np.pi) / 2
    return -np.dot(z, z) / 2 - np.sum(np.log(np.diag(L))) - constant


def posterior(p, x, y, at):
    """Mean and covariance of the function at other places."""
    across = kernel(p, x, at)
    weights = np.linalg.solve(of_data(p, x), across).T
    mean = p["mean"] + np.dot(weights, y - p["mean"])
    return mean, kernel(p, at, at) - np.dot(weights, across)


def data():
    """Noisy values of a cosine, with a gap."""
    rng = np.random.default_rng(0)
    x = np.concatenate([np.linspace(-2.5, -0.5, 20), np.linspace(0.5, 2.0, 15)])
    return x, np.cos(2 * x) / 2 + 0.05 * rng.normal(size=x.size)


def problem():
    """The loss, and where to start."""
    x, y = data()

    def loss(p):
        return -log_evidence(p, x, y)

    start = {"mean": 0.1, "log_scale": 0.0, "log_length": 0.0, "log_noise": -1.0}
    return loss, {name: np.array(value) for name, value in start.items()}


def train(steps):
    loss, p = problem()
    return adam(value_and_grad(loss), p, steps, rate=0.05)


def main(steps=200):
    p, losses = train(steps)
    x, y = data()
    at = np.linspace(-2.5, 2.5, 11)
    mean, covariance = posterior(p, x, y, at)
    deviation = np.sqrt(np.diag(covariance))
    for place, m, d in zip(at, mean, deviation, strict=True):
        print(f"  f({place:4.1f}) = {m:6.3f} +- {d:.3f}    true {np.cos(2 * place) / 2:6.3f}")
    noise = np.exp(p["log_noise"])
    print(f"gaussian process: -log evidence {losses[0]:.2f}, after {steps} steps {losses[-1]:.2f}")
    print(f"noise found {noise:.3f}, true 0.050")
    return losses


if __name__ == "__main__":
    main()
