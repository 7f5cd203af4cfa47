"""Random recurrent programs, written twice: in the library, and in NumPy for one sequence alone.

The NumPy version is the oracle. It adds a *nudge* to any single value: a state, a state as it is
handed over, a memory as one step reads it, a weight as one step uses it. Central differences over
the nudges are then the numbers that a gradient flow has to show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy import ndarray

import tinygrad_rnn as tg

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
LAYERS = {"rnn": tg.nn.RNN, "gru": tg.nn.GRU, "lstm": tg.nn.LSTM}
CELLS = {"rnn": tg.nn.RNNCell, "gru": tg.nn.GRUCell, "lstm": tg.nn.LSTMCell}
D = 2  # the length of an input

#: What is added to a value: by the key of the value.
Nudge = Callable[[Any, ndarray], ndarray]


@dataclass(frozen=True)
class Program:
    """What is run.

    Attributes:
        cell: of the layers or of the loop.
        own: a loop over tg.steps in the place of layers; with ``scan`` the same through tg.scan.
        hidden, layers, bidirectional: of the layers.
        lengths: of the sequences of the batch.
        padded: steps behind the longest one.
        unroll: op by op, or the fast path.
        mask: how a loop of one's own masks: by "where" or by a "product", from step ``mask_from``.
        detach: a step of a loop of one's own behind which the state is detached.
        decoder: how many steps a decoder runs that gets the last state; 0 for none.
        attention: whether it reads the outputs of all steps.
        inside: whether the losses are computed in the loop (its own, or the decoder's).
        second: whether there is a second loss, of the last states.
        seed: of all numbers.
    """

    cell: str
    own: bool
    scan: bool
    hidden: int
    layers: int
    bidirectional: bool
    lengths: tuple[int, ...]
    padded: int
    unroll: bool
    mask: str
    mask_from: int
    detach: int | None
    decoder: int
    attention: bool
    inside: bool
    second: bool
    seed: int

    @property
    def T(self) -> int:
        return max(self.lengths) + self.padded

    @property
    def N(self) -> int:
        return len(self.lengths)

    @property
    def directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)


@st.composite
def programs(draw: Any) -> Program:
    own = draw(st.booleans())
    scan = own and draw(st.booleans())
    loop = own and not scan
    lengths = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    decoder = draw(st.sampled_from([0, 0, 2, 3]))
    first = draw(st.integers(0, 2)) if loop else 0
    return Program(
        cell=draw(st.sampled_from(sorted(GATES))),
        own=own,
        scan=scan,
        hidden=draw(st.integers(1, 3)),
        layers=1 if own else draw(st.integers(1, 3)),
        bidirectional=not own and not decoder and draw(st.booleans()),
        lengths=lengths,
        padded=draw(st.integers(0, 1)),
        unroll=draw(st.booleans()),
        mask=draw(st.sampled_from(["where", "product"])),
        mask_from=min(first, min(lengths)),
        detach=draw(st.none() | st.integers(0, 2)) if loop else None,
        decoder=decoder,
        attention=bool(decoder) and draw(st.booleans()),
        inside=draw(st.booleans()) if loop or decoder else False,
        second=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
    )


class Numbers:
    """The inputs and weights of a program, by name, in float64."""

    def __init__(self, p: Program):
        rng = np.random.default_rng(p.seed)
        H, G = p.hidden, GATES[p.cell]
        self.x = rng.normal(size=(p.T, p.N, D))
        self.fed = rng.normal(size=(max(p.decoder, 1), p.N, D))
        self.weights: dict[str, ndarray] = {}
        size = D
        for layer in range(p.layers):
            for direction in p.directions:
                suffix = "" if p.own else f"_l{layer}{direction}"
                self.weights |= {
                    f"weight_ih{suffix}": rng.normal(size=(G * H, size)) / 2,
                    f"weight_hh{suffix}": rng.normal(size=(G * H, H)) * 0.7,
                    f"bias_ih{suffix}": rng.normal(size=G * H) / 2,
                    f"bias_hh{suffix}": rng.normal(size=G * H) / 2,
                }
            size = H * len(p.directions)
        extra = H if p.attention else 0
        self.decoder = {
            "weight_ih": rng.normal(size=(G * H, D + extra)) / 2,
            "weight_hh": rng.normal(size=(G * H, H)) * 0.7,
            "bias_ih": rng.normal(size=G * H) / 2,
            "bias_hh": rng.normal(size=G * H) / 2,
        }
        self.score = rng.normal(size=(p.T, p.N, size))  # of the outputs, in the loss
        self.score_decoder = rng.normal(size=(max(p.decoder, 1), p.N, H))
        self.last = rng.normal(size=(p.N, H))


# ── in the library ───────────────────────────────────────────────────────────────────────


def run(p: Program, numbers: Numbers) -> tuple[Any, dict[str, Any]]:
    """The loss, and the weights by the names that the oracle has for them."""
    weights: dict[str, Any] = {}
    H = p.hidden
    if p.own:
        cell: Any = CELLS[p.cell](D, H, dtype=np.float64, rng=0)
        cell.load_state_dict(numbers.weights)
        weights |= dict(cell.named_parameters())
        ys, state, losses = own_scan(p, numbers, cell) if p.scan else own_loop(p, numbers, cell)
    else:
        layer: Any = LAYERS[p.cell](
            D, H, p.layers, bidirectional=p.bidirectional, dtype=np.float64, rng=0
        )
        layer.load_state_dict(numbers.weights)
        weights |= dict(layer.named_parameters())
        ys, state = layer(numbers.x, lengths=p.lengths, unroll=p.unroll)
        state = state if p.cell == "lstm" else (state,)
        state = tuple(part[-1] for part in state)
        losses = []
    total: Any = sum(losses) if losses else None
    if not p.decoder and not p.inside:
        total = tg.sum(tg.square(ys) * numbers.score)
    if p.decoder:
        with tg.scope("decoder"):
            cell = CELLS[p.cell](D + H * p.attention, H, dtype=np.float64, rng=0)
            cell.load_state_dict(numbers.decoder)
        weights |= {f"decoder.{name}": w for name, w in cell.named_parameters()}
        decoded = decode(p, numbers, cell, ys, state)
        total = decoded if total is None else total + decoded
    if p.second:
        total = total + tg.sum(tg.tanh(state[0]) * numbers.last)
    return total, weights


def own_scan(p: Program, numbers: Numbers, cell: Any) -> tuple[Any, Any, list[Any]]:
    def step(carry: Any, x_t: Any) -> Any:
        carry = one(cell, x_t, carry)
        return carry, carry[0]

    state = tuple(np.zeros((p.N, p.hidden)) for _ in range(1 + (p.cell == "lstm")))
    state, ys = tg.scan(step, state, numbers.x, lengths=p.lengths, unroll=p.unroll)
    return ys, state, []


def one(cell: Any, x_t: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """A step of any cell, with the state as a tuple."""
    if len(state) == 1:
        return (cell(x_t, state[0]),)
    return cell(x_t, state)  # type: ignore[no-any-return]


def own_loop(p: Program, numbers: Numbers, cell: Any) -> tuple[Any, Any, list[Any]]:
    """Masked by hand."""
    state: Any = tuple(tg.Tensor(np.zeros((p.N, p.hidden))) for _ in range(1 + (p.cell == "lstm")))
    ys, losses = [], []
    for t, x_t in tg.steps(numbers.x):
        new = one(cell, x_t, state)
        mask = (t < np.array(p.lengths))[:, None]
        if t >= p.mask_from and p.mask == "where":
            state = tuple(tg.where(mask, b, a) for a, b in zip(state, new, strict=True))
        elif t >= p.mask_from:
            state = tuple(
                mask * 1.0 * b + (1.0 - mask) * a for a, b in zip(state, new, strict=True)
            )
        else:
            state = new
        y = tg.where(mask, new[0], 0.0)
        if p.inside and not p.decoder:
            losses.append(tg.sum(tg.square(y) * numbers.score[t]))
        ys.append(y)
        if t == p.detach:
            state = tuple(part.detach() for part in state)
    return tg.stack(ys), state, losses


def decode(p: Program, numbers: Numbers, cell: Any, ys: Any, state: Any) -> Any:
    memory = tg.swapaxes(ys, 0, 1)  # (N, T, H)
    readable = np.arange(p.T) < np.array(p.lengths)[:, None]
    total: Any = 0.0
    hs = []
    with tg.scope("decoder"):
        for t, x_t in tg.steps(numbers.fed):
            if p.attention:
                scores = tg.einsum("nh,nth->nt", state[0], memory)
                a = tg.softmax(tg.where(readable, scores, -np.inf))
                x_t = tg.concatenate([x_t, tg.einsum("nt,nth->nh", a, memory)], -1)
            state = one(cell, x_t, state)
            hs.append(state[0])
            if p.inside:
                total = total + tg.sum(tg.square(state[0]) * numbers.score_decoder[t])
    if not p.inside:
        total = tg.sum(tg.square(tg.stack(hs)) * numbers.score_decoder)
    return total


# ── in NumPy, one sequence alone ─────────────────────────────────────────────────────────


def sigmoid(x: ndarray) -> ndarray:
    return 1 / (1 + np.exp(-x))


def numpy_step(
    cell: str,
    x: ndarray,
    state: list[ndarray],
    w: dict[str, ndarray],
    nudged: Callable[[int, ndarray], ndarray],
) -> list[ndarray]:
    """One step; ``nudged(part, value)`` is called with h (part 0) and c (part 1)."""
    from_x = w["weight_ih"] @ x + w["bias_ih"]
    from_h = w["weight_hh"] @ state[0] + w["bias_hh"]
    if cell == "rnn":
        return [nudged(0, np.tanh(from_x + from_h))]
    if cell == "gru":
        (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(from_x, 3), np.split(from_h, 3)
        z = sigmoid(z_x + z_h)
        n = np.tanh(n_x + sigmoid(r_x + r_h) * n_h)
        return [nudged(0, (1 - z) * n + z * state[0])]
    i, f, g, o = np.split(from_x + from_h, 4)
    c = nudged(1, sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g))
    return [nudged(0, sigmoid(o) * np.tanh(c)), c]


def alone(p: Program, numbers: Numbers, n: int, nudge: Nudge, frozen: Any = None) -> float:
    """The loss of sequence n.

    Args:
        nudge: called with the key of every value: ("state", part, (layer, direction, t)),
            ("handed", part), ("read", t, s), ("weight", name, t), ("decoder", part, t),
            ("decoder weight", name, t).
        frozen: the detached state of an earlier run, which nudges must not reach.
    """
    length = p.lengths[n]
    parts = 1 + (p.cell == "lstm")
    xs = list(numbers.x[:length, n])
    state: list[ndarray] = []
    for layer in range(p.layers):
        outputs = []
        for direction in p.directions:
            suffix = "" if p.own else f"_l{layer}{direction}"
            state = [np.zeros(p.hidden) for _ in range(parts)]
            ys: list[Any] = [None] * length
            for t in range(length)[:: -1 if direction else 1]:
                w = {
                    name: nudge(("weight", name + suffix, t), numbers.weights[name + suffix])
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                }
                at = (layer, direction, t)
                state = numpy_step(
                    p.cell, xs[t], state, w, lambda k, x, at=at: nudge(("state", k, at), x)
                )
                ys[t] = state[0]
                # A batch is detached as a whole, sequences that have ended too.
                if p.detach is not None and t == min(p.detach, length - 1) and p.detach < p.T:
                    if frozen is not None:
                        state = list(frozen)
                    else:
                        alone.detached = [part.copy() for part in state]  # type: ignore[attr-defined]
            outputs.append(ys)
        xs = [np.concatenate(both) for both in zip(*outputs, strict=True)]
    total = 0.0
    if not p.decoder:
        total += sum(float((y**2) @ numbers.score[t, n]) for t, y in enumerate(xs))
    if p.decoder:
        handed = [nudge(("handed", k), part) for k, part in enumerate(state)]
        for t in range(p.decoder):
            x = numbers.fed[t, n]
            if p.attention:
                memory = np.array([nudge(("read", t, s), y) for s, y in enumerate(xs)])
                scores = memory @ handed[0]
                a = np.exp(scores - scores.max())
                x = np.concatenate([x, a / a.sum() @ memory])
            w = {
                name: nudge(("decoder weight", name, t), value)
                for name, value in numbers.decoder.items()
            }
            handed = numpy_step(p.cell, x, handed, w, lambda k, x, t=t: nudge(("decoder", k, t), x))
            total += float((handed[0] ** 2) @ numbers.score_decoder[t, n])
    if p.second:
        total += float(np.tanh(state[0]) @ numbers.last[n])
    return total


def gradient(p: Program, numbers: Numbers, n: int, key: Any, shape: tuple[int, ...]) -> ndarray:
    """By central differences, the gradient of sequence n's loss with respect to a nudge."""
    frozen = None
    if p.detach is not None:
        alone.detached = None  # type: ignore[attr-defined]
        alone(p, numbers, n, lambda _, value: value)
        frozen = alone.detached  # type: ignore[attr-defined]
    found = np.zeros(shape)
    eps = 1e-6
    for index in np.ndindex(shape):
        sides = []
        for sign in (1, -1):

            def nudge(which: Any, value: ndarray, sign: int = sign, index: Any = index) -> ndarray:
                if which != key:
                    return value
                value = value.copy()
                value[index] += sign * eps
                return value

            sides.append(alone(p, numbers, n, nudge, frozen))
        found[index] = (sides[0] - sides[1]) / (2 * eps)
    return found
