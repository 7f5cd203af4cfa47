"""The same with an LSTM, whose cell state is kept, forgotten and written by gates.

f, i, o = sigmoid([x_t, h_{t-1}, 1] W_f, W_i, W_o)
c_t = f c_{t-1} + i tanh([x_t, h_{t-1}, 1] W_c),   h_t = o tanh(c_t)
"""

import numpy as np
from descent import adam
from rnn import CHARACTERS, affine, batch_of_lines, log_softmax, mean_loss, written

from tinygrad_rnn import value_and_grad


def sigmoid(z):
    return (np.tanh(z / 2) + 1) / 2


def predictions(p, inputs):
    """log p of the first character, and of the one after each; inputs (T, N, D)."""
    h = np.repeat(p["h"], inputs.shape[1], axis=0)
    c = np.repeat(p["c"], inputs.shape[1], axis=0)
    found = [log_softmax(affine(p["V"], h))]
    for x in inputs:
        forget, enter, leave = (sigmoid(affine(p[name], x, h)) for name in ("W_f", "W_i", "W_o"))
        c = forget * c + enter * np.tanh(affine(p["W_c"], x, h))
        h = leave * np.tanh(c)
        found.append(log_softmax(affine(p["V"], h)))
    return found


def problem(units=24):
    """The loss, and where to start."""
    rng = np.random.default_rng(0)
    batch, D = batch_of_lines(), len(CHARACTERS)
    weights = dict.fromkeys(("W_f", "W_i", "W_o", "W_c"), (D + units + 1, units))
    shapes = {"h": (1, units), "c": (1, units), **weights, "V": (units + 1, D)}

    def loss(p):
        return mean_loss(predictions, p, batch)

    return loss, {name: 0.1 * rng.normal(size=shape) for name, shape in shapes.items()}


def train(steps):
    loss, p = problem()
    return adam(value_and_grad(loss), p, steps, rate=0.03)


def main(steps=60):
    p, losses = train(steps)
    written(predictions, p)
    print(f"lstm: {losses[0]:.2f} nats a character, after {steps} steps {losses[-1]:.2f}")
    return losses


if __name__ == "__main__":
    main()
