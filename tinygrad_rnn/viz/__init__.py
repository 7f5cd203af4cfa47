"""Pictures: of graphs, of the gradient's way back through time, of gates and states.

Graphs are laid out by Graphviz: ``boxes`` decides what is shown as one box and makes a ``picture``
of boxes, clusters and edges, ``routing`` leads the edges along the steps, ``wrap`` breaks it into
lines, ``gradients`` measures what flowed along the edges, ``dot`` writes it as DOT text, and
``render`` has Graphviz draw it. ``plans`` makes such a picture of the plan of a scan.

All else is written as ``svg`` directly: ``lattice`` draws a gradient flow on a ``sheet``, with
``strips`` beneath, ``page`` plays it in a browser, ``compare`` puts several beside each other,
``heat`` shows activations, ``curve`` losses. ``export`` saves them, by way of ``shapes`` and
``tikz`` for what is no SVG. The numbers come from the room ``bptt``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import backprop
from ..bptt.flow import grads_by_step
from ..graph import Node, Value
from ..scan.plan import Plan
from .boxes import build, details
from .compare import Comparison, compare
from .curve import curves
from .dot import to_dot
from .flow import GradientFlow, gradient_flow
from .gradients import measure
from .heat import HeatMap, heat_map
from .plans import build_plan
from .render import Drawing
from .wrap import wrapped


def draw(
    output: Value | Sequence[Value] | Plan,
    *,
    detail: str = "op",
    values: bool = False,
    grads: bool = False,
    max_steps: int | None = None,
    theme: str = "light",
    fit: float | None = None,
) -> Drawing:
    """Draw the graph of what an output was computed from, time running from left to right.

    The nodes are those that ``output.backward()`` visits. The steps of a loop over
    ``tg.steps(xs)`` stand in order, each in a frame of its own; a value that crosses from one
    into the next is a state (blue). A leaf is one node (orange), however many steps share it: it
    runs along them as a line with a tap at each. Constants are grey, bare numbers part of an
    operation's title, the outputs green.

    Args:
        output: a Tensor, or a sequence of them. A gradient made with ``create_graph=True`` shows
            the backward pass itself. Or a plan, see ``tg.scan_plan``: what ``tg.scan`` does once
            before the steps, at every step, and once after them.
        detail: ``"op"``, a box for every operation; ``"cell"``, one for every time step;
            ``"layer"``, one for every module, all its steps together.
        values: write the elements of small arrays, rounded, into their boxes.
        grads: colour and widen every edge by the Euclidean norm of the gradient that flowed back
            through it, on a log scale with a legend, and write the norms of the boxes' own
            gradients. Needs scalar outputs (of several, their sum is differentiated); no
            ``.grad`` is touched.
        max_steps: show of each loop this many steps, the first and the last ones, and one box in
            place of the others.
        theme: "light", "dark", or "auto": an SVG that follows the system of whoever looks.
        fit: a width in pixels, at which a long graph is broken into lines.

    Returns:
        A ``graphviz.Digraph``: ``.render(outfile="graph.svg")`` writes it as a picture,
        ``.save("graph.dot")`` as DOT text, ``.source`` is that text, and a notebook shows it.
        An outfile named .tex or .tikz is TikZ, for papers. Pictures need the ``dot`` program or,
        as SVG, ``pip install 'tinygrad_rnn[dot]'``.

    Raises:
        TypeError: the output is not a Tensor, or max_steps not an integer.
        ValueError: the output has no graph; there is no such detail; ``detail="cell"`` without
            time steps; ``grads=True`` and an output that is not a scalar; max_steps below 2; any
            of these with a plan; no such theme; fit below 300.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([[0.5, 1.0], [0.0, 2.0]], requires_grad=True, name="w")
    >>> h = tg.Tensor([1.0, 1.0], name="h")
    >>> for t, x_t in tg.steps([1.0, 2.0, 3.0]):
    ...     h = tg.tanh(w @ h + x_t)
    >>> picture = tg.draw(h.sum(), grads=True)
    >>> [f"t = {t}" in picture.source for t in range(4)]
    [True, True, True, False]
    """
    if isinstance(output, Plan):
        if (detail, values, grads, max_steps, fit) != ("op", False, False, None, None):
            raise ValueError(
                "draw: a plan has one picture and no numbers; detail, values, grads, max_steps and "
                "fit go with a Tensor: that of a scan with unroll=True"
            )
        return to_dot(build_plan(output), theme)
    if not isinstance(output, (Value, Iterable)):
        raise TypeError(
            f"draw: expected a Tensor or a sequence of them, got {type(output).__name__}"
        )
    outputs = [output] if isinstance(output, Value) else list(output)
    if not outputs:
        raise ValueError("draw: expected at least one output, got none")
    if detail not in details:
        raise ValueError(f"draw: expected detail {_either(details)}, got {detail!r}")
    if max_steps is not None:
        if not isinstance(max_steps, int) or isinstance(max_steps, bool):
            raise TypeError(f"draw: expected max_steps as an int or None, got {max_steps!r}")
        if max_steps < 2:
            raise ValueError(f"draw: expected max_steps of at least 2, got {max_steps}")
    nodes = backprop.expanded([_node(y, i, grads) for i, y in enumerate(outputs)])
    picture = build(nodes, detail, values, max_steps)
    if grads:
        measure(picture, nodes)
    return to_dot(picture if fit is None else wrapped(picture, fit), theme)


def _node(y: Value, index: int, grads: bool) -> Node:
    """The place of an output in the graph, if it has one and it can be drawn as asked."""
    which = f"output {index}" if index else "the output"
    if not isinstance(y, Value):
        raise TypeError(f"draw: expected Tensors, {which} is {type(y).__name__}")
    if y.node is None:
        raise ValueError(
            f"draw: {which} has no graph; compute it outside of no_grad() from a tensor with "
            "requires_grad=True"
        )
    if grads and y._array.size != 1:
        raise ValueError(
            f"draw: grads=True needs a scalar to differentiate, {which} has shape "
            f"{y._array.shape}; draw a loss, or its sum()"
        )
    return y.node


def _either(names: Iterable[str]) -> str:
    *most, last = map(repr, names)
    return f"{', '.join(most)} or {last}"


__all__ = [
    "Comparison",
    "Drawing",
    "GradientFlow",
    "HeatMap",
    "compare",
    "curves",
    "draw",
    "gradient_flow",
    "grads_by_step",
    "heat_map",
]
