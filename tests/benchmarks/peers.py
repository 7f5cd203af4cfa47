"""Ours and its peers: what each calls the operations, and how a training step is taken in it.

``library.training_step(problem)`` is a function ``step(T) -> arrays`` of the first T time steps
(all of them, if left out): the outputs, and their gradients for xs and for each weight.
``library.comparable(arrays)`` are the same in PyTorch's layout, weights (out, in).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from .cells import Cell, Problem

Step = Callable[..., list[Any]]


def unrolled(cell: Cell, carry: Any, xs: Any) -> list[Any]:
    """The outputs of a plain loop over the steps."""
    ys = []
    for x_t in xs:
        carry, y_t = cell(carry, x_t)
        ys.append(y_t)
    return ys


class Library:
    """One that lays out its weights as PyTorch does."""

    def training_step(self, problem: Problem) -> Step:
        raise NotImplementedError

    def comparable(self, arrays: list[Any]) -> list[Any]:
        return arrays


class Recording(Library):
    """One whose tensors record what they go through: ours, and torch."""

    tensor: Any  # makes one of an array

    def net(self, problem: Problem) -> tuple[list[Any], Callable[[Any], Any]]:
        """The weights, and the outputs as a function of xs."""
        if problem.kind.cell is None:
            layer = self.layer(problem)
            return list(layer.parameters()), lambda xs: layer(xs)[0]
        weights = [self.tensor(a, requires_grad=True) for a in problem.weights]
        cell = problem.kind.cell(self, weights)
        carry = tuple(self.tensor(a) for a in problem.carry)
        return weights, lambda xs: self.scan(cell, carry, xs)

    def layer(self, problem: Problem) -> Any:
        """The built-in layer that is called so, with the problem's weights."""
        raise NotImplementedError

    def scan(self, cell: Cell, carry: Any, xs: Any) -> Any:
        raise NotImplementedError

    def training_step(self, problem: Problem) -> Step:
        weights, forward = self.net(problem)

        @functools.cache
        def given(T: int) -> Any:
            xs = self.tensor(problem.xs[:T], requires_grad=True)
            return xs, self.tensor(problem.cotangent[:T])

        def step(T: int = problem.size[0]) -> list[Any]:
            xs, cotangent = given(T)
            for leaf in (xs, *weights):
                leaf.grad = None
            ys = forward(xs)
            ys.backward(cotangent)
            return [ys.detach(), *(leaf.grad for leaf in (xs, *weights))]

        given(problem.size[0])
        return step


class Ours(Recording):
    """tg.nn's layers, and cells of one's own through tg.scan.

    Args:
        backend: of scan.
    """

    def __init__(self, backend: str = "auto") -> None:
        if backend == "native":
            import llvmlite  # noqa: F401 - it is not there without
        self.backend = backend

    linear, sigmoid, tanh = staticmethod(tg.linear), staticmethod(tg.sigmoid), staticmethod(tg.tanh)
    tensor = tg.Tensor

    def norm(self, x: Any, weight: Any, bias: Any) -> Any:
        return tg.layer_norm(x, x.shape[-1], weight, bias)

    def split(self, x: Any, parts: int) -> Any:
        return tg.split(x, parts, -1)

    def layer(self, problem: Problem) -> Any:
        _, _, D, H = problem.size
        layer = getattr(tg.nn, problem.name.removeprefix("nn."))(D, H)
        names = [name for name, _ in layer.named_parameters()]
        layer.load_state_dict(dict(zip(names, problem.weights, strict=True)))
        return layer

    def scan(self, cell: Cell, carry: Any, xs: Any) -> Any:
        return tg.scan(cell, carry, xs)[1]

    def training_step(self, problem: Problem) -> Step:
        step = super().training_step(problem)

        def on_backend(*T: int) -> list[Any]:
            with tg.backend(self.backend):
                return step(*T)

        return on_backend


