"""Right forwards and backwards as students write them, as text in which lines can be changed."""

import numpy as np

RNN = """
def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    hs = [h0]
    for t in range(T):
        a = x[:, t] @ Wx + hs[t] @ Wh + b
        h = np.tanh(a)
        hs.append(h)
    return np.stack(hs[1:], 1), (x, hs, Wx, Wh)


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
        dh_next = da @ Wh.T
        dWx += x[:, t].T @ da
        dWh += hs[t].T @ da
        db += da.sum(0)
    return dx, dh_next, dWx, dWh, db
"""

LSTM = """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h, c = h0, np.zeros_like(h0)
    hs, cs, saved = [], [], []
    for t in range(T):
        a = x[:, t] @ Wx + h @ Wh + b
        ai, af, ao, ag = a[:, :H], a[:, H : 2 * H], a[:, 2 * H : 3 * H], a[:, 3 * H :]
        i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
        c_prev, h_prev = c, h
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        saved.append((x[:, t], h_prev, c_prev, i, f, o, g, c, h, ai, af, ao, ag))
        hs.append(h)
    return np.stack(hs, 1), (saved, Wx, Wh)


def backward(dout, cache):
    saved, Wx, Wh = cache
    N, T, H = dout.shape
    dx = np.zeros((N, T, len(Wx)))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wh.shape[1])
    dh_next, dc_next = np.zeros((N, H)), np.zeros((N, H))
    for t in reversed(range(T)):
        x, h_prev, c_prev, i, f, o, g, c, h, ai, af, ao, ag = saved[t]
        dh = dout[:, t] + dh_next
        do = dh * np.tanh(c)
        dc = dc_next + dh * o * (1 - np.tanh(c) ** 2)
        df = dc * c_prev
        di = dc * g
        dg = dc * i
        dc_next = dc * f
        dai = di * i * (1 - i)
        daf = df * f * (1 - f)
        dao = do * o * (1 - o)
        dag = dg * (1 - g**2)
        da = np.concatenate([dai, daf, dao, dag], 1)
        dx[:, t] = da @ Wx.T
        dh_next = da @ Wh.T
        dWx += x.T @ da
        dWh += h_prev.T @ da
        db += da.sum(0)
    return dx, dh_next, dWx, dWh, db
"""

GRU = """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(x, h0, Wx, Wh, bx, bh):
    T, N, D = x.shape
    H = h0.shape[1]
    h, hs, saved = h0, [], []
    for t in range(T):
        ax, ah = x[t] @ Wx + bx, h @ Wh + bh
        r = sigmoid(ax[:, :H] + ah[:, :H])
        z = sigmoid(ax[:, H : 2 * H] + ah[:, H : 2 * H])
        hn = ah[:, 2 * H :]
        n = np.tanh(ax[:, 2 * H :] + r * hn)
        h_prev = h
        h = (1 - z) * n + z * h_prev
        saved.append((x[t], h_prev, r, z, n, hn, h))
        hs.append(h)
    return np.stack(hs), (saved, Wx, Wh)


def backward(dout, cache):
    saved, Wx, Wh = cache
    T, N, H = dout.shape
    dx = np.zeros((T, N, len(Wx)))
    dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
    dbx, dbh = np.zeros(3 * H), np.zeros(3 * H)
    dh_next = np.zeros((N, H))
    for t in reversed(range(T)):
        x, h_prev, r, z, n, hn, h = saved[t]
        dh = dout[t] + dh_next
        dn = dh * (1 - z)
        dz = dh * (h_prev - n)
        dan = dn * (1 - n**2)
        dr = dan * hn
        dhn = dan * r
        dar = dr * r * (1 - r)
        daz = dz * z * (1 - z)
        dax = np.concatenate([dar, daz, dan], 1)
        dah = np.concatenate([dar, daz, dhn], 1)
        dx[t] = dax @ Wx.T
        dh_next = dh * z + dah @ Wh.T
        dWx += x.T @ dax
        dWh += h_prev.T @ dah
        dbx += dax.sum(0)
        dbh += dah.sum(0)
    return dx, dh_next, dWx, dWh, dbx, dbh
"""

GRU_BEFORE = """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h, hs, saved = h0, [], []
    for t in range(T):
        ax = x[:, t] @ Wx + b
        z = sigmoid(ax[:, :H] + h @ Wh[:, :H])
        r = sigmoid(ax[:, H : 2 * H] + h @ Wh[:, H : 2 * H])
        n = np.tanh(ax[:, 2 * H :] + (r * h) @ Wh[:, 2 * H :])
        h_prev = h
        h = (1 - z) * h_prev + z * n
        saved.append((x[:, t], h_prev, r, z, n, h))
        hs.append(h)
    return np.stack(hs, 1), (saved, Wx, Wh)


def backward(dout, cache):
    saved, Wx, Wh = cache
    N, T, H = dout.shape
    dx = np.zeros((N, T, len(Wx)))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(3 * H)
    dh_next = np.zeros((N, H))
    for t in reversed(range(T)):
        x, h_prev, r, z, n, h = saved[t]
        dh = dout[:, t] + dh_next
        dn = dh * z
        dz = dh * (n - h_prev)
        dan = dn * (1 - n**2)
        drh = dan @ Wh[:, 2 * H :].T
        dr = drh * h_prev
        daz = dz * z * (1 - z)
        dar = dr * r * (1 - r)
        da = np.concatenate([daz, dar, dan], 1)
        dx[:, t] = da @ Wx.T
        dh_next = dh * (1 - z) + drh * r + daz @ Wh[:, :H].T + dar @ Wh[:, H : 2 * H].T
        dWx += x.T @ da
        dWh[:, :H] += h_prev.T @ daz
        dWh[:, H : 2 * H] += h_prev.T @ dar
        dWh[:, 2 * H :] += (r * h_prev).T @ dan
        db += da.sum(0)
    return dx, dh_next, dWx, dWh, db
"""


def functions(source, *changes):
    """forward and backward of a source in which some lines are others."""
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} is there {source.count(old)} times"
        source = source.replace(old, new)
    names = {"np": np}
    exec(source, names)
    return names["forward"], names["backward"]
