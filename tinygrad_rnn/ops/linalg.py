"""``np.linalg``, differentiable, on stacks of matrices: the last two axes are a matrix.

``tg.linalg.solve(a, b)`` and ``np.linalg.solve(a, t)`` are the same. Functions with other defaults
in ``np.linalg`` than in ``np`` have them here too.
"""

from __future__ import annotations

from typing import Any

from ..graph import Array, composed
from .arrays import shape_of
from .contractions import cross as cross_
from .contractions import outer as outer_
from .contractions import tensordot, vecdot
from .cutting import diagonal as diagonal_
from .cutting import trace as trace_
from .decompositions import cholesky, eigh, eigvalsh, qr, svd, svdvals
from .determinants import det, slogdet
from .inverses import inv, pinv, solve, tensorinv, tensorsolve
from .joining import matrix_transpose
from .norms import (
    cond,
    lstsq,
    matrix_norm,
    matrix_power,
    matrix_rank,
    multi_dot,
    norm,
    vector_norm,
)
from .products import matmul

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]


@composed
def diagonal(x: Array, *, offset: int = 0) -> Array:
    """The diagonal of each matrix of a stack.

    Shapes: x (..., M, N) -> (..., length of the diagonal).

    >>> diagonal([[1.0, 2.0], [3.0, 4.0]])
    array([1., 4.])
    """
    return diagonal_(x, offset, -2, -1)


@composed
def trace(x: Array, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of the diagonal of each matrix of a stack.

    Shapes: x (..., M, N) -> (...).

    >>> trace([[1.0, 2.0], [3.0, 4.0]])
    array(5.)
    """
    return trace_(x, offset, -2, -1, dtype=dtype)


@composed
def cross(x: Array, y: Array, *, axis: int = -1) -> Array:
    """The cross product of vectors of length 3.

    Shapes: x and y (..., 3) -> (..., 3).

    >>> cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    array([0., 0., 1.])
    """
    if shape_of(x)[axis] != 3 or shape_of(y)[axis] != 3:
        raise ValueError(
            f"cross: expected vectors of length 3, got shapes {shape_of(x)} and {shape_of(y)}"
        )
    return cross_(x, y, axis=axis)


@composed
def outer(x: Array, y: Array) -> Array:
    """``z_ij = x_i y_j`` of two vectors.

    Shapes: x (N,), y (M,) -> (N, M).

    >>> outer([1.0, 2.0], [3.0])
    array([[3.],
           [6.]])
    """
    if len(shape_of(x)) != 1 or len(shape_of(y)) != 1:
        raise ValueError(f"outer: expected two vectors, got {shape_of(x)} and {shape_of(y)}")
    return outer_(x, y)
