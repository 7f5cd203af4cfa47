"""Exercise 3: one step of an LSTM.

    a = x Wx + h_prev Wh + b         (N, 4H), cut into four parts
    i = sigmoid(a_i)   f = sigmoid(a_f)   o = sigmoid(a_o)   g = tanh(a_g)
    c = f * c_prev + i * g
    h = o * tanh(c)

The gates are in the order i, f, o, g. The step has two outputs, so the backward gets two gradients:
dh, and dc from the next step. c also goes into h, so the gradient of c has two parts. Add them.

* sigmoid'(a) = s (1 - s) with s = sigmoid(a).
* If y = u * v then dL/du = dL/dy * v.
"""

import checking  # runs the check, in this folder
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(x, h_prev, c_prev, Wx, Wh, b):
    a = x @ Wx + h_prev @ Wh + b
    a_i, a_f, a_o, a_g = np.split(a, 4, axis=1)
    i = sigmoid(a_i)  # gap: the input gate
    f = sigmoid(a_f)  # gap: the forget gate
    o = sigmoid(a_o)  # gap: the output gate
    g = np.tanh(a_g)  # gap: the candidate
    c = f * c_prev + i * g  # gap: the new cell state
    h = o * np.tanh(c)  # gap: the new hidden state
    return h, c, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c)


def backward(dh, dc, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c = cache
    do = dh * np.tanh(c)  # gap: dL/do
    dc = dc + dh * o * (1 - np.tanh(c) ** 2)  # gap: both parts of dL/dc
    df = dc * c_prev  # gap: dL/df
    di = dc * g  # gap: dL/di
    dg = dc * i  # gap: dL/dg
    dc_prev = dc * f  # gap: dL/dc_prev
    da_i = di * i * (1 - i)  # gap: through sigmoid
    da_f = df * f * (1 - f)  # gap: through sigmoid
    da_o = do * o * (1 - o)  # gap: through sigmoid
    da_g = dg * (1 - g**2)  # gap: through tanh
    da = np.concatenate([da_i, da_f, da_o, da_g], axis=1)  # gap: join the parts as they were cut
    dx = da @ Wx.T  # gap: as in exercise 1
    dh_prev = da @ Wh.T  # gap: as in exercise 1
    dWx = x.T @ da  # gap: as in exercise 1
    dWh = h_prev.T @ da  # gap: as in exercise 1
    db = da.sum(axis=0)  # gap: as in exercise 1
    return dx, dh_prev, dc_prev, dWx, dWh, db


def check():
    from tinygrad_rnn.testing import check_bptt

    return check_bptt(forward, backward, "lstm", over_time=False, gates="ifog")


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
