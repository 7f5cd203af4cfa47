"""The cotangents of one sweep: what has been added up for the nodes that it will reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import Node, Scope, Value, check_finite, describe, explained, in_scope, same

_adding = "where its backward adds up"


@dataclass(slots=True, eq=False, repr=False)
class Cotangents(dict[Node, Any]):
    """The pending cotangent of each node that has one.

    A node with several outputs has a list of them, None where an output has no cotangent.

    Attributes:
        needed: the only nodes that a cotangent is wanted for; None for all.
        level: of a sweep that is recorded itself, the number of derivatives that it makes (1 for
            a first gradient); else 0.
        anomaly: whether to look for NaN and Inf.
        owned: the nodes whose pending cotangent is an array made here. Only these may be added
            into: a rule may give one array to two parents.
    """

    needed: set[Node] | None
    level: int
    anomaly: bool
    owned: set[Node] = field(default_factory=set)

    def wants(self, parent: Node | str | None) -> bool:
        """Whether an input of a node is a node that a cotangent is wanted for."""
        return type(parent) is Node and (self.needed is None or parent in self.needed)

    def add(self, node: Node, contribution: Any) -> None:
        """Add to a node's cotangent, in place where the array is this sweep's own."""
        if node not in self:
            self[node] = contribution
        elif node in self.owned:
            held = self[node]
            held += contribution
        else:
            self[node] = total = self[node] + contribution
            if type(total) is ndarray:  # neither a Tensor nor the scalar of 0-d arrays
                self.owned.add(node)

    def receive(self, node: Node, index: int, contribution: Any, g: Any) -> None:
        """Add what a node with the cotangent ``g`` gives its input ``index``, with all checks."""
        parent: Any = node.parents[index]
        contribution = fitted(contribution, index, node)
        if self.anomaly:
            _check_cotangent(contribution, g, node, index)
            _check_sum(self.get(parent), contribution, node)
        # A recorded sum of two cotangents is an operation too. Pictures show it where it adds: at
        # the parent.
        if parent in self and self.level:
            with in_scope(place(parent, self.level)):
                self.add(parent, contribution)
        else:
            self.add(parent, contribution)

    def add_into(self, node: Node, g: Any) -> None:
        """Add a cotangent to its part of the input's: ``x[t]`` costs O(1), not O(T)."""
        primitive = node.primitive
        assert primitive is not None
        assert primitive.add_into is not None
        for parent, x in zip(node.parents, node.arrays, strict=True):
            if not self.wants(parent):
                continue
            assert isinstance(parent, Node)
            # The first time: a buffer of this sweep's own. A cotangent that is there may be shared.
            if parent not in self.owned:
                held = self.get(parent)
                self[parent] = np.zeros(x.shape, x.dtype) if held is None else np.array(held)
                self.owned.add(parent)
            total = self[parent]
            # Adding in place overwrites the first summand, which the message is about.
            before = total.copy() if self.anomaly else None
            primitive.add_into(total, g, *node.arrays, **node.keywords)
            if self.anomaly:
                check_finite(total, (before, g), primitive, node.scope, _adding)

    def add_to_output(self, node: Node, g: Any) -> None:
        """Add a cotangent for one output of a node with several: they wait in a list."""
        (parent,) = node.parents
        assert isinstance(parent, Node)
        outputs = self.setdefault(parent, [None] * len(parent.output))
        index = node.keywords["index"]
        outputs[index] = g if outputs[index] is None else outputs[index] + g


def place(node: Node, level: int) -> Scope:
    """The scope of a recorded sweep at a node: where the node is, at the sweep's level."""
    return Scope(node.scope.path, node.scope.steps, level)


def fitted(contribution: Any, index: int, node: Node) -> Any:
    """A contribution in its input's shape and dtype: here broadcast gradients are summed back.

    Raises:
        TypeError: the rule returned something else than real numbers.
        ValueError: the rule returned another shape.
    """
    primitive, x = node.primitive, node.arrays[index]
    assert primitive is not None
    if not isinstance(contribution, Value):
        contribution = np.asarray(contribution)
        # Complex numbers are in a graph only where a derivative is measured by a complex step.
        if contribution.dtype.kind not in ("fiubc" if x.dtype.kind == "c" else "fiub"):
            raise TypeError(
                f"{_rule(node, index)} returned {describe(contribution)}{_called(node, index)}, "
                f"expected real numbers{node.scope}"
            )
    shape = contribution.shape
    if primitive.elementwise and shape != x.shape:
        try:
            # A rule may return less, such as the number 0. Give it the output's shape first: then
            # the sum counts it once for every element of the output.
            if shape != node.output.shape:
                contribution = ops.broadcast_to(contribution, node.output.shape)
            contribution = ops.sum_to(contribution, x.shape)
        # The shapes do not fit, and the error below says so better.
        except ValueError:
            pass
    if contribution.shape != x.shape:
        raise ValueError(
            f"{_rule(node, index)} returned a cotangent of shape {shape}{_called(node, index)}, "
            f"expected its input's shape {x.shape}{node.scope}"
        )
    return contribution if contribution.dtype == x.dtype else ops.astype(contribution, x.dtype)


def contributions(node: Node, g: Any, live: Sequence[int]) -> dict[int, ndarray]:
    """What one operation contributes to the cotangents of some of its inputs, by their index.

    A value that is used twice has two contributions.

    Args:
        node: the operation, one that hides no others.
        g: its cotangent.
        live: which inputs.
    """
    primitive, arrays = node.primitive, node.arrays
    found: dict[int, ndarray] = {}
    for i in live:
        assert primitive is not None
        x = arrays[i]
        # Here one contribution is asked for alone, so a whole array of zeros cannot be avoided.
        if primitive.add_into is not None:
            found[i] = np.zeros(x.shape, x.dtype)
            primitive.add_into(found[i], g, *arrays, **node.keywords)
            continue
        rule = primitive.vjps[i]
        contribution = g if rule is same else rule(g, node.output, *arrays, **node.keywords)
        fits = type(contribution) is ndarray and contribution.shape == x.shape
        if not fits or contribution.dtype != x.dtype:
            contribution = fitted(contribution, i, node)
        found[i] = contribution
    return found


def rule_failed(error: Exception, index: int, node: Node) -> Exception:
    """The same kind of exception, saying whose rule failed for which argument, and where."""
    where = f"{node.primitive}, backward for its argument {index}"
    return explained(error, where, node.arrays, node.scope)


def _rule(node: Node, index: int) -> str:
    return f"{node.primitive}: its rule for argument {index}"


def _called(node: Node, index: int) -> str:
    """`` (dW)``: the cotangent of an operation's input, where that has a name."""
    parent = node.parents[index]
    name = parent.name if isinstance(parent, Node) else None
    return f" (d{name})" if name else ""


def _check_cotangent(contribution: Any, g: Any, node: Node, index: int) -> None:
    assert node.primitive is not None
    array, incoming = (v._array if isinstance(v, Value) else v for v in (contribution, g))
    inputs: list[Any] = [incoming] if isinstance(incoming, ndarray) else []
    inputs += [x for x in node.arrays if isinstance(x, (ndarray, int, float))]
    check_finite(
        array, inputs, node.primitive, node.scope, f"in its backward{_called(node, index)}"
    )


def _check_sum(held: Any, contribution: Any, node: Node) -> None:
    """Two finite cotangents may overflow where they meet."""
    assert node.primitive is not None
    if held is not None:
        summands = [v._array if isinstance(v, Value) else v for v in (held, contribution)]
        total = np.asarray(summands[0] + summands[1])
        check_finite(total, summands, node.primitive, node.scope, _adding)
