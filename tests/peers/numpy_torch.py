"""PyTorch under the names that the fuzzer's cells use: NumPy's, and this library's.

:data:`torch_as_tg` stands where ``tg`` stands in the text of a cell. Its arrays are
:class:`Array`: torch tensors that are indexed, and combined with ndarrays, as NumPy's are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    """A torch tensor with NumPy's manners."""

    def __init__(self, tensor: Any):
        self.tensor = tensor

    # ── what it is ───────────────────────────────────────────────────────────────────────

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def ndim(self) -> int:
        return int(self.tensor.ndim)

    @property
    def size(self) -> int:
        return int(self.tensor.numel())

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self.tensor.dtype).removeprefix("torch."))

    @property
    def T(self) -> Array:
        return transpose(self)

    def __len__(self) -> int:
        return self.shape[0]

    # ── what is done with it ─────────────────────────────────────────────────────────────

    def __array_ufunc__(self, ufunc: Any, method: str, *xs: Any, **keywords: Any) -> Any:
        return getattr(torch_as_tg, ufunc.__name__)(*xs)

    def __array_function__(self, func: Any, types: Any, args: Any, keywords: Any) -> Any:
        return getattr(torch_as_tg, func.__name__)(*args, **keywords)

    def __getitem__(self, index: Any) -> Array:
        parts = list(index) if isinstance(index, tuple) else [index]
        x = self.tensor
        used = sum(_axes_of(part) for part in parts)
        if Ellipsis not in [part for part in parts if part is Ellipsis]:
            parts.append(Ellipsis)
        at = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (x.ndim - used)
        axis = 0
        for i, part in enumerate(parts):
            if isinstance(part, slice) and part.step is not None and part.step < 0:
                # torch steps forwards only.
                x = torch.flip(x, (axis,))
                n = x.shape[axis]
                start, stop, step = part.indices(n)
                parts[i] = slice(n - 1 - start, n - 1 - stop, -step)
            axis += _axes_of(part)
        return Array(x[tuple(map(_as_index, parts))])

    def reshape(self, *shape: Any) -> Array:
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        return Array(self.tensor.reshape(shape))

    def detach(self) -> Array:
        return Array(self.tensor.detach())

    def astype(self, dtype: Any) -> Array:
        return Array(self.tensor.to(getattr(torch, np.dtype(dtype).name)))


