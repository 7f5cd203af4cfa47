"""Exercise 7: the softmax loss over time.

A captioning or language model gives scores (N, T, V) for the next word at every step. y (N, T)
are the right words. mask (N, T) is 1 where a word counts, and 0 in the padding.

    p = softmax(scores)
    loss = -(1 / N) sum over n, t of  mask[n, t] * log p[n, t, y[n, t]]

Its gradient is p - 1 at the right word and p elsewhere, times mask / N.
"""

import checking  # runs the check, in this folder
import numpy as np


def forward(scores, y, mask):
    N, T, V = scores.shape
    n, t = np.arange(N)[:, None], np.arange(T)
    e = np.exp(scores - scores.max(axis=2, keepdims=True))
    p = e / e.sum(axis=2, keepdims=True)  # gap: the probabilities, (N, T, V)
    loss = -(mask * np.log(p[n, t, y])).sum() / N  # gap: a number; p[n, t, y] is (N, T)
    return loss, (p, y, mask)


def backward(dloss, cache):
    p, y, mask = cache
    N, T, V = p.shape
    n, t = np.arange(N)[:, None], np.arange(T)
    dscores = p.copy()
    dscores[n, t, y] -= 1  # gap: subtract this at the right words
    dscores = dscores * mask[:, :, None] / N  # gap: apply the mask, and the mean over the batch
    return dloss * dscores


def reference(scores, y, mask):
    """The same in tinygrad_rnn, which finds the gradient automatically."""
    import tinygrad_rnn as tg

    N, T, V = scores.shape
    log_p = tg.log_softmax(scores)
    return -(log_p[np.arange(N)[:, None], np.arange(T), y] * mask).sum() / N


def check():
    from tinygrad_rnn.testing import check_bptt

    rng = np.random.default_rng(0)
    N, T, V = 3, 4, 6
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])
    inputs = rng.standard_normal((N, T, V)), rng.integers(0, V, (N, T)), mask
    return check_bptt(forward, backward, reference, inputs, over_time=False)


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
