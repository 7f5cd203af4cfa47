"""The computation graph: what an operation leaves behind when it is recorded.

Every operation of this library is a *primitive*: a NumPy function beside the rules that
differentiate it. Called on ndarrays it is that NumPy function and nothing else. Called on at
least one Tensor that a gradient has to reach, it also leaves a :class:`Node`:

    y = tanh(x)      y.node = Node(tanh, parents=(x.node,), arrays=(x's array,), output=y's array)

A node points at what it was computed *from*, never at what was computed from it nor at the
Tensor that stands for it, so a graph has no cycles: when the last Tensor of it goes, reference
counting frees all of it at once.

Everything else in the library is a walk over these nodes: backward sends cotangents along
``parents`` from the newest node to the oldest, drawing prints the very same list.
"""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

#: What a primitive takes and gives: a Tensor in the graph, or anything ``np.asarray`` takes.
#: Which of the two comes out depends on what went in, which Python's types cannot say.
Array: TypeAlias = Any
Rule: TypeAlias = Callable[..., Array]

# A freed graph leaves the top of the heap empty, and glibc hands an empty top of more than 128 kB
# back to the system: the next forward pass then pays a page fault for every 4 kB. Having freed one
# large block raises that limit to twice the block (mallopt(3), M_MMAP_THRESHOLD). The block is
# never touched, so it costs nothing; a loop over 50 LSTM steps gains 20-25 %.
np.empty(30 << 20, np.uint8)

_new = object.__new__
_asarray = np.asarray
next_number = itertools.count().__next__
_no_keywords: dict[str, Any] = {}
_python_scalars = frozenset({float, int, bool})
_writable = (ndarray, list, dict)


# ── where an operation ran ───────────────────────────────────────────────────────────────


class Scope:
    """Where in the program an operation ran: its modules, its time step, its gate.

    ``path`` names the modules from the outermost to the innermost, ``steps`` holds one pair
    ``(loop, t)`` for every loop over time that was open, outermost first. ``sweep`` is 0 in the
    forward pass; what a backward with ``create_graph=True`` records has 1, that one's backward 2.
    """

    __slots__ = ("path", "steps", "sweep")

    def __init__(
        self,
        path: tuple[str, ...] = (),
        steps: tuple[tuple[int, int], ...] = (),
        sweep: int = 0,
    ):
        self.path = path
        self.steps = steps
        self.sweep = sweep

    @property
    def step(self) -> int | None:
        """The time step of the innermost loop, from 0; None outside every loop."""
        return self.steps[-1][1] if self.steps else None

    def __str__(self) -> str:
        """For error messages: ``" in encoder.cell at time step 3"``, or nothing at the top."""
        module = f" in {'.'.join(self.path)}" if self.path else ""
        step = f" at time step {self.step}" if self.steps else ""
        return module + step

    def __repr__(self) -> str:
        return f"Scope(path={self.path!r}, steps={self.steps!r}, sweep={self.sweep})"


class _State:
    """What one thread is doing: does it record, does it check for NaN, and in which scope."""

    __slots__ = ("anomaly", "plain", "recording", "scope")

    def __init__(self, recording: bool, anomaly: bool, scope: Scope):
        self.recording = recording
        self.anomaly = anomaly
        self.scope = scope
        self.plain = recording and not anomaly  # the fast paths below serve this mode only


_state: ContextVar[_State] = ContextVar(
    "tinygrad_rnn",
    default=_State(recording=True, anomaly=False, scope=Scope()),  # noqa: B039 (never mutated)
)
current = _state.get


@contextmanager
def _switched(*, recording: bool | None = None, anomaly: bool | None = None) -> Iterator[None]:
    before = current()
    _state.set(
        _State(
            before.recording if recording is None else recording,
            before.anomaly if anomaly is None else anomaly,
            before.scope,
        )
    )
    try:
        yield
    finally:
        _state.set(before)


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording: results carry no graph and need no gradient.

    A context manager and a decorator; it holds for the current thread and ends with the block,
    exceptions included.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = w * 3
    >>> y.requires_grad
    False
    """
    with _switched(recording=False):
        yield


@contextmanager
def enable_grad() -> Iterator[None]:
    """Record again inside a :func:`no_grad` block (what a recomputation in backward needs)."""
    with _switched(recording=True):
        yield


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Stop at the first NaN, or the first Inf that came out of finite inputs.

    Inside the block every operation is checked as it runs, forward and backward.

    Raises:
        FloatingPointError: it names the operation, its module and its time step (from 0).

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([-1.0], requires_grad=True)
    >>> with tg.detect_anomaly():
    ...     tg.log(x)
    Traceback (most recent call last):
    ...
    FloatingPointError: log: NaN in its output from inputs of shape (1,)
    """
    with _switched(anomaly=True), np.errstate(all="ignore"):
        yield


