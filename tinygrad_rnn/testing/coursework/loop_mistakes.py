"""Mistakes in the loop of a backward through time: gradients lost or added between time steps.

Each mistake is a text, and a function that computes the gradients with this mistake.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy import ndarray

from ...graph import Node
from .names import Names
from .recorded import Change, Recorded, Site, Use, contribution_of, step_of

Gradients: TypeAlias = dict[str, ndarray]
Wrong: TypeAlias = tuple[str, Callable[[], Gradients]]


class LoopMistakes:
    """Mistakes in the loop, for one recorded reference.

    Args:
        recorded: the reference.
        names: the names of its values.
        cotangents: the outputs' gradients that backward receives.
        time: the input that is read step by step, and its time axis.
    """

    def __init__(
        self,
        recorded: Recorded,
        names: Names,
        cotangents: Sequence[ndarray],
        time: tuple[str, int] | None,
    ):
        self._recorded, self._names, self._cotangents = recorded, names, cotangents
        self._time = time
        self._T = recorded.steps
        # The places where the outputs' gradients enter, each with its time step.
        self._entries = {
            Use(node, i): step_of(parent)
            for node in recorded.nodes
            if step_of(node) < 0
            for i, parent in enumerate(node.parents)
            if isinstance(parent, Node) and parent.primitive and step_of(parent) >= 0
        }

    def __iter__(self) -> Iterator[Wrong]:
        cuts = self._recorded.cuts()
        if cuts:
            steps = sorted({step_of(use.node) for use in cuts})
            yield (
                "the gradient goes back through a cut: the reference takes the state as a constant "
                f"at t = {', '.join(map(str, steps))}",
                lambda: self._recorded.by_step(self._cotangents, through=cuts).totals(),
            )
        if self._T > 1 and self._names.states:
            yield from self._flow()
            yield from self._losses()
            yield from self._ends()
            yield from self._orders()
            yield from self._truncations()

    def changes(self) -> Iterator[tuple[str, Change]]:
        """The mistakes that are changes of the sweep, which the diagnosis combines with others."""
        T, states = self._T, self._names.states
        if T < 2 or not states:
            return
        names = {site: self._names.state(site) for site in states}
        where = (
            f"is right at t = {T - 1}, wrong from t = {T - 2} on: the gradient from the step after"
        )
        if len(states) > 1:
            every = " and ".join(f"d{name}" for name in names.values())
            yield f"{every} {where} is missing", self._crossing(set(states), None)
        for site, name in names.items():
            next_name = f"d{name.removesuffix('_t')}_next"
            yield f"d{name} {where} ({next_name}) is missing", self._crossing({site}, None)
            yield f"d{name}: {next_name} is added twice", self._crossing({site}, 2.0)
            yield f"d{name}: {next_name} is subtracted", self._crossing({site}, -1.0)

    def _changed(self, text: str, change: Change) -> Wrong:
        return text, lambda: self._recorded.gradients(self._cotangents, change)

    # ── from step to step ────────────────────────────────────────────────────────────────

    def _flow(self) -> Iterator[Wrong]:
        for text, change in self.changes():
            yield self._changed(text, change)

    def _crossing(self, sites: set[Site], factor: float | None) -> Change:
        """Multiply the gradient from the step after by a factor; None drops it."""
        uses = {use for site in sites for use in self._names.states[site]}

        def change(use: Use, g: Any, contribution: Any) -> Any:
            if use not in uses:
                return contribution
            return None if factor is None else factor * contribution

        return change

    # ── the outputs' own gradients ───────────────────────────────────────────────────────

    def _losses(self) -> Iterator[Wrong]:
        T = self._T
        if len(set(self._entries.values())) < T:
            return
        yield self._changed(
            f"the outputs' gradient (dout) is used at t = {T - 1} alone; every step has to add its "
            "own dout to the gradient from the step after",
            self._entering(lambda t: t == T - 1),
        )
        yield self._changed(
            f"the outputs' gradient (dout) of the last step, t = {T - 1}, is never used; does the "
            f"loop over time start at t = {T - 2}?",
            self._entering(lambda t: t != T - 1),
        )
        yield self._changed(
            "the outputs' gradient (dout) of the first step, t = 0, is never used",
            self._entering(lambda t: t != 0),
        )
        orders: list[tuple[str, Callable[[int], int]]] = [
            (
                "the outputs' gradient (dout) is read in the wrong order of time",
                lambda t: T - 1 - t,
            )
        ]
        for shift, word in ((1, "after"), (-1, "before")):
            text = f"every step uses the outputs' gradient (dout) of the step {word} it"
            orders.append((text, lambda t, shift=shift: (t + shift) % T))  # type: ignore[misc]
            orders.append(
                (text, lambda t, shift=shift: min(max(t + shift, 0), T - 1))  # type: ignore[misc]
            )
        for text, other in orders:
            yield (
                text,
                functools.partial(self._walk, [(t, other(t), t) for t in reversed(range(T))]),
            )

    def _entering(self, chosen: Callable[[int], bool]) -> Change:
        def change(use: Use, g: Any, contribution: Any) -> Any:
            return None if use in self._entries and not chosen(self._entries[use]) else contribution

        return change

    # ── the loop ─────────────────────────────────────────────────────────────────────────

    def _ends(self) -> Iterator[Wrong]:
        """The loop over time omits the first step."""
        yield (
            "the loop over time ends before t = 0: time step 0 is left out",
            functools.partial(self._walk, [(t, t, t) for t in reversed(range(1, self._T))]),
        )

    def _orders(self) -> Iterator[Wrong]:
        T = self._T
        yield (
            "the loop over time runs forwards; a backward goes from the last step to the first",
            functools.partial(self._walk, [(t, t, t) for t in range(T)]),
        )
        yield (
            "what the forward saved (the caches) is read in the wrong order of time",
            functools.partial(self._walk, [(t, t, T - 1 - t) for t in reversed(range(T))]),
        )

    def _truncations(self) -> Iterator[Wrong]:
        for k in range(1, self._T - 1):
            yield (
                f"the gradient of every output goes back {k} step{'s' if k > 1 else ''} and no "
                "further: the backward is truncated",
                functools.partial(self._truncated, k),
            )

    def _truncated(self, k: int) -> Gradients:
        total: Gradients = {}
        for t in range(self._T):

            def change(use: Use, g: Any, contribution: Any, t: int = t) -> Any:
                if use in self._entries:
                    return contribution if self._entries[use] == t else None
                return contribution if step_of(use.node) < 0 or step_of(use.node) >= t - k else None

            for name, g in self._recorded.gradients(self._cotangents, change).items():
                total[name] = total[name] + g if name in total else g
        return total

    # ── one step after another, in any order ─────────────────────────────────────────────

    def _walk(self, order: Sequence[tuple[int, int, int]]) -> Gradients:
        """The gradients of a loop that reads its arrays at the wrong time steps.

        Args:
            order: (t, l, s) for each turn of the loop: at time t it uses the outputs' gradients
                of step l and the operations of step s.
        """
        losses: dict[tuple[Site, int], Any] = {}

        def note(use: Use, g: Any, contribution: Any) -> Any:
            if use in self._entries:
                parent = use.node.parents[use.input]
                assert isinstance(parent, Node)
                key = self._recorded.site[parent], self._entries[use]
                losses[key] = losses[key] + contribution if key in losses else contribution
            return contribution

        self._recorded.by_step(self._cotangents, note)
        totals = {
            name: np.zeros(leaf.output.shape)
            for name, leaf in zip(self._recorded.names, self._recorded.leaves, strict=True)
        }
        initial = self._names.initial()
        carried: dict[Site, Any] = {}
        for t, loss, s in order:
            seeds: dict[Node, Any] = {}
            for site in self._names.states:
                arrived = [carried.get(site), losses.get((site, loss))]
                cotangents = [g for g in arrived if g is not None]
                if cotangents and s in self._recorded.sites[site]:
                    seeds[self._recorded.sites[site][s]] = sum(cotangents[1:], cotangents[0])
            inputs, carried = self._through(s, seeds)
            for name, g in inputs.items():
                if name not in initial:
                    if self._time is not None and name == self._time[0]:
                        g = np.roll(g, t - s, self._time[1])
                    totals[name] = totals[name] + g
        for name, site in initial.items():
            totals[name] = np.asarray(carried.get(site, totals[name]))
        return totals

    def _through(self, s: int, seeds: dict[Node, Any]) -> tuple[Gradients, dict[Site, Any]]:
        """The gradients that step s sends to the inputs, and to the states before it."""
        taken = {
            (self._recorded.site[use.node], use.input): site
            for site, uses in self._names.states.items()
            for use in uses
        }
        pending = dict(seeds)
        inputs: Gradients = {}
        states: dict[Site, Any] = {}
        for node in reversed(self._recorded.nodes):
            if step_of(node) != s or node not in pending:
                continue
            g = pending.pop(node)
            for i, parent in enumerate(node.parents):
                state = taken.get((self._recorded.site[node], i))
                if state is None and not isinstance(parent, Node):
                    continue
                contribution = contribution_of(node, i, g)
                if state is not None:
                    states[state] = (
                        states[state] + contribution if state in states else contribution
                    )
                elif parent in self._recorded.leaves:
                    name = self._recorded.names[self._recorded.leaves.index(parent)]
                    inputs[name] = inputs[name] + contribution if name in inputs else contribution
                elif isinstance(parent, Node) and step_of(parent) == s:
                    pending[parent] = (
                        pending[parent] + contribution if parent in pending else contribution
                    )
        return inputs, states


__all__ = ["Gradients", "LoopMistakes", "Wrong"]
