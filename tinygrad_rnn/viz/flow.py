"""How the gradient flows back through time: the numbers, as arrays and as a table.

One sweep gives the cotangent of every value, so of every state; then every operation that takes
a state says once more, by itself, what it sent back to it, and every step what it contributes to
the gradients of the weights. No ``.grad`` is touched.
"""

from __future__ import annotations

import functools
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..backprop import expanded, sweep
from ..graph import Node, Value
from ..io import replacing
from .gradients import together
from .rails import Rail, Rails
from .shares import Summary, contribution, shares

#: An overflow is what one looks at here: it is shown as Inf or NaN, and no reason for a warning.
_quiet = np.errstate(over="ignore", invalid="ignore")

_most_rows = 24  # rows of a table, from which on the middle is left out


class State:
    """A value that crosses from one time step into the next, or leaves the loop.

    Attributes:
        name: tells it from the other states.
        kind: "state", or "output" for what leaves the loop and stays in no state.
        steps: (K,) the time steps in which the loss depends on it; all arrays below are (T,), and
            NaN (``sent``: 0) at the others.
        norms: |dL/dh_t|, the Euclidean norm over all elements, the batch included.
        sent: by "next", "step" and "outside" the norm of what came back to h_t from the time
            steps after, from its own step, and from outside of the loop; together dL/dh_t.
        gates: the mean of what h_{t-1} is multiplied by on its way to h_t, an LSTM's forget gate;
            None where there is no such thing.
        products: the mean over the elements of the product of all gates after t.
        carried: the norm of what the gates alone let through to h_t of the gradient of the last
            step, |dL/dh_T . product of the gates after t|. Where |dL/dh_t| is no larger, the gates
            are what the gradient came back by.
        cuts: the time steps at which a constant enters in the state's place: there truncated BPTT
            cut the graph, or the state was detached or set within the loop.
    """

    def __init__(self, rail: Rail, T: int, cotangents: dict[Node, Any]):
        self.rail = rail
        self.name = rail.name
        self.kind = rail.kind
        self.steps = np.array(sorted(rail.nodes))
        self.cuts = np.array(sorted(rail.cuts), int)
        self.norms = np.full(T, math.nan)
        for t, node in rail.nodes.items():
            self.norms[t] = together([cotangents[node]])
        self.sent = {where: np.zeros(T) for where in ("next", "step", "outside")}
        self.gates: ndarray | None = None
        self.products: ndarray | None = None
        self.carried: ndarray | None = None
        if rail.gates:
            self._follow_gates(T, cotangents)

    def _follow_gates(self, T: int, cotangents: dict[Node, Any]) -> None:
        self.gates, self.products, self.carried = np.full((3, T), math.nan)
        product: Any = np.ones(())
        turns = [turn.t for turn in self.rail.loop.turns if turn.t in self.rail.nodes]
        last = cotangents[self.rail.nodes[turns[-1]]]
        for t in reversed(turns):
            self.products[t] = product.mean()
            self.carried[t] = together([last * product])
            gate = self.rail.gates.get(t)
            if gate is None:  # nothing comes from before
                product = np.zeros(())
            else:
                self.gates[t] = gate.output.mean()
                product = product * gate.output.astype(np.float64)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}: {len(self.steps)} steps>"


class Shares:
    """Each time step's share of the gradient of a weight, ``dL/dW = sum_t G_t + G_outside``.

    Attributes:
        name: tells it from the other weights.
        norm: |dL/dW|.
        steps: the time steps that the weight has a part in.
        norms: (T,) the |G_t|.
        parts: (T,) what part of the whole each is, <G_t, G> / <G, G>: with ``outside`` they sum to
            1; one is negative where the step pulls the other way. NaN where dL/dW is 0.
        outside: the part of what belongs to no time step.
    """

    def __init__(self, name: str, node: Node, summary: Summary):
        self.name = name
        self.node = node
        self.norm = together([summary.total])
        self.steps = np.array(sorted(summary.steps), int)
        self.norms = summary.norms
        self.parts = summary.parts
        self.outside = summary.outside_part

    def __repr__(self) -> str:
        return f"<shares of dL/d{self.name}: {len(self.norms)} steps>"


