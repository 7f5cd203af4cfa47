"""Generated scenes of one or two coloured things, and a CNN, for e40_captioning and e41_vqa.

A thing is a shape, or a handwritten digit of scikit-learn, in one of four colours on black. Two
things never overlap. They are clearly beside each other or clearly above each other: their
distances along the two axes differ by at least 3 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

import tinygrad_rnn as tg
from digits import Digits

SIZE = 20  # the side of a scene in pixels
THING = 8  # the side of the square that holds a thing, in pixels

COLOURS = {
    "red": (1.0, 0.2, 0.2),
    "green": (0.2, 0.9, 0.2),
    "blue": (0.3, 0.4, 1.0),
    "yellow": (1.0, 0.9, 0.1),
}
SHAPES = ("circle", "square", "triangle", "cross")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def cnn(rng: np.random.Generator, channels: int = 3, features: int = 32) -> tg.nn.Sequential:
    """Return a net from scenes (N, channels, SIZE, SIZE) to features (N, features, 5, 5).

    Each of the 5 x 5 places sees 7 x 7 pixels.
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
    """A picture (3, SIZE, SIZE) from 0 to 1, and the things on it.

    The first of two things is the left one or, if they are above each other, the upper one.
    """

    image: np.ndarray
    things: tuple[Thing, ...]

    @property
    def relation(self) -> str:
        """The place of the first thing relative to the second one."""
        first, second = self.things
        return "left of" if second.x - first.x > second.y - first.y else "above"


def scene(
    things: Sequence[tuple[str, str]],
    rng: np.random.Generator,
    digits: Digits | None = None,
    grid: int = 1,
) -> Scene:
    """Draw one or two things at random places.

    Shapes are 6 to 8 pixels large. The brightness varies.

    Args:
        things: the colour and the kind of each; the first one is left of the other or above it.
        rng: a generator.
        digits: the images for kinds that are digits.
        grid: the corners are multiples of so many pixels.
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
    """Draw the upper left corners x, y of one or two things, (count, 2)."""
    while True:
        corners = grid * rng.integers((SIZE - THING) // grid + 1, size=(count, 2))
        if count == 1:
            return corners
        across, down = np.abs(corners[1] - corners[0])
        if max(across, down) >= THING and abs(across - down) >= 3:
            # The larger distance decides the sign of x + y, so this sorts left or upper first.
            return corners[np.argsort(corners.sum(axis=1))]
