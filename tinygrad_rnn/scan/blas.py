"""Matrix products, cut into pieces that BLAS multiplies fastest.

OpenBLAS multiplies small matrices (up to 10^6 multiplications) directly. It first copies larger
ones into another order. For the few rows of a step the copy does not pay: (32, 256) by (256, 256)
takes 1.3 times as long whole as in four pieces, and (4, 512) by (512, 2048) takes 4 times as long
whole as in eight.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy import ndarray

from ..graph import Primitive
from ..ops.products import product_of_rows

_limit = 1_000_000


@functools.lru_cache(1024)
def cut(rows: int, inner: int, columns: int) -> tuple[int, int]:
    """The numbers of pieces to cut the rows and the columns of a matrix product into."""
    # Small enough for BLAS to multiply as it lies.
    if rows * inner * columns <= _limit:
        return 1, 1
    # All ways to cut into equal pieces of at most ``_limit`` multiplications. The best has the
    # fewest pieces; among these, the longest shorter side, where a row counts as 8 columns.
    choices = [
        (p * q, -min(8 * (rows // p), columns // q), q, p)
        for p in range(1, max(rows // 8, 1) + 1)
        for q in range(1, columns // 32 + 1)
        if rows % p == columns % q == 0 and (rows // p) * inner * (columns // q) <= _limit
    ]
    if not choices:
        return 1, 1
    *_, q, p = min(choices)
    return p, q


def pieces(x: ndarray, p: int, q: int) -> ndarray:
    """(..., n, k) as a view (..., p, q, n/p, k/q)."""
    *axes, n, k = x.shape
    # These are views. matmul multiplies the last two axes of every pair of pieces.
    return x.reshape(*axes, p, n // p, q, k // q).swapaxes(-3, -2)


def product(x: ndarray, matrix: ndarray) -> ndarray:
    """x @ matrix for x (n, k), or a vector (k,)."""
    p, q = cut(len(x), *matrix.shape) if x.ndim == 2 else (1, 1)
    y: ndarray
    if p == q == 1:
        y = np.matmul(x, matrix)
    else:
        y = np.empty((len(x), matrix.shape[1]), x.dtype)
        np.matmul(pieces(x, p, 1), pieces(matrix, 1, q), pieces(y, p, q))
    return y


# ── the same, as operations for programs ─────────────────────────────────────────────────


def _product_in_pieces(x: ndarray, y: ndarray, p: int) -> ndarray:
    z = np.empty((len(x), y.shape[1] * y.shape[3]), x.dtype)
    np.matmul(pieces(x, p, 1), y, pieces(z, p, y.shape[1]))
    return z


#: A matrix (k, m) as contiguous pieces (1, q, k, m/q).
in_pieces = Primitive(
    "in_pieces", lambda y, q: np.ascontiguousarray(pieces(y, 1, q)), None, view="maybe"
)

#: x (n, k), cut into p pieces, times a matrix in pieces: (n, m).
product_in_pieces = Primitive("product_in_pieces", _product_in_pieces, None, view=False)


__all__ = [
    "cut",
    "in_pieces",
    "pieces",
    "product",
    "product_in_pieces",
    "product_of_rows",
]
