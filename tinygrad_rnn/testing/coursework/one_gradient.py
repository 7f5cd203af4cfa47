"""Mistakes that show in one gradient alone: its shape, its sign, a missing sum, a single step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy import ndarray

from .loop_mistakes import Gradients
from .names import Names
from .recorded import Change, Recorded


class OneGradient:
    """Explains a wrong gradient, if it is one of the usual ones.

    Args:
        recorded: the reference.
        names: the names of its values.
        cotangents: the outputs' gradients.
        same: whether two arrays are equal up to rounding.
        time: the input that is read step by step, and its time axis.
        batch_axes: the batch axis of each output; None if there is none.
        gates: for each weight or bias, by name, the axis of its gates and their letters.
        change: another mistake, found before. The gradients with it then count as right.
    """

    def __init__(
        self,
        recorded: Recorded,
        names: Names,
        cotangents: Sequence[ndarray],
        same: Callable[..., bool],
        time: tuple[str, int] | None,
        batch_axes: Sequence[int | None],
        gates: dict[str, tuple[int, str]],
        change: Change | None = None,
    ):
        self._recorded, self._names, self._cotangents = recorded, names, cotangents
        self._same, self._time, self._gates = same, time, gates
        self._batch_axes = batch_axes
        self._change = change
        self._contributions = recorded.by_step(cotangents, change)
        self.right = self._contributions.totals()

    def explain(self, name: str, submitted: ndarray) -> str | None:
        """What is wrong with the gradient of this input, after its name: "is transposed"."""
        right = self.right[name]
        if submitted.shape != right.shape:
            return self._shape(submitted, right)
        for text, wrong in self._values(name, right):
            if self._same(submitted, wrong):
                return text
        ratio = _constant_ratio(submitted, right)
        if ratio is not None:
            return f"is {ratio:.4g} times what it should be"
        return None

    # ── shapes ───────────────────────────────────────────────────────────────────────────

    def _shape(self, submitted: ndarray, right: ndarray) -> str:
        shapes = f"has shape {submitted.shape}, expected {right.shape}"
        if submitted.ndim == right.ndim:
            for axes in itertools.permutations(range(submitted.ndim)):
                if submitted.transpose(axes).shape == right.shape:
                    if not self._same(submitted.transpose(axes), right):
                        return f"is transposed and has other numbers: it {shapes}"
                    return f"is transposed: it {shapes}"
        for axes in _some_axes(submitted.ndim):
            for keep in (False, True):
                summed = submitted.sum(axes, keepdims=keep)
                if summed.shape == right.shape and self._same(summed, right):
                    return f"is not summed over {self._axes(submitted, axes)}: it {shapes}"
        for axes in _some_axes(right.ndim):
            for keep in (False, True):
                summed = right.sum(axes, keepdims=keep)
                if summed.shape == submitted.shape and self._same(summed, submitted):
                    return f"is summed over {_axis(axes)} too many: it {shapes}"
        if submitted.size == right.size and self._same(submitted.reshape(right.shape), right):
            return f"has the right numbers in another shape: it {shapes}"
        return shapes

    def _axes(self, submitted: ndarray, axes: tuple[int, ...]) -> str:
        """The batch, the time, or axes by their numbers."""
        T = self._recorded.steps
        N = {
            y.shape[a]
            for y, a in zip(self._cotangents, self._batch_axes, strict=True)
            if a is not None
        }
        words = []
        for axis in axes:
            if submitted.shape[axis] in N:
                words.append("the batch")
            elif submitted.shape[axis] == T > 1:
                words.append("time")
            else:
                words.append(f"axis {axis}")
        return f"{' and '.join(words)} ({_axis(axes)})"

    # ── numbers ──────────────────────────────────────────────────────────────────────────

    def _values(self, name: str, right: ndarray) -> Iterator[tuple[str, ndarray]]:
        yield "is zero", np.zeros_like(right)
        yield "has the wrong sign", -right
        yield from self._of_steps(name, right)
        yield from self._means(right)
        if right.ndim == 2 and right.shape[0] == right.shape[1]:
            yield "is transposed", right.T
        yield from self._along_time(name, right)
        yield from self._orders_of_gates(name, right)
        yield from self._of_sequences(name)
        yield from self._of_states(name, right)
        for other, g in self.right.items():
            if other != name and g.shape == right.shape:
                yield f"is the gradient of {other}", g

    def _of_steps(self, name: str, right: ndarray) -> Iterator[tuple[str, ndarray]]:
        steps = self._contributions.steps_of(name)
        if len(steps) < 2 or (self._time is not None and name == self._time[0]):
            return
        for t in steps:
            alone = self._contributions.over(name, [t])
            yield (
                f"equals the contribution of time step {t} alone: `=` where `+=` is meant",
                alone,
            )
        for t in steps:
            yield (
                f"lacks the contribution of time step {t}",
                right - self._contributions.over(name, [t]),
            )
        for k in range(1, len(steps)):
            yield (
                f"has the contributions of the time steps from {steps[k]} on alone",
                self._contributions.over(name, steps[k:]),
            )

    def _means(self, right: ndarray) -> Iterator[tuple[str, ndarray]]:
        T = self._recorded.steps
        N = {
            y.shape[a]
            for y, a in zip(self._cotangents, self._batch_axes, strict=True)
            if a is not None
        }
        for n in N:
            yield (
                f"is divided by the batch size, {n}: sum over the batch, without a mean",
                right / n,
            )
            yield f"is multiplied by the batch size, {n}", right * n
            yield f"is divided by the batch size times T, {n * T}", right / (n * T)
        if T > 1:
            yield f"is divided by T = {T}: sum over the time steps, without a mean", right / T
            yield f"is multiplied by T = {T}", right * T
        yield "is twice what it should be", 2 * right
        yield "is half of what it should be", right / 2

    def _along_time(self, name: str, right: ndarray) -> Iterator[tuple[str, ndarray]]:
        if self._time is None or name != self._time[0] or self._recorded.steps < 2:
            return
        axis, T = self._time[1], right.shape[self._time[1]]
        yield "has its time steps in reverse order", np.flip(right, axis)
        for t in range(T):
            mask = (np.arange(T) != t).reshape([-1 if k == axis else 1 for k in range(right.ndim)])
            yield f"is zero at time step {t}", right * mask
            yield (
                f"is zero except at time step {t}: is its array created in the loop?",
                right * ~mask,
            )
        for shift, word in ((1, "later"), (-1, "earlier")):
            moved = np.roll(right, shift, axis)
            edge = np.arange(T) != (0 if shift > 0 else T - 1)
            mask = edge.reshape([-1 if k == axis else 1 for k in range(right.ndim)])
            yield f"lies one time step {word} than it should", moved * mask
            yield f"lies one time step {word} than it should", moved

    def _orders_of_gates(self, name: str, right: ndarray) -> Iterator[tuple[str, ndarray]]:
        if name not in self._gates:
            return
        axis, letters = self._gates[name]
        parts = np.split(right, len(letters), axis)
        for order in itertools.permutations(range(len(letters))):
            if list(order) != sorted(order):
                joined = ", ".join(letters[k] for k in order)
                yield (
                    f"has its gates in another order: {joined}, where the forward has "
                    f"{', '.join(letters)}",
                    np.concatenate([parts[k] for k in order], axis),
                )

    def _of_sequences(self, name: str) -> Iterator[tuple[str, ndarray]]:
        """The gradient of one sequence of the batch."""
        pairs = list(zip(self._cotangents, self._batch_axes, strict=True))
        sizes = {y.shape[axis] for y, axis in pairs if axis is not None}
        if len(sizes) != 1 or any(axis is None for _, axis in pairs):
            return
        (N,) = sizes
        for n in range(N):
            alone = []
            for y, axis in pairs:
                part = np.zeros_like(y)
                index = tuple(n if k == axis else slice(None) for k in range(y.ndim))
                part[index] = y[index]
                alone.append(part)
            yield (
                f"is the gradient of sequence {n} of the batch alone: sum over the batch",
                self._recorded.gradients(alone, self._change)[name],
            )

    def _of_states(self, name: str, right: ndarray) -> Iterator[tuple[str, ndarray]]:
        """The gradient of a later state instead of the initial one."""
        site = self._names.initial().get(name)
        if site is None:
            return
        for t, node in sorted(self._recorded.sites[site].items()):
            g = self._contributions.cotangents.get(node)
            if g is not None and g.shape == right.shape:
                yield (
                    f"is the gradient of the state after time step {t}, not of the initial one: "
                    "return the gradient that comes back from step 0",
                    g,
                )

    # ── the place of the mistake, if the cause is unknown ────────────────────────────────

    def located(self, name: str, submitted: ndarray) -> str:
        """Which time steps or gates of a gradient are right, and which are wrong."""
        right = self.right[name]
        if self._time is not None and name == self._time[0] and self._recorded.steps > 1:
            axis, T = self._time[1], right.shape[self._time[1]]
            good = [
                self._same(submitted.take(t, axis), right.take(t, axis), right) for t in range(T)
            ]
            return _listed("time step", [str(t) for t in range(T)], good)
        if name in self._gates:
            axis, letters = self._gates[name]
            parts = zip(
                np.split(submitted, len(letters), axis),
                np.split(right, len(letters), axis),
                strict=True,
            )
            good = [self._same(a, b, right) for a, b in parts]
            return _listed("gate", list(letters), good)
        worst = np.unravel_index(int(np.argmax(np.abs(submitted - right))), right.shape)
        where = tuple(int(k) for k in worst)
        return f"is wrong: at {where} it is {submitted[worst]:.6g}, expected {right[worst]:.6g}"


def _listed(kind: str, names: Sequence[str], good: Sequence[bool]) -> str:
    def some(verdict: bool) -> str:
        chosen = [name for name, is_good in zip(names, good, strict=True) if is_good is verdict]
        return f"{kind}{'s' if len(chosen) > 1 else ''} {', '.join(chosen)}"

    if not any(good):
        return f"is wrong at every {kind}"
    return f"is right at {some(True)} and wrong at {some(False)}"


def _some_axes(ndim: int) -> Iterator[tuple[int, ...]]:
    for n in range(1, ndim + 1):
        yield from itertools.combinations(range(ndim), n)


def _axis(axes: tuple[int, ...]) -> str:
    return f"{'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"


def _constant_ratio(submitted: ndarray, right: ndarray) -> float | None:
    size = np.abs(right).max(initial=0)
    telling = np.abs(right) > 1e-3 * size
    if size == 0 or not telling.any():
        return None
    ratios = submitted[telling] / right[telling]
    ratio = float(ratios.mean())
    if np.ptp(ratios) > 1e-3 * abs(ratio) or abs(ratio - 1) < 1e-3:
        return None
    return ratio if np.abs(submitted - ratio * right).max() <= 1e-3 * abs(ratio) * size else None


__all__ = ["Gradients", "OneGradient"]
