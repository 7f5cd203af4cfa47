"""Run the check of one exercise and print the result."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

# In a checkout without an installed library, exercises find tinygrad_rnn here.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def gaps(source: str) -> list[int]:
    """Return the numbers of the lines that still have a gap, ``...``."""
    return sorted(
        node.value.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Assign, ast.AugAssign))
        and isinstance(node.value, ast.Constant)
        and node.value.value is ...
    )


def run(check: Callable[[], object], file: str) -> int:
    """Print the open gaps, or the result of the check. Return 0 if everything is right.

    Args:
        check: the check of the exercise; it raises AssertionError if something is wrong.
        file: the file of the exercise.
    """
    name = Path(file).name
    open_gaps = gaps(Path(file).read_text(encoding="utf-8"))
    if open_gaps:
        print(f"{name}: fill the gaps (...) in the lines {', '.join(map(str, open_gaps))}")
        return 1
    try:
        check()
    except AssertionError as error:
        print(error)
        return 1
    print(f"{name}: right")
    return 0
