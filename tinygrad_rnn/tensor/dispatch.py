"""How a call of a NumPy function on Tensors reaches the library's operation.

NumPy asks the Tensor: by ``__array_ufunc__`` for ufuncs, by ``__array_function__`` for others. If
the library has an operation of the same name, that is called. A function without a derivative gets
the Tensors' arrays. Any other function raises a TypeError that names it.

The caller passes arguments in NumPy's order and by NumPy's names. So each function gets an
*adapter* with NumPy's signature, generated at its first call: Python binds the arguments. It
refuses an argument that has no meaning here, by name.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..graph import Value, attach, raise_as
from ..ops import linalg
from . import questions

Function = Callable[..., Any]


def _plain(x: Any) -> Any:
    """x with arrays instead of Tensors, in sequences too."""
    if isinstance(x, Value):
        return x._array
    if isinstance(x, (list, tuple)):
        return type(x)([_plain(part) for part in x])
    return x


def _without_gradient(function: Function) -> Function:
    """A function that has no derivative: it gets the arrays, and its result is returned."""
    answer = questions.answers.get(function)

    def call(*args: Any, **keywords: Any) -> Any:
        if answer is not None and any(map(questions.is_without_numbers, args)):
            with contextlib.suppress(TypeError):  # an argument that it has not: NumPy is refused
                return answer(*args, **keywords)
        return function(*map(_plain, args), **{k: _plain(v) for k, v in keywords.items()})

    return call


# ── ufuncs ───────────────────────────────────────────────────────────────────────────────


def _names(text: str) -> list[str]:
    return text.split()


def _named(module: Any, operations: dict[str, Function]) -> dict[Any, Function]:
    """The functions of a NumPy module that have the name of an operation, each with that."""
    return {
        getattr(module, name): operation
        for name, operation in operations.items()
        if hasattr(module, name) and not isinstance(getattr(module, name), type)
    }


_operations: dict[str, Function] = {name: getattr(ops, name) for name in ops.__all__}
_operations |= {"around": ops.round, "real": ops.copy, "conjugate": ops.copy}
_operations |= {"real_if_close": ops.copy, "unique_values": ops.unique}
_by_name = _named(np, _operations) | _named(
    np.linalg, {name: getattr(linalg, name) for name in linalg.__all__}
)

#: NumPy's ufuncs, each with the operation of the same name.
ufuncs: dict[np.ufunc, Function] = {
    theirs: ours for theirs, ours in _by_name.items() if isinstance(theirs, np.ufunc)
}

#: Ufuncs that return booleans or integers, or take nothing else: no graph is recorded.
constant_ufuncs = frozenset(
    getattr(np, name)
    for name in _names(
        "isnan isfinite isinf logical_and logical_or logical_xor logical_not signbit gcd lcm "
        "bitwise_and bitwise_or bitwise_xor invert left_shift right_shift spacing bitwise_count"
    )
)

_reductions: dict[np.ufunc, Function] = {
    np.add: ops.sum,
    np.multiply: ops.prod,
    np.maximum: ops.max,
    np.minimum: ops.min,
    np.fmax: ops.nanmax,
    np.fmin: ops.nanmin,
    np.logaddexp: ops.logsumexp,
}
_accumulations: dict[np.ufunc, Function] = {np.add: ops.cumsum, np.multiply: ops.cumprod}


def call_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], keywords: Any) -> Any:
    """A ufunc of NumPy's on Tensors, or one of its methods (``np.add.reduce``)."""
    op = ufuncs.get(ufunc)
    name = f"numpy.{ufunc.__name__}"
    # Nothing to record: call NumPy on the arrays.
    if ufunc in constant_ufuncs and (op is None or method != "__call__"):
        refused = keywords.keys() if method == "__call__" else keywords.keys() & {"out"}
        if refused:
            raise TypeError(f"{name} of Tensors takes no {', '.join(sorted(refused))}")
        if method == "reduce" and questions.is_without_numbers(inputs[0]):
            reduction = questions.reductions.get(ufunc)
            if reduction is not None:
                with contextlib.suppress(TypeError):
                    return _along_first(reduction, name, inputs, keywords)
        on_arrays = _without_gradient(getattr(ufunc, method))
        return attach(np.asarray(on_arrays(*inputs, **keywords)), None)
    if method == "outer" and op is not None and ufunc.nin == 2 and not keywords:
        return _outer(op, *inputs)
    if method == "reduce" and ufunc in _reductions:
        return _along_first(_reductions[ufunc], name, inputs, keywords)
    if method == "accumulate" and ufunc in _accumulations:
        return _along_first(_accumulations[ufunc], name, inputs, keywords)
    if op is None or method != "__call__":
        call = "" if method == "__call__" else f".{method}"
        raise TypeError(f"{name}{call} has no rule for Tensors")
    if keywords and not (op is ops.vecdot and set(keywords) == {"axis"}):
        raise TypeError(f"{name} of Tensors takes no {', '.join(sorted(keywords))}")
    return op(*inputs, **keywords)


