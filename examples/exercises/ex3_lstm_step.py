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
    i = ...  # the input gate
    f = ...  # the forget gate
    o = ...  # the output gate
    g = ...  # the candidate
    c = ...  # the new cell state
    h = ...  # the new hidden state
    return h, c, (x, h_prev, c_prev, Wx, Wh, i, f, o, g, c)


def backward(dh, dc, cache):
    x, h_prev, c_prev, Wx, Wh, i, f, o, g, c = cache
    do = ...  # dL/do
    dc = ...  # both parts of dL/dc
    df = ...  # dL/df
    di = ...  # dL/di
    dg = ...  # dL/dg
    dc_prev = ...  # dL/dc_prev
    da_i = ...  # through sigmoid
    da_f = ...  # through sigmoid
    da_o = ...  # through sigmoid
    da_g = ...  # through tanh
    da = ...  # join the parts as they were cut
    dx = ...  # as in exercise 1
    dh_prev = ...  # as in exercise 1
    dWx = ...  # as in exercise 1
    dWh = ...  # as in exercise 1
    db = ...  # as in exercise 1
    return dx, dh_prev, dc_prev, dWx, dWh, db


def check():
    from tinygrad_rnn.testing import check_bptt

    return check_bptt(forward, backward, "lstm", over_time=False, gates="ifog")


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
