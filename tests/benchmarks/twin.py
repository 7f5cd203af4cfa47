"""Train the same language model here and in PyTorch: ``python -m tests.benchmarks.twin TEXT``.

The same first weights, the same batches, the same optimiser: a two-layer LSTM of 128 units on
characters, windows of 50 steps in 50 streams, Adam with a learning rate of 0.002. It prints the
largest relative difference of the losses over the first 100 steps and the held-out bits per
character of both at the end, and fails if they are more than 0.1 % and 1 % apart.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from typing import Any

import numpy as np
import torch

import tinygrad_rnn as tg
from tinygrad_rnn.app.progress import Progress
from tinygrad_rnn.text import LanguageModel, Streams, Vocabulary, bits_per_character, read_text

HIDDEN, LAYERS, WINDOW, BATCH, RATE = 128, 2, 50, 50, 0.002


class Twin(torch.nn.Module):
    """LanguageModel, in torch's modules and under the same names."""

    def __init__(self, size: int):
        super().__init__()
        self.embedding = torch.nn.Embedding(size, HIDDEN)
        self.recurrent = torch.nn.LSTM(HIDDEN, HIDDEN, LAYERS)
        self.output = torch.nn.Linear(HIDDEN, size)

    def forward(self, ids: Any, state: Any = None) -> Any:
        hidden, state = self.recurrent(self.embedding(ids), state)
        return self.output(hidden), state


def held_out_bits(model: Twin, windows: Streams) -> float:
    state, nats, count = None, 0.0, 0
    with torch.no_grad():
        for x, y in windows:
            logits, state = model(torch.tensor(x), state)
            flat = torch.tensor(y.reshape(-1))
            nats += float(
                torch.nn.functional.cross_entropy(
                    logits.reshape(len(flat), -1), flat, reduction="sum"
                )
            )
            count += len(flat)
    return nats / count / math.log(2)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.twin", description=__doc__.splitlines()[0]
    )
    parser.add_argument("text", help="a UTF-8 text file")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)

    text = read_text(options.text)
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    cut = len(ids) * 9 // 10
    training, held_out = Streams(ids[:cut], BATCH, WINDOW), Streams(ids[cut:], BATCH, WINDOW)

    mine = LanguageModel(len(vocabulary), HIDDEN, HIDDEN, num_layers=LAYERS, rng=options.seed)
    theirs = Twin(len(vocabulary))
    theirs.load_state_dict({name: torch.tensor(array) for name, array in mine.state_dict().items()})
    my_adam = tg.optim.Adam(mine.parameters(), lr=RATE)
    their_adam = torch.optim.Adam(theirs.parameters(), lr=RATE)

    my_state: Any = None
    their_state: Any = None
    my_losses, their_losses, my_time, their_time = [], [], 0.0, 0.0
    with Progress(options.steps, "both") as progress:
        for step in range(options.steps):
            x, y = training[step % len(training)]
            if step % len(training) == 0:
                my_state = their_state = None
            target = y.reshape(-1)

            start = time.perf_counter()
            logits, my_state = mine(x, my_state)
            loss = tg.nn.cross_entropy(logits.reshape(len(target), -1), target)
            my_adam.zero_grad()
            loss.backward()
            my_adam.step()
            my_state = tuple(carried.detach() for carried in my_state)
            my_losses.append(loss.item())
            middle = time.perf_counter()

            logits, their_state = theirs(torch.tensor(x), their_state)
            their_loss = torch.nn.functional.cross_entropy(
                logits.reshape(len(target), -1), torch.tensor(target)
            )
            their_adam.zero_grad()
            their_loss.backward()
            their_adam.step()
            their_state = tuple(carried.detach() for carried in their_state)
            their_losses.append(their_loss.item())
            my_time += middle - start
            their_time += time.perf_counter() - middle
            progress.update(step + 1, ours=my_losses[-1], torch=their_losses[-1])

    ours, peer = np.array(my_losses), np.array(their_losses)
    difference = float(np.max(np.abs(ours - peer)[:100] / peer[:100]))
    my_bits, their_bits = bits_per_character(mine, held_out), held_out_bits(theirs, held_out)
    apart = abs(my_bits - their_bits) / their_bits
    print(f"losses of the first 100 steps differ by at most {difference:.1e} (target 1e-3)")
    print(
        f"held-out bits per character after {options.steps} steps: ours {my_bits:.4f}, "
        f"PyTorch {their_bits:.4f}, {100 * apart:.2f} % apart (target 1 %)"
    )
    print(f"time per step: ours / PyTorch {my_time / their_time:.2f}")
    return 0 if difference <= 1e-3 and apart <= 0.01 else 1


if __name__ == "__main__":
    sys.exit(main())
