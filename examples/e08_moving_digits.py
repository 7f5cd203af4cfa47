"""A label for every frame of a film: the second many to many, and what one frame cannot show.

    f_t = CNN(frame_t)                          features of this frame
    h_t = GRU(f_t, h_{t-1})                     a state of all frames so far
    digit_t, direction_t = V h_t, U h_t         the labels of frame t

A handwritten digit of scikit-learn (8 x 8) moves one pixel per frame to the left or to the right,
or it stays. The picture is a ring of 12 columns, and the digit starts anywhere on it. So in every
frame all places are equally likely for each direction, and one frame alone says nothing about the
direction. Two frames are enough.

In every frame we drop half of the pixels, chosen at random each time. The next frame may show what
this frame hides. So a state of many frames knows the digit better than any look at the last one.

"CNN alone" is the same net without memory. It is trained on as many frames in as many steps, but
each frame is a film of its own, so h_{t-1} is always 0. The test digits are not in the training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from digits import Digits, digits
from svg import INK, WRONG, border, image, page, text

WIDE, FRAMES, FILMS = 12, 8, 32
DROPPED = 0.5
DIRECTIONS = np.array(["left", "stays", "right"])

# ── the model ────────────────────────────────────────────────────────────────────────────


class Video(tg.nn.Module):
    """From frames (T, N, 1, 8, WIDE) to the scores of the digit and the direction of each."""

    def __init__(self, rng: np.random.Generator):
        self.cnn = tg.nn.Sequential(
            tg.nn.LayerNorm((1, 8, WIDE), elementwise_affine=False),
            tg.nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False, rng=rng),
            tg.relu,
            tg.nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False, rng=rng),
            tg.relu,
            lambda maps: maps.reshape(len(maps), -1),
            tg.nn.Linear(32 * 2 * WIDE // 4, 64, bias=False, rng=rng),
            tg.nn.LayerNorm(64, elementwise_affine=False),
        )
        self.cell = tg.nn.GRUCell(64, 64, bias=False, rng=rng)
        self.digit = tg.nn.Linear(64, 10, bias=False, rng=rng)
        self.direction = tg.nn.Linear(64, len(DIRECTIONS), bias=False, rng=rng)

    def forward(self, frames: np.ndarray) -> tuple[list[tg.Tensor], list[tg.Tensor]]:
        h, digit, direction = None, [], []
        for _, frame in tg.steps(frames):
            h = self.cell(self.cnn(frame), h)
            digit.append(self.digit(h))
            direction.append(self.direction(h))
        return digit, direction


# ── the films ────────────────────────────────────────────────────────────────────────────


class Films(NamedTuple):
    """Frames (T, N, 1, 8, WIDE), the digit of each film (N,), its direction (N,)."""

    frames: np.ndarray
    digit: np.ndarray
    direction: np.ndarray


def films(source: Digits, count: int, rng: np.random.Generator) -> Films:
    """Draw films of some digits, and drop half of the pixels of every frame."""
    shown = rng.integers(len(source.labels), size=count)
    direction = rng.integers(len(DIRECTIONS), size=count)
    ring = np.pad(source.images[shown], ((0, 0), (0, 0), (0, WIDE - 8)))
    start, steps = rng.integers(WIDE, size=count), (direction - 1) * np.arange(FRAMES)[:, None]
    # Column x of frame t is column x - start - steps of the ring.
    columns = (np.arange(WIDE) - (start + steps)[..., None]) % WIDE
    frames = np.take_along_axis(ring[None], columns[:, :, None, :], axis=-1)
    visible = rng.random(frames.shape) >= DROPPED
    return Films((frames * visible)[:, :, None], source.labels[shown], direction)


def single_frames(films: Films) -> Films:
    """Make every frame a film of its own."""
    frames = films.frames.reshape(1, -1, *films.frames.shape[2:])
    return Films(frames, np.tile(films.digit, FRAMES), np.tile(films.direction, FRAMES))


# ── training and test ────────────────────────────────────────────────────────────────────


def train(model: Video, draw: Callable[[], Films], steps: int) -> None:
    optimizer = tg.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, 0.003, steps)  # falls along half a cosine
        batch = draw()
        digit, direction = model(batch.frames)
        losses = [
            tg.nn.cross_entropy(y, batch.digit) + tg.nn.cross_entropy(z, batch.direction)
            for y, z in zip(digit, direction, strict=True)
        ]
        loss = tg.mean(tg.stack(losses))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def labels(model: Video, films: Films) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest digit and direction of every frame, (FRAMES, N) each."""
    with tg.no_grad():
        digit, direction = model(films.frames)
    return tuple(tg.stack(y).data.argmax(-1).reshape(FRAMES, -1) for y in (digit, direction))


