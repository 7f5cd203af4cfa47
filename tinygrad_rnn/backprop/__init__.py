"""Differentiation: the reverse sweep, and the functions that use it.

``reverse`` is the chain rule over a graph. It adds cotangents up (``cotangents``), puts weight
gradients off until one product computes them (``deferred``), and leaves unusual kinds of node to
``pullbacks``. ``derivatives`` has the functions that users call. ``regions`` has functions of
several operations that are one node. ``carried`` warns of a state that was not detached.
"""

from .cotangents import contributions
from .deferred import Deferred
from .derivatives import grad, hessian, hvp, jacobian, jvp, value_and_grad
from .pullbacks import inputs_of
from .regions import checkpoint, expanded, fuse, picked_from
from .reverse import backward, sweep

__all__ = [
    "Deferred",
    "backward",
    "checkpoint",
    "contributions",
    "expanded",
    "fuse",
    "grad",
    "hessian",
    "hvp",
    "inputs_of",
    "jacobian",
    "jvp",
    "picked_from",
    "sweep",
    "value_and_grad",
]
