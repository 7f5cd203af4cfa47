"""Arrays between pages that nobody may touch: a read or write out of bounds ends the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
from numpy import ndarray

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_NONE, _READ_WRITE = 0, 3
_PRIVATE_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class _Pages:
    """Memory with a page before and one after it that cannot be touched."""

    def __init__(self, size: int):
        self.inner = max(1, -(-size // PAGE)) * PAGE
        self.start = _libc.mmap(None, self.inner + 2 * PAGE, _NONE, _PRIVATE_ANONYMOUS, -1, 0)
        assert self.start not in (None, ctypes.c_void_p(-1).value)
        assert _libc.mprotect(self.start + PAGE, self.inner, _READ_WRITE) == 0

    def __del__(self) -> None:
        _libc.munmap(self.start, self.inner + 2 * PAGE)


class Guarded:
    """Makes arrays that end where a page ends, or begin where one begins.

    Args:
        at_end: which of the two.
    """

    def __init__(self, at_end: bool):
        self.at_end = at_end

    def empty(self, shape: Any, dtype: Any) -> ndarray:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        pages = _Pages(size)
        start = pages.start + PAGE + (pages.inner - size if self.at_end else 0)
        memory: Any = (ctypes.c_char * max(size, 1)).from_address(start)
        memory.pages = pages  # lives as long as the array does
        made: ndarray = np.frombuffer(memory, dtype, size // dtype.itemsize).reshape(shape)
        made.fill(np.nan if dtype.kind == "f" else True if dtype.kind == "b" else 99)
        return made

    def contiguous(self, x: Any) -> ndarray:
        made = self.empty(np.shape(x), x.dtype)
        made[...] = x
        return made
