"""gradcheck and gradgradcheck: a function's gradient against differences of the function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .. import ops
from ..backprop import grad
from ..graph import Value, describe, numeric
from .differences import NumericJacobian, live, mismatch, place
from .kinks import Kink, Subgradient, along_directions, is_between
from .steps_hint import hint_in_time


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool | Subgradient:
    """Compare every derivative of f with central differences; explain the worst error.

        numeric   n_ij = (f_i(x + h e_j) - f_i(x - h e_j)) / 2h,   h = eps max(1, |x_j|)
        passes    |a_ij - n_ij| <= atol s_ij + rtol |n_ij| + rounding

    The scale ``s_ij`` is the size of f_i's slope along e_j around x: the larger of ``|n_ij|`` and
    the secant over 1000 h. So ``atol`` is relative too: a gradient of zero is wrong for x^2, and
    also for 1e-7 x^2. ``rounding`` bounds the rounding error of a difference of two values of f.

    Args:
        f: a function of as many Tensors as there are inputs. It returns a Tensor or a tuple of
            Tensors.
        inputs: one float64 array or Tensor, or a list or tuple of them. Integers and booleans
            are constants. Tensors that do not require grad are constants too, if another input
            requires grad or is an array. f gets all inputs as Tensors.
        eps: the step for elements up to 1.
        atol: the tolerance relative to f's slope around x.
        rtol: the tolerance relative to the derivative itself.

    Returns:
        True. Central differences cannot judge the gradient at a kink (relu at 0, the maximum of
        equal numbers). If it is a right subgradient there, that is, between the slopes on both
        sides, the result is a :class:`Subgradient`: it equals True and shows these slopes.

    Raises:
        AssertionError: a derivative is wrong. The message names the input, the worst element,
            both values, their ratio and, if the numbers allow it, a guess at the cause. For a
            loop over time steps it also names the wrong steps. Also raised if f gives different
            values when called again, writes into its inputs, or has no output that is connected
            to an input.
        TypeError: an input is not float64, or f returns anything but Tensors of float64.
        ValueError: there is no input to check.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.testing.gradcheck(lambda x, W: tg.tanh(x @ W), [np.ones((2, 3)), np.eye(3)])
    True
    >>> tg.testing.gradcheck(tg.relu, np.array([0.0, 1.0]))
    True: the gradient is right; at a kink it is a right subgradient
      input 0 at element (0,): the slope is 0 behind and 1 ahead, the gradient says 0
    >>> cube = tg.primitive(lambda x: x ** 3, lambda g, y, x: g * x ** 2, name="cube")
    >>> tg.testing.gradcheck(cube, np.array([1.0, 2.0]))
    Traceback (most recent call last):
    ...
    AssertionError: gradcheck: the gradient for input 0 (float64 (2,)) is wrong
    worst at element (1,) of the input, seen from element (1,) of the output
      analytic  4
      numeric   12
      ratio     0.333333 (analytic / numeric)
      2 of 4 derivatives differ
      hint: a constant ratio of 0.333333: is a factor missing, or one too many?
    """
    arrays, checked = _read(inputs, "gradcheck")
    return _check(f, arrays, checked, eps, atol, rtol, "gradcheck", "gradient", 0.0)


def gradgradcheck(
    f: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> bool | Subgradient:
    """Check the second derivatives of f: :func:`gradcheck` of its gradient.

        (x, u) -> d/dx sum(f(x) * u)

    is differentiated with respect to the inputs x and the cotangents u, and compared with
    differences.

    Args:
        f: as for :func:`gradcheck`; its rules must run on Tensors.
        inputs: as for :func:`gradcheck`.
        grad_outputs: the cotangent u, in the shape of f's output (a tuple if f returns a tuple).
            The default is random numbers, the same in every run.
        eps, atol, rtol: as for :func:`gradcheck`.

    Returns:
        True.

    Raises:
        AssertionError: a second derivative is wrong. The message numbers the inputs first, then
            the cotangents.
        TypeError: as for :func:`gradcheck`.
        ValueError: as for :func:`gradcheck`, or ``grad_outputs`` do not fit f's output.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.testing.gradgradcheck(tg.tanh, np.array([0.1, -2.0]))
    True
    """
    arrays, checked = _read(inputs, "gradgradcheck")
    outputs = _outputs(f(*(_constant(x.copy()) for x in arrays)), "gradgradcheck")
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        cotangents = [rng.standard_normal(y._array.shape) for y in outputs]
    else:
        given = grad_outputs if isinstance(grad_outputs, (list, tuple)) else [grad_outputs]
        cotangents = [_float64(u, "gradgradcheck: grad_outputs") for u in given]
        if [u.shape for u in cotangents] != [y._array.shape for y in outputs]:
            raise ValueError(
                f"gradgradcheck: expected grad_outputs of shape "
                f"{', '.join(str(y._array.shape) for y in outputs)}, got "
                f"{', '.join(str(u.shape) for u in cotangents)}"
            )

    def gradient(*args: Any) -> tuple[Value, ...]:
        xs, us = args[: len(arrays)], args[len(arrays) :]
        total: Any = 0.0
        for y, u in zip(_outputs(f(*xs), "gradgradcheck"), us, strict=True):
            total = ops.add(total, ops.sum(ops.multiply(y, u)))
        wanted = [x for x, check in zip(xs, checked, strict=True) if check]
        found: tuple[Value, ...] = grad(total, wanted, create_graph=True)
        return found

    every = [*checked, *(True for _ in cotangents)]
    where, what = "gradgradcheck", "gradient of the gradient"
    # A gradient that is exactly zero, such as that of sum(softmax(x)), is a difference of numbers
    # of this size: that much rounding is allowed.
    magnitude = max(
        float(np.max(np.abs(y._array), initial=0) * np.max(np.abs(u), initial=0))
        for y, u in zip(outputs, cotangents, strict=True)
    )
    values = [*arrays, *cotangents]
    return _check(gradient, values, every, eps, atol, rtol, where, what, magnitude)


# ── reading what came ────────────────────────────────────────────────────────────────────


def _read(inputs: Any, where: str) -> tuple[list[ndarray], list[bool]]:
    """Copies of the arrays, and which of them to check."""
    parts = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    arrays: list[ndarray] = []
    constant_tensors: list[int] = []
    checked: list[bool] = []
    for i, x in enumerate(parts):
        # A copy: f may write into it, and ``_check`` has to notice that.
        array = np.array(x._array if isinstance(x, Value) else numeric(x, f"{where}: input {i}"))
        is_float = array.dtype.kind == "f"
        if is_float and isinstance(x, Value) and x.node is None:
            constant_tensors.append(i)
        elif is_float and array.dtype != np.float64:
            raise TypeError(
                f"{where}: input {i} is {describe(array)}; differences need float64, so check the "
                "function there"
            )
        arrays.append(array)
        checked.append(is_float and i not in constant_tensors)
    if not any(checked):  # the caller marked no input, so check all
        for i in constant_tensors:
            arrays[i] = _float64(arrays[i], f"{where}: input {i}")
            checked[i] = True
    if not any(checked):
        raise ValueError(f"{where}: expected at least one input of float64, got none")
    return arrays, checked


def _float64(x: Any, where: str) -> ndarray:
    array = np.array(x._array if isinstance(x, Value) else numeric(x, where))
    if array.dtype != np.float64:
        raise TypeError(f"{where} is {describe(array)}; differences need float64")
    return array


def _outputs(result: Any, where: str) -> list[Value]:
    """The Tensors of float64 in f's result, which may be nested tuples."""
    if isinstance(result, Value):
        if result._array.dtype != np.float64:
            raise TypeError(
                f"{where}: expected f to return float64, got {describe(result)}; does it convert, "
                "or return indices or booleans?"
            )
        return [result]
    if isinstance(result, (list, tuple)) and result:
        return [y for part in result for y in _outputs(part, where)]
    raise TypeError(
        f"{where}: expected f to return a Tensor or a tuple of Tensors, got {type(result).__name__}"
    )


