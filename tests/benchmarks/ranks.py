"""Several ranks against one: ``mpiexec -n 2 python -m tests.benchmarks.ranks``.

Each rank is pinned to a core of its own and trains an LSTM of T,N,D,H = 64,32,128,256: forward,
backward, the mean gradient of all ranks, and a step of Adam. In turns with that, rank 0 does the
same alone, and the others sleep. Three figures tell how they compare: the median over the rounds
of the ratio within a round; the ratio of the least times, which is best where nothing else runs;
and that of the least processor times (of the slowest rank, waiting for the others included), which
other programs disturb least.

Then the time of ``Allreduce`` by size, from which the two numbers of the alpha-beta model come, and
whether anything is gained if the gradients travel during other work.

    t(n bytes, p ranks) = 2 log2(p) alpha + 2 (p - 1) / p n beta

Source: Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in
MPICH", IJHPCA 19 (2005).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg

T, N, D, H = 64, 32, 128, 256
#: What the model is asked about: seconds of latency, and seconds for a byte.
NETWORKS = {
    "10 Gbit Ethernet (30 us)": (30e-6, 8 / 10e9),
    "100 Gbit InfiniBand (2 us)": (2e-6, 8 / 100e9),
}
SMALL = 6  # messages of a few bytes in a step of ``train``, besides the gradients


def sleep_until(comm: Any) -> None:
    """A barrier that leaves the core to others while it waits."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.0005)


def least(comm: Any, f: Callable[[], Any], rounds: int) -> float:
    """The least time over the rounds of the slowest rank."""
    seconds = []
    for _ in range(rounds):
        comm.Barrier()
        start = time.perf_counter()
        f()
        seconds.append(time.perf_counter() - start)
    return min(map(max, zip(*comm.allgather(seconds), strict=True)))


def training_step(rank: int) -> tuple[Callable[[bool], None], int]:
    """A step of this rank's, with or without the others; and the bytes of its gradients."""
    rng = np.random.default_rng(rank)
    lstm = tg.nn.LSTM(D, H, rng=0)
    tg.distributed.broadcast(lstm)
    optimizer = tg.optim.Adam(lstm.parameters(), lr=1e-3)
    x, y = (rng.normal(size=(T, N, n)).astype(np.float32) for n in (D, H))

    def step(together: bool) -> None:
        hs, _ = lstm(x)
        optimizer.zero_grad()
        tg.nn.mse_loss(hs, y).backward()
        if together:
            tg.distributed.all_reduce(lstm.parameters())
        optimizer.step()

    return step, sum(p.size * p.dtype.itemsize for p in lstm.parameters())


def scaling(comm: Any, rounds: int) -> None:
    """Print sequences a second of all ranks against those of one."""
    rank, size = comm.Get_rank(), comm.Get_size()
    step, gradients = training_step(rank)
    alone: list[float] = []
    together: list[float] = []
    processor: dict[bool, float] = {False: math.inf, True: math.inf}

    def timed(seconds: list[float], with_others: bool) -> None:
        start, used = time.perf_counter(), time.process_time()
        step(with_others)
        seconds.append(time.perf_counter() - start)
        processor[with_others] = min(processor[with_others], time.process_time() - used)

    step(True)
    for _ in range(rounds):
        if rank == 0:
            timed(alone, False)
        sleep_until(comm)
        comm.Barrier()
        timed(together, True)
        sleep_until(comm)
    slowest = max(comm.allgather(processor[True]))
    if rank == 0:
        a, b = min(alone), min(together)
        ratios = [size * x / y for x, y in zip(alone, together, strict=True)]
        print(f"gradients: {gradients / 1e6:.2f} MB in one buffer")
        print(f"one rank on one core: {1000 * a:.1f} ms a step, {N / a:.0f} sequences a second")
        print(
            f"{size} ranks, {size} cores: {1000 * b:.1f} ms, {size * N / b:.0f} sequences a second"
        )
        print(
            f"ratio of the least times {size * a / b:.2f}, median {statistics.median(ratios):.2f}"
        )
        print(
            f"processor time {1000 * processor[False]:.1f} ms and {1000 * slowest:.1f} ms, "
            f"ratio {size * processor[False] / slowest:.2f}"
        )
        model(processor[False], gradients)


def model(alone: float, gradients: int) -> None:
    """Print the share of linear speed that is left on networks that are not here."""
    for name, (alpha, beta) in NETWORKS.items():
        shares = []
        for p in (2, 4, 8, 16, 32, 64):
            travel = (2 + SMALL) * math.log2(p) * alpha + 2 * (p - 1) / p * gradients * beta
            shares.append(f"{p}: {100 * alone / (alone + travel):.0f} %")
        print(f"modelled, {name}: {', '.join(shares)}")


def communication(comm: Any, rounds: int) -> None:
    """Print the time of Allreduce by size, and alpha and beta."""
    times = {}
    for exponent in range(3, 22, 3):
        array = np.zeros(2**exponent // 4, np.float32)
        total = np.empty_like(array)
        repeat = max(1, 2**16 >> exponent)

        def many(array: Any = array, total: Any = total, repeat: int = repeat) -> None:
            for _ in range(repeat):
                comm.Allreduce(array, total)

        times[2**exponent] = least(comm, many, rounds) / repeat
    p = comm.Get_size()
    largest = max(times)
    alpha = min(times.values()) / (2 * math.log2(p))
    beta = times[largest] / largest / (2 * (p - 1) / p)
    pickled = least(comm, lambda: comm.allgather((1.0, None)), rounds)
    if comm.Get_rank() == 0:
        print("Allreduce:", ", ".join(f"{n:,} B {1e6 * t:.1f} us" for n, t in times.items()))
        print(f"alpha {1e6 * alpha:.2f} us, beta {1e9 * beta:.3f} ns a byte")
        print(f"allgather of small objects: {1e6 * pickled:.1f} us")


def overlap(comm: Any, rounds: int) -> None:
    """Print what is gained if the gradients travel during a product of matrices."""
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(700, 700)).astype(np.float32) for _ in range(2))
    out, gradients = np.empty_like(a), np.zeros(400_000, np.float32)
    total = np.empty_like(gradients)

    def after() -> None:
        np.matmul(a, b, out=out)
        comm.Allreduce(gradients, total)

    def meanwhile() -> None:
        request = comm.Iallreduce(gradients, total)
        np.matmul(a, b, out=out)
        request.Wait()

    seconds: dict[str, float] = {}
    parts = {
        "the product alone": lambda: np.matmul(a, b, out=out),
        "the gradients alone": lambda: comm.Allreduce(gradients, total),
        "one after the other": after,
        "at the same time": meanwhile,
    }
    for _ in range(rounds):  # in turns
        for name, f in parts.items():
            seconds[name] = min(seconds.get(name, math.inf), least(comm, f, 3))
    if comm.Get_rank() == 0:
        for name, t in seconds.items():
            print(f"{name}: {1000 * t:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    comm = tg.distributed.world().comm
    if comm is None:
        raise SystemExit("start it with: mpiexec -n 2 python -m tests.benchmarks.ranks")
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[comm.Get_rank() % len(cores)]})
    scaling(comm, rounds)
    communication(comm, rounds)
    overlap(comm, max(1, rounds // 4))


if __name__ == "__main__":
    main()