def _outer(op: Function, x: Any, y: Any) -> Any:
    """``op`` of every element of x with every element of y."""
    return op(ops.reshape(x, ops.shape_of(x) + (1,) * len(ops.shape_of(y))), y)


def _along_first(op: Function, name: str, inputs: tuple[Any, ...], keywords: Any) -> Any:
    """A method of a ufunc: along axis 0 by default."""
    # The arguments may come by position, in the order of ``np.add.reduce``.
    names = ("axis", "dtype", "out", "keepdims", "initial", "where")
    given = dict(zip(names, inputs[1:], strict=False)) | keywords
    given = {"axis": 0} | {k: v for k, v in given.items() if v is not np._NoValue}
    if given.get("out") is not None:
        raise TypeError(f"{name} of Tensors takes no out")
    if given.get("where") is True:
        del given["where"]
    return op(inputs[0], **{k: v for k, v in given.items() if v is not None or k == "axis"})


# ── other functions ──────────────────────────────────────────────────────────────────────


def _clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
) -> Any:
    if out is not None:
        _refuse("out")
    return ops.clip(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _einsum(*operands: Any, out: Any = None, optimize: Any = False, **others: Any) -> Any:
    for name, value in {"out": out, **others}.items():
        if value is not None:
            _refuse(name)
    return ops.einsum(*operands)


def _full_like(a: Any, fill_value: Any, dtype: Any = None, **others: Any) -> Any:
    if not isinstance(fill_value, Value):
        return np.full_like(_plain(a), fill_value, dtype, **others)
    dtype = _plain(a).dtype if dtype is None else dtype
    return ops.broadcast_to(ops.astype(fill_value, dtype), ops.shape_of(a))


def _reshape(
    a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None
) -> Any:
    if copy is False:
        _refuse("copy")
    shape = newshape if shape is None else shape
    return ops.reshape(a, shape, order=None if order == "C" else order)


def _where(condition: Any, *branches: Any) -> Any:
    return ops.where(condition, *branches) if branches else np.nonzero(_plain(condition))


# NumPy's functions whose arguments need more than matching names.
_written_here: dict[Function, Function] = {
    np.clip: _clip,
    np.einsum: _einsum,
    np.full_like: _full_like,
    np.reshape: _reshape,
    np.where: _where,
}

_without_derivative = _names(
    "shape ndim size zeros_like ones_like empty_like array_equal array_equiv allclose isclose "
    "array2string array_repr array_str any all argwhere nonzero flatnonzero count_nonzero "
    "digitize lexsort nanargmax nanargmin isin "
    "isposinf isneginf isreal iscomplex isrealobj iscomplexobj common_type result_type can_cast "
    "min_scalar_type may_share_memory shares_memory histogram histogram2d histogramdd "
    "histogram_bin_edges einsum_path diag_indices_from tril_indices_from triu_indices_from "
    "ravel_multi_index unravel_index imag angle unique_inverse unique_counts unique_all "
    "intersect1d union1d setdiff1d setxor1d packbits unpackbits"
)


#: NumPy's functions that take Tensors, each with ours; ``adapter`` translates the arguments.
functions: dict[Function, Function] = {
    theirs: ours for theirs, ours in _by_name.items() if not isinstance(theirs, np.ufunc)
}
functions |= {
    getattr(np, name): _without_gradient(getattr(np, name))
    for name in _without_derivative
    if hasattr(np, name)
}
functions |= _written_here

#: NumPy's names for our arguments, where they differ; only arguments with a default.
_our_names = {"xs": "arrays"}
#: Arguments that change no value: they are ignored.
_meaningless = frozenset({"casting", "kind", "like", "device", "copy", "order"})

# Signatures of functions written in C, which `inspect` cannot see before NumPy 2.4.
_signatures: dict[Function, Function] = {
    np.concatenate: lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": None,
    np.dot: lambda a, b, out=None: None,
    np.inner: lambda a, b, /: None,
    np.vdot: lambda a, b, /: None,
    np.bincount: lambda x, /, weights=None, minlength=0: None,
}


def _signature(function: Function) -> inspect.Signature:
    return inspect.signature(_signatures.get(function, function))


@functools.cache
def adapter(function: Function) -> Function | None:
    """A function of NumPy's signature that calls ours; None if there is none."""
    ours = functions.get(function)
    if ours is None or function in _written_here or function.__name__ in _without_derivative:
        return ours
    return _written(function, _signature(function), inspect.signature(ours))


def _written(function: Function, theirs: inspect.Signature, known: inspect.Signature) -> Function:
    """The adapter: arguments without a default go by position, the others by name. For np.std:

    def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=None, ...):
        if out is not defaults["out"]: refuse("out")
        return ours(a, axis=axis, dtype=dtype, ddof=ddof, keepdims=keepdims, where=where, ...)
    """
    heads: list[str] = []
    checks: list[str] = []
    passed: list[str] = []
    named: list[str] = []
    defaults: dict[str, Any] = {}
    starred = False
    for name, p in theirs.parameters.items():
        if p.kind is p.VAR_POSITIONAL or p.kind is p.VAR_KEYWORD:
            stars = "*" if p.kind is p.VAR_POSITIONAL else "**"
            starred = True
            heads.append(stars + name)
            (passed if stars == "*" else named).append(stars + name)
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            starred = True
            heads.append("*")
        # Ours may name this argument otherwise, so it is passed by position.
        if p.default is p.empty:
            heads.append(name)
            passed.append(name)
            continue
        mine = known.parameters.get(_our_names.get(name, name))
        heads.append(f"{name}=defaults[{name!r}]")
        defaults[name] = p.default if mine is None else mine.default
        if mine is not None:
            named.append(f"{mine.name}={name}")
        elif name not in _meaningless:
            # An argument that we do not have may be given only as NumPy's default, by identity: an
            # array has no truth value to compare by.
            checks.append(f"    if {name} is not defaults[{name!r}]: refuse({name!r})")
    lines = [f"def {function.__name__}({', '.join(heads)}):", *checks]
    lines.append(f"    return ours({', '.join(passed + named)})")
    made: dict[str, Any] = {"defaults": defaults, "refuse": _refuse, "ours": functions[function]}
    exec("\n".join(lines), made)
    written: Function = made[function.__name__]
    return written


def _refuse(name: str) -> Any:
    raise TypeError(f"the argument {name!r} has no meaning for Tensors")


def call_function(function: Function, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Call our operation for a NumPy function that got Tensors."""
    call = adapter(function)
    if call is None:
        raise TypeError(f"{function.__module__}.{function.__name__} has no rule for Tensors")
    try:
        return call(*args, **keywords)
    except TypeError as error:
        raise_as(f"{function.__module__}.{function.__name__}", error)
