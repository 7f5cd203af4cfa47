"""Make the pictures of the README: python examples/pictures.py

Each takes a few lines, for you to copy and change. The files go to examples/pictures/, or to the
folder on the command line. It takes some seconds, most of them to train an LSTM.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.text import LanguageModel
from tinygrad_rnn.viz import Drawing, GradientFlow

LETTERS = ":abcdefghijklmnopqrstuvwxyz"
TEXT = "q:gjmoxvabtrnce:"  # the next letter is the one after the first colon, g


def rnn() -> tg.Tensor:
    """Return the loss of a vanilla RNN over three steps. Its W_h halves every gradient."""
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


def with_forget_bias(lstm: tg.nn.LSTM, bias: float) -> tg.nn.LSTM:
    """Set the forget bias of an LSTM: the larger it is, the longer the LSTM remembers."""
    H = lstm.hidden_size
    biases = lstm.bias_ih_l0.numpy()
    biases[H : 2 * H] = bias
    lstm.bias_ih_l0.data = biases
    return lstm


def layers() -> dict[str, tg.nn.Module]:
    """Return untrained layers of each kind, all of the same size."""
    return {
        "RNN": tg.nn.RNN(8, 16, rng=0),
        "GRU": tg.nn.GRU(8, 16, rng=0),
        "LSTM": tg.nn.LSTM(8, 16, rng=0),
        "LSTM, forget bias 3": with_forget_bias(tg.nn.LSTM(8, 16, rng=0), 3),
    }


def last_state(layer: tg.nn.Module, T: int = 16) -> tg.Tensor:
    """Return a loss of the last of T states: its gradient goes back through all steps."""
    x = np.random.default_rng(1).normal(size=(T, 1, 8))
    y, _ = layer(x, unroll=True)
    return tg.sum(y[-1] * y[-1])


def recall(seed: int = 0, steps: int = 600) -> GradientFlow:
    """Train an LSTM to repeat the letter after the first colon; follow the answer's gradient."""
    rng = np.random.default_rng(seed)
    model = LanguageModel(len(LETTERS), 8, 32, rng=seed)
    with_forget_bias(model.recurrent, 2)
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
    answer = int(logits[-1, 0].data.argmax())
    logit = logits[-1, 0, answer]
    logit.name = f"logit of {LETTERS[answer]!r}"
    return tg.gradient_flow(logit, text=list(TEXT))


def linear_rnn(size: float, T: int = 16) -> tg.Tensor:
    """Return a loss of a linear RNN. Each step back multiplies the gradient by ``size``."""
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
    """An encoder, and a decoder with attention to all states of the encoder."""

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
    """Return a loss of a Translator that reads six words and writes four."""
    rng = np.random.default_rng(0)
    source, target = (tg.Tensor(rng.normal(size=(T, 1, 4)), dtype=np.float32) for T in (6, 4))
    return Translator(4, 8, rng)(source, target)


def plan() -> Drawing:
    """Draw how tg.scan runs a cell with one gate, h_t = f_t h_{t-1} + (1 - f_t) n_t."""
    rng = np.random.default_rng(0)
    W = tg.Tensor(rng.normal(size=(8, 3)), requires_grad=True, name="W")
    U = tg.Tensor(rng.normal(size=(8, 4)), requires_grad=True, name="U")

    def cell(h: tg.Tensor, x_t: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        f, n = tg.split(tg.linear(x_t, W) + tg.linear(h, U), 2, -1)
        f = tg.sigmoid(f)
        h = f * h + (1 - f) * tg.tanh(n)
        return h, h

    return tg.draw(tg.scan_plan(cell, np.zeros((16, 4)), rng.normal(size=(100, 16, 3))))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    nets = layers()
    graphs = {
        "rnn": tg.draw(rnn(), grads=True),
        "lstm_cells": tg.draw(last_state(nets["LSTM"], 4), detail="cell", grads=True),
        "scan_plan": plan(),
    }
    flows = {name: tg.gradient_flow(last_state(net)) for name, net in nets.items()}
    pictures = {
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
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.svg")
    for name in (*graphs, *pictures):
        print(f"wrote {folder / name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
