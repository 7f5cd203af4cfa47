"""What must be true of every operation: each law is a function that tests one such fact.

A law takes a :class:`~tinygrad_rnn.testing.cases.Case` (a function f at a point) and random
numbers. It raises AssertionError if f breaks it. A random direction is enough: the directions
along which a wrong rule looks right have measure zero, so it passes with probability zero.

Notation: x are the inputs, u a cotangent of f's output, v a direction in the inputs, J the
Jacobian at x. ``J' u`` is what the rules compute; ``J v`` is measured without them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from .. import ops
from ..backprop import backward, grad, sweep
from ..graph import Node, Operand, Value, ancestors, attach, pick
from .cases import Case
from .differences import (
    NumericJacobian,
    central_difference,
    complex_step,
    evaluate,
    live,
    mismatch,
    pull,
    value_of,
)

Law: TypeAlias = Callable[[Case, np.random.Generator], None]

# Tolerances, relative to the sum of the sizes of the summands. A complex step is exact to
# rounding; a central difference keeps about nine digits.
exact, measured, single = 1e-10, 1e-6, 1e-4


# ── the derivative is right ──────────────────────────────────────────────────────────────


def adjoint(case: Case, rng: np.random.Generator) -> None:
    """<u, J v> = <J' u, v>, for a direction v in each input alone.

    J v is a complex step of f, or central differences where f is not analytic.
    """
    y = evaluate(case.f, case.arrays)
    for _ in range(2):
        u = _random_like(y, rng)
        _, pulled = pull(case.f, case.arrays, u)
        for i, x in enumerate(case.arrays):
            if pulled[i].shape != x.shape:
                raise AssertionError(
                    f"the cotangent of input {i} has shape {pulled[i].shape}, not {x.shape}"
                )
            # One input at a time, so that the message can name it.
            v = _direction_in(case, i, rng)
            jv = _push(case, v)
            _require_equal(
                np.sum(u * jv),
                np.sum(pulled[i] * v[i]),
                np.sum(np.abs(u * jv)) + np.sum(np.abs(pulled[i] * v[i])),
                _rounding(case, u, y),
                exact if case.analytic else measured,
                f"input {i}: <u, J v> and <J' u, v>",
            )


def linear(case: Case, rng: np.random.Generator) -> None:
    """J' (a u1 + b u2) = a J' u1 + b J' u2: a rule is linear in the cotangent."""
    y = evaluate(case.f, case.arrays)
    u1, u2 = _random_like(y, rng), _random_like(y, rng)
    a, b = 0.7, -1.3
    _, both = pull(case.f, case.arrays, (a * u1 + b * u2).astype(y.dtype))
    _, first = pull(case.f, case.arrays, u1)
    _, second = pull(case.f, case.arrays, u2)
    for i, (g, g1, g2) in enumerate(zip(both, first, second, strict=True)):
        _require_same(
            g,
            a * g1 + b * g2,
            f"input {i}: J' (a u1 + b u2) and a J' u1 + b J' u2",
            _rounding(case, u1, y),
        )


def second_order(case: Case, rng: np.random.Generator) -> None:
    """The gradient of the gradient is the derivative of the rules, for the inputs and for u.

        d/dx <w, J' u> . v = <w, d/dt J(x + t v)' u>        d/du <w, J' u> = J w

    The left side is the gradient of a recorded gradient. The right side differentiates the rules
    by a complex step, or by central differences if they are not analytic.
    """
    if not case.second_order:
        return
    y = evaluate(case.f, case.arrays)
    u = _random_like(y, rng)
    w = [_random_like(x, rng) for x in case.arrays]
    inputs = [live(x) for x in case.arrays]
    cotangent = live(u)
    gradients = grad(case.f(*inputs), inputs, cotangent, create_graph=True)
    total: Any = attach(np.zeros(()), None)
    for gradient, weight in zip(gradients, w, strict=True):
        total = ops.add(total, ops.sum(ops.multiply(gradient, weight)))
    # total = <w, J' u> is a number. Its gradients are compared with measured derivatives of the
    # rules.
    *for_inputs, for_cotangent = grad(total, [*inputs, cotangent])

    tolerance = exact if case.analytic else measured
    rounding = _rounding(case, u, y) + sum(
        _rounding(case, weight, g._array) for g, weight in zip(gradients, w, strict=True)
    )
    for i in range(len(case.arrays)):
        v = _direction_in(case, i, rng)
        moved = _push_rules(case, u, v)
        left = for_inputs[i]._array * v[i]
        right = [weight * d for weight, d in zip(w, moved, strict=True)]
        _require_equal(
            np.sum(left),
            sum(np.sum(r) for r in right),
            np.sum(np.abs(left)) + sum(np.sum(np.abs(r)) for r in right),
            rounding,
            tolerance,
            f"input {i}: the gradient of the gradient and the rules' own derivative",
        )
    jw = _push(case, w)
    _require_same(for_cotangent._array, jw, "d/du <w, J' u> and J w", rounding, tolerance)


