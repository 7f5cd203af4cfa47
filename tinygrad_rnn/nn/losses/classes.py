"""Losses for predicted classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from ... import ops
from ...graph import Array, Primitive, Value, apply, attach, describe, numeric
from .reduction import reduce_losses, require_reduction


def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """The cross-entropy between the target and the predicted distribution, in nats.

        l_n = -w_{y_n} log softmax(x_n)_{y_n}               for class indices y_n
        l_n = -sum_c w_c p_{nc} log softmax(x_n)_c          for class probabilities p_n

    ``"mean"`` divides the sum by ``sum_n w_{y_n}`` over the targets that are not ignored; for
    probabilities, by their number. If all targets are ignored, this is 0 / 0 = NaN. Smoothing
    replaces the target distribution p by ``(1 - s) p + s / C``.

    Each l_n is accurate for finite logits of any size. It is Inf only if one of its terms, or their
    sum, exceeds the largest number of the dtype. A mean is Inf if the sum of the l_n is.

    A class with logit -Inf has probability 0: the loss is Inf if it is the target (NaN with weight
    0), and a term with p = 0 is 0. If all logits are -Inf, or one is Inf, the loss is NaN.

    Args:
        logits: x, (N, C), (C,) or (N, C, d_1, ...); not normalised.
        target: class indices from 0 to C - 1, of shape (N,), () or (N, d_1, ...); or
            probabilities as floats, in the shape of the logits.
        weight: (C,) constants, a weight for each class; None means 1 for all.
        ignore_index: targets with this index are ignored. The logits there, even NaN, reach no
            value and get no gradient.
        reduction: "mean", "sum" or "none".
        label_smoothing: s, from 0 to 1.

    Returns:
        A scalar; for ``reduction="none"``, one loss for each target, (N,), () or (N, d_1, ...).

    Raises:
        IndexError: a class index is below 0 or not below C.
        TypeError: the targets are neither class indices nor probabilities, the logits are not
            floats, or the weight requires grad.
        ValueError: the shapes do not fit, the reduction is unknown, or label_smoothing is not from
            0 to 1.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html;
    smoothing: Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567, sec. 7.

    >>> import numpy as np
    >>> loss = cross_entropy(np.array([[0.0, 0.0], [1000.0, 0.0]]), [1, 0], reduction="none")
    >>> bool(np.allclose(loss, [np.log(2), 0]))
    True
    """
    require_reduction(reduction, "cross_entropy")
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
    batch = _batch_of(shape)
    weights = _class_weights("cross_entropy", weight, classes, logits.dtype)
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
        # 0 log 0 = 0: without this, 0 * -Inf would be NaN.
        impossible = ops.logical_and(ops.equal(probabilities, 0), ops.isinf(log_p))
        losses = -ops.sum(probabilities * ops.where(impossible, 0, log_p) * weights, -1)
        return reduce_losses(losses, reduction, batch, losses.size)

    return _indexed(
        "cross_entropy",
        logits,
        _class_indices("cross_entropy", target, shape, batch),
        weights,
        ignore_index,
        reduction,
        batch,
        ops.log_softmax,
        smoothing,
    )


def nll_loss(
    log_p: Array,
    target: Array,
    weight: Array = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Array:
    """The negative log of the predicted probability of each target, in nats.

        l_n = -w_{y_n} log p_{n y_n}

    ``"mean"`` divides the sum by ``sum_n w_{y_n}`` over the targets that are not ignored. If all
    are ignored, this is 0 / 0 = NaN. ``nll_loss(log_softmax(x), y)`` equals
    ``cross_entropy(x, y)``.

    Args:
        log_p: logarithms of probabilities, (N, C), (C,) or (N, C, d_1, ...).
        target: class indices from 0 to C - 1, of shape (N,), () or (N, d_1, ...).
        weight: (C,) constants, a weight for each class; None means 1 for all.
        ignore_index: targets with this index are ignored.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of ``target``'s shape for ``reduction="none"``.

    Raises:
        IndexError: a class index is below 0 or not below C.
        TypeError: the targets are not integers, ``log_p`` is not floats, or the weight requires
            grad.
        ValueError: the shapes do not fit, or the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html

    >>> import numpy as np
    >>> nll_loss(np.log([[0.25, 0.75], [0.5, 0.5]]), [1, 0], reduction="none").round(4)
    array([0.2877, 0.6931])
    """
    where = "nll_loss"
    require_reduction(reduction, where)
    log_p, target = (
        x if isinstance(x, Value) else numeric(x, f"{where}: {name}")
        for name, x in (("log_p", log_p), ("target", target))
    )
    shape = log_p.shape
    if log_p.dtype.kind != "f" or not shape:
        raise TypeError(f"{where}: expected log_p (N, C) of floats, got {describe(log_p)}")
    if target.dtype.kind not in "iub":
        raise TypeError(f"{where}: expected class indices (integers), got {describe(target)}")
    batch = _batch_of(shape)
    weights = _class_weights(where, weight, shape[min(1, len(shape) - 1)], log_p.dtype)
    ids = _class_indices(where, target, shape, batch)
    return _indexed(where, log_p, ids, weights, ignore_index, reduction, batch)


def _indexed(
    where: str,
    x: Array,
    ids: Array,
    weights: ndarray,
    ignore_index: int,
    reduction: str,
    batch: tuple[int, ...],
    log_probabilities: Callable[[Array], Array] = lambda rows: rows,
    smoothing: float = 0.0,
) -> Array:
    """The loss of predictions x for class indices. Ignored rows are removed and never read."""
    rows, classes = _rows(x), len(weights)
    if not isinstance(ids, ndarray):
        return _traced_loss(
            rows, ids, weights, ignore_index, reduction, batch, log_probabilities, smoothing
        )
    kept = np.flatnonzero(ids != ignore_index)
    ignored = len(ids) - len(kept)
    if ignored:
        rows, ids = ops.getitem(rows, kept), ids[kept]
    if ids.size and (ids.min() < 0 or ids.max() >= classes):
        bad = ids.min() if ids.min() < 0 else ids.max()
        raise IndexError(
            f"{where}: expected class indices from 0 to {classes - 1}, or {ignore_index} "
            f"(ignored), got {bad}"
        )
    losses = _row_losses(log_probabilities(rows), ids, weights, smoothing)
    if ignored and reduction == "none":
        losses = ops.place(losses, kept, (len(kept) + ignored,))
    return reduce_losses(losses, reduction, batch, float(weights[ids].sum(dtype=np.float64)))


def _row_losses(log_p: Array, ids: Array, weights: ndarray, smoothing: float) -> Array:
    """The loss of each row of log probabilities, with label smoothing."""
    picked = ops.getitem(log_p, (np.arange(len(ids)), ids))
    losses = ops.negative(ops.multiply(picked, ops.getitem(weights, ids)))
    if not smoothing:
        return losses
    spread = -ops.sum(log_p * weights, -1)
    return losses * (1 - smoothing) + spread * (smoothing / len(weights))


def _traced_loss(
    rows: Array,
    ids: Array,
    weights: ndarray,
    ignore_index: int,
    reduction: str,
    batch: tuple[int, ...],
    log_probabilities: Callable[[Array], Array],
    smoothing: float,
) -> Array:
    """The loss in a step that is traced, where the class indices have no numbers yet.

    Which rows are ignored is not known, so they are masked instead of removed.
    """
    ids = apply(_check_indices_at_run, (ids,), {"n": len(weights), "ignored": ignore_index})
    kept = ops.not_equal(ids, ignore_index)
    ids = ops.where(kept, ids, 0)
    rows = ops.where(ops.expand_dims(kept, -1), rows, 0)
    losses = ops.where(kept, _row_losses(log_probabilities(rows), ids, weights, smoothing), 0)
    if reduction != "mean":
        return reduce_losses(losses, reduction, batch, 1.0)
    divisor = ops.sum(ops.where(kept, ops.getitem(weights, ids), 0))
    mean = ops.sum(losses) / ops.where(ops.equal(divisor, 0), 1, divisor)
    return ops.where(ops.equal(divisor, 0), math.nan, mean)


def _checked_indices(ids: ndarray, *, n: int, ignored: int) -> ndarray:
    wrong = ids[((ids < 0) | (ids >= n)) & (ids != ignored)]
    if wrong.size:
        raise IndexError(
            f"expected class indices from 0 to {n - 1}, or {ignored} (ignored), got {wrong.min()}"
        )
    return ids


# In a traced step the indices are checked when it runs, by this operation. It returns them.
_check_indices_at_run = Primitive(
    "cross_entropy",
    _checked_indices,
    None,
    right=lambda ids, n, ignored: ops.logical_or(
        ops.equal(ids, ignored), ops.logical_and(ops.greater_equal(ids, 0), ops.less(ids, n))
    ),
)


def _batch_of(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the predictions without the class axis."""
    return (*shape[:1], *shape[2:]) if len(shape) > 1 else ()


