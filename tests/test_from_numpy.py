"""The programs in examples/from_numpy learn, started by module name and as scripts."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = ["fluid", "gaussian_process", "ode", "rnn", "lstm", "variational_inference"]


def module(name):
    return importlib.import_module(f"examples.from_numpy.{name}")


def test_every_program_is_here():
    files = (ROOT / "examples" / "from_numpy").glob("*.py")
    assert {f.stem for f in files} - {"__init__", "descent"} == set(PROGRAMS)
    told = importlib.import_module("examples.from_numpy").__doc__
    assert all(f"python -m examples.from_numpy.{name}" in told for name in PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_learns(name, capsys):
    losses = module(name).main(steps=12)
    assert losses[-1] < losses[0]
    assert "after 12 steps" in capsys.readouterr().out


@pytest.mark.examples
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("how", ["module", "script"])
def test_a_full_run_as_users_start_it(name, how, tmp_path):
    script = str(ROOT / "examples" / "from_numpy" / f"{name}.py")
    command = [script] if how == "script" else ["-m", f"examples.from_numpy.{name}"]
    run = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path if how == "script" else ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert " steps " in run.stdout
