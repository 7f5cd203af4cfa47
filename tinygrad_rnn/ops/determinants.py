"""Determinants of stacks of matrices, including singular ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..graph import Array, composed, differentiable, nondifferentiable
from .arrays import as_value
from .blocks import stacked
from .cutting import diagonal as diagonal_
from .decompositions import _svd, _svd_parts
from .elementwise import where
from .inverses import _T, _on_diagonal, inv
from .logic import sign
from .reductions import prod, sum
from .shaping import expand_dims

__all__ = [
    "det",
    "slogdet",
]


def _others_product(s: Array) -> Array:
    """For each pair (i, j) the product of all s_k except s_i and s_j; for (i, i) except s_i."""
    k = np.arange(s.shape[-1])
    left_out = (k == k[:, np.newaxis, np.newaxis]) | (k == k[:, np.newaxis])
    return prod(where(left_out, 1, s[..., np.newaxis, np.newaxis, :]), -1)


def _cofactors_rule(g: Array, y: Array, x: Array) -> Array:
    """The second derivative of det, in the bases of the singular vectors, without a division.

    det is multilinear. With f = u' g v, a change of x_ij multiplies f_kk if i = j, else -f_ji.
    """
    u, s, v = _svd_parts(_svd(x), x.shape)
    f, others = _T(u) @ g @ v, _others_product(s)
    # Both sums include j = i, where their terms cancel.
    along = sum(expand_dims(diagonal_(f, 0, -2, -1), -2) * others, -1)
    turned = expand_dims(sign(det(u) * det(v)), (-2, -1))
    return turned * (u @ (_on_diagonal(along) - _T(f) * others) @ _T(v))


@differentiable(_cofactors_rule, batch=stacked)
def _cofactors(x: Array) -> Array:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    # x = u diag(s) v' has the cofactors det(u) det(v) u diag(products of the other s) v'. det(x)
    # x^-T would be 0 * Inf for a singular x.
    k = np.arange(s.shape[-1])
    others = np.prod(np.where(k == k[:, np.newaxis], 1, s[..., np.newaxis, :]), -1)
    turned = np.sign(np.linalg.det(u) * np.linalg.det(vh))
    return turned[..., np.newaxis, np.newaxis] * ((u * others[..., np.newaxis, :]) @ vh)


@differentiable(lambda g, y, x: expand_dims(g, (-2, -1)) * _cofactors(x), batch=stacked)
def det(x: Array) -> Array:
    """The determinant. Its gradient is the cofactors, ``det(x) x^-T``, also for a singular x.

    Args:
        x: (..., n, n).

    Raises:
        LinAlgError: a matrix is not square.

    >>> det([[2.0, 1.0], [0.0, 4.0]])
    array(8.)
    """
    return np.linalg.det(x)


@nondifferentiable(batch=stacked)
def _sign_of_det(x: Array) -> Array:
    return np.linalg.slogdet(x)[0]


@differentiable(lambda g, y, x: expand_dims(g, (-2, -1)) * _T(inv(x)), batch=stacked)
def _logabsdet(x: Array) -> Array:
    return np.linalg.slogdet(x)[1]


class SlogdetResult(NamedTuple):
    """``det(x) = sign e^logabsdet``."""

    sign: Array
    logabsdet: Array


@composed
def slogdet(x: Array) -> SlogdetResult:
    """The sign of the determinant and the logarithm of its size; d logabsdet / dx = x^-T.

    Args:
        x: (..., n, n).

    Returns:
        ``(sign, logabsdet)``, each (...). The sign has no gradient. A singular matrix gives
        (0, -inf) and has no gradient: backward raises LinAlgError.

    >>> slogdet([[2.0, 0.0], [0.0, -4.0]]).logabsdet
    array(2.07944154)
    """
    x = as_value(x)
    return SlogdetResult(_sign_of_det(x), _logabsdet(x))
