"""Running the nodes RNN, LSTM and GRU of a model, with any activations.

Source: https://onnx.ai/onnx/operators/onnx__LSTM.html (and __RNN, __GRU)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .. import nn, ops
from ..graph import Value, attach
from ..scan import scan
from .recurrent import GATES

Activation = Callable[[Any], Any]

#: The activations of a node that names none.
USUAL = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}

_PLAIN: dict[str, Activation] = {
    "Tanh": ops.tanh,
    "Sigmoid": ops.sigmoid,
    "Relu": ops.relu,
    "Softplus": ops.softplus,
    "Softsign": lambda x: x / (1 + ops.abs(x)),
}

#: Activations with parameters: the function, and the defaults of alpha and beta (None: no beta).
_WITH_NUMBERS: dict[str, tuple[Callable[..., Any], float, float | None]] = {
    "HardSigmoid": (lambda x, alpha, beta: ops.clip(x * alpha + beta, 0, 1), 0.2, 0.5),
    "LeakyRelu": (lambda x, alpha: ops.where(ops.less(x, 0), x * alpha, x), 0.01, None),
    "Elu": (
        lambda x, alpha: ops.where(ops.less(x, 0), (ops.exp(ops.minimum(x, 0)) - 1) * alpha, x),
        1.0,
        None,
    ),
    "ThresholdedRelu": (lambda x, alpha: ops.where(ops.greater(x, alpha), x, 0), 1.0, None),
    "ScaledTanh": (lambda x, alpha, beta: ops.tanh(x * beta) * alpha, 1.0, 1.0),
    "Affine": (lambda x, alpha, beta: x * alpha + beta, 1.0, 0.0),
}


def _activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Activation]:
    """Return the functions of these names. Those with parameters take alphas and betas in order."""
    # As in ONNX: an activation without parameters takes none of the numbers, so the lists may be
    # shorter than the names.
    alpha, beta = iter(alphas), iter(betas)
    found: list[Activation] = []
    for name in names:
        if name in _PLAIN:
            found.append(_PLAIN[name])
        elif name in _WITH_NUMBERS:
            function, first, second = _WITH_NUMBERS[name]
            numbers = {"alpha": next(alpha, first)}
            if second is not None:
                numbers["beta"] = next(beta, second)
            found.append(functools.partial(function, **numbers))
        else:
            raise ValueError(f"the activation {name} is not supported")
    return found


def _sequence(
    kind: str, weights: dict[str, Any], chosen: Sequence[Activation], reset_after: bool
) -> Callable[..., Any]:
    """Return ``run(carry, xs, reverse=..., lengths=...)`` for one direction."""
    # The usual activations run on the layer's own step, which has a version by hand or machine
    # code.
    usual = list(chosen) == [_PLAIN[name] for name in USUAL[kind]]
    if usual or (kind == "RNN" and chosen[0] is ops.relu):
        options: dict[str, Any] = {}
        if kind == "RNN":
            options["nonlinearity"] = "tanh" if usual else "relu"
        if kind == "GRU":
            options["reset_after"] = reset_after
        # Use the step of our layer, with the weights of the node instead of its own.
        # A layer of size 1: only its code is used.
        layer = getattr(nn, kind)(1, 1, rng=0, **options)
        return functools.partial(layer._sequence, weights, unroll=False)
    gru = functools.partial(_gru, reset_after=reset_after)
    makers: dict[str, Callable[..., Any]] = {"RNN": _rnn, "LSTM": _lstm, "GRU": gru}
    return functools.partial(scan, makers[kind](weights, *chosen))


def _products(weights: dict[str, Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    W, R = weights["weight_ih"], weights["weight_hh"]
    b, c = weights.get("bias_ih"), weights.get("bias_hh")
    return lambda x, h: (ops.linear(x, W, b), ops.linear(h, R, c))


def _rnn(weights: dict[str, Any], f: Activation) -> Callable[..., Any]:
    products = _products(weights)

    def step(carry: Any, x: Any) -> Any:
        of_x, of_h = products(x, carry[0])
        h = f(of_x + of_h)
        return (h,), h

    return step


def _lstm(weights: dict[str, Any], f: Activation, g: Activation, h_: Activation) -> Any:
    products = _products(weights)
    p_i, p_f, p_o = (weights.get(f"weight_p{gate}", 0.0) for gate in "ifo")

    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        of_x, of_h = products(x, h)
        # The gates are in the order of this library (see ``_ours``).
        i, forget, candidate, o = ops.split(of_x + of_h, 4, -1)
        # The peepholes of i and f look at the old c, that of o at the new one.
        c = f(forget + p_f * c) * c + f(i + p_i * c) * g(candidate)
        h = f(o + p_o * c) * h_(c)
        return (h, c), h

    return step


def _gru(weights: dict[str, Any], f: Activation, g: Activation, *, reset_after: bool) -> Any:
    products = _products(weights)
    R, c = weights["weight_hh"], weights.get("bias_hh")
    n = R.shape[-1]

    def step(carry: Any, x: Any) -> Any:
        (h,) = carry
        of_x, of_h = products(x, h)
        (r, z, candidate), (r_h, z_h, n_h) = ops.split(of_x, 3, -1), ops.split(of_h, 3, -1)
        r, z = f(r + r_h), f(z + z_h)
        if reset_after:
            # linear_before_reset = 1: the product first, then r. Otherwise r scales h before the
            # product, so the product of n has to be computed anew, and n_h is not used.
            candidate = g(candidate + r * n_h)
        else:
            candidate = g(
                candidate + ops.linear(r * h, R[2 * n :], None if c is None else c[2 * n :])
            )
        h = (1 - z) * candidate + z * h
        return (h,), h

    return step


def run_recurrent(
    kind: str,
    x: Any,
    W: Any,
    R: Any,
    B: Any = None,
    lengths: Any = None,
    initial_h: Any = None,
    *others: Any,
    hidden_size: int | None = None,
    direction: str = "forward",
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    layout: int = 0,
    linear_before_reset: int = 0,
    **unknown: Any,
) -> tuple[Any, ...]:
    """Run an RNN, LSTM or GRU node; return Y, Y_h and, for an LSTM, Y_c.

    Raises:
        ValueError: an attribute is not supported.
    """
    # For each direction, whether it runs in reverse.
    directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[
        direction
    ]
    functions = _activations(
        list(activations or USUAL[kind] * len(directions)), activation_alpha, activation_beta
    )
    each = len(USUAL[kind])
    for name, value in unknown.items():
        if value:
            raise ValueError(f"the attribute {name} = {value} is not supported")
    # Inputs that are left out at the end of a node's list are missing here.
    initial_c, peepholes = (*others, None, None)[:2] if kind == "LSTM" else (None, None)
    given = (x, W, R, B, initial_h, initial_c, peepholes)
    x, W, R, B, initial_h, initial_c, peepholes = map(_value, given)
    if layout:
        x = ops.swapaxes(x, 0, 1)
    steps, N, _ = x.shape
    H = R.shape[-1]
    dtype = x.dtype
    states = 2 if kind == "LSTM" else 1
    reset_after = bool(linear_before_reset)
    if isinstance(lengths, Value) and isinstance(lengths._array, ndarray):
        lengths = lengths._array
    if lengths is not None:  # the padding may be NaN
        within = ops.less(np.arange(steps)[:, np.newaxis], lengths)[..., np.newaxis]
        x = ops.where(within, x, 0)
    ys: list[Any] = []
    finals: list[list[Any]] = [[] for _ in range(states)]
    for k, reverse in enumerate(directions):
        weights = {"weight_ih": _ours(W[k], kind), "weight_hh": _ours(R[k], kind)}
        if B is not None:
            # ONNX joins both biases in one array.
            of_x, of_h = ops.split(B[k], 2)
            weights |= {"bias_ih": _ours(of_x, kind), "bias_hh": _ours(of_h, kind)}
        if peepholes is not None:
            parts = ops.split(peepholes[k], 3)
            weights |= {f"weight_p{gate}": p for gate, p in zip("iof", parts, strict=True)}
        first = []
        for state in (initial_h, initial_c)[:states]:
            if state is None:
                first.append(attach(np.zeros((N, H), dtype), None))
            else:
                first.append(state[:, k] if layout else state[k])
        chosen = functions[k * each : (k + 1) * each]
        run = _sequence(kind, weights, chosen, reset_after)
        last, y = run(tuple(first), x, reverse=reverse, lengths=lengths)
        ys.append(y)
        for final, state in zip(finals, last, strict=True):
            final.append(state)
    axis = 2 if layout else 1
    y = ops.stack([ops.swapaxes(y, 0, 1) for y in ys] if layout else ys, axis)
    return (y, *[ops.stack(final, 1 if layout else 0) for final in finals])


def _value(x: Any) -> Any:
    """Convert an array to a constant Tensor; a Tensor and None stay as they are."""
    return x if x is None or isinstance(x, Value) else attach(np.asarray(x), None)


def _ours(x: Any, kind: str) -> Any:
    """Return a weight (G H, ...) with the gates in our order."""
    order = GATES[kind]
    if len(order) == 1:
        return x
    parts = ops.split(x, len(order))
    return ops.concatenate([parts[order.index(k)] for k in range(len(order))])


__all__ = ["run_recurrent"]
