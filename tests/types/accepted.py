"""What type checkers find out about a program, line by line: the type stands behind it."""

from typing import Any, reveal_type

import numpy as np

import tinygrad_rnn as tg

x = tg.Tensor([1.0, 2.0], requires_grad=True)
a = np.ones(3)

# Tensor in, Tensor out; arrays, numbers and lists in, ndarray out.
reveal_type(tg.tanh(x))  # Tensor
reveal_type(tg.tanh(a))  # ndarray
reveal_type(tg.tanh(1.0))  # ndarray
reveal_type(tg.tanh([1.0, 2.0]))  # ndarray
reveal_type(tg.add(a, x))  # Tensor
reveal_type(tg.add(x, a))  # Tensor
reveal_type(tg.add(a, 2))  # ndarray
reveal_type(tg.sum(x, axis=0, keepdims=True))  # Tensor
reveal_type(tg.std(x, ddof=1))  # Tensor
reveal_type(tg.where(a > 0, x, 0.0))  # Tensor
reveal_type(tg.where(a > 0, a, 0.0))  # ndarray
reveal_type(tg.linear(a, x, x))  # Tensor
reveal_type(tg.linear(a, a, b=x))  # Tensor
reveal_type(tg.linear(a, a))  # ndarray
reveal_type(tg.stack([x, x]))  # Tensor
reveal_type(tg.stack([a, a]))  # ndarray
reveal_type(tg.concatenate((x, x), axis=-1))  # Tensor
reveal_type(tg.split(x, 2))  # list[Tensor]
reveal_type(tg.einsum("i,i->", x, a))  # Tensor
reveal_type(tg.divmod(x, 2.0))  # tuple[Tensor, Tensor]
reveal_type(tg.argmax(x))  # Any
reveal_type(tg.linalg.solve(a, x))  # Tensor
reveal_type(tg.linalg.eigh(x).eigenvalues)  # Tensor
reveal_type(tg.linalg.svd(x)[0])  # Tensor
reveal_type(tg.linalg.svd(x, compute_uv=False))  # Tensor
reveal_type(tg.linalg.qr(a, "r"))  # ndarray

# operators
reveal_type(x + x)  # Tensor
reveal_type(x + 1)  # Tensor
reveal_type(1 - x)  # Tensor
reveal_type(x @ a)  # Tensor
reveal_type(-x)  # Tensor
reveal_type(abs(x))  # Tensor
reveal_type(x**2)  # Tensor
reveal_type(x // 2)  # Tensor
reveal_type(2 % x)  # Tensor
reveal_type(x > 0)  # Tensor
reveal_type(x == x)  # Tensor
reveal_type(x[0])  # Tensor
reveal_type(x.T)  # Tensor
for element in x:
    reveal_type(element)  # Tensor

# methods and attributes
reveal_type(x.sum())  # Tensor
reveal_type(x.sum(0, keepdims=True))  # Tensor
reveal_type(x.reshape(2, 1))  # Tensor
reveal_type(x.tanh().mean(axis=-1))  # Tensor
reveal_type(x.var(ddof=1))  # Tensor
reveal_type(x.sort())  # Tensor
reveal_type(x.grad)  # ndarray | None
reveal_type(x.data)  # ndarray
reveal_type(x.shape)  # tuple[int, ...]

# networks
net = tg.nn.Sequential(tg.nn.Linear(3, 8), tg.relu, tg.nn.Linear(8, 2))
reveal_type(net(a))  # Tensor
reveal_type(net(x)[0].sum())  # Tensor
reveal_type(tg.nn.LSTM(3, 4)(x)[0])  # Tensor
reveal_type(tg.nn.LSTM(3, 4)(x)[1][1])  # Tensor
reveal_type(tg.nn.GRU(3, 4)(x)[1])  # Tensor
reveal_type(tg.nn.LSTMCell(3, 4)(x))  # tuple[Tensor, Tensor]
reveal_type(tg.nn.Dropout(0.1)(x))  # Tensor
reveal_type(tg.nn.GELU()(x))  # Tensor
reveal_type(tg.nn.LayerNorm(3)(x))  # Tensor
reveal_type(tg.nn.cross_entropy(net(x), [0]))  # Tensor
reveal_type(tg.nn.mse_loss(a, x))  # Tensor
reveal_type(tg.nn.huber_loss(a, a, delta=2.0))  # ndarray
reveal_type(tg.nn.CrossEntropyLoss()(net(x), [0]))  # Tensor


class Scale(tg.nn.Module):
    def __init__(self) -> None:
        self.factor = tg.nn.Parameter(np.ones(3))

    def forward(self, x: tg.Tensor, twice: bool = False) -> tg.Tensor:
        return x * self.factor * (2 if twice else 1)


reveal_type(Scale()(x))  # Tensor
reveal_type(Scale()(x, twice=True))  # Tensor

# derivatives
reveal_type(tg.grad(x.sum(), x))  # Tensor
reveal_type(tg.grad(x.sum(), [x]))  # tuple[Tensor, ...]
reveal_type(tg.value_and_grad(lambda w: tg.sum(w * w))(a))  # tuple[Tensor, Tensor]
reveal_type(tg.grad(lambda w: tg.sum(w * w))(a))  # Tensor
reveal_type(tg.grad(lambda p: tg.sum(p["w"]))({"w": a}))  # dict[str, Any]
with_value = tg.value_and_grad(lambda p, n: tg.sum(p["w"] * n))
reveal_type(with_value({"w": a}, 2))  # tuple[Tensor, dict[str, Any]]
reveal_type(tg.jacobian(tg.tanh, x))  # Tensor
reveal_type(tg.checkpoint(Scale().forward, x))  # Tensor
sinh = tg.primitive(np.sinh, lambda g, y, x: g * tg.sqrt(1 + y * y))
reveal_type(sinh(x))  # Tensor
reveal_type(sinh(a))  # ndarray


# loops over time
def cell(h: tg.Tensor, x_t: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
    h = tg.tanh(h + x_t)
    return h, h


Pair = tuple[tg.Tensor, tg.Tensor]


def two(carry: Pair, x_t: Any) -> tuple[Pair, Pair]:
    return carry, carry


reveal_type(tg.scan(cell, x, a))  # tuple[Tensor, Tensor]
reveal_type(tg.scan(cell, a, a)[0])  # Tensor
reveal_type(tg.scan(two, (x, x), a)[0][1])  # Tensor
reveal_type(tg.scan(two, (a, a), a)[1][1])  # Tensor
for t, x_t in tg.steps(x):
    reveal_type(t)  # int
    reveal_type(x_t)  # Tensor

# what is imported when it is first asked for
reveal_type(tg.gradient_flow(x))  # GradientFlow
reveal_type(tg.save("w.npz", {"x": x.numpy()}))  # None


@tg.no_grad()
def predict(w: tg.Tensor) -> tg.Tensor:
    return w * 2


reveal_type(predict(x))  # Tensor
