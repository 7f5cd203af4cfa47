"""Calls that type checkers reject: each marked line is an error, and no other."""

import numpy as np

import tinygrad_rnn as tg

x = tg.Tensor([1.0, 2.0])

tg.sum(x, axs=0)  # error
tg.sum(x, axis="rows")  # error
tg.tanh(x, 2)  # error
tg.tanh()  # error
tg.tanhh(x)  # error
x.sum(axs=0)  # error
x.tanhh()  # error
x.grd  # error
tg.nn.Linear(3, 4)(x, x)  # error
tg.nn.Linear("3", 4)  # error
tg.nn.Lstm(3, 4)  # error
tg.nn.LSTM(3, 4)(x, lenghts=[1])  # error
tg.nn.LSTM(3, 4)(x)[1].sum()  # error
tg.grad(x.sum(), 1.0)  # error
tg.grad(x, x).sumy()  # error
tg.grad(x.sum())  # error
tg.value_and_grad(lambda w: tg.sum(w))(x).sumy()  # error
tg.add(x, object())  # error
tg.optim.Adam([x], learning_rate=0.1)  # error
tg.clip(x, a_mim=0.0)  # error
tg.linalg.solve(x)  # error
tg.linalg.svd(x).singular  # error


def pair_step(
    carry: tuple[tg.Tensor, tg.Tensor], x_t: tg.Tensor
) -> tuple[tuple[tg.Tensor, tg.Tensor], tg.Tensor]:
    return carry, x_t


tg.scan(pair_step, x, np.ones(3))  # error
tg.scan(pair_step, (x, x), np.ones(3), reversed=True)  # error
tg.scan(lambda h: h, x, np.ones(3))  # error
