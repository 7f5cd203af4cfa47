"""Random programs: test gradients of compositions that nobody thought of.

A program is a list of instructions on numbered values. Hypothesis draws it
(``strategies.programs``), or a random generator does. It prints as Python, so that a reader can
type in a failing program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy import ndarray

from .. import ops
from .cases import Case

Shape = tuple[int, ...]


class Source(Protocol):
    """Where decisions come from: hypothesis, which can shrink them, or a random generator."""

    def below(self, n: int) -> int:
        """An integer from 0 to n - 1."""


class RandomSource:
    """Decisions from a random generator."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng

    def below(self, n: int) -> int:
        return int(self._rng.integers(n))


@dataclass(frozen=True)
class Instruction:
    """One line of a program: ``v7 = f(v3, v5)``."""

    text: str  # with {} for each argument
    f: Callable[..., Any]
    arguments: tuple[int, ...]

    def __str__(self) -> str:
        return self.text.format(*(f"v{i}" for i in self.arguments))


@dataclass(frozen=True)
class Program:
    """A function of some arrays, made of primitives.

    Attributes:
        shapes: the shapes of the inputs v0, v1, ...
        instructions: each computes the next value from earlier ones.
        result: the number of the value that is returned. Values that it does not depend on are
            dead branches.
    """

    shapes: tuple[Shape, ...]
    instructions: tuple[Instruction, ...]
    result: int

    def __call__(self, *inputs: Any) -> Any:
        values = list(inputs)
        for instruction in self.instructions:
            values.append(instruction.f(*(values[i] for i in instruction.arguments)))
        return values[self.result]

    def __str__(self) -> str:
        inputs = [f"v{i}: {shape}" for i, shape in enumerate(self.shapes)]
        lines = [
            f"    v{len(self.shapes) + k} = {instruction}"
            for k, instruction in enumerate(self.instructions)
        ]
        return "\n".join([f"def f({', '.join(inputs)}):", *lines, f"    return v{self.result}"])

    __repr__ = __str__

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis and IPython print it."""
        printer.text(str(self))

    def arrays(self, rng: np.random.Generator) -> tuple[ndarray, ...]:
        """Random inputs."""
        return tuple(np.asarray(rng.uniform(-1.5, 1.5, shape)) for shape in self.shapes)

    def case(self, rng: np.random.Generator) -> Case:
        """The program at a random point, for the laws. All of its instructions are analytic."""
        name = f"program {self}"
        return Case(name, self, self.arrays(rng), takes_numbers=False, magnitude=1.0)


# ── what a line may be ───────────────────────────────────────────────────────────────────

# Every instruction keeps values of order one and inside all domains, so any composition is valid.
_unary: dict[str, Callable[[Any], Any]] = {
    "tanh({})": ops.tanh,
    "sigmoid({})": ops.sigmoid,
    "sin({})": ops.sin,
    "cos({})": ops.cos,
    "softplus({})": ops.softplus,
    "relu({})": ops.relu,
    "negative({})": ops.negative,
    "square(tanh({}))": lambda x: ops.square(ops.tanh(x)),
    "exp(sin({}))": lambda x: ops.exp(ops.sin(x)),
    "log(1 + square({}))": lambda x: ops.log(ops.add(1.0, ops.square(x))),
    "log1p(exp({}))": lambda x: ops.log1p(ops.exp(ops.clip(x, -8.0, 8.0))),
    "sqrt(1 + square({}))": lambda x: ops.sqrt(ops.add(1.0, ops.square(x))),
    "power(sigmoid({}), 1.5)": lambda x: ops.power(ops.sigmoid(x), 1.5),
    "clip({}, -0.7, 0.9)": lambda x: ops.clip(x, -0.7, 0.9),
    "where({0} > 0, {0}, 0.1)": lambda x: ops.where(ops.greater(x, 0.0), x, 0.1),
    "flip({})": ops.flip,
    "reshape({}, (-1,))": lambda x: ops.reshape(x, (-1,)),
    "transpose({})": ops.transpose,
    "expand_dims({}, 0)": lambda x: ops.expand_dims(x, 0),
    "squeeze({})": ops.squeeze,
    "sum({}) / 4": lambda x: ops.divide(ops.sum(x), 4.0),
    "mean({})": ops.mean,
    "max({})": ops.max,
    "min({})": ops.min,
    "logsumexp({})": ops.logsumexp,
    "cumsum({}) / 4": lambda x: ops.divide(ops.cumsum(x), 4.0),
}
_with_axes: dict[str, Callable[[Any], Any]] = {
    "{}[0]": lambda x: ops.getitem(x, 0),
    "{}[..., -1]": lambda x: ops.getitem(x, (..., -1)),
    "{}[[0, 0, -1]]": lambda x: ops.getitem(x, [0, 0, -1]),
    "{}[::-1]": lambda x: ops.getitem(x, slice(None, None, -1)),
    "sum({}, -1, keepdims=True)": lambda x: ops.sum(x, -1, True),
    "mean({}, 0)": lambda x: ops.mean(x, 0),
    "max({}, -1)": lambda x: ops.max(x, -1),
    "softmax({})": ops.softmax,
    "log_softmax({}) / 4": lambda x: ops.divide(ops.log_softmax(x), 4.0),
    "swapaxes({}, 0, -1)": lambda x: ops.swapaxes(x, 0, -1),
    "moveaxis({}, 0, -1)": lambda x: ops.moveaxis(x, 0, -1),
    "pad({}, 1)": lambda x: ops.pad(x, 1),
    "concatenate([{0}, {0}])": lambda x: ops.concatenate([x, x]),
    "stack([{0}, {0}], -1)": lambda x: ops.stack([x, x], -1),
    "concatenate(split({}, [1])[::-1])": lambda x: ops.concatenate(ops.split(x, [1])[::-1]),
    "einsum('i...->...', {}) / 4": lambda x: ops.divide(ops.einsum("i...->...", x), 4.0),
}
_binary: dict[str, Callable[[Any, Any], Any]] = {
    "add({}, {})": ops.add,
    "subtract({}, {})": ops.subtract,
    "multiply(tanh({}), {})": lambda x, y: ops.multiply(ops.tanh(x), y),
    "divide({}, 1 + square({}))": lambda x, y: ops.divide(x, ops.add(1.0, ops.square(y))),
    "power(1 + sigmoid({}), tanh({}))": lambda x, y: ops.power(
        ops.add(1.0, ops.sigmoid(x)), ops.tanh(y)
    ),
    "maximum({}, {})": ops.maximum,
    "minimum({}, {})": ops.minimum,
}
_products: dict[str, Callable[[Any, Any], Any]] = {
    "tanh({} @ {})": lambda x, y: ops.tanh(ops.matmul(x, y)),
    "tanh(linear({}, {}))": lambda x, y: ops.tanh(ops.linear(x, y)),
    "tanh(einsum('...i,...i->...', {}, {}))": lambda x, y: ops.tanh(
        ops.einsum("...i,...i->...", x, y)
    ),
}
_most_elements = 48


def random_program(source: Source, most_instructions: int = 10) -> Program:
    """A program from a source of decisions.

    Each argument is drawn from all earlier values, so fan-out, diamonds and dead branches occur,
    and one value may be used twice in a line. Lines whose shapes do not fit, or whose result would
    be large, are skipped.
    """
    sides = [(), (1,), (3,), (2, 3), (3, 3), (3, 2), (2, 1, 3)]
    shapes = tuple(sides[source.below(len(sides))] for _ in range(1 + source.below(3)))
    # Run each line on constants, to find the shape of its result.
    values: list[ndarray] = [np.full(shape, 0.3) for shape in shapes]
    instructions: list[Instruction] = []
    # Binary operations twice: they make fan-out and diamonds.
    kinds: Sequence[tuple[int, dict[str, Callable[..., Any]]]] = (
        (1, _unary),
        (2, _binary),
        (1, _with_axes),
        (2, _binary),
        (2, _products),
    )
    for _ in range(1 + source.below(most_instructions)):
        arity, table = kinds[source.below(len(kinds))]
        text = list(table)[source.below(len(table))]
        arguments = tuple(source.below(len(values)) for _ in range(arity))
        try:
            value = table[text](*(values[i] for i in arguments))
        except (ValueError, IndexError, TypeError):  # the shapes do not fit
            continue
        # The laws differentiate every element, so large values would make them slow.
        if value.size <= _most_elements and value.ndim <= 4:
            values.append(value)
            instructions.append(Instruction(text, table[text], arguments))
    # Return the last value, or sometimes an earlier one: the values after it are then dead.
    back = source.below(3) if source.below(2) else 0
    result = max(len(shapes) if instructions else 0, len(values) - 1 - back)
    return Program(shapes, tuple(instructions), result)
