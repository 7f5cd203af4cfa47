"""Run all examples and write the table of their results in README.md.

python -m examples                  every full run; pictures go to examples/pictures/
python -m examples e01 e02          only these; the other rows stay as they are
python -m examples --others 5 e02   seeds 1 to 5 as well: how many of them reach the target
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import re
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType

from common import natural

from .targets import TARGETS

HERE = Path(__file__).parent
README = HERE / "README.md"
BEGIN, END = "<!-- results: python -m examples -->", "<!-- end of results -->"
HEADER = "| example | target | measured (seed 0) | other seeds | seconds |\n" + 5 * "|---" + "|"


def names() -> list[str]:
    """Return the names of all examples, in order: the modules eNN_... of this folder."""
    return sorted(path.stem for path in HERE.glob("e[0-9][0-9]_*.py"))


def load(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.{name}")


def row(name: str, others: int, old_row: str | None) -> tuple[str, list[str]]:
    """Run an example. Return its row of the table, and the claims that failed with seed 0."""
    module = load(name)
    print(f"\n━━ {name} ━━", flush=True)
    start = time.monotonic()
    result = module.main(["--out", str(HERE / "pictures")])
    seconds = time.monotonic() - start
    seeds = old_row.split(" | ")[3] if old_row else "not run"
    if others:
        with ProcessPoolExecutor(max_workers=2) as pool:
            reached = list(pool.map(_reaches, others * [name], range(1, others + 1)))
        seeds = f"{sum(reached)} of {others}"
        print(f"other seeds that reach the target: {seeds}")
    cells = [f"[{name}]({name}.py)", TARGETS[name], result.measured, seeds]
    line = " | ".join(cell.replace("|", r"\|") for cell in [*cells, f"{seconds:.0f}"])
    return f"| {line} |", result.failed


def _reaches(name: str, seed: int) -> bool:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        result = load(name).main(["--seed", str(seed), "--out", folder])
    reason = f"; failed: {'; '.join(result.failed)}" if result.failed else ""
    print(f"seed {seed}: {result.measured}{reason}", flush=True)
    return not result.failed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "which", nargs="*", metavar="eNN", help="the beginnings of names (default: all)"
    )
    parser.add_argument(
        "--others", type=natural, default=0, help="how many seeds to run besides seed 0"
    )
    args = parser.parse_args()
    chosen = [n for n in names() if not args.which or n.startswith(tuple(args.which))]
    if not chosen:
        parser.error(f"no example begins with {' or '.join(args.which)}; there are {names()}")
    failed = {}
    for name in chosen:
        line, claims = row(name, args.others, _rows().get(name))
        _write({**_rows(), name: line})
        if claims:
            failed[name] = claims
    for name, claims in failed.items():
        print(f"{name} did not reach: {'; '.join(claims)}", file=sys.stderr)
    return 1 if failed else 0


def _rows() -> dict[str, str]:
    """Return the rows of the table by example, without rows of deleted examples."""
    text = README.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    lines = re.findall(r"^\| \[e\d\d_\w+\]\(.*\| [\d,]+ \|$", text, re.MULTILINE)
    rows = {line.partition("]")[0].removeprefix("| ["): line for line in lines}
    return {name: rows[name] for name in names() if name in rows}


def _write(rows: dict[str, str]) -> None:
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    table = "\n".join([HEADER, *(rows[name] for name in sorted(rows))])
    README.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
