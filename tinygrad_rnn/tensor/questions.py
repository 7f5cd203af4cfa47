"""NumPy's questions about elements, such as ``np.any(h > 0)``, within a step that is traced.

NumPy answers them from the numbers. A value of a step that is traced has none, so there the answer
is computed by operations, like any other value of the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import Value, python_scalars

Function = Callable[..., Any]


def is_without_numbers(x: Any) -> bool:
    """Whether x is a value of a traced step."""
    return isinstance(x, Value) and not isinstance(x._array, ndarray)


def any_of(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """``np.any``: whether some element is not 0."""
    return ops.greater(ops.sum(ops.not_equal(a, 0), axis, keepdims), 0)


def all_of(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """``np.all``: whether no element is 0. NaN is not 0."""
    return ops.equal(ops.sum(ops.equal(a, 0), axis, keepdims), 0)


def count_nonzero(a: Any, axis: Any, *, keepdims: bool = False) -> Any:
    """``np.count_nonzero`` along axes. Without an axis it is a number, which a step cannot have."""
    return ops.sum(ops.not_equal(a, 0), axis, keepdims)


def isposinf(x: Any) -> Any:
    return ops.equal(x, np.inf)


def isneginf(x: Any) -> Any:
    return ops.equal(x, -np.inf)


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """``np.isclose``: ``|a - b| <= atol + rtol |b|`` for a finite b, or ``a == b``."""
    # NumPy computes with Python numbers as float64 here.
    a, b = (np.asarray(x) if type(x) in python_scalars else x for x in (a, b))
    same, finite = ops.equal(a, b), ops.isfinite(b)
    # Not a - b where both are Inf: that would be NaN, and a warning.
    left, right = ops.where(same, 0, a), ops.where(same, 0, b)
    bound = ops.add(atol, ops.multiply(rtol, ops.where(finite, ops.abs(b), 0)))
    near = ops.logical_and(finite, ops.less_equal(ops.abs(ops.subtract(left, right)), bound))
    close = ops.logical_or(same, near)
    if equal_nan:
        close = ops.logical_or(close, ops.logical_and(ops.isnan(a), ops.isnan(b)))
    return close


def isin(element: Any, test_elements: Any, *, invert: bool = False) -> Any:
    """``np.isin``: whether each element is one of the others."""
    wanted = ops.reshape(test_elements, (-1,))
    found = any_of(ops.equal(ops.expand_dims(element, -1), wanted), -1)
    return ops.logical_not(found) if invert else found


#: The answers by operations, for values without numbers.
answers: dict[Function, Function] = {
    np.any: any_of,
    np.all: all_of,
    np.count_nonzero: count_nonzero,
    np.isposinf: isposinf,
    np.isneginf: isneginf,
    np.isclose: isclose,
    np.isin: isin,
}
#: The same for ``reduce`` of a ufunc.
reductions: dict[np.ufunc, Function] = {np.logical_or: any_of, np.logical_and: all_of}

__all__ = ["all_of", "answers", "any_of", "is_without_numbers", "reductions"]
