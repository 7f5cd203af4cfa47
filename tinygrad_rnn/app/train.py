"""``python -m tinygrad_rnn train FILE``: a recurrent language model of any UTF-8 text.

Truncated BPTT with Adam. Every ``--save-every`` steps the model is measured on the held-out end of
the text and everything that the next step depends on goes into one file: parameters, the
optimiser's memory, the recurrent state, the states of the random generators, the position in the
text. It is replaced in one step, so that a run that was killed, at whatever moment, and goes on
with ``--resume`` ends with the same bits as one that was never interrupted.
"""

from __future__ import annotations

import argparse
import glob
import hashlib
import math
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .. import io, optim
from ..text import (
    LanguageModel,
    Streams,
    Vocabulary,
    bits_per_character,
    bptt_step,
    read_text,
)
from ..text import (
    words as words_of,
)
from ..viz.curve import loss_curve
from .arguments import Unusable, number, whole
from .progress import Progress, duration

KIND = "tinygrad_rnn language model"
UNKNOWN = "<unk>"
MOST_HELD_OUT = 200_000  # symbols: more would only make the same figure slower

#: The learning rate as a function of the step, of --lr and of --steps.
SCHEDULES: dict[str, Callable[[int, float, int], float]] = {
    "linear": optim.linear_lr,
    "cosine": optim.cosine_lr,
    "constant": lambda step, lr, steps: lr,
}

