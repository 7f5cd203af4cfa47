"""The subjects of the laws: an operation at a point, and all the points at which we try it.

The library's own cases, one row for each of its operations, are in ``tests/cases``. They are not
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
    """An operation at a point.

    Attributes:
        name: for reports: the operation, and how it is called.
        f: a function of the differentiable arrays only. It holds its constants.
        arrays: the point, float64.
        analytic: whether f and its rules accept complex numbers and extend to them analytically.
            If so the laws use a complex step, else central differences.
        polymorphic: whether f takes ndarrays and then returns an ndarray, as every primitive does.
        keeps_dtype: whether float32 in gives float32 out.
        takes_numbers: whether a Python number may stand for a 0-d input.
        second_order: whether the laws also differentiate the gradient.
        magnitude: a lower bound for the size of the numbers inside f. Needed where f or a
            gradient is small because large numbers cancel.
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
    """An operation with all its cases and tests.

    Attributes:
        name: for reports.
        cases: makes its cases from random numbers. The laws must hold for each.
        tests: functions that raise an exception if something else is wrong, such as the
            gradient that is documented for a kink.
        primitive: the primitive whose rules :mod:`~tinygrad_rnn.testing.mutants` breaks. None for
            a function without a rule of its own.
    """

    name: str
    cases: Callable[[np.random.Generator], Iterable[Case]]
    tests: Sequence[Callable[[], object]] = ()
    primitive: Primitive | None = None

    def broken_test(self) -> Exception | None:
        """The exception of the first test that fails; None if all pass."""
        for test in self.tests:
            try:
                test()
            except Exception as error:
                return error
        return None


__all__ = ["Case", "Subject"]
