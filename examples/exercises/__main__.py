"""Check every exercise.

python -m examples.exercises            print what is right, what is wrong, and which gaps are open
python -m examples.exercises --renew    for teachers: make the exercises from their solutions again
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

from .checking import run

HERE = Path(__file__).parent


def names() -> list[str]:
    return sorted(path.stem for path in (HERE / "solutions").glob("ex*.py"))


def with_gaps(solution: str) -> str:
    """Replace the expression of each line marked ``# gap`` by ``...``.

    ``da = dh * (1 - h**2)  # gap: dL/da_t`` becomes ``da = ...  # dL/da_t``.
    """
    text = re.sub(r"= [^\n]*?  # gap: ([^\n]*)", r"= ...  # \1", solution)
    return text.replace("examples.exercises.solutions.ex", "examples.exercises.ex")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.exercises",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--renew", action="store_true", help="this deletes your own lines")
    if parser.parse_args().renew:
        for name in names():
            solution = (HERE / "solutions" / f"{name}.py").read_text(encoding="utf-8")
            (HERE / f"{name}.py").write_text(with_gaps(solution), encoding="utf-8")
        return 0
    open_ones = 0
    for name in names():
        module = importlib.import_module(f"{__package__}.{name}")
        open_ones += run(module.check, str(HERE / f"{name}.py"))
    return 1 if open_ones else 0


if __name__ == "__main__":
    sys.exit(main())
