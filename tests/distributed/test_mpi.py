"""Ranks as processes that ``mpiexec`` starts; skipped where ``[mpi]`` is not installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

# The mpiexec that belongs to mpi4py's MPI is the one in this environment.
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
ROOT = Path(__file__).parents[2]
TEXT = "the cat sat on the mat, the dog sat on the log.\n" * 40
TINY = ["--hidden", "8", "--embedding", "4", "--batch", "8", "--bptt", "6"]
LAYERS = [*TINY, "--layers", "2", "--dropout", "0.2"]

pytestmark = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs tinygrad_rnn[mpi]",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    return tmp_path


def command(ranks: int, *argv: object) -> list[str]:
    assert MPIEXEC is not None
    return [MPIEXEC, "-n", str(ranks), sys.executable, "-m", *map(str, argv)]


def train(ranks: int, *options: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    argv = command(ranks, "tinygrad_rnn", "train", "text.txt", *options)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done


def training(path: str) -> dict[str, Any]:
    found: dict[str, Any] = tg.load(path)["training"]
    return found


def test_a_loop_of_ones_own(here: Path) -> None:
    argv = command(3, "tests.distributed.programs", "loop_of_ones_own")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.stdout == "agreed on 3 ranks\n", done.stderr


def test_1_2_and_4_ranks_agree_for_200_steps_and_go_on_from_each_others_checkpoints(
    here: Path,
) -> None:
    whole = train(1, *LAYERS, "--steps", 200, "--save-every", 50, "--out", "1.npz")
    for ranks in (2, 4):
        said = train(ranks, *LAYERS, "--steps", 200, "--save-every", 50, "--out", f"{ranks}.npz")
        assert said.stderr == whole.stderr == ""
        assert said.stdout.count("\n") == whole.stdout.count("\n") + 1  # one prints, and says so
        assert f"ranks     {ranks}, which share the streams" in said.stdout
        for name in ("losses", "held_out"):
            mine, other = training(f"{ranks}.npz")[name], training("1.npz")[name]
            assert len(mine) == (200 if name == "losses" else 5)
            np.testing.assert_allclose(mine, other, rtol=1e-6)
    train(
        4, *LAYERS, "--steps", 100, "--save-every", 50, "--schedule", "constant", "--out", "a.npz"
    )
    train(2, "--steps", 150, "--save-every", 50, "--resume", "--out", "a.npz")
    train(1, *LAYERS, "--steps", 150, "--schedule", "constant", "--out", "b.npz")
    np.testing.assert_allclose(training("a.npz")["losses"], training("b.npz")["losses"], rtol=1e-6)


def test_an_error_that_all_have_is_said_once(here: Path) -> None:
    done = train(3, "--batch", 2, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("python -m tinygrad_rnn train: --batch 2 are fewer streams")
    assert done.stderr.count("\n") == 1
    done = train(2, *TINY, "--steps", 50, "--lr", "1e38", "--schedule", "constant", code=1)
    assert done.stderr.count("stopped: the loss is") == 1


def test_a_rank_that_fails_alone_ends_the_job(here: Path) -> None:
    argv = command(2, "tests.distributed.programs", "fails", "text.txt", "a.npz")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode
    assert "ZeroDivisionError: of the user's own" in done.stderr
    assert "rank 0 of 2 failed and ends the job; a.npz keeps step 5" in done.stderr
    assert training("a.npz")["step"] == 5


# ── killed ───────────────────────────────────────────────────────────────────────────────


def started(*options: object, **keywords: Any) -> subprocess.Popen[str]:
    argv = command(2, "tinygrad_rnn", "train", "text.txt", *LAYERS, *options)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(argv, **pipes, **keywords)


def wait_for_step(path: str, step: int) -> None:
    for _ in range(1200):
        with suppress(FileNotFoundError):
            if training(path)["step"] >= step:
                return
        time.sleep(0.05)
    raise AssertionError("it does not train")


def processes_with(variable: str) -> Iterator[int]:
    """The processes whose environment has this line."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if variable.encode() in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the rank in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_ends_the_job_and_leaves_a_whole_checkpoint(
    here: Path, rank: int
) -> None:
    token = f"{os.getpid()}-{rank}-{time.time()}"
    process = started("--steps", 100_000, "--save-every", 5, env={**os.environ, "TOKEN": token})
    try:
        wait_for_step("checkpoint.npz", 10)
        mine = set(processes_with(f"TOKEN={token}"))
        (victim,) = mine & set(processes_with(f"PMI_RANK={rank}"))
        os.kill(victim, signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode
    assert "and --resume goes on from checkpoint.npz" in output
    assert "killed (signal 9)" in output.lower()  # mpiexec's own words
    assert not set(processes_with(f"TOKEN={token}"))
    step = training("checkpoint.npz")["step"]
    assert step >= 10
    assert step % 5 == 0
    train(2, "--resume", "--steps", step + 10, "--schedule", "constant")
    assert training("checkpoint.npz")["step"] == step + 10
    leftover = {path.name for path in here.iterdir()} - {"checkpoint.npz", "checkpoint.svg"}
    assert leftover == {"text.txt"}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_ctrl_c_ends_all_ranks_after_the_same_step(here: Path, name: str) -> None:
    process = started("--steps", 100_000, "--save-every", 5)
    try:
        wait_for_step("checkpoint.npz", 10)
        process.send_signal(getattr(signal, name))
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    saved = training("checkpoint.npz")
    assert f"stopped   at step {saved['step']:,} of 100,000; to go on: mpiexec -n 2" in output
    assert output.count("stopped") == 1
