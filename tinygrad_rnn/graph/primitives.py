"""What a primitive is: a NumPy function, its rules, and everything else that is known about it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from .batching import BatchRule, Blocks, Operand, batch_elementwise
from .nodes import Node, Value

#: An argument or result of a primitive: a Tensor in the graph, or anything ``np.asarray`` takes.
#: Python's types cannot say which of the two comes out, since that depends on the arguments.
Array: TypeAlias = Any
Rule: TypeAlias = Callable[..., Array]
View: TypeAlias = bool | Literal["maybe", "unknown"]
Linear: TypeAlias = tuple[tuple[int, ...], ...] | Literal["all", "each"]


class ForEach:
    """The rules of a primitive that takes any number of arrays: one rule, given the index.

    ``ForEach(rule)[i]`` is ``rule`` with ``i`` as its first argument.
    """

    def __init__(self, rule: Rule):
        self.rule = rule

    def __getitem__(self, index: int) -> Rule:
        return functools.partial(self.rule, index)

    def __iter__(self) -> Iterator[Rule]:
        return (functools.partial(self.rule, index) for index in itertools.count())


def same(g: Array, *_: Any) -> Array:
    """The rule of an input that is added to the output unchanged: both have one cotangent."""
    return g


class Traits(TypedDict, total=False):
    """Arguments of the decorators that become attributes of the :class:`Primitive`."""

    batch: BatchRule
    view: View | Callable[[dict[str, Any]], View]
    linear: Linear | Callable[[dict[str, Any]], Linear]
    symbol: str | None
    sign: str
    moves: bool
    written_out: Callable[..., Array]
    emit: Callable[[dict[str, Any]], Sequence[tuple[Any, ...]]]
    range: tuple[float, float]
    scalar: str
    expects: str
    onnx: str | Callable[..., Any]


class Argument(int):
    """In :attr:`Primitive.emit`: the array argument of this number."""


#: In :attr:`Primitive.emit`: the array to write to, and all array arguments as one tuple.
OUT, ALL = Argument(-1), Argument(-2)


class Primitive:
    """An operation and everything that is known about it: one row of the table of rules.

    Attributes:
        name: its key in the table; ``str()`` is its name in errors.
        forward: ``forward(*arrays, **keywords) -> array``, plain NumPy.
        vjps: one rule for each array argument, ``vjp(g, out, *inputs, **keywords)``. It returns the
            cotangent of that input, given the cotangent ``g`` of the output: the product of g with
            the Jacobian, hence vector-Jacobian product. None where there is no derivative.
        elementwise: the inputs broadcast, and the sweep sums what a rule returns to the input's
            shape. Any other rule must return that shape exactly.
        add_into: for rules that touch a small part of their input (indexing). It adds the cotangent
            to a buffer of the input's shape, so no array of zeros is made.
        arity: 1 or 2 if the rules take that many arrays and no keywords: the sweep calls them
            without unpacking. Otherwise 0.
        by_rules: whether calling the rules is all of its backward.
        expand: for a function of several operations that is one node. ``expand(node)`` computes it
            again, operation by operation, and returns its outputs as nodes after the node's
            parents. So second derivatives and pictures see the single operations. ``vjps`` is then
            None, or one function ``(node, g)`` that returns the cotangents of all inputs.
        rowwise: each row of the first argument is combined with the same other arguments (a weight
            matrix, a bias), so their cotangents may be computed from stacked rows.
        batch_rule: how it runs on blocks (T, ...), see :meth:`batch`. An elementwise operation
            needs none.
        view: whether its output shares memory with its first argument: True (always), False
            (never), "maybe", "unknown", or a function of the keywords; see :meth:`is_view`.
        linear: in which of its arguments it is linear, see :meth:`is_linear_in`. A tuple of groups
            (of argument numbers), ``"all"`` for one group of all arguments, ``"each"`` for each
            argument alone, or a function of the keywords that returns one of these.
        symbol: how formulas write it (``*``); None: by its name. If it has two arguments, the
            symbol stands between them.
        sign: how pictures write it (``×``), if the symbol has a better-looking form.
        moves: each element of the output is an element of an input, unchanged. If it runs on labels
            of the elements, its output says where each element came from.
        written_out: the same function in simpler operations, ``written_out(*inputs, **keywords)``:
            a compiler fuses these into one loop. None if it is simple.
        emit: how it writes to given memory. ``emit(keywords)`` lists the calls, each a tuple of a
            NumPy function and its arguments: ``Argument(i)`` for input i, ``ALL`` for the tuple of
            inputs, ``OUT`` for the memory, which overlaps with no input. None if it cannot, and
            for a ufunc, which always can.
        range: the least and the greatest number that it can return; None if there is no limit.
        right: for an operation that only checks: it returns its first argument, and raises if an
            element is wrong. ``right(x, **keywords)``, in ``tg`` functions, says for each element
            whether it is right. Machine code cannot raise: the native back end computes this, and
            lets NumPy raise if some element is wrong. None for other operations.
        scalar: for an elementwise operation the name of its instruction in the native back end;
            None if there is none.
        expects: which shapes its arguments must have, for errors; None where NumPy's message is
            clear.
        onnx: its ONNX form: the name of an operator with the same arguments, or a function that
            adds nodes to a graph, see :func:`primitive`. None if it has none.
    """

    __slots__ = (
        "add_into",
        "arity",
        "batch_rule",
        "by_rules",
        "elementwise",
        "emit",
        "expand",
        "expects",
        "forward",
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
        emit: Callable[[dict[str, Any]], Sequence[tuple[Any, ...]]] | None = None,
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
        self.emit = emit
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
            A function ``f(*arrays) -> (T, ...)``; the arrays of operands ``over_time`` are blocks.
            Its result may be a view of a block.
        """
        made = None if self.batch_rule is None else self.batch_rule(keywords, operands)
        if isinstance(made, dict):
            return functools.partial(self.forward, **made) if made else self.forward
        return made

    def is_view(self, keywords: dict[str, Any]) -> View:
        """Whether the output shares memory with the first argument.

        True: always, for all strides, so making it again costs nothing. False: it shares memory
        with no argument. "maybe": it depends on the strides (reshape). "unknown": it may share
        memory with any argument (a user's own operation). A 0-d output may always be a copy,
        because NumPy turns these into scalars.
        """
        return self.view(keywords) if callable(self.view) else self.view

    def is_linear_in(
        self, arguments: Collection[int], keywords: dict[str, Any], given: Collection[int]
    ) -> bool:
        """Whether a sum may be taken before the operation instead of after it.

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
        return self.name.lstrip("_")  # `_pad` is the primitive behind `pad`


#: Every primitive of the library by name. Users' own (``tg.primitive``) are not in it.
table: dict[str, Primitive] = {}


#: One output of a node with several outputs, which holds a tuple.
pick = Primitive("pick", lambda outputs, index: outputs[index], None)
