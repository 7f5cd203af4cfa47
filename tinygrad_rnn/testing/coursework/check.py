"""check_bptt: a student's forward and backward through time against a reference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ...graph import Value, attach, numeric
from .conventions import (
    CELLS,
    Cell,
    Chosen,
    Convention,
    Roles,
    Sizes,
    States,
    argument_names,
    collected,
    inputs_for,
    reference_of,
    roles_of,
    run,
)
from .diagnosis import Diagnosis, Same
from .forward_mistakes import first_wrong_step, forward_mistakes
from .names import Names
from .recorded import Recorded
from .student import Student

_precise, _single = 1e-7, 1e-3


def check_bptt(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    reference: str | Callable[..., Any],
    inputs: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    over_time: bool = True,
    batch_first: bool | None = None,
    columns: bool | None = None,
    gates: str | None = None,
    z_keeps: bool | None = None,
    reset_after: bool | None = None,
    sizes: tuple[int, int, int, int] = (4, 3, 5, 6),
    dtype: Any = np.float64,
    rng: int | np.random.Generator = 0,
) -> bool:
    """Check a backward through time written by hand, and name the mistake in it.

        outputs, cache = forward(x, h0, Wx, Wh, b)
        dx, dh0, dWx, dWh, db = backward(gradient of the outputs, cache)

    Both are plain NumPy. The gradients are compared with those of the reference. If they differ,
    and one or two of about a hundred known mistakes give the same numbers, the message names the
    mistake. Otherwise it says which gradients are wrong, and at which time steps or gates.

    Args:
        forward: ``forward(*arrays) -> (output, ..., cache)``. For a built-in reference its
            arguments are x, the initial states, the weights and the biases, in any order. Their
            names tell them apart: ``h0``, ``prev_h``, ``c0``; ``Wx``, ``W_ih``; ``Wh``, ``W_hh``;
            ``b``. You may omit states and biases. The outputs are h at all time steps, or the
            last h. For an LSTM, c may follow.
        backward: ``backward(gradient of each output, ..., cache)`` returns the gradients of
            forward's arguments: a tuple in their order, or a dict by name.
        reference: ``"rnn"``, ``"lstm"`` or ``"gru"``, or a function of Tensors, written with the
            operations of ``tg``. It is either ``step(x_t, *states, *weights) -> states`` with
            forward's arguments, or ``cell(carry, x_t) -> (carry, y_t)`` as for ``tg.scan``, whose
            weights are Tensors among the ``inputs``. With ``over_time=False``, it is a function
            of forward's arguments.
        inputs: the inputs of forward, as a dict by name or in order. Required if the reference is
            your own function. Arrays of floats get gradients; integers and booleans do not.
        over_time: False for a single step, where x is (N, D).
        batch_first: True for x (N, T, D), False for (T, N, D); None tries both.
        columns: True for ``x @ W`` with W (D, H), False for W (H, D); None tries both.
        gates: the order of the gates in the weights, such as ``"ifog"``; None tries all.
        z_keeps: for a GRU: True for ``h_t = (1 - z_t) n_t + z_t h_{t-1}``, False if z_t and
            1 - z_t are exchanged; None tries both.
        reset_after: for a GRU: True if r_t resets ``h_{t-1} @ W``, False if it resets h_{t-1}
            before the product; None tries both.
        sizes: T, N, D and H of the random inputs. All should differ.
        dtype: the dtype of the random inputs, float64 or float32.
        rng: a generator, or a seed for one.

    Returns:
        True.

    Raises:
        AssertionError: the forward or the backward is wrong; the message names the mistake.
        ValueError: forward's arguments fit no net of this kind, or ``inputs`` is missing.
        TypeError: the reference is neither a name nor a function.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> def forward(x, h0, Wx, Wh, b):
    ...     hs = [h0]
    ...     for t in range(x.shape[1]):
    ...         hs.append(np.tanh(x[:, t] @ Wx + hs[-1] @ Wh + b))
    ...     return np.stack(hs[1:], 1), (x, hs, Wx, Wh)
    >>> def backward(dout, cache):
    ...     x, hs, Wx, Wh = cache
    ...     dx, dh = np.zeros_like(x), np.zeros_like(hs[0])
    ...     dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(len(Wh))
    ...     for t in reversed(range(x.shape[1])):
    ...         da = (dout[:, t] + dh) * (1 - hs[t + 1] ** 2)
    ...         dx[:, t], dh = da @ Wx.T, da @ Wh.T
    ...         dWx, dWh, db = dWx + x[:, t].T @ da, hs[t].T @ da, db + da.sum(0)
    ...     return dx, dh, dWx, dWh, db
    >>> tg.testing.check_bptt(forward, backward, "rnn")
    Traceback (most recent call last):
    ...
    AssertionError: check_bptt: the backward is wrong
      right: dx, dh0, dWx, db
      wrong: dWh
      dWh equals the contribution of time step 0 alone: `=` where `+=` is meant
      read as: x (N, T, D); x @ W
    """
    rng = np.random.default_rng(rng)
    if isinstance(reference, str):
        if reference not in CELLS:
            raise ValueError(
                f"check_bptt: expected the reference {' or '.join(map(repr, CELLS))}, or a "
                f"function, got {reference!r}"
            )
        asked = {
            "batch_first": batch_first if over_time else True,
            "columns": columns,
            "gates": _letters(gates, CELLS[reference]),
            "keeps": z_keeps,
            "reset_after": reset_after,
        }
        make = _BuiltIn(
            forward, backward, CELLS[reference], over_time, asked, Sizes(*sizes), dtype, inputs
        )
        return _compare(make, rng)
    if not callable(reference):
        raise TypeError(
            f"check_bptt: expected a name or a function as the reference, got "
            f"{type(reference).__name__}"
        )
    return _compare(_Own(forward, backward, reference, inputs, over_time, batch_first), rng)


def _letters(gates: str | None, cell: Cell) -> str | None:
    if gates is not None and sorted(gates) != sorted(cell.gates):
        raise ValueError(f"check_bptt: expected gates as an order of {cell.gates!r}, got {gates!r}")
    return gates


def _by_name(inputs: Any, names: Sequence[str]) -> dict[str, Any]:
    by_name = (
        dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=False))
    )
    if set(by_name) != set(names) or (
        not isinstance(inputs, Mapping) and len(inputs) != len(names)
    ):
        raise ValueError(
            f"check_bptt: expected inputs for {', '.join(names)}, got {len(inputs)}: "
            f"{', '.join(map(str, by_name))}"
        )
    return {name: by_name[name] for name in names}


# ── the student's forward beside the reference ───────────────────────────────────────────


class _Attempt:
    """The student's outputs in one convention, beside the reference's.

    Attributes:
        arrays: the inputs that the student's forward got.
        outputs, cache: its results.
        recorded: the reference, recorded on the same inputs.
        time_axis: the time axis of the outputs, or None.
        batch_axes: the batch axis of each output, or None.
        gates: as for Diagnosis.
        convention, read_as: the convention, and its description in words.
        same: compares arrays.
    """

    def __init__(
        self,
        arrays: Sequence[ndarray],
        returned: tuple[list[ndarray], Any],
        recorded: Recorded,
        time_axis: int | None,
        batch_axes: Sequence[int | None],
        gates: dict[str, tuple[int, str]],
        read_as: str,
        convention: Convention | None = None,
    ):
        self.arrays = arrays
        self.outputs, self.cache = returned
        self.recorded = recorded
        self.time_axis, self.batch_axes = time_axis, batch_axes
        self.gates, self.read_as, self.convention = gates, read_as, convention
        kinds = [x.dtype for x in (*arrays, *self.outputs) if x.dtype.kind == "f"]
        self.same = Same(_precise if all(k.itemsize >= 8 for k in kinds) else _single)

    def error(self) -> float:
        """The mean distance between the outputs and the reference's, summed over the outputs."""
        return sum(
            float(np.abs(a - b).mean()) if a.shape == b.shape else np.inf
            for a, b in zip(self.outputs, self.recorded.values, strict=True)
        )

    def convention_lines(self) -> list[str]:
        return [f"read as: {self.read_as}"] if self.read_as else []

    def is_right(self) -> bool:
        pairs = zip(self.outputs, self.recorded.values, strict=True)
        return all(self.same(a, b) for a, b in pairs)


