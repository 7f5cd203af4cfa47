"""Every example as a notebook: made from its file, and run from its first cell.

The default test run executes the two fastest; ``pytest -m examples`` executes all.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

from examples.notebooks import main, names, notebook

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
FASTEST = {"e01_scalar_rnn", "e04_goodbye_hello"}


@pytest.mark.parametrize("name", names())
def test_it_is_a_notebook_of_the_whole_example(name: str) -> None:
    found = nbformat.reads(notebook(name), 4)
    nbformat.validate(found)
    assert notebook(name) == notebook(name)
    code = [cell.source for cell in found.cells if cell.cell_type == "code"]
    assert "%pip install" in code[0]
    assert found.cells[0].source.startswith("# ")
    source = ast.parse((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8"))
    expected = {node.name for node in source.body if hasattr(node, "name")}
    plain = "\n".join(text for text in code if not text.startswith("%%") and "%pip" not in text)
    assert expected <= {n.name for n in ast.walk(ast.parse(plain)) if hasattr(n, "name")}


def test_one_command_writes_them(tmp_path: Path) -> None:
    assert main(["e01", "e03", "--out", str(tmp_path)]) == 0
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["e01_scalar_rnn.ipynb", "e03_hello.ipynb"]
    json.loads((tmp_path / written[0]).read_text(encoding="utf-8"))
    with pytest.raises(SystemExit):
        main(["e99", "--out", str(tmp_path)])


def marked(name: str) -> object:
    marks = [pytest.mark.examples] if name in FASTEST else [pytest.mark.examples, pytest.mark.more]
    return pytest.param(name, marks=marks, id=name)


@pytest.mark.parametrize("name", [marked(name) for name in names()])
def test_it_runs_from_its_first_cell(name: str, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    found = nbformat.reads(notebook(name), 4)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # the library as it is here counts as installed
    try:
        client = nbclient.NotebookClient(
            found, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
        )
        client.execute()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    shown = [output.get("data", {}) for output in found.cells[-1].outputs]
    assert any("image/svg+xml" in data for data in shown)
    said = "".join(output.get("text", "") for output in found.cells[-1].outputs)
    assert "measured" in said
    assert "NO " not in said
