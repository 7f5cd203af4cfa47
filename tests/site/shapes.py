"""Which docstrings of public functions that take arrays do not tell their shapes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import tinygrad_rnn as tg

from .build import public_functions, shape_is_known

ARRAYS = re.compile(r"Tensor|ndarray|ArrayLike|\bArray\b|Carry")
#: ``(T, N, H)``, ``(..., n)``, ``(N + 1,)``, ``()``; or in words.
SHAPES = re.compile(
    r"[Ss]hape|scalar|broadcast|\(\)|\((?:[A-Zn](?:_\w+)?|\.\.\.|\d+)(?: [-+*/] \w+)*,[^()]*\)"
)
REFERENCE = re.compile(r":(?:func|class|meth):`~?(?:tg\.)?(\w+)")


def missing(modules: list[ModuleType]) -> Iterator[str]:
    """A sentence for each public function without a docstring, or without shapes in it.

    Where a docstring refers to that of another function, the shapes may stand there.
    """
    for name, function, of_class in public_functions(modules):
        documentation = inspect.getdoc(function)
        if documentation is None:
            yield f"{name}: has no docstring"
        elif takes_arrays(function) and not (
            shape_is_known(function)
            or tells_shapes(documentation, modules)
            or SHAPES.search(of_class.partition(">>>")[0])
        ):
            yield f"{name}: takes arrays, and its docstring does not tell their shapes"


def takes_arrays(function: Any) -> bool:
    """Whether an annotation of the function's parameters names arrays."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(ARRAYS.search(str(parameter.annotation)) for parameter in parameters)


def tells_shapes(documentation: str, modules: list[ModuleType], depth: int = 0) -> bool:
    """Whether a docstring, or one that it refers to, tells shapes, apart from its examples."""
    documentation = documentation.partition(">>>")[0]
    if SHAPES.search(documentation):
        return True
    others = (
        inspect.getdoc(getattr(module, name)) or ""
        for name in REFERENCE.findall(documentation)
        for module in (*modules, tg)
        if hasattr(module, name)
    )
    return depth < 2 and any(tells_shapes(other, modules, depth + 1) for other in others)
