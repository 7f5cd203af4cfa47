"""Where in the program an operation ran, and whether it is recorded.

One immutable object in a context variable holds the state of a thread: whether it records, whether
it checks for NaN, in which modules and at which time step it is. Every change is a ``with`` block,
which restores the object before it, exceptions included.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import numpy as np

from .nodes import Scope, Value, next_number

if TYPE_CHECKING:
    from ..tensor import Tensor

_X = TypeVar("_X")
_P = ParamSpec("_P")
_R = TypeVar("_R")


class _State:
    """The state of a thread: whether it records, whether it checks for NaN, and its scope.

    While ``scan`` traces a step, ``tracing`` is called instead of ``apply`` for every operation on
    Tensors, and calls of ``tg.grad`` are appended to its ``asked``. Otherwise ``tracing`` is None.
    ``backend`` is the one that the user chose for ``scan``.
    """

    __slots__ = ("anomaly", "backend", "plain", "recording", "scope", "tracing")

    def __init__(
        self,
        recording: bool,
        anomaly: bool,
        scope: Scope,
        tracing: Any = None,
        backend: str | None = None,
    ):
        self.recording = recording
        self.anomaly = anomaly
        self.scope = scope
        self.tracing = tracing
        self.backend = backend
        # The short paths of unary and binary operations serve this mode only.
        self.plain = recording and not anomaly and tracing is None


_state: ContextVar[_State] = ContextVar(
    "tinygrad_rnn",
    default=_State(recording=True, anomaly=False, scope=Scope()),  # noqa: B039 (never mutated)
)
current = _state.get


#: The blocks that are open: each switch, the state before it, and what it has begun.
_entered: ContextVar[tuple[tuple[Any, _State, Any], ...]] = ContextVar(
    "tinygrad_rnn_entered",
    default=(),
)


class _Switch:
    """A ``with`` block that changes what the thread does; also a decorator of functions.

    One object may be entered any number of times: within itself, in several threads and in several
    tasks of asyncio.
    """

    __slots__ = ()

    def __init__(self, *given: Any):
        if given:
            name = type(self).__name__
            raise TypeError(f"{name}: expected no arguments; a decorator is written @tg.{name}()")

    def _switched(self, before: _State) -> _State:
        raise NotImplementedError

    def _begin(self) -> Any:
        """What else a block does; returns what :meth:`_end` needs."""

    def _end(self, begun: Any) -> None:
        pass

    def __enter__(self) -> None:
        before = current()
        _entered.set((*_entered.get(), (self, before, self._begin())))
        _state.set(self._switched(before))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entries = _entered.get()
        places = [i for i, (switch, _, _) in enumerate(entries) if switch is self]
        if not places:  # entered in another context: this one was not switched
            return
        _, before, begun = entries[places[-1]]
        outer, inner = entries[: places[-1]], entries[places[-1] + 1 :]
        if inner:
            # A generator that waits is still within a block that it entered later. When that one
            # ends, it goes back to what was before this one.
            (switch, _, its_begun), *rest = inner
            inner = ((switch, before, its_begun), *rest)
        else:
            _state.set(before)
        _entered.set((*outer, *inner))
        self._end(begun)

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        run: Any = function
        # A plain ``with`` around the call would end before the body of the generator has run.
        if _is(inspect.isgeneratorfunction, function):

            @functools.wraps(function)
            def generate(*args: _P.args, **keywords: _P.kwargs) -> Any:
                return (yield from _each_within(self, run(*args, **keywords)))

            return generate

        if _is(inspect.isasyncgenfunction, function):

            @functools.wraps(function)
            def generate_later(*args: _P.args, **keywords: _P.kwargs) -> Any:
                return _each_awaited_within(self, run(*args, **keywords))

            return generate_later

        if _is(inspect.iscoroutinefunction, function):

            @functools.wraps(function)
            async def wait(*args: _P.args, **keywords: _P.kwargs) -> Any:
                with self:
                    return await run(*args, **keywords)

            return wait  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: _P.args, **keywords: _P.kwargs) -> _R:
            with self:
                return function(*args, **keywords)

        return call


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Whether a function, or the ``__call__`` of an object, is of this kind."""
    return kind(function) or kind(getattr(type(function), "__call__", None))  # noqa: B004


