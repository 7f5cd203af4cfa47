"""check_bptt beyond the table: forwards, single steps, references of one's own, two mistakes."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.testing import check_bptt

from .solutions import GRU, LSTM, RNN, functions
from .test_planted import NETS, told

# ── a wrong forward ──────────────────────────────────────────────────────────────────────

FORWARDS = [
    ("rnn", "hs[t] @ Wh + b", "hs[0] @ Wh + b", "h_t is not carried from step to step"),
    ("rnn", " + b\n", "\n", "b is not used"),
    ("rnn", "hs = [h0]", "hs = [0 * h0]", "h0 is not used, or taken as zero"),
    ("rnn", "@ Wh + b", "@ Wh.T + b", "Wh is transposed"),
    ("rnn", "h = np.tanh(a)", "h = a", "h_t: tanh is missing"),
    ("rnn", "h = np.tanh(a)", "h = np.maximum(a, 0)", "h_t uses relu instead of tanh"),
    (
        "rnn",
        "np.stack(hs[1:], 1)",
        "np.stack(hs[:0:-1], 1)",
        "the outputs are in reverse order of time",
    ),
    ("rnn", "a = x[:, t]", "a = x[:, T - 1 - t]", "x is read from the last time step to the first"),
    ("lstm", "sigmoid(af)", "np.tanh(af)", "the forget gate f_t uses tanh instead of sigmoid"),
    ("lstm", "np.tanh(ag)", "sigmoid(ag)", "the candidate g_t uses sigmoid instead of tanh"),
    ("lstm", "h = o * np.tanh(c)", "h = o * c", "tanh(c_t): tanh is missing"),
    ("lstm", "c = f * c_prev + i * g", "c = f * c_prev + i", "the factor g_t is missing"),
    ("lstm", "c = f * c_prev + i * g", "c = i * g", "c_t: the term f_t * c_{t-1} is missing"),
    ("lstm", "c = f * c_prev + i * g", "c = f * c_prev - i * g", "c_t: a sign is wrong"),
    ("gru", "r * hn", "hn", "the factor r_t is missing"),
    ("gru", "h = (1 - z) * n + z * h_prev", "h = (1 - z) * n + r * h_prev", "uses r_t for z_t"),
]


@pytest.mark.parametrize("row", FORWARDS, ids=lambda row: f"{row[0]}: {row[2][:40]}")
def test_a_wrong_forward_is_named(row):
    net, old, new, text = row
    message = told(net, (old, new))
    assert "the forward is wrong" in message
    assert text in message, message


def test_a_wrong_forward_is_located():
    change = ("hs.append(h)\n", "hs.append(h if t < 2 else 0.9 * h)\n")
    assert "the output is right until t = 1, wrong from t = 2 on" in told("rnn", change)


def test_gates_in_another_order_than_asked():
    message = told("lstm", gates="ifgo")
    assert "the forward is wrong" in message
    assert (
        "gates in the order i, f, o, g, where gates in the order i, f, g, o was asked for"
        in message
    )


def test_the_convention_of_the_gru_that_was_asked_for():
    forward, backward = functions(GRU)
    assert check_bptt(forward, backward, "gru", gates="rzn", z_keeps=True, reset_after=True)
    message = told("gru", z_keeps=False)
    assert "h = (1 - z) n + z h, where h = (1 - z) h + z n was asked for" in message


# ── two mistakes at once ─────────────────────────────────────────────────────────────────

PAIRS = [
    (
        "rnn",
        ("dWh += hs", "dWh = hs"),
        ("dh = dout[:, t] + dh_next", "dh = dout[:, t]"),
        ["(dh_next) is missing", "dWh equals the contribution of time step 0 alone"],
    ),
    (
        "lstm",
        ("df = dc * c_prev", "df = dc"),
        ("dag = dg * (1 - g**2)", "dag = dg"),
        ["the factor c_{t-1} is missing", "the derivative of tanh, 1 - g_t**2, is missing"],
    ),
    (
        "lstm",
        ("dc = dc_next + dh", "dc = dh"),
        ("db += da.sum(0)", "db += da.mean(0)"),
        ["(dc_next) is missing", "db is divided by the batch size"],
    ),
    (
        "rnn",
        ("dWx += x", "dWx = x"),
        ("db += da", "db = da"),
        ["dWx, db: equals the contribution of time step 0 alone"],
    ),
]


@pytest.mark.parametrize("row", PAIRS, ids=lambda row: f"{row[0]}: {row[1][1][:30]}")
def test_two_mistakes_are_named(row):
    net, *changes, texts = row
    message = told(net, *changes)
    for text in texts:
        assert text in message, message


def test_a_mistake_that_is_none_of_these_is_located():
    message = told("lstm", ("dai = di * i * (1 - i)", "dai = di * np.cos(i)"))
    assert "dWx is right at gates f, o, g and wrong at gate i" in message
    assert "db is right at gates f, o, g and wrong at gate i" in message
    message = told("rnn", ("    return dx,", "    dx[:, 1] = np.cos(dx[:, 1])\n    return dx,"))
    assert "dx is right at time steps 0, 2, 3 and wrong at time step 1" in message


# ── what functions return and raise ──────────────────────────────────────────────────────


def test_what_a_function_raises_is_told_with_the_shapes():
    message = told("rnn", ("hs[t] @ Wh", "hs[t] @ Wx"))
    assert "forward raises ValueError" in message
    assert "x (3, 4, 5), h0 (3, 6), Wx (5, 6), Wh (6, 6), b (6,)" in message
    message = told("rnn", ("da @ Wx.T", "da @ Wx"))
    assert "backward raises ValueError" in message


def test_other_numbers_of_gradients():
    message = told("rnn", ("    return dx, dh_next, dWx, dWh, db", "    return dx, dWx, dWh, db"))
    assert "expected backward to return 5 gradients, dx, dh0, dWx, dWh, db, got 4" in message
    message = told(
        "rnn", ("    return dx, dh_next, dWx, dWh, db", "    return dx, None, dWx, dWh, db")
    )
    assert "dh0 is None: it is not returned" in message
    message = told("rnn", ("    return dx, dh_next, dWx", "    return dx, dh_next * np.nan, dWx"))
    assert "dh0 is not finite" in message
    message = told(
        "rnn", ("    return dx, dh_next, dWx, dWh, db", "    return dh_next, dx, dWx, dWh, db")
    )
    assert "dx has shape (3, 6), expected (3, 4, 5)" in message


def test_gradients_by_name():
    names = ", ".join(f'"{n}": {n}' for n in ("dx", "dWx", "dWh", "db")) + ', "dh0": dh_next'
    change = ("    return dx, dh_next, dWx, dWh, db", f"    return {{{names}}}")
    assert check_bptt(*functions(RNN, change), "rnn")


def test_a_forward_without_a_cache():
    message = told("rnn", ("np.stack(hs[1:], 1), (x, hs, Wx, Wh)", "np.stack(hs[1:], 1)"))
    assert "expected forward to return (output, ..., cache)" in message
    assert "an array (3, 4, 6) of float64" in message


def test_outputs_of_no_known_shape():
    message = told("rnn", ("np.stack(hs[1:], 1)", "np.stack(hs[1:], 2)"))
    assert "expected as its first output h of all time steps, (3, 4, 6) or (4, 3, 6)" in message


def test_arguments_of_no_known_net():
    def forward(x, h0, W):
        raise NotImplementedError

    with pytest.raises(
        ValueError, match=r"expected forward\(x, h0, Wx, Wh, b\).*got forward\(x, h0, W"
    ):
        check_bptt(forward, forward, "rnn")
    with pytest.raises(ValueError, match="expected the reference 'rnn' or 'lstm' or 'gru'"):
        check_bptt(*functions(RNN), "transformer")
    with pytest.raises(TypeError, match="expected a name or a function as the reference"):
        check_bptt(*functions(RNN), 3)
    with pytest.raises(ValueError, match="expected gates as an order of 'ifgo'"):
        check_bptt(*functions(LSTM), "lstm", gates="ifgg")


def test_a_students_functions_may_write_into_what_they_get():
    change = ("dh = dout[:, t] + dh_next", "dout[:, t] += dh_next; dh = dout[:, t]")
    assert check_bptt(*functions(RNN, change), "rnn")


# ── a single step ────────────────────────────────────────────────────────────────────────


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(0)


def test_a_single_step():
    assert check_bptt(rnn_step_forward, rnn_step_backward, "rnn", over_time=False)

    def no_derivative(dnext_h, cache):
        x, prev_h, Wx, Wh, _ = cache
        da = dnext_h
        return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(0)

    with pytest.raises(
        AssertionError, match=r"h_t: the derivative of tanh, 1 - h_t\*\*2, is missing"
    ):
        check_bptt(rnn_step_forward, no_derivative, "rnn", over_time=False)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    i, f, o, g = np.split(x @ Wx + prev_h @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    c = f * prev_c + i * g
    return o * np.tanh(c), c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, c)


def lstm_step_backward(dh, dc, cache, forgets_dc=False):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, c = cache
    dc = dh * o * (1 - np.tanh(c) ** 2) + (0 if forgets_dc else dc)
    parts = [dc * g * i * (1 - i), dc * prev_c * f * (1 - f), dh * np.tanh(c) * o * (1 - o)]
    da = np.concatenate([*parts, dc * i * (1 - g**2)], 1)
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(0)


def test_a_single_step_of_an_lstm():
    assert check_bptt(lstm_step_forward, lstm_step_backward, "lstm", over_time=False)
    with pytest.raises(
        AssertionError,
        match="the gradient of the output c_t, an argument of backward, is never used",
    ):
        check_bptt(
            lstm_step_forward,
            lambda dh, dc, cache: lstm_step_backward(dh, dc, cache, forgets_dc=True),
            "lstm",
            over_time=False,
        )


# ── references of one's own ──────────────────────────────────────────────────────────────


def leaky(x_t, h, W, alpha):
    """h_t = (1 - alpha) h_{t-1} + alpha tanh(x_t + h_{t-1} W)"""
    return (1 - alpha) * h + alpha * tg.tanh(x_t + h @ W)


def leaky_forward(x, h0, W, alpha):
    hs, ns = [h0], []
    for t in range(len(x)):
        ns.append(np.tanh(x[t] + hs[-1] @ W))
        hs.append((1 - alpha) * hs[-1] + alpha * ns[-1])
    return np.stack(hs[1:]), (x, hs, ns, W, alpha)


def leaky_backward(dout, cache, leak=True):
    x, hs, ns, W, alpha = cache
    dx, dW, dalpha, dh = np.zeros_like(x), np.zeros_like(W), 0.0, 0 * hs[0]
    for t in reversed(range(len(x))):
        dh = dout[t] + dh
        da = alpha * dh * (1 - ns[t] ** 2)
        dalpha += (dh * (ns[t] - hs[t])).sum()
        dx[t] = da
        dW += hs[t].T @ da
        dh = ((1 - alpha) * dh if leak else 0) + da @ W.T
    return dx, dh, dW, dalpha


def leaky_inputs():
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(4, 2, 3)),
        "h0": rng.normal(size=(2, 3)),
        "W": rng.normal(size=(3, 3)),
        "alpha": np.array(0.3),
    }


def test_a_step_of_ones_own():
    assert check_bptt(leaky_forward, leaky_backward, leaky, leaky_inputs())
    with pytest.raises(AssertionError, match=r"lacks the part that comes through .*1 - alpha"):
        check_bptt(
            leaky_forward, lambda d, c: leaky_backward(d, c, leak=False), leaky, leaky_inputs()
        )


def test_a_cell_as_scan_takes_it():
    inputs = leaky_inputs()
    W = tg.Tensor(inputs["W"], requires_grad=True)
    alpha = tg.Tensor(inputs["alpha"], requires_grad=True)

    def cell(h, x_t):
        h = leaky(x_t, h, W, alpha)
        return h, h

    given = {**inputs, "W": W, "alpha": alpha}
    assert check_bptt(leaky_forward, leaky_backward, cell, given)
    assert W.grad is None
    assert W.data.tolist() == inputs["W"].tolist()
    with pytest.raises(AssertionError, match="lacks the part"):
        check_bptt(leaky_forward, lambda d, c: leaky_backward(d, c, leak=False), cell, given)


def test_a_function_without_time():
    rng = np.random.default_rng(0)

    def reference(scores, target):
        return tg.nn.cross_entropy(scores, target)

    def forward(scores, target):
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        rows = np.arange(len(target))
        return -np.log(p[rows, target]).mean(), (p, target)

    def backward(dloss, cache, mean=True):
        p, target = cache
        d = p.copy()
        d[np.arange(len(target)), target] -= 1
        return dloss * d / (len(target) if mean else 1)

    inputs = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    assert check_bptt(forward, backward, reference, inputs, over_time=False)
    with pytest.raises(AssertionError, match="dscores is 5 times what it should be"):
        check_bptt(
            forward, lambda d, c: backward(d, c, mean=False), reference, inputs, over_time=False
        )


def test_a_reference_of_ones_own_needs_inputs():
    with pytest.raises(ValueError, match="pass inputs for forward's arguments x, h0, W, alpha"):
        check_bptt(leaky_forward, leaky_backward, leaky)


def test_a_forward_that_does_not_fit_the_reference():
    def short(x, h0, W, alpha):
        hs, cache = leaky_forward(x, h0, W, alpha)
        return hs[:, :1], cache

    with pytest.raises(AssertionError, match="do not fit the reference"):
        check_bptt(short, leaky_backward, leaky, leaky_inputs())


@pytest.mark.parametrize("net", NETS)
def test_single_precision(net):
    source, reference = NETS[net]
    assert check_bptt(*functions(source), reference, dtype=np.float32)
