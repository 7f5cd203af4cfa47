"""How the gradient of a loss flows back through time: the numbers.

One sweep gives the cotangent of every value, and so of every state. Then we compute the gradient
that each operation sent back to the states it uses, and the contribution of each step to the
gradients of the weights. No ``.grad`` changes.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..backprop import contributions
from ..graph import Node, Value
from .arrays import by_step, collected, leaf_of
from .jacobians import Jacobian, jacobian_norms, jacobian_of
from .loops import Columns, Held, Link, Links, add_to, cotangents_of, norm, quiet, shares, spread
from .reasons import JacobianParts, jacobian_parts, reason
from .steps import Loop
from .structure import Structure, Trajectory
from .table import table

#: The written rule. The loss itself sends gradients to the states of a loop; R is the sum of their
#: norms over all steps. If no step enlarged the gradient, no state would get more than R.
#: A gradient below VANISHED R has vanished: added to R in single precision, it changes nothing.
#: A gradient above EXPLODED R has exploded.
VANISHED, EXPLODED = 1e-8, 1e2


def regime(size: float, reference: float) -> str:
    """The verdict of the written rule for a norm, with R = ``reference``."""
    if not math.isfinite(size):
        return "NaN"
    if size == 0:
        return "0"
    if size < VANISHED * reference:
        return "vanished"
    return "exploded" if 0 < EXPLODED * reference < size else ""


class State:
    """A value that crosses from one time step into the next, or leaves the loop.

    The arrays have one element for each time step of its loop, by the loop's own numbers. They are
    NaN (``sent``: 0) at steps without such a value. In a batch of sequences of several lengths,
    each sequence counts only until its end.

    Attributes:
        name: a unique name among the states.
        kind: "state", or "output" for a value that leaves the loop but is no state.
        steps: the time steps at which the loss depends on it.
        columns: the columns of these steps on the axis of all time steps.
        norms: |dL/dh_t|, the Euclidean norm over all elements, including the batch.
        sent: the parts of dL/dh_t by sender, as norms: from the time steps after ("next"), from
            its own time step ("step"), and from outside the loop ("outside"). "above" is the part
            of "outside" that comes from the same time step of later loops.
        gates: the mean of the gate that multiplies h_{t-1} on its way to h_t, such as an LSTM's
            forget gate; None without a gate.
        carried: the norm of the last step's gradient after the gates alone,
            |dL/dh_T . product of the gates after t|. Where |dL/dh_t| is about as large, the
            gradient came back through the gates. None without gates.
        cuts: the time steps at which a constant replaces the state: truncated BPTT cut the graph
            there, or the state was detached or set within the loop.
        regimes: the verdict of the written rule for each time step: "vanished", "exploded", "NaN",
            "none" if the loss does not depend on the state, else "".
    """

    def __init__(self, trajectory: Trajectory, columns: Columns, count: int, cotangents: Any):
        self.trajectory = trajectory
        self.name, self.kind = trajectory.name, trajectory.kind
        self.steps = np.array(sorted(trajectory.nodes), int)
        column = {time_step.t: columns.of[time_step] for time_step in trajectory.loop.time_steps}
        self.columns = np.array([column[t] for t in self.steps.tolist()], int)
        self.cuts = np.array(sorted(trajectory.cuts), int)
        self.norms = np.full(count, math.nan)
        for t, node in trajectory.nodes.items():
            self.norms[t] = norm([cotangents[node]])
        self.sent = {where: np.zeros(count) for where in ("next", "step", "outside", "above")}
        self.regimes: dict[int, str] = {}
        self.gates: ndarray | None = None
        self.carried: ndarray | None = None
        if trajectory.gates:
            self._follow_gates(count, cotangents)

    def _follow_gates(self, count: int, cotangents: dict[Node, Any]) -> None:
        self.gates, self.carried = np.full((2, count), math.nan)
        nodes, masks = self.trajectory.nodes, self.trajectory.masks
        steps = self.trajectory.steps
        carried = np.asarray(cotangents[nodes[steps[-1]]], np.float64)
        begun: Any = masks.get(steps[-1], True)  # a sequence starts at its last step
        carried = carried * begun
        for t in reversed(steps):
            mask: Any = masks.get(t)
            if begun is not True:
                here = True if mask is None else mask
                carried = np.where(here & ~begun, cotangents[nodes[t]], carried)
                begun = begun | here
            self.carried[t] = norm([carried if mask is None else carried * mask])
            gate = self.trajectory.gates.get(t)
            if gate is None:  # no gate leads to the step before
                factor: Any = np.zeros(())
            elif mask is None:
                factor = gate.output
                self.gates[t] = factor.mean()
            else:
                factor = np.broadcast_to(gate.output, carried.shape)
                self.gates[t] = factor[np.broadcast_to(mask, factor.shape)].mean()
            carried = (
                carried * factor if mask is None else np.where(mask, carried * factor, carried)
            )

    def apply_rule(self, reference: float) -> None:
        """Apply the written rule to every norm, with R = ``reference``.

        A norm of exactly 0 has vanished too, if it became 0 on its way from step to step. If not,
        the loss does not depend on the state.
        """
        after = ""
        for t in reversed(self.trajectory.steps):
            verdict = regime(float(self.norms[t]), reference)
            if verdict == "0":
                verdict = "vanished" if after == "vanished" else "none"
            self.regimes[t] = after = verdict

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}: {len(self.steps)} steps>"


class Shares:
    """Each time step's share of the gradient of a weight, ``dL/dW = sum_t G_t + G_outside``.

    The part of a step is the projection of its share on the whole gradient, <G_t, G> / <G, G>. The
    parts sum to 1. A part is negative if the step pulls the other way.

    Attributes:
        name: a unique name among the weights.
        node: the weight's node.
        norm: |dL/dW|.
        steps: the columns in which the weight has a share.
        norms: (T,) the |G_t|.
        parts: (T,) the parts; NaN if dL/dW is 0 or not finite.
        outside: the part of G_outside, which belongs to no time step.
    """

    def __init__(self, name: str, node: Node, total: ndarray, T: int):
        self.name, self.node = name, node
        self.total = total.astype(np.float64)
        self.norm = norm([self.total])
        self.norms, self.parts = np.zeros(T), np.zeros(T)
        self.outside = 0.0
        self._found: set[int] = set()
        self._square = float(np.vdot(self.total, self.total))
        self._sum = np.zeros(total.shape)
        self._size = 0.0

    @property
    def steps(self) -> ndarray:
        return np.array(sorted(self._found), int)

    def add(self, column: int | None, share: ndarray) -> None:
        """Add the share of a step, or (None) of no step."""
        part = math.nan
        if 0 < self._square < math.inf:
            part = float(np.vdot(share.astype(np.float64), self.total)) / self._square
        if column is None:
            self.outside = part
        else:
            self._found.add(column)
            self.norms[column], self.parts[column] = norm([share]), part
        self._sum += share
        self._size += float(np.abs(share).max(initial=0.0))

    def check(self, precision: np.dtype[Any]) -> None:
        """Check that the shares sum to the whole gradient, up to rounding.

        Raises:
            ValueError: they do not, because a rule is not linear in its cotangent.
        """
        tolerance = self._size * len(self.norms) ** 0.5 * 100 * float(np.finfo(precision).eps)
        wrong = np.abs(self._sum - self.total) > tolerance
        if math.isfinite(self._size) and wrong.any():
            raise ValueError(
                f"the shares of the time steps do not sum to dL/d{self.name}: some rule is not "
                "linear in its cotangent; tg.testing.check_op finds it"
            )

    def __repr__(self) -> str:
        return f"<shares of dL/d{self.name}: {len(self.norms)} steps>"


class Flow:
    """The gradient of a loss on its way back through time.

    It keeps the loss's graph alive. Loops that follow each other (an encoder, a decoder) stand side
    by side on the time axis. T counts the steps of both, and a *column* is one place on this axis.

    Attributes:
        loss: the loss's value.
        T: the number of columns; for one loop, or a stack of layers, the number of time steps.
        states: each :class:`State` by its name, from the input up.
        weights: each weight's :class:`Shares` by its name.
        inputs: (T,) the norms of dL/dx_t for the inputs of each step; NaN if they are constants.
        links: the gradients that the loss and later loops send to steps, each a :class:`Link`.
        sent_by_loss: R of the written rule, the largest among all loops.
        text: one character or word for each column, or None.
    """

    @quiet
    def __init__(self, output: Node, text: Sequence[str] | None = None):
        self.structure = structure = Structure(output)
        self.columns = columns = Columns(structure)
        self.T = columns.T
        self.loss = float(output.output.reshape(()))
        self.text = None if text is None else _checked(text, self.T)
        self.cotangents = cotangents = cotangents_of(structure)
        structure.leave_out_ended(cotangents)
        counts = self._counts()
        self.states = {
            trajectory.name: State(trajectory, columns, counts[trajectory.loop], cotangents)
            for trajectory in structure.trajectories
        }
        self._links = Links(structure, columns, cotangents)
        self.links: list[Link] = self._links.all
        self._measure_sent()
        self.inputs = self._measure_inputs()
        self.weights = self._share(structure.weights)
        self.sent_by_loss = self._links.sent_by_loss()
        for state in self.states.values():
            state.apply_rule(self.sent_by_loss)

    def _counts(self) -> dict[Loop, int]:
        """The length of the arrays of a loop's states: the steps of loops that share columns."""
        counts: dict[Loop, int] = {}
        for stage in self.columns.stages:
            count = 1 + max(time_step.t for loop in stage.loops for time_step in loop.time_steps)
            counts |= dict.fromkeys(stage.loops, count)
        for loop in self.structure.loops:
            counts.setdefault(loop, 1 + max(time_step.t for time_step in loop.time_steps))
        return counts

    def _measure_sent(self) -> None:
        """Measure the gradient that came back to every value, by sender."""
        structure = self.structure
        sums: dict[tuple[Held, str], Any] = {}
        for key, total in self._links.outside.items():
            sums[key, "outside"] = total
        for key, total in self._links.stepwise.items():
            sums[key, "above"] = total
        used: dict[Node, list[tuple[Trajectory, Any, int]]] = defaultdict(list)
        for trajectory in structure.trajectories:
            for step, user, i in structure.uses(trajectory):
                if user in structure.time_step and user in self.cotangents:
                    used[user].append((trajectory, step, i))
        for user, taken in used.items():
            inner = [use for use in taken if self._goes(use[0], user) != "outside"]
            if not inner:
                continue
            sent = contributions(user, self.cotangents[user], [i for *_, i in inner])
            for trajectory, step, i in inner:
                here = self._goes(trajectory, user)
                for t, part in spread(sent[i], step):
                    own = here == "step" and t == structure.place[user][self._depth(trajectory)].t
                    add_to(sums, ((trajectory, t), "step" if own else "next"), part)
        for ((trajectory, t), where), total in sums.items():
            if t in trajectory.nodes:
                self.states[trajectory.name].sent[where][t] = norm([total])

    def _depth(self, trajectory: Trajectory) -> int:
        return self.structure.depth[trajectory.loop]

    def _goes(self, trajectory: Trajectory, user: Node) -> str:
        place, depth = self.structure.place[user], self._depth(trajectory)
        if len(place) <= depth or place[depth].loop is not trajectory.loop:
            return "outside"
        return "step"

    def _measure_inputs(self) -> ndarray:
        gradients: dict[int, dict[Any, Any]] = defaultdict(dict)
        for time_step, inputs_of_step in self.structure.inputs.items():
            for x in inputs_of_step:
                if x.node is not None and x.node in self.cotangents:
                    at = gradients[self.columns.of[time_step]]
                    g = self.cotangents[x.node]
                    at[x.source] = at[x.source] + g if x.is_read and x.source in at else g
        inputs = np.full(self.T, math.nan)
        for column, by_source in gradients.items():
            inputs[column] = norm(by_source.values())
        return inputs

    def _share(self, weights: dict[str, Node]) -> dict[str, Shares]:
        shares_of = {
            node: Shares(name, node, self.cotangents[node], self.T)
            for name, node in weights.items()
        }
        for column, by_leaf in shares(
            self.structure, self.columns, self.cotangents, set(shares_of)
        ):
            for node, share in by_leaf.items():
                shares_of[node].add(column, share)
        for node, summed in shares_of.items():
            summed.check(node.output.dtype)
        return {summed.name: summed for summed in shares_of.values()}

    def rows(self) -> list[list[State]]:
        """The states as rows of a picture: the last loop first, and outputs before states.

        If loops follow each other, as two calls of one layer do, their common state is one row,
        unless the second loop reads the first one's values at other time steps.
        """
        reads = {
            frozenset((link.trajectory.loop, link.loop))
            for link in self.links
            if link.kind == "read"
        }
        known: dict[object, list[list[State]]] = defaultdict(list)
        rows: list[list[State]] = []
        for loop in reversed(self.structure.loops):
            mine = [state for state in self.states.values() if state.trajectory.loop is loop]
            for state in sorted(mine, key=lambda state: state.kind == "output")[::-1]:
                kind = (loop.path, state.kind, state.trajectory.plain, state.trajectory.shape)
                for row in known[kind]:
                    if all(
                        other.trajectory.loop is not loop
                        and not set(other.columns.tolist()) & set(state.columns.tolist())
                        and frozenset((other.trajectory.loop, loop)) not in reads
                        for other in row
                    ):
                        row.insert(0, state)
                        break
                else:
                    known[kind].append([state])
                    rows.append(known[kind][-1])
        return rows

    @staticmethod
    def common_name(states: Sequence[State]) -> str:
        """The common name of the states of one row."""
        if len(states) == 1:
            return states[0].name
        names = {state.name.rstrip("0123456789 ") for state in states}
        return names.pop() if len(names) == 1 else states[0].trajectory.plain

    def regime(self, size: float) -> str:
        """The verdict of the written rule for a norm: "vanished", "exploded", "NaN", "0" or ""."""
        return regime(size, self.sent_by_loss)

    def sizes(self) -> Iterator[tuple[float, str]]:
        """The norms of all states, each with the verdict of the rule."""
        for state in self.states.values():
            yield from ((float(state.norms[t]), verdict) for t, verdict in state.regimes.items())

    # ── arrays ───────────────────────────────────────────────────────────────────────────

    @functools.cached_property
    def norms(self) -> ndarray:
        """(T,) the norm of the gradient of all states of a step together.

        Without states, of the outputs. NaN at steps on which the loss does not depend.
        """
        states = [s for s in self.states.values() if s.kind == "state"] or self.states.values()
        rows = np.full((len(states), self.T), math.nan)
        for row, state in zip(rows, states, strict=True):
            row[state.columns] = state.norms[state.steps]
        missing = np.isnan(rows)
        for row, state in zip(missing, states, strict=True):
            row[state.columns] = False
        total = np.array(
            [math.hypot(*row[~gone]) for row, gone in zip(rows.T, missing.T, strict=True)]
        )
        total[missing.all(0)] = math.nan
        return total

    def grads_by_step(self, W: Value | str) -> ndarray:
        """The T contributions whose sum is dL/dW, see :func:`grads_by_step`."""
        node = self.weights[_named(W, self.weights)].node if isinstance(W, str) else leaf_of(W)
        return by_step(self.structure, self.columns, self.cotangents, node)

    @quiet
    def jacobian(self, t: int, s: int, state: str | None = None) -> Jacobian:
        """The Jacobian of h_t with respect to h_s, through every path in the graph.

            J[i, j] = d h_t[i] / d h_s[j]

        It takes one sweep for each element of h_t, back to h_s. The singular values say how much a
        small change of h_s can grow or shrink on its way to h_t. If all are below 1 from each step
        to the next, the gradient vanishes.

        Args:
            t, s: time steps.
            state: a name of ``flow.states``. The default is the first one: h for an LSTM.

        Returns:
            ``(matrix, singular_values)``: the matrix (size of h_t, size of h_s), with both states
            flattened, and its singular values, the largest first. They are NaN if the matrix is
            not finite. The matrix is zero if h_t does not depend on h_s.

        Raises:
            KeyError: there is no such state.
            IndexError: the loss does not depend on this state at step t or s.
        """
        return jacobian_of(self._state(state).trajectory, t, s)

    @quiet
    def jacobian_norms(
        self, state: str | None = None, *, rows: int = 32, probes: int = 16
    ) -> tuple[ndarray, ndarray]:
        """The Frobenius norms of dh_t/dh_s for all s, and for all t or some of them.

        Args:
            state: as in :meth:`jacobian`.
            rows: the largest number of t. They are evenly spread and include the last one.
            probes: the number of sweeps for each row. If the state has at most this many elements,
                the norms are exact. If it has more, they are estimated from random orthonormal
                directions, |J|_F^2 = (size / probes) E |u' J|^2.

        Returns:
            ``(steps, norms)``: (R,) the t of the rows, and (R, steps of the loop). A norm is
            infinite if the Jacobian is not finite, and NaN if h_t cannot depend on h_s or there is
            no h_s.
        """
        chosen = self._state(state)
        return jacobian_norms(chosen.trajectory, len(chosen.norms), rows, probes)

    def jacobian_parts(self, state: str | None = None) -> list[JacobianParts]:
        """The factors of dh_t/dh_{t-1}, step by step: weights, nonlinearities and gates.

        Args:
            state: as in :meth:`jacobian`.

        Returns:
            A :class:`JacobianParts` for each step except the first, in the loop's order: ``t``;
            ``passed``, the part of the gradient that the step passes back; ``weights``, the
            singular values of each matrix that multiplies h_{t-1}; ``slopes``, the mean |phi'|
            of each nonlinearity, its number of saturated units, and the part that it passes;
            ``gates``, the mean of each gate.

        Raises:
            KeyError: there is no such state.
        """
        return jacobian_parts(self, self._state(state))

    @functools.cached_property
    def reason(self) -> str:
        """One sentence about why the gradient vanishes or explodes, and where."""
        return reason(self)

    def activations(self) -> dict[str, ndarray]:
        """Every gate, candidate and state by name, over time; see :func:`tg.activations`."""
        return collected(self.structure)

    def _state(self, name: str | None) -> State:
        if name is None:
            return next(iter(self.states.values()))
        return self.states[_named(name, self.states)]

    def __str__(self) -> str:
        """A table with one row for each step: the norms of dL/dh_t, and the weights' shares in %.

        The last line says why the gradient vanishes or explodes.
        """
        return "\n".join(filter(None, (table(self), self.reason)))

    def __repr__(self) -> str:
        states, weights = ", ".join(self.states), ", ".join(self.weights)
        return f"<{type(self).__name__} of {self.T} steps: states {states}; weights {weights}>"


def _checked(text: Sequence[str], T: int) -> list[str]:
    parts = list(text)
    if len(parts) != T or not all(isinstance(part, str) for part in parts):
        raise ValueError(
            f"expected text as one string for each of the {T} time steps, got "
            f"{len(parts)}: {text!r:.60}"
        )
    return parts


def _named(name: str, known: dict[str, Any]) -> str:
    if name not in known:
        raise KeyError(f"expected one of {', '.join(known)}, got {name!r}")
    return name
