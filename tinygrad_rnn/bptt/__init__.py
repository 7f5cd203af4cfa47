"""Backpropagation through time: the numbers.

Read from the loss to the numbers: ``steps`` finds the time step of every operation, and the values
that go from step to step. ``structure`` finds states, outputs, inputs and weights. ``loops`` places
the steps of all loops on one time axis, and separates the gradients that the loss, later loops and
the weights get. ``flow`` measures the gradient of every state and the share of every step.
``reasons`` says why a gradient vanishes or explodes.

The others are for those who need them: ``masks`` finds where a sequence has ended. ``spans`` finds
the time step that each element of an array came from. ``jacobians`` has one state's Jacobians.
``arrays`` has gradients by step, gates and states as arrays. ``table`` writes a flow as text.

Nothing here draws: that is the room ``viz``.
"""

from .arrays import activations, grads_by_step
from .flow import EXPLODED, VANISHED, Flow, Shares, State, regime
from .jacobians import Jacobian
from .loops import Link
from .reasons import JacobianParts, Slope
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