class _BuiltIn:
    """Tries a student's forward in the conventions of a built-in reference."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        cell: Cell,
        over_time: bool,
        asked: dict[str, Any],
        sizes: Sizes,
        dtype: Any,
        inputs: Any,
    ):
        self.roles = roles_of(forward, cell)
        self.student = Student(forward, backward, self.roles.names)
        self.over_time, self._cell, self._asked = over_time, cell, asked
        self._sizes, self._dtype = sizes, dtype
        self._inputs = None
        if inputs is not None:
            named = _by_name(inputs, self.roles.names)
            self._inputs = {n: numeric(x, f"check_bptt: {n}") for n, x in named.items()}

    def attempts(self, rng: np.random.Generator, first_step: bool = False) -> list[_Attempt]:
        """The first convention in which the forward is right, or all in which it runs.

        Args:
            rng: for the random inputs.
            first_step: whether to use a sequence of one time step.

        Raises:
            AssertionError: the forward raises in every convention, or returns other shapes.
        """
        results, attempts = self._tried(self._cell.conventions(**self._asked), rng, first_step)
        if attempts:
            return attempts
        ran = [m for m in results if not isinstance(m, AssertionError)]
        if not ran:
            raise next(m for m in results if isinstance(m, AssertionError))
        T, N, _, H = self._sizes
        whole = (
            f"h of all time steps, ({N}, {T}, {H}) or ({T}, {N}, {H}), or of the last, ({N}, {H})"
        )
        raise AssertionError(
            _report(
                "the forward is wrong",
                [
                    f"expected as its first output {whole if self.over_time else f'h_t ({N}, {H})'}"
                    f", got {', '.join(str(y.shape) for y in ran[0][0])}"
                ],
            )
        )

    def unasked_conventions(self, rng: np.random.Generator) -> list[str]:
        """How a forward that is right differs from the conventions that the caller asked for."""
        _, attempts = self._tried(self._cell.conventions(), rng, False)
        if not attempts or not attempts[0].is_right() or attempts[0].convention is None:
            return []
        right = attempts[0].convention.parts()
        names = {"keeps": "z_keeps"}
        lines = []
        for name, value in self._asked.items():
            if value is None or getattr(attempts[0].convention, name) == value:
                continue
            key = names.get(name, name)
            asked = attempts[0].convention._replace(**{name: value}).parts()
            lines.append(f"it has {right[key]}, where {asked[key]} was asked for")
        return lines

    def _tried(
        self, conventions: Sequence[Convention], rng: np.random.Generator, first_step: bool
    ) -> tuple[list[Any], list[_Attempt]]:
        state = rng.bit_generator.state
        results: dict[tuple[bool, bool], tuple[list[ndarray], Any] | AssertionError] = {}
        attempts: list[_Attempt] = []
        for convention in conventions:
            rng.bit_generator.state = state
            arrays = self._arrays(convention, rng, first_step)
            layout = convention.batch_first, convention.columns
            if layout not in results:
                try:
                    results[layout] = self.student.forward(list(arrays.values()))
                except AssertionError as error:
                    results[layout] = error
            result = results[layout]
            if isinstance(result, AssertionError):
                continue
            try:
                attempt = _as_asked(
                    self.roles, self._cell, convention, self.over_time, arrays, result
                )
            except (ValueError, IndexError):  # the shapes do not fit this convention
                continue
            if attempt is not None and attempt.is_right():
                return list(results.values()), [attempt]
            if attempt is not None:
                attempts.append(attempt)
        return list(results.values()), attempts

    def _arrays(
        self, convention: Convention, rng: np.random.Generator, first_step: bool
    ) -> dict[str, ndarray]:
        if self._inputs is None:
            sizes = self._sizes._replace(T=1) if first_step else self._sizes
            arrays = inputs_for(self.roles, self._cell, convention, sizes, self.over_time, rng)
            return {name: x.astype(self._dtype) for name, x in arrays.items()}
        if not first_step:
            return self._inputs
        x = self._inputs[self.roles.x]
        cut = x[:, :1] if convention.batch_first else x[:1]
        return {**self._inputs, self.roles.x: cut}


def _as_asked(
    roles: Roles,
    cell: Cell,
    convention: Convention,
    over_time: bool,
    arrays: dict[str, ndarray],
    returned: tuple[list[ndarray], Any],
) -> _Attempt | None:
    """The outputs and the reference in one convention; None if the shapes do not fit it."""
    reference = reference_of(roles, cell, convention, over_time)
    names = [*roles.names]
    states = reference(*(attach(x.astype(np.float64), None) for x in arrays.values()))
    chosen = _chosen(returned[0], states, over_time, convention.batch_first)
    if chosen is None:
        return None
    outputs = lambda *xs: collected(reference(*xs), chosen, convention.batch_first)  # noqa: E731
    recorded = Recorded(
        outputs, names, [x.astype(np.float64) for x in arrays.values()], [True] * len(names)
    )
    axis = 1 if convention.columns else 0
    gates = {
        name: (axis if arrays[name].ndim == 2 else 0, convention.gates)
        for name in roles.weights
        if name is not None and convention.gates
    }
    batch = 0 if convention.batch_first or not over_time else 1
    return _Attempt(
        list(arrays.values()),
        returned,
        recorded,
        1 - batch if over_time and all(c.all_steps for c in chosen) else None,
        [batch if c.all_steps else 0 for c in chosen],
        gates,
        convention.described(over_time),
        convention,
    )


def _chosen(
    outputs: Sequence[ndarray], states: States, over_time: bool, batch_first: bool
) -> list[Chosen] | None:
    """Tell by their shapes which states a student's outputs are."""
    last = states[-1][0].shape
    whole = (last[0], len(states), *last[1:]) if batch_first else (len(states), *last)
    taken = {True: 0, False: 0}
    chosen = []
    for y in outputs:
        if over_time and y.shape == whole:
            all_steps = True
        elif y.shape == last:
            all_steps = False
        else:
            return None
        if taken[all_steps] == len(states[0]):
            return None
        chosen.append(Chosen(taken[all_steps], all_steps))
        taken[all_steps] += 1
    return chosen


