"""Remember what depends on the constants of a program alone: packed matrices, transposes, results.

The weights are the same arrays at every call until the optimiser binds new ones. So this work is
done once for given arrays, and dropped when one of the arrays is freed.

An array is recognised by identity, so its numbers must not change. Only read-only arrays are
remembered: those of Tensors, and views of them. A view is a new object at each call, so a view is
recognised by its owner and its layout. For any other array the work is done at every call.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from numpy import ndarray

#: The most sets of constants that one program remembers: several layers may share a plan.
MOST = 8


class Prepared:
    """What was computed from a set of constants.

    Args:
        memory: the constant memory, with packed matrices and intermediate values.
        constants: the constants.
        laid_out: the constants as contiguous arrays.
        fixed: arrays that the code reads after the constants.
        once: results that depend on the constants alone.
    """

    __slots__ = ("_copies", "_fixed", "_memory", "_of", "once")

    def __init__(
        self,
        memory: ndarray,
        constants: Sequence[ndarray],
        laid_out: Sequence[ndarray],
        fixed: Sequence[ndarray],
        once: Sequence[ndarray],
    ):
        self._memory = memory
        # A contiguous constant is not held here: it could never be freed, and the weak references
        # would never report it. Only the contiguous copies of others are held.
        copies = [None if y is x else y for x, y in zip(constants, laid_out, strict=True)]
        self._copies = copies if any(y is not None for y in copies) else None
        self._fixed = fixed
        self._of: tuple[tuple[weakref.ref[ndarray], Any], ...] = ()
        self.once = once

    def hold_weakly(self, constants: Sequence[ndarray], dropped: Callable[[Any], None]) -> None:
        """Hold weak references to the constants; call ``dropped`` when one of them is freed."""
        self._of = tuple(
            [
                (weakref.ref(_owner(x), dropped), None if x.base is None else _layout(x))
                for x in constants
            ]
        )

    def is_of(self, constants: Sequence[ndarray]) -> bool:
        """Whether it was computed from these arrays, and nobody can have written into them."""
        # The address of a freed array may be used again, but a weak reference does not come back to
        # life.
        for x, (held, layout) in zip(constants, self._of, strict=True):
            owner = held()
            if layout is None:
                if owner is not x:
                    return False
            elif owner is None or owner is not x.base or _layout(x) != layout:
                return False
            # Read-only when it was remembered; its user may have made it writeable since.
            if owner.flags.writeable:
                return False
        return True

    @property
    def alive(self) -> bool:
        return all(held() is not None for held, _ in self._of)

    def with_(self, constants: Sequence[ndarray]) -> list[ndarray]:
        """The arrays that the code reads, in its order."""
        if self._copies is not None:
            pairs = zip(constants, self._copies, strict=True)
            constants = [x if y is None else y for x, y in pairs]
        return [self._memory, *constants, *self._fixed, *self.once]


class Remembered:
    """The results for the latest sets of constants; all threads share it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant, since a constant may be freed while it is held
        self._prepared: tuple[Prepared, ...] = ()

    def of(self, constants: Sequence[ndarray]) -> Prepared | None:
        # No lock: the tuple is replaced as a whole, and never changed.
        for prepared in self._prepared:
            if prepared.is_of(constants):
                return prepared
        return None

    def add(self, prepared: Prepared, constants: Sequence[ndarray]) -> None:
        """Remember results until one of their constants is freed. These must be read-only."""
        # Weakly here too, so that a parameter's callback does not keep a plan alive.
        prepared.hold_weakly(constants, functools.partial(_clean, weakref.ref(self)))
        with self._lock:
            self._prepared = (prepared, *self._alive()[: MOST - 1])

    def clean(self) -> None:
        """Drop the results of constants that were freed."""
        with self._lock:
            self._prepared = self._alive()

    def _alive(self) -> tuple[Prepared, ...]:
        return tuple([x for x in self._prepared if x.alive])


def _clean(remembered: weakref.ref[Remembered], _: Any) -> None:
    found = remembered()
    if found is not None:
        found.clean()


def is_read_only(x: ndarray) -> bool:
    """Whether nobody can write into an array: it and its owner are read-only, as Tensors' are."""
    # A read-only view of writeable memory is not enough: others can write into that memory. Nor is
    # an array without memory of its own, since its memory is in unknown hands.
    owner = _owner(x)
    return (
        not x.flags.writeable
        and type(owner) is ndarray
        and owner.flags.owndata
        and not owner.flags.writeable
    )


def _owner(x: ndarray) -> Any:
    """The array that owns the memory of x."""
    return x if x.base is None else x.base


def _layout(x: ndarray) -> Any:
    """The address, shape and strides of an array."""
    return x.__array_interface__["data"][0], x.shape, x.strides


__all__ = ["Prepared", "Remembered", "is_read_only"]
