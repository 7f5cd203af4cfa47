"""The losses as modules that keep their settings, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from numpy import ndarray

from ...graph import Array
from ...tensor import Tensor
from ..module import Module
from .binary import binary_cross_entropy, binary_cross_entropy_with_logits
from .classes import cross_entropy, nll_loss
from .numbers import huber_loss, l1_loss, mse_loss
from .reduction import require_reduction

_T = TypeVar("_T", Tensor, ndarray)


class _Loss(Module):
    """A loss function with its settings. The function's docstring says what it computes."""

    function: ClassVar[Callable[..., Any]]

    def __init__(self, **settings: Any):
        require_reduction(settings["reduction"], type(self).__name__)
        self._settings = settings

    def forward(self, x: _T, y: Any) -> _T:
        loss: _T = type(self).function(x, y, **self._settings)
        return loss

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self._settings.items())


class CrossEntropyLoss(_Loss):
    """:func:`cross_entropy` as a module.

    Calling it: ``loss = criterion(x, y)`` with logits (N, C, ...) and class indices
    or probabilities.

    Raises:
        ValueError: the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html

    >>> bool(abs(CrossEntropyLoss()([[0.0, 0.0]], [1]) - 0.693147) < 1e-6)
    True
    """

    function: ClassVar[Callable[..., Any]] = cross_entropy

    def __init__(
        self,
        weight: Array = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )


class NLLLoss(_Loss):
    """:func:`nll_loss` as a module.

    Calling it: ``loss = criterion(x, y)`` with log probabilities (N, C, ...) and
    class indices.

    Raises:
        ValueError: the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html

    >>> NLLLoss()([[-1.0, -0.5]], [0])
    array(1.)
    """

    function: ClassVar[Callable[..., Any]] = nll_loss

    def __init__(self, weight: Array = None, ignore_index: int = -100, reduction: str = "mean"):
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction)


class BCELoss(_Loss):
    """:func:`binary_cross_entropy` as a module.

    Calling it: ``loss = criterion(x, y)`` with probabilities and targets of one shape.

    Raises:
        ValueError: the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html

    >>> BCELoss(reduction="sum")([0.5, 1.0], [1.0, 1.0]).round(4)
    np.float64(0.6931)
    """

    function: ClassVar[Callable[..., Any]] = binary_cross_entropy

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class BCEWithLogitsLoss(_Loss):
    """:func:`binary_cross_entropy_with_logits` as a module.

    Calling it: ``loss = criterion(x, y)`` with logits and targets of one shape.

    Raises:
        ValueError: the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html

    >>> BCEWithLogitsLoss()([0.0], [1.0]).round(4)
    np.float64(0.6931)
    """

    function: ClassVar[Callable[..., Any]] = binary_cross_entropy_with_logits

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class MSELoss(_Loss):
    """:func:`mse_loss` as a module.

    Calling it: ``loss = criterion(x, y)`` with numbers and targets of one shape.

    Raises:
        ValueError: the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html

    >>> MSELoss()([1.0, 2.0], [1.0, 4.0])
    array(2.)
    """

    function: ClassVar[Callable[..., Any]] = mse_loss

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class L1Loss(_Loss):
    """:func:`l1_loss` as a module.

    Calling it: ``loss = criterion(x, y)`` with numbers and targets of one shape.

    Raises:
        ValueError: the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html

    >>> L1Loss()([1.0, 2.0], [1.0, 4.0])
    array(1.)
    """

    function: ClassVar[Callable[..., Any]] = l1_loss

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)


class HuberLoss(_Loss):
    """:func:`huber_loss` as a module.

    Calling it: ``loss = criterion(x, y)`` with numbers and targets of one shape.

    Raises:
        ValueError: the reduction is unknown.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html

    >>> HuberLoss(delta=0.5)([3.0], [0.0])
    array(1.375)
    """

    function: ClassVar[Callable[..., Any]] = huber_loss

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction, delta=delta)
