"""``python -m tinygrad_rnn train FILE``: train a recurrent language model on any text.

``settings`` has the options and ``training`` does the work. This module parses and prints.
"""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import signal
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from .arguments import Unusable, add_encoding, give_up, option, shown, whole
from .ranks import Ranks, launched
from .settings import SETTINGS
from .training import session
from .training_run import Diverged, Run, curve_path

USUAL = Path("checkpoint.npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a text; - reads standard input")
    parser.add_argument(
        "--out",
        type=Path,
        default=USUAL,
        metavar="CHECKPOINT.npz",
        help="where to write the checkpoint; the loss curve goes beside it as .svg "
        "(default: %(default)s)",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint, with its settings; start if there is none",
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace an existing checkpoint and its curve"
    )

    groups: dict[str, Any] = {
        name: parser.add_argument_group(name) for name in ("model", "text", "training")
    }
    add_encoding(groups["text"])
    length = groups["training"].add_mutually_exclusive_group()
    for name, setting in SETTINGS.items():
        # An option that the user leaves out gets no value, so that --resume sees which were passed.
        keywords: dict[str, Any] = {"default": argparse.SUPPRESS}
        if setting.kind is bool:
            keywords |= {"action": "store_true", "help": setting.meaning}
        else:
            usual = f"{setting.default:,}" if type(setting.default) is int else setting.default
            shown_default = "" if usual is None else f" (default: {usual})"
            keywords["help"] = setting.meaning + shown_default
            kind = "choices" if isinstance(setting.kind, tuple) else "type"
            keywords[kind] = setting.kind
            if setting.metavar is not None:
                keywords["metavar"] = setting.metavar
        group = length if name in ("steps", "epochs") else groups[setting.group]
        group.add_argument(option(name), **keywords)
    groups["training"].add_argument(
        "--save-every",
        type=whole(1),
        default=250,
        metavar="STEPS",
        help="measure and save after so many steps (default: %(default)s)",
    )
    records = parser.add_argument_group("records")
    records.add_argument(
        "--log-json",
        type=Path,
        metavar="FILE",
        help="write the numbers of every step as JSON lines",
    )
    records.add_argument(
        "--tensorboard", type=Path, metavar="DIR", help="write the numbers as TensorBoard files"
    )


def main(args: argparse.Namespace) -> int:
    """Train, save and report. If ``mpiexec`` started several ranks, they train together.

    Returns:
        0, or 1 if the loss is not finite any more. After a signal, everything is saved, and the
        code is 130 for Ctrl-C, 143 for SIGTERM and 129 for SIGHUP.

    Raises:
        Unusable: the text is too short or not text, or the checkpoint is not of this run.
        OSError: a file cannot be read or written.
    """
    ranks = launched()
    if not ranks.rank:
        return _main(args, ranks)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            return _main(args, ranks)
    except (OSError, Unusable):  # every rank raises it; rank 0 prints it
        return 2


def _main(args: argparse.Namespace, ranks: Ranks) -> int:
    start = "python" if ranks.size == 1 else f"mpiexec -n {ranks.size} python"
    again = f"{start} -m tinygrad_rnn train {shlex.quote(str(args.file))} --resume"
    if args.out != USUAL:
        again += f" --out {shlex.quote(str(args.out))}"
    if args.resume and not args.out.exists():
        print(f"start     there is no {args.out} yet")
    with session(
        args.file,
        args.out,
        {name: value for name, value in vars(args).items() if name in SETTINGS},
        resume=args.resume,
        overwrite=args.overwrite,
        save_every=args.save_every,
        encoding=args.encoding,
        log_json=args.log_json,
        tensorboard=args.tensorboard,
        ranks=ranks,
    ) as (run, go):
        run.describe(shown(args.file), args.out, resumed=run.step > 0)
        if run.step >= run.steps:
            print(f"done      nothing left of {run.steps:,} steps; --steps {2 * run.steps} goes on")
            return 0
        try:
            go(None, verbose=True)
        except Diverged as error:
            if ranks.rank:
                return 1
            print(
                f"stopped: {error}. {args.out} keeps step {run.saved or 0:,}, the last good one; "
                "--resume with a lower --lr or --max-norm goes on from there",
                file=sys.stderr,
            )
            return 1
        except OSError as error:
            if error.filename is None:
                raise
            kept = "nothing is saved yet" if run.saved is None else f"step {run.saved:,} is safe"
            raise Unusable(
                f"{error.filename}: {error.strerror}; {kept} in {args.out}; to go on: {again}"
            ) from error
        return _report(run, args, again)


def _report(run: Run, args: argparse.Namespace, again: str) -> int:
    """Print which files were written and which commands come next; return the exit code."""
    code = 0
    if run.stopped is not None and run.stopped.startswith("SIG"):
        code = 128 + signal.Signals[run.stopped]
    try:
        wrote = [args.out, curve_path(args.out)]
        print(f"wrote     {' and '.join(str(path) for path in wrote if path.exists())}")
        if run.stopped is not None:
            why = ""
            if run.stopped == "patience":
                best_step, best = min(run.held_out, key=lambda pair: pair[1])
                why = f", as nothing was better than {best:.3f} bits at step {best_step:,}"
            print(f"stopped   at step {run.step:,} of {run.steps:,}{why}; to go on: {again}")
        else:
            print(f"next      python -m tinygrad_rnn sample {shlex.quote(str(args.out))}")
            print(f"          {again} --steps {2 * run.steps}")
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        give_up(sys.stdout)  # the terminal was closed, which sent SIGHUP
    return code
