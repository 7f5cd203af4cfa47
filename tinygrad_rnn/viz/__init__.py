"""Pictures of graphs, of the gradient's path back through time, of gates and states.

Graphviz lays out graphs. ``boxes`` groups operations into boxes and makes a ``picture`` of boxes,
clusters and edges. ``labels`` chooses their words. ``routing`` leads the edges along the steps,
``wrap`` breaks the picture into lines, ``gradients`` measures the gradients along the edges,
``dot`` writes DOT text, and ``render`` runs Graphviz. ``plans`` makes such a picture of the plan of
a scan.

The other pictures are written directly as ``svg``. ``flow`` draws a gradient flow: in it the
``lattice`` of states, with ``links`` between loops. ``page`` plays it in a browser and shows the
``equations`` of a step; ``animate`` makes it move in one SVG. ``compare`` draws several flows
together. ``heat`` shows activations, and ``curve`` shows losses. ``export`` saves them; for other
formats than SVG it uses ``shapes`` and ``tikz``. The numbers come from the room ``bptt``.

Colours of graphs are in ``style``; where a norm lies among them, on a logarithmic scale, is in
``picture`` (``Range``). Colours and scale of the other pictures (``Scale``) are in ``svg``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import backprop
from ..bptt import grads_by_step
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
    """Draw the graph of an output. Time runs from left to right.

    The nodes are the ones that ``output.backward()`` visits. The steps of a loop over
    ``tg.steps(xs)`` stand in order, each in its own frame. A value that crosses from one step into
    the next is a state (blue). A leaf is one node (orange), even if many steps share it: a line
    runs along the steps, with a tap at each. Constants are grey, and outputs are green. Plain
    numbers are part of an operation's title.

    Args:
        output: a Tensor, or a sequence of Tensors. A gradient made with ``create_graph=True``
            shows the backward pass itself. Or a plan (see ``tg.scan_plan``): the operations of
            ``tg.scan`` once before the steps, at every step, and once after them.
        detail: ``"op"``: a box for every operation. ``"cell"``: a box for every time step.
            ``"layer"``: a box for every module, with all its steps.
        values: write the elements of small arrays, rounded, into their boxes.
        grads: colour and widen every edge by the Euclidean norm of the gradient that flowed back
            through it, on a log scale with a legend, and write the norm of each box's gradient.
            Needs scalar outputs; of several outputs the sum is differentiated. No ``.grad``
            changes.
        max_steps: show only this many steps of each loop, the first and the last ones. One box
            replaces the others.
        theme: "light", "dark", or "auto": the SVG follows the viewer's system.
        fit: a width in pixels. A longer graph is broken into lines.

    Returns:
        A ``graphviz.Digraph``. ``.render(outfile="graph.svg")`` writes a picture.
        ``.save("graph.dot")`` writes DOT text, and ``.source`` is this text. A notebook shows the
        picture. An outfile named .tex or .tikz is TikZ, for papers. Pictures need the ``dot``
        program. For SVG, ``pip install 'tinygrad_rnn[dot]'`` is enough.

    Raises:
        TypeError: the output is not a Tensor, or max_steps is not an integer.
        ValueError: the output has no graph; the detail or the theme is unknown; ``detail="cell"``
            without time steps; ``grads=True`` and an output that is not a scalar; max_steps below
            2; fit below 300; or one of these arguments with a plan.

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
                "fit need a Tensor, such as the output of a scan with unroll=True"
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
    """The node of an output; an error if it cannot be drawn."""
    which = f"output {index}" if index else "the output"
    if not isinstance(y, Value):
        raise TypeError(f"draw: expected Tensors, {which} is {type(y).__name__}")
    if y.node is None:
        raise ValueError(
            f"draw: {which} has no graph; compute it outside no_grad() from a tensor with "
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
