"""Derivatives without rules: differences of the function itself, and hints about a mismatch.

There are two ways to differentiate f along v without its rules:

    complex step          J v = Im f(x + i h v) / h            exact to rounding, f must be analytic
    central differences   J v = (f(x + h v) - f(x - h v)) / 2h   good to about 9 digits, any f

The complex step subtracts nothing, so h may be 1e-30 and no digit is lost.

Source: Squire and Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions",
SIAM Review 40 (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..backprop import sweep
from ..graph import Value, attach, leaf
from .kinks import Slopes, slopes

complex_step_size = 1e-30
difference_step = 1e-6
_ulp = float(np.finfo(np.float64).eps)


# ── evaluating and pulling back, on arrays of any kind ───────────────────────────────────


def live(array: ndarray) -> Value:
    """A leaf that holds this very array: not a copy, and complex if the array is."""
    return attach(array, leaf(array))


def value_of(y: Any) -> ndarray:
    """The array of a Tensor; anything else as an array."""
    return y._array if isinstance(y, Value) else np.asarray(y)


def evaluate(f: Callable[..., Any], arrays: Iterable[ndarray]) -> ndarray:
    """f's value on constants, complex ones included."""
    return value_of(f(*(attach(x, None) for x in arrays)))


def pull(
    f: Callable[..., Any], arrays: Sequence[ndarray], cotangent: ndarray
) -> tuple[ndarray, list[ndarray]]:
    """f's value and ``J' u`` for each input, computed by the library's own sweep.

    The sweep accepts complex arrays, so the rules too can be differentiated by a complex step.

    Raises:
        AssertionError: f's output is not a Tensor, or is not connected to the inputs.
    """
    inputs = [live(x) for x in arrays]
    y = f(*inputs)
    if not isinstance(y, Value):
        raise AssertionError(f"expected a Tensor from Tensors, got {type(y).__name__}")
    if y.node is None:
        raise AssertionError("no gradient: the output is not connected to the inputs")
    gradients = sweep({y.node: cotangent}, {x.node for x in inputs if x.node is not None})
    zeros = (np.zeros(x.shape, x.dtype) for x in arrays)
    return y._array, [
        gradients.get(x.node, zero) if x.node is not None else zero
        for x, zero in zip(inputs, zeros, strict=True)
    ]


def complex_step(
    f: Callable[..., ndarray], arrays: Sequence[ndarray], directions: Sequence[ndarray]
) -> ndarray:
    """``J v`` of an analytic function of arrays, exact to rounding."""
    h = complex_step_size
    stepped = f(*(x + 1j * (h * v) for x, v in zip(arrays, directions, strict=True)))
    directional: ndarray = np.imag(stepped) / h
    return directional


def central_difference(
    f: Callable[..., ndarray],
    arrays: Sequence[ndarray],
    directions: Sequence[ndarray],
    h: float = difference_step,
) -> ndarray:
    """``J v`` of any function of arrays that is smooth around this point."""
    ahead = f(*(x + h * v for x, v in zip(arrays, directions, strict=True)))
    behind = f(*(x - h * v for x, v in zip(arrays, directions, strict=True)))
    directional: ndarray = (ahead - behind) / (2 * h)
    return directional


def has_kink(
    f: Callable[..., ndarray], arrays: Sequence[ndarray], directions: Sequence[ndarray]
) -> bool:
    """Whether f has a kink here along the directions.

    Where f is smooth, the slopes behind and ahead approach each other as the step shrinks. At a
    kink they stay apart, so we compare them at two steps.
    """
    here = f(*arrays)
    gaps = []
    for h in (difference_step, difference_step / 8):
        ahead = (f(*(x + h * v for x, v in zip(arrays, directions, strict=True))) - here) / h
        behind = (here - f(*(x - h * v for x, v in zip(arrays, directions, strict=True)))) / h
        slope = np.abs(ahead) + np.abs(behind)
        gaps.append(np.abs(ahead - behind) > 1e-3 * slope + 64 * _ulp * np.abs(here) / h)
    return bool(np.any(gaps[0] & gaps[1]))


# ── all derivatives of one input, with an estimate of their error ────────────────────────