@contextmanager
def in_scope(place: Scope) -> Iterator[None]:
    """Record as if in the given scope: a rule belongs to the step of what it differentiates."""
    before = current()
    _state.set(_State(before.recording, before.anomaly, place))
    try:
        yield
    finally:
        _state.set(before)


class scope:
    """Tag what is computed inside the block with a name, for pictures and error messages.

    Scopes nest; modules open one with their own name by themselves.

    Args:
        name: any string.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.scope("attention"):
    ...     y = x * 2
    >>> y.node.scope.path
    ('attention',)
    """

    __slots__ = ("_before", "_name")

    def __init__(self, name: str):
        if not isinstance(name, str):
            raise TypeError(f"scope: expected a name (str), got {type(name).__name__}")
        self._name = name
        self._before: list[_State] = []  # a list: one scope object may be entered within itself

    def __enter__(self) -> None:
        before = current()
        self._before.append(before)
        outer = before.scope
        inner = Scope((*outer.path, self._name), outer.steps, outer.sweep)
        _state.set(_State(before.recording, before.anomaly, inner))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _state.set(self._before.pop())


def steps(xs: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Enumerate a sequence and tag what each turn of the loop computes with its time step.

    ``for t, x_t in tg.steps(xs)`` is ``enumerate(xs)``, and pictures, error messages and
    per-step gradients know the step t (from 0) of everything computed in the body.

    Args:
        xs: a Tensor or ndarray (T, ...), read along its first axis, or any iterable.

    Yields:
        ``(t, x_t)`` for t = 0, 1, ..., T - 1.

    >>> import tinygrad_rnn as tg
    >>> h = tg.Tensor(0.0, requires_grad=True)
    >>> for t, x_t in tg.steps([1.0, 2.0]):
    ...     h = tg.tanh(h + x_t)
    >>> h.node.scope.step
    1
    """
    loop = next_number()
    outer = current().scope
    iterator = iter(xs)
    try:
        for t in itertools.count():
            # The tag comes before the element: reading x_t = xs[t] belongs to its step too.
            inner = Scope(outer.path, (*outer.steps, (loop, t)), outer.sweep)
            now = current()  # whoever calls next() himself may do so inside no_grad
            _state.set(_State(now.recording, now.anomaly, inner))
            try:
                x_t = next(iterator)
            except StopIteration:
                return
            if isinstance(xs, Value) and isinstance(x_t, Value):
                _name_element(x_t, xs, t)
            yield t, x_t
    finally:
        # A generator that somebody kept may be closed much later, in the middle of another scope.
        now = current()
        if any(open_loop == loop for open_loop, _ in now.scope.steps):
            _state.set(_State(now.recording, now.anomaly, outer))


def _name_element(x_t: Value, xs: Value, t: int) -> None:
    """Call x_t ``xs[t]`` in pictures, if xs has a name."""
    name = xs._label if xs.node is None else xs.node.name
    if name is None:
        return
    if x_t.node is None:
        x_t._label = f"{name}[{t}]"
    else:
        x_t.node.name = f"{name}[{t}]"


# ── nodes and values ─────────────────────────────────────────────────────────────────────


class Node:
    """One place in the graph: a leaf that wants a gradient, or one recorded operation.

    Attributes:
        primitive: the operation; None for a leaf.
        parents: for each input the node it came from. A constant has none: its name stands
            there, or None.
        arrays: for each input the array (or Python scalar) it held when the operation ran.
            Rebinding a tensor's ``.data`` later does not change what is differentiated.
        output: the array that came out (for a leaf: the data it was made with).
        keywords: the operation's other arguments.
        scope: module path and time step, see :class:`Scope`.
        number: creation number. Inputs are always older than what is computed from them.
        name: what pictures call it, or None.
        grad: the accumulated gradient of a leaf (of any node after ``retain_grads``), or None.
    """

    __slots__ = (
        "_grad",
        "_name",
        "arrays",
        "keywords",
        "number",
        "output",
        "parents",
        "primitive",
        "scope",
    )

    primitive: Primitive | None
    parents: tuple[Node | str | None, ...]
    arrays: tuple[Any, ...]
    output: Any
    keywords: dict[str, Any]
    scope: Scope
    number: int

    # Recording sets seven slots for every operation; the two that most nodes never use stay unset.
    @property
    def name(self) -> str | None:
        return getattr(self, "_name", None)

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name

    @property
    def grad(self) -> ndarray | None:
        return getattr(self, "_grad", None)

    @grad.setter
    def grad(self, grad: ndarray | None) -> None:
        self._grad = grad

    @property
    def is_leaf(self) -> bool:
        return self.primitive is None

    def __repr__(self) -> str:
        kind = "leaf" if self.primitive is None else self.primitive.name
        name = f" {self.name!r}" if self.name else ""
        return f"<Node {self.number} {kind}{name} {np.shape(self.output)}{self.scope}>"


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
    return node


class Value:
    """An array and its place in the graph: all that the engine knows of a Tensor.

    ``tensor.Tensor`` adds the operators. ``node`` is None where no gradient flows; a constant
    keeps its name in ``_label`` so that pictures can show it.
    """

    __slots__ = ("__weakref__", "_data", "_label", "node")

    _data: ndarray
    _label: str | None
    node: Node | None


_Tensor: type[Value] = Value


def set_tensor_class(cls: type[Value]) -> None:
    """Called once, by the room that defines Tensor: the class of what primitives return."""
    global _Tensor
    _Tensor = cls


def attach(array: Any, node: Node | None) -> Value:
    """A Tensor of this array at this place in the graph."""
    value = _new(_Tensor)
    value._data = array
    value._label = None
    value.node = node
    return value


def ancestors(nodes: Iterable[Node], since: int = 0) -> list[Node]:
    """The given nodes and all they were computed from, newest first.

    Every node stands before its parents (creation numbers only grow), so this one list is the
    order of the backward sweep and, reversed, of the forward pass. No recursion: the depth of
    a graph is not limited by Python's stack. O(n log n) in the number of nodes.

    Args:
        nodes: where to start.
        since: nodes with a smaller creation number are listed, but not what lies behind them.

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor(2.0, requires_grad=True, name="x")
    >>> [n.name or n.primitive.name for n in ancestors([(tg.exp(x) * x).node])]
    ['multiply', 'exp', 'x']
    """
    found = list(dict.fromkeys(nodes))
    seen: set[Any] = {None, *found}
    add, push = seen.add, found.append
    for node in found:  # grows while it is walked
        if node.number < since:
            continue
        for parent in node.parents:
            if parent not in seen:
                add(parent)
                if type(parent) is Node:
                    push(parent)
    found.sort(key=_by_number, reverse=True)
    return found


def _by_number(node: Node) -> int:
    return node.number


# ── primitives ───────────────────────────────────────────────────────────────────────────


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


class Primitive:
    """An operation and its derivatives: one row of the table of rules.

    Attributes:
        name: what pictures and errors call it.
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
        expand: for a function of several operations that is one node: ``expand(node)`` computes
            it again, op by op, and returns its outputs at the places of the node's parents. What
            one node hides is so still there to be differentiated twice, or drawn. Its ``vjps``,
            if any, is one function ``(node, g)`` that gives the cotangents of all inputs.
        rowwise: each row of the first argument meets the same other arguments (a weight matrix,
            a bias) by itself, so that their cotangents may be computed from stacked rows.
    """

    __slots__ = ("add_into", "arity", "elementwise", "expand", "forward", "name", "rowwise", "vjps")

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
    ):
        self.name = name
        self.forward = forward
        self.vjps: Any = vjps
        self.elementwise = elementwise
        self.add_into = add_into
        self.expand = expand
        self.rowwise = rowwise
        self.arity = 0

    def __repr__(self) -> str:
        return f"<Primitive {self.name}>"


#: Every primitive of the library by name. Users' own (``tg.primitive``) do not enter it.
table: dict[str, Primitive] = {}


#: Stands between a node with several outputs (it holds a tuple) and each one of them.
pick = Primitive("pick", lambda outputs, index: outputs[index], None)


def apply(primitive: Primitive, inputs: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Run a primitive on any mix of Tensors, arrays and scalars; record it if a gradient flows."""
    arrays: list[Any] = []
    parents: list[Node | str | None] = []
    tensors = live = foreign = False
    for x in inputs:
        if isinstance(x, Value):
            tensors = True
            arrays.append(x._data)
            node = x.node
            if node is None:
                parents.append(x._label)
            else:
                parents.append(node)
                live = True
        elif x is None or type(x) in _python_scalars:
            arrays.append(x)
            parents.append(None)
        else:
            arrays.append(x if type(x) is ndarray else _asarray(x))
            parents.append(None)
            foreign = True
    if not tensors:
        return _asarray(primitive.forward(*arrays, **keywords))

    state = current()
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
            raise TypeError(f"{primitive.name}: {key} must be a constant, got a Tensor")
        if record_it and isinstance(constant, _writable):
            keywords = {**keywords, key: copy.deepcopy(constant)}
    try:
        output = primitive.forward(*arrays, **keywords)
    except (ValueError, TypeError, IndexError) as error:
        raise explained(error, primitive, arrays, state.scope) from error
    if type(output) is not ndarray:
        output = _asarray(output)
    if state.anomaly:
        check_finite(output, arrays, primitive, state.scope, "in its output", keywords)
    result: Value = _new(_Tensor)
    result._data = output
    result._label = None
    if record_it:
        _require_rules(primitive, parents)
        result.node = record(
            primitive, tuple(parents), tuple(arrays), output, keywords, state.scope
        )
    else:
        result.node = None
    return result


def _require_rules(primitive: Primitive, parents: list[Node | str | None]) -> None:
    i = -1
    for parent in parents:
        i += 1
        if type(parent) is Node and primitive.vjps[i] is None:
            raise TypeError(
                f"{primitive.name}: its argument {i} has no derivative, but came with a gradient "
                "to be computed; pass x.detach() if it is meant as a constant"
            )


def numeric(x: Any, where: Primitive | str) -> ndarray:
    """``np.asarray`` for what may enter a graph: floats, integers and booleans."""
    array = _asarray(x)
    if array.dtype.kind not in "fiub":
        name = where if isinstance(where, str) else where.name
        raise TypeError(
            f"{name}: expected real numbers, got {type(x).__name__} of dtype {array.dtype}"
        )
    return array


def describe(x: Any) -> str:
    """``float32 (3, 4)``: how an error message shows an operand."""
    if isinstance(x, Value):
        x = x._data
    return f"{x.dtype} {x.shape}" if isinstance(x, ndarray) else repr(x)


def explained(
    error: Exception, primitive: Primitive, arrays: Iterable[Any], scope: Scope
) -> Exception:
    """The same kind of exception, saying which operation failed, on what, and where."""
    kind = next(k for k in (IndexError, TypeError, ValueError) if isinstance(error, k))
    operands = ", ".join(describe(x) for x in arrays)
    return kind(f"{primitive.name}: {error} [operands: {operands}]{scope}")


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
            f"{primitive.name}: {'NaN' if nan else 'Inf'} {what} from inputs of shape {shapes}"
            f"{scope}"
        )


