"""How operations are written: decorators that put a NumPy function beside its rules."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Unpack, overload

import numpy as np
from numpy import ndarray

from .batching import BatchRule
from .errors import composed
from .nodes import Value
from .primitives import Array, ForEach, Linear, Primitive, Rule, Traits, View, table
from .recording import apply, binary, unary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..tensor import Tensor


def elementwise(
    *rules: np.ufunc | Rule | None, **traits: Unpack[Traits]
) -> Callable[[Callable[..., Any]], Callable[..., Array]]:
    """Make a primitive of a broadcasting function of one array or more, given its rules.

    The rules come first because they are what the reader looks for:

        @elementwise(lambda g, y, x: g * greater(x, 0))
        def relu(x): return np.maximum(x, 0)

    If a NumPy ufunc is the whole function, it stands before the rules. The function below then only
    documents it, and recording calls the ufunc directly:

        @elementwise(np.exp, lambda g, y, x: g * y)
        def exp(x): ...

    Other facts about the operation (``linear=...``) follow the rules: see :class:`Primitive`. It
    needs no batch rule.
    """
    return differentiable(*rules, elementwise=True, **traits)


def differentiable(
    *rules: np.ufunc | Rule | None,
    add_into: Callable[..., None] | None = None,
    rowwise: bool = False,
    elementwise: bool = False,
    options: Callable[..., Array] | None = None,
    **traits: Unpack[Traits],
) -> Callable[[Callable[..., Any]], Callable[..., Array]]:
    """Make a primitive of any NumPy function: one rule for each of its first arguments, the arrays.

    Its other arguments are constants (axis, shape, ...), which the rules get as keywords. The other
    arguments of the decorator are attributes of the :class:`Primitive`. As with
    :func:`elementwise`, a ufunc that is the whole function stands before its rules. A function of
    one or two arrays and no constants takes a recording path without loops: a small recurrent net
    spends most of its time on recording.

    ``options`` is a function in other operations. It handles the keyword-only arguments, which the
    primitive never sees: if any of them is not None, ``options`` is called with all arguments
    instead of the primitive.
    """

    traits.setdefault("view", False)
    ufunc, vjps = (rules[0], rules[1:]) if isinstance(rules[0], np.ufunc) else (None, rules)

    def decorate(described: Callable[..., Any]) -> Callable[..., Array]:
        op = Primitive(
            described.__name__,
            ufunc or described,
            vjps,
            add_into=add_into,
            rowwise=rowwise,
            elementwise=elementwise,
            **traits,
        )
        return _register(op, _recorder(op, described, options), described)

    return decorate


def nondifferentiable(
    ufunc: np.ufunc | None = None, /, *, elementwise: bool = False, **traits: Unpack[Traits]
) -> Callable[[Callable[..., Any]], Callable[..., Array]]:
    """Make an operation of a piecewise constant function: it gives Tensors without a graph.

    As with :func:`elementwise`, a ufunc that is the whole function stands before what documents it.
    """

    traits.setdefault("view", False)

    def decorate(described: Callable[..., Any]) -> Callable[..., Array]:
        op = Primitive(
            described.__name__,
            ufunc or described,
            None,
            elementwise=elementwise or ufunc is not None,
            **traits,
        )

        # Without rules nothing says how many arguments are arrays: those without a default are.
        parameters = inspect.signature(described).parameters.values()
        arrays = [p for p in parameters if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
        call = _general(op, described, len(arrays))
        functools.update_wrapper(call, described)
        call.primitive = op  # type: ignore[attr-defined]
        return call

    return decorate


def variadic(
    rule: Rule, **traits: Unpack[Traits]
) -> Callable[[Callable[..., Any]], Callable[..., Array]]:
    """Make a primitive of a function of a list of arrays: ``forward(*arrays, **keywords)``.

    The rule is ``rule(index, g, out, *inputs, **keywords)``. What comes out is called with the
    list as its first argument, as ``np.concatenate`` is.
    """

    traits.setdefault("view", False)

    def decorate(forward: Callable[..., Any]) -> Callable[..., Array]:
        op = Primitive(forward.__name__, forward, ForEach(rule), **traits)

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


def _recorder(
    op: Primitive, described: Callable[..., Any], options: Callable[..., Array] | None = None
) -> Callable[..., Array]:
    """The function that users call: the short path for one or two arrays and nothing else."""
    arity = len(op.vjps)
    # All arguments are arrays: there are no constants to pass on.
    if len(inspect.signature(described).parameters) == arity:
        op.arity = 0 if arity > 2 or op.add_into or op.rowwise else arity
        if arity == 1:
            return unary(op, op.forward)
        if arity == 2:
            return binary(op, op.forward)
    return _general(op, described, arity, options)


def _general(
    op: Primitive,
    forward: Callable[..., Any],
    arity: int,
    options: Callable[..., Array] | None = None,
) -> Callable[..., Array]:
    """The first ``arity`` arguments are arrays, what follows are constants.

    The function is written out with the forward's own names and defaults, so that Python itself
    binds the arguments: twice as fast as binding them here.

        def sum(x, axis=defaults["axis"], keepdims=defaults["keepdims"]):
            return apply(op, (x,), {"axis": axis, "keepdims": keepdims})
    """
    parameters = inspect.signature(forward).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    by_name = [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY]
    heads = [f"{name}=defaults[{name!r}]" if name in defaults else name for name in parameters]
    if by_name:
        heads.insert(len(heads) - len(by_name), "*")
    # Keyword-only arguments belong to ``options`` if there is one, else to the primitive.
    optional = by_name if options else []
    names = [name for name in parameters if name not in optional]
    arrays = "".join(f"{name}, " for name in names[:arity])
    constants = ", ".join(f"{name!r}: {name}" for name in names[arity:])
    lines = [f"def {op.name}({', '.join(heads)}):"]
    if optional:
        asked = " or ".join(f"{name} is not None" for name in optional)
        every = ", ".join([*names, *(f"{name}={name}" for name in optional)])
        lines.append(f"    if {asked}: return options({every})")
    if arity == 1:  # a rule on an ndarray, most often: there is nothing to record
        x = names[0]
        passed = ", ".join([x, *(f"{name}={name}" for name in names[1:])])
        lines += [f"    if type({x}) is ndarray:", f"        return asarray(forward({passed}))"]
    lines.append(f"    return apply(op, ({arrays}), {{{constants}}})")
    # The globals of the written function. Defaults are passed as objects: their text may not be
    # code.
    made: dict[str, Any] = {"apply": apply, "op": op, "defaults": defaults}
    made |= {"ndarray": ndarray, "asarray": np.asarray, "forward": op.forward}
    made["options"] = options and composed(options, op.name)
    exec("\n".join(lines), made)
    call: Callable[..., Array] = made[op.name]
    return call


class Operation(Protocol):
    """What :func:`primitive` makes: a Tensor among its arguments gives a Tensor."""

    primitive: Primitive

    @overload
    def __call__(self, x: Value, /, *others: Any, **constants: Any) -> Tensor: ...
    @overload
    def __call__(self, x: ArrayLike, /, *others: ArrayLike, **constants: Any) -> ndarray: ...
    @overload
    def __call__(self, x: ArrayLike, /, *others: Any, **constants: Any) -> Tensor: ...


def primitive(
    forward: Callable[..., Any],
    *vjps: Rule | None,
    name: str | None = None,
    elementwise: bool = False,
    batch: BatchRule | None = None,
    view: View | Callable[[dict[str, Any]], View] = "unknown",
    linear: Linear | Callable[[dict[str, Any]], Linear] = (),
    written_out: Callable[..., Array] | None = None,
    symbol: str | None = None,
    moves: bool = False,
    onnx: str | Callable[..., Any] | None = None,
) -> Operation:
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
            returns back to its input's shape. ``forward`` must take arrays of any shape then.
        batch: how ``scan`` calls it once for all time steps instead of once for each,
            ``batch(keywords, operands)``; see :meth:`Primitive.batch`. An elementwise operation
            needs none.
        view: whether the output shares memory with the first input: True, False, "maybe" (it
            depends on its strides), "unknown", or a function of the keywords that says which.
        linear: the groups of arguments in which ``forward`` is linear; see
            :meth:`Primitive.is_linear_in`.
        written_out: the same in ``tg`` functions, ``written_out(*inputs, **kw)``, which ``scan``
            can compile to machine code where it cannot compile ``forward``.
        symbol: how pictures and equations write it; between its arguments, if these are two.
        moves: every element of the output is an element of an input, unchanged; pictures then
            follow from which time step each came.
        onnx: what ``tg.onnx.export`` writes: the name of an ONNX operator with the same arguments
            (``"Sinh"``), or a function ``onnx(builder, *inputs, **kw)`` that adds nodes by
            ``builder.node("Sinh", x)`` and returns the output of the last one. If it is not given,
            ``written_out`` is exported instead.

    Returns:
        A function of Tensors, arrays and scalars. It records where a gradient flows.

    Raises:
        TypeError: ``forward``, a rule or ``batch`` is not callable, or there is no rule at all; or
            ``onnx`` is neither a name nor a function.

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
    if batch is not None and not callable(batch):
        raise TypeError(f"primitive: batch must be callable or None, got {batch!r}")
    if written_out is not None and not callable(written_out):
        raise TypeError(f"primitive: written_out must be callable or None, got {written_out!r}")
    if onnx is not None and not isinstance(onnx, str) and not callable(onnx):
        raise TypeError(f"primitive: onnx must be a name, a function or None, got {onnx!r}")
    op = Primitive(
        name or str(getattr(forward, "__name__", type(forward).__name__)),
        forward,
        vjps,
        elementwise=elementwise,
        batch=batch,
        view=view,
        linear=linear,
        written_out=written_out,
        symbol=symbol,
        moves=moves,
        onnx=onnx,
    )
    arity = len(vjps)
    parameters = _constants_that_rules_take(forward, vjps)

    def call(*args: Any, **keywords: Any) -> Array:
        if len(args) != arity:
            raise TypeError(
                f"{op}: expected {arity} array argument{'s' * (arity != 1)} by position "
                f"(it has that many rules) and constants by keyword, got {len(args)}"
            )
        return apply(op, args, {**parameters, **keywords})

    try:
        functools.update_wrapper(call, forward)
    except (AttributeError, TypeError):
        call.__doc__ = forward.__doc__
    call.__name__ = op.name
    call.primitive = op  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


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