class Torch(Recording):
    """Its built-in layers, and a loop over the steps for cells of one's own."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch, self.tensor = torch, torch.tensor
        self.linear = torch.nn.functional.linear
        self.sigmoid, self.tanh = torch.sigmoid, torch.tanh

    def norm(self, x: Any, weight: Any, bias: Any) -> Any:
        return self.torch.nn.functional.layer_norm(x, x.shape[-1:], weight, bias)

    def split(self, x: Any, parts: int) -> Any:
        return self.torch.chunk(x, parts, -1)

    def layer(self, problem: Problem) -> Any:
        _, _, D, H = problem.size
        layer = getattr(self.torch.nn, problem.name.removeprefix("nn."))(D, H)
        with self.torch.no_grad():
            for parameter, array in zip(layer.parameters(), problem.weights, strict=True):
                parameter.copy_(self.tensor(array))
        return layer

    def scan(self, cell: Cell, carry: Any, xs: Any) -> Any:
        return self.torch.stack(unrolled(cell, carry, xs))


class NumpyLike(Library):
    """One that has NumPy's functions, and no more; weights are (in, out), as such code has them.

    jax takes up to 1.4 times as long with ``x @ W.T``, W (out, in).
    """

    def __init__(self, np: Any, sigmoid: Any):
        self.np, self.tanh, self.sigmoid = np, np.tanh, sigmoid

    def weights(self, problem: Problem) -> list[np.ndarray]:
        return [np.ascontiguousarray(a.T) for a in problem.weights]

    def comparable(self, arrays: list[Any]) -> list[Any]:
        ys, for_xs, *for_weights = map(np.asarray, arrays)
        return [ys, for_xs, *(a.T for a in for_weights)]

    def linear(self, x: Any, weight: Any, bias: Any) -> Any:
        return x @ weight + bias

    def norm(self, x: Any, weight: Any, bias: Any) -> Any:
        centred = x - self.np.mean(x, axis=-1, keepdims=True)
        variance = self.np.mean(centred * centred, axis=-1, keepdims=True)
        return centred / self.np.sqrt(variance + 1e-5) * weight + bias

    def split(self, x: Any, parts: int) -> Any:
        size = x.shape[-1] // parts
        return [x[..., i * size : (i + 1) * size] for i in range(parts)]


class Jax(NumpyLike):
    """jax.lax.scan, forward and backward under one jax.jit."""

    def __init__(self) -> None:
        import jax

        self.jax = jax
        super().__init__(jax.numpy, jax.nn.sigmoid)

    def training_step(self, problem: Problem) -> Step:
        jax = self.jax
        make = problem.kind.cell
        assert make is not None, f"jax has no {problem.name}"
        weights = [jax.numpy.asarray(a) for a in self.weights(problem)]
        carry = tuple(jax.numpy.asarray(a) for a in problem.carry)

        def forward(weights: Any, xs: Any) -> Any:
            return jax.lax.scan(make(self, weights), carry, xs)[1]

        @jax.jit
        def with_gradients(weights: Any, xs: Any, cotangent: Any) -> Any:
            ys, pull = jax.vjp(forward, weights, xs)
            return ys, *pull(cotangent)

        @functools.cache
        def given(T: int) -> Any:
            return jax.numpy.asarray(problem.xs[:T]), jax.numpy.asarray(problem.cotangent[:T])

        def step(T: int = problem.size[0]) -> list[Any]:
            results = with_gradients(weights, *given(T))
            ys, for_weights, for_xs = jax.block_until_ready(results)
            return [ys, for_xs, *for_weights]

        return step


class Autograd(NumpyLike):
    """HIPS autograd: a loop over the steps."""

    def __init__(self) -> None:
        import autograd
        import autograd.numpy

        self.autograd = autograd
        tanh = autograd.numpy.tanh
        super().__init__(autograd.numpy, lambda x: 0.5 * tanh(0.5 * x) + 0.5)

    def training_step(self, problem: Problem) -> Step:
        make = problem.kind.cell
        assert make is not None, f"autograd has no {problem.name}"
        weights = self.weights(problem)

        def forward(weights: Any, xs: Any) -> Any:
            return self.np.stack(unrolled(make(self, weights), tuple(problem.carry), xs))

        def step(T: int = problem.size[0]) -> list[Any]:
            vjp = self.autograd.make_vjp(forward, (0, 1))
            pull, ys = vjp(weights, problem.xs[:T])
            for_weights, for_xs = pull(problem.cotangent[:T])
            return [ys, for_xs, *for_weights]

        return step


class MyGrad(NumpyLike):
    """MyGrad: a loop over the steps."""

    def __init__(self) -> None:
        import mygrad
        from mygrad.nnet.activations import sigmoid

        super().__init__(mygrad, sigmoid)

    def training_step(self, problem: Problem) -> Step:
        make = problem.kind.cell
        assert make is not None, f"MyGrad has no {problem.name}"
        weights = [self.np.tensor(a) for a in self.weights(problem)]

        def step(T: int = problem.size[0]) -> list[Any]:
            xs = self.np.tensor(problem.xs[:T])
            for weight in weights:
                weight.null_grad()
            ys = self.np.stack(unrolled(make(self, weights), tuple(problem.carry), xs))
            ys.backward(problem.cotangent[:T])
            return [ys.data, *(leaf.grad for leaf in (xs, *weights))]

        return step


LIBRARIES: dict[str, Callable[[], Any]] = {
    "ours": Ours,
    "numpy": functools.partial(Ours, "numpy"),
    "native": functools.partial(Ours, "native"),
    "torch": Torch,
    "jax": Jax,
    "autograd": Autograd,
    "mygrad": MyGrad,
}


@functools.cache
def library(name: str) -> Any:
    """A library by its name; None where it is not installed."""
    try:
        return LIBRARIES[name]()
    except ImportError:
        return None


def versions() -> str:
    """Those of what is compared, for the README."""
    found = []
    for package in ("numpy", "llvmlite", "torch", "jax", "autograd", "mygrad"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)
