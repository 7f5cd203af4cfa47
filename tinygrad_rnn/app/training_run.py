"""A model in training: its steps, its measurements and its checkpoints.

The checkpoint has everything that the next step depends on: parameters, the optimiser's state, the
recurrent state, the states of the random generators, and the position in the text. The file is
replaced atomically. So a run that was killed at any moment and goes on with ``--resume`` ends with
the same bits as a run without interruption.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .. import io, optim
from ..text import LanguageModel
from ..text.model import total_nats
from ..viz.curve import loss_curve
from . import outputs
from .arguments import Unusable, refuse_if_too_large
from .checkpoints import KIND, blamed_on
from .corpus import Corpus
from .logs import Log
from .progress import Progress, duration
from .ranks import Ranks
from .settings import SCHEDULES
from .truncated_bptt import learn

CURVE = "loss curve"

#: Called with the numbers of every step; the training ends if it returns True.
Callback = Callable[[dict[str, Any]], Any]


class Diverged(FloatingPointError):
    """The loss, or a parameter, is not a finite number any more."""


class Run:
    """A model in training: everything that the next step depends on.

    Args:
        corpus: the text.
        settings: a value for every name in ``SETTINGS``.
        ranks: the processes that train the model (default: this one alone).

    Attributes:
        step: the number of steps so far.
        steps: the number of steps of the whole run.
        saved: the step of the checkpoint; None if there is no checkpoint yet.
        losses: the loss of every step, in bits per symbol.
        held_out: pairs of step and bits, one for each measurement.
        stopped: what ended the training before the last step: None, "patience", "callback" or the
            name of a signal.

    Raises:
        Unusable: the model cannot fit into this machine's memory, or the warm-up is too long.
    """

    def __init__(self, corpus: Corpus, settings: dict[str, Any], ranks: Ranks | None = None):
        self.corpus, self.settings = corpus, settings
        self.ranks = Ranks() if ranks is None else ranks
        if settings["batch"] < self.ranks.size:
            raise Unusable(
                f"--batch {settings['batch']} are fewer streams than there are ranks, "
                f"{self.ranks.size}"
            )
        epochs, accumulate = settings["epochs"], settings["accumulate"]
        windows = len(corpus.training)
        self.steps: int = -(-epochs * windows // accumulate) if epochs else settings["steps"]
        if settings["warmup"] >= self.steps:
            raise Unusable(
                f"--warmup {settings['warmup']} is not shorter than the {self.steps} steps"
            )
        refuse_if_too_large(_least_size(settings, len(corpus.vocabulary)), "training this model")
        weights, self.rng = np.random.default_rng(settings["seed"]).spawn(2)
        self._model_settings = {
            "embedding_dim": settings["embedding"],
            "hidden_size": settings["hidden"],
            "num_layers": settings["layers"],
            "cell": settings["cell"],
            "dropout": settings["dropout"],
        }
        # Left out for float32, so that versions without this setting can read the checkpoint.
        if settings["dtype"] != "float32":
            self._model_settings["dtype"] = settings["dtype"]
        self.model = LanguageModel(len(corpus.vocabulary), **self._model_settings, rng=weights)
        streams = settings["batch"]
        self.rng = self.ranks.draws(self.rng, streams)
        self.model.recurrent.rng = self.ranks.draws(self.model.recurrent.rng, streams)
        self._training = self.ranks.of(corpus.training) or corpus.training
        self._test = self.ranks.of(corpus.test)
        self.optimizer = optim.Adam(self.model.parameters(), lr=settings["lr"])
        self.step = 0
        self.saved: int | None = None
        self.state: Any = None
        self.losses: list[float] = []
        self.held_out: list[tuple[float, float]] = []
        self.stopped: str | None = None
        self._best: dict[str, Any] | None = None  # step and parameters, with --patience

    @property
    def history(self) -> dict[str, Any]:
        """All measurements, as plain arrays and numbers."""
        return {
            "step": self.step,
            "steps": self.steps,
            "losses": np.array(self.losses),
            "held_out": np.array(self.held_out).reshape(-1, 2),
            "stopped": self.stopped,
        }

    # ── saving ───────────────────────────────────────────────────────────────────────────

    def checkpoint(self, state: Any) -> dict[str, Any]:
        """Return the content of a checkpoint; ``state`` is the recurrent state of all streams."""
        parameters = self.model.state_dict()
        training = {
            "settings": self.settings,
            "text": self.corpus.digest,
            "step": self.step,
            "state": state,
            "optimizer": self.optimizer.state_dict(),
            "generators": [rng.bit_generator.state for rng in self._generators()],
            "losses": np.array(self.losses),
            "held_out": np.array(self.held_out).reshape(-1, 2),
        }
        if self._best is not None and self._best["step"] != self.step:
            training["parameters"] = parameters  # to go on from; the model gets the best ones
            training["best"] = self._best["step"]
            parameters = self._best["parameters"]
        return {
            "kind": KIND,
            "model": {"settings": self._model_settings, "parameters": parameters},
            "vocabulary": self.corpus.vocabulary.state_dict(),
            "training": training,
        }

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Go on from a checkpoint of the same settings and text.

        Raises:
            Unusable: the checkpoint is incomplete or damaged.
        """
        with blamed_on(path):
            training = checkpoint["training"]
            parameters = checkpoint["model"]["parameters"]
            self.model.load_state_dict(training.get("parameters", parameters))
            self.optimizer.load_state_dict(training["optimizer"])
            for rng, state in zip(self._generators(), training["generators"], strict=True):
                rng.bit_generator.state = state
            self.state = self.ranks.cut(training["state"], self.settings["batch"])
            self.step = self.saved = training["step"]
            self.losses = training["losses"].tolist()
            self.held_out = [(step, bits) for step, bits in training["held_out"].tolist()]
            if self.settings["patience"] is not None:
                best = training.get("best", self.step)
                self._best = {"step": best, "parameters": parameters}

    def _generators(self) -> tuple[np.random.Generator, ...]:
        return self.rng, self.model.recurrent.rng  # for teacher forcing and for dropout

    def _save(self, path: Path, state: Any) -> None:
        finite = all(np.isfinite(p.data).all() for p in self.model.parameters())
        if not finite:
            raise Diverged(f"a parameter is not finite after step {self.step:,}")
        io.save(path, self.checkpoint(state))
        curve = curve_path(path)
        if (self.losses or self.held_out) and outputs.is_free(curve, CURVE):
            name = os.fsencode(self.corpus.name).decode("utf-8", "replace")
            unit = f"bits per {self.corpus.unit}"
            svg = loss_curve(f"{name}: {self.units}", unit, self.losses, self.held_out)
            outputs.write(curve, svg.encode("utf-8"), CURVE)

    @property
    def units(self) -> str:
        settings = self.settings
        return f"{settings['layers']} x {settings['hidden']} {settings['cell'].upper()} units"

    # ── training ─────────────────────────────────────────────────────────────────────────

    def train(
        self,
        path: Path | None,
        save_every: int,
        *,
        logs: Sequence[Log] = (),
        callback: Callback | None = None,
        verbose: bool = False,
    ) -> None:
        """Make the remaining steps; measure and save at every multiple of ``save_every``.

        Ctrl-C, SIGTERM and SIGHUP end the training after the current step; ``stopped`` then names
        the signal. The last step is saved in every case.

        Args:
            path: where to save; None saves nothing.
            save_every: how often to save, in steps.
            logs: get the numbers of every step.
            callback: called with them too, on rank 0; the training ends if it returns True.
            verbose: show a progress bar and print a table.

        Raises:
            Diverged: the loss or a parameter is not a finite number any more.
        """
        table = _Table(self)
        progress = Progress(self.steps, "training", done=self.step, visible=verbose)

        def write(state: Any) -> None:
            # Logs first: a resumed run can drop lines that are newer than its checkpoint.
            for log in logs:
                log.flush()
            if path is not None:
                self._save(path, state)

        def save() -> None:
            state = self.ranks.joined(_arrays(self.state))
            self.ranks.first(lambda: write(state))
            if path is not None:
                self.saved = self.step

        with _signals(path is not None) as asked, progress:
            if self.saved is None:
                self._measure()
                save()
                if verbose:
                    progress.print(table.row())
            for loss in self._learn():
                measured = self.step % save_every == 0 or self.step == self.steps
                progress.update(self.step, loss=loss, bits=self.losses[-1])
                if measured:
                    self._measure()
                record = self._record(loss, measured)
                for log in logs:
                    log.write(record)
                if measured:
                    save()
                    if verbose:
                        progress.print(table.row())
                reason = None
                if asked:
                    reason = signal.Signals(asked[0]).name
                elif measured and self._stuck():
                    reason = "patience"
                elif callback is not None and callback(record):
                    reason = "callback"
                self.stopped = self.ranks.agreed(reason)
                if self.stopped is not None:
                    if not measured:
                        save()
                    break
        if self.step == self.steps:
            self.stopped = None

    def _learn(self) -> Iterator[float]:
        settings = self.settings
        steps = learn(
            self.model,
            self.optimizer,
            self._training,
            self.steps,
            self._rate,
            first=self.step,
            state=self.state,
            accumulate=settings["accumulate"],
            max_norm=settings["max_norm"],
            teacher_forcing=settings["teacher_forcing"],
            rng=self.rng,
            exchange=None if self.ranks.size == 1 else self._exchange,
        )
        for loss, state in steps:
            if not math.isfinite(loss):
                error = Diverged(f"the loss is {loss} at step {self.step + 1:,}")
                raise self.ranks.on_all(error)
            self.state = state
            self.step += 1
            self.losses.append(loss / math.log(2))
            yield loss

    def _exchange(self, loss: float) -> float:
        weight = self._training.batch_size / self.settings["batch"]
        return self.ranks.mean_loss(self.model.parameters(), loss, weight)

    def _rate(self, step: int) -> float:
        schedule = SCHEDULES[self.settings["schedule"]]
        measured = [bits for _, bits in self.held_out]
        settings = self.settings
        return schedule(step, settings["lr"], self.steps, settings["warmup"], measured)

    def _record(self, loss: float, measured: bool) -> dict[str, Any]:
        record = {
            "step": self.step,
            "loss": loss,
            "bits": self.losses[-1],
            "lr": self.optimizer.lr,
        }
        if measured and self.corpus.test is not None:
            record["held_out"] = self.held_out[-1][1]
        return record

    def _measure(self) -> None:
        """Measure the bits per symbol of the held-out text."""
        if self.corpus.test is None:
            return
        self.model.eval()
        parts = self.ranks.all_of(total_nats(self.model, self._test or ()))
        bits = math.fsum(nats for nats, _ in parts) / sum(n for _, n in parts) / math.log(2)
        self.model.train()
        if not math.isfinite(bits):
            error = Diverged(f"the held-out loss is {bits} after step {self.step:,}")
            raise self.ranks.on_all(error)
        self.held_out.append((self.step, bits))
        if self.settings["patience"] is not None and self._best_place() == len(self.held_out) - 1:
            self._best = {"step": self.step, "parameters": self.model.state_dict()}

    def _best_place(self) -> int:
        """Return the index of the best measurement, the first one of equals."""
        return int(np.argmin([bits for _, bits in self.held_out]))

    def _stuck(self) -> bool:
        patience: int | None = self.settings["patience"]
        if patience is None:
            return False
        return len(self.held_out) - 1 - self._best_place() >= patience

    def describe(self, text: str, out: Path, resumed: bool) -> None:
        """Print the text, the model and the ranks of this run."""
        settings = self.settings
        size = sum(parameter.size for parameter in self.model.parameters())
        several = settings["accumulate"]
        print(f"text      {text}: {self.corpus}")
        print(
            f"model     {self.units}, {size:,} parameters; truncated BPTT over "
            f"{settings['bptt']} steps of {settings['batch']} streams"
            + (f", {several} windows a step" if several > 1 else "")
        )
        if self.ranks.size > 1:
            print(
                f"ranks     {self.ranks.size}, which share the streams; if one dies the job ends, "
                f"and --resume goes on from {out}"
            )
        if resumed:
            print(f"resume    {out}: step {self.step:,} of {self.steps:,}")


