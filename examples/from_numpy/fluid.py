"""Which wind blows smoke into a given shape? The gradient through a simulation of a fluid.

Velocities (vx, vy) and smoke s live on a torus of n x n cells. In each step they are carried along,

    f(x, y) <- f(x - vx, y - vy)        between cells linearly

and the velocity loses its divergence, by a few sweeps of Jacobi's method for the pressure p:

    laplace p = div v,   v <- v - grad p

The loss is the squared distance of the last smoke from the target. Its gradient for the first
velocities goes back through all steps.

Source of the method: Stam, "Real-Time Fluid Dynamics for Games" (2003).
"""

import numpy as np
from descent import adam

from tinygrad_rnn import value_and_grad

N, STEPS = 20, 12


def around(f):
    """The neighbours above, below, left and right of every cell."""
    return np.roll(f, 1, axis=0), np.roll(f, -1, axis=0), np.roll(f, 1, 1), np.roll(f, -1, 1)


def without_divergence(vx, vy):
    """The velocity without its sources and sinks, about."""
    up, down, _, _ = around(vx)
    _, _, left, right = around(vy)
    divergence = (down - up + right - left) / 2
    p = np.zeros(vx.shape)
    for _ in range(10):
        p = (sum(around(p)) - divergence) / 4
    up, down, left, right = around(p)
    return vx - (down - up) / 2, vy - (right - left) / 2


def carried(f, vx, vy):
    """Each cell gets what the velocity brings there."""
    rows, columns = np.meshgrid(np.arange(N), np.arange(N), indexing="ij")
    x, y = (rows - vx).ravel(), (columns - vy).ravel()
    i, j = np.floor(x).astype(int), np.floor(y).astype(int)
    a, b = x - i, y - j
    i, j = np.mod(i, N), np.mod(j, N)
    k, m = np.mod(i + 1, N), np.mod(j + 1, N)
    upper = (1 - b) * f[i, j] + b * f[i, m]
    lower = (1 - b) * f[k, j] + b * f[k, m]
    return np.reshape((1 - a) * upper + a * lower, (N, N))


def simulate(vx, vy, smoke):
    for _ in range(STEPS):
        vx, vy = without_divergence(carried(vx, vx, vy), carried(vy, vx, vy))
        smoke = carried(smoke, vx, vy)
    return smoke


def pictures():
    """The first smoke, four bands, and the target, a ring."""
    rows, columns = np.meshgrid(np.arange(N), np.arange(N), indexing="ij")
    radius = np.hypot(rows - N / 2 + 0.5, columns - N / 2 + 0.5)
    return (rows // 3 % 2).astype(float), np.exp(-((radius - N / 4) ** 2) / 4)


def problem():
    """The loss, and where to start."""
    smoke, target = pictures()
    rng = np.random.default_rng(0)

    def loss(wind):
        return np.mean((simulate(wind["vx"], wind["vy"], smoke) - target) ** 2)

    return loss, {"vx": 0.01 * rng.normal(size=(N, N)), "vy": 0.01 * rng.normal(size=(N, N))}


def train(steps):
    loss, wind = problem()
    return adam(value_and_grad(loss), wind, steps, rate=0.03)


def shown(f):
    """Shades of a matrix, as text."""
    levels = np.clip(np.floor(np.array(f) * 5), 0, 4).astype(int)
    return "\n".join("".join(" .:*#"[level] * 2 for level in row) for row in levels)


def main(steps=60):
    wind, losses = train(steps)
    print(shown(simulate(wind["vx"], wind["vy"], pictures()[0])))
    print(f"fluid: squared error {losses[0]:.4f}, after {steps} steps {losses[-1]:.4f}")
    return losses


if __name__ == "__main__":
    main()
