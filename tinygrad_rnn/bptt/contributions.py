"""What one operation contributes to the gradients of its inputs, and how long a gradient is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..backprop import sweep
from ..graph import Node, leaf, record


def contributions(node: Node, g: Any, live: Sequence[int] | None = None) -> dict[int, ndarray]:
    """What one operation contributes to the cotangents of its inputs, by their index.

    The operation is recorded again, alone, with a leaf for each input, and swept. So a value that
    is used twice has two contributions.

    Args:
        node: the operation.
        g: its cotangent.
        live: which inputs to look at; None for all that are in the graph.
    """
    if live is None:
        live = [i for i, parent in enumerate(node.parents) if isinstance(parent, Node)]
    sources = {i: leaf(node.arrays[i]) for i in live}
    parents = tuple([sources.get(i) for i in range(len(node.parents))])
    alone = record(node.primitive, parents, node.arrays, node.output, node.keywords, node.scope)
    found = sweep({alone: g}, set(sources.values()))
    return {i: found[source] for i, source in sources.items()}


def add_to(totals: dict[Any, ndarray], key: Any, array: ndarray) -> None:
    """``totals[key] += array``, without writing into an array that may be shared."""
    totals[key] = totals[key] + array if key in totals else array


def norm(arrays: Iterable[Any]) -> float:
    """The Euclidean norm of all the elements of some arrays; 1e-200 does not underflow."""
    norms = []
    for array in arrays:
        flat = array.astype(np.float64, copy=False).ravel()
        square = float(flat @ flat)
        if 1e-250 < square < 1e250:
            norms.append(math.sqrt(square))
            continue
        largest = float(np.abs(flat).max(initial=0.0))
        if largest and math.isfinite(largest):
            largest *= float(np.linalg.norm(flat / largest))
        norms.append(largest)
    return math.hypot(*norms)
