"""Derivatives of tensors and of functions: each is one sweep, or a few.

The derivative of a function is taken at a variable that the function gets for itself, and the sweep
is recorded. So all of these can be applied to each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

import numpy as np

from .. import ops
from ..graph import (
    Node,
    Value,
    ancestors,
    attach,
    current,
    describe,
    enable_grad,
    leaf,
    numeric,
)
from .reverse import seed_of, sweep

if TYPE_CHECKING:
    from ..tensor import Tensor

_P = ParamSpec("_P")
_K = TypeVar("_K")


class _Gradient(Protocol[_P]):
    """``grad(f)``: a Tensor for an array; for arrays in dicts, lists and tuples the same of these.

    A list of numbers is an array, a list of arrays is not, which types cannot tell apart.
    """

    @overload
    def __call__(
        self, x: np.ndarray | Value | float, /, *args: _P.args, **keywords: _P.kwargs
    ) -> Tensor: ...
    @overload
    def __call__(
        self, x: dict[_K, Any], /, *args: _P.args, **keywords: _P.kwargs
    ) -> dict[_K, Any]: ...
    @overload
    def __call__(self, x: Sequence[Any], /, *args: _P.args, **keywords: _P.kwargs) -> Any: ...


class _WithValue(Protocol[_P]):
    """``value_and_grad(f)``: the value before the gradient."""

    @overload
    def __call__(
        self, x: np.ndarray | Value | float, /, *args: _P.args, **keywords: _P.kwargs
    ) -> tuple[Tensor, Tensor]: ...
    @overload
    def __call__(
        self, x: dict[_K, Any], /, *args: _P.args, **keywords: _P.kwargs
    ) -> tuple[Tensor, dict[_K, Any]]: ...
    @overload
    def __call__(
        self, x: Sequence[Any], /, *args: _P.args, **keywords: _P.kwargs
    ) -> tuple[Tensor, Any]: ...


@overload
def grad(
    output: Value, inputs: Value, grad_output: Any = ..., create_graph: bool = ...
) -> Tensor: ...
@overload
def grad(
    output: Value, inputs: Sequence[Value], grad_output: Any = ..., create_graph: bool = ...
) -> tuple[Tensor, ...]: ...
@overload
def grad(output: Callable[Concatenate[Tensor, _P], Value]) -> _Gradient[_P]: ...
@overload
def grad(output: Callable[Concatenate[Any, _P], Value]) -> _Gradient[_P]: ...
def grad(
    output: Any,
    inputs: Value | Sequence[Value] | None = None,
    grad_output: Any = None,
    create_graph: bool = False,
) -> Any:
    """The gradient of an output with respect to the given tensors; no ``.grad`` is touched.

        dL/dx for each x in inputs,   L = sum(output * grad_output)

    Of a function, and nothing else, it makes the function that returns the gradient for the first
    argument: ``grad(f)(x, ...)`` is ``value_and_grad(f)(x, ...)[1]``.

    Args:
        output: a scalar, or any shape together with ``grad_output``; or a function of Tensors.
        inputs: one Tensor or a sequence of them, leaves or intermediates, requiring grad.
        grad_output: the cotangent of the output, of its shape; 1 for a scalar.
        create_graph: record the sweep, so that the result can be differentiated again.

    Returns:
        A tuple of Tensors for a sequence, one Tensor for one; zeros where the output does not
        depend on the input.

    Raises:
        ValueError: the output is not a scalar and there is no ``grad_output``, or its shape is
            wrong, or an input does not require grad.
        TypeError: the output or an input is not a Tensor.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> dx = tg.grad(x ** 3, x, create_graph=True)
    >>> dx.item(), tg.grad(dx, x).item()
    (27.0, 18.0)
    >>> tg.grad(tg.grad(lambda x: x ** 3))(3.0).item()
    18.0
    """
    if inputs is None:
        if isinstance(output, Value) or not callable(output):
            raise TypeError("grad: expected the tensors to differentiate for, as inputs")
        return _gradient_of(output)
    if not isinstance(output, Value):
        raise TypeError(f"grad: expected an output Tensor, got {type(output).__name__}")
    single = isinstance(inputs, Value)
    sources: Sequence[Value] = (inputs,) if isinstance(inputs, Value) else tuple(inputs)
    for i, x in enumerate(sources):
        if not isinstance(x, Value):
            raise TypeError(f"grad: expected Tensors as inputs, input {i} is {type(x).__name__}")
        if x.node is None:
            raise ValueError(f"grad: input {i} ({describe(x)}) does not require grad")
    seed = seed_of(output, grad_output, "grad", "grad(y, x, grad_output)")
    found: dict[Node, Any] = {}
    # While scan traces a step there are no numbers, so the rules run on Tensors.
    tracing = current().tracing
    _require_gradients(tracing)
    on_tensors = create_graph or tracing is not None
    if output.node is not None:
        if on_tensors:
            given = isinstance(grad_output, Value)
            seed = grad_output if given else attach(seed, None)
            seed = ops.astype(seed, output._array.dtype)
        else:
            seed = seed.astype(output._array.dtype)
        nodes = {x.node for x in sources if x.node is not None}
        if tracing is not None:
            # scan checks later that these derivatives are those of the unrolled loop.
            tracing.asked.append((output.node, nodes))
        found = sweep({output.node: seed}, nodes, differentiable=on_tensors)
    gradients = tuple(_as_result(found.get(x.node) if x.node else None, x) for x in sources)
    # Without ``create_graph`` the result is a constant, although the sweep was recorded.
    if on_tensors and not create_graph:
        gradients = tuple(attach(g._array, None) for g in gradients)
    return gradients[0] if single else gradients


def _as_result(cotangent: Any, x: Value) -> Value:
    if cotangent is None:
        return attach(np.zeros_like(x._array), None)
    # A copy: an array of the sweep may be shared with another cotangent or with the graph.
    return cotangent if isinstance(cotangent, Value) else attach(np.array(cotangent), None)


# ── derivatives of functions ─────────────────────────────────────────────────────────────


def _require_gradients(tracing: Any) -> None:
    """Raise if a trace records operations without a graph: all gradients would be zeros."""
    refuse = getattr(tracing, "refuse_gradient", None)
    if refuse is not None:
        refuse()


def _variable(x: Any, where: str) -> Any:
    """A new place in the graph for x: a leaf, or a copy of an x that requires grad."""
    _require_gradients(current().tracing)
    if isinstance(x, Value) and x.node is not None:
        with enable_grad():  # the function is differentiated even under no_grad
            copy: Value = ops.positive(x)
        return copy
    if isinstance(x, Value) and current().tracing is not None:
        x = ops.positive(x)  # a value of its own, which no other gradient flows through
    array = x._array if isinstance(x, Value) else np.array(numeric(x, where))
    if array.dtype.kind != "f":
        raise TypeError(f"{where}: only floats have a derivative, got {array.dtype}")
    return attach(array, leaf(array))


def _value(y: Any) -> Value:
    return y if isinstance(y, Value) else attach(np.asarray(y), None)


def _settled(result: Value, own: set[Node | None]) -> Tensor:
    """The result, without its graph if that leads only to the variables that we made.

    Nobody outside has these variables, so nobody can differentiate for them. A graph that leads to
    another leaf stays: an outer derivative may need it.
    """
    node = result.node
    if node is None:
        return result  # type: ignore[return-value]
    leads_elsewhere = any(n.is_leaf and n not in own for n in ancestors([node]))
    if not leads_elsewhere or not current().recording:
        result = attach(result._array, None)
    return result  # type: ignore[return-value]


def _holds_arrays(x: Any) -> bool:
    """Whether x has a structure: nested lists of numbers are one array, and have none.

    Dicts and named tuples have one, and a list or tuple that has an array, or one of these, in it.
    """
    if isinstance(x, dict) or hasattr(type(x), "_make"):
        return True
    return isinstance(x, (list, tuple)) and any(
        isinstance(part, (np.ndarray, Value)) or _holds_arrays(part) for part in x
    )


def _map(f: Callable[[Any, str], Any], x: Any, place: str = "") -> Any:
    """f of every array in nested dicts, lists and tuples, and of its place: ``['W'][0]``."""
    if not _holds_arrays(x):
        return f(x, place)
    if isinstance(x, dict):
        return {key: _map(f, part, f"{place}[{key!r}]") for key, part in x.items()}
    kind = getattr(type(x), "_make", type(x))  # of a named tuple
    return kind([_map(f, part, f"{place}[{i}]") for i, part in enumerate(x)])


@overload
def value_and_grad(f: Callable[Concatenate[Tensor, _P], Value]) -> _WithValue[_P]: ...
@overload
def value_and_grad(f: Callable[Concatenate[Any, _P], Value]) -> _WithValue[_P]: ...
def value_and_grad(f: Callable[..., Value]) -> Any:
    """Turn f into a function that returns f's value and its gradient for the first argument.

    Args:
        f: a function that returns a scalar Tensor. Its first argument is an array, or arrays in
            dicts, lists and tuples, nested in any way.

    Returns:
        ``h(x, *args, **kw) -> (f(x, *args, **kw), df/dx)``: a Tensor and, in the structure of x,
        Tensors.

    Raises:
        ValueError: f returned something that is not a scalar.
        TypeError: the first argument does not hold floats.

    >>> import tinygrad_rnn as tg
    >>> value, gradient = tg.value_and_grad(lambda x: tg.sum(x * x))([1.0, 2.0])
    >>> value.item(), gradient.numpy()
    (5.0, array([2., 4.]))
    >>> _, gradient = tg.value_and_grad(lambda p: p["w"] * p["x"] + p["b"])(
    ...     {"w": 2.0, "x": 3.0, "b": 1.0}
    ... )
    >>> {name: g.item() for name, g in gradient.items()}
    {'w': 3.0, 'x': 2.0, 'b': 1.0}
    """

    @functools.wraps(f)
    def with_gradient(*args: Any, **keywords: Any) -> Any:
        if not args:
            raise TypeError("value_and_grad: expected an argument to differentiate for, got none")
        variables: list[Value] = []

        def variable(x: Any, place: str) -> Value:
            variables.append(_variable(x, f"value_and_grad{place and f': argument 0{place}'}"))
            return variables[-1]

        x = _map(variable, args[0])
        own: set[Node | None] = {v.node for v in variables}
        with enable_grad():
            value = _value(f(x, *args[1:], **keywords))
        settled = _settled(value, own)
        with enable_grad():
            # An outer derivative may differentiate the gradient for what else f depends on.
            found = iter(grad(value, variables, create_graph=settled.node is not None))
        return settled, _map(lambda *_: _settled(next(found), own), x)

    return with_gradient


def _gradient_of(f: Callable[..., Value]) -> Callable[..., Any]:
    with_value: Callable[..., Any] = value_and_grad(f)

    @functools.wraps(f)
    def gradient(*args: Any, **keywords: Any) -> Any:
        return with_value(*args, **keywords)[1]

    return gradient


def jvp(f: Callable[[Tensor], Value], x: Any, v: Any) -> Tensor:
    """The derivative of f at x in the direction v: the Jacobian-vector product ``J v``.

    Computed with two reverse sweeps: ``u -> J' u`` is linear, and its own transpose is ``J``.

    Args:
        f: a function of one Tensor that returns a Tensor.
        x: where; an array or a Tensor of floats.
        v: the direction, of x's shape.

    Returns:
        A Tensor of f(x)'s shape.

    Raises:
        ValueError: v has another shape than x.
        TypeError: x does not hold floats.

    Source: the trick is J. Townsend's, https://j-towns.github.io/2017/06/12/A-new-trick.html

    >>> import tinygrad_rnn as tg
    >>> tg.jvp(tg.sin, [0.0, 0.0], [1.0, 2.0]).numpy()
    array([1., 2.])
    """
    x = _variable(x, "jvp")
    with enable_grad():
        y = _value(f(x))
        # The pulled-back cotangent J' u is linear in u. So its derivative is the same at every u,
        # and zeros do.
        zeros = np.zeros_like(y._array)
        u = attach(zeros, leaf(zeros))
        pulled = grad(y, x, u, create_graph=True)
        pushed = grad(pulled, u, _direction(v, x, "jvp"), create_graph=True)
    return _settled(pushed, {x.node, u.node})


def _direction(v: Any, x: Value, where: str) -> Any:
    shape = ops.shape_of(v)
    if shape != x._array.shape:
        raise ValueError(f"{where}: expected a direction of shape {x._array.shape}, got {shape}")
    return v


def jacobian(f: Callable[[Tensor], Value], x: Any) -> Tensor:
    """All derivatives of f at x: ``J[i, j] = df_i / dx_j``.

    One reverse sweep for each element of f(x).

    Args:
        f: a function of one Tensor that returns a Tensor.
        x: where; an array or a Tensor of floats.

    Returns:
        A Tensor of shape ``f(x).shape + x.shape``.

    Raises:
        TypeError: x does not hold floats.

    >>> import tinygrad_rnn as tg
    >>> tg.jacobian(lambda x: x * x, [1.0, 2.0]).numpy()
    array([[2., 0.],
           [0., 4.]])
    """
    x = _variable(x, "jacobian")
    with enable_grad():
        y = _value(f(x))
        shape = y._array.shape + x._array.shape
        rows = []
        for i in range(y._array.size):
            # Row i of J is the gradient of y_i: pull back the i-th unit vector.
            one = np.zeros(y._array.size, y._array.dtype)
            one[i] = 1
            rows.append(grad(y, x, one.reshape(y._array.shape), create_graph=True))
        if not rows:
            return attach(np.zeros(shape, x._array.dtype), None)  # type: ignore[return-value]
        result = ops.reshape(ops.stack(rows), shape)
    return _settled(result, {x.node})


def hessian(f: Callable[[Tensor], Value], x: Any) -> Tensor:
    """All second derivatives of a scalar function: ``H[i, j] = d^2 f / dx_i dx_j``.

    Args:
        f: a function of one Tensor that returns a scalar Tensor.
        x: where; an array or a Tensor of floats.

    Returns:
        A Tensor of shape ``x.shape + x.shape``.

    Raises:
        ValueError: f(x) is not a scalar.
        TypeError: x does not hold floats.

    >>> import tinygrad_rnn as tg
    >>> tg.hessian(lambda x: tg.sum(x ** 3), [1.0, 2.0]).numpy()
    array([[ 6.,  0.],
           [ 0., 12.]])
    """
    # The Hessian is the Jacobian of the gradient.
    return jacobian(lambda x: grad(_value(f(x)), x, create_graph=True), x)


def hvp(f: Callable[[Tensor], Value], x: Any, v: Any) -> Tensor:
    """The Hessian of a scalar function times a vector, ``H v``, without building H.

    The gradient of ``v . grad f``: two sweeps, whatever the size of x.

    Args:
        f: a function of one Tensor that returns a scalar Tensor.
        x: where; an array or a Tensor of floats.
        v: the vector, of x's shape.

    Returns:
        A Tensor of x's shape.

    Raises:
        ValueError: f(x) is not a scalar, or v has another shape than x.
        TypeError: x does not hold floats.

    Source: Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation 6 (1994).

    >>> import tinygrad_rnn as tg
    >>> tg.hvp(lambda x: tg.sum(x ** 3), [1.0, 2.0], [1.0, 1.0]).numpy()
    array([ 6., 12.])
    """
    x = _variable(x, "hvp")
    v = _direction(v, x, "hvp")
    with enable_grad():
        gradient = grad(_value(f(x)), x, create_graph=True)
        # H is symmetric, so the gradient of v . grad f is H v.
        result = grad(gradient, x, v, create_graph=True)
    return _settled(result, {x.node})
