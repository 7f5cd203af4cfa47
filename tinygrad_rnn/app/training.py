"""``tg.train``: training a language model as a function, which the ``train`` command also runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import leftovers, owned
from . import outputs
from .arguments import STANDARD, Unusable, read_input, shown
from .checkpoints import blamed_on, read_checkpoint
from .corpus import Corpus
from .logs import JsonLog, Log, TensorBoard
from .ranks import Ranks, launched
from .settings import Settings, checked, complete
from .training_run import CURVE, Callback, Run, curve_path

if TYPE_CHECKING:
    from typing_extensions import Unpack


def train(
    text: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    save_every: int = 250,
    encoding: str | None = None,
    callback: Callback | None = None,
    log_json: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    verbose: bool = False,
    distributed: bool = False,
    **settings: Unpack[Settings],
) -> dict[str, Any]:
    """Train a recurrent language model on a text, by truncated BPTT with Adam.

    Args:
        text: the path of a text file.
        out: the path of the checkpoint, a ``.npz`` file. The loss curve goes beside it as ``.svg``.
            None writes nothing.
        resume: go on from the checkpoint, if there is one.
        overwrite: replace an existing checkpoint.
        save_every: measure on the held-out text and save after so many steps.
        encoding: the encoding of the text; None is UTF-8.
        callback: called after every step with a dict of ``step``, ``loss`` (nats), ``bits``,
            ``lr`` and, after a measurement, ``held_out`` (bits). If it returns True, the training
            is saved and ends.
        log_json: a file that gets these dicts as lines of JSON.
        tensorboard: a folder that gets them as event files (``tinygrad_rnn[tensorboard]``).
        verbose: show a progress bar and print a table.
        distributed: whether the ranks that ``mpiexec`` started train one model together, each with
            its part of the streams. Only rank 0 reads and writes files and calls ``callback``.
            Otherwise each rank trains a model of its own.
        **settings: the options of ``python -m tinygrad_rnn train --help``: ``cell`` ("lstm", "gru"
            or "rnn"), ``hidden``, ``layers``, ``embedding``, ``dropout``, ``dtype`` ("float32" or
            "float64"), ``words``, ``vocabulary``, ``held_out``, ``bptt``, ``batch``,
            ``accumulate``, ``lr``, ``schedule`` ("linear", "cosine", "constant", "one_cycle" or
            "plateau"), ``warmup``, ``max_norm``, ``teacher_forcing``, ``patience``, ``seed``,
            ``steps`` or ``epochs``.

    Returns:
        The history, a dict:
            ``step``: the number of steps made; ``steps``: the number of steps planned.
            ``losses``: (step,) floats, the bits per symbol of every step.
            ``held_out``: (K, 2) floats, pairs of step and bits per symbol of the held-out text.
            ``stopped``: None, or the reason for an early end: "patience" or "callback".

    Raises:
        ValueError: a setting is out of bounds, has no effect or differs from the checkpoint's; the
            text is too short or not in this encoding; the checkpoint is damaged or belongs to
            another text; there are more ranks than streams, or they cannot find each other.
        TypeError: there is no such setting, or its value has a wrong type.
        FileExistsError: there is a checkpoint, and neither ``resume`` nor ``overwrite``.
        BlockingIOError: another run is writing this checkpoint.
        OSError: a file cannot be read or written.
        FloatingPointError: the loss or a parameter is not finite any more. The checkpoint keeps
            the last step with finite numbers.
        KeyboardInterrupt: after Ctrl-C, when the step is saved; SystemExit after SIGTERM.

    Source: Williams and Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", Neural Computation 2 (1990).

    >>> import os, tempfile
    >>> import tinygrad_rnn as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "text.txt")
    ...     with open(path, "w") as file:
    ...         _ = file.write("to be or not to be, " * 50)
    ...     history = tg.train(path, hidden=16, batch=4, bptt=10, steps=30, lr=0.02)
    >>> history["losses"].shape, bool(history["held_out"][-1, 1] < history["held_out"][0, 1])
    ((30,), True)
    """
    with session(
        Path(text),
        None if out is None else Path(out),
        checked(settings),
        resume=resume,
        overwrite=overwrite,
        save_every=save_every,
        encoding=encoding,
        log_json=None if log_json is None else Path(log_json),
        tensorboard=None if tensorboard is None else Path(tensorboard),
        ranks=launched() if distributed else Ranks(),
    ) as (run, go):
        if run.step < run.steps:
            go(callback, verbose)
    if run.stopped == "SIGINT":
        raise KeyboardInterrupt
    if run.stopped is not None and run.stopped.startswith("SIG"):
        raise SystemExit(128 + signal.Signals[run.stopped])
    return run.history


@contextmanager
def session(
    text: Path,
    out: Path | None,
    given: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    save_every: int,
    encoding: str | None,
    log_json: Path | None,
    tensorboard: Path | None,
    ranks: Ranks,
) -> Iterator[tuple[Run, Callable[..., None]]]:
    """Open a run: read its files, restore its checkpoint, and lock it until the block ends.

    Yields:
        The run, and ``go(callback, verbose)``, which trains it.

    Raises:
        Unusable, OSError: as :func:`train` does.
    """
    if save_every < 1:
        raise ValueError(f"train: save_every: expected at least 1, got {save_every}")
    if out is None and (resume or overwrite):
        raise ValueError("train: resume and overwrite go with out, the checkpoint's path")

    def read() -> tuple[str, dict[str, Any] | None]:
        checkpoint = None
        inputs = [] if text == STANDARD else [text]
        if out is not None:
            _claim(out, inputs, resume, overwrite)
            inputs += [out, curve_path(out)]
        if log_json is not None:
            outputs.claim(log_json, "log", inputs=inputs, overwrite=True)
            if not (overwrite or JsonLog.is_free(log_json)):
                raise Unusable(f"{log_json} exists and is no log of 'train': choose another one")
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(owned(out))
            if resume and out.exists():
                checkpoint = read_checkpoint(out)
        return read_input(text, encoding), checkpoint

    def clean() -> None:
        # A run that is killed while it saves leaves temporary files.
        for path in () if out is None else (out, curve_path(out)):
            for leftover in leftovers(path):
                leftover.unlink(missing_ok=True)

    with ranks.ending_together(), ExitStack() as stack:
        content, checkpoint = ranks.first(read)
        run = ranks.together(lambda: _run(text, content, out, given, checkpoint, ranks))
        ranks.first(clean)
        if out is not None:
            ranks.advice = lambda: f"; {out} keeps step {run.saved or 0:,}, and --resume goes on"

        def go(callback: Callback | None, verbose: bool) -> None:
            logs: list[Log] = []

            def open_logs() -> None:
                if overwrite and out is not None and curve_path(out).is_file():
                    # _save never replaces a file that is not a loss curve, so remove it here.
                    curve_path(out).unlink()
                if log_json is not None:
                    logs.append(JsonLog(log_json, run.settings, run.step))
                if tensorboard is not None:
                    logs.append(TensorBoard(tensorboard, run.step))

            ranks.first(open_logs)
            if ranks.rank:
                callback, verbose = None, False
            with ExitStack() as opened:
                for log in logs:
                    opened.callback(log.close)
                # Diverged reports a loss that is not finite, so NumPy need not warn of overflow.
                opened.enter_context(np.errstate(over="ignore", invalid="ignore"))
                run.train(out, save_every, logs=logs, callback=callback, verbose=verbose)

        yield run, go


def _claim(out: Path, inputs: list[Path], resume: bool, overwrite: bool) -> None:
    """Refuse a run that would replace files that the user did not offer."""
    if out.suffix != ".npz":
        raise Unusable(f"--out: expected a path that ends in .npz, got {out}")
    if out.exists() and not (resume or overwrite):
        raise FileExistsError(f"{out} exists: add --resume to go on with it, or --overwrite")
    outputs.claim(out, "checkpoint", inputs=inputs, overwrite=True)
    advice = "move it or choose another --out" + ("" if resume else ", or add --overwrite")
    outputs.claim(curve_path(out), CURVE, inputs=inputs, overwrite=overwrite, advice=advice)


def _run(
    text: Path,
    content: str,
    out: Path | None,
    given: Mapping[str, Any],
    checkpoint: dict[str, Any] | None,
    ranks: Ranks,
) -> Run:
    before = None
    if checkpoint is not None:
        assert out is not None
        with blamed_on(out):
            before, digest = (
                dict(checkpoint["training"]["settings"]),
                checkpoint["training"]["text"],
            )
    settings = complete(given, before, str(out))
    corpus = Corpus(content, text, settings)
    if checkpoint is not None and digest != corpus.digest:
        raise Unusable(f"{out} was trained on another text than {shown(text)}")
    run = Run(corpus, settings, ranks)
    if checkpoint is not None:
        assert out is not None
        run.restore(checkpoint, out)
    return run
