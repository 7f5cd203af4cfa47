"""The equations of a time step, derived from the graph."""

from __future__ import annotations

from ..bptt.structure import Structure, getitem
from ..graph import Node
from ..ops import primitives
from . import labels
from .svg import shortened

_most_operations, _most_equations = 40, 8
_linear = primitives.linear


def equations(structure: Structure, node: Node) -> list[str]:
    """The equations of a value of a step, and of the named values in them.

    ``h_t = o_t × tanh(c_t)``, ``o_t = σ(...)``, ...: down to states, inputs and weights.
    """
    lines: list[str] = []
    waiting, seen = [node], {node}
    while waiting and len(lines) < _most_equations:
        here = waiting.pop(0)
        writer = _Writer(structure, here)
        lines.append(f"{writer.name(here)} = {writer.written(here)[0]}")
        for other in writer.named:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return lines


class _Writer:
    """Writes one equation, and counts its parts to keep it short."""

    def __init__(self, structure: Structure, root: Node):
        self.structure = structure
        self.time_step = structure.time_step.get(root)
        self.left = _most_operations
        self.named: dict[Node, None] = {}  # the named values of the same step in it

    def name(self, node: Node) -> str:
        """``h_t`` or ``h_{t-1}`` for states and outputs, else the value's own name."""
        trajectory = self.structure.holds.get(node)
        if trajectory is None:
            return node.name or "y"
        time_step = self.structure.time_step.get(node)
        if (
            self.time_step is None
            or time_step is None
            or time_step.loop is not self.time_step.loop
            or time_step is self.time_step
        ):
            return f"{trajectory.name}_t"
        back = time_step.t - self.time_step.t
        return f"{trajectory.name}_{{t{back:+d}}}"

    def written(self, node: Node) -> tuple[str, bool]:
        """The expression, and whether it is a sum, which needs brackets in a product."""
        self.left -= 1
        primitive = node.primitive
        if self.left < 0 or primitive is None:
            return "…", False
        parts = [self.operand(node, i) for i in range(len(node.parents))]
        symbol = primitive.sign
        if symbol is not None and len(parts) == 2:
            if symbol in "+−":
                second = self.bracketed(parts[1]) if symbol == "−" else parts[1][0]
                return f"{parts[0][0]} {symbol} {second}", True
            return f" {symbol} ".join(self.bracketed(part) for part in parts), False
        if primitive is _linear:
            product = f"{self.bracketed(parts[1])} {self.bracketed(parts[0])}"
            bias = parts[2][0] if node.arrays[2] is not None else ""
            return (f"{product} + {bias}", True) if bias else (product, False)
        title = labels.operation(node)
        if primitive is getitem:
            return f"{self.bracketed(parts[0])}{title}", False
        return f"{title.split('(')[0]}({', '.join(text for text, _ in parts)})", False

    def bracketed(self, part: tuple[str, bool]) -> str:
        return f"({part[0]})" if part[1] else part[0]

    def operand(self, node: Node, i: int) -> tuple[str, bool]:
        structure = self.structure
        parent, x = node.parents[i], node.arrays[i]
        before = structure.entries.get((node, i))
        if before is not None and not (isinstance(parent, Node) and parent in structure.holds):
            return self.earlier(before.name), False  # the state's initial value
        step_input = structure.input_at.get((node, i))
        if step_input is not None:
            return self.input_name(step_input.name), False
        if not isinstance(parent, Node):
            if parent is not None:
                return shortened(parent, 30), False
            return (labels.shape(x, x.dtype) if labels.has_box(x, None) else f"{x}"), False
        time_step = structure.time_step.get(parent)
        if parent in structure.reads:
            return self.input_name(parent.name or ""), False
        if parent in structure.holds or (time_step is self.time_step and time_step and parent.name):
            if time_step is self.time_step:
                self.named[parent] = None
            return self.name(parent), False
        if parent.is_leaf or time_step is not self.time_step or time_step is None:
            name = parent.name or labels.shape(parent.output, parent.output.dtype)
            return shortened(name, 30), False
        return self.written(parent)

    def earlier(self, name: str) -> str:
        """The name of the state of the step before: ``h_{t-1}``, or ``h_{t+1}`` in reverse."""
        time_steps = self.time_step.loop.time_steps if self.time_step is not None else []
        back = len(time_steps) > 1 and time_steps[0].t > time_steps[-1].t
        return f"{name}_{{t{'+' if back else '-'}1}}"

    def input_name(self, name: str) -> str:
        """``x_t`` for ``x[3]``, and for an input without a name."""
        stem = name.rstrip("0123456789]").rstrip("[_").removesuffix("_t")
        return f"{shortened(stem or 'x', 30)}_t"
