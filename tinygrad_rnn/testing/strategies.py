"""Hypothesis strategies for arrays, Tensors, sequences, recurrent cells and whole programs.

    from hypothesis import given
    from tinygrad_rnn.testing import strategies

    @given(strategies.arrays((3, 4)))
    def test_softmax_sums_to_one(x):
        assert np.allclose(tg.softmax(x).sum(-1), 1)

Numbers are multiples of 1/64: they print in few digits and are exact in float32. With
``distinct`` they differ by at least 1/64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "tinygrad_rnn.testing.strategies needs hypothesis: pip install 'tinygrad_rnn[test]'"
    ) from error

from .. import ops
from ..graph import Value
from ..tensor import Tensor
from .programs import Program, random_program

_grain = 64


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of arrays, including 0-d shapes, empty shapes and axes of length 1.

    Args:
        min_dims, max_dims: the number of axes.
        min_side, max_side: the length of each axis; ``min_side=1`` excludes empty arrays.
    """
    sides = st.integers(min_side, max_side)
    return st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
    dtype: Any = np.float64,
    *,
    low: float = -2.0,
    high: float = 2.0,
    away: tuple[float, ...] = (),
    distinct: bool = False,
) -> ndarray:
    """Arrays of floats at which a function can be differentiated.

    Args:
        shape: a shape, or a strategy for one; by default :func:`shapes`.
        dtype: float32 or float64.
        low, high: the interval, both ends included.
        away: values that no element takes, such as kinks and poles (0 for relu).
        distinct: whether all elements must differ (for max and sorting).

    Raises:
        ValueError: the interval holds too few numbers for that many distinct elements.
    """
    shape = draw(_shape(shape))
    size = math.prod(shape)
    first, last = math.ceil(low * _grain), math.floor(high * _grain)
    # Integers are drawn and divided by 64 at the end: hypothesis shrinks integers best, and
    # comparing them is exact.
    forbidden = {round(value * _grain) for value in away}
    if last - first + 1 - len(forbidden) < (size if distinct else 1):
        raise ValueError(
            f"arrays: between {low} and {high} there are too few multiples of 1/{_grain} for "
            f"{size} {'distinct ' if distinct else ''}elements"
        )
    element = st.integers(first, last)
    if forbidden:
        element = element.filter(lambda n: n not in forbidden)
    numbers = draw(st.lists(element, min_size=size, max_size=size, unique=distinct))
    return (np.array(numbers, np.float64) / _grain).reshape(shape).astype(dtype)


def _shape(shape: Any) -> st.SearchStrategy[tuple[int, ...]]:
    if shape is None:
        return shapes()
    return shape if isinstance(shape, st.SearchStrategy) else st.just(tuple(shape))


def tensors(
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
    dtype: Any = np.float64,
    *,
    requires_grad: bool = True,
    **limits: Any,
) -> st.SearchStrategy[Tensor]:
    """Leaf Tensors that require grad.

    Args:
        shape, dtype: as for :func:`arrays`.
        requires_grad: False for constants.
        **limits: ``low``, ``high``, ``away`` and ``distinct``, as for :func:`arrays`.
    """
    return arrays(shape, dtype, **limits).map(lambda x: Tensor(x, requires_grad=requires_grad))


@st.composite
def sequences(
    draw: st.DrawFn,
    features: int | None = None,
    *,
    min_steps: int = 1,
    max_steps: int = 6,
    max_batch: int = 3,
    batched: bool | None = None,
    lengths: bool = False,
    dtype: Any = np.float64,
) -> Any:
    """Inputs of recurrent layers: arrays (T, N, D), or (T, D) if not batched.

    Args:
        features: D; None for 1 to 4.
        min_steps, max_steps: the range of T.
        max_batch: the largest N; the smallest is 1.
        batched: True or False; None for either.
        lengths: draw pairs ``(xs, lengths)`` of batched sequences with the valid length of each,
            integers (N,) from 1 to T. After its end a sequence is NaN, so that a layer which reads
            the padding is noticed.
        dtype: float32 or float64.
    """
    if lengths and (batched is False or min_steps < 1):
        raise ValueError("sequences: lengths go with batched sequences of at least one step")
    T = draw(st.integers(min_steps, max_steps))
    D = features if features is not None else draw(st.integers(1, 4))
    is_batched = lengths or (draw(st.booleans()) if batched is None else batched)
    N = draw(st.integers(1, max_batch))
    xs = draw(arrays((T, N, D) if is_batched else (T, D), dtype))
    if not lengths:
        return xs
    steps = np.array(draw(st.lists(st.integers(1, T), min_size=N, max_size=N)), int)
    xs[np.arange(T)[:, None] >= steps] = np.nan
    return xs, steps


# ── programs ─────────────────────────────────────────────────────────────────────────────


