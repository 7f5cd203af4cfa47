"""Exercise 2: an RNN over time, and backpropagation through time.

    h_t = tanh(x_t Wx + h_{t-1} Wh + b)        t = 0, ..., T - 1

x (N, T, D), h0 (N, H); the output is all h_t together, (N, T, H).

The backward gets dout (N, T, H), the gradient that every h_t gets directly from the loss. But h_t
also goes into step t + 1. So the gradient of h_t has two parts, and the loop runs from the last
step to the first:

    dh_t = dout_t + (the gradient from step t + 1)

Every step uses the same weights. So the gradient of a weight is a sum over all steps: use +=.
"""

import checking  # runs the check, in this folder
import numpy as np


def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    hs = [h0]
    for t in range(T):
        h = ...  # h_t; hs[-1] is h_{t-1}
        hs.append(h)
    return np.stack(hs[1:], axis=1), (x, hs, Wx, Wh)


def backward(dout, cache):
    x, hs, Wx, Wh = cache
    N, T, D = x.shape
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[1])
    dh_next = np.zeros_like(hs[0])  # the gradient from step t + 1
    for t in reversed(range(T)):
        h_prev, h = hs[t], hs[t + 1]
        dh = ...  # both parts of dL/dh_t
        da = ...  # through tanh, as in exercise 1
        dx[:, t] = ...  # dL/dx_t
        dh_next = ...  # the gradient of h_{t-1} from this step
        dWx += ...  # this step's part of dL/dWx
        dWh += ...  # this step's part of dL/dWh
        db += ...  # this step's part of dL/db
    dh0 = ...  # dL/dh0
    return dx, dh0, dWx, dWh, db


def check():
    from tinygrad_rnn.testing import check_bptt

    return check_bptt(forward, backward, "rnn", batch_first=True)


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