class Jacobian(NamedTuple):
    """``matrix``: dh_t/dh_s, (size of h_t, size of h_s); ``singular_values``: the largest first."""

    matrix: ndarray
    singular_values: ndarray


class GradientFlow:
    """The gradient of a loss on its way back through time; :func:`gradient_flow` makes it.

    Printed, it is a table; a notebook shows its picture. It keeps the loss's graph alive.

    Attributes:
        loss: its value.
        T: the number of time steps.
        states: each :class:`State` by its name, from the input up.
        weights: each weight's :class:`Shares` by its name.
        inputs: (T,) the norms of dL/dx_t for what enters each step; NaN where it is a constant.
        text: one character or word a step, or None.
    """

    @_quiet
    def __init__(self, output: Node, text: Sequence[str] | None = None):
        self.rails = rails = Rails(output)
        self.T = rails.T
        self.loss = float(output.output.reshape(()))
        self.text = None if text is None else _checked(text, self.T)
        self.cotangents = cotangents = _sweep(rails)
        self.states = {
            rail.name: State(rail, self.T, cotangents) for rail in (*rails.states, *rails.outputs)
        }
        for state in self.states.values():
            self._measure(state)
        self.inputs = np.full(self.T, math.nan)
        by_step: dict[int, dict[Node, None]] = defaultdict(dict)
        for turn, given in rails.inputs.items():
            if not rails.fed.get(turn.loop):
                by_step[turn.t].update(dict.fromkeys(x.node for x in given if x.node is not None))
        for t, nodes in by_step.items():
            if nodes:
                self.inputs[t] = together([cotangents[node] for node in nodes])
        self.weights = self._share(rails.weights)

    def _measure(self, state: State) -> None:
        """What came back to every h_t, and from where."""
        turn = self.rails.turn
        sent: dict[tuple[str, int], Any] = {}
        uses: dict[Node, list[tuple[int, int]]] = defaultdict(list)  # of h_t: (t, which input)
        for t, node in state.rail.nodes.items():
            if node is self.rails.output:
                sent["outside", t] = self.cotangents[node]
            for user, i in self.rails.users[node]:
                uses[user].append((t, i))
        for user, taken in uses.items():
            given = contribution(user, self.cotangents[user], [i for _, i in taken])
            there = turn.get(user)
            for t, i in taken:
                here = turn[state.rail.nodes[t]]
                where = "outside"
                if there is not None and there.loop is here.loop:
                    where = "step" if there is here else "next"
                key = where, t
                sent[key] = sent[key] + given[i] if key in sent else given[i]
        for (where, t), total in sent.items():
            state.sent[where][t] = together([total])

    def _share(self, weights: dict[str, Node]) -> dict[str, Shares]:
        found = {node: Summary(self.cotangents[node], self.T) for node in weights.values()}
        for t, by_leaf in shares(self.rails, self.cotangents, set(found)):
            for node, share in by_leaf.items():
                found[node].add(t, share)
        for name, node in weights.items():
            found[node].check(name, node.output.dtype)
        return {name: Shares(name, node, found[node]) for name, node in weights.items()}

    # ── arrays ───────────────────────────────────────────────────────────────────────────

    @functools.cached_property
    def norms(self) -> ndarray:
        """(T,) the norm of the gradient of all states of a step together; of the outputs if there
        are no states. NaN where the loss depends on none of them."""
        kind = "state" if any(s.kind == "state" for s in self.states.values()) else "output"
        rows = np.array([s.norms for s in self.states.values() if s.kind == kind])
        total = np.array([math.hypot(*row[~np.isnan(row)]) for row in rows.T])
        total[np.isnan(rows).all(0)] = math.nan
        return total

    def grads_by_step(self, W: Value | str) -> ndarray:
        """The T contributions whose sum is dL/dW, see :func:`grads_by_step`."""
        if isinstance(W, str):
            return _by_step(self.rails, self.cotangents, self.weights[_named(W, self.weights)].node)
        return _by_step(self.rails, self.cotangents, _leaf_of(W))

    @_quiet
    def jacobian(self, t: int, s: int, state: str | None = None) -> Jacobian:
        """How h_t depends on h_s: their Jacobian, through every path in the graph.

            J[i, j] = d h_t[i] / d h_s[j]

        One sweep for each element of h_t, back to h_s. The singular values say how much a small
        change of h_s can grow or shrink on its way: from one step to the next, all below 1 is the
        vanishing gradient.

        Args:
            t, s: time steps.
            state: its name, one of ``flow.states``; the first one, an LSTM's h, if left out.

        Returns:
            ``(matrix, singular_values)``: (size of h_t, size of h_s), both states flattened, and
            its singular values, the largest first, NaN where it is not finite. Zeros where h_t
            does not depend on h_s.

        Raises:
            KeyError: there is no such state.
            IndexError: the loss does not depend on this state at step t or s.
        """
        rail = self._state(state).rail
        for step in (t, s):
            if step not in rail.nodes:
                have = sorted(rail.nodes)
                raise IndexError(
                    f"jacobian: the loss depends on {rail.name} at the time steps {have[0]} to "
                    f"{have[-1]}, not at {step}"
                )
        after, before = rail.nodes[t], rail.nodes[s]
        matrix = np.zeros((after.output.size, before.output.size), after.output.dtype)
        if before.number <= after.number:
            for i, seed in enumerate(np.eye(after.output.size, dtype=after.output.dtype)):
                found = sweep(
                    {after: seed.reshape(after.output.shape)}, {before}, since=before.number + 1
                )
                if before in found:
                    matrix[i] = found[before].reshape(-1)
        if not np.isfinite(matrix).all():
            return Jacobian(matrix, np.full(min(matrix.shape), math.nan, matrix.dtype))
        return Jacobian(matrix, np.linalg.svd(matrix, compute_uv=False))

    @_quiet
    def jacobian_norms(
        self, state: str | None = None, *, rows: int = 32, probes: int = 16
    ) -> tuple[ndarray, ndarray]:
        """The Frobenius norms of dh_t/dh_s for all s, and for all t or some of them.

        Args:
            state: as in :meth:`jacobian`.
            rows: for how many t at most, evenly spread, the last one among them.
            probes: how many sweeps a row. A state of no more elements than that has exact norms;
                of a larger one they are estimated from random orthonormal directions, |J|_F^2 =
                (size / probes) E |u' J|^2.

        Returns:
            ``(steps, norms)``: (R,) the t of the rows, and (R, T), infinite where a Jacobian is
            not finite, NaN where h_t cannot depend on h_s and where there is no h_s.
        """
        rail = self._state(state).rail
        turns = [turn.t for turn in rail.loop.turns if turn.t in rail.nodes]
        places = np.unique(
            np.linspace(len(turns) - 1, 0, min(rows, len(turns))).round().astype(int)
        )
        norms = np.full((len(places), self.T), math.nan)
        rng = np.random.default_rng(0)
        for r, place in enumerate(places):
            after = rail.nodes[turns[place]]
            before = [rail.nodes[t] for t in turns[: place + 1]]
            size = after.output.size
            lengths = np.zeros(place + 1)
            for seed in _directions(size, min(size, probes), rng):
                found = sweep(
                    {after: seed.reshape(after.output.shape).astype(after.output.dtype)},
                    set(before),
                    since=before[0].number + 1,
                )
                for k, node in enumerate(before):
                    if node in found:
                        lengths[k] = math.hypot(lengths[k], together([found[node]]))
            lengths *= math.sqrt(size / min(size, probes))
            norms[r, turns[: place + 1]] = np.where(np.isnan(lengths), math.inf, lengths)
        return np.array(turns)[places], norms

    def _state(self, name: str | None) -> State:
        if name is None:
            return next(iter(self.states.values()))
        return self.states[_named(name, self.states)]

    # ── shown ────────────────────────────────────────────────────────────────────────────

    def __str__(self) -> str:
        """A table: a row a step, with the norms of dL/dh_t and each weight's shares in percent."""
        columns: dict[str, list[str]] = {"t": [str(t) for t in range(self.T)]}
        if self.text is not None:
            columns["text"] = [repr(part) for part in self.text]
        for state in reversed(self.states.values()):
            columns[f"|dL/d{state.name}|"] = [_number(x) for x in state.norms]
            if state.gates is not None and state.products is not None:
                columns["gate"] = [_number(x, "{:.2f}") for x in state.gates]
                columns["product"] = [_number(x) for x in state.products]
        if not np.isnan(self.inputs).all():
            columns["|dL/dx|"] = [_number(x) for x in self.inputs]
        for weight in self.weights.values():
            columns[weight.name] = [_number(100 * x, "{:.1f} %") for x in weight.parts]
        rows = [list(columns), *([column[t] for column in columns.values()] for t in range(self.T))]
        if any(w.outside for w in self.weights.values()):
            first = len(columns) - len(self.weights)
            outside = [_number(100 * w.outside, "{:.1f} %") for w in self.weights.values()]
            rows.append(["outside", *[""] * (first - 1), *outside])
        if len(rows) > _most_rows:
            half = _most_rows // 2
            rows[1 + half : 1 + self.T - half] = [["…"] * len(columns)]
        widths = [max(len(row[k]) for row in rows) for k in range(len(columns))]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return f"L = {self.loss:.6g}\n" + "\n".join(lines)

    def __repr__(self) -> str:
        states, weights = ", ".join(self.states), ", ".join(self.weights)
        return f"<GradientFlow of {self.T} steps: states {states}; weights {weights}>"

    def svg(self) -> str:
        """The picture, as SVG text."""
        from .lattice import draw_lattice

        return draw_lattice(self).svg

    def html(self) -> str:
        """The page in which the sweeps are played step by step, as HTML text."""
        from .page import page

        return page(self)

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture (``.svg``) or the page (``.html``).

        The page is one file that needs nothing else, no network either: a slider and a button
        play the forward sweep and then the backward sweep, step by step. A notebook plays it by
        ``IPython.display.IFrame("flow.html", 1200, 800)``.

        Raises:
            ValueError: another suffix.
            OSError: the file cannot be written.
        """
        write(path, {".svg": self.svg, ".html": self.html})


def write(path: str | os.PathLike[str], kinds: dict[str, Any]) -> None:
    """Write what is made for this path's suffix."""
    path = Path(path)
    make = kinds.get(path.suffix.lower())
    if make is None:
        raise ValueError(f"save: expected a file named {' or '.join(kinds)}, got {str(path)!r}")
    with replacing(path) as file:
        file.write(make().encode())


