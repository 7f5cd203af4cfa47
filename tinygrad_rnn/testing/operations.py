"""check_op: test an operation of the user's own against every law of this library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy import ndarray

from ..graph import Primitive, Value, numeric
from .cases import Case
from .differences import central_difference, complex_step, evaluate, has_kink, pull
from .laws import adjoint, broken_law, explanation, laws


def check_op(
    op: Callable[..., Any],
    *strategies_or_examples: Any,
    second_order: bool = True,
    max_examples: int = 30,
    seed: int = 0,
) -> bool:
    """Test an operation against all laws that the library's own operations obey; use it in tests.

    The laws (:mod:`tinygrad_rnn.testing.laws`): ``<u, J v> = <J' u, v>``; rules linear in the
    cotangent; right second derivatives; any subset of the inputs live; one value as two inputs;
    strided arrays; nothing written into, nothing shared. For an operation made by ``tg.primitive``
    also: float32 in and out, and ndarrays in and out.

    J v is measured by a complex step if the operation and its rules accept complex numbers, else
    by central differences.

    Args:
        op: made by ``tg.primitive``, or any function of Tensors.
        *strategies_or_examples: one for each input of op: an array, a Tensor, a number, or a
            hypothesis strategy that draws one. Or tuples, each with all inputs of one example. A
            single strategy may draw such tuples, for inputs that depend on each other. Floats are
            converted to float64 and differentiated. Integers, booleans, and arguments for which
            op has no rule are constants.
        second_order: False for an operation that can be differentiated only once, because its
            rules run on ndarrays only.
        max_examples: how many examples to draw from strategies.
        seed: for the random directions.

    Returns:
        True.

    Raises:
        AssertionError: a law is broken. The message names the operation, the law, the inputs'
            shapes and the numbers.
        TypeError: there is nothing to check: no input, or no float input with a rule.

    An example at a kink (relu at 0) has no derivative to compare with. If a strategy draws such an
    example, it is skipped.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> sinh = tg.primitive(np.sinh, lambda g, y, x: g * tg.sqrt(1 + y * y), name="sinh")
    >>> tg.testing.check_op(sinh, np.array([-1.0, 0.5]))
    True
    >>> wrong = tg.primitive(np.sinh, lambda g, y, x: g * y, name="sinh")
    >>> tg.testing.check_op(wrong, np.array([-1.0, 0.5]))
    Traceback (most recent call last):
    ...
    AssertionError: sinh breaks the law 'adjoint' on float64 (2,)
    ...
    """
    name = name_of(op)
    parts = strategies_or_examples
    if not parts:
        raise TypeError(f"check_op: expected at least one example or strategy for {name}, got none")
    if any(_is_strategy(part) for part in parts):
        _check_drawn(op, parts, second_order, max_examples, seed)
        return True
    examples = list(parts) if all(isinstance(part, tuple) for part in parts) else [parts]
    for example in examples:
        _require_laws(op, example, second_order, seed)
    return True


def _check_drawn(
    op: Callable[..., Any], given: Sequence[Any], second_order: bool, max_examples: int, seed: int
) -> None:
    import hypothesis
    from hypothesis import strategies as st

    parts = [part if _is_strategy(part) else st.just(part) for part in given]

    @hypothesis.settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(st.tuples(*parts))
    def every_law(drawn: tuple[Any, ...]) -> None:
        example = drawn[0] if len(drawn) == 1 and isinstance(drawn[0], tuple) else drawn
        case = case_of(op, example, second_order)
        hypothesis.assume(not at_kink(case, seed))
        _require(case, seed)

    every_law()


def _is_strategy(part: Any) -> bool:
    hypothesis = sys.modules.get("hypothesis.strategies")  # no strategy without it
    return hypothesis is not None and isinstance(part, hypothesis.SearchStrategy)


def _require_laws(op: Callable[..., Any], example: Any, second_order: bool, seed: int) -> None:
    _require(case_of(op, example, second_order), seed)


def _require(case: Case, seed: int) -> None:
    broken = broken_law(case, seed)
    if broken is not None:
        raise AssertionError(report(case, *broken)) from broken[1]


def report(case: Case, law: str, error: Exception) -> str:
    """The message about a broken law: the operation, the law, the numbers."""
    lines = [
        f"{case.name.partition(' ')[0]} breaks the law {law!r} on {case.name.partition(' ')[2]}"
    ]
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    lines.append(f"  {kind}{error}")
    statement = next((f.__doc__ or "" for f in laws if f.__name__ == law), "")
    lines.append(f"  the law: {statement.strip().splitlines()[0] if statement else law}")
    if law == adjoint.__name__:
        details = explanation(case)
        if details:
            lines.extend(f"  {line}" for line in details.splitlines())
    return "\n".join(lines)


# ── an operation and an example make a case ──────────────────────────────────────────────


def name_of(op: Callable[..., Any]) -> str:
    """The name of an operation in reports."""
    primitive = getattr(op, "primitive", None)
    if isinstance(primitive, Primitive):
        return primitive.name
    return str(getattr(op, "__name__", type(op).__name__))


def case_of(op: Callable[..., Any], example: Any, second_order: bool = True) -> Case:
    """The case of an operation at an example.

    Raises:
        TypeError: no input in the example can be differentiated.
    """
    name = name_of(op)
    inputs = list(example)
    keywords = inputs.pop() if inputs and isinstance(inputs[-1], dict) else {}
    primitive = getattr(op, "primitive", None)
    rules = primitive.vjps if isinstance(primitive, Primitive) else None
    arrays: dict[int, ndarray] = {}
    for i, x in enumerate(inputs):
        array = np.array(x._array if isinstance(x, Value) else numeric(x, f"check_op: {name}"))
        has_rule = not isinstance(rules, tuple) or i >= len(rules) or rules[i] is not None
        if array.dtype.kind == "f" and has_rule:
            arrays[i] = array.astype(np.float64)
        else:
            inputs[i] = array
    if not arrays:
        raise TypeError(f"check_op: {name} gets no float input that it has a rule for")

    def f(*live: Any) -> Any:
        # For the law of float32: a constant of float64 would make the result float64.
        single = all(getattr(x, "dtype", np.float32) == np.float32 for x in live)
        filled = [
            x.astype(np.float32) if single and i not in arrays and x.dtype.kind == "f" else x
            for i, x in enumerate(inputs)
        ]
        for i, x in zip(arrays, live, strict=True):
            filled[i] = x
        return op(*filled, **keywords)

    described = ", ".join(
        f"{array.dtype} {array.shape}" for array in (arrays.get(i, x) for i, x in enumerate(inputs))
    )
    case = Case(
        name=f"{name} {described}",
        f=f,
        arrays=tuple(arrays.values()),
        analytic=False,
        polymorphic=isinstance(primitive, Primitive),
        # Not expected from a plain function, which may close over float64 arrays, nor from a
        # primitive with integer inputs, which NumPy promotes to float64 together with float32.
        keeps_dtype=isinstance(primitive, Primitive)
        and not any(inputs[i].dtype.kind in "iu" for i in range(len(inputs)) if i not in arrays),
        takes_numbers=isinstance(primitive, Primitive),
        second_order=second_order,
    )
    return replace(case, analytic=_is_analytic(case))


def _is_analytic(case: Case) -> bool:
    """Whether a complex step through f and its rules agrees with central differences."""
    rng = np.random.default_rng(0)
    v = [rng.standard_normal(x.shape) for x in case.arrays]

    def forward(*xs: ndarray) -> ndarray:
        return evaluate(case.f, xs)

    def agree(g: Callable[..., ndarray]) -> bool:
        exact = complex_step(g, case.arrays, v)
        close = central_difference(g, case.arrays, v)
        size = np.max(np.abs(close), initial=0) + np.max(np.abs(exact), initial=0)
        # Far below the values of g, a central difference measures their rounding.
        noise = 1e-9 * np.max(np.abs(g(*case.arrays)), initial=0)
        return bool(np.all(np.abs(exact - close) <= 1e-5 * size + noise))

    try:
        with np.errstate(all="ignore"):
            u = rng.standard_normal(forward(*case.arrays).shape)

            def gradient(*xs: ndarray) -> ndarray:
                pulled = pull(case.f, xs, u.astype(np.result_type(u, *xs)))[1]
                return np.concatenate([g.ravel() for g in pulled])

            # The laws also differentiate the rules by a complex step, so these must be analytic
            # too.
            return agree(forward) and (agree(gradient) or not case.second_order)
    except Exception:  # f or a rule does not accept complex numbers
        return False


def at_kink(case: Case, seed: int) -> bool:
    """Whether the function has a kink at the case's point, and so no derivative there."""
    rng = np.random.default_rng(seed)
    v = [rng.standard_normal(x.shape) for x in case.arrays]
    with np.errstate(all="ignore"):
        try:
            return has_kink(lambda *xs: evaluate(case.f, xs), case.arrays, v)
        except Exception:  # the laws will report this error
            return False


__all__ = ["check_op"]
