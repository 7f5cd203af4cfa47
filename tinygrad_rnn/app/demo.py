"""``python -m tinygrad_rnn demo``: train an LSTM on real text in half a minute, and draw it.

The demo trains a character-level LSTM with truncated BPTT on the Python manual, which ships with
CPython. It prints the held-out bits per character, next to those of unigram, bigram and trigram
models. It prints a text that the model writes before and after the training. At last it draws the
graph of a short window, with the gradients that flow back through it.

Runs with the same seed and the same number of steps give the same numbers: the learning rate
depends on the step and not on the time.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import subprocess
import textwrap
from pathlib import Path

import numpy as np
from numpy import ndarray

from .. import nn, optim
from ..data import python_manual
from ..text import (
    LanguageModel,
    NGram,
    Streams,
    Vocabulary,
    bits_per_character,
    sample,
)
from . import outputs
from .arguments import whole
from .progress import Progress
from .truncated_bptt import learn

STEPS = 1500
HIDDEN, EMBEDDING = 128, 32
BATCH, WINDOW = 32, 50
LEARNING_RATE, MAX_NORM = 0.01, 1.0

PROMPT = "The "
SAMPLE = 280
FILES = ("bptt.dot", "bptt.svg")
KIND = "drawn window"
DRAWN = "Python"  # the window to draw: five steps, each predicts the next character


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps", type=whole(1), default=STEPS, help="training steps (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="for all random numbers (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where to write bptt.svg and bptt.dot (default: the current folder)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace existing files of these names, of any kind",
    )


def main(args: argparse.Namespace) -> int:
    directory: Path = args.out
    directory.mkdir(parents=True, exist_ok=True)
    if not os.access(directory, os.W_OK):
        raise PermissionError(f"cannot write into {directory}")
    for name in FILES:
        outputs.claim(directory / name, KIND, overwrite=args.overwrite)
    text = python_manual()
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    cut = len(ids) * 9 // 10
    training, held_out = ids[:cut], ids[cut:]
    print(
        f"text      the manual of Python {platform.python_version()} (pydoc_data.topics): "
        f"{len(text):,} characters, {len(vocabulary)} different, the last tenth held out"
    )

    weights, draws = np.random.default_rng(args.seed).spawn(2)
    model = LanguageModel(len(vocabulary), EMBEDDING, HIDDEN, rng=weights)
    size = sum(parameter.size for parameter in model.parameters())
    print(
        f"model     {HIDDEN} LSTM units, {size:,} parameters; truncated BPTT over {WINDOW} steps "
        f"of {BATCH} streams"
    )
    test = Streams(held_out, BATCH, WINDOW)
    untrained = bits_per_character(model, test)
    _print_sample("before", model, vocabulary, draws)

    train(model, Streams(training, BATCH, WINDOW), args.steps)

    print("\nheld-out bits per character")
    for order, name in enumerate(("unigram", "bigram", "trigram"), 1):
        bits = NGram(training, len(vocabulary), order).bits_per_character(held_out)
        print(f"  {name:<22}{bits:.2f}")
    print(f"  {'LSTM, untrained':<22}{untrained:.2f}")
    print(f"  {f'LSTM, {args.steps} steps':<22}{bits_per_character(model, test):.2f}")

    _print_sample("after", model, vocabulary, draws)

    print()
    wrote = draw_window(model, vocabulary.encode(DRAWN), directory)
    print(
        f"wrote     {' and '.join(map(str, wrote))}: {len(DRAWN) - 1} steps of the trained model,"
    )
    print("          the arrows show the forward pass, their colours the norm of the gradient")
    commands = {
        f"demo --steps {4 * args.steps}": "trains four times as long",
        "check": "checks every derivative",
    }
    print("next")
    for command, purpose in commands.items():
        print(f"          python -m tinygrad_rnn {command:<18}{purpose}")
    print(f"          {Path(__file__)} is the code of this demo, to start from")
    return 0


def train(model: LanguageModel, windows: Streams, steps: int) -> None:
    """Train by truncated BPTT with Adam; the learning rate falls linearly to 0.

    Args:
        model: trained in place.
        windows: the text.
        steps: the number of steps, one window each.
    """
    optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def rate(step: int) -> float:
        return optim.linear_lr(step, LEARNING_RATE, steps)

    losses = learn(model, optimizer, windows, steps, rate, max_norm=MAX_NORM)
    with Progress(steps, "training") as progress:
        for step, (loss, _) in enumerate(losses, 1):
            progress.update(step, bits=loss / math.log(2))


def _print_sample(
    when: str, model: LanguageModel, vocabulary: Vocabulary, rng: np.random.Generator
) -> None:
    ids = sample(model, vocabulary.encode(PROMPT), SAMPLE, temperature=0.7, rng=rng)
    written = (PROMPT + vocabulary.decode(ids)).rstrip()
    print(f"\nwhat it writes {when} training")
    print(textwrap.indent(written, "  | ", lambda line: True))


def draw_window(model: LanguageModel, ids: ndarray, directory: Path) -> list[Path]:
    """Draw the graph of predicting ``ids[1:]`` from ``ids[:-1]``, with its gradients.

    Returns:
        The paths of the new files: bptt.dot, and bptt.svg if a renderer is installed.
    """
    from ..viz import draw

    logits, _ = model(ids[:-1, None], unroll=True)
    loss = nn.cross_entropy(logits.reshape(len(ids) - 1, -1), ids[1:])
    loss.name = "loss"
    drawing = draw(loss, detail="op", grads=True)
    dot, svg = (directory / name for name in FILES)
    outputs.write(dot, drawing.source.encode("utf-8"), KIND)
    try:
        picture = drawing.pipe(format="svg", quiet=True)
    except RuntimeError as error:
        print(f"no {svg.name}: {error}")
        return [dot]
    except (subprocess.CalledProcessError, BrokenPipeError) as error:
        print(f"no {svg.name}: {outputs.died(error)}")
        return [dot]
    outputs.write(svg, picture, KIND)
    return [svg, dot]
