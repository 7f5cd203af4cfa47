"""check_bptt names the mistake: each row plants one in a right solution, and has to be named."""

import pytest

from tinygrad_rnn.testing import check_bptt

from .solutions import GRU, GRU_BEFORE, LSTM, RNN, functions

NETS = {"rnn": (RNN, "rnn"), "lstm": (LSTM, "lstm"), "gru": (GRU, "gru")}
NETS["gru before"] = (GRU_BEFORE, "gru")

# net: what is written, what the student wrote instead, what the message has to say.
PLANTED = [
    # sums over time
    (
        "rnn",
        "dWh += hs",
        "dWh = hs",
        "dWh equals the contribution of time step 0 alone: `=` where `+=`",
    ),
    (
        "rnn",
        "dWx += x",
        "dWx = x",
        "dWx equals the contribution of time step 0 alone: `=` where `+=`",
    ),
    (
        "lstm",
        "db += da",
        "db = da",
        "db equals the contribution of time step 0 alone: `=` where `+=`",
    ),
    (
        "rnn",
        "    return dx, dh_next, dWx, dWh, db",
        "    return dx, dh_next, dWx, dWh / T, db",
        "dWh is divided by T = 4: sum over the time steps",
    ),
    # the loop
    (
        "rnn",
        "dh = dout[:, t] + dh_next",
        "dh = dout[:, t]",
        "dh_t is right at t = 3, wrong from t = 2 on: the gradient from the step after (dh_next)",
    ),
    (
        "lstm",
        "dh = dout[:, t] + dh_next",
        "dh = dout[:, t]",
        "dh_t is right at t = 3, wrong from t = 2 on: the gradient from the step after (dh_next)",
    ),
    (
        "lstm",
        "dc = dc_next + dh",
        "dc = dh",
        "dc_t is right at t = 3, wrong from t = 2 on: the gradient from the step after (dc_next)",
    ),
    (
        "rnn",
        "dh = dout[:, t] + dh_next",
        "dh = dout[:, t] if t == T - 1 else dh_next",
        "the outputs' gradient (dout) is used at t = 3 alone",
    ),
    (
        "rnn",
        "for t in reversed(range(T)):",
        "for t in range(T):",
        "the loop over time runs forwards",
    ),
    (
        "rnn",
        "for t in reversed(range(T)):",
        "for t in range(T - 1, 0, -1):",
        "the loop over time ends before t = 0: time step 0 is left out",
    ),
    (
        "lstm",
        "for t in reversed(range(T)):",
        "for t in range(T - 2, -1, -1):",
        "of the last step, t = 3, is never used; does the loop over time start at t = 2?",
    ),
    (
        "lstm",
        "= saved[t]",
        "= saved[T - 1 - t]",
        "what the forward saved (the caches) is read in the wrong order of time",
    ),
    (
        "rnn",
        "dout[:, t] +",
        "dout[:, T - 1 - t] +",
        "the outputs' gradient (dout) is read in the wrong order of time",
    ),
    (
        "rnn",
        "dh = dout[:, t] + dh_next",
        "dh = dout[:, t] - dh_next",
        "dh_t: dh_next is subtracted",
    ),
    # nonlinearities
    ("rnn", "dh * (1 - hs[t + 1] ** 2)", "dh", "the derivative of tanh, 1 - h_t**2, is missing"),
    (
        "rnn",
        "(1 - hs[t + 1] ** 2)",
        "(1 - hs[t + 1])",
        "the derivative of tanh is 1 - h_t**2, not 1 - h_t",
    ),
    (
        "rnn",
        "(1 - hs[t + 1] ** 2)",
        "(1 - np.tanh(hs[t + 1]) ** 2)",
        "the derivative of tanh is 1 - h_t**2, not 1 - tanh(h_t)**2",
    ),
    (
        "lstm",
        "dag = dg * (1 - g**2)",
        "dag = dg",
        "the candidate g_t: the derivative of tanh, 1 - g_t**2, is missing",
    ),
    (
        "lstm",
        "daf = df * f * (1 - f)",
        "daf = df",
        "the forget gate f_t: the derivative of sigmoid, f_t (1 - f_t), is missing",
    ),
    (
        "lstm",
        "dao = do * o * (1 - o)",
        "dao = do * (1 - o**2)",
        "the output gate o_t: the derivative of tanh, 1 - o_t**2, is used for that of sigmoid",
    ),
    (
        "lstm",
        "dai = di * i * (1 - i)",
        "dai = di * ai * (1 - ai)",
        "the input gate i_t: the derivative of sigmoid is i_t (1 - i_t), not a_i (1 - a_i)",
    ),
    (
        "lstm",
        "(1 - np.tanh(c) ** 2)",
        "(1 - c**2)",
        "tanh(c_t): the derivative of tanh is 1 - tanh(c_t)**2, not 1 - c_t**2",
    ),
    (
        "gru",
        "dan = dn * (1 - n**2)",
        "dan = dn * n * (1 - n)",
        "the candidate n_t: the derivative of sigmoid, n_t (1 - n_t), is used for that of tanh",
    ),
    # factors and paths
    (
        "lstm",
        "df = dc * c_prev",
        "df = dc * c",
        "the gradient of the forget gate f_t uses c_t for c_{t-1}",
    ),
    (
        "lstm",
        "di = dc * g",
        "di = dc * c_prev",
        "the gradient of the input gate i_t uses c_{t-1} for g_t",
    ),
    (
        "lstm",
        "do = dh * np.tanh(c)",
        "do = dh * c",
        "the gradient of the output gate o_t uses c_t for tanh(c_t)",
    ),
    (
        "lstm",
        "dc_next = dc * f",
        "dc_next = dc",
        "dc_{t-1}: the factor the forget gate f_t is missing",
    ),
    ("lstm", "dc_next = dc * f", "dc_next = dc * i", "dc_{t-1} uses i_t for f_t"),
    (
        "lstm",
        "dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)",
        "dc = dc_next",
        "dc_t lacks the part that comes through tanh(c_t)",
    ),
    (
        "lstm",
        "dg = dc * i",
        "dg = dc",
        "the gradient of the candidate g_t: the factor the input gate i_t is missing",
    ),
    ("rnn", "dWh += hs[t].T", "dWh += hs[t + 1].T", "dWh uses h_t for h_{t-1}"),
    ("lstm", "dWh += h_prev.T", "dWh += h.T", "dWh uses h_t for h_{t-1}"),
    ("rnn", "dh_next = da @ Wh.T", "dh_next = da @ Wh", "dh_{t-1}: Wh is not transposed"),
    ("rnn", "dWx += x[:, t].T", "dWx += x[:, t - 1].T", "dWx uses x_t of the step before for x_t"),
    (
        "gru",
        "dh_next = dh * z + dah @ Wh.T",
        "dh_next = dah @ Wh.T",
        "dh_{t-1} lacks the part that comes through",
    ),
    (
        "gru",
        "dh_next = dh * z + dah @ Wh.T",
        "dh_next = dh + dah @ Wh.T",
        "dh_{t-1}: the factor the update gate z_t is missing",
    ),
    (
        "gru",
        "dhn = dan * r",
        "dhn = dan",
        "d((h_{t-1} Wh)[n]): the factor the reset gate r_t is missing",
    ),
    (
        "gru",
        "dz = dh * (h_prev - n)",
        "dz = dh * (n - h_prev)",
        "the gradient of the update gate z_t has the wrong sign",
    ),
    (
        "gru",
        "dn = dh * (1 - z)",
        "dn = dh * z",
        "the gradient of the candidate n_t uses z_t for 1.0 - z_t",
    ),
    ("gru before", "+ drh * r +", "+ drh +", "dh_{t-1}: the factor the reset gate r_t is missing"),
    ("gru before", "(r * h_prev).T @ dan", "h_prev.T @ dan", "dWh[n] uses h_{t-1} for r_t h_{t-1}"),
    (
        "gru before",
        "+ dar @ Wh[:, H : 2 * H].T",
        "",
        "dh_{t-1} lacks the part that comes through h_{t-1} @ Wh[r]",
    ),
    # gates
    (
        "lstm",
        "[dai, daf, dao, dag]",
        "[dai, daf, dag, dao]",
        "joins their gradients as i, f, g, o, the forward cuts i, f, o, g",
    ),
    ("lstm", "[dai, daf, dao, dag]", "[daf, dai, dao, dag]", "gates in another order"),
    (
        "gru",
        "([dar, daz, dan], 1)\n        dah = np.concatenate([dar, daz, dhn], 1)",
        "([daz, dar, dan], 1)\n        dah = np.concatenate([daz, dar, dhn], 1)",
        "gates in another order",
    ),
    ("lstm", "[dai, daf, dao, dag]", "[dai, 0 * daf, dao, dag]", "the gate f gets no gradient"),
    # one gradient
    (
        "rnn",
        "    return dx, dh_next, dWx, dWh, db",
        "    return dx.swapaxes(0, 1), dh_next, dWx, dWh, db",
        "dx is transposed",
    ),
    ("rnn", "dWh += hs[t].T @ da", "dWh += da.T @ hs[t]", "dWh is transposed"),
    (
        "rnn",
        "    return dx, dh_next, dWx, dWh, db",
        "    return dx, dh_next, dWx.T, dWh, db",
        "dWx is transposed: it has shape (6, 5), expected (5, 6)",
    ),
    (
        "rnn",
        "db += da.sum(0)",
        "db = db + da",
        "db is not summed over the batch (axis 0): it has shape (3, 6)",
    ),
    (
        "rnn",
        "db += da.sum(0)",
        "db += da.mean(0)",
        "db is divided by the batch size, 3: sum over the batch, without a mean",
    ),
    (
        "rnn",
        "db += da.sum(0)",
        "db += da[0]",
        "db is the gradient of sequence 0 of the batch alone",
    ),
    ("rnn", "db += da.sum(0)", "db -= da.sum(0)", "db has the wrong sign"),
    (
        "rnn",
        "    return dx, dh_next, dWx, dWh, db",
        "    return dx, np.zeros_like(dh_next), dWx, dWh, db",
        "dh0 is zero",
    ),
    (
        "rnn",
        "    return dx, dh_next, dWx, dWh, db",
        "    return dx, dh, dWx, dWh, db",
        "dh0 is the gradient of the state after time step 0, not of the initial one",
    ),
    (
        "rnn",
        "    return dx, dh_next, dWx, dWh, db",
        "    return dx[:, ::-1], dh_next, dWx, dWh, db",
        "dx has its time steps in reverse order",
    ),
    ("rnn", "dx[:, t] = da", "dx[:, t - 1] = da", "dx lies one time step earlier than it should"),
]


def told(net, *changes, **asked):
    source, reference = NETS[net]
    forward, backward = functions(source, *changes)
    with pytest.raises(AssertionError) as caught:
        check_bptt(forward, backward, reference, **asked)
    return str(caught.value)


@pytest.mark.parametrize("net", NETS)
def test_right_solutions_pass(net):
    source, reference = NETS[net]
    assert check_bptt(*functions(source), reference) is True


@pytest.mark.parametrize("row", PLANTED, ids=lambda row: f"{row[0]}: {row[2][:50]}")
def test_a_planted_mistake_is_named(row):
    net, old, new, text = row
    message = told(net, (old, new))
    assert text in message, message
    assert "the backward is wrong" in message
