"""Losses: scalars that say how far a prediction is from its target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy import ndarray

from .. import ops
from ..graph import Array, Primitive, Value, apply, attach, describe, numeric, same
from ..tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# ── classes ──────────────────────────────────────────────────────────────────────────────


@overload
def cross_entropy(
    logits: Value,
    target: Any,
    weight: Any = ...,
    ignore_index: int = ...,
    reduction: str = ...,
    label_smoothing: float = ...,
) -> Tensor: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    target: Any,
    weight: Any = ...,
    ignore_index: int = ...,
    reduction: str = ...,
    label_smoothing: float = ...,
) -> ndarray: ...
def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """How many nats it costs to code the target with the predicted probabilities.

        l_n = -w_{y_n} log softmax(x_n)_{y_n}               for class indices y_n
        l_n = -sum_c w_c p_{nc} log softmax(x_n)_c          for class probabilities p_n

    ``"mean"`` divides the sum by ``sum_n w_{y_n}`` over the targets that count, or, for
    probabilities, by their number; where no target counts that is 0 / 0 = NaN. Smoothing replaces
    the target distribution p by ``(1 - s) p + s / C``.

    Accurate at finite logits of any size; Inf only where the loss is larger than the largest number
    of the dtype. A class of logit -Inf has probability 0: the loss is Inf where it is the target,
    and it counts for nothing where its p is 0. Where all logits are -Inf, or one is Inf, the loss
    is NaN.

    Args:
        logits: x, (N, C), (C,) or (N, C, d_1, ...); not normalised.
        target: class indices from 0 to C - 1, of shape (N,), () or (N, d_1, ...); or
            probabilities of the logits' shape, in floats.
        weight: (C,) constants, a weight for each class; None is 1 for all.
        ignore_index: targets of this index count for nothing: neither the logits there, NaN
            included, nor their gradient.
        reduction: "mean", "sum" or "none".
        label_smoothing: s, from 0 to 1.

    Returns:
        A scalar, or of ``target``'s shape (without the classes) for ``reduction="none"``.

    Raises:
        IndexError: a class index is below 0 or not below C.
        TypeError: targets that are neither class indices nor probabilities, logits that are not
            floats, or a weight that requires grad.
        ValueError: shapes that do not fit, or an unknown reduction or smoothing.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html;
    smoothing: Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567, sec. 7.

    >>> import numpy as np
    >>> loss = cross_entropy(np.array([[0.0, 0.0], [1000.0, 0.0]]), [1, 0], reduction="none")
    >>> bool(np.allclose(loss, [np.log(2), 0]))
    True
    """
    _known(reduction, "cross_entropy")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: expected label_smoothing from 0 to 1, got {label_smoothing}"
        )
    logits, target = (
        x if isinstance(x, Value) else numeric(x, f"cross_entropy: {name}")
        for name, x in (("logits", logits), ("target", target))
    )
    shape = logits.shape
    if logits.dtype.kind != "f" or not shape:
        raise TypeError(f"cross_entropy: expected logits (N, C) of floats, got {describe(logits)}")
    if isinstance(target, Value) and not isinstance(logits, Value):
        logits = attach(logits, None)
    classes = shape[min(1, len(shape) - 1)]
    batch = (*shape[:1], *shape[2:]) if len(shape) > 1 else ()
    weights = _class_weights(weight, classes, logits.dtype)
    smoothing = float(label_smoothing)

    if target.dtype.kind == "f":
        if target.shape != shape:
            raise TypeError(
                "cross_entropy: expected class indices (integers), or probabilities (floats) of "
                f"the logits' shape {shape}; got {describe(target)}"
            )
        if ignore_index >= 0:
            raise ValueError("cross_entropy: ignore_index goes with class indices only")
        probabilities = _rows(ops.astype(target, logits.dtype))
        if smoothing:
            probabilities = probabilities * (1 - smoothing) + smoothing / classes
        log_p = ops.log_softmax(_rows(logits))
        never = ops.logical_and(ops.equal(probabilities, 0), ops.isinf(log_p))
        losses = -ops.sum(probabilities * ops.where(never, 0, log_p) * weights, -1)
        return _reduced(losses, reduction, batch, losses.size)

    if isinstance(target, Value) and not isinstance(target._array, ndarray):
        return _of_traced_indices(
            logits, target, weights, ignore_index, reduction, smoothing, batch
        )
    ids = _class_indices(target, shape, batch).reshape(-1)
    rows = _rows(logits)
    counted = np.flatnonzero(ids != ignore_index)
    ignored = len(ids) - len(counted)
    if ignored:
        rows, ids = ops.getitem(rows, counted), ids[counted]
    if ids.size and (ids.min() < 0 or ids.max() >= classes):
        bad = ids.min() if ids.min() < 0 else ids.max()
        raise IndexError(
            f"cross_entropy: expected class indices from 0 to {classes - 1}, or {ignore_index} "
            f"(ignored), got {bad}"
        )
    log_p = ops.log_softmax(rows)
    losses = _smoothed(log_p, ids, weights, smoothing)
    if ignored and reduction == "none":
        losses = ops.place(losses, counted, (len(counted) + ignored,))
    return _reduced(losses, reduction, batch, float(weights[ids].sum(dtype=np.float64)))


def _smoothed(log_p: Array, ids: Array, weights: ndarray, smoothing: float) -> Array:
    """The loss of each row of log-probabilities."""
    losses = -(log_p[np.arange(len(ids)), ids] * ops.getitem(weights, ids))
    if not smoothing:
        return losses
    spread = -ops.sum(log_p * weights, -1)
    return losses * (1 - smoothing) + spread * (smoothing / len(weights))


def _of_traced_indices(
    logits: Array,
    target: Array,
    weights: ndarray,
    ignore_index: int,
    reduction: str,
    smoothing: float,
    batch: tuple[int, ...],
) -> Array:
    """Cross-entropy with the class indices of a step that is traced.

    Their numbers are not known yet, so that rows to ignore are masked and not left out.
    """
    _class_indices(target, logits.shape, batch)
    ids = apply(_within, (ops.reshape(target, (-1,)),), {"n": len(weights), "but": ignore_index})
    counts = ops.not_equal(ids, ignore_index)
    ids = ops.where(counts, ids, 0)
    rows = ops.where(ops.expand_dims(counts, -1), _rows(logits), 0)
    losses = ops.where(counts, _smoothed(ops.log_softmax(rows), ids, weights, smoothing), 0)
    if reduction != "mean":
        return _reduced(losses, reduction, batch, 1.0)
    divisor = ops.sum(ops.where(counts, ops.getitem(weights, ids), 0))
    mean = ops.sum(losses) / ops.where(ops.equal(divisor, 0), 1, divisor)
    return ops.where(ops.equal(divisor, 0), math.nan, mean)


def _checked_indices(ids: ndarray, *, n: int, but: int) -> ndarray:
    wrong = ids[((ids < 0) | (ids >= n)) & (ids != but)]
    if wrong.size:
        raise IndexError(
            f"expected class indices from 0 to {n - 1}, or {but} (ignored), got {wrong.min()}"
        )
    return ids


def _checked_probabilities(y: ndarray) -> ndarray:
    outside = y[~((y >= 0) & (y <= 1))]
    if outside.size:
        raise ValueError(f"expected targets from 0 to 1, got {outside[0]}")
    return y


# The numbers of a traced step are looked at when it runs: by these, which hand them on.
_within = Primitive("cross_entropy", _checked_indices, None)
_probabilities = Primitive(
    "binary_cross_entropy_with_logits", _checked_probabilities, (same,), elementwise=True
)


def _rows(x: Array) -> Array:
    """Classes on the last axis, everything else on the first: (N, C, d...) to (N d..., C)."""
    if x.ndim == 2:
        return x
    x = x if x.ndim == 1 else ops.moveaxis(x, 1, -1)
    return ops.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _class_weights(weight: Array, classes: int, dtype: np.dtype[Any]) -> ndarray:
    if weight is None:
        return np.ones(classes, dtype)
    if isinstance(weight, Value):
        if weight.node is not None:
            raise TypeError("cross_entropy: weight is a constant, got a Tensor that requires grad")
        weight = weight._array
    array = numeric(weight, "cross_entropy: weight").astype(dtype)
    if array.shape != (classes,):
        raise ValueError(f"cross_entropy: expected weight ({classes},), got {array.shape}")
    return array


def _class_indices(target: Array, shape: tuple[int, ...], batch: tuple[int, ...]) -> ndarray:
    ids: ndarray = target._array if isinstance(target, Value) else target
    if ids.dtype.kind == "b":
        raise TypeError("cross_entropy: expected class indices (integers), got booleans")
    if ids.shape != batch:
        raise ValueError(
            f"cross_entropy: with logits {shape} go class indices {batch} or probabilities "
            f"{shape}, got {describe(ids)}"
        )
    return ids


# ── numbers ──────────────────────────────────────────────────────────────────────────────


@overload
def mse_loss(x: Value, y: Any, reduction: str = ...) -> Tensor: ...
@overload
def mse_loss(x: ArrayLike, y: Value, reduction: str = ...) -> Tensor: ...
@overload
def mse_loss(x: ArrayLike, y: ArrayLike, reduction: str = ...) -> ndarray: ...
def mse_loss(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The squared distance of a prediction from its target.

        l_i = (x_i - y_i)^2

    Args:
        x: floats of any shape, the prediction.
        y: numbers of x's shape, the target; cast to x's dtype. Gradients reach it too.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of nothing is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape (they do not broadcast: (N, 1) against (N,) would
            compare every prediction with every target), or an unknown reduction.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html

    >>> mse_loss([1.0, 2.0], [1.0, 4.0])
    array(2.)
    """
    _known(reduction, "mse_loss")
    x, y = _compared(x, y, "mse_loss")
    return _reduced(ops.square(ops.subtract(x, y)), reduction, x.shape, x.size)


