"""Exercise 5: a GRU over time, in both conventions.

    r = sigmoid(x Wx_r + h_prev Wh_r + b_r)          reset gate
    z = sigmoid(x Wx_z + h_prev Wh_z + b_z)          update gate

The two conventions differ in two points: the place of the reset gate, and what z keeps.

    PyTorch, cuDNN       n = tanh(x Wx_n + b_n + r * (h_prev Wh_n))     h = (1 - z) n + z h_prev
    Chung et al. 2014    n = tanh(x Wx_n + b_n + (r * h_prev) Wh_n)     h = (1 - z) h_prev + z n

The gates are in the order r, z, n. h_prev goes into four places: r, z, n, and h directly. So its
gradient has four parts.
"""

import checking  # runs the check, in this folder
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ── as in PyTorch ────────────────────────────────────────────────────────────────────────


def forward_pytorch(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    h, hs, saved = h0, [], []
    for t in range(T):
        x_r, x_z, x_n = np.split(x[:, t] @ Wx + b, 3, axis=1)
        h_r, h_z, h_n = np.split(h @ Wh, 3, axis=1)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = np.tanh(x_n + r * h_n)  # gap: the candidate
        h_prev = h
        h = (1 - z) * n + z * h_prev  # gap: the new state
        hs.append(h)
        saved.append((x[:, t], h_prev, r, z, n, h_n))
    return np.stack(hs, axis=1), (saved, Wx, Wh)


def backward_pytorch(dout, cache):
    saved, Wx, Wh = cache
    N, T, H = dout.shape
    dx = np.zeros((N, T, len(Wx)))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(3 * H)
    dh_next = np.zeros((N, H))
    for t in reversed(range(T)):
        x_t, h_prev, r, z, n, h_n = saved[t]
        dh = dout[:, t] + dh_next
        dn = dh * (1 - z)  # gap: dL/dn
        dz = dh * (h_prev - n)  # gap: dL/dz: z occurs twice in h
        da_n = dn * (1 - n**2)  # gap: through tanh
        dr = da_n * h_n  # gap: dL/dr
        dh_n = da_n * r  # gap: dL/dh_n
        da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
        d_from_x = np.concatenate([da_r, da_z, da_n], axis=1)
        d_from_h = np.concatenate([da_r, da_z, dh_n], axis=1)
        dx[:, t] = d_from_x @ Wx.T
        dh_next = dh * z + d_from_h @ Wh.T  # gap: the gradient of h_{t-1}, all four parts
        dWx += x_t.T @ d_from_x
        dWh += h_prev.T @ d_from_h
        db += d_from_x.sum(axis=0)
    return dx, dh_next, dWx, dWh, db


# ── as in Chung et al. ───────────────────────────────────────────────────────────────────


def forward_chung(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    Wh_r, Wh_z, Wh_n = np.split(Wh, 3, axis=1)
    h, hs, saved = h0, [], []
    for t in range(T):
        x_r, x_z, x_n = np.split(x[:, t] @ Wx + b, 3, axis=1)
        r, z = sigmoid(x_r + h @ Wh_r), sigmoid(x_z + h @ Wh_z)
        n = np.tanh(x_n + (r * h) @ Wh_n)  # gap: the candidate
        h_prev = h
        h = (1 - z) * h_prev + z * n  # gap: the new state
        hs.append(h)
        saved.append((x[:, t], h_prev, r, z, n))
    return np.stack(hs, axis=1), (saved, Wx, Wh)


def backward_chung(dout, cache):
    saved, Wx, Wh = cache
    N, T, H = dout.shape
    Wh_r, Wh_z, Wh_n = np.split(Wh, 3, axis=1)
    dx = np.zeros((N, T, len(Wx)))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(3 * H)
    dh_next = np.zeros((N, H))
    for t in reversed(range(T)):
        x_t, h_prev, r, z, n = saved[t]
        dh = dout[:, t] + dh_next
        dn = dh * z  # gap: dL/dn
        dz = dh * (n - h_prev)  # gap: dL/dz
        da_n = dn * (1 - n**2)
        d_reset = da_n @ Wh_n.T  # gap: dL/d(r * h_prev)
        dr = d_reset * h_prev  # gap: dL/dr
        da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
        da = np.concatenate([da_r, da_z, da_n], axis=1)
        dx[:, t] = da @ Wx.T
        dh_next = dh * (1 - z) + d_reset * r  # gap: dL/dh_prev, from h and r * h_prev
        dh_next += da_r @ Wh_r.T + da_z @ Wh_z.T  # gap: add its gradient from the gates r and z
        dWx += x_t.T @ da
        dWh += np.concatenate([h_prev.T @ da_r, h_prev.T @ da_z, (r * h_prev).T @ da_n], axis=1)
        db += da.sum(axis=0)
    return dx, dh_next, dWx, dWh, db


def check():
    from tinygrad_rnn.testing import check_bptt

    common = {"batch_first": True, "gates": "rzn"}
    check_bptt(forward_pytorch, backward_pytorch, "gru", z_keeps=True, reset_after=True, **common)
    return check_bptt(
        forward_chung, backward_chung, "gru", z_keeps=False, reset_after=False, **common
    )


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
