"""The command line: ``python -m tinygrad_rnn COMMAND``; ``--help`` lists the commands.

A command's module is imported only when the command runs. Errors of usage and of files print one
line on standard error and exit with code 2. Ctrl-C exits with code 130.
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
#: The name and the summary of each command.
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
    """Return the parser of all commands, with the options of one command."""
    parser = _Parser(
        prog=PROGRAM,
        description="Understand, check and run recurrent networks.",
        epilog=f"{PROGRAM} COMMAND --help explains each command.",
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
    """Run the command line and return the exit code.

    Args:
        argv: the arguments (default: those of the process).

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
        # The reader of a pipe ended (`| head`). That is no error.
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
        if error.filename is None:  # files are opened by name, so this is standard output
            return f"standard output: {error.strerror}"
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _complain(line: str) -> None:
    try:
        print(line, file=sys.stderr)
    except OSError:  # standard error is closed, too
        give_up(sys.stderr)


def _silence_if_full() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        give_up(sys.stdout)


@contextmanager
def _tolerant(*streams: Any) -> Iterator[None]:
    """Write ``?`` or an escape for characters that an output's encoding does not have."""
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
    """Start the process again with one OpenBLAS thread, unless the user has set the number.

    Small matrices gain nothing from a second thread. On a busy machine they become ten times
    slower. And with one thread the same seed gives the same bits on any number of cores. The
    variable has to be set before NumPy is loaded, but at this point NumPy is loaded already.
    """
    variable = "OPENBLAS_NUM_THREADS"
    # Restart only a process that was started as `python -m tinygrad_rnn`.
    package = __package__.partition(".")[0]
    run_as_module = sys.orig_argv[1:3] == ["-m", package]
    if os.name == "posix" and run_as_module and variable not in os.environ:
        os.environ[variable] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