def _each_within(switch: _Switch, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a generator with a switch on while it runs, and off while it waits for its caller."""
    advance: Callable[[], Any] = functools.partial(next, generator)
    while True:
        try:
            with switch:
                made = advance()
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield made
        except GeneratorExit:
            with switch:
                generator.close()
            raise
        except BaseException as error:
            # What the caller throws or sends goes to the generator, with the switch on.
            advance = functools.partial(generator.throw, error)
        else:
            advance = functools.partial(generator.send, sent)


async def _each_awaited_within(
    switch: _Switch, generator: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    """The same as :func:`_each_within` for an asynchronous generator."""
    advance: Awaitable[Any] = generator.__anext__()
    while True:
        try:
            with switch:
                made = await advance
        except StopAsyncIteration:
            return
        try:
            sent = yield made
        except GeneratorExit:
            with switch:
                await generator.aclose()
            raise
        except BaseException as error:
            advance = generator.athrow(error)
        else:
            advance = generator.asend(sent)


class no_grad(_Switch):
    """Compute without recording: results carry no graph and need no gradient.

    A context manager and a decorator, of generator functions too; it holds for the current thread
    and ends with the block, exceptions included. One object may be entered again and again.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = w * 3
    >>> y.requires_grad
    False
    """

    __slots__ = ()

    def _switched(self, before: _State) -> _State:
        return _State(False, before.anomaly, before.scope, before.tracing, before.backend)


class enable_grad(_Switch):
    """Record again inside a :class:`no_grad` block (what a recomputation in backward needs)."""

    __slots__ = ()

    def _switched(self, before: _State) -> _State:
        return _State(True, before.anomaly, before.scope, before.tracing, before.backend)


class traced:
    """Send every operation on Tensors to ``tracing``; None: run them as usual again."""

    __slots__ = ("_before", "_recording", "_tracing")

    def __init__(self, tracing: Any, *, recording: bool):
        self._tracing, self._recording = tracing, recording

    def __enter__(self) -> None:
        self._before = before = current()
        _state.set(_State(self._recording, False, before.scope, self._tracing, before.backend))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _state.set(self._before)


class detect_anomaly(_Switch):
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

    __slots__ = ()

    def _switched(self, before: _State) -> _State:
        return _State(before.recording, True, before.scope, before.tracing, before.backend)

    def _begin(self) -> Any:
        # NumPy's warning would come before the error that names the operation.
        quiet = np.errstate(all="ignore")
        quiet.__enter__()
        return quiet

    def _end(self, begun: Any) -> None:
        begun.__exit__(None, None, None)


BACKENDS = ("auto", "numpy", "native")


class backend(_Switch):
    """Choose what runs the scans inside the block: NumPy, or machine code.

    A context manager and a decorator; it holds for the current thread and ends with the block,
    exceptions included. Outside of every block the environment variable ``TINYGRAD_RNN_BACKEND``
    counts; without it, "auto".

    Args:
        name: "numpy" calls NumPy for each operation; "native" compiles a step by llvmlite (the
            extra ``[native]``); "auto" is native where llvmlite is installed and every operation of
            the step can be compiled, else NumPy. ``print(tg.scan_plan(...))`` says which it is.

    Raises:
        ValueError: another name.
        RuntimeError: from a scan within a "native" block that cannot be compiled; it says why.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> with tg.backend("numpy"):
    ...     h, ys = tg.scan(lambda h, x: (h + x, h), np.zeros(2), np.ones((3, 2)))
    >>> h
    Tensor([3., 3.])
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in BACKENDS:
            raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {name!r}")
        self._name = name

    def _switched(self, before: _State) -> _State:
        return _State(before.recording, before.anomaly, before.scope, before.tracing, self._name)


@contextmanager
def in_scope(place: Scope) -> Iterator[None]:
    """Record as if in the given scope: a rule belongs to the step of what it differentiates."""
    before = current()
    _state.set(_State(before.recording, before.anomaly, place, before.tracing, before.backend))
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
        _state.set(_State(before.recording, before.anomaly, inner, before.tracing, before.backend))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _state.set(self._before.pop())


@overload
def steps(xs: Tensor, *, reverse: bool = ...) -> Iterator[tuple[int, Tensor]]: ...
@overload
def steps(xs: Iterable[_X], *, reverse: bool = ...) -> Iterator[tuple[int, _X]]: ...
def steps(xs: Any, *, reverse: bool = False) -> Iterator[tuple[int, Any]]:
    """Enumerate a sequence and tag what each turn of the loop computes with its time step.

    ``for t, x_t in tg.steps(xs)`` is ``enumerate(xs)``, and pictures, error messages and
    per-step gradients know the step t (from 0) of everything computed in the body.

    Args:
        xs: a Tensor or ndarray (T, ...), read along its first axis, or any iterable.
        reverse: from the last step to the first; xs then has to be a sequence.

    Yields:
        ``(t, x_t)`` for t = 0, 1, ..., T - 1, or for t = T - 1, ..., 1, 0.

    >>> import tinygrad_rnn as tg
    >>> h = tg.Tensor(0.0, requires_grad=True)
    >>> for t, x_t in tg.steps([1.0, 2.0]):
    ...     h = tg.tanh(h + x_t)
    >>> h.node.scope.step
    1
    """
    loop = next_number()
    outer = current().scope
    iterator = reversed(xs) if reverse else iter(xs)
    times = range(len(xs) - 1, -1, -1) if reverse else itertools.count()
    try:
        for t in times:
            # The tag comes before the element: reading x_t = xs[t] belongs to its step too.
            inner = Scope(outer.path, (*outer.steps, (loop, t)), outer.sweep)
            now = current()  # a caller of next() may be inside no_grad
            _state.set(_State(now.recording, now.anomaly, inner, now.tracing, now.backend))
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
            _state.set(_State(now.recording, now.anomaly, outer, now.tracing, now.backend))


def _name_element(x_t: Value, xs: Value, t: int) -> None:
    """Call x_t ``xs[t]`` in pictures, if xs has a name."""
    name = xs._label if xs.node is None else xs.node.name
    if name is None:
        return
    if x_t.node is None:
        x_t._label = f"{name}[{t}]"
    else:
        x_t.node.name = f"{name}[{t}]"
