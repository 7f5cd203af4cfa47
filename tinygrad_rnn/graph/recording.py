"""Primitives, and what happens when one is called: its NumPy function runs, and leaves a node.

:func:`apply` is that in full. ``unary`` and ``binary`` are the same for the commonest case, one or
two Tensors and nothing else: recording is most of what a small recurrent net spends its time on.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn, ParamSpec, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy import ndarray

from .batching import BatchRule, Blocks, Operand, batch_elementwise
from .nodes import Node, Scope, Value, next_number
from .scopes import current

#: What a primitive takes and gives: a Tensor in the graph, or anything ``np.asarray`` takes.
#: Which of the two comes out depends on what went in, which Python's types cannot say.
Array: TypeAlias = Any
Rule: TypeAlias = Callable[..., Array]
View: TypeAlias = bool | Literal["maybe", "unknown"]
Linear: TypeAlias = tuple[tuple[int, ...], ...] | Literal["all", "each"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_new = object.__new__
_asarray = np.asarray
_no_keywords: dict[str, Any] = {}
python_scalars = frozenset({float, int, bool})
_writable = (ndarray, list, dict)


# ── what a primitive is ──────────────────────────────────────────────────────────────────


class ForEach:
    """The rules of a primitive that takes any number of arrays: one rule, told which.

    ``ForEach(rule)[i]`` is ``rule`` with ``i`` as its first argument.
    """

    def __init__(self, rule: Rule):
        self.rule = rule

    def __getitem__(self, index: int) -> Rule:
        return functools.partial(self.rule, index)

    def __iter__(self) -> Iterator[Rule]:
        return (functools.partial(self.rule, index) for index in itertools.count())


def same(g: Array, *_: Any) -> Array:
    """The rule of an input that goes into the output as it is: its cotangent is the output's."""
    return g


class Traits(TypedDict, total=False):
    """What the decorators hand on to :class:`Primitive` as it is."""

    batch: BatchRule
    view: View | Callable[[dict[str, Any]], View]
    linear: Linear | Callable[[dict[str, Any]], Linear]
    symbol: str | None
    sign: str
    moves: bool
    written_out: Callable[..., Array]
    into: Callable[[dict[str, Any]], Sequence[tuple[Any, ...]]]
    range: tuple[float, float]
    scalar: str
    expects: str
    onnx: str | Callable[..., Any]


class Argument(int):
    """In :attr:`Primitive.into`: the array argument of this number."""


#: In :attr:`Primitive.into`: the array to write to, and all array arguments as one tuple.
OUT, ALL = Argument(-1), Argument(-2)


