"""A command is tested as a shell starts it in the foreground: Ctrl-C raises KeyboardInterrupt."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _ctrl_c_is_noticed() -> Iterator[None]:
    """Shells start background jobs with SIGINT ignored, and then Python installs no handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
