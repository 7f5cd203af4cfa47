"""Twenty small programs, forward and backward: ours, HIPS autograd, MyGrad and PyTorch.

python -m tests.benchmarks.programs              one line for each program
python -m tests.benchmarks.programs --rounds 1   faster, and less sure
python -m tests.benchmarks.programs --readme     and the table into the README.md beside this

Each is written once, for any namespace with NumPy's names, and takes fewer than 1,000 numbers; all
libraries run it in turns, in float64, after their gradients were found to agree. A ratio is ours /
theirs: below 1 we are faster. What a library cannot run has no figure.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.app.arguments import whole

from .table import MISSED, PAGE, write
from .timing import agree, interleave

PLACE = (
    "<!-- figures: python -m tests.benchmarks.programs --readme -->",
    "<!-- end of programs -->",
)
#: How often all programs are measured; a ratio is the median.
PASSES = 9
#: The most that the geometric mean may be, against HIPS autograd.
TARGET = 0.5

rng = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return rng.normal(size=shape) / 2


class Program(NamedTuple):
    """A scalar function ``f(xp, *parameters, *constants)`` and what it is called on."""

    name: str
    f: Callable[..., Any]
    parameters: tuple[np.ndarray, ...]
    constants: tuple[np.ndarray, ...] = ()


def _positive(*shape: int) -> np.ndarray:
    a = rng.normal(size=(shape[0], 2 * shape[0]))
    return a @ a.T / shape[0] + np.eye(shape[0])


# ── regression and classification ────────────────────────────────────────────────────────


def linear_regression(xp: Any, w: Any, b: Any, X: Any, y: Any) -> Any:
    r = X @ w + b - y
    return xp.sum(r * r)


def logistic_regression(xp: Any, w: Any, b: Any, X: Any, y: Any) -> Any:
    z = X @ w + b
    return xp.sum(xp.log(1 + xp.exp(-z * y))) + 0.01 * xp.sum(w * w)


def poisson_regression(xp: Any, w: Any, X: Any, y: Any) -> Any:
    z = X @ w
    return xp.sum(xp.exp(z) - y * z)


def softmax_classifier(xp: Any, W: Any, b: Any, X: Any, onehot: Any) -> Any:
    z = X @ W + b
    return xp.sum(xp.log(xp.sum(xp.exp(z), 1)) - xp.sum(z * onehot, 1))


def multilayer_perceptron(xp: Any, W: Any, b: Any, V: Any, c: Any, X: Any, y: Any) -> Any:
    r = xp.tanh(X @ W + b) @ V + c - y
    return xp.mean(r * r)


def deep_perceptron(xp: Any, W: Any, V: Any, U: Any, X: Any, y: Any) -> Any:
    h = xp.tanh(xp.tanh(X @ W) @ V) @ U
    return xp.mean((h - y) ** 2)


def normalised_layer(xp: Any, W: Any, g: Any, b: Any, X: Any) -> Any:
    z = X @ W
    d = z - xp.mean(z, 1)[:, None]
    y = d / xp.sqrt(xp.mean(d * d, 1)[:, None] + 1e-5) * g + b
    return xp.sum(xp.tanh(y) ** 2)


def attention(xp: Any, Q: Any, K: Any, V: Any, X: Any) -> Any:
    scores = xp.exp((X @ Q) @ (X @ K).T * 0.3)
    weights = scores / xp.sum(scores, 1)[:, None]
    return xp.sum((weights @ (X @ V)) ** 2)


def matrix_factorisation(xp: Any, A: Any, B: Any, M: Any) -> Any:
    r = A @ B - M
    return xp.sum(r * r) + 0.1 * (xp.sum(A * A) + xp.sum(B * B))


# ── probability ──────────────────────────────────────────────────────────────────────────


def gaussian_by_cholesky(xp: Any, m: Any, S: Any, x: Any) -> Any:
    L = xp.linalg.cholesky(S + S.T)
    z = xp.linalg.solve(L, x - m)
    return 0.5 * xp.sum(z * z) + xp.sum(xp.log(xp.diag(L)))


def gaussian_by_slogdet(xp: Any, m: Any, S: Any, x: Any) -> Any:
    d = x - m
    return 0.5 * xp.sum(d * xp.linalg.solve(S, d)) + 0.5 * xp.linalg.slogdet(S)[1]


def gaussian_process(xp: Any, log_l: Any, log_s: Any, D: Any, y: Any) -> Any:
    K = xp.exp(-0.5 * D * xp.exp(-2 * log_l)) + (0.1 + xp.exp(log_s)) * np_eye(xp, len(D))
    return 0.5 * xp.sum(y * xp.linalg.solve(K, y)) + 0.5 * xp.linalg.slogdet(K)[1]


def mixture_of_gaussians(xp: Any, m: Any, log_s: Any, a: Any, x: Any) -> Any:
    z = (x[:, None] - m) * xp.exp(-log_s)
    p = xp.exp(a - 0.5 * z * z - log_s)
    return -xp.sum(xp.log(xp.sum(p, 1))) + len(x) * xp.log(xp.sum(xp.exp(a)))


def kalman_step(xp: Any, F: Any, Q: Any, H: Any, R: Any, m: Any, P: Any, y: Any) -> Any:
    m, P = F @ m, F @ P @ F.T + Q
    S = H @ P @ H.T + R
    r = y - H @ m
    z = xp.linalg.solve(S, r)
    m = m + P @ H.T @ z
    return 0.5 * xp.sum(r * z) + 0.5 * xp.linalg.slogdet(S)[1] + xp.sum(m * m)


# ── loops over time ──────────────────────────────────────────────────────────────────────


def recurrent_net(xp: Any, W: Any, U: Any, b: Any, h: Any, X: Any) -> Any:
    for t in range(10):
        h = xp.tanh(X[t] @ W + h @ U + b)
    return xp.sum(h * h)


def lstm(xp: Any, W: Any, U: Any, b: Any, h: Any, c: Any, X: Any) -> Any:
    n = 6
    for t in range(6):
        z = X[t] @ W + h @ U + b
        i, f, o = (1 / (1 + xp.exp(-z[:, k * n : (k + 1) * n])) for k in (0, 1, 3))
        c = f * c + i * xp.tanh(z[:, 2 * n : 3 * n])
        h = o * xp.tanh(c)
    return xp.sum(h * h)


def pendulum(xp: Any, state: Any, damping: Any) -> Any:
    """Runge and Kutta's fourth order."""

    def slope(q: Any, p: Any) -> tuple[Any, Any]:
        return p, -xp.sin(q) - damping * p

    q, p, h = state[0], state[1], 0.1
    for _ in range(10):
        a, b = slope(q, p)
        c, d = slope(q + h / 2 * a, p + h / 2 * b)
        e, f = slope(q + h / 2 * c, p + h / 2 * d)
        g, k = slope(q + h * e, p + h * f)
        q = q + h / 6 * (a + 2 * c + 2 * e + g)
        p = p + h / 6 * (b + 2 * d + 2 * f + k)
    return q * q + p * p


