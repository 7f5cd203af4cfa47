"""What the ranks of the tests run: ``mpiexec -n 3 python -m tests.distributed.programs NAME``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import tinygrad_rnn as tg


def loop_of_ones_own() -> None:
    """The three lines, in a loop that agrees with one over the whole batch."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 7, 3)).astype(np.float32), rng.normal(size=(7, 4))
    batch = tg.distributed.share((np.swapaxes(x, 0, 1), y.astype(np.float32)))

    def trained(members: Any, seed: int) -> tuple[list[float], tg.nn.GRU]:
        gru = tg.nn.GRU(3, 4, batch_first=True, rng=seed)
        tg.distributed.broadcast(gru)
        optimizer, losses = tg.optim.Adam(gru.parameters(), lr=0.01), []
        inputs, targets = members
        for _ in range(20):
            _, h = gru(inputs)
            loss = tg.nn.mse_loss(h[0], targets)
            optimizer.zero_grad()
            loss.backward()
            tg.distributed.all_reduce(gru.parameters(), weight=len(targets))
            optimizer.step()
            losses.append(tg.distributed.mean(loss, weight=len(targets)))
        return losses, gru

    mine, gru = trained(batch, seed=tg.distributed.rank())
    whole, twin = trained((np.swapaxes(x, 0, 1), y.astype(np.float32)), seed=0)
    np.testing.assert_allclose(mine, whole, rtol=1e-6)
    assert mine[-1] < mine[0]
    for p, q in zip(gru.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-4, atol=1e-5)
    everywhere = tg.distributed.world().all_of(gru.state_dict())
    for name, array in everywhere[0].items():
        for other in everywhere:
            np.testing.assert_array_equal(other[name], array)
    if tg.distributed.rank() == 0:
        print(f"agreed on {tg.distributed.size()} ranks")


def fails(text: str, out: str) -> None:
    """Rank 0 fails in the middle of a run."""

    def callback(record: dict[str, Any]) -> None:
        if record["step"] == 7:
            raise ZeroDivisionError("of the user's own")

    settings: Any = {"hidden": 8, "batch": 8, "bptt": 6, "save_every": 5, "steps": 10_000}
    tg.train(text, out, distributed=True, callback=callback, **settings)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
