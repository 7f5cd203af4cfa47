"""The operations as type checkers see them. Written by ``python -m tests.stubs``."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from ..graph import Value
from ..tensor import Tensor
from . import applying as applying
from . import arrays as arrays
from . import blocks as blocks
from . import contractions as contractions
from . import cutting as cutting
from . import decompositions as decompositions
from . import determinants as determinants
from . import differences as differences
from . import elementwise as elementwise
from . import indexing as indexing
from . import inverses as inverses
from . import joining as joining
from . import linalg as linalg
from . import logic as logic
from . import nan_statistics as nan_statistics
from . import network as network
from . import norms as norms
from . import padding as padding
from . import polynomials as polynomials
from . import primitives as primitives
from . import products as products
from . import reductions as reductions
from . import repeating as repeating
from . import rounding as rounding
from . import shaping as shaping
from . import sorting as sorting
from . import special as special
from . import statistics as statistics
from . import transcendental as transcendental

Axes = int | tuple[int, ...] | None
Pair = tuple[int, int]

@overload
def abs(x: Value) -> Tensor: ...
@overload
def abs(x: ArrayLike) -> ndarray: ...
@overload
def add(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def add(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def add(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def amax(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def amax(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def amin(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def amin(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def append(x: Value, values: ArrayLike | Value, axis: int | None = ...) -> Tensor: ...
@overload
def append(x: ArrayLike, values: Value, axis: int | None = ...) -> Tensor: ...
@overload
def append(x: ArrayLike, values: ArrayLike, axis: int | None = ...) -> ndarray: ...
@overload
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, x: Value, *args: Any, **keywords: Any
) -> Tensor: ...
@overload
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, x: ArrayLike, *args: Any, **keywords: Any
) -> ndarray: ...
@overload
def apply_over_axes(func: Callable[[Any, int], Any], x: Value, axes: Any) -> Tensor: ...
@overload
def apply_over_axes(func: Callable[[Any, int], Any], x: ArrayLike, axes: Any) -> ndarray: ...
@overload
def arccos(x: Value) -> Tensor: ...
@overload
def arccos(x: ArrayLike) -> ndarray: ...
@overload
def arccosh(x: Value) -> Tensor: ...
@overload
def arccosh(x: ArrayLike) -> ndarray: ...
@overload
def arcsin(x: Value) -> Tensor: ...
@overload
def arcsin(x: ArrayLike) -> ndarray: ...
@overload
def arcsinh(x: Value) -> Tensor: ...
@overload
def arcsinh(x: ArrayLike) -> ndarray: ...
@overload
def arctan(x: Value) -> Tensor: ...
@overload
def arctan(x: ArrayLike) -> ndarray: ...
@overload
def arctan2(y: Value, x: ArrayLike | Value) -> Tensor: ...
@overload
def arctan2(y: ArrayLike, x: Value) -> Tensor: ...
@overload
def arctan2(y: ArrayLike, x: ArrayLike) -> ndarray: ...
@overload
def arctanh(x: Value) -> Tensor: ...
@overload
def arctanh(x: ArrayLike) -> ndarray: ...
@overload
def argmax(x: Value, axis: int | None = ..., *, keepdims: bool = ...) -> Any: ...
@overload
def argmax(x: ArrayLike, axis: int | None = ..., *, keepdims: bool = ...) -> Any: ...
@overload
def argmin(x: Value, axis: int | None = ..., *, keepdims: bool = ...) -> Any: ...
@overload
def argmin(x: ArrayLike, axis: int | None = ..., *, keepdims: bool = ...) -> Any: ...
@overload
def argpartition(x: Value, kth: Any, axis: int | None = ...) -> Any: ...
@overload
def argpartition(x: ArrayLike, kth: Any, axis: int | None = ...) -> Any: ...
@overload
def argsort(
    x: Value, axis: int | None = ..., *, kind: str | None = ..., stable: bool | None = ...
) -> Any: ...
@overload
def argsort(
    x: ArrayLike, axis: int | None = ..., *, kind: str | None = ..., stable: bool | None = ...
) -> Any: ...
def array(data: Any, *, dtype: Any = ...) -> Any: ...
@overload
def array_split(x: Value, indices_or_sections: Any, axis: int = ...) -> list[Tensor]: ...
@overload
def array_split(x: ArrayLike, indices_or_sections: Any, axis: int = ...) -> list[ndarray]: ...
@overload
def astype(x: Value, dtype: Any) -> Tensor: ...
@overload
def astype(x: ArrayLike, dtype: Any) -> ndarray: ...
@overload
def atleast_1d(x: Value, /, *arrays: ArrayLike | Value) -> Any: ...
@overload
def atleast_1d(*arrays: ArrayLike) -> Any: ...
@overload
def atleast_2d(x: Value, /, *arrays: ArrayLike | Value) -> Any: ...
@overload
def atleast_2d(*arrays: ArrayLike) -> Any: ...
@overload
def atleast_3d(x: Value, /, *arrays: ArrayLike | Value) -> Any: ...
@overload
def atleast_3d(*arrays: ArrayLike) -> Any: ...
@overload
def average(
    x: Value,
    axis: Axes = ...,
    weights: ArrayLike | Value | None = ...,
    returned: bool = ...,
    *,
    keepdims: bool = ...,
) -> Tensor: ...
@overload
def average(
    x: ArrayLike, axis: Axes = ..., *, weights: Value, returned: bool = ..., keepdims: bool = ...
) -> Tensor: ...
@overload
def average(
    x: ArrayLike,
    axis: Axes = ...,
    weights: ArrayLike | None = ...,
    returned: bool = ...,
    *,
    keepdims: bool = ...,
) -> ndarray: ...
@overload
def bincount(x: Any, weights: Value, minlength: int = ...) -> Tensor: ...
@overload
def bincount(x: Any, weights: ArrayLike | None = ..., minlength: int = ...) -> ndarray: ...
@overload
def bitwise_and(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def bitwise_and(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def bitwise_and(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def bitwise_or(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def bitwise_or(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def bitwise_or(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def bitwise_xor(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def bitwise_xor(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def bitwise_xor(x: ArrayLike, y: ArrayLike) -> ndarray: ...
def block(arrays: Any) -> Any: ...
@overload
def broadcast_arrays(x: Value, /, *arrays: ArrayLike | Value) -> tuple[Tensor, ...]: ...
@overload
def broadcast_arrays(*arrays: ArrayLike) -> tuple[ndarray, ...]: ...
@overload
def broadcast_to(x: Value, shape: Any) -> Tensor: ...
@overload
def broadcast_to(x: ArrayLike, shape: Any) -> ndarray: ...
@overload
def cbrt(x: Value) -> Tensor: ...
@overload
def cbrt(x: ArrayLike) -> ndarray: ...
@overload
def ceil(x: Value) -> Tensor: ...
@overload
def ceil(x: ArrayLike) -> ndarray: ...
@overload
def choose(a: Any, choices: Value | Sequence[Value], *, mode: str = ...) -> Tensor: ...
@overload
def choose(a: Any, choices: ArrayLike | Sequence[ArrayLike], *, mode: str = ...) -> ndarray: ...
@overload
def clip(
    x: Value, a_min: ArrayLike | Value | None = ..., a_max: ArrayLike | Value | None = ...
) -> Tensor: ...
@overload
def clip(x: ArrayLike, a_min: Value, a_max: ArrayLike | Value | None = ...) -> Tensor: ...
@overload
def clip(x: ArrayLike, a_min: ArrayLike | None = ..., *, a_max: Value) -> Tensor: ...
@overload
def clip(x: ArrayLike, a_min: ArrayLike | None = ..., a_max: ArrayLike | None = ...) -> ndarray: ...
@overload
def column_stack(arrays: Value | Sequence[Value]) -> Tensor: ...
@overload
def column_stack(arrays: ArrayLike | Sequence[ArrayLike]) -> ndarray: ...
@overload
def compress(condition: Any, x: Value, axis: int | None = ...) -> Tensor: ...
@overload
def compress(condition: Any, x: ArrayLike, axis: int | None = ...) -> ndarray: ...
@overload
def concatenate(
    arrays: Value | Sequence[Value], axis: int | None = ..., *, dtype: Any = ...
) -> Tensor: ...
@overload
def concatenate(
    arrays: ArrayLike | Sequence[ArrayLike], axis: int | None = ..., *, dtype: Any = ...
) -> ndarray: ...
@overload
def conv2d(
    x: Value,
    W: ArrayLike | Value,
    b: ArrayLike | Value | None = ...,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    groups: int = ...,
) -> Tensor: ...
@overload
def conv2d(
    x: ArrayLike,
    W: Value,
    b: ArrayLike | Value | None = ...,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    groups: int = ...,
) -> Tensor: ...
@overload
def conv2d(
    x: ArrayLike,
    W: ArrayLike,
    b: Value,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    groups: int = ...,
) -> Tensor: ...
@overload
def conv2d(
    x: ArrayLike,
    W: ArrayLike,
    b: ArrayLike | None = ...,
    stride: Any = ...,
    padding: Any = ...,
    dilation: Any = ...,
    groups: int = ...,
) -> ndarray: ...
@overload
def convolve(x: Value, y: ArrayLike | Value, mode: str = ...) -> Tensor: ...
@overload
def convolve(x: ArrayLike, y: Value, mode: str = ...) -> Tensor: ...
@overload
def convolve(x: ArrayLike, y: ArrayLike, mode: str = ...) -> ndarray: ...
@overload
def copy(x: Value) -> Tensor: ...
@overload
def copy(x: ArrayLike) -> ndarray: ...
@overload
def copysign(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def copysign(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def copysign(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def corrcoef(x: Value, y: ArrayLike | Value | None = ..., rowvar: bool = ...) -> Tensor: ...
@overload
def corrcoef(x: ArrayLike, y: Value, rowvar: bool = ...) -> Tensor: ...
@overload
def corrcoef(x: ArrayLike, y: ArrayLike | None = ..., rowvar: bool = ...) -> ndarray: ...
@overload
def correlate(x: Value, y: ArrayLike | Value, mode: str = ...) -> Tensor: ...
@overload
def correlate(x: ArrayLike, y: Value, mode: str = ...) -> Tensor: ...
@overload
def correlate(x: ArrayLike, y: ArrayLike, mode: str = ...) -> ndarray: ...
@overload
def cos(x: Value) -> Tensor: ...
@overload
def cos(x: ArrayLike) -> ndarray: ...
@overload
def cosh(x: Value) -> Tensor: ...
@overload
def cosh(x: ArrayLike) -> ndarray: ...
@overload
def cov(
    x: Value,
    y: ArrayLike | Value | None = ...,
    rowvar: bool = ...,
    bias: bool = ...,
    ddof: float | None = ...,
    fweights: Any = ...,
    aweights: Any = ...,
) -> Tensor: ...
@overload
def cov(
    x: ArrayLike,
    y: Value,
    rowvar: bool = ...,
    bias: bool = ...,
    ddof: float | None = ...,
    fweights: Any = ...,
    aweights: Any = ...,
) -> Tensor: ...
@overload
def cov(
    x: ArrayLike,
    y: ArrayLike | None = ...,
    rowvar: bool = ...,
    bias: bool = ...,
    ddof: float | None = ...,
    fweights: Any = ...,
    aweights: Any = ...,
) -> ndarray: ...
@overload
def cross(
    x: Value,
    y: ArrayLike | Value,
    axisa: int = ...,
    axisb: int = ...,
    axisc: int = ...,
    axis: int | None = ...,
) -> Tensor: ...
@overload
def cross(
    x: ArrayLike,
    y: Value,
    axisa: int = ...,
    axisb: int = ...,
    axisc: int = ...,
    axis: int | None = ...,
) -> Tensor: ...
@overload
def cross(
    x: ArrayLike,
    y: ArrayLike,
    axisa: int = ...,
    axisb: int = ...,
    axisc: int = ...,
    axis: int | None = ...,
) -> ndarray: ...
@overload
def cumprod(x: Value, axis: int | None = ..., *, dtype: Any = ...) -> Tensor: ...
@overload
def cumprod(x: ArrayLike, axis: int | None = ..., *, dtype: Any = ...) -> ndarray: ...
@overload
def cumsum(x: Value, axis: int | None = ..., *, dtype: Any = ...) -> Tensor: ...
@overload
def cumsum(x: ArrayLike, axis: int | None = ..., *, dtype: Any = ...) -> ndarray: ...
@overload
def cumulative_prod(
    x: Value, *, axis: int | None = ..., dtype: Any = ..., include_initial: bool = ...
) -> Tensor: ...
@overload
def cumulative_prod(
    x: ArrayLike, *, axis: int | None = ..., dtype: Any = ..., include_initial: bool = ...
) -> ndarray: ...
@overload
def cumulative_sum(
    x: Value, *, axis: int | None = ..., dtype: Any = ..., include_initial: bool = ...
) -> Tensor: ...
@overload
def cumulative_sum(
    x: ArrayLike, *, axis: int | None = ..., dtype: Any = ..., include_initial: bool = ...
) -> ndarray: ...
@overload
def deg2rad(x: Value) -> Tensor: ...
@overload
def deg2rad(x: ArrayLike) -> ndarray: ...
@overload
def degrees(x: Value) -> Tensor: ...
@overload
def degrees(x: ArrayLike) -> ndarray: ...
@overload
def delete(x: Value, index: Any, axis: int | None = ...) -> Tensor: ...
@overload
def delete(x: ArrayLike, index: Any, axis: int | None = ...) -> ndarray: ...
@overload
def diag(v: Value, k: int = ...) -> Tensor: ...
@overload
def diag(v: ArrayLike, k: int = ...) -> ndarray: ...
@overload
def diagflat(v: Value, k: int = ...) -> Tensor: ...
@overload
def diagflat(v: ArrayLike, k: int = ...) -> ndarray: ...
@overload
def diagonal(x: Value, offset: int = ..., axis1: int = ..., axis2: int = ...) -> Tensor: ...
@overload
def diagonal(x: ArrayLike, offset: int = ..., axis1: int = ..., axis2: int = ...) -> ndarray: ...
@overload
def diff(
    x: Value,
    n: int = ...,
    axis: int = ...,
    prepend: ArrayLike | Value | None = ...,
    append: ArrayLike | Value | None = ...,
) -> Tensor: ...
@overload
def diff(
    x: ArrayLike,
    n: int = ...,
    axis: int = ...,
    *,
    prepend: Value,
    append: ArrayLike | Value | None = ...,
) -> Tensor: ...
@overload
def diff(
    x: ArrayLike, n: int = ..., axis: int = ..., prepend: ArrayLike | None = ..., *, append: Value
) -> Tensor: ...
@overload
def diff(
    x: ArrayLike,
    n: int = ...,
    axis: int = ...,
    prepend: ArrayLike | None = ...,
    append: ArrayLike | None = ...,
) -> ndarray: ...
@overload
def divide(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def divide(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def divide(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def divmod(x: Value, y: ArrayLike | Value) -> tuple[Tensor, Tensor]: ...
@overload
def divmod(x: ArrayLike, y: Value) -> tuple[Tensor, Tensor]: ...
@overload
def divmod(x: ArrayLike, y: ArrayLike) -> tuple[ndarray, ndarray]: ...
@overload
def dot(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def dot(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def dot(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def dropout(
    x: Value, p: float = ..., training: bool = ..., rng: np.random.Generator | int | None = ...
) -> Tensor: ...
@overload
def dropout(
    x: ArrayLike, p: float = ..., training: bool = ..., rng: np.random.Generator | int | None = ...
) -> ndarray: ...
@overload
def dsplit(x: Value, indices_or_sections: Any) -> list[Tensor]: ...
@overload
def dsplit(x: ArrayLike, indices_or_sections: Any) -> list[ndarray]: ...
@overload
def dstack(arrays: Value | Sequence[Value]) -> Tensor: ...
@overload
def dstack(arrays: ArrayLike | Sequence[ArrayLike]) -> ndarray: ...
@overload
def ediff1d(
    x: Value, to_end: ArrayLike | Value | None = ..., to_begin: ArrayLike | Value | None = ...
) -> Tensor: ...
@overload
def ediff1d(x: ArrayLike, to_end: Value, to_begin: ArrayLike | Value | None = ...) -> Tensor: ...
@overload
def ediff1d(x: ArrayLike, to_end: ArrayLike | None = ..., *, to_begin: Value) -> Tensor: ...
@overload
def ediff1d(
    x: ArrayLike, to_end: ArrayLike | None = ..., to_begin: ArrayLike | None = ...
) -> ndarray: ...
@overload
def einsum(subscripts: str, x: Value, /, *operands: ArrayLike | Value) -> Tensor: ...
@overload
def einsum(subscripts: str, *operands: ArrayLike) -> ndarray: ...
@overload
def embedding(ids: Value, W: ArrayLike | Value) -> Tensor: ...
@overload
def embedding(ids: ArrayLike, W: Value) -> Tensor: ...
@overload
def embedding(ids: ArrayLike, W: ArrayLike) -> ndarray: ...
@overload
def equal(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def equal(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def equal(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def erf(x: Value) -> Tensor: ...
@overload
def erf(x: ArrayLike) -> ndarray: ...
@overload
def exp(x: Value) -> Tensor: ...
@overload
def exp(x: ArrayLike) -> ndarray: ...
@overload
def exp2(x: Value) -> Tensor: ...
@overload
def exp2(x: ArrayLike) -> ndarray: ...
@overload
def expand_dims(x: Value, axis: int | tuple[int, ...]) -> Tensor: ...
@overload
def expand_dims(x: ArrayLike, axis: int | tuple[int, ...]) -> ndarray: ...
@overload
def expm1(x: Value) -> Tensor: ...
@overload
def expm1(x: ArrayLike) -> ndarray: ...
@overload
def extract(condition: Any, x: Value) -> Tensor: ...
@overload
def extract(condition: Any, x: ArrayLike) -> ndarray: ...
@overload
def fabs(x: Value) -> Tensor: ...
@overload
def fabs(x: ArrayLike) -> ndarray: ...
@overload
def fix(x: Value) -> Tensor: ...
@overload
def fix(x: ArrayLike) -> ndarray: ...
@overload
def flip(x: Value, axis: Axes = ...) -> Tensor: ...
@overload
def flip(x: ArrayLike, axis: Axes = ...) -> ndarray: ...
@overload
def fliplr(x: Value) -> Tensor: ...
@overload
def fliplr(x: ArrayLike) -> ndarray: ...
@overload
def flipud(x: Value) -> Tensor: ...
@overload
def flipud(x: ArrayLike) -> ndarray: ...
@overload
def float_power(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def float_power(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def float_power(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def floor(x: Value) -> Tensor: ...
@overload
def floor(x: ArrayLike) -> ndarray: ...
@overload
def floor_divide(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def floor_divide(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def floor_divide(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def fmax(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def fmax(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def fmax(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def fmin(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def fmin(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def fmin(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def fmod(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def fmod(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def fmod(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def frexp(x: Value) -> tuple[Tensor, Tensor]: ...
@overload
def frexp(x: ArrayLike) -> tuple[ndarray, ndarray]: ...
@overload
def geomspace(
    start: Value,
    stop: ArrayLike | Value,
    num: int = ...,
    endpoint: bool = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> Tensor: ...
@overload
def geomspace(
    start: ArrayLike,
    stop: Value,
    num: int = ...,
    endpoint: bool = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> Tensor: ...
@overload
def geomspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = ...,
    endpoint: bool = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> ndarray: ...
@overload
def getitem(x: Value, index: Any) -> Tensor: ...
@overload
def getitem(x: ArrayLike, index: Any) -> ndarray: ...
@overload
def gradient(x: Value, *spacing: Any, axis: Axes = ..., edge_order: int = ...) -> Any: ...
@overload
def gradient(x: ArrayLike, *spacing: Any, axis: Axes = ..., edge_order: int = ...) -> Any: ...
@overload
def greater(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def greater(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def greater(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def greater_equal(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def greater_equal(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def greater_equal(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def heaviside(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def heaviside(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def heaviside(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def hsplit(x: Value, indices_or_sections: Any) -> list[Tensor]: ...
@overload
def hsplit(x: ArrayLike, indices_or_sections: Any) -> list[ndarray]: ...
@overload
def hstack(arrays: Value | Sequence[Value]) -> Tensor: ...
@overload
def hstack(arrays: ArrayLike | Sequence[ArrayLike]) -> ndarray: ...
@overload
def hypot(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def hypot(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def hypot(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def i0(x: Value) -> Tensor: ...
@overload
def i0(x: ArrayLike) -> ndarray: ...
@overload
def inner(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def inner(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def inner(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def insert(x: Value, index: Any, values: ArrayLike | Value, axis: int | None = ...) -> Tensor: ...
@overload
def insert(x: ArrayLike, index: Any, values: Value, axis: int | None = ...) -> Tensor: ...
@overload
def insert(x: ArrayLike, index: Any, values: ArrayLike, axis: int | None = ...) -> ndarray: ...
@overload
def interp(
    x: Value,
    xp: ArrayLike | Value,
    fp: ArrayLike | Value,
    left: ArrayLike | Value | None = ...,
    right: ArrayLike | Value | None = ...,
    period: float | None = ...,
) -> Tensor: ...
@overload
def interp(
    x: ArrayLike,
    xp: Value,
    fp: ArrayLike | Value,
    left: ArrayLike | Value | None = ...,
    right: ArrayLike | Value | None = ...,
    period: float | None = ...,
) -> Tensor: ...
@overload
def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: Value,
    left: ArrayLike | Value | None = ...,
    right: ArrayLike | Value | None = ...,
    period: float | None = ...,
) -> Tensor: ...
@overload
def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: Value,
    right: ArrayLike | Value | None = ...,
    period: float | None = ...,
) -> Tensor: ...
@overload
def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: ArrayLike | None = ...,
    *,
    right: Value,
    period: float | None = ...,
) -> Tensor: ...
@overload
def interp(
    x: ArrayLike,
    xp: ArrayLike,
    fp: ArrayLike,
    left: ArrayLike | None = ...,
    right: ArrayLike | None = ...,
    period: float | None = ...,
) -> ndarray: ...
@overload
def invert(x: Value) -> Tensor: ...
@overload
def invert(x: ArrayLike) -> ndarray: ...
@overload
def isfinite(x: Value) -> Tensor: ...
@overload
def isfinite(x: ArrayLike) -> ndarray: ...
@overload
def isinf(x: Value) -> Tensor: ...
@overload
def isinf(x: ArrayLike) -> ndarray: ...
@overload
def isnan(x: Value) -> Tensor: ...
@overload
def isnan(x: ArrayLike) -> ndarray: ...
@overload
def kron(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def kron(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def kron(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def layer_norm(
    x: Value,
    normalized_shape: int | tuple[int, ...],
    weight: ArrayLike | Value | None = ...,
    bias: ArrayLike | Value | None = ...,
    eps: float = ...,
) -> Tensor: ...
@overload
def layer_norm(
    x: ArrayLike,
    normalized_shape: int | tuple[int, ...],
    weight: Value,
    bias: ArrayLike | Value | None = ...,
    eps: float = ...,
) -> Tensor: ...
@overload
def layer_norm(
    x: ArrayLike,
    normalized_shape: int | tuple[int, ...],
    weight: ArrayLike | None = ...,
    *,
    bias: Value,
    eps: float = ...,
) -> Tensor: ...
@overload
def layer_norm(
    x: ArrayLike,
    normalized_shape: int | tuple[int, ...],
    weight: ArrayLike | None = ...,
    bias: ArrayLike | None = ...,
    eps: float = ...,
) -> ndarray: ...
@overload
def ldexp(x: Value, exponent: ArrayLike | Value) -> Tensor: ...
@overload
def ldexp(x: ArrayLike, exponent: Value) -> Tensor: ...
@overload
def ldexp(x: ArrayLike, exponent: ArrayLike) -> ndarray: ...
@overload
def less(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def less(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def less(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def less_equal(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def less_equal(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def less_equal(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def linear(x: Value, W: ArrayLike | Value, b: ArrayLike | Value | None = ...) -> Tensor: ...
@overload
def linear(x: ArrayLike, W: Value, b: ArrayLike | Value | None = ...) -> Tensor: ...
@overload
def linear(x: ArrayLike, W: ArrayLike, b: Value) -> Tensor: ...
@overload
def linear(x: ArrayLike, W: ArrayLike, b: ArrayLike | None = ...) -> ndarray: ...
@overload
def linspace(
    start: Value,
    stop: ArrayLike | Value,
    num: int = ...,
    endpoint: bool = ...,
    retstep: bool = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> Any: ...
@overload
def linspace(
    start: ArrayLike,
    stop: Value,
    num: int = ...,
    endpoint: bool = ...,
    retstep: bool = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> Any: ...
@overload
def linspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = ...,
    endpoint: bool = ...,
    retstep: bool = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> Any: ...
@overload
def log(x: Value) -> Tensor: ...
@overload
def log(x: ArrayLike) -> ndarray: ...
@overload
def log10(x: Value) -> Tensor: ...
@overload
def log10(x: ArrayLike) -> ndarray: ...
@overload
def log1p(x: Value) -> Tensor: ...
@overload
def log1p(x: ArrayLike) -> ndarray: ...
@overload
def log2(x: Value) -> Tensor: ...
@overload
def log2(x: ArrayLike) -> ndarray: ...
@overload
def log_softmax(x: Value, axis: Axes = ...) -> Tensor: ...
@overload
def log_softmax(x: ArrayLike, axis: Axes = ...) -> ndarray: ...
@overload
def logaddexp(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def logaddexp(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def logaddexp(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def logaddexp2(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def logaddexp2(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def logaddexp2(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def logical_and(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def logical_and(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def logical_and(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def logical_not(x: Value) -> Tensor: ...
@overload
def logical_not(x: ArrayLike) -> ndarray: ...
@overload
def logical_or(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def logical_or(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def logical_or(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def logical_xor(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def logical_xor(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def logical_xor(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def logspace(
    start: Value,
    stop: ArrayLike | Value,
    num: int = ...,
    endpoint: bool = ...,
    base: ArrayLike | Value = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> Tensor: ...
@overload
def logspace(
    start: ArrayLike,
    stop: Value,
    num: int = ...,
    endpoint: bool = ...,
    base: ArrayLike | Value = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> Tensor: ...
@overload
def logspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = ...,
    endpoint: bool = ...,
    *,
    base: Value,
    dtype: Any = ...,
    axis: int = ...,
) -> Tensor: ...
@overload
def logspace(
    start: ArrayLike,
    stop: ArrayLike,
    num: int = ...,
    endpoint: bool = ...,
    base: ArrayLike = ...,
    dtype: Any = ...,
    axis: int = ...,
) -> ndarray: ...
@overload
def logsumexp(x: Value, axis: Axes = ..., keepdims: bool = ...) -> Tensor: ...
@overload
def logsumexp(x: ArrayLike, axis: Axes = ..., keepdims: bool = ...) -> ndarray: ...
@overload
def matmul(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def matmul(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def matmul(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def matrix_transpose(x: Value) -> Tensor: ...
@overload
def matrix_transpose(x: ArrayLike) -> ndarray: ...
@overload
def matvec(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def matvec(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def matvec(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def max(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def max(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def max_pool2d(x: Value, kernel_size: Any, stride: Any = ..., padding: Any = ...) -> Tensor: ...
@overload
def max_pool2d(
    x: ArrayLike, kernel_size: Any, stride: Any = ..., padding: Any = ...
) -> ndarray: ...
@overload
def maximum(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def maximum(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def maximum(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def mean(
    x: Value, axis: Axes = ..., keepdims: bool = ..., *, dtype: Any = ..., where: Any = ...
) -> Tensor: ...
@overload
def mean(
    x: ArrayLike, axis: Axes = ..., keepdims: bool = ..., *, dtype: Any = ..., where: Any = ...
) -> ndarray: ...
@overload
def median(x: Value, axis: Axes = ..., keepdims: bool = ...) -> Tensor: ...
@overload
def median(x: ArrayLike, axis: Axes = ..., keepdims: bool = ...) -> ndarray: ...
@overload
def meshgrid(
    x: Value,
    /,
    *arrays: ArrayLike | Value,
    indexing: str = ...,
    sparse: bool = ...,
    copy: bool = ...,
) -> tuple[Tensor, ...]: ...
@overload
def meshgrid(
    *arrays: ArrayLike, indexing: str = ..., sparse: bool = ..., copy: bool = ...
) -> tuple[ndarray, ...]: ...
@overload
def min(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def min(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def minimum(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def minimum(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def minimum(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def mod(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def mod(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def mod(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def modf(x: Value) -> tuple[Tensor, Tensor]: ...
@overload
def modf(x: ArrayLike) -> tuple[ndarray, ndarray]: ...
@overload
def moveaxis(x: Value, source: Any, destination: Any) -> Tensor: ...
@overload
def moveaxis(x: ArrayLike, source: Any, destination: Any) -> ndarray: ...
@overload
def multiply(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def multiply(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def multiply(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def nan_to_num(
    x: Value, *, nan: float = ..., posinf: float | None = ..., neginf: float | None = ...
) -> Tensor: ...
@overload
def nan_to_num(
    x: ArrayLike, *, nan: float = ..., posinf: float | None = ..., neginf: float | None = ...
) -> ndarray: ...
@overload
def nancumprod(x: Value, axis: int | None = ..., *, dtype: Any = ...) -> Tensor: ...
@overload
def nancumprod(x: ArrayLike, axis: int | None = ..., *, dtype: Any = ...) -> ndarray: ...
@overload
def nancumsum(x: Value, axis: int | None = ..., *, dtype: Any = ...) -> Tensor: ...
@overload
def nancumsum(x: ArrayLike, axis: int | None = ..., *, dtype: Any = ...) -> ndarray: ...
@overload
def nanmax(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def nanmax(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def nanmean(
    x: Value, axis: Axes = ..., keepdims: bool = ..., *, dtype: Any = ..., where: Any = ...
) -> Tensor: ...
@overload
def nanmean(
    x: ArrayLike, axis: Axes = ..., keepdims: bool = ..., *, dtype: Any = ..., where: Any = ...
) -> ndarray: ...
@overload
def nanmedian(x: Value, axis: Axes = ..., keepdims: bool = ...) -> Tensor: ...
@overload
def nanmedian(x: ArrayLike, axis: Axes = ..., keepdims: bool = ...) -> ndarray: ...
@overload
def nanmin(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def nanmin(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def nanpercentile(
    x: Value, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> Tensor: ...
@overload
def nanpercentile(
    x: ArrayLike, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> ndarray: ...
@overload
def nanprod(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def nanprod(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def nanquantile(
    x: Value, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> Tensor: ...
@overload
def nanquantile(
    x: ArrayLike, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> ndarray: ...
@overload
def nanstd(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | Value | None = ...,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def nanstd(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: Value,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def nanstd(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | None = ...,
    correction: float | None = ...,
) -> ndarray: ...
@overload
def nansum(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def nansum(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def nanvar(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | Value | None = ...,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def nanvar(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: Value,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def nanvar(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | None = ...,
    correction: float | None = ...,
) -> ndarray: ...
@overload
def negative(x: Value) -> Tensor: ...
@overload
def negative(x: ArrayLike) -> ndarray: ...
@overload
def nextafter(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def nextafter(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def nextafter(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def not_equal(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def not_equal(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def not_equal(x: ArrayLike, y: ArrayLike) -> ndarray: ...
def one_hot(ids: Any, num_classes: int | None = ..., *, dtype: Any = ...) -> Any: ...
@overload
def outer(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def outer(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def outer(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def pad(
    x: Value,
    pad_width: Any,
    mode: str = ...,
    *,
    constant_values: Any = ...,
    stat_length: Any = ...,
    end_values: Any = ...,
    reflect_type: str = ...,
) -> Tensor: ...
@overload
def pad(
    x: ArrayLike,
    pad_width: Any,
    mode: str = ...,
    *,
    constant_values: Any = ...,
    stat_length: Any = ...,
    end_values: Any = ...,
    reflect_type: str = ...,
) -> ndarray: ...
@overload
def partition(x: Value, kth: Any, axis: int | None = ...) -> Tensor: ...
@overload
def partition(x: ArrayLike, kth: Any, axis: int | None = ...) -> ndarray: ...
@overload
def percentile(
    x: Value, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> Tensor: ...
@overload
def percentile(
    x: ArrayLike, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> ndarray: ...
@overload
def permute_dims(x: Value, axes: Sequence[int] | None = ...) -> Tensor: ...
@overload
def permute_dims(x: ArrayLike, axes: Sequence[int] | None = ...) -> ndarray: ...
@overload
def piecewise(
    x: Value, condlist: Any, funclist: Sequence[Any], *args: Any, **keywords: Any
) -> Tensor: ...
@overload
def piecewise(
    x: ArrayLike, condlist: Any, funclist: Sequence[Any], *args: Any, **keywords: Any
) -> ndarray: ...
@overload
def place(x: Value, index: Any, shape: tuple[int, ...]) -> Tensor: ...
@overload
def place(x: ArrayLike, index: Any, shape: tuple[int, ...]) -> ndarray: ...
@overload
def poly(roots: Value) -> Tensor: ...
@overload
def poly(roots: ArrayLike) -> ndarray: ...
@overload
def polyadd(p: Value, q: ArrayLike | Value) -> Tensor: ...
@overload
def polyadd(p: ArrayLike, q: Value) -> Tensor: ...
@overload
def polyadd(p: ArrayLike, q: ArrayLike) -> ndarray: ...
@overload
def polyder(p: Value, m: int = ...) -> Tensor: ...
@overload
def polyder(p: ArrayLike, m: int = ...) -> ndarray: ...
@overload
def polydiv(p: Value, q: ArrayLike | Value) -> tuple[Tensor, Tensor]: ...
@overload
def polydiv(p: ArrayLike, q: Value) -> tuple[Tensor, Tensor]: ...
@overload
def polydiv(p: ArrayLike, q: ArrayLike) -> tuple[ndarray, ndarray]: ...
@overload
def polyfit(
    x: Value,
    y: ArrayLike | Value,
    deg: int,
    rcond: float | None = ...,
    *,
    w: ArrayLike | Value | None = ...,
) -> Tensor: ...
@overload
def polyfit(
    x: ArrayLike,
    y: Value,
    deg: int,
    rcond: float | None = ...,
    *,
    w: ArrayLike | Value | None = ...,
) -> Tensor: ...
@overload
def polyfit(
    x: ArrayLike, y: ArrayLike, deg: int, rcond: float | None = ..., *, w: Value
) -> Tensor: ...
@overload
def polyfit(
    x: ArrayLike, y: ArrayLike, deg: int, rcond: float | None = ..., *, w: ArrayLike | None = ...
) -> ndarray: ...
@overload
def polyint(p: Value, m: int = ..., k: Any = ...) -> Tensor: ...
@overload
def polyint(p: ArrayLike, m: int = ..., k: Any = ...) -> ndarray: ...
@overload
def polymul(p: Value, q: ArrayLike | Value) -> Tensor: ...
@overload
def polymul(p: ArrayLike, q: Value) -> Tensor: ...
@overload
def polymul(p: ArrayLike, q: ArrayLike) -> ndarray: ...
@overload
def polysub(p: Value, q: ArrayLike | Value) -> Tensor: ...
@overload
def polysub(p: ArrayLike, q: Value) -> Tensor: ...
@overload
def polysub(p: ArrayLike, q: ArrayLike) -> ndarray: ...
@overload
def polyval(p: Value, x: ArrayLike | Value) -> Tensor: ...
@overload
def polyval(p: ArrayLike, x: Value) -> Tensor: ...
@overload
def polyval(p: ArrayLike, x: ArrayLike) -> ndarray: ...
@overload
def positive(x: Value) -> Tensor: ...
@overload
def positive(x: ArrayLike) -> ndarray: ...
@overload
def power(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def power(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def power(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def prod(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def prod(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def ptp(x: Value, axis: Axes = ..., keepdims: bool = ...) -> Tensor: ...
@overload
def ptp(x: ArrayLike, axis: Axes = ..., keepdims: bool = ...) -> ndarray: ...
@overload
def quantile(
    x: Value, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> Tensor: ...
@overload
def quantile(
    x: ArrayLike, q: Any, axis: Axes = ..., *, method: str = ..., keepdims: bool = ...
) -> ndarray: ...
@overload
def rad2deg(x: Value) -> Tensor: ...
@overload
def rad2deg(x: ArrayLike) -> ndarray: ...
@overload
def radians(x: Value) -> Tensor: ...
@overload
def radians(x: ArrayLike) -> ndarray: ...
@overload
def ravel(x: Value, order: str = ...) -> Tensor: ...
@overload
def ravel(x: ArrayLike, order: str = ...) -> ndarray: ...
@overload
def reciprocal(x: Value) -> Tensor: ...
@overload
def reciprocal(x: ArrayLike) -> ndarray: ...
@overload
def relu(x: Value) -> Tensor: ...
@overload
def relu(x: ArrayLike) -> ndarray: ...
@overload
def remainder(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def remainder(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def remainder(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def repeat(x: Value, repeats: Any, axis: int | None = ...) -> Tensor: ...
@overload
def repeat(x: ArrayLike, repeats: Any, axis: int | None = ...) -> ndarray: ...
@overload
def reshape(x: Value, shape: Any, *, order: str | None = ...) -> Tensor: ...
@overload
def reshape(x: ArrayLike, shape: Any, *, order: str | None = ...) -> ndarray: ...
@overload
def resize(x: Value, new_shape: Any) -> Tensor: ...
@overload
def resize(x: ArrayLike, new_shape: Any) -> ndarray: ...
@overload
def rint(x: Value) -> Tensor: ...
@overload
def rint(x: ArrayLike) -> ndarray: ...
@overload
def roll(x: Value, shift: Any, axis: Axes = ...) -> Tensor: ...
@overload
def roll(x: ArrayLike, shift: Any, axis: Axes = ...) -> ndarray: ...
@overload
def rollaxis(x: Value, axis: int, start: int = ...) -> Tensor: ...
@overload
def rollaxis(x: ArrayLike, axis: int, start: int = ...) -> ndarray: ...
@overload
def rot90(x: Value, k: int = ..., axes: tuple[int, int] = ...) -> Tensor: ...
@overload
def rot90(x: ArrayLike, k: int = ..., axes: tuple[int, int] = ...) -> ndarray: ...
@overload
def round(x: Value, decimals: int = ...) -> Tensor: ...
@overload
def round(x: ArrayLike, decimals: int = ...) -> ndarray: ...
@overload
def searchsorted(x: Value, v: ArrayLike | Value, side: str = ..., sorter: Any = ...) -> Any: ...
@overload
def searchsorted(x: ArrayLike, v: Value, side: str = ..., sorter: Any = ...) -> Any: ...
@overload
def searchsorted(x: ArrayLike, v: ArrayLike, side: str = ..., sorter: Any = ...) -> Any: ...
@overload
def select(
    condlist: Sequence[Any], choicelist: Value | Sequence[Value], default: ArrayLike | Value = ...
) -> Tensor: ...
@overload
def select(
    condlist: Sequence[Any], choicelist: ArrayLike | Sequence[ArrayLike], default: Value
) -> Tensor: ...
@overload
def select(
    condlist: Sequence[Any], choicelist: ArrayLike | Sequence[ArrayLike], default: ArrayLike = ...
) -> ndarray: ...
@overload
def shape_of(x: Value) -> tuple[int, ...]: ...
@overload
def shape_of(x: ArrayLike) -> tuple[int, ...]: ...
@overload
def sigmoid(x: Value) -> Tensor: ...
@overload
def sigmoid(x: ArrayLike) -> ndarray: ...
@overload
def sign(x: Value) -> Tensor: ...
@overload
def sign(x: ArrayLike) -> ndarray: ...
@overload
def signbit(x: Value) -> Tensor: ...
@overload
def signbit(x: ArrayLike) -> ndarray: ...
@overload
def sin(x: Value) -> Tensor: ...
@overload
def sin(x: ArrayLike) -> ndarray: ...
@overload
def sinc(x: Value) -> Tensor: ...
@overload
def sinc(x: ArrayLike) -> ndarray: ...
@overload
def sinh(x: Value) -> Tensor: ...
@overload
def sinh(x: ArrayLike) -> ndarray: ...
@overload
def softmax(x: Value, axis: Axes = ...) -> Tensor: ...
@overload
def softmax(x: ArrayLike, axis: Axes = ...) -> ndarray: ...
@overload
def softplus(x: Value) -> Tensor: ...
@overload
def softplus(x: ArrayLike) -> ndarray: ...
@overload
def sort(
    x: Value, axis: int | None = ..., *, kind: str | None = ..., stable: bool | None = ...
) -> Tensor: ...
@overload
def sort(
    x: ArrayLike, axis: int | None = ..., *, kind: str | None = ..., stable: bool | None = ...
) -> ndarray: ...
@overload
def split(x: Value, indices_or_sections: Any, axis: int = ...) -> list[Tensor]: ...
@overload
def split(x: ArrayLike, indices_or_sections: Any, axis: int = ...) -> list[ndarray]: ...
@overload
def sqrt(x: Value) -> Tensor: ...
@overload
def sqrt(x: ArrayLike) -> ndarray: ...
@overload
def square(x: Value) -> Tensor: ...
@overload
def square(x: ArrayLike) -> ndarray: ...
@overload
def squeeze(x: Value, axis: Axes = ...) -> Tensor: ...
@overload
def squeeze(x: ArrayLike, axis: Axes = ...) -> ndarray: ...
@overload
def stack(arrays: Value | Sequence[Value], axis: int = ..., *, dtype: Any = ...) -> Tensor: ...
@overload
def stack(
    arrays: ArrayLike | Sequence[ArrayLike], axis: int = ..., *, dtype: Any = ...
) -> ndarray: ...
@overload
def std(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | Value | None = ...,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def std(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: Value,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def std(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | None = ...,
    correction: float | None = ...,
) -> ndarray: ...
@overload
def subtract(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def subtract(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def subtract(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def sum(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> Tensor: ...
@overload
def sum(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    dtype: Any = ...,
    initial: float | None = ...,
    where: Any = ...,
) -> ndarray: ...
@overload
def sum_to(x: Value, shape: Any) -> Tensor: ...
@overload
def sum_to(x: ArrayLike, shape: Any) -> ndarray: ...
@overload
def swapaxes(x: Value, axis1: int, axis2: int) -> Tensor: ...
@overload
def swapaxes(x: ArrayLike, axis1: int, axis2: int) -> ndarray: ...
@overload
def take(x: Value, indices: Any, axis: int | None = ...) -> Tensor: ...
@overload
def take(x: ArrayLike, indices: Any, axis: int | None = ...) -> ndarray: ...
@overload
def take_along_axis(x: Value, indices: ArrayLike | Value, axis: int | None = ...) -> Tensor: ...
@overload
def take_along_axis(x: ArrayLike, indices: Value, axis: int | None = ...) -> Tensor: ...
@overload
def take_along_axis(x: ArrayLike, indices: ArrayLike, axis: int | None = ...) -> ndarray: ...
@overload
def tan(x: Value) -> Tensor: ...
@overload
def tan(x: ArrayLike) -> ndarray: ...
@overload
def tanh(x: Value) -> Tensor: ...
@overload
def tanh(x: ArrayLike) -> ndarray: ...
@overload
def tensordot(x: Value, y: ArrayLike | Value, axes: Any = ...) -> Tensor: ...
@overload
def tensordot(x: ArrayLike, y: Value, axes: Any = ...) -> Tensor: ...
@overload
def tensordot(x: ArrayLike, y: ArrayLike, axes: Any = ...) -> ndarray: ...
@overload
def tile(x: Value, reps: Any) -> Tensor: ...
@overload
def tile(x: ArrayLike, reps: Any) -> ndarray: ...
@overload
def trace(
    x: Value, offset: int = ..., axis1: int = ..., axis2: int = ..., *, dtype: Any = ...
) -> Tensor: ...
@overload
def trace(
    x: ArrayLike, offset: int = ..., axis1: int = ..., axis2: int = ..., *, dtype: Any = ...
) -> ndarray: ...
@overload
def transpose(x: Value, axes: Sequence[int] | None = ...) -> Tensor: ...
@overload
def transpose(x: ArrayLike, axes: Sequence[int] | None = ...) -> ndarray: ...
@overload
def trapezoid(
    y: Value, x: ArrayLike | Value | None = ..., dx: float = ..., axis: int = ...
) -> Tensor: ...
@overload
def trapezoid(y: ArrayLike, x: Value, dx: float = ..., axis: int = ...) -> Tensor: ...
@overload
def trapezoid(
    y: ArrayLike, x: ArrayLike | None = ..., dx: float = ..., axis: int = ...
) -> ndarray: ...
@overload
def tril(x: Value, k: int = ...) -> Tensor: ...
@overload
def tril(x: ArrayLike, k: int = ...) -> ndarray: ...
@overload
def trim_zeros(x: Value, trim: str = ...) -> Tensor: ...
@overload
def trim_zeros(x: ArrayLike, trim: str = ...) -> ndarray: ...
@overload
def triu(x: Value, k: int = ...) -> Tensor: ...
@overload
def triu(x: ArrayLike, k: int = ...) -> ndarray: ...
@overload
def trunc(x: Value) -> Tensor: ...
@overload
def trunc(x: ArrayLike) -> ndarray: ...
@overload
def unique(
    x: Value,
    return_index: bool = ...,
    return_inverse: bool = ...,
    return_counts: bool = ...,
    axis: int | None = ...,
    *,
    equal_nan: bool = ...,
) -> Any: ...
@overload
def unique(
    x: ArrayLike,
    return_index: bool = ...,
    return_inverse: bool = ...,
    return_counts: bool = ...,
    axis: int | None = ...,
    *,
    equal_nan: bool = ...,
) -> Any: ...
@overload
def unstack(x: Value, *, axis: int = ...) -> tuple[Tensor, ...]: ...
@overload
def unstack(x: ArrayLike, *, axis: int = ...) -> tuple[ndarray, ...]: ...
@overload
def unwindow(
    y: Value, shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair
) -> Tensor: ...
@overload
def unwindow(
    y: ArrayLike, shape: tuple[int, ...], kernel: Pair, stride: Pair, dilation: Pair
) -> ndarray: ...
@overload
def unwrap(
    x: Value, discont: float | None = ..., axis: int = ..., *, period: float = ...
) -> Tensor: ...
@overload
def unwrap(
    x: ArrayLike, discont: float | None = ..., axis: int = ..., *, period: float = ...
) -> ndarray: ...
@overload
def vander(x: Value, N: int | None = ..., increasing: bool = ...) -> Tensor: ...
@overload
def vander(x: ArrayLike, N: int | None = ..., increasing: bool = ...) -> ndarray: ...
@overload
def var(
    x: Value,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | Value | None = ...,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def var(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: Value,
    correction: float | None = ...,
) -> Tensor: ...
@overload
def var(
    x: ArrayLike,
    axis: Axes = ...,
    keepdims: bool = ...,
    *,
    ddof: float = ...,
    dtype: Any = ...,
    where: Any = ...,
    mean: ArrayLike | None = ...,
    correction: float | None = ...,
) -> ndarray: ...
@overload
def vdot(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def vdot(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def vdot(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def vecdot(x: Value, y: ArrayLike | Value, axis: int = ...) -> Tensor: ...
@overload
def vecdot(x: ArrayLike, y: Value, axis: int = ...) -> Tensor: ...
@overload
def vecdot(x: ArrayLike, y: ArrayLike, axis: int = ...) -> ndarray: ...
@overload
def vecmat(x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def vecmat(x: ArrayLike, y: Value) -> Tensor: ...
@overload
def vecmat(x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def vsplit(x: Value, indices_or_sections: Any) -> list[Tensor]: ...
@overload
def vsplit(x: ArrayLike, indices_or_sections: Any) -> list[ndarray]: ...
@overload
def vstack(arrays: Value | Sequence[Value]) -> Tensor: ...
@overload
def vstack(arrays: ArrayLike | Sequence[ArrayLike]) -> ndarray: ...
@overload
def where(condition: Value, x: ArrayLike | Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def where(condition: ArrayLike, x: Value, y: ArrayLike | Value) -> Tensor: ...
@overload
def where(condition: ArrayLike, x: ArrayLike, y: Value) -> Tensor: ...
@overload
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> ndarray: ...
@overload
def windows(x: Value, kernel: Pair, stride: Pair = ..., dilation: Pair = ...) -> Tensor: ...
@overload
def windows(x: ArrayLike, kernel: Pair, stride: Pair = ..., dilation: Pair = ...) -> ndarray: ...

__all__: list[str] = [
    "abs",
    "add",
    "amax",
    "amin",
    "append",
    "apply_along_axis",
    "apply_over_axes",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "array",
    "array_split",
    "astype",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "average",
    "bincount",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "block",
    "broadcast_arrays",
    "broadcast_to",
    "cbrt",
    "ceil",
    "choose",
    "clip",
    "column_stack",
    "compress",
    "concatenate",
    "conv2d",
    "convolve",
    "copy",
    "copysign",
    "corrcoef",
    "correlate",
    "cos",
    "cosh",
    "cov",
    "cross",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "deg2rad",
    "degrees",
    "delete",
    "diag",
    "diagflat",
    "diagonal",
    "diff",
    "divide",
    "divmod",
    "dot",
    "dropout",
    "dsplit",
    "dstack",
    "ediff1d",
    "einsum",
    "embedding",
    "equal",
    "erf",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "extract",
    "fabs",
    "fix",
    "flip",
    "fliplr",
    "flipud",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "geomspace",
    "getitem",
    "gradient",
    "greater",
    "greater_equal",
    "heaviside",
    "hsplit",
    "hstack",
    "hypot",
    "i0",
    "inner",
    "insert",
    "interp",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "kron",
    "layer_norm",
    "ldexp",
    "less",
    "less_equal",
    "linalg",
    "linear",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logspace",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "matvec",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "mod",
    "modf",
    "moveaxis",
    "multiply",
    "nan_to_num",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanpercentile",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
    "negative",
    "nextafter",
    "not_equal",
    "one_hot",
    "outer",
    "pad",
    "partition",
    "percentile",
    "permute_dims",
    "piecewise",
    "place",
    "poly",
    "polyadd",
    "polyder",
    "polydiv",
    "polyfit",
    "polyint",
    "polymul",
    "polysub",
    "polyval",
    "positive",
    "power",
    "prod",
    "ptp",
    "quantile",
    "rad2deg",
    "radians",
    "ravel",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "resize",
    "rint",
    "roll",
    "rollaxis",
    "rot90",
    "round",
    "searchsorted",
    "select",
    "shape_of",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "sum_to",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "trace",
    "transpose",
    "trapezoid",
    "tril",
    "trim_zeros",
    "triu",
    "trunc",
    "unique",
    "unstack",
    "unwindow",
    "unwrap",
    "vander",
    "var",
    "vdot",
    "vecdot",
    "vecmat",
    "vsplit",
    "vstack",
    "where",
    "windows",
]
