"""The GRU in both conventions of each gate, and which paper or framework uses which.

    r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)              reset gate
    z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)              update gate

    z keeps the old    h_t = (1 - z_t) n_t + z_t h_{t-1}
    z takes the new    h_t = z_t n_t + (1 - z_t) h_{t-1}

    reset before       n_t = tanh(W_n x_t + U_n (r_t h_{t-1}) + b_n)
    reset after        n_t = tanh(W_n x_t + r_t (U_n h_{t-1} + b_hn) + b_n)

                  reset before the product              reset after the product
    z keeps       Cho et al. 2014 (1406.1078, eq. 7-8)  PyTorch, cuDNN
                  ONNX by default                       ONNX, linear_before_reset=1
                  Keras, reset_after=False              Keras in TensorFlow 2
                  TensorFlow's GRUBlockCell             Flax
    z takes       Chung et al. 2014 (1412.3555)         -
                  Haiku; "Deep Learning from Scratch 2"

The place of the reset is a real difference: no change of weights turns one form into the other
(unless U_n is diagonal and b_hn is 0). Both forms learn. With the reset after the product,
U h_{t-1} is a single matrix product for all gates.

The task: after 20 symbols of four kinds, name the first one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments

KINDS, UNITS, T, BATCH = 4, 24, 20, 64
REMEMBER = 2.0  # the first bias of z, if z keeps the old state

# ── the conventions ──────────────────────────────────────────────────────────────────────


class TakesNew(tg.nn.GRU):
    """A GRU with the same parameters in which z_t near 1 takes the new value, as in Chung et al."""

    def forward(self, x: Any, *, unroll: bool = False) -> Any:  # always unrolled
        W, U, b_i, b_h = self.parameters()
        candidate = slice(2 * self.hidden_size, None)  # its rows in U and b_h
        h, y = np.zeros((x.shape[1], self.hidden_size)), []
        for _, x_t in tg.steps(x):
            r_x, z_x, n_x = tg.split(tg.linear(x_t, W, b_i), 3, axis=-1)
            r_h, z_h, n_h = tg.split(tg.linear(h, U, b_h), 3, axis=-1)
            r, z = tg.sigmoid(r_x + r_h), tg.sigmoid(z_x + z_h)
            if self.reset_after:
                n = tg.tanh(n_x + r * n_h)
            else:
                n = tg.tanh(n_x + tg.linear(r * h, U[candidate], b_h[candidate]))
            h = (1 - z) * h + z * n
            y.append(h)
        return tg.stack(y), h


#: By name: the class, and whether the reset acts after the product.
CONVENTIONS: dict[str, tuple[type[tg.nn.GRU], bool]] = {
    "keeps, reset after": (tg.nn.GRU, True),
    "keeps, reset before": (tg.nn.GRU, False),
    "takes, reset after": (TakesNew, True),
    "takes, reset before": (TakesNew, False),
}


def gru(convention: str, seed: int) -> tg.nn.GRU:
    """Return a GRU. All conventions start with the same weights, except the sign of z's weights.

    A bias for z makes the net remember from the start, as a forget bias does. Without it the
    gradient vanishes before it reaches the first symbol, and the net learns nothing in so few
    steps.
    """
    kind, reset_after = CONVENTIONS[convention]
    layer = kind(KINDS, UNITS, reset_after=reset_after, dtype=np.float64, rng=seed)
    layer = with_z_bias(layer, REMEMBER)
    if kind is TakesNew:
        negate_z(layer)
    return layer


def negate_z(layer: tg.nn.GRU) -> None:
    """Negate the weights and biases of z, in place."""
    for parameter in layer.parameters():
        value = parameter.numpy()
        value[UNITS : 2 * UNITS] *= -1  # the rows of r, z, n stand in this order
        parameter.data = value


def with_z_bias(layer: tg.nn.GRU, bias: float) -> tg.nn.GRU:
    """Return a copy of the layer with another bias of z."""
    layer = copy.deepcopy(layer)
    value = layer.bias_ih_l0.numpy()
    value[UNITS : 2 * UNITS] = bias
    layer.bias_ih_l0.data = value
    return layer


# ── the task ─────────────────────────────────────────────────────────────────────────────


def symbols(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one-hot symbols (T, count, KINDS), and return the first symbol of each sequence too."""
    ids = rng.integers(KINDS, size=(T, count))
    return np.eye(KINDS)[ids], ids[0]