# ── how primitives are written ───────────────────────────────────────────────────────────


def elementwise(
    *rules: np.ufunc | Rule | None,
) -> Callable[[Callable[..., Any]], Callable[..., Array]]:
    """Make a primitive of a broadcasting function of one array or more, given its rules.

    The rules come first because they are what the reader looks for:

        @elementwise(lambda g, y, x: g * greater(x, 0))
        def relu(x): return np.maximum(x, 0)

    Where a ufunc of NumPy's is the whole function, it stands before the rules and the function
    below only documents it; nothing comes between the recording and the ufunc then:

        @elementwise(np.exp, lambda g, y, x: g * y)
        def exp(x): ...

    One and two arguments take a path without loops: recording is most of what a small
    recurrent net spends its time on.
    """

    ufunc, vjps = (rules[0], rules[1:]) if isinstance(rules[0], np.ufunc) else (None, rules)

    def decorate(described: Callable[..., Any]) -> Callable[..., Array]:
        op = Primitive(described.__name__, ufunc or described, vjps, elementwise=True)
        return _register(op, _recorder(op, described), described)

    return decorate


def differentiable(
    *vjps: Rule | None, add_into: Callable[..., None] | None = None, rowwise: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Array]]:
    """Make a primitive of any NumPy function: the first ``len(vjps)`` arguments are its arrays.

    What follows them are constants (axis, shape, ...), which the rules get as keywords.
    """

    def decorate(forward: Callable[..., Any]) -> Callable[..., Array]:
        op = Primitive(forward.__name__, forward, vjps, add_into=add_into, rowwise=rowwise)
        return _register(op, _recorder(op, forward), forward)

    return decorate


