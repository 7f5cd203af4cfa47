"""What machine code is for: loops of one's own, two threads, small and scalar states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg

from .cells import Problem
from .engine import SIZES
from .peers import library
from .table import Figure, Table
from .timing import agree, interleave

# ── a loop of one's own over the built-in cells ──────────────────────────────────────────

CELL_TARGETS = (0.35, 0.6, 0.8)


def _cell_step(module: Any, carries: int, xs: Any, h_0: Any) -> Callable[[], list[Any]]:
    leaves = list(module.parameters())

    def step() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        state = (h_0, h_0) if carries == 2 else h_0
        for x_t in xs:
            state = module(x_t, state)
        last = state[0] if carries == 2 else state
        (last * last).sum().backward()
        return [last.detach(), *(leaf.grad for leaf in leaves)]

    return step


def cells(rounds: int, T: int = 50) -> Iterator[Figure]:
    """nn.LSTMCell and nn.GRUCell, step by step, forward and full backward."""
    if not library("torch") or not library("native"):
        return
    torch = library("torch").torch
    for name, carries in (("LSTMCell", 2), ("GRUCell", 1)):
        for (N, D, H), target in zip(SIZES, CELL_TARGETS, strict=True):
            theirs = getattr(torch.nn, name)(D, H)
            ours = tg.from_torch(theirs)
            xs = np.random.default_rng(1).standard_normal((T, N, D)).astype(np.float32)
            zeros = np.zeros((N, H), np.float32)
            on_numpy = _cell_step(ours, carries, [tg.Tensor(x) for x in xs], tg.Tensor(zeros))

            def native(step: Callable[[], list[Any]] = on_numpy) -> list[Any]:
                with tg.backend("native"):
                    return step()

            peer = _cell_step(theirs, carries, list(torch.tensor(xs)), torch.tensor(zeros))
            functions = {"native": native, "torch": peer}
            agree(functions)
            ratio = interleave(functions, rounds=rounds).ratio("native", "torch")
            yield Figure(Table.CELLS, f"nn.{name}", ratio, "", target, f"{N},{D},{H}")


# ── two threads ──────────────────────────────────────────────────────────────────────────


def threads(rounds: int) -> Iterator[Figure]:
    """Two threads against one, and against PyTorch's two. A second processor has to be free."""
    if not library("torch") or not library("native"):
        return
    torch, ours = library("torch").torch, library("native")
    before = tg.get_num_threads(), torch.get_num_threads()

    def on(count: int, step: Callable[[], Any], set_threads: Callable[[int], Any]) -> Any:
        def run() -> Any:
            set_threads(count)
            return step()

        return run

    try:
        for name, target in (("nn.LSTM", 0.9), ("nn.GRU", 0.7)):
            for size in ((50, 16, 64, 128), (64, 32, 128, 256), (100, 64, 256, 512)):
                problem = Problem(name, size)
                mine, theirs = (x.training_step(problem) for x in (ours, library("torch")))
                functions = {
                    "one": on(1, mine, tg.set_num_threads),
                    "two": on(2, mine, tg.set_num_threads),
                    "torch": on(2, theirs, torch.set_num_threads),
                }
                times = interleave(functions, rounds=rounds, threads=2)
                column = ",".join(map(str, size))
                own_target = 0.75 if size == (64, 32, 128, 256) else None
                row, against = f"{name}: two threads / one", f"{name} / torch.{name}, two each"
                yield Figure(Table.THREADS, row, times.ratio("two", "one"), "", own_target, column)
                yield Figure(
                    Table.THREADS, against, times.ratio("two", "torch"), "", target, column
                )
    finally:
        tg.set_num_threads(before[0])
        torch.set_num_threads(before[1])


# ── small and scalar states ──────────────────────────────────────────────────────────────


class Recurrence(NamedTuple):
    """A step that is written in NumPy's functions, for ours and for JAX.

    Attributes:
        name: of it.
        target: what ours may take of JAX's time.
        step: ``step(np, parameters, carry, x_t) -> (carry, y_t)``.
        parameters, carry: numbers.
        xs: (T, ...).
    """

    name: str
    target: float
    step: Callable[[Any, Any, Any, Any], Any]
    parameters: tuple[np.ndarray, ...]
    carry: tuple[np.ndarray, ...]
    xs: np.ndarray


def _chain(np_: Any, a: Any, carry: Any, x: Any) -> Any:
    """A chain of scalar states: each follows the one before it."""
    new, before = [], x
    for a_k, s in zip(a, carry, strict=True):
        before = a_k * s + (1 - a_k) * np_.tanh(before)
        new.append(before)
    return tuple(new), before


def _hodgkin_huxley(np_: Any, conductances: Any, carry: Any, current: Any) -> Any:
    """A neuron: membrane potential and three gates, a step of 0.01 ms (Euler)."""
    V, m, h, n = carry
    g_na, g_k, g_leak = conductances
    a_m = 0.1 * (V + 40) / (1 - np_.exp(-(V + 40) / 10))
    a_n = 0.01 * (V + 55) / (1 - np_.exp(-(V + 55) / 10))
    a_h, b_h = 0.07 * np_.exp(-(V + 65) / 20), 1 / (1 + np_.exp(-(V + 35) / 10))
    b_m, b_n = 4 * np_.exp(-(V + 65) / 18), 0.125 * np_.exp(-(V + 65) / 80)
    through = g_na * m**3 * h * (V - 50) + g_k * n**4 * (V + 77) + g_leak * (V + 54.4)
    dt = 0.01
    V = V + dt * (current - through)
    m = m + dt * (a_m * (1 - m) - b_m * m)
    h = h + dt * (a_h * (1 - h) - b_h * h)
    n = n + dt * (a_n * (1 - n) - b_n * n)
    return (V, m, h, n), V


