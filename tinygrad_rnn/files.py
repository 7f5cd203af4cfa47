"""How files are written: whole or not at all, and by one process at a time.

:func:`replacing` writes a file that takes its name only when all of it is on the disk.
:func:`owned` is a lock on such a file that ends with the process that holds it.
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

_LONG = 100  # bytes: the names beside a file with a longer name hold a hash in its place
_LOCKED_BYTE = 80  # on Windows, where others cannot read it: past the text


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write into, which takes the place of ``path`` when the block ends.

    The bytes go into a temporary file in the same folder, reach the disk, and then take the name.
    An existing file keeps its mode, its owner where that is allowed, and its hard links; a
    symbolic link stays one, and the file that it leads to is replaced. What is no regular file (a
    FIFO, a device) is opened and written to at the end of the block.

    A file with several hard links has to be overwritten in place: if that fails half way, the
    temporary file stays, and the error says where.

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
        raise OSError(f"cannot save to {path}: it is no regular file")


@contextmanager
def _new_content(path: Path, before: os.stat_result | None) -> Iterator[IO[bytes]]:
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {path}: there is no folder {target.parent}")
    if before is not None and not (before.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise PermissionError(errno.EACCES, "the file is read-only", str(path))
    # Not the same for two writers at a time, so that neither finds the other's bytes in its file.
    temporary = target.with_name(f".{_label(target)}.{os.getpid()}-{threading.get_ident()}.tmp")
    mode = 0o666 if before is None else 0o600  # less the umask; an existing file's own mode follows
    keep = False
    try:
        temporary.unlink(missing_ok=True)  # of a process that was killed and had the same number
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
            whole = f" (all of it is in {temporary})" if keep else ""
            raise type(error)(error.errno, f"{error.strerror}{whole}", str(path)) from error
        raise
    finally:
        if not keep:
            temporary.unlink(missing_ok=True)
    if os.name == "posix":  # the new name, too, has to reach the disk
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _label(target: Path) -> str:
    """What the temporary files of a file have in common: its name, unless that is too long."""
    name = os.fsencode(target.name)
    return target.name if len(name) <= _LONG else hashlib.sha256(name).hexdigest()[:32]


def _copy_attributes(before: os.stat_result, target: Path, temporary: Path) -> None:
    if hasattr(os, "chown"):
        for owner in ((before.st_uid, before.st_gid), (-1, before.st_gid)):
            with suppress(OSError):
                os.chown(temporary, *owner)
                break
    with suppress(OSError):  # the name may be gone, as that of an open file in /proc is
        shutil.copystat(target, temporary)  # the mode, and extended attributes such as ACLs
    os.utime(temporary)


def _is_at(target: Path, before: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(target), before)
    except OSError:
        return False


def _is_the_same(path: Path, target: Path) -> bool:
    """Whether a path leads to the file of this name; that of an open file in /proc may not."""
    for _ in range(100):  # another writer may give the name to a new file between the two looks
        with suppress(OSError):
            if os.path.samefile(path, target):
                return True
    return False


def _replaced(temporary: Path, target: Path) -> bool:
    """Whether the temporary file could take the name; that of a mounted file cannot be taken."""
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
    """The temporary files that writers of this file have left behind, or are writing now."""
    target = Path(os.path.realpath(path))
    return sorted(target.parent.glob(f".{glob.escape(_label(target))}.*.tmp"))


# ── one owner ────────────────────────────────────────────────────────────────────────────


@contextmanager
def owned(path: str | os.PathLike[str]) -> Iterator[None]:
    """Own a file until the block ends or the process does, however it ends.

    The lock is on a file of its own beside ``path``, since ``path`` itself is replaced. Where the
    file system has no locks, nothing is locked.

    Raises:
        BlockingIOError: another process, or another thread, owns it; the message says which.
        OSError: the lock file cannot be made.
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{_label(target)}.lock")
    while True:
        file = open(lock, "a+b")  # noqa: SIM115 # it stays open as long as the lock is held
        try:
            if _lock(file) and not _is_at(lock, os.fstat(file.fileno())):
                file.close()  # its last owner removed it in between
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
            lock.unlink(missing_ok=True)  # while it is locked: nobody else can own it
            file.close()
        else:
            file.close()
            with suppress(OSError):
                lock.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> bool:
    """Lock an open file; False where the system cannot.

    Raises:
        BlockingIOError: it is locked already.
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
