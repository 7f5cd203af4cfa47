"""The benchmark suite: ``python -m tests.benchmarks`` (PyTorch is optional).

Prints one line for each figure, with its bar and whether it is met; ``--markdown`` prints the
README's table instead.
"""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from .engine import SUITE


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in ("numpy", "torch"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITE)}")
    parser.add_argument("--markdown", action="store_true", help="print a table for the README")
    options = parser.parse_args()
    unknown = set(options.names) - set(SUITE)
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}; there are {list(SUITE)}")
    if options.markdown:
        print("| what | measured | bar |\n|---|---:|---:|")
    else:
        print(f"{_versions()}, {_processor()}, one BLAS thread")
    missed = 0
    for name in options.names or SUITE:
        for what, unit, figure, bar in SUITE[name]():
            met = figure <= bar
            missed += not met
            shown = f"{figure:.2f}" if unit != "objects" else f"{figure:.0f}"
            unit = "" if unit == "ratio" else f" {unit}"
            if options.markdown:
                print(f"| {what} | {shown}{unit} | {bar:g}{unit} |", flush=True)
            else:
                mark = "met" if met else "MISSED"
                print(f"{what:<78} {shown:>8}{unit:<8} bar {bar:g}  {mark}", flush=True)
    if options.markdown:
        print(f"\n{_versions()}, {_processor()}, one BLAS thread.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