def _checked(text: Sequence[str], T: int) -> list[str]:
    parts = list(text)
    if len(parts) != T or not all(isinstance(part, str) for part in parts):
        raise ValueError(
            f"expected text as one string for each of the {T} time steps, got "
            f"{len(parts)}: {text!r:.60}"
        )
    return parts


def _directions(size: int, count: int, rng: np.random.Generator) -> ndarray:
    """Orthonormal rows: all of a space, or some at random."""
    if count == size:
        return np.eye(size)
    q: ndarray = np.linalg.qr(rng.standard_normal((size, count)))[0]
    return q.T


def _named(name: str, known: dict[str, Any]) -> str:
    if name not in known:
        raise KeyError(f"expected one of {', '.join(known)}, got {name!r}")
    return name


def _number(x: float, form: str = "{:.2e}") -> str:
    if math.isnan(x):
        return "–"
    text = form.format(x)
    return text.removeprefix("-") if not text.strip("-0. %") else text


# ── what users call ──────────────────────────────────────────────────────────────────────


def _output(loss: Any, where: str) -> Node:
    if not isinstance(loss, Value):
        raise TypeError(f"{where}: expected a Tensor, got {type(loss).__name__}")
    if loss.node is None:
        raise ValueError(
            f"{where}: this tensor has no graph; compute it outside of no_grad() from a tensor "
            "with requires_grad=True"
        )
    if loss._array.size != 1:
        raise ValueError(
            f"{where}: expected a scalar to differentiate, got shape {loss._array.shape}; use a "
            "loss, or one element"
        )
    try:
        [node] = expanded([loss.node])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return node


