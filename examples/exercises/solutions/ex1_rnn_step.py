"""Exercise 1: one step of an RNN.

    a = x Wx + h_prev Wh + b
    h = tanh(a)

x (N, D), h_prev (N, H), Wx (D, H), Wh (H, H), b (H,); h (N, H). N is the batch.

The backward gets dh = dL/dh and returns the gradient of every argument. You need two facts:

* tanh'(a) = 1 - tanh(a)^2, and tanh(a) is h, which you have.
* If y = x W then dL/dx = dL/dy W' and dL/dW = x' dL/dy. Shapes help: a gradient has the same shape
  as its variable.

Replace every ... by an expression. Run `python examples/exercises/ex1_rnn_step.py` to check.
"""

import checking  # runs the check, in this folder
import numpy as np


def forward(x, h_prev, Wx, Wh, b):
    a = x @ Wx + h_prev @ Wh + b  # gap: the sum before tanh
    h = np.tanh(a)  # gap: the new state
    return h, (x, h_prev, Wx, Wh, h)


def backward(dh, cache):
    x, h_prev, Wx, Wh, h = cache
    da = dh * (1 - h**2)  # gap: dL/da
    dx = da @ Wx.T  # gap: dL/dx, (N, D)
    dh_prev = da @ Wh.T  # gap: dL/dh_prev, (N, H)
    dWx = x.T @ da  # gap: dL/dWx, (D, H)
    dWh = h_prev.T @ da  # gap: dL/dWh, (H, H)
    db = da.sum(axis=0)  # gap: dL/db, (H,): b was added to every row of the batch
    return dx, dh_prev, dWx, dWh, db


def check():
    from tinygrad_rnn.testing import check_bptt

    return check_bptt(forward, backward, "rnn", over_time=False)


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