# ── the gradient does not depend on how it is computed ───────────────────────────────────


def any_subset(case: Case, rng: np.random.Generator) -> None:
    """An input's gradient does not depend on which other inputs require grad or are arrays."""
    if len(case.arrays) < 2:
        return
    u, expected, rounding = _reference(case, rng)
    every = range(len(case.arrays))
    for size in range(1, len(case.arrays)):
        for chosen in itertools.combinations(every, size):
            for constant in (_as_tensor, _as_array) if case.polymorphic else (_as_tensor,):
                inputs = [
                    live(x) if i in chosen else constant(x) for i, x in enumerate(case.arrays)
                ]
                found = _gradients(case.f(*inputs), [inputs[i] for i in chosen], u)
                for i, g in zip(chosen, found, strict=True):
                    what = f"input {i}: its gradient alone and with all live"
                    _require_same(g._array, expected[i], what, rounding)


def every_sweep(case: Case, rng: np.random.Generator) -> None:
    """grad, grad(create_graph=True) and backward agree; two backwards add up to twice as much."""
    u, expected, rounding = _reference(case, rng)
    inputs: list[Any] = [live(x) for x in case.arrays]
    y = case.f(*inputs)
    plain = grad(y, inputs, u)
    for i, (g, e) in enumerate(zip(plain, expected, strict=True)):
        _require_same(g._array, e, f"input {i}: two sweeps", rounding)
    if case.second_order:
        recorded = grad(y, inputs, u, create_graph=True)
        for i, (g, e) in enumerate(zip(recorded, expected, strict=True)):
            what = f"input {i}: its gradient with create_graph and without"
            _require_same(g._array, e, what, rounding)
    for times in (1, 2):
        backward(y, u)
        for i, (x, e) in enumerate(zip(inputs, expected, strict=True)):
            held = np.zeros(e.shape) if x.grad is None else x.grad
            what = f"input {i}: .grad after {times} x backward and {times} x grad"
            _require_same(held, times * e, what, rounding)


def plain_arrays(case: Case, rng: np.random.Generator) -> None:
    """On ndarrays it returns an ndarray that equals the Tensor's array bit by bit."""
    if not case.polymorphic:
        return
    plain = case.f(*case.arrays)
    if type(plain) is not ndarray:
        raise AssertionError(f"expected an ndarray from ndarrays, got {type(plain).__name__}")
    recorded = value_of(case.f(*(live(x) for x in case.arrays)))
    if plain.dtype != recorded.dtype or not np.array_equal(plain, recorded, equal_nan=True):
        raise AssertionError("the values for ndarrays and for Tensors differ")


def layouts(case: Case, rng: np.random.Generator) -> None:
    """Strided, reversed and column-major inputs and cotangents give what contiguous ones give."""
    y = evaluate(case.f, case.arrays)
    u, expected, rounding = _reference(case, rng)
    for name, again in _layouts.items():
        value, found = pull(case.f, [again(x) for x in case.arrays], again(u))
        what = f"on {name} inputs and on contiguous ones"
        _require_same(value, y, f"the value {what}", rounding)
        for i, (g, e) in enumerate(zip(found, expected, strict=True)):
            _require_same(g, e, f"input {i}: its gradient {what}", rounding)


def _strided(x: ndarray) -> ndarray:
    # Zeros between the elements: a rule that assumes contiguous memory would read them.
    spread = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    every_second = spread[(..., *(slice(None, None, 2) for _ in x.shape))]  # type: ignore[arg-type]
    every_second[...] = x
    return every_second


def _reversed(x: ndarray) -> ndarray:
    backwards: ndarray = np.flip(np.asarray(np.flip(x)).copy())
    return np.asarray(backwards)