def diffusion(xp: Any, u: Any, k: Any) -> Any:
    """Heat on a torus."""
    for _ in range(5):
        around = xp.roll(u, 1, 0) + xp.roll(u, -1, 0) + xp.roll(u, 1, 1) + xp.roll(u, -1, 1)
        u = u + k * (around - 4 * u)
    return xp.sum(u * u)


# ── energies ─────────────────────────────────────────────────────────────────────────────


def rosenbrock(xp: Any, x: Any) -> Any:
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def spring_chain(xp: Any, x: Any, rest: Any) -> Any:
    d = x[1:] - x[:-1]
    length = xp.sqrt(xp.sum(d * d, 1))
    return xp.sum((length - rest) ** 2) + 0.1 * xp.sum(xp.cos(x))


def np_eye(xp: Any, n: int) -> Any:
    return _eyes[xp](n)


_eyes: dict[Any, Callable[[int], Any]] = {}

X20, X10 = some(20, 8), some(10, 6)
PROGRAMS = [
    Program("linear regression", linear_regression, (some(8), some()), (X20, some(20))),
    Program(
        "logistic regression",
        logistic_regression,
        (some(8), some()),
        (X20, np.sign(some(20))),
    ),
    Program("Poisson regression", poisson_regression, (some(8),), (X20, some(20) ** 2)),
    Program(
        "softmax classifier",
        softmax_classifier,
        (some(8, 3), some(3)),
        (X20, np.eye(3)[rng.integers(0, 3, 20)]),
    ),
    Program(
        "multilayer perceptron",
        multilayer_perceptron,
        (some(8, 16), some(16), some(16, 1), some(1)),
        (X20, some(20, 1)),
    ),
    Program(
        "three layers",
        deep_perceptron,
        (some(8, 12), some(12, 12), some(12, 2)),
        (X20, some(20, 2)),
    ),
    Program("layer normalisation", normalised_layer, (some(8, 10), some(10), some(10)), (X20,)),
    Program("attention", attention, (some(6, 4), some(6, 4), some(6, 4)), (X10,)),
    Program(
        "matrix factorisation", matrix_factorisation, (some(8, 3), some(3, 10)), (some(8, 10),)
    ),
    Program("Gaussian, by cholesky", gaussian_by_cholesky, (some(6), _positive(6)), (some(6),)),
    Program("Gaussian, by slogdet", gaussian_by_slogdet, (some(6), _positive(6)), (some(6),)),
    Program(
        "Gaussian process",
        gaussian_process,
        (some(), some()),
        ((np.arange(8.0)[:, None] - np.arange(8.0)) ** 2, some(8)),
    ),
    Program("mixture of Gaussians", mixture_of_gaussians, (some(4), some(4), some(4)), (some(30),)),
    Program(
        "Kalman filter step",
        kalman_step,
        (some(4, 4), _positive(4), some(2, 4), _positive(2)),
        (some(4), _positive(4), some(2)),
    ),
    Program(
        "RNN, 10 steps",
        recurrent_net,
        (some(6, 8), some(8, 8), some(8), some(2, 8)),
        (some(10, 2, 6),),
    ),
    Program(
        "LSTM, 6 steps",
        lstm,
        (some(4, 24), some(6, 24), some(24), some(2, 6), some(2, 6)),
        (some(6, 2, 4),),
    ),
    Program("pendulum, Runge-Kutta", pendulum, (some(2), some())),
    Program("diffusion", diffusion, (some(8, 8), some())),
    Program("Rosenbrock", rosenbrock, (some(50),)),
    Program("chain of springs", spring_chain, (some(20, 3),), (np.ones(19),)),
]


