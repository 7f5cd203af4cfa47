"""The values of a step, and what the compiler asks of them.

Every value is a :class:`Var`. Its ``level`` says when it can be known: before the loop and the
same at every step (CONSTANT), before the loop and of every step another (SEQUENCE), or only
within the loop, since it depends on the carry (LOOP).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Primitive, table
from ..ops.indexing import is_basic, parts_of

CONSTANT, SEQUENCE, LOOP = 0, 1, 2
#: The dtypes that BLAS and fast ufuncs know.
dense = frozenset({"float32", "float64"})

#: Parts laid side by side into zeros: a sum of ``place``, without the zeros and the sum.
join = Primitive("join", lambda *parts, indices, shape: _join(parts, indices, shape), None)

#: An array of one number: what a rule of the compiler itself brings.
filled = Primitive("filled", np.full, None)


def _join(parts: Sequence[Any], indices: Sequence[Any], shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, np.result_type(*parts))
    for part, index in zip(parts, indices, strict=True):
        out[index] = part
    return out


class Var:
    """A value of a step: an input of the loop (``op`` is None) or what an operation gives."""

    __slots__ = ("args", "dtype", "keywords", "label", "level", "number", "op", "shape")

    def __init__(
        self,
        number: int,
        op: Primitive | None,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        level: int,
    ):
        self.number = number
        self.op = op
        self.args = args
        self.keywords = keywords
        self.shape = shape
        self.dtype = dtype
        self.level = level
        #: What the listing calls it: a name, another loop's value that it is, or None.
        self.label: str | Var | None = None

    @property
    def inputs(self) -> list[Var]:
        return [x for x in self.args if type(x) is Var]

    @property
    def is_view(self) -> bool:
        """Whether it costs nothing to make it again from its input."""
        # The compiler keeps its arrays contiguous, so that reshaping them copies nothing.
        return self.op is not None and (
            self.op is table["reshape"] or self.op.is_view(self.keywords) is True
        )

    def __repr__(self) -> str:
        name = "input" if self.op is None else self.op.name
        return f"<v{self.number} {name} {self.shape} level {self.level}>"


def level(x: Any) -> int:
    """When an operand is known; a Python scalar always is."""
    return x.level if type(x) is Var else CONSTANT


def by_level(x: Any, y: Any) -> tuple[Any, Any]:
    """The two, that of the higher level first."""
    return (x, y) if level(x) >= level(y) else (y, x)


def is_elementwise(v: Var) -> bool:
    """Whether v is what an elementwise function of NumPy gives, which writes into an array."""
    return (
        v.op is not None and isinstance(v.op.forward, np.ufunc) and v.op.forward.signature is None
    )


def is_float(x: Any) -> bool:
    """Whether an operand is real-valued, or a number that takes the dtype of the other one."""
    return x.dtype.kind == "f" if type(x) is Var else type(x) is not bool


__all__ = [
    "CONSTANT",
    "LOOP",
    "SEQUENCE",
    "Var",
    "by_level",
    "dense",
    "filled",
    "is_basic",
    "is_elementwise",
    "is_float",
    "join",
    "level",
    "parts_of",
]