_layouts: dict[str, Callable[[ndarray], ndarray]] = {
    "strided": _strided,
    "reversed": _reversed,
    "column-major": lambda x: x.copy(order="F"),
}


def float32(case: Case, rng: np.random.Generator) -> None:
    """float32 in gives float32 out, for values and gradients, equal to float32 precision."""
    # Compare at the rounded point, where both compute the same function.
    arrays = [x.astype(np.float32) for x in case.arrays]
    wide = [x.astype(np.float64) for x in arrays]
    value = evaluate(case.f, wide)
    u, expected, rounding = _reference(replace(case, arrays=tuple(wide)), rng)
    inputs: list[Any] = [live(x) for x in arrays]
    y = case.f(*inputs)
    if case.keeps_dtype:
        if y._array.dtype != np.float32:
            raise AssertionError(f"float32 in, {y._array.dtype} out")
        size = _rounding(case, np.ones(1), value)
        _require_same(y._array, value, "the value in float32 and in float64", size, single)
    for create_graph in (False, True) if case.second_order else (False,):
        found = grad(y, inputs, u, create_graph=create_graph)
        for i, (g, e) in enumerate(zip(found, expected, strict=True)):
            if g._array.dtype != np.float32:
                raise AssertionError(f"input {i}: float32, but its gradient is {g._array.dtype}")
            what = f"input {i}: its gradient in float32 and float64"
            _require_same(g._array, e, what, rounding, single)


def python_numbers(case: Case, rng: np.random.Generator) -> None:
    """A Python number acts as a 0-d constant does, and never changes a dtype."""
    scalars = [i for i, x in enumerate(case.arrays) if x.shape == ()]
    if not case.takes_numbers or len(case.arrays) < 2:
        return
    inputs: list[Any]
    for k in scalars:
        for dtype in (np.float64, np.float32):
            arrays = [x.astype(dtype) for x in case.arrays]
            wanted = [i for i in range(len(arrays)) if i != k]
            results = []
            for constant in (_as_tensor(arrays[k]), float(arrays[k])):
                inputs = [constant if i == k else live(x) for i, x in enumerate(arrays)]
                y = case.f(*inputs)
                u = np.ones(value_of(y).shape, value_of(y).dtype)
                results.append((y, _gradients(y, [inputs[i] for i in wanted], u)))
            (y, expected), (again, found) = results
            tolerance = exact if dtype is np.float64 else single
            if value_of(again).dtype != dtype and case.keeps_dtype:
                raise AssertionError(
                    f"a Python number as input {k} makes {value_of(again).dtype} of "
                    f"{dtype.__name__}"
                )
            rounding = _rounding(case, u, value_of(y))
            what = f"with a number as input {k}"
            _require_same(value_of(again), value_of(y), f"the value {what}", rounding, tolerance)
            for i, g, e in zip(wanted, found, expected, strict=True):
                what_of = f"input {i}: its gradient {what}"
                _require_same(g._array, e._array, what_of, rounding, tolerance)


# ── one value in several places ──────────────────────────────────────────────────────────


def same_value_twice(case: Case, rng: np.random.Generator) -> None:
    """One tensor given as two inputs gets the sum of both gradients."""
    for i, j in itertools.combinations(range(len(case.arrays)), 2):
        if case.arrays[i].shape != case.arrays[j].shape:
            continue
        for source in (i, j):  # the domains may differ: take the value that lies in both
            arrays = list(case.arrays)
            arrays[i] = arrays[j] = case.arrays[source]
            with np.errstate(all="ignore"):
                y = evaluate(case.f, arrays)
            if np.isfinite(y).all():
                break
        else:
            continue
        u = _random_like(y, rng)
        _, apart = pull(case.f, arrays, u)
        both = live(arrays[i])
        inputs = [both if k in (i, j) else attach(x, None) for k, x in enumerate(arrays)]
        together = grad(case.f(*inputs), both, u)
        what = f"one tensor as inputs {i} and {j}"
        _require_same(together._array, apart[i] + apart[j], what, _rounding(case, u, y))


