"""A command is tested as a shell starts it in the foreground.

Ctrl-C raises KeyboardInterrupt, and a terminal that goes away ends it.
"""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _signals_are_noticed() -> Iterator[None]:
    """Shells start background jobs with SIGINT ignored, nohup with SIGHUP; children inherit it."""
    usual = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
