"""A step as data: what it reads, its lines, what it returns. It runs, and prints as Python.

Every line is the text of a Python expression, so what is printed is what was run.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

import tinygrad_rnn as tg


def quiet(stop: bool, f: Callable[[Any], Any], x: Any) -> Any:
    with tg.no_grad() if stop else contextlib.nullcontext():
        return f(x)


#: Two operations of a user's own that the lines may call; ``stop`` is another one at each call.
HELPERS = {
    "stop": False,
    "quiet": quiet,
    "cube": tg.primitive(lambda x: x**3, lambda g, y, x: g * 3 * x**2, name="cube"),
    "mirror": tg.primitive(lambda x: x[::-1], lambda g, y, x: g[::-1], name="mirror"),
}
HELPERS_TEXT = """\
stop = False  # and True at the second call
def quiet(stop, f, x):
    with tg.no_grad() if stop else tg.scope("recorded"):
        return f(x)
cube = tg.primitive(lambda x: x**3, lambda g, y, x: g * 3 * x**2, name="cube")
mirror = tg.primitive(lambda x: x[::-1], lambda g, y, x: g[::-1], name="mirror")
"""


@dataclass(frozen=True)
class Line:
    """``names = text``, where ``{0}``, ``{1}``, ... in the text are the values that it reads."""

    names: tuple[str, ...]
    text: str
    reads: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{', '.join(self.names)} = {self.expression()}"

    def expression(self, wrap: str = "{}") -> str:
        """The expression; ``wrap`` stands around each value that it reads, at each place."""
        if "tg.grad(" in self.text:  # which wants the very Tensor that was computed with
            wrap = "{}"
        return self.text.format(*[wrap.format(name) for name in self.reads])


@dataclass(frozen=True)
class Given:
    """A value from outside of the step: a weight, a part of the first carry, an input.

    Attributes:
        name: what the lines call it.
        shape: sizes by name, or as numbers; of an input it is the shape at one step.
        dtype: "float64", "float32", "int64", "bool", or "number" for a Python float.
        live: whether a gradient is wanted for it.
        seed: of its numbers.
        layout: how it lies in memory, one of :data:`LAYOUTS`.
        exponent: its numbers are multiplied by 2 to this power.
        plain: an ndarray in the place of a Tensor.
    """

    name: str
    shape: tuple[str, ...] = ()
    dtype: str = "float64"
    live: bool = False
    seed: int = 0
    layout: str = "C"
    exponent: int = 0
    plain: bool = False

    def numbers(self, shape: tuple[int, ...], call: int) -> ndarray:
        """The numbers at this call; every float is exact in float32."""
        rng = np.random.default_rng(self.seed + 1000 * call)
        if self.dtype == "int64":
            return rng.integers(0, 2, shape)
        if self.dtype == "bool":
            return rng.integers(0, 2, shape) > 0
        scaled = rng.integers(-9999, 10000, shape) / 8192 * 2.0**self.exponent
        return np.asarray(scaled).astype(np.float32 if self.dtype == "float32" else np.float64)

    def make(self, shape: tuple[int, ...], call: int) -> Any:
        """What stands for it at this call: a Tensor, an ndarray or a number."""
        if self.dtype == "number":
            return float(self.numbers((), call))
        before, _, make = LAYOUTS[self.layout]
        array = self.numbers(before(shape), call)
        if self.layout == "F":
            array = np.asfortranarray(array)
        if self.plain:
            return make(array)
        return make(tg.Tensor(array, requires_grad=self.live))

    def text(self, shape: tuple[int, ...], call: int) -> str:
        """The Python expression of :meth:`make`."""
        before, wrapped, _ = LAYOUTS[self.layout]
        rng = f"np.random.default_rng({self.seed + 1000 * call})"
        if self.dtype == "number":
            return repr(self.make((), call))
        size = before(shape)
        if self.dtype == "int64":
            numbers = f"{rng}.integers(0, 2, {size})"
        elif self.dtype == "bool":
            numbers = f"{rng}.integers(0, 2, {size}) > 0"
        else:
            scale = f" * 2.0**{self.exponent}" if self.exponent else ""
            numbers = f"{rng}.integers(-9999, 10000, {size}) / 8192{scale}"
            if self.dtype == "float32":
                numbers = f"np.float32({numbers})"
        if self.layout == "F":
            numbers = f"np.asfortranarray({numbers})"
        live = ", requires_grad=True" if self.live else ""
        return wrapped.format(f"({numbers})" if self.plain else f"tg.Tensor({numbers}{live})")


Shape = tuple[int, ...]

#: How arrays may lie in memory: the shape of what they are made from, and how they are made.
LAYOUTS: dict[str, tuple[Callable[[Shape], Shape], str, Callable[[Any], Any]]] = {
    "C": (lambda s: s, "{}", lambda x: x),
    "F": (lambda s: s, "{}", lambda x: x),
    "turned": (lambda s: s[::-1], "{}.T", lambda x: x.T),
    "flipped": (lambda s: s, "tg.flip({}, 0)", lambda x: tg.flip(x, 0)),
    "every second": (lambda s: (*s[:-1], 2 * s[-1]), "{}[..., ::2]", lambda x: x[..., ::2]),
    "part": (lambda s: (s[0] + 1, *s[1:]), "{}[1:]", lambda x: x[1:]),
}


@dataclass(frozen=True)
class Cell:
    """A step with all that it runs on.

    Attributes:
        sizes: by name; "T" is the number of steps.
        carries, inputs, closed: what it is given, and what it closes over.
        outside: lines computed from ``closed`` before the scan.
        lines: of the step.
        new_carries, outputs: the names of what it returns.
        reverse, lengths: as ``tg.scan`` takes them.
        resets: the number of axes of the booleans that ``tg.scan`` takes: (T,), (T, N), or none.
        nested: carries are put into nested tuples.
        seed: of the cotangents.
        modes: how it is run, see ``run``.
    """

    sizes: tuple[tuple[str, int], ...]
    carries: tuple[Given, ...]
    inputs: tuple[Given, ...]
    closed: tuple[Given, ...]
    outside: tuple[Line, ...]
    lines: tuple[Line, ...]
    new_carries: tuple[str, ...]
    outputs: tuple[str, ...]
    reverse: bool = False
    lengths: tuple[int, ...] | None = None
    nested: bool = False
    seed: int = 0
    modes: tuple[str, ...] = ("grad",)
    resets: int = 0

    @property
    def steps(self) -> int:
        return dict(self.sizes)["T"]

    def shape(self, given: Given) -> Shape:
        """The shape of a given value; with time first for an input."""
        sizes = dict(self.sizes)
        shape = tuple(
            int(side) if side.isdigit() else eval(side, {}, dict(sizes)) for side in given.shape
        )
        return (sizes["T"], *shape) if given in self.inputs else shape

    @property
    def given(self) -> tuple[Given, ...]:
        return (*self.carries, *self.inputs, *self.closed)

    # ── as Python ────────────────────────────────────────────────────────────────────────

    def function(self, wrap: str = "{}") -> str:
        """The step as a Python function; ``wrap`` stands around all that it computes and reads."""
        carry = _tuple([x.name for x in self.carries], self.nested)
        inputs = _tuple([x.name for x in self.inputs])
        lines = [f"{carry} = carry", f"{inputs} = x_t"]
        if wrap != "{}":
            given = [*self.carries, *self.inputs]
            lines += [f"{x.name} = {wrap.format(x.name)}" for x in given]
        for line in self.lines:
            expression = wrap.format(line.expression(wrap))
            lines.append(f"{', '.join(line.names)} = {expression}")
        outputs = _tuple(self.outputs) if self.outputs else "None"
        lines.append(f"return {_tuple(self.new_carries, self.nested)}, {outputs}")
        return "\n    ".join(["def cell(carry, x_t):", *lines]) + "\n"

    def setting(self, call: int = 0) -> str:
        """The lines of Python that make what the step is given and closes over."""
        return "\n".join(
            [
                *[f"{x.name} = {x.text(self.shape(x), call)}" for x in self.given],
                *[str(line) for line in self.outside],
            ]
        )

    def __str__(self) -> str:
        text = self.setting() + "\n" + self.function()
        if any(name in text for name in ("cube(", "mirror(", "stop")):
            text = HELPERS_TEXT + text
        carry = _tuple([x.name for x in self.carries], self.nested)
        xs = _tuple([x.name for x in self.inputs])
        options = ", reverse=True" if self.reverse else ""
        options += f", lengths={list(self.lengths)}" if self.lengths else ""
        options += f", resets={self.begins_text}" if self.resets else ""
        scanned = f"{text}carry, ys = tg.scan(cell, {carry}, {xs}{options})"
        return f"{scanned}  # and a loop of tg.fused(cell)" if "fused" in self.modes else scanned

    @property
    def begins_text(self) -> str:
        """The booleans of ``resets`` as Python."""
        sizes = dict(self.sizes)
        shape = (sizes["T"], sizes["N"])[: self.resets]
        return f"np.random.default_rng({self.seed}).random({shape}) < 0.4"

    @functools.cached_property
    def code(self) -> Any:
        return compile(self.function(), "<cell>", "exec")

    @functools.cached_property
    def noisy_code(self) -> Any:
        return compile(self.function("noisy({})"), "<cell>", "exec")

    def carry_of(self, scope: dict[str, Any]) -> Any:
        return eval(_tuple([x.name for x in self.carries], self.nested), {}, scope)

    def inputs_of(self, scope: dict[str, Any]) -> Any:
        return eval(_tuple([x.name for x in self.inputs]), {}, scope)


def _tuple(names: Iterable[str], nested: bool = False) -> str:
    """``h0``, ``(h0, h1)`` or, nested, ``(h0, (h1, h2))``."""
    names = list(names)
    if len(names) == 1:
        return names[0]
    if nested:
        return f"({names[0]}, {_tuple(names[1:]) if len(names) > 2 else f'({names[1]},)'})"
    return f"({', '.join(names)})"
