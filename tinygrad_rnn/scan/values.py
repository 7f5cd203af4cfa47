"""The values of a step, brought into a form that is good to plan.

Every value is a :class:`Var`. Its ``level`` says when it can be known: before the loop and the
same at every step (CONSTANT), before the loop and of every step another (SEQUENCE), or only
within the loop, since it depends on the carry (LOOP). :class:`Builder` makes the values of a step
from its instructions, each only once, and regroups sums and products on the way: what depends on
the carry is brought together with what does not as late as possible, so that the latter can be
worked out for all steps before the loop:

    (h W' + x_t V') + b     ->  h W' + (x_t V' + b)
    (g * y) * (1 - y)       ->  g * (y * (1 - y))
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..graph import Primitive, table
from .trace import Instruction, Literal, frozen

CONSTANT, SEQUENCE, LOOP = 0, 1, 2
dense = {"float32", "float64"}  # the dtypes that BLAS and fast ufuncs know

_add, _multiply, _negative = table["add"], table["multiply"], table["negative"]
_subtract, _matmul, _transpose = table["subtract"], table["matmul"], table["transpose"]
_tanh, _sigmoid = table["tanh"], table["sigmoid"]
_divide, _reshape, _broadcast_to = table["divide"], table["reshape"], table["broadcast_to"]
_place, _getitem = table["_place"], table["_getitem"]

#: Parts laid side by side into zeros: a sum of ``place``, without the zeros and the sum.
join = Primitive("join", lambda *parts, indices, shape: _join(parts, indices, shape), None)


#: An array of one number: what a rule of the compiler itself brings.
filled = Primitive("filled", np.full, None)


def _join(parts: Sequence[Any], indices: Sequence[Any], shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, np.result_type(*parts))
    for part, index in zip(parts, indices, strict=True):
        out[index] = part
    return out


#: Primitives whose output is a view of their input: it costs nothing to make it again.
views = frozenset(
    table[name]
    for name in (
        "reshape",
        "transpose",
        "swapaxes",
        "moveaxis",
        "squeeze",
        "expand_dims",
        "flip",
        "broadcast_to",
        "windows",
    )
)


class Var:
    """A value of a step: an input of the loop (``op`` is None) or what an operation gives."""

    __slots__ = ("args", "dtype", "keywords", "label", "level", "number", "op", "shape")

    def __init__(
        self,
        number: int,
        op: Primitive | None,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        level: int,
    ):
        self.number = number
        self.op = op
        self.args = args
        self.keywords = keywords
        self.shape = shape
        self.dtype = dtype
        self.level = level
        #: What the listing calls it: a name, another loop's value that it is, or None.
        self.label: str | Var | None = None

    @property
    def inputs(self) -> list[Var]:
        return [x for x in self.args if type(x) is Var]

    @property
    def is_view(self) -> bool:
        if self.op in views:
            return True
        return (
            self.op is not None and self.op.name == "_getitem" and is_basic(self.keywords["index"])
        )

    def __repr__(self) -> str:
        name = "input" if self.op is None else self.op.name
        return f"<v{self.number} {name} {self.shape} level {self.level}>"


def is_basic(index: Any) -> bool:
    """Whether indexing gives a view: no arrays, and no integers that are arrays in disguise."""
    parts = index if isinstance(index, tuple) else (index,)
    kinds = (int, np.integer, slice, type(None), type(Ellipsis))
    return all(isinstance(part, kinds) and not isinstance(part, (bool, np.bool_)) for part in parts)


def _arguments(args: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(x.number if type(x) is Var else (type(x), repr(x)) for x in args)


class Builder:
    """Makes values, each only once."""

    def __init__(self) -> None:
        self.count = 0
        self.shared: set[Var] = set()  # what several operations read
        self._known: dict[Any, Var] = {}

    def given(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        level: int,
        label: str | Var | None = None,
    ) -> Var:
        """An input of the loop."""
        made = self._new(None, (), {}, shape, dtype, level)
        made.label = label
        return made

    def _new(self, *parts: Any) -> Var:
        self.count += 1
        return Var(self.count, *parts)

    def make(
        self,
        op: Primitive,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> Var:
        """``op(*args, **keywords)``, regrouped where that brings work out of the loop."""
        found = self._regrouped(op, args, keywords, shape, dtype)
        if found is not None and found.shape == shape and found.dtype == dtype:
            return found
        key = (op, _arguments(args), frozen(keywords))
        known = self._known.get(key)
        if known is None:
            level = max((x.level for x in args if type(x) is Var), default=CONSTANT)
            known = self._known[key] = self._new(op, args, keywords, shape, dtype, level)
        return known

    def _elementwise(self, op: Primitive, *args: Any) -> Var:
        shapes = [x.shape for x in args if type(x) is Var]
        kinds = [np.empty(0, x.dtype) if type(x) is Var else x for x in args]
        dtype = op.forward(*kinds).dtype
        return self.make(op, args, {}, np.broadcast_shapes(*shapes), dtype)

    def _regrouped(
        self,
        op: Primitive,
        args: tuple[Any, ...],
        keywords: dict[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> Var | None:
        if not args:
            return None
        x = args[0]
        if op.name == "linear":
            x, W, b = args
            if type(x) is not Var or type(W) is not Var:
                return None
            WT = self.make(_transpose, (W,), {"axes": None}, W.shape[::-1], W.dtype)
            z = self.make(_matmul, (x, WT), {}, (*x.shape[:-1], W.shape[0]), dtype)
            return self._elementwise(_add, z, b) if type(b) is Var else z
        if type(x) is Var and x.shape == shape and x.dtype == dtype:
            if op.name in _identities:
                return x
            if op is _transpose and x.op is _transpose and len(x.shape) == 2:
                (before,) = x.inputs
                return before if keywords == x.keywords else None
        if op is _sigmoid and type(x) is Var and x.level == LOOP and dtype == x.dtype == np.float32:
            # By way of tanh: two to three times faster and, at 7 digits, as good.
            y = self._elementwise(_multiply, self._elementwise(_tanh, self._halved(x)), 0.5)
            return self._elementwise(_add, y, 0.5)
        if op is _transpose and type(x) is Var and x.op is _transpose and keywords == x.keywords:
            return x.inputs[0] if keywords["axes"] is None else None
        if dtype.kind != "f":
            return None
        if isinstance(op.forward, np.ufunc) and any(_is_spread(y) for y in args):
            narrow = tuple(y.args[0] if _is_spread(y) else y for y in args)
            shapes = [y.shape for y in narrow if type(y) is Var]
            if shape in shapes and np.broadcast_shapes(*shapes) == shape:
                return self.make(op, narrow, keywords, shape, dtype)
        if op is _getitem:
            return self._cut(x, keywords["index"])
        if op is _matmul and type(x) is Var and type(args[1]) is Var:
            return self._product_of_parts(x, args[1], shape)
        if op.name == "sum" and type(x) is Var and keywords["axis"] in (0, (0,)):
            return self._sum_of_parts(x, keywords, shape)
        if op.name in ("sum", "mean", "sum_to") and _level(x) == LOOP:
            return self._sum_of_columns(op, x, keywords, shape)
        if op is _divide and _level(x) == LOOP and _level(args[1]) < LOOP and _is_float(args[1]):
            if type(args[1]) is Var:
                return self._elementwise(_multiply, x, self._elementwise(_divide, 1.0, args[1]))
            return self._elementwise(_multiply, x, 1.0 / args[1]) if args[1] else None
        if op is _multiply:
            return self._product(args[0], args[1])
        if op is _negative and type(x) is Var and x.level == LOOP and x.op is _multiply:
            left, right = _by_level(*x.args)
            if _level(right) < LOOP and _is_float(right):
                return self._elementwise(_multiply, left, self._negated(right))
        if op is _subtract and _level(args[0]) == LOOP and _level(args[1]) < LOOP:
            if not _is_float(args[1]):
                return None
            return self._elementwise(_add, x, self._negated(args[1]))
        if op is _add:
            return self._sum(args[0], args[1])
        return None

    def _negated(self, x: Any) -> Any:
        return self._elementwise(_negative, x) if type(x) is Var else -x

    def _halved(self, x: Var) -> Var:
        """x / 2, the halves taken where it costs least: of weights and biases."""
        if x not in self.shared and x.op is _add and all(type(part) is Var for part in x.args):
            left, right = (self._halved(part) for part in x.args)
            return self._elementwise(_add, left, right)
        if x not in self.shared and x.op is _matmul and _level(x.args[1]) == CONSTANT:
            rows, matrix = x.args
            return self.make(_matmul, (rows, self._halved(matrix)), {}, x.shape, x.dtype)
        if x.level == LOOP and x.op is _multiply:
            left, right = _by_level(*x.args)
            if _level(right) < LOOP and type(right) is Var and right.dtype == x.dtype:
                return self._elementwise(_multiply, left, self._halved(right))
        return self._elementwise(_multiply, x, 0.5)

    def _sum_of_columns(
        self, op: Primitive, x: Var, keywords: dict[str, Any], shape: tuple[int, ...]
    ) -> Var | None:
        """The sum of each row, as a product with a column of ones: BLAS is there sooner."""
        rank, dtype = len(x.shape), x.dtype
        row_sums = (*x.shape[:-1], 1)
        if not 1 <= rank <= 2 or x.shape[-1] < 2 or dtype.name not in dense:
            return None
        if op.name == "sum_to":
            if shape != row_sums:
                return None
        else:
            axes = range(rank) if keywords["axis"] is None else np.ravel(keywords["axis"]).tolist()
            if {axis % rank for axis in axes} != {rank - 1}:
                return None
        one = 1 / x.shape[-1] if op.name == "mean" else 1.0
        column = {"shape": (x.shape[-1], 1), "fill_value": one, "dtype": dtype}
        ones = self.make(filled, (), column, (x.shape[-1], 1), dtype)
        made = self.make(_matmul, (x, ones), {}, row_sums, dtype)
        return (
            made
            if shape == row_sums
            else self.make(_reshape, (made,), {"shape": shape}, shape, dtype)
        )

    def _product(self, x: Any, y: Any) -> Var | None:
        """(l * s) * x -> l * (s * x), where only l depends on the carry."""
        left, right = _by_level(x, y)
        if _level(left) < LOOP or _level(right) == LOOP or type(left) is not Var:
            return None
        if left.op is _matmul and type(right) is not Var and left not in self.shared:
            rows, matrix = left.args
            if _level(matrix) == CONSTANT and _is_float(right):
                scaled = self._elementwise(_multiply, matrix, right)
                return self.make(_matmul, (rows, scaled), {}, left.shape, left.dtype)
        if left.op is _multiply:
            inner, factor = _by_level(*left.args)
            if _level(factor) < LOOP and (type(factor) is Var or type(right) is Var):
                if not (_may_be_factor(factor) and _may_be_factor(right)):
                    return None
                return self._elementwise(
                    _multiply, inner, self._elementwise(_multiply, factor, right)
                )
        if left.op is _negative and _is_float(right):
            return self._elementwise(_multiply, left.args[0], self._negated(right))
        return None

    def _sum(self, x: Any, y: Any) -> Var | None:
        """What does not depend on the carry comes last in a sum, in one summand."""
        if type(x) is not Var or type(y) is not Var:
            return None
        if x.op in (_place, join) and y.op in (_place, join):
            return self._joined(x, y)
        if not (_is_float(x) and _is_float(y)):
            return None
        left, right = _by_level(x, y)
        if left.level < LOOP:
            for first, second in ((x, y), (y, x)):
                if second.op is _negative and second not in self.shared:
                    return self._elementwise(_subtract, first, second.args[0])
            if left.level > right.level and left.op is _add:
                # (x_t + b) + c -> x_t + (b + c): one pass over all steps, not two.
                inner, summand = _by_level(*left.args)
                if _level(inner) > CONSTANT and _level(summand) == CONSTANT:
                    if not _may_be_summand(summand):
                        return None
                    return self._elementwise(_add, inner, self._elementwise(_add, summand, right))
            return None
        if right.level < LOOP:
            if left.op is _add:
                inner, summand = _by_level(*left.args)
                if _level(inner) == LOOP and _may_be_summand(summand):
                    return self._elementwise(_add, inner, self._elementwise(_add, summand, right))
            return None
        for first, second in ((x, y), (y, x)):
            if second.op is _multiply and first.shape == second.shape:
                a, s = _by_level(*second.args)
                if a is first and _may_be_summand(s):  # a + a s -> a (1 + s)
                    if s.op is _negative:
                        return self._elementwise(
                            _multiply, a, self._elementwise(_subtract, 1.0, s.args[0])
                        )
                    return self._elementwise(_multiply, a, self._elementwise(_add, s, 1.0))
        if x.op is _multiply and y.op is _multiply and x.shape == y.shape:
            (a, s), (b, r) = _by_level(*x.args), _by_level(*y.args)
            if a is b and _may_be_summand(s) and _may_be_summand(r):
                return self._elementwise(_multiply, a, self._elementwise(_add, s, r))
        for first, second in ((x, y), (y, x)):
            if first.op is _add:
                inner, summand = _by_level(*first.args)
                if _level(inner) == LOOP and _may_be_summand(summand):
                    return self._elementwise(_add, self._elementwise(_add, inner, second), summand)
        return None

    def _cut(self, x: Any, index: Any) -> Var | None:
        """(h W' + b)[:, a:b] -> h W'[:, a:b] + b[a:b]: what the loop works on is contiguous.

        NumPy runs through columns of a matrix row by row.
        """
        parts = index if isinstance(index, tuple) else (index,)
        if type(x) is not Var or x.level == CONSTANT or not 1 <= len(x.shape) <= 2:
            return None
        full = slice(None)
        last = parts[-1]
        if any(type(part) not in (slice, type(Ellipsis)) for part in parts):
            return None
        leads = parts[:-1] == (Ellipsis,) or parts[:-1] == (full,) * (len(x.shape) - 1)
        if not leads or type(last) is not slice:
            return None
        return self._columns(x, last) if _has_columns(x) else None

    def _columns(self, x: Var, columns: slice) -> Var:
        if x.op is _add and x.level > CONSTANT:
            left, right = (self._columns(part, columns) for part in x.args)
            return self._elementwise(_add, left, right)
        if x.op is _matmul and x.level > CONSTANT:
            rows, matrix = x.args
            part = self._columns(matrix, columns)
            return self.make(_matmul, (rows, part), {}, (*x.shape[:-1], part.shape[-1]), x.dtype)
        width = len(range(*columns.indices(x.shape[-1])))
        return self.make(
            _getitem, (x,), {"index": (Ellipsis, columns)}, (*x.shape[:-1], width), x.dtype
        )

    def _joined(self, x: Var, y: Var) -> Var | None:
        """A sum of parts that lie in different places."""
        parts: list[Any] = []
        indices: list[Any] = []
        for term in (x, y):
            if term.op is join:
                parts += term.args
                indices += term.keywords["indices"]
            else:
                parts.append(term.args[0])
                indices.append(term.keywords["index"])
        if not all(type(part) is Var for part in parts) or not all(map(is_basic, indices)):
            return None
        if math.prod(x.shape) > 1 << 22:
            return None
        used = np.zeros(x.shape, np.uint8)
        for index in indices:
            used[index] += 1
        if used.size and used.max() > 1:
            return None
        keywords = {"indices": tuple(indices), "shape": x.shape}
        return self.make(join, tuple(parts), keywords, x.shape, x.dtype)

    # A matrix that is only put together to be multiplied need not be put together: writing its
    # columns goes row by row, and one product of many columns is not faster than several.

    def _product_of_parts(self, x: Var, y: Var, shape: tuple[int, ...]) -> Var | None:
        """[a b c] W -> a W_a + b W_b + c W_c, and [a b c]' y -> [a'y; b'y; c'y]."""
        if x.op is _negative and y.level == CONSTANT:
            return self.make(_matmul, (x.args[0], self._negated(y)), {}, shape, x.dtype)
        if len(shape) != 2 or len(y.shape) != 2:
            return None
        if x.op is join and x.shape[0] > 1:
            columns = _columns_joined(x)
            if columns is None or y.level == LOOP:
                return None
            terms = []
            for part, at in columns:
                rows = (len(range(*at.indices(y.shape[0]))), y.shape[1])
                matrix = self.make(_getitem, (y,), {"index": at}, rows, y.dtype)
                terms.append(self.make(_matmul, (part, matrix), {}, shape, x.dtype))
            return functools.reduce(lambda a, b: self._elementwise(_add, a, b), terms)
        if x.op is _transpose and x.shape[1] > 1:
            (before,) = x.inputs
            columns = _columns_joined(before) if before.op is join else None
            if columns is None:
                return None
            parts = []
            for part, _ in columns:
                turned = self.make(_transpose, (part,), {"axes": None}, part.shape[::-1], x.dtype)
                parts.append(
                    self.make(_matmul, (turned, y), {}, (part.shape[1], shape[1]), x.dtype)
                )
            keywords = {"indices": tuple(at for _, at in columns), "shape": shape}
            return self.make(join, tuple(parts), keywords, shape, x.dtype)
        return None

    def _sum_of_parts(self, x: Var, keywords: dict[str, Any], shape: tuple[int, ...]) -> Var | None:
        """The sum of the rows of [a b c]: the sums of the rows of a, b and c."""
        columns = _columns_joined(x) if x.op is join else None
        if columns is None or keywords.get("keepdims") or x.shape[0] < 2:
            return None
        op = table["sum"]
        parts = [self.make(op, (part,), keywords, part.shape[1:], x.dtype) for part, _ in columns]
        joined = {"indices": tuple(at for _, at in columns), "shape": shape}
        return self.make(join, tuple(parts), joined, shape, x.dtype)


def _columns_joined(x: Var) -> list[tuple[Var, slice]] | None:
    """The parts of a join of columns, each with its columns; None if it is another join."""
    columns = []
    for part, index in zip(x.args, x.keywords["indices"], strict=True):
        parts = index if isinstance(index, tuple) else (index,)
        if len(parts) != 2 or len(x.shape) != 2 or type(parts[1]) is not slice:
            return None
        if parts[0] not in (slice(None), Ellipsis) or parts[1].step not in (None, 1):
            return None
        if part.dtype != x.dtype or part.shape[0] != x.shape[0]:
            return None
        columns.append((part, slice(*parts[1].indices(x.shape[1])[:2])))
    return sorted(columns, key=lambda column: column[1].start)


_identities = frozenset({"reshape", "sum_to", "broadcast_to", "positive", "_astype"})


def _level(x: Any) -> int:
    return x.level if type(x) is Var else CONSTANT


def _has_columns(x: Any) -> bool:
    """Whether x is a sum of products with the same matrix at every step, and of biases."""
    if type(x) is not Var:
        return False
    if x.level == CONSTANT:
        return len(x.shape) > 0 and x.shape[-1] > 1
    if x.op is _add:
        return all(_has_columns(part) for part in x.args)
    return (
        x.op is _matmul
        and type(x.args[1]) is Var
        and x.args[1].level == CONSTANT
        and (len(x.args[1].shape) == 2)
    )


def _is_spread(x: Any) -> bool:
    return type(x) is Var and x.op is _broadcast_to and x.level == LOOP


def _is_float(x: Any) -> bool:
    return x.dtype.kind == "f" if type(x) is Var else type(x) is not bool


def _may_be_summand(x: Any) -> bool:
    """Sums of booleans are no sums, and integers may overflow."""
    return type(x) is Var and x.level < LOOP and x.dtype.kind == "f"


def _may_be_factor(x: Any) -> bool:
    return type(x) is not Var or x.dtype.kind in "fb"


def _by_level(x: Any, y: Any) -> tuple[Any, Any]:
    """The two, that of the higher level first."""
    return (x, y) if _level(x) >= _level(y) else (y, x)


def translate(
    builder: Builder, instructions: Iterable[Instruction], symbols: Sequence[Any], known: Any
) -> None:
    """Make the values of all instructions; ``known`` maps slots to values and is added to."""
    instructions = list(instructions)
    reads = Counter(x for step in instructions for x in step.operands if type(x) is not Literal)
    for step in instructions:
        made = symbols[step.slot]
        args = tuple(x.value if type(x) is Literal else known[x] for x in step.operands)
        value = builder.make(step.primitive, args, step.keywords, made.shape, made.dtype)
        if reads[step.slot] > 1:
            builder.shared.add(value)
        if step.node is not None and step.node.name is not None and value.label is None:
            value.label = step.node.name
        known[step.slot] = value