# What a run is; the other half may change when it is resumed.
FIXED: dict[str, Any] = {
    "cell": "lstm",
    "hidden": 128,
    "layers": 1,
    "embedding": 64,
    "dropout": 0.0,
    "words": False,
    "vocabulary": 10_000,
    "held_out": 0.1,
    "bptt": 64,
    "batch": 32,
    "seed": 0,
}
CHANGEABLE: dict[str, Any] = {
    "lr": 0.01,
    "schedule": "linear",
    "max_norm": 1.0,
    "teacher_forcing": 1.0,
    "steps": 2000,
    "epochs": None,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    # Left out, an argument has no value at all, so that --resume sees which ones were given.
    parser.argument_default = argparse.SUPPRESS
    defaults = {**FIXED, **CHANGEABLE}

    def add(group: Any, name: str, meaning: str, **keywords: Any) -> None:
        shown = defaults[name.strip("-").replace("-", "_")]
        meaning += f" (default: {shown:,})" if isinstance(shown, int) else f" (default: {shown})"
        group.add_argument(name, help=meaning, **keywords)

    parser.add_argument("file", type=Path, metavar="FILE", help="a text in UTF-8, any script")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("checkpoint.npz"),
        metavar="CHECKPOINT.npz",
        help="where to write the checkpoint, and beside it the loss curve as .svg "
        "(default: %(default)s)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_true",
        default=False,
        help="go on from the checkpoint, with its settings; without one, start",
    )
    existing.add_argument(
        "--overwrite", action="store_true", default=False, help="forget an existing checkpoint"
    )

    model = parser.add_argument_group("model")
    add(model, "--cell", "recurrent cell", choices=("lstm", "gru", "rnn"))
    add(model, "--hidden", "units in a layer", type=whole(1), metavar="H")
    add(model, "--layers", "recurrent layers", type=whole(1), metavar="L")
    add(model, "--embedding", "length of the vector of a symbol", type=whole(1), metavar="D")
    add(model, "--dropout", "probability, between layers", type=number(0, 1), metavar="P")

    text = parser.add_argument_group("text")
    text.add_argument(
        "--words", action="store_true", help="predict words (default: characters), bits per word"
    )
    add(
        text,
        "--vocabulary",
        f"with --words: how many to keep, the most frequent ones; others are {UNKNOWN}",
        type=whole(2),
        metavar="V",
    )
    add(
        text,
        "--held-out",
        f"part at the end that is measured on and not trained on, at most {MOST_HELD_OUT:,} "
        "symbols",
        type=number(0, 0.9),
        metavar="PART",
    )

    training = parser.add_argument_group("training")
    add(training, "--bptt", "steps that the gradient flows back", type=whole(1), metavar="T")
    add(training, "--batch", "parallel streams", type=whole(1), metavar="N")
    add(training, "--lr", "learning rate of Adam", type=number(0, above=True), metavar="RATE")
    add(training, "--schedule", "how the rate falls", choices=tuple(SCHEDULES))
    add(training, "--max-norm", "gradients are clipped to", type=number(0), metavar="NORM")
    add(
        training,
        "--teacher-forcing",
        "probability that a step reads the text and not what the model itself predicted",
        type=number(0, 1),
        metavar="P",
    )
    add(training, "--seed", "of all random numbers", type=whole(0))
    length = training.add_mutually_exclusive_group()
    add(length, "--steps", "windows to train on", type=whole(1))
    length.add_argument("--epochs", type=whole(1), help="the same as times through the text")
    training.add_argument(
        "--save-every",
        type=whole(1),
        default=250,
        metavar="STEPS",
        help="how often to measure and to save (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> int:
    """Train, save, report.

    Returns:
        0; 1 where the loss is no number any more; 130 after Ctrl-C, with everything saved.

    Raises:
        Unusable: the text is too short or no text, the checkpoint another one.
        OSError: a file cannot be read or written.
    """
    checkpoint = _existing(args)
    settings = _settings(args, checkpoint)
    if settings["dropout"] and settings["layers"] == 1:
        raise Unusable("--dropout acts between layers: it takes --layers 2 or more")
    try:
        text = read_text(args.file)
    except ValueError as error:
        raise Unusable(str(error)) from None
    corpus = Corpus(text, args.file, settings)
    if checkpoint is not None and checkpoint["training"]["text"] != corpus.digest:
        raise Unusable(f"{args.out} was trained on another text than {args.file}")
    run = Run(corpus, settings)
    if checkpoint is not None:
        run.restore(checkpoint, args.out)
    run.describe(args.file, args.out, resumed=checkpoint is not None)
    _remove_leftovers(args.out)
    if run.step >= run.steps:
        print(f"done      nothing left of {run.steps:,} steps; --steps {2 * run.steps} goes on")
        return 0
    with np.errstate(over="ignore", invalid="ignore"):  # what diverges is told once, below
        try:
            stopped = run.train(args.out, args.save_every)
        except Diverged as error:
            print(
                f"stopped: {error}. {args.out} keeps step {run.saved or 0:,}, the last good one; "
                "--resume with a lower --lr or --max-norm goes on from there",
                file=sys.stderr,
            )
            return 1
    again = f"python -m tinygrad_rnn train {shlex.quote(str(args.file))} --resume"
    if args.out != Path("checkpoint.npz"):
        again += f" --out {shlex.quote(str(args.out))}"
    print(f"wrote     {args.out} and {_curve_path(args.out)}")
    if stopped:
        print(f"stopped   at step {run.step:,} of {run.steps:,}; to go on: {again}")
        return 130
    print(f"next      python -m tinygrad_rnn sample {shlex.quote(str(args.out))}")
    print(f"          {again} --steps {2 * run.steps}")
    return 0


def _remove_leftovers(out: Path) -> None:
    """The unfinished files of a run that was killed while it saved."""
    for path in (out, _curve_path(out)):
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            leftover.unlink(missing_ok=True)


class Diverged(Exception):
    """The loss, or a parameter, is not a finite number any more."""


def _existing(args: argparse.Namespace) -> dict[str, Any] | None:
    """The checkpoint to go on from, if that was asked for and there is one."""
    out: Path = args.out
    if out.suffix != ".npz":
        raise Unusable(f"--out: expected a path that ends in .npz, got {out}")
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        if args.resume:
            print(f"start     there is no {out} yet")
        return None
    if args.resume:
        return read_checkpoint(out)
    if not args.overwrite:
        raise Unusable(f"{out} exists: add --resume to go on with it, or --overwrite")
    return None


def _settings(args: argparse.Namespace, checkpoint: dict[str, Any] | None) -> dict[str, Any]:
    given = {k: v for k, v in vars(args).items() if k in FIXED or k in CHANGEABLE}
    if checkpoint is None:
        return {**FIXED, **CHANGEABLE, **given}
    before: dict[str, Any] = checkpoint["training"]["settings"]
    for name in FIXED:
        if name in given and given[name] != before[name]:
            option = f"--{name.replace('_', '-')}"
            raise Unusable(
                f"{args.out} was trained with {option} {before[name]}, not {given[name]}; leave "
                f"{option} out to go on with it"
            )
    if "steps" in given:
        before = {**before, "epochs": None}
    return {**before, **given}


# ── checkpoints ──────────────────────────────────────────────────────────────────────────


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What ``train`` wrote.

    Raises:
        OSError: the file cannot be read.
        Unusable: it is something else, or damaged.
    """
    try:
        checkpoint = io.load(path)
    except ValueError as error:
        raise Unusable(str(error)) from None
    if checkpoint.get("kind") != KIND:
        raise Unusable(
            f"{path}: expected a checkpoint of 'train', got a file with "
            f"{', '.join(map(repr, list(checkpoint)[:4])) or 'nothing'}"
        )
    return checkpoint


def load_model(path: Path) -> tuple[LanguageModel, Vocabulary]:
    """The model and the vocabulary in a checkpoint.

    Raises:
        OSError: the file cannot be read.
        Unusable: it is no checkpoint, or damaged.
    """
    checkpoint = read_checkpoint(path)
    with _blamed_on(path):
        vocabulary = Vocabulary(**checkpoint["vocabulary"])
        model = LanguageModel(len(vocabulary), **checkpoint["model"]["settings"], rng=0)
        model.load_state_dict(checkpoint["model"]["parameters"])
    return model, vocabulary


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise Unusable(f"{path}: not a checkpoint of this version: {error}") from error


# ── text ─────────────────────────────────────────────────────────────────────────────────


class Corpus:
    """A text as ids, cut into what is trained on and what is measured on.

    Args:
        text: the text.
        path: where it came from, for messages.
        settings: ``words``, ``vocabulary``, ``held_out``, ``batch`` and ``bptt``.

    Attributes:
        vocabulary: of the whole text; of words the most frequent ones of the training part.
        training: Streams.
        test: Streams, or None where nothing is held out.
        digest: a hash of the text.

    Raises:
        Unusable: the text is too short for the settings.
    """

    def __init__(self, text: str, path: Path, settings: dict[str, Any]):
        self.name, self.words = path.name, bool(settings["words"])
        self.unit = "word" if self.words else "character"
        self.digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        symbols = words_of(text) if self.words else text
        self.size = len(symbols)
        held_out = min(math.ceil(self.size * settings["held_out"]), MOST_HELD_OUT)
        cut = self.size - held_out
        least = settings["batch"] + 1
        if cut < least or 0 < held_out < 2:
            raise Unusable(
                f"{path} has {_count(self.size, self.unit)}, {cut:,} of them to train on; "
                f"--batch {settings['batch']} takes at least {least:,}"
                + (", and two more to be held out" if held_out else "")
            )
        if self.words:
            size = settings["vocabulary"]
            self.vocabulary = Vocabulary(symbols[:cut], words=True, unknown=UNKNOWN, size=size)
        else:
            self.vocabulary = Vocabulary(text)
        ids = self.vocabulary.encode(symbols)
        self.training = Streams(ids[:cut], settings["batch"], settings["bptt"])
        self.test = (
            Streams(ids[cut:], min(settings["batch"], held_out - 1), settings["bptt"])
            if held_out
            else None
        )

    def __str__(self) -> str:
        different = f"{len(self.vocabulary):,} {'of them kept' if self.words else 'different'}"
        held_out = "" if self.test is None else ", the end held out"
        return f"{_count(self.size, self.unit)}, {different}{held_out}"


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'s' * (number != 1)}"


# ── a run ────────────────────────────────────────────────────────────────────────────────


class Run:
    """A model in training: everything that the next step depends on.

    Args:
        corpus: the text.
        settings: as in FIXED and CHANGEABLE.

    Attributes:
        step: how many steps were made.
        steps: how many are to be made.
        saved: the step that the checkpoint holds; None before there is one.
    """

    def __init__(self, corpus: Corpus, settings: dict[str, Any]):
        self.corpus, self.settings = corpus, settings
        epochs = settings["epochs"]
        self.steps: int = epochs * len(corpus.training) if epochs else settings["steps"]
        weights, self.rng = np.random.default_rng(settings["seed"]).spawn(2)
        self._model_settings = {
            "embedding_dim": settings["embedding"],
            "hidden_size": settings["hidden"],
            "num_layers": settings["layers"],
            "cell": settings["cell"],
            "dropout": settings["dropout"],
        }
        self.model = LanguageModel(len(corpus.vocabulary), **self._model_settings, rng=weights)
        self.optimizer = optim.Adam(self.model.parameters(), lr=settings["lr"])
        self.step = 0
        self.saved: int | None = None
        self.state: Any = None
        self.losses: list[float] = []  # in bits, one for each step
        self.held_out: list[tuple[float, float]] = []  # steps and bits

    # ── saving ───────────────────────────────────────────────────────────────────────────

    def checkpoint(self) -> dict[str, Any]:
        """Everything, for ``tg.save``."""
        return {
            "kind": KIND,
            "model": {"settings": self._model_settings, "parameters": self.model.state_dict()},
            "vocabulary": self.corpus.vocabulary.state_dict(),
            "training": {
                "settings": self.settings,
                "text": self.corpus.digest,
                "step": self.step,
                "state": _arrays(self.state),
                "optimizer": self.optimizer.state_dict(),
                "generators": [rng.bit_generator.state for rng in self._generators()],
                "losses": np.array(self.losses),
                "held_out": np.array(self.held_out).reshape(-1, 2),
            },
        }

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Go on from a checkpoint of the same settings and text.

        Raises:
            Unusable: it does not hold what it should.
        """
        with _blamed_on(path):
            training = checkpoint["training"]
            self.model.load_state_dict(checkpoint["model"]["parameters"])
            self.optimizer.load_state_dict(training["optimizer"])
            for rng, state in zip(self._generators(), training["generators"], strict=True):
                rng.bit_generator.state = state
            self.state = training["state"]
            self.step = self.saved = training["step"]
            self.losses = training["losses"].tolist()
            self.held_out = [(step, bits) for step, bits in training["held_out"].tolist()]

    def _generators(self) -> tuple[np.random.Generator, ...]:
        return self.rng, self.model.recurrent.rng  # of teacher forcing and of dropout

    def _save(self, path: Path) -> None:
        finite = all(np.isfinite(p.data).all() for p in self.model.parameters())
        if not finite:
            raise Diverged(f"a parameter is not finite after step {self.step:,}")
        io.save(path, self.checkpoint())
        self.saved = self.step
        if self.losses or self.held_out:
            title = f"{self.corpus.name}: {self._units()}"
            unit = f"bits per {self.corpus.unit}"
            svg = loss_curve(title, unit, self.losses, self.held_out)
            with io.replacing(_curve_path(path)) as file:
                file.write(svg.encode("utf-8"))

    def _units(self) -> str:
        settings = self.settings
        return f"{settings['layers']} x {settings['hidden']} {settings['cell'].upper()} units"

    # ── training ─────────────────────────────────────────────────────────────────────────

    def train(self, path: Path, save_every: int) -> bool:
        """Make the steps that are left; measure and save at every multiple of ``save_every``.

        Returns:
            Whether Ctrl-C ended it before the last step; everything is saved then as well.

        Raises:
            Diverged: the loss or a parameter is not a finite number any more.
        """
        windows, settings = self.corpus.training, self.settings
        schedule = SCHEDULES[settings["schedule"]]
        table = _Table(self)
        with _ctrl_c() as asked, Progress(self.steps, "training", done=self.step) as progress:
            if self.saved is None:
                self._measure()
                self._save(path)
                progress.print(table.row())
            while self.step < self.steps:
                place = self.step % len(windows)
                self.optimizer.lr = schedule(self.step, settings["lr"], self.steps)
                loss, self.state = bptt_step(
                    self.model,
                    self.optimizer,
                    windows[place],
                    self.state if place else None,
                    max_norm=settings["max_norm"],
                    teacher_forcing=settings["teacher_forcing"],
                    rng=self.rng,
                )
                if not math.isfinite(loss):
                    raise Diverged(f"the loss is {loss} at step {self.step + 1:,}")
                self.step += 1
                self.losses.append(loss / math.log(2))
                progress.update(self.step, loss=loss, bits=self.losses[-1])
                if self.step % save_every == 0 or self.step == self.steps:
                    self._measure()
                    self._save(path)
                    progress.print(table.row())
                elif asked:
                    self._save(path)
                if asked:
                    return self.step < self.steps
        return False

    def _measure(self) -> None:
        """The bits per symbol of the held-out text."""
        if self.corpus.test is None:
            return
        self.model.eval()
        bits = bits_per_character(self.model, self.corpus.test)
        self.model.train()
        if not math.isfinite(bits):
            raise Diverged(f"the held-out loss is {bits} after step {self.step:,}")
        self.held_out.append((self.step, bits))

    def describe(self, text: Path, out: Path, resumed: bool) -> None:
        """Print what is about to be done."""
        settings = self.settings
        size = sum(parameter.size for parameter in self.model.parameters())
        print(f"text      {text}: {self.corpus}")
        print(
            f"model     {self._units()}, {size:,} parameters; truncated BPTT over "
            f"{settings['bptt']} steps of {settings['batch']} streams"
        )
        if resumed:
            print(f"resume    {out}: step {self.step:,} of {self.steps:,}")


class _Table:
    """The lines that a run prints, one whenever it measures and saves."""

    def __init__(self, run: Run):
        self.run = run
        self._start, self._first = time.monotonic(), run.step
        self._from = run.step
        self._head = f"\n{'step':>10}{'loss':>9}{'bits':>9}{'held out':>10}{'steps/s':>9}   left"

    def row(self) -> str:
        run = self.run
        done, seconds = run.step - self._first, time.monotonic() - self._start
        recent = run.losses[self._from :]
        mean = math.fsum(recent) / len(recent) if recent else None
        bits = _figure(mean)
        nats = _figure(mean and mean * math.log(2))
        held_out = _figure(run.held_out[-1][1] if run.held_out else None)
        rate = f"{done / seconds:.1f}" if done else ""
        left = duration((run.steps - run.step) * seconds / done) if done else ""
        head, self._head, self._from = self._head, "", run.step
        row = f"{run.step:>10,}{nats:>9}{bits:>9}{held_out:>10}{rate:>9}   {left}".rstrip()
        return f"{head}\n{row}" if head else row


def _figure(loss: float | None) -> str:
    if loss is None:
        return ""
    return f"{loss:.3f}" if loss < 1000 else f"{loss:.1e}"


def _arrays(state: Any) -> Any:
    """A recurrent state with arrays in the place of Tensors."""
    if isinstance(state, tuple):
        return tuple(_arrays(member) for member in state)
    return None if state is None else np.asarray(state).copy()


def _curve_path(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".svg")


@contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C is pressed: it is heeded between two steps.

    Pressed a second time it is the KeyboardInterrupt that it always was.
    """
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    try:
        before = signal.signal(signal.SIGINT, press)
    except ValueError:  # not the main thread, which Ctrl-C does not reach
        yield pressed
        return
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
