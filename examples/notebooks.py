"""Make a Jupyter notebook of every example, from the example's own file.

python -m examples.notebooks                 all of them, into the folder notebooks/
python -m examples.notebooks e01 --out DIR   only these, into the folder DIR

The first cell installs the library if it is missing. The next cells write the shared helpers into
files beside the notebook. Then come the code of the example, section by section, a quick run, and
its picture. This needs nbformat (the extra ``notebooks``).
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent

INSTALL = """try:
    import tinygrad_rnn
except ImportError:
    %pip install --quiet tinygrad_rnn"""

RUN = """from IPython.display import SVG, display

result = main(["--quick", "--out", "."])  # without --quick: the full run
display(SVG("{name}.svg"))"""


def names() -> list[str]:
    """Return the names of all examples, in order."""
    return sorted(path.stem for path in HERE.glob("e[0-9][0-9]_*.py"))


def notebook(name: str) -> str:
    """Return the notebook of an example, as the text of an .ipynb file."""
    from nbformat import v4, writes

    cells = []
    for k, (kind, text) in enumerate(_cells(name)):
        new = v4.new_markdown_cell if kind == "markdown" else v4.new_code_cell
        # nbformat's own ids are random; with these, the same example gives the same file.
        cells.append(new(text, id=f"{name}-{k}"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    text: str = writes(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))
    return text


def _cells(name: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of every cell."""
    source = (HERE / f"{name}.py").read_text(encoding="utf-8")
    title, _, rest = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    yield "markdown", f"# {title}\n{rest}"
    yield "code", INSTALL
    for helper in _helpers(name):
        text = (HERE / f"{helper}.py").read_text(encoding="utf-8")
        yield "markdown", f"The helpers in `{helper}.py`, which several examples share:"
        yield "code", f"%%writefile {helper}.py\n{text.rstrip()}"
    body = source[source.index('"""', 3) + 3 :].partition('\nif __name__ == "__main__":')[0]
    for part in re.split(r"(?m)^(?=# ── )", body):
        heading = re.match(r"# ── (.*?) ─+\n", part)
        if heading:
            yield "markdown", f"## {heading[1][0].upper()}{heading[1][1:]}"
            part = part[heading.end() :]
        yield "code", part.strip()
    yield "markdown", "## The run"
    yield "code", RUN.format(name=name)


def _helpers(name: str) -> list[str]:
    """Return the modules of this folder that an example needs, each after those it imports."""
    ordered: dict[str, None] = {}

    def add(module: str) -> None:
        tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            other = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
            if other and (HERE / f"{other}.py").exists() and other not in ordered:
                add(other)
                ordered[other] = None

    add(name)
    return list(ordered)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="eNN", help="which (default: all)")
    parser.add_argument("--out", type=Path, default=Path("notebooks"), metavar="DIR")
    args = parser.parse_args(argv)
    wanted = [name for name in names() if not args.names or any(map(name.startswith, args.names))]
    if not wanted:
        parser.error(f"there is no example {' '.join(args.names)}; there are {', '.join(names())}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        path = args.out / f"{name}.ipynb"
        path.write_text(notebook(name), encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
