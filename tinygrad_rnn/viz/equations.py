"""What a step computes, as equations, read off the graph."""

from __future__ import annotations

from ..graph import Node
from . import labels
from .rails import Rails

_most_operations, _most_equations = 40, 8

_sums = {"add": "+", "subtract": "−"}
_products = {"multiply": "×", "divide": "÷", "matmul": "@"}


def equations(rails: Rails, node: Node) -> list[str]:
    """How a value of a step is computed: down to the values that have names, and these too.

    ``h_t = o_t × tanh(c_t)``, ``o_t = σ(...)``, ...: up to states, inputs and weights.
    """
    found: list[str] = []
    waiting, seen = [node], {node}
    while waiting and len(found) < _most_equations:
        here = waiting.pop(0)
        writer = _Writer(rails, here)
        found.append(f"{writer.name(here)} = {writer.written(here)[0]}")
        for other in writer.named:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return found


class _Writer:
    """Writes one equation; counts what it writes, so that none becomes too long."""

    def __init__(self, rails: Rails, root: Node):
        self.rails, self.root = rails, root
        self.turn = rails.turn.get(root)
        self.left = _most_operations
        self.named: dict[Node, None] = {}  # what of the same step it refers to by name

    def name(self, node: Node) -> str:
        """``h_t``, ``h_{t-1}`` for states and outputs, else its own name."""
        rail = self.rails.rail_of.get(node)
        if rail is None:
            return node.name or "y"
        turn = self.rails.turn[node]
        if self.turn is None or turn.loop is not self.turn.loop or turn is self.turn:
            return f"{rail.name}_t"
        back = turn.t - self.turn.t
        return f"{rail.name}_{{t{back:+d}}}"

    def written(self, node: Node) -> tuple[str, bool]:
        """The expression, and whether it is a sum, which needs brackets in a product."""
        self.left -= 1
        primitive = node.primitive
        if self.left < 0 or primitive is None:
            return "…", False
        parts = [self.operand(node, i) for i in range(len(node.parents))]
        name = primitive.name
        if name in _sums and len(parts) == 2:
            second = self.bracketed(parts[1]) if name == "subtract" else parts[1][0]
            return f"{parts[0][0]} {_sums[name]} {second}", True
        if name in _products and len(parts) == 2:
            return f" {_products[name]} ".join(self.bracketed(part) for part in parts), False
        if name == "linear":
            product = f"{self.bracketed(parts[1])} {self.bracketed(parts[0])}"
            bias = parts[2][0] if len(parts) > 2 and parts[2][0] != "None" else ""
            return (f"{product} + {bias}", True) if bias else (product, False)
        title = labels.operation(node)
        if name == "_getitem":
            return f"{self.bracketed(parts[0])}{title}", False
        return f"{title.split('(')[0]}({', '.join(text for text, _ in parts)})", False

    def bracketed(self, part: tuple[str, bool]) -> str:
        return f"({part[0]})" if part[1] else part[0]

    def operand(self, node: Node, i: int) -> tuple[str, bool]:
        parent, x = node.parents[i], node.arrays[i]
        if not isinstance(parent, Node):
            if parent is not None:
                return parent, False
            return (labels.shape(x, x.dtype) if labels.has_box(x, None) else f"{x}"), False
        turn = self.rails.turn.get(parent)
        if parent in self.rails.rail_of or (turn is self.turn and turn and parent.name):
            if turn is self.turn:
                self.named[parent] = None
            return self.name(parent), False
        if parent.is_leaf or turn is not self.turn or turn is None:
            return parent.name or labels.shape(parent.output, parent.output.dtype), False
        return self.written(parent)
