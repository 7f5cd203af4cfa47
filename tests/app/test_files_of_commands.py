"""What commands do to files that are there, to each other, to signals and to a full disk."""

from __future__ import annotations

import json
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import __main__ as command_line
from tinygrad_rnn.app import outputs, truncated_bptt

posix = pytest.mark.skipif(os.name != "posix", reason="signals and files of POSIX")
TEXT = "the cat sat on the mat, the dog sat on the log.\n" * 40
TINY = ["--hidden", 8, "--embedding", 4, "--batch", 4, "--bptt", 6]


def run(*argv: object) -> int:
    return command_line.main([str(a) for a in argv])


def train(*argv: object) -> int:
    return run("train", "text.txt", *TINY, *argv)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(here: Path, capsys: Any, *argv: object) -> str:
    """The one line on standard error; whatever was there stays as it was."""
    before = contents(here)
    capsys.readouterr()
    assert run(*argv) == 2
    err: str = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith(f"python -m tinygrad_rnn {argv[0]}: ")
    assert contents(here) == before
    return err


def started(*argv: object, **keywords: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tinygrad_rnn", *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **keywords,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ── what is there stays ──────────────────────────────────────────────────────────────────


def test_a_drawing_and_a_loss_curve_do_not_meet(here: Path, capsys: Any) -> None:
    assert train("--steps", 2) == 0
    curve = (here / "checkpoint.svg").read_bytes()
    assert run("draw", "checkpoint.npz", "--text", "the") == 0
    assert run("draw", "checkpoint.npz", "--text", "the", "--flow") == 0
    assert {"checkpoint-graph.svg", "checkpoint-flow.svg"} < set(os.listdir())
    assert (here / "checkpoint.svg").read_bytes() == curve
    draw = ["draw", "checkpoint.npz", "--text", "the", "-o", "checkpoint.svg"]
    err = refused(here, capsys, *draw)
    assert "checkpoint.svg exists, and was not written by this command as a picture" in err
    assert run(*draw, "--overwrite") == 0
    assert run(*draw, "--flow") == 0  # a picture over a picture
    err = refused(here, capsys, "train", "text.txt", "--resume", "--steps", 3)
    assert "not written by this command as a loss curve: move it or choose another --out" in err


def test_train_takes_no_drawings_name(here: Path, capsys: Any) -> None:
    assert run("draw", "-o", "lstm.svg") == 0
    err = refused(here, capsys, "train", "text.txt", *TINY, "--out", "lstm.npz")
    assert "lstm.svg exists, and was not written by this command as a loss curve" in err
    assert train("--out", "lstm.npz", "--steps", 2, "--overwrite") == 0
    assert "bits per character" in (here / "lstm.svg").read_text("utf-8")
    assert train("--out", "lstm.npz", "--steps", 3, "--resume") == 0


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_train_never_writes_over_what_it_reads(here: Path, capsys: Any, more: list[str]) -> None:
    (here / "b.svg").write_text(TEXT, encoding="utf-8")
    err = refused(here, capsys, "train", "b.svg", *TINY, "--out", "b.npz", *more)
    assert "b.svg would be written over, and is what is read" in err
    (here / "c.npz").write_text(TEXT, encoding="utf-8")
    err = refused(here, capsys, "train", "c.npz", *TINY, "--out", "c.npz", "--overwrite")
    assert "c.npz would be written over" in err
    (here / "d.svg").hardlink_to(here / "text.txt")
    err = refused(here, capsys, "train", "text.txt", *TINY, "--out", "d.npz", *more)
    assert "d.svg would be written over" in err
    log = ["--log-json", "text.txt"]
    assert "text.txt would be written over" in refused(
        here, capsys, "train", "text.txt", *TINY, *log, *more
    )


def test_a_log_is_only_written_over_a_log(here: Path, capsys: Any) -> None:
    (here / "notes.jsonl").write_text('{"my": "notes"}\n', encoding="utf-8")
    err = refused(here, capsys, "train", "text.txt", *TINY, "--log-json", "notes.jsonl")
    assert "notes.jsonl exists and is no log of 'train'" in err
    assert train("--steps", 2, "--log-json", "log.jsonl") == 0
    assert train("--steps", 2, "--log-json", "log.jsonl", "--out", "b.npz") == 0


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of each chunk; their checksums are right."""
    found, place = [], 8
    while place < len(png):
        length, name = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + length]
        (check,) = struct.unpack(">I", png[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(name + content)
        found.append((name, content))
        place += 12 + length
    return found


@pytest.mark.parametrize("suffix", ["svg", "html", "dot", "gv", "png", "pdf"])
def test_pictures_of_every_format_may_be_drawn_again(here: Path, capsys: Any, suffix: str) -> None:
    out = f"a.{suffix}"
    if suffix in ("png", "pdf") and run("draw", "--steps", 2, "-o", out) == 2:
        pytest.skip("only dot renders it")
    assert run("draw", "--steps", 2, "-o", out) == 0
    first = (here / out).read_bytes()
    assert run("draw", "--steps", 2, "-o", out) == 0
    assert (here / out).read_bytes() == first
    if suffix == "png":
        chunks = chunks_of(first)
        assert [name for name, _ in chunks][-2:] == [b"tEXt", b"IEND"]
        assert (b"tEXt", b"Software\0tinygrad_rnn: picture") in chunks
    (here / out).write_bytes(first[:100])
    assert f"{out} exists, and was not" in refused(here, capsys, "draw", "--steps", 2, "-o", out)
    (here / out).write_bytes(b"")  # as mktemp makes it: nothing is lost
    assert run("draw", "--steps", 2, "-o", out) == 0


def test_marks_do_not_harm_a_gif() -> None:
    gif = bytes.fromhex("474946383961010001000000002c00000000010001000002024401003b")
    marked = outputs.marked(gif, ".gif", "picture")
    assert marked.startswith(gif[:-1] + b"\x21\xfe")
    assert marked.endswith(b"\0\x3b")
    assert outputs.marked(b"abc", ".json", "picture") == b"abc"  # a format without comments


def test_the_demo_keeps_foreign_files(here: Path, capsys: Any) -> None:
    (here / "bptt.svg").write_text("<svg/>", encoding="utf-8")
    assert "bptt.svg exists, and was not" in refused(here, capsys, "demo", "--steps", 1)
    assert run("demo", "--steps", 1, "--overwrite") == 0
    assert run("demo", "--steps", 1) == 0


def test_a_curve_that_was_replaced_meanwhile_is_left_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = truncated_bptt.bptt_step

    def draws(*args: Any, **keywords: Any) -> Any:
        (here / "checkpoint.svg").write_text("mine", encoding="utf-8")
        return step(*args, **keywords)

    monkeypatch.setattr(truncated_bptt, "bptt_step", draws)
    assert train("--steps", 2) == 0
    assert (here / "checkpoint.svg").read_text("utf-8") == "mine"


@posix
def test_a_picture_into_a_fifo(here: Path) -> None:
    os.mkfifo("a.dot")
    fifo = os.open("a.dot", os.O_RDWR | os.O_NONBLOCK)  # so that neither end waits for the other
    try:
        process = started("draw", "--steps", 2, "-o", "a.dot")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert os.read(fifo, 1 << 16).startswith(b"digraph")
    finally:
        os.close(fifo)
    assert stat.S_ISFIFO((here / "a.dot").stat().st_mode)


# ── one run, one checkpoint ──────────────────────────────────────────────────────────────


@posix
def test_a_second_run_on_a_checkpoint_says_so_and_stops(here: Path, capsys: Any) -> None:
    first = started("train", "text.txt", *TINY, "--steps", 100_000, "--save-every", 5)
    try:
        wait_for(here / "checkpoint.npz", first)
        capsys.readouterr()
        assert run("train", "text.txt", "--resume") == 2
        err = capsys.readouterr().err
        assert err == (
            f"python -m tinygrad_rnn train: checkpoint.npz: process {first.pid} is writing it\n"
        )
        assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 143
    finally:
        first.kill()
        first.communicate()
    assert run("train", "text.txt", "--resume", "--steps", 1) == 0
    assert not list(here.glob(".*"))


# ── signals ──────────────────────────────────────────────────────────────────────────────


@posix
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_save_the_last_step(here: Path, name: str, code: int) -> None:
    arguments = ["train", "text.txt", *TINY, "--steps", 100_000, "--save-every", 100_000]
    default = getattr(signal, name)
    process = started(*arguments, preexec_fn=lambda: signal.signal(default, signal.SIG_DFL))
    wait_for(here / "checkpoint.npz", process)
    time.sleep(0.3)
    process.send_signal(default)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    step = tg.load("checkpoint.npz")["training"]["step"]
    assert step > 0
    assert f"stopped   at step {step:,} of 100,000; to go on: python -m tinygrad_rnn train" in out


@posix
def test_signals_that_are_ignored_stay_ignored(here: Path) -> None:
    arguments = ["train", "text.txt", *TINY, "--steps", 1500, "--save-every", 100_000]
    process = started(*arguments, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for(here / "checkpoint.npz", process)
    process.send_signal(signal.SIGHUP)  # as nohup has it
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopped" not in out


@posix
def test_a_terminal_that_goes_away(here: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    arguments = ["train", "text.txt", *TINY, "--steps", 1_000_000, "--save-every", 1_000_000]
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_rnn", *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(slave)
    seen = b""
    while b"left" not in seen:
        seen += os.read(master, 4096)
    os.close(master)  # the kernel sends SIGHUP, and every write fails from now on
    assert process.wait(60) == 129
    assert tg.load("checkpoint.npz")["training"]["step"] > 0


def test_sample_writes_as_it_goes_and_stops_cleanly(here: Path) -> None:
    assert train("--steps", 2) == 0
    process = started(
        "sample",
        "checkpoint.npz",
        "--length",
        10_000_000,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert len(process.stdout.read(50)) == 50  # long before it is done
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.endswith("\n")
    assert err == ""


# ── a full disk ──────────────────────────────────────────────────────────────────────────


@posix
def test_a_full_disk_names_the_file_the_step_and_how_to_go_on(here: Path) -> None:
    resource = pytest.importorskip("resource")
    arguments = ["train", "text.txt", *TINY, "--save-every", 1, "--steps", 100_000]
    process = started(*arguments)
    wait_for(here / "checkpoint.npz", process)
    size = (here / "checkpoint.npz").stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + 2000, size + 2000))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    step = tg.load("checkpoint.npz")["training"]["step"]
    assert err == (
        f"python -m tinygrad_rnn train: checkpoint.npz: File too large; step {step:,} is safe in "
        "checkpoint.npz; to go on: python -m tinygrad_rnn train text.txt --resume\n"
    )
    assert sorted(os.listdir()) == ["checkpoint.npz", "checkpoint.svg", "text.txt"]
    assert run("train", "text.txt", "--resume", "--steps", step + 1) == 0


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_is_full_or_closed(here: Path, unbuffered: str) -> None:
    assert train("--steps", 1) == 0
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    sample = f"{sys.executable} -m tinygrad_rnn sample checkpoint.npz --length 5"
    answers = [
        subprocess.run(
            f"{sample} {redirection}", shell=True, capture_output=True, text=True, env=environment
        )
        for redirection in (">/dev/full", ">&-", ">&- 2>&-", "| true")
    ]
    full, closed, both, _ = answers
    assert full.returncode == 2
    assert full.stderr == (
        "python -m tinygrad_rnn sample: standard output: No space left on device\n"
    )
    assert (closed.returncode, closed.stderr) == (0, "")
    assert both.returncode == 0
    assert answers[3].stderr == ""


# ── the log ──────────────────────────────────────────────────────────────────────────────


def lines(path: str) -> list[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_the_log_of_a_run_in_parts_is_that_of_the_whole(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--steps", 9, "--save-every", 4]
    assert train(*options, "--out", "whole.npz", "--log-json", "whole.jsonl") == 0
    whole = lines("whole.jsonl")
    assert whole[0]["settings"]["hidden"] == 8
    assert [line["step"] for line in whole[1:]] == list(range(1, 10))
    assert [line["step"] for line in whole[1:] if "held_out" in line] == [4, 8, 9]
    training = tg.load("whole.npz")["training"]
    np.testing.assert_array_equal([line["bits"] for line in whole[1:]], training["losses"])

    step = truncated_bptt.bptt_step
    made = 0

    def dies(*args: Any, **keywords: Any) -> Any:
        nonlocal made
        made += 1
        if made == 7:
            raise SystemExit
        return step(*args, **keywords)

    parts = [*options, "--out", "parts.npz", "--log-json", "parts.jsonl"]
    with monkeypatch.context() as patch:
        patch.setattr(truncated_bptt, "bptt_step", dies)
        with pytest.raises(SystemExit):
            train(*parts)
    with open("parts.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 7, "lo')  # cut short by a kill
    assert train(*parts, "--resume") == 0
    assert lines("parts.jsonl") == whole


def test_event_files_for_tensorboard(here: Path, capsys: Any) -> None:
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        assert (
            "pip install 'tinygrad_rnn[tensorboard]'"
            in ((train("--steps", 2, "--tensorboard", "runs"), capsys.readouterr().err)[1])
        )
        return
    assert train("--steps", 4, "--save-every", 2, "--tensorboard", "runs") == 0
    assert train("--steps", 6, "--resume", "--tensorboard", "runs") == 0
    files = sorted(Path("runs").iterdir())
    assert len(files) == 2
    content = files[0].read_bytes()
    for name in (b"loss", b"bits", b"lr", b"held_out"):
        assert name in content
