"""Tracing: run a step once on arrays without numbers, and record its operations.

A traced Tensor is an ordinary Tensor whose array is a :class:`Symbol`: a shape and a dtype. The
engine's operations, and the rules of a ``create_graph`` sweep, run on it as on any other Tensor.
Each leaves an :class:`Instruction` instead of numbers. Code that looks at the numbers gets a
TypeError.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy import ndarray

from .. import graph
from ..graph import (
    Node,
    Primitive,
    Value,
    attach,
    current,
    explained,
    leaf,
    next_number,
    numeric,
    python_scalars,
    record,
    same,
)
from ..ops import primitives


def refuse(how: str) -> NoReturn:
    """Raise the error for a step that looks at the numbers of a traced value."""
    _refuse(f"looked at the numbers of a traced value ({how})")


def refuse_rebinding() -> NoReturn:
    """Raise the error for a step that gives a Tensor other numbers."""
    _refuse("gave a Tensor other numbers (.data = ...)")


def _refuse(what: str) -> NoReturn:
    message = (
        f"scan: the step {what}, but it is traced once for all time steps; pass unroll=True to "
        f"run it step by step{current().scope}"
    )
    # NumPy, or the step itself, may catch the error and go on without the numbers.
    tracing = current().tracing
    if getattr(tracing, "refused", message) is None:
        tracing.refused = message
    raise TypeError(message)


def _refusal(how: str) -> Callable[..., NoReturn]:
    def method(x: Symbol, /, *_: Any, **__: Any) -> NoReturn:
        x.refuse(how)

    return method


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """The array of a traced Tensor: a shape and a dtype, but no numbers.

    It is not an ndarray. Everything that converts it to one, NumPy included, calls ``__array__``,
    which raises. So does every other attribute of an ndarray that depends on numbers.

    Attributes:
        slot: the number of the value that it stands for.
        owner: identifies the trace that it belongs to.
        aval: the number of its shape and dtype (its abstract value).
    """

    __slots__ = ("aval", "dtype", "owner", "shape", "slot")

    #: Called when code asks for the numbers.
    refuse = staticmethod(refuse)

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], slot: int, owner: object, aval: int
    ):
        self.shape = shape
        self.dtype = dtype
        self.slot = slot
        self.owner = owner
        self.aval = aval

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{self.dtype} {self.shape}"

    __bool__ = _refusal("bool, as if does")
    __int__ = _refusal("int")
    __float__ = _refusal("float")
    __complex__ = _refusal("complex")
    __index__ = _refusal("an index")
    __getitem__ = __iter__ = _refusal("an element")
    __contains__ = _refusal("in")
    __array__ = _refusal("np.asarray, or tg.Tensor of it")
    __format__ = _refusal("a formatted string")
    __reduce__ = __copy__ = __deepcopy__ = _refusal("a copy of it")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and NumPy look up which protocols it has
            raise AttributeError(name)
        self.refuse(_readers.get(name, f".{name}"))

    def __array_ufunc__(self, ufunc: np.ufunc, *_: Any, **__: Any) -> Any:
        self.refuse(f"np.{ufunc.__name__}")

    def __array_function__(self, func: Any, types: Any, args: Any, keywords: Any) -> Any:
        # Of the first argument only the shape is used; of another, such as an axis, the numbers.
        first, *others = args or (None,)
        numbers = any(isinstance(x, Symbol) for x in (*others, *keywords.values()))
        if func not in _of_shapes or numbers or not isinstance(first, Symbol):
            self.refuse(f"np.{func.__name__}")
        return func(np.empty(first.shape, first.dtype), *others, **keywords)


#: From the attribute of the array that a Tensor reads to what the user wrote.
_readers = {
    "item": ".item(), int or float",
    "copy": ".numpy() or a copy",
    "view": ".data or np.asarray",
}

# The results of these NumPy functions depend on shapes alone.
_of_shapes = frozenset(
    {np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.full_like}
)


class Literal(NamedTuple):
    """A Python scalar, or None, among the operands of an instruction."""

    value: Any
    text: str  #: its repr, which differs for 1, 1.0 and True, and for 0.0 and -0.0

    def __eq__(self, other: object) -> bool:
        # NaN is not equal to itself, but its text is.
        return type(other) is Literal and self.text == other.text

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.text)


class Instruction(NamedTuple):
    """One operation of a step: ``slot = primitive(*operands, **keywords)``."""

    primitive: Primitive
    operands: tuple[int | Literal, ...]
    keywords: dict[str, Any]
    slot: int
    through: tuple[bool, ...]  #: which operands have a node
    node: Node | None  #: None where the operation was not recorded

    @property
    def parents(self) -> tuple[bool, ...]:
        """To which operands a gradient flows."""
        return self.through if self.node is not None else (False,) * len(self.through)


class Source(NamedTuple):
    """A value that comes from outside of the step."""

    slot: int
    array: ndarray  #: its numbers at this call (a Symbol for carries and inputs)
    node: Node | None  #: its node in the graph outside of the step
    label: str | None
    original: Any  #: the object passed to the operation; held so that Python cannot reuse its id


class Derived(NamedTuple):
    """An operation of a step on closed-over values alone, and its result."""

    primitive: Primitive
    inputs: tuple[Any, ...]
    keywords: dict[str, Any]
    array: ndarray


def frozen(constant: Any) -> Any:
    """A hashable form of a constant argument; equal for constants that compute the same."""
    if isinstance(constant, Symbol):
        refuse("an index or another constant of an operation")
    kind = type(constant)
    if kind is tuple or kind is list:
        return (kind, *[frozen(part) for part in constant])
    if kind is dict:
        return (kind, *[(key, frozen(part)) for key, part in constant.items()])
    if kind is slice:
        return (kind, constant.start, constant.stop, constant.step)
    if isinstance(constant, ndarray):
        return (constant.dtype, constant.shape, constant.tobytes())
    if isinstance(constant, (np.random.Generator, np.random.RandomState)):
        raise TypeError(
            "scan: a random generator is an argument of an operation in the step; pass "
            f"unroll=True, or draw the numbers outside of the step{current().scope}"
        )
    if isinstance(constant, float):
        return (
            kind,
            repr(float(constant)),
        )  # 0.0 == -0.0, but they compute different things; nan != nan
    try:
        hash(constant)
    except TypeError:
        raise TypeError(
            f"scan: an operation in the step has a {kind.__name__} as an argument, which may "
            f"change between the time steps; pass unroll=True{current().scope}"
        ) from None
    return (kind, constant)


def copied(x: Any, where: str) -> ndarray:
    """A copy of the numbers of an array or a list: the caller may write into it before backward."""
    array = numeric(x, where)
    # Old file formats hold big-endian numbers. The first operation would make them native.
    return array.astype(array.dtype.newbyteorder("="))


def holds(numbers: ndarray, x: Any) -> bool:
    """Whether x, an array or a list, still holds these numbers."""
    array = numeric(x, "scan")
    if not array.dtype.isnative:
        array = copied(x, "scan")
    alike = array.shape == numbers.shape and array.dtype == numbers.dtype
    # Bytes and not ==: NaN is not equal to itself.
    return alike and array.tobytes() == numbers.tobytes()


class Trace:
    """What a step did: its instructions, and the values that it read from outside.

    A slot is the number of a value of the step.

    Args:
        base: an earlier trace whose values this one may read. Slots go on after its last.

    Attributes:
        instructions: in the order in which they ran.
        sources: the values from outside, in the order in which the step first read them.
        derived: the operations on such values alone.
        symbols: every value of the step, by slot.
        values: the Tensors of ``symbols``, by slot.
        leaves: the nodes of the values that may need a gradient, by slot.
        outside: whether a carry or an input has a node outside of the step, by slot.
        since: nodes with a smaller number are older than the trace.
        numbers: the slots of Python floats that are closed-over values, see :meth:`with_numbers`;
            None if all floats are parts of the program.
        asked: the calls of ``tg.grad`` in the step: the output's node, and the wanted nodes.
        refused: the message of the first refusal. The step fails with it, even if it caught it.
        key: traces with equal keys share one plan.
    """

    refuse_rebinding = staticmethod(refuse_rebinding)

    def __init__(self, base: Trace | None = None):
        self.instructions: list[Instruction] = []
        self.sources: list[Source] = []
        self.derived: list[Derived] = []
        self.symbols: list[Symbol] = [] if base is None else list(base.symbols)
        self.values: list[Value] = [] if base is None else list(base.values)
        self.leaves: dict[int, Node] = {}
        self.numbers: set[int] | None = None
        self.outside: dict[int, bool] = {}
        self.key: list[Any] = []
        # Not the trace itself: trace and symbols would hold each other, and a graph has no cycles.
        self.owner = object()
        self.owners: set[object] = {self.owner} if base is None else {self.owner, *base.owners}
        self._known: dict[Any, tuple[Symbol, Node | None, ndarray]] = {}
        self.since = next_number()
        self.asked: list[tuple[Node, set[Node]]] = []
        self.refused: str | None = None

    def symbol(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Symbol:
        """A new value of the step."""
        symbol = Symbol(shape, dtype, len(self.symbols), self.owner, _aval(shape, dtype))
        self.symbols.append(symbol)
        return symbol

    def new_input(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], live: bool, outside: bool = False
    ) -> Value:
        """A value that changes from step to step: a carry, an input or a cotangent."""
        symbol = self.symbol(shape, dtype)
        self.outside[symbol.slot] = outside
        self.key.append((symbol.slot, shape, dtype, live, outside))
        node = None
        if live:
            node = self.leaves[symbol.slot] = leaf(symbol)  # type: ignore[arg-type]
        return self._attached(symbol, node)

    def _attached(self, symbol: Symbol, node: Node | None) -> Value:
        value = attach(symbol, node)
        self.values.append(value)
        return value

    def constant(self, x: Any) -> tuple[Symbol, Node | None]:
        """The symbol and the node of a closed-over Tensor or array: the same at every step."""
        if isinstance(x, Value):
            original, node = x._array, x.node
            label = x._label if node is None else None
            array = original
        else:
            original, node, label = x, None, None
        # One array may be at two places of the graph: x and x.detach() share it. ``Source`` holds
        # the object, so that Python cannot reuse its id.
        identity = (id(original), node)
        known = self._known.get(identity)
        # Where the step reads a Tensor again, it gets the symbol of the first time. So it does with
        # an array, unless it has written other numbers into it.
        if known is not None and not (isinstance(x, Value) or holds(known[2], x)):
            known = None
        if known is None:
            if not isinstance(x, Value):
                array = copied(x, "scan")
            symbol = self.symbol(array.shape, array.dtype)
            inner = None
            if node is not None:
                inner = self.leaves[symbol.slot] = _entry(symbol, node)
            self.sources.append(Source(symbol.slot, array, node, label, original))
            # The numbers of a closed-over value are no part of the key: a plan reads them at each
            # call.
            self.key.append((symbol.slot, array.shape, array.dtype, node is not None))
            known = self._known[identity] = symbol, inner, array
            self._attached(symbol, inner)
        return known[:2]

    def value(self, x: Any) -> Value:
        """The Tensor for something that the step returned."""
        if isinstance(x, Value) and type(x._array) is Symbol:  # type: ignore[comparison-overlap]
            if x._array.owner not in self.owners:
                refuse("one that another call traced")
            return x
        return self.values[self.constant(x)[0].slot]

    def close(self) -> None:
        """After the step has run: cut the edges from its nodes to the graph outside."""
        for node in self.leaves.values():
            # A plan lives on in the cache, with these nodes. It must not keep the graph of a call.
            node.primitive, node.parents, node.arrays = None, (), ()
        self.asked.clear()

    def with_numbers(self) -> Trace:
        """This trace, where Python floats in sums and products are closed-over values.

        A plan of it serves all values of these numbers. The two share their nodes, which then hold
        these values: so use only the new trace afterwards.
        """
        new = copy.copy(self)
        new.instructions, new.sources, new.key, new.numbers = [], [], [], set()
        new.symbols, new.values = list(self.symbols), list(self.values)
        waiting = {source.slot: source for source in self.sources}
        for instruction in self.instructions:
            new.instructions.append(new._with_numbers(instruction, waiting))
        new.sources += waiting.values()  # those that are only returned
        new.key = numbers_key(self)
        return new

    def _with_numbers(self, x: Instruction, waiting: dict[int, Source]) -> Instruction:
        """An instruction that reads numbers from sources, which are listed in order of reading."""
        operands = list(x.operands)
        dtypes = [self.symbols[slot].dtype for slot in operands if isinstance(slot, int)]
        for i, operand in enumerate(operands):
            if isinstance(operand, int):
                if operand in waiting:
                    self.sources.append(waiting.pop(operand))
            elif x.primitive in _varying and type(operand.value) is float:
                symbol = self.symbol((), np.result_type(*dtypes, 1.0))  # as NumPy converts a float
                self._attached(symbol, None)
                array = np.array(operand.value, symbol.dtype)
                self.sources.append(Source(symbol.slot, array, None, None, operand.value))
                assert self.numbers is not None
                self.numbers.add(symbol.slot)
                operands[i] = symbol.slot
                if x.node is not None:  # the rules read the number there
                    arrays = list(x.node.arrays)
                    arrays[i] = symbol
                    x.node.arrays = tuple(arrays)
        return x._replace(operands=tuple(operands))

    def forget(self) -> None:
        """Drop the numbers: a plan is kept longer than they are needed."""
        blank = np.empty(0)
        self.sources = [Source(s.slot, blank, None, s.label, None) for s in self.sources]
        self.derived, self._known = [], {}

    def __call__(self, primitive: Primitive, inputs: Sequence[Any], keywords: Any) -> Any:
        return self.apply(primitive, inputs, keywords)

    def apply(self, primitive: Primitive, inputs: Sequence[Any], keywords: dict[str, Any]) -> Any:
        """What ``graph.apply`` does, without numbers."""
        # An operation on weights alone, such as W.T, is the same at every step.
        if not any_traced(inputs):
            return apply_outside(primitive, inputs, keywords, self.derived)
        operands, arrays, parents, through = self._read_inputs(inputs)
        recorded = primitive.vjps is not None and current().recording and True in through
        kind = (
            primitive,
            tuple([self.symbols[x].aval if isinstance(x, int) else x.text for x in operands]),
            tuple([(name, frozen(constant)) for name, constant in keywords.items()]),
        )
        # Running an operation to learn its output's shape is slow, so all traces share the results.
        known = _outputs.get(kind)
        if known is None:
            known = _output_aval(kind, primitive, arrays, keywords)
        if any(map(graph.may_be_written, keywords.values())):
            keywords = copy.deepcopy(keywords)  # the caller may write into it
        symbol = self.symbol(*known)
        node = None
        if recorded:
            # Whether each parent has a rule is checked later, when it is known whether a gradient
            # flows to it.
            node = record(
                primitive, tuple(parents), tuple(arrays), symbol, keywords, current().scope
            )
        instruction = Instruction(primitive, operands, keywords, symbol.slot, through, node)
        self.instructions.append(instruction)
        self.key.append((kind, operands, instruction.parents))
        return self._attached(symbol, node)

    def _read_inputs(
        self, inputs: Sequence[Any]
    ) -> tuple[tuple[int | Literal, ...], list[Any], list[Node | str | None], tuple[bool, ...]]:
        """The inputs of an operation as operands, arrays and parents, and which have a node."""
        operands: list[int | Literal] = []
        arrays: list[Any] = []
        parents: list[Node | str | None] = []
        through: list[bool] = []
        for x in inputs:
            if x is None or type(x) in python_scalars:
                operands.append(Literal(x, repr(x)))
                arrays.append(x)
                parents.append(None)
                through.append(False)
                continue
            if isinstance(x, Value) and type(x._array) is Symbol:  # type: ignore[comparison-overlap]
                symbol, node = x._array, x.node
                # The first comparison is the usual case, and cheaper than a look into the set.
                if symbol.owner is not self.owner and symbol.owner not in self.owners:
                    refuse("one that another call traced")
            else:
                symbol, node = self.constant(x)
            operands.append(symbol.slot)
            arrays.append(symbol)
            if node is None:
                parents.append(x._label if isinstance(x, Value) else None)
                through.append(False)
            else:
                parents.append(node)
                through.append(True)
        return tuple(operands), arrays, parents, tuple(through)


def apply_outside(
    primitive: Primitive, inputs: Sequence[Any], keywords: dict[str, Any], derived: list[Derived]
) -> Any:
    """Run an operation on closed-over values alone: once, now, and recorded outside of the step."""
    for constant in keywords.values():
        frozen(constant)  # raises if it is a value of the step
    # Not as a traced operation: its result is an ordinary closed-over value of the step.
    with graph.traced(None, recording=current().recording):
        result = graph.apply(primitive, inputs, keywords)
    derived.append(Derived(primitive, tuple(inputs), keywords, result._array))
    return result


#: Operations in which a number and an array of that number compute the same, to the last bit.
_varying = frozenset({primitives.add, primitives.subtract, primitives.multiply, primitives.divide})


def numbers_key(trace: Trace) -> list[Any]:
    """The key of a trace or, if it has none yet, of its :meth:`Trace.with_numbers`."""
    return trace.key if trace.numbers is not None else [_numbers, *map(_without_numbers, trace.key)]


_numbers = ("numbers",)


def _without_numbers(entry: Any) -> Any:
    """An entry of a key, without the values of the floats that :meth:`Trace.with_numbers` takes."""
    if len(entry) != 3 or entry[0][0] not in _varying:  # not an operation, or another one
        return entry
    (primitive, avals, constants), operands, parents = entry
    numbers = [isinstance(x, Literal) and type(x.value) is float for x in operands]
    avals = tuple(["number" if n else x for n, x in zip(numbers, avals, strict=True)])
    operands = tuple(["number" if n else x for n, x in zip(numbers, operands, strict=True)])
    return (primitive, avals, constants), operands, parents


#: The edge from a closed-over Tensor to the step that reads it. It lets ``tg.grad`` in the step
#: reach nodes outside.
_enter = Primitive("enter", lambda x: x, (same,), elementwise=True, view=True)


def _entry(symbol: Symbol, node: Node) -> Node:
    """The node, within the step, of a closed-over Tensor with this node outside."""
    entry = record(_enter, (node,), (symbol,), symbol, {}, current().scope)
    entry.name = node.name
    return entry


def any_traced(inputs: Sequence[Any]) -> bool:
    """Whether an input is a value of a traced step."""
    for x in inputs:  # noqa: SIM110 - a generator would cost more than the loop
        if isinstance(x, Value) and type(x._array) is Symbol:  # type: ignore[comparison-overlap]
            return True
    return False


# Shapes and dtypes are numbered, which keeps the keys short. A number is never used twice: a step
# that is being traced may hold one while another thread clears the tables.
_avals: dict[Any, int] = {}
_aval_numbers = itertools.count()
_outputs: dict[Any, tuple[tuple[int, ...], np.dtype[Any]]] = {}
_table_limit = 4096


def _aval(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The number of a shape and dtype."""
    number = _avals.get((shape, dtype))
    if number is None:
        # A bound, for programs that meet ever new shapes.
        if len(_avals) > _table_limit:
            _avals.clear()
        number = _avals.setdefault((shape, dtype), next(_aval_numbers))
    return number


