"""A right forward and backward in any of the conventions that courses have."""

import itertools
from typing import NamedTuple

import numpy as np


class Written(NamedTuple):
    """How a course writes the net."""

    net: str
    gates: str
    batch_first: bool
    columns: bool
    biases: int
    initial: bool  # whether the initial states are arguments
    cells: bool  # of an LSTM, whether the cell states are returned too
    last: bool  # whether the last states are returned in the place of all
    z_keeps: bool
    reset_after: bool
    single: bool  # whether everything is float32


GATES = {"rnn": "h", "lstm": "ifgo", "gru": "rzn"}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def names_of(w):
    names = ["x"]
    if w.initial:
        names += ["h0", "c0"] if w.net == "lstm" else ["h0"]
    names += ["Wx", "Wh"]
    return names + {0: [], 1: ["b"], 2: ["bx", "bh"]}[w.biases]


def functions(w):
    """forward and backward, with arguments of the usual names."""
    names = names_of(w)
    kind = np.float32 if w.single else np.float64

    def forward(*arrays):
        given = dict(zip(names, arrays, strict=True))
        x = given["x"] if w.batch_first else given["x"].swapaxes(0, 1)
        N, T, _ = x.shape
        Wx, Wh = (given[n] if w.columns else given[n].T for n in ("Wx", "Wh"))
        H = len(Wh)
        bx = given.get("b", given.get("bx", np.zeros(Wx.shape[1], kind)))
        bh = given.get("bh", np.zeros(Wx.shape[1], kind))
        h = given.get("h0", np.zeros((N, H), kind))
        c = given.get("c0", np.zeros((N, H), kind))
        cut = {g: slice(k * H, (k + 1) * H) for k, g in enumerate(w.gates)}
        saved, hs, cs = [], [], []
        for t in range(T):
            values = step(w, cut, x[:, t], h, c, Wx, Wh, bx, bh)
            saved.append(values)
            h, c = values["h"], values.get("c", c)
            hs.append(h)
            cs.append(c)
        axis = 1 if w.batch_first else 0
        outputs = [hs, cs] if w.cells else [hs]
        made = [part[-1] if w.last else np.stack(part, axis) for part in outputs]
        return (*made, (saved, given, cut, bx, bh))

    def backward(*args):
        *gradients, (saved, given, cut, bx, bh) = args
        T = len(saved)
        axis = 1 if w.batch_first else 0
        of = [
            [g if t == T - 1 else 0 * g for t in range(T)]
            if w.last
            else list(np.moveaxis(g, axis, 0))
            for g in gradients
        ]
        N, H = saved[0]["h"].shape
        zeros = np.zeros((N, H), kind)
        found = {name: np.zeros_like(x) for name, x in given.items()}
        dWx, dWh = (
            np.zeros((given[n] if w.columns else given[n].T).shape, kind) for n in ("Wx", "Wh")
        )
        dbx, dbh = np.zeros_like(bx), np.zeros_like(bh)
        dh, dc, dxs = zeros, zeros, []
        for t in reversed(range(T)):
            dh = dh + of[0][t]
            if w.cells:
                dc = dc + of[1][t]
            v = saved[t]
            dax, dah, dh_direct, dc, extra = back(w, cut, v, dh, dc)
            dWx += v["x"].T @ dax
            dWh += v["h_prev"].T @ dah
            dbx += dax.sum(0)
            dbh += dah.sum(0)
            dxs.append(dax @ v["Wx"].T)
            dh = dh_direct + dah @ v["Wh"].T
            if extra is not None:  # the product with the state that was reset
                d_reset = extra @ v["Wh"][:, cut["n"]].T
                dWh[:, cut["n"]] += (v["r"] * v["h_prev"]).T @ extra
                dbh[cut["n"]] += extra.sum(0)
                dh = dh + d_reset * v["r"]
        found["x"] = np.stack(dxs[::-1], 1 if w.batch_first else 0)
        found["Wx"], found["Wh"] = (dWx, dWh) if w.columns else (dWx.T, dWh.T)
        found |= {"h0": dh, "c0": dc, "b": dbx, "bx": dbx, "bh": dbh}
        return tuple(found[name] for name in names)

    arguments = ", ".join(names)
    space = {"forward_": forward}
    exec(f"def forward({arguments}): return forward_({arguments})", space)
    return space["forward"], backward


