"""Gradient flows as pictures, as pages, and as files for slides and papers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..bptt.flow import Flow
from ..bptt.steps import scalar_node
from ..graph import Value
from .export import Shown
from .lattice import draw_lattice
from .page import page


class GradientFlow(Shown, Flow):
    """The gradient of a loss on its way back through time; made by :func:`gradient_flow`.

    ``print`` shows a table, a notebook shows the picture, and ``save`` writes a file. The numbers
    are described at :class:`tinygrad_rnn.bptt.Flow`: ``states``, ``weights``, ``inputs``,
    ``links``, ``jacobian(t, s)``.
    """

    def svg(self, *, theme: str = "light", fit: float | None = None, animate: bool = False) -> str:
        """The picture as SVG text; see :meth:`save` for the arguments."""
        if animate:
            from .animate import animated

            return animated(draw_lattice(self, playable=True, theme=theme, fit=fit))
        return draw_lattice(self, theme=theme, fit=fit).svg

    def html(self, *, theme: str = "auto", fit: float | None = None) -> str:
        """The page that plays the sweeps step by step, as HTML text."""
        return page(self, theme=theme, fit=fit)

    def frames(self, **options: Any) -> list[str]:
        """The pictures of the two sweeps, step by step, as SVG text."""
        from .animate import frames

        return frames(draw_lattice(self, playable=True, **options))


def gradient_flow(loss: Value, *, text: Sequence[str] | None = None) -> GradientFlow:
    """Measure how the gradient of a loss flows back through the time steps of a recurrent net.

    A state is any value that crosses from one time step of ``for t, x_t in tg.steps(xs)`` into the
    next. So your own loop needs nothing more. T counts up to the last step that the loss depends
    on. Loops that follow each other (an encoder, a decoder) stand side by side.

    A batch shows the sum of its sequences, as if each ran alone. With ``lengths``, and in loops
    that mask with ``tg.where(mask, new, old)``, nothing is shown after a sequence's end.

    Args:
        loss: a scalar Tensor. No ``.grad`` changes. To explain one logit, pass this logit.
        text: one character or word for each step. The picture shades each by the gradient that
            reaches it, and so shows which of them mattered.

    Returns:
        A :class:`GradientFlow`. ``print`` shows a table, and a notebook shows the picture.
        ``.save("flow.svg")`` writes the picture, and ``.save("flow.html")`` the page. The numbers
        are in ``.states``, ``.weights`` and ``.jacobian(t, s)``.

    Raises:
        TypeError: the loss is not a Tensor.
        ValueError: the loss is not a scalar, has no graph, or was computed without time steps; or
            ``text`` does not have one string for each step.

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
