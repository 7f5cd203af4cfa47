"""Mistakes in one line of a backward: a factor, a path, a derivative, a sign, an order of gates.

A line of the backward belongs to one operation of the forward, the same at every time step. Each
mistake is a text, and a change of the gradient that this operation sends back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from ...graph import Node, Primitive
from ...ops import primitives
from .names import Names, getitem
from .recorded import Change, Recorded, Site, Use, contribution_of, fitted, step_of

#: (operation, the gradient of its output, the right gradient of its input) -> the wrong one.
WrongGradient: TypeAlias = Callable[[Node, Any, Any], Any]
Factor: TypeAlias = Callable[[Any, Any], Any]

_tanh = primitives.tanh
_sigmoid = primitives.sigmoid
_multiply = primitives.multiply
_products = (primitives.matmul, primitives.linear)


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


#: Wrong derivatives that students write: a text with the output {y} and the input {x}, and the
#: factor that they use.
_DERIVATIVES: dict[Primitive, list[tuple[str, Factor]]] = {
    _tanh: [
        ("the derivative of tanh, 1 - {y}**2, is missing", lambda y, x: np.ones_like(y)),
        ("the derivative of tanh is 1 - {y}**2, not 1 - {x}**2", lambda y, x: 1 - x * x),
        (
            "the derivative of sigmoid, {y} (1 - {y}), is used for that of tanh, 1 - {y}**2",
            lambda y, x: y * (1 - y),
        ),
        ("the derivative of tanh is 1 - {y}**2, not 1 - {y}", lambda y, x: 1 - y),
        (
            "the derivative of tanh is 1 - {y}**2, not 1 - tanh({y})**2",
            lambda y, x: 1 - np.tanh(y) ** 2,
        ),
        ("the derivative of tanh, 1 - {y}**2, is applied twice", lambda y, x: (1 - y * y) ** 2),
    ],
    _sigmoid: [
        ("the derivative of sigmoid, {y} (1 - {y}), is missing", lambda y, x: np.ones_like(y)),
        ("the derivative of sigmoid is {y} (1 - {y}), not {x} (1 - {x})", lambda y, x: x * (1 - x)),
        (
            "the derivative of tanh, 1 - {y}**2, is used for that of sigmoid, {y} (1 - {y})",
            lambda y, x: 1 - y * y,
        ),
        ("the derivative of sigmoid is {y} (1 - {y}), not 1 - {y}", lambda y, x: 1 - y),
        ("the derivative of sigmoid is {y} (1 - {y}), not {y}", lambda y, x: y),
        (
            "the derivative of sigmoid is {y} (1 - {y}): use {y}, not sigmoid({y})",
            lambda y, x: _logistic(y) * (1 - _logistic(y)),
        ),
        (
            "the derivative of sigmoid, {y} (1 - {y}), is applied twice",
            lambda y, x: (y * (1 - y)) ** 2,
        ),
    ],
}


def _along_last(x: Any) -> Any:
    return np.sum(x, axis=-1, keepdims=True)


#: The same for functions of several numbers: (operation, the gradient of its output, right).
_OF_SEVERAL: dict[Primitive, list[tuple[str, WrongGradient]]] = {
    primitives.softmax: [
        (
            "the derivative of softmax is {y} (g - sum({y} g)): the sum is missing",
            lambda node, g, right: g * node.output,
        ),
        (
            "the derivative of softmax is {y} (g - sum({y} g)), not {y} (1 - {y}) g: every score "
            "changes every weight",
            lambda node, g, right: g * node.output * (1 - node.output),
        ),
        ("the derivative of softmax is missing", lambda node, g, right: g),
    ],
    primitives.log_softmax: [
        (
            "the gradient of the scores is p - 1 at the target and p elsewhere: the 1 at the "
            "target is missing",
            lambda node, g, right: -np.exp(node.output) * _along_last(g),
        ),
        (
            "the gradient of the scores is p - 1 at the target and p elsewhere: p is missing",
            lambda node, g, right: g,
        ),
    ],
}


class LineMistakes:
    """Mistakes in one line, for one recorded reference. Iteration yields the likely ones first."""

    def __init__(self, recorded: Recorded, names: Names):
        self._recorded, self._names = recorded, names

    def __iter__(self) -> Iterator[tuple[str, Change]]:
        yield from self.common()
        for site, use in self._uses():
            yield from self._operands(site, use)
        for site, use in self._uses():
            yield from self._signs(site, use)

    def common(self) -> Iterator[tuple[str, Change]]:
        """The commonest mistakes, which the diagnosis also combines with others."""
        yield from self._derivatives()
        yield from self._several()
        yield from self._gates()
        for site, use in self._uses():
            yield from self._missing(site, use)

    def _uses(self) -> Iterator[tuple[Site, Use]]:
        """Every operation, and every input of it that a gradient goes to."""
        for site, steps in self._recorded.sites.items():
            node = steps[max(steps)]
            if "outputs" in node.scope.path:  # this operation only collects the states
                continue
            for i in range(len(node.parents)):
                if any(isinstance(x.parents[i], Node) for x in steps.values()):
                    yield site, Use(node, i)

    def _at(self, sites: list[Site], index: int, wrong: WrongGradient) -> Change:
        """Change the gradient that some sites send to one of their inputs."""
        nodes = {node for site in sites for node in self._recorded.sites[site].values()}

        def change(use: Use, g: Any, right: Any) -> Any:
            if use.input == index and use.node in nodes:
                return wrong(use.node, g, right)
            return right

        return change

    # ── nonlinearities ───────────────────────────────────────────────────────────────────

    def _derivatives(self) -> Iterator[tuple[str, Change]]:
        for primitive, factors in _DERIVATIVES.items():
            sites = [
                site
                for site, steps in self._recorded.sites.items()
                if next(iter(steps.values())).primitive is primitive
            ]
            for text, factor in factors:
                wrong = _times(factor)
                for site in sites:
                    steps = self._recorded.sites[site]
                    node = steps[max(steps)]
                    y, x = self._names.value(node), self._names.input(Use(node, 0))
                    where = self._names.described(y)
                    mistake = text.format(y=y, x=f"({x})" if " " in x else x)
                    yield f"{where}: {mistake}", self._at([site], 0, wrong)
                if len(sites) > 1:
                    mistake = text.format(y="y", x="x")
                    yield f"every {primitive}: {mistake}", self._at(sites, 0, wrong)

    def _several(self) -> Iterator[tuple[str, Change]]:
        """Functions of several numbers at once, and rows that an index takes several times."""
        for site, steps in self._recorded.sites.items():
            node = steps[max(steps)]
            y = self._names.value(node)
            for text, wrong in _OF_SEVERAL.get(node.primitive, []):  # type: ignore[arg-type]
                yield (
                    text.format(y=y if " " not in y and "(" not in y else "y"),
                    self._at([site], 0, wrong),
                )
            for i, x in enumerate(node.arrays):
                if isinstance(x, ndarray) and _ids(node, i) is not None:
                    yield (
                        f"{self._names.gradient(self._names.input(Use(node, i)))}: rows that are "
                        "taken several times get one gradient alone; add them all up, with "
                        "np.add.at",
                        self._at([site], i, _each_row_once(i)),
                    )

    # ── gates ────────────────────────────────────────────────────────────────────────────

    def _gates(self) -> Iterator[tuple[str, Change]]:
        cuts = list(self._names.cuts())
        for cut in cuts:
            letters = [self._names.gate(node) for node in cut.values()]
            for order in itertools.permutations(range(len(cut))):
                if list(order) != sorted(order):
                    yield (
                        "gates in another order: the backward joins their gradients as "
                        f"{', '.join(letters[k] for k in order)}, the forward cuts "
                        f"{', '.join(letters)}",
                        self._reordered([c for c in cuts if len(c) == len(cut)], order),
                    )
            for letter, site in zip(letters, cut, strict=True):
                yield f"the gate {letter} gets no gradient", self._at([site], 0, _nothing)

    def _reordered(self, cuts: list[dict[Site, Node]], order: tuple[int, ...]) -> Change:
        """The gradients of the parts are joined in another order."""
        place: dict[Node, Node] = {}
        for cut in cuts:
            sites = list(cut)
            for k, site in enumerate(sites):
                other = self._recorded.sites[sites[order.index(k)]]
                place |= {n: other[t] for t, n in self._recorded.sites[site].items() if t in other}

        def change(use: Use, g: Any, right: Any) -> Any:
            return contribution_of(place[use.node], 0, g) if use.node in place else right

        return change

    # ── paths and factors ────────────────────────────────────────────────────────────────

    def _missing(self, site: Site, use: Use) -> Iterator[tuple[str, Change]]:
        node, i = use
        primitive = node.primitive
        assert primitive is not None
        d = self._names.gradient(self._names.input(use))
        if primitive is _multiply:
            factor = self._names.described(self._names.input(Use(node, 1 - i)))
            yield f"{d}: the factor {factor} is missing", self._at([site], i, _without_factor(i))
        out = self._names.described(self._names.value(node))
        yield f"{d} lacks the part that comes through {out}", self._at([site], i, _nothing)
        if primitive in _products:
            for part in self._names.parts(node):
                yield (
                    f"{d} lacks the part of the gate {self._names.gate(part)}",
                    self._at([site], i, _without_part(i, part.keywords.get("index"))),
                )

    # ── operands ─────────────────────────────────────────────────────────────────────────

    def _operands(self, site: Site, use: Use) -> Iterator[tuple[str, Change]]:
        """A factor that is another value of the step, or the right value at another step."""
        node, i = use
        primitive = node.primitive
        assert primitive is not None
        if len(node.parents) < 2 or not (primitive is _multiply or primitive in _products):
            return
        d = self._names.gradient(self._names.input(use))
        j = 1 - i
        x = node.arrays[j] if j < 2 else None
        if not isinstance(x, ndarray) or x.ndim == 0:
            return
        here = self._names.input(Use(node, j))
        for name, value in self._values_like(Use(node, j), here):
            yield f"{d} uses {name} for {here}", self._at([site], i, _with_operand(i, j, value))
        if primitive in _products and x.ndim == 2 and x.shape[0] == x.shape[1]:
            wrong = _with_operand(i, j, lambda node: node.arrays[j].T)
            yield f"{d}: {here} is not transposed", self._at([site], i, wrong)

    def _values_like(self, use: Use, here: str) -> Iterator[tuple[str, Callable[[Node], Any]]]:
        node, j = use
        shape, t = node.arrays[j].shape, step_of(node)
        seen = {here}
        for site, steps in self._recorded.sites.items():
            other = steps.get(t)
            if other is None or np.shape(other.output) != shape:
                continue
            is_state = site in self._names.states
            for back in (0, 1) if is_state else (0,):
                name = self._names.value(other, back)
                if name not in seen and (other.name is not None or is_state):
                    seen.add(name)
                    yield name, self._value_of(site, back)
        source = node.parents[j]
        if isinstance(source, Node) and source.primitive is not None and step_of(source) == t >= 0:
            own = self._recorded.site[source]
            for shift, word in ((1, "before"), (-1, "after")):
                yield f"{here} of the step {word}", self._value_of(own, shift)

    def _value_of(self, site: Site, back: int) -> Callable[[Node], Any]:
        """A value at an operation's own time step, or ``back`` steps before it."""
        steps, T = self._recorded.sites[site], self._recorded.steps

        def value(node: Node) -> Any:
            t = step_of(node) - back
            if site in self._names.states and t < 0:
                return self._start_of(site)
            t = t % T if back > 0 else min(t, T - 1)  # in NumPy x[t - 1] at t = 0 is x[-1]
            return steps[t].output if t in steps else None

        return value

    def _start_of(self, site: Site) -> Any:
        for use in self._names.states[site]:
            first = self._recorded.sites[self._recorded.site[use.node]].get(0)
            if first is not None:
                return first.arrays[use.input]
        return None

    # ── signs ────────────────────────────────────────────────────────────────────────────

    def _signs(self, site: Site, use: Use) -> Iterator[tuple[str, Change]]:
        d = self._names.gradient(self._names.input(use))
        out = self._names.value(use.node)
        part = f"{d}: the part that comes through {self._names.described(out)}"
        if len(use.node.parents) == 1:
            part = self._names.gradient(out)
        for text, factor in (("has the wrong sign", -1.0), ("is added twice", 2.0)):
            yield (
                f"{part} {text}",
                self._at([site], use.input, _scaled(factor)),
            )


