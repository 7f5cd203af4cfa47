"""Tensor: an array, its gradient and its place in the graph, with NumPy's manners.

``tensor`` is the class: operators, methods and Python's protocols. ``dispatch`` is how NumPy's own
functions find the library's operations. ``interchange`` is DLPack, and how a notebook shows a
Tensor; ``namespace`` has the functions of the array API.
"""

from .interchange import from_dlpack
from .tensor import Tensor

__all__ = ["Tensor", "from_dlpack"]
