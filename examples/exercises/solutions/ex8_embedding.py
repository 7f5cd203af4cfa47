"""Exercise 8: an embedding.

    y[n, t] = W[ids[n, t]]

W (V, D) has a row for every word; ids (N, T) are numbers of words. The same word may occur at
several places. Its row then gets the sum of all their gradients. `dW[ids] += dy` does not do that
in NumPy: if several places write to one row, only the last write stays.
"""

import checking  # runs the check, in this folder
import numpy as np


def forward(ids, W):
    y = W[ids]  # gap: (N, T, D)
    return y, (ids, W.shape)


def backward(dy, cache):
    ids, shape = cache
    V, D = shape
    one_hot = np.eye(V)[ids.reshape(-1)]  # gap: a row for each of the N T words, (N T, V)
    dW = one_hot.T @ dy.reshape(-1, D)  # gap: (V, D); or np.add.at on zeros
    return dW


def reference(ids, W):
    import tinygrad_rnn as tg

    return tg.embedding(ids, W)


def check():
    from tinygrad_rnn.testing import check_bptt

    ids = np.array([[0, 3, 3, 1], [2, 3, 0, 0]])
    W = np.random.default_rng(0).standard_normal((5, 3))
    return check_bptt(forward, backward, reference, (ids, W), over_time=False)


if __name__ == "__main__":
    raise SystemExit(checking.run(check, __file__))
