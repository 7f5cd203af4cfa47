"""Every example's quick run, held to what the example itself claims of it.

The default test run takes the three fastest; ``pytest -m examples`` takes all of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.__main__ import README, load, names
from examples.targets import TARGETS

FASTEST = {"e01_scalar_rnn", "e03_hello", "e04_goodbye_hello"}


ROOT = Path(__file__).parents[1]


def marked(name: str) -> object:
    marks = [pytest.mark.examples] if name in FASTEST else [pytest.mark.examples, pytest.mark.more]
    return pytest.param(name, marks=marks, id=name)


@pytest.mark.parametrize("name", [marked(name) for name in names()])
def test_quick_run_reaches_what_it_claims(name: str, tmp_path: Path) -> None:
    result = load(name).main(["--quick", "--out", str(tmp_path)])
    assert result.checks, "an example has to claim something"
    assert not result.failed, result.measured
    picture = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    assert "<svg" in picture


@pytest.mark.examples
@pytest.mark.parametrize("name", names())
def test_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = load(name)
    assert TARGETS[name]
    source = Path(module.__file__ or "").read_text(encoding="utf-8")
    assert not re.search(r"\bSeeds? 00\d|\b00[0-4] (says|writes|shows)", source), (
        "a text nobody has"
    )
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out


@pytest.mark.examples
@pytest.mark.parametrize("name", names())
def test_table_of_contents_leads_to_it(name: str) -> None:
    assert f"[{name}]({name}.py)" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [marked(name) for name in names()])
def test_it_runs_as_a_script(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--quick", "--out", "here"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    assert (tmp_path / "here" / f"{name}.svg").exists()