# ── the comparison ───────────────────────────────────────────────────────────────────────


def _check(
    f: Callable[..., Any],
    arrays: list[ndarray],
    checked: list[bool],
    eps: float,
    atol: float,
    rtol: float,
    where: str,
    what: str,
    magnitude: float,
) -> bool | Subgradient:
    """Compare f's gradient with central differences; raise with an explanation if it is wrong.

    Args:
        f: the function, of Tensors.
        arrays: its inputs.
        checked: for each input, whether to check the gradient for it.
        eps: the step of the differences, for elements up to 1.
        atol, rtol: tolerances, relative to the typical slope and to the derivative.
        where: who asks, for messages.
        what: is checked, for messages: "gradient".
        magnitude: a lower bound for the size of the numbers inside f.
    """
    if eps <= 0:
        raise ValueError(f"{where}: expected a positive eps, got {eps}")

    def outputs_of(*values: ndarray) -> tuple[list[Value], list[Value]]:
        # ``live`` wraps the array itself, so that a write into the Tensor shows in ``values``.
        xs = [live(x) if check else _constant(x) for x, check in zip(values, checked, strict=True)]
        before = [x.copy() for x in values]
        outputs = _outputs(f(*xs), where)
        for i, (x, value, copy) in enumerate(zip(xs, values, before, strict=True)):
            if x._array is not value or value.tobytes() != copy.tobytes():
                raise AssertionError(f"{where}: f writes into its input {i}; it must not change it")
        return xs, outputs

    def flat(*values: ndarray) -> ndarray:
        _, outputs = outputs_of(*values)
        return np.concatenate([y._array.ravel() for y in outputs])

    xs, outputs = outputs_of(*arrays)
    here = np.concatenate([y._array.ravel() for y in outputs])
    again = flat(*arrays)
    # Compare bytes, because NaN is not equal to itself.
    if here.tobytes() != again.tobytes():
        gap = float(np.max(np.abs(here - again))) if here.shape == again.shape else np.inf
        raise AssertionError(
            f"{where}: f is not deterministic: called again with the same inputs its output "
            f"differs by up to {gap:.3g}; seed its random numbers inside"
        )
    if all(y.node is None for y in outputs):
        raise AssertionError(
            f"{where}: no gradient: no output of f is connected to its inputs; was the graph cut "
            "by detach(), .data, .numpy() or no_grad()?"
        )
    wanted = [i for i, check in enumerate(checked) if check]
    analytic = _analytic([xs[i] for i in wanted], outputs)
    with np.errstate(all="ignore"):
        numeric = [NumericJacobian(flat, arrays, i, eps, magnitude) for i in wanted]
        wrong = [
            ~(np.abs(a - n.values) <= atol * n.scales + rtol * np.abs(n.values) + n.errors)
            for a, n in zip(analytic, numeric, strict=True)
        ]
    if not any(w.any() for w in wrong):
        return True
    shapes = [y._array.shape for y in outputs]
    output_shape = shapes[0] if len(shapes) == 1 else here.shape
    kinks = _subgradients(flat, arrays, wanted, analytic, numeric, wrong, output_shape, eps)
    # What is still wrong is no subgradient. Explain the first input for which that is so.
    for i, a, n, w in zip(wanted, analytic, numeric, wrong, strict=True):
        if not w.any():
            continue
        x = arrays[i]
        slopes = functools.partial(n.slopes, eps=eps)
        at = (x, outputs[0]._array) if len(outputs) == 1 else None
        problem = mismatch(a, n.values, w, x.shape, output_shape, slopes, at)
        in_time = hint_in_time(outputs, a, n.values, w, x.shape)
        if in_time:
            problem += f"\n  in time: {in_time}"
        if len(shapes) > 1:
            problem += (
                f"\n  the output's elements are those of {len(shapes)} outputs, joined, of shape "
                f"{', '.join(map(str, shapes))}"
            )
        raise AssertionError(
            f"{where}: the {what} for input {i} ({describe(x)}) is wrong\n{problem}"
        )
    return Subgradient(kinks)


