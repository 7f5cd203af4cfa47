"""What the commands share: the numbers they take, and the error of what cannot be done."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


class Unusable(Exception):
    """What was asked for cannot be done; the message tells the user why. Exit code 2."""


def whole(least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number of at least ``least``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, got {text!r}"
            )
        return number

    return read


def number(least: float, most: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """The type of an argument that is a number from ``least`` to ``most``.

    Args:
        least: the least.
        most: the largest.
        above: whether ``least`` itself is too small.
    """

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (least < value if above else least <= value) or not value <= most:
            bound = f"{'above' if above else 'of at least'} {least:g}"
            upper = "" if most == math.inf else f" and at most {most:g}"
            raise argparse.ArgumentTypeError(f"expected a number {bound}{upper}, got {text!r}")
        return value

    return read