def _rows(x: Array) -> Array:
    """Move the classes to the last axis and merge the others: (N, C, d...) to (N d..., C)."""
    if x.ndim == 2:
        return x
    x = x if x.ndim == 1 else ops.moveaxis(x, 1, -1)
    return ops.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _class_weights(where: str, weight: Array, classes: int, dtype: np.dtype[Any]) -> ndarray:
    if weight is None:
        return np.ones(classes, dtype)
    if isinstance(weight, Value):
        if weight.node is not None:
            raise TypeError(f"{where}: weight is a constant, got a Tensor that requires grad")
        weight = weight._array
    array = numeric(weight, f"{where}: weight").astype(dtype)
    if array.shape != (classes,):
        raise ValueError(f"{where}: expected weight ({classes},), got {array.shape}")
    return array


def _class_indices(
    where: str, target: Array, shape: tuple[int, ...], batch: tuple[int, ...]
) -> Array:
    """The indices as an array (n,); in a step that is traced, as a Tensor."""
    ids = target._array if isinstance(target, Value) else target
    if ids.dtype.kind == "b":
        raise TypeError(f"{where}: expected class indices (integers), got booleans")
    if ids.shape != batch:
        last = (
            "; the classes are axis 1 here, as in PyTorch. If yours are the last axis, write "
            f"logits.reshape(-1, {shape[-1]}) and target.reshape(-1)"
        )
        raise ValueError(
            f"{where}: with logits {shape} go class indices {batch} or probabilities "
            f"{shape}, got {describe(ids)}" + (last if ids.shape == shape[:-1] else "")
        )
    return ids.reshape(-1) if isinstance(ids, ndarray) else ops.reshape(target, (-1,))
