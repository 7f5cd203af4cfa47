"""Sums and norms of gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import ndarray


def add_to(totals: dict[Any, ndarray], key: Any, array: ndarray) -> None:
    """``totals[key] += array``, but never in place, because the array may be shared."""
    totals[key] = totals[key] + array if key in totals else array


def norm(arrays: Iterable[Any]) -> float:
    """The Euclidean norm of all elements of some arrays. Elements of 1e-200 do not underflow."""
    norms = []
    for array in arrays:
        flat = array.astype(np.float64, copy=False).ravel()
        with np.errstate(over="ignore"):
            square = float(flat @ flat)
        if 1e-250 < square < 1e250:
            norms.append(math.sqrt(square))
            continue
        largest = float(np.abs(flat).max(initial=0.0))
        if largest and math.isfinite(largest):
            largest *= float(np.linalg.norm(flat / largest))
        norms.append(largest)
    return math.hypot(*norms)
