"""The threads of the native back end: how many there are, and how they share work.

Work that is cut into parts computes the same bits for every number of parts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_lock = threading.Lock()
_chosen: int | None = None
_pool: ThreadPoolExecutor | None = None
_size = 0


def set_num_threads(n: int) -> None:
    """Choose how many threads one scan may keep busy, on the native back end.

    The results are the same to the last bit for every n. Small work always stays on one thread.

    NumPy's products have threads of their own (OpenBLAS). While these wait for the next product
    they keep a core busy that a scan could use. So set the environment variable
    ``OPENBLAS_NUM_THREADS=1`` before Python starts, if scans take most of the time.

    Args:
        n: at least 1. The default is the number of cores that this process may use, but at most
            the environment variable ``OMP_NUM_THREADS``.

    Raises:
        TypeError: n is not an integer.
        ValueError: n is less than 1.

    >>> import tinygrad_rnn as tg
    >>> before = tg.get_num_threads()
    >>> tg.set_num_threads(2)
    >>> tg.get_num_threads()
    2
    >>> tg.set_num_threads(before)
    """
    global _chosen
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_num_threads: expected an integer, got {type(n).__name__}")
    if n < 1:
        raise ValueError(f"set_num_threads: expected at least 1, got {n}")
    with _lock:
        _chosen = n


def get_num_threads() -> int:
    """How many threads one scan may keep busy; see :func:`set_num_threads`."""
    return _usual() if _chosen is None else _chosen


def _usual() -> int:
    # A container or ``taskset`` may allow fewer cores than the machine has.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    # OpenMP allows a list, one number for each level of nesting: the first one counts.
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    limit = int(wanted) if wanted.isdigit() and int(wanted) > 0 else cores
    return max(1, min(cores or 1, limit or 1))


def in_parts(work: Callable[[int, int], Any], parts: int) -> None:
    """Run ``work(part, parts)`` for every part and wait. This thread runs part 0."""
    others = [_executor(parts - 1).submit(work, i, parts) for i in range(1, parts)]
    try:
        work(0, parts)
    finally:
        # Wait for all parts even after an error: they write into memory of this call. ``result``
        # raises the error of a part.
        for other in others:
            other.result()


def _executor(threads: int) -> ThreadPoolExecutor:
    """The pool of threads, with at least this many threads."""
    global _pool, _size
    with _lock:
        if _pool is None or _size < threads:
            _pool, _size = ThreadPoolExecutor(threads, "tinygrad_rnn"), threads
        return _pool


def _forget() -> None:
    """After a fork: the child process does not have its parent's threads."""
    global _pool, _size, _lock
    _pool, _size, _lock = None, 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)

__all__ = ["get_num_threads", "in_parts", "set_num_threads"]
