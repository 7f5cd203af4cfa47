"""Kinks: points at which a function has several slopes, and a rule has to choose one.

At a kink (relu at 0, the maximum of equal numbers, clip at its bounds) the slopes behind and ahead
differ. A central difference measures their mean, which no rule has to return. A rule may return
any *subgradient*: a number between the slopes, for every element alone and along every direction.
For relu at 0, any number from 0 to 1 is right. For the maximum of two equal numbers, (1, 0),
(1/2, 1/2) and (0, 1) are right, but (1, 1) is not.

Source: Clarke, "Optimization and Nonsmooth Analysis" (1983), chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy import ndarray

_ulp = float(np.finfo(np.float64).eps)


class Kink(NamedTuple):
    """A derivative that a central difference cannot judge, since the function has a kink there.

    Attributes:
        input: the number of the input.
        element: the element of the input.
        output_element: the element of the output.
        analytic: the gradient's value.
        behind, ahead: the slopes on both sides.
    """

    input: int
    element: tuple[int, ...]
    output_element: tuple[int, ...]
    analytic: float
    behind: float
    ahead: float

    def __str__(self) -> str:
        return (
            f"input {self.input} at element {self.element}: the slope is {self.behind:.6g} behind "
            f"and {self.ahead:.6g} ahead, the gradient says {self.analytic:.6g}"
        )


class Subgradient(int):
    """The result of ``gradcheck`` if the inputs lie on kinks and all subgradients are right.

    It equals True. Printed, it shows the slopes.

    Attributes:
        kinks: every :class:`Kink` among the derivatives.
    """

    kinks: tuple[Kink, ...]

    def __new__(cls, kinks: Sequence[Kink]) -> Subgradient:
        self = super().__new__(cls, 1)
        self.kinks = tuple(kinks)
        return self

    def __repr__(self) -> str:
        most = 5
        lines = [f"  {kink}" for kink in self.kinks[:most]]
        if len(self.kinks) > most:
            lines.append(f"  and {len(self.kinks) - most} more")
        return "\n".join(
            ["True: the gradient is right; at a kink it is a right subgradient", *lines]
        )

    __str__ = __repr__


class Slopes(NamedTuple):
    """The slopes (m,) behind and ahead of a point, and where f has a kink or jumps."""

    behind: ndarray
    ahead: ndarray
    kinked: ndarray
    jumps: ndarray


def slopes(f: Callable[[float], ndarray], step: float, size: float) -> Slopes:
    """The slopes of a function of one number, at 0.

    As the step shrinks, the gap between the slopes behind and ahead shrinks where f is smooth,
    stays at a kink, and grows at a jump.

    Args:
        f: returns a vector (m,).
        step: the larger of the two steps; the other is an eighth of it.
        size: a lower bound for the numbers inside f: differences below their rounding are noise.
    """
    here = f(0.0)
    measured = []
    for h in (step, step / 8):
        behind, ahead = f(-h), f(h)
        largest = np.maximum(np.maximum(np.abs(behind), np.abs(ahead)), np.abs(here))
        rounding = 16 * _ulp * np.maximum(largest, size) / h
        measured.append(((here - behind) / h, (ahead - here) / h, rounding))
    # What the gap between the slopes does when the step shrinks to an eighth:
    #
    #     smooth   the gap is f'' h, and shrinks to an eighth
    #     kink     the gap stays, and so does each slope
    #     jump     each slope is (size of the jump) / h, and grows eightfold
    (behind, ahead, coarse), (near_behind, near_ahead, rounding) = measured
    apart, near_apart = np.abs(ahead - behind), np.abs(near_ahead - near_behind)
    moved = np.maximum(np.abs(behind - near_behind), np.abs(ahead - near_ahead))
    differ = near_apart > 1e-2 * (np.abs(ahead) + np.abs(behind)) + 2 * rounding
    kinked = differ & (near_apart > 0.5 * apart) & (moved <= 0.1 * apart + rounding)
    return Slopes(behind, ahead, kinked, differ & (near_apart > 4 * apart) & (apart > 2 * coarse))


def is_between(value: ndarray, a: ndarray, b: ndarray) -> ndarray:
    """Whether a value lies between two slopes, up to the error of a difference."""
    slack = 1e-3 * (np.abs(a) + np.abs(b))
    inside: ndarray = (np.minimum(a, b) - slack <= value) & (value <= np.maximum(a, b) + slack)
    return inside


def along_directions(
    f: Callable[..., ndarray],
    arrays: Sequence[ndarray],
    gradients: Sequence[ndarray],
    kinked: Sequence[ndarray],
    step: float,
) -> ndarray:
    """Which outputs have right subgradients along random directions too.

    We measure the slopes of f along a direction d at several points nearby. ``g . d`` has to lie
    between the smallest and the largest of them.

    Args:
        f: returns a vector (m,).
        arrays: the point.
        gradients: for every input (m, n), the gradients that the rules return.
        kinked: for every input (n,), the elements along which some output has a kink.
        step: the step of the differences.

    Returns:
        (m,), False where some direction shows that the gradient is not a subgradient.
    """
    rng = np.random.default_rng(0)
    # Six random directions: a wrong subgradient can be right along one of them by chance.
    fine: ndarray = np.ones(len(gradients[0]), bool)
    here = f(*arrays)
    for _ in range(6):
        d = [np.where(k, rng.standard_normal(k.size), 0.0) for k in kinked]
        claimed = sum(g @ v for g, v in zip(gradients, d, strict=True))

        def moved(h: float, start: Sequence[ndarray] = arrays, d: Sequence[ndarray] = d) -> ndarray:
            return f(*(x + h * v.reshape(x.shape) for x, v in zip(start, d, strict=True)))

        # The slopes at the kink itself, and on 16 smooth pieces around it. By Clarke's definition
        # their limits span the subgradients.
        measured = [(moved(step) - here) / step, (here - moved(-step)) / step]
        for _ in range(16):
            near = [
                x + 50 * step * np.where(k, rng.standard_normal(k.size), 0.0).reshape(x.shape)
                for x, k in zip(arrays, kinked, strict=True)
            ]
            measured.append((moved(step, near) - moved(-step, near)) / (2 * step))
        low, high = np.min(measured, 0), np.max(measured, 0)
        slack = 1e-2 * (np.abs(low) + np.abs(high)) + 32 * _ulp * np.abs(here) / step
        fine &= (low - slack <= claimed) & (claimed <= high + slack)
    return fine


__all__ = ["Kink", "Slopes", "Subgradient", "along_directions", "is_between", "slopes"]