def _subgradients(
    f: Callable[..., ndarray],
    arrays: list[ndarray],
    wanted: list[int],
    analytic: list[ndarray],
    numeric: list[NumericJacobian],
    wrong: list[ndarray],
    output_shape: tuple[int, ...],
    eps: float,
) -> list[Kink]:
    """The derivatives that are right subgradients at kinks. They are removed from ``wrong``."""
    kinks: list[tuple[int, Kink]] = []
    excused: list[ndarray] = [np.zeros_like(w) for w in wrong]
    with np.errstate(all="ignore"):
        for k, (i, a, n, w) in enumerate(zip(wanted, analytic, numeric, wrong, strict=True)):
            for j in np.flatnonzero(np.any(w, axis=0)):
                behind, ahead, kinked, _ = n.slopes(int(j), eps)
                # A wrong derivative is excused only at a kink, and only between the two slopes.
                excused[k][:, j] = w[:, j] & kinked & is_between(a[:, j], behind, ahead)
                for row in np.flatnonzero(excused[k][:, j]):
                    kink = Kink(
                        i,
                        place(int(j), arrays[i].shape),
                        place(int(row), output_shape),
                        float(a[row, j]),
                        float(behind[row]),
                        float(ahead[row]),
                    )
                    kinks.append((int(row), kink))
        # Right for each element alone is not enough: for the maximum of two equal numbers (1, 1) is
        # wrong. So go along directions that change several elements.
        if len(kinks) > 1:
            bent = [np.zeros(x.size, bool) for x in arrays]
            gradients = [np.zeros((len(wrong[0]), x.size)) for x in arrays]
            for i, a, e in zip(wanted, analytic, excused, strict=True):
                bent[i], gradients[i] = np.asarray(np.any(e, axis=0)), a
            fine = along_directions(f, arrays, gradients, bent, eps)
            kinks = [(row, kink) for row, kink in kinks if fine[row]]
            excused = [e & fine[:, np.newaxis] for e in excused]
    for w, e in zip(wrong, excused, strict=True):
        w &= ~e
    return [kink for _, kink in kinks]


def _constant(array: ndarray) -> Value:
    constant = live(array)
    constant.node = None
    return constant


def _analytic(xs: Sequence[Value], outputs: Sequence[Value]) -> list[ndarray]:
    """The Jacobian (m, n) of each input, by one sweep for each element of the outputs."""
    rows: list[list[ndarray]] = [[] for _ in xs]
    for y in outputs:
        for k in range(y._array.size):
            # A cotangent that is 1 at one element gives that element's row of the Jacobian.
            one = np.zeros(y._array.shape)
            one.flat[k] = 1
            for row, dx in zip(rows, grad(y, xs, one), strict=True):
                row.append(dx._array.ravel())
    return [np.array(row).reshape(len(row), x._array.size) for row, x in zip(rows, xs, strict=True)]


__all__ = ["gradcheck", "gradgradcheck"]
