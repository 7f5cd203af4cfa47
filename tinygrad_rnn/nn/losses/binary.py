"""Losses for predicted probabilities of yes or no."""

from __future__ import annotations

from numpy import ndarray

from ... import ops
from ...graph import Array, Primitive, Value, apply
from ...ops.special import _binary_cross_entropy
from .reduction import checked_pair, reduce_losses, require_reduction


def binary_cross_entropy_with_logits(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The cross-entropy between a target and the predicted probability p = sigmoid(x), in nats.

        l_i = -y_i log p_i - (1 - y_i) log(1 - p_i)
            = y_i softplus(-x_i) + (1 - y_i) softplus(x_i)

    The second line is computed. Its terms never cancel each other, so the loss and its gradient,
    p - y, are accurate for finite logits of any size. At an infinite logit the loss is Inf, or NaN
    if the target is what the logit predicts.

    Args:
        x: logits, floats of any shape.
        y: the targets, of x's shape: 0, 1 or a probability; cast to x's dtype. They get gradients
            too.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of an empty array is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape, a target is not from 0 to 1, or the reduction is
            unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html

    >>> import numpy as np
    >>> loss = binary_cross_entropy_with_logits([0.0, 1000.0], [1, 1], reduction="none")
    >>> bool(np.allclose(loss, [np.log(2), 0]))
    True
    """
    where = "binary_cross_entropy_with_logits"
    require_reduction(reduction, where)
    x, y = checked_pair(x, y, where)
    y = _from_0_to_1(where, "targets", y)
    yes = ops.multiply(y, ops.softplus(ops.negative(x)))
    no = ops.multiply(ops.subtract(1, y), ops.softplus(x))
    return reduce_losses(ops.add(yes, no), reduction, x.shape, x.size)


def binary_cross_entropy(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The cross-entropy between a target and a predicted probability of yes, in nats.

        l_i = -y_i log x_i - (1 - y_i) log(1 - x_i)

    Logarithms are limited to at least -100, so a wrong prediction of 0 or 1 costs 100 nats. The
    derivative is (x - y) / max(x (1 - x), 1e-12). For logits,
    :func:`binary_cross_entropy_with_logits` is more accurate.

    Args:
        x: probabilities, floats of any shape.
        y: the targets, of x's shape: 0, 1 or a probability; cast to x's dtype. They get gradients
            too.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of an empty array is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape, a number is not from 0 to 1, or the reduction is
            unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html

    >>> binary_cross_entropy([0.5, 0.0], [1, 1], reduction="none").round(3)
    array([  0.693, 100.   ])
    """
    where = "binary_cross_entropy"
    require_reduction(reduction, where)
    x, y = checked_pair(x, y, where)
    x = _from_0_to_1(where, "probabilities", x)
    y = _from_0_to_1(where, "targets", y)
    return reduce_losses(_binary_cross_entropy(x, y), reduction, x.shape, x.size)


def _from_0_to_1(where: str, name: str, x: Array) -> Array:
    """Check the numbers of x, and return x. In a traced step the check runs with the step."""
    if isinstance(x, Value) and not isinstance(x._array, ndarray):
        return apply(_bounded, (x,), {"name": name})
    try:
        _checked(x._array if isinstance(x, Value) else x, name=name)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return x


def _checked(x: ndarray, *, name: str) -> ndarray:
    outside = x[~((x >= 0) & (x <= 1))]
    if outside.size:
        raise ValueError(f"expected {name} from 0 to 1, got {outside[0]}")
    return x


_bounded = Primitive(
    "binary_cross_entropy",
    _checked,
    (lambda g, y, x, name: g,),
    elementwise=True,
    right=lambda x, name: ops.logical_and(ops.greater_equal(x, 0), ops.less_equal(x, 1)),
)
