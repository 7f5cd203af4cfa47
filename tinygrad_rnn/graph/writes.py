"""Writing into a Tensor: an error that shows the line to write instead.

An array in a graph must keep the numbers that the operations saw, or the gradient would belong to
other numbers. So there is one way to change a Tensor's numbers: ``t.data = new`` rebinds them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from .nodes import Value
from .scopes import current

_optimiser = "let an optimiser do it, such as tg.optim.SGD(parameters, lr=0.1).step()"


def _guarded(name: str, refusal: str) -> Any:
    """A method of ndarray that writes into the array, for an array that may be read-only."""
    write = getattr(ndarray, name)

    def method(self: ndarray, *args: Any, **keywords: Any) -> Any:
        if not self.flags.writeable:
            raise ValueError(f"data: it is read-only, {refusal}")
        return write(self, *args, **keywords)

    return method


def _operator(name: str, sign: str) -> Any:
    return _guarded(
        name, f"so {sign}= cannot write into it; write p.data = p.data {sign} ..., or {_optimiser}"
    )


def _method(name: str) -> Any:
    return _guarded(
        name,
        f"so {name}() cannot write into it; change a copy and put it back: array = p.numpy(); "
        f"array.{name}(...); p.data = array",
    )


class ReadOnlyArray(ndarray):
    """The array that ``t.data`` of a leaf returns. Writing into it raises, and shows what to write.

    Everything that NumPy computes from it is an ordinary ndarray.
    """

    __slots__ = ()

    def __array_wrap__(
        self, array: ndarray, context: Any = None, return_scalar: bool = False
    ) -> Any:
        return array[()] if return_scalar else array.view(ndarray)

    def __reduce__(self) -> Any:
        # A pickle of this class could be read with this library only: it holds an ordinary array.
        return np.array(self, subok=False).__reduce__()

    def __repr__(self) -> str:
        return repr(self.view(ndarray))

    def copy(self, *args: Any, **keywords: Any) -> Any:
        return self.view(ndarray).copy(*args, **keywords)

    def astype(self, *args: Any, **keywords: Any) -> ndarray:
        return self.view(ndarray).astype(*args, **keywords)

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        # Advanced indexing returns a copy, which the caller may write into.
        return part.view(ndarray) if isinstance(part, ndarray) and part.flags.writeable else part

    __setitem__ = _guarded(
        "__setitem__",
        "so no element can be set; change a copy and put it back: array = p.numpy(); "
        "array[i] = ...; p.data = array",
    )
    __iadd__ = _operator("__iadd__", "+")
    __isub__ = _operator("__isub__", "-")
    __imul__ = _operator("__imul__", "*")
    __itruediv__ = _operator("__itruediv__", "/")
    __ifloordiv__ = _operator("__ifloordiv__", "//")
    __imod__ = _operator("__imod__", "%")
    __ipow__ = _operator("__ipow__", "**")
    __imatmul__ = _operator("__imatmul__", "@")
    fill = _method("fill")
    put = _method("put")
    sort = _method("sort")
    partition = _method("partition")


ReadOnlyArray.__name__ = "ndarray"  # messages that say what came say this


def teaching_view(array: Any) -> Any:
    """A view of a leaf's array that cannot be written into."""
    view = array.view(ReadOnlyArray)
    view.flags.writeable = False
    return view


def in_place(operation: Callable[[Any, Any], Any], sign: str) -> Callable[[Any, Any], Any]:
    """An operator such as ``+=`` for Tensors: ``x += y`` is ``x = x + y``, but a leaf refuses it.

    In ``for p in parameters: p -= lr * p.grad`` it would bind the name p to a new Tensor, and the
    parameter would not change.
    """

    def method(self: Value, x: Any) -> Any:
        node = self.node
        if node is not None and node.primitive is None and current().tracing is None:
            name = f" {node.name!r}" if node.name else ""
            raise TypeError(
                f"{sign}= cannot write into the leaf{name}, which requires grad: it would make a "
                f"new Tensor and leave this one as it is. Write p.data = p.data {sign} ... (of "
                f"arrays, such as p.grad), or {_optimiser}. If a new Tensor is meant, write "
                f"x = x {sign} ..."
            )
        return operation(self, x)

    return method


def refuse_item() -> NoReturn:
    """``t[i] = x``: say what to write."""
    raise TypeError(
        "a Tensor is never written into. To change a parameter's numbers write "
        "array = p.numpy(); array[i] = ...; p.data = array. To compute a Tensor in which one part "
        "is another, write tg.where(mask, new, t) or tg.concatenate([...])"
    )


__all__ = ["ReadOnlyArray", "in_place", "refuse_item", "teaching_view"]
