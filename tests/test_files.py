"""How files are written: what was there stays or is replaced whole, and one process owns a file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.files import leftovers, owned, replacing

posix = pytest.mark.skipif(os.name != "posix", reason="files as POSIX has them")
OLD, NEW = {"a": np.zeros(500)}, {"a": np.ones(700)}


def write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def value(path: Path) -> float:
    return float(tg.load(path)["a"][0])


# ── what is no regular file ──────────────────────────────────────────────────────────────


@posix
@pytest.mark.parametrize("linked", [False, True])
def test_a_fifo_is_written_to(tmp_path: Path, linked: bool) -> None:
    fifo = tmp_path / "fifo.npz"
    os.mkfifo(fifo)
    path = tmp_path / "link.npz" if linked else fifo
    if linked:
        path.symlink_to(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    tg.save(path, NEW)
    reader.join()
    tg.save(tmp_path / "file.npz", NEW)
    assert read[0] == (tmp_path / "file.npz").read_bytes()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert path.is_symlink() == linked
    assert len(os.listdir(tmp_path)) == 2 + linked


@posix
def test_a_device_through_a_link_stays_one(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # one of our own, not /dev/null
        device.write_bytes(b"")
    except OSError:
        pytest.skip("no device can be made here")
    link = tmp_path / "link.npz"
    link.symlink_to(device)
    tg.save(link, NEW)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "null"]


@posix
def test_a_terminal_is_written_to(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    link = tmp_path / "tty"
    link.symlink_to(os.ttyname(slave))
    write(link, b"hello")
    assert os.read(master, 99) == b"hello"
    os.close(master)
    os.close(slave)


@posix
def test_a_socket_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.npz"))
        with pytest.raises(OSError, match=r"s.npz: it is not a regular file"):
            tg.save(tmp_path / "s.npz", NEW)
    assert os.listdir(tmp_path) == ["s.npz"]


@posix
def test_links_to_nothing_and_to_themselves(tmp_path: Path) -> None:
    dangling = tmp_path / "a.npz"
    dangling.symlink_to(tmp_path / "b.npz")
    tg.save(dangling, NEW)
    assert dangling.is_symlink()
    assert value(tmp_path / "b.npz") == 1
    loop = tmp_path / "loop.npz"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="loop"):
        tg.save(loop, NEW)
    assert loop.is_symlink()


# ── what an existing file keeps ──────────────────────────────────────────────────────────


@posix
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o640, 0o755])
def test_its_mode_stays(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.npz"
    tg.save(path, OLD)
    path.chmod(mode)
    tg.save(path, NEW)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert value(path) == 1


@posix
def test_a_private_file_is_private_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write(path, b"old")
    path.chmod(0o600)
    with replacing(path) as file:
        file.write(b"secret")
        [temporary] = leftovers(path)
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may")
def test_its_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    tg.save(path, OLD)
    os.chown(path, 12345, 54321)
    path.chmod(0o660)
    tg.save(path, NEW)
    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (12345, 54321, 0o660)


@posix
def test_its_hard_links_stay(tmp_path: Path) -> None:
    path, other = tmp_path / "a.npz", tmp_path / "b.npz"
    for first, second in ((OLD, NEW), (NEW, OLD)):  # longer, then shorter
        tg.save(path, first)
        if not other.exists():
            other.hardlink_to(path)
        tg.save(path, second)
        assert os.path.samefile(path, other)
        assert value(other) == second["a"][0]
    assert sorted(os.listdir(tmp_path)) == ["a.npz", "b.npz"]


def test_a_read_only_file_is_refused_even_to_root(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    tg.save(path, OLD)
    path.chmod(0o444)
    try:
        with pytest.raises(PermissionError, match=r"read-only.*a\.npz"):
            tg.save(path, NEW)
        assert value(path) == 0
        assert os.listdir(tmp_path) == ["a.npz"]
    finally:
        path.chmod(0o644)


# ── names ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\ud55c"])
def test_names_as_long_as_they_may_be(tmp_path: Path, letter: str) -> None:
    if os.name == "posix" and sys.getfilesystemencoding() != "utf-8":
        pytest.skip("these letters are no file names here")
    size = 251 // len(letter.encode())
    path = tmp_path / f"{letter * size}.npz"
    for state in (OLD, NEW):
        tg.save(path, state)
    assert value(path) == 1
    with owned(path):
        assert len(os.listdir(tmp_path)) == 2
    assert os.listdir(tmp_path) == [path.name]
    with pytest.raises(OSError, match="too long"):
        tg.save(tmp_path / f"{letter * 300}.npz", OLD)


def test_leftovers_are_those_of_one_file(tmp_path: Path) -> None:
    for name in (".a.npz.1-2.tmp", ".b.npz.1-2.tmp", ".a.npz.tmp", "a.npz.1-2.tmp"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in leftovers(tmp_path / "a.npz")] == [".a.npz.1-2.tmp"]
    long = tmp_path / ("y" * 240 + ".npz")
    with replacing(long):
        assert len(leftovers(long)) == 1


# ── a disk that is full ──────────────────────────────────────────────────────────────────

LIMITED = """
import resource, signal, sys, numpy as np, tinygrad_rnn as tg
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    tg.save(sys.argv[1], {"a": np.ones(9_000)})
except OSError as error:
    print(type(error).__name__, error.errno, error.filename)
"""


@posix
@pytest.mark.parametrize("hard_link", [False, True])
def test_no_room_names_the_file_and_leaves_it(tmp_path: Path, hard_link: bool) -> None:
    path = tmp_path / "a.npz"
    tg.save(path, OLD)
    if hard_link:
        (tmp_path / "b.npz").hardlink_to(path)
    process = subprocess.run(
        [sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True
    )
    assert process.stdout == f"OSError 27 {path}\n"
    assert value(path) == 0
    assert len(os.listdir(tmp_path)) == 1 + hard_link


def test_an_overwrite_in_place_that_fails_keeps_the_whole_copy(tmp_path: Path, monkeypatch) -> None:
    import shutil

    path = tmp_path / "a.npz"
    tg.save(path, OLD)
    (tmp_path / "b.npz").hardlink_to(path)

    def full(source: object, file: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(OSError, match=r"No space left .*the whole file is in .*\.tmp") as error:
            tg.save(path, NEW)
    [whole] = leftovers(path)
    assert str(whole) in str(error.value)
    whole.rename(tmp_path / "c.npz")
    assert value(tmp_path / "c.npz") == 1


# ── one owner ────────────────────────────────────────────────────────────────────────────

OWNER = """
import sys, time
from tinygrad_rnn.files import owned
with owned(sys.argv[1]):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    process = subprocess.Popen([sys.executable, "-c", OWNER, path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"mine"
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(BlockingIOError, match=f"process {process.pid} is writing it"):
            owned(name).__enter__()
    process.kill()  # the lock goes with the process
    process.wait()
    process.stdout.close()
    with owned(path), pytest.raises(BlockingIOError, match=f"process {os.getpid()} is writing"):
        owned(path).__enter__()
    assert os.listdir(tmp_path) == ["link.npz"]


def test_many_threads_own_it_one_after_the_other(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "a.npz", 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(30):
            while True:
                try:
                    with owned(path):
                        inside += 1
                        most = max(most, inside)
                        time.sleep(0.0005)
                        inside -= 1
                    break
                except BlockingIOError:
                    pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert os.listdir(tmp_path) == []
