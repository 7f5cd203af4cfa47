"""Tensor: an array, its gradient and its place in the graph, with NumPy's manners.

``tensor`` is the class: operators, methods and Python's protocols. ``dispatch`` is how NumPy's own
functions find the library's operations.
"""

from .tensor import Tensor

__all__ = ["Tensor"]
