"""Exercise 4: an LSTM over time.

This is exercise 3 in the loop of exercise 2. Two states go from step to step, so two gradients come
back:

    dh_t = dout_t + (the gradient of h from step t + 1)
    dc_t =          (the gradient of c from step t + 1) + (the gradient through h_t)

The cell state c starts at zero. Look at dc_next = dc * f: where the forget gate is near 1, the
gradient comes back unchanged. That is what an LSTM is for.
"""

import checking  # runs the check, in this folder
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h, c = h0, np.zeros_like(h0)
    hs, saved = [], []
    for t in range(T):
        a = x[:, t] @ Wx + h @ Wh + b
        a_i, a_f, a_o, a_g = np.split(a, 4, axis=1)
        i, f, o, g = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o), np.tanh(a_g)
        h_prev, c_prev = h, c
        c = ...  # c_t
        h = ...  # h_t
        hs.append(h)
        saved.append((x[:, t], h_prev, c_prev, i, f, o, g, c))
    return np.stack(hs, axis=1), (saved, Wx, Wh)


def backward(dout, cache):
    saved, Wx, Wh = cache
    N, T, H = dout.shape
    dx = np.zeros((N, T, len(Wx)))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[1])
    dh_next, dc_next = np.zeros((N, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        x_t, h_prev, c_prev, i, f, o, g, c = saved[t]
        dh = ...  # dL/dh_t
        do = dh * np.tanh(c)
        dc = ...  # dL/dc_t
        da_i = ...  # dL/da_i
        da_f = ...  # dL/da_f
        da_o = ...  # dL/da_o
        da_g = ...  # dL/da_g
        da = np.concatenate([da_i, da_f, da_o, da_g], axis=1)
        dx[:, t] = da @ Wx.T
        dc_next = ...  # the gradient of c_{t-1} from this step
        dh_next = ...  # the gradient of h_{t-1} from this step
        dWx += ...  # this step's part of dL/dWx
        dWh += ...  # this step's part of dL/dWh
        db += ...  # this step's part of dL/db
    return dx, dh_next, dWx, dWh, db


def check():
    from tinygrad_rnn.testing import check_bptt

    return check_bptt(forward, backward, "lstm", batch_first=True, gates="ifog")


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
