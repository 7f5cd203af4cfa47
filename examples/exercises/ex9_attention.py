"""Exercise 9: attention.

A decoder with state q (N, H) reads all states of an encoder, hs (N, T, H):

    s = hs . q            (N, T)    a score for every step of the encoder
    a = softmax(s)        (N, T)    the weight of each step; they sum to 1
    c = sum_t a_t hs_t    (N, H)    the context

hs goes into two places, so its gradient has two parts. The gradient of softmax is

    ds = a * (da - sum over t of a * da)

because every score changes every weight.
"""

import checking  # runs the check, in this folder
import numpy as np


def forward(q, hs):
    s = ...  # the scores, (N, T)
    e = np.exp(s - s.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    c = ...  # the context, (N, H)
    return c, (q, hs, a)


def backward(dc, cache):
    q, hs, a = cache
    da = ...  # dL/da, (N, T)
    dhs = ...  # the gradient of hs from the context, (N, T, H)
    ds = ...  # through softmax, (N, T)
    dq = ...  # dL/dq, (N, H)
    dhs += ...  # add the gradient of hs from the scores
    return dq, dhs


def reference(q, hs):
    import tinygrad_rnn as tg

    a = tg.softmax((hs * q[:, None, :]).sum(axis=2), axis=1)
    a.name = "a"
    return (a[:, :, None] * hs).sum(axis=1)


def check():
    from tinygrad_rnn.testing import check_bptt

    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, 5)), rng.standard_normal((2, 4, 5))
    return check_bptt(forward, backward, reference, inputs, over_time=False)


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