def _ids(node: Node, i: int) -> Any:
    """The integers by which an operation takes rows of its input i; None if it takes no rows."""
    if node.primitive is primitives.embedding and i == 1:
        return node.arrays[0]
    if node.primitive is getitem and i == 0:
        index = node.keywords["index"]
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, ndarray) and part.dtype.kind in "iu" for part in parts):
            return index
    return None


# ── what an operation sends back by mistake ──────────────────────────────────────────────


def _nothing(node: Node, g: Any, right: Any) -> Any:
    return None


def _times(factor: Factor) -> WrongGradient:
    return lambda node, g, right: g * factor(node.output, node.arrays[0])


def _each_row_once(i: int) -> WrongGradient:
    def wrong(node: Node, g: Any, right: Any) -> Any:
        rows = np.zeros_like(node.arrays[i])
        rows[_ids(node, i)] = g  # rows[ids] += g, too, adds only once for a repeated id
        return rows

    return wrong


def _scaled(factor: float) -> WrongGradient:
    return lambda node, g, right: factor * right


def _without_factor(i: int) -> WrongGradient:
    return lambda node, g, right: fitted(g, node, node.arrays[i])


def _without_part(i: int, index: Any) -> WrongGradient:
    def wrong(node: Node, g: Any, right: Any) -> Any:
        rest = np.array(g)
        rest[index] = 0.0
        return contribution_of(node, i, rest)

    return wrong


def _with_operand(i: int, j: int, value: Callable[[Node], Any]) -> WrongGradient:
    def wrong(node: Node, g: Any, right: Any) -> Any:
        other = value(node)
        if other is None:
            return right
        arrays = list(node.arrays)
        arrays[j] = other
        return contribution_of(node, i, g, arrays)

    return wrong


__all__ = ["LineMistakes"]
