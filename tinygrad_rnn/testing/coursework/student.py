"""Calling a student's forward and backward, and reading their results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ...graph import Value


class Student:
    """A student's two functions.

    Args:
        forward: ``forward(*arrays) -> (output, ..., cache)``.
        backward: ``backward(gradient of each output, ..., cache) -> gradients``.
        names: the names of forward's arguments.
    """

    def __init__(
        self, forward: Callable[..., Any], backward: Callable[..., Any], names: Sequence[str]
    ):
        self._forward, self._backward, self.names = forward, backward, tuple(names)

    def forward(self, arrays: Sequence[ndarray]) -> tuple[list[ndarray], Any]:
        """The outputs and the cache.

        Raises:
            AssertionError: the function raises, writes into its arguments or returns no cache.
        """
        copies = [np.array(x) for x in arrays]
        try:
            returned = self._forward(*copies)
        except Exception as error:
            raise AssertionError(
                f"check_bptt: forward raises {type(error).__name__}: {error}\n"
                f"  it was given {self._shapes(arrays)}"
            ) from error
        if not isinstance(returned, (tuple, list)) or len(returned) < 2:
            raise AssertionError(
                "check_bptt: expected forward to return (output, ..., cache), where the cache "
                f"holds all that backward needs; got {_shown(returned)}"
            )
        outputs = [_array(y) for y in returned[:-1]]
        wrong = [y for y in outputs if y is None or y.dtype.kind != "f"]
        if wrong:
            raise AssertionError(
                "check_bptt: expected forward to return arrays of floats before the cache, got "
                f"{', '.join(_shown(y) for y in returned[:-1])}"
            )
        return [y for y in outputs if y is not None], returned[-1]

    def backward(
        self, gradients: Sequence[ndarray], cache: Any, wanted: Sequence[str]
    ) -> dict[str, ndarray | None]:
        """The gradients by name; None if the function returned None for it.

        Args:
            gradients: the gradients of the outputs.
            cache: forward's last result.
            wanted: the arguments of forward that need a gradient.

        Raises:
            AssertionError: the function raises, or returns a wrong number of gradients.
        """
        copies = [np.array(g) for g in gradients]
        try:
            returned = self._backward(*copies, cache)
        except Exception as error:
            raise AssertionError(
                f"check_bptt: backward raises {type(error).__name__}: {error}\n  it was given the "
                f"gradients of the outputs, {', '.join(str(g.shape) for g in gradients)}, and the "
                "cache"
            ) from error
        expected = ", ".join(f"d{name}" for name in wanted)
        if isinstance(returned, dict):
            by_name = {str(k): v for k, v in returned.items()}
            by_name |= {k.removeprefix("d").removeprefix("_"): v for k, v in by_name.items()}
            missing = [name for name in wanted if name not in by_name]
            if missing:
                raise AssertionError(
                    f"check_bptt: expected backward to return gradients called {expected}, got "
                    f"{', '.join(map(str, returned))}"
                )
            values = [by_name[name] for name in wanted]
        else:
            values = list(returned) if isinstance(returned, (tuple, list)) else [returned]
            if len(values) == len(self.names) > len(wanted):  # some belong to integer arguments
                values = [v for n, v in zip(self.names, values, strict=True) if n in wanted]
        if len(values) != len(wanted):
            raise AssertionError(
                f"check_bptt: expected backward to return {len(wanted)} gradients, {expected}, "
                f"got {len(values)}"
            )
        return {name: _array(v) for name, v in zip(wanted, values, strict=True)}

    def gradients_taken(self) -> int | None:
        """How many gradients of outputs backward takes; None if its signature does not say."""
        try:
            parameters = list(inspect.signature(self._backward).parameters.values())
        except (TypeError, ValueError):
            return None
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return None
        return len([p for p in parameters if p.default is p.empty]) - 1

    def _shapes(self, arrays: Sequence[ndarray]) -> str:
        return ", ".join(f"{n} {x.shape}" for n, x in zip(self.names, arrays, strict=True))


def _array(x: Any) -> ndarray | None:
    if x is None:
        return None
    array = np.asarray(x._array if isinstance(x, Value) else x)
    return array if array.dtype.kind in "fiub" else None


def _shown(x: Any) -> str:
    if isinstance(x, ndarray):
        return f"an array {x.shape} of {x.dtype}"
    return type(x).__name__


__all__ = ["Student"]
