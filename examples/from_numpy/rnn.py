"""A recurrent net that reads its own functions, character by character.

    h_t = tanh([x_t, h_{t-1}, 1] W),   log p(x_{t+1}) = log softmax([h_t, 1] V)

Every line of them is one sequence of a batch; the first state is learned, too.
"""

from pathlib import Path

import numpy as np
from descent import adam

from tinygrad_rnn import value_and_grad

LENGTH = 24
TEXT = Path(__file__).read_text(encoding="utf-8").partition("\n\n\n")[2]
CHARACTERS = sorted(set(TEXT))


def log_softmax(z):
    z = z - np.max(z, axis=1, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))


def affine(weights, *parts):
    """The parts beside each other, and a 1, times a matrix."""
    return np.dot(np.hstack((*parts, np.ones((parts[0].shape[0], 1)))), weights)


def predictions(p, inputs):
    """log p of the first character, and of the one after each; inputs (T, N, D)."""
    h = np.repeat(p["start"], inputs.shape[1], axis=0)
    found = [log_softmax(affine(p["V"], h))]
    for x in inputs:
        h = np.tanh(affine(p["W"], x, h))
        found.append(log_softmax(affine(p["V"], h)))
    return found


def one_hot(lines):
    """(T, N, D); lines that are too short are filled with blanks."""
    rows = [[CHARACTERS.index(c) for c in line[:LENGTH].ljust(LENGTH)] for line in lines]
    return np.eye(len(CHARACTERS))[np.array(rows).T]


def mean_loss(model, p, batch):
    """Nats a character."""
    total = 0.0
    for expected, found in zip(batch, model(p, batch), strict=False):
        total -= np.sum(found * expected)
    return total / (batch.shape[0] * batch.shape[1])


def batch_of_lines():
    return one_hot([line for line in TEXT.splitlines() if line.strip()])


def problem(units=24):
    """The loss, and where to start."""
    rng = np.random.default_rng(0)
    batch, D = batch_of_lines(), len(CHARACTERS)

    def loss(p):
        return mean_loss(predictions, p, batch)

    return loss, {
        "start": 0.1 * rng.normal(size=(1, units)),
        "W": 0.1 * rng.normal(size=(D + units + 1, units)),
        "V": 0.1 * rng.normal(size=(units + 1, D)),
    }


def train(steps):
    loss, p = problem()
    return adam(value_and_grad(loss), p, steps, rate=0.03)


def written(model, p, lines=3):
    """Lines of its own: each character is drawn from what the model expects after the others."""
    rng = np.random.default_rng(0)
    for _ in range(lines):
        text = ""
        while len(text) < LENGTH:
            log_p = model(p, one_hot([text])[: len(text)])[-1][0]
            text += CHARACTERS[rng.choice(len(CHARACTERS), p=np.exp(log_p))]
        print(f"  it writes: {text}")


def main(steps=80):
    p, losses = train(steps)
    written(predictions, p)
    print(f"rnn: {losses[0]:.2f} nats a character, after {steps} steps {losses[-1]:.2f}")
    return losses


if __name__ == "__main__":
    main()
