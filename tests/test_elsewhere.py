"""Coming from elsewhere: published check values, and the conventions of courses and libraries.

The numbers are what CS231n's third assignment (Stanford, 2017 to 2024) prints as expected; its
formulas, those of "Deep Learning from Scratch 2" and of min-char-rnn are written here anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

PAGE = Path(__file__).parents[1] / "examples" / "coming_from.md"


def line(first, last, *shape):
    return np.linspace(first, last, int(np.prod(shape))).reshape(shape)


# ── CS231n: rnn_layers.py ────────────────────────────────────────────────────────────────


def rnn_step(x, h, Wx, Wh, b):
    return tg.tanh(x @ Wx + h @ Wh + b)


def test_cs231n_rnn_step_forward():
    h = rnn_step(
        line(-0.4, 0.7, 3, 10),
        line(-0.2, 0.5, 3, 4),
        line(-0.1, 0.9, 10, 4),
        line(-0.3, 0.7, 4, 4),
        line(-0.2, 0.4, 4),
    )
    expected = [
        [-0.58172089, -0.50182032, -0.41232771, -0.31410098],
        [0.66854692, 0.79562378, 0.87755553, 0.92795967],
        [0.97934501, 0.99144213, 0.99646691, 0.99854353],
    ]
    np.testing.assert_allclose(h, expected, atol=1e-8)


def test_cs231n_rnn_forward_by_our_layer():
    """Its (N, T, D) is batch_first; its Wx and Wh are the transposes of ours."""
    layer = tg.nn.RNN(4, 5, batch_first=True, dtype=np.float64)
    layer.weight_ih_l0.data = line(-0.2, 0.4, 4, 5).T
    layer.weight_hh_l0.data = line(-0.4, 0.1, 5, 5).T
    layer.bias_ih_l0.data = line(-0.7, 0.1, 5)
    layer.bias_hh_l0.data = np.zeros(5)
    h, _ = layer(line(-0.1, 0.3, 2, 3, 4), line(-0.3, 0.1, 2, 5)[None])
    expected = [
        [
            [-0.42070749, -0.27279261, -0.11074945, 0.05740409, 0.22236251],
            [-0.39525808, -0.22554661, -0.0409454, 0.14649412, 0.32397316],
            [-0.42305111, -0.24223728, -0.04287027, 0.15997045, 0.35014525],
        ],
        [
            [-0.55857474, -0.39065825, -0.19198182, 0.02378408, 0.23735671],
            [-0.27150199, -0.07088804, 0.13562939, 0.33099728, 0.50158768],
            [-0.51014825, -0.30524429, -0.06755202, 0.17806392, 0.40333043],
        ],
    ]
    np.testing.assert_allclose(h.data, expected, atol=1e-8)


def from_cs231n(W):
    """Columns i, f, o, g as our rows i, f, g, o."""
    i, f, o, g = np.split(W, 4, axis=-1)
    return np.concatenate([i, f, g, o], axis=-1).T


def test_cs231n_lstm_step_forward():
    cell = tg.nn.LSTMCell(4, 5, dtype=np.float64)
    cell.weight_ih.data = from_cs231n(line(-2.1, 1.3, 4, 20))
    cell.weight_hh.data = from_cs231n(line(-0.7, 2.2, 5, 20))
    cell.bias_ih.data = from_cs231n(line(0.3, 0.7, 20))
    cell.bias_hh.data = np.zeros(20)
    state = line(-0.3, 0.7, 3, 5), line(-0.4, 0.9, 3, 5)
    h, c = cell(line(-0.4, 1.2, 3, 4), state)
    expected_h = [
        [0.24635157, 0.28610883, 0.32240467, 0.35525807, 0.38474904],
        [0.49223563, 0.55611431, 0.61507696, 0.66844003, 0.7159181],
        [0.56735664, 0.66310127, 0.74419266, 0.80889665, 0.858299],
    ]
    expected_c = [
        [0.32986176, 0.39145139, 0.451556, 0.51014116, 0.56717407],
        [0.66382255, 0.76674007, 0.87195994, 0.97902709, 1.08751345],
        [0.74192008, 0.90592151, 1.07717006, 1.25120233, 1.42395676],
    ]
    np.testing.assert_allclose(h.data, expected_h, atol=1e-8)
    np.testing.assert_allclose(c.data, expected_c, atol=1e-8)


def test_cs231n_lstm_forward():
    layer = tg.nn.LSTM(5, 4, batch_first=True, dtype=np.float64)
    layer.weight_ih_l0.data = from_cs231n(line(-0.2, 0.9, 5, 16))
    layer.weight_hh_l0.data = from_cs231n(line(-0.3, 0.6, 4, 16))
    layer.bias_ih_l0.data = from_cs231n(line(0.2, 0.7, 16))
    layer.bias_hh_l0.data = np.zeros(16)
    h0 = line(-0.4, 0.8, 2, 4)[None]
    h, _ = layer(line(-0.4, 0.6, 2, 3, 5), (h0, np.zeros_like(h0)))
    expected = [
        [
            [0.01764008, 0.01823233, 0.01882671, 0.0194232],
            [0.11287491, 0.12146228, 0.13018446, 0.13902939],
            [0.31358768, 0.33338627, 0.35304453, 0.37250975],
        ],
        [
            [0.45767879, 0.4761092, 0.4936887, 0.51041945],
            [0.6704845, 0.69350089, 0.71486014, 0.7346449],
            [0.81733511, 0.83677871, 0.85403753, 0.86935314],
        ],
    ]
    np.testing.assert_allclose(h.data, expected, atol=1e-8)


def test_cs231n_word_embedding_forward():
    found = tg.embedding(np.array([[0, 3, 1, 2], [2, 1, 0, 3]]), line(0, 1, 5, 3))
    expected = [
        [
            [0, 0.07142857, 0.14285714],
            [0.64285714, 0.71428571, 0.78571429],
            [0.21428571, 0.28571429, 0.35714286],
            [0.42857143, 0.5, 0.57142857],
        ],
        [
            [0.42857143, 0.5, 0.57142857],
            [0.21428571, 0.28571429, 0.35714286],
            [0, 0.07142857, 0.14285714],
            [0.64285714, 0.71428571, 0.78571429],
        ],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-8)


def temporal_softmax_loss(scores, y, mask):
    """Its sum over time, and mean over the batch; ours ignores -100."""
    N, _, V = scores.shape
    target = np.where(mask, y, -100).reshape(-1)
    return tg.nn.cross_entropy(scores.reshape(-1, V), target, reduction="sum") / N


@pytest.mark.parametrize(
    ("N", "T", "V", "p", "low", "high"),
    [(100, 1, 10, 1.0, 2.25, 2.35), (100, 10, 10, 1.0, 22.9, 23.1), (5000, 10, 10, 0.1, 2.2, 2.4)],
)
def test_cs231n_temporal_softmax_loss(N, T, V, p, low, high):
    rng = np.random.default_rng(0)
    scores = 0.001 * rng.normal(size=(N, T, V))
    y, mask = rng.integers(V, size=(N, T)), rng.random((N, T)) <= p
    assert low < temporal_softmax_loss(scores, y, mask) < high


@pytest.mark.parametrize(
    ("kind", "gates", "expected", "first", "last"),
    [("rnn", 1, 9.83235591003, -1.5, 0.3), ("lstm", 4, 9.82445935443, -0.5, 1.7)],
)
def test_cs231n_captioning_loss(kind, gates, expected, first, last):
    N, D, W, H, V, T = 10, 20, 30, 40, 3, 13
    ends = -1.4, 1.3
    words, project = line(*ends, V, W), line(*ends, D, H)
    Wx, Wh = line(*ends, W, gates * H), line(*ends, H, gates * H)
    b_project, b, b_vocab = line(*ends, H), line(*ends, gates * H), line(*ends, V)
    vocab = line(*ends, H, V)
    captions = (np.arange(N * T) % V).reshape(N, T)
    h0 = (line(first, last, N, D) @ project + b_project)[None]
    turn = from_cs231n if kind == "lstm" else np.transpose
    layer = (tg.nn.LSTM if kind == "lstm" else tg.nn.RNN)(W, H, batch_first=True, dtype=np.float64)
    layer.weight_ih_l0.data, layer.weight_hh_l0.data = turn(Wx), turn(Wh)
    layer.bias_ih_l0.data, layer.bias_hh_l0.data = turn(b), np.zeros(gates * H)
    x = tg.embedding(captions[:, :-1], words)
    h, _ = layer(x, (h0, np.zeros_like(h0)) if kind == "lstm" else h0)
    target = captions[:, 1:]
    loss = temporal_softmax_loss(h @ vocab + b_vocab, target, target != 0)
    assert loss.item() == pytest.approx(expected, abs=5e-9)


# ── Deep Learning from Scratch 2 ─────────────────────────────────────────────────────────


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_the_books_time_lstm():
    """Its order of gates is f, g, i, o."""
    rng = np.random.default_rng(0)
    N, T, D, H = 2, 6, 3, 4
    Wx, Wh, b = rng.normal(size=(D, 4 * H)), rng.normal(size=(H, 4 * H)), rng.normal(size=4 * H)
    x, h, c = rng.normal(size=(N, T, D)), np.zeros((N, H)), np.zeros((N, H))
    hs = []
    for t in range(T):
        f, g, i, o = np.split(x[:, t] @ Wx + h @ Wh + b, 4, axis=1)
        c = sigmoid(f) * c + np.tanh(g) * sigmoid(i)
        h = sigmoid(o) * np.tanh(c)
        hs.append(h)

    def ours(W):
        f, g, i, o = np.split(W, 4, axis=-1)
        return np.concatenate([i, f, g, o], axis=-1).T

    layer = tg.nn.LSTM(D, H, batch_first=True, dtype=np.float64)
    layer.weight_ih_l0.data, layer.weight_hh_l0.data = ours(Wx), ours(Wh)
    layer.bias_ih_l0.data, layer.bias_hh_l0.data = ours(b), np.zeros(4 * H)
    y, (_, c_n) = layer(x)
    np.testing.assert_allclose(y.data, np.stack(hs, 1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(c_n.data[0], c, rtol=0, atol=2e-15)


def test_the_books_time_gru():
    """Its order of gates is z, r, h; its z takes the new value, and r resets before the product."""
    rng = np.random.default_rng(0)
    N, T, D, H = 2, 6, 3, 4
    Wx, Wh, b = rng.normal(size=(D, 3 * H)), rng.normal(size=(H, 3 * H)), rng.normal(size=3 * H)
    x, h, hs = rng.normal(size=(N, T, D)), np.zeros((N, H)), []
    (Wxz, Wxr, Wxh), (Whz, Whr, Whh) = np.split(Wx, 3, 1), np.split(Wh, 3, 1)
    bz, br, bh = np.split(b, 3)
    for t in range(T):
        z, r = sigmoid(x[:, t] @ Wxz + h @ Whz + bz), sigmoid(x[:, t] @ Wxr + h @ Whr + br)
        new = np.tanh(x[:, t] @ Wxh + (r * h) @ Whh + bh)
        h = (1 - z) * h + z * new
        hs.append(h)

    def ours(W):
        z, r, n = np.split(W, 3, axis=-1)
        return np.concatenate([r, -z, n], axis=-1).T

    layer = tg.nn.GRU(D, H, batch_first=True, reset_after=False, dtype=np.float64)
    layer.weight_ih_l0.data, layer.weight_hh_l0.data = ours(Wx), ours(Wh)
    layer.bias_ih_l0.data, layer.bias_hh_l0.data = ours(b), np.zeros(3 * H)
    np.testing.assert_allclose(layer(x)[0].data, np.stack(hs, 1), rtol=0, atol=1e-15)


# ── optimisers that put eps elsewhere ────────────────────────────────────────────────────


def trained(optimizer, gradients):
    [x] = optimizer.param_groups[0]["params"]
    for g in gradients:
        x.grad = g
        optimizer.step()
    return x.data


def test_adam_with_the_books_epsilon():
    gradients = np.random.default_rng(0).normal(size=(5, 3)) * 1e-6
    x, m, v = np.ones(3), 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        lr_t = 0.01 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
        x = x - lr_t * m / (np.sqrt(v) + 1e-7)
    start = tg.Tensor(np.ones(3), requires_grad=True)
    found = trained(tg.optim.Adam([start], lr=0.01, eps=1e-7, epsilon_hat=True), gradients)
    np.testing.assert_allclose(found, x, rtol=1e-12)
    other = tg.Tensor(np.ones(3), requires_grad=True)
    assert abs(trained(tg.optim.Adam([other], lr=0.01, eps=1e-7), gradients) - x).max() > 1e-4


def test_adagrad_as_min_char_rnn_has_it():
    gradients = np.random.default_rng(0).normal(size=(5, 3)) * 1e-4
    x, memory = np.ones(3), np.zeros(3)
    for g in gradients:
        memory += g * g
        x = x - 0.1 * g / np.sqrt(memory + 1e-8)
    start = tg.Tensor(np.ones(3), requires_grad=True)
    found = trained(tg.optim.Adagrad([start], lr=0.1, eps=1e-8, eps_in_root=True), gradients)
    np.testing.assert_allclose(found, x, rtol=1e-12)


# ── the page ─────────────────────────────────────────────────────────────────────────────


def test_the_page_runs(capsys):
    """Every block of Python on the page, one after the other."""
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        exec(block, names)
    capsys.readouterr()
