"""What ``import tinygrad_rnn`` does to the process: its allocator keeps freed memory."""

from __future__ import annotations

import numpy as np


def keep_freed_memory() -> None:
    """Let the C library keep up to 60 MB of freed memory for the next forward pass.

    A freed graph leaves the top of the heap empty. glibc hands an empty top of more than 128 kB
    back to the system, and the next forward pass then pays a page fault for every 4 kB: a loop over
    50 LSTM steps takes 20-25 % longer. Having freed one large block raises that limit to twice the
    block's size (mallopt(3), M_MMAP_THRESHOLD). The block of 30 MB is never touched, so it takes no
    memory. Other C libraries do nothing of the kind.

    ``import tinygrad_rnn`` calls it, unless the environment variable ``TINYGRAD_RNN_ALLOCATOR`` is
    ``system``.

    >>> keep_freed_memory()
    """
    np.empty(30 << 20, np.uint8)