def nondifferentiable(forward: Callable[..., Any]) -> Callable[..., Array]:
    """Make an operation of a piecewise constant function: it gives Tensors without a graph."""
    op = Primitive(forward.__name__, forward, None)

    def call(*args: Array, **keywords: Any) -> Array:
        return apply(op, args, keywords)

    functools.update_wrapper(call, forward)
    return call


def variadic(rule: Rule) -> Callable[[Callable[..., Any]], Callable[..., Array]]:
    """Make a primitive of a function of a list of arrays: ``forward(*arrays, **keywords)``.

    The rule is ``rule(index, g, out, *inputs, **keywords)``. What comes out is called with the
    list as its first argument, as ``np.concatenate`` is.
    """

    def decorate(forward: Callable[..., Any]) -> Callable[..., Array]:
        op = Primitive(forward.__name__, forward, ForEach(rule))

        def call(arrays: Sequence[Array], **keywords: Any) -> Array:
            return apply(op, arrays, keywords)

        return _register(op, call, forward)

    return decorate


def _register(
    op: Primitive, call: Callable[..., Array], forward: Callable[..., Any]
) -> Callable[..., Array]:
    functools.update_wrapper(call, forward)
    call.primitive = op  # type: ignore[attr-defined]
    if op.name in table:
        raise ValueError(f"two primitives are called {op.name}")
    table[op.name] = op
    return call


