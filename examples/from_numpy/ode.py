"""The law of motion of a spiral, learned by a net through the solver of its equation.

    dy/dt = f(y) = tanh(y W + b) V + c

is solved by Runge and Kutta's fourth order from a known start, and compared with the true path

    dy/dt = y^3 A

at 30 times. The gradient goes back through all stages of all steps.

Source: Chen, Rubanova, Bettencourt and Duvenaud, "Neural Ordinary Differential Equations" (2018).
"""

import numpy as np
from descent import adam

from tinygrad_rnn import value_and_grad

TIMES = np.linspace(0.0, 1.5, 30)
START = np.array([2.0, 0.0])
A = np.array([[-0.1, 2.0], [-2.0, -0.1]])


def solve(slope, y, times):
    """The path at these times, of which the first is the start's."""
    path = [y]
    for h in np.diff(times):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        path.append(y)
    return np.stack(path)


def true_slope(y):
    return np.dot(y**3, A)


def net(p, y):
    return np.dot(np.tanh(np.dot(y, p["W"]) + p["b"]), p["V"]) + p["c"]


def problem():
    """The loss, and where to start."""
    rng = np.random.default_rng(0)
    true = solve(true_slope, START, TIMES)

    def loss(p):
        return np.mean(np.abs(solve(lambda y: net(p, y), START, TIMES) - true))

    return loss, {
        "W": rng.normal(size=(2, 24)) / 2,
        "b": rng.normal(size=24) / 2,
        "V": rng.normal(size=(24, 2)) / 5,
        "c": np.zeros(2),
    }


def train(steps):
    loss, p = problem()
    return adam(value_and_grad(loss), p, steps, rate=0.02)


def main(steps=250):
    p, losses = train(steps)
    found = solve(lambda y: net(p, y), START, TIMES)
    true = solve(true_slope, START, TIMES)
    for i in range(0, len(TIMES), 7):
        y, expected = np.round(found[i], 2), np.round(true[i], 2)
        print(f"  y({TIMES[i]:.2f}) = ({y[0]:5.2f}, {y[1]:5.2f})    true {expected}")
    print(f"ode: mean distance {losses[0]:.3f}, after {steps} steps {losses[-1]:.3f}")
    return losses


if __name__ == "__main__":
    main()
