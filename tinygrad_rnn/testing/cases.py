"""What the laws are about: an operation at a point, and all that an operation is tried on.

The library's own cases, a row for each of its operations, stand in ``tests/cases``: they are no
part of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Primitive


@dataclass(frozen=True)
class Case:
    """An operation at a point: what the laws are about.

    Attributes:
        name: for reports, the operation and how it is called.
        f: a function of the differentiable arrays only; constants are bound in it.
        arrays: the point, float64.
        analytic: whether f and its rules may be given complex numbers, and are then the same
            functions: they are differentiated by a complex step, else by central differences.
        polymorphic: whether f takes ndarrays and then gives an ndarray, as every primitive does.
        keeps_dtype: whether float32 in gives float32 out.
        takes_numbers: whether a Python number may stand for a 0-d input.
        second_order: whether the gradient is to be differentiated again.
        magnitude: how large numbers inside f are at least, where f or a gradient cancel to less.
    """

    name: str
    f: Callable[..., Any]
    arrays: tuple[ndarray, ...]
    analytic: bool = True
    polymorphic: bool = True
    keeps_dtype: bool = True
    takes_numbers: bool = True
    second_order: bool = True
    magnitude: float = 0.0


@dataclass(frozen=True)
class Subject:
    """An operation and everything it is tried on.

    Attributes:
        name: for reports.
        cases: its cases, filled with random numbers; the laws must hold for each.
        tests: functions that raise an exception where something else is wrong, such as the
            gradient that was agreed upon at a kink.
        primitive: the primitive whose rules :mod:`~tinygrad_rnn.testing.mutants` breaks; None for
            a function that has no rule of its own.
    """

    name: str
    cases: Callable[[np.random.Generator], Iterable[Case]]
    tests: Sequence[Callable[[], object]] = ()
    primitive: Primitive | None = None

    def broken_test(self) -> Exception | None:
        """What the first test that fails raises; None if all pass."""
        for test in self.tests:
            try:
                test()
            except Exception as error:
                return error
        return None


__all__ = ["Case", "Subject"]
