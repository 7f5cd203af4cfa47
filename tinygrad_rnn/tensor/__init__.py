"""Tensor: an array, its gradient and its place in the graph, with NumPy's manners.

``tensor`` is the class: operators, methods and Python's protocols. ``dispatch`` maps NumPy's own
functions to the library's operations; ``questions`` answers those about elements (``np.any``)
within a traced step. ``interchange`` has DLPack and the HTML for notebooks;
``namespace`` has the functions of the array API.
"""

from typing import Any

from .tensor import Tensor, from_dlpack


def _array_namespace(self: Tensor, *, api_version: str | None = None) -> Any:
    """The functions of the array API for Tensors, see ``tensor.namespace``."""
    from . import namespace

    if api_version is not None and api_version > namespace.__array_api_version__:
        raise ValueError(
            f"expected an api_version up to {namespace.__array_api_version__}, got {api_version!r}"
        )
    return namespace


# The namespace makes Tensors, so it stands after the class, and few programs load it.
Tensor.__array_namespace__ = _array_namespace

__all__ = ["Tensor", "from_dlpack"]
