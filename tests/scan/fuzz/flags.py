"""The floating-point warnings of a run, and which of them are none of a scan's doing.

OpenBLAS may raise the flag "invalid" in a product of finite numbers. Its kernel for AVX-512 that
multiplies a float32 matrix of two or three rows and five columns with a vector also reads a few
bytes of the stack, which it does not use. In about one process of fifty an address lies there that
looks like a signalling NaN. The product is right, and plain NumPy warns as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy import ndarray

from tinygrad_rnn.scan import lookup_plan
from tinygrad_rnn.scan.cache import Cache


@contextmanager
def flags() -> Iterator[set[str]]:
    """The kinds of floating-point warnings (divide, overflow, invalid) that NumPy would give."""
    raised: set[str] = set()
    with (
        np.errstate(divide="call", over="call", invalid="call", under="ignore"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        before = np.seterrcall(lambda kind, _: raised.add(kind))
        try:
            yield raised
        finally:
            np.seterrcall(before)


@contextmanager
def products_judged() -> Iterator[None]:
    """New plans, whose products of finite numbers warn only if a result is not finite."""
    product = np.matmul

    def matmul(x: ndarray, y: ndarray, *out: ndarray, **keywords: Any) -> ndarray:
        with np.errstate(all="ignore"):
            z: ndarray = product(x, y, *out, **keywords)
        if all(np.isfinite(array).all() for array in (x, y, z)):
            return z
        again: ndarray = product(x, y, *out, **keywords)
        return again

    with mock.patch.object(np, "matmul", matmul), mock.patch.object(lookup_plan, "cache", Cache()):
        yield


__all__ = ["flags", "products_judged"]