def fan_out(case: Case, rng: np.random.Generator) -> None:
    """f(x) + 2 f(x) has the gradient of 3 f(x), and a value added to f gets its full cotangent.

    An addition passes the same array to both of its inputs. So this law notices a rule that writes
    into its cotangent, or that returns a buffer which it still uses.
    """
    y = evaluate(case.f, case.arrays)
    u, expected, rounding = _reference(case, rng)
    inputs = [live(x) for x in case.arrays]
    beside = live(np.zeros_like(y))
    # ``beside`` shares its cotangent with f. In both orders, as f's rule may get the shared array
    # before or after ``beside`` does.
    once, again = (ops.add(beside, case.f(*inputs)), ops.add(case.f(*inputs), beside))
    z = ops.add(once, ops.multiply(again, 2.0))
    *found, for_beside = grad(z, [*inputs, beside], u)
    _require_same(for_beside._array, 3 * u, "the cotangent of what is added to f", 0.0)
    for i, (g, e) in enumerate(zip(found, expected, strict=True)):
        what = f"input {i}: the gradients of f(x) + 2 f(x) and of 3 f(x)"
        _require_same(g._array, 3 * e, what, rounding)


# ── nothing is written into, nothing is shared ───────────────────────────────────────────


def untouched(case: Case, rng: np.random.Generator) -> None:
    """Neither forward nor a rule writes into the inputs, the output or the cotangent."""
    inputs = [live(x.copy()) for x in case.arrays]
    y = case.f(*inputs)
    _require_untouched([x._array for x in inputs], case.arrays, "forward writes into input")
    # Copies, because a rule that writes must not change the case.
    # Use whole arrays: a view of a broadcast result is read-only, so writing into it raises anyway.
    u = _random_like(y._array, rng)
    held = [x._array for x in inputs] + [y._array, u]
    before = [array.copy() for array in held]
    sweep({y.node: u}, {x.node for x in inputs if x.node is not None})
    places = [f"input {i}" for i in range(len(inputs))] + ["its output", "its cotangent"]
    for array, copy, place in zip(held, before, places, strict=True):
        _require_untouched([array], [copy], f"a rule writes into {place}, array")


def not_aliased(case: Case, rng: np.random.Generator) -> None:
    """A gradient shares memory with no input, output, cotangent or other gradient."""
    u = _random_like(evaluate(case.f, case.arrays), rng)
    inputs: list[Any] = [live(x) for x in case.arrays]
    y = case.f(*inputs)
    backward(y, u)
    held = [(f".grad of input {i}", x.grad) for i, x in enumerate(inputs) if x.grad is not None]
    held += [(f"grad for input {i}", g._array) for i, g in enumerate(grad(y, inputs, u))]
    others = [*((f"input {i}", x) for i, x in enumerate(case.arrays)), ("output", y._array)]
    others.append(("cotangent", u))
    pairs = itertools.chain(itertools.combinations(held, 2), itertools.product(held, others))
    for (name, array), (other_name, other) in pairs:
        if np.shares_memory(array, other):
            raise AssertionError(f"{name} shares memory with {other_name}")


# ── what an operation says of itself ─────────────────────────────────────────────────────


def traits(case: Case, rng: np.random.Generator) -> None:
    """Its batch rule gives what single steps give; its traits view and linear are true."""
    inputs: list[Any] = [live(x) for x in case.arrays]
    with np.errstate(all="ignore"):  # _at_step changes values a little; some leave the domain
        for node in ancestors([case.f(*inputs).node]):
            if node.primitive is not None and node.primitive is not pick:
                _require_view(node)
                _require_blocks(node)
                _require_linear(node, rng)


def _computed(node: Node, arrays: Sequence[Any]) -> ndarray:
    assert node.primitive is not None
    return np.asarray(node.primitive.forward(*arrays, **node.keywords))


def _require_view(node: Node) -> None:
    assert node.primitive is not None
    declared = node.primitive.is_view(node.keywords)
    if declared in ("maybe", "unknown") or node.output.ndim == 0 or not node.output.size:
        return
    for again in _layouts.values():
        # ``view=True`` promises a view of any memory, and ``view=False`` a copy of any.
        arrays: list[Any] = [again(x) if isinstance(x, ndarray) else x for x in node.arrays]
        y = _computed(node, arrays)
        shared = [isinstance(x, ndarray) and np.shares_memory(x, y) for x in arrays]
        if declared is not shared[0] or any(shared[1:]):
            raise AssertionError(
                f"{node.primitive}: its output {'shares' if any(shared) else 'does not share'} "
                f"memory with its inputs; it declares view={declared}"
            )


