"""Checking gradients: the checks that this library runs on its own rules, for use on yours.

    tg.testing.gradcheck(f, inputs)           f's gradient against central differences
    tg.testing.gradgradcheck(f, inputs)       the same for the gradient of the gradient
    tg.testing.check_op(op, *examples)        every law of ``testing.laws`` on an operation
    tg.testing.check_bptt(f, b, "lstm")       find the mistake in a backward written by hand
    tg.testing.strategies                     random arrays, sequences, cells for hypothesis

``gradcheck`` compares with ``differences``, and looks at ``kinks`` where these do not agree.
``steps_hint`` says what a wrong gradient along time looks like.

``operations`` has ``check_op``. A case (``cases``) is an operation at a point; ``inputs`` finds
such points. ``laws`` holds what must be true there. ``mutants`` breaks rules on purpose, to see
whether the laws notice. ``programs`` composes operations at random. ``coursework`` has
``check_bptt``, which ``examples/exercises`` uses too. ``python -m tinygrad_rnn check my_ops.py``
runs the laws on the operations of a file. Only ``strategies`` needs hypothesis. The cases of the
library's own operations are not part of the package: they are in ``tests/cases``.
"""

import importlib
from typing import Any

from .coursework import check_bptt
from .gradcheck import gradcheck, gradgradcheck
from .operations import check_op

_rooms = {"cases", "laws", "mutants", "strategies"}


def __getattr__(name: str) -> Any:
    if name in _rooms:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_rooms})


__all__ = ["check_bptt", "check_op", "gradcheck", "gradgradcheck"]
