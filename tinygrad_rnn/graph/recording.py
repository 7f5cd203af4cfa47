"""What happens when a primitive is called: its NumPy function runs, and leaves a node.

:func:`apply` does all of it. ``unary`` and ``binary`` do the same for the most common case, one or
two Tensors and nothing else: a small recurrent net spends most of its time on recording.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from .errors import check_finite, explained, numeric
from .nodes import Node, Scope, Value, next_number
from .primitives import Array, Primitive
from .scopes import current

_new = object.__new__
_asarray = np.asarray
_no_keywords: dict[str, Any] = {}
python_scalars = frozenset({float, int, bool})
_writable = (ndarray, list, dict)


# ── putting values into the graph ────────────────────────────────────────────────────────

_Tensor: type[Value] = Value


def set_tensor_class(cls: type[Value]) -> None:
    """Called once, by the room that defines Tensor: the class of what primitives return.

    ``graph`` comes before ``tensor`` and cannot import it.
    """
    global _Tensor
    _Tensor = cls


def attach(array: Any, node: Node | None) -> Value:
    """A Tensor of this array at this place in the graph."""
    value = _new(_Tensor)
    value._array = array
    value._label = None
    value.node = node
    return value


def read_only(array: ndarray) -> ndarray:
    """Make an array read-only, and return it.

    A graph holds the arrays of its Tensors, and scan remembers what it computed from a weight: both
    would be wrong if the numbers changed.
    """
    array.flags.writeable = False
    return array


def leaf(output: ndarray, name: str | None = None) -> Node:
    """A node with no parents: the place of a tensor that a gradient is wanted for."""
    node = record(None, (), (), output, _no_keywords, current().scope)
    if name is not None:
        node.name = name
    return node


def record(
    primitive: Primitive | None,
    parents: tuple[Node | str | None, ...],
    arrays: tuple[Any, ...],
    output: Any,
    keywords: dict[str, Any],
    scope: Scope,
) -> Node:
    node: Node = _new(Node)
    node.primitive = primitive
    node.parents = parents
    node.arrays = arrays
    node.output = output
    node.keywords = keywords
    node.scope = scope
    node.number = next_number()
    node.name = node.grad = node.reached = None
    return node


# ── calling a primitive ──────────────────────────────────────────────────────────────────


def apply(primitive: Primitive, inputs: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Run a primitive on any mix of Tensors, arrays and scalars; record it if a gradient flows."""
    state = current()
    if state.tracing is not None:
        for x in inputs:
            if isinstance(x, Value):
                return state.tracing(primitive, inputs, keywords)
    arrays: list[Any] = []
    parents: list[Node | str | None] = []
    # Is there a Tensor among the inputs? One that needs a gradient? Something that is neither a
    # Tensor nor a Python number, whose memory the caller may still write into?
    tensors = live = foreign = False
    try:
        for x in inputs:
            if isinstance(x, Value):
                tensors = True
                arrays.append(x._array)
                node = x.node
                if node is None:
                    parents.append(x._label)
                else:
                    parents.append(node)
                    live = True
            elif x is None or type(x) in python_scalars:
                arrays.append(x)
                parents.append(None)
            else:
                arrays.append(x if type(x) is ndarray else _asarray(x))
                parents.append(None)
                foreign = True
    except (ValueError, TypeError) as error:  # lists of different lengths
        raise explained(error, primitive, arrays, state.scope) from error
    if not tensors:
        try:
            return _asarray(primitive.forward(*arrays, **keywords))
        except ValueError as error:
            if primitive.expects is None:
                raise  # NumPy's message is clear
            raise explained(error, primitive, arrays, state.scope) from error

    # A primitive without rules is a constant of the graph, such as ``argmax``.
    record_it = live and state.recording and primitive.vjps is not None
    if foreign:
        # Only numbers enter a graph, and the caller may write into his arrays before backward.
        for i, x in enumerate(inputs):
            if not isinstance(x, Value) and isinstance(arrays[i], ndarray):
                numeric(x, primitive)
                if record_it:
                    arrays[i] = arrays[i].copy()
    for key, constant in keywords.items():
        if isinstance(constant, Value):
            raise TypeError(f"{primitive}: {key} must be a constant, got a Tensor")
        # The rules read it in backward, and the caller may write into it before that.
        if record_it and may_be_written(constant):
            keywords = {**keywords, key: copy.deepcopy(constant)}
    try:
        output = primitive.forward(*arrays, **keywords)
    except (ValueError, TypeError, IndexError, AttributeError) as error:  # None has no method exp
        raise explained(error, primitive, arrays, state.scope) from error
    # NumPy returns a scalar instead of a 0-d array.
    if type(output) is not ndarray:
        output = _asarray(output)
    if state.anomaly:
        check_finite(output, arrays, primitive, state.scope, "in its output", keywords)
    result: Value = _new(_Tensor)
    result._array = output
    result._label = None
    if record_it:
        require_rules(primitive, parents)
        result.node = record(
            primitive, tuple(parents), tuple(arrays), output, keywords, state.scope
        )
    else:
        result.node = None
    return result