class NumericJacobian:
    """Central differences of f for every element of one input.

    Args:
        f: returns a vector (m,).
        arrays: the point.
        index: the number of the input, which has n elements.
        eps: the step for elements up to 1; larger elements get a proportional step.
        magnitude: a lower bound for the size of the numbers inside f, needed where they cancel.

    Attributes:
        values: (m, n), dy_i / dx_j.
        errors: (m, n), a bound for the rounding error of each value.
        scales: (m, n), the typical slope of f there: the larger of |values| and the secant over
            1000 steps. A tolerance relative to it also fits a small f such as 1e-7 x^2, whose
            small derivative must not pass for zero.
    """

    def __init__(
        self,
        f: Callable[..., ndarray],
        arrays: Sequence[ndarray],
        index: int,
        eps: float,
        magnitude: float = 0.0,
    ):
        self._f, self._arrays, self._index = f, list(arrays), index
        self._magnitude = magnitude
        x = self._arrays[index]
        here = self._at(0, 0.0)
        shape = (here.size, x.size)
        self.values, self.errors, self.scales = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        with np.errstate(all="ignore"):
            for j in range(x.size):
                h = eps * max(1.0, abs(float(x.flat[j])))
                self._column(j, here, h)

    def _at(self, j: int, step: float) -> ndarray:
        """f with element j of the input moved by a step."""
        moved = list(self._arrays)
        if self._arrays[self._index].size:
            x = moved[self._index] = self._arrays[self._index].copy()
            x.flat[j] += step
        return self._f(*moved)

    def _column(self, j: int, here: ndarray, h: float) -> None:
        ahead, behind = self._at(j, h), self._at(j, -h)
        fine = (ahead - behind) / (2 * h)
        size = np.maximum(np.abs(ahead), np.abs(behind))
        # A value of f of this size is rounded to about ulp * size, and the difference is divided by
        # 2 h. The factor 8 leaves room for the rounding inside f.
        rounding = 8 * _ulp * np.maximum(size, self._magnitude) / h
        far = 1000 * h
        far_ahead, far_behind = self._at(j, far), self._at(j, -far)
        secant = np.maximum(np.abs(far_ahead - here), np.abs(far_behind - here)) / far
        scale = np.fmax(np.abs(fine), np.where(np.isfinite(secant), secant, 0))
        value, error = fine, rounding
        # Where f is large and hardly changes, a short step measures only rounding. Take a long
        # step there, and extrapolate (Richardson) to make it as exact.
        lost = rounding > 1e-2 * scale
        if lost.any():
            # Richardson: the error of a central difference is c h^2, so (4 D(h/2) - D(h)) / 3 has
            # none of that order.
            half = (self._at(j, far / 2) - self._at(j, -far / 2)) / far
            coarse = (4 * half - (far_ahead - far_behind) / (2 * far)) / 3
            lost &= np.isfinite(coarse)
            value = np.where(lost, coarse, fine)
            # The long steps round far / h times less. The extrapolation multiplies that by 3 at
            # most: 4/3 of twice as much, and 1/3.
            error = np.where(lost, 4 * rounding * h / far, rounding)
        self.values[:, j], self.errors[:, j], self.scales[:, j] = value, error, scale

    def slopes(self, j: int, eps: float) -> Slopes:
        """The slopes (m,) behind and ahead of element j, and where the function has a kink."""
        h = eps * max(1.0, abs(float(self._arrays[self._index].flat[j])))
        return slopes(lambda step: self._at(j, step), h, self._magnitude)


# ── reading a mismatch ───────────────────────────────────────────────────────────────────


def mismatch(
    analytic: ndarray,
    numeric: ndarray,
    wrong: ndarray,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    slopes: Callable[[int], Slopes] | None = None,
    at: tuple[ndarray, ndarray] | None = None,
) -> str:
    """Describe how two Jacobians differ: the worst element, its numbers, and a hint.

    Args:
        analytic, numeric: (m, n), m elements of the output and n of the input.
        wrong: (m, n), which derivatives differ by more than the tolerance; at least one does.
        input_shape, output_shape: the shapes whose elements are the columns and the rows.
        slopes: returns the slopes on both sides of an element of the input.
        at: the input and the output; they help to guess the cause.
    """
    with np.errstate(all="ignore"):
        i, j = _worst(analytic, numeric, wrong)
    a, n = float(analytic[i, j]), float(numeric[i, j])
    seen_from = f", seen from element {place(i, output_shape)} of the output"
    lines = [
        f"worst at element {place(j, input_shape)} of the input"
        + (seen_from if output_shape else ""),
        f"  analytic  {a:.10g}",
        f"  numeric   {n:.10g}",
        f"  ratio     {a / n:.6g} (analytic / numeric)" if n else "  ratio     (numeric is 0)",
        f"  {int(wrong.sum())} of {wrong.size} derivatives differ",
    ]
    with np.errstate(all="ignore"):
        hint = _hint(analytic, numeric, wrong, input_shape, output_shape, i, j, slopes, at)
    if hint:
        lines.append(f"  hint: {hint}")
    return "\n".join(lines)


def _worst(analytic: ndarray, numeric: ndarray, wrong: ndarray) -> tuple[int, int]:
    """The worst derivative, by absolute and relative error.

    A derivative that is tiny beside the others (at a saturated unit, for example) says nothing
    about the mistake. It counts only if all wrong derivatives are tiny.
    """
    off = np.abs(analytic - numeric)
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    # Absolute times relative error: an absolute error alone finds the largest gradient, a relative
    # one alone finds noise next to zero.
    score = np.where(size > 0, off * (off / size), 0)
    score = np.where(np.isfinite(score), score, np.inf)
    finite = np.abs(numeric[np.isfinite(numeric)])
    telling = wrong & ~(np.abs(numeric) < 1e-3 * finite.max(initial=0))
    candidates = telling if telling.any() else wrong
    i, j = np.unravel_index(int(np.argmax(np.where(candidates, score, -1))), wrong.shape)
    return int(i), int(j)