def _recorder(op: Primitive, described: Callable[..., Any]) -> Callable[..., Array]:
    """The function that users call: the short path for one or two arrays and nothing else."""
    arity = len(op.vjps)
    if len(inspect.signature(described).parameters) == arity:
        op.arity = 0 if arity > 2 or op.add_into or op.rowwise else arity
        if arity == 1:
            return _unary(op, op.forward)
        if arity == 2:
            return _binary(op, op.forward)
    return _general(op, described, arity)


def _unary(op: Primitive, forward: Callable[[Any], Any]) -> Callable[..., Array]:
    def call(x: Array) -> Array:
        if not isinstance(x, Value):
            return _asarray(forward(x if type(x) is ndarray else _asarray(x)))
        state = current()
        node = x.node
        if node is None or not state.plain:
            return apply(op, (x,), _no_keywords)
        array = x._data
        try:
            output = forward(array)
        except (ValueError, TypeError) as error:
            raise explained(error, op, (array,), state.scope) from error
        if type(output) is not ndarray:
            output = _asarray(output)
        result: Value = _new(_Tensor)
        result._data = output
        result.node = made = _new(Node)
        made.primitive = op
        made.parents = (node,)
        made.arrays = (array,)
        made.output = output
        made.keywords = _no_keywords
        made.scope = state.scope
        made.number = next_number()
        return result

    return call


def _binary(op: Primitive, forward: Callable[[Any, Any], Any]) -> Callable[..., Array]:
    def call(x: Array, y: Array) -> Array:
        if not (isinstance(x, Value) and isinstance(y, Value)):
            return apply(op, (x, y), _no_keywords)
        state = current()
        x_node = x.node
        y_node = y.node
        if (x_node is None and y_node is None) or not state.plain:
            return apply(op, (x, y), _no_keywords)
        x_array = x._data
        y_array = y._data
        try:
            output = forward(x_array, y_array)
        except (ValueError, TypeError, IndexError) as error:
            raise explained(error, op, (x_array, y_array), state.scope) from error
        if type(output) is not ndarray:
            output = _asarray(output)
        result: Value = _new(_Tensor)
        result._data = output
        result.node = made = _new(Node)
        made.primitive = op
        made.parents = (x_node or x._label, y_node or y._label)
        made.arrays = (x_array, y_array)
        made.output = output
        made.keywords = _no_keywords
        made.scope = state.scope
        made.number = next_number()
        return result

    return call


