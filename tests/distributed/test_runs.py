"""``tg.train(distributed=True)`` on ranks that are threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.distributed.threads import Communicator, OthersFailedError, run
from tinygrad_rnn.app import training, truncated_bptt
from tinygrad_rnn.app.ranks import Ranks, launched

TEXT = "the cat sat on the mat, the dog sat on the log.\n" * 40
TINY: dict[str, Any] = {"hidden": 8, "embedding": 4, "batch": 8, "bptt": 6, "save_every": 5}
Train = Callable[..., list[Any]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def train(here: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """``tg.train`` on so many ranks: the history, or the error, of each."""
    own = threading.local()
    monkeypatch.setattr(training, "launched", lambda: Ranks(own.comm))

    def on(size: int, *args: Any, **settings: Any) -> list[Any]:
        def program(comm: Communicator) -> Any:
            own.comm = comm
            try:
                return tg.train(*args, distributed=True, **settings)
            except SystemExit:
                return comm.world.aborts

        return run(size, program)

    return on


def agree(histories: list[Any], whole: dict[str, Any]) -> None:
    for history in histories:
        if isinstance(history, BaseException):
            raise history
        for name in ("losses", "held_out"):
            np.testing.assert_array_equal(history[name], histories[0][name])
            np.testing.assert_allclose(history[name], whole[name], rtol=1e-6)
        assert history["step"] == whole["step"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"cell": "gru", "layers": 2, "dropout": 0.3, "batch": 9},
        {"cell": "rnn", "teacher_forcing": 0.5},
        {"accumulate": 3, "lr": 0.02, "schedule": "plateau"},
        {"held_out": 0.002, "words": True},  # fewer streams are held out than there are ranks
        {"held_out": 0.0},
    ],
)
@pytest.mark.parametrize("size", [2, 3, 4])
def test_any_number_of_ranks_makes_the_same_run(
    train: Train, settings: dict[str, Any], size: int
) -> None:
    settings = {**TINY, "steps": 12, **settings}
    agree(train(size, "text.txt", **settings), tg.train("text.txt", **settings))


@pytest.mark.parametrize("sizes", [(1, 3), (4, 1), (3, 2, 4)])
def test_any_number_of_ranks_goes_on_from_a_checkpoint(
    train: Train, here: Path, sizes: tuple[int, ...]
) -> None:
    settings = {**TINY, "layers": 2, "dropout": 0.3, "teacher_forcing": 0.9}
    whole = tg.train("text.txt", steps=7 * len(sizes), schedule="constant", **settings)
    for part, size in enumerate(sizes, 1):
        options = settings if part == 1 else {"resume": True}
        histories = train(size, "text.txt", "a.npz", steps=7 * part, schedule="constant", **options)
    np.testing.assert_allclose(histories[0]["losses"], whole["losses"], rtol=1e-6)
    assert sorted(path.name for path in here.iterdir()) == ["a.npz", "a.svg", "text.txt"]


def test_the_same_number_of_ranks_goes_on_with_the_same_bits(train: Train) -> None:
    train(3, "text.txt", "whole.npz", steps=10, **TINY)
    train(3, "text.txt", "parts.npz", steps=10, callback=lambda r: r["step"] == 4, **TINY)
    assert tg.load("parts.npz")["training"]["step"] == 4
    train(3, "text.txt", "parts.npz", resume=True, save_every=5)
    assert Path("parts.npz").read_bytes() == Path("whole.npz").read_bytes()


def test_one_rank_writes_the_logs_and_is_called_back(train: Train, here: Path) -> None:
    told: list[int] = []
    train(2, "text.txt", steps=3, log_json="log", callback=lambda r: told.append(r["step"]), **TINY)
    assert told == [1, 2, 3]
    assert len((here / "log").read_text().splitlines()) == 4
    settings = {**TINY, "steps": 40, "patience": 1, "lr": 1.0}
    first, second = train(2, "text.txt", **settings)
    assert first["stopped"] == second["stopped"] == "patience"


def test_an_error_of_rank_0_is_raised_on_all_ranks(train: Train, here: Path) -> None:
    for error in train(3, "no.txt", **TINY):
        assert isinstance(error, FileNotFoundError)
        assert error.filename == "no.txt"
    for error in train(9, "text.txt", **TINY):
        assert isinstance(error, ValueError)
        assert "--batch 8 are fewer streams than there are ranks, 9" in str(error)
    for error in train(2, "text.txt", steps=50, **{**TINY, "lr": 1e38, "schedule": "constant"}):
        assert isinstance(error, FloatingPointError)


def test_a_loss_that_is_no_number_on_one_rank_stops_all(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = truncated_bptt.bptt_step
    fourth = threading.local()

    def broken(*args: Any, **keywords: Any) -> Any:
        fourth.count = getattr(fourth, "count", 0) + 1
        loss, state = step(*args, **keywords)
        breaks = fourth.count == 4 and threading.current_thread() is chosen[0]
        return (float("nan") if breaks else loss), state

    chosen: list[threading.Thread] = []
    monkeypatch.setattr(truncated_bptt, "bptt_step", broken)
    draws = Ranks.draws

    def choosing(self: Ranks, *args: Any) -> Any:
        if self.rank == 1 and not chosen:
            chosen.append(threading.current_thread())
        return draws(self, *args)

    monkeypatch.setattr(Ranks, "draws", choosing)
    for error in train(2, "text.txt", "a.npz", steps=9, **{**TINY, "accumulate": 2}):
        assert isinstance(error, FloatingPointError)
        assert "the loss is nan at step 2" in str(error)
    assert tg.load("a.npz")["training"]["step"] == 0


def test_a_rank_that_fails_alone_ends_the_job(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    def callback(record: dict[str, Any]) -> None:
        if record["step"] == 7:
            raise ZeroDivisionError("of the user's own")

    first, second = train(2, "text.txt", "a.npz", steps=9, callback=callback, **TINY)
    assert first[0] == 1  # MPI's Abort
    assert isinstance(second, OthersFailedError) or second == [1, 1]
    said = capsys.readouterr().err
    assert "ZeroDivisionError: of the user's own" in said
    assert "rank 0 of 2 failed and ends the job; a.npz keeps step 5, and --resume goes on" in said
    assert tg.load("a.npz")["training"]["step"] == 5


def test_errors_that_cannot_travel_are_told_in_words() -> None:
    class LocalError(Exception):
        pass

    def fail() -> None:
        raise LocalError("here")

    def program(comm: Any) -> Any:
        ranks = Ranks(comm)
        with ranks.ending_together():
            ranks.together(fail if comm.Get_rank() == 1 else lambda: None)

    first, second = run(2, program)
    assert isinstance(first, RuntimeError)
    assert "LocalError: here" in str(first)
    assert isinstance(second, LocalError)


def test_ranks_that_cannot_find_each_other_are_a_bad_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert launched().size == 1
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
    with pytest.raises(ValueError, match="without mpi4py"):
        launched()