# ── the libraries ────────────────────────────────────────────────────────────────────────


def _ours(program: Program) -> Callable[[], list[Any]]:
    leaves = [tg.Tensor(x, requires_grad=True) for x in program.parameters]

    def step() -> list[Any]:
        for x in leaves:
            x.grad = None
        program.f(tg, *leaves, *program.constants).backward()
        return [x.grad for x in leaves]

    return step


def _hips(program: Program) -> Callable[[], list[Any]]:
    import autograd
    import autograd.numpy as anp

    _eyes[anp] = np.eye
    gradient = autograd.grad(
        lambda *xs: program.f(anp, *xs, *program.constants), tuple(range(len(program.parameters)))
    )
    return lambda: list(gradient(*program.parameters))


def _mygrad(program: Program) -> Callable[[], list[Any]]:
    import mygrad as mg

    _eyes[mg] = np.eye
    leaves = [mg.tensor(x) for x in program.parameters]

    def step() -> list[Any]:
        program.f(mg, *leaves, *program.constants).backward()
        return [x.grad for x in leaves]

    return step


def _torch(program: Program) -> Callable[[], list[Any]]:
    import torch

    torch.set_num_threads(1)
    _eyes[torch] = lambda n: torch.eye(n, dtype=torch.float64)
    leaves = [torch.tensor(x, requires_grad=True) for x in program.parameters]
    constants = [torch.tensor(x) for x in program.constants]

    def step() -> list[Any]:
        for x in leaves:
            x.grad = None
        program.f(torch, *leaves, *constants).backward()
        return [x.grad for x in leaves]

    return step


_eyes[tg] = np.eye
LIBRARIES = {"HIPS autograd": _hips, "MyGrad": _mygrad, "PyTorch": _torch}


def ratios(program: Program, rounds: int) -> dict[str, float]:
    """Ours / theirs, for each library that runs the program and agrees."""
    steps = {"ours": _ours(program)}
    for name, make in LIBRARIES.items():
        try:
            step = make(program)
            step()
        except Exception:  # not installed, or without an operation of the program's
            continue
        steps[name] = step
    agree(steps, 1e-8)
    times = interleave(steps, rounds=rounds, seconds=0.02)
    return {name: times.ratio("ours", name) for name in steps if name != "ours"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.programs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=whole(1), default=3, help="in each pass over all programs; %(default)s"
    )
    parser.add_argument("--readme", nargs="?", type=Path, const=PAGE, metavar="FILE")
    options = parser.parse_args(argv)
    # What else the machine does may last for seconds: a program's rounds lie far from each other.
    passes = [[ratios(p, options.rounds) for p in PROGRAMS] for _ in range(PASSES)]
    found = {}
    for program, *rows in zip(PROGRAMS, *passes, strict=True):
        found[program.name] = {
            name: statistics.median(row[name] for row in rows) for name in rows[0]
        }
        shown = "  ".join(f"{name} {r:5.2f}" for name, r in found[program.name].items())
        print(f"{program.name:24} {shown}", flush=True)
    names = [name for name in LIBRARIES if any(name in row for row in found.values())]
    means = {
        name: statistics.geometric_mean(row[name] for row in found.values() if name in row)
        for name in names
    }
    print(f"{'geometric mean':24} {'  '.join(f'{n} {m:5.2f}' for n, m in means.items())}")
    missed = [
        f"{program} / {name}" for program, row in found.items() for name in row if row[name] > 1
    ]
    if means.get("HIPS autograd", 0.0) > TARGET:
        missed.append(f"the mean against HIPS autograd (at most {TARGET})")
    verdict = f"Missed: {', '.join(missed) or 'nothing'}."
    print(verdict)
    if options.readme:
        write(options.readme, f"{_markdown(found, means)}\n\n{verdict}", PLACE)
        print(f"wrote {options.readme}")
    return 1 if missed else 0


def _markdown(found: dict[str, dict[str, float]], means: dict[str, float]) -> str:
    lines = [f"| ours / theirs | {' | '.join(means)} |", "|---|" + "---:|" * len(means)]
    for program, row in found.items():
        cells = (_cell(row.get(name, math.nan), 1.0) for name in means)
        lines.append(f"| {program} | {' | '.join(cells)} |")
    targets = {"HIPS autograd": TARGET}
    cells = (_cell(mean, targets.get(name, 1.0)) for name, mean in means.items())
    return "\n".join([*lines, f"| geometric mean | {' | '.join(cells)} |"])


def _cell(ratio: float, target: float) -> str:
    if math.isnan(ratio):
        return ""
    return f"{ratio:.2f}" + (f" {MISSED}" if ratio > target else "")


if __name__ == "__main__":
    sys.exit(main())