def _output_aval(
    key: Any, primitive: Primitive, arrays: Sequence[Any], keywords: dict[str, Any]
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and dtype of an operation's output, found by running it on stand-ins."""
    rng = np.random.default_rng(0)
    try:
        blank = [stand_in(x, rng) if type(x) is Symbol else x for x in arrays]
        output = output_on(primitive, blank, keywords)
    except (ValueError, TypeError, IndexError) as error:
        raise explained(error, primitive, arrays, current().scope) from error
    if len(_outputs) > _table_limit:
        _outputs.clear()
    aval = _outputs[key] = output.shape, output.dtype
    return aval


def stand_in(x: Symbol, rng: np.random.Generator) -> ndarray:
    """An array with numbers that every operation accepts, instead of a symbol."""
    if x.dtype.kind == "f":
        return rng.uniform(0.5, 1.0, x.shape).astype(x.dtype)
    return np.zeros(x.shape, x.dtype)


def output_on(primitive: Primitive, stand_ins: Sequence[Any], keywords: dict[str, Any]) -> ndarray:
    """The output of an operation on stand-ins. Only its shape and dtype mean anything."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(primitive.forward(*stand_ins, **keywords))
        except np.linalg.LinAlgError:  # singular or not positive definite: the identity is neither
            return np.asarray(primitive.forward(*map(_identity, stand_ins), **keywords))


def _identity(x: Any) -> Any:
    """Identity matrices in the shape of x."""
    if not isinstance(x, ndarray) or x.ndim < 2:
        return x
    return np.broadcast_to(np.eye(*x.shape[-2:], dtype=x.dtype), x.shape)


__all__ = [
    "Derived",
    "Instruction",
    "Literal",
    "Source",
    "Symbol",
    "Trace",
    "copied",
    "frozen",
    "holds",
    "numbers_key",
    "output_on",
    "refuse_rebinding",
    "stand_in",
]
