"""Find the mistake that gives a student's wrong gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .line_mistakes import LineMistakes
from .loop_mistakes import Gradients, LoopMistakes
from .names import Names, getitem
from .one_gradient import OneGradient
from .recorded import Change, Recorded, step_of

_most_pairs = 4000


class Same:
    """Whether two arrays are equal up to rounding, relative to the largest number."""

    def __init__(self, tolerance: float):
        self.tolerance = tolerance

    def __call__(self, a: ndarray, b: ndarray, scale: ndarray | None = None) -> bool:
        if a.shape != b.shape or not np.isfinite(a).all():
            return False
        size = np.abs(b if scale is None else scale).max(initial=0.0)
        return bool(np.abs(a - b).max(initial=0.0) <= self.tolerance * size + 1e-300)


class Diagnosis:
    """Finds the mistakes that cause wrong gradients.

    Args:
        recorded: the reference.
        cotangents: the outputs' gradients that backward received.
        batch_axes: the batch axis of each output, or None.
        gates: for each weight or bias, by name, the axis of its gates and their letters.
        same: compares arrays.
    """

    def __init__(
        self,
        recorded: Recorded,
        cotangents: Sequence[ndarray],
        batch_axes: Sequence[int | None],
        gates: dict[str, tuple[int, str]],
        same: Same,
    ):
        self._recorded, self._cotangents, self._same = recorded, cotangents, same
        self._batch_axes, self._gates = batch_axes, gates
        self._names = Names(recorded)
        self._time = _read_by_step(recorded)
        self.right = recorded.gradients(cotangents)

    def wrong(self, submitted: dict[str, ndarray | None]) -> list[str]:
        """The names of the gradients that are wrong."""
        return [n for n, g in submitted.items() if g is None or not self._same(g, self.right[n])]

    def explain(self, submitted: dict[str, ndarray | None]) -> tuple[list[str], bool]:
        """Lines that say what is wrong, and whether they name the cause or only the place."""
        wrong = self.wrong(submitted)
        none = [f"d{name} is None: it is not returned" for name in wrong if submitted[name] is None]
        arrays = {name: np.asarray(g) for name, g in submitted.items() if g is not None}
        strange = [
            f"d{name} is not finite: NaN or Inf"
            for name, g in arrays.items()
            if not np.isfinite(g).all()
        ]
        if none or strange:
            return none + strange, True
        one = self._one(None)
        alone = {name: one.explain(name, arrays[name]) for name in wrong}
        lines = _together(alone)
        if lines is not None and (len(wrong) == 1 or len(lines) == 1):
            return lines, True
        mistake = self._single(arrays)
        if mistake is not None:
            return [mistake], True
        if lines is not None:
            return lines, True
        pair = self._single_and_alone(arrays) or self._pair(arrays)
        if pair is not None:
            return pair, True
        return self._located(arrays, wrong, alone, one), False

    def _one(self, change: Change | None) -> OneGradient:
        return OneGradient(
            self._recorded,
            self._names,
            self._cotangents,
            self._same,
            self._time,
            self._batch_axes,
            self._gates,
            change,
        )

    def _matches(self, submitted: Gradients, wrong: Gradients) -> bool:
        return all(self._same(submitted[name], wrong[name]) for name in submitted)

    # ── one mistake ──────────────────────────────────────────────────────────────────────

    def _all(self) -> Iterator[tuple[str, Callable[[], Gradients]]]:
        yield from LoopMistakes(self._recorded, self._names, self._cotangents, self._time)
        for k, node in enumerate(self._recorded.outputs):
            if len(self._cotangents) > 1:
                name = self._names.value(node) if step_of(node) >= 0 or node.name else f"{k}"
                yield (
                    f"the gradient of the output {name}, an argument of backward, is never used",
                    lambda k=k: self._without_output(k),  # type: ignore[misc]
                )
        for text, change in LineMistakes(self._recorded, self._names):
            yield text, lambda change=change: self._gradients(change)  # type: ignore[misc]

    def _without_output(self, k: int) -> Gradients:
        cotangents = [g * (i != k) for i, g in enumerate(self._cotangents)]
        return self._recorded.gradients(cotangents)

    def _gradients(self, change: Change) -> Gradients:
        return self._recorded.gradients(self._cotangents, change)

    def _single(self, submitted: Gradients) -> str | None:
        for text, gradients in self._all():
            if self._matches(submitted, gradients()):
                return text
        return None

    # ── two mistakes ─────────────────────────────────────────────────────────────────────

    def _common(self) -> list[tuple[str, Change]]:
        loop = LoopMistakes(self._recorded, self._names, self._cotangents, self._time)
        return [*loop.changes(), *LineMistakes(self._recorded, self._names).common()]

    def _single_and_alone(self, submitted: Gradients) -> list[str] | None:
        """A common mistake, together with mistakes in one or several gradients alone."""
        for text, change in self._common():
            gradients = self._gradients(change)
            rest = [name for name in submitted if not self._same(submitted[name], gradients[name])]
            if len(rest) == len(submitted):
                continue
            one = self._one(change)
            lines = _together({name: one.explain(name, submitted[name]) for name in rest})
            if lines is not None:
                return [text, *lines]
        return None

    def _pair(self, submitted: Gradients) -> list[str] | None:
        pairs = itertools.combinations(self._common(), 2)
        for (text, change), (other_text, other) in itertools.islice(pairs, _most_pairs):
            if self._matches(submitted, self._gradients(_both(change, other))):
                return [text, other_text]
        return None

    # ── no known mistake ─────────────────────────────────────────────────────────────────

    def located(self, submitted: dict[str, ndarray | None]) -> list[str]:
        """Where the gradients are wrong."""
        wrong = [name for name in self.wrong(submitted) if submitted[name] is not None]
        arrays = {name: np.asarray(submitted[name]) for name in wrong}
        one = self._one(None)
        return [
            f"d{name} {one.explain(name, g) or one.located(name, g)}" for name, g in arrays.items()
        ]

    def _located(
        self,
        submitted: Gradients,
        wrong: list[str],
        alone: dict[str, str | None],
        one: OneGradient,
    ) -> list[str]:
        best, most = None, len(wrong)
        for text, change in self._common():
            gradients = self._gradients(change)
            left = sum(not self._same(submitted[name], gradients[name]) for name in submitted)
            if left < most:
                best, most = text, left
        lines = [] if best is None else [f"{best}; something else is wrong too"]
        for name in wrong:
            text = alone[name] or one.located(name, submitted[name])
            lines.append(f"d{name} {text}")
        return lines


def _together(texts: dict[str, str | None]) -> list[str] | None:
    """A line for each text, with the names of all gradients for which it is true."""
    by_text: dict[str, list[str]] = {}
    for name, text in texts.items():
        if text is None:
            return None
        by_text.setdefault(text, []).append(f"d{name}")
    return [
        f"{', '.join(names)}: {text}" if len(names) > 1 else f"{names[0]} {text}"
        for text, names in by_text.items()
    ]


def _both(first: Change, second: Change) -> Change:
    def change(use: Any, g: Any, contribution: Any) -> Any:
        contribution = first(use, g, contribution)
        return None if contribution is None else second(use, g, contribution)

    return change


def _read_by_step(recorded: Recorded) -> tuple[str, int] | None:
    """The input that is read step by step, and its time axis."""
    for node in recorded.nodes:
        parent = node.parents[0] if node.parents else None
        if node.primitive is not getitem or parent not in recorded.leaves or step_of(node) < 0:
            continue
        index = node.keywords["index"]
        for axis, part in enumerate(index if isinstance(index, tuple) else (index,)):
            if isinstance(part, (int, np.integer)):
                return recorded.names[recorded.leaves.index(parent)], axis
    return None


__all__ = ["Diagnosis", "Same"]
