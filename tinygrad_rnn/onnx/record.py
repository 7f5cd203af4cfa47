"""Recording a call: a function runs once on values without numbers, and we list its operations.

The list is flat, except for loops over time: ``tg.scan`` and a recurrent layer are one entry each,
and the cell has a list of its own. Code that looks at numbers (``if x > 0``, ``.item()``) is
refused, because a number of the example would become part of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy import ndarray

from .. import graph, ops
from ..graph import Primitive, Value, attach, current, explained, numeric, python_scalars
from ..nn.layered import Recurrence
from ..scan.arguments import check_arguments, unflatten
from ..scan.trace import Literal, Symbol, output_on, stand_in
from ..scan.unroll import one_step
from .recurrent import LOOP, RECURRENT


def refuse(how: str) -> NoReturn:
    raise TypeError(
        f"onnx.export: the function looked at the numbers of a value that depends on its inputs "
        f"({how}), which a model does not know before it runs{current().scope}"
    )


_KNOWN = frozenset("?bBhHiIlLqQefd")  #: the dtypes that ONNX also has


class Unknown(Symbol):
    """Replaces the array of a recorded Tensor."""

    __slots__ = ()

    refuse = staticmethod(refuse)


class Instead:
    """An ``onnx`` trait of an operation that is written as other operations.

    Args:
        function: computes the same by other operations, which are recorded.
        operator: the ONNX operator to use instead if all inputs are float32, for operators that
            onnxruntime has only for float32.
    """

    def __init__(self, function: Callable[..., Any], operator: str | None = None):
        self.function = function
        self.operator = operator

    def applies(self, inputs: Iterable[Any]) -> bool:
        """Return whether to use the function, and not the operator."""
        return self.operator is None or any(
            isinstance(x, Value) and x._array.dtype != np.float32 for x in inputs
        )


class Entry(NamedTuple):
    """One operation: ``slots = primitive(*operands, **keywords)``."""

    primitive: Primitive
    operands: tuple[int | Literal, ...]
    keywords: dict[str, Any]
    slots: tuple[int, ...]
    path: tuple[str, ...]  #: the modules in which it ran
    place: str  #: the modules and the time step, for error messages


@dataclass
class Body:
    """The list of operations of the function, or of the cell of a loop."""

    inputs: tuple[int, ...] = ()
    entries: list[Entry] = field(default_factory=list)
    outputs: tuple[int, ...] = ()


class Weight(NamedTuple):
    """A value from outside the function."""

    array: ndarray
    name: str | None  #: its name, if it is a weight


class Recorder:
    """Records the operations of a function, and the values that it reads from outside.

    Args:
        names: the names of weights, by the id of their array.

    Attributes:
        body: the operations.
        avals: the shape and the dtype of every value, by slot.
        constants: the values from outside, by slot.
    """

    def __init__(self, names: dict[int, str]):
        self.body = Body()
        self.avals: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        self.constants: dict[int, Weight] = {}
        self._names = names
        self._known: dict[int, tuple[int, Any]] = {}
        self._owner = object()
        self._rng = np.random.default_rng(0)

    def refuse_gradient(self) -> NoReturn:
        """Refuse to differentiate; ``tg.grad`` and the like call this."""
        raise TypeError(
            f"onnx.export: the function takes a gradient, which a model cannot{current().scope}"
        )

    # ── values ───────────────────────────────────────────────────────────────────────────

    def given(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Value:
        """Return a new value without numbers."""
        if dtype.char not in _KNOWN:
            raise TypeError(f"onnx.export: ONNX has no dtype {dtype}{current().scope}")
        slot = len(self.avals)
        self.avals.append((shape, dtype))
        return attach(Unknown(shape, dtype, slot, self._owner, 0), None)

    def slot_of(self, x: Any) -> int:
        """Return the slot of a value. A value from outside gets a new slot."""
        array = x._array if isinstance(x, Value) else x
        if isinstance(array, Unknown):
            if array.owner is not self._owner:
                refuse("one that another call recorded")
            return array.slot
        known = self._known.get(id(array))
        if known is None:
            numbers = numeric(array, "onnx.export")
            slot = len(self.avals)
            self.avals.append((numbers.shape, numbers.dtype))
            name = self._names.get(id(array))
            if name is None and isinstance(x, Value) and x.node is not None:
                name = x.node.name or "weight"
            self.constants[slot] = Weight(numbers, name)
            # Hold a reference to the array so that Python cannot reuse its id().
            known = self._known[id(array)] = slot, array
        return known[0]

    # ── operations ───────────────────────────────────────────────────────────────────────

    def __call__(
        self, primitive: Primitive, inputs: Sequence[Any], keywords: dict[str, Any]
    ) -> Any:
        """Record an operation; ``graph.apply`` calls this instead of running it."""
        if not any(map(self._counts, inputs)):
            with graph.traced(None, recording=False):
                return graph.apply(primitive, inputs, keywords)
        for constant in keywords.values():
            _require_known(constant)
        if isinstance(primitive.onnx, Instead) and primitive.onnx.applies(inputs):
            return primitive.onnx.function(*inputs, **keywords)
        if primitive.onnx is None:
            if primitive.written_out is None:
                raise TypeError(
                    f"onnx.export: {primitive} has no ONNX operator{current().scope or ''}; an "
                    "operation of your own says what it is by tg.primitive(..., onnx=...)"
                )
            return primitive.written_out(*inputs, **keywords)
        operands = [self._operand(x) for x in inputs]
        arrays = [x.value if isinstance(x, Literal) else self._stand_in(x) for x in operands]
        try:
            output = output_on(primitive, arrays, keywords)
        except (ValueError, TypeError, IndexError) as error:
            raise explained(error, primitive, arrays, current().scope) from error
        (made,) = self._entered(primitive, operands, keywords, [(output.shape, output.dtype)])
        return made

    def _counts(self, x: Any) -> bool:
        """Return whether x depends on inputs or weights; its operations then go into the model."""
        return isinstance(x, Value) and (isinstance(x._array, Unknown) or x.node is not None)

    def _operand(self, x: Any) -> int | Literal:
        if x is None or type(x) in python_scalars:
            return Literal(x, repr(x))
        return self.slot_of(x)

    def _stand_in(self, slot: int) -> ndarray:
        if slot in self.constants:
            return self.constants[slot].array
        shape, dtype = self.avals[slot]
        return stand_in(Unknown(shape, dtype, slot, self._owner, 0), self._rng)

    def _entered(
        self,
        primitive: Primitive,
        operands: Iterable[int | Literal],
        keywords: dict[str, Any],
        avals: Iterable[tuple[tuple[int, ...], np.dtype[Any]]],
    ) -> list[Any]:
        made = [self.given(shape, dtype) for shape, dtype in avals]
        slots = tuple(self.slot_of(x) for x in made)
        scope = current().scope
        if any(isinstance(constant, (ndarray, list, dict)) for constant in keywords.values()):
            keywords = copy.deepcopy(keywords)  # the caller may change them later
        self.body.entries.append(
            Entry(primitive, tuple(operands), keywords, slots, scope.path, str(scope))
        )
        return made

    # ── loops ────────────────────────────────────────────────────────────────────────────

    def record_scan(
        self, cell: Any, carry: Any, xs: Any, reverse: bool, lengths: Any
    ) -> tuple[Any, Any]:
        """Record a loop; ``tg.scan`` calls this instead of running it."""
        recurrence: Recurrence | None = getattr(cell, "recurrence", None)
        if recurrence is not None:
            values = [*carry, xs, *recurrence.weights.values()]
            if all(x._array.dtype == np.float32 for x in values):
                return self._recurrence(recurrence, carry, xs, reverse, lengths)
        # onnxruntime has no RNN, LSTM and GRU for float64, but all operations of their cells.
        return self._loop(cell, carry, xs, reverse, lengths)

    def _recurrence(
        self, recurrence: Recurrence, carry: Any, xs: Any, reverse: bool, lengths: Any
    ) -> tuple[Any, Any]:
        keywords = {
            "kind": recurrence.kind,
            "names": tuple(recurrence.weights),
            "reverse": reverse,
            "states": len(carry),
            **recurrence.options,
        }
        inputs = [xs, lengths, *carry, *recurrence.weights.values()]
        shape, dtype = carry[0]._array.shape, carry[0]._array.dtype
        outputs = [(x._array.shape, dtype) for x in carry]
        outputs.append(((xs._array.shape[0], *shape), dtype))
        *states, ys = self._entered(RECURRENT, map(self._operand, inputs), keywords, outputs)
        return tuple(states), ys

    def _loop(self, cell: Any, carry: Any, xs: Any, reverse: bool, lengths: Any) -> tuple[Any, Any]:
        call = check_arguments(cell, carry, xs, reverse, None)
        inputs: list[Any] = list(call.inputs)
        masks: list[Any] = []
        if lengths is not None:
            lengths = _lengths_of(lengths)
            times = np.arange(call.steps)[:, np.newaxis]
            nearest = ops.minimum(times, ops.subtract(lengths, 1))
            every = np.arange(lengths._array.shape[0])
            # The padding may be NaN, so a sequence reads its last x_t again past its end.
            inputs = [ops.getitem(x, (nearest, every)) for x in inputs]
            masks = [ops.less(times, lengths)]
        outer, self.body = self.body, Body()
        try:
            states = [self.given(x._array.shape, x._array.dtype) for x in call.carries]
            elements = [self.given(x._array.shape[1:], x._array.dtype) for x in (*inputs, *masks)]
            n = len(inputs)
            valid = elements[n] if masks else None
            new, ys, structure = one_step(call, list(states), elements[:n], valid)
            self.body.inputs = tuple(map(self.slot_of, (*states, *elements)))
            self.body.outputs = tuple(map(self.slot_of, (*new, *ys)))
        finally:
            body, self.body = self.body, outer
        avals = [self.avals[slot] for slot in body.outputs]
        outputs = [
            aval if i < len(states) else ((call.steps, *aval[0]), aval[1])
            for i, aval in enumerate(avals)
        ]
        operands = map(self.slot_of, (*call.carries, *inputs, *masks))
        keywords = {"body": body, "reverse": bool(reverse), "states": len(states)}
        made = self._entered(LOOP, operands, keywords, outputs)
        return (
            unflatten(call.carry_structure, iter(made[: len(states)])),
            unflatten(structure, iter(made[len(states) :])),
        )


def _lengths_of(lengths: Any) -> Value:
    """Return the lengths of the sequences of a batch as a Tensor."""
    given: Value
    given = lengths if isinstance(lengths, Value) else attach(numeric(lengths, "lengths"), None)
    dtype, shape = given._array.dtype, given._array.shape
    if dtype.kind not in "iu" or len(shape) != 1:
        raise TypeError(f"scan: expected integers (N,) as lengths, got {dtype} {shape}")
    return given


def _require_known(constant: Any) -> None:
    """Refuse an index or another constant that depends on the inputs."""
    if isinstance(constant, Symbol):
        refuse("an index or another constant of an operation")
    if isinstance(constant, (tuple, list)):
        for part in constant:
            _require_known(part)
    elif isinstance(constant, slice):
        _require_known((constant.start, constant.stop, constant.step))


__all__ = ["Body", "Entry", "Instead", "Recorder", "Unknown", "Weight"]
