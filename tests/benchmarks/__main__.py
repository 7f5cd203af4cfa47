"""The benchmark suite: ours against whichever peers are installed, on the same numbers.

python -m tests.benchmarks                  all of it, less than ten minutes
python -m tests.benchmarks scan memory      these parts alone
python -m tests.benchmarks --rounds 3       faster, and less sure
python -m tests.benchmarks --readme         all of it, and its tables into the README.md beside this
python -m tests.benchmarks pictures --readme    the table beside the pictures

One line for each figure, with its target and whether it is met. A ratio is ours / theirs: below 1
we are faster, or take less. The exit code is 1 if a target is missed. Peers (all optional): torch,
jax, autograd, mygrad. Other things that the machine does show in the figures.
"""

from __future__ import annotations

import argparse
import platform
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tinygrad_rnn.app.arguments import whole

from .engine import import_time, long_chain, lstm_loops, overhead
from .growth import growth
from .memory import checkpoints, memory
from .native import native
from .peers import versions
from .pictures import pictures
from .plans import plans
from .scan import against_peers
from .table import MISSED, PAGE, PICTURES, Figure, Table, markdown, write

SUITE: dict[str, Callable[[int], Iterator[Figure]]] = {
    "scan": against_peers,
    "native": native,
    "plans": plans,
    "memory": memory,
    "checkpoint": checkpoints,
    "growth": growth,
    "overhead": overhead,
    "loops": lstm_loops,
    "chain": long_chain,
    "import": import_time,
    "pictures": pictures,
}


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def machine() -> str:
    """What the figures hold for."""
    return f"{processor()}, Python {platform.python_version()}, {versions()}, one thread"


def tables(figures: list[Figure]) -> str:
    """All figures as Markdown."""
    measured = (
        f"Measured on: {machine()}; float32, forward and full backward, medians over interleaved "
        "rounds. Ratios are ours / theirs: below 1 we are faster, or smaller. Targets are in "
        f"brackets, or in a column of their own; {MISSED} marks a missed target."
    )
    parts = [textwrap.fill(measured, 110)]
    for table in Table:
        found = [figure for figure in figures if figure.table is table]
        if found:
            parts += [table.value, markdown(found)]
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="PART", help=f"of {', '.join(SUITE)}")
    parser.add_argument(
        "--rounds", type=whole(1), default=11, help="of each comparison (default: %(default)s)"
    )
    parser.add_argument(
        "--readme",
        nargs="?",
        type=Path,
        const=PAGE,
        metavar="FILE",
        help="write the tables between the comments of tests/benchmarks/README.md, or of this file",
    )
    options = parser.parse_args(argv)
    unknown = set(options.names) - set(SUITE)
    if unknown:
        parser.error(f"no part called {', '.join(sorted(unknown))}; there are {', '.join(SUITE)}")
    if options.names not in ([], ["pictures"]) and options.readme:
        parser.error("the page shows all parts, from one run; leave out the names")
    print(machine(), flush=True)
    figures: list[Figure] = []
    for name in options.names or SUITE:
        for figure in SUITE[name](options.rounds):
            if not figures or figure.table is not figures[-1].table:
                print(f"\n{figure.table.value}", flush=True)
            figures.append(figure)
            print(figure, flush=True)
    missed = sum(figure.missed for figure in figures)
    print(f"\n{missed} of {sum(figure.target is not None for figure in figures)} targets missed")
    if options.readme:
        pictured = [figure for figure in figures if figure.table is Table.PICTURES]
        if not options.names:
            write(options.readme, tables([f for f in figures if f.table is not Table.PICTURES]))
        if pictured:
            heading = f"{Table.PICTURES.value}\n\n{markdown(pictured)}\n\n"
            write(options.readme, f"{heading}Measured on: {machine()}.", PICTURES)
        print(f"wrote {options.readme}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
