"""More exponentials, logarithms, circular and hyperbolic functions than in ``elementwise``.

Rules are written as in ``elementwise``. If the slope of a function is infinite (``arcsin`` at 1,
``cbrt`` at 0), the rule returns Inf. If a function is finite and its slope is undefined (``hypot``
and ``arctan2`` at the origin), the gradient is 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray

from ..graph import Array, differentiable, elementwise, located
from .elementwise import abs as abs_
from .elementwise import exp, log1p, maximum, sigmoid, sqrt, where
from .logic import equal

__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "cosh",
    "deg2rad",
    "degrees",
    "exp2",
    "expm1",
    "hypot",
    "i0",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "rad2deg",
    "radians",
    "reciprocal",
    "sinc",
    "sinh",
    "tan",
]

# ── exponentials, logarithms and roots ───────────────────────────────────────────────────


@elementwise(np.expm1, lambda g, y, x: g * exp(x), scalar="expm1")
def expm1(x: Array) -> Array:
    """``y = e^x - 1``, accurate for small x; dy/dx = e^x.

    >>> expm1([1e-20])
    array([1.e-20])
    """


@elementwise(np.exp2, lambda g, y, x: g * (y * math.log(2)), scalar="exp2")
def exp2(x: Array) -> Array:
    """``y = 2^x``; dy/dx = y ln 2.

    >>> exp2([3.0])
    array([8.])
    """


@elementwise(np.log2, lambda g, y, x: g / (x * math.log(2)), scalar="log2")
def log2(x: Array) -> Array:
    """``y = log2 x``; dy/dx = 1 / (x ln 2).

    >>> log2([8.0])
    array([3.])
    """


@elementwise(np.log10, lambda g, y, x: g / (x * math.log(10)), scalar="log10")
def log10(x: Array) -> Array:
    """``y = log10 x``; dy/dx = 1 / (x ln 10).

    >>> log10([1000.0])
    array([3.])
    """


@elementwise(np.cbrt, lambda g, y, x: g / (3 * y * y), scalar="cbrt")
def cbrt(x: Array) -> Array:
    """``y = x^(1/3)``, for negative x too; dy/dx = 1 / (3 y^2), infinite at 0.

    >>> cbrt([-8.0])
    array([-2.])
    """


@elementwise(np.reciprocal, lambda g, y, x: -g * y * y, written_out=lambda x: 1 / x)
def reciprocal(x: Array) -> Array:
    """``y = 1 / x``; dy/dx = -1 / x^2. For integers it is rounded towards 0, as in NumPy.

    >>> reciprocal([4.0])
    array([0.25])
    """


def _difference(x: Array, y: Array) -> Array:
    """x - y, but 0 instead of NaN if both are the same infinity."""
    return where(equal(x, y) * equal(abs_(x), math.inf), 0, x - y)


@elementwise(
    np.logaddexp,
    lambda g, z, x, y: g * sigmoid(_difference(x, y)),
    lambda g, z, x, y: g * sigmoid(_difference(y, x)),
    written_out=lambda x, y: maximum(x, y) + log1p(exp(-abs_(_difference(x, y)))),
)
def logaddexp(x: Array, y: Array) -> Array:
    """``z = ln(e^x + e^y)``, without overflow; dz/dx = e^(x - z) = sigmoid(x - y).

    At x = y = -inf (or inf) each gets half of the gradient.

    >>> logaddexp([1000.0], 1000.0) - 1000
    array([0.69314718])
    """


@elementwise(
    np.logaddexp2,
    lambda g, z, x, y: g * sigmoid(_difference(x, y) * math.log(2)),
    lambda g, z, x, y: g * sigmoid(_difference(y, x) * math.log(2)),
    written_out=lambda x, y: (
        maximum(x, y) + log1p(exp2(-abs_(_difference(x, y)))) * (1 / math.log(2))
    ),
)
def logaddexp2(x: Array, y: Array) -> Array:
    """``z = log2(2^x + 2^y)``; dz/dx = 2^(x - z).

    >>> logaddexp2([3.0], 3.0)
    array([4.])
    """


# ── circular functions ───────────────────────────────────────────────────────────────────


@elementwise(np.tan, lambda g, y, x: g * (1 + y * y), scalar="tan")
def tan(x: Array) -> Array:
    """``y = tan x`` (x in radians); dy/dx = 1 + y^2.

    >>> tan([0.0])
    array([0.])
    """


@elementwise(np.arcsin, lambda g, y, x: g / sqrt(1 - x * x), scalar="arcsin", onnx="Asin")
def arcsin(x: Array) -> Array:
    """``y = arcsin x``, from -pi/2 to pi/2; dy/dx = 1 / sqrt(1 - x^2).

    >>> arcsin([1.0])
    array([1.57079633])
    """


@elementwise(np.arccos, lambda g, y, x: -g / sqrt(1 - x * x), scalar="arccos", onnx="Acos")
def arccos(x: Array) -> Array:
    """``y = arccos x``, from 0 to pi; dy/dx = -1 / sqrt(1 - x^2).

    >>> arccos([1.0])
    array([0.])
    """


@elementwise(np.arctan, lambda g, y, x: g / (1 + x * x), scalar="arctan", onnx="Atan")
def arctan(x: Array) -> Array:
    """``y = arctan x``, from -pi/2 to pi/2; dy/dx = 1 / (1 + x^2).

    >>> arctan([1.0])
    array([0.78539816])
    """


def _over_square(x: Array, y: Array) -> Array:
    """x / (x^2 + y^2), without overflow; 0 at the origin."""
    # x / (r r) would overflow for large r. 0 is replaced before the division, or NaN would appear.
    r = hypot(x, y)
    r = where(equal(r, 0), 1, r)
    return x / r / r


@elementwise(
    np.arctan2,
    lambda g, z, y, x: g * _over_square(x, y),
    lambda g, z, y, x: -g * _over_square(y, x),
    scalar="arctan2",
)
def arctan2(y: Array, x: Array) -> Array:
    """The angle of the point (x, y), from -pi to pi; dz/dy = x / r^2, dz/dx = -y / r^2.

    r^2 = x^2 + y^2. At the origin the gradient is 0.

    >>> arctan2([1.0], -1.0) / np.pi
    array([0.75])
    """


@elementwise(
    np.hypot,
    lambda g, z, x, y: g * x / where(equal(z, 0), 1, z),
    lambda g, z, x, y: g * y / where(equal(z, 0), 1, z),
    scalar="hypot",
)
def hypot(x: Array, y: Array) -> Array:
    """``z = sqrt(x^2 + y^2)``, without overflow; dz/dx = x / z, and 0 at the origin.

    >>> hypot([3.0], 4.0)
    array([5.])
    """


@elementwise(
    np.deg2rad,
    lambda g, y, x: deg2rad(g),
    linear="all",
    written_out=lambda x: x * (math.pi / 180),
)
def deg2rad(x: Array) -> Array:
    """``y = x pi / 180``: degrees as radians.

    >>> deg2rad([180.0])
    array([3.14159265])
    """


@elementwise(
    np.rad2deg,
    lambda g, y, x: rad2deg(g),
    linear="all",
    written_out=lambda x: x * (180 / math.pi),
)
def rad2deg(x: Array) -> Array:
    """``y = 180 x / pi``: radians as degrees.

    >>> rad2deg([np.pi])
    array([180.])
    """


radians, degrees = deg2rad, rad2deg


@differentiable(lambda g, y, x, order: g * _sinc(x, order + 1), elementwise=True)
def _sinc(x: Array, order: int) -> Array:
    return np.sinc(x) if order == 0 else _sinc_derivative(x, order)


def _sinc_derivative(x: ndarray, order: int) -> ndarray:
    """The derivative of sinc of some order: a series near 0, a recurrence elsewhere.

    With z = pi x and f = sin(z) / z, differentiating z f = sin z n times gives

        z f_n + n f_(n-1) = sin(z + n pi / 2)
    """
    z = np.asarray(np.pi * x)
    dtype, z = z.dtype, z.astype(np.result_type(z, np.float64))
    # The recurrence divides by z at every order, which multiplies its rounding errors for small z.
    # The series needs many terms for large z.
    close = np.abs(z) < order + 2
    # Both are computed for all elements, each with a harmless z where the other one counts.
    outside = np.where(close, order + 2, z)
    far = np.sin(outside) / outside
    for n in range(1, order + 1):
        far = (np.sin(outside + n * np.pi / 2) - n * far) / outside
    inside = np.where(close, z, 0)
    near, power = np.zeros_like(inside), inside ** (order % 2)
    for k in range((order + 1) // 2, 2 * order + 20):
        # (-1)^k z^(2k) / (2k + 1)!, differentiated `order` times
        near += (-1) ** k / (2 * k + 1) / math.factorial(2 * k - order) * power
        power = power * inside * inside
    return np.asarray(np.pi**order * np.where(close, near, far)).astype(dtype)


@located
def sinc(x: Array) -> Array:
    """``y = sin(pi x) / (pi x)``, and 1 at 0; its derivatives of any order are exact, also at 0.

    Shapes: x of any shape -> the same shape.

    >>> sinc([0.0, 0.5])
    array([1.        , 0.63661977])
    """
    return _sinc(x, 0)


# ── Bessel functions ─────────────────────────────────────────────────────────────────────


@differentiable(
    lambda g, y, x, order: g * 0.5 * (_bessel(x, abs(order - 1)) + _bessel(x, order + 1)),
    elementwise=True,
)
def _bessel(x: Array, order: int) -> Array:
    """The modified Bessel function of the first kind I_n.

    2 I_n' = I_(n-1) + I_(n+1),   I_n(x) = 1/pi int_0^pi e^(x cos t) cos(n t) dt
    """
    return np.i0(x) if order == 0 and np.isrealobj(x) else _bessel_integral(x, order)


def _bessel_integral(x: ndarray, order: int) -> ndarray:
    """The integral by the trapezoidal rule; its error for this periodic function is I_(2n)(x)."""
    # From 714 on, I_n exceeds the largest float64. Without a bound a huge x, or Inf, would need a
    # huge number of points. NaN stays NaN.
    bounded = np.clip(np.asarray(x), -720, 720)
    largest = float(np.max(np.abs(bounded), initial=1.0, where=~np.isnan(bounded)))
    # I_2n(x) is tiny as soon as 2 n is well above x; for large x its square root is enough,
    # relative to I_0(x).
    n = 32 + int(2 * largest**0.5 * 8 if largest > 32 else largest)
    t = (np.arange(n) + 0.5) * np.pi / n
    wide = bounded[..., np.newaxis].astype(np.result_type(x, np.float64))
    total = np.sum(np.exp(wide * np.cos(t)) * np.cos(order * t), -1) / n
    return np.asarray(total).astype(x.dtype)


@located
def i0(x: Array) -> Array:
    """``y = I_0(x)``, the modified Bessel function of the first kind; dy/dx = I_1(x).

    Shapes: x of any shape -> the same shape.

    >>> i0([0.0, 1.0])
    array([1.        , 1.26606588])
    """
    return _bessel(x, 0)


# ── hyperbolic functions ─────────────────────────────────────────────────────────────────


@elementwise(np.sinh, lambda g, y, x: g * cosh(x), scalar="sinh")
def sinh(x: Array) -> Array:
    """``y = sinh x``; dy/dx = cosh x.

    >>> sinh([0.0])
    array([0.])
    """


@elementwise(np.cosh, lambda g, y, x: g * sinh(x), scalar="cosh")
def cosh(x: Array) -> Array:
    """``y = cosh x``; dy/dx = sinh x.

    >>> cosh([0.0])
    array([1.])
    """


@elementwise(np.arcsinh, lambda g, y, x: g / cosh(y), scalar="arcsinh")
def arcsinh(x: Array) -> Array:
    """``y = arsinh x``; dy/dx = 1 / cosh y = 1 / sqrt(1 + x^2).

    >>> arcsinh([0.0])
    array([0.])
    """


@elementwise(np.arccosh, lambda g, y, x: g / sinh(y), scalar="arccosh")
def arccosh(x: Array) -> Array:
    """``y = arcosh x`` for x >= 1; dy/dx = 1 / sinh y = 1 / sqrt(x^2 - 1).

    >>> arccosh([1.0])
    array([0.])
    """


@elementwise(np.arctanh, lambda g, y, x: g / (1 - x * x), scalar="arctanh")
def arctanh(x: Array) -> Array:
    """``y = artanh x``; dy/dx = 1 / (1 - x^2).

    >>> arctanh([0.0])
    array([0.])
    """