def _axes_of(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    return np.ndim(part) if isinstance(part, np.ndarray) and part.dtype == bool else 1


def _as_index(part: Any) -> Any:
    if isinstance(part, Array):
        return part.tensor
    return torch.tensor(np.array(part)) if isinstance(part, (list, np.ndarray)) else part


def raw(x: Any) -> Any:
    """A torch tensor of anything; Python numbers as they are."""
    if isinstance(x, Array):
        return x.tensor
    if isinstance(x, (np.ndarray, list, np.generic)):
        return torch.tensor(np.array(x))
    return x


def tensor(x: Any) -> Any:
    x = raw(x)
    return x if isinstance(x, torch.Tensor) else torch.tensor(x, dtype=torch.float64)


def of_torch(f: Callable[..., Any]) -> Callable[..., Array]:
    @functools.wraps(f)
    def call(*args: Any, **keywords: Any) -> Array:
        return Array(f(tensor(args[0]), *map(raw, args[1:]), **keywords))

    return call


def elementwise(f: Callable[..., Any]) -> Callable[..., Array]:
    """Of tensors only, of the dtype that NumPy would give them."""

    def call(*args: Any) -> Array:
        xs = list(map(raw, args))
        dtype = torch.result_type(*xs)
        return Array(f(*[torch.as_tensor(x).to(dtype) for x in xs]))

    return call


def comparison(f: Callable[..., Any]) -> Callable[..., Array]:
    return lambda x, y: Array(f(tensor(x), tensor(y)))


# ── one by one ───────────────────────────────────────────────────────────────────────────


def axes_of(x: Any, axis: Any) -> tuple[int, ...]:
    every = range(x.ndim) if axis is None else np.ravel(axis).tolist()
    return tuple(a % x.ndim for a in every) if x.ndim else ()


def reduction(f: Callable[..., Any]) -> Callable[..., Array]:
    def call(x: Any, axis: Any = None, keepdims: bool = False) -> Array:
        x = raw(x)
        axes = axes_of(x, axis)
        return Array(f(x, axes, keepdims) if axes else f(x.reshape(1), (0,), False))

    return call


def extreme(largest: bool) -> Callable[..., Array]:
    """max and min, whose gradient goes to the first of several equal elements."""

    def f(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        rest = [a for a in range(x.ndim) if a not in axes]
        rows = x.permute(*rest, *axes).reshape(*[x.shape[a] for a in rest], -1)
        array = rows.detach().numpy()
        at = torch.tensor(array.argmax(-1) if largest else array.argmin(-1))
        y = torch.take_along_dim(rows, at[..., None], -1)[..., 0]
        shape = [1 if a in axes else n for a, n in enumerate(x.shape)]
        return y.reshape(shape) if keepdims else y

    return reduction(f)


def transpose(x: Any, axes: Any = None) -> Array:
    x = raw(x)
    order = range(x.ndim - 1, -1, -1) if axes is None else axes
    return Array(x.permute(tuple(order)))


def softmax_of(f: Callable[..., Any]) -> Callable[..., Array]:
    def call(x: Any, axis: Any = -1) -> Array:
        x = raw(x)
        if axis is None:
            return Array(f(x.reshape(-1), 0).reshape(x.shape))
        return Array(f(x, axis))

    return call


def pad(x: Any, width: Any, constant_values: float = 0.0) -> Array:
    x = raw(x)
    widths = np.broadcast_to(width, (x.ndim, 2))[::-1].ravel().tolist()
    return Array(torch.nn.functional.pad(x, widths, value=constant_values))


def split(x: Any, count: int, axis: int) -> list[Array]:
    x = raw(x)
    if x.shape[axis] % count:
        raise ValueError("not equal parts")
    return list(map(Array, torch.split(x, x.shape[axis] // count, axis)))


def take(x: Any, ids: Any, axis: int | None = None) -> Array:
    x, ids = raw(x), torch.as_tensor(raw(ids))
    if axis is None:
        return Array(x.reshape(-1)[ids])
    axis %= x.ndim
    return Array(x[(slice(None),) * axis + (ids,)])


def sum_to(x: Any, shape: tuple[int, ...]) -> Array:
    return Array(raw(x).sum_to_size(shape))


def layer_norm(x: Any, shape: Any, eps: float = 1e-5) -> Array:
    return Array(torch.nn.functional.layer_norm(raw(x), np.ravel(shape).tolist(), eps=eps))


def max_pool2d(x: Any, size: Any, stride: Any = None, padding: int = 0) -> Array:
    return Array(torch.nn.functional.max_pool2d(raw(x), size, stride, padding))


def conv2d(x: Any, W: Any, padding: int = 0, stride: int = 1) -> Array:
    return Array(torch.nn.functional.conv2d(raw(x), raw(W), padding=padding, stride=stride))


def dropout(x: Any, p: float, training: bool = True, rng: int = 0) -> Array:
    x = raw(x)
    kept = np.random.default_rng(rng).random(tuple(x.shape)) >= p
    return Array(x * torch.tensor(kept / (1 - p)) if training else x)


def place(x: Any, index: Any, shape: tuple[int, ...]) -> Array:
    x = raw(x)
    return Array(x.new_zeros(shape).index_add(0, torch.tensor(index), x))


def windows(x: Any, kernel: tuple[int, int]) -> Array:
    return Array(raw(x).unfold(-2, kernel[0], 1).unfold(-2, kernel[1], 1))


def cross_entropy(logits: Any, target: Any, reduction: str) -> Array:
    target = torch.as_tensor(raw(target))
    return Array(torch.nn.functional.cross_entropy(raw(logits), target, reduction=reduction))


def bce(x: Any, y: Any, reduction: str) -> Array:
    x, y = raw(x), raw(y)
    if x.shape != y.shape:
        raise ValueError("shapes")
    return Array(-y * torch.nn.functional.logsigmoid(x) - (1 - y) * -softplus(x))


def softplus(x: Any) -> Any:
    return torch.logaddexp(x, torch.zeros_like(x))


def mse(x: Any, y: Any, reduction: str = "mean") -> Array:
    if raw(x).shape != raw(y).shape:
        raise ValueError("shapes")
    return Array(torch.nn.functional.mse_loss(raw(x), raw(y), reduction=reduction))


# ── derivatives and loops ────────────────────────────────────────────────────────────────


def variable(x: Any) -> Any:
    x = raw(x)
    return x.clone() if x.requires_grad else x.detach().clone().requires_grad_()


def derivative(y: Any, x: Any, u: Any = None) -> Any:
    if not y.requires_grad:
        return torch.zeros_like(x)
    found = torch.autograd.grad(y, x, u, create_graph=True, allow_unused=True)[0]
    return torch.zeros_like(x) if found is None else found


def value_and_grad(f: Any) -> Any:
    def call(x: Any) -> tuple[Array, Array]:
        z = variable(x)
        y = f(Array(z)).tensor
        return Array(y), Array(derivative(y, z))

    return call


def jvp(f: Any, x: Any, v: Any) -> Array:
    z = variable(x)
    y = f(Array(z)).tensor
    u = torch.zeros_like(y, requires_grad=True)
    pulled = derivative(y, z, u)
    return Array(derivative(pulled, u, torch.broadcast_to(raw(v), pulled.shape)))


def hvp(f: Any, x: Any, v: Any) -> Array:
    z = variable(x)
    return Array(derivative(derivative(f(Array(z)).tensor, z), z, raw(v)))


def jacobian(f: Any, x: Any) -> Array:
    z = variable(x)
    y = f(Array(z)).tensor
    rows = [derivative(y_i, z) for y_i in y.reshape(-1)]
    return Array(torch.stack(rows).reshape(*y.shape, *z.shape))


def grad(y: Any, x: Any, create_graph: bool = False) -> Array:
    if not raw(x).requires_grad:
        raise ValueError("no place in the graph")
    found = Array(derivative(raw(y), raw(x)))
    return found if create_graph else found.detach()


def scan(cell: Any, carry: Any, xs: Any, reverse: bool = False) -> tuple[Any, Any]:
    """A loop, of carries and inputs in tuples."""
    first = xs
    while isinstance(first, tuple):
        first = first[0]
    T = len(first)
    ys = []
    for t in reversed(range(T)) if reverse else range(T):
        carry, y = cell(carry, mapped(lambda x, t=t: x[t], xs))
        carry = mapped(lambda h: Array(tensor(h)), carry)
        ys.append(y)
    return carry, mapped(lambda *y: stack(y), *(ys[::-1] if reverse else ys))


def mapped(f: Any, *trees: Any) -> Any:
    if isinstance(trees[0], tuple):
        return tuple(mapped(f, *parts) for parts in zip(*trees, strict=True))
    return None if trees[0] is None else f(*trees)


def stack(xs: Any, axis: int = 0) -> Array:
    return Array(torch.stack([tensor(x) for x in xs], axis))


SAME_NAMES = "tanh sin cos square exp log log1p sqrt sigmoid relu sign abs"
SAME_NAMES = "tanh sin cos square exp log log1p sqrt sigmoid relu sign abs"
torch_as_tg = SimpleNamespace(
    **{name: of_torch(getattr(torch, name)) for name in SAME_NAMES.split()},
    add=elementwise(torch.add),
    subtract=elementwise(torch.sub),
    multiply=elementwise(torch.mul),
    divide=elementwise(torch.div),
    true_divide=elementwise(torch.div),
    power=of_torch(lambda x, y: x**y),
    negative=of_torch(torch.neg),
    absolute=of_torch(torch.abs),
    positive=of_torch(lambda x: x),
    matmul=of_torch(torch.matmul),
    maximum=elementwise(torch.maximum),
    minimum=elementwise(torch.minimum),
    where=lambda c, x, y: elementwise(lambda x, y: torch.where(raw(c), x, y))(x, y),
    clip=of_torch(torch.clamp),
    softplus=of_torch(softplus),
    less=comparison(torch.lt),
    less_equal=comparison(torch.le),
    greater=comparison(torch.gt),
    greater_equal=comparison(torch.ge),
    equal=comparison(torch.eq),
    not_equal=comparison(torch.ne),
    bitwise_and=of_torch(torch.bitwise_and),
    bitwise_or=of_torch(torch.bitwise_or),
    bitwise_xor=of_torch(torch.bitwise_xor),
    invert=of_torch(torch.bitwise_not),
    isfinite=of_torch(torch.isfinite),
    logical_or=of_torch(torch.logical_or),
    sum=reduction(torch.sum),
    mean=reduction(torch.mean),
    logsumexp=reduction(torch.logsumexp),
    max=extreme(largest=True),
    min=extreme(largest=False),
    cumsum=lambda x, axis=None: Array(
        torch.cumsum(raw(x).reshape(-1), 0) if axis is None else torch.cumsum(raw(x), axis)
    ),
    softmax=softmax_of(torch.softmax),
    log_softmax=softmax_of(torch.log_softmax),
    linear=of_torch(torch.nn.functional.linear),
    einsum=lambda subscripts, *xs: Array(torch.einsum(subscripts, *map(raw, xs))),
    transpose=transpose,
    swapaxes=of_torch(torch.swapaxes),
    moveaxis=of_torch(torch.moveaxis),
    expand_dims=of_torch(torch.unsqueeze),
    squeeze=of_torch(torch.squeeze),
    flip=lambda x, axis=None: Array(torch.flip(raw(x), axes_of(raw(x), axis))),
    broadcast_to=lambda x, shape: Array(torch.broadcast_to(raw(x), shape)),
    concatenate=lambda xs, axis=0: Array(torch.cat(list(map(tensor, xs)), axis)),
    stack=stack,
    split=split,
    pad=pad,
    take=take,
    embedding=lambda ids, W: Array(torch.nn.functional.embedding(raw(ids), raw(W))),
    sum_to=sum_to,
    layer_norm=layer_norm,
    max_pool2d=max_pool2d,
    conv2d=conv2d,
    dropout=dropout,
    place=place,
    windows=windows,
    value_and_grad=value_and_grad,
    jvp=jvp,
    hvp=hvp,
    jacobian=jacobian,
    hessian=lambda f, x: jacobian(lambda z: value_and_grad(f)(z)[1], x),
    no_grad=lambda: lambda f: lambda x: f(x).detach(),
    grad=grad,
    scan=scan,
    checkpoint=lambda f, *xs: f(*xs),
    nn=SimpleNamespace(
        mse_loss=mse,
        cross_entropy=cross_entropy,
        binary_cross_entropy_with_logits=bce,
        binary_cross_entropy=of_torch(torch.nn.functional.binary_cross_entropy),
        GELU=lambda: of_torch(torch.nn.functional.gelu),
    ),
)
