"""The pictures of the README, made anew: python examples/pictures.py

Each is a few lines, to be copied and changed. They go to examples/pictures/, or to the folder named
on the command line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg


def rnn() -> tg.Tensor:
    """A vanilla RNN whose weights shrink what passes: the gradient fades towards t = 0."""
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


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tg.draw(rnn(), grads=True).render(outfile=folder / "rnn.svg", cleanup=True)
    print(f"wrote {folder / 'rnn.svg'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
