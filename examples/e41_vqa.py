"""Visual question answering: a product combines a picture and a question.

    v = relu(P CNN(picture) + p)                the picture's vector
    q = h_T of an LSTM over the words           the question's vector
    y = A ((U v + a) * (W q + b)) + c           element by element; softmax(y) for the answers

In a product of two linear maps, the question chooses which features of the picture count. Every
scene has four questions:

    what colour is the circle                   one of 4
    which shape is red                          one of 4
    is there a red circle                       "no" scenes have a red thing and a circle, too
    is the circle left of the cross             or above it

For each question all answers are equally frequent. So without the picture a net is right in at most
(1/4 + 1/4 + 1/2 + 1/2) / 4 = 37.5 % of all cases. "The question alone" is the same net without the
factor of v.

Source: Antol et al., "VQA: Visual Question Answering", arXiv:1505.00468, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinygrad_rnn as tg
from common import Result, arguments
from scenes import COLOURS, SHAPES, SIZE, Scene, cnn, scene
from svg import INK, WRONG, image, page, text
from tinygrad_rnn.text import Vocabulary

KINDS = ("colour", "shape", "is there", "where")
BATCH = 64  # scenes, with four questions each

# ── the model ────────────────────────────────────────────────────────────────────────────


class Answerer(tg.nn.Module):
    """From pictures (N, 3, 20, 20) and four questions each (T, 4 N) to scores (N, 4, words).

    Without pictures it answers from the question alone. The lengths (4 N,) are those of the
    questions.
    """

    def __init__(self, words: int, rng: np.random.Generator):
        self.cnn = cnn(rng)
        self.picture = tg.nn.Linear(32 * 5 * 5, 256, rng=rng)
        self.embedding = tg.nn.Embedding(words, 16, rng=rng)
        self.lstm = tg.nn.LSTM(16, 64, rng=rng)
        self.of_picture = tg.nn.Linear(256, 256, rng=rng)
        self.of_question = tg.nn.Linear(64, 256, rng=rng)
        self.answer = tg.nn.Linear(256, words, rng=rng)

    def forward(
        self, pictures: np.ndarray | None, questions: np.ndarray, lengths: np.ndarray
    ) -> tg.Tensor:
        _, (h, _) = self.lstm(self.embedding(questions), lengths=lengths)
        z = self.of_question(h[0]).reshape(-1, 4, 256)
        if pictures is not None:
            v = tg.relu(self.picture(self.cnn(pictures).reshape(-1, 1, 800)))
            z = self.of_picture(v) * z
        return self.answer(z)


# ── scenes and questions ─────────────────────────────────────────────────────────────────


class Asked(NamedTuple):
    """A scene, and four questions with their answers."""

    scene: Scene
    questions: tuple[str, ...]
    answers: tuple[str, ...]


def ask(rng: np.random.Generator) -> Asked:
    """Draw a scene of two things with different colours and shapes, and four questions."""
    colours, shapes = rng.permutation(list(COLOURS))[:2], rng.permutation(SHAPES)[:2]
    shown = scene([(str(c), str(s)) for c, s in zip(colours, shapes, strict=True)], rng)
    one, other = (shown.things[i] for i in rng.permutation(2))
    there, in_order = rng.random(2) < 0.5  # is the answer to the last two questions "yes"?
    first, second = shown.things if in_order else shown.things[::-1]
    return Asked(
        shown,
        (
            f"what colour is the {one.kind}",
            f"which shape is {other.colour}",
            f"is there a {one.colour} {one.kind if there else other.kind}",
            f"is the {first.kind} {shown.relation} the {second.kind}",
        ),
        (one.colour, other.kind, "yes" if there else "no", "yes" if in_order else "no"),
    )


class Data(NamedTuple):
    """Arrays: pictures (N, ...), words (T, N, 4), lengths and answers (N, 4)."""

    pictures: np.ndarray
    questions: np.ndarray
    lengths: np.ndarray
    answers: np.ndarray


def encoded(asked: Sequence[Asked], words: Vocabulary) -> Data:
    pictures = np.stack([a.scene.image for a in asked])
    questions = [[words.encode(q.split()) for q in a.questions] for a in asked]
    lengths = np.array([[len(q) for q in four] for four in questions])
    ids = np.zeros((lengths.max(), *lengths.shape), np.intp)
    for n, four in enumerate(questions):
        for k, q in enumerate(four):
            ids[: len(q), n, k] = q
    return Data(pictures, ids, lengths, np.stack([words.encode(a.answers) for a in asked]))


# ── training and test ────────────────────────────────────────────────────────────────────


def scores(model: Answerer, data: Data, n: np.ndarray | slice, with_picture: bool) -> tg.Tensor:
    """Return the scores of the answers (N, 4, words) for the scenes ``n``."""
    questions = data.questions[:, n]
    pictures = data.pictures[n] if with_picture else None
    return model(pictures, questions.reshape(len(questions), -1), data.lengths[n].reshape(-1))


def train(
    model: Answerer, data: Data, with_picture: bool, steps: int, rng: np.random.Generator
) -> None:
    optimizer = tg.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.lr = tg.optim.cosine_lr(k, 0.008, steps)  # falls along half a cosine
        n = rng.integers(len(data.answers), size=BATCH)
        logits = scores(model, data, n, with_picture)
        loss = tg.nn.cross_entropy(logits.reshape(4 * BATCH, -1), data.answers[n].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def picture(path: Path, asked: Sequence[Asked], answered: Sequence[Sequence[str]]) -> None:
    """Draw scenes with their questions and the net's answers, in red if they are wrong."""
    scale, wide, high = 5, 390, 125
    parts = []
    for n, (item, answers) in enumerate(zip(asked, answered, strict=True)):
        x, y = 20 + n % 2 * wide, 45 + n // 2 * high
        parts.append(image(x, y, scale, item.scene.image.transpose(1, 2, 0)))
        for k, (question, right, answer) in enumerate(
            zip(item.questions, item.answers, answers, strict=True)
        ):
            colour = INK if answer == right else WRONG
            line = f"{question}? {answer}"
            parts.append(text(x + scale * SIZE + 15, y + 19 + 22 * k, line, "start", colour))
    title = "Questions about scenes that are not in the training, and answers (red: wrong)"
    page(path, 2 * wide + 20, 45 + (len(asked) + 1) // 2 * high, title, parts)


def main(argv: Sequence[str] | None = None) -> Result:
    args = arguments(argv, __doc__)
    steps, count, least = (300, 4000, 0.5) if args.quick else (3000, 32000, 0.98)
    drawn, weights, draws = np.random.default_rng(args.seed).spawn(3)

    asked = [ask(drawn) for _ in range(count + 1000)]
    words = Vocabulary({w for a in asked for q in a.questions for w in q.split()} | {"yes", "no"})
    data, test = encoded(asked[:count], words), encoded(asked[count:], words)
    answered = {}
    for name, with_picture in (("picture and question", True), ("question alone", False)):
        model = Answerer(len(words), weights)
        train(model, data, with_picture, steps, draws)
        with tg.no_grad():
            answered[name] = scores(model, test, slice(None), with_picture).data.argmax(-1)
        by_kind = (answered[name] == test.answers).mean(axis=0)
        kinds = ", ".join(f"{kind} {share:.1%}" for kind, share in zip(KINDS, by_kind, strict=True))
        print(f"{name:<22}{by_kind.mean():.1%}: {kinds}")
    right = {name: float((answers == test.answers).mean()) for name, answers in answered.items()}

    answers = answered["picture and question"]
    order = np.argsort((answers != test.answers).any(axis=1), kind="stable")
    shown = [*order[:6], *order[-2:]]  # the last two have a wrong answer, if there is any
    picture(
        args.out / "e41_vqa.svg",
        [asked[count + n] for n in shown],
        [[words.symbols[i] for i in answers[n]] for n in shown],
    )
    both, blind = right.values()
    return Result(
        measured=f"picture and question {both:.1%}, question alone {blind:.1%}",
        checks={
            f"picture and question: at least {least:.0%} right": both >= least,
            "question alone: at most 50 %": blind <= 0.5,
        },
    ).report()


if __name__ == "__main__":
    main()
