"""Differentiation: the reverse sweep, and the functions that are made of it.

``reverse`` is the chain rule over a graph, ``derivatives`` the functions that users call, and
``regions`` the functions of several operations that the graph holds as one node.
"""

from .deferred import Deferred
from .derivatives import grad, hessian, hvp, jacobian, jvp, value_and_grad
from .pullbacks import contributions, inputs_of
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
