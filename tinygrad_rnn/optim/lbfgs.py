"""L-BFGS: a quasi-Newton method that evaluates the whole loss at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..tensor import Tensor
from .optimizer import Optimizer, Params


class LBFGS(Optimizer):
    """Limited-memory BFGS: steps along -H g, where H approximates the inverse of the Hessian.

        s_k = x_{k+1} - x_k,   y_k = g_{k+1} - g_k
        d   = -H g, by the two-loop recursion over the last ``history_size`` pairs (s, y)
        x   = x + t d

    The step length t is ``lr``. With ``line_search_fn="strong_wolfe"``, t satisfies

        f(x + t d) <= f(x) + 1e-4 t g.d   and   |f'(x + t d)| <= 0.9 |g.d|

    where f' is the slope along d. L-BFGS suits small problems whose whole loss is computed at
    once. The noise of batches disturbs it.

    Args:
        params: the Tensors to optimise; one group at most.
        lr: the learning rate.
        max_iter: the largest number of steps in one call of ``step``.
        max_eval: the largest number of closure calls in one call of ``step``; None means
            ``max_iter * 5 / 4``.
        tolerance_grad: stop if no element of the gradient is larger.
        tolerance_change: stop if x or the loss changes by no more.
        history_size: the number of pairs to keep.
        line_search_fn: None or "strong_wolfe".

    Raises:
        ValueError: there are several groups, a setting is out of its range, or the line search is
            unknown.

    Source: Nocedal and Wright, "Numerical Optimization" (2006), alg. 7.4 and 7.5, line search
    alg. 3.5 and 3.6; https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html

    >>> import tinygrad_rnn as tg
    >>> x = tg.Tensor([-1.5, 2.0], requires_grad=True)
    >>> optimizer = tg.optim.LBFGS([x], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     loss = optimizer.step(closure)
    >>> x.data.round(3)
    array([1., 1.])
    """

    max_iter: int
    max_eval: int
    tolerance_grad: float
    tolerance_change: float
    history_size: int
    line_search_fn: str | None

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ):
        super().__init__(
            params,
            lr=lr,
            max_iter=max_iter,
            max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change,
            history_size=history_size,
            line_search_fn=line_search_fn,
        )

    def _check_group(self, group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ValueError("LBFGS: all parameters share one step, so it takes at most one group")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(
                "LBFGS: expected line_search_fn None or 'strong_wolfe', got "
                f"{group['line_search_fn']!r}"
            )

    def _check_state(self, place: int, parameter: Tensor, state: Mapping[str, Any]) -> None:
        size = sum(p.size for p in self.params)
        for key in ("d", "prev_flat_grad"):
            if key in state and np.shape(state[key]) != (size,):
                raise ValueError(
                    f"LBFGS: the parameters have {size} elements, but {key} of the state has "
                    f"{np.size(state[key])}"
                )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to ``max_iter`` steps.

        Args:
            closure: a function that clears the gradients, computes the loss, calls ``backward``
                and returns the loss. It is called several times.

        Returns:
            The loss before the first step, as the closure returned it.

        Raises:
            TypeError: there is no closure.
        """
        if closure is None:
            raise TypeError("LBFGS: step needs a closure that computes the loss and its gradients")
        group = SimpleNamespace(**self.param_groups[0])
        state = self.state[0]
        first = closure()
        loss, g = float(first.item()), self._gradient()
        evaluations = 1
        state["func_evals"] = state.get("func_evals", 0) + 1
        if _largest(g) <= group.tolerance_grad:
            return first
        for k in range(1, group.max_iter + 1):
            state["n_iter"] = state.get("n_iter", 0) + 1
            d = self._direction(g, state, group.history_size)
            state["prev_flat_grad"], state["prev_loss"], before = g, loss, loss
            t = group.lr
            if state["n_iter"] == 1:  # nothing is known of the curvature yet: go carefully
                t *= min(1.0, 1.0 / float(np.abs(g).sum()))
            state["t"] = t
            slope = float(g @ d)  # of the loss along d; below 0 if d leads downhill
            if slope > -group.tolerance_change:
                break
            calls = 0
            if group.line_search_fn is not None:
                start = self._values()

                def at(t: float, start: ndarray = start, d: ndarray = d) -> _Point:
                    self._move(start, t * d)
                    value = float(closure().item())
                    gradient = self._gradient()
                    return _Point(t, value, gradient, float(gradient @ d))

                point, calls = strong_wolfe(at, _Point(0.0, loss, g, slope), t, _largest(d))
                self._move(start, point.t * d)
                loss, g, t = point.value, point.gradient, point.t
                state["t"] = t
            else:
                self._move(self._values(), t * d)
                if k < group.max_iter:
                    loss, g, calls = float(closure().item()), self._gradient(), 1
            evaluations += calls
            state["func_evals"] += calls
            if (
                evaluations >= group.max_eval
                or _largest(g) <= group.tolerance_grad
                or _largest(d * t) <= group.tolerance_change
                or abs(loss - before) < group.tolerance_change
            ):
                break
        return first

    def _direction(self, g: ndarray, state: dict[str, Any], history_size: int) -> ndarray:
        """The direction -H g, by the two-loop recursion; first adds the last step to the state.

        H approximates the inverse of the matrix of second derivatives. It is never stored: the last
        steps s and the changes y of the gradient along them are enough to multiply by it.

        Source: Nocedal and Wright, algorithm 7.4.
        """
        if state["n_iter"] == 1:
            state.update(d=-g, old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -g
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(y @ s)
        ys, ss, ro = state["old_dirs"], state["old_stps"], state["ro"]
        if curvature > 1e-10:  # else H would not be positive definite, and -H g might lead uphill
            ys.append(y)
            ss.append(s)
            ro.append(1.0 / curvature)
            for history in (ys, ss, ro):
                del history[: max(len(history) - history_size, 0)]
            state["H_diag"] = curvature / float(y @ y)
        # Back from the newest step to the oldest, then a multiple of the identity, then forward.
        d: ndarray = -g
        shares = []
        for y, s, r in zip(reversed(ys), reversed(ss), reversed(ro), strict=True):
            shares.append(float(s @ d) * r)
            d = d - shares[-1] * y
        d = d * state["H_diag"]
        for y, s, r, share in zip(ys, ss, ro, reversed(shares), strict=True):
            d = np.add(d, s * (share - float(y @ d) * r))
        state["d"] = d
        return d

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`Optimizer.state_dict`. The state of all parameters is that of the first."""
        state = super().state_dict()
        first = state["state"]["0"]
        for key in ("old_dirs", "old_stps", "ro"):
            if key in first:
                first[key] = [np.array(x) if np.ndim(x) else x for x in first[key]]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for key in ("old_dirs", "old_stps", "ro"):
            if key in self.state[0]:  # copy the list, since steps append to it
                self.state[0][key] = list(self.state[0][key])

    # ── all parameters as one vector ─────────────────────────────────────────────────────

    def _values(self) -> ndarray:
        return np.concatenate([p.data.reshape(-1) for p in self.params])

    def _gradient(self) -> ndarray:
        parts = [np.zeros(p.size, p.dtype) if p.grad is None else p.grad for p in self.params]
        return np.concatenate([part.reshape(-1) for part in parts])

    def _move(self, start: ndarray, by: ndarray) -> None:
        new, place = start + by, 0
        for p in self.params:
            p.data = new[place : place + p.size].reshape(p.shape).astype(p.dtype, copy=False)
            place += p.size


def _largest(x: ndarray) -> float:
    return float(np.abs(x).max())


# ── the line search ──────────────────────────────────────────────────────────────────────


class _Point(NamedTuple):
    """The loss at x + t d: its value, its gradient, and its slope along d."""

    t: float
    value: float
    gradient: ndarray
    slope: float


def strong_wolfe(
    at: Callable[[float], _Point],
    start: _Point,
    t: float,
    longest: float,
    *,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    most: int = 25,
) -> tuple[_Point, int]:
    """Find a step length that satisfies the strong Wolfe conditions.

    First t grows until it is good or too long. Then the interval that contains a good t shrinks.
    Each new t is the minimum of the cubic through the last two points.

    Args:
        at: evaluates the loss at a step length.
        start: the loss at t = 0.
        t: the first guess.
        longest: the largest absolute value in the direction.
        c1: the part of the expected decrease that is enough.
        c2: the part of the initial slope that may remain.
        tolerance_change: stop if no element of x would change by more within the interval.
        most: the largest number of changes of t.

    Returns:
        The point that was found, and the number of calls of ``at``.
    """

    def too_high(point: _Point) -> bool:
        return point.value > start.value + c1 * point.t * start.slope

    def flat(point: _Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    before, here, calls, changes = start, at(t), 1, 0
    ends = [start, here]  # of an interval that contains a good step length
    while changes < most:
        if not too_high(here) and not (changes > 1 and here.value >= before.value):
            if flat(here):
                return here, calls
            if here.slope < 0:
                bounds = here.t + 0.01 * (here.t - before.t), here.t * 10
                before, here = here, at(_cubic_minimum(before, here, bounds))
                calls, changes = calls + 1, changes + 1
                ends = [start, here]
                continue
        ends = [before, here]
        break

    # Shrink the interval. Its end ``low`` is the best point so far.
    low = 0 if ends[0].value <= ends[1].value else 1
    stuck = False
    while changes < most and abs(ends[1].t - ends[0].t) * longest >= tolerance_change:
        left, right = sorted((ends[0].t, ends[1].t))
        t = _cubic_minimum(ends[0], ends[1], (left, right))
        # A point close to an end shrinks the interval too little: allow it once, then move it.
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        here = at(t)
        calls, changes = calls + 1, changes + 1
        if too_high(here) or here.value >= ends[low].value:
            ends[1 - low] = here
            low = 0 if ends[0].value <= ends[1].value else 1
        else:
            if flat(here):
                return here, calls
            # The loss rises from here to the other end: the minimum lies on the old best's side.
            if here.slope * (ends[1 - low].t - ends[low].t) >= 0:
                ends[1 - low] = ends[low]
            ends[low] = here
    return ends[low], calls


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[float, float]) -> float:
    """Where the cubic with these values and slopes is smallest, within bounds.

    Source: Nocedal and Wright, eq. 3.59.
    """
    if a.t > b.t:
        a, b = b, a
    least, most = bounds
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2
    d2 = math.sqrt(square)
    above, below = b.slope + d2 - d1, b.slope - a.slope + 2 * d2
    if not below:  # a straight line: its minimum is at a bound
        return most if above < 0 else least
    return min(max(b.t - (b.t - a.t) * (above / below), least), most)
