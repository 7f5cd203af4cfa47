"""The command line: ``python -m tinygrad_rnn COMMAND``; ``--help`` lists the commands.

A command's module is imported only when the command is asked for. Errors of usage and of files are
one line on standard error and exit code 2; Ctrl-C is 130.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from .. import __version__
from .arguments import Unusable, give_up

PROGRAM = "python -m tinygrad_rnn"
#: The name of each command and what it does.
COMMANDS = {
    "demo": "train an LSTM on the Python manual, and draw its unrolled graph",
    "train": "train a language model on a text of your own",
    "sample": "let a trained model write",
    "draw": "draw a recurrent net: its graph, or its gradient flowing back",
    "explore": "a page in your browser: change a net and see where its gradient goes",
    "export": "write a trained model as ONNX, for other runtimes",
    "check": "check the derivatives of every operation, or of your own",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (try {self.prog} --help)\n")


def _module(command: str) -> Any:
    return importlib.import_module(f"{__package__}.{command}")


def _parser(command: str | None) -> argparse.ArgumentParser:
    """The parser of everything; only the chosen command's module is imported."""
    parser = _Parser(
        prog=PROGRAM,
        description="Understand, check and run recurrent networks.",
        epilog=f"{PROGRAM} COMMAND --help tells more about each.",
    )
    parser.add_argument("--version", action="version", version=f"tinygrad_rnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        added = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if name == command:
            _module(name).add_arguments(added)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        argv: the arguments; those of the process if left out.

    Raises:
        SystemExit: after ``--help`` (code 0) and for bad usage (code 2), as argparse does.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    args = _parser(next((a for a in argv if not a.startswith("-")), None)).parse_args(argv)
    with _tolerant(sys.stdout, sys.stderr):
        return _called(args)


def _called(args: argparse.Namespace) -> int:
    command = _module(args.command)
    try:
        code: int = command.main(args)
        if sys.stdout is not None:  # it is None where it was closed
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): nothing is wrong, and nothing is left to say.
        give_up(sys.stdout)
        return 0
    except MemoryError as error:
        _complain(f"{PROGRAM} {args.command}: not enough memory: {error}")
        return 2
    except (OSError, Unusable) as error:
        _complain(f"{PROGRAM} {args.command}: {_one_line(error)}")
        _silence_if_full()
        return 2


def _one_line(error: OSError | Unusable) -> str:
    if isinstance(error, OSError) and error.strerror is not None:
        if error.filename is None:  # whatever has a name was opened by it
            return f"standard output: {error.strerror}"
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _complain(line: str) -> None:
    try:
        print(line, file=sys.stderr)
    except OSError:  # nothing is left to say it with
        give_up(sys.stderr)


def _silence_if_full() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        give_up(sys.stdout)


@contextmanager
def _tolerant(*streams: Any) -> Iterator[None]:
    """What an output's encoding lacks is written as ``?``, or escaped, and raises nothing."""
    before = [(s, s.errors) for s in streams if isinstance(s, io.TextIOWrapper)]
    for stream, errors in before:
        if errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")
    try:
        yield
    finally:
        for stream, errors in before:
            with suppress(ValueError, OSError):  # closed by now
                stream.reconfigure(errors=errors)


def _with_one_blas_thread() -> None:
    """Start over with OpenBLAS's threads switched off, unless the user has set them.

    Small matrices gain nothing from a second thread, and lose a factor of ten where somebody else
    uses the core; and with one thread the same seed gives the same bits on every number of cores.
    It has to be set before NumPy is loaded, which is over by the time this module runs.
    """
    variable = "OPENBLAS_NUM_THREADS"
    # Restart only a process that was started as `python -m tinygrad_rnn`.
    package = __package__.partition(".")[0]
    as_usual = sys.orig_argv[1:3] == ["-m", package]
    if os.name == "posix" and as_usual and variable not in os.environ:
        os.environ[variable] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