def place(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index in an array of this shape of an element of the flat array."""
    return tuple(int(k) for k in np.unravel_index(flat, shape)) if shape else ()


def _hint(
    a: ndarray,
    n: ndarray,
    wrong: ndarray,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    i: int,
    j: int,
    slopes: Callable[[int], Slopes] | None,
    at: tuple[ndarray, ndarray] | None,
) -> str | None:
    """The kind of mistake that gives these numbers, if it is one of the usual ones."""
    if not np.isfinite(n).all():
        return "the function itself is not finite near this point; is it the edge of its domain?"
    if not np.isfinite(a).all():
        return "the analytic gradient is not finite; a division by zero, or the logarithm of zero?"
    if slopes is not None:
        behind, ahead, kinked, jumps = (part[i] for part in slopes(j))
        if kinked or jumps:
            return (
                f"a kink or a jump nearby: the slope is {behind:.6g} behind and {ahead:.6g} ahead; "
                + ("the gradient has to lie between; " if kinked else "")
                + "check at another point"
            )
    if not a.any():
        return (
            "the analytic gradient is zero everywhere; does a rule lose it, or is the graph cut by "
            "detach(), .data, .numpy() or no_grad()?"
        )
    largest = np.abs(n).max()
    if largest == 0:
        return "the function does not depend on this input, yet a gradient arrives"
    ratio = _constant_ratio(a, n, largest)
    # Into how many elements of the output a broadcast repeats one element of the input.
    repeats = math.prod(output_shape) / max(1, math.prod(input_shape))
    if ratio is not None:
        if abs(ratio + 1) < 1e-3:
            return "a constant ratio of -1: a sign is wrong"
        if repeats > 1 and abs(ratio * repeats - 1) < 1e-3:
            return (
                f"a constant ratio of 1/{repeats:.6g}, and this input is repeated {repeats:.6g} "
                "times: a mean instead of a sum over a broadcast axis?"
            )
        if abs(ratio - 2) < 1e-3:
            return "a constant ratio of 2: added twice, or a factor 1/2 missing?"
        return f"a constant ratio of {ratio:.6g}: is a factor missing, or one too many?"
    missing = _missing_derivative(a, n, at)
    if missing is not None:
        return missing
    if _transposed(a, n, largest, input_shape):
        return "the gradient is transposed: rows and columns are exchanged"
    if np.all(a[wrong] == 0) and len(a) > 1:
        lost_columns = np.all(a == 0, axis=0) & np.any(n != 0, axis=0)
        if repeats > 1 and not lost_columns.any():
            return (
                "right for some elements of the output and zero for the rest: is the sum over a "
                "broadcast axis missing?"
            )
        return "right where it is not zero: part of the gradient is lost"
    return None


def _constant_ratio(a: ndarray, n: ndarray, largest: float) -> float | None:
    telling = np.abs(n) > 1e-3 * largest
    ratios = a[telling] / n[telling]
    ratio = float(ratios.mean())
    rest = np.abs(a[~telling]) <= 2e-3 * largest * max(1.0, abs(ratio))
    same = np.ptp(ratios) <= 1e-3 * abs(ratio)
    return ratio if same and rest.all() else None


def _missing_derivative(a: ndarray, n: ndarray, at: tuple[ndarray, ndarray] | None) -> str | None:
    """The nonlinearity whose derivative is missing, for an elementwise function."""
    if at is None or at[0].shape != at[1].shape or at[1].size < 2:
        return None
    y = at[1].ravel()
    claimed, measured = np.diag(a), np.diag(n)
    if (a - np.diag(claimed)).any() or not claimed.any():
        return None
    factors = {"tanh": ("1 - y^2", 1 - y * y), "sigmoid": ("y (1 - y)", y * (1 - y))}
    for name, (formula, factor) in factors.items():
        size = np.abs(measured).max()
        if np.all(np.abs(claimed * factor - measured) <= 1e-3 * size):
            return f"the derivative of {name}, {formula}, is missing"
    return None


def _transposed(a: ndarray, n: ndarray, largest: float, shape: tuple[int, ...]) -> bool:
    turned = []
    if len(shape) >= 2 and shape[-1] == shape[-2]:
        turned.append(a.reshape(len(a), *shape).swapaxes(-1, -2).reshape(a.shape))
    if a.shape[0] == a.shape[1]:
        turned.append(a.T)
    return any(bool(np.all(np.abs(t - n) <= 1e-3 * largest)) for t in turned)
