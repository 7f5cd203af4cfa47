"""Backpropagation through time: the numbers.

``time_steps`` finds the time step of every operation. ``structure`` finds states, outputs, inputs
and weights; ``masks`` says where a sequence is over. ``columns`` places the steps of all loops on
one axis of time. ``flow`` measures the gradient of every state, ``links`` the gradients between
loops, ``shares`` the contribution of each step to a weight's gradient (``spans`` says from which
step an element came). ``reasons`` says why a gradient vanishes or explodes. ``activations``
collects gates and states, ``table`` writes a flow as text.

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
