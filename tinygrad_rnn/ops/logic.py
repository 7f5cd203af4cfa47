"""Comparisons and logic. They are piecewise constant, so they return Tensors without a graph."""

from __future__ import annotations

import numpy as np

from ..graph import Array, nondifferentiable

__all__ = [
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "sign",
    "signbit",
]

# ── comparisons ───────────────────────────────────────────────────────────────────────


@nondifferentiable(np.equal, scalar="equal", onnx="Equal")
def equal(x: Array, y: Array) -> Array:
    """``x == y`` element by element, as booleans."""


@nondifferentiable(np.not_equal, scalar="not_equal")
def not_equal(x: Array, y: Array) -> Array:
    """``x != y`` element by element, as booleans."""


@nondifferentiable(np.less, scalar="less", onnx="Less")
def less(x: Array, y: Array) -> Array:
    """``x < y`` element by element, as booleans."""


@nondifferentiable(np.less_equal, scalar="less_equal", onnx="LessOrEqual")
def less_equal(x: Array, y: Array) -> Array:
    """``x <= y`` element by element, as booleans."""


@nondifferentiable(np.greater, scalar="greater", onnx="Greater")
def greater(x: Array, y: Array) -> Array:
    """``x > y`` element by element, as booleans."""


@nondifferentiable(np.greater_equal, scalar="greater_equal", onnx="GreaterOrEqual")
def greater_equal(x: Array, y: Array) -> Array:
    """``x >= y`` element by element, as booleans."""


# ── kinds of numbers ──────────────────────────────────────────────────────────────────


@nondifferentiable(np.isnan, scalar="isnan", onnx="IsNaN")
def isnan(x: Array) -> Array:
    """Whether each element is NaN, as booleans."""


@nondifferentiable(np.isinf, scalar="isinf", onnx="IsInf")
def isinf(x: Array) -> Array:
    """Whether each element is Inf or -Inf, as booleans."""


@nondifferentiable(np.isfinite, scalar="isfinite")
def isfinite(x: Array) -> Array:
    """Whether each element is neither NaN nor infinite, as booleans."""


@nondifferentiable(np.signbit, scalar="signbit")
def signbit(x: Array) -> Array:
    """Whether the sign is negative, also for -0.0, as booleans."""


@nondifferentiable(np.sign, scalar="sign", onnx="Sign")
def sign(x: Array) -> Array:
    """-1, 0 or 1: the sign of each element."""


# ── logic ─────────────────────────────────────────────────────────────────────────────


@nondifferentiable(np.logical_and, scalar="logical_and")
def logical_and(x: Array, y: Array) -> Array:
    """x and y, element by element, as booleans."""


@nondifferentiable(np.logical_or, scalar="logical_or")
def logical_or(x: Array, y: Array) -> Array:
    """x or y, element by element, as booleans."""


@nondifferentiable(np.logical_xor, scalar="logical_xor")
def logical_xor(x: Array, y: Array) -> Array:
    """Either x or y but not both, element by element, as booleans."""


@nondifferentiable(np.logical_not, scalar="logical_not")
def logical_not(x: Array) -> Array:
    """Not x, element by element, as booleans."""


@nondifferentiable(np.bitwise_and, scalar="bitwise_and")
def bitwise_and(x: Array, y: Array) -> Array:
    """``x & y`` of booleans or integers."""


@nondifferentiable(np.bitwise_or, scalar="bitwise_or")
def bitwise_or(x: Array, y: Array) -> Array:
    """``x | y`` of booleans or integers."""


@nondifferentiable(np.bitwise_xor, scalar="bitwise_xor")
def bitwise_xor(x: Array, y: Array) -> Array:
    """``x ^ y`` of booleans or integers."""


@nondifferentiable(np.invert, scalar="invert")
def invert(x: Array) -> Array:
    """``~x`` of booleans or integers."""