class Primitive:
    """An operation and all that is known about it: one row of the table of rules.

    Attributes:
        name: its place in the table; ``str()`` is what errors call it.
        forward: ``forward(*arrays, **keywords) -> array``, plain NumPy.
        vjps: for each array argument its rule ``vjp(g, out, *inputs, **keywords)``, the
            cotangent of that input given the cotangent ``g`` of the output (the product of g
            with the Jacobian, hence vector-Jacobian product); None where it has no derivative.
        elementwise: the inputs broadcast, and what a rule returns is summed back to the input's
            shape; any other rule must return that shape exactly.
        add_into: for rules that touch a small part of their input (indexing): adds the
            cotangent into a buffer of the input's shape instead of making an array of zeros.
        arity: 1 or 2 where the rules take that many arrays and no keywords, which the sweep then
            need not unpack; else 0.
        by_rules: whether its backward is its rules and nothing else.
        expand: for a function of several operations that is one node: ``expand(node)`` computes
            it again, op by op, and returns its outputs at the places of the node's parents. What
            one node hides is so still there to be differentiated twice, or drawn. Its ``vjps``,
            if any, is one function ``(node, g)`` that gives the cotangents of all inputs.
        rowwise: each row of the first argument meets the same other arguments (a weight matrix,
            a bias) by itself, so that their cotangents may be computed from stacked rows.
        batch_rule: how it runs on blocks (T, ...), see :meth:`batch`. An elementwise operation
            needs none of its own.
        view: whether its output shares memory with its first argument: True (always), False
            (never), "maybe" or "unknown", or a function of the keywords that says which, see
            :meth:`is_view`.
        linear: in which of its arguments it is linear, see :meth:`is_linear_in`. A tuple of groups
            (of argument numbers), ``"all"`` for one group of all arguments, ``"each"`` for
            every argument by itself, or a function of the keywords that gives one of these.
        symbol: how formulas write it (``*``); None: by its name. With two arguments it stands
            between them.
        sign: how pictures write it (``×``), where that is a sign that no keyboard has; elsewhere
            the symbol.
        moves: every element of the output is an element of an input, unchanged. Run on labels of
            the elements, the operation says where each one came from.
        written_out: the same as simpler operations, ``written_out(*inputs, **keywords)``, for a
            compiler that does several of them in one pass; None for an operation that is simple.
        into: how it writes into given memory: ``into(keywords)`` lists the calls to make, each a
            tuple of a NumPy function and its arguments, among them ``Argument(i)`` for input i,
            ``ALL`` for the tuple of them and ``OUT``. The memory overlaps with no input. None where
            it cannot, and for a ufunc, which always can.
        range: the least and the largest number that it gives, whatever its arguments; None where
            it gives any.
        right: for an operation that returns its argument, or raises an error where it is wrong:
            ``right(x, **keywords)`` in ``tg`` functions, where it is right. None for others.
        scalar: for an elementwise operation the instruction of the native back end that it is, by
            its name there; None where there is none.
        expects: what the shapes of its arguments must be, for errors; None where NumPy's own words
            say it.
        onnx: what it is in ONNX: the name of an operator that takes the same arguments, or a
            function that adds nodes to a graph, see :func:`primitive`. None where nobody said.
    """

    __slots__ = (
        "add_into",
        "arity",
        "batch_rule",
        "by_rules",
        "elementwise",
        "expand",
        "expects",
        "forward",
        "into",
        "linear",
        "moves",
        "name",
        "onnx",
        "range",
        "right",
        "rowwise",
        "scalar",
        "sign",
        "symbol",
        "view",
        "vjps",
        "written_out",
    )

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        vjps: Any,
        *,
        elementwise: bool = False,
        add_into: Callable[..., None] | None = None,
        expand: Callable[[Node], Sequence[Value]] | None = None,
        rowwise: bool = False,
        batch: BatchRule | None = None,
        view: View | Callable[[dict[str, Any]], View] = "unknown",
        linear: Linear | Callable[[dict[str, Any]], Linear] = (),
        symbol: str | None = None,
        sign: str | None = None,
        moves: bool = False,
        written_out: Callable[..., Array] | None = None,
        into: Callable[[dict[str, Any]], Sequence[tuple[Any, ...]]] | None = None,
        range: tuple[float, float] | None = None,
        right: Callable[..., Array] | None = None,
        scalar: str | None = None,
        expects: str | None = None,
        onnx: str | Callable[..., Any] | None = None,
    ):
        self.name = name
        self.forward = forward
        self.vjps: Any = vjps
        self.elementwise = elementwise
        self.add_into = add_into
        self.expand = expand
        self.rowwise = rowwise
        if batch is None and elementwise:
            batch = functools.partial(batch_elementwise, forward)
        self.batch_rule = batch
        self.view = view
        self.linear = linear
        self.symbol = symbol
        self.sign = sign or symbol
        self.moves = moves
        self.written_out = written_out
        self.into = into
        self.range = range
        self.right = right
        self.scalar = scalar
        self.expects = expects
        self.onnx = onnx
        self.arity = 0
        self.by_rules = vjps is not None and add_into is None and expand is None

    def batch(self, keywords: dict[str, Any], operands: Sequence[Operand]) -> Blocks | None:
        """The operation on blocks: one call for all time steps; None where it cannot.

        The batch rule ``rule(keywords, operands)`` returns one of three: a function of the
        operands that gives the block of outputs; a dict of keywords, with which the operation
        itself does that; or None. At least one operand is a block.

        Args:
            keywords: the operation's other arguments, those of one time step.
            operands: for each array argument its shape at one step and whether it is a block.

        Returns:
            A function ``f(*arrays) -> (T, ...)``, where arrays are blocks for the operands that
            say ``over_time``. What it returns may be a view of a block.
        """
        made = None if self.batch_rule is None else self.batch_rule(keywords, operands)
        if isinstance(made, dict):
            return functools.partial(self.forward, **made) if made else self.forward
        return made

    def is_view(self, keywords: dict[str, Any]) -> View:
        """Whether the output shares memory with the first argument, however that is strided.

        True: always, so that it costs nothing to make it again. False: never, nor with another
        argument. "maybe": it depends on the strides (reshape). "unknown": nobody said (a user's
        own operation), and it may share memory with any argument.
        A 0-d output may be a copy even so: NumPy makes scalars of these.
        """
        return self.view(keywords) if callable(self.view) else self.view

    def is_linear_in(
        self, arguments: Collection[int], keywords: dict[str, Any], given: Collection[int]
    ) -> bool:
        """Whether sums may be taken before the operation in the place of after it.

            sum_t f(..., x_t, ...) = f(..., sum_t x_t, ...)

        Args:
            arguments: the numbers of those that depend on t, all of them summed.
            keywords: the operation's other arguments.
            given: the numbers of all array arguments that are not None.
        """
        linear = self.linear(keywords) if callable(self.linear) else self.linear
        if linear == "each":
            return len(arguments) == 1
        groups = [given] if linear == "all" else linear
        return any(set(arguments) == set(given).intersection(group) for group in groups)

    def __repr__(self) -> str:
        return f"<Primitive {self.name}>"

    def __str__(self) -> str:
        return self.name.lstrip("_")  # _pad is what of pad has a rule


