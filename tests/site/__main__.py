"""Build the site from the docstrings, the README and the examples, and check it.

python -m tests.site            into site/; open site/index.html
python -m tests.site FOLDER     into another folder

It needs ``pip install -e '.[docs]'``. The exit code is 1 if a link or a reference leads nowhere, or
if the docstring of a public function that takes arrays does not tell their shapes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import build, links, references, shapes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=build.ROOT / "site")
    folder: Path = parser.parse_args().folder
    modules = build.public_modules()
    problems = [*shapes.missing(modules), *references.dangling(modules)]
    problems += [*build.write(folder, modules), *links.broken(folder)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"wrote {folder / 'index.html'}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
