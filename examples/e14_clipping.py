"""Clipping: where the gradient explodes, plain gradient descent overflows, and clipping helps.

    h_t = relu(W_ih x_t + W_hh h_{t-1} + b),   W_hh = 1.05 I at first,   answer = v h_T + c

The task is to add up T = 50 numbers. 1.05^50 = 11.5, so answers and gradients start far too large.
We compare four updates:

    plain       W = W - eta g                   one step jumps far away, and the next overflows
    norm        g = g min(1, 1 / |g|)           keeps the direction; the norm is at most 1
    always      g = g / |g|                     makes small gradients larger, too
    value       g_i = g_i clipped to [-0.3, 0.3]    changes the direction: large elements become
                                                equal

eta falls linearly from 0.01 to 0. Otherwise "always" would never settle: its steps have length eta
even at the minimum. Clipping keeps a step from jumping too far. It cannot make a vanished gradient
larger.

Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
arXiv:1211.5063, alg. 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments, heat_map

T, HIDDEN, RATE = 50, 16, 0.01


class Adder(tg.nn.Module):
    """Map x (T, N, 1) to answers (N, 1), by a ReLU net whose gradient explodes."""

    def __init__(self, rng: np.random.Generator):
        self.rnn = tg.nn.RNN(1, HIDDEN, nonlinearity="relu", rng=rng)
        self.out = tg.nn.Linear(HIDDEN, 1, rng=rng)
        self.rnn.weight_hh_l0.data = (1.05 * np.eye(HIDDEN)).astype(np.float32)

    def __call__(self, x: np.ndarray) -> tg.Tensor:
        _, h = self.rnn(x)
        return self.out(h[0])


class AlwaysNormalised(tg.optim.SGD):
    """Gradient descent with g = g / |g|: every step has length lr."""

    def step(self) -> None:
        norm = tg.optim.clip_grad_norm_(self.params, math.inf)  # measures, and clips nothing
        for parameter in self.params:
            parameter.grad = parameter.grad / np.float32(norm)
        super().step()


def sums(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw numbers (T, batch, 1) from U(0, 1); the target is a fifth of their sum."""
    x = rng.uniform(0, 1, size=(T, batch, 1)).astype(np.float32)
    return x, x.sum(0) / 5


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps = 300 if args.quick else 1000
    updates = {
        "plain": (tg.optim.SGD, {}),
        "norm": (tg.optim.SGD, {"max_norm": 1.0}),
        "always": (AlwaysNormalised, {}),
        "value": (tg.optim.SGD, {"max_value": 0.3}),
    }
    errors, curves = {}, {}
    for name, (kind, clipping) in updates.items():
        weights, data, test = np.random.default_rng(args.seed).spawn(3)
        model = Adder(weights)
        optimizer = kind(model.parameters(), lr=RATE)

        curve = []
        for k in range(steps):
            optimizer.lr = RATE * (1 - k / steps)
            x, y = sums(data, 32)
            with np.errstate(over="ignore", invalid="ignore"):
                loss = tg.nn.mse_loss(model(x), y)
                if not math.isfinite(loss.item()):
                    break
                optimizer.zero_grad()
                loss.backward()
            if "max_norm" in clipping:
                tg.optim.clip_grad_norm_(model.parameters(), clipping["max_norm"])
            if "max_value" in clipping:
                tg.optim.clip_grad_value_(model.parameters(), clipping["max_value"])
            optimizer.step()
            curve.append(loss.item())
        if len(curve) < steps:
            errors[name] = math.inf
            print(f"{name:<8}the loss overflows at step {len(curve)}")
            continue
        curves[name] = curve
        x, y = sums(test, 1000)
        with tg.no_grad():
            errors[name] = float(tg.nn.mse_loss(model(x), y).item() / y.var())
        print(f"{name:<8}squared error on new sums {errors[name]:.3f} of their variance")

    parts = {name: np.array(curve).reshape(20, -1).mean(1) for name, curve in curves.items()}
    heat_map(
        args.out / "e14_clipping.svg",
        "Clipped gradient descent on an exploding net: log10 of the mean loss in twenty parts",
        {"log10 loss": ([*parts], 20 * [""], np.log10([*parts.values()]))},
    )
    allowed = 1.0 if args.quick else 0.5
    return Result(
        ", ".join(f"{name} {error:.2f}" for name, error in errors.items())
        + " of the variance (inf: overflow)",
        {
            "plain gradient descent overflows": errors["plain"] == math.inf,
            f"clipped by norm: <= {allowed} of the variance": errors["norm"] <= allowed,
            f"always normalised: <= {allowed} of the variance": errors["always"] <= allowed,
            "clipped by value: no overflow": math.isfinite(errors["value"]),
        },
    ).report()


if __name__ == "__main__":
    main()
