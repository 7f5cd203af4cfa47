"""Write files completely or not at all, and by one process at a time.

:func:`replacing` writes a temporary file, which replaces the old one when all of it is on the disk.
:func:`owned` is a lock on a file. It ends with the process that has it.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO

_LONG = 100  # bytes: temporary files of a file with a longer name are named by a hash of it
_LOCKED_BYTE = 80  # on Windows others cannot read a locked byte, so lock one after the text


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file to write into. It replaces ``path`` when the block ends.

    The bytes go into a temporary file in the same folder. When they are on the disk, the temporary
    file gets the name. An existing file keeps its mode, its hard links and, if that is allowed, its
    owner. For a symbolic link, the file behind it is replaced. A FIFO or a device is opened and
    written at the end of the block.

    A file with several hard links must be overwritten in place. If that fails halfway, the
    temporary file stays, and the error names it.

    Raises:
        IsADirectoryError: ``path`` is a folder.
        FileNotFoundError: its folder does not exist.
        PermissionError: the file is read-only (for root too), or the folder cannot be written to.
        OSError: the disk is full, or ``path`` is a socket or a block device.
    """
    path = Path(path)
    try:
        before = os.stat(path)
    except FileNotFoundError:
        before = None
    if before is None or stat.S_ISREG(before.st_mode):
        with _new_content(path, before) as file:
            yield file
    elif stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(f"cannot save to {path}: it is a folder")
    elif stat.S_ISFIFO(before.st_mode) or stat.S_ISCHR(before.st_mode):
        content = BytesIO()
        yield content
        with open(path, "wb") as device:
            device.write(content.getbuffer())
    else:
        raise OSError(f"cannot save to {path}: it is not a regular file")


@contextmanager
def _new_content(path: Path, before: os.stat_result | None) -> Iterator[IO[bytes]]:
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: there is no folder {target.parent}")
    if before is not None and not (before.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise PermissionError(errno.EACCES, "the file is read-only", str(path))
    # Each process and thread has its own name, so two writers never share a temporary file.
    temporary = target.with_name(f".{_label(target)}.{os.getpid()}-{threading.get_ident()}.tmp")
    mode = 0o666 if before is None else 0o600  # without the umask; an old file's mode comes later
    keep = False
    try:
        temporary.unlink(missing_ok=True)  # left by a killed process with the same number
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if before is None:
            os.replace(temporary, target)
        else:
            _copy_attributes(before, target, temporary)
            alone = before.st_nlink == 1 and _is_the_same(path, target)
            if not (alone and _replaced(temporary, target)):
                keep = True
                _overwrite(path, temporary)
                keep = False
                temporary.unlink()
    except OSError as error:
        temporaries = (None, str(temporary))
        if error.errno is not None and error.filename in temporaries:
            whole = f" (the whole file is in {temporary})" if keep else ""
            raise type(error)(error.errno, f"{error.strerror}{whole}", str(path)) from error
        raise
    finally:
        if not keep:
            temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the new name must reach the disk, too
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _label(target: Path) -> str:
    """The part of the names of temporary files: the name of the file, or a hash if it is long."""
    name = os.fsencode(target.name)
    return target.name if len(name) <= _LONG else hashlib.sha256(name).hexdigest()[:32]


def _copy_attributes(before: os.stat_result, target: Path, temporary: Path) -> None:
    if hasattr(os, "chown"):
        for owner in ((before.st_uid, before.st_gid), (-1, before.st_gid)):
            with suppress(OSError):
                os.chown(temporary, *owner)
                break
    with suppress(OSError):  # the name may not exist, as for an open file in /proc
        shutil.copystat(target, temporary)  # the mode, and extended attributes such as ACLs
    os.utime(temporary)


def _is_at(target: Path, before: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(target), before)
    except OSError:
        return False


def _is_the_same(path: Path, target: Path) -> bool:
    """Whether a path leads to the file with this name. An open file in /proc may not have one."""
    for _ in range(100):  # another writer may replace the file between the two calls of stat
        with suppress(OSError):
            if os.path.samefile(path, target):
                return True
    return False


def _replaced(temporary: Path, target: Path) -> bool:
    """Give the temporary file the name; False if that is impossible, as for a mounted file."""
    try:
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            return False
        raise
    return True


def _overwrite(path: Path, temporary: Path) -> None:
    with open(temporary, "rb") as source, open(path, "r+b") as file:
        shutil.copyfileobj(source, file)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())


def leftovers(path: str | os.PathLike[str]) -> list[Path]:
    """The temporary files of all writers of this file, whether they still run or were killed."""
    target = Path(os.path.realpath(path))
    return sorted(target.parent.glob(f".{glob.escape(_label(target))}.*.tmp"))


# ── locks ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def owned(path: str | os.PathLike[str]) -> Iterator[None]:
    """Own a file until the block ends, or the process ends in any way.

    The lock is on a separate file next to ``path``, since ``path`` itself is replaced. If the file
    system has no locks, nothing is locked.

    Raises:
        BlockingIOError: another process or thread owns the file; the message says which.
        OSError: the lock file cannot be made.
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{_label(target)}.lock")
    while True:
        file = open(lock, "a+b")  # noqa: SIM115 # it stays open while we have the lock
        try:
            if _lock(file) and not _is_at(lock, os.fstat(file.fileno())):
                file.close()  # its last owner removed it since we opened it: try again
                continue
        except BlockingIOError:
            file.seek(0)
            owner = file.read(_LOCKED_BYTE - 1).decode("ascii", "replace").strip()
            file.close()
            raise BlockingIOError(
                errno.EAGAIN, f"process {owner or 'unknown'} is writing it", str(path)
            ) from None
        break
    try:
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode("ascii"))
        file.flush()
        yield
    finally:
        if os.name == "posix":
            lock.unlink(missing_ok=True)  # still locked, so it is nobody else's
            file.close()
        else:
            file.close()
            with suppress(OSError):
                lock.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> bool:
    """Lock an open file; False if the system cannot.

    Raises:
        BlockingIOError: it is already locked.
    """
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            return False
        raise
    return True


def _lock_on_windows(file: IO[bytes]) -> bool:
    import msvcrt

    file.seek(_LOCKED_BYTE)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        raise BlockingIOError from None
    return True


__all__ = ["leftovers", "owned", "replacing"]