def _at_step(x: ndarray, t: int) -> ndarray:
    """Another value for each time step, within the same domain."""
    # Small factors, since a value may lie near the edge of a domain, as log's do.
    if x.dtype.kind == "f":
        return np.asarray(x * (1.0, 0.98, 1.01)[t]).astype(x.dtype)
    return np.roll(x, t)


def _require_blocks(node: Node) -> None:
    op, arrays = node.primitive, node.arrays
    assert op is not None
    places = [i for i, x in enumerate(arrays) if isinstance(x, ndarray)]
    for size in {1, len(places)}:
        for chosen in itertools.combinations(places, size):
            operands = [Operand(np.shape(x), i in chosen) for i, x in enumerate(arrays)]
            on_blocks = op.batch(node.keywords, operands)
            if on_blocks is None:
                continue
            steps = [
                [_at_step(x, t) if i in chosen else x for i, x in enumerate(arrays)]
                for t in range(3)
            ]
            expected = np.stack([_computed(node, step) for step in steps])
            blocks = [
                np.stack([step[i] for step in steps]) if i in chosen else x
                for i, x in enumerate(arrays)
            ]
            found = np.asarray(on_blocks(*blocks))
            if found.dtype != expected.dtype:
                raise AssertionError(f"{op}: {expected.dtype} at one step, {found.dtype} on blocks")
            what = f"{op} on blocks of the arguments {chosen} and step by step"
            _require_same(found, expected, what, 0.0)


def _require_linear(node: Node, rng: np.random.Generator) -> None:
    op, arrays = node.primitive, node.arrays
    assert op is not None
    given = [i for i, x in enumerate(arrays) if x is not None]
    floats = [i for i in given if isinstance(arrays[i], ndarray) and arrays[i].dtype.kind == "f"]
    for size in {1, 2, len(floats)}:
        for chosen in itertools.combinations(floats, size):
            if not op.is_linear_in(chosen, node.keywords, given):
                continue
            others = {i: _random_like(arrays[i], rng) for i in chosen}
            added = [x + others[i] if i in others else x for i, x in enumerate(arrays)]
            moved = [others.get(i, x) for i, x in enumerate(arrays)]
            apart = node.output + _computed(node, moved)
            # f(x) + f(v) may cancel: what is left is compared relative to the terms.
            size_of_terms = float(np.max(np.abs(node.output), initial=0))
            what = f"{op} of a sum in the arguments {chosen} and the sum of both"
            tolerance = exact if all(arrays[i].dtype != np.float32 for i in chosen) else single
            _require_same(_computed(node, added), apart, what, 10 * size_of_terms, tolerance)


#: Every law, in the order in which they are tried.
laws: tuple[Law, ...] = (
    adjoint,
    second_order,
    linear,
    every_sweep,
    untouched,
    fan_out,
    not_aliased,
    any_subset,
    same_value_twice,
    layouts,
    float32,
    python_numbers,
    plain_arrays,
    traits,
)


# ── trying them ──────────────────────────────────────────────────────────────────────────


def broken_law(case: Case, seed: int, which: Sequence[Law] = laws) -> tuple[str, Exception] | None:
    """The first law that the case breaks, and the exception that says how; None if it keeps all.

    Any exception of a rule counts as a broken law, not only AssertionError: a mistake may make a
    rule raise.
    """
    for law in which:
        # Copy the inputs: a rule that writes into them must not affect the next law.
        fresh = replace(case, arrays=tuple(x.copy() for x in case.arrays))
        try:
            law(fresh, np.random.default_rng(seed))
        except Exception as error:
            return law.__name__, error
    return None


def explanation(case: Case) -> str | None:
    """Which derivative of the case is wrong, and how, element by element; None if none is."""
    try:
        y = evaluate(case.f, case.arrays)
        rows = []
        for k in range(y.size):
            one = np.zeros(y.shape)
            one.flat[k] = 1
            rows.append(pull(case.f, case.arrays, one.astype(y.dtype))[1])

        def flat(*arrays: ndarray) -> ndarray:
            return evaluate(case.f, arrays).ravel()

        for i, x in enumerate(case.arrays):
            analytic = np.array([row[i].ravel() for row in rows]).reshape(y.size, x.size)
            numeric = NumericJacobian(flat, case.arrays, i, 1e-6)
            tolerance = 1e-5 * (numeric.scales + np.abs(numeric.values)) + numeric.errors
            with np.errstate(all="ignore"):
                wrong = ~(np.abs(analytic - numeric.values) <= tolerance)
            if wrong.any():
                slopes = functools.partial(numeric.slopes, eps=1e-6)
                problem = mismatch(
                    analytic, numeric.values, wrong, x.shape, y.shape, slopes, (x, y)
                )
                return f"the gradient for input {i} is wrong: {problem}"
    except Exception:  # without an explanation, the law's own message remains
        return None
    return None


