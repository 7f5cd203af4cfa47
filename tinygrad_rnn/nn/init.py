"""How parameters start: arrays of random numbers of a given shape.

Everything is drawn in float64 and then rounded, so that a model in float32 and one in float64
start from the same numbers.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

Seed: TypeAlias = "int | np.random.Generator | None"


def uniform(shape: Any, bound: float, *, dtype: Any = np.float32, rng: Seed = None) -> ndarray:
    """Numbers from U(-bound, bound).

    Args:
        shape: of the array.
        bound: the largest absolute value.
        dtype: of the array.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    >>> bool((abs(uniform((2, 3), 0.5, rng=0)) <= 0.5).all())
    True
    """
    numbers: ndarray = np.random.default_rng(rng).uniform(-bound, bound, shape)
    return numbers.astype(dtype)


def normal(shape: Any, *, dtype: Any = np.float32, rng: Seed = None) -> ndarray:
    """Numbers from N(0, 1).

    Args:
        shape: of the array.
        dtype: of the array.
        rng: a generator, or a seed for one; None draws an unpredictable seed.

    >>> normal((2, 3), rng=0).dtype
    dtype('float32')
    """
    numbers: ndarray = np.random.default_rng(rng).standard_normal(shape)
    return numbers.astype(dtype)
