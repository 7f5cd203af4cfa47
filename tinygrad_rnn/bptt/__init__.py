"""Backpropagation through time: the numbers.

``turns`` finds the time step of every operation, ``structure`` what runs along the steps (states,
outputs, inputs, weights; ``masks``: where a sequence is over), ``columns`` where the steps of all
loops stand on one axis of time. ``flow`` measures what gradient came back to every state, ``links``
what loops and loss send each other, ``shares`` what each step adds to the weights' gradients
(``spans``: from which step an element came), ``reasons`` why the gradient vanishes or explodes.
``activations`` collects gates and states, ``table`` writes a flow as text.

Nothing here draws: that is the room ``viz``.
"""

from .activations import activations
from .flow import EXPLODED, VANISHED, Flow, Jacobian, State, grads_by_step, regime
from .links import Link
from .reasons import JacobianParts, Slope
from .shares import Shares
from .structure import Structure

__all__ = [
    "EXPLODED",
    "VANISHED",
    "Flow",
    "Jacobian",
    "JacobianParts",
    "Link",
    "Shares",
    "Slope",
    "State",
    "Structure",
    "activations",
    "grads_by_step",
    "regime",
]
