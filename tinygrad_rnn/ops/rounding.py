"""Rounding, remainders and functions of signs; most are piecewise constant.

A piecewise constant function has the gradient 0 wherever it is differentiable. So it returns
Tensors without a graph, as comparisons do. A remainder, which contains such a function, does have a
gradient: ``mod(x, y) = x - y floor(x / y)`` has the slope 1 in x and -floor(x / y) in y.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array, composed, elementwise, nondifferentiable, same
from .arrays import as_value, dtype_of
from .elementwise import add, power, where
from .logic import equal, greater, less, not_equal, sign, signbit
from .shaping import astype

__all__ = [
    "ceil",
    "copysign",
    "divmod",
    "fabs",
    "fix",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "heaviside",
    "ldexp",
    "mod",
    "modf",
    "nan_to_num",
    "nextafter",
    "remainder",
    "rint",
    "round",
    "trunc",
]

# ── rounding ─────────────────────────────────────────────────────────────────────────────


@nondifferentiable(np.floor, scalar="floor", onnx="Floor")
def floor(x: Array) -> Array:
    """The largest integer not above x, as a float; without gradient.

    >>> floor([-1.5, 1.5])
    array([-2.,  1.])
    """


@nondifferentiable(np.ceil, scalar="ceil", onnx="Ceil")
def ceil(x: Array) -> Array:
    """The smallest integer not below x, as a float; without gradient.

    >>> ceil([-1.5, 1.5])
    array([-1.,  2.])
    """


@nondifferentiable(np.trunc, scalar="trunc")
def trunc(x: Array) -> Array:
    """x rounded towards 0; without gradient.

    >>> trunc([-1.5, 1.5])
    array([-1.,  1.])
    """


fix = trunc


@nondifferentiable(np.rint, scalar="rint", onnx="Round")
def rint(x: Array) -> Array:
    """The nearest integer, as a float; the even one of two equally near; without gradient.

    >>> rint([0.5, 1.5])
    array([0., 2.])
    """


@nondifferentiable(elementwise=True)
def round(x: Array, decimals: int = 0) -> Array:
    """x rounded to a number of decimals; without gradient.

    >>> round([1.2345], 2)
    array([1.23])
    """
    return np.round(x, decimals)


@nondifferentiable(np.floor_divide, scalar="floor_divide")
def floor_divide(x: Array, y: Array) -> Array:
    """``floor(x / y)``, Python's ``x // y``; without gradient.

    >>> floor_divide([7.0, -7.0], 2.0)
    array([ 3., -4.])
    """


# ── remainders ───────────────────────────────────────────────────────────────────────────


# x - z is y floor(x / y), so its quotient by y is a whole number up to rounding. floor(x / y) of
# the rounded quotient may be off by 1.
@elementwise(np.remainder, same, lambda g, z, x, y: -g * rint((x - z) / y), scalar="remainder")
def remainder(x: Array, y: Array) -> Array:
    """``z = x - y floor(x / y)``, with the sign of y; dz/dx = 1, dz/dy = -floor(x / y).

    >>> remainder([7.0, -7.0], 3.0)
    array([1., 2.])
    """


mod = remainder


@elementwise(np.fmod, same, lambda g, z, x, y: -g * rint((x - z) / y), scalar="fmod")
def fmod(x: Array, y: Array) -> Array:
    """``z = x - y trunc(x / y)``, with the sign of x; dz/dx = 1, dz/dy = -trunc(x / y).

    >>> fmod([7.0, -7.0], 3.0)
    array([ 1., -1.])
    """


@composed
def divmod(x: Array, y: Array) -> tuple[Array, Array]:
    """``(x // y, x % y)``; the quotient has no gradient.

    Shapes: x and y of any shapes that broadcast -> two of the broadcast shape.

    >>> divmod([7.0], 3.0)
    (array([2.]), array([1.]))
    """
    return floor_divide(x, y), remainder(x, y)


@composed
def modf(x: Array) -> tuple[Array, Array]:
    """The fractional and the integral part of x, both with its sign; only the first has a gradient.

    Shapes: x of any shape -> two of the same shape.

    >>> modf([-1.5])
    (array([-0.5]), array([-1.]))
    """
    return _fraction(x), trunc(x)


@elementwise(same)
def _fraction(x: Array) -> Array:
    return np.modf(x)[0]


@nondifferentiable(elementwise=True)
def _exponent(x: Array) -> Array:
    return np.frexp(x)[1]


@composed
def frexp(x: Array) -> tuple[Array, Array]:
    """``x = m 2^e`` with 1/2 <= \\|m\\| < 1 and an integer e; dm/dx = 2^-e.

    Shapes: x of any shape -> two of the same shape.

    >>> frexp([6.0])
    (array([0.75]), array([3], dtype=int32))
    """
    exponent = _exponent(x)
    return ldexp(x, -exponent), exponent


@elementwise(np.ldexp, lambda g, z, x, exponent: _ldexp(g, exponent), None, linear=((0,),))
def _ldexp(x: Array, exponent: Array) -> Array:
    """x 2^e, where e has a dtype."""


@composed
def ldexp(x: Array, exponent: Array) -> Array:
    """``z = x 2^e`` for integers e; dz/dx = 2^e.

    Shapes: x and exponent of any shapes that broadcast -> the broadcast shape.

    >>> ldexp([0.75], [3])
    array([6.])
    """
    return _ldexp(x, as_value(exponent))


# ── signs and choices ────────────────────────────────────────────────────────────────────


@elementwise(np.fabs, lambda g, y, x: g * sign(x), scalar="absolute", onnx="Abs")
def fabs(x: Array) -> Array:
    """``y = |x|``, a float also for integers; dy/dx = sign x, and 0 at 0.

    >>> fabs([-2])
    array([2.])
    """


@composed
def copysign(x: Array, y: Array) -> Array:
    """``z = |x|`` with the sign of y; dz/dx = sign x sign y, 0 at x = 0; y gets no gradient.

    Shapes: x and y of any shapes that broadcast -> the broadcast shape.

    >>> copysign([1.0, 2.0], [-0.0, 3.0])
    array([-1.,  2.])
    """
    size = fabs(x)
    return where(signbit(y), -size, size)


def _beats(x: Array, y: Array, larger: Any) -> Array:
    """1 where x is chosen instead of y, 1/2 at a tie. NaN is chosen only if both are NaN."""
    nan_x, nan_y = not_equal(x, x), not_equal(y, y)
    return where(nan_y, where(nan_x, 0.5, 1), larger(x, y) + 0.5 * equal(x, y))


@elementwise(
    np.fmax,
    lambda g, z, x, y: g * _beats(x, y, greater),
    lambda g, z, x, y: g * _beats(y, x, greater),
    scalar="fmax",
)
def fmax(x: Array, y: Array) -> Array:
    """``z = max(x, y)``, ignoring NaN. The chosen one gets the gradient; at a tie each gets half.

    >>> fmax([1.0, np.nan], 0.0)
    array([1., 0.])
    """


@elementwise(
    np.fmin,
    lambda g, z, x, y: g * _beats(x, y, less),
    lambda g, z, x, y: g * _beats(y, x, less),
    scalar="fmin",
)
def fmin(x: Array, y: Array) -> Array:
    """``z = min(x, y)``, ignoring NaN. The chosen one gets the gradient; at a tie each gets half.

    >>> fmin([1.0, np.nan], 0.0)
    array([0., 0.])
    """


@composed
def heaviside(x: Array, y: Array) -> Array:
    """0 where x < 0, y where x = 0, 1 where x > 0; y gets the gradient of its elements.

    Shapes: x and y of any shapes that broadcast -> the broadcast shape.

    >>> heaviside([-1.0, 0.0, 2.0], 0.5)
    array([0. , 0.5, 1. ])
    """
    return where(equal(x, 0), y, _step(x))


@nondifferentiable(elementwise=True, scalar="step")
def _step(x: Array) -> Array:
    return np.heaviside(x, 0)


@nondifferentiable(elementwise=True)
def _to_next(x: Array, y: Array) -> Array:
    return np.nextafter(x, y) - x


@composed
def nextafter(x: Array, y: Array) -> Array:
    """The next number after x towards y; dz/dx = 1, and y gets no gradient.

    Shapes: x and y of any shapes that broadcast -> the broadcast shape.

    >>> nextafter([1.0], 2.0) - 1
    array([2.22044605e-16])
    """
    return add(x, _to_next(x, y))


@composed
def float_power(x: Array, y: Array) -> Array:
    """``z = x^y`` in float64 or wider, also for integers; see :func:`power`.

    Shapes: x and y of any shapes that broadcast -> the broadcast shape.

    >>> float_power([2, 3], -1)
    array([0.5       , 0.33333333])
    """
    return power(_wide(x), _wide(y))


def _wide(x: Array) -> Array:
    return astype(x, np.result_type(dtype_of(x), np.float64))


@composed
def nan_to_num(
    x: Array, *, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """x with numbers instead of NaN and infinities; these elements get no gradient.

    Args:
        x: any shape.
        nan, posinf, neginf: the numbers. The defaults are 0, and the largest and the least finite
            number of the dtype.

    >>> nan_to_num([1.0, np.nan, np.inf], posinf=9.0)
    array([1., 0., 9.])
    """
    x, dtype = as_value(x), dtype_of(x)
    if dtype.kind != "f":
        return x
    limits = np.finfo(dtype)
    y = where(equal(x, np.inf), limits.max if posinf is None else posinf, x)
    y = where(equal(x, -np.inf), limits.min if neginf is None else neginf, y)
    return where(not_equal(x, x), nan, y)