def picture(path: Path, frames: np.ndarray, rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw films, and the answers under each frame, in red if they are wrong.

    Args:
        path: the SVG file.
        frames: the frames of the films, as the net gets them.
        rows: by name, the answers (FRAMES, N) and the truth (N,).
    """
    left, scale, line = 150, 8, 17
    wide, high = scale * WIDE + 14, scale * 8 + 20 + line * len(rows)
    parts = []
    for n in range(frames.shape[1]):
        y = 50 + n * high
        parts.append(text(left - 12, y + 4 * scale, f"film {n + 1}", "end"))
        for t in range(FRAMES):
            x = left + t * wide
            parts.append(image(x, y, scale, 1 - frames[t, n, 0]))
            parts.append(border(x, y, scale * WIDE, scale * 8))
        for k, (name, (answers, truth)) in enumerate(rows.items()):
            base = y + 8 * scale + line * (k + 1)
            parts.append(text(left - 12, base, name, "end"))
            for t in range(FRAMES):
                colour = INK if answers[t, n] == truth[n] else WRONG
                middle = left + t * wide + scale * WIDE / 2
                parts.append(text(middle, base, str(answers[t, n]), fill=colour))
    title = "Labels of films, frame by frame, with half of the pixels dropped (red: wrong)"
    page(path, left + FRAMES * wide + 10, 50 + frames.shape[1] * high, title, parts)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps = 200 if args.quick else 1500
    data, weights, draws, testing = np.random.default_rng(args.seed).spawn(4)
    training, held_out = digits(data)

    video, cnn_alone = Video(weights), Video(weights)
    train(video, lambda: films(training, FILMS, draws), steps)
    train(cnn_alone, lambda: single_frames(films(training, FILMS, draws)), steps)

    test = films(held_out, 2000, testing)
    answered = {
        "": labels(video, test),
        ", CNN alone": labels(cnn_alone, single_frames(test)),
    }
    rows = {}
    for suffix, (digit, direction) in answered.items():
        rows[f"direction{suffix}"] = DIRECTIONS[direction], DIRECTIONS[test.direction]
        rows[f"digit{suffix}"] = digit, test.digit
    right = {name: (answers == truth).mean(axis=1) for name, (answers, truth) in rows.items()}
    print(f"{'right in frame':<22}" + "".join(f"{t + 1:8}" for t in range(FRAMES)))
    for name, shares in right.items():
        print(f"{name:<22}" + "".join(f"{share:8.1%}" for share in shares))

    first = [int(np.flatnonzero(test.direction == k)[0]) for k in range(len(DIRECTIONS))]
    picture(
        args.out / "e08_moving_digits.svg",
        test.frames[:, first],
        {name: (answers[:, first], truth[first]) for name, (answers, truth) in rows.items()},
    )
    least = right["direction"][3:].min()
    blind = max(right["direction"][0], *right["direction, CNN alone"])
    digit, digit_alone = right["digit"][-1], right["digit, CNN alone"][-1]
    target = 0.6 if args.quick else 0.98
    checks = {
        f"the direction: at least {target:.0%} from frame 4 on": bool(least >= target),
        "the direction from one frame: at most 5 points above chance": bool(
            blind <= 1 / len(DIRECTIONS) + 0.05
        ),
    }
    if args.quick:
        checks["the digit: at least 5 points better in the last frame than in the first"] = bool(
            digit >= right["digit"][0] + 0.05
        )
    else:
        checks["the digit in the last frame: at least 5 points over the CNN alone"] = bool(
            digit >= digit_alone + 0.05
        )
    return Result(
        measured=f"direction {right['direction'][0]:.1%} in frame 1, >= {least:.1%} from frame 4 "
        f"on; digit in the last frame {digit:.1%}, CNN alone {digit_alone:.1%}",
        checks=checks,
    ).report()


if __name__ == "__main__":
    main()