def gradient_flow(loss: Value, *, text: Sequence[str] | None = None) -> GradientFlow:
    """See how the gradient of a loss flows back through the time steps of a recurrent net.

    A state is any value that crosses from one turn of ``for t, x_t in tg.steps(xs)`` into the
    next, so a loop of one's own needs no more than that; layers need ``unroll=True``. T counts up
    to the last step that the loss depends on.

    Args:
        loss: a scalar Tensor; no ``.grad`` is touched.
        text: one character or word for each step, to be shaded by the gradient that reaches it:
            which of them mattered. For a logit of one's choice, pass that as the loss.

    Returns:
        A :class:`GradientFlow`. ``print`` shows a table, ``.save("flow.svg")`` and
        ``.save("flow.html")`` write the picture and the page, a notebook shows the picture;
        ``.states``, ``.weights`` and ``.jacobian(t, s)`` are the numbers.

    Raises:
        TypeError: the loss is not a Tensor.
        ValueError: it is not a scalar, has no graph, or was computed without time steps; ``text``
            has another length.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(0.5, requires_grad=True, name="w")
    >>> h = tg.Tensor(1.0)
    >>> for t, x_t in tg.steps(np.array([1.0, 2.0, 3.0])):
    ...     h = w * h + x_t
    >>> flow = tg.gradient_flow(h)
    >>> flow.states["h"].norms
    array([0.25, 0.5 , 1.  ])
    >>> print(flow)
    L = 4.375
    t   |dL/dh|       w
    0  2.50e-01   6.7 %
    1  5.00e-01  20.0 %
    2  1.00e+00  73.3 %
    """
    node = _output(loss, "gradient_flow")
    try:
        return GradientFlow(node, text)
    except ValueError as error:
        raise ValueError(f"gradient_flow: {error}") from error