class _Own:
    """Tries a student's forward against the caller's own reference."""

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        reference: Callable[..., Any],
        inputs: Any,
        over_time: bool,
        batch_first: bool | None,
    ):
        names = argument_names(forward)
        if inputs is None:
            raise ValueError(
                f"check_bptt: with a reference of your own, pass inputs for forward's arguments "
                f"{', '.join(names)}"
            )
        self.student = Student(forward, backward, names)
        self.over_time, self._reference = over_time, reference
        self._inputs = _by_name(inputs, names)
        self._layouts = (True, False) if batch_first is None else (batch_first,)

    def attempts(self, rng: np.random.Generator, first_step: bool = False) -> list[_Attempt]:
        """As for a built-in reference."""
        attempts: list[_Attempt] = []
        problems: list[Exception] = []
        for batch_first in self._layouts if self.over_time else (True,):
            try:
                attempt = self._attempt(batch_first, first_step)
            except (ValueError, TypeError, IndexError) as error:
                problems.append(error)
                continue
            if attempt.is_right():
                return [attempt]
            attempts.append(attempt)
        if not attempts:
            raise AssertionError(
                f"check_bptt: the outputs of forward do not fit the reference: {problems[0]}"
            ) from problems[0]
        return attempts

    def unasked_conventions(self, rng: np.random.Generator) -> list[str]:
        return []

    def _attempt(self, batch_first: bool, first_step: bool) -> _Attempt:
        named = {
            name: np.array(x._array if isinstance(x, Value) else numeric(x, f"check_bptt: {name}"))
            for name, x in self._inputs.items()
        }
        if first_step:
            name = next(iter(named))
            named[name] = named[name][:, :1] if batch_first else named[name][:1]
        arrays = list(named.values())
        returned = self.student.forward(arrays)
        function = _function(
            self._reference, self._inputs, self.over_time, batch_first, returned[0]
        )
        precise = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in arrays]
        recorded = Recorded(function, list(named), precise, [x.dtype.kind == "f" for x in arrays])
        values = recorded.values
        if [y.shape for y in values] != [y.shape for y in returned[0]]:
            raise ValueError(
                f"the reference gives {', '.join(str(y.shape) for y in values)}, forward "
                f"{', '.join(str(y.shape) for y in returned[0])}"
            )
        batch: list[int | None] = [None if y.ndim < 2 else 0 for y in values]
        if self.over_time and not batch_first:
            batch = [1 if y.ndim > 2 else 0 for y in values]
        whole = self.over_time and all(y.ndim > 2 for y in values)
        axis = (1 if batch_first else 0) if whole else None
        words = "x (N, T, D)" if batch_first else "x (T, N, D)"
        return _Attempt(
            arrays, returned, recorded, axis, batch, {}, words if self.over_time else ""
        )


