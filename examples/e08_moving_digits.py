"""Labels for every frame of a film: the second many to many, and what one frame cannot show.

    f_t = CNN(frame_t)                          what is seen in the frame
    h_t = GRU(f_t, h_{t-1})                     and in all before it
    digit_t, direction_t = V h_t, U h_t         labels of frame t, at once

A handwritten digit of scikit-learn (8 x 8) moves by a pixel a frame to the left or to the right, or
stays. The picture is 12 columns wide and closed to a ring, and the digit begins anywhere on it. So
in every frame all places are equally likely for each direction, and one frame alone says nothing
about the direction, whatever looks at it. Two frames do.

In every frame half of the pixels drop out, others each time. What one frame hides of the digit the
next may show: a state that gathers frames knows it better than the best look at the last one.

"CNN alone" is the same net, trained anew in as many steps on as many frames, each of them a film of
its own: h_{t-1} is always 0. The digits it is tested on were not trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from digits import Digits, digits
from svg import WRONG, border, image, page, text
from tinygrad_rnn.viz.style import INK

WIDE, FRAMES, FILMS = 12, 8, 32
DROPPED = 0.5
DIRECTIONS = np.array(["left", "stays", "right"])

# ── the model ────────────────────────────────────────────────────────────────────────────


class Video(tg.nn.Module):
    """Frames (T, N, 1, 8, WIDE) in; scores of the digit and of the direction for each."""

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
    """Frames (T, N, 1, 8, WIDE), what each film shows (N,), where it goes (N,)."""

    frames: np.ndarray
    digit: np.ndarray
    direction: np.ndarray


def films(of: Digits, count: int, rng: np.random.Generator) -> Films:
    shown = rng.integers(len(of.labels), size=count)
    direction = rng.integers(len(DIRECTIONS), size=count)
    ring = np.pad(of.images[shown], ((0, 0), (0, 0), (0, WIDE - 8)))
    start, steps = rng.integers(WIDE, size=count), (direction - 1) * np.arange(FRAMES)[:, None]
    # Column x of frame t is column x - start - steps of the ring.
    columns = (np.arange(WIDE) - (start + steps)[..., None]) % WIDE
    frames = np.take_along_axis(ring[None], columns[:, :, None, :], axis=-1)
    seen = rng.random(frames.shape) >= DROPPED
    return Films((frames * seen)[:, :, None], of.labels[shown], direction)


def alone(of: Films) -> Films:
    """Every frame as a film of its own."""
    frames = of.frames.reshape(1, -1, *of.frames.shape[2:])
    return Films(frames, np.tile(of.digit, FRAMES), np.tile(of.direction, FRAMES))


# ── measured ─────────────────────────────────────────────────────────────────────────────


def train(model: Video, draw: Callable[[], Films], steps: int) -> None:
    optimizer = tg.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, 0.003, steps)  # falls along half a cosine
        film = draw()
        digit, direction = model(film.frames)
        losses = [
            tg.nn.cross_entropy(y, film.digit) + tg.nn.cross_entropy(z, film.direction)
            for y, z in zip(digit, direction, strict=True)
        ]
        loss = tg.mean(tg.stack(losses))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def labels(model: Video, of: Films) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest digit and the likeliest direction of every frame, (FRAMES, N) each."""
    with tg.no_grad():
        digit, direction = model(of.frames)
    return tuple(tg.stack(y).data.argmax(-1).reshape(FRAMES, -1) for y in (digit, direction))


def picture(path: Path, frames: np.ndarray, rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Films and, under each frame, what was said of it, in red where it is wrong.

    Args:
        path: the SVG file.
        frames: of the films, as the net gets them.
        rows: by name, what was said (FRAMES, N), and the truth (N,).
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
        for k, (name, (said, truth)) in enumerate(rows.items()):
            base = y + 8 * scale + line * (k + 1)
            parts.append(text(left - 12, base, name, "end"))
            for t in range(FRAMES):
                colour = INK if said[t, n] == truth[n] else WRONG
                middle = left + t * wide + scale * WIDE / 2
                parts.append(text(middle, base, str(said[t, n]), fill=colour))
    title = "What films show, frame by frame, where half of the pixels drop out (red: wrong)"
    page(path, left + FRAMES * wide + 10, 50 + frames.shape[1] * high, title, parts)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps = 200 if args.quick else 1500
    data, weights, draws, testing = np.random.default_rng(args.seed).spawn(4)
    training, held_out = digits(data)

    film, single = Video(weights), Video(weights)
    train(film, lambda: films(training, FILMS, draws), steps)
    train(single, lambda: alone(films(training, FILMS, draws)), steps)

    test = films(held_out, 2000, testing)
    rows = {}
    for who, said in (("", labels(film, test)), (", CNN alone", labels(single, alone(test)))):
        rows[f"direction{who}"] = DIRECTIONS[said[1]], DIRECTIONS[test.direction]
        rows[f"digit{who}"] = said[0], test.digit
    right = {name: (said == truth).mean(axis=1) for name, (said, truth) in rows.items()}
    print(f"{'right in frame':<22}" + "".join(f"{t + 1:8}" for t in range(FRAMES)))
    for name, shares in right.items():
        print(f"{name:<22}" + "".join(f"{share:8.1%}" for share in shares))

    first = [int(np.flatnonzero(test.direction == k)[0]) for k in range(len(DIRECTIONS))]
    picture(
        args.out / "e08_moving_digits.svg",
        test.frames[:, first],
        {name: (said[:, first], truth[first]) for name, (said, truth) in rows.items()},
    )
    least = right["direction"][3:].min()
    blind = max(right["direction"][0], *right["direction, CNN alone"])
    digit, digit_alone = right["digit"][-1], right["digit, CNN alone"][-1]
    bar = 0.6 if args.quick else 0.98
    checks = {
        f"the direction: at least {bar:.0%} from frame 4 on": bool(least >= bar),
        "one frame does not show it: at most 5 points above chance": bool(
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