def curve_path(checkpoint: Path) -> Path:
    """Return the path of the loss curve of a checkpoint."""
    return checkpoint.with_suffix(".svg")


def _least_size(settings: dict[str, Any], vocabulary: int) -> int:
    """Return a lower bound of the memory in bytes: parameters, gradients, and Adam's two means."""
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[settings["cell"]]
    D, H, L = settings["embedding"], settings["hidden"], settings["layers"]
    recurrent = gates * H * ((D + H + 2) + (L - 1) * (2 * H + 2))
    parameters: int = vocabulary * D + recurrent + (H + 1) * vocabulary
    return 4 * parameters * int(np.dtype(settings["dtype"]).itemsize)


class _Table:
    """The table that a run prints, with a line for each measurement."""

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
    """Return a recurrent state with arrays instead of Tensors."""
    if isinstance(state, tuple):
        return tuple(_arrays(member) for member in state)
    return None if state is None else np.asarray(state).copy()


@contextmanager
def _signals(listen: bool) -> Iterator[list[int]]:
    """Catch signals that ask to stop, and yield a list that then gets the signal's number.

    The training looks at the list between two steps. A second signal has its usual effect at once.
    Signals that were ignored before (SIGINT in a background job of a shell, SIGHUP under nohup)
    stay ignored.
    """
    asked: list[int] = []
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(128 + number)
        asked.append(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP") if listen else ()
    try:
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, ask)
    except ValueError:  # only the main thread can set handlers; no signal reaches this one
        pass
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