def _function(
    reference: Callable[..., Any],
    inputs: dict[str, Any],
    over_time: bool,
    batch_first: bool,
    outputs: Sequence[ndarray],
) -> Callable[..., list[Any]]:
    """The caller's own reference as a function of forward's arguments."""

    def of_arguments(*args: Any) -> list[Any]:
        result = reference(*args)
        return list(result) if isinstance(result, (tuple, list)) else [result]

    if not over_time:
        return of_arguments
    count = len(inspect.signature(reference).parameters)
    if count != len(inputs) and count == 2:
        return _of_cell(reference, inputs, batch_first)

    def over_steps(*args: Any) -> list[Any]:
        x, *rest = args
        first = x[:, 0] if batch_first else x[0]
        after_first = reference(first, *rest)
        n = len(after_first) if isinstance(after_first, (tuple, list)) else 1

        def step(x_t: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
            after = reference(x_t, *state, *rest[n:])
            return tuple(after) if isinstance(after, (tuple, list)) else (after,)

        states = run(step, x, tuple(rest[:n]), batch_first)
        chosen = _chosen(outputs, states, True, batch_first)
        if chosen is None:
            raise ValueError(
                f"the reference's states have the shapes "
                f"{', '.join(str(s.shape) for s in states[-1])} at every step, forward returns "
                f"{', '.join(str(y.shape) for y in outputs)}"
            )
        return collected(states, chosen, batch_first)

    return over_steps


def _of_cell(
    cell: Callable[..., Any], inputs: dict[str, Any], batch_first: bool
) -> Callable[..., list[Any]]:
    """The function of a ``cell(carry, x_t) -> (carry, y_t)`` that reads Tensors of the inputs."""
    names = list(inputs)
    states = [n for n in names[1:] if not isinstance(inputs[n], Value)]

    def function(*args: Any) -> list[Any]:
        named = dict(zip(names, args, strict=True))
        weights = {n: x for n, x in inputs.items() if isinstance(x, Value) and n != names[0]}
        before = {n: (w._array, w.node) for n, w in weights.items()}
        carry = tuple(named[n] for n in states)
        single = len(carry) == 1
        outputs: list[Any] = []
        try:
            for n, w in weights.items():  # the cell holds references to these Tensors
                w._array, w.node = named[n]._array, named[n].node

            def step(x_t: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
                after, y = cell(state[0] if single else state, x_t)
                outputs.append(y)
                return tuple(after) if isinstance(after, (tuple, list)) else (after,)

            states_of_steps = run(step, named[names[0]], carry, batch_first)
        finally:
            for n, w in weights.items():
                w._array, w.node = before[n]
        ys = [(y,) for y in outputs]
        return collected(ys, [Chosen(0, True)], batch_first) if states_of_steps else []

    return function


# ── the verdict ──────────────────────────────────────────────────────────────────────────


def _compare(make: _BuiltIn | _Own, rng: np.random.Generator) -> bool:
    attempts = make.attempts(rng)
    attempt = attempts[0]
    if not attempt.is_right():
        raise AssertionError(
            _report("the forward is wrong", _forward_explained(make, attempts, rng))
        )
    diagnosis, submitted = _gradients(make.student, attempt, rng)
    wrong = diagnosis.wrong(submitted)
    if not wrong:
        return True
    right = [f"d{name}" for name in submitted if name not in wrong]
    lines, is_cause = diagnosis.explain(submitted)
    if not is_cause and make.over_time and attempt.recorded.steps > 1:
        lines += _one_step(make, rng)
    report = [
        f"right: {', '.join(right) or 'none'}",
        f"wrong: {', '.join(f'd{name}' for name in wrong)}",
        *lines,
        *attempt.convention_lines(),
    ]
    raise AssertionError(_report("the backward is wrong", report))


def _gradients(
    student: Student, attempt: _Attempt, rng: np.random.Generator
) -> tuple[Diagnosis, dict[str, ndarray | None]]:
    """The student's gradients, and a Diagnosis to explain them."""
    taken = student.gradients_taken()
    used = len(attempt.outputs) if taken is None else min(taken, len(attempt.outputs))
    cotangents = [np.asarray(rng.standard_normal(y.shape), y.dtype) for y in attempt.outputs]
    for k in range(used, len(cotangents)):  # backward takes no gradient of this output
        cotangents[k] = np.zeros_like(cotangents[k])
    submitted = student.backward(cotangents[:used], attempt.cache, attempt.recorded.names)
    kinds = [g.dtype for g in submitted.values() if g is not None and g.dtype.kind == "f"]
    same = Same(_single) if any(k.itemsize < 8 for k in kinds) else attempt.same
    precise = [g.astype(np.float64) for g in cotangents]
    diagnosis = Diagnosis(attempt.recorded, precise, attempt.batch_axes, attempt.gates, same)
    return diagnosis, submitted


def _one_step(make: _BuiltIn | _Own, rng: np.random.Generator) -> list[str]:
    """Where the backward is wrong for a sequence of one time step.

    No gradient goes from step to step there, so this tells a wrong step from a wrong loop.
    """
    try:
        attempt = make.attempts(rng, first_step=True)[0]
        diagnosis, submitted = _gradients(make.student, attempt, rng)
    except AssertionError:
        return []
    if not attempt.is_right():
        return []
    lines = diagnosis.located(submitted)
    if not lines:
        return ["with a single time step all is right: the gradient between time steps is wrong"]
    return ["with a single time step:", *(f"  {line}" for line in lines)]


def _forward_explained(
    make: _BuiltIn | _Own, attempts: Sequence[_Attempt], rng: np.random.Generator
) -> list[str]:
    unasked = make.unasked_conventions(rng)
    if unasked:
        return unasked
    for attempt in attempts:
        axis = attempt.time_axis
        for text, outputs in forward_mistakes(attempt.recorded, Names(attempt.recorded), axis):
            pairs = zip(attempt.outputs, outputs(), strict=True)
            if all(attempt.same(a, np.asarray(b, np.float64)) for a, b in pairs):
                return [_where(attempt), text, *attempt.convention_lines()]
    best = min(attempts, key=_Attempt.error)
    return [_where(best), *best.convention_lines()]


def _where(attempt: _Attempt) -> str:
    if attempt.time_axis is None:
        return "the output is wrong"
    right = attempt.recorded.values
    t = first_wrong_step(attempt.outputs, right, attempt.time_axis, attempt.same)
    if t == 0:
        return "the output is wrong from t = 0 on"
    return f"the output is right until t = {t - 1}, wrong from t = {t} on"


def _report(verdict: str, lines: Sequence[str]) -> str:
    return "\n".join([f"check_bptt: {verdict}", *(f"  {line}" for line in lines)])


__all__ = ["check_bptt"]
