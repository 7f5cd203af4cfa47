"""The pictures of the README, made anew: python examples/pictures.py

Each is a few lines, to be copied and changed. They go to examples/pictures/, or to the folder named
on the command line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.scan.plan import Plan


def rnn() -> tg.Tensor:
    """Three steps of a vanilla RNN, written out; its weights shrink what passes through them."""
    rng = np.random.default_rng(0)
    W_x = tg.Tensor(rng.normal(size=(2, 3)), requires_grad=True, name="W_x")
    W_h = tg.Tensor(0.5 * np.linalg.qr(rng.normal(size=(3, 3)))[0], requires_grad=True, name="W_h")
    b = tg.Tensor(np.zeros(3), requires_grad=True, name="b")
    x = tg.Tensor(rng.normal(size=(3, 1, 2)), name="x")
    h = tg.Tensor(np.zeros((1, 3)), name="h_0")
    for _, x_t in tg.steps(x):
        h = tg.tanh(x_t @ W_x + h @ W_h + b)
        h.name = "h_t"
    loss = tg.sum(h * h)
    loss.name = "loss"
    return loss


def last_state(layer: tg.nn.Module, T: int) -> tg.Tensor:
    """A loss that looks at the end of T steps only: what the start gets has to come all the way."""
    x = np.random.default_rng(1).normal(size=(T, 1, 8))
    y, _ = layer(x, unroll=True)
    return tg.sum(y[-1] * y[-1])


def layers() -> dict[str, tg.nn.Module]:
    """One of each kind, of the same size; the LSTM with the usual forget-gate bias of 1."""
    lstm = tg.nn.LSTM(8, 16, rng=0, dtype=np.float64)
    bias = lstm.bias_ih_l0.numpy()
    bias[16:32] = 1
    lstm.bias_ih_l0.data = bias
    return {
        "RNN": tg.nn.RNN(8, 16, rng=0, dtype=np.float64),
        "GRU": tg.nn.GRU(8, 16, rng=0, dtype=np.float64),
        "LSTM": lstm,
    }


def plan() -> Plan:
    """How scan runs a cell with one gate, h_t = f_t h_{t-1} + (1 - f_t) n_t."""
    rng = np.random.default_rng(0)
    W = tg.Tensor(rng.normal(size=(8, 3)), requires_grad=True, name="W")
    U = tg.Tensor(rng.normal(size=(8, 4)), requires_grad=True, name="U")

    def cell(h: tg.Tensor, x_t: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        f, n = tg.split(tg.linear(x_t, W) + tg.linear(h, U), 2, -1)
        f = tg.sigmoid(f)
        h = f * h + (1 - f) * tg.tanh(n)
        return h, h

    return tg.scan_plan(cell, np.zeros((16, 4)), rng.normal(size=(100, 16, 3)))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tg.draw(rnn(), grads=True).render(outfile=folder / "rnn.svg", cleanup=True)
    nets = layers()
    cells = tg.draw(last_state(nets["LSTM"], 4), detail="cell", grads=True)
    cells.render(outfile=folder / "lstm_cells.svg", cleanup=True)
    tg.gradient_flow(last_state(nets["LSTM"], 16)).save(folder / "lstm_flow.svg")
    flows = {name: tg.gradient_flow(last_state(net, 32)) for name, net in nets.items()}
    tg.compare(flows).save(folder / "compare.svg")
    tg.draw(plan()).render(outfile=folder / "scan_plan.svg", cleanup=True)
    for path in sorted(folder.glob("*.svg")):
        print(f"wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
