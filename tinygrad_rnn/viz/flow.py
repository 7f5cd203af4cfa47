"""Gradient flows that can be looked at: as a picture, as a page, as files for slides and papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bptt.flow import Flow, scalar_node
from ..graph import Value
from .export import Shown
from .lattice import draw_lattice
from .page import page


class GradientFlow(Shown, Flow):
    """The gradient of a loss on its way back through time; :func:`gradient_flow` makes it.

    Printed, it is a table; a notebook shows its picture; ``save`` writes it. The numbers are those
    of :class:`tinygrad_rnn.bptt.Flow`: ``states``, ``weights``, ``inputs``, ``links``,
    ``jacobian(t, s)``.
    """

    def svg(self, *, theme: str = "light", fit: float | None = None, animate: bool = False) -> str:
        """The picture, as SVG text; see :meth:`save` for the arguments."""
        if animate:
            from .animate import animated

            return animated(draw_lattice(self, playable=True, theme=theme, fit=fit))
        return draw_lattice(self, theme=theme, fit=fit).svg

    def html(self, *, theme: str = "auto", fit: float | None = None) -> str:
        """The page in which the sweeps are played step by step, as HTML text."""
        return page(self, theme=theme, fit=fit)

    def frames(self, **options: Any) -> list[str]:
        """The pictures of the two sweeps, step by step, as SVG text."""
        from .animate import frames

        return frames(draw_lattice(self, playable=True, **options))


def gradient_flow(loss: Value, *, text: Sequence[str] | None = None) -> GradientFlow:
    """See how the gradient of a loss flows back through the time steps of a recurrent net.

    A state is any value that crosses from one time step of ``for t, x_t in tg.steps(xs)`` into the
    next, so a loop of one's own needs no more than that. T counts up to the last step that the
    loss depends on. Loops that follow each other, an encoder and a decoder, stand side by side.

    A batch shows what its sequences, run alone, show together: with ``lengths``, and in loops that
    mask with ``tg.where(mask, new, old)``, nothing is shown past a sequence's end.

    Args:
        loss: a scalar Tensor; no ``.grad`` is touched.
        text: one character or word for each step, to be shaded by the gradient that reaches it:
            which of them mattered. For a logit of one's choice, pass that as the loss.

    Returns:
        A :class:`GradientFlow`. ``print`` shows a table, ``.save("flow.svg")`` and
        ``.save("flow.html")`` write the picture and the page, a notebook shows the picture;
        ``.states``, ``.weights`` and ``.jacobian(t, s)`` are the numbers.

    Raises:
        TypeError: the loss is not a Tensor.
        ValueError: it is not a scalar, has no graph, or was computed without time steps; ``text``
            has another length.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(0.5, requires_grad=True, name="w")
    >>> h = tg.Tensor(1.0)
    >>> for t, x_t in tg.steps(np.array([1.0, 2.0, 3.0])):
    ...     h = w * h + x_t
    >>> flow = tg.gradient_flow(h)
    >>> flow.states["h"].norms
    array([0.25, 0.5 , 1.  ])
    >>> print(flow)
    L = 4.375
    t   |dL/dh|       w
    0  2.50e-01   6.7 %
    1  5.00e-01  20.0 %
    2  1.00e+00  73.3 %
    From step 2 back, w has the size 0.5: a step passes 0.5 of the gradient.
    """
    node = scalar_node(loss, "gradient_flow")
    try:
        return GradientFlow(node, text)
    except ValueError as error:
        raise ValueError(f"gradient_flow: {error}") from error
