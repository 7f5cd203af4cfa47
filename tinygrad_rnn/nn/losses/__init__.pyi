"""The operations as type checkers see them. Written by ``python -m tests.stubs``."""

from typing import Any, overload

from numpy import ndarray
from numpy.typing import ArrayLike

from ...graph import Value
from ...tensor import Tensor
from .modules import BCELoss as BCELoss
from .modules import BCEWithLogitsLoss as BCEWithLogitsLoss
from .modules import CrossEntropyLoss as CrossEntropyLoss
from .modules import HuberLoss as HuberLoss
from .modules import L1Loss as L1Loss
from .modules import MSELoss as MSELoss
from .modules import NLLLoss as NLLLoss

@overload
def binary_cross_entropy(x: Value, y: ArrayLike | Value, reduction: str = ...) -> Tensor: ...
@overload
def binary_cross_entropy(x: ArrayLike, y: Value, reduction: str = ...) -> Tensor: ...
@overload
def binary_cross_entropy(x: ArrayLike, y: ArrayLike, reduction: str = ...) -> ndarray: ...
@overload
def binary_cross_entropy_with_logits(
    x: Value, y: ArrayLike | Value, reduction: str = ...
) -> Tensor: ...
@overload
def binary_cross_entropy_with_logits(x: ArrayLike, y: Value, reduction: str = ...) -> Tensor: ...
@overload
def binary_cross_entropy_with_logits(
    x: ArrayLike, y: ArrayLike, reduction: str = ...
) -> ndarray: ...
@overload
def cross_entropy(
    logits: Value,
    target: ArrayLike | Value,
    weight: ArrayLike | Value | None = ...,
    ignore_index: int = ...,
    reduction: str = ...,
    label_smoothing: float = ...,
) -> Tensor: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    target: Value,
    weight: ArrayLike | Value | None = ...,
    ignore_index: int = ...,
    reduction: str = ...,
    label_smoothing: float = ...,
) -> Tensor: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    weight: Value,
    ignore_index: int = ...,
    reduction: str = ...,
    label_smoothing: float = ...,
) -> Tensor: ...
@overload
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = ...,
    ignore_index: int = ...,
    reduction: str = ...,
    label_smoothing: float = ...,
) -> ndarray: ...
@overload
def ctc_loss(
    log_probs: Value,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = ...,
    reduction: str = ...,
    zero_infinity: bool = ...,
) -> Tensor: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = ...,
    reduction: str = ...,
    zero_infinity: bool = ...,
) -> ndarray: ...
@overload
def huber_loss(
    x: Value, y: ArrayLike | Value, reduction: str = ..., delta: float = ...
) -> Tensor: ...
@overload
def huber_loss(x: ArrayLike, y: Value, reduction: str = ..., delta: float = ...) -> Tensor: ...
@overload
def huber_loss(x: ArrayLike, y: ArrayLike, reduction: str = ..., delta: float = ...) -> ndarray: ...
@overload
def l1_loss(x: Value, y: ArrayLike | Value, reduction: str = ...) -> Tensor: ...
@overload
def l1_loss(x: ArrayLike, y: Value, reduction: str = ...) -> Tensor: ...
@overload
def l1_loss(x: ArrayLike, y: ArrayLike, reduction: str = ...) -> ndarray: ...
@overload
def mse_loss(x: Value, y: ArrayLike | Value, reduction: str = ...) -> Tensor: ...
@overload
def mse_loss(x: ArrayLike, y: Value, reduction: str = ...) -> Tensor: ...
@overload
def mse_loss(x: ArrayLike, y: ArrayLike, reduction: str = ...) -> ndarray: ...
@overload
def nll_loss(
    log_p: Value,
    target: ArrayLike | Value,
    weight: ArrayLike | Value | None = ...,
    ignore_index: int = ...,
    reduction: str = ...,
) -> Tensor: ...
@overload
def nll_loss(
    log_p: ArrayLike,
    target: Value,
    weight: ArrayLike | Value | None = ...,
    ignore_index: int = ...,
    reduction: str = ...,
) -> Tensor: ...
@overload
def nll_loss(
    log_p: ArrayLike,
    target: ArrayLike,
    weight: Value,
    ignore_index: int = ...,
    reduction: str = ...,
) -> Tensor: ...
@overload
def nll_loss(
    log_p: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = ...,
    ignore_index: int = ...,
    reduction: str = ...,
) -> ndarray: ...

__all__: list[str] = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "ctc_loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "nll_loss",
]
