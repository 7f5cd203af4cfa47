"""Every example as a Jupyter notebook, made from the same file.

python -m examples.notebooks                 all of them, into the folder notebooks/
python -m examples.notebooks e01 --out DIR   these alone, into a folder

The first cell installs the library where it is missing; the next ones write the helpers that the
example shares with others into files beside the notebook. Then come the example's own text and
code, section by section, a quick run, and its picture. Needs nbformat (the extra ``notebooks``).
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
    """The examples there are, in order."""
    return sorted(path.stem for path in HERE.glob("e[0-9][0-9]_*.py"))


def notebook(name: str) -> str:
    """The notebook of an example, as the text of an .ipynb file."""
    from nbformat import v4, writes

    cells = []
    for k, (kind, text) in enumerate(_cells(name)):
        new = v4.new_markdown_cell if kind == "markdown" else v4.new_code_cell
        cells.append(new(text, id=f"{name}-{k}"))  # the same example gives the same file
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    text: str = writes(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))
    return text


def _cells(name: str) -> Iterator[tuple[str, str]]:
    """Kind and text of every cell."""
    source = (HERE / f"{name}.py").read_text(encoding="utf-8")
    title, _, rest = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    yield "markdown", f"# {title}\n{rest}"
    yield "code", INSTALL
    for helper in _helpers(name):
        text = (HERE / f"{helper}.py").read_text(encoding="utf-8")
        yield "markdown", f"`{helper}.py`, which this example shares with others:"
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
    """The modules of this folder that a file imports, and those that they import, these first."""
    found: dict[str, None] = {}

    def add(module: str) -> None:
        tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            other = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
            if other and (HERE / f"{other}.py").exists() and other not in found:
                add(other)
                found[other] = None

    add(name)
    return list(found)


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
