"""How far numbers are from their targets."""

from __future__ import annotations

from ... import ops
from ...graph import Array
from .reduction import compared, known, reduced


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
    known(reduction, "mse_loss")
    x, y = compared(x, y, "mse_loss")
    return reduced(ops.square(ops.subtract(x, y)), reduction, x.shape, x.size)


def l1_loss(x: Array, y: Array, reduction: str = "mean") -> Array:
    """The distance of a prediction from its target.

        l_i = |x_i - y_i|                       (its derivative at 0 is 0)

    Args:
        x: floats of any shape, the prediction.
        y: numbers of x's shape, the target; cast to x's dtype. Gradients reach it too.
        reduction: "mean", "sum" or "none".

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of nothing is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape, or an unknown reduction.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html

    >>> l1_loss([1.0, 2.0], [1.0, 4.0])
    array(1.)
    """
    known(reduction, "l1_loss")
    x, y = compared(x, y, "l1_loss")
    return reduced(ops.abs(ops.subtract(x, y)), reduction, x.shape, x.size)


def huber_loss(x: Array, y: Array, reduction: str = "mean", delta: float = 1.0) -> Array:
    """Half the squared distance where it is small, and along a line where it is large.

        l_i = d^2 / 2                           for d = |x_i - y_i| <= delta
        l_i = delta (d - delta / 2)             above: an outlier pulls no harder

    Args:
        x: floats of any shape, the prediction.
        y: numbers of x's shape, the target; cast to x's dtype. Gradients reach it too.
        reduction: "mean", "sum" or "none".
        delta: where the line begins.

    Returns:
        A scalar, or of x's shape for ``reduction="none"``. The mean of nothing is NaN.

    Raises:
        TypeError: x is not floats.
        ValueError: x and y differ in shape, an unknown reduction, or a delta that is not above 0.

    Source: Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics
    35 (1964); https://docs.pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html

    >>> huber_loss([0.5, 3.0], [0.0, 0.0], reduction="none")
    array([0.125, 2.5  ])
    """
    known(reduction, "huber_loss")
    if not delta > 0:
        raise ValueError(f"huber_loss: expected delta above 0, got {delta}")
    x, y = compared(x, y, "huber_loss")
    d = ops.abs(ops.subtract(x, y))
    near = ops.multiply(ops.square(d), 0.5)
    far = ops.multiply(ops.subtract(d, 0.5 * delta), delta)
    return reduced(ops.where(ops.less_equal(d, delta), near, far), reduction, x.shape, x.size)
