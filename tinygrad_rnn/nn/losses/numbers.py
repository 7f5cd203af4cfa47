"""Losses for predicted numbers."""

from __future__ import annotations

from ... import ops
from ...graph import Array
from .reduction import checked_pair, reduce_losses, require_reduction


def mse_loss(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The squared distance of a prediction from its target.

        l_i = (x_i - y_i)^2

    Args:
        x: the prediction, floats of any shape.
        y: the target, of x's shape; cast to x's dtype. It gets a gradient too.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of an empty array is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape (they do not broadcast: (N, 1) against (N,) would
            compare every prediction with every target), or the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html

    >>> mse_loss([1.0, 2.0], [1.0, 4.0])
    array(2.)
    """
    require_reduction(reduction, "mse_loss")
    x, y = checked_pair(x, y, "mse_loss")
    return reduce_losses(ops.square(ops.subtract(x, y)), reduction, x.shape, x.size)


def l1_loss(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The distance of a prediction from its target.

        l_i = |x_i - y_i|                       (its derivative at 0 is 0)

    Args:
        x: the prediction, floats of any shape.
        y: the target, of x's shape; cast to x's dtype. It gets a gradient too.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of an empty array is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape, or the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html

    >>> l1_loss([1.0, 2.0], [1.0, 4.0])
    array(1.)
    """
    require_reduction(reduction, "l1_loss")
    x, y = checked_pair(x, y, "l1_loss")
    return reduce_losses(ops.abs(ops.subtract(x, y)), reduction, x.shape, x.size)


def huber_loss(x: Array, y: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """Half the squared distance if it is small; a straight line if it is large.

        l_i = d^2 / 2                           for d = |x_i - y_i| <= delta
        l_i = delta (d - delta / 2)             for larger d, so the gradient is at most delta

    Args:
        x: the prediction, floats of any shape.
        y: the target, of x's shape; cast to x's dtype. It gets a gradient too.
        reduction: "mean", "sum" or "none".
        delta: the distance at which the line starts.

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of an empty array is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape, the reduction is unknown, or delta is not above 0.

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics
    35 (1964); https://docs.pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html

    >>> huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    """
    require_reduction(reduction, "huber_loss")
    if not delta > 0:
        raise ValueError(f"huber_loss: expected delta above 0, got {delta}")
    x, y = checked_pair(x, y, "huber_loss")
    d = ops.abs(ops.subtract(x, y))
    near = ops.multiply(ops.square(d), 0.5)
    far = ops.multiply(ops.subtract(d, 0.5 * delta), delta)
    return reduce_losses(ops.where(ops.less_equal(d, delta), near, far), reduction, x.shape, x.size)