def _general(op: Primitive, forward: Callable[..., Any], arity: int) -> Callable[..., Array]:
    """The first ``arity`` arguments are arrays, what follows are constants; names and defaults
    are the forward's."""
    parameters = list(inspect.signature(forward).parameters.values())
    names = [p.name for p in parameters]
    arrays, constants = names[:arity], names[arity:]
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    usual = {name: defaults[name] for name in constants if name in defaults}

    def bound(args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if len(args) > len(names):
            raise TypeError(f"{op.name}: expected at most {len(names)} arguments, got {len(args)}")
        given = {**dict(zip(names, args, strict=False)), **keywords}
        for name in keywords:
            if name not in names:
                raise TypeError(
                    f"{op.name}: unexpected argument {name!r}; it takes {', '.join(names)}"
                )
            if name in names[: len(args)]:
                raise TypeError(f"{op.name}: got {name!r} by position and by name")
        given = {**defaults, **given}
        for name in names:
            if name not in given:
                raise TypeError(f"{op.name}: missing argument {name!r}")
        return tuple(given[name] for name in arrays), {name: given[name] for name in constants}

    def call(*args: Any, **keywords: Any) -> Array:
        if len(args) == arity:
            if len(keywords) < len(constants):
                keywords = {**usual, **keywords}
            if len(keywords) == len(constants):
                return apply(op, args, keywords)
        return apply(op, *bound(args, keywords))

    return call


def primitive(
    forward: Callable[..., Any],
    *vjps: Rule | None,
    name: str | None = None,
    elementwise: bool = False,
) -> Callable[..., Array]:
    """Make a differentiable operation of your own out of a NumPy function and its rules.

        y = forward(x_1, ..., x_n, **kw),   vjp_i(g, y, x_1, ..., x_n, **kw) = g . dy/dx_i

    Write the rules with arithmetic, ``tg`` or ``np`` functions: they then run on ndarrays in
    ``backward`` and on Tensors where a gradient is itself differentiated.

    Args:
        forward: ``forward(*arrays, **kw) -> array``; must not write into its inputs.
        *vjps: one rule for each array argument, in order; None where it has no derivative.
            ``g`` and ``out`` have the shape of the output; a rule returns its input's shape.
        name: what pictures and errors call it; by default the function's own name.
        elementwise: the inputs broadcast against each other, and the library sums what a rule
            returns back to its input's shape.

    Returns:
        A function of Tensors, arrays and scalars. It records where a gradient flows.

    Raises:
        TypeError: ``forward`` or a rule is not callable, or there is no rule at all.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> sinh = tg.primitive(np.sinh, lambda g, out, x: g * tg.sqrt(1 + out * out), name="sinh")
    >>> x = tg.Tensor([0.0, 1.0], requires_grad=True)
    >>> sinh(x).sum().backward()
    >>> bool(np.allclose(x.grad, np.cosh([0.0, 1.0])))
    True
    """
    if not callable(forward):
        raise TypeError(f"primitive: forward must be callable, got {type(forward).__name__}")
    if not vjps:
        raise TypeError("primitive: expected one rule for each array argument, got none")
    for i, rule in enumerate(vjps):
        if rule is not None and not callable(rule):
            raise TypeError(f"primitive: rule {i} must be callable or None, got {rule!r}")
    op = Primitive(
        name or str(getattr(forward, "__name__", type(forward).__name__)),
        forward,
        vjps,
        elementwise=elementwise,
    )
    arity = len(vjps)
    parameters = _constants_that_rules_take(forward, vjps)

    def call(*args: Any, **keywords: Any) -> Array:
        if len(args) != arity:
            raise TypeError(
                f"{op.name}: expected {arity} array argument{'s' * (arity != 1)} by position "
                f"(it has that many rules) and constants by keyword, got {len(args)}"
            )
        return apply(op, args, {**parameters, **keywords})

    try:
        functools.update_wrapper(call, forward)
    except (AttributeError, TypeError):
        call.__doc__ = forward.__doc__
    call.__name__ = op.name
    call.primitive = op  # type: ignore[attr-defined]
    return call


def _constants_that_rules_take(
    forward: Callable[..., Any], vjps: Sequence[Rule | None]
) -> Mapping[str, Any]:
    """The forward's default keywords that every rule accepts, so that rules see them too."""
    if isinstance(forward, np.ufunc):  # out=, where=, ...: not constants of the operation
        return {}
    try:
        parameters = list(inspect.signature(forward).parameters.values())[len(vjps) :]
        rules = [inspect.signature(rule).parameters.values() for rule in vjps if rule is not None]
    except ValueError:  # a function written in C
        return {}
    return {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty
        and p.kind is not p.VAR_KEYWORD
        and all(any(q.name == p.name or q.kind is q.VAR_KEYWORD for q in rule) for rule in rules)
    }