def train(layer: tg.nn.GRU, steps: int, seed: int) -> tuple[list[float], float]:
    """Train; return the loss of every step, and the accuracy on held-out sequences."""
    data, held_out, first = np.random.default_rng(seed).spawn(3)
    out = tg.nn.Linear(UNITS, KINDS, dtype=np.float64, rng=first)

    parameters = [*layer.parameters(), *out.parameters()]
    optimizer = tg.optim.Adam(parameters, lr=0.01)
    curve = []
    for _ in range(steps):
        x, target = symbols(data, BATCH)
        y, _ = layer(x)
        loss = tg.nn.cross_entropy(out(y[-1]), target)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        curve.append(loss.item())
    x, target = symbols(held_out, 2000)
    with tg.no_grad():
        answers = out(layer(x)[0][-1]).data.argmax(axis=-1)
    return curve, float((answers == target).mean())


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps, compared = (30, 30) if args.quick else (300, 50)
    x, _ = symbols(np.random.default_rng(args.seed), 8)

    fresh = {name: gru(name, args.seed) for name in CONVENTIONS}
    y = {name: layer(x)[0].data for name, layer in fresh.items()}
    difference_z = max(
        np.abs(y[f"keeps, reset {where}"] - y[f"takes, reset {where}"]).max()
        for where in ("before", "after")
    )
    difference_reset = np.abs(y["keeps, reset after"] - y["keeps, reset before"]).max()
    print(f"z negated, the other convention: h_t differ by {difference_z:.1e}")
    print(f"same weights, reset before or after: h_t differ by up to {difference_reset:.2f}")

    flows = {}
    for bias in (3.0, -3.0):
        for name, means in (("keeps, reset after", "keeps"), ("takes, reset after", "takes")):
            h, _ = with_z_bias(fresh[name], bias)(x, unroll=True)
            flows[f"z {means}, its bias {bias:+g}"] = tg.gradient_flow(tg.sum(h[-1]))
    picture = tg.compare(flows)
    picture.save(args.out / "e20_gru.svg")
    print(f"\n{picture}\n\nwrote     {args.out / 'e20_gru.svg'}\n")
    left = {name: float(flow.norms[0] / flow.norms[-1]) for name, flow in flows.items()}

    curves, right = {}, {}
    for name, layer in fresh.items():
        # The nets that take the new value run only for the steps whose losses are compared.
        curves[name], right[name] = train(
            layer, compared if isinstance(layer, TakesNew) else steps, args.seed
        )
        after = len(curves[name])
        print(f"z {name:<20}  step {after}: loss {curves[name][-1]:.4f}, right {right[name]:.1%}")
    drift = max(
        np.abs(
            np.subtract(curves[f"keeps, reset {where}"][:compared], curves[f"takes, reset {where}"])
        ).max()
        for where in ("before", "after")
    )
    recalled = {where: right[f"keeps, reset {where}"] for where in ("before", "after")}
    checks = {
        "negating z's weights gives the other convention: h_t to 1e-12": bool(difference_z < 1e-12),
        f"they stay equal in training: the losses of {compared} steps to 1e-9": bool(drift < 1e-9),
        "reset before and after are different functions": bool(difference_reset > 0.01),
        "with a bias of +3 for z one remembers, the other forgets; with -3 the reverse": (
            min(left["z keeps, its bias +3"], left["z takes, its bias -3"])
            > 0.1
            > 1e-6
            > max(left["z takes, its bias +3"], left["z keeps, its bias -3"])
        ),
    }
    if args.quick:
        checks["the loss falls"] = all(np.mean(c[-5:]) < np.mean(c[:5]) for c in curves.values())
    else:
        checks["both resets recall the first symbol: 99 % of held-out sequences"] = (
            min(recalled.values()) >= 0.99
        )
    return Result(
        measured=f"z negated: the same h_t to {difference_z:.0e}, the same losses to {drift:.0e} "
        f"over {compared} steps; right with reset after {recalled['after']:.1%}, before "
        f"{recalled['before']:.1%}; 19 steps back a bias of +3 for z leaves "
        f"{left['z keeps, its bias +3']:.2g} of the gradient where z keeps, "
        f"{left['z takes, its bias +3']:.0e} where it takes",
        checks=checks,
    ).report()


if __name__ == "__main__":
    main()