@_quiet
def grads_by_step(loss: Value, W: Value) -> ndarray:
    """What each time step contributes to the gradient of a weight.

        sum_t grads_by_step(loss, W)[t] = dL/dW

    Backpropagation through time adds up one gradient for each use of a shared weight; these are
    the summands. A path from the loss to W counts for the last step that it passes; for
    ``linear`` behind the loop, of stacked states, it is the step that each row came from.

    Args:
        loss: a scalar Tensor; no ``.grad`` is touched.
        W: a leaf that the loss was computed from.

    Returns:
        (T, \\*W.shape), in W's dtype; T counts up to the last step that the loss depends on.

    Raises:
        TypeError: the loss or W is not a Tensor.
        ValueError: the loss is not a scalar, has no graph, or was computed without time steps; W
            is no leaf that requires grad, or has a gradient that belongs to no step.

    >>> import numpy as np
    >>> import tinygrad_rnn as tg
    >>> cell = tg.nn.RNNCell(3, 4, dtype=np.float64, rng=0)
    >>> h = None
    >>> for t, x_t in tg.steps(np.ones((5, 2, 3))):
    ...     h = cell(x_t, h)
    >>> loss = tg.sum(h)
    >>> by_step = tg.grads_by_step(loss, cell.weight_hh)
    >>> by_step.shape
    (5, 4, 4)
    >>> bool(np.allclose(by_step.sum(axis=0), tg.grad(loss, cell.weight_hh).data))
    True
    """
    leaf_of = _leaf_of(W)
    node = _output(loss, "grads_by_step")
    try:
        rails = Rails(node)
    except ValueError as error:
        raise ValueError(f"grads_by_step: {error}") from error
    return _by_step(rails, _sweep(rails), leaf_of)


def _sweep(rails: Rails) -> dict[Node, Any]:
    """The cotangents of all nodes."""
    return sweep({rails.output: np.ones_like(rails.output.output)}, set(rails.nodes))


def _leaf_of(W: Any) -> Node:
    if not isinstance(W, Value):
        raise TypeError(f"grads_by_step: expected W as a Tensor, got {type(W).__name__}")
    if W.node is None or not W.node.is_leaf:
        raise ValueError("grads_by_step: expected W as a leaf that requires grad")
    return W.node


def _by_step(rails: Rails, cotangents: dict[Node, Any], W: Node) -> ndarray:
    result = np.zeros((rails.T, *W.output.shape), W.output.dtype)
    for t, found in shares(rails, cotangents, {W}):
        if t is not None:
            result[t] += found[W]
        elif found[W].any():
            raise ValueError(
                f"grads_by_step: {W.name or 'W'} also has a gradient of norm "
                f"{together([found[W]]):.3g} that belongs to no time step: it is used outside of "
                "the loop, in an operation that mixes the steps"
            )
    return result
