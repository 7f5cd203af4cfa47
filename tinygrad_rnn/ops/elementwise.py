"""Operations that act on each element alone, and broadcast.

A rule is one line if the mathematics is one line. Its arguments are the cotangent ``g`` of the
output, the output, and the inputs. Rules use these same operations. On ndarrays they are a fast
backward pass; on Tensors they are one that can be differentiated again. They ignore broadcasting:
the sweep sums their results back to each input's shape.

Every function here takes Tensors, ndarrays, nested lists and Python scalars, in any mix that
broadcasts. It returns a Tensor if one of them is a Tensor, else an ndarray. It raises ValueError if
the shapes do not broadcast, and TypeError if an argument is not real.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import OUT, Argument, Array, Value, elementwise, raise_as, same
from .logic import equal, greater, greater_equal, less, less_equal, sign

__all__ = [
    "abs",
    "add",
    "clip",
    "cos",
    "divide",
    "exp",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "positive",
    "power",
    "relu",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "subtract",
    "tanh",
    "where",
]

# ── arithmetic ───────────────────────────────────────────────────────────────────────────


@elementwise(np.add, same, same, linear="all", symbol="+", scalar="add", onnx="Add")
def add(x: Array, y: Array) -> Array:
    """``z = x + y``; dz/dx = dz/dy = 1.

    >>> add([1.0, 2.0], 3.0)
    array([4., 5.])
    """


@elementwise(
    np.subtract,
    same,
    lambda g, z, x, y: -g,
    linear="all",
    symbol="-",
    sign="−",
    scalar="subtract",
    onnx="Sub",
)
def subtract(x: Array, y: Array) -> Array:
    """``z = x - y``; dz/dx = 1, dz/dy = -1.

    >>> subtract([1.0, 2.0], 3.0)
    array([-2., -1.])
    """


@elementwise(
    np.multiply,
    lambda g, z, x, y: g * y,
    lambda g, z, x, y: g * x,
    linear="each",
    symbol="*",
    sign="×",
    scalar="multiply",
    onnx="Mul",
)
def multiply(x: Array, y: Array) -> Array:
    """``z = x y``; dz/dx = y, dz/dy = x.

    >>> multiply([1.0, 2.0], 3.0)
    array([3., 6.])
    """


@elementwise(
    np.divide,
    lambda g, z, x, y: g / y,
    lambda g, z, x, y: -g * z / y,
    linear=((0,),),
    symbol="/",
    sign="÷",
    scalar="divide",
    onnx="Div",
)
def divide(x: Array, y: Array) -> Array:
    """``z = x / y``; dz/dx = 1 / y, dz/dy = -x / y^2 = -z / y.

    >>> divide([1.0, 2.0], 4.0)
    array([0.25, 0.5 ])
    """


def _power_of_base(g: Array, z: Array, x: Array, y: Array) -> Array:
    # At y = 0 the slope is 0, but at x = 0 the formula gives 0 * Inf = NaN. Replace it only there:
    # elsewhere the slope must still depend on y, for second derivatives.
    if isinstance(y, (int, float)):
        return g * (y * power(x, y - 1)) if y != 0 else g * 0
    return g * (y * power(x, where(equal(x, 0) * equal(y, 0), 1, y - 1)))


def _power_of_exponent(g: Array, z: Array, x: Array, y: Array) -> Array:
    # 0 ** y is constant for y >= 0: its slope is 0, but 0 * log(0) is NaN.
    flat = equal(x, 0) * greater_equal(y, 0)
    return g * z * log(where(flat, 1, x))


@elementwise(np.power, _power_of_base, _power_of_exponent, sign="^", scalar="power", onnx="Pow")
def power(x: Array, y: Array) -> Array:
    """``z = x^y``; dz/dx = y x^(y-1), dz/dy = z log x (0 at x = 0 for y >= 0).

    >>> power([1.0, 2.0], 3)
    array([1., 8.])
    """


@elementwise(np.positive, same, linear="all", moves=True, scalar="positive", onnx="Identity")
def positive(x: Array) -> Array:
    """``y = +x``; dy/dx = 1.

    >>> positive([1.0, -2.0])
    array([ 1., -2.])
    """


@elementwise(
    np.negative,
    lambda g, y, x: -g,
    linear="all",
    symbol="-",
    sign="−",
    scalar="negative",
    onnx="Neg",
)
def negative(x: Array) -> Array:
    """``y = -x``; dy/dx = -1.

    >>> negative([1.0, -2.0])
    array([-1.,  2.])
    """


@elementwise(np.abs, lambda g, y, x: g * sign(x), scalar="absolute", onnx="Abs")
def abs(x: Array) -> Array:
    """``y = |x|``; dy/dx = sign x, and 0 at 0.

    >>> abs([1.0, -2.0])
    array([1., 2.])
    """


# ── exponentials, roots and circular functions ───────────────────────────────────────────


@elementwise(np.exp, lambda g, y, x: g * y, scalar="exp", onnx="Exp")
def exp(x: Array) -> Array:
    """``y = e^x``; dy/dx = y.

    >>> exp([0.0])
    array([1.])
    """


@elementwise(np.log, lambda g, y, x: g / x, scalar="log", onnx="Log")
def log(x: Array) -> Array:
    """``y = ln x``; dy/dx = 1 / x.

    >>> log([1.0])
    array([0.])
    """


@elementwise(np.log1p, lambda g, y, x: g / (1 + x), scalar="log1p")
def log1p(x: Array) -> Array:
    """``y = ln(1 + x)``, accurate for small x; dy/dx = 1 / (1 + x).

    >>> log1p([1e-20])
    array([1.e-20])
    """


@elementwise(np.sqrt, lambda g, y, x: g * 0.5 / y, scalar="sqrt", onnx="Sqrt")
def sqrt(x: Array) -> Array:
    """``y = x^(1/2)``; dy/dx = 1 / (2 y).

    >>> sqrt([4.0])
    array([2.])
    """


@elementwise(np.square, lambda g, y, x: g * (2 * x), scalar="square")
def square(x: Array) -> Array:
    """``y = x^2``; dy/dx = 2 x.

    >>> square([3.0])
    array([9.])
    """


@elementwise(np.sin, lambda g, y, x: g * cos(x), range=(-1, 1), scalar="sin", onnx="Sin")
def sin(x: Array) -> Array:
    """``y = sin x`` (x in radians); dy/dx = cos x.

    >>> sin([0.0])
    array([0.])
    """


@elementwise(np.cos, lambda g, y, x: -g * sin(x), range=(-1, 1), scalar="cos", onnx="Cos")
def cos(x: Array) -> Array:
    """``y = cos x`` (x in radians); dy/dx = -sin x.

    >>> cos([0.0])
    array([1.])
    """


# ── what networks squash with ────────────────────────────────────────────────────────────

# 1 and the largest x with a finite exp, rounded down. They are arrays, because NumPy takes longer
# to convert a Python number than to multiply a hundred elements.
_one: dict[Any, Any] = {np.dtype(t): np.array(1, t) for t in "efdgFDG"}
exp_limit: dict[Any, Any] = {
    np.dtype(t): np.array(11 if t == "e" else 88 if t in "fF" else 709, t) for t in "efdgFDG"
}


@elementwise(
    np.tanh, lambda g, y, x: g * (_one[y.dtype] - y * y), range=(-1, 1), scalar="tanh", onnx="Tanh"
)
def tanh(x: Array) -> Array:
    """``y = tanh x``, between -1 and 1; dy/dx = 1 - y^2.

    The derivative is 1 at 0 and vanishes on both sides: a saturated unit passes no gradient.

    >>> tanh([0.0, 20.0])
    array([0., 1.])
    """


def _sigmoid_written_out(x: Array) -> Array:
    return 1.0 / (exp(-x) + 1.0)


@elementwise(
    lambda g, y, x: g * (y * (_one[y.dtype] - y)),
    written_out=_sigmoid_written_out,
    range=(0, 1),
    sign="σ",
    scalar="sigmoid",
    onnx="Sigmoid",
)
def sigmoid(x: Array) -> Array:
    """``y = 1 / (1 + e^-x)``, between 0 and 1; dy/dx = y (1 - y).

    Accurate to 1.5 units in the last place on both tails. The cheaper ``tanh(x / 2) / 2 + 1 / 2``
    returns exactly 0 below x = -40. It is analytic, so it accepts a complex step.

    >>> sigmoid([0.0, -1000.0]) < 0.6
    array([ True,  True])
    """
    if x.dtype not in _one:  # integers, or another byte order
        x = x.astype(x.dtype.newbyteorder("=") if x.dtype.kind in "fc" else np.float64)
    if x.dtype.kind == "c":  # a complex e^-x that overflows is NaN
        return np.reciprocal(np.exp(np.minimum(-x, exp_limit[x.dtype])) + _one[x.dtype])
    with np.errstate(over="ignore"):  # e^-x = Inf gives 0, which is right
        y = np.exp(-x)
    return np.divide(_one[x.dtype], y + _one[x.dtype])


@elementwise(lambda g, y, x: g * greater(x, 0), written_out=lambda x: maximum(x, 0.0), onnx="Relu")
def relu(x: Array) -> Array:
    """``y = max(x, 0)``; dy/dx = 1 where x > 0, else 0 (also at 0).

    >>> relu([-1.0, 2.0])
    array([0., 2.])
    """
    return np.maximum(x, 0)


@elementwise(
    lambda g, y, x: g * sigmoid(x),
    written_out=lambda x: maximum(x, 0.0) + log1p(exp(-abs(x))),
    onnx="Softplus",
)
def softplus(x: Array) -> Array:
    """``y = ln(1 + e^x)``, a smooth relu; dy/dx = sigmoid(x). Finite for every finite x.

    >>> softplus([-1000.0, 1000.0])
    array([   0., 1000.])
    """
    # Use the smaller of e^x and e^-x. Written without |x|, which is not analytic.
    positive = np.real(x) > 0
    return np.where(positive, x, 0) + np.log1p(np.exp(np.where(positive, -x, x)))


# ── choices ──────────────────────────────────────────────────────────────────────────────


@elementwise(
    np.maximum,
    lambda g, z, x, y: g * greater(x, y) + g * 0.5 * equal(x, y),
    lambda g, z, x, y: g * less(x, y) + g * 0.5 * equal(x, y),
    scalar="maximum",
    onnx="Max",
)
def maximum(x: Array, y: Array) -> Array:
    """``z = max(x, y)`` for each element. The larger one gets the gradient; ties share it.

    >>> maximum([1.0, 5.0], 3.0)
    array([3., 5.])
    """


@elementwise(
    np.minimum,
    lambda g, z, x, y: g * less(x, y) + g * 0.5 * equal(x, y),
    lambda g, z, x, y: g * greater(x, y) + g * 0.5 * equal(x, y),
    scalar="minimum",
    onnx="Min",
)
def minimum(x: Array, y: Array) -> Array:
    """``z = min(x, y)`` for each element. The smaller one gets the gradient; ties share it.

    >>> minimum([1.0, 5.0], 3.0)
    array([1., 3.])
    """


def _clip_rule(g: Array, y: Array, x: Array, a_min: Any, a_max: Any) -> Array:
    if a_min is not None:
        g = g * greater_equal(x, a_min)
    if a_max is not None:
        g = g * less_equal(x, a_max)
    return g


def _clip_written_out(x: Array, a_min: Any, a_max: Any) -> Array:
    x = x if a_min is None else maximum(x, a_min)
    return x if a_max is None else minimum(x, a_max)


@elementwise(_clip_rule, written_out=_clip_written_out)
def _clip(x: Array, a_min: Any = None, a_max: Any = None) -> Array:
    if a_min is not None:
        x = np.maximum(x, a_min)
    if a_max is not None:
        x = np.minimum(x, a_max)
    return np.array(x) if a_min is None and a_max is None else x


def clip(x: Array, a_min: Array = None, a_max: Array = None) -> Array:
    """``y = min(max(x, a_min), a_max)``; dy/dx = 1 between the bounds (both included), else 0.

    Args:
        x: any shape.
        a_min, a_max: bounds that broadcast with x; None for no bound. A Tensor as a bound gets
            the gradient of the elements beyond it.

    >>> clip([-1.0, 0.5, 7.0], 0.0, 1.0)
    array([0. , 0.5, 1. ])
    """
    try:
        if not isinstance(a_min, Value) and not isinstance(a_max, Value):
            return _clip(x, a_min, a_max)
        if a_min is not None:
            x = where(less(x, a_min), a_min, x)
        return x if a_max is None else where(greater(x, a_max), a_max, x)
    except (ValueError, TypeError, IndexError) as error:
        raise_as("clip", error)


@elementwise(
    None,
    lambda g, z, condition, x, y: where(condition, g, 0),
    lambda g, z, condition, x, y: where(condition, 0, g),
    linear=((1, 2),),
    scalar="where",
    emit=lambda constants: [
        (np.copyto, OUT, Argument(2)),
        (np.copyto, OUT, Argument(1), "same_kind", Argument(0)),
    ],
    onnx="Where",
)
def where(condition: Array, x: Array, y: Array) -> Array:
    """``z = x where condition else y``; each gets the gradient of its own elements in z.

    >>> where([True, False], 1.0, 2.0)
    array([1., 2.])
    """
    return np.where(condition, x, y)