def step(w, cut, x, h, c, Wx, Wh, bx, bh):
    v = {"x": x, "h_prev": h, "c_prev": c, "Wx": Wx, "Wh": Wh}
    ax = x @ Wx + bx
    if w.net == "gru" and not w.reset_after:
        ah = h @ Wh
        ah[:, cut["n"]] = 0
        ah = ah + bh
    else:
        ah = h @ Wh + bh
    if w.net == "rnn":
        v["h"] = np.tanh(ax + ah)
        return v
    a = ax + ah
    if w.net == "lstm":
        for g in "ifo":
            v[g] = sigmoid(a[:, cut[g]])
        v["g"] = np.tanh(a[:, cut["g"]])
        v["c"] = v["f"] * c + v["i"] * v["g"]
        v["h"] = v["o"] * np.tanh(v["c"])
        return v
    v["r"], v["z"] = sigmoid(a[:, cut["r"]]), sigmoid(a[:, cut["z"]])
    if w.reset_after:
        v["hn"] = ah[:, cut["n"]]
        reset = v["r"] * v["hn"]
    else:
        reset = (v["r"] * h) @ Wh[:, cut["n"]] + ah[:, cut["n"]]
    v["n"] = np.tanh(ax[:, cut["n"]] + reset)
    keep = v["z"] if w.z_keeps else 1 - v["z"]
    v["h"] = keep * h + (1 - keep) * v["n"]
    return v


def back(w, cut, v, dh, dc):
    """The gradients of both sums, what goes to h_{t-1} and c_{t-1} directly, and of (r h) Wh."""
    if w.net == "rnn":
        da = dh * (1 - v["h"] ** 2)
        return da, da, 0 * dh, dc, None
    rows = v["Wx"].shape[1]
    if w.net == "lstm":
        tc = np.tanh(v["c"])
        dc = dc + dh * v["o"] * (1 - tc**2)
        parts = {
            "i": dc * v["g"] * v["i"] * (1 - v["i"]),
            "f": dc * v["c_prev"] * v["f"] * (1 - v["f"]),
            "g": dc * v["i"] * (1 - v["g"] ** 2),
            "o": dh * tc * v["o"] * (1 - v["o"]),
        }
        da = np.zeros((len(dh), rows), dh.dtype)
        for g, part in parts.items():
            da[:, cut[g]] = part
        return da, da, 0 * dh, dc * v["f"], None
    keep = v["z"] if w.z_keeps else 1 - v["z"]
    dn = dh * (1 - keep) * (1 - v["n"] ** 2)
    dz = dh * (v["h_prev"] - v["n"]) * (1 if w.z_keeps else -1) * v["z"] * (1 - v["z"])
    dax, dah = np.zeros((len(dh), rows), dh.dtype), np.zeros((len(dh), rows), dh.dtype)
    extra = None
    if w.reset_after:
        dr = dn * v["hn"]
        dah[:, cut["n"]] = dn * v["r"]
    else:
        extra = dn
        dr = (dn @ v["Wh"][:, cut["n"]].T) * v["h_prev"]
    dr = dr * v["r"] * (1 - v["r"])
    dax[:, cut["n"]] = dn
    for g, part in (("r", dr), ("z", dz)):
        dax[:, cut[g]] = dah[:, cut[g]] = part
    return dax, dah, dh * keep, dc, extra


def all_ways():
    """Every combination, for random choice."""
    both = (False, True)
    for net, gates in GATES.items():
        orders = ["".join(p) for p in itertools.permutations(gates)]
        for values in itertools.product(
            orders, both, both, (0, 1, 2), both, both, both, both, both, both
        ):
            written = Written(net, *values)
            if written.cells and net != "lstm":
                continue
            yield written
