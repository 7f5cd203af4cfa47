"""The pictures of the README, made anew: python examples/pictures.py

Each is a few lines, to be copied and changed. They go to examples/pictures/, or to the folder named
on the command line. Some seconds, most of them to teach an LSTM to remember a letter.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.scan.plan import Plan
from tinygrad_rnn.text import LanguageModel
from tinygrad_rnn.viz import GradientFlow

LETTERS = ":abcdefghijklmnopqrstuvwxyz"
TEXT = "q:gjmoxvabtrnce:"  # to be continued with the letter behind the first colon


def rnn() -> tg.Tensor:
    """Three steps of a vanilla RNN, written out; its weights shrink what passes through them."""
    rng = np.random.default_rng(0)
    W_x = tg.Tensor(rng.normal(size=(2, 3)), requires_grad=True, name="W_x")
    W_h = tg.Tensor(0.5 * np.linalg.qr(rng.normal(size=(3, 3)))[0], requires_grad=True, name="W_h")
    b = tg.Tensor(np.zeros(3), requires_grad=True, name="b")
    x = tg.Tensor(rng.normal(size=(3, 1, 2)), name="x")
    h = tg.Tensor(np.zeros((1, 3)), name="h_0")
    for _, x_t in tg.steps(x):
        h = tg.tanh(x_t @ W_x + h @ W_h + b)
        h.name = "h_t"
    loss = tg.sum(h * h)
    loss.name = "loss"
    return loss


def opened(lstm: tg.nn.LSTM, bias: float) -> tg.nn.LSTM:
    """The LSTM with another bias of its forget gates: the larger, the longer it remembers."""
    H = lstm.hidden_size
    biases = lstm.bias_ih_l0.numpy()
    biases[H : 2 * H] = bias
    lstm.bias_ih_l0.data = biases
    return lstm


def layers() -> dict[str, tg.nn.Module]:
    """One of each kind, of the same size, as they are before training."""
    return {
        "RNN": tg.nn.RNN(8, 16, rng=0),
        "GRU": tg.nn.GRU(8, 16, rng=0),
        "LSTM": tg.nn.LSTM(8, 16, rng=0),
        "LSTM, forget bias 3": opened(tg.nn.LSTM(8, 16, rng=0), 3),
    }


def last_state(layer: tg.nn.Module, T: int = 16) -> tg.Tensor:
    """A loss that looks at the end of T steps only: what the start gets has to come all the way."""
    x = np.random.default_rng(1).normal(size=(T, 1, 8))
    y, _ = layer(x, unroll=True)
    return tg.sum(y[-1] * y[-1])


def recall(seed: int = 0, steps: int = 600) -> GradientFlow:
    """An LSTM is taught to repeat the letter behind the first colon: what does it look back at?"""
    rng = np.random.default_rng(seed)
    model = LanguageModel(len(LETTERS), 8, 32, rng=seed)
    opened(model.recurrent, 2)
    optimizer = tg.optim.Adam(model.parameters(), 0.01)
    for _ in range(steps):
        ids = rng.integers(1, 27, (len(TEXT), 32))
        ids[1] = ids[-1] = 0
        model.zero_grad()
        logits, _ = model(ids)
        tg.nn.cross_entropy(logits[-1], ids[2]).backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
    ids = np.array([LETTERS.index(letter) for letter in TEXT])
    logits, _ = model(ids[:, None], unroll=True)
    said = int(logits[-1, 0].data.argmax())
    logit = logits[-1, 0, said]
    logit.name = f"logit of {LETTERS[said]!r}"
    return tg.gradient_flow(logit, text=list(TEXT))


def linear_rnn(size: float, T: int = 16) -> tg.Tensor:
    """A linear RNN; its W_h is a rotation times ``size``, the factor of every step back."""
    rng = np.random.default_rng(0)
    W_x = tg.Tensor(rng.normal(size=(2, 3)), requires_grad=True, name="W_x")
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    W_h = tg.Tensor(size * rotation, requires_grad=True, name="W_h")
    h = tg.Tensor(np.zeros((1, 3)), name="h_0")
    for _, x_t in tg.steps(tg.Tensor(rng.normal(size=(T, 1, 2)), name="x")):
        h = x_t @ W_x + h @ W_h
        h.name = "h_t"
    return tg.sum(h * h)


class Translator(tg.nn.Module):
    """An encoder, and a decoder that looks at all of the encoder's states at every step."""

    def __init__(self, size: int, hidden: int, rng: np.random.Generator):
        super().__init__()
        self.encoder = tg.nn.GRUCell(size, hidden, rng=rng, bias=False)
        self.decoder = tg.nn.GRUCell(size + hidden, hidden, rng=rng, bias=False)

    def forward(self, source: tg.Tensor, target: tg.Tensor) -> tg.Tensor:
        h, states = None, []
        for _, x_t in tg.steps(source):
            h = self.encoder(x_t, h)
            states.append(h)
        memory = tg.stack(states)
        for _, y_t in tg.steps(target):
            attention = tg.softmax(tg.sum(memory * h, -1, keepdims=True), 0)
            context = tg.sum(attention * memory, 0)
            h = self.decoder(tg.concatenate([y_t, context], -1), h)
        return tg.sum(h * h)


def translated() -> tg.Tensor:
    """Six words are read and four written."""
    rng = np.random.default_rng(0)
    source, target = (tg.Tensor(rng.normal(size=(T, 1, 4)), dtype=np.float32) for T in (6, 4))
    return Translator(4, 8, rng)(source, target)


def plan() -> Plan:
    """How scan runs a cell with one gate, h_t = f_t h_{t-1} + (1 - f_t) n_t."""
    rng = np.random.default_rng(0)
    W = tg.Tensor(rng.normal(size=(8, 3)), requires_grad=True, name="W")
    U = tg.Tensor(rng.normal(size=(8, 4)), requires_grad=True, name="U")

    def cell(h: tg.Tensor, x_t: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        f, n = tg.split(tg.linear(x_t, W) + tg.linear(h, U), 2, -1)
        f = tg.sigmoid(f)
        h = f * h + (1 - f) * tg.tanh(n)
        return h, h

    return tg.scan_plan(cell, np.zeros((16, 4)), rng.normal(size=(100, 16, 3)))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nets = layers()
    graphs = {
        "rnn": tg.draw(rnn(), grads=True),
        "lstm_cells": tg.draw(last_state(nets["LSTM"], 4), detail="cell", grads=True),
        "scan_plan": tg.draw(plan()),
    }
    flows = {name: tg.gradient_flow(last_state(net)) for name, net in nets.items()}
    drawn = {
        "rnn_flow": flows["RNN"],
        "lstm_flow": flows["LSTM, forget bias 3"],
        "compare": tg.compare(flows),
        "exploding": tg.gradient_flow(linear_rnn(3)),
        "sizes": tg.compare(
            {f"{size} W": tg.gradient_flow(linear_rnn(size)) for size in (0.5, 1, 3)}
        ),
        "translator": tg.gradient_flow(translated()),
        "recall": recall(),
    }
    for name, graph in graphs.items():
        graph.render(outfile=folder / f"{name}.svg", cleanup=True)
    for name, picture in drawn.items():
        picture.save(folder / f"{name}.svg")
    for name in (*graphs, *drawn):
        print(f"wrote {folder / name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