def may_be_written(constant: Any) -> bool:
    """Whether the caller of an operation may write into a constant argument later."""
    if type(constant) is tuple:
        return any(map(may_be_written, constant))
    return isinstance(constant, _writable)


def require_rules(primitive: Primitive, parents: list[Node | str | None]) -> None:
    i = -1
    for parent in parents:
        i += 1
        if type(parent) is Node and primitive.vjps[i] is None:
            refuse_without_rule(primitive, i, current().scope)


def refuse_without_rule(primitive: Primitive, i: int, scope: Scope) -> NoReturn:
    """Raise the error for an argument that needs a gradient, but has no rule."""
    raise TypeError(
        f"{primitive}: its argument {i} has no derivative, but came with a gradient "
        f"to be computed; pass x.detach() if it is meant as a constant{scope}"
    )


# These two repeat the bodies of ``attach`` and ``record``. Calling those would cost as much as
# the NumPy function itself does on the small arrays of a step.


def unary(op: Primitive, forward: Callable[[Any], Any]) -> Callable[..., Array]:
    def call(x: Array) -> Array:
        if not isinstance(x, Value):
            return _asarray(forward(x if type(x) is ndarray else _asarray(x)))
        state = current()
        node = x.node
        if node is None or not state.plain:
            if state.tracing is not None:
                return state.tracing(op, (x,), _no_keywords)
            return apply(op, (x,), _no_keywords)
        array = x._array
        try:
            output = forward(array)
        except (ValueError, TypeError) as error:
            raise explained(error, op, (array,), state.scope) from error
        if type(output) is not ndarray:
            output = _asarray(output)
        result: Value = _new(_Tensor)
        result._array = output
        result.node = made = _new(Node)
        made.primitive = op
        made.parents = (node,)
        made.arrays = (array,)
        made.output = output
        made.keywords = _no_keywords
        made.scope = state.scope
        made.number = next_number()
        made.name = made.grad = made.reached = None
        return result

    return call


def binary(op: Primitive, forward: Callable[[Any, Any], Any]) -> Callable[..., Array]:
    def call(x: Array, y: Array) -> Array:
        if not (isinstance(x, Value) and isinstance(y, Value)):
            if type(x) is ndarray and type(y) is ndarray and op.expects is None:
                return _asarray(forward(x, y))  # the usual case within a rule
            return apply(op, (x, y), _no_keywords)
        state = current()
        x_node = x.node
        y_node = y.node
        if (x_node is None and y_node is None) or not state.plain:
            if state.tracing is not None:
                return state.tracing(op, (x, y), _no_keywords)
            return apply(op, (x, y), _no_keywords)
        x_array = x._array
        y_array = y._array
        try:
            output = forward(x_array, y_array)
        except (ValueError, TypeError, IndexError) as error:
            raise explained(error, op, (x_array, y_array), state.scope) from error
        if type(output) is not ndarray:
            output = _asarray(output)
        result: Value = _new(_Tensor)
        result._array = output
        result.node = made = _new(Node)
        made.primitive = op
        made.parents = (x_node or x._label, y_node or y._label)
        made.arrays = (x_array, y_array)
        made.output = output
        made.keywords = _no_keywords
        made.scope = state.scope
        made.number = next_number()
        made.name = made.grad = made.reached = None
        return result

    return call
