"""Functions that NumPy does not have: the error function and the binary cross-entropy."""

from __future__ import annotations

import math

import numpy as np

from ..graph import Array, elementwise
from .elementwise import exp, log, maximum, minimum, square, subtract, where
from .logic import less

__all__ = ["erf"]

# Cody's (see ``erf``).
# Coefficients of rational functions, highest power first: erf(x) / x as a function of x^2 below
# 0.46875, and erfc(x) exp(x^2) as a function of x above.
_BELOW = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (
        1.0,
        2.36012909523441209e1,
        2.44024637934444173e2,
        1.28261652607737228e3,
        2.84423683343917062e3,
    ),
)
_ABOVE = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    y = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        y = y * x + coefficient
    return y


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = coefficients
    return _polynomial(above, x) / _polynomial(below, x)


def _erf_written_out(x: Array) -> Array:
    # For the compiler, which has no complex numbers: erf is odd, so compute with |x|.
    negative = less(x, 0)
    size = minimum(where(negative, -x, x), 6.0)
    far = 1 - exp(-size * size) * _ratio(_ABOVE, size)
    near = size * _ratio(_BELOW, size * size)
    y = where(less(size, 0.46875), near, far)
    return where(negative, -y, y)


@elementwise(
    lambda g, y, x: g * (2 / math.sqrt(math.pi) * exp(-square(x))), written_out=_erf_written_out
)
def erf(x: Array) -> Array:
    """``y = 2 / sqrt(pi)`` times the integral of ``exp(-t^2)`` from 0 to x, the error function.

        dy/dx = 2 / sqrt(pi) exp(-x^2)

    Source: Cody, "Rational Chebyshev Approximations for the Error Function", Mathematics of
    Computation 23 (1969). The error is one or two units in the last place of float64.

    >>> erf([0.0, 1.0, -10.0]).round(6)
    array([ 0.      ,  0.842701, -1.      ])
    """
    x = np.asarray(x)
    if x.dtype.kind not in "fc":
        x = x.astype(np.float64)
    # The same, but analytic, for a complex step: |x| is written as x times its sign.
    sign = np.where(x.real < 0, -1, 1).astype(x.real.dtype)
    size = np.minimum(x * sign, 6)  # beyond 6 it is 1 to the last bit
    far = sign * (1 - np.exp(-size * size) * _ratio(_ABOVE, size))
    near = sign * (size * _ratio(_BELOW, size * size))
    return np.where(size.real < 0.46875, near, far)


_LEAST = 1e-44  # its logarithm is below -100, and float32 still has it


def _log_from_minus_100(x: Array) -> Array:
    return maximum(log(maximum(x, _LEAST)), -100)


@elementwise(
    lambda g, z, x, y: g * (subtract(x, y) / maximum(x * subtract(1, x), 1e-12)),
    lambda g, z, x, y: g * (_log_from_minus_100(subtract(1, x)) - _log_from_minus_100(x)),
    written_out=lambda x, y: -(y * _log_from_minus_100(x) + (1 - y) * _log_from_minus_100(1 - x)),
)
def _binary_cross_entropy(x: Array, y: Array) -> Array:
    """``z = -y log x - (1 - y) log(1 - x)`` for a probability x and a target y from 0 to 1.

    At x = 0 and x = 1 a logarithm is infinite. As in PyTorch, logarithms are at least -100, and
    dz/dx = (x - y) / max(x (1 - x), 1e-12).
    """
    dtype = np.result_type(x, y)  # a Python number has no dtype of its own
    x, y = (np.asarray(a, dtype if dtype.kind in "fc" else np.float64) for a in (x, y))
    return -(y * _log_from_minus_100(x) + (1 - y) * _log_from_minus_100(1 - x))