def _biquad(np_: Any, coefficients: Any, carry: Any, x: Any) -> Any:
    """A second-order filter, direct form II transposed."""
    b0, b1, b2, a1, a2 = coefficients
    s1, s2 = carry
    y = b0 * x + s1
    return (b1 * x - a1 * y + s2, b2 * x - a2 * y), y


def _kalman(np_: Any, matrices: Any, carry: Any, z: Any) -> Any:
    """A Kalman filter of three states and one measured number: predict, then correct."""
    F, Q, r = matrices
    m, P = carry
    m, P = F @ m, F @ P @ F.T + Q
    S = P[0, 0] + r
    K = P[:, 0] / S
    e = z - m[0]
    m = m + K * e
    P = P - K[:, None] * P[0]
    return (m, P), 0.5 * (e * e / S + np_.log(S))


def _garch(np_: Any, parameters: Any, carry: Any, r: Any) -> Any:
    """GARCH(1, 1): the variance of a return follows the last variance and the last return."""
    omega, alpha, beta = parameters
    variance, last = carry
    variance = omega + alpha * last * last + beta * variance
    return (variance, r), 0.5 * (np_.log(variance) + r * r / variance)


def recurrences_to_time() -> list[Recurrence]:
    rng = np.random.default_rng(0)
    scalar = lambda x: np.asarray(float(x))  # noqa: E731
    noise = rng.normal(size=1000)
    F = np.array([[1.0, 0.1, 0.005], [0.0, 1.0, 0.1], [0.0, 0.0, 1.0]])
    chains = [
        Recurrence(
            f"a chain of {K} scalar states, T = 614",
            target,
            _chain,
            tuple(map(scalar, rng.uniform(0.1, 0.9, K))),
            tuple(map(scalar, rng.normal(size=K))),
            noise[:614],
        )
        for K, target in ((4, 0.5), (16, 0.1), (60, 0.02))
    ]
    return [
        *chains,
        Recurrence(
            "a Hodgkin-Huxley neuron, T = 1000",
            0.5,
            _hodgkin_huxley,
            tuple(map(scalar, (120.0, 36.0, 0.3))),
            tuple(map(scalar, (-65.0, 0.05, 0.6, 0.32))),
            10 + noise,
        ),
        Recurrence(
            "a biquad filter, T = 1000",
            0.5,
            _biquad,
            tuple(map(scalar, (0.2, 0.3, 0.1, -0.4, 0.2))),
            (scalar(0), scalar(0)),
            noise,
        ),
        Recurrence(
            "a Kalman filter of 3 states, T = 1000",
            0.5,
            _kalman,
            (F, 0.01 * np.eye(3), scalar(0.5)),
            (np.zeros(3), np.eye(3)),
            noise,
        ),
        Recurrence(
            "GARCH(1, 1), T = 1000",
            0.5,
            _garch,
            tuple(map(scalar, (0.1, 0.1, 0.8))),
            (scalar(1), scalar(0)),
            noise,
        ),
    ]


def _ours(given: Recurrence) -> Callable[[], list[Any]]:
    leaves = [tg.Tensor(x, requires_grad=True) for x in (given.xs, *given.parameters)]
    carry = tuple(tg.Tensor(x) for x in given.carry)

    def cell(state: Any, x_t: Any) -> Any:
        return given.step(tg, leaves[1:], state, x_t)

    def step() -> list[Any]:
        with tg.backend("native"):
            _, ys = tg.scan(cell, carry, leaves[0])
            return [ys.data, *(g.data for g in tg.grad((ys * ys).sum(), leaves))]

    return step


def _jax(given: Recurrence) -> Callable[[], list[Any]]:
    jax = library("jax").jax
    leaves = tuple(jax.numpy.asarray(x) for x in (given.xs, *given.parameters))
    carry = tuple(jax.numpy.asarray(x) for x in given.carry)

    def forward(xs: Any, *parameters: Any) -> Any:
        cell = lambda state, x_t: given.step(jax.numpy, parameters, state, x_t)  # noqa: E731
        ys = jax.lax.scan(cell, carry, xs)[1]
        return (ys * ys).sum(), ys

    of_all = jax.value_and_grad(forward, argnums=tuple(range(len(leaves))), has_aux=True)
    compiled = jax.jit(of_all)

    def step() -> list[Any]:
        (_, ys), gradients = jax.block_until_ready(compiled(*leaves))
        return [ys, *gradients]

    return step


def recurrences(rounds: int) -> Iterator[Figure]:
    """Steps of few numbers, where a call of anything costs more than the arithmetic."""
    if not library("jax") or not library("native"):
        return
    jax = library("jax").jax
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        for given in recurrences_to_time():
            functions = {"native": _ours(given), "jax": _jax(given)}
            agree(functions, tolerance=1e-9)
            ratio = interleave(functions, rounds=rounds).ratio("native", "jax")
            yield Figure(Table.RECURRENCES, given.name, ratio, "", given.target)
    finally:
        jax.config.update("jax_enable_x64", before)


def native(rounds: int) -> Iterator[Figure]:
    for part in (cells, threads, recurrences):
        yield from part(rounds)


__all__ = ["native", "recurrences_to_time"]