#: Every primitive of the library by name. Users' own (``tg.primitive``) do not enter it.
table: dict[str, Primitive] = {}


#: Stands between a node with several outputs (it holds a tuple) and each one of them.
pick = Primitive("pick", lambda outputs, index: outputs[index], None)


# ── putting values into the graph ────────────────────────────────────────────────────────

_Tensor: type[Value] = Value


def set_tensor_class(cls: type[Value]) -> None:
    """Called once, by the room that defines Tensor: the class of what primitives return."""
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
    """Let nobody write into an array: scan remembers what it made of a Tensor's array."""
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
    except (ValueError, TypeError) as error:  # lists of no one shape
        raise explained(error, primitive, arrays, state.scope) from error
    if not tensors:
        if primitive.expects is None:
            return _asarray(primitive.forward(*arrays, **keywords))
        try:
            return _asarray(primitive.forward(*arrays, **keywords))
        except ValueError as error:
            raise explained(error, primitive, arrays, state.scope) from error

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
        if record_it and isinstance(constant, _writable):
            keywords = {**keywords, key: copy.deepcopy(constant)}
    try:
        output = primitive.forward(*arrays, **keywords)
    except (ValueError, TypeError, IndexError, AttributeError) as error:  # None has no method exp
        raise explained(error, primitive, arrays, state.scope) from error
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


def require_rules(primitive: Primitive, parents: list[Node | str | None]) -> None:
    i = -1
    for parent in parents:
        i += 1
        if type(parent) is Node and primitive.vjps[i] is None:
            raise TypeError(
                f"{primitive}: its argument {i} has no derivative, but came with a gradient "
                "to be computed; pass x.detach() if it is meant as a constant"
                f"{current().scope}"
            )


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
                return _asarray(forward(x, y))  # most often a rule's
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


# ── what may enter, and what is said when something is wrong ─────────────────────────────


def numbers(x: Any, where: Primitive | str) -> ndarray:
    """The numbers of a Tensor, or ``np.asarray`` of anything else.

    Raises:
        TypeError: it has none, since a step is being traced (see ``scan``).
        ValueError: its lists are of different lengths.
    """
    try:
        return _asarray(x._array if isinstance(x, Value) else x)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error


def numeric(x: Any, where: Primitive | str) -> ndarray:
    """:func:`numbers` for what may enter a graph: floats, integers and booleans."""
    array = numbers(x, where)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{where}: expected real numbers, got {type(x).__name__} of dtype {array.dtype}"
        )
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


# Those of NumPy's own that say more come first.
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
    """Let a function of several operations say what failed and where, as each of them does.

    Its errors begin with its own name (or ``name``), the one that the user called.
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
    """Raise an error again: it begins with this name, in the place of an inner operation's.

    Args:
        name: what the user called.
        error: what was raised within it.
        over: whether the inner operation's name is left out.
    """
    scope = str(current().scope)
    text = str(error)
    inner, colon, rest = text.partition(": ")
    if over and colon and inner.isidentifier():
        text = rest
    text = f"{name}: {text}" if text.endswith(scope) else f"{name}: {text}{scope}"
    error.args = (text,)
    if str(error) == text:
        raise error
    kind = next(k for k in _kinds if isinstance(error, k))  # one that words its text itself
    raise kind(text) from error


def composed(function: Callable[_P, _R], name: str | None = None) -> Callable[_P, _R]:
    """A function written in other operations: its errors name it, and its arrays are arrays.

    NumPy makes scalars of 0-d arrays as soon as it computes with them.
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
    """Raise FloatingPointError at a NaN, or at an Inf that finite inputs and constants gave."""
    if output.dtype.kind != "f" or np.isfinite(output).all():
        return
    nan = bool(np.isnan(output).any())
    inputs = [x for x in inputs if x is not None]
    constants = [c for c in keywords.values() if isinstance(c, (float, ndarray))]
    if nan or all(np.isfinite(x).all() for x in (*inputs, *constants)):
        shapes = " and ".join(str(np.shape(x)) for x in inputs)
        raise FloatingPointError(
            f"{primitive}: {'NaN' if nan else 'Inf'} {what} from inputs of shape {shapes}{scope}"
        )
