"""Which values may enter a graph, and how errors name the operation, its operands and place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, ParamSpec, TypeVar

import numpy as np
from numpy import ndarray

from .nodes import Scope, Value
from .primitives import Primitive
from .scopes import current

_P = ParamSpec("_P")
_R = TypeVar("_R")

_asarray = np.asarray
_no_keywords: dict[str, Any] = {}


def numbers(x: Any, where: Primitive | str) -> ndarray:
    """The numbers of a Tensor, or ``np.asarray`` of anything else.

    Raises:
        TypeError: x is a traced value, which has no numbers (see ``scan``).
        ValueError: x is nested lists of different lengths.
    """
    try:
        return _asarray(x._array if isinstance(x, Value) else x)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error


def numeric(x: Any, where: Primitive | str) -> ndarray:
    """:func:`numbers` that may enter a graph: floats, integers and booleans."""
    array = numbers(x, where)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{where}: expected real numbers, got {type(x).__name__} of dtype {array.dtype}"
        )
    # ``np.asarray`` drops a mask without a word.
    if array is not x and isinstance(x, ndarray) and hasattr(x, "mask"):
        raise TypeError(
            f"{where}: a {type(x).__name__} would lose its mask; fill it first, with x.filled(0)"
        )
    return array


def describe(x: Any) -> str:
    """``float32 (3, 4)``: how an error message shows an operand."""
    if isinstance(x, Value):
        x = x._array
    return f"{x.dtype} {x.shape}" if isinstance(x, ndarray) else repr(x)


# NumPy's own kinds come first: they say more.
_kinds: tuple[type[Exception], ...] = (
    np.linalg.LinAlgError,
    np.exceptions.AxisError,
    IndexError,
    TypeError,
    ValueError,
)


def explained(
    error: Exception, primitive: Primitive | str, arrays: Iterable[Any], scope: Scope
) -> Exception:
    """The same kind of exception, saying which operation failed, on what, and where."""
    kind = next((k for k in _kinds if isinstance(error, k)), TypeError)
    operands = list(arrays)
    what: object = error
    if kind is ValueError and isinstance(primitive, Primitive) and primitive.expects is not None:
        shapes = " and ".join(str(np.shape(x)) for x in operands)
        what = f"expected {primitive.expects}, got {shapes}"
    return kind(f"{primitive}: {what} [operands: {', '.join(map(describe, operands))}]{scope}")


def located(function: Callable[_P, _R], name: str | None = None) -> Callable[_P, _R]:
    """Make the errors of a function of several operations say what failed, and where.

    They begin with the function's own name (or ``name``), which is the one that the user called.
    """
    called = name or function.__name__

    @functools.wraps(function)
    def call(*args: _P.args, **keywords: _P.kwargs) -> _R:
        try:
            return function(*args, **keywords)
        except (ValueError, TypeError, IndexError) as error:
            raise_as(called, error)

    return call


def raise_as(name: str, error: Exception, *, over: bool = True) -> NoReturn:
    """Raise an error again, with this name at its beginning instead of an inner operation's.

    Args:
        name: the function that the user called.
        error: the error that was raised within it.
        over: whether to leave out the inner operation's name.
    """
    scope = str(current().scope)
    text = str(error)
    inner, colon, rest = text.partition(": ")
    if over and colon and inner.isidentifier():
        text = rest
    # The inner operation has added the scope already, unless the error is NumPy's own.
    text = f"{name}: {text}" if text.endswith(scope) else f"{name}: {text}{scope}"
    error.args = (text,)
    if str(error) == text:
        raise error
    kind = next(k for k in _kinds if isinstance(error, k))  # it makes its text from other arguments
    raise kind(text) from error


def composed(function: Callable[_P, _R], name: str | None = None) -> Callable[_P, _R]:
    """A function written in other operations: its errors name it, and its results are arrays.

    NumPy turns 0-d arrays into scalars as soon as it computes with them.
    """
    call = located(function, name)

    @functools.wraps(function)
    def composition(*args: _P.args, **keywords: _P.kwargs) -> _R:
        result = call(*args, **keywords)
        if isinstance(result, np.generic):
            return _asarray(result)  # type: ignore[return-value]
        if isinstance(result, (tuple, list)) and any(isinstance(y, np.generic) for y in result):
            kind = getattr(type(result), "_make", type(result))  # of a named tuple
            return kind([_asarray(y) if isinstance(y, np.generic) else y for y in result])
        return result

    return composition


def check_finite(
    output: Any,
    inputs: Iterable[Any],
    primitive: Primitive,
    scope: Scope,
    what: str,
    keywords: Mapping[str, Any] = _no_keywords,
) -> None:
    """Raise FloatingPointError at a NaN, or at an Inf from finite inputs and constants."""
    if output.dtype.kind != "f" or np.isfinite(output).all():
        return
    nan = bool(np.isnan(output).any())
    inputs = [x for x in inputs if x is not None]
    constants = [c for c in keywords.values() if isinstance(c, (float, ndarray))]
    # An Inf that came in may go out. It was reported where it arose, or the user passed it.
    if nan or all(np.isfinite(x).all() for x in (*inputs, *constants)):
        shapes = " and ".join(str(np.shape(x)) for x in inputs)
        raise FloatingPointError(
            f"{primitive}: {'NaN' if nan else 'Inf'} {what} from inputs of shape {shapes}{scope}"
        )
