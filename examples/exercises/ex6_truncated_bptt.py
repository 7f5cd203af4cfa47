"""Exercise 6: truncated backpropagation through time.

A text is long, so we run the RNN over windows of K steps. The state is carried from window to
window; the gradient is not. The state that enters a window counts as a constant.

Here you get the whole sequence, x (N, T, D). Cut the gradient between the windows: before t = K,
t = 2 K, ... With K = T nothing is cut, and this is exercise 2.

h0 gets a gradient only from the first window.
"""

import checking  # runs the check, in this folder
import numpy as np

K = 3


def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    hs = [h0]
    for t in range(T):  # windows make no difference to the forward pass
        hs.append(np.tanh(x[:, t] @ Wx + hs[-1] @ Wh + b))
    return np.stack(hs[1:], axis=1), (x, hs, Wx, Wh)


def backward(dout, cache):
    x, hs, Wx, Wh = cache
    N, T, D = x.shape
    dx = np.zeros_like(x)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[1])
    dh_next = np.zeros_like(hs[0])
    for t in reversed(range(T)):
        dh = dout[:, t] + dh_next
        da = dh * (1 - hs[t + 1] ** 2)
        dx[:, t] = da @ Wx.T
        dWx += x[:, t].T @ da
        dWh += hs[t].T @ da
        db += da.sum(axis=0)
        is_border = ...  # True where a new window begins at t, but not at 0
        dh_next = ...  # the gradient of h_{t-1}
    return dx, dh_next, dWx, dWh, db


def reference(x, h0, Wx, Wh, b):
    """The same in tinygrad_rnn, where detach() cuts the graph."""
    import tinygrad_rnn as tg

    h, hs = h0, []
    for t, _ in tg.steps(range(x.shape[1])):
        if t % K == 0 and t > 0:
            h = h.detach()
        h = tg.tanh(x[:, t] @ Wx + h @ Wh + b)
        h.name = "h_t"
        hs.append(h)
    return tg.stack(hs, axis=1)


def check():
    from tinygrad_rnn.testing import check_bptt

    rng = np.random.default_rng(0)
    N, T, D, H = 2, 8, 4, 5
    inputs = {
        "x": rng.standard_normal((N, T, D)),
        "h0": rng.standard_normal((N, H)),
        "Wx": rng.standard_normal((D, H)) / 2,
        "Wh": rng.standard_normal((H, H)) / 2,
        "b": rng.standard_normal(H),
    }
    return check_bptt(forward, backward, reference, inputs, over_time=False)


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
