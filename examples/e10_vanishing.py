"""Exploding and vanishing gradients: what happens to a gradient over fifty steps.

    h_t = phi(W h_{t-1} + x_t),   L = u . h_T  with |u| = 1

    dL/dh_1 = W^T D_2 W^T D_3 ... W^T D_T u,   D_t = diag(phi'(W h_{t-1} + x_t))

With one unit and no phi this is w^(T-1): 1.1^50 = 117.4 and 0.9^50 = 0.00515, for T = 51. With a
matrix, every step scales the gradient by a factor between its smallest and largest singular value:

    smallest^(T-1) <= |dL/dh_1| <= largest^(T-1)

If all singular values are below 1, the gradient vanishes. If all are above 1, it explodes. In
between, a largest singular value above 1 allows an explosion but does not prove one: over many
steps the eigenvalues decide. A random matrix with a largest singular value of 1.5 still makes the
gradient vanish. A tanh adds factors D_t <= 1. If it saturates, the gradient vanishes even when W
alone would make it explode.

The remedy is a path with a factor near 1. An LSTM multiplies dL/dc_t by its forget gate, and a GRU
multiplies the gradient of its state by its update gate. The second picture compares all three nets.

The run takes a few seconds, with --quick or without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from tinygrad_rnn.viz import GradientFlow

T = 51  # 50 steps from h_1 to h_T
UNITS = 16


# ── the nets ─────────────────────────────────────────────────────────────────────────────


def flow(W: np.ndarray, x: np.ndarray, phi: Callable[[tg.Tensor], tg.Tensor]) -> GradientFlow:
    """Follow the gradient back through h_t = phi(W h_{t-1} + x_t), from u . h_T to h_1."""
    W_hh = tg.Tensor(W, requires_grad=True, name="W_hh")
    h = tg.Tensor(np.zeros(len(W)), name="h_0")
    for _, x_t in tg.steps(x):
        h = phi(W_hh @ h + x_t)
        h.name = "h"
    u = np.full(len(W), 1 / np.sqrt(len(W)))
    return tg.gradient_flow(tg.sum(u * h))


def linear(z: tg.Tensor) -> tg.Tensor:
    return +z  # an operation of its own, so that h_t gets a node of its own


def cells(rng: np.random.Generator) -> dict[str, tg.nn.Module]:
    """Return one net of each kind; the LSTM has the usual forget bias of 1."""
    RNN, GRU, LSTM = (
        kind(8, UNITS, rng=rng, dtype=np.float64) for kind in (tg.nn.RNN, tg.nn.GRU, tg.nn.LSTM)
    )
    bias = LSTM.bias_ih_l0.numpy()
    bias[UNITS : 2 * UNITS] = 1
    LSTM.bias_ih_l0.data = bias
    return {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}


# ── results ──────────────────────────────────────────────────────────────────────────────


def remaining(flow: GradientFlow) -> float:
    """Return the part of the gradient that reaches the first state, |dL/dh_1| / |dL/dh_T|."""
    return float(flow.norms[0] / flow.norms[-1])


def mean_factor(flow: GradientFlow) -> float:
    """Return the root mean square of the singular values of dh_t/dh_{t-1}, over all steps.

    It is the factor by which a step scales a gradient of random direction.
    """
    values = [flow.jacobian(t, t - 1).singular_values for t in range(1, T)]
    return float(np.sqrt(np.mean(np.square(values))))


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    rng = np.random.default_rng(args.seed)

    Q = tg.nn.init.orthogonal((UNITS, UNITS), dtype=np.float64, rng=rng)
    R = rng.normal(size=(UNITS, UNITS))
    R *= 1.5 / np.linalg.norm(R, 2)  # the largest singular value becomes 1.5
    zeros, noise = np.zeros((T, UNITS)), rng.normal(size=(T, UNITS))

    flows = {
        "w = 1.1": flow(np.array([[1.1]]), zeros[:, :1], linear),
        "w = 0.9": flow(np.array([[0.9]]), zeros[:, :1], linear),
        "W: all values 1.1": flow(1.1 * Q, zeros, linear),
        "W: all values 0.9": flow(0.9 * Q, zeros, linear),
        "W random, largest 1.5": flow(R, zeros, linear),
        "1.1, tanh, no input": flow(1.1 * Q, zeros, tg.tanh),
        "1.1, tanh, input": flow(1.1 * Q, noise, tg.tanh),
        "1.1, tanh, input x 4": flow(1.1 * Q, 4 * noise, tg.tanh),
    }
    picture = tg.compare(flows)
    picture.save(args.out / "e10_vanishing.svg")
    print(f"{T - 1} steps back; 'values' are the singular values of W_hh\n\n{picture}\n")
    one_step = flows["W random, largest 1.5"].jacobian(1, 0).singular_values
    radius = np.abs(np.linalg.eigvals(R)).max()
    print(
        f"the random W: singular values of dh_2/dh_1 from {one_step[0]:.2f} to {one_step[-1]:.3f}, "
        f"largest |eigenvalue| {radius:.2f}"
    )
    print("singular values of dh_t/dh_{t-1}, root mean square over all steps:")
    for name in ("1.1, tanh, no input", "1.1, tanh, input", "1.1, tanh, input x 4"):
        print(f"    {name:<22}{mean_factor(flows[name]):.2f}")

    x = rng.normal(size=(T, 1, 8))
    nets = cells(rng)
    gated = {
        name: tg.gradient_flow(tg.sum(net(x, unroll=True)[0][-1])) for name, net in nets.items()
    }
    comparison = tg.compare(gated)
    comparison.save(args.out / "e10_vanishing_cells.svg")
    print(f"\n{comparison}")

    left = {name: remaining(f) for name, f in {**flows, **gated}.items()}
    n = T - 1
    return Result(
        measured=f"1.1^{n} = {left['w = 1.1']:.4g}, 0.9^{n} = {left['w = 0.9']:.3g}; "
        f"W random, largest singular value 1.5: {left['W random, largest 1.5']:.1e}; W of 1.1 "
        f"under a saturated tanh: {left['1.1, tanh, input x 4']:.1e}; RNN {left['RNN']:.0e}, "
        f"GRU {left['GRU']:.0e}, LSTM {left['LSTM']:.0e}",
        checks={
            f"w = 1.1 and 0.9: 1.1^{n} and 0.9^{n}": bool(
                np.allclose([left["w = 1.1"], left["w = 0.9"]], [1.1**n, 0.9**n])
            ),
            "W with equal singular values: the same two numbers": bool(
                np.allclose(
                    [left["W: all values 1.1"], left["W: all values 0.9"]], [1.1**n, 0.9**n]
                )
            ),
            "the Jacobian of one linear step has the singular values of W": bool(
                np.allclose(one_step, np.linalg.svd(R, compute_uv=False))
            ),
            "largest singular value 1.5, eigenvalues below 1: the gradient vanishes": bool(
                radius < 1 and left["W random, largest 1.5"] < 0.1
            ),
            "with tanh, an input makes the gradient vanish, and a larger input more so": (
                left["1.1, tanh, no input"]
                > 1
                > left["1.1, tanh, input"]
                > 10 * left["1.1, tanh, input x 4"]
            ),
            "GRU and LSTM keep at least 1000 times as much gradient as the RNN": (
                min(left["GRU"], left["LSTM"]) > 1000 * left["RNN"]
            ),
        },
    ).report()


if __name__ == "__main__":
    main()
