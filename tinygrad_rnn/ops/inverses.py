"""Inverses and systems of linear equations, on stacks of matrices.

Source of the rules, if a function names no other: Giles, "An extended collection of matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Array, Blocks, Operand, composed, differentiable
from .arrays import as_value, dtype_of, normal_axes, plain
from .blocks import matrices, stacked
from .shaping import expand_dims, moveaxis, reshape, sum_to, swapaxes

__all__ = [
    "inv",
    "pinv",
    "solve",
    "tensorinv",
    "tensorsolve",
]


def _T(x: Array) -> Array:
    return swapaxes(x, -1, -2)


def _symmetric(x: Array) -> Array:
    return (x + _T(x)) * 0.5


def _on_diagonal(v: Array) -> Array:
    """Matrices with the vectors v (..., n) on their diagonals."""
    return expand_dims(v, -1) * np.eye(v.shape[-1], dtype=v.dtype)


# ── matrices ──────────────────────────────────────────────────────────────────────────────────────


@differentiable(lambda g, y, x: -(_T(y) @ g @ _T(y)), batch=stacked)
def inv(x: Array) -> Array:
    """``y = x^-1``; dL/dx = -y' g y'.

    Args:
        x: (..., n, n).

    Raises:
        LinAlgError: a matrix is singular, or not square.

    >>> inv([[2.0, 0.0], [0.0, 4.0]])
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return np.linalg.inv(x)


def _columns(x: Array, b: Array) -> Array:
    """x as matrices of one column, if b is a vector."""
    return expand_dims(x, -1) if b.ndim == 1 else x


def _solve_matrix(g: Array, z: Array, a: Array, b: Array) -> Array:
    h = solve(_T(a), _columns(g, b))
    return sum_to(-(h @ _T(_columns(z, b))), a.shape)


def _solve_right(g: Array, z: Array, a: Array, b: Array) -> Array:
    h = solve(_T(a), _columns(g, b))
    return sum_to(h[..., 0] if b.ndim == 1 else h, b.shape)


def _solve_blocks(keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks:
    a, b = operands
    vector = len(b.shape) == 1
    rank = max(len(a.shape), len(b.shape) + vector)

    def call(a_block: ndarray, b_block: ndarray) -> Any:
        columns = matrices(b_block, b, rank, (*b.shape, 1) if vector else b.shape)
        z = np.linalg.solve(matrices(a_block, a, rank), columns)
        return z[..., 0] if vector else z

    return call


@differentiable(_solve_matrix, _solve_right, batch=_solve_blocks, linear=((1,),))
def solve(a: Array, b: Array) -> Array:
    """The solution z of ``a z = b``; dL/db = h with ``a' h = g``, dL/da = -h z'.

    Args:
        a: (..., n, n).
        b: (n,), or (..., n, m): m right-hand sides.

    Returns:
        (..., n) for a vector b, else (..., n, m).

    Raises:
        LinAlgError: a matrix is singular, or not square.
        ValueError: the shapes do not fit.

    >>> solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])
    array([1. , 0.5])
    """
    return np.linalg.solve(a, b)


def _pinv_rule(g: Array, p: Array, a: Array, rcond: Any) -> Array:
    g_, p_ = _T(g), _T(p)
    left = (g_ - a @ (p @ g_)) @ (p @ p_)
    right = (p_ @ p) @ (g_ - (g_ @ p) @ a)
    return left + right - p_ @ g @ p_


@differentiable(_pinv_rule, batch=stacked)
def _pinv(x: Array, rcond: Any) -> Array:
    return np.linalg.pinv(x, rcond)


@composed
def pinv(x: Array, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """The pseudo-inverse. Its gradient assumes that the rank stays the same.

    Args:
        x: (..., m, n).
        rcond, rtol: two names of one argument. Singular values up to this part of the largest one
            count as 0.
        hermitian: has no effect: the result is the same.

    Source: Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares
    problems whose variables separate", SIAM Journal on Numerical Analysis 10 (1973), eq. 4.12.

    >>> pinv([[2.0], [0.0]])
    array([[0.5, 0. ]])
    """
    if rcond is not None and rtol is not None:
        raise ValueError("pinv: expected rcond or rtol, which are one argument; got both")
    part = rcond if rtol is None else rtol
    if part is None:
        part = 1e-15 if rtol is None else np.finfo(dtype_of(x)).eps
    return _pinv(as_value(x), plain(part))


# ── linear maps of tensors ────────────────────────────────────────────────────────────────────────
@composed
def tensorsolve(a: Array, b: Array, axes: Sequence[int] | None = None) -> Array:
    """The solution z of ``tensordot(a, z, z.ndim) = b``.

    Shapes: a (*U, *S), b (*U,) -> (*S,).

    >>> tensorsolve(np.eye(4).reshape(2, 2, 4), np.ones((2, 2)))
    array([1., 1., 1., 1.])
    """
    a, b = as_value(a), as_value(b)
    if axes is not None:
        axes = normal_axes(tuple(axes), a.ndim)
        a = moveaxis(a, axes, range(a.ndim - len(axes), a.ndim))
    shape = a.shape[b.ndim :]
    n = math.prod(b.shape)
    if math.prod(shape) != n:
        raise np.linalg.LinAlgError(
            f"tensorsolve: a of shape {a.shape} is not a square matrix for b of shape {b.shape}"
        )
    return reshape(solve(reshape(a, (n, n)), reshape(b, (n,))), shape)


@composed
def tensorinv(a: Array, ind: int = 2) -> Array:
    """The inverse of a as a linear map from its last axes to its first ``ind``.

    Shapes: a (*S, *U), with as many elements in S as in U -> (*U, *S).

    >>> tensorinv(np.eye(4).reshape(2, 2, 4)).shape
    (4, 2, 2)
    """
    a = as_value(a)
    if ind < 1:
        raise ValueError(f"tensorinv: expected ind of at least 1, got {ind}")
    n = math.prod(a.shape[ind:])
    return reshape(inv(reshape(a, (-1, n))), a.shape[ind:] + a.shape[:ind])
