"""``python -m tinygrad_rnn``: the commands are in ``app``."""

from __future__ import annotations

import sys

from .app.command_line import COMMANDS, _with_one_blas_thread, main

__all__ = ["COMMANDS", "main"]

if __name__ == "__main__":
    _with_one_blas_thread()
    sys.exit(main())
