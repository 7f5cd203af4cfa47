"""Runs the check of one exercise and prints what it finds."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

# `python examples/exercises/ex1_rnn_step.py` finds tinygrad_rnn from a checkout too.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def gaps(source: str) -> list[int]:
    """The lines in which ``...`` still stands for an expression of yours."""
    return sorted(
        node.value.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Assign, ast.AugAssign))
        and isinstance(node.value, ast.Constant)
        and node.value.value is ...
    )


def run(check: Callable[[], object], file: str) -> int:
    """Print the open gaps, or what the check says; returns 0 where all is right.

    Args:
        check: of the exercise; raises AssertionError where something is wrong.
        file: of the exercise.
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
