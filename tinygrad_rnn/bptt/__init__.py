"""Backpropagation through time: the numbers.

``time_steps`` finds the loop and the time step of every operation. ``steps`` finds the values that
cross from one step into another, and ``trajectories`` follows each of them through all its steps.
``structure`` gathers states, outputs, inputs and weights; ``masks`` finds where a sequence has
ended. ``columns`` places the steps of all loops on one time axis. ``flow`` measures the gradient of
every state, ``links`` the gradients between loops, ``shares`` the contribution of each step to a
weight's gradient. ``spans`` finds the time step that each element of an array came from.
``reasons`` says why a gradient vanishes or explodes.
``activations`` collects gates and states. ``table`` writes a flow as text. ``sums`` has the norm.

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
