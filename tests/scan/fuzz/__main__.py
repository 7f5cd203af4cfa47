"""``python -m tests.scan.fuzz --cells N --seed S``: a hunt through the night.

Prints what fails as small cells in Python, and exits with 1 if there is any.
"""

from __future__ import annotations

import argparse
import sys
import time

from .hunt import Hunt


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scan.fuzz", description=__doc__)
    parser.add_argument("--cells", type=int, default=1000, help="how many to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=10, help="stop after so many failures")
    given = parser.parse_args()
    hunt = Hunt(given.seed)
    start = time.perf_counter()

    def told(number: int) -> None:
        if sys.stderr.isatty() and number % 20 == 0:
            rate = 60 * number / (time.perf_counter() - start)
            line = f"\r{number}/{given.cells} cells, {len(hunt.found)} failed, {rate:.0f} a minute"
            print(line, end="", file=sys.stderr, flush=True)

    hunt.run(given.cells, given.most, told)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(hunt)
    return 1 if hunt.found else 0


if __name__ == "__main__":
    sys.exit(main())
