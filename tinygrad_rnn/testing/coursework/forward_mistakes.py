"""Mistakes in the forward of a recurrent net, and the outputs that each gives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ...graph import Node, Primitive
from ...ops import primitives
from .names import Names
from .recorded import Recorded, Site, Use, step_of

_tanh = primitives.tanh
_sigmoid = primitives.sigmoid
_multiply = primitives.multiply
_sums = (primitives.add, primitives.subtract)
_products = (primitives.matmul, primitives.linear)

Outputs = list[ndarray]


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


_others: dict[Primitive, list[tuple[str, Callable[[Any], Any]]]] = {
    _tanh: [
        ("{y}: tanh is missing", lambda x: x),
        ("{y} uses sigmoid instead of tanh", _logistic),
        ("{y} uses relu instead of tanh", lambda x: np.maximum(x, 0)),
    ],
    _sigmoid: [
        ("{y}: sigmoid is missing", lambda x: x),
        ("{y} uses tanh instead of sigmoid", np.tanh),
        ("{y} uses sigmoid twice", lambda x: _logistic(_logistic(x))),
    ],
}


def forward_mistakes(
    recorded: Recorded, names: Names, time_axis: int | None
) -> Iterator[tuple[str, Callable[[], Outputs]]]:
    """Mistakes as texts, each with a function that computes the outputs with this mistake.

    Args:
        recorded: the reference.
        names: the names of its values.
        time_axis: the time axis of the outputs; None if they have none.
    """
    for leaf in recorded.leaves:
        yield (
            f"{leaf.name} is not used, or taken as zero",
            functools.partial(_with_input, recorded, leaf, np.zeros_like(leaf.output)),
        )
    if time_axis is not None and recorded.steps > 1:
        yield (
            "the outputs are in reverse order of time",
            lambda: [np.flip(y, time_axis) for y in recorded.values],
        )
        yield (
            "the outputs are one time step late: h_{t-1} where h_t is meant",
            lambda: [_shifted(y, time_axis) for y in recorded.values],
        )
        for leaf in recorded.leaves:
            if leaf.output.ndim == 3:
                yield (
                    f"{leaf.name} is read from the last time step to the first",
                    functools.partial(_with_input, recorded, leaf, np.flip(leaf.output, time_axis)),
                )
    for leaf in recorded.leaves:
        if leaf.output.ndim == 2 and leaf.output.shape[0] == leaf.output.shape[1]:
            yield (
                f"{leaf.name} is transposed",
                functools.partial(_with_input, recorded, leaf, leaf.output.T),
            )
    for site, steps in recorded.sites.items():
        node = steps[max(steps)]
        for text, other in _others.get(node.primitive, []):  # type: ignore[arg-type]
            yield (
                text.format(y=names.described(names.value(node))),
                functools.partial(_at, recorded, site, _of_first(other)),
            )
        if node.primitive is _multiply or node.primitive in _sums:
            yield from _operands(recorded, names, site, node)
    yield from _states(recorded, names)


def _states(recorded: Recorded, names: Names) -> Iterator[tuple[str, Callable[[], Outputs]]]:
    for site, uses in names.states.items():
        takers = {use.node: use.input for use in uses}
        first = [recorded.sites[recorded.site[use.node]].get(0) for use in uses]
        starts = {
            recorded.site[n]: n.arrays[use.input]
            for n, use in zip(first, uses, strict=True)
            if n is not None
        }

        def replace(
            node: Node, inputs: list[Any], takers: Any = takers, starts: Any = starts
        ) -> Any:
            if node not in takers:
                return None
            inputs[takers[node]] = starts[recorded.site[node]]
            assert node.primitive is not None
            return node.primitive.forward(*inputs, **node.keywords)

        name = names.state(site)
        yield (
            f"{name} is not carried from step to step: every step starts from the initial state",
            functools.partial(recorded.rerun, replace),
        )


def _operands(
    recorded: Recorded, names: Names, site: Site, node: Node
) -> Iterator[tuple[str, Callable[[], Outputs]]]:
    """A missing term or factor, or another value instead of it."""
    y = names.value(node)
    symbol = "*" if node.primitive is _multiply else "+"
    for i in range(2):
        here = names.input(Use(node, i))
        kept = names.input(Use(node, 1 - i))
        if np.shape(node.arrays[1 - i]) == node.output.shape:
            word = "factor" if symbol == "*" else "term"
            yield (
                f"{y}: the {word} {here} is missing",
                functools.partial(_at, recorded, site, functools.partial(_nth, 1 - i)),
            )
        if symbol != "*":
            continue
        t = step_of(node)
        for other, steps in recorded.sites.items():
            if t not in steps or steps[t].name is None or steps[t].number >= node.number:
                continue
            name = names.value(steps[t])
            if np.shape(steps[t].output) == np.shape(node.arrays[i]) and name not in (here, kept):
                yield (
                    f"{y} uses {name} for {here}",
                    functools.partial(_with_value, recorded, site, i, other),
                )
    if symbol != "*":
        other_way = np.subtract if node.primitive is _sums[0] else np.add
        yield (
            f"{y}: a sign is wrong",
            functools.partial(_at, recorded, site, lambda n, xs: other_way(xs[0], xs[1])),
        )


def _of_first(function: Callable[[Any], Any]) -> Callable[[Node, list[Any]], Any]:
    return lambda node, inputs: function(inputs[0])


def _nth(i: int, node: Node, inputs: list[Any]) -> Any:
    return inputs[i]


def _with_input(recorded: Recorded, leaf: Node, x: ndarray) -> Outputs:
    """The outputs with another array instead of an input."""

    def replace(node: Node, inputs: list[Any]) -> Any:
        if leaf not in node.parents:
            return None
        assert node.primitive is not None
        replaced = [x if p is leaf else y for p, y in zip(node.parents, inputs, strict=True)]
        return node.primitive.forward(*replaced, **node.keywords)

    return recorded.rerun(replace)


def _at(recorded: Recorded, site: Site, function: Callable[[Node, list[Any]], Any]) -> Outputs:
    nodes = set(recorded.sites[site].values())
    return recorded.rerun(lambda node, inputs: function(node, inputs) if node in nodes else None)


def _with_value(recorded: Recorded, site: Site, i: int, other: Site) -> Outputs:
    """The outputs if an operation uses another value of its time step."""
    values: dict[int, Any] = {}
    nodes = set(recorded.sites[site].values())
    watched = {node: t for t, node in recorded.sites[other].items()}

    def replace(node: Node, inputs: list[Any]) -> Any:
        assert node.primitive is not None
        if node in nodes:
            inputs[i] = values[step_of(node)]
            return node.primitive.forward(*inputs, **node.keywords)
        if node in watched:
            y = node.primitive.forward(*inputs, **node.keywords)
            values[watched[node]] = y
            return y
        return None

    return recorded.rerun(replace)


def _shifted(y: ndarray, axis: int) -> ndarray:
    moved = np.roll(y, 1, axis)
    index: list[Any] = [slice(None)] * y.ndim
    index[axis] = 0
    moved[tuple(index)] = 0
    return moved


def first_wrong_step(
    outputs: Sequence[ndarray],
    right: Sequence[ndarray],
    axis: int,
    same: Callable[..., bool],
) -> int:
    """The first time step with a wrong output."""
    T: int = right[0].shape[axis]
    for t in range(T):
        if not all(
            same(a.take(t, axis), b.take(t, axis), b) for a, b in zip(outputs, right, strict=True)
        ):
            return t
    return T


__all__ = ["first_wrong_step", "forward_mistakes"]