@overload
def binary_cross_entropy_with_logits(x: Value, y: Any, reduction: str = ...) -> Tensor: ...
@overload
def binary_cross_entropy_with_logits(x: ArrayLike, y: Value, reduction: str = ...) -> Tensor: ...
@overload
def binary_cross_entropy_with_logits(
    x: ArrayLike, y: ArrayLike, reduction: str = ...
) -> ndarray: ...
def binary_cross_entropy_with_logits(x: Array, y: Array, reduction: str = "mean") -> Array:
    """How many nats it costs to code yes or no with the predicted probability p = sigmoid(x).

        l_i = -y_i log p_i - (1 - y_i) log(1 - p_i)
            = y_i softplus(-x_i) + (1 - y_i) softplus(x_i)

    The second line is what is computed: no term of it cancels another, so that the loss and its
    gradient, p - y, are accurate at logits of any size.

    Args:
        x: logits, floats of any shape.
        y: of x's shape, 0 or 1 or a probability between them; cast to x's dtype. Gradients reach
            it too.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of nothing is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape, a target is not from 0 to 1, or an unknown reduction.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html

    >>> import numpy as np
    >>> loss = binary_cross_entropy_with_logits([0.0, 1000.0], [1, 1], reduction="none")
    >>> bool(np.allclose(loss, [np.log(2), 0]))
    True
    """
    where = "binary_cross_entropy_with_logits"
    _known(reduction, where)
    x, y = _compared(x, y, where)
    if isinstance(y, Value) and not isinstance(y._array, ndarray):
        y = apply(_probabilities, (y,), {})
    else:
        try:
            _checked_probabilities(y._array if isinstance(y, Value) else y)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    yes = ops.multiply(y, ops.softplus(ops.negative(x)))
    no = ops.multiply(ops.subtract(1, y), ops.softplus(x))
    return _reduced(ops.add(yes, no), reduction, x.shape, x.size)


def _compared(x: Array, y: Array, where: str) -> tuple[Array, Array]:
    """A prediction and its target, of one shape and dtype."""
    x, y = (
        a if isinstance(a, Value) else numeric(a, f"{where}: {name}")
        for name, a in (("x", x), ("y", y))
    )
    if x.dtype.kind != "f":
        raise TypeError(f"{where}: expected x of floats, got {describe(x)}")
    if x.shape != y.shape:
        raise ValueError(
            f"{where}: expected x and y of one shape, got {describe(x)} and {describe(y)}"
        )
    return x, (y if y.dtype == x.dtype else ops.astype(y, x.dtype))


# ── from one loss for each target to one number ──────────────────────────────────────────


def _known(reduction: str, where: str) -> None:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{where}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")


def _reduced(losses: Array, reduction: str, batch: tuple[int, ...], divisor: float) -> Array:
    if reduction == "none":
        return ops.reshape(losses, batch)
    total = ops.sum(losses)
    if reduction == "sum":
        return total
    return ops.multiply(total, 1 / divisor if divisor else math.nan)
