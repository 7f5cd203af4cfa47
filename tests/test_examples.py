"""Every example's quick run, held to what the example itself claims of it.

The default test run takes the three fastest; ``pytest -m examples`` takes all of them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.__main__ import README, load, names

FASTEST = {"e01_scalar_rnn", "e03_hello", "e04_goodbye_hello"}


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
    assert re.match(r"00[0-4]", module.SEED)
    assert re.search("[가-힣]", module.SEED), "the seed's Korean term"
    assert module.BAR
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out


@pytest.mark.examples
@pytest.mark.parametrize("name", names())
def test_table_of_contents_leads_to_it(name: str) -> None:
    assert f"[{name}]({name}.py)" in README.read_text(encoding="utf-8")