# ── measuring ────────────────────────────────────────────────────────────────────────────


def _as_tensor(x: ndarray) -> Any:
    return attach(x, None)


def _as_array(x: ndarray) -> Any:
    return x


def _gradients(y: Any, wanted: Sequence[Any], u: ndarray) -> Sequence[Any]:
    """``grad``, also if the output is an ndarray because f does not use the live inputs."""
    found: Sequence[Any] = grad(y if isinstance(y, Value) else attach(y, None), wanted, u)
    return found


def _random_like(x: ndarray, rng: np.random.Generator) -> ndarray:
    return np.asarray(rng.standard_normal(x.shape)).astype(x.dtype)


def _direction_in(case: Case, index: int, rng: np.random.Generator) -> list[ndarray]:
    """A random direction in one input, zero in the others."""
    directions = [np.zeros(x.shape) for x in case.arrays]
    directions[index] = _random_like(case.arrays[index], rng)
    return directions


def _push(case: Case, v: Sequence[ndarray]) -> ndarray:
    """``J v``, measured without rules."""
    step = complex_step if case.analytic else central_difference
    return step(lambda *xs: evaluate(case.f, xs), case.arrays, v)


def _push_rules(case: Case, u: ndarray, v: Sequence[ndarray]) -> list[ndarray]:
    """``d/dt J(x + t v)' u`` for each input: the derivative of the rules, measured."""
    step = complex_step if case.analytic else central_difference

    def rules_of(i: int) -> Callable[..., ndarray]:
        return lambda *xs: pull(case.f, xs, u.astype(np.result_type(u, *xs)))[1][i]

    return [step(rules_of(i), case.arrays, v) for i in range(len(case.arrays))]


def _reference(case: Case, rng: np.random.Generator) -> tuple[ndarray, list[ndarray], float]:
    """A random cotangent, its gradients, and the size of the numbers that may have cancelled."""
    y = evaluate(case.f, case.arrays)
    u = _random_like(y, rng)
    return u, pull(case.f, case.arrays, u)[1], _rounding(case, u, y)


def _rounding(case: Case, u: ndarray, y: ndarray) -> float:
    """The size of <u, y>: a derivative far below it may be zero plus rounding."""
    # <u, y> is a sum of terms of this size. If they cancel, their rounding remains.
    largest = float(np.max(np.abs(y), initial=case.magnitude))
    return float(np.sum(np.abs(u))) * largest


# For each tolerance: the rounding that is allowed, relative to ``_rounding``.
_ulps = {exact: 1e-14, measured: 1e-9, single: 1e-5}


def _require_equal(a: Any, b: Any, size: Any, rounding: float, tolerance: float, what: str) -> None:
    if not abs(a - b) <= tolerance * size + _ulps[tolerance] * rounding:
        ratio = f", ratio {float(b) / float(a):.6g}" if a else ""
        raise AssertionError(f"{what} differ: {float(a):.10g} and {float(b):.10g}{ratio}")


def _require_same(
    a: ndarray, b: ndarray, what: str, rounding: float, tolerance: float = exact
) -> None:
    if a.shape != b.shape:
        raise AssertionError(f"{what} differ in shape: {a.shape} and {b.shape}")
    if not a.size or np.array_equal(a, b, equal_nan=True):
        return
    size = max(float(np.max(np.abs(a))), float(np.max(np.abs(b))))
    gap = np.abs(a - b)
    if not np.all(gap <= tolerance * size + _ulps[tolerance] * rounding):
        place = np.unravel_index(int(np.argmax(np.where(np.isnan(gap), np.inf, gap))), a.shape)
        at = f" at {tuple(int(k) for k in place)}" if a.ndim else ""
        raise AssertionError(f"{what} differ{at}: {a[place]:.10g} and {b[place]:.10g}")


def _require_untouched(arrays: Sequence[ndarray], before: Sequence[ndarray], what: str) -> None:
    for i, (array, copy) in enumerate(zip(arrays, before, strict=True)):
        if array.tobytes() != copy.tobytes():
            raise AssertionError(f"{what} {i}")