class _Drawn:
    """Decisions from hypothesis, which can shrink them to find a minimal example."""

    def __init__(self, draw: st.DrawFn):
        self._draw = draw

    def below(self, n: int) -> int:
        return self._draw(st.integers(0, n - 1))


@st.composite
def programs(draw: st.DrawFn, max_instructions: int = 10) -> Program:
    """Functions of one to three arrays, composed of primitives at random.

    They have fan-out, diamonds, dead branches and values used twice. They print as Python.

    Args:
        max_instructions: the largest number of instructions.
    """
    return random_program(_Drawn(draw), max_instructions)


# ── recurrent cells ──────────────────────────────────────────────────────────────────────


class Cell:
    """A random step function ``(carry, x_t) -> (carry, y_t)``; prints as its lines.

    Attributes:
        parameters: the Tensors that it closes over, of any shapes; they require grad.
        named_parameters: the same Tensors, by the names that its lines use.
    """

    def __init__(
        self,
        lines: list[tuple[str, Callable[..., Any], tuple[int, ...]]],
        parameters: dict[str, Tensor],
        carried: list[int],
        outputs: list[int],
        structure: Any,
        output_structure: Any,
    ):
        self._lines = lines
        self.named_parameters = parameters
        self._carried, self._outputs = carried, outputs
        self._structure, self._output_structure = structure, output_structure
        self.parameters = tuple(parameters.values())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis and IPython print it."""
        printer.text(repr(self))

    def __call__(self, carry: Any, x_t: Any) -> tuple[Any, Any]:
        values = [*_leaves(carry), x_t]
        for _, f, arguments in self._lines:
            values.append(f(*(values[i] for i in arguments)))
        new = _filled(self._structure, iter([values[i] for i in self._carried]))
        y_t = _filled(self._output_structure, iter([values[i] for i in self._outputs]))
        return new, y_t

    def __repr__(self) -> str:
        n = len(list(_leaves(self._structure)))
        carry = _text(self._structure, iter([f"v{i}" for i in range(n)]))
        lines = [f"def cell({carry}, v{n}):"]
        for k, (text, _, arguments) in enumerate(self._lines):
            lines.append(f"    v{n + 1 + k} = {text.format(*(f'v{i}' for i in arguments))}")
        new = _text(self._structure, iter([f"v{i}" for i in self._carried]))
        y_t = _text(self._output_structure, iter([f"v{i}" for i in self._outputs]))
        lines.append(f"    return {new}, {y_t}")
        lines += [f"{name} = {value!r}" for name, value in self.named_parameters.items()]
        return "\n".join(lines)


def _leaves(structure: Any) -> Any:
    if isinstance(structure, tuple):
        for part in structure:
            yield from _leaves(part)
    else:
        yield structure


def _filled(structure: Any, values: Any) -> Any:
    if isinstance(structure, tuple):
        return tuple(_filled(part, values) for part in structure)
    return next(values)


def _text(structure: Any, names: Any) -> str:
    if isinstance(structure, tuple):
        parts = [_text(part, names) for part in structure]
        return f"({', '.join(parts)}{',' * (len(parts) == 1)})"
    return str(next(names))


# Each acts on every row alone, keeps the width H, and keeps numbers of order one.
_cell_unary: dict[str, Callable[[Any], Any]] = {
    "tanh({})": ops.tanh,
    "sigmoid({})": ops.sigmoid,
    "sin({})": ops.sin,
    "relu({})": ops.relu,
    "softplus({}) - 1": lambda x: ops.subtract(ops.softplus(x), 1.0),
    "softmax({})": ops.softmax,
    "cumsum({}, -1) / 4": lambda x: ops.divide(ops.cumsum(x, -1), 4.0),
    "layer_norm({}, H, eps=0.1)": lambda x: ops.layer_norm(x, ops.shape_of(x)[-1], eps=0.1),
    "{} - mean({}, -1, keepdims=True)": lambda x: ops.subtract(x, ops.mean(x, -1, True)),
    "{}[..., ::-1]": lambda x: ops.getitem(x, (..., slice(None, None, -1))),
    "1 - {}": lambda x: ops.subtract(1.0, x),
}
_cell_binary: dict[str, Callable[[Any, Any], Any]] = {
    "{} + {}": ops.add,
    "{} - {}": ops.subtract,
    "tanh({}) * {}": lambda x, y: ops.multiply(ops.tanh(x), y),
    "sigmoid({0}) * {0} + (1 - sigmoid({0})) * {1}": lambda x, y: ops.add(
        ops.multiply(ops.sigmoid(x), x), ops.multiply(ops.subtract(1.0, ops.sigmoid(x)), y)
    ),
    "{} / (1 + square({}))": lambda x, y: ops.divide(x, ops.add(1.0, ops.square(y))),
    "maximum({}, {})": ops.maximum,
    "where({0} > {1}, {0}, {1})": lambda x, y: ops.where(ops.greater(x, y), x, y),
}


@st.composite
def cells(
    draw: st.DrawFn,
    *,
    batched: bool | None = None,
    min_steps: int = 1,
    max_steps: int = 5,
    dtype: Any = np.float64,
) -> tuple[Cell, Any, Tensor]:
    """Random recurrent cells with a carry and a sequence: ``(cell, carry, xs)``, for ``tg.scan``.

        for x_t in xs:
            carry, y_t = cell(carry, x_t)

    The carry is one Tensor, a pair, or a nested tuple. y_t is one Tensor or a pair. Every Tensor
    of the carry is (N, H), or (H,) if not batched. The rows of a batch do not affect each other.
    The cell closes over its ``parameters``: weights for x_t and for states, and biases. Some of
    them are used twice.

    Args:
        batched: True or False; None for either.
        min_steps, max_steps: the range of T; ``min_steps=0`` draws empty sequences too.
        dtype: float32 or float64.

    Returns:
        cell: see :class:`Cell`.
        carry: the initial carry; its Tensors require grad.
        xs: a Tensor (T, N, D) or (T, D) that requires grad.
    """
    H, D = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    T = draw(st.integers(min_steps, max_steps))
    is_batched = draw(st.booleans()) if batched is None else batched
    N = (draw(st.integers(1, 3)),) if is_batched else ()
    # Hypothesis draws a seed and not each number: what it should make simpler is the cell.
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    def tensor(*shape: int) -> Tensor:
        return Tensor(rng.uniform(-1, 1, shape).astype(dtype), requires_grad=True)

    structure: Any = draw(st.sampled_from([0, (0, 0), ((0, 0), 0), (0,)]))
    n = len(list(_leaves(structure)))
    lines: list[tuple[str, Callable[..., Any], tuple[int, ...]]] = []
    parameters: dict[str, Tensor] = {}

    def parameter(kind: str, *shape: int) -> tuple[str, Tensor]:
        # A weight that is used twice gets the sum of two gradients, so cells share some.
        known = [name for name, p in parameters.items() if p.shape == shape and name[0] == kind]
        shared = draw(st.booleans())
        if known and shared:
            name = draw(st.sampled_from(known))
        else:
            name = f"{kind}{len(parameters)}"
            parameters[name] = tensor(*shape)
        return name, parameters[name]

    def linear_line(source: int, width: int) -> None:
        name, W = parameter("W", H, width)
        if draw(st.booleans()):
            bias_name, b = parameter("b", H)
            lines.append((f"linear({{}}, {name}, {bias_name})", _linear(W, b), (source,)))
        else:
            lines.append((f"{{}} @ {name}.T", _linear(W, None), (source,)))

    # v0 to v(n-1) are the carry, vn is x_t; all later values have the width H.
    linear_line(n, D)
    wide = [*range(n), n + 1]
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["linear", "unary", "binary", "join"]))
        pick = st.sampled_from(wide)
        if kind == "linear":
            linear_line(draw(pick), H)
        elif kind == "unary":
            text = draw(st.sampled_from(list(_cell_unary)))
            lines.append((_repeated(text), _cell_unary[text], (draw(pick),)))
        elif kind == "binary":
            text = draw(st.sampled_from(list(_cell_binary)))
            lines.append((text, _cell_binary[text], (draw(pick), draw(pick))))
        else:
            name, W = parameter("W", H, 2 * H)
            lines.append(
                (
                    f"linear(concatenate([{{}}, {{}}], -1), {name})",
                    _join(W),
                    (draw(pick), draw(pick)),
                )
            )
        wide.append(n + len(lines))
    # Without a bound a state could grow at every step and overflow, so each ends in a tanh.
    carried = []
    for _ in range(n):
        source = draw(st.sampled_from(wide[n:]))
        lines.append(("tanh({})", ops.tanh, (source,)))
        carried.append(n + len(lines))
    output_structure: Any = draw(st.sampled_from([0, (0, 0)]))
    outputs = [
        draw(st.sampled_from([*wide, *carried]))
        for _ in range(len(list(_leaves(output_structure))))
    ]
    cell = Cell(lines, parameters, carried, outputs, structure, output_structure)
    carry = _filled(structure, iter([tensor(*N, H) for _ in range(n)]))
    return cell, carry, tensor(T, *N, D)


def _repeated(text: str) -> str:
    return text.replace("{}", "{0}")


def _linear(W: Value, b: Value | None) -> Callable[[Any], Any]:
    return lambda x: ops.linear(x, W, b)


def _join(W: Value) -> Callable[[Any, Any], Any]:
    return lambda x, y: ops.linear(ops.concatenate([x, y], -1), W)


__all__ = ["Cell", "arrays", "cells", "programs", "sequences", "shapes", "tensors"]
