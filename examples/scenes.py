"""Generated scenes of one or two coloured things, and a CNN that looks at them.

What e40_captioning and e41_vqa share. A thing is a shape, or a handwritten digit of scikit-learn,
in one of four colours on a black ground. Two things never overlap, and stand beside each other or
one above the other, nothing in between: their distances along the two axes differ by 3 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

import tinygrad_rnn as tg
from digits import Digits

SIZE = 20  # pixels, of a scene
THING = 8  # of the square that a thing lies in

COLOURS = {
    "red": (1.0, 0.2, 0.2),
    "green": (0.2, 0.9, 0.2),
    "blue": (0.3, 0.4, 1.0),
    "yellow": (1.0, 0.9, 0.1),
}
SHAPES = ("circle", "square", "triangle", "cross")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def cnn(rng: np.random.Generator, channels: int = 3, features: int = 32) -> tg.nn.Sequential:
    """Scenes (N, channels, SIZE, SIZE) to what is seen at 5 x 5 places, (N, features, 5, 5).

    Each place looks at 7 x 7 pixels.
    """
    return tg.nn.Sequential(
        tg.nn.LayerNorm((channels, SIZE, SIZE), elementwise_affine=False),
        tg.nn.Conv2d(channels, 16, 3, stride=2, padding=1, rng=rng),
        tg.relu,
        tg.nn.Conv2d(16, features, 3, stride=2, padding=1, rng=rng),
        tg.relu,
    )


class Thing(NamedTuple):
    """A coloured thing, and the pixel of its upper left corner (x to the right, y downwards)."""

    colour: str
    kind: str
    x: int
    y: int


class Scene(NamedTuple):
    """A picture (3, SIZE, SIZE) from 0 to 1, and what is on it.

    Of two things the first is the left one or, where they stand above each other, the upper one.
    """

    image: np.ndarray
    things: tuple[Thing, ...]

    @property
    def relation(self) -> str:
        """Where the first of two things is, seen from the second."""
        first, second = self.things
        return "left of" if second.x - first.x > second.y - first.y else "above"


def scene(
    things: Sequence[tuple[str, str]],
    rng: np.random.Generator,
    digits: Digits | None = None,
    grid: int = 1,
) -> Scene:
    """One or two things, by colour and kind, at places drawn at random.

    Shapes are 6 to 8 pixels large, and everything is more or less bright.

    Args:
        things: the first one comes first.
        rng: a generator.
        digits: the images of kinds that are digits.
        grid: corners are multiples of so many pixels.
    """
    image, placed = np.zeros((3, SIZE, SIZE), np.float32), []
    for (colour, kind), (x, y) in zip(
        things, _corners(len(things), rng, grid).tolist(), strict=True
    ):
        if kind in DIGITS:
            likely = np.flatnonzero(digits.labels == DIGITS.index(kind))
            mask = digits.images[rng.choice(likely)]
        else:
            mask = _mask(kind, int(rng.integers(6, THING + 1)))
        light = np.float32(COLOURS[colour]) * rng.uniform(0.6, 1)
        image[:, y : y + THING, x : x + THING] = light[:, None, None] * mask
        placed.append(Thing(colour, kind, x, y))
    return Scene(image, tuple(placed))


@cache
def _mask(shape: str, size: int) -> np.ndarray:
    at = np.arange(size) - (size - 1) / 2
    x, y = np.abs(at)[None, :], at[:, None]
    inside = {
        "circle": np.hypot(x, y) < size / 2,
        "square": x + 0 * y < size,
        "triangle": x <= (y + size / 2) / 2,
        "cross": np.minimum(x, np.abs(y)) <= 1,
    }[shape]
    first = (THING - size) // 2
    rest = THING - size - first
    return np.pad(inside, (first, rest)).astype(np.float32)


def _corners(count: int, rng: np.random.Generator, grid: int) -> np.ndarray:
    """(count, 2) upper left corners x, y of one or two things."""
    while True:
        corners = grid * rng.integers((SIZE - THING) // grid + 1, size=(count, 2))
        if count == 1:
            return corners
        across, down = np.abs(corners[1] - corners[0])
        if max(across, down) >= THING and abs(across - down) >= 3:
            # Whichever distance is the larger one decides the sign of their sum, too.
            return corners[np.argsort(corners.sum(axis=1))]
