"""The functions of the Python array API for Tensors: what ``Tensor.__array_namespace__`` gives.

A library that is written for the array API takes Tensors by it, gradients included: every function
here that has a derivative is one of the library's operations. It goes as far as Tensors go: there
are no complex numbers, no ``fft``, and nothing is written in place.

Source: https://data-apis.org/array-api/2024.12/
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..graph import Value
from .tensor import Tensor
from .tensor import from_dlpack as from_dlpack

__array_api_version__ = "2024.12"

# ── constants and dtypes ─────────────────────────────────────────────────────────────────

e, inf, nan, newaxis, pi = np.e, np.inf, np.nan, None, np.pi

_DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64"
_scalars: dict[str, Any] = {name: np.dtype(name) for name in _DTYPES.split()}
globals().update(_scalars)


# ── results as Tensors ───────────────────────────────────────────────────────────────────


def _as_tensors(y: Any) -> Any:
    """What a function returned, as Tensors."""
    if isinstance(y, (np.ndarray, np.generic, int)):  # NumPy 2.0 counts in int
        return Tensor(y)
    if isinstance(y, (tuple, list)):
        parts = [_as_tensors(part) for part in y]
        return getattr(type(y), "_make", type(y))(parts)
    return y


def _plain(x: Any) -> Any:
    return x._array if isinstance(x, Value) else x


def _of(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        return _as_tensors(function(*args, **keywords))

    call.__name__ = call.__qualname__ = name
    return call


def _constant(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's without a derivative."""

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        return _as_tensors(function(*map(_plain, args), **keywords))

    return call


#: The array API's names, and those of our operations where they differ.
_OPERATIONS = """
abs acos=arccos acosh=arccosh add argmax argmin asin=arcsin asinh=arcsinh atan=arctan
atan2=arctan2 atanh=arctanh bitwise_and bitwise_invert=invert bitwise_or bitwise_xor
broadcast_arrays broadcast_to ceil concat=concatenate copysign cos cosh cumulative_prod
cumulative_sum diff divide equal exp expand_dims expm1 flip floor floor_divide greater greater_equal
hypot isfinite isinf isnan less less_equal log log10 log1p log2 logaddexp logical_and logical_not
logical_or logical_xor matmul matrix_transpose max maximum mean meshgrid min minimum moveaxis
multiply negative nextafter not_equal permute_dims=transpose positive pow=power prod reciprocal
remainder repeat roll round searchsorted sign signbit sin sinh sqrt square squeeze stack std
subtract sum take take_along_axis tan tanh tensordot tile tril triu trunc unstack var vecdot where
"""
_names = [part.partition("=") for part in _OPERATIONS.split()]
globals().update({name: _of(getattr(ops, ours or name), name) for name, _, ours in _names})

_WITHOUT_DERIVATIVE = (
    "all any nonzero count_nonzero bitwise_left_shift bitwise_right_shift "
    "unique_all unique_counts unique_inverse unique_values"
)
_numpys = {name: _constant(getattr(np, name)) for name in _WITHOUT_DERIVATIVE.split()}
globals().update(_numpys)

linalg = ops.linalg

# ── what takes other arguments here ──────────────────────────────────────────────────────


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """The same numbers in another dtype; ``copy`` changes nothing, as nothing is written into."""
    _require_cpu(device)
    return ops.astype(x, dtype)


def reshape(x: Any, /, shape: Any, *, copy: bool | None = None) -> Any:
    """The elements of x in another shape; ``copy`` changes nothing."""
    return ops.reshape(x, shape)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """x between two bounds; None for no bound."""
    return ops.clip(x, min, max)


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """x in order along an axis."""
    order = argsort(x, axis=axis, descending=descending, stable=stable)
    return ops.take_along_axis(x, order, axis)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices that sort x along an axis."""
    if not descending:
        return _as_tensors(ops.argsort(x, axis, stable=True))
    n = x.shape[axis]  # from the end, so that equal elements keep their order
    turned = ops.argsort(ops.flip(x, axis), axis, stable=True)
    return _as_tensors(ops.flip(n - 1 - _plain(turned), axis))


def real(x: Any, /) -> Any:
    """x itself: Tensors hold real numbers."""
    return ops.positive(x)


conj = real

# ── new arrays ───────────────────────────────────────────────────────────────────────────


def _require_cpu(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"expected 'cpu' or None as device, got {device!r}")


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """A Tensor of anything that ``tg.Tensor`` takes; a Tensor of that dtype is returned itself."""
    _require_cpu(device)
    if isinstance(obj, Tensor):
        y: Tensor = obj if dtype in (None, obj.dtype) else ops.astype(obj, dtype)
        return ops.copy(y) if copy else y
    if copy is False:
        raise ValueError("asarray: copy=False, but a Tensor has an array of its own")
    return Tensor(obj, dtype=dtype)


def _creation(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, device: Any = None, **keywords: Any) -> Tensor:
        _require_cpu(device)
        return Tensor(function(*map(_plain, args), **keywords))

    return call


_created = "arange empty empty_like eye full full_like linspace ones ones_like zeros zeros_like"
globals().update({name: _creation(getattr(np, name)) for name in _created.split()})

# ── about dtypes and shapes ──────────────────────────────────────────────────────────────

broadcast_shapes, finfo, iinfo, isdtype = np.broadcast_shapes, np.finfo, np.iinfo, np.isdtype


def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that an operation on all of these gives."""
    return np.result_type(*map(_plain, arrays_and_dtypes))


def can_cast(from_: Any, to: Any, /) -> Any:
    """Whether numbers of one dtype can be those of another."""
    return np.can_cast(getattr(_plain(from_), "dtype", from_), to)


class _Info:
    """What the array API asks of a library: its devices and dtypes."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        return "cpu"

    def devices(self) -> list[str]:
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        _require_cpu(device)
        names = {"real floating": "float64", "integral": "int64", "indexing": "int64"}
        return {kind: np.dtype(name) for kind, name in names.items()}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        _require_cpu(device)
        return {
            name: dtype
            for name, dtype in _scalars.items()
            if kind is None or np.isdtype(dtype, kind)
        }


def __array_namespace_info__() -> _Info:
    """Devices and dtypes, as methods."""
    return _Info()


_ours = {"Any", "Callable", "Tensor", "Value", "annotations", "functools", "np", "ops"}
__all__ = sorted({name for name in globals() if not name.startswith("_")} - _ours)
